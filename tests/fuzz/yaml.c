#include <stdint.h>

#include "base/yaml.h"

/* Reads every node in every way. */
static void walk(ImpYaml *yaml, const ImpYamlNode *node)
{
    static const char *const words[] = {"true", "false", NULL};
    guint64 a, b;
    gint64 s, t;
    g_assert(node->line > 0 && node->column > 0 && node->width > 0);
    imp_yaml_string(yaml, node, 1, 64, "");
    imp_yaml_u64(yaml, node, 0, 10, 0);
    imp_yaml_bool(yaml, node, FALSE);
    imp_yaml_word(yaml, node, words, 0);
    for (ImpUnit unit = IMP_UNIT_HZ; unit <= IMP_UNIT_BYTES; unit++)
        imp_yaml_quantity(yaml, node, unit, 0, 10, 0);
    (void)imp_yaml_address_range(yaml, node, &a, &b);
    (void)imp_yaml_date_range(yaml, node, &s, &t);
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "fuzz");
    imp_yaml_need(&m, "imprint");
    imp_yaml_map_end(&m);
    for (gsize i = 0; i < node->n_items; i++) {
        if (node->keys)
            walk(yaml, node->keys[i]);
        walk(yaml, node->items[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpYaml) yaml = imp_yaml_parse((const char *)data, size, "fuzz.yaml", &error);
    g_assert((yaml == NULL) == (error != NULL));
    if (yaml == NULL)
        return 0;
    walk(yaml, imp_yaml_root(yaml));
    g_assert(imp_yaml_end(yaml, &error) == imp_yaml_ok(yaml));
    return 0;
}
