#include "http/problem.h"

#include <string.h>

#include "base/json.h"

static json_t *detail_json(const ImpErrorDetail *detail)
{
    json_t *object = json_object();
    if (detail->step[0] != '\0')
        json_object_set_new(object, "step", json_string(detail->step));
    if (detail->has_address)
        json_object_set_new(object, "address", json_integer((json_int_t)detail->address));
    g_autofree char *expected = imp_hex_encode(detail->expected, detail->expected_bytes);
    g_autofree char *found = imp_hex_encode(detail->found, detail->found_bytes);
    if (expected[0] != '\0')
        json_object_set_new(object, "expected", json_string(expected));
    if (found[0] != '\0')
        json_object_set_new(object, "found", json_string(found));
    return object;
}

json_t *imp_http_problem_body(const GError *error)
{
    int code = imp_error_code(error);
    const ImpErrorEntry *entry = imp_error_entry(code);
    g_autofree char *text = g_utf8_make_valid(error->message, -1);
    json_t *body =
        json_pack("{s:i,s:s,s:s}", "code", code, "name", entry != NULL ? entry->name : "bug", "text", text);
    g_assert(body != NULL);
    const ImpErrorDetail *detail = imp_error_detail(error);
    json_t *object = detail != NULL ? detail_json(detail) : NULL;
    if (json_object_size(object) > 0)
        json_object_set(body, "detail", object);
    json_decref(object);
    return body;
}

json_t *imp_http_problem_encode(const GError *error)
{
    return json_pack("{s:o}", "error", imp_http_problem_body(error));
}

static guint8 get_bytes(const json_t *detail, const char *name, guint8 out[static IMP_ERROR_BYTES_MAX])
{
    const char *hex = json_string_value(json_object_get(detail, name));
    gssize n = hex != NULL ? imp_hex_decode(hex, out, IMP_ERROR_BYTES_MAX) : 0;
    return n > 0 ? (guint8)n : 0;
}

void imp_http_problem_read(const json_t *body, GError **error)
{
    const json_t *detail = json_object_get(body, "detail");
    int code = (int)json_integer_value(json_object_get(body, "code"));
    const char *text = json_string_value(json_object_get(body, "text")),
               *name = json_string_value(json_object_get(body, "name")),
               *step = json_string_value(json_object_get(detail, "step"));
    if (imp_error_entry(code) == NULL) {
        imp_error_set(error, IMP_E_HTTP_ANSWER, "%s (E%d %s, not known to this program)",
                      text != NULL ? text : "", code, name != NULL ? name : "");
        return;
    }
    guint8 expected[IMP_ERROR_BYTES_MAX], found[IMP_ERROR_BYTES_MAX];
    guint8 n_expected = get_bytes(detail, "expected", expected), n_found = get_bytes(detail, "found", found);
    gboolean bytes = n_expected > 0 && n_expected == n_found;
    const json_t *address = json_object_get(detail, "address");
    if (json_is_integer(address))
        imp_error_set_at(error, (ImpErrorCode)code, (guint64)json_integer_value(address),
                         bytes ? expected : NULL, bytes ? found : NULL, bytes ? n_found : 0, "%s",
                         text != NULL ? text : "");
    else
        imp_error_set(error, (ImpErrorCode)code, "%s", text != NULL ? text : "");
    if (step != NULL)
        imp_error_set_step(error, step);
}

void imp_http_problem_decode(const char *body, gsize n_bytes, int status, GError **error)
{
    json_t *document =
        imp_json_parse(body, n_bytes, IMP_HTTP_PROBLEM_MAX, "error answer", IMP_E_HTTP_ANSWER, NULL);
    int code = 0;
    const char *text = NULL, *name = NULL;
    if (document == NULL ||
        json_unpack(document, "{s:{s:i,s:s,s:s}}", "error", "code", &code, "name", &name, "text", &text) != 0)
        imp_error_set(error, IMP_E_HTTP_ANSWER,
                      "what answers there is no server of Imprint: status %d without a reason", status);
    else
        imp_http_problem_read(json_object_get(document, "error"), error);
    json_decref(document);
}

int imp_http_status(int code)
{
    static const struct {
        int code, status;
    } exact[] = {
        {IMP_E_ARGUMENT, 400},
        {IMP_E_LIMIT, 413},
        {IMP_E_SYNTAX, 400},
        {IMP_E_SCHEMA, 400},
        {IMP_E_STATE, 409},
        {IMP_E_EXISTS, 409},
        {IMP_E_NOT_FOUND, 404},
        {IMP_E_TIMEOUT, 504},
        {IMP_E_BUG, 500},
        {IMP_E_IO, 500},
        {IMP_E_NO_MEMORY, 500},
        {IMP_E_IMAGE_UNKNOWN, 404},
        {IMP_E_LOGIN_FAILED, 401},
        {IMP_E_CONTENT_MISSING, 404},
        {IMP_E_CLOUD_BUSY, 503},
        {IMP_E_HTTP_NO_ROUTE, 404},
        {IMP_E_HTTP_METHOD, 405},
        {IMP_E_HTTP_UNAUTHENTICATED, 401},
        {IMP_E_HTTP_FORBIDDEN, 403},
        {IMP_E_HTTP_TOO_LARGE, 413},
        {IMP_E_HTTP_PROTOCOL, 400},
        {IMP_E_HTTP_STOPPING, 503},
        {IMP_E_HTTP_REQUEST, 400},
        {IMP_E_HTTP_LENGTH, 411},
    };
    for (guint i = 0; i < G_N_ELEMENTS(exact); i++)
        if (exact[i].code == code)
            return exact[i].status;
    const ImpErrorEntry *entry = imp_error_entry(code);
    if (entry == NULL)
        return 500;
    switch (entry->disposition) {
    case IMP_DISPOSITION_RETRY:
        return 503;
    case IMP_DISPOSITION_STATION_DOWN:
    case IMP_DISPOSITION_BUG:
        return 500;
    default:
        return 409; /* understood, and refused in the present state of things */
    }
}
