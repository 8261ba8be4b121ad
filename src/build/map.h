/* The memory map of a recipe: bytes of several sources, sorted by address. What two sources claim is refused.
 *
 * Life cycle: new, add sources and claims, segments, free. Thread rule: one thread. */
#pragma once

#include "image/content.h"

typedef struct ImpMap ImpMap;

/* What lies over what. */
typedef struct {
    guint source, other; /* numbers as given to add and claim; source was added later */
    guint64 address; /* the first byte that both claim */
} ImpMapCollision;

ImpMap *imp_map_new(void);
void imp_map_free(ImpMap *map);

/* Bytes of a source, address..address + size - 1 within 64 bits. They are referenced. */
void imp_map_add(ImpMap *map, guint source, guint64 address, GBytes *bytes);

/* The same without bytes: a place that something else will fill. It is looked at for collisions only. */
void imp_map_claim(ImpMap *map, guint source, guint64 address, guint64 n_bytes);

/* TRUE and the collision at the lowest address, if two entries overlap (of one source or of two). */
gboolean imp_map_collision(ImpMap *map, ImpMapCollision *out_collision);

/* The bytes without the claims, sorted, bytes of one source that touch joined; names[source] become the segments' names.
 * With a collision this is
 * good for checks only. The caller frees each name and bytes, and the array. */
ImpSegment *imp_map_segments(ImpMap *map, const char *const *names, gsize *out_n_segments);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpMap, imp_map_free)
