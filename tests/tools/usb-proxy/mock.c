#include "mock.h"

#include <glib-unix.h>
#include <sys/wait.h>

#define PRELOAD "libumockdev-preload.so.0"
#define NODE    "/dev/bus/usb/001/002"
#define TWIN    "/dev/bus/usb/001/003"
#define VENDOR  0x1209 /* pid.codes; the product ID is one of its numbers for tests */
#define PRODUCT 0x0001
enum { EP_OUT = 0x01, EP_IN = 0x82, EP_HID_OUT = 0x03, EP_HID_IN = 0x84 };
enum { EXIT_NO_CHILD = 127, EXIT_BY_SIGNAL = 128 };

enum { USB_CLASS_HID = 3, USB_CLASS_VENDOR = 0xFF };
enum { TYPE_BULK = 2, TYPE_INTERRUPT = 3 };

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
static void add_hid(GByteArray *to, guint8 number, const struct mock_shape *shape)
{
    g_byte_array_append(to, (guint8[]){9, 4, number, 0, shape->set_report ? 1 : 2, USB_CLASS_HID, 0, 0, 5},
                        9);
    g_byte_array_append(to, (guint8[]){9, 0x21, 0x11, 0x01, 0, 1, 0x22, 33, 0}, 9);
    add_endpoint(to, EP_HID_IN, TYPE_INTERRUPT, shape->report_bytes);
    if (!shape->set_report)
        add_endpoint(to, EP_HID_OUT, TYPE_INTERRUPT, shape->report_bytes);
}

static GByteArray *make_descriptors(const struct mock_shape *shape)
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

/* number: 2 is NODE, 3 is TWIN. */
static gboolean add_device(UMockdevTestbed *bed, guint number, const GByteArray *descriptors,
                           const char *const *strings, GError **error)
{
    g_autoptr(GString) hex = g_string_new(NULL);
    for (gsize i = 0; i < descriptors->len; i++)
        g_string_append_printf(hex, "%02X", descriptors->data[i]);
    g_autofree char *text = g_strdup_printf("P: /devices/pci0000:00/0000:00:14.0/usb1/1-%u\n"
                                            "N: bus/usb/001/%03u\n"
                                            "E: DEVNAME=/dev/bus/usb/001/%03u\n"
                                            "E: DEVTYPE=usb_device\n"
                                            "E: BUSNUM=001\nE: DEVNUM=%03u\n"
                                            "E: SUBSYSTEM=usb\n"
                                            "A: busnum=1\\n\nA: devnum=%u\\n\nA: speed=480\\n\n"
                                            "A: bConfigurationValue=1\\n\n"
                                            "A: idVendor=%04x\\n\nA: idProduct=%04x\\n\n"
                                            "A: manufacturer=%s\\n\nA: product=%s\\n\nA: serial=%s\\n\n"
                                            "H: descriptors=%s\n",
                                            number - 1, number, number, number, number, VENDOR, PRODUCT,
                                            strings[0], strings[1], strings[2], hex->str);
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
        g_printerr("%s: %s\n", argv[0], error->message);
    }
    g_source_remove(term);
    g_source_remove(intr);
    g_main_loop_unref(c.loop);
    return c.status;
}

int mock_run(const struct mock_shape *shape, const char *serial, const struct usbdev_ops *ops, gpointer user,
             char **argv)
{
    g_autoptr(GError) error = NULL;
    const char *own = serial ? serial : "USBPROXY1";
    g_autofree char *others = g_strconcat(own, "-B", NULL);
    const char *strings[] = {"Imprint", "Imprint CMSIS-DAP (mocked USB)", own, "CMSIS-DAP v2", "CMSIS-DAP v1",
                             NULL};
    g_autoptr(GByteArray) descriptors = make_descriptors(shape);
    const struct usbdev_descriptors d = {.bytes = descriptors->data,
                                         .size = descriptors->len,
                                         .strings = strings,
                                         .report_bytes = shape->report_bytes,
                                         .hid_interface = 0,
                                         .hid_in = EP_HID_IN,
                                         .hid_out = shape->set_report ? 0 : EP_HID_OUT,
                                         .busy = shape->busy};
    const char *twin_strings[] = {strings[0], strings[1], others, strings[3], strings[4], NULL};
    struct usbdev_descriptors twin_d = d;
    twin_d.strings = twin_strings;
    UsbDev *dev = usbdev_new(&d, ops, user), *twin = usbdev_new(&twin_d, ops, user);
    UMockdevTestbed *bed = umockdev_testbed_new();
    int status = EXIT_FAILURE;
    if (add_device(bed, 2, descriptors, strings, &error) &&
        (!shape->twin || add_device(bed, 3, descriptors, twin_strings, &error)) &&
        umockdev_testbed_attach_ioctl(bed, NODE, usbdev_get_handler(dev), &error) &&
        (!shape->twin || umockdev_testbed_attach_ioctl(bed, TWIN, usbdev_get_handler(twin), &error)))
        status = run_child(argv);
    else
        g_printerr("%s: %s\n", argv[0], error->message);
    (void)umockdev_testbed_detach_ioctl(bed, NODE, NULL);
    if (shape->twin)
        (void)umockdev_testbed_detach_ioctl(bed, TWIN, NULL);
    g_object_unref(bed);
    usbdev_free(dev);
    usbdev_free(twin);
    return status;
}
