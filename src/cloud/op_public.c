/* What anybody may see, and metrics. */
#include <string.h>

#include "cloud/job.h"

static gboolean run_health(ImpCloud *cloud, Job *job, GError **error)
{
    /* That this runs means that a transaction began; that it is answered, that it was committed. */
    job->answer = json_pack("{s:s}", "status", "ok");
    return TRUE;
}

static gboolean run_ca(ImpCloud *cloud, Job *job, GError **error)
{
    job->text = g_strdup(imp_ca_cert_pem(cloud->ca));
    job->content_type = "application/x-pem-file";
    return TRUE;
}

static gboolean run_metrics(ImpCloud *cloud, Job *job, GError **error)
{
    const CloudMetrics *m = &cloud->metrics;
    const struct {
        const char *name, *help;
        guint64 value;
    } rows[] = {
        {"imprint_cloud_batches_total", "Transactions of the committer.", m->batches},
        {"imprint_cloud_batches_failed_total", "Transactions that were rolled back.", m->commits_failed},
        {"imprint_cloud_requests_total", "Requests that reached the committer.", m->jobs},
        {"imprint_cloud_requests_refused_total", "Of these, answered with an error.", m->refused},
        {"imprint_cloud_syncs_total", "Sync requests of stations.", m->syncs},
        {"imprint_cloud_wants_total", "Permits asked for.", m->wants},
        {"imprint_cloud_granted_total", "Permits granted, repeated answers included.", m->granted},
        {"imprint_cloud_reports_total", "Reports, repeated ones included.", m->reports},
    };
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        g_string_append_printf(text, "# HELP %s %s\n# TYPE %s counter\n%s %" G_GUINT64_FORMAT "\n",
                               rows[i].name, rows[i].help, rows[i].name, rows[i].name, rows[i].value);
    g_string_append_printf(
        text,
        "# HELP imprint_cloud_batch_largest Requests in the largest transaction.\n"
        "# TYPE imprint_cloud_batch_largest gauge\nimprint_cloud_batch_largest %" G_GUINT64_FORMAT "\n",
        m->largest_batch);
    job->text = g_string_free(text, FALSE);
    job->content_type = "text/plain; version=0.0.4";
    return TRUE;
}

const Operation op_health = {.name = "health", .stages = {{STAGE_COMMIT, run_health}}};
const Operation op_metrics = {.name = "metrics", .stages = {{STAGE_COMMIT, run_metrics}}};
const Operation op_ca = {.name = "ca", .stages = {{STAGE_COMMIT, run_ca}}};
