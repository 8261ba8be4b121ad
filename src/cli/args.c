/* Command line into command, options and arguments; --help. */
#include "cli/cli.h"

#include "base/nearest.h"

#include <string.h>

static int option_by_name(const char *name, gsize n_name)
{
    for (int i = 0; i < IMP_OPTION_COUNT; i++)
        if (strlen(imp_cli_options[i].name) == n_name && strncmp(imp_cli_options[i].name, name, n_name) == 0)
            return i;
    return -1;
}

static int option_by_letter(char letter)
{
    for (int i = 0; i < IMP_OPTION_COUNT; i++)
        if (letter != '\0' && imp_cli_options[i].letter == letter)
            return i;
    return -1;
}

/* TRUE if words are the beginning of some command's name, whole words. */
static gboolean begins_command(const char *words)
{
    gsize n = strlen(words);
    for (gsize i = 0; i < imp_cli_command_count; i++) {
        const char *name = imp_cli_commands[i].name;
        if (strncmp(name, words, n) == 0 && (name[n] == '\0' || name[n] == ' '))
            return TRUE;
    }
    return FALSE;
}

static const ImpCommandEntry *command_by_name(const char *name)
{
    for (gsize i = 0; i < imp_cli_command_count; i++)
        if (strcmp(imp_cli_commands[i].name, name) == 0)
            return &imp_cli_commands[i];
    return NULL;
}

static char *nearest_option(const char *mistyped)
{
    const char *known[IMP_OPTION_COUNT + 1] = {NULL};
    for (int i = 0; i < IMP_OPTION_COUNT; i++)
        known[i] = imp_cli_options[i].name;
    const char *nearest = imp_nearest(mistyped, known);
    return nearest != NULL ? g_strdup_printf("; did you mean --%s?", nearest) : g_strdup("");
}

/* Reads the option at argv[*index]; moves *index over its value. -D, --probe and --set may come more
 * than once, -D with its value in the same word. */
static gboolean parse_option(int argc, char *const *argv, int *index, ImpCli *cli, GPtrArray *definitions,
                             GError **error)
{
    const char *word = argv[*index], *value = NULL;
    int option;
    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        gsize n_name = equals != NULL ? (gsize)(equals - word - 2) : strlen(word + 2);
        option = option_by_name(word + 2, n_name);
        value = equals != NULL ? equals + 1 : NULL;
    } else {
        option = word[2] == '\0' || word[1] == 'D' ? option_by_letter(word[1]) : -1;
        value = word[2] != '\0' ? word + 2 : NULL;
    }
    if (option < 0) {
        g_autofree char *nearest = nearest_option(word + strspn(word, "-"));
        imp_error_set(error, IMP_E_ARGUMENT, "there is no option %s%s", word, nearest);
        return FALSE;
    }
    const ImpOptionEntry *entry = &imp_cli_options[option];
    if (entry->value == NULL && value != NULL) {
        imp_error_set(error, IMP_E_ARGUMENT, "--%s takes no value", entry->name);
        return FALSE;
    }
    if (entry->value != NULL && value == NULL) {
        if (*index + 1 >= argc) {
            imp_error_set(error, IMP_E_ARGUMENT, "--%s needs a value: --%s %s", entry->name, entry->name,
                          entry->value);
            return FALSE;
        }
        value = argv[++*index];
    }
    if (option == IMP_OPTION_DEFINE) {
        g_ptr_array_add(definitions, (gpointer)value);
    } else if (option == IMP_OPTION_PROBE) {
        cli->probes[cli->n_probes++] = value;
    } else if (option == IMP_OPTION_SET) {
        cli->sets[cli->n_sets++] = value;
    } else if (cli->values[option] != NULL && entry->value != NULL) {
        imp_error_set(error, IMP_E_ARGUMENT, "--%s is given twice", entry->name);
        return FALSE;
    }
    cli->values[option] = value != NULL ? value : "";
    return TRUE;
}

/* "; did you mean imprint key new?", or "": among the words that may follow the ones that were understood. Free with
 * g_free. */
static char *nearest_command(const char *words, const char *mistyped)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new_with_free_func(g_free);
    gsize n = strlen(words);
    for (gsize i = 0; i < imp_cli_command_count; i++) {
        const char *name = imp_cli_commands[i].name;
        if (n > 0 && (strncmp(name, words, n) != 0 || name[n] != ' '))
            continue;
        const char *next = name + n + (n > 0);
        g_ptr_array_add(known, g_strndup(next, strcspn(next, " ")));
    }
    g_ptr_array_add(known, NULL);
    const char *nearest = imp_nearest(mistyped, (const char *const *)known->pdata);
    return nearest != NULL
               ? g_strdup_printf("; did you mean imprint %s%s%s?", words, n > 0 ? " " : "", nearest)
               : g_strdup("");
}

static gboolean check_command(const char *words, ImpCli *cli, GError **error)
{
    cli->command = command_by_name(words);
    if (imp_cli_has(cli, IMP_OPTION_HELP) || imp_cli_has(cli, IMP_OPTION_VERSION))
        return TRUE;
    if (cli->command == NULL) {
        if (cli->n_arguments > 0) {
            g_autofree char *nearest = nearest_command(words, cli->arguments[0]);
            imp_error_set(
                error, IMP_E_ARGUMENT, "there is no command %s%s%s%s\nimprint %s%s--help lists them", words,
                words[0] != '\0' ? " " : "", cli->arguments[0], nearest, words, words[0] != '\0' ? " " : "");
        } else
            imp_error_set(error, IMP_E_ARGUMENT, "no command is named; imprint %s%s--help lists them", words,
                          words[0] != '\0' ? " " : "");
        return FALSE;
    }
    guint64 allowed = cli->command->options | IMP_OPTIONS_ALL;
    for (int i = 0; i < IMP_OPTION_COUNT; i++)
        if (cli->values[i] != NULL && (allowed >> i & 1) == 0) {
            imp_error_set(error, IMP_E_ARGUMENT, "imprint %s has no option --%s", words,
                          imp_cli_options[i].name);
            return FALSE;
        }
    if (cli->n_arguments < cli->command->n_arguments_min ||
        cli->n_arguments > cli->command->n_arguments_max) {
        imp_error_set(error, IMP_E_ARGUMENT, "%s arguments: imprint %s %s",
                      cli->n_arguments < cli->command->n_arguments_min ? "too few" : "too many", words,
                      cli->command->arguments);
        return FALSE;
    }
    return TRUE;
}

gboolean imp_cli_parse(int argc, char *const *argv, ImpCli *out_cli, GError **error)
{
    ImpCli cli = *out_cli;
    g_autoptr(GString) words = g_string_new("");
    g_autofree const char **arguments = g_new0(const char *, 3 * ((gsize)argc + 1));
    g_autoptr(GPtrArray) definitions = g_ptr_array_new();
    cli.probes = arguments + argc + 1;
    cli.sets = cli.probes + argc + 1;
    gboolean options_over = FALSE, command_over = FALSE;
    for (int i = 1; i < argc; i++) {
        if (!options_over && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (strcmp(argv[i], "--") == 0)
                options_over = TRUE;
            else if (!parse_option(argc, argv, &i, &cli, definitions, error))
                return FALSE;
            continue;
        }
        if (!command_over) {
            g_autofree char *longer =
                words->len > 0 ? g_strdup_printf("%s %s", words->str, argv[i]) : g_strdup(argv[i]);
            if (begins_command(longer)) {
                g_string_assign(words, longer);
                continue;
            }
            command_over = TRUE;
        }
        arguments[cli.n_arguments++] = argv[i];
    }
    cli.arguments = arguments;
    cli.json = imp_cli_has(&cli, IMP_OPTION_JSON);
    if (!check_command(words->str, &cli, error))
        return FALSE;
    if (imp_cli_has(&cli, IMP_OPTION_HELP))
        imp_cli_help(cli.env->out, words->str);
    cli.arguments = (const char *const *)g_steal_pointer(&arguments);
    g_ptr_array_add(definitions, NULL);
    cli.definitions = (const char *const *)g_ptr_array_free(g_steal_pointer(&definitions), FALSE);
    *out_cli = cli;
    return TRUE;
}

static void help_command(FILE *out, const ImpCommandEntry *command)
{
    fprintf(out, "imprint %s%s%s\n    %s.\n", command->name, command->arguments[0] != '\0' ? " " : "",
            command->arguments, command->summary);
    if (command->details != NULL)
        fprintf(out, "\n%s\n", command->details);
    fputs("\nOptions:\n", out);
    guint64 options = command->options | IMP_OPTIONS_ALL;
    for (int i = 0; i < IMP_OPTION_COUNT; i++) {
        if ((options >> i & 1) == 0)
            continue;
        const ImpOptionEntry *entry = &imp_cli_options[i];
        g_autofree char *left = g_strdup_printf("--%s%s%s", entry->name, entry->value != NULL ? " " : "",
                                                entry->value != NULL ? entry->value : "");
        if (entry->letter != '\0')
            fprintf(out, "  -%c, %-24s %s\n", entry->letter, left, entry->summary);
        else
            fprintf(out, "      %-24s %s\n", left, entry->summary);
    }
}

static void help_list(FILE *out, const char *words)
{
    gsize n = strlen(words);
    for (gsize i = 0; i < imp_cli_command_count; i++) {
        const ImpCommandEntry *command = &imp_cli_commands[i];
        if (n > 0 && (strncmp(command->name, words, n) != 0 || command->name[n] != ' '))
            continue;
        g_autofree char *left = g_strdup_printf("%s %s", command->name, command->arguments);
        if (strlen(left) > 44)
            fprintf(out, "  %s\n  %-44s %s\n", left, "", command->summary);
        else
            fprintf(out, "  %-44s %s\n", left, command->summary);
    }
}

void imp_cli_help(FILE *out, const char *words)
{
    const ImpCommandEntry *command = command_by_name(words);
    if (command != NULL) {
        help_command(out, command);
        return;
    }
    if (words[0] == '\0')
        fputs("imprint programs firmware into chips, and leaves its owner in control of every unit.\n\n"
              "  imprint COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:\n",
              out);
    else
        fprintf(out, "Commands of imprint %s:\n", words);
    help_list(out, words);
    fputs("\nimprint COMMAND --help says more; --json gives every command's result as JSON.\n"
          "Exit status: 0 done, 1 a unit failed, 2 something must be corrected, 3 refused, 4 try again,\n"
          "5 the machine cannot go on, 70 a defect of Imprint.\n",
          out);
}

gboolean imp_cli_number(const ImpCli *cli, ImpOption option, guint64 *out_number, GError **error)
{
    const char *text = cli->values[option];
    guint64 number = 0;
    if (text == NULL || !g_ascii_string_to_unsigned(text, 10, 1, G_MAXINT64, &number, NULL)) {
        imp_error_set(error, IMP_E_ARGUMENT, "--%s: '%s' is not a whole number of at least 1",
                      imp_cli_options[option].name, text != NULL ? text : "");
        return FALSE;
    }
    *out_number = number;
    return TRUE;
}

gboolean imp_cli_require(const ImpCli *cli, ImpOption option, const char **out_value, GError **error)
{
    if (cli->values[option] == NULL) {
        imp_error_set(error, IMP_E_ARGUMENT, "imprint %s needs --%s %s", cli->command->name,
                      imp_cli_options[option].name, imp_cli_options[option].value);
        return FALSE;
    }
    *out_value = cli->values[option];
    return TRUE;
}

gboolean imp_cli_one_probe(const ImpCli *cli, const char **out_spec, GError **error)
{
    if (cli->n_probes > 1) {
        imp_error_set(error, IMP_E_ARGUMENT, "imprint %s: --probe is given twice", cli->command->name);
        return FALSE;
    }
    *out_spec = cli->n_probes == 1 ? cli->probes[0] : "usb:";
    return TRUE;
}

gboolean imp_cli_confirm(const ImpCli *cli, const char *question)
{
    if (imp_cli_has(cli, IMP_OPTION_YES))
        return TRUE;
    fprintf(cli->env->err, "%s [y/N] ", question);
    fflush(cli->env->err);
    char line[16];
    gboolean answered = fgets(line, sizeof line, cli->env->in) != NULL;
    if (!answered) /* nobody there: end the question's line */
        fputc('\n', cli->env->err);
    return answered && (line[0] == 'y' || line[0] == 'Y');
}
