/* A station's authority of JOBs and a cloud's ledger in one process, on simulated time, with a bad network between them.
 *
 * Fault model of the network: a request or an answer is lost, comes twice, or comes late (up to 9 s, so also after the
 * request was given up, and after the station has started again: then only requests still arrive, answers have nowhere to
 * go). Of the station: its process ends between any two events and starts again on the same database. Of the clocks: the
 * real-time clock jumps. Everything else works: no lying disk here. */
#pragma once

#include "ledger/journal.h"
#include "station/authority_cloud.h"

typedef struct {
    gint64 boot_us, real_us;
    guint64 random_state;
    ImpClock clock;
    ImpRandom random;

    char *folder, *station_path;
    ImpLedger *station, *cloud;
    ImpLife life;
    ImpId station_id, image, keep, refuse; /* images: without, and with these rules for rework */
    ImpAuthority *authority;
    gboolean need_step;
    gint64 step_us;

    GArray *flights; /* messages on their way */
    guint64 next_order;
    GRand *rand;
    /* probabilities, 0 = never */
    double lose, twice, late;
    gint64 late_min_us, late_max_us; /* how late */
    gboolean down; /* nothing gets through */
    gint64 answer_delay_us; /* added to each answer */
    GPtrArray *requests; /* ImpSyncRequest: what the authority has sent, in order */
    GBytes *last_answer, *last_request;
} World;

World *world_new(guint32 seed, guint64 units);
void world_free(World *w);

/* The station's process ends and starts again. */
void world_restart(World *w);
/* Runs everything that is due until this much time has passed. */
void world_run(World *w, gint64 duration_us);
/* Runs the next thing that is due, not beyond until_us; FALSE if there is none. */
gboolean world_run_one(World *w, gint64 until_us);
/* The last request arrives once more, now. */
void world_repeat_request(World *w);
void world_jump_real(World *w, gint64 by_us);

/* Starts a launch; out is filled when it is decided. */
typedef struct {
    World *world;
    ImpWant want;
    gboolean decided, begun;
    int code;
    ImpAnswer answer;
    gint64 decided_us;
} Started;
Started *world_start(World *w);
void world_end(World *w, const Started *s, gboolean wrote, gboolean passed);

ImpLedgerImageStatus world_counts(World *w);
void world_set_paused(World *w, gboolean paused);
/* Both ledgers' own checks find nothing. */
void world_check(World *w);
