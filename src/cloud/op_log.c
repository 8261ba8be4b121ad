/* Records, open launches, alarms, audit: what happened. */
#include <string.h>

#include "base/json.h"
#include "cloud/job.h"
#include "wire/codec.h"

#define LOG_DEFAULT  100
#define FILE_DEFAULT IMP_LEDGER_LIST_MAX

enum { FORMAT_JSON = 2, FORMAT_CSV, FORMAT_LINES };

/* ---- open launches ---- */

static gboolean parse_launches(ImpCloud *cloud, Job *job, GError **error)
{
    return query_id(job->request, "image", &job->query.has_image, &job->query.image, error);
}

static json_t *numbers_json(const ImpNumber *numbers, guint32 n_numbers)
{
    json_t *list = json_array();
    for (guint32 i = 0; i < n_numbers; i++)
        json_array_append_new(list, imp_number_encode(&numbers[i], NULL));
    return list;
}

static gboolean run_launches(ImpCloud *cloud, Job *job, GError **error)
{
    if (job->query.has_image && !own_image(cloud, job, &job->query.image, error))
        return FALSE;
    g_autoptr(GArray) open =
        imp_ledger_open_launches(cloud->ledger, job->query.has_image ? &job->query.image : NULL, error);
    if (open == NULL)
        return FALSE;
    json_t *list = json_array();
    for (guint i = 0; i < open->len; i++) {
        const ImpLedgerOpen *o = &g_array_index(open, ImpLedgerOpen, i);
        json_array_append_new(list, json_pack("{s:o,s:o,s:o,s:s,s:s,s:s,s:I,s:b,s:b,s:o}", "launch",
                                              json_id(&o->launch), "image", json_id(&o->image), "station",
                                              json_id(&o->station), "port", o->port, "order", o->order,
                                              "person", o->person, "granted_us", (json_int_t)o->granted_us,
                                              "settled", o->settled, "in_doubt", o->in_doubt, "numbers",
                                              numbers_json(o->numbers, o->n_numbers)));
    }
    job->answer = json_pack("{s:o}", "launches", list);
    return TRUE;
}

/* ---- settle ---- */

static gboolean parse_settle(ImpCloud *cloud, Job *job, GError **error)
{
    if (!imp_id_parse(imp_http_request_param(job->request, "station"), &job->station) ||
        !imp_id_parse(imp_http_request_param(job->request, "launch"), &job->id)) {
        imp_error_set(error, IMP_E_HTTP_REQUEST,
                      "station and launch are IDs: 32 lower-case hexadecimal digits");
        return FALSE;
    }
    return parse_body(cloud, job, error);
}

static gboolean run_settle(ImpCloud *cloud, Job *job, GError **error)
{
    ImpJson r;
    imp_json_begin(&r, job->body, "request", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    imp_json_string(&r, "reason", 1, IMP_LEDGER_REASON_SIZE - 1);
    ImpAct act = {.person = job->email, .reason = body_reason(job)};
    return imp_json_end(&r, error) && own_station(cloud, job, &job->station, error) &&
           imp_ledger_settle(cloud->ledger, &job->station, &job->id, &act, error);
}

/* ---- the log ---- */

static gboolean parse_word(const Job *job, const char *name, const char *const *words, guint *out,
                           GError **error)
{
    const char *text = imp_http_request_query(job->request, name);
    if (text == NULL)
        return TRUE;
    for (guint i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0) {
            *out = i;
            return TRUE;
        }
    imp_error_set(error, IMP_E_HTTP_REQUEST, "query: %s cannot be '%.40s'", name, text);
    return FALSE;
}

static gboolean parse_log(ImpCloud *cloud, Job *job, GError **error)
{
    static const char *const formats[] = {"json", "csv", "jsonl", NULL};
    static const char *const orders[] = {"oldest", "newest", NULL};
    ImpLedgerLogQuery *q = &job->query;
    guint format = 0, order = 0;
    guint64 limit = 0, from_us = 0, to_us = 0;
    const char *result = imp_http_request_query(job->request, "result");
    if (!parse_word(job, "format", formats, &format, error) ||
        !parse_word(job, "order", orders, &order, error) ||
        !query_u64(job->request, "cursor", 0, G_MAXINT64, NULL, &q->cursor, error) ||
        !query_u64(job->request, "limit", 1, IMP_LEDGER_LIST_MAX, NULL, &limit, error) ||
        !query_u64(job->request, "from_us", 0, G_MAXINT64, NULL, &from_us, error) ||
        !query_u64(job->request, "to_us", 0, G_MAXINT64, NULL, &to_us, error) ||
        !query_id(job->request, "image", &q->has_image, &q->image, error) ||
        !query_id(job->request, "station", &q->has_station, &q->station, error) ||
        !query_id(job->request, "launch", &q->has_launch, &q->launch, error))
        return FALSE;
    q->has_result = result != NULL;
    if (result != NULL && !imp_result_parse(result, &q->result)) {
        imp_error_set(error, IMP_E_HTTP_REQUEST, "query: there is no result '%.40s'", result);
        return FALSE;
    }
    job->format = FORMAT_JSON + format;
    q->newest_first = order == 1;
    q->from_us = (gint64)from_us;
    q->to_us = (gint64)to_us;
    q->limit = limit != 0 ? (guint32)limit : format == 0 ? LOG_DEFAULT : FILE_DEFAULT;
    return TRUE;
}

/* The name of a station or an image; "" if it has none. Free with g_free. */
static char *name_of(ImpCloud *cloud, const char *sql_text, const ImpId *id)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(cloud->db, NULL, sql_text, "b", id, (gsize)IMP_ID_BYTES);
    return g_strdup(sql != NULL && imp_query_step(sql, NULL) == 1 ? imp_query_text(sql, 0) : "");
}

#define STATION_NAME "SELECT name FROM cloud_station WHERE id = ?"
#define IMAGE_NAME   "SELECT name FROM cloud_image WHERE id = ?"

static json_t *record_json(ImpCloud *cloud, const ImpLedgerLogEntry *e, GError **error)
{
    json_t *report = imp_report_encode(&e->report, error);
    if (report == NULL)
        return NULL;
    g_autofree char *station = name_of(cloud, STATION_NAME, &e->station);
    g_autofree char *image = name_of(cloud, IMAGE_NAME, &e->report.image);
    return json_pack("{s:I,s:o,s:s,s:s,s:I,s:b,s:b,s:b,s:o}", "record", (json_int_t)e->record, "station",
                     json_id(&e->station), "station_name", station, "image_name", image, "received_us",
                     (json_int_t)e->received_us, "rework", e->rework, "conflict", e->conflict,
                     "after_settlement", e->after_settlement, "report", report);
}

/* One CSV field (RFC 4180). */
static void add_field(GString *out, const char *text)
{
    if (out->len > 0 && out->str[out->len - 1] != '\n')
        g_string_append_c(out, ',');
    if (strpbrk(text, ",\"\r\n") == NULL && text[0] != '\0') {
        g_string_append(out, text);
        return;
    }
    g_string_append_c(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            g_string_append_c(out, '"');
        g_string_append_c(out, *text);
    }
    g_string_append_c(out, '"');
}

static void add_number(GString *out, guint64 number)
{
    char text[24];
    g_snprintf(text, sizeof text, "%" G_GUINT64_FORMAT, number);
    add_field(out, text);
}

static void add_hex(GString *out, const guint8 *bytes, gsize n_bytes)
{
    g_autofree char *text = imp_hex_encode(bytes, n_bytes);
    add_field(out, text);
}

static void add_time(GString *out, gint64 us)
{
    g_autoptr(GDateTime) seconds = g_date_time_new_from_unix_utc(us / G_USEC_PER_SEC);
    g_autofree char *text =
        us != 0 && seconds != NULL ? g_date_time_format(seconds, "%Y-%m-%dT%H:%M:%S") : NULL;
    g_autofree char *whole =
        text != NULL ? g_strdup_printf("%s.%06dZ", text, (int)(us % G_USEC_PER_SEC)) : g_strdup("");
    add_field(out, whole);
}

/* "t2-serial=MB-000042;acme=7" */
static void add_numbers(GString *out, const ImpReport *report)
{
    g_autoptr(GString) all = g_string_new(NULL);
    for (guint32 i = 0; i < report->n_numbers; i++)
        g_string_append_printf(all, "%s%s=%s", i > 0 ? ";" : "", report->numbers[i].pool,
                               report->numbers[i].text);
    add_field(out, all->str);
}

static void add_reads(GString *out, const ImpReport *report)
{
    g_autoptr(GString) all = g_string_new(NULL);
    for (guint32 i = 0; i < report->n_reads; i++) {
        g_autofree char *hex = imp_hex_encode(report->reads[i].bytes, report->reads[i].n_bytes);
        g_string_append_printf(all, "%s%s=%s", i > 0 ? ";" : "", report->reads[i].name,
                               report->reads[i].n_bytes > 0 ? hex : IMP_WIRE_REDACTED);
    }
    add_field(out, all->str);
}

static const char csv_header[] =
    "record,received,station,station_name,image,image_name,launch,port,order,person,result,"
    "began,duration_ms,code,error,step,address,expected,found,uid,numbers,reads,rework,"
    "conflict,after_settlement\r\n";

static void add_csv(ImpCloud *cloud, GString *out, const ImpLedgerLogEntry *e)
{
    const ImpReport *r = &e->report;
    const ImpErrorEntry *error = r->code != 0 ? imp_error_entry(r->code) : NULL;
    g_autofree char *station = name_of(cloud, STATION_NAME, &e->station);
    g_autofree char *image = name_of(cloud, IMAGE_NAME, &r->image);
    char id[IMP_ID_TEXT_SIZE], address[24] = "";
    add_number(out, e->record);
    add_time(out, e->received_us);
    add_field(out, imp_id_text(&e->station, id));
    add_field(out, station);
    add_field(out, imp_id_text(&r->image, id));
    add_field(out, image);
    add_field(out, imp_id_text(&r->launch, id));
    add_field(out, r->port);
    add_field(out, r->order);
    add_field(out, r->person);
    add_field(out, imp_result_name(r->result));
    add_time(out, r->began_real_us);
    add_number(out, r->duration_ms);
    add_number(out, (guint64)r->code);
    add_field(out, error != NULL ? error->name : "");
    add_field(out, r->detail.step);
    if (r->detail.has_address)
        g_snprintf(address, sizeof address, "0x%08" G_GINT64_MODIFIER "x", r->detail.address);
    add_field(out, address);
    add_hex(out, r->detail.expected, r->detail.expected_bytes);
    add_hex(out, r->detail.found, r->detail.found_bytes);
    add_hex(out, r->uid, r->n_uid);
    add_numbers(out, r);
    add_reads(out, r);
    add_number(out, e->rework);
    add_number(out, e->conflict);
    add_number(out, e->after_settlement);
    g_string_append(out, "\r\n");
}

static gboolean answer_json(ImpCloud *cloud, Job *job, const GArray *entries, guint64 cursor, GError **error)
{
    json_t *list = json_array();
    job->answer = json_pack("{s:o,s:I}", "records", list, "cursor", (json_int_t)cursor);
    for (guint i = 0; i < entries->len; i++) {
        json_t *row = record_json(cloud, &g_array_index(entries, ImpLedgerLogEntry, i), error);
        if (row == NULL)
            return FALSE;
        json_array_append_new(list, row);
    }
    return TRUE;
}

static gboolean answer_text(ImpCloud *cloud, Job *job, const GArray *entries, guint64 cursor, GError **error)
{
    g_autoptr(GString) out = g_string_new(job->format == FORMAT_CSV ? csv_header : NULL);
    for (guint i = 0; i < entries->len; i++) {
        const ImpLedgerLogEntry *e = &g_array_index(entries, ImpLedgerLogEntry, i);
        if (job->format == FORMAT_CSV) {
            add_csv(cloud, out, e);
            continue;
        }
        json_t *row = record_json(cloud, e, error);
        if (row == NULL)
            return FALSE;
        g_autofree char *line = imp_json_text(row);
        json_decref(row);
        g_string_append_printf(out, "%s\n", line);
    }
    job->text = g_strndup(out->str, out->len);
    job->content_type = job->format == FORMAT_CSV ? "text/csv; charset=utf-8" : "application/jsonl";
    job->cursor = g_strdup_printf("%" G_GUINT64_FORMAT, cursor);
    return TRUE;
}

static gboolean run_log(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(GArray) entries = imp_ledger_log(cloud->ledger, &job->query, error);
    if (entries == NULL)
        return FALSE;
    guint64 cursor = entries->len > 0 ? g_array_index(entries, ImpLedgerLogEntry, entries->len - 1).record
                                      : job->query.cursor;
    return job->format == FORMAT_JSON ? answer_json(cloud, job, entries, cursor, error)
                                      : answer_text(cloud, job, entries, cursor, error);
}

/* ---- alarms and audit ---- */

static gboolean parse_cursor(ImpCloud *cloud, Job *job, GError **error)
{
    guint64 limit = LOG_DEFAULT;
    if (!query_u64(job->request, "cursor", 0, G_MAXINT64, NULL, &job->query.cursor, error) ||
        !query_u64(job->request, "limit", 1, IMP_LEDGER_LIST_MAX, NULL, &limit, error))
        return FALSE;
    job->query.limit = (guint32)limit;
    return TRUE;
}

static void add_id(json_t *row, const char *name, const ImpId *id)
{
    if (!imp_id_is_zero(id))
        json_object_set_new(row, name, json_id(id));
}

static gboolean run_alarms(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(GArray) alarms = imp_ledger_alarms(cloud->ledger, job->query.cursor, job->query.limit, error);
    if (alarms == NULL)
        return FALSE;
    json_t *list = json_array();
    guint64 cursor = job->query.cursor;
    for (guint i = 0; i < alarms->len; i++) {
        const ImpLedgerAlarm *a = &g_array_index(alarms, ImpLedgerAlarm, i);
        json_t *row = json_pack("{s:I,s:I,s:s,s:s}", "alarm", (json_int_t)a->alarm, "real_us",
                                (json_int_t)a->real_us, "kind", imp_alarm_name(a->kind), "text", a->text);
        add_id(row, "station", &a->station);
        add_id(row, "launch", &a->launch);
        add_id(row, "image", &a->image);
        json_array_append_new(list, row);
        cursor = a->alarm;
    }
    job->answer = json_pack("{s:o,s:I}", "alarms", list, "cursor", (json_int_t)cursor);
    return TRUE;
}

static gboolean run_audit(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(GArray) rows = imp_ledger_audit(cloud->ledger, job->query.cursor, job->query.limit, error);
    if (rows == NULL)
        return FALSE;
    json_t *list = json_array();
    guint64 cursor = job->query.cursor;
    for (guint i = 0; i < rows->len; i++) {
        const ImpLedgerAudit *a = &g_array_index(rows, ImpLedgerAudit, i);
        json_array_append_new(list,
                              json_pack("{s:I,s:I,s:s,s:s,s:s,s:s}", "row", (json_int_t)a->row, "real_us",
                                        (json_int_t)a->real_us, "person", a->person, "action", a->action,
                                        "subject", a->subject, "reason", a->reason));
        cursor = a->row;
    }
    job->answer = json_pack("{s:o,s:I}", "audit", list, "cursor", (json_int_t)cursor);
    return TRUE;
}

const Operation op_launches = {
    .name = "launches", .parse = parse_launches, .stages = {{STAGE_COMMIT, run_launches}}};
const Operation op_settle = {.name = "settle", .parse = parse_settle, .stages = {{STAGE_COMMIT, run_settle}}};
const Operation op_log = {.name = "log", .parse = parse_log, .stages = {{STAGE_COMMIT, run_log}}};
const Operation op_alarms = {.name = "alarms", .parse = parse_cursor, .stages = {{STAGE_COMMIT, run_alarms}}};
const Operation op_audit = {.name = "audit", .parse = parse_cursor, .stages = {{STAGE_COMMIT, run_audit}}};
