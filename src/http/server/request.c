/* What handlers see of a request, and the replies. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "http/server/internal.h"

const ImpHttpRoute *imp_http_request_route(const ImpHttpRequest *request)
{
    return request->route;
}

const char *imp_http_request_method(const ImpHttpRequest *request)
{
    return request->method;
}

const char *imp_http_request_path(const ImpHttpRequest *request)
{
    return request->path;
}

const char *imp_http_request_param(const ImpHttpRequest *request, const char *name)
{
    gsize n_bytes = strlen(name);
    const char *at = strchr(request->route->path, '{');
    for (guint i = 0; i < request->n_params; i++, at = strchr(at + 1, '{'))
        if (strncmp(at + 1, name, n_bytes) == 0 && at[1 + n_bytes] == '}')
            return request->params[i];
    g_error("%s has no {%s}", request->route->path, name);
}

const char *imp_http_request_query(const ImpHttpRequest *request, const char *name)
{
    return MHD_lookup_connection_value(request->mhd, MHD_GET_ARGUMENT_KIND, name);
}

const char *imp_http_request_header(const ImpHttpRequest *request, const char *name)
{
    return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name);
}

GBytes *imp_http_request_body(const ImpHttpRequest *request)
{
    return request->body_bytes;
}

json_t *imp_http_request_json(const ImpHttpRequest *request, GError **error)
{
    gsize n_bytes;
    const char *text = g_bytes_get_data(request->body_bytes, &n_bytes);
    return imp_json_parse(text != NULL ? text : "", n_bytes, request->route->body_bytes_max, "request",
                          IMP_E_HTTP_REQUEST, error);
}

int imp_http_request_body_fd(const ImpHttpRequest *request, guint64 *out_bytes)
{
    g_assert(request->body_fd >= 0);
    *out_bytes = request->received_bytes;
    return request->body_fd;
}

ImpHttpWho imp_http_request_who(const ImpHttpRequest *request)
{
    return request->who;
}

const char *imp_http_request_station(const ImpHttpRequest *request)
{
    return request->who == IMP_HTTP_STATION ? request->connection->station : NULL;
}

const ImpHttpPerson *imp_http_request_person(const ImpHttpRequest *request)
{
    return request->who == IMP_HTTP_PERSON ? &request->person : NULL;
}

const char *imp_http_request_token(const ImpHttpRequest *request)
{
    return request->token;
}

gboolean imp_http_request_peer(const ImpHttpRequest *request, guint32 *out_uid, guint32 *out_gid,
                               gint32 *out_pid)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (request->server->unix_path == NULL ||
        getsockopt(request->connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return FALSE;
    *out_uid = peer.uid;
    *out_gid = peer.gid;
    *out_pid = peer.pid;
    return TRUE;
}

void imp_http_reply_header(ImpHttpRequest *request, const char *name, const char *value)
{
    g_assert(request->n_headers < IMP_HTTP_REPLY_HEADERS);
    request->headers[request->n_headers].name = g_strdup(name);
    request->headers[request->n_headers++].value = g_strdup(value);
}

/* Hands the response over to the server's thread. The request may be gone when the mutex is released. */
static void finish(ImpHttpRequest *request, guint status, struct MHD_Response *response)
{
    ImpHttpServer *server = request->server;
    for (guint i = 0; i < request->n_headers; i++)
        if (MHD_add_response_header(response, request->headers[i].name, request->headers[i].value) != MHD_YES)
            g_error("reply header %s cannot be sent", request->headers[i].name);
    pthread_mutex_lock(&server->mutex);
    g_assert(request->response == NULL);
    request->response = response;
    request->status = status;
    if (request->handed) {
        request->handed = FALSE;
        server->in_work--;
    }
    if (!request->counted_reply) {
        request->counted_reply = TRUE;
        server->in_reply++;
    }
    pthread_cond_broadcast(&server->changed);
    if (request->suspended) {
        request->suspended = FALSE;
        MHD_resume_connection(request->mhd);
    }
    pthread_mutex_unlock(&server->mutex);
}

static void finish_buffer(ImpHttpRequest *request, guint status, const char *content_type, const void *data,
                          gsize n_bytes, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(n_bytes, (void *)data, mode);
    if (response == NULL)
        g_error("out of memory for a reply");
    if (content_type != NULL)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    finish(request, status, response);
}

void imp_http_reply(ImpHttpRequest *request, guint status, const char *content_type, GBytes *body)
{
    gsize n_bytes = 0;
    const void *data = body != NULL ? g_bytes_get_data(body, &n_bytes) : NULL;
    /* Copied, so that no memory is shared between the caller's thread and the server's. */
    finish_buffer(request, status, body != NULL ? content_type : NULL, data != NULL ? data : "", n_bytes,
                  MHD_RESPMEM_MUST_COPY);
}

void imp_http_reply_text(ImpHttpRequest *request, guint status, const char *content_type, char *text)
{
    finish_buffer(request, status, content_type, text, strlen(text), MHD_RESPMEM_MUST_FREE);
}

void imp_http_reply_json(ImpHttpRequest *request, guint status, json_t *document)
{
    char *text = json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(document);
    g_assert(text != NULL);
    imp_http_reply_text(request, status, "application/json", text);
}

void imp_http_reply_error(ImpHttpRequest *request, const GError *error)
{
    imp_http_reply_json(request, (guint)imp_http_status(imp_error_code(error)),
                        imp_http_problem_encode(error));
}

/* "bytes=N-" or "bytes=N-M" within n_bytes (RFC 9110, section 14.1.2); other forms are not served as ranges. */
static gboolean parse_range(const char *text, guint64 n_bytes, guint64 *out_from, guint64 *out_to)
{
    if (text == NULL || strncmp(text, "bytes=", 6) != 0)
        return FALSE;
    g_auto(GStrv) ends = g_strsplit(text + 6, "-", 3);
    guint64 from, to = G_MAXINT64;
    if (g_strv_length(ends) != 2 || !g_ascii_string_to_unsigned(ends[0], 10, 0, G_MAXINT64, &from, NULL) ||
        (ends[1][0] != '\0' && !g_ascii_string_to_unsigned(ends[1], 10, 0, G_MAXINT64, &to, NULL)) ||
        from > to)
        return FALSE;
    *out_from = from;
    *out_to = n_bytes == 0 ? 0 : MIN(to, n_bytes - 1);
    return TRUE;
}

void imp_http_reply_file(ImpHttpRequest *request, const char *content_type, const char *etag, int fd,
                         guint64 n_bytes)
{
    g_autofree char *quoted = etag != NULL ? g_strdup_printf("\"%s\"", etag) : NULL;
    if (quoted != NULL)
        imp_http_reply_header(request, MHD_HTTP_HEADER_ETAG, quoted);
    const char *wanted = imp_http_request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
    if (quoted != NULL && wanted != NULL && strcmp(wanted, quoted) == 0) {
        close(fd);
        imp_http_reply(request, 304, NULL, NULL);
        return;
    }
    imp_http_reply_header(request, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
    guint status = 200;
    guint64 from = 0, to = n_bytes == 0 ? 0 : n_bytes - 1, length = n_bytes;
    if (parse_range(imp_http_request_header(request, MHD_HTTP_HEADER_RANGE), n_bytes, &from, &to)) {
        if (from >= n_bytes) {
            close(fd);
            g_autofree char *all = g_strdup_printf("bytes */%" G_GUINT64_FORMAT, n_bytes);
            imp_http_reply_header(request, MHD_HTTP_HEADER_CONTENT_RANGE, all);
            imp_http_reply(request, 416, NULL, NULL);
            return;
        }
        status = 206;
        length = to - from + 1;
        g_autofree char *part = g_strdup_printf(
            "bytes %" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT, from, to, n_bytes);
        imp_http_reply_header(request, MHD_HTTP_HEADER_CONTENT_RANGE, part);
    }
    struct MHD_Response *response = MHD_create_response_from_fd_at_offset64(length, fd, from);
    if (response == NULL)
        g_error("out of memory for a reply");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    finish(request, status, response);
}
