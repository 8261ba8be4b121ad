#include "build/plan.h"

#include <string.h>

/* ---- where sources lie ---- */

typedef struct {
    guint64 first, last;
    gsize source; /* as in recipe.h */
} Item;

static gint compare_items(gconstpointer a, gconstpointer b)
{
    const Item *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Every segment and every place beside the data, by address. */
static GArray *list_items(const ImpPlan *plan)
{
    const ImpRecipe *recipe = plan->recipe;
    GArray *items = g_array_new(FALSE, FALSE, sizeof(Item));
    for (gsize i = 0; i < plan->n_segments; i++) {
        const ImpSegment *segment = &plan->segments[i];
        Item item = {segment->address, segment->address + g_bytes_get_size(segment->bytes) - 1, 0};
        while (strcmp(g_array_index(recipe->data, ImpRecipeData, item.source).name, segment->data) != 0)
            item.source++;
        g_array_append_val(items, item);
    }
    for (guint i = 0; i < recipe->places->len; i++) {
        const ImpRecipePlace *place = &g_array_index(recipe->places, ImpRecipePlace, i);
        Item item = {place->address, place->address + place->size_bytes - 1, recipe->data->len + i};
        if (place->over < 0 && place->size_bytes > 0)
            g_array_append_val(items, item);
    }
    g_array_sort(items, compare_items);
    return items;
}

/* ---- checks ---- */

static void check_area(const ImpPlan *plan, const ImpRecipeStep *step, const GArray *items, guint index)
{
    const ImpRange range = step->step.range;
    if (!imp_device_sectors_whole(plan->device, range.first, range.last)) {
        guint64 start = 0;
        guint32 size_bytes = 0;
        const ImpAlgorithm *algorithm = imp_device_algorithm_at(plan->device, range.first, 1);
        if (algorithm != NULL)
            imp_algorithm_sector_at(algorithm, range.first, &start, &size_bytes);
        if (algorithm == NULL)
            imp_yaml_fault(plan->yaml, step->node, IMP_E_OUTSIDE_MEMORY,
                           "%s has no memory that can be erased at 0x%08" G_GINT64_MODIFIER "X",
                           plan->device->name, range.first);
        else
            imp_yaml_fault(plan->yaml, step->node, IMP_E_RECIPE,
                           "this range cuts a sector of %s; the first one is 0x%08" G_GINT64_MODIFIER
                           "X to 0x%08" G_GINT64_MODIFIER "X",
                           plan->device->name, start, start + size_bytes - 1);
        return;
    }
    for (guint k = 0; k < items->len; k++) {
        const Item *item = &g_array_index(items, Item, k);
        if (item->first > range.last || item->last < range.first)
            continue;
        for (guint i = 0; i < index; i++) {
            const ImpRecipeStep *before = &g_array_index(plan->recipe->steps, ImpRecipeStep, i);
            if (before->step.kind != IMP_STEP_PROGRAM ||
                !imp_recipe_step_has(plan->recipe, before, item->source))
                continue;
            imp_yaml_fault(plan->yaml, step->node, IMP_E_RECIPE,
                           "this erases what has been programmed before");
            imp_yaml_note(plan->yaml, before->node, "programmed here");
            return;
        }
    }
}

/* What the device has no algorithm for. */
static void check_blank(const ImpPlan *plan, const ImpRecipeStep *step)
{
    const ImpRange range = step->step.range;
    for (guint64 at = range.first; at <= range.last;) {
        const ImpAlgorithm *algorithm = imp_device_algorithm_at(plan->device, at, 1);
        if (algorithm == NULL) {
            imp_yaml_fault(plan->yaml, step->node, IMP_E_OUTSIDE_MEMORY,
                           "%s has no memory that can be programmed at 0x%08" G_GINT64_MODIFIER "X",
                           plan->device->name, at);
            return;
        }
        at = algorithm->start + algorithm->size_bytes;
    }
}

static void check_write(const ImpPlan *plan, const ImpRecipeStep *step)
{
    gsize n_bytes = g_bytes_get_size(step->step.bytes);
    for (gsize i = 0; i < n_bytes; i++)
        if (imp_device_algorithm_at(plan->device, step->step.address + i, 1) != NULL) {
            imp_yaml_fault(plan->yaml, step->node, IMP_E_RECIPE,
                           "this writes to flash: data or a value must be programmed there");
            return;
        }
}

static void check_protect(const ImpPlan *plan, const ImpRecipeStep *step)
{
    const ImpDevice *device = plan->device;
    g_autoptr(GString) levels = g_string_new(NULL);
    if (imp_device_lock_of(device, step->step.level) != NULL)
        return;
    for (gsize i = 0; i < device->n_locks; i++)
        g_string_append_printf(levels, "%s%u", i > 0 ? ", " : "", device->locks[i].level);
    if (device->n_locks == 0)
        imp_yaml_fault(plan->yaml, step->node, IMP_E_RECIPE,
                       "no read protection of %s is known to this version", device->name);
    else
        imp_yaml_fault(plan->yaml, step->node, IMP_E_RECIPE, "%s has no protection of level %u; it has %s",
                       device->name, step->step.level, levels->str);
}

static void check_unlock(const ImpPlan *plan)
{
    if (plan->recipe->unlock == IMP_UNLOCK_ERASE && plan->device->unlock == IMP_UNLOCK_BY_NONE)
        imp_yaml_fault(plan->yaml, plan->recipe->unlock_node, IMP_E_RECIPE,
                       "no way to open a locked %s is known to this version", plan->device->name);
}

static void check_step(const ImpPlan *plan, const ImpRecipeStep *step, const GArray *items, guint index)
{
    if (step->step.kind == IMP_STEP_ERASE && step->step.erase == IMP_ERASE_ALL &&
        !imp_device_can_erase_all(plan->device))
        imp_yaml_fault(plan->yaml, step->node, IMP_E_RECIPE,
                       "%s cannot be erased as a whole; 'erase: used' erases what is programmed",
                       plan->device->name);
    if (step->step.kind == IMP_STEP_ERASE && step->step.erase == IMP_ERASE_RANGE)
        check_area(plan, step, items, index);
    if (step->step.kind == IMP_STEP_BLANK_CHECK && step->step.blank == IMP_BLANK_RANGE)
        check_blank(plan, step);
    if (step->step.kind == IMP_STEP_WRITE)
        check_write(plan, step);
    if (step->step.kind == IMP_STEP_PROTECT)
        check_protect(plan, step);
}

/* A value that may lie over data lies all over bytes of that data, and over no other value. */
static void check_overlays(const ImpPlan *plan)
{
    const GArray *places = plan->recipe->places;
    for (guint i = 0; i < places->len; i++) {
        const ImpRecipePlace *place = &g_array_index(places, ImpRecipePlace, i);
        if (place->over < 0 || place->size_bytes == 0)
            continue;
        g_autofree char *what = imp_recipe_source_text(plan->recipe, plan->recipe->data->len + i);
        const char *data = g_array_index(plan->recipe->data, ImpRecipeData, place->over).name;
        guint64 last = place->address + place->size_bytes - 1;
        gboolean inside = FALSE;
        for (gsize k = 0; k < plan->n_segments; k++) {
            const ImpSegment *segment = &plan->segments[k];
            inside = inside || (strcmp(segment->data, data) == 0 && place->address >= segment->address &&
                                last <= segment->address + g_bytes_get_size(segment->bytes) - 1);
        }
        if (!inside)
            imp_yaml_fault(
                plan->yaml, place->node, IMP_E_DATA_OVERLAP,
                "%s is to lie over data '%s', which has no bytes at some of 0x%08" G_GINT64_MODIFIER
                "X to 0x%08" G_GINT64_MODIFIER "X",
                what, data, place->address, last);
        for (guint k = 0; k < i; k++) {
            const ImpRecipePlace *other = &g_array_index(places, ImpRecipePlace, k);
            if (other->over < 0 || other->address > last ||
                other->address + other->size_bytes - 1 < place->address)
                continue;
            g_autofree char *second = imp_recipe_source_text(plan->recipe, plan->recipe->data->len + k);
            imp_yaml_fault(plan->yaml, place->node, IMP_E_DATA_OVERLAP,
                           "%s lies over %s at 0x%08" G_GINT64_MODIFIER "X", what, second,
                           MAX(place->address, other->address));
            imp_yaml_note(plan->yaml, other->node, "%s is here", second);
        }
    }
}

void imp_plan_check(const ImpPlan *plan)
{
    g_autoptr(GArray) items = list_items(plan);
    for (guint i = 0; i < plan->recipe->steps->len; i++)
        check_step(plan, &g_array_index(plan->recipe->steps, ImpRecipeStep, i), items, i);
    for (guint i = 0; i < plan->recipe->finally->len; i++)
        check_step(plan, &g_array_index(plan->recipe->finally, ImpRecipeStep, i), items, 0);
    check_overlays(plan);
    check_unlock(plan);
}

/* ---- content ---- */

/* Neighbours that are both chosen go into one range. Nothing, if everything is chosen. */
static void take_ranges(const ImpPlan *plan, const ImpRecipeStep *from, const GArray *items, ImpStep *step)
{
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(ImpRange));
    gboolean all = TRUE, open = FALSE;
    for (guint i = 0; i < items->len; i++) {
        const Item *item = &g_array_index(items, Item, i);
        if (!imp_recipe_step_has(plan->recipe, from, item->source)) {
            all = open = FALSE;
            continue;
        }
        ImpRange range = {item->first, item->last};
        if (open)
            g_array_index(ranges, ImpRange, ranges->len - 1).last = item->last;
        else
            g_array_append_val(ranges, range);
        open = TRUE;
    }
    if (all)
        return;
    step->n_ranges = ranges->len;
    step->ranges = (ImpRange *)g_array_free(g_steal_pointer(&ranges), FALSE);
}

static ImpStep *take_steps(const ImpPlan *plan, GArray *from, const GArray *items, gsize *out_n)
{
    ImpStep *steps = g_new0(ImpStep, from->len);
    for (guint i = 0; i < from->len; i++) {
        ImpRecipeStep *step = &g_array_index(from, ImpRecipeStep, i);
        steps[i] = step->step;
        step->step = (ImpStep){.kind = step->step.kind};
        if (step->step.kind == IMP_STEP_PROGRAM || step->step.kind == IMP_STEP_VERIFY)
            take_ranges(plan, step, items, &steps[i]);
    }
    *out_n = from->len;
    return steps;
}

void imp_plan_take_steps(const ImpPlan *plan, ImpContent *content)
{
    g_autoptr(GArray) items = list_items(plan);
    content->steps = take_steps(plan, plan->recipe->steps, items, &content->n_steps);
    content->finally = take_steps(plan, plan->recipe->finally, items, &content->n_finally);
}
