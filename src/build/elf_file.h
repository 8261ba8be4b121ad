/* Reads firmware out of ELF: "System V Application Binary Interface", chapters 4 and 5; "ELF for the Arm Architecture" (AAELF32).
 *
 * Taken are linked programs (ET_EXEC) for 32-bit little-endian Arm. A program has the bytes of its sections that are allocated and have
 * bytes in the file, each at its load address: that of the segment (PT_LOAD, p_paddr) in which it lies. What the linker put into
 * a segment beside sections (its own headers, padding) is no part of the program, and is left out, as GNU objcopy does; a file without
 * section table has the bytes of its segments. Zeroed memory (NOBITS) is made by the program itself at run time.
 * Symbols, debug information and the entry have no meaning here. No I/O. Thread rule: no state; any thread. */
#pragma once

#include "build/pieces.h"

#define IMP_ELF_SEGMENTS_MAX 256
#define IMP_ELF_SECTIONS_MAX 65535

/* Everything that the file puts into memory, at most max_bytes. what names the file in messages. Errors: IMP_E_DATA_FILE
 * "firmware.elf: section 3 (offset 0x...): ...", IMP_E_LIMIT. */
ImpPieces *imp_elf_parse(const guint8 *file, gsize n_file, gsize max_bytes, const char *what,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
