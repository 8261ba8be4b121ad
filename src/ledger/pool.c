#include "ledger/pool.h"

#include <string.h>

#include "base/json.h"
#include "ledger/template.h"

#define EUI_GROUP 0x01 /* IEEE 802: this bit of the first byte marks the address of a group */

static const char *const orders[] = {"little", "big"};

void imp_pool_done(ImpPool *pool)
{
    g_strfreev(pool->list);
    pool->list = NULL;
    pool->n_list = 0;
}

static guint digits_of(guint64 number, guint base)
{
    guint n = 1;
    for (; number >= base; number /= base)
        n++;
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

static gboolean printable(const guint8 *bytes, gsize n_bytes)
{
    for (gsize i = 0; i < n_bytes; i++)
        if (bytes[i] < 0x20 || bytes[i] > 0x7e)
            return FALSE;
    return TRUE;
}

/* ---- reading a format ---- */

static void read_order(ImpJson *r, ImpPool *pool)
{
    pool->big_endian = imp_json_word(r, "order", orders, G_N_ELEMENTS(orders)) == 1;
}

static void read_text(ImpJson *r, ImpPool *pool)
{
    const char *text = imp_json_string(r, "text", 0, IMP_POOL_PLAIN_MAX);
    g_autofree char *fault = imp_json_ok(r) ? imp_pool_template_fault(text, NULL, NULL) : NULL;
    if (fault != NULL)
        imp_json_fault(r, "'text' is \"%s\": %s", text, fault);
    else
        g_strlcpy(pool->text, text, sizeof pool->text);
}

static void read_hex(ImpJson *r, ImpPool *pool)
{
    static const char *const cases[] = {"lower", "upper"};
    pool->width = (guint32)imp_json_u64(r, "digits", 1, 16);
    pool->upper = imp_json_word(r, "hex", cases, G_N_ELEMENTS(cases)) == 1;
}

static void read_bytes(ImpJson *r, ImpPool *pool)
{
    guint8 pairs[2 * IMP_POOL_BYTES_MAX];
    gsize n_digits = strlen(imp_json_string(r, "bytes", 4, sizeof pairs * 2));
    read_order(r, pool);
    if (n_digits % 4 != 0)
        imp_json_fault(r, "'bytes' must be pairs of a lowest and a highest byte, four digits each");
    if (!imp_json_ok(r))
        return;
    imp_json_hex(r, "bytes", pairs, n_digits / 2);
    pool->width = (guint32)(n_digits / 4);
    for (guint32 i = 0; i < pool->width && imp_json_ok(r); i++) {
        pool->low[i] = pairs[2 * i];
        pool->high[i] = pairs[2 * i + 1];
        if (pool->low[i] > pool->high[i])
            imp_json_fault(r, "'bytes': the lowest value of byte %u is greater than its highest", i);
    }
}

static void read_eui(ImpJson *r, const char *name, guint32 width, ImpPool *pool)
{
    guint8 bytes[8] = {0};
    pool->width = width;
    imp_json_hex(r, name, bytes, width);
    read_order(r, pool);
    for (guint32 i = 0; i < width; i++)
        pool->base = pool->base << 8 | bytes[i];
    if (bytes[0] & EUI_GROUP)
        imp_json_fault(r, "'%s' is the address of a group, not of a device", name);
}

/* 1 to 64 bytes: printable, or as many lower-case hexadecimal pairs. */
static gboolean entry_ok(const char *entry, gboolean as_hex)
{
    gsize n = strlen(entry);
    if (!as_hex)
        return n >= 1 && n <= IMP_WIRE_NUMBER_BYTES_MAX && printable((const guint8 *)entry, n);
    for (gsize i = 0; i < n; i++)
        if (!g_ascii_isdigit(entry[i]) && !(entry[i] >= 'a' && entry[i] <= 'f'))
            return FALSE;
    return n >= 2 && n % 2 == 0 && n <= 2 * IMP_WIRE_NUMBER_BYTES_MAX;
}

static void read_list(ImpJson *r, ImpPool *pool)
{
    static const char *const forms[] = {"text", "hex"};
    pool->as_hex = imp_json_word(r, "as", forms, G_N_ELEMENTS(forms)) == 1;
    const json_t *list = imp_json_array(r, "list", 1, IMP_POOL_LIST_MAX);
    if (list == NULL)
        return;
    gsize n = json_array_size(list);
    pool->list = g_new0(char *, n + 1);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (gsize i = 0; i < n && imp_json_ok(r); i++) {
        const char *entry = json_string_value(json_array_get(list, i));
        if (entry == NULL || !entry_ok(entry, pool->as_hex))
            imp_json_fault(r, "'list': entry %" G_GSIZE_FORMAT " is not 1 to %d %s", i,
                           IMP_WIRE_NUMBER_BYTES_MAX,
                           pool->as_hex ? "bytes in lower-case hexadecimal" : "printable ASCII characters");
        else if (!g_hash_table_add(seen, (gpointer)entry))
            imp_json_fault(r, "'list': \"%s\" stands in it twice", entry);
        else
            pool->list[pool->n_list++] = g_strdup(entry);
    }
}

static void read_format(ImpJson *outer, const json_t *format, ImpPool *pool)
{
    ImpJson r;
    imp_json_begin(&r, format, "format", IMP_E_SCHEMA, IMP_E_SCHEMA);
    if (imp_json_has(&r, "decimal")) {
        pool->format = IMP_POOL_DECIMAL;
        pool->width = (guint32)imp_json_u64(&r, "decimal", 1, IMP_POOL_WIDTH_MAX);
    } else if (imp_json_has(&r, "text")) {
        pool->format = IMP_POOL_TEXT;
        read_text(&r, pool);
    } else if (imp_json_has(&r, "binary")) {
        pool->format = IMP_POOL_BINARY;
        pool->width = (guint32)imp_json_u64(&r, "binary", 1, 8);
        read_order(&r, pool);
    } else if (imp_json_has(&r, "hex")) {
        pool->format = IMP_POOL_HEX;
        read_hex(&r, pool);
    } else if (imp_json_has(&r, "bcd")) {
        pool->format = IMP_POOL_BCD;
        pool->width = (guint32)imp_json_u64(&r, "bcd", 1, IMP_POOL_BCD_MAX);
        read_order(&r, pool);
    } else if (imp_json_has(&r, "bytes")) {
        pool->format = IMP_POOL_BYTES;
        read_bytes(&r, pool);
    } else if (imp_json_has(&r, "eui48")) {
        pool->format = IMP_POOL_EUI48;
        read_eui(&r, "eui48", 6, pool);
    } else if (imp_json_has(&r, "eui64")) {
        pool->format = IMP_POOL_EUI64;
        read_eui(&r, "eui64", 8, pool);
    } else if (imp_json_has(&r, "list")) {
        pool->format = IMP_POOL_LIST;
        read_list(&r, pool);
    } else if (imp_json_has(&r, "external")) {
        pool->format = IMP_POOL_EXTERNAL;
        pool->width = (guint32)imp_json_u64(&r, "external", 1, IMP_WIRE_NUMBER_BYTES_MAX);
    } else {
        imp_json_fault(
            &r, "one of 'decimal', 'hex', 'text', 'binary', 'bcd', 'bytes', 'eui48', 'eui64', 'list' and "
                "'external' is needed");
    }
    GError *fault = NULL;
    if (!imp_json_end(&r, &fault))
        imp_json_take(outer, fault);
}

/* ---- does the greatest number fit? ---- */

static void check_digits(ImpJson *r, guint64 most, guint base, guint32 digits)
{
    if (digits > 0 && digits_of(most, base) > digits)
        imp_json_fault(r, "the number %" G_GUINT64_FORMAT " has more than %u digits", most, digits);
}

/* How many numbers the bounds of the bytes give, at most G_MAXINT64 + 1. */
static guint64 odometer_size(const ImpPool *pool)
{
    guint64 n = 1;
    for (guint32 i = 0; i < pool->width; i++) {
        guint64 values = (guint64)(pool->high[i] - pool->low[i]) + 1;
        n = n > ((guint64)G_MAXINT64 + 1) / values ? (guint64)G_MAXINT64 + 1 : n * values;
    }
    return n;
}

static void check_eui(ImpJson *r, const ImpPool *pool, guint64 most)
{
    guint64 top = pool->width == 6 ? (G_GUINT64_CONSTANT(1) << 48) - 1 : G_MAXUINT64;
    if (most > top - pool->base) {
        imp_json_fault(r, "the addresses end before the number %" G_GUINT64_FORMAT, most);
        return;
    }
    /* From one first byte to the next lie the addresses of groups. */
    guint32 shift = 8 * (pool->width - 1);
    if ((pool->base + most) >> shift != pool->base >> shift)
        imp_json_fault(r, "the addresses run over into those of groups");
}

static void check_fit(ImpJson *r, const ImpPool *pool)
{
    guint64 most = greatest(pool);
    guint32 digits = 0;
    gboolean hexadecimal = FALSE;
    switch (pool->format) {
    case IMP_POOL_DECIMAL:
        check_digits(r, most, 10, pool->width);
        break;
    case IMP_POOL_HEX:
        check_digits(r, most, 16, pool->width);
        break;
    case IMP_POOL_BCD:
        check_digits(r, most, 10, 2 * pool->width);
        break;
    case IMP_POOL_TEXT:
        g_free(imp_pool_template_fault(pool->text, &digits, &hexadecimal));
        check_digits(r, most, hexadecimal ? 16 : 10, digits);
        if (imp_json_ok(r) && imp_pool_max_bytes(pool) > IMP_WIRE_NUMBER_BYTES_MAX)
            imp_json_fault(r, "a formatted number would have %u bytes, the limit is %d",
                           imp_pool_max_bytes(pool), IMP_WIRE_NUMBER_BYTES_MAX);
        break;
    case IMP_POOL_BINARY:
        if (pool->width < 8 && most >> (8 * pool->width) != 0)
            imp_json_fault(r, "the number %" G_GUINT64_FORMAT " does not fit into %u bytes", most,
                           pool->width);
        break;
    case IMP_POOL_BYTES:
        if (most >= odometer_size(pool))
            imp_json_fault(r, "the bounds of the bytes end before the number %" G_GUINT64_FORMAT, most);
        break;
    case IMP_POOL_EUI48:
    case IMP_POOL_EUI64:
        check_eui(r, pool, most);
        break;
    case IMP_POOL_LIST:
        if (pool->last >= pool->n_list)
            imp_json_fault(r, "'last' is %" G_GUINT64_FORMAT ", the list's last entry is number %u",
                           pool->last, pool->n_list - 1);
        break;
    case IMP_POOL_EXTERNAL:
        if (pool->first != 0 || pool->last != IMP_POOL_NUMBER_MAX || pool->step != 1)
            imp_json_fault(r, "an external pool has 'first' 0, 'last' %" G_GINT64_FORMAT " and 'step' 1",
                           IMP_POOL_NUMBER_MAX);
        break;
    }
}

/* base to the power of digits, less one, at most IMP_POOL_NUMBER_MAX. */
static guint64 largest(guint base, guint32 digits)
{
    guint64 value = 0;
    for (guint32 i = 0; i < digits; i++) {
        if (value > ((guint64)IMP_POOL_NUMBER_MAX - (base - 1)) / base)
            return IMP_POOL_NUMBER_MAX;
        value = value * base + (base - 1);
    }
    return value;
}

guint64 imp_pool_format_last(const ImpPool *pool)
{
    guint32 digits = 0;
    gboolean hexadecimal = FALSE;
    switch (pool->format) {
    case IMP_POOL_DECIMAL:
        return largest(10, pool->width);
    case IMP_POOL_HEX:
        return largest(16, pool->width);
    case IMP_POOL_BCD:
        return largest(10, 2 * pool->width);
    case IMP_POOL_BINARY:
        return largest(256, pool->width);
    case IMP_POOL_TEXT:
        g_free(imp_pool_template_fault(pool->text, &digits, &hexadecimal));
        return digits > 0 ? largest(hexadecimal ? 16 : 10, digits) : IMP_POOL_NUMBER_MAX;
    case IMP_POOL_BYTES:
        return odometer_size(pool) - 1;
    case IMP_POOL_EUI48:
    case IMP_POOL_EUI64: {
        /* To the last address with the same first byte: the next one is a group's. */
        guint64 low = (G_GUINT64_CONSTANT(1) << (8 * (pool->width - 1))) - 1;
        return MIN(low - (pool->base & low), (guint64)IMP_POOL_NUMBER_MAX);
    }
    case IMP_POOL_LIST:
        return pool->n_list - 1;
    case IMP_POOL_EXTERNAL:
        break;
    }
    return IMP_POOL_NUMBER_MAX;
}

/* ---- definitions ---- */

static gboolean read_document(const json_t *document, ImpPool *out_pool, GError **error)
{
    g_auto(ImpPool) pool = {0};
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
        read_format(&r, format, &pool);
    if (imp_json_ok(&r) && pool.first > pool.last)
        imp_json_fault(&r, "'first' is greater than 'last'");
    if (imp_json_ok(&r))
        check_fit(&r, &pool);
    if (!imp_json_end(&r, error))
        return FALSE;
    *out_pool = pool;
    pool.list = NULL;
    return TRUE;
}

/* The document of a definition, or NULL. */
static json_t *parse_text(const char *definition, GError **error)
{
    return imp_json_parse(definition, strlen(definition), IMP_POOL_DEFINITION_MAX, "pool", IMP_E_SYNTAX,
                          error);
}

char *imp_pool_canonical(const char *definition, GError **error)
{
    json_auto_t *document = parse_text(definition, error);
    g_auto(ImpPool) pool = {0};
    if (document == NULL || !read_document(document, &pool, error))
        return NULL;
    return imp_json_text(document);
}

gboolean imp_pool_parse(const char *definition, ImpPool *out_pool, GError **error)
{
    json_auto_t *document = parse_text(definition, error);
    g_auto(ImpPool) pool = {0};
    if (document == NULL || !read_document(document, &pool, error))
        return FALSE;
    g_autofree char *canonical = imp_json_text(document);
    if (strcmp(canonical, definition) != 0) {
        imp_error_set(error, IMP_E_SCHEMA, "pool: the definition is not in its canonical form %.512s",
                      canonical);
        return FALSE;
    }
    *out_pool = pool;
    pool.list = NULL;
    return TRUE;
}

void imp_pool_digest(const char *definition, guint8 out_digest[IMP_POOL_DIGEST_BYTES])
{
    g_autoptr(GChecksum) sha256 = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sha256, (const guchar *)definition, (gssize)strlen(definition));
    gsize n_bytes = IMP_POOL_DIGEST_BYTES;
    g_checksum_get_digest(sha256, out_digest, &n_bytes);
    g_assert(n_bytes == IMP_POOL_DIGEST_BYTES);
}

char *imp_pool_short(const char *definition)
{
    json_auto_t *document = parse_text(definition, NULL);
    json_t *format = json_object_get(document, "format");
    json_t *list = json_object_get(format, "list");
    if (list == NULL)
        return g_strdup(definition);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, definition, -1);
    json_object_set_new(format, "entries", json_integer((json_int_t)json_array_size(list)));
    json_object_set_new(format, "sha256", json_string(sum));
    json_object_del(format, "list");
    return imp_json_text(document);
}

/* ---- numbers ---- */

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

static void put_text(ImpNumber *out, const char *text)
{
    gsize n = strlen(text);
    g_assert(n > 0 && n <= IMP_WIRE_NUMBER_BYTES_MAX);
    memcpy(out->bytes, text, n);
    out->n_bytes = (guint8)n;
    g_strlcpy(out->text, text, sizeof out->text);
}

/* Turns the bytes round where the pool says so. */
static void put_order(const ImpPool *pool, ImpNumber *out)
{
    out->n_bytes = (guint8)pool->width;
    for (guint32 i = 0; !pool->big_endian && i < pool->width / 2; i++) {
        guint8 byte = out->bytes[i];
        out->bytes[i] = out->bytes[pool->width - 1 - i];
        out->bytes[pool->width - 1 - i] = byte;
    }
}

static void put_integer(ImpNumber *out, guint64 value, guint32 width)
{
    for (guint32 i = width; i > 0; i--, value >>= 8)
        out->bytes[i - 1] = (guint8)value;
}

static void format_bcd(const ImpPool *pool, guint64 number, ImpNumber *out)
{
    g_snprintf(out->text, sizeof out->text, "%0*" G_GUINT64_FORMAT, (int)(2 * pool->width), number);
    for (guint32 i = pool->width; i > 0; i--, number /= 100)
        out->bytes[i - 1] = (guint8)(number / 10 % 10 << 4 | number % 10);
    put_order(pool, out);
}

static void format_bytes(const ImpPool *pool, guint64 number, ImpNumber *out)
{
    for (guint32 i = pool->width; i > 0; i--) {
        guint64 values = (guint64)(pool->high[i - 1] - pool->low[i - 1]) + 1;
        out->bytes[i - 1] = (guint8)(pool->low[i - 1] + number % values);
        number /= values;
    }
    g_assert(number == 0);
    g_autofree char *hex = imp_hex_encode(out->bytes, pool->width);
    if (printable(out->bytes, pool->width))
        g_strlcpy(out->text, (const char *)out->bytes, pool->width + 1);
    else
        g_strlcpy(out->text, hex, sizeof out->text);
    put_order(pool, out);
}

static void format_eui(const ImpPool *pool, guint64 number, ImpNumber *out)
{
    put_integer(out, pool->base + number, pool->width);
    char *at = out->text;
    for (guint32 i = 0; i < pool->width; i++)
        at += g_snprintf(at, 4, "%s%02X", i > 0 ? "-" : "", out->bytes[i]);
    put_order(pool, out);
}

static void format_entry(const ImpPool *pool, guint64 number, ImpNumber *out)
{
    const char *entry = pool->list[number];
    if (!pool->as_hex) {
        put_text(out, entry);
        return;
    }
    gssize n_bytes = imp_hex_decode(entry, out->bytes, sizeof out->bytes);
    g_assert(n_bytes > 0);
    out->n_bytes = (guint8)n_bytes;
    g_strlcpy(out->text, entry, sizeof out->text);
}

void imp_pool_format(const ImpPool *pool, guint64 number, gint64 real_us, ImpNumber *out_number)
{
    g_assert(imp_pool_contains(pool, number));
    ImpNumber out = {.number = number};
    g_autofree char *text = NULL;
    g_strlcpy(out.pool, pool->id, sizeof out.pool);
    switch (pool->format) {
    case IMP_POOL_DECIMAL:
        text = g_strdup_printf("%0*" G_GUINT64_FORMAT, (int)pool->width, number);
        break;
    case IMP_POOL_HEX:
        text = pool->upper ? g_strdup_printf("%0*" G_GINT64_MODIFIER "X", (int)pool->width, number)
                           : g_strdup_printf("%0*" G_GINT64_MODIFIER "x", (int)pool->width, number);
        break;
    case IMP_POOL_TEXT:
        text = template_text(pool->text, number, real_us);
        break;
    case IMP_POOL_BINARY:
        put_integer(&out, number, pool->width);
        g_snprintf(out.text, sizeof out.text, "%" G_GUINT64_FORMAT, number);
        put_order(pool, &out);
        break;
    case IMP_POOL_BCD:
        format_bcd(pool, number, &out);
        break;
    case IMP_POOL_BYTES:
        format_bytes(pool, number, &out);
        break;
    case IMP_POOL_EUI48:
    case IMP_POOL_EUI64:
        format_eui(pool, number, &out);
        break;
    case IMP_POOL_LIST:
        format_entry(pool, number, &out);
        break;
    case IMP_POOL_EXTERNAL:
        g_assert_not_reached(); /* imp_pool_take_given */
    }
    if (text != NULL)
        put_text(&out, text);
    *out_number = out;
}

gboolean imp_pool_take_given(const ImpPool *pool, const guint8 *bytes, gsize n_bytes, ImpNumber *out_number,
                             GError **error)
{
    g_assert(pool->format == IMP_POOL_EXTERNAL);
    if (n_bytes < 1 || n_bytes > pool->width || !printable(bytes, n_bytes)) {
        imp_error_set(error, IMP_E_ARGUMENT, "a number for the pool %s is 1 to %u printable ASCII characters",
                      pool->id, pool->width);
        return FALSE;
    }
    ImpNumber out = {0};
    g_autofree char *text = g_strndup((const char *)bytes, n_bytes);
    g_strlcpy(out.pool, pool->id, sizeof out.pool);
    put_text(&out, text);
    *out_number = out;
    return TRUE;
}

guint32 imp_pool_max_bytes(const ImpPool *pool)
{
    g_autofree char *text = NULL;
    gsize most = 0;
    switch (pool->format) {
    case IMP_POOL_TEXT: /* dates and check digits have a fixed width */
        text = template_text(pool->text, greatest(pool), 0);
        return (guint32)strlen(text);
    case IMP_POOL_LIST:
        for (guint64 i = pool->first; i <= pool->last; i += pool->step)
            most = MAX(most, strlen(pool->list[i]) / (pool->as_hex ? 2 : 1));
        return (guint32)most;
    case IMP_POOL_DECIMAL:
    case IMP_POOL_BINARY:
    case IMP_POOL_HEX:
    case IMP_POOL_BCD:
    case IMP_POOL_BYTES:
    case IMP_POOL_EUI48:
    case IMP_POOL_EUI64:
    case IMP_POOL_EXTERNAL:
        break;
    }
    return pool->width;
}

gboolean imp_pool_has_date(const ImpPool *pool)
{
    return pool->format == IMP_POOL_TEXT && template_has_date(pool->text);
}
