/* A probe around a probe that makes faults: each kind in chosen answers. For tests of the engine.
 *
 * Life cycle: fault_probe_new on an inner probe, imp_probe_close closes this one only. Thread rule: one thread. */
#pragma once

#include "target/probe.h"

typedef enum {
    FAULT_WAIT = 2, /* a transfer's answer says WAIT */
    FAULT_FAULT, /* FAULT */
    FAULT_PARITY, /* protocol error */
    FAULT_NO_ACK, /* nobody answered */
    FAULT_BAD_ACK, /* an acknowledge that does not exist */
    FAULT_COUNT, /* more transfers done than asked for */
    FAULT_SHORT, /* an answer that is cut off */
    FAULT_LONG, /* an answer with a byte too many */
    FAULT_EMPTY, /* an answer of no bytes */
    FAULT_GARBLED, /* an answer to another command */
    FAULT_LATE, /* no answer in time */
    FAULT_LOST_REQUEST, /* the connection breaks while sending */
    FAULT_LOST_ANSWER, /* or while receiving */
    FAULT_KINDS
} FaultKind;

typedef struct {
    ImpProbe probe;
    ImpProbe *inner; /* borrowed */
    FaultKind kind;
    guint64 first, count; /* which packets, from 0 on */
    guint64 submitted, collected;
    guint64 made; /* faults so far */
} FaultProbe;

FaultProbe *fault_probe_new(ImpProbe *inner, FaultKind kind, guint64 first, guint64 count);
