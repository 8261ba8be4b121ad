#include "cli/contact.h"

#include "cli/answer.h"
#include "cli/probe.h"
#include "cli/progress.h"
#include "launch/contact.h"

#include <glib-unix.h>
#include <signal.h>
#include <string.h>

#define KEPT_LAUNCHES_MAX 256 /* of the newest, in the result */

typedef struct Desk Desk;

/* One probe with the place for boards before it. */
typedef struct {
    Desk *desk;
    char *name; /* of the port, in the record and on the screen */
    ImpPort *port;
    ImpContact *contact;
    ImpLaunch *launch; /* NULL: none at work */
    guint port_source, contact_source;
} Place;

struct Desk {
    ImpCli *cli;
    const ImpLaunchOptions *options;
    ImpProgress progress;
    GPtrArray *places; /* of Place */
    gboolean several;
    gboolean ending; /* no more boards */
    guint signals; /* how many came */
    guint64 passed, failed, refused;
    gint64 passed_ms; /* time of those that passed */
    GArray *reasons; /* of Reason */
    json_t *launches; /* the newest */
    GError *worst;
};

/* How often boards ended with one code. */
typedef struct {
    int code;
    guint64 count;
} Reason;

static void place_free(gpointer data)
{
    Place *place = data;
    if (place->contact_source != 0)
        g_source_remove(place->contact_source);
    if (place->port_source != 0)
        g_source_remove(place->port_source);
    imp_contact_free(place->contact);
    imp_launch_free(place->launch);
    imp_port_free(place->port);
    g_free(place->name);
    g_free(place);
}

/* One line about a place, above the live ones. */
static void say(const Place *place, const char *text)
{
    Desk *desk = place->desk;
    FILE *out = desk->cli->env->out;
    if (desk->cli->json)
        return;
    imp_live_clear(&desk->progress.live);
    if (desk->several)
        fprintf(out, "port %-3s  ", place->name);
    fprintf(out, "%s\n", text);
    fflush(out);
}

static void count_reason(Desk *desk, int code)
{
    for (guint i = 0; i < desk->reasons->len; i++) {
        Reason *reason = &g_array_index(desk->reasons, Reason, i);
        if (reason->code == code) {
            reason->count++;
            return;
        }
    }
    const Reason fresh = {code, 1};
    g_array_append_val(desk->reasons, fresh);
}

/* What came of a board; the progress forgets it: a shift has many. */
static void count(Desk *desk, const ImpLaunchView *view, json_t *launch)
{
    if (view->state == IMP_LAUNCH_PASSED) {
        desk->passed++;
        desk->passed_ms += imp_answer_number(launch, "duration_ms");
    } else {
        desk->failed += view->state == IMP_LAUNCH_FAILED;
        desk->refused += view->state == IMP_LAUNCH_REFUSED;
        count_reason(desk, imp_error_code(view->error));
        imp_progress_keep_worst(&desk->worst, g_error_copy(view->error));
    }
    /* The ledger gives no more units: the next board would be refused as well. */
    const ImpErrorEntry *entry = view->error != NULL ? imp_error_entry(imp_error_code(view->error)) : NULL;
    if (view->state == IMP_LAUNCH_REFUSED && entry != NULL && entry->disposition == IMP_DISPOSITION_REFUSE)
        desk->ending = TRUE;
    json_array_append(desk->launches, launch);
    if (json_array_size(desk->launches) > KEPT_LAUNCHES_MAX)
        json_array_remove(desk->launches, 0);
    imp_progress_forget(&desk->progress, launch);
}

static void on_changed(gpointer user, const ImpLaunchView *view)
{
    const Place *place = user;
    json_t *launch = imp_progress_launch_json(view, place->name);
    imp_progress_update(&place->desk->progress, launch);
    if (view->state == IMP_LAUNCH_PASSED || view->state == IMP_LAUNCH_FAILED ||
        view->state == IMP_LAUNCH_REFUSED)
        count(place->desk, view, launch);
    json_decref(launch);
}

static void begin(Place *place)
{
    ImpLaunchOptions options = *place->desk->options;
    options.port = place->port;
    options.port_name = place->name;
    options.changed = on_changed;
    options.user = place;
    place->launch = imp_launch_new(&options);
    imp_launch_start(place->launch);
}

static void on_contact(gpointer user, const ImpContactEvent *event)
{
    Place *place = user;
    if (place->desk->ending)
        return;
    switch (event->state) {
    case IMP_CONTACT_OLD:
        say(place, "done: take the board out");
        break;
    case IMP_CONTACT_EMPTY:
        say(place, "waiting for a board");
        break;
    case IMP_CONTACT_NO_PROBE: {
        g_autofree char *text = g_strdup_printf("waiting for the probe: %s", event->error->message);
        say(place, text);
        break;
    }
    case IMP_CONTACT_MADE:
        begin(place);
        break;
    }
}

static gboolean on_contact_fd(int fd, GIOCondition condition, gpointer user)
{
    (void)fd;
    (void)condition;
    imp_contact_dispatch(((Place *)user)->contact);
    return G_SOURCE_CONTINUE;
}

static gboolean on_port_fd(int fd, GIOCondition condition, gpointer user)
{
    (void)fd;
    (void)condition;
    imp_port_dispatch(((Place *)user)->port);
    return G_SOURCE_CONTINUE;
}

static guint at_work(const Desk *desk)
{
    guint n = 0;
    for (guint i = 0; i < desk->places->len; i++)
        n += ((const Place *)desk->places->pdata[i])->launch != NULL;
    return n;
}

static gboolean on_signal(gpointer user)
{
    Desk *desk = user;
    desk->ending = TRUE;
    desk->signals++;
    if (at_work(desk) > 0 && desk->signals == 1 && !desk->cli->json) {
        imp_live_clear(&desk->progress.live);
        fputs("ends with the boards at work; once more cancels them\n", desk->cli->env->out);
        fflush(desk->cli->env->out);
    }
    for (guint i = 0; desk->signals > 1 && i < desk->places->len; i++) {
        const Place *place = desk->places->pdata[i];
        if (place->launch != NULL)
            imp_launch_cancel(place->launch);
    }
    return G_SOURCE_CONTINUE;
}

static void add_place(Desk *desk, const char *spec)
{
    const ImpClock *clock = desk->cli->env->clock;
    Place *place = g_new0(Place, 1);
    place->desk = desk;
    place->name =
        g_strndup(desk->several ? imp_cli_probe_label(spec) : IMP_CLI_DESK_PORT, IMP_WIRE_NAME_SIZE - 1);
    place->port = imp_port_thread_new(&(ImpPortThreadOptions){
        .probe_spec = spec, .serial_spec = desk->cli->values[IMP_OPTION_SERIAL], .clock = clock});
    place->port_source = g_unix_fd_add(imp_port_fd(place->port), G_IO_IN, on_port_fd, place);
    place->contact =
        imp_contact_new(spec, desk->options->content->device->access_port, clock, on_contact, place);
    place->contact_source = g_unix_fd_add(imp_contact_fd(place->contact), G_IO_IN, on_contact_fd, place);
    g_ptr_array_add(desk->places, place);
}

/* Launches that have ended make room for the next board. */
static void sweep(Desk *desk)
{
    for (guint i = 0; i < desk->places->len; i++) {
        Place *place = desk->places->pdata[i];
        if (place->launch == NULL || !imp_launch_finished(place->launch))
            continue;
        g_clear_pointer(&place->launch, imp_launch_free);
        if (!desk->ending)
            imp_contact_await(place->contact, TRUE);
    }
}

static void carry_out(Desk *desk)
{
    guint signals[] = {
        g_unix_signal_add(SIGINT, on_signal, desk),
        g_unix_signal_add(SIGTERM, on_signal, desk),
    };
    for (guint i = 0; i < desk->places->len; i++)
        imp_contact_await(((Place *)desk->places->pdata[i])->contact, FALSE);
    while (!desk->ending || at_work(desk) > 0) {
        g_main_context_iteration(NULL, TRUE);
        sweep(desk);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++)
        g_source_remove(signals[i]);
}

static void print_summary(const Desk *desk)
{
    FILE *out = desk->cli->env->out;
    guint64 all = desk->passed + desk->failed + desk->refused;
    fprintf(out, "\nsummary\n  %" G_GUINT64_FORMAT " board%s: %" G_GUINT64_FORMAT " passed", all,
            all == 1 ? "" : "s", desk->passed);
    if (desk->failed > 0)
        fprintf(out, ", %" G_GUINT64_FORMAT " failed", desk->failed);
    if (desk->refused > 0)
        fprintf(out, ", %" G_GUINT64_FORMAT " refused", desk->refused);
    fputc('\n', out);
    for (guint i = 0; i < desk->reasons->len; i++) {
        const Reason *reason = &g_array_index(desk->reasons, Reason, i);
        const ImpErrorEntry *entry = imp_error_entry(reason->code);
        fprintf(out, "  %" G_GUINT64_FORMAT " x E%d %s\n", reason->count, reason->code,
                entry != NULL ? entry->name : "");
    }
    if (desk->passed > 0) {
        g_autofree char *each = imp_print_duration(desk->passed_ms * 1000 / (gint64)desk->passed);
        fprintf(out, "  %s a board that passed\n", each);
    }
}

static void give_result(Desk *desk)
{
    json_t *reasons = json_array(), *result = desk->cli->result;
    for (guint i = 0; i < desk->reasons->len; i++) {
        const Reason *reason = &g_array_index(desk->reasons, Reason, i);
        json_array_append_new(
            reasons, json_pack("{s:i, s:I}", "code", reason->code, "count", (json_int_t)reason->count));
    }
    json_object_set_new(result, "passed", json_integer((json_int_t)desk->passed));
    json_object_set_new(result, "failed", json_integer((json_int_t)desk->failed));
    json_object_set_new(result, "refused", json_integer((json_int_t)desk->refused));
    json_object_set_new(result, "reasons", reasons);
    json_object_set(result, "launches", desk->launches);
    if (!desk->cli->json)
        print_summary(desk);
}

gboolean imp_cli_run_on_contact(ImpCli *cli, char *const *specs, gboolean several,
                                const ImpLaunchOptions *options, GError **error)
{
    const ImpCliEnv *env = cli->env;
    Desk desk = {.cli = cli, .options = options, .several = several};
    desk.places = g_ptr_array_new_with_free_func(place_free);
    desk.reasons = g_array_new(FALSE, FALSE, sizeof(Reason));
    desk.launches = json_array();
    imp_progress_init(&desk.progress, env->out, env->out_terminal, env->out_terminal && !env->no_colour,
                      several, env->clock);
    desk.progress.quiet = cli->json;
    for (char *const *spec = specs; *spec != NULL; spec++)
        add_place(&desk, *spec);
    carry_out(&desk);
    imp_live_clear(&desk.progress.live);
    give_result(&desk);
    cli->told = TRUE;
    g_ptr_array_unref(desk.places);
    imp_progress_done(&desk.progress);
    g_array_unref(desk.reasons);
    json_decref(desk.launches);
    if (desk.worst == NULL)
        return TRUE;
    g_propagate_error(error, desk.worst);
    return FALSE;
}
