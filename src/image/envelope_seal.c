#include <string.h>

#include <openssl/cms.h>
#include <openssl/ec.h>

#include "image/der.h"
#include "image/envelope.h"
#include "image/keys_openssl.h"

/* Object identifiers, as whole elements. */
#define OID_AUTH_ENVELOPED "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17" /* RFC 5083, 2.1 */
#define OID_DATA           "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" /* RFC 5652, 4 */
#define OID_AES256_GCM     "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2e" /* RFC 5084, 3.2 */
#define EC_PUBLIC_KEY      "\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x02\x01" /* RFC 5753, 3.1.1: no parameters */
/* RFC 5753, 7.1.4: dhSinglePass-stdDH-sha256kdf-scheme with aes256-wrap (RFC 3565, 2.3.2) */
#define ECDH_SHA256_AES256                                                                                   \
    "\x30\x15\x06\x06\x2b\x81\x04\x01\x0b\x01\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2d"
#define POINT_BYTES   66 /* no unused bits, then 04 and both coordinates */
#define WRAPPED_BYTES 40 /* RFC 3394: 32-byte key and 8 bytes of integrity check */
#define NONCE_BYTES   12
#define TAG_BYTES     16

#define OPEN(t)                                                                                              \
    {                                                                                                        \
        .kind = IMP_DER_OPEN, .tag = (t)                                                                     \
    }
#define CLOSE                                                                                                \
    {                                                                                                        \
        .kind = IMP_DER_CLOSE                                                                                \
    }
#define EXACT(bytes)                                                                                         \
    {                                                                                                        \
        .kind = IMP_DER_EXACT, .exact = (bytes), .n_exact = sizeof(bytes) - 1                                \
    }
#define EXACT_OR(bytes, error_code, text)                                                                    \
    {                                                                                                        \
        .kind = IMP_DER_EXACT, .exact = (bytes), .n_exact = sizeof(bytes) - 1, .code = (error_code),         \
        .what = (text)                                                                                       \
    }
#define FIELD(t, min, max, index)                                                                            \
    {                                                                                                        \
        .kind = IMP_DER_FIELD, .tag = (t), .min_bytes = (min), .max_bytes = (max), .field = (index)          \
    }

enum { FIELD_POINT, FIELD_RECIPIENT, FIELD_WRAPPED, FIELD_NONCE, FIELD_CIPHERTEXT, FIELD_TAG };

/* clang-format off */
static const ImpDerItem sealed_template[] = {
    OPEN(0x30), /* ContentInfo */
        EXACT_OR(OID_AUTH_ENVELOPED, IMP_E_ENVELOPE_CIPHER,
                 "not CMS AuthEnvelopedData: without its tag nothing shows whether it was changed"),
        OPEN(0xa0),
            OPEN(0x30), /* AuthEnvelopedData */
                EXACT("\x02\x01\x00"), /* version */
                OPEN(0x31), /* recipientInfos */
                    OPEN(0xa1), /* KeyAgreeRecipientInfo */
                        EXACT("\x02\x01\x03"),
                        OPEN(0xa0), /* originator */
                            OPEN(0xa1), /* originatorKey */
                                EXACT(EC_PUBLIC_KEY),
                                FIELD(0x03, POINT_BYTES, POINT_BYTES, FIELD_POINT),
                            CLOSE,
                        CLOSE,
                        /* no ukm */
                        EXACT(ECDH_SHA256_AES256),
                        OPEN(0x30), /* recipientEncryptedKeys */
                            OPEN(0x30),
                                OPEN(0xa0), /* rKeyId */
                                    FIELD(0x04, IMP_KEY_ID_BYTES, IMP_KEY_ID_BYTES, FIELD_RECIPIENT),
                                CLOSE,
                                FIELD(0x04, WRAPPED_BYTES, WRAPPED_BYTES, FIELD_WRAPPED),
                            CLOSE,
                        CLOSE,
                    CLOSE,
                CLOSE,
                OPEN(0x30), /* authEncryptedContentInfo */
                    EXACT(OID_DATA),
                    OPEN(0x30),
                        EXACT_OR(OID_AES256_GCM, IMP_E_ENVELOPE_CIPHER, "the cipher is not AES-256-GCM"),
                        OPEN(0x30), /* GCMParameters */
                            FIELD(0x04, NONCE_BYTES, NONCE_BYTES, FIELD_NONCE),
                            EXACT_OR("\x02\x01\x10", IMP_E_ENVELOPE_TAG, "the tag is not said to be 16 bytes long"),
                        CLOSE,
                    CLOSE,
                    FIELD(0x80, 1, IMP_CMS_CONTENT_MAX, FIELD_CIPHERTEXT),
                CLOSE,
                /* no authAttrs */
                {.kind = IMP_DER_FIELD, .tag = 0x04, .min_bytes = TAG_BYTES, .max_bytes = TAG_BYTES,
                 .field = FIELD_TAG, .code = IMP_E_ENVELOPE_TAG, .what = "the tag is not 16 bytes long"},
                /* no unauthAttrs */
            CLOSE,
        CLOSE,
    CLOSE,
};
/* clang-format on */

gboolean imp_cms_parse_sealed(const guint8 *der, gsize n_der, ImpKeyId *out_recipient, GError **error)
{
    ImpDerField fields[IMP_DER_FIELDS_MAX];
    if (!imp_der_match(sealed_template, G_N_ELEMENTS(sealed_template), der, n_der, fields, error))
        return FALSE;
    if (fields[FIELD_POINT].bytes[0] != 0x00 || fields[FIELD_POINT].bytes[1] != 0x04) {
        imp_error_set(error, IMP_E_ENVELOPE_SHAPE, "envelope: the sender's key is no uncompressed point");
        return FALSE;
    }
    memcpy(out_recipient->bytes, fields[FIELD_RECIPIENT].bytes, IMP_KEY_ID_BYTES);
    return TRUE;
}

/* The KDF's default is SHA-1: said explicitly. */
static gboolean add_recipient(CMS_ContentInfo *cms, X509 *certificate, unsigned flags)
{
    CMS_RecipientInfo *info = CMS_add1_recipient_cert(cms, certificate, flags | CMS_KEY_PARAM);
    EVP_PKEY_CTX *ctx = info != NULL ? CMS_RecipientInfo_get0_pkey_ctx(info) : NULL;
    return ctx != NULL && EVP_PKEY_CTX_set_ecdh_kdf_md(ctx, EVP_sha256()) == 1;
}

GBytes *imp_cms_seal(const void *content, gsize n_bytes, const ImpKey *recipient, GError **error)
{
    g_assert(n_bytes >= 1 && n_bytes <= IMP_CMS_CONTENT_MAX);
    X509 *certificate = imp_cms_certificate_new(recipient, error);
    if (certificate == NULL)
        return NULL;
    const unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_USE_KEYID;
    BIO *in = BIO_new_mem_buf(content, (int)n_bytes);
    CMS_ContentInfo *cms = CMS_encrypt(NULL, NULL, EVP_aes_256_gcm(), flags);
    unsigned char *der = NULL;
    int n_der = 0;
    if (cms != NULL && add_recipient(cms, certificate, flags) && CMS_final(cms, in, NULL, flags) == 1)
        n_der = i2d_CMS_ContentInfo(cms, &der);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    X509_free(certificate);
    if (n_der <= 0) {
        imp_openssl_error_set(error, IMP_E_CRYPTO, "encryption failed");
        return NULL;
    }
    GBytes *bytes = g_bytes_new(der, (gsize)n_der);
    OPENSSL_free(der);
    ImpKeyId check;
    if (!imp_cms_parse_sealed(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &check, error))
        g_clear_pointer(&bytes, g_bytes_unref);
    return bytes;
}

static ImpSecret *secret_of_bio(BIO *bio)
{
    char *plain;
    long n_plain = BIO_get_mem_data(bio, &plain);
    ImpSecret *secret = imp_secret_new((gsize)n_plain);
    if (secret != NULL && n_plain > 0)
        memcpy(secret->bytes, plain, (gsize)n_plain);
    return secret;
}

ImpSecret *imp_cms_open(const guint8 *der, gsize n_der, const ImpKey *key, GError **error)
{
    if (!imp_key_has_private(key)) {
        imp_error_set(error, IMP_E_KEY_PRIVATE_MISSING, "opening needs the private half of the key");
        return NULL;
    }
    const unsigned char *at = der;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)n_der);
    BIO *out = BIO_new(BIO_s_secmem()); /* wiped when it grows and when it is freed */
    ImpSecret *secret = NULL;
    if (cms != NULL && out != NULL && CMS_decrypt(cms, imp_key_pkey(key), NULL, NULL, out, CMS_BINARY) == 1)
        secret = secret_of_bio(out);
    BIO_free(out);
    CMS_ContentInfo_free(cms);
    if (secret == NULL)
        imp_openssl_error_set(error, IMP_E_ENVELOPE_OPEN, "the envelope cannot be opened with its key");
    return secret;
}
