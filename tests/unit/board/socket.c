/* The board around the chip: socket, power, seeds, time, faults; and that the same calls give the same counters. */
#include "host.h"

#include <string.h>

#define ERASE_NS 22300000u
#define WRITE_NS 46300u

static guint8 attach(ImpBoard *b)
{
    guint32 v = 0;
    guint8 q[] = {0x02, 1}, r[1024];
    (void)host_packet(b, q, sizeof q, r);
    host_line_reset(b);
    return host_try(b, RD, &v);
}

static void new_refuses(void)
{
    static const struct imp_board_options small = {.packet_size = 63}, large = {.packet_size = 1025},
                                          no_serial = {.serial = ""};
    static const struct {
        const char *chip;
        const struct imp_board_options *options;
    } rows[] = {{"stm32f999", NULL},
                {NULL, NULL},
                {"nrf51822", &small},
                {"nrf51822", &large},
                {"nrf51822", &no_serial}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *why = NULL;
        g_assert_null(imp_board_new(rows[i].chip, 1, rows[i].options, &why));
        g_assert_nonnull(why);
    }
    imp_board_free(NULL);
}

static void seeds_make_chips(void)
{
    char a[IMP_BOARD_UID_TEXT_MAX], c[IMP_BOARD_UID_TEXT_MAX];
    ImpBoard *b = host_board(42), *same = host_board(42), *other = host_board(43);
    g_assert_cmpstr(imp_board_get_uid(b, a), ==, imp_board_get_uid(same, c));
    g_assert_cmpstr(imp_board_get_uid(b, a), !=, imp_board_get_uid(other, c));
    imp_board_next_any(b, IMP_BOARD_FILL_BLANK);
    imp_board_next_any(same, IMP_BOARD_FILL_BLANK);
    g_assert_cmpstr(imp_board_get_uid(b, a), ==, imp_board_get_uid(same, c));
    imp_board_next(b, 7, IMP_BOARD_FILL_RANDOM);
    imp_board_next(other, 7, IMP_BOARD_FILL_RANDOM);
    g_assert_cmpstr(imp_board_get_uid(b, a), ==, imp_board_get_uid(other, c));
    guint32 base, size;
    imp_board_get_flash_range(b, &base, &size);
    g_assert_cmpuint(size, ==, 256 * 1024);
    g_autofree guint8 *x = g_malloc(size), *y = g_malloc(size);
    g_assert_true(imp_board_peek(b, base, x, size));
    g_assert_true(imp_board_peek(other, base, y, size));
    g_assert_cmpmem(x, size, y, size);
    g_assert_false(imp_board_peek(b, base + 1, x, size));
    g_assert_false(imp_board_poke(b, 0x30000000, x, 1));
    imp_board_free(b);
    imp_board_free(same);
    imp_board_free(other);
}

static void socket_and_power(void)
{
    ImpBoard *b = host_board(1);
    g_assert_cmpuint(attach(b), ==, OK);
    imp_board_remove(b);
    g_assert_false(imp_board_is_present(b));
    g_assert_cmpuint(attach(b), ==, NONE);
    imp_board_insert(b);
    guint32 v = 0;
    g_assert_cmpuint(host_try(b, RD, &v), ==, NONE); /* a chip that has just come needs its line reset */
    g_assert_cmpuint(attach(b), ==, OK);
    imp_board_set_power(b, false);
    g_assert_cmpuint(attach(b), ==, NONE);
    imp_board_next_any(b, IMP_BOARD_FILL_BLANK); /* put in without power */
    g_assert_cmpuint(attach(b), ==, NONE);
    imp_board_set_power(b, true);
    g_assert_cmpuint(attach(b), ==, OK);
    imp_board_free(b);
}

static void ram_is_lost_without_power(void)
{
    ImpBoard *b = host_board(1);
    host_connect(b);
    host_write32(b, RAM, 0x5A5A1234);
    host_write32(b, AIRCR, 0x05FA0004);
    g_assert_cmphex(host_read32(b, RAM), ==, 0x5A5A1234); /* a reset keeps it */
    imp_board_set_power(b, false);
    imp_board_set_power(b, true);
    host_connect(b);
    g_assert_cmphex(host_read32(b, RAM), !=, 0x5A5A1234);
    imp_board_free(b);
}

/* A cut in the middle of an erase leaves garbage in that page alone; after its end, none. */
static void power_cut_during_erase(void)
{
    for (guint late = 0; late < 2; late++) {
        ImpBoard *b = host_board(1);
        guint8 page[1024], next[4];
        host_connect(b);
        host_write32(b, NVMC(0x504), 2);
        host_write32(b, NVMC(0x508), 0x800);
        imp_board_advance_to_ns(b, imp_board_now_ns(b) + (late ? ERASE_NS : ERASE_NS / 2));
        imp_board_set_power(b, false);
        g_assert_true(imp_board_peek(b, 0x800, page, sizeof page));
        g_assert_true(imp_board_peek(b, 0xC00, next, sizeof next));
        guint blank = 0;
        for (guint i = 0; i < sizeof page; i++)
            blank += page[i] == 0xFF;
        if (late)
            g_assert_cmpuint(blank, ==, 1024);
        else
            g_assert_cmpuint(blank, <, 100);
        g_assert_cmpmem(next, 4, "\xff\xff\xff\xff", 4);
        imp_board_free(b);
    }
}

static void power_cut_during_write(void)
{
    guint partial = 0;
    for (guint64 seed = 0; seed < 8; seed++) {
        ImpBoard *b = host_board(seed);
        guint32 word;
        host_clock(b, 10000000);
        host_connect(b);
        host_write32(b, NVMC(0x504), 1);
        host_write32(b, 0x800, 0x0F0F0F0F);
        imp_board_set_power(b, false);
        g_assert_true(imp_board_peek(b, 0x800, &word, 4));
        g_assert_cmphex(word & 0x0F0F0F0F, ==, 0x0F0F0F0F); /* ones stay */
        partial += word != 0x0F0F0F0F;
        imp_board_free(b);
    }
    g_assert_cmpuint(partial, ==, 8);
}

static void stuck_bit(void)
{
    ImpBoard *b = host_board(1);
    host_connect(b);
    g_assert_false(imp_board_set_fault(b, IMP_BOARD_FAULT_STUCK_BIT, 0x40000, 0));
    g_assert_false(imp_board_set_fault(b, IMP_BOARD_FAULT_STUCK_BIT, 0, 8));
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_STUCK_BIT, 0x1001, 4));
    host_write32(b, NVMC(0x504), 1);
    host_write32(b, 0x1000, 0x00000000);
    g_assert_cmphex(host_read32(b, 0x1000), ==, 0x00001000);
    host_write32(b, 0x1000, 0);
    g_assert_cmphex(host_read32(b, 0x1000), ==, 0x00001000);
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_NONE, 0, 0));
    host_write32(b, 0x1000, 0);
    g_assert_cmphex(host_read32(b, 0x1000), ==, 0);
    for (guint i = 0; i < IMP_BOARD_STUCK_BITS_MAX; i++)
        g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_STUCK_BIT, i, 0));
    g_assert_false(imp_board_set_fault(b, IMP_BOARD_FAULT_STUCK_BIT, 0x100, 0));
    imp_board_free(b);
}

/* The core's own store meets the stuck bit too, although the emulator stores raw. */
static void stuck_bit_against_the_core(void)
{
    static const guint16 code[] = {0x6001, 0xBE00}; /* str r1,[r0]; bkpt */
    ImpBoard *b = host_board(1);
    guint32 word;
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_STUCK_BIT, 0x1000, 0));
    host_connect(b);
    host_halt(b);
    host_set_reg(b, 16, 0x01000000);
    host_load(b, RAM, code, 2);
    host_write32(b, NVMC(0x504), 1);
    host_set_reg(b, 0, 0x1000);
    host_set_reg(b, 1, 0);
    host_run(b, RAM);
    (void)host_wait_halt(b);
    g_assert_true(imp_board_peek(b, 0x1000, &word, 4));
    g_assert_cmphex(word, ==, 1);
    imp_board_free(b);
}

static void wrong_chips(void)
{
    ImpBoard *b = host_board(1);
    char uid[IMP_BOARD_UID_TEXT_MAX], again[IMP_BOARD_UID_TEXT_MAX];
    guint32 uicr = 0x12345678;
    g_assert_true(imp_board_poke(b, 0x10001080, &uicr, 4));
    (void)imp_board_get_uid(b, uid);
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_WRONG_CHIP, 0, 0));
    guint32 v = 0;
    g_assert_cmpuint(attach(b), ==, OK);
    g_assert_cmphex(host_read(b, 0), ==, 0x2BA01477);
    host_write(b, DP_CTRL, 0x50000000);
    host_write(b, AP_CSW, 0x23000012);
    g_assert_cmphex(host_read32(b, 0xE000ED00), ==, 0x410FC241);
    g_assert_cmphex(host_read32(b, 0x10000014), ==, 32);
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_WRONG_VARIANT, 0, 0));
    g_assert_cmphex(host_read(b, 0), ==, 0x0BB11477);
    g_assert_cmphex(host_read32(b, 0x10000014), ==, 128);
    g_assert_cmphex(host_read32(b, 0x1000005C), ==, 0xFFFF004C);
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_NONE, 0, 0));
    g_assert_cmphex(host_read32(b, 0x10000014), ==, 256);
    g_assert_cmpstr(imp_board_get_uid(b, again), ==, uid);
    g_assert_true(imp_board_peek(b, 0x10001080, &v, 4));
    g_assert_cmphex(v, ==, uicr);
    imp_board_free(b);
}

static void time_never_goes_back(void)
{
    ImpBoard *b = host_board(1);
    imp_board_advance_to_ns(b, 5000);
    imp_board_advance_to_ns(b, 10);
    g_assert_cmpuint(imp_board_now_ns(b), ==, 5000);
    host_clock(b, 3000000); /* a third of a microsecond: no rounding is lost */
    for (guint i = 0; i < 3; i++)
        host_out(b, 0, 1);
    g_assert_cmpuint(imp_board_now_ns(b), ==, 6000);
    imp_board_free(b);
}

/* Program a page by code in RAM while the wire polls, erase, read back: everything that has a clock. */
static void workload(ImpBoard *b)
{
    static const guint16 code[] = {0x2301, 0x029B, 0x6001, 0x58D4, 0x2C00,
                                   0xD0FC, 0x3004, 0x3D01, 0xD1F8, 0xBE00};
    guint8 patient[] = {0x04, 0, 0xFF, 0xFF, 0, 0}, r[1024];
    host_connect(b);
    (void)host_packet(b, patient, sizeof patient, r);
    host_halt(b);
    host_set_reg(b, 16, 0x01000000);
    host_load(b, RAM, code, G_N_ELEMENTS(code));
    host_write32(b, NVMC(0x504), 2);
    host_write32(b, NVMC(0x508), 0x2000);
    (void)host_read32(b, 0x2000); /* waits for the erase, WAIT by WAIT */
    host_write32(b, NVMC(0x504), 1);
    host_set_reg(b, 0, 0x2000);
    host_set_reg(b, 1, 0x01234567);
    host_set_reg(b, 2, NVMC(0));
    host_set_reg(b, 5, 64);
    host_run(b, RAM);
    (void)host_wait_halt(b);
    for (guint32 a = 0x2000; a < 0x2100; a += 4)
        g_assert_cmphex(host_read32(b, a), ==, 0x01234567);
}

static void same_calls_same_counters(void)
{
    struct imp_board_counters c[2];
    guint64 now[2];
    guint8 *flash[2];
    ImpBoard *boards[2] = {host_board(99), host_board(99)};
    for (guint i = 0; i < 2; i++) {
        workload(boards[i]);
        imp_board_get_counters(boards[i], &c[i]);
        now[i] = imp_board_now_ns(boards[i]);
        flash[i] = g_malloc(256 * 1024);
        g_assert_true(imp_board_peek(boards[i], 0, flash[i], 256 * 1024));
    }
    g_assert_cmpmem(&c[0], sizeof c[0], &c[1], sizeof c[1]);
    g_assert_cmpuint(now[0], ==, now[1]);
    g_assert_cmpmem(flash[0], 256 * 1024, flash[1], 256 * 1024);
    g_assert_cmpuint(c[0].words_programmed, ==, 64);
    g_assert_cmpuint(c[0].waits, >, 0);
    imp_board_reset_counters(boards[0]);
    imp_board_get_counters(boards[0], &c[0]);
    g_assert_cmpuint(c[0].swclk, ==, 0);
    g_assert_false(c[0].has_erase);
    for (guint i = 0; i < 2; i++) {
        g_free(flash[i]);
        imp_board_free(boards[i]);
    }
}

static void many_boards(void)
{
    ImpBoard *b[16];
    for (guint i = 0; i < G_N_ELEMENTS(b); i++)
        b[i] = host_board(i);
    for (guint i = 0; i < G_N_ELEMENTS(b); i++)
        workload(b[i]);
    for (guint i = 0; i < G_N_ELEMENTS(b); i++)
        imp_board_free(b[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/socket/new-refuses", new_refuses);
    g_test_add_func("/board/socket/seeds", seeds_make_chips);
    g_test_add_func("/board/socket/socket-and-power", socket_and_power);
    g_test_add_func("/board/socket/ram-is-lost", ram_is_lost_without_power);
    g_test_add_func("/board/socket/cut-during-erase", power_cut_during_erase);
    g_test_add_func("/board/socket/cut-during-write", power_cut_during_write);
    g_test_add_func("/board/socket/stuck-bit", stuck_bit);
    g_test_add_func("/board/socket/stuck-bit-core", stuck_bit_against_the_core);
    g_test_add_func("/board/socket/wrong-chips", wrong_chips);
    g_test_add_func("/board/socket/time", time_never_goes_back);
    g_test_add_func("/board/socket/deterministic", same_calls_same_counters);
    g_test_add_func("/board/socket/many-boards", many_boards);
    return g_test_run();
}
