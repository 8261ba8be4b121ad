#include "image/content_json.h"

#include <string.h>

#include "device/device_json.h"
#include "image/policy_json.h"
#include "image/secret.h"

#define CORE_ADDRESS_END (G_GUINT64_CONSTANT(1) << 32) /* every core of this version has 32-bit addresses */

static const char *const attach_names[] = {
    [IMP_ATTACH_NORMAL] = "normal",
    [IMP_ATTACH_UNDER_RESET] = "under-reset",
    [IMP_ATTACH_POWER_CYCLE] = "power-cycle",
};
static const char *const unlock_names[] = {[IMP_UNLOCK_ERASE] = "erase"};
static const char *const value_names[] = {
    [IMP_VALUE_POOL] = "pool",   [IMP_VALUE_READ] = "read",           [IMP_VALUE_BARCODE] = "barcode",
    [IMP_VALUE_GIVEN] = "given", [IMP_VALUE_FROM_TEST] = "from-test",
};
static const char *const step_names[] = {
    [IMP_STEP_ERASE] = "erase", [IMP_STEP_PROGRAM] = "program", [IMP_STEP_VERIFY] = "verify",
    [IMP_STEP_READ] = "read",   [IMP_STEP_RESET] = "reset",     [IMP_STEP_BLANK_CHECK] = "blank-check",
    [IMP_STEP_WRITE] = "write", [IMP_STEP_EXPECT] = "expect",   [IMP_STEP_PROTECT] = "protect",
    [IMP_STEP_RUN] = "run",     [IMP_STEP_DELAY] = "delay",     [IMP_STEP_POWER] = "power",
    [IMP_STEP_TEST] = "test",
};
static const char *const erase_names[] = {
    [IMP_ERASE_ALL] = "all",
    [IMP_ERASE_USED] = "used",
    [IMP_ERASE_RANGE] = "range",
};
static const char *const blank_names[] = {
    [IMP_BLANK_ALL] = "all",
    [IMP_BLANK_USED] = "used",
    [IMP_BLANK_RANGE] = "range",
};
static const char *const power_names[] = {
    [IMP_POWER_ON] = "on",
    [IMP_POWER_OFF] = "off",
    [IMP_POWER_CYCLE] = "cycle",
};
static const char *const verify_names[] = {
    [IMP_VERIFY_CHECKSUM] = "checksum",
    [IMP_VERIFY_READ_BACK] = "read-back",
};
static const char *const rework_names[] = {
    [IMP_REWORK_REFUSE] = "refuse",
    [IMP_REWORK_KEEP_VALUES] = "keep-values",
    [IMP_REWORK_NEW_VALUES] = "new-values",
};

/* --- encode --------------------------------------------------------------------------------------------------------- */

static void set_text(json_t *object, const char *name, const char *text)
{
    json_t *string = json_string(text);
    g_assert(string != NULL); /* imp_content_check has seen that it is UTF-8 */
    json_object_set_new(object, name, string);
}

static void set_number(json_t *object, const char *name, guint64 value)
{
    g_assert(value <= G_MAXINT64);
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

/* Left out if zero: members that came later do not change what was there before. */
static void set_more(json_t *object, const char *name, guint64 value)
{
    if (value != 0)
        set_number(object, name, value);
}

static void set_true(json_t *object, const char *name, gboolean value)
{
    if (value)
        json_object_set_new(object, name, json_true());
}

/* The bytes of all segments, one after the other. Plain text of the owner's: memory that is wiped. */
static GBytes *join_segments(const ImpSegment *segments, gsize n_segments)
{
    gsize n_bytes = 0;
    if (n_segments == 1)
        return g_bytes_ref(segments[0].bytes);
    for (gsize i = 0; i < n_segments; i++)
        n_bytes += g_bytes_get_size(segments[i].bytes);
    ImpSecret *memory = imp_secret_new(n_bytes);
    g_assert(memory != NULL); /* no more than what is held already; GLib, too, ends here */
    guint8 *at = memory->bytes;
    for (gsize i = 0; i < n_segments; i++) {
        gsize n;
        const void *from = g_bytes_get_data(segments[i].bytes, &n);
        memcpy(at, from, n);
        at += n;
    }
    return imp_secret_to_bytes(memory);
}

static json_t *encode_segments(const ImpSegment *segments, gsize n_segments)
{
    json_t *array = json_array();
    for (gsize i = 0; i < n_segments; i++) {
        const ImpSegment *segment = &segments[i];
        json_t *object = json_object();
        set_text(object, "data", segment->data);
        set_number(object, "address", segment->address);
        set_number(object, "bytes", g_bytes_get_size(segment->bytes));
        json_array_append_new(array, object);
    }
    return array;
}

static void set_pool(json_t *object, const ImpValue *value)
{
    if (value->has_pool)
        set_number(object, "pool", value->pool_index);
}

static json_t *encode_values(const ImpContent *content)
{
    json_t *array = json_array();
    for (gsize i = 0; i < content->n_values; i++) {
        const ImpValue *value = &content->values[i];
        json_t *object = json_object();
        set_text(object, "name", value->name);
        set_text(object, "kind", value_names[value->kind]);
        json_object_set_new(object, "log", json_boolean(value->log));
        set_true(object, "redact", value->redact);
        switch (value->kind) {
        case IMP_VALUE_POOL:
            set_number(object, "pool", value->pool_index);
            break;
        case IMP_VALUE_READ:
            set_number(object, "address", value->read_address);
            set_number(object, "bytes", value->read_bytes);
            break;
        case IMP_VALUE_BARCODE:
            set_text(object, "rule", value->rule);
            set_pool(object, value);
            break;
        case IMP_VALUE_GIVEN:
            set_number(object, "min", value->size_min);
            set_number(object, "max", value->size_max);
            set_pool(object, value);
            break;
        case IMP_VALUE_FROM_TEST:
            set_text(object, "block", value->block);
            set_number(object, "bytes", value->block_bytes);
            break;
        }
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *encode_places(const ImpContent *content)
{
    json_t *array = json_array();
    for (gsize i = 0; i < content->n_places; i++) {
        const ImpPlace *place = &content->places[i];
        json_t *object = json_object();
        set_number(object, "value", place->value_index);
        set_number(object, "address", place->address);
        set_number(object, "bytes", place->size_bytes);
        set_number(object, "pad", place->pad);
        set_true(object, "reversed", place->reversed);
        set_true(object, "over", place->over);
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *encode_range(const ImpRange *range)
{
    json_t *object = json_object();
    set_number(object, "first", range->first);
    set_number(object, "last", range->last);
    return object;
}

static void set_ranges(json_t *object, const ImpStep *step)
{
    if (step->n_ranges == 0)
        return;
    json_t *array = json_array();
    for (gsize i = 0; i < step->n_ranges; i++)
        json_array_append_new(array, encode_range(&step->ranges[i]));
    json_object_set_new(object, "ranges", array);
}

/* Numbers of 64 bits do not fit into JSON's integers. */
static void set_word(json_t *object, const char *name, guint64 value)
{
    char text[2 * sizeof value + 1];
    g_snprintf(text, sizeof text, "%016" G_GINT64_MODIFIER "x", value);
    set_text(object, name, text);
}

static void set_expect(json_t *object, const ImpStep *step)
{
    set_number(object, "address", step->address);
    set_number(object, "bytes", step->size_bytes);
    set_word(object, "mask", step->mask);
    set_word(object, "low", step->low);
    set_word(object, "high", step->high);
    set_more(object, "within_ms", step->within_ms);
}

static void set_named(json_t *object, const ImpStep *step)
{
    if (step->n_values == 0)
        return;
    json_t *array = json_array();
    for (gsize i = 0; i < step->n_values; i++)
        json_array_append_new(array, json_integer(step->values[i]));
    json_object_set_new(object, "values", array);
}

static json_t *encode_step(const ImpStep *step)
{
    json_t *object = json_object();
    set_text(object, "step", step_names[step->kind]);
    switch (step->kind) {
    case IMP_STEP_ERASE:
        set_text(object, "erase", erase_names[step->erase]);
        if (step->erase == IMP_ERASE_RANGE)
            json_object_set_new(object, "range", encode_range(&step->range));
        break;
    case IMP_STEP_BLANK_CHECK:
        set_text(object, "blank", blank_names[step->blank]);
        if (step->blank == IMP_BLANK_RANGE)
            json_object_set_new(object, "range", encode_range(&step->range));
        break;
    case IMP_STEP_VERIFY:
        set_text(object, "verify", verify_names[step->verify]);
        set_ranges(object, step);
        break;
    case IMP_STEP_PROGRAM:
        set_ranges(object, step);
        break;
    case IMP_STEP_READ:
        set_named(object, step);
        break;
    case IMP_STEP_RESET:
        break;
    case IMP_STEP_WRITE: {
        g_autofree char *hex =
            imp_hex_encode(g_bytes_get_data(step->bytes, NULL), g_bytes_get_size(step->bytes));
        set_number(object, "address", step->address);
        set_text(object, "bytes", hex);
        break;
    }
    case IMP_STEP_EXPECT:
        set_expect(object, step);
        break;
    case IMP_STEP_PROTECT:
        set_number(object, "level", step->level);
        json_object_set_new(object, "prove", json_boolean(step->prove));
        break;
    case IMP_STEP_RUN:
        set_text(object, "text", step->text);
        set_number(object, "within_ms", step->within_ms);
        if (step->address != 0)
            set_number(object, "mailbox", step->address);
        break;
    case IMP_STEP_DELAY:
        set_number(object, "delay_ms", step->delay_ms);
        break;
    case IMP_STEP_POWER:
        set_text(object, "power", power_names[step->power]);
        break;
    case IMP_STEP_TEST:
        set_number(object, "test", step->test_index);
        set_number(object, "timeout_ms", step->timeout_ms);
        set_named(object, step);
        break;
    }
    return object;
}

static json_t *encode_steps(const ImpStep *steps, gsize n_steps)
{
    json_t *array = json_array();
    for (gsize i = 0; i < n_steps; i++)
        json_array_append_new(array, encode_step(&steps[i]));
    return array;
}

static json_t *encode_power(const ImpPowerSettings *power)
{
    json_t *object = json_object();
    set_more(object, "millivolts", power->millivolts);
    set_more(object, "min_mv", power->min_mv);
    set_more(object, "max_mv", power->max_mv);
    set_more(object, "on_delay_ms", power->on_delay_ms);
    set_more(object, "off_delay_ms", power->off_delay_ms);
    set_true(object, "off_at_end", power->off_at_end);
    return object;
}

static json_t *encode_tests(const ImpContent *content)
{
    json_t *array = json_array();
    for (gsize i = 0; i < content->n_tests; i++) {
        const ImpTestProgram *test = &content->tests[i];
        json_t *object = json_object();
        set_text(object, "name", test->name);
        json_object_set_new(object, "segments", encode_segments(test->segments, test->n_segments));
        set_number(object, "pc", test->entry_pc);
        set_number(object, "sp", test->entry_sp);
        set_number(object, "mailbox", test->mailbox_address);
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *encode(const ImpContent *content, gboolean with_memory, GPtrArray **out_sections)
{
    g_autoptr(GPtrArray) blobs = NULL;
    json_t *object = json_object();
    set_text(object, "name", content->name);
    set_text(object, "version", content->version);
    json_object_set_new(object, "device", imp_device_encode(content->device, &blobs));
    set_number(object, "swd_hz", content->swd_hz);
    set_text(object, "attach", attach_names[content->attach]);
    if (content->unlock != IMP_UNLOCK_NEVER)
        set_text(object, "unlock", unlock_names[content->unlock]);
    if (content->power.has)
        json_object_set_new(object, "power", encode_power(&content->power));
    json_object_set_new(object, "segments", encode_segments(content->segments, content->n_segments));
    json_object_set_new(object, "pools", imp_pools_encode(content->pools, content->n_pools));
    json_object_set_new(object, "values", encode_values(content));
    json_object_set_new(object, "places", encode_places(content));
    if (content->n_tests > 0)
        json_object_set_new(object, "tests", encode_tests(content));
    json_object_set_new(object, "steps", encode_steps(content->steps, content->n_steps));
    if (content->n_finally > 0)
        json_object_set_new(object, "finally", encode_steps(content->finally, content->n_finally));
    set_text(object, "rework", rework_names[content->rework]);
    GPtrArray *sections = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    if (with_memory)
        g_ptr_array_add(sections, join_segments(content->segments, content->n_segments));
    for (guint i = 0; i < blobs->len; i++)
        g_ptr_array_add(sections, g_bytes_ref(g_ptr_array_index(blobs, i)));
    for (gsize i = 0; i < content->n_tests; i++)
        g_ptr_array_add(sections, join_segments(content->tests[i].segments, content->tests[i].n_segments));
    *out_sections = sections;
    return object;
}

json_t *imp_content_encode(const ImpContent *content, GPtrArray **out_sections)
{
    return encode(content, TRUE, out_sections);
}

json_t *imp_content_encode_around(const ImpContent *content, GPtrArray **out_sections)
{
    return encode(content, FALSE, out_sections);
}

/* --- decode --------------------------------------------------------------------------------------------------------- */

typedef struct {
    ImpContent *content;
    /* the section that segments are cut from, and where they go */
    GBytes *memory;
    gsize used_bytes;
    ImpSegment *segments;
    /* where steps go */
    ImpStep *steps;
    GBytes *const *test_sections;
    ImpErrorCode wrong, unknown;
} Decoder;

typedef void (*ItemFn)(ImpJson *r, Decoder *decoder, gsize index);

/* Reads each item of an array, which has been measured and for which the caller has made room, with a reader of its own. */
static void decode_items(ImpJson *r, Decoder *decoder, const char *name, const json_t *array, ItemFn item)
{
    for (gsize i = 0; i < json_array_size(array) && imp_json_ok(r); i++) {
        ImpJson s;
        GError *error = NULL;
        imp_json_begin(&s, json_array_get(array, i), name, decoder->wrong, decoder->unknown);
        item(&s, decoder, i);
        if (!imp_json_end(&s, &error))
            imp_json_take(r, error);
    }
}

static gboolean get_true(ImpJson *r, const char *name)
{
    gboolean value = imp_json_has(r, name) && imp_json_bool(r, name);
    if (imp_json_has(r, name) && !value && imp_json_ok(r))
        imp_json_fault(r, "'%s' is false: it is to be left out", name); /* one way to say one thing */
    return value;
}

static guint32 get_more(ImpJson *r, const char *name, guint32 max)
{
    return imp_json_has(r, name) ? (guint32)imp_json_u64(r, name, 1, max) : 0;
}

static guint64 get_address(ImpJson *r, const char *name)
{
    return imp_json_u64(r, name, 0, CORE_ADDRESS_END - 1);
}

static void decode_segment(ImpJson *r, Decoder *decoder, gsize index)
{
    ImpSegment *segment = &decoder->segments[index];
    segment->data = g_strdup(imp_json_string(r, "data", 1, IMP_CONTENT_NAME_MAX));
    segment->address = get_address(r, "address");
    gsize n_bytes = (gsize)imp_json_u64(r, "bytes", 1, IMP_CONTENT_DATA_MAX);
    if (n_bytes > g_bytes_get_size(decoder->memory) - decoder->used_bytes)
        imp_json_fault(r, "'bytes' reaches behind the end of the memory section");
    if (!imp_json_ok(r))
        return;
    segment->bytes = g_bytes_new_from_bytes(decoder->memory, decoder->used_bytes, n_bytes);
    decoder->used_bytes += n_bytes;
}

/* The segments that fill a section. */
static void decode_segments(ImpJson *r, Decoder *decoder, GBytes *section, gsize max,
                            ImpSegment **out_segments, gsize *out_n)
{
    const json_t *array = imp_json_array(r, "segments", 0, max);
    decoder->memory = section;
    decoder->used_bytes = 0;
    *out_n = json_array_size(array);
    *out_segments = decoder->segments = g_new0(ImpSegment, *out_n);
    decode_items(r, decoder, "segment", array, decode_segment);
    if (decoder->used_bytes != g_bytes_get_size(section))
        imp_json_fault(r, "the segments do not fill their section");
}

static void get_pool(ImpJson *r, ImpValue *value)
{
    value->has_pool = imp_json_has(r, "pool");
    if (value->has_pool)
        value->pool_index = (guint32)imp_json_u64(r, "pool", 0, IMP_CONTENT_POOLS_MAX - 1);
}

static void decode_value(ImpJson *r, Decoder *decoder, gsize index)
{
    ImpValue *value = &decoder->content->values[index];
    value->name = g_strdup(imp_json_string(r, "name", 1, IMP_CONTENT_NAME_MAX));
    value->kind = imp_json_word(r, "kind", value_names, G_N_ELEMENTS(value_names));
    value->log = imp_json_bool(r, "log");
    value->redact = get_true(r, "redact");
    if (!imp_json_ok(r))
        return;
    switch (value->kind) {
    case IMP_VALUE_POOL:
        value->pool_index = (guint32)imp_json_u64(r, "pool", 0, IMP_CONTENT_POOLS_MAX - 1);
        break;
    case IMP_VALUE_READ:
        value->read_address = get_address(r, "address");
        value->read_bytes = (guint32)imp_json_u64(r, "bytes", 1, IMP_CONTENT_VALUE_BYTES_MAX);
        break;
    case IMP_VALUE_BARCODE:
        value->rule = g_strdup(imp_json_string(r, "rule", 1, IMP_CONTENT_TEXT_MAX));
        get_pool(r, value);
        break;
    case IMP_VALUE_GIVEN:
        value->size_min = (guint32)imp_json_u64(r, "min", 1, IMP_CONTENT_PLACE_BYTES_MAX);
        value->size_max = (guint32)imp_json_u64(r, "max", value->size_min, IMP_CONTENT_PLACE_BYTES_MAX);
        get_pool(r, value);
        break;
    case IMP_VALUE_FROM_TEST:
        value->block = g_strdup(imp_json_string(r, "block", 1, IMP_CONTENT_NAME_MAX));
        value->block_bytes = (guint32)imp_json_u64(r, "bytes", 1, IMP_CONTENT_VALUE_BYTES_MAX);
        break;
    }
}

static void decode_place(ImpJson *r, Decoder *decoder, gsize index)
{
    ImpPlace *place = &decoder->content->places[index];
    place->value_index = (guint32)imp_json_u64(r, "value", 0, IMP_CONTENT_VALUES_MAX - 1);
    place->address = get_address(r, "address");
    place->size_bytes = (guint32)imp_json_u64(r, "bytes", 1, IMP_CONTENT_PLACE_BYTES_MAX);
    place->pad = (guint8)imp_json_u64(r, "pad", 0, G_MAXUINT8);
    place->reversed = get_true(r, "reversed");
    place->over = get_true(r, "over");
}

static void decode_test(ImpJson *r, Decoder *decoder, gsize index)
{
    ImpTestProgram *test = &decoder->content->tests[index];
    test->name = g_strdup(imp_json_string(r, "name", 1, IMP_CONTENT_NAME_MAX));
    decode_segments(r, decoder, decoder->test_sections[index], IMP_CONTENT_TEST_SEGMENTS, &test->segments,
                    &test->n_segments);
    test->entry_pc = (guint32)get_address(r, "pc");
    test->entry_sp = (guint32)get_address(r, "sp");
    test->mailbox_address = (guint32)get_address(r, "mailbox");
}

/* --- steps ---------------------------------------------------------------------------------------------------------- */

static void read_range(ImpJson *r, const json_t *object, ImpRange *out_range)
{
    ImpJson s;
    GError *error = NULL;
    imp_json_begin(&s, object, "range", r->wrong, r->unknown);
    out_range->first = get_address(&s, "first");
    out_range->last = get_address(&s, "last");
    if (!imp_json_end(&s, &error))
        imp_json_take(r, error);
}

static void get_range(ImpJson *r, ImpRange *out_range)
{
    const json_t *object = imp_json_object(r, "range");
    if (object != NULL)
        read_range(r, object, out_range);
}

static void get_ranges(ImpJson *r, ImpStep *step)
{
    if (!imp_json_has(r, "ranges"))
        return;
    const json_t *array = imp_json_array(r, "ranges", 1, IMP_CONTENT_RANGES_MAX);
    step->n_ranges = json_array_size(array);
    step->ranges = g_new0(ImpRange, step->n_ranges);
    for (gsize i = 0; i < step->n_ranges; i++)
        read_range(r, json_array_get(array, i), &step->ranges[i]);
}

static void get_named(ImpJson *r, ImpStep *step)
{
    if (!imp_json_has(r, "values"))
        return;
    const json_t *array = imp_json_array(r, "values", 1, IMP_CONTENT_VALUES_MAX);
    step->n_values = json_array_size(array);
    step->values = g_new0(guint32, step->n_values);
    for (gsize i = 0; i < step->n_values; i++) {
        const json_t *item = json_array_get(array, i);
        json_int_t index = json_is_integer(item) ? json_integer_value(item) : -1;
        if (index < 0 || index >= IMP_CONTENT_VALUES_MAX)
            imp_json_fault(r, "'values' holds what is no index of a value");
        else
            step->values[i] = (guint32)index;
    }
}

static guint64 get_word(ImpJson *r, const char *name)
{
    guint8 bytes[8] = {0};
    guint64 value = 0;
    imp_json_hex(r, name, bytes, sizeof bytes);
    for (gsize i = 0; i < sizeof bytes; i++)
        value = value << 8 | bytes[i];
    return value;
}

static void get_expect(ImpJson *r, ImpStep *step)
{
    step->address = get_address(r, "address");
    step->size_bytes = (guint32)imp_json_u64(r, "bytes", 1, 8);
    step->mask = get_word(r, "mask");
    step->low = get_word(r, "low");
    step->high = get_word(r, "high");
    step->within_ms = get_more(r, "within_ms", IMP_CONTENT_WAIT_MS_MAX);
}

static void get_write(ImpJson *r, ImpStep *step)
{
    guint8 bytes[IMP_CONTENT_WRITE_MAX];
    step->address = get_address(r, "address");
    gsize n_digits = strlen(imp_json_string(r, "bytes", 2, 2 * sizeof bytes));
    if (imp_json_ok(r) && n_digits % 2 != 0)
        imp_json_fault(r, "'bytes' has an odd number of digits");
    imp_json_hex(r, "bytes", bytes, n_digits / 2);
    if (imp_json_ok(r))
        step->bytes = g_bytes_new(bytes, n_digits / 2);
}

static void decode_step(ImpJson *r, Decoder *decoder, gsize index)
{
    ImpStep *step = &decoder->steps[index];
    step->kind = imp_json_word(r, "step", step_names, G_N_ELEMENTS(step_names));
    if (!imp_json_ok(r))
        return;
    switch (step->kind) {
    case IMP_STEP_ERASE:
        step->erase = imp_json_word(r, "erase", erase_names, G_N_ELEMENTS(erase_names));
        if (step->erase == IMP_ERASE_RANGE)
            get_range(r, &step->range);
        break;
    case IMP_STEP_BLANK_CHECK:
        step->blank = imp_json_word(r, "blank", blank_names, G_N_ELEMENTS(blank_names));
        if (step->blank == IMP_BLANK_RANGE)
            get_range(r, &step->range);
        break;
    case IMP_STEP_VERIFY:
        step->verify = imp_json_word(r, "verify", verify_names, G_N_ELEMENTS(verify_names));
        get_ranges(r, step);
        break;
    case IMP_STEP_PROGRAM:
        get_ranges(r, step);
        break;
    case IMP_STEP_READ:
        get_named(r, step);
        break;
    case IMP_STEP_RESET:
        break;
    case IMP_STEP_WRITE:
        get_write(r, step);
        break;
    case IMP_STEP_EXPECT:
        get_expect(r, step);
        break;
    case IMP_STEP_PROTECT:
        step->level = (guint32)imp_json_u64(r, "level", 1, 9);
        step->prove = imp_json_bool(r, "prove");
        break;
    case IMP_STEP_RUN:
        step->text = g_strdup(imp_json_string(r, "text", 1, IMP_CONTENT_TEXT_MAX));
        step->within_ms = (guint32)imp_json_u64(r, "within_ms", 1, IMP_CONTENT_WAIT_MS_MAX);
        if (imp_json_has(r, "mailbox"))
            step->address = imp_json_u64(r, "mailbox", 4, G_MAXUINT32);
        break;
    case IMP_STEP_DELAY:
        step->delay_ms = (guint32)imp_json_u64(r, "delay_ms", 1, IMP_CONTENT_WAIT_MS_MAX);
        break;
    case IMP_STEP_POWER:
        step->power = imp_json_word(r, "power", power_names, G_N_ELEMENTS(power_names));
        break;
    case IMP_STEP_TEST:
        step->test_index = (guint32)imp_json_u64(r, "test", 0, IMP_CONTENT_TESTS_MAX - 1);
        step->timeout_ms = (guint32)imp_json_u64(r, "timeout_ms", 1, IMP_CONTENT_WAIT_MS_MAX);
        get_named(r, step);
        break;
    }
}

static void decode_steps(ImpJson *r, Decoder *decoder, const char *name, gsize max, ImpStep **out_steps,
                         gsize *out_n)
{
    const json_t *array = imp_json_array(r, name, 0, max);
    *out_n = json_array_size(array);
    *out_steps = decoder->steps = g_new0(ImpStep, *out_n);
    decode_items(r, decoder, "step", array, decode_step);
}

/* Makes room before it reads, so that a half-read content can be freed. */
static void decode_lists(ImpJson *r, Decoder *decoder)
{
    ImpContent *content = decoder->content;
    const json_t *values = imp_json_array(r, "values", 0, IMP_CONTENT_VALUES_MAX);
    content->n_values = json_array_size(values);
    content->values = g_new0(ImpValue, content->n_values);
    decode_items(r, decoder, "value", values, decode_value);

    const json_t *places = imp_json_array(r, "places", 0, IMP_CONTENT_PLACES_MAX);
    content->n_places = json_array_size(places);
    content->places = g_new0(ImpPlace, content->n_places);
    decode_items(r, decoder, "place", places, decode_place);

    decode_steps(r, decoder, "steps", IMP_CONTENT_STEPS_MAX, &content->steps, &content->n_steps);
    if (imp_json_has(r, "finally"))
        decode_steps(r, decoder, "finally", IMP_CONTENT_FINALLY_MAX, &content->finally, &content->n_finally);
}

static void decode_power(ImpJson *r, ImpPowerSettings *power)
{
    const json_t *object = imp_json_object(r, "power");
    if (object == NULL)
        return;
    ImpJson s;
    GError *error = NULL;
    imp_json_begin(&s, object, "power", r->wrong, r->unknown);
    power->has = TRUE;
    power->millivolts = get_more(&s, "millivolts", IMP_CONTENT_MV_MAX);
    power->min_mv = get_more(&s, "min_mv", IMP_CONTENT_MV_MAX);
    power->max_mv = get_more(&s, "max_mv", IMP_CONTENT_MV_MAX);
    power->on_delay_ms = get_more(&s, "on_delay_ms", IMP_CONTENT_WAIT_MS_MAX);
    power->off_delay_ms = get_more(&s, "off_delay_ms", IMP_CONTENT_WAIT_MS_MAX);
    power->off_at_end = get_true(&s, "off_at_end");
    if (!imp_json_end(&s, &error))
        imp_json_take(r, error);
}

/* Sections: memory, then the blobs of the algorithms, then one for each test. */
static void decode_sections(ImpJson *r, Decoder *decoder, GBytes *const *sections, gsize n_sections)
{
    ImpContent *content = decoder->content;
    const json_t *tests =
        imp_json_has(r, "tests") ? imp_json_array(r, "tests", 1, IMP_CONTENT_TESTS_MAX) : NULL;
    gsize n_tests = json_array_size(tests);
    if (n_tests > n_sections - 1)
        imp_json_fault(r, "there are fewer sections than tests");
    const json_t *device = imp_json_object(r, "device");
    if (device == NULL || !imp_json_ok(r))
        return;
    GError *error = NULL;
    content->device = imp_device_decode(device, sections + 1, n_sections - 1 - n_tests, decoder->wrong,
                                        decoder->unknown, &error);
    imp_json_take(r, error);
    decode_segments(r, decoder, sections[0], IMP_CONTENT_SEGMENTS_MAX, &content->segments,
                    &content->n_segments);
    decoder->test_sections = sections + (n_sections - n_tests);
    content->n_tests = n_tests;
    content->tests = g_new0(ImpTestProgram, n_tests);
    decode_items(r, decoder, "test", tests, decode_test);
}

ImpContent *imp_content_decode(const json_t *object, GBytes *const *sections, gsize n_sections,
                               ImpErrorCode wrong, ImpErrorCode unknown, GError **error)
{
    g_assert(n_sections >= 1);
    g_autoptr(ImpContent) content = g_new0(ImpContent, 1);
    Decoder decoder = {.content = content, .wrong = wrong, .unknown = unknown};
    GError *inner = NULL;
    ImpJson r;
    imp_json_begin(&r, object, "content", wrong, unknown);
    content->name = g_strdup(imp_json_string(&r, "name", 1, IMP_CONTENT_NAME_MAX));
    content->version = g_strdup(imp_json_string(&r, "version", 0, IMP_CONTENT_NAME_MAX));
    decode_sections(&r, &decoder, sections, n_sections);
    content->swd_hz = (guint32)imp_json_u64(&r, "swd_hz", 1, G_MAXUINT32);
    content->attach = imp_json_word(&r, "attach", attach_names, G_N_ELEMENTS(attach_names));
    if (imp_json_has(&r, "unlock"))
        content->unlock = imp_json_word(&r, "unlock", unlock_names, G_N_ELEMENTS(unlock_names));
    if (imp_json_has(&r, "power"))
        decode_power(&r, &content->power);
    const json_t *pools = imp_json_array(&r, "pools", 0, IMP_CONTENT_POOLS_MAX);
    if (pools != NULL && !imp_pools_decode(pools, wrong, unknown, &content->pools, &content->n_pools, &inner))
        imp_json_take(&r, g_steal_pointer(&inner));
    decode_lists(&r, &decoder);
    content->rework = imp_json_word(&r, "rework", rework_names, G_N_ELEMENTS(rework_names));
    if (!imp_json_end(&r, error) || !imp_content_check(content, error))
        return NULL;
    return g_steal_pointer(&content);
}
