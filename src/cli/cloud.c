/* imprint cloud …: what owners and engineers do, over HTTPS (api/cloud.yaml). */
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "image/clear.h"
#include "image/keys.h"
#include "image/statement.h"

#include <glib/gstdio.h>
#include <string.h>

/* Free with g_free. */
static char *number_text(const json_t *object, const char *name)
{
    return json_object_get(object, name) != NULL
               ? g_strdup_printf("%" G_GINT64_FORMAT, imp_answer_number(object, name))
               : g_strdup("");
}

/* One call; the answer becomes the result. Takes over body. */
static gboolean call(ImpCli *cli, const char *method, json_t *body, const char *path, GError **error)
{
    g_autoptr(ImpHttpClient) client = imp_remote_cloud(cli, error);
    json_t *answer = client != NULL ? imp_http_call_json(client, method, path, body, error) : NULL;
    json_decref(body);
    if (answer == NULL)
        return FALSE;
    json_object_update(cli->result, answer);
    json_decref(answer);
    return TRUE;
}

static gboolean say(const ImpCli *cli, gboolean done, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Says it if it is done and people read; gives done back. */
static gboolean say(const ImpCli *cli, gboolean done, const char *format, ...)
{
    if (!done || cli->json)
        return done;
    va_list args;
    va_start(args, format);
    vfprintf(cli->env->out, format, args);
    va_end(args);
    fputc('\n', cli->env->out);
    return TRUE;
}

/* What a person wrote on the command line, as JSON; null where it is not UTF-8 (the server says so). */
static json_t *argument(const ImpCli *cli, guint index)
{
    json_t *text = json_string(cli->arguments[index]);
    return text != NULL ? text : json_null();
}

static void add_reason(const ImpCli *cli, json_t *body)
{
    if (imp_cli_has(cli, IMP_OPTION_REASON))
        json_object_set_new(body, "reason", json_string(cli->values[IMP_OPTION_REASON]));
}

/* The CA that a person believes: from --ca, or fetched and compared. Free with g_free. */
static char *believed_ca(ImpCli *cli, const char *url, GError **error)
{
    if (imp_cli_has(cli, IMP_OPTION_CA)) {
        g_autoptr(GBytes) file = imp_file_read(cli->values[IMP_OPTION_CA], IMP_CLI_CA_MAX, error);
        return file != NULL ? g_strndup(g_bytes_get_data(file, NULL), g_bytes_get_size(file)) : NULL;
    }
    const char *expected = cli->values[IMP_OPTION_FINGERPRINT];
    guint8 digest[IMP_HTTP_KEY_DIGEST_BYTES];
    if (expected != NULL && imp_hex_decode(expected, digest, sizeof digest) != sizeof digest) {
        imp_error_set(error, IMP_E_ARGUMENT, "--fingerprint: '%s' is not 64 hexadecimal digits", expected);
        return NULL;
    }
    g_autofree char *ca = imp_http_fetch_ca(url, expected != NULL ? digest : NULL, error);
    if (ca == NULL || expected != NULL)
        return g_steal_pointer(&ca);
    if (!imp_http_key_digest(ca, digest, error))
        return NULL;
    g_autofree char *found = imp_hex_encode(digest, sizeof digest);
    g_autofree char *question = g_strdup_printf(
        "The key of the cloud's CA has the digest %s\nIs it the one that the cloud printed?", found);
    if (imp_cli_confirm(cli, question))
        return g_steal_pointer(&ca);
    imp_error_set(error, IMP_E_CANCELLED, "the cloud's CA was not confirmed");
    return NULL;
}

gboolean imp_command_cloud_login(ImpCli *cli, GError **error)
{
    const char *url = cli->arguments[0], *email;
    if (!imp_cli_require(cli, IMP_OPTION_USER, &email, error))
        return FALSE;
    g_autofree char *ca = believed_ca(cli, url, error);
    if (ca == NULL)
        return FALSE;
    char *password = imp_cli_has(cli, IMP_OPTION_PASSWORD_FILE)
                         ? imp_file_read_secret(cli->env->in, cli->values[IMP_OPTION_PASSWORD_FILE], error)
                         : imp_file_ask_secret(cli->env, "Password", error);
    if (password == NULL)
        return FALSE;
    ImpHttpClientOptions options = {.url = url, .ca_pem = ca};
    g_autoptr(ImpHttpClient) client = imp_http_client_new(&options, error);
    json_t *body = json_pack("{s:s, s:s}", "email", email, "password", password);
    json_t *answer = client != NULL ? imp_http_call_json(client, "POST", "/v1/login", body, error) : NULL;
    json_decref(body);
    imp_file_free_secret(password);
    if (answer == NULL)
        return FALSE;
    gboolean done = imp_remote_cloud_keep(cli, url, ca, imp_answer_text(answer, "token"), error);
    json_object_del(answer, "token"); /* never shown, not even as JSON */
    json_object_update(cli->result, answer);
    json_decref(answer);
    return say(cli, done, "logged in at %s as %s, %s of account %s", url, email,
               imp_answer_text(cli->result, "role"), imp_answer_text(cli->result, "account"));
}

gboolean imp_command_cloud_logout(ImpCli *cli, GError **error)
{
    if (!call(cli, "POST", NULL, "/v1/logout", error))
        return FALSE;
    g_autofree char *token = g_build_filename(cli->env->config_dir, "cloud.token", NULL);
    (void)g_unlink(token); /* revoked: what is left of it opens nothing */
    return say(cli, TRUE, "logged out");
}

gboolean imp_command_cloud_factory_list(ImpCli *cli, GError **error)
{
    if (!call(cli, "GET", NULL, "/v1/factories", error))
        return FALSE;
    gsize i, k;
    const json_t *factory, *group;
    json_array_foreach(json_object_get(cli->result, "factories"), i, factory)
    {
        g_autoptr(GString) groups = g_string_new("");
        json_array_foreach(json_object_get(factory, "groups"), k, group)
            g_string_append_printf(groups, "%s%s", k > 0 ? ", " : "", json_string_value(group));
        (void)say(cli, TRUE, "%-24s %s", imp_answer_text(factory, "name"), groups->str);
    }
    return TRUE;
}

gboolean imp_command_cloud_factory_add(ImpCli *cli, GError **error)
{
    json_t *body = json_pack("{s:o}", "name", argument(cli, 0));
    return say(cli, call(cli, "POST", body, "/v1/factories", error), "factory %s added", cli->arguments[0]);
}

gboolean imp_command_cloud_group_list(ImpCli *cli, GError **error)
{
    if (!call(cli, "GET", NULL, "/v1/factories", error))
        return FALSE;
    gsize i, k;
    const json_t *factory, *group;
    json_array_foreach(json_object_get(cli->result, "factories"), i, factory)
        json_array_foreach(json_object_get(factory, "groups"), k, group)(void)
            say(cli, TRUE, "%-24s %s", json_string_value(group), imp_answer_text(factory, "name"));
    return TRUE;
}

gboolean imp_command_cloud_group_add(ImpCli *cli, GError **error)
{
    const char *factory;
    if (!imp_cli_require(cli, IMP_OPTION_FACTORY, &factory, error))
        return FALSE;
    json_t *body = json_pack("{s:s, s:o}", "factory", factory, "name", argument(cli, 0));
    return say(cli, call(cli, "POST", body, "/v1/groups", error), "group %s added to factory %s",
               cli->arguments[0], factory);
}

gboolean imp_command_cloud_station_list(ImpCli *cli, GError **error)
{
    static const char *const columns[] = {"station", "name",  "factory", "group",
                                          "state",   "heard", ">in work"};
    if (!call(cli, "GET", NULL, "/v1/stations", error))
        return FALSE;
    if (cli->json)
        return TRUE;
    ImpTable table;
    imp_table_init(&table, columns, G_N_ELEMENTS(columns));
    gsize i;
    const json_t *station;
    json_array_foreach(json_object_get(cli->result, "stations"), i, station)
    {
        gint64 heard_us = imp_answer_number(station, "heard_us");
        g_autofree char *heard = heard_us > 0 ? imp_print_time(heard_us, NULL) : g_strdup("never");
        g_autofree char *open = number_text(station, "open");
        const char *state = imp_answer_true(station, "removed")   ? "removed"
                            : imp_answer_true(station, "blocked") ? "blocked"
                                                                  : "ok";
        imp_table_add(&table,
                      (const char *[]){imp_answer_text(station, "station"), imp_answer_text(station, "name"),
                                       imp_answer_text(station, "factory"), imp_answer_text(station, "group"),
                                       state, heard, open});
    }
    imp_table_print(&table, cli->env->out);
    imp_table_done(&table);
    return TRUE;
}

gboolean imp_command_cloud_station_code(ImpCli *cli, GError **error)
{
    const char *factory, *group;
    if (!imp_cli_require(cli, IMP_OPTION_FACTORY, &factory, error) ||
        !imp_cli_require(cli, IMP_OPTION_GROUP, &group, error))
        return FALSE;
    json_t *body = json_pack("{s:s, s:s}", "factory", factory, "group", group);
    if (!call(cli, "POST", body, "/v1/codes", error))
        return FALSE;
    const char *path = cli->values[IMP_OPTION_OUTPUT];
    if (path == NULL)
        return say(cli, TRUE, "%s", imp_answer_text(cli->result, "code"));
    g_autofree char *line = g_strconcat(imp_answer_text(cli->result, "code"), "\n", NULL);
    if (!imp_file_write(path, line, strlen(line), 0600, error))
        return FALSE;
    json_object_del(cli->result, "code"); /* it is in the file now */
    json_object_set_new(cli->result, "file", json_string(path));
    return say(cli, TRUE, "enrolment code written to %s", path);
}

/* The ID of the station or image that the first argument means. Free with g_free. */
static char *find_id(ImpCli *cli, const char *path, const char *list, const char *member, GError **error)
{
    g_autoptr(ImpHttpClient) client = imp_remote_cloud(cli, error);
    return client != NULL ? imp_remote_find_id(client, path, list, member, cli->arguments[0], error) : NULL;
}

/* POST …/{id}/{verb} with the reason. */
static gboolean act(ImpCli *cli, const char *folder, const char *id, const char *verb, GError **error)
{
    json_t *body = json_object();
    add_reason(cli, body);
    g_autofree char *path = g_strdup_printf("%s/%s/%s", folder, id, verb);
    return call(cli, "POST", body, path, error);
}

/* "in force at 16:40:08 at the latest, 2 units in work": from Effect. */
static gboolean say_effect(const ImpCli *cli, gboolean done, const char *what)
{
    if (!done)
        return FALSE;
    g_autofree char *time = imp_print_time(imp_answer_number(cli->result, "in_force_us"), NULL);
    return say(cli, TRUE, "%s; in force at %s, %" G_GINT64_FORMAT " in work", what, time,
               imp_answer_number(cli->result, "in_work"));
}

gboolean imp_command_cloud_station_remove(ImpCli *cli, GError **error)
{
    g_autofree char *id = find_id(cli, "/v1/stations", "stations", "station", error);
    return say_effect(cli, id != NULL && act(cli, "/v1/stations", id, "remove", error), "removed");
}

gboolean imp_command_cloud_station_admit(ImpCli *cli, GError **error)
{
    const char *reason;
    if (!imp_cli_require(cli, IMP_OPTION_REASON, &reason, error))
        return FALSE;
    g_autofree char *id = find_id(cli, "/v1/stations", "stations", "station", error);
    return say(cli, id != NULL && act(cli, "/v1/stations", id, "admit", error), "admitted again");
}

gboolean imp_command_cloud_author_list(ImpCli *cli, GError **error)
{
    if (!call(cli, "GET", NULL, "/v1/authors", error))
        return FALSE;
    gsize i;
    const json_t *author;
    json_array_foreach(json_object_get(cli->result, "authors"), i, author)(void)
        say(cli, TRUE, "%s  %s", imp_answer_text(author, "key"), imp_answer_text(author, "name"));
    return TRUE;
}

gboolean imp_command_cloud_author_add(ImpCli *cli, GError **error)
{
    g_autoptr(ImpKey) key = imp_key_load(cli->arguments[0], error);
    if (key == NULL)
        return FALSE;
    g_autofree char *pem = imp_key_public_pem(key);
    g_autofree char *name = imp_cli_has(cli, IMP_OPTION_NAME) ? g_strdup(cli->values[IMP_OPTION_NAME])
                                                              : imp_file_stem(cli->arguments[0]);
    json_t *body = json_pack("{s:s, s:s}", "name", name, "public", pem);
    return say(cli, call(cli, "POST", body, "/v1/authors", error), "author %s may register images", name);
}

gboolean imp_command_cloud_image_list(ImpCli *cli, GError **error)
{
    static const char *const columns[] = {"image",   "name",     "version",  "factory", "state", "file",
                                          ">passed", ">in work", ">unknown", ">failed", ">count"};
    if (!call(cli, "GET", NULL, "/v1/images", error))
        return FALSE;
    if (cli->json)
        return TRUE;
    ImpTable table;
    imp_table_init(&table, columns, G_N_ELEMENTS(columns));
    gsize i;
    const json_t *image;
    json_array_foreach(json_object_get(cli->result, "images"), i, image)
    {
        const json_t *counts = json_object_get(image, "counts");
        g_autofree char *passed = number_text(counts, "passed");
        g_autofree char *open = number_text(counts, "open");
        g_autofree char *unknown = number_text(counts, "unknown");
        g_autofree char *failed = g_strdup_printf(
            "%" G_GINT64_FORMAT, imp_answer_number(counts, "failed") + imp_answer_number(counts, "spent"));
        g_autofree char *units = number_text(image, "units");
        imp_table_add(&table,
                      (const char *[]){imp_answer_text(image, "image"), imp_answer_text(image, "name"),
                                       imp_answer_text(image, "version"), imp_answer_text(image, "factory"),
                                       imp_answer_text(image, "state"),
                                       imp_answer_true(image, "content") ? "here" : "missing", passed, open,
                                       unknown, failed, units});
    }
    imp_table_print(&table, cli->env->out);
    imp_table_done(&table);
    return TRUE;
}

/* Sends a file's bytes as they are; the answer becomes the result. */
static gboolean send_file(ImpCli *cli, const char *method, const char *path, GBytes *file, GError **error)
{
    g_autoptr(ImpHttpClient) client = imp_remote_cloud(cli, error);
    json_t *answer = client != NULL ? imp_remote_send(client, method, path, file, error) : NULL;
    if (answer == NULL)
        return FALSE;
    json_object_update(cli->result, answer);
    json_decref(answer);
    return TRUE;
}

/* The share that the statement names, from the file beside it, once. */
static gboolean send_share(ImpCli *cli, GError **error)
{
    if (strcmp(imp_answer_text(cli->result, "share"), "missing") != 0)
        return TRUE;
    g_autofree char *file = imp_file_beside(cli->arguments[0], ".statement", ".share");
    g_autofree char *path = g_strdup_printf("/v1/images/%s/share", imp_answer_text(cli->result, "image"));
    guint8 *share = g_malloc(32);
    if (!imp_file_read_share(file, share, error)) {
        g_free(share);
        g_prefix_error(error,
                       "the image is registered, but its cloud needs the share that sealing wrote beside "
                       "it: ");
        return FALSE;
    }
    g_autoptr(GBytes) body = g_bytes_new_take(share, 32);
    gboolean done = send_file(cli, "PUT", path, body, error);
    explicit_bzero(share, 32);
    return done;
}

gboolean imp_command_cloud_image_register(ImpCli *cli, GError **error)
{
    g_autoptr(GBytes) statement = imp_file_read(cli->arguments[0], IMP_STATEMENT_MAX, error);
    gboolean done =
        statement != NULL && send_file(cli, "POST", "/v1/images", statement, error) && send_share(cli, error);
    return say(cli, done, "registered JOB %s (%s), %s", imp_answer_text(cli->result, "image"),
               imp_answer_text(cli->result, "name"), imp_answer_text(cli->result, "state"));
}

gboolean imp_command_cloud_image_upload(ImpCli *cli, GError **error)
{
    g_autoptr(GBytes) file = imp_file_read(cli->arguments[0], IMP_IMAGE_FILE_MAX, error);
    if (file == NULL)
        return FALSE;
    g_autoptr(ImpClear) clear = imp_clear_read(file, error);
    if (clear == NULL) {
        g_prefix_error(error, "%s: ", cli->arguments[0]);
        return FALSE;
    }
    char id[IMP_ID_TEXT_SIZE];
    g_autofree char *path = g_strdup_printf("/v1/images/%s/content", imp_id_text(&clear->id, id));
    g_autofree char *size = imp_print_size(g_bytes_get_size(file));
    return say(cli, send_file(cli, "PUT", path, file, error),
               "uploaded %s of JOB %s; the stations of factory %s fetch it", size, id, clear->factory);
}

static gboolean act_on_image(ImpCli *cli, const char *verb, const char *what, GError **error)
{
    g_autofree char *id = find_id(cli, "/v1/images", "images", "image", error);
    return say_effect(cli, id != NULL && act(cli, "/v1/images", id, verb, error), what);
}

gboolean imp_command_cloud_image_pause(ImpCli *cli, GError **error)
{
    return act_on_image(cli, "pause", "paused", error);
}

gboolean imp_command_cloud_image_resume(ImpCli *cli, GError **error)
{
    g_autofree char *id = find_id(cli, "/v1/images", "images", "image", error);
    return say(cli, id != NULL && act(cli, "/v1/images", id, "resume", error), "resumed");
}

gboolean imp_command_cloud_image_disable(ImpCli *cli, GError **error)
{
    if (!imp_cli_confirm(cli, "Nobody can undo this. Disable the image for ever?")) {
        imp_error_set(error, IMP_E_CANCELLED, "not disabled");
        return FALSE;
    }
    return act_on_image(cli, "disable", "disabled for ever", error);
}
