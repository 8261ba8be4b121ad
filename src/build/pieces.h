/* Inside of build/ and its tests: what a data file puts into memory, and what the parsers of the formats share.
 *
 * A parser works with an ImpReader: init; for each line, block or segment of the file set number and offset, then add its
 * bytes or set a fault, which says where it stands; finish (which refuses bytes given twice); done. No I/O.
 * Thread rule: no state; any thread. */
#pragma once

#include <glib.h>

#include "base/error.h"

#define IMP_PIECES_RECORDS_MAX (8u * 1024 * 1024) /* lines, blocks or segments with data in one file */

/* Consecutive bytes; neighbours neither overlap nor touch. */
typedef struct {
    guint64 address;
    gsize offset; /* in bytes */
    gsize n_bytes;
} ImpPiece;

typedef struct {
    guint8 *bytes;
    ImpPiece *pieces; /* sorted by address */
    gsize n_pieces;
} ImpPieces;

void imp_pieces_free(ImpPieces *pieces);

typedef struct {
    const char *what; /* the file in messages; borrowed */
    const char *unit; /* "line", "block", ...: what is counted; a constant */
    gsize max_bytes;
    guint32 number; /* of the unit that is being read */
    gsize offset; /* in the file, of a unit that is no line */
    GByteArray *bytes;
    GArray *records;
} ImpReader;

void imp_reader_init(ImpReader *r, const char *what, const char *unit, gsize max_bytes);
void imp_reader_done(ImpReader *r);

/* Sets IMP_E_DATA_FILE: "firmware.hex:12: ..." or "firmware.uf2: block 3 (offset 0x600): ...". Returns FALSE. */
gboolean imp_reader_fault(const ImpReader *r, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Bytes of this unit, copied. Refused: what reaches past 32 bits (IMP_E_DATA_FILE), past max_bytes or
 * IMP_PIECES_RECORDS_MAX (IMP_E_LIMIT). */
gboolean imp_reader_add(ImpReader *r, guint64 address, const guint8 *bytes, gsize n_bytes,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Files of lines: the next line without its end (LF or CR LF) and trailing blanks; FALSE at the end of the file. Counts
 * number up. *cursor moves on. */
gboolean imp_reader_line(ImpReader *r, const char **cursor, const char *end, const char **out_line,
                         gsize *out_n);

/* n bytes out of 2 * n hexadecimal digits; column is that of the first digit, from 1. */
gboolean imp_reader_digits(const ImpReader *r, const char *digits, gsize n, gsize column, guint8 *out_bytes,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Everything that was added, sorted and joined; IMP_E_DATA_FILE if there is nothing, or an address is given twice (even with
 * equal bytes). */
ImpPieces *imp_reader_finish(ImpReader *r, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpPieces, imp_pieces_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImpReader, imp_reader_done)
