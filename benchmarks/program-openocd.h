/* Debian's OpenOCD programs a board of this process through the mocked USB probe, on the same virtual clock as the engine:
 * packets in flight share the probe's round trip, and a gap of the wall clock of more than half a millisecond between an answer and
 * the next request counts one to one (its sleeps). */
#pragma once

#include "board_probe.h"

typedef struct {
    gint64 time_us; /* first SWCLK edge to the last answer */
    guint64 packets;
    gint64 gaps_us; /* of time_us: the gaps of the wall clock that counted */
} OpenocdResult;

/* Erases what the file touches, writes it at address, verifies it, starts the chip. target: OpenOCD's own target file, "nrf51".
 * FALSE, and OpenOCD's words on standard error: it failed. */
gboolean openocd_program(BoardProbe *probe, const char *target, guint khz, const char *path, guint32 address,
                         OpenocdResult *out);
