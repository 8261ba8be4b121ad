/* A chip that comes again: what the authority answers to identify, at the cloud and at a station, and what becomes of numbers
 * and counts. Rows of stories; the ledger is checked after every step. */
#include "fixture.h"

#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>

#include "ledger/schema.h"

/* ---- stories at the cloud ---- */

typedef enum {
    END = 0,
    WANT, /* launch; given: the label's text */
    TELL, /* launch, chip */
    REPORT, /* launch, result; names what the last answer of the launch gave */
    SETTLE, /* launch, after its station was silent for long */
    LIFE, /* the station starts again */
    PAUSE,
} Op;

typedef struct {
    Op op;
    guint32 launch, chip;
    int code; /* expected; 0 = granted, identified, confirmed */
    ImpResult result; /* of REPORT */
    guint64 number; /* expected with WANT and TELL; 0 = not looked at */
    const char *given;
    gboolean kept; /* expected with TELL */
    guint32 station; /* 0 = 7 */
} Step;

typedef struct {
    const char *name;
    ImageRow image;
    Step steps[14];
    /* expected at the end */
    guint64 passed, free_used, used, spent, free;
    guint alarms;
} Story;

#define KEEP_1                                                                                               \
    .image = {                                                                                               \
        .id = 1, .units = 20, .pool = POOL_DECIMAL("sn", 1, 999, "true"), .rework = IMP_LEDGER_REWORK_KEEP}
#define KEEP_FREE(count_on_)                                                                                 \
    .image = {.id = 1,                                                                                       \
              .units = 1,                                                                                    \
              .pool = POOL_DECIMAL("sn", 1, 999, "true"),                                                    \
              .rework = IMP_LEDGER_REWORK_KEEP,                                                              \
              .free_rework = TRUE,                                                                           \
              .count_on = count_on_}
#define PASS(launch_)                                                                                        \
    {                                                                                                        \
        REPORT, launch_, .result = IMP_RESULT_PASSED                                                         \
    }
#define SPEND(launch_)                                                                                       \
    {                                                                                                        \
        REPORT, launch_, .result = IMP_RESULT_SPENT                                                          \
    }
#define FAIL(launch_)                                                                                        \
    {                                                                                                        \
        REPORT, launch_, .result = IMP_RESULT_FAILED                                                         \
    }
#define POOL_LABEL                                                                                           \
    "{\"first\":0,\"format\":{\"external\":16},\"id\":\"labels\",\"last\":9223372036854775807,\"reuse\":"    \
    "true,\"step\":1}"

static const Story stories[] = {
    {.name = "keep/a-new-chip",
     KEEP_1,
     .steps = {{WANT, 1, .number = 1}, {TELL, 1, 5, .number = 1}, PASS(1)},
     .passed = 1,
     .used = 1},
    {.name = "keep/passed-before",
     KEEP_1,
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               PASS(1),
               {WANT, 2, .number = 2},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               PASS(2),
               /* the fresh number of the second permit was given back */
               {WANT, 3, .number = 2},
               {TELL, 3, 6, .number = 2},
               PASS(3)},
     .passed = 3,
     .used = 2},
    {.name = "keep/told-twice",
     KEEP_1,
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               {TELL, 1, 5, .number = 1},
               PASS(1),
               {WANT, 2},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               {WANT, 2, .number = 1},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               PASS(2)},
     .passed = 2,
     .used = 1,
     .free = 1},
    {.name = "keep/told-another-chip",
     KEEP_1,
     .steps = {{WANT, 1}, {TELL, 1, 5}, {TELL, 1, 6, .code = IMP_E_LAUNCH_DIFFERS}, {TELL, 1, 5}, PASS(1)},
     .passed = 1,
     .used = 1,
     .alarms = 1},
    {.name = "keep/spent-before",
     KEEP_1,
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               SPEND(1),
               {WANT, 2, .number = 2},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               PASS(2)},
     .passed = 1,
     .used = 1,
     .free = 1},
    {.name = "keep/failed-before-bears-nothing",
     KEEP_1,
     .steps = {{WANT, 1}, {TELL, 1, 5}, FAIL(1), {WANT, 2, .number = 1}, {TELL, 2, 5, .number = 1}, PASS(2)},
     .passed = 1,
     .used = 1},
    {.name = "keep/fails-and-frees-nothing-of-the-chip",
     KEEP_1,
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               PASS(1),
               {WANT, 2},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               FAIL(2),
               {WANT, 3, .number = 2},
               {TELL, 3, 6, .number = 2},
               PASS(3)},
     .passed = 2,
     .used = 2},
    {.name = "keep/spends-and-keeps-again",
     KEEP_1,
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               PASS(1),
               {WANT, 2},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               SPEND(2),
               {WANT, 3},
               {TELL, 3, 5, .number = 1, .kept = TRUE},
               PASS(3)},
     .passed = 2,
     .used = 1,
     .free = 1},
    {.name = "keep/unknown-before",
     KEEP_1,
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               {LIFE},
               {REPORT, 1, .result = IMP_RESULT_UNKNOWN},
               {WANT, 2},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               PASS(2)},
     .passed = 1,
     .used = 1,
     .free = 1},
    {.name = "keep/lost-before-bears-nothing",
     KEEP_1,
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               {LIFE},
               {REPORT, 1, .result = IMP_RESULT_LOST},
               {WANT, 2, .number = 2},
               {TELL, 2, 5, .number = 2},
               PASS(2)},
     .passed = 1,
     .used = 1,
     .spent = 1},
    /* Rule 10: what an earlier life was given is not told of by a later one. */
    {.name = "keep/an-earlier-life-tells",
     KEEP_1,
     .steps =
         {{WANT, 1}, {LIFE}, {TELL, 1, 5, .code = IMP_E_WITHDRAWN}, {REPORT, 1, .result = IMP_RESULT_LOST}},
     .spent = 1},
    {.name = "keep/told-after-its-end",
     KEEP_1,
     .steps = {{WANT, 1}, {TELL, 1, 5}, PASS(1), {TELL, 1, 5, .code = IMP_E_LAUNCH_ENDED}},
     .passed = 1,
     .used = 1},
    {.name = "keep/told-and-never-asked", KEEP_1, .steps = {{TELL, 1, 5, .code = IMP_E_LAUNCH_ENDED}}},
    {.name = "keep/in-work-elsewhere",
     KEEP_1,
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               {WANT, 2, .station = 8},
               {TELL, 2, 5, .code = IMP_E_UNIT_IN_WORK, .station = 8},
               PASS(1),
               {TELL, 2, 5, .number = 1, .kept = TRUE, .station = 8},
               {REPORT, 2, .result = IMP_RESULT_PASSED, .station = 8}},
     .passed = 2,
     .used = 1,
     .free = 1},
    {.name = "keep/settled-elsewhere",
     KEEP_1,
     .steps = {{WANT, 1, .station = 8},
               {TELL, 1, 5, .station = 8},
               {SETTLE, 1, .station = 8},
               {WANT, 2},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               PASS(2),
               /* and its station comes back */
               {REPORT, 1, .result = IMP_RESULT_PASSED, .station = 8}},
     .passed = 2,
     .used = 1,
     .free = 1},
    {.name = "keep/paused-in-between",
     KEEP_1,
     .steps = {{WANT, 1}, {PAUSE}, {TELL, 1, 5, .number = 1}, PASS(1)},
     .passed = 1,
     .used = 1},
    {.name = "keep/no-reuse",
     .image = {.id = 1,
               .units = 20,
               .pool = POOL_DECIMAL("sn", 1, 999, "false"),
               .rework = IMP_LEDGER_REWORK_KEEP},
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               PASS(1),
               {WANT, 2, .number = 2},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               PASS(2),
               {WANT, 3, .number = 3}},
     .passed = 2,
     .used = 1,
     .spent = 1},
    {.name = "refuse/passed-before",
     .image = {.id = 1,
               .units = 20,
               .pool = POOL_DECIMAL("sn", 1, 999, "true"),
               .rework = IMP_LEDGER_REWORK_REFUSE},
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               PASS(1),
               {WANT, 2},
               {TELL, 2, 5, .code = IMP_E_UNIT_KNOWN},
               {TELL, 2, 5, .code = IMP_E_UNIT_KNOWN},
               FAIL(2),
               {WANT, 3, .number = 2}},
     .passed = 1,
     .used = 1},
    {.name = "refuse/spent-before-may-go-on",
     .image = {.id = 1,
               .units = 20,
               .pool = POOL_DECIMAL("sn", 1, 999, "true"),
               .rework = IMP_LEDGER_REWORK_REFUSE},
     .steps = {{WANT, 1}, {TELL, 1, 5}, SPEND(1), {WANT, 2}, {TELL, 2, 5, .number = 2}, PASS(2)},
     .passed = 1,
     .used = 1,
     .spent = 1},
    {.name = "new/passed-before",
     .image = {.id = 1, .units = 20, .pool = POOL_DECIMAL("sn", 1, 999, "true")},
     .steps = {{WANT, 1}, {TELL, 1, 5}, PASS(1), {WANT, 2}, {TELL, 2, 5, .number = 2}, PASS(2)},
     .passed = 2,
     .used = 2},
    /* The count of 1 is used up; the same chip may come again, another one may not. */
    {.name = "free/keep",
     KEEP_FREE(IMP_LEDGER_COUNT_ON_PASS),
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               PASS(1),
               {WANT, 2},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               PASS(2),
               {WANT, 3},
               {TELL, 3, 6, .code = IMP_E_COUNT_USED_UP},
               FAIL(3)},
     .passed = 2,
     .free_used = 1,
     .used = 1,
     .free = 1},
    {.name = "free/two-look-at-once",
     KEEP_FREE(IMP_LEDGER_COUNT_ON_PASS),
     .steps = {{WANT, 1},
               {WANT, 2},
               {TELL, 2, 6, .code = IMP_E_COUNT_IN_WORK},
               {TELL, 1, 5},
               FAIL(1),
               {TELL, 2, 6, .number = 2},
               PASS(2)},
     .passed = 1,
     .used = 1,
     .free = 1},
    {.name = "free/spent-has-used-up-nothing",
     KEEP_FREE(IMP_LEDGER_COUNT_ON_PASS),
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               SPEND(1),
               {WANT, 2},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               PASS(2),
               {WANT, 3},
               {TELL, 3, 6, .code = IMP_E_COUNT_USED_UP},
               FAIL(3)},
     .passed = 1,
     .used = 1,
     .free = 1},
    {.name = "free/count-on-write",
     KEEP_FREE(IMP_LEDGER_COUNT_ON_WRITE),
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               SPEND(1),
               {WANT, 2},
               {TELL, 2, 5, .number = 1, .kept = TRUE},
               SPEND(2),
               {WANT, 3},
               {TELL, 3, 5, .number = 1, .kept = TRUE},
               PASS(3)},
     .passed = 1,
     .free_used = 2,
     .used = 1,
     .free = 1},
    {.name = "free/new-values",
     .image = {.id = 1, .units = 1, .pool = POOL_DECIMAL("sn", 1, 999, "true"), .free_rework = TRUE},
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               PASS(1),
               {WANT, 2},
               {TELL, 2, 5, .number = 2},
               PASS(2),
               {WANT, 3},
               {TELL, 3, 6, .code = IMP_E_COUNT_USED_UP},
               FAIL(3)},
     .passed = 2,
     .free_used = 1,
     .used = 2,
     .free = 1},
    {.name = "free/settled-counts",
     KEEP_FREE(IMP_LEDGER_COUNT_ON_PASS),
     .steps = {{WANT, 1},
               {TELL, 1, 5},
               PASS(1),
               {WANT, 2, .station = 8},
               {TELL, 2, 5, .kept = TRUE, .station = 8},
               {SETTLE, 2, .station = 8},
               {WANT, 3},
               {TELL, 3, 6, .code = IMP_E_COUNT_IN_WORK},
               FAIL(3)},
     .passed = 1,
     .used = 1,
     .free = 1},
    /* It was let in to look only. */
    {.name = "free/wrote-without-telling",
     KEEP_FREE(IMP_LEDGER_COUNT_ON_PASS),
     .steps = {{WANT, 1}, {TELL, 1, 5}, PASS(1), {WANT, 2}, PASS(2)},
     .passed = 2,
     .used = 2,
     .alarms = 1},
    /* ---- numbers from labels ---- */
    {.name = "label/used-once",
     .image = {.id = 1, .units = 20, .pool = POOL_LABEL},
     .steps = {{WANT, 1, .given = "T200000001"},
               PASS(1),
               {WANT, 2, .given = "T200000001", .code = IMP_E_NUMBER_USED},
               {WANT, 3, .given = "T200000002"},
               PASS(3)},
     .passed = 2,
     .used = 2},
    {.name = "label/missing-or-wrong",
     .image = {.id = 1, .units = 20, .pool = POOL_LABEL},
     .steps = {{WANT, 1, .code = IMP_E_NUMBER_NOT_GIVEN},
               {WANT, 1, .given = "", .code = IMP_E_NUMBER_NOT_GIVEN},
               {WANT, 1, .given = "T2-00000000000001", .code = IMP_E_NUMBER_NOT_GIVEN},
               {WANT, 1, .given = "T2\x01", .code = IMP_E_NUMBER_NOT_GIVEN}}},
    {.name = "label/in-work-and-free-again",
     .image = {.id = 1, .units = 20, .pool = POOL_LABEL},
     .steps = {{WANT, 1, .given = "A"},
               {WANT, 2, .given = "A", .code = IMP_E_NUMBER_USED},
               FAIL(1),
               {WANT, 2, .given = "A"},
               PASS(2)},
     .passed = 1,
     .used = 1},
    {.name = "label/asked-twice",
     .image = {.id = 1, .units = 20, .pool = POOL_LABEL},
     .steps = {{WANT, 1, .given = "A"},
               {WANT, 1, .given = "A"},
               {WANT, 1, .given = "B", .code = IMP_E_LAUNCH_DIFFERS},
               PASS(1)},
     .passed = 1,
     .used = 1,
     .alarms = 1},
    {.name = "label/spent-stays-spent",
     .image = {.id = 1, .units = 20, .pool = POOL_LABEL},
     .steps = {{WANT, 1, .given = "A"}, SPEND(1), {WANT, 2, .given = "A", .code = IMP_E_NUMBER_USED}},
     .spent = 1},
    {.name = "label/keep-with-its-own-chip",
     .image = {.id = 1,
               .units = 20,
               .pool = POOL_LABEL,
               .pool_2 = POOL_DECIMAL("sn", 1, 999, "true"),
               .rework = IMP_LEDGER_REWORK_KEEP},
     .steps = {{WANT, 1, .given = "A"},
               {TELL, 1, 5},
               SPEND(1),
               {WANT, 2, .given = "A"},
               {TELL, 2, 5, .kept = TRUE},
               PASS(2)},
     .passed = 1},
    {.name = "label/keep-on-another-chip",
     .image = {.id = 1, .units = 20, .pool = POOL_LABEL, .rework = IMP_LEDGER_REWORK_KEEP},
     .steps = {{WANT, 1, .given = "A"},
               {TELL, 1, 5},
               PASS(1),
               {WANT, 2, .given = "A"},
               {TELL, 2, 6, .code = IMP_E_NUMBER_USED},
               FAIL(2)},
     .passed = 1,
     .used = 1},
    {.name = "label/another-label-on-a-known-chip",
     .image = {.id = 1, .units = 20, .pool = POOL_LABEL, .rework = IMP_LEDGER_REWORK_KEEP},
     .steps = {{WANT, 1, .given = "A"},
               {TELL, 1, 5},
               PASS(1),
               {WANT, 2, .given = "B"},
               {TELL, 2, 5, .code = IMP_E_NUMBER_USED},
               FAIL(2)},
     .passed = 1,
     .used = 1,
     .free = 1},
    {.name = "label/wrote-without-telling",
     .image = {.id = 1, .units = 20, .pool = POOL_LABEL, .rework = IMP_LEDGER_REWORK_KEEP},
     .steps = {{WANT, 1, .given = "A"}, {TELL, 1, 5}, PASS(1), {WANT, 2, .given = "A"}, PASS(2)},
     .passed = 2,
     .used = 1,
     .alarms = 1},
    {.name = "label/two-pools-or-none",
     .image = {.id = 1, .units = 20, .pool = POOL_LABEL, .pool_2 = POOL_DECIMAL("sn", 1, 1, "true")},
     .steps = {{WANT, 1, .given = "A"},
               PASS(1),
               {WANT, 2, .given = "B", .code = IMP_E_POOL_EXHAUSTED},
               /* the label was not taken */
               {WANT, 3, .given = "B", .code = IMP_E_POOL_EXHAUSTED}},
     .passed = 1},
};

typedef struct {
    World world;
    ImpLedger *cloud;
    guint64 start_number;
    ImpAnswer answers[16]; /* newest of each launch */
} Cloud;

static ImpIdentify identify_of(guint32 launch, guint32 chip, guint64 ask)
{
    ImpIdentify identify = {.launch = id_of(launch), .ask = ask, .n_uid = 8};
    memset(identify.uid, (int)chip, 8);
    return identify;
}

static ImpAnswer say_identify(ImpLedger *cloud, guint32 station, guint64 start_number,
                              const ImpIdentify *identify)
{
    ImpIdentify copy = *identify;
    ImpSyncRequest request = {
        .protocol = IMP_WIRE_PROTOCOL, .start_number = start_number, .n_identifies = 1, .identifies = &copy};
    g_autoptr(ImpSyncResponse) response = say(cloud, station, &request);
    g_assert_cmpuint(response->n_answers, ==, 1);
    return response->answers[0];
}

static void check_answer(const Step *step, const ImpAnswer *answer, ImpAnswerKind good)
{
    g_assert_cmpint(answer->code, ==, step->code);
    g_assert_true(step->code != 0 || answer->kind == good);
    if (step->number != 0)
        g_assert_cmpuint(answer->numbers[0].number, ==, step->number);
    if (step->given != NULL && step->code == 0)
        g_assert_cmpmem(answer->numbers[0].bytes, answer->numbers[0].n_bytes, step->given,
                        strlen(step->given));
}

static void do_want(Cloud *c, const Story *story, const Step *step, guint32 station)
{
    ImpWant want = want_of(step->launch, 1, step->launch);
    if (step->given != NULL) {
        want.n_given = 1;
        g_strlcpy(want.given[0].pool, "labels", sizeof want.given[0].pool);
        want.given[0].n_bytes = (guint8)strlen(step->given);
        memcpy(want.given[0].bytes, step->given, want.given[0].n_bytes);
    }
    ImpAnswer answer = say_want(c->cloud, station, c->start_number, &want);
    check_answer(step, &answer, IMP_ANSWER_GRANTED);
    if (answer.kind != IMP_ANSWER_GRANTED)
        return;
    g_assert_cmpint(answer.identify, ==,
                    story->image.free_rework ||
                        (story->image.rework != 0 && story->image.rework != IMP_LEDGER_REWORK_NEW));
    c->answers[step->launch] = answer;
}

static void do_tell(Cloud *c, const Step *step, guint32 station)
{
    ImpIdentify identify = identify_of(step->launch, step->chip, 100 + step->launch);
    ImpAnswer answer = say_identify(c->cloud, station, c->start_number, &identify);
    g_assert_cmpuint(answer.ask, ==, identify.ask);
    g_assert_true(imp_id_equal(&answer.launch, &identify.launch));
    check_answer(step, &answer, IMP_ANSWER_IDENTIFIED);
    g_assert_cmpint(answer.kept, ==, step->kept);
    if (answer.kind == IMP_ANSWER_IDENTIFIED)
        c->answers[step->launch] = answer;
}

static void do_report(Cloud *c, const Story *story, const Step *step, guint32 station)
{
    ImpReport report = report_of(step->launch, 1, step->result);
    const ImpAnswer *answer = &c->answers[step->launch];
    report.start_number =
        step->result == IMP_RESULT_LOST || step->result == IMP_RESULT_UNKNOWN ? 1 : c->start_number;
    report.n_numbers = answer->n_numbers;
    memcpy(report.numbers, answer->numbers, sizeof report.numbers);
    for (guint i = 0; i < G_N_ELEMENTS(story->steps); i++)
        if (story->steps[i].op == TELL && story->steps[i].launch == step->launch &&
            story->steps[i].code == 0) {
            ImpIdentify identify = identify_of(step->launch, story->steps[i].chip, 0);
            report.n_uid = identify.n_uid;
            memcpy(report.uid, identify.uid, sizeof report.uid);
        }
    g_assert_cmpint(say_report(c->cloud, station, c->start_number, &report).kind, ==, IMP_ANSWER_CONFIRMED);
    g_assert_cmpint(say_report(c->cloud, station, c->start_number, &report).kind, ==, IMP_ANSWER_CONFIRMED);
}

static void do_settle(Cloud *c, const Step *step, guint32 station)
{
    g_autoptr(GError) error = NULL;
    ImpId station_id = id_of(station), launch = id_of(step->launch);
    world_pass(&c->world, 2 * IMP_LEDGER_SILENT_US);
    imp_sync_response_free(say_hello(c->cloud, 7, c->start_number, (guint32)c->start_number, 99));
    g_assert_true(imp_ledger_settle(c->cloud, &station_id, &launch, &owner, &error));
    g_assert_no_error(error);
}

static void do_step(Cloud *c, const Story *story, const Step *step)
{
    guint32 station = step->station != 0 ? step->station : 7;
    world_pass(&c->world, G_USEC_PER_SEC);
    switch (step->op) {
    case WANT:
        do_want(c, story, step, station);
        break;
    case TELL:
        do_tell(c, step, station);
        break;
    case REPORT:
        do_report(c, story, step, station);
        break;
    case SETTLE:
        do_settle(c, step, station);
        break;
    case LIFE:
        c->start_number++;
        imp_sync_response_free(say_hello(c->cloud, 7, c->start_number, (guint32)c->start_number, 99));
        break;
    case PAUSE:
        image_state(c->cloud, 1, IMP_LEDGER_PAUSED);
        break;
    case END:
        g_assert_not_reached();
    }
    ledger_check(c->cloud);
}

static void test_story(gconstpointer data)
{
    const Story *story = data;
    g_autofree Cloud *c = g_new0(Cloud, 1);
    world_init(&c->world, 3);
    c->cloud = ledger_open(&c->world, ":memory:", IMP_LEDGER_CLOUD, IMP_LEDGER_FORGETFUL);
    c->start_number = 1;
    for (guint32 station = 7; station <= 8; station++) {
        station_add(c->cloud, station, "");
        imp_sync_response_free(say_hello(c->cloud, station, 1, 1, 0));
    }
    image_must_add(c->cloud, &story->image);
    for (guint i = 0; i < G_N_ELEMENTS(story->steps) && story->steps[i].op != END; i++)
        do_step(c, story, &story->steps[i]);
    ImpLedgerImageStatus image = image_get(c->cloud, 1);
    g_assert_cmpuint(image.passed, ==, story->passed);
    g_assert_cmpuint(image.free_used, ==, story->free_used);
    g_assert_cmpuint(image.free_open, ==, 0);
    g_autoptr(GError) error = NULL;
    if (story->image.pool_2 == NULL) {
        ImpLedgerPoolStatus pool;
        const char *name = strcmp(story->image.pool, POOL_LABEL) == 0 ? "labels" : "sn";
        g_assert_true(imp_ledger_pool_get(c->cloud, "", name, &pool, &error));
        g_assert_cmpint(pool.external, ==, strcmp(name, "labels") == 0);
        g_assert_cmpuint(pool.used, ==, story->used);
        g_assert_cmpuint(pool.spent, ==, story->spent);
        g_assert_cmpuint(pool.free, ==, story->free);
    }
    g_assert_cmpuint(alarms_of(c->cloud, IMP_ALARM_LAUNCH_DIFFERS) +
                         alarms_of(c->cloud, IMP_ALARM_NOT_ASKED) +
                         alarms_of(c->cloud, IMP_ALARM_NUMBERS_DIFFER),
                     ==, story->alarms);
    imp_ledger_close(c->cloud);
}

/* The record says rework; and a launch of which the cloud has forgotten everything does not take its chip's own number for
 * another unit's. */
static void test_restored(void)
{
    World world;
    world_init(&world, 3);
    g_autoptr(ImpLedger) cloud = ledger_open(&world, ":memory:", IMP_LEDGER_CLOUD, IMP_LEDGER_FORGETFUL);
    station_add(cloud, 7, "");
    imp_sync_response_free(say_hello(cloud, 7, 1, 1, 0));
    image_must_add(cloud, &(ImageRow){.id = 1,
                                      .units = 20,
                                      .pool = POOL_LABEL,
                                      .pool_2 = POOL_DECIMAL("sn", 1, 999, "true"),
                                      .rework = IMP_LEDGER_REWORK_KEEP});
    ImpReport report = report_of(1, 1, IMP_RESULT_PASSED);
    ImpIdentify chip = identify_of(1, 5, 0);
    report.start_number = 1;
    report.n_uid = chip.n_uid;
    memcpy(report.uid, chip.uid, sizeof report.uid);
    report.n_numbers = 2;
    report.numbers[0] = (ImpNumber){.pool = "labels", .number = 41, .bytes = "A", .n_bytes = 1, .text = "A"};
    report.numbers[1] =
        (ImpNumber){.pool = "sn", .number = 7, .bytes = "000007", .n_bytes = 6, .text = "000007"};
    g_assert_cmpint(say_report(cloud, 7, 1, &report).kind, ==, IMP_ANSWER_CONFIRMED);
    report.launch = id_of(2);
    g_assert_cmpint(say_report(cloud, 7, 1, &report).kind, ==, IMP_ANSWER_CONFIRMED);
    g_assert_cmpuint(alarms_of(cloud, IMP_ALARM_NUMBERS_DIFFER), ==, 0);
    g_assert_cmpuint(alarms_of(cloud, IMP_ALARM_NOT_ASKED), ==, 2);
    /* Another chip with the same numbers. */
    report.launch = id_of(3);
    report.uid[0] = 0xee;
    g_assert_cmpint(say_report(cloud, 7, 1, &report).kind, ==, IMP_ANSWER_CONFIRMED);
    g_assert_cmpuint(alarms_of(cloud, IMP_ALARM_NUMBERS_DIFFER), ==, 1);
    ledger_check(cloud);
    /* The label is taken, and the next number lies behind. */
    ImpWant want = want_of(4, 1, 1);
    want.n_given = 1;
    want.given[0] = (ImpGivenNumber){.pool = "labels", .bytes = "B", .n_bytes = 1};
    ImpAnswer answer = say_want(cloud, 7, 1, &want);
    g_assert_cmpint(answer.kind, ==, IMP_ANSWER_GRANTED);
    g_assert_cmpuint(answer.numbers[1].number, ==, 8);
    ledger_check(cloud);
}

/* ---- at a station ---- */

typedef struct {
    int code;
    gboolean kept;
    guint64 number;
    guint n;
} Told;

static void told(gpointer user, const ImpAnswer *answer, const GError *error)
{
    Told *t = user;
    t->n++;
    t->code = error != NULL ? imp_error_code(error) : 0;
    g_assert_true((answer == NULL) == (error != NULL));
    if (answer != NULL) {
        t->kept = answer->kept;
        t->number = answer->n_numbers > 0 ? answer->numbers[0].number : 0;
    }
}

static Told tell(ImpAuthority *authority, guint32 launch, const guint8 *uid, gsize n_uid)
{
    ImpId id = id_of(launch);
    Told t = {0};
    authority->ops->identify(authority, &id, uid, n_uid, told, &t);
    g_assert_cmpuint(t.n, ==, 1);
    return t;
}

static void started(gpointer user, gboolean begun, const ImpAnswer *answer, const GError *error)
{
    g_assert_no_error(error);
    g_assert_true(begun);
    *(gboolean *)user = answer->identify;
}

static void begin(ImpAuthority *authority, guint32 launch)
{
    ImpWant want = want_of(launch, 1, 0);
    gboolean identify = FALSE;
    authority->ops->start(authority, &want, started, &identify);
    g_assert_true(identify);
}

static void run_sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    int code = sqlite3_exec(db, text, NULL, NULL, &message);
    g_assert_cmpstr(message, ==, NULL);
    g_assert_cmpint(code, ==, SQLITE_OK);
    sqlite3_close(db);
}

/* A ledger of the first version, with a chip that passed, opens, and its chip is known. The text of that version stays as it
 * was when ledgers were made with it. */
static void test_migrate_1(void)
{
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, ledger_schema[0], -1);
    g_assert_cmpstr(sum, ==, "b679b8f391022a1d47f355339ff8bf07a326dcdd48c879a02520c9851e3a49f6");
    World world;
    world_init(&world, 4);
    g_autofree char *folder = folder_make();
    g_autofree char *path = g_build_filename(folder, "ledger.db", NULL);
    run_sql(path, ledger_schema[0]);
    run_sql(
        path,
        "INSERT INTO ledger (one, role, epoch) VALUES (1, 2, x'000102030405060708090a0b0c0d0e0f');"
        "INSERT INTO station (ref, id, account, scope, name, added_us) VALUES (0, zeroblob(16), '', '', '', "
        "1);"
        "INSERT INTO image (id, account, scope, name, units, count_on, refuse_rework, state, added_us, "
        "passed) "
        "VALUES (x'00000000000000000000000000000001', '', '', 'image', 2, 2, 1, 2, 1, 1);"
        "INSERT INTO launch (id, station, own, image, state, phase, seq, start_number, granted_us, port, "
        "work_order, "
        "person) VALUES (x'00000000000000000000000000000007', 0, 1, x'00000000000000000000000000000001', 2, "
        "3, 1, 1, "
        "1, 'A1', '', '');"
        "INSERT INTO record (station, launch, own, image, result, conflict, rework, after_settlement, "
        "received_us, "
        "seq, start_number, port, work_order, person, began_us, duration_ms, code, step, uid, link_waits, "
        "link_faults, link_errors, link_retries) VALUES (0, x'00000000000000000000000000000007', 1, "
        "x'00000000000000000000000000000001', 2, 0, 0, 0, 1, 1, 1, 'A1', '', '', 1, 1, 0, '', x'c0ffee', 0, "
        "0, 0, 0);"
        "UPDATE ledger SET own_seq = 1;"
        "PRAGMA user_version = 1; PRAGMA application_id = 1229803596"); /* LEDGER_APPLICATION_ID */
    ImpLife life;
    g_autoptr(GError) error = NULL;
    ImpLedger *ledger = ledger_open(&world, path, IMP_LEDGER_STATION, IMP_LEDGER_FORGETFUL);
    g_assert_true(imp_journal_start(ledger, &life, &error));
    ledger_check(ledger);
    g_assert_cmpint(image_get(ledger, 1).rework, ==, IMP_LEDGER_REWORK_REFUSE);
    ImpAuthority *authority = imp_authority_local_new(ledger);
    begin(authority, 8);
    g_assert_cmpint(tell(authority, 8, (const guint8 *)"\xc0\xff\xee", 3).code, ==, IMP_E_UNIT_KNOWN);
    imp_authority_local_free(authority);
    imp_ledger_close(ledger);
    folder_remove(g_steal_pointer(&folder));
}

/* A station's own rework over its restarts: the chip of a launch that was cut while writing is known at the next start. */
static void test_local_restart(void)
{
    World world;
    world_init(&world, 4);
    g_autofree char *folder = folder_make();
    g_autofree char *path = g_build_filename(folder, "ledger.db", NULL);
    ImpLife life;
    g_autoptr(GError) error = NULL;
    ImpLedger *ledger = ledger_open(&world, path, IMP_LEDGER_STATION, IMP_LEDGER_FORGETFUL);
    g_assert_true(imp_journal_start(ledger, &life, &error));
    image_must_add(ledger, &(ImageRow){.id = 1,
                                       .units = 9,
                                       .pool = POOL_DECIMAL("sn", 1, 999, "true"),
                                       .rework = IMP_LEDGER_REWORK_KEEP});
    ImpAuthority *authority = imp_authority_local_new(ledger);
    begin(authority, 1);
    Told t = tell(authority, 1, (const guint8 *)"chip-5", 6);
    g_assert_cmpint(t.code, ==, 0);
    g_assert_cmpuint(t.number, ==, 1);
    ImpId launch = id_of(1);
    g_assert_true(authority->ops->writing(authority, &launch, &error));
    imp_authority_local_free(authority);
    imp_ledger_close(ledger);

    ledger = ledger_open(&world, path, IMP_LEDGER_STATION, IMP_LEDGER_FORGETFUL);
    g_assert_true(imp_journal_start(ledger, &life, &error));
    g_assert_cmpuint(life.n_unknown, ==, 1);
    authority = imp_authority_local_new(ledger);
    begin(authority, 2);
    t = tell(authority, 2, (const guint8 *)"chip-5", 6);
    g_assert_cmpint(t.code, ==, 0);
    g_assert_true(t.kept);
    g_assert_cmpuint(t.number, ==, 1);
    ledger_check(ledger);
    launch = id_of(2);
    g_assert_true(authority->ops->writing(authority, &launch, &error));
    /* Too late to tell anything. */
    ImpReport report = report_of(2, 1, IMP_RESULT_PASSED);
    g_assert_true(authority->ops->end(authority, &report, &error));
    ledger_check(ledger);
    ImpLedgerLogQuery query = {.has_launch = TRUE, .launch = id_of(2), .limit = 10};
    g_autoptr(GArray) log = imp_ledger_log(ledger, &query, &error);
    g_assert_cmpuint(log->len, ==, 1);
    const ImpReport *kept = &g_array_index(log, ImpLedgerLogEntry, 0).report;
    g_assert_cmpmem(kept->uid, kept->n_uid, "chip-5", 6);
    g_assert_cmpuint(kept->numbers[0].number, ==, 1);
    imp_authority_local_free(authority);
    imp_ledger_close(ledger);
    folder_remove(g_steal_pointer(&folder));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(stories); i++) {
        g_autofree char *path = g_strdup_printf("/ledger/rework/%s", stories[i].name);
        g_test_add_data_func(path, &stories[i], test_story);
    }
    g_test_add_func("/ledger/rework/restored", test_restored);
    g_test_add_func("/ledger/rework/migrate-1", test_migrate_1);
    g_test_add_func("/ledger/rework/local-restart", test_local_restart);
    return g_test_run();
}
