#include "build/map.h"

#include <string.h>

typedef struct {
    guint64 address, n_bytes;
    guint source;
    guint order; /* of adding */
    GBytes *bytes; /* NULL: a claim */
} Entry;

struct ImpMap {
    GArray *entries;
    gboolean sorted;
};

static void entry_done(gpointer data)
{
    Entry *entry = data;
    g_clear_pointer(&entry->bytes, g_bytes_unref);
}

ImpMap *imp_map_new(void)
{
    ImpMap *map = g_new0(ImpMap, 1);
    map->entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    g_array_set_clear_func(map->entries, entry_done);
    return map;
}

void imp_map_free(ImpMap *map)
{
    if (map == NULL)
        return;
    g_array_unref(map->entries);
    g_free(map);
}

static void append(ImpMap *map, guint source, guint64 address, guint64 n_bytes, GBytes *bytes)
{
    g_assert(n_bytes <= G_MAXUINT64 - address);
    if (n_bytes == 0)
        return;
    Entry entry = {.address = address,
                   .n_bytes = n_bytes,
                   .source = source,
                   .order = map->entries->len,
                   .bytes = bytes ? g_bytes_ref(bytes) : NULL};
    g_array_append_val(map->entries, entry);
    map->sorted = FALSE;
}

void imp_map_add(ImpMap *map, guint source, guint64 address, GBytes *bytes)
{
    append(map, source, address, g_bytes_get_size(bytes), bytes);
}

void imp_map_claim(ImpMap *map, guint source, guint64 address, guint64 n_bytes)
{
    append(map, source, address, n_bytes, NULL);
}

static int by_address(gconstpointer a, gconstpointer b)
{
    const Entry *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void sort(ImpMap *map)
{
    if (!map->sorted)
        g_array_sort(map->entries, by_address);
    map->sorted = TRUE;
}

gboolean imp_map_collision(ImpMap *map, ImpMapCollision *out_collision)
{
    sort(map);
    for (guint i = 1; i < map->entries->len; i++) {
        const Entry *last = &g_array_index(map->entries, Entry, i - 1);
        const Entry *entry = &g_array_index(map->entries, Entry, i);
        if (entry->address - last->address >= last->n_bytes)
            continue;
        gboolean later = entry->order > last->order;
        *out_collision = (ImpMapCollision){.source = later ? entry->source : last->source,
                                           .other = later ? last->source : entry->source,
                                           .address = entry->address};
        return TRUE;
    }
    return FALSE;
}

/* Entries first..last of one source, one after the other, as one segment. */
static ImpSegment join(const GArray *entries, guint first, guint last, const char *name)
{
    const Entry *entry = &g_array_index(entries, Entry, first);
    ImpSegment segment = {.data = g_strdup(name), .address = entry->address};
    if (first == last) {
        segment.bytes = g_bytes_ref(entry->bytes);
        return segment;
    }
    g_autoptr(GByteArray) joined = g_byte_array_new();
    for (guint i = first; i <= last; i++) {
        gsize n;
        const guint8 *bytes = g_bytes_get_data(g_array_index(entries, Entry, i).bytes, &n);
        g_byte_array_append(joined, bytes, (guint)n);
    }
    segment.bytes = g_byte_array_free_to_bytes(g_steal_pointer(&joined));
    return segment;
}

ImpSegment *imp_map_segments(ImpMap *map, const char *const *names, gsize *out_n_segments)
{
    sort(map);
    g_autoptr(GArray) segments = g_array_new(FALSE, FALSE, sizeof(ImpSegment));
    guint n = map->entries->len;
    for (guint i = 0; i < n;) {
        const Entry *entry = &g_array_index(map->entries, Entry, i);
        guint last = i;
        while (entry->bytes != NULL && last + 1 < n) {
            const Entry *here = &g_array_index(map->entries, Entry, last);
            const Entry *next = here + 1;
            if (next->bytes == NULL || next->source != entry->source ||
                next->address != here->address + here->n_bytes)
                break;
            last++;
        }
        if (entry->bytes != NULL) {
            ImpSegment segment = join(map->entries, i, last, names[entry->source]);
            g_array_append_val(segments, segment);
        }
        i = last + 1;
    }
    *out_n_segments = segments->len;
    return (ImpSegment *)(void *)g_array_free(g_steal_pointer(&segments), FALSE);
}
