#include "ledger/core.h"

#include <string.h>

/* ---- reads in a column: reads = read*; read = u8 length, name; u8 length, bytes ---- */

static guint8 *pack_reads(const ImpReading *reads, guint32 n_reads, gsize *out_n_bytes)
{
    *out_n_bytes = 0;
    if (n_reads == 0)
        return NULL;
    GByteArray *out = g_byte_array_sized_new(n_reads * 32);
    for (guint32 i = 0; i < n_reads; i++) {
        guint8 n_name = (guint8)strlen(reads[i].name);
        g_byte_array_append(out, &n_name, 1);
        g_byte_array_append(out, (const guint8 *)reads[i].name, n_name);
        g_byte_array_append(out, &reads[i].n_bytes, 1);
        g_byte_array_append(out, reads[i].bytes, reads[i].n_bytes);
    }
    *out_n_bytes = out->len;
    return g_byte_array_free(out, FALSE);
}

static gboolean unpack_reads(const guint8 *bytes, gsize n_bytes, ImpReport *report)
{
    guint32 n = 0;
    gsize at = 0;
    while (at < n_bytes) {
        ImpReading read = {0};
        gsize n_name = bytes[at++];
        if (n == IMP_WIRE_READS_MAX || n_name >= sizeof read.name || n_bytes - at < n_name + 1)
            return FALSE;
        memcpy(read.name, bytes + at, n_name);
        at += n_name;
        read.n_bytes = bytes[at++];
        if (read.n_bytes > sizeof read.bytes || n_bytes - at < read.n_bytes)
            return FALSE;
        memcpy(read.bytes, bytes + at, read.n_bytes);
        at += read.n_bytes;
        report->reads[n++] = read;
    }
    report->n_reads = n;
    return TRUE;
}

/* ---- writing ---- */

void core_record_add(ImpLedger *ledger, const CoreRecord *record, const ImpReport *report)
{
    gsize n_numbers, n_reads;
    g_autofree guint8 *numbers = core_numbers_pack(report->numbers, report->n_numbers, &n_numbers);
    g_autofree guint8 *reads = pack_reads(report->reads, report->n_reads, &n_reads);
    const ImpErrorDetail *detail = &report->detail;
    imp_sql_run(
        &ledger->sql,
        "INSERT INTO record (station, launch, own, image, result, conflict, rework, after_settlement, "
        "received_us, seq, start_number, port, work_order, person, began_us, duration_ms, code, step, "
        "address, expected, found, uid, numbers, reads, "
        "link_waits, link_faults, link_errors, link_retries, link_hz, link_slowed_by) VALUES "
        "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, "
        "?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30)",
        "ididiiiiiiitttiiitnbbbbbiiiiii", record->station_ref, &report->launch, (gint64)record->own,
        &report->image, (gint64)report->result, (gint64)record->conflict, (gint64)record->rework,
        (gint64)record->after_settlement, core_now(ledger), (gint64)report->seq, (gint64)report->start_number,
        report->port, report->order, report->person, report->began_real_us, (gint64)report->duration_ms,
        (gint64)report->code, detail->step, detail->has_address, (gint64)detail->address,
        detail->expected_bytes > 0 ? detail->expected : NULL, (gsize)detail->expected_bytes,
        detail->found_bytes > 0 ? detail->found : NULL, (gsize)detail->found_bytes,
        report->n_uid > 0 ? report->uid : NULL, (gsize)report->n_uid, numbers, n_numbers, reads, n_reads,
        (gint64)report->link_waits, (gint64)report->link_faults, (gint64)report->link_errors,
        (gint64)report->link_retries, (gint64)report->link_hz, (gint64)report->link_slowed_by);
}

/* ---- reading ---- */

static guint8 read_bytes(const ImpRow *row, int column, guint8 *out, gsize cap)
{
    gsize n_bytes;
    const void *bytes = imp_row_blob(row, column, &n_bytes);
    n_bytes = MIN(n_bytes, cap);
    if (n_bytes > 0)
        memcpy(out, bytes, n_bytes);
    return (guint8)n_bytes;
}

static void read_report(const ImpRow *row, ImpReport *report)
{
    report->launch = imp_row_id(row, 8);
    report->image = imp_row_id(row, 9);
    report->result = (ImpResult)imp_row_i64(row, 10);
    report->seq = (guint64)imp_row_i64(row, 11);
    report->start_number = (guint64)imp_row_i64(row, 12);
    imp_row_copy(row, 13, report->port, sizeof report->port);
    imp_row_copy(row, 14, report->order, sizeof report->order);
    imp_row_copy(row, 15, report->person, sizeof report->person);
    report->began_real_us = imp_row_i64(row, 16);
    report->duration_ms = (guint32)imp_row_i64(row, 17);
    report->code = (int)imp_row_i64(row, 18);
    ImpErrorDetail *detail = &report->detail;
    imp_row_copy(row, 19, detail->step, sizeof detail->step);
    detail->has_address = !imp_row_is_null(row, 20);
    detail->address = (guint64)imp_row_i64(row, 20);
    detail->expected_bytes = read_bytes(row, 21, detail->expected, sizeof detail->expected);
    detail->found_bytes = read_bytes(row, 22, detail->found, sizeof detail->found);
    report->n_uid = read_bytes(row, 23, report->uid, sizeof report->uid);
    gsize n_bytes;
    const guint8 *bytes = imp_row_blob(row, 24, &n_bytes);
    gboolean whole = core_numbers_unpack(bytes, n_bytes, report->numbers, &report->n_numbers);
    bytes = imp_row_blob(row, 25, &n_bytes);
    whole = whole && unpack_reads(bytes, n_bytes, report);
    if (!whole && row->sql->error == NULL)
        imp_error_set(&row->sql->error, IMP_E_LEDGER_CORRUPT,
                      "ledger: record %" G_GINT64_FORMAT " has damaged numbers or readings",
                      imp_row_i64(row, 0));
    report->link_waits = (guint32)imp_row_i64(row, 26);
    report->link_faults = (guint32)imp_row_i64(row, 27);
    report->link_errors = (guint32)imp_row_i64(row, 28);
    report->link_retries = (guint32)imp_row_i64(row, 29);
    report->link_hz = (guint32)imp_row_i64(row, 30);
    report->link_slowed_by = (guint32)imp_row_i64(row, 31);
}

void core_record_read(const ImpRow *row, ImpLedgerLogEntry *out_entry)
{
    memset(out_entry, 0, sizeof *out_entry);
    out_entry->record = (guint64)imp_row_i64(row, 0);
    out_entry->station = imp_row_id(row, 1);
    out_entry->received_us = imp_row_i64(row, 2);
    out_entry->own = imp_row_i64(row, 3) != 0;
    out_entry->confirmed = imp_row_i64(row, 4) != 0;
    out_entry->rework = imp_row_i64(row, 5) != 0;
    out_entry->conflict = imp_row_i64(row, 6) != 0;
    out_entry->after_settlement = imp_row_i64(row, 7) != 0;
    read_report(row, &out_entry->report);
}

/* ---- the same report ---- */

static gboolean same_numbers(const ImpReport *a, const ImpReport *b)
{
    if (a->n_numbers != b->n_numbers)
        return FALSE;
    for (guint32 i = 0; i < a->n_numbers; i++)
        if (strcmp(a->numbers[i].pool, b->numbers[i].pool) != 0 ||
            a->numbers[i].number != b->numbers[i].number)
            return FALSE;
    return TRUE;
}

static gboolean same_reads(const ImpReport *a, const ImpReport *b)
{
    if (a->n_reads != b->n_reads)
        return FALSE;
    for (guint32 i = 0; i < a->n_reads; i++)
        if (strcmp(a->reads[i].name, b->reads[i].name) != 0 || a->reads[i].n_bytes != b->reads[i].n_bytes ||
            memcmp(a->reads[i].bytes, b->reads[i].bytes, a->reads[i].n_bytes) != 0)
            return FALSE;
    return TRUE;
}

/* What the record says of the unit. Where and when may differ: a launch that is not in the journal is reported lost by
 * each life of the station that finds it open. The numbers are compared only where the report names them: a launch that
 * the journal does not hold has none to name. */
static gboolean same(const ImpReport *stands, const ImpReport *comes)
{
    if (stands->result != comes->result)
        return FALSE;
    if (comes->result == IMP_RESULT_LOST || comes->result == IMP_RESULT_RETURNED)
        return TRUE;
    return stands->code == comes->code && stands->n_uid == comes->n_uid &&
           memcmp(stands->uid, comes->uid, stands->n_uid) == 0 && same_numbers(stands, comes) &&
           same_reads(stands, comes);
}

gboolean core_record_same(ImpLedger *ledger, gint64 station_ref, const ImpReport *report, gboolean conflict)
{
    g_autofree ImpLedgerLogEntry *entry = g_new(ImpLedgerLogEntry, 1);
    g_auto(ImpRow) row = {0};
    for (gboolean more =
             imp_sql_find(&ledger->sql, &row,
                          "SELECT " CORE_RECORD_COLUMNS " FROM record r JOIN station s ON s.ref = r.station "
                          "WHERE r.launch = ?1 AND r.station = ?2 AND r.conflict = ?3",
                          "dii", &report->launch, station_ref, (gint64)conflict);
         more; more = imp_sql_next(&row)) {
        core_record_read(&row, entry);
        if (same(&entry->report, report))
            return TRUE;
    }
    return FALSE;
}

/* ---- the log ---- */

static GArray *log_rows(ImpLedger *ledger, const char *text, const ImpLedgerLogQuery *q, GError **error)
{
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(ImpLedgerLogEntry));
    gint64 cursor = (gint64)MIN(q->cursor, (guint64)G_MAXINT64);
    if (q->newest_first && cursor == 0)
        cursor = G_MAXINT64;
    g_auto(ImpRow) row = {0};
    for (gboolean more = imp_sql_find(
             &ledger->sql, &row, text, "iiiiibbb", cursor, q->from_us, q->to_us != 0 ? q->to_us : G_MAXINT64,
             (gint64)(q->has_result ? q->result : 0), (gint64)q->limit, q->has_image ? q->image.bytes : NULL,
             (gsize)IMP_ID_BYTES, q->has_station ? q->station.bytes : NULL, (gsize)IMP_ID_BYTES,
             q->has_launch ? q->launch.bytes : NULL, (gsize)IMP_ID_BYTES);
         more; more = imp_sql_next(&row)) {
        g_array_set_size(entries, entries->len + 1);
        core_record_read(&row, &g_array_index(entries, ImpLedgerLogEntry, entries->len - 1));
    }
    return imp_sql_take(&ledger->sql, error) ? g_steal_pointer(&entries) : NULL;
}

/* A text for each filter that has an index: with "?6 IS NULL OR image = ?6" alone the planner could use none, and with
 * +received_us it does not take that index and sort. Each text names every argument, so that the same ones are bound. */
#define LOG_TEXT(filter, received, order)                                                                    \
    "SELECT " CORE_RECORD_COLUMNS " FROM record r JOIN station s ON s.ref = r.station WHERE " filter         \
    " AND (?4 = 0 OR r.result = ?4) AND (?6 IS NULL OR r.image = ?6) AND (?7 IS NULL OR s.id = ?7) "         \
    "AND (?8 IS NULL OR r.launch = ?8) AND " received " >= ?2 AND " received " < ?3 AND " order " LIMIT ?5"
#define LOG_UP   "r.rec > ?1 ORDER BY r.rec"
#define LOG_DOWN "r.rec < ?1 ORDER BY r.rec DESC"
#define LOG_TEXTS(filter, received)                                                                          \
    {                                                                                                        \
        LOG_TEXT(filter, received, LOG_UP), LOG_TEXT(filter, received, LOG_DOWN)                             \
    }

static const char *const log_of_launch[] = LOG_TEXTS("r.launch = ?8", "+r.received_us");
static const char *const log_of_image[] = LOG_TEXTS("r.image = ?6", "+r.received_us");
static const char *const log_of_station[] =
    LOG_TEXTS("r.station = (SELECT ref FROM station WHERE id = ?7)", "+r.received_us");
static const char *const log_of_time[] = LOG_TEXTS("1", "r.received_us");
static const char *const log_of_all[] = LOG_TEXTS("1", "+r.received_us");

GArray *imp_ledger_log(ImpLedger *ledger, const ImpLedgerLogQuery *query, GError **error)
{
    if (query->limit < 1 || query->limit > IMP_LEDGER_LIST_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "the limit is %u records, it must be 1 to %d", query->limit,
                      IMP_LEDGER_LIST_MAX);
        return NULL;
    }
    const char *const *texts = log_of_all;
    if (query->has_launch)
        texts = log_of_launch;
    else if (query->has_image)
        texts = log_of_image;
    else if (query->has_station)
        texts = log_of_station;
    else if (query->from_us != 0 || query->to_us != 0)
        texts = log_of_time;
    return log_rows(ledger, texts[query->newest_first ? 1 : 0], query, error);
}
