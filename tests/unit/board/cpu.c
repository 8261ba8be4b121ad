/* The core behind the wire: halt, registers, step, breakpoints, reset, lockup, code in RAM, cycles. */
#include "host.h"

static void blank_chip_locks_up(void)
{
    ImpBoard *b = host_board(1);
    host_connect(b);
    guint32 v = host_read32(b, DHCSR);
    g_assert_cmphex(v & 0x02080000, ==, 0x02080000); /* S_RESET_ST, S_LOCKUP */
    v = host_read32(b, DHCSR);
    g_assert_cmphex(v & 0x02000000, ==, 0); /* read clears S_RESET_ST */
    host_halt(b);
    v = host_read32(b, DHCSR);
    g_assert_cmphex(v & 0x000A0000, ==, 0x00020000); /* halted, lockup gone */
    g_assert_cmphex(host_get_reg(b, 15), ==, 0xFFFFFFFE);
    imp_board_free(b);
}

static void registers(void)
{
    ImpBoard *b = host_board(2);
    host_connect(b);
    host_halt(b);
    for (guint i = 0; i <= 12; i++)
        host_set_reg(b, i, 0x11110000u + i);
    host_set_reg(b, 14, 0xCAFE0001);
    host_set_reg(b, 15, RAM + 0x100);
    host_set_reg(b, 16, 0x81000000);
    host_set_reg(b, 17, RAM + 0x2000);
    host_set_reg(b, 18, RAM + 0x1000);
    host_set_reg(b, 20, 1);
    for (guint i = 0; i <= 12; i++)
        g_assert_cmphex(host_get_reg(b, i), ==, 0x11110000u + i);
    g_assert_cmphex(host_get_reg(b, 13), ==, RAM + 0x2000);
    g_assert_cmphex(host_get_reg(b, 14), ==, 0xCAFE0001);
    g_assert_cmphex(host_get_reg(b, 15), ==, RAM + 0x100);
    g_assert_cmphex(host_get_reg(b, 16), ==, 0x81000000);
    g_assert_cmphex(host_get_reg(b, 17), ==, RAM + 0x2000);
    g_assert_cmphex(host_get_reg(b, 18), ==, RAM + 0x1000);
    g_assert_cmphex(host_get_reg(b, 20), ==, 1);
    host_set_reg(b, 20, 0x02000000); /* SPSEL: R13 is PSP */
    g_assert_cmphex(host_get_reg(b, 13), ==, RAM + 0x1000);
    g_assert_cmphex(host_get_reg(b, 17), ==, RAM + 0x2000);
    imp_board_free(b);
}

/* r0 = 10; do r1 += r0; while (--r0); bkpt */
static const guint16 sum_code[] = {0x200A, 0x2100, 0x1809, 0x3801, 0xD1FC, 0xBE00};

static void code_in_ram_runs_to_bkpt(void)
{
    ImpBoard *b = host_board(3);
    host_connect(b);
    host_halt(b);
    host_load(b, RAM, sum_code, G_N_ELEMENTS(sum_code));
    host_set_reg(b, 16, 0x01000000);
    struct imp_board_counters before, after;
    imp_board_get_counters(b, &before);
    host_run(b, RAM);
    (void)host_wait_halt(b);
    imp_board_get_counters(b, &after);
    g_assert_cmphex(host_get_reg(b, 1), ==, 55);
    /* real chips too: with xPSR.C and Z of the last SUBS */
    g_assert_cmphex(host_get_reg(b, 16), ==, 0x61000000);
    g_assert_cmphex(host_get_reg(b, 15), ==, RAM + 10); /* at the BKPT */
    g_assert_cmphex(host_read32(b, DFSR) & 2, ==, 2);
    g_assert_cmpuint(after.instructions - before.instructions, ==, 2 + 3 * 10);
    host_write32(b, DFSR, 0x1F);
    g_assert_cmphex(host_read32(b, DFSR), ==, 0);
    imp_board_free(b);
}

static void step_walks(void)
{
    static const guint32 pcs[] = {RAM + 2, RAM + 4, RAM + 6, RAM + 8, RAM + 4, RAM + 6};
    ImpBoard *b = host_board(4);
    host_connect(b);
    host_halt(b);
    host_load(b, RAM, sum_code, G_N_ELEMENTS(sum_code));
    host_set_reg(b, 16, 0x01000000);
    host_set_reg(b, 15, RAM);
    for (guint i = 0; i < G_N_ELEMENTS(pcs); i++) {
        host_write32(b, DHCSR, 0xA05F0005);
        guint32 v = host_read32(b, DHCSR);
        g_assert_cmphex(v & 0x01020003, ==, 0x01020003); /* retired, halted again, C_HALT set by hardware */
        g_assert_cmphex(host_get_reg(b, 15), ==, pcs[i]);
    }
    g_assert_cmphex(host_get_reg(b, 1), ==, 19);
    imp_board_free(b);
}

static void breakpoint_hits_first_instruction_too(void)
{
    ImpBoard *b = host_board(5);
    host_connect(b);
    host_halt(b);
    host_load(b, RAM, sum_code, G_N_ELEMENTS(sum_code));
    host_set_reg(b, 16, 0x01000000);
    g_assert_cmphex(host_read32(b, 0xE0002000) & 0xF0, ==, 0x40);
    host_write32(b, 0xE0002008, (RAM & 0x1FFFFFFC) | 1); /* no BP_MATCH: nothing */
    host_write32(b, 0xE0002000, 3);
    /* the comparator covers the code region only (bits 28..2): copy the code to flash for the real thing */
    guint8 flash[12];
    for (guint i = 0; i < 6; i++) {
        flash[2 * i] = (guint8)sum_code[i];
        flash[2 * i + 1] = (guint8)(sum_code[i] >> 8);
    }
    g_assert_true(imp_board_poke(b, 0x400, flash, sizeof flash));
    host_write32(b, 0xE0002008, 0x400 | 1u << 30 | 1);
    host_write32(b, 0xE000200C, 0x408 | 2u << 30 | 1); /* upper half-word: 0x40A, the BKPT itself */
    host_run(b, 0x400);
    (void)host_wait_halt(b);
    g_assert_cmphex(host_get_reg(b, 15), ==, 0x400);
    host_write32(b, 0xE0002008, 0);
    host_run(b, 0x400);
    (void)host_wait_halt(b);
    g_assert_cmphex(host_get_reg(b, 15), ==, 0x40A);
    g_assert_cmphex(host_get_reg(b, 1), ==, 55);
    imp_board_free(b);
}

static void reset_catch(void)
{
    ImpBoard *b = host_board(6);
    static const guint32 vectors[] = {0x20002000, 0x00000101};
    g_assert_true(imp_board_poke(b, 0, vectors, sizeof vectors));
    static const guint16 loop[] = {0xE7FE};
    g_assert_true(imp_board_poke(b, 0x100, loop, sizeof loop));
    host_connect(b);
    host_write32(b, DHCSR, 0xA05F0001);
    host_write32(b, DEMCR, 1);
    host_write32(b, AIRCR, 0x05FA0004);
    guint32 v = host_read32(b, DHCSR);
    g_assert_cmphex(v & 0x02020003, ==, 0x02020003);
    g_assert_cmphex(host_get_reg(b, 15), ==, 0x100);
    g_assert_cmphex(host_get_reg(b, 13), ==, 0x20002000);
    g_assert_cmphex(host_read32(b, DFSR) & 8, ==, 8);
    g_assert_cmphex(host_read32(b, DEMCR), ==, 1); /* survives */
    host_write32(b, DEMCR, 0);
    host_write32(b, AIRCR, 0x05FA0004);
    v = host_read32(b, DHCSR);
    g_assert_cmphex(v & 0x020A0001, ==, 0x02000001); /* was reset, runs, debug still on */
    g_assert_true(imp_board_is_running(b));
    imp_board_free(b);
}

static void changed_code_is_noticed(void)
{
    static const guint16 first[] = {0x2001, 0xBE00}, second[] = {0x2002, 0xBE00};
    ImpBoard *b = host_board(7);
    host_connect(b);
    host_halt(b);
    host_set_reg(b, 16, 0x01000000);
    host_load(b, RAM + 0x40, first, 2);
    host_run(b, RAM + 0x40);
    (void)host_wait_halt(b);
    g_assert_cmpuint(host_get_reg(b, 0), ==, 1);
    host_load(b, RAM + 0x40, second, 2);
    host_run(b, RAM + 0x40);
    (void)host_wait_halt(b);
    g_assert_cmpuint(host_get_reg(b, 0), ==, 2);
    imp_board_free(b);
}

static void faults_lock_up(void)
{
    static const struct {
        guint16 code[2];
        const char *what;
    } rows[] = {{{0x6800, 0xBE00}, "load from nowhere"},
                {{0xDE00, 0xBE00}, "undefined"},
                {{0xDF00, 0xBE00}, "SVC"},
                {{0x4718, 0xBE00}, "branch to ARM state"},
                {{0x9000, 0x4718}, "store to nowhere"}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        ImpBoard *b = host_board(8);
        host_connect(b);
        host_halt(b);
        host_set_reg(b, 16, 0x01000000);
        host_set_reg(b, 0, 0x30000000);
        host_set_reg(b, 3, RAM); /* even: no Thumb bit */
        host_set_reg(b, 13, 0x30000000);
        host_load(b, RAM, rows[i].code, 2);
        host_run(b, RAM);
        g_test_message("%s", rows[i].what);
        g_assert_cmphex(host_read32(b, DHCSR) & 0x000A0000, ==, 0x00080000);
        imp_board_free(b);
    }
}

static void cycles_follow_the_table(void)
{
    /* r0 = 0; loop: r0++ (1); cmp r0, r2 (1); bne loop (3, last 1); bkpt: 5 cycles a round */
    static const guint16 code[] = {0x3001, 0x4290, 0xD1FC, 0xBE00};
    ImpBoard *b = host_board(9);
    host_connect(b);
    host_halt(b);
    host_set_reg(b, 16, 0x01000000);
    host_load(b, RAM, code, G_N_ELEMENTS(code));
    host_set_reg(b, 0, 0);
    host_set_reg(b, 2, 160000); /* 800,000 cycles: 50 ms */
    host_run(b, RAM);
    guint64 start = imp_board_now_ns(b);
    imp_board_advance_to_ns(b, start + 49900000);
    g_assert_true(imp_board_is_running(b));
    imp_board_advance_to_ns(b, start + 50100000);
    g_assert_false(imp_board_is_running(b));
    g_assert_cmpuint(host_get_reg(b, 0), ==, 160000);
    imp_board_free(b);
}

/* Code that waits for flash is not executed round by round; nothing shows that, whether it runs in one go or is stopped all the time, whatever
 * it does besides. */
static void waiting_is_counted_exactly(void)
{
    /* str r4,[r1] starts the write; then until READY (r0) is not 0: */
    static const guint16 rows[][8] = {
        {0x600C, 0x6802, 0x2A00, 0xD0FC, 0xBE00}, /* nothing but the read */
        {0x600C, 0x6802, 0x4613, 0x2A00, 0xD0FB, 0xBE00}, /* a copy of it: the same in each round */
        {0x600C, 0x3301, 0x6802, 0x2A00, 0xD0FB, 0xBE00}, /* counts in r3 */
        {0x600C, 0x602B, 0x6802, 0x2A00, 0xD0FB, 0xBE00}, /* stores r3 */
        {0x600C, 0x6837, 0x6802, 0x2A00, 0xD0FB, 0xBE00}, /* reads another register, too */
        {0x600C, 0x682B, 0x3301, 0x602B, 0x6802, 0x2A00, 0xD0F9, 0xBE00}, /* counts in RAM */
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint64 instructions[2];
        guint32 r3[2], ram[2];
        for (guint k = 0; k < 2; k++) {
            ImpBoard *b = host_board(9);
            struct imp_board_counters c;
            const guint32 zero = 0;
            g_test_message("row %u, %s", i, k ? "in pieces" : "in one go");
            host_connect(b);
            host_halt(b);
            host_write32(b, NVMC(0x504), 1);
            host_load(b, RAM, rows[i], G_N_ELEMENTS(rows[i]));
            g_assert_true(imp_board_poke(b, RAM + 0x100, &zero, 4));
            const guint32 regs[] = {NVMC(0x400), 0x2000, 0, 0, 0x12345678, RAM + 0x100, NVMC(0x504)};
            for (guint r = 0; r < G_N_ELEMENTS(regs); r++)
                host_set_reg(b, r, regs[r]);
            host_set_reg(b, 16, 0x01000000);
            host_clock(b, 10000000);
            imp_board_reset_counters(b);
            host_run(b, RAM);
            guint64 begin = imp_board_now_ns(b), end = begin + 100000;
            for (guint64 t = begin; k == 1 && t < end; t += 62) /* a cycle */
                imp_board_advance_to_ns(b, t);
            imp_board_advance_to_ns(b, end);
            (void)host_wait_halt(b);
            imp_board_get_counters(b, &c);
            instructions[k] = c.instructions;
            r3[k] = host_get_reg(b, 3);
            ram[k] = host_peek(b, RAM + 0x100);
            g_assert_cmphex(host_peek(b, 0x2000), ==, 0x12345678);
            imp_board_free(b);
        }
        g_assert_cmpuint(instructions[0], ==, instructions[1]);
        g_assert_cmpuint(instructions[0], >, 300); /* 46.3 us are 740 cycles */
        g_assert_cmphex(r3[0], ==, r3[1]);
        g_assert_cmphex(ram[0], ==, ram[1]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/cpu/blank-chip-locks-up", blank_chip_locks_up);
    g_test_add_func("/board/cpu/registers", registers);
    g_test_add_func("/board/cpu/code-in-ram", code_in_ram_runs_to_bkpt);
    g_test_add_func("/board/cpu/step", step_walks);
    g_test_add_func("/board/cpu/breakpoint", breakpoint_hits_first_instruction_too);
    g_test_add_func("/board/cpu/reset-catch", reset_catch);
    g_test_add_func("/board/cpu/changed-code", changed_code_is_noticed);
    g_test_add_func("/board/cpu/faults-lock-up", faults_lock_up);
    g_test_add_func("/board/cpu/cycles", cycles_follow_the_table);
    g_test_add_func("/board/cpu/waiting", waiting_is_counted_exactly);
    return g_test_run();
}
