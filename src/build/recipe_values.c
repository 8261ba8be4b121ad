/* The recipe's values (what differs from unit to unit), places and log. */
#include "build/recipe.h"

#include <string.h>

#include "base/json.h"
#include "base/nearest.h"

/* Of one number or value: what permits and records carry. */
#define VALUE_BYTES_MAX 64
#define NUMBER_MAX      G_MAXINT64
#define WIDTH_MAX       20
#define LITERAL_FIRST   0x20 /* printable ASCII, */
#define LITERAL_LAST    0x7E /* but { and } */
#define DIGITS_OF_MAX   19 /* of NUMBER_MAX */
#define READ_BYTES_MAX  64
#define LOGGED_MAX      IMP_CONTENT_LOGGED_MAX /* values beside numbers that a record holds */
#define BLOCK_BYTES     4 /* of a value from a test: a word, if the recipe says nothing else */
#define PLACES_MAX      256

/* ---- pools ---- */

/* How a number becomes bytes. */
typedef struct {
    json_t *json; /* FORMAT of the pool's definition; NULL after a fault */
    guint64 last_max; /* the greatest number that fits it */
    guint32 width; /* digits that it always has at least; 0 = as many as needed */
    guint32 fixed_bytes; /* literals, or all of a binary one */
    gboolean binary;
} Format;

static guint digits_of(guint64 number)
{
    guint n = 1;
    for (; number >= 10; number /= 10)
        n++;
    return n;
}

static guint64 largest_of_digits(guint32 digits)
{
    guint64 value = 0;
    for (guint32 i = 0; i < digits; i++) {
        if (value > (NUMBER_MAX - 9) / 10)
            return NUMBER_MAX;
        value = value * 10 + 9;
    }
    return value;
}

/* The width in "n" (0) or "n:06" (6); -1 for anything else. */
static int width_of(const char *inside, gsize n)
{
    if (n == 1 && inside[0] == 'n')
        return 0;
    if (n < 4 || n > 5 || strncmp(inside, "n:0", 3) != 0)
        return -1;
    int width = 0;
    for (gsize i = 3; i < n; i++) {
        if (!g_ascii_isdigit(inside[i]))
            return -1;
        width = width * 10 + (inside[i] - '0');
    }
    return inside[3] != '0' && width <= WIDTH_MAX ? width : -1;
}

static void read_text_format(ImpYaml *yaml, const ImpYamlNode *node, Format *format)
{
    const char *text = imp_yaml_string(yaml, node, 1, VALUE_BYTES_MAX, NULL);
    if (text == NULL)
        return;
    guint placeholders = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if ((guint8)*c < LITERAL_FIRST || (guint8)*c > LITERAL_LAST || *c == '}') {
            imp_yaml_fault(yaml, node, IMP_E_SCHEMA,
                           "the text must be printable ASCII, with '{' and '}' in pairs");
            return;
        }
        if (*c != '{') {
            format->fixed_bytes++;
            continue;
        }
        const char *close = strchr(c, '}');
        if (close == NULL) {
            imp_yaml_fault(yaml, node, IMP_E_SCHEMA,
                           "the text must be printable ASCII, with '{' and '}' in pairs");
            return;
        }
        int width = width_of(c + 1, (gsize)(close - c) - 1);
        if (width < 0) {
            imp_yaml_fault(
                yaml, node, IMP_E_RECIPE_UNSUPPORTED,
                "'%.*s' is not supported by this version; there are {n} and {n:06} (1 to %d digits)",
                (int)(close - c) + 1, c, WIDTH_MAX);
            return;
        }
        format->width = (guint32)width;
        placeholders++;
        c = close;
    }
    if (placeholders != 1) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA,
                       "the text needs exactly one {n} or {n:06}, where the number goes");
        return;
    }
    format->last_max = format->width ? largest_of_digits(format->width) : NUMBER_MAX;
    format->json = json_pack("{s:s}", "text", text);
}

static void read_decimal_format(ImpYaml *yaml, const ImpYamlNode *node, Format *format)
{
    guint64 digits = imp_yaml_u64(yaml, node, 1, WIDTH_MAX, 0);
    if (digits == 0)
        return;
    format->width = (guint32)digits;
    format->last_max = largest_of_digits(format->width);
    format->json = json_pack("{s:I}", "decimal", (json_int_t)digits);
}

static void read_binary_format(ImpYaml *yaml, const ImpYamlNode *node, const ImpYamlNode *order_node,
                               Format *format)
{
    static const char *const orders[] = {"little", "big", NULL};
    guint64 bytes = imp_yaml_u64(yaml, node, 1, 8, 0);
    int order = imp_yaml_word(yaml, order_node, orders, 0);
    if (bytes == 0)
        return;
    format->binary = TRUE;
    format->fixed_bytes = (guint32)bytes;
    format->last_max = bytes == 8 ? (guint64)NUMBER_MAX : (G_GUINT64_CONSTANT(1) << (8 * bytes)) - 1;
    format->json = json_pack("{s:I,s:s}", "binary", (json_int_t)bytes, "order", orders[order]);
}

static gboolean pool_id_ok(const char *id)
{
    for (const char *c = id; *c != '\0'; c++)
        if (!g_ascii_isalnum(*c) && strchr("._-", *c) == NULL)
            return FALSE;
    return TRUE;
}

static const char *read_pool_id(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe)
{
    const char *id = imp_yaml_string(yaml, node, 1, IMP_CONTENT_NAME_MAX, NULL);
    if (id == NULL)
        return NULL;
    if (!pool_id_ok(id)) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "the name of a pool has letters, digits, '.', '_' and '-'");
        return NULL;
    }
    for (guint i = 0; i < recipe->values->len; i++)
        if (g_array_index(recipe->values, ImpRecipeValue, i).kind == IMP_VALUE_POOL) {
            imp_yaml_fault(yaml, node, IMP_E_RECIPE_UNSUPPORTED,
                           "a second value from a pool is not supported by this version");
            imp_yaml_note(yaml, g_array_index(recipe->values, ImpRecipeValue, i).node, "the first is here");
            return NULL;
        }
    return id;
}

/* The bounds, held against the format; then the definition. */
static void read_bounds(ImpYamlMap *m, ImpYaml *yaml, const Format *format, ImpRecipeValue *value)
{
    const ImpYamlNode *first_node = imp_yaml_get(m, "first"), *last_node = imp_yaml_get(m, "last");
    guint64 first = imp_yaml_u64(yaml, first_node, 0, NUMBER_MAX, 1);
    guint64 last = imp_yaml_u64(yaml, last_node, 0, NUMBER_MAX, format->last_max);
    guint64 step = imp_yaml_u64(yaml, imp_yaml_get(m, "step"), 1, NUMBER_MAX, 1);
    gboolean reuse = imp_yaml_bool(yaml, imp_yaml_get(m, "reuse"), TRUE);
    if (format->json == NULL || value->pool == NULL)
        return;
    if (last < first) {
        imp_yaml_fault(yaml, last_node ? last_node : first_node, IMP_E_RECIPE,
                       "the pool has no numbers: first is %" G_GUINT64_FORMAT ", last is %" G_GUINT64_FORMAT,
                       first, last);
        return;
    }
    guint64 greatest = first + (last - first) / step * step;
    if (greatest > format->last_max) {
        imp_yaml_fault(yaml, last_node ? last_node : first_node, IMP_E_VALUE_TOO_LONG,
                       "the number %" G_GUINT64_FORMAT
                       " does not fit the format, which ends at %" G_GUINT64_FORMAT,
                       greatest, format->last_max);
        return;
    }
    guint32 bytes = format->fixed_bytes + (format->binary ? 0 : MAX(format->width, digits_of(greatest)));
    if (bytes > VALUE_BYTES_MAX) {
        imp_yaml_fault(yaml, value->node, IMP_E_VALUE_TOO_LONG, "a value has up to %u bytes, the limit is %d",
                       bytes, VALUE_BYTES_MAX);
        return;
    }
    json_t *definition =
        json_pack("{s:I,s:O,s:s,s:I,s:b,s:I}", "first", (json_int_t)first, "format", format->json, "id",
                  value->pool, "last", (json_int_t)last, "reuse", (int)reuse, "step", (json_int_t)step);
    value->definition = imp_json_text(definition);
    value->max_bytes = bytes;
    json_decref(definition);
}

static void read_pool_value(ImpYamlMap *m, ImpYaml *yaml, const ImpRecipe *recipe, const ImpYamlNode *pool,
                            ImpRecipeValue *value)
{
    Format format = {0};
    value->kind = IMP_VALUE_POOL;
    value->pool = read_pool_id(yaml, pool, recipe);
    const ImpYamlNode *text = imp_yaml_get(m, "text"), *decimal = imp_yaml_get(m, "decimal"),
                      *binary = imp_yaml_get(m, "binary"), *order = imp_yaml_get(m, "order");
    gboolean other = imp_yaml_get(m, "eui48") != NULL;
    imp_yaml_refuse(m, "eui48", IMP_E_RECIPE_UNSUPPORTED);
    if (!other && (text != NULL) + (decimal != NULL) + (binary != NULL) != 1)
        imp_yaml_fault(yaml, value->node, IMP_E_SCHEMA,
                       "a value from a pool needs exactly one of: text, decimal, binary");
    else if (text != NULL)
        read_text_format(yaml, text, &format);
    else if (decimal != NULL)
        read_decimal_format(yaml, decimal, &format);
    else
        read_binary_format(yaml, binary, order, &format);
    if (order != NULL && binary == NULL)
        imp_yaml_fault(yaml, order, IMP_E_SCHEMA, "only a binary number has an order of bytes");
    read_bounds(m, yaml, &format, value);
    json_decref(format.json);
}

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

static void read_kind(ImpYamlMap *m, ImpYaml *yaml, const ImpRecipe *recipe, ImpRecipeValue *value)
{
    const ImpYamlNode *pool = imp_yaml_get(m, "pool"), *read = imp_yaml_get(m, "read"),
                      *barcode = imp_yaml_get(m, "barcode"), *given = imp_yaml_get(m, "given"),
                      *from_test = imp_yaml_get(m, "from-test");
    gsize n_kinds =
        (pool != NULL) + (read != NULL) + (barcode != NULL) + (given != NULL) + (from_test != NULL);
    if (m->node == NULL)
        return;
    if (n_kinds != 1) {
        imp_yaml_fault(yaml, value->node, IMP_E_SCHEMA,
                       "a value needs exactly one of: pool, read, barcode, given, from-test");
    } else if (pool != NULL) {
        read_pool_value(m, yaml, recipe, pool, value);
    } else if (read != NULL) {
        read_read_value(yaml, read, value);
    } else if (barcode != NULL) {
        read_barcode_value(yaml, barcode, value);
    } else if (given != NULL) {
        read_given_value(yaml, given, value);
    } else {
        read_test_value(yaml, from_test, imp_yaml_get(m, "size"), value);
    }
}

static void read_value(ImpYaml *yaml, const ImpYamlNode *key, const ImpYamlNode *node, ImpRecipe *recipe)
{
    ImpRecipeValue value = {.name = key->text, .node = key, .log = TRUE};
    gboolean named = imp_recipe_name_ok(yaml, key, "value");
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "value");
    read_kind(&m, yaml, recipe, &value);
    const ImpYamlNode *redact = imp_yaml_get(&m, "redact");
    value.redact = imp_yaml_bool(yaml, redact, FALSE);
    if (value.redact && value.kind == IMP_VALUE_POOL)
        imp_yaml_fault(yaml, redact, IMP_E_RECIPE, "the record always has a number of a pool");
    imp_yaml_map_end(&m);
    /* Also one with a fault is kept: otherwise each place of it would be one more. */
    if (named)
        g_array_append_val(recipe->values, value);
    else
        g_free(value.definition);
}

void imp_recipe_read_values(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe)
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
            read_value(yaml, node->keys[i], node->items[i], recipe);
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
    guint logged = 0;
    for (guint i = 0; i < recipe->values->len; i++) {
        const ImpRecipeValue *value = &g_array_index(recipe->values, ImpRecipeValue, i);
        logged += value->log && value->kind != IMP_VALUE_POOL;
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
