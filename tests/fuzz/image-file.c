/* A whole image, unencrypted: headers, envelope, manifest, chunks and content. The digest at the end is made right first,
 * which a forger can do as well; the signature is not asked for (inspect). */
#include <stdint.h>
#include <string.h>

#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(ImpClear) as_it_is = NULL;
    g_autoptr(GBytes) raw = g_bytes_new_static(data, size);
    as_it_is = imp_clear_read(raw, NULL);
    if (size < IMP_IMAGE_TRAILER_BYTES)
        return 0;
    guint8 *copy = g_memdup2(data, size);
    gsize n_digest = IMP_SHA256_BYTES;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, copy, (gssize)(size - IMP_IMAGE_TRAILER_BYTES));
    g_checksum_get_digest(sum, copy + size - IMP_IMAGE_TRAILER_BYTES, &n_digest);
    g_autoptr(GBytes) file = g_bytes_new_take(copy, size);
    g_autoptr(GError) error = NULL;
    json_t *inspected = imp_image_inspect(file, NULL, NULL, &error);
    g_assert((inspected == NULL) == (error != NULL));
    if (inspected == NULL)
        return 0;
    g_autofree char *text = imp_image_inspect_text(inspected);
    json_decref(inspected);
    return 0;
}
