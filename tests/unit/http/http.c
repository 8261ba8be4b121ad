/* Server and client against each other: routes, gate, limits, uploads, downloads, late replies, clean stop. The system tests
 * drive the same server with Python's http.client, which we did not write. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <glib/gstdio.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/queue.h"
#include "certs.h"
#include "http/client/client.h"
#include "http/server/server.h"

#define ROLE_OWNER    (1u << 1)
#define ROLE_OPERATOR (1u << 2)
#define BODY_MAX      1000
#define FILE_MAX      (8 * 1024 * 1024)

typedef struct {
    char *folder;
    ImpHttpServer *server;
    ImpQueue *late; /* requests for the answering thread */
    pthread_t answering;
    char *upload_path;
    TestCert ca, server_cert, station, other_ca, foreign;
} Rig;

/* ---- handlers ---- */

static void handle_hello(ImpHttpRequest *request, gpointer user)
{
    const ImpHttpPerson *person = imp_http_request_person(request);
    const char *station = imp_http_request_station(request);
    imp_http_reply_json(request, 200,
                        json_pack("{s:i,s:s*,s:s*,s:s*}", "who", (int)imp_http_request_who(request),
                                  "station", station, "person", person != NULL ? person->id : NULL, "q",
                                  imp_http_request_query(request, "q")));
}

static void handle_params(ImpHttpRequest *request, gpointer user)
{
    imp_http_reply_json(request, 200,
                        json_pack("{s:s,s:s}", "a", imp_http_request_param(request, "a"), "b",
                                  imp_http_request_param(request, "b")));
}

static void handle_echo(ImpHttpRequest *request, gpointer user)
{
    g_autoptr(GError) error = NULL;
    json_t *document = imp_http_request_json(request, &error);
    if (document == NULL)
        imp_http_reply_error(request, error);
    else
        imp_http_reply_json(request, 201, document);
}

static void handle_late(ImpHttpRequest *request, gpointer user)
{
    Rig *rig = user;
    g_assert_true(imp_queue_push(rig->late, request));
}

static void *answer_late(void *user)
{
    Rig *rig = user;
    /* The rig itself in the queue ends this thread and leaves the queue open. */
    for (gpointer item; (item = imp_queue_pop(rig->late)) != NULL && item != rig;)
        handle_echo(item, rig);
    return NULL;
}

static int open_upload(ImpHttpRequest *request, gpointer user, GError **error)
{
    Rig *rig = user;
    return open(rig->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static void handle_upload(ImpHttpRequest *request, gpointer user)
{
    guint64 n_bytes;
    int fd = dup(imp_http_request_body_fd(request, &n_bytes));
    imp_http_reply_file(request, "application/octet-stream", "v1", fd, n_bytes); /* and straight back */
}

static void handle_fail(ImpHttpRequest *request, gpointer user)
{
    g_autoptr(GError) error = NULL;
    imp_error_set(&error, IMP_E_IMAGE_PAUSED, "paused");
    imp_http_reply_error(request, error);
}

static gboolean authorise(const char *token, gpointer user, ImpHttpPerson *out, GError **error)
{
    if (strcmp(token, "owner") != 0 && strcmp(token, "operator") != 0) {
        imp_error_set(error, IMP_E_HTTP_UNAUTHENTICATED, "unknown token");
        return FALSE;
    }
    g_strlcpy(out->id, token, sizeof out->id);
    out->roles = strcmp(token, "owner") == 0 ? ROLE_OWNER : ROLE_OPERATOR;
    return TRUE;
}

static void handle_ca(ImpHttpRequest *request, gpointer user)
{
    Rig *rig = user;
    g_autoptr(GBytes) pem = g_bytes_new(rig->ca.cert, strlen(rig->ca.cert));
    imp_http_reply(request, 200, "application/x-pem-file", pem);
}

static const ImpHttpRoute routes[] = {
    {"GET", "/v1/ca", IMP_HTTP_PUBLIC, 0, IMP_HTTP_BODY_NONE, 0, TRUE, NULL, handle_ca},
    {"GET", "/v1/public", IMP_HTTP_PUBLIC, 0, IMP_HTTP_BODY_NONE, 0, FALSE, NULL, handle_hello},
    {"GET", "/v1/station", IMP_HTTP_STATION, 0, IMP_HTTP_BODY_NONE, 0, FALSE, NULL, handle_hello},
    {"GET", "/v1/owner", IMP_HTTP_PERSON, ROLE_OWNER, IMP_HTTP_BODY_NONE, 0, FALSE, NULL, handle_hello},
    {"GET", "/v1/people", IMP_HTTP_PERSON, ROLE_OWNER | ROLE_OPERATOR, IMP_HTTP_BODY_NONE, 0, FALSE, NULL,
     handle_hello},
    {"GET", "/v1/local", IMP_HTTP_LOCAL, 0, IMP_HTTP_BODY_NONE, 0, FALSE, NULL, handle_hello},
    {"GET", "/v1/x/{a}/y/{b}", IMP_HTTP_PUBLIC, 0, IMP_HTTP_BODY_NONE, 0, FALSE, NULL, handle_params},
    {"GET", "/v1/fail", IMP_HTTP_PUBLIC, 0, IMP_HTTP_BODY_NONE, 0, FALSE, NULL, handle_fail},
    {"POST", "/v1/echo", IMP_HTTP_PUBLIC, 0, IMP_HTTP_BODY_MEMORY, BODY_MAX, FALSE, NULL, handle_echo},
    {"POST", "/v1/late", IMP_HTTP_PUBLIC, 0, IMP_HTTP_BODY_MEMORY, BODY_MAX, FALSE, NULL, handle_late},
    {"PUT", "/v1/file", IMP_HTTP_PUBLIC, 0, IMP_HTTP_BODY_FILE, FILE_MAX, FALSE, open_upload, handle_upload},
    {"PUT", "/v1/owner/file", IMP_HTTP_PERSON, ROLE_OWNER, IMP_HTTP_BODY_FILE, FILE_MAX, FALSE, open_upload,
     handle_upload},
};

typedef enum { RIG_TLS = 2, RIG_UNIX, RIG_PLAIN } RigKind;

static void rig_init(Rig *rig, RigKind kind)
{
    g_autoptr(GError) error = NULL;
    *rig = (Rig){.folder = g_dir_make_tmp("imprint-http-XXXXXX", &error)};
    g_assert_no_error(error);
    rig->ca = test_cert_new(NULL, "test CA", NULL, NULL);
    rig->server_cert = test_cert_new(&rig->ca, "server", "serverAuth", "127.0.0.1");
    rig->station = test_cert_new(&rig->ca, "station-1", "clientAuth", NULL);
    rig->other_ca = test_cert_new(NULL, "test CA", NULL, NULL);
    rig->foreign = test_cert_new(&rig->other_ca, "station-1", "clientAuth", NULL);
    rig->late = imp_queue_new(64, NULL);
    g_assert_cmpint(pthread_create(&rig->answering, NULL, answer_late, rig), ==, 0);
    g_autofree char *socket_path = g_build_filename(rig->folder, "s", NULL);
    ImpHttpServerOptions options = {.routes = routes,
                                    .n_routes = G_N_ELEMENTS(routes),
                                    .authorise = authorise,
                                    .user = rig,
                                    .header_ms_max = 1000,
                                    .idle_ms_max = 1500,
                                    .body_ms_max = 1000};
    if (kind == RIG_UNIX)
        options.unix_path = socket_path;
    else
        options.listen = "127.0.0.1:0";
    if (kind == RIG_TLS) {
        options.tls_cert_pem = rig->server_cert.cert;
        options.tls_key_pem = rig->server_cert.key;
        options.client_ca_pem = rig->ca.cert;
    }
    rig->server = imp_http_server_start(&options, &error);
    g_assert_no_error(error);
}

static void rig_done(Rig *rig)
{
    g_autofree char *path = g_strdup(imp_http_server_address(rig->server));
    imp_http_server_stop(rig->server);
    g_assert_false(path[0] == '/' && g_file_test(path, G_FILE_TEST_EXISTS));
    imp_queue_close(rig->late);
    pthread_join(rig->answering, NULL);
    imp_queue_free(rig->late);
    g_rmdir(rig->folder);
    g_free(rig->folder);
    test_cert_done(&rig->ca);
    test_cert_done(&rig->server_cert);
    test_cert_done(&rig->station);
    test_cert_done(&rig->other_ca);
    test_cert_done(&rig->foreign);
}

/* cert NULL: none. ca NULL: the rig's. */
static ImpHttpClient *rig_client(Rig *rig, const TestCert *cert, const TestCert *ca, const char *token)
{
    g_autoptr(GError) error = NULL;
    const char *at = imp_http_server_address(rig->server);
    g_autofree char *url = g_strconcat("https://", at, NULL);
    ImpHttpClientOptions options = {.token = token, .ca_pem = (ca != NULL ? ca : &rig->ca)->cert};
    if (at[0] == '/')
        options.unix_path = at;
    else
        options.url = url;
    if (cert != NULL) {
        options.cert_pem = cert->cert;
        options.key_pem = cert->key;
    }
    ImpHttpClient *client = imp_http_client_new(&options, &error);
    g_assert_no_error(error);
    return client;
}

/* GET path; the error's code, or 0. */
static int get(ImpHttpClient *client, const char *path, json_t **out)
{
    g_autoptr(GError) error = NULL;
    json_t *answer = imp_http_call_json(client, "GET", path, NULL, &error);
    if (out != NULL)
        *out = answer;
    else
        json_decref(answer);
    return answer != NULL ? 0 : imp_error_code(error);
}

/* ---- tests ---- */

/* Every kind of caller against every kind of route: closed by default. */
static void test_gate(void)
{
    Rig rig;
    rig_init(&rig, RIG_TLS);
    TestCert server_as_client = rig.server_cert;
    const struct {
        const char *name;
        const TestCert *cert;
        const char *token;
        int public, station, owner, people, local; /* expected code */
    } rows[] = {
        {"nobody", NULL, NULL, 0, IMP_E_HTTP_UNAUTHENTICATED, IMP_E_HTTP_UNAUTHENTICATED,
         IMP_E_HTTP_UNAUTHENTICATED, IMP_E_HTTP_FORBIDDEN},
        {"station", &rig.station, NULL, 0, 0, IMP_E_HTTP_UNAUTHENTICATED, IMP_E_HTTP_UNAUTHENTICATED,
         IMP_E_HTTP_FORBIDDEN},
        {"station of another CA of the same name", &rig.foreign, NULL, 0, IMP_E_HTTP_UNAUTHENTICATED,
         IMP_E_HTTP_UNAUTHENTICATED, IMP_E_HTTP_UNAUTHENTICATED, IMP_E_HTTP_FORBIDDEN},
        {"the server's own certificate", &server_as_client, NULL, 0, IMP_E_HTTP_UNAUTHENTICATED,
         IMP_E_HTTP_UNAUTHENTICATED, IMP_E_HTTP_UNAUTHENTICATED, IMP_E_HTTP_FORBIDDEN},
        {"owner", NULL, "owner", 0, IMP_E_HTTP_UNAUTHENTICATED, 0, 0, IMP_E_HTTP_FORBIDDEN},
        {"operator", NULL, "operator", 0, IMP_E_HTTP_UNAUTHENTICATED, IMP_E_HTTP_FORBIDDEN, 0,
         IMP_E_HTTP_FORBIDDEN},
        {"wrong token", NULL, "Owner", 0, IMP_E_HTTP_UNAUTHENTICATED, IMP_E_HTTP_UNAUTHENTICATED,
         IMP_E_HTTP_UNAUTHENTICATED, IMP_E_HTTP_FORBIDDEN},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s", rows[i].name);
        g_autoptr(ImpHttpClient) client = rig_client(&rig, rows[i].cert, NULL, rows[i].token);
        g_assert_cmpint(get(client, "/v1/public", NULL), ==, rows[i].public);
        g_assert_cmpint(get(client, "/v1/station", NULL), ==, rows[i].station);
        g_assert_cmpint(get(client, "/v1/owner", NULL), ==, rows[i].owner);
        g_assert_cmpint(get(client, "/v1/people", NULL), ==, rows[i].people);
        g_assert_cmpint(get(client, "/v1/local", NULL), ==, rows[i].local);
    }
    g_autoptr(ImpHttpClient) client = rig_client(&rig, &rig.station, NULL, NULL);
    json_t *answer = NULL;
    g_assert_cmpint(get(client, "/v1/station?q=a%20b", &answer), ==, 0);
    g_assert_cmpstr(json_string_value(json_object_get(answer, "station")), ==, "station-1");
    g_assert_cmpstr(json_string_value(json_object_get(answer, "q")), ==, "a b");
    json_decref(answer);
    rig_done(&rig);
}

static void test_routes(void)
{
    Rig rig;
    rig_init(&rig, RIG_UNIX);
    g_autoptr(ImpHttpClient) client = rig_client(&rig, NULL, NULL, NULL);
    struct stat info;
    g_assert_cmpint(stat(imp_http_server_address(rig.server), &info), ==, 0);
    g_assert_cmpint(info.st_mode & 0777, ==, 0660);
    json_t *answer = NULL;
    g_assert_cmpint(get(client, "/v1/x/one/y/two", &answer), ==, 0);
    g_assert_cmpstr(json_string_value(json_object_get(answer, "a")), ==, "one");
    g_assert_cmpstr(json_string_value(json_object_get(answer, "b")), ==, "two");
    json_decref(answer);
    g_assert_cmpint(get(client, "/v1/local", NULL), ==, 0);
    g_assert_cmpint(get(client, "/v1/x//y/two", NULL), ==, IMP_E_HTTP_NO_ROUTE);
    g_assert_cmpint(get(client, "/v1/x/one/y/two/", NULL), ==, IMP_E_HTTP_NO_ROUTE);
    g_assert_cmpint(get(client, "/v1/publi", NULL), ==, IMP_E_HTTP_NO_ROUTE);
    g_assert_cmpint(get(client, "/", NULL), ==, IMP_E_HTTP_NO_ROUTE);
    g_assert_cmpint(get(client, "/v1/echo", NULL), ==, IMP_E_HTTP_METHOD);
    g_assert_cmpint(get(client, "/v1/fail", NULL), ==, IMP_E_IMAGE_PAUSED);
    g_assert_cmpint(get(client, "/v1/station", NULL), ==, IMP_E_HTTP_UNAUTHENTICATED);
    rig_done(&rig);
}

/* POST of n_bytes of JSON; the error's code, or 0. */
static int post(ImpHttpClient *client, const char *path, gsize n_bytes)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strnfill(n_bytes - 8, 'x'); /* {"a":""} */
    json_t *document = json_pack("{s:s}", "a", text);
    json_t *answer = imp_http_call_json(client, "POST", path, document, &error);
    int code = answer != NULL ? 0 : imp_error_code(error);
    if (answer != NULL)
        g_assert_true(json_equal(answer, document));
    json_decref(answer);
    json_decref(document);
    return code;
}

static void test_bodies(void)
{
    Rig rig;
    rig_init(&rig, RIG_TLS);
    g_autoptr(ImpHttpClient) client = rig_client(&rig, NULL, NULL, NULL);
    g_autoptr(GError) error = NULL;
    const char *const paths[] = {"/v1/echo", "/v1/late"};
    for (guint i = 0; i < 2; i++) {
        g_assert_cmpint(post(client, paths[i], BODY_MAX), ==, 0);
        g_assert_cmpint(post(client, paths[i], BODY_MAX + 1), ==, IMP_E_HTTP_TOO_LARGE);
        g_assert_cmpint(post(client, paths[i], 50000), ==, IMP_E_HTTP_TOO_LARGE);
        g_assert_cmpint(post(client, paths[i], 9), ==, 0);
    }
    g_autoptr(GBytes) broken = g_bytes_new_static("{\"a\":1,\"a\":2}", 13);
    g_autoptr(ImpHttpAnswer) answer = NULL;
    g_assert_true(imp_http_call(client, &(ImpHttpCall){.method = "POST", .path = "/v1/echo", .body = broken},
                                &answer, &error));
    g_assert_cmpint(answer->status, ==, 400);
    g_assert_false(imp_http_answer_check(answer, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_HTTP_REQUEST);
    rig_done(&rig);
}

static int filled_file(const Rig *rig, gsize n_bytes)
{
    int fd = open(rig->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    g_autofree guint8 *data = g_malloc(n_bytes);
    for (gsize i = 0; i < n_bytes; i++)
        data[i] = (guint8)(i * 7 + i / 251);
    g_assert_cmpint(write(fd, data, n_bytes), ==, n_bytes);
    g_assert_cmpint(lseek(fd, 0, SEEK_SET), ==, 0);
    return fd;
}

static void assert_same_file(int a, int b, gsize n_bytes, gsize from)
{
    g_autofree guint8 *x = g_malloc(n_bytes), *y = g_malloc(n_bytes);
    g_assert_cmpint(pread(a, x, n_bytes, (off_t)from), ==, n_bytes);
    g_assert_cmpint(pread(b, y, n_bytes, 0), ==, n_bytes);
    g_assert_cmpmem(x, n_bytes, y, n_bytes);
    struct stat info;
    g_assert_cmpint(fstat(b, &info), ==, 0);
    g_assert_cmpint(info.st_size, ==, n_bytes);
}

/* Up into a descriptor and down from it, whole, in part, and not at all when it is known. */
static void test_files(void)
{
    Rig rig;
    rig_init(&rig, RIG_TLS);
    g_autoptr(ImpHttpClient) client = rig_client(&rig, NULL, NULL, NULL);
    const gsize n_bytes = 3 * 1024 * 1024 + 17;
    const struct {
        guint64 from;
        const char *etag;
        guint64 room;
        int status, code;
    } rows[] = {
        {0, NULL, n_bytes, 200, 0},       {n_bytes - 5, NULL, n_bytes, 206, 0},
        {1, "v0", n_bytes, 206, 0},       {0, "v1", n_bytes, 304, 0},
        {n_bytes, NULL, n_bytes, 416, 0}, {0, NULL, n_bytes - 1, 0, IMP_E_LIMIT},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        int up = filled_file(&rig, n_bytes), down = open(rig.folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        ImpHttpCall call = {.method = "PUT",
                            .path = "/v1/file",
                            .has_body_fd = TRUE,
                            .body_fd = up,
                            .body_bytes = n_bytes,
                            .has_answer_fd = TRUE,
                            .answer_fd = down,
                            .answer_fd_bytes_max = rows[i].room,
                            .etag = rows[i].etag,
                            .range_from = rows[i].from};
        g_autoptr(ImpHttpAnswer) answer = NULL;
        g_autoptr(GError) error = NULL;
        gboolean good = imp_http_call(client, &call, &answer, &error);
        g_assert_cmpint(good ? 0 : imp_error_code(error), ==, rows[i].code);
        if (good) {
            g_assert_cmpint(answer->status, ==, rows[i].status);
            g_assert_cmpstr(answer->etag, ==, "v1");
            if (answer->status / 100 == 2)
                assert_same_file(up, down, n_bytes - rows[i].from, rows[i].from);
        }
        close(up);
        close(down);
    }
    /* Refused before a byte of it is taken: too large, not allowed, no length. */
    int up = filled_file(&rig, FILE_MAX + 1);
    const char *const paths[] = {"/v1/file", "/v1/owner/file"};
    const int codes[] = {IMP_E_HTTP_TOO_LARGE, IMP_E_HTTP_UNAUTHENTICATED};
    for (guint i = 0; i < 2; i++) {
        ImpHttpCall call = {.method = "PUT",
                            .path = paths[i],
                            .has_body_fd = TRUE,
                            .body_fd = up,
                            .body_bytes = FILE_MAX + 1};
        g_autoptr(ImpHttpAnswer) answer = NULL;
        g_autoptr(GError) error = NULL;
        g_assert_true(imp_http_call(client, &call, &answer, &error));
        g_assert_false(imp_http_answer_check(answer, &error));
        g_assert_error(error, IMP_ERROR, codes[i]);
        lseek(up, 0, SEEK_SET);
    }
    close(up);
    rig_done(&rig);
}

/* A plain connection that says exactly text, then waits for the end; what came back. */
static char *raw(const Rig *rig, const char *text)
{
    const char *colon = strrchr(imp_http_server_address(rig->server), ':');
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = g_htons((guint16)g_ascii_strtoull(colon + 1, NULL, 10)),
                             .sin_addr.s_addr = g_htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&at, sizeof at), ==, 0);
    for (gsize left = strlen(text); left > 0;) {
        gssize n = send(fd, text, left, MSG_NOSIGNAL);
        if (n <= 0)
            break; /* the server had enough */
        text += n;
        left -= (gsize)n;
    }
    GString *got = g_string_new(NULL);
    char buffer[4096];
    for (gssize n; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;)
        g_string_append_len(got, buffer, n);
    close(fd);
    return g_string_free(got, FALSE);
}

/* What is unfinished is cut off by the server's own clock; what is malformed is refused by name. */
static void test_raw(void)
{
    Rig rig;
    rig_init(&rig, RIG_PLAIN);
    g_autofree char *large = g_strnfill(40000, 'x');
    g_autofree char *large_header =
        g_strdup_printf("GET /v1/public HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", large);
    const struct {
        const char *name, *text, *answer; /* NULL: nothing comes back */
    } rows[] = {
        {"nothing", "", NULL},
        {"half a request line", "GET /v1/pub", NULL},
        {"half a header", "GET /v1/public HTTP/1.1\r\nHost: a\r\nImprint-Prot", NULL},
        {"half a body",
         "POST /v1/echo HTTP/1.1\r\nHost: a\r\nImprint-Protocol: 1\r\nContent-Length: 9\r\n\r\n{", NULL},
        {"header too large", large_header, "HTTP/1.1 431"},
        {"no protocol", "GET /v1/public HTTP/1.1\r\nHost: a\r\n\r\n", "\"code\":7106"},
        {"another protocol", "GET /v1/public HTTP/1.1\r\nHost: a\r\nImprint-Protocol: 2\r\n\r\n",
         "\"code\":7106"},
        {"chunked",
         "POST /v1/echo HTTP/1.1\r\nHost: a\r\nImprint-Protocol: 1\r\nTransfer-Encoding: "
         "chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
         "\"code\":7109"},
        {"body where none belongs",
         "GET /v1/public HTTP/1.1\r\nHost: a\r\nImprint-Protocol: 1\r\nContent-Length: 2\r\n\r\n{}",
         "\"code\":7105"},
        {"good, then idle", "GET /v1/public HTTP/1.1\r\nHost: a\r\nImprint-Protocol: 1\r\n\r\n",
         "{\"who\":2}"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        gint64 begin = g_get_monotonic_time();
        g_autofree char *got = raw(&rig, rows[i].text);
        gint64 ms = (g_get_monotonic_time() - begin) / 1000;
        g_test_message("%s: %" G_GINT64_FORMAT " ms: %s", rows[i].name, ms, got);
        if (rows[i].answer == NULL)
            g_assert_cmpstr(got, ==, "");
        else
            g_assert_nonnull(strstr(got, rows[i].answer));
        g_assert_cmpint(ms, <, 20000); /* that it ends at all is the point; the machine may be busy */
    }
    rig_done(&rig);
}

static void test_trust(void)
{
    Rig rig;
    rig_init(&rig, RIG_TLS);
    g_autofree char *url = g_strconcat("https://", imp_http_server_address(rig.server), NULL);
    g_autoptr(GError) error = NULL;
    guint8 digest[IMP_HTTP_KEY_DIGEST_BYTES];
    g_assert_true(imp_http_key_digest(rig.ca.cert, digest, &error));
    g_autofree char *pem = imp_http_fetch_ca(url, digest, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(pem, ==, rig.ca.cert);
    g_assert_true(imp_http_key_digest(rig.other_ca.cert, digest, &error));
    g_assert_null(imp_http_fetch_ca(url, digest, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_HTTP_TLS);
    g_clear_error(&error);
    g_autoptr(ImpHttpClient) misled = rig_client(&rig, NULL, &rig.other_ca, NULL);
    g_assert_cmpint(get(misled, "/v1/public", NULL), ==, IMP_E_HTTP_TLS);
    g_assert_false(imp_http_key_digest("rubbish", digest, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_HTTP_TLS);
    g_clear_error(&error);
    const char *const urls[] = {"http://127.0.0.1:1", "https://", "https://a/b",
                                "https://u@a",        "a:1",      "https://a?x"};
    for (guint i = 0; i < G_N_ELEMENTS(urls); i++) {
        g_assert_null(imp_http_client_new(&(ImpHttpClientOptions){.url = urls[i]}, &error));
        g_assert_error(error, IMP_ERROR, IMP_E_HTTP_URL);
        g_clear_error(&error);
    }
    rig_done(&rig);
    /* And now nobody is there. */
    g_autoptr(ImpHttpClient) lonely = imp_http_client_new(&(ImpHttpClientOptions){.url = url}, &error);
    g_assert_no_error(error);
    g_assert_cmpint(get(lonely, "/v1/public", NULL), ==, IMP_E_HTTP_UNREACHABLE);
    imp_http_client_cancel(lonely);
    g_assert_cmpint(get(lonely, "/v1/public", NULL), ==, IMP_E_CANCELLED);
}

static void *post_late(void *user)
{
    ImpHttpClient *client = user;
    return GINT_TO_POINTER(post(client, "/v1/late", 100));
}

/* What is in work when the server stops is answered; then nobody is there. */
static void test_stop(void)
{
    Rig rig;
    rig_init(&rig, RIG_TLS);
    g_autoptr(ImpHttpClient) client = rig_client(&rig, NULL, NULL, NULL);
    g_assert_true(imp_queue_push(rig.late, &rig)); /* ends the answering thread: from here we are the one */
    pthread_join(rig.answering, NULL);
    pthread_t waiting;
    g_assert_cmpint(pthread_create(&waiting, NULL, post_late, client), ==, 0);
    ImpHttpRequest *request = imp_queue_pop(rig.late);
    g_assert_true(imp_queue_push(rig.late, request)); /* still in work: a thread answers it during stop */
    g_assert_cmpint(pthread_create(&rig.answering, NULL, answer_late, &rig), ==, 0);
    imp_http_server_stop(rig.server);
    rig.server = NULL;
    void *code = GINT_TO_POINTER(-1);
    pthread_join(waiting, &code);
    g_assert_cmpint(GPOINTER_TO_INT(code), ==, 0);
    g_assert_cmpint(get(client, "/v1/public", NULL), ==, IMP_E_HTTP_UNREACHABLE);
    ImpHttpServerOptions options = {.routes = routes,
                                    .n_routes = G_N_ELEMENTS(routes),
                                    .authorise = authorise,
                                    .user = &rig,
                                    .listen = "127.0.0.1:0"};
    g_autoptr(GError) error = NULL;
    rig.server = imp_http_server_start(&options, &error);
    g_assert_no_error(error);
    rig_done(&rig);
}

/* Stops the server while a request is in work; user is the rig. */
static void *stop_server(void *user)
{
    Rig *rig = user;
    imp_http_server_stop(rig->server);
    return NULL;
}

static int connect_raw(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    g_strlcpy(at.sun_path, path, sizeof at.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

/* One request on a connection that is kept, and what comes back in one piece. */
static char *ask_raw(int fd)
{
    static const char request[] = "GET /v1/public HTTP/1.1\r\nHost: a\r\nImprint-Protocol: 1\r\n\r\n";
    char answer[4096];
    g_assert_cmpint(send(fd, request, strlen(request), MSG_NOSIGNAL), ==, (gssize)strlen(request));
    gssize n = recv(fd, answer, sizeof answer - 1, 0);
    g_assert_cmpint(n, >, 0);
    answer[n] = '\0';
    return g_strdup(answer);
}

/* Who is still connected while the server waits for what is in work is told that it stops, and what to do then. */
static void test_stopping(void)
{
    Rig rig;
    rig_init(&rig, RIG_UNIX);
    g_autofree char *path = g_strdup(imp_http_server_address(rig.server));
    g_assert_true(imp_queue_push(rig.late, &rig)); /* ends the answering thread: from here we are the one */
    pthread_join(rig.answering, NULL);
    int fd = connect_raw(path);
    g_assert_cmpint(fd, >=, 0);
    g_autofree char *before = ask_raw(fd);
    g_assert_true(g_str_has_prefix(before, "HTTP/1.1 200"));
    g_autoptr(ImpHttpClient) client = rig_client(&rig, NULL, NULL, NULL);
    pthread_t waiting, stopping;
    g_assert_cmpint(pthread_create(&waiting, NULL, post_late, client), ==, 0);
    ImpHttpRequest *request = imp_queue_pop(rig.late);
    g_assert_cmpint(pthread_create(&stopping, NULL, stop_server, &rig), ==, 0);
    char *after = ask_raw(fd);
    for (; g_str_has_prefix(after, "HTTP/1.1 200"); after = ask_raw(fd)) /* until it has begun to stop */
        g_free(after);
    g_test_message("%s", after);
    g_assert_true(g_str_has_prefix(after, "HTTP/1.1 503"));
    g_autofree char *code = g_strdup_printf("\"code\":%d", IMP_E_HTTP_STOPPING);
    g_assert_nonnull(strstr(after, code));
    g_free(after);
    close(fd);
    handle_echo(request, &rig);
    void *late = GINT_TO_POINTER(-1);
    pthread_join(waiting, &late);
    g_assert_cmpint(GPOINTER_TO_INT(late), ==, 0);
    pthread_join(stopping, NULL);
    rig.server = NULL;
    ImpHttpServerOptions options = {.routes = routes,
                                    .n_routes = G_N_ELEMENTS(routes),
                                    .authorise = authorise,
                                    .user = &rig,
                                    .unix_path = path};
    g_autoptr(GError) error = NULL;
    rig.server = imp_http_server_start(&options, &error);
    g_assert_no_error(error);
    g_assert_cmpint(pthread_create(&rig.answering, NULL, answer_late, &rig), ==, 0);
    rig_done(&rig);
}

/* A request that the server does not answer in the time that the caller gives it. */
static void test_late(void)
{
    Rig rig;
    rig_init(&rig, RIG_UNIX);
    g_assert_true(imp_queue_push(rig.late, &rig)); /* ends the answering thread: from here we are the one */
    pthread_join(rig.answering, NULL);
    g_autoptr(ImpHttpClient) client = rig_client(&rig, NULL, NULL, NULL);
    g_autoptr(GBytes) body = g_bytes_new_static("{}", 2);
    ImpHttpCall call = {.method = "POST",
                        .path = "/v1/late",
                        .content_type = "application/json",
                        .body = body,
                        .ms_max = 300};
    g_autoptr(ImpHttpAnswer) answer = NULL;
    g_autoptr(GError) error = NULL;
    g_assert_false(imp_http_call(client, &call, &answer, &error));
    g_test_message("%s", error->message);
    g_assert_error(error, IMP_ERROR, IMP_E_TIMEOUT);
    handle_echo(imp_queue_pop(rig.late), &rig);
    g_assert_cmpint(pthread_create(&rig.answering, NULL, answer_late, &rig), ==, 0);
    g_assert_cmpint(post(client, "/v1/late", 10), ==, 0); /* the next one is not disturbed by it */
    rig_done(&rig);
}

typedef struct {
    int listener;
    const char *says;
} Stranger;

/* Something that listens there, but is no server of ours: one connection. */
static void *speak_strangely(void *user)
{
    const Stranger *stranger = user;
    char request[4096];
    int fd = accept(stranger->listener, NULL, NULL);
    g_assert_cmpint(recv(fd, request, sizeof request, 0), >, 0);
    g_assert_cmpint(send(fd, stranger->says, strlen(stranger->says), MSG_NOSIGNAL), ==,
                    (gssize)strlen(stranger->says));
    close(fd);
    return NULL;
}

static void test_strangers(void)
{
    static const char *const says[] = {
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: "
        "close\r\n\r\n<html></html>",
        "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 24\r\nConnection: close\r\n\r\n{\"error\":\"no such "
        "page\"}",
    };
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp("imprint-http-XXXXXX", &error);
    g_autofree char *path = g_build_filename(folder, "s", NULL);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    g_strlcpy(at.sun_path, path, sizeof at.sun_path);
    Stranger stranger = {.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    g_assert_cmpint(bind(stranger.listener, (struct sockaddr *)&at, sizeof at), ==, 0);
    g_assert_cmpint(listen(stranger.listener, 1), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(says); i++) {
        pthread_t thread;
        stranger.says = says[i];
        g_assert_cmpint(pthread_create(&thread, NULL, speak_strangely, &stranger), ==, 0);
        g_autoptr(ImpHttpClient) client =
            imp_http_client_new(&(ImpHttpClientOptions){.unix_path = path}, &error);
        g_assert_no_error(error);
        g_autoptr(GError) why = NULL;
        g_assert_null(imp_http_call_json(client, "GET", "/v1/public", NULL, &why));
        g_test_message("%s", why->message);
        g_assert_error(why, IMP_ERROR, IMP_E_HTTP_ANSWER);
        pthread_join(thread, NULL);
    }
    close(stranger.listener);
    g_remove(path);
    g_rmdir(folder);
}

/* Many threads and late answers: each gets its own. */
#define CROWD       8
#define CROWD_CALLS 50
static void *crowd(void *user)
{
    Rig *rig = user;
    g_autoptr(ImpHttpClient) client = rig_client(rig, NULL, NULL, NULL);
    for (gsize i = 0; i < CROWD_CALLS; i++)
        g_assert_cmpint(post(client, "/v1/late", 20 + i), ==, 0);
    return NULL;
}

static void test_crowd(void)
{
    Rig rig;
    rig_init(&rig, RIG_UNIX);
    pthread_t threads[CROWD];
    for (guint i = 0; i < CROWD; i++)
        g_assert_cmpint(pthread_create(&threads[i], NULL, crowd, &rig), ==, 0);
    for (guint i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    rig_done(&rig);
}

static void test_listen(void)
{
    const struct {
        const char *listen;
        int code;
    } rows[] = {{"localhost:1", IMP_E_HTTP_URL},
                {"127.0.0.1", IMP_E_HTTP_URL},
                {"127.0.0.1:65536", IMP_E_HTTP_URL},
                {"::1:0", IMP_E_HTTP_URL},
                {"192.0.2.1:0", IMP_E_IO}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(imp_http_server_start(&(ImpHttpServerOptions){.routes = routes,
                                                                    .n_routes = G_N_ELEMENTS(routes),
                                                                    .authorise = authorise,
                                                                    .listen = rows[i].listen},
                                            &error));
        g_assert_error(error, IMP_ERROR, rows[i].code);
    }
    Rig rig;
    rig_init(&rig, RIG_UNIX);
    g_autoptr(GError) error = NULL;
    ImpHttpServerOptions second = {.routes = routes,
                                   .n_routes = G_N_ELEMENTS(routes),
                                   .authorise = authorise,
                                   .unix_path = imp_http_server_address(rig.server)};
    g_assert_null(imp_http_server_start(&second, &error)); /* a socket in use is not taken over */
    g_assert_error(error, IMP_ERROR, IMP_E_IO);
    rig_done(&rig);
}

/* Where in a target it happened crosses HTTP too. */
static void test_problem_detail(void)
{
    g_autoptr(GError) sent = NULL, received = NULL, plain = NULL;
    imp_error_set_at(&sent, IMP_E_FLASH_MISMATCH, 0x0800A400, (const guint8 *)"\x47\x70",
                     (const guint8 *)"\x47\x00", 2, "memory differs");
    imp_error_set_step(&sent, "verify");
    json_t *document = imp_http_problem_encode(sent);
    char *text = json_dumps(document, JSON_COMPACT);
    imp_http_problem_decode(text, strlen(text), 500, &received);
    g_assert_error(received, IMP_ERROR, IMP_E_FLASH_MISMATCH);
    const ImpErrorDetail *detail = imp_error_detail(received);
    g_assert_true(detail->has_address);
    g_assert_cmphex(detail->address, ==, 0x0800A400);
    g_assert_cmpmem(detail->expected, detail->expected_bytes, "\x47\x70", 2);
    g_assert_cmpmem(detail->found, detail->found_bytes, "\x47\x00", 2);
    g_assert_cmpstr(detail->step, ==, "verify");
    free(text);
    json_decref(document);

    imp_error_set(&plain, IMP_E_NOT_FOUND, "no \xff here");
    document = imp_http_problem_encode(plain); /* bytes that are not UTF-8 cost nothing but themselves */
    json_t *body = json_object_get(document, "error");
    g_assert_nonnull(json_string_value(json_object_get(body, "text")));
    g_assert_null(json_object_get(body, "detail"));
    json_decref(document);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    imp_http_client_init();
    g_test_add_func("/http/gate", test_gate);
    g_test_add_func("/http/problem-detail", test_problem_detail);
    g_test_add_func("/http/routes", test_routes);
    g_test_add_func("/http/bodies", test_bodies);
    g_test_add_func("/http/files", test_files);
    g_test_add_func("/http/raw", test_raw);
    g_test_add_func("/http/trust", test_trust);
    g_test_add_func("/http/stop", test_stop);
    g_test_add_func("/http/stopping", test_stopping);
    g_test_add_func("/http/late", test_late);
    g_test_add_func("/http/strangers", test_strangers);
    g_test_add_func("/http/crowd", test_crowd);
    g_test_add_func("/http/listen", test_listen);
    return g_test_run();
}
