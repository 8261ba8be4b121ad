/* imprint cloud log: the records of all stations, as a table, CSV or JSON. */
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/progress.h"
#include "cli/remote.h"

#define PAGE      1000
#define LINES_MAX 1000000

/* Adds up to limit records to the result's; FALSE with error. */
static gboolean read_all(ImpCli *cli, json_t *records, guint64 limit, GError **error)
{
    g_autoptr(ImpHttpClient) client = imp_remote_cloud(cli, error);
    if (client == NULL)
        return FALSE;
    const char *image = imp_cli_has(cli, IMP_OPTION_IMAGE) ? cli->values[IMP_OPTION_IMAGE] : "";
    g_autofree char *escaped = imp_http_escape(image);
    gboolean all = imp_cli_has(cli, IMP_OPTION_ALL);
    gint64 cursor = 0;
    while (json_array_size(records) < limit) {
        guint page = (guint)MIN(limit - json_array_size(records), (guint64)PAGE);
        json_t *answer =
            imp_remote_json(client, "GET", NULL, error,
                            "/v1/log?format=json&order=oldest&limit=%u&cursor=%" G_GINT64_FORMAT "%s%s", page,
                            cursor, image[0] != '\0' ? "&image=" : "", escaped);
        if (answer == NULL)
            return FALSE;
        json_t *some = json_object_get(answer, "records");
        gsize n = json_array_size(some);
        cursor = imp_answer_number(answer, "cursor");
        gsize i;
        json_t *record;
        json_array_foreach(some, i,
                           record) if (all || !imp_progress_is_returned(json_object_get(record, "report")))
            json_array_append(records, record);
        json_decref(answer);
        if (n == 0)
            break;
    }
    return TRUE;
}

static void add_row(ImpTable *table, const json_t *record, gboolean csv)
{
    const json_t *report = json_object_get(record, "report"), *number;
    g_autofree char *unit = g_strdup_printf("%" G_GINT64_FORMAT, imp_answer_number(record, "record"));
    gint64 began_us = imp_answer_number(report, "began_real_us"),
           duration_us = imp_answer_number(report, "duration_ms") * 1000;
    if (began_us == 0) /* lost: the station does not know */
        began_us = imp_answer_number(record, "received_us");
    g_autofree char *time = csv ? imp_print_time_utc(began_us) : imp_print_time(began_us, NULL);
    g_autofree char *duration = csv ? imp_print_seconds(duration_us) : imp_print_duration(duration_us);
    const ImpErrorEntry *entry = imp_error_entry((int)imp_answer_number(report, "code"));
    g_autofree char *code =
        entry != NULL ? g_strdup_printf("E%d %s", entry->code, entry->name) : g_strdup("");
    g_autoptr(GString) serial = g_string_new("");
    g_autoptr(GString) note = g_string_new(code);
    gsize i;
    json_array_foreach(json_object_get(report, "numbers"), i, number)
        g_string_append_printf(serial, "%s%s", i > 0 ? " " : "", imp_answer_text(number, "text"));
    static const char *const marks[] = {"rework", "conflict", "after_settlement"};
    for (i = 0; i < G_N_ELEMENTS(marks); i++)
        if (imp_answer_true(record, marks[i]))
            g_string_append_printf(note, "%s%s", note->len > 0 ? ", " : "", marks[i]);
    const char *station = imp_answer_text(record, "station_name");
    imp_table_add(
        table, (const char *[]){unit, time, station[0] != '\0' ? station : imp_answer_text(record, "station"),
                                imp_answer_text(report, "port"), duration, imp_answer_text(report, "result"),
                                serial->str, imp_answer_text(report, "uid"), imp_answer_text(report, "order"),
                                note->str});
}

gboolean imp_command_cloud_log(ImpCli *cli, GError **error)
{
    static const char *const columns[] = {">unit",  "time",   "station", "port",  ">duration",
                                          "result", "serial", "uid",     "order", "note"};
    guint64 limit = LINES_MAX;
    if (imp_cli_has(cli, IMP_OPTION_LIMIT) && !imp_cli_number(cli, IMP_OPTION_LIMIT, &limit, error))
        return FALSE;
    json_t *records = json_array(), *record;
    json_object_set_new(cli->result, "records", records);
    if (!read_all(cli, records, limit, error))
        return FALSE;
    ImpTable table;
    imp_table_init(&table, columns, G_N_ELEMENTS(columns));
    gsize i;
    json_array_foreach(records, i, record) add_row(&table, record, imp_cli_has(cli, IMP_OPTION_CSV));
    gboolean done = imp_file_print_table(cli, &table, error);
    imp_table_done(&table);
    return done;
}
