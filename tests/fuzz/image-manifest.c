/* The manifest: what is let in is written again as the same bytes. */
#include <stdint.h>
#include <string.h>

#include "image/manifest.h"

static void decode(const uint8_t *data, size_t size, gboolean encrypted)
{
    GError *error = NULL;
    ImpManifest manifest;
    if (!imp_manifest_decode(data, size, encrypted, &manifest, &error)) {
        g_assert(error != NULL);
        g_error_free(error);
        return;
    }
    g_autoptr(ImpSecret) text = imp_manifest_encode(&manifest, &error);
    g_assert(text != NULL && text->n_bytes == size && memcmp(text->bytes, data, size) == 0);
    imp_manifest_done(&manifest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(data, size, FALSE);
    decode(data, size, TRUE);
    return 0;
}
