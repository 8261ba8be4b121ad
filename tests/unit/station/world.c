#include "world.h"

#include <glib/gstdio.h>
#include <string.h>

#include "wire/codec.h"

typedef struct {
    gint64 at_us;
    guint64 order;
    gboolean answer; /* to the station; else a request to the cloud */
    guint64 life; /* answers of an earlier life have nowhere to go */
    guint64 ticket;
    GBytes *bytes;
} Flight;

#define WORLD_POOL                                                                                           \
    "{\"first\":1,\"format\":{\"decimal\":6},\"id\":\"sn\",\"last\":999999,\"reuse\":true,"                  \
    "\"step\":1}"

static const ImpAct person = {.person = "owner@example", .reason = "test"};

static gint64 sim_boot(void *self)
{
    return ((World *)self)->boot_us;
}
static gint64 sim_real(void *self)
{
    return ((World *)self)->real_us;
}
static gboolean sim_synchronised(void *self)
{
    return TRUE;
}
static void sim_sleep(void *self, gint64 us)
{
    ((World *)self)->boot_us += us;
    ((World *)self)->real_us += us;
}
/* splitmix64 */
static void sim_fill(void *self, void *buf, gsize n)
{
    World *w = self;
    for (gsize i = 0; i < n; i++) {
        guint64 z = (w->random_state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
        ((guint8 *)buf)[i] = (guint8)(z >> 56);
    }
}

static void launch_flight(World *w, gboolean answer, guint64 ticket, GBytes *bytes, gint64 delay_us)
{
    Flight flight = {.at_us = w->boot_us + delay_us,
                     .order = w->next_order++,
                     .answer = answer,
                     .life = w->life.start_number,
                     .ticket = ticket,
                     .bytes = g_bytes_ref(bytes)};
    g_array_append_val(w->flights, flight);
}

static void fly(World *w, gboolean answer, guint64 ticket, GBytes *bytes)
{
    guint copies = g_rand_double(w->rand) < w->twice ? 2 : 1;
    for (guint i = 0; i < copies; i++) {
        gint64 delay = g_rand_int_range(w->rand, 1000, 30000);
        if (w->down || g_rand_double(w->rand) < w->lose)
            continue;
        if (g_rand_double(w->rand) < w->late)
            delay += g_rand_int_range(w->rand, (gint32)w->late_min_us, (gint32)w->late_max_us);
        launch_flight(w, answer, ticket, bytes, delay + (answer ? w->answer_delay_us : 0));
    }
}

static void on_send(gpointer self, guint64 ticket, GBytes *request)
{
    World *w = self;
    gsize n = 0;
    const char *text = g_bytes_get_data(request, &n);
    GError *error = NULL;
    ImpSyncRequest *decoded = imp_sync_request_decode(text, n, &error);
    g_assert_no_error(error);
    g_ptr_array_add(w->requests, decoded);
    g_clear_pointer(&w->last_request, g_bytes_unref);
    w->last_request = g_bytes_ref(request);
    fly(w, FALSE, ticket, request);
}

static void on_wake(gpointer user)
{
    ((World *)user)->need_step = TRUE;
}

static void open_station(World *w)
{
    GError *error = NULL;
    w->station = imp_ledger_open(&(ImpLedgerOptions){.path = w->station_path,
                                                     .role = IMP_LEDGER_STATION,
                                                     .safety = IMP_LEDGER_FORGETFUL,
                                                     .clock = &w->clock,
                                                     .random = &w->random},
                                 &error);
    g_assert_no_error(error);
    g_assert_true(imp_journal_start(w->station, &w->life, &error));
    w->authority = imp_authority_cloud_new(&(ImpAuthorityCloudOptions){.ledger = w->station,
                                                                       .life = w->life,
                                                                       .clock = &w->clock,
                                                                       .transport = {on_send, w},
                                                                       .wake = on_wake,
                                                                       .user = w});
    w->need_step = TRUE;
}

static void request_free(gpointer request)
{
    imp_sync_request_free(request);
}

World *world_new(guint32 seed, guint64 units)
{
    GError *error = NULL;
    World *w = g_new0(World, 1);
    w->boot_us = 100 * G_USEC_PER_SEC;
    w->real_us = G_GINT64_CONSTANT(1800000000) * G_USEC_PER_SEC;
    w->random_state = seed;
    w->clock = (ImpClock){sim_boot, sim_real, sim_synchronised, sim_sleep, w};
    w->random = (ImpRandom){sim_fill, w};
    w->rand = g_rand_new_with_seed(seed);
    w->late_max_us = 9 * G_USEC_PER_SEC;
    w->flights = g_array_new(FALSE, FALSE, sizeof(Flight));
    w->requests = g_ptr_array_new_with_free_func(request_free);
    w->folder = g_dir_make_tmp("imprint-world-XXXXXX", &error);
    w->station_path = g_build_filename(w->folder, "ledger.db", NULL);
    w->cloud = imp_ledger_open(&(ImpLedgerOptions){.path = ":memory:",
                                                   .role = IMP_LEDGER_CLOUD,
                                                   .safety = IMP_LEDGER_FORGETFUL,
                                                   .clock = &w->clock,
                                                   .random = &w->random},
                               &error);
    g_assert_no_error(error);
    w->station_id = imp_id_random(&w->random);
    w->image = imp_id_random(&w->random);
    ImpLedgerStation station = {.id = w->station_id, .account = "acme", .scope = "north", .name = "line-1"};
    g_assert_true(imp_ledger_station_add(w->cloud, &station, &person, &error));
    ImpLedgerImage image = {
        .rework = IMP_LEDGER_REWORK_NEW,
        .id = w->image,
        .account = "acme",
        .scope = "north",
        .name = "Blinky",
        .limits = {.has_units = TRUE, .units = units, .count_on = IMP_LEDGER_COUNT_ON_PASS},
        .n_pools = 1,
        .pools = {WORLD_POOL},
    };
    g_assert_true(imp_ledger_image_add(w->cloud, &image, &person, &error));
    g_assert_no_error(error);
    image.id = w->keep = imp_id_random(&w->random);
    image.rework = IMP_LEDGER_REWORK_KEEP;
    g_assert_true(imp_ledger_image_add(w->cloud, &image, &person, &error));
    image.id = w->refuse = imp_id_random(&w->random);
    image.rework = IMP_LEDGER_REWORK_REFUSE;
    g_assert_true(imp_ledger_image_add(w->cloud, &image, &person, &error));
    g_assert_no_error(error);
    open_station(w);
    return w;
}

static void close_station(World *w)
{
    imp_authority_cloud_free(g_steal_pointer(&w->authority));
    imp_ledger_close(g_steal_pointer(&w->station));
}

void world_free(World *w)
{
    close_station(w);
    imp_ledger_close(w->cloud);
    for (guint i = 0; i < w->flights->len; i++)
        g_bytes_unref(g_array_index(w->flights, Flight, i).bytes);
    g_array_unref(w->flights);
    g_ptr_array_unref(w->requests);
    g_rand_free(w->rand);
    for (guint i = 0; i < 3; i++) {
        g_autofree char *path = g_strconcat(w->station_path, (const char *[]){"", "-wal", "-shm"}[i], NULL);
        (void)g_remove(path);
    }
    (void)g_rmdir(w->folder);
    g_clear_pointer(&w->last_answer, g_bytes_unref);
    g_clear_pointer(&w->last_request, g_bytes_unref);
    g_free(w->folder);
    g_free(w->station_path);
    g_free(w);
}

void world_restart(World *w)
{
    close_station(w);
    open_station(w);
}

void world_repeat_request(World *w)
{
    launch_flight(w, FALSE, w->requests->len, w->last_request, 0);
}

void world_jump_real(World *w, gint64 by_us)
{
    w->real_us += by_us;
}

static void deliver(World *w, const Flight *flight)
{
    gsize n = 0;
    const char *text = g_bytes_get_data(flight->bytes, &n);
    GError *error = NULL;
    if (flight->answer) {
        if (flight->life == w->life.start_number)
            imp_authority_cloud_answer(w->authority, flight->ticket, flight->bytes, NULL);
        return;
    }
    g_autoptr(ImpSyncRequest) request = imp_sync_request_decode(text, n, &error);
    g_assert_no_error(error);
    g_autoptr(ImpSyncResponse) response = NULL;
    g_assert_true(imp_ledger_sync(w->cloud, &w->station_id, request, &response, &error));
    g_assert_no_error(error);
    char *answer = imp_sync_response_encode(response, &error);
    g_assert_no_error(error);
    g_autoptr(GBytes) bytes = g_bytes_new_take(answer, strlen(answer));
    g_clear_pointer(&w->last_answer, g_bytes_unref);
    w->last_answer = g_bytes_ref(bytes);
    if (flight->life == w->life.start_number)
        fly(w, TRUE, flight->ticket, bytes);
}

gboolean world_run_one(World *w, gint64 until_us)
{
    if (w->need_step) {
        w->need_step = FALSE;
        w->step_us = imp_authority_cloud_step(w->authority);
        return TRUE;
    }
    guint best = G_MAXUINT;
    gint64 at = w->step_us;
    guint64 order = 0;
    for (guint i = 0; i < w->flights->len; i++) {
        const Flight *flight = &g_array_index(w->flights, Flight, i);
        if (flight->at_us < at || (flight->at_us == at && best != G_MAXUINT && flight->order < order)) {
            best = i;
            at = flight->at_us;
            order = flight->order;
        }
    }
    gint64 to = MIN(at, until_us);
    if (to > w->boot_us) {
        w->real_us += to - w->boot_us;
        w->boot_us = to;
    }
    if (at > until_us)
        return FALSE;
    if (best == G_MAXUINT) {
        w->need_step = TRUE;
        return TRUE;
    }
    Flight flight = g_array_index(w->flights, Flight, best);
    g_array_remove_index(w->flights, best);
    deliver(w, &flight);
    g_bytes_unref(flight.bytes);
    return TRUE;
}

void world_run(World *w, gint64 duration_us)
{
    gint64 until = w->boot_us + duration_us;
    guint steps = 0;
    while (world_run_one(w, until))
        g_assert_cmpuint(++steps, <, 100000); /* an authority that never rests is a defect */
}

static void on_started(gpointer user, gboolean begun, const ImpAnswer *answer, const GError *error)
{
    Started *s = user;
    g_assert_false(s->decided);
    g_assert_true(begun == (error == NULL));
    s->decided = TRUE;
    s->begun = begun;
    s->decided_us = s->world->boot_us;
    s->code = error != NULL ? error->code : 0;
    if (answer != NULL)
        s->answer = *answer;
}

Started *world_start(World *w)
{
    Started *s = g_new0(Started, 1);
    s->world = w;
    s->want.launch = imp_id_ordered(&w->clock, &w->random);
    s->want.image = w->image;
    g_strlcpy(s->want.port, "1", sizeof s->want.port);
    w->authority->ops->start(w->authority, &s->want, on_started, s);
    return s;
}

void world_end(World *w, const Started *s, gboolean wrote, gboolean passed)
{
    GError *error = NULL;
    if (wrote)
        g_assert_true(w->authority->ops->writing(w->authority, &s->want.launch, &error));
    ImpReport *report = g_new0(ImpReport, 1);
    report->launch = s->want.launch;
    report->image = s->want.image;
    g_strlcpy(report->port, s->want.port, sizeof report->port);
    report->result = passed ? IMP_RESULT_PASSED : wrote ? IMP_RESULT_SPENT : IMP_RESULT_FAILED;
    report->code = passed ? 0 : IMP_E_FLASH_MISMATCH;
    report->n_numbers = s->answer.n_numbers;
    memcpy(report->numbers, s->answer.numbers, sizeof report->numbers);
    g_assert_true(w->authority->ops->end(w->authority, report, &error));
    g_assert_no_error(error);
    g_free(report);
}

ImpLedgerImageStatus world_counts(World *w)
{
    ImpLedgerImageStatus status;
    GError *error = NULL;
    g_assert_true(imp_ledger_image_get(w->cloud, &w->image, &status, &error));
    return status;
}

void world_set_paused(World *w, gboolean paused)
{
    GError *error = NULL;
    g_assert_true(imp_ledger_image_set_state(
        w->cloud, &w->image, paused ? IMP_LEDGER_PAUSED : IMP_LEDGER_ACTIVE, &person, NULL, &error));
}

static void check_ledger(ImpLedger *ledger)
{
    GError *error = NULL;
    g_autoptr(GPtrArray) wrongs = g_ptr_array_new_with_free_func(g_free);
    g_assert_true(imp_ledger_check(ledger, wrongs, &error));
    for (guint i = 0; i < wrongs->len; i++)
        g_test_message("wrong: %s", (const char *)wrongs->pdata[i]);
    g_assert_cmpuint(wrongs->len, ==, 0);
}

void world_check(World *w)
{
    check_ledger(w->station);
    check_ledger(w->cloud);
}
