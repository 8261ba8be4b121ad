/* The cloud as a library: main.c and the tests start it.
 *
 * Threads: the HTTP server's only parse and enqueue. One committer owns the database: it takes the whole queue, executes it
 * in one transaction (group commit), commits, then answers. One worker does what takes long and needs no database
 * (passwords, uploads). A request goes from stage to stage between them (job.h).
 *
 * Life cycle: imp_cloud_start, imp_cloud_stop. Thread rule: start and stop on one thread. */
#pragma once

#include "base/env.h"
#include "base/error.h"

typedef struct ImpCloud ImpCloud;

#define IMP_CLOUD_QUEUE_MAX      4096 /* requests that wait for the committer; more are answered 7014 */
#define IMP_CLOUD_WORK_MAX       64 /* that wait for the worker */
#define IMP_CLOUD_BATCH_MAX      256 /* requests of one transaction */
#define IMP_CLOUD_FACTORIES_MAX  1000
#define IMP_CLOUD_GROUPS_MAX     1000 /* of one factory */
#define IMP_CLOUD_PEOPLE_MAX     1000
#define IMP_CLOUD_TOKENS_MAX     10000
#define IMP_CLOUD_AUTHORS_MAX    1000
#define IMP_CLOUD_BODY_MAX       (64 * 1024) /* bytes of a JSON request of a person */
#define IMP_CLOUD_LOGIN_HOURS    12
#define IMP_CLOUD_CODE_HOURS     72 /* an enrolment code's life, unless the request says otherwise */
#define IMP_CLOUD_CODE_HOURS_MAX (24 * 30)
#define IMP_CLOUD_TOKEN_DAYS_MAX 3650
#define IMP_CLOUD_PASSWORD_MIN   10 /* characters */
#define IMP_CLOUD_PASSWORD_MAX   256 /* bytes */

/* Where a test makes the process kill itself (SIGKILL), to see what a restart makes of it. */
typedef enum {
    IMP_CLOUD_KILL_NEVER = 2,
    IMP_CLOUD_KILL_BEFORE_COMMIT,
    IMP_CLOUD_KILL_AFTER_COMMIT,
    IMP_CLOUD_KILL_BEFORE_ANSWER, /* committed, and the answer is made, but not sent */
} ImpCloudKill;

typedef struct {
    const char *folder; /* made by imp_cloud_folder_make */
    const char *listen; /* "127.0.0.1:8443", port 0 allowed */
    const char *url; /* what stations are told; NULL: https:// and the address it listens on */
    const ImpClock *clock; /* borrowed until stop */
    const ImpRandom *random;
    ImpCloudKill kill; /* 0 is NEVER, too */
    guint64
        kill_at; /* in the transaction with the n-th sync request that carries reports, refreshes or wants, from 1 */
} ImpCloudOptions;

ImpCloud *imp_cloud_start(const ImpCloudOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "127.0.0.1:8443"; borrowed. */
const char *imp_cloud_address(const ImpCloud *cloud);

/* Answers what is in work, then closes everything. NULL is allowed. */
void imp_cloud_stop(ImpCloud *cloud);

/* ---- the data folder (folder.c) ---- */

typedef struct {
    const char *folder; /* made, mode 0700; must not exist or be empty */
    const char *account;
    const char *owner; /* e-mail address */
    const char *password;
    const char *url; /* https://host:port: the host goes into the server's certificate */
    const char *listen; /* NULL: the url's host and port, when the host is numeric; else needed */
    const ImpClock *clock;
    const ImpRandom *random;
} ImpCloudFolderOptions;

/* Makes the folder: CA, server certificate, database with account and owner, cloud.yaml. On failure what was made is
 * removed again. Errors: IMP_E_EXISTS, IMP_E_HTTP_URL, IMP_E_PASSWORD_WEAK, IMP_E_ARGUMENT, IMP_E_IO. */
gboolean imp_cloud_folder_make(const ImpCloudFolderOptions *options,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Recomputes every count from the rows: what is wrong, one line each (char *). */
GPtrArray *imp_cloud_folder_check(const char *folder, const ImpClock *clock, const ImpRandom *random,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- configuration (config.c): cloud.yaml ----
 *
 *     cloud: 1                         # version of this form
 *     data: .                          # the data folder, relative to the file
 *     listen: 127.0.0.1:8443           # port 0: a free one
 *     url: https://127.0.0.1:8443      # what stations are told; without it, the address that it listens on */
typedef struct {
    char *folder, *listen, *url; /* url NULL if not given */
} ImpCloudConfig;

gboolean imp_cloud_config_load(const char *path, ImpCloudConfig *out_config,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_cloud_config_done(ImpCloudConfig *config);
