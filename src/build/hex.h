/* Reads Intel HEX: "Hexadecimal Object File Format Specification", Intel, revision A, 1988.
 *
 *     file    = line+                          each line ends with LF or CR LF; blank lines are allowed
 *     line    = ":" LL AAAA TT data CC         hexadecimal; LL bytes of data; all bytes of a line sum up to 0 (mod 256)
 *     TT      00 data, 01 end of file, 02 extended segment address, 03 start segment address, 04 extended linear address,
 *             05 start linear address
 *
 * Start addresses are read and have no meaning for programming. Strict where tolerance would program something else than
 * meant: a wrong checksum, bytes given twice (even equal ones), a record that wraps around, a missing end record or anything
 * after it is refused with its line. No I/O. Thread rule: no state; any thread. */
#pragma once

#include "build/pieces.h"

/* Everything that the text puts into memory, at most max_bytes. what names the file in messages. Errors: IMP_E_DATA_FILE
 * "firmware.hex:12: ...", IMP_E_LIMIT. */
ImpPieces *imp_hex_parse(const char *text, gsize n_text, gsize max_bytes, const char *what,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
