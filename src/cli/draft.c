/* imprint new, imprint check: a recipe before anything is built from it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "build/build.h"
#include "cli/commands.h"
#include "device/packs.h"

/* ---- check ---- */

gboolean imp_command_check(ImpCli *cli, GError **error)
{
    const char *path = cli->arguments[0];
    g_autoptr(ImpBuilt) built = imp_build_recipe(path, cli->definitions, cli->env->packs_dir, error);
    if (built == NULL)
        return FALSE;
    guint n = g_strv_length(built->warnings);
    json_t *warnings = json_array();
    for (guint i = 0; i < n; i++) {
        json_array_append_new(warnings, json_string(built->warnings[i]));
        if (!cli->json)
            fprintf(cli->env->err, "%s\n", built->warnings[i]);
    }
    json_object_set_new(cli->result, "warnings", warnings);
    json_object_set_new(cli->result, "device", json_string(built->content->device->name));
    if (!cli->json)
        fprintf(cli->env->out, "%s: no faults, %u warning%s\n", path, n, n == 1 ? "" : "s");
    return TRUE;
}

/* ---- new ---- */

static const char head[] =
    "# How %s is programmed. The language: docs/recipe.md; to check it: imprint check\n"
    "imprint: 1\n"
    "name: %s  # of the product\n"
    "#version: 1.0.0\n"
    "device: %s\n";

static const char body[] =
    "#connection: {swd: 4 MHz, attach: under-reset}\n"
    "\n"
    "# Intel HEX, S-record, ELF, UF2, or binary with the address of its first byte (at: 0x...).\n"
    "data:\n"
    "  app: {file: %s%s}\n"
    "\n"
    "# What differs from unit to unit, and where it lies.\n"
    "#values:\n"
    "#  serial: {pool: %s-serial, text: \"SN-{n:06}\"}\n"
    "%s"
    "#place:\n"
    "#  - {value: serial, at: 0x%08" G_GINT64_MODIFIER "X, size: 16, pad: 0x00}\n"
    "\n"
    "# These are the steps of a recipe that names none. Whatever is written must be verified afterwards.\n"
    "#steps:\n"
    "%s"
    "#  - erase: used\n"
    "#  - program: all\n"
    "#  - verify: checksum\n"
    "#  - reset: run\n"
    "\n"
    "# What may be done in one place; imprint seal makes an image of it. Not part of the object.\n"
    "# numbers: the part of the pool that this station gives, and no other station or cloud.\n"
    "#releases:\n"
    "#  bench: {kind: sap, units: 10, numbers: 1 to 1000}\n";

/* A name for pools and products: "blinky" of "boards/blinky.yaml"; free with g_free. */
static char *stem_of(const char *path)
{
    g_autofree char *base = g_path_get_basename(path);
    char *dot = strrchr(base, '.');
    if (dot != NULL && dot != base)
        *dot = '\0';
    for (char *c = base; *c != '\0'; c++)
        if (!g_ascii_isalnum(*c) && *c != '-' && *c != '_')
            *c = '-';
    if (!g_ascii_isalpha(base[0]) || strlen(base) > 48)
        return g_strdup("product");
    return g_steal_pointer(&base);
}

/* A file name as YAML takes it: in quotes unless it is plain; free with g_free. */
static char *quoted_name(const char *name)
{
    const char *c = name;
    while (g_ascii_isalnum(*c) || (*c != '\0' && strchr("_./-", *c) != NULL))
        c++;
    if (*c == '\0' && g_ascii_isalnum(name[0]))
        return g_strdup(name);
    GString *text = g_string_new("\"");
    for (c = name; *c != '\0'; c++)
        g_string_append_printf(text, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
    return g_string_free(g_string_append_c(text, '"'), FALSE);
}

/* The text of a recipe for the chip; free with g_free. */
static char *draft(const char *stem_from, const char *firmware, const char *name, const ImpDevice *device)
{
    g_autofree char *stem = stem_of(stem_from);
    g_autofree char *quoted = quoted_name(firmware);
    g_autoptr(GString) text = g_string_new(NULL);
    guint64 last_sector = 0;
    gboolean uid = device->uid_bytes > 0;
    g_string_append_printf(text, head, name, stem, name);
    g_string_append(text, "# What can be programmed:\n");
    for (gsize i = 0; i < device->n_algorithms; i++) {
        const ImpAlgorithm *a = device->algorithms[i];
        guint32 bytes;
        guint64 sector, last = a->start + a->size_bytes - 1;
        imp_algorithm_sector_at(a, last, &sector, &bytes);
        if (i == 0)
            last_sector = sector;
        g_string_append_printf(text,
                               "#   0x%08" G_GINT64_MODIFIER "X to 0x%08" G_GINT64_MODIFIER
                               "X in sectors of %u bytes (%s)\n",
                               a->start, last, bytes, a->name);
    }
    gboolean binary = g_str_has_suffix(firmware, ".bin");
    g_autofree char *at =
        binary ? g_strdup_printf(", at: 0x%08" G_GINT64_MODIFIER "X", device->algorithms[0]->start)
               : g_strdup("");
    g_string_append_printf(text, body, quoted, at, stem, uid ? "#  uid: {read: uid}\n" : "", last_sector,
                           uid ? "#  - read: all\n" : "");
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Writes a file that is not there yet. */
static gboolean write_new(const char *path, const char *text, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        imp_error_set(error, errno == EEXIST ? IMP_E_EXISTS : IMP_E_IO, "%s: %s", path, g_strerror(errno));
        return FALSE;
    }
    gsize n = strlen(text);
    gboolean ok = write(fd, text, n) == (gssize)n;
    int number = errno;
    ok = close(fd) == 0 && ok;
    if (!ok)
        imp_error_set(error, IMP_E_IO, "%s: %s", path, g_strerror(number));
    return ok;
}

/* "app.elf", "build/blinky.hex": what a recipe takes its data from. */
static gboolean is_firmware(const char *path)
{
    static const char *const suffixes[] = {".elf", ".axf", ".out",  ".hex", ".ihex", ".ihx", ".s19",
                                           ".s28", ".s37", ".srec", ".mot", ".uf2",  ".bin"};
    for (gsize i = 0; i < G_N_ELEMENTS(suffixes); i++)
        if (g_str_has_suffix(path, suffixes[i]))
            return TRUE;
    return FALSE;
}

/* Where the recipe goes, and the firmware as that folder's recipe names it; free both with g_free. */
static void choose_names(const ImpCli *cli, char **out_recipe, char **out_firmware)
{
    const char *argument = cli->arguments[0];
    const char *output = imp_cli_has(cli, IMP_OPTION_OUTPUT) ? cli->values[IMP_OPTION_OUTPUT] : NULL;
    if (!is_firmware(argument)) {
        *out_recipe = g_strdup(output != NULL ? output : argument);
        *out_firmware = g_strdup("firmware.hex");
        return;
    }
    g_autofree char *stem = stem_of(argument);
    *out_recipe = output != NULL ? g_strdup(output) : g_strconcat(stem, ".yaml", NULL);
    g_autofree char *folder = g_path_get_dirname(*out_recipe);
    *out_firmware = strcmp(folder, ".") == 0 ? g_strdup(argument) : g_canonicalize_filename(argument, NULL);
}

gboolean imp_command_new(ImpCli *cli, GError **error)
{
    const char *name;
    g_autofree char *path = NULL, *firmware = NULL;
    if (!imp_cli_require(cli, IMP_OPTION_DEVICE, &name, error))
        return FALSE;
    g_autoptr(ImpDevice) device = imp_packs_lookup(cli->env->packs_dir, name, NULL, error);
    if (device == NULL)
        return FALSE;
    choose_names(cli, &path, &firmware);
    g_autofree char *text = draft(path, firmware, name, device);
    if (!write_new(path, text, error))
        return FALSE;
    json_object_set_new(cli->result, "recipe", json_string(path));
    json_object_set_new(cli->result, "device", json_string(device->name));
    if (!cli->json && is_firmware(cli->arguments[0]))
        fprintf(cli->env->out, "%s: a recipe for %s with %s; to program it: imprint run %s\n", path,
                device->name, firmware, path);
    else if (!cli->json)
        fprintf(cli->env->out, "%s: a recipe for %s; put firmware.hex beside it and see: imprint check %s\n",
                path, device->name, path);
    return TRUE;
}
