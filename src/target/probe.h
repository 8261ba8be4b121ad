/* A debug probe that speaks CMSIS-DAP: something that takes request packets and gives one response packet for each, in
 * order. What is below is TCP (the framing of OpenOCD's cmsis-dap "tcp" backend), USB bulk (CMSIS-DAP v2) or HID reports
 * (CMSIS-DAP v1); tests and benchmarks put a board in the same process below, or a wrapper that makes faults.
 *
 * Life cycle: imp_probe_open (or a driver's own constructor), then submit and collect, then imp_probe_close. After a
 * submit or collect failed, only close is allowed: requests and responses may be out of step.
 * Thread rule: one thread at a time uses a probe.
 *
 * Sources: ARM, CMSIS-DAP 2.1 (Arm-software/CMSIS-DAP, DAP.h); OpenOCD src/jtag/drivers/cmsis_dap_tcp.c for the framing. */
#pragma once

#include "base/env.h"

#define IMP_PROBE_PACKET_BYTES_MIN 64
#define IMP_PROBE_PACKET_BYTES_MAX 1024 /* larger packets of a probe are not used */
#define IMP_PROBE_PACKETS_MAX      8 /* packets in flight; more of a probe are not used */
#define IMP_PROBE_NAME_MAX         128
#define IMP_PROBE_TCP_PORT         4441 /* OpenOCD's default */
#define IMP_PROBE_TIMEOUT_MS       5000 /* longest time for one packet: WAIT retries included */
#define IMP_PROBE_USB_LIST_MAX     64

typedef struct ImpProbe ImpProbe;

typedef struct {
    /* Starts one request of n_bytes (at most packet_bytes_max). The caller keeps the number of packets in flight at or
     * below what the probe told in DAP_Info. Errors: IMP_E_PROBE_LOST, IMP_E_PROBE_TIMEOUT. */
    gboolean (*submit)(ImpProbe *self, const guint8 *request, gsize n_bytes, GError **error);
    /* Waits for the response of the oldest request. *out_bytes is at most cap.
     * Errors: IMP_E_PROBE_LOST, IMP_E_PROBE_TIMEOUT, IMP_E_PROBE_PROTOCOL. */
    gboolean (*collect)(ImpProbe *self, guint8 *response, gsize cap, gsize *out_bytes, guint timeout_ms,
                        GError **error);
    void (*close)(ImpProbe *self);
} ImpProbeOps;

/* A driver puts this first into its own struct. */
struct ImpProbe {
    const ImpProbeOps *ops;
    char name[IMP_PROBE_NAME_MAX]; /* for messages: "tcp:127.0.0.1:4441", "usb:0123 (Acme CMSIS-DAP)" */
    gsize packet_bytes_max; /* what the transport can carry; the probe's own limit is asked by DAP_Info */
    gsize
        packet_bytes; /* set from DAP_Info once it is known, else 0: USB needs to know how much to ask for */
    gboolean padded; /* responses may be longer than their content (HID reports) */
};

/* Opens a probe:
 *   tcp:HOST:PORT   tcp:HOST   an IPv6 address in brackets
 *   usb:SERIAL                 the USB probe with this serial number: v2, or v1 where it has no v2
 *   usb:BUS-PORTS              the one at this place, as the kernel names it: "usb:1-2.3"
 *   usb:                       the only USB probe there is
 *   hid:...                    the same, but always v1
 * Errors: IMP_E_ARGUMENT (the spec), IMP_E_PROBE_NOT_FOUND, IMP_E_PROBE_AMBIGUOUS (lists the probes),
 * IMP_E_PROBE_BUSY, IMP_E_PROBE_LOST, IMP_E_PROBE_TIMEOUT. */
ImpProbe *imp_probe_open(const char *spec, const ImpClock *clock, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TRUE if spec has the form that imp_probe_open takes; opens nothing. Errors: IMP_E_ARGUMENT. */
gboolean imp_probe_check_spec(const char *spec, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* NULL is allowed. Never waits longer than a packet's timeout. */
void imp_probe_close(ImpProbe *probe);

typedef struct {
    char *serial; /* "" if the probe has none */
    char *path; /* "1-2.3": bus and ports */
    char *product;
    guint16 vendor_id, product_id;
    gboolean has_bulk, has_hid; /* CMSIS-DAP v2, v1: at least one */
} ImpProbeUsb;

void imp_probe_usb_free(ImpProbeUsb *entry);

/* All CMSIS-DAP probes on USB, v2 and v1, one entry each, sorted by serial; elements are ImpProbeUsb. Opens each device that may be one for its
 * strings; those that may not be opened are left out. Errors: IMP_E_IO. */
GPtrArray *imp_probe_list_usb(GError **error) G_GNUC_WARN_UNUSED_RESULT;

static inline gboolean imp_probe_submit(ImpProbe *probe, const guint8 *request, gsize n_bytes, GError **error)
{
    return probe->ops->submit(probe, request, n_bytes, error);
}
static inline gboolean imp_probe_collect(ImpProbe *probe, guint8 *response, gsize cap, gsize *out_bytes,
                                         guint timeout_ms, GError **error)
{
    return probe->ops->collect(probe, response, cap, out_bytes, timeout_ms, error);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpProbe, imp_probe_close)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpProbeUsb, imp_probe_usb_free)
