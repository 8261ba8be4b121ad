/* Factories, groups, enrolment codes, stations, authors, pools. */
#include <string.h>

#include "base/json.h"
#include "cloud/job.h"
#include "image/keys.h"
#include "wire/enrol.h"

#define HOUR_US ((gint64)3600 * G_USEC_PER_SEC)

/* ---- factories and groups ---- */

static json_t *groups_of(ImpCloud *cloud, const Job *job, const char *factory, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, "SELECT name FROM cloud_group WHERE account = ? AND factory = ? ORDER BY name",
        "tt", job->account, factory);
    json_t *list = json_array();
    int more = sql != NULL ? 1 : -1;
    while (more > 0 && (more = imp_query_step(sql, error)) > 0)
        json_array_append_new(list, json_string(imp_query_text(sql, 0)));
    if (more == 0)
        return list;
    json_decref(list);
    return NULL;
}

static gboolean run_factories_list(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(cloud->db, error, "SELECT name FROM cloud_factory WHERE account = ? ORDER BY name",
                          "t", job->account);
    json_t *list = json_array();
    job->answer = json_pack("{s:o}", "factories", list);
    int more = sql != NULL ? 1 : -1;
    while (more > 0 && (more = imp_query_step(sql, error)) > 0) {
        json_t *groups = groups_of(cloud, job, imp_query_text(sql, 0), error);
        if (groups == NULL)
            return FALSE;
        json_array_append_new(list, json_pack("{s:s,s:o}", "name", imp_query_text(sql, 0), "groups", groups));
    }
    return more == 0;
}

/* count_sql has the account and perhaps the factory as parameters. */
static gboolean check_room(ImpCloud *cloud, const char *account, const char *factory, const char *count_sql,
                           gint64 max, GError **error)
{
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(cloud->db, error, count_sql, factory != NULL ? "tt" : "t", account, factory);
    if (sql == NULL || imp_query_step(sql, error) < 0)
        return FALSE;
    if (imp_query_int(sql, 0) < max)
        return TRUE;
    imp_error_set(error, IMP_E_LIMIT, "there may be at most %" G_GINT64_FORMAT, max);
    return FALSE;
}

static gboolean run_factories_add(ImpCloud *cloud, Job *job, GError **error)
{
    ImpJson r;
    imp_json_begin(&r, job->body, "factory", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    const char *name = imp_json_string(&r, "name", 1, IMP_WIRE_NAME_SIZE - 1);
    if (!imp_json_end(&r, error) || !parse_name("name", name, error) ||
        !check_room(cloud, job->account, NULL, "SELECT count(*) FROM cloud_factory WHERE account = ?",
                    IMP_CLOUD_FACTORIES_MAX, error))
        return FALSE;
    ImpAct act = {.person = job->email};
    if (!imp_query_run(cloud->db, NULL, error, "INSERT INTO cloud_factory VALUES(?,?)", "tt", job->account,
                       name)) {
        g_prefix_error(error, "factory '%s': ", name);
        return FALSE;
    }
    job->status = 201;
    job->answer = json_pack("{s:s,s:[]}", "name", name, "groups");
    return imp_ledger_audit_add(cloud->ledger, "factory-add", name, &act, error);
}

static gboolean run_groups_add(ImpCloud *cloud, Job *job, GError **error)
{
    ImpJson r;
    imp_json_begin(&r, job->body, "group", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    const char *factory = imp_json_string(&r, "factory", 1, IMP_WIRE_NAME_SIZE - 1);
    const char *name = imp_json_string(&r, "name", 1, IMP_WIRE_NAME_SIZE - 1);
    if (!imp_json_end(&r, error) || !parse_name("name", name, error) ||
        !factory_exists(cloud, job->account, factory, NULL, error) ||
        !check_room(cloud, job->account, factory,
                    "SELECT count(*) FROM cloud_group WHERE account = ? AND factory = ?",
                    IMP_CLOUD_GROUPS_MAX, error))
        return FALSE;
    ImpAct act = {.person = job->email, .reason = factory};
    if (!imp_query_run(cloud->db, NULL, error, "INSERT INTO cloud_group VALUES(?,?,?)", "ttt", job->account,
                       factory, name)) {
        g_prefix_error(error, "group '%s': ", name);
        return FALSE;
    }
    job->status = 201;
    job->answer = json_pack("{s:s,s:s}", "factory", factory, "name", name);
    return imp_ledger_audit_add(cloud->ledger, "group-add", name, &act, error);
}

/* ---- enrolment codes ---- */

static gboolean issue_code(ImpCloud *cloud, Job *job, const char *factory, const char *group, guint64 hours,
                           GError **error)
{
    ImpEnrolCode code = {0};
    if (!account_root(cloud, job->account, &code.has_root, code.root_sha256, error))
        return FALSE;
    imp_random_fill(cloud->random, code.secret, sizeof code.secret);
    memcpy(code.ca_sha256, imp_ca_digest(cloud->ca), sizeof code.ca_sha256);
    g_strlcpy(code.url, cloud->url, sizeof code.url);
    char *secret = imp_hex_encode(code.secret, sizeof code.secret);
    guint8 hash[TOKEN_HASH_BYTES];
    token_hash(secret, hash);
    wipe_free(secret);
    gint64 now = imp_clock_real_us(cloud->clock), expires_us = now + (gint64)hours * HOUR_US;
    gboolean good =
        imp_query_run(cloud->db, NULL, error,
                      "DELETE FROM cloud_code WHERE station IS NULL AND expires_us <= ?", "i", now) &&
        imp_query_run(cloud->db, NULL, error, "INSERT INTO cloud_code VALUES(?,?,?,?,?,?,?,NULL)",
                      "btttt"
                      "ii",
                      hash, sizeof hash, job->account, factory, group, job->email, now, expires_us);
    if (good) {
        char *text = imp_enrol_code_encode(&code);
        job->answer = json_pack("{s:s,s:I}", "code", text, "expires_us", (json_int_t)expires_us);
        wipe_free(text);
    }
    explicit_bzero(&code, sizeof code);
    return good;
}

static gboolean run_codes_add(ImpCloud *cloud, Job *job, GError **error)
{
    ImpJson r;
    imp_json_begin(&r, job->body, "code", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    const char *factory = imp_json_string(&r, "factory", 1, IMP_WIRE_NAME_SIZE - 1);
    const char *group = imp_json_string(&r, "group", 1, IMP_WIRE_NAME_SIZE - 1);
    guint64 hours = IMP_CLOUD_CODE_HOURS;
    if (imp_json_has(&r, "hours"))
        hours = imp_json_u64(&r, "hours", 1, IMP_CLOUD_CODE_HOURS_MAX);
    if (!imp_json_end(&r, error) || !factory_exists(cloud, job->account, factory, group, error))
        return FALSE;
    ImpAct act = {.person = job->email, .reason = factory};
    job->status = 201;
    return issue_code(cloud, job, factory, group, hours, error) &&
           imp_ledger_audit_add(cloud->ledger, "code-add", group, &act, error);
}

/* ---- stations ---- */

static json_t *station_json(ImpCloud *cloud, const ImpLedgerStation *station, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, "SELECT factory, grp, sealing_key FROM cloud_station WHERE id = ?", "b",
        &station->id, (gsize)IMP_ID_BYTES);
    if (sql == NULL || imp_query_step(sql, error) < 0)
        return NULL;
    g_autoptr(GBytes) der = g_bytes_new(sqlite3_column_blob(sql, 2), (gsize)sqlite3_column_bytes(sql, 2));
    g_autoptr(ImpKey) key = imp_key_from_public_der(der, error);
    if (key == NULL)
        return NULL;
    g_autofree char *pem = imp_key_public_pem(key);
    json_t *row =
        json_pack("{s:o,s:s,s:s,s:s,s:b,s:b,s:I,s:I,s:I,s:I,s:s}", "station", json_id(&station->id), "name",
                  station->name, "factory", imp_query_text(sql, 0), "group", imp_query_text(sql, 1),
                  "removed", station->removed, "blocked", station->blocked, "start_number",
                  (json_int_t)station->start_number, "heard_us", (json_int_t)station->heard_us, "added_us",
                  (json_int_t)station->added_us, "open", (json_int_t)station->open, "sealing_key", pem);
    if (station->blocked)
        json_object_set_new(row, "blocked_why", json_string(station->blocked_why));
    return row;
}

static gboolean run_stations_list(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(GArray) stations = imp_ledger_station_list(cloud->ledger, job->account, error);
    if (stations == NULL)
        return FALSE;
    json_t *list = json_array();
    job->answer = json_pack("{s:o}", "stations", list);
    for (guint i = 0; i < stations->len; i++) {
        json_t *row = station_json(cloud, &g_array_index(stations, ImpLedgerStation, i), error);
        if (row == NULL)
            return FALSE;
        json_array_append_new(list, row);
    }
    return TRUE;
}

/* Only "reason", needed or not. */
static gboolean read_reason(const Job *job, gboolean needed, GError **error)
{
    ImpJson r;
    imp_json_begin(&r, job->body, "request", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    if (needed || imp_json_has(&r, "reason"))
        imp_json_string(&r, "reason", needed ? 1 : 0, IMP_LEDGER_REASON_SIZE - 1);
    return imp_json_end(&r, error);
}

static gboolean run_station_remove(ImpCloud *cloud, Job *job, GError **error)
{
    ImpLedgerEffect effect;
    ImpAct act = {.person = job->email, .reason = body_reason(job)};
    if (!read_reason(job, FALSE, error) || !own_station(cloud, job, &job->id, error) ||
        !imp_ledger_station_remove(cloud->ledger, &job->id, &act, &effect, error))
        return FALSE;
    job->answer = effect_json(cloud, &effect);
    return TRUE;
}

static gboolean run_station_move(ImpCloud *cloud, Job *job, GError **error)
{
    ImpJson r;
    imp_json_begin(&r, job->body, "move", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    const char *factory = imp_json_string(&r, "factory", 1, IMP_WIRE_NAME_SIZE - 1);
    const char *group = imp_json_string(&r, "group", 1, IMP_WIRE_NAME_SIZE - 1);
    if (imp_json_has(&r, "reason"))
        imp_json_string(&r, "reason", 0, IMP_LEDGER_REASON_SIZE - 1);
    ImpLedgerStation station;
    if (!imp_json_end(&r, error) || !own_station(cloud, job, &job->id, error) ||
        !factory_exists(cloud, job->account, factory, group, error) ||
        !imp_ledger_station_get(cloud->ledger, &job->id, &station, error))
        return FALSE;
    if (station.removed) {
        imp_error_set(error, IMP_E_STATE, "the station was removed; enrol it again");
        return FALSE;
    }
    ImpAct act = {.person = job->email, .reason = body_reason(job)};
    g_strlcpy(station.scope, factory, sizeof station.scope);
    return imp_query_run(cloud->db, NULL, error, "UPDATE cloud_station SET factory = ?, grp = ? WHERE id = ?",
                         "ttb", factory, group, &job->id, (gsize)IMP_ID_BYTES) &&
           imp_ledger_station_add(cloud->ledger, &station, &act, error);
}

static gboolean run_station_admit(ImpCloud *cloud, Job *job, GError **error)
{
    ImpAct act = {.person = job->email, .reason = body_reason(job)};
    return read_reason(job, TRUE, error) && own_station(cloud, job, &job->id, error) &&
           imp_ledger_station_admit(cloud->ledger, &job->id, &act, error);
}

/* ---- authors ---- */

static gboolean run_authors_list(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error,
        "SELECT key_id, name, public, added_us FROM cloud_author WHERE account = ? ORDER BY name", "t",
        job->account);
    json_t *list = json_array();
    job->answer = json_pack("{s:o}", "authors", list);
    int more = sql != NULL ? 1 : -1;
    while (more > 0 && (more = imp_query_step(sql, error)) > 0) {
        g_autoptr(GBytes) der = g_bytes_new(sqlite3_column_blob(sql, 2), (gsize)sqlite3_column_bytes(sql, 2));
        g_autoptr(ImpKey) key = imp_key_from_public_der(der, error);
        if (key == NULL)
            return FALSE;
        g_autofree char *pem = imp_key_public_pem(key);
        char id[IMP_KEY_ID_TEXT_SIZE];
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:s,s:I}", "key", imp_key_id_text(imp_key_id(key), id),
                                        "name", imp_query_text(sql, 1), "public", pem, "added_us",
                                        (json_int_t)imp_query_int(sql, 3)));
    }
    return more == 0;
}

static gboolean run_authors_add(ImpCloud *cloud, Job *job, GError **error)
{
    ImpJson r;
    imp_json_begin(&r, job->body, "author", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    const char *name = imp_json_string(&r, "name", 1, IMP_KEYRING_NAME_MAX);
    const char *pem = json_string_value(json_object_get(job->body, "public"));
    if (!imp_json_has(&r, "public") || pem == NULL)
        imp_json_fault(&r, "public is a public key in PEM");
    if (!imp_json_end(&r, error) ||
        !check_room(cloud, job->account, NULL, "SELECT count(*) FROM cloud_author WHERE account = ?",
                    IMP_CLOUD_AUTHORS_MAX, error))
        return FALSE;
    g_autoptr(ImpKey) key = imp_key_from_public_pem(pem, error);
    if (key == NULL || !imp_key_check_role(key, IMP_KEY_AUTHOR, "author", error))
        return FALSE;
    g_autoptr(GBytes) der = imp_key_public_der(key);
    gsize n_der;
    gconstpointer der_bytes = g_bytes_get_data(der, &n_der);
    char id[IMP_KEY_ID_TEXT_SIZE];
    imp_key_id_text(imp_key_id(key), id);
    if (!imp_query_run(cloud->db, NULL, error, "INSERT INTO cloud_author VALUES(?,?,?,?,?)", "tbtbi",
                       job->account, imp_key_id(key)->bytes, (gsize)IMP_KEY_ID_BYTES, name, der_bytes, n_der,
                       imp_clock_real_us(cloud->clock))) {
        g_prefix_error(error, "author %s: ", id);
        return FALSE;
    }
    ImpAct act = {.person = job->email, .reason = name};
    job->status = 201;
    job->answer = json_pack("{s:s,s:s}", "key", id, "name", name);
    return imp_ledger_audit_add(cloud->ledger, "author-add", id, &act, error);
}

static gboolean run_authors_remove(ImpCloud *cloud, Job *job, GError **error)
{
    const char *text = imp_http_request_param(job->request, "key");
    ImpKeyId id;
    int removed = 0;
    if (!read_reason(job, FALSE, error))
        return FALSE;
    if (imp_key_id_parse(text, &id) &&
        !imp_query_run(cloud->db, &removed, error,
                       "DELETE FROM cloud_author WHERE account = ? AND key_id = ?", "tb", job->account,
                       id.bytes, sizeof id.bytes))
        return FALSE;
    if (removed == 0) {
        imp_error_set(error, IMP_E_NOT_FOUND, "the account has no author %s", text);
        return FALSE;
    }
    ImpAct act = {.person = job->email, .reason = body_reason(job)};
    return imp_ledger_audit_add(cloud->ledger, "author-remove", text, &act, error);
}

/* ---- pools ---- */

static gboolean run_pools_list(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(GArray) pools = imp_ledger_pool_list(cloud->ledger, job->account, error);
    if (pools == NULL)
        return FALSE;
    json_t *list = json_array();
    for (guint i = 0; i < pools->len; i++) {
        json_array_append_new(list, imp_ledger_pool_view(&g_array_index(pools, ImpLedgerPoolStatus, i)));
    }
    job->answer = json_pack("{s:o}", "pools", list);
    return TRUE;
}

static gboolean run_pools_next(ImpCloud *cloud, Job *job, GError **error)
{
    const char *pool = imp_http_request_param(job->request, "id");
    ImpJson r;
    imp_json_begin(&r, job->body, "request", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    guint64 next = imp_json_u64(&r, "next", 0, G_MAXINT64);
    imp_json_string(&r, "reason", 1, IMP_LEDGER_REASON_SIZE - 1);
    ImpAct act = {.person = job->email, .reason = body_reason(job)};
    return imp_json_end(&r, error) &&
           imp_ledger_pool_set_next(cloud->ledger, job->account, pool, next, &act, error);
}

static gboolean run_pools_split(ImpCloud *cloud, Job *job, GError **error)
{
    const char *pool = imp_http_request_param(job->request, "id");
    guint64 first, last;
    ImpJson r;
    imp_json_begin(&r, job->body, "request", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    guint64 count = imp_json_u64(&r, "count", 1, G_MAXINT64);
    imp_json_string(&r, "reason", 1, IMP_LEDGER_REASON_SIZE - 1);
    ImpAct act = {.person = job->email, .reason = body_reason(job)};
    if (!imp_json_end(&r, error) ||
        !imp_ledger_pool_split(cloud->ledger, job->account, pool, count, &act, &first, &last, error))
        return FALSE;
    job->answer =
        json_pack("{s:s, s:I, s:I}", "pool", pool, "first", (json_int_t)first, "last", (json_int_t)last);
    return TRUE;
}

#define OPERATION(symbol, name_, parse_, run_)                                                               \
    const Operation symbol = {.name = name_, .parse = parse_, .stages = {{STAGE_COMMIT, run_}}}

OPERATION(op_factories_list, "factories", NULL, run_factories_list);
OPERATION(op_factories_add, "factory-add", parse_body, run_factories_add);
OPERATION(op_groups_add, "group-add", parse_body, run_groups_add);
OPERATION(op_codes_add, "code-add", parse_body, run_codes_add);
OPERATION(op_stations_list, "stations", NULL, run_stations_list);
OPERATION(op_station_remove, "station-remove", parse_id_and_body, run_station_remove);
OPERATION(op_station_move, "station-move", parse_id_and_body, run_station_move);
OPERATION(op_station_admit, "station-admit", parse_id_and_body, run_station_admit);
OPERATION(op_authors_list, "authors", NULL, run_authors_list);
OPERATION(op_authors_add, "author-add", parse_body, run_authors_add);
OPERATION(op_authors_remove, "author-remove", parse_body, run_authors_remove);
OPERATION(op_pools_list, "pools", NULL, run_pools_list);
OPERATION(op_pools_next, "pool-next", parse_body, run_pools_next);
OPERATION(op_pools_split, "pool-split", parse_body, run_pools_split);
