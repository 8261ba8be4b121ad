/* Bytes of a foreign GDB server: whatever comes, packets stay within their limits, end with a NUL, and what was framed by us
 * is read back the same. */
#include "target/gdb_packet.h"

#include <stdint.h>
#include <string.h>

static void check_packet(const ImpGdbDecoder *decoder)
{
    g_assert_cmpuint(decoder->n_bytes, <=, IMP_GDB_PACKET_MAX);
    g_assert_cmpuint(decoder->payload[decoder->n_bytes], ==, 0);
    g_autofree guint8 *bytes = g_malloc(decoder->n_bytes / 2 + 1);
    gboolean hex = imp_gdb_unhex(decoder->payload, bytes, decoder->n_bytes / 2);
    g_assert_false(hex && decoder->payload[0] == 'Z' && decoder->n_bytes >= 2);
    (void)imp_gdb_is_error(decoder);
    guint number = imp_gdb_find_register((const char *)decoder->payload, "xpsr", 25);
    g_assert_cmpuint(number, <=, 4096);
}

/* Framed without escapes, so only of bytes that need none. */
static void check_frame(const uint8_t *data, size_t size)
{
    g_autoptr(GByteArray) frame = g_byte_array_new();
    g_autofree ImpGdbDecoder *decoder = g_new0(ImpGdbDecoder, 1);
    gsize n = MIN(size, IMP_GDB_PACKET_MAX);
    for (gsize i = 0; i < n; i++)
        if (strchr("#$%*}", data[i]) != NULL)
            return;
    imp_gdb_frame(frame, data, n);
    for (guint i = 0; i < frame->len; i++) {
        ImpGdbEvent event = imp_gdb_take(decoder, frame->data[i]);
        g_assert_cmpint(event, ==, i + 1 < frame->len ? IMP_GDB_MORE : IMP_GDB_PACKET);
    }
    g_assert_cmpmem(decoder->payload, decoder->n_bytes, data, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree ImpGdbDecoder *decoder = g_new0(ImpGdbDecoder, 1);
    for (size_t i = 0; i < size; i++)
        if (imp_gdb_take(decoder, data[i]) == IMP_GDB_PACKET)
            check_packet(decoder);
    if (size > 0)
        check_frame(data, size);
    return 0;
}
