#include "fixture.h"

#include <glib/gstdio.h>
#include <string.h>

const ImpAct owner = {"owner", "for the test"};

/* ---- the world ---- */

static gint64 boot_us(void *self)
{
    return ((World *)self)->boot_us;
}

static gint64 real_us(void *self)
{
    return ((World *)self)->real_us;
}

static gboolean synchronised(void *self)
{
    return ((World *)self)->synchronised;
}

static void sleep_us(void *self, gint64 duration_us)
{
    world_pass(self, duration_us);
}

/* splitmix64 */
static guint64 next_random(World *world)
{
    guint64 z = world->random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void fill(void *self, void *buf, gsize n_bytes)
{
    guint8 *out = buf;
    for (gsize i = 0; i < n_bytes; i++)
        out[i] = (guint8)next_random(self);
}

void world_init(World *world, guint64 seed)
{
    *world = (World){.boot_us = 1000, .real_us = T0_US, .synchronised = TRUE, .random_state = seed};
    world->clock = (ImpClock){boot_us, real_us, synchronised, sleep_us, world};
    world->random = (ImpRandom){fill, world};
}

void world_pass(World *world, gint64 duration_us)
{
    world->boot_us += duration_us;
    world->real_us += duration_us;
}

guint64 world_random(World *world, guint64 below)
{
    return next_random(world) % below;
}

/* ---- files ---- */

char *folder_make(void)
{
    g_autoptr(GError) error = NULL;
    char *folder = g_dir_make_tmp("imprint-ledger-XXXXXX", &error);
    g_assert_no_error(error);
    return folder;
}

void folder_remove(char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    for (const char *name = g_dir_read_name(dir); name != NULL; name = g_dir_read_name(dir)) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_dir_close(dir);
    g_assert_cmpint(g_rmdir(folder), ==, 0);
    g_free(folder);
}

static void copy_file(const char *from, const char *to)
{
    g_autofree char *bytes = NULL;
    gsize n_bytes;
    if (!g_file_get_contents(from, &bytes, &n_bytes, NULL)) {
        (void)g_unlink(to);
        return;
    }
    g_autoptr(GError) error = NULL;
    g_file_set_contents_full(to, bytes, (gssize)n_bytes, G_FILE_SET_CONTENTS_NONE, 0600, &error);
    g_assert_no_error(error);
}

void ledger_copy(const char *from_path, const char *to_path)
{
    g_autofree char *from_wal = g_strconcat(from_path, "-wal", NULL);
    g_autofree char *to_wal = g_strconcat(to_path, "-wal", NULL);
    copy_file(from_path, to_path);
    copy_file(from_wal, to_wal);
}

/* ---- ledgers ---- */

ImpLedger *ledger_open(World *world, const char *path, ImpLedgerRole role, ImpLedgerSafety safety)
{
    g_autoptr(GError) error = NULL;
    ImpLedger *ledger = imp_ledger_open(
        &(ImpLedgerOptions){
            .path = path, .role = role, .safety = safety, .clock = &world->clock, .random = &world->random},
        &error);
    g_assert_no_error(error);
    return ledger;
}

void ledger_check(ImpLedger *ledger)
{
    g_autoptr(GPtrArray) wrongs = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    gboolean checked = imp_ledger_check(ledger, wrongs, &error);
    g_assert_no_error(error);
    g_assert_true(checked);
    for (guint i = 0; i < wrongs->len; i++)
        g_printerr("# %s\n", (const char *)g_ptr_array_index(wrongs, i));
    g_assert_cmpuint(wrongs->len, ==, 0);
}

ImpId id_of(guint32 n)
{
    ImpId id = {{0}};
    for (int i = 0; i < 4; i++)
        id.bytes[IMP_ID_BYTES - 1 - i] = (guint8)(n >> (8 * i));
    return id;
}

gboolean image_add(ImpLedger *ledger, const ImageRow *row, GError **error)
{
    ImpLedgerImage image = {
        .id = id_of(row->id),
        .name = "image",
        .limits = {.has_units = row->units >= 0,
                   .units = (guint64)MAX(row->units, 0),
                   .has_max_failures = row->max_failures > 0,
                   .max_failures = (guint64)MAX(row->max_failures, 0),
                   .has_not_before = row->not_before_s != 0,
                   .not_before_s = row->not_before_s,
                   .has_not_after = row->not_after_s != 0,
                   .not_after_s = row->not_after_s,
                   .count_on = row->count_on != 0 ? row->count_on : IMP_LEDGER_COUNT_ON_PASS},
        .rework = row->rework != 0 ? row->rework : IMP_LEDGER_REWORK_NEW,
        .free_rework = row->free_rework,
        .n_pools = (row->pool != NULL) + (row->pool_2 != NULL),
        .pools = {row->pool, row->pool_2},
    };
    g_strlcpy(image.scope, row->scope != NULL ? row->scope : "", sizeof image.scope);
    return imp_ledger_image_add(ledger, &image, &owner, error);
}

void image_must_add(ImpLedger *ledger, const ImageRow *row)
{
    g_autoptr(GError) error = NULL;
    gboolean added = image_add(ledger, row, &error);
    g_assert_no_error(error);
    g_assert_true(added);
}

ImpLedgerImageStatus image_get(ImpLedger *ledger, guint32 id)
{
    g_autoptr(GError) error = NULL;
    ImpLedgerImageStatus status = {0};
    ImpId image = id_of(id);
    g_assert_true(imp_ledger_image_get(ledger, &image, &status, &error));
    g_assert_no_error(error);
    return status;
}

void image_state(ImpLedger *ledger, guint32 id, ImpLedgerImageState state)
{
    g_autoptr(GError) error = NULL;
    ImpId image = id_of(id);
    g_assert_true(imp_ledger_image_set_state(ledger, &image, state, &owner, NULL, &error));
    g_assert_no_error(error);
}

void station_add(ImpLedger *ledger, guint32 id, const char *scope)
{
    g_autoptr(GError) error = NULL;
    ImpLedgerStation station = {.id = id_of(id)};
    g_snprintf(station.name, sizeof station.name, "station-%u", id);
    g_strlcpy(station.scope, scope, sizeof station.scope);
    g_assert_true(imp_ledger_station_add(ledger, &station, &owner, &error));
    g_assert_no_error(error);
}

ImpLedgerStation station_get(ImpLedger *ledger, guint32 id)
{
    g_autoptr(GError) error = NULL;
    ImpLedgerStation station = {0};
    ImpId wanted = id_of(id);
    g_assert_true(imp_ledger_station_get(ledger, &wanted, &station, &error));
    g_assert_no_error(error);
    return station;
}

/* ---- messages ---- */

ImpWant want_of(guint32 launch, guint32 image, guint64 ask)
{
    ImpWant want = {.launch = id_of(launch), .image = id_of(image), .ask = ask};
    g_strlcpy(want.port, "A1", sizeof want.port);
    g_strlcpy(want.order, "order-7", sizeof want.order);
    g_strlcpy(want.person, "operator", sizeof want.person);
    return want;
}

ImpAnswer granted_of(const ImpWant *want, guint64 number)
{
    ImpAnswer answer = {.kind = IMP_ANSWER_GRANTED, .launch = want->launch, .ask = want->ask};
    if (number > 0) {
        g_auto(ImpPool) pool = {0};
        g_assert_true(imp_pool_parse(POOL_DECIMAL("sn", 1, 999999, "true"), &pool, NULL));
        imp_pool_format(&pool, number, 0, &answer.numbers[0]);
        answer.n_numbers = 1;
    }
    return answer;
}

ImpReport report_of(guint32 launch, guint32 image, ImpResult result)
{
    ImpReport report = {.launch = id_of(launch), .result = result, .start_number = 1, .duration_ms = 1200};
    if (image != 0)
        report.image = id_of(image);
    g_strlcpy(report.port, "A1", sizeof report.port);
    g_strlcpy(report.order, "order-7", sizeof report.order);
    if (result != IMP_RESULT_PASSED)
        report.code = IMP_E_FLASH_MISMATCH;
    return report;
}

ImpSyncResponse *say(ImpLedger *cloud, guint32 station, const ImpSyncRequest *request)
{
    g_autoptr(GError) error = NULL;
    ImpSyncResponse *response = NULL;
    ImpId id = id_of(station);
    gboolean done = imp_ledger_sync(cloud, &id, request, &response, &error);
    g_assert_no_error(error);
    g_assert_true(done);
    return response;
}

ImpSyncResponse *say_hello(ImpLedger *cloud, guint32 station, guint64 start_number, guint32 nonce,
                           guint64 position)
{
    ImpSyncRequest request = {.protocol = IMP_WIRE_PROTOCOL,
                              .start_number = start_number,
                              .has_hello = TRUE,
                              .hello = {.nonce = id_of(nonce), .journal_position = position}};
    return say(cloud, station, &request);
}

static ImpAnswer say_one(ImpLedger *cloud, guint32 station, const ImpSyncRequest *request)
{
    g_autoptr(ImpSyncResponse) response = say(cloud, station, request);
    g_assert_cmpuint(response->n_answers, ==, 1);
    return response->answers[0];
}

ImpAnswer say_want(ImpLedger *cloud, guint32 station, guint64 start_number, const ImpWant *want)
{
    ImpWant copy = *want;
    ImpSyncRequest request = {
        .protocol = IMP_WIRE_PROTOCOL, .start_number = start_number, .n_wants = 1, .wants = &copy};
    return say_one(cloud, station, &request);
}

ImpAnswer say_refresh(ImpLedger *cloud, guint32 station, guint64 start_number, guint32 launch, guint64 ask)
{
    ImpRefresh refresh = {id_of(launch), ask};
    ImpSyncRequest request = {
        .protocol = IMP_WIRE_PROTOCOL, .start_number = start_number, .n_refreshes = 1, .refreshes = &refresh};
    return say_one(cloud, station, &request);
}

ImpAnswer say_report(ImpLedger *cloud, guint32 station, guint64 start_number, const ImpReport *report)
{
    g_autofree ImpReport *copy = g_memdup2(report, sizeof *report);
    ImpSyncRequest request = {
        .protocol = IMP_WIRE_PROTOCOL, .start_number = start_number, .n_reports = 1, .reports = copy};
    return say_one(cloud, station, &request);
}

guint alarms_of(ImpLedger *ledger, ImpAlarmKind kind)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) alarms = imp_ledger_alarms(ledger, 0, IMP_LEDGER_LIST_MAX, &error);
    g_assert_no_error(error);
    guint n = 0;
    for (guint i = 0; i < alarms->len; i++)
        n += g_array_index(alarms, ImpLedgerAlarm, i).kind == kind;
    return n;
}
