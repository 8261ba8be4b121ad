#include "build/recipe.h"

#include <string.h>

#include "base/nearest.h"

static void value_done(gpointer data)
{
    imp_recipe_value_done(data);
}

static void step_done(gpointer data)
{
    ImpRecipeStep *step = data;
    imp_step_done(&step->step);
    g_free(step->sources);
}

void imp_release_done(ImpRelease *release)
{
    g_free(release->name);
    g_free(release->cloud);
    g_free(release->factory);
    g_free(release->encrypt_to);
}

static void release_clear(gpointer data)
{
    imp_release_done(data);
}

void imp_recipe_free(ImpRecipe *recipe)
{
    if (recipe == NULL)
        return;
    g_array_unref(recipe->data);
    g_array_unref(recipe->values);
    g_array_unref(recipe->places);
    g_array_unref(recipe->tests);
    g_array_unref(recipe->steps);
    g_array_unref(recipe->finally);
    g_array_unref(recipe->releases);
    g_free(recipe);
}

gboolean imp_recipe_name_ok(ImpYaml *yaml, const ImpYamlNode *key, const char *what)
{
    gsize n = strlen(key->text);
    gboolean ok = n > 0 && n <= IMP_CONTENT_NAME_MAX && g_ascii_isalpha(key->text[0]);
    for (const char *c = key->text; *c != '\0'; c++)
        ok = ok && (g_ascii_isalnum(*c) || *c == '-' || *c == '_');
    if (!ok)
        imp_yaml_fault(
            yaml, key, IMP_E_SCHEMA,
            "the name of a %s begins with a letter and has at most %d letters, digits, '-' and '_'", what,
            IMP_CONTENT_NAME_MAX);
    return ok;
}

/* The format that the file's name says. */
static ImpDataFormat format_of(const char *file)
{
    static const struct {
        const char *ending;
        ImpDataFormat format;
    } formats[] = {
        {".hex", IMP_DATA_HEX},  {".ihex", IMP_DATA_HEX}, {".ihx", IMP_DATA_HEX},   {".bin", IMP_DATA_BINARY},
        {".elf", IMP_DATA_ELF},  {".axf", IMP_DATA_ELF},  {".out", IMP_DATA_ELF},   {".s19", IMP_DATA_SREC},
        {".s28", IMP_DATA_SREC}, {".s37", IMP_DATA_SREC}, {".srec", IMP_DATA_SREC}, {".mot", IMP_DATA_SREC},
        {".uf2", IMP_DATA_UF2},
    };
    const char *ending = strrchr(file, '.');
    for (gsize i = 0; ending != NULL && i < G_N_ELEMENTS(formats); i++)
        if (g_ascii_strcasecmp(ending, formats[i].ending) == 0)
            return formats[i].format;
    return IMP_DATA_UNKNOWN;
}

/* Format and address: a binary file has no addresses of its own, every other has. */
static void read_format(ImpYamlMap *m, ImpYaml *yaml, const char *file, ImpLoadOptions *load)
{
    static const char *const words[] = {"hex", "s-record", "elf", "uf2", "binary", NULL};
    static const ImpDataFormat formats[] = {IMP_DATA_HEX, IMP_DATA_SREC,   IMP_DATA_ELF,
                                            IMP_DATA_UF2, IMP_DATA_BINARY, IMP_DATA_UNKNOWN};
    const ImpYamlNode *format = imp_yaml_get(m, "format"), *at = imp_yaml_get(m, "at"),
                      *family = imp_yaml_get(m, "family");
    load->format = format ? formats[imp_yaml_word(yaml, format, words, 5)]
                   : file ? format_of(file)
                          : IMP_DATA_UNKNOWN;
    load->exact = format != NULL && load->format != IMP_DATA_UNKNOWN;
    load->at = imp_yaml_address(yaml, at, 0);
    if (load->format == IMP_DATA_UNKNOWN && at != NULL)
        load->format = IMP_DATA_BINARY;
    if (load->format == IMP_DATA_BINARY && at == NULL)
        imp_yaml_fault(yaml, m->node, IMP_E_SCHEMA,
                       "a binary file has no addresses: say where it begins (at: 0x…)");
    if (load->format != IMP_DATA_BINARY && load->format != IMP_DATA_UNKNOWN && at != NULL)
        imp_yaml_fault(yaml, at, IMP_E_SCHEMA, "%s file has its own addresses: leave 'at' out",
                       imp_data_format_text(load->format));
    load->has_family = family != NULL;
    load->family = (guint32)imp_yaml_u64(yaml, family, 0, G_MAXUINT32, 0);
    if (family != NULL && load->format != IMP_DATA_UF2 && load->format != IMP_DATA_UNKNOWN)
        imp_yaml_fault(yaml, family, IMP_E_SCHEMA, "only UF2 files have families; this is %s file",
                       imp_data_format_text(load->format));
}

static void read_range(ImpYamlMap *m, ImpYaml *yaml, ImpLoadOptions *load)
{
    const ImpYamlNode *range = imp_yaml_get(m, "range"), *fill = imp_yaml_get(m, "fill");
    load->has_range = imp_yaml_address_range(yaml, range, &load->range_first, &load->range_last);
    if (load->has_range && load->range_last > G_MAXUINT32) {
        imp_yaml_fault(yaml, range, IMP_E_OUTSIDE_MEMORY, "this lies behind the 32-bit address space");
        load->has_range = FALSE;
    }
    load->fill = (guint8)imp_yaml_u64(yaml, fill, 0, G_MAXUINT8, 0);
    load->has_fill = fill != NULL && load->has_range;
    if (fill != NULL && range == NULL)
        imp_yaml_fault(yaml, fill, IMP_E_SCHEMA, "say what is filled (range: A to B)");
}

static void read_source(ImpYaml *yaml, const ImpYamlNode *key, const ImpYamlNode *node, ImpRecipe *recipe)
{
    ImpRecipeData data = {.name = key->text, .node = key, .load.max_bytes = IMP_CONTENT_DATA_MAX};
    gboolean named = imp_recipe_name_ok(yaml, key, "data source");
    if (named && (strcmp(key->text, "values") == 0 || strcmp(key->text, "all") == 0)) {
        imp_yaml_fault(yaml, key, IMP_E_SCHEMA,
                       "'%s' has a meaning in steps: give the data source another name", key->text);
        named = FALSE;
    }
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "data source");
    data.file_node = imp_yaml_need(&m, "file");
    data.file = imp_yaml_string(yaml, data.file_node, 1, IMP_INPUT_NAME_MAX, NULL);
    read_format(&m, yaml, data.file, &data.load);
    read_range(&m, yaml, &data.load);
    const ImpYamlNode *within = imp_yaml_get(&m, "within");
    if (imp_yaml_address_range(yaml, within, &data.within_first, &data.within_last))
        data.within_node = within;
    imp_yaml_map_end(&m);
    /* Also one with a fault is kept: otherwise each step that names it would be one more. */
    if (named)
        g_array_append_val(recipe->data, data);
}

static void read_data(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe)
{
    if (node == NULL)
        return;
    if (node->kind != IMP_YAML_MAP) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "'data' must be a mapping: name: {file: …}");
        return;
    }
    if (node->n_items > IMP_BUILD_DATA_MAX) {
        imp_yaml_fault(yaml, node, IMP_E_LIMIT, "more than %d data sources", IMP_BUILD_DATA_MAX);
        return;
    }
    for (gsize i = 0; i < node->n_items; i++)
        read_source(yaml, node->keys[i], node->items[i], recipe);
}

guint32 imp_recipe_ms(ImpYaml *yaml, const ImpYamlNode *node, guint32 min_ms, guint32 fallback_ms)
{
    guint64 us = imp_yaml_quantity(yaml, node, IMP_UNIT_US, (guint64)min_ms * 1000,
                                   (guint64)IMP_CONTENT_WAIT_MS_MAX * 1000, (guint64)fallback_ms * 1000);
    if (us % 1000 != 0)
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "only whole milliseconds can be kept");
    return (guint32)(us / 1000);
}

static void read_connection(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe)
{
    static const char *const words[] = {"normal", "under-reset", "power-cycle", NULL};
    static const ImpAttachMode modes[] = {IMP_ATTACH_NORMAL, IMP_ATTACH_UNDER_RESET, IMP_ATTACH_POWER_CYCLE};
    static const char *const unlocks[] = {"never", "erase", NULL};
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "connection");
    recipe->swd_hz = (guint32)imp_yaml_quantity(yaml, imp_yaml_get(&m, "swd"), IMP_UNIT_HZ, 10000, 50000000,
                                                IMP_RECIPE_SWD_HZ);
    const ImpYamlNode *attach = imp_yaml_get(&m, "attach"), *unlock = imp_yaml_get(&m, "unlock");
    recipe->attach = modes[imp_yaml_word(yaml, attach, words, 0)];
    recipe->unlock = imp_yaml_word(yaml, unlock, unlocks, 0) == 1 ? IMP_UNLOCK_ERASE : IMP_UNLOCK_NEVER;
    imp_yaml_map_end(&m);
    recipe->unlock_node = unlock;
}

/* "3.15 V to 3.45 V" */
static void read_limits(ImpYaml *yaml, const ImpYamlNode *node, ImpPowerSettings *power)
{
    g_autofree char *first = NULL, *last = NULL;
    guint64 min_mv, max_mv;
    if (node == NULL)
        return;
    if (node->kind != IMP_YAML_SCALAR || !imp_range_split(node->text, &first, &last) ||
        !imp_unit_parse(first, IMP_UNIT_MV, &min_mv) || !imp_unit_parse(last, IMP_UNIT_MV, &max_mv) ||
        min_mv > max_mv || max_mv == 0 || max_mv > IMP_CONTENT_MV_MAX) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA,
                       "expected two voltages up to %d V, such as '3.15 V to 3.45 V'",
                       IMP_CONTENT_MV_MAX / 1000);
        return;
    }
    power->min_mv = (guint32)min_mv;
    power->max_mv = (guint32)max_mv;
}

static void read_power(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe)
{
    ImpPowerSettings *power = &recipe->power;
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "power");
    power->has = node != NULL;
    power->millivolts =
        (guint32)imp_yaml_quantity(yaml, imp_yaml_get(&m, "volts"), IMP_UNIT_MV, 100, IMP_CONTENT_MV_MAX, 0);
    const ImpYamlNode *limits = imp_yaml_get(&m, "limits");
    read_limits(yaml, limits, power);
    power->on_delay_ms = imp_recipe_ms(yaml, imp_yaml_get(&m, "on-delay"), 0, 0);
    power->off_delay_ms = imp_recipe_ms(yaml, imp_yaml_get(&m, "off-delay"), 0, 0);
    power->off_at_end = imp_yaml_bool(yaml, imp_yaml_get(&m, "off-at-end"), FALSE);
    imp_yaml_map_end(&m);
    if (power->max_mv != 0 && power->millivolts != 0 &&
        (power->millivolts < power->min_mv || power->millivolts > power->max_mv))
        imp_yaml_fault(yaml, limits, IMP_E_RECIPE, "the voltage itself, %u mV, is outside these limits",
                       power->millivolts);
}

static void read_rework(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe)
{
    static const char *const words[] = {"refuse", "new-values", "keep-values", NULL};
    static const ImpReworkMode modes[] = {IMP_REWORK_REFUSE, IMP_REWORK_NEW_VALUES, IMP_REWORK_KEEP_VALUES};
    recipe->rework = modes[imp_yaml_word(yaml, node, words, 1)];
    recipe->rework_node = node;
}

/* FALSE and a fault if the recipe is of a version that we do not know: then nothing else is worth a look. */
static gboolean read_version(ImpYaml *yaml, const ImpYamlNode *node)
{
    guint64 version = imp_yaml_u64(yaml, node, 1, G_MAXUINT32, IMP_RECIPE_VERSION);
    if (version == IMP_RECIPE_VERSION)
        return TRUE;
    imp_yaml_fault(yaml, node, IMP_E_RECIPE_UNSUPPORTED,
                   "this program knows recipes of version %d; this one is of version %" G_GUINT64_FORMAT,
                   IMP_RECIPE_VERSION, version);
    return FALSE;
}

ImpRecipe *imp_recipe_read(ImpYaml *yaml, const char *folder)
{
    ImpRecipe *recipe = g_new0(ImpRecipe, 1);
    recipe->data = g_array_new(FALSE, TRUE, sizeof(ImpRecipeData));
    recipe->values = g_array_new(FALSE, TRUE, sizeof(ImpRecipeValue));
    recipe->places = g_array_new(FALSE, TRUE, sizeof(ImpRecipePlace));
    recipe->tests = g_array_new(FALSE, TRUE, sizeof(ImpRecipeTest));
    recipe->steps = g_array_new(FALSE, TRUE, sizeof(ImpRecipeStep));
    recipe->finally = g_array_new(FALSE, TRUE, sizeof(ImpRecipeStep));
    recipe->releases = g_array_new(FALSE, TRUE, sizeof(ImpRelease));
    g_array_set_clear_func(recipe->values, value_done);
    g_array_set_clear_func(recipe->steps, step_done);
    g_array_set_clear_func(recipe->finally, step_done);
    g_array_set_clear_func(recipe->releases, release_clear);

    const ImpYamlNode *root = imp_yaml_root(yaml);
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, root, "recipe");
    if (m.node == NULL || !read_version(yaml, imp_yaml_need(&m, "imprint")))
        return recipe;
    recipe->name = imp_yaml_string(yaml, imp_yaml_need(&m, "name"), 1, IMP_CONTENT_NAME_MAX, "");
    recipe->version = imp_yaml_string(yaml, imp_yaml_get(&m, "version"), 0, IMP_IMAGE_VERSION_MAX, "");
    recipe->device_node = imp_yaml_need(&m, "device");
    recipe->device = imp_yaml_string(yaml, recipe->device_node, 1, IMP_CONTENT_NAME_MAX, NULL);
    read_connection(yaml, imp_yaml_get(&m, "connection"), recipe);
    read_power(yaml, imp_yaml_get(&m, "power"), recipe);
    read_data(yaml, imp_yaml_get(&m, "data"), recipe);
    imp_recipe_read_values(yaml, imp_yaml_get(&m, "values"), folder, recipe);
    imp_recipe_read_places(yaml, imp_yaml_get(&m, "place"), recipe);
    imp_recipe_read_steps(yaml, root, imp_yaml_get(&m, "steps"), recipe);
    imp_recipe_read_finally(yaml, imp_yaml_get(&m, "finally"), recipe);
    imp_recipe_read_log(yaml, imp_yaml_get(&m, "log"), recipe);
    read_rework(yaml, imp_yaml_get(&m, "rework"), recipe);
    imp_recipe_read_releases(yaml, imp_yaml_get(&m, "releases"), folder, recipe);
    imp_yaml_map_end(&m);
    return recipe;
}
