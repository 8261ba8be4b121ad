#include "image/policy_json.h"

#include <string.h>

#include "image/clear.h"

static const char *const count_on_names[] = {[IMP_COUNT_ON_PASS] = "pass", [IMP_COUNT_ON_WRITE] = "write"};

/* Seconds since 1970 until the year 10000: every calendar can still print it. */
#define TIME_MAX_S G_GINT64_CONSTANT(253402300799)

/* Of the first pool alone, as images had it before there were several. */
static void encode_numbers(const ImpRestrictions *restrictions, json_t *object)
{
    const ImpNumberRange *range = restrictions->numbers;
    if (restrictions->n_numbers == 1 && range->pool_index == 0) {
        json_object_set_new(
            object, "numbers",
            json_pack("{s:I, s:I}", "first", (json_int_t)range->first, "last", (json_int_t)range->last));
        return;
    }
    json_t *list = json_array();
    for (guint32 i = 0; i < restrictions->n_numbers; i++)
        json_array_append_new(list,
                              json_pack("{s:I, s:I, s:I}", "first", (json_int_t)range[i].first, "last",
                                        (json_int_t)range[i].last, "pool", (json_int_t)range[i].pool_index));
    if (restrictions->n_numbers > 0)
        json_object_set_new(object, "ranges", list);
    else
        json_decref(list);
}

json_t *imp_restrictions_encode(const ImpRestrictions *restrictions)
{
    json_t *object = json_object();
    json_object_set_new(object, "count_on", json_string(count_on_names[restrictions->count_on]));
    if (restrictions->has_units)
        json_object_set_new(object, "units", json_integer((json_int_t)restrictions->units));
    if (restrictions->has_max_failures)
        json_object_set_new(object, "max_failures", json_integer((json_int_t)restrictions->max_failures));
    if (restrictions->has_not_before)
        json_object_set_new(object, "not_before_s", json_integer(restrictions->not_before_s));
    if (restrictions->has_not_after)
        json_object_set_new(object, "not_after_s", json_integer(restrictions->not_after_s));
    if (restrictions->free_rework)
        json_object_set_new(object, "free_rework", json_true());
    encode_numbers(restrictions, object);
    return object;
}

static void decode_range(ImpJson *r, ImpNumberRange *range)
{
    range->first = imp_json_u64(r, "first", 0, G_MAXINT64);
    range->last = imp_json_u64(r, "last", 0, G_MAXINT64);
    if (range->first > range->last)
        imp_json_fault(r, "'first' is greater than 'last'");
}

static void decode_numbers(ImpJson *outer, ImpErrorCode wrong, ImpErrorCode unknown,
                           ImpRestrictions *restrictions)
{
    GError *fault = NULL;
    ImpJson r;
    imp_json_begin(&r, imp_json_object(outer, "numbers"), "numbers", wrong, unknown);
    restrictions->n_numbers = 1;
    decode_range(&r, &restrictions->numbers[0]);
    if (!imp_json_end(&r, &fault))
        imp_json_take(outer, fault);
}

static void decode_ranges(ImpJson *outer, ImpErrorCode wrong, ImpErrorCode unknown,
                          ImpRestrictions *restrictions)
{
    const json_t *list = imp_json_array(outer, "ranges", 1, IMP_CONTENT_POOLS_MAX);
    for (gsize i = 0; i < json_array_size(list); i++) {
        ImpNumberRange *range = &restrictions->numbers[i];
        GError *fault = NULL;
        ImpJson r;
        imp_json_begin(&r, json_array_get(list, i), "range", wrong, unknown);
        range->pool_index = (guint32)imp_json_u64(&r, "pool", 0, IMP_CONTENT_POOLS_MAX - 1);
        decode_range(&r, range);
        if (i > 0 && range->pool_index <= range[-1].pool_index)
            imp_json_fault(&r, "'pool' does not rise");
        if (!imp_json_end(&r, &fault))
            imp_json_take(outer, fault);
    }
    restrictions->n_numbers = (guint32)json_array_size(list);
    if (imp_json_ok(outer) && restrictions->n_numbers == 1 && restrictions->numbers[0].pool_index == 0)
        imp_json_fault(outer, "'ranges' of the first pool alone is written as 'numbers'");
}

gboolean imp_restrictions_decode(const json_t *object, ImpErrorCode wrong, ImpErrorCode unknown,
                                 ImpRestrictions *out_restrictions, GError **error)
{
    ImpRestrictions restrictions = {0};
    ImpJson r;
    imp_json_begin(&r, object, "restrictions", wrong, unknown);
    restrictions.count_on = imp_json_word(&r, "count_on", count_on_names, G_N_ELEMENTS(count_on_names));
    restrictions.has_units = imp_json_has(&r, "units");
    if (restrictions.has_units)
        restrictions.units = imp_json_u64(&r, "units", 0, G_MAXINT64);
    restrictions.has_max_failures = imp_json_has(&r, "max_failures");
    if (restrictions.has_max_failures)
        restrictions.max_failures = imp_json_u64(&r, "max_failures", 0, G_MAXINT64);
    restrictions.has_not_before = imp_json_has(&r, "not_before_s");
    if (restrictions.has_not_before)
        restrictions.not_before_s = imp_json_i64(&r, "not_before_s", 0, TIME_MAX_S);
    restrictions.has_not_after = imp_json_has(&r, "not_after_s");
    if (restrictions.has_not_after)
        restrictions.not_after_s = imp_json_i64(&r, "not_after_s", 0, TIME_MAX_S);
    if (restrictions.has_not_before && restrictions.has_not_after &&
        restrictions.not_before_s > restrictions.not_after_s)
        imp_json_fault(&r, "'not_before_s' is later than 'not_after_s'");
    restrictions.free_rework = imp_json_has(&r, "free_rework") && imp_json_bool(&r, "free_rework");
    if (imp_json_has(&r, "numbers"))
        decode_numbers(&r, wrong, unknown, &restrictions);
    else if (imp_json_has(&r, "ranges"))
        decode_ranges(&r, wrong, unknown, &restrictions);
    if (!imp_json_end(&r, error))
        return FALSE;
    *out_restrictions = restrictions;
    return TRUE;
}

static char *sha256_text(const char *text)
{
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
}

json_t *imp_pools_encode(const ImpPoolUse *pools, gsize n_pools)
{
    json_t *array = json_array();
    for (gsize i = 0; i < n_pools; i++) {
        g_autofree char *sum = sha256_text(pools[i].definition);
        json_t *object = json_object();
        json_object_set_new(object, "id", json_string(pools[i].id));
        json_object_set_new(object, "definition", json_string(pools[i].definition));
        json_object_set_new(object, "sha256", json_string(sum));
        json_array_append_new(array, object);
    }
    return array;
}

/* Two texts of one definition would have two digests, so there is only one text. */
static gboolean is_canonical_object(const char *text)
{
    json_auto_t *json =
        imp_json_parse(text, strlen(text), IMP_DEFINITION_MAX, "definition", IMP_E_SCHEMA, NULL);
    if (!json_is_object(json))
        return FALSE;
    g_autofree char *canonical = imp_json_text(json);
    return strcmp(canonical, text) == 0;
}

static gboolean decode_pool(const json_t *object, ImpErrorCode wrong, ImpErrorCode unknown, ImpPoolUse *pool,
                            GError **error)
{
    guint8 given[IMP_SHA256_BYTES] = {0};
    ImpJson r;
    imp_json_begin(&r, object, "pool", wrong, unknown);
    pool->id = g_strdup(imp_json_string(&r, "id", 1, IMP_CONTENT_NAME_MAX));
    pool->definition = g_strdup(imp_json_string(&r, "definition", 2, IMP_DEFINITION_MAX));
    imp_json_hex(&r, "sha256", given, sizeof given);
    if (imp_json_ok(&r) && !is_canonical_object(pool->definition))
        imp_json_fault(&r, "'definition' of '%s' is no canonical JSON object", pool->id);
    g_autofree char *sum = sha256_text(pool->definition);
    g_autofree char *given_text = imp_hex_encode(given, sizeof given);
    if (strcmp(sum, given_text) != 0)
        imp_json_fault(&r, "'sha256' of '%s' is not the digest of its definition", pool->id);
    return imp_json_end(&r, error);
}

gboolean imp_pools_decode(const json_t *array, ImpErrorCode wrong, ImpErrorCode unknown,
                          ImpPoolUse **out_pools, gsize *out_n_pools, GError **error)
{
    gsize n_pools = json_array_size(array);
    g_assert(n_pools <= IMP_CONTENT_POOLS_MAX);
    ImpPoolUse *pools = g_new0(ImpPoolUse, n_pools);
    for (gsize i = 0; i < n_pools; i++)
        if (!decode_pool(json_array_get(array, i), wrong, unknown, &pools[i], error)) {
            imp_pools_free(pools, n_pools);
            return FALSE;
        }
    *out_pools = pools;
    *out_n_pools = n_pools;
    return TRUE;
}

void imp_pools_free(ImpPoolUse *pools, gsize n_pools)
{
    for (gsize i = 0; pools != NULL && i < n_pools; i++) {
        g_free(pools[i].id);
        g_free(pools[i].definition);
    }
    g_free(pools);
}
