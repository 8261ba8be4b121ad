/* What the server's own files share. Not for anybody else. */
#pragma once

#include <microhttpd.h>
#include <pthread.h>

#include "http/server/server.h"

/* What a connection is at; each phase but WORK has a deadline, kept by the reaper thread. */
typedef enum {
    PHASE_HEADERS = 2,
    PHASE_BODY,
    PHASE_WORK, /* the application has it */
    PHASE_REPLY,
    PHASE_IDLE, /* between two requests */
} Phase;

typedef enum {
    CERT_UNCHECKED = 2,
    CERT_NONE, /* none was shown, or it was not issued for this: see gate.c */
    CERT_GOOD,
} CertState;

typedef struct Connection Connection;
struct Connection {
    ImpHttpServer *server;
    int fd;
    Connection *next, *previous; /* server->connections; with the server's mutex */
    Phase phase; /* with the mutex */
    gint64 deadline_us; /* monotonic; with the mutex */
    CertState cert; /* the server's thread only */
    char station[IMP_HTTP_ID_SIZE];
};

struct ImpHttpServer {
    ImpHttpServerOptions options; /* numbers filled in; texts are not kept */
    struct MHD_Daemon *daemon;
    int listen_fd;
    char *address;
    char *unix_path;
    gboolean tls;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* in_work */
    gboolean stopping;
    guint in_work; /* handed to the application, not replied */
    guint in_reply; /* replied, not sent */
    Connection *connections;
    pthread_t reaper;
    gboolean has_reaper;
    int reaper_end; /* eventfd: readable when the reaper shall end */
};

struct ImpHttpRequest {
    ImpHttpServer *server;
    struct MHD_Connection *mhd;
    Connection *connection;
    const ImpHttpRoute *route;
    char *method, *path;
    char *params[IMP_HTTP_PARAMS_MAX]; /* in the pattern's order */
    guint n_params;
    ImpHttpWho who;
    ImpHttpPerson person;
    char *token;
    GByteArray *body;
    GBytes *body_bytes; /* made of body when it is complete */
    int body_fd;
    guint64 expected_bytes, received_bytes;
    GError *refused; /* answer this once the (small) body has been swallowed */
    struct {
        char *name, *value;
    } headers[IMP_HTTP_REPLY_HEADERS];
    guint n_headers;
    /* With the server's mutex: */
    gboolean handed; /* counted in in_work until replied */
    gboolean suspended;
    gboolean counted_reply; /* counted in in_reply */
    struct MHD_Response *response;
    guint status;
};

/* router.c: the route for method and path, its params copied into request; NULL and *error (no route, wrong method). */
const ImpHttpRoute *imp_http_route_find(const ImpHttpRoute *routes, gsize n_routes, const char *method,
                                        const char *path, ImpHttpRequest *request, GError **error);
/* A programming error in the table stops the program at its start. */
void imp_http_routes_assert(const ImpHttpServerOptions *options);

/* gate.c: may this caller use the request's route? Sets who, person, token. */
gboolean imp_http_gate(ImpHttpRequest *request, GError **error);

/* listen.c: a listening socket, and its address as text. */
int imp_http_listen_tcp(const char *address, char **out_address, GError **error);
int imp_http_listen_unix(const char *path, GError **error);

/* server.c */
void imp_http_set_phase(Connection *connection, Phase phase, guint32 ms);
void imp_http_request_free(ImpHttpRequest *request);
