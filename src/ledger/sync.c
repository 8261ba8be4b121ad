/* One request of a station, and the life of stations: who may say what (docs/ledger.md, section 2). */
#include "ledger/core.h"

#include <string.h>

#define HEARD_STEP_US (5 * G_USEC_PER_SEC) /* how exact heard_us is: not a write for each request */

typedef struct {
    CoreAsker asker;
    guint64 start_number; /* newest life that was welcomed */
    ImpId nonce;
    gboolean blocked;
    guint64 max_seq;
    gint64 heard_us;
} Station;

static gboolean read_station(ImpLedger *ledger, const ImpId *id, Station *out)
{
    g_auto(ImpRow) row = {0};
    if (!imp_sql_find(&ledger->sql, &row,
                      "SELECT ref, account, scope, removed, blocked_why IS NOT NULL, start_number, nonce, "
                      "max_seq, heard_us FROM station WHERE id = ?1",
                      "d", id))
        return FALSE;
    memset(out, 0, sizeof *out);
    out->asker.ref = imp_row_i64(&row, 0);
    out->asker.id = *id;
    imp_row_copy(&row, 1, out->asker.account, sizeof out->asker.account);
    imp_row_copy(&row, 2, out->asker.scope, sizeof out->asker.scope);
    out->asker.removed = imp_row_i64(&row, 3) != 0;
    out->blocked = imp_row_i64(&row, 4) != 0;
    out->start_number = (guint64)imp_row_i64(&row, 5);
    out->nonce = imp_row_id(&row, 6);
    out->max_seq = (guint64)imp_row_i64(&row, 7);
    out->heard_us = imp_row_i64(&row, 8);
    return TRUE;
}

static void block(ImpLedger *ledger, Station *station, ImpAlarmKind kind, const char *why)
{
    static const ImpAct cloud = {"cloud", NULL};
    imp_sql_run(&ledger->sql, "UPDATE station SET blocked_why = ?1 WHERE ref = ?2", "ti", why,
                station->asker.ref);
    core_alarm(ledger, kind, &station->asker.id, NULL, NULL, why);
    char id[IMP_ID_TEXT_SIZE];
    ImpAct act = cloud;
    act.reason = why;
    core_audit(ledger, "station-block", imp_id_text(&station->asker.id, id), &act);
    station->blocked = TRUE;
}

/* The first message of a life. */
static ImpWelcome hello(ImpLedger *ledger, Station *station, guint64 start_number, const ImpHello *says)
{
    if (start_number < station->start_number || start_number == 0)
        return IMP_WELCOME_STALE;
    if (start_number == station->start_number) {
        if (imp_id_equal(&says->nonce, &station->nonce))
            return IMP_WELCOME_YES; /* asked twice */
        block(ledger, station, IMP_ALARM_TWO_COPIES, "two copies of this station are running");
        return IMP_WELCOME_BLOCKED;
    }
    if (says->journal_position < station->max_seq) {
        block(ledger, station, IMP_ALARM_JOURNAL_BACK, "its journal went back in time");
        return IMP_WELCOME_BLOCKED;
    }
    imp_sql_run(&ledger->sql, "UPDATE station SET start_number = ?1, nonce = ?2 WHERE ref = ?3", "idi",
                (gint64)start_number, &says->nonce, station->asker.ref);
    station->start_number = start_number;
    return IMP_WELCOME_YES;
}

static ImpWelcome welcome(ImpLedger *ledger, Station *station, const ImpSyncRequest *request, int *out_code)
{
    ImpWelcome result;
    if (station->asker.removed || station->blocked)
        result = IMP_WELCOME_BLOCKED;
    else if (request->has_hello)
        result = hello(ledger, station, request->start_number, &request->hello);
    else if (request->start_number < station->start_number || request->start_number == 0)
        result = IMP_WELCOME_STALE;
    else if (request->start_number > station->start_number)
        result = IMP_WELCOME_FIRST;
    else
        result = IMP_WELCOME_NONE;
    *out_code = 0;
    if (result == IMP_WELCOME_BLOCKED)
        *out_code = station->asker.removed ? IMP_E_STATION_UNKNOWN : IMP_E_STATION_BLOCKED;
    else if (result == IMP_WELCOME_STALE)
        *out_code = IMP_E_STATION_STALE;
    return result;
}

static void heard(ImpLedger *ledger, const Station *station)
{
    gint64 now = core_now(ledger);
    if (now < station->heard_us || now - station->heard_us >= HEARD_STEP_US)
        imp_sql_run(&ledger->sql, "UPDATE station SET heard_us = ?1 WHERE ref = ?2", "ii", now,
                    station->asker.ref);
}

static void list_open(ImpLedger *ledger, gint64 station_ref, ImpSyncResponse *response)
{
    g_autoptr(GArray) open = g_array_new(FALSE, FALSE, sizeof(ImpId));
    g_auto(ImpRow) row = {0};
    for (gboolean more = imp_sql_find(&ledger->sql, &row,
                                      "SELECT id FROM launch WHERE station = ?1 AND state = " SQL_OPEN
                                      " ORDER BY id LIMIT ?2",
                                      "ii", station_ref, (gint64)IMP_WIRE_OPEN_MAX);
         more; more = imp_sql_next(&row)) {
        ImpId id = imp_row_id(&row, 0);
        g_array_append_val(open, id);
    }
    response->has_open = TRUE;
    response->n_open = open->len;
    response->open = (ImpId *)(gpointer)g_array_free(g_steal_pointer(&open), FALSE);
}

/* An answer to what may not be asked now. */
static void not_now(ImpAnswer *answer, const ImpId *launch, guint64 ask, int code)
{
    *answer = (ImpAnswer){.kind = IMP_ANSWER_REFUSED, .launch = *launch, .ask = ask, .code = code};
}

static void answer_items(ImpLedger *ledger, const Station *station, const ImpSyncRequest *request,
                         gboolean may_ask, ImpSyncResponse *response)
{
    ImpAnswer *answer = response->answers;
    int code = response->code != 0 ? response->code : IMP_E_NOT_WELCOMED;
    for (guint32 i = 0; i < request->n_reports; i++)
        core_report(ledger, &station->asker, &request->reports[i], answer++);
    /* After the reports, so that it does not list what they end; before the wants, so that it does not list what the
     * station is told in the same response. */
    if (may_ask && (request->want_open || response->welcome == IMP_WELCOME_YES))
        list_open(ledger, station->asker.ref, response);
    for (guint32 i = 0; i < request->n_refreshes; i++) {
        const ImpRefresh *refresh = &request->refreshes[i];
        if (may_ask)
            core_refresh(ledger, &station->asker, refresh, answer++);
        else
            not_now(answer++, &refresh->launch, refresh->ask, code);
    }
    for (guint32 i = 0; i < request->n_identifies; i++) {
        const ImpIdentify *identify = &request->identifies[i];
        if (may_ask)
            core_identify(ledger, &station->asker, identify, answer++);
        else
            not_now(answer++, &identify->launch, identify->ask, code);
    }
    for (guint32 i = 0; i < request->n_wants; i++) {
        const ImpWant *want = &request->wants[i];
        if (may_ask)
            core_permit(ledger, &station->asker, want, CORE_HELD, answer++, NULL);
        else
            not_now(answer++, &want->launch, want->ask, code);
    }
}

static gboolean no_station(ImpLedger *ledger, const ImpId *station, GError **error)
{
    if (imp_sql_take(&ledger->sql, error)) {
        char id[IMP_ID_TEXT_SIZE];
        imp_error_set(error, IMP_E_STATION_UNKNOWN, "no station %s is known", imp_id_text(station, id));
    }
    return FALSE;
}

static gboolean sync_request(ImpLedger *ledger, const ImpId *id, const ImpSyncRequest *request,
                             ImpSyncResponse **out_response, GError **error)
{
    Station station;
    if (!read_station(ledger, id, &station))
        return no_station(ledger, id, error);
    g_autoptr(ImpSyncResponse) response = g_new0(ImpSyncResponse, 1);
    response->protocol = IMP_WIRE_PROTOCOL;
    response->epoch = ledger->epoch;
    response->real_us = core_now(ledger);
    response->welcome = welcome(ledger, &station, request, &response->code);
    gboolean may_ask = response->welcome == IMP_WELCOME_YES || response->welcome == IMP_WELCOME_NONE;
    if (may_ask)
        heard(ledger, &station);
    station.asker.start_number = request->start_number;
    response->n_answers =
        request->n_reports + request->n_refreshes + request->n_identifies + request->n_wants;
    response->answers = g_new0(ImpAnswer, response->n_answers);
    answer_items(ledger, &station, request, may_ask, response);
    if (!imp_sql_take(&ledger->sql, error))
        return FALSE;
    *out_response = g_steal_pointer(&response);
    return TRUE;
}

gboolean imp_ledger_sync(ImpLedger *ledger, const ImpId *station, const ImpSyncRequest *request,
                         ImpSyncResponse **out_response, GError **error)
{
    if (ledger->in_batch)
        return sync_request(ledger, station, request, out_response, error);
    ImpSyncResponse *response = NULL;
    if (!core_enter(ledger, error))
        return FALSE;
    gboolean ok = sync_request(ledger, station, request, &response, error);
    if (!core_leave(ledger, ok, error)) {
        imp_sync_response_free(response);
        return FALSE;
    }
    *out_response = response;
    return TRUE;
}

/* ---- stations ---- */

gboolean imp_ledger_station_add(ImpLedger *ledger, const ImpLedgerStation *station, const ImpAct *act,
                                GError **error)
{
    if (!core_enter(ledger, error))
        return FALSE;
    imp_sql_run(&ledger->sql,
                "INSERT INTO station (id, account, scope, name, added_us) VALUES (?1, ?2, ?3, ?4, ?5) "
                "ON CONFLICT (id) DO UPDATE SET scope = ?3, name = ?4, removed = 0 WHERE account = ?2",
                "dttti", &station->id, station->account, station->scope, station->name, core_now(ledger));
    gboolean ok = sqlite3_changes64(ledger->sql.db) > 0 || !imp_sql_ok(&ledger->sql);
    char id[IMP_ID_TEXT_SIZE];
    if (ok)
        core_audit(ledger, "station-add", imp_id_text(&station->id, id), act);
    else
        imp_error_set(error, IMP_E_EXISTS, "the station %s belongs to another account",
                      imp_id_text(&station->id, id));
    return core_leave(ledger, ok, error);
}

#define STATION_COLUMNS                                                                                      \
    "id, account, scope, name, removed, blocked_why, start_number, max_seq, heard_us, added_us, "            \
    "(SELECT count(*) FROM launch WHERE launch.station = station.ref AND launch.state = " SQL_OPEN ")"

static void read_status(const ImpRow *row, ImpLedgerStation *out)
{
    memset(out, 0, sizeof *out);
    out->id = imp_row_id(row, 0);
    imp_row_copy(row, 1, out->account, sizeof out->account);
    imp_row_copy(row, 2, out->scope, sizeof out->scope);
    imp_row_copy(row, 3, out->name, sizeof out->name);
    out->removed = imp_row_i64(row, 4) != 0;
    out->blocked = !imp_row_is_null(row, 5);
    imp_row_copy(row, 5, out->blocked_why, sizeof out->blocked_why);
    out->start_number = (guint64)imp_row_i64(row, 6);
    out->max_seq = (guint64)imp_row_i64(row, 7);
    out->heard_us = imp_row_i64(row, 8);
    out->added_us = imp_row_i64(row, 9);
    out->open = (guint64)imp_row_i64(row, 10);
}

gboolean imp_ledger_station_get(ImpLedger *ledger, const ImpId *station, ImpLedgerStation *out_station,
                                GError **error)
{
    g_auto(ImpRow) row = {0};
    if (!imp_sql_find(&ledger->sql, &row, "SELECT " STATION_COLUMNS " FROM station WHERE id = ?1", "d",
                      station))
        return no_station(ledger, station, error);
    read_status(&row, out_station);
    return TRUE;
}

GArray *imp_ledger_station_list(ImpLedger *ledger, const char *account, GError **error)
{
    g_autoptr(GArray) stations = g_array_new(FALSE, FALSE, sizeof(ImpLedgerStation));
    g_auto(ImpRow) row = {0};
    for (gboolean more = imp_sql_find(&ledger->sql, &row,
                                      "SELECT " STATION_COLUMNS " FROM station "
                                      "WHERE (?1 IS NULL OR account = ?1) AND ref <> 0 ORDER BY ref LIMIT ?2",
                                      "ti", account, (gint64)IMP_LEDGER_LIST_MAX);
         more; more = imp_sql_next(&row)) {
        g_array_set_size(stations, stations->len + 1);
        read_status(&row, &g_array_index(stations, ImpLedgerStation, stations->len - 1));
    }
    return imp_sql_take(&ledger->sql, error) ? g_steal_pointer(&stations) : NULL;
}

gboolean imp_ledger_station_remove(ImpLedger *ledger, const ImpId *station, const ImpAct *act,
                                   ImpLedgerEffect *out_effect, GError **error)
{
    if (!core_enter(ledger, error))
        return FALSE;
    ImpLedgerStation known = {0};
    gboolean ok = imp_ledger_station_get(ledger, station, &known, error);
    if (ok) {
        char id[IMP_ID_TEXT_SIZE];
        imp_sql_run(&ledger->sql, "UPDATE station SET removed = 1 WHERE id = ?1", "d", station);
        core_audit(ledger, "station-remove", imp_id_text(station, id), act);
    }
    if (!core_leave(ledger, ok, error))
        return FALSE;
    if (out_effect != NULL)
        *out_effect = (ImpLedgerEffect){core_now(ledger) + IMP_LEDGER_USABLE_US, known.open};
    return TRUE;
}

gboolean imp_ledger_station_admit(ImpLedger *ledger, const ImpId *station, const ImpAct *act, GError **error)
{
    if (!core_needs_reason(act, error) || !core_enter(ledger, error))
        return FALSE;
    ImpLedgerStation known;
    gboolean ok = imp_ledger_station_get(ledger, station, &known, error);
    if (ok && !known.blocked) {
        imp_error_set(error, IMP_E_STATE, "the station %s is not blocked", known.name);
        ok = FALSE;
    }
    if (ok) {
        char id[IMP_ID_TEXT_SIZE];
        imp_sql_run(&ledger->sql,
                    "UPDATE station SET blocked_why = NULL, start_number = 0, nonce = NULL, max_seq = 0 "
                    "WHERE id = ?1",
                    "d", station);
        core_audit(ledger, "station-admit", imp_id_text(station, id), act);
    }
    return core_leave(ledger, ok, error);
}
