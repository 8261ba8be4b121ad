#include "cloud/ca.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

#define VALID_YEARS     30
#define BACKDATE_S      (24 * 3600) /* for stations whose clock is a little behind */
#define SERIAL_BITS     127 /* RFC 5280, 4.1.2.2: at most 20 octets, positive */
#define COMMON_NAME_MAX 64 /* RFC 5280, ub-common-name */

struct ImpCa {
    X509 *cert;
    EVP_PKEY *key;
    char *cert_pem;
    guint8 digest[IMP_CA_DIGEST_BYTES];
    const ImpClock *clock;
};

struct ImpCsr {
    X509_REQ *request;
};

/* OpenSSL fails here only when memory or entropy does. */
static gboolean fail(const char *what, GError **error)
{
    imp_error_set(error, IMP_E_CRYPTO, "certificates: %s", what);
    return FALSE;
}

static char *take_text(BIO *bio)
{
    char *data = NULL;
    long n_bytes = BIO_get_mem_data(bio, &data);
    char *text = g_strndup(data, (gsize)n_bytes);
    BIO_free(bio);
    return text;
}

static char *cert_to_pem(X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || PEM_write_bio_X509(bio, cert) != 1)
        g_error("out of memory for a certificate");
    return take_text(bio);
}

static char *key_to_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    if (bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
        g_error("out of memory for a key");
    return take_text(bio);
}

static gboolean extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    gboolean good = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static gboolean set_serial(X509 *cert)
{
    BIGNUM *serial = BN_new();
    gboolean good = serial != NULL &&
                    BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
                    BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL;
    BN_free(serial);
    return good;
}

static gboolean add_name(X509 *cert, const char *field, const char *value)
{
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), field, MBSTRING_UTF8,
                                      (const unsigned char *)value, -1, -1, 0) == 1;
}

/* What all certificates have in common; the subject is there already. */
static gboolean complete(X509 *cert, EVP_PKEY *subject_key, X509 *issuer, gint64 now_us)
{
    time_t now = (time_t)(now_us / G_USEC_PER_SEC);
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           X509_set_pubkey(cert, subject_key) == 1 &&
           X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
           X509_time_adj_ex(X509_getm_notBefore(cert), 0, -BACKDATE_S, &now) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(cert), VALID_YEARS * 365, 0, &now) != NULL &&
           extend(cert, issuer, NID_subject_key_identifier, "hash");
}

static void set_digest(ImpCa *ca)
{
    unsigned char *der = NULL;
    int n_der = i2d_PUBKEY(ca->key, &der);
    if (n_der <= 0 || EVP_Digest(der, (size_t)n_der, ca->digest, NULL, EVP_sha256(), NULL) != 1)
        g_error("out of memory for a digest");
    OPENSSL_free(der);
    ca->cert_pem = cert_to_pem(ca->cert);
}

ImpCa *imp_ca_new(const char *account, const ImpClock *clock, GError **error)
{
    g_autoptr(ImpCa) ca = g_new0(ImpCa, 1);
    ca->clock = clock;
    ca->key = EVP_EC_gen("P-256");
    ca->cert = X509_new();
    g_autofree char *name = g_strdup_printf("Imprint CA of %s", account);
    if (strlen(name) > COMMON_NAME_MAX)
        *g_utf8_find_prev_char(name, name + COMMON_NAME_MAX) = '\0';
    if (ca->key == NULL || ca->cert == NULL || !add_name(ca->cert, "CN", name) ||
        !complete(ca->cert, ca->key, ca->cert, imp_clock_real_us(clock)) ||
        !extend(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !extend(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        X509_sign(ca->cert, ca->key, EVP_sha256()) <= 0) {
        fail("the CA's certificate cannot be made", error);
        return NULL;
    }
    set_digest(ca);
    return g_steal_pointer(&ca);
}

ImpCa *imp_ca_load(const char *cert_pem, const char *key_pem, const ImpClock *clock, GError **error)
{
    g_autoptr(ImpCa) ca = g_new0(ImpCa, 1);
    ca->clock = clock;
    BIO *bio = BIO_new_mem_buf(cert_pem, -1);
    ca->cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    bio = BIO_new_mem_buf(key_pem, -1);
    ca->key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"");
    BIO_free(bio);
    if (ca->cert == NULL || ca->key == NULL || X509_check_private_key(ca->cert, ca->key) != 1) {
        imp_error_set(error, IMP_E_CLOUD_FOLDER, "the CA's certificate and key are not a pair, or damaged");
        return NULL;
    }
    set_digest(ca);
    return g_steal_pointer(&ca);
}

void imp_ca_free(ImpCa *ca)
{
    if (ca == NULL)
        return;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key); /* wipes */
    g_free(ca->cert_pem);
    g_free(ca);
}

const char *imp_ca_cert_pem(const ImpCa *ca)
{
    return ca->cert_pem;
}

char *imp_ca_key_pem(const ImpCa *ca)
{
    return key_to_pem(ca->key);
}

const guint8 *imp_ca_digest(const ImpCa *ca)
{
    return ca->digest;
}

static X509 *issue(const ImpCa *ca, EVP_PKEY *key, const char *common_name, const char *unit,
                   const char *purpose, const char *alt_name, GError **error)
{
    X509 *cert = X509_new();
    if (cert != NULL && add_name(cert, "CN", common_name) && add_name(cert, "OU", unit) &&
        complete(cert, key, ca->cert, imp_clock_real_us(ca->clock)) &&
        extend(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
        extend(cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
        extend(cert, ca->cert, NID_ext_key_usage, purpose) &&
        extend(cert, ca->cert, NID_authority_key_identifier, "keyid") &&
        (alt_name == NULL || extend(cert, ca->cert, NID_subject_alt_name, alt_name)) &&
        X509_sign(cert, ca->key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    fail("a certificate cannot be issued", error);
    return NULL;
}

/* Letters, digits, dots, hyphens and colons: nothing that could add to the subjectAltName. */
static gboolean is_host(const char *host)
{
    for (const char *c = host; *c != '\0'; c++)
        if (!g_ascii_isalnum(*c) && strchr(".-:", *c) == NULL)
            return FALSE;
    return host[0] != '\0' && strlen(host) <= COMMON_NAME_MAX;
}

gboolean imp_ca_issue_server(const ImpCa *ca, const char *host, char **out_cert, char **out_key,
                             GError **error)
{
    if (!is_host(host)) {
        imp_error_set(error, IMP_E_HTTP_URL, "'%s' is no host for a certificate", host);
        return FALSE;
    }
    g_autofree char *alt_name = g_strdup_printf("%s:%s", g_hostname_is_ip_address(host) ? "IP" : "DNS", host);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key != NULL ? issue(ca, key, host, "cloud", "serverAuth", alt_name, error) : NULL;
    if (key == NULL)
        fail("the server's key cannot be made", error);
    if (cert != NULL) {
        *out_cert = cert_to_pem(cert);
        *out_key = key_to_pem(key);
    }
    gboolean good = cert != NULL;
    X509_free(cert);
    EVP_PKEY_free(key);
    return good;
}

ImpCsr *imp_csr_parse(const char *pem, GError **error)
{
    X509_REQ *request = NULL;
    if (strlen(pem) <= IMP_CA_CSR_MAX) {
        BIO *bio = BIO_new_mem_buf(pem, -1);
        request = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
        BIO_free(bio);
    }
    EVP_PKEY *key = request != NULL ? X509_REQ_get0_pubkey(request) : NULL;
    char group[32] = "";
    size_t n_group;
    gboolean good =
        key != NULL && EVP_PKEY_is_a(key, "EC") &&
        EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, &n_group) == 1 &&
        strcmp(group, "prime256v1") == 0 && X509_REQ_verify(request, key) == 1;
    if (!good) {
        X509_REQ_free(request);
        imp_error_set(error, IMP_E_ENROL_REQUEST,
                      "csr: not a PKCS#10 request in PEM, signed with its own EC P-256 key");
        return NULL;
    }
    ImpCsr *csr = g_new0(ImpCsr, 1);
    csr->request = request;
    return csr;
}

void imp_csr_free(ImpCsr *csr)
{
    if (csr == NULL)
        return;
    X509_REQ_free(csr->request);
    g_free(csr);
}

GBytes *imp_csr_key(const ImpCsr *csr)
{
    unsigned char *der = NULL;
    int n_der = i2d_PUBKEY(X509_REQ_get0_pubkey(csr->request), &der);
    if (n_der <= 0)
        g_error("out of memory for a key");
    GBytes *key = g_bytes_new(der, (gsize)n_der);
    OPENSSL_free(der);
    return key;
}

char *imp_ca_issue_station(const ImpCa *ca, const ImpCsr *csr, const ImpId *station, GError **error)
{
    char name[IMP_ID_TEXT_SIZE];
    X509 *cert = issue(ca, X509_REQ_get0_pubkey(csr->request), imp_id_text(station, name), "station",
                       "clientAuth", NULL, error);
    char *pem = cert != NULL ? cert_to_pem(cert) : NULL;
    X509_free(cert);
    return pem;
}
