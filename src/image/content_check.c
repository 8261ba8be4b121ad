/* imp_content_check: the rules of image/content.h. */
#include "image/content.h"

#include <string.h>

#define ADDRESS_FORMAT "0x%08" G_GINT64_MODIFIER "X"

static gboolean broken(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean broken(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    imp_error_set(error, IMP_E_CONTENT_INVALID, "content: %s", text);
    return FALSE;
}

static gboolean check_limit(const char *what, gsize count, gsize max, GError **error)
{
    if (count <= max)
        return TRUE;
    imp_error_set(error, IMP_E_LIMIT,
                  "content: there are %" G_GSIZE_FORMAT " %s, the limit is %" G_GSIZE_FORMAT, count, what,
                  max);
    return FALSE;
}

static gboolean is_text(const char *text)
{
    gboolean ok = g_utf8_validate(text, -1, NULL);
    for (const char *c = text; *c != '\0'; c++)
        ok = ok && (guchar)*c >= 0x20 && *c != 0x7f;
    return ok;
}

static gboolean check_name(const char *what, const char *name, gsize min_bytes, GError **error)
{
    gsize n_bytes = name != NULL ? strlen(name) : 0;
    if (name == NULL || n_bytes < min_bytes || n_bytes > IMP_CONTENT_NAME_MAX)
        return broken(
            error, "the name of a %s has %" G_GSIZE_FORMAT " bytes, it must have %" G_GSIZE_FORMAT " to %d",
            what, n_bytes, min_bytes, IMP_CONTENT_NAME_MAX);
    return is_text(name) || broken(error, "the name of a %s is not UTF-8 or holds a control character", what);
}

/* A text that is no name. */
static gboolean check_text(const char *what, const char *text, GError **error)
{
    gsize n_bytes = text != NULL ? strlen(text) : 0;
    if (n_bytes < 1 || n_bytes > IMP_CONTENT_TEXT_MAX)
        return broken(error, "the %s has %" G_GSIZE_FORMAT " bytes, it must have 1 to %d", what, n_bytes,
                      IMP_CONTENT_TEXT_MAX);
    return is_text(text) || broken(error, "the %s is not UTF-8 or holds a control character", what);
}

/* Is every byte of the range in the memory of an algorithm? They are sorted and do not overlap. */
static gboolean is_programmable(const ImpDevice *device, guint64 address, guint64 n_bytes)
{
    for (gsize i = 0; i < device->n_algorithms && n_bytes > 0; i++) {
        const ImpAlgorithm *algorithm = device->algorithms[i];
        if (address < algorithm->start || address - algorithm->start >= algorithm->size_bytes)
            continue;
        guint64 here = MIN(n_bytes, algorithm->size_bytes - (address - algorithm->start));
        address += here;
        n_bytes -= here;
    }
    return n_bytes == 0;
}

typedef struct {
    guint64 address, n_bytes;
    gboolean over;
} Item;

static gint compare_items(gconstpointer a, gconstpointer b)
{
    const Item *x = a, *y = b;
    if (x->over != y->over)
        return x->over ? 1 : -1;
    return x->address < y->address ? -1 : x->address > y->address;
}

/* Segments and places; first those that must lie apart from each other, then the places that lie over segments. */
static GArray *list_items(const ImpContent *content)
{
    GArray *items = g_array_new(FALSE, FALSE, sizeof(Item));
    for (gsize i = 0; i < content->n_segments; i++) {
        Item item = {content->segments[i].address, g_bytes_get_size(content->segments[i].bytes), FALSE};
        g_array_append_val(items, item);
    }
    for (gsize i = 0; i < content->n_places; i++) {
        Item item = {content->places[i].address, content->places[i].size_bytes, content->places[i].over};
        g_array_append_val(items, item);
    }
    g_array_sort(items, compare_items);
    return items;
}

static gboolean inside_segment(const ImpContent *content, const Item *item)
{
    for (gsize i = 0; i < content->n_segments; i++) {
        guint64 start = content->segments[i].address, size = g_bytes_get_size(content->segments[i].bytes);
        if (item->address >= start && item->address - start < size &&
            item->n_bytes <= size - (item->address - start))
            return TRUE;
    }
    return FALSE;
}

static gboolean check_items(const ImpContent *content, GError **error)
{
    for (gsize i = 1; i < content->n_segments; i++)
        if (content->segments[i].address < content->segments[i - 1].address)
            return broken(error, "the segment at " ADDRESS_FORMAT " is not in its place",
                          content->segments[i].address);
    g_autoptr(GArray) items = list_items(content);
    for (guint i = 0; i < items->len; i++) {
        const Item *item = &g_array_index(items, Item, i);
        if (!is_programmable(content->device, item->address, item->n_bytes))
            return broken(error,
                          "%" G_GUINT64_FORMAT " bytes at " ADDRESS_FORMAT
                          " do not lie in a memory that %s has an "
                          "algorithm for",
                          item->n_bytes, item->address, content->device->name);
        const Item *before = i > 0 && item[-1].over == item->over ? item - 1 : NULL;
        if (before != NULL && item->address - before->address < before->n_bytes)
            return broken(error, "what begins at " ADDRESS_FORMAT " lies over what begins at " ADDRESS_FORMAT,
                          item->address, before->address);
        if (item->over && !inside_segment(content, item))
            return broken(error, "the place at " ADDRESS_FORMAT " is not inside the data that it lies over",
                          item->address);
    }
    return TRUE;
}

static gboolean check_segments(const ImpContent *content, GError **error)
{
    guint64 total_bytes = 0;
    for (gsize i = 0; i < content->n_segments; i++) {
        const ImpSegment *segment = &content->segments[i];
        gsize n_bytes = segment->bytes != NULL ? g_bytes_get_size(segment->bytes) : 0;
        if (!check_name("data source", segment->data, 1, error))
            return FALSE;
        if (n_bytes == 0)
            return broken(error, "the segment at " ADDRESS_FORMAT " is empty", segment->address);
        total_bytes += n_bytes;
        if (total_bytes > IMP_CONTENT_DATA_MAX)
            return check_limit("bytes of data", (gsize)total_bytes, IMP_CONTENT_DATA_MAX, error);
    }
    return TRUE;
}

static gboolean check_bytes(const ImpValue *value, const char *what, guint32 n_bytes, guint32 max,
                            GError **error)
{
    if (n_bytes >= 1 && n_bytes <= max)
        return TRUE;
    return broken(error, "value '%s' %s %u bytes, it must be 1 to %u", value->name, what, n_bytes, max);
}

/* Not executed here: only that it is one. */
static gboolean check_rule(const ImpValue *value, GError **error)
{
    if (!check_text("rule of a label", value->rule, error))
        return FALSE;
    GError *inner = NULL;
    GRegex *regex = g_regex_new(value->rule, G_REGEX_RAW, 0, &inner);
    if (regex == NULL) {
        broken(error, "the rule of value '%s': %s", value->name, inner->message);
        g_error_free(inner);
        return FALSE;
    }
    g_regex_unref(regex);
    return TRUE;
}

static gboolean check_value(const ImpContent *content, const ImpValue *value, GError **error)
{
    gboolean numbered = value->kind == IMP_VALUE_POOL || value->has_pool;
    if (value->has_pool && value->kind != IMP_VALUE_BARCODE && value->kind != IMP_VALUE_GIVEN)
        return broken(error, "value '%s' has a pool, but comes neither from a label nor with the launch",
                      value->name);
    if (numbered && value->pool_index >= content->n_pools)
        return broken(error, "value '%s' names a pool that is not there", value->name);
    if (value->redact && numbered)
        return broken(error, "value '%s' is a number of a pool: the record always has it", value->name);
    switch (value->kind) {
    case IMP_VALUE_POOL:
        return TRUE;
    case IMP_VALUE_READ:
        return check_bytes(value, "is read with", value->read_bytes, IMP_CONTENT_VALUE_BYTES_MAX, error);
    case IMP_VALUE_BARCODE:
        return check_rule(value, error);
    case IMP_VALUE_GIVEN:
        if (value->size_max > IMP_CONTENT_VALUE_BYTES_MAX &&
            strlen(value->name) + strlen(IMP_CONTENT_DIGEST_SUFFIX) > IMP_CONTENT_NAME_MAX)
            return broken(error, "the name of value '%s' is too long for a record of its digest",
                          value->name);
        return check_bytes(value, "is given with", value->size_min, value->size_max, error) &&
               check_bytes(value, "is given with", value->size_max, IMP_CONTENT_PLACE_BYTES_MAX, error);
    case IMP_VALUE_FROM_TEST:
        return check_name("block of a test", value->block, 1, error) &&
               check_bytes(value, "comes from a test with", value->block_bytes, IMP_CONTENT_VALUE_BYTES_MAX,
                           error);
    }
    return broken(error, "value '%s' is of no kind that this version knows", value->name);
}

static gboolean check_values(const ImpContent *content, GError **error)
{
    gsize n_logged = 0, n_read = 0;
    for (gsize i = 0; i < content->n_pools; i++)
        if (!check_name("pool", content->pools[i].id, 1, error))
            return FALSE;
    for (gsize i = 0; i < content->n_values; i++) {
        const ImpValue *value = &content->values[i];
        if (!check_name("value", value->name, 1, error))
            return FALSE;
        for (gsize k = 0; k < i; k++)
            if (strcmp(value->name, content->values[k].name) == 0)
                return broken(error, "there are two values '%s'", value->name);
        if (!check_value(content, value, error))
            return FALSE;
        n_logged += value->log && value->kind != IMP_VALUE_POOL;
        n_read += value->kind == IMP_VALUE_READ;
    }
    if (!check_limit("values that are read from the chip", n_read, IMP_CONTENT_LOGGED_MAX, error))
        return FALSE;
    if (!check_limit("values for the log", n_logged, IMP_CONTENT_LOGGED_MAX, error))
        return FALSE;
    for (gsize i = 0; i < content->n_places; i++) {
        const ImpPlace *place = &content->places[i];
        if (place->value_index >= content->n_values || place->size_bytes == 0 ||
            place->size_bytes > IMP_CONTENT_PLACE_BYTES_MAX)
            return broken(error, "the place at " ADDRESS_FORMAT " has no value or %u bytes (1 to %d)",
                          place->address, place->size_bytes, IMP_CONTENT_PLACE_BYTES_MAX);
    }
    return TRUE;
}

/* --- steps ---------------------------------------------------------------------------------------------------------- */

/* Sorted, apart from each other, and each segment and place inside one of them or outside all. */
static gboolean check_selection(const ImpContent *content, const ImpStep *step, GError **error)
{
    if (!check_limit("ranges in a step", step->n_ranges, IMP_CONTENT_RANGES_MAX, error))
        return FALSE;
    for (gsize i = 0; i < step->n_ranges; i++)
        if (step->ranges[i].last < step->ranges[i].first ||
            (i > 0 && step->ranges[i].first <= step->ranges[i - 1].last))
            return broken(error, "the ranges of a step are not in order");
    g_autoptr(GArray) items = list_items(content);
    for (guint k = 0; k < items->len; k++) {
        const Item *item = &g_array_index(items, Item, k);
        guint64 last = item->address + (item->n_bytes - 1);
        const ImpRange *range = imp_step_range_at(step, item->address);
        if (range != NULL && last >= range->first && (item->address < range->first || last > range->last))
            return broken(error, "a step cuts what begins at " ADDRESS_FORMAT, item->address);
    }
    return TRUE;
}

static gboolean check_range(const ImpContent *content, const ImpStep *step, gboolean sectors, GError **error)
{
    const ImpRange range = step->range;
    if (range.last < range.first ||
        !is_programmable(content->device, range.first, range.last - range.first + 1))
        return broken(error,
                      ADDRESS_FORMAT " to " ADDRESS_FORMAT
                                     " does not lie in a memory that %s has an algorithm for",
                      range.first, range.last, content->device->name);
    if (!sectors || imp_device_sectors_whole(content->device, range.first, range.last))
        return TRUE;
    return broken(error, "the range " ADDRESS_FORMAT " to " ADDRESS_FORMAT " cuts a sector", range.first,
                  range.last);
}

static gboolean check_expect(const ImpStep *step, GError **error)
{
    guint32 n = step->size_bytes;
    guint64 all = n >= 8 ? G_MAXUINT64 : (G_GUINT64_CONSTANT(1) << (8 * n)) - 1;
    if ((n != 1 && n != 2 && n != 4 && n != 8) || step->low > step->high || step->high > all ||
        step->mask > all || step->within_ms > IMP_CONTENT_WAIT_MS_MAX)
        return broken(error, "what is expected at " ADDRESS_FORMAT " does not hold together", step->address);
    return TRUE;
}

/* The values that a step names: there, of the kind that it may name, each once. */
static gboolean check_named(const ImpContent *content, const ImpStep *step, ImpValueKind kind, GError **error)
{
    for (gsize i = 0; i < step->n_values; i++)
        if (step->values[i] >= content->n_values || content->values[step->values[i]].kind != kind ||
            (i > 0 && step->values[i] <= step->values[i - 1]))
            return broken(error, "a step names a value that is not there, of another kind, or twice");
    return TRUE;
}

static gboolean check_ms(const char *what, guint32 ms, GError **error)
{
    return (ms >= 1 && ms <= IMP_CONTENT_WAIT_MS_MAX) ||
           broken(error, "a %s of %u ms; it must be 1 to %d", what, ms, IMP_CONTENT_WAIT_MS_MAX);
}

static gboolean check_step(const ImpContent *content, const ImpStep *step, GError **error)
{
    switch (step->kind) {
    case IMP_STEP_ERASE:
        if (step->erase == IMP_ERASE_RANGE)
            return check_range(content, step, TRUE, error);
        return step->erase == IMP_ERASE_ALL || step->erase == IMP_ERASE_USED ||
               broken(error, "a step erases in no way that this version knows");
    case IMP_STEP_BLANK_CHECK:
        if (step->blank == IMP_BLANK_RANGE)
            return check_range(content, step, FALSE, error);
        return step->blank == IMP_BLANK_ALL || step->blank == IMP_BLANK_USED ||
               broken(error, "a blank check of no kind that this version knows");
    case IMP_STEP_VERIFY:
        if (step->verify != IMP_VERIFY_CHECKSUM && step->verify != IMP_VERIFY_READ_BACK)
            return broken(error, "a step verifies in no way that this version knows");
        return check_selection(content, step, error);
    case IMP_STEP_PROGRAM:
        return check_selection(content, step, error);
    case IMP_STEP_READ:
        return check_named(content, step, IMP_VALUE_READ, error);
    case IMP_STEP_RESET:
        return TRUE;
    case IMP_STEP_WRITE: {
        gsize n_bytes = step->bytes != NULL ? g_bytes_get_size(step->bytes) : 0;
        if (n_bytes < 1 || n_bytes > IMP_CONTENT_WRITE_MAX)
            return broken(error, "a step writes %" G_GSIZE_FORMAT " bytes; it must be 1 to %d", n_bytes,
                          IMP_CONTENT_WRITE_MAX);
        for (gsize i = 0; i < n_bytes; i++)
            if (is_programmable(content->device, step->address + i, 1))
                return broken(error,
                              "a step writes to " ADDRESS_FORMAT ", which is flash: that must be programmed",
                              step->address + i);
        return TRUE;
    }
    case IMP_STEP_EXPECT:
        return check_expect(step, error);
    case IMP_STEP_PROTECT:
        return (step->level >= 1 && step->level <= 9) ||
               broken(error, "there is no level %u of protection", step->level);
    case IMP_STEP_RUN:
        return (step->address % 4 == 0 ||
                broken(error, "the mailbox at " ADDRESS_FORMAT " is not at a multiple of 4",
                       step->address)) &&
               check_text("expected text", step->text, error) &&
               check_ms("wait for a text", step->within_ms, error);
    case IMP_STEP_DELAY:
        return check_ms("delay", step->delay_ms, error);
    case IMP_STEP_POWER:
        return (step->power >= IMP_POWER_ON && step->power <= IMP_POWER_CYCLE) ||
               broken(error, "a step switches the power in no way that this version knows");
    case IMP_STEP_TEST:
        return (step->test_index < content->n_tests ||
                broken(error, "a step runs a test that is not there")) &&
               check_named(content, step, IMP_VALUE_POOL, error) &&
               check_ms("time limit of a test", step->timeout_ms, error);
    }
    return broken(error, "a step is of no kind that this version knows");
}

/* Is this place's value there before step number i is carried out? Of values that are read the builder sees to it, and a
 * launch that misses one fails before it writes. */
static gboolean known_before(const ImpContent *content, const ImpPlace *place, gsize i)
{
    if (content->values[place->value_index].kind != IMP_VALUE_FROM_TEST)
        return TRUE;
    for (gsize k = 0; k < i; k++)
        if (content->steps[k].kind == IMP_STEP_TEST)
            return TRUE;
    return FALSE;
}

static gboolean check_known(const ImpContent *content, GError **error)
{
    for (gsize p = 0; p < content->n_places; p++) {
        const ImpPlace *place = &content->places[p];
        for (gsize i = 0; i < content->n_steps; i++) {
            const ImpStep *step = &content->steps[i];
            if ((step->kind == IMP_STEP_PROGRAM || step->kind == IMP_STEP_VERIFY) &&
                imp_step_selects(step, place->address, place->size_bytes) && !known_before(content, place, i))
                return broken(error, "step %" G_GSIZE_FORMAT " needs value '%s' before it is known", i + 1,
                              content->values[place->value_index].name);
        }
    }
    return TRUE;
}

static gboolean check_steps(const ImpContent *content, GError **error)
{
    for (gsize i = 0; i < content->n_steps; i++)
        if (!check_step(content, &content->steps[i], error)) {
            g_prefix_error(error, "step %" G_GSIZE_FORMAT ": ", i + 1);
            return FALSE;
        }
    for (gsize i = 0; i < content->n_finally; i++) {
        ImpStepKind kind = content->finally[i].kind;
        if (kind != IMP_STEP_RESET && kind != IMP_STEP_WRITE && kind != IMP_STEP_DELAY &&
            kind != IMP_STEP_POWER)
            return broken(error, "step %" G_GSIZE_FORMAT " of 'finally' is none that may stand there", i + 1);
        if (!check_step(content, &content->finally[i], error))
            return FALSE;
    }
    return check_known(content, error);
}

static gboolean check_tests(const ImpContent *content, GError **error)
{
    for (gsize i = 0; i < content->n_tests; i++) {
        const ImpTestProgram *test = &content->tests[i];
        guint64 total_bytes = 0;
        if (!check_name("test", test->name, 1, error) ||
            !check_limit("segments in a test", test->n_segments, IMP_CONTENT_TEST_SEGMENTS, error))
            return FALSE;
        for (gsize k = 0; k < test->n_segments; k++) {
            gsize n_bytes = test->segments[k].bytes != NULL ? g_bytes_get_size(test->segments[k].bytes) : 0;
            if (n_bytes == 0 || n_bytes > IMP_CONTENT_TEST_BYTES_MAX ||
                test->segments[k].address > G_MAXUINT32 - (n_bytes - 1))
                return broken(error, "test '%s' has a segment of %" G_GSIZE_FORMAT " bytes", test->name,
                              n_bytes);
            total_bytes += n_bytes;
        }
        if (total_bytes == 0 || total_bytes > IMP_CONTENT_TEST_BYTES_MAX)
            return broken(error, "test '%s' has %" G_GUINT64_FORMAT " bytes; 1 to %u are allowed", test->name,
                          total_bytes, IMP_CONTENT_TEST_BYTES_MAX);
    }
    return TRUE;
}

static gboolean check_power(const ImpPowerSettings *power, GError **error)
{
    return (power->millivolts <= IMP_CONTENT_MV_MAX && power->min_mv <= power->max_mv &&
            power->max_mv <= IMP_CONTENT_MV_MAX && power->on_delay_ms <= IMP_CONTENT_WAIT_MS_MAX &&
            power->off_delay_ms <= IMP_CONTENT_WAIT_MS_MAX) ||
           broken(error, "the settings of the power do not hold together");
}

gboolean imp_content_check(const ImpContent *content, GError **error)
{
    if (!check_limit("segments", content->n_segments, IMP_CONTENT_SEGMENTS_MAX, error) ||
        !check_limit("pools", content->n_pools, IMP_CONTENT_POOLS_MAX, error) ||
        !check_limit("values", content->n_values, IMP_CONTENT_VALUES_MAX, error) ||
        !check_limit("places", content->n_places, IMP_CONTENT_PLACES_MAX, error) ||
        !check_limit("steps", content->n_steps, IMP_CONTENT_STEPS_MAX, error) ||
        !check_limit("steps of 'finally'", content->n_finally, IMP_CONTENT_FINALLY_MAX, error) ||
        !check_limit("tests", content->n_tests, IMP_CONTENT_TESTS_MAX, error) ||
        !check_name("recipe", content->name, 1, error) || !check_name("version", content->version, 0, error))
        return FALSE;
    if (content->device == NULL)
        return broken(error, "there is no device");
    if (!check_name("device", content->device->name, 1, error))
        return FALSE;
    if (content->swd_hz == 0 || content->attach < IMP_ATTACH_NORMAL ||
        content->attach > IMP_ATTACH_POWER_CYCLE || content->unlock > IMP_UNLOCK_ERASE ||
        content->rework < IMP_REWORK_REFUSE || content->rework > IMP_REWORK_NEW_VALUES)
        return broken(error, "connection or rework is not set");
    return check_power(&content->power, error) && check_segments(content, error) &&
           check_tests(content, error) && check_values(content, error) && check_items(content, error) &&
           check_steps(content, error);
}
