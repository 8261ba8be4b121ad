/* imprint station launch: starts the ports and shows how each goes on until all have ended. */
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/given.h"
#include "cli/progress.h"
#include "cli/remote.h"

#include <string.h>

#define POLL_WAIT_MS  20000 /* one long poll */
#define POLL_MISS_MAX 3 /* polls that get no answer before the station is given up */

/* "all" or "1,2,3" as the request wants it; a new reference. */
static json_t *ports_json(const char *text, GError **error)
{
    if (strcmp(text, "all") == 0)
        return json_string("all");
    json_t *ports = json_array();
    g_auto(GStrv) names = g_strsplit(text, ",", -1);
    for (gsize i = 0; names[i] != NULL; i++)
        if (names[i][0] != '\0')
            json_array_append_new(ports, json_string(names[i]));
    if (json_array_size(ports) > 0)
        return ports;
    json_decref(ports);
    imp_error_set(error, IMP_E_ARGUMENT, "--ports names no port; say all, or names like 1,2");
    return NULL;
}

/* Starts; the answer has the launches and the event to begin with. A new reference. */
static json_t *start(ImpCli *cli, ImpHttpClient *client, GError **error)
{
    const char *ports_text = imp_cli_has(cli, IMP_OPTION_PORTS) ? cli->values[IMP_OPTION_PORTS] : "all";
    g_auto(ImpCliGiven) given = {.n_items = 0};
    json_t *ports = imp_cli_given_init(cli, &given, error) ? ports_json(ports_text, error) : NULL;
    if (ports == NULL)
        return NULL;
    json_t *body = json_pack("{s:s, s:o}", "image", cli->arguments[0], "ports", ports);
    if (body == NULL) {
        imp_error_set(error, IMP_E_ARGUMENT, "the image's name is not UTF-8");
        return NULL;
    }
    if (imp_cli_has(cli, IMP_OPTION_ORDER))
        json_object_set_new(body, "order", json_string(cli->values[IMP_OPTION_ORDER]));
    imp_cli_given_json(&given, body);
    if (imp_cli_has(cli, IMP_OPTION_VERIFY_ONLY))
        json_object_set_new(body, "verify_only", json_true());
    json_t *answer = imp_http_call_json(client, "POST", "/v1/launches", body, error);
    json_decref(body);
    return answer;
}

/* The station's answer to GET /v1/launches/{id} for each launch of ours: after events were lost, and at the end. */
static gboolean read_anew(ImpHttpClient *client, const json_t *launches, ImpProgress *progress,
                          GError **error)
{
    gsize i;
    const json_t *launch;
    json_array_foreach(launches, i, launch)
    {
        json_t *now = imp_remote_json(client, "GET", NULL, error, "/v1/launches/%s",
                                      json_string_value(json_object_get(launch, "launch")));
        if (now == NULL)
            return FALSE;
        imp_progress_update(progress, now);
        json_decref(now);
    }
    return TRUE;
}

static gboolean is_ours(const json_t *launches, const json_t *launch)
{
    gsize i;
    const json_t *ours;
    json_array_foreach(launches, i, ours) if (json_equal(json_object_get(ours, "launch"),
                                                         json_object_get(launch, "launch"))) return TRUE;
    return FALSE;
}

static gboolean follow(ImpHttpClient *client, const json_t *started, ImpProgress *progress, GError **error)
{
    const json_t *launches = json_object_get(started, "launches");
    gint64 after = imp_answer_number(started, "event"), life = 0;
    guint missed = 0;
    while (!imp_progress_all_ended(progress)) {
        g_autoptr(GError) failed = NULL;
        json_t *answer =
            imp_remote_json(client, "GET", NULL, &failed, "/v1/events?after=%" G_GINT64_FORMAT "&wait_ms=%d",
                            after, POLL_WAIT_MS);
        if (answer == NULL) {
            if (++missed >= POLL_MISS_MAX || !g_error_matches(failed, IMP_ERROR, IMP_E_TIMEOUT)) {
                g_propagate_prefixed_error(error, g_steal_pointer(&failed),
                                           "while the launches went on (the station's log has them): ");
                return FALSE;
            }
            continue;
        }
        missed = 0;
        if (life != 0 && life != imp_answer_number(answer, "start")) {
            json_decref(answer);
            imp_error_set(error, IMP_E_STATE,
                          "the station was started again meanwhile; its log says how the launches ended");
            return FALSE;
        }
        life = imp_answer_number(answer, "start");
        after = imp_answer_number(answer, "next");
        gsize i;
        const json_t *event;
        json_array_foreach(json_object_get(answer, "events"), i, event)
        {
            json_t *launch = json_object_get(event, "launch");
            if (launch != NULL && is_ours(launches, launch))
                imp_progress_update(progress, launch);
        }
        gboolean lost = imp_answer_number(answer, "lost") > 0;
        json_decref(answer);
        if (lost && !read_anew(client, launches, progress, error))
            return FALSE;
    }
    return TRUE;
}

gboolean imp_command_station_launch(ImpCli *cli, GError **error)
{
    const ImpCliEnv *env = cli->env;
    g_autoptr(ImpHttpClient) client = imp_remote_station(cli, error);
    if (client == NULL)
        return FALSE;
    json_t *started = start(cli, client, error);
    if (started == NULL)
        return FALSE;
    ImpProgress progress;
    imp_progress_init(&progress, env->out, env->out_terminal, env->out_terminal && !env->no_colour, TRUE,
                      env->clock);
    progress.quiet = cli->json;
    gsize i;
    json_t *launch;
    json_array_foreach(json_object_get(started, "launches"), i, launch)
        imp_progress_update(&progress, launch);
    gboolean done = follow(client, started, &progress, error);
    json_decref(started);
    json_t *launches = json_array();
    for (i = 0; i < progress.launches->len; i++)
        json_array_append(launches, g_ptr_array_index(progress.launches, i));
    json_object_set_new(cli->result, "launches", launches);
    if (done) {
        GError *verdict = imp_progress_verdict(&progress);
        cli->told = TRUE;
        done = verdict == NULL;
        if (verdict != NULL)
            g_propagate_error(error, verdict);
    }
    imp_progress_done(&progress);
    return done;
}
