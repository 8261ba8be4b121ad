#include "image/section.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <zstd.h>

#include "image/keys_openssl.h"
#include "image/secret.h"

#define ZSTD_LEVEL  12
#define NONCE_BYTES 12
#define AAD_BYTES   29

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

/* The packed section, in memory that is wiped when it is freed. */
static ImpSecret *pack(GBytes *plain, GError **error)
{
    gsize n_plain;
    const void *bytes = g_bytes_get_data(plain, &n_plain);
    gsize cap = ZSTD_compressBound(n_plain);
    g_autoptr(ImpSecret) packed = imp_secret_new(cap);
    if (packed == NULL) {
        imp_error_set(error, IMP_E_NO_MEMORY, "no memory to pack %" G_GSIZE_FORMAT " bytes", n_plain);
        return NULL;
    }
    gsize n_packed = ZSTD_compress(packed->bytes, cap, bytes, n_plain, ZSTD_LEVEL);
    if (ZSTD_isError(n_packed)) {
        imp_error_set(error, IMP_E_CRYPTO, "packing failed: %s", ZSTD_getErrorName(n_packed));
        return NULL;
    }
    packed->n_bytes = n_packed;
    return g_steal_pointer(&packed);
}

gboolean imp_section_write(GByteArray *payload, guint32 index, const ImpId *image, GBytes *plain,
                           const guint8 *key, ImpSection *out_section, GError **error)
{
    g_autoptr(ImpSecret) packed = pack(plain, error);
    if (packed == NULL)
        return FALSE;
    ImpSection section = {
        .plain_bytes = g_bytes_get_size(plain),
        .packed_bytes = packed->n_bytes,
        .chunk_bytes = IMP_SECTION_CHUNK,
        .encrypted = key != NULL,
    };
    if (!imp_section_measure(&section) || payload->len + section.stored_bytes > IMP_IMAGE_PAYLOAD_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "the payload is larger than %u bytes", IMP_IMAGE_PAYLOAD_MAX);
        return FALSE;
    }
    gsize at = payload->len;
    g_byte_array_set_size(payload, (guint)(at + section.stored_bytes));
    section.chunk_sha256 = g_malloc((gsize)section.n_chunks * IMP_SHA256_BYTES);
    gboolean good = TRUE;
    for (guint32 i = 0; good && i < section.n_chunks; i++) {
        Place place = place_of(&section, index, i);
        const guint8 *from = packed->bytes + (gsize)i * section.chunk_bytes;
        gsize n_stored = place.plain_bytes + (section.encrypted ? IMP_SECTION_TAG_BYTES : 0);
        if (section.encrypted)
            good = seal_chunk(key, image, &place, from, payload->data + at);
        else
            memcpy(payload->data + at, from, n_stored);
        imp_sha256(payload->data + at, n_stored, section.chunk_sha256 + (gsize)i * IMP_SHA256_BYTES);
        at += n_stored;
    }
    if (!good) {
        imp_openssl_error_set(error, IMP_E_CRYPTO, "encryption failed");
        imp_section_done(&section);
        return FALSE;
    }
    if (section.encrypted)
        memcpy(section.key, key, IMP_SECTION_KEY_BYTES);
    *out_section = section;
    return TRUE;
}

/* All chunks, checked and decrypted, into packed. */
static gboolean read_chunks(const ImpSection *section, guint32 index, const ImpId *image,
                            const guint8 *stored, guint8 *packed, GError **error)
{
    gsize at = 0;
    for (guint32 i = 0; i < section->n_chunks; i++) {
        Place place = place_of(section, index, i);
        guint8 digest[IMP_SHA256_BYTES];
        gsize n_stored = place.plain_bytes + (section->encrypted ? IMP_SECTION_TAG_BYTES : 0);
        imp_sha256(stored + at, n_stored, digest);
        if (memcmp(digest, section->chunk_sha256 + (gsize)i * IMP_SHA256_BYTES, sizeof digest) != 0) {
            imp_error_set(error, IMP_E_CHUNK_DIGEST, "section %u, chunk %u: its digest is another", index, i);
            return FALSE;
        }
        guint8 *to = packed + (gsize)i * section->chunk_bytes;
        if (!section->encrypted) {
            memcpy(to, stored + at, n_stored);
        } else if (!open_chunk(section->key, image, &place, stored + at, to)) {
            imp_openssl_error_set(error, IMP_E_CHUNK_OPEN, "a chunk cannot be decrypted");
            g_prefix_error(error, "section %u, chunk %u: ", index, i);
            return FALSE;
        }
        at += n_stored;
    }
    g_assert(at == section->stored_bytes);
    return TRUE;
}

/* One whole frame that says its size, which is the manifest's: nothing is allocated on the frame's word. */
static gboolean unpack(const ImpSecret *packed, ImpSecret *plain)
{
    if (ZSTD_findFrameCompressedSize(packed->bytes, packed->n_bytes) != packed->n_bytes ||
        ZSTD_getFrameContentSize(packed->bytes, packed->n_bytes) != plain->n_bytes)
        return FALSE;
    return ZSTD_decompress(plain->bytes, plain->n_bytes, packed->bytes, packed->n_bytes) == plain->n_bytes;
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
        imp_error_set(error, IMP_E_SECTION_UNPACK,
                      "section %u does not unpack to %" G_GUINT64_FORMAT " bytes", index,
                      section->plain_bytes);
        return NULL;
    }
    return imp_secret_to_bytes(g_steal_pointer(&plain));
}
