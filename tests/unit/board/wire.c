/* The SWD line edge by edge, the debug port's acknowledges and errors, the MEM-AP. */
#include "host.h"

static const guint64 ones = G_MAXUINT64;

static guint8 read_id(ImpBoard *b)
{
    guint32 id = 0;
    guint8 ack = host_raw_read(b, 0, &id);
    if (ack == OK)
        g_assert_cmphex(id, ==, 0x0BB11477);
    return ack;
}

static void silent_until_line_reset(void)
{
    static const struct {
        guint ones, zeros;
        guint8 ack;
    } rows[] = {{0, 0, NONE}, {49, 8, NONE}, {50, 2, OK}, {64, 2, OK}, {64, 8, OK}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        ImpBoard *b = host_board(1);
        g_test_message("%u ones, %u zeros", rows[i].ones, rows[i].zeros);
        host_out(b, 0, 2);
        if (rows[i].ones) {
            host_out(b, ones, rows[i].ones);
            host_out(b, 0, rows[i].zeros);
        }
        g_assert_cmpuint(read_id(b), ==, rows[i].ack);
        imp_board_free(b);
    }
}

static void one_zero_is_no_reset(void)
{
    ImpBoard *b = host_board(1);
    host_out(b, ones, 60);
    host_out(b, 0, 1);
    g_assert_cmpuint(read_id(b), ==, NONE);
    host_line_reset(b);
    g_assert_cmpuint(read_id(b), ==, OK);
    imp_board_free(b);
}

static void jtag_to_swd_sequence(void)
{
    ImpBoard *b = host_board(1);
    host_out(b, ones, 56);
    host_out(b, 0xE79E, 16);
    host_out(b, ones, 56);
    host_out(b, 0, 8);
    g_assert_cmpuint(read_id(b), ==, OK);
    imp_board_free(b);
}

static void only_dpidr_after_reset(void)
{
    static const guint8 first[] = {DP_CTRL, DP_RDBUFF, AP_CSW, AP_DRW};
    for (guint i = 0; i < G_N_ELEMENTS(first); i++) {
        ImpBoard *b = host_board(1);
        guint32 v;
        host_line_reset(b);
        g_assert_cmpuint(host_raw_read(b, first[i], &v), ==, NONE);
        host_out(b, 0, 60);
        g_assert_cmpuint(read_id(b), ==, NONE); /* locked out */
        host_line_reset(b);
        g_assert_cmpuint(read_id(b), ==, OK);
        imp_board_free(b);
    }
}

static void protocol_errors_lock_out(void)
{
    static const guint8 damage[] = {0x20 /* parity */, 0x40 /* stop */, 0x80 /* park */};
    for (guint i = 0; i < G_N_ELEMENTS(damage); i++) {
        ImpBoard *b = host_board(1);
        host_line_reset(b);
        g_assert_cmpuint(read_id(b), ==, OK);
        host_out(b, host_header(RD) ^ damage[i], 8);
        g_assert_cmphex(host_in(b, 40), ==, 0xFFFFFFFFFF); /* nobody drives: pulled up */
        host_out(b, 0, 8);
        g_assert_cmpuint(read_id(b), ==, NONE);
        host_line_reset(b);
        g_assert_cmpuint(read_id(b), ==, OK);
        imp_board_free(b);
    }
}

static void read_takes_46_clocks(void)
{
    ImpBoard *b = host_board(1);
    host_line_reset(b);
    guint64 before = host_swclk(b);
    /* back to back, no idle clock between */
    g_assert_cmpuint(read_id(b), ==, OK);
    g_assert_cmpuint(read_id(b), ==, OK);
    g_assert_cmpuint(host_swclk(b) - before, ==, 92);
    imp_board_free(b);
}

static void write_parity(void)
{
    ImpBoard *b = host_board(1);
    struct imp_board_counters c;
    guint32 v;
    host_connect(b);
    host_write32(b, RAM, 0x11111111);
    host_write(b, AP_TAR, RAM);
    g_assert_cmpuint(host_raw_write(b, AP_DRW, 0x22222222, FALSE), ==,
                     OK); /* the acknowledge came before the data */
    g_assert_cmphex(host_read(b, DP_CTRL) & 0x80, ==, 0x80); /* WDATAERR */
    g_assert_cmpuint(host_try(b, AP_DRW | RD, &v), ==, FAULT);
    host_write(b, DP_ABORT, 1 << 3);
    g_assert_cmphex(host_read(b, DP_CTRL) & 0x80, ==, 0);
    g_assert_cmphex(host_read32(b, RAM), ==, 0x11111111);
    imp_board_get_counters(b, &c);
    g_assert_cmpuint(c.parity_errors, ==, 1);
    imp_board_free(b);
}

static void sticky_error_blocks(void)
{
    ImpBoard *b = host_board(1);
    guint32 v = 0;
    host_connect(b);
    host_write(b, AP_TAR, 0x30000000); /* nothing there */
    (void)host_try(b, AP_DRW | RD, &v);
    g_assert_cmphex(host_read(b, DP_CTRL) & 0x20, ==, 0x20);
    static const guint8 refused[] = {AP_DRW | RD, AP_CSW | RD, DP_RDBUFF | RD, AP_DRW, DP_SELECT, DP_CTRL};
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        v = 0;
        g_assert_cmpuint(host_try(b, refused[i], &v), ==, FAULT);
    }
    g_assert_cmphex(host_read(b, 0), ==, 0x0BB11477);
    host_write(b, DP_ABORT, 1 << 2);
    g_assert_cmphex(host_read(b, DP_CTRL) & 0x20, ==, 0);
    g_assert_cmphex(host_read32(b, 0x10000010), ==, 0x400);
    imp_board_free(b);
}

static void no_access_before_power_up(void)
{
    ImpBoard *b = host_board(1);
    guint32 v = 0;
    guint8 q[] = {0x02, 1}, r[1024];
    (void)host_packet(b, q, sizeof q, r);
    host_line_reset(b);
    (void)host_read(b, 0);
    g_assert_cmpuint(host_try(b, AP_CSW | RD, &v), ==, FAULT);
    host_write(b, DP_CTRL, 0x50000000);
    g_assert_cmphex(host_read(b, DP_CTRL) & 0xF0000000, ==, 0xF0000000);
    g_assert_cmphex(host_read(b, AP_CSW), ==, 0x23000042);
    imp_board_free(b);
}

static void fault_and_wait_forms(void)
{
    static const struct {
        guint32 ctrl;
        guint clocks;
        guint32 orun;
    } rows[] = {{0x50000000, 13, 0}, {0x50000001, 46, 2}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (guint wait = 0; wait < 2; wait++) {
            ImpBoard *b = host_board(1);
            guint32 v = 0;
            host_connect(b);
            if (wait) { /* make the AP busy behind an erase */
                host_write32(b, NVMC(0x504), 2);
                host_write32(b, NVMC(0x508), 0x400);
                host_write(b, AP_TAR, 0x400);
                guint8 q[] = {0x04, 0, 0, 0, 0, 0}, r[1024];
                (void)host_packet(b, q, sizeof q, r);
            } else {
                host_write(b, AP_TAR, 0x30000000);
            }
            host_write(b, DP_CTRL, rows[i].ctrl);
            g_assert_cmpuint(host_raw_read(b, AP_DRW, &v), ==, OK); /* posted: starts the access */
            guint64 before = host_swclk(b);
            host_out(b, host_header(AP_DRW | RD), 8);
            guint8 ack = (guint8)(host_in(b, 4) >> 1);
            g_assert_cmpuint(ack, ==, wait ? WAIT : FAULT);
            (void)host_in(b, rows[i].clocks - 12);
            g_assert_cmpuint(host_swclk(b) - before, ==, rows[i].clocks);
            /* in step: the next packet is understood */
            g_assert_cmpuint(host_raw_read(b, DP_CTRL, &v), ==, OK);
            g_assert_cmphex(v & 2, ==, rows[i].orun);
            if (rows[i].orun) { /* blocks like any sticky flag, until ABORT.ORUNERRCLR */
                host_out(b, host_header(DP_RDBUFF | RD), 8);
                g_assert_cmpuint(host_in(b, 4) >> 1, ==, FAULT);
                (void)host_in(b, 34);
                g_assert_cmpuint(host_raw_write(b, DP_ABORT, 1 << 4, TRUE), ==, OK);
                g_assert_cmpuint(host_raw_read(b, DP_CTRL, &v), ==, OK);
                g_assert_cmphex(v & 2, ==, 0);
            }
            imp_board_free(b);
        }
    }
}

static void reads_are_posted(void)
{
    ImpBoard *b = host_board(1);
    guint32 v = 0;
    host_connect(b);
    host_write32(b, RAM, 0xAAAA0001);
    host_write32(b, RAM + 4, 0xAAAA0002);
    host_write(b, AP_TAR, RAM);
    g_assert_cmpuint(host_raw_read(b, AP_DRW, &v), ==, OK); /* old result */
    g_assert_cmpuint(host_raw_read(b, AP_DRW, &v), ==, OK);
    g_assert_cmphex(v, ==, 0xAAAA0001);
    g_assert_cmpuint(host_raw_read(b, DP_RDBUFF, &v), ==, OK);
    g_assert_cmphex(v, ==, 0xAAAA0002);
    g_assert_cmpuint(host_raw_read(b, DP_RDBUFF, &v), ==, OK);
    g_assert_cmphex(v, ==, 0xAAAA0002); /* does not start an access */
    g_assert_cmpuint(host_raw_read(b, DP_SELECT, &v), ==, OK); /* read of 8: RESEND */
    g_assert_cmphex(v, ==, 0xAAAA0002);
    g_assert_cmphex(host_read(b, AP_TAR), ==, RAM + 8);
    imp_board_free(b);
}

static void ap_registers(void)
{
    static const struct {
        guint32 select;
        guint8 reg;
        guint32 want;
    } rows[] = {{0xF0, AP | AC, 0x04770021},
                {0xF0, AP | A8, 0xF0000003},
                {0xF0, AP | A4, 0},
                {0x010000F0, AP | AC, 0}};
    ImpBoard *b = host_board(1);
    host_connect(b);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        host_write(b, DP_SELECT, rows[i].select);
        g_assert_cmphex(host_read(b, rows[i].reg), ==, rows[i].want);
    }
    host_write(b, DP_SELECT, 0);
    host_write(b, AP_CSW, 0x23000022); /* packed increments do not exist here */
    g_assert_cmphex(host_read(b, AP_CSW) & 0x37, ==, 0x02);
    imp_board_free(b);
}

static void byte_lanes(void)
{
    ImpBoard *b = host_board(1);
    host_connect(b);
    host_write32(b, RAM, 0x44332211);
    host_write(b, AP_CSW, 0x23000010); /* bytes, increment */
    host_write(b, AP_TAR, RAM);
    for (guint i = 0; i < 4; i++)
        g_assert_cmphex(host_read(b, AP_DRW) >> 8 * i & 0xFF, ==, 0x11u * (i + 1));
    host_write(b, AP_TAR, RAM + 1);
    host_write(b, AP_DRW, 0x5566AA77); /* lane 1 */
    host_write(b, AP_DRW, 0x55BB6677); /* lane 2 */
    host_write(b, AP_CSW, 0x23000011); /* half-words */
    host_write(b, AP_TAR, RAM + 2);
    g_assert_cmphex(host_read(b, AP_DRW) >> 16, ==, 0x44BB);
    host_write(b, AP_TAR, RAM + 6);
    host_write(b, AP_DRW, 0xCCDD0000);
    host_write(b, AP_CSW, 0x23000012);
    g_assert_cmphex(host_read32(b, RAM), ==, 0x44BBAA11);
    g_assert_cmphex(host_read32(b, RAM + 4) >> 16, ==, 0xCCDD);
    host_write(b, AP_TAR, RAM + 2); /* a word there is refused */
    guint32 v;
    (void)host_try(b, AP_DRW | RD, &v);
    g_assert_cmphex(host_read(b, DP_CTRL) & 0x20, ==, 0x20);
    imp_board_free(b);
}

static void tar_wraps_at_1k(void)
{
    ImpBoard *b = host_board(1);
    host_connect(b);
    host_write32(b, RAM, 0);
    host_write(b, AP_TAR, RAM + 0x3FC);
    host_write(b, AP_DRW, 1);
    g_assert_cmphex(host_read(b, AP_TAR), ==, RAM);
    host_write(b, AP_DRW, 2);
    g_assert_cmphex(host_read32(b, RAM + 0x3FC), ==, 1);
    g_assert_cmphex(host_read32(b, RAM), ==, 2);
    host_write(b, AP_CSW, 0x23000002); /* no increment */
    host_write(b, AP_TAR, RAM);
    (void)host_read(b, AP_DRW);
    g_assert_cmphex(host_read(b, AP_TAR), ==, RAM);
    imp_board_free(b);
}

static void banked_data(void)
{
    ImpBoard *b = host_board(1);
    host_connect(b);
    host_write(b, AP_TAR, RAM + 0x10C); /* bits 3..0 are ignored */
    host_write(b, DP_SELECT, 0x10);
    for (guint i = 0; i < 4; i++)
        host_write(b, (guint8)(AP | i << 2), 0x100 + i);
    for (guint i = 0; i < 4; i++)
        g_assert_cmphex(host_read(b, (guint8)(AP | i << 2)), ==, 0x100 + i);
    host_write(b, DP_SELECT, 0);
    g_assert_cmphex(host_read(b, AP_TAR), ==, RAM + 0x10C);
    g_assert_cmphex(host_read32(b, RAM + 0x10C), ==, 0x103);
    imp_board_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/wire/silent-until-reset", silent_until_line_reset);
    g_test_add_func("/board/wire/one-zero", one_zero_is_no_reset);
    g_test_add_func("/board/wire/jtag-to-swd", jtag_to_swd_sequence);
    g_test_add_func("/board/wire/only-dpidr-after-reset", only_dpidr_after_reset);
    g_test_add_func("/board/wire/protocol-errors", protocol_errors_lock_out);
    g_test_add_func("/board/wire/46-clocks", read_takes_46_clocks);
    g_test_add_func("/board/wire/write-parity", write_parity);
    g_test_add_func("/board/wire/sticky-error", sticky_error_blocks);
    g_test_add_func("/board/wire/no-access-before-power-up", no_access_before_power_up);
    g_test_add_func("/board/wire/fault-and-wait-forms", fault_and_wait_forms);
    g_test_add_func("/board/wire/posted-reads", reads_are_posted);
    g_test_add_func("/board/wire/ap-registers", ap_registers);
    g_test_add_func("/board/wire/byte-lanes", byte_lanes);
    g_test_add_func("/board/wire/tar-wrap", tar_wraps_at_1k);
    g_test_add_func("/board/wire/banked-data", banked_data);
    return g_test_run();
}
