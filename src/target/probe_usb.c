/* CMSIS-DAP over USB, version 2 (a vendor-class interface with a bulk OUT and a bulk IN endpoint) and version 1 (HID reports,
 * see probe_hid.c): each packet is one transfer out and one back. The transfers are asynchronous: as many packets are in
 * flight as the owner submits. */
#include "target/probe-drivers.h"
#include "target/usb.h"

#include "base/error.h"

#include <string.h>

#define STALE_TIMEOUT_MS 20 /* an answer that an earlier owner left behind is there at once */
#define STALE_MAX        16
#define CLOSE_TIMEOUT_MS 1000

/* One packet: its way out and its way back. */
typedef struct {
    struct libusb_transfer *out, *in;
    gboolean out_pending, in_pending;
    guint8 request[IMP_USB_OUT_BUFFER_BYTES];
    guint8 response[IMP_PROBE_PACKET_BYTES_MAX];
} Slot;

typedef struct {
    ImpProbe probe;
    const ImpClock *clock;
    libusb_context *context;
    libusb_device_handle *handle;
    ImpUsbWay way;
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
        imp_error_set(error, IMP_E_PROBE_BUSY,
                      "%s: %s: this user may not open the probe; imprint doctor says how to allow it", name,
                      what);
        break;
    case LIBUSB_ERROR_BUSY:
        imp_error_set(error, IMP_E_PROBE_BUSY, "%s: %s: another program has the probe open", name, what);
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

static void fill_transfers(UsbProbe *self, Slot *slot, const guint8 *request, gsize n_bytes)
{
    const ImpUsbWay *way = &self->way;
    if (way->is_hid) {
        imp_usb_hid_fill_out(slot->out, self->handle, way, slot->request, request, n_bytes, on_out_done,
                             slot);
        libusb_fill_interrupt_transfer(slot->in, self->handle, way->in, slot->response, way->packet_bytes,
                                       on_in_done, slot, 0);
        return;
    }
    gsize wanted = self->probe.packet_bytes != 0 ? self->probe.packet_bytes : way->packet_bytes;
    memcpy(slot->request, request, n_bytes);
    libusb_fill_bulk_transfer(slot->out, self->handle, way->out, slot->request, (int)n_bytes, on_out_done,
                              slot, 0);
    libusb_fill_bulk_transfer(slot->in, self->handle, way->in, slot->response,
                              (int)MIN(wanted, sizeof slot->response), on_in_done, slot, 0);
}

static gboolean usb_submit(ImpProbe *probe, const guint8 *request, gsize n_bytes, GError **error)
{
    UsbProbe *self = (UsbProbe *)probe;
    g_assert(n_bytes <= probe->packet_bytes_max && self->submitted - self->collected < IMP_PROBE_PACKETS_MAX);
    Slot *slot = &self->slots[self->submitted % IMP_PROBE_PACKETS_MAX];
    int status = wait_while(self, &slot->out_pending, IMP_PROBE_TIMEOUT_MS);
    if (status == LIBUSB_SUCCESS) {
        fill_transfers(self, slot, request, n_bytes);
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
        libusb_release_interface(self->handle, self->way.interface);
    if (self->handle != NULL)
        libusb_close(self->handle);
    libusb_exit(self->context);
    g_free(self);
}

static const ImpProbeOps usb_ops = {usb_submit, usb_collect, usb_close};

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
    GPtrArray *all = imp_usb_find_all(context, &denied, error);
    GPtrArray *list = NULL;
    if (all != NULL) {
        list = g_ptr_array_new_with_free_func((GDestroyNotify)imp_probe_usb_free);
        for (guint i = 0; i < all->len; i++)
            g_ptr_array_add(list, g_steal_pointer(&((ImpUsbFound *)all->pdata[i])->about));
        g_ptr_array_unref(all);
    }
    libusb_exit(context);
    return list;
}

/* How people can name it: by its serial number, or by its place. */
static void add_name(GString *names, const ImpProbeUsb *about)
{
    g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", about->serial);
    g_string_append_printf(names, "%s%s (%s)", about->serial[0] != '\0' ? " at " : "", about->path,
                           about->product);
}

static gboolean is_meant(const ImpProbeUsb *about, const char *wanted)
{
    return *wanted == '\0' || strcmp(wanted, about->serial) == 0 || strcmp(wanted, about->path) == 0;
}

/* The one that is meant; NULL and why not. */
static ImpUsbFound *choose(GPtrArray *all, const char *wanted, gboolean only_hid, gboolean denied,
                           GError **error)
{
    g_autoptr(GString) names = g_string_new("");
    const char *kind = only_hid ? "hid" : "usb";
    ImpUsbFound *chosen = NULL;
    guint matches = 0;
    for (guint i = 0; i < all->len; i++) {
        ImpUsbFound *found = all->pdata[i];
        if (only_hid && !found->about->has_hid)
            continue;
        add_name(names, found->about);
        if (is_meant(found->about, wanted)) {
            chosen = found;
            matches++;
        }
    }
    if (matches == 1)
        return chosen;
    if (matches > 1)
        imp_error_set(error, IMP_E_PROBE_AMBIGUOUS, "%s:%s: %u probes could be meant; there are: %s", kind,
                      wanted, matches, names->str);
    else {
        const char *which = only_hid ? "HID probe" : "probe";
        g_autofree char *why =
            names->len == 0
                ? g_strdup_printf("there is no %s on USB", which)
                : g_strdup_printf("no %s on USB has the serial number or the place %s; there are: %s", which,
                                  wanted, names->str);
        imp_error_set(error, IMP_E_PROBE_NOT_FOUND, "%s%s", why,
                      denied ? "; a device that may be one cannot be opened: permission denied" : "");
    }
    return NULL;
}

/* Throws away what an earlier owner did not fetch. */
static void drain(UsbProbe *self)
{
    unsigned char waste[IMP_PROBE_PACKET_BYTES_MAX];
    int got;
    int wanted = self->way.is_hid ? self->way.packet_bytes : (int)sizeof waste;
    for (guint i = 0; i < STALE_MAX; i++)
        if ((self->way.is_hid ? libusb_interrupt_transfer : libusb_bulk_transfer)(
                self->handle, self->way.in, waste, wanted, &got, STALE_TIMEOUT_MS) != 0)
            return;
}

static gboolean claim(UsbProbe *self, GError **error)
{
    if (self->way.is_hid)
        imp_usb_hid_borrow(self->handle);
    int status = libusb_claim_interface(self->handle, self->way.interface);
    if (status != LIBUSB_SUCCESS) {
        fail_usb(self->probe.name, status, "claiming the interface", error);
        return FALSE;
    }
    self->claimed = TRUE;
    drain(self);
    return TRUE;
}

ImpProbe *imp_probe_usb_open(const char *serial, gboolean only_hid, const ImpClock *clock, GError **error)
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
    GPtrArray *all = imp_usb_find_all(context, &denied, error);
    ImpUsbFound *found = all != NULL ? choose(all, serial, only_hid, denied, error) : NULL;
    if (found != NULL) {
        self->way = only_hid || !found->about->has_bulk ? found->hid : found->bulk;
        self->probe.padded = self->way.is_hid;
        if (self->way.is_hid)
            self->probe.packet_bytes_max = self->way.packet_bytes;
        g_snprintf(self->probe.name, sizeof self->probe.name, "%s:%s (%s)", self->way.is_hid ? "hid" : "usb",
                   found->about->serial, found->about->product);
        self->handle = g_steal_pointer(&found->handle);
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
