#include "http/problem.h"

#include <string.h>

#include "base/json.h"

json_t *imp_http_problem_encode(const GError *error)
{
    int code = imp_error_code(error);
    const ImpErrorEntry *entry = imp_error_entry(code);
    g_autofree char *text = g_utf8_make_valid(error->message, -1);
    json_t *problem = json_pack("{s:{s:i,s:s,s:s}}", "error", "code", code, "name",
                                entry != NULL ? entry->name : "bug", "text", text);
    g_assert(problem != NULL);
    return problem;
}

void imp_http_problem_decode(const char *body, gsize n_bytes, int status, GError **error)
{
    json_t *document =
        imp_json_parse(body, n_bytes, IMP_HTTP_PROBLEM_MAX, "error answer", IMP_E_HTTP_ANSWER, NULL);
    int code = 0;
    const char *text = NULL, *name = NULL;
    if (document == NULL ||
        json_unpack(document, "{s:{s:i,s:s,s:s}}", "error", "code", &code, "name", &name, "text", &text) != 0)
        imp_error_set(error, IMP_E_HTTP_ANSWER, "the server answered with status %d and no reason", status);
    else if (imp_error_entry(code) == NULL)
        imp_error_set(error, IMP_E_HTTP_ANSWER, "%s (E%d %s, not known to this program)", text, code, name);
    else
        imp_error_set(error, (ImpErrorCode)code, "%s", text);
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
