/* The clear header as a stream: cut in two anywhere, it gives the same answer as in one piece. */
#include <stdint.h>
#include <string.h>

#include "image/clear.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) whole_error = NULL;
    g_autoptr(GBytes) file = g_bytes_new_static(data, size);
    g_autoptr(ImpClear) whole = imp_clear_read(file, &whole_error);
    g_assert((whole == NULL) == (whole_error != NULL));
    gsize cut = size > 0 ? data[size / 2] % (size + 1) : 0;
    g_autoptr(ImpClearReader) reader = imp_clear_reader_new();
    g_autoptr(ImpClear) pieces = NULL;
    g_autoptr(GError) error = NULL;
    if (imp_clear_reader_update(reader, data, cut, &error) &&
        imp_clear_reader_update(reader, data + cut, size - cut, &error))
        pieces = imp_clear_reader_final(reader, &error);
    g_assert((whole == NULL) == (pieces == NULL));
    if (error != NULL)
        g_assert(error->code == whole_error->code);
    return 0;
}
