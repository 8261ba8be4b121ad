#include "image/sha256.h"

#include <openssl/evp.h>

struct ImpSha256 {
    EVP_MD_CTX *context;
};

ImpSha256 *imp_sha256_new(void)
{
    ImpSha256 *sum = g_new0(ImpSha256, 1);
    sum->context = EVP_MD_CTX_new();
    if (sum->context == NULL || EVP_DigestInit_ex(sum->context, EVP_sha256(), NULL) != 1)
        g_error("SHA-256: no memory"); /* as g_malloc does */
    return sum;
}

void imp_sha256_free(ImpSha256 *sum)
{
    if (sum == NULL)
        return;
    EVP_MD_CTX_free(sum->context);
    g_free(sum);
}

void imp_sha256_update(ImpSha256 *sum, const void *bytes, gsize n_bytes)
{
    int good = EVP_DigestUpdate(sum->context, bytes, n_bytes);
    g_assert(good == 1);
}

void imp_sha256_final(ImpSha256 *sum, guint8 out[IMP_SHA256_BYTES])
{
    int good = EVP_DigestFinal_ex(sum->context, out, NULL);
    g_assert(good == 1);
}

void imp_sha256(const void *bytes, gsize n_bytes, guint8 out[IMP_SHA256_BYTES])
{
    g_autoptr(ImpSha256) sum = imp_sha256_new();
    imp_sha256_update(sum, bytes, n_bytes);
    imp_sha256_final(sum, out);
}
