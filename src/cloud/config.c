#include <string.h>

#include "base/yaml.h"
#include "cloud/cloud.h"

void imp_cloud_config_done(ImpCloudConfig *config)
{
    g_free(config->folder);
    g_free(config->listen);
    g_free(config->url);
    *config = (ImpCloudConfig){0};
}

gboolean imp_cloud_config_load(const char *path, ImpCloudConfig *out_config, GError **error)
{
    g_autoptr(ImpYaml) yaml = imp_yaml_load(path, error);
    if (yaml == NULL)
        return FALSE;
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, imp_yaml_root(yaml), "cloud configuration");
    const ImpYamlNode *version = imp_yaml_need(&m, "cloud");
    imp_yaml_u64(yaml, version, 1, 1, 1);
    const char *folder = imp_yaml_string(yaml, imp_yaml_need(&m, "data"), 1, 4096, "");
    const char *listen = imp_yaml_string(yaml, imp_yaml_need(&m, "listen"), 1, 100, "");
    const ImpYamlNode *url_node = imp_yaml_get(&m, "url");
    const char *url = imp_yaml_string(yaml, url_node, 1, 200, NULL);
    if (url != NULL && !g_str_has_prefix(url, "https://"))
        imp_yaml_fault(yaml, url_node, IMP_E_SCHEMA, "the url begins with https://");
    imp_yaml_map_end(&m);
    if (!imp_yaml_end(yaml, error))
        return FALSE;
    g_autofree char *full = g_canonicalize_filename(path, NULL);
    g_autofree char *base = g_path_get_dirname(full);
    *out_config = (ImpCloudConfig){
        .folder = g_canonicalize_filename(folder, base), .listen = g_strdup(listen), .url = g_strdup(url)};
    return TRUE;
}
