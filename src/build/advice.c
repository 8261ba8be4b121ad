/* What a recipe may say, but perhaps does not mean: warnings. */
#include "build/advice.h"

#include <string.h>

#include "ledger/pool.h"

/* The key of the recipe's entry of that name under top; NULL if there is none. */
static const ImpYamlNode *find_key(const ImpYaml *yaml, const char *top, const char *name)
{
    const ImpYamlNode *root = imp_yaml_root(yaml);
    for (gsize i = 0; i < root->n_items; i++) {
        const ImpYamlNode *map = root->items[i];
        if (strcmp(root->keys[i]->text, top) != 0 || map->kind != IMP_YAML_MAP)
            continue;
        for (gsize k = 0; k < map->n_items; k++)
            if (strcmp(map->keys[k]->text, name) == 0)
                return map->keys[k];
    }
    return NULL;
}

/* Do these data set the word of the lock? Where that word itself says whether the chip is open, only if it then says no. */
static gboolean sets_lock(const ImpDevice *device, const ImpDeviceLock *lock, const ImpSegment *segment)
{
    gsize n;
    const guint8 *bytes = g_bytes_get_data(segment->bytes, &n);
    gboolean touched = FALSE;
    guint8 word[4] = {0xFF, 0xFF, 0xFF, 0xFF};
    for (guint i = 0; i < lock->n_bytes; i++) {
        guint64 at = lock->address + i;
        if (at < segment->address || at - segment->address >= n)
            continue;
        touched = TRUE;
        if (i < sizeof word)
            word[i] = bytes[at - segment->address];
    }
    guint32 value =
        (guint32)word[0] | (guint32)word[1] << 8 | (guint32)word[2] << 16 | (guint32)word[3] << 24;
    const ImpDeviceCheck *open = device->open;
    return touched && (open == NULL || open->address != lock->address || (value & open->mask) != open->value);
}

static void advise_locks(ImpYaml *yaml, const ImpDevice *device, const ImpSegment *segments, gsize n_segments)
{
    const ImpSegment *said = NULL;
    for (gsize l = 0; l < device->n_locks; l++)
        for (gsize i = 0; i < n_segments; i++) {
            if (&segments[i] == said || !sets_lock(device, &device->locks[l], &segments[i]))
                continue;
            said = &segments[i];
            imp_yaml_warn(yaml, find_key(yaml, "data", segments[i].data),
                          "data '%s' sets the chip's read protection: it programs 0x%08" G_GINT64_MODIFIER
                          "X; where that is meant, say it by a step 'protect'",
                          segments[i].data, device->locks[l].address);
        }
}

/* A place that lies in a hole of a file: the next version of the firmware may have grown into it. */
static void advise_place(ImpYaml *yaml, const ImpRecipe *recipe, const ImpRecipePlace *place,
                         const ImpDevice *device, const ImpSegment *segments, gsize n_segments)
{
    const ImpAlgorithm *memory = imp_device_algorithm_at(device, place->address, place->size_bytes);
    for (guint d = 0; d < recipe->data->len; d++) {
        const char *name = g_array_index(recipe->data, ImpRecipeData, d).name;
        guint64 before = 0, after = 0;
        gboolean has_before = FALSE, has_after = FALSE;
        for (gsize i = 0; i < n_segments; i++) {
            const ImpSegment *s = &segments[i];
            if (strcmp(s->data, name) != 0 || memory == NULL ||
                imp_device_algorithm_at(device, s->address, 1) != memory)
                continue;
            if (s->address < place->address) {
                has_before = TRUE;
                before = s->address + g_bytes_get_size(s->bytes) - 1;
            } else if (!has_after) {
                has_after = TRUE;
                after = s->address;
            }
        }
        if (!has_before || !has_after)
            continue;
        imp_yaml_warn(yaml, place->node,
                      "value '%s' lies in a hole of data '%s', between 0x%08" G_GINT64_MODIFIER
                      "X and 0x%08" G_GINT64_MODIFIER "X: the next version of that file may need it",
                      g_array_index(recipe->values, ImpRecipeValue, place->value_index).name, name, before,
                      after);
    }
}

/* How many numbers the pool has. */
static guint64 pool_numbers(const ImpRecipeValue *value)
{
    g_auto(ImpPool) pool = {0};
    gboolean ok = imp_pool_parse(value->definition, &pool, NULL);
    g_assert(ok);
    return imp_pool_capacity(&pool, pool.first);
}

static void advise_pool(ImpYaml *yaml, const ImpRecipe *recipe, guint index)
{
    const ImpRecipeValue *value = &g_array_index(recipe->values, ImpRecipeValue, index);
    gboolean placed = FALSE;
    for (guint i = 0; i < recipe->places->len; i++)
        placed = placed || g_array_index(recipe->places, ImpRecipePlace, i).value_index == index;
    if (!placed)
        imp_yaml_warn(yaml, value->node,
                      "value '%s' has no place: each unit uses a number up, and none is written",
                      value->name);
    guint64 numbers = pool_numbers(value);
    for (guint i = 0; i < recipe->releases->len; i++) {
        const ImpRelease *release = &g_array_index(recipe->releases, ImpRelease, i);
        if (release->restrictions.has_units && release->restrictions.units > numbers)
            imp_yaml_warn(yaml, find_key(yaml, "releases", release->name),
                          "release '%s' is for %" G_GUINT64_FORMAT
                          " units, but pool '%s' has %" G_GUINT64_FORMAT " numbers",
                          release->name, release->restrictions.units, value->pool, numbers);
    }
}

static void advise_releases(ImpYaml *yaml, const ImpRecipe *recipe)
{
    for (guint i = 0; i < recipe->releases->len; i++) {
        const ImpRelease *release = &g_array_index(recipe->releases, ImpRelease, i);
        if (release->kind == IMP_IMAGE_JOB && release->encrypt_to == NULL)
            imp_yaml_warn(
                yaml, find_key(yaml, "releases", release->name),
                "release '%s' is a job without 'encrypt-to': a cloud delivers encrypted images only",
                release->name);
    }
}

void imp_recipe_advise(ImpYaml *yaml, const ImpRecipe *recipe, const ImpDevice *device,
                       const ImpSegment *segments, gsize n_segments)
{
    advise_locks(yaml, device, segments, n_segments);
    for (guint i = 0; i < recipe->places->len; i++) {
        const ImpRecipePlace *place = &g_array_index(recipe->places, ImpRecipePlace, i);
        if (place->over < 0)
            advise_place(yaml, recipe, place, device, segments, n_segments);
    }
    for (guint i = 0; i < recipe->values->len; i++)
        if (g_array_index(recipe->values, ImpRecipeValue, i).kind == IMP_VALUE_POOL)
            advise_pool(yaml, recipe, i);
    advise_releases(yaml, recipe);
}
