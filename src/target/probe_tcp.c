/* CMSIS-DAP over TCP, framed as OpenOCD's cmsis-dap "tcp" backend does it (src/jtag/drivers/cmsis_dap_tcp.c): 8 bytes of
 * header, little-endian: signature u32, payload length u16, type u8, reserved u8; then exactly one packet. */
#include "target/probe-drivers.h"

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

#define SIGNATURE          "DAP" /* with its NUL: 0x00504144 */
#define HEADER_BYTES       8
#define TYPE_REQUEST       1
#define TYPE_RESPONSE      2
#define CONNECT_TIMEOUT_MS 3000
#define ADDRESSES_MAX      8

typedef struct {
    ImpProbe probe;
    const ImpClock *clock;
    int fd;
} TcpProbe;

static gint64 deadline_of(const TcpProbe *self, guint timeout_ms)
{
    return imp_clock_boot_us(self->clock) + (gint64)timeout_ms * 1000;
}

static void fail_lost(const TcpProbe *self, const char *what, int number, GError **error)
{
    imp_error_set(error, IMP_E_PROBE_LOST, "%s: %s: %s", self->probe.name, what,
                  number != 0 ? g_strerror(number) : "the probe closed the connection");
}

/* Waits until the socket is ready for events. */
static gboolean wait_ready(TcpProbe *self, short events, gint64 deadline_us, GError **error)
{
    for (;;) {
        gint64 left_ms = (deadline_us - imp_clock_boot_us(self->clock) + 999) / 1000;
        struct pollfd wanted = {.fd = self->fd, .events = events};
        int got = left_ms > 0 ? poll(&wanted, 1, (int)left_ms) : 0;
        if (got > 0)
            return TRUE;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            fail_lost(self, "waiting", errno, error);
        else
            imp_error_set(error, IMP_E_PROBE_TIMEOUT, "%s: the probe does not %s", self->probe.name,
                          events == POLLIN ? "answer" : "take packets");
        return FALSE;
    }
}

static gboolean send_all(TcpProbe *self, const guint8 *bytes, gsize n_bytes, GError **error)
{
    gint64 deadline = deadline_of(self, IMP_PROBE_TIMEOUT_MS);
    while (n_bytes > 0) {
        ssize_t sent = send(self->fd, bytes, n_bytes, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            n_bytes -= (gsize)sent;
        } else if (errno == EAGAIN) {
            if (!wait_ready(self, POLLOUT, deadline, error))
                return FALSE;
        } else if (errno != EINTR) {
            fail_lost(self, "sending", errno, error);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean receive_all(TcpProbe *self, guint8 *bytes, gsize n_bytes, gint64 deadline, GError **error)
{
    while (n_bytes > 0) {
        ssize_t got = recv(self->fd, bytes, n_bytes, 0);
        if (got > 0) {
            bytes += got;
            n_bytes -= (gsize)got;
        } else if (got < 0 && errno == EAGAIN) {
            if (!wait_ready(self, POLLIN, deadline, error))
                return FALSE;
        } else if (got == 0 || errno != EINTR) {
            fail_lost(self, "receiving", got == 0 ? 0 : errno, error);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean tcp_submit(ImpProbe *probe, const guint8 *request, gsize n_bytes, GError **error)
{
    guint8 frame[HEADER_BYTES + IMP_PROBE_PACKET_BYTES_MAX] = SIGNATURE;
    g_assert(n_bytes <= IMP_PROBE_PACKET_BYTES_MAX);
    frame[4] = (guint8)n_bytes;
    frame[5] = (guint8)(n_bytes >> 8);
    frame[6] = TYPE_REQUEST;
    memcpy(frame + HEADER_BYTES, request, n_bytes);
    return send_all((TcpProbe *)probe, frame, HEADER_BYTES + n_bytes, error);
}

static gboolean tcp_collect(ImpProbe *probe, guint8 *response, gsize cap, gsize *out_bytes, guint timeout_ms,
                            GError **error)
{
    TcpProbe *self = (TcpProbe *)probe;
    gint64 deadline = deadline_of(self, timeout_ms);
    guint8 header[HEADER_BYTES];
    if (!receive_all(self, header, sizeof header, deadline, error))
        return FALSE;
    gsize n_bytes = header[4] | (gsize)header[5] << 8;
    if (memcmp(header, SIGNATURE, 4) != 0 || header[6] != TYPE_RESPONSE || n_bytes == 0 || n_bytes > cap) {
        imp_error_set(
            error, IMP_E_PROBE_PROTOCOL,
            "%s: answer with header %02X %02X %02X %02X, length %zu, type %u: no CMSIS-DAP over TCP",
            probe->name, header[0], header[1], header[2], header[3], n_bytes, header[6]);
        return FALSE;
    }
    if (!receive_all(self, response, n_bytes, deadline, error))
        return FALSE;
    *out_bytes = n_bytes;
    return TRUE;
}

static void tcp_close(ImpProbe *probe)
{
    TcpProbe *self = (TcpProbe *)probe;
    if (self->fd >= 0)
        close(self->fd);
    g_free(self);
}

static const ImpProbeOps tcp_ops = {tcp_submit, tcp_collect, tcp_close};

/* Cuts HOST:PORT, [HOST]:PORT, HOST or [HOST]. */
static gboolean split_address(const char *address, char **out_host, char **out_port, GError **error)
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
    guint64 number = IMP_PROBE_TCP_PORT;
    if (host_end == NULL || host_end == host ||
        (port != NULL && !g_ascii_string_to_unsigned(port, 10, 1, 65535, &number, NULL))) {
        imp_error_set(error, IMP_E_ARGUMENT, "\"tcp:%s\": write tcp:HOST:PORT with a port from 1 to 65535",
                      address);
        return FALSE;
    }
    *out_host = g_strndup(host, (gsize)(host_end - host));
    *out_port = g_strdup_printf("%u", (guint)number);
    return TRUE;
}

/* One address; 0 or an errno. */
static int connect_to(TcpProbe *self, const struct addrinfo *to)
{
    self->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
    if (self->fd < 0)
        return errno;
    int failure = 0;
    if (connect(self->fd, to->ai_addr, to->ai_addrlen) != 0) {
        failure = errno;
        if (failure == EINPROGRESS) {
            socklen_t size = sizeof failure;
            if (!wait_ready(self, POLLOUT, deadline_of(self, CONNECT_TIMEOUT_MS), NULL))
                failure = ETIMEDOUT;
            else if (getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0)
                failure = errno;
        }
    }
    int one = 1;
    if (failure == 0 && setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        failure = errno;
    if (failure != 0) {
        close(self->fd);
        self->fd = -1;
    }
    return failure;
}

ImpProbe *imp_probe_tcp_open(const char *address, const ImpClock *clock, GError **error)
{
    g_autofree char *host = NULL, *port = NULL;
    if (!split_address(address, &host, &port, error))
        return NULL;
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int unresolved = getaddrinfo(host, port, &hints, &list);
    if (unresolved != 0) {
        imp_error_set(error, IMP_E_PROBE_NOT_FOUND, "tcp:%s: %s", address, gai_strerror(unresolved));
        return NULL;
    }
    TcpProbe *self = g_new0(TcpProbe, 1);
    self->probe.ops = &tcp_ops;
    self->probe.packet_bytes_max = IMP_PROBE_PACKET_BYTES_MAX;
    g_snprintf(self->probe.name, sizeof self->probe.name, "tcp:%s", address);
    self->clock = clock;
    self->fd = -1;
    int failure = ENOENT;
    guint tried = 0;
    for (const struct addrinfo *to = list; to != NULL && failure != 0 && tried < ADDRESSES_MAX;
         to = to->ai_next, tried++)
        failure = connect_to(self, to);
    freeaddrinfo(list);
    if (failure == 0)
        return &self->probe;
    imp_error_set(error, IMP_E_PROBE_NOT_FOUND, "tcp:%s: %s", address, g_strerror(failure));
    g_free(self);
    return NULL;
}
