#include "ledger/pool.h"

#include <string.h>

#include "base/json.h"

static guint digits_of(guint64 number)
{
    guint n = 1;
    while (number >= 10) {
        number /= 10;
        n++;
    }
    return n;
}

/* The greatest number of the sequence. */
static guint64 greatest(const ImpPool *pool)
{
    return pool->first + (pool->last - pool->first) / pool->step * pool->step;
}

static gboolean id_ok(const char *id)
{
    for (const char *c = id; *c != '\0'; c++)
        if (!g_ascii_isalnum(*c) && strchr("._-", *c) == NULL)
            return FALSE;
    return id[0] != '\0';
}

/* The inside of one {…}: "n" or "n:0WIDTH". Sets width (0 for "n"). */
static gboolean parse_placeholder(const char *inside, guint32 *out_width)
{
    if (strcmp(inside, "n") == 0) {
        *out_width = 0;
        return TRUE;
    }
    if (!g_str_has_prefix(inside, "n:0"))
        return FALSE;
    const char *width = inside + strlen("n:0");
    guint64 value = 0;
    if (width[0] == '0' || !g_ascii_string_to_unsigned(width, 10, 1, IMP_POOL_WIDTH_MAX, &value, NULL))
        return FALSE;
    *out_width = (guint32)value;
    return TRUE;
}

/* Splits LITERAL{n…}LITERAL; faults go to r. */
static void parse_text(ImpJson *r, const char *text, ImpPool *pool)
{
    for (const char *c = text; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e) {
            imp_json_fault(r, "'text' holds something else than printable ASCII characters");
            return;
        }
    const char *open = strchr(text, '{');
    const char *close = open != NULL ? strchr(open, '}') : NULL;
    if (close == NULL) {
        imp_json_fault(r, "'text' is \"%s\": it needs one {n} or {n:06} where the number goes", text);
        return;
    }
    g_autofree char *inside = g_strndup(open + 1, (gsize)(close - open - 1));
    if (!parse_placeholder(inside, &pool->width)) {
        imp_json_fault(r, "'text' has the placeholder {%s}, which this version does not know: {n}, {n:06}",
                       inside);
        return;
    }
    gsize n_before = (gsize)(open - text);
    if (memchr(text, '}', n_before) != NULL || strpbrk(close + 1, "{}") != NULL) {
        imp_json_fault(r, "'text' is \"%s\": it may hold one placeholder and no other { or }", text);
        return;
    }
    if (n_before > IMP_WIRE_NUMBER_BYTES_MAX || strlen(close + 1) > IMP_WIRE_NUMBER_BYTES_MAX) {
        imp_json_fault(r, "'text' is longer than %d characters", IMP_WIRE_NUMBER_BYTES_MAX);
        return;
    }
    memcpy(pool->before, text, n_before);
    pool->before[n_before] = '\0';
    g_strlcpy(pool->after, close + 1, sizeof pool->after);
}

static void parse_format(ImpJson *outer, const json_t *format, ImpPool *pool)
{
    static const char *const orders[] = {"little", "big"};
    ImpJson r;
    imp_json_begin(&r, format, "format", IMP_E_SCHEMA, IMP_E_SCHEMA);
    if (imp_json_has(&r, "decimal")) {
        pool->format = IMP_POOL_DECIMAL;
        pool->width = (guint32)imp_json_u64(&r, "decimal", 1, IMP_POOL_WIDTH_MAX);
    } else if (imp_json_has(&r, "text")) {
        pool->format = IMP_POOL_TEXT;
        parse_text(&r, imp_json_string(&r, "text", 0, IMP_POOL_DEFINITION_MAX), pool);
    } else if (imp_json_has(&r, "binary")) {
        pool->format = IMP_POOL_BINARY;
        pool->width = (guint32)imp_json_u64(&r, "binary", 1, 8);
        pool->big_endian = imp_json_word(&r, "order", orders, G_N_ELEMENTS(orders)) == 1;
    } else {
        imp_json_fault(&r, "one of 'decimal', 'text' and 'binary' is needed");
    }
    GError *fault = NULL;
    if (!imp_json_end(&r, &fault))
        imp_json_take(outer, fault);
}

/* Does the greatest number fit the format? */
static void check_fit(ImpJson *r, const ImpPool *pool)
{
    guint64 most = greatest(pool);
    gboolean fixed_digits = pool->format != IMP_POOL_BINARY && pool->width > 0;
    if (fixed_digits && digits_of(most) > pool->width)
        imp_json_fault(r, "the number %" G_GUINT64_FORMAT " has more than %u digits", most, pool->width);
    if (pool->format == IMP_POOL_BINARY && pool->width < 8 && most >> (8 * pool->width) != 0)
        imp_json_fault(r, "the number %" G_GUINT64_FORMAT " does not fit into %u bytes", most, pool->width);
    if (imp_json_ok(r) && imp_pool_max_bytes(pool) > IMP_WIRE_NUMBER_BYTES_MAX)
        imp_json_fault(r, "a formatted number would have %u bytes, the limit is %d", imp_pool_max_bytes(pool),
                       IMP_WIRE_NUMBER_BYTES_MAX);
}

static gboolean parse_document(const json_t *document, ImpPool *out_pool, GError **error)
{
    ImpPool pool = {0};
    ImpJson r;
    imp_json_begin(&r, document, "pool", IMP_E_SCHEMA, IMP_E_SCHEMA);
    const char *id = imp_json_string(&r, "id", 1, IMP_WIRE_NAME_SIZE - 1);
    if (imp_json_ok(&r) && !id_ok(id))
        imp_json_fault(&r, "'id' is \"%s\": only letters, digits, '.', '_' and '-' are allowed", id);
    g_strlcpy(pool.id, id, sizeof pool.id);
    pool.first = imp_json_u64(&r, "first", 0, IMP_POOL_NUMBER_MAX);
    pool.last = imp_json_u64(&r, "last", 0, IMP_POOL_NUMBER_MAX);
    pool.step = imp_json_u64(&r, "step", 1, IMP_POOL_NUMBER_MAX);
    pool.reuse = imp_json_bool(&r, "reuse");
    const json_t *format = imp_json_object(&r, "format");
    if (imp_json_ok(&r))
        parse_format(&r, format, &pool);
    if (imp_json_ok(&r) && pool.first > pool.last)
        imp_json_fault(&r, "'first' is greater than 'last'");
    if (imp_json_ok(&r))
        check_fit(&r, &pool);
    if (!imp_json_end(&r, error))
        return FALSE;
    *out_pool = pool;
    return TRUE;
}

char *imp_pool_canonical(const char *definition, GError **error)
{
    json_t *document =
        imp_json_parse(definition, strlen(definition), IMP_POOL_DEFINITION_MAX, "pool", IMP_E_SYNTAX, error);
    if (document == NULL)
        return NULL;
    ImpPool pool;
    char *canonical = parse_document(document, &pool, error) ? imp_json_text(document) : NULL;
    json_decref(document);
    return canonical;
}

gboolean imp_pool_parse(const char *definition, ImpPool *out_pool, GError **error)
{
    json_t *document =
        imp_json_parse(definition, strlen(definition), IMP_POOL_DEFINITION_MAX, "pool", IMP_E_SYNTAX, error);
    if (document == NULL)
        return FALSE;
    ImpPool pool;
    gboolean ok = parse_document(document, &pool, error);
    if (ok) {
        g_autofree char *canonical = imp_json_text(document);
        ok = strcmp(canonical, definition) == 0;
        if (!ok)
            imp_error_set(error, IMP_E_SCHEMA, "pool: the definition is not in its canonical form %s",
                          canonical);
    }
    json_decref(document);
    if (ok)
        *out_pool = pool;
    return ok;
}

void imp_pool_digest(const char *definition, guint8 out_digest[IMP_POOL_DIGEST_BYTES])
{
    g_autoptr(GChecksum) sha256 = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sha256, (const guchar *)definition, (gssize)strlen(definition));
    gsize n_bytes = IMP_POOL_DIGEST_BYTES;
    g_checksum_get_digest(sha256, out_digest, &n_bytes);
    g_assert(n_bytes == IMP_POOL_DIGEST_BYTES);
}

gboolean imp_pool_contains(const ImpPool *pool, guint64 number)
{
    return number >= pool->first && number <= pool->last && (number - pool->first) % pool->step == 0;
}

guint64 imp_pool_capacity(const ImpPool *pool, guint64 next)
{
    guint64 from = MAX(next, pool->first);
    if (from > pool->last)
        return 0;
    return (pool->last - from) / pool->step + 1;
}

static void format_binary(const ImpPool *pool, guint64 number, ImpNumber *out)
{
    for (guint32 i = 0; i < pool->width; i++) {
        guint32 shift = 8 * (pool->big_endian ? pool->width - 1 - i : i);
        out->bytes[i] = (guint8)(number >> shift);
    }
    out->n_bytes = (guint8)pool->width;
    g_snprintf(out->text, sizeof out->text, "%" G_GUINT64_FORMAT, number);
}

void imp_pool_format(const ImpPool *pool, guint64 number, ImpNumber *out_number)
{
    g_assert(imp_pool_contains(pool, number));
    ImpNumber out = {.number = number};
    g_strlcpy(out.pool, pool->id, sizeof out.pool);
    if (pool->format == IMP_POOL_BINARY) {
        format_binary(pool, number, &out);
    } else {
        /* before and after are empty for a decimal. */
        int n = g_snprintf(out.text, sizeof out.text, "%s%0*" G_GUINT64_FORMAT "%s", pool->before,
                           (int)MAX(pool->width, 1), number, pool->after);
        g_assert(n > 0 && n <= IMP_WIRE_NUMBER_BYTES_MAX);
        memcpy(out.bytes, out.text, (gsize)n);
        out.n_bytes = (guint8)n;
    }
    *out_number = out;
}

guint32 imp_pool_max_bytes(const ImpPool *pool)
{
    if (pool->format == IMP_POOL_BINARY)
        return pool->width;
    guint32 digits = pool->width > 0 ? pool->width : digits_of(greatest(pool));
    return (guint32)(strlen(pool->before) + strlen(pool->after)) + digits;
}
