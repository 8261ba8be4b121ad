#include "station/api.h"

#include <glib-unix.h>
#include <string.h>

#include "base/json.h"
#include "base/queue.h"
#include "http/server/server.h"
#include "station/given.h"
#include "wire/wire.h"

#define QUERIES_MAX    7
#define JSON_BODY_MAX  (64 * 1024)
#define START_BODY_MAX (1024 * 1024) /* with dynamic data */
#define GRANT_BODY_MAX (64 * 1024)
#define POLL_MS_MAX    60000
#define EVENTS_MAX     1000
#define LOG_LINES_MAX  10000
#define LOG_LINES      1000
#define SHARE_MS       6000 /* as long as a START waits for its permit */

/* A request on its way to the loop, and back. */
typedef struct {
    ImpHttpRequest *request;
    char *queries[QUERIES_MAX]; /* in the order of its handler's names; NULL = not there */
} Ask;

typedef void (*HandlerFn)(ImpApi *api, Ask *ask);

typedef struct {
    HandlerFn run; /* on the loop; replies, or keeps request for later */
    const char *queries[QUERIES_MAX];
} Handler;

/* A GET /v1/events that waits. */
typedef struct {
    ImpApi *api;
    ImpHttpRequest *request;
    guint64 after;
    guint limit;
    guint timer;
} Poll;

/* A POST /v1/launches that waits for the cloud's share of its image, as a START waits for its permit. */
typedef struct {
    ImpApi *api;
    ImpHttpRequest *request;
    json_t *document;
    guint timer;
} ShareWait;

struct ImpApi {
    ImpStation *station;
    ImpHttpServer *server;
    ImpQueue *asks;
    guint source;
    GPtrArray *polls; /* Poll */
    GPtrArray *share_waits; /* ShareWait */
    guint flush_source;
};

static void ask_free(gpointer data)
{
    Ask *ask = data;
    for (guint i = 0; i < QUERIES_MAX; i++)
        g_free(ask->queries[i]);
    g_free(ask);
}

/* ---- replies ------------------------------------------------------------------------------------------------------- */

/* Takes over document. Encoded here, because documents of events are shared with the ring. */
static void reply(ImpHttpRequest *request, guint status, json_t *document)
{
    char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    g_autoptr(GBytes) body = g_bytes_new_with_free_func(text, strlen(text), free, text);
    imp_http_reply(request, status, "application/json", body);
}

static void reply_error(ImpHttpRequest *request, GError *error)
{
    imp_http_reply_error(request, error);
    g_error_free(error);
}

/* A document, or the error that stands in its place. */
static void reply_or_error(ImpHttpRequest *request, guint status, json_t *document, GError *error)
{
    if (document != NULL)
        reply(request, status, document);
    else
        reply_error(request, error);
}

static json_t *with(const char *name, json_t *value)
{
    json_t *document = json_object();
    json_object_set_new(document, name, value);
    return document;
}

static gboolean number_query(const Ask *ask, guint index, const char *name, guint64 max, guint64 fallback,
                             guint64 *out_value, GError **error)
{
    *out_value = fallback;
    if (ask->queries[index] == NULL ||
        g_ascii_string_to_unsigned(ask->queries[index], 10, 0, max, out_value, NULL))
        return TRUE;
    imp_error_set(error, IMP_E_ARGUMENT, "%s must be a number of at most %" G_GUINT64_FORMAT, name, max);
    return FALSE;
}

/* ---- status and images --------------------------------------------------------------------------------------------- */

static void get_status(ImpApi *api, Ask *ask)
{
    reply(ask->request, 200, imp_station_status(api->station));
}

static void get_statistics(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    json_t *document = imp_station_statistics(api->station, &error);
    reply_or_error(ask->request, 200, document, error);
}

static void get_pools(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    json_t *list = imp_station_pools(api->station, &error);
    reply_or_error(ask->request, 200, list != NULL ? with("pools", list) : NULL, error);
}

static void get_images(ImpApi *api, Ask *ask)
{
    reply(ask->request, 200, with("images", imp_station_images(api->station)));
}

static void post_image(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    guint64 n_bytes = 0;
    const ImpStoreEntry *entry = NULL;
    gboolean is_new = FALSE;
    int fd = imp_http_request_body_fd(ask->request, &n_bytes);
    if (imp_station_load(api->station, fd, IMP_SOURCE_LOCAL, &entry, &is_new, &error))
        reply(ask->request, is_new ? 201 : 200, imp_station_image(api->station, entry));
    else
        reply_error(ask->request, error);
}

static const ImpStoreEntry *image_of(ImpApi *api, const Ask *ask, GError **error)
{
    return imp_store_resolve(imp_station_store(api->station), imp_http_request_param(ask->request, "id"),
                             error);
}

static void get_image(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    const ImpStoreEntry *entry = image_of(api, ask, &error);
    reply_or_error(ask->request, 200, entry != NULL ? imp_station_inspect(api->station, entry) : NULL, error);
}

static void delete_image(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    const ImpStoreEntry *entry = image_of(api, ask, &error);
    if (entry != NULL && imp_station_delete(api->station, &entry->clear->id, &error))
        imp_http_reply(ask->request, 204, NULL, NULL);
    else
        reply_error(ask->request, error);
}

/* ---- launches ------------------------------------------------------------------------------------------------------ */

static void get_launches(ImpApi *api, Ask *ask)
{
    reply(ask->request, 200, with("launches", imp_station_launches(api->station)));
}

/* The names in "ports", borrowed from document, in a new array that ends with NULL; no array for "all". */
static GPtrArray *read_ports(ImpJson *r, const json_t *document)
{
    if (json_is_string(json_object_get(document, "ports"))) {
        const char *const words[] = {"all"};
        (void)imp_json_word(r, "ports", words, G_N_ELEMENTS(words));
        return NULL;
    }
    const json_t *list = imp_json_array(r, "ports", 1, IMP_STATION_PORTS_MAX);
    GPtrArray *names = g_ptr_array_new();
    for (gsize i = 0; list != NULL && i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name == NULL)
            imp_json_fault(r, "ports: each must be a name");
        else
            g_ptr_array_add(names, (gpointer)name);
    }
    g_ptr_array_add(names, NULL);
    return names;
}

/* Begins what document asks for, and replies. FALSE: it is not decided, because the cloud's share may come within its time. */
static gboolean try_launch(ImpApi *api, ImpHttpRequest *request, const json_t *document, gboolean may_wait)
{
    GError *error = NULL;
    json_t *launches = NULL;
    ImpJson r;
    imp_json_begin(&r, document, "launch", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    ImpStationLaunch launch = {.image = imp_json_string(&r, "image", 1, 256), .order = "", .person = ""};
    g_autoptr(GPtrArray) ports = read_ports(&r, document);
    launch.ports = ports != NULL ? (const char *const *)ports->pdata : NULL;
    if (imp_json_has(&r, "order"))
        launch.order = imp_json_string(&r, "order", 0, IMP_WIRE_NAME_SIZE - 1);
    if (imp_json_has(&r, "person"))
        launch.person = imp_json_string(&r, "person", 0, IMP_WIRE_NAME_SIZE - 1);
    launch.verify_only = imp_json_has(&r, "verify_only") && imp_json_bool(&r, "verify_only");
    g_auto(ImpStationGiven) given = {.n_items = 0};
    imp_station_given_read(&r, &given);
    launch.given = given.items;
    launch.n_given = given.n_items;
    guint64 event = imp_events_last(imp_station_events(api->station));
    if (imp_json_end(&r, &error) && imp_station_launch(api->station, &launch, &launches, &error)) {
        json_t *answer = with("launches", launches);
        json_object_set_new(answer, "event", json_integer((json_int_t)event));
        reply(request, 202, answer);
    } else if (may_wait && g_error_matches(error, IMP_ERROR, IMP_E_SHARE_MISSING)) {
        g_error_free(error);
        return FALSE;
    } else {
        reply_error(request, error);
    }
    return TRUE;
}

static gboolean on_share_time(gpointer user)
{
    ShareWait *wait = user;
    g_ptr_array_remove_fast(wait->api->share_waits, wait);
    (void)try_launch(wait->api, wait->request, wait->document, FALSE);
    json_decref(wait->document);
    g_free(wait);
    return G_SOURCE_REMOVE;
}

/* After each event: shares that have come are told of as events of their images. */
static void flush_share_waits(ImpApi *api, gboolean may_wait)
{
    for (guint i = api->share_waits->len; i-- > 0;) {
        ShareWait *wait = api->share_waits->pdata[i];
        if (!try_launch(api, wait->request, wait->document, may_wait))
            continue;
        g_ptr_array_remove_index(api->share_waits, i);
        g_source_remove(wait->timer);
        json_decref(wait->document);
        g_free(wait);
    }
}

static void post_launch(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    json_t *document = imp_http_request_json(ask->request, &error);
    if (document == NULL) {
        reply_error(ask->request, error);
        return;
    }
    gboolean may_wait = api->share_waits->len < IMP_API_POLLS_MAX && imp_station_has_cloud(api->station) &&
                        !imp_station_stopping(api->station);
    if (try_launch(api, ask->request, document, may_wait)) {
        json_decref(document);
        return;
    }
    imp_station_ask_cloud(api->station);
    ShareWait *wait = g_new0(ShareWait, 1);
    wait->api = api;
    wait->request = ask->request;
    wait->document = document;
    wait->timer = g_timeout_add(SHARE_MS, on_share_time, wait);
    g_ptr_array_add(api->share_waits, wait);
}

static void get_launch(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    json_t *document =
        imp_station_launch_view(api->station, imp_http_request_param(ask->request, "id"), &error);
    reply_or_error(ask->request, 200, document, error);
}

static void post_cancel(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    const char *id = imp_http_request_param(ask->request, "id");
    json_t *document = NULL;
    if (imp_station_cancel(api->station, id, &error))
        document = imp_station_launch_view(api->station, id, &error);
    reply_or_error(ask->request, 202, document, error);
}

/* ---- events -------------------------------------------------------------------------------------------------------- */

static void reply_events(ImpApi *api, ImpHttpRequest *request, guint64 after, guint limit)
{
    json_t *document = imp_events_read(imp_station_events(api->station), after, limit);
    json_object_set_new(document, "start", json_integer((json_int_t)imp_station_start(api->station)));
    reply(request, 200, document);
}

static void poll_end(Poll *poll)
{
    reply_events(poll->api, poll->request, poll->after, poll->limit);
    g_source_remove(poll->timer);
    g_free(poll);
}

static gboolean on_poll_time(gpointer user)
{
    Poll *poll = user;
    g_ptr_array_remove_fast(poll->api->polls, poll);
    reply_events(poll->api, poll->request, poll->after, poll->limit);
    g_free(poll);
    return G_SOURCE_REMOVE;
}

static gboolean flush_polls(gpointer user)
{
    ImpApi *api = user;
    api->flush_source = 0;
    flush_share_waits(api, !imp_station_stopping(api->station));
    while (api->polls->len > 0)
        poll_end(g_ptr_array_steal_index_fast(api->polls, 0));
    return G_SOURCE_REMOVE;
}

void imp_api_on_event(ImpApi *api)
{
    /* On a turn of its own: what happens together is told together. */
    if (api != NULL && api->polls->len + api->share_waits->len > 0 && api->flush_source == 0)
        api->flush_source = g_idle_add_full(G_PRIORITY_DEFAULT, flush_polls, api, NULL);
}

static void get_events(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    guint64 after, wait_ms, limit;
    if (!number_query(ask, 0, "after", G_MAXINT64, 0, &after, &error) ||
        !number_query(ask, 1, "wait_ms", POLL_MS_MAX, 0, &wait_ms, &error) ||
        !number_query(ask, 2, "limit", EVENTS_MAX, EVENTS_MAX, &limit, &error)) {
        reply_error(ask->request, error);
        return;
    }
    gboolean news = imp_events_last(imp_station_events(api->station)) != after;
    if (news || wait_ms == 0 || imp_station_stopping(api->station)) {
        reply_events(api, ask->request, after, (guint)MAX(limit, 1));
        return;
    }
    if (api->polls->len >= IMP_API_POLLS_MAX) {
        imp_error_set(&error, IMP_E_TOO_MANY_WAITING, "%d requests wait for events already",
                      IMP_API_POLLS_MAX);
        reply_error(ask->request, error);
        return;
    }
    Poll *poll = g_new0(Poll, 1);
    poll->api = api;
    poll->request = ask->request;
    poll->after = after;
    poll->limit = (guint)MAX(limit, 1);
    poll->timer = g_timeout_add((guint)wait_ms, on_poll_time, poll);
    g_ptr_array_add(api->polls, poll);
}

/* ---- log ----------------------------------------------------------------------------------------------------------- */

static void get_log(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    const char *format = ask->queries[0] != NULL ? ask->queries[0] : "jsonl";
    guint64 after = 0, limit = 0, next = 0;
    ImpStationLog query = {
        .csv = strcmp(format, "csv") == 0,
        .image = ask->queries[3],
        .port = ask->queries[4],
        .order = ask->queries[5],
        .result = ask->queries[6],
    };
    GString *text = NULL;
    if (!query.csv && strcmp(format, "jsonl") != 0)
        imp_error_set(&error, IMP_E_ARGUMENT, "format must be jsonl or csv");
    else if (number_query(ask, 1, "after", G_MAXINT64, 0, &after, &error) &&
             number_query(ask, 2, "limit", LOG_LINES_MAX, LOG_LINES, &limit, &error)) {
        query.after = after;
        query.limit = (guint)MAX(limit, 1);
        text = imp_station_log(api->station, &query, &next, &error);
    }
    if (text == NULL) {
        reply_error(ask->request, error);
        return;
    }
    g_autoptr(GBytes) body = g_string_free_to_bytes(text);
    g_autofree char *cursor = g_strdup_printf("%" G_GUINT64_FORMAT, next);
    imp_http_reply_header(ask->request, "Imprint-Next", cursor);
    imp_http_reply(ask->request, 200, query.csv ? "text/csv; charset=utf-8" : "application/jsonl", body);
}

/* ---- keys and trust ------------------------------------------------------------------------------------------------ */

static json_t *key_document(const ImpKeyId *id)
{
    char text[IMP_KEY_ID_TEXT_SIZE];
    return with("id", json_string(imp_key_id_text(id, text)));
}

static json_t *granted_document(ImpApi *api, const ImpKeyId *id)
{
    ImpStore *store = imp_station_store(api->station);
    json_t *document = key_document(id);
    guint n_images = 0;
    for (guint i = 0; i < imp_store_size(store); i++) {
        const ImpClear *clear = imp_store_at(store, i)->clear;
        n_images += clear->encrypted && imp_key_id_equal(&clear->image_key, id);
    }
    json_object_set_new(document, "images", json_integer(n_images));
    return document;
}

static void get_keys(ImpApi *api, Ask *ask)
{
    ImpVault *vault = imp_station_vault(api->station);
    const ImpKey *sealing = imp_vault_sealing_key(vault);
    const ImpKeyRing *ring = imp_vault_image_keys(vault);
    char text[IMP_KEY_ID_TEXT_SIZE];
    g_autofree char *pem = imp_key_public_pem(sealing);
    json_t *list = json_array(), *pair = json_object();
    for (gsize i = 0; i < imp_keyring_size(ring); i++)
        json_array_append_new(list, granted_document(api, imp_key_id(imp_keyring_at(ring, i, NULL))));
    json_object_set_new(pair, "fingerprint", json_string(imp_key_id_text(imp_key_id(sealing), text)));
    json_object_set_new(pair, "public_key", json_string(pem));
    json_t *document = with("sealing", pair);
    json_object_set_new(document, "granted", list);
    reply(ask->request, 200, document);
}

static void post_key(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    ImpKeyId id;
    if (imp_station_grant(api->station, imp_http_request_body(ask->request), &id, &error))
        reply(ask->request, 201, granted_document(api, &id));
    else
        reply_error(ask->request, error);
}

static gboolean key_of(const Ask *ask, ImpKeyId *out_id, GError **error)
{
    const char *text = imp_http_request_param(ask->request, "id");
    if (imp_key_id_parse(text, out_id))
        return TRUE;
    imp_error_set(error, IMP_E_NOT_FOUND, "\"%s\" is no key ID: that is 64 hexadecimal digits", text);
    return FALSE;
}

static void delete_key(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    ImpKeyId id;
    if (key_of(ask, &id, &error) && imp_station_revoke(api->station, &id, &error))
        imp_http_reply(ask->request, 204, NULL, NULL);
    else
        reply_error(ask->request, error);
}

static json_t *author_document(const ImpKeyId *id, const char *name)
{
    json_t *document = key_document(id);
    json_object_set_new(document, "name", json_string(name));
    return document;
}

static void get_trust(ImpApi *api, Ask *ask)
{
    const ImpKeyRing *ring = imp_vault_authors(imp_station_vault(api->station));
    json_t *list = json_array();
    for (gsize i = 0; i < imp_keyring_size(ring); i++) {
        const char *name = NULL;
        const ImpKey *key = imp_keyring_at(ring, i, &name);
        json_t *author = author_document(imp_key_id(key), name);
        gboolean own = imp_vault_is_own_author(imp_station_vault(api->station), imp_key_id(key));
        json_object_set_new(author, "by", json_string(own ? "station" : "account"));
        json_array_append_new(list, author);
    }
    json_t *document = with("authors", list);
    guint64 number = imp_vault_list_number(imp_station_vault(api->station));
    if (number > 0)
        json_object_set_new(document, "account_list", json_integer((json_int_t)number));
    reply(ask->request, 200, document);
}

static void post_trust(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    json_t *document = imp_http_request_json(ask->request, &error);
    if (document == NULL) {
        reply_error(ask->request, error);
        return;
    }
    ImpJson r;
    ImpKeyId id;
    imp_json_begin(&r, document, "author", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    const char *name = imp_json_string(&r, "name", 1, IMP_KEYRING_NAME_MAX);
    /* PEM has line ends, which imp_json_string refuses. */
    gboolean has_key = imp_json_has(&r, "public_key");
    const char *pem = has_key ? json_string_value(json_object_get(document, "public_key")) : NULL;
    if (pem == NULL)
        imp_json_fault(&r, "public_key must be the author's public key as PEM text");
    if (imp_json_end(&r, &error) && imp_station_trust(api->station, name, pem, &id, &error))
        reply(ask->request, 201, author_document(&id, name));
    else
        reply_error(ask->request, error);
    json_decref(document);
}

static void delete_trust(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    ImpKeyId id;
    if (key_of(ask, &id, &error) && imp_station_distrust(api->station, &id, &error))
        imp_http_reply(ask->request, 204, NULL, NULL);
    else
        reply_error(ask->request, error);
}

/* ---- cloud --------------------------------------------------------------------------------------------------------- */

static void get_cloud(ImpApi *api, Ask *ask)
{
    reply(ask->request, 200, imp_station_cloud(api->station));
}

typedef struct {
    ImpApi *api;
    ImpHttpRequest *request;
} Enrolling;

static void on_enrolled(gpointer user, const GError *error)
{
    Enrolling *enrolling = user;
    if (error != NULL)
        imp_http_reply_error(enrolling->request, error);
    else
        reply(enrolling->request, 200, imp_station_cloud(enrolling->api->station));
    g_free(enrolling);
}

static void post_enrol(ImpApi *api, Ask *ask)
{
    GError *error = NULL;
    json_t *document = imp_http_request_json(ask->request, &error);
    if (document == NULL) {
        reply_error(ask->request, error);
        return;
    }
    ImpJson r;
    imp_json_begin(&r, document, "enrol", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    const char *code = imp_json_string(&r, "code", 1, 1024), *url = NULL, *name = NULL;
    if (imp_json_has(&r, "cloud"))
        url = imp_json_string(&r, "cloud", 1, 256);
    if (imp_json_has(&r, "name"))
        name = imp_json_string(&r, "name", 1, IMP_WIRE_NAME_SIZE - 1);
    if (imp_json_end(&r, &error)) {
        Enrolling *enrolling = g_new0(Enrolling, 1);
        enrolling->api = api;
        enrolling->request = ask->request;
        imp_station_enrol(api->station, code, url, name, on_enrolled, enrolling);
    } else {
        reply_error(ask->request, error);
    }
    json_decref(document);
}

/* ---- routes -------------------------------------------------------------------------------------------------------- */

static const Handler h_status = {get_status, {NULL}}, h_statistics = {get_statistics, {NULL}},
                     h_images = {get_images, {NULL}}, h_load = {post_image, {NULL}},
                     h_image = {get_image, {NULL}}, h_delete = {delete_image, {NULL}},
                     h_launches = {get_launches, {NULL}}, h_start = {post_launch, {NULL}},
                     h_launch = {get_launch, {NULL}}, h_cancel = {post_cancel, {NULL}},
                     h_events = {get_events, {"after", "wait_ms", "limit"}},
                     h_log = {get_log, {"format", "after", "limit", "image", "port", "order", "result"}},
                     h_keys = {get_keys, {NULL}}, h_grant = {post_key, {NULL}},
                     h_revoke = {delete_key, {NULL}}, h_trust = {get_trust, {NULL}},
                     h_add_trust = {post_trust, {NULL}}, h_remove_trust = {delete_trust, {NULL}},
                     h_pools = {get_pools, {NULL}}, h_cloud = {get_cloud, {NULL}},
                     h_enrol = {post_enrol, {NULL}};

/* On the server's thread. */
static int open_upload(ImpHttpRequest *request, gpointer user, GError **error)
{
    ImpApi *api = user;
    return imp_store_temporary(imp_station_store(api->station), error);
}

/* On the server's thread. */
static void on_request(ImpHttpRequest *request, gpointer user)
{
    ImpApi *api = user;
    const Handler *handler = imp_http_request_route(request)->tag;
    Ask *ask = g_new0(Ask, 1);
    ask->request = request;
    for (guint i = 0; i < QUERIES_MAX && handler->queries[i] != NULL; i++)
        ask->queries[i] = g_strdup(imp_http_request_query(request, handler->queries[i]));
    if (imp_queue_push(api->asks, ask))
        return;
    g_autoptr(GError) error = NULL;
    imp_error_set(&error, IMP_E_TOO_MANY_WAITING, "the station has no time for more requests now");
    imp_http_reply_error(request, error);
    ask_free(ask);
}

#define ROUTE(method_, path_, body_, bytes_max_, handler_)                                                   \
    {                                                                                                        \
        .method = method_, .path = path_, .who = IMP_HTTP_LOCAL, .body = IMP_HTTP_BODY_##body_,              \
        .body_bytes_max = bytes_max_, .handle = on_request, .tag = (gpointer)&handler_,                      \
        .open_body = IMP_HTTP_BODY_##body_ == IMP_HTTP_BODY_FILE ? open_upload : NULL,                       \
    }

static const ImpHttpRoute routes[] = {
    ROUTE("GET", "/v1/status", NONE, 0, h_status),
    ROUTE("GET", "/v1/statistics", NONE, 0, h_statistics),
    ROUTE("GET", "/v1/images", NONE, 0, h_images),
    ROUTE("POST", "/v1/images", FILE, IMP_IMAGE_FILE_MAX, h_load),
    ROUTE("GET", "/v1/images/{id}", NONE, 0, h_image),
    ROUTE("DELETE", "/v1/images/{id}", NONE, 0, h_delete),
    ROUTE("GET", "/v1/launches", NONE, 0, h_launches),
    ROUTE("POST", "/v1/launches", MEMORY, START_BODY_MAX, h_start),
    ROUTE("GET", "/v1/launches/{id}", NONE, 0, h_launch),
    ROUTE("POST", "/v1/launches/{id}/cancel", MEMORY, JSON_BODY_MAX, h_cancel),
    ROUTE("GET", "/v1/events", NONE, 0, h_events),
    ROUTE("GET", "/v1/log", NONE, 0, h_log),
    ROUTE("GET", "/v1/keys", NONE, 0, h_keys),
    ROUTE("POST", "/v1/keys", MEMORY, GRANT_BODY_MAX, h_grant),
    ROUTE("DELETE", "/v1/keys/{id}", NONE, 0, h_revoke),
    ROUTE("GET", "/v1/trust", NONE, 0, h_trust),
    ROUTE("POST", "/v1/trust", MEMORY, JSON_BODY_MAX, h_add_trust),
    ROUTE("DELETE", "/v1/trust/{id}", NONE, 0, h_remove_trust),
    ROUTE("GET", "/v1/pools", NONE, 0, h_pools),
    ROUTE("GET", "/v1/cloud", NONE, 0, h_cloud),
    ROUTE("POST", "/v1/enrol", MEMORY, JSON_BODY_MAX, h_enrol),
};

static gboolean on_asks(gint fd, GIOCondition condition, gpointer user)
{
    ImpApi *api = user;
    Ask *ask = imp_queue_try_pop(api->asks);
    if (ask != NULL) {
        ((const Handler *)imp_http_request_route(ask->request)->tag)->run(api, ask);
        ask_free(ask);
    }
    return G_SOURCE_CONTINUE;
}

ImpApi *imp_api_new(ImpStation *station, const char *socket_path, GError **error)
{
    ImpApi *api = g_new0(ImpApi, 1);
    api->station = station;
    api->polls = g_ptr_array_new();
    api->share_waits = g_ptr_array_new();
    api->asks = imp_queue_new(IMP_API_WAITING_MAX, ask_free);
    api->source = g_unix_fd_add(imp_queue_fd(api->asks), G_IO_IN, on_asks, api);
    api->server = imp_http_server_start(
        &(ImpHttpServerOptions){
            .unix_path = socket_path, .routes = routes, .n_routes = G_N_ELEMENTS(routes), .user = api},
        error);
    if (api->server == NULL) {
        imp_api_free(api);
        return NULL;
    }
    return api;
}

void imp_api_free(ImpApi *api)
{
    if (api == NULL)
        return;
    /* Every request must have its reply before the server can stop: what waits is carried out, what comes is refused. */
    g_source_remove(api->source);
    imp_queue_close(api->asks);
    for (Ask *ask; (ask = imp_queue_try_pop(api->asks)) != NULL;) {
        g_autoptr(GError) error = NULL;
        imp_error_set(&error, IMP_E_STATION_STOPPING, "the station is stopping");
        imp_http_reply_error(ask->request, error);
        ask_free(ask);
    }
    if (api->flush_source != 0)
        g_source_remove(api->flush_source);
    flush_share_waits(api, FALSE);
    flush_polls(api);
    imp_http_server_stop(api->server);
    imp_queue_free(api->asks);
    g_ptr_array_unref(api->polls);
    g_ptr_array_unref(api->share_waits);
    g_free(api);
}
