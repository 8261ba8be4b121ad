/* The templates of both suites, and the two small files that use them: statement and key grant. */
#include <stdint.h>
#include "image/envelope.h"
#include "image/statement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ImpCmsSigned signed_data;
    ImpKeyId recipient;
    GError *error = NULL;
    if (imp_cms_parse_signed(data, size, 0, &signed_data, &error))
        g_assert(signed_data.content >= data && signed_data.content + signed_data.n_content <= data + size &&
                 signed_data.signature >= data &&
                 signed_data.signature + signed_data.n_signature <= data + size);
    else
        g_assert(error != NULL);
    g_clear_error(&error);
    for (guint16 suite = IMP_IMAGE_SUITE_P256; suite <= IMP_IMAGE_SUITE_RSA; suite++) {
        if (!imp_cms_parse_sealed(data, size, suite, &recipient, &error))
            g_assert(error != NULL);
        g_clear_error(&error);
    }

    /* What matches the template reaches CMS: with a key that is not the right one. */
    g_autoptr(ImpKey) key = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_STATION, &error);
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    if (imp_cms_parse_sealed(data, size, IMP_IMAGE_SUITE_P256, &recipient, NULL))
        g_assert(imp_cms_open(data, size, key, NULL) == NULL);
    g_assert(imp_key_grant_open(bytes, key, NULL) == NULL);
    g_autoptr(ImpKeyRing) nobody = imp_keyring_new();
    g_assert(imp_statement_verify(bytes, nobody, NULL) == NULL);
    return 0;
}
