/* Inside of build/ and its tests: the bytes of one data file, whatever its format, cut and filled as the recipe says. No I/O.
 * Thread rule: no state; any thread. */
#pragma once

#include "build/pieces.h"

typedef enum {
    IMP_DATA_UNKNOWN, /* what the file itself says */
    IMP_DATA_HEX = 2,
    IMP_DATA_BINARY,
    IMP_DATA_SREC,
    IMP_DATA_ELF,
    IMP_DATA_UF2,
} ImpDataFormat;

typedef struct {
    ImpDataFormat format; /* what the file's name says, or the recipe */
    gboolean exact; /* the recipe says the format: no other is tried */
    guint64 at; /* IMP_DATA_BINARY: address of the first byte */
    gboolean has_family; /* UF2: only the blocks of that family */
    guint32 family;
    gboolean has_range; /* only what lies in first to last */
    guint64 range_first, range_last;
    gboolean has_fill; /* what the file leaves open in the range gets this byte */
    guint8 fill;
    gsize max_bytes;
} ImpLoadOptions;

/* "a HEX", "an S-record": for messages; constant text. */
const char *imp_data_format_text(ImpDataFormat format);

/* What the first bytes say; IMP_DATA_UNKNOWN if they are of none of the formats that can be told. */
ImpDataFormat imp_data_guess(const guint8 *file, gsize n_file);

/* A file's own format goes before what its name says. Only of a binary file by its name, contents that begin like ELF or UF2 are
 * refused: the recipe has to say what is meant. Errors: IMP_E_DATA_FILE, IMP_E_LIMIT, IMP_E_OUTSIDE_MEMORY. */
ImpPieces *imp_load(const guint8 *file, gsize n_file, const char *what, const ImpLoadOptions *options,
                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
