/* imprint try: carries a recipe out on a virtual board, as imprint run does on a real one. The board is a program of its own
 * (imprint-board), started for this one launch on a port of this machine and ended with it. Counts, serial numbers and records of the trial are
 * kept in a folder that is removed afterwards, so that a trial uses nothing up. */
#include "cli/commands.h"
#include "cli/recipe.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#define BOARD_PROGRAM     "imprint-board"
#define BOARD_VARIABLE    "IMPRINT_BOARD" /* names the program in another place */
#define READY_LINE_PREFIX "ready dap="
#define FILES_MAX         64 /* in the folder of a trial */
#define ARGUMENTS_MAX     12 /* of the board's program */
#define ANY_PORT          "127.0.0.1:0"

/* What the recipe wants of its board. */
typedef struct {
    const char *chip; /* of imprint-board */
    gboolean power; /* a supply that can be switched and measured */
    gboolean uart; /* a serial line */
} Wanted;

/* Where the board can be reached, as imprint run writes it; texts are the owner's to free. */
typedef struct {
    char *probe, *power, *serial; /* NULL: not wanted */
} Reached;

/* Which chip of imprint-board a device is. The board shares no code with this program, and so has no table of devices. */
static const struct {
    const char *device, *chip;
} boards[] = {
    {"nRF51822_xxAA", "nrf51822"},
    {"nRF52832_xxAA", "nrf52832"},
    {"STM32F103xB", "stm32f103cb"},
    {"STM32G071xB", "stm32g071rb"},
};

static const char *chip_of(const char *device)
{
    for (gsize i = 0; i < G_N_ELEMENTS(boards); i++)
        if (strcmp(boards[i].device, device) == 0)
            return boards[i].chip;
    return NULL;
}

/* Named by the environment, beside this program, in the build folder, or on the path. NULL: nowhere. */
static char *board_program(void)
{
    const char *named = g_getenv(BOARD_VARIABLE);
    if (named != NULL && named[0] != '\0')
        return g_strdup(named);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    if (self != NULL) {
        g_autofree char *folder = g_path_get_dirname(self);
        const char *const places[] = {BOARD_PROGRAM, "../board/" BOARD_PROGRAM};
        for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
            g_autofree char *path = g_build_filename(folder, places[i], NULL);
            if (g_file_test(path, G_FILE_TEST_IS_EXECUTABLE))
                return g_steal_pointer(&path);
        }
    }
    return g_find_program_in_path(BOARD_PROGRAM);
}

/* In the child: a board does not outlive the trial, however that ends. */
static void die_with_parent(gpointer user)
{
    (void)user;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static void reached_done(Reached *reached)
{
    g_free(reached->probe);
    g_free(reached->power);
    g_free(reached->serial);
}

/* The address behind " name=" in the ready line, with a scheme in front; NULL if there is none. */
static char *address_of(const char *line, const char *name, const char *scheme)
{
    const char *at = strstr(line, name);
    return at == NULL
               ? NULL
               : g_strdup_printf("%s%.*s", scheme, (int)strcspn(at + strlen(name), " "), at + strlen(name));
}

/* "ready dap=127.0.0.1:4441 control=… power=… uart=…" */
static gboolean read_ready(GSubprocess *board, Reached *out_reached, GError **error)
{
    g_autoptr(GDataInputStream) lines = g_data_input_stream_new(g_subprocess_get_stdout_pipe(board));
    g_autofree char *line = g_data_input_stream_read_line(lines, NULL, NULL, NULL);
    if (line == NULL || !g_str_has_prefix(line, READY_LINE_PREFIX)) {
        imp_error_set(error, IMP_E_IO, BOARD_PROGRAM " did not start: it said '%s' (see its message above)",
                      line != NULL ? line : "");
        return FALSE;
    }
    *out_reached = (Reached){.probe = address_of(line, " dap=", "tcp:"),
                             .power = address_of(line, " power=", "scpi:"),
                             .serial = address_of(line, " uart=", "tcp:")};
    return TRUE;
}

static void end_board(GSubprocess *board)
{
    g_subprocess_send_signal(board, SIGTERM);
    g_autoptr(GError) ignored = NULL;
    if (!g_subprocess_wait(board, NULL, &ignored))
        g_debug(BOARD_PROGRAM ": %s", ignored->message);
}

static GSubprocess *start_board(const Wanted *wanted, Reached *out_reached, GError **error)
{
    g_autofree char *program = board_program();
    if (program == NULL) {
        imp_error_set(error, IMP_E_NOT_FOUND,
                      BOARD_PROGRAM " is not there; install it, or name it in " BOARD_VARIABLE);
        return NULL;
    }
    const char *arguments[ARGUMENTS_MAX] = {program, "--chip", wanted->chip, "--listen", ANY_PORT};
    guint n = 5;
    if (wanted->power) {
        arguments[n++] = "--power-port";
        arguments[n++] = ANY_PORT;
    }
    if (wanted->uart) {
        arguments[n++] = "--uart-port";
        arguments[n++] = ANY_PORT;
    }
    g_assert(n < ARGUMENTS_MAX);
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE);
    g_subprocess_launcher_set_child_setup(launcher, die_with_parent, NULL, NULL);
    g_autoptr(GError) why = NULL;
    g_autoptr(GSubprocess) board = g_subprocess_launcher_spawnv(launcher, arguments, &why);
    if (board == NULL) {
        imp_error_set(error, IMP_E_IO, "%s: %s", program, why->message);
        return NULL;
    }
    if (read_ready(board, out_reached, error))
        return g_steal_pointer(&board);
    end_board(board);
    return NULL;
}

/* The trial's ledger and what SQLite keeps beside it: files only. */
static void remove_folder(const char *path)
{
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    const char *name;
    for (guint i = 0; folder != NULL && i < FILES_MAX && (name = g_dir_read_name(folder)) != NULL; i++) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        (void)g_unlink(file);
    }
    (void)g_rmdir(path);
}

static gboolean always(void *self)
{
    (void)self;
    return TRUE;
}

/* The same command line, on that board, with another ledger. */
static gboolean run_there(ImpCli *cli, const Reached *reached, const char *folder, GError **error)
{
    ImpCliEnv env = *cli->env;
    env.data_dir = folder;
    /* A trial is no unit of anybody's: dates are judged and written by this machine's clock, whoever sets it. */
    ImpClock clock = *env.clock;
    clock.synchronised = always;
    env.clock = &clock;
    const ImpCliEnv *own = cli->env;
    cli->env = &env;
    cli->probes[0] = reached->probe; /* room for one is always there: imp_cli_parse */
    cli->n_probes = 1;
    cli->values[IMP_OPTION_POWER] = reached->power;
    cli->values[IMP_OPTION_SERIAL] = reached->serial;
    gboolean good = imp_command_run(cli, error);
    cli->values[IMP_OPTION_POWER] = cli->values[IMP_OPTION_SERIAL] = NULL;
    cli->n_probes = 0;
    cli->env = own;
    return good;
}

static gboolean switches_power(const ImpContent *content)
{
    gboolean power = content->power.has || content->attach == IMP_ATTACH_POWER_CYCLE;
    for (gsize i = 0; i < content->n_steps; i++)
        power = power || content->steps[i].kind == IMP_STEP_POWER;
    for (gsize i = 0; i < content->n_finally; i++)
        power = power || content->finally[i].kind == IMP_STEP_POWER;
    return power;
}

static gboolean listens(const ImpContent *content)
{
    for (gsize i = 0; i < content->n_steps; i++)
        if (content->steps[i].kind == IMP_STEP_RUN && content->steps[i].address == 0)
            return TRUE;
    return FALSE;
}

/* Reads the recipe. Its warnings wait for the launch, which builds it again. */
static gboolean read_wanted(ImpCli *cli, Wanted *out_wanted, GError **error)
{
    FILE *nowhere = fopen("/dev/null", "w");
    if (nowhere == NULL) {
        imp_error_set(error, IMP_E_IO, "/dev/null: %s", g_strerror(errno));
        return FALSE;
    }
    ImpCliEnv env = *cli->env;
    env.err = nowhere;
    const ImpCliEnv *own = cli->env;
    cli->env = &env;
    g_autoptr(ImpObject) object = imp_recipe_object(cli, cli->arguments[0], NULL, NULL, error);
    cli->env = own;
    fclose(nowhere);
    if (object == NULL)
        return FALSE;
    *out_wanted = (Wanted){.chip = chip_of(object->content->device->name),
                           .power = switches_power(object->content),
                           .uart = listens(object->content)};
    if (out_wanted->chip == NULL)
        imp_error_set(error, IMP_E_UNSUPPORTED,
                      "there is no virtual board with a %s; try the recipe on a real one with imprint run",
                      object->content->device->name);
    return out_wanted->chip != NULL;
}

gboolean imp_command_try(ImpCli *cli, GError **error)
{
    Wanted wanted;
    if (!read_wanted(cli, &wanted, error))
        return FALSE;
    g_autoptr(GError) why = NULL;
    g_autofree char *folder = g_dir_make_tmp("imprint-try-XXXXXX", &why);
    if (folder == NULL) {
        imp_error_set(error, IMP_E_IO, "no folder for the trial: %s", why->message);
        return FALSE;
    }
    Reached reached = {NULL};
    g_autoptr(GSubprocess) board = start_board(&wanted, &reached, error);
    gboolean good = board != NULL;
    if (good) {
        if (!cli->json)
            fprintf(cli->env->out, "trial on a virtual board (%s): nothing is used up\n", wanted.chip);
        json_object_set_new(cli->result, "board", json_string(wanted.chip));
        good = run_there(cli, &reached, folder, error);
        end_board(board);
    }
    reached_done(&reached);
    remove_folder(folder);
    return good;
}
