/* imprint-cloud: the server's command line. Exit status: 0 good, 1 an error (said on stderr), 2 wrong arguments. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cloud/cloud.h"

static int report(const char *what, const GError *error)
{
    fprintf(stderr, "imprint-cloud: %s%s%s (E%d)\n", what, what[0] != '\0' ? ": " : "", error->message,
            imp_error_code(error));
    return 1;
}

static int wrong_use(const char *what)
{
    fprintf(stderr, "imprint-cloud: %s; see imprint-cloud --help\n", what);
    return 2;
}

/* Parses what follows the command word; FALSE: said on stderr. */
static gboolean parse(int *argc, char ***argv, const char *command, const char *summary,
                      const GOptionEntry *entries)
{
    g_autofree char *usage = g_strdup_printf("- %s", summary);
    g_autoptr(GOptionContext) context = g_option_context_new(usage);
    g_autoptr(GError) error = NULL;
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        fprintf(stderr, "imprint-cloud %s: %s\n", command, error->message);
        return FALSE;
    }
    if (*argc > 1) {
        fprintf(stderr, "imprint-cloud %s: what is '%s'?\n", command, (*argv)[1]);
        return FALSE;
    }
    return TRUE;
}

/* The first line of a file. NULL: said on stderr. */
static char *read_password(const char *path)
{
    char *text = NULL;
    g_autoptr(GError) error = NULL;
    if (!g_file_get_contents(path, &text, NULL, &error)) {
        fprintf(stderr, "imprint-cloud init: %s\n", error->message);
        return NULL;
    }
    text[strcspn(text, "\r\n")] = '\0';
    return text;
}

static int run_init(int argc, char **argv)
{
    g_autofree char *folder = NULL, *account = NULL, *owner = NULL, *password_file = NULL, *url = NULL,
                    *listen = NULL;
    const GOptionEntry entries[] = {
        {"data", 0, 0, G_OPTION_ARG_FILENAME, &folder, "Folder to make", "DIR"},
        {"account", 0, 0, G_OPTION_ARG_STRING, &account, "Name of the account", "NAME"},
        {"owner", 0, 0, G_OPTION_ARG_STRING, &owner, "E-mail address of its first owner", "EMAIL"},
        {"password-file", 0, 0, G_OPTION_ARG_FILENAME, &password_file, "Owner's password, in the first line",
         "FILE"},
        {"url", 0, 0, G_OPTION_ARG_STRING, &url, "How stations and people reach the cloud",
         "https://HOST:PORT"},
        {"listen", 0, 0, G_OPTION_ARG_STRING, &listen, "Numeric address to listen on, if not the URL's",
         "ADDRESS:PORT"},
        {NULL}};
    if (!parse(&argc, &argv, "init", "makes the data folder of a new cloud", entries))
        return 2;
    if (folder == NULL || account == NULL || owner == NULL || password_file == NULL || url == NULL)
        return wrong_use("init needs --data, --account, --owner, --password-file and --url");
    char *password = read_password(password_file);
    if (password == NULL)
        return 1;
    g_autoptr(GError) error = NULL;
    ImpCloudFolderOptions options = {.folder = folder,
                                     .account = account,
                                     .owner = owner,
                                     .password = password,
                                     .url = url,
                                     .listen = listen,
                                     .clock = imp_clock_system(),
                                     .random = imp_random_system()};
    gboolean good = imp_cloud_folder_make(&options, &error);
    explicit_bzero(password, strlen(password));
    g_free(password);
    if (!good)
        return report("init", error);
    printf("made %s: start the cloud with  imprint-cloud run --config %s/cloud.yaml\n", folder, folder);
    return 0;
}

/* "before-commit:3"; for the tests of crash and restart. */
static gboolean parse_kill(const char *text, ImpCloudOptions *options)
{
    static const struct {
        const char *name;
        ImpCloudKill kill;
    } points[] = {{"before-commit:", IMP_CLOUD_KILL_BEFORE_COMMIT},
                  {"after-commit:", IMP_CLOUD_KILL_AFTER_COMMIT},
                  {"before-answer:", IMP_CLOUD_KILL_BEFORE_ANSWER}};
    for (guint i = 0; i < G_N_ELEMENTS(points); i++)
        if (g_str_has_prefix(text, points[i].name)) {
            options->kill = points[i].kill;
            return g_ascii_string_to_unsigned(text + strlen(points[i].name), 10, 1, G_MAXINT64,
                                              &options->kill_at, NULL);
        }
    return FALSE;
}

/* Until SIGTERM or SIGINT, which are blocked in every thread. */
static void wait_for_end(const sigset_t *ends)
{
    int which;
    while (sigwait(ends, &which) != 0)
        ;
}

static int run_run(int argc, char **argv)
{
    g_autofree char *config_path = NULL, *kill_text = NULL;
    const GOptionEntry entries[] = {
        {"config", 0, 0, G_OPTION_ARG_FILENAME, &config_path, "Configuration", "FILE"},
        {"test-kill-at", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &kill_text, NULL, NULL},
        {NULL}};
    if (!parse(&argc, &argv, "run", "runs the cloud until SIGTERM", entries))
        return 2;
    ImpCloudOptions options = {.clock = imp_clock_system(), .random = imp_random_system()};
    if (config_path == NULL)
        return wrong_use("run needs --config");
    if (kill_text != NULL && !parse_kill(kill_text, &options))
        return wrong_use("--test-kill-at is before-commit:N, after-commit:N or before-answer:N");
    ImpCloudConfig config;
    g_autoptr(GError) error = NULL;
    if (!imp_cloud_config_load(config_path, &config, &error))
        return report("", error);
    options.folder = config.folder;
    options.listen = config.listen;
    options.url = config.url;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    ImpCloud *cloud = imp_cloud_start(&options, &error);
    imp_cloud_config_done(&config);
    if (cloud == NULL)
        return report("", error);
    printf("ready: imprint-cloud on https://%s\n", imp_cloud_address(cloud));
    fflush(stdout);
    wait_for_end(&ends);
    imp_cloud_stop(cloud);
    printf("stopped\n");
    return 0;
}

static int run_check(int argc, char **argv)
{
    g_autofree char *config_path = NULL;
    const GOptionEntry entries[] = {
        {"config", 0, 0, G_OPTION_ARG_FILENAME, &config_path, "Configuration", "FILE"}, {NULL}};
    if (!parse(&argc, &argv, "check", "recomputes every count from the records; the cloud must not run",
               entries))
        return 2;
    if (config_path == NULL)
        return wrong_use("check needs --config");
    ImpCloudConfig config;
    g_autoptr(GError) error = NULL;
    if (!imp_cloud_config_load(config_path, &config, &error))
        return report("", error);
    g_autoptr(GPtrArray) wrongs =
        imp_cloud_folder_check(config.folder, imp_clock_system(), imp_random_system(), &error);
    imp_cloud_config_done(&config);
    if (wrongs == NULL)
        return report("check", error);
    for (guint i = 0; i < wrongs->len; i++)
        printf("wrong: %s\n", (const char *)wrongs->pdata[i]);
    printf("%u wrong\n", wrongs->len);
    return wrongs->len == 0 ? 0 : 1;
}

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {{"init", "make the data folder of a new cloud", run_init},
                {"run", "run the cloud until SIGTERM", run_run},
                {"check", "recompute every count from the records", run_check}};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    umask(0077);
    for (guint i = 0; argc > 1 && i < G_N_ELEMENTS(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            /* The command word takes the program's place, so that --help names both. */
            g_autofree char *name = g_strdup_printf("imprint-cloud %s", argv[1]);
            g_set_prgname(name);
            argv[1] = argv[0];
            return commands[i].run(argc - 1, argv + 1);
        }
    gboolean help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("imprint-cloud %s\n", IMP_VERSION);
        return 0;
    }
    FILE *out = help ? stdout : stderr;
    fprintf(out, "usage: imprint-cloud COMMAND [--help]\n       imprint-cloud --version | --help\n\n");
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(out, "  %-6s %s\n", commands[i].name, commands[i].summary);
    return help ? 0 : 2;
}
