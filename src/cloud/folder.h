/* The data folder: what lies where. Internal to src/cloud.
 *
 *     cloud.yaml     configuration (imprint-cloud run --config)
 *     ca.pem  ca.key     the cloud's own authority
 *     tls.pem tls.key    the server's certificate (then the CA's) and key
 *     cloud.db       the ledger's and the cloud's tables; with -wal and -shm
 *     content/       image files
 *
 * Keys have mode 0600, the folder 0700. Thread rule: no state. */
#pragma once

#include "cloud/cloud.h"

#define FOLDER_CONFIG   "cloud.yaml"
#define FOLDER_CA_CERT  "ca.pem"
#define FOLDER_CA_KEY   "ca.key"
#define FOLDER_TLS_CERT "tls.pem"
#define FOLDER_TLS_KEY  "tls.key"
#define FOLDER_DATABASE "cloud.db"
#define FOLDER_CONTENT  "content"
#define FOLDER_FILE_MAX (64 * 1024) /* bytes of a PEM file */

/* The text of a file of the folder; free with g_free (keys: wipe_free). IMP_E_CLOUD_FOLDER. */
char *folder_read(const char *folder, const char *name, GError **error) G_GNUC_WARN_UNUSED_RESULT;
