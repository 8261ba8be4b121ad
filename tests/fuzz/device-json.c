#include <stdint.h>

#include "device/device_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    json_t *object = imp_json_parse((const char *)data, size, 1 << 16, "fuzz", IMP_E_SYNTAX, NULL);
    if (object == NULL)
        return 0;
    static const guint8 zeroes[1024];
    GBytes *blobs[2] = {g_bytes_new_static(zeroes, sizeof zeroes), g_bytes_new_static(zeroes, sizeof zeroes)};
    g_autoptr(ImpDevice) device = imp_device_decode(object, blobs, 2, IMP_E_SCHEMA, IMP_E_SCHEMA, &error);
    g_assert((device == NULL) == (error != NULL));
    if (device != NULL) {
        guint64 start;
        guint32 bytes;
        const ImpAlgorithm *last = device->algorithms[1];
        imp_algorithm_sector_at(last, last->start + last->size_bytes - 1, &start, &bytes);
        g_assert(start >= last->start && bytes > 0 && start + bytes <= last->start + last->size_bytes);
    }
    g_bytes_unref(blobs[0]);
    g_bytes_unref(blobs[1]);
    json_decref(object);
    return 0;
}
