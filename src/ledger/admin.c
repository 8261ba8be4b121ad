/* What people do and look at: pools, launches in work, settling. */
#include "ledger/core.h"

#include <jansson.h>
#include <string.h>

/* ---- pools ---- */

#define POOL_COLUMNS "p.ref, p.account, p.id, p.definition, p.next, p.free, p.held, p.used, p.spent"

static void read_pool(ImpLedger *ledger, const ImpRow *row, ImpLedgerPoolStatus *out)
{
    memset(out, 0, sizeof *out);
    const ImpPool *pool = core_pool(ledger, imp_row_i64(row, 0));
    if (pool == NULL)
        return;
    imp_row_copy(row, 1, out->account, sizeof out->account);
    imp_row_copy(row, 2, out->id, sizeof out->id);
    g_autofree char *brief = imp_pool_short(imp_row_text(row, 3));
    g_strlcpy(out->definition, brief, sizeof out->definition);
    out->external = pool->format == IMP_POOL_EXTERNAL;
    out->next = imp_row_is_null(row, 4) ? pool->last + pool->step : (guint64)imp_row_i64(row, 4);
    out->free = (guint64)imp_row_i64(row, 5);
    out->held = (guint64)imp_row_i64(row, 6);
    out->used = (guint64)imp_row_i64(row, 7);
    out->spent = (guint64)imp_row_i64(row, 8);
    out->remaining = imp_pool_capacity(pool, out->next) + out->free;
    if (!out->external && imp_pool_contains(pool, out->next)) {
        ImpNumber next;
        imp_pool_format(pool, out->next, core_now(ledger), &next);
        g_strlcpy(out->next_text, next.text, sizeof out->next_text);
    }
}

gboolean imp_ledger_pool_get(ImpLedger *ledger, const char *account, const char *pool,
                             ImpLedgerPoolStatus *out_status, GError **error)
{
    g_auto(ImpRow) row = {0};
    gboolean found = imp_sql_find(&ledger->sql, &row,
                                  "SELECT " POOL_COLUMNS " FROM pool p WHERE p.account = ?1 AND p.id = ?2",
                                  "tt", account, pool);
    ImpLedgerPoolStatus status;
    if (found)
        read_pool(ledger, &row, &status);
    if (!imp_sql_take(&ledger->sql, error))
        return FALSE;
    if (!found) {
        imp_error_set(error, IMP_E_NOT_FOUND, "no pool %s is known", pool);
        return FALSE;
    }
    *out_status = status;
    return TRUE;
}

GArray *imp_ledger_pool_list(ImpLedger *ledger, const char *account, GError **error)
{
    g_autoptr(GArray) pools = g_array_new(FALSE, FALSE, sizeof(ImpLedgerPoolStatus));
    g_auto(ImpRow) row = {0};
    for (gboolean more =
             imp_sql_find(&ledger->sql, &row,
                          "SELECT " POOL_COLUMNS " FROM pool p WHERE ?1 IS NULL OR p.account = ?1 "
                          "ORDER BY p.account, p.id LIMIT ?2",
                          "ti", account, (gint64)IMP_LEDGER_LIST_MAX);
         more; more = imp_sql_next(&row)) {
        g_array_set_size(pools, pools->len + 1);
        read_pool(ledger, &row, &g_array_index(pools, ImpLedgerPoolStatus, pools->len - 1));
    }
    return imp_sql_take(&ledger->sql, error) ? g_steal_pointer(&pools) : NULL;
}

json_t *imp_ledger_pool_view(const ImpLedgerPoolStatus *status)
{
    json_t *view =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "pool", status->id, "definition", status->definition,
                  "free", (json_int_t)status->free, "held", (json_int_t)status->held, "used",
                  (json_int_t)status->used, "spent", (json_int_t)status->spent);
    if (status->external) { /* what comes with the launches has neither a next one nor an end */
        json_object_set_new(view, "external", json_true());
        return view;
    }
    json_object_set_new(view, "next", json_integer((json_int_t)MIN(status->next, (guint64)G_MAXINT64)));
    json_object_set_new(view, "remaining",
                        json_integer((json_int_t)MIN(status->remaining, (guint64)G_MAXINT64)));
    if (status->next_text[0] != '\0')
        json_object_set_new(view, "next_text", json_string(status->next_text));
    return view;
}

/* Is next one of the pool's numbers, or what comes after the last? */
static gboolean next_ok(const ImpPool *pool, guint64 next, gboolean *out_end)
{
    *out_end = next > pool->last && next - pool->last <= pool->step;
    return *out_end || imp_pool_contains(pool, next);
}

/* The pool that a person wants to change, as it stands. */
static const ImpPool *need_pool(ImpLedger *ledger, const char *account, const char *id,
                                ImpLedgerPoolStatus *out_status, GError **error)
{
    if (!imp_ledger_pool_get(ledger, account, id, out_status, error))
        return NULL;
    if (out_status->external) {
        imp_error_set(error, IMP_E_STATE,
                      "the numbers of the pool %s come with the launches: it has no next one", id);
        return NULL;
    }
    const ImpPool *pool = core_pool(ledger, core_pool_ref(ledger, account, id));
    if (pool == NULL)
        (void)imp_sql_take(&ledger->sql, error);
    return pool;
}

static gboolean set_next(ImpLedger *ledger, const char *account, const char *id, guint64 next,
                         const ImpAct *act, GError **error)
{
    ImpLedgerPoolStatus status;
    const ImpPool *pool = need_pool(ledger, account, id, &status, error);
    if (pool == NULL)
        return FALSE;
    gboolean end;
    if (!next_ok(pool, next, &end)) {
        imp_error_set(error, IMP_E_ARGUMENT, "%" G_GUINT64_FORMAT " is not a number of the pool %s", next,
                      id);
        return FALSE;
    }
    if (next < status.next) {
        imp_error_set(error, IMP_E_STATE,
                      "the pool %s has given the numbers before %" G_GUINT64_FORMAT
                      " already: the next number only goes forward",
                      id, status.next);
        return FALSE;
    }
    imp_sql_run(&ledger->sql, "UPDATE pool SET next = ?1 WHERE account = ?2 AND id = ?3", "ntt", !end,
                (gint64)next, account, id);
    core_audit(ledger, "pool-set-next", id, act);
    return TRUE;
}

gboolean imp_ledger_pool_set_next(ImpLedger *ledger, const char *account, const char *pool, guint64 next,
                                  const ImpAct *act, GError **error)
{
    if (!core_needs_reason(act, error) || !core_enter(ledger, error))
        return FALSE;
    return core_leave(ledger, set_next(ledger, account, pool, next, act, error), error);
}

static gboolean split(ImpLedger *ledger, const char *account, const char *id, guint64 count,
                      const ImpAct *act, guint64 *out_first, guint64 *out_last, GError **error)
{
    ImpLedgerPoolStatus status;
    const ImpPool *pool = need_pool(ledger, account, id, &status, error);
    if (pool == NULL)
        return FALSE;
    guint64 left = imp_pool_capacity(pool, status.next);
    if (count == 0 || count > left) {
        imp_error_set(error, count == 0 ? IMP_E_ARGUMENT : IMP_E_POOL_EXHAUSTED,
                      "%" G_GUINT64_FORMAT
                      " numbers cannot be taken out of the pool %s: it has %" G_GUINT64_FORMAT
                      " that were never given",
                      count, id, left);
        return FALSE;
    }
    guint64 last = status.next + (count - 1) * pool->step;
    imp_sql_run(&ledger->sql, "UPDATE pool SET next = ?1 WHERE account = ?2 AND id = ?3", "ntt", count < left,
                (gint64)(last + pool->step), account, id);
    g_autofree char *subject =
        g_strdup_printf("%s %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, id, status.next, last);
    core_audit(ledger, "pool-split", subject, act);
    *out_first = status.next;
    *out_last = last;
    return TRUE;
}

gboolean imp_ledger_pool_split(ImpLedger *ledger, const char *account, const char *pool, guint64 count,
                               const ImpAct *act, guint64 *out_first, guint64 *out_last, GError **error)
{
    guint64 first, last;
    if (!core_needs_reason(act, error) || !core_enter(ledger, error))
        return FALSE;
    if (!core_leave(ledger, split(ledger, account, pool, count, act, &first, &last, error), error))
        return FALSE;
    *out_first = first;
    *out_last = last;
    return TRUE;
}

/* ---- launches in work ---- */

GArray *imp_ledger_open_launches(ImpLedger *ledger, const ImpId *image, GError **error)
{
    g_autoptr(GArray) open = g_array_new(FALSE, FALSE, sizeof(ImpLedgerOpen));
    gint64 silent_us = core_now(ledger) - IMP_LEDGER_SILENT_US;
    CoreLaunch row_launch;
    g_auto(ImpRow) row = {0};
    for (gboolean more =
             imp_sql_find(&ledger->sql, &row,
                          "SELECT " CORE_LAUNCH_COLUMNS ", s.id, s.ref <> 0 AND s.heard_us <= ?1 "
                          "FROM launch l JOIN station s ON s.ref = l.station WHERE l.state = " SQL_OPEN
                          " AND (?2 IS NULL OR l.image = ?2) ORDER BY l.granted_us, l.id LIMIT ?3",
                          "ibi", silent_us, image != NULL ? image->bytes : NULL, (gsize)IMP_ID_BYTES,
                          (gint64)IMP_LEDGER_LIST_MAX);
         more; more = imp_sql_next(&row)) {
        core_launch_read(ledger, &row, &row_launch);
        ImpLedgerOpen launch = {.launch = row_launch.id,
                                .image = row_launch.image,
                                .station = imp_row_id(&row, CORE_LAUNCH_N_COLUMNS),
                                .granted_us = row_launch.granted_us,
                                .start_number = row_launch.start_number,
                                .settled = row_launch.settled,
                                .in_doubt = imp_row_i64(&row, CORE_LAUNCH_N_COLUMNS + 1) != 0,
                                .n_numbers = row_launch.n_numbers};
        memcpy(launch.port, row_launch.port, sizeof launch.port);
        memcpy(launch.order, row_launch.order, sizeof launch.order);
        memcpy(launch.person, row_launch.person, sizeof launch.person);
        memcpy(launch.numbers, row_launch.numbers, sizeof launch.numbers);
        g_array_append_val(open, launch);
    }
    return imp_sql_take(&ledger->sql, error) ? g_steal_pointer(&open) : NULL;
}

/* What settling needs to know beside the launch's own row. */
typedef struct {
    gint64 station_ref, heard_us;
    char account[IMP_WIRE_NAME_SIZE];
} Holder;

static gboolean find_holder(ImpLedger *ledger, const ImpId *station, Holder *out)
{
    g_auto(ImpRow) row = {0};
    if (!imp_sql_find(&ledger->sql, &row, "SELECT ref, account, heard_us FROM station WHERE id = ?1", "d",
                      station))
        return FALSE;
    out->station_ref = imp_row_i64(&row, 0);
    imp_row_copy(&row, 1, out->account, sizeof out->account);
    out->heard_us = imp_row_i64(&row, 2);
    return TRUE;
}

static gboolean may_settle(ImpLedger *ledger, const Holder *holder, const CoreLaunch *launch, GError **error)
{
    char id[IMP_ID_TEXT_SIZE];
    imp_id_text(&launch->id, id);
    if (holder->station_ref == 0)
        imp_error_set(error, IMP_E_STATE, "a station ends its own launches itself, at its next start");
    else if (launch->state != CORE_OPEN || launch->settled)
        imp_error_set(error, IMP_E_STATE, "the launch %s %s", id,
                      launch->settled ? "is settled already" : "has ended");
    else if (holder->heard_us > core_now(ledger) - IMP_LEDGER_SILENT_US)
        imp_error_set(error, IMP_E_STATE,
                      "the station of launch %s was heard less than a minute ago: it will report itself", id);
    else
        return TRUE;
    return FALSE;
}

static gboolean settle(ImpLedger *ledger, const ImpId *station, const ImpId *launch_id, const ImpAct *act,
                       GError **error)
{
    char id[IMP_ID_TEXT_SIZE];
    Holder holder;
    CoreLaunch launch;
    if (!find_holder(ledger, station, &holder) ||
        !core_launch_find(ledger, holder.station_ref, launch_id, &launch)) {
        if (imp_sql_take(&ledger->sql, error))
            imp_error_set(error, IMP_E_NOT_FOUND, "no launch %s of that station is known",
                          imp_id_text(launch_id, id));
        return FALSE;
    }
    if (!may_settle(ledger, &holder, &launch, error))
        return FALSE;
    /* Its allowance is its unit, so it counts from now on. */
    imp_sql_run(&ledger->sql, "UPDATE launch SET settled = 1, uncounted = 0 WHERE id = ?1 AND station = ?2",
                "di", launch_id, holder.station_ref);
    if (launch.uncounted)
        core_image_count(ledger, &launch.image, -1, 0);
    imp_sql_run(&ledger->sql, "UPDATE image SET settled = settled + 1 WHERE id = ?1", "d", &launch.image);
    core_numbers_set(ledger, holder.account, holder.station_ref, launch_id, launch.numbers, launch.n_numbers,
                     CORE_SPENT);
    core_audit(ledger, "settle", imp_id_text(launch_id, id), act);
    return TRUE;
}

gboolean imp_ledger_settle(ImpLedger *ledger, const ImpId *station, const ImpId *launch, const ImpAct *act,
                           GError **error)
{
    if (!core_needs_reason(act, error) || !core_enter(ledger, error))
        return FALSE;
    return core_leave(ledger, settle(ledger, station, launch, act, error), error);
}
