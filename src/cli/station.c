/* imprint station …: everything but launching. */
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "image/clear.h"
#include "image/keys.h"
#include "image/numbers.h"

#include <string.h>

#define LOG_PAGE      1000
#define LOG_LINES_MAX 1000000

/* One call; the answer becomes the result. FALSE with error. */
static gboolean fetch(ImpCli *cli, const char *method, const json_t *body, const char *path, GError **error)
{
    g_autoptr(ImpHttpClient) client = imp_remote_station(cli, error);
    if (client == NULL)
        return FALSE;
    json_t *answer = imp_http_call_json(client, method, path, body, error);
    if (answer == NULL)
        return FALSE;
    json_object_update(cli->result, answer);
    json_decref(answer);
    return TRUE;
}

static void print_images(FILE *out, const json_t *images)
{
    static const char *const columns[] = {"image", "kind", "name", "version", "usable", "count"};
    ImpTable table;
    imp_table_init(&table, columns, G_N_ELEMENTS(columns));
    gsize i;
    const json_t *image;
    json_array_foreach(images, i, image)
    {
        g_autofree char *counts = imp_progress_counts(json_object_get(image, "counts"));
        const json_t *reason = json_object_get(image, "reason");
        g_autofree char *usable = imp_answer_true(image, "usable")
                                      ? g_strdup("yes")
                                      : g_strdup_printf("no: E%d %s", (int)imp_answer_number(reason, "code"),
                                                        imp_answer_text(reason, "name"));
        imp_table_add(&table, (const char *[]){imp_answer_text(image, "id"), imp_answer_text(image, "kind"),
                                               imp_answer_text(image, "name"),
                                               imp_answer_text(image, "version"), usable, counts});
    }
    imp_table_print(&table, out);
    imp_table_done(&table);
}

static void print_ports(FILE *out, const json_t *ports)
{
    static const char *const columns[] = {"port", "position", "probe", "state", "last"};
    ImpTable table;
    imp_table_init(&table, columns, G_N_ELEMENTS(columns));
    gsize i;
    const json_t *port;
    json_array_foreach(ports, i, port) imp_table_add(
        &table, (const char *[]){imp_answer_text(port, "name"), imp_answer_text(port, "position"),
                                 imp_answer_text(port, "probe"), imp_answer_text(port, "state"),
                                 imp_answer_text(json_object_get(port, "launch"), "state")});
    imp_table_print(&table, out);
    imp_table_done(&table);
}

gboolean imp_command_station_status(ImpCli *cli, GError **error)
{
    if (!fetch(cli, "GET", NULL, "/v1/status", error))
        return FALSE;
    if (cli->json)
        return TRUE;
    FILE *out = cli->env->out;
    const json_t *cloud = json_object_get(cli->result, "cloud");
    fprintf(out, "station %s, version %s, start %" G_GINT64_FORMAT "%s\n",
            imp_answer_text(cli->result, "name"), imp_answer_text(cli->result, "version"),
            imp_answer_number(cli->result, "start"),
            imp_answer_true(cli->result, "stopping") ? ", stopping" : "");
    fprintf(out, "cloud   %s %s\n", cloud != NULL ? imp_answer_text(cloud, "state") : "none",
            imp_answer_text(cloud, "url"));
    gint64 waiting = imp_answer_number(cloud, "reports_waiting");
    if (waiting > 0)
        fprintf(out, "        %" G_GINT64_FORMAT " report%s for the cloud\n", waiting,
                waiting == 1 ? " waits" : "s wait");
    fputc('\n', out);
    print_ports(out, json_object_get(cli->result, "ports"));
    fputc('\n', out);
    print_images(out, json_object_get(cli->result, "images"));
    return TRUE;
}

gboolean imp_command_station_images(ImpCli *cli, GError **error)
{
    if (!fetch(cli, "GET", NULL, "/v1/images", error))
        return FALSE;
    if (!cli->json)
        print_images(cli->env->out, json_object_get(cli->result, "images"));
    return TRUE;
}

/* The numbers that the station will give for this SAP, which is loaded whatever the answer here. */
static void tell_numbers(const ImpCli *cli, ImpHttpClient *client)
{
    json_t *image =
        imp_remote_json(client, "GET", NULL, NULL, "/v1/images/%s", imp_answer_text(cli->result, "id"));
    const json_t *content = json_object_get(image, "content");
    const json_t *numbers = json_object_get(json_object_get(content, "restrictions"), "numbers");
    gsize i;
    const json_t *range;
    if (numbers != NULL)
        json_object_set(cli->result, "numbers", (json_t *)numbers);
    if (!cli->json)
        json_array_foreach(numbers, i, range)
            fprintf(cli->env->out, "  numbers %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT ", as pool %s\n",
                    imp_answer_number(range, "first"), imp_answer_number(range, "last"),
                    imp_answer_text(range, "pool"));
    if (numbers != NULL && !cli->json)
        fprintf(cli->env->out, "  %s\n", IMP_NUMBERS_WARNING);
    json_decref(image);
}

gboolean imp_command_station_load(ImpCli *cli, GError **error)
{
    g_autoptr(GBytes) file = imp_file_read(cli->arguments[0], IMP_IMAGE_FILE_MAX, error);
    if (file == NULL)
        return FALSE;
    /* seen here first, so that a wrong file is refused without a station, and with the file's name */
    g_autoptr(ImpClear) clear = imp_clear_read(file, error);
    if (clear == NULL) {
        g_prefix_error(error, "%s: ", cli->arguments[0]);
        return FALSE;
    }
    g_autoptr(ImpHttpClient) client = imp_remote_station(cli, error);
    if (client == NULL)
        return FALSE;
    json_t *answer = imp_remote_send(client, "POST", "/v1/images", file, error);
    if (answer == NULL)
        return FALSE;
    json_object_update(cli->result, answer);
    json_decref(answer);
    if (!cli->json) {
        fprintf(cli->env->out, "loaded %s %s (%s)\n", imp_answer_text(cli->result, "kind"),
                imp_answer_text(cli->result, "id"), imp_answer_text(cli->result, "name"));
        g_autoptr(GError) reason = imp_progress_error(json_object_get(cli->result, "reason"));
        if (reason != NULL)
            imp_print_error(cli->env->out, FALSE, "it cannot be launched yet", reason);
    }
    if (clear->kind == IMP_IMAGE_SAP)
        tell_numbers(cli, client);
    return TRUE;
}

gboolean imp_command_station_delete(ImpCli *cli, GError **error)
{
    g_autoptr(ImpHttpClient) client = imp_remote_station(cli, error);
    if (client == NULL)
        return FALSE;
    g_autofree char *id = imp_remote_find_id(client, "/v1/images", "images", "id", cli->arguments[0], error);
    if (id == NULL)
        return FALSE;
    json_t *answer = imp_remote_json(client, "DELETE", NULL, error, "/v1/images/%s", id);
    if (answer == NULL)
        return FALSE;
    json_decref(answer);
    json_object_set_new(cli->result, "id", json_string(id));
    if (!cli->json)
        fprintf(cli->env->out, "deleted %s; its counts stay\n", id);
    return TRUE;
}

/* The ID of the launch on the port of this name; words itself when there is no such port. Free with g_free. */
static char *launch_on(ImpHttpClient *client, const char *words, GError **error)
{
    json_t *status = imp_remote_json(client, "GET", NULL, error, "/v1/status");
    if (status == NULL)
        return NULL;
    char *id = NULL;
    gboolean found = FALSE;
    gsize i;
    const json_t *port;
    json_array_foreach(json_object_get(status, "ports"), i, port)
    {
        if (strcmp(imp_answer_text(port, "name"), words) != 0)
            continue;
        found = TRUE;
        if (strcmp(imp_answer_text(port, "state"), "busy") == 0)
            id = g_strdup(imp_answer_text(json_object_get(port, "launch"), "launch"));
    }
    json_decref(status);
    if (found && id == NULL)
        imp_error_set(error, IMP_E_STATE, "nothing runs on port %s", words);
    return found ? id : g_strdup(words);
}

gboolean imp_command_station_cancel(ImpCli *cli, GError **error)
{
    g_autoptr(ImpHttpClient) client = imp_remote_station(cli, error);
    g_autofree char *id = client != NULL ? launch_on(client, cli->arguments[0], error) : NULL;
    if (id == NULL)
        return FALSE;
    g_autofree char *escaped = imp_http_escape(id);
    json_t *answer = imp_remote_json(client, "POST", NULL, error, "/v1/launches/%s/cancel", escaped);
    if (answer == NULL)
        return FALSE;
    json_object_update(cli->result, answer);
    json_decref(answer);
    if (!cli->json)
        fputs("told; it ends as soon as the target allows\n", cli->env->out);
    return TRUE;
}

/* Adds one page of the log to records, without returned permits unless all are wanted; sets *after to the next page's cursor.
 * Returns how many lines the page had, or -1. */
static gssize log_page(ImpHttpClient *client, const char *image, gboolean all, gint64 *after, guint limit,
                       json_t *records, GError **error)
{
    g_autofree char *escaped = imp_http_escape(image);
    g_autofree char *path = g_strdup_printf("/v1/log?format=jsonl&after=%" G_GINT64_FORMAT "&limit=%u%s%s",
                                            *after, limit, image[0] != '\0' ? "&image=" : "", escaped);
    ImpHttpCall call = {.method = "GET", .path = path};
    g_autoptr(ImpHttpAnswer) answer = NULL;
    if (!imp_http_call(client, &call, &answer, error) || !imp_http_answer_check(answer, error))
        return -1;
    gsize n_bytes;
    const char *text = g_bytes_get_data(answer->body, &n_bytes);
    g_autofree char *copy = g_strndup(text != NULL ? text : "", n_bytes);
    g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);
    gssize n = 0;
    for (gsize i = 0; lines[i] != NULL; i++) {
        if (lines[i][0] == '\0')
            continue;
        json_t *record = json_loads(lines[i], JSON_REJECT_DUPLICATES, NULL);
        if (record == NULL) {
            imp_error_set(error, IMP_E_SYNTAX, "line %" G_GSIZE_FORMAT " of the station's log is no JSON",
                          i + 1);
            return -1;
        }
        *after = imp_answer_number(record, "cursor");
        if (all || !imp_progress_is_returned(record))
            json_array_append(records, record);
        json_decref(record);
        n++;
    }
    return n;
}

/* "serial MB-000001" is what people look for: the texts of all numbers. Free with g_free. */
static char *numbers_text(const json_t *record)
{
    GString *text = g_string_new("");
    gsize i;
    const json_t *number;
    json_array_foreach(json_object_get(record, "numbers"), i, number)
        g_string_append_printf(text, "%s%s", i > 0 ? " " : "", imp_answer_text(number, "text"));
    return g_string_free(text, FALSE);
}

static void log_table(ImpTable *table, const json_t *records, gboolean csv)
{
    static const char *const columns[] = {">unit", "time",  "port",  ">duration", "result", "serial",
                                          "uid",   "order", "error", "image",     "rework"};
    imp_table_init(table, columns, G_N_ELEMENTS(columns));
    gsize i;
    const json_t *record;
    json_array_foreach(records, i, record)
    {
        g_autofree char *unit = g_strdup_printf("%" G_GINT64_FORMAT, imp_answer_number(record, "cursor"));
        gint64 began_us = imp_answer_number(record, "began_real_us"),
               duration_us = imp_answer_number(record, "duration_ms") * 1000;
        g_autofree char *time = csv ? imp_print_time_utc(began_us) : imp_print_time(began_us, NULL);
        g_autofree char *duration = csv ? imp_print_seconds(duration_us) : imp_print_duration(duration_us);
        g_autofree char *numbers = numbers_text(record);
        const ImpErrorEntry *entry = imp_error_entry((int)imp_answer_number(record, "code"));
        g_autofree char *code =
            entry != NULL ? g_strdup_printf("E%d %s", entry->code, entry->name) : g_strdup("");
        imp_table_add(table, (const char *[]){
                                 unit, time, imp_answer_text(record, "port"), duration,
                                 imp_answer_text(record, "result"), numbers, imp_answer_text(record, "uid"),
                                 imp_answer_text(record, "order"), code, imp_answer_text(record, "image"),
                                 imp_answer_true(record, "rework") ? "yes" : ""});
    }
}

gboolean imp_command_station_log(ImpCli *cli, GError **error)
{
    guint64 limit = LOG_LINES_MAX;
    if (imp_cli_has(cli, IMP_OPTION_LIMIT) && !imp_cli_number(cli, IMP_OPTION_LIMIT, &limit, error))
        return FALSE;
    g_autoptr(ImpHttpClient) client = imp_remote_station(cli, error);
    if (client == NULL)
        return FALSE;
    json_t *records = json_array();
    json_object_set_new(cli->result, "records", records);
    const char *image = imp_cli_has(cli, IMP_OPTION_IMAGE) ? cli->values[IMP_OPTION_IMAGE] : "";
    gboolean all = imp_cli_has(cli, IMP_OPTION_ALL);
    gint64 after = 0;
    for (gssize n = 1; n > 0 && json_array_size(records) < limit;) {
        guint page = (guint)MIN(limit - json_array_size(records), (guint64)LOG_PAGE);
        n = log_page(client, image, all, &after, page, records, error);
        if (n < 0)
            return FALSE;
    }
    ImpTable table;
    log_table(&table, records, imp_cli_has(cli, IMP_OPTION_CSV));
    gboolean done = imp_file_print_table(cli, &table, error);
    imp_table_done(&table);
    return done;
}

static void print_keys(FILE *out, const json_t *keys)
{
    const json_t *sealing = json_object_get(keys, "sealing");
    fprintf(out, "sealing key  %s\n%s", imp_answer_text(sealing, "fingerprint"),
            imp_answer_text(sealing, "public_key"));
    gsize i;
    const json_t *granted;
    json_array_foreach(json_object_get(keys, "granted"), i, granted)
        fprintf(out, "image key    %s\n", imp_answer_text(granted, "id"));
}

gboolean imp_command_station_keys(ImpCli *cli, GError **error)
{
    if (!fetch(cli, "GET", NULL, "/v1/keys", error))
        return FALSE;
    if (!cli->json)
        print_keys(cli->env->out, cli->result);
    return TRUE;
}

gboolean imp_command_station_keys_add(ImpCli *cli, GError **error)
{
    g_autoptr(GBytes) grant = imp_file_read(cli->arguments[0], IMP_KEY_FILE_MAX, error);
    g_autoptr(ImpHttpClient) client = grant != NULL ? imp_remote_station(cli, error) : NULL;
    json_t *answer = client != NULL ? imp_remote_send(client, "POST", "/v1/keys", grant, error) : NULL;
    if (answer == NULL)
        return FALSE;
    json_object_update(cli->result, answer);
    json_decref(answer);
    if (!cli->json)
        fprintf(cli->env->out, "granted image key %s\n", imp_answer_text(cli->result, "id"));
    return TRUE;
}

/* DELETE of something that is named by a key's ID. */
static gboolean remove_key(ImpCli *cli, const char *folder, const char *said, GError **error)
{
    ImpKeyId id;
    if (!imp_key_id_parse(cli->arguments[0], &id)) {
        imp_error_set(error, IMP_E_ARGUMENT, "'%s' is no key ID: 64 lower-case hexadecimal digits",
                      cli->arguments[0]);
        return FALSE;
    }
    g_autofree char *path = g_strdup_printf("%s/%s", folder, cli->arguments[0]);
    if (!fetch(cli, "DELETE", NULL, path, error))
        return FALSE;
    if (!cli->json)
        fprintf(cli->env->out, "%s\n", said);
    return TRUE;
}

gboolean imp_command_station_keys_remove(ImpCli *cli, GError **error)
{
    return remove_key(cli, "/v1/keys", "deleted; images that need it are blocked", error);
}

gboolean imp_command_station_trust(ImpCli *cli, GError **error)
{
    if (!fetch(cli, "GET", NULL, "/v1/trust", error))
        return FALSE;
    if (cli->json)
        return TRUE;
    gsize i;
    const json_t *author;
    json_array_foreach(json_object_get(cli->result, "authors"), i, author)
        fprintf(cli->env->out, "%s  %s%s\n", imp_answer_text(author, "id"), imp_answer_text(author, "name"),
                strcmp(imp_answer_text(author, "by"), "account") == 0 ? ", by the account's list" : "");
    return TRUE;
}

gboolean imp_command_station_trust_add(ImpCli *cli, GError **error)
{
    g_autoptr(ImpKey) key = imp_key_load(cli->arguments[0], error);
    if (key == NULL)
        return FALSE;
    g_autofree char *pem = imp_key_public_pem(key);
    g_autofree char *name = imp_cli_has(cli, IMP_OPTION_NAME) ? g_strdup(cli->values[IMP_OPTION_NAME])
                                                              : imp_file_stem(cli->arguments[0]);
    json_t *body = json_pack("{s:s, s:s}", "name", name, "public_key", pem);
    gboolean done = body != NULL && fetch(cli, "POST", body, "/v1/trust", error);
    json_decref(body);
    if (done && !cli->json)
        fprintf(cli->env->out, "author %s (%s) is trusted\n", name, imp_answer_text(cli->result, "id"));
    return done;
}

gboolean imp_command_station_trust_remove(ImpCli *cli, GError **error)
{
    return remove_key(cli, "/v1/trust", "trusted no longer; the author's images are blocked", error);
}

gboolean imp_command_station_enrol(ImpCli *cli, GError **error)
{
    /* The code is good for one use and names no secret but itself; a file keeps it off the command line all the same. */
    const char *path = imp_cli_has(cli, IMP_OPTION_CODE_FILE) ? cli->values[IMP_OPTION_CODE_FILE] : "-";
    char *code =
        cli->n_arguments > 0 ? g_strdup(cli->arguments[0]) : imp_file_read_secret(cli->env->in, path, error);
    if (code == NULL)
        return FALSE;
    json_t *body = json_pack("{s:s}", "code", code);
    if (imp_cli_has(cli, IMP_OPTION_NAME))
        json_object_set_new(body, "name", json_string(cli->values[IMP_OPTION_NAME]));
    gboolean done = fetch(cli, "POST", body, "/v1/enrol", error);
    json_decref(body);
    imp_file_free_secret(code);
    if (done && !cli->json)
        fprintf(cli->env->out, "enrolled at %s, %s\n", imp_answer_text(cli->result, "url"),
                imp_answer_text(cli->result, "state"));
    return done;
}
