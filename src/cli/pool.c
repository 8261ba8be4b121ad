/* imprint pool …: serial number pools, at the cloud or at a station. */
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/remote.h"

#include <string.h>

/* One call; the answer becomes the result. Takes over body. */
static gboolean call(ImpCli *cli, const char *method, json_t *body, const char *path, GError **error)
{
    gboolean station = imp_cli_has(cli, IMP_OPTION_STATION) || imp_cli_has(cli, IMP_OPTION_SOCKET);
    g_autoptr(ImpHttpClient) client = station ? imp_remote_station(cli, error) : imp_remote_cloud(cli, error);
    json_t *answer = client != NULL ? imp_http_call_json(client, method, path, body, error) : NULL;
    json_decref(body);
    if (answer == NULL)
        return FALSE;
    json_object_update(cli->result, answer);
    json_decref(answer);
    return TRUE;
}

/* Free with g_free. */
static char *number_text(const json_t *pool, const char *name)
{
    return json_object_get(pool, name) != NULL
               ? g_strdup_printf("%" G_GINT64_FORMAT, imp_answer_number(pool, name))
               : g_strdup("");
}

gboolean imp_command_pool_list(ImpCli *cli, GError **error)
{
    static const char *const columns[] = {"pool",  ">next", "",      ">remaining",
                                          ">free", ">held", ">used", ">spent"};
    if (!call(cli, "GET", NULL, "/v1/pools", error))
        return FALSE;
    if (cli->json)
        return TRUE;
    ImpTable table;
    imp_table_init(&table, columns, G_N_ELEMENTS(columns));
    gsize i;
    const json_t *pool;
    json_array_foreach(json_object_get(cli->result, "pools"), i, pool)
    {
        gboolean external = imp_answer_true(pool, "external");
        g_autofree char *next = external ? g_strdup("given") : number_text(pool, "next");
        g_autofree char *remaining = number_text(pool, "remaining");
        g_autofree char *free = number_text(pool, "free");
        g_autofree char *held = number_text(pool, "held");
        g_autofree char *used = number_text(pool, "used");
        g_autofree char *spent = number_text(pool, "spent");
        imp_table_add(&table, (const char *[]){imp_answer_text(pool, "pool"), next,
                                               imp_answer_text(pool, "next_text"), remaining, free, held,
                                               used, spent});
    }
    imp_table_print(&table, cli->env->out);
    imp_table_done(&table);
    return TRUE;
}

static void print_pool(FILE *out, const json_t *pool)
{
    fprintf(out, "pool       %s\n", imp_answer_text(pool, "pool"));
    if (imp_answer_true(pool, "external")) {
        fprintf(out, "next       comes with each launch, from a label or given\n");
    } else {
        const char *text = imp_answer_text(pool, "next_text");
        if (text[0] != '\0')
            fprintf(out, "next       %" G_GINT64_FORMAT ": %s\n", imp_answer_number(pool, "next"), text);
        else
            fprintf(out, "next       none: all new numbers have been given\n");
        fprintf(out, "remaining  %" G_GINT64_FORMAT "\n", imp_answer_number(pool, "remaining"));
    }
    fprintf(out,
            "given      %" G_GINT64_FORMAT " used, %" G_GINT64_FORMAT " spent, %" G_GINT64_FORMAT
            " held, %" G_GINT64_FORMAT " come back and free\n",
            imp_answer_number(pool, "used"), imp_answer_number(pool, "spent"),
            imp_answer_number(pool, "held"), imp_answer_number(pool, "free"));
    fprintf(out, "definition %s\n", imp_answer_text(pool, "definition"));
}

gboolean imp_command_pool_show(ImpCli *cli, GError **error)
{
    if (!call(cli, "GET", NULL, "/v1/pools", error))
        return FALSE;
    json_t *pools = json_incref(json_object_get(cli->result, "pools"));
    gboolean found = FALSE;
    gsize i;
    json_t *pool;
    json_object_clear(cli->result);
    json_array_foreach(pools, i, pool)
    {
        if (found || strcmp(imp_answer_text(pool, "pool"), cli->arguments[0]) != 0)
            continue;
        found = TRUE;
        json_object_update(cli->result, pool);
        if (!cli->json)
            print_pool(cli->env->out, pool);
    }
    json_decref(pools);
    if (!found)
        imp_error_set(error, IMP_E_NOT_FOUND, "no pool %s is known%s", cli->arguments[0],
                      imp_cli_has(cli, IMP_OPTION_STATION) ? " at this station" : "");
    return found;
}

gboolean imp_command_pool_set_next(ImpCli *cli, GError **error)
{
    const char *reason;
    guint64 next;
    if (!imp_cli_require(cli, IMP_OPTION_REASON, &reason, error))
        return FALSE;
    if (!g_ascii_string_to_unsigned(cli->arguments[1], 10, 0, G_MAXINT64, &next, NULL)) {
        imp_error_set(error, IMP_E_ARGUMENT, "'%s' is not a number", cli->arguments[1]);
        return FALSE;
    }
    json_t *body = json_pack("{s:I, s:s}", "next", (json_int_t)next, "reason", reason);
    g_autofree char *pool = imp_http_escape(cli->arguments[0]);
    g_autofree char *path = g_strdup_printf("/v1/pools/%s/next", pool);
    if (!call(cli, "POST", body, path, error))
        return FALSE;
    if (!cli->json)
        fprintf(cli->env->out, "the next number of pool %s is %s\n", cli->arguments[0], cli->arguments[1]);
    return TRUE;
}

gboolean imp_command_pool_split(ImpCli *cli, GError **error)
{
    const char *reason, *given;
    guint64 count;
    if (!imp_cli_require(cli, IMP_OPTION_NUMBER_COUNT, &given, error) ||
        !imp_cli_require(cli, IMP_OPTION_REASON, &reason, error) ||
        !imp_cli_number(cli, IMP_OPTION_NUMBER_COUNT, &count, error))
        return FALSE;
    json_t *body = json_pack("{s:I, s:s}", "count", (json_int_t)count, "reason", reason);
    g_autofree char *pool = imp_http_escape(cli->arguments[0]);
    g_autofree char *path = g_strdup_printf("/v1/pools/%s/split", pool);
    if (!call(cli, "POST", body, path, error))
        return FALSE;
    if (!cli->json)
        fprintf(cli->env->out,
                "numbers: %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
                "\n  pool %s at the cloud will never give them; let one station give them\n",
                imp_answer_number(cli->result, "first"), imp_answer_number(cli->result, "last"),
                cli->arguments[0]);
    return TRUE;
}
