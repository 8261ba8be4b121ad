/* Inside of image/ only: holds DER bytes against a template, byte for byte. A template is the whole form of a CMS structure;
 * what may differ are its fields, each with a tag and bounds. Nothing optional, nothing unknown: what a general parser
 * would skip or tolerate is refused. No OpenSSL here. */
#pragma once

#include "base/error.h"

#define IMP_DER_DEPTH_MAX  16
#define IMP_DER_FIELDS_MAX 8

typedef enum {
    IMP_DER_OPEN = 2, /* a constructed element of this tag begins */
    IMP_DER_CLOSE, /* ... and ends exactly here */
    IMP_DER_EXACT, /* these bytes */
    IMP_DER_FIELD, /* a primitive element of this tag with min..max bytes */
} ImpDerItemKind;

typedef struct {
    ImpDerItemKind kind;
    guint8 tag;
    const char *exact;
    gsize n_exact;
    gsize min_bytes, max_bytes;
    guint field; /* its index in the result */
    ImpErrorCode code; /* when it does not match; 0 = E3010 */
    const char *what; /* named in the error */
} ImpDerItem;

typedef struct {
    const guint8 *bytes; /* inside the DER that was held against the template */
    gsize n_bytes;
} ImpDerField;

/* How templates are written down. */
#define IMP_DER_OPENS(t)                                                                                     \
    {                                                                                                        \
        .kind = IMP_DER_OPEN, .tag = (t)                                                                     \
    }
#define IMP_DER_CLOSES                                                                                       \
    {                                                                                                        \
        .kind = IMP_DER_CLOSE                                                                                \
    }
#define IMP_DER_BYTES(bytes)                                                                                 \
    {                                                                                                        \
        .kind = IMP_DER_EXACT, .exact = (bytes), .n_exact = sizeof(bytes) - 1                                \
    }
#define IMP_DER_BYTES_OR(bytes, error_code, text)                                                            \
    {                                                                                                        \
        .kind = IMP_DER_EXACT, .exact = (bytes), .n_exact = sizeof(bytes) - 1, .code = (error_code),         \
        .what = (text)                                                                                       \
    }
#define IMP_DER_VALUE(t, min, max, index)                                                                    \
    {                                                                                                        \
        .kind = IMP_DER_FIELD, .tag = (t), .min_bytes = (min), .max_bytes = (max), .field = (index)          \
    }

/* Errors: the code of the item that does not match; E3013 if bytes follow the outermost element. */
gboolean imp_der_match(const ImpDerItem *template, gsize n_items, const guint8 *der, gsize n_der,
                       ImpDerField out_fields[IMP_DER_FIELDS_MAX], GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Writes what imp_der_match would take, with these fields, to the end of room; returns how many bytes that are. room must
 * hold all of it (asserted), fields keep their bounds (asserted). */
gsize imp_der_build(const ImpDerItem *template, gsize n_items, const ImpDerField *fields, guint8 *room,
                    gsize n_room);
