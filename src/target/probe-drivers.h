/* The constructors of the probe drivers, for imp_probe_open. Internal to target/. */
#pragma once

#include "target/probe.h"

/* address is what follows "tcp:": HOST or HOST:PORT, an IPv6 address in brackets. */
ImpProbe *imp_probe_tcp_open(const char *address, const ImpClock *clock,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* serial "" = the only probe there is. only_hid: CMSIS-DAP v1 alone; else v2, and v1 with a probe that has no v2. */
ImpProbe *imp_probe_usb_open(const char *serial, gboolean only_hid, const ImpClock *clock,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
