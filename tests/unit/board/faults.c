/* What each fault of docs/faults.md does on the wire and in the chip. */
#include "board/control.h"
#include "host.h"

#include <string.h>

#define MS      1000000ull
#define FOREVER IMP_BOARD_FAULT_EVER

static void add(ImpBoard *b, enum imp_board_fault fault, struct imp_board_fault_options options)
{
    const char *why = NULL;
    if (!imp_board_add_fault(b, fault, &options, &why))
        g_error("%s: %s", imp_board_fault_name(fault), why);
}

static ImpBoard *connected(void)
{
    ImpBoard *b = host_board(3);
    host_connect(b);
    host_halt(b);
    return b;
}

/* The other ways to say so on the control port; nothing else is taken. */
static void by_name(void)
{
    static const struct {
        const char *line;
        gboolean good;
    } rows[] = {
        {"fault wait", TRUE},
        {"fault wait count=0 after=100 seed=7", TRUE},
        {"fault brown-out after=20 for=1000", TRUE},
        {"fault swap keep seed=0x10 after=5", TRUE},
        {"fault weak-bit 0x100 3 seed=1", TRUE},
        {"fault stuck-zero 0x100 4", TRUE},
        {"fault slow-flash factor=10", TRUE},
        {"fault late for=1000 count=2", TRUE},
        {"fault none", TRUE},
        {"fault", FALSE},
        {"fault wai", FALSE},
        {"fault wait count", FALSE},
        {"fault wait count=-1", FALSE},
        {"fault wait after=99999999999999999999", FALSE},
        {"fault wait keep", FALSE},
        {"fault stuck-zero 0x100", FALSE},
        {"fault stuck-zero 0x80000 1", FALSE},
        {"fault weak-bit 0x100 8", FALSE},
        {"fault slow-flash factor=1", FALSE},
        {"fault slow-flash", FALSE},
    };
    ImpBoard *b = host_board(1);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        char reply[IMP_CONTROL_LINE_MAX];
        g_assert_true(imp_control_execute(b, rows[i].line, reply));
        g_test_message("%s: %s", rows[i].line, reply);
        g_assert_cmpint(g_str_has_prefix(reply, "ok"), ==, rows[i].good);
    }
    for (guint i = 0; i < IMP_BOARD_FAULTS_MAX; i++)
        add(b, IMP_BOARD_FAULT_WAIT, (struct imp_board_fault_options){0});
    g_assert_false(imp_board_add_fault(b, IMP_BOARD_FAULT_WAIT, NULL, NULL));
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_NONE, 0, 0));
    g_assert_false(imp_board_add_fault(b, (enum imp_board_fault)1, NULL, NULL));
    g_assert_false(imp_board_add_fault(b, IMP_BOARD_FAULT_KINDS, NULL, NULL));
    imp_board_free(b);
}

static void waits(void)
{
    ImpBoard *b = connected();
    guint32 v;
    host_write32(b, RAM, 0x12345678);
    host_write(b, AP_TAR, RAM);
    add(b, IMP_BOARD_FAULT_WAIT, (struct imp_board_fault_options){.count = 2});
    g_assert_cmpuint(host_raw_read(b, AP_DRW, &v), ==, WAIT);
    g_assert_cmpuint(host_raw_read(b, DP_CTRL, &v), ==, OK); /* never waits */
    g_assert_cmpuint(host_raw_read(b, AP_DRW, &v), ==, WAIT);
    g_assert_cmphex(host_read(b, AP_DRW), ==, 0x12345678); /* was not carried out before */
    add(b, IMP_BOARD_FAULT_WAIT, (struct imp_board_fault_options){.count = FOREVER});
    g_assert_cmpuint(host_try(b, AP_DRW | RD, &v), ==, WAIT);
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_NONE, 0, 0));
    g_assert_cmphex(host_read32(b, RAM), ==, 0x12345678);
    imp_board_free(b);
}

static void faults(void)
{
    ImpBoard *b = connected();
    guint32 v;
    add(b, IMP_BOARD_FAULT_FAULT, (struct imp_board_fault_options){0});
    g_assert_cmpuint(host_raw_read(b, DP_CTRL, &v), ==, OK); /* only accesses of the bus fail */
    guint32 one = 1;
    g_assert_cmpuint(host_try(b, AP_TAR, &one), ==, FAULT);
    g_assert_cmphex(host_read(b, DP_CTRL) & 0x20, ==, 0x20);
    host_write(b, DP_ABORT, 0x04);
    host_write32(b, RAM, 1);
    imp_board_free(b);
}

/* What the chip acknowledged counts for it, whatever the probe read. */
static void acknowledges(void)
{
    guint seen = 0;
    for (guint64 seed = 0; seed < 16; seed++) {
        ImpBoard *b = connected();
        guint32 v = 0;
        host_write32(b, RAM, 0xAAAA5555);
        add(b, IMP_BOARD_FAULT_ACK, (struct imp_board_fault_options){.seed = seed});
        guint8 ack = host_raw_read(b, DP_CTRL, &v);
        g_assert_true(ack == 0 || ack == 3 || ack == 5);
        seen |= 1u << ack;
        imp_board_free(b);
    }
    g_assert_cmpuint(seen, ==, 1u << 0 | 1u << 3 | 1u << 5);
}

static void requests(void)
{
    for (guint64 seed = 0; seed < 8; seed++) {
        ImpBoard *b = connected();
        guint32 v = 0;
        add(b, IMP_BOARD_FAULT_REQUEST, (struct imp_board_fault_options){.seed = seed});
        g_assert_cmpuint(host_try(b, DP_CTRL | RD, &v), ==, NONE);
        g_assert_cmpuint(host_try(b, DP_CTRL | RD, &v), ==, NONE); /* silent until a line reset */
        host_line_reset(b);
        (void)host_read(b, 0);
        g_assert_cmphex(host_read(b, DP_CTRL) >> 28, ==, 0xF); /* which forgets nothing */
        imp_board_free(b);
    }
}

static void parity(void)
{
    ImpBoard *b = connected();
    guint32 v = 0;
    host_write32(b, RAM, 0x12345678);
    host_write(b, AP_TAR, RAM);
    add(b, IMP_BOARD_FAULT_READ_PARITY, (struct imp_board_fault_options){.seed = 5});
    g_assert_cmpuint(host_raw_write(b, AP_TAR, RAM, TRUE), ==, OK); /* not what it waits for */
    g_assert_cmpuint(host_try(b, AP_DRW | RD, &v), ==, 8); /* protocol error */
    g_assert_cmphex(host_read32(b, RAM), ==, 0x12345678);
    add(b, IMP_BOARD_FAULT_WRITE_PARITY, (struct imp_board_fault_options){.seed = 5});
    g_assert_cmpuint(host_raw_write(b, AP_TAR, 0, TRUE), ==, OK); /* the chip acknowledged before it saw */
    guint32 any = 0;
    g_assert_cmpuint(host_try(b, DP_RDBUFF | RD, &any), ==, FAULT);
    g_assert_cmphex(host_read(b, DP_CTRL) & 0x80, ==, 0x80);
    host_write(b, DP_ABORT, 0x08);
    g_assert_cmphex(host_read32(b, RAM), ==, 0x12345678);
    imp_board_free(b);
}

/* Two bits: nobody notices. */
static void noise(void)
{
    for (guint64 seed = 0; seed < 64; seed++) {
        ImpBoard *b = connected();
        host_write32(b, RAM, 0x12345678);
        host_write(b, AP_TAR, RAM);
        add(b, IMP_BOARD_FAULT_NOISE, (struct imp_board_fault_options){.seed = seed});
        guint32 id = 0;
        g_assert_cmpuint(host_raw_read(b, 0, &id), ==, OK);
        g_assert_cmpuint(__builtin_popcount(id ^ 0x0BB11477), ==, 2);
        add(b, IMP_BOARD_FAULT_NOISE, (struct imp_board_fault_options){.seed = seed});
        g_assert_cmpuint(host_raw_write(b, AP_DRW, 0x12345678, TRUE), ==, OK);
        g_assert_cmpuint(__builtin_popcount(host_read32(b, RAM) ^ 0x12345678), ==, 2);
        imp_board_free(b);
    }
}

static void wires(void)
{
    static const enum imp_board_fault kinds[] = {IMP_BOARD_FAULT_SWDIO_HIGH, IMP_BOARD_FAULT_SWDIO_LOW,
                                                 IMP_BOARD_FAULT_SWCLK_DEAD};
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        ImpBoard *b = connected();
        guint32 v = 0;
        add(b, kinds[i], (struct imp_board_fault_options){.after_ns = MS, .length_ns = MS});
        g_assert_cmpuint(host_try(b, DP_CTRL | RD, &v), ==, OK);
        imp_board_advance_to_ns(b, imp_board_now_ns(b) + MS);
        g_assert_cmpuint(host_try(b, DP_CTRL | RD, &v), ==, NONE);
        g_assert_cmphex(host_in(b, 8), ==, kinds[i] == IMP_BOARD_FAULT_SWDIO_LOW ? 0 : 0xFF);
        imp_board_advance_to_ns(b, imp_board_now_ns(b) + MS);
        host_line_reset(b);
        (void)host_read(b, 0);
        g_assert_cmphex(host_read(b, DP_CTRL) >> 28, ==, 0xF);
        imp_board_free(b);
    }
}

/* An erase is under way when the supply goes; what comes back is a chip that nobody has connected to. */
static void brown_out(void)
{
    ImpBoard *b = connected();
    guint8 before[1024], after[1024];
    host_write32(b, RAM, 0x12345678);
    memset(before, 0x5A, sizeof before);
    g_assert_true(imp_board_poke(b, 0x400, before, sizeof before));
    add(b, IMP_BOARD_FAULT_BROWN_OUT, (struct imp_board_fault_options){.after_ns = 3 * MS, .length_ns = MS});
    host_write32(b, NVMC(0x504), 2);
    host_write32(b, NVMC(0x508), 0x400);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + 10 * MS);
    g_assert_true(imp_board_is_powered(b));
    g_assert_true(imp_board_peek(b, 0x400, after, sizeof after));
    memset(before, 0xFF, sizeof before);
    g_assert_cmpint(memcmp(before, after, sizeof after), !=, 0); /* half done */
    guint32 v = 0;
    g_assert_cmpuint(host_try(b, DP_CTRL | RD, &v), ==, NONE);
    host_line_reset(b);
    (void)host_read(b, 0);
    g_assert_cmphex(host_read(b, DP_CTRL) >> 28, ==, 0);
    host_connect(b);
    g_assert_cmphex(host_read32(b, RAM), !=, 0x12345678);
    add(b, IMP_BOARD_FAULT_BROWN_OUT, (struct imp_board_fault_options){0});
    g_assert_false(imp_board_is_powered(b));
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_NONE, 0, 0));
    g_assert_true(imp_board_is_powered(b));
    imp_board_free(b);
}

static void swap(void)
{
    ImpBoard *b = connected();
    char before[IMP_BOARD_UID_TEXT_MAX], after[IMP_BOARD_UID_TEXT_MAX];
    guint32 word = 0x600DF00D, seen = 0;
    g_assert_true(imp_board_poke(b, 0x800, &word, 4));
    imp_board_get_uid(b, before);
    add(b, IMP_BOARD_FAULT_SWAP,
        (struct imp_board_fault_options){.after_ns = MS, .seed = 99, .fill = IMP_BOARD_FILL_KEEP});
    g_assert_cmpstr(imp_board_get_uid(b, after), ==, before);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + MS);
    g_assert_cmpstr(imp_board_get_uid(b, after), !=, before);
    g_assert_true(imp_board_peek(b, 0x800, &seen, 4));
    g_assert_cmphex(seen, ==, word);
    guint32 v = 0;
    g_assert_cmpuint(host_try(b, DP_CTRL | RD, &v), ==, NONE);
    imp_board_free(b);
}

static void erase_page(ImpBoard *b, guint32 addr)
{
    host_write32(b, NVMC(0x504), 2);
    host_write32(b, NVMC(0x508), addr);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + 30 * MS);
}

static void cells(void)
{
    ImpBoard *b = connected();
    guint8 byte = 0;
    add(b, IMP_BOARD_FAULT_STUCK_ZERO, (struct imp_board_fault_options){.addr = 0x401, .bit = 6});
    erase_page(b, 0x400);
    g_assert_true(imp_board_peek(b, 0x401, &byte, 1));
    g_assert_cmphex(byte, ==, 0xBF);
    add(b, IMP_BOARD_FAULT_WEAK_BIT, (struct imp_board_fault_options){.addr = 0x402, .bit = 0, .seed = 4});
    guint ones = 0;
    for (guint i = 0; i < 200; i++)
        ones += host_read32(b, 0x400) >> 16 & 1;
    g_assert_cmpuint(ones, >, 50);
    g_assert_cmpuint(ones, <, 150);
    imp_board_free(b);
}

static void slow_flash(void)
{
    ImpBoard *b = connected();
    add(b, IMP_BOARD_FAULT_SLOW_FLASH, (struct imp_board_fault_options){.factor = 10});
    erase_page(b, 0x400); /* 22.3 ms are over */
    g_assert_cmphex(host_read32(b, NVMC(0x400)), ==, 0);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + 250 * MS);
    g_assert_cmphex(host_read32(b, NVMC(0x400)), ==, 1);
    imp_board_free(b);
}

static void packets(void)
{
    ImpBoard *b = host_board(1);
    guint64 late;
    g_assert_cmpint(imp_board_packet_fate(b, &late), ==, IMP_BOARD_PACKET_ARRIVES);
    add(b, IMP_BOARD_FAULT_LATE, (struct imp_board_fault_options){.length_ns = 5 * MS, .count = 1});
    g_assert_cmpint(imp_board_packet_fate(b, &late), ==, IMP_BOARD_PACKET_ARRIVES);
    g_assert_cmpuint(late, ==, 5 * MS);
    g_assert_cmpint(imp_board_packet_fate(b, &late), ==, IMP_BOARD_PACKET_ARRIVES);
    g_assert_cmpuint(late, ==, 0);
    guint requests = 0, answers = 0;
    add(b, IMP_BOARD_FAULT_LOST, (struct imp_board_fault_options){.count = 64, .seed = 2});
    for (guint i = 0; i < 64; i++) {
        enum imp_board_packet_fate fate = imp_board_packet_fate(b, &late);
        requests += fate == IMP_BOARD_PACKET_REQUEST_LOST;
        answers += fate == IMP_BOARD_PACKET_ANSWER_LOST;
    }
    g_assert_cmpuint(requests + answers, ==, 64);
    g_assert_cmpuint(MIN(requests, answers), >, 16);
    g_assert_cmpint(imp_board_packet_fate(b, &late), ==, IMP_BOARD_PACKET_ARRIVES);
    add(b, IMP_BOARD_FAULT_UNPLUG, (struct imp_board_fault_options){.length_ns = MS});
    g_assert_true(imp_board_is_unplugged(b));
    g_assert_cmpint(imp_board_packet_fate(b, &late), ==, IMP_BOARD_PACKET_UNPLUGGED);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + MS);
    g_assert_false(imp_board_is_unplugged(b));
    g_assert_cmpint(imp_board_packet_fate(b, &late), ==, IMP_BOARD_PACKET_ARRIVES);
    imp_board_free(b);
}

/* The same seed, the same damage. */
static void repeats(void)
{
    guint32 seen[2][32];
    for (guint round = 0; round < 2; round++) {
        ImpBoard *b = connected();
        add(b, IMP_BOARD_FAULT_NOISE, (struct imp_board_fault_options){.seed = 77, .count = FOREVER});
        for (guint i = 0; i < 32; i++)
            g_assert_cmpuint(host_raw_read(b, 0, &seen[round][i]), ==, OK);
        imp_board_free(b);
    }
    g_assert_cmpmem(seen[0], sizeof seen[0], seen[1], sizeof seen[1]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/faults/by-name", by_name);
    g_test_add_func("/board/faults/wait", waits);
    g_test_add_func("/board/faults/fault", faults);
    g_test_add_func("/board/faults/ack", acknowledges);
    g_test_add_func("/board/faults/request", requests);
    g_test_add_func("/board/faults/parity", parity);
    g_test_add_func("/board/faults/noise", noise);
    g_test_add_func("/board/faults/wires", wires);
    g_test_add_func("/board/faults/brown-out", brown_out);
    g_test_add_func("/board/faults/swap", swap);
    g_test_add_func("/board/faults/cells", cells);
    g_test_add_func("/board/faults/slow-flash", slow_flash);
    g_test_add_func("/board/faults/packets", packets);
    g_test_add_func("/board/faults/repeats", repeats);
    return g_test_run();
}
