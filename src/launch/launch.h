/* One attempt to program one unit: a state machine between an authority (may it run? with which numbers? what came of
 * it?) and a port (the work with the target). The same machine serves `imprint run`, a SAP and a JOB.
 *
 * Life cycle: new, start, then it runs on the calls of its authority and its port until the finished callback; free it
 * after that (not inside a callback). Nothing touches the target before the authority has journaled BEGUN; nothing is
 * written before WRITING is durable; passed is told only after PASSED is durable.
 * Thread rule: the event loop's thread only. */
#pragma once

#include "launch/given.h"
#include "launch/port.h"
#include "wire/authority.h"

typedef struct ImpLaunch ImpLaunch;

typedef enum {
    IMP_LAUNCH_ASKING = 2, /* waits for the authority */
    IMP_LAUNCH_WORKING, /* begun: the port is at work */
    IMP_LAUNCH_PASSED,
    IMP_LAUNCH_FAILED, /* begun and failed: there is a report (failed or spent) */
    IMP_LAUNCH_REFUSED, /* never begun: the target was not touched, there is no record */
} ImpLaunchState;

/* What people see of a launch. Borrowed from the launch, valid until it changes again. */
typedef struct {
    ImpId launch;
    ImpId image;
    ImpLaunchState state;
    ImpPhase phase; /* while working */
    guint64 done_bytes, total_bytes; /* of the phase */
    const GError *error; /* failed or refused */
    gboolean verify_only;
    const ImpAnswer *answer; /* the authority's answer, NULL if there was none */
    const ImpReport
        *report; /* passed or failed: the record as journaled; while working: what is known so far */
    gint64 phase_us[IMP_PHASE_LAST + 1]; /* time spent in each phase so far */
} ImpLaunchView;

/* Called at each change; in the states passed, failed, refused for the last time. */
typedef void (*ImpLaunchFn)(gpointer user, const ImpLaunchView *view);

typedef struct {
    const ImpContent *content; /* borrowed until the launch is freed */
    ImpId image;
    ImpAuthority *authority; /* borrowed likewise */
    ImpPort *port; /* borrowed likewise; its handler is the launch's from start to the last callback */
    const ImpClock *clock;
    const ImpRandom *random; /* for the launch ID */
    const char *port_name; /* for the record */
    const char *order; /* NULL = none */
    const char *person; /* NULL = nobody signed in */
    const ImpGiven *given; /* a launch whose data are not all good is refused */
    gsize n_given;
    /* Compares the unit with the image and writes nothing: no permit is asked for, no step is carried out, no count or number
     * is touched. What is not known of the unit (its numbers; data that is not given) is read from its places for the
     * record instead. Passed means that everything else is equal. */
    gboolean verify_only;
    ImpLaunchFn changed;
    gpointer user;
} ImpLaunchOptions;

/* Copies what it needs of options beside the borrowed parts. Never fails. */
ImpLaunch *imp_launch_new(const ImpLaunchOptions *options);

/* Asks the authority, and goes on by itself. Once. */
void imp_launch_start(ImpLaunch *launch);

/* Ends the launch as soon as the target allows: before BEGUN it is refused, afterwards it fails with E1010. */
void imp_launch_cancel(ImpLaunch *launch);

const ImpLaunchView *imp_launch_view(const ImpLaunch *launch);

/* TRUE once the last callback has been made. */
gboolean imp_launch_finished(const ImpLaunch *launch);

/* The launch must be finished, or never started. NULL is allowed. */
void imp_launch_free(ImpLaunch *launch);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpLaunch, imp_launch_free)
