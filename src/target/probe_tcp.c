/* CMSIS-DAP over TCP, framed as OpenOCD's cmsis-dap "tcp" backend does it (src/jtag/drivers/cmsis_dap_tcp.c): 8 bytes of
 * header, little-endian: signature u32, payload length u16, type u8, reserved u8; then exactly one packet. */
#include "target/probe-drivers.h"

#include "base/error.h"
#include "target/tcp.h"

#include <string.h>

#define SIGNATURE     "DAP" /* with its NUL: 0x00504144 */
#define HEADER_BYTES  8
#define TYPE_REQUEST  1
#define TYPE_RESPONSE 2

typedef struct {
    ImpProbe probe;
    ImpTcp tcp;
    guint8 input[2 *
                 (HEADER_BYTES + IMP_PROBE_PACKET_BYTES_MAX)]; /* received, from begin to end not yet taken */
    gsize begin, end;
} TcpProbe;

/* Waits until the input holds n_bytes, at most half of its room; several answers may come at once. */
static gboolean have(TcpProbe *self, gsize n_bytes, gint64 deadline_us, GError **error)
{
    if (self->begin > sizeof self->input / 2 || self->begin == self->end) {
        memmove(self->input, self->input + self->begin, self->end - self->begin);
        self->end -= self->begin;
        self->begin = 0;
    }
    while (self->end - self->begin < n_bytes) {
        gsize got = imp_tcp_receive(&self->tcp, self->input + self->end, sizeof self->input - self->end,
                                    deadline_us, error);
        if (got == 0)
            return FALSE;
        self->end += got;
    }
    return TRUE;
}

static gboolean tcp_submit(ImpProbe *probe, const guint8 *request, gsize n_bytes, GError **error)
{
    guint8 frame[HEADER_BYTES + IMP_PROBE_PACKET_BYTES_MAX] = SIGNATURE;
    g_assert(n_bytes <= IMP_PROBE_PACKET_BYTES_MAX);
    frame[4] = (guint8)n_bytes;
    frame[5] = (guint8)(n_bytes >> 8);
    frame[6] = TYPE_REQUEST;
    memcpy(frame + HEADER_BYTES, request, n_bytes);
    ImpTcp *tcp = &((TcpProbe *)probe)->tcp;
    return imp_tcp_send(tcp, frame, HEADER_BYTES + n_bytes, imp_tcp_deadline_us(tcp, IMP_PROBE_TIMEOUT_MS),
                        error);
}

static gboolean tcp_collect(ImpProbe *probe, guint8 *response, gsize cap, gsize *out_bytes, guint timeout_ms,
                            GError **error)
{
    TcpProbe *self = (TcpProbe *)probe;
    gint64 deadline = imp_tcp_deadline_us(&self->tcp, timeout_ms);
    if (!have(self, HEADER_BYTES, deadline, error))
        return FALSE;
    const guint8 *header = self->input + self->begin;
    gsize n_bytes = header[4] | (gsize)header[5] << 8;
    if (memcmp(header, SIGNATURE, 4) != 0 || header[6] != TYPE_RESPONSE || n_bytes == 0 ||
        n_bytes > MIN(cap, IMP_PROBE_PACKET_BYTES_MAX)) {
        imp_error_set(
            error, IMP_E_PROBE_PROTOCOL,
            "%s: answer with header %02X %02X %02X %02X, length %zu, type %u: no CMSIS-DAP over TCP",
            probe->name, header[0], header[1], header[2], header[3], n_bytes, header[6]);
        return FALSE;
    }
    self->begin += HEADER_BYTES;
    if (!have(self, n_bytes, deadline, error))
        return FALSE;
    memcpy(response, self->input + self->begin, n_bytes);
    self->begin += n_bytes;
    *out_bytes = n_bytes;
    return TRUE;
}

static void tcp_close(ImpProbe *probe)
{
    TcpProbe *self = (TcpProbe *)probe;
    imp_tcp_close(&self->tcp);
    g_free(self);
}

static const ImpProbeOps tcp_ops = {tcp_submit, tcp_collect, tcp_close};

ImpProbe *imp_probe_tcp_open(const char *address, const ImpClock *clock, GError **error)
{
    TcpProbe *self = g_new0(TcpProbe, 1);
    self->probe.ops = &tcp_ops;
    self->probe.packet_bytes_max = IMP_PROBE_PACKET_BYTES_MAX;
    g_snprintf(self->probe.name, sizeof self->probe.name, "tcp:%s", address);
    self->tcp.name = self->probe.name;
    if (imp_tcp_open(&self->tcp, "tcp", address, IMP_PROBE_TCP_PORT, clock, error))
        return &self->probe;
    g_free(self);
    return NULL;
}
