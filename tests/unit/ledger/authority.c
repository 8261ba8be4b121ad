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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(stories); i++) {
        g_autofree char *path = g_strdup_printf("/ledger/authority/table/%s", stories[i].name);
        g_test_add_data_func(path, &stories[i], test_story);
    }
    return g_test_run();
}
