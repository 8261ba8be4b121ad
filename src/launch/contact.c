#include "launch/contact.h"

#include "base/error.h"
#include "base/queue.h"
#include "target/target.h"

#include <pthread.h>

#define LOOK_US      (100 * 1000) /* between two looks at a place */
#define PROBE_US     (500 * 1000) /* between two tries to open a probe */
#define STEADY_LOOKS 3 /* needles bounce: so many looks in a row must see the board */
#define WATCH_HZ     1000000
#define ORDERS_MAX   2 /* one at a time is given */
#define EVENTS_MAX   64

/* What the thread is told. */
typedef struct {
    gboolean after_one;
} Order;

typedef struct {
    ImpContactState state;
    GError *error;
} Event;

struct ImpContact {
    char *probe_spec;
    guint access_port;
    const ImpClock *clock;
    ImpContactFn fn;
    gpointer user;
    pthread_t thread;
    ImpQueue *orders; /* Order *, loop to thread */
    ImpQueue *events; /* Event *, thread to loop */
    gint stop; /* atomic */
    gboolean watching; /* the loop's */
    /* the thread's own */
    ImpProbe *probe;
    ImpContactState said; /* 0: nothing yet of this watch */
};

static void event_free(gpointer data)
{
    Event *event = data;
    g_clear_error(&event->error);
    g_free(event);
}

/* What has not changed is not said again; what finds no place is said with the next look. Takes over error. */
static void say(ImpContact *contact, ImpContactState state, GError *error)
{
    if (state == contact->said) {
        g_clear_error(&error);
        return;
    }
    Event *event = g_new0(Event, 1);
    event->state = state;
    event->error = error;
    if (imp_queue_push(contact->events, event))
        contact->said = state;
    else
        event_free(event);
}

static gboolean is_of_probe(const GError *error)
{
    return error->code >= IMP_E_PROBE_NOT_FOUND && error->code <= IMP_E_PROBE_UNSUPPORTED;
}

/* A chip that answers with anything is there: locked ones and strange ones too. A disturbed line is a board on its way. */
static gboolean is_absence(const GError *error)
{
    return error->code == IMP_E_NO_TARGET || error->code == IMP_E_CANCELLED ||
           (error->code >= IMP_E_LINK_WAIT && error->code <= IMP_E_LINK_LOST);
}

/* One look: EMPTY, NO_PROBE with its reason, or MADE for a chip that is there now. */
static ImpContactState look(ImpContact *contact, GError **error)
{
    if (contact->probe == NULL) {
        contact->probe = imp_probe_open(contact->probe_spec, contact->clock, error);
        if (contact->probe == NULL)
            return IMP_CONTACT_NO_PROBE;
    }
    GError *why = NULL;
    const ImpTargetOptions options = {
        .swd_hz = WATCH_HZ, .access_port = contact->access_port, .cancel = &contact->stop};
    ImpTarget *target = imp_target_look(contact->probe, contact->clock, &options, &why);
    imp_target_detach(target);
    if (why == NULL)
        return IMP_CONTACT_MADE;
    if (is_of_probe(why)) {
        g_clear_pointer(&contact->probe, imp_probe_close);
        g_propagate_error(error, why);
        return IMP_CONTACT_NO_PROBE;
    }
    ImpContactState state = is_absence(why) ? IMP_CONTACT_EMPTY : IMP_CONTACT_MADE;
    g_error_free(why);
    return state;
}

/* Until a board has come; the probe is let go then. */
static void watch(ImpContact *contact, gboolean after_one)
{
    guint seen = 0, missed = 0; /* in a row */
    contact->said = 0;
    while (g_atomic_int_get(&contact->stop) == 0) {
        GError *error = NULL;
        ImpContactState state = look(contact, &error);
        seen = state == IMP_CONTACT_MADE ? seen + 1 : 0;
        missed = state == IMP_CONTACT_EMPTY ? missed + 1 : 0;
        if (missed >= STEADY_LOOKS)
            after_one = FALSE;
        if (state == IMP_CONTACT_NO_PROBE) {
            say(contact, state, error);
        } else if (state == IMP_CONTACT_MADE && !after_one && seen >= STEADY_LOOKS) {
            g_clear_pointer(&contact->probe, imp_probe_close); /* before the launch is told */
            say(contact, IMP_CONTACT_MADE, NULL);
            if (contact->said == IMP_CONTACT_MADE)
                return;
        } else if (after_one && seen >= STEADY_LOOKS) {
            say(contact, IMP_CONTACT_OLD, NULL);
        } else if (missed >= STEADY_LOOKS) {
            say(contact, IMP_CONTACT_EMPTY, NULL);
        }
        imp_clock_sleep_us(contact->clock, state == IMP_CONTACT_NO_PROBE ? PROBE_US : LOOK_US);
    }
    g_clear_pointer(&contact->probe, imp_probe_close);
}

static void *thread_main(void *data)
{
    ImpContact *contact = data;
    Order *order;
    while ((order = imp_queue_pop(contact->orders)) != NULL) {
        watch(contact, order->after_one);
        g_free(order);
    }
    return NULL;
}

ImpContact *imp_contact_new(const char *probe_spec, guint access_port, const ImpClock *clock, ImpContactFn fn,
                            gpointer user)
{
    ImpContact *contact = g_new0(ImpContact, 1);
    contact->probe_spec = g_strdup(probe_spec);
    contact->access_port = access_port;
    contact->clock = clock;
    contact->fn = fn;
    contact->user = user;
    contact->orders = imp_queue_new(ORDERS_MAX, g_free);
    contact->events = imp_queue_new(EVENTS_MAX, event_free);
    int failed = pthread_create(&contact->thread, NULL, thread_main, contact);
    if (failed != 0)
        g_error("pthread_create: %s", g_strerror(failed)); /* at start-up: nothing can run */
    return contact;
}

void imp_contact_await(ImpContact *contact, gboolean after_one)
{
    g_assert(!contact->watching);
    contact->watching = TRUE;
    Order *order = g_new0(Order, 1);
    order->after_one = after_one;
    gboolean pushed = imp_queue_push(contact->orders, order);
    g_assert(pushed);
}

int imp_contact_fd(const ImpContact *contact)
{
    return imp_queue_fd(contact->events);
}

void imp_contact_dispatch(ImpContact *contact)
{
    Event *event;
    while ((event = imp_queue_try_pop(contact->events)) != NULL) {
        const ImpContactEvent seen = {event->state, event->error};
        if (event->state == IMP_CONTACT_MADE)
            contact->watching = FALSE;
        contact->fn(contact->user, &seen);
        event_free(event);
    }
}

void imp_contact_free(ImpContact *contact)
{
    if (contact == NULL)
        return;
    g_atomic_int_set(&contact->stop, 1);
    imp_queue_close(contact->orders);
    pthread_join(contact->thread, NULL);
    imp_queue_free(contact->orders);
    imp_queue_free(contact->events);
    g_free(contact->probe_spec);
    g_free(contact);
}
