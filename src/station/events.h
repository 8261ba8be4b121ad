/* What happens in a station, in order, for those who poll (GET /v1/events): a bounded ring of numbered JSON documents.
 *
 * Thread rule: the event loop's thread. */
#pragma once

#include <jansson.h>

#include "base/env.h"

#define IMP_EVENTS_RING_MAX 4096

typedef struct ImpEvents ImpEvents;

/* added is called after each new event; may be NULL. capacity 0: IMP_EVENTS_RING_MAX. clock is borrowed. */
ImpEvents *imp_events_new(guint capacity, const ImpClock *clock, void (*added)(gpointer user), gpointer user);
void imp_events_free(ImpEvents *events); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpEvents, imp_events_free)

/* Adds {"seq": …, "real_us": …, "type": type, type_member: body}. Takes over body. */
void imp_events_add(ImpEvents *events, const char *type, const char *member, json_t *body);

/* The number of the newest event; 0 = there was none. */
guint64 imp_events_last(const ImpEvents *events);

/* At most limit events after number after, as {"next", "lost", "events"}; to be freed with json_decref. The documents
 * inside are shared with the ring: encode them on this thread. */
json_t *imp_events_read(const ImpEvents *events, guint64 after, guint limit);
