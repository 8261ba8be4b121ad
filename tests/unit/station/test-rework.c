/* Chips that come again at a station that asks its cloud through a bad network: lost and repeated answers, restarts between
 * any two events, and what every run must keep to: a chip that bears a number gets that number and no other. */
#include "world.h"

#include <string.h>

#define SECOND ((gint64)G_USEC_PER_SEC)
#define CHIPS  4
#define UNITS  200

typedef struct {
    gboolean done;
    int code;
    ImpAnswer answer;
} Told;

static void told(gpointer user, const ImpAnswer *answer, const GError *error)
{
    Told *t = user;
    g_assert_false(t->done);
    t->done = TRUE;
    t->code = error != NULL ? error->code : 0;
    if (answer != NULL)
        t->answer = *answer;
}

static void tell(World *w, const Started *s, guint chip, Told *out)
{
    guint8 uid[2] = {0xc0, (guint8)chip};
    *out = (Told){0};
    w->authority->ops->identify(w->authority, &s->want.launch, uid, sizeof uid, told, out);
}

static Started *must_begin(World *w)
{
    Started *s = world_start(w);
    world_run(w, 2 * SECOND);
    g_assert_true(s->begun);
    g_assert_true(s->answer.identify);
    return s;
}

static World *greeted(guint32 seed)
{
    World *w = world_new(seed, UNITS);
    w->image = w->keep;
    world_run(w, 3 * SECOND);
    return w;
}

/* Nobody answers: the launch ends unwritten within its time, and its number is free. */
static void test_unreachable(void)
{
    World *w = greeted(1);
    g_autofree Started *s = must_begin(w);
    w->down = TRUE;
    gint64 asked = w->boot_us;
    Told t;
    tell(w, s, 1, &t);
    world_run(w, 10 * SECOND);
    g_assert_true(t.done);
    g_assert_cmpint(t.code, ==, IMP_E_CLOUD_UNREACHABLE);
    g_assert_cmpint(w->boot_us - asked, >=, IMP_CLOUD_START_US);
    world_end(w, s, FALSE, FALSE);
    w->down = FALSE;
    world_run(w, 30 * SECOND);
    g_assert_cmpuint(world_counts(w).failed, ==, 1);
    g_autofree Started *next = must_begin(w);
    g_assert_cmpuint(next->answer.numbers[0].number, ==, 1);
    world_check(w);
    world_free(w);
}

/* The cloud has kept the chip, its answer is lost: asked again, and answered alike. */
static void test_answer_lost(void)
{
    World *w = greeted(2);
    g_autofree Started *s = must_begin(w);
    guint sent = w->requests->len;
    Told t;
    tell(w, s, 1, &t);
    while (w->requests->len == sent)
        g_assert_true(world_run_one(w, w->boot_us + SECOND));
    const ImpSyncRequest *request = w->requests->pdata[sent];
    g_assert_cmpuint(request->n_identifies, ==, 1);
    g_assert_true(world_run_one(w, w->boot_us + SECOND)); /* it arrives */
    w->down = TRUE; /* and its answer never does */
    g_array_set_size(w->flights, 0);
    world_run(w, SECOND);
    g_assert_false(t.done);
    w->down = FALSE;
    world_run(w, 6 * SECOND);
    g_assert_true(t.done);
    g_assert_cmpint(t.code, ==, 0);
    g_assert_cmpuint(t.answer.numbers[0].number, ==, 1);
    /* The request once more, long after: nothing changes. */
    world_end(w, s, TRUE, TRUE);
    world_repeat_request(w);
    world_run(w, 5 * SECOND);
    g_assert_cmpuint(world_counts(w).passed, ==, 1);
    world_check(w);
    world_free(w);
}

/* One request carries what waits, this too; and while it waits, nobody else is held up. */
static void test_travels_together(void)
{
    World *w = greeted(3);
    g_autofree Started *s = must_begin(w);
    guint sent = w->requests->len;
    Told t;
    tell(w, s, 1, &t);
    g_autofree Started *other = world_start(w);
    world_run(w, 2 * SECOND);
    g_assert_true(t.done && other->begun);
    const ImpSyncRequest *request = w->requests->pdata[sent];
    g_assert_cmpuint(request->n_identifies + request->n_wants, ==, 2);
    world_end(w, s, TRUE, TRUE);
    world_end(w, other, FALSE, FALSE);
    world_run(w, 5 * SECOND);
    world_check(w);
    world_free(w);
}

/* The station stops: who waits is told, nothing is written, and the next life reports the launch lost. */
static void test_restart_while_it_waits(void)
{
    World *w = greeted(4);
    g_autofree Started *s = must_begin(w);
    w->down = TRUE;
    Told t;
    tell(w, s, 1, &t);
    world_run(w, SECOND);
    world_restart(w);
    g_assert_true(t.done);
    g_assert_cmpint(t.code, ==, IMP_E_CANCELLED);
    w->down = FALSE;
    world_run(w, 30 * SECOND);
    g_assert_cmpuint(world_counts(w).lost, ==, 1);
    world_check(w);
    world_free(w);
}

/* ---- random runs ---- */

typedef struct {
    World *w;
    GRand *rand;
    guint64 borne[CHIPS]; /* number that the chip may bear; 0 = none */
    GHashTable *owner; /* number → chip + 1: of those that may be on a chip */
} Run;

static void bear(Run *run, guint chip, guint64 number)
{
    guint was = GPOINTER_TO_UINT(g_hash_table_lookup(run->owner, GSIZE_TO_POINTER(number)));
    g_assert_true(was == 0 || was == chip + 1); /* rule 2 */
    g_assert_true(run->borne[chip] == 0 || run->borne[chip] == number);
    g_hash_table_insert(run->owner, GSIZE_TO_POINTER(number), GUINT_TO_POINTER(chip + 1));
    run->borne[chip] = number;
}

/* One launch on one chip, cut off anywhere. */
static void one_launch(Run *run)
{
    World *w = run->w;
    guint chip = (guint)g_rand_int_range(run->rand, 0, CHIPS);
    int cut = g_rand_int_range(run->rand, 0, 8); /* 0 to 2: a restart at that point */
    g_autofree Started *s = world_start(w);
    world_run(w, 8 * SECOND);
    if (!s->begun)
        return;
    Told t;
    tell(w, s, chip, &t);
    if (cut == 0) {
        world_run(w, g_rand_int_range(run->rand, 0, 500000));
        world_restart(w);
        return;
    }
    world_run(w, 8 * SECOND);
    g_assert_true(t.done);
    if (t.code != 0) {
        g_assert_true(t.code == IMP_E_CLOUD_UNREACHABLE || t.code == IMP_E_UNIT_IN_WORK);
        world_end(w, s, FALSE, FALSE);
        return;
    }
    guint64 number = t.answer.numbers[0].number;
    /* What a chip may bear it gets, whatever was lost on the way. */
    if (run->borne[chip] != 0)
        g_assert_cmpuint(number, ==, run->borne[chip]);
    if (cut == 1) {
        world_restart(w);
        return;
    }
    if (g_rand_int_range(run->rand, 0, 6) == 0) {
        world_end(w, s, FALSE, FALSE);
        return;
    }
    bear(run, chip, number);
    if (cut == 2) {
        g_autoptr(GError) error = NULL;
        g_assert_true(w->authority->ops->writing(w->authority, &s->want.launch, &error));
        world_restart(w);
        return;
    }
    world_end(w, s, TRUE, g_rand_boolean(run->rand));
}

static void one_run(guint32 seed)
{
    World *w = greeted(seed);
    Run run = {.w = w, .rand = g_rand_new_with_seed(seed + 7), .owner = g_hash_table_new(NULL, NULL)};
    w->lose = 0.2;
    w->twice = 0.2;
    w->late = 0.1;
    for (guint i = 0; i < 40; i++) {
        one_launch(&run);
        world_run(w, g_rand_int_range(run.rand, 0, 3) * SECOND);
    }
    w->lose = w->twice = w->late = 0;
    world_run(w, 60 * SECOND);
    g_assert_cmpuint(world_counts(w).open, ==, 0);
    world_check(w);
    g_hash_table_unref(run.owner);
    g_rand_free(run.rand);
    world_free(w);
}

/* IMPRINT_SEED runs one seed, IMPRINT_RUNS that many. */
static void test_random(void)
{
    const char *runs_text = g_getenv("IMPRINT_RUNS"), *seed_text = g_getenv("IMPRINT_SEED");
    guint64 runs = runs_text != NULL ? g_ascii_strtoull(runs_text, NULL, 10) : seed_text != NULL ? 1 : 12;
    guint32 first = seed_text != NULL ? (guint32)g_ascii_strtoull(seed_text, NULL, 10) : 1;
    for (guint64 i = 0; i < runs; i++) {
        g_test_message("IMPRINT_SEED=%u", first + (guint32)i);
        one_run(first + (guint32)i);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/station/rework/unreachable", test_unreachable);
    g_test_add_func("/station/rework/answer-lost", test_answer_lost);
    g_test_add_func("/station/rework/travels-together", test_travels_together);
    g_test_add_func("/station/rework/restart-while-it-waits", test_restart_while_it_waits);
    g_test_add_func("/station/rework/random", test_random);
    return g_test_run();
}
