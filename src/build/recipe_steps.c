/* The recipe's steps: their form, and that nothing is written without being verified. */
#include "build/recipe.h"

#include <string.h>

#include "base/nearest.h"

static const char *const verbs[] = {"erase", "program", "verify", "read", "reset", NULL};
static const char *const later_verbs[] = {"test",  "protect", "unprotect", "run",
                                          "power", "wait",    "write",     NULL};

static void add(ImpRecipe *recipe, const ImpYamlNode *node, ImpStep step)
{
    ImpRecipeStep item = {.node = node, .step = step};
    g_array_append_val(recipe->steps, item);
}

static gboolean is_all(const ImpYamlNode *node)
{
    return node->kind == IMP_YAML_SCALAR && strcmp(node->text, "all") == 0;
}

/* A list that must name everything in names (NULL-terminated): this version does all of a step at once. verb is for messages:
 * "programs". */
static void need_all(ImpYaml *yaml, const ImpYamlNode *node, const char *const *names, const char *verb)
{
    if (is_all(node))
        return;
    const ImpYamlNode *list = imp_yaml_list(yaml, node, 1, IMP_BUILD_DATA_MAX + IMP_CONTENT_VALUES_MAX);
    if (list == NULL)
        return;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (gsize i = 0; i < list->n_items; i++) {
        const char *name = imp_yaml_string(yaml, list->items[i], 1, IMP_CONTENT_NAME_MAX, NULL);
        if (name == NULL)
            return;
        if (!g_strv_contains(names, name)) {
            const char *nearest = imp_nearest(name, names);
            imp_yaml_fault(yaml, list->items[i], IMP_E_RECIPE, "there is no '%s' that this step %s%s%s%s",
                           name, verb, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                           nearest ? "'?" : "");
            return;
        }
        if (!g_hash_table_add(seen, (gpointer)name))
            imp_yaml_fault(yaml, list->items[i], IMP_E_RECIPE, "'%s' stands in the list twice", name);
    }
    for (; *names != NULL; names++)
        if (!g_hash_table_contains(seen, *names)) {
            imp_yaml_fault(yaml, node, IMP_E_RECIPE_UNSUPPORTED,
                           "a step that leaves out '%s' is not supported by this version; write 'all'",
                           *names);
            return;
        }
}

static void read_program(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (guint i = 0; i < recipe->data->len; i++)
        g_ptr_array_add(names, (gpointer)g_array_index(recipe->data, ImpRecipeData, i).name);
    if (recipe->places->len > 0)
        g_ptr_array_add(names, (gpointer) "values");
    g_ptr_array_add(names, NULL);
    need_all(yaml, node, (const char *const *)names->pdata, "programs");
}

static void read_read(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (guint i = 0; i < recipe->values->len; i++) {
        const ImpRecipeValue *value = &g_array_index(recipe->values, ImpRecipeValue, i);
        if (value->kind == IMP_VALUE_READ)
            g_ptr_array_add(names, (gpointer)value->name);
    }
    g_ptr_array_add(names, NULL);
    need_all(yaml, node, (const char *const *)names->pdata, "reads");
}

/* A verb alone: "- reset". */
static void read_bare_step(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe)
{
    if (strcmp(node->text, "program") == 0)
        add(recipe, node, (ImpStep){.kind = IMP_STEP_PROGRAM});
    else if (strcmp(node->text, "read") == 0)
        add(recipe, node, (ImpStep){.kind = IMP_STEP_READ});
    else if (strcmp(node->text, "reset") == 0)
        add(recipe, node, (ImpStep){.kind = IMP_STEP_RESET});
    else if (strcmp(node->text, "erase") == 0)
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "say what to erase: 'erase: all' or 'erase: used'");
    else if (strcmp(node->text, "verify") == 0)
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA,
                       "say how to verify: 'verify: checksum' or 'verify: read-back'");
    else if (g_strv_contains(later_verbs, node->text))
        imp_yaml_fault(yaml, node, IMP_E_RECIPE_UNSUPPORTED, "step '%s' is not supported by this version",
                       node->text);
    else {
        const char *nearest = imp_nearest(node->text, verbs);
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "unknown step '%s'; %s%s%s", node->text,
                       nearest ? "did you mean '" : "known are: ",
                       nearest ? nearest : "erase, program, verify, read, reset", nearest ? "'?" : "");
    }
}

static void read_step(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe)
{
    static const char *const erase_words[] = {"all", "used", NULL};
    static const char *const verify_words[] = {"checksum", "read-back", NULL};
    static const char *const reset_words[] = {"run", NULL};
    if (node->kind == IMP_YAML_SCALAR) {
        read_bare_step(yaml, node, recipe);
        return;
    }
    if (node->kind != IMP_YAML_MAP || node->n_items != 1) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "a step has exactly one verb, this one has %zu",
                       node->kind == IMP_YAML_MAP ? node->n_items : 0);
        return;
    }
    const ImpYamlNode *argument = node->items[0];
    ImpYamlMap m;
    ImpStep step = {0};
    imp_yaml_map_begin(&m, yaml, node, "step");
    if (imp_yaml_get(&m, "erase") != NULL) {
        int word = imp_yaml_word(yaml, argument, erase_words, 0);
        step = (ImpStep){.kind = IMP_STEP_ERASE, .erase = word == 0 ? IMP_ERASE_ALL : IMP_ERASE_USED};
    } else if (imp_yaml_get(&m, "program") != NULL) {
        read_program(yaml, argument, recipe);
        step = (ImpStep){.kind = IMP_STEP_PROGRAM};
    } else if (imp_yaml_get(&m, "verify") != NULL) {
        int word = imp_yaml_word(yaml, argument, verify_words, 0);
        step = (ImpStep){.kind = IMP_STEP_VERIFY,
                         .verify = word == 0 ? IMP_VERIFY_CHECKSUM : IMP_VERIFY_READ_BACK};
    } else if (imp_yaml_get(&m, "read") != NULL) {
        read_read(yaml, argument, recipe);
        step = (ImpStep){.kind = IMP_STEP_READ};
    } else if (imp_yaml_get(&m, "reset") != NULL) {
        imp_yaml_word(yaml, argument, reset_words, 0);
        step = (ImpStep){.kind = IMP_STEP_RESET};
    }
    for (const char *const *verb = later_verbs; *verb != NULL; verb++)
        imp_yaml_refuse(&m, *verb, IMP_E_RECIPE_UNSUPPORTED);
    imp_yaml_map_end(&m);
    if (step.kind != 0)
        add(recipe, node, step);
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
        add(recipe, NULL, (ImpStep){.kind = IMP_STEP_READ});
    add(recipe, NULL, (ImpStep){.kind = IMP_STEP_ERASE, .erase = IMP_ERASE_USED});
    add(recipe, NULL, (ImpStep){.kind = IMP_STEP_PROGRAM});
    add(recipe, NULL, (ImpStep){.kind = IMP_STEP_VERIFY, .verify = IMP_VERIFY_CHECKSUM});
    add(recipe, NULL, (ImpStep){.kind = IMP_STEP_RESET});
}

/* Erase, program, verify stand in an order that leaves every written byte verified; what the log wants is read. */
static void check_order(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe)
{
    const ImpRecipeStep *program = NULL, *verify = NULL;
    gboolean read = FALSE;
    for (guint i = 0; i < recipe->steps->len; i++) {
        const ImpRecipeStep *step = &g_array_index(recipe->steps, ImpRecipeStep, i);
        switch (step->step.kind) {
        case IMP_STEP_PROGRAM:
            program = step;
            verify = NULL;
            break;
        case IMP_STEP_VERIFY:
            if (program == NULL)
                imp_yaml_fault(yaml, step->node, IMP_E_RECIPE,
                               "nothing has been programmed before this step");
            verify = step;
            break;
        case IMP_STEP_ERASE:
            if (program != NULL) {
                imp_yaml_fault(yaml, step->node, IMP_E_RECIPE, "this erases what has been programmed before");
                imp_yaml_note(yaml, program->node, "programmed here");
            }
            break;
        case IMP_STEP_READ:
            read = TRUE;
            break;
        case IMP_STEP_RESET:
            break;
        }
    }
    if (program == NULL)
        imp_yaml_fault(yaml, node, IMP_E_RECIPE, "no step programs anything: add 'program: all'");
    else if (verify == NULL)
        imp_yaml_fault(yaml, program->node, IMP_E_NOT_VERIFIED,
                       "what this step writes is not verified afterwards: add 'verify: checksum' after it");
    if (!read && reads_values(recipe))
        imp_yaml_fault(yaml, node, IMP_E_RECIPE,
                       "no step reads the values that are read from the chip: add 'read: all'");
}

void imp_recipe_read_steps(ImpYaml *yaml, const ImpYamlNode *root, const ImpYamlNode *node, ImpRecipe *recipe)
{
    if (recipe->data->len == 0 && recipe->places->len == 0 && imp_yaml_ok(yaml))
        imp_yaml_fault(yaml, root, IMP_E_RECIPE, "there is nothing to program: add 'data'");
    if (node == NULL) {
        add_defaults(recipe);
        return;
    }
    gboolean ok_before = imp_yaml_ok(yaml);
    const ImpYamlNode *list = imp_yaml_list(yaml, node, 1, IMP_CONTENT_STEPS_MAX);
    for (gsize i = 0; i < imp_yaml_count(list); i++)
        read_step(yaml, list->items[i], recipe);
    /* A step that could not be read would only make this lie. */
    if (list != NULL && (imp_yaml_ok(yaml) || (!ok_before && recipe->steps->len == list->n_items)))
        check_order(yaml, node, recipe);
}
