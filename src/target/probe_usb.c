/* CMSIS-DAP v2 over USB: a vendor-class interface with a bulk OUT and a bulk IN endpoint, in this order; "CMSIS-DAP" in
 * the interface's string or, with older firmware, in the product's (ARM CMSIS-DAP 2.1, "Configure USB Peripheral").
 * Asynchronous transfers: as many packets in flight as the owner submits. */
#include "target/probe-drivers.h"

#include "base/error.h"

#include <libusb.h>
#include <string.h>

#define MARK             "CMSIS-DAP"
#define STRING_MAX       256
#define STALE_TIMEOUT_MS 20 /* an answer that an earlier owner left behind is there at once */
#define STALE_MAX        16
#define CLOSE_TIMEOUT_MS 1000

typedef struct {
    guint8 interface;
    guint8 out, in; /* endpoint addresses */
    guint16 in_packet_bytes;
} Endpoints;

/* One packet: its way out and its way back. */
typedef struct {
    struct libusb_transfer *out, *in;
    gboolean out_pending, in_pending;
    guint8 request[IMP_PROBE_PACKET_BYTES_MAX];
    guint8 response[IMP_PROBE_PACKET_BYTES_MAX];
} Slot;

typedef struct {
    ImpProbe probe;
    const ImpClock *clock;
    libusb_context *context;
    libusb_device_handle *handle;
    Endpoints endpoints;
    gboolean claimed;
    Slot slots[IMP_PROBE_PACKETS_MAX];
    guint64 submitted, collected;
} UsbProbe;

static void fail_usb(const char *name, int status, const char *what, GError **error)
{
    switch (status) {
    case LIBUSB_ERROR_NO_DEVICE:
        imp_error_set(error, IMP_E_PROBE_LOST, "%s: %s: the probe was unplugged", name, what);
        break;
    case LIBUSB_ERROR_ACCESS:
    case LIBUSB_ERROR_BUSY:
        imp_error_set(error, IMP_E_PROBE_BUSY, "%s: %s: %s", name, what, libusb_strerror(status));
        break;
    case LIBUSB_ERROR_TIMEOUT:
        imp_error_set(error, IMP_E_PROBE_TIMEOUT, "%s: %s: no answer", name, what);
        break;
    case LIBUSB_ERROR_OVERFLOW:
        imp_error_set(error, IMP_E_PROBE_PROTOCOL, "%s: %s: more bytes than a packet holds", name, what);
        break;
    default:
        imp_error_set(error, IMP_E_PROBE_LOST, "%s: %s: %s", name, what, libusb_strerror(status));
    }
}

/* A transfer's end in the terms of the synchronous functions. */
static int error_of(enum libusb_transfer_status status)
{
    switch (status) {
    case LIBUSB_TRANSFER_COMPLETED:
        return LIBUSB_SUCCESS;
    case LIBUSB_TRANSFER_TIMED_OUT:
        return LIBUSB_ERROR_TIMEOUT;
    case LIBUSB_TRANSFER_NO_DEVICE:
        return LIBUSB_ERROR_NO_DEVICE;
    case LIBUSB_TRANSFER_OVERFLOW:
        return LIBUSB_ERROR_OVERFLOW;
    case LIBUSB_TRANSFER_STALL:
        return LIBUSB_ERROR_PIPE;
    case LIBUSB_TRANSFER_ERROR:
    case LIBUSB_TRANSFER_CANCELLED:
        break;
    }
    return LIBUSB_ERROR_IO;
}

static void LIBUSB_CALL on_out_done(struct libusb_transfer *transfer)
{
    ((Slot *)transfer->user_data)->out_pending = FALSE;
}

static void LIBUSB_CALL on_in_done(struct libusb_transfer *transfer)
{
    ((Slot *)transfer->user_data)->in_pending = FALSE;
}

/* Lets libusb work until *pending is FALSE; 0 or LIBUSB_ERROR_... */
static int wait_while(UsbProbe *self, const gboolean *pending, guint timeout_ms)
{
    gint64 end = imp_clock_boot_us(self->clock) + (gint64)timeout_ms * 1000;
    while (*pending) {
        gint64 left = end - imp_clock_boot_us(self->clock);
        if (left <= 0)
            return LIBUSB_ERROR_TIMEOUT;
        struct timeval wait = {.tv_sec = left / G_USEC_PER_SEC, .tv_usec = left % G_USEC_PER_SEC};
        int status = libusb_handle_events_timeout_completed(self->context, &wait, NULL);
        if (status != LIBUSB_SUCCESS && status != LIBUSB_ERROR_INTERRUPTED)
            return status;
    }
    return LIBUSB_SUCCESS;
}

static gboolean usb_submit(ImpProbe *probe, const guint8 *request, gsize n_bytes, GError **error)
{
    UsbProbe *self = (UsbProbe *)probe;
    g_assert(n_bytes <= IMP_PROBE_PACKET_BYTES_MAX &&
             self->submitted - self->collected < IMP_PROBE_PACKETS_MAX);
    Slot *slot = &self->slots[self->submitted % IMP_PROBE_PACKETS_MAX];
    int status = wait_while(self, &slot->out_pending, IMP_PROBE_TIMEOUT_MS);
    if (status == LIBUSB_SUCCESS) {
        gsize wanted = probe->packet_bytes != 0 ? probe->packet_bytes : self->endpoints.in_packet_bytes;
        memcpy(slot->request, request, n_bytes);
        libusb_fill_bulk_transfer(slot->out, self->handle, self->endpoints.out, slot->request, (int)n_bytes,
                                  on_out_done, slot, 0);
        libusb_fill_bulk_transfer(slot->in, self->handle, self->endpoints.in, slot->response,
                                  (int)MIN(wanted, sizeof slot->response), on_in_done, slot, 0);
        status = libusb_submit_transfer(slot->out);
        slot->out_pending = status == LIBUSB_SUCCESS;
    }
    if (status == LIBUSB_SUCCESS) {
        status = libusb_submit_transfer(slot->in);
        slot->in_pending = status == LIBUSB_SUCCESS;
    }
    if (status != LIBUSB_SUCCESS) {
        fail_usb(probe->name, status, "sending", error);
        return FALSE;
    }
    self->submitted++;
    return TRUE;
}

static gboolean usb_collect(ImpProbe *probe, guint8 *response, gsize cap, gsize *out_bytes, guint timeout_ms,
                            GError **error)
{
    UsbProbe *self = (UsbProbe *)probe;
    g_assert(self->collected < self->submitted);
    Slot *slot = &self->slots[self->collected % IMP_PROBE_PACKETS_MAX];
    int status = wait_while(self, &slot->in_pending, timeout_ms);
    if (status == LIBUSB_SUCCESS)
        status = error_of(slot->in->status);
    if (status != LIBUSB_SUCCESS) {
        fail_usb(probe->name, status, "receiving", error);
        return FALSE;
    }
    self->collected++;
    gsize n_bytes = (gsize)slot->in->actual_length;
    if (n_bytes == 0 || n_bytes > cap) {
        imp_error_set(error, IMP_E_PROBE_PROTOCOL, "%s: answer of %zu bytes", probe->name, n_bytes);
        return FALSE;
    }
    memcpy(response, slot->response, n_bytes);
    *out_bytes = n_bytes;
    return TRUE;
}

/* Transfers that cannot be got back stay allocated: libusb may still write into them. */
static gboolean cancel_all(UsbProbe *self)
{
    gboolean all = TRUE;
    for (guint i = 0; i < IMP_PROBE_PACKETS_MAX; i++) {
        Slot *slot = &self->slots[i];
        if (slot->out_pending)
            libusb_cancel_transfer(slot->out);
        if (slot->in_pending)
            libusb_cancel_transfer(slot->in);
    }
    for (guint i = 0; i < IMP_PROBE_PACKETS_MAX; i++) {
        Slot *slot = &self->slots[i];
        all = wait_while(self, &slot->out_pending, CLOSE_TIMEOUT_MS) == LIBUSB_SUCCESS && all;
        all = wait_while(self, &slot->in_pending, CLOSE_TIMEOUT_MS) == LIBUSB_SUCCESS && all;
    }
    return all;
}

static void usb_close(ImpProbe *probe)
{
    UsbProbe *self = (UsbProbe *)probe;
    if (!cancel_all(self)) {
        g_debug("%s: transfers do not end; left behind", probe->name);
        return;
    }
    for (guint i = 0; i < IMP_PROBE_PACKETS_MAX; i++) {
        libusb_free_transfer(self->slots[i].out);
        libusb_free_transfer(self->slots[i].in);
    }
    if (self->claimed)
        libusb_release_interface(self->handle, self->endpoints.interface);
    if (self->handle != NULL)
        libusb_close(self->handle);
    libusb_exit(self->context);
    g_free(self);
}

static const ImpProbeOps usb_ops = {usb_submit, usb_collect, usb_close};

/* TRUE if the interface is of the right class and begins with bulk OUT and bulk IN. */
static gboolean match_interface(const struct libusb_interface_descriptor *d, Endpoints *out)
{
    if (d->bInterfaceClass != LIBUSB_CLASS_VENDOR_SPEC || d->bNumEndpoints < 2)
        return FALSE;
    const struct libusb_endpoint_descriptor *to = &d->endpoint[0], *from = &d->endpoint[1];
    gboolean bulk = (to->bmAttributes & LIBUSB_TRANSFER_TYPE_MASK) == LIBUSB_TRANSFER_TYPE_BULK &&
                    (from->bmAttributes & LIBUSB_TRANSFER_TYPE_MASK) == LIBUSB_TRANSFER_TYPE_BULK;
    if (!bulk || (to->bEndpointAddress & LIBUSB_ENDPOINT_IN) != 0 ||
        (from->bEndpointAddress & LIBUSB_ENDPOINT_IN) == 0)
        return FALSE;
    out->interface = d->bInterfaceNumber;
    out->out = to->bEndpointAddress;
    out->in = from->bEndpointAddress;
    out->in_packet_bytes = MIN(from->wMaxPacketSize & 0x7FF, IMP_PROBE_PACKET_BYTES_MAX);
    return out->in_packet_bytes > 0;
}

/* A descriptor's string as UTF-8; "" if there is none. */
static char *string_of(libusb_device_handle *handle, guint8 index)
{
    unsigned char text[STRING_MAX] = "";
    int n_bytes = index != 0 ? libusb_get_string_descriptor_ascii(handle, index, text, sizeof text) : 0;
    return n_bytes > 0 ? g_utf8_make_valid((const char *)text, MIN(n_bytes, STRING_MAX - 1)) : g_strdup("");
}

typedef struct {
    libusb_device_handle *handle; /* NULL if it may not be opened */
    Endpoints endpoints;
    ImpProbeUsb *about;
} Found;

/* Looks whether a device is a probe. TRUE and a closed or open handle in *out; FALSE if it is none. Devices without a
 * fitting interface are never opened. */
static gboolean examine(libusb_device *device, Found *out, gboolean *out_denied)
{
    struct libusb_device_descriptor d;
    struct libusb_config_descriptor *config = NULL;
    if (libusb_get_device_descriptor(device, &d) != 0 ||
        libusb_get_active_config_descriptor(device, &config) != 0)
        return FALSE;
    gboolean found = FALSE, by_product = FALSE;
    libusb_device_handle *handle = NULL;
    g_autofree char *product = NULL;
    for (guint i = 0; i < config->bNumInterfaces && !found; i++) {
        Endpoints endpoints;
        if (config->interface[i].num_altsetting < 1 ||
            !match_interface(&config->interface[i].altsetting[0], &endpoints))
            continue;
        if (handle == NULL) {
            int status = libusb_open(device, &handle);
            *out_denied = *out_denied || status == LIBUSB_ERROR_ACCESS;
            if (status != LIBUSB_SUCCESS)
                break;
            product = string_of(handle, d.iProduct);
            by_product = strstr(product, MARK) != NULL;
        }
        g_autofree char *name = string_of(handle, config->interface[i].altsetting[0].iInterface);
        found = strstr(name, MARK) != NULL || by_product;
        out->endpoints = endpoints;
    }
    if (found) {
        out->handle = handle;
        out->about = g_new0(ImpProbeUsb, 1);
        out->about->serial = string_of(handle, d.iSerialNumber);
        out->about->product = g_steal_pointer(&product);
        out->about->vendor_id = d.idVendor;
        out->about->product_id = d.idProduct;
    } else if (handle != NULL) {
        libusb_close(handle);
    }
    libusb_free_config_descriptor(config);
    return found;
}

void imp_probe_usb_free(ImpProbeUsb *entry)
{
    if (entry == NULL)
        return;
    g_free(entry->serial);
    g_free(entry->product);
    g_free(entry);
}

static void found_free(gpointer data)
{
    Found *found = data;
    if (found->handle != NULL)
        libusb_close(found->handle);
    imp_probe_usb_free(found->about);
    g_free(found);
}

static gint compare_found(gconstpointer a, gconstpointer b)
{
    const Found *const *x = a, *const *y = b;
    return strcmp((*x)->about->serial, (*y)->about->serial);
}

/* Every probe, opened; elements are Found. NULL and IMP_E_IO. */
static GPtrArray *find_all(libusb_context *context, gboolean *out_denied, GError **error)
{
    libusb_device **devices = NULL;
    ssize_t n_devices = libusb_get_device_list(context, &devices);
    if (n_devices < 0) {
        imp_error_set(error, IMP_E_IO, "USB devices cannot be listed: %s", libusb_strerror((int)n_devices));
        return NULL;
    }
    GPtrArray *all = g_ptr_array_new_with_free_func(found_free);
    for (ssize_t i = 0; i < n_devices && all->len < IMP_PROBE_USB_LIST_MAX; i++) {
        Found found = {0};
        if (examine(devices[i], &found, out_denied))
            g_ptr_array_add(all, g_memdup2(&found, sizeof found));
    }
    libusb_free_device_list(devices, 1);
    g_ptr_array_sort(all, compare_found);
    return all;
}

static libusb_context *new_context(GError **error)
{
    libusb_context *context = NULL;
    int status = libusb_init(&context);
    if (status == LIBUSB_SUCCESS)
        return context;
    imp_error_set(error, IMP_E_IO, "USB cannot be used: %s", libusb_strerror(status));
    return NULL;
}

GPtrArray *imp_probe_list_usb(GError **error)
{
    libusb_context *context = new_context(error);
    if (context == NULL)
        return NULL;
    gboolean denied = FALSE;
    GPtrArray *all = find_all(context, &denied, error);
    GPtrArray *list = NULL;
    if (all != NULL) {
        list = g_ptr_array_new_with_free_func((GDestroyNotify)imp_probe_usb_free);
        for (guint i = 0; i < all->len; i++)
            g_ptr_array_add(list, g_steal_pointer(&((Found *)all->pdata[i])->about));
        g_ptr_array_unref(all);
    }
    libusb_exit(context);
    return list;
}

/* The one that is meant; NULL and why not. */
static Found *choose(GPtrArray *all, const char *serial, gboolean denied, GError **error)
{
    g_autoptr(GString) names = g_string_new("");
    Found *chosen = NULL;
    guint matches = 0;
    for (guint i = 0; i < all->len; i++) {
        Found *found = all->pdata[i];
        g_string_append_printf(names, "%s%s (%s)", i > 0 ? ", " : "", found->about->serial,
                               found->about->product);
        if (*serial == '\0' || strcmp(serial, found->about->serial) == 0) {
            chosen = found;
            matches++;
        }
    }
    if (matches == 1)
        return chosen;
    if (matches > 1)
        imp_error_set(error, IMP_E_PROBE_AMBIGUOUS, "usb:%s: %u probes could be meant; there are: %s", serial,
                      matches, names->str);
    else
        imp_error_set(error, IMP_E_PROBE_NOT_FOUND, "usb:%s: no such probe; there %s%s%s", serial,
                      all->len > 0 ? "are: " : "is none", names->str,
                      denied ? "; a device that may be one cannot be opened: permission denied" : "");
    return NULL;
}

/* Throws away what an earlier owner did not fetch. */
static void drain(UsbProbe *self)
{
    unsigned char waste[IMP_PROBE_PACKET_BYTES_MAX];
    int got;
    for (guint i = 0; i < STALE_MAX; i++)
        if (libusb_bulk_transfer(self->handle, self->endpoints.in, waste, sizeof waste, &got,
                                 STALE_TIMEOUT_MS) != 0)
            return;
}

static gboolean claim(UsbProbe *self, GError **error)
{
    int status = libusb_claim_interface(self->handle, self->endpoints.interface);
    if (status != LIBUSB_SUCCESS) {
        fail_usb(self->probe.name, status, "claiming the interface", error);
        return FALSE;
    }
    self->claimed = TRUE;
    drain(self);
    return TRUE;
}

ImpProbe *imp_probe_usb_open(const char *serial, const ImpClock *clock, GError **error)
{
    libusb_context *context = new_context(error);
    if (context == NULL)
        return NULL;
    UsbProbe *self = g_new0(UsbProbe, 1);
    self->probe.ops = &usb_ops;
    self->probe.packet_bytes_max = IMP_PROBE_PACKET_BYTES_MAX;
    self->clock = clock;
    self->context = context;
    for (guint i = 0; i < IMP_PROBE_PACKETS_MAX; i++) {
        self->slots[i].out = libusb_alloc_transfer(0);
        self->slots[i].in = libusb_alloc_transfer(0);
        g_assert(self->slots[i].out != NULL &&
                 self->slots[i].in != NULL); /* out of memory, as GLib does it */
    }
    gboolean denied = FALSE, good = FALSE;
    GPtrArray *all = find_all(context, &denied, error);
    Found *found = all != NULL ? choose(all, serial, denied, error) : NULL;
    if (found != NULL) {
        g_snprintf(self->probe.name, sizeof self->probe.name, "usb:%s (%s)", found->about->serial,
                   found->about->product);
        self->handle = g_steal_pointer(&found->handle);
        self->endpoints = found->endpoints;
    }
    if (all != NULL)
        g_ptr_array_unref(all);
    if (found != NULL)
        good = claim(self, error);
    if (good)
        return &self->probe;
    usb_close(&self->probe);
    return NULL;
}
