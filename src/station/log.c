/* The log of a station: the records of its ledger, as lines. */
#include "station/core.h"

#include <string.h>

#include "station/view.h"

#define PAGE_ROWS     500
#define STATISTIC_MAX 100000 /* newest records that the sums are made of */

/* Kind and name of a record's image, as far as the station still knows them. */
static void describe(ImpStation *station, const ImpLedgerLogEntry *entry, const char **out_kind,
                     char **out_name)
{
    const ImpStoreEntry *image = imp_store_find(station->store, &entry->report.image);
    ImpLedgerImageStatus status;
    *out_kind = entry->own ? "sap" : "job";
    *out_name = NULL;
    if (image != NULL)
        *out_name = g_strdup(image->clear->name);
    else if (entry->own && imp_ledger_image_get(station->ledger, &entry->report.image, &status, NULL))
        *out_name = g_strdup(status.name);
}

static gboolean wanted(const ImpStationLog *query, const ImpReport *report)
{
    return (query->port == NULL || strcmp(query->port, report->port) == 0) &&
           (query->order == NULL || strcmp(query->order, report->order) == 0);
}

static gboolean parse_query(const ImpStationLog *query, ImpLedgerLogQuery *rows, GError **error)
{
    rows->cursor = query->after;
    rows->has_image = query->image != NULL;
    rows->has_result = query->result != NULL;
    if (query->image != NULL && !imp_id_parse(query->image, &rows->image)) {
        imp_error_set(error, IMP_E_ARGUMENT, "\"%s\" is no image ID", query->image);
        return FALSE;
    }
    if (query->result != NULL && !imp_result_parse(query->result, &rows->result)) {
        imp_error_set(error, IMP_E_ARGUMENT, "\"%s\" is no result", query->result);
        return FALSE;
    }
    return TRUE;
}

static void append_record(GString *text, ImpStation *station, const ImpLedgerLogEntry *entry, gboolean csv)
{
    const char *kind = NULL;
    g_autofree char *name = NULL;
    describe(station, entry, &kind, &name);
    if (csv) {
        imp_view_csv(text, entry, kind, name);
        return;
    }
    json_t *document = imp_view_record(entry, kind, name);
    char *line = json_dumps(document, JSON_COMPACT);
    g_string_append(text, line);
    g_string_append_c(text, '\n');
    free(line);
    json_decref(document);
}

GString *imp_station_log(ImpStation *station, const ImpStationLog *query, guint64 *out_next, GError **error)
{
    ImpLedgerLogQuery rows = {0};
    if (!parse_query(query, &rows, error))
        return NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    if (query->csv)
        imp_view_csv_header(text);
    guint n_lines = 0;
    for (gboolean more = TRUE; more && n_lines < query->limit;) {
        rows.limit = PAGE_ROWS;
        g_autoptr(GArray) page = imp_ledger_log(station->ledger, &rows, error);
        if (page == NULL)
            return NULL;
        more = page->len == PAGE_ROWS;
        for (guint i = 0; i < page->len && n_lines < query->limit; i++) {
            const ImpLedgerLogEntry *entry = &g_array_index(page, ImpLedgerLogEntry, i);
            rows.cursor = entry->record;
            if (!wanted(query, &entry->report))
                continue;
            append_record(text, station, entry, query->csv);
            n_lines++;
        }
    }
    *out_next = rows.cursor;
    return g_steal_pointer(&text);
}

typedef struct {
    guint64 launches, passed, duration_ms;
} Sum;

json_t *imp_station_statistics(ImpStation *station, GError **error)
{
    g_autofree Sum *sums = g_new0(Sum, station->n_ports);
    ImpLedgerLogQuery rows = {.newest_first = TRUE, .limit = PAGE_ROWS};
    for (guint n = 0; n < STATISTIC_MAX; n += PAGE_ROWS) {
        g_autoptr(GArray) page = imp_ledger_log(station->ledger, &rows, error);
        if (page == NULL)
            return NULL;
        for (guint i = 0; i < page->len; i++) {
            const ImpLedgerLogEntry *entry = &g_array_index(page, ImpLedgerLogEntry, i);
            rows.cursor = entry->record;
            for (gsize p = 0; p < station->n_ports; p++) {
                if (entry->conflict || imp_result_is_comparison(entry->report.result) ||
                    strcmp(station->ports[p].config->name, entry->report.port) != 0)
                    continue;
                gboolean passed = entry->report.result == IMP_RESULT_PASSED;
                sums[p].launches++;
                sums[p].passed += passed;
                sums[p].duration_ms += passed ? entry->report.duration_ms : 0;
            }
        }
        if (page->len < PAGE_ROWS)
            break;
    }
    json_t *list = json_array();
    for (gsize p = 0; p < station->n_ports; p++) {
        json_t *item = json_object();
        json_object_set_new(item, "name", json_string(station->ports[p].config->name));
        json_object_set_new(item, "launches", json_integer((json_int_t)sums[p].launches));
        json_object_set_new(item, "passed", json_integer((json_int_t)sums[p].passed));
        json_object_set_new(item, "failed", json_integer((json_int_t)(sums[p].launches - sums[p].passed)));
        if (sums[p].passed > 0)
            json_object_set_new(item, "duration_ms_mean",
                                json_integer((json_int_t)(sums[p].duration_ms / sums[p].passed)));
        json_array_append_new(list, item);
    }
    json_t *document = json_object();
    json_object_set_new(document, "ports", list);
    return document;
}

json_t *imp_station_pools(ImpStation *station, GError **error)
{
    g_autoptr(GArray) pools = imp_ledger_pool_list(station->ledger, NULL, error);
    if (pools == NULL)
        return NULL;
    json_t *list = json_array();
    for (guint i = 0; i < pools->len; i++)
        json_array_append_new(list, imp_ledger_pool_view(&g_array_index(pools, ImpLedgerPoolStatus, i)));
    return list;
}
