/* Shows launches while they run and as they end, one or many at a time. What is shown are `Launch` objects as
 * api/station.yaml defines them: `imprint run` makes such an object of its own launch, a station sends them.
 *
 * Life cycle: init, update with each change, done. Thread rule: one thread. */
#pragma once

#include "base/env.h"
#include "cli/print.h"
#include "launch/launch.h"

#define IMP_PROGRESS_LAUNCHES_MAX 256

typedef struct {
    ImpLive live;
    gboolean coloured;
    gboolean ports; /* name the port in front of each line */
    gboolean quiet; /* write nothing: --json; set after init */
    const ImpClock *clock;
    gint64 drawn_us; /* when the live lines were drawn last */
    GPtrArray
        *launches; /* of json_t: the newest object of each launch, in the order of their first showing */
    GHashTable *phases_said; /* "LAUNCH/phase" that a plain line was written for */
} ImpProgress;

void imp_progress_init(ImpProgress *progress, FILE *out, gboolean terminal, gboolean coloured, gboolean ports,
                       const ImpClock *clock);

/* Takes the new state of a launch (borrowed, kept by reference). A launch that has ended is written for good. */
void imp_progress_update(ImpProgress *progress, json_t *launch);

/* TRUE if each launch that was shown has ended. */
gboolean imp_progress_all_ended(const ImpProgress *progress);

/* How all of it ended: NULL if all passed, else the error of the worst (bug, station-down, reject-unit, refuse, operator, retry). A new
 * error. */
GError *imp_progress_verdict(const ImpProgress *progress);

/* Forgets a launch that has ended: where there are many, they are counted elsewhere. */
void imp_progress_forget(ImpProgress *progress, const json_t *launch);

/* Takes over error: it becomes *worst if it is worse, or the first. */
void imp_progress_keep_worst(GError **worst, GError *error);

/* One line for each launch, in the order in which they began, and one that counts them. All have ended. */
void imp_progress_print_summary(const ImpProgress *progress);

void imp_progress_done(ImpProgress *progress);

/* Writes one ended launch: PASSED with its numbers, or the error with its place. */
void imp_progress_print_ended(FILE *out, gboolean coloured, gboolean port, const json_t *launch);

/* TRUE if a record (of the log, or a report) is of a permit that was given back: no START took it, no chip was touched. */
gboolean imp_progress_is_returned(const json_t *record);

/* "passed", "failed", …: the state as api/station.yaml writes it */
const char *imp_progress_state_name(ImpLaunchState state);

/* A `Launch` object of a launch in this process; a new reference. */
json_t *imp_progress_launch_json(const ImpLaunchView *view, const char *port);

/* The error that an `ErrorBody` speaks of, registry code and detail included; NULL for NULL. */
GError *imp_progress_error(const json_t *body);

/* "6 of 6 passed, 0 in work" of `Counts`, "" if there is nothing to say; free with g_free. */
char *imp_progress_counts(const json_t *counts);
