#include "station/events.h"

struct ImpEvents {
    const ImpClock *clock;
    void (*added)(gpointer user);
    gpointer user;
    guint capacity;
    guint64 last; /* number of the newest; event n lies at ring[n % capacity] */
    json_t **ring;
};

ImpEvents *imp_events_new(guint capacity, const ImpClock *clock, void (*added)(gpointer user), gpointer user)
{
    ImpEvents *events = g_new0(ImpEvents, 1);
    events->clock = clock;
    events->added = added;
    events->user = user;
    events->capacity = capacity > 0 ? capacity : IMP_EVENTS_RING_MAX;
    events->ring = g_new0(json_t *, events->capacity);
    return events;
}

void imp_events_free(ImpEvents *events)
{
    if (events == NULL)
        return;
    for (guint i = 0; i < events->capacity; i++)
        json_decref(events->ring[i]);
    g_free(events->ring);
    g_free(events);
}

void imp_events_add(ImpEvents *events, const char *type, const char *member, json_t *body)
{
    json_t *event = json_object();
    events->last++;
    json_object_set_new(event, "seq", json_integer((json_int_t)events->last));
    json_object_set_new(event, "real_us", json_integer(imp_clock_real_us(events->clock)));
    json_object_set_new(event, "type", json_string(type));
    json_object_set_new(event, member, body);
    json_t **place = &events->ring[events->last % events->capacity];
    json_decref(*place);
    *place = event;
    if (events->added != NULL)
        events->added(events->user);
}

guint64 imp_events_last(const ImpEvents *events)
{
    return events->last;
}

json_t *imp_events_read(const ImpEvents *events, guint64 after, guint limit)
{
    /* A client that comes with a number of an earlier life has seen nothing of this one. */
    if (after > events->last)
        after = 0;
    guint64 oldest = events->last > events->capacity ? events->last - events->capacity + 1 : 1;
    guint64 first = MAX(after + 1, oldest);
    json_t *list = json_array();
    guint64 next = after;
    for (guint64 n = first; n <= events->last && n - first < limit; n++) {
        json_array_append(list, events->ring[n % events->capacity]);
        next = n;
    }
    if (next < first - 1)
        next = first - 1;
    json_t *document = json_object();
    json_object_set_new(document, "next", json_integer((json_int_t)next));
    json_object_set_new(document, "lost", json_integer((json_int_t)(first - 1 - after)));
    json_object_set_new(document, "events", list);
    return document;
}
