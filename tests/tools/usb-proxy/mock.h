/* A command that runs where libusb sees one CMSIS-DAP probe, which is mocked: its descriptors, the testbed and the child.
 * What the probe does is the caller's (struct usbdev_ops). One at a time in a process. */
#ifndef TESTS_TOOLS_USB_PROXY_MOCK_H
#define TESTS_TOOLS_USB_PROXY_MOCK_H

#include "usbdev.h"

/* What the probe offers. */
struct mock_shape {
    gboolean bulk; /* CMSIS-DAP v2 */
    gsize report_bytes; /* CMSIS-DAP v1: of each report; 0: not offered */
    gboolean set_report; /* without an interrupt OUT endpoint */
    gboolean busy; /* another program has its interfaces */
    gboolean
        twin; /* a second one of the same kind, whose serial number ends in "-B"; only its descriptors are there */
};

/* Runs argv until it ends; SIGTERM and SIGINT go to it as SIGTERM. ops are called in a thread of umockdev's, and no longer after
 * this returned. serial NULL: USBPROXY1. Returns the exit status of argv, 128 + signal if one ended it, 127 if it could not be
 * started, 1 if there is no testbed; what went wrong is said on standard error. */
int mock_run(const struct mock_shape *shape, const char *serial, const struct usbdev_ops *ops, gpointer user,
             char **argv);

#endif
