/* The board is changed for a twin while the firmware runs between two steps: debug port, memory, everything is as it should be, and
 * only the unique ID tells. */
#include "board_probe.h"
#include "device/table.h"
#include "launch/port.h"

#include <poll.h>
#include <string.h>

typedef struct {
    ImpBoard *board;
    BoardProbe *probe;
    ImpPort *port;
    gboolean done;
    GError *error;
} Bench;

static void closed(ImpProbe *probe)
{
}

/* The port opens and closes it again and again; the board's probe stays. */
static ImpProbe *open_probe(gpointer user, GError **error)
{
    Bench *bench = user;
    static ImpProbeOps ops;
    ops = *bench->probe->probe.ops;
    ops.close = closed;
    bench->probe->probe.ops = &ops;
    return &bench->probe->probe;
}

static void on_event(gpointer user, const ImpPortEvent *event)
{
    Bench *bench = user;
    if (!event->done)
        return;
    bench->done = TRUE;
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

static void test_twin(gconstpointer changed)
{
    GError *error = NULL;
    Bench bench = {.board = imp_board_new("nrf51822", 1, NULL, NULL)};
    bench.probe = board_probe_new(bench.board, 125000);
    void (*close_board)(ImpProbe *) = bench.probe->probe.ops->close;
    bench.port = imp_port_thread_new(&(ImpPortThreadOptions){.probe_spec = "in process",
                                                             .clock = &bench.probe->clock,
                                                             .open_probe = open_probe,
                                                             .open_user = &bench});
    imp_port_set_handler(bench.port, on_event, &bench);
    guint8 bytes[64];
    memset(bytes, 0x5A, sizeof bytes);
    ImpUnitSegment segment = {0x400, g_bytes_new_static(bytes, sizeof bytes)};
    const ImpUnitMap map = {&segment, 1};
    ImpContent content = {
        .device = imp_device_lookup("nRF51822", &error), .swd_hz = 4000000, .attach = IMP_ATTACH_NORMAL};
    g_assert_no_error(error);
    const ImpCommand attach = {.kind = IMP_COMMAND_ATTACH, .content = &content},
                     reset = {.kind = IMP_COMMAND_RESET, .content = &content},
                     finish = {.kind = IMP_COMMAND_FINISH, .content = &content},
                     verify = {.kind = IMP_COMMAND_FLASH,
                               .content = &content,
                               .map = &map,
                               .verify = TRUE,
                               .verify_mode = IMP_VERIFY_READ_BACK};
    g_assert_true(imp_board_poke(bench.board, 0x400, bytes, sizeof bytes));
    carry_out(&bench, &attach);
    g_assert_no_error(bench.error);
    carry_out(&bench, &reset);
    g_assert_no_error(bench.error);
    if (GPOINTER_TO_INT(changed))
        imp_board_next(bench.board, 2, IMP_BOARD_FILL_KEEP);
    carry_out(&bench, &verify);
    if (GPOINTER_TO_INT(changed)) {
        g_assert_error(bench.error, IMP_ERROR, IMP_E_UNIT_CHANGED);
        const ImpErrorDetail *detail = imp_error_detail(bench.error);
        g_assert_cmphex(detail->address, ==, 0x10000060);
        g_assert_cmpuint(detail->expected_bytes, ==, 8);
        g_assert_cmpuint(detail->found_bytes, ==, 8);
        g_assert_cmpint(memcmp(detail->expected, detail->found, 8), !=, 0);
    } else {
        g_assert_no_error(bench.error);
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
    g_test_add_data_func("/launch/unit/same", GINT_TO_POINTER(FALSE), test_twin);
    g_test_add_data_func("/launch/unit/changed", GINT_TO_POINTER(TRUE), test_twin);
    return g_test_run();
}
