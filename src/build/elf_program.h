/* What a recipe needs to know of an ELF file beside its bytes: where a board test begins, and where the mailbox lies
 * (algorithms/runtest). Same files as build/elf_file.h. No I/O. Thread rule: no state; any thread. */
#pragma once

#include "base/error.h"

#define IMP_ELF_SYMBOLS_MAX    (1024 * 1024)
#define IMP_ELF_MAILBOX_SYMBOL "imprint_mailbox"

typedef struct {
    guint32 entry; /* of the file's header, with its Thumb bit */
    gboolean has_mailbox;
    guint32 mailbox; /* address of the symbol imprint_mailbox */
} ImpElfProgram;

/* Of a file that imp_elf_parse has taken. what names it in messages. Errors: IMP_E_DATA_FILE, IMP_E_LIMIT. */
gboolean imp_elf_program(const guint8 *file, gsize n_file, const char *what, ImpElfProgram *out,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
