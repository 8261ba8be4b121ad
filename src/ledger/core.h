/* Inside of the ledger: what its files share. Nothing outside src/ledger includes this.
 *
 * Errors of the database are sticky in ledger->sql (sql.h); functions without a GError parameter leave theirs there, and
 * whoever began the transaction takes it. */
#pragma once

#include "ledger/ledger.h"
#include "ledger/pool.h"
#include "ledger/sql.h"

/* launch.state is CORE_OPEN, CORE_COMPARING or an ImpResult. SQL texts hold these as digits (partial indexes need literals). */
#define CORE_OPEN 1
#define SQL_OPEN  "1"
/* In the journal: begun, and will only compare. Neither open nor ended for any count. */
#define CORE_COMPARING 20
#define SQL_COMPARING  "20"
/* launch.phase: how far the station's journal has seen it; the cloud's rows stay at CORE_HELD */
#define CORE_HELD    1
#define CORE_BEGUN   2
#define CORE_WRITING 3

#define CORE_FREE  1
#define CORE_TAKEN 2 /* held by an open launch */
#define CORE_USED  3
#define CORE_SPENT 4
#define SQL_FREE   "1"

struct ImpLedger {
    ImpSql sql;
    ImpLedgerRole role;
    const ImpClock *clock;
    const ImpRandom *random;
    ImpId epoch;
    gboolean in_batch; /* between imp_ledger_begin and its end */
    guint64 start_number; /* of this life; station only, 0 before imp_journal_start */
    GHashTable *pools; /* pool.ref → ImpPool: definitions never change */
    /* imp_journal_trust_clock: real time minus boot time then */
    gboolean has_trust;
    gint64 trust_offset_us;
};

/* Begins what belongs together: a transaction, or a part of the batch that can be undone alone. */
gboolean core_enter(ImpLedger *ledger, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Ends it. Keeps it if ok and the database had no fault; else undoes it and returns FALSE with *error set (ok FALSE: by
 * the caller). */
gboolean core_leave(ImpLedger *ledger, gboolean ok, GError **error) G_GNUC_WARN_UNUSED_RESULT;

gint64 core_now(const ImpLedger *ledger);

void core_audit(ImpLedger *ledger, const char *action, const char *subject, const ImpAct *act);
/* FALSE with IMP_E_ARGUMENT if act has no reason. */
gboolean core_needs_reason(const ImpAct *act, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Once for each kind, station and launch. IDs may be NULL. */
void core_alarm(ImpLedger *ledger, ImpAlarmKind kind, const ImpId *station, const ImpId *launch,
                const ImpId *image, const char *text);

/* ---- rows.c ---- */

/* A launch's row: the authority's, the journal's, or both. */
typedef struct {
    ImpId id;
    gint64 station_ref;
    gboolean own;
    ImpId image;
    int state, phase;
    gboolean settled, kept, uncounted;
    guint64 seq, start_number;
    gint64 granted_us;
    char port[IMP_WIRE_NAME_SIZE], order[IMP_WIRE_NAME_SIZE], person[IMP_WIRE_NAME_SIZE];
    guint8 uid[IMP_WIRE_NUMBER_BYTES_MAX];
    guint8 n_uid; /* 0 = not known yet */
    guint32 n_numbers;
    ImpNumber numbers[IMP_WIRE_NUMBERS_MAX];
} CoreLaunch;

/* Columns of launch l that core_launch_read wants, in their order and before all others. */
#define CORE_LAUNCH_COLUMNS                                                                                  \
    "l.id, l.station, l.own, l.image, l.state, l.phase, l.settled, l.kept, l.uncounted, l.seq, "             \
    "l.start_number, l.granted_us, l.port, l.work_order, l.person, l.uid, l.numbers"
#define CORE_LAUNCH_N_COLUMNS 17
void core_launch_read(ImpLedger *ledger, const ImpRow *row, CoreLaunch *out_launch);
gboolean core_launch_find(ImpLedger *ledger, gint64 station_ref, const ImpId *id, CoreLaunch *out_launch);
/* Adds the row as it is. */
void core_launch_insert(ImpLedger *ledger, const CoreLaunch *launch);
/* The row as far as a record says it: result and everything that only the launch knows stay empty. */
void core_launch_report(const CoreLaunch *launch, ImpReport *out_report);

/* ---- numbers.c ---- */

/* The definition of a pool by its row. Borrowed; NULL after a fault. */
const ImpPool *core_pool(ImpLedger *ledger, gint64 pool_ref);
/* The row of a pool by name; 0 if there is none. */
gint64 core_pool_ref(ImpLedger *ledger, const char *account, const char *id);
/* Makes the pool known or compares its definition. IMP_E_POOL_DIFFERS. 0 on failure. */
gint64 core_pool_add(ImpLedger *ledger, const char *account, const char *definition, GError **error);

/* Takes one number from each pool of the image, or none: 0, or the code of a refusal. keep: a given number that an ended
 * launch has is named, but not taken: core_identify finds out whether the chip is the one that bears it. */
int core_numbers_take(ImpLedger *ledger, gint64 station_ref, const ImpWant *want, gboolean keep,
                      ImpNumber *out_numbers, guint32 *out_n_numbers);
/* Does the launch hold every number that it names? */
gboolean core_numbers_held(ImpLedger *ledger, const char *account, const CoreLaunch *launch);
/* Are the numbers those that were given? Compared where want gives one for the pool. */
gboolean core_numbers_given(const ImpNumber *numbers, guint32 n_numbers, const ImpWant *want);
/* A launch that passed with numbers that it was allowed to keep has them from now on. */
void core_numbers_move(ImpLedger *ledger, const char *account, const CoreLaunch *launch);
/* What becomes of a launch's numbers; free: only where the pool allows it, else spent. */
void core_numbers_set(ImpLedger *ledger, const char *account, gint64 station_ref, const ImpId *launch,
                      const ImpNumber *numbers, guint32 n_numbers, int state);
/* Numbers of a launch that was never permitted here: marks them, and moves the pools' next past them. FALSE: one of them
 * belongs to a launch of another chip. Of external pools, numbers are set to what stands for the bytes here. */
gboolean core_numbers_claim(ImpLedger *ledger, const char *account, gint64 station_ref, ImpReport *report,
                            int state);

/* Numbers as the bytes of a column, and back. pack: free with g_free. */
guint8 *core_numbers_pack(const ImpNumber *numbers, guint32 n_numbers, gsize *out_n_bytes);
gboolean core_numbers_unpack(const guint8 *bytes, gsize n_bytes, ImpNumber *out_numbers,
                             guint32 *out_n_numbers);

/* ---- records.c ---- */

typedef struct {
    gint64 station_ref;
    const ImpId *station; /* for alarms */
    gboolean own, conflict, rework, after_settlement;
} CoreRecord;

void core_record_add(ImpLedger *ledger, const CoreRecord *record, const ImpReport *report);
/* TRUE if the record that stands (conflict: one kept beside it) says the same as report (docs/ledger.md: same report). */
gboolean core_record_same(ImpLedger *ledger, gint64 station_ref, const ImpReport *report, gboolean conflict);
/* Columns that core_record_read wants, in their order. */
#define CORE_RECORD_COLUMNS                                                                                  \
    "r.rec, s.id, r.received_us, r.own, r.confirmed_us IS NOT NULL, r.rework, r.conflict, "                  \
    "r.after_settlement, "                                                                                   \
    "r.launch, r.image, r.result, r.seq, r.start_number, r.port, r.work_order, r.person, r.began_us, "       \
    "r.duration_ms, r.code, r.step, r.address, r.expected, r.found, r.uid, r.numbers, r.reads, "             \
    "r.link_waits, r.link_faults, r.link_errors, r.link_retries, r.link_hz, r.link_slowed_by"
void core_record_read(const ImpRow *row, ImpLedgerLogEntry *out_entry);

/* ---- permit.c ---- */

/* Who asks. */
typedef struct {
    gint64 ref; /* station.ref; 0 = this station itself */
    ImpId id;
    char account[IMP_WIRE_NAME_SIZE], scope[IMP_WIRE_NAME_SIZE];
    guint64 start_number;
    gboolean removed;
} CoreAsker;

/* Each decides, changes the rows, and fills answer whole. permit: phase is the new row's; *out_new (may be NULL) is TRUE
 * if the launch was permitted just now, not before. */
void core_permit(ImpLedger *ledger, const CoreAsker *asker, const ImpWant *want, int phase, ImpAnswer *answer,
                 gboolean *out_new);
void core_refresh(ImpLedger *ledger, const CoreAsker *asker, const ImpRefresh *refresh, ImpAnswer *answer);
void core_report(ImpLedger *ledger, const CoreAsker *asker, const ImpReport *report, ImpAnswer *answer);

void core_image_count(ImpLedger *ledger, const ImpId *image, int free_open, int free_used);
/* Is there room for one more launch that uses the count up? 0, or the code of a refusal. */
int core_has_room(const ImpLedgerImageStatus *image);

/* Has the chip that report names passed with this image before? */
gboolean core_is_rework(ImpLedger *ledger, const ImpReport *report);

/* ---- rework.c ---- */

/* The chip of an open launch is known: what the image's rule says of it, kept in the launch's row. Fills answer whole. */
void core_identify(ImpLedger *ledger, const CoreAsker *asker, const ImpIdentify *identify, ImpAnswer *answer);
/* Must the chip be told before anything is written? */
gboolean core_must_identify(const ImpLedgerImageStatus *image);

/* ---- image.c ---- */

/* Does one of its pools write the day of the grant? */
gboolean core_image_has_date(ImpLedger *ledger, const ImpId *image);
gboolean core_image_read(ImpLedger *ledger, const ImpId *image, ImpLedgerImageStatus *out_status);

/* ---- journal.c ---- */

/* The next seq of a launch of this authority (own: SAPs), counted. */
guint64 core_next_seq(ImpLedger *ledger, gboolean own);
/* Raises the latest time recorded, if the clock is to be trusted. */
void core_touch_clock(ImpLedger *ledger);
/* Rule 9: may dates be judged by the clock now? */
gboolean core_clock_trusted(ImpLedger *ledger);
/* This station as who asks its own ledger. */
CoreAsker core_self(const ImpLedger *ledger);
