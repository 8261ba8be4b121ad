/* imprint run: builds a recipe in memory and programs the chips on the desk, one behind each probe. The same launch as a
 * station's, with a ledger of its own in the user's data folder. */
#include "cli/commands.h"
#include "cli/contact.h"
#include "cli/given.h"
#include "cli/probe.h"
#include "cli/progress.h"
#include "cli/recipe.h"
#include "image/numbers.h"
#include "image/object.h"
#include "launch/launch.h"
#include "ledger/local.h"
#include "target/power.h"
#include "target/target.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

typedef struct Run Run;

/* One probe with its chip. */
typedef struct {
    Run *run;
    char *name; /* of the port, in the record and on the screen */
    ImpPort *port; /* has a thread of its own: what is slow or stuck there delays no other */
    ImpLaunch *launch;
    guint source;
} Place;

struct Run {
    ImpProgress progress;
    GPtrArray *places; /* of Place */
};

static void place_free(gpointer data)
{
    Place *place = data;
    imp_launch_free(place->launch);
    imp_port_free(place->port);
    g_free(place->name);
    g_free(place);
}

static void on_changed(gpointer user, const ImpLaunchView *view)
{
    const Place *place = user;
    json_t *launch = imp_progress_launch_json(view, place->name);
    imp_progress_update(&place->run->progress, launch);
    json_decref(launch);
}

static gboolean on_port(int fd, GIOCondition condition, gpointer user)
{
    (void)fd;
    (void)condition;
    imp_port_dispatch(((Place *)user)->port);
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal(gpointer user)
{
    const Run *run = user;
    for (guint i = 0; i < run->places->len; i++)
        imp_launch_cancel(((Place *)run->places->pdata[i])->launch);
    return G_SOURCE_CONTINUE;
}

static ImpLedger *open_ledger(const ImpCliEnv *env, GError **error)
{
    if (g_mkdir_with_parents(env->data_dir, 0700) != 0) {
        imp_error_set(error, IMP_E_IO, "%s: %s", env->data_dir, g_strerror(errno));
        return NULL;
    }
    g_autofree char *path = g_build_filename(env->data_dir, "ledger.db", NULL);
    ImpLedgerOptions options = {.path = path,
                                .role = IMP_LEDGER_STATION,
                                .safety = IMP_LEDGER_DURABLE,
                                .clock = env->clock,
                                .random = env->random};
    g_autoptr(ImpLedger) ledger = imp_ledger_open(&options, error);
    ImpLife life;
    if (ledger == NULL || !imp_journal_start(ledger, &life, error))
        return NULL;
    if (life.n_lost + life.n_unknown > 0)
        fprintf(env->err, "an earlier run was cut off: recorded as %s\n",
                life.n_unknown > 0 ? "unknown" : "lost");
    return g_steal_pointer(&ledger);
}

/* What is run has no image of its own; its ID is made of what it is, so that the same recipe goes on with its count, and
 * another content or other restrictions begin a new one. */
static ImpId image_id(const ImpContent *content, const char *release, const ImpRestrictions *restrictions)
{
    guint8 digest[32];
    imp_content_digest(content, digest);
    g_autofree char *text =
        g_strdup_printf("%d %" G_GUINT64_FORMAT " %d %" G_GUINT64_FORMAT " %d %" G_GINT64_FORMAT
                        " %d %" G_GINT64_FORMAT " %d %s%s",
                        restrictions->has_units, restrictions->units, restrictions->has_max_failures,
                        restrictions->max_failures, restrictions->has_not_before, restrictions->not_before_s,
                        restrictions->has_not_after, restrictions->not_after_s, (int)restrictions->count_on,
                        release, restrictions->free_rework ? " free-rework" : "");
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, digest, sizeof digest);
    g_checksum_update(sum, (const guchar *)content->name, (gssize)strlen(content->name) + 1);
    g_checksum_update(sum, (const guchar *)text, -1);
    gsize n = sizeof digest;
    g_checksum_get_digest(sum, digest, &n);
    ImpId id;
    memcpy(id.bytes, digest, sizeof id.bytes);
    return id;
}

static gboolean add_image(ImpLedger *ledger, const ImpId *id, const ImpContent *content,
                          const ImpRestrictions *restrictions, GError **error)
{
    ImpLedgerImage image = {
        .id = *id,
        .limits = {.has_units = restrictions->has_units,
                   .has_max_failures = restrictions->has_max_failures,
                   .has_not_before = restrictions->has_not_before,
                   .has_not_after = restrictions->has_not_after,
                   .units = restrictions->units,
                   .max_failures = restrictions->max_failures,
                   .not_before_s = restrictions->not_before_s,
                   .not_after_s = restrictions->not_after_s,
                   .count_on = restrictions->count_on == IMP_COUNT_ON_WRITE ? IMP_LEDGER_COUNT_ON_WRITE
                                                                            : IMP_LEDGER_COUNT_ON_PASS},
        .rework = (ImpLedgerRework)content->rework,
        .free_rework = restrictions->free_rework,
        .n_pools = (guint32)content->n_pools,
    };
    g_strlcpy(image.name, content->name, sizeof image.name);
    g_assert(content->n_pools <= G_N_ELEMENTS(image.pools));
    for (gsize i = 0; i < content->n_pools; i++)
        image.pools[i] = content->pools[i].definition;
    ImpAct act = {.person = ""};
    return imp_ledger_image_add(ledger, &image, &act, error);
}

static void say_content(const ImpCli *cli, const ImpContent *content)
{
    guint64 size_bytes = 0;
    for (gsize i = 0; i < content->n_segments; i++)
        size_bytes += g_bytes_get_size(content->segments[i].bytes);
    g_autofree char *size = imp_print_size(size_bytes);
    if (!cli->json)
        fprintf(cli->env->out, "%s%s%s  %s  %s in %" G_GSIZE_FORMAT " segment%s\n", content->name,
                content->version[0] != '\0' ? " " : "", content->version, content->device->name, size,
                content->n_segments, content->n_segments == 1 ? "" : "s");
}

/* Another authority knows nothing of this desk: say whose numbers these are. The content's pools are narrowed already. */
static void say_numbers(const ImpCli *cli, const ImpContent *content, const ImpRestrictions *restrictions)
{
    for (gsize i = 0; !cli->json && i < content->n_pools; i++) {
        const ImpNumberRange *range = NULL;
        for (guint32 k = 0; k < restrictions->n_numbers; k++)
            if (restrictions->numbers[k].pool_index == i)
                range = &restrictions->numbers[k];
        if (range != NULL) {
            g_autofree char *recipe_id = imp_numbers_recipe_id(&content->pools[i], range);
            g_autofree char *text = imp_numbers_text(recipe_id, range->first, range->last);
            fprintf(cli->env->out, "serial numbers: %s, given by this desk\n", text);
        } else {
            fprintf(
                cli->env->out,
                "serial numbers: this desk's own, counted for pool %s here; others may give the same ones\n",
                content->pools[i].id);
        }
    }
}

static gboolean all_finished(const Run *run)
{
    for (guint i = 0; i < run->places->len; i++)
        if (!imp_launch_finished(((Place *)run->places->pdata[i])->launch))
            return FALSE;
    return TRUE;
}

/* Runs a launch at every place on this thread's main context, until all have ended. */
static void carry_out(Run *run, const ImpLaunchOptions *common)
{
    guint signals[] = {
        g_unix_signal_add(SIGINT, on_signal, run),
        g_unix_signal_add(SIGTERM, on_signal, run),
    };
    for (guint i = 0; i < run->places->len; i++) {
        Place *place = run->places->pdata[i];
        ImpLaunchOptions options = *common;
        options.port = place->port;
        options.port_name = place->name;
        options.changed = on_changed;
        options.user = place;
        place->launch = imp_launch_new(&options);
        place->source = g_unix_fd_add(imp_port_fd(place->port), G_IO_IN, on_port, place);
    }
    for (guint i = 0; i < run->places->len; i++)
        imp_launch_start(((Place *)run->places->pdata[i])->launch);
    while (!all_finished(run))
        g_main_context_iteration(NULL, TRUE);
    for (guint i = 0; i < run->places->len; i++)
        g_source_remove(((Place *)run->places->pdata[i])->source);
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++)
        g_source_remove(signals[i]);
}

static void add_place(Run *run, const char *name, const ImpPortThreadOptions *options)
{
    Place *place = g_new0(Place, 1);
    place->run = run;
    place->name = g_strndup(name, IMP_WIRE_NAME_SIZE - 1);
    place->port = imp_port_thread_new(options);
    g_ptr_array_add(run->places, place);
}

/* For every program that reads the result: one launch as it always was, several as a station gives them. */
static void give_results(ImpCli *cli, const Run *run, gboolean several)
{
    const GPtrArray *launches = run->progress.launches;
    if (!several) {
        json_object_update(cli->result, g_ptr_array_index(launches, 0));
        return;
    }
    json_t *list = json_array();
    for (guint i = 0; i < launches->len; i++)
        json_array_append(list, g_ptr_array_index(launches, i));
    json_object_set_new(cli->result, "launches", list);
    if (!cli->json)
        imp_progress_print_summary(&run->progress);
}

/* A launch at each probe, once. */
static gboolean run_once(ImpCli *cli, char *const *specs, gboolean several, const ImpLaunchOptions *common,
                         GError **error)
{
    const ImpCliEnv *env = cli->env;
    Run run = {.places = g_ptr_array_new_with_free_func(place_free)};
    for (char *const *spec = specs; *spec != NULL; spec++)
        add_place(&run, several ? imp_cli_probe_label(*spec) : IMP_CLI_DESK_PORT,
                  &(ImpPortThreadOptions){.probe_spec = *spec,
                                          .power_spec = cli->values[IMP_OPTION_POWER],
                                          .serial_spec = cli->values[IMP_OPTION_SERIAL],
                                          .clock = env->clock});
    imp_progress_init(&run.progress, env->out, env->out_terminal, env->out_terminal && !env->no_colour,
                      several, env->clock);
    run.progress.quiet = cli->json;
    carry_out(&run, common);
    give_results(cli, &run, several);
    cli->told = TRUE;
    GError *verdict = imp_progress_verdict(&run.progress);
    g_ptr_array_unref(run.places);
    imp_progress_done(&run.progress);
    if (verdict != NULL)
        g_propagate_error(error, verdict);
    return verdict == NULL;
}

/* A GDB server cannot be asked whether a board is there without halting it. */
static gboolean check_contact(const ImpCli *cli, char *const *specs, GError **error)
{
    for (char *const *spec = specs; imp_cli_has(cli, IMP_OPTION_ON_CONTACT) && *spec != NULL; spec++)
        if (g_str_has_prefix(*spec, IMP_TARGET_GDB_PREFIX)) {
            imp_error_set(error, IMP_E_ARGUMENT, "--on-contact does not go with %s: it needs a probe", *spec);
            return FALSE;
        }
    return TRUE;
}

/* One supply is for one board; and a board that waits for contact must have its power already. */
static gboolean check_power(const ImpCli *cli, gboolean several, GError **error)
{
    if (!imp_cli_has(cli, IMP_OPTION_POWER))
        return TRUE;
    if (several || imp_cli_has(cli, IMP_OPTION_ON_CONTACT)) {
        imp_error_set(error, IMP_E_ARGUMENT, "--power names the supply of one unit: it does not go with %s",
                      several ? "several --probe" : "--on-contact, which looks for boards that have power");
        return FALSE;
    }
    g_autoptr(ImpPower) power = imp_power_open(cli->values[IMP_OPTION_POWER], cli->env->clock, error);
    return power != NULL;
}

gboolean imp_command_run(ImpCli *cli, GError **error)
{
    const ImpCliEnv *env = cli->env;
    const char *release = imp_cli_has(cli, IMP_OPTION_RELEASE) ? cli->values[IMP_OPTION_RELEASE] : NULL;
    gboolean several = FALSE;
    g_auto(GStrv) specs = imp_cli_probe_specs(cli, &several, error);
    g_auto(ImpCliGiven) given = {.n_items = 0};
    if (specs == NULL || !check_contact(cli, specs, error) || !imp_cli_given_init(cli, &given, error))
        return FALSE;
    if (several && imp_cli_has(cli, IMP_OPTION_SERIAL)) {
        imp_error_set(error, IMP_E_ARGUMENT, "--serial names the line of one unit; give one --probe with it");
        return FALSE;
    }
    if (!check_power(cli, several, error))
        return FALSE;
    ImpRestrictions restrictions = {.count_on = IMP_COUNT_ON_PASS};
    g_autoptr(ImpObject) object = imp_recipe_object(cli, cli->arguments[0], release, &restrictions, error);
    if (object == NULL || !imp_numbers_narrow(IMP_IMAGE_SAP, object->content, &restrictions, error) ||
        !imp_given_check(object->content, given.items, given.n_items,
                         !imp_cli_has(cli, IMP_OPTION_VERIFY_ONLY), error) ||
        !imp_given_check_units(object->content,
                               imp_cli_has(cli, IMP_OPTION_ON_CONTACT) ? G_MAXSIZE : g_strv_length(specs),
                               error))
        return FALSE;
    g_autoptr(ImpLedger) ledger = open_ledger(env, error);
    ImpId id = image_id(object->content, release != NULL ? release : "", &restrictions);
    if (ledger == NULL || !add_image(ledger, &id, object->content, &restrictions, error))
        return FALSE;
    ImpAuthority *authority = imp_authority_local_new(ledger);
    imp_authority_local_set_desk(authority);
    ImpLaunchOptions options = {.content = object->content,
                                .image = id,
                                .authority = authority,
                                .clock = env->clock,
                                .random = env->random,
                                .order = cli->values[IMP_OPTION_ORDER],
                                .given = given.items,
                                .n_given = given.n_items,
                                .verify_only = imp_cli_has(cli, IMP_OPTION_VERIFY_ONLY)};
    say_content(cli, object->content);
    if (!options.verify_only)
        say_numbers(cli, object->content, &restrictions);
    gboolean good = (imp_cli_has(cli, IMP_OPTION_ON_CONTACT) ? imp_cli_run_on_contact : run_once)(
        cli, specs, several, &options, error);
    imp_authority_local_free(authority);
    return good;
}
