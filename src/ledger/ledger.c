#include "ledger/core.h"

#include <string.h>

#include "ledger/schema.h"

/* ---- transactions ---- */

gboolean imp_ledger_begin(ImpLedger *ledger, GError **error)
{
    g_assert(!ledger->in_batch);
    imp_sql_exec(&ledger->sql, "BEGIN IMMEDIATE");
    ledger->in_batch = imp_sql_ok(&ledger->sql);
    return imp_sql_take(&ledger->sql, error);
}

static void roll_back(ImpLedger *ledger)
{
    /* A fault may have rolled back by itself (disk full). */
    if (!sqlite3_get_autocommit(ledger->sql.db))
        (void)sqlite3_exec(ledger->sql.db, "ROLLBACK", NULL, NULL, NULL);
    /* Definitions that were read inside may be of rows that are gone now. */
    g_hash_table_remove_all(ledger->pools);
}

gboolean imp_ledger_commit(ImpLedger *ledger, GError **error)
{
    g_assert(ledger->in_batch);
    ledger->in_batch = FALSE;
    imp_sql_exec(&ledger->sql, "COMMIT");
    if (!imp_sql_ok(&ledger->sql))
        roll_back(ledger);
    return imp_sql_take(&ledger->sql, error);
}

void imp_ledger_rollback(ImpLedger *ledger)
{
    g_assert(ledger->in_batch);
    ledger->in_batch = FALSE;
    (void)imp_sql_take(&ledger->sql, NULL);
    roll_back(ledger);
}

gboolean core_enter(ImpLedger *ledger, GError **error)
{
    imp_sql_exec(&ledger->sql, ledger->in_batch ? "SAVEPOINT part" : "BEGIN IMMEDIATE");
    return imp_sql_take(&ledger->sql, error);
}

gboolean core_leave(ImpLedger *ledger, gboolean ok, GError **error)
{
    gboolean keep = ok && imp_sql_ok(&ledger->sql);
    if (keep) {
        imp_sql_exec(&ledger->sql, ledger->in_batch ? "RELEASE part" : "COMMIT");
        keep = imp_sql_ok(&ledger->sql);
    }
    if (!keep && ledger->in_batch) {
        (void)sqlite3_exec(ledger->sql.db, "ROLLBACK TO part; RELEASE part", NULL, NULL, NULL);
        g_hash_table_remove_all(ledger->pools);
    } else if (!keep) {
        roll_back(ledger);
    }
    /* After !ok the caller has set *error; a fault of the database beside it says less. */
    if (!ok) {
        (void)imp_sql_take(&ledger->sql, NULL);
        return FALSE;
    }
    return imp_sql_take(&ledger->sql, error);
}

/* ---- opening ---- */

static gboolean damaged(ImpLedger *ledger, GError **error, const char *why)
{
    imp_error_set(error, IMP_E_LEDGER_CORRUPT, "ledger %s: %s", sqlite3_db_filename(ledger->sql.db, "main"),
                  why);
    return FALSE;
}

static void make_ledger_row(ImpLedger *ledger)
{
    ImpId epoch = imp_id_random(ledger->random);
    ImpId none = {0};
    imp_sql_run(&ledger->sql, "INSERT INTO ledger (one, role, epoch) VALUES (1, ?1, ?2)", "id",
                (gint64)ledger->role, &epoch);
    if (ledger->role == IMP_LEDGER_STATION)
        imp_sql_run(
            &ledger->sql,
            "INSERT INTO station (ref, id, account, scope, name, added_us) VALUES (0, ?1, '', '', '', ?2)",
            "di", &none, core_now(ledger));
}

static void migrate(ImpLedger *ledger, gint64 version)
{
    for (gint64 v = version; v < LEDGER_VERSION; v++)
        imp_sql_exec(&ledger->sql, ledger_schema[v]);
    if (version == 0)
        make_ledger_row(ledger);
    g_autofree char *marks = g_strdup_printf("PRAGMA application_id = %d; PRAGMA user_version = %d",
                                             LEDGER_APPLICATION_ID, LEDGER_VERSION);
    imp_sql_exec(&ledger->sql, marks);
}

/* Inside a transaction: is it a ledger of ours and of this version or an earlier one? Makes a new one. */
static gboolean check_version(ImpLedger *ledger, GError **error)
{
    ImpSql *sql = &ledger->sql;
    gint64 version = imp_sql_value(sql, "PRAGMA user_version", "");
    gint64 application = imp_sql_value(sql, "PRAGMA application_id", "");
    gint64 n_tables = imp_sql_value(sql, "SELECT count(*) FROM sqlite_master", "");
    if (!imp_sql_ok(sql))
        return TRUE; /* reported by core_leave */
    if (application != LEDGER_APPLICATION_ID && (n_tables > 0 || application != 0))
        return damaged(ledger, error, "this is a database of another program");
    if (version > LEDGER_VERSION) {
        g_autofree char *why = g_strdup_printf("it is of version %" G_GINT64_FORMAT
                                               ", this program knows up to %d: use the newer program",
                                               version, LEDGER_VERSION);
        return damaged(ledger, error, why);
    }
    if (version < LEDGER_VERSION)
        migrate(ledger, version);
    return TRUE;
}

static gboolean read_ledger_row(ImpLedger *ledger, GError **error)
{
    g_auto(ImpRow) row = {0};
    if (!imp_sql_find(&ledger->sql, &row, "SELECT role, epoch FROM ledger", ""))
        return imp_sql_take(&ledger->sql, error) && damaged(ledger, error, "its first row is missing");
    if (imp_row_i64(&row, 0) != (gint64)ledger->role) {
        imp_error_set(error, IMP_E_STATE, "ledger %s: it was made for a %s, not for a %s",
                      sqlite3_db_filename(ledger->sql.db, "main"),
                      ledger->role == IMP_LEDGER_CLOUD ? "station" : "cloud",
                      ledger->role == IMP_LEDGER_CLOUD ? "cloud" : "station");
        return FALSE;
    }
    ledger->epoch = imp_row_id(&row, 1);
    return TRUE;
}

static gboolean check_pages(ImpLedger *ledger, GError **error)
{
    g_auto(ImpRow) row = {0};
    if (imp_sql_find(&ledger->sql, &row, "PRAGMA quick_check(1)", "") &&
        strcmp(imp_row_text(&row, 0), "ok") != 0)
        return damaged(ledger, error, imp_row_text(&row, 0));
    return imp_sql_take(&ledger->sql, error);
}

static gboolean open_database(ImpLedger *ledger, const ImpLedgerOptions *options, GError **error)
{
    ImpSql *sql = &ledger->sql;
    if (!imp_sql_open(sql, options->path, error))
        return FALSE;
    imp_sql_exec(sql, "PRAGMA locking_mode = EXCLUSIVE");
    imp_sql_exec(sql, "PRAGMA journal_mode = WAL");
    imp_sql_exec(sql, options->safety == IMP_LEDGER_DURABLE ? "PRAGMA synchronous = FULL"
                                                            : "PRAGMA synchronous = OFF");
    imp_sql_exec(sql, "PRAGMA cell_size_check = ON");
    if (!imp_sql_take(sql, error) || !core_enter(ledger, error))
        return FALSE;
    if (!core_leave(ledger, check_version(ledger, error), error))
        return FALSE;
    return check_pages(ledger, error) && read_ledger_row(ledger, error);
}

static void free_pool(gpointer data)
{
    imp_pool_done(data);
    g_free(data);
}

ImpLedger *imp_ledger_open(const ImpLedgerOptions *options, GError **error)
{
    g_autoptr(ImpLedger) ledger = g_new0(ImpLedger, 1);
    ledger->role = options->role;
    ledger->clock = options->clock;
    ledger->random = options->random;
    ledger->pools = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, free_pool);
    if (!open_database(ledger, options, error))
        return NULL;
    return g_steal_pointer(&ledger);
}

void imp_ledger_close(ImpLedger *ledger)
{
    if (ledger == NULL)
        return;
    if (ledger->in_batch)
        imp_ledger_rollback(ledger);
    imp_sql_close(&ledger->sql);
    g_hash_table_unref(ledger->pools);
    g_free(ledger);
}

ImpId imp_ledger_epoch(const ImpLedger *ledger)
{
    return ledger->epoch;
}

gpointer imp_ledger_database(ImpLedger *ledger)
{
    return ledger->sql.db;
}

gint64 core_now(const ImpLedger *ledger)
{
    return imp_clock_real_us(ledger->clock);
}

/* ---- audit and alarms ---- */

gboolean core_needs_reason(const ImpAct *act, GError **error)
{
    if (act->reason != NULL && act->reason[0] != '\0')
        return TRUE;
    imp_error_set(error, IMP_E_ARGUMENT, "a reason is needed: it is kept in the audit log");
    return FALSE;
}

void core_audit(ImpLedger *ledger, const char *action, const char *subject, const ImpAct *act)
{
    imp_sql_run(&ledger->sql,
                "INSERT INTO audit (real_us, person, action, subject, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
                "itttt", core_now(ledger), act->person != NULL ? act->person : "", action, subject,
                act->reason != NULL ? act->reason : "");
}

gboolean imp_ledger_audit_add(ImpLedger *ledger, const char *action, const char *subject, const ImpAct *act,
                              GError **error)
{
    if (!core_enter(ledger, error))
        return FALSE;
    core_audit(ledger, action, subject, act);
    return core_leave(ledger, TRUE, error);
}

static gboolean limit_ok(guint32 limit, GError **error)
{
    if (limit >= 1 && limit <= IMP_LEDGER_LIST_MAX)
        return TRUE;
    imp_error_set(error, IMP_E_LIMIT, "the limit is %u rows, it must be 1 to %d", limit, IMP_LEDGER_LIST_MAX);
    return FALSE;
}

GArray *imp_ledger_audit(ImpLedger *ledger, guint64 cursor, guint32 limit, GError **error)
{
    if (!limit_ok(limit, error))
        return NULL;
    g_autoptr(GArray) rows = g_array_new(FALSE, TRUE, sizeof(ImpLedgerAudit));
    g_auto(ImpRow) row = {0};
    for (gboolean more = imp_sql_find(&ledger->sql, &row,
                                      "SELECT row, real_us, person, action, subject, reason FROM audit "
                                      "WHERE row > ?1 ORDER BY row LIMIT ?2",
                                      "ii", (gint64)MIN(cursor, G_MAXINT64), (gint64)limit);
         more; more = imp_sql_next(&row)) {
        ImpLedgerAudit audit = {.row = (guint64)imp_row_i64(&row, 0), .real_us = imp_row_i64(&row, 1)};
        imp_row_copy(&row, 2, audit.person, sizeof audit.person);
        imp_row_copy(&row, 3, audit.action, sizeof audit.action);
        imp_row_copy(&row, 4, audit.subject, sizeof audit.subject);
        imp_row_copy(&row, 5, audit.reason, sizeof audit.reason);
        g_array_append_val(rows, audit);
    }
    return imp_sql_take(&ledger->sql, error) ? g_steal_pointer(&rows) : NULL;
}

static const char *const alarm_names[] = {
    [IMP_ALARM_REPORT_CONFLICT] = "report-conflict",
    [IMP_ALARM_LAUNCH_DIFFERS] = "launch-differs",
    [IMP_ALARM_JOURNAL_BACK] = "journal-back",
    [IMP_ALARM_TWO_COPIES] = "two-copies",
    [IMP_ALARM_NOT_ASKED] = "not-asked",
    [IMP_ALARM_NUMBERS_DIFFER] = "numbers-differ",
};

const char *imp_alarm_name(ImpAlarmKind kind)
{
    g_assert(kind < G_N_ELEMENTS(alarm_names) && alarm_names[kind] != NULL);
    return alarm_names[kind];
}

void core_alarm(ImpLedger *ledger, ImpAlarmKind kind, const ImpId *station, const ImpId *launch,
                const ImpId *image, const char *text)
{
    static const ImpId none;
    if (station == NULL)
        station = &none;
    if (launch != NULL && imp_sql_value(&ledger->sql,
                                        "SELECT count(*) FROM alarm WHERE launch = ?1 AND station = ?2 "
                                        "AND kind = ?3",
                                        "ddi", launch, station, (gint64)kind) > 0)
        return;
    imp_sql_run(
        &ledger->sql,
        "INSERT INTO alarm (real_us, kind, station, launch, image, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        "iidddt", core_now(ledger), (gint64)kind, station, launch != NULL ? launch : &none,
        image != NULL ? image : &none, text);
}

GArray *imp_ledger_alarms(ImpLedger *ledger, guint64 cursor, guint32 limit, GError **error)
{
    if (!limit_ok(limit, error))
        return NULL;
    g_autoptr(GArray) rows = g_array_new(FALSE, TRUE, sizeof(ImpLedgerAlarm));
    g_auto(ImpRow) row = {0};
    for (gboolean more = imp_sql_find(&ledger->sql, &row,
                                      "SELECT alarm, real_us, kind, station, launch, image, text FROM alarm "
                                      "WHERE alarm > ?1 ORDER BY alarm LIMIT ?2",
                                      "ii", (gint64)MIN(cursor, G_MAXINT64), (gint64)limit);
         more; more = imp_sql_next(&row)) {
        ImpLedgerAlarm alarm = {.alarm = (guint64)imp_row_i64(&row, 0),
                                .real_us = imp_row_i64(&row, 1),
                                .kind = (ImpAlarmKind)imp_row_i64(&row, 2),
                                .station = imp_row_id(&row, 3),
                                .launch = imp_row_id(&row, 4),
                                .image = imp_row_id(&row, 5)};
        imp_row_copy(&row, 6, alarm.text, sizeof alarm.text);
        g_array_append_val(rows, alarm);
    }
    return imp_sql_take(&ledger->sql, error) ? g_steal_pointer(&rows) : NULL;
}
