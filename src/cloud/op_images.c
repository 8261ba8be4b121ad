/* JOB images: registration by the author's statement, content, states. */
#include <string.h>

#include "base/json.h"
#include "cloud/job.h"
#include "image/keys.h"
#include "image/statement.h"

/* ---- one image as people see it ---- */

static const char *state_name(ImpLedgerImageState state)
{
    return state == IMP_LEDGER_ACTIVE ? "active" : state == IMP_LEDGER_PAUSED ? "paused" : "disabled";
}

static void add_limits(json_t *row, const ImpLedgerLimits *limits)
{
    if (limits->has_units)
        json_object_set_new(row, "units", json_integer((json_int_t)limits->units));
    if (limits->has_max_failures)
        json_object_set_new(row, "max_failures", json_integer((json_int_t)limits->max_failures));
    if (limits->has_not_before)
        json_object_set_new(row, "not_before_s", json_integer(limits->not_before_s));
    if (limits->has_not_after)
        json_object_set_new(row, "not_after_s", json_integer(limits->not_after_s));
    json_object_set_new(row, "count_on",
                        json_string(limits->count_on == IMP_LEDGER_COUNT_ON_WRITE ? "write" : "pass"));
}

static json_t *counts_json(const ImpLedgerImageStatus *s)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "open", (json_int_t)s->open, "passed",
                     (json_int_t)s->passed, "failed", (json_int_t)s->failed, "spent", (json_int_t)s->spent,
                     "unknown", (json_int_t)s->unknown, "lost", (json_int_t)s->lost, "returned",
                     (json_int_t)s->returned, "failures", (json_int_t)(s->spent + s->unknown));
}

json_t *image_json(ImpCloud *cloud, const char *account, const ImpId *id, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error,
        "SELECT name, version, device, factory, author, file_bytes, file_sha256 FROM cloud_image "
        "WHERE id = ? AND account = ?",
        "bt", id, (gsize)IMP_ID_BYTES, account);
    int found = sql != NULL ? imp_query_step(sql, error) : -1;
    char text[IMP_ID_TEXT_SIZE];
    if (found == 0)
        imp_error_set(error, IMP_E_IMAGE_UNKNOWN, "no image %s is registered", imp_id_text(id, text));
    ImpLedgerImageStatus s;
    ImpKeyId author = {0};
    guint8 sha256[IMP_SHA256_BYTES];
    if (found != 1 || !imp_ledger_image_get(cloud->ledger, id, &s, error))
        return NULL;
    imp_query_bytes(sql, 4, &author, sizeof author);
    gboolean content = imp_query_bytes(sql, 6, sha256, sizeof sha256);
    json_t *row =
        json_pack("{s:o,s:s,s:s,s:s,s:s,s:o,s:s,s:b,s:b,s:I,s:I,s:I,s:o}", "image", json_id(id), "name",
                  imp_query_text(sql, 0), "version", imp_query_text(sql, 1), "device", imp_query_text(sql, 2),
                  "factory", imp_query_text(sql, 3), "author", json_hex(&author, sizeof author), "state",
                  state_name(s.state), "deleted", s.deleted, "content", content, "added_us",
                  (json_int_t)s.added_us, "settled", (json_int_t)s.settled, "more_failures",
                  (json_int_t)s.more_failures, "counts", counts_json(&s));
    add_limits(row, &s.limits);
    if (!share_add_state(cloud, id, row, error)) {
        json_decref(row);
        return NULL;
    }
    if (content) {
        json_object_set_new(row, "file_bytes", json_integer(imp_query_int(sql, 5)));
        json_object_set_new(row, "file_sha256", json_hex(sha256, sizeof sha256));
    }
    return row;
}

static gboolean run_list(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(GArray) images = imp_ledger_image_list(cloud->ledger, job->account, error);
    if (images == NULL)
        return FALSE;
    json_t *list = json_array();
    job->answer = json_pack("{s:o}", "images", list);
    for (guint i = 0; i < images->len; i++) {
        json_t *row =
            image_json(cloud, job->account, &g_array_index(images, ImpLedgerImageStatus, i).id, error);
        if (row == NULL)
            return FALSE;
        json_array_append_new(list, row);
    }
    return TRUE;
}

static gboolean run_get(ImpCloud *cloud, Job *job, GError **error)
{
    job->answer = image_json(cloud, job->account, &job->id, error);
    return job->answer != NULL;
}

/* ---- registration ---- */

static gboolean parse_statement(ImpCloud *cloud, Job *job, GError **error)
{
    job->bytes = g_bytes_ref(imp_http_request_body(job->request));
    return TRUE;
}

/* The account's authors, whose statements are taken. */
static ImpKeyRing *load_authors(ImpCloud *cloud, const char *account, GError **error)
{
    g_autoptr(ImpKeyRing) ring = imp_keyring_new();
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, "SELECT name, public FROM cloud_author WHERE account = ?", "t", account);
    int more = sql != NULL ? 1 : -1;
    while (more > 0 && (more = imp_query_step(sql, error)) > 0) {
        g_autoptr(GBytes) der = g_bytes_new(sqlite3_column_blob(sql, 1), (gsize)sqlite3_column_bytes(sql, 1));
        g_autoptr(ImpKey) key = imp_key_from_public_der(der, error);
        if (key == NULL || !imp_keyring_add(ring, imp_query_text(sql, 0), key, error))
            more = -1;
    }
    return more == 0 ? g_steal_pointer(&ring) : NULL;
}

static gboolean check_statement(ImpCloud *cloud, const Job *job, const ImpStatement *statement,
                                GError **error)
{
    if (memcmp(statement->cloud_ca_sha256, imp_ca_digest(cloud->ca), IMP_SHA256_BYTES) != 0) {
        imp_error_set(error, IMP_E_IMAGE_OTHER_CLOUD, "the image was sealed for another cloud");
        return FALSE;
    }
    if (!statement->encrypted) {
        imp_error_set(error, IMP_E_CONTENT_NOT_JOB,
                      "the image is not encrypted; the cloud delivers only encrypted ones");
        return FALSE;
    }
    return factory_exists(cloud, job->account, statement->factory, NULL, error);
}

static gboolean ledger_add(ImpCloud *cloud, const Job *job, const ImpStatement *statement, GError **error)
{
    const ImpRestrictions *r = &statement->restrictions;
    ImpLedgerImage image = {.id = statement->id, .n_pools = (guint32)statement->n_pools};
    g_strlcpy(image.account, job->account, sizeof image.account);
    g_strlcpy(image.scope, statement->factory, sizeof image.scope);
    g_strlcpy(image.name, statement->name, sizeof image.name);
    if (statement->n_pools > IMP_WIRE_NUMBERS_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "an image has at most %d pools", IMP_WIRE_NUMBERS_MAX);
        return FALSE;
    }
    image.rework = (ImpLedgerRework)statement->rework;
    image.free_rework = r->free_rework;
    image.limits = (ImpLedgerLimits){
        .has_units = r->has_units,
        .units = r->units,
        .has_max_failures = r->has_max_failures,
        .max_failures = r->max_failures,
        .has_not_before = r->has_not_before,
        .not_before_s = r->not_before_s,
        .has_not_after = r->has_not_after,
        .not_after_s = r->not_after_s,
        .count_on = r->count_on == IMP_COUNT_ON_WRITE ? IMP_LEDGER_COUNT_ON_WRITE : IMP_LEDGER_COUNT_ON_PASS};
    for (gsize i = 0; i < statement->n_pools; i++)
        image.pools[i] = statement->pools[i].definition;
    ImpAct act = {.person = job->email};
    return imp_ledger_image_add(cloud->ledger, &image, &act, error);
}

/* Registering the same statement again changes nothing; another one for the same ID is refused. */
static gboolean insert_image(ImpCloud *cloud, const Job *job, const ImpStatement *statement, GError **error)
{
    gsize n_bytes;
    gconstpointer bytes = g_bytes_get_data(job->bytes, &n_bytes);
    g_autoptr(ImpQuery) known = imp_query_prepare(
        cloud->db, error, "SELECT account = ? AND statement = ? FROM cloud_image WHERE id = ?", "tbb",
        job->account, bytes, n_bytes, &statement->id, (gsize)IMP_ID_BYTES);
    int found = known != NULL ? imp_query_step(known, error) : -1;
    if (found == 1 && imp_query_int(known, 0) == 0)
        imp_error_set(error, IMP_E_EXISTS, "an image of this ID is registered with another statement");
    if (found != 0)
        return found == 1 && imp_query_int(known, 0) != 0;
    if (statement->has_share &&
        !imp_query_run(cloud->db, NULL, error, "INSERT INTO cloud_share VALUES(?,?,NULL)", "bb",
                       &statement->id, (gsize)IMP_ID_BYTES, statement->share_sha256, (gsize)IMP_SHA256_BYTES))
        return FALSE;
    return imp_query_run(
        cloud->db, NULL, error, "INSERT INTO cloud_image VALUES(?,?,?,?,?,?,?,?,?,NULL,NULL)", "btbbttttb",
        &statement->id, (gsize)IMP_ID_BYTES, job->account, bytes, n_bytes, statement->header_sha256,
        (gsize)IMP_SHA256_BYTES, statement->name, statement->version, statement->device, statement->factory,
        &statement->author, (gsize)IMP_KEY_ID_BYTES);
}

static gboolean run_add(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(ImpKeyRing) authors = load_authors(cloud, job->account, error);
    if (authors == NULL)
        return FALSE;
    g_autoptr(ImpStatement) statement = imp_statement_verify(job->bytes, authors, error);
    if (statement == NULL || !check_statement(cloud, job, statement, error) ||
        !insert_image(cloud, job, statement, error) || !ledger_add(cloud, job, statement, error))
        return FALSE;
    job->status = 201;
    job->answer = image_json(cloud, job->account, &statement->id, error);
    return job->answer != NULL;
}

/* ---- content: what it says of itself (worker), whether that is what was registered, name it (worker), note it ---- */

static gboolean work_inspect(ImpCloud *cloud, Job *job, GError **error)
{
    guint64 n_bytes;
    job->clear = content_inspect(imp_http_request_body_fd(job->request, &n_bytes), error);
    if (job->clear == NULL)
        return FALSE;
    if (job->clear->kind != IMP_IMAGE_JOB || !job->clear->encrypted) {
        imp_error_set(error, IMP_E_CONTENT_NOT_JOB, "the file is no encrypted JOB image");
        return FALSE;
    }
    if (!imp_id_equal(&job->clear->id, &job->id)) {
        imp_error_set(error, IMP_E_CONTENT_DIFFERS, "the file is another image");
        return FALSE;
    }
    /* The cloud's identity is in the header that the statement names; said by name all the same. */
    return imp_clear_check_station(job->clear, imp_ca_digest(cloud->ca), TRUE, error);
}

/* What was uploaded must be what the author's statement names: the clear header to the byte. */
static gboolean check_registered(ImpCloud *cloud, Job *job, GError **error)
{
    g_autoptr(ImpQuery) sql = imp_query_prepare(
        cloud->db, error, "SELECT header_sha256 = ? FROM cloud_image WHERE id = ? AND account = ?", "bbt",
        job->clear->header_sha256, (gsize)IMP_SHA256_BYTES, &job->id, (gsize)IMP_ID_BYTES, job->account);
    int found = sql != NULL ? imp_query_step(sql, error) : -1;
    if (found == 0)
        imp_error_set(error, IMP_E_IMAGE_UNKNOWN, "register the image before its content");
    if (found == 1 && imp_query_int(sql, 0) == 0) {
        imp_error_set(error, IMP_E_CONTENT_DIFFERS,
                      "the file's header is not the one that the statement names");
        return FALSE;
    }
    return found == 1;
}

static gboolean run_check_content(ImpCloud *cloud, Job *job, GError **error)
{
    return check_registered(cloud, job, error);
}

static gboolean work_keep(ImpCloud *cloud, Job *job, GError **error)
{
    guint64 n_bytes;
    return content_keep(cloud, imp_http_request_body_fd(job->request, &n_bytes), job->clear, error);
}

static gboolean run_note_content(ImpCloud *cloud, Job *job, GError **error)
{
    char id[IMP_ID_TEXT_SIZE];
    g_autofree char *digest = imp_hex_encode(job->clear->file_sha256, IMP_SHA256_BYTES);
    ImpAct act = {.person = job->email, .reason = digest};
    int changed = 0;
    if (!check_registered(cloud, job, error) ||
        !imp_query_run(
            cloud->db, &changed, error,
            "UPDATE cloud_image SET file_bytes = ?, file_sha256 = ? WHERE id = ? AND file_sha256 IS NOT ?",
            "ibbb", (gint64)job->clear->file_bytes, job->clear->file_sha256, (gsize)IMP_SHA256_BYTES,
            &job->id, (gsize)IMP_ID_BYTES, job->clear->file_sha256, (gsize)IMP_SHA256_BYTES))
        return FALSE;
    if (changed > 0 &&
        !imp_ledger_audit_add(cloud->ledger, "image-content", imp_id_text(&job->id, id), &act, error))
        return FALSE;
    job->answer = image_json(cloud, job->account, &job->id, error);
    return job->answer != NULL;
}

/* ---- states ---- */

static gboolean set_state(ImpCloud *cloud, Job *job, ImpLedgerImageState state, GError **error)
{
    ImpJson r;
    imp_json_begin(&r, job->body, "request", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    if (imp_json_has(&r, "reason"))
        imp_json_string(&r, "reason", 0, IMP_LEDGER_REASON_SIZE - 1);
    ImpLedgerEffect effect;
    ImpAct act = {.person = job->email, .reason = body_reason(job)};
    if (!imp_json_end(&r, error) || !own_image(cloud, job, &job->id, error) ||
        !imp_ledger_image_set_state(cloud->ledger, &job->id, state, &act, &effect, error))
        return FALSE;
    job->answer = effect_json(cloud, &effect);
    return TRUE;
}

static gboolean run_pause(ImpCloud *cloud, Job *job, GError **error)
{
    return set_state(cloud, job, IMP_LEDGER_PAUSED, error);
}

static gboolean run_resume(ImpCloud *cloud, Job *job, GError **error)
{
    return set_state(cloud, job, IMP_LEDGER_ACTIVE, error);
}

static gboolean run_disable(ImpCloud *cloud, Job *job, GError **error)
{
    return set_state(cloud, job, IMP_LEDGER_DISABLED, error);
}

static gboolean run_failures(ImpCloud *cloud, Job *job, GError **error)
{
    ImpJson r;
    imp_json_begin(&r, job->body, "request", IMP_E_HTTP_REQUEST, IMP_E_HTTP_REQUEST);
    guint64 more = imp_json_u64(&r, "more", 1, G_MAXINT32);
    imp_json_string(&r, "reason", 1, IMP_LEDGER_REASON_SIZE - 1);
    ImpAct act = {.person = job->email, .reason = body_reason(job)};
    return imp_json_end(&r, error) && own_image(cloud, job, &job->id, error) &&
           imp_ledger_image_allow_failures(cloud->ledger, &job->id, more, &act, error);
}

const Operation op_images_list = {.name = "images", .stages = {{STAGE_COMMIT, run_list}}};
const Operation op_images_add = {
    .name = "image-register", .parse = parse_statement, .stages = {{STAGE_COMMIT, run_add}}};
const Operation op_image_get = {.name = "image", .parse = parse_id, .stages = {{STAGE_COMMIT, run_get}}};
const Operation op_image_content = {.name = "image-content",
                                    .parse = parse_id,
                                    .stages = {{STAGE_WORK, work_inspect},
                                               {STAGE_COMMIT, run_check_content},
                                               {STAGE_WORK, work_keep},
                                               {STAGE_COMMIT, run_note_content}}};
const Operation op_image_pause = {
    .name = "image-pause", .parse = parse_id_and_body, .stages = {{STAGE_COMMIT, run_pause}}};
const Operation op_image_resume = {
    .name = "image-resume", .parse = parse_id_and_body, .stages = {{STAGE_COMMIT, run_resume}}};
const Operation op_image_disable = {
    .name = "image-disable", .parse = parse_id_and_body, .stages = {{STAGE_COMMIT, run_disable}}};
const Operation op_image_failures = {
    .name = "image-failures", .parse = parse_id_and_body, .stages = {{STAGE_COMMIT, run_failures}}};
