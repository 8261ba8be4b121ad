#include <stdint.h>

#include "build/elf_file.h"
#include "build/elf_program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpPieces) all = imp_elf_parse(data, size, 1 << 16, "fuzz", &error);
    g_assert((all == NULL) == (error != NULL));
    for (gsize i = 0; all != NULL && i < all->n_pieces; i++) {
        const ImpPiece *piece = &all->pieces[i];
        g_assert(piece->n_bytes > 0 && piece->address + piece->n_bytes <= G_GUINT64_CONSTANT(1) << 32);
        g_assert(i == 0 || piece[-1].address + piece[-1].n_bytes < piece->address);
    }
    ImpElfProgram program = {0};
    g_autoptr(GError) why = NULL;
    if (all != NULL)
        g_assert(imp_elf_program(data, size, "fuzz", &program, &why) == (why == NULL));
    return 0;
}
