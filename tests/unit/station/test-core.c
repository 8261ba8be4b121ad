/* A whole station in this process, on the real main loop, with a clock of its own: SAPs with dates (rule 9), two stations
 * side by side, and what a launch does when there is no probe behind its port. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"
#include "station/station.h"

#define POOL "{\"first\":1,\"format\":{\"decimal\":6},\"id\":\"sn\",\"last\":999,\"reuse\":true,\"step\":1}"

/* The machine's clock, moved by some seconds; the port's thread reads it, too. */
typedef struct {
    gint offset_s; /* atomic */
    gint synchronised; /* atomic */
    ImpClock clock;
} TestClock;

static gint64 test_boot(void *self)
{
    return imp_clock_boot_us(imp_clock_system());
}
static gint64 test_real(void *self)
{
    return imp_clock_real_us(imp_clock_system()) +
           (gint64)g_atomic_int_get(&((TestClock *)self)->offset_s) * G_USEC_PER_SEC;
}
static gboolean test_synchronised(void *self)
{
    return g_atomic_int_get(&((TestClock *)self)->synchronised);
}
static void test_sleep(void *self, gint64 us)
{
    imp_clock_sleep_us(imp_clock_system(), us);
}

typedef struct {
    char *folder;
    Keys *keys;
    ImpObject *object;
    TestClock clock;
    ImpStationConfig *config;
    ImpStation *station;
} Fixture;

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir != NULL && (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        remove_tree(child);
    }
    (void)g_remove(path);
}

static void open_station(Fixture *f)
{
    GError *error = NULL;
    f->station = imp_station_new(
        &(ImpStationOptions){
            .config = f->config, .clock = &f->clock.clock, .random = imp_random_system(), .version = "test"},
        &error);
    g_assert_no_error(error);
}

static void set_up(Fixture *f, gconstpointer data)
{
    GError *error = NULL;
    const char *const probes[] = {"tcp:127.0.0.1:1", "tcp:127.0.0.1:1", NULL}; /* nobody listens there */
    f->folder = g_dir_make_tmp("imprint-core-XXXXXX", &error);
    g_assert_true(imp_station_config_init(f->folder, "line", probes, &error));
    g_autofree char *path = g_build_filename(f->folder, IMP_STATION_FILE, NULL);
    f->config = imp_station_config_load(path, &error);
    g_assert_no_error(error);
    f->keys = keys_new();
    ImpContent *content = fixture_content(500);
    content->rework = IMP_REWORK_NEW_VALUES; /* the others are not kept by this version */
    g_free(content->pools[0].definition);
    content->pools[0].definition = g_strdup(POOL);
    f->object = imp_object_new(content, NULL, 0, &error);
    g_assert_no_error(error);
    f->clock.synchronised = TRUE;
    f->clock.clock = (ImpClock){test_boot, test_real, test_synchronised, test_sleep, &f->clock};
    open_station(f);
    g_autofree char *pem = imp_key_public_pem(f->keys->author);
    ImpKeyId id;
    g_assert_true(imp_station_trust(f->station, "author", pem, &id, &error));
    g_assert_no_error(error);
}

static void on_stopped(gpointer user)
{
    *(gboolean *)user = TRUE;
}

static void close_station(Fixture *f)
{
    gboolean stopped = FALSE;
    imp_station_stop(f->station, on_stopped, &stopped);
    while (!stopped)
        g_main_context_iteration(NULL, TRUE);
    g_clear_pointer(&f->station, imp_station_free);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    close_station(f);
    imp_station_config_free(f->config);
    remove_tree(f->folder);
    g_free(f->folder);
    keys_free(f->keys);
    imp_object_free(f->object);
}

static void load_file(Fixture *f, GBytes *file)
{
    GError *error = NULL;
    int fd = imp_store_temporary(imp_station_store(f->station), &error);
    gsize n = 0;
    const char *bytes = g_bytes_get_data(file, &n);
    g_assert_cmpint(write(fd, bytes, n), ==, (gssize)n);
    const ImpStoreEntry *entry = NULL;
    gboolean is_new = FALSE;
    g_assert_true(imp_station_load(f->station, fd, IMP_SOURCE_LOCAL, &entry, &is_new, &error));
    g_assert_no_error(error);
    close(fd);
}

/* Loads a SAP with these dates (0 = none), not encrypted. */
static void load(Fixture *f, gint64 not_before_s, gint64 not_after_s)
{
    GError *error = NULL;
    ImpSealOptions options = {
        .kind = IMP_IMAGE_SAP, .author = f->keys->author, .random = imp_random_system()};
    options.restrictions = (ImpRestrictions){.count_on = IMP_COUNT_ON_PASS,
                                             .n_numbers = 1,
                                             .numbers = {{0, 1, 9}},
                                             .has_not_before = not_before_s != 0,
                                             .not_before_s = not_before_s,
                                             .has_not_after = not_after_s != 0,
                                             .not_after_s = not_after_s};
    g_autoptr(ImpSealed) sealed = imp_image_seal(f->object, &options, &error);
    g_assert_no_error(error);
    load_file(f, sealed->file);
}

/* No seal makes this, so a forger with the author's key does: a SAP that takes numbers of the whole pool. */
static void load_without_numbers(Fixture *f)
{
    g_autoptr(ImpSealed) sealed = fixture_seal(f->object, f->keys, FIXTURE_SAP);
    g_autofree char *manifest = fixture_manifest(sealed->file, f->keys);
    g_autofree char *changed = fixture_replace(manifest, "\"numbers\":{\"first\":10,\"last\":19},", "");
    g_autoptr(GBytes) file = fixture_forge(sealed->file, changed, f->keys->author, f->keys);
    load_file(f, file);
}

/* Launches on port 1, waits for the end, and gives its state and the error's code. */
static char *launch(Fixture *f, int *out_code)
{
    GError *error = NULL;
    json_t *launches = NULL;
    const char *const ports[] = {"1", NULL};
    ImpStationLaunch request = {.image = "Blinky", .ports = ports, .order = "", .person = ""};
    g_assert_true(imp_station_launch(f->station, &request, &launches, &error));
    g_assert_no_error(error);
    g_autofree char *id = g_strdup(json_string_value(json_object_get(json_array_get(launches, 0), "launch")));
    json_decref(launches);
    for (;;) {
        json_t *view = imp_station_launch_view(f->station, id, &error);
        g_assert_no_error(error);
        const char *state = json_string_value(json_object_get(view, "state"));
        if (strcmp(state, "asking") != 0 && strcmp(state, "working") != 0) {
            char *copy = g_strdup(state);
            *out_code = (int)json_integer_value(json_object_get(json_object_get(view, "error"), "code"));
            json_decref(view);
            while (g_main_context_iteration(NULL, FALSE))
                ; /* the port becomes idle */
            return copy;
        }
        json_decref(view);
        g_main_context_iteration(NULL, TRUE);
    }
}

static void assert_launch(Fixture *f, const char *state, int code)
{
    int found = 0;
    g_autofree char *found_state = launch(f, &found);
    g_assert_cmpstr(found_state, ==, state);
    if (code != 0)
        g_assert_cmpint(found, ==, code);
}

/* Without a probe a launch is begun, fails before anything was written, and is in the log. */
static void test_no_probe(Fixture *f, gconstpointer data)
{
    GError *error = NULL;
    load(f, 0, 0);
    assert_launch(f, "failed", 0);
    guint64 next = 0;
    GString *log = imp_station_log(f->station, &(ImpStationLog){.limit = 10}, &next, &error);
    g_assert_nonnull(strstr(log->str, "\"result\":\"failed\""));
    g_assert_cmpuint(next, >, 0);
    g_string_free(log, TRUE);
}

/* Images without dates do not care about clocks; those with dates want a clock that is synchronised and has not gone back. */
static void test_dates(Fixture *f, gconstpointer data)
{
    gint64 now_s = imp_clock_real_us(&f->clock.clock) / G_USEC_PER_SEC;
    load(f, now_s - 86400, now_s + 2 * 86400);
    assert_launch(f, "failed", 0); /* begun: only the probe is missing */
    g_atomic_int_set(&f->clock.synchronised, FALSE);
    assert_launch(f, "refused", IMP_E_CLOCK_UNTRUSTED);
    g_atomic_int_set(&f->clock.synchronised, TRUE);
    g_atomic_int_set(&f->clock.offset_s, 3 * 86400);
    assert_launch(f, "refused", IMP_E_TOO_LATE);
    g_atomic_int_set(&f->clock.offset_s, 86400);
    assert_launch(f, "failed", 0);
    g_atomic_int_set(&f->clock.offset_s, 0); /* set back: the launch of a day later is recorded */
    assert_launch(f, "refused", IMP_E_CLOCK_UNTRUSTED);
    close_station(f);
    open_station(f); /* a restart does not forget it */
    assert_launch(f, "refused", IMP_E_CLOCK_UNTRUSTED);
    g_atomic_int_set(&f->clock.offset_s, 86400 + 60);
    assert_launch(f, "failed", 0);
}

static void test_too_early(Fixture *f, gconstpointer data)
{
    gint64 now_s = imp_clock_real_us(&f->clock.clock) / G_USEC_PER_SEC;
    load(f, now_s + 86400, 0);
    assert_launch(f, "refused", IMP_E_TOO_EARLY);
}

static void test_no_dates(Fixture *f, gconstpointer data)
{
    load(f, 0, 0);
    g_atomic_int_set(&f->clock.synchronised, FALSE);
    assert_launch(f, "failed", 0);
    g_atomic_int_set(&f->clock.offset_s, -86400);
    assert_launch(f, "failed", 0);
}

/* A SAP without numbers of its own would give what its cloud gives: it is not even begun. */
static void test_no_numbers(Fixture *f, gconstpointer data)
{
    GError *error = NULL;
    json_t *launches = NULL;
    const char *const ports[] = {"1", NULL};
    ImpStationLaunch request = {.image = "Blinky", .ports = ports, .order = "", .person = ""};
    load_without_numbers(f);
    g_assert_false(imp_station_launch(f->station, &request, &launches, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_SAP_NUMBERS_MISSING);
    g_clear_error(&error);
}

/* No mutable globals: a second station lives in this process, and the first one's folder is closed to it. */
static void test_two_stations(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    ImpStationOptions options = {
        .config = f->config, .clock = &f->clock.clock, .random = imp_random_system(), .version = "test"};
    g_assert_null(imp_station_new(&options, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_DATA_IN_USE);
    Fixture other = {0};
    set_up(&other, NULL);
    load(f, 0, 0);
    load(&other, 0, 0);
    assert_launch(f, "failed", 0);
    assert_launch(&other, "failed", 0);
    tear_down(&other, NULL);
}

#define ADD(name, function) g_test_add("/station/core/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("no-probe", test_no_probe);
    ADD("dates", test_dates);
    ADD("too-early", test_too_early);
    ADD("no-dates", test_no_dates);
    ADD("no-numbers", test_no_numbers);
    ADD("two-stations", test_two_stations);
    return g_test_run();
}
