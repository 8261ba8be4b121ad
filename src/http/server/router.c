#include <string.h>

#include "http/server/internal.h"

/* TRUE if path fits pattern; the text of each {param} goes to request when it is not NULL. */
static gboolean fits(const char *pattern, const char *path, ImpHttpRequest *request)
{
    const char *begin[IMP_HTTP_PARAMS_MAX];
    gsize length[IMP_HTTP_PARAMS_MAX];
    guint n = 0;
    while (*pattern != '\0') {
        if (*pattern == '{') {
            pattern = strchr(pattern, '}') + 1;
            gsize n_bytes = strcspn(path, "/");
            if (n_bytes == 0)
                return FALSE;
            begin[n] = path;
            length[n++] = n_bytes;
            path += n_bytes;
        } else if (*pattern++ != *path++) {
            return FALSE;
        }
    }
    if (*path != '\0')
        return FALSE;
    if (request != NULL) {
        for (guint i = 0; i < n; i++)
            request->params[i] = g_strndup(begin[i], length[i]);
        request->n_params = n;
    }
    return TRUE;
}

const ImpHttpRoute *imp_http_route_find(const ImpHttpRoute *routes, gsize n_routes, const char *method,
                                        const char *path, ImpHttpRequest *request, GError **error)
{
    if (strlen(path) > IMP_HTTP_PATH_MAX || !g_utf8_validate(path, -1, NULL)) {
        imp_error_set(error, IMP_E_HTTP_NO_ROUTE, "the path is longer than %d bytes or not UTF-8",
                      IMP_HTTP_PATH_MAX);
        return NULL;
    }
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    gboolean known = FALSE;
    for (gsize i = 0; i < n_routes; i++) {
        if (!fits(routes[i].path, path, NULL))
            continue;
        known = TRUE;
        if (strcmp(routes[i].method, method) == 0) {
            fits(routes[i].path, path, request);
            return &routes[i];
        }
    }
    if (known)
        imp_error_set(error, IMP_E_HTTP_METHOD, "%s does not know the method %s", path, method);
    else
        imp_error_set(error, IMP_E_HTTP_NO_ROUTE, "there is no address %s on this server", path);
    return NULL;
}

void imp_http_routes_assert(const ImpHttpServerOptions *options)
{
    const guint32 all = IMP_HTTP_PUBLIC | IMP_HTTP_STATION | IMP_HTTP_PERSON | IMP_HTTP_LOCAL;
    for (gsize i = 0; i < options->n_routes; i++) {
        const ImpHttpRoute *route = &options->routes[i];
        g_assert(route->who != 0 && (route->who & ~all) == 0);
        g_assert(!(route->who & IMP_HTTP_PERSON) || (route->roles != 0 && options->authorise != NULL));
        g_assert(route->handle != NULL && route->path[0] == '/');
        g_assert(route->body == IMP_HTTP_BODY_NONE || route->body_bytes_max > 0);
        g_assert((route->body == IMP_HTTP_BODY_FILE) == (route->open_body != NULL));
        g_assert(route->body == IMP_HTTP_BODY_NONE || route->body == IMP_HTTP_BODY_MEMORY ||
                 route->body == IMP_HTTP_BODY_FILE);
        guint params = 0;
        for (const char *at = strchr(route->path, '{'); at != NULL; at = strchr(at, '{'), params++) {
            at = strchr(at, '}');
            g_assert(at != NULL && (at[1] == '/' || at[1] == '\0'));
        }
        g_assert(params <= IMP_HTTP_PARAMS_MAX);
    }
}
