/* What a probe says of itself (CMSIS-DAP's DAP_Info). Touches no target.
 *
 * Thread rule: the probe's. Source: ARM CMSIS-DAP 2.1, DAP_Info. */
#pragma once

#include "target/probe.h"

#define IMP_PROBE_INFO_SIZE 64 /* bytes of a text, its end included */

typedef struct {
    char vendor[IMP_PROBE_INFO_SIZE]; /* valid UTF-8; "" where the probe does not say */
    char product[IMP_PROBE_INFO_SIZE];
    char serial[IMP_PROBE_INFO_SIZE];
    char protocol[IMP_PROBE_INFO_SIZE]; /* version of CMSIS-DAP */
    char firmware[IMP_PROBE_INFO_SIZE]; /* version of the probe's own program */
    guint32 packet_bytes, packets; /* 0 where the probe does not say */
    gboolean swd, jtag;
} ImpProbeInfo;

/* Asks an open probe with nothing in flight. Errors: IMP_E_PROBE_*; after one only close is allowed. */
gboolean imp_probe_ask_info(ImpProbe *probe, ImpProbeInfo *out_info,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
