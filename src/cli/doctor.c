/* imprint doctor: is everything there that the desk needs? Each line says what to do. */
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/probe.h"
#include "device/packs.h"
#include "device/table.h"
#include "ledger/ledger.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SPACE_BYTES_MIN (64 * 1024 * 1024)
#define TEST_FILE       "doctor-XXXXXX"

typedef struct {
    ImpCli *cli;
    json_t *checks;
    GError *first; /* what is wrong in the first line that is not ok */
} Doctor;

/* One line. error NULL: ok, and text says what was found; else what is wrong, with todo in place of the registry's advice
 * where it is not NULL. Takes over error. */
static void tell(Doctor *doctor, const char *name, const char *text, GError *error, const char *todo)
{
    const ImpErrorEntry *entry = error != NULL ? imp_error_entry(imp_error_code(error)) : NULL;
    const char *what = error != NULL ? error->message : text;
    g_autofree char *valid = g_utf8_make_valid(what, -1);
    json_t *check = json_pack("{s:s, s:b, s:s}", "check", name, "ok", error == NULL, "text", valid);
    if (entry != NULL && todo == NULL)
        todo = entry->action;
    if (error != NULL) {
        json_object_set_new(check, "code", json_integer(imp_error_code(error)));
        json_object_set_new(check, "do", json_string(todo));
    }
    json_array_append_new(doctor->checks, check);
    if (!doctor->cli->json) {
        FILE *out = doctor->cli->env->out;
        gboolean coloured = doctor->cli->env->out_terminal && !doctor->cli->env->no_colour;
        imp_print_coloured(out, coloured, error == NULL ? IMP_COLOUR_GOOD : IMP_COLOUR_BAD,
                           error == NULL ? "ok    " : "not ok");
        fprintf(out, "  %-8s %s\n", name, valid);
        if (error != NULL)
            fprintf(out, "        do       %s\n", todo);
    }
    if (doctor->first == NULL)
        doctor->first = error;
    else
        g_clear_error(&error);
}

/* Every chip of the table with its algorithms can be read. */
static void check_devices(Doctor *doctor)
{
    GError *error = NULL;
    guint n_names = 0;
    for (const char *const *name = imp_device_names(); error == NULL && *name != NULL; name++, n_names++) {
        g_autoptr(ImpDevice) device = imp_device_lookup(*name, &error);
        (void)device;
    }
    g_autofree char *text = g_strdup_printf("imprint %s, knows %u names of chips", IMP_VERSION, n_names);
    tell(doctor, "version", text, error, "install imprint again");
}

/* The packs that were added can be read. */
static void check_packs(Doctor *doctor)
{
    GError *error = NULL;
    g_autoptr(GPtrArray) bad = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) packs = imp_packs_list(doctor->cli->env->packs_dir, bad, &error);
    if (packs != NULL && bad->len > 0)
        imp_error_set(&error, IMP_E_PACK_FILE, "%s", (const char *)bad->pdata[0]);
    g_autofree char *text = packs == NULL || packs->len == 0
                                ? g_strdup("none were added: imprint device add FILE.pack")
                                : g_strdup_printf("%u in %s", packs->len, doctor->cli->env->packs_dir);
    tell(doctor, "packs", text, error,
         "remove that file, and add the pack again: imprint device add FILE.pack");
}

/* Who may read the token may do at the cloud what its owner may. */
static void check_login(Doctor *doctor)
{
    g_autofree char *path = g_build_filename(doctor->cli->env->config_dir, "cloud.token", NULL);
    struct stat about;
    if (stat(path, &about) != 0) {
        tell(doctor, "login", "at no cloud; imprint run needs none", NULL, NULL);
        return;
    }
    GError *error = NULL;
    if ((about.st_mode & 077) != 0)
        imp_error_set(&error, IMP_E_NO_ACCESS, "%s can be read by others", path);
    g_autofree char *text = g_strdup_printf("%s is for this user alone", path);
    g_autofree char *todo = g_strdup_printf("chmod 600 %s, and log in again: imprint cloud login", path);
    tell(doctor, "login", text, error, todo);
}

static void check_folder(Doctor *doctor)
{
    const char *dir = doctor->cli->env->data_dir;
    GError *error = NULL;
    g_autofree char *path = g_build_filename(dir, TEST_FILE, NULL);
    struct statvfs space;
    int fd = -1;
    if (g_mkdir_with_parents(dir, 0700) != 0 || (fd = g_mkstemp(path)) < 0 || statvfs(dir, &space) != 0)
        imp_error_set(&error, IMP_E_IO, "%s: %s", dir, g_strerror(errno));
    else if ((guint64)space.f_bavail * space.f_frsize < SPACE_BYTES_MIN)
        imp_error_set(&error, IMP_E_IO, "%s: less than %d MiB are free", dir, SPACE_BYTES_MIN >> 20);
    if (fd >= 0) {
        close(fd);
        g_unlink(path);
    }
    g_autofree char *text = g_strdup_printf("%s can be written", dir);
    tell(doctor, "folder", text, error, NULL);
}

/* The ledger of imprint run, if there is one. */
static void check_ledger(Doctor *doctor)
{
    const ImpCliEnv *env = doctor->cli->env;
    g_autofree char *path = g_build_filename(env->data_dir, "ledger.db", NULL);
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        tell(doctor, "ledger", "none yet: the first imprint run makes one", NULL, NULL);
        return;
    }
    ImpLedgerOptions options = {.path = path,
                                .role = IMP_LEDGER_STATION,
                                .safety = IMP_LEDGER_DURABLE,
                                .clock = env->clock,
                                .random = env->random};
    GError *error = NULL;
    g_autoptr(ImpLedger) ledger = imp_ledger_open(&options, &error);
    g_autofree char *text = g_strdup_printf("%s is whole", path);
    tell(doctor, "ledger", text, error, NULL);
}

static void check_clock(Doctor *doctor)
{
    const ImpClock *clock = doctor->cli->env->clock;
    GError *error = NULL;
    g_autofree char *now = imp_print_time(imp_clock_real_us(clock), NULL);
    if (!clock->synchronised(clock->self))
        imp_error_set(&error, IMP_E_CLOCK_UNTRUSTED,
                      "%s, not synchronised: releases with dates will not start", now);
    g_autofree char *text = g_strdup_printf("%s, synchronised", now);
    tell(doctor, "clock", text, error,
         "switch time synchronisation on (timedatectl set-ntp true); without dates in recipes it does not "
         "matter");
}

static void check_probe(Doctor *doctor, const char *spec)
{
    ImpProbeInfo info = {0};
    GError *error = NULL;
    if (imp_cli_probe_ask(doctor->cli, spec, &info, &error) && !info.swd)
        imp_error_set(&error, IMP_E_PROBE_UNSUPPORTED, "%s: the probe has no SWD", spec);
    g_autofree char *text = g_strdup_printf("%s: %s %s, firmware %s", spec, info.vendor, info.product,
                                            info.firmware[0] != '\0' ? info.firmware : "not told");
    tell(doctor, "probe", text, error, NULL);
}

static void check_usb(Doctor *doctor)
{
    g_autoptr(GPtrArray) list = imp_probe_list_seen(IMP_PROBE_SYSFS_DIR, IMP_PROBE_NODE_DIR);
    if (list->len == 0) {
        GError *error = NULL;
        imp_error_set(&error, IMP_E_PROBE_NOT_FOUND, "no CMSIS-DAP probe on USB");
        tell(doctor, "probe", NULL, error,
             "plug one in, or check one on the network: imprint doctor --probe tcp:HOST:PORT");
    }
    for (guint i = 0; i < list->len; i++) {
        const ImpProbeSeen *seen = list->pdata[i];
        g_autofree char *spec = imp_cli_probe_spec(list, seen);
        if (seen->access == IMP_PROBE_ACCESS_GOOD) {
            check_probe(doctor, spec);
            continue;
        }
        GError *error = NULL;
        imp_error_set(&error, IMP_E_PROBE_BUSY, "%s: %s %s", spec, seen->node,
                      seen->access == IMP_PROBE_ACCESS_DENIED ? "may not be opened by this user"
                                                              : "is not there");
        g_autofree char *rule = imp_probe_udev_rule(seen);
        g_autofree char *todo =
            seen->access == IMP_PROBE_ACCESS_DENIED
                ? g_strdup_printf(
                      "as root, write into %s: %s then: udevadm control --reload && udevadm trigger",
                      IMP_CLI_RULES_FILE, rule)
                : g_strdup_printf("hand the folder %s into the container", IMP_PROBE_NODE_DIR);
        tell(doctor, "probe", NULL, error, todo);
    }
}

gboolean imp_command_doctor(ImpCli *cli, GError **error)
{
    Doctor doctor = {.cli = cli, .checks = json_array()};
    const char *spec;
    json_object_set_new(cli->result, "checks", doctor.checks);
    if (!imp_cli_one_probe(cli, &spec, error))
        return FALSE;
    check_devices(&doctor);
    check_packs(&doctor);
    check_folder(&doctor);
    check_ledger(&doctor);
    check_login(&doctor);
    if (imp_cli_has(cli, IMP_OPTION_PROBE))
        check_probe(&doctor, spec);
    else
        check_usb(&doctor);
    check_clock(&doctor);
    cli->told = TRUE;
    if (doctor.first != NULL)
        g_propagate_error(error, doctor.first);
    return doctor.first == NULL;
}
