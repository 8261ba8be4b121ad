/* A mocked usbdevfs node of a probe (linux/usbdevice_fs.h): a pair of bulk endpoints, a HID interface, or both.
 *
 * OUT transfers (and reports by SET_REPORT) go to send(), IN transfers are filled by receive(), one packet each, in order;
 * on the HID interface padded to a report. At first the kernel's HID driver holds that interface, as it really does: it
 * must be taken from it before it can be claimed or used.
 * Both are called in
 * umockdev's worker thread, which makes all calls of one device node one after the other: the two need no lock.
 * Life cycle: usbdev_new(), umockdev_testbed_attach_ioctl() with usbdev_get_handler(), usbdev_free() after detaching. */
#ifndef TESTS_TOOLS_USB_PROXY_USBDEV_H
#define TESTS_TOOLS_USB_PROXY_USBDEV_H

#include <umockdev.h>

#define USBDEV_PACKET_MAX 1024u

struct usbdev_ops {
    /* TRUE: the packet is on its way */
    gboolean (*send)(gpointer user, const guint8 *packet, gsize size);
    /* Waits at most timeout_ms: > 0 bytes received, 0 nothing yet, -1 the other side is gone */
    gssize (*receive)(gpointer user, guint8 packet[USBDEV_PACKET_MAX], int timeout_ms);
};

struct usbdev_descriptors {
    const guint8 *bytes; /* device descriptor, then the configuration with all that belongs to it */
    gsize size;
    const char *const *strings; /* index 1 and up; NULL-terminated */
    gsize report_bytes; /* of the HID interface; 0: there is none */
    guint8 hid_interface, hid_in, hid_out; /* its number and its endpoints; hid_out 0: none */
    gboolean busy; /* another program has claimed the interfaces */
};

typedef struct UsbDev UsbDev;

UsbDev *usbdev_new(const struct usbdev_descriptors *descriptors, const struct usbdev_ops *ops, gpointer user);
UMockdevIoctlBase *usbdev_get_handler(UsbDev *dev); /* borrowed */
void usbdev_free(UsbDev *dev);

#endif
