/* STM32G071's flash controller: 64-bit programming, its errors, pages of 2 KiB. */
#include "host.h"

#define FLASH    0x08000000u
#define ERASE_NS 22000000u

#define CTL(offset) (0x40022000u + (offset))
enum { KEYR = 0x08, OPTKEYR = 0x0C, SR = 0x10, CR = 0x14, OPTR = 0x20, WRP1AR = 0x2C };
#define OPTIONS      0x1FFF7800u
#define FACTORY_OPTR 0xFFFFFEAAu
#define OPTVERR      0x8000u
#define OPTSTRT      0x20000u
#define OBL_LAUNCH   0x8000000u
enum { EOP = 1, PROGERR = 8, WRPERR = 0x10, PGAERR = 0x20, SIZERR = 0x40, PGSERR = 0x80, BSY1 = 0x10000 };
enum { PG = 1, PER = 2, MER1 = 4, STRT = 0x10000, EOPIE = 0x1000000 };
#define LOCK    0x80000000u
#define OPTLOCK 0x40000000u

static ImpBoard *start(guint64 seed)
{
    ImpBoard *b = host_board_of("stm32g071rb", seed);
    host_connect(b);
    host_halt(b);
    g_assert_cmphex(host_read32(b, CTL(CR)), ==, LOCK | OPTLOCK);
    host_write32(b, CTL(CR), PG); /* locked: ignored */
    g_assert_cmphex(host_read32(b, CTL(CR)), ==, LOCK | OPTLOCK);
    host_write32(b, CTL(KEYR), 0x45670123);
    host_write32(b, CTL(KEYR), 0xCDEF89AB);
    g_assert_cmphex(host_read32(b, CTL(CR)), ==, OPTLOCK);
    return b;
}

static void identity(void)
{
    ImpBoard *b = start(1);
    g_assert_cmphex(host_read32(b, 0xE000ED00), ==, 0x410CC601);
    g_assert_cmphex(host_read32(b, 0x40015800) & 0xFFF, ==, 0x460);
    g_assert_cmphex(host_read32(b, 0xF0000FE0), ==, 0x60);
    g_assert_cmphex(host_read32(b, 0x1FFF75E0) & 0xFFFF, ==, 128);
    host_check_uid(b, 0x1FFF7590, 3);
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_WRONG_VARIANT, 0, 0));
    g_assert_cmphex(host_read32(b, 0x1FFF75E0) & 0xFFFF, ==, 64);
    imp_board_free(b);
}

static void program_rules(void)
{
    static const struct {
        guint32 cr, csw, first, second, old; /* addresses of two stores, 0x11111111 and 0x22222222; 0: none */
        guint32 status;
        gboolean programmed;
    } rows[] = {
        {PG, CSW_32, 0x100, 0x104, 0xFFFFFFFF, 0, TRUE}, /* EOP only with EOPIE */
        {PG | EOPIE, CSW_32, 0x100, 0x104, 0xFFFFFFFF, EOP, TRUE},
        {PG, CSW_32, 0x100, 0, 0xFFFFFFFF, 0, FALSE}, /* half of it changes nothing */
        {PG, CSW_32, 0x104, 0, 0xFFFFFFFF, PGAERR, FALSE},
        {PG, CSW_32, 0x100, 0x10C, 0xFFFFFFFF, PGAERR, FALSE},
        {PG, CSW_32, 0x100, 0x108, 0xFFFFFFFF, PGAERR, FALSE},
        {PG, CSW_16, 0x100, 0, 0xFFFFFFFF, SIZERR, FALSE},
        {PG, CSW_32, 0x100, 0x104, 0xFFFFFFFE, PROGERR, FALSE},
        {0, CSW_32, 0x100, 0, 0xFFFFFFFF, PGSERR, FALSE},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        ImpBoard *b = start(2);
        g_test_message("row %u", i);
        g_assert_true(imp_board_poke(b, FLASH + 0x104, &rows[i].old, 4));
        host_write32(b, CTL(CR), rows[i].cr);
        host_write(b, AP_CSW, rows[i].csw);
        host_write32(b, FLASH + rows[i].first, 0x11111111);
        if (rows[i].second != 0)
            host_write32(b, FLASH + rows[i].second, 0x22222222);
        host_write(b, AP_CSW, CSW_32);
        g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1), ==, rows[i].status);
        g_assert_cmphex(host_peek(b, FLASH + 0x100), ==, rows[i].programmed ? 0x11111111 : 0xFFFFFFFF);
        g_assert_cmphex(host_peek(b, FLASH + 0x104), ==, rows[i].programmed ? 0x22222222 : rows[i].old);
        struct imp_board_counters c;
        imp_board_get_counters(b, &c);
        g_assert_cmpuint(c.words_programmed, ==, rows[i].programmed ? 1 : 0);
        imp_board_free(b);
    }
}

static void errors_must_be_cleared(void)
{
    ImpBoard *b = start(3);
    host_write32(b, CTL(CR), PG);
    host_write32(b, FLASH + 4, 0); /* PGAERR */
    host_write32(b, FLASH, 0x11111111);
    host_write32(b, FLASH + 4, 0x22222222);
    g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1), ==, PGAERR | PGSERR); /* and cleared */
    g_assert_cmphex(host_peek(b, FLASH), ==, 0xFFFFFFFF);
    host_write32(b, FLASH, 0x11111111);
    host_write32(b, FLASH + 4, 0x22222222);
    g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1), ==, 0);
    g_assert_cmphex(host_peek(b, FLASH), ==, 0x11111111);
    host_write32(b, FLASH, 0); /* zero is always taken */
    host_write32(b, FLASH + 4, 0);
    g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1), ==, 0);
    g_assert_cmphex(host_peek(b, FLASH + 4), ==, 0);
    imp_board_free(b);
}

static void erase(void)
{
    ImpBoard *b = start(4);
    struct imp_board_counters c;
    guint32 zero = 0;
    for (guint32 a = 0x17FC; a <= 0x2000; a += 4)
        g_assert_true(imp_board_poke(b, FLASH + a - 0x1000, &zero, 4));
    host_write32(b, CTL(CR), PER | 1 << 3 | STRT);
    g_assert_cmphex(host_read32(b, CTL(SR)), ==, BSY1);
    host_write32(b, CTL(CR), MER1 | STRT); /* busy: ignored */
    g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1), ==, 0);
    imp_board_get_counters(b, &c);
    g_assert_cmpuint(c.pages_erased, ==, 1);
    g_assert_cmpuint(c.mass_erases, ==, 0);
    g_assert_cmpuint(c.last_flash_op_end_ns - c.first_erase_ns, ==, ERASE_NS);
    g_assert_cmphex(host_peek(b, FLASH + 0x7FC), ==, 0);
    g_assert_cmphex(host_peek(b, FLASH + 0x800), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, FLASH + 0xFFC), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, FLASH + 0x1000), ==, 0);
    host_write32(b, CTL(CR), MER1);
    host_write32(b, CTL(CR), MER1 | STRT);
    g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1), ==, 0);
    g_assert_cmphex(host_peek(b, FLASH + 0x7FC), ==, 0xFFFFFFFF);
    host_write32(b, CTL(CR), STRT); /* nothing to erase */
    g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1), ==, PGSERR);
    imp_board_free(b);
}

/* Option register reg programmed with value; what it was before stays in force. */
static void set_option(ImpBoard *b, guint32 reg, guint32 value)
{
    if (host_read32(b, CTL(CR)) & LOCK) {
        host_write32(b, CTL(KEYR), 0x45670123);
        host_write32(b, CTL(KEYR), 0xCDEF89AB);
    }
    if (host_read32(b, CTL(CR)) & OPTLOCK) {
        host_write32(b, CTL(reg), 0); /* locked: ignored */
        host_write32(b, CTL(OPTKEYR), 0x08192A3B);
        host_write32(b, CTL(OPTKEYR), 0x4C5D6E7F);
    }
    g_assert_cmphex(host_read32(b, CTL(CR)), ==, 0);
    host_write32(b, CTL(reg), value);
    host_write32(b, CTL(CR), OPTSTRT);
    g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1), ==, 0);
}

/* Loads the option bytes; the debug port answers afterwards, or not. */
static void launch(ImpBoard *b)
{
    host_write32(b, CTL(CR), OBL_LAUNCH);
}

static void power_cycle(ImpBoard *b)
{
    imp_board_set_power(b, false);
    imp_board_set_power(b, true);
}

static void options_come_into_force_when_loaded(void)
{
    ImpBoard *b = start(5);
    g_assert_cmphex(host_read32(b, CTL(OPTR)), ==, FACTORY_OPTR);
    g_assert_cmphex(host_read32(b, OPTIONS), ==, FACTORY_OPTR);
    g_assert_cmphex(host_read32(b, OPTIONS + 4), ==, ~FACTORY_OPTR);
    guint32 secret = 0xC0FFEE11, seen = 0;
    g_assert_true(imp_board_poke(b, FLASH + 0x2000, &secret, 4));
    set_option(b, OPTR, 0xFFFFFEBB);
    g_assert_cmphex(host_peek(b, OPTIONS), ==, 0xFFFFFEBB);
    g_assert_cmphex(host_peek(b, OPTIONS + 4), ==, 0x00000144); /* the complement is made */
    g_assert_true(host_load_word(b, FLASH + 0x2000, &seen));
    host_write32(b, AIRCR, 0x05FA0004); /* a system reset does not load them */
    g_assert_true(host_load_word(b, FLASH + 0x2000, &seen));
    power_cycle(b);
    host_connect(b);
    g_assert_false(host_load_word(b, FLASH + 0x2000, &seen));
    g_assert_false(host_load_word(b, 0x2000, &seen)); /* where it answers as well */
    g_assert_true(host_load_word(b, RAM, &seen));
    g_assert_cmphex(host_peek(b, FLASH + 0x2000), ==, secret);
    imp_board_free(b);
}

static void level_1_and_back(void)
{
    ImpBoard *b = start(6);
    struct imp_board_counters c;
    guint32 secret = 0xC0FFEE11, seen = 0;
    g_assert_true(imp_board_poke(b, FLASH + 0x2000, &secret, 4));
    set_option(b, OPTR, 0xFFFFFE00); /* neither AA nor CC: level 1 */
    launch(b);
    host_connect(b);
    host_halt(b);
    g_assert_false(host_load_word(b, FLASH + 0x2000, &seen));
    static const guint32 erases[] = {PER | 4 << 3, MER1};
    for (guint i = 0; i < G_N_ELEMENTS(erases); i++) {
        host_write32(b, CTL(KEYR), 0x45670123);
        host_write32(b, CTL(KEYR), 0xCDEF89AB);
        host_write32(b, CTL(CR), erases[i] | STRT);
        g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1), ==, WRPERR);
        host_write32(b, CTL(CR), LOCK);
    }
    g_assert_cmphex(host_peek(b, FLASH + 0x2000), ==, secret);
    imp_board_reset_counters(b);
    set_option(b, OPTR, FACTORY_OPTR);
    imp_board_get_counters(b, &c);
    g_assert_cmpuint(c.mass_erases, ==, 1);
    g_assert_cmphex(host_peek(b, FLASH + 0x2000), ==, 0xFFFFFFFF);
    g_assert_false(host_load_word(b, FLASH + 0x2000, &seen)); /* until they are loaded */
    launch(b);
    host_connect(b);
    g_assert_true(host_load_word(b, FLASH + 0x2000, &seen));
    g_assert_cmphex(seen, ==, 0xFFFFFFFF);
    imp_board_free(b);
}

static void level_2_is_for_ever(void)
{
    ImpBoard *b = start(7);
    guint32 id = 0, secret = 0xC0FFEE11;
    g_assert_true(imp_board_poke(b, FLASH + 0x2000, &secret, 4));
    set_option(b, OPTR, 0xFFFFFECC);
    g_assert_cmpuint(host_try(b, RD, &id), ==, OK); /* not yet */
    power_cycle(b);
    for (guint i = 0; i < 2; i++) {
        host_line_reset(b);
        g_assert_cmpuint(host_try(b, RD, &id), ==, NONE);
        power_cycle(b);
    }
    g_assert_cmphex(host_peek(b, FLASH + 0x2000), ==, secret); /* from outside all can be seen */
    imp_board_next(b, 8, IMP_BOARD_FILL_BLANK); /* a new chip is as the factory has it */
    host_connect(b);
    g_assert_cmphex(host_read32(b, CTL(OPTR)), ==, FACTORY_OPTR);
    imp_board_free(b);
}

/* Firmware cannot bring level 2 back either: OPTSTRT does nothing. */
static void level_2_refuses_firmware(void)
{
    ImpBoard *b = host_board_of("stm32g071rb", 8);
    /* at 8: ldr r0,=CTL; ldr r1,=KEY1; str r1,[r0,#8]; ldr r1,=KEY2; str r1,[r0,#8]; ldr r1,=OPTKEY1; str r1,[r0,#12];
     * ldr r1,=OPTKEY2; str r1,[r0,#12]; ldr r1,=OPTR; str r1,[r0,#32]; ldr r1,=OPTSTRT; str r1,[r0,#20]; b . */
    static const guint16 code[] = {0x4806, 0x4907, 0x6081, 0x4907, 0x6081, 0x4907, 0x60C1,
                                   0x4907, 0x60C1, 0x4907, 0x6201, 0x4907, 0x6141, 0xE7FE};
    static const guint32 head[2] = {RAM + 0x1000, FLASH + 9},
                         pool[] = {0x40022000, 0x45670123,   0xCDEF89AB, 0x08192A3B,
                                   0x4C5D6E7F, FACTORY_OPTR, OPTSTRT};
    static const guint32 levels[] = {0xFFFFFEBB, 0xFFFFFECC};
    for (guint i = 0; i < G_N_ELEMENTS(levels); i++) {
        const guint32 pair[2] = {levels[i], ~levels[i]};
        g_assert_true(imp_board_poke(b, FLASH, head, sizeof head));
        g_assert_true(imp_board_poke(b, FLASH + 8, code, sizeof code));
        g_assert_true(imp_board_poke(b, FLASH + 8 + sizeof code, pool, sizeof pool));
        g_assert_true(imp_board_poke(b, OPTIONS, pair, sizeof pair));
        power_cycle(b);
        imp_board_advance_to_ns(b, imp_board_now_ns(b) + 100000000); /* more than an erase of all takes */
        g_assert_cmphex(host_peek(b, OPTIONS), ==, i == 0 ? FACTORY_OPTR : levels[i]);
    }
    imp_board_free(b);
}

static void broken_options_protect(void)
{
    ImpBoard *b = start(9);
    guint32 wrong = 0, seen;
    g_assert_true(imp_board_poke(b, OPTIONS + 4, &wrong, 4));
    power_cycle(b);
    host_connect(b);
    g_assert_false(host_load_word(b, FLASH, &seen));
    g_assert_cmphex(host_read32(b, CTL(SR)), ==, OPTVERR);
    imp_board_free(b);
}

static void write_protection(void)
{
    ImpBoard *b = start(10);
    set_option(b, WRP1AR, 5 << 16 | 4); /* pages 4 and 5 */
    launch(b);
    host_connect(b);
    host_halt(b);
    host_write32(b, CTL(KEYR), 0x45670123);
    host_write32(b, CTL(KEYR), 0xCDEF89AB);
    static const struct {
        guint page;
        guint32 status;
    } rows[] = {{3, 0}, {4, WRPERR}, {5, WRPERR}, {6, 0}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        host_write32(b, CTL(CR), PER | rows[i].page << 3 | STRT);
        g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1), ==, rows[i].status);
        host_write32(b, CTL(CR), PG);
        host_write32(b, FLASH + 2048 * rows[i].page, 0x11111111);
        host_write32(b, FLASH + 2048 * rows[i].page + 4, 0x22222222);
        g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1) & WRPERR, ==, rows[i].status);
        g_assert_cmphex(host_peek(b, FLASH + 2048 * rows[i].page), ==,
                        rows[i].status == 0 ? 0x11111111 : 0xFFFFFFFF);
    }
    host_write32(b, CTL(CR), MER1 | STRT);
    g_assert_cmphex(host_wait_status(b, CTL(SR), BSY1), ==, WRPERR);
    imp_board_free(b);
}

/* The probe's reset line: nothing runs while it is low, debug registers answer; vector catch holds at the vector. */
static void reset_pin(void)
{
    static const guint32 vectors[] = {0x20002000, FLASH + 9, 0xE7FE3001}; /* adds r0,#1; b . */
    static const guint8 low[] = {0x10, 0x00, 0x80, 0, 0, 0, 0}, high[] = {0x10, 0x80, 0x80, 0, 0, 0, 0};
    guint8 r[1024];
    ImpBoard *b = start(11);
    g_assert_true(imp_board_poke(b, FLASH, vectors, sizeof vectors));
    host_packet(b, low, sizeof low, r);
    g_assert_cmphex(host_read32(b, DHCSR) & 0x02020000, ==, 0x02000000); /* S_RESET_ST, not halted */
    host_write32(b, DHCSR, 0xA05F0001);
    host_write32(b, DEMCR, 1);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + 1000000);
    g_assert_false(imp_board_is_running(b));
    host_packet(b, high, sizeof high, r);
    g_assert_cmphex(host_read32(b, DHCSR) & 0x20000, ==, 0x20000);
    g_assert_cmphex(host_get_reg(b, 15), ==, FLASH + 8);
    host_write32(b, DEMCR, 0);
    host_packet(b, low, sizeof low, r);
    power_cycle(b); /* held low through power-on */
    g_assert_false(imp_board_is_running(b));
    host_packet(b, high, sizeof high, r);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + 1000000);
    g_assert_true(imp_board_is_running(b));
    imp_board_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/stm32g071/identity", identity);
    g_test_add_func("/board/stm32g071/program-rules", program_rules);
    g_test_add_func("/board/stm32g071/errors", errors_must_be_cleared);
    g_test_add_func("/board/stm32g071/erase", erase);
    g_test_add_func("/board/stm32g071/options", options_come_into_force_when_loaded);
    g_test_add_func("/board/stm32g071/level-1", level_1_and_back);
    g_test_add_func("/board/stm32g071/level-2", level_2_is_for_ever);
    g_test_add_func("/board/stm32g071/level-2-firmware", level_2_refuses_firmware);
    g_test_add_func("/board/stm32g071/broken-options", broken_options_protect);
    g_test_add_func("/board/stm32g071/write-protection", write_protection);
    g_test_add_func("/board/stm32g071/reset-pin", reset_pin);
    return g_test_run();
}
