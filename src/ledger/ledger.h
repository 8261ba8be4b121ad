/* The ledger: counts, pools, permits and records of the images whose authority this process is (the cloud for JOBs, a
 * station for SAPs), over one SQLite database. The rules, the states and the reasons are in docs/ledger.md.
 *
 * Life cycle: open, then calls, then close. Everything durable is so when the call returns, or, inside a batch, when
 * imp_ledger_commit has returned TRUE: the cloud's committer wraps a whole queue of requests into one transaction
 * (begin, sync …, commit), and answers only then. Every function may be called inside or outside a batch. One that fails
 * inside a batch has changed nothing; only imp_ledger_sync, when it fails, leaves the batch to be rolled back.
 *
 * Errors: IMP_E_IO (disk full, not readable), IMP_E_LEDGER_CORRUPT (damaged, or of a newer version), and what is said at
 * each function. After IMP_E_IO the caller rolls back; nothing was answered, so the station asks again.
 *
 * Thread rule: one thread at a time; the object has no lock. The database is held exclusively: a second program that opens
 * it is refused. */
#pragma once

#include "base/env.h"
#include "wire/wire.h"

typedef struct ImpLedger ImpLedger;

#define IMP_LEDGER_SILENT_US (60 * G_USEC_PER_SEC) /* a station not heard for so long is silent */
#define IMP_LEDGER_USABLE_US                                                                                 \
    (5 * G_USEC_PER_SEC) /* a permit is usable so long (rule 5); the station's rule */
#define IMP_LEDGER_LIST_MAX    1000 /* rows of one query */
#define IMP_LEDGER_REASON_SIZE 257

typedef enum {
    IMP_LEDGER_STATION = 2, /* SAPs' authority, and the journal of the station (journal.h) */
    IMP_LEDGER_CLOUD, /* JOBs' authority; knows stations */
} ImpLedgerRole;

typedef enum {
    IMP_LEDGER_DURABLE = 2, /* synchronous=FULL */
    IMP_LEDGER_FORGETFUL, /* tests only: nothing is forced to disk, so a power cut may lose it */
} ImpLedgerSafety;

typedef struct {
    const char *path; /* made with mode 0600 if it does not exist; ":memory:" for tests */
    ImpLedgerRole role; /* a database keeps the role it was made with: another is refused */
    ImpLedgerSafety safety;
    const ImpClock *clock; /* borrowed until close */
    const ImpRandom *random; /* likewise */
} ImpLedgerOptions;

/* Opens, makes or migrates the database, and checks its integrity. IMP_E_STATE: another program has it open. */
ImpLedger *imp_ledger_open(const ImpLedgerOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Rolls back an open batch. NULL is allowed. */
void imp_ledger_close(ImpLedger *ledger);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpLedger, imp_ledger_close)

/* Of this database; new after a restore. */
ImpId imp_ledger_epoch(const ImpLedger *ledger);

gboolean imp_ledger_begin(ImpLedger *ledger, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* On FALSE the batch is rolled back. */
gboolean imp_ledger_commit(ImpLedger *ledger, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_ledger_rollback(ImpLedger *ledger);

/* The SQLite connection (sqlite3 *), for tables that the cloud keeps beside the ledger's in the same transactions; their
 * names must begin with "cloud_". Borrowed. Begin and end transactions with the functions above only. */
gpointer imp_ledger_database(ImpLedger *ledger);

/* Recomputes every count, number and cross-reference from the rows and adds a line to out_wrongs (char *, owned by the
 * array, made by the caller with g_free as its element free function) for each that is not as it should be. FALSE only if
 * the database cannot be read. Reads everything: for tests and `--check`. */
gboolean imp_ledger_check(ImpLedger *ledger, GPtrArray *out_wrongs, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Who changes something, and why: a row of the audit log in the same transaction. reason may be NULL where it is not said
 * that one is needed. */
typedef struct {
    const char *person;
    const char *reason;
} ImpAct;

/* What a person reads who is refused: what the answer's code means, and the image's counts where these are why. Never NULL;
 * the caller's. A code that this version does not know becomes IMP_E_UNSUPPORTED, none IMP_E_WITHDRAWN. */
GError *imp_ledger_refusal(const ImpAnswer *answer) G_GNUC_WARN_UNUSED_RESULT;

/* ---- one request of a station (cloud) ------------------------------------------------------------------------------ */

/* Carries out one request: hello, then reports, then refreshes, then wants. station is who its certificate says it is.
 * What is not allowed is answered item by item. IMP_E_STATION_UNKNOWN: never added; nothing was changed. Other errors are
 * the database's. */
gboolean imp_ledger_sync(ImpLedger *ledger, const ImpId *station, const ImpSyncRequest *request,
                         ImpSyncResponse **out_response, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- images -------------------------------------------------------------------------------------------------------- */

typedef enum {
    IMP_LEDGER_COUNT_ON_PASS = 2,
    IMP_LEDGER_COUNT_ON_WRITE,
} ImpLedgerCountOn;

/* What happens with a chip that this image has been put on before (docs/ledger.md, section 8). Order and meaning are those of
 * image/content.h. */
typedef enum {
    IMP_LEDGER_REWORK_REFUSE = 2, /* one that passed is refused */
    IMP_LEDGER_REWORK_KEEP, /* it gets the numbers again that it has */
    IMP_LEDGER_REWORK_NEW, /* it gets new ones */
} ImpLedgerRework;

/* The restrictions of an image (image/content.h has the same; ledger does not use image). */
typedef struct {
    gboolean has_units, has_max_failures, has_not_before, has_not_after;
    guint64 units, max_failures; /* at most G_MAXINT64 */
    gint64 not_before_s, not_after_s; /* seconds since 1970 UTC, both inclusive */
    ImpLedgerCountOn count_on;
} ImpLedgerLimits;

typedef enum {
    IMP_LEDGER_ACTIVE = 2,
    IMP_LEDGER_PAUSED,
    IMP_LEDGER_DISABLED, /* for ever */
} ImpLedgerImageState;

/* What an authority has to know of an image. */
typedef struct {
    ImpId id;
    char account[IMP_WIRE_NAME_SIZE]; /* pools belong to an account; "" on a station */
    char scope
        [IMP_WIRE_NAME_SIZE]; /* stations of this scope may run it (the cloud: the factory); "" on a station */
    char name[IMP_WIRE_NAME_SIZE];
    ImpLedgerLimits limits;
    ImpLedgerRework rework;
    gboolean free_rework; /* a chip that has used up a unit of the count uses up no second one */
    guint32 n_pools;
    const char *pools[IMP_WIRE_NUMBERS_MAX]; /* canonical definitions (pool.h), borrowed for the call */
} ImpLedgerImage;

/* Makes the image known, active, with its pools. The same again: nothing changes, but a deleted one is there again and its
 * counts go on. IMP_E_EXISTS: known with other content. IMP_E_POOL_DIFFERS: a pool is known with another definition. */
gboolean imp_ledger_image_add(ImpLedger *ledger, const ImpLedgerImage *image, const ImpAct *act,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What a person is told: permits and refreshes stopped with the commit, what is fresh now ends by in_force_us. */
typedef struct {
    gint64 in_force_us; /* authority's real-time clock */
    guint64 open; /* launches in work */
} ImpLedgerEffect;

/* IMP_E_IMAGE_UNKNOWN; IMP_E_STATE: a disabled image stays so. out_effect may be NULL. */
gboolean imp_ledger_image_set_state(ImpLedger *ledger, const ImpId *image, ImpLedgerImageState state,
                                    const ImpAct *act, ImpLedgerEffect *out_effect,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* No permits any more until it is added again; counts and records stay. */
gboolean imp_ledger_image_delete(ImpLedger *ledger, const ImpId *image, const ImpAct *act,
                                 ImpLedgerEffect *out_effect, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Allows more failures than the image says. act->reason is needed. */
gboolean imp_ledger_image_allow_failures(ImpLedger *ledger, const ImpId *image, guint64 more,
                                         const ImpAct *act, GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    ImpId id;
    char account[IMP_WIRE_NAME_SIZE], scope[IMP_WIRE_NAME_SIZE], name[IMP_WIRE_NAME_SIZE];
    ImpLedgerLimits limits;
    ImpLedgerRework rework;
    gboolean free_rework;
    ImpLedgerImageState state;
    gboolean deleted;
    gint64 added_us;
    guint64 settled; /* launches settled by the owner: the count is units + settled */
    guint64 more_failures; /* allowed beside max_failures */
    guint64 open, passed, failed, spent, unknown, lost, returned; /* launches by state */
    guint64 free_open,
        free_used; /* rework that uses nothing up: launches in work; ended ones that else would have */
} ImpLedgerImageStatus;

gboolean imp_ledger_image_get(ImpLedger *ledger, const ImpId *image, ImpLedgerImageStatus *out_status,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT; /* IMP_E_IMAGE_UNKNOWN */

/* Array of ImpLedgerImageStatus, newest first, deleted ones too; account NULL = of all. At most IMP_LEDGER_LIST_MAX. */
GArray *imp_ledger_image_list(ImpLedger *ledger, const char *account,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The canonical definitions of an image's pools in their order: array of char *. */
GPtrArray *imp_ledger_image_pools(ImpLedger *ledger, const ImpId *image,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Has the chip of this UID passed with this image before? */
gboolean imp_ledger_unit_known(ImpLedger *ledger, const ImpId *image, const guint8 *uid, gsize n_uid,
                               gboolean *out_known, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- pools --------------------------------------------------------------------------------------------------------- */

typedef struct {
    char account[IMP_WIRE_NAME_SIZE], id[IMP_WIRE_NAME_SIZE];
    char definition[513]; /* imp_pool_short of it */
    gboolean external; /* its numbers come with the launches: next and remaining say nothing */
    guint64 next; /* the next new number; past last when all have been given */
    char next_text[IMP_WIRE_TEXT_SIZE]; /* … as it would be written now; "" when all have been given */
    guint64 remaining; /* numbers that can still be given, returned ones included */
    guint64 free, held, used, spent; /* numbers that were given, by what became of them */
} ImpLedgerPoolStatus;

/* IMP_E_NOT_FOUND */
gboolean imp_ledger_pool_get(ImpLedger *ledger, const char *account, const char *pool,
                             ImpLedgerPoolStatus *out_status, GError **error) G_GNUC_WARN_UNUSED_RESULT;
GArray *imp_ledger_pool_list(ImpLedger *ledger, const char *account,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT; /* ImpLedgerPoolStatus */

/* The status as people see it, at the cloud and at a station (api/types.yaml: PoolStatus); a new reference. */
struct json_t *imp_ledger_pool_view(const ImpLedgerPoolStatus *status) G_GNUC_WARN_UNUSED_RESULT;

/* The next new number will be next (one of the pool's, or last + step: none left). Forward only: IMP_E_STATE. Returned
 * numbers below it are still given first. act->reason is needed. */
gboolean imp_ledger_pool_set_next(ImpLedger *ledger, const char *account, const char *pool, guint64 next,
                                  const ImpAct *act, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Takes the next count new numbers out of the pool for ever, in one transaction: *out_first to *out_last, in the pool's steps,
 * for another authority (a SAP's station). Returned numbers below them stay and are still given. act->reason is needed; the
 * audit log names the range. IMP_E_NOT_FOUND; IMP_E_POOL_EXHAUSTED: the pool has fewer new numbers, nothing is taken. */
gboolean imp_ledger_pool_split(ImpLedger *ledger, const char *account, const char *pool, guint64 count,
                               const ImpAct *act, guint64 *out_first, guint64 *out_last,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- stations (cloud) ---------------------------------------------------------------------------------------------- */

typedef struct {
    ImpId id;
    char account[IMP_WIRE_NAME_SIZE], scope[IMP_WIRE_NAME_SIZE], name[IMP_WIRE_NAME_SIZE];
    gboolean removed;
    gboolean blocked;
    char blocked_why[IMP_LEDGER_REASON_SIZE];
    guint64 start_number; /* of the newest life that was welcomed, 0 = none yet */
    guint64 max_seq; /* greatest journal seq among its records */
    gint64 heard_us; /* last request, exact to 5 s; 0 = never */
    gint64 added_us;
    guint64 open; /* launches in work */
} ImpLedgerStation;

/* id, account, scope and name count. Again: name and scope are set anew, a removed one is there again. */
gboolean imp_ledger_station_add(ImpLedger *ledger, const ImpLedgerStation *station, const ImpAct *act,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* It may report launches that it was permitted before, and nothing else. */
gboolean imp_ledger_station_remove(ImpLedger *ledger, const ImpId *station, const ImpAct *act,
                                   ImpLedgerEffect *out_effect, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Lifts a block: the next hello is accepted whatever its start number, and the journal's position counts anew from there.
 * act->reason is needed: a person has looked at the station. */
gboolean imp_ledger_station_admit(ImpLedger *ledger, const ImpId *station, const ImpAct *act,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_ledger_station_get(ImpLedger *ledger, const ImpId *station, ImpLedgerStation *out_station,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT; /* IMP_E_STATION_UNKNOWN */
GArray *imp_ledger_station_list(ImpLedger *ledger, const char *account,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT; /* ImpLedgerStation */

/* ---- launches in work, records, alarms, audit ---------------------------------------------------------------------- */

typedef struct {
    ImpId launch, image, station; /* station: all zero = this station itself */
    char port[IMP_WIRE_NAME_SIZE], order[IMP_WIRE_NAME_SIZE], person[IMP_WIRE_NAME_SIZE];
    gint64 granted_us; /* authority's clock */
    guint64 start_number;
    gboolean settled;
    gboolean in_doubt; /* its station is silent */
    guint32 n_numbers;
    ImpNumber numbers[IMP_WIRE_NUMBERS_MAX];
} ImpLedgerOpen;

/* Open launches of an image (NULL = of all), oldest first: array of ImpLedgerOpen, at most IMP_LEDGER_LIST_MAX. */
GArray *imp_ledger_open_launches(ImpLedger *ledger, const ImpId *image,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The owner gives a launch up (rule 1): the image's count is raised by one, its numbers stay spent whatever is reported
 * later. act->reason is needed. IMP_E_NOT_FOUND; IMP_E_STATE: not open, settled before, or the station is not silent. */
gboolean imp_ledger_settle(ImpLedger *ledger, const ImpId *station, const ImpId *launch, const ImpAct *act,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    gboolean has_image, has_station, has_launch, has_result;
    ImpId image, station, launch;
    ImpResult result;
    gint64 from_us, to_us; /* received at or after, before; 0 = no bound */
    gboolean newest_first;
    guint64 cursor; /* only records after (newest_first: before) this one; 0 = from the beginning (the end) */
    guint32 limit; /* 1 to IMP_LEDGER_LIST_MAX */
} ImpLedgerLogQuery;

typedef struct {
    guint64 record; /* rises with each record that comes in: the cursor */
    ImpId station; /* all zero = this station itself */
    gint64 received_us; /* clock of this ledger */
    gboolean own; /* this ledger is the launch's authority; FALSE: a JOB in a station's ledger */
    gboolean confirmed; /* a JOB in a station's ledger: the cloud has it */
    gboolean rework; /* the same chip had passed with this image before */
    gboolean conflict; /* not the first report of its launch: the first one stands */
    gboolean after_settlement;
    ImpReport report;
} ImpLedgerLogEntry;

/* Array of ImpLedgerLogEntry. */
GArray *imp_ledger_log(ImpLedger *ledger, const ImpLedgerLogQuery *query,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef enum {
    IMP_ALARM_REPORT_CONFLICT = 2, /* another report of an ended launch */
    IMP_ALARM_LAUNCH_DIFFERS, /* a launch ID was used again with other content */
    IMP_ALARM_JOURNAL_BACK, /* a station's journal went back in time */
    IMP_ALARM_TWO_COPIES, /* two copies of a station are running */
    IMP_ALARM_NOT_ASKED, /* a launch was reported that was never permitted */
    IMP_ALARM_NUMBERS_DIFFER, /* a report names other numbers than were given */
} ImpAlarmKind;

/* "report-conflict", … */
const char *imp_alarm_name(ImpAlarmKind kind);

typedef struct {
    guint64 alarm; /* rises: the cursor */
    gint64 real_us;
    ImpAlarmKind kind;
    ImpId station, launch, image; /* all zero where it does not apply */
    char text[IMP_LEDGER_REASON_SIZE];
} ImpLedgerAlarm;

/* Array of ImpLedgerAlarm after cursor, oldest first. */
GArray *imp_ledger_alarms(ImpLedger *ledger, guint64 cursor, guint32 limit,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    guint64 row; /* rises: the cursor */
    gint64 real_us;
    char person[IMP_WIRE_NAME_SIZE];
    char action[32]; /* "image-pause", "settle", … */
    char subject[IMP_WIRE_TEXT_SIZE]; /* an ID or a name */
    char reason[IMP_LEDGER_REASON_SIZE];
} ImpLedgerAudit;

/* Array of ImpLedgerAudit after cursor, oldest first. */
GArray *imp_ledger_audit(ImpLedger *ledger, guint64 cursor, guint32 limit,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Adds a row for something outside the ledger (the cloud: a person added, a token revoked). */
gboolean imp_ledger_audit_add(ImpLedger *ledger, const char *action, const char *subject, const ImpAct *act,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
