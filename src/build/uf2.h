/* Reads UF2: "USB Flashing Format (UF2)", Microsoft, https://github.com/microsoft/uf2. Blocks of 512 bytes, numbers little-endian:
 *
 *     0   0x0A324655              4   0x9E5D5157
 *     8   flags                   12  address
 *     16  bytes of data, to 476   20  number of the block
 *     24  number of blocks        28  family (flag 0x2000), or size of the file
 *     32  data                    508 0x0AB16F30
 *
 * Blocks that are not meant for the main flash (flag 0x0001) are counted and left out, as the format says. A file may hold programs
 * for several families of chips, each with numbers of its own; the caller says which one is meant. Strict where tolerance would program
 * something else than meant: a block that is missing, given twice or numbered against another total is refused, so is a file container
 * (flag 0x1000). No I/O. Thread rule: no state; any thread. */
#pragma once

#include "build/pieces.h"

#define IMP_UF2_BLOCK_BYTES 512
#define IMP_UF2_BLOCKS_MAX  (1024u * 1024)

/* Everything that the blocks of a family put into memory, at most max_bytes. family NULL: the only one that the file has (it may name
 * none). what names the file in messages. Errors: IMP_E_DATA_FILE "firmware.uf2: block 3 (offset 0x600): ..." (counted in the file,
 * from 0), IMP_E_LIMIT. */
ImpPieces *imp_uf2_parse(const guint8 *file, gsize n_file, const guint32 *family, gsize max_bytes,
                         const char *what, GError **error) G_GNUC_WARN_UNUSED_RESULT;
