#include <stdint.h>

#include "base/error.h"
#include "device/pdsc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpPdsc) pdsc = imp_pdsc_parse(bytes, "fuzz", &error);
    g_assert((pdsc == NULL) == (error != NULL));
    for (gsize i = 0; pdsc != NULL && i < imp_pdsc_device_count(pdsc); i++) {
        g_autoptr(GError) why = NULL;
        g_autoptr(ImpPdscDevice) device = imp_pdsc_resolve(pdsc, i, NULL, &why);
        g_assert((device == NULL) == (why != NULL));
    }
    g_autoptr(GError) why = NULL;
    g_autoptr(GPtrArray) files = pdsc != NULL ? imp_pdsc_algorithm_files(pdsc, &why) : NULL;
    g_assert(pdsc == NULL || (files == NULL) == (why != NULL));
    return 0;
}
