#include "ledger/journal.h"

#include <string.h>

#include "ledger/core.h"

#define TRUST_SLIP_US                                                                                        \
    (60 * G_USEC_PER_SEC) /* a clock that an engineer set may drift so far from the boot clock */

static gboolean find_row(ImpLedger *ledger, const ImpId *launch, CoreLaunch *out)
{
    return core_launch_find(ledger, 0, launch, out);
}

CoreAsker core_self(const ImpLedger *ledger)
{
    return (CoreAsker){.ref = 0, .start_number = ledger->start_number};
}

guint64 core_next_seq(ImpLedger *ledger, gboolean own)
{
    if (own)
        return (guint64)imp_sql_value(&ledger->sql,
                                      "UPDATE ledger SET own_seq = own_seq + 1 RETURNING own_seq", "");
    return (guint64)imp_sql_value(&ledger->sql, "UPDATE ledger SET job_seq = job_seq + 1 RETURNING job_seq",
                                  "");
}

/* ---- the clock (rule 9) ---- */

static gboolean clock_is_set(const ImpLedger *ledger)
{
    const ImpClock *clock = ledger->clock;
    if (clock->synchronised(clock->self))
        return TRUE;
    gint64 slip = imp_clock_real_us(clock) - imp_clock_boot_us(clock) - ledger->trust_offset_us;
    return ledger->has_trust && ABS(slip) < TRUST_SLIP_US;
}

void core_touch_clock(ImpLedger *ledger)
{
    if (clock_is_set(ledger))
        imp_sql_run(&ledger->sql, "UPDATE ledger SET latest_us = ?1 WHERE latest_us < ?1", "i",
                    core_now(ledger));
}

gboolean core_clock_trusted(ImpLedger *ledger)
{
    return clock_is_set(ledger) &&
           core_now(ledger) >= imp_sql_value(&ledger->sql, "SELECT latest_us FROM ledger", "");
}

gboolean imp_journal_trust_clock(ImpLedger *ledger, const ImpAct *act, GError **error)
{
    if (!core_needs_reason(act, error) || !core_enter(ledger, error))
        return FALSE;
    gint64 now = core_now(ledger);
    imp_sql_run(&ledger->sql, "UPDATE ledger SET latest_us = ?1", "i", now);
    core_audit(ledger, "clock-trust", "this station", act);
    if (!core_leave(ledger, TRUE, error))
        return FALSE;
    ledger->has_trust = TRUE;
    ledger->trust_offset_us = now - imp_clock_boot_us(ledger->clock);
    return TRUE;
}

/* ---- ending ---- */

/* Ends a row: a SAP by the authority's own table, a JOB for the cloud to hear. */
static void end_row(ImpLedger *ledger, const CoreLaunch *row, const ImpReport *report)
{
    if (row->own && !imp_result_is_comparison(report->result)) {
        CoreAsker self = core_self(ledger);
        ImpAnswer answer;
        core_report(ledger, &self, report, &answer);
        return;
    }
    imp_sql_run(&ledger->sql, "UPDATE launch SET state = ?1 WHERE id = ?2 AND station = 0", "id",
                (gint64)report->result, &report->launch);
    CoreRecord record = {.own = row->own,
                         .rework =
                             !imp_result_is_comparison(report->result) && core_is_rework(ledger, report)};
    core_record_add(ledger, &record, report);
}

/* What a life that ended without a word leaves open. */
static void end_of_life(ImpLedger *ledger, ImpLife *life)
{
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(CoreLaunch));
    {
        g_auto(ImpRow) found = {0};
        for (gboolean more = imp_sql_find(&ledger->sql, &found,
                                          "SELECT " CORE_LAUNCH_COLUMNS
                                          " FROM launch l WHERE l.station = 0 AND l.state IN (" SQL_OPEN
                                          ", " SQL_COMPARING ") ORDER BY l.id",
                                          "");
             more; more = imp_sql_next(&found)) {
            g_array_set_size(rows, rows->len + 1);
            core_launch_read(ledger, &found, &g_array_index(rows, CoreLaunch, rows->len - 1));
        }
    }
    for (guint i = 0; i < rows->len; i++) {
        const CoreLaunch *row = &g_array_index(rows, CoreLaunch, i);
        ImpReport report;
        core_launch_report(row, &report);
        gboolean wrote = row->phase == CORE_WRITING;
        report.result = row->state == CORE_COMPARING ? IMP_RESULT_UNVERIFIED
                        : wrote                      ? IMP_RESULT_UNKNOWN
                                                     : IMP_RESULT_LOST;
        report.code = wrote ? IMP_E_STOPPED_WHILE_WRITING : IMP_E_STOPPED_BEFORE_WRITE;
        end_row(ledger, row, &report);
        life->n_unknown += wrote;
        life->n_lost += report.result == IMP_RESULT_LOST;
    }
}

gboolean imp_journal_start(ImpLedger *ledger, ImpLife *out_life, GError **error)
{
    g_assert(ledger->role == IMP_LEDGER_STATION && ledger->start_number == 0);
    if (!core_enter(ledger, error))
        return FALSE;
    ImpLife life = {.nonce = imp_id_random(ledger->random)};
    end_of_life(ledger, &life);
    life.start_number = (guint64)imp_sql_value(
        &ledger->sql, "UPDATE ledger SET start_number = start_number + 1 RETURNING start_number", "");
    life.position = (guint64)imp_sql_value(&ledger->sql, "SELECT job_seq FROM ledger", "");
    if (!core_leave(ledger, TRUE, error))
        return FALSE;
    ledger->start_number = life.start_number;
    *out_life = life;
    return TRUE;
}

static gboolean result_fits(const CoreLaunch *row, ImpResult result)
{
    if (row->state == CORE_COMPARING || imp_result_is_comparison(result))
        return row->state == CORE_COMPARING && imp_result_is_comparison(result);
    switch (result) {
    case IMP_RESULT_FAILED:
        return row->phase == CORE_BEGUN;
    case IMP_RESULT_SPENT:
    case IMP_RESULT_PASSED:
        return row->phase == CORE_WRITING;
    case IMP_RESULT_UNKNOWN:
    case IMP_RESULT_LOST:
    case IMP_RESULT_RETURNED:
    case IMP_RESULT_VERIFIED:
    case IMP_RESULT_UNVERIFIED:
        return FALSE;
    }
    return FALSE;
}

static gboolean end_launch(ImpLedger *ledger, const ImpReport *report, GError **error)
{
    CoreLaunch row;
    char id[IMP_ID_TEXT_SIZE];
    if (!find_row(ledger, &report->launch, &row) || (row.state != CORE_OPEN && row.state != CORE_COMPARING)) {
        if (imp_sql_take(&ledger->sql, error))
            imp_error_set(error, IMP_E_STATE, "the launch %s is not at work",
                          imp_id_text(&report->launch, id));
        return FALSE;
    }
    if (!result_fits(&row, report->result)) {
        imp_error_set(error, IMP_E_STATE, "the launch %s cannot end as %s: it %s",
                      imp_id_text(&report->launch, id), imp_result_name(report->result),
                      row.state == CORE_COMPARING ? "only compares"
                      : row.phase == CORE_WRITING ? "has begun to write"
                                                  : "has not begun to write");
        return FALSE;
    }
    g_autofree ImpReport *known = g_new(ImpReport, 1);
    g_autofree ImpReport *full = g_memdup2(report, sizeof *report);
    core_launch_report(&row, known);
    full->image = known->image;
    full->seq = known->seq;
    full->start_number = known->start_number;
    full->began_real_us = known->began_real_us;
    memcpy(full->port, known->port, sizeof full->port);
    memcpy(full->order, known->order, sizeof full->order);
    if (full->person[0] == '\0')
        memcpy(full->person, known->person, sizeof full->person);
    if (known->n_uid > 0) { /* what the authority has been told counts */
        full->n_uid = known->n_uid;
        memcpy(full->uid, known->uid, sizeof full->uid);
    }
    full->n_numbers = known->n_numbers;
    memcpy(full->numbers, known->numbers, sizeof full->numbers);
    end_row(ledger, &row, full);
    core_touch_clock(ledger);
    return TRUE;
}

gboolean imp_journal_ended(ImpLedger *ledger, const ImpReport *report, GError **error)
{
    if (!core_enter(ledger, error))
        return FALSE;
    return core_leave(ledger, end_launch(ledger, report, error), error);
}

/* ---- beginning ---- */

static gboolean not_known(ImpLedger *ledger, const ImpId *launch, GError **error)
{
    gint64 n =
        imp_sql_value(&ledger->sql, "SELECT count(*) FROM launch WHERE id = ?1 AND station = 0", "d", launch);
    if (!imp_sql_take(&ledger->sql, error))
        return FALSE;
    if (n > 0) {
        char id[IMP_ID_TEXT_SIZE];
        imp_error_set(error, IMP_E_EXISTS, "the launch %s is in the journal already",
                      imp_id_text(launch, id));
    }
    return n == 0;
}

/* A JOB's row. granted may be NULL. Gives its seq. */
static guint64 add_row(ImpLedger *ledger, const ImpWant *want, const ImpAnswer *granted, int state, int phase)
{
    g_assert(ledger->start_number > 0);
    CoreLaunch row = {.id = want->launch,
                      .image = want->image,
                      .state = state,
                      .phase = phase,
                      .seq = core_next_seq(ledger, FALSE),
                      .start_number = ledger->start_number,
                      .granted_us = core_now(ledger)};
    memcpy(row.port, want->port, sizeof row.port);
    memcpy(row.order, want->order, sizeof row.order);
    memcpy(row.person, want->person, sizeof row.person);
    if (granted != NULL) {
        row.n_numbers = granted->n_numbers;
        memcpy(row.numbers, granted->numbers, sizeof row.numbers);
    }
    core_launch_insert(ledger, &row);
    return row.seq;
}

gboolean imp_journal_begun(ImpLedger *ledger, const ImpWant *want, const ImpAnswer *granted, GError **error)
{
    g_assert(granted->kind == IMP_ANSWER_GRANTED && imp_id_equal(&granted->launch, &want->launch));
    if (!core_enter(ledger, error))
        return FALSE;
    gboolean ok = not_known(ledger, &want->launch, error);
    if (ok) {
        (void)add_row(ledger, want, granted, CORE_OPEN, CORE_BEGUN);
        core_touch_clock(ledger);
    }
    return core_leave(ledger, ok, error);
}

gboolean imp_journal_comparing(ImpLedger *ledger, const ImpWant *want, gboolean own, GError **error)
{
    g_assert(ledger->start_number > 0);
    if (!core_enter(ledger, error))
        return FALSE;
    gboolean ok = not_known(ledger, &want->launch, error);
    if (ok) {
        /* No place among the journal's launches: nothing is missed where it is missing. */
        CoreLaunch row = {.id = want->launch,
                          .own = own,
                          .image = want->image,
                          .state = CORE_COMPARING,
                          .phase = CORE_BEGUN,
                          .start_number = ledger->start_number,
                          .granted_us = core_now(ledger)};
        memcpy(row.port, want->port, sizeof row.port);
        memcpy(row.order, want->order, sizeof row.order);
        memcpy(row.person, want->person, sizeof row.person);
        core_launch_insert(ledger, &row);
        core_touch_clock(ledger);
    }
    return core_leave(ledger, ok, error);
}

gboolean imp_journal_identified(ImpLedger *ledger, const ImpIdentify *told, const ImpAnswer *answer,
                                GError **error)
{
    g_assert(answer->kind == IMP_ANSWER_IDENTIFIED && told->n_uid > 0);
    if (!core_enter(ledger, error))
        return FALSE;
    gsize n_bytes;
    g_autofree guint8 *numbers = core_numbers_pack(answer->numbers, answer->n_numbers, &n_bytes);
    gint64 n = imp_sql_run(
        &ledger->sql,
        "UPDATE launch SET uid = ?1, kept = ?2, numbers = ?3 WHERE id = ?4 AND station = 0 AND "
        "own = 0 AND state = " SQL_OPEN,
        "bibd", told->uid, (gsize)told->n_uid, (gint64)(answer->kept != 0), numbers, n_bytes, &told->launch);
    gboolean ok = n == 1 || !imp_sql_ok(&ledger->sql);
    if (!ok) {
        char id[IMP_ID_TEXT_SIZE];
        imp_error_set(error, IMP_E_STATE, "the launch %s is not at work", imp_id_text(&told->launch, id));
    }
    return core_leave(ledger, ok, error);
}

gboolean imp_journal_writing(ImpLedger *ledger, const ImpId *launch, GError **error)
{
    if (!core_enter(ledger, error))
        return FALSE;
    gint64 n = imp_sql_run(&ledger->sql,
                           "UPDATE launch SET phase = ?1 WHERE id = ?2 AND station = 0 AND state = " SQL_OPEN
                           " AND phase = ?3",
                           "idi", (gint64)CORE_WRITING, launch, (gint64)CORE_BEGUN);
    gboolean ok = n == 1 || !imp_sql_ok(&ledger->sql);
    if (!ok) {
        char id[IMP_ID_TEXT_SIZE];
        imp_error_set(error, IMP_E_STATE, "the launch %s is not begun, or is writing already",
                      imp_id_text(launch, id));
    }
    return core_leave(ledger, ok, error);
}

gboolean imp_journal_returned(ImpLedger *ledger, const ImpWant *want, const ImpAnswer *granted,
                              GError **error)
{
    if (!core_enter(ledger, error))
        return FALSE;
    gboolean ok = not_known(ledger, &want->launch, error);
    if (ok) {
        g_autofree ImpReport *report = g_new0(ImpReport, 1);
        report->launch = want->launch;
        report->image = want->image;
        report->result = IMP_RESULT_RETURNED;
        report->code = IMP_E_PERMIT_RETURNED;
        report->start_number = ledger->start_number;
        memcpy(report->port, want->port, sizeof report->port);
        memcpy(report->order, want->order, sizeof report->order);
        memcpy(report->person, want->person, sizeof report->person);
        if (granted != NULL) {
            report->n_numbers = granted->n_numbers;
            memcpy(report->numbers, granted->numbers, sizeof report->numbers);
        }
        report->seq = add_row(ledger, want, granted, IMP_RESULT_RETURNED, CORE_HELD);
        core_record_add(ledger, &(CoreRecord){0}, report);
    }
    return core_leave(ledger, ok, error);
}

gboolean imp_journal_knows(ImpLedger *ledger, const ImpId *launch, gboolean *out_known, GError **error)
{
    gint64 n =
        imp_sql_value(&ledger->sql, "SELECT count(*) FROM launch WHERE id = ?1 AND station = 0", "d", launch);
    if (!imp_sql_take(&ledger->sql, error))
        return FALSE;
    *out_known = n > 0;
    return TRUE;
}

/* ---- telling the cloud ---- */

GArray *imp_journal_unreported(ImpLedger *ledger, guint32 limit, GError **error)
{
    g_autoptr(GArray) reports = g_array_new(FALSE, FALSE, sizeof(ImpReport));
    g_autofree ImpLedgerLogEntry *entry = g_new(ImpLedgerLogEntry, 1);
    g_auto(ImpRow) row = {0};
    for (gboolean more =
             imp_sql_find(&ledger->sql, &row,
                          "SELECT " CORE_RECORD_COLUMNS " FROM record r JOIN station s ON s.ref = r.station "
                          "WHERE r.own = 0 AND r.confirmed_us IS NULL ORDER BY r.rec LIMIT ?1",
                          "i", (gint64)limit);
         more; more = imp_sql_next(&row)) {
        core_record_read(&row, entry);
        g_array_append_val(reports, entry->report);
    }
    return imp_sql_take(&ledger->sql, error) ? g_steal_pointer(&reports) : NULL;
}

gboolean imp_journal_count_unreported(ImpLedger *ledger, guint64 *out_count, GError **error)
{
    gint64 n =
        imp_sql_value(&ledger->sql, "SELECT count(*) FROM record WHERE own = 0 AND confirmed_us IS NULL", "");
    if (!imp_sql_take(&ledger->sql, error))
        return FALSE;
    *out_count = (guint64)n;
    return TRUE;
}

gboolean imp_journal_confirmed(ImpLedger *ledger, const ImpId *launches, guint32 n_launches, GError **error)
{
    if (!core_enter(ledger, error))
        return FALSE;
    for (guint32 i = 0; i < n_launches; i++)
        imp_sql_run(&ledger->sql,
                    "UPDATE record SET confirmed_us = ?1 WHERE launch = ?2 AND station = 0 AND own = 0 "
                    "AND confirmed_us IS NULL",
                    "id", core_now(ledger), &launches[i]);
    return core_leave(ledger, TRUE, error);
}

static void add_lost(const ImpLedger *ledger, const ImpId *launch, GArray *reports)
{
    g_array_set_size(reports, reports->len + 1);
    ImpReport *report = &g_array_index(reports, ImpReport, reports->len - 1);
    memset(report, 0, sizeof *report);
    report->launch = *launch;
    report->result = IMP_RESULT_LOST;
    report->code = IMP_E_STOPPED_BEFORE_WRITE;
    report->start_number = ledger->start_number;
}

GArray *imp_journal_reconcile(ImpLedger *ledger, const ImpId *open, guint32 n_open, GError **error)
{
    g_autoptr(GArray) reports = g_array_new(FALSE, FALSE, sizeof(ImpReport));
    if (!core_enter(ledger, error))
        return NULL;
    for (guint32 i = 0; i < n_open; i++) {
        CoreLaunch row;
        if (!find_row(ledger, &open[i], &row))
            add_lost(ledger, &open[i], reports);
        else if (row.state != CORE_OPEN)
            imp_sql_run(&ledger->sql,
                        "UPDATE record SET confirmed_us = NULL WHERE launch = ?1 AND station = 0 AND own = 0",
                        "d", &open[i]);
    }
    return core_leave(ledger, TRUE, error) ? g_steal_pointer(&reports) : NULL;
}

gboolean imp_journal_epoch(ImpLedger *ledger, const ImpId *epoch, gboolean *out_again, GError **error)
{
    if (!core_enter(ledger, error))
        return FALSE;
    gboolean known, again = FALSE;
    {
        g_auto(ImpRow) row = {0};
        known = imp_sql_find(&ledger->sql, &row,
                             "SELECT cloud_epoch = ?1 FROM ledger WHERE cloud_epoch IS NOT NULL", "d", epoch);
        again = known && imp_row_i64(&row, 0) == 0;
    }
    if (!known || again)
        imp_sql_run(&ledger->sql, "UPDATE ledger SET cloud_epoch = ?1", "d", epoch);
    if (again)
        imp_sql_run(&ledger->sql, "UPDATE record SET confirmed_us = NULL WHERE own = 0", "");
    if (!core_leave(ledger, TRUE, error))
        return FALSE;
    if (out_again != NULL)
        *out_again = again;
    return TRUE;
}

gboolean imp_journal_prune(ImpLedger *ledger, guint32 *out_n, GError **error)
{
    if (!core_enter(ledger, error))
        return FALSE;
    gint64 before_us = core_now(ledger) - IMP_JOURNAL_KEEP_US;
    g_autoptr(GArray) old = g_array_new(FALSE, FALSE, sizeof(ImpId));
    {
        g_auto(ImpRow) row = {0};
        for (gboolean more = imp_sql_find(&ledger->sql, &row,
                                          "SELECT launch FROM record WHERE own = 0 AND confirmed_us < ?1 "
                                          "ORDER BY rec LIMIT ?2",
                                          "ii", before_us, (gint64)IMP_LEDGER_LIST_MAX);
             more; more = imp_sql_next(&row)) {
            ImpId id = imp_row_id(&row, 0);
            g_array_append_val(old, id);
        }
    }
    for (guint i = 0; i < old->len; i++) {
        const ImpId *id = &g_array_index(old, ImpId, i);
        imp_sql_run(&ledger->sql, "DELETE FROM record WHERE launch = ?1 AND station = 0 AND own = 0", "d",
                    id);
        imp_sql_run(&ledger->sql, "DELETE FROM launch WHERE id = ?1 AND station = 0 AND own = 0", "d", id);
    }
    if (!core_leave(ledger, TRUE, error))
        return FALSE;
    if (out_n != NULL)
        *out_n = old->len;
    return TRUE;
}
