#include "probe_partner.h"

#include "board/board.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER_BYTES = 8, TYPE_REQUEST = 1, TYPE_RESPONSE = 2 };

struct Partner {
    ImpBoard *board;
    int listener;
    int stop[2]; /* a pipe: closed at the end */
    char address[32];
    GThread *thread;
};

/* FALSE: the partner is to end, or the other side is gone. */
static gboolean receive_all(const Partner *p, int fd, guint8 *bytes, gsize n_bytes)
{
    while (n_bytes > 0) {
        struct pollfd wanted[] = {{.fd = fd, .events = POLLIN}, {.fd = p->stop[0], .events = POLLIN}};
        if (poll(wanted, 2, -1) < 0 || wanted[1].revents != 0)
            return FALSE;
        ssize_t got = recv(fd, bytes, n_bytes, 0);
        if (got <= 0)
            return FALSE;
        bytes += got;
        n_bytes -= (gsize)got;
    }
    return TRUE;
}

static gsize frame(guint8 *out, const guint8 *packet, gsize n_bytes)
{
    memcpy(out, (guint8[]){'D', 'A', 'P', 0, (guint8)n_bytes, (guint8)(n_bytes >> 8), TYPE_RESPONSE, 0},
           HEADER_BYTES);
    memcpy(out + HEADER_BYTES, packet, n_bytes);
    return HEADER_BYTES + n_bytes;
}

/* FALSE: the connection ends here. */
static gboolean answer(Partner *p, int fd, const guint8 *request, gsize n_bytes, gboolean *silent)
{
    guint8 packet[PARTNER_PACKET_BYTES + 64] = {request[0], 0}, out[4 * (HEADER_BYTES + sizeof packet)];
    gsize size = 2, out_bytes = 0, cut_at = sizeof out;
    switch (request[0]) {
    case PARTNER_IS_SILENT:
        *silent = TRUE;
        break;
    case PARTNER_IS_GONE:
        return FALSE;
    case PARTNER_IS_GONE_MID:
        cut_at = HEADER_BYTES + 1;
        break;
    case PARTNER_TOO_LONG:
        size = sizeof packet;
        break;
    case PARTNER_TWICE_MORE:
        out_bytes = frame(out, packet, size);
        out_bytes += frame(out + out_bytes, packet, size);
        break;
    default:
        size = imp_board_dap(p->board, request, n_bytes, packet, PARTNER_PACKET_BYTES);
    }
    if (*silent)
        return TRUE;
    out_bytes += frame(out + out_bytes, packet, size);
    out_bytes = MIN(out_bytes, cut_at);
    return send(fd, out, out_bytes, MSG_NOSIGNAL) == (ssize_t)out_bytes && cut_at == sizeof out;
}

static void serve(Partner *p, int fd)
{
    gboolean silent = FALSE;
    guint8 header[HEADER_BYTES], request[PARTNER_PACKET_BYTES];
    while (receive_all(p, fd, header, sizeof header)) {
        gsize n_bytes = header[4] | (gsize)header[5] << 8;
        if (memcmp(header, "DAP", 4) != 0 || header[6] != TYPE_REQUEST || n_bytes == 0 ||
            n_bytes > sizeof request || !receive_all(p, fd, request, n_bytes) ||
            !answer(p, fd, request, n_bytes, &silent))
            return;
    }
}

static gpointer run(gpointer user)
{
    Partner *p = user;
    for (;;) {
        struct pollfd wanted[] = {{.fd = p->listener, .events = POLLIN},
                                  {.fd = p->stop[0], .events = POLLIN}};
        if (poll(wanted, 2, -1) < 0 || wanted[1].revents != 0)
            return NULL;
        int one = 1, fd = accept(p->listener, NULL, NULL);
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        serve(p, fd);
        close(fd);
    }
}

Partner *partner_new(void)
{
    const struct imp_board_options options = {.packet_size = PARTNER_PACKET_BYTES,
                                              .packet_count = PARTNER_PACKETS};
    Partner *p = g_new0(Partner, 1);
    p->board = imp_board_new("nrf51822", 1, &options, NULL);
    g_assert_nonnull(p->board);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(p->listener, (struct sockaddr *)&address, size), ==, 0);
    g_assert_cmpint(listen(p->listener, 4), ==, 0);
    g_assert_cmpint(getsockname(p->listener, (struct sockaddr *)&address, &size), ==, 0);
    g_snprintf(p->address, sizeof p->address, "127.0.0.1:%u", ntohs(address.sin_port));
    g_assert_cmpint(pipe(p->stop), ==, 0);
    p->thread = g_thread_new("partner", run, p);
    return p;
}

const char *partner_address(const Partner *partner)
{
    return partner->address;
}

void partner_free(Partner *partner)
{
    close(partner->stop[1]);
    g_thread_join(partner->thread);
    close(partner->stop[0]);
    close(partner->listener);
    imp_board_free(partner->board);
    g_free(partner);
}
