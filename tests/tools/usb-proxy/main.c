/* usb-proxy --board HOST:PORT [--serial TEXT] -- COMMAND...: see README.md. */
#include "usbdev.h"

#include <gio/gio.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PRELOAD "libumockdev-preload.so.0"
#define NODE    "/dev/bus/usb/001/002"
#define VENDOR  0x1209 /* pid.codes; the product ID is one of its numbers for tests */
#define PRODUCT 0x0001
enum { EP_OUT = 0x01, EP_IN = 0x82, EP_HID_OUT = 0x03, EP_HID_IN = 0x84 };
enum { EXIT_USAGE = 2, EXIT_NO_CHILD = 127, EXIT_BY_SIGNAL = 128 };

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

/* ---- the device ---- */

enum { USB_CLASS_HID = 3, USB_CLASS_VENDOR = 0xFF };
enum { TYPE_BULK = 2, TYPE_INTERRUPT = 3 };

/* What the probe offers. */
struct shape {
    gboolean bulk; /* CMSIS-DAP v2 */
    gsize report_bytes; /* CMSIS-DAP v1: of each report; 0: not offered */
    gboolean set_report; /* without an interrupt OUT endpoint */
};

static void add_endpoint(GByteArray *to, guint8 address, guint8 type, gsize packet_bytes)
{
    g_byte_array_append(to,
                        (guint8[]){7, 5, address, type, (guint8)packet_bytes, (guint8)(packet_bytes >> 8),
                                   type == TYPE_INTERRUPT},
                        7);
}

/* Vendor class, OUT first; packets of 512 bytes: high speed. */
static void add_bulk(GByteArray *to, guint8 number)
{
    g_byte_array_append(to, (guint8[]){9, 4, number, 0, 2, USB_CLASS_VENDOR, 0, 0, 4}, 9);
    add_endpoint(to, EP_OUT, TYPE_BULK, 512);
    add_endpoint(to, EP_IN, TYPE_BULK, 512);
}

/* The HID descriptor (HID 1.11, 6.2.1) promises a report descriptor of 33 bytes, which nobody asks for. */
static void add_hid(GByteArray *to, guint8 number, const struct shape *shape)
{
    g_byte_array_append(to, (guint8[]){9, 4, number, 0, shape->set_report ? 1 : 2, USB_CLASS_HID, 0, 0, 5},
                        9);
    g_byte_array_append(to, (guint8[]){9, 0x21, 0x11, 0x01, 0, 1, 0x22, 33, 0}, 9);
    add_endpoint(to, EP_HID_IN, TYPE_INTERRUPT, shape->report_bytes);
    if (!shape->set_report)
        add_endpoint(to, EP_HID_OUT, TYPE_INTERRUPT, shape->report_bytes);
}

static GByteArray *make_descriptors(const struct shape *shape)
{
    static const guint8 device[] = {
        18,           1,    0x00, 0x02, 0, 0, 0, 64, VENDOR & 0xFF, VENDOR >> 8, PRODUCT & 0xFF,
        PRODUCT >> 8, 0x00, 0x01, 1,    2, 3, 1};
    guint8 n_interfaces = 0;
    GByteArray *interfaces = g_byte_array_new(), *all = g_byte_array_new();
    if (shape->report_bytes != 0)
        add_hid(interfaces, n_interfaces++, shape);
    if (shape->bulk)
        add_bulk(interfaces, n_interfaces++);
    gsize total = 9 + interfaces->len;
    g_byte_array_append(all, device, sizeof device);
    /* configuration: bus powered, 100 mA */
    g_byte_array_append(
        all, (guint8[]){9, 2, (guint8)total, (guint8)(total >> 8), n_interfaces, 1, 0, 0x80, 50}, 9);
    g_byte_array_append(all, interfaces->data, interfaces->len);
    g_byte_array_unref(interfaces);
    return all;
}

static gboolean add_device(UMockdevTestbed *bed, const GByteArray *descriptors, const char *const *strings,
                           GError **error)
{
    g_autoptr(GString) hex = g_string_new(NULL);
    for (gsize i = 0; i < descriptors->len; i++)
        g_string_append_printf(hex, "%02X", descriptors->data[i]);
    g_autofree char *text = g_strdup_printf("P: /devices/pci0000:00/0000:00:14.0/usb1/1-1\n"
                                            "N: bus/usb/001/002\n"
                                            "E: DEVNAME=" NODE "\n"
                                            "E: DEVTYPE=usb_device\n"
                                            "E: BUSNUM=001\nE: DEVNUM=002\n"
                                            "E: SUBSYSTEM=usb\n"
                                            "A: busnum=1\\n\nA: devnum=2\\n\nA: speed=480\\n\n"
                                            "A: bConfigurationValue=1\\n\n"
                                            "A: idVendor=%04x\\n\nA: idProduct=%04x\\n\n"
                                            "A: manufacturer=%s\\n\nA: product=%s\\n\nA: serial=%s\\n\n"
                                            "H: descriptors=%s\n",
                                            VENDOR, PRODUCT, strings[0], strings[1], strings[2], hex->str);
    return umockdev_testbed_add_from_string(bed, text, error);
}

/* ---- the child ---- */

struct child {
    GMainLoop *loop;
    GPid pid;
    int status;
};

static void on_child_end(GPid pid, int wait_status, gpointer user)
{
    struct child *c = user;
    g_spawn_close_pid(pid);
    c->pid = 0;
    c->status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : EXIT_BY_SIGNAL + WTERMSIG(wait_status);
    g_main_loop_quit(c->loop);
}

static gboolean on_terminate(gpointer user)
{
    struct child *c = user;
    if (c->pid)
        kill(c->pid, SIGTERM);
    return G_SOURCE_CONTINUE;
}

static int run_child(char **argv)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) env = g_get_environ();
    struct child c = {.loop = g_main_loop_new(NULL, FALSE), .status = EXIT_NO_CHILD};
    const char *before = g_environ_getenv(env, "LD_PRELOAD");
    g_autofree char *preload =
        before && *before ? g_strconcat(before, " ", PRELOAD, NULL) : g_strdup(PRELOAD);
    env = g_environ_setenv(env, "LD_PRELOAD", preload, TRUE);
    guint term = g_unix_signal_add(SIGTERM, on_terminate, &c),
          intr = g_unix_signal_add(SIGINT, on_terminate, &c);
    if (g_spawn_async(NULL, argv, env,
                      G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CHILD_INHERITS_STDIN, NULL,
                      NULL, &c.pid, &error)) {
        g_child_watch_add(c.pid, on_child_end, &c);
        g_main_loop_run(c.loop);
    } else {
        g_printerr("usb-proxy: %s\n", error->message);
    }
    g_source_remove(term);
    g_source_remove(intr);
    g_main_loop_unref(c.loop);
    return c.status;
}

int main(int argc, char **argv)
{
    g_autofree char *board = NULL, *serial = NULL;
    g_auto(GStrv) command = NULL;
    gboolean v1 = FALSE, both = FALSE, set_report = FALSE;
    int report_bytes = 64;
    const GOptionEntry entries[] = {
        {"board", 'b', 0, G_OPTION_ARG_STRING, &board, "DAP port of the board", "HOST:PORT"},
        {"serial", 's', 0, G_OPTION_ARG_STRING, &serial, "Serial number of the probe (default USBPROXY1)",
         "TEXT"},
        {"v1", 0, 0, G_OPTION_ARG_NONE, &v1, "Offer CMSIS-DAP v1 (HID) in place of v2", NULL},
        {"both", 0, 0, G_OPTION_ARG_NONE, &both, "Offer v1 and v2", NULL},
        {"report-bytes", 0, 0, G_OPTION_ARG_INT, &report_bytes, "Size of HID reports (default 64)", "N"},
        {"set-report", 0, 0, G_OPTION_ARG_NONE, &set_report, "v1 without an interrupt OUT endpoint", NULL},
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
    const struct shape shape = {
        .bulk = !v1 || both, .report_bytes = v1 || both ? (gsize)report_bytes : 0, .set_report = set_report};
    struct wire wire = {0};
    if (!wire_open(&wire, board, &error)) {
        g_printerr("usb-proxy: board %s: %s\n", board, error->message);
        return EXIT_FAILURE;
    }
    const char *strings[] = {"Imprint",
                             "Imprint CMSIS-DAP (mocked USB)",
                             serial ? serial : "USBPROXY1",
                             "CMSIS-DAP v2",
                             "CMSIS-DAP v1",
                             NULL};
    static const struct usbdev_ops ops = {wire_send, wire_receive};
    g_autoptr(GByteArray) descriptors = make_descriptors(&shape);
    const struct usbdev_descriptors d = {.bytes = descriptors->data,
                                         .size = descriptors->len,
                                         .strings = strings,
                                         .report_bytes = shape.report_bytes,
                                         .hid_interface = 0,
                                         .hid_in = EP_HID_IN,
                                         .hid_out = set_report ? 0 : EP_HID_OUT};
    UsbDev *dev = usbdev_new(&d, &ops, &wire);
    UMockdevTestbed *bed = umockdev_testbed_new();
    int status = EXIT_FAILURE;
    if (add_device(bed, descriptors, strings, &error) &&
        umockdev_testbed_attach_ioctl(bed, NODE, usbdev_get_handler(dev), &error))
        status = run_child(command);
    else
        g_printerr("usb-proxy: %s\n", error->message);
    (void)umockdev_testbed_detach_ioctl(bed, NODE, NULL);
    g_object_unref(bed);
    usbdev_free(dev);
    g_object_unref(wire.connection);
    return status;
}
