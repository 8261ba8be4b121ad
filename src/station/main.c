/* imprint-station: the programmer daemon. See docs/station.md. */
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/client/client.h"
#include "image/secret.h"
#include "station/api.h"
#include "station/station.h"

#ifndef IMP_VERSION
#error "the build says the version"
#endif

#define EXIT_USAGE 2

static const char usage[] =
    "usage: imprint-station run  (--config FILE | --data DIR) [--test-kill-at POINT]\n"
    "       imprint-station init --data DIR [--name NAME] PROBE...\n"
    "       imprint-station --version | --help\n"
    "\n"
    "run    drives the ports that the configuration names (FILE, or DIR/station.yaml) until SIGTERM or "
    "SIGINT\n"
    "init   makes DIR with a configuration whose ports use these probes (tcp:HOST:PORT, usb:SERIAL)\n"
    "\n"
    "--test-kill-at ends the process with SIGKILL at the named point of a launch; for tests of power cuts:\n"
    "permit, access, program, verified, report\n";

typedef struct {
    char *config, *data, *name, *kill_at;
    char **rest; /* after the command */
} Arguments;

static void arguments_done(Arguments *a)
{
    g_free(a->config);
    g_free(a->data);
    g_free(a->name);
    g_free(a->kill_at);
    g_strfreev(a->rest);
}

static gboolean parse_arguments(int argc, char **argv, Arguments *a, GError **error)
{
    const GOptionEntry entries[] = {
        {"config", 0, 0, G_OPTION_ARG_FILENAME, &a->config, NULL, NULL},
        {"data", 0, 0, G_OPTION_ARG_FILENAME, &a->data, NULL, NULL},
        {"name", 0, 0, G_OPTION_ARG_STRING, &a->name, NULL, NULL},
        {"test-kill-at", 0, 0, G_OPTION_ARG_STRING, &a->kill_at, NULL, NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &a->rest, NULL, NULL},
        {NULL},
    };
    GOptionContext *context = g_option_context_new(NULL);
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_add_main_entries(context, entries, NULL);
    gboolean ok = g_option_context_parse(context, &argc, &argv, error);
    g_option_context_free(context);
    return ok;
}

static int fail(const GError *error)
{
    int code = imp_error_code(error);
    const ImpErrorEntry *entry = imp_error_entry(code);
    fprintf(stderr, "imprint-station: %s  E%d %s\n", error->message, code, entry != NULL ? entry->name : "");
    return EXIT_FAILURE;
}

static int usage_error(const char *what)
{
    fprintf(stderr, "imprint-station: %s\n%s", what, usage);
    return EXIT_USAGE;
}

/* ---- run ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    GMainLoop *loop;
    ImpStation *station;
    ImpApi *api;
} Program;

static void on_event(gpointer user)
{
    imp_api_on_event(((Program *)user)->api);
}

static void on_stopped(gpointer user)
{
    g_main_loop_quit(((Program *)user)->loop);
}

static gboolean on_signal(gpointer user)
{
    Program *program = user;
    imp_station_stop(program->station, on_stopped, program);
    return G_SOURCE_CONTINUE;
}

static gboolean known_point(const char *point)
{
    for (guint i = 0; imp_station_points[i] != NULL; i++)
        if (strcmp(imp_station_points[i], point) == 0)
            return TRUE;
    return FALSE;
}

static gboolean serve(const ImpStationConfig *config, const char *kill_at, GError **error)
{
    Program program = {0};
    program.station = imp_station_new(&(ImpStationOptions){.config = config,
                                                           .clock = imp_clock_system(),
                                                           .random = imp_random_system(),
                                                           .version = IMP_VERSION,
                                                           .kill_at = kill_at,
                                                           .event = on_event,
                                                           .user = &program},
                                      error);
    if (program.station == NULL)
        return FALSE;
    program.api = imp_api_new(program.station, config->control, error);
    if (program.api != NULL) {
        program.loop = g_main_loop_new(NULL, FALSE);
        guint term = g_unix_signal_add(SIGTERM, on_signal, &program);
        guint interrupt = g_unix_signal_add(SIGINT, on_signal, &program);
        printf("imprint-station %s ready: start %" G_GUINT64_FORMAT ", %zu ports, control %s\n", config->name,
               imp_station_start(program.station), config->n_ports, config->control);
        fflush(stdout);
        g_main_loop_run(program.loop);
        g_source_remove(term);
        g_source_remove(interrupt);
        g_main_loop_unref(program.loop);
    }
    gboolean ok = program.api != NULL;
    imp_api_free(g_steal_pointer(&program.api));
    imp_station_free(program.station);
    if (ok) {
        printf("imprint-station %s stopped\n", config->name);
        fflush(stdout);
    }
    return ok;
}

static int run(const Arguments *a)
{
    g_autoptr(GError) error = NULL;
    if ((a->config == NULL) == (a->data == NULL))
        return usage_error("run needs --config or --data");
    if (a->rest != NULL && a->rest[0] != NULL)
        return usage_error("run takes no further arguments");
    if (a->kill_at != NULL && !known_point(a->kill_at))
        return usage_error("--test-kill-at: unknown point");
    imp_secret_protect_process();
    signal(SIGPIPE, SIG_IGN);
    imp_http_client_init();
    g_autofree char *path =
        a->config != NULL ? g_strdup(a->config) : g_build_filename(a->data, IMP_STATION_FILE, NULL);
    g_autoptr(ImpStationConfig) config = imp_station_config_load(path, &error);
    if (config == NULL || !serve(config, a->kill_at, &error))
        return fail(error);
    return EXIT_SUCCESS;
}

static int init(const Arguments *a)
{
    g_autoptr(GError) error = NULL;
    if (a->data == NULL || a->config != NULL || a->rest == NULL || a->rest[0] == NULL)
        return usage_error("init needs --data and at least one probe");
    if (!imp_station_config_init(a->data, a->name != NULL ? a->name : "station", (const char *const *)a->rest,
                                 &error))
        return fail(error);
    printf("%s/%s\n", a->data, IMP_STATION_FILE);
    return EXIT_SUCCESS;
}

/* --help anywhere, so that `imprint-station init --help` is understood too. */
static gboolean wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return TRUE;
    return FALSE;
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "C.UTF-8");
    Arguments a = {0};
    g_autoptr(GError) error = NULL;
    int status;
    if (argc < 2)
        status = usage_error("say what to do");
    else if (strcmp(argv[1], "--version") == 0)
        status = printf("imprint-station %s\n", IMP_VERSION) < 0;
    else if (wants_help(argc, argv))
        status = fputs(usage, stdout) < 0;
    else if (!parse_arguments(argc - 1, argv + 1, &a, &error))
        status = usage_error(error->message);
    else if (strcmp(argv[1], "run") == 0)
        status = run(&a);
    else if (strcmp(argv[1], "init") == 0)
        status = init(&a);
    else
        status = usage_error("unknown command");
    arguments_done(&a);
    return status;
}
