/* usb-proxy --board HOST:PORT [--serial TEXT] -- COMMAND...: see README.md. */
#include "mock.h"

#include <gio/gio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { EXIT_USAGE = 2 };

/* ---- the TCP side ---- */

#define HEADER_BYTES 8u
static const guint8 signature[4] = {0x44, 0x41, 0x50, 0x00};
enum { TYPE_REQUEST = 1, TYPE_RESPONSE = 2 };

struct wire {
    GSocketConnection *connection;
    int fd;
    guint8 in[HEADER_BYTES + USBDEV_PACKET_MAX];
    gsize used;
};

static gboolean wire_send(gpointer user, const guint8 *packet, gsize size)
{
    struct wire *w = user;
    guint8 frame[HEADER_BYTES + USBDEV_PACKET_MAX];
    if (size > USBDEV_PACKET_MAX)
        return FALSE;
    memcpy(frame, signature, 4);
    frame[4] = (guint8)size;
    frame[5] = (guint8)(size >> 8);
    frame[6] = TYPE_REQUEST;
    frame[7] = 0;
    memcpy(frame + HEADER_BYTES, packet, size);
    return g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(w->connection)), frame,
                                     HEADER_BYTES + size, NULL, NULL, NULL);
}

/* A whole packet that has been received: its size, moved out of the buffer. 0: not whole yet, -1: bad header */
static gssize take_packet(struct wire *w, guint8 packet[USBDEV_PACKET_MAX])
{
    if (w->used < HEADER_BYTES)
        return 0;
    gsize n = w->in[4] | (gsize)w->in[5] << 8;
    if (memcmp(w->in, signature, 4) != 0 || w->in[6] != TYPE_RESPONSE || n == 0 || n > USBDEV_PACKET_MAX)
        return -1;
    if (w->used < HEADER_BYTES + n)
        return 0;
    memcpy(packet, w->in + HEADER_BYTES, n);
    w->used -= HEADER_BYTES + n;
    memmove(w->in, w->in + HEADER_BYTES + n, w->used);
    return (gssize)n;
}

static gssize wire_receive(gpointer user, guint8 packet[USBDEV_PACKET_MAX], int timeout_ms)
{
    struct wire *w = user;
    for (;;) {
        gssize n = take_packet(w, packet);
        if (n != 0)
            return n;
        struct pollfd p = {.fd = w->fd, .events = POLLIN};
        if (poll(&p, 1, timeout_ms) <= 0)
            return 0;
        gssize got = recv(w->fd, w->in + w->used, sizeof w->in - w->used, 0);
        if (got <= 0)
            return -1;
        w->used += (gsize)got;
    }
}

static gboolean wire_open(struct wire *w, const char *addr, GError **error)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    w->connection = g_socket_client_connect_to_host(client, addr, 4441, NULL, error);
    if (!w->connection)
        return FALSE;
    w->fd = g_socket_get_fd(g_socket_connection_get_socket(w->connection));
    g_tcp_connection_set_graceful_disconnect(G_TCP_CONNECTION(w->connection), FALSE);
    return g_socket_set_option(g_socket_connection_get_socket(w->connection), 6 /* IPPROTO_TCP */,
                               1 /* TCP_NODELAY */, 1, error);
}

int main(int argc, char **argv)
{
    g_autofree char *board = NULL, *serial = NULL;
    g_auto(GStrv) command = NULL;
    gboolean v1 = FALSE, both = FALSE, set_report = FALSE, busy = FALSE, twin = FALSE;
    int report_bytes = 64;
    const GOptionEntry entries[] = {
        {"board", 'b', 0, G_OPTION_ARG_STRING, &board, "DAP port of the board", "HOST:PORT"},
        {"serial", 's', 0, G_OPTION_ARG_STRING, &serial, "Serial number of the probe (default USBPROXY1)",
         "TEXT"},
        {"v1", 0, 0, G_OPTION_ARG_NONE, &v1, "Offer CMSIS-DAP v1 (HID) in place of v2", NULL},
        {"both", 0, 0, G_OPTION_ARG_NONE, &both, "Offer v1 and v2", NULL},
        {"report-bytes", 0, 0, G_OPTION_ARG_INT, &report_bytes, "Size of HID reports (default 64)", "N"},
        {"set-report", 0, 0, G_OPTION_ARG_NONE, &set_report, "v1 without an interrupt OUT endpoint", NULL},
        {"busy", 0, 0, G_OPTION_ARG_NONE, &busy, "Another program has the probe", NULL},
        {"twin", 0, 0, G_OPTION_ARG_NONE, &twin, "A second probe beside it, which answers nothing", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &command, NULL, "-- COMMAND..."},
        {NULL}};
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_set_summary(
        context, "Runs COMMAND where libusb sees a CMSIS-DAP probe that is a board's DAP port.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        g_printerr("usb-proxy: %s\n", error->message);
        return EXIT_USAGE;
    }
    if (!board || !command || !command[0]) {
        g_printerr("usb-proxy: --board HOST:PORT and a command are needed\n");
        return EXIT_USAGE;
    }
    if (report_bytes < 8 || report_bytes > (int)USBDEV_PACKET_MAX) {
        g_printerr("usb-proxy: reports have 8 to %u bytes\n", USBDEV_PACKET_MAX);
        return EXIT_USAGE;
    }
    const struct mock_shape shape = {.bulk = !v1 || both,
                                     .report_bytes = v1 || both ? (gsize)report_bytes : 0,
                                     .set_report = set_report,
                                     .busy = busy,
                                     .twin = twin};
    struct wire wire = {0};
    if (!wire_open(&wire, board, &error)) {
        g_printerr("usb-proxy: board %s: %s\n", board, error->message);
        return EXIT_FAILURE;
    }
    static const struct usbdev_ops ops = {wire_send, wire_receive};
    int status = mock_run(&shape, serial, &ops, &wire, command);
    g_object_unref(wire.connection);
    return status;
}
