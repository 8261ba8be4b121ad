/* nRF51's flash controller: rules, times, who waits. */
#include "host.h"

#include <string.h>

#define WRITE_NS 46300u
#define ERASE_NS 22300000u

enum { READY = 0x400, CONFIG = 0x504, ERASEPAGE = 0x508, ERASEALL = 0x50C, ERASEUICR = 0x514 };

static void wait_ready(ImpBoard *b)
{
    for (guint i = 0; i < 100000; i++)
        if (host_read32(b, NVMC(READY)))
            return;
    g_error("flash stays busy");
}

static void debugger_programs(void)
{
    ImpBoard *b = host_board(1);
    struct imp_board_counters c;
    host_connect(b);
    host_halt(b);
    host_write32(b, NVMC(CONFIG), 1);
    guint64 t0 = imp_board_now_ns(b);
    host_write32(b, 0x1000, 0x12345678);
    imp_board_get_counters(b, &c);
    g_assert_cmpuint(c.words_programmed, ==, 1);
    g_assert_cmpuint(c.last_flash_op_end_ns, >=, t0 + WRITE_NS);
    g_assert_cmpuint(c.last_flash_op_end_ns, <=, imp_board_now_ns(b) + WRITE_NS);
    wait_ready(b);
    g_assert_cmphex(host_read32(b, 0x1000), ==, 0x12345678);
    /* a programmed word can only lose bits */
    host_write32(b, 0x1000, 0xFF00FF00);
    g_assert_cmphex(host_read32(b, 0x1000), ==, 0x12005600);
    /* back to back: the second waits for the first */
    host_write32(b, 0x1004, 0x11111111);
    host_write32(b, 0x1008, 0x22222222);
    g_assert_cmphex(host_read32(b, 0x1004), ==, 0x11111111);
    g_assert_cmphex(host_read32(b, 0x1008), ==, 0x22222222);
    imp_board_free(b);
}

static void write_rules(void)
{
    static const struct {
        guint32 config, addr, csw;
        gboolean allowed;
    } rows[] = {
        {0, 0x1000, 0x23000012, FALSE},    {1, 0x1000, 0x23000012, TRUE},
        {2, 0x1000, 0x23000012, FALSE},    {1, 0x1000, 0x23000010, FALSE},
        {1, 0x1002, 0x23000011, FALSE},    {1, 0x10000060, 0x23000012, FALSE},
        {1, 0x10001080, 0x23000012, TRUE}, {1, 0x40000, 0x23000012, FALSE},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        ImpBoard *b = host_board(2);
        host_connect(b);
        host_halt(b);
        host_write32(b, NVMC(CONFIG), rows[i].config);
        host_write(b, AP_CSW, rows[i].csw);
        host_write(b, AP_TAR, rows[i].addr);
        guint32 v = 0;
        (void)host_try(b, AP_DRW, &v);
        guint32 ctrl = host_read(b, DP_CTRL);
        g_test_message("row %u", i);
        g_assert_cmphex(ctrl & 0x20, ==, rows[i].allowed ? 0 : 0x20);
        imp_board_free(b);
    }
}

static void erase_page_and_time(void)
{
    ImpBoard *b = host_board(3);
    struct imp_board_counters c;
    guint32 zero = 0;
    for (guint32 a = 0x7FC; a <= 0xC00; a += 4)
        g_assert_true(imp_board_poke(b, a, &zero, 4));
    host_connect(b);
    host_halt(b);
    host_write32(b, NVMC(ERASEPAGE), 0x800); /* without EEN: ignored */
    g_assert_cmphex(host_peek(b, 0x800), ==, 0);
    host_write32(b, NVMC(CONFIG), 2);
    host_write32(b, NVMC(ERASEPAGE), 0x800);
    g_assert_cmphex(host_read32(b, NVMC(READY)), ==, 0);
    wait_ready(b);
    imp_board_get_counters(b, &c);
    g_assert_true(c.has_erase);
    g_assert_cmpuint(c.pages_erased, ==, 1);
    g_assert_cmpuint(c.last_flash_op_end_ns - c.first_erase_ns, ==, ERASE_NS);
    g_assert_cmpuint(imp_board_now_ns(b), >=, c.last_flash_op_end_ns);
    g_assert_cmphex(host_peek(b, 0x7FC), ==, 0);
    g_assert_cmphex(host_peek(b, 0x800), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, 0xBFC), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, 0xC00), ==, 0);
    imp_board_free(b);
}

static void erase_all_includes_uicr(void)
{
    ImpBoard *b = host_board(4);
    guint32 zero = 0;
    g_assert_true(imp_board_poke(b, 0x3FFFC, &zero, 4));
    g_assert_true(imp_board_poke(b, 0x10001080, &zero, 4));
    host_connect(b);
    host_halt(b);
    host_write32(b, NVMC(CONFIG), 2);
    host_write32(b, NVMC(ERASEUICR), 1);
    wait_ready(b);
    g_assert_cmphex(host_peek(b, 0x10001080), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, 0x3FFFC), ==, 0);
    g_assert_true(imp_board_poke(b, 0x10001080, &zero, 4));
    host_write32(b, NVMC(ERASEALL), 1);
    wait_ready(b);
    g_assert_cmphex(host_peek(b, 0x10001080), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, 0x3FFFC), ==, 0xFFFFFFFF);
    imp_board_free(b);
}

static void busy_flash_answers_wait(void)
{
    ImpBoard *b = host_board(5);
    guint8 q[] = {0x04, 0, 0, 0, 0, 0}, r[1024]; /* no retries */
    host_connect(b);
    host_halt(b);
    g_assert_cmpuint(host_packet(b, q, sizeof q, r), ==, 2);
    host_write32(b, NVMC(CONFIG), 2);
    host_write32(b, NVMC(ERASEPAGE), 0x800);
    host_write(b, AP_TAR, 0x800);
    guint32 v = 0;
    g_assert_cmpuint(host_try(b, AP_DRW | RD, &v), ==, WAIT);
    g_assert_cmphex(host_read(b, DP_CTRL) & 0xF0, ==, 0); /* no error, nothing read yet */
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + ERASE_NS);
    g_assert_cmphex(host_read(b, DP_RDBUFF), ==, 0xFFFFFFFF);
    /* DAPABORT ends a stalled access */
    host_write32(b, NVMC(ERASEPAGE), 0x800);
    host_write(b, AP_TAR, 0x800);
    g_assert_cmpuint(host_try(b, AP_DRW | RD, &v), ==, WAIT);
    host_write(b, DP_ABORT, 1);
    g_assert_cmphex(host_read32(b, NVMC(READY)), ==, 0);
    imp_board_free(b);
}

/* r0 address, r1 value, r2 NVMC: str; loop: ldr r3,[r2 READY]; cmp 0; beq; bkpt. Code in RAM. */
static void core_programs_from_ram(void)
{
    /* movs r3,#1; lsls r3,#10 (READY at +0x400); str r1,[r0]; l: ldr r4,[r2,r3]; cmp r4,#0; beq l; bkpt */
    static const guint16 code[] = {0x2301, 0x029B, 0x6001, 0x58D4, 0x2C00, 0xD0FC, 0xBE00};
    ImpBoard *b = host_board(6);
    struct imp_board_counters c;
    host_connect(b);
    host_halt(b);
    host_set_reg(b, 16, 0x01000000);
    host_load(b, RAM, code, G_N_ELEMENTS(code));
    host_write32(b, NVMC(CONFIG), 1);
    host_set_reg(b, 0, 0x2000);
    host_set_reg(b, 1, 0xA5A5F00F);
    host_set_reg(b, 2, NVMC(0));
    guint64 start = imp_board_now_ns(b);
    host_run(b, RAM);
    (void)host_wait_halt(b);
    g_assert_cmphex(host_get_reg(b, 4), ==, 1);
    g_assert_cmphex(host_peek(b, 0x2000), ==, 0xA5A5F00F);
    g_assert_cmphex(host_peek(b, 0x2004), ==, 0xFFFFFFFF);
    imp_board_get_counters(b, &c);
    g_assert_cmpuint(c.words_programmed, ==, 1);
    g_assert_cmpuint(c.last_flash_op_end_ns, >, start + WRITE_NS);
    g_assert_cmpuint(c.instructions, >, 300); /* it polled for 46 us */
    /* and once more over the same word: bits can only be lost, although Unicorn stores raw */
    host_set_reg(b, 1, 0x5A5AFFFF);
    host_run(b, RAM);
    (void)host_wait_halt(b);
    g_assert_cmphex(host_peek(b, 0x2000), ==, 0x0000F00F);
    imp_board_free(b);
}

static void core_store_without_enable_locks_up(void)
{
    static const guint16 code[] = {0x6001, 0xBE00};
    ImpBoard *b = host_board(7);
    host_connect(b);
    host_halt(b);
    host_set_reg(b, 16, 0x01000000);
    host_load(b, RAM, code, G_N_ELEMENTS(code));
    host_set_reg(b, 0, 0x2000);
    host_set_reg(b, 1, 0);
    host_run(b, RAM);
    g_assert_cmphex(host_read32(b, DHCSR) & 0x000A0000, ==, 0x00080000);
    g_assert_cmphex(host_peek(b, 0x2000), ==, 0xFFFFFFFF);
    imp_board_free(b);
}

static void core_in_flash_is_halted_while_busy(void)
{
    /* in flash: str r1,[r0]; adds r5,#1; bkpt */
    static const guint16 code[] = {0x6001, 0x3501, 0xBE00};
    ImpBoard *b = host_board(8);
    g_assert_true(imp_board_poke(b, 0x400, code, sizeof code));
    host_connect(b);
    host_halt(b);
    host_set_reg(b, 16, 0x01000000);
    host_write32(b, NVMC(CONFIG), 1);
    host_set_reg(b, 0, 0x2000);
    host_set_reg(b, 1, 0x1234);
    host_clock(b, 10000000); /* so that the write of DHCSR and its confirmation take 9 us */
    host_run(b, 0x400);
    guint64 start = imp_board_now_ns(b);
    imp_board_advance_to_ns(b, start + WRITE_NS / 2);
    g_assert_true(imp_board_is_running(b));
    imp_board_advance_to_ns(b, start + 2 * WRITE_NS);
    g_assert_false(imp_board_is_running(b));
    g_assert_cmphex(host_peek(b, 0x2000), ==, 0x1234);
    imp_board_free(b);
}

static void info_blocks(void)
{
    ImpBoard *b = host_board(9);
    host_connect(b);
    g_assert_cmphex(host_read32(b, 0x10000010), ==, 0x400);
    g_assert_cmphex(host_read32(b, 0x10000014), ==, 0x100);
    g_assert_cmphex(host_read32(b, 0x1000005C), ==, 0xFFFF0072);
    host_check_uid(b, 0x10000060, 2);
    imp_board_free(b);
}

/* RBPCONF.PALL: from the next reset on the debugger sees no memory; ERASEALL and another reset open the chip. */
static void read_back_protection(void)
{
    ImpBoard *b = host_board(10);
    guint32 secret = 0xC0FFEE11, ram = 0x12345678;
    g_assert_true(imp_board_poke(b, 0x2000, &secret, 4));
    host_connect(b);
    host_halt(b);
    host_write32(b, NVMC(CONFIG), 1);
    host_write32(b, 0x10001004, 0xFFFF00FF);
    wait_ready(b);
    g_assert_cmphex(host_read32(b, 0x2000), ==, secret);
    host_write32(b, AIRCR, 0x05FA0004);
    g_assert_true(imp_board_poke(b, RAM, &ram, 4));
    g_assert_cmphex(host_read32(b, 0x2000), ==, 0);
    g_assert_cmphex(host_read32(b, RAM), ==, 0);
    host_write32(b, RAM, 1); /* ignored */
    g_assert_cmphex(host_peek(b, RAM), ==, ram);
    g_assert_cmphex(host_peek(b, 0x2000), ==, secret);
    g_assert_cmphex(host_read32(b, 0x10000010), ==, 0x400);
    host_halt(b);
    host_write32(b, NVMC(CONFIG), 2);
    g_assert_cmphex(host_read32(b, NVMC(CONFIG)), ==, 2);
    host_write32(b, NVMC(ERASEALL), 1);
    wait_ready(b);
    g_assert_cmphex(host_peek(b, 0x2000), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_read32(b, 0x2000), ==, 0); /* until the reset */
    host_write32(b, AIRCR, 0x05FA0004);
    g_assert_cmphex(host_read32(b, 0x2000), ==, 0xFFFFFFFF);
    imp_board_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/flash/debugger-programs", debugger_programs);
    g_test_add_func("/board/flash/write-rules", write_rules);
    g_test_add_func("/board/flash/erase-page", erase_page_and_time);
    g_test_add_func("/board/flash/erase-all", erase_all_includes_uicr);
    g_test_add_func("/board/flash/busy-waits", busy_flash_answers_wait);
    g_test_add_func("/board/flash/core-programs-from-ram", core_programs_from_ram);
    g_test_add_func("/board/flash/core-store-not-enabled", core_store_without_enable_locks_up);
    g_test_add_func("/board/flash/core-in-flash-halted", core_in_flash_is_halted_while_busy);
    g_test_add_func("/board/flash/info-blocks", info_blocks);
    g_test_add_func("/board/flash/read-back-protection", read_back_protection);
    return g_test_run();
}
