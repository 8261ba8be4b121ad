#include "image/section.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_createDCtx_advanced, ZSTD_getFrameHeader */
#include <zstd.h>

#include "image/keys_openssl.h"
#include "image/secret.h"

#define ZSTD_LEVEL     3
#define WINDOW_LOG_MAX 23 /* 8 MiB; level 3 needs 2 */
#define SECRET_HEAD    64
#define NONCE_BYTES    12
#define AAD_BYTES      29

void imp_section_done(ImpSection *section)
{
    g_free(section->chunk_sha256);
    OPENSSL_cleanse(section, sizeof *section);
}

gboolean imp_section_measure(ImpSection *section)
{
    guint32 chunk = section->chunk_bytes;
    if (chunk < IMP_SECTION_CHUNK_MIN || chunk > IMP_SECTION_CHUNK_MAX || (chunk & (chunk - 1)) != 0 ||
        section->packed_bytes < 1 || section->packed_bytes > IMP_IMAGE_PAYLOAD_MAX)
        return FALSE;
    guint64 n_chunks = (section->packed_bytes + chunk - 1) / chunk;
    if (n_chunks > IMP_SECTION_CHUNKS_MAX)
        return FALSE;
    section->n_chunks = (guint32)n_chunks;
    section->stored_bytes =
        section->packed_bytes + (section->encrypted ? n_chunks * IMP_SECTION_TAG_BYTES : 0);
    return TRUE;
}

/* --- one chunk ------------------------------------------------------------------------------------------------------ */

typedef struct {
    guint32 section, chunk;
    gboolean last;
    guint32 plain_bytes; /* of the chunk, before encryption */
} Place;

static guint8 *put_be(guint8 *at, guint n_bytes, guint64 value)
{
    for (guint i = 0; i < n_bytes; i++)
        at[i] = (guint8)(value >> (8 * (n_bytes - 1 - i)));
    return at + n_bytes;
}

static void put_nonce(guint8 nonce[NONCE_BYTES], const Place *place)
{
    put_be(put_be(nonce, 4, place->section), 8, place->chunk);
}

static void put_aad(guint8 aad[AAD_BYTES], const ImpId *image, const Place *place)
{
    memcpy(aad, image->bytes, IMP_ID_BYTES);
    guint8 *at = put_be(put_be(aad + IMP_ID_BYTES, 4, place->section), 4, place->chunk);
    at = put_be(at, 1, place->last ? 1 : 0);
    at = put_be(at, 4, place->plain_bytes);
    g_assert(at == aad + AAD_BYTES);
}

/* from: plain bytes; to: as many bytes and the tag. */
static gboolean seal_chunk(const guint8 *key, const ImpId *image, const Place *place, const guint8 *from,
                           guint8 *to)
{
    guint8 nonce[NONCE_BYTES], aad[AAD_BYTES];
    int n, n_plain = (int)place->plain_bytes;
    put_nonce(nonce, place);
    put_aad(aad, image, place);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    gboolean good = EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL) == 1 &&
                    EVP_EncryptUpdate(ctx, NULL, &n, aad, AAD_BYTES) == 1 &&
                    EVP_EncryptUpdate(ctx, to, &n, from, n_plain) == 1 && n == n_plain &&
                    EVP_EncryptFinal_ex(ctx, to + n_plain, &n) == 1 && n == 0 &&
                    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, IMP_SECTION_TAG_BYTES, to + n_plain) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return good;
}

static gboolean open_chunk(const guint8 *key, const ImpId *image, const Place *place, const guint8 *from,
                           guint8 *to)
{
    guint8 nonce[NONCE_BYTES], aad[AAD_BYTES], tag[IMP_SECTION_TAG_BYTES];
    int n, n_plain = (int)place->plain_bytes;
    put_nonce(nonce, place);
    put_aad(aad, image, place);
    memcpy(tag, from + n_plain, sizeof tag);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    gboolean good = EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL) == 1 &&
                    EVP_DecryptUpdate(ctx, NULL, &n, aad, AAD_BYTES) == 1 &&
                    EVP_DecryptUpdate(ctx, to, &n, from, n_plain) == 1 && n == n_plain &&
                    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
                    EVP_DecryptFinal_ex(ctx, to + n_plain, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return good;
}

static Place place_of(const ImpSection *section, guint32 index, guint32 chunk)
{
    guint64 at = (guint64)chunk * section->chunk_bytes;
    return (Place){
        .section = index,
        .chunk = chunk,
        .last = chunk + 1 == section->n_chunks,
        .plain_bytes = (guint32)MIN((guint64)section->chunk_bytes, section->packed_bytes - at),
    };
}

/* --- sections ------------------------------------------------------------------------------------------------------- */

/* A section that is being written: what the compressor has put out of the chunk that comes next. */
typedef struct {
    GByteArray *payload;
    const ImpId *image;
    const guint8 *key;
    guint32 index;
    ImpSection *section;
    GByteArray *sums;
    ImpSecret *chunk;
    gsize used;
} Writer;

static gboolean write_chunk(Writer *writer, gboolean last, GError **error)
{
    ImpSection *section = writer->section;
    const Place place = {writer->index, section->n_chunks, last, (guint32)writer->used};
    gsize at = writer->payload->len,
          n_stored = writer->used + (section->encrypted ? IMP_SECTION_TAG_BYTES : 0);
    if (at + n_stored > IMP_IMAGE_PAYLOAD_MAX || section->n_chunks == IMP_SECTION_CHUNKS_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "the payload is larger than %u bytes", IMP_IMAGE_PAYLOAD_MAX);
        return FALSE;
    }
    g_byte_array_set_size(writer->payload, (guint)(at + n_stored));
    guint8 *to = writer->payload->data + at, digest[IMP_SHA256_BYTES];
    if (!section->encrypted) {
        memcpy(to, writer->chunk->bytes, n_stored);
    } else if (!seal_chunk(writer->key, writer->image, &place, writer->chunk->bytes, to)) {
        imp_openssl_error_set(error, IMP_E_CRYPTO, "encryption failed");
        return FALSE;
    }
    imp_sha256(to, n_stored, digest);
    g_byte_array_append(writer->sums, digest, sizeof digest);
    section->packed_bytes += writer->used;
    section->n_chunks++;
    writer->used = 0;
    return TRUE;
}

static gboolean write_chunks(Writer *writer, ZSTD_CCtx *zstd, GBytes *plain, GError **error)
{
    gsize n_plain;
    const void *bytes = g_bytes_get_data(plain, &n_plain);
    ZSTD_inBuffer in = {bytes, n_plain, 0};
    gsize left = ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    if (!ZSTD_isError(left))
        left = ZSTD_CCtx_setPledgedSrcSize(zstd, n_plain); /* so that the frame says its content size */
    do {
        ZSTD_outBuffer out = {writer->chunk->bytes, writer->chunk->n_bytes, writer->used};
        if (!ZSTD_isError(left))
            left = ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_end);
        if (ZSTD_isError(left)) {
            imp_error_set(error, IMP_E_CRYPTO, "packing failed: %s", ZSTD_getErrorName(left));
            return FALSE;
        }
        writer->used = out.pos;
        if ((left == 0 || out.pos == out.size) && !write_chunk(writer, left == 0, error))
            return FALSE;
    } while (left != 0);
    return TRUE;
}

gboolean imp_section_write(GByteArray *payload, guint32 index, const ImpId *image, GBytes *plain,
                           const guint8 *key, ImpSection *out_section, GError **error)
{
    ImpSection section = {
        .plain_bytes = g_bytes_get_size(plain), .chunk_bytes = IMP_SECTION_CHUNK, .encrypted = key != NULL};
    g_autoptr(ImpSecret) chunk = imp_secret_new(IMP_SECTION_CHUNK);
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    if (chunk == NULL || zstd == NULL) {
        imp_error_set(error, IMP_E_NO_MEMORY, "no memory to pack a section");
        ZSTD_freeCCtx(zstd);
        return FALSE;
    }
    Writer writer = {.payload = payload,
                     .image = image,
                     .key = key,
                     .index = index,
                     .section = &section,
                     .sums = g_byte_array_new(),
                     .chunk = chunk};
    gboolean good = write_chunks(&writer, zstd, plain, error);
    ZSTD_freeCCtx(zstd);
    section.chunk_sha256 = g_byte_array_free(writer.sums, FALSE);
    if (!good) {
        imp_section_done(&section);
        return FALSE;
    }
    guint32 n_chunks = section.n_chunks;
    gboolean measured = imp_section_measure(&section);
    g_assert(measured && section.n_chunks == n_chunks);
    if (section.encrypted)
        memcpy(section.key, key, IMP_SECTION_KEY_BYTES);
    *out_section = section;
    return TRUE;
}

static gsize stored_size(const ImpSection *section, const Place *place)
{
    return place->plain_bytes + (section->encrypted ? IMP_SECTION_TAG_BYTES : 0);
}

/* One chunk, checked and decrypted. */
static gboolean read_chunk(const ImpSection *section, const Place *place, const ImpId *image,
                           const guint8 *stored, guint8 *packed, GError **error)
{
    guint8 digest[IMP_SHA256_BYTES];
    imp_sha256(stored, stored_size(section, place), digest);
    if (memcmp(digest, section->chunk_sha256 + (gsize)place->chunk * IMP_SHA256_BYTES, sizeof digest) != 0) {
        imp_error_set(error, IMP_E_CHUNK_DIGEST, "section %u, chunk %u: its digest is another",
                      place->section, place->chunk);
        return FALSE;
    }
    if (!section->encrypted) {
        memcpy(packed, stored, place->plain_bytes);
    } else if (!open_chunk(section->key, image, place, stored, packed)) {
        imp_openssl_error_set(error, IMP_E_CHUNK_OPEN, "a chunk cannot be decrypted");
        g_prefix_error(error, "section %u, chunk %u: ", place->section, place->chunk);
        return FALSE;
    }
    return TRUE;
}

/* All chunks into packed. */
static gboolean read_chunks(const ImpSection *section, guint32 index, const ImpId *image,
                            const guint8 *stored, guint8 *packed, GError **error)
{
    gsize at = 0;
    for (guint32 i = 0; i < section->n_chunks; i++) {
        Place place = place_of(section, index, i);
        if (!read_chunk(section, &place, image, stored + at, packed + (gsize)i * section->chunk_bytes, error))
            return FALSE;
        at += stored_size(section, &place);
    }
    g_assert(at == section->stored_bytes);
    return TRUE;
}

/* One whole frame that says its size, which is the manifest's: nothing is allocated on the frame's word. */
static gboolean unpack(const ImpSecret *packed, ImpSecret *plain)
{
    ZSTD_frameHeader header;
    if (ZSTD_getFrameHeader(&header, packed->bytes, packed->n_bytes) != 0 ||
        header.windowSize > (1ull << WINDOW_LOG_MAX) ||
        ZSTD_findFrameCompressedSize(packed->bytes, packed->n_bytes) != packed->n_bytes ||
        ZSTD_getFrameContentSize(packed->bytes, packed->n_bytes) != plain->n_bytes)
        return FALSE;
    return ZSTD_decompress(plain->bytes, plain->n_bytes, packed->bytes, packed->n_bytes) == plain->n_bytes;
}

static void set_unpack(const ImpSection *section, guint32 index, GError **error)
{
    imp_error_set(error, IMP_E_SECTION_UNPACK, "section %u does not unpack to %" G_GUINT64_FORMAT " bytes",
                  index, section->plain_bytes);
}

GBytes *imp_section_read(const ImpSection *section, guint32 index, const ImpId *image, const guint8 *stored,
                         guint64 max_bytes, GError **error)
{
    if (section->plain_bytes > max_bytes) {
        imp_error_set(error, IMP_E_LIMIT,
                      "section %u has %" G_GUINT64_FORMAT " bytes, the limit is %" G_GUINT64_FORMAT, index,
                      section->plain_bytes, max_bytes);
        return NULL;
    }
    g_autoptr(ImpSecret) packed = imp_secret_new((gsize)section->packed_bytes);
    g_autoptr(ImpSecret) plain = imp_secret_new((gsize)section->plain_bytes);
    if (packed == NULL || plain == NULL) {
        imp_error_set(error, IMP_E_NO_MEMORY, "no memory for section %u of %" G_GUINT64_FORMAT " bytes",
                      index, section->plain_bytes);
        return NULL;
    }
    if (!read_chunks(section, index, image, stored, packed->bytes, error))
        return NULL;
    if (!unpack(packed, plain)) {
        set_unpack(section, index, error);
        return NULL;
    }
    return imp_secret_to_bytes(g_steal_pointer(&plain));
}

/* --- in pieces ------------------------------------------------------------------------------------------------------ */

/* The decompressor's memory holds plaintext: locked and wiped like all of it. Where the secret is stands before what is handed out. */
static void *secret_alloc(void *opaque, size_t n_bytes)
{
    ImpSecret *secret = n_bytes <= G_MAXSIZE - SECRET_HEAD ? imp_secret_new(n_bytes + SECRET_HEAD) : NULL;
    if (secret == NULL)
        return NULL;
    memcpy(secret->bytes, &secret, sizeof secret);
    return secret->bytes + SECRET_HEAD;
}

static void secret_free(void *opaque, void *at)
{
    ImpSecret *secret;
    if (at == NULL)
        return;
    memcpy(&secret, (guint8 *)at - SECRET_HEAD, sizeof secret);
    imp_secret_free(secret);
}

/* One packed chunk through the decompressor; *left is what it asks for next, 0 at the frame's end. */
static gboolean unpack_chunk(ZSTD_DCtx *zstd, const guint8 *packed, gsize n_packed, guint64 *wanted_bytes,
                             gsize *left, const ImpSectionStream *stream)
{
    ZSTD_inBuffer in = {packed, n_packed, 0};
    ZSTD_outBuffer out;
    do {
        if (*left == 0)
            return FALSE; /* something behind the frame */
        out = (ZSTD_outBuffer){stream->room(stream->user), IMP_SECTION_PIECE, 0};
        *left = ZSTD_decompressStream(zstd, &out, &in);
        if (ZSTD_isError(*left) || out.pos > *wanted_bytes)
            return FALSE;
        *wanted_bytes -= out.pos;
        stream->plain(stream->user, out.pos);
    } while (in.pos < in.size || (out.pos == out.size && *left != 0));
    return TRUE;
}

gboolean imp_section_stream(const ImpSection *section, guint32 index, const ImpId *image,
                            const ImpSectionStream *stream, GError **error)
{
    g_autoptr(ImpSecret) packed = imp_secret_new(section->chunk_bytes);
    ZSTD_DCtx *zstd = ZSTD_createDCtx_advanced((ZSTD_customMem){secret_alloc, secret_free, NULL});
    if (packed == NULL || zstd == NULL ||
        ZSTD_isError(ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
        imp_error_set(error, IMP_E_NO_MEMORY, "no memory to unpack a section");
        ZSTD_freeDCtx(zstd);
        return FALSE;
    }
    guint64 wanted_bytes = section->plain_bytes;
    gsize left = 1;
    gboolean good = TRUE, unpacks = TRUE;
    for (guint32 i = 0; good && unpacks && i < section->n_chunks; i++) {
        Place place = place_of(section, index, i);
        const guint8 *stored = stream->stored(stream->user, stored_size(section, &place), error);
        good = stored != NULL && read_chunk(section, &place, image, stored, packed->bytes, error);
        unpacks =
            good &&
            (i > 0 || ZSTD_getFrameContentSize(packed->bytes, place.plain_bytes) == section->plain_bytes) &&
            unpack_chunk(zstd, packed->bytes, place.plain_bytes, &wanted_bytes, &left, stream);
    }
    ZSTD_freeDCtx(zstd);
    if (good && (!unpacks || left != 0 || wanted_bytes != 0)) {
        set_unpack(section, index, error);
        return FALSE;
    }
    return good;
}
