/* The unit's memory map: the content's segments with this unit's values beside them. */
#include "launch/port.h"

#include <string.h>

void imp_unit_map_free(ImpUnitMap *map)
{
    if (map == NULL)
        return;
    for (gsize i = 0; i < map->n_segments; i++)
        g_bytes_unref(map->segments[i].bytes);
    g_free(map->segments);
    g_free(map);
}

static gint compare_segments(gconstpointer a, gconstpointer b)
{
    const ImpUnitSegment *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

/* The value as it lies in its place: its bytes, then the pad. */
static GBytes *fill_place(const ImpContent *content, const ImpPlace *place, GBytes *value, GError **error)
{
    const char *name = content->values[place->value_index].name;
    if (value == NULL) {
        imp_error_set(error, IMP_E_UNIT_VALUE_MISSING,
                      "the value '%s' is to be written at 0x%08" G_GINT64_MODIFIER "X, but nobody gave it",
                      name, place->address);
        return NULL;
    }
    gsize n_bytes;
    const guint8 *from = g_bytes_get_data(value, &n_bytes);
    if (n_bytes > place->size_bytes) {
        imp_error_set(error, IMP_E_UNIT_VALUE_TOO_LONG,
                      "the value '%s' has %" G_GSIZE_FORMAT " bytes, its place at 0x%08" G_GINT64_MODIFIER
                      "X holds %u",
                      name, n_bytes, place->address, place->size_bytes);
        return NULL;
    }
    guint8 *bytes = g_malloc(place->size_bytes);
    memset(bytes, place->pad, place->size_bytes);
    for (gsize i = 0; i < n_bytes; i++)
        bytes[i] = from[place->reversed ? n_bytes - 1 - i : i];
    return g_bytes_new_take(bytes, place->size_bytes);
}

static void add(ImpUnitMap *map, guint64 address, GBytes *bytes)
{
    map->segments[map->n_segments++] = (ImpUnitSegment){address, bytes};
}

/* Cuts n_bytes out of the entry of the map that holds them all. FALSE if none does. */
static gboolean cut_out(ImpUnitMap *map, guint64 address, gsize n_cut)
{
    for (gsize i = 0; i < map->n_segments; i++) {
        ImpUnitSegment *segment = &map->segments[i];
        gsize n_bytes = g_bytes_get_size(segment->bytes);
        if (address < segment->address || address - segment->address >= n_bytes ||
            n_cut > n_bytes - (address - segment->address))
            continue;
        gsize before = (gsize)(address - segment->address), after = n_bytes - before - n_cut;
        g_autoptr(GBytes) whole = segment->bytes;
        if (before > 0 && after > 0)
            add(map, address + n_cut, g_bytes_new_from_bytes(whole, before + n_cut, after));
        if (before > 0)
            segment->bytes = g_bytes_new_from_bytes(whole, 0, before);
        else if (after > 0)
            *segment = (ImpUnitSegment){address + n_cut, g_bytes_new_from_bytes(whole, n_cut, after)};
        else
            *segment = map->segments[--map->n_segments];
        return TRUE;
    }
    return FALSE;
}

static gboolean collides(const ImpUnitMap *map, GError **error)
{
    for (gsize i = 1; i < map->n_segments; i++) {
        const ImpUnitSegment *before = &map->segments[i - 1];
        if (map->segments[i].address - before->address < g_bytes_get_size(before->bytes)) {
            imp_error_set(error, IMP_E_UNIT_VALUE_COLLIDES,
                          "a value or data at 0x%08" G_GINT64_MODIFIER
                          "X lies over what begins at 0x%08" G_GINT64_MODIFIER "X",
                          map->segments[i].address, before->address);
            return TRUE;
        }
    }
    return FALSE;
}

/* Adds a place with its value. NULL value and known_only: what lies there is not said. */
static gboolean add_place(ImpUnitMap *map, const ImpContent *content, const ImpPlace *place, GBytes *value,
                          gboolean known_only, GError **error)
{
    if (place->over && !cut_out(map, place->address, place->size_bytes)) {
        imp_error_set(error, IMP_E_UNIT_VALUE_COLLIDES,
                      "the value '%s' at 0x%08" G_GINT64_MODIFIER
                      "X is to lie over data, but not all of it does",
                      content->values[place->value_index].name, place->address);
        return FALSE;
    }
    if (value == NULL && known_only)
        return TRUE;
    GBytes *filled = fill_place(content, place, value, error);
    if (filled == NULL)
        return FALSE;
    add(map, place->address, filled);
    return TRUE;
}

static ImpUnitMap *make_map(const ImpContent *content, GBytes *const *bytes, const ImpStep *step,
                            gboolean known_only, GError **error)
{
    g_autoptr(ImpUnitMap) map = g_new0(ImpUnitMap, 1);
    map->segments = g_new0(ImpUnitSegment, content->n_segments + 2 * content->n_places + 1);
    for (gsize i = 0; i < content->n_segments; i++) {
        const ImpSegment *segment = &content->segments[i];
        if (imp_step_selects(step, segment->address, g_bytes_get_size(segment->bytes)))
            add(map, segment->address, g_bytes_ref(segment->bytes));
    }
    for (gsize i = 0; i < content->n_places; i++) {
        const ImpPlace *place = &content->places[i];
        g_assert(place->value_index < content->n_values);
        if (imp_step_selects(step, place->address, place->size_bytes) &&
            !add_place(map, content, place, bytes[place->value_index], known_only, error))
            return NULL;
    }
    qsort(map->segments, map->n_segments, sizeof *map->segments, compare_segments);
    return collides(map, error) ? NULL : g_steal_pointer(&map);
}

static const ImpStep everything = {.kind = IMP_STEP_PROGRAM};

ImpUnitMap *imp_unit_map_new(const ImpContent *content, GBytes *const *bytes, const ImpStep *step,
                             GError **error)
{
    return make_map(content, bytes, step != NULL ? step : &everything, FALSE, error);
}

ImpUnitMap *imp_unit_map_known(const ImpContent *content, GBytes *const *bytes, GError **error)
{
    return make_map(content, bytes, &everything, TRUE, error);
}

ImpUnitMap *imp_unit_map_areas(const ImpContent *content)
{
    ImpUnitMap *map = g_new0(ImpUnitMap, 1);
    map->segments = g_new0(ImpUnitSegment, content->n_segments + content->n_places + 1);
    for (gsize i = 0; i < content->n_segments; i++)
        add(map, content->segments[i].address, g_bytes_ref(content->segments[i].bytes));
    for (gsize i = 0; i < content->n_places; i++) {
        const ImpPlace *place = &content->places[i];
        if (place->over)
            continue; /* the data is there already */
        guint8 *bytes = g_malloc(place->size_bytes);
        memset(bytes, place->pad, place->size_bytes);
        add(map, place->address, g_bytes_new_take(bytes, place->size_bytes));
    }
    qsort(map->segments, map->n_segments, sizeof *map->segments, compare_segments);
    return map;
}
