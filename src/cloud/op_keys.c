/* What the cloud carries for others and never makes: the shares of images, and the list of authors that the account's root key
 * has signed. */
#include <string.h>

#include <openssl/sha.h>

#include "base/json.h"
#include "cloud/job.h"
#include "image/trust.h"

#define SHARE_BYTES 32

/* ---- shares -------------------------------------------------------------------------------------------------------- */

gboolean share_add_state(ImpCloud *cloud, const ImpId *image, json_t *row, GError **error)
{
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(cloud->db, error, "SELECT share IS NOT NULL FROM cloud_share WHERE image = ?", "b",
                          image, (gsize)IMP_ID_BYTES);
    int found = sql != NULL ? imp_query_step(sql, error) : -1;
    if (found == 1)
        json_object_set_new(row, "share", json_string(imp_query_int(sql, 0) != 0 ? "here" : "missing"));
    return found >= 0;
}

static gboolean parse_share(ImpCloud *cloud, Job *job, GError **error)
{
    job->bytes = g_bytes_ref(imp_http_request_body(job->request));
    if (g_bytes_get_size(job->bytes) == SHARE_BYTES)
        return parse_id(cloud, job, error);
    imp_error_set(error, IMP_E_HTTP_REQUEST, "a share has %d bytes", SHARE_BYTES);
    return FALSE;
}

/* The one that the author's statement names, whoever brings it; again is no error. */
static gboolean run_share(ImpCloud *cloud, Job *job, GError **error)
{
    guint8 digest[IMP_SHA256_BYTES];
    const guint8 *share = g_bytes_get_data(job->bytes, NULL);
    int changed = 0;
    SHA256(share, SHARE_BYTES, digest);
    if (!own_image(cloud, job, &job->id, error) ||
        !imp_query_run(cloud->db, &changed, error,
                       "UPDATE cloud_share SET share = ? WHERE image = ? AND sha256 = ?", "bbb", share,
                       (gsize)SHARE_BYTES, &job->id, (gsize)IMP_ID_BYTES, digest, sizeof digest))
        return FALSE;
    if (changed == 0) {
        imp_error_set(error, IMP_E_CONTENT_DIFFERS, "this is not the share that the image's statement names");
        return FALSE;
    }
    char id[IMP_ID_TEXT_SIZE];
    ImpAct act = {.person = job->email};
    if (!imp_ledger_audit_add(cloud->ledger, "image-share", imp_id_text(&job->id, id), &act, error))
        return FALSE;
    job->answer = image_json(cloud, job->account, &job->id, error);
    return job->answer != NULL;
}

/* Of the images of a factory that are not disabled. Whether a unit may begin now (paused, counted) is said by its permit. */
static gboolean add_shares(ImpCloud *cloud, const char *account, const char *factory, json_t *list,
                           GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error,
        "SELECT i.id, s.share FROM cloud_image i JOIN cloud_share s ON s.image = i.id "
        "WHERE i.account = ? AND i.factory = ? AND s.share IS NOT NULL ORDER BY i.rowid DESC LIMIT ?",
        "tti", account, factory, (gint64)IMP_LEDGER_LIST_MAX);
    int more = sql != NULL ? 1 : -1;
    while (more > 0 && (more = imp_query_step(sql, error)) > 0) {
        ImpId id;
        guint8 share[SHARE_BYTES];
        ImpLedgerImageStatus status;
        if (!imp_query_bytes(sql, 0, &id, sizeof id) || !imp_query_bytes(sql, 1, share, sizeof share)) {
            imp_error_set(error, IMP_E_LEDGER_CORRUPT, "a share's row is damaged");
            return FALSE;
        }
        if (!imp_ledger_image_get(cloud->ledger, &id, &status, error))
            return FALSE;
        if (status.state != IMP_LEDGER_DISABLED && !status.deleted)
            json_array_append_new(
                list, json_pack("{s:o,s:o}", "image", json_id(&id), "share", json_hex(share, sizeof share)));
        explicit_bzero(share, sizeof share);
    }
    return more == 0;
}

gboolean keys_add_to_list(ImpCloud *cloud, const char *account, const char *factory, json_t *answer,
                          GError **error)
{
    json_t *shares = json_array();
    json_object_set_new(answer, "shares", shares);
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(cloud->db, error, "SELECT number FROM cloud_trust WHERE account = ?", "t", account);
    int found = sql != NULL ? imp_query_step(sql, error) : -1;
    if (found == 1)
        json_object_set_new(answer, "trust", json_integer(imp_query_int(sql, 0)));
    return found >= 0 && add_shares(cloud, account, factory, shares, error);
}

/* ---- root key and list of authors ------------------------------------------------------------------------------------ */

gboolean account_root(ImpCloud *cloud, const char *account, gboolean *out_has, guint8 out[IMP_SHA256_BYTES],
                      GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, "SELECT root_sha256 FROM cloud_account WHERE name = ?", "t", account);
    if (sql == NULL || imp_query_step(sql, error) < 0)
        return FALSE;
    *out_has = imp_query_bytes(sql, 0, out, IMP_SHA256_BYTES);
    return TRUE;
}

static gboolean run_root_get(ImpCloud *cloud, Job *job, GError **error)
{
    gboolean has;
    guint8 root[IMP_SHA256_BYTES];
    if (!account_root(cloud, job->account, &has, root, error))
        return FALSE;
    job->answer = json_object();
    if (has)
        json_object_set_new(job->answer, "root", json_hex(root, sizeof root));
    return TRUE;
}

/* Once: stations learn it when they are enrolled and take no other afterwards. */
static gboolean run_root_set(ImpCloud *cloud, Job *job, GError **error)
{
    ImpJson r;
    imp_json_begin(&r, job->body, "root", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    const char *pem = json_string_value(json_object_get(job->body, "public"));
    if (!imp_json_has(&r, "public") || pem == NULL)
        imp_json_fault(&r, "public is a public key in PEM");
    if (!imp_json_end(&r, error))
        return FALSE;
    g_autoptr(ImpKey) key = imp_key_from_public_pem(pem, error);
    gboolean has;
    guint8 root[IMP_SHA256_BYTES];
    if (key == NULL || !imp_key_check_role(key, IMP_KEY_ROOT, "root", error) ||
        !account_root(cloud, job->account, &has, root, error))
        return FALSE;
    const ImpKeyId *id = imp_key_id(key);
    char text[IMP_KEY_ID_TEXT_SIZE];
    if (has && memcmp(root, id->bytes, sizeof root) != 0) {
        imp_error_set(error, IMP_E_EXISTS, "the account has another root key, which its stations know");
        return FALSE;
    }
    job->answer = json_pack("{s:s}", "root", imp_key_id_text(id, text));
    if (has)
        return TRUE;
    ImpAct act = {.person = job->email};
    return imp_query_run(cloud->db, NULL, error, "UPDATE cloud_account SET root_sha256 = ? WHERE name = ?",
                         "bt", id->bytes, (gsize)IMP_KEY_ID_BYTES, job->account) &&
           imp_ledger_audit_add(cloud->ledger, "root-set", text, &act, error);
}

/* The account's list, as its root key signed it; NULL without error: none. */
static GBytes *load_list(ImpCloud *cloud, const char *account, guint64 *out_number, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, "SELECT number, list FROM cloud_trust WHERE account = ?", "t", account);
    if (sql == NULL || imp_query_step(sql, error) != 1)
        return NULL;
    *out_number = (guint64)imp_query_int(sql, 0);
    return g_bytes_new(sqlite3_column_blob(sql, 1), (gsize)sqlite3_column_bytes(sql, 1));
}

static gboolean parse_list(ImpCloud *cloud, Job *job, GError **error)
{
    job->bytes = g_bytes_ref(imp_http_request_body(job->request));
    return TRUE;
}

static gboolean run_trust_set(ImpCloud *cloud, Job *job, GError **error)
{
    gboolean has;
    ImpKeyId root;
    guint64 number = 0;
    g_autoptr(GError) own = NULL;
    if (!account_root(cloud, job->account, &has, root.bytes, error))
        return FALSE;
    if (!has) {
        imp_error_set(error, IMP_E_STATE, "the account has no root key yet");
        return FALSE;
    }
    g_autoptr(ImpTrustList) list = imp_trust_list_verify(job->bytes, &root, error);
    if (list == NULL)
        return FALSE;
    g_autoptr(GBytes) known = load_list(cloud, job->account, &number, &own);
    if (own != NULL) {
        g_propagate_error(error, g_steal_pointer(&own));
        return FALSE;
    }
    job->answer = json_pack("{s:I,s:I}", "number", (json_int_t)list->number, "authors",
                            (json_int_t)imp_keyring_size(list->authors));
    if (known != NULL && g_bytes_equal(known, job->bytes))
        return TRUE;
    if (known != NULL && list->number <= number) {
        imp_error_set(error, IMP_E_TRUST_OLD,
                      "the list has number %" G_GUINT64_FORMAT
                      ", the one that is here has %" G_GUINT64_FORMAT,
                      list->number, number);
        return FALSE;
    }
    gsize n_bytes;
    gconstpointer bytes = g_bytes_get_data(job->bytes, &n_bytes);
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, list->number);
    ImpAct act = {.person = job->email};
    return imp_query_run(cloud->db, NULL, error, "INSERT OR REPLACE INTO cloud_trust VALUES(?,?,?)", "tib",
                         job->account, (gint64)list->number, bytes, n_bytes) &&
           imp_ledger_audit_add(cloud->ledger, "trust-set", text, &act, error);
}

/* {"number", "list": hexadecimal}, or {} */
static gboolean answer_list(ImpCloud *cloud, Job *job, const char *account, GError **error)
{
    guint64 number = 0;
    g_autoptr(GError) own = NULL;
    g_autoptr(GBytes) list = load_list(cloud, account, &number, &own);
    if (own != NULL) {
        g_propagate_error(error, g_steal_pointer(&own));
        return FALSE;
    }
    job->answer = json_object();
    if (list != NULL) {
        json_object_set_new(job->answer, "number", json_integer((json_int_t)number));
        json_object_set_new(job->answer, "list",
                            json_hex(g_bytes_get_data(list, NULL), g_bytes_get_size(list)));
    }
    return TRUE;
}

static gboolean run_trust_get(ImpCloud *cloud, Job *job, GError **error)
{
    return answer_list(cloud, job, job->account, error);
}

static gboolean run_station_trust(ImpCloud *cloud, Job *job, GError **error)
{
    ImpLedgerStation station;
    if (!active_station(cloud, job, &station, error))
        return FALSE;
    return answer_list(cloud, job, station.account, error);
}

const Operation op_image_share = {
    .name = "image-share", .parse = parse_share, .stages = {{STAGE_COMMIT, run_share}}};
const Operation op_station_trust = {.name = "station-trust", .stages = {{STAGE_COMMIT, run_station_trust}}};
const Operation op_root_get = {.name = "root", .stages = {{STAGE_COMMIT, run_root_get}}};
const Operation op_root_set = {
    .name = "root-set", .parse = parse_body, .stages = {{STAGE_COMMIT, run_root_set}}};
const Operation op_trust_get = {.name = "trust", .stages = {{STAGE_COMMIT, run_trust_get}}};
const Operation op_trust_set = {
    .name = "trust-set", .parse = parse_list, .stages = {{STAGE_COMMIT, run_trust_set}}};
