/* The recipe's steps: their form. Their order is looked at in recipe_order.c. */
#include "build/recipe.h"

#include <string.h>

#include "base/nearest.h"

#define WITHIN_MS  10000 /* a text, a test: if the recipe names no limit */
#define LEVEL_MAX  9
#define TEST_FILES IMP_CONTENT_TESTS_MAX

/* ---- which data and values ---- */

static gboolean is_all(const ImpYamlNode *node)
{
    return node == NULL || (node->kind == IMP_YAML_SCALAR && strcmp(node->text, "all") == 0);
}

/* Marks what a name means. FALSE and a fault: nothing, or something that cannot be chosen. */
static gboolean choose(ImpYaml *yaml, const ImpYamlNode *node, const char *name, const ImpRecipe *recipe,
                       gboolean *sources)
{
    guint n_data = recipe->data->len;
    gboolean found = FALSE, blocked = FALSE;
    for (guint i = 0; i < n_data; i++)
        if (strcmp(g_array_index(recipe->data, ImpRecipeData, i).name, name) == 0)
            found = sources[i] = TRUE;
    for (guint i = 0; i < recipe->places->len; i++) {
        const ImpRecipePlace *place = &g_array_index(recipe->places, ImpRecipePlace, i);
        const char *value = g_array_index(recipe->values, ImpRecipeValue, place->value_index).name;
        gboolean named = strcmp(value, name) == 0;
        if (!named && strcmp(name, "values") != 0)
            continue;
        found = TRUE;
        if (place->over < 0 && !place->after)
            sources[n_data + i] = TRUE;
        else
            blocked = blocked || named;
    }
    if (blocked)
        imp_yaml_fault(yaml, node, IMP_E_RECIPE,
                       "'%s' lies over data or is written after all steps: no step can name it", name);
    if (found || blocked)
        return !blocked;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (guint i = 0; i < n_data; i++)
        g_ptr_array_add(names, (gpointer)g_array_index(recipe->data, ImpRecipeData, i).name);
    for (guint i = 0; i < recipe->places->len; i++)
        g_ptr_array_add(names,
                        (gpointer)g_array_index(recipe->values, ImpRecipeValue,
                                                g_array_index(recipe->places, ImpRecipePlace, i).value_index)
                            .name);
    g_ptr_array_add(names, recipe->places->len > 0 ? (gpointer) "values" : NULL);
    g_ptr_array_add(names, NULL);
    const char *nearest = imp_nearest(name, (const char *const *)names->pdata);
    imp_yaml_fault(yaml, node, IMP_E_RECIPE, "there is no '%s' that can be programmed%s%s%s", name,
                   nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return FALSE;
}

/* A place that lies over data goes with it. */
static void choose_overlays(const ImpRecipe *recipe, gboolean *sources)
{
    for (guint i = 0; i < recipe->places->len; i++) {
        const ImpRecipePlace *place = &g_array_index(recipe->places, ImpRecipePlace, i);
        if (place->over >= 0)
            sources[recipe->data->len + i] = sources[place->over];
    }
}

/* "all", or a list of names. */
static gboolean read_sources(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe,
                             ImpRecipeStep *step)
{
    if (is_all(node))
        return TRUE;
    const ImpYamlNode *list = imp_yaml_list(yaml, node, 1, IMP_BUILD_DATA_MAX + IMP_CONTENT_VALUES_MAX);
    if (list == NULL)
        return FALSE;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree gboolean *sources = g_new0(gboolean, imp_recipe_n_sources(recipe) + 1);
    for (gsize i = 0; i < list->n_items; i++) {
        const char *name = imp_yaml_string(yaml, list->items[i], 1, IMP_CONTENT_NAME_MAX, NULL);
        if (name == NULL || !choose(yaml, list->items[i], name, recipe, sources))
            return FALSE;
        if (!g_hash_table_add(seen, (gpointer)name))
            imp_yaml_fault(yaml, list->items[i], IMP_E_RECIPE, "'%s' stands in the list twice", name);
    }
    choose_overlays(recipe, sources);
    gboolean any = FALSE;
    for (gsize i = 0; i < imp_recipe_n_sources(recipe); i++)
        any = any || sources[i];
    if (!any)
        imp_yaml_fault(yaml, node, IMP_E_RECIPE, "all values lie over data or are written after all steps");
    step->sources = g_steal_pointer(&sources);
    return any;
}

/* ---- verbs ---- */

/* "all", "used" or a range: the index of the word, 2 for a range. */
static int read_area(ImpYaml *yaml, const ImpYamlNode *node, ImpRange *range)
{
    static const char *const words[] = {"all", "used", NULL};
    if (node->kind == IMP_YAML_SCALAR && strstr(node->text, " to ") != NULL)
        return imp_yaml_address_range(yaml, node, &range->first, &range->last) ? 2 : 0;
    return imp_yaml_word(yaml, node, words, 0);
}

static gboolean read_erase(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    static const ImpEraseMode modes[] = {IMP_ERASE_ALL, IMP_ERASE_USED, IMP_ERASE_RANGE};
    (void)recipe;
    step->step.erase = modes[read_area(yaml, node, &step->step.range)];
    return TRUE;
}

static gboolean read_blank_check(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe,
                                 ImpRecipeStep *step)
{
    static const ImpBlankMode modes[] = {IMP_BLANK_ALL, IMP_BLANK_USED, IMP_BLANK_RANGE};
    (void)recipe;
    step->step.blank = modes[read_area(yaml, node, &step->step.range)];
    return TRUE;
}

static gboolean read_program(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    return read_sources(yaml, node, recipe, step);
}

/* "checksum", "read-back", or {by: checksum, data: [boot, values]} */
static gboolean read_verify(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    static const char *const words[] = {"checksum", "read-back", NULL};
    static const ImpVerifyMode modes[] = {IMP_VERIFY_CHECKSUM, IMP_VERIFY_READ_BACK};
    if (node->kind != IMP_YAML_MAP) {
        step->step.verify = modes[imp_yaml_word(yaml, node, words, 0)];
        return TRUE;
    }
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "verify step");
    step->step.verify = modes[imp_yaml_word(yaml, imp_yaml_need(&m, "by"), words, 0)];
    gboolean ok = read_sources(yaml, imp_yaml_get(&m, "data"), recipe, step);
    imp_yaml_map_end(&m);
    return ok;
}

/* A list of names of values, all of one kind, each once, as indexes that rise. wrong: what to say of another kind. */
static gboolean take_named(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe, ImpValueKind kind,
                           const char *wrong, ImpRecipeStep *step)
{
    const ImpYamlNode *list = imp_yaml_list(yaml, node, 1, IMP_CONTENT_VALUES_MAX);
    if (list == NULL)
        return FALSE;
    gboolean named[IMP_CONTENT_VALUES_MAX] = {FALSE};
    for (gsize i = 0; i < list->n_items; i++) {
        int index = imp_recipe_find_value(yaml, list->items[i], recipe);
        if (index < 0)
            return FALSE;
        const ImpRecipeValue *value = &g_array_index(recipe->values, ImpRecipeValue, index);
        if (value->kind != kind)
            imp_yaml_fault(yaml, list->items[i], IMP_E_RECIPE, "value '%s' %s", value->name, wrong);
        if (named[index])
            imp_yaml_fault(yaml, list->items[i], IMP_E_RECIPE, "'%s' stands in the list twice", value->name);
        named[index] = TRUE;
    }
    step->step.values = g_new0(guint32, list->n_items);
    for (guint32 i = 0; i < IMP_CONTENT_VALUES_MAX; i++)
        if (named[i])
            step->step.values[step->step.n_values++] = i;
    return TRUE;
}

static gboolean read_read(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    if (is_all(node))
        return TRUE;
    if (!take_named(yaml, node, recipe, IMP_VALUE_READ, "is not read from the chip", step))
        return FALSE;
    gsize n_all = 0;
    for (guint i = 0; i < recipe->values->len; i++)
        n_all += g_array_index(recipe->values, ImpRecipeValue, i).kind == IMP_VALUE_READ;
    if (step->step.n_values == n_all) { /* one way to say one thing */
        g_clear_pointer(&step->step.values, g_free);
        step->step.n_values = 0;
    }
    return TRUE;
}

static gboolean read_reset(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    static const char *const words[] = {"run", NULL};
    (void)recipe;
    (void)step;
    imp_yaml_word(yaml, node, words, 0);
    return TRUE;
}

static guint64 largest_of(guint32 size_bytes)
{
    return size_bytes >= 8 ? G_MAXUINT64 : (G_GUINT64_CONSTANT(1) << (8 * size_bytes)) - 1;
}

/* Bytes of a number in memory: 1, 2, 4 or 8. */
static guint32 read_size(ImpYaml *yaml, const ImpYamlNode *node)
{
    guint64 size = imp_yaml_quantity(yaml, node, IMP_UNIT_BYTES, 1, 8, 4);
    if (size == 1 || size == 2 || size == 4 || size == 8)
        return (guint32)size;
    imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "a number in memory has 1, 2, 4 or 8 bytes");
    return 4;
}

static void check_end(ImpYaml *yaml, const ImpYamlNode *at, guint64 address, gsize n_bytes)
{
    if (at != NULL && address > G_MAXUINT32 - (n_bytes - 1))
        imp_yaml_fault(yaml, at, IMP_E_OUTSIDE_MEMORY, "this lies behind the 32-bit address space");
}

/* {at: 0x…, value: 0x…, size: 4} or {at: 0x…, hex: "00 01"} */
static gboolean read_write(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    guint8 bytes[IMP_CONTENT_WRITE_MAX] = {0};
    gssize n_bytes = 0;
    ImpYamlMap m;
    (void)recipe;
    imp_yaml_map_begin(&m, yaml, node, "write step");
    const ImpYamlNode *at = imp_yaml_need(&m, "at"), *value = imp_yaml_get(&m, "value"),
                      *size = imp_yaml_get(&m, "size"), *hex = imp_yaml_get(&m, "hex");
    step->step.address = imp_yaml_address(yaml, at, 0);
    if ((value == NULL) == (hex == NULL) || (hex != NULL && size != NULL)) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "a write step needs either value (and size) or hex");
    } else if (value != NULL) {
        n_bytes = read_size(yaml, size);
        guint64 number = imp_yaml_u64(yaml, value, 0, largest_of((guint32)n_bytes), 0);
        for (gssize i = 0; i < n_bytes; i++)
            bytes[i] = (guint8)(number >> (8 * i));
    } else {
        g_autofree char *text = g_strdup(imp_yaml_string(yaml, hex, 2, 3 * sizeof bytes, "00"));
        char *to = text;
        for (const char *from = text; *from != '\0'; from++)
            if (*from != ' ')
                *to++ = *from;
        *to = '\0';
        n_bytes = imp_hex_decode(text, bytes, sizeof bytes);
        if (n_bytes < 1)
            imp_yaml_fault(yaml, hex, IMP_E_SCHEMA, "expected 1 to %d bytes as hexadecimal digits",
                           IMP_CONTENT_WRITE_MAX);
    }
    imp_yaml_map_end(&m);
    if (n_bytes < 1)
        return FALSE;
    check_end(yaml, at, step->step.address, (gsize)n_bytes);
    step->step.bytes = g_bytes_new(bytes, (gsize)n_bytes);
    return TRUE;
}

/* {at: 0x…, size: 4, mask: 0x…, equals: 0x… | between: A to B, within: 100 ms} */
static gboolean read_expect(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    ImpYamlMap m;
    ImpStep *s = &step->step;
    (void)recipe;
    imp_yaml_map_begin(&m, yaml, node, "expect step");
    const ImpYamlNode *at = imp_yaml_need(&m, "at"), *size = imp_yaml_get(&m, "size"),
                      *mask = imp_yaml_get(&m, "mask"), *equals = imp_yaml_get(&m, "equals"),
                      *between = imp_yaml_get(&m, "between"), *within = imp_yaml_get(&m, "within");
    imp_yaml_map_end(&m);
    s->address = imp_yaml_address(yaml, at, 0);
    s->size_bytes = read_size(yaml, size);
    guint64 all = largest_of(s->size_bytes);
    s->mask = imp_yaml_u64(yaml, mask, 1, all, all);
    s->within_ms = imp_recipe_ms(yaml, within, 0, 0);
    if (m.node != NULL && (equals == NULL) == (between == NULL))
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "an expect step needs exactly one of: equals, between");
    s->low = s->high = imp_yaml_u64(yaml, equals, 0, all, 0);
    if (between != NULL)
        imp_yaml_number_range(yaml, between, all, &s->low, &s->high);
    if (s->low & ~s->mask && s->low == s->high)
        imp_yaml_fault(yaml, equals ? equals : between, IMP_E_RECIPE,
                       "this has bits that the mask takes away: it can never be found");
    check_end(yaml, at, s->address, s->size_bytes);
    return m.node != NULL;
}

static gboolean read_protect(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    (void)recipe;
    step->step.prove = TRUE;
    if (node->kind == IMP_YAML_SCALAR) {
        step->step.level = (guint32)imp_yaml_u64(yaml, node, 1, LEVEL_MAX, 1);
        return TRUE;
    }
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "protect step");
    step->step.level = (guint32)imp_yaml_u64(yaml, imp_yaml_need(&m, "level"), 1, LEVEL_MAX, 1);
    step->step.prove = imp_yaml_bool(yaml, imp_yaml_get(&m, "prove"), TRUE);
    imp_yaml_map_end(&m);
    return TRUE;
}

static gboolean read_run(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    static const char *const places[] = {"mailbox", "serial", NULL};
    ImpYamlMap m;
    (void)recipe;
    imp_yaml_map_begin(&m, yaml, node, "run step");
    const char *text = imp_yaml_string(yaml, imp_yaml_need(&m, "expect-text"), 1, IMP_CONTENT_TEXT_MAX, NULL);
    step->step.within_ms = imp_recipe_ms(yaml, imp_yaml_get(&m, "within"), 1, WITHIN_MS);
    step->speaks_node = imp_yaml_get(&m, "on");
    if (step->speaks_node != NULL)
        step->speaks =
            imp_yaml_word(yaml, step->speaks_node, places, 0) == 0 ? IMP_SPEAKS_MAILBOX : IMP_SPEAKS_SERIAL;
    imp_yaml_map_end(&m);
    step->step.text = g_strdup(text);
    return text != NULL;
}

static gboolean read_delay(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    (void)recipe;
    step->step.delay_ms = imp_recipe_ms(yaml, node, 1, 1);
    return TRUE;
}

static gboolean read_power(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    static const char *const words[] = {"on", "off", "cycle", NULL};
    static const ImpPowerAction actions[] = {IMP_POWER_ON, IMP_POWER_OFF, IMP_POWER_CYCLE};
    (void)recipe;
    step->step.power = actions[imp_yaml_word(yaml, node, words, 0)];
    return TRUE;
}

/* "build/boardtest.elf" → "boardtest.elf" */
static const char *file_name(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash != NULL ? slash + 1 : file;
}

static gboolean read_test(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step)
{
    static const char *const places[] = {"ram", NULL};
    ImpRecipeTest test = {.node = node};
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "test step");
    test.file_node = imp_yaml_need(&m, "file");
    test.file = imp_yaml_string(yaml, test.file_node, 1, IMP_INPUT_NAME_MAX, NULL);
    const ImpYamlNode *name = imp_yaml_get(&m, "name"), *numbers = imp_yaml_get(&m, "numbers");
    imp_yaml_word(yaml, imp_yaml_get(&m, "run-in"), places, 0);
    step->step.timeout_ms = imp_recipe_ms(yaml, imp_yaml_get(&m, "timeout"), 1, WITHIN_MS);
    imp_yaml_map_end(&m);
    if (test.file == NULL)
        return FALSE;
    test.name = imp_yaml_string(yaml, name, 1, IMP_CONTENT_NAME_MAX, file_name(test.file));
    if (recipe->tests->len >= TEST_FILES) {
        imp_yaml_fault(yaml, node, IMP_E_LIMIT, "more than %d tests", TEST_FILES);
        return FALSE;
    }
    if (numbers != NULL && !take_named(yaml, numbers, recipe, IMP_VALUE_POOL, "is no number of a pool", step))
        return FALSE;
    step->step.test_index = recipe->tests->len;
    g_array_append_val(recipe->tests, test);
    return TRUE;
}

typedef struct {
    const char *verb;
    ImpStepKind kind;
    gboolean (*read)(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe, ImpRecipeStep *step);
    const char *alone; /* what to say of the verb alone; NULL: it may stand alone, read gets NULL */
    gboolean finally; /* may stand there */
} Verb;

static const Verb verbs[] = {
    {"erase", IMP_STEP_ERASE, read_erase, "say what to erase: 'erase: all' or 'erase: used'", FALSE},
    {"program", IMP_STEP_PROGRAM, read_program, NULL, FALSE},
    {"verify", IMP_STEP_VERIFY, read_verify, "say how to verify: 'verify: checksum' or 'verify: read-back'",
     FALSE},
    {"read", IMP_STEP_READ, read_read, NULL, FALSE},
    {"reset", IMP_STEP_RESET, read_reset, NULL, TRUE},
    {"blank-check", IMP_STEP_BLANK_CHECK, read_blank_check,
     "say what must be blank: 'blank-check: all' or 'blank-check: used'", FALSE},
    {"write", IMP_STEP_WRITE, read_write, "say what to write: 'write: {at: 0x…, value: 0x…}'", TRUE},
    {"expect", IMP_STEP_EXPECT, read_expect, "say what to expect: 'expect: {at: 0x…, equals: 0x…}'", FALSE},
    {"protect", IMP_STEP_PROTECT, read_protect, "say how much to protect: 'protect: {level: 1}'", FALSE},
    {"run", IMP_STEP_RUN, read_run, "say what to wait for: 'run: {expect-text: …}'", FALSE},
    {"delay", IMP_STEP_DELAY, read_delay, "say how long: 'delay: 20 ms'", TRUE},
    {"power", IMP_STEP_POWER, read_power, "say 'power: on', 'power: off' or 'power: cycle'", TRUE},
    {"test", IMP_STEP_TEST, read_test, "say what to run: 'test: {file: …}'", FALSE},
};

/* ---- steps ---- */

static void unknown_verb(ImpYaml *yaml, const ImpYamlNode *node)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++)
        g_ptr_array_add(names, (gpointer)verbs[i].verb);
    g_ptr_array_add(names, NULL);
    const char *nearest = imp_nearest(node->text, (const char *const *)names->pdata);
    g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
    imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "unknown step '%s'; %s%s%s", node->text,
                   nearest ? "did you mean '" : "known are: ", nearest ? nearest : all, nearest ? "'?" : "");
}

/* The verb of a step and what stands behind it; NULL and a fault. */
static const Verb *find_verb(ImpYaml *yaml, const ImpYamlNode *node, const ImpYamlNode **out_argument)
{
    const Verb *found = NULL;
    *out_argument = NULL;
    if (node->kind == IMP_YAML_SCALAR) {
        for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++)
            if (strcmp(node->text, verbs[i].verb) == 0)
                found = &verbs[i];
        if (found == NULL)
            unknown_verb(yaml, node);
        else if (found->alone != NULL)
            imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "%s", found->alone);
        return found != NULL && found->alone == NULL ? found : NULL;
    }
    if (node->kind != IMP_YAML_MAP || node->n_items != 1) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "a step has exactly one verb, this one has %zu",
                       node->kind == IMP_YAML_MAP ? node->n_items : 0);
        return NULL;
    }
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "step");
    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (imp_yaml_get(&m, verbs[i].verb) != NULL)
            found = &verbs[i];
    imp_yaml_map_end(&m);
    *out_argument = node->items[0];
    return found;
}

static void read_step(ImpYaml *yaml, const ImpYamlNode *node, gboolean finally, ImpRecipe *recipe)
{
    const ImpYamlNode *argument;
    const Verb *verb = find_verb(yaml, node, &argument);
    if (verb == NULL)
        return;
    if (finally && !verb->finally) {
        imp_yaml_fault(yaml, node, IMP_E_RECIPE,
                       "'%s' cannot stand in 'finally', which has reset, write, delay and power", verb->verb);
        return;
    }
    ImpRecipeStep step = {.node = node, .step.kind = verb->kind};
    if (!verb->read(yaml, argument, recipe, &step)) {
        imp_step_done(&step.step);
        g_free(step.sources);
        return;
    }
    g_array_append_val(finally ? recipe->finally : recipe->steps, step);
}

static void add(ImpRecipe *recipe, ImpStep step)
{
    ImpRecipeStep item = {.step = step};
    g_array_append_val(recipe->steps, item);
}

static gboolean reads_values(const ImpRecipe *recipe)
{
    for (guint i = 0; i < recipe->values->len; i++)
        if (g_array_index(recipe->values, ImpRecipeValue, i).kind == IMP_VALUE_READ)
            return TRUE;
    return FALSE;
}

/* Steps of a recipe that names none. What is read from the chip is read first, so that the log has it of failed units too. */
static void add_defaults(ImpRecipe *recipe)
{
    if (reads_values(recipe))
        add(recipe, (ImpStep){.kind = IMP_STEP_READ});
    add(recipe, (ImpStep){.kind = IMP_STEP_ERASE, .erase = IMP_ERASE_USED});
    add(recipe, (ImpStep){.kind = IMP_STEP_PROGRAM});
    add(recipe, (ImpStep){.kind = IMP_STEP_VERIFY, .verify = IMP_VERIFY_CHECKSUM});
    add(recipe, (ImpStep){.kind = IMP_STEP_RESET});
}

/* Places that are written after everything else: looked at, programmed and verified behind the last verify step. */
static void add_after(ImpRecipe *recipe)
{
    guint at = 0;
    gsize n_sources = imp_recipe_n_sources(recipe);
    g_autofree gboolean *sources = g_new0(gboolean, n_sources + 1);
    g_autoptr(GArray) added = g_array_new(FALSE, TRUE, sizeof(ImpRecipeStep));
    for (guint i = 0; i < recipe->places->len; i++) {
        const ImpRecipePlace *place = &g_array_index(recipe->places, ImpRecipePlace, i);
        if (!place->after)
            continue;
        ImpRecipeStep blank = {.node = place->node,
                               .step = {.kind = IMP_STEP_BLANK_CHECK, .blank = IMP_BLANK_RANGE},
                               .after_place = i + 1};
        g_array_append_val(added, blank);
        sources[recipe->data->len + i] = TRUE;
    }
    if (added->len == 0)
        return;
    const ImpYamlNode *node = g_array_index(added, ImpRecipeStep, 0).node;
    ImpRecipeStep program = {.node = node,
                             .step.kind = IMP_STEP_PROGRAM,
                             .sources = g_memdup2(sources, (n_sources + 1) * sizeof *sources)},
                  verify = {.node = node,
                            .step = {.kind = IMP_STEP_VERIFY, .verify = IMP_VERIFY_READ_BACK},
                            .sources = g_memdup2(sources, (n_sources + 1) * sizeof *sources)};
    g_array_append_val(added, program);
    g_array_append_val(added, verify);
    for (guint i = 0; i < recipe->steps->len; i++)
        if (g_array_index(recipe->steps, ImpRecipeStep, i).step.kind == IMP_STEP_VERIFY)
            at = i + 1;
    g_array_insert_vals(recipe->steps, at, added->data, added->len); /* moved: added has no clear function */
}

void imp_recipe_read_steps(ImpYaml *yaml, const ImpYamlNode *root, const ImpYamlNode *node, ImpRecipe *recipe)
{
    if (recipe->data->len == 0 && recipe->places->len == 0 && imp_yaml_ok(yaml))
        imp_yaml_fault(yaml, root, IMP_E_RECIPE, "there is nothing to program: add 'data'");
    if (node == NULL) {
        add_defaults(recipe);
        add_after(recipe);
        if (imp_yaml_ok(yaml))
            imp_recipe_check_order(yaml, root, recipe);
        return;
    }
    gboolean ok_before = imp_yaml_ok(yaml);
    const ImpYamlNode *list = imp_yaml_list(yaml, node, 1, IMP_CONTENT_STEPS_MAX);
    for (gsize i = 0; i < imp_yaml_count(list); i++)
        read_step(yaml, list->items[i], FALSE, recipe);
    /* A step that could not be read would only make this lie. */
    if (list != NULL && (imp_yaml_ok(yaml) || (!ok_before && recipe->steps->len == list->n_items))) {
        add_after(recipe);
        imp_recipe_check_order(yaml, node, recipe);
    }
}

void imp_recipe_read_finally(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe)
{
    const ImpYamlNode *list = imp_yaml_list(yaml, node, 0, IMP_CONTENT_FINALLY_MAX);
    for (gsize i = 0; i < imp_yaml_count(list); i++)
        read_step(yaml, list->items[i], TRUE, recipe);
}
