/* A mocked usbdevfs node with one bulk OUT and one bulk IN endpoint (linux/usbdevice_fs.h).
 *
 * OUT transfers go to send(), IN transfers are filled by receive(), one packet each, in order. Both are called in
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
};

typedef struct UsbDev UsbDev;

UsbDev *usbdev_new(const struct usbdev_descriptors *descriptors, const struct usbdev_ops *ops, gpointer user);
UMockdevIoctlBase *usbdev_get_handler(UsbDev *dev); /* borrowed */
void usbdev_free(UsbDev *dev);

#endif
