/* The recipe's values (what differs from unit to unit), places and log. */
#include "build/recipe.h"

#include <string.h>

#include "base/nearest.h"

#define READ_BYTES_MAX 64
#define LOGGED_MAX     IMP_CONTENT_LOGGED_MAX /* values beside numbers that a record holds */
#define BLOCK_BYTES    4 /* of a value from a test: a word, if the recipe says nothing else */
#define PLACES_MAX     256

/* ---- values ---- */

static void read_read_value(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipeValue *value)
{
    value->kind = IMP_VALUE_READ;
    if (node->kind == IMP_YAML_SCALAR) {
        static const char *const words[] = {"uid", NULL};
        imp_yaml_word(yaml, node, words, 0);
        value->read_uid = TRUE;
        return;
    }
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "read value");
    value->read_address = imp_yaml_address(yaml, imp_yaml_need(&m, "at"), 0);
    value->read_bytes =
        (guint32)imp_yaml_quantity(yaml, imp_yaml_need(&m, "size"), IMP_UNIT_BYTES, 1, READ_BYTES_MAX, 1);
    imp_yaml_map_end(&m);
    value->max_bytes = value->read_bytes;
    if (value->read_address > G_MAXUINT32 - (value->read_bytes - 1))
        imp_yaml_fault(yaml, node, IMP_E_OUTSIDE_MEMORY, "this lies behind the 32-bit address space");
}

static void read_barcode_value(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipeValue *value)
{
    value->kind = IMP_VALUE_BARCODE;
    value->rule = imp_yaml_string(yaml, node, 1, IMP_CONTENT_TEXT_MAX, NULL);
    if (value->rule == NULL)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(GRegex) regex = g_regex_new(value->rule, G_REGEX_RAW, 0, &error);
    if (regex == NULL)
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "this is no regular expression: %s", error->message);
}

/* {size: 16} or {size: 1 to 16} */
static void read_given_value(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipeValue *value)
{
    ImpYamlMap m;
    guint64 min = 1, max = 1;
    value->kind = IMP_VALUE_GIVEN;
    imp_yaml_map_begin(&m, yaml, node, "given value");
    const ImpYamlNode *size = imp_yaml_need(&m, "size");
    if (size != NULL && size->kind == IMP_YAML_SCALAR && strstr(size->text, " to ") != NULL) {
        if (imp_yaml_number_range(yaml, size, IMP_CONTENT_PLACE_BYTES_MAX, &min, &max) && min == 0)
            imp_yaml_fault(yaml, size, IMP_E_SCHEMA, "a value that is given has at least one byte");
    } else {
        min = max = imp_yaml_quantity(yaml, size, IMP_UNIT_BYTES, 1, IMP_CONTENT_PLACE_BYTES_MAX, 1);
    }
    imp_yaml_map_end(&m);
    value->size_min = (guint32)min;
    value->size_max = value->max_bytes = (guint32)max;
    if (max > IMP_CONTENT_VALUE_BYTES_MAX &&
        strlen(value->name) + strlen(IMP_CONTENT_DIGEST_SUFFIX) > IMP_CONTENT_NAME_MAX)
        imp_yaml_fault(
            yaml, value->node, IMP_E_SCHEMA,
            "the record has a value of more than %d bytes by its digest, under NAME" IMP_CONTENT_DIGEST_SUFFIX
            ": the name is too long for that",
            IMP_CONTENT_VALUE_BYTES_MAX);
}

static void read_test_value(ImpYaml *yaml, const ImpYamlNode *node, const ImpYamlNode *size,
                            ImpRecipeValue *value)
{
    value->kind = IMP_VALUE_FROM_TEST;
    value->block = imp_yaml_string(yaml, node, 1, IMP_CONTENT_NAME_MAX, NULL);
    value->block_bytes = value->max_bytes =
        (guint32)imp_yaml_quantity(yaml, size, IMP_UNIT_BYTES, 1, IMP_CONTENT_VALUE_BYTES_MAX, BLOCK_BYTES);
}

static void read_kind(ImpYamlMap *m, ImpYaml *yaml, const char *folder, const ImpRecipe *recipe,
                      ImpRecipeValue *value)
{
    const ImpYamlNode *pool = imp_yaml_get(m, "pool"), *read = imp_yaml_get(m, "read"),
                      *barcode = imp_yaml_get(m, "barcode"), *given = imp_yaml_get(m, "given"),
                      *from_test = imp_yaml_get(m, "from-test");
    /* A label or a given value may have a pool beside it, which sees to it that it is used once. */
    gboolean watched = pool != NULL && (barcode != NULL) + (given != NULL) == 1;
    gsize n_kinds = (pool != NULL && !watched) + (read != NULL) + (barcode != NULL) + (given != NULL) +
                    (from_test != NULL);
    if (m->node == NULL)
        return;
    if (n_kinds != 1) {
        imp_yaml_fault(yaml, value->node, IMP_E_SCHEMA,
                       "a value needs exactly one of: pool, read, barcode, given, from-test");
    } else if (pool != NULL && !watched) {
        imp_recipe_read_pool(m, yaml, pool, folder, recipe, value);
    } else if (read != NULL) {
        read_read_value(yaml, read, value);
    } else if (barcode != NULL) {
        read_barcode_value(yaml, barcode, value);
    } else if (given != NULL) {
        read_given_value(yaml, given, value);
    } else {
        read_test_value(yaml, from_test, imp_yaml_get(m, "size"), value);
    }
    if (watched)
        imp_recipe_read_watched(yaml, pool, recipe, value);
}

static void read_value(ImpYaml *yaml, const ImpYamlNode *key, const ImpYamlNode *node, const char *folder,
                       ImpRecipe *recipe)
{
    ImpRecipeValue value = {.name = key->text, .node = key, .log = TRUE};
    gboolean named = imp_recipe_name_ok(yaml, key, "value");
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "value");
    read_kind(&m, yaml, folder, recipe, &value);
    const ImpYamlNode *redact = imp_yaml_get(&m, "redact");
    value.redact = imp_yaml_bool(yaml, redact, FALSE);
    if (value.redact && value.pool != NULL)
        imp_yaml_fault(yaml, redact, IMP_E_RECIPE, "the record always has a number of a pool");
    imp_yaml_map_end(&m);
    /* Also one with a fault is kept: otherwise each place of it would be one more. */
    if (named)
        g_array_append_val(recipe->values, value);
    else
        imp_recipe_value_done(&value);
}

void imp_recipe_read_values(ImpYaml *yaml, const ImpYamlNode *node, const char *folder, ImpRecipe *recipe)
{
    if (node == NULL)
        return;
    if (node->kind != IMP_YAML_MAP)
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA,
                       "'values' must be a mapping: name: {pool: …} or name: {read: …}");
    else if (node->n_items > IMP_CONTENT_VALUES_MAX)
        imp_yaml_fault(yaml, node, IMP_E_LIMIT, "more than %d values", IMP_CONTENT_VALUES_MAX);
    else
        for (gsize i = 0; i < node->n_items; i++)
            read_value(yaml, node->keys[i], node->items[i], folder, recipe);
}

int imp_recipe_find_value(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe)
{
    const char *name = imp_yaml_string(yaml, node, 1, IMP_CONTENT_NAME_MAX, NULL);
    if (name == NULL)
        return -1;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (guint i = 0; i < recipe->values->len; i++) {
        const ImpRecipeValue *value = &g_array_index(recipe->values, ImpRecipeValue, i);
        if (strcmp(value->name, name) == 0)
            return (int)i;
        g_ptr_array_add(names, (gpointer)value->name);
    }
    g_ptr_array_add(names, NULL);
    const char *nearest = imp_nearest(name, (const char *const *)names->pdata);
    if (nearest != NULL)
        imp_yaml_fault(yaml, node, IMP_E_RECIPE, "there is no value '%s'; did you mean '%s'?", name, nearest);
    else
        imp_yaml_fault(yaml, node, IMP_E_RECIPE, "there is no value '%s' under 'values'", name);
    return -1;
}

/* ---- places ---- */

/* The index of the data that node names; -1 and a fault if there is none. */
static int find_data(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe)
{
    const char *name = imp_yaml_string(yaml, node, 1, IMP_CONTENT_NAME_MAX, NULL);
    for (guint i = 0; name != NULL && i < recipe->data->len; i++)
        if (strcmp(g_array_index(recipe->data, ImpRecipeData, i).name, name) == 0)
            return (int)i;
    if (name != NULL)
        imp_yaml_fault(yaml, node, IMP_E_RECIPE, "there is no data '%s'", name);
    return -1;
}

/* The size that the recipe gives or the value has. FALSE and perhaps a fault: unknown. 0: of the chip's unique ID. */
static gboolean read_place_size(ImpYaml *yaml, const ImpYamlNode *at, const ImpYamlNode *size,
                                const ImpRecipeValue *value, ImpRecipePlace *place)
{
    place->size_bytes = (guint32)imp_yaml_quantity(yaml, size, IMP_UNIT_BYTES, 1, IMP_RECIPE_PLACE_MAX, 0);
    if (size == NULL && value->kind == IMP_VALUE_BARCODE) {
        imp_yaml_fault(yaml, place->node, IMP_E_SCHEMA, "say how large the place of a label is (size: …)");
        return FALSE;
    }
    if (size == NULL && !value->read_uid)
        place->size_bytes = value->max_bytes;
    if (place->size_bytes == 0)
        return size == NULL && value->read_uid;
    if (place->size_bytes < value->max_bytes) {
        imp_yaml_fault(yaml, size, IMP_E_VALUE_TOO_LONG, "value '%s' has up to %u bytes, its place has %u",
                       value->name, value->max_bytes, place->size_bytes);
        return FALSE;
    }
    if (place->address > G_MAXUINT32 - (place->size_bytes - 1)) {
        imp_yaml_fault(yaml, at, IMP_E_OUTSIDE_MEMORY, "this lies behind the 32-bit address space");
        return FALSE;
    }
    return TRUE;
}

static void read_place(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe)
{
    static const char *const orders[] = {"as-written", "reversed", NULL};
    static const char *const whens[] = {"program", "after", NULL};
    ImpRecipePlace place = {.node = node, .over = -1};
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "place");
    const ImpYamlNode *value_node = imp_yaml_need(&m, "value"), *at = imp_yaml_need(&m, "at"),
                      *size = imp_yaml_get(&m, "size"), *pad = imp_yaml_get(&m, "pad"),
                      *over = imp_yaml_get(&m, "over"), *when = imp_yaml_get(&m, "when");
    place.address = imp_yaml_address(yaml, at, 0);
    place.has_pad = pad != NULL;
    place.pad = (guint8)imp_yaml_u64(yaml, pad, 0, G_MAXUINT8, 0);
    place.reversed = imp_yaml_word(yaml, imp_yaml_get(&m, "order"), orders, 0) == 1;
    place.after = imp_yaml_word(yaml, when, whens, 0) == 1;
    if (over != NULL)
        place.over = find_data(yaml, over, recipe);
    imp_yaml_map_end(&m);
    if (place.over >= 0 && place.after)
        imp_yaml_fault(yaml, when, IMP_E_RECIPE, "what lies over data cannot be written after it");
    int index = value_node ? imp_recipe_find_value(yaml, value_node, recipe) : -1;
    if (index < 0 || at == NULL || (over != NULL && place.over < 0))
        return;
    const ImpRecipeValue *value = &g_array_index(recipe->values, ImpRecipeValue, index);
    if (!read_place_size(yaml, at, size, value, &place))
        return;
    place.value_index = (guint32)index;
    g_array_append_val(recipe->places, place);
}

void imp_recipe_read_places(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe)
{
    const ImpYamlNode *list = imp_yaml_list(yaml, node, 0, PLACES_MAX);
    for (gsize i = 0; i < imp_yaml_count(list); i++)
        read_place(yaml, list->items[i], recipe);
}

/* ---- log ---- */

/* A record has room for so many values that are no numbers. */
static void check_logged(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe)
{
    guint logged = 0, read = 0;
    for (guint i = 0; i < recipe->values->len; i++) {
        const ImpRecipeValue *value = &g_array_index(recipe->values, ImpRecipeValue, i);
        logged += value->log && value->kind != IMP_VALUE_POOL;
        read += value->kind == IMP_VALUE_READ;
        if (read > LOGGED_MAX) {
            imp_yaml_fault(yaml, value->node, IMP_E_LIMIT, "more than %d values are read from the chip",
                           LOGGED_MAX);
            return;
        }
        if (logged > LOGGED_MAX) {
            imp_yaml_fault(yaml, node != NULL ? node : value->node, IMP_E_LIMIT,
                           "more than %d values for the log; choose them by 'log'", LOGGED_MAX);
            return;
        }
    }
}

void imp_recipe_read_log(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe)
{
    const ImpYamlNode *list = imp_yaml_list(yaml, node, 0, IMP_CONTENT_VALUES_MAX);
    /* Without a list every value is in the log. */
    for (guint i = 0; node != NULL && i < recipe->values->len; i++)
        g_array_index(recipe->values, ImpRecipeValue, i).log = FALSE;
    for (gsize i = 0; i < imp_yaml_count(list); i++) {
        int index = imp_recipe_find_value(yaml, list->items[i], recipe);
        if (index < 0)
            continue;
        ImpRecipeValue *value = &g_array_index(recipe->values, ImpRecipeValue, index);
        if (value->log)
            imp_yaml_fault(yaml, list->items[i], IMP_E_RECIPE, "value '%s' stands in the log twice",
                           value->name);
        value->log = TRUE;
    }
    check_logged(yaml, node, recipe);
}
