/* What stations ask: enrolment, sync, images. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "cloud/job.h"
#include "image/keys.h"
#include "wire/codec.h"
#include "wire/enrol.h"

/* ---- enrolment ---- */

static GBytes *parse_sealing_key(const char *pem, GError **error)
{
    g_autoptr(ImpKey) key = imp_key_from_public_pem(pem, error);
    if (key != NULL && imp_key_check_role(key, IMP_KEY_STATION, "enrolment", error))
        return imp_key_public_der(key);
    g_prefix_error(error, "sealing_key: ");
    return NULL;
}

/* Everything but the code itself, so that a stranger costs the database nothing. */
static gboolean parse_enrol(ImpCloud *cloud, Job *job, GError **error)
{
    if (!parse_body(cloud, job, error))
        return FALSE;
    guint8 secret[IMP_ENROL_SECRET_BYTES];
    ImpJson r;
    imp_json_begin(&r, job->body, "enrol", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    imp_json_hex(&r, "secret", secret, sizeof secret);
    const char *name = imp_json_string(&r, "name", 1, IMP_WIRE_NAME_SIZE - 1);
    const json_t *csr = json_object_get(job->body, "csr"), *key = json_object_get(job->body, "sealing_key");
    /* PEM has line ends, which imp_json_string takes for control characters. */
    if (!imp_json_has(&r, "csr") || !json_is_string(csr) || !imp_json_has(&r, "sealing_key") ||
        !json_is_string(key))
        imp_json_fault(&r, "csr and sealing_key are PEM texts");
    if (!imp_json_end(&r, error) || !parse_name("name", name, error))
        return FALSE;
    job->bytes = parse_sealing_key(json_string_value(key), error);
    if (job->bytes != NULL)
        job->csr = imp_csr_parse(json_string_value(csr), error);
    return job->csr != NULL;
}

typedef struct {
    char account[IMP_WIRE_NAME_SIZE], factory[IMP_WIRE_NAME_SIZE], group[IMP_WIRE_NAME_SIZE];
    char made_by[IMP_WIRE_NAME_SIZE];
    gboolean used;
    ImpId station;
} Code;

static gboolean find_code(ImpCloud *cloud, const guint8 hash[TOKEN_HASH_BYTES], Code *out, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error,
        "SELECT account, factory, grp, made_by, station, expires_us FROM cloud_code WHERE hash = ?", "b",
        hash, (gsize)TOKEN_HASH_BYTES);
    int found = sql != NULL ? imp_query_step(sql, error) : -1;
    if (found < 0)
        return FALSE;
    *out = (Code){0};
    out->used = found == 1 && imp_query_bytes(sql, 4, &out->station, sizeof out->station);
    /* A used code does not expire: the station that lost the answer asks again, whenever it comes back. */
    if (found == 0 || (!out->used && imp_query_int(sql, 5) <= imp_clock_real_us(cloud->clock))) {
        imp_error_set(error, IMP_E_ENROL_CODE_UNKNOWN,
                      "the enrolment code is not known, or its time is over");
        return FALSE;
    }
    g_strlcpy(out->account, imp_query_text(sql, 0), sizeof out->account);
    g_strlcpy(out->factory, imp_query_text(sql, 1), sizeof out->factory);
    g_strlcpy(out->group, imp_query_text(sql, 2), sizeof out->group);
    g_strlcpy(out->made_by, imp_query_text(sql, 3), sizeof out->made_by);
    return TRUE;
}

static gboolean answer_enrolled(ImpCloud *cloud, Job *job, const ImpId *station, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, "SELECT certificate, account, factory, grp FROM cloud_station WHERE id = ?", "b",
        station, (gsize)IMP_ID_BYTES);
    if (sql == NULL || imp_query_step(sql, error) != 1) {
        if (error != NULL && *error == NULL)
            imp_error_set(error, IMP_E_LEDGER_CORRUPT, "an enrolled station has no row");
        return FALSE;
    }
    job->answer =
        json_pack("{s:o,s:s,s:s,s:s,s:s,s:s}", "station", json_id(station), "certificate",
                  imp_query_text(sql, 0), "ca", imp_ca_cert_pem(cloud->ca), "account", imp_query_text(sql, 1),
                  "factory", imp_query_text(sql, 2), "group", imp_query_text(sql, 3));
    return TRUE;
}

/* The code was used: only the keys that used it get the answer again. */
static gboolean check_same_keys(ImpCloud *cloud, Job *job, const Code *code, GError **error)
{
    g_autoptr(GBytes) key = imp_csr_key(job->csr);
    gsize n_key;
    gsize n_sealing;
    gconstpointer key_bytes = g_bytes_get_data(key, &n_key);
    gconstpointer sealing = g_bytes_get_data(job->bytes, &n_sealing);
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, "SELECT 1 FROM cloud_station WHERE id = ? AND tls_key = ? AND sealing_key = ?",
        "bbb", &code->station, (gsize)IMP_ID_BYTES, key_bytes, n_key, sealing, n_sealing);
    int found = sql != NULL ? imp_query_step(sql, error) : -1;
    if (found == 0)
        imp_error_set(error, IMP_E_ENROL_CODE_BOUND, "the enrolment code was used by another station");
    return found == 1;
}

static gboolean add_station(ImpCloud *cloud, Job *job, const Code *code, const guint8 hash[TOKEN_HASH_BYTES],
                            const ImpId *station, GError **error)
{
    const char *name = json_string_value(json_object_get(job->body, "name"));
    g_autoptr(ImpQuery) taken =
        imp_query_prepare(cloud->db, error, "SELECT 1 FROM cloud_station WHERE account = ? AND name = ?",
                          "tt", code->account, name);
    int found = taken != NULL ? imp_query_step(taken, error) : -1;
    if (found == 1)
        imp_error_set(error, IMP_E_EXISTS, "the account has a station '%s' already", name);
    if (found != 0)
        return FALSE;
    g_autofree char *certificate = imp_ca_issue_station(cloud->ca, job->csr, station, error);
    if (certificate == NULL)
        return FALSE;
    g_autoptr(GBytes) key = imp_csr_key(job->csr);
    gsize n_key, n_sealing;
    gconstpointer key_bytes = g_bytes_get_data(key, &n_key);
    gconstpointer sealing = g_bytes_get_data(job->bytes, &n_sealing);
    ImpLedgerStation row = {.id = *station};
    g_strlcpy(row.account, code->account, sizeof row.account);
    g_strlcpy(row.scope, code->factory, sizeof row.scope);
    g_strlcpy(row.name, name, sizeof row.name);
    ImpAct act = {.person = code->made_by, .reason = "enrolment code"};
    return imp_query_run(cloud->db, NULL, error, "INSERT INTO cloud_station VALUES(?,?,?,?,?,?,?,?)",
                         "bttttbbt", station, (gsize)IMP_ID_BYTES, code->account, name, code->factory,
                         code->group, key_bytes, n_key, sealing, n_sealing, certificate) &&
           imp_query_run(cloud->db, NULL, error, "UPDATE cloud_code SET station = ? WHERE hash = ?", "bb",
                         station, (gsize)IMP_ID_BYTES, hash, (gsize)TOKEN_HASH_BYTES) &&
           imp_ledger_station_add(cloud->ledger, &row, &act, error);
}

static gboolean run_enrol(ImpCloud *cloud, Job *job, GError **error)
{
    guint8 hash[TOKEN_HASH_BYTES];
    token_hash(json_string_value(json_object_get(job->body, "secret")), hash);
    Code code;
    if (!find_code(cloud, hash, &code, error))
        return FALSE;
    if (code.used)
        return check_same_keys(cloud, job, &code, error) && answer_enrolled(cloud, job, &code.station, error);
    ImpId station = imp_id_ordered(cloud->clock, cloud->random);
    return factory_exists(cloud, code.account, code.factory, code.group, error) &&
           add_station(cloud, job, &code, hash, &station, error) &&
           answer_enrolled(cloud, job, &station, error);
}

/* ---- sync ---- */

static gboolean parse_sync(ImpCloud *cloud, Job *job, GError **error)
{
    gsize n_bytes;
    const char *text = g_bytes_get_data(imp_http_request_body(job->request), &n_bytes);
    job->sync = imp_sync_request_decode(text != NULL ? text : "", n_bytes, error);
    if (job->sync == NULL)
        return FALSE;
    job->counts_for_kill = job->sync->n_reports + job->sync->n_refreshes + job->sync->n_wants > 0;
    return TRUE;
}

static gboolean run_sync(ImpCloud *cloud, Job *job, GError **error)
{
    return imp_ledger_sync(cloud->ledger, &job->station, job->sync, &job->sync_response, error);
}

/* ---- images ---- */

/* The station as the database has it; a removed one gets nothing here. */
gboolean active_station(ImpCloud *cloud, Job *job, ImpLedgerStation *out, GError **error)
{
    if (!imp_ledger_station_get(cloud->ledger, &job->station, out, error))
        return FALSE;
    if (out->removed) {
        imp_error_set(error, IMP_E_STATION_UNKNOWN, "this station was removed from its account");
        return FALSE;
    }
    return TRUE;
}

static const char *state_name(ImpLedgerImageState state)
{
    return state == IMP_LEDGER_ACTIVE ? "active" : state == IMP_LEDGER_PAUSED ? "paused" : "disabled";
}

#define STATION_IMAGE                                                                                        \
    "SELECT id, name, version, device, factory, file_bytes, file_sha256, header_sha256 FROM cloud_image "    \
    "WHERE account = ? AND factory = ? "

/* Adds the row's image to list, unless it was deleted. */
static gboolean add_entry(ImpCloud *cloud, ImpQuery *sql, json_t *list, GError **error)
{
    ImpId id;
    guint8 file[IMP_SHA256_BYTES], header[IMP_SHA256_BYTES];
    ImpLedgerImageStatus status;
    if (!imp_query_bytes(sql, 0, &id, sizeof id) || !imp_query_bytes(sql, 6, file, sizeof file) ||
        !imp_query_bytes(sql, 7, header, sizeof header)) {
        imp_error_set(error, IMP_E_LEDGER_CORRUPT, "an image's row is damaged");
        return FALSE;
    }
    if (!imp_ledger_image_get(cloud->ledger, &id, &status, error))
        return FALSE;
    if (status.deleted)
        return TRUE;
    json_array_append_new(list,
                          json_pack("{s:o,s:s,s:s,s:s,s:s,s:s,s:I,s:o,s:o}", "image", json_id(&id), "name",
                                    imp_query_text(sql, 1), "version", imp_query_text(sql, 2), "device",
                                    imp_query_text(sql, 3), "factory", imp_query_text(sql, 4), "state",
                                    state_name(status.state), "file_bytes", (json_int_t)imp_query_int(sql, 5),
                                    "file_sha256", json_hex(file, sizeof file), "header_sha256",
                                    json_hex(header, sizeof header)));
    return TRUE;
}

static gboolean run_station_images(ImpCloud *cloud, Job *job, GError **error)
{
    ImpLedgerStation station;
    if (!active_station(cloud, job, &station, error))
        return FALSE;
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, STATION_IMAGE "AND file_sha256 IS NOT NULL ORDER BY rowid DESC LIMIT ?", "tti",
        station.account, station.scope, (gint64)IMP_LEDGER_LIST_MAX);
    json_t *list = json_array();
    int more = sql != NULL ? 1 : -1;
    while (more > 0 && (more = imp_query_step(sql, error)) > 0)
        if (!add_entry(cloud, sql, list, error))
            more = -1;
    if (more == 0)
        job->answer = json_pack("{s:O}", "images", list);
    json_decref(list);
    return more == 0 && keys_add_to_list(cloud, station.account, station.scope, job->answer, error);
}

static gboolean run_station_content(ImpCloud *cloud, Job *job, GError **error)
{
    ImpLedgerStation station;
    if (!active_station(cloud, job, &station, error))
        return FALSE;
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(cloud->db, error, STATION_IMAGE "AND id = ?", "ttb", station.account, station.scope,
                          &job->id, (gsize)IMP_ID_BYTES);
    int found = sql != NULL ? imp_query_step(sql, error) : -1;
    guint8 sha256[IMP_SHA256_BYTES];
    if (found == 0)
        imp_error_set(error, IMP_E_IMAGE_NOT_RELEASED,
                      "that image is not released for this station's factory");
    if (found != 1)
        return FALSE;
    if (sqlite3_column_type(sql, 6) == SQLITE_NULL) {
        imp_error_set(error, IMP_E_CONTENT_MISSING,
                      "image \"%s\" is registered, but its file has not been uploaded to the cloud",
                      imp_query_text(sql, 1));
        return FALSE;
    }
    if (!imp_query_bytes(sql, 6, sha256, sizeof sha256)) {
        imp_error_set(error, IMP_E_LEDGER_CORRUPT, "an image's row is damaged");
        return FALSE;
    }
    g_autofree char *path = content_path(cloud, &job->id, sha256);
    struct stat info;
    job->file_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (job->file_fd < 0 || fstat(job->file_fd, &info) != 0 || info.st_size != imp_query_int(sql, 5)) {
        imp_error_set(error, IMP_E_CLOUD_FOLDER, "%s: missing or damaged", path);
        return FALSE;
    }
    job->file_bytes = (guint64)info.st_size;
    job->etag = imp_hex_encode(sha256, sizeof sha256);
    return TRUE;
}

const Operation op_enrol = {.name = "enrol", .parse = parse_enrol, .stages = {{STAGE_COMMIT, run_enrol}}};
const Operation op_sync = {.name = "sync", .parse = parse_sync, .stages = {{STAGE_COMMIT, run_sync}}};
const Operation op_station_images = {.name = "station-images",
                                     .stages = {{STAGE_COMMIT, run_station_images}}};
const Operation op_station_content = {
    .name = "station-content", .parse = parse_id, .stages = {{STAGE_COMMIT, run_station_content}}};
