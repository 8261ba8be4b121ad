/* What the USB files of target/ share: finding probes (usb_find.c), packets as transfers (probe_usb.c), and what is special
 * about CMSIS-DAP v1 (probe_hid.c). Internal to target/. Thread rule: one thread at a time for a context and all of it.
 *
 * Sources: ARM CMSIS-DAP 2.1, "Configure USB Peripheral"; USB Device Class Definition for HID 1.11. */
#pragma once

#include "target/probe.h"

#include <libusb.h>

/* One way to reach a probe: an interface of it with its endpoints. */
typedef struct {
    gboolean is_hid; /* CMSIS-DAP v1: HID reports; else v2: bulk */
    guint8 interface;
    guint8 out, in; /* endpoint addresses; HID without an OUT endpoint: 0, reports go out by SET_REPORT */
    guint16 packet_bytes; /* HID: of each report; bulk: what the IN endpoint takes at a time */
} ImpUsbWay;

typedef struct {
    libusb_device_handle *handle; /* open; the owner may steal it */
    ImpUsbWay bulk, hid; /* valid as about says */
    ImpProbeUsb *about;
} ImpUsbFound;

/* Every probe, opened, sorted by serial; elements are ImpUsbFound. *out_denied becomes TRUE if a device that may be one
 * may not be opened. Devices without a fitting interface are never opened. NULL and IMP_E_IO. */
GPtrArray *imp_usb_find_all(libusb_context *context, gboolean *out_denied,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TRUE if the interface can be that of a CMSIS-DAP v1 probe: HID, reports of at least IMP_PROBE_PACKET_BYTES_MIN. */
gboolean imp_usb_hid_match(const struct libusb_interface_descriptor *interface, ImpUsbWay *out);

#define IMP_USB_OUT_BUFFER_BYTES (LIBUSB_CONTROL_SETUP_SIZE + IMP_PROBE_PACKET_BYTES_MAX)

/* Makes a report of a packet, zero-padded, and fills the transfer that sends it. The buffer lives as long as the transfer. */
void imp_usb_hid_fill_out(struct libusb_transfer *transfer, libusb_device_handle *handle,
                          const ImpUsbWay *way, guint8 buffer[IMP_USB_OUT_BUFFER_BYTES], const guint8 *packet,
                          gsize n_bytes, libusb_transfer_cb_fn on_done, void *user);

/* Prepares the handle so that claiming the interface takes it from the kernel's HID driver, and releasing gives it back. */
void imp_usb_hid_borrow(libusb_device_handle *handle);
