#include "image/content.h"

#include <string.h>

void imp_step_done(ImpStep *step)
{
    g_clear_pointer(&step->ranges, g_free);
    g_clear_pointer(&step->values, g_free);
    g_clear_pointer(&step->bytes, g_bytes_unref);
    g_clear_pointer(&step->text, g_free);
}

static void segments_free(ImpSegment *segments, gsize n_segments)
{
    for (gsize i = 0; i < n_segments; i++) {
        g_free(segments[i].data);
        g_clear_pointer(&segments[i].bytes, g_bytes_unref);
    }
    g_free(segments);
}

void imp_test_program_done(ImpTestProgram *test)
{
    g_clear_pointer(&test->name, g_free);
    segments_free(test->segments, test->n_segments);
    test->segments = NULL;
    test->n_segments = 0;
}

static void steps_free(ImpStep *steps, gsize n_steps)
{
    for (gsize i = 0; i < n_steps; i++)
        imp_step_done(&steps[i]);
    g_free(steps);
}

void imp_content_free(ImpContent *content)
{
    if (content == NULL)
        return;
    g_free(content->name);
    g_free(content->version);
    imp_device_free(content->device);
    segments_free(content->segments, content->n_segments);
    for (gsize i = 0; i < content->n_pools; i++) {
        g_free(content->pools[i].id);
        g_free(content->pools[i].definition);
    }
    g_free(content->pools);
    for (gsize i = 0; i < content->n_values; i++) {
        g_free(content->values[i].name);
        g_free(content->values[i].rule);
        g_free(content->values[i].block);
    }
    g_free(content->values);
    g_free(content->places);
    for (gsize i = 0; i < content->n_tests; i++)
        imp_test_program_done(&content->tests[i]);
    g_free(content->tests);
    steps_free(content->steps, content->n_steps);
    steps_free(content->finally, content->n_finally);
    g_free(content);
}

/* --- what the steps write ------------------------------------------------------------------------------------------- */

const ImpRange *imp_step_range_at(const ImpStep *step, guint64 address)
{
    gsize low = 0, high = step->n_ranges;
    while (low < high) {
        gsize middle = low + (high - low) / 2;
        if (step->ranges[middle].last < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < step->n_ranges ? &step->ranges[low] : NULL;
}

gboolean imp_step_selects(const ImpStep *step, guint64 address, guint64 n_bytes)
{
    const ImpRange *range = imp_step_range_at(step, address);
    return step->n_ranges == 0 ||
           (range != NULL && address >= range->first && address + (n_bytes - 1) <= range->last);
}

/* Does an item of these bytes end up verified? An item is a segment or a place: steps take it whole. */
static gboolean item_verified(const ImpContent *content, guint64 address, guint64 n_bytes)
{
    gboolean dirty = FALSE;
    for (gsize i = 0; i < content->n_steps; i++) {
        const ImpStep *step = &content->steps[i];
        if (step->kind == IMP_STEP_ERASE)
            dirty = dirty || step->erase != IMP_ERASE_RANGE ||
                    (address <= step->range.last && address + (n_bytes - 1) >= step->range.first);
        else if (step->kind == IMP_STEP_PROGRAM && imp_step_selects(step, address, n_bytes))
            dirty = TRUE;
        else if (step->kind == IMP_STEP_VERIFY && imp_step_selects(step, address, n_bytes))
            dirty = FALSE;
    }
    return !dirty;
}

gboolean imp_content_verified(const ImpContent *content, guint64 *out_address)
{
    guint64 lowest = G_MAXUINT64;
    for (gsize i = 0; i < content->n_segments; i++)
        if (!item_verified(content, content->segments[i].address,
                           g_bytes_get_size(content->segments[i].bytes)))
            lowest = MIN(lowest, content->segments[i].address);
    for (gsize i = 0; i < content->n_places; i++)
        if (!item_verified(content, content->places[i].address, content->places[i].size_bytes))
            lowest = MIN(lowest, content->places[i].address);
    if (lowest == G_MAXUINT64)
        return TRUE;
    *out_address = lowest;
    return FALSE;
}
