#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "cli/file.h"
#include "cli/print.h"

int imp_cli_exit_status(const GError *error)
{
    if (error == NULL)
        return IMP_EXIT_DONE;
    const ImpErrorEntry *entry = imp_error_entry(imp_error_code(error));
    switch (entry != NULL ? entry->disposition : IMP_DISPOSITION_BUG) {
    case IMP_DISPOSITION_RETRY:
        return IMP_EXIT_RETRY;
    case IMP_DISPOSITION_OPERATOR:
        return IMP_EXIT_OPERATOR;
    case IMP_DISPOSITION_REJECT_UNIT:
        return IMP_EXIT_FAILED;
    case IMP_DISPOSITION_STATION_DOWN:
        return IMP_EXIT_STATION;
    case IMP_DISPOSITION_REFUSE:
        return IMP_EXIT_REFUSED;
    case IMP_DISPOSITION_BUG:
        return IMP_EXIT_BUG;
    }
    g_assert_not_reached();
}

/* TRUE if --json stands among the arguments: for errors that are found before the parsing is over. */
static gboolean wants_json(int argc, char *const *argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return TRUE;
    return FALSE;
}

static void tell_error(const ImpCli *cli, const GError *error)
{
    if (cli->told)
        return;
    g_autofree char *headline = g_strdup_printf("imprint%s%s", cli->command != NULL ? " " : "",
                                                cli->command != NULL ? cli->command->name : "");
    imp_print_error(cli->env->err, cli->env->err_terminal && !cli->env->no_colour, headline, error);
}

/* --json and --result; FALSE if the file could not be written. */
static gboolean give_result(const ImpCli *cli, const GError *error)
{
    json_object_set_new(cli->result, "ok", json_boolean(error == NULL));
    if (error != NULL)
        json_object_set_new(cli->result, "error", imp_print_error_json(error));
    if (cli->json) {
        json_dumpf(cli->result, cli->env->out, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        fputc('\n', cli->env->out);
    }
    const char *path = cli->values[IMP_OPTION_RESULT];
    if (path == NULL)
        return TRUE;
    char *text = json_dumps(cli->result, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    g_autoptr(GError) failed = NULL;
    gboolean written = imp_file_write(path, text, strlen(text), 0644, &failed);
    free(text);
    if (!written)
        imp_print_error(cli->env->err, FALSE, "imprint: --result", failed);
    return written;
}

int imp_cli_main(int argc, char *const *argv, const ImpCliEnv *env)
{
    ImpCli cli = {.env = env, .result = json_object()};
    g_autoptr(GError) error = NULL;
    if (!imp_cli_parse(argc, argv, &cli, &error))
        cli.json = wants_json(argc, argv);
    else if (imp_cli_has(&cli, IMP_OPTION_HELP))
        cli.json = FALSE;
    else if (imp_cli_has(&cli, IMP_OPTION_VERSION)) {
        json_object_set_new(cli.result, "version", json_string(IMP_VERSION));
        if (!cli.json)
            fprintf(env->out, "imprint %s\n", IMP_VERSION);
    } else {
        (void)cli.command->run(&cli, &error);
    }
    if (!cli.json && error != NULL)
        tell_error(&cli, error);
    int status = imp_cli_exit_status(error);
    if (!give_result(&cli, error) && status == IMP_EXIT_DONE)
        status = IMP_EXIT_STATION;
    json_decref(cli.result);
    g_free((gpointer)cli.arguments);
    g_free((gpointer)cli.definitions);
    /* what could not be written is not done: a full disk behind `> file` must not look like success */
    if ((fflush(env->out) != 0 || ferror(env->out)) && status == IMP_EXIT_DONE)
        status = IMP_EXIT_STATION;
    return status;
}
