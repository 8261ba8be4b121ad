/* An object; the digest at the end is made right first. What is let in is written again as the same bytes. */
#include <stdint.h>
#include <string.h>

#include "image/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    if (size < IMP_SHA256_BYTES)
        return 0;
    guint8 *copy = g_memdup2(data, size);
    gsize n_digest = IMP_SHA256_BYTES;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, copy, (gssize)(size - IMP_SHA256_BYTES));
    g_checksum_get_digest(sum, copy + size - IMP_SHA256_BYTES, &n_digest);
    g_autoptr(GBytes) file = g_bytes_new_take(copy, size);
    g_autoptr(ImpObject) object = imp_object_decode(file, &error);
    g_assert((object == NULL) == (error != NULL));
    if (object == NULL)
        return 0;
    g_autoptr(GBytes) again = imp_object_encode(object, &error);
    g_assert(again != NULL && g_bytes_equal(again, file));
    return 0;
}
