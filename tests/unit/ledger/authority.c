/* The authority's state table, row by row: what a cloud answers, and what then stands on the image and in the pool. Each
 * row of the table below is one story; the whole ledger is checked after every step. */
#include "fixture.h"

#include <string.h>

typedef enum {
    END = 0,
    WANT,
    REFRESH,
    REPORT,
    PAUSE,
    RESUME,
    DISABLE,
    DELETE,
    ADD_AGAIN,
    REMOVE, /* the station */
    ADMIT_AGAIN, /* adds the station again */
    SILENCE, /* two minutes pass */
    DAYS, /* n days pass */
    SETTLE,
    SETTLE_FAILS,
    ALLOW, /* n more failures */
    RESTART, /* the station: a new life */
    REOPEN, /* the cloud's process ends and starts again */
} Op;

typedef struct {
    Op op;
    guint32 launch;
    int kind; /* expected answer */
    int code; /* expected code */
    ImpResult result; /* REPORT: what is said; WANT: what is answered with ENDED */
    guint64 number; /* expected number of a grant */
    guint64 life; /* REPORT: start number that it names; 0 = the running one */
    guint32 n;
} Step;

typedef struct {
    const char *name;
    ImageRow image;
    Step steps[16];
    guint64 open, passed, failed, spent, unknown, lost, returned, settled;
    guint64 n_free, n_held, n_used, n_spent;
} Story;

#define POOL       POOL_DECIMAL("sn", 1, 999, "true")
#define POOL_ONCE  POOL_DECIMAL("sn", 1, 999, "false")
#define POOL_SMALL POOL_DECIMAL("sn", 1, 2, "true")
#define IMAGE(n_units)                                                                                       \
    {                                                                                                        \
        .id = 1, .units = n_units, .pool = POOL                                                              \
    }
#define GRANT(l, num)                                                                                        \
    {                                                                                                        \
        WANT, l, IMP_ANSWER_GRANTED, .number = num                                                           \
    }
#define REFUSE(l, c)                                                                                         \
    {                                                                                                        \
        WANT, l, IMP_ANSWER_REFUSED, c                                                                       \
    }
#define WITHDRAW(l, c)                                                                                       \
    {                                                                                                        \
        WANT, l, IMP_ANSWER_WITHDRAWN, c                                                                     \
    }
#define ENDED(l, r)                                                                                          \
    {                                                                                                        \
        WANT, l, IMP_ANSWER_ENDED, IMP_E_LAUNCH_ENDED, r                                                     \
    }
#define FRESH(l)                                                                                             \
    {                                                                                                        \
        REFRESH, l, IMP_ANSWER_FRESH                                                                         \
    }
#define STALE(l, c)                                                                                          \
    {                                                                                                        \
        REFRESH, l, IMP_ANSWER_WITHDRAWN, c                                                                  \
    }
#define SAY(l, r)                                                                                            \
    {                                                                                                        \
        REPORT, l, IMP_ANSWER_CONFIRMED, .result = r                                                         \
    }
#define CONFLICT(l, r)                                                                                       \
    {                                                                                                        \
        REPORT, l, IMP_ANSWER_CONFLICT, .result = r                                                          \
    }

static const Story stories[] = {
    /* — permit */
    {"permit", IMAGE(2), {GRANT(1, 1)}, .open = 1, .n_held = 1},
    {"permit-without-pool", {.id = 1, .units = 2}, {GRANT(1, 0)}, .open = 1},
    {"permit-without-count",
     {.id = 1, .units = -1, .pool = POOL},
     {GRANT(1, 1), GRANT(2, 2)},
     .open = 2,
     .n_held = 2},
    {"count-zero", IMAGE(0), {REFUSE(1, IMP_E_COUNT_USED_UP)}},
    {"count-in-work", IMAGE(1), {GRANT(1, 1), REFUSE(2, IMP_E_COUNT_IN_WORK)}, .open = 1, .n_held = 1},
    {"count-used-up",
     IMAGE(1),
     {GRANT(1, 1), SAY(1, IMP_RESULT_PASSED), REFUSE(2, IMP_E_COUNT_USED_UP)},
     .passed = 1,
     .n_used = 1},
    /* A refusal is not stored: the same launch may be asked again, and then be granted. */
    {"refusal-is-not-stored",
     IMAGE(1),
     {GRANT(1, 1), REFUSE(2, IMP_E_COUNT_IN_WORK), SAY(1, IMP_RESULT_FAILED), GRANT(2, 1)},
     .open = 1,
     .failed = 1,
     .n_held = 1},
    {"paused",
     IMAGE(2),
     {{PAUSE}, REFUSE(1, IMP_E_IMAGE_PAUSED), {RESUME}, GRANT(1, 1)},
     .open = 1,
     .n_held = 1},
    {"disabled", IMAGE(2), {{DISABLE}, REFUSE(1, IMP_E_IMAGE_DISABLED)}},
    {"deleted", IMAGE(2), {{DELETE}, REFUSE(1, IMP_E_IMAGE_DISABLED)}},
    {"station-removed", IMAGE(2), {{REMOVE}, REFUSE(1, IMP_E_STATION_UNKNOWN)}},
    {"too-early",
     {.id = 1, .units = 2, .not_before_s = T0_US / G_USEC_PER_SEC + 86400},
     {REFUSE(1, IMP_E_TOO_EARLY), {DAYS, .n = 1}, GRANT(1, 0)},
     .open = 1},
    {"too-late",
     {.id = 1, .units = 2, .not_after_s = T0_US / G_USEC_PER_SEC + 86400},
     {GRANT(1, 0), {DAYS, .n = 1}, GRANT(2, 0), {DAYS, .n = 1}, REFUSE(3, IMP_E_TOO_LATE)},
     .open = 2},
    {"pool-exhausted",
     {.id = 1, .units = 9, .pool = POOL_SMALL},
     {GRANT(1, 1), GRANT(2, 2), REFUSE(3, IMP_E_POOL_EXHAUSTED)},
     .open = 2,
     .n_held = 2},
    {"pool-exhausted-then-returned",
     {.id = 1, .units = 9, .pool = POOL_SMALL},
     {GRANT(1, 1), GRANT(2, 2), SAY(1, IMP_RESULT_RETURNED), GRANT(3, 1), REFUSE(4, IMP_E_POOL_EXHAUSTED)},
     .open = 2,
     .returned = 1,
     .n_held = 2},
    {"failures-used-up",
     {.id = 1, .units = 9, .max_failures = 2, .pool = POOL},
     {GRANT(1, 1),
      GRANT(2, 2),
      GRANT(3, 3),
      SAY(1, IMP_RESULT_SPENT),
      GRANT(4, 4),
      SAY(2, IMP_RESULT_UNKNOWN),
      REFUSE(5, IMP_E_FAILURES_USED_UP),
      /* what has begun finishes */
      FRESH(3),
      SAY(3, IMP_RESULT_PASSED),
      {ALLOW, .n = 1},
      GRANT(5, 5)},
     .open = 2,
     .passed = 1,
     .spent = 1,
     .unknown = 1,
     .n_held = 2,
     .n_used = 1,
     .n_spent = 2},
    {"failed-is-no-failure",
     {.id = 1, .units = 9, .max_failures = 1, .pool = POOL},
     {GRANT(1, 1), SAY(1, IMP_RESULT_FAILED), GRANT(2, 1), SAY(2, IMP_RESULT_LOST), GRANT(3, 2)},
     .open = 1,
     .failed = 1,
     .lost = 1,
     .n_held = 1,
     .n_spent = 1},
    /* — report returned: a tombstone */
    {"returned-before-asked",
     IMAGE(2),
     {SAY(1, IMP_RESULT_RETURNED), ENDED(1, IMP_RESULT_RETURNED), SAY(1, IMP_RESULT_RETURNED)},
     .returned = 1},
    {"lost-before-asked", IMAGE(2), {SAY(1, IMP_RESULT_LOST), ENDED(1, IMP_RESULT_LOST)}, .lost = 1},
    /* open: permit again */
    {"again", IMAGE(2), {GRANT(1, 1), GRANT(1, 1), GRANT(2, 2), GRANT(1, 1)}, .open = 2, .n_held = 2},
    {"again-while-paused",
     IMAGE(2),
     {GRANT(1, 1), {PAUSE}, WITHDRAW(1, IMP_E_IMAGE_PAUSED), {RESUME}, GRANT(1, 1)},
     .open = 1,
     .n_held = 1},
    {"again-while-disabled",
     IMAGE(2),
     {GRANT(1, 1), {DISABLE}, WITHDRAW(1, IMP_E_IMAGE_DISABLED)},
     .open = 1,
     .n_held = 1},
    {"again-while-deleted",
     IMAGE(2),
     {GRANT(1, 1), {DELETE}, WITHDRAW(1, IMP_E_IMAGE_DISABLED)},
     .open = 1,
     .n_held = 1},
    {"again-in-a-later-life",
     IMAGE(2),
     {GRANT(1, 1), {RESTART}, WITHDRAW(1, IMP_E_WITHDRAWN)},
     .open = 1,
     .n_held = 1},
    /* open: refresh; the state does not change */
    {"refresh", IMAGE(2), {GRANT(1, 1), FRESH(1), FRESH(1)}, .open = 1, .n_held = 1},
    {"refresh-while-paused",
     IMAGE(2),
     {GRANT(1, 1), {PAUSE}, STALE(1, IMP_E_IMAGE_PAUSED), {RESUME}, FRESH(1)},
     .open = 1,
     .n_held = 1},
    {"refresh-unknown", IMAGE(2), {STALE(1, IMP_E_LAUNCH_ENDED)}},
    {"refresh-ended",
     IMAGE(2),
     {GRANT(1, 1), SAY(1, IMP_RESULT_PASSED), STALE(1, IMP_E_LAUNCH_ENDED)},
     .passed = 1,
     .n_used = 1},
    /* open: report */
    {"passed",
     IMAGE(2),
     {GRANT(1, 1), SAY(1, IMP_RESULT_PASSED), GRANT(2, 2)},
     .open = 1,
     .passed = 1,
     .n_held = 1,
     .n_used = 1},
    {"failed",
     IMAGE(2),
     {GRANT(1, 1), SAY(1, IMP_RESULT_FAILED), GRANT(2, 1)},
     .open = 1,
     .failed = 1,
     .n_held = 1},
    {"failed-no-reuse",
     {.id = 1, .units = 2, .pool = POOL_ONCE},
     {GRANT(1, 1), SAY(1, IMP_RESULT_FAILED), GRANT(2, 2)},
     .open = 1,
     .failed = 1,
     .n_held = 1,
     .n_spent = 1},
    /* Rule 10: back only from the same life. */
    {"failed-in-another-life",
     IMAGE(2),
     {GRANT(1, 1), {RESTART}, {REPORT, 1, IMP_ANSWER_CONFIRMED, .result = IMP_RESULT_FAILED}, GRANT(2, 2)},
     .open = 1,
     .failed = 1,
     .n_held = 1,
     .n_spent = 1},
    {"failed-reported-late",
     IMAGE(2),
     {GRANT(1, 1),
      {RESTART},
      {REPORT, 1, IMP_ANSWER_CONFIRMED, .result = IMP_RESULT_FAILED, .life = 1},
      GRANT(2, 1)},
     .open = 1,
     .failed = 1,
     .n_held = 1},
    {"spent",
     IMAGE(1),
     {GRANT(1, 1), SAY(1, IMP_RESULT_SPENT), GRANT(2, 2)},
     .open = 1,
     .spent = 1,
     .n_held = 1,
     .n_spent = 1},
    {"spent-count-on-write",
     {.id = 1, .units = 1, .pool = POOL, .count_on = IMP_LEDGER_COUNT_ON_WRITE},
     {GRANT(1, 1), SAY(1, IMP_RESULT_SPENT), REFUSE(2, IMP_E_COUNT_USED_UP)},
     .spent = 1,
     .n_spent = 1},
    {"unknown",
     IMAGE(1),
     {GRANT(1, 1), SAY(1, IMP_RESULT_UNKNOWN), REFUSE(2, IMP_E_COUNT_USED_UP)},
     .unknown = 1,
     .n_spent = 1},
    {"lost",
     IMAGE(1),
     {GRANT(1, 1), SAY(1, IMP_RESULT_LOST), GRANT(2, 2)},
     .open = 1,
     .lost = 1,
     .n_held = 1,
     .n_spent = 1},
    {"returned",
     IMAGE(1),
     {GRANT(1, 1), SAY(1, IMP_RESULT_RETURNED), GRANT(2, 1)},
     .open = 1,
     .returned = 1,
     .n_held = 1},
    {"returned-lowest-first",
     IMAGE(9),
     {GRANT(1, 1), GRANT(2, 2), GRANT(3, 3), SAY(3, IMP_RESULT_RETURNED), SAY(1, IMP_RESULT_RETURNED),
      GRANT(4, 1), GRANT(5, 3), GRANT(6, 4)},
     .open = 4,
     .returned = 2,
     .n_held = 4},
    {"withdrawn-then-returned",
     IMAGE(1),
     {GRANT(1, 1),
      {PAUSE},
      STALE(1, IMP_E_IMAGE_PAUSED),
      {RESUME},
      REFUSE(2, IMP_E_COUNT_IN_WORK),
      SAY(1, IMP_RESULT_RETURNED),
      GRANT(2, 1)},
     .open = 1,
     .returned = 1,
     .n_held = 1},
    /* ended */
    {"ended-same-report",
     IMAGE(2),
     {GRANT(1, 1), SAY(1, IMP_RESULT_PASSED), SAY(1, IMP_RESULT_PASSED)},
     .passed = 1,
     .n_used = 1},
    {"ended-permit",
     IMAGE(2),
     {GRANT(1, 1), SAY(1, IMP_RESULT_PASSED), ENDED(1, IMP_RESULT_PASSED)},
     .passed = 1,
     .n_used = 1},
    {"ended-other-report",
     IMAGE(2),
     {GRANT(1, 1), SAY(1, IMP_RESULT_FAILED), CONFLICT(1, IMP_RESULT_PASSED), CONFLICT(1, IMP_RESULT_PASSED),
      SAY(1, IMP_RESULT_FAILED)},
     .failed = 1,
     .n_free = 1},
    /* The owner settles. */
    {"settle",
     IMAGE(1),
     {GRANT(1, 1),
      REFUSE(2, IMP_E_COUNT_IN_WORK),
      {SILENCE},
      {SETTLE, 1},
      GRANT(2, 2),
      REFUSE(3, IMP_E_COUNT_IN_WORK)},
     .open = 2,
     .settled = 1,
     .n_held = 1,
     .n_spent = 1},
    {"settle-needs-silence", IMAGE(1), {GRANT(1, 1), {SETTLE_FAILS, 1}}, .open = 1, .n_held = 1},
    {"settle-once",
     IMAGE(1),
     {GRANT(1, 1), {SILENCE}, {SETTLE, 1}, {SETTLE_FAILS, 1}},
     .open = 1,
     .settled = 1,
     .n_spent = 1},
    {"settle-ended",
     IMAGE(1),
     {GRANT(1, 1), SAY(1, IMP_RESULT_PASSED), {SILENCE}, {SETTLE_FAILS, 1}},
     .passed = 1,
     .n_used = 1},
    {"settled-then-passed",
     IMAGE(1),
     {GRANT(1, 1),
      {SILENCE},
      {SETTLE, 1},
      GRANT(2, 2),
      SAY(2, IMP_RESULT_PASSED),
      SAY(1, IMP_RESULT_PASSED),
      REFUSE(3, IMP_E_COUNT_USED_UP)},
     .passed = 2,
     .settled = 1,
     .n_used = 2},
    {"settled-then-failed",
     IMAGE(1),
     {GRANT(1, 1), {SILENCE}, {SETTLE, 1}, SAY(1, IMP_RESULT_FAILED), GRANT(2, 2)},
     .open = 1,
     .failed = 1,
     .settled = 1,
     .n_held = 1,
     .n_spent = 1},
    {"settled-then-returned",
     IMAGE(1),
     {GRANT(1, 1), {SILENCE}, {SETTLE, 1}, SAY(1, IMP_RESULT_RETURNED), GRANT(2, 2)},
     .open = 1,
     .returned = 1,
     .settled = 1,
     .n_held = 1,
     .n_spent = 1},
    {"settled-again-asked",
     IMAGE(1),
     {GRANT(1, 1), {SILENCE}, {SETTLE, 1}, GRANT(1, 1)},
     .open = 1,
     .settled = 1,
     .n_spent = 1},
    /* any: timer, pause, removal, deletion, restart of the server: nothing */
    {"nothing-changes",
     IMAGE(2),
     {GRANT(1, 1), {PAUSE}, {REOPEN}, {DELETE}, {DAYS, .n = 400}, {REMOVE}, {REOPEN}},
     .open = 1,
     .n_held = 1},
    /* Reports are accepted for ever. */
    {"report-after-everything",
     IMAGE(2),
     {GRANT(1, 1),
      {DELETE},
      {REMOVE},
      {DAYS, .n = 4000},
      SAY(1, IMP_RESULT_PASSED),
      SAY(1, IMP_RESULT_PASSED)},
     .passed = 1,
     .n_used = 1},
    {"removed-station-reports-no-more",
     IMAGE(2),
     {{REMOVE}, {REPORT, 1, IMP_ANSWER_REFUSED, IMP_E_STATION_UNKNOWN, IMP_RESULT_PASSED}}},
    {"removed-station-comes-back",
     IMAGE(2),
     {GRANT(1, 1), {REMOVE}, REFUSE(2, IMP_E_STATION_UNKNOWN), {ADMIT_AGAIN}, GRANT(2, 2)},
     .open = 2,
     .n_held = 2},
    /* Rule 6: counts outlive the image. */
    {"deleted-and-added-again",
     IMAGE(1),
     {GRANT(1, 1), SAY(1, IMP_RESULT_PASSED), {DELETE}, {ADD_AGAIN}, REFUSE(2, IMP_E_COUNT_USED_UP)},
     .passed = 1,
     .n_used = 1},
    /* A launch that was never permitted (the cloud was restored): its numbers are never given again. */
    {"never-permitted",
     IMAGE(9),
     {SAY(1, IMP_RESULT_PASSED), GRANT(2, 1)},
     .open = 1,
     .passed = 1,
     .n_held = 1},
};

/* ---- running a story ---- */

typedef struct {
    World world;
    char *folder, *path;
    ImpLedger *cloud;
    const Story *story;
    guint64 life;
} Run;

static void hello(Run *run)
{
    guint32 nonce = 1000 + (guint32)run->life;
    g_autoptr(ImpSyncResponse) response = say_hello(run->cloud, 7, run->life, nonce, 1000);
    g_assert_cmpint(response->welcome, ==, IMP_WELCOME_YES);
}

static void check_answer(const Step *step, const ImpAnswer *answer)
{
    g_assert_cmpint(answer->kind, ==, step->kind);
    g_assert_cmpint(answer->code, ==, step->code);
    if (answer->kind == IMP_ANSWER_ENDED)
        g_assert_cmpint(answer->result, ==, step->result);
    if (answer->kind != IMP_ANSWER_GRANTED) {
        g_assert_cmpuint(answer->n_numbers, ==, 0);
        return;
    }
    g_assert_cmpuint(answer->n_numbers, ==, step->number != 0);
    g_assert_cmpuint(answer->numbers[0].number, ==, step->number);
}

static void settle(Run *run, const Step *step)
{
    g_autoptr(GError) error = NULL;
    ImpId station = id_of(7), launch = id_of(step->launch);
    gboolean settled = imp_ledger_settle(run->cloud, &station, &launch, &owner, &error);
    g_assert_cmpint(settled, ==, step->op == SETTLE);
    if (!settled)
        g_assert_error(error, IMP_ERROR, IMP_E_STATE);
}

static ImpReport report_with_numbers(Run *run, const Step *step)
{
    ImpReport report = report_of(step->launch, 1, step->result);
    report.start_number = step->life != 0 ? step->life : run->life;
    report.seq = step->launch;
    /* What was given to it, as its journal knows. */
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) open = imp_ledger_open_launches(run->cloud, NULL, &error);
    for (guint i = 0; i < open->len; i++) {
        const ImpLedgerOpen *launch = &g_array_index(open, ImpLedgerOpen, i);
        if (!imp_id_equal(&launch->launch, &report.launch))
            continue;
        report.n_numbers = launch->n_numbers;
        memcpy(report.numbers, launch->numbers, sizeof report.numbers);
    }
    ImpLedgerLogQuery query = {.has_launch = TRUE, .launch = report.launch, .limit = 1};
    g_autoptr(GArray) before = imp_ledger_log(run->cloud, &query, &error);
    if (before->len > 0) {
        const ImpReport *stands = &g_array_index(before, ImpLedgerLogEntry, 0).report;
        report.n_numbers = stands->n_numbers;
        memcpy(report.numbers, stands->numbers, sizeof report.numbers);
    }
    return report;
}

static void reopen(Run *run)
{
    imp_ledger_close(run->cloud);
    run->cloud = ledger_open(&run->world, run->path, IMP_LEDGER_CLOUD, IMP_LEDGER_FORGETFUL);
}

static void act(Run *run, const Step *step)
{
    g_autoptr(GError) error = NULL;
    ImpId image = id_of(1), station = id_of(7);
    gboolean ok = TRUE;
    switch (step->op) {
    case PAUSE:
        image_state(run->cloud, 1, IMP_LEDGER_PAUSED);
        break;
    case RESUME:
        image_state(run->cloud, 1, IMP_LEDGER_ACTIVE);
        break;
    case DISABLE:
        image_state(run->cloud, 1, IMP_LEDGER_DISABLED);
        break;
    case DELETE:
        ok = imp_ledger_image_delete(run->cloud, &image, &owner, NULL, &error);
        break;
    case ADD_AGAIN:
        image_must_add(run->cloud, &run->story->image);
        break;
    case REMOVE:
        ok = imp_ledger_station_remove(run->cloud, &station, &owner, NULL, &error);
        break;
    case ADMIT_AGAIN:
        station_add(run->cloud, 7, "");
        break;
    case SILENCE:
        world_pass(&run->world, 2 * 60 * G_USEC_PER_SEC);
        break;
    case DAYS:
        world_pass(&run->world, (gint64)step->n * 86400 * G_USEC_PER_SEC);
        break;
    case ALLOW:
        ok = imp_ledger_image_allow_failures(run->cloud, &image, step->n, &owner, &error);
        break;
    case RESTART:
        run->life++;
        hello(run);
        break;
    case REOPEN:
        reopen(run);
        break;
    case SETTLE:
    case SETTLE_FAILS:
        settle(run, step);
        break;
    case END:
    case WANT:
    case REFRESH:
    case REPORT:
        g_assert_not_reached();
    }
    g_assert_no_error(error);
    g_assert_true(ok);
}

static void do_step(Run *run, const Step *step, guint64 ask)
{
    if (step->op == WANT) {
        ImpWant want = want_of(step->launch, 1, ask);
        ImpAnswer answer = say_want(run->cloud, 7, run->life, &want);
        g_assert_cmpuint(answer.ask, ==, ask);
        check_answer(step, &answer);
    } else if (step->op == REFRESH) {
        ImpAnswer answer = say_refresh(run->cloud, 7, run->life, step->launch, ask);
        g_assert_cmpuint(answer.ask, ==, ask);
        check_answer(step, &answer);
    } else if (step->op == REPORT) {
        ImpReport report = report_with_numbers(run, step);
        ImpAnswer answer = say_report(run->cloud, 7, run->life, &report);
        check_answer(step, &answer);
    } else {
        act(run, step);
    }
    ledger_check(run->cloud);
}

static void check_end(const Run *run)
{
    const Story *story = run->story;
    ImpLedgerImageStatus status = image_get(run->cloud, 1);
    g_assert_cmpuint(status.open, ==, story->open);
    g_assert_cmpuint(status.passed, ==, story->passed);
    g_assert_cmpuint(status.failed, ==, story->failed);
    g_assert_cmpuint(status.spent, ==, story->spent);
    g_assert_cmpuint(status.unknown, ==, story->unknown);
    g_assert_cmpuint(status.lost, ==, story->lost);
    g_assert_cmpuint(status.returned, ==, story->returned);
    g_assert_cmpuint(status.settled, ==, story->settled);
    if (story->image.pool == NULL)
        return;
    g_autoptr(GError) error = NULL;
    ImpLedgerPoolStatus pool;
    g_assert_true(imp_ledger_pool_get(run->cloud, "", "sn", &pool, &error));
    g_assert_cmpuint(pool.free, ==, story->n_free);
    g_assert_cmpuint(pool.held, ==, story->n_held);
    g_assert_cmpuint(pool.used, ==, story->n_used);
    g_assert_cmpuint(pool.spent, ==, story->n_spent);
}

static void test_story(gconstpointer data)
{
    Run run = {.story = data, .life = 1};
    world_init(&run.world, 3);
    run.folder = folder_make();
    run.path = g_build_filename(run.folder, "ledger.db", NULL);
    run.cloud = ledger_open(&run.world, run.path, IMP_LEDGER_CLOUD, IMP_LEDGER_FORGETFUL);
    station_add(run.cloud, 7, "");
    image_must_add(run.cloud, &run.story->image);
    hello(&run);
    for (guint i = 0; i < G_N_ELEMENTS(run.story->steps) && run.story->steps[i].op != END; i++)
        do_step(&run, &run.story->steps[i], 100 + i);
    check_end(&run);
    imp_ledger_close(run.cloud);
    folder_remove(run.folder);
    g_free(run.path);
}

/* ---- what a table of one station and one image cannot say ---- */

typedef struct {
    World world;
    ImpLedger *cloud;
} Cloud;

static void cloud_open(Cloud *c)
{
    world_init(&c->world, 5);
    c->cloud = ledger_open(&c->world, ":memory:", IMP_LEDGER_CLOUD, IMP_LEDGER_FORGETFUL);
}

static void cloud_close(Cloud *c)
{
    ledger_check(c->cloud);
    imp_ledger_close(c->cloud);
}

static void welcome(Cloud *c, guint32 station, const char *scope)
{
    station_add(c->cloud, station, scope);
    g_autoptr(ImpSyncResponse) response = say_hello(c->cloud, station, 1, station, 0);
    g_assert_cmpint(response->welcome, ==, IMP_WELCOME_YES);
}

static void test_scope(void)
{
    Cloud c;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = 5, .scope = "north"});
    welcome(&c, 7, "north");
    welcome(&c, 8, "south");
    ImpWant want = want_of(1, 1, 1);
    ImpAnswer answer = say_want(c.cloud, 8, 1, &want);
    g_assert_cmpint(answer.kind, ==, IMP_ANSWER_REFUSED);
    g_assert_cmpint(answer.code, ==, IMP_E_IMAGE_NOT_RELEASED);
    /* The key is station and launch: the other station's refusal says nothing about this one. */
    answer = say_want(c.cloud, 7, 1, &want);
    g_assert_cmpint(answer.kind, ==, IMP_ANSWER_GRANTED);
    /* Moved to another factory: what it holds is withdrawn. */
    station_add(c.cloud, 7, "south");
    answer = say_refresh(c.cloud, 7, 1, 1, 2);
    g_assert_cmpint(answer.kind, ==, IMP_ANSWER_WITHDRAWN);
    g_assert_cmpint(answer.code, ==, IMP_E_IMAGE_NOT_RELEASED);
    cloud_close(&c);
}

static void test_unknown_image(void)
{
    Cloud c;
    cloud_open(&c);
    welcome(&c, 7, "");
    ImpWant want = want_of(1, 99, 1);
    ImpAnswer answer = say_want(c.cloud, 7, 1, &want);
    g_assert_cmpint(answer.code, ==, IMP_E_IMAGE_UNKNOWN);
    cloud_close(&c);
}

/* Rule 4: the same launch ID with other content is refused and raises an alarm, once. */
static void test_launch_differs(void)
{
    Cloud c;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = 5});
    image_must_add(c.cloud, &(ImageRow){.id = 2, .units = 5});
    welcome(&c, 7, "");
    ImpWant want = want_of(1, 1, 1);
    g_assert_cmpint(say_want(c.cloud, 7, 1, &want).kind, ==, IMP_ANSWER_GRANTED);
    ImpWant others[] = {want, want, want};
    others[0].image = id_of(2);
    g_strlcpy(others[1].port, "A2", sizeof others[1].port);
    g_strlcpy(others[2].order, "other", sizeof others[2].order);
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        ImpAnswer answer = say_want(c.cloud, 7, 1, &others[i]);
        g_assert_cmpint(answer.kind, ==, IMP_ANSWER_REFUSED);
        g_assert_cmpint(answer.code, ==, IMP_E_LAUNCH_DIFFERS);
    }
    g_assert_cmpuint(alarms_of(c.cloud, IMP_ALARM_LAUNCH_DIFFERS), ==, 1);
    g_assert_cmpuint(image_get(c.cloud, 1).open, ==, 1);
    g_assert_cmpuint(image_get(c.cloud, 2).open, ==, 0);
    /* As it was asked for first, it is still granted. */
    g_assert_cmpint(say_want(c.cloud, 7, 1, &want).kind, ==, IMP_ANSWER_GRANTED);
    cloud_close(&c);
}

/* Launch IDs are keyed by station: the same ID of another one is another launch. */
static void test_two_stations_one_id(void)
{
    Cloud c;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = 2, .pool = POOL});
    welcome(&c, 7, "");
    welcome(&c, 8, "");
    ImpWant want = want_of(1, 1, 1);
    ImpAnswer first = say_want(c.cloud, 7, 1, &want), second = say_want(c.cloud, 8, 1, &want);
    g_assert_cmpuint(first.numbers[0].number, ==, 1);
    g_assert_cmpuint(second.numbers[0].number, ==, 2);
    ImpReport report = report_of(1, 1, IMP_RESULT_PASSED);
    report.n_numbers = 1;
    report.numbers[0] = second.numbers[0];
    g_assert_cmpint(say_report(c.cloud, 8, 1, &report).kind, ==, IMP_ANSWER_CONFIRMED);
    g_assert_cmpuint(image_get(c.cloud, 1).open, ==, 1);
    cloud_close(&c);
}

/* Two images share a pool; another definition of it is refused, and nothing of that image stays. */
static void test_shared_pool(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = -1, .pool = POOL});
    image_must_add(c.cloud, &(ImageRow){.id = 2, .units = -1, .pool = POOL});
    g_assert_false(image_add(c.cloud, &(ImageRow){.id = 3, .units = -1, .pool = POOL_SMALL}, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_POOL_DIFFERS);
    ImpLedgerImageStatus status;
    ImpId third = id_of(3);
    g_clear_error(&error);
    g_assert_false(imp_ledger_image_get(c.cloud, &third, &status, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_IMAGE_UNKNOWN);
    welcome(&c, 7, "");
    for (guint32 i = 1; i <= 10; i++) {
        ImpWant want = want_of(i, 1 + i % 2, i);
        g_assert_cmpuint(say_want(c.cloud, 7, 1, &want).numbers[0].number, ==, i);
    }
    cloud_close(&c);
}

/* The same image again changes nothing; with other content it is refused. */
static void test_add_again(void)
{
    static const ImageRow row = {.id = 1, .units = 5, .max_failures = 3, .pool = POOL};
    Cloud c;
    cloud_open(&c);
    image_must_add(c.cloud, &row);
    image_must_add(c.cloud, &row);
    ImageRow others[] = {row, row, row, row, row, row};
    others[0].units = 6;
    others[1].units = -1;
    others[2].max_failures = 4;
    others[3].pool = NULL;
    others[4].scope = "elsewhere";
    others[5].not_after_s = 5;
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(image_add(c.cloud, &others[i], &error));
        g_assert_error(error, IMP_ERROR, IMP_E_EXISTS);
    }
    g_assert_cmpuint(image_get(c.cloud, 1).limits.units, ==, 5);
    cloud_close(&c);
}

static void test_disabled_for_ever(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    ImpId image = id_of(1);
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = 5});
    image_state(c.cloud, 1, IMP_LEDGER_DISABLED);
    g_assert_false(imp_ledger_image_set_state(c.cloud, &image, IMP_LEDGER_ACTIVE, &owner, NULL, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_STATE);
    cloud_close(&c);
}

/* Rule 5: confirmed with the time from which it is in force, and the number of launches in work. */
static void test_effect(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    ImpLedgerEffect effect;
    ImpId image = id_of(1);
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = 5});
    welcome(&c, 7, "");
    ImpWant want = want_of(1, 1, 1);
    (void)say_want(c.cloud, 7, 1, &want);
    g_assert_true(imp_ledger_image_set_state(c.cloud, &image, IMP_LEDGER_PAUSED, &owner, &effect, &error));
    g_assert_cmpint(effect.in_force_us, ==, c.world.real_us + 5 * G_USEC_PER_SEC);
    g_assert_cmpuint(effect.open, ==, 1);
    cloud_close(&c);
}

/* A conflict is kept beside the record, in the log and as an alarm; the numbers that a report names are compared. */
static void test_conflict(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = 5, .pool = POOL});
    welcome(&c, 7, "");
    ImpWant want = want_of(1, 1, 1);
    ImpAnswer granted = say_want(c.cloud, 7, 1, &want);
    ImpReport report = report_of(1, 1, IMP_RESULT_PASSED);
    report.n_numbers = 1;
    report.numbers[0] = granted.numbers[0];
    report.numbers[0].number = 500;
    g_assert_cmpint(say_report(c.cloud, 7, 1, &report).kind, ==, IMP_ANSWER_CONFIRMED);
    g_assert_cmpuint(alarms_of(c.cloud, IMP_ALARM_NUMBERS_DIFFER), ==, 1);
    report.result = IMP_RESULT_SPENT;
    for (int i = 0; i < 3; i++)
        g_assert_cmpint(say_report(c.cloud, 7, 1, &report).kind, ==, IMP_ANSWER_CONFLICT);
    report.n_uid = 2;
    g_assert_cmpint(say_report(c.cloud, 7, 1, &report).kind, ==, IMP_ANSWER_CONFLICT);
    ImpLedgerLogQuery query = {.limit = 10};
    g_autoptr(GArray) log = imp_ledger_log(c.cloud, &query, &error);
    g_assert_cmpuint(log->len, ==, 3); /* each different one once */
    g_assert_false(g_array_index(log, ImpLedgerLogEntry, 0).conflict);
    g_assert_true(g_array_index(log, ImpLedgerLogEntry, 1).conflict);
    g_assert_cmpuint(alarms_of(c.cloud, IMP_ALARM_REPORT_CONFLICT), ==, 1);
    imp_ledger_close(c.cloud); /* the forged number is not in its pool's rows: not checked */
}

/* Another account's images, pools and log are not a station's business. */
static void test_accounts(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    cloud_open(&c);
    for (guint32 i = 1; i <= 2; i++) {
        ImpLedgerImage image = {.rework = IMP_LEDGER_REWORK_NEW,
                                .id = id_of(i),
                                .name = "x",
                                .n_pools = 1,
                                .pools = {POOL},
                                .limits = {.count_on = IMP_LEDGER_COUNT_ON_PASS}};
        ImpLedgerStation station = {.id = id_of(6 + i), .name = "s"};
        g_snprintf(image.account, sizeof image.account, "account-%u", i);
        g_snprintf(station.account, sizeof station.account, "account-%u", i);
        g_assert_true(imp_ledger_image_add(c.cloud, &image, &owner, &error));
        g_assert_true(imp_ledger_station_add(c.cloud, &station, &owner, &error));
        imp_sync_response_free(say_hello(c.cloud, 6 + i, 1, i, 0));
    }
    ImpWant want = want_of(1, 1, 1);
    g_assert_cmpuint(say_want(c.cloud, 7, 1, &want).numbers[0].number, ==, 1);
    want.image = id_of(2);
    want.launch = id_of(2);
    ImpAnswer answer = say_want(c.cloud, 7, 1, &want);
    g_assert_cmpint(answer.code, ==, IMP_E_IMAGE_UNKNOWN);
    /* Each account's pool has its own sequence. */
    g_assert_cmpuint(say_want(c.cloud, 8, 1, &want).numbers[0].number, ==, 1);
    /* A forged report does not reach the other account's counts or log. */
    ImpReport report = report_of(3, 2, IMP_RESULT_PASSED);
    (void)say_report(c.cloud, 7, 1, &report);
    g_assert_cmpuint(image_get(c.cloud, 2).passed, ==, 0);
    ImpLedgerLogQuery query = {.has_image = TRUE, .image = id_of(2), .limit = 10};
    g_autoptr(GArray) log = imp_ledger_log(c.cloud, &query, &error);
    g_assert_cmpuint(log->len, ==, 0);
    g_assert_cmpuint(alarms_of(c.cloud, IMP_ALARM_NOT_ASKED), ==, 1);
    /* A station cannot be taken over by another account. */
    ImpLedgerStation station = {.id = id_of(7), .account = "account-2", .name = "s"};
    g_assert_false(imp_ledger_station_add(c.cloud, &station, &owner, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_EXISTS);
    cloud_close(&c);
}

/* A launch that only compared is a record and nothing else: no permit is missed, nothing is counted, no chip comes again. */
static void test_comparison(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = 9, .pool = POOL});
    welcome(&c, 7, "");
    ImpWant want = want_of(1, 1, 1);
    ImpAnswer granted = say_want(c.cloud, 7, 1, &want);
    g_assert_cmpint(granted.kind, ==, IMP_ANSWER_GRANTED);
    ImpReport passed = report_of(1, 1, IMP_RESULT_PASSED);
    passed.n_numbers = granted.n_numbers;
    passed.numbers[0] = granted.numbers[0];
    g_assert_cmpint(say_report(c.cloud, 7, 1, &passed).kind, ==, IMP_ANSWER_CONFIRMED);

    ImpReport verified = report_of(2, 1, IMP_RESULT_VERIFIED);
    verified.seq = verified.code = 0;
    memcpy(verified.uid, passed.uid, sizeof verified.uid);
    verified.n_uid = passed.n_uid;
    verified.n_numbers = 1; /* a lie: it has none */
    verified.numbers[0] = granted_of(&want, 5).numbers[0];
    for (guint i = 0; i < 2; i++, verified.n_numbers = 0)
        g_assert_cmpint(say_report(c.cloud, 7, 1, &verified).kind, ==, IMP_ANSWER_CONFIRMED);
    ImpReport other = verified;
    other.result = IMP_RESULT_UNVERIFIED;
    g_assert_cmpint(say_report(c.cloud, 7, 1, &other).kind, ==, IMP_ANSWER_CONFLICT);
    g_assert_cmpuint(alarms_of(c.cloud, IMP_ALARM_NOT_ASKED), ==, 0);
    ImpLedgerImageStatus image = image_get(c.cloud, 1);
    g_assert_cmpuint(image.open + image.failed + image.spent + image.unknown + image.lost + image.returned,
                     ==, 0);
    g_assert_cmpuint(image.passed, ==, 1);
    ImpLedgerLogQuery query = {.has_result = TRUE, .result = IMP_RESULT_VERIFIED, .limit = 10};
    g_autoptr(GArray) log = imp_ledger_log(c.cloud, &query, &error);
    g_assert_cmpuint(log->len, ==, 1);
    g_assert_false(g_array_index(log, ImpLedgerLogEntry, 0).rework);
    g_assert_cmpuint(g_array_index(log, ImpLedgerLogEntry, 0).report.n_numbers, ==, 0);

    /* Its launch ID is used up; and a launch with a permit does not get out of it so. */
    ImpWant again = want_of(2, 1, 2);
    g_assert_cmpint(say_want(c.cloud, 7, 1, &again).kind, ==, IMP_ANSWER_ENDED);
    ImpWant open = want_of(3, 1, 3);
    g_assert_cmpuint(say_want(c.cloud, 7, 1, &open).numbers[0].number, ==, 2);
    ImpReport false_one = report_of(3, 1, IMP_RESULT_VERIFIED);
    g_assert_cmpint(say_report(c.cloud, 7, 1, &false_one).code, ==, IMP_E_LAUNCH_DIFFERS);
    g_assert_cmpuint(alarms_of(c.cloud, IMP_ALARM_LAUNCH_DIFFERS), ==, 1);
    g_assert_cmpuint(image_get(c.cloud, 1).open, ==, 1);
    cloud_close(&c);
}

/* Numbers of a launch that this cloud does not know (it was restored) are taken out of the pool. */
static void test_claimed_numbers(void)
{
    Cloud c;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = 9, .pool = POOL});
    welcome(&c, 7, "");
    ImpReport report = report_of(50, 1, IMP_RESULT_PASSED);
    ImpWant made = want_of(50, 1, 1);
    report.n_numbers = 1;
    report.numbers[0] = granted_of(&made, 4).numbers[0];
    g_assert_cmpint(say_report(c.cloud, 7, 1, &report).kind, ==, IMP_ANSWER_CONFIRMED);
    ImpWant want = want_of(1, 1, 1);
    g_assert_cmpuint(say_want(c.cloud, 7, 1, &want).numbers[0].number, ==, 5);
    g_assert_cmpuint(image_get(c.cloud, 1).passed, ==, 1);
    cloud_close(&c);
}

static void test_several_pools(void)
{
    static const char other[] =
        "{\"first\":10,\"format\":{\"binary\":2,\"order\":\"big\"},\"id\":\"mac\",\"last\":11,"
        "\"reuse\":true,\"step\":1}";
    Cloud c;
    g_autoptr(GError) error = NULL;
    cloud_open(&c);
    ImpLedgerImage image = {.rework = IMP_LEDGER_REWORK_NEW,
                            .id = id_of(1),
                            .name = "x",
                            .n_pools = 2,
                            .pools = {POOL, other},
                            .limits = {.count_on = IMP_LEDGER_COUNT_ON_PASS}};
    g_assert_true(imp_ledger_image_add(c.cloud, &image, &owner, &error));
    image_must_add(c.cloud, &(ImageRow){.id = 2, .units = -1, .pool = POOL});
    welcome(&c, 7, "");
    for (guint32 i = 1; i <= 2; i++) {
        ImpWant want = want_of(i, 1, i);
        ImpAnswer answer = say_want(c.cloud, 7, 1, &want);
        g_assert_cmpuint(answer.n_numbers, ==, 2);
        g_assert_cmpuint(answer.numbers[0].number, ==, i);
        g_assert_cmpuint(answer.numbers[1].number, ==, 9 + i);
    }
    /* From all its pools or from none: the first pool gives nothing when the second is exhausted. */
    ImpWant want = want_of(3, 1, 3);
    g_assert_cmpint(say_want(c.cloud, 7, 1, &want).code, ==, IMP_E_POOL_EXHAUSTED);
    want = want_of(4, 2, 4);
    g_assert_cmpuint(say_want(c.cloud, 7, 1, &want).numbers[0].number, ==, 3);
    cloud_close(&c);
}

static void test_set_next(void)
{
    Cloud c;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = -1, .pool = POOL_DECIMAL("sn", 1, 12, "true")});
    welcome(&c, 7, "");
    ImpWant want = want_of(1, 1, 1);
    (void)say_want(c.cloud, 7, 1, &want);
    static const struct {
        guint64 next;
        int code;
    } rows[] = {{10, 0}, {9, IMP_E_STATE}, {10, 0}, {0, IMP_E_ARGUMENT}, {14, IMP_E_ARGUMENT},
                {13, 0}, {12, IMP_E_STATE}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        gboolean done = imp_ledger_pool_set_next(c.cloud, "", "sn", rows[i].next, &owner, &error);
        g_assert_cmpint(done, ==, rows[i].code == 0);
        if (!done)
            g_assert_error(error, IMP_ERROR, rows[i].code);
    }
    want = want_of(2, 1, 2);
    g_assert_cmpint(say_want(c.cloud, 7, 1, &want).code, ==, IMP_E_POOL_EXHAUSTED);
    g_autoptr(GError) error = NULL;
    ImpAct hasty = {"owner", ""};
    g_assert_false(imp_ledger_pool_set_next(c.cloud, "", "sn", 13, &hasty, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    cloud_close(&c);
}

/* Permits, numbers that come back and splits in any order, inside and outside of batches: no number goes two ways. */
static void test_split(void)
{
    Cloud c;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = -1, .pool = POOL_DECIMAL("sn", 1, 400, "true")});
    welcome(&c, 7, "");
    guint8 seen[401] = {0};
    guint32 launch = 0;
    guint64 split = 0;
    for (guint step = 0; step < 300; step++) {
        g_autoptr(GError) error = NULL;
        gboolean batch = world_random(&c.world, 2) == 0;
        if (batch)
            g_assert_true(imp_ledger_begin(c.cloud, &error));
        guint64 kind = world_random(&c.world, 3), first = 0, last = 0, count = 1 + world_random(&c.world, 5);
        if (kind == 0 && imp_ledger_pool_split(c.cloud, "", "sn", count, &owner, &first, &last, &error)) {
            g_assert_cmpuint(last - first + 1, ==, count);
            split += count;
            for (guint64 n = first; n <= last; n++)
                g_assert_cmpuint(seen[n]++, ==, 0);
        } else if (kind != 0) {
            launch++;
            ImpWant want = want_of(launch, 1, launch);
            ImpAnswer answer = say_want(c.cloud, 7, 1, &want);
            gboolean given_back = answer.kind == IMP_ANSWER_GRANTED && kind == 1;
            if (answer.kind == IMP_ANSWER_GRANTED)
                g_assert_cmpuint(seen[answer.numbers[0].number]++, ==, 0);
            if (given_back) {
                ImpReport report = report_of(launch, 1, IMP_RESULT_FAILED);
                report.numbers[0] = answer.numbers[0];
                report.n_numbers = 1;
                report.seq = launch;
                g_assert_cmpint(say_report(c.cloud, 7, 1, &report).kind, ==, IMP_ANSWER_CONFIRMED);
                seen[answer.numbers[0].number]--;
            }
        }
        if (batch)
            g_assert_true(imp_ledger_commit(c.cloud, &error));
    }
    g_assert_cmpuint(split, >, 50);
    ImpLedgerPoolStatus status;
    g_autoptr(GError) error = NULL;
    g_assert_true(imp_ledger_pool_get(c.cloud, "", "sn", &status, &error));
    g_assert_cmpuint(status.used + status.held + status.spent + status.free + split, ==, status.next - 1);
    cloud_close(&c);
}

static void test_split_limits(void)
{
    static const char *const pool =
        "{\"first\":10,\"format\":{\"decimal\":6},\"id\":\"sn\",\"last\":65,\"reuse\":true,\"step\":10}";
    static const struct {
        guint64 count, first, last;
        int code;
    } rows[] = {
        {7, 0, 0, IMP_E_POOL_EXHAUSTED}, /* 10 to 60: six */
        {0, 0, 0, IMP_E_ARGUMENT},
        {2, 10, 20, 0},
        {G_MAXINT64, 0, 0, IMP_E_POOL_EXHAUSTED},
        {4, 30, 60, 0}, /* to the end */
        {1, 0, 0, IMP_E_POOL_EXHAUSTED},
    };
    Cloud c;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = -1, .pool = pool});
    welcome(&c, 7, "");
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        guint64 first = 0, last = 0;
        gboolean done =
            imp_ledger_pool_split(c.cloud, "", "sn", rows[i].count, &owner, &first, &last, &error);
        g_assert_cmpint(done, ==, rows[i].code == 0);
        if (!done)
            g_assert_error(error, IMP_ERROR, rows[i].code);
        g_assert_cmpuint(first, ==, rows[i].first);
        g_assert_cmpuint(last, ==, rows[i].last);
    }
    ImpWant want = want_of(1, 1, 1);
    g_assert_cmpint(say_want(c.cloud, 7, 1, &want).code, ==, IMP_E_POOL_EXHAUSTED);
    g_autoptr(GError) error = NULL;
    guint64 first, last;
    g_assert_false(imp_ledger_pool_split(c.cloud, "", "other", 1, &owner, &first, &last, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_NOT_FOUND);
    g_clear_error(&error);
    ImpAct hasty = {"owner", ""};
    g_assert_false(imp_ledger_pool_split(c.cloud, "", "sn", 1, &hasty, &first, &last, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    g_clear_error(&error);
    g_autoptr(GArray) audit = imp_ledger_audit(c.cloud, 0, 100, &error);
    guint n = 0;
    static const char *const subjects[] = {"sn 10 to 20", "sn 30 to 60"};
    for (guint i = 0; i < audit->len; i++) {
        const ImpLedgerAudit *row = &g_array_index(audit, ImpLedgerAudit, i);
        if (strcmp(row->action, "pool-split") == 0)
            g_assert_cmpstr(row->subject, ==, subjects[n++]);
    }
    g_assert_cmpuint(n, ==, 2);
    cloud_close(&c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(stories); i++) {
        g_autofree char *path = g_strdup_printf("/ledger/authority/table/%s", stories[i].name);
        g_test_add_data_func(path, &stories[i], test_story);
    }
    g_test_add_func("/ledger/authority/scope", test_scope);
    g_test_add_func("/ledger/authority/unknown-image", test_unknown_image);
    g_test_add_func("/ledger/authority/launch-differs", test_launch_differs);
    g_test_add_func("/ledger/authority/two-stations-one-id", test_two_stations_one_id);
    g_test_add_func("/ledger/authority/shared-pool", test_shared_pool);
    g_test_add_func("/ledger/authority/add-again", test_add_again);
    g_test_add_func("/ledger/authority/disabled-for-ever", test_disabled_for_ever);
    g_test_add_func("/ledger/authority/effect", test_effect);
    g_test_add_func("/ledger/authority/conflict", test_conflict);
    g_test_add_func("/ledger/authority/accounts", test_accounts);
    g_test_add_func("/ledger/cloud/comparison", test_comparison);
    g_test_add_func("/ledger/authority/claimed-numbers", test_claimed_numbers);
    g_test_add_func("/ledger/authority/several-pools", test_several_pools);
    g_test_add_func("/ledger/authority/set-next", test_set_next);
    g_test_add_func("/ledger/authority/split", test_split);
    g_test_add_func("/ledger/authority/split-limits", test_split_limits);
    return g_test_run();
}
