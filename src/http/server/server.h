/* HTTP server: a router and a gate in front of handlers, over libmicrohttpd in poll mode (its epoll mode stalls, its other
 * modes need a thread a connection). One server listens on one TCP address with TLS, or on one Unix socket without.
 *
 * Closed by default: each route says who may call it, and the server refuses everybody else before the handler runs and
 * before a body is taken. TLS only *requests* a client certificate, so the check that it is there and was issued by the
 * client CA is made here, in one place (gate.c), for each route that asks for it.
 *
 * Life cycle: imp_http_server_start, any number of requests, imp_http_server_stop. A request exists from its first byte
 * until it is replied; the handler is called once, when the body is complete, and must see to exactly one reply, from any
 * thread, now or later. stop waits for these replies: whoever replies must still be alive then.
 *
 * Thread rule: handlers, authorise and open_body run on the server's threads and must not block for long; two may run at
 * once only if threads > 1. Functions on a request: by one thread at a time, the one that owns the request. The process
 * ignores SIGPIPE. */
#pragma once

#include <jansson.h>

#include "base/env.h"
#include "base/error.h"
#include "http/problem.h"

typedef struct ImpHttpServer ImpHttpServer;
typedef struct ImpHttpRequest ImpHttpRequest;

/* Who may call a route; several may be joined with |. 0 is not allowed. */
typedef enum {
    IMP_HTTP_PUBLIC = 1 << 1, /* anybody */
    IMP_HTTP_STATION = 1 << 2, /* a TLS client certificate of the client CA, for client authentication */
    IMP_HTTP_PERSON = 1 << 3, /* a bearer token that authorise accepts, with one of the route's roles */
    IMP_HTTP_LOCAL = 1 << 4, /* whoever may open the Unix socket; see imp_http_request_peer */
} ImpHttpWho;

typedef enum {
    IMP_HTTP_BODY_NONE = 2, /* a body is refused */
    IMP_HTTP_BODY_MEMORY, /* imp_http_request_body, _json */
    IMP_HTTP_BODY_FILE, /* streamed into the descriptor that open_body gives; needs Content-Length */
} ImpHttpBody;

#define IMP_HTTP_PARAMS_MAX    4 /* {params} of one pattern */
#define IMP_HTTP_PATH_MAX      512 /* bytes of a path */
#define IMP_HTTP_ID_SIZE       65 /* of a caller's ID, closing NUL included */
#define IMP_HTTP_TOKEN_MAX     256 /* bytes of a bearer token */
#define IMP_HTTP_REPLY_HEADERS 8
#define IMP_HTTP_HEADER_BYTES_MAX                                                                            \
    (32 * 1024) /* request line and headers; more is answered 431 by the library */

typedef struct {
    const char *method; /* "GET"; HEAD is answered by GET's route */
    const char *path; /* "/v1/images/{id}/content": a {param} matches one segment, not empty */
    guint32 who; /* ImpHttpWho */
    guint32 roles; /* IMP_HTTP_PERSON: bits that authorise knows; one in common with the person's is enough */
    ImpHttpBody body;
    guint64 body_bytes_max; /* body other than NONE */
    gboolean any_protocol; /* the Imprint-Protocol header is not asked for (pages, health, metrics) */
    /* IMP_HTTP_BODY_FILE: a descriptor for writing, which the request closes; -1 and *error to refuse. The caller is
     * known by then. Use an unnamed file (O_TMPFILE): the client may go away. */
    int (*open_body)(ImpHttpRequest *request, gpointer user, GError **error);
    void (*handle)(ImpHttpRequest *request, gpointer user);
    gpointer tag; /* the application's own word about the route */
} ImpHttpRoute;

typedef struct {
    char id[IMP_HTTP_ID_SIZE];
    guint32 roles;
} ImpHttpPerson;

typedef struct {
    /* "127.0.0.1:8443", "[::1]:0" (0: a free port); NULL with unix_path. Numeric addresses only. */
    const char *listen;
    /* A socket of mode 0660 is made there; a socket that nobody listens on is replaced. NULL with listen. */
    const char *unix_path;
    /* PEM texts; NULL: plain HTTP (for a Unix socket and tests). client_ca_pem NULL: no client certificates. */
    const char *tls_cert_pem; /* the server's certificate, then its CA's if it shall be sent */
    const char *tls_key_pem;
    const char *client_ca_pem;
    const ImpHttpRoute
        *routes; /* borrowed until the server is freed; for one path, the first that fits wins */
    gsize n_routes;
    /* Who is behind a token (not checked for form, at most IMP_HTTP_TOKEN_MAX bytes)? FALSE and *error for nobody.
     * Needed when a route says IMP_HTTP_PERSON. */
    gboolean (*authorise)(const char *token, gpointer user, ImpHttpPerson *out_person, GError **error);
    gpointer user; /* for all callbacks */
    const ImpClock *clock; /* for the deadlines; NULL: the machine's */
    guint threads; /* 0: 1 */
    guint connections_max; /* 0: 1024 */
    /* From the connection's first byte, or from the end of the request before, to the end of the next headers. */
    guint32 header_ms_max; /* 0: 15000; also the handshake's */
    guint32 idle_ms_max; /* 0: 75000, between two requests of a connection */
    guint32
        body_ms_max; /* 0: 30000, for a body in memory; one in a file gets this and a second for each 64 KiB */
    guint32 reply_ms_max; /* 0: 600000, for the client to take an answer */
} ImpHttpServerOptions;

/* Starts to listen and to serve. Errors: IMP_E_HTTP_URL for a malformed address, IMP_E_IO when it cannot be listened on
 * (path or address in the text), IMP_E_HTTP_TLS for keys that cannot be used. */
ImpHttpServer *imp_http_server_start(const ImpHttpServerOptions *options,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Where it listens: "127.0.0.1:40123", or the socket's path. Borrowed. */
const char *imp_http_server_address(const ImpHttpServer *server);

/* Takes no new connection, answers new requests of old ones with IMP_E_HTTP_STOPPING, waits until every request in work
 * has been replied and (at most 5 s) sent, closes all, frees the server. NULL is allowed. */
void imp_http_server_stop(ImpHttpServer *server);

/* ---- what came in; all borrowed until the reply ---- */

const ImpHttpRoute *imp_http_request_route(const ImpHttpRequest *request);
const char *imp_http_request_method(const ImpHttpRequest *request);
const char *imp_http_request_path(const ImpHttpRequest *request);
/* The text that stands for {name}, percent-decoded. A programming error if the pattern has none of that name. */
const char *imp_http_request_param(const ImpHttpRequest *request, const char *name);
/* ?name=value, decoded; NULL if there is none. */
const char *imp_http_request_query(const ImpHttpRequest *request, const char *name);
/* A header; NULL if there is none. */
const char *imp_http_request_header(const ImpHttpRequest *request, const char *name);
/* The body; empty for NONE and FILE. */
GBytes *imp_http_request_body(const ImpHttpRequest *request);
/* The body as JSON document (base/json.h); free with json_decref. IMP_E_HTTP_REQUEST with line and column. */
json_t *imp_http_request_json(const ImpHttpRequest *request, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* IMP_HTTP_BODY_FILE: the descriptor (stays the request's, dup it to keep it) and how much was written. */
int imp_http_request_body_fd(const ImpHttpRequest *request, guint64 *out_bytes);
/* How the caller was let in: one bit. */
ImpHttpWho imp_http_request_who(const ImpHttpRequest *request);
/* The common name in the certificate's subject, when who is IMP_HTTP_STATION; else NULL. */
const char *imp_http_request_station(const ImpHttpRequest *request);
/* When who is IMP_HTTP_PERSON, else NULL. */
const ImpHttpPerson *imp_http_request_person(const ImpHttpRequest *request);
const char *imp_http_request_token(const ImpHttpRequest *request);
/* The process at the other end of a Unix socket (SO_PEERCRED); FALSE on TCP. */
gboolean imp_http_request_peer(const ImpHttpRequest *request, guint32 *out_uid, guint32 *out_gid,
                               gint32 *out_pid);

/* ---- the reply: exactly one of these, from any thread; the request is gone afterwards ---- */

/* Before the reply; at most IMP_HTTP_REPLY_HEADERS. */
void imp_http_reply_header(ImpHttpRequest *request, const char *name, const char *value);
/* Copies body, which may be NULL for none; content_type then, too. */
void imp_http_reply(ImpHttpRequest *request, guint status, const char *content_type, GBytes *body);
/* Takes over text (malloc or g_malloc), which is sent without its closing NUL. */
void imp_http_reply_text(ImpHttpRequest *request, guint status, const char *content_type, char *text);
/* Takes over the document. */
void imp_http_reply_json(ImpHttpRequest *request, guint status, json_t *document);
/* Status by imp_http_status. */
void imp_http_reply_error(ImpHttpRequest *request, const GError *error);
/* Streams n_bytes of fd (taken over, closed when sent) from its beginning. etag without quotes, or NULL: with it, If-None-Match
 * gives 304 and "Range: bytes=N-" (and N-M) gives 206 (RFC 9110, section 14). */
void imp_http_reply_file(ImpHttpRequest *request, const char *content_type, const char *etag, int fd,
                         guint64 n_bytes);
