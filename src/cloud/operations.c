/* What several operations need. */
#include <string.h>

#include "cloud/job.h"

/* One row or none. 1, 0, -1. */
static int exists(ImpQuery *sql, GError **error)
{
    return sql != NULL ? imp_query_step(sql, error) : -1;
}

gboolean own_image(ImpCloud *cloud, const Job *job, const ImpId *image, GError **error)
{
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(cloud->db, error, "SELECT 1 FROM cloud_image WHERE id = ? AND account = ?", "bt",
                          image, (gsize)IMP_ID_BYTES, job->account);
    int found = exists(sql, error);
    char text[IMP_ID_TEXT_SIZE];
    if (found == 0)
        imp_error_set(error, IMP_E_IMAGE_UNKNOWN, "no image %s is registered", imp_id_text(image, text));
    return found == 1;
}

gboolean own_station(ImpCloud *cloud, const Job *job, const ImpId *station, GError **error)
{
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(cloud->db, error, "SELECT 1 FROM cloud_station WHERE id = ? AND account = ?", "bt",
                          station, (gsize)IMP_ID_BYTES, job->account);
    int found = exists(sql, error);
    char text[IMP_ID_TEXT_SIZE];
    if (found == 0)
        imp_error_set(error, IMP_E_NOT_FOUND, "there is no station %s", imp_id_text(station, text));
    return found == 1;
}

gboolean factory_exists(ImpCloud *cloud, const char *account, const char *factory, const char *group,
                        GError **error)
{
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(cloud->db, error, "SELECT 1 FROM cloud_factory WHERE account = ? AND name = ?",
                          "tt", account, factory);
    int found = exists(sql, error);
    if (found == 0)
        imp_error_set(error, IMP_E_NOT_FOUND, "there is no factory '%s'", factory);
    if (found != 1 || group == NULL)
        return found == 1;
    g_autoptr(ImpQuery) second = imp_query_prepare(
        cloud->db, error, "SELECT 1 FROM cloud_group WHERE account = ? AND factory = ? AND name = ?", "ttt",
        account, factory, group);
    found = exists(second, error);
    if (found == 0)
        imp_error_set(error, IMP_E_NOT_FOUND, "the factory '%s' has no group '%s'", factory, group);
    return found == 1;
}

gboolean query_u64(const ImpHttpRequest *request, const char *name, guint64 min, guint64 max,
                   gboolean *out_has, guint64 *out, GError **error)
{
    const char *text = imp_http_request_query(request, name);
    guint64 value;
    if (text == NULL)
        return TRUE;
    if (!g_ascii_string_to_unsigned(text, 10, min, max, &value, NULL)) {
        imp_error_set(error, IMP_E_HTTP_REQUEST,
                      "query: %s is no number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, name, min,
                      max);
        return FALSE;
    }
    if (out_has != NULL)
        *out_has = TRUE;
    *out = value;
    return TRUE;
}

gboolean query_id(const ImpHttpRequest *request, const char *name, gboolean *out_has, ImpId *out,
                  GError **error)
{
    const char *text = imp_http_request_query(request, name);
    if (text == NULL)
        return TRUE;
    if (!imp_id_parse(text, out)) {
        imp_error_set(error, IMP_E_HTTP_REQUEST, "query: %s is not 32 hexadecimal digits", name);
        return FALSE;
    }
    *out_has = TRUE;
    return TRUE;
}

json_t *json_id(const ImpId *id)
{
    char text[IMP_ID_TEXT_SIZE];
    return json_string(imp_id_text(id, text));
}

json_t *json_hex(const void *bytes, gsize n_bytes)
{
    g_autofree char *text = imp_hex_encode(bytes, n_bytes);
    return json_string(text);
}

const char *body_reason(const Job *job)
{
    const char *reason = json_string_value(json_object_get(job->body, "reason"));
    return reason != NULL && reason[0] != '\0' ? reason : NULL;
}

gboolean parse_body(ImpCloud *cloud, Job *job, GError **error)
{
    gsize n_bytes = g_bytes_get_size(imp_http_request_body(job->request));
    job->body = n_bytes == 0 ? json_object() : imp_http_request_json(job->request, error);
    return job->body != NULL;
}

gboolean parse_id(ImpCloud *cloud, Job *job, GError **error)
{
    const char *text = imp_http_request_param(job->request, "id");
    if (imp_id_parse(text, &job->id))
        return TRUE;
    imp_error_set(error, IMP_E_HTTP_REQUEST, "'%.40s' is no ID: 32 lower-case hexadecimal digits", text);
    return FALSE;
}

gboolean parse_id_and_body(ImpCloud *cloud, Job *job, GError **error)
{
    return parse_id(cloud, job, error) && parse_body(cloud, job, error);
}

gboolean parse_name(const char *what, const char *name, GError **error)
{
    gsize n_bytes = strlen(name);
    if (n_bytes > 0 && n_bytes < IMP_WIRE_NAME_SIZE && name[0] != ' ' && name[n_bytes - 1] != ' ' &&
        strchr(name, '/') == NULL)
        return TRUE;
    imp_error_set(error, IMP_E_HTTP_REQUEST, "%s: 1 to %d bytes, no slash, no space at an end", what,
                  IMP_WIRE_NAME_SIZE - 1);
    return FALSE;
}

json_t *effect_json(ImpCloud *cloud, const ImpLedgerEffect *effect)
{
    return json_pack("{s:I,s:I,s:I}", "committed_us",
                     (json_int_t)(effect->in_force_us - IMP_LEDGER_USABLE_US), "in_force_us",
                     (json_int_t)effect->in_force_us, "in_work", (json_int_t)effect->open);
}
