/* What the table of authority.c, with one station and one image, cannot say: several stations, accounts and pools, restrictions
 * beside each other, what people do with pools. */
#include "fixture.h"

#include <string.h>

#define POOL       POOL_DECIMAL("sn", 1, 999, "true")
#define POOL_SMALL POOL_DECIMAL("sn", 1, 2, "true")

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

/* What comes with the launches has no next number, and nothing can be split off. */
static void test_external_pool(void)
{
    static const char labels[] =
        "{\"first\":0,\"format\":{\"external\":8},\"id\":\"labels\",\"last\":9223372036854775807,"
        "\"reuse\":true,\"step\":1}";
    Cloud c;
    g_autoptr(GError) error = NULL;
    guint64 first, last;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = 9, .pool = labels});
    g_assert_false(imp_ledger_pool_set_next(c.cloud, "", "labels", 5, &owner, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_STATE);
    g_clear_error(&error);
    g_assert_false(imp_ledger_pool_split(c.cloud, "", "labels", 5, &owner, &first, &last, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_STATE);
    cloud_close(&c);
}

/* The next number is shown as it will be written, with the day of today; the last one has none behind it. */
static void test_next_text(void)
{
    static const char dated[] =
        "{\"first\":8,\"format\":{\"text\":\"T{date:yyww}-{n:02}{luhn}\"},\"id\":\"sn\",\"last\":9,"
        "\"reuse\":true,\"step\":1}";
    static const char *const texts[] = {"T2639-086", "T2639-094", ""};
    Cloud c;
    cloud_open(&c);
    image_must_add(c.cloud, &(ImageRow){.id = 1, .units = 9, .pool = dated});
    welcome(&c, 7, "");
    for (guint32 i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        ImpLedgerPoolStatus pool;
        g_assert_true(imp_ledger_pool_get(c.cloud, "", "sn", &pool, &error));
        g_assert_cmpstr(pool.next_text, ==, texts[i]);
        ImpWant want = want_of(i + 1, 1, i + 1);
        ImpAnswer answer = say_want(c.cloud, 7, 1, &want);
        g_assert_cmpstr(answer.n_numbers > 0 ? answer.numbers[0].text : "", ==, texts[i]);
    }
    /* What was granted stays as it was, whatever day it is. */
    world_pass(&c.world, 30 * G_TIME_SPAN_DAY);
    ImpWant again = want_of(1, 1, 9);
    g_assert_cmpstr(say_want(c.cloud, 7, 1, &again).numbers[0].text, ==, "T2639-086");
    cloud_close(&c);
}

/* Of several restrictions the refusal names one, always in this order; each alone is in the table of authority.c. */
static void test_which_restriction(void)
{
    static const struct {
        ImpLedgerImageState state;
        gint64 units, max_failures, not_after_s;
        int code;
        gboolean free_rework;
    } rows[] = {
        {IMP_LEDGER_PAUSED, 1, 1, 1, IMP_E_IMAGE_PAUSED},
        {IMP_LEDGER_ACTIVE, 1, 1, 1, IMP_E_TOO_LATE},
        {IMP_LEDGER_ACTIVE, 1, 1, 0, IMP_E_COUNT_USED_UP},
        {IMP_LEDGER_ACTIVE, 9, 1, 0, IMP_E_FAILURES_USED_UP},
        /* A chip that needs no unit may come beyond the count, and not beyond the failures. */
        {IMP_LEDGER_ACTIVE, 1, 1, 0, IMP_E_FAILURES_USED_UP, .free_rework = TRUE},
        {IMP_LEDGER_ACTIVE, 9, 9, 0, IMP_E_POOL_EXHAUSTED},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Cloud c;
        cloud_open(&c);
        /* The dates end between the launches below and the question. */
        gint64 not_after_s = rows[i].not_after_s != 0 ? T0_US / G_USEC_PER_SEC + 100 : 0;
        image_must_add(c.cloud, &(ImageRow){.id = 1,
                                            .units = rows[i].units,
                                            .max_failures = rows[i].max_failures,
                                            .not_after_s = not_after_s,
                                            .count_on = IMP_LEDGER_COUNT_ON_WRITE,
                                            .free_rework = rows[i].free_rework,
                                            .pool = POOL_DECIMAL("sn", 1, 1, "true")});
        welcome(&c, 7, "");
        ImpWant want = want_of(1, 1, 1);
        ImpAnswer granted = say_want(c.cloud, 7, 1, &want);
        g_assert_cmpint(granted.kind, ==, IMP_ANSWER_GRANTED);
        ImpReport report = report_of(1, 1, IMP_RESULT_SPENT);
        report.n_numbers = granted.n_numbers;
        report.numbers[0] = granted.numbers[0];
        g_assert_cmpint(say_report(c.cloud, 7, 1, &report).kind, ==, IMP_ANSWER_CONFIRMED);
        if (rows[i].state != IMP_LEDGER_ACTIVE)
            image_state(c.cloud, 1, rows[i].state);
        world_pass(&c.world, 200 * G_USEC_PER_SEC);
        want = want_of(2, 1, 2);
        ImpAnswer answer = say_want(c.cloud, 7, 1, &want);
        g_assert_cmpint(answer.kind, ==, IMP_ANSWER_REFUSED);
        g_assert_cmpint(answer.code, ==, rows[i].code);
        cloud_close(&c);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ledger/rules/scope", test_scope);
    g_test_add_func("/ledger/rules/unknown-image", test_unknown_image);
    g_test_add_func("/ledger/rules/launch-differs", test_launch_differs);
    g_test_add_func("/ledger/rules/two-stations-one-id", test_two_stations_one_id);
    g_test_add_func("/ledger/rules/shared-pool", test_shared_pool);
    g_test_add_func("/ledger/rules/add-again", test_add_again);
    g_test_add_func("/ledger/rules/disabled-for-ever", test_disabled_for_ever);
    g_test_add_func("/ledger/rules/effect", test_effect);
    g_test_add_func("/ledger/rules/conflict", test_conflict);
    g_test_add_func("/ledger/rules/accounts", test_accounts);
    g_test_add_func("/ledger/rules/comparison", test_comparison);
    g_test_add_func("/ledger/rules/claimed-numbers", test_claimed_numbers);
    g_test_add_func("/ledger/rules/several-pools", test_several_pools);
    g_test_add_func("/ledger/rules/set-next", test_set_next);
    g_test_add_func("/ledger/rules/split", test_split);
    g_test_add_func("/ledger/rules/split-limits", test_split_limits);
    g_test_add_func("/ledger/rules/external-pool", test_external_pool);
    g_test_add_func("/ledger/rules/next-text", test_next_text);
    g_test_add_func("/ledger/rules/which-restriction", test_which_restriction);
    return g_test_run();
}
