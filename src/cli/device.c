/* imprint device list and show: the chips that this version knows. */
#include "base/id.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "device/table.h"

#include <string.h>

/* The names that mean this device, its own first, separated by ", "; free with g_free. */
static char *names_text(const ImpDevice *device, json_t *names)
{
    GString *text = g_string_new(device->name);
    json_array_append_new(names, json_string(device->name));
    for (const char *const *name = imp_device_names(); *name != NULL; name++) {
        g_autoptr(ImpDevice) other = imp_device_lookup(*name, NULL);
        if (other == NULL || strcmp(other->name, device->name) != 0 || strcmp(*name, device->name) == 0)
            continue;
        g_string_append_printf(text, ", %s", *name);
        json_array_append_new(names, json_string(*name));
    }
    return g_string_free(text, FALSE);
}

/* "128 KiB", "16 B": memories come in powers of two */
static char *kib_text(guint64 size_bytes)
{
    return size_bytes >= 1024 && size_bytes % 1024 == 0
               ? g_strdup_printf("%" G_GUINT64_FORMAT " KiB", size_bytes / 1024)
               : g_strdup_printf("%" G_GUINT64_FORMAT " B", size_bytes);
}

static char *address_text(guint64 address)
{
    return g_strdup_printf("0x%08" G_GINT64_MODIFIER "X", address);
}

static void set_address(json_t *object, const char *name, guint64 address)
{
    g_autofree char *text = address_text(address);
    json_object_set_new(object, name, json_string(text));
}

/* The equal sectors that begin with run i, counted. */
static guint64 run_count(const ImpAlgorithm *algorithm, gsize i)
{
    guint64 end = i + 1 < algorithm->n_sectors ? algorithm->sectors[i + 1].start
                                               : algorithm->start + algorithm->size_bytes;
    return (end - algorithm->sectors[i].start) / algorithm->sectors[i].size_bytes;
}

/* "128 x 1 KiB", "4 x 16 KiB, 1 x 64 KiB, 7 x 128 KiB"; free with g_free. */
static char *sectors_text(const ImpAlgorithm *algorithm)
{
    GString *text = g_string_new("");
    for (gsize i = 0; i < algorithm->n_sectors; i++) {
        g_autofree char *size = kib_text(algorithm->sectors[i].size_bytes);
        g_string_append_printf(text, "%s%" G_GUINT64_FORMAT " x %s", i > 0 ? ", " : "",
                               run_count(algorithm, i), size);
    }
    return g_string_free(text, FALSE);
}

static json_t *algorithm_json(const ImpAlgorithm *algorithm, gboolean erases_all)
{
    json_t *sectors = json_array();
    for (gsize i = 0; i < algorithm->n_sectors; i++) {
        json_t *run = json_pack("{s:I, s:I}", "count", (json_int_t)run_count(algorithm, i), "size_bytes",
                                (json_int_t)algorithm->sectors[i].size_bytes);
        set_address(run, "start", algorithm->sectors[i].start);
        json_array_append_new(sectors, run);
    }
    json_t *object =
        json_pack("{s:s, s:I, s:I, s:i, s:b, s:o}", "algorithm", algorithm->name, "size_bytes",
                  (json_int_t)algorithm->size_bytes, "page_bytes", (json_int_t)algorithm->page_bytes,
                  "erased_byte", (int)algorithm->erased_byte, "erases_all", erases_all, "sectors", sectors);
    set_address(object, "start", algorithm->start);
    return object;
}

static json_t *check_json(const ImpDeviceCheck *check)
{
    json_t *object = json_pack("{s:s}", "what", check->what);
    set_address(object, "address", check->address);
    set_address(object, "mask", check->mask);
    set_address(object, "value", check->value);
    return object;
}

static json_t *device_json(const ImpDevice *device)
{
    json_t *names = json_array(), *memories = json_array(), *checks = json_array();
    g_autofree char *text = names_text(device, names);
    for (gsize i = 0; i < device->n_algorithms; i++)
        json_array_append_new(memories,
                              algorithm_json(device->algorithms[i], (int)i == device->erase_all_algorithm));
    for (gsize i = 0; i < device->n_checks; i++)
        json_array_append_new(checks, check_json(&device->checks[i]));
    json_t *object = json_pack("{s:s, s:o, s:s, s:I, s:I, s:o, s:o}", "device", device->name, "names", names,
                               "core", device->core, "core_hz", (json_int_t)device->core_hz, "ram_bytes",
                               (json_int_t)device->ram_bytes, "memories", memories, "checks", checks);
    set_address(object, "ram_start", device->ram_start);
    if (device->dpidr != 0)
        set_address(object, "dpidr", device->dpidr);
    if (device->uid_bytes > 0) {
        set_address(object, "uid_address", device->uid_address);
        json_object_set_new(object, "uid_bytes", json_integer(device->uid_bytes));
    }
    if (device->open != NULL)
        json_object_set_new(object, "open", check_json(device->open));
    return object;
}

static guint64 flash_bytes(const ImpDevice *device)
{
    guint64 size_bytes = 0;
    for (gsize i = 0; i < device->n_algorithms; i++)
        size_bytes = MAX(size_bytes, device->algorithms[i]->size_bytes);
    return size_bytes;
}

static void add_row(const ImpDevice *device, ImpTable *table, json_t *devices)
{
    json_t *names = json_array();
    g_autofree char *text = names_text(device, names);
    g_autofree char *ram = kib_text(device->ram_bytes);
    g_autofree char *flash = kib_text(flash_bytes(device));
    imp_table_add(table,
                  (const char *[]){device->name, device->core, flash, ram,
                                   text + strlen(device->name) + (json_array_size(names) > 1 ? 2 : 0)});
    json_array_append_new(devices,
                          json_pack("{s:s, s:o, s:s, s:I, s:I}", "device", device->name, "names", names,
                                    "core", device->core, "flash_bytes", (json_int_t)flash_bytes(device),
                                    "ram_bytes", (json_int_t)device->ram_bytes));
}

gboolean imp_command_device_list(ImpCli *cli, GError **error)
{
    static const char *const columns[] = {"device", "core", ">flash", ">RAM", "also called"};
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    json_t *devices = json_array();
    json_object_set_new(cli->result, "devices", devices);
    ImpTable table;
    imp_table_init(&table, columns, G_N_ELEMENTS(columns));
    gboolean good = TRUE;
    for (const char *const *name = imp_device_names(); good && *name != NULL; name++) {
        g_autoptr(ImpDevice) device = imp_device_lookup(*name, error);
        good = device != NULL;
        if (good && g_hash_table_add(seen, g_strdup(device->name)))
            add_row(device, &table, devices);
    }
    if (good && !cli->json)
        imp_table_print(&table, cli->env->out);
    imp_table_done(&table);
    return good;
}

static void say_memories(FILE *out, const ImpDevice *device)
{
    for (gsize i = 0; i < device->n_algorithms; i++) {
        const ImpAlgorithm *algorithm = device->algorithms[i];
        g_autofree char *size = kib_text(algorithm->size_bytes);
        g_autofree char *sectors = sectors_text(algorithm);
        fprintf(out,
                "memory    0x%08" G_GINT64_MODIFIER
                "X  %s  sectors %s  programmed by %u bytes  algorithm %s%s\n",
                algorithm->start, size, sectors, algorithm->page_bytes, algorithm->name,
                (int)i == device->erase_all_algorithm ? " (erases all)" : "");
    }
}

gboolean imp_command_device_show(ImpCli *cli, GError **error)
{
    g_autoptr(ImpDevice) device = imp_device_lookup(cli->arguments[0], error);
    if (device == NULL)
        return FALSE;
    json_t *object = device_json(device);
    json_object_update(cli->result, object);
    json_decref(object);
    if (cli->json)
        return TRUE;
    FILE *out = cli->env->out;
    json_t *names = json_array();
    g_autofree char *text = names_text(device, names);
    json_decref(names);
    g_autofree char *ram = kib_text(device->ram_bytes);
    fprintf(out,
            "device    %s\ncore      %s, %g MHz after reset\nRAM       0x%08" G_GINT64_MODIFIER "X  %s\n",
            text, device->core, device->core_hz / 1e6, device->ram_start, ram);
    say_memories(out, device);
    if (device->dpidr != 0)
        fprintf(out, "told by   DPIDR is 0x%08X\n", device->dpidr);
    for (gsize i = 0; i < device->n_checks; i++)
        fprintf(out, "told by   %s (0x%08" G_GINT64_MODIFIER "X, bits 0x%08X: 0x%08X)\n",
                device->checks[i].what, device->checks[i].address, device->checks[i].mask,
                device->checks[i].value);
    if (device->uid_bytes > 0)
        fprintf(out, "uid       0x%08" G_GINT64_MODIFIER "X  %u bytes\n", device->uid_address,
                device->uid_bytes);
    if (device->open != NULL)
        fprintf(out, "open      if %s (0x%08" G_GINT64_MODIFIER "X, bits 0x%08X: 0x%08X)\n",
                device->open->what, device->open->address, device->open->mask, device->open->value);
    return TRUE;
}
