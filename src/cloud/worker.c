/* What takes long and needs no database. */
#include "cloud/job.h"

void *worker_run(void *user)
{
    ImpCloud *cloud = user;
    for (Job *job; (job = imp_queue_pop(cloud->work_queue)) != NULL;) {
        gboolean good = job->operation->stages[job->stage].run(cloud, job, &job->error);
        g_assert(good == (job->error == NULL));
        job->stage++;
        job_forward(cloud, job);
    }
    return NULL;
}
