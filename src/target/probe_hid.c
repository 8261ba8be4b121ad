/* CMSIS-DAP v1: each packet is one HID report without report ID, padded with zeros, on interrupt endpoints. The kernel's
 * own HID driver holds such an interface; libusb takes it over for as long as it is claimed.
 *
 * Reports are as long as the endpoint's packets: 64 bytes, with some high-speed probes 512 or 1024. */
#include "target/usb.h"

#include <string.h>

/* HID 1.11, 7.2.2 Set_Report Request: report type Output (2) in the high byte, report ID 0 */
#define SET_REPORT        0x09
#define SET_REPORT_OUTPUT 0x0200

static gboolean is_interrupt(const struct libusb_endpoint_descriptor *d)
{
    return (d->bmAttributes & LIBUSB_TRANSFER_TYPE_MASK) == LIBUSB_TRANSFER_TYPE_INTERRUPT;
}

gboolean imp_usb_hid_match(const struct libusb_interface_descriptor *d, ImpUsbWay *out)
{
    if (d->bInterfaceClass != LIBUSB_CLASS_HID)
        return FALSE;
    ImpUsbWay way = {.is_hid = TRUE, .interface = d->bInterfaceNumber};
    for (guint i = 0; i < d->bNumEndpoints; i++) {
        const struct libusb_endpoint_descriptor *endpoint = &d->endpoint[i];
        gboolean is_in = (endpoint->bEndpointAddress & LIBUSB_ENDPOINT_IN) != 0;
        if (!is_interrupt(endpoint))
            continue;
        if (is_in && way.in == 0) {
            way.in = endpoint->bEndpointAddress;
            way.packet_bytes = endpoint->wMaxPacketSize & 0x7FF;
        } else if (!is_in && way.out == 0) {
            way.out = endpoint->bEndpointAddress;
        }
    }
    if (way.in == 0 || way.packet_bytes < IMP_PROBE_PACKET_BYTES_MIN ||
        way.packet_bytes > IMP_PROBE_PACKET_BYTES_MAX)
        return FALSE;
    *out = way;
    return TRUE;
}

void imp_usb_hid_fill_out(struct libusb_transfer *transfer, libusb_device_handle *handle,
                          const ImpUsbWay *way, guint8 buffer[IMP_USB_OUT_BUFFER_BYTES], const guint8 *packet,
                          gsize n_bytes, libusb_transfer_cb_fn on_done, void *user)
{
    g_assert(n_bytes <= way->packet_bytes);
    gsize head = way->out == 0 ? LIBUSB_CONTROL_SETUP_SIZE : 0;
    memcpy(buffer + head, packet, n_bytes);
    memset(buffer + head + n_bytes, 0, way->packet_bytes - n_bytes);
    if (way->out != 0) {
        libusb_fill_interrupt_transfer(transfer, handle, way->out, buffer, way->packet_bytes, on_done, user,
                                       0);
        return;
    }
    guint8 type =
        (guint8)LIBUSB_ENDPOINT_OUT | (guint8)LIBUSB_REQUEST_TYPE_CLASS | (guint8)LIBUSB_RECIPIENT_INTERFACE;
    libusb_fill_control_setup(buffer, type, SET_REPORT, SET_REPORT_OUTPUT, way->interface, way->packet_bytes);
    libusb_fill_control_transfer(transfer, handle, buffer, on_done, user, 0);
}

void imp_usb_hid_borrow(libusb_device_handle *handle)
{
    /* Not supported: then there is no such driver either, and claiming tells what is wrong. */
    int status = libusb_set_auto_detach_kernel_driver(handle, 1);
    if (status != LIBUSB_SUCCESS)
        g_debug("the kernel's HID driver stays: %s", libusb_strerror(status));
}
