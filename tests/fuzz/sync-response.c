#include <stdint.h>
#include <string.h>

#include "wire/codec.h"

/* What is taken can be sent again, and is then taken again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpSyncResponse) message = imp_sync_response_decode((const char *)data, size, &error);
    g_assert((message == NULL) == (error != NULL));
    if (message == NULL)
        return 0;
    g_autofree char *text = imp_sync_response_encode(message, &error);
    g_assert_no_error(error);
    g_autoptr(ImpSyncResponse) again = imp_sync_response_decode(text, strlen(text), &error);
    g_assert_no_error(error);
    return 0;
}
