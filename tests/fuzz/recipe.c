#include <stdint.h>

#include "build/recipe.h"

/* The schema only: nothing here opens a file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpYaml) yaml = imp_yaml_parse((const char *)data, size, "fuzz.yaml", NULL);
    if (yaml == NULL)
        return 0;
    const char *const definitions[] = {"N=1", NULL};
    imp_yaml_define(yaml, g_strstr_len((const char *)data, (gssize)size, "${N}") ? definitions : NULL);
    g_autoptr(ImpRecipe) recipe = imp_recipe_read(yaml, "/");
    g_assert(imp_yaml_end(yaml, &error) == (error == NULL));
    if (error == NULL)
        g_assert(recipe->name != NULL && recipe->device != NULL && recipe->steps->len > 0);
    return 0;
}
