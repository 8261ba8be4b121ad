#include <stdint.h>

#include "device/flm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpAlgorithm) algorithm = imp_flm_parse(bytes, "fuzz", &error);
    g_assert((algorithm == NULL) == (error != NULL));
    return 0;
}
