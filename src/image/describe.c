#include "image/describe.h"

#include <string.h>

#include "image/numbers.h"

static void line_free(gpointer data)
{
    ImpLine *line = data;
    g_free(line->name);
    g_free(line->key);
    g_free(line->text);
    g_free(line);
}

static void add(GPtrArray *to, const char *name, const char *key, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
static void add(GPtrArray *to, const char *name, const char *key, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ImpLine *line = g_new(ImpLine, 1);
    *line = (ImpLine){g_strdup(name), g_strdup(key), g_strdup_vprintf(format, args)};
    va_end(args);
    g_ptr_array_add(to, line);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static gint64 number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static gboolean has(const json_t *object, const char *name)
{
    return json_object_get(object, name) != NULL;
}

#define HEX "0x%08" G_GINT64_MODIFIER "X"

/* --- connection, power ---------------------------------------------------------------------------------------------- */

static void describe_device(GPtrArray *to, const json_t *device)
{
    gsize i;
    const json_t *item;
    add(to, "device", "", "%s, %s, RAM " HEX " %" G_GINT64_FORMAT " bytes", text_of(device, "name"),
        text_of(device, "core"), (guint64)number_of(device, "ram_start"), number_of(device, "ram_bytes"));
    json_array_foreach(json_object_get(device, "algorithms"), i, item)
    {
        g_autofree char *key = g_strdup_printf(HEX, (guint64)number_of(item, "start"));
        add(to, "algorithm", key, "%s for " HEX " to " HEX ", pages of %" G_GINT64_FORMAT " bytes",
            text_of(item, "name"), (guint64)number_of(item, "start"),
            (guint64)(number_of(item, "start") + number_of(item, "size_bytes") - 1),
            number_of(item, "page_bytes"));
    }
    /* The rest of what a chip is, member by member, so that no difference stays hidden. */
    const char *member;
    json_t *value;
    json_object_foreach((json_t *)device, member, value)
    {
        char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        add(to, IMP_LINE_CHIP, member, "%s %s", member, text);
        free(text);
    }
}

static void describe_power(GPtrArray *to, const json_t *power)
{
    static const struct {
        const char *member, *before, *after;
    } parts[] = {
        {"millivolts", "", " mV"},
        {"min_mv", "at least ", " mV"},
        {"max_mv", "at most ", " mV"},
        {"on_delay_ms", "", " ms after switching on"},
        {"off_delay_ms", "", " ms after switching off"},
    };
    GString *text = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++)
        if (has(power, parts[i].member))
            g_string_append_printf(text, "%s%s%" G_GINT64_FORMAT "%s", text->len > 0 ? ", " : "",
                                   parts[i].before, number_of(power, parts[i].member), parts[i].after);
    if (json_is_true(json_object_get(power, "off_at_end")))
        g_string_append(text, text->len > 0 ? ", off at the end" : "off at the end");
    add(to, "power", "", "%s", text->len > 0 ? text->str : "as the supply is set");
    g_string_free(text, TRUE);
}

/* --- data ----------------------------------------------------------------------------------------------------------- */

static void describe_segments(GPtrArray *to, const char *name, const json_t *segments)
{
    gsize i;
    const json_t *item;
    json_array_foreach(segments, i, item)
    {
        guint64 address = (guint64)number_of(item, "address"), n_bytes = (guint64)number_of(item, "bytes");
        g_autofree char *key = g_strdup_printf("%s " HEX, text_of(item, "data"), address);
        add(to, name, key, "%s, " HEX " to " HEX ", %" G_GUINT64_FORMAT " bytes", text_of(item, "data"),
            address, address + n_bytes - 1, n_bytes);
    }
}

/* What kind of value, and where it comes from. */
static char *value_source(const json_t *value, const json_t *pools)
{
    const char *kind = text_of(value, "kind");
    if (strcmp(kind, "pool") == 0)
        return g_strdup_printf("a number of pool %s",
                               text_of(json_array_get(pools, (gsize)number_of(value, "pool")), "id"));
    if (strcmp(kind, "read") == 0)
        return g_strdup_printf("read from " HEX ", %" G_GINT64_FORMAT " bytes",
                               (guint64)number_of(value, "address"), number_of(value, "bytes"));
    if (strcmp(kind, "barcode") == 0)
        return g_strdup_printf("scanned from a label like %s", text_of(value, "rule"));
    if (strcmp(kind, "given") == 0)
        return g_strdup_printf("given with the launch, %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT " bytes",
                               number_of(value, "min"), number_of(value, "max"));
    if (strcmp(kind, "from-test") == 0)
        return g_strdup_printf("block %s of a test, %" G_GINT64_FORMAT " bytes", text_of(value, "block"),
                               number_of(value, "bytes"));
    return g_strdup(kind);
}

static void describe_values(GPtrArray *to, const json_t *content)
{
    gsize i;
    const json_t *item, *pools = json_object_get(content, "pools");
    const json_t *values = json_object_get(content, "values");
    json_array_foreach(pools, i, item)
        add(to, "pool", text_of(item, "id"), "%s, %s", text_of(item, "id"), text_of(item, "definition"));
    json_array_foreach(values, i, item)
    {
        g_autofree char *source = value_source(item, pools);
        add(to, "value", text_of(item, "name"), "%s, %s%s%s", text_of(item, "name"), source,
            json_is_true(json_object_get(item, "log")) ? ", logged" : "",
            json_is_true(json_object_get(item, "redact")) ? ", its bytes kept out of the log" : "");
    }
    json_array_foreach(json_object_get(content, "places"), i, item)
    {
        const char *name = text_of(json_array_get(values, (gsize)number_of(item, "value")), "name");
        g_autofree char *key = g_strdup_printf("%s " HEX, name, (guint64)number_of(item, "address"));
        add(to, "place", key, "%s, " HEX ", %" G_GINT64_FORMAT " bytes, filled with 0x%02X%s%s", name,
            (guint64)number_of(item, "address"), number_of(item, "bytes"), (guint)number_of(item, "pad"),
            json_is_true(json_object_get(item, "reversed")) ? ", last byte first" : "",
            json_is_true(json_object_get(item, "over")) ? ", over data" : "");
    }
}

/* --- steps ---------------------------------------------------------------------------------------------------------- */

static void append_range(GString *text, const json_t *range)
{
    if (range != NULL)
        g_string_append_printf(text, " " HEX " to " HEX, (guint64)number_of(range, "first"),
                               (guint64)number_of(range, "last"));
}

/* "name, name" of the values whose indexes are listed. */
static void append_values(GString *text, const json_t *indexes, const json_t *values)
{
    gsize i;
    const json_t *index;
    json_array_foreach(indexes, i, index)
        g_string_append_printf(text, "%s%s", i == 0 ? " " : ", ",
                               text_of(json_array_get(values, (gsize)json_integer_value(index)), "name"));
}

/* An expectation's word of 64 bits, without leading zeroes beyond its size. */
static const char *word_of(const json_t *step, const char *name)
{
    const char *text = text_of(step, name);
    gsize digits = 2 * (gsize)number_of(step, "bytes");
    return strlen(text) > digits ? text + strlen(text) - digits : text;
}

static void append_expect(GString *text, const json_t *step)
{
    const char *low = word_of(step, "low"), *high = word_of(step, "high");
    g_string_append_printf(text, " " HEX " & 0x%s", (guint64)number_of(step, "address"),
                           word_of(step, "mask"));
    if (strcmp(low, high) == 0)
        g_string_append_printf(text, " equals 0x%s", low);
    else
        g_string_append_printf(text, " is 0x%s to 0x%s", low, high);
}

static char *step_text(const json_t *step, const json_t *content)
{
    const char *kind = text_of(step, "step");
    const json_t *values = json_object_get(content, "values");
    GString *text = g_string_new(kind);
    gsize i;
    const json_t *range;
    static const char *const words[] = {"erase", "blank", "verify", "power"};
    for (gsize k = 0; k < G_N_ELEMENTS(words); k++)
        if (has(step, words[k]))
            g_string_append_printf(text, " %s", text_of(step, words[k]));
    append_range(text, json_object_get(step, "range"));
    json_array_foreach(json_object_get(step, "ranges"), i, range)
    {
        g_string_append(text, i > 0 ? "," : "");
        append_range(text, range);
    }
    if (strcmp(kind, "test") == 0)
        g_string_append_printf(
            text, " %s",
            text_of(json_array_get(json_object_get(content, "tests"), (gsize)number_of(step, "test")),
                    "name"));
    append_values(text, json_object_get(step, "values"), values);
    if (strcmp(kind, "write") == 0)
        g_string_append_printf(text, " %s at " HEX, text_of(step, "bytes"),
                               (guint64)number_of(step, "address"));
    if (strcmp(kind, "expect") == 0)
        append_expect(text, step);
    if (strcmp(kind, "protect") == 0)
        g_string_append_printf(text, " level %" G_GINT64_FORMAT "%s", number_of(step, "level"),
                               json_is_true(json_object_get(step, "prove")) ? ", proved" : "");
    if (strcmp(kind, "run") == 0)
        g_string_append_printf(text, " until '%s'", text_of(step, "text"));
    if (has(step, "mailbox"))
        g_string_append_printf(text, ", mailbox " HEX, (guint64)number_of(step, "mailbox"));
    if (has(step, "delay_ms"))
        g_string_append_printf(text, " %" G_GINT64_FORMAT " ms", number_of(step, "delay_ms"));
    if (has(step, "within_ms"))
        g_string_append_printf(text, " within %" G_GINT64_FORMAT " ms", number_of(step, "within_ms"));
    if (has(step, "timeout_ms"))
        g_string_append_printf(text, " within %" G_GINT64_FORMAT " ms", number_of(step, "timeout_ms"));
    return g_string_free(text, FALSE);
}

static void describe_steps(GPtrArray *to, const json_t *content, const char *member, const char *name)
{
    gsize i;
    const json_t *step;
    json_array_foreach(json_object_get(content, member), i, step)
    {
        g_autofree char *text = step_text(step, content);
        add(to, name, "", "%s", text);
    }
}

static void describe_tests(GPtrArray *to, const json_t *content)
{
    gsize i;
    const json_t *test;
    json_array_foreach(json_object_get(content, "tests"), i, test)
    {
        add(to, "test", text_of(test, "name"), "%s, starts at " HEX ", stack " HEX ", mailbox " HEX,
            text_of(test, "name"), (guint64)number_of(test, "pc"), (guint64)number_of(test, "sp"),
            (guint64)number_of(test, "mailbox"));
        describe_segments(to, "test data", json_object_get(test, "segments"));
    }
}

GPtrArray *imp_describe_content(const json_t *content)
{
    GPtrArray *to = g_ptr_array_new_with_free_func(line_free);
    add(to, "name", "", "%s %s", text_of(content, "name"), text_of(content, "version"));
    describe_device(to, json_object_get(content, "device"));
    add(to, "connection", "", "SWD at %" G_GINT64_FORMAT " Hz, attach %s%s%s", number_of(content, "swd_hz"),
        text_of(content, "attach"), has(content, "unlock") ? ", unlock by " : "",
        has(content, "unlock") ? text_of(content, "unlock") : "");
    if (has(content, "power"))
        describe_power(to, json_object_get(content, "power"));
    describe_segments(to, "data", json_object_get(content, "segments"));
    describe_values(to, content);
    describe_tests(to, content);
    describe_steps(to, content, "steps", "step");
    describe_steps(to, content, "finally", "finally");
    add(to, "rework", "", "%s", text_of(content, "rework"));
    return to;
}

/* --- restrictions --------------------------------------------------------------------------------------------------- */

static void describe_date(GPtrArray *to, const char *name, const json_t *restrictions, const char *member)
{
    if (!has(restrictions, member))
        return;
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(number_of(restrictions, member));
    g_autofree char *text = time != NULL ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S UTC") : NULL;
    add(to, name, "", "%s", text != NULL ? text : "?");
}

static void describe_range(GPtrArray *to, const json_t *range, const json_t *pool)
{
    g_autofree char *text = imp_numbers_text(text_of(pool, "id"), (guint64)number_of(range, "first"),
                                             (guint64)number_of(range, "last"));
    add(to, "numbers", text_of(pool, "id"), "%s", text);
}

GPtrArray *imp_describe_restrictions(const json_t *restrictions, const json_t *content)
{
    GPtrArray *to = g_ptr_array_new_with_free_func(line_free);
    if (has(restrictions, "units"))
        add(to, "units", "", "%" G_GINT64_FORMAT ", counted on %s", number_of(restrictions, "units"),
            text_of(restrictions, "count_on"));
    else
        add(to, "units", "", "no limit, counted on %s", text_of(restrictions, "count_on"));
    if (has(restrictions, "max_failures"))
        add(to, "max failures", "", "%" G_GINT64_FORMAT, number_of(restrictions, "max_failures"));
    describe_date(to, "not before", restrictions, "not_before_s");
    describe_date(to, "not after", restrictions, "not_after_s");
    if (json_is_true(json_object_get(restrictions, "free_rework")))
        add(to, "rework count", "", "a chip that has used up a unit uses up no second one");
    const json_t *pools = json_object_get(content, "pools");
    const json_t *only = json_object_get(restrictions, "numbers");
    const json_t *ranges = json_object_get(restrictions, "ranges");
    gsize i;
    json_t *range;
    if (only != NULL)
        describe_range(to, only, json_array_get(pools, 0));
    json_array_foreach(ranges, i, range)
    {
        describe_range(to, range, json_array_get(pools, (gsize)number_of(range, "pool")));
    }
    if (only != NULL || ranges != NULL)
        add(to, "", "", "%s", IMP_NUMBERS_WARNING);
    return to;
}
