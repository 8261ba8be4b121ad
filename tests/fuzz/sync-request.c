#include <stdint.h>
#include <string.h>

#include "wire/codec.h"

/* What is taken can be sent again, and is then taken again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpSyncRequest) message = imp_sync_request_decode((const char *)data, size, &error);
    g_assert((message == NULL) == (error != NULL));
    if (message == NULL)
        return 0;
    g_autofree char *text = imp_sync_request_encode(message, &error);
    g_assert_no_error(error);
    g_autoptr(ImpSyncRequest) again = imp_sync_request_decode(text, strlen(text), &error);
    g_assert_no_error(error);
    return 0;
}
