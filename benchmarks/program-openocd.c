#include "program-openocd.h"

#include "mock.h"

#include "base/error.h"

#include <glib/gstdio.h>
#include <string.h>

#define GAP_MIN_US 500 /* shorter gaps are this machine's slowness */

/* Of the mocked probe; used in umockdev's thread alone while OpenOCD runs. */
typedef struct {
    BoardProbe *probe;
    gint64 answered_us; /* when the last answer was handed over; wall clock, 0: none yet */
    gint64 gaps_us;
} Link;

static gboolean link_send(gpointer user, const guint8 *packet, gsize size)
{
    Link *link = user;
    BoardProbe *probe = link->probe;
    gint64 gap = link->answered_us != 0 ? imp_clock_boot_us(imp_clock_system()) - link->answered_us : 0;
    link->answered_us = 0;
    if (gap > GAP_MIN_US) {
        probe->host_ns += (guint64)gap * 1000;
        link->gaps_us += probe->has_first_edge ? gap : 0;
    }
    g_autoptr(GError) error = NULL;
    if (imp_probe_submit(&probe->probe, packet, size, &error))
        return TRUE;
    g_printerr("%s\n", error->message);
    return FALSE;
}

static gssize link_receive(gpointer user, guint8 packet[USBDEV_PACKET_MAX], int timeout_ms)
{
    Link *link = user;
    BoardProbe *probe = link->probe;
    if (probe->collected == probe->submitted) { /* it waits for an answer that nobody owes */
        g_usleep((gulong)timeout_ms * 1000);
        return 0;
    }
    g_autoptr(GError) error = NULL;
    gsize n_bytes = 0;
    if (!imp_probe_collect(&probe->probe, packet, USBDEV_PACKET_MAX, &n_bytes, IMP_PROBE_TIMEOUT_MS,
                           &error)) {
        g_printerr("%s\n", error->message);
        return -1;
    }
    link->answered_us = imp_clock_boot_us(imp_clock_system());
    return (gssize)n_bytes;
}

static void show_log(const char *path)
{
    g_autofree char *text = NULL;
    if (g_file_get_contents(path, &text, NULL, NULL))
        g_printerr("%s", text);
}

gboolean openocd_program(BoardProbe *probe, const char *target, guint khz, const char *path, guint32 address,
                         OpenocdResult *out)
{
    g_autofree char *log = g_strconcat(path, ".log", NULL);
    g_autofree char *commands = g_strdup_printf(
        "log_output %s; adapter driver cmsis-dap; cmsis_dap_backend usb_bulk; transport select swd; source "
        "[find target/%s.cfg]; "
        "gdb_port disabled; tcl_port disabled; telnet_port disabled; adapter speed %u; init; reset halt; "
        "flash write_image erase %s 0x%08x bin; verify_image %s 0x%08x bin; reset run; shutdown",
        log, target, khz, path, address, path, address);
    char *argv[] = {"openocd", "-c", commands, NULL};
    const struct mock_shape shape = {.bulk = TRUE};
    static const struct usbdev_ops ops = {link_send, link_receive};
    Link link = {.probe = probe};
    int status = mock_run(&shape, NULL, &ops, &link, argv);
    if (status != 0)
        show_log(log);
    (void)g_unlink(log);
    struct imp_board_counters counters;
    imp_board_get_counters(probe->board, &counters);
    *out = (OpenocdResult){(gint64)((probe->host_ns - probe->first_edge_ns) / 1000), counters.packets,
                           link.gaps_us};
    return status == 0;
}
