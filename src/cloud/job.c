#include "cloud/job.h"

#include <signal.h>
#include <unistd.h>

#include "wire/codec.h"

Job *job_new(const Operation *operation, ImpHttpRequest *request)
{
    Job *job = g_new0(Job, 1);
    job->operation = operation;
    job->request = request;
    job->file_fd = -1;
    return job;
}

static void job_free(Job *job)
{
    json_decref(job->body);
    json_decref(job->answer);
    imp_sync_request_free(job->sync);
    imp_sync_response_free(job->sync_response);
    if (job->bytes != NULL)
        g_bytes_unref(job->bytes);
    imp_clear_free(job->clear);
    imp_csr_free(job->csr);
    wipe_free(job->secret_text);
    wipe_free(job->secret_hash);
    g_free(job->text);
    g_free(job->cursor);
    g_free(job->etag);
    if (job->file_fd >= 0)
        close(job->file_fd);
    g_clear_error(&job->error);
    g_free(job);
}

static void reply_text(Job *job, guint status, char *text, const char *content_type)
{
    if (job->cursor != NULL)
        imp_http_reply_header(job->request, "Imprint-Cursor", job->cursor);
    imp_http_reply_text(job->request, status, content_type, text);
}

void job_kill_process(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause(); /* the signal is on its way */
}

void job_finish(Job *job)
{
    guint status = job->status != 0 ? job->status : 200;
    char *sync_text = NULL;
    if (job->error == NULL && job->sync_response != NULL)
        sync_text = imp_sync_response_encode(job->sync_response, &job->error);
    if (job->kill_before_answer)
        job_kill_process();
    if (job->error != NULL)
        imp_http_reply_error(job->request, job->error);
    else if (sync_text != NULL)
        reply_text(job, status, sync_text, "application/json");
    else if (job->answer != NULL)
        imp_http_reply_json(job->request, status, g_steal_pointer(&job->answer));
    else if (job->text != NULL)
        reply_text(job, status, g_steal_pointer(&job->text), job->content_type);
    else if (job->file_fd >= 0) {
        int fd = job->file_fd;
        job->file_fd = -1;
        imp_http_reply_file(job->request, "application/octet-stream", job->etag, fd, job->file_bytes);
    } else
        imp_http_reply(job->request, 204, NULL, NULL);
    job->request = NULL;
    job_free(job);
}

void job_forward(ImpCloud *cloud, Job *job)
{
    g_assert(job->stage <= JOB_STAGES_MAX);
    StageKind kind = job->operation->stages[job->stage].kind;
    if (job->error != NULL || kind == STAGE_END) {
        job_finish(job);
        return;
    }
    if (imp_queue_push(kind == STAGE_COMMIT ? cloud->commit_queue : cloud->work_queue, job))
        return;
    imp_error_set(&job->error, IMP_E_CLOUD_BUSY, "%s: too many requests are waiting", job->operation->name);
    job_finish(job);
}
