/* One request on its way through the cloud, and the table of what can be asked. Internal to src/cloud.
 *
 * A job is made on the server's thread, where its operation's parse runs; then its stages run one after the other, each on
 * the committer's thread (inside the transaction of its batch; read and write the database) or on the worker's (no
 * database). The first that fails ends the job with its error; what it changed in the database is rolled back, what other
 * jobs of the batch did is not. A job is answered only after the commit of its last committer stage.
 *
 * Ownership: a job belongs to the thread that runs its present stage. */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <sqlite3.h>

#include "base/queue.h"
#include "cloud/ca.h"
#include "cloud/cloud.h"
#include "cloud/query.h"
#include "http/server/server.h"
#include "image/clear.h"
#include "ledger/ledger.h"

#define ROLE_OWNER    (1u << 1)
#define ROLE_ENGINEER (1u << 2)
#define ROLE_OPERATOR (1u << 3)
#define ROLE_AUDITOR  (1u << 4)
#define ROLE_ANY      (ROLE_OWNER | ROLE_ENGINEER | ROLE_OPERATOR | ROLE_AUDITOR)

#define TOKEN_BYTES      32
#define TOKEN_HASH_BYTES 32
#define TOKEN_PREFIX     "imp_" /* so that a token is known as one wherever it turns up */
#define JOB_STAGES_MAX   4

typedef struct Job Job;
typedef struct Tokens Tokens;

typedef gboolean (*StageFn)(ImpCloud *cloud, Job *job, GError **error);

typedef enum {
    STAGE_END = 0,
    STAGE_COMMIT = 2,
    STAGE_WORK,
} StageKind;

typedef struct {
    StageKind kind;
    StageFn run;
} Stage;

typedef struct {
    const char *name; /* for the log and metrics */
    StageFn parse; /* or NULL */
    Stage stages[JOB_STAGES_MAX + 1];
} Operation;

struct Job {
    const Operation *operation;
    ImpHttpRequest *request;
    guint stage;

    /* Who asks. Station: from the certificate. Person: read from the database in each transaction. */
    ImpId station;
    char account[IMP_WIRE_NAME_SIZE];
    char email[IMP_WIRE_NAME_SIZE];
    guint32 role;
    guint8 token_hash[TOKEN_HASH_BYTES];

    /* What is asked; each operation knows which it uses. */
    json_t *body;
    ImpId id; /* {id} of the path */
    ImpSyncRequest *sync;
    GBytes *bytes;
    ImpClear *clear;
    ImpCsr *csr;
    ImpLedgerLogQuery query;
    guint32 format;
    char *secret_text, *secret_hash; /* password given, password stored; wiped */
    gboolean counts_for_kill, kill_before_answer; /* see ImpCloudOptions */

    /* The answer: exactly one of answer, text, file_fd, sync_response, or error. */
    guint status; /* 0: 200 */
    json_t *answer;
    char *text;
    const char *content_type; /* of text; constant */
    char *cursor; /* header Imprint-Cursor, or NULL */
    int file_fd;
    guint64 file_bytes;
    char *etag;
    ImpSyncResponse *sync_response;
    GError *error;
};

typedef struct {
    guint64 batches, commits_failed, jobs, refused, syncs, wants, granted, reports;
    guint64 largest_batch;
} CloudMetrics; /* the committer's */

struct ImpCloud {
    char *folder, *content_folder, *url;
    const ImpClock *clock;
    const ImpRandom *random;
    ImpCloudKill kill;
    guint64 kill_at, kill_seen;
    ImpCa *ca;
    ImpLedger *ledger; /* the committer's, once it runs */
    sqlite3 *db; /* the same */
    Tokens *tokens;
    gboolean tokens_changed; /* the committer's: read them again after this commit */
    CloudMetrics metrics;
    ImpQueue *commit_queue, *work_queue;
    pthread_t committer, worker;
    gboolean has_threads;
    ImpHttpServer *server;
};

/* job.c */
Job *job_new(const Operation *operation, ImpHttpRequest *request);
/* For the tests of crash and restart. */
G_NORETURN void job_kill_process(void);
/* Answers the request and frees the job. */
void job_finish(Job *job);
/* Puts the job into the queue of its present stage, or answers it when there is none left (or an error). */
void job_forward(ImpCloud *cloud, Job *job);

/* committer.c, worker.c: thread functions; they end when their queue is closed and empty. */
void *committer_run(void *cloud);
void *worker_run(void *cloud);

/* tokens.c: who is behind a token, for the gate, before a body is taken; the committer asks the database again. */
Tokens *tokens_new(const ImpClock *clock);
void tokens_free(Tokens *tokens);
/* Reads all valid tokens anew. */
gboolean tokens_load(Tokens *tokens, sqlite3 *db, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean tokens_find(Tokens *tokens, const guint8 hash[TOKEN_HASH_BYTES], char out_email[IMP_HTTP_ID_SIZE],
                     guint32 *out_role);
/* SHA-256 of a token's text. */
void token_hash(const char *token, guint8 out[TOKEN_HASH_BYTES]);
/* A fresh token. Free with g_free, wiped. */
char *token_make(const ImpRandom *random);
/* "owner"; and back (0 if there is none of that name). */
const char *role_name(guint32 role);
guint32 role_parse(const char *name);
/* The roles that a token of a person with this role may have. */
guint32 role_covers(guint32 role);
void wipe_free(char *text);

/* schema.c: the cloud's own tables. Makes those that are not there. */
gboolean schema_make(sqlite3 *db, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* password.c: Argon2id (libsodium, interactive limits). hash: free with wipe_free. */
gboolean password_check(const char *password, GError **error) G_GNUC_WARN_UNUSED_RESULT;
char *password_hash(const char *password, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean password_verify(const char *hash, const char *password);
/* What is compared when there is no such person, so that the time tells nothing. */
const char *password_dummy(void);

/* routes.c */
const ImpHttpRoute *cloud_routes(gsize *out_count);
gboolean cloud_authorise(const char *token, gpointer user, ImpHttpPerson *out_person, GError **error);

/* ---- helpers of operations (operations.c) ---- */

/* The account's image, station: IMP_E_IMAGE_UNKNOWN, IMP_E_STATION_UNKNOWN for another account's, too. */
gboolean own_image(ImpCloud *cloud, const Job *job, const ImpId *image, GError **error);
/* The station that asks; E5010 if it was removed: it may report, and nothing else. */
gboolean active_station(ImpCloud *cloud, Job *job, ImpLedgerStation *out, GError **error);
gboolean own_station(ImpCloud *cloud, const Job *job, const ImpId *station, GError **error);
gboolean factory_exists(ImpCloud *cloud, const char *account, const char *factory, const char *group,
                        GError **error);
/* Bytes of a query: integer, ID. FALSE and IMP_E_HTTP_REQUEST if it is there and malformed; *out untouched if absent. */
gboolean query_u64(const ImpHttpRequest *request, const char *name, guint64 min, guint64 max,
                   gboolean *out_has, guint64 *out, GError **error);
gboolean query_id(const ImpHttpRequest *request, const char *name, gboolean *out_has, ImpId *out,
                  GError **error);
json_t *json_id(const ImpId *id);
json_t *json_hex(const void *bytes, gsize n_bytes);
/* A member "reason" of a parsed body, or NULL. */
const char *body_reason(const Job *job);
gboolean parse_body(ImpCloud *cloud, Job *job, GError **error); /* job->body */
gboolean parse_id(ImpCloud *cloud, Job *job, GError **error); /* job->id of {id} */
gboolean parse_id_and_body(ImpCloud *cloud, Job *job, GError **error);
gboolean parse_name(const char *what, const char *name, GError **error);
/* One image as people see it. NULL and *error; IMP_E_IMAGE_UNKNOWN for another account's, too (op_images.c). */
json_t *image_json(ImpCloud *cloud, const char *account, const ImpId *id, GError **error);
/* op_keys.c: "share": "missing" or "here" of an image that needs one. */
gboolean share_add_state(ImpCloud *cloud, const ImpId *image, json_t *row, GError **error);
/* op_keys.c: what a station's list of images says beside them: shares, and the number of the account's trust list. */
gboolean keys_add_to_list(ImpCloud *cloud, const char *account, const char *factory, json_t *answer,
                          GError **error);
/* The ID of the account's root key; *out_has FALSE: it has none (op_keys.c). */
gboolean account_root(ImpCloud *cloud, const char *account, gboolean *out_has, guint8 out[IMP_SHA256_BYTES],
                      GError **error);
json_t *effect_json(ImpCloud *cloud, const ImpLedgerEffect *effect);

/* The operations, by area. */
extern const Operation op_health, op_metrics, op_ca; /* op_public.c */
extern const Operation op_enrol, op_sync, op_station_images, op_station_content; /* op_station.c */
extern const Operation op_login, op_logout, op_people_list, op_people_add, op_people_remove, op_password,
    op_tokens_list, op_tokens_add, op_tokens_revoke; /* op_people.c */
extern const Operation op_factories_list, op_factories_add, op_groups_add, op_codes_add, op_stations_list,
    op_station_remove, op_station_move, op_station_admit, op_authors_list, op_authors_add, op_authors_remove,
    op_pools_list, op_pools_next, op_pools_split; /* op_account.c */
extern const Operation op_images_list, op_images_add, op_image_get, op_image_content, op_image_pause,
    op_image_resume, op_image_disable, op_image_failures; /* op_images.c */
extern const Operation op_image_share, op_station_trust, op_root_get, op_root_set, op_trust_get,
    op_trust_set; /* op_keys.c */
extern const Operation op_launches, op_settle, op_log, op_alarms, op_audit; /* op_log.c */

/* content.c: image files, named by image ID and digest in the folder content/. */
int content_open_upload(ImpHttpRequest *request, gpointer user, GError **error);
/* Reads the file from its beginning and says what it is; syncs it. */
ImpClear *content_inspect(int fd, GError **error);
/* Gives the unnamed file its name, durably; the same name again is no error. */
gboolean content_keep(ImpCloud *cloud, int fd, const ImpClear *clear, GError **error);
char *content_path(const ImpCloud *cloud, const ImpId *image, const guint8 sha256[IMP_SHA256_BYTES]);
