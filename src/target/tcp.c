#include "target/tcp.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 3000
#define ADDRESSES_MAX      8

static void fail_lost(const ImpTcp *tcp, const char *what, int number, GError **error)
{
    imp_error_set(error, IMP_E_PROBE_LOST, "%s: %s: %s", tcp->name, what,
                  number != 0 ? g_strerror(number) : "the other side closed the connection");
}

/* Waits until the socket takes bytes, or is connected. */
static gboolean wait_ready(ImpTcp *tcp, gint64 deadline_us, GError **error)
{
    for (;;) {
        gint64 left_ms = (deadline_us - imp_clock_boot_us(tcp->clock) + 999) / 1000;
        struct pollfd wanted = {.fd = tcp->fd, .events = POLLOUT};
        int got = left_ms > 0 ? poll(&wanted, 1, (int)left_ms) : 0;
        if (got > 0)
            return TRUE;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            fail_lost(tcp, "waiting", errno, error);
        else
            imp_error_set(error, IMP_E_PROBE_TIMEOUT, "%s: the other side does not take packets", tcp->name);
        return FALSE;
    }
}

gboolean imp_tcp_send(ImpTcp *tcp, const guint8 *bytes, gsize n_bytes, gint64 deadline_us, GError **error)
{
    while (n_bytes > 0) {
        ssize_t sent = send(tcp->fd, bytes, n_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            bytes += sent;
            n_bytes -= (gsize)sent;
        } else if (errno == EAGAIN) {
            if (!wait_ready(tcp, deadline_us, error))
                return FALSE;
        } else if (errno != EINTR) {
            fail_lost(tcp, "sending", errno, error);
            return FALSE;
        }
    }
    return TRUE;
}

/* Makes recv give up after about left_us. Told to the kernel only when it changes much: most callers wait for the same time again
 * and again, and one system call is all that an answer costs. */
static gboolean limit_receive(ImpTcp *tcp, gint64 left_us)
{
    if (tcp->receive_us >= left_us - left_us / 8 && tcp->receive_us <= left_us + left_us / 8)
        return TRUE;
    const struct timeval limit = {.tv_sec = left_us / G_USEC_PER_SEC, .tv_usec = left_us % G_USEC_PER_SEC};
    tcp->receive_us = left_us;
    return setsockopt(tcp->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0;
}

gsize imp_tcp_receive(ImpTcp *tcp, guint8 *bytes, gsize cap, gint64 deadline_us, GError **error)
{
    for (;;) {
        gint64 left_us = deadline_us - imp_clock_boot_us(tcp->clock);
        if (left_us > 0 && !limit_receive(tcp, left_us)) {
            fail_lost(tcp, "receiving", errno, error);
            return 0;
        }
        ssize_t got = recv(tcp->fd, bytes, cap, left_us > 0 ? 0 : MSG_DONTWAIT);
        if (got > 0)
            return (gsize)got;
        if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
            fail_lost(tcp, "receiving", got == 0 ? 0 : errno, error);
            return 0;
        }
        if (left_us <= 0) {
            imp_error_set(error, IMP_E_PROBE_TIMEOUT, "%s: the other side does not answer", tcp->name);
            return 0;
        }
    }
}

/* Cuts HOST:PORT, [HOST]:PORT, HOST or [HOST]. */
static gboolean split_address(const char *kind, const char *address, guint16 default_port, char **out_host,
                              char **out_port, GError **error)
{
    const char *host_end, *port = NULL;
    const char *host = address;
    if (*host == '[') {
        host++;
        host_end = strchr(host, ']');
        if (host_end != NULL && host_end[1] == ':')
            port = host_end + 2;
        else if (host_end != NULL && host_end[1] != '\0')
            host_end = NULL;
    } else {
        host_end = strchr(host, ':');
        if (host_end != NULL)
            port = host_end + 1;
        else
            host_end = host + strlen(host);
    }
    guint64 number = default_port;
    if (host_end == NULL || host_end == host ||
        (port != NULL && !g_ascii_string_to_unsigned(port, 10, 1, 65535, &number, NULL))) {
        imp_error_set(error, IMP_E_ARGUMENT, "\"%s:%s\": write %s:HOST:PORT with a port from 1 to 65535",
                      kind, address, kind);
        return FALSE;
    }
    *out_host = g_strndup(host, (gsize)(host_end - host));
    *out_port = g_strdup_printf("%u", (guint)number);
    return TRUE;
}

gboolean imp_tcp_check_address(const char *kind, const char *address, GError **error)
{
    g_autofree char *host = NULL, *port = NULL;
    return split_address(kind, address, 1, &host, &port, error);
}

/* One address; 0 or an errno. */
static int connect_to(ImpTcp *tcp, const struct addrinfo *to)
{
    tcp->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
    if (tcp->fd < 0)
        return errno;
    int failure = 0;
    if (connect(tcp->fd, to->ai_addr, to->ai_addrlen) != 0) {
        failure = errno;
        if (failure == EINPROGRESS) {
            socklen_t size = sizeof failure;
            if (!wait_ready(tcp, imp_tcp_deadline_us(tcp, CONNECT_TIMEOUT_MS), NULL))
                failure = ETIMEDOUT;
            else if (getsockopt(tcp->fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0)
                failure = errno;
        }
    }
    int one = 1, flags = failure == 0 ? fcntl(tcp->fd, F_GETFL) : 0;
    if (failure == 0 && (flags < 0 || fcntl(tcp->fd, F_SETFL, flags & ~O_NONBLOCK) != 0))
        failure = errno;
    tcp->receive_us = 0;
    if (failure == 0 && setsockopt(tcp->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        failure = errno;
    if (failure != 0) {
        close(tcp->fd);
        tcp->fd = -1;
    }
    return failure;
}

gboolean imp_tcp_open(ImpTcp *tcp, const char *kind, const char *address, guint16 default_port,
                      const ImpClock *clock, GError **error)
{
    tcp->fd = -1;
    tcp->clock = clock;
    g_autofree char *host = NULL, *port = NULL;
    if (!split_address(kind, address, default_port, &host, &port, error))
        return FALSE;
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int unresolved = getaddrinfo(host, port, &hints, &list);
    if (unresolved != 0) {
        imp_error_set(error, IMP_E_PROBE_NOT_FOUND, "%s:%s: %s", kind, address, gai_strerror(unresolved));
        return FALSE;
    }
    int failure = ENOENT;
    guint tried = 0;
    for (const struct addrinfo *to = list; to != NULL && failure != 0 && tried < ADDRESSES_MAX;
         to = to->ai_next, tried++)
        failure = connect_to(tcp, to);
    freeaddrinfo(list);
    if (failure != 0)
        imp_error_set(error, IMP_E_PROBE_NOT_FOUND, "%s:%s: %s", kind, address, g_strerror(failure));
    return failure == 0;
}

void imp_tcp_close(ImpTcp *tcp)
{
    if (tcp->fd >= 0)
        close(tcp->fd);
    tcp->fd = -1;
}
