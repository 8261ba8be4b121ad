/* A virtual board in this process as a probe of the engine, on virtual time: for tests and benchmarks.
 *
 * Two clocks: the board's (SWCLK edges, and idling until a packet arrives) and the host's (what ImpClock tells). A packet
 * takes half the round trip to the board and half back; the board does one after the other; the host's time moves on
 * when it waits for an answer or sleeps, and costs nothing else. So a packet that is waited for costs the whole round
 * trip, and packets in flight share it.
 *
 * Life cycle: board_probe_new on a board, imp_probe_close (or imp_probe_open's owner) frees it, not the board.
 * Thread rule: one thread. */
#pragma once

#include "board/board.h"
#include "target/probe.h"

typedef struct {
    ImpProbe probe;
    ImpClock clock; /* the host's time, for the engine */
    ImpBoard *board;
    guint64 round_trip_ns;
    guint64 host_ns;
    gboolean has_first_edge;
    guint64 first_edge_ns; /* board's time before the first packet with SWCLK edges */
    gboolean unplugged; /* from now on every submit and collect fails */
    guint64
        idle_run_ns; /* the core runs at most so long while the wire idles (imp_board_idle_to_ns); 0: always */
    void (*look)(gpointer user); /* NULL, or called before each packet: to look at the board from outside */
    gpointer look_user;
    gboolean silent; /* from now on no answer comes: every collect waits its whole time */
    struct {
        guint8 bytes[IMP_PROBE_PACKET_BYTES_MAX];
        gsize n_bytes;
        guint64 ready_ns;
    } answers[IMP_PROBE_PACKETS_MAX];
    guint64 submitted, collected;
    GArray *sent; /* for each packet: when the host sent it, and its SWCLK cycles */
} BoardProbe;

BoardProbe *board_probe_new(ImpBoard *board, guint64 round_trip_ns);

/* SWCLK cycles of the packets that the host sent from begin_us on and before end_us, by its clock. */
guint64 board_probe_swclk(const BoardProbe *probe, gint64 begin_us, gint64 end_us);
