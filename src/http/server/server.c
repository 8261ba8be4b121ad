#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/server/internal.h"

#define SWALLOW_MAX                                                                                          \
    (64 * 1024) /* a refused body up to this size is read, so that the client sees the answer */
#define STOP_SEND_MS 5000 /* for clients to take their last answers */
#define STOP_STEP_MS 10
#define REAPER_MS    500
#define FILE_RATE    (64 * 1024) /* bytes a second that an upload must reach on average */
#define TLS_PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

void imp_http_set_phase(Connection *connection, Phase phase, guint32 ms)
{
    pthread_mutex_lock(&connection->server->mutex);
    connection->phase = phase;
    connection->deadline_us = imp_clock_boot_us(connection->server->options.clock) + (gint64)ms * 1000;
    pthread_mutex_unlock(&connection->server->mutex);
}

static Connection *connection_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    g_assert(info != NULL && info->socket_context != NULL);
    return info->socket_context;
}

/* ---- MHD's callbacks ---- */

static void on_connection(void *user, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    ImpHttpServer *server = user;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        Connection *connection = g_new0(Connection, 1);
        connection->server = server;
        connection->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        connection->cert = CERT_UNCHECKED;
        imp_http_set_phase(connection, PHASE_HEADERS, server->options.header_ms_max);
        pthread_mutex_lock(&server->mutex);
        connection->next = server->connections;
        if (connection->next != NULL)
            connection->next->previous = connection;
        server->connections = connection;
        pthread_mutex_unlock(&server->mutex);
        *context = connection;
        return;
    }
    /* CLOSED comes before the descriptor is closed, so the reaper never shuts down a stranger's. */
    Connection *connection = *context;
    pthread_mutex_lock(&server->mutex);
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    pthread_mutex_unlock(&server->mutex);
    g_free(connection);
    *context = NULL;
}

/* The request line is there. */
static void *on_request_line(void *user, const char *uri, struct MHD_Connection *mhd)
{
    ImpHttpServer *server = user;
    Connection *connection = connection_of(mhd);
    if (connection->phase == PHASE_IDLE)
        imp_http_set_phase(connection, PHASE_HEADERS, server->options.header_ms_max);
    return NULL;
}

static void on_completed(void *user, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode code)
{
    ImpHttpServer *server = user;
    ImpHttpRequest *request = *context;
    if (request == NULL)
        return;
    *context = NULL;
    imp_http_set_phase(request->connection, PHASE_IDLE, server->options.idle_ms_max);
    pthread_mutex_lock(&server->mutex);
    g_assert(
        !request->handed); /* stop waits for all replies, and a suspended connection is not ended otherwise */
    if (request->counted_reply)
        server->in_reply--;
    pthread_mutex_unlock(&server->mutex);
    imp_http_request_free(request);
}

void imp_http_request_free(ImpHttpRequest *request)
{
    g_free(request->method);
    g_free(request->path);
    for (guint i = 0; i < request->n_params; i++)
        g_free(request->params[i]);
    if (request->token != NULL)
        explicit_bzero(request->token, strlen(request->token));
    g_free(request->token);
    if (request->body != NULL)
        g_byte_array_unref(request->body);
    if (request->body_bytes != NULL)
        g_bytes_unref(request->body_bytes);
    if (request->body_fd >= 0)
        close(request->body_fd);
    g_clear_error(&request->refused);
    for (guint i = 0; i < request->n_headers; i++) {
        g_free(request->headers[i].name);
        g_free(request->headers[i].value);
    }
    if (request->response != NULL)
        MHD_destroy_response(request->response);
    g_free(request);
}

/* ---- a request's way in ---- */

static gboolean check_protocol(ImpHttpRequest *request, GError **error)
{
    const char *said = imp_http_request_header(request, IMP_HTTP_PROTOCOL_HEADER);
    if (request->route->any_protocol || (said != NULL && strcmp(said, IMP_HTTP_PROTOCOL) == 0))
        return TRUE;
    if (said == NULL)
        imp_error_set(error, IMP_E_HTTP_PROTOCOL,
                      "the request has no header %s; this server speaks version %s", IMP_HTTP_PROTOCOL_HEADER,
                      IMP_HTTP_PROTOCOL);
    else
        imp_error_set(error, IMP_E_HTTP_PROTOCOL,
                      "protocol version '%.16s' is not known; this server speaks %s", said,
                      IMP_HTTP_PROTOCOL);
    return FALSE;
}

/* How long the body is going to be, from its Content-Length; chunked bodies are not taken. */
static gboolean check_length(ImpHttpRequest *request, GError **error)
{
    const char *length = imp_http_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    guint64 max = request->route->body == IMP_HTTP_BODY_NONE ? 0 : request->route->body_bytes_max;
    if (imp_http_request_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL ||
        (length == NULL && request->route->body == IMP_HTTP_BODY_FILE)) {
        imp_error_set(error, IMP_E_HTTP_LENGTH, "%s needs a Content-Length", request->path);
        return FALSE;
    }
    guint64 n_bytes = 0;
    if (length != NULL && !g_ascii_string_to_unsigned(length, 10, 0, G_MAXINT64, &n_bytes, NULL)) {
        imp_error_set(error, IMP_E_HTTP_REQUEST, "Content-Length '%.32s' is no number", length);
        return FALSE;
    }
    request->expected_bytes = n_bytes;
    if (n_bytes > max) {
        imp_error_set(error, IMP_E_HTTP_TOO_LARGE,
                      "the body has %" G_GUINT64_FORMAT " bytes, the limit of %s is %" G_GUINT64_FORMAT,
                      n_bytes, request->path, max);
        return FALSE;
    }
    return TRUE;
}

static gboolean check_stopping(ImpHttpRequest *request, GError **error)
{
    pthread_mutex_lock(&request->server->mutex);
    gboolean stopping = request->server->stopping;
    pthread_mutex_unlock(&request->server->mutex);
    if (stopping)
        imp_error_set(error, IMP_E_HTTP_STOPPING, "the server is stopping");
    return !stopping;
}

static gboolean admit(ImpHttpRequest *request, GError **error)
{
    ImpHttpServer *server = request->server;
    const ImpHttpServerOptions *options = &server->options;
    request->route = imp_http_route_find(options->routes, options->n_routes, request->method, request->path,
                                         request, error);
    if (request->route == NULL || !check_stopping(request, error) || !imp_http_gate(request, error) ||
        !check_protocol(request, error) || !check_length(request, error))
        return FALSE;
    guint32 ms = options->body_ms_max;
    if (request->route->body == IMP_HTTP_BODY_FILE) {
        request->body_fd = request->route->open_body(request, options->user, error);
        if (request->body_fd < 0)
            return FALSE;
        ms += (guint32)MIN(request->expected_bytes / FILE_RATE, 86400) * 1000;
    } else {
        request->body = g_byte_array_sized_new((guint)MIN(request->expected_bytes, SWALLOW_MAX));
    }
    imp_http_set_phase(request->connection, PHASE_BODY, ms);
    return TRUE;
}

static ImpHttpRequest *request_new(ImpHttpServer *server, struct MHD_Connection *mhd, const char *method,
                                   const char *path)
{
    ImpHttpRequest *request = g_new0(ImpHttpRequest, 1);
    request->server = server;
    request->mhd = mhd;
    request->connection = connection_of(mhd);
    request->method = g_strdup(method);
    request->path = g_strdup(path);
    request->body_fd = -1;
    return request;
}

/* Bytes that are still to come and may be thrown away? */
static gboolean may_swallow(const ImpHttpRequest *request)
{
    const char *length = imp_http_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    guint64 n_bytes = 0;
    if (imp_http_request_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL)
        return FALSE;
    if (length == NULL || !g_ascii_string_to_unsigned(length, 10, 0, G_MAXINT64, &n_bytes, NULL))
        return FALSE;
    return n_bytes > 0 && n_bytes <= SWALLOW_MAX;
}

static enum MHD_Result send_response(ImpHttpRequest *request)
{
    imp_http_set_phase(request->connection, PHASE_REPLY, request->server->options.reply_ms_max);
    return MHD_queue_response(request->mhd, request->status, request->response);
}

static enum MHD_Result refuse(ImpHttpRequest *request)
{
    g_autoptr(GError) error = g_steal_pointer(&request->refused);
    imp_http_reply_error(request, error);
    return send_response(request);
}

static gboolean write_all(int fd, const char *data, gsize n_bytes)
{
    while (n_bytes > 0) {
        gssize done = write(fd, data, n_bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return FALSE;
        data += done;
        n_bytes -= (gsize)done;
    }
    return TRUE;
}

/* Takes a piece of the body. FALSE: end the connection. */
static gboolean take_body(ImpHttpRequest *request, const char *data, gsize n_bytes)
{
    request->received_bytes += n_bytes;
    if (request->refused != NULL)
        return request->received_bytes <= SWALLOW_MAX;
    if (request->received_bytes > request->expected_bytes)
        return FALSE;
    if (request->body_fd < 0) {
        g_byte_array_append(request->body, (const guint8 *)data, (guint)n_bytes);
        return TRUE;
    }
    if (!write_all(request->body_fd, data, n_bytes)) {
        g_warning("%s: the upload cannot be written: %s", request->path, g_strerror(errno));
        return FALSE; /* the client sees a broken connection; a reply is not possible within a body */
    }
    return TRUE;
}

/* The body is complete: over to the application. */
static enum MHD_Result hand_over(ImpHttpRequest *request)
{
    ImpHttpServer *server = request->server;
    if (request->refused == NULL)
        check_stopping(request, &request->refused);
    if (request->refused != NULL)
        return refuse(request);
    if (request->body != NULL)
        request->body_bytes = g_byte_array_free_to_bytes(g_steal_pointer(&request->body));
    else
        request->body_bytes = g_bytes_new(NULL, 0);
    imp_http_set_phase(request->connection, PHASE_WORK, 0);
    pthread_mutex_lock(&server->mutex);
    request->handed = TRUE;
    server->in_work++;
    pthread_mutex_unlock(&server->mutex);
    request->route->handle(request, server->options.user);
    /* The reply may be here already, or come from another thread at any time. */
    pthread_mutex_lock(&server->mutex);
    gboolean replied = request->response != NULL;
    if (!replied) {
        request->suspended = TRUE;
        MHD_suspend_connection(request->mhd);
    }
    pthread_mutex_unlock(&server->mutex);
    return replied ? send_response(request) : MHD_YES;
}

/* MHD calls this when the headers are there, for each piece of the body, when the body is complete, and again when a
 * suspended connection was resumed. */
static enum MHD_Result on_access(void *user, struct MHD_Connection *mhd, const char *url, const char *method,
                                 const char *version, const char *data, size_t *n_data, void **context)
{
    ImpHttpServer *server = user;
    ImpHttpRequest *request = *context;
    if (request == NULL) {
        request = request_new(server, mhd, method, url);
        *context = request;
        if (!admit(request, &request->refused) && !may_swallow(request))
            return refuse(request);
        return MHD_YES;
    }
    if (*n_data > 0) {
        gboolean goes_on = take_body(request, data, *n_data);
        *n_data = 0;
        return goes_on ? MHD_YES : MHD_NO;
    }
    pthread_mutex_lock(&server->mutex);
    gboolean replied = request->response != NULL;
    pthread_mutex_unlock(&server->mutex);
    return replied ? send_response(request) : hand_over(request);
}

static void on_log(void *user, const char *format, va_list args) G_GNUC_PRINTF(2, 0);
static void on_log(void *user, const char *format, va_list args)
{
    g_autofree char *text = g_strdup_vprintf(format, args);
    g_debug("http: %s", g_strchomp(text));
}

/* ---- deadlines ---- */

static void *reap(void *user)
{
    ImpHttpServer *server = user;
    struct pollfd end = {.fd = server->reaper_end, .events = POLLIN};
    while (poll(&end, 1, REAPER_MS) <= 0) {
        gint64 now_us = imp_clock_boot_us(server->options.clock);
        pthread_mutex_lock(&server->mutex);
        for (Connection *c = server->connections; c != NULL; c = c->next)
            if (c->phase != PHASE_WORK && now_us > c->deadline_us)
                shutdown(c->fd, SHUT_RDWR); /* MHD sees the end and closes it */
        pthread_mutex_unlock(&server->mutex);
    }
    return NULL;
}

/* ---- life ---- */

static void set_default(guint32 *number, guint32 value)
{
    if (*number == 0)
        *number = value;
}

/* MHD says nothing about keys that it cannot use, so they are tried here first. */
static gboolean check_keys(const ImpHttpServerOptions *options, GError **error)
{
    gnutls_certificate_credentials_t keys;
    if (gnutls_certificate_allocate_credentials(&keys) < 0)
        g_error("out of memory for TLS");
    gnutls_datum_t cert = {(unsigned char *)options->tls_cert_pem, (unsigned)strlen(options->tls_cert_pem)};
    gnutls_datum_t key = {(unsigned char *)options->tls_key_pem, (unsigned)strlen(options->tls_key_pem)};
    int rc = gnutls_certificate_set_x509_key_mem(keys, &cert, &key, GNUTLS_X509_FMT_PEM);
    const char *which = "the server's certificate and key";
    if (rc >= 0 && options->client_ca_pem != NULL) {
        gnutls_datum_t ca = {(unsigned char *)options->client_ca_pem,
                             (unsigned)strlen(options->client_ca_pem)};
        rc = gnutls_certificate_set_x509_trust_mem(keys, &ca, GNUTLS_X509_FMT_PEM);
        which = "the client CA's certificate";
        if (rc == 0)
            rc = GNUTLS_E_NO_CERTIFICATE_FOUND;
    }
    gnutls_certificate_free_credentials(keys);
    if (rc < 0)
        imp_error_set(error, IMP_E_HTTP_TLS, "%s cannot be used: %s", which, gnutls_strerror(rc));
    return rc >= 0;
}

static struct MHD_Daemon *start_daemon(ImpHttpServer *server, const ImpHttpServerOptions *options)
{
    struct MHD_OptionItem items[24];
    guint n = 0;
    items[n++] = (struct MHD_OptionItem){MHD_OPTION_LISTEN_SOCKET, server->listen_fd, NULL};
    items[n++] = (struct MHD_OptionItem){MHD_OPTION_CONNECTION_LIMIT, server->options.connections_max, NULL};
    items[n++] = (struct MHD_OptionItem){MHD_OPTION_CONNECTION_TIMEOUT, 0, NULL}; /* the reaper's */
    items[n++] = (struct MHD_OptionItem){MHD_OPTION_CONNECTION_MEMORY_LIMIT, IMP_HTTP_HEADER_BYTES_MAX, NULL};
    items[n++] = (struct MHD_OptionItem){MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, server};
    items[n++] = (struct MHD_OptionItem){MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, server};
    items[n++] = (struct MHD_OptionItem){MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_request_line, server};
    if (server->options.threads > 1)
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, server->options.threads, NULL};
    if (server->tls) {
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)options->tls_cert_pem};
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)options->tls_key_pem};
        items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITY};
        if (options->client_ca_pem != NULL)
            items[n++] =
                (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, (void *)options->client_ca_pem};
    }
    items[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    g_assert(n < G_N_ELEMENTS(items));
    unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                     (server->tls ? MHD_USE_TLS : 0);
    /* The logger must come first, or what goes wrong with other options is written to stderr. */
    return MHD_start_daemon(flags, 0, NULL, NULL, on_access, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
                            MHD_OPTION_ARRAY, items, MHD_OPTION_END);
}

static void server_free(ImpHttpServer *server)
{
    if (server->has_reaper) {
        eventfd_write(server->reaper_end, 1);
        pthread_join(server->reaper, NULL);
    }
    if (server->reaper_end >= 0)
        close(server->reaper_end);
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    if (server->unix_path != NULL)
        unlink(server->unix_path);
    g_assert(server->connections == NULL);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->mutex);
    g_free(server->address);
    g_free(server->unix_path);
    g_free(server);
}

ImpHttpServer *imp_http_server_start(const ImpHttpServerOptions *options, GError **error)
{
    imp_http_routes_assert(options);
    g_assert((options->listen != NULL) != (options->unix_path != NULL));
    g_assert((options->tls_cert_pem != NULL) == (options->tls_key_pem != NULL));
    if (options->tls_cert_pem != NULL && !check_keys(options, error))
        return NULL;
    g_autofree char *address = NULL;
    int fd = options->listen != NULL ? imp_http_listen_tcp(options->listen, &address, error)
                                     : imp_http_listen_unix(options->unix_path, error);
    if (fd < 0)
        return NULL;
    ImpHttpServer *server = g_new0(ImpHttpServer, 1);
    server->options = *options;
    server->options.listen = server->options.unix_path = NULL;
    server->options.tls_cert_pem = server->options.tls_key_pem = server->options.client_ca_pem = NULL;
    set_default(&server->options.threads, 1);
    set_default(&server->options.connections_max, 1024);
    set_default(&server->options.header_ms_max, 15000);
    set_default(&server->options.idle_ms_max, 75000);
    set_default(&server->options.body_ms_max, 30000);
    set_default(&server->options.reply_ms_max, 600000);
    server->listen_fd = fd;
    server->reaper_end = -1;
    server->tls = options->tls_cert_pem != NULL;
    server->unix_path = g_strdup(options->unix_path);
    server->address = address != NULL ? g_steal_pointer(&address) : g_strdup(options->unix_path);
    if (server->options.clock == NULL)
        server->options.clock = imp_clock_system();
    g_assert(pthread_cond_init(&server->changed, NULL) == 0);
    g_assert(pthread_mutex_init(&server->mutex, NULL) == 0);
    server->daemon = start_daemon(server, options);
    if (server->daemon == NULL) {
        imp_error_set(error, IMP_E_IO,
                      "the server on %s cannot start (out of threads, descriptors or memory)",
                      server->address);
        server_free(server);
        return NULL;
    }
    server->has_reaper = TRUE;
    server->reaper_end = eventfd(0, EFD_CLOEXEC);
    if (server->reaper_end < 0)
        g_error("out of descriptors");
    if (pthread_create(&server->reaper, NULL, reap, server) != 0)
        g_error("out of threads");
    return server;
}

const char *imp_http_server_address(const ImpHttpServer *server)
{
    return server->address;
}

void imp_http_server_stop(ImpHttpServer *server)
{
    if (server == NULL)
        return;
    pthread_mutex_lock(&server->mutex);
    server->stopping = TRUE;
    pthread_mutex_unlock(&server->mutex);
    MHD_quiesce_daemon(server->daemon);
    pthread_mutex_lock(&server->mutex);
    while (server->in_work > 0)
        pthread_cond_wait(&server->changed, &server->mutex);
    for (guint waited_ms = 0; server->in_reply > 0 && waited_ms < STOP_SEND_MS; waited_ms += STOP_STEP_MS) {
        pthread_mutex_unlock(&server->mutex);
        poll(NULL, 0, STOP_STEP_MS);
        pthread_mutex_lock(&server->mutex);
    }
    pthread_mutex_unlock(&server->mutex);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    server_free(server);
}
