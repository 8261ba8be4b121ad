/* The recipe's releases: what may be done with the object in one place. Not part of the object. */
#include <string.h>

#include "build/recipe.h"
#include "image/key_store.h"
#include "image/numbers.h"

static const char *const job_keys[] = {"cloud", "factory", "release"};

/* One range of numbers, held against the pool of the recipe's value. id NULL: of the only pool that needs one. */
static void read_range(ImpYaml *yaml, const ImpYamlNode *id, const ImpYamlNode *node, const ImpPoolUse *pools,
                       gsize n_pools, ImpRestrictions *restrictions)
{
    guint64 first, last;
    GError *error = NULL;
    if (!imp_yaml_number_range(yaml, node, G_MAXINT64, &first, &last))
        return;
    if (!imp_numbers_add(pools, n_pools, id != NULL ? id->text : NULL, first, last, restrictions, &error)) {
        imp_yaml_fault(yaml, id != NULL ? id : node, IMP_E_RECIPE, "%s", error->message);
        g_error_free(error);
        return;
    }
    for (guint32 i = 0; i < restrictions->n_numbers; i++) {
        const ImpNumberRange *range = &restrictions->numbers[i];
        const ImpPoolUse *pool = &pools[range->pool_index];
        gboolean this = id != NULL ? strcmp(pool->id, id->text) == 0 : TRUE;
        if (this && !imp_numbers_check_range(pool, range->first, range->last, &error))
            imp_yaml_take(yaml, node, error);
    }
}

/* "A to B", or {POOL: A to B, …} where there are several. */
static void read_numbers(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe,
                         ImpRestrictions *restrictions)
{
    ImpPoolUse pools[IMP_CONTENT_POOLS_MAX];
    gsize n_pools = 0;
    if (node == NULL)
        return;
    for (guint i = 0; i < recipe->values->len; i++) {
        const ImpRecipeValue *value = &g_array_index(recipe->values, ImpRecipeValue, i);
        if (value->pool != NULL && value->definition == NULL)
            return; /* the value has a fault of its own */
        if (value->pool != NULL && n_pools < G_N_ELEMENTS(pools))
            pools[n_pools++] = (ImpPoolUse){.id = (char *)value->pool, .definition = value->definition};
    }
    if (n_pools == 0)
        imp_yaml_fault(yaml, node, IMP_E_RECIPE, "no value of the recipe takes numbers from a pool");
    else if (node->kind != IMP_YAML_MAP)
        read_range(yaml, NULL, node, pools, n_pools, restrictions);
    else
        for (gsize i = 0; i < node->n_items; i++)
            read_range(yaml, node->keys[i], node->items[i], pools, n_pools, restrictions);
}

static void read_restrictions(ImpYamlMap *m, ImpYaml *yaml, ImpRestrictions *restrictions)
{
    static const char *const words[] = {"pass", "write", NULL};
    static const ImpCountOn modes[] = {IMP_COUNT_ON_PASS, IMP_COUNT_ON_WRITE};
    const ImpYamlNode *units = imp_yaml_get(m, "units"), *failures = imp_yaml_get(m, "max-failures"),
                      *dates = imp_yaml_get(m, "dates"), *count_on = imp_yaml_get(m, "count-on"),
                      *count_rework = imp_yaml_get(m, "count-rework");
    restrictions->has_units = units != NULL;
    restrictions->units = imp_yaml_u64(yaml, units, 1, G_MAXINT64, 0);
    restrictions->has_max_failures = failures != NULL;
    restrictions->max_failures = imp_yaml_u64(yaml, failures, 1, G_MAXINT64, 0);
    if (imp_yaml_date_range(yaml, dates, &restrictions->not_before_s, &restrictions->not_after_s))
        restrictions->has_not_before = restrictions->has_not_after = TRUE;
    restrictions->count_on = modes[imp_yaml_word(yaml, count_on, words, 0)];
    restrictions->free_rework = !imp_yaml_bool(yaml, count_rework, TRUE);
}

static gboolean is_url(const char *text)
{
    return g_str_has_prefix(text, "https://") && text[strlen("https://")] != '\0' &&
           strpbrk(text, " \"<>") == NULL;
}

static const char *const release_words[] = {"cloud", "key", NULL};

static void read_release(ImpYaml *yaml, const ImpYamlNode *key, const ImpYamlNode *node, const char *folder,
                         ImpRecipe *recipe)
{
    static const char *const kinds[] = {"sap", "job", NULL};
    ImpRelease release = {0};
    gboolean named = imp_recipe_name_ok(yaml, key, "release");
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "release");
    release.kind =
        imp_yaml_word(yaml, imp_yaml_need(&m, "kind"), kinds, 0) == 1 ? IMP_IMAGE_JOB : IMP_IMAGE_SAP;
    const ImpYamlNode *cloud = imp_yaml_get(&m, "cloud");
    release.cloud = g_strdup(imp_yaml_string(yaml, cloud, 1, 1024, NULL));
    if (release.cloud != NULL && !is_url(release.cloud))
        imp_yaml_fault(yaml, cloud, IMP_E_SCHEMA,
                       "expected the address of a cloud such as https://imprint.example.com");
    release.factory =
        g_strdup(imp_yaml_string(yaml, imp_yaml_get(&m, "factory"), 1, IMP_IMAGE_NAME_MAX, NULL));
    for (gsize i = 0; release.kind == IMP_IMAGE_SAP && m.node != NULL && i < m.node->n_items; i++)
        if (g_strv_contains((const char *const[]){job_keys[0], job_keys[1], job_keys[2], NULL},
                            m.node->keys[i]->text))
            imp_yaml_fault(yaml, m.node->keys[i], IMP_E_RECIPE,
                           "'%s' belongs to a release of kind job; this is a sap", m.node->keys[i]->text);
    const char *key_file = imp_yaml_string(yaml, imp_yaml_get(&m, "encrypt-to"), 1, 4096, NULL);
    if (key_file != NULL)
        release.encrypt_to =
            imp_key_store_is_uri(key_file) ? g_strdup(key_file) : g_canonicalize_filename(key_file, folder);
    const ImpYamlNode *by = imp_yaml_get(&m, "release");
    release.has_release_by = by != NULL;
    release.by_cloud = by != NULL && imp_yaml_word(yaml, by, release_words, 0) == 0;
    if (release.by_cloud && key_file == NULL)
        imp_yaml_fault(yaml, by, IMP_E_RECIPE,
                       "only an encrypted job is released by its cloud: 'encrypt-to'");
    read_restrictions(&m, yaml, &release.restrictions);
    const ImpYamlNode *numbers = imp_yaml_get(&m, "numbers");
    if (numbers != NULL && release.kind == IMP_IMAGE_JOB)
        imp_yaml_fault(
            yaml, numbers, IMP_E_RECIPE,
            "'numbers' belongs to a release of kind sap; the numbers of a job come from its cloud");
    else
        read_numbers(yaml, numbers, recipe, &release.restrictions);
    imp_yaml_map_end(&m);
    if (named) {
        release.name = g_strdup(key->text);
        g_array_append_val(recipe->releases, release);
    } else {
        imp_release_done(&release);
    }
}

void imp_recipe_read_releases(ImpYaml *yaml, const ImpYamlNode *node, const char *folder, ImpRecipe *recipe)
{
    if (node == NULL)
        return;
    if (node->kind != IMP_YAML_MAP)
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "'releases' must be a mapping: name: {kind: …}");
    else if (node->n_items > IMP_BUILD_RELEASES_MAX)
        imp_yaml_fault(yaml, node, IMP_E_LIMIT, "more than %d releases", IMP_BUILD_RELEASES_MAX);
    else
        for (gsize i = 0; i < node->n_items; i++)
            read_release(yaml, node->keys[i], node->items[i], folder, recipe);
}
