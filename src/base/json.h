/* Strict JSON: what a document may hold is asked for by name, everything else is refused by name.
 *
 * Reading an object:
 *
 *     ImpJson r;
 *     imp_json_begin(&r, object, "statement", IMP_E_SCHEMA, IMP_E_SCHEMA);
 *     entry.units = imp_json_u64(&r, "units", 1, G_MAXINT64);
 *     if (imp_json_has(&r, "order"))
 *         entry.order = g_strdup(imp_json_string(&r, "order", 0, 64));
 *     if (!imp_json_end(&r, error))
 *         ...
 *
 * The first fault is kept, later calls do nothing and give zero, "" or NULL; imp_json_end reports it, or the first member
 * that was never asked for. Between begin and end there is no early return, or the kept error leaks (call imp_json_drop).
 * What the getters give is borrowed from the document.
 *
 * Thread rule: none of its own; a document belongs to who holds it. */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/id.h"

#define IMP_JSON_MEMBERS_MAX 40 /* of one object that ImpJson reads */

typedef struct {
    json_t *object;
    const char *where; /* "manifest: content", said in errors */
    ImpErrorCode wrong; /* code for a missing or wrong member */
    ImpErrorCode unknown; /* code for a member that was not asked for */
    GError *error;
    const char *asked[IMP_JSON_MEMBERS_MAX];
    guint n_asked;
} ImpJson;

/* Parses exactly one document of n_bytes (at most max_bytes: IMP_E_LIMIT). Duplicate members, NUL characters and anything
 * after the document are faults: code, with line and column. Free with json_decref. */
json_t *imp_json_parse(const char *text, gsize n_bytes, gsize max_bytes, const char *what, ImpErrorCode code,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The one canonical text of a document: members sorted by name, no white space, no newline at the end. Free with g_free. */
char *imp_json_text(const json_t *document) G_GNUC_WARN_UNUSED_RESULT;

/* Begins to read object (borrowed until the end; NULL or not an object: a fault). where is borrowed, too. */
void imp_json_begin(ImpJson *r, const json_t *object, const char *where, ImpErrorCode wrong,
                    ImpErrorCode unknown);

/* TRUE if there is such a member: how optional ones are asked for. */
gboolean imp_json_has(ImpJson *r, const char *name);

/* Members that must be there. Bounds are inclusive; integers lie in 0..G_MAXINT64. */
guint64 imp_json_u64(ImpJson *r, const char *name, guint64 min, guint64 max);
gint64 imp_json_i64(ImpJson *r, const char *name, gint64 min, gint64 max);
gboolean imp_json_bool(ImpJson *r, const char *name);
/* Bytes without the closing NUL; control characters are a fault. */
const char *imp_json_string(ImpJson *r, const char *name, gsize min_bytes, gsize max_bytes);
/* One of n words (NULL entries are skipped); its index. */
guint imp_json_word(ImpJson *r, const char *name, const char *const *words, guint n_words);
/* Exactly n_bytes as lower-case hexadecimal. out is untouched on a fault. */
void imp_json_hex(ImpJson *r, const char *name, guint8 *out, gsize n_bytes);
ImpId imp_json_id(ImpJson *r, const char *name);
/* NULL on a fault. */
const json_t *imp_json_array(ImpJson *r, const char *name, gsize min_items, gsize max_items);
const json_t *imp_json_object(ImpJson *r, const char *name);

/* TRUE while no fault has been found: for loops and dependent members. */
gboolean imp_json_ok(const ImpJson *r);

/* Records a fault that the caller found ("units: larger than the pool"), with the reader's code and place. */
void imp_json_fault(ImpJson *r, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Takes over an error from below (NULL is allowed: nothing happens) as the fault, with the reader's place in front. */
void imp_json_take(ImpJson *r, GError *error);

/* FALSE and *error if there was a fault or a member was not asked for. */
gboolean imp_json_end(ImpJson *r, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Forgets a reader without reporting. */
void imp_json_drop(ImpJson *r);
