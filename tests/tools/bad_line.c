#include "bad_line.h"

enum { CMD_TRANSFER = 0x05, CMD_TRANSFER_BLOCK = 0x06, CMD_SWJ_CLOCK = 0x11 };

static gboolean bad_submit(ImpProbe *probe, const guint8 *request, gsize n_bytes, GError **error)
{
    BadLine *self = (BadLine *)probe;
    if (request[0] == CMD_SWJ_CLOCK && n_bytes == 5)
        self->hz = (guint32)request[1] | (guint32)request[2] << 8 | (guint32)request[3] << 16 |
                   (guint32)request[4] << 24;
    self->inner->packet_bytes = probe->packet_bytes;
    return imp_probe_submit(self->inner, request, n_bytes, error);
}

static gboolean bad_collect(ImpProbe *probe, guint8 *response, gsize cap, gsize *out_bytes, guint timeout_ms,
                            GError **error)
{
    BadLine *self = (BadLine *)probe;
    if (!imp_probe_collect(self->inner, response, cap, out_bytes, timeout_ms, error))
        return FALSE;
    gboolean transfer = response[0] == CMD_TRANSFER || response[0] == CMD_TRANSFER_BLOCK;
    if (!transfer || self->hz <= self->bears_hz || self->n++ % self->every != self->every - 1)
        return TRUE;
    response[1] = 0;
    response[2] = response[0] == CMD_TRANSFER ? self->ack : 0;
    response[3] = self->ack;
    *out_bytes = response[0] == CMD_TRANSFER ? 3 : 4;
    return TRUE;
}

static void bad_close(ImpProbe *probe)
{
    if (((BadLine *)probe)->owns)
        imp_probe_close(((BadLine *)probe)->inner);
    g_free(probe);
}

BadLine *bad_line_new(ImpProbe *inner, guint32 bears_hz, guint every, guint8 ack)
{
    static const ImpProbeOps ops = {bad_submit, bad_collect, bad_close};
    BadLine *self = g_new0(BadLine, 1);
    self->probe = *inner;
    self->probe.ops = &ops;
    self->inner = inner;
    self->bears_hz = bears_hz;
    self->every = every;
    self->ack = ack;
    return self;
}
