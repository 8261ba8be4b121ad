#include "authority.h"

#include <string.h>

/* ---- one launch ---- */

typedef struct {
    guint n_done;
    gboolean begun;
    int code; /* 0 = no error */
    gboolean has_answer;
    ImpAnswer answer;
} Started;

static void done(gpointer user, gboolean begun, const ImpAnswer *answer, const GError *error)
{
    Started *started = user;
    started->n_done++;
    started->begun = begun;
    started->code = error != NULL ? imp_error_code(error) : 0;
    started->has_answer = answer != NULL;
    if (answer != NULL)
        started->answer = *answer;
    g_assert_cmpint(begun, ==, error == NULL);
}

static ImpWant new_want(Subject *s)
{
    ImpWant want = {.launch = imp_id_ordered(s->clock, s->random), .image = s->image};
    g_strlcpy(want.port, "A1", sizeof want.port);
    return want;
}

static Started start(Subject *s, const ImpWant *want)
{
    Started started = {0};
    s->authority->ops->start(s->authority, want, done, &started);
    s->wait(s);
    g_assert_cmpuint(started.n_done, ==, 1);
    return started;
}

static Started start_new(Subject *s, ImpId *out_launch)
{
    ImpWant want = new_want(s);
    if (out_launch != NULL)
        *out_launch = want.launch;
    return start(s, &want);
}

static void must_write(Subject *s, const ImpId *launch)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(s->authority->ops->writing(s->authority, launch, &error));
    g_assert_no_error(error);
}

static ImpReport report_of(Subject *s, const ImpId *launch, ImpResult result)
{
    ImpReport report = {.launch = *launch, .image = s->image, .result = result, .duration_ms = 10};
    report.code = result == IMP_RESULT_PASSED ? 0 : IMP_E_FLASH_MISMATCH;
    return report;
}

static void must_end(Subject *s, const ImpId *launch, ImpResult result)
{
    g_autoptr(GError) error = NULL;
    ImpReport report = report_of(s, launch, result);
    g_assert_true(s->authority->ops->end(s->authority, &report, &error));
    g_assert_no_error(error);
    s->wait(s);
}

static void must_not_end(Subject *s, const ImpId *launch, ImpResult result)
{
    g_autoptr(GError) error = NULL;
    ImpReport report = report_of(s, launch, result);
    g_assert_false(s->authority->ops->end(s->authority, &report, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_STATE);
}

static void assert_counts(Subject *s, guint64 open, guint64 passed, guint64 unknown, guint64 failures)
{
    guint64 has_open, has_passed, has_unknown, has_failures;
    s->counts(s, &has_open, &has_passed, &has_unknown, &has_failures);
    g_assert_cmpuint(has_open, ==, open);
    g_assert_cmpuint(has_passed, ==, passed);
    g_assert_cmpuint(has_unknown, ==, unknown);
    g_assert_cmpuint(has_failures, ==, failures);
}

static guint64 number_of(const Started *started)
{
    g_assert_true(started->begun);
    g_assert_cmpuint(started->answer.n_numbers, ==, 1);
    g_assert_cmpstr(started->answer.numbers[0].pool, ==, "sn");
    return started->answer.numbers[0].number;
}

/* ---- the battery ---- */

static void pass(Subject *s)
{
    ImpId launch;
    Started started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 1);
    g_assert_cmpstr(started.answer.numbers[0].text, ==, "000001");
    g_assert_cmpmem(started.answer.numbers[0].bytes, started.answer.numbers[0].n_bytes, "000001", 6);
    g_assert_true(imp_id_equal(&started.answer.launch, &launch));
    assert_counts(s, 1, 0, 0, 0);
    must_write(s, &launch);
    must_end(s, &launch, IMP_RESULT_PASSED);
    assert_counts(s, 0, 1, 0, 0);
    started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 2);
}

static void failed_frees(Subject *s)
{
    ImpId launch;
    Started started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 1);
    must_end(s, &launch, IMP_RESULT_FAILED);
    assert_counts(s, 0, 0, 0, 0);
    started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 1);
}

static void spent_spends(Subject *s)
{
    ImpId launch;
    Started started = start_new(s, &launch);
    must_write(s, &launch);
    must_end(s, &launch, IMP_RESULT_SPENT);
    assert_counts(s, 0, 0, 0, 1);
    started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 2);
}

static void count_ends(Subject *s)
{
    ImpId first, second;
    Started started = start_new(s, &first);
    g_assert_true(started.begun);
    started = start_new(s, &second);
    g_assert_true(started.begun);
    started = start_new(s, NULL);
    g_assert_false(started.begun);
    g_assert_cmpint(started.code, ==, IMP_E_COUNT_IN_WORK);
    g_assert_true(started.has_answer);
    g_assert_cmpuint(started.answer.units, ==, 2);
    g_assert_cmpuint(started.answer.open, ==, 2);
    must_write(s, &first);
    must_end(s, &first, IMP_RESULT_PASSED);
    must_write(s, &second);
    must_end(s, &second, IMP_RESULT_PASSED);
    started = start_new(s, NULL);
    g_assert_cmpint(started.code, ==, IMP_E_COUNT_USED_UP);
    assert_counts(s, 0, 2, 0, 0);
}

static void paused(Subject *s)
{
    ImpId launch;
    s->set_paused(s, TRUE);
    Started started = start_new(s, NULL);
    g_assert_false(started.begun);
    g_assert_cmpint(started.code, ==, IMP_E_IMAGE_PAUSED);
    s->set_paused(s, FALSE);
    started = start_new(s, &launch);
    g_assert_true(started.begun);
    /* What is in work ends as it would without the pause. */
    s->set_paused(s, TRUE);
    must_write(s, &launch);
    must_end(s, &launch, IMP_RESULT_PASSED);
    assert_counts(s, 0, 1, 0, 0);
}

static void unknown_image(Subject *s)
{
    ImpWant want = new_want(s);
    want.image = imp_id_random(s->random);
    Started started = start(s, &want);
    g_assert_false(started.begun);
    g_assert_cmpint(started.code, ==, IMP_E_IMAGE_UNKNOWN);
}

static void begins_once(Subject *s)
{
    ImpWant want = new_want(s);
    Started started = start(s, &want);
    g_assert_true(started.begun);
    started = start(s, &want);
    g_assert_false(started.begun);
    must_write(s, &want.launch);
    must_end(s, &want.launch, IMP_RESULT_PASSED);
    started = start(s, &want);
    g_assert_false(started.begun);
    assert_counts(s, 0, 1, 0, 0);
}

static void order_of_calls(Subject *s)
{
    g_autoptr(GError) error = NULL;
    ImpId launch = imp_id_ordered(s->clock, s->random);
    /* Never begun. */
    g_assert_false(s->authority->ops->writing(s->authority, &launch, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_STATE);
    must_not_end(s, &launch, IMP_RESULT_FAILED);
    /* Begun: it has written nothing, so it can neither have passed nor be spent. */
    Started started = start_new(s, &launch);
    g_assert_true(started.begun);
    must_not_end(s, &launch, IMP_RESULT_PASSED);
    must_not_end(s, &launch, IMP_RESULT_SPENT);
    must_not_end(s, &launch, IMP_RESULT_RETURNED);
    must_not_end(s, &launch, IMP_RESULT_UNKNOWN);
    /* Writing: it cannot have failed untouched. */
    must_write(s, &launch);
    must_not_end(s, &launch, IMP_RESULT_FAILED);
    must_end(s, &launch, IMP_RESULT_SPENT);
    /* Ended. */
    must_not_end(s, &launch, IMP_RESULT_PASSED);
    assert_counts(s, 0, 0, 0, 1);
}

static void restarted_begun(Subject *s)
{
    ImpId launch;
    Started started = start_new(s, &launch);
    s->restart(s);
    assert_counts(s, 0, 0, 0, 0);
    must_not_end(s, &launch, IMP_RESULT_FAILED);
    /* Lost: the count is free, the number is not. */
    started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 2);
}

static void restarted_writing(Subject *s)
{
    ImpId launch;
    Started started = start_new(s, &launch);
    must_write(s, &launch);
    s->restart(s);
    assert_counts(s, 0, 0, 1, 1);
    must_not_end(s, &launch, IMP_RESULT_PASSED);
    started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 2);
    started = start_new(s, NULL);
    g_assert_cmpint(started.code, ==, IMP_E_COUNT_IN_WORK);
}

static void restarted_ended(Subject *s)
{
    ImpId launch;
    Started started = start_new(s, &launch);
    g_assert_true(started.begun);
    must_write(s, &launch);
    must_end(s, &launch, IMP_RESULT_PASSED);
    s->restart(s);
    assert_counts(s, 0, 1, 0, 0);
    must_not_end(s, &launch, IMP_RESULT_SPENT);
}

static ImpId must_compare(Subject *s)
{
    g_autoptr(GError) error = NULL;
    ImpWant want = new_want(s);
    g_assert_true(s->authority->ops->compare(s->authority, &want, &error));
    g_assert_no_error(error);
    g_assert_false(s->authority->ops->compare(s->authority, &want, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_EXISTS);
    return want.launch;
}

/* A launch that only compares has a record, and touches neither counts nor numbers, whatever comes of it. */
static void compares(Subject *s)
{
    static const ImpResult results[] = {IMP_RESULT_VERIFIED, IMP_RESULT_UNVERIFIED};
    for (gsize i = 0; i < G_N_ELEMENTS(results); i++) {
        g_autoptr(GError) error = NULL;
        ImpId launch = must_compare(s);
        assert_counts(s, 0, 0, 0, 0);
        g_assert_false(s->authority->ops->writing(s->authority, &launch, &error));
        g_assert_error(error, IMP_ERROR, IMP_E_STATE);
        must_not_end(s, &launch, IMP_RESULT_PASSED);
        must_not_end(s, &launch, IMP_RESULT_FAILED);
        must_end(s, &launch, results[i]);
        must_not_end(s, &launch, results[1 - i]);
        assert_counts(s, 0, 0, 0, 0);
    }
    ImpId interrupted = must_compare(s);
    s->restart(s);
    must_not_end(s, &interrupted, IMP_RESULT_VERIFIED);
    assert_counts(s, 0, 0, 0, 0);
    /* Nor can one that has a permit end so. */
    ImpId launch;
    Started started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 1);
    must_not_end(s, &launch, IMP_RESULT_VERIFIED);
    must_write(s, &launch);
    must_not_end(s, &launch, IMP_RESULT_VERIFIED);
    must_end(s, &launch, IMP_RESULT_PASSED);
    assert_counts(s, 0, 1, 0, 0);
}

/* ---- rework ---- */

typedef struct {
    guint n_done;
    int code; /* 0 = go on */
    ImpAnswer answer;
} Told;

static void told(gpointer user, const ImpAnswer *answer, const GError *error)
{
    Told *t = user;
    t->n_done++;
    t->code = error != NULL ? imp_error_code(error) : 0;
    g_assert_true((answer != NULL) == (error == NULL));
    if (answer != NULL)
        t->answer = *answer;
}

static Told tell(Subject *s, const ImpId *launch, const char *chip)
{
    Told t = {0};
    s->authority->ops->identify(s->authority, launch, (const guint8 *)chip, strlen(chip), told, &t);
    s->wait(s);
    g_assert_cmpuint(t.n_done, ==, 1);
    return t;
}

static void assert_told(const Told *t, guint64 number, gboolean kept)
{
    g_assert_cmpint(t->code, ==, 0);
    g_assert_cmpint(t->answer.kept, ==, kept);
    g_assert_cmpuint(t->answer.n_numbers, ==, 1);
    g_assert_cmpuint(t->answer.numbers[0].number, ==, number);
}

/* A chip that is told and ends so; gives the number. */
static guint64 make(Subject *s, const char *chip, ImpResult result)
{
    ImpId launch;
    Started started = start_new(s, &launch);
    g_assert_true(started.begun);
    g_assert_true(started.answer.identify);
    Told t = tell(s, &launch, chip);
    g_assert_cmpint(t.code, ==, 0);
    must_write(s, &launch);
    must_end(s, &launch, result);
    return t.answer.numbers[0].number;
}

static void keeps_values(Subject *s)
{
    s->image = s->keep;
    g_assert_cmpuint(make(s, "chip-5", IMP_RESULT_PASSED), ==, 1);
    ImpId launch, other;
    Started started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 2);
    Told t = tell(s, &launch, "chip-5");
    assert_told(&t, 1, TRUE);
    /* Told twice is told once; the fresh number is another unit's by now. */
    t = tell(s, &launch, "chip-5");
    assert_told(&t, 1, TRUE);
    must_write(s, &launch);
    must_end(s, &launch, IMP_RESULT_PASSED);
    s->image = s->refuse;
    started = start_new(s, &other);
    g_assert_cmpuint(number_of(&started), ==, 2);
    t = tell(s, &other, "chip-6");
    assert_told(&t, 2, FALSE);
}

static void keeps_after_spent(Subject *s)
{
    s->image = s->keep;
    g_assert_cmpuint(make(s, "chip-5", IMP_RESULT_SPENT), ==, 1);
    g_assert_cmpuint(make(s, "chip-5", IMP_RESULT_SPENT), ==, 1);
    g_assert_cmpuint(make(s, "chip-6", IMP_RESULT_PASSED), ==, 2);
    g_assert_cmpuint(make(s, "chip-5", IMP_RESULT_PASSED), ==, 1);
}

/* The station's life ends after the chip was told: its numbers are still the chip's. */
static void keeps_after_restart(Subject *s)
{
    ImpId launch;
    s->image = s->keep;
    Started started = start_new(s, &launch);
    g_assert_true(started.begun);
    Told t = tell(s, &launch, "chip-5");
    assert_told(&t, 1, FALSE);
    must_write(s, &launch);
    s->restart(s);
    started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 2);
    t = tell(s, &launch, "chip-5");
    assert_told(&t, 1, TRUE);
    s->restart(s);
    /* Nothing was written: the kept number stays the chip's, the fresh one came back. */
    g_assert_cmpuint(make(s, "chip-5", IMP_RESULT_PASSED), ==, 1);
}

static void refuses_known(Subject *s)
{
    ImpId launch;
    s->image = s->refuse;
    g_assert_cmpuint(make(s, "chip-5", IMP_RESULT_SPENT), ==, 1);
    g_assert_cmpuint(make(s, "chip-5", IMP_RESULT_PASSED), ==, 2);
    Started started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 3);
    Told t = tell(s, &launch, "chip-5");
    g_assert_cmpint(t.code, ==, IMP_E_UNIT_KNOWN);
    must_end(s, &launch, IMP_RESULT_FAILED);
    started = start_new(s, &launch);
    g_assert_cmpuint(number_of(&started), ==, 3);
    t = tell(s, &launch, "chip-6");
    assert_told(&t, 3, FALSE);
}

static void refuses_in_work(Subject *s)
{
    ImpId first, second;
    s->image = s->keep;
    Started started = start_new(s, &first);
    g_assert_true(started.begun);
    Told t = tell(s, &first, "chip-5");
    assert_told(&t, 1, FALSE);
    started = start_new(s, &second);
    g_assert_true(started.begun);
    t = tell(s, &second, "chip-5");
    g_assert_cmpint(t.code, ==, IMP_E_UNIT_IN_WORK);
    must_end(s, &second, IMP_RESULT_FAILED);
    must_write(s, &first);
    must_end(s, &first, IMP_RESULT_PASSED);
    t = tell(s, &first, "chip-5");
    g_assert_cmpint(t.code, ==, IMP_E_LAUNCH_ENDED);
}

/* An image without a rule does not ask, and answers all the same. */
static void no_rule(Subject *s)
{
    ImpId launch;
    Started started = start_new(s, &launch);
    g_assert_false(started.answer.identify);
    Told t = tell(s, &launch, "chip-5");
    assert_told(&t, 1, FALSE);
    must_write(s, &launch);
    must_end(s, &launch, IMP_RESULT_PASSED);
    started = start_new(s, &launch);
    t = tell(s, &launch, "chip-5");
    assert_told(&t, 2, FALSE);
}

typedef struct {
    SubjectNew subject_new;
    void (*test)(Subject *s);
    guint64 units;
} Case;

static void run(gconstpointer data)
{
    const Case *c = data;
    Subject *s = c->subject_new(c->units);
    c->test(s);
    s->free(s);
}

void authority_contract_add(const char *name, SubjectNew subject_new)
{
    static const struct {
        const char *name;
        void (*test)(Subject *s);
        guint64 units; /* 0 = 2 */
    } tests[] = {
        {"pass", pass},
        {"failed-frees", failed_frees},
        {"spent-spends", spent_spends},
        {"count-ends", count_ends},
        {"paused", paused},
        {"unknown-image", unknown_image},
        {"begins-once", begins_once},
        {"order-of-calls", order_of_calls},
        {"restarted-begun", restarted_begun},
        {"restarted-writing", restarted_writing},
        {"restarted-ended", restarted_ended},
        {"compares", compares},
        {"keeps-values", keeps_values, 9},
        {"keeps-after-spent", keeps_after_spent, 9},
        {"keeps-after-restart", keeps_after_restart, 9},
        {"refuses-known", refuses_known, 9},
        {"refuses-in-work", refuses_in_work, 9},
        {"no-rule", no_rule},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/contract/authority/%s/%s", name, tests[i].name);
        Case *c = g_new(Case, 1);
        *c = (Case){subject_new, tests[i].test, tests[i].units > 0 ? tests[i].units : 2};
        g_test_add_data_func_full(path, c, run, g_free);
    }
}
