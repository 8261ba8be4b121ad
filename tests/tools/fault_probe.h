/* A probe around a probe that makes faults: each kind in chosen answers. For tests of the engine. What the chip itself does
 * wrong is made by the board (docs/faults.md); here it is the probe and its connection that lie.
 *
 * Life cycle: fault_probe_new on an inner probe, fault_probe_add, imp_probe_close closes this one only. Thread rule: one thread. */
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
    FAULT_DOUBLED, /* an answer that comes twice: all later ones come one too late */
    FAULT_LATE, /* no answer in time */
    FAULT_LOST_REQUEST, /* the connection breaks while sending */
    FAULT_LOST_ANSWER, /* or while receiving */
    FAULT_KINDS
} FaultKind;

#define FAULT_PLANS_MAX 4

typedef struct {
    FaultKind kind;
    guint64 first, count; /* which packets, from 0 on */
} FaultPlan;

typedef struct {
    ImpProbe probe;
    ImpProbe *inner; /* borrowed */
    FaultPlan plans[FAULT_PLANS_MAX];
    guint n_plans;
    guint64 submitted, collected;
    guint64 made; /* faults so far */
    gsize kept_bytes; /* DOUBLED: the answer that is given once more */
    guint8 kept[IMP_PROBE_PACKET_BYTES_MAX];
    gboolean doubled;
} FaultProbe;

/* With its first plan. */
FaultProbe *fault_probe_new(ImpProbe *inner, FaultKind kind, guint64 first, guint64 count);
/* One more; at most FAULT_PLANS_MAX. */
void fault_probe_add(FaultProbe *probe, FaultKind kind, guint64 first, guint64 count);

/* "wait", "bad-ack", ... */
const char *fault_probe_kind_name(FaultKind kind);
