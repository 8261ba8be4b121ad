#include <stdint.h>

#include "build/hex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpPieces) hex = imp_hex_parse((const char *)data, size, 1 << 16, "fuzz", &error);
    g_assert((hex == NULL) == (error != NULL));
    for (gsize i = 0; hex != NULL && i < hex->n_pieces; i++) {
        const ImpPiece *piece = &hex->pieces[i];
        g_assert(piece->n_bytes > 0);
        g_assert(i == 0 || piece[-1].address + piece[-1].n_bytes < piece->address);
    }
    return 0;
}
