/* STM32G071's flash controller: 64-bit programming, its errors, pages of 2 KiB. */
#include "host.h"

#define FLASH    0x08000000u
#define ERASE_NS 22000000u

#define CTL(offset) (0x40022000u + (offset))
enum { KEYR = 0x08, SR = 0x10, CR = 0x14 };
enum { EOP = 1, PROGERR = 8, PGAERR = 0x20, SIZERR = 0x40, PGSERR = 0x80, BSY1 = 0x10000 };
enum { PG = 1, PER = 2, MER1 = 4, STRT = 0x10000, EOPIE = 0x1000000 };
#define LOCK    0x80000000u
#define OPTLOCK 0x40000000u
enum { CSW_16 = 0x23000011, CSW_32 = 0x23000012 };

static guint32 peek(ImpBoard *b, guint32 addr)
{
    guint32 v;
    g_assert_true(imp_board_peek(b, addr, &v, 4));
    return v;
}

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

/* The controller's errors since the last call, when it is ready. */
static guint32 result(ImpBoard *b)
{
    for (guint i = 0; i < 100000; i++) {
        guint32 v = host_read32(b, CTL(SR));
        if (!(v & BSY1)) {
            host_write32(b, CTL(SR), v);
            return v;
        }
    }
    g_error("flash stays busy");
}

static void identity(void)
{
    ImpBoard *b = start(1);
    char uid[IMP_BOARD_UID_TEXT_MAX];
    guint32 words[3];
    g_assert_cmphex(host_read32(b, 0xE000ED00), ==, 0x410CC601);
    g_assert_cmphex(host_read32(b, 0x40015800) & 0xFFF, ==, 0x460);
    g_assert_cmphex(host_read32(b, 0xF0000FE0), ==, 0x60);
    g_assert_cmphex(host_read32(b, 0x1FFF75E0) & 0xFFFF, ==, 128);
    for (guint i = 0; i < 3; i++)
        words[i] = host_read32(b, 0x1FFF7590 + 4 * i);
    g_autofree char *want = g_strdup_printf("%08X%08X%08X", words[2], words[1], words[0]);
    g_assert_cmpstr(imp_board_get_uid(b, uid), ==, want);
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
        g_assert_cmphex(result(b), ==, rows[i].status);
        g_assert_cmphex(peek(b, FLASH + 0x100), ==, rows[i].programmed ? 0x11111111 : 0xFFFFFFFF);
        g_assert_cmphex(peek(b, FLASH + 0x104), ==, rows[i].programmed ? 0x22222222 : rows[i].old);
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
    g_assert_cmphex(result(b), ==, PGAERR | PGSERR); /* and cleared */
    g_assert_cmphex(peek(b, FLASH), ==, 0xFFFFFFFF);
    host_write32(b, FLASH, 0x11111111);
    host_write32(b, FLASH + 4, 0x22222222);
    g_assert_cmphex(result(b), ==, 0);
    g_assert_cmphex(peek(b, FLASH), ==, 0x11111111);
    host_write32(b, FLASH, 0); /* zero is always taken */
    host_write32(b, FLASH + 4, 0);
    g_assert_cmphex(result(b), ==, 0);
    g_assert_cmphex(peek(b, FLASH + 4), ==, 0);
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
    g_assert_cmphex(result(b), ==, 0);
    imp_board_get_counters(b, &c);
    g_assert_cmpuint(c.pages_erased, ==, 1);
    g_assert_cmpuint(c.mass_erases, ==, 0);
    g_assert_cmpuint(c.last_flash_op_end_ns - c.first_erase_ns, ==, ERASE_NS);
    g_assert_cmphex(peek(b, FLASH + 0x7FC), ==, 0);
    g_assert_cmphex(peek(b, FLASH + 0x800), ==, 0xFFFFFFFF);
    g_assert_cmphex(peek(b, FLASH + 0xFFC), ==, 0xFFFFFFFF);
    g_assert_cmphex(peek(b, FLASH + 0x1000), ==, 0);
    host_write32(b, CTL(CR), MER1);
    host_write32(b, CTL(CR), MER1 | STRT);
    g_assert_cmphex(result(b), ==, 0);
    g_assert_cmphex(peek(b, FLASH + 0x7FC), ==, 0xFFFFFFFF);
    host_write32(b, CTL(CR), STRT); /* nothing to erase */
    g_assert_cmphex(result(b), ==, PGSERR);
    imp_board_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/stm32g071/identity", identity);
    g_test_add_func("/board/stm32g071/program-rules", program_rules);
    g_test_add_func("/board/stm32g071/errors", errors_must_be_cleared);
    g_test_add_func("/board/stm32g071/erase", erase);
    return g_test_run();
}
