/* The authority of JOBs: the account's cloud, asked through sync (wire/wire.h), with everything journaled in the station's
 * ledger. docs/ledger.md holds the rules and the station's table of states; this file carries that table out.
 *
 * How it works. A state machine without threads, sockets or timers of its own. It is given a transport that carries one
 * request at a time, and it is driven by imp_authority_cloud_step, which sends what is due and says when it wants to be
 * called again. Everything that waits at that moment travels in one request: reports, refreshes, wants.
 *
 *   - Each life begins with hello, alone in its request, repeated unchanged until it is answered.
 *   - A start sends a want at once (with all reports that wait). Unanswered, it is repeated under the same launch ID with
 *     a new ask number, until IMP_CLOUD_START_US are over: then the start ends with E5018 (E5012 before the welcome, E5019 with a permit that is not fresh) and, if anything was sent, the
 *     launch is journaled RETURNED and reported, so that the cloud ends it whatever it did with the want.
 *   - A permit is fresh for IMP_LEDGER_USABLE_US from the moment the request was sent whose ask number its answer echoes,
 *     by the clock that counts from the machine's start and by the real-time clock, both. Each ask number counts once. A
 *     permit that is not fresh is refreshed before BEGUN.
 *   - identify travels at once, with all that waits; unanswered, it is repeated until IMP_CLOUD_START_US are over: then it ends
 *     with E5018, and nothing was written. The answer is journaled before the launch goes on.
 *   - Reports come from the journal and are repeated until they are confirmed, also in later lives. A report waits for
 *     IMP_CLOUD_REPORT_WAIT_US for a want to travel with.
 *   - While launches are open, and every IMP_CLOUD_IDLE_US, the list of open launches is asked for; one that neither the
 *     journal nor this authority knows is reported lost.
 *
 * Life cycle: new with the life that imp_journal_start gave; free when no start waits; one that does is
 * refused, and what the cloud may have granted it is reported lost by the next life.
 * Thread rule: the event loop's thread. */
#pragma once

#include "ledger/journal.h"
#include "wire/authority.h"

#define IMP_CLOUD_START_US       (6 * G_USEC_PER_SEC) /* a start is decided within this time */
#define IMP_CLOUD_REQUEST_US     (4 * G_USEC_PER_SEC) /* then a request is given up: its answer would be stale */
#define IMP_CLOUD_REPORT_WAIT_US (G_USEC_PER_SEC / 5)
#define IMP_CLOUD_IDLE_US        (20 * G_USEC_PER_SEC)
#define IMP_CLOUD_RETRY_MIN_US   (G_USEC_PER_SEC / 4)
#define IMP_CLOUD_RETRY_MAX_US   (10 * G_USEC_PER_SEC)
#define IMP_CLOUD_REPORTS_MAX    64 /* of one request */
#define IMP_CLOUD_STARTS_MAX     64 /* waiting at one time */
#define IMP_CLOUD_TELLS_MAX      64 /* begun launches that wait for what is said of their chip */
#define IMP_CLOUD_ASKS_MAX       32 /* unanswered ask numbers of one start */

G_STATIC_ASSERT(IMP_CLOUD_REPORTS_MAX + 2 * IMP_CLOUD_STARTS_MAX + IMP_CLOUD_TELLS_MAX <=
                IMP_WIRE_SYNC_ITEMS_MAX);
G_STATIC_ASSERT(IMP_CLOUD_REQUEST_US < IMP_LEDGER_USABLE_US);

/* Carries a request to the cloud and its answer back, one at a time; station/link.c does it over HTTP, tests over a model
 * of a bad network. */
typedef struct {
    /* Sends request (borrowed); the outcome comes back through imp_authority_cloud_answer with this ticket. Never called
     * again before that, or before IMP_CLOUD_REQUEST_US have passed. */
    void (*send)(gpointer self, guint64 ticket, GBytes *request);
    gpointer self;
} ImpCloudTransport;

typedef enum {
    IMP_CLOUD_GREETING = 2, /* hello is not answered yet */
    IMP_CLOUD_WELCOMED,
    IMP_CLOUD_BLOCKED, /* a person must look; hello is repeated slowly, the owner may admit the station */
    IMP_CLOUD_STALE, /* another life of this station is running: this one launches no JOB any more */
} ImpCloudState;

typedef struct {
    ImpCloudState state;
    gboolean unreachable; /* the last request had no answer */
    const GError *error; /* why blocked, stale or unreachable; NULL = all is well */
    gint64 answered_real_us; /* the last answer; 0 = none yet */
    guint64 reports_waiting;
} ImpCloudView;

typedef struct {
    ImpLedger *ledger; /* borrowed; imp_journal_start has been called */
    ImpLife life;
    const ImpClock *clock;
    ImpCloudTransport transport;
    /* Called when step should be called soon. */
    void (*wake)(gpointer user);
    /* Called when the view has changed; may be NULL. */
    void (*changed)(gpointer user);
    /* For tests that end the process at a named point; may be NULL. "permit" = granted and fresh, BEGUN not journaled;
     * "identified" = the cloud knows the chip, the journal does not. */
    void (*point)(gpointer user, const char *name);
    gpointer user;
} ImpAuthorityCloudOptions;

ImpAuthority *imp_authority_cloud_new(const ImpAuthorityCloudOptions *options);
void imp_authority_cloud_free(
    ImpAuthority *authority); /* NULL is allowed; starts that wait are ended with E1010 */

/* Sends what is due. Returns the time (boot clock) at which it wants to be called again; calling earlier is harmless. */
gint64 imp_authority_cloud_step(ImpAuthority *authority);

/* The outcome of a request: the response's bytes, or why there is none. Answers that come late or twice are harmless. */
void imp_authority_cloud_answer(ImpAuthority *authority, guint64 ticket, GBytes *response,
                                const GError *error);

/* Ends a start that still waits (E1010); nothing happens if it does not. */
void imp_authority_cloud_cancel(ImpAuthority *authority, const ImpId *launch);

/* Borrowed until the next call. */
const ImpCloudView *imp_authority_cloud_view(ImpAuthority *authority);
