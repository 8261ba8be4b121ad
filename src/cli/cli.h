/* The program `imprint`: its commands and options, said once in a constant table (table.c) from which parsing, --help
 * and the test of docs/cli.md are made.
 *
 * Life cycle: imp_cli_main parses the arguments, runs one command with an ImpCli of its own, prints what came of it and
 * returns the exit status. It never calls exit() and keeps nothing.
 * Thread rule: the calling thread only; commands that program a chip start a port's thread and end it. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "base/env.h"
#include "base/error.h"

/* Options mean the same wherever they appear. */
typedef enum {
    IMP_OPTION_HELP,
    IMP_OPTION_JSON,
    IMP_OPTION_VERSION,
    IMP_OPTION_ALL,
    IMP_OPTION_AUTHOR_KEY,
    IMP_OPTION_BARCODE,
    IMP_OPTION_CA,
    IMP_OPTION_CODE_FILE,
    IMP_OPTION_NUMBER_COUNT,
    IMP_OPTION_CSV,
    IMP_OPTION_DATES,
    IMP_OPTION_DEFINE,
    IMP_OPTION_DEVICE,
    IMP_OPTION_DIR,
    IMP_OPTION_ENCRYPT_TO,
    IMP_OPTION_FACTORY,
    IMP_OPTION_FINGERPRINT,
    IMP_OPTION_FINISH,
    IMP_OPTION_GROUP,
    IMP_OPTION_IMAGE,
    IMP_OPTION_IMAGE_KEY,
    IMP_OPTION_KIND,
    IMP_OPTION_LIMIT,
    IMP_OPTION_MAX_FAILURES,
    IMP_OPTION_NAME,
    IMP_OPTION_NUMBER,
    IMP_OPTION_NUMBERS,
    IMP_OPTION_ON_CONTACT,
    IMP_OPTION_ORDER,
    IMP_OPTION_OUTPUT,
    IMP_OPTION_PASSWORD_FILE,
    IMP_OPTION_PORTS,
    IMP_OPTION_POWER,
    IMP_OPTION_PROBE,
    IMP_OPTION_REASON,
    IMP_OPTION_RECIPE,
    IMP_OPTION_RELEASE,
    IMP_OPTION_RELEASE_BY,
    IMP_OPTION_RESULT,
    IMP_OPTION_ROOT_KEY,
    IMP_OPTION_SERIAL,
    IMP_OPTION_SET,
    IMP_OPTION_SHARE,
    IMP_OPTION_SOCKET,
    IMP_OPTION_STATION,
    IMP_OPTION_SUITE,
    IMP_OPTION_TO,
    IMP_OPTION_TOKEN_FILE,
    IMP_OPTION_UNITS,
    IMP_OPTION_USER,
    IMP_OPTION_VERIFY_ONLY,
    IMP_OPTION_YES,
    IMP_OPTION_COUNT,
} ImpOption;

typedef struct {
    const char *name; /* "probe": written --probe */
    char letter; /* "-o"; 0 = none */
    const char *value; /* what the value is called in help; NULL = the option takes none */
    const char *summary;
} ImpOptionEntry;

/* Options that go with every command. */
#define IMP_OPTIONS_ALL                                                                                      \
    ((G_GUINT64_CONSTANT(1) << IMP_OPTION_HELP) | (G_GUINT64_CONSTANT(1) << IMP_OPTION_JSON) |               \
     (G_GUINT64_CONSTANT(1) << IMP_OPTION_VERSION) | (G_GUINT64_CONSTANT(1) << IMP_OPTION_RESULT))

extern const ImpOptionEntry imp_cli_options[IMP_OPTION_COUNT];

typedef struct ImpCli ImpCli;

/* FALSE: error says why; what is known of the result may be set all the same. */
typedef gboolean (*ImpCommandFn)(ImpCli *cli, GError **error);

typedef struct {
    const char *name; /* "key new": words separated by one space */
    const char *arguments; /* "author|image NAME", "" if there are none */
    guint n_arguments_min, n_arguments_max;
    guint64 options; /* bit 1 << ImpOption; IMP_OPTIONS_ALL go with every command */
    ImpCommandFn run;
    const char *summary; /* one line, no full stop */
    const char *details; /* what --help adds; NULL = nothing */
} ImpCommandEntry;

extern const ImpCommandEntry imp_cli_commands[];
extern const gsize imp_cli_command_count;

/* What the outside world gives to a run of the program; all borrowed. */
typedef struct {
    FILE *in, *out, *err;
    gboolean out_terminal; /* live lines */
    gboolean err_terminal;
    gboolean no_colour; /* NO_COLOR is set */
    const ImpClock *clock;
    const ImpRandom *random;
    const char *data_dir; /* the user's: the ledger of `imprint run` lies here */
    const char *packs_dir; /* the user's: vendors' packs (device/packs.h) */
    const char *config_dir; /* the user's: where and as whom `imprint cloud` works */
} ImpCliEnv;

struct ImpCli {
    const ImpCliEnv *env;
    const ImpCommandEntry *command; /* NULL: none was named */
    const char
        *values[IMP_OPTION_COUNT]; /* "" for an option without value; NULL = not given; borrowed from argv */
    const char *const *arguments; /* NULL-terminated */
    guint n_arguments;
    const char *const *definitions; /* of every -D, NULL-terminated; strings borrowed from argv */
    const char **probes; /* every --probe in its order, behind arguments in the same allocation */
    guint n_probes;
    const char **sets; /* every --set likewise */
    guint n_sets;
    gboolean json; /* print nothing on out but the result */
    json_t *result; /* an object, what --json prints; commands add to it */
    gboolean told; /* the error has been shown already, beside its launch */
};

/* Exit status by the error's disposition; scripts may rely on these. */
#define IMP_EXIT_DONE   0
#define IMP_EXIT_FAILED 1 /* reject-unit: a unit failed */
#define IMP_EXIT_OPERATOR                                                                                    \
    2 /* operator: something named in the message has to be corrected; also: wrong usage */
#define IMP_EXIT_REFUSED 3 /* refuse: not allowed; doing it again does not help */
#define IMP_EXIT_RETRY   4 /* retry: the same again may succeed */
#define IMP_EXIT_STATION 5 /* station-down: the machine cannot go on */
#define IMP_EXIT_BUG     70 /* bug: a defect of Imprint */

/* error NULL: 0. */
int imp_cli_exit_status(const GError *error);

/* Splits argv into command, options and arguments. FALSE: IMP_E_ARGUMENT. out_cli->arguments and definitions are new arrays
 * (g_free), their strings and the values are argv's own. */
gboolean imp_cli_parse(int argc, char *const *argv, ImpCli *out_cli,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TRUE if the option was given. */
static inline gboolean imp_cli_has(const ImpCli *cli, ImpOption option)
{
    return cli->values[option] != NULL;
}

/* The option's value as a decimal number of at least 1; IMP_E_ARGUMENT otherwise. The option was given. */
gboolean imp_cli_number(const ImpCli *cli, ImpOption option, guint64 *out_number,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The option's value; FALSE and IMP_E_ARGUMENT, naming the option, if it was not given. */
gboolean imp_cli_require(const ImpCli *cli, ImpOption option, const char **out_value,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The one --probe of a command that takes one, or "usb:", the only one there is. IMP_E_ARGUMENT: given twice. */
gboolean imp_cli_one_probe(const ImpCli *cli, const char **out_spec,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Asks a yes-or-no question on err and reads the answer from in; --yes answers it. */
gboolean imp_cli_confirm(const ImpCli *cli, const char *question);

/* --help: of the program (command NULL, words empty), of a group ("key") or of one command. */
void imp_cli_help(FILE *out, const char *words);

/* Runs the program. */
int imp_cli_main(int argc, char *const *argv, const ImpCliEnv *env);
