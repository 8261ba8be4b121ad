#include "certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

static char *take_text(BIO *bio)
{
    char *data = NULL;
    long n_bytes = BIO_get_mem_data(bio, &data);
    char *text = g_strndup(data, (gsize)n_bytes);
    BIO_free(bio);
    return text;
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    g_assert_nonnull(extension);
    g_assert_true(X509_add_ext(cert, extension, -1));
    X509_EXTENSION_free(extension);
}

TestCert test_cert_new(const TestCert *ca, const char *common_name, const char *purpose, const char *ip)
{
    static long serial = 1;
    EVP_PKEY *key = EVP_EC_gen("P-256"), *ca_key = NULL;
    X509 *cert = X509_new(), *ca_cert = NULL;
    if (ca != NULL) {
        BIO *bio = BIO_new_mem_buf(ca->cert, -1);
        ca_cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        BIO_free(bio);
        bio = BIO_new_mem_buf(ca->key, -1);
        ca_key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        BIO_free(bio);
    }
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                               (const unsigned char *)common_name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(ca != NULL ? ca_cert : cert));
    extend(cert, ca_cert, NID_basic_constraints, ca == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (purpose != NULL)
        extend(cert, ca_cert, NID_ext_key_usage, purpose);
    if (ip != NULL) {
        g_autofree char *name = g_strdup_printf("IP:%s", ip);
        extend(cert, ca_cert, NID_subject_alt_name, name);
    }
    g_assert_cmpint(X509_sign(cert, ca != NULL ? ca_key : key, EVP_sha256()), >, 0);
    TestCert out;
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    out.cert = take_text(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    out.key = take_text(bio);
    X509_free(cert);
    X509_free(ca_cert);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    return out;
}

void test_cert_done(TestCert *cert)
{
    g_free(cert->cert);
    g_free(cert->key);
}
