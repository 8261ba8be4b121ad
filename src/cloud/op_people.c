/* People, their passwords and tokens. */
#include <string.h>

#include "base/json.h"
#include "cloud/job.h"

#define TOKEN_ID_BYTES 8
#define HOUR_US        ((gint64)3600 * G_USEC_PER_SEC)

static gboolean parse_email(const char *email, GError **error)
{
    const char *at = strchr(email, '@');
    gsize n_bytes = strlen(email);
    gboolean good = at != NULL && at > email && at[1] != '\0' && strchr(at + 1, '@') == NULL &&
                    n_bytes < IMP_WIRE_NAME_SIZE;
    for (const char *c = email; good && *c != '\0'; c++)
        good = g_ascii_isgraph(*c) && *c != '/' && !g_ascii_isupper(*c);
    if (!good)
        imp_error_set(error, IMP_E_HTTP_REQUEST, "email: like name@example.com, lower case, at most %d bytes",
                      IMP_WIRE_NAME_SIZE - 1);
    return good;
}

/* Inserts a token and puts it into the answer. */
static gboolean issue_token(ImpCloud *cloud, Job *job, const char *name, guint32 role, gint64 expires_us,
                            GError **error)
{
    guint8 hash[TOKEN_HASH_BYTES], id_bytes[TOKEN_ID_BYTES];
    imp_random_fill(cloud->random, id_bytes, sizeof id_bytes);
    g_autofree char *id = imp_hex_encode(id_bytes, sizeof id_bytes);
    char *token = token_make(cloud->random);
    token_hash(token, hash);
    gint64 now = imp_clock_real_us(cloud->clock);
    gboolean good =
        imp_query_run(cloud->db, NULL, error, "DELETE FROM cloud_token WHERE expires_us <= ?", "i", now) &&
        imp_query_run(cloud->db, NULL, error, "INSERT INTO cloud_token VALUES(?,?,?,?,?,?,?)", "btttiii",
                      hash, sizeof hash, id, job->email, name, (gint64)role, now, expires_us);
    if (good) {
        cloud->tokens_changed = TRUE;
        job->answer = json_pack("{s:s,s:s,s:I,s:s,s:s,s:s}", "id", id, "token", token, "expires_us",
                                (json_int_t)expires_us, "role", role_name(role), "account", job->account,
                                "email", job->email);
    }
    wipe_free(token);
    return good;
}

/* FALSE and an error when a table has as many rows as it may. */
static gboolean check_room(ImpCloud *cloud, const char *count_sql, gint64 max, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(cloud->db, error, count_sql, "");
    if (sql == NULL || imp_query_step(sql, error) < 0)
        return FALSE;
    if (imp_query_int(sql, 0) < max)
        return TRUE;
    imp_error_set(error, IMP_E_LIMIT, "there may be at most %" G_GINT64_FORMAT, max);
    return FALSE;
}

/* ---- login: look up, compare (worker), issue ---- */

static gboolean parse_login(ImpCloud *cloud, Job *job, GError **error)
{
    if (!parse_body(cloud, job, error))
        return FALSE;
    ImpJson r;
    imp_json_begin(&r, job->body, "login", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    const char *email = imp_json_string(&r, "email", 1, IMP_WIRE_NAME_SIZE - 1);
    job->secret_text = g_strdup(imp_json_string(&r, "password", 0, IMP_CLOUD_PASSWORD_MAX));
    if (!imp_json_end(&r, error))
        return FALSE;
    g_strlcpy(job->email, email, sizeof job->email);
    return TRUE;
}

static gboolean run_login_find(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, "SELECT password, account, role FROM cloud_person WHERE email = ?", "t",
        job->email);
    int found = sql != NULL ? imp_query_step(sql, error) : -1;
    if (found < 0)
        return FALSE;
    job->secret_hash = g_strdup(found == 1 ? imp_query_text(sql, 0) : password_dummy());
    g_strlcpy(job->account, found == 1 ? imp_query_text(sql, 1) : "", sizeof job->account);
    job->role = found == 1 ? (guint32)imp_query_int(sql, 2) : 0;
    return TRUE;
}

static gboolean work_login_verify(ImpCloud *cloud, Job *job, GError **error)
{
    if (password_verify(job->secret_hash, job->secret_text) && job->role != 0)
        return TRUE;
    imp_error_set(error, IMP_E_LOGIN_FAILED, "the e-mail address or the password is wrong");
    return FALSE;
}

static gboolean run_login_issue(ImpCloud *cloud, Job *job, GError **error)
{
    /* The password may have been changed meanwhile, the person removed. */
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(cloud->db, error, "SELECT 1 FROM cloud_person WHERE email = ? AND password = ?",
                          "tt", job->email, job->secret_hash);
    int found = sql != NULL ? imp_query_step(sql, error) : -1;
    if (found == 0)
        imp_error_set(error, IMP_E_LOGIN_FAILED, "the e-mail address or the password is wrong");
    return found == 1 && check_room(cloud, "SELECT count(*) FROM cloud_token", IMP_CLOUD_TOKENS_MAX, error) &&
           issue_token(cloud, job, "login", job->role,
                       imp_clock_real_us(cloud->clock) + IMP_CLOUD_LOGIN_HOURS * HOUR_US, error);
}

static gboolean run_logout(ImpCloud *cloud, Job *job, GError **error)
{
    cloud->tokens_changed = TRUE;
    return imp_query_run(cloud->db, NULL, error, "DELETE FROM cloud_token WHERE hash = ?", "b",
                         job->token_hash, sizeof job->token_hash);
}

/* ---- people ---- */

static gboolean run_people_list(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, "SELECT email, role, added_us FROM cloud_person WHERE account = ? ORDER BY email",
        "t", job->account);
    json_t *list = json_array();
    int more = sql != NULL ? 1 : -1;
    while (more > 0 && (more = imp_query_step(sql, error)) > 0)
        json_array_append_new(list, json_pack("{s:s,s:s,s:I}", "email", imp_query_text(sql, 0), "role",
                                              role_name((guint32)imp_query_int(sql, 1)), "added_us",
                                              (json_int_t)imp_query_int(sql, 2)));
    job->answer = json_pack("{s:o}", "people", list);
    return more == 0;
}

static gboolean parse_people_add(ImpCloud *cloud, Job *job, GError **error)
{
    static const char *const words[] = {"owner", "engineer", "operator", "auditor"};
    if (!parse_body(cloud, job, error))
        return FALSE;
    ImpJson r;
    imp_json_begin(&r, job->body, "person", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    const char *email = imp_json_string(&r, "email", 1, IMP_WIRE_NAME_SIZE - 1);
    imp_json_word(&r, "role", words, G_N_ELEMENTS(words));
    job->secret_text = g_strdup(imp_json_string(&r, "password", 0, IMP_CLOUD_PASSWORD_MAX));
    return imp_json_end(&r, error) && parse_email(email, error) && password_check(job->secret_text, error);
}

static gboolean work_hash(ImpCloud *cloud, Job *job, GError **error)
{
    job->secret_hash = password_hash(job->secret_text, error);
    return job->secret_hash != NULL;
}

static gboolean run_people_add(ImpCloud *cloud, Job *job, GError **error)
{
    const char *email = json_string_value(json_object_get(job->body, "email"));
    const char *role = json_string_value(json_object_get(job->body, "role"));
    ImpAct act = {.person = job->email, .reason = role};
    if (!check_room(cloud, "SELECT count(*) FROM cloud_person", IMP_CLOUD_PEOPLE_MAX, error))
        return FALSE;
    if (!imp_query_run(cloud->db, NULL, error, "INSERT INTO cloud_person VALUES(?,?,?,?,?)", "ttiti", email,
                       job->account, (gint64)role_parse(role), job->secret_hash,
                       imp_clock_real_us(cloud->clock))) {
        g_prefix_error(error, "person '%s': ", email);
        return FALSE;
    }
    job->status = 201;
    job->answer = json_pack("{s:s,s:s}", "email", email, "role", role);
    return imp_ledger_audit_add(cloud->ledger, "person-add", email, &act, error);
}

static gboolean run_people_remove(ImpCloud *cloud, Job *job, GError **error)
{
    const char *email = imp_http_request_param(job->request, "email");
    int removed = 0;
    ImpAct act = {.person = job->email, .reason = body_reason(job)};
    if (!imp_query_run(cloud->db, &removed, error, "DELETE FROM cloud_person WHERE email = ? AND account = ?",
                       "tt", email, job->account))
        return FALSE;
    if (removed == 0) {
        imp_error_set(error, IMP_E_NOT_FOUND, "there is no person '%s'", email);
        return FALSE;
    }
    g_autoptr(ImpQuery) owners = imp_query_prepare(
        cloud->db, error, "SELECT count(*) FROM cloud_person WHERE account = ? AND role = ?", "ti",
        job->account, (gint64)ROLE_OWNER);
    if (owners == NULL || imp_query_step(owners, error) < 0)
        return FALSE;
    if (imp_query_int(owners, 0) == 0) {
        imp_error_set(error, IMP_E_LAST_OWNER, "'%s' is the only owner", email);
        return FALSE;
    }
    cloud->tokens_changed = TRUE;
    return imp_query_run(cloud->db, NULL, error, "DELETE FROM cloud_token WHERE email = ?", "t", email) &&
           imp_ledger_audit_add(cloud->ledger, "person-remove", email, &act, error);
}

/* ---- one's own password: find, verify and hash (worker), change ---- */

static gboolean parse_password(ImpCloud *cloud, Job *job, GError **error)
{
    if (!parse_body(cloud, job, error))
        return FALSE;
    ImpJson r;
    imp_json_begin(&r, job->body, "password", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    job->secret_text = g_strdup(imp_json_string(&r, "old", 0, IMP_CLOUD_PASSWORD_MAX));
    const char *new_password = imp_json_string(&r, "new", 0, IMP_CLOUD_PASSWORD_MAX);
    return imp_json_end(&r, error) && password_check(new_password, error);
}

static gboolean run_password_find(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, "SELECT password FROM cloud_person WHERE email = ?", "t", job->email);
    if (sql == NULL || imp_query_step(sql, error) < 0)
        return FALSE;
    job->secret_hash = g_strdup(imp_query_text(sql, 0));
    return TRUE;
}

static gboolean work_password(ImpCloud *cloud, Job *job, GError **error)
{
    if (!password_verify(job->secret_hash, job->secret_text)) {
        imp_error_set(error, IMP_E_LOGIN_FAILED, "the old password is wrong");
        return FALSE;
    }
    job->text = g_steal_pointer(&job->secret_hash); /* the old one, for the comparison below */
    job->secret_hash = password_hash(json_string_value(json_object_get(job->body, "new")), error);
    return job->secret_hash != NULL;
}

static gboolean run_password_change(ImpCloud *cloud, Job *job, GError **error)
{
    int changed = 0;
    char *old = g_steal_pointer(&job->text);
    gboolean good = imp_query_run(cloud->db, &changed, error,
                                  "UPDATE cloud_person SET password = ? WHERE email = ? AND password = ?",
                                  "ttt", job->secret_hash, job->email, old);
    wipe_free(old);
    if (good && changed == 0) {
        imp_error_set(error, IMP_E_STATE, "the password was changed meanwhile");
        good = FALSE;
    }
    ImpAct act = {.person = job->email};
    cloud->tokens_changed = TRUE;
    return good &&
           imp_query_run(cloud->db, NULL, error, "DELETE FROM cloud_token WHERE email = ? AND hash <> ?",
                         "tb", job->email, job->token_hash, sizeof job->token_hash) &&
           imp_ledger_audit_add(cloud->ledger, "password-change", job->email, &act, error);
}

/* ---- tokens of programs ---- */

static gboolean run_tokens_list(ImpCloud *cloud, Job *job, GError **error)
{
    /* An owner sees those of the account, others their own. */
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(cloud->db, error,
                          "SELECT t.id, t.name, t.email, t.role, t.made_us, t.expires_us FROM cloud_token t "
                          "JOIN cloud_person p ON p.email = t.email WHERE p.account = ? AND (? OR t.email = "
                          "?) ORDER BY t.made_us",
                          "tit", job->account, (gint64)(job->role == ROLE_OWNER), job->email);
    json_t *list = json_array();
    int more = sql != NULL ? 1 : -1;
    while (more > 0 && (more = imp_query_step(sql, error)) > 0)
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s,s:I,s:I}", "id", imp_query_text(sql, 0),
                                              "name", imp_query_text(sql, 1), "email", imp_query_text(sql, 2),
                                              "role", role_name((guint32)imp_query_int(sql, 3)), "made_us",
                                              (json_int_t)imp_query_int(sql, 4), "expires_us",
                                              (json_int_t)imp_query_int(sql, 5)));
    job->answer = json_pack("{s:o}", "tokens", list);
    return more == 0;
}

static gboolean run_tokens_add(ImpCloud *cloud, Job *job, GError **error)
{
    static const char *const words[] = {"owner", "engineer", "operator", "auditor"};
    ImpJson r;
    imp_json_begin(&r, job->body, "token", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    const char *name = imp_json_string(&r, "name", 1, IMP_WIRE_NAME_SIZE - 1);
    guint word = imp_json_word(&r, "role", words, G_N_ELEMENTS(words));
    guint64 days = imp_json_u64(&r, "days", 1, IMP_CLOUD_TOKEN_DAYS_MAX);
    if (!imp_json_end(&r, error))
        return FALSE;
    guint32 role = role_parse(words[word]);
    if ((role & role_covers(job->role)) == 0) {
        imp_error_set(error, IMP_E_HTTP_FORBIDDEN, "a token can have no role that its maker does not have");
        return FALSE;
    }
    ImpAct act = {.person = job->email, .reason = words[word]};
    job->status = 201;
    return check_room(cloud, "SELECT count(*) FROM cloud_token", IMP_CLOUD_TOKENS_MAX, error) &&
           issue_token(cloud, job, name, role, imp_clock_real_us(cloud->clock) + (gint64)days * 24 * HOUR_US,
                       error) &&
           imp_ledger_audit_add(cloud->ledger, "token-add", name, &act, error);
}

static gboolean run_tokens_revoke(ImpCloud *cloud, Job *job, GError **error)
{
    const char *id = imp_http_request_param(job->request, "id");
    int removed = 0;
    ImpAct act = {.person = job->email, .reason = body_reason(job)};
    if (!imp_query_run(cloud->db, &removed, error,
                       "DELETE FROM cloud_token WHERE id = ? AND (email = ? OR (? AND email IN "
                       "(SELECT email FROM cloud_person WHERE account = ?)))",
                       "ttit", id, job->email, (gint64)(job->role == ROLE_OWNER), job->account))
        return FALSE;
    if (removed == 0) {
        imp_error_set(error, IMP_E_NOT_FOUND, "there is no token '%s' of yours", id);
        return FALSE;
    }
    cloud->tokens_changed = TRUE;
    return imp_ledger_audit_add(cloud->ledger, "token-revoke", id, &act, error);
}

const Operation op_login = {.name = "login",
                            .parse = parse_login,
                            .stages = {{STAGE_COMMIT, run_login_find},
                                       {STAGE_WORK, work_login_verify},
                                       {STAGE_COMMIT, run_login_issue}}};
const Operation op_logout = {.name = "logout", .parse = parse_body, .stages = {{STAGE_COMMIT, run_logout}}};
const Operation op_people_list = {.name = "people", .stages = {{STAGE_COMMIT, run_people_list}}};
const Operation op_people_add = {.name = "person-add",
                                 .parse = parse_people_add,
                                 .stages = {{STAGE_WORK, work_hash}, {STAGE_COMMIT, run_people_add}}};
const Operation op_people_remove = {
    .name = "person-remove", .parse = parse_body, .stages = {{STAGE_COMMIT, run_people_remove}}};
const Operation op_password = {.name = "password",
                               .parse = parse_password,
                               .stages = {{STAGE_COMMIT, run_password_find},
                                          {STAGE_WORK, work_password},
                                          {STAGE_COMMIT, run_password_change}}};
const Operation op_tokens_list = {.name = "tokens", .stages = {{STAGE_COMMIT, run_tokens_list}}};
const Operation op_tokens_add = {
    .name = "token-add", .parse = parse_body, .stages = {{STAGE_COMMIT, run_tokens_add}}};
const Operation op_tokens_revoke = {
    .name = "token-revoke", .parse = parse_body, .stages = {{STAGE_COMMIT, run_tokens_revoke}}};
