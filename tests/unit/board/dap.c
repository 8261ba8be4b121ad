/* The CMSIS-DAP command processor: every command's form, blocks, value match, retries, what is malformed. */
#include "host.h"

#include <string.h>

static void answers(ImpBoard *b, const guint8 *q, gsize n, const guint8 *want, gsize want_n)
{
    guint8 r[1024];
    gsize got = host_packet(b, q, n, r);
    g_assert_cmpmem(r, got, want, want_n);
}
#define ANSWERS(b, q, ...)                                                                                   \
    do {                                                                                                     \
        const guint8 want[] = {__VA_ARGS__};                                                                 \
        answers(b, q, sizeof q, want, sizeof want);                                                          \
    } while (0)
#define BYTES(...)                                                                                           \
    (const guint8[])                                                                                         \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static void info(void)
{
    const struct imp_board_options o = {.serial = "S1", .packet_size = 64, .packet_count = 9};
    ImpBoard *b = imp_board_new("nrf51822", 1, &o, NULL);
    g_assert_nonnull(b);
    ANSWERS(b, BYTES(0, 1), 0, 8, 'I', 'm', 'p', 'r', 'i', 'n', 't', 0);
    ANSWERS(b, BYTES(0, 3), 0, 3, 'S', '1', 0);
    ANSWERS(b, BYTES(0, 4), 0, 6, '2', '.', '1', '.', '0', 0);
    ANSWERS(b, BYTES(0, 0xF0), 0, 1, 0x11);
    ANSWERS(b, BYTES(0, 0xFE), 0, 1, 9);
    ANSWERS(b, BYTES(0, 0xFF), 0, 2, 64, 0);
    ANSWERS(b, BYTES(0, 0x55), 0, 0);
    imp_board_free(b);
}

static void simple_commands(void)
{
    ImpBoard *b = host_board(1);
    guint64 t0 = imp_board_now_ns(b);
    ANSWERS(b, BYTES(0x01, 0, 1), 0x01, 0);
    ANSWERS(b, BYTES(0x02, 0), 0x02, 1);
    ANSWERS(b, BYTES(0x02, 2), 0x02, 0); /* JTAG is not there */
    ANSWERS(b, BYTES(0x03), 0x03, 0);
    ANSWERS(b, BYTES(0x04, 1, 2, 0, 3, 0), 0x04, 0);
    ANSWERS(b, BYTES(0x09, 0xE8, 3), 0x09, 0); /* 1000 us */
    g_assert_cmpuint(imp_board_now_ns(b) - t0, ==, 1000000);
    ANSWERS(b, BYTES(0x0A), 0x0A, 0, 0);
    ANSWERS(b, BYTES(0x11, 0, 0, 0, 0), 0x11, 0xFF);
    ANSWERS(b, BYTES(0x11, 0x40, 0x42, 0x0F, 0), 0x11, 0);
    ANSWERS(b, BYTES(0x13, 0), 0x13, 0);
    ANSWERS(b, BYTES(0x08, 0, 0x1E, 0, 0, 0), 0x08, 0xFF); /* not connected */
    ANSWERS(b, BYTES(0x05, 0, 1, 2), 0x05, 0, 0); /* not connected: nothing executed */
    g_assert_cmpuint(host_packet(b, BYTES(0x07, 0), 2, (guint8[1024]){0}), ==, 0);
    imp_board_free(b);
}

static void pins_clock_the_line(void)
{
    ImpBoard *b = host_board(1);
    ANSWERS(b, BYTES(0x02, 1), 0x02, 1);
    guint64 before = host_swclk(b);
    for (guint i = 0; i < 3; i++) {
        ANSWERS(b, BYTES(0x10, 0x02, 0x03, 0, 0, 0, 0), 0x10, 0x82); /* SWCLK low, SWDIO high */
        ANSWERS(b, BYTES(0x10, 0x03, 0x03, 0, 0, 0, 0), 0x10, 0x83); /* rising edge */
    }
    g_assert_cmpuint(host_swclk(b) - before, ==, 3);
    ANSWERS(b, BYTES(0x10, 0x00, 0x80, 0, 0, 0, 0), 0x10, 0x03); /* nRESET low */
    imp_board_free(b);
}

static void transfer_lists(void)
{
    ImpBoard *b = host_board(1);
    host_connect(b);
    host_write32(b, RAM, 0x01020304);
    host_write32(b, RAM + 4, 0x11121314);
    /* TAR write, two posted reads, a DP read between the results, a third read */
    ANSWERS(b, BYTES(0x05, 0, 5, AP_TAR, 0, 0, 0, 0x20, AP_DRW | RD, AP_DRW | RD, 0 | RD, AP_TAR | RD), 0x05,
            5, 1, 4, 3, 2, 1, 0x14, 0x13, 0x12, 0x11, 0x77, 0x14, 0xB1, 0x0B, 8, 0, 0, 0x20);
    /* stops at the first failure: the rest is not executed */
    ANSWERS(b, BYTES(0x05, 0, 4, AP_TAR, 0, 0, 0, 0x30, AP_DRW | RD, AP_CSW | RD, AP_CSW | RD), 0x05, 2,
            FAULT);
    host_write(b, DP_ABORT, 0x1E);
    imp_board_free(b);
}

static void blocks(void)
{
    ImpBoard *b = host_board(1);
    guint8 q[512] = {0x06, 0, 100, 0, AP_DRW}, r[1024];
    host_connect(b);
    for (guint i = 0; i < 400; i++)
        q[5 + i] = (guint8)(i * 7);
    host_write(b, AP_TAR, RAM + 0x200);
    guint64 before = host_swclk(b);
    g_assert_cmpuint(host_packet(b, q, 405, r), ==, 4);
    g_assert_cmpmem(r, 4, BYTES(0x06, 100, 0, 1), 4);
    g_assert_cmpuint(host_swclk(b) - before, ==, 46 * 101); /* the last write is confirmed */
    host_write(b, AP_TAR, RAM + 0x200);
    before = host_swclk(b);
    g_assert_cmpuint(host_packet(b, BYTES(0x06, 0, 100, 0, AP_DRW | RD), 5, r), ==, 404);
    g_assert_cmpmem(r, 4, BYTES(0x06, 100, 0, 1), 4);
    g_assert_cmpmem(r + 4, 400, q + 5, 400);
    g_assert_cmpuint(host_swclk(b) - before, ==, 46 * 101); /* one posted more */
    /* DP block: no extra */
    ANSWERS(b, BYTES(0x06, 0, 2, 0, RD), 0x06, 2, 0, 1, 0x77, 0x14, 0xB1, 0x0B, 0x77, 0x14, 0xB1, 0x0B);
    ANSWERS(b, BYTES(0x06, 0, 0, 0, RD), 0x06, 0, 0, 0);
    /* more than fits into a response */
    ANSWERS(b, BYTES(0x06, 0, 128, 0, RD), 0xFF);
    ANSWERS(b, BYTES(0x06, 0, 0xFF, 0xFF, RD), 0xFF);
    imp_board_free(b);
}

static void value_match_polls(void)
{
    ImpBoard *b = host_board(1);
    host_connect(b);
    host_halt(b);
    /* movs r0,#0; l: adds r0,#1; cmp r0,r1; bne l; bkpt */
    static const guint16 code[] = {0x2000, 0x3001, 0x4288, 0xD1FC, 0xBE00};
    host_set_reg(b, 16, 0x01000000);
    host_set_reg(b, 1, 2000); /* 10,000 cycles, 625 us: about 13 polls at 1 MHz */
    host_load(b, RAM, code, G_N_ELEMENTS(code));
    ANSWERS(b, BYTES(0x04, 0, 100, 0, 200, 0), 0x04, 0);
    host_run(b, RAM);
    host_write(b, AP_TAR, DHCSR);
    host_write(b, AP_CSW, 0x23000002);
    ANSWERS(b, BYTES(0x05, 0, 2, MATCH_MASK, 0, 0, 2, 0, AP_DRW | RD | MATCH_VALUE, 0, 0, 2, 0), 0x05, 2, 1);
    /* now a value that never comes: MISMATCH after the retries */
    ANSWERS(b, BYTES(0x04, 0, 100, 0, 5, 0), 0x04, 0);
    guint64 before = host_swclk(b);
    ANSWERS(b, BYTES(0x05, 0, 1, AP_DRW | RD | MATCH_VALUE, 0, 0, 0, 0), 0x05, 0, 0x11);
    g_assert_cmpuint(host_swclk(b) - before, ==, 46 * 7); /* one posted, six compared */
    imp_board_free(b);
}

static void wait_retries(void)
{
    ImpBoard *b = host_board(1);
    struct imp_board_counters c0, c1;
    host_connect(b);
    host_write32(b, NVMC(0x504), 2);
    host_write32(b, NVMC(0x508), 0);
    ANSWERS(b, BYTES(0x04, 0, 7, 0, 0, 0), 0x04, 0);
    host_write(b, AP_TAR, 0);
    imp_board_get_counters(b, &c0);
    ANSWERS(b, BYTES(0x05, 0, 1, AP_DRW | RD), 0x05, 1, WAIT);
    imp_board_get_counters(b, &c1);
    g_assert_cmpuint(c1.waits - c0.waits, ==, 8);
    g_assert_cmpuint(c1.swclk - c0.swclk, ==, 46 + 8 * 13);
    imp_board_free(b);
}

static void sequences(void)
{
    ImpBoard *b = host_board(1);
    guint64 before = host_swclk(b);
    guint8 all[34] = {0x12, 0}; /* 0: 256 bits */
    ANSWERS(b, all, 0x12, 0);
    g_assert_cmpuint(host_swclk(b) - before, ==, 256);
    before = host_swclk(b);
    ANSWERS(b, BYTES(0x1D, 3, 4, 0x0F, 0x80 | 12, 0x40 | 0, 1, 2, 3, 4, 5, 6, 7, 8), 0x1D, 0, 0xFF, 0x0F);
    g_assert_cmpuint(host_swclk(b) - before, ==, 4 + 12 + 64);
    imp_board_free(b);
}

static void idle_cycles_and_turnaround(void)
{
    ImpBoard *b = host_board(1);
    host_connect(b);
    ANSWERS(b, BYTES(0x04, 8, 100, 0, 0, 0), 0x04, 0);
    guint64 before = host_swclk(b);
    (void)host_read(b, 0);
    g_assert_cmpuint(host_swclk(b) - before, ==, 54);
    imp_board_free(b);
}

static void lists_of_commands(void)
{
    ImpBoard *b = host_board(1);
    ANSWERS(b, BYTES(0x7F, 2, 0x00, 0xF0, 0x02, 1), 0x7F, 2, 0x00, 1, 0x11, 0x02, 1);
    ANSWERS(b, BYTES(0x7E, 1, 0x00, 0xFE), 0x7F, 1, 0x00, 1, 4);
    ANSWERS(b, BYTES(0x7F, 1, 0x7F, 0), 0xFF);
    ANSWERS(b, BYTES(0x7F, 1, 0x07, 0), 0xFF);
    ANSWERS(b, BYTES(0x7F, 3, 0x00, 0xF0), 0xFF);
    imp_board_free(b);
}

static void malformed(void)
{
    static const guint8 whole[][12] = {{2, 0x00, 1},
                                       {3, 0x01, 0, 1},
                                       {2, 0x02, 1},
                                       {6, 0x04, 0, 1, 0, 1, 0},
                                       {8, 0x05, 0, 1, AP_TAR, 0, 0, 0, 0},
                                       {9, 0x06, 0, 1, 0, AP_TAR, 0, 0, 0, 0},
                                       {6, 0x08, 0, 0, 0, 0, 0},
                                       {3, 0x09, 0, 0},
                                       {7, 0x10, 0, 0, 0, 0, 0, 0},
                                       {5, 0x11, 1, 0, 0, 0},
                                       {3, 0x12, 8, 0},
                                       {2, 0x13, 0},
                                       {4, 0x1D, 1, 8, 0}};
    ImpBoard *b = host_board(1);
    guint8 r[1024];
    host_connect(b);
    for (guint i = 0; i < G_N_ELEMENTS(whole); i++) {
        gsize n = whole[i][0];
        g_assert_cmpuint(host_packet(b, whole[i] + 1, n, r), >, 1);
        for (gsize cut = 1; cut < n; cut++) {
            g_test_message("command %02x cut to %u bytes", whole[i][1], (guint)cut);
            g_assert_cmpuint(host_packet(b, whole[i] + 1, cut, r), ==, 1);
            g_assert_cmphex(r[0], ==, 0xFF);
        }
    }
    static const guint8 unknown[] = {0x0B, 0x14, 0x15, 0x16, 0x17, 0x1E, 0x20, 0x80, 0xFF};
    for (guint i = 0; i < G_N_ELEMENTS(unknown); i++) {
        g_assert_cmpuint(host_packet(b, &unknown[i], 1, r), ==, 1);
        g_assert_cmphex(r[0], ==, 0xFF);
    }
    g_assert_cmpuint(host_packet(b, r, 0, r), ==, 0);
    g_assert_cmphex(host_read(b, 0), ==, 0x0BB11477); /* still there */
    imp_board_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/dap/info", info);
    g_test_add_func("/board/dap/simple", simple_commands);
    g_test_add_func("/board/dap/pins", pins_clock_the_line);
    g_test_add_func("/board/dap/transfer-lists", transfer_lists);
    g_test_add_func("/board/dap/blocks", blocks);
    g_test_add_func("/board/dap/value-match", value_match_polls);
    g_test_add_func("/board/dap/wait-retries", wait_retries);
    g_test_add_func("/board/dap/sequences", sequences);
    g_test_add_func("/board/dap/idle-cycles", idle_cycles_and_turnaround);
    g_test_add_func("/board/dap/lists", lists_of_commands);
    g_test_add_func("/board/dap/malformed", malformed);
    return g_test_run();
}
