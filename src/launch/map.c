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
    gsize n_bytes = g_bytes_get_size(value);
    if (n_bytes > place->size_bytes) {
        imp_error_set(error, IMP_E_UNIT_VALUE_TOO_LONG,
                      "the value '%s' has %" G_GSIZE_FORMAT " bytes, its place at 0x%08" G_GINT64_MODIFIER
                      "X holds %u",
                      name, n_bytes, place->address, place->size_bytes);
        return NULL;
    }
    guint8 *bytes = g_malloc(place->size_bytes);
    memset(bytes, place->pad, place->size_bytes);
    memcpy(bytes, g_bytes_get_data(value, NULL), n_bytes);
    return g_bytes_new_take(bytes, place->size_bytes);
}

ImpUnitMap *imp_unit_map_new(const ImpContent *content, GBytes *const *bytes, GError **error)
{
    g_autoptr(ImpUnitMap) map = g_new0(ImpUnitMap, 1);
    map->segments = g_new0(ImpUnitSegment, content->n_segments + content->n_places + 1);
    for (gsize i = 0; i < content->n_segments; i++)
        map->segments[map->n_segments++] =
            (ImpUnitSegment){content->segments[i].address, g_bytes_ref(content->segments[i].bytes)};
    for (gsize i = 0; i < content->n_places; i++) {
        const ImpPlace *place = &content->places[i];
        g_assert(place->value_index < content->n_values);
        GBytes *filled = fill_place(content, place, bytes[place->value_index], error);
        if (filled == NULL)
            return NULL;
        map->segments[map->n_segments++] = (ImpUnitSegment){place->address, filled};
    }
    qsort(map->segments, map->n_segments, sizeof *map->segments, compare_segments);
    for (gsize i = 1; i < map->n_segments; i++) {
        const ImpUnitSegment *before = &map->segments[i - 1];
        if (map->segments[i].address - before->address < g_bytes_get_size(before->bytes)) {
            imp_error_set(error, IMP_E_UNIT_VALUE_COLLIDES,
                          "a value or data at 0x%08" G_GINT64_MODIFIER
                          "X lies over what begins at 0x%08" G_GINT64_MODIFIER "X",
                          map->segments[i].address, before->address);
            return NULL;
        }
    }
    return g_steal_pointer(&map);
}
