/* A line that is disturbed in the middle of a port's work: what the engine repeats by itself is counted, what it cannot repeat is begun
 * anew at half the clock, and flash that was not erased before is never programmed twice. */
#include "board_probe.h"
#include "device/table.h"
#include "launch/port.h"

#include <poll.h>
#include <string.h>

#define DATA_BYTES 16384u
#define SWD_HZ     4000000u
#define AT_PACKET  20 /* of the flash command: in the middle of programming */

typedef struct {
    const char *name;
    guint64 requests; /* disturbed in a row */
    gboolean erase, good;
    guint32 hz; /* at the end */
} Row;

static const Row rows[] = {
    {"repeated", 1, TRUE, TRUE, SWD_HZ},
    {"slower", 40, TRUE, TRUE, SWD_HZ / 2},
    {"repeated-without-erase", 1, FALSE, TRUE, SWD_HZ},
    {"never-twice-without-erase", 40, FALSE, FALSE, SWD_HZ},
};

typedef struct {
    const Row *row;
    ImpBoard *board;
    BoardProbe *probe;
    ImpPort *port;
    gint flashing; /* atomic: the flash command was given */
    guint n_packets; /* since then */
    gboolean done;
    GError *error;
    ImpPortEvent last; /* of the last command; its pointers are gone */
} Bench;

static void closed(ImpProbe *probe)
{
}

static ImpProbe *open_probe(gpointer user, GError **error)
{
    Bench *bench = user;
    static ImpProbeOps ops;
    ops = *bench->probe->probe.ops;
    ops.close = closed;
    bench->probe->probe.ops = &ops;
    return &bench->probe->probe;
}

static void disturb(gpointer user)
{
    Bench *bench = user;
    const char *why = NULL;
    if (g_atomic_int_get(&bench->flashing) == 0 || ++bench->n_packets != AT_PACKET)
        return;
    const struct imp_board_fault_options options = {.count = bench->row->requests, .seed = 1};
    g_assert_true(imp_board_add_fault(bench->board, IMP_BOARD_FAULT_READ_PARITY, &options, &why));
}

static void on_event(gpointer user, const ImpPortEvent *event)
{
    Bench *bench = user;
    if (!event->done)
        return;
    bench->done = TRUE;
    bench->last = *event;
    g_clear_error(&bench->error);
    if (event->error != NULL)
        bench->error = g_error_copy(event->error);
}

static void carry_out(Bench *bench, const ImpCommand *command)
{
    bench->done = FALSE;
    imp_port_submit(bench->port, command);
    while (!bench->done) {
        struct pollfd fd = {.fd = imp_port_fd(bench->port), .events = POLLIN};
        g_assert_cmpint(poll(&fd, 1, 60000), ==, 1);
        imp_port_dispatch(bench->port);
    }
}

static void test_row(gconstpointer data)
{
    GError *error = NULL;
    Bench bench = {.row = data, .board = imp_board_new("nrf51822", 1, NULL, NULL)};
    bench.probe = board_probe_new(bench.board, 125000);
    bench.probe->look = disturb;
    bench.probe->look_user = &bench;
    void (*close_board)(ImpProbe *) = bench.probe->probe.ops->close;
    bench.port = imp_port_thread_new(&(ImpPortThreadOptions){.probe_spec = "in process",
                                                             .clock = &bench.probe->clock,
                                                             .open_probe = open_probe,
                                                             .open_user = &bench});
    imp_port_set_handler(bench.port, on_event, &bench);
    guint8 *bytes = g_malloc(DATA_BYTES), now[DATA_BYTES];
    for (guint i = 0; i < DATA_BYTES; i++)
        bytes[i] = (guint8)(i * 7 + (i >> 8));
    ImpUnitSegment segment = {0x400, g_bytes_new_take(bytes, DATA_BYTES)};
    const ImpUnitMap map = {&segment, 1};
    ImpContent content = {
        .device = imp_device_lookup("nRF51822", &error), .swd_hz = SWD_HZ, .attach = IMP_ATTACH_NORMAL};
    g_assert_no_error(error);
    const ImpCommand attach = {.kind = IMP_COMMAND_ATTACH, .content = &content},
                     finish = {.kind = IMP_COMMAND_FINISH, .content = &content},
                     flash = {.kind = IMP_COMMAND_FLASH,
                              .content = &content,
                              .map = &map,
                              .erase = bench.row->erase,
                              .erase_mode = IMP_ERASE_USED,
                              .program = TRUE,
                              .verify = TRUE,
                              .verify_mode = IMP_VERIFY_READ_BACK};
    carry_out(&bench, &attach);
    g_assert_no_error(bench.error);
    g_assert_cmpuint(bench.last.link_retries, ==, 0);
    g_atomic_int_set(&bench.flashing, 1);
    carry_out(&bench, &flash);
    g_assert_cmpuint(bench.n_packets, >, AT_PACKET);
    g_assert_cmpuint(bench.last.link_errors, >, 0);
    g_assert_cmpuint(bench.last.link_retries, >, 0);
    g_assert_cmpuint(bench.last.link_hz, ==, bench.row->hz);
    g_assert_cmpuint(bench.last.link_slowed_by, ==, bench.row->hz < SWD_HZ ? IMP_E_LINK_PARITY : 0);
    if (bench.row->good) {
        g_assert_no_error(bench.error);
        g_assert_true(imp_board_peek(bench.board, 0x400, now, sizeof now));
        g_assert_cmpmem(now, sizeof now, bytes, DATA_BYTES);
    } else {
        g_assert_error(bench.error, IMP_ERROR, IMP_E_LINK_PARITY);
    }
    carry_out(&bench, &finish);
    g_clear_error(&bench.error);
    imp_port_free(bench.port);
    g_bytes_unref(segment.bytes);
    imp_device_free(content.device);
    close_board(&bench.probe->probe);
    imp_board_free(bench.board);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/launch/bad-line/%s", rows[i].name);
        g_test_add_data_func(path, &rows[i], test_row);
    }
    return g_test_run();
}
