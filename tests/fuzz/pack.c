#include <stdint.h>

#include "base/error.h"
#include "device/pack_device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpPack) pack = imp_pack_open_bytes(bytes, "fuzz", &error);
    g_assert((pack == NULL) == (error != NULL));
    for (gsize i = 0; pack != NULL && i < imp_pdsc_device_count(imp_pack_pdsc(pack)); i++) {
        g_autoptr(GError) why = NULL;
        g_autoptr(ImpDevice) device = imp_pack_device(pack, i, NULL, NULL, NULL, &why);
        g_assert((device == NULL) == (why != NULL));
    }
    return 0;
}
