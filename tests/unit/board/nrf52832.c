/* nRF52832: identity, times of its flash, access port protection, CTRL-AP. What it shares with the nRF51 is tested there. */
#include "host.h"

#define PROGRAM_NS   67500u
#define ERASE_NS     89700000u
#define ERASE_ALL_NS 295300000u
#define APPROTECT    0x10001208u

enum { READY = 0x400, CONFIG = 0x504, ERASEPAGE = 0x508 };
enum {
    CTRL_RESET = 0x00,
    CTRL_ERASEALL = 0x04,
    CTRL_ERASEALLSTATUS = 0x08,
    CTRL_APPROTECTSTATUS = 0x0C,
    CTRL_IDR = 0xFC
};

/* CTRL-AP is access port 1; SELECT goes back to the MEM-AP. */
static guint32 ctrl_read(ImpBoard *b, guint32 reg)
{
    host_write(b, DP_SELECT, 1u << 24 | (reg & 0xF0));
    (void)host_read(b, AP | (reg & 0xC)); /* the probe waits for the result of a posted read */
    guint32 v = host_read(b, AP | (reg & 0xC));
    host_write(b, DP_SELECT, 0);
    return v;
}

static void ctrl_write(ImpBoard *b, guint32 reg, guint32 value)
{
    host_write(b, DP_SELECT, 1u << 24 | (reg & 0xF0));
    host_write(b, AP | (reg & 0xC), value);
    host_write(b, DP_SELECT, 0);
}

static ImpBoard *start(guint64 seed)
{
    ImpBoard *b = host_board_of("nrf52832", seed);
    host_connect(b);
    host_halt(b);
    return b;
}

static void wait_ready(ImpBoard *b)
{
    for (guint i = 0; i < 100000; i++)
        if (host_read32(b, NVMC(READY)))
            return;
    g_error("flash stays busy");
}

static void identity(void)
{
    ImpBoard *b = start(1);
    g_assert_cmphex(host_read32(b, 0xE000ED00), ==, 0x410FC241);
    g_assert_cmphex(host_read32(b, 0x10000010), ==, 4096);
    g_assert_cmphex(host_read32(b, 0x10000014), ==, 128);
    g_assert_cmphex(host_read32(b, 0x10000100), ==, 0x52832);
    g_assert_cmphex(host_read32(b, 0x10000104), ==, 0x41414530); /* AAE0 */
    g_assert_cmphex(host_read32(b, 0x1000010C), ==, 64);
    g_assert_cmphex(host_read32(b, 0x10000110), ==, 512);
    host_check_uid(b, 0x10000060, 2);
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_WRONG_VARIANT, 0, 0));
    g_assert_cmphex(host_read32(b, 0x10000100), ==, 0x52832);
    g_assert_cmphex(host_read32(b, 0x10000014), ==, 64);
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_WRONG_CHIP, 0, 0));
    g_assert_cmphex(host_read32(b, 0x10000100), !=, 0x52832);
    g_assert_cmphex(host_read32(b, 0xE000ED00), !=, 0x410FC241);
    imp_board_free(b);
}

static void times(void)
{
    ImpBoard *b = start(2);
    struct imp_board_counters c;
    host_write32(b, NVMC(CONFIG), 2);
    host_write32(b, NVMC(ERASEPAGE), 0x1004);
    imp_board_get_counters(b, &c);
    g_assert_cmpuint(c.last_flash_op_end_ns - c.first_erase_ns, ==, ERASE_NS);
    imp_board_advance_to_ns(b, c.last_flash_op_end_ns);
    host_write32(b, NVMC(CONFIG), 1);
    guint64 begin = imp_board_now_ns(b);
    host_write32(b, 0x1000, 0x12345678);
    imp_board_get_counters(b, &c);
    g_assert_cmpuint(c.last_flash_op_end_ns, >=, begin + PROGRAM_NS);
    g_assert_cmpuint(c.last_flash_op_end_ns, <=, imp_board_now_ns(b) + PROGRAM_NS);
    wait_ready(b);
    g_assert_cmphex(host_read32(b, 0x1000), ==, 0x12345678);
    imp_board_free(b);
}

static void access_port_protection(void)
{
    ImpBoard *b = start(3);
    struct imp_board_counters c;
    guint32 secret = 0xC0FFEE11, seen = 0;
    g_assert_cmphex(ctrl_read(b, CTRL_IDR), ==, 0x02880000);
    g_assert_cmphex(ctrl_read(b, CTRL_APPROTECTSTATUS), ==, 1);
    g_assert_true(imp_board_poke(b, 0x2000, &secret, 4));
    host_write32(b, NVMC(CONFIG), 1);
    host_write32(b, APPROTECT, 0xFFFFFF00);
    wait_ready(b);
    g_assert_true(host_load_word(b, 0x2000, &seen)); /* until the next reset */
    host_write32(b, AIRCR, 0x05FA0004);
    g_assert_cmphex(ctrl_read(b, CTRL_APPROTECTSTATUS), ==, 0);
    static const guint32 addrs[] = {0x2000, RAM, 0x10000010, 0x10001208, NVMC(READY), DHCSR, 0xE000ED00};
    for (guint i = 0; i < G_N_ELEMENTS(addrs); i++) {
        g_assert_false(host_load_word(b, addrs[i], &seen));
        g_assert_false(host_store(b, CSW_32, addrs[i], 0));
    }
    g_assert_cmphex(host_read(b, AP_CSW) & 0x40, ==, 0); /* DeviceEn */
    g_assert_cmphex(host_peek(b, 0x2000), ==, secret);
    /* a power cycle does not help */
    imp_board_set_power(b, false);
    imp_board_set_power(b, true);
    host_connect(b);
    g_assert_false(host_load_word(b, 0x2000, &seen));
    guint32 ram = 1;
    g_assert_true(imp_board_poke(b, RAM, &ram, 4));
    imp_board_reset_counters(b);
    ctrl_write(b, CTRL_ERASEALL, 1);
    g_assert_cmphex(ctrl_read(b, CTRL_ERASEALLSTATUS), ==, 1);
    ctrl_write(b, CTRL_ERASEALL, 1); /* busy: ignored */
    imp_board_get_counters(b, &c);
    g_assert_cmpuint(c.mass_erases, ==, 1);
    g_assert_cmpuint(c.last_flash_op_end_ns - c.first_erase_ns, ==, ERASE_ALL_NS);
    imp_board_advance_to_ns(b, c.last_flash_op_end_ns);
    g_assert_cmphex(ctrl_read(b, CTRL_ERASEALLSTATUS), ==, 0);
    g_assert_cmphex(host_peek(b, 0x2000), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, APPROTECT), ==, 0xFFFFFFFF);
    g_assert_cmphex(host_peek(b, RAM), ==, 0);
    g_assert_false(host_load_word(b, 0x2000, &seen)); /* until the reset */
    ctrl_write(b, CTRL_RESET, 1);
    ctrl_write(b, CTRL_RESET, 0);
    g_assert_cmphex(ctrl_read(b, CTRL_APPROTECTSTATUS), ==, 1);
    g_assert_true(host_load_word(b, 0x2000, &seen));
    g_assert_cmphex(seen, ==, 0xFFFFFFFF);
    imp_board_free(b);
}

static void ctrl_ap_holds_reset(void)
{
    static const guint32 vectors[] = {0x20002000, 9, 0xE7FE3001}; /* adds r0,#1; b . */
    ImpBoard *b = start(4);
    g_assert_true(imp_board_poke(b, 0, vectors, sizeof vectors));
    ctrl_write(b, CTRL_RESET, 1);
    g_assert_cmphex(ctrl_read(b, CTRL_RESET), ==, 1);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + 1000000);
    g_assert_false(imp_board_is_running(b));
    ctrl_write(b, CTRL_RESET, 0);
    imp_board_advance_to_ns(b, imp_board_now_ns(b) + 1000000);
    g_assert_true(imp_board_is_running(b));
    host_halt(b);
    g_assert_cmphex(host_get_reg(b, 0), ==, 1);
    imp_board_free(b);
}

static void other_access_ports_are_absent(void)
{
    ImpBoard *b = start(5);
    host_write(b, DP_SELECT, 2u << 24 | 0xF0);
    g_assert_cmphex(host_read(b, AP | AC), ==, 0);
    host_write(b, DP_SELECT, 0);
    imp_board_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/nrf52832/identity", identity);
    g_test_add_func("/board/nrf52832/times", times);
    g_test_add_func("/board/nrf52832/access-port-protection", access_port_protection);
    g_test_add_func("/board/nrf52832/ctrl-ap-reset", ctrl_ap_holds_reset);
    g_test_add_func("/board/nrf52832/absent-ports", other_access_ports_are_absent);
    return g_test_run();
}
