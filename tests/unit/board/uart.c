/* Serial output of each chip: firmware that sends a text byte by byte, waiting for the flag of its family. */
#include "host.h"

#include <string.h>

#define TEXT "T2 ready\r\n"

/* r0: UART base, r1: text, r4 and r5: offsets of flag and data, r3: mask of the flag, r6: 1 = the flag is an event to be cleared. The same loop for all:
 * l: ldrb r2,[r1]; cmp r2,#0; beq end; str r2,[r0,r5]; w: ldr r7,[r0,r4]; tst r7,r3; beq w; cmp r6,#0; beq n;
 * movs r7,#0; str r7,[r0,r4]; n: adds r1,#1; b l; end: bkpt */
static const guint16 sender[] = {0x780A, 0x2A00, 0xD009, 0x5142, 0x5907, 0x421F, 0xD0FC,
                                 0x2E00, 0xD001, 0x2700, 0x5107, 0x3101, 0xE7F2, 0xBE00};

static const struct {
    const char *chip;
    guint32 base, flag, mask, data;
    gboolean is_event;
    guint32 setup[4][2]; /* registers written before; base 0 ends */
    guint64 frame_ns;
} rows[] = {
    {"nrf51822", 0x40002000, 0x11C, 1, 0x51C, TRUE, {{0x524, 0x01D7E000}, {0x500, 4}, {0x008, 1}}, 86806},
    {"nrf52832", 0x40002000, 0x11C, 1, 0x51C, TRUE, {{0x524, 0x01D7E000}, {0x500, 4}, {0x008, 1}}, 86806},
    {"stm32f103cb", 0x40013800, 0x00, 0x80, 0x04, FALSE, {{0x08, 69}, {0x0C, 0x2008}}, 86250},
    {"stm32g071rb", 0x40013800, 0x1C, 0x80, 0x28, FALSE, {{0x0C, 139}, {0x00, 9}}, 86875},
    {"stm32g071rb", 0x40004400, 0x1C, 0x80, 0x28, FALSE, {{0x0C, 139}, {0x00, 9}}, 86875},
};

static char *read_all(ImpBoard *b)
{
    guint8 bytes[64];
    gsize n = imp_board_uart_read(b, bytes, sizeof bytes);
    return g_strndup((const char *)bytes, n);
}

static void sends(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    ImpBoard *b = host_board_of(rows[i].chip, 1);
    host_connect(b);
    host_halt(b);
    for (guint k = 0; k < 4 && rows[i].setup[k][1] != 0; k++)
        host_write32(b, rows[i].base + rows[i].setup[k][0], rows[i].setup[k][1]);
    host_load(b, RAM, sender, G_N_ELEMENTS(sender));
    g_assert_true(imp_board_poke(b, RAM + 0x100, TEXT, sizeof TEXT));
    const guint32 regs[] = {rows[i].base, RAM + 0x100,     0, rows[i].mask, rows[i].flag,
                            rows[i].data, rows[i].is_event};
    for (guint k = 0; k < G_N_ELEMENTS(regs); k++)
        host_set_reg(b, k, regs[k]);
    host_set_reg(b, 16, 0x01000000);
    host_run(b, RAM);
    guint64 begin = imp_board_now_ns(b);
    imp_board_advance_to_ns(b, begin + rows[i].frame_ns * 5); /* in the middle of it */
    g_autofree char *some = read_all(b);
    g_assert_true(strlen(some) >= 4 && strlen(some) < strlen(TEXT));
    g_assert_true(imp_board_uart_is_sending(b));
    imp_board_advance_to_ns(b, begin + 20000000);
    g_autofree char *rest = read_all(b), *text = g_strconcat(some, rest, NULL);
    g_assert_cmpstr(text, ==, TEXT);
    g_assert_false(imp_board_uart_is_sending(b));
    (void)host_wait_halt(b);
    g_assert_cmpuint(imp_board_uart_read(b, (guint8[1]){0}, 1), ==, 0); /* each byte is read once */
    imp_board_free(b);
}

/* The debugger's own stores: exact times. */
static void frames_take_their_time(void)
{
    ImpBoard *b = host_board_of("stm32f103cb", 2);
    host_connect(b);
    host_halt(b);
    host_clock(b, 10000000);
    host_write32(b, 0x40013804, 'x'); /* not enabled: nothing is sent */
    host_write32(b, 0x40013808, 8000); /* 1000 baud */
    host_write32(b, 0x4001380C, 0x2008);
    g_assert_cmphex(host_read32(b, 0x40013800), ==, 0xC0);
    guint64 begin = imp_board_now_ns(b);
    host_write32(b, 0x40013804, 'a'); /* into the shift register */
    guint64 end = imp_board_now_ns(b);
    g_assert_cmphex(host_read32(b, 0x40013800), ==, 0x80);
    host_write32(b, 0x40013804, 'b'); /* waits in the data register */
    g_assert_cmphex(host_read32(b, 0x40013800), ==, 0);
    host_write32(b, 0x40013804, 'c'); /* lost */
    g_autofree char *none = read_all(b);
    g_assert_cmpstr(none, ==, "");
    imp_board_advance_to_ns(b, begin + 10000000 - 1);
    g_autofree char *still = read_all(b);
    g_assert_cmpstr(still, ==, "");
    imp_board_advance_to_ns(b, end + 10000000);
    g_autofree char *first = read_all(b);
    g_assert_cmpstr(first, ==, "a");
    g_assert_cmphex(host_read32(b, 0x40013800), ==, 0x80);
    imp_board_set_power(b, false); /* the second is cut */
    imp_board_advance_to_ns(b, end + 100000000);
    g_autofree char *second = read_all(b);
    g_assert_cmpstr(second, ==, "");
    imp_board_free(b);
}

static void easy_dma_sends_from_ram(void)
{
    ImpBoard *b = host_board_of("nrf52832", 3);
    host_connect(b);
    host_halt(b);
    g_assert_true(imp_board_poke(b, RAM + 0x200, TEXT, sizeof TEXT));
    host_write32(b, 0x40002500, 8);
    host_write32(b, 0x40002524, 0x10000000); /* 1 Mbaud */
    host_write32(b, 0x40002544, RAM + 0x200);
    host_write32(b, 0x40002548, strlen(TEXT));
    host_write32(b, 0x40002008, 1);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + 10000 * strlen(TEXT));
    g_assert_cmphex(host_read32(b, 0x40002120), ==, 1); /* ENDTX */
    g_assert_cmphex(host_read32(b, 0x4000254C), ==, strlen(TEXT));
    g_autofree char *text = read_all(b);
    g_assert_cmpstr(text, ==, TEXT);
    host_write32(b, 0x40002120, 0);
    host_write32(b, 0x40002544, 0x1000); /* flash: EasyDMA does not reach it */
    host_write32(b, 0x40002008, 1);
    g_assert_cmphex(host_read32(b, 0x4000254C), ==, 0);
    imp_board_free(b);
}

/* Nobody reads: the newest 4 KiB are kept. */
static void keeps_the_newest(void)
{
    ImpBoard *b = host_board_of("nrf52832", 4);
    host_connect(b);
    host_halt(b);
    host_write32(b, 0x40002500, 4);
    host_write32(b, 0x40002524, 0x10000000);
    host_write32(b, 0x40002008, 1);
    for (guint i = 0; i < 5000; i++)
        host_write32(b, 0x4000251C, i % 251);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + 1000000000);
    g_autofree guint8 *bytes = g_malloc(5000);
    g_assert_cmpuint(imp_board_uart_read(b, bytes, 5000), ==, 4096);
    for (guint i = 0; i < 4096; i++)
        g_assert_cmpuint(bytes[i], ==, (i + 5000 - 4096) % 251);
    imp_board_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/board/uart/sends/%s/%08x", rows[i].chip, rows[i].base);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), sends);
    }
    g_test_add_func("/board/uart/times", frames_take_their_time);
    g_test_add_func("/board/uart/easy-dma", easy_dma_sends_from_ram);
    g_test_add_func("/board/uart/keeps-the-newest", keeps_the_newest);
    return g_test_run();
}
