/* CMSIS-DAP requests from anyone: the input is a list of packets, each with its length before it (u16, little-endian). The sum of its bytes
 * chooses the chip. */
#include "board/board.h"

#include <glib.h>

#define PACKETS_MAX 64u

static const char *choose(const uint8_t *data, size_t size)
{
    const char *const *chips = imp_board_chips();
    guint sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += data[i];
    return chips[sum % g_strv_length((char **)chips)];
}

/* An STM32G071 at protection level 2 never answers again (docs/board.md). */
static gboolean is_dead(const ImpBoard *b)
{
    guint8 rdp;
    return imp_board_peek(b, 0x1FFF7800, &rdp, 1) && rdp == 0xCC;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ImpBoard *b = imp_board_new(choose(data, size), 1, NULL, NULL);
    g_assert_nonnull(b);
    guint8 response[IMP_BOARD_PACKET_SIZE_DEFAULT];
    for (guint i = 0; i < PACKETS_MAX && size >= 2; i++) {
        gsize n = MIN(data[0] | (gsize)data[1] << 8, size - 2);
        g_autofree guint8 *packet = g_memdup2(data + 2, n); /* exact: a read past the end is seen */
        gsize got = imp_board_dap(b, packet ? packet : (const guint8 *)"", n, response, sizeof response);
        g_assert_cmpuint(got, <=, sizeof response);
        g_assert_true(got > 0 || n == 0 || packet[0] == 0x07);
        data += 2 + n;
        size -= 2 + n;
    }
    /* whatever was sent: the wire still works for the next host */
    const guint8 attach[][16] = {
        {2, 0x02, 1}, {10, 0x12, 64, 255, 255, 255, 255, 255, 255, 255, 0}, {2, 0x13, 0}, {4, 0x05, 0, 1, 2}};
    gsize got = 0;
    for (guint i = 0; i < G_N_ELEMENTS(attach); i++)
        got = imp_board_dap(b, attach[i] + 1, attach[i][0], response, sizeof response);
    if (!is_dead(b)) {
        g_assert_cmpuint(got, ==, 7);
        g_assert_cmphex(response[2], ==, 1);
    }
    imp_board_free(b);
    return 0;
}
