/* The life of stations at the cloud: hello, its answers, the list of open launches; and the log. */
#include "fixture.h"

#include <string.h>

typedef struct {
    World world;
    ImpLedger *cloud;
} Cloud;

static void cloud_open(Cloud *c)
{
    world_init(&c->world, 5);
    c->cloud = ledger_open(&c->world, ":memory:", IMP_LEDGER_CLOUD, IMP_LEDGER_FORGETFUL);
    station_add(c->cloud, 7, "");
    image_must_add(c->cloud, &(ImageRow){.id = 1, .units = 50, .pool = POOL_DECIMAL("sn", 1, 999, "true")});
}

static void cloud_close(Cloud *c)
{
    ledger_check(c->cloud);
    imp_ledger_close(c->cloud);
}

/* ---- hello ---- */

typedef struct {
    guint64 start_number;
    guint32 nonce;
    guint64 position;
    ImpWelcome welcome;
    int code;
} Hello;

typedef struct {
    const char *name;
    guint64
        recorded_seq; /* after the first hello, a record of this place in the journal comes in; 0 = none */
    Hello hellos[8];
} HelloRow;

static const HelloRow hello_rows[] = {
    {"first", 0, {{1, 1, 0, IMP_WELCOME_YES}}},
    {"first-is-late", 0, {{12, 1, 40, IMP_WELCOME_YES}}},
    {"asked-twice", 0, {{1, 1, 0, IMP_WELCOME_YES}, {1, 1, 0, IMP_WELCOME_YES}, {1, 1, 0, IMP_WELCOME_YES}}},
    {"next", 3, {{1, 1, 0, IMP_WELCOME_YES}, {2, 2, 3, IMP_WELCOME_YES}, {3, 3, 9, IMP_WELCOME_YES}}},
    {"journal-back",
     3,
     {{1, 1, 0, IMP_WELCOME_YES},
      {2, 2, 2, IMP_WELCOME_BLOCKED, IMP_E_STATION_BLOCKED},
      /* and stays blocked, whatever it says */
      {3, 3, 9, IMP_WELCOME_BLOCKED, IMP_E_STATION_BLOCKED}}},
    {"two-copies",
     0,
     {{1, 1, 0, IMP_WELCOME_YES},
      {1, 2, 0, IMP_WELCOME_BLOCKED, IMP_E_STATION_BLOCKED},
      /* nobody knows which is the honest one */
      {1, 1, 0, IMP_WELCOME_BLOCKED, IMP_E_STATION_BLOCKED}}},
    {"old-life",
     0,
     {{5, 5, 0, IMP_WELCOME_YES},
      {4, 4, 0, IMP_WELCOME_STALE, IMP_E_STATION_STALE},
      {5, 5, 0, IMP_WELCOME_YES}}},
    /* A late duplicate of an old hello does not block an honest station. */
    {"late-duplicate",
     3,
     {{1, 1, 0, IMP_WELCOME_YES},
      {2, 2, 3, IMP_WELCOME_YES},
      {1, 1, 0, IMP_WELCOME_STALE, IMP_E_STATION_STALE},
      {3, 3, 3, IMP_WELCOME_YES}}},
    {"start-zero", 0, {{0, 1, 0, IMP_WELCOME_STALE, IMP_E_STATION_STALE}}},
};

static void test_hello(gconstpointer data)
{
    const HelloRow *row = data;
    Cloud c;
    cloud_open(&c);
    for (guint i = 0; i < G_N_ELEMENTS(row->hellos) && row->hellos[i].welcome != 0; i++) {
        const Hello *h = &row->hellos[i];
        g_autoptr(ImpSyncResponse) response = say_hello(c.cloud, 7, h->start_number, h->nonce, h->position);
        g_assert_cmpint(response->welcome, ==, h->welcome);
        g_assert_cmpint(response->code, ==, h->code);
        g_assert_cmpint(response->has_open, ==, h->welcome == IMP_WELCOME_YES);
        if (i == 0 && row->recorded_seq > 0) {
            ImpReport report = report_of(90, 1, IMP_RESULT_RETURNED);
            report.seq = row->recorded_seq;
            g_assert_cmpint(say_report(c.cloud, 7, 1, &report).kind, ==, IMP_ANSWER_CONFIRMED);
        }
        ledger_check(c.cloud);
    }
    gboolean blocked = FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(row->hellos); i++)
        blocked = blocked || row->hellos[i].welcome == IMP_WELCOME_BLOCKED;
    g_assert_cmpint(station_get(c.cloud, 7).blocked, ==, blocked);
    g_assert_cmpuint(alarms_of(c.cloud, IMP_ALARM_JOURNAL_BACK) + alarms_of(c.cloud, IMP_ALARM_TWO_COPIES),
                     ==, blocked);
    cloud_close(&c);
}

/* Nothing but reports is taken from a life that is not the welcomed one. */
static void test_who_may_ask(void)
{
    static const struct {
        guint64 start_number;
        ImpWelcome welcome;
        int code; /* of wants and refreshes; 0 = granted */
    } rows[] = {{1, IMP_WELCOME_STALE, IMP_E_STATION_STALE},
                {2, IMP_WELCOME_NONE, 0},
                {3, IMP_WELCOME_FIRST, IMP_E_NOT_WELCOMED}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Cloud c;
        cloud_open(&c);
        imp_sync_response_free(say_hello(c.cloud, 7, 2, 2, 0));
        ImpWant want = want_of(1, 1, 11);
        ImpRefresh refresh = {id_of(1), 12};
        g_autofree ImpReport *report = g_new(ImpReport, 1);
        *report = report_of(2, 1, IMP_RESULT_RETURNED);
        ImpSyncRequest request = {.protocol = IMP_WIRE_PROTOCOL,
                                  .start_number = rows[i].start_number,
                                  .want_open = TRUE,
                                  .n_reports = 1,
                                  .reports = report,
                                  .n_refreshes = 1,
                                  .refreshes = &refresh,
                                  .n_wants = 1,
                                  .wants = &want};
        g_autoptr(ImpSyncResponse) response = say(c.cloud, 7, &request);
        g_assert_cmpint(response->welcome, ==, rows[i].welcome);
        g_assert_cmpint(response->has_open, ==, rows[i].code == 0);
        g_assert_cmpuint(response->n_answers, ==, 3);
        g_assert_cmpint(response->answers[0].kind, ==, IMP_ANSWER_CONFIRMED);
        if (rows[i].code != 0) {
            g_assert_cmpint(response->answers[1].kind, ==, IMP_ANSWER_REFUSED);
            g_assert_cmpint(response->answers[1].code, ==, rows[i].code);
            g_assert_cmpuint(response->answers[1].ask, ==, 12);
            g_assert_cmpint(response->answers[2].kind, ==, IMP_ANSWER_REFUSED);
            g_assert_cmpint(response->answers[2].code, ==, rows[i].code);
        } else {
            g_assert_cmpint(response->answers[1].kind, ==, IMP_ANSWER_WITHDRAWN);
            g_assert_cmpint(response->answers[2].kind, ==, IMP_ANSWER_GRANTED);
        }
        g_assert_cmpuint(image_get(c.cloud, 1).open, ==, rows[i].code == 0);
        cloud_close(&c);
    }
}

static void test_blocked_reports(void)
{
    Cloud c;
    cloud_open(&c);
    imp_sync_response_free(say_hello(c.cloud, 7, 1, 1, 0));
    ImpWant want = want_of(1, 1, 1);
    (void)say_want(c.cloud, 7, 1, &want);
    imp_sync_response_free(say_hello(c.cloud, 7, 1, 2, 0));
    g_assert_true(station_get(c.cloud, 7).blocked);
    want = want_of(2, 1, 1);
    g_assert_cmpint(say_want(c.cloud, 7, 1, &want).code, ==, IMP_E_STATION_BLOCKED);
    g_assert_cmpint(say_refresh(c.cloud, 7, 1, 1, 1).code, ==, IMP_E_STATION_BLOCKED);
    ImpReport report = report_of(1, 1, IMP_RESULT_UNKNOWN);
    g_assert_cmpint(say_report(c.cloud, 7, 1, &report).kind, ==, IMP_ANSWER_CONFIRMED);
    g_assert_cmpuint(image_get(c.cloud, 1).unknown, ==, 1);
    cloud_close(&c);
}

/* A person has looked at the station: its next hello is accepted, and the journal counts from there. */
static void test_admit(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    ImpId station = id_of(7);
    cloud_open(&c);
    imp_sync_response_free(say_hello(c.cloud, 7, 5, 5, 0));
    g_assert_false(imp_ledger_station_admit(c.cloud, &station, &owner, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_STATE);
    g_clear_error(&error);
    ImpReport report = report_of(1, 1, IMP_RESULT_RETURNED);
    report.seq = 40;
    (void)say_report(c.cloud, 7, 5, &report);
    imp_sync_response_free(say_hello(c.cloud, 7, 6, 6, 30));
    g_assert_true(station_get(c.cloud, 7).blocked);
    ImpAct hasty = {"owner", NULL};
    g_assert_false(imp_ledger_station_admit(c.cloud, &station, &hasty, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    g_clear_error(&error);
    g_assert_true(imp_ledger_station_admit(c.cloud, &station, &owner, &error));
    g_autoptr(ImpSyncResponse) again = say_hello(c.cloud, 7, 7, 7, 30);
    g_assert_cmpint(again->welcome, ==, IMP_WELCOME_YES);
    /* What the journal has from now on is required again. */
    report = report_of(2, 1, IMP_RESULT_RETURNED);
    report.seq = 31;
    (void)say_report(c.cloud, 7, 7, &report);
    g_autoptr(ImpSyncResponse) back = say_hello(c.cloud, 7, 8, 8, 30);
    g_assert_cmpint(back->welcome, ==, IMP_WELCOME_BLOCKED);
    cloud_close(&c);
}

static void test_removed(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    ImpId station = id_of(7), nobody = id_of(99);
    ImpLedgerEffect effect;
    cloud_open(&c);
    imp_sync_response_free(say_hello(c.cloud, 7, 1, 1, 0));
    ImpWant want = want_of(1, 1, 1);
    (void)say_want(c.cloud, 7, 1, &want);
    g_assert_true(imp_ledger_station_remove(c.cloud, &station, &owner, &effect, &error));
    g_assert_cmpuint(effect.open, ==, 1);
    g_autoptr(ImpSyncResponse) response = say_hello(c.cloud, 7, 2, 2, 0);
    g_assert_cmpint(response->welcome, ==, IMP_WELCOME_BLOCKED);
    g_assert_cmpint(response->code, ==, IMP_E_STATION_UNKNOWN);
    ImpSyncRequest request = {.protocol = IMP_WIRE_PROTOCOL, .start_number = 1};
    ImpSyncResponse *none = NULL;
    g_assert_false(imp_ledger_sync(c.cloud, &nobody, &request, &none, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_STATION_UNKNOWN);
    g_assert_null(none);
    cloud_close(&c);
}

/* The welcome lists what is open: so a lost answer keeps no permit open for ever. Reports of the same request are taken
 * first; wants of the same request are not listed. */
static void test_open_list(void)
{
    Cloud c;
    cloud_open(&c);
    imp_sync_response_free(say_hello(c.cloud, 7, 1, 1, 0));
    for (guint32 i = 1; i <= 3; i++) {
        ImpWant want = want_of(i, 1, i);
        (void)say_want(c.cloud, 7, 1, &want);
    }
    g_autofree ImpReport *report = g_new(ImpReport, 1);
    *report = report_of(2, 1, IMP_RESULT_FAILED);
    ImpWant want = want_of(4, 1, 4);
    ImpSyncRequest request = {.protocol = IMP_WIRE_PROTOCOL,
                              .start_number = 2,
                              .has_hello = TRUE,
                              .hello = {id_of(2), 9},
                              .n_reports = 1,
                              .reports = report,
                              .n_wants = 1,
                              .wants = &want};
    g_autoptr(ImpSyncResponse) response = say(c.cloud, 7, &request);
    g_assert_cmpint(response->welcome, ==, IMP_WELCOME_YES);
    g_assert_cmpint(response->answers[1].kind, ==, IMP_ANSWER_GRANTED);
    g_assert_cmpuint(response->n_open, ==, 2);
    ImpId first = id_of(1), third = id_of(3);
    g_assert_true(imp_id_equal(&response->open[0], &first));
    g_assert_true(imp_id_equal(&response->open[1], &third));
    /* On request, in a running life, the same. */
    ImpSyncRequest ask = {.protocol = IMP_WIRE_PROTOCOL, .start_number = 2, .want_open = TRUE};
    g_autoptr(ImpSyncResponse) list = say(c.cloud, 7, &ask);
    g_assert_cmpint(list->welcome, ==, IMP_WELCOME_NONE);
    g_assert_true(list->has_open);
    g_assert_cmpuint(list->n_open, ==, 3);
    cloud_close(&c);
}

static void test_in_doubt(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    cloud_open(&c);
    imp_sync_response_free(say_hello(c.cloud, 7, 1, 1, 0));
    ImpWant want = want_of(1, 1, 1);
    (void)say_want(c.cloud, 7, 1, &want);
    for (int i = 0; i < 3; i++) {
        g_autoptr(GArray) open = imp_ledger_open_launches(c.cloud, NULL, &error);
        g_assert_cmpuint(open->len, ==, 1);
        const ImpLedgerOpen *launch = &g_array_index(open, ImpLedgerOpen, 0);
        g_assert_cmpint(launch->in_doubt, ==, i == 1);
        g_assert_cmpstr(launch->port, ==, "A1");
        g_assert_cmpuint(launch->n_numbers, ==, 1);
        g_assert_cmpuint(launch->numbers[0].number, ==, 1);
        world_pass(&c.world, 61 * G_USEC_PER_SEC);
        if (i == 1) /* heard again */
            (void)say_refresh(c.cloud, 7, 1, 1, 5);
    }
    ImpId other = id_of(2);
    g_autoptr(GArray) none = imp_ledger_open_launches(c.cloud, &other, &error);
    g_assert_cmpuint(none->len, ==, 0);
    cloud_close(&c);
}

/* ---- batches ---- */

static void test_batch(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    cloud_open(&c);
    imp_sync_response_free(say_hello(c.cloud, 7, 1, 1, 0));
    g_assert_true(imp_ledger_begin(c.cloud, &error));
    for (guint32 i = 1; i <= 10; i++) {
        ImpWant want = want_of(i, 1, i);
        g_assert_cmpint(say_want(c.cloud, 7, 1, &want).kind, ==, IMP_ANSWER_GRANTED);
    }
    imp_ledger_rollback(c.cloud);
    g_assert_cmpuint(image_get(c.cloud, 1).open, ==, 0);
    ledger_check(c.cloud);

    g_assert_true(imp_ledger_begin(c.cloud, &error));
    for (guint32 i = 1; i <= 10; i++) {
        ImpWant want = want_of(i, 1, i);
        g_assert_cmpuint(say_want(c.cloud, 7, 1, &want).numbers[0].number, ==, i);
    }
    /* A refused change inside takes back only itself. */
    g_assert_false(image_add(
        c.cloud, &(ImageRow){.id = 2, .units = 1, .pool = POOL_DECIMAL("sn", 1, 5, "true")}, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_POOL_DIFFERS);
    g_clear_error(&error);
    image_state(c.cloud, 1, IMP_LEDGER_PAUSED);
    ImpWant late = want_of(11, 1, 11);
    g_assert_cmpint(say_want(c.cloud, 7, 1, &late).code, ==, IMP_E_IMAGE_PAUSED);
    g_assert_true(imp_ledger_commit(c.cloud, &error));
    g_assert_cmpuint(image_get(c.cloud, 1).open, ==, 10);
    cloud_close(&c);
}

/* ---- the log ---- */

static void make_log(Cloud *c)
{
    image_must_add(c->cloud, &(ImageRow){.id = 2, .units = -1});
    station_add(c->cloud, 8, "");
    imp_sync_response_free(say_hello(c->cloud, 7, 1, 1, 0));
    imp_sync_response_free(say_hello(c->cloud, 8, 1, 1, 0));
    /* records 1 to 12: image 1 and 2 in turn, station 7 and 8 two and two, every third one failed */
    for (guint32 i = 1; i <= 12; i++) {
        guint32 station = 7 + (i / 2) % 2, image = 1 + i % 2;
        ImpWant want = want_of(i, image, i);
        ImpAnswer granted = say_want(c->cloud, station, 1, &want);
        ImpReport report = report_of(i, image, i % 3 == 0 ? IMP_RESULT_SPENT : IMP_RESULT_PASSED);
        report.seq = i;
        report.n_numbers = granted.n_numbers;
        memcpy(report.numbers, granted.numbers, sizeof report.numbers);
        world_pass(&c->world, G_USEC_PER_SEC);
        g_assert_cmpint(say_report(c->cloud, station, 1, &report).kind, ==, IMP_ANSWER_CONFIRMED);
    }
}

static void check_log(Cloud *c, const ImpLedgerLogQuery *query, const char *records)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) log = imp_ledger_log(c->cloud, query, &error);
    g_assert_no_error(error);
    g_autoptr(GString) got = g_string_new(NULL);
    for (guint i = 0; i < log->len; i++)
        g_string_append_printf(got, "%s%" G_GUINT64_FORMAT, i > 0 ? " " : "",
                               g_array_index(log, ImpLedgerLogEntry, i).record);
    g_assert_cmpstr(got->str, ==, records);
}

static void test_log_filters(void)
{
    Cloud c;
    cloud_open(&c);
    make_log(&c);
    const struct {
        ImpLedgerLogQuery query;
        const char *records;
    } rows[] = {
        {{.limit = 1000}, "1 2 3 4 5 6 7 8 9 10 11 12"},
        {{.limit = 3}, "1 2 3"},
        {{.limit = 3, .cursor = 3}, "4 5 6"},
        {{.limit = 3, .cursor = 11}, "12"},
        {{.limit = 3, .cursor = 12}, ""},
        {{.limit = 3, .newest_first = TRUE}, "12 11 10"},
        {{.limit = 3, .newest_first = TRUE, .cursor = 10}, "9 8 7"},
        {{.limit = 9, .has_image = TRUE, .image = id_of(1)}, "2 4 6 8 10 12"},
        {{.limit = 2, .has_image = TRUE, .image = id_of(1), .newest_first = TRUE}, "12 10"},
        {{.limit = 2, .has_image = TRUE, .image = id_of(1), .cursor = 4}, "6 8"},
        {{.limit = 9, .has_station = TRUE, .station = id_of(8)}, "2 3 6 7 10 11"},
        {{.limit = 9, .has_station = TRUE, .station = id_of(99)}, ""},
        {{.limit = 9, .has_station = TRUE, .station = id_of(8), .has_image = TRUE, .image = id_of(2)},
         "3 7 11"},
        {{.limit = 9, .has_launch = TRUE, .launch = id_of(5)}, "5"},
        {{.limit = 9, .has_result = TRUE, .result = IMP_RESULT_SPENT}, "3 6 9 12"},
        {{.limit = 9, .has_result = TRUE, .result = IMP_RESULT_LOST}, ""},
        {{.limit = 9, .from_us = T0_US + 10 * G_USEC_PER_SEC}, "10 11 12"},
        {{.limit = 9, .to_us = T0_US + 3 * G_USEC_PER_SEC}, "1 2"},
        {{.limit = 9,
          .from_us = T0_US + 3 * G_USEC_PER_SEC,
          .to_us = T0_US + 6 * G_USEC_PER_SEC,
          .newest_first = TRUE},
         "5 4 3"},
        {{.limit = 9,
          .has_image = TRUE,
          .image = id_of(2),
          .has_result = TRUE,
          .result = IMP_RESULT_SPENT,
          .newest_first = TRUE},
         "9 3"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        check_log(&c, &rows[i].query, rows[i].records);
    static const guint32 limits[] = {0, IMP_LEDGER_LIST_MAX + 1};
    for (gsize i = 0; i < G_N_ELEMENTS(limits); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(imp_ledger_log(c.cloud, &(ImpLedgerLogQuery){.limit = limits[i]}, &error));
        g_assert_error(error, IMP_ERROR, IMP_E_LIMIT);
    }
    cloud_close(&c);
}

/* Every member of a report comes back from the log. */
static void test_log_members(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    cloud_open(&c);
    imp_sync_response_free(say_hello(c.cloud, 7, 1, 1, 0));
    ImpWant want = want_of(1, 1, 1);
    ImpAnswer granted = say_want(c.cloud, 7, 1, &want);
    ImpReport report = {.launch = id_of(1),
                        .image = id_of(1),
                        .result = IMP_RESULT_SPENT,
                        .seq = 5,
                        .start_number = 1,
                        .port = "A1",
                        .order = "order-7",
                        .person = "somebody",
                        .began_real_us = T0_US - 5,
                        .duration_ms = 4000000000u,
                        .code = IMP_E_FLASH_MISMATCH,
                        .detail = {.has_address = TRUE,
                                   .address = 0xfffffffffffffff0u,
                                   .expected = {1, 2},
                                   .found = {3, 4, 5},
                                   .expected_bytes = 2,
                                   .found_bytes = 3,
                                   .step = "verify"},
                        .uid = {9, 8, 7},
                        .n_uid = 3,
                        .n_numbers = 1,
                        .n_reads = 2,
                        .reads = {{"trim", {1, 2, 3}, 3}, {"empty", {0}, 0}},
                        .link_waits = 4000000000u,
                        .link_faults = 2,
                        .link_errors = 3,
                        .link_retries = 4,
                        .link_hz = 5,
                        .link_slowed_by = 2013};
    report.numbers[0] = granted.numbers[0];
    (void)say_report(c.cloud, 7, 1, &report);
    g_autoptr(GArray) log = imp_ledger_log(c.cloud, &(ImpLedgerLogQuery){.limit = 1}, &error);
    g_assert_cmpuint(log->len, ==, 1);
    const ImpLedgerLogEntry *entry = &g_array_index(log, ImpLedgerLogEntry, 0);
    ImpId station = id_of(7);
    g_assert_true(imp_id_equal(&entry->station, &station));
    g_assert_true(entry->own);
    g_assert_cmpint(entry->received_us, ==, c.world.real_us);
    const ImpReport *back = &entry->report;
    g_assert_true(imp_id_equal(&back->launch, &report.launch));
    g_assert_true(imp_id_equal(&back->image, &report.image));
    g_assert_cmpint(back->result, ==, report.result);
    g_assert_cmpuint(back->seq, ==, report.seq);
    g_assert_cmpuint(back->start_number, ==, report.start_number);
    g_assert_cmpstr(back->port, ==, report.port);
    g_assert_cmpstr(back->order, ==, report.order);
    g_assert_cmpstr(back->person, ==, report.person);
    g_assert_cmpint(back->began_real_us, ==, report.began_real_us);
    g_assert_cmpuint(back->duration_ms, ==, report.duration_ms);
    g_assert_cmpint(back->code, ==, report.code);
    g_assert_true(back->detail.has_address);
    g_assert_cmpuint(back->detail.address, ==, report.detail.address);
    g_assert_cmpstr(back->detail.step, ==, "verify");
    g_assert_cmpmem(back->detail.expected, back->detail.expected_bytes, report.detail.expected, 2);
    g_assert_cmpmem(back->detail.found, back->detail.found_bytes, report.detail.found, 3);
    g_assert_cmpmem(back->uid, back->n_uid, report.uid, 3);
    g_assert_cmpuint(back->n_numbers, ==, 1);
    g_assert_cmpstr(back->numbers[0].text, ==, "000001");
    g_assert_cmpmem(back->numbers[0].bytes, back->numbers[0].n_bytes, "000001", 6);
    g_assert_cmpuint(back->n_reads, ==, 2);
    g_assert_cmpstr(back->reads[0].name, ==, "trim");
    g_assert_cmpmem(back->reads[0].bytes, back->reads[0].n_bytes, report.reads[0].bytes, 3);
    g_assert_cmpstr(back->reads[1].name, ==, "empty");
    g_assert_cmpuint(back->reads[1].n_bytes, ==, 0);
    g_assert_cmpuint(back->link_waits, ==, 4000000000u);
    g_assert_cmpuint(back->link_faults, ==, 2);
    g_assert_cmpuint(back->link_errors, ==, 3);
    g_assert_cmpuint(back->link_retries, ==, 4);
    g_assert_cmpuint(back->link_hz, ==, 5);
    g_assert_cmpuint(back->link_slowed_by, ==, 2013);
    cloud_close(&c);
}

/* The same chip again: rework, shown from its second record on, for this image only. */
static void test_rework(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 2, .units = -1});
    imp_sync_response_free(say_hello(c.cloud, 7, 1, 1, 0));
    static const struct {
        guint32 image;
        ImpResult result;
        guint8 uid;
        gboolean rework, known;
    } rows[] = {
        {1, IMP_RESULT_SPENT, 5, FALSE, FALSE}, {1, IMP_RESULT_PASSED, 5, FALSE, TRUE},
        {2, IMP_RESULT_PASSED, 5, FALSE, TRUE}, {1, IMP_RESULT_PASSED, 6, FALSE, TRUE},
        {1, IMP_RESULT_SPENT, 5, TRUE, TRUE},   {1, IMP_RESULT_PASSED, 5, TRUE, TRUE},
    };
    for (guint32 i = 0; i < G_N_ELEMENTS(rows); i++) {
        ImpWant want = want_of(i + 1, rows[i].image, i);
        ImpAnswer granted = say_want(c.cloud, 7, 1, &want);
        ImpReport report = report_of(i + 1, rows[i].image, rows[i].result);
        report.n_numbers = granted.n_numbers;
        memcpy(report.numbers, granted.numbers, sizeof report.numbers);
        report.uid[0] = rows[i].uid;
        report.n_uid = 1;
        (void)say_report(c.cloud, 7, 1, &report);
        g_autoptr(GArray) log =
            imp_ledger_log(c.cloud, &(ImpLedgerLogQuery){.limit = 1, .newest_first = TRUE}, &error);
        g_assert_cmpint(g_array_index(log, ImpLedgerLogEntry, 0).rework, ==, rows[i].rework);
        gboolean known;
        ImpId image = id_of(rows[i].image);
        g_assert_true(imp_ledger_unit_known(c.cloud, &image, &rows[i].uid, 1, &known, &error));
        g_assert_cmpint(known, ==, rows[i].known);
    }
    cloud_close(&c);
}

static void test_after_settlement(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    ImpId station = id_of(7), launch = id_of(1);
    cloud_open(&c);
    imp_sync_response_free(say_hello(c.cloud, 7, 1, 1, 0));
    ImpWant want = want_of(1, 1, 1);
    (void)say_want(c.cloud, 7, 1, &want);
    world_pass(&c.world, 2 * 60 * G_USEC_PER_SEC);
    g_assert_true(imp_ledger_settle(c.cloud, &station, &launch, &owner, &error));
    ImpReport report = report_of(1, 1, IMP_RESULT_LOST);
    (void)say_report(c.cloud, 7, 1, &report);
    g_autoptr(GArray) log = imp_ledger_log(c.cloud, &(ImpLedgerLogQuery){.limit = 1}, &error);
    g_assert_true(g_array_index(log, ImpLedgerLogEntry, 0).after_settlement);
    /* A lost launch knows neither its order nor its numbers: the permit does. */
    g_assert_cmpstr(g_array_index(log, ImpLedgerLogEntry, 0).report.order, ==, "order-7");
    g_assert_cmpuint(g_array_index(log, ImpLedgerLogEntry, 0).report.n_numbers, ==, 1);
    cloud_close(&c);
}

/* Every change by a person is in the audit log, with who and why. */
static void test_audit(void)
{
    Cloud c;
    g_autoptr(GError) error = NULL;
    cloud_open(&c);
    image_state(c.cloud, 1, IMP_LEDGER_PAUSED);
    image_state(c.cloud, 1, IMP_LEDGER_ACTIVE);
    g_assert_true(imp_ledger_audit_add(c.cloud, "person-add", "eve", &(ImpAct){"owner", NULL}, &error));
    static const char *const actions[] = {"station-add", "image-add", "image-pause", "image-resume",
                                          "person-add"};
    g_autoptr(GArray) audit = imp_ledger_audit(c.cloud, 0, 100, &error);
    g_assert_cmpuint(audit->len, ==, G_N_ELEMENTS(actions));
    for (guint i = 0; i < audit->len; i++) {
        const ImpLedgerAudit *row = &g_array_index(audit, ImpLedgerAudit, i);
        g_assert_cmpstr(row->action, ==, actions[i]);
        g_assert_cmpstr(row->person, ==, "owner");
        g_assert_cmpstr(row->reason, ==, i < 4 ? "for the test" : "");
        g_assert_cmpint(row->real_us, ==, c.world.real_us);
    }
    g_autoptr(GArray) rest =
        imp_ledger_audit(c.cloud, g_array_index(audit, ImpLedgerAudit, 2).row, 100, &error);
    g_assert_cmpuint(rest->len, ==, 2);
    cloud_close(&c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(hello_rows); i++) {
        g_autofree char *path = g_strdup_printf("/ledger/life/hello/%s", hello_rows[i].name);
        g_test_add_data_func(path, &hello_rows[i], test_hello);
    }
    g_test_add_func("/ledger/life/who-may-ask", test_who_may_ask);
    g_test_add_func("/ledger/life/blocked-reports", test_blocked_reports);
    g_test_add_func("/ledger/life/admit", test_admit);
    g_test_add_func("/ledger/life/removed", test_removed);
    g_test_add_func("/ledger/life/open-list", test_open_list);
    g_test_add_func("/ledger/life/in-doubt", test_in_doubt);
    g_test_add_func("/ledger/life/batch", test_batch);
    g_test_add_func("/ledger/log/filters", test_log_filters);
    g_test_add_func("/ledger/log/members", test_log_members);
    g_test_add_func("/ledger/log/rework", test_rework);
    g_test_add_func("/ledger/log/after-settlement", test_after_settlement);
    g_test_add_func("/ledger/audit", test_audit);
    return g_test_run();
}
