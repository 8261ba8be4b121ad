#include "cli/remote.h"

#include "base/json.h"
#include "cli/answer.h"
#include "cli/file.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <string.h>

#define SEND_MS_MAX 300000 /* a whole image over a slow line */

ImpHttpClient *imp_remote_station(const ImpCli *cli, GError **error)
{
    ImpHttpClientOptions options = {
        .unix_path =
            imp_cli_has(cli, IMP_OPTION_SOCKET) ? cli->values[IMP_OPTION_SOCKET] : IMP_STATION_SOCKET,
        .call_ms_max = 90000, /* the long poll of events waits up to 60 s */
    };
    return imp_http_client_new(&options, error);
}

/* cloud.json as login wrote it; a new reference. */
static json_t *load_login(const ImpCli *cli, GError **error)
{
    g_autofree char *path = g_build_filename(cli->env->config_dir, "cloud.json", NULL);
    g_autoptr(GError) failed = NULL;
    g_autoptr(GBytes) file = imp_file_read(path, IMP_CLI_CA_MAX, &failed);
    if (file == NULL && g_error_matches(failed, IMP_ERROR, IMP_E_NOT_FOUND)) {
        imp_error_set(error, IMP_E_NOT_FOUND, "no cloud is known here: imprint cloud login URL --user NAME");
        return NULL;
    }
    if (file == NULL) {
        g_propagate_error(error, g_steal_pointer(&failed));
        return NULL;
    }
    json_t *login = imp_json_parse(g_bytes_get_data(file, NULL), g_bytes_get_size(file), IMP_CLI_CA_MAX, path,
                                   IMP_E_SYNTAX, error);
    if (login != NULL && (json_string_value(json_object_get(login, "url")) == NULL ||
                          json_string_value(json_object_get(login, "ca")) == NULL)) {
        imp_error_set(error, IMP_E_SCHEMA, "%s: url or ca is missing; log in again", path);
        json_decref(login);
        return NULL;
    }
    return login;
}

char *imp_remote_cloud_ca(const ImpCli *cli, const char *url, GError **error)
{
    json_t *login = load_login(cli, error);
    if (login == NULL)
        return NULL;
    const char *known = json_string_value(json_object_get(login, "url"));
    char *ca = NULL;
    if (url == NULL || strcmp(url, known) == 0)
        ca = g_strdup(json_string_value(json_object_get(login, "ca")));
    else
        imp_error_set(
            error, IMP_E_NOT_FOUND,
            "the release is for the cloud %s, the login here is at %s: name the CA with --ca, or log "
            "in there",
            url, known);
    json_decref(login);
    return ca;
}

gboolean imp_remote_cloud_keep(const ImpCli *cli, const char *url, const char *ca_pem, const char *token,
                               GError **error)
{
    const char *dir = cli->env->config_dir;
    if (g_mkdir_with_parents(dir, 0700) != 0) {
        imp_error_set(error, IMP_E_IO, "%s: %s", dir, g_strerror(errno));
        return FALSE;
    }
    g_autofree char *login_path = g_build_filename(dir, "cloud.json", NULL);
    g_autofree char *token_path = g_build_filename(dir, "cloud.token", NULL);
    json_t *login = json_pack("{s:s, s:s}", "url", url, "ca", ca_pem);
    g_autofree char *text = imp_json_text(login);
    json_decref(login);
    g_autofree char *line = g_strconcat(token, "\n", NULL);
    gboolean kept = imp_file_write(token_path, line, strlen(line), 0600, error) &&
                    imp_file_write(login_path, text, strlen(text), 0644, error);
    explicit_bzero(line, strlen(line));
    return kept;
}

ImpHttpClient *imp_remote_cloud(const ImpCli *cli, GError **error)
{
    json_t *login = load_login(cli, error);
    if (login == NULL)
        return NULL;
    g_autofree char *token_path = g_build_filename(cli->env->config_dir, "cloud.token", NULL);
    const char *path =
        imp_cli_has(cli, IMP_OPTION_TOKEN_FILE) ? cli->values[IMP_OPTION_TOKEN_FILE] : token_path;
    char *token = imp_file_read_secret(cli->env->in, path, error);
    ImpHttpClient *client = NULL;
    if (token != NULL) {
        ImpHttpClientOptions options = {.url = json_string_value(json_object_get(login, "url")),
                                        .ca_pem = json_string_value(json_object_get(login, "ca")),
                                        .token = token};
        client = imp_http_client_new(&options, error);
    }
    imp_file_free_secret(token);
    json_decref(login);
    return client;
}

json_t *imp_remote_json(ImpHttpClient *client, const char *method, const json_t *body, GError **error,
                        const char *path_format, ...)
{
    va_list args;
    va_start(args, path_format);
    g_autofree char *path = g_strdup_vprintf(path_format, args);
    va_end(args);
    return imp_http_call_json(client, method, path, body, error);
}

char *imp_remote_find_id(ImpHttpClient *client, const char *path, const char *list, const char *member,
                         const char *words, GError **error)
{
    ImpId id;
    if (imp_id_parse(words, &id))
        return g_strdup(words);
    json_t *answer = imp_http_call_json(client, "GET", path, NULL, error);
    if (answer == NULL)
        return NULL;
    g_autofree char *found = NULL;
    guint n_found = 0;
    gsize i;
    const json_t *item;
    json_array_foreach(json_object_get(answer, list), i, item)
    {
        if (strcmp(imp_answer_text(item, "name"), words) != 0)
            continue;
        n_found++;
        g_free(found);
        found = g_strdup(imp_answer_text(item, member));
    }
    json_decref(answer);
    if (n_found == 1)
        return g_steal_pointer(&found);
    if (n_found == 0)
        imp_error_set(error, IMP_E_NOT_FOUND, "there is nothing called %s among the %s", words, list);
    else
        imp_error_set(error, IMP_E_ARGUMENT, "%u of the %s are called %s: name one by its ID", n_found, list,
                      words);
    return NULL;
}

json_t *imp_remote_send(ImpHttpClient *client, const char *method, const char *path, GBytes *bytes,
                        GError **error)
{
    ImpHttpCall call = {.method = method,
                        .path = path,
                        .content_type = "application/octet-stream",
                        .body = bytes,
                        .ms_max = SEND_MS_MAX};
    g_autoptr(ImpHttpAnswer) answer = NULL;
    if (!imp_http_call(client, &call, &answer, error) || !imp_http_answer_check(answer, error))
        return NULL;
    gsize n_bytes;
    const char *text = g_bytes_get_data(answer->body, &n_bytes);
    if (n_bytes == 0)
        return json_object();
    json_error_t fault;
    json_t *document = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &fault);
    if (document == NULL)
        imp_error_set(error, IMP_E_SYNTAX, "the answer to %s is no JSON: %s", path, fault.text);
    return document;
}
