/* Reads Motorola S-records: "M68000 Family Programmer's Reference Manual" (M68000PM/AD), appendix C.
 *
 *     file    = line+                     each line ends with LF or CR LF; blank lines are allowed
 *     line    = "S" T LL address data CC  hexadecimal; LL counts address, data and CC; LL + address + data + CC = FF (mod 256)
 *     T       0 header; 1, 2, 3 data with 16, 24, 32 bits of address; 5, 6 how many data records there were, in 16 or 24
 *             bits; 7, 8, 9 end, with a start address of 32, 24, 16 bits
 *
 * Header and start address are read and have no meaning for programming. Strict where tolerance would program something else than
 * meant: a wrong checksum or count, bytes given twice, a record that wraps around, anything after the end. A file may end with its
 * count instead of an end record (some tools write no end record without a start address); one that has neither is cut off.
 * A record may begin within the bits of its address and go on behind them, as srec_cat writes it and GNU objcopy reads it; only the end of 32
 * bits is the end. No I/O. Thread rule: no state; any thread. */
#pragma once

#include "build/pieces.h"

/* Everything that the text puts into memory, at most max_bytes. what names the file in messages. Errors: IMP_E_DATA_FILE
 * "firmware.s19:12: ...", IMP_E_LIMIT. */
ImpPieces *imp_srec_parse(const char *text, gsize n_text, gsize max_bytes, const char *what,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
