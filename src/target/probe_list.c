#include "target/probe_list.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MARK                  "CMSIS-DAP"
#define DESCRIPTORS_BYTES_MAX (64 * 1024) /* a configuration's total length is 16 bits */
/* USB 2.0, tables 9-5 (types), 9-12 (interface), 9-13 (endpoint); base class codes */
#define TYPE_INTERFACE  4
#define TYPE_ENDPOINT   5
#define INTERFACE_BYTES 9
#define ENDPOINT_BYTES  7
#define CLASS_HID       0x03
#define CLASS_VENDOR    0xFF
#define ENDPOINT_IN     0x80
#define TRANSFER_MASK   0x03
#define TRANSFER_BULK   0x02

/* An attribute's text without its newline; "" if there is none. */
static char *attribute(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return g_strdup("");
    char *valid = g_utf8_make_valid(text, -1);
    return g_strstrip(valid);
}

static guint64 attribute_number(const char *dir, const char *name, guint base)
{
    g_autofree char *text = attribute(dir, name);
    guint64 number = 0;
    return g_ascii_string_to_unsigned(text, base, 0, G_MAXUINT16, &number, NULL) ? number : 0;
}

/* The name of an interface: a directory beside the device's own, "1-1.2:1.0". */
static char *interface_name(const char *sysfs_dir, const ImpProbeSeen *seen, guint64 configuration,
                            guint interface)
{
    g_autofree char *dir =
        g_strdup_printf("%s/%s:%" G_GUINT64_FORMAT ".%u", sysfs_dir, seen->path, configuration, interface);
    return attribute(dir, "interface");
}

/* bulk OUT first, then bulk IN: the two descriptors that follow the interface's */
static gboolean begins_with_bulk(const guint8 *d, gsize left)
{
    static const guint8 direction[] = {0, ENDPOINT_IN};
    for (guint i = 0; i < G_N_ELEMENTS(direction);) {
        if (left < 2 || d[0] < 2 || d[0] > left || d[1] == TYPE_INTERFACE)
            return FALSE;
        if (d[1] == TYPE_ENDPOINT) {
            if (d[0] < ENDPOINT_BYTES || (d[2] & ENDPOINT_IN) != direction[i] ||
                (d[3] & TRANSFER_MASK) != TRANSFER_BULK)
                return FALSE;
            i++;
        }
        left -= d[0];
        d += d[0];
    }
    return TRUE;
}

/* Walks the descriptors, as the kernel read them from the device. */
static void find_interfaces(const char *sysfs_dir, const char *dir, ImpProbeSeen *seen)
{
    g_autofree char *path = g_build_filename(dir, "descriptors", NULL);
    g_autofree char *bytes = NULL;
    gsize n_bytes = 0;
    if (!g_file_get_contents(path, &bytes, &n_bytes, NULL) || n_bytes > DESCRIPTORS_BYTES_MAX)
        return;
    guint64 configuration = attribute_number(dir, "bConfigurationValue", 10);
    gboolean by_product = strstr(seen->product, MARK) != NULL;
    const guint8 *d = (const guint8 *)bytes;
    for (gsize at = 0; at + 2 <= n_bytes && d[at] >= 2 && d[at] <= n_bytes - at; at += d[at]) {
        if (d[at + 1] != TYPE_INTERFACE || d[at] < INTERFACE_BYTES || d[at + 3] != 0)
            continue;
        guint8 class = d[at + 5];
        if (class != CLASS_HID && class != CLASS_VENDOR)
            continue;
        g_autofree char *name = interface_name(sysfs_dir, seen, configuration, d[at + 2]);
        if (!by_product && strstr(name, MARK) == NULL)
            continue;
        gsize next = at + d[at];
        if (class == CLASS_HID)
            seen->has_hid = TRUE;
        else if (begins_with_bulk(d + next, n_bytes - next))
            seen->has_bulk = TRUE;
    }
}

static ImpProbeAccess access_to(const char *node)
{
    if (access(node, R_OK | W_OK) == 0)
        return IMP_PROBE_ACCESS_GOOD;
    return errno == ENOENT || errno == ENOTDIR ? IMP_PROBE_ACCESS_NO_NODE : IMP_PROBE_ACCESS_DENIED;
}

/* The probe that a device is; NULL if it is none. */
static ImpProbeSeen *examine(const char *sysfs_dir, const char *node_dir, const char *name)
{
    g_autofree char *dir = g_build_filename(sysfs_dir, name, NULL);
    g_autoptr(ImpProbeSeen) seen = g_new0(ImpProbeSeen, 1);
    seen->path = g_strdup(name);
    seen->product = attribute(dir, "product");
    find_interfaces(sysfs_dir, dir, seen);
    if (!seen->has_bulk && !seen->has_hid)
        return NULL;
    seen->vendor = attribute(dir, "manufacturer");
    seen->serial = attribute(dir, "serial");
    seen->vendor_id = (guint16)attribute_number(dir, "idVendor", 16);
    seen->product_id = (guint16)attribute_number(dir, "idProduct", 16);
    seen->node = g_strdup_printf("%s/%03u/%03u", node_dir, (guint)attribute_number(dir, "busnum", 10),
                                 (guint)attribute_number(dir, "devnum", 10));
    seen->access = access_to(seen->node);
    return g_steal_pointer(&seen);
}

static gint compare_seen(gconstpointer a, gconstpointer b)
{
    const ImpProbeSeen *const *x = a, *const *y = b;
    int order = strcmp((*x)->serial, (*y)->serial);
    return order != 0 ? order : strcmp((*x)->path, (*y)->path);
}

GPtrArray *imp_probe_list_seen(const char *sysfs_dir, const char *node_dir)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)imp_probe_seen_free);
    g_autoptr(GDir) dir = g_dir_open(sysfs_dir, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL && list->len < IMP_PROBE_USB_LIST_MAX) {
        if (strchr(name, ':') != NULL) /* an interface */
            continue;
        ImpProbeSeen *seen = examine(sysfs_dir, node_dir, name);
        if (seen != NULL)
            g_ptr_array_add(list, seen);
    }
    g_ptr_array_sort(list, compare_seen);
    return list;
}

void imp_probe_seen_free(ImpProbeSeen *seen)
{
    if (seen == NULL)
        return;
    g_free(seen->path);
    g_free(seen->node);
    g_free(seen->vendor);
    g_free(seen->product);
    g_free(seen->serial);
    g_free(seen);
}

char *imp_probe_udev_rule(const ImpProbeSeen *seen)
{
    return g_strdup_printf("SUBSYSTEM==\"usb\", ATTR{idVendor}==\"%04x\", ATTR{idProduct}==\"%04x\", "
                           "MODE=\"0660\", GROUP=\"plugdev\", TAG+=\"uaccess\"",
                           seen->vendor_id, seen->product_id);
}
