#include "station/config.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "base/yaml.h"
#include "image/key_store.h"
#include "station/store.h"
#include "wire/wire.h"

#define PROBE_MAX      256
#define IMAGE_KEYS_MAX 64
#define PATH_BYTES_MAX 1024

static void port_done(ImpPortConfig *port)
{
    g_free(port->name);
    g_free(port->position);
    g_free(port->probe);
    g_free(port->power);
    g_free(port->serial);
}

void imp_station_config_free(ImpStationConfig *config)
{
    if (config == NULL)
        return;
    for (gsize i = 0; i < config->n_ports; i++)
        port_done(&config->ports[i]);
    g_free(config->ports);
    g_free(config->name);
    g_free(config->data);
    g_free(config->control);
    g_free(config->sealing_key);
    g_strfreev(config->image_keys);
    g_free(config);
}

/* The kind of probe is checked here; whether there is one behind the name shows at each launch. */
static void check_probe(ImpYaml *yaml, const ImpYamlNode *node, const char *probe)
{
    if (node != NULL && !g_str_has_prefix(probe, "tcp:") && !g_str_has_prefix(probe, "usb:") &&
        !g_str_has_prefix(probe, "hid:") && !g_str_has_prefix(probe, "gdb:"))
        imp_yaml_fault(yaml, node, IMP_E_CONFIG,
                       "a probe is written tcp:HOST:PORT, usb:SERIAL, hid:SERIAL or gdb:HOST:PORT, not '%s'",
                       probe);
}

/* Likewise. */
static void check_power(ImpYaml *yaml, const ImpYamlNode *node, const char *power)
{
    if (power != NULL && strcmp(power, "none") != 0 && !g_str_has_prefix(power, "scpi:") &&
        !g_str_has_prefix(power, "gpio:") && !g_str_has_prefix(power, "command:/"))
        imp_yaml_fault(yaml, node, IMP_E_CONFIG,
                       "a supply is written scpi:HOST:PORT, scpi:HOST:PORT/CHANNEL, gpio:CHIP/LINE, "
                       "gpio:CHIP/LINE:low, command:/PATH or none, not '%s'",
                       power);
}

static void read_port(ImpYaml *yaml, const ImpYamlNode *node, ImpStationConfig *config)
{
    ImpPortConfig *port = &config->ports[config->n_ports];
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "port");
    const ImpYamlNode *name = imp_yaml_need(&m, "name");
    port->name = g_strdup(imp_yaml_string(yaml, name, 1, IMP_WIRE_NAME_SIZE - 1, ""));
    port->position =
        g_strdup(imp_yaml_string(yaml, imp_yaml_get(&m, "position"), 1, IMP_WIRE_NAME_SIZE - 1, ""));
    const ImpYamlNode *probe = imp_yaml_need(&m, "probe");
    port->probe = g_strdup(imp_yaml_string(yaml, probe, 1, PROBE_MAX, ""));
    check_probe(yaml, probe, port->probe);
    const ImpYamlNode *power = imp_yaml_get(&m, "power");
    port->power = g_strdup(imp_yaml_string(yaml, power, 1, PROBE_MAX, NULL));
    check_power(yaml, power, port->power);
    port->serial = g_strdup(imp_yaml_string(yaml, imp_yaml_get(&m, "serial"), 1, PROBE_MAX, NULL));
    imp_yaml_map_end(&m);
    for (gsize i = 0; i < config->n_ports; i++)
        if (name != NULL && strcmp(config->ports[i].name, port->name) == 0)
            imp_yaml_fault(yaml, name, IMP_E_CONFIG, "two ports are called '%s'", port->name);
    config->n_ports++;
}

static void read_images(ImpYaml *yaml, const ImpYamlNode *node, ImpStationConfig *config)
{
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, node, "images");
    config->images_max =
        (guint)imp_yaml_u64(yaml, imp_yaml_get(&m, "count"), 1, IMP_STORE_IMAGES_MAX, IMP_STORE_IMAGES_MAX);
    config->images_bytes_max = imp_yaml_quantity(yaml, imp_yaml_get(&m, "space"), IMP_UNIT_BYTES, 1024 * 1024,
                                                 G_MAXINT64, IMP_STORE_BYTES_MAX);
    imp_yaml_map_end(&m);
}

static char *read_uri(ImpYaml *yaml, const ImpYamlNode *node)
{
    const char *uri = imp_yaml_string(yaml, node, 1, IMP_KEY_URI_MAX, NULL);
    if (uri != NULL && !imp_key_store_is_uri(uri))
        imp_yaml_fault(yaml, node, IMP_E_CONFIG, "expected the URI of a key in a token: pkcs11:…");
    return g_strdup(uri);
}

static void read_keys(ImpYaml *yaml, const ImpYamlNode *node, ImpStationConfig *config)
{
    ImpYamlMap m;
    GPtrArray *uris = g_ptr_array_new();
    if (node != NULL) {
        imp_yaml_map_begin(&m, yaml, node, "keys");
        config->sealing_key = read_uri(yaml, imp_yaml_get(&m, "sealing"));
        const ImpYamlNode *list = imp_yaml_get(&m, "image");
        if (list != NULL)
            list = imp_yaml_list(yaml, list, 1, IMAGE_KEYS_MAX);
        for (gsize i = 0; list != NULL && i < imp_yaml_count(list); i++) {
            char *uri = read_uri(yaml, list->items[i]);
            if (uri != NULL)
                g_ptr_array_add(uris, uri);
        }
        imp_yaml_map_end(&m);
    }
    g_ptr_array_add(uris, NULL);
    config->image_keys = (char **)g_ptr_array_free(uris, FALSE);
}

static char *absolute(const char *folder, const char *path)
{
    return g_path_is_absolute(path) ? g_strdup(path) : g_build_filename(folder, path, NULL);
}

static void read_config(ImpYaml *yaml, ImpStationConfig *config, const char *folder)
{
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, imp_yaml_root(yaml), "the station's configuration");
    config->name = g_strdup(imp_yaml_string(yaml, imp_yaml_need(&m, "name"), 1, IMP_WIRE_NAME_SIZE - 1, ""));
    config->data =
        absolute(folder, imp_yaml_string(yaml, imp_yaml_get(&m, "data"), 1, PATH_BYTES_MAX, folder));
    const ImpYamlNode *control = imp_yaml_get(&m, "control");
    config->control =
        absolute(config->data, imp_yaml_string(yaml, control, 1, PATH_BYTES_MAX, "control.sock"));
    struct sockaddr_un address;
    if (strlen(config->control) >= sizeof address.sun_path)
        imp_yaml_fault(yaml, control, IMP_E_CONFIG,
                       "the path of the control socket is longer than the %zu bytes that Linux allows: %s",
                       sizeof address.sun_path - 1, config->control);
    config->stop_limit_us = imp_yaml_quantity(yaml, imp_yaml_get(&m, "stop-limit"), IMP_UNIT_US, 0,
                                              3600 * G_TIME_SPAN_SECOND, 30 * G_TIME_SPAN_SECOND);
    config->cloud_poll_us =
        imp_yaml_quantity(yaml, imp_yaml_get(&m, "cloud-poll"), IMP_UNIT_US, 100 * G_TIME_SPAN_MILLISECOND,
                          3600 * G_TIME_SPAN_SECOND, 5 * G_TIME_SPAN_SECOND);
    read_images(yaml, imp_yaml_get(&m, "images"), config);
    read_keys(yaml, imp_yaml_get(&m, "keys"), config);
    const ImpYamlNode *ports = imp_yaml_list(yaml, imp_yaml_need(&m, "ports"), 1, IMP_STATION_PORTS_MAX);
    config->ports = g_new0(ImpPortConfig, imp_yaml_count(ports) + 1);
    for (gsize i = 0; i < imp_yaml_count(ports); i++)
        read_port(yaml, ports->items[i], config);
    imp_yaml_map_end(&m);
}

ImpStationConfig *imp_station_config_load(const char *path, GError **error)
{
    g_autoptr(ImpYaml) yaml = imp_yaml_load(path, error);
    if (yaml == NULL)
        return NULL;
    g_autofree char *full = g_canonicalize_filename(path, NULL);
    g_autofree char *folder = g_path_get_dirname(full);
    g_autoptr(ImpStationConfig) config = g_new0(ImpStationConfig, 1);
    read_config(yaml, config, folder);
    if (!imp_yaml_end(yaml, error))
        return NULL;
    return g_steal_pointer(&config);
}

/* A YAML scalar in double quotes. */
static void append_quoted(GString *text, const char *value)
{
    g_string_append_c(text, '"');
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            g_string_append_c(text, '\\');
        g_string_append_c(text, *p);
    }
    g_string_append_c(text, '"');
}

gboolean imp_station_config_init(const char *data, const char *name, const char *const *probes,
                                 GError **error)
{
    g_autofree char *path = g_build_filename(data, IMP_STATION_FILE, NULL);
    if (g_file_test(path, G_FILE_TEST_EXISTS)) {
        imp_error_set(error, IMP_E_EXISTS, "%s is there already", path);
        return FALSE;
    }
    if (g_mkdir_with_parents(data, 0700) != 0) {
        imp_error_set(error, IMP_E_IO, "%s: %s", data, g_strerror(errno));
        return FALSE;
    }
    g_autoptr(GString) text =
        g_string_new("# Imprint station; what else may stand here: docs/station.md\nname: ");
    append_quoted(text, name);
    g_string_append(text, "\nports:\n");
    for (guint i = 0; probes[i] != NULL; i++) {
        g_string_append_printf(text, "  - {name: \"%u\", probe: ", i + 1);
        append_quoted(text, probes[i]);
        g_string_append(text, "}\n");
    }
    g_autoptr(ImpYaml) yaml = imp_yaml_parse(text->str, text->len, path, error);
    if (yaml == NULL)
        return FALSE;
    g_autoptr(ImpStationConfig) config = g_new0(ImpStationConfig, 1);
    read_config(yaml, config, data);
    g_autoptr(GError) own = NULL;
    if (!imp_yaml_end(yaml, error))
        return FALSE;
    if (g_file_set_contents_full(path, text->str, (gssize)text->len,
                                 G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0644, &own))
        return TRUE;
    imp_error_set(error, IMP_E_IO, "%s", own->message);
    return FALSE;
}
