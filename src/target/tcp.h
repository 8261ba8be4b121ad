/* A TCP connection with time limits, for what speaks over one: probes and GDB servers. Internal to target/.
 *
 * Life cycle: imp_tcp_open, send and receive, imp_tcp_close. Thread rule: one thread at a time. */
#pragma once

#include "base/env.h"

typedef struct {
    int fd; /* -1: closed */
    const ImpClock *clock;
    const char *name; /* for messages; borrowed */
    gint64 receive_us; /* SO_RCVTIMEO as it is set; 0: not yet */
} ImpTcp;

/* address is HOST:PORT, [HOST]:PORT, HOST or [HOST]; kind is what stands before it in a specification ("tcp").
 * Errors: IMP_E_ARGUMENT, IMP_E_PROBE_NOT_FOUND. */
gboolean imp_tcp_open(ImpTcp *tcp, const char *kind, const char *address, guint16 default_port,
                      const ImpClock *clock, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* TRUE if address has the form that imp_tcp_open takes. Errors: IMP_E_ARGUMENT. */
gboolean imp_tcp_check_address(const char *kind, const char *address,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_tcp_close(ImpTcp *tcp);

/* Errors of both: IMP_E_PROBE_LOST, IMP_E_PROBE_TIMEOUT. deadline_us: boot_us of the clock. */
gboolean imp_tcp_send(ImpTcp *tcp, const guint8 *bytes, gsize n_bytes, gint64 deadline_us,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Waits for at least one byte, takes at most cap. 0 and error set on failure. */
gsize imp_tcp_receive(ImpTcp *tcp, guint8 *bytes, gsize cap, gint64 deadline_us,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

static inline gint64 imp_tcp_deadline_us(const ImpTcp *tcp, guint timeout_ms)
{
    return imp_clock_boot_us(tcp->clock) + (gint64)timeout_ms * 1000;
}
