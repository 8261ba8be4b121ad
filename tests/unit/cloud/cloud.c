/* The cloud's parts, and the library in this process with a real server, a full disk and a clock of the test's. What it does
 * as a whole is judged by tests/system/test_cloud.py. */
#include <glib/gstdio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/yaml.h"
#include "cloud/folder.h"
#include "cloud/job.h"
#include "http/client/client.h"

#define PASSWORD "correct horse battery"

/* ---- a clock that the test sets ---- */

typedef struct {
    gint64 ahead_us; /* of the machine's clock; atomic */
    ImpClock clock;
} TestClock;

static gint64 test_real_us(void *self)
{
    TestClock *clock = self;
    return imp_clock_real_us(imp_clock_system()) + __atomic_load_n(&clock->ahead_us, __ATOMIC_SEQ_CST);
}

static gint64 test_boot_us(void *self)
{
    return imp_clock_boot_us(imp_clock_system());
}

static void test_clock_init(TestClock *clock)
{
    *clock = (TestClock){.clock = *imp_clock_system()};
    clock->clock.real_us = test_real_us;
    clock->clock.boot_us = test_boot_us;
    clock->clock.self = clock;
}

/* ---- a cloud in this process ---- */

typedef struct {
    char *parent, *folder;
    TestClock clock;
    ImpCloud *cloud;
    ImpHttpClient *client;
} Rig;

static void rig_start(Rig *rig)
{
    g_autoptr(GError) error = NULL;
    rig->cloud = imp_cloud_start(&(ImpCloudOptions){.folder = rig->folder,
                                                    .listen = "127.0.0.1:0",
                                                    .clock = &rig->clock.clock,
                                                    .random = imp_random_system()},
                                 &error);
    g_assert_no_error(error);
    g_autofree char *url = g_strconcat("https://", imp_cloud_address(rig->cloud), NULL);
    g_autofree char *ca = folder_read(rig->folder, FOLDER_CA_CERT, &error);
    rig->client = imp_http_client_new(&(ImpHttpClientOptions){.url = url, .ca_pem = ca}, &error);
    g_assert_no_error(error);
}

static void rig_stop(Rig *rig)
{
    imp_http_client_free(g_steal_pointer(&rig->client));
    imp_cloud_stop(g_steal_pointer(&rig->cloud));
}

static void rig_init(Rig *rig)
{
    g_autoptr(GError) error = NULL;
    *rig = (Rig){.parent = g_dir_make_tmp("imprint-cloud-XXXXXX", &error)};
    g_assert_no_error(error);
    test_clock_init(&rig->clock);
    rig->folder = g_build_filename(rig->parent, "data", NULL);
    ImpCloudFolderOptions options = {.folder = rig->folder,
                                     .account = "Acme",
                                     .owner = "ann@acme.example",
                                     .password = PASSWORD,
                                     .url = "https://127.0.0.1:0",
                                     .clock = &rig->clock.clock,
                                     .random = imp_random_system()};
    g_assert_true(imp_cloud_folder_make(&options, &error));
    g_assert_no_error(error);
    rig_start(rig);
}

static void rig_done(Rig *rig)
{
    if (rig->cloud != NULL)
        rig_stop(rig);
    const char *const names[] = {FOLDER_CONFIG,          FOLDER_CA_CERT,         FOLDER_CA_KEY,
                                 FOLDER_TLS_CERT,        FOLDER_TLS_KEY,         FOLDER_DATABASE,
                                 FOLDER_DATABASE "-wal", FOLDER_DATABASE "-shm", FOLDER_CONTENT};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(rig->folder, names[i], NULL);
        g_remove(path);
    }
    g_assert_cmpint(g_rmdir(rig->folder), ==, 0);
    g_assert_cmpint(g_rmdir(rig->parent), ==, 0);
    g_free(rig->folder);
    g_free(rig->parent);
}

/* The error's code, or 0. Takes over body. */
static int call(Rig *rig, const char *method, const char *path, json_t *body, json_t **out)
{
    g_autoptr(GError) error = NULL;
    json_t *answer = imp_http_call_json(rig->client, method, path, body, &error);
    json_decref(body);
    int code = answer != NULL ? 0 : imp_error_code(error);
    if (out != NULL)
        *out = answer;
    else
        json_decref(answer);
    return code;
}

static int login(Rig *rig)
{
    json_t *answer = NULL;
    int code = call(rig, "POST", "/v1/login",
                    json_pack("{s:s,s:s}", "email", "ann@acme.example", "password", PASSWORD), &answer);
    if (answer != NULL)
        imp_http_client_set_token(rig->client, json_string_value(json_object_get(answer, "token")));
    json_decref(answer);
    return code;
}

static int add_factory(Rig *rig, const char *name)
{
    return call(rig, "POST", "/v1/factories", json_pack("{s:s}", "name", name), NULL);
}

/* ---- tests ---- */

/* The database is full in the middle of it: the request is refused, nothing of it is left, and the cloud goes on. */
static void test_full(void)
{
    Rig rig;
    rig_init(&rig);
    g_assert_cmpint(login(&rig), ==, 0);
    g_assert_cmpint(add_factory(&rig, "first"), ==, 0);
    g_assert_cmpint(sqlite3_exec(rig.cloud->db, "PRAGMA max_page_count = 1", NULL, NULL, NULL), ==,
                    SQLITE_OK);
    guint n_good = 0;
    int code = 0;
    while (code == 0 && n_good < 1000) {
        g_autofree char *name = g_strdup_printf("%060u", n_good);
        code = add_factory(&rig, name);
        n_good += code == 0;
    }
    g_test_message("%u factories until it was full", n_good);
    g_assert_cmpint(code, ==, IMP_E_IO);
    json_t *answer = NULL;
    g_assert_cmpint(call(&rig, "GET", "/v1/factories", NULL, &answer), ==, 0);
    g_assert_cmpint(json_array_size(json_object_get(answer, "factories")), ==, n_good + 1);
    json_decref(answer);
    g_assert_cmpint(sqlite3_exec(rig.cloud->db, "PRAGMA max_page_count = 1000000", NULL, NULL, NULL), ==,
                    SQLITE_OK);
    g_autofree char *name = g_strdup_printf("%060u", n_good);
    g_assert_cmpint(add_factory(&rig, name), ==, 0);
    rig_stop(&rig);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) wrongs =
        imp_cloud_folder_check(rig.folder, imp_clock_system(), imp_random_system(), &error);
    g_assert_no_error(error);
    g_assert_cmpint(wrongs->len, ==, 0);
    rig_done(&rig);
}

/* Tokens and codes end by the cloud's clock; what was used before a restart is there after it. */
static void test_time(void)
{
    Rig rig;
    rig_init(&rig);
    g_assert_cmpint(login(&rig), ==, 0);
    g_assert_cmpint(add_factory(&rig, "f"), ==, 0);
    g_autofree char *token = NULL;
    json_t *answer = NULL;
    g_assert_cmpint(call(&rig, "POST", "/v1/tokens",
                         json_pack("{s:s,s:s,s:i}", "name", "ci", "role", "auditor", "days", 2), &answer),
                    ==, 0);
    token = g_strdup(json_string_value(json_object_get(answer, "token")));
    json_decref(answer);
    rig_stop(&rig);
    rig_start(&rig);
    imp_http_client_set_token(rig.client, token);
    g_assert_cmpint(call(&rig, "GET", "/v1/factories", NULL, NULL), ==, 0);
    const gint64 day_us = (gint64)24 * 3600 * G_USEC_PER_SEC;
    __atomic_store_n(&rig.clock.ahead_us, 2 * day_us - 60 * G_USEC_PER_SEC, __ATOMIC_SEQ_CST);
    g_assert_cmpint(call(&rig, "GET", "/v1/factories", NULL, NULL), ==, 0);
    __atomic_store_n(&rig.clock.ahead_us, 2 * day_us, __ATOMIC_SEQ_CST);
    g_assert_cmpint(call(&rig, "GET", "/v1/factories", NULL, NULL), ==, IMP_E_HTTP_UNAUTHENTICATED);
    rig_done(&rig);
}

static void test_password(void)
{
    g_autoptr(GError) error = NULL;
    char *hash = password_hash(PASSWORD, &error);
    g_assert_no_error(error);
    g_assert_true(g_str_has_prefix(hash, "$argon2id$"));
    g_assert_true(password_verify(hash, PASSWORD));
    g_assert_false(password_verify(hash, PASSWORD " "));
    g_assert_false(password_verify(hash, ""));
    g_assert_false(password_verify("", PASSWORD));
    g_assert_false(password_verify(password_dummy(), PASSWORD));
    /* The dummy costs what a real one costs: the same parameters in its text. */
    g_assert_cmpint(strncmp(hash, password_dummy(), strlen("$argon2id$v=19$m=65536,t=2,p=1$")), ==, 0);
    wipe_free(hash);
    g_autofree char *longest = g_strnfill(IMP_CLOUD_PASSWORD_MAX, 'x');
    g_autofree char *too_long = g_strnfill(IMP_CLOUD_PASSWORD_MAX + 1, 'x');
    const struct {
        const char *password;
        gboolean good;
    } rows[] = {{"", FALSE},
                {"123456789", FALSE},
                {"1234567890", TRUE},
                {longest, TRUE},
                {too_long, FALSE},
                {"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4", FALSE},
                {"1234567890\xff", FALSE}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) inner = NULL;
        g_assert_cmpint(password_check(rows[i].password, &inner), ==, rows[i].good);
        if (!rows[i].good)
            g_assert_error(inner, IMP_ERROR, IMP_E_PASSWORD_WEAK);
    }
}

/* A process that may not grow (a limit of its container): a password is not hashed with less. */
static void test_no_memory(void)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
        g_test_trap_assert_passed();
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autofree char *statm = NULL;
    g_assert_true(g_file_get_contents("/proc/self/statm", &statm, NULL, NULL));
    rlim_t now = (rlim_t)g_ascii_strtoull(statm, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
    const struct rlimit limit = {now + 16 * 1024 * 1024, RLIM_INFINITY};
    g_assert_cmpint(setrlimit(RLIMIT_AS, &limit), ==, 0);
    g_assert_null(password_hash(PASSWORD, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_NO_MEMORY);
    g_assert_nonnull(strstr(error->message, "64 MiB"));
}

static void test_roles(void)
{
    const struct {
        guint32 role;
        const char *name;
        guint32 covers;
    } rows[] = {{ROLE_OWNER, "owner", ROLE_ANY},
                {ROLE_ENGINEER, "engineer", ROLE_ENGINEER | ROLE_OPERATOR},
                {ROLE_OPERATOR, "operator", ROLE_OPERATOR},
                {ROLE_AUDITOR, "auditor", ROLE_AUDITOR},
                {0, "none", 0},
                {ROLE_OWNER | ROLE_AUDITOR, "none", 0}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpstr(role_name(rows[i].role), ==, rows[i].name);
        g_assert_cmpuint(role_covers(rows[i].role), ==, rows[i].covers);
        if (rows[i].covers != 0)
            g_assert_cmpuint(role_parse(rows[i].name), ==, rows[i].role);
    }
    g_assert_cmpuint(role_parse("Owner"), ==, 0);
}

/* A request in PEM, by a fresh key of the curve. */
static char *make_csr(const char *curve, EVP_PKEY *sign_with)
{
    EVP_PKEY *key = EVP_EC_gen(curve);
    X509_REQ *request = X509_REQ_new();
    X509_REQ_set_pubkey(request, key);
    X509_REQ_sign(request, sign_with != NULL ? sign_with : key, EVP_sha256());
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, request);
    char *data = NULL;
    long n_bytes = BIO_get_mem_data(bio, &data);
    char *text = g_strndup(data, (gsize)n_bytes);
    BIO_free(bio);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    return text;
}

static void test_ca(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpCa) ca = imp_ca_new("An account with a name that is very long, and then some more of it",
                                     imp_clock_system(), &error);
    g_assert_no_error(error);
    g_autoptr(ImpCa) other = imp_ca_new("Acme", imp_clock_system(), &error);
    char *key = imp_ca_key_pem(ca);
    g_autoptr(ImpCa) again = imp_ca_load(imp_ca_cert_pem(ca), key, imp_clock_system(), &error);
    g_assert_no_error(error);
    g_assert_cmpmem(imp_ca_digest(ca), IMP_CA_DIGEST_BYTES, imp_ca_digest(again), IMP_CA_DIGEST_BYTES);
    guint8 digest[IMP_HTTP_KEY_DIGEST_BYTES]; /* and the client's side of it says the same */
    g_assert_true(imp_http_key_digest(imp_ca_cert_pem(ca), digest, &error));
    g_assert_cmpmem(imp_ca_digest(ca), IMP_CA_DIGEST_BYTES, digest, sizeof digest);
    g_assert_null(imp_ca_load(imp_ca_cert_pem(other), key, imp_clock_system(), &error));
    g_assert_error(error, IMP_ERROR, IMP_E_CLOUD_FOLDER);
    g_clear_error(&error);
    wipe_free(key);
    const char *const hosts[] = {"", "a b", "a,IP:1.2.3.4", "a\n"};
    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++) {
        char *cert = NULL, *server_key = NULL;
        g_assert_false(imp_ca_issue_server(ca, hosts[i], &cert, &server_key, &error));
        g_assert_error(error, IMP_ERROR, IMP_E_HTTP_URL);
        g_assert_null(cert);
        g_clear_error(&error);
    }
}

static void test_csr(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *good = make_csr("P-256", NULL);
    g_autoptr(ImpCsr) csr = imp_csr_parse(good, &error);
    g_assert_no_error(error);
    EVP_PKEY *stranger = EVP_EC_gen("P-256");
    g_autofree char *forged = make_csr("P-256", stranger);
    EVP_PKEY_free(stranger);
    g_autofree char *curve = make_csr("P-384", NULL);
    g_autofree char *half = g_strndup(good, strlen(good) / 2);
    g_autofree char *large = g_strnfill(IMP_CA_CSR_MAX + 1, ' ');
    const char *const bad[] = {"", "rubbish", forged, curve, half, large};
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) inner = NULL;
        g_assert_null(imp_csr_parse(bad[i], &inner));
        g_assert_error(inner, IMP_ERROR, IMP_E_ENROL_REQUEST);
    }
}

/* Who may call what, as api/cloud.yaml says it: "public", "station", or roles. */
static char *who_text(const ImpHttpRoute *route)
{
    GString *text = g_string_new(NULL);
    if (route->who & IMP_HTTP_PUBLIC)
        g_string_append(text, "public ");
    if (route->who & IMP_HTTP_STATION)
        g_string_append(text, "station ");
    for (guint32 role = ROLE_OWNER; role <= ROLE_AUDITOR; role <<= 1)
        if ((route->who & IMP_HTTP_PERSON) && (route->roles & role))
            g_string_append_printf(text, "%s ", role_name(role));
    return g_strchomp(g_string_free(text, FALSE));
}

static const ImpYamlNode *child(const ImpYamlNode *map, const char *key)
{
    for (gsize i = 0; map != NULL && i < map->n_items; i++)
        if (strcmp(map->keys[i]->text, key) == 0)
            return map->items[i];
    return NULL;
}

static void test_description(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *file = g_build_filename(g_getenv("IMPRINT_SOURCE"), "api", "cloud.yaml", NULL);
    g_autoptr(ImpYaml) yaml = imp_yaml_load(file, &error);
    g_assert_no_error(error);
    const ImpYamlNode *paths = child(imp_yaml_root(yaml), "paths");
    gsize n_routes, n_described = 0;
    const ImpHttpRoute *routes = cloud_routes(&n_routes);
    for (gsize i = 0; i < paths->n_items; i++)
        n_described += paths->items[i]->n_items;
    for (gsize i = 0; i < n_routes; i++) {
        g_test_message("%s %s", routes[i].method, routes[i].path);
        g_autofree char *method = g_ascii_strdown(routes[i].method, -1);
        const ImpYamlNode *described = child(child(paths, routes[i].path), method);
        g_assert_nonnull(described);
        g_autofree char *who = who_text(&routes[i]);
        g_assert_cmpstr(child(described, "x-who")->text, ==, who);
        g_assert_cmpint(child(described, "x-any-protocol") != NULL, ==, routes[i].any_protocol);
    }
    g_assert_cmpint(n_described, ==, n_routes);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    /* A batch that is rolled back is worth a warning to a person; here it is wanted. */
    g_log_set_fatal_mask(NULL, G_LOG_FATAL_MASK);
    g_log_set_always_fatal(G_LOG_FATAL_MASK);
    signal(SIGPIPE, SIG_IGN);
    imp_http_client_init();
    g_test_add_func("/cloud/description", test_description);
    g_test_add_func("/cloud/roles", test_roles);
    g_test_add_func("/cloud/password", test_password);
    g_test_add_func("/cloud/no-memory", test_no_memory);
    g_test_add_func("/cloud/ca", test_ca);
    g_test_add_func("/cloud/csr", test_csr);
    g_test_add_func("/cloud/time", test_time);
    g_test_add_func("/cloud/full", test_full);
    return g_test_run();
}
