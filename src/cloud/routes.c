/* What can be asked, by whom: api/cloud.yaml in C; a test holds the two together. */
#include "cloud/job.h"
#include "image/statement.h"
#include "image/trust.h"

#define OWNER    ROLE_OWNER
#define ENGINEER (ROLE_OWNER | ROLE_ENGINEER)
#define OPERATOR (ROLE_OWNER | ROLE_ENGINEER | ROLE_OPERATOR)
#define AUDITOR  (ROLE_OWNER | ROLE_AUDITOR)

static void handle(ImpHttpRequest *request, gpointer user)
{
    ImpCloud *cloud = user;
    const ImpHttpRoute *route = imp_http_request_route(request);
    Job *job = job_new(route->tag, request);
    if (imp_http_request_who(request) == IMP_HTTP_PERSON)
        token_hash(imp_http_request_token(request), job->token_hash);
    if (imp_http_request_who(request) == IMP_HTTP_STATION &&
        !imp_id_parse(imp_http_request_station(request), &job->station))
        imp_error_set(&job->error, IMP_E_HTTP_UNAUTHENTICATED, "the certificate names no station");
    else if (job->operation->parse != NULL)
        g_assert(job->operation->parse(cloud, job, &job->error) == (job->error == NULL));
    job_forward(cloud, job);
}

gboolean cloud_authorise(const char *token, gpointer user, ImpHttpPerson *out_person, GError **error)
{
    ImpCloud *cloud = user;
    guint8 hash[TOKEN_HASH_BYTES];
    token_hash(token, hash);
    if (tokens_find(cloud->tokens, hash, out_person->id, &out_person->roles))
        return TRUE;
    imp_error_set(error, IMP_E_HTTP_UNAUTHENTICATED, "the token is not valid: sign in again");
    return FALSE;
}

#define GET(path_, roles_, op_)                                                                              \
    {                                                                                                        \
        .method = "GET", .path = path_, .who = IMP_HTTP_PERSON, .roles = roles_, .body = IMP_HTTP_BODY_NONE, \
        .handle = handle, .tag = (gpointer)&op_                                                              \
    }
#define POST_MAX(path_, roles_, max_, op_)                                                                   \
    {                                                                                                        \
        .method = "POST", .path = path_, .who = IMP_HTTP_PERSON, .roles = roles_,                            \
        .body = IMP_HTTP_BODY_MEMORY, .body_bytes_max = max_, .handle = handle, .tag = (gpointer)&op_        \
    }
#define POST(path_, roles_, op_) POST_MAX(path_, roles_, IMP_CLOUD_BODY_MAX, op_)
#define OPEN(method_, path_, who_, body_, max_, any_, op_)                                                   \
    {                                                                                                        \
        .method = method_, .path = path_, .who = who_, .body = body_, .body_bytes_max = max_,                \
        .any_protocol = any_, .handle = handle, .tag = (gpointer)&op_                                        \
    }

static const ImpHttpRoute routes[] = {
    OPEN("GET", "/healthz", IMP_HTTP_PUBLIC, IMP_HTTP_BODY_NONE, 0, TRUE, op_health),
    {.method = "GET",
     .path = "/metrics",
     .who = IMP_HTTP_PERSON,
     .roles = ROLE_ANY,
     .body = IMP_HTTP_BODY_NONE,
     .any_protocol = TRUE,
     .handle = handle,
     .tag = (gpointer)&op_metrics},
    OPEN("GET", "/v1/ca", IMP_HTTP_PUBLIC, IMP_HTTP_BODY_NONE, 0, TRUE, op_ca),
    OPEN("POST", "/v1/enrol", IMP_HTTP_PUBLIC, IMP_HTTP_BODY_MEMORY, IMP_CLOUD_BODY_MAX, FALSE, op_enrol),
    OPEN("POST", "/v1/sync", IMP_HTTP_STATION, IMP_HTTP_BODY_MEMORY, IMP_WIRE_MESSAGE_MAX, FALSE, op_sync),
    OPEN("GET", "/v1/station/images", IMP_HTTP_STATION, IMP_HTTP_BODY_NONE, 0, FALSE, op_station_images),
    OPEN("GET", "/v1/station/images/{id}/content", IMP_HTTP_STATION, IMP_HTTP_BODY_NONE, 0, FALSE,
         op_station_content),
    OPEN("GET", "/v1/station/trust", IMP_HTTP_STATION, IMP_HTTP_BODY_NONE, 0, FALSE, op_station_trust),
    OPEN("POST", "/v1/login", IMP_HTTP_PUBLIC, IMP_HTTP_BODY_MEMORY, IMP_CLOUD_BODY_MAX, FALSE, op_login),
    POST("/v1/logout", ROLE_ANY, op_logout),
    GET("/v1/people", AUDITOR, op_people_list),
    POST("/v1/people", OWNER, op_people_add),
    POST("/v1/people/{email}/remove", OWNER, op_people_remove),
    POST("/v1/password", ROLE_ANY, op_password),
    GET("/v1/tokens", ROLE_ANY, op_tokens_list),
    POST("/v1/tokens", ROLE_ANY, op_tokens_add),
    POST("/v1/tokens/{id}/revoke", ROLE_ANY, op_tokens_revoke),
    GET("/v1/factories", ROLE_ANY, op_factories_list),
    POST("/v1/factories", ENGINEER, op_factories_add),
    POST("/v1/groups", ENGINEER, op_groups_add),
    POST("/v1/codes", ENGINEER, op_codes_add),
    GET("/v1/stations", ROLE_ANY, op_stations_list),
    POST("/v1/stations/{id}/remove", ENGINEER, op_station_remove),
    POST("/v1/stations/{id}/move", ENGINEER, op_station_move),
    POST("/v1/stations/{id}/admit", ENGINEER, op_station_admit),
    GET("/v1/authors", ROLE_ANY, op_authors_list),
    POST("/v1/authors", OWNER, op_authors_add),
    POST("/v1/authors/{key}/remove", OWNER, op_authors_remove),
    GET("/v1/root", ROLE_ANY, op_root_get),
    POST("/v1/root", OWNER, op_root_set),
    GET("/v1/trust", ROLE_ANY, op_trust_get),
    {.method = "POST",
     .path = "/v1/trust",
     .who = IMP_HTTP_PERSON,
     .roles = OWNER,
     .body = IMP_HTTP_BODY_MEMORY,
     .body_bytes_max = IMP_TRUST_LIST_MAX,
     .handle = handle,
     .tag = (gpointer)&op_trust_set},
    GET("/v1/pools", ROLE_ANY, op_pools_list),
    POST("/v1/pools/{id}/next", ENGINEER, op_pools_next),
    POST("/v1/pools/{id}/split", ENGINEER, op_pools_split),
    GET("/v1/images", ROLE_ANY, op_images_list),
    /* A statement carries the lists of its pools. */
    POST_MAX("/v1/images", ENGINEER, IMP_STATEMENT_MAX, op_images_add),
    GET("/v1/images/{id}", ROLE_ANY, op_image_get),
    {.method = "PUT",
     .path = "/v1/images/{id}/content",
     .who = IMP_HTTP_PERSON,
     .roles = ENGINEER,
     .body = IMP_HTTP_BODY_FILE,
     .body_bytes_max = IMP_IMAGE_FILE_MAX,
     .open_body = content_open_upload,
     .handle = handle,
     .tag = (gpointer)&op_image_content},
    {.method = "PUT",
     .path = "/v1/images/{id}/share",
     .who = IMP_HTTP_PERSON,
     .roles = ENGINEER,
     .body = IMP_HTTP_BODY_MEMORY,
     .body_bytes_max = IMP_SHA256_BYTES,
     .handle = handle,
     .tag = (gpointer)&op_image_share},
    POST("/v1/images/{id}/pause", OPERATOR, op_image_pause),
    POST("/v1/images/{id}/resume", ENGINEER, op_image_resume),
    POST("/v1/images/{id}/disable", ENGINEER, op_image_disable),
    POST("/v1/images/{id}/failures", OWNER, op_image_failures),
    GET("/v1/launches", ROLE_ANY, op_launches),
    POST("/v1/launches/{station}/{launch}/settle", OWNER, op_settle),
    GET("/v1/log", ROLE_ANY, op_log),
    GET("/v1/alarms", ROLE_ANY, op_alarms),
    GET("/v1/audit", AUDITOR, op_audit),
};

const ImpHttpRoute *cloud_routes(gsize *out_count)
{
    *out_count = G_N_ELEMENTS(routes);
    return routes;
}
