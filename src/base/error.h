/* Errors of the whole of Imprint: one domain, one append-only registry (api/errors.csv).
 *
 * A GError of the domain IMP_ERROR carries a code of that registry, a text for people, and a detail: where in the
 * target it happened, what was expected and what was found. Codes and details go on the wire and into records, texts
 * never do. Errors of other libraries are translated to a code at the border of the module that calls the library.
 *
 * Thread rule: an error belongs to who holds it; the registry is constant. */
#pragma once

#include <glib.h>
#include "base/error-codes.h"

#define IMP_ERROR (imp_error_quark())
GQuark imp_error_quark(void);

/* What a line does about an error; each code of the registry has one. */
typedef enum {
    IMP_DISPOSITION_RETRY = 2, /* the same again may succeed */
    IMP_DISPOSITION_OPERATOR, /* a person has to do something, the unit is untouched or can be done again */
    IMP_DISPOSITION_REJECT_UNIT, /* set the unit aside */
    IMP_DISPOSITION_STATION_DOWN, /* the station cannot go on */
    IMP_DISPOSITION_REFUSE, /* not allowed; doing it again does not help */
    IMP_DISPOSITION_BUG, /* a defect of Imprint */
} ImpDisposition;

typedef struct {
    int code;
    const char *name; /* "flash-mismatch" */
    ImpDisposition disposition;
    const char *meaning;
    const char *likely;
    const char *action; /* what to do with the unit or the station */
} ImpErrorEntry;

extern const ImpErrorEntry imp_error_entries[];
extern const gsize imp_error_entry_count;

/* The registry's entry of a code; NULL for a code that is not in it. Constant. */
const ImpErrorEntry *imp_error_entry(int code);

/* "retry", "operator", "reject-unit", "station-down", "refuse", "bug" */
const char *imp_disposition_name(ImpDisposition disposition);

#define IMP_ERROR_BYTES_MAX 16

/* What a record keeps of an error beside its code. All optional. */
typedef struct {
    gboolean has_address;
    guint64 address; /* in the target's memory */
    guint8 expected[IMP_ERROR_BYTES_MAX];
    guint8 found[IMP_ERROR_BYTES_MAX];
    guint8 expected_bytes; /* how many of expected[] count */
    guint8 found_bytes;
    char step[32]; /* the recipe's step or the engine's phase, "" if none */
} ImpErrorDetail;

/* Sets *error (which may be NULL) to a new error of IMP_ERROR. */
void imp_error_set(GError **error, ImpErrorCode code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The same with the place and the bytes. expected and found may be NULL; at most IMP_ERROR_BYTES_MAX bytes are kept. */
void imp_error_set_at(GError **error, ImpErrorCode code, guint64 address, const guint8 *expected,
                      const guint8 *found, gsize n_bytes, const char *format, ...) G_GNUC_PRINTF(7, 8);

/* The same without a place. */
void imp_error_set_values(GError **error, ImpErrorCode code, const guint8 *expected, const guint8 *found,
                          gsize n_bytes, const char *format, ...) G_GNUC_PRINTF(6, 7);

/* Names the step in an error of IMP_ERROR that has none yet; anything else is left alone. error may be NULL, or
 * point to NULL. */
void imp_error_set_step(GError **error, const char *step);

/* The same for the place. */
void imp_error_set_place(GError **error, guint64 address);

/* The detail of an error of IMP_ERROR, borrowed; NULL for other domains. */
const ImpErrorDetail *imp_error_detail(const GError *error);

/* The code for a file or folder that could not be opened, read or written, by its errno: IMP_E_NOT_FOUND, IMP_E_NO_ACCESS, or
 * IMP_E_IO for what is the machine's own trouble (a full disk, a broken one). */
ImpErrorCode imp_error_code_of_errno(int number);

/* The same for an error that GLib's file functions set. */
ImpErrorCode imp_error_code_of_file(const GError *error);

/* The code for records and exit codes: the error's own, or IMP_E_BUG where a foreign domain slipped through. */
int imp_error_code(const GError *error);
