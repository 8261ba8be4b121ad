#include <string.h>

#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

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

/* RFC 4055, 4.1: RSAES-OAEP with SHA-256, MGF1 over the same, no label; parameters of SHA-256 absent (RFC 5754, 2) */
#define SHA256 "\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"
#define RSA_OAEP_SHA256                                                                                      \
    "\x30\x38\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07\x30\x2b\xa0\x0d" SHA256                            \
    "\xa1\x1a\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08" SHA256
#define RSA_BYTES (IMP_KEY_RSA_BITS / 8)

enum { FIELD_POINT, FIELD_RECIPIENT, FIELD_WRAPPED, FIELD_NONCE, FIELD_CIPHERTEXT, FIELD_TAG };

/* clang-format off */
#define BEFORE_RECIPIENT                                                                                     \
    IMP_DER_OPENS(0x30), /* ContentInfo */                                                                   \
        IMP_DER_BYTES_OR(OID_AUTH_ENVELOPED, IMP_E_ENVELOPE_CIPHER,                                          \
                 "not CMS AuthEnvelopedData: without its tag nothing shows whether it was changed"),         \
        IMP_DER_OPENS(0xa0),                                                                                 \
            IMP_DER_OPENS(0x30), /* AuthEnvelopedData */                                                     \
                IMP_DER_BYTES("\x02\x01\x00"), /* version */                                                 \
                IMP_DER_OPENS(0x31) /* recipientInfos */
#define AFTER_RECIPIENT                                                                                      \
                IMP_DER_CLOSES,                                                                              \
                IMP_DER_OPENS(0x30), /* authEncryptedContentInfo */                                          \
                    IMP_DER_BYTES(OID_DATA),                                                                 \
                    IMP_DER_OPENS(0x30),                                                                     \
                        IMP_DER_BYTES_OR(OID_AES256_GCM, IMP_E_ENVELOPE_CIPHER,                              \
                                         "the cipher is not AES-256-GCM"),                                   \
                        IMP_DER_OPENS(0x30), /* GCMParameters */                                             \
                            IMP_DER_VALUE(0x04, NONCE_BYTES, NONCE_BYTES, FIELD_NONCE),                      \
                            IMP_DER_BYTES_OR("\x02\x01\x10", IMP_E_ENVELOPE_TAG,                             \
                                             "the tag is not said to be 16 bytes long"),                     \
                        IMP_DER_CLOSES,                                                                      \
                    IMP_DER_CLOSES,                                                                          \
                    IMP_DER_VALUE(0x80, 1, IMP_CMS_CONTENT_MAX, FIELD_CIPHERTEXT),                           \
                IMP_DER_CLOSES,                                                                              \
                /* no authAttrs */                                                                           \
                {.kind = IMP_DER_FIELD, .tag = 0x04, .min_bytes = TAG_BYTES, .max_bytes = TAG_BYTES,         \
                 .field = FIELD_TAG, .code = IMP_E_ENVELOPE_TAG, .what = "the tag is not 16 bytes long"},    \
                /* no unauthAttrs */                                                                         \
            IMP_DER_CLOSES,                                                                                  \
        IMP_DER_CLOSES,                                                                                      \
    IMP_DER_CLOSES

static const ImpDerItem p256_template[] = {
    BEFORE_RECIPIENT,
                    IMP_DER_OPENS(0xa1), /* KeyAgreeRecipientInfo */
                        IMP_DER_BYTES("\x02\x01\x03"),
                        IMP_DER_OPENS(0xa0), /* originator */
                            IMP_DER_OPENS(0xa1), /* originatorKey */
                                IMP_DER_BYTES(EC_PUBLIC_KEY),
                                IMP_DER_VALUE(0x03, POINT_BYTES, POINT_BYTES, FIELD_POINT),
                            IMP_DER_CLOSES,
                        IMP_DER_CLOSES,
                        /* no ukm */
                        IMP_DER_BYTES(ECDH_SHA256_AES256),
                        IMP_DER_OPENS(0x30), /* recipientEncryptedKeys */
                            IMP_DER_OPENS(0x30),
                                IMP_DER_OPENS(0xa0), /* rKeyId */
                                    IMP_DER_VALUE(0x04, IMP_KEY_ID_BYTES, IMP_KEY_ID_BYTES, FIELD_RECIPIENT),
                                IMP_DER_CLOSES,
                                IMP_DER_VALUE(0x04, WRAPPED_BYTES, WRAPPED_BYTES, FIELD_WRAPPED),
                            IMP_DER_CLOSES,
                        IMP_DER_CLOSES,
                    IMP_DER_CLOSES,
    AFTER_RECIPIENT,
};

static const ImpDerItem rsa_template[] = {
    BEFORE_RECIPIENT,
                    IMP_DER_OPENS(0x30), /* KeyTransRecipientInfo */
                        IMP_DER_BYTES("\x02\x01\x02"), /* version: a recipient by subject key identifier */
                        IMP_DER_VALUE(0x80, IMP_KEY_ID_BYTES, IMP_KEY_ID_BYTES, FIELD_RECIPIENT),
                        IMP_DER_BYTES(RSA_OAEP_SHA256),
                        IMP_DER_VALUE(0x04, RSA_BYTES, RSA_BYTES, FIELD_WRAPPED),
                    IMP_DER_CLOSES,
    AFTER_RECIPIENT,
};
/* clang-format on */

gboolean imp_cms_parse_sealed(const guint8 *der, gsize n_der, guint16 suite, ImpKeyId *out_recipient,
                              GError **error)
{
    ImpDerField fields[IMP_DER_FIELDS_MAX];
    gboolean rsa = suite == IMP_IMAGE_SUITE_RSA;
    if (!imp_der_match(rsa ? rsa_template : p256_template,
                       rsa ? G_N_ELEMENTS(rsa_template) : G_N_ELEMENTS(p256_template), der, n_der, fields,
                       error))
        return FALSE;
    if (!rsa && (fields[FIELD_POINT].bytes[0] != 0x00 || fields[FIELD_POINT].bytes[1] != 0x04)) {
        imp_error_set(error, IMP_E_ENVELOPE_SHAPE, "envelope: the sender's key is no uncompressed point");
        return FALSE;
    }
    memcpy(out_recipient->bytes, fields[FIELD_RECIPIENT].bytes, IMP_KEY_ID_BYTES);
    return TRUE;
}

static gboolean fill_certificate(X509 *certificate, const ImpKey *key)
{
    EVP_PKEY *throw_away = EVP_EC_gen("P-256");
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    gboolean good =
        throw_away != NULL && id != NULL && X509_set_version(certificate, X509_VERSION_3) == 1 &&
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), 0) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) != NULL &&
        X509_set_pubkey(certificate, imp_key_pkey(key)) == 1 &&
        ASN1_OCTET_STRING_set(id, imp_key_id(key)->bytes, IMP_KEY_ID_BYTES) == 1 &&
        X509_add1_ext_i2d(certificate, NID_subject_key_identifier, id, 0, X509V3_ADD_DEFAULT) == 1 &&
        X509_sign(certificate, throw_away, EVP_sha256()) > 0;
    ASN1_OCTET_STRING_free(id);
    EVP_PKEY_free(throw_away);
    return good;
}

/* A certificate in memory that carries key under its ID: OpenSSL's CMS takes recipients in no other form. It is signed with
 * a throw-away key, and never leaves the process. Free with X509_free. */
static X509 *certificate_new(const ImpKey *key, GError **error)
{
    /* The public half alone: where the private one is does not matter here. */
    g_autoptr(GBytes) der = imp_key_public_der(key);
    g_autoptr(ImpKey) half = imp_key_from_public_der(der, error);
    if (half == NULL)
        return NULL;
    X509 *certificate = X509_new();
    if (certificate != NULL && fill_certificate(certificate, half))
        return certificate;
    X509_free(certificate);
    imp_openssl_error_set(error, IMP_E_CRYPTO, "no certificate for CMS could be made");
    return NULL;
}

/* The defaults are a KDF with SHA-1, and PKCS#1 v1.5: said explicitly. */
static gboolean set_scheme(EVP_PKEY_CTX *ctx, guint16 suite)
{
    if (suite == IMP_IMAGE_SUITE_P256)
        return EVP_PKEY_CTX_set_ecdh_kdf_md(ctx, EVP_sha256()) == 1;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1;
}

static gboolean add_recipient(CMS_ContentInfo *cms, X509 *certificate, guint16 suite, unsigned flags)
{
    CMS_RecipientInfo *info = CMS_add1_recipient_cert(cms, certificate, flags | CMS_KEY_PARAM);
    EVP_PKEY_CTX *ctx = info != NULL ? CMS_RecipientInfo_get0_pkey_ctx(info) : NULL;
    return ctx != NULL && set_scheme(ctx, suite);
}

GBytes *imp_cms_seal(const void *content, gsize n_bytes, const ImpKey *recipient, GError **error)
{
    g_assert(n_bytes >= 1 && n_bytes <= IMP_CMS_CONTENT_MAX);
    X509 *certificate = certificate_new(recipient, error);
    if (certificate == NULL)
        return NULL;
    const unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_USE_KEYID;
    BIO *in = BIO_new_mem_buf(content, (int)n_bytes);
    CMS_ContentInfo *cms = CMS_encrypt(NULL, NULL, EVP_aes_256_gcm(), flags);
    unsigned char *der = NULL;
    int n_der = 0;
    if (cms != NULL && add_recipient(cms, certificate, imp_key_suite(recipient), flags) &&
        CMS_final(cms, in, NULL, flags) == 1)
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
    if (!imp_cms_parse_sealed(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                              imp_key_suite(recipient), &check, error))
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
