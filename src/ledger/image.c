#include "ledger/core.h"

#include <string.h>

#define IMAGE_COLUMNS                                                                                        \
    "id, account, scope, name, units, max_failures, not_before_s, not_after_s, count_on, rework, "           \
    "state, deleted, added_us, settled, more_failures, open, passed, failed, spent, unknown, lost, "         \
    "returned, "                                                                                             \
    "free_rework, free_open, free_used"

static void read_image(const ImpRow *row, ImpLedgerImageStatus *out)
{
    memset(out, 0, sizeof *out);
    out->id = imp_row_id(row, 0);
    imp_row_copy(row, 1, out->account, sizeof out->account);
    imp_row_copy(row, 2, out->scope, sizeof out->scope);
    imp_row_copy(row, 3, out->name, sizeof out->name);
    ImpLedgerLimits *limits = &out->limits;
    limits->has_units = !imp_row_is_null(row, 4);
    limits->units = (guint64)imp_row_i64(row, 4);
    limits->has_max_failures = !imp_row_is_null(row, 5);
    limits->max_failures = (guint64)imp_row_i64(row, 5);
    limits->has_not_before = !imp_row_is_null(row, 6);
    limits->not_before_s = imp_row_i64(row, 6);
    limits->has_not_after = !imp_row_is_null(row, 7);
    limits->not_after_s = imp_row_i64(row, 7);
    limits->count_on = (ImpLedgerCountOn)imp_row_i64(row, 8);
    out->rework = (ImpLedgerRework)imp_row_i64(row, 9);
    out->state = (ImpLedgerImageState)imp_row_i64(row, 10);
    out->deleted = imp_row_i64(row, 11) != 0;
    out->added_us = imp_row_i64(row, 12);
    out->settled = (guint64)imp_row_i64(row, 13);
    out->more_failures = (guint64)imp_row_i64(row, 14);
    out->open = (guint64)imp_row_i64(row, 15);
    out->passed = (guint64)imp_row_i64(row, 16);
    out->failed = (guint64)imp_row_i64(row, 17);
    out->spent = (guint64)imp_row_i64(row, 18);
    out->unknown = (guint64)imp_row_i64(row, 19);
    out->lost = (guint64)imp_row_i64(row, 20);
    out->returned = (guint64)imp_row_i64(row, 21);
    out->free_rework = imp_row_i64(row, 22) != 0;
    out->free_open = (guint64)imp_row_i64(row, 23);
    out->free_used = (guint64)imp_row_i64(row, 24);
}

gboolean core_image_read(ImpLedger *ledger, const ImpId *image, ImpLedgerImageStatus *out_status)
{
    g_auto(ImpRow) row = {0};
    if (!imp_sql_find(&ledger->sql, &row, "SELECT " IMAGE_COLUMNS " FROM image WHERE id = ?1", "d", image))
        return FALSE;
    read_image(&row, out_status);
    return TRUE;
}

void core_image_count(ImpLedger *ledger, const ImpId *image, int free_open, int free_used)
{
    imp_sql_run(&ledger->sql,
                "UPDATE image SET free_open = free_open + ?1, free_used = free_used + ?2 WHERE id = ?3",
                "iid", (gint64)free_open, (gint64)free_used, image);
}

gboolean core_image_has_date(ImpLedger *ledger, const ImpId *image)
{
    gboolean has = FALSE;
    g_auto(ImpRow) row = {0};
    for (gboolean more =
             imp_sql_find(&ledger->sql, &row, "SELECT pool FROM image_pool WHERE image = ?1", "d", image);
         more; more = imp_sql_next(&row)) {
        const ImpPool *pool = core_pool(ledger, imp_row_i64(&row, 0));
        has = has || (pool != NULL && imp_pool_has_date(pool));
    }
    return has;
}

/* ---- adding ---- */

static gboolean limits_ok(const ImpLedgerLimits *limits, GError **error)
{
    if ((limits->has_units && limits->units > G_MAXINT64) ||
        (limits->has_max_failures && limits->max_failures > G_MAXINT64)) {
        imp_error_set(error, IMP_E_LIMIT, "an image's count may be at most %" G_GINT64_FORMAT, G_MAXINT64);
        return FALSE;
    }
    return TRUE;
}

static gboolean same_limits(const ImpLedgerLimits *a, const ImpLedgerLimits *b)
{
    return a->has_units == b->has_units && (!a->has_units || a->units == b->units) &&
           a->has_max_failures == b->has_max_failures &&
           (!a->has_max_failures || a->max_failures == b->max_failures) &&
           a->has_not_before == b->has_not_before &&
           (!a->has_not_before || a->not_before_s == b->not_before_s) &&
           a->has_not_after == b->has_not_after && (!a->has_not_after || a->not_after_s == b->not_after_s) &&
           a->count_on == b->count_on;
}

/* An image is sealed under its ID: the same ID with other content is a forgery or a defect. */
static gboolean add_again(ImpLedger *ledger, const ImpLedgerImage *image, const ImpLedgerImageStatus *known,
                          const ImpAct *act, GError **error)
{
    char id[IMP_ID_TEXT_SIZE];
    g_autoptr(GPtrArray) pools = imp_ledger_image_pools(ledger, &image->id, error);
    if (pools == NULL)
        return FALSE;
    gboolean same = strcmp(image->account, known->account) == 0 && strcmp(image->scope, known->scope) == 0 &&
                    strcmp(image->name, known->name) == 0 && same_limits(&image->limits, &known->limits) &&
                    image->rework == known->rework && !image->free_rework == !known->free_rework &&
                    pools->len == image->n_pools;
    for (guint32 i = 0; same && i < image->n_pools; i++)
        same = strcmp(image->pools[i], g_ptr_array_index(pools, i)) == 0;
    if (!same) {
        imp_error_set(error, IMP_E_EXISTS,
                      "the image %s is known with another account, scope, name, restriction or pool",
                      imp_id_text(&image->id, id));
        return FALSE;
    }
    if (known->deleted) {
        imp_sql_run(&ledger->sql, "UPDATE image SET deleted = 0 WHERE id = ?1", "d", &image->id);
        core_audit(ledger, "image-add", imp_id_text(&image->id, id), act);
    }
    return TRUE;
}

static gboolean add_pools(ImpLedger *ledger, const ImpLedgerImage *image, GError **error)
{
    for (guint32 i = 0; i < image->n_pools; i++) {
        gint64 ref = core_pool_add(ledger, image->account, image->pools[i], error);
        if (ref == 0)
            return FALSE;
        for (guint32 k = 0; k < i; k++)
            if (strcmp(image->pools[i], image->pools[k]) == 0) {
                const ImpPool *pool = core_pool(ledger, ref);
                imp_error_set(error, IMP_E_ARGUMENT, "an image names the pool %s twice",
                              pool != NULL ? pool->id : "");
                return FALSE;
            }
        imp_sql_run(&ledger->sql, "INSERT INTO image_pool (image, place, pool) VALUES (?1, ?2, ?3)", "dii",
                    &image->id, (gint64)i, ref);
    }
    return TRUE;
}

static gboolean add_new(ImpLedger *ledger, const ImpLedgerImage *image, const ImpAct *act, GError **error)
{
    const ImpLedgerLimits *limits = &image->limits;
    imp_sql_run(
        &ledger->sql,
        "INSERT INTO image (id, account, scope, name, units, max_failures, not_before_s, not_after_s, "
        "count_on, rework, state, added_us, free_rework) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        "dtttnnnniiiii", &image->id, image->account, image->scope, image->name, limits->has_units,
        (gint64)limits->units, limits->has_max_failures, (gint64)limits->max_failures, limits->has_not_before,
        limits->not_before_s, limits->has_not_after, limits->not_after_s, (gint64)limits->count_on,
        (gint64)image->rework, (gint64)IMP_LEDGER_ACTIVE, core_now(ledger),
        (gint64)(image->free_rework != 0));
    char id[IMP_ID_TEXT_SIZE];
    core_audit(ledger, "image-add", imp_id_text(&image->id, id), act);
    return add_pools(ledger, image, error);
}

gboolean imp_ledger_image_add(ImpLedger *ledger, const ImpLedgerImage *image, const ImpAct *act,
                              GError **error)
{
    g_assert(image->n_pools <= IMP_WIRE_NUMBERS_MAX);
    g_assert(image->rework >= IMP_LEDGER_REWORK_REFUSE && image->rework <= IMP_LEDGER_REWORK_NEW);
    if (!limits_ok(&image->limits, error) || !core_enter(ledger, error))
        return FALSE;
    ImpLedgerImageStatus known;
    gboolean ok = core_image_read(ledger, &image->id, &known) ? add_again(ledger, image, &known, act, error)
                                                              : add_new(ledger, image, act, error);
    return core_leave(ledger, ok, error);
}

/* ---- changing ---- */

static gboolean need_image(ImpLedger *ledger, const ImpId *image, ImpLedgerImageStatus *out, GError **error)
{
    if (core_image_read(ledger, image, out))
        return TRUE;
    if (imp_sql_take(&ledger->sql, error)) {
        char id[IMP_ID_TEXT_SIZE];
        imp_error_set(error, IMP_E_IMAGE_UNKNOWN, "no image %s is registered", imp_id_text(image, id));
    }
    return FALSE;
}

static void set_effect(ImpLedger *ledger, guint64 open, ImpLedgerEffect *out_effect)
{
    if (out_effect != NULL)
        *out_effect = (ImpLedgerEffect){core_now(ledger) + IMP_LEDGER_USABLE_US, open};
}

gboolean imp_ledger_image_set_state(ImpLedger *ledger, const ImpId *image, ImpLedgerImageState state,
                                    const ImpAct *act, ImpLedgerEffect *out_effect, GError **error)
{
    static const char *const actions[] = {[IMP_LEDGER_ACTIVE] = "image-resume",
                                          [IMP_LEDGER_PAUSED] = "image-pause",
                                          [IMP_LEDGER_DISABLED] = "image-disable"};
    g_assert(state >= IMP_LEDGER_ACTIVE && state <= IMP_LEDGER_DISABLED);
    if (!core_enter(ledger, error))
        return FALSE;
    char id[IMP_ID_TEXT_SIZE];
    ImpLedgerImageStatus known = {0};
    gboolean ok = need_image(ledger, image, &known, error);
    if (ok && known.state == IMP_LEDGER_DISABLED && state != IMP_LEDGER_DISABLED) {
        imp_error_set(error, IMP_E_STATE, "the image %s is disabled, and stays so", imp_id_text(image, id));
        ok = FALSE;
    }
    if (ok) {
        imp_sql_run(&ledger->sql, "UPDATE image SET state = ?1 WHERE id = ?2", "id", (gint64)state, image);
        core_audit(ledger, actions[state], imp_id_text(image, id), act);
    }
    if (!core_leave(ledger, ok, error))
        return FALSE;
    set_effect(ledger, known.open, out_effect);
    return TRUE;
}

gboolean imp_ledger_image_delete(ImpLedger *ledger, const ImpId *image, const ImpAct *act,
                                 ImpLedgerEffect *out_effect, GError **error)
{
    if (!core_enter(ledger, error))
        return FALSE;
    ImpLedgerImageStatus known = {0};
    gboolean ok = need_image(ledger, image, &known, error);
    if (ok) {
        char id[IMP_ID_TEXT_SIZE];
        imp_sql_run(&ledger->sql, "UPDATE image SET deleted = 1 WHERE id = ?1", "d", image);
        core_audit(ledger, "image-delete", imp_id_text(image, id), act);
    }
    if (!core_leave(ledger, ok, error))
        return FALSE;
    set_effect(ledger, known.open, out_effect);
    return TRUE;
}

gboolean imp_ledger_image_allow_failures(ImpLedger *ledger, const ImpId *image, guint64 more,
                                         const ImpAct *act, GError **error)
{
    if (!core_needs_reason(act, error) || !core_enter(ledger, error))
        return FALSE;
    ImpLedgerImageStatus known;
    gboolean ok = need_image(ledger, image, &known, error);
    if (ok && more > (guint64)G_MAXINT64 - known.more_failures) {
        imp_error_set(error, IMP_E_LIMIT, "too many failures allowed");
        ok = FALSE;
    }
    if (ok) {
        char id[IMP_ID_TEXT_SIZE];
        imp_sql_run(&ledger->sql, "UPDATE image SET more_failures = more_failures + ?1 WHERE id = ?2", "id",
                    (gint64)more, image);
        core_audit(ledger, "image-allow-failures", imp_id_text(image, id), act);
    }
    return core_leave(ledger, ok, error);
}

/* ---- looking ---- */

gboolean imp_ledger_image_get(ImpLedger *ledger, const ImpId *image, ImpLedgerImageStatus *out_status,
                              GError **error)
{
    ImpLedgerImageStatus status;
    if (!need_image(ledger, image, &status, error))
        return FALSE;
    *out_status = status;
    return TRUE;
}

GArray *imp_ledger_image_list(ImpLedger *ledger, const char *account, GError **error)
{
    g_autoptr(GArray) images = g_array_new(FALSE, FALSE, sizeof(ImpLedgerImageStatus));
    g_auto(ImpRow) row = {0};
    for (gboolean more = imp_sql_find(&ledger->sql, &row,
                                      "SELECT " IMAGE_COLUMNS " FROM image WHERE ?1 IS NULL OR account = ?1 "
                                      "ORDER BY added_us DESC, id LIMIT ?2",
                                      "ti", account, (gint64)IMP_LEDGER_LIST_MAX);
         more; more = imp_sql_next(&row)) {
        g_array_set_size(images, images->len + 1);
        read_image(&row, &g_array_index(images, ImpLedgerImageStatus, images->len - 1));
    }
    return imp_sql_take(&ledger->sql, error) ? g_steal_pointer(&images) : NULL;
}

GPtrArray *imp_ledger_image_pools(ImpLedger *ledger, const ImpId *image, GError **error)
{
    g_autoptr(GPtrArray) pools = g_ptr_array_new_with_free_func(g_free);
    g_auto(ImpRow) row = {0};
    for (gboolean more = imp_sql_find(&ledger->sql, &row,
                                      "SELECT p.definition FROM image_pool i JOIN pool p ON p.ref = i.pool "
                                      "WHERE i.image = ?1 ORDER BY i.place",
                                      "d", image);
         more; more = imp_sql_next(&row))
        g_ptr_array_add(pools, g_strdup(imp_row_text(&row, 0)));
    return imp_sql_take(&ledger->sql, error) ? g_steal_pointer(&pools) : NULL;
}

gboolean imp_ledger_unit_known(ImpLedger *ledger, const ImpId *image, const guint8 *uid, gsize n_uid,
                               gboolean *out_known, GError **error)
{
    gint64 n = imp_sql_value(&ledger->sql,
                             "SELECT EXISTS (SELECT 1 FROM record WHERE image = ?1 AND uid = ?2 "
                             "AND result = 2 AND conflict = 0)",
                             "db", image, uid, n_uid);
    if (!imp_sql_take(&ledger->sql, error))
        return FALSE;
    *out_known = n != 0;
    return TRUE;
}
