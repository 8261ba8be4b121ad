/* Key grants: see image/keys.h. The sealed content is
 *
 *     grant  = label(16) PKCS#8 PrivateKeyInfo in DER of the image key
 *
 * with the label "imprint-grant-1\n", so that no other sealed text can pass for a grant. */
#include <string.h>

#include <openssl/x509.h>

#include "image/envelope.h"
#include "image/keys.h"
#include "image/keys_openssl.h"

#define LABEL     "imprint-grant-1\n"
#define LABEL_LEN (sizeof LABEL - 1)
#define GRANT_MAX 4096

GBytes *imp_key_grant_seal(const ImpKey *image_key, const ImpKey *station_key, GError **error)
{
    if (!imp_key_check_role(image_key, IMP_KEY_IMAGE, "grant", error) ||
        !imp_key_check_role(station_key, IMP_KEY_STATION, "grant to a station", error))
        return NULL;
    if (!imp_key_can_leave(image_key)) {
        imp_error_set(
            error, IMP_E_KEY_PRIVATE_MISSING,
            imp_key_has_private(image_key)
                ? "the image key is in a token, which does not give it away: a station can use it there "
                  "(its configuration, image-keys), but it cannot be granted"
                : "a grant needs the private half of the image key");
        return NULL;
    }
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(imp_key_pkey(image_key));
    unsigned char *der = NULL;
    int n_der = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes */
    if (n_der <= 0) {
        imp_openssl_error_set(error, IMP_E_CRYPTO, "the image key cannot be written down");
        return NULL;
    }
    g_autoptr(ImpSecret) content = imp_secret_new(LABEL_LEN + (gsize)n_der);
    GBytes *grant = NULL;
    if (content == NULL) {
        imp_error_set(error, IMP_E_NO_MEMORY, "no memory for a key");
    } else {
        memcpy(content->bytes, LABEL, LABEL_LEN);
        memcpy(content->bytes + LABEL_LEN, der, (gsize)n_der);
        grant = imp_cms_seal(content->bytes, content->n_bytes, station_key, error);
    }
    OPENSSL_clear_free(der, (gsize)n_der);
    return grant;
}

static ImpKey *key_of_content(const ImpSecret *content, GError **error)
{
    if (content->n_bytes <= LABEL_LEN || memcmp(content->bytes, LABEL, LABEL_LEN) != 0) {
        imp_error_set(error, IMP_E_GRANT_OPEN, "key grant: what was sealed is no key");
        return NULL;
    }
    const unsigned char *at = content->bytes + LABEL_LEN;
    const unsigned char *end = content->bytes + content->n_bytes;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)(end - at));
    EVP_PKEY *pkey = info != NULL && at == end ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    if (pkey == NULL) {
        imp_openssl_error_set(error, IMP_E_GRANT_OPEN, "key grant: what was sealed is no key");
        return NULL;
    }
    return imp_key_take_pkey(pkey, (ImpKeyTraits){.has_private = TRUE, .role = IMP_KEY_IMAGE}, error);
}

ImpKey *imp_key_grant_open(GBytes *grant, const ImpKey *station_key, GError **error)
{
    gsize n_der;
    const guint8 *der = g_bytes_get_data(grant, &n_der);
    ImpKeyId recipient;
    if (n_der > GRANT_MAX) {
        imp_error_set(error, IMP_E_GRANT_OPEN, "key grant: %" G_GSIZE_FORMAT " bytes are too many", n_der);
        return NULL;
    }
    if (!imp_cms_parse_sealed(der, n_der, imp_key_suite(station_key), &recipient, error)) {
        g_prefix_error(error, "key grant: ");
        return NULL;
    }
    char id[IMP_KEY_ID_TEXT_SIZE];
    if (!imp_key_id_equal(&recipient, imp_key_id(station_key))) {
        imp_error_set(error, IMP_E_GRANT_OPEN,
                      "key grant: it is for the sealing key %s, which is not this station's",
                      imp_key_id_text(&recipient, id));
        return NULL;
    }
    g_autoptr(GError) inner = NULL;
    g_autoptr(ImpSecret) content = imp_cms_open(der, n_der, station_key, &inner);
    if (content == NULL) {
        gboolean missing = g_error_matches(inner, IMP_ERROR, IMP_E_KEY_PRIVATE_MISSING);
        imp_error_set(error, missing ? IMP_E_KEY_PRIVATE_MISSING : IMP_E_GRANT_OPEN, "key grant: %s",
                      inner->message);
        return NULL;
    }
    return key_of_content(content, error);
}
