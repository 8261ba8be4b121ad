/* Delivery against a cloud that this test plays: whole, resumed, with a wrong beginning, another image in its place, taken back. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "certs.h"
#include "fixture.h"
#include "http/client/client.h"
#include "http/server/server.h"
#include "station/core.h"
#include "station/delivery.h"
#include "station/membership.h"
#include "station/station.h"

#define WAIT_US (20 * G_USEC_PER_SEC)

typedef struct {
    char *folder, *socket;
    Keys *keys;
    ImpObject *object;
    guint8 ca_sha256[32];
    ImpStationConfig *config;
    ImpStation *station;
    ImpHttpServer *server;
    ImpDelivery *delivery;
    /* what the cloud offers; read by the server's thread */
    GBytes *content; /* atomic pointer: NULL = nothing is offered */
    GPtrArray *kept; /* what content has been, until the end */
    ImpId offered;
    guint8 file_sha256[32];
    gint lists, fulls, ranges; /* atomic: how often was asked */
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

/* Refused images are said aloud, as warnings. */
static guint n_refused;

static GLogWriterOutput count_warnings(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
                                       gpointer user)
{
    for (gsize i = 0; i < n_fields; i++)
        if (strcmp(fields[i].key, "MESSAGE") == 0 && (level & G_LOG_LEVEL_WARNING) != 0 &&
            g_str_has_prefix(fields[i].value, "image "))
            n_refused++;
    return G_LOG_WRITER_HANDLED;
}

/* ---- the cloud's side, on the server's thread ------------------------------------------------------------------------ */

static void on_list(ImpHttpRequest *request, gpointer user)
{
    Fixture *f = user;
    GBytes *content = g_atomic_pointer_get(&f->content);
    json_t *list = json_array();
    if (content != NULL) {
        char id[IMP_ID_TEXT_SIZE];
        g_autofree char *digest = imp_hex_encode(f->file_sha256, 32);
        json_t *item = json_object();
        json_object_set_new(item, "image", json_string(imp_id_text(&f->offered, id)));
        json_object_set_new(item, "state", json_string("active"));
        json_object_set_new(item, "file_bytes", json_integer((json_int_t)g_bytes_get_size(content)));
        json_object_set_new(item, "file_sha256", json_string(digest));
        json_object_set_new(item, "a-member-of-tomorrow", json_true());
        json_array_append_new(list, item);
    }
    json_t *document = json_object();
    json_object_set_new(document, "images", list);
    g_atomic_int_inc(&f->lists);
    imp_http_reply_json(request, 200, document);
}

static void on_content(ImpHttpRequest *request, gpointer user)
{
    Fixture *f = user;
    GBytes *content = g_atomic_pointer_get(&f->content);
    GError *error = NULL;
    char *path = NULL;
    int fd = g_file_open_tmp("imprint-content-XXXXXX", &path, &error);
    g_assert_no_error(error);
    g_unlink(path);
    g_free(path);
    gsize n = 0;
    const char *bytes = g_bytes_get_data(content, &n);
    g_assert_cmpint(write(fd, bytes, n), ==, (gssize)n);
    if (imp_http_request_header(request, "Range") != NULL)
        g_atomic_int_inc(&f->ranges);
    else
        g_atomic_int_inc(&f->fulls);
    imp_http_reply_file(request, "application/octet-stream", "digest", fd, n);
}

static const ImpHttpRoute routes[] = {
    {.method = "GET",
     .path = "/v1/station/images",
     .who = IMP_HTTP_LOCAL,
     .body = IMP_HTTP_BODY_NONE,
     .handle = on_list},
    {.method = "GET",
     .path = "/v1/station/images/{id}/content",
     .who = IMP_HTTP_LOCAL,
     .body = IMP_HTTP_BODY_NONE,
     .handle = on_content},
};

/* ---- the station's side ---------------------------------------------------------------------------------------------- */

static void write_config(Fixture *f)
{
    GError *error = NULL;
    g_autofree char *path = g_build_filename(f->folder, IMP_STATION_FILE, NULL);
    const char *text =
        "name: line\ncloud-poll: 100 ms\nports:\n  - {name: \"1\", probe: \"tcp:127.0.0.1:1\"}\n";
    g_assert_true(g_file_set_contents(path, text, -1, &error));
    f->config = imp_station_config_load(path, &error);
    g_assert_no_error(error);
}

/* Enrolled at a cloud that is never there: what is delivered comes from the server of this test. */
static void write_membership(Fixture *f)
{
    GError *error = NULL;
    TestCert ca = test_cert_new(NULL, "cloud", NULL, NULL);
    g_autofree char *cloud = g_build_filename(f->folder, "cloud", NULL);
    g_autoptr(ImpMembership) membership = g_new0(ImpMembership, 1);
    membership->url = g_strdup("https://127.0.0.1:1");
    membership->ca_pem = g_strdup(ca.cert);
    membership->cert_pem = g_strdup(ca.cert);
    memset(membership->station, '0', 32);
    g_assert_true(imp_membership_save(membership, cloud, &error));
    g_assert_no_error(error);
    memcpy(f->ca_sha256, membership->ca_sha256, 32);
    test_cert_done(&ca);
}

static void set_up(Fixture *f, gconstpointer data)
{
    GError *error = NULL;
    f->folder = g_dir_make_tmp("imprint-delivery-XXXXXX", &error);
    f->socket = g_build_filename(f->folder, "fake-cloud.sock", NULL);
    f->keys = keys_new();
    f->kept = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    f->object = fixture_object(200000);
    n_refused = 0;
    write_config(f);
    write_membership(f);
    imp_http_client_init();
    f->station = imp_station_new(&(ImpStationOptions){.config = f->config,
                                                      .clock = imp_clock_system(),
                                                      .random = imp_random_system(),
                                                      .version = "test"},
                                 &error);
    g_assert_no_error(error);
    f->server = imp_http_server_start(
        &(ImpHttpServerOptions){
            .unix_path = f->socket, .routes = routes, .n_routes = G_N_ELEMENTS(routes), .user = f},
        &error);
    g_assert_no_error(error);
}

static void start_delivery(Fixture *f)
{
    GError *error = NULL;
    f->delivery = imp_delivery_new(f->station, &(ImpHttpClientOptions){.unix_path = f->socket}, &error);
    g_assert_no_error(error);
}

static void on_stopped(gpointer user)
{
    *(gboolean *)user = TRUE;
}

static void tear_down(Fixture *f, gconstpointer data)
{
    gboolean stopped = FALSE;
    imp_delivery_free(f->delivery);
    imp_http_server_stop(f->server);
    imp_station_stop(f->station, on_stopped, &stopped);
    g_assert_true(stopped);
    imp_station_free(f->station);
    imp_station_config_free(f->config);
    remove_tree(f->folder);
    g_ptr_array_unref(f->kept);
    g_free(f->folder);
    g_free(f->socket);
    keys_free(f->keys);
    imp_object_free(f->object);
}

static ImpSealed *seal(Fixture *f)
{
    GError *error = NULL;
    ImpSealOptions options = {.kind = IMP_IMAGE_JOB,
                              .restrictions = {.count_on = IMP_COUNT_ON_PASS},
                              .author = f->keys->author,
                              .image_key = f->keys->image_key,
                              .cloud_ca_sha256 = f->ca_sha256,
                              .factory = "north",
                              .random = imp_random_system()};
    ImpSealed *sealed = imp_image_seal(f->object, &options, &error);
    g_assert_no_error(error);
    return sealed;
}

/* Takes over content. */
static void put_content(Fixture *f, GBytes *content)
{
    g_atomic_pointer_set(&f->content, content);
    g_ptr_array_add(f->kept, content);
}

static void offer(Fixture *f, const ImpSealed *sealed)
{
    f->offered = sealed->clear->id;
    memcpy(f->file_sha256, sealed->clear->file_sha256, 32);
    put_content(f, g_bytes_ref(sealed->file));
}

static char *part_path(const Fixture *f, const ImpId *id)
{
    char text[IMP_ID_TEXT_SIZE];
    return g_strdup_printf("%s/images/cloud/%s.part", f->folder, imp_id_text(id, text));
}

static void write_part(const Fixture *f, const ImpId *id, const guint8 *bytes, gsize n)
{
    GError *error = NULL;
    g_autofree char *path = part_path(f, id);
    g_assert_true(g_file_set_contents(path, (const char *)bytes, (gssize)n, &error));
}

static gboolean on_tick(gpointer user)
{
    return G_SOURCE_CONTINUE;
}

/* Turns the main loop until the image is (not) in the store. */
static void wait_for(Fixture *f, const ImpId *id, gboolean there)
{
    guint tick = g_timeout_add(20, on_tick, NULL); /* so that an iteration ends */
    gint64 end = imp_clock_boot_us(imp_clock_system()) + WAIT_US;
    while ((imp_store_find(imp_station_store(f->station), id) != NULL) != there) {
        g_assert_cmpint(imp_clock_boot_us(imp_clock_system()), <, end);
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(tick);
}

static void wait_for_lists(Fixture *f, gint n_more)
{
    guint tick = g_timeout_add(20, on_tick, NULL);
    gint64 end = imp_clock_boot_us(imp_clock_system()) + WAIT_US;
    for (gint until = g_atomic_int_get(&f->lists) + n_more; g_atomic_int_get(&f->lists) < until;) {
        g_assert_cmpint(imp_clock_boot_us(imp_clock_system()), <, end);
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(tick);
}

static void test_whole(Fixture *f, gconstpointer data)
{
    g_autoptr(ImpSealed) job = seal(f);
    offer(f, job);
    start_delivery(f);
    wait_for(f, &job->clear->id, TRUE);
    const ImpStoreEntry *entry = imp_store_find(imp_station_store(f->station), &job->clear->id);
    g_assert_cmpint(entry->source, ==, IMP_SOURCE_CLOUD);
    g_assert_cmpint(memcmp(entry->clear->file_sha256, job->clear->file_sha256, 32), ==, 0);
    wait_for_lists(f, 2);
    g_assert_cmpint(g_atomic_int_get(&f->fulls), ==, 1); /* what is here is not fetched again */
    g_autofree char *part = part_path(f, &job->clear->id);
    g_assert_false(g_file_test(part, G_FILE_TEST_EXISTS));
    /* The cloud takes it back. */
    g_atomic_pointer_set(&f->content, NULL);
    wait_for(f, &job->clear->id, FALSE);
}

static void test_resumed(Fixture *f, gconstpointer data)
{
    g_autoptr(ImpSealed) job = seal(f);
    gsize n = 0;
    const guint8 *bytes = g_bytes_get_data(job->file, &n);
    write_part(f, &job->clear->id, bytes, n / 2);
    offer(f, job);
    start_delivery(f);
    wait_for(f, &job->clear->id, TRUE);
    g_assert_cmpint(g_atomic_int_get(&f->ranges), ==, 1);
    g_assert_cmpint(g_atomic_int_get(&f->fulls), ==, 0);
}

/* Taken back by the cloud while a launch has it open: it stays until the launch lets it go, and no other one begins. */
static void test_withdrawn_in_work(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpSealed) job = seal(f);
    offer(f, job);
    start_delivery(f);
    wait_for(f, &job->clear->id, TRUE);
    ImpStore *store = imp_station_store(f->station);
    imp_store_hold(store, &job->clear->id);
    g_atomic_pointer_set(&f->content, NULL);
    const ImpStoreEntry *entry = imp_store_find(store, &job->clear->id);
    for (gint i = 0; i < 10 && !entry->withdrawn; i++)
        wait_for_lists(f, 1);
    g_assert_true(entry->withdrawn);
    g_assert_false(imp_launches_usable(f->station, entry, &error));
    g_test_message("%s", error->message);
    g_assert_error(error, IMP_ERROR, IMP_E_IMAGE_WITHDRAWN);
    g_assert_true(imp_store_release(store, &job->clear->id));
    g_assert_null(imp_store_find(store, &job->clear->id));
}

/* What lies there as a beginning is another file's: noticed at the end, thrown away, fetched whole. */
static void test_wrong_beginning(Fixture *f, gconstpointer data)
{
    g_autoptr(ImpSealed) job = seal(f);
    g_autoptr(ImpSealed) other = seal(f);
    write_part(f, &job->clear->id, g_bytes_get_data(other->file, NULL), 1000);
    offer(f, job);
    start_delivery(f);
    wait_for(f, &job->clear->id, TRUE);
    g_assert_cmpuint(n_refused, ==, 1);
    g_assert_cmpint(g_atomic_int_get(&f->ranges), ==, 1);
    g_assert_cmpint(g_atomic_int_get(&f->fulls), ==, 1);
}

/* The cloud delivers another image under the ID, and once a damaged one: neither is kept, nor fetched again and again. */
static void test_refused(Fixture *f, gconstpointer data)
{
    g_autoptr(ImpSealed) job = seal(f);
    g_autoptr(ImpSealed) other = seal(f);
    offer(f, other);
    f->offered = job->clear->id;
    start_delivery(f);
    wait_for_lists(f, 4);
    g_assert_cmpuint(n_refused, ==, 1);
    g_assert_cmpuint(imp_store_size(imp_station_store(f->station)), ==, 0);
    g_assert_cmpint(g_atomic_int_get(&f->fulls), ==, 1);

    gsize n = 0;
    g_autofree guint8 *bytes = g_memdup2(g_bytes_get_data(job->file, &n), g_bytes_get_size(job->file));
    bytes[n / 2] ^= 1;
    f->offered = job->clear->id;
    memcpy(f->file_sha256, job->clear->file_sha256, 32);
    put_content(f, g_bytes_new(bytes, n));
    wait_for_lists(f, 4);
    g_assert_cmpuint(n_refused, ==, 2);
    g_assert_cmpuint(imp_store_size(imp_station_store(f->station)), ==, 0);
    g_assert_cmpint(g_atomic_int_get(&f->fulls), ==, 2);
}

#define ADD(name, function) g_test_add("/station/delivery/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_writer_func(count_warnings, NULL, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    ADD("whole", test_whole);
    ADD("withdrawn-in-work", test_withdrawn_in_work);
    ADD("resumed", test_resumed);
    ADD("wrong-beginning", test_wrong_beginning);
    ADD("refused", test_refused);
    return g_test_run();
}
