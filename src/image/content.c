#include "image/content.h"

#include <string.h>

void imp_content_free(ImpContent *content)
{
    if (content == NULL)
        return;
    g_free(content->name);
    g_free(content->version);
    imp_device_free(content->device);
    for (gsize i = 0; i < content->n_segments; i++) {
        g_free(content->segments[i].data);
        g_clear_pointer(&content->segments[i].bytes, g_bytes_unref);
    }
    g_free(content->segments);
    for (gsize i = 0; i < content->n_pools; i++) {
        g_free(content->pools[i].id);
        g_free(content->pools[i].definition);
    }
    g_free(content->pools);
    for (gsize i = 0; i < content->n_values; i++)
        g_free(content->values[i].name);
    g_free(content->values);
    g_free(content->places);
    g_free(content->steps);
    g_free(content);
}

/* --- check ---------------------------------------------------------------------------------------------------------- */

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

static gboolean check_name(const char *what, const char *name, gsize min_bytes, GError **error)
{
    gsize n_bytes = name != NULL ? strlen(name) : 0;
    if (name == NULL || n_bytes < min_bytes || n_bytes > IMP_CONTENT_NAME_MAX)
        return broken(
            error, "the name of a %s has %" G_GSIZE_FORMAT " bytes, it must have %" G_GSIZE_FORMAT " to %d",
            what, n_bytes, min_bytes, IMP_CONTENT_NAME_MAX);
    if (!g_utf8_validate(name, (gssize)n_bytes, NULL))
        return broken(error, "the name of a %s is not UTF-8", what);
    for (const char *c = name; *c != '\0'; c++)
        if ((guchar)*c < 0x20 || *c == 0x7f)
            return broken(error, "the name of a %s holds a control character", what);
    return TRUE;
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
} Range;

static gint compare_ranges(gconstpointer a, gconstpointer b)
{
    const Range *ra = a, *rb = b;
    return ra->address < rb->address ? -1 : ra->address > rb->address;
}

static gboolean check_ranges(const ImpContent *content, GError **error)
{
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(Range));
    for (gsize i = 0; i < content->n_segments; i++) {
        Range range = {content->segments[i].address, g_bytes_get_size(content->segments[i].bytes)};
        if (i > 0 && range.address < content->segments[i - 1].address)
            return broken(error, "the segment at " ADDRESS_FORMAT " is not in its place", range.address);
        g_array_append_val(ranges, range);
    }
    for (gsize i = 0; i < content->n_places; i++) {
        Range range = {content->places[i].address, content->places[i].size_bytes};
        g_array_append_val(ranges, range);
    }
    g_array_sort(ranges, compare_ranges);
    for (guint i = 0; i < ranges->len; i++) {
        const Range *range = &g_array_index(ranges, Range, i);
        if (!is_programmable(content->device, range->address, range->n_bytes))
            return broken(error,
                          "%" G_GUINT64_FORMAT " bytes at " ADDRESS_FORMAT
                          " do not lie in a memory that %s has an "
                          "algorithm for",
                          range->n_bytes, range->address, content->device->name);
        const Range *before = i > 0 ? range - 1 : NULL;
        if (before != NULL && range->address - before->address < before->n_bytes)
            return broken(error, "what begins at " ADDRESS_FORMAT " lies over what begins at " ADDRESS_FORMAT,
                          range->address, before->address);
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

static gboolean check_values(const ImpContent *content, GError **error)
{
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
        if (value->kind == IMP_VALUE_POOL) {
            if (value->pool_index >= content->n_pools)
                return broken(error, "value '%s' names a pool that is not there", value->name);
        } else if (value->kind != IMP_VALUE_READ || value->read_bytes == 0 ||
                   value->read_bytes > IMP_CONTENT_VALUE_BYTES_MAX) {
            return broken(error, "value '%s' is read with %u bytes, it must be 1 to %d", value->name,
                          value->read_bytes, IMP_CONTENT_VALUE_BYTES_MAX);
        }
    }
    for (gsize i = 0; i < content->n_places; i++) {
        const ImpPlace *place = &content->places[i];
        if (place->value_index >= content->n_values || place->size_bytes == 0 ||
            place->size_bytes > IMP_CONTENT_PLACE_BYTES_MAX)
            return broken(error, "the place at " ADDRESS_FORMAT " has no value or %u bytes (1 to %d)",
                          place->address, place->size_bytes, IMP_CONTENT_PLACE_BYTES_MAX);
    }
    return TRUE;
}

static gboolean check_steps(const ImpContent *content, GError **error)
{
    for (gsize i = 0; i < content->n_steps; i++) {
        const ImpStep *step = &content->steps[i];
        gboolean good = step->kind >= IMP_STEP_ERASE && step->kind <= IMP_STEP_RESET;
        if (step->kind == IMP_STEP_ERASE)
            good = step->erase == IMP_ERASE_ALL || step->erase == IMP_ERASE_USED;
        if (step->kind == IMP_STEP_VERIFY)
            good = step->verify == IMP_VERIFY_CHECKSUM || step->verify == IMP_VERIFY_READ_BACK;
        if (!good)
            return broken(error, "step %" G_GSIZE_FORMAT " is of no kind that this version knows", i + 1);
    }
    return TRUE;
}

gboolean imp_content_check(const ImpContent *content, GError **error)
{
    if (!check_limit("segments", content->n_segments, IMP_CONTENT_SEGMENTS_MAX, error) ||
        !check_limit("pools", content->n_pools, IMP_CONTENT_POOLS_MAX, error) ||
        !check_limit("values", content->n_values, IMP_CONTENT_VALUES_MAX, error) ||
        !check_limit("places", content->n_places, IMP_CONTENT_PLACES_MAX, error) ||
        !check_limit("steps", content->n_steps, IMP_CONTENT_STEPS_MAX, error) ||
        !check_name("recipe", content->name, 1, error) || !check_name("version", content->version, 0, error))
        return FALSE;
    if (content->device == NULL)
        return broken(error, "there is no device");
    if (!check_name("device", content->device->name, 1, error))
        return FALSE;
    if (content->swd_hz == 0 || content->attach < IMP_ATTACH_NORMAL ||
        content->attach > IMP_ATTACH_UNDER_RESET || content->rework < IMP_REWORK_REFUSE ||
        content->rework > IMP_REWORK_NEW_VALUES)
        return broken(error, "connection or rework is not set");
    return check_segments(content, error) && check_values(content, error) && check_steps(content, error) &&
           check_ranges(content, error);
}
