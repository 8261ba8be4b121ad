/* imprint device: the chips that this version knows, and those of vendors' packs. */
#include "base/id.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "device/packs.h"
#include "device/table.h"

#include <string.h>

/* The names that mean this device, its own first, separated by ", "; free with g_free. Those of the table mean its own devices
 * alone. */
static char *names_text(const ImpDevice *device, gboolean own, json_t *names)
{
    GString *text = g_string_new(device->name);
    json_array_append_new(names, json_string(device->name));
    for (const char *const *name = imp_device_names(); own && *name != NULL; name++) {
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
    json_object_set_new(object, "spared", json_boolean(algorithm->spared));
    set_address(object, "start", algorithm->start);
    return object;
}

static json_t *strings_json(const GPtrArray *strings)
{
    json_t *list = json_array();
    for (guint i = 0; i < strings->len; i++) {
        g_autofree char *valid = g_utf8_make_valid(strings->pdata[i], -1);
        json_array_append_new(list, json_string(valid));
    }
    return list;
}

static json_t *check_json(const ImpDeviceCheck *check)
{
    json_t *object = json_pack("{s:s}", "what", check->what);
    set_address(object, "address", check->address);
    set_address(object, "mask", check->mask);
    set_address(object, "value", check->value);
    return object;
}

static json_t *device_json(const ImpDevice *device, const ImpDeviceOrigin *origin)
{
    json_t *names = json_array(), *memories = json_array(), *checks = json_array();
    g_autofree char *text = names_text(device, origin->pack == NULL, names);
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
    if (device->n_locks > 0) {
        json_t *levels = json_array();
        for (gsize i = 0; i < device->n_locks; i++)
            json_array_append_new(levels, json_integer(device->locks[i].level));
        json_object_set_new(object, "protect_levels", levels);
        json_object_set_new(object, "unlock", json_boolean(device->unlock != IMP_UNLOCK_BY_NONE));
    }
    if (device->access_port != 0)
        json_object_set_new(object, "access_port", json_integer(device->access_port));
    if (origin->pack == NULL)
        return object;
    json_object_set_new(object, "pack", json_string(origin->pack));
    json_object_set_new(object, "vendor", json_string(origin->vendor));
    json_object_set_new(object, "family", json_string(origin->family));
    json_object_set_new(object, "not_used", strings_json(origin->notes));
    return object;
}

static guint64 flash_bytes(const ImpDevice *device)
{
    guint64 size_bytes = 0;
    for (gsize i = 0; i < device->n_algorithms; i++)
        size_bytes = MAX(size_bytes, device->algorithms[i]->size_bytes);
    return size_bytes;
}

/* ---- list ---- */

typedef struct {
    const char *filter; /* NULL = all */
    ImpTable table;
    json_t *devices;
} List;

static gboolean fits(const List *list, const char *text)
{
    if (list->filter == NULL)
        return TRUE;
    g_autofree char *wanted = g_ascii_strdown(list->filter, -1), *have = g_ascii_strdown(text, -1);
    return strstr(have, wanted) != NULL;
}

static void add_own(List *list, const ImpDevice *device)
{
    json_t *names = json_array();
    g_autofree char *text = names_text(device, TRUE, names);
    g_autofree char *ram = kib_text(device->ram_bytes);
    g_autofree char *flash = kib_text(flash_bytes(device));
    if (!fits(list, text)) {
        json_decref(names);
        return;
    }
    imp_table_add(&list->table,
                  (const char *[]){device->name, device->core, flash, ram, "imprint",
                                   text + strlen(device->name) + (json_array_size(names) > 1 ? 2 : 0)});
    json_array_append_new(list->devices,
                          json_pack("{s:s, s:o, s:s, s:I, s:I}", "device", device->name, "names", names,
                                    "core", device->core, "flash_bytes", (json_int_t)flash_bytes(device),
                                    "ram_bytes", (json_int_t)device->ram_bytes));
}

/* The largest memory of that kind. */
static guint64 memory_bytes(const ImpPdscDevice *device, gboolean writable)
{
    guint64 size_bytes = 0;
    for (guint i = 0; i < device->memories->len; i++) {
        const ImpPdscMemory *memory = &g_array_index(device->memories, ImpPdscMemory, i);
        if (memory->writable == writable && memory->executable)
            size_bytes = MAX(size_bytes, memory->size_bytes);
    }
    return size_bytes;
}

static void on_pack_device(gpointer user, const ImpPackEntry *entry, const ImpPdsc *pdsc, gsize index)
{
    List *list = user;
    const char *name = imp_pdsc_device_name(pdsc, index);
    if (!fits(list, name))
        return;
    g_autoptr(GError) several = NULL; /* cores: shown as such */
    g_autoptr(ImpPdscDevice) device = imp_pdsc_resolve(pdsc, index, NULL, &several);
    guint64 flash_size = device != NULL ? memory_bytes(device, FALSE) : 0;
    guint64 ram_size = device != NULL ? memory_bytes(device, TRUE) : 0;
    g_autofree char *core = device != NULL ? g_ascii_strdown(device->core, -1) : g_strdup("several");
    g_autofree char *flash = flash_size > 0 ? kib_text(flash_size) : g_strdup("");
    g_autofree char *ram = ram_size > 0 ? kib_text(ram_size) : g_strdup("");
    g_autofree char *pack = g_strdup_printf("%s.%s.%s", entry->vendor, entry->name, entry->version);
    imp_table_add(&list->table, (const char *[]){name, core, flash, ram, pack, ""});
    json_array_append_new(list->devices,
                          json_pack("{s:s, s:[s], s:s, s:I, s:I, s:s, s:s}", "device", name, "names", name,
                                    "core", core, "flash_bytes", (json_int_t)MIN(flash_size, G_MAXINT64),
                                    "ram_bytes", (json_int_t)MIN(ram_size, G_MAXINT64), "pack", pack,
                                    "vendor", imp_pdsc_device_vendor(pdsc, index)));
}

static gboolean list_own(List *list, GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (const char *const *name = imp_device_names(); *name != NULL; name++) {
        g_autoptr(ImpDevice) device = imp_device_lookup(*name, error);
        if (device == NULL)
            return FALSE;
        if (g_hash_table_add(seen, g_strdup(device->name)))
            add_own(list, device);
    }
    return TRUE;
}

/* What was added, and which of it cannot be read any more. */
static gboolean list_packs(ImpCli *cli, GError **error)
{
    g_autoptr(GPtrArray) bad = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) packs = imp_packs_list(cli->env->packs_dir, bad, error);
    json_t *list = json_array();
    json_object_set_new(cli->result, "packs", list);
    for (guint i = 0; packs != NULL && i < packs->len; i++) {
        const ImpPackEntry *entry = packs->pdata[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b}", "vendor", entry->vendor, "name",
                                              entry->name, "version", entry->version, "used", entry->newest));
    }
    for (guint i = 0; i < bad->len && !cli->json; i++)
        fprintf(cli->env->err, "not usable: %s\n", (const char *)bad->pdata[i]);
    return packs != NULL;
}

gboolean imp_command_device_list(ImpCli *cli, GError **error)
{
    static const char *const columns[] = {"device", "core", ">flash", ">RAM", "from", "also called"};
    List list = {.filter = cli->n_arguments > 0 ? cli->arguments[0] : NULL, .devices = json_array()};
    json_object_set_new(cli->result, "devices", list.devices);
    imp_table_init(&list.table, columns, G_N_ELEMENTS(columns));
    gboolean good = list_own(&list, error) && list_packs(cli, error) &&
                    imp_packs_each(cli->env->packs_dir, on_pack_device, &list, error);
    if (good && !cli->json && list.table.rows->len > 0)
        imp_table_print(&list.table, cli->env->out);
    else if (good && !cli->json)
        fprintf(cli->env->out, "no device has '%s' in its name\n", list.filter);
    imp_table_done(&list.table);
    return good;
}

/* ---- add, remove ---- */

gboolean imp_command_device_add(ImpCli *cli, GError **error)
{
    ImpPackAdded added;
    if (!imp_packs_add(cli->env->packs_dir, cli->arguments[0], &added, error))
        return FALSE;
    g_autofree char *pack = g_strdup_printf("%s.%s.%s", added.vendor, added.name, added.version);
    json_object_set_new(cli->result, "pack", json_string(pack));
    json_object_set_new(cli->result, "devices", json_integer((json_int_t)added.n_devices));
    json_object_set_new(cli->result, "algorithms", json_integer((json_int_t)added.n_algorithms));
    json_object_set_new(cli->result, "replaced", json_boolean(added.replaced));
    json_object_set_new(cli->result, "not_used", strings_json(added.notes));
    if (!cli->json) {
        fprintf(cli->env->out, "%s %s: %" G_GSIZE_FORMAT " devices, %" G_GSIZE_FORMAT " flash algorithms\n",
                added.replaced ? "replaced" : "added", pack, added.n_devices, added.n_algorithms);
        for (guint i = 0; i < added.notes->len; i++)
            fprintf(cli->env->out, "not used: %s\n", (const char *)added.notes->pdata[i]);
    }
    imp_packs_added_done(&added);
    return TRUE;
}

gboolean imp_command_device_remove(ImpCli *cli, GError **error)
{
    guint removed = 0;
    if (!imp_packs_remove(cli->env->packs_dir, cli->arguments[0], &removed, error))
        return FALSE;
    json_object_set_new(cli->result, "removed", json_integer(removed));
    if (!cli->json)
        fprintf(cli->env->out, "removed %u pack%s\n", removed, removed == 1 ? "" : "s");
    return TRUE;
}

/* ---- show ---- */

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
                (int)i == device->erase_all_algorithm ? " (erases all)"
                : algorithm->spared                   ? " (left alone by `erase: all`)"
                                                      : "");
    }
}

static void say_device(FILE *out, const ImpDevice *device, const ImpDeviceOrigin *origin)
{
    json_t *names = json_array();
    g_autofree char *text = names_text(device, origin->pack == NULL, names);
    json_decref(names);
    g_autofree char *ram = kib_text(device->ram_bytes);
    g_autofree char *clock =
        origin->pack == NULL ? g_strdup_printf(", %g MHz after reset", device->core_hz / 1e6) : g_strdup("");
    fprintf(out, "device    %s\ncore      %s%s\nRAM       0x%08" G_GINT64_MODIFIER "X  %s\n", text,
            device->core, clock, device->ram_start, ram);
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
    if (device->n_locks > 0)
        fputs("protect  ", out);
    for (gsize i = 0; i < device->n_locks; i++)
        fprintf(out, "%s level %u", i > 0 ? "," : "", device->locks[i].level);
    if (device->n_locks > 0)
        fprintf(out, "; %s\n",
                device->unlock != IMP_UNLOCK_BY_NONE ? "level 1 is opened again by erasing everything"
                                                     : "no way to open it again is known");
    if (origin->pack == NULL)
        return;
    fprintf(out, "pack      %s (%s, %s)\n", origin->pack, origin->vendor, origin->family);
    for (guint i = 0; i < origin->notes->len; i++)
        fprintf(out, "note      %s\n", (const char *)origin->notes->pdata[i]);
}

gboolean imp_command_device_show(ImpCli *cli, GError **error)
{
    ImpDeviceOrigin origin;
    g_autoptr(ImpDevice) device = imp_packs_lookup(cli->env->packs_dir, cli->arguments[0], &origin, error);
    if (device == NULL)
        return FALSE;
    json_t *object = device_json(device, &origin);
    json_object_update(cli->result, object);
    json_decref(object);
    if (!cli->json)
        say_device(cli->env->out, device, &origin);
    imp_device_origin_done(&origin);
    return TRUE;
}
