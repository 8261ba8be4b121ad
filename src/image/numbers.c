#include "image/numbers.h"

#include <string.h>

#include "base/json.h"

#define NUMBER "%" G_GUINT64_FORMAT

/* Free with g_free. */
static char *own_id(const char *pool_id, guint64 first, guint64 last)
{
    return g_strdup_printf("%s." NUMBER "-" NUMBER, pool_id, first, last);
}

static gboolean get_bound(const json_t *definition, const char *name, guint64 *out)
{
    const json_t *value = json_object_get(definition, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return FALSE;
    *out = (guint64)json_integer_value(value);
    return TRUE;
}

/* The definition is canonical JSON wherever content comes from; NULL and an error if it has no bounds. */
static json_t *read_definition(const ImpPoolUse *pool, guint64 *out_first, guint64 *out_last,
                               guint64 *out_step, GError **error)
{
    json_t *definition = json_loads(pool->definition, 0, NULL);
    *out_step = 1;
    if (get_bound(definition, "first", out_first) && get_bound(definition, "last", out_last) &&
        (json_object_get(definition, "step") == NULL || get_bound(definition, "step", out_step)) &&
        *out_step > 0)
        return definition;
    json_decref(definition);
    imp_error_set(error, IMP_E_CONTENT_INVALID, "the definition of the pool %s has no bounds", pool->id);
    return NULL;
}

gboolean imp_numbers_check_range(const ImpPoolUse *pool, guint64 first, guint64 last, GError **error)
{
    guint64 pool_first, pool_last, step;
    json_auto_t *definition = read_definition(pool, &pool_first, &pool_last, &step, error);
    if (definition == NULL)
        return FALSE;
    g_autofree char *id = own_id(pool->id, first, last);
    if (first > last) {
        imp_error_set(error, IMP_E_NUMBERS_OUTSIDE_POOL,
                      "numbers: " NUMBER " to " NUMBER " ends before it begins", first, last);
        return FALSE;
    }
    if (first < pool_first || last > pool_last) {
        imp_error_set(error, IMP_E_NUMBERS_OUTSIDE_POOL,
                      "numbers: " NUMBER " to " NUMBER " is not inside the pool %s, which has " NUMBER
                      " to " NUMBER,
                      first, last, pool->id, pool_first, pool_last);
        return FALSE;
    }
    if ((first - pool_first) % step != 0 || (last - pool_first) % step != 0) {
        imp_error_set(error, IMP_E_NUMBERS_OUTSIDE_POOL,
                      "numbers: " NUMBER " to " NUMBER
                      ": both must be numbers of the pool %s, which counts " NUMBER ", " NUMBER ", …",
                      first, last, pool->id, pool_first, pool_first + step);
        return FALSE;
    }
    if (strlen(id) > IMP_CONTENT_NAME_MAX) {
        imp_error_set(error, IMP_E_LIMIT,
                      "numbers: their pool would be called %s, which is longer than %d characters; give "
                      "the pool a shorter name",
                      id, IMP_CONTENT_NAME_MAX);
        return FALSE;
    }
    return TRUE;
}

/* FALSE. */
static gboolean refuse(GError **error, const char *why)
{
    imp_error_set(error, IMP_E_ARGUMENT, "numbers: %s", why);
    return FALSE;
}

gboolean imp_numbers_is_external(const ImpPoolUse *pool)
{
    json_auto_t *definition = json_loads(pool->definition, 0, NULL);
    return json_object_get(json_object_get(definition, "format"), "external") != NULL;
}

static const ImpNumberRange *range_of(const ImpRestrictions *restrictions, gsize pool_index)
{
    for (guint32 i = 0; i < restrictions->n_numbers; i++)
        if (restrictions->numbers[i].pool_index == pool_index)
            return &restrictions->numbers[i];
    return NULL;
}

gboolean imp_numbers_complete(ImpImageKind kind, const ImpContent *content,
                              const ImpRestrictions *restrictions, GError **error)
{
    for (gsize i = 0; kind == IMP_IMAGE_SAP && i < content->n_pools; i++) {
        const char *id = content->pools[i].id;
        if (range_of(restrictions, i) != NULL || imp_numbers_is_external(&content->pools[i]))
            continue;
        imp_error_set(
            error, IMP_E_SAP_NUMBERS_MISSING,
            "a SAP needs a range of its own of the pool %s: its station gives numbers without asking the "
            "cloud,\n  which would give the same ones to other units. Take one out of the cloud's pool:\n"
            "    imprint pool split %s --count N --reason TEXT\n"
            "  and name what it prints: 'numbers: A to B' in the release, or --numbers %sA-B",
            id, id, content->n_pools > 1 ? "POOL=" : "");
        return FALSE;
    }
    return TRUE;
}

gboolean imp_numbers_check(ImpImageKind kind, const ImpContent *content, const ImpRestrictions *restrictions,
                           GError **error)
{
    if (restrictions->n_numbers > 0 && kind == IMP_IMAGE_JOB)
        return refuse(error, "only a SAP has them; the numbers of a JOB come from its cloud");
    for (guint32 i = 0; i < restrictions->n_numbers; i++) {
        const ImpNumberRange *range = &restrictions->numbers[i];
        if (range->pool_index >= content->n_pools)
            return refuse(error, "it takes no number from a pool");
        if (imp_numbers_is_external(&content->pools[range->pool_index]))
            return refuse(error, "those of an external pool come with the launches");
        if (!imp_numbers_check_range(&content->pools[range->pool_index], range->first, range->last, error))
            return FALSE;
    }
    return imp_numbers_complete(kind, content, restrictions, error);
}

/* The index of the pool that is meant; -1 and an error. */
static int find_pool(const ImpPoolUse *pools, gsize n_pools, const char *id, GError **error)
{
    int found = -1;
    for (gsize i = 0; i < n_pools; i++) {
        if (id != NULL ? strcmp(pools[i].id, id) != 0 : imp_numbers_is_external(&pools[i]))
            continue;
        if (found >= 0) {
            refuse(error, "it takes numbers from several pools: say of which one each range is (POOL=A-B)");
            return -1;
        }
        found = (int)i;
    }
    if (found < 0)
        refuse(error, id != NULL ? "it takes no number from a pool of that name"
                                 : "it takes no number from a pool that has ranges");
    return found;
}

gboolean imp_numbers_add(const ImpPoolUse *pools, gsize n_pools, const char *id, guint64 first, guint64 last,
                         ImpRestrictions *restrictions, GError **error)
{
    int index = find_pool(pools, n_pools, id, error);
    if (index < 0)
        return FALSE;
    guint32 at = 0;
    while (at < restrictions->n_numbers && restrictions->numbers[at].pool_index < (guint32)index)
        at++;
    if (at < restrictions->n_numbers && restrictions->numbers[at].pool_index == (guint32)index)
        return refuse(error, "a pool has one range");
    g_assert(restrictions->n_numbers < G_N_ELEMENTS(restrictions->numbers));
    memmove(&restrictions->numbers[at + 1], &restrictions->numbers[at],
            (restrictions->n_numbers - at) * sizeof restrictions->numbers[0]);
    restrictions->numbers[at] = (ImpNumberRange){(guint32)index, first, last};
    restrictions->n_numbers++;
    return TRUE;
}

/* Gives the pool another ID, and bounds unless range is NULL. */
static gboolean narrow(ImpPoolUse *pool, const ImpNumberRange *range, GError **error)
{
    json_auto_t *definition = json_loads(pool->definition, 0, NULL);
    char *id = range != NULL ? own_id(pool->id, range->first, range->last)
                             : g_strconcat(pool->id, IMP_NUMBERS_STATION, NULL);
    if (strlen(id) > IMP_CONTENT_NAME_MAX || definition == NULL) {
        imp_error_set(error, IMP_E_LIMIT,
                      "the pool %s would be called %s, which is longer than %d characters", pool->id, id,
                      IMP_CONTENT_NAME_MAX);
        g_free(id);
        return FALSE;
    }
    if (range != NULL) {
        json_object_set_new(definition, "first", json_integer((json_int_t)range->first));
        json_object_set_new(definition, "last", json_integer((json_int_t)range->last));
    }
    json_object_set_new(definition, "id", json_string(id));
    g_free(pool->definition);
    pool->definition = imp_json_text(definition);
    g_free(pool->id);
    pool->id = id;
    return TRUE;
}

gboolean imp_numbers_narrow(ImpImageKind kind, ImpContent *content, const ImpRestrictions *restrictions,
                            GError **error)
{
    for (guint32 i = 0; i < restrictions->n_numbers; i++) {
        const ImpNumberRange *range = &restrictions->numbers[i];
        if (range->pool_index >= content->n_pools)
            return refuse(error, "it takes no number from a pool");
        if (!imp_numbers_check_range(&content->pools[range->pool_index], range->first, range->last, error))
            return FALSE;
    }
    for (gsize i = 0; i < content->n_pools; i++) {
        ImpPoolUse *pool = &content->pools[i];
        const ImpNumberRange *range = range_of(restrictions, i);
        gboolean own = range != NULL || (kind == IMP_IMAGE_SAP && imp_numbers_is_external(pool));
        if (own && !narrow(pool, range, error))
            return FALSE;
    }
    return TRUE;
}

char *imp_numbers_recipe_id(const ImpPoolUse *pool, const ImpNumberRange *range)
{
    g_autofree char *suffix = own_id("", range->first, range->last);
    g_assert(g_str_has_suffix(pool->id, suffix));
    return g_strndup(pool->id, strlen(pool->id) - strlen(suffix));
}

char *imp_numbers_text(const char *pool_id, guint64 first, guint64 last)
{
    g_autofree char *id = own_id(pool_id, first, last);
    return g_strdup_printf(NUMBER " to " NUMBER " of pool %s, as pool %s", first, last, pool_id, id);
}
