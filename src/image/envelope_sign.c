#include <string.h>

#include <openssl/cms.h>
#include <openssl/x509v3.h>

#include "image/der.h"
#include "image/envelope.h"
#include "image/keys_openssl.h"

/* Object identifiers, as whole elements. */
#define OID_SIGNED_DATA "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" /* RFC 5652, 5.1 */
#define OID_DATA        "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" /* RFC 5652, 4 */
#define SHA256          "\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01" /* RFC 5754, 2.2: no parameters */
#define ECDSA_SHA256    "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02" /* RFC 5754, 3.3 */
#define INTEGER_3       "\x02\x01\x03"
#define SIGNATURE_MIN   8
#define SIGNATURE_MAX   72 /* SEQUENCE of two INTEGERs of at most 33 bytes */

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
#define FIELD(t, min, max, index)                                                                            \
    {                                                                                                        \
        .kind = IMP_DER_FIELD, .tag = (t), .min_bytes = (min), .max_bytes = (max), .field = (index)          \
    }

enum { FIELD_CONTENT, FIELD_SIGNER, FIELD_SIGNATURE };

/* clang-format off */
static const ImpDerItem signed_template[] = {
    OPEN(0x30), /* ContentInfo */
        EXACT(OID_SIGNED_DATA),
        OPEN(0xa0),
            OPEN(0x30), /* SignedData */
                EXACT(INTEGER_3), /* version: a signer by subject key identifier */
                EXACT("\x31\x0d" SHA256), /* digestAlgorithms */
                OPEN(0x30), /* encapContentInfo */
                    EXACT(OID_DATA),
                    OPEN(0xa0),
                        FIELD(0x04, 1, IMP_CMS_CONTENT_MAX, FIELD_CONTENT),
                    CLOSE,
                CLOSE,
                /* no certificates, no crls */
                OPEN(0x31), /* signerInfos */
                    OPEN(0x30),
                        EXACT(INTEGER_3),
                        FIELD(0x80, IMP_KEY_ID_BYTES, IMP_KEY_ID_BYTES, FIELD_SIGNER),
                        EXACT(SHA256),
                        /* no signedAttrs */
                        EXACT(ECDSA_SHA256),
                        FIELD(0x04, SIGNATURE_MIN, SIGNATURE_MAX, FIELD_SIGNATURE),
                        /* no unsignedAttrs */
                    CLOSE,
                CLOSE,
            CLOSE,
        CLOSE,
    CLOSE,
};

/* RFC 3279, 2.2.3: Ecdsa-Sig-Value */
static const ImpDerItem signature_template[] = {
    OPEN(0x30),
        FIELD(0x02, 1, 33, 0),
        FIELD(0x02, 1, 33, 1),
    CLOSE,
};
/* clang-format on */

/* Positive and in the fewest bytes: there is one encoding of one number. */
static gboolean is_plain_integer(ImpDerField number)
{
    return (number.bytes[0] & 0x80) == 0 &&
           (number.n_bytes == 1 ? number.bytes[0] != 0
                                : number.bytes[0] != 0 || (number.bytes[1] & 0x80) != 0);
}

gboolean imp_cms_parse_signed(const guint8 *der, gsize n_der, ImpCmsSigned *out_signed, GError **error)
{
    ImpDerField fields[IMP_DER_FIELDS_MAX], numbers[IMP_DER_FIELDS_MAX];
    if (!imp_der_match(signed_template, G_N_ELEMENTS(signed_template), der, n_der, fields, error))
        return FALSE;
    ImpDerField signature = fields[FIELD_SIGNATURE];
    if (!imp_der_match(signature_template, G_N_ELEMENTS(signature_template), signature.bytes,
                       signature.n_bytes, numbers, NULL) ||
        !is_plain_integer(numbers[0]) || !is_plain_integer(numbers[1])) {
        imp_error_set(error, IMP_E_ENVELOPE_SHAPE, "envelope: the signature is not two plain integers");
        return FALSE;
    }
    ImpCmsSigned result = {
        .content = fields[FIELD_CONTENT].bytes,
        .n_content = fields[FIELD_CONTENT].n_bytes,
        .signature = signature.bytes,
        .n_signature = signature.n_bytes,
    };
    memcpy(result.signer.bytes, fields[FIELD_SIGNER].bytes, IMP_KEY_ID_BYTES);
    *out_signed = result;
    return TRUE;
}

gboolean imp_cms_verify(const ImpCmsSigned *signed_data, const ImpKey *author, GError **error)
{
    g_assert(imp_key_id_equal(&signed_data->signer, imp_key_id(author)));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    gboolean good =
        EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, imp_key_pkey(author), NULL) == 1 &&
        EVP_DigestVerify(ctx, signed_data->signature, signed_data->n_signature, signed_data->content,
                         signed_data->n_content) == 1;
    EVP_MD_CTX_free(ctx);
    if (!good)
        imp_openssl_error_set(error, IMP_E_SIGNATURE_WRONG, "the author's signature does not match");
    return good;
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

X509 *imp_cms_certificate_new(const ImpKey *key, GError **error)
{
    X509 *certificate = X509_new();
    if (certificate != NULL && fill_certificate(certificate, key))
        return certificate;
    X509_free(certificate);
    imp_openssl_error_set(error, IMP_E_CRYPTO, "no certificate for CMS could be made");
    return NULL;
}

/* DER of a finished CMS structure, or NULL. */
static GBytes *encode(CMS_ContentInfo *cms)
{
    unsigned char *der = NULL;
    int n_der = i2d_CMS_ContentInfo(cms, &der);
    GBytes *bytes = n_der > 0 ? g_bytes_new(der, (gsize)n_der) : NULL;
    OPENSSL_clear_free(der, n_der > 0 ? (gsize)n_der : 0);
    return bytes;
}

GBytes *imp_cms_sign(const void *content, gsize n_bytes, const ImpKey *author, GError **error)
{
    g_assert(n_bytes >= 1 && n_bytes <= IMP_CMS_CONTENT_MAX);
    if (!imp_key_has_private(author)) {
        imp_error_set(error, IMP_E_KEY_PRIVATE_MISSING, "signing needs the author's private key");
        return NULL;
    }
    X509 *certificate = imp_cms_certificate_new(author, error);
    if (certificate == NULL)
        return NULL;
    const unsigned flags = CMS_BINARY | CMS_NOCERTS | CMS_NOATTR | CMS_USE_KEYID | CMS_PARTIAL;
    BIO *in = BIO_new_mem_buf(content, (int)n_bytes);
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
    GBytes *der = NULL;
    if (cms != NULL && CMS_add1_signer(cms, certificate, imp_key_pkey(author), EVP_sha256(), flags) != NULL &&
        CMS_final(cms, in, NULL, flags) == 1)
        der = encode(cms);
    if (cms != NULL && CMS_get0_content(cms) != NULL && *CMS_get0_content(cms) != NULL) {
        /* The content holds section keys: OpenSSL would free its copy as it is. */
        ASN1_OCTET_STRING *copy = *CMS_get0_content(cms);
        OPENSSL_cleanse(copy->data, (gsize)copy->length);
    }
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    X509_free(certificate);
    ImpCmsSigned check;
    if (der == NULL)
        imp_openssl_error_set(error, IMP_E_CRYPTO, "signing failed");
    else if (!imp_cms_parse_signed(g_bytes_get_data(der, NULL), g_bytes_get_size(der), &check, error))
        g_clear_pointer(&der, g_bytes_unref);
    return der;
}
