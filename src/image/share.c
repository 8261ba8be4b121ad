#include "image/share.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#include "image/keys_openssl.h"

#define LABEL     "imprint-share-1\n"
#define LABEL_LEN (sizeof LABEL - 1)
#define KEY_BYTES 32

void imp_share_digest(const guint8 share[IMP_SHARE_BYTES], guint8 out_sha256[IMP_SHA256_BYTES])
{
    SHA256(share, IMP_SHARE_BYTES, out_sha256);
}

gboolean imp_share_derive(const guint8 share[IMP_SHARE_BYTES], const guint8 manifest_key[32],
                          const ImpId *image, guint32 section, guint8 out_key[32], GError **error)
{
    guint8 info[LABEL_LEN + IMP_ID_BYTES + 4];
    memcpy(info, LABEL, LABEL_LEN);
    memcpy(info + LABEL_LEN, image->bytes, IMP_ID_BYTES);
    for (guint i = 0; i < 4; i++)
        info[LABEL_LEN + IMP_ID_BYTES + i] = (guint8)(section >> (8 * (3 - i)));
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)manifest_key, KEY_BYTES),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)share, IMP_SHARE_BYTES),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    gboolean good = ctx != NULL && EVP_KDF_derive(ctx, out_key, KEY_BYTES, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    if (!good)
        imp_openssl_error_set(error, IMP_E_CRYPTO, "a payload key cannot be derived");
    return good;
}
