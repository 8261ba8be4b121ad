#include "usbdev.h"

#include <errno.h>
#include <linux/usb/ch9.h>
#include <linux/usbdevice_fs.h>
#include <string.h>
#include <sys/ioctl.h>

#define REAP_WAIT_MS 2
#define URBS_MAX     256u /* submitted and not reaped */
#define SETUP_BYTES  8u
#define SET_REPORT   0x09 /* HID 1.11, 7.2.2 */

struct urb {
    UMockdevIoctlData *data, *buffer;
    gboolean done;
};

struct UsbDev {
    UMockdevIoctlBase *handler;
    struct usbdev_descriptors descriptors;
    const struct usbdev_ops *ops;
    gpointer user;
    GQueue urbs; /* struct urb *, in the order of submission */
    gboolean kernel_has_hid; /* usbhid is bound to the HID interface */
};

static void urb_free(gpointer p)
{
    struct urb *u = p;
    g_clear_object(&u->data);
    g_clear_object(&u->buffer);
    g_free(u);
}

static void finish(struct urb *u, int status, int length)
{
    umockdev_ioctl_data_update(u->data, offsetof(struct usbdevfs_urb, status), (guint8 *)&status,
                               sizeof status);
    umockdev_ioctl_data_update(u->data, offsetof(struct usbdevfs_urb, actual_length), (guint8 *)&length,
                               sizeof length);
    u->done = TRUE;
}

static void answer_data(struct urb *u, const guint8 *bytes, gsize size, gsize want)
{
    gsize n = MIN(size, want);
    umockdev_ioctl_data_update(u->buffer, SETUP_BYTES, (guint8 *)bytes, (int)n);
    finish(u, 0, (int)n);
}

static void answer_string(UsbDev *d, struct urb *u, guint index, gsize want)
{
    guint8 out[255] = {4, USB_DT_STRING, 0x09, 0x04}; /* index 0: the languages, US English */
    const char *text = NULL;
    for (guint i = 0; index && i < index && (i == 0 || text); i++)
        text = d->descriptors.strings[i];
    if (index && !text) {
        finish(u, -EPIPE, 0);
        return;
    }
    if (text) {
        gsize n = MIN(strlen(text), (sizeof out - 2) / 2);
        for (gsize i = 0; i < n; i++) { /* ASCII to UTF-16LE */
            out[2 + 2 * i] = (guint8)text[i];
            out[3 + 2 * i] = 0;
        }
        out[0] = (guint8)(2 + 2 * n);
    }
    answer_data(u, out, out[0], want);
}

static void control_transfer(UsbDev *d, struct urb *u)
{
    const struct usb_ctrlrequest *r = (const struct usb_ctrlrequest *)(const void *)u->buffer->data;
    guint16 value = GUINT16_FROM_LE(r->wValue), length = GUINT16_FROM_LE(r->wLength);
    if (!(r->bRequestType & USB_DIR_IN)) {
        gboolean report =
            r->bRequestType == (USB_TYPE_CLASS | USB_RECIP_INTERFACE) && r->bRequest == SET_REPORT;
        gboolean good = !report || (length == d->descriptors.report_bytes && !d->kernel_has_hid &&
                                    (gsize)u->buffer->data_len >= SETUP_BYTES + length &&
                                    d->ops->send(d->user, u->buffer->data + SETUP_BYTES, length));
        finish(u, good ? 0 : -ENODEV, good ? length : 0);
        return;
    }
    if (r->bRequest != USB_REQ_GET_DESCRIPTOR || (gsize)u->buffer->data_len < SETUP_BYTES + length) {
        finish(u, -EPIPE, 0);
        return;
    }
    switch (value >> 8) {
    case USB_DT_DEVICE:
        answer_data(u, d->descriptors.bytes, USB_DT_DEVICE_SIZE, length);
        break;
    case USB_DT_CONFIG:
        answer_data(u, d->descriptors.bytes + USB_DT_DEVICE_SIZE, d->descriptors.size - USB_DT_DEVICE_SIZE,
                    length);
        break;
    case USB_DT_STRING:
        answer_string(d, u, value & 0xFF, length);
        break;
    default:
        finish(u, -EPIPE, 0);
        break;
    }
}

static gboolean is_hid(const UsbDev *d, guint8 endpoint)
{
    return d->descriptors.report_bytes != 0 &&
           (endpoint == d->descriptors.hid_in ||
            (endpoint == d->descriptors.hid_out && d->descriptors.hid_out != 0));
}

static int submit(UsbDev *d, UMockdevIoctlData *arg)
{
    g_autoptr(UMockdevIoctlData) data =
        umockdev_ioctl_data_resolve(arg, 0, sizeof(struct usbdevfs_urb), NULL);
    if (!data || d->urbs.length == URBS_MAX)
        return -ENOMEM;
    const struct usbdevfs_urb *f = (const struct usbdevfs_urb *)(const void *)data->data;
    gboolean hid = is_hid(d, f->endpoint);
    if (f->type != (hid ? USBDEVFS_URB_TYPE_INTERRUPT : USBDEVFS_URB_TYPE_BULK) &&
        f->type != USBDEVFS_URB_TYPE_CONTROL)
        return -EINVAL;
    if (hid && d->kernel_has_hid)
        return -EBUSY;
    if (hid && (gsize)f->buffer_length != d->descriptors.report_bytes)
        return -EMSGSIZE;
    struct urb *u = g_new0(struct urb, 1);
    u->data = g_steal_pointer(&data);
    u->buffer = umockdev_ioctl_data_resolve(u->data, offsetof(struct usbdevfs_urb, buffer),
                                            (gsize)f->buffer_length, NULL);
    if (!u->buffer || (f->type == USBDEVFS_URB_TYPE_CONTROL && (gsize)f->buffer_length < SETUP_BYTES)) {
        urb_free(u);
        return -EINVAL;
    }
    g_queue_push_tail(&d->urbs, u);
    if (f->type == USBDEVFS_URB_TYPE_CONTROL)
        control_transfer(d, u);
    else if (!(f->endpoint & USB_DIR_IN))
        finish(u, d->ops->send(d->user, u->buffer->data, (gsize)f->buffer_length) ? 0 : -ENODEV,
               f->buffer_length);
    return 0;
}

/* Packets that have come go to the IN transfers that wait, oldest first. */
static void fill_one(UsbDev *d, int timeout_ms)
{
    for (GList *l = d->urbs.head; l; l = l->next) {
        struct urb *u = l->data;
        guint8 packet[USBDEV_PACKET_MAX];
        if (u->done)
            continue;
        gssize n = d->ops->receive(d->user, packet, timeout_ms);
        if (n < 0) {
            finish(u, -ENODEV, 0);
        } else if (n > 0) {
            const struct usbdevfs_urb *f = (const struct usbdevfs_urb *)(const void *)u->data->data;
            if (is_hid(d, f->endpoint) && n < u->buffer->data_len) {
                memset(packet + n, 0, (gsize)(u->buffer->data_len - n));
                n = u->buffer->data_len;
            }
            gssize fits = MIN(n, u->buffer->data_len);
            umockdev_ioctl_data_update(u->buffer, 0, packet, (int)fits);
            finish(u, n > fits ? -EOVERFLOW : 0, (int)fits);
        }
        return;
    }
}

static struct urb *first_done(const UsbDev *d)
{
    for (GList *l = d->urbs.head; l; l = l->next)
        if (((struct urb *)l->data)->done)
            return l->data;
    return NULL;
}

static int reap(UsbDev *d, UMockdevIoctlData *arg)
{
    g_autoptr(UMockdevIoctlData) out = umockdev_ioctl_data_resolve(arg, 0, sizeof(void *), NULL);
    if (!out)
        return -EFAULT;
    struct urb *u = first_done(d);
    if (!u) {
        fill_one(d, REAP_WAIT_MS);
        u = first_done(d);
    }
    if (!u)
        return -EAGAIN;
    umockdev_ioctl_data_set_ptr(out, 0, u->data);
    g_queue_remove(&d->urbs, u);
    urb_free(u);
    return 0;
}

/* DISCARDURB names the transfer by its address in the client. */
static int discard(UsbDev *d, UMockdevIoctlData *arg)
{
    gulong addr;
    memcpy(&addr, arg->data, sizeof addr);
    for (GList *l = d->urbs.head; l; l = l->next) {
        struct urb *u = l->data;
        if (u->data->client_addr == addr && !u->done) {
            finish(u, -ENOENT, 0);
            return 0;
        }
    }
    return -EINVAL;
}

static int answer_capabilities(UMockdevIoctlData *arg)
{
    guint32 none = 0; /* no bulk continuation, no streams, no packet size limit to lift */
    g_autoptr(UMockdevIoctlData) out = umockdev_ioctl_data_resolve(arg, 0, sizeof none, NULL);
    if (!out)
        return -EFAULT;
    umockdev_ioctl_data_update(out, 0, (guint8 *)&none, sizeof none);
    return 0;
}

/* Claiming what the kernel's driver holds is refused. */
static int claim(const UsbDev *d, UMockdevIoctlData *arg)
{
    guint number;
    g_autoptr(UMockdevIoctlData) in = umockdev_ioctl_data_resolve(arg, 0, sizeof number, NULL);
    if (!in)
        return -EFAULT;
    memcpy(&number, in->data, sizeof number);
    return d->descriptors.busy || (d->kernel_has_hid && number == d->descriptors.hid_interface) ? -EBUSY : 0;
}

/* Takes an interface from whatever driver holds it, and claims it. */
static int disconnect_claim(UsbDev *d, UMockdevIoctlData *arg)
{
    g_autoptr(UMockdevIoctlData) in =
        umockdev_ioctl_data_resolve(arg, 0, sizeof(struct usbdevfs_disconnect_claim), NULL);
    if (!in)
        return -EFAULT;
    const struct usbdevfs_disconnect_claim *c =
        (const struct usbdevfs_disconnect_claim *)(const void *)in->data;
    if (d->descriptors.busy)
        return -EBUSY;
    if (c->interface == d->descriptors.hid_interface)
        d->kernel_has_hid = FALSE;
    return 0;
}

/* Lets the kernel's driver have its interface again, or takes it away. */
static int driver_ioctl(UsbDev *d, UMockdevIoctlData *arg)
{
    g_autoptr(UMockdevIoctlData) in =
        umockdev_ioctl_data_resolve(arg, 0, sizeof(struct usbdevfs_ioctl), NULL);
    if (!in)
        return -EFAULT;
    const struct usbdevfs_ioctl *c = (const struct usbdevfs_ioctl *)(const void *)in->data;
    gboolean connect = c->ioctl_code == (int)USBDEVFS_CONNECT;
    if ((!connect && c->ioctl_code != (int)USBDEVFS_DISCONNECT) || d->descriptors.report_bytes == 0 ||
        c->ifno != d->descriptors.hid_interface)
        return -ENODATA;
    d->kernel_has_hid = connect;
    return 0;
}

static gboolean on_ioctl(UMockdevIoctlBase *handler, UMockdevIoctlClient *client, gpointer user)
{
    UsbDev *d = user;
    UMockdevIoctlData *arg = umockdev_ioctl_client_get_arg(client); /* borrowed */
    int r;
    (void)handler;
    switch (umockdev_ioctl_client_get_request(client)) {
    case USBDEVFS_GET_CAPABILITIES:
        r = answer_capabilities(arg);
        break;
    case USBDEVFS_CLAIMINTERFACE:
        r = claim(d, arg);
        break;
    case USBDEVFS_DISCONNECT_CLAIM:
        r = disconnect_claim(d, arg);
        break;
    case USBDEVFS_IOCTL:
        r = driver_ioctl(d, arg);
        break;
    case USBDEVFS_RELEASEINTERFACE:
    case USBDEVFS_SETINTERFACE:
    case USBDEVFS_SETCONFIGURATION:
    case USBDEVFS_CLEAR_HALT:
    case USBDEVFS_RESET:
        r = 0;
        break;
    case USBDEVFS_GETDRIVER:
        r = d->kernel_has_hid ? 0 : -ENODATA; /* its name is not asked for */
        break;
    case USBDEVFS_SUBMITURB:
        r = submit(d, arg);
        break;
    case USBDEVFS_REAPURB:
    case USBDEVFS_REAPURBNDELAY:
        r = reap(d, arg);
        break;
    case USBDEVFS_DISCARDURB:
        r = discard(d, arg);
        break;
    default:
        r = -ENOTTY;
        break;
    }
    umockdev_ioctl_client_complete(client, r < 0 ? -1 : 0, r < 0 ? -r : 0);
    return TRUE;
}

UsbDev *usbdev_new(const struct usbdev_descriptors *descriptors, const struct usbdev_ops *ops, gpointer user)
{
    UsbDev *d = g_new0(UsbDev, 1);
    d->descriptors = *descriptors;
    d->ops = ops;
    d->user = user;
    d->kernel_has_hid = descriptors->report_bytes != 0;
    g_queue_init(&d->urbs);
    d->handler = umockdev_ioctl_base_new();
    g_signal_connect(d->handler, "handle-ioctl", G_CALLBACK(on_ioctl), d);
    return d;
}

UMockdevIoctlBase *usbdev_get_handler(UsbDev *d)
{
    return d->handler;
}

void usbdev_free(UsbDev *d)
{
    if (!d)
        return;
    g_clear_object(&d->handler);
    g_queue_clear_full(&d->urbs, urb_free);
    g_free(d);
}
