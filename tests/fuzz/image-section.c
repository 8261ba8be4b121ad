/* The stored chunks of one section: plain length (4 bytes, little-endian), then the bytes as an unencrypted section stores
 * them, whose digests are made right here; then the same as an encrypted section under a fixed key. */
#include <stdint.h>
#include <string.h>

#include "image/section.h"

#define PLAIN_MAX (1024 * 1024)

/* In pieces it is the same, or refused as well. */
typedef struct {
    const uint8_t *stored;
    GByteArray *plain;
    guint8 room[IMP_SECTION_PIECE];
} Pieces;

static const guint8 *give_stored(gpointer user, gsize n_bytes, GError **error)
{
    Pieces *pieces = user;
    pieces->stored += n_bytes;
    return pieces->stored - n_bytes;
}

static guint8 *give_room(gpointer user)
{
    return ((Pieces *)user)->room;
}

static void take_plain(gpointer user, gsize n_bytes)
{
    Pieces *pieces = user;
    g_byte_array_append(pieces->plain, pieces->room, (guint)n_bytes);
}

static void compare_stream(const ImpSection *section, const ImpId *image, const uint8_t *data, GBytes *plain,
                           const GError *error)
{
    g_autofree Pieces *pieces = g_new0(Pieces, 1);
    pieces->stored = data;
    pieces->plain = g_byte_array_new();
    const ImpSectionStream stream = {give_stored, give_room, take_plain, pieces};
    g_autoptr(GError) why = NULL;
    if (imp_section_stream(section, 0, image, &stream, &why))
        g_assert(plain != NULL && pieces->plain->len == g_bytes_get_size(plain) &&
                 (pieces->plain->len == 0 ||
                  memcmp(pieces->plain->data, g_bytes_get_data(plain, NULL), pieces->plain->len) == 0));
    else
        g_assert(plain == NULL && why->code == error->code);
    g_byte_array_unref(pieces->plain);
}

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
    if (plain != NULL || error->code != IMP_E_LIMIT)
        compare_stream(&section, &image, data, plain, error);
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
