/* How imprint reaches a station (Unix socket) and its cloud (HTTPS); the only file that opens a connection.
 *
 * Life cycle: open, calls of http/client.h, free. Thread rule: one thread. */
#pragma once

#include "cli/cli.h"
#include "http/client/client.h"

/* Where a station's control socket is unless --socket says it. */
#define IMP_STATION_SOCKET "/var/lib/imprint/control.sock"

/* The station of --socket. */
ImpHttpClient *imp_remote_station(const ImpCli *cli, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The certificate (PEM) of the cloud that `imprint cloud login` was done with; url, if not NULL, must be that cloud's.
 * Free with g_free. IMP_E_NOT_FOUND: no login, or another cloud. */
char *imp_remote_cloud_ca(const ImpCli *cli, const char *url, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The cloud that `imprint cloud login` was done with; --token-file: with another token. */
ImpHttpClient *imp_remote_cloud(const ImpCli *cli, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Keeps what login gave: cloud.json (url, CA) and cloud.token (mode 0600) in the user's configuration folder. */
gboolean imp_remote_cloud_keep(const ImpCli *cli, const char *url, const char *ca_pem, const char *token,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Every call's answer as an object; a new reference. body NULL: none. */
json_t *imp_remote_json(ImpHttpClient *client, const char *method, const json_t *body, GError **error,
                        const char *path_format, ...) G_GNUC_PRINTF(5, 6) G_GNUC_WARN_UNUSED_RESULT;

/* The ID of what words mean: an ID itself, or the name that only one object of the answer's list has; member is what the
 * list calls the ID. Free with g_free. IMP_E_NOT_FOUND; IMP_E_ARGUMENT: several have that name. */
char *imp_remote_find_id(ImpHttpClient *client, const char *path, const char *list, const char *member,
                         const char *words, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Sends bytes as they are (application/octet-stream). */
json_t *imp_remote_send(ImpHttpClient *client, const char *method, const char *path, GBytes *bytes,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
