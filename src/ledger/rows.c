/* The rows of launches, read and written in one place for the authority, the journal and people. */
#include "ledger/core.h"

#include <string.h>

void core_launch_read(ImpLedger *ledger, const ImpRow *row, CoreLaunch *out)
{
    memset(out, 0, sizeof *out);
    out->id = imp_row_id(row, 0);
    out->station_ref = imp_row_i64(row, 1);
    out->own = imp_row_i64(row, 2) != 0;
    out->image = imp_row_id(row, 3);
    out->state = (int)imp_row_i64(row, 4);
    out->phase = (int)imp_row_i64(row, 5);
    out->settled = imp_row_i64(row, 6) != 0;
    out->kept = imp_row_i64(row, 7) != 0;
    out->uncounted = imp_row_i64(row, 8) != 0;
    out->seq = (guint64)imp_row_i64(row, 9);
    out->start_number = (guint64)imp_row_i64(row, 10);
    out->granted_us = imp_row_i64(row, 11);
    imp_row_copy(row, 12, out->port, sizeof out->port);
    imp_row_copy(row, 13, out->order, sizeof out->order);
    imp_row_copy(row, 14, out->person, sizeof out->person);
    gsize n_bytes;
    const guint8 *bytes = imp_row_blob(row, 15, &n_bytes);
    out->n_uid = (guint8)MIN(n_bytes, sizeof out->uid);
    if (out->n_uid > 0)
        memcpy(out->uid, bytes, out->n_uid);
    bytes = imp_row_blob(row, 16, &n_bytes);
    if (!core_numbers_unpack(bytes, n_bytes, out->numbers, &out->n_numbers) && imp_sql_ok(&ledger->sql))
        imp_error_set(&ledger->sql.error, IMP_E_LEDGER_CORRUPT, "ledger: a launch has damaged numbers");
}

gboolean core_launch_find(ImpLedger *ledger, gint64 station_ref, const ImpId *id, CoreLaunch *out)
{
    g_auto(ImpRow) row = {0};
    if (!imp_sql_find(&ledger->sql, &row,
                      "SELECT " CORE_LAUNCH_COLUMNS " FROM launch l WHERE l.id = ?1 AND l.station = ?2", "di",
                      id, station_ref))
        return FALSE;
    core_launch_read(ledger, &row, out);
    return imp_sql_ok(&ledger->sql);
}

void core_launch_insert(ImpLedger *ledger, const CoreLaunch *launch)
{
    gsize n_bytes;
    g_autofree guint8 *numbers = core_numbers_pack(launch->numbers, launch->n_numbers, &n_bytes);
    imp_sql_run(&ledger->sql,
                "INSERT INTO launch (id, station, own, image, state, phase, settled, kept, uncounted, seq, "
                "start_number, granted_us, port, work_order, person, uid, numbers) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
                "diidiiiiiiiitttbb", &launch->id, launch->station_ref, (gint64)(launch->own != 0),
                &launch->image, (gint64)launch->state, (gint64)launch->phase, (gint64)(launch->settled != 0),
                (gint64)(launch->kept != 0), (gint64)(launch->uncounted != 0), (gint64)launch->seq,
                (gint64)launch->start_number, launch->granted_us, launch->port, launch->order, launch->person,
                launch->n_uid > 0 ? launch->uid : NULL, (gsize)launch->n_uid, numbers, n_bytes);
}

void core_launch_report(const CoreLaunch *launch, ImpReport *out_report)
{
    memset(out_report, 0, sizeof *out_report);
    out_report->launch = launch->id;
    out_report->image = launch->image;
    out_report->seq = launch->seq;
    out_report->start_number = launch->start_number;
    out_report->began_real_us = launch->granted_us;
    memcpy(out_report->port, launch->port, sizeof out_report->port);
    memcpy(out_report->order, launch->order, sizeof out_report->order);
    memcpy(out_report->person, launch->person, sizeof out_report->person);
    memcpy(out_report->uid, launch->uid, sizeof out_report->uid);
    out_report->n_uid = launch->n_uid;
    memcpy(out_report->numbers, launch->numbers, sizeof out_report->numbers);
    out_report->n_numbers = launch->n_numbers;
}
