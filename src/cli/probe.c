/* imprint probe list: the probes of this machine, and what they say of themselves. */
#include "cli/probe.h"

#include "cli/commands.h"
#include "cli/print.h"
#include "target/target.h"

#include <string.h>

char *imp_cli_probe_spec(const GPtrArray *list, const ImpProbeSeen *seen)
{
    guint same = 0;
    for (guint i = 0; i < list->len; i++)
        same += strcmp(((const ImpProbeSeen *)list->pdata[i])->serial, seen->serial) == 0;
    gboolean own = seen->serial[0] != '\0' && same == 1;
    return g_strconcat("usb:", own ? seen->serial : seen->path, NULL);
}

const char *imp_cli_probe_kind(const ImpProbeSeen *seen)
{
    if (seen->has_bulk)
        return seen->has_hid ? "CMSIS-DAP v2 and v1" : "CMSIS-DAP v2";
    return "CMSIS-DAP v1";
}

static const char *access_text(ImpProbeAccess access)
{
    switch (access) {
    case IMP_PROBE_ACCESS_GOOD:
        return "good";
    case IMP_PROBE_ACCESS_DENIED:
        return "denied";
    case IMP_PROBE_ACCESS_NO_NODE:
        return "no-node";
    }
    g_assert_not_reached();
}

void imp_cli_probe_say_access(FILE *out, const char *indent, const GPtrArray *list)
{
    g_autoptr(GPtrArray) rules = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < list->len; i++) {
        const ImpProbeSeen *seen = list->pdata[i];
        if (seen->access == IMP_PROBE_ACCESS_NO_NODE)
            fprintf(out, "%s%s: there is no %s; in a container, hand the folder /dev/bus/usb into it\n",
                    indent, seen->path, seen->node);
        if (seen->access != IMP_PROBE_ACCESS_DENIED)
            continue;
        fprintf(out, "%s%s: this user may not read and write %s\n", indent, seen->path, seen->node);
        char *rule = imp_probe_udev_rule(seen);
        if (g_ptr_array_find_with_equal_func(rules, rule, g_str_equal, NULL))
            g_free(rule);
        else
            g_ptr_array_add(rules, rule);
    }
    if (rules->len == 0)
        return;
    fprintf(out, "%sdo       as root, write into %s:\n", indent, IMP_CLI_RULES_FILE);
    for (guint i = 0; i < rules->len; i++)
        fprintf(out, "%s           %s\n", indent, (const char *)rules->pdata[i]);
    fprintf(out,
            "%s         then: udevadm control --reload && udevadm trigger\n"
            "%s         (over ssh also: adduser USER plugdev, and log in again)\n",
            indent, indent);
}

gboolean imp_cli_probe_ask(const ImpCli *cli, const char *spec, ImpProbeInfo *out_info, GError **error)
{
    g_autoptr(ImpProbe) probe = imp_probe_open(spec, cli->env->clock, error);
    return probe != NULL && imp_probe_ask_info(probe, out_info, error);
}

const char *imp_cli_probe_label(const char *spec)
{
    const char *colon = strchr(spec, ':');
    return colon != NULL && colon[1] != '\0' ? colon + 1 : spec;
}

static gboolean add_all(GPtrArray *specs, GError **error)
{
    g_autoptr(GPtrArray) list = imp_probe_list_seen(IMP_PROBE_SYSFS_DIR, IMP_PROBE_NODE_DIR);
    if (list->len == 0) {
        imp_error_set(error, IMP_E_PROBE_NOT_FOUND, "--probe all: there is no CMSIS-DAP probe on USB");
        return FALSE;
    }
    for (guint i = 0; i < list->len; i++)
        g_ptr_array_add(specs, imp_cli_probe_spec(list, list->pdata[i]));
    return TRUE;
}

/* The same probe twice would wait for itself. */
static gboolean check_specs(const GPtrArray *specs, GError **error)
{
    for (guint i = 0; i < specs->len; i++)
        for (guint k = 0; k < i; k++)
            if (strcmp(imp_cli_probe_label(specs->pdata[i]), imp_cli_probe_label(specs->pdata[k])) == 0) {
                imp_error_set(error, IMP_E_ARGUMENT,
                              "two probes are called %s; imprint probe list shows them",
                              imp_cli_probe_label(specs->pdata[i]));
                return FALSE;
            }
    for (guint i = 0; i < specs->len; i++)
        if (!imp_target_check_spec(specs->pdata[i], error)) {
            g_prefix_error(error, "--probe: ");
            return FALSE;
        }
    if (specs->len <= IMP_PROBE_USB_LIST_MAX)
        return TRUE;
    imp_error_set(error, IMP_E_ARGUMENT, "%u probes; at most %d at a time", specs->len,
                  IMP_PROBE_USB_LIST_MAX);
    return FALSE;
}

char **imp_cli_probe_specs(const ImpCli *cli, gboolean *out_several, GError **error)
{
    g_autoptr(GPtrArray) specs = g_ptr_array_new_with_free_func(g_free);
    gboolean all = FALSE;
    for (guint i = 0; i < cli->n_probes; i++) {
        all = all || strcmp(cli->probes[i], "all") == 0;
        g_ptr_array_add(specs, g_strdup(cli->probes[i]));
    }
    if (all && specs->len > 1) {
        imp_error_set(error, IMP_E_ARGUMENT, "--probe all goes with no other --probe");
        return NULL;
    }
    if (all)
        g_ptr_array_set_size(specs, 0);
    if ((all && !add_all(specs, error)) || !check_specs(specs, error))
        return NULL;
    if (specs->len == 0)
        g_ptr_array_add(specs, g_strdup("usb:"));
    *out_several = all || specs->len > 1;
    g_ptr_array_add(specs, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&specs), FALSE);
}

static json_t *info_json(const ImpProbeInfo *info)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b}", "vendor", info->vendor, "product",
                               info->product, "serial", info->serial, "protocol", info->protocol, "firmware",
                               info->firmware, "swd", info->swd, "jtag", info->jtag);
    if (info->packet_bytes != 0)
        json_object_set_new(object, "packet_bytes", json_integer(info->packet_bytes));
    if (info->packets != 0)
        json_object_set_new(object, "packets", json_integer(info->packets));
    return object;
}

static json_t *seen_json(const char *spec, const ImpProbeSeen *seen)
{
    g_autofree char *vendor_id = g_strdup_printf("%04x", seen->vendor_id);
    g_autofree char *product_id = g_strdup_printf("%04x", seen->product_id);
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "probe", spec, "kind",
                               imp_cli_probe_kind(seen), "vendor", seen->vendor, "product", seen->product,
                               "serial", seen->serial, "vendor_id", vendor_id, "product_id", product_id,
                               "usb", seen->path, "node", seen->node, "access", access_text(seen->access));
    if (seen->access == IMP_PROBE_ACCESS_DENIED) {
        g_autofree char *rule = imp_probe_udev_rule(seen);
        json_object_set_new(object, "udev_rule", json_string(rule));
    }
    return object;
}

/* "512 x 4", "64", "" */
static char *packets_text(const ImpProbeInfo *info)
{
    if (info->packet_bytes == 0)
        return g_strdup("");
    return info->packets == 0 ? g_strdup_printf("%u", info->packet_bytes)
                              : g_strdup_printf("%u x %u", info->packet_bytes, info->packets);
}

/* One row; asks the probe if it may be opened. What goes wrong is told in the row: another program may have it. */
static void add_row(const ImpCli *cli, ImpTable *table, const GPtrArray *list, const ImpProbeSeen *seen,
                    json_t *probes)
{
    ImpProbeInfo info = {0};
    g_autoptr(GError) error = NULL;
    g_autofree char *spec = imp_cli_probe_spec(list, seen);
    json_t *object = seen_json(spec, seen);
    if (seen->access == IMP_PROBE_ACCESS_GOOD) {
        if (imp_cli_probe_ask(cli, spec, &info, &error))
            json_object_set_new(object, "info", info_json(&info));
        else
            json_object_set_new(object, "error", imp_print_error_json(error));
    }
    json_array_append_new(probes, object);
    g_autofree char *packets = packets_text(&info);
    const char *state = seen->access == IMP_PROBE_ACCESS_DENIED    ? "permission denied"
                        : seen->access == IMP_PROBE_ACCESS_NO_NODE ? "no device node"
                        : error != NULL                            ? error->message
                                                                   : "ready";
    imp_table_add(table, (const char *[]){spec, seen->vendor, seen->product, imp_cli_probe_kind(seen),
                                          info.firmware, packets, state});
}

static void list_usb(ImpCli *cli)
{
    static const char *const columns[] = {"probe",    "vendor",  "product", "kind",
                                          "firmware", "packets", "state"};
    g_autoptr(GPtrArray) list = imp_probe_list_seen(IMP_PROBE_SYSFS_DIR, IMP_PROBE_NODE_DIR);
    json_t *probes = json_array();
    ImpTable table;
    imp_table_init(&table, columns, G_N_ELEMENTS(columns));
    for (guint i = 0; i < list->len; i++)
        add_row(cli, &table, list, list->pdata[i], probes);
    json_object_set_new(cli->result, "probes", probes);
    if (!cli->json && list->len > 0) {
        imp_table_print(&table, cli->env->out);
        imp_cli_probe_say_access(cli->env->out, "", list);
    } else if (!cli->json) {
        fputs("no CMSIS-DAP probe on USB\n"
              "do       plug one in, or name one on the network: imprint probe list --probe tcp:HOST:PORT\n",
              cli->env->out);
    }
    imp_table_done(&table);
}

static void say_line(FILE *out, const char *name, const char *text)
{
    if (text[0] != '\0')
        fprintf(out, "%-11s %s\n", name, text);
}

static gboolean show_one(ImpCli *cli, const char *spec, GError **error)
{
    ImpProbeInfo info;
    if (!imp_cli_probe_ask(cli, spec, &info, error))
        return FALSE;
    json_object_set_new(cli->result, "probes",
                        json_pack("[{s:s, s:o}]", "probe", spec, "info", info_json(&info)));
    if (cli->json)
        return TRUE;
    FILE *out = cli->env->out;
    g_autofree char *packets = packets_text(&info);
    say_line(out, "probe", spec);
    say_line(out, "vendor", info.vendor);
    say_line(out, "product", info.product);
    say_line(out, "serial", info.serial);
    say_line(out, "CMSIS-DAP", info.protocol);
    say_line(out, "firmware", info.firmware);
    say_line(out, "packets", packets);
    say_line(out, "wires", info.swd ? (info.jtag ? "SWD, JTAG" : "SWD") : "no SWD: imprint cannot use it");
    return TRUE;
}

gboolean imp_command_probe_list(ImpCli *cli, GError **error)
{
    const char *spec;
    if (!imp_cli_one_probe(cli, &spec, error))
        return FALSE;
    if (imp_cli_has(cli, IMP_OPTION_PROBE))
        return show_one(cli, spec, error);
    list_usb(cli);
    return TRUE;
}
