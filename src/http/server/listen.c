#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/server/internal.h"

#define BACKLOG 128

/* "127.0.0.1:80" or "[::1]:80" */
static gboolean parse_address(const char *text, struct sockaddr_storage *out, socklen_t *out_len,
                              GError **error)
{
    const char *colon = strrchr(text, ':');
    guint64 port;
    if (colon == NULL || !g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535, &port, NULL)) {
        imp_error_set(error, IMP_E_HTTP_URL,
                      "listen address '%s': not of the form 127.0.0.1:8443 or [::1]:8443", text);
        return FALSE;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    g_autofree char *host = g_strndup(text, colon - text);
    gsize n = strlen(host);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((guint16)port);
        *out_len = sizeof *v4;
        return TRUE;
    }
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            v6->sin6_port = htons((guint16)port);
            *out_len = sizeof *v6;
            return TRUE;
        }
    }
    imp_error_set(error, IMP_E_HTTP_URL, "listen address '%s': '%.*s' is no numeric address", text,
                  (int)(colon - text), text);
    return FALSE;
}

static int fail(int fd, const char *what, const char *where, GError **error)
{
    int saved = errno;
    if (fd >= 0)
        close(fd);
    imp_error_set(error, IMP_E_IO, "%s %s: %s", what, where, g_strerror(saved));
    return -1;
}

int imp_http_listen_tcp(const char *address, char **out_address, GError **error)
{
    struct sockaddr_storage at;
    socklen_t length;
    if (!parse_address(address, &at, &length, error))
        return -1;
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&at, length) != 0 || listen(fd, BACKLOG) != 0)
        return fail(fd, "cannot listen on", address, error);
    length = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &length) != 0)
        return fail(fd, "cannot listen on", address, error);
    char host[INET6_ADDRSTRLEN];
    if (at.ss_family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&at;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        *out_address = g_strdup_printf("%s:%u", host, ntohs(v4->sin_port));
    } else {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&at;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        *out_address = g_strdup_printf("[%s]:%u", host, ntohs(v6->sin6_port));
    }
    return fd;
}

/* TRUE if a server answers at the socket. */
static gboolean answers(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    gboolean yes = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

int imp_http_listen_unix(const char *path, GError **error)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof at.sun_path) {
        imp_error_set(error, IMP_E_HTTP_URL, "socket path %s: longer than %zu bytes", path,
                      sizeof at.sun_path - 1);
        return -1;
    }
    g_strlcpy(at.sun_path, path, sizeof at.sun_path);
    struct stat info;
    if (lstat(path, &info) == 0) {
        if (!S_ISSOCK(info.st_mode)) {
            imp_error_set(error, IMP_E_IO, "cannot listen on %s: something else is there", path);
            return -1;
        }
        if (answers(&at)) {
            imp_error_set(error, IMP_E_IO, "cannot listen on %s: another program does", path);
            return -1;
        }
        unlink(path); /* left by a server that was killed */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* fchmod on the socket before bind sets the mode that the file gets, so that it is never open to others. */
    if (fd < 0 || fchmod(fd, 0660) != 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        chmod(path, 0660) != 0 || listen(fd, BACKLOG) != 0)
        return fail(fd, "cannot listen on", path, error);
    return fd;
}
