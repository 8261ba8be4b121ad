/* A probe around a probe whose wires do not bear a fast clock: above it, answers are disturbed. For tests of the engine.
 *
 * Life cycle: bad_line_new on an inner probe, imp_probe_close. Thread rule: one thread. */
#pragma once

#include "target/probe.h"

typedef struct {
    ImpProbe probe;
    ImpProbe *inner;
    gboolean owns; /* inner is closed with this one; else it is borrowed */
    guint32 bears_hz; /* faster: disturbed */
    guint every; /* which of the transfer packets is disturbed then */
    guint8 ack; /* how */
    guint32 hz;
    guint n;
} BadLine;

BadLine *bad_line_new(ImpProbe *inner, guint32 bears_hz, guint every, guint8 ack);
