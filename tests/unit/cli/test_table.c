/* The command table and the parsing that is made from it. */
#include "cli/cli.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

static char *run(int argc, char **argv, int *out_status, char **out_err)
{
    char *out = NULL, *err = NULL;
    gsize n_out = 0, n_err = 0;
    FILE *out_file = open_memstream(&out, &n_out), *err_file = open_memstream(&err, &n_err);
    g_autofree char *dir = g_dir_make_tmp("imprint-cli-XXXXXX", NULL);
    FILE *in = fopen("/dev/null", "r");
    ImpCliEnv env = {.in = in,
                     .out = out_file,
                     .err = err_file,
                     .clock = imp_clock_system(),
                     .random = imp_random_system(),
                     .data_dir = dir,
                     .config_dir = dir};
    *out_status = imp_cli_main(argc, argv, &env);
    fclose(in);
    fclose(out_file);
    fclose(err_file);
    if (out_err != NULL)
        *out_err = g_strdup(err);
    char *copy = g_strdup(out);
    free(out);
    free(err);
    g_assert_cmpint(g_rmdir(dir), ==, 0); /* no command of these tests leaves a file */
    return copy;
}

typedef struct {
    const char *line; /* words after "imprint", separated by one space */
    int status;
    const char *says; /* part of what is printed, on out or err */
} Row;

static void check_rows(const Row *rows, gsize n_rows)
{
    for (gsize i = 0; i < n_rows; i++) {
        g_autofree char *line =
            g_strconcat("imprint", rows[i].line[0] != '\0' ? " " : "", rows[i].line, NULL);
        g_auto(GStrv) argv = g_strsplit(line, " ", -1);
        int status;
        g_autofree char *err = NULL;
        g_autofree char *out = run((int)g_strv_length(argv), argv, &status, &err);
        g_autofree char *all = g_strconcat(out, err, NULL);
        g_test_message("%s", line);
        g_assert_cmpint(status, ==, rows[i].status);
        if (strstr(all, rows[i].says) == NULL)
            g_error("%s does not say '%s' but:\n%s", line, rows[i].says, all);
    }
}

static void test_usage(void)
{
    static const Row rows[] = {
        {"", IMP_EXIT_OPERATOR, "no command is named"},
        {"key", IMP_EXIT_OPERATOR, "imprint key --help"},
        {"fly", IMP_EXIT_OPERATOR, "there is no command fly"},
        {"key melt", IMP_EXIT_OPERATOR, "there is no command key melt"},
        {"bild x", IMP_EXIT_OPERATOR, "did you mean imprint build?"},
        {"station staus", IMP_EXIT_OPERATOR, "did you mean imprint station status?"},
        {"run x --prob y", IMP_EXIT_OPERATOR, "did you mean --probe?"},
        {"run", IMP_EXIT_OPERATOR, "too few arguments: imprint run RECIPE"},
        {"run a b", IMP_EXIT_OPERATOR, "too many arguments"},
        {"run a --fast", IMP_EXIT_OPERATOR, "there is no option --fast"},
        {"run a --units 3", IMP_EXIT_OPERATOR, "imprint run has no option --units"},
        {"run a --probe x --probe", IMP_EXIT_OPERATOR, "--probe needs a value"},
        {"run a --order 1 --order 2", IMP_EXIT_OPERATOR, "--order is given twice"},
        {"target identify --probe x --probe y", IMP_EXIT_OPERATOR, "--probe is given twice"},
        {"explain E1009 --json=1", IMP_EXIT_OPERATOR, "--json takes no value"},
        {"explain E1009 -z", IMP_EXIT_OPERATOR, "there is no option -z"},
        {"build x.yaml", IMP_EXIT_OPERATOR, "imprint build needs --output FILE"},
        {"explain E9876", IMP_EXIT_OPERATOR, "there is no error E9876"},
        {"explain 2107", IMP_EXIT_DONE, "flash-mismatch"},
        {"explain E2107", IMP_EXIT_DONE, "reject-unit"},
        {"explain flash-mismatch", IMP_EXIT_DONE, "E2107"},
        {"--version", IMP_EXIT_DONE, "imprint 0."},
        {"--help", IMP_EXIT_DONE, "station launch IMAGE"},
        {"key --help", IMP_EXIT_DONE, "key grant"},
        {"run --help", IMP_EXIT_DONE, "--probe SPEC"},
        {"--socket /nowhere station launch x --help", IMP_EXIT_DONE, "--ports all|A,B"},
        {"run /nowhere/recipe.yaml", IMP_EXIT_OPERATOR, "/nowhere/recipe.yaml"},
    };
    check_rows(rows, G_N_ELEMENTS(rows));
}

/* --json prints exactly one object, errors of parsing included. */
static void test_json(void)
{
    static const struct {
        const char *line;
        int status, code;
    } rows[] = {
        {"explain E2107 --json", IMP_EXIT_DONE, 0},
        {"--json fly", IMP_EXIT_OPERATOR, IMP_E_ARGUMENT},
        {"explain nothing --json", IMP_EXIT_OPERATOR, IMP_E_NOT_FOUND},
        {"--version --json", IMP_EXIT_DONE, 0},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line = g_strconcat("imprint ", rows[i].line, NULL);
        g_auto(GStrv) argv = g_strsplit(line, " ", -1);
        int status;
        g_autofree char *err = NULL;
        g_autofree char *out = run((int)g_strv_length(argv), argv, &status, &err);
        g_assert_cmpint(status, ==, rows[i].status);
        g_assert_cmpstr(err, ==, "");
        json_t *result = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
        g_assert_nonnull(result);
        g_assert_cmpint(json_is_true(json_object_get(result, "ok")), ==, rows[i].code == 0);
        g_assert_cmpint(json_integer_value(json_object_get(json_object_get(result, "error"), "code")), ==,
                        rows[i].code);
        json_decref(result);
    }
}

static void test_arguments(void)
{
    char *argv[] = {"imprint", "station", "--socket=/s", "launch", "blinky", "--ports", "1,2", "--", "--x"};
    ImpCliEnv env = {0};
    ImpCli cli = {.env = &env};
    GError *error = NULL;
    g_assert_true(imp_cli_parse(8, argv, &cli, &error));
    g_assert_cmpstr(cli.command->name, ==, "station launch");
    g_assert_cmpstr(cli.values[IMP_OPTION_SOCKET], ==, "/s");
    g_assert_cmpstr(cli.values[IMP_OPTION_PORTS], ==, "1,2");
    g_assert_cmpuint(cli.n_arguments, ==, 1);
    g_assert_cmpstr(cli.arguments[0], ==, "blinky");
    g_assert_null(cli.definitions[0]);
    g_free((gpointer)cli.arguments);
    g_free((gpointer)cli.definitions);
    /* what stands behind -- is an argument, whatever it looks like: here one too many */
    ImpCli again = {.env = &env};
    g_assert_false(imp_cli_parse(9, argv, &again, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    g_clear_error(&error);
}

static void test_definitions(void)
{
    char *argv[] = {"imprint", "build", "-D", "A=1", "-DB=-D", "r.yaml", "--define=C=", "--define", "D=4"};
    ImpCliEnv env = {0};
    ImpCli cli = {.env = &env};
    GError *error = NULL;
    g_assert_true(imp_cli_parse(9, argv, &cli, &error));
    g_autofree char *all = g_strjoinv("|", (char **)cli.definitions);
    g_assert_cmpstr(all, ==, "A=1|B=-D|C=|D=4");
    g_assert_cmpstr(cli.arguments[0], ==, "r.yaml");
    g_free((gpointer)cli.arguments);
    g_free((gpointer)cli.definitions);
}

static void test_exit_status(void)
{
    static const struct {
        ImpErrorCode code;
        int status;
    } rows[] = {
        {IMP_E_FLASH_MISMATCH, IMP_EXIT_FAILED},  {IMP_E_ARGUMENT, IMP_EXIT_OPERATOR},
        {IMP_E_COUNT_USED_UP, IMP_EXIT_REFUSED},  {IMP_E_TIMEOUT, IMP_EXIT_RETRY},
        {IMP_E_LEDGER_CORRUPT, IMP_EXIT_STATION}, {IMP_E_BUG, IMP_EXIT_BUG},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        imp_error_set(&error, rows[i].code, "x");
        g_assert_cmpint(imp_cli_exit_status(error), ==, rows[i].status);
    }
    g_assert_cmpint(imp_cli_exit_status(NULL), ==, IMP_EXIT_DONE);
}

static void test_table_is_sound(void)
{
    for (gsize i = 0; i < imp_cli_command_count; i++) {
        const ImpCommandEntry *command = &imp_cli_commands[i];
        g_assert_nonnull(command->run);
        g_assert_cmpuint(command->n_arguments_min, <=, command->n_arguments_max);
        g_assert_true((command->n_arguments_max == 0) == (command->arguments[0] == '\0'));
        g_assert_false(g_str_has_suffix(command->summary, "."));
        for (gsize k = 0; k < i; k++)
            g_assert_cmpstr(imp_cli_commands[k].name, !=, command->name);
    }
    for (int i = 0; i < IMP_OPTION_COUNT; i++) {
        g_assert_nonnull(imp_cli_options[i].name);
        g_assert_nonnull(imp_cli_options[i].summary);
        guint64 used = IMP_OPTIONS_ALL;
        for (gsize k = 0; k < imp_cli_command_count; k++)
            used |= imp_cli_commands[k].options;
        if ((used >> i & 1) == 0)
            g_error("no command takes --%s", imp_cli_options[i].name);
    }
}

/* Every command and option stands in docs/cli.md as the table has it. */
static void test_documented(void)
{
    g_autofree char *path = g_build_filename(g_getenv("IMPRINT_SOURCE_ROOT"), "docs", "cli.md", NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    for (gsize i = 0; i < imp_cli_command_count; i++) {
        const ImpCommandEntry *command = &imp_cli_commands[i];
        g_autofree char *form = g_strdup_printf("`imprint %s%s%s`", command->name,
                                                command->arguments[0] != '\0' ? " " : "", command->arguments);
        if (strstr(text, form) == NULL)
            g_error("docs/cli.md has no %s", form);
        for (int k = 0; k < IMP_OPTION_COUNT; k++) {
            g_autofree char *name = g_strdup_printf("`--%s`", imp_cli_options[k].name);
            if ((command->options >> k & 1) != 0 && strstr(strstr(text, form), name) == NULL)
                g_error("docs/cli.md does not say %s behind %s", name, form);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/table/sound", test_table_is_sound);
    g_test_add_func("/cli/table/usage", test_usage);
    g_test_add_func("/cli/table/json", test_json);
    g_test_add_func("/cli/table/arguments", test_arguments);
    g_test_add_func("/cli/table/definitions", test_definitions);
    g_test_add_func("/cli/table/exit-status", test_exit_status);
    g_test_add_func("/cli/table/documented", test_documented);
    return g_test_run();
}
