#include "build/test_program.h"

#include "build/elf_file.h"
#include "build/elf_program.h"

#define STACK_BYTES 256 /* the least that a test gets at the end of the RAM */
#define ADDRESS     "0x%08" G_GINT64_MODIFIER "X"

static gboolean in_ram(const ImpDevice *device, guint64 address, guint64 n_bytes)
{
    guint64 room = device->ram_bytes > STACK_BYTES ? device->ram_bytes - STACK_BYTES : 0;
    return address >= device->ram_start && address - device->ram_start <= room &&
           n_bytes <= room - (address - device->ram_start);
}

static gboolean check_place(const ImpDevice *device, const char *what, const char *part, guint64 address,
                            guint64 n_bytes, GError **error)
{
    if (in_ram(device, address, n_bytes))
        return TRUE;
    imp_error_set(error, IMP_E_OUTSIDE_MEMORY,
                  "%s: %s at " ADDRESS " is outside of the RAM that a test may use on %s: " ADDRESS
                  " and %u bytes, of which the last %d are for the stack",
                  what, part, address, device->name, device->ram_start, device->ram_bytes, STACK_BYTES);
    return FALSE;
}

static gboolean check(const ImpPieces *pieces, const ImpElfProgram *program, const char *what,
                      const ImpDevice *device, GError **error)
{
    if (!program->has_mailbox) {
        imp_error_set(error, IMP_E_DATA_FILE,
                      "%s: it has no symbol " IMP_ELF_MAILBOX_SYMBOL
                      "; link imprint_test.c into it, and do not strip it",
                      what);
        return FALSE;
    }
    if (pieces->n_pieces > IMP_CONTENT_TEST_SEGMENTS) {
        imp_error_set(error, IMP_E_LIMIT, "%s has %zu pieces of memory, the limit is %d", what,
                      pieces->n_pieces, IMP_CONTENT_TEST_SEGMENTS);
        return FALSE;
    }
    for (gsize i = 0; i < pieces->n_pieces; i++)
        if (!check_place(device, what, "what it loads", pieces->pieces[i].address, pieces->pieces[i].n_bytes,
                         error))
            return FALSE;
    return check_place(device, what, "its entry", program->entry & ~1u, 2, error) &&
           check_place(device, what, "its mailbox", program->mailbox, 4, error);
}

gboolean imp_test_program_read(const guint8 *file, gsize n_file, const char *what, const char *name,
                               const ImpDevice *device, ImpTestProgram *out, GError **error)
{
    ImpElfProgram program;
    g_autoptr(ImpPieces) pieces = imp_elf_parse(file, n_file, IMP_CONTENT_TEST_BYTES_MAX, what, error);
    if (pieces == NULL || !imp_elf_program(file, n_file, what, &program, error) ||
        !check(pieces, &program, what, device, error))
        return FALSE;
    *out = (ImpTestProgram){.name = g_strdup(name),
                            .segments = g_new0(ImpSegment, pieces->n_pieces),
                            .n_segments = pieces->n_pieces,
                            .entry_pc = program.entry & ~1u,
                            .entry_sp = (guint32)(device->ram_start + device->ram_bytes) & ~7u,
                            .mailbox_address = program.mailbox};
    for (gsize i = 0; i < pieces->n_pieces; i++)
        out->segments[i] =
            (ImpSegment){g_strdup(name), pieces->pieces[i].address,
                         g_bytes_new(pieces->bytes + pieces->pieces[i].offset, pieces->pieces[i].n_bytes)};
    return TRUE;
}
