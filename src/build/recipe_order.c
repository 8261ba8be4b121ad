/* The order of a recipe's steps: what is written is verified afterwards, and nothing is lost again. */
#include "build/recipe.h"

gsize imp_recipe_n_sources(const ImpRecipe *recipe)
{
    return recipe->data->len + recipe->places->len;
}

static const ImpRecipePlace *place_of(const ImpRecipe *recipe, gsize source)
{
    return source < recipe->data->len
               ? NULL
               : &g_array_index(recipe->places, ImpRecipePlace, source - recipe->data->len);
}

gboolean imp_recipe_step_has(const ImpRecipe *recipe, const ImpRecipeStep *step, gsize source)
{
    const ImpRecipePlace *place = place_of(recipe, source);
    if (step->sources != NULL)
        return step->sources[source];
    return place == NULL || !place->after;
}

char *imp_recipe_source_text(const ImpRecipe *recipe, gsize source)
{
    const ImpRecipePlace *place = place_of(recipe, source);
    if (place == NULL)
        return g_strdup_printf("data '%s'", g_array_index(recipe->data, ImpRecipeData, source).name);
    return g_strdup_printf("value '%s'",
                           g_array_index(recipe->values, ImpRecipeValue, place->value_index).name);
}

const ImpYamlNode *imp_recipe_source_node(const ImpRecipe *recipe, gsize source)
{
    const ImpRecipePlace *place = place_of(recipe, source);
    return place == NULL ? g_array_index(recipe->data, ImpRecipeData, source).node : place->node;
}

/* What is known of one source while the steps go by. */
typedef struct {
    const ImpRecipeStep *programmed; /* the last step that did; NULL: none */
    gboolean verified; /* since then */
} State;

typedef struct {
    ImpYaml *yaml;
    const ImpRecipe *recipe;
    State *states; /* of each source */
    gboolean read_all, tested;
    const ImpRecipeStep *protected; /* NULL: not yet */
    gboolean read[IMP_CONTENT_VALUES_MAX];
} Order;

static void program(Order *o, const ImpRecipeStep *step)
{
    gsize n = imp_recipe_n_sources(o->recipe);
    for (gsize i = 0; i < n; i++) {
        if (!imp_recipe_step_has(o->recipe, step, i))
            continue;
        o->states[i] = (State){.programmed = step};
        const ImpRecipePlace *place = place_of(o->recipe, i);
        if (place == NULL)
            continue;
        const ImpRecipeValue *value = &g_array_index(o->recipe->values, ImpRecipeValue, place->value_index);
        if (value->kind == IMP_VALUE_READ && !o->read_all && !o->read[place->value_index])
            imp_yaml_fault(o->yaml, step->node, IMP_E_RECIPE,
                           "value '%s' is programmed here, but no step before reads it", value->name);
        if (value->kind == IMP_VALUE_FROM_TEST && !o->tested)
            imp_yaml_fault(o->yaml, step->node, IMP_E_RECIPE,
                           "value '%s' is programmed here, but no step before tests anything", value->name);
    }
}

static void verify(Order *o, const ImpRecipeStep *step)
{
    gsize n = imp_recipe_n_sources(o->recipe);
    gboolean any = FALSE;
    for (gsize i = 0; i < n; i++)
        if (imp_recipe_step_has(o->recipe, step, i)) {
            any = any || o->states[i].programmed != NULL;
            o->states[i].verified = TRUE;
        }
    if (!any)
        imp_yaml_fault(o->yaml, step->node, IMP_E_RECIPE, "nothing has been programmed before this step");
}

/* A range may erase what is not programmed yet; that needs addresses, and is looked at later. */
static void erase(Order *o, const ImpRecipeStep *step)
{
    gsize n = imp_recipe_n_sources(o->recipe);
    if (step->step.erase == IMP_ERASE_RANGE)
        return;
    for (gsize i = 0; i < n; i++)
        if (o->states[i].programmed != NULL) {
            imp_yaml_fault(o->yaml, step->node, IMP_E_RECIPE, "this erases what has been programmed before");
            imp_yaml_note(o->yaml, o->states[i].programmed->node, "programmed here");
            return;
        }
}

static void note_read(Order *o, const ImpRecipeStep *step)
{
    o->read_all = o->read_all || step->step.n_values == 0;
    for (gsize i = 0; i < step->step.n_values; i++)
        o->read[step->step.values[i]] = TRUE;
}

/* What needs no way into the chip. */
static gboolean works_outside(ImpStepKind kind)
{
    return kind == IMP_STEP_POWER || kind == IMP_STEP_DELAY || kind == IMP_STEP_RUN;
}

static void after_protect(Order *o, const ImpRecipeStep *step)
{
    if (o->protected == NULL || works_outside(step->step.kind))
        return;
    imp_yaml_fault(o->yaml, step->node, IMP_E_RECIPE,
                   "the chip is locked when this step comes: only run, power and delay can follow 'protect'");
    imp_yaml_note(o->yaml, o->protected->node, "locked here");
}

static void walk(Order *o)
{
    for (guint i = 0; i < o->recipe->steps->len; i++) {
        const ImpRecipeStep *step = &g_array_index(o->recipe->steps, ImpRecipeStep, i);
        after_protect(o, step);
        if (step->step.kind == IMP_STEP_PROTECT)
            o->protected = step;
        if (step->step.kind == IMP_STEP_PROGRAM)
            program(o, step);
        else if (step->step.kind == IMP_STEP_VERIFY)
            verify(o, step);
        else if (step->step.kind == IMP_STEP_ERASE)
            erase(o, step);
        else if (step->step.kind == IMP_STEP_READ)
            note_read(o, step);
        else if (step->step.kind == IMP_STEP_TEST)
            o->tested = TRUE;
    }
}

/* One fault is enough for a step that leaves several sources unverified. */
static void check_end(Order *o, const ImpYamlNode *node)
{
    gsize n = imp_recipe_n_sources(o->recipe);
    gboolean any = FALSE;
    for (gsize i = 0; i < n; i++)
        any = any || o->states[i].programmed != NULL;
    if (!any) {
        imp_yaml_fault(o->yaml, node, IMP_E_RECIPE, "no step programs anything: add 'program: all'");
        return;
    }
    const ImpRecipeStep *said = NULL;
    for (gsize i = 0; i < n; i++) {
        const State *state = &o->states[i];
        const ImpRecipePlace *place = place_of(o->recipe, i);
        g_autofree char *what = imp_recipe_source_text(o->recipe, i);
        if (state->programmed == NULL && (place == NULL || !place->after))
            imp_yaml_fault(o->yaml, imp_recipe_source_node(o->recipe, i), IMP_E_RECIPE, "no step programs %s",
                           what);
        else if (state->programmed != NULL && !state->verified && state->programmed != said) {
            said = state->programmed;
            imp_yaml_fault(
                o->yaml, said->node, IMP_E_NOT_VERIFIED,
                "what this step writes is not verified afterwards: add 'verify: checksum' after it");
            if (said->sources != NULL)
                imp_yaml_note(o->yaml, imp_recipe_source_node(o->recipe, i), "%s is not verified", what);
        }
    }
}

static void check_reads(Order *o, const ImpYamlNode *node)
{
    for (guint i = 0; i < o->recipe->values->len && !o->read_all; i++) {
        const ImpRecipeValue *value = &g_array_index(o->recipe->values, ImpRecipeValue, i);
        if (value->kind != IMP_VALUE_READ || o->read[i])
            continue;
        imp_yaml_fault(o->yaml, node, IMP_E_RECIPE,
                       "no step reads value '%s', which is read from the chip: add 'read: all'", value->name);
        return;
    }
}

void imp_recipe_check_order(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe)
{
    g_autofree State *states = g_new0(State, imp_recipe_n_sources(recipe) + 1);
    Order o = {.yaml = yaml, .recipe = recipe, .states = states, .read_all = TRUE};
    /* Without any read step a launch reads the values before all others. */
    for (guint i = 0; i < recipe->steps->len; i++)
        if (g_array_index(recipe->steps, ImpRecipeStep, i).step.kind == IMP_STEP_READ)
            o.read_all = FALSE;
    walk(&o);
    check_end(&o, node);
    check_reads(&o, node);
}
