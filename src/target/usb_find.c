/* Finds CMSIS-DAP probes on USB: "CMSIS-DAP" in the string of a fitting interface or, with older firmware, in the product's
 * (ARM CMSIS-DAP 2.1, "Configure USB Peripheral"). */
#include "target/usb.h"

#include "base/error.h"

#include <string.h>

#define MARK       "CMSIS-DAP"
#define STRING_MAX 256
#define PORTS_MAX  7 /* USB 3.2, 10.1: hubs in a row, and the root's port */

/* Version 2: TRUE if the interface is of the vendor's class and begins with bulk OUT and bulk IN, in this order. */
static gboolean match_bulk(const struct libusb_interface_descriptor *d, ImpUsbWay *out)
{
    if (d->bInterfaceClass != LIBUSB_CLASS_VENDOR_SPEC || d->bNumEndpoints < 2)
        return FALSE;
    const struct libusb_endpoint_descriptor *to = &d->endpoint[0], *from = &d->endpoint[1];
    gboolean bulk = (to->bmAttributes & LIBUSB_TRANSFER_TYPE_MASK) == LIBUSB_TRANSFER_TYPE_BULK &&
                    (from->bmAttributes & LIBUSB_TRANSFER_TYPE_MASK) == LIBUSB_TRANSFER_TYPE_BULK;
    if (!bulk || (to->bEndpointAddress & LIBUSB_ENDPOINT_IN) != 0 ||
        (from->bEndpointAddress & LIBUSB_ENDPOINT_IN) == 0)
        return FALSE;
    out->is_hid = FALSE;
    out->interface = d->bInterfaceNumber;
    out->out = to->bEndpointAddress;
    out->in = from->bEndpointAddress;
    out->packet_bytes = MIN(from->wMaxPacketSize & 0x7FF, IMP_PROBE_PACKET_BYTES_MAX);
    return out->packet_bytes > 0;
}

/* A descriptor's string as UTF-8; "" if there is none. */
static char *string_of(libusb_device_handle *handle, guint8 index)
{
    unsigned char text[STRING_MAX] = "";
    int n_bytes = index != 0 ? libusb_get_string_descriptor_ascii(handle, index, text, sizeof text) : 0;
    return n_bytes > 0 ? g_utf8_make_valid((const char *)text, MIN(n_bytes, STRING_MAX - 1)) : g_strdup("");
}

/* What fits of one device, as far as descriptors tell. */
typedef struct {
    ImpUsbWay way;
    guint8 name; /* index of the interface's string */
} Candidate;

#define CANDIDATES_MAX 16

static guint list_candidates(const struct libusb_config_descriptor *config, Candidate out[CANDIDATES_MAX])
{
    guint n = 0;
    for (guint i = 0; i < config->bNumInterfaces && n < CANDIDATES_MAX; i++) {
        const struct libusb_interface *interface = &config->interface[i];
        if (interface->num_altsetting < 1 || !(match_bulk(&interface->altsetting[0], &out[n].way) ||
                                               imp_usb_hid_match(&interface->altsetting[0], &out[n].way)))
            continue;
        out[n++].name = interface->altsetting[0].iInterface;
    }
    return n;
}

/* Sets the ways that are a probe's. An interface with the mark in its own name goes before those that only belong to a
 * device with the mark in its name: probes have other interfaces of the same kind beside. */
static void choose_ways(ImpUsbFound *found, const Candidate *candidates, guint n_candidates)
{
    gboolean bulk_by_name = FALSE, hid_by_name = FALSE;
    gboolean by_product = strstr(found->about->product, MARK) != NULL;
    for (guint i = 0; i < n_candidates; i++) {
        g_autofree char *name = string_of(found->handle, candidates[i].name);
        gboolean is_hid = candidates[i].way.is_hid, by_name = strstr(name, MARK) != NULL;
        gboolean *has = is_hid ? &found->about->has_hid : &found->about->has_bulk;
        gboolean *has_by_name = is_hid ? &hid_by_name : &bulk_by_name;
        if (*has ? !by_name || *has_by_name : !by_name && !by_product)
            continue;
        *has = TRUE;
        *has_by_name = by_name;
        *(is_hid ? &found->hid : &found->bulk) = candidates[i].way;
    }
}

/* "1-2.3", as the kernel names it: bus, then the ports on the way (sysfs-bus-usb). */
static char *path_of(libusb_device *device)
{
    guint8 ports[PORTS_MAX];
    int n = libusb_get_port_numbers(device, ports, sizeof ports);
    GString *path = g_string_new(NULL);
    g_string_append_printf(path, "%u", libusb_get_bus_number(device));
    for (int i = 0; i < n; i++)
        g_string_append_printf(path, "%c%u", i == 0 ? '-' : '.', ports[i]);
    return g_string_free(path, FALSE);
}

void imp_probe_usb_free(ImpProbeUsb *entry)
{
    if (entry == NULL)
        return;
    g_free(entry->serial);
    g_free(entry->path);
    g_free(entry->product);
    g_free(entry);
}

static void found_free(gpointer data)
{
    ImpUsbFound *found = data;
    if (found->handle != NULL)
        libusb_close(found->handle);
    imp_probe_usb_free(found->about);
    g_free(found);
}

/* The probe that a device is, opened; NULL if it is none. */
static ImpUsbFound *examine(libusb_device *device, gboolean *out_denied)
{
    struct libusb_device_descriptor d;
    struct libusb_config_descriptor *config = NULL;
    if (libusb_get_device_descriptor(device, &d) != 0 ||
        libusb_get_active_config_descriptor(device, &config) != 0)
        return NULL;
    Candidate candidates[CANDIDATES_MAX] = {0};
    guint n_candidates = list_candidates(config, candidates);
    libusb_free_config_descriptor(config);
    if (n_candidates == 0)
        return NULL;
    libusb_device_handle *handle = NULL;
    int status = libusb_open(device, &handle);
    *out_denied = *out_denied || status == LIBUSB_ERROR_ACCESS;
    if (status != LIBUSB_SUCCESS)
        return NULL;
    ImpUsbFound *found = g_new0(ImpUsbFound, 1);
    found->handle = handle;
    found->about = g_new0(ImpProbeUsb, 1);
    found->about->serial = string_of(handle, d.iSerialNumber);
    found->about->path = path_of(device);
    found->about->product = string_of(handle, d.iProduct);
    found->about->vendor_id = d.idVendor;
    found->about->product_id = d.idProduct;
    choose_ways(found, candidates, n_candidates);
    if (found->about->has_bulk || found->about->has_hid)
        return found;
    found_free(found);
    return NULL;
}

static gint compare_found(gconstpointer a, gconstpointer b)
{
    const ImpUsbFound *const *x = a, *const *y = b;
    int order = strcmp((*x)->about->serial, (*y)->about->serial);
    return order != 0 ? order : strcmp((*x)->about->path, (*y)->about->path);
}

GPtrArray *imp_usb_find_all(libusb_context *context, gboolean *out_denied, GError **error)
{
    libusb_device **devices = NULL;
    ssize_t n_devices = libusb_get_device_list(context, &devices);
    if (n_devices < 0) {
        imp_error_set(error, IMP_E_IO, "USB devices cannot be listed: %s", libusb_strerror((int)n_devices));
        return NULL;
    }
    GPtrArray *all = g_ptr_array_new_with_free_func(found_free);
    for (ssize_t i = 0; i < n_devices && all->len < IMP_PROBE_USB_LIST_MAX; i++) {
        ImpUsbFound *found = examine(devices[i], out_denied);
        if (found != NULL)
            g_ptr_array_add(all, found);
    }
    libusb_free_device_list(devices, 1);
    g_ptr_array_sort(all, compare_found);
    return all;
}
