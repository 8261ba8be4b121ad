/* The board is changed for a twin while the firmware runs between two steps: debug port, memory, everything is as it should be, and
 * only the unique ID tells. And it goes, or is changed, before its protection is proved. */
#include "board_probe.h"
#include "device/table.h"
#include "launch/port.h"

#include <poll.h>
#include <string.h>

typedef enum { STAYS, GOES, CHANGES } Fate;

typedef struct {
    ImpBoard *board;
    BoardProbe *probe;
    ImpPort *port;
    guint n_opened;
    Fate at_proof; /* when the probe is opened for the second time */
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
    if (++bench->n_opened == 2 && bench->at_proof == GOES)
        imp_board_remove(bench->board);
    if (bench->n_opened == 2 && bench->at_proof == CHANGES)
        imp_board_next(bench->board, 2, IMP_BOARD_FILL_BLANK);
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

/* Neither a chip that is gone nor a blank one, which shows nothing either, proves that the unit is protected. */
static void test_proof(gconstpointer fate)
{
    GError *error = NULL;
    Bench bench = {.board = imp_board_new("nrf51822", 1, NULL, NULL), .at_proof = GPOINTER_TO_INT(fate)};
    bench.probe = board_probe_new(bench.board, 125000);
    void (*close_board)(ImpProbe *) = bench.probe->probe.ops->close;
    bench.port = imp_port_thread_new(&(ImpPortThreadOptions){.probe_spec = "in process",
                                                             .clock = &bench.probe->clock,
                                                             .open_probe = open_probe,
                                                             .open_user = &bench});
    imp_port_set_handler(bench.port, on_event, &bench);
    static const guint8 bytes[64] = {1, 2, 3, 4};
    ImpSegment segment = {(char *)"app", 0x400, g_bytes_new_static(bytes, sizeof bytes)};
    ImpContent content = {.name = (char *)"T",
                          .device = imp_device_lookup("nRF51822", &error),
                          .swd_hz = 4000000,
                          .attach = IMP_ATTACH_NORMAL,
                          .segments = &segment,
                          .n_segments = 1};
    g_assert_no_error(error);
    const ImpStep step = {.kind = IMP_STEP_PROTECT, .level = 1, .prove = TRUE};
    const ImpCommand attach = {.kind = IMP_COMMAND_ATTACH, .content = &content},
                     protect = {.kind = IMP_COMMAND_PROTECT, .content = &content, .step = &step},
                     finish = {.kind = IMP_COMMAND_FINISH, .content = &content};
    g_assert_true(imp_board_poke(bench.board, 0x400, bytes, sizeof bytes));
    carry_out(&bench, &attach);
    g_assert_no_error(bench.error);
    carry_out(&bench, &protect);
    g_assert_cmpuint(bench.n_opened, >=, 2);
    switch (bench.at_proof) {
    case STAYS:
        g_assert_no_error(bench.error);
        break;
    case GOES:
        g_assert_error(bench.error, IMP_ERROR, IMP_E_NO_TARGET);
        g_assert_nonnull(strstr(bench.error->message, "proving the protection: "));
        break;
    case CHANGES:
        g_assert_error(bench.error, IMP_ERROR, IMP_E_UNIT_CHANGED);
        break;
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
    g_test_add_data_func("/launch/unit/proof/stays", GINT_TO_POINTER(STAYS), test_proof);
    g_test_add_data_func("/launch/unit/proof/goes", GINT_TO_POINTER(GOES), test_proof);
    g_test_add_data_func("/launch/unit/proof/changes", GINT_TO_POINTER(CHANGES), test_proof);
    return g_test_run();
}
