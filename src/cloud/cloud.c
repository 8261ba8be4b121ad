#include "cloud/cloud.h"

#include <string.h>

#include "cloud/folder.h"
#include "cloud/job.h"

static gboolean load_ca(ImpCloud *cloud, GError **error)
{
    g_autofree char *cert = folder_read(cloud->folder, FOLDER_CA_CERT, error);
    char *key = cert != NULL ? folder_read(cloud->folder, FOLDER_CA_KEY, error) : NULL;
    if (key != NULL)
        cloud->ca = imp_ca_load(cert, key, cloud->clock, error);
    wipe_free(key);
    return cloud->ca != NULL;
}

static gboolean open_database(ImpCloud *cloud, GError **error)
{
    g_autofree char *path = g_build_filename(cloud->folder, FOLDER_DATABASE, NULL);
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        imp_error_set(error, IMP_E_CLOUD_FOLDER, "%s: there is no database in this folder", path);
        return FALSE;
    }
    cloud->ledger = imp_ledger_open(&(ImpLedgerOptions){.path = path,
                                                        .role = IMP_LEDGER_CLOUD,
                                                        .safety = IMP_LEDGER_DURABLE,
                                                        .clock = cloud->clock,
                                                        .random = cloud->random},
                                    error);
    if (cloud->ledger == NULL) {
        g_prefix_error(error, "%s: ", path);
        return FALSE;
    }
    cloud->db = imp_ledger_database(cloud->ledger);
    return schema_make(cloud->db, error) && tokens_load(cloud->tokens, cloud->db, error);
}

static gboolean start_server(ImpCloud *cloud, const char *listen, GError **error)
{
    g_autofree char *cert = folder_read(cloud->folder, FOLDER_TLS_CERT, error);
    char *key = cert != NULL ? folder_read(cloud->folder, FOLDER_TLS_KEY, error) : NULL;
    if (key == NULL)
        return FALSE;
    ImpHttpServerOptions options = {.listen = listen,
                                    .tls_cert_pem = cert,
                                    .tls_key_pem = key,
                                    .client_ca_pem = imp_ca_cert_pem(cloud->ca),
                                    .authorise = cloud_authorise,
                                    .user = cloud,
                                    .clock = cloud->clock};
    options.routes = cloud_routes(&options.n_routes);
    cloud->server = imp_http_server_start(&options, error);
    wipe_free(key);
    return cloud->server != NULL;
}

static void start_threads(ImpCloud *cloud)
{
    if (pthread_create(&cloud->committer, NULL, committer_run, cloud) != 0 ||
        pthread_create(&cloud->worker, NULL, worker_run, cloud) != 0)
        g_error("out of threads");
    cloud->has_threads = TRUE;
}

ImpCloud *imp_cloud_start(const ImpCloudOptions *options, GError **error)
{
    ImpCloud *cloud = g_new0(ImpCloud, 1);
    cloud->folder = g_strdup(options->folder);
    cloud->content_folder = g_build_filename(options->folder, FOLDER_CONTENT, NULL);
    cloud->url = g_strdup(options->url);
    cloud->clock = options->clock;
    cloud->random = options->random;
    cloud->kill = options->kill != 0 ? options->kill : IMP_CLOUD_KILL_NEVER;
    cloud->kill_at = cloud->kill != IMP_CLOUD_KILL_NEVER ? options->kill_at : 0;
    cloud->tokens = tokens_new(cloud->clock);
    cloud->commit_queue = imp_queue_new(IMP_CLOUD_QUEUE_MAX, NULL);
    cloud->work_queue = imp_queue_new(IMP_CLOUD_WORK_MAX, NULL);
    if (load_ca(cloud, error) && open_database(cloud, error) && start_server(cloud, options->listen, error)) {
        if (cloud->url == NULL)
            cloud->url = g_strconcat("https://", imp_http_server_address(cloud->server), NULL);
        start_threads(
            cloud); /* requests wait in the queues until here, so that the threads find all of cloud */
        return cloud;
    }
    imp_cloud_stop(cloud);
    return NULL;
}

const char *imp_cloud_address(const ImpCloud *cloud)
{
    return imp_http_server_address(cloud->server);
}

void imp_cloud_stop(ImpCloud *cloud)
{
    if (cloud == NULL)
        return;
    imp_http_server_stop(cloud->server); /* waits for all answers, so both queues are empty afterwards */
    if (cloud->has_threads) {
        imp_queue_close(cloud->work_queue);
        pthread_join(cloud->worker, NULL);
        imp_queue_close(cloud->commit_queue);
        pthread_join(cloud->committer, NULL);
    }
    imp_queue_free(cloud->work_queue);
    imp_queue_free(cloud->commit_queue);
    imp_ledger_close(cloud->ledger);
    imp_ca_free(cloud->ca);
    tokens_free(cloud->tokens);
    g_free(cloud->folder);
    g_free(cloud->content_folder);
    g_free(cloud->url);
    g_free(cloud);
}
