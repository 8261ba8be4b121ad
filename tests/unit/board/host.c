#include "host.h"

#include <string.h>

ImpBoard *host_board_of(const char *chip, guint64 seed)
{
    const char *why = NULL;
    ImpBoard *b = imp_board_new(chip, seed, NULL, &why);
    if (!b)
        g_error("no board: %s", why);
    return b;
}

ImpBoard *host_board(guint64 seed)
{
    return host_board_of("nrf51822", seed);
}

gsize host_packet(ImpBoard *b, const guint8 *req, gsize n, guint8 *resp)
{
    return imp_board_dap(b, req, n, resp, 1024);
}

guint8 host_try(ImpBoard *b, guint8 req, guint32 *data)
{
    guint8 q[8] = {0x05, 0, 1, req}, r[1024];
    gsize n = 4;
    if (!(req & RD)) {
        memcpy(q + 4, data, 4);
        n += 4;
    }
    gsize got = host_packet(b, q, n, r);
    g_assert_cmpuint(got, >=, 3);
    g_assert_cmpuint(r[0], ==, 0x05);
    if (r[2] == OK && (req & RD)) {
        g_assert_cmpuint(got, ==, 7);
        memcpy(data, r + 3, 4);
    }
    return r[2];
}

guint32 host_read(ImpBoard *b, guint8 req)
{
    guint32 v = 0;
    g_assert_cmpuint(host_try(b, req | RD, &v), ==, OK);
    return v;
}

void host_write(ImpBoard *b, guint8 req, guint32 value)
{
    g_assert_cmpuint(host_try(b, req, &value), ==, OK);
}

void host_line_reset(ImpBoard *b)
{
    guint8 q[] = {0x12, 64, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00}, r[1024];
    g_assert_cmpuint(host_packet(b, q, sizeof q, r), ==, 2);
    g_assert_cmpuint(r[1], ==, 0);
}

void host_clock(ImpBoard *b, guint32 hz)
{
    guint8 q[] = {0x11, (guint8)hz, (guint8)(hz >> 8), (guint8)(hz >> 16), (guint8)(hz >> 24)}, r[1024];
    g_assert_cmpuint(host_packet(b, q, sizeof q, r), ==, 2);
    g_assert_cmpuint(r[1], ==, 0);
}

void host_connect(ImpBoard *b)
{
    guint8 q[] = {0x02, 1}, r[1024];
    g_assert_cmpuint(host_packet(b, q, sizeof q, r), ==, 2);
    g_assert_cmpuint(r[1], ==, 1);
    host_line_reset(b);
    g_assert_cmphex(host_read(b, 0) & 0xFFF, ==, 0x477); /* an ARM debug port */
    host_write(b, DP_ABORT, 0x1E);
    host_write(b, DP_SELECT, 0);
    host_write(b, DP_CTRL, 0x50000000);
    g_assert_cmphex(host_read(b, DP_CTRL) & 0xF00000B2, ==, 0xF0000000);
    host_write(b, AP_CSW, 0x23000012);
}

guint32 host_read32(ImpBoard *b, guint32 addr)
{
    host_write(b, AP_TAR, addr);
    return host_read(b, AP_DRW);
}

guint8 host_try_write32(ImpBoard *b, guint32 addr, guint32 value)
{
    host_write(b, AP_TAR, addr);
    return host_try(b, AP_DRW, &value);
}

void host_write32(ImpBoard *b, guint32 addr, guint32 value)
{
    g_assert_cmpuint(host_try_write32(b, addr, value), ==, OK);
}

gboolean host_load_word(ImpBoard *b, guint32 addr, guint32 *out)
{
    host_write(b, AP_TAR, addr);
    gboolean good = host_try(b, AP_DRW | RD, out) == OK;
    host_write(b, DP_ABORT, 0x1E);
    return good;
}

gboolean host_store(ImpBoard *b, guint32 csw, guint32 addr, guint32 value)
{
    host_write(b, AP_CSW, csw);
    host_write(b, AP_TAR, addr);
    guint32 lanes = value << 8 * (addr & 3);
    gboolean good = host_try(b, AP_DRW, &lanes) == OK; /* the probe asks for the end of a write, too */
    g_assert_true(good == !(host_read(b, DP_CTRL) & 0x20)); /* STICKYERR */
    host_write(b, DP_ABORT, 0x1E);
    host_write(b, AP_CSW, CSW_32);
    return good;
}

guint32 host_peek(ImpBoard *b, guint32 addr)
{
    guint32 v;
    g_assert_true(imp_board_peek(b, addr, &v, 4));
    return v;
}

guint32 host_wait_status(ImpBoard *b, guint32 addr, guint32 busy)
{
    for (guint i = 0; i < 100000; i++) {
        guint32 v = host_read32(b, addr);
        if (!(v & busy)) {
            host_write32(b, addr, v);
            return v;
        }
    }
    g_error("flash stays busy");
}

void host_check_uid(ImpBoard *b, guint32 addr, guint n_words)
{
    char uid[IMP_BOARD_UID_TEXT_MAX];
    g_autoptr(GString) want = g_string_new(NULL);
    for (guint i = n_words; i-- > 0;)
        g_string_append_printf(want, "%08X", host_read32(b, addr + 4 * i));
    g_assert_cmpstr(imp_board_get_uid(b, uid), ==, want->str);
}

void host_halt(ImpBoard *b)
{
    host_write32(b, DHCSR, 0xA05F0003);
    g_assert_cmphex(host_read32(b, DHCSR) & 0x20003, ==, 0x20003);
}

guint32 host_get_reg(ImpBoard *b, guint reg)
{
    host_write32(b, DCRSR, reg);
    return host_read32(b, DCRDR);
}

void host_set_reg(ImpBoard *b, guint reg, guint32 value)
{
    host_write32(b, DCRDR, value);
    host_write32(b, DCRSR, reg | 0x10000);
}

void host_load(ImpBoard *b, guint32 addr, const guint16 *code, gsize n)
{
    for (gsize i = 0; i < n; i += 2)
        host_write32(b, addr + 2 * (guint32)i,
                     code[i] | (i + 1 < n ? (guint32)code[i + 1] << 16 : 0xBE000000u));
}

void host_run(ImpBoard *b, guint32 pc)
{
    host_set_reg(b, 15, pc);
    host_write32(b, DHCSR, 0xA05F0001);
}

guint32 host_wait_halt(ImpBoard *b)
{
    for (guint i = 0; i < 100000; i++) {
        guint32 v = host_read32(b, DHCSR);
        if (v & 0x20000)
            return v;
    }
    g_error("the core did not halt");
}

void host_out(ImpBoard *b, guint64 bits, guint count)
{
    guint8 q[16] = {0x1D, 1, (guint8)(count & 63)}, r[1024];
    g_assert_cmpuint(count, <=, 64);
    for (guint i = 0; i < (count + 7) / 8; i++)
        q[3 + i] = (guint8)(bits >> 8 * i);
    g_assert_cmpuint(host_packet(b, q, 3 + (count + 7) / 8, r), ==, 2);
    g_assert_cmpuint(r[1], ==, 0);
}

guint64 host_in(ImpBoard *b, guint count)
{
    guint8 q[] = {0x1D, 1, (guint8)(0x80 | (count & 63))}, r[1024];
    guint64 v = 0;
    g_assert_cmpuint(host_packet(b, q, sizeof q, r), ==, 2 + (count + 7) / 8);
    for (guint i = 0; i < (count + 7) / 8; i++)
        v |= (guint64)r[2 + i] << 8 * i;
    return v;
}

guint8 host_header(guint8 req)
{
    guint parity = (req ^ req >> 1 ^ req >> 2 ^ req >> 3) & 1;
    return (guint8)(0x81 | (req & 15) << 1 | parity << 5);
}

guint8 host_raw_read(ImpBoard *b, guint8 req, guint32 *out)
{
    host_out(b, host_header(req | RD), 8);
    guint64 head = host_in(b, 4);
    guint8 ack = (guint8)(head >> 1);
    g_assert_cmpuint(head & 1, ==, 1); /* turnaround: pulled up */
    if (ack == OK) {
        guint64 v = host_in(b, 34);
        g_assert_cmpuint(v >> 33, ==, 1); /* turnaround again */
        *out = (guint32)v;
        g_assert_cmpuint(v >> 32 & 1, ==, (guint)__builtin_popcount(*out) & 1);
    } else {
        (void)host_in(b, 1);
    }
    return ack;
}

guint8 host_raw_write(ImpBoard *b, guint8 req, guint32 value, gboolean good_parity)
{
    host_out(b, host_header(req), 8);
    guint8 ack = (guint8)(host_in(b, 5) >> 1 & 7);
    guint64 parity = ((guint)__builtin_popcount(value) & 1) ^ (good_parity ? 0 : 1);
    if (ack == OK)
        host_out(b, value | parity << 32, 33);
    return ack;
}

guint64 host_swclk(ImpBoard *b)
{
    struct imp_board_counters c;
    imp_board_get_counters(b, &c);
    return c.swclk;
}
