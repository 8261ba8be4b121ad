/* The authority of JOBs against a cloud's ledger, over a bad network, on simulated time (world.h has the fault model). */
#include <string.h>

#include "world.h"

#define SECOND ((gint64)G_USEC_PER_SEC)

static const ImpSyncRequest *request_at(const World *w, guint index)
{
    g_assert_cmpuint(index, <, w->requests->len);
    return w->requests->pdata[index];
}

static void no_alarms(World *w)
{
    GError *error = NULL;
    g_autoptr(GArray) alarms = imp_ledger_alarms(w->cloud, 0, 100, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < alarms->len; i++)
        g_test_message("alarm: %s", g_array_index(alarms, ImpLedgerAlarm, i).text);
    g_assert_cmpuint(alarms->len, ==, 0);
}

/* ---- one thing at a time ------------------------------------------------------------------------------------------- */

static void test_hello_first(void)
{
    World *w = world_new(1, 10);
    g_autofree Started *s = world_start(w);
    world_run(w, 3 * SECOND);
    g_assert_true(s->begun);
    const ImpSyncRequest *first = request_at(w, 0), *second = request_at(w, 1);
    g_assert_true(first->has_hello);
    g_assert_cmpuint(first->n_wants + first->n_reports + first->n_refreshes, ==, 0);
    g_assert_false(second->has_hello);
    g_assert_cmpuint(second->n_wants, ==, 1);
    g_assert_cmpuint(s->answer.n_numbers, ==, 1);
    world_end(w, s, TRUE, TRUE);
    world_run(w, 3 * SECOND);
    g_assert_cmpuint(imp_authority_cloud_view(w->authority)->reports_waiting, ==, 0);
    g_assert_cmpuint(world_counts(w).passed, ==, 1);
    g_assert_cmpuint(world_counts(w).open, ==, 0);
    no_alarms(w);
    world_check(w);
    world_free(w);
}

/* A unit costs one request when the next start comes with the report. */
static void test_report_and_want_together(void)
{
    World *w = world_new(2, 10);
    world_run(w, 3 * SECOND);
    guint before = w->requests->len;
    g_autofree Started *last = world_start(w);
    world_run(w, SECOND / 10);
    for (guint i = 0; i < 5; i++) {
        g_assert_true(last->begun);
        world_end(w, last, TRUE, TRUE);
        g_free(last);
        last = world_start(w);
        world_run(w, SECOND / 10);
    }
    g_assert_cmpuint(w->requests->len - before, ==, 6);
    for (guint i = 1; i < 6; i++) {
        g_assert_cmpuint(request_at(w, before + i)->n_reports, ==, 1);
        g_assert_cmpuint(request_at(w, before + i)->n_wants, ==, 1);
    }
    world_free(w);
}

/* Four starts at once travel together. */
static void test_ports_together(void)
{
    World *w = world_new(3, 3);
    world_run(w, 3 * SECOND);
    guint before = w->requests->len, n_begun = 0;
    Started *s[4];
    for (guint i = 0; i < 4; i++)
        s[i] = world_start(w);
    world_run(w, SECOND);
    g_assert_cmpuint(w->requests->len - before, ==, 1);
    for (guint i = 0; i < 4; i++) {
        g_assert_true(s[i]->decided);
        n_begun += s[i]->begun;
        if (!s[i]->begun) {
            g_assert_cmpint(s[i]->code, ==, IMP_E_COUNT_IN_WORK);
            g_assert_cmpuint(s[i]->answer.units, ==, 3);
            g_assert_cmpuint(s[i]->answer.open, ==, 3);
        }
        g_free(s[i]);
    }
    g_assert_cmpuint(n_begun, ==, 3);
    world_free(w);
}

static void test_unreachable(void)
{
    World *w = world_new(4, 10);
    world_run(w, 3 * SECOND);
    w->down = TRUE;
    gint64 asked = w->boot_us;
    g_autofree Started *s = world_start(w);
    world_run(w, 10 * SECOND);
    g_assert_true(s->decided && !s->begun);
    g_assert_cmpint(s->code, ==, IMP_E_CLOUD_UNREACHABLE);
    g_assert_cmpint(s->decided_us - asked, <=, IMP_CLOUD_START_US);
    g_assert_true(imp_authority_cloud_view(w->authority)->unreachable);
    /* It may have been granted: the cloud hears that it never began. */
    g_assert_cmpuint(imp_authority_cloud_view(w->authority)->reports_waiting, ==, 1);
    w->down = FALSE;
    world_run(w, 30 * SECOND);
    g_assert_cmpuint(imp_authority_cloud_view(w->authority)->reports_waiting, ==, 0);
    g_assert_false(imp_authority_cloud_view(w->authority)->unreachable);
    g_assert_cmpuint(world_counts(w).returned, ==, 1);
    g_assert_cmpuint(world_counts(w).open, ==, 0);
    no_alarms(w);
    world_check(w);
    world_free(w);
}

/* The answer is lost, the launch was granted: the same launch again, one grant. */
static void test_answer_lost(void)
{
    World *w = world_new(5, 10);
    world_run(w, 3 * SECOND);
    g_autofree Started *s = world_start(w);
    while (w->requests->len < 2 || world_counts(w).open == 0)
        g_assert_true(world_run_one(w, w->boot_us + SECOND));
    w->down = TRUE; /* the answer is on its way: it arrives, so take it away, too */
    g_array_set_size(w->flights, 0);
    world_run(w, SECOND);
    w->down = FALSE;
    world_run(w, 6 * SECOND);
    g_assert_true(s->begun);
    g_assert_cmpuint(world_counts(w).open, ==, 1);
    const ImpSyncRequest *again = request_at(w, w->requests->len - 1);
    g_assert_cmpuint(again->n_wants, ==, 1);
    g_assert_true(imp_id_equal(&again->wants[0].launch, &s->want.launch));
    g_assert_cmpuint(again->wants[0].ask, !=, request_at(w, w->requests->len - 2)->wants[0].ask);
    world_free(w);
}

/* Reports wait while the cloud is away, also through a restart. */
static void test_report_later(void)
{
    World *w = world_new(6, 10);
    g_autofree Started *s = world_start(w);
    world_run(w, 3 * SECOND);
    g_assert_true(s->begun);
    w->down = TRUE;
    world_end(w, s, TRUE, TRUE);
    world_run(w, 60 * SECOND);
    world_restart(w);
    world_run(w, 60 * SECOND);
    g_assert_cmpuint(imp_authority_cloud_view(w->authority)->reports_waiting, ==, 1);
    w->down = FALSE;
    world_run(w, 30 * SECOND);
    g_assert_cmpuint(imp_authority_cloud_view(w->authority)->reports_waiting, ==, 0);
    g_assert_cmpuint(world_counts(w).passed, ==, 1);
    no_alarms(w);
    world_free(w);
}

/* A granted launch that was never begun before a restart is reported lost; one that was writing, unknown. */
static void test_restart(void)
{
    World *w = world_new(7, 10);
    g_autofree Started *writing = world_start(w);
    g_autofree Started *begun = world_start(w);
    world_run(w, 3 * SECOND);
    g_assert_true(writing->begun && begun->begun);
    GError *error = NULL;
    g_assert_true(w->authority->ops->writing(w->authority, &writing->want.launch, &error));
    g_autofree Started *granted = world_start(w);
    while (world_counts(w).open < 3)
        g_assert_true(world_run_one(w, w->boot_us + SECOND));
    world_restart(w); /* the grant is on its way */
    world_run(w, 30 * SECOND);
    ImpLedgerImageStatus counts = world_counts(w);
    g_assert_cmpuint(counts.open, ==, 0);
    g_assert_cmpuint(counts.unknown, ==, 1);
    g_assert_cmpuint(counts.lost, ==, 2);
    no_alarms(w);
    world_check(w);
    world_free(w);
}

/* A copy of a request that was refused arrives once more and is granted: nobody here waits for it, so the list of open
 * launches ends it. */
static void test_open_list(void)
{
    World *w = world_new(8, 1);
    world_run(w, 3 * SECOND);
    g_autofree Started *first = world_start(w);
    world_run(w, SECOND);
    g_autofree Started *second = world_start(w);
    world_run(w, SECOND);
    g_assert_cmpint(second->code, ==, IMP_E_COUNT_IN_WORK);
    g_autoptr(GBytes) kept = g_bytes_ref(w->last_request);
    world_end(w, first, FALSE, FALSE);
    world_run(w, SECOND);
    g_assert_cmpuint(world_counts(w).open, ==, 0);
    g_bytes_unref(w->last_request);
    w->last_request = g_bytes_ref(kept);
    world_repeat_request(w);
    world_run(w, SECOND);
    g_assert_cmpuint(world_counts(w).open, ==, 1);
    world_run(w, 3 * IMP_CLOUD_IDLE_US);
    g_assert_cmpuint(world_counts(w).open, ==, 0);
    g_assert_cmpuint(world_counts(w).lost, ==, 1);
    no_alarms(w);
    world_check(w);
    world_free(w);
}

/* ---- freshness ----------------------------------------------------------------------------------------------------- */

/* The clocks move between request and answer; when may the unit begin at once, when only after a refresh? */
static void test_freshness(void)
{
    static const struct {
        const char *what;
        gint64 delay_us, jump_us;
        gboolean at_once;
    } rows[] = {
        {"quick answer", 0, 0, TRUE},
        {"answer after 3.5 s", 3500 * 1000, 0, TRUE},
        {"the real-time clock is set forward by an hour meanwhile", 0, 3600 * SECOND, FALSE},
        {"the real-time clock is set back by an hour meanwhile", 0, -3600 * SECOND, FALSE},
        {"the real-time clock is set forward by 6 s meanwhile", 0, 6 * SECOND, FALSE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s", rows[i].what);
        World *w = world_new(10 + (guint32)i, 10);
        world_run(w, 3 * SECOND);
        guint before = w->requests->len;
        w->answer_delay_us = rows[i].delay_us;
        g_autofree Started *s = world_start(w);
        while (world_counts(w).open == 0)
            g_assert_true(world_run_one(w, w->boot_us + SECOND));
        world_jump_real(w, rows[i].jump_us); /* the answer is on its way */
        world_run(w, 5 * SECOND);
        g_assert_true(s->begun);
        g_assert_cmpuint(w->requests->len - before, ==, rows[i].at_once ? 1 : 2);
        if (!rows[i].at_once) {
            g_assert_cmpuint(request_at(w, before + 1)->n_refreshes, ==, 1);
            g_assert_cmpuint(request_at(w, before + 1)->n_wants, ==, 0);
        }
        world_free(w);
    }
}

/* Answers that take longer than a permit is usable never begin a unit; the launch is given back. A real-time clock that is
 * set back meanwhile makes them no younger. */
static void never_fresh(gint64 jump_us)
{
    World *w = world_new(20, 10);
    world_run(w, 3 * SECOND);
    w->answer_delay_us = 5500 * 1000;
    g_autofree Started *s = world_start(w);
    while (world_counts(w).open == 0)
        g_assert_true(world_run_one(w, w->boot_us + SECOND));
    world_jump_real(w, jump_us);
    world_run(w, 20 * SECOND);
    g_assert_true(s->decided && !s->begun);
    g_assert_cmpint(s->code, ==, IMP_E_PERMIT_STALE);
    w->answer_delay_us = 0;
    world_run(w, 60 * SECOND);
    g_assert_cmpuint(world_counts(w).open, ==, 0);
    g_assert_cmpuint(world_counts(w).returned, ==, 1);
    no_alarms(w);
    world_free(w);
}

static void test_never_fresh(void)
{
    never_fresh(0);
    never_fresh(-3 * SECOND);
}

/* The grant's answer is kept and comes again after the owner's pause was confirmed: it refreshes nothing. */
static void test_repeated_answer(void)
{
    World *w = world_new(21, 10);
    world_run(w, 3 * SECOND);
    g_autofree Started *s = world_start(w);
    while (world_counts(w).open == 0)
        g_assert_true(world_run_one(w, w->boot_us + SECOND));
    /* The grant is held back until it is stale, then comes, again and again. */
    g_autoptr(GBytes) grant = g_bytes_ref(w->last_answer);
    g_array_set_size(w->flights, 0);
    world_set_paused(w, TRUE);
    gint64 paused_us = w->boot_us;
    w->down = TRUE;
    world_run(w, 5 * SECOND + SECOND / 10);
    guint64 ticket = w->requests->len;
    for (guint i = 0; i < 3; i++)
        imp_authority_cloud_answer(w->authority, ticket + i, grant, NULL);
    w->down = FALSE;
    world_run(w, 30 * SECOND);
    g_assert_true(s->decided);
    g_assert_false(s->begun);
    g_assert_cmpint(s->decided_us, >=, paused_us);
    g_assert_cmpuint(world_counts(w).open, ==, 0);
    g_assert_cmpuint(world_counts(w).returned, ==, 1);
    world_check(w);
    world_free(w);
}

/* Paused between the grant and the retried request: withdrawn, and given back. */
static void test_withdrawn(void)
{
    World *w = world_new(22, 10);
    world_run(w, 3 * SECOND);
    g_autofree Started *s = world_start(w);
    while (world_counts(w).open == 0)
        g_assert_true(world_run_one(w, w->boot_us + SECOND));
    g_array_set_size(w->flights, 0); /* the answer is lost */
    world_set_paused(w, TRUE);
    world_run(w, 20 * SECOND);
    g_assert_true(s->decided && !s->begun);
    g_assert_cmpint(s->code, ==, IMP_E_IMAGE_PAUSED);
    g_assert_cmpuint(world_counts(w).open, ==, 0);
    g_assert_cmpuint(world_counts(w).returned, ==, 1);
    world_set_paused(w, FALSE);
    g_autofree Started *next = world_start(w);
    world_run(w, 3 * SECOND);
    g_assert_true(next->begun);
    g_assert_cmpuint(next->answer.numbers[0].number, ==, 1); /* the number came back */
    no_alarms(w);
    world_check(w);
    world_free(w);
}

/* ---- blocked and stale --------------------------------------------------------------------------------------------- */

static void test_blocked(void)
{
    World *w = world_new(30, 10);
    world_run(w, 3 * SECOND);
    GError *error = NULL;
    /* A copy of this station says hello with the same start number. */
    ImpSyncRequest copy = {
        .protocol = IMP_WIRE_PROTOCOL, .start_number = w->life.start_number, .has_hello = TRUE};
    copy.hello.nonce = imp_id_random(&w->random);
    g_autoptr(ImpSyncResponse) response = NULL;
    g_assert_true(imp_ledger_sync(w->cloud, &w->station_id, &copy, &response, &error));
    g_assert_cmpint(response->welcome, ==, IMP_WELCOME_BLOCKED);
    g_autofree Started *s = world_start(w);
    world_run(w, 5 * SECOND);
    g_assert_true(s->decided && !s->begun);
    g_assert_cmpint(s->code, ==, IMP_E_STATION_BLOCKED);
    const ImpCloudView *view = imp_authority_cloud_view(w->authority);
    g_assert_cmpint(view->state, ==, IMP_CLOUD_BLOCKED);
    g_assert_nonnull(view->error);
    /* The owner has looked at it. */
    ImpAct act = {.person = "owner", .reason = "the copy was destroyed"};
    g_assert_true(imp_ledger_station_admit(w->cloud, &w->station_id, &act, &error));
    world_run(w, 30 * SECOND);
    g_assert_cmpint(imp_authority_cloud_view(w->authority)->state, ==, IMP_CLOUD_WELCOMED);
    g_autofree Started *next = world_start(w);
    world_run(w, 3 * SECOND);
    g_assert_true(next->begun);
    world_free(w);
}

static void test_stale(void)
{
    World *w = world_new(31, 10);
    g_autofree Started *s = world_start(w);
    world_run(w, 3 * SECOND);
    g_assert_true(s->begun);
    GError *error = NULL;
    ImpSyncRequest later = {
        .protocol = IMP_WIRE_PROTOCOL, .start_number = w->life.start_number + 1, .has_hello = TRUE};
    later.hello = (ImpHello){imp_id_random(&w->random), 100};
    g_autoptr(ImpSyncResponse) response = NULL;
    g_assert_true(imp_ledger_sync(w->cloud, &w->station_id, &later, &response, &error));
    g_assert_cmpint(response->welcome, ==, IMP_WELCOME_YES);
    g_autofree Started *next = world_start(w);
    world_run(w, 5 * SECOND);
    g_assert_cmpint(next->code, ==, IMP_E_STATION_STALE);
    g_assert_cmpint(imp_authority_cloud_view(w->authority)->state, ==, IMP_CLOUD_STALE);
    /* What was begun ends and is reported all the same. */
    world_end(w, s, TRUE, TRUE);
    world_run(w, 5 * SECOND);
    g_assert_cmpuint(world_counts(w).passed, ==, 1);
    world_free(w);
}

/* ---- the owner's pause and answers that are about to be too old ----------------------------------------------------- */

static guint32 first_seed(void)
{
    const char *text = g_getenv("IMPRINT_SEED");
    return text != NULL ? (guint32)g_ascii_strtoull(text, NULL, 10) : g_random_int();
}

/* The cloud has granted, the owner pauses, and the grant and everything after it comes late, twice or never. */
static gboolean race(World *w)
{
    Started *s = world_start(w);
    gint64 limit = w->boot_us + SECOND;
    while (!s->decided && world_counts(w).open == 0 && world_run_one(w, limit))
        ;
    gboolean held_back = !s->decided && world_counts(w).open == 1;
    if (held_back) {
        w->lose = 0.4;
        w->twice = 0.5;
        world_set_paused(w, TRUE);
        gint64 paused_us = w->boot_us;
        while (world_run_one(w, paused_us + 20 * SECOND))
            ;
        g_assert_true(s->decided);
        if (s->begun)
            g_assert_cmpint(s->decided_us, <=, paused_us + IMP_LEDGER_USABLE_US);
        world_set_paused(w, FALSE);
        w->lose = w->twice = 0;
    }
    world_run(w, 10 * SECOND);
    if (s->begun)
        world_end(w, s, FALSE, FALSE);
    gboolean begun = s->begun;
    g_free(s);
    world_run(w, 60 * SECOND);
    g_assert_cmpuint(world_counts(w).open, ==, 0);
    return held_back && begun;
}

static void test_pause_race(void)
{
    guint32 seed = first_seed();
    g_test_message("IMPRINT_SEED=%u", seed);
    World *w = world_new(seed, 10);
    world_run(w, 3 * SECOND);
    guint n_begun = 0;
    for (guint i = 0; i < 400; i++) {
        w->answer_delay_us = g_rand_int_range(w->rand, 3000, 6000) * 1000;
        n_begun += race(w);
    }
    g_assert_cmpuint(n_begun, >, 20); /* the permits that came in time, or this test sees nothing */
    no_alarms(w);
    world_check(w);
    world_free(w);
}

/* ---- everything at once -------------------------------------------------------------------------------------------- */

typedef struct {
    World *w;
    GPtrArray *all; /* Started */
    GPtrArray *working; /* Started that have begun in this life and not ended */
    gint64 paused_us; /* since when; 0 = active */
    guint64 passed; /* journaled as passed */
    GHashTable *numbers; /* of launches that wrote */
} Run;

/* The rules that can be seen from outside, at the moment when a launch begins. */
static void judge_begun(Run *run, const Started *s)
{
    if (run->paused_us != 0)
        g_assert_cmpint(s->decided_us, <=, run->paused_us + IMP_LEDGER_USABLE_US);
    g_assert_cmpuint(s->answer.n_numbers, ==, 1);
}

static void collect(Run *run)
{
    for (guint i = 0; i < run->all->len; i++) {
        Started *s = run->all->pdata[i];
        if (!s->decided)
            continue;
        if (s->begun) {
            judge_begun(run, s);
            g_ptr_array_add(run->working, s);
        } else {
            g_free(s);
        }
        g_ptr_array_remove_index(run->all, i--);
    }
}

static void finish_one(Run *run, GRand *rand)
{
    guint index = (guint)g_rand_int_range(rand, 0, (gint32)run->working->len);
    Started *s = g_ptr_array_steal_index_fast(run->working, index);
    gboolean wrote = g_rand_double(rand) < 0.8, passed = wrote && g_rand_double(rand) < 0.8;
    if (wrote)
        g_assert_true(g_hash_table_add(run->numbers, GUINT_TO_POINTER(s->answer.numbers[0].number)));
    run->passed += passed;
    world_end(run->w, s, wrote, passed);
    g_free(s);
}

/* Launches that had begun and written when the process ended keep their numbers. */
static void crash(Run *run, GRand *rand)
{
    GError *error = NULL;
    while (run->working->len > 0) {
        Started *s = g_ptr_array_steal_index_fast(run->working, 0);
        if (g_rand_boolean(rand)) {
            g_assert_true(run->w->authority->ops->writing(run->w->authority, &s->want.launch, &error));
            g_assert_true(g_hash_table_add(run->numbers, GUINT_TO_POINTER(s->answer.numbers[0].number)));
        }
        g_free(s);
    }
    world_restart(run->w);
    g_assert_cmpuint(run->working->len, ==, 0);
    for (guint i = 0; i < run->all->len; i++)
        g_free(run->all->pdata[i]);
    g_ptr_array_set_size(run->all, 0);
}

static void act(Run *run, GRand *rand)
{
    World *w = run->w;
    switch (g_rand_int_range(rand, 0, 20)) {
    case 0:
        crash(run, rand);
        break;
    case 1:
        world_set_paused(w, run->paused_us == 0);
        run->paused_us = run->paused_us == 0 ? w->boot_us : 0;
        break;
    case 2:
        w->down = !w->down;
        break;
    case 3:
        world_jump_real(w, (g_rand_int_range(rand, -20, 20)) * SECOND);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        if (run->all->len + run->working->len < 4)
            g_ptr_array_add(run->all, world_start(w));
        break;
    default:
        if (run->working->len > 0)
            finish_one(run, rand);
        break;
    }
}

static void settle(Run *run, GRand *rand)
{
    World *w = run->w;
    w->down = FALSE;
    w->lose = w->twice = w->late = 0;
    world_run(w, 30 * SECOND);
    collect(run);
    while (run->working->len > 0)
        finish_one(run, rand);
    g_assert_cmpuint(run->all->len, ==, 0);
    world_run(w, 120 * SECOND);
}

static void one_run(guint32 seed)
{
    World *w = world_new(seed, 40);
    GRand *rand = g_rand_new_with_seed(seed ^ 0x5eed);
    Run run = {.w = w,
               .all = g_ptr_array_new(),
               .working = g_ptr_array_new(),
               .numbers = g_hash_table_new(NULL, NULL)};
    w->lose = g_rand_double_range(rand, 0, 0.4);
    w->twice = g_rand_double_range(rand, 0, 0.4);
    w->late = g_rand_double_range(rand, 0, 0.4);
    for (guint i = 0; i < 120; i++) {
        act(&run, rand);
        gint64 until = w->boot_us + (gint64)(g_rand_double(rand) * 3 * SECOND);
        while (world_run_one(w, until))
            collect(&run);
        collect(&run);
    }
    settle(&run, rand);

    ImpLedgerImageStatus counts = world_counts(w);
    g_assert_cmpuint(counts.open, ==, 0);
    g_assert_cmpuint(counts.passed, ==, run.passed);
    g_assert_cmpuint(counts.passed + counts.unknown, <=, 40);
    g_assert_cmpuint(counts.passed + counts.unknown + counts.spent, ==, g_hash_table_size(run.numbers));
    g_assert_cmpuint(imp_authority_cloud_view(w->authority)->reports_waiting, ==, 0);
    g_assert_cmpint(imp_authority_cloud_view(w->authority)->state, ==, IMP_CLOUD_WELCOMED);
    no_alarms(w);
    world_check(w);
    g_hash_table_unref(run.numbers);
    g_ptr_array_unref(run.all);
    g_ptr_array_unref(run.working);
    g_rand_free(rand);
    world_free(w);
}

/* IMPRINT_SEED runs one seed, IMPRINT_RUNS that many. */
static void test_random(void)
{
    const char *runs_text = g_getenv("IMPRINT_RUNS");
    guint32 first = first_seed();
    guint64 runs = runs_text != NULL                  ? g_ascii_strtoull(runs_text, NULL, 10)
                   : g_getenv("IMPRINT_SEED") != NULL ? 1
                                                      : 60;
    for (guint64 i = 0; i < runs; i++) {
        guint32 seed = first + (guint32)i;
        g_test_message("IMPRINT_SEED=%u", seed);
        one_run(seed);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/station/authority/hello-first", test_hello_first);
    g_test_add_func("/station/authority/report-and-want-together", test_report_and_want_together);
    g_test_add_func("/station/authority/ports-together", test_ports_together);
    g_test_add_func("/station/authority/unreachable", test_unreachable);
    g_test_add_func("/station/authority/answer-lost", test_answer_lost);
    g_test_add_func("/station/authority/report-later", test_report_later);
    g_test_add_func("/station/authority/restart", test_restart);
    g_test_add_func("/station/authority/open-list", test_open_list);
    g_test_add_func("/station/authority/freshness", test_freshness);
    g_test_add_func("/station/authority/never-fresh", test_never_fresh);
    g_test_add_func("/station/authority/repeated-answer", test_repeated_answer);
    g_test_add_func("/station/authority/withdrawn", test_withdrawn);
    g_test_add_func("/station/authority/blocked", test_blocked);
    g_test_add_func("/station/authority/stale", test_stale);
    g_test_add_func("/station/authority/pause-race", test_pause_race);
    g_test_add_func("/station/authority/random", test_random);
    return g_test_run();
}
