/* HTTP client over libcurl (its OpenSSL flavour): to a Unix socket, or to https with one pinned CA and nothing else.
 * Connections are kept between calls. No redirect is followed, no proxy of the environment is used.
 *
 * Life cycle: imp_http_client_new, calls, imp_http_client_free. main.c calls imp_http_client_init once, before threads.
 * Thread rule: calls block, so they belong on a worker thread; one call at a time on a client. Only imp_http_client_cancel
 * may be called from another thread meanwhile. */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "http/problem.h"

typedef struct ImpHttpClient ImpHttpClient;

typedef struct {
    const char *url; /* "https://host:port" without path; NULL with unix_path */
    const char *unix_path; /* plain HTTP over this socket */
    const char *ca_pem; /* https: the only CA that is believed. NULL: no https call is possible */
    const char *cert_pem, *key_pem; /* client certificate and its private key; both or none */
    const char *token; /* sent as "Authorization: Bearer"; or NULL */
    guint32 connect_ms_max; /* 0: 5000 */
    guint32 call_ms_max; /* 0: 15000, one whole call; see ImpHttpCall.ms_max */
    gsize answer_bytes_max; /* 0: 4 MiB, of an answer in memory */
} ImpHttpClientOptions;

typedef struct {
    const char *method; /* "POST" */
    const char *path; /* "/v1/sync", with the query; already percent-encoded (imp_http_escape) */
    const char *content_type; /* of body; NULL without */
    GBytes *body; /* or NULL */
    int body_fd; /* used when has_body_fd: body_bytes are sent from here, from its present position */
    gboolean has_body_fd;
    guint64 body_bytes;
    int answer_fd; /* used when has_answer_fd: the body of a 200 or 206 is written here as it comes */
    gboolean has_answer_fd;
    guint64 answer_fd_bytes_max; /* more is an IMP_E_LIMIT */
    const char *etag; /* sent as If-None-Match, without quotes; or NULL */
    guint64 range_from; /* > 0: "Range: bytes=N-" */
    guint32 ms_max; /* 0: the client's call_ms_max */
} ImpHttpCall;

typedef struct {
    int status;
    char *content_type; /* "" if none was said */
    char *etag; /* without quotes; NULL if none was said */
    GBytes *body; /* never NULL; empty when it went into answer_fd */
    guint64 body_bytes; /* in memory or written */
} ImpHttpAnswer;

void imp_http_answer_free(ImpHttpAnswer *answer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpHttpAnswer, imp_http_answer_free)

/* Initialises libcurl for the process; before other threads exist. Repeating it is harmless. */
void imp_http_client_init(void);

/* Copies what options point to. IMP_E_HTTP_URL for a URL that is not https://host[:port]. */
ImpHttpClient *imp_http_client_new(const ImpHttpClientOptions *options,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_http_client_free(ImpHttpClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpHttpClient, imp_http_client_free)

/* Another token for the calls to come; NULL for none. */
void imp_http_client_set_token(ImpHttpClient *client, const char *token);

/* One call; whatever the status, an answer that came is a success. Errors: IMP_E_HTTP_UNREACHABLE, IMP_E_HTTP_TLS,
 * IMP_E_TIMEOUT, IMP_E_LIMIT, IMP_E_CANCELLED, IMP_E_IO (body_fd, answer_fd). After an error the call may or may not have
 * been carried out at the other end. */
gboolean imp_http_call(ImpHttpClient *client, const ImpHttpCall *call, ImpHttpAnswer **out_answer,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* FALSE and the peer's error if the status is not 2xx. */
gboolean imp_http_answer_check(const ImpHttpAnswer *answer, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Sends a document (borrowed; NULL for no body), gives the answer's. Any status but 2xx is the error that the peer sent.
 * An empty answer gives an empty object. Free with json_decref. */
json_t *imp_http_call_json(ImpHttpClient *client, const char *method, const char *path,
                           const json_t *document, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* From any thread: the running call, and every later one, ends with IMP_E_CANCELLED, within a second. */
void imp_http_client_cancel(ImpHttpClient *client);

/* A path or query component, percent-encoded; free with g_free. */
char *imp_http_escape(const char *text);

/* ---- trust ---- */

#define IMP_HTTP_KEY_DIGEST_BYTES 32

/* SHA-256 over the DER SubjectPublicKeyInfo of a PEM certificate: what an enrolment code and a JOB's header call the cloud's
 * CA key digest. */
gboolean imp_http_key_digest(const char *cert_pem, guint8 out[IMP_HTTP_KEY_DIGEST_BYTES],
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Fetches GET /v1/ca without believing the server, and returns the PEM certificate if its key has that digest, else
 * IMP_E_HTTP_TLS. Nothing but this request is sent. digest NULL: any CA is returned, for a person to compare (the caller
 * shows the digest and asks). Free with g_free. */
char *imp_http_fetch_ca(const char *url, const guint8 *digest, GError **error) G_GNUC_WARN_UNUSED_RESULT;
