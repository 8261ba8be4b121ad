#include "fault_probe.h"

#include "base/error.h"

#include <string.h>

enum { CMD_TRANSFER = 0x05, CMD_TRANSFER_BLOCK = 0x06 };

const char *fault_probe_kind_name(FaultKind kind)
{
    static const char *const names[FAULT_KINDS] = {
        [FAULT_WAIT] = "wait",
        [FAULT_FAULT] = "fault",
        [FAULT_PARITY] = "parity",
        [FAULT_NO_ACK] = "no-ack",
        [FAULT_BAD_ACK] = "bad-ack",
        [FAULT_COUNT] = "count",
        [FAULT_SHORT] = "short",
        [FAULT_LONG] = "long",
        [FAULT_EMPTY] = "empty",
        [FAULT_GARBLED] = "garbled",
        [FAULT_DOUBLED] = "doubled",
        [FAULT_LATE] = "late",
        [FAULT_LOST_REQUEST] = "lost-request",
        [FAULT_LOST_ANSWER] = "lost-answer",
    };
    return names[kind];
}

/* The first plan for this packet that is of such a kind; 0: none. */
static FaultKind hit(const FaultProbe *self, guint64 number, gboolean sending)
{
    for (guint i = 0; i < self->n_plans; i++) {
        const FaultPlan *plan = &self->plans[i];
        if (number >= plan->first && number - plan->first < plan->count &&
            (plan->kind == FAULT_LOST_REQUEST) == sending)
            return plan->kind;
    }
    return 0;
}

static gboolean fault_submit(ImpProbe *probe, const guint8 *request, gsize n_bytes, GError **error)
{
    FaultProbe *self = (FaultProbe *)probe;
    if (hit(self, self->submitted, TRUE) != 0) {
        self->made++;
        imp_error_set(error, IMP_E_PROBE_LOST, "%s: lost while sending", probe->name);
        return FALSE;
    }
    self->submitted++;
    self->inner->packet_bytes = probe->packet_bytes;
    return imp_probe_submit(self->inner, request, n_bytes, error);
}

/* An answer that stops with this acknowledge before the first transfer. */
static gsize acknowledge(FaultProbe *self, guint8 *response, gsize n_bytes, guint8 ack)
{
    if (response[0] != CMD_TRANSFER && response[0] != CMD_TRANSFER_BLOCK)
        return n_bytes;
    self->made++;
    response[1] = 0;
    if (response[0] == CMD_TRANSFER) {
        response[2] = ack;
        return 3;
    }
    response[2] = 0;
    response[3] = ack;
    return 4;
}

static gsize spoil(FaultProbe *self, FaultKind kind, guint8 *response, gsize n_bytes, gsize cap)
{
    switch (kind) {
    case FAULT_WAIT:
        return acknowledge(self, response, n_bytes, 2);
    case FAULT_FAULT:
        return acknowledge(self, response, n_bytes, 4);
    case FAULT_PARITY:
        return acknowledge(self, response, n_bytes, 8 | 1);
    case FAULT_NO_ACK:
        return acknowledge(self, response, n_bytes, 7);
    case FAULT_BAD_ACK:
        return acknowledge(self, response, n_bytes, 5);
    case FAULT_COUNT:
        if (response[0] == CMD_TRANSFER || response[0] == CMD_TRANSFER_BLOCK) {
            self->made++;
            response[1]++;
        }
        return n_bytes;
    case FAULT_SHORT:
        self->made++;
        return n_bytes / 2;
    case FAULT_LONG:
        self->made++;
        if (n_bytes == cap)
            return n_bytes - 1;
        response[n_bytes] = 0;
        return n_bytes + 1;
    case FAULT_EMPTY:
        self->made++;
        return 0;
    case FAULT_GARBLED:
        self->made++;
        response[0] ^= 0x5A;
        return n_bytes;
    default:
        return n_bytes;
    }
}

static gboolean fault_collect(ImpProbe *probe, guint8 *response, gsize cap, gsize *out_bytes,
                              guint timeout_ms, GError **error)
{
    FaultProbe *self = (FaultProbe *)probe;
    FaultKind kind = hit(self, self->collected++, FALSE);
    if (self->doubled) { /* what was there before comes first, what comes now is kept */
        gsize given = self->kept_bytes;
        guint8 copy[IMP_PROBE_PACKET_BYTES_MAX];
        memcpy(copy, self->kept, given);
        if (!imp_probe_collect(self->inner, self->kept, sizeof self->kept, &self->kept_bytes, timeout_ms,
                               error))
            return FALSE;
        memcpy(response, copy, given);
        *out_bytes = given;
        return TRUE;
    }
    if (kind == FAULT_LATE || kind == FAULT_LOST_ANSWER) {
        self->made++;
        if (kind == FAULT_LATE)
            imp_error_set(error, IMP_E_PROBE_TIMEOUT, "%s: no answer", probe->name);
        else
            imp_error_set(error, IMP_E_PROBE_LOST, "%s: lost while receiving", probe->name);
        return FALSE;
    }
    if (!imp_probe_collect(self->inner, response, cap, out_bytes, timeout_ms, error))
        return FALSE;
    if (kind == FAULT_DOUBLED) {
        self->made++;
        self->doubled = TRUE;
        self->kept_bytes = *out_bytes;
        memcpy(self->kept, response, *out_bytes);
    } else if (kind != 0) {
        *out_bytes = spoil(self, kind, response, *out_bytes, cap);
    }
    return TRUE;
}

static void fault_close(ImpProbe *probe)
{
    g_free(probe);
}

FaultProbe *fault_probe_new(ImpProbe *inner, FaultKind kind, guint64 first, guint64 count)
{
    static const ImpProbeOps ops = {fault_submit, fault_collect, fault_close};
    FaultProbe *self = g_new0(FaultProbe, 1);
    self->probe = *inner;
    self->probe.ops = &ops;
    self->inner = inner;
    fault_probe_add(self, kind, first, count);
    return self;
}

void fault_probe_add(FaultProbe *self, FaultKind kind, guint64 first, guint64 count)
{
    g_assert(self->n_plans < FAULT_PLANS_MAX);
    self->plans[self->n_plans++] = (FaultPlan){kind, first, count};
}
