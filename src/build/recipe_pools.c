/* The recipe's pools of numbers. What a format may be is said once, in ledger/pool.h: here the recipe's words become a
 * definition, and what the pool's code finds wrong with it is shown at its place. */
#include <string.h>

#include "base/json.h"
#include "build/recipe.h"
#include "ledger/pool.h"

#define EXTERNAL_BYTES IMP_WIRE_NUMBER_BYTES_MAX /* always the same, so that one pool has one definition */
#define EUI_TEXT_MAX   64 /* of a range of addresses */

typedef struct {
    const ImpYamlNode *node; /* of the format */
    json_t *json; /* FORMAT of the definition; NULL after a fault */
    guint64 first; /* if the recipe does not say it */
    gboolean
        has_last; /* the format itself says where it ends, and counts from 0: first and last are not asked for */
    guint64 last;
} Format;

void imp_recipe_value_done(ImpRecipeValue *value)
{
    g_free(value->definition);
    g_free(value->list_sha256);
}

/* ---- formats ---- */

static void put_order(ImpYaml *yaml, const ImpYamlNode *node, gboolean little, json_t *json)
{
    static const char *const orders[] = {"little", "big", NULL};
    json_object_set_new(json, "order",
                        json_string(orders[imp_yaml_word(yaml, node, orders, little ? 0 : 1)]));
}

static void read_text(ImpYaml *yaml, Format *format)
{
    const char *text = imp_yaml_string(yaml, format->node, 1, IMP_POOL_TEMPLATE_MAX, NULL);
    g_autofree char *fault = text != NULL ? imp_pool_template_fault(text, NULL, NULL) : NULL;
    if (fault != NULL)
        imp_yaml_fault(yaml, format->node, IMP_E_SCHEMA, "the text: %s", fault);
    else if (text != NULL)
        format->json = json_pack("{s:s}", "text", text);
}

/* decimal, hex, binary, bcd: how many digits or bytes. */
static void read_size(ImpYaml *yaml, const char *name, guint64 max, Format *format)
{
    guint64 size = imp_yaml_u64(yaml, format->node, 1, max, 0);
    if (size > 0)
        format->json = json_pack("{s:I}", name, (json_int_t)size);
}

static void read_hex(ImpYaml *yaml, const ImpYamlNode *letters, Format *format)
{
    static const char *const cases[] = {"upper", "lower", NULL};
    int word = imp_yaml_word(yaml, letters, cases, 0);
    guint64 digits = imp_yaml_u64(yaml, format->node, 1, 16, 0);
    if (digits > 0)
        format->json = json_pack("{s:I,s:s}", "digits", (json_int_t)digits, "hex", cases[word]);
}

/* One item of an odometer: upper, lower, digit, printable, any; 0x2D; 0x30 to 0x39; "a text". */
static void read_byte(ImpYaml *yaml, const ImpYamlNode *node, GString *hex)
{
    static const char *const words[] = {"upper", "lower", "digit", "printable", "any", NULL};
    static const char *const bounds[] = {"415a", "617a", "3039", "207e", "00ff"};
    guint64 low, high;
    const char *text = imp_yaml_string(yaml, node, 1, IMP_POOL_BYTES_MAX, NULL);
    if (text == NULL)
        return;
    if (node->quoted) {
        for (const char *c = text; *c != '\0'; c++)
            g_string_append_printf(hex, "%02x%02x", (guchar)*c, (guchar)*c);
    } else if (strstr(text, " to ") != NULL) {
        if (!imp_yaml_number_range(yaml, node, G_MAXUINT8, &low, &high))
            return;
        g_string_append_printf(hex, "%02x%02x", (guint)low, (guint)high);
    } else if (g_ascii_isdigit(text[0])) {
        low = imp_yaml_u64(yaml, node, 0, G_MAXUINT8, 0);
        g_string_append_printf(hex, "%02x%02x", (guint)low, (guint)low);
    } else {
        g_string_append(hex, bounds[imp_yaml_word(yaml, node, words, 0)]);
    }
}

static void read_bytes(ImpYaml *yaml, Format *format)
{
    const ImpYamlNode *list = imp_yaml_list(yaml, format->node, 1, IMP_POOL_BYTES_MAX);
    g_autoptr(GString) hex = g_string_new(NULL);
    for (gsize i = 0; i < imp_yaml_count(list); i++)
        read_byte(yaml, list->items[i], hex);
    if (hex->len > 4 * IMP_POOL_BYTES_MAX)
        imp_yaml_fault(yaml, format->node, IMP_E_SCHEMA, "a number has 1 to %d bytes", IMP_POOL_BYTES_MAX);
    else if (hex->len > 0)
        format->json = json_pack("{s:s}", "bytes", hex->str);
    format->first = 0;
}

/* "70-B3-D5-1A-20-00", with '-', ':' or nothing between the bytes. */
static gboolean parse_address(const char *text, gsize n, guint n_bytes, guint64 *out)
{
    guint digits = 0;
    guint64 value = 0;
    for (gsize i = 0; i < n; i++) {
        if ((text[i] == '-' || text[i] == ':') && digits % 2 == 0 && digits > 0)
            continue;
        if (!g_ascii_isxdigit(text[i]) || ++digits > 2 * n_bytes)
            return FALSE;
        value = value << 4 | (guint64)g_ascii_xdigit_value(text[i]);
    }
    *out = value;
    return digits == 2 * n_bytes;
}

static void read_eui(ImpYaml *yaml, const char *name, guint n_bytes, Format *format)
{
    guint64 first, last;
    const char *text = imp_yaml_string(yaml, format->node, 1, EUI_TEXT_MAX, NULL);
    const char *to = text != NULL ? strstr(text, " to ") : NULL;
    if (text == NULL)
        return;
    if (to == NULL || !parse_address(text, (gsize)(to - text), n_bytes, &first) ||
        !parse_address(to + 4, strlen(to + 4), n_bytes, &last)) {
        imp_yaml_fault(
            yaml, format->node, IMP_E_SCHEMA,
            "expected two addresses of %u bytes, such as 70-B3-D5-1A-20-00%s to 70-B3-D5-1A-2F-FF%s", n_bytes,
            n_bytes == 8 ? "-00-00" : "", n_bytes == 8 ? "-FF-FF" : "");
        return;
    }
    if (last < first || last - first > IMP_POOL_NUMBER_MAX) {
        imp_yaml_fault(yaml, format->node, IMP_E_RECIPE, "the range of addresses ends before it begins");
        return;
    }
    g_autofree char *base = g_strdup_printf("%0*" G_GINT64_MODIFIER "x", (int)(2 * n_bytes), first);
    format->json = json_pack("{s:s}", name, base);
    format->has_last = TRUE;
    format->last = last - first;
}

/* One entry a line; the last line may have no end. NULL and an error. */
static json_t *parse_list(char *text, gboolean as_hex, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", IMP_POOL_LIST_MAX + 2);
    guint n = g_strv_length(lines);
    if (n > 0 && lines[n - 1][0] == '\0')
        n--;
    json_t *list = json_array();
    for (guint i = 0; i < n; i++) {
        gsize length = strlen(lines[i]);
        if (length > 0 && lines[i][length - 1] == '\r')
            lines[i][length - 1] = '\0';
        g_autofree char *entry = as_hex ? g_ascii_strdown(lines[i], -1) : g_strdup(lines[i]);
        json_t *value = json_string(entry);
        if (value == NULL || entry[0] == '\0' || i >= IMP_POOL_LIST_MAX) {
            json_decref(value);
            json_decref(list);
            imp_error_set(error, IMP_E_DATA_FILE, "line %u is %s", i + 1,
                          i >= IMP_POOL_LIST_MAX ? "one too many"
                          : value == NULL        ? "no text"
                                                 : "empty");
            return NULL;
        }
        json_array_append_new(list, value);
    }
    return list;
}

static void read_list(ImpYaml *yaml, const ImpYamlNode *as, const char *folder, ImpRecipeValue *value,
                      Format *format)
{
    static const char *const forms[] = {"text", "hex", NULL};
    int form = imp_yaml_word(yaml, as, forms, 0);
    const char *file = imp_yaml_string(yaml, format->node, 1, 4096, NULL);
    if (file == NULL)
        return;
    g_autofree char *path = g_canonicalize_filename(file, folder);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    gsize n_bytes = 0;
    if (!g_file_get_contents(path, &text, &n_bytes, &error)) {
        imp_yaml_fault(yaml, format->node, IMP_E_NOT_FOUND, "cannot read the list: %s", error->message);
        return;
    }
    if (n_bytes > IMP_POOL_DEFINITION_MAX || strlen(text) != n_bytes) {
        imp_yaml_fault(yaml, format->node, IMP_E_DATA_FILE, "%s is no list of at most %d numbers and %d KiB",
                       file, IMP_POOL_LIST_MAX, IMP_POOL_DEFINITION_MAX / 1024);
        return;
    }
    value->list_file = file;
    value->list_sha256 = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)text, n_bytes);
    json_t *list = parse_list(text, form == 1, &error);
    if (list == NULL) {
        imp_yaml_fault(yaml, format->node, IMP_E_DATA_FILE, "%s: %s", file, error->message);
        return;
    }
    format->has_last = TRUE;
    format->last = MAX(json_array_size(list), 1) - 1;
    format->json = json_pack("{s:s,s:o}", "as", forms[form], "list", list);
}

/* ---- definitions ---- */

/* Makes the definition; NULL and a fault at node if the pool's code does not take it. */
static char *define(ImpYaml *yaml, const ImpYamlNode *node, ImpErrorCode code, const char *id,
                    const Format *format, guint64 first, guint64 last, guint64 step, gboolean reuse,
                    ImpPool *out_pool)
{
    g_autoptr(GError) error = NULL;
    json_t *json =
        json_pack("{s:I,s:O,s:s,s:I,s:b,s:I}", "first", (json_int_t)first, "format", format->json, "id", id,
                  "last", (json_int_t)last, "reuse", (int)reuse, "step", (json_int_t)step);
    g_autofree char *text = imp_json_text(json);
    json_decref(json);
    if (imp_pool_parse(text, out_pool, &error))
        return g_steal_pointer(&text);
    imp_yaml_fault(yaml, node,
                   imp_error_code(error) == IMP_E_SCHEMA ? code : (ImpErrorCode)imp_error_code(error), "%s",
                   error->message);
    return NULL;
}

/* The ID, if it is one and no other value has it. */
static const char *read_id(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe)
{
    const char *id = imp_yaml_string(yaml, node, 1, IMP_CONTENT_NAME_MAX, NULL);
    guint n_pools = 0;
    for (const char *c = id; c != NULL && *c != '\0'; c++)
        if (!g_ascii_isalnum(*c) && strchr("._-", *c) == NULL) {
            imp_yaml_fault(yaml, node, IMP_E_SCHEMA,
                           "the name of a pool has letters, digits, '.', '_' and '-'");
            return NULL;
        }
    for (guint i = 0; id != NULL && i < recipe->values->len; i++) {
        const ImpRecipeValue *other = &g_array_index(recipe->values, ImpRecipeValue, i);
        n_pools += other->pool != NULL;
        if (other->pool == NULL || strcmp(other->pool, id) != 0)
            continue;
        imp_yaml_fault(
            yaml, node, IMP_E_RECIPE,
            "a unit takes one number from the pool %s; to write it twice, give the value two places", id);
        imp_yaml_note(yaml, other->node, "it is taken from here");
        return NULL;
    }
    if (n_pools >= IMP_CONTENT_POOLS_MAX) {
        imp_yaml_fault(yaml, node, IMP_E_LIMIT, "more than %d pools", IMP_CONTENT_POOLS_MAX);
        return NULL;
    }
    return id;
}

/* The bounds, held against the format; then the definition. */
static void read_bounds(ImpYamlMap *m, ImpYaml *yaml, const Format *format, ImpRecipeValue *value)
{
    const ImpYamlNode *first_node = format->has_last ? NULL : imp_yaml_get(m, "first");
    const ImpYamlNode *last_node = format->has_last ? NULL : imp_yaml_get(m, "last");
    guint64 step = imp_yaml_u64(yaml, imp_yaml_get(m, "step"), 1, IMP_POOL_NUMBER_MAX, 1);
    gboolean reuse = imp_yaml_bool(yaml, imp_yaml_get(m, "reuse"), TRUE);
    if (format->json == NULL || value->pool == NULL)
        return;
    g_auto(ImpPool) trial = {0}, pool = {0};
    g_autofree char *unused =
        define(yaml, format->node, IMP_E_SCHEMA, value->pool, format, 0, 0, 1, reuse, &trial);
    if (unused == NULL)
        return;
    guint64 most = imp_pool_format_last(&trial);
    guint64 first =
        imp_yaml_u64(yaml, first_node, 0, IMP_POOL_NUMBER_MAX, format->has_last ? 0 : format->first);
    guint64 last =
        imp_yaml_u64(yaml, last_node, 0, IMP_POOL_NUMBER_MAX, format->has_last ? format->last : most);
    const ImpYamlNode *at = last_node != NULL ? last_node : first_node != NULL ? first_node : format->node;
    if (last < first) {
        imp_yaml_fault(yaml, at, IMP_E_RECIPE,
                       "the pool has no numbers: first is %" G_GUINT64_FORMAT ", last is %" G_GUINT64_FORMAT,
                       first, last);
        return;
    }
    guint64 greatest = first + (last - first) / step * step;
    if (greatest > most) {
        imp_yaml_fault(yaml, at, IMP_E_VALUE_TOO_LONG,
                       "the number %" G_GUINT64_FORMAT
                       " does not fit the format, which ends at %" G_GUINT64_FORMAT,
                       greatest, most);
        return;
    }
    value->definition =
        define(yaml, value->node, IMP_E_VALUE_TOO_LONG, value->pool, format, first, last, step, reuse, &pool);
    if (value->definition != NULL)
        value->max_bytes = imp_pool_max_bytes(&pool);
}

void imp_recipe_read_pool(ImpYamlMap *m, ImpYaml *yaml, const ImpYamlNode *pool, const char *folder,
                          const ImpRecipe *recipe, ImpRecipeValue *value)
{
    static const char *const kinds[] = {"text",  "decimal", "hex",   "binary", "bcd",
                                        "bytes", "eui48",   "eui64", "list"};
    Format format = {.first = 1};
    const char *kind = NULL;
    guint n_kinds = 0;
    value->kind = IMP_VALUE_POOL;
    value->pool = read_id(yaml, pool, recipe);
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        const ImpYamlNode *node = imp_yaml_get(m, kinds[i]);
        if (node == NULL)
            continue;
        n_kinds++;
        kind = kinds[i];
        format.node = node;
    }
    const ImpYamlNode *order = imp_yaml_get(m, "order"), *letters = imp_yaml_get(m, "letters"),
                      *as = imp_yaml_get(m, "as");
    if (n_kinds != 1) {
        g_autofree char *all = g_strjoin(", ", kinds[0], kinds[1], kinds[2], kinds[3], kinds[4], kinds[5],
                                         kinds[6], kinds[7], kinds[8], NULL);
        G_STATIC_ASSERT(G_N_ELEMENTS(kinds) == 9);
        imp_yaml_fault(yaml, value->node, IMP_E_SCHEMA, "a value from a pool needs exactly one of: %s", all);
        read_bounds(m, yaml, &format, value);
        return;
    }
    gboolean ordered = FALSE;
    if (strcmp(kind, "text") == 0)
        read_text(yaml, &format);
    else if (strcmp(kind, "decimal") == 0)
        read_size(yaml, kind, IMP_POOL_WIDTH_MAX, &format);
    else if (strcmp(kind, "hex") == 0)
        read_hex(yaml, letters, &format);
    else if (strcmp(kind, "list") == 0)
        read_list(yaml, as, folder, value, &format);
    else
        ordered = TRUE;
    if (strcmp(kind, "binary") == 0)
        read_size(yaml, kind, 8, &format);
    else if (strcmp(kind, "bcd") == 0)
        read_size(yaml, kind, IMP_POOL_BCD_MAX, &format);
    else if (strcmp(kind, "bytes") == 0)
        read_bytes(yaml, &format);
    else if (strcmp(kind, "eui48") == 0)
        read_eui(yaml, kind, 6, &format);
    else if (strcmp(kind, "eui64") == 0)
        read_eui(yaml, kind, 8, &format);
    if (ordered && format.json != NULL)
        put_order(yaml, order, strcmp(kind, "binary") == 0, format.json);
    if (order != NULL && !ordered)
        imp_yaml_fault(yaml, order, IMP_E_SCHEMA,
                       "only binary, bcd, bytes, eui48 and eui64 have an order of bytes");
    if (letters != NULL && strcmp(kind, "hex") != 0)
        imp_yaml_fault(yaml, letters, IMP_E_SCHEMA, "only hex has letters");
    if (as != NULL && strcmp(kind, "list") != 0)
        imp_yaml_fault(yaml, as, IMP_E_SCHEMA, "only a list says what its lines are");
    read_bounds(m, yaml, &format, value);
    json_decref(format.json);
}

void imp_recipe_read_watched(ImpYaml *yaml, const ImpYamlNode *pool, const ImpRecipe *recipe,
                             ImpRecipeValue *value)
{
    Format format = {.node = pool};
    g_auto(ImpPool) unused = {0};
    value->pool = read_id(yaml, pool, recipe);
    if (value->pool == NULL)
        return;
    if (value->kind == IMP_VALUE_GIVEN && value->size_max > EXTERNAL_BYTES)
        imp_yaml_fault(yaml, value->node, IMP_E_VALUE_TOO_LONG, "a number of a pool has up to %d bytes",
                       EXTERNAL_BYTES);
    format.json = json_pack("{s:i}", "external", EXTERNAL_BYTES);
    value->definition =
        define(yaml, pool, IMP_E_SCHEMA, value->pool, &format, 0, IMP_POOL_NUMBER_MAX, 1, TRUE, &unused);
    json_decref(format.json);
}
