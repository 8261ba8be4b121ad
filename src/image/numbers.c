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

static gboolean refuse(GError **error, const char *why)
{
    imp_error_set(error, IMP_E_ARGUMENT, "numbers: %s", why);
    return FALSE;
}

gboolean imp_numbers_check(ImpImageKind kind, const ImpContent *content, const ImpRestrictions *restrictions,
                           GError **error)
{
    gboolean takes = content->n_pools > 0;
    if (restrictions->has_numbers && kind == IMP_IMAGE_JOB)
        return refuse(error, "only a SAP has them; the numbers of a JOB come from its cloud");
    if (restrictions->has_numbers && !takes)
        return refuse(error, "it takes no number from a pool");
    if (restrictions->has_numbers)
        return imp_numbers_check_range(&content->pools[0], restrictions->first_number,
                                       restrictions->last_number, error);
    if (kind != IMP_IMAGE_SAP || !takes)
        return TRUE;
    imp_error_set(
        error, IMP_E_SAP_NUMBERS_MISSING,
        "a SAP needs a range of its own of the pool %s: its station gives numbers without asking the "
        "cloud,\n  which would give the same ones to other units. Take one out of the cloud's pool:\n"
        "    imprint cloud pool split %s --count N --reason TEXT\n"
        "  and name what it prints: 'numbers: A to B' in the release, or --numbers A-B",
        content->pools[0].id, content->pools[0].id);
    return FALSE;
}

gboolean imp_numbers_narrow(ImpContent *content, const ImpRestrictions *restrictions, GError **error)
{
    if (!restrictions->has_numbers)
        return TRUE;
    if (content->n_pools == 0)
        return refuse(error, "it takes no number from a pool");
    ImpPoolUse *pool = &content->pools[0];
    guint64 first = restrictions->first_number, last = restrictions->last_number, unused;
    if (!imp_numbers_check_range(pool, first, last, error))
        return FALSE;
    json_auto_t *definition = read_definition(pool, &unused, &unused, &unused, error);
    if (definition == NULL)
        return FALSE;
    char *id = own_id(pool->id, first, last);
    json_object_set_new(definition, "first", json_integer((json_int_t)first));
    json_object_set_new(definition, "last", json_integer((json_int_t)last));
    json_object_set_new(definition, "id", json_string(id));
    g_free(pool->definition);
    pool->definition = imp_json_text(definition);
    g_free(pool->id);
    pool->id = id;
    return TRUE;
}

char *imp_numbers_text(const char *pool_id, guint64 first, guint64 last)
{
    g_autofree char *id = own_id(pool_id, first, last);
    return g_strdup_printf(NUMBER " to " NUMBER " of pool %s, as pool %s", first, last, pool_id, id);
}
