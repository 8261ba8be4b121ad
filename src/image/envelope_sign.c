#include <string.h>

#include <openssl/rsa.h>

#include "image/der.h"
#include "image/envelope.h"
#include "image/keys_openssl.h"

/* Object identifiers, as whole elements. */
#define OID_SIGNED_DATA "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" /* RFC 5652, 5.1 */
#define OID_DATA        "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" /* RFC 5652, 4 */
#define OID_SHA256      "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01" /* RFC 5754, 2.2 */
#define SHA256          "\x30\x0b" OID_SHA256 /* there: no parameters */
#define ECDSA_SHA256    "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02" /* RFC 5754, 3.3 */
#define INTEGER_3       "\x02\x01\x03"
/* RFC 4055, 2.1 and 3.1: RSASSA-PSS with SHA-256 (here with NULL), MGF1 over the same, 32 bytes of salt */
#define SHA256_NULL "\x30\x0d" OID_SHA256 "\x05\x00"
#define MGF1_SHA256 "\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08" SHA256_NULL
#define RSA_PSS                                                                                              \
    "\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f" SHA256_NULL                       \
    "\xa1\x1c" MGF1_SHA256 "\xa2\x03\x02\x01\x20"
#define SALT_BYTES      32
#define ECDSA_BYTES_MIN 8
#define ECDSA_BYTES_MAX 72 /* SEQUENCE of two INTEGERs of at most 33 bytes */
#define RSA_BYTES       (IMP_KEY_RSA_BITS / 8)
#define AROUND_MAX      1024 /* bytes of a SignedData beside its content */

enum { FIELD_CONTENT, FIELD_SIGNER, FIELD_SIGNATURE };

/* clang-format off */
#define SIGNED_TEMPLATE(algorithm, signature_min, signature_max) {                                           \
    IMP_DER_OPENS(0x30), /* ContentInfo */                                                                   \
        IMP_DER_BYTES(OID_SIGNED_DATA),                                                                      \
        IMP_DER_OPENS(0xa0),                                                                                 \
            IMP_DER_OPENS(0x30), /* SignedData */                                                            \
                IMP_DER_BYTES(INTEGER_3), /* version: a signer by subject key identifier */                  \
                IMP_DER_BYTES("\x31\x0d" SHA256), /* digestAlgorithms */                                     \
                IMP_DER_OPENS(0x30), /* encapContentInfo */                                                  \
                    IMP_DER_BYTES(OID_DATA),                                                                 \
                    IMP_DER_OPENS(0xa0),                                                                     \
                        IMP_DER_VALUE(0x04, 1, IMP_CMS_CONTENT_MAX, FIELD_CONTENT),                          \
                    IMP_DER_CLOSES,                                                                          \
                IMP_DER_CLOSES,                                                                              \
                /* no certificates, no crls */                                                               \
                IMP_DER_OPENS(0x31), /* signerInfos */                                                       \
                    IMP_DER_OPENS(0x30),                                                                     \
                        IMP_DER_BYTES(INTEGER_3),                                                            \
                        IMP_DER_VALUE(0x80, IMP_KEY_ID_BYTES, IMP_KEY_ID_BYTES, FIELD_SIGNER),               \
                        IMP_DER_BYTES(SHA256),                                                               \
                        /* no signedAttrs */                                                                 \
                        IMP_DER_BYTES(algorithm),                                                            \
                        IMP_DER_VALUE(0x04, signature_min, signature_max, FIELD_SIGNATURE),                  \
                        /* no unsignedAttrs */                                                               \
                    IMP_DER_CLOSES,                                                                          \
                IMP_DER_CLOSES,                                                                              \
            IMP_DER_CLOSES,                                                                                  \
        IMP_DER_CLOSES,                                                                                      \
    IMP_DER_CLOSES,                                                                                          \
}
static const ImpDerItem p256_template[] = SIGNED_TEMPLATE(ECDSA_SHA256, ECDSA_BYTES_MIN, ECDSA_BYTES_MAX);
static const ImpDerItem rsa_template[] = SIGNED_TEMPLATE(RSA_PSS, RSA_BYTES, RSA_BYTES);
#define N_TEMPLATE G_N_ELEMENTS(p256_template)
G_STATIC_ASSERT(N_TEMPLATE == G_N_ELEMENTS(rsa_template));

/* RFC 3279, 2.2.3: Ecdsa-Sig-Value */
static const ImpDerItem ecdsa_template[] = {
    IMP_DER_OPENS(0x30),
        IMP_DER_VALUE(0x02, 1, 33, 0),
        IMP_DER_VALUE(0x02, 1, 33, 1),
    IMP_DER_CLOSES,
};
/* clang-format on */

static const ImpDerItem *template_of(guint16 suite)
{
    return suite == IMP_IMAGE_SUITE_RSA ? rsa_template : p256_template;
}

/* Positive and in the fewest bytes: there is one encoding of one number. */
static gboolean is_plain_integer(ImpDerField number)
{
    return (number.bytes[0] & 0x80) == 0 &&
           (number.n_bytes == 1 ? number.bytes[0] != 0
                                : number.bytes[0] != 0 || (number.bytes[1] & 0x80) != 0);
}

static gboolean check_ecdsa(ImpDerField signature, GError **error)
{
    ImpDerField numbers[IMP_DER_FIELDS_MAX];
    if (imp_der_match(ecdsa_template, G_N_ELEMENTS(ecdsa_template), signature.bytes, signature.n_bytes,
                      numbers, NULL) &&
        is_plain_integer(numbers[0]) && is_plain_integer(numbers[1]))
        return TRUE;
    imp_error_set(error, IMP_E_ENVELOPE_SHAPE, "envelope: the signature is not two plain integers");
    return FALSE;
}

gboolean imp_cms_parse_signed(const guint8 *der, gsize n_der, guint16 suite, ImpCmsSigned *out_signed,
                              GError **error)
{
    ImpDerField fields[IMP_DER_FIELDS_MAX];
    if (suite == 0 && imp_der_match(rsa_template, N_TEMPLATE, der, n_der, fields, NULL))
        suite = IMP_IMAGE_SUITE_RSA;
    else if (suite == 0)
        suite = IMP_IMAGE_SUITE_P256;
    if (!imp_der_match(template_of(suite), N_TEMPLATE, der, n_der, fields, error) ||
        (suite == IMP_IMAGE_SUITE_P256 && !check_ecdsa(fields[FIELD_SIGNATURE], error)))
        return FALSE;
    ImpCmsSigned result = {
        .suite = suite,
        .content = fields[FIELD_CONTENT].bytes,
        .n_content = fields[FIELD_CONTENT].n_bytes,
        .signature = fields[FIELD_SIGNATURE].bytes,
        .n_signature = fields[FIELD_SIGNATURE].n_bytes,
    };
    memcpy(result.signer.bytes, fields[FIELD_SIGNER].bytes, IMP_KEY_ID_BYTES);
    *out_signed = result;
    return TRUE;
}

/* The defaults are PKCS#1 v1.5, and for PSS a salt as long as it can be: said explicitly. */
static gboolean set_scheme(EVP_PKEY_CTX *ctx, guint16 suite)
{
    return suite != IMP_IMAGE_SUITE_RSA || (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                                            EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
                                            EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, SALT_BYTES) == 1);
}

gboolean imp_cms_verify(const ImpCmsSigned *signed_data, const ImpKey *author, GError **error)
{
    g_assert(imp_key_id_equal(&signed_data->signer, imp_key_id(author)));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *scheme;
    gboolean good =
        signed_data->suite == imp_key_suite(author) &&
        EVP_DigestVerifyInit_ex(ctx, &scheme, "SHA256", NULL, NULL, imp_key_pkey(author), NULL) == 1 &&
        set_scheme(scheme, signed_data->suite) &&
        EVP_DigestVerify(ctx, signed_data->signature, signed_data->n_signature, signed_data->content,
                         signed_data->n_content) == 1;
    EVP_MD_CTX_free(ctx);
    if (!good)
        imp_openssl_error_set(error, IMP_E_SIGNATURE_WRONG, "the author's signature does not match");
    return good;
}

/* The signature over content: RFC 5652, 5.4, without attributes. */
static gboolean sign(const void *content, gsize n_bytes, const ImpKey *author, guint8 *out,
                     gsize *inout_bytes)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *scheme;
    gboolean good =
        EVP_DigestSignInit_ex(ctx, &scheme, "SHA256", NULL, NULL, imp_key_pkey(author), NULL) == 1 &&
        set_scheme(scheme, imp_key_suite(author)) &&
        EVP_DigestSign(ctx, out, inout_bytes, content, n_bytes) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

GBytes *imp_cms_sign(const void *content, gsize n_bytes, const ImpKey *author, GError **error)
{
    g_assert(n_bytes >= 1 && n_bytes <= IMP_CMS_CONTENT_MAX);
    if (!imp_key_has_private(author)) {
        imp_error_set(error, IMP_E_KEY_PRIVATE_MISSING, "signing needs the author's private key");
        return NULL;
    }
    guint8 signature[RSA_BYTES];
    gsize n_signature = sizeof signature;
    if (!sign(content, n_bytes, author, signature, &n_signature)) {
        imp_openssl_error_set(error, imp_key_can_leave(author) ? IMP_E_CRYPTO : IMP_E_KEY_TOKEN,
                              "signing failed");
        return NULL;
    }
    ImpDerField fields[IMP_DER_FIELDS_MAX] = {
        [FIELD_CONTENT] = {content, n_bytes},
        [FIELD_SIGNER] = {imp_key_id(author)->bytes, IMP_KEY_ID_BYTES},
        [FIELD_SIGNATURE] = {signature, n_signature},
    };
    /* The content may hold section keys. */
    ImpSecret *room = imp_secret_new(n_bytes + AROUND_MAX);
    if (room == NULL) {
        imp_error_set(error, IMP_E_NO_MEMORY, "no memory for a signature");
        return NULL;
    }
    gsize n_der =
        imp_der_build(template_of(imp_key_suite(author)), N_TEMPLATE, fields, room->bytes, room->n_bytes);
    memmove(room->bytes, room->bytes + room->n_bytes - n_der, n_der);
    room->n_bytes = n_der;
    GBytes *der = imp_secret_to_bytes(room);
    ImpCmsSigned check;
    if (!imp_cms_parse_signed(g_bytes_get_data(der, NULL), n_der, imp_key_suite(author), &check, error))
        g_clear_pointer(&der, g_bytes_unref);
    return der;
}
