/* STM32F103's flash controller, option bytes and read protection; what a Cortex-M3 has beyond a Cortex-M0. */
#include "host.h"

#include <string.h>

#define FLASH      0x08000000u
#define OPTIONS    0x1FFFF800u
#define PROGRAM_NS 52500u
#define ERASE_NS   20000000u
#define KEY1       0x45670123u
#define KEY2       0xCDEF89ABu

#define FPEC(offset) (0x40022000u + (offset))
enum { KEYR = 0x04, OPTKEYR = 0x08, SR = 0x0C, CR = 0x10, AR = 0x14, OBR = 0x1C, WRPR = 0x20 };
enum { BSY = 1, PGERR = 4, WRPRTERR = 0x10, EOP = 0x20 };
enum { PG = 1, PER = 2, MER = 4, OPTPG = 0x10, OPTER = 0x20, STRT = 0x40, LOCK = 0x80, OPTWRE = 0x200 };

static ImpBoard *start(guint64 seed)
{
    ImpBoard *b = host_board_of("stm32f103cb", seed);
    host_connect(b);
    host_halt(b);
    return b;
}

static void unlock(ImpBoard *b)
{
    host_write32(b, FPEC(KEYR), KEY1);
    host_write32(b, FPEC(KEYR), KEY2);
}

static void identity(void)
{
    ImpBoard *b = start(1);
    g_assert_cmphex(host_read32(b, 0xE000ED00), ==, 0x411FC231);
    g_assert_cmphex(host_read32(b, 0xE0042000), ==, 0x20036410);
    g_assert_cmphex(host_read32(b, 0x1FFFF7E0) & 0xFFFF, ==, 128);
    host_check_uid(b, 0x1FFFF7E8, 3);
    g_assert_cmphex(host_read32(b, FPEC(OBR)), ==, 0x03FFFFFC);
    g_assert_cmphex(host_read32(b, FPEC(WRPR)), ==, 0xFFFFFFFF);
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_WRONG_VARIANT, 0, 0));
    g_assert_cmphex(host_read32(b, 0x1FFFF7E0) & 0xFFFF, ==, 64);
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_WRONG_CHIP, 0, 0));
    g_assert_cmphex(host_read32(b, 0xE0042000) & 0xFFF, !=, 0x410);
    imp_board_free(b);
}

static void keys(void)
{
    static const struct {
        guint32 first, second;
        gboolean first_good, second_good, opens;
    } rows[] = {
        {KEY1, KEY2, TRUE, TRUE, TRUE}, {KEY2, KEY1, FALSE, FALSE, FALSE}, {KEY1, KEY1, TRUE, FALSE, FALSE}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        ImpBoard *b = start(2);
        g_assert_cmphex(host_read32(b, FPEC(CR)), ==, LOCK);
        host_write32(b, FPEC(CR), PG); /* locked: ignored */
        g_assert_cmphex(host_read32(b, FPEC(CR)), ==, LOCK);
        g_assert_true(host_store(b, CSW_32, FPEC(KEYR), rows[i].first) == rows[i].first_good);
        g_assert_true(host_store(b, CSW_32, FPEC(KEYR), rows[i].second) == rows[i].second_good);
        g_assert_cmphex(host_read32(b, FPEC(CR)), ==, rows[i].opens ? 0 : LOCK);
        if (!rows[i].opens) { /* closed until a reset, even for the right keys */
            g_assert_false(host_store(b, CSW_32, FPEC(KEYR), KEY1));
            g_assert_cmphex(host_read32(b, FPEC(CR)), ==, LOCK);
            host_write32(b, AIRCR, 0x05FA0004);
            unlock(b);
            g_assert_cmphex(host_read32(b, FPEC(CR)), ==, 0);
        }
        imp_board_free(b);
    }
}

static void program_rules(void)
{
    static const struct {
        guint32 cr, csw, addr, old, value;
        gboolean taken;
        guint32 status, then;
    } rows[] = {
        {PG, CSW_16, 0x100, 0xFFFFFFFF, 0x1234, TRUE, EOP, 0xFFFF1234},
        {PG, CSW_16, 0x102, 0xFFFFFFFF, 0x1234, TRUE, EOP, 0x1234FFFF},
        {PG, CSW_16, 0x100, 0xFFFFFFFE, 0x1234, TRUE, PGERR, 0xFFFFFFFE},
        {PG, CSW_16, 0x100, 0xFFFF4321, 0, TRUE, EOP, 0xFFFF0000}, /* zero is always taken */
        {PG, CSW_32, 0x100, 0xFFFFFFFF, 0x1234, FALSE, 0, 0xFFFFFFFF},
        {PG, CSW_8, 0x100, 0xFFFFFFFF, 0x12, FALSE, 0, 0xFFFFFFFF},
        {0, CSW_16, 0x100, 0xFFFFFFFF, 0x1234, FALSE, 0, 0xFFFFFFFF},
        {OPTPG, CSW_16, 0x100, 0xFFFFFFFF, 0x1234, FALSE, 0, 0xFFFFFFFF},
        {LOCK, CSW_16, 0x100, 0xFFFFFFFF, 0x1234, FALSE, 0, 0xFFFFFFFF},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        ImpBoard *b = start(3);
        g_test_message("row %u", i);
        guint32 word = FLASH + (rows[i].addr & ~3u);
        g_assert_true(imp_board_poke(b, word, &rows[i].old, 4));
        unlock(b);
        host_write32(b, FPEC(CR), rows[i].cr);
        g_assert_true(host_store(b, rows[i].csw, FLASH + rows[i].addr, rows[i].value) == rows[i].taken);
        g_assert_cmphex(host_wait_status(b, FPEC(SR), BSY), ==, rows[i].status);
        g_assert_cmphex(host_peek(b, word), ==, rows[i].then);
        imp_board_free(b);
    }
}

static void packed_stores_wait_for_each_other(void)
{
    ImpBoard *b = start(4);
    struct imp_board_counters c;
    unlock(b);
    host_write32(b, FPEC(CR), PG);
    guint64 t0 = imp_board_now_ns(b);
    host_write(b, AP_CSW, CSW_16_PACKED);
    host_write(b, AP_TAR, FLASH + 0x200);
    host_write(b, AP_DRW, 0x22221111);
    host_write(b, AP_DRW, 0x44443333);
    host_write(b, AP_CSW, CSW_32);
    g_assert_cmphex(host_wait_status(b, FPEC(SR), BSY), ==, EOP);
    g_assert_cmphex(host_read32(b, FLASH + 0x200), ==, 0x22221111);
    g_assert_cmphex(host_read32(b, FLASH + 0x204), ==, 0x44443333);
    imp_board_get_counters(b, &c);
    g_assert_cmpuint(c.words_programmed, ==, 4);
    g_assert_cmpuint(c.last_flash_op_end_ns, >=, t0 + 4 * PROGRAM_NS);
    g_assert_cmpuint(c.waits, >, 0);
    imp_board_free(b);
}

static void erase_page_and_all(void)
{
    ImpBoard *b = start(5);
    struct imp_board_counters c;
    guint32 zero = 0;
    for (guint32 a = 0x7FC; a <= 0xC00; a += 4)
        g_assert_true(imp_board_poke(b, FLASH + a, &zero, 4));
    unlock(b);
    host_write32(b, FPEC(AR), FLASH + 0x804);
    host_write32(b, FPEC(CR), PER | STRT);
    g_assert_cmphex(host_read32(b, FPEC(SR)), ==, BSY);
    g_assert_cmphex(host_read32(b, FPEC(CR)), ==, PER | STRT);
    host_write32(b, FPEC(CR), MER | STRT); /* busy: ignored */
    g_assert_cmphex(host_wait_status(b, FPEC(SR), BSY), ==, EOP);
    g_assert_cmphex(host_read32(b, FPEC(CR)), ==, PER);
    imp_board_get_counters(b, &c);
    g_assert_cmpuint(c.pages_erased, ==, 1);
    g_assert_cmpuint(c.mass_erases, ==, 0);
    g_assert_cmpuint(c.last_flash_op_end_ns - c.first_erase_ns, ==, ERASE_NS);
    g_assert_cmphex(host_peek(b, FLASH + 0x7FC), ==, 0);
    g_assert_cmphex(host_peek(b, FLASH + 0x800), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, FLASH + 0xBFC), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, FLASH + 0xC00), ==, 0);
    host_write32(b, FPEC(CR), MER | STRT);
    g_assert_cmphex(host_wait_status(b, FPEC(SR), BSY), ==, EOP);
    g_assert_cmphex(host_peek(b, FLASH + 0x7FC), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, OPTIONS), ==, 0x00FF5AA5); /* a mass erase leaves them */
    imp_board_free(b);
}

static void open_options(ImpBoard *b)
{
    unlock(b);
    host_write32(b, FPEC(OPTKEYR), KEY1);
    host_write32(b, FPEC(OPTKEYR), KEY2);
    g_assert_cmphex(host_read32(b, FPEC(CR)), ==, OPTWRE);
}

/* Erases the option bytes and programs RDP and WRP0; a reset then loads them. */
static void set_options(ImpBoard *b, guint8 rdp, guint8 wrp0)
{
    open_options(b);
    host_write32(b, FPEC(CR), OPTWRE | OPTER);
    host_write32(b, FPEC(CR), OPTWRE | OPTER | STRT);
    g_assert_cmphex(host_wait_status(b, FPEC(SR), BSY), ==, EOP);
    host_write32(b, FPEC(CR), OPTWRE | OPTPG);
    g_assert_true(host_store(b, CSW_16, OPTIONS, rdp));
    g_assert_cmphex(host_wait_status(b, FPEC(SR), BSY), ==, EOP);
    g_assert_true(host_store(b, CSW_16, OPTIONS + 8, wrp0));
    g_assert_cmphex(host_wait_status(b, FPEC(SR), BSY), ==, EOP);
    g_assert_cmphex(host_peek(b, OPTIONS) & 0xFFFF, ==,
                    (guint)(rdp | (guint8)~rdp << 8)); /* the complement is made */
    host_write32(b, DEMCR, 1);
    host_write32(b, AIRCR, 0x05FA0004);
}

static void write_protection(void)
{
    ImpBoard *b = start(6);
    set_options(b, 0xA5, 0xFD); /* pages 4 to 7 */
    g_assert_cmphex(host_read32(b, FPEC(WRPR)), ==, 0xFFFFFFFD);
    unlock(b);
    static const struct {
        guint page;
        guint32 status;
    } rows[] = {{3, EOP}, {4, WRPRTERR}, {7, WRPRTERR}, {8, EOP}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        host_write32(b, FPEC(CR), PER);
        host_write32(b, FPEC(AR), FLASH + 1024 * rows[i].page);
        host_write32(b, FPEC(CR), PER | STRT);
        g_assert_cmphex(host_wait_status(b, FPEC(SR), BSY), ==, rows[i].status);
        host_write32(b, FPEC(CR), PG);
        g_assert_true(host_store(b, CSW_16, FLASH + 1024 * rows[i].page, 0x1111));
        g_assert_cmphex(host_wait_status(b, FPEC(SR), BSY), ==, rows[i].status);
        g_assert_cmphex(host_peek(b, FLASH + 1024 * rows[i].page), ==,
                        rows[i].status == EOP ? 0xFFFF1111 : 0xFFFFFFFF);
    }
    host_write32(b, FPEC(CR), MER | STRT);
    g_assert_cmphex(host_wait_status(b, FPEC(SR), BSY), ==, WRPRTERR);
    imp_board_free(b);
}

static void read_protection(void)
{
    /* ldr r1,[r0]; bkpt in RAM: what the debugger cannot read, its code cannot either */
    static const guint16 code[] = {0x6801, 0xBE00};
    ImpBoard *b = start(7);
    guint32 secret = 0xC0FFEE11, seen = 0;
    g_assert_true(imp_board_poke(b, FLASH + 0x2000, &secret, 4));
    g_assert_true(host_load_word(b, FLASH + 0x2000, &seen));
    g_assert_cmphex(seen, ==, secret);
    set_options(b, 0x00, 0xFF);
    g_assert_cmphex(host_read32(b, FPEC(OBR)) & 2, ==, 2);
    g_assert_false(host_load_word(b, FLASH + 0x2000, &seen));
    g_assert_false(host_load_word(b, 0x2000, &seen)); /* where it answers as well */
    host_load(b, RAM, code, G_N_ELEMENTS(code));
    host_set_reg(b, 16, 0x01000000);
    for (guint i = 0; i < 2; i++) {
        host_set_reg(b, 0, i ? 0x2000 : FLASH + 0x2000);
        host_set_reg(b, 1, 0);
        host_write32(b, DEMCR, 0x401); /* a hard fault halts */
        host_run(b, RAM);
        (void)host_wait_halt(b);
        g_assert_cmphex(host_get_reg(b, 15), !=, RAM + 2); /* the BKPT was not reached */
        g_assert_cmphex(host_get_reg(b, 1), ==, 0);
    }
    /* erasing a page is refused, option bytes are still open: RDP back to 0xA5 erases everything first */
    unlock(b);
    host_write32(b, FPEC(AR), FLASH + 0x2000);
    host_write32(b, FPEC(CR), PER | STRT);
    g_assert_cmphex(host_wait_status(b, FPEC(SR), BSY), ==, WRPRTERR);
    g_assert_cmphex(host_peek(b, FLASH + 0x2000), ==, secret);
    host_write32(b, FPEC(CR), LOCK);
    set_options(b, 0xA5, 0xFF);
    g_assert_cmphex(host_read32(b, FPEC(OBR)) & 2, ==, 0);
    g_assert_true(host_load_word(b, FLASH + 0x2000, &seen));
    g_assert_cmphex(seen, ==, 0xFFFFFFFF);
    imp_board_free(b);
}

/* Protected firmware runs as ever while nobody debugs: it reads its flash. */
static void protected_firmware_runs(void)
{
    /* at 8: ldr r0,[pc,#4] (0x10); ldr r1,[pc,#8] (0x14); str r0,[r1]; b . */
    static const guint32 vectors[] = {0x20002000, FLASH + 9, 0x49024801, 0xE7FE6008, 0x5EC8E7ED, 0x20001000};
    static const guint8 locked[2] = {0x00, 0xFF};
    ImpBoard *b = host_board_of("stm32f103cb", 8);
    g_assert_true(imp_board_poke(b, FLASH, vectors, sizeof vectors));
    g_assert_true(imp_board_poke(b, OPTIONS, locked, sizeof locked));
    imp_board_set_power(b, false);
    imp_board_set_power(b, true);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + 100000);
    g_assert_true(imp_board_is_running(b));
    g_assert_cmphex(host_peek(b, RAM + 0x1000), ==, 0x5EC8E7ED);
    imp_board_free(b);
}

/* Firmware that is linked for 0x08000000 and one that is linked for 0 both start. */
static void flash_answers_at_zero(void)
{
    static const guint16 code[] = {0x2005, 0xBE00}; /* movs r0,#5; bkpt */
    for (guint i = 0; i < 2; i++) {
        guint32 vectors[] = {0x20002000, (i ? FLASH : 0) + 0x41};
        ImpBoard *b = start(9);
        g_assert_true(imp_board_poke(b, FLASH, vectors, sizeof vectors));
        g_assert_true(imp_board_poke(b, FLASH + 0x40, code, sizeof code));
        g_assert_cmphex(host_read32(b, 4), ==, vectors[1]);
        host_write32(b, DHCSR, 0xA05F0001);
        host_write32(b, AIRCR, 0x05FA0004);
        (void)host_wait_halt(b);
        g_assert_cmphex(host_get_reg(b, 0), ==, 5);
        g_assert_cmphex(host_get_reg(b, 15), ==, vectors[1] + 1);
        imp_board_free(b);
    }
}

/* Conditional instructions keep their conditions although the wire makes the core stop and go on all the time. */
static void it_blocks_survive_interruptions(void)
{
    /* movs r0,#0; movs r1,#0; l: tst r0,#1 (T32); ite ne; addne r1,#1; subeq r1,#1; adds r0,#1; cmp r0,#200; bne l;
     * movw r2,#0xABCD; udiv r3,r2,r0; bkpt */
    static const guint16 code[] = {0x2000, 0x2100, 0xF010, 0x0F01, 0xBF14, 0x3101, 0x3901, 0x3001,
                                   0x28C8, 0xD1F7, 0xF64A, 0x32CD, 0xFBB2, 0xF3F0, 0xBE00};
    guint64 instructions[2];
    for (guint i = 0; i < 2; i++) {
        ImpBoard *b = start(10);
        struct imp_board_counters c;
        host_load(b, RAM, code, G_N_ELEMENTS(code));
        host_set_reg(b, 16, 0x01000000);
        host_clock(b, 10000000);
        imp_board_reset_counters(b);
        host_run(b, RAM);
        for (guint k = 0; i == 0 && k < 20000;
             k++) /* the core advances to each of these times: a cycle has 125 ns */
            imp_board_advance_to_ns(b, imp_board_now_ns(b) + 125);
        imp_board_advance_to_ns(b, imp_board_now_ns(b) + 1000000);
        (void)host_wait_halt(b);
        g_assert_cmpuint(host_get_reg(b, 0), ==, 200);
        g_assert_cmpuint(host_get_reg(b, 1), ==, 0);
        g_assert_cmpuint(host_get_reg(b, 3), ==, 0xABCD / 200);
        imp_board_get_counters(b, &c);
        instructions[i] = c.instructions;
        imp_board_free(b);
    }
    g_assert_cmpuint(instructions[0], ==, instructions[1]);
}

static void system_registers(void)
{
    ImpBoard *b = start(11);
    host_write32(b, 0xE000ED08, 0x08001000); /* VTOR */
    g_assert_cmphex(host_read32(b, 0xE000ED08), ==, 0x08001000);
    g_assert_cmphex(host_read32(b, 0xE0002000), ==, 0x260); /* six code comparators, two literal ones */
    /* the cycle counter counts while the core runs, and lies still when it is switched off */
    static const guint16 loop[] = {0xE7FE};
    host_load(b, RAM, loop, 1);
    host_set_reg(b, 16, 0x01000000);
    host_write32(b, 0xE0001004, 0);
    host_write32(b, 0xE0001000, 1);
    host_run(b, RAM);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + 1000000);
    guint32 count = host_read32(b, 0xE0001004);
    g_assert_cmpuint(count, >=, 8000);
    g_assert_cmpuint(count, <, 24000);
    host_write32(b, 0xE0001000, 0);
    g_assert_cmpuint(host_read32(b, 0xE0001004), ==, host_read32(b, 0xE0001004));
    host_write32(b, AIRCR, 0x05FA0004);
    g_assert_cmphex(host_read32(b, 0xE000ED08), ==, 0);
    imp_board_free(b);
}

static void power_cut(void)
{
    ImpBoard *b = start(12);
    guint32 before[256], after[256];
    g_assert_true(imp_board_peek(b, FLASH + 0x400, before, sizeof before));
    unlock(b);
    host_write32(b, FPEC(CR), PER);
    host_write32(b, FPEC(AR), FLASH + 0x400);
    host_write32(b, FPEC(CR), PER | STRT);
    imp_board_set_power(b, false);
    imp_board_set_power(b, true);
    g_assert_true(imp_board_peek(b, FLASH + 0x400, after, sizeof after));
    g_assert_true(memcmp(before, after, sizeof after) != 0);
    g_assert_cmphex(host_peek(b, FLASH + 0x3FC), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, FLASH + 0x800), ==, 0xFFFFFFFF);
    host_connect(b);
    host_halt(b);
    g_assert_cmphex(host_read32(b, FPEC(SR)), ==, 0);
    g_assert_cmphex(host_read32(b, FPEC(CR)), ==, LOCK);
    imp_board_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/stm32f103/identity", identity);
    g_test_add_func("/board/stm32f103/keys", keys);
    g_test_add_func("/board/stm32f103/program-rules", program_rules);
    g_test_add_func("/board/stm32f103/packed", packed_stores_wait_for_each_other);
    g_test_add_func("/board/stm32f103/erase", erase_page_and_all);
    g_test_add_func("/board/stm32f103/write-protection", write_protection);
    g_test_add_func("/board/stm32f103/read-protection", read_protection);
    g_test_add_func("/board/stm32f103/protected-firmware", protected_firmware_runs);
    g_test_add_func("/board/stm32f103/flash-at-zero", flash_answers_at_zero);
    g_test_add_func("/board/stm32f103/it-blocks", it_blocks_survive_interruptions);
    g_test_add_func("/board/stm32f103/system-registers", system_registers);
    g_test_add_func("/board/stm32f103/power-cut", power_cut);
    return g_test_run();
}
