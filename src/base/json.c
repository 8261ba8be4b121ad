#include "base/json.h"

#include <string.h>

json_t *imp_json_parse(const char *text, gsize n_bytes, gsize max_bytes, const char *what, ImpErrorCode code,
                       GError **error)
{
    if (n_bytes > max_bytes) {
        imp_error_set(error, IMP_E_LIMIT, "%s: %" G_GSIZE_FORMAT " bytes, the limit is %" G_GSIZE_FORMAT,
                      what, n_bytes, max_bytes);
        return NULL;
    }
    json_error_t at;
    json_t *document = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &at);
    if (document == NULL)
        imp_error_set(error, code, "%s: line %d, column %d: %s", what, at.line, at.column, at.text);
    return document;
}

char *imp_json_text(const json_t *document)
{
    gsize n_bytes = json_dumpb(document, NULL, 0, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    char *text = g_malloc(n_bytes + 1);
    gsize written = json_dumpb(document, text, n_bytes, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    g_assert(written == n_bytes);
    text[n_bytes] = '\0';
    return text;
}

void imp_json_begin(ImpJson *r, const json_t *object, const char *where, ImpErrorCode wrong,
                    ImpErrorCode unknown)
{
    memset(r, 0, sizeof *r);
    r->where = where;
    r->wrong = wrong;
    r->unknown = unknown;
    /* jansson's lookups take a non-const pointer; nothing here changes the document. */
    r->object = (json_t *)object;
    if (!json_is_object(object))
        imp_json_fault(r, "must be an object");
}

gboolean imp_json_ok(const ImpJson *r)
{
    return r->error == NULL;
}

void imp_json_fault(ImpJson *r, const char *format, ...)
{
    if (r->error != NULL)
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    imp_error_set(&r->error, r->wrong, "%s: %s", r->where, text);
}

void imp_json_take(ImpJson *r, GError *error)
{
    if (error == NULL)
        return;
    if (r->error != NULL) {
        g_error_free(error);
        return;
    }
    g_prefix_error(&error, "%s: ", r->where);
    r->error = error;
}

/* The member, noted as asked for; NULL if it is missing or there was a fault before. */
static json_t *ask(ImpJson *r, const char *name)
{
    if (r->error != NULL)
        return NULL;
    g_assert(r->n_asked < IMP_JSON_MEMBERS_MAX);
    r->asked[r->n_asked++] = name;
    return json_object_get(r->object, name);
}

static json_t *need(ImpJson *r, const char *name)
{
    json_t *member = ask(r, name);
    if (member == NULL)
        imp_json_fault(r, "'%s' is missing", name);
    return member;
}

gboolean imp_json_has(ImpJson *r, const char *name)
{
    return ask(r, name) != NULL;
}

gint64 imp_json_i64(ImpJson *r, const char *name, gint64 min, gint64 max)
{
    json_t *member = need(r, name);
    if (member == NULL)
        return 0;
    if (!json_is_integer(member)) {
        imp_json_fault(r, "'%s' must be an integer", name);
        return 0;
    }
    gint64 value = json_integer_value(member);
    if (value < min || value > max) {
        imp_json_fault(r,
                       "'%s' is %" G_GINT64_FORMAT ", it must be %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                       name, value, min, max);
        return 0;
    }
    return value;
}

guint64 imp_json_u64(ImpJson *r, const char *name, guint64 min, guint64 max)
{
    g_assert(min <= G_MAXINT64);
    return (guint64)imp_json_i64(r, name, (gint64)min, (gint64)MIN(max, (guint64)G_MAXINT64));
}

gboolean imp_json_bool(ImpJson *r, const char *name)
{
    json_t *member = need(r, name);
    if (member != NULL && !json_is_boolean(member))
        imp_json_fault(r, "'%s' must be true or false", name);
    return json_is_true(member);
}

const char *imp_json_string(ImpJson *r, const char *name, gsize min_bytes, gsize max_bytes)
{
    json_t *member = need(r, name);
    if (member == NULL)
        return "";
    if (!json_is_string(member)) {
        imp_json_fault(r, "'%s' must be a string", name);
        return "";
    }
    const char *text = json_string_value(member);
    gsize n_bytes = strlen(text);
    if (n_bytes < min_bytes || n_bytes > max_bytes) {
        imp_json_fault(
            r, "'%s' has %" G_GSIZE_FORMAT " bytes, it must have %" G_GSIZE_FORMAT " to %" G_GSIZE_FORMAT,
            name, n_bytes, min_bytes, max_bytes);
        return "";
    }
    for (const char *c = text; *c != '\0'; c++)
        if ((guchar)*c < 0x20 || *c == 0x7f) {
            imp_json_fault(r, "'%s' holds a control character", name);
            return "";
        }
    return text;
}

guint imp_json_word(ImpJson *r, const char *name, const char *const *words, guint n_words)
{
    const char *text = imp_json_string(r, name, 1, 64);
    for (guint i = 0; i < n_words; i++)
        if (words[i] != NULL && strcmp(words[i], text) == 0)
            return i;
    imp_json_fault(r, "'%s' is '%s', which is no word of this version", name, text);
    return 0;
}

void imp_json_hex(ImpJson *r, const char *name, guint8 *out, gsize n_bytes)
{
    const char *text = imp_json_string(r, name, 2 * n_bytes, 2 * n_bytes);
    if (r->error != NULL)
        return;
    for (const char *c = text; *c != '\0'; c++)
        if (!g_ascii_isdigit(*c) && !(*c >= 'a' && *c <= 'f')) {
            imp_json_fault(r, "'%s' must be lower-case hexadecimal", name);
            return;
        }
    gssize got = imp_hex_decode(text, out, n_bytes);
    g_assert(got == (gssize)n_bytes);
}

ImpId imp_json_id(ImpJson *r, const char *name)
{
    ImpId id = {{0}};
    imp_json_hex(r, name, id.bytes, sizeof id.bytes);
    return id;
}

const json_t *imp_json_array(ImpJson *r, const char *name, gsize min_items, gsize max_items)
{
    json_t *member = need(r, name);
    if (member == NULL)
        return NULL;
    if (!json_is_array(member)) {
        imp_json_fault(r, "'%s' must be an array", name);
        return NULL;
    }
    gsize n_items = json_array_size(member);
    if (n_items < min_items || n_items > max_items) {
        imp_json_fault(
            r, "'%s' has %" G_GSIZE_FORMAT " items, it must have %" G_GSIZE_FORMAT " to %" G_GSIZE_FORMAT,
            name, n_items, min_items, max_items);
        return NULL;
    }
    return member;
}

const json_t *imp_json_object(ImpJson *r, const char *name)
{
    json_t *member = need(r, name);
    if (member != NULL && !json_is_object(member)) {
        imp_json_fault(r, "'%s' must be an object", name);
        return NULL;
    }
    return member;
}

static gboolean was_asked(const ImpJson *r, const char *name)
{
    for (guint i = 0; i < r->n_asked; i++)
        if (strcmp(r->asked[i], name) == 0)
            return TRUE;
    return FALSE;
}

gboolean imp_json_end(ImpJson *r, GError **error)
{
    const char *name;
    json_t *member;
    if (r->error == NULL)
        json_object_foreach(r->object, name, member)
        {
            if (!was_asked(r, name)) {
                imp_error_set(&r->error, r->unknown, "%s: unknown member '%.64s'", r->where, name);
                break;
            }
        }
    if (r->error == NULL)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&r->error));
    return FALSE;
}

void imp_json_drop(ImpJson *r)
{
    g_clear_error(&r->error);
}
