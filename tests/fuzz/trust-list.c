/* A trust list: what is let in is written again and read again; and one that a root key has signed. */
#include <stdint.h>
#include <string.h>

#include "image/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(ImpTrustList) list = imp_trust_list_verify(bytes, NULL, &error);
    g_assert((list == NULL) == (error != NULL));
    g_assert(list == NULL || (list->number > 0 && list->root != NULL && list->authors != NULL));
    g_clear_error(&error);
    g_autoptr(ImpKeyRing) ring = imp_trust_decode((const char *)data, size, &error);
    g_assert((ring == NULL) == (error != NULL));
    if (ring == NULL)
        return 0;
    g_autofree char *text = imp_trust_encode(ring);
    g_autoptr(ImpKeyRing) again = imp_trust_decode(text, strlen(text), &error);
    g_assert(again != NULL && imp_keyring_size(again) == imp_keyring_size(ring));
    return 0;
}
