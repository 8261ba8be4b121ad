/* The body of an error answer, from a server that may be anything: always an error of the registry. */
#include <stdint.h>

#include "http/client/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    imp_http_problem_decode((const char *)data, size, 500, &error);
    g_assert(error != NULL && error->domain == IMP_ERROR && imp_error_entry(error->code) != NULL);
    return 0;
}
