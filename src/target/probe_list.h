/* The CMSIS-DAP probes on this machine's USB, as the kernel describes them in sysfs: no device is opened, so that probes
 * at work are not disturbed and probes that this user may not open are seen too.
 *
 * Life cycle: list, read, g_ptr_array_unref. Thread rule: pure functions of the file system.
 *
 * Sources: USB 2.0, 9.6 (descriptors); Linux Documentation/ABI/stable/sysfs-bus-usb and testing/sysfs-bus-usb; ARM
 * CMSIS-DAP 2.1, "Configure USB Peripheral" (how a probe is told from other devices). */
#pragma once

#include "target/probe.h"

#define IMP_PROBE_SYSFS_DIR "/sys/bus/usb/devices"
#define IMP_PROBE_NODE_DIR  "/dev/bus/usb"

typedef enum {
    IMP_PROBE_ACCESS_GOOD = 2,
    IMP_PROBE_ACCESS_DENIED, /* this user may not read and write the device's node */
    IMP_PROBE_ACCESS_NO_NODE, /* there is none: a container or chroot without /dev/bus/usb */
} ImpProbeAccess;

typedef struct {
    char *path; /* "1-1.2": bus and ports, as sysfs names it */
    char *node; /* "/dev/bus/usb/001/004" */
    char *vendor, *product, *serial; /* "" where it has none; valid UTF-8 */
    guint16 vendor_id, product_id;
    gboolean has_bulk, has_hid; /* CMSIS-DAP v2, v1: at least one */
    ImpProbeAccess access;
} ImpProbeSeen;

/* All probes under sysfs_dir, their nodes under node_dir (IMP_PROBE_SYSFS_DIR, IMP_PROBE_NODE_DIR), sorted by serial number and path;
 * elements are ImpProbeSeen, at most IMP_PROBE_USB_LIST_MAX. A machine without USB has none. What cannot be read is
 * passed over: a device may be unplugged meanwhile. */
GPtrArray *imp_probe_list_seen(const char *sysfs_dir, const char *node_dir);

void imp_probe_seen_free(ImpProbeSeen *seen);

/* The udev rule that gives the users at this machine, and the group plugdev, access to this probe; free with g_free. */
char *imp_probe_udev_rule(const ImpProbeSeen *seen);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpProbeSeen, imp_probe_seen_free)
