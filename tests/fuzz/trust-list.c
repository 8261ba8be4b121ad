/* A trust list: what is let in is written again and read again. */
#include <stdint.h>
#include <string.h>

#include "image/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpKeyRing) ring = imp_trust_decode((const char *)data, size, &error);
    g_assert((ring == NULL) == (error != NULL));
    if (ring == NULL)
        return 0;
    g_autofree char *text = imp_trust_encode(ring);
    g_autoptr(ImpKeyRing) again = imp_trust_decode(text, strlen(text), &error);
    g_assert(again != NULL && imp_keyring_size(again) == imp_keyring_size(ring));
    return 0;
}
