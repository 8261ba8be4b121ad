/* The stored chunks of one section: plain length (4 bytes, little-endian), then the bytes as an unencrypted section stores
 * them, whose digests are made right here; then the same as an encrypted section under a fixed key. */
#include <stdint.h>
#include <string.h>

#include "image/section.h"

#define PLAIN_MAX (1024 * 1024)

static void read_section(const uint8_t *data, size_t size, guint64 plain_bytes, gboolean encrypted)
{
    guint64 overhead = encrypted ? IMP_SECTION_TAG_BYTES : 0;
    if (size <= overhead || size > IMP_SECTION_CHUNK_MIN)
        return;
    ImpSection section = {.plain_bytes = plain_bytes,
                          .packed_bytes = size - overhead,
                          .chunk_bytes = IMP_SECTION_CHUNK_MIN,
                          .encrypted = encrypted};
    if (!imp_section_measure(&section))
        return;
    ImpId image = {{1}};
    g_assert(section.stored_bytes == size && section.n_chunks == 1);
    section.chunk_sha256 = g_malloc(IMP_SHA256_BYTES);
    gsize n_digest = IMP_SHA256_BYTES;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, data, (gssize)size);
    g_checksum_get_digest(sum, section.chunk_sha256, &n_digest);
    GError *error = NULL;
    GBytes *plain = imp_section_read(&section, 0, &image, data, PLAIN_MAX, &error);
    g_assert((plain == NULL) == (error != NULL));
    if (plain != NULL) {
        g_assert(g_bytes_get_size(plain) == plain_bytes);
        g_bytes_unref(plain);
    }
    g_clear_error(&error);
    imp_section_done(&section);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    guint64 plain_bytes = data[0] | (guint64)data[1] << 8 | (guint64)data[2] << 16 | (guint64)data[3] << 24;
    read_section(data + 4, size - 4, plain_bytes, FALSE);
    read_section(data + 4, size - 4, plain_bytes, TRUE);
    return 0;
}
