/* Watches a port's place between two launches: is there a chip behind its probe? Looks several times a second on a thread of
 * its own, and only looks: nothing is reset, halted or written. While it watches, the probe is its own; while it does not, the
 * probe is free for a launch.
 *
 * Life cycle: new; await, and events until one is MADE (then it has let the probe go and rests); await again after the
 * launch; free at any time.
 * Thread rule: everything here is called on the event loop's thread; events come from imp_contact_dispatch, to be called
 * when imp_contact_fd is readable. */
#pragma once

#include "base/env.h"

typedef struct ImpContact ImpContact;

typedef enum {
    IMP_CONTACT_OLD = 2, /* the board of the last launch is still there: it has to be taken out */
    IMP_CONTACT_EMPTY, /* no board */
    IMP_CONTACT_NO_PROBE, /* the probe cannot be opened, or does not answer: unplugged, busy */
    IMP_CONTACT_MADE, /* a board is there, and steadily so: watching has ended */
} ImpContactState;

typedef struct {
    ImpContactState state;
    const GError *error; /* NO_PROBE: why */
} ImpContactEvent;

/* Called when the state has changed, and for the first state after imp_contact_await; may call imp_contact_await. */
typedef void (*ImpContactFn)(gpointer user, const ImpContactEvent *event);

/* probe_spec as in target/probe.h; it is copied. access_port: ImpDevice.access_port. clock is used on the watching thread. */
ImpContact *imp_contact_new(const char *probe_spec, guint access_port, const ImpClock *clock, ImpContactFn fn,
                            gpointer user);

/* Begins to watch for a board. after_one: the present one has been worked on; it must be seen to be gone, through a probe that
 * answers, before another counts. Not while watching. */
void imp_contact_await(ImpContact *contact, gboolean after_one);

int imp_contact_fd(const ImpContact *contact);
void imp_contact_dispatch(ImpContact *contact);

/* Ends watching, lets the probe go, waits for that. NULL is allowed. */
void imp_contact_free(ImpContact *contact);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpContact, imp_contact_free)
