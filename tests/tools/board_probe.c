#include "board_probe.h"

#include "base/error.h"

typedef struct {
    gint64 host_us;
    guint64 swclk;
} Sent;

static gboolean board_submit(ImpProbe *probe, const guint8 *request, gsize n_bytes, GError **error)
{
    BoardProbe *self = (BoardProbe *)probe;
    if (self->unplugged) {
        imp_error_set(error, IMP_E_PROBE_LOST, "%s: unplugged", probe->name);
        return FALSE;
    }
    if (self->look != NULL)
        self->look(self->look_user);
    g_assert_cmpuint(self->submitted - self->collected, <, imp_board_get_packet_count(self->board));
    g_assert_cmpuint(n_bytes, <=, imp_board_get_packet_size(self->board));
    gsize slot = self->submitted % IMP_PROBE_PACKETS_MAX;
    struct imp_board_counters before, after;
    imp_board_idle_to_ns(self->board, self->host_ns + self->round_trip_ns / 2,
                         self->idle_run_ns != 0 ? self->idle_run_ns : G_MAXUINT64);
    guint64 late_ns;
    enum imp_board_packet_fate fate = imp_board_packet_fate(self->board, &late_ns);
    if (fate == IMP_BOARD_PACKET_UNPLUGGED) {
        self->unplugged = TRUE;
        imp_error_set(error, IMP_E_PROBE_LOST, "%s: unplugged", probe->name);
        return FALSE;
    }
    if (fate == IMP_BOARD_PACKET_REQUEST_LOST) {
        self->answers[slot].ready_ns = G_MAXUINT64;
        self->submitted++;
        return TRUE;
    }
    imp_board_get_counters(self->board, &before);
    guint64 begin_ns = imp_board_now_ns(self->board);
    self->answers[slot].n_bytes = imp_board_dap(self->board, request, n_bytes, self->answers[slot].bytes,
                                                sizeof self->answers[slot].bytes);
    imp_board_get_counters(self->board, &after);
    if (!self->has_first_edge && after.swclk > before.swclk) {
        self->has_first_edge = TRUE;
        self->first_edge_ns = begin_ns;
    }
    const Sent sent = {(gint64)(self->host_ns / 1000), after.swclk - before.swclk};
    g_array_append_val(self->sent, sent);
    self->answers[slot].ready_ns = fate == IMP_BOARD_PACKET_ANSWER_LOST
                                       ? G_MAXUINT64
                                       : imp_board_now_ns(self->board) + self->round_trip_ns / 2 + late_ns;
    self->submitted++;
    return TRUE;
}

static gboolean board_collect(ImpProbe *probe, guint8 *response, gsize cap, gsize *out_bytes,
                              guint timeout_ms, GError **error)
{
    BoardProbe *self = (BoardProbe *)probe;
    if (self->unplugged) {
        imp_error_set(error, IMP_E_PROBE_LOST, "%s: unplugged", probe->name);
        return FALSE;
    }
    g_assert_cmpuint(self->collected, <, self->submitted);
    gsize slot = self->collected % IMP_PROBE_PACKETS_MAX;
    guint64 end_ns = self->host_ns + (guint64)timeout_ms * 1000 * 1000;
    if (self->silent || self->answers[slot].ready_ns > end_ns) {
        self->host_ns = end_ns;
        imp_error_set(error, IMP_E_PROBE_TIMEOUT, "%s: no answer", probe->name);
        return FALSE;
    }
    self->collected++;
    self->host_ns = MAX(self->host_ns, self->answers[slot].ready_ns);
    if (self->answers[slot].n_bytes > cap) {
        imp_error_set(error, IMP_E_PROBE_PROTOCOL, "%s: answer of %zu bytes", probe->name,
                      self->answers[slot].n_bytes);
        return FALSE;
    }
    memcpy(response, self->answers[slot].bytes, self->answers[slot].n_bytes);
    *out_bytes = self->answers[slot].n_bytes;
    return TRUE;
}

static void board_close(ImpProbe *probe)
{
    g_array_unref(((BoardProbe *)probe)->sent);
    g_free(probe);
}

static gint64 host_us(void *self)
{
    return (gint64)(((BoardProbe *)self)->host_ns / 1000);
}

static gboolean synchronised(void *self)
{
    return TRUE;
}

static void host_sleep_us(void *self, gint64 duration_us)
{
    if (duration_us > 0)
        ((BoardProbe *)self)->host_ns += (guint64)duration_us * 1000;
}

BoardProbe *board_probe_new(ImpBoard *board, guint64 round_trip_ns)
{
    static const ImpProbeOps ops = {board_submit, board_collect, board_close};
    BoardProbe *self = g_new0(BoardProbe, 1);
    self->probe.ops = &ops;
    g_strlcpy(self->probe.name, "board", sizeof self->probe.name);
    self->probe.packet_bytes_max = IMP_PROBE_PACKET_BYTES_MAX;
    self->clock = (ImpClock){host_us, host_us, synchronised, host_sleep_us, self};
    self->board = board;
    self->sent = g_array_new(FALSE, FALSE, sizeof(Sent));
    self->round_trip_ns = round_trip_ns;
    self->host_ns = imp_board_now_ns(board);
    return self;
}

guint64 board_probe_swclk(const BoardProbe *probe, gint64 begin_us, gint64 end_us)
{
    guint64 sum = 0;
    for (guint i = 0; i < probe->sent->len; i++) {
        const Sent *sent = &g_array_index(probe->sent, Sent, i);
        sum += sent->host_us >= begin_us && sent->host_us < end_us ? sent->swclk : 0;
    }
    return sum;
}
