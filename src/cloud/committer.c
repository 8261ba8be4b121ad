/* The one thread that owns the database. */
#include <string.h>

#include "cloud/job.h"

/* Who is behind the token now, by the database: the gate's table may be a moment old. */
static gboolean check_person(ImpCloud *cloud, Job *job, GError **error)
{
    const ImpHttpRoute *route = imp_http_request_route(job->request);
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(cloud->db, error,
                          "SELECT p.email, p.account, t.role, p.role FROM cloud_token t "
                          "JOIN cloud_person p ON p.email = t.email "
                          "WHERE t.hash = ? AND t.expires_us > ?",
                          "bi", job->token_hash, sizeof job->token_hash, imp_clock_real_us(cloud->clock));
    if (sql == NULL)
        return FALSE;
    int found = imp_query_step(sql, error);
    if (found < 0)
        return FALSE;
    if (found == 0) {
        imp_error_set(error, IMP_E_HTTP_UNAUTHENTICATED, "the token is not valid any more: sign in again");
        return FALSE;
    }
    g_strlcpy(job->email, imp_query_text(sql, 0), sizeof job->email);
    g_strlcpy(job->account, imp_query_text(sql, 1), sizeof job->account);
    job->role = (guint32)imp_query_int(sql, 2) & role_covers((guint32)imp_query_int(sql, 3));
    if ((job->role & route->roles) == 0) {
        imp_error_set(error, IMP_E_HTTP_FORBIDDEN, "not allowed with this role");
        return FALSE;
    }
    return TRUE;
}

static gboolean run_stage(ImpCloud *cloud, Job *job, GError **error)
{
    if (imp_http_request_who(job->request) == IMP_HTTP_PERSON && !check_person(cloud, job, error))
        return FALSE;
    return job->operation->stages[job->stage].run(cloud, job, error);
}

/* One job inside the batch: what it changed is kept whole or not at all. FALSE: the whole batch is lost. */
static gboolean run_job(ImpCloud *cloud, Job *job)
{
    if (!imp_query_script(cloud->db, "SAVEPOINT job", &job->error))
        return FALSE;
    gboolean good = run_stage(cloud, job, &job->error);
    g_assert(good == (job->error == NULL));
    g_autoptr(GError) error = NULL;
    const char *end = good ? "RELEASE job" : "ROLLBACK TO job; RELEASE job";
    if (imp_query_script(cloud->db, end, &error))
        return TRUE;
    /* SQLite has rolled everything back by itself, as it may do when the disk is full. */
    if (job->error == NULL)
        job->error = g_steal_pointer(&error);
    return FALSE;
}

/* Kills this process if a test asked for it here. */
static void kill_point(const ImpCloud *cloud, ImpCloudKill point, gboolean is_the_batch)
{
    if (is_the_batch && cloud->kill == point)
        job_kill_process();
}

/* Is the request of the test's choice in the batch? */
static gboolean counts_for_kill(ImpCloud *cloud, GPtrArray *batch)
{
    gboolean reached = FALSE;
    for (guint i = 0; i < batch->len; i++) {
        Job *job = batch->pdata[i];
        if (job->counts_for_kill && ++cloud->kill_seen == cloud->kill_at) {
            reached = TRUE;
            job->kill_before_answer = cloud->kill == IMP_CLOUD_KILL_BEFORE_ANSWER;
        }
    }
    return reached;
}

static void fail_batch(ImpCloud *cloud, GPtrArray *batch, const GError *error)
{
    cloud->metrics.commits_failed++;
    g_warning("a batch of %u requests was rolled back: %s", batch->len, error->message);
    for (guint i = 0; i < batch->len; i++) {
        Job *job = batch->pdata[i];
        if (job->error == NULL)
            imp_error_set(&job->error, IMP_E_IO, "the request was not carried out: %s", error->message);
    }
}

/* All jobs in one transaction. Afterwards each has its error, or is committed. */
static void run_batch(ImpCloud *cloud, GPtrArray *batch)
{
    g_autoptr(GError) error = NULL;
    gboolean good = imp_ledger_begin(cloud->ledger, &error);
    for (guint i = 0; good && i < batch->len; i++) {
        Job *job = batch->pdata[i];
        good = run_job(cloud, job);
        if (!good) {
            error = g_error_copy(job->error);
            imp_ledger_rollback(cloud->ledger);
        }
    }
    gboolean kill_here = cloud->kill_at > 0 && counts_for_kill(cloud, batch);
    kill_point(cloud, IMP_CLOUD_KILL_BEFORE_COMMIT, kill_here);
    if (good)
        good = imp_ledger_commit(cloud->ledger, &error);
    kill_point(cloud, IMP_CLOUD_KILL_AFTER_COMMIT, kill_here);
    if (!good) {
        fail_batch(cloud, batch, error);
        cloud->tokens_changed = FALSE;
    }
    if (cloud->tokens_changed) {
        cloud->tokens_changed = FALSE;
        g_autoptr(GError) late = NULL;
        if (!tokens_load(cloud->tokens, cloud->db, &late))
            g_warning("tokens: %s", late->message); /* the database decides in every transaction anyhow */
    }
}

static void count(ImpCloud *cloud, GPtrArray *batch)
{
    CloudMetrics *m = &cloud->metrics;
    m->batches++;
    m->jobs += batch->len;
    m->largest_batch = MAX(m->largest_batch, batch->len);
    for (guint i = 0; i < batch->len; i++) {
        const Job *job = batch->pdata[i];
        m->refused += job->error != NULL;
        if (job->sync_response == NULL)
            continue;
        m->syncs++;
        m->wants += job->sync->n_wants;
        m->reports += job->sync->n_reports;
        for (guint k = 0; k < job->sync_response->n_answers; k++)
            m->granted += job->sync_response->answers[k].kind == IMP_ANSWER_GRANTED;
    }
}

void *committer_run(void *user)
{
    ImpCloud *cloud = user;
    g_autoptr(GPtrArray) batch = g_ptr_array_sized_new(IMP_CLOUD_BATCH_MAX);
    for (Job *job; (job = imp_queue_pop(cloud->commit_queue)) != NULL;) {
        g_ptr_array_set_size(batch, 0);
        do
            g_ptr_array_add(batch, job);
        while (batch->len < IMP_CLOUD_BATCH_MAX && (job = imp_queue_try_pop(cloud->commit_queue)) != NULL);
        run_batch(cloud, batch);
        count(cloud, batch);
        for (guint i = 0; i < batch->len; i++) {
            job = batch->pdata[i];
            job->stage++;
            job_forward(cloud, job);
        }
    }
    return NULL;
}
