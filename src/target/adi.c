#include "target/adi.h"

#include "base/error.h"

#include <string.h>

/* ABORT (B2.2.1): clear STICKYCMP, STICKYERR, WDATAERR, STICKYORUN */
#define ABORT_CLEAR_STICKY 0x1E
/* CTRL/STAT (B2.2.2) */
#define CTRL_POWER_REQUEST 0x50000000u /* CSYSPWRUPREQ, CDBGPWRUPREQ */
#define STAT_POWER_ACK     0xA0000000u
#define STAT_STICKYERR     0x20u
#define STAT_WDATAERR      0x80u
/* SELECT (B2.2.9): APSEL; bank 0xF, where IDR is */
#define SELECT_AP(ap)   ((guint32)(ap) << 24)
#define SELECT_IDR_BANK 0xF0u
#define AP_ACCESS       0x01u /* dap.h: bit 0 of a register's number */
/* IDR (C1.2.3): bits 16:13 */
#define IDR_CLASS(idr)   (((idr) >> 13) & 0xFu)
#define IDR_CLASS_MEM_AP 8u
/* CSW (C2.2.1; bits 31:24 as the Cortex-M manuals have them): master debug, privileged data access, auto-increment */
#define CSW_BASE      0x23000010u
#define CSW_DEVICE_EN 0x40u
#define CSW_SIZE8     0u
#define CSW_SIZE32    2u

/* A word read in bulk is 46, and TAR and the end of a packet cost some. */
#define READ_CLOCKS_PER_WORD 46.6

#define POWER_UP_LIMIT_US (200 * 1000)
#define POWER_UP_POLL_US  1000
#define WAIT_LIMIT_US     (500 * 1000) /* a chip that is busy: say, with an erase that an earlier session began */
#define WAIT_PAUSE_US     1000
#define CONNECT_TRIES     3
#define READ_CHUNK_BYTES  (64 * 1024) /* between two looks at the cancel flag */

gboolean imp_adi_check_cancel(const ImpAdi *adi, GError **error)
{
    if (adi->cancel == NULL || g_atomic_int_get(adi->cancel) == 0)
        return TRUE;
    imp_error_set(error, IMP_E_CANCELLED, "the work on the chip was cancelled");
    return FALSE;
}

static void forget(ImpAdi *adi)
{
    adi->csw_known = FALSE;
    adi->tar_known = FALSE;
}

/* Line reset, JTAG-to-SWD (B5.2.2: 0xE79E, least significant bit first), line reset, two idle cycles and more. */
static gboolean select_swd(ImpAdi *adi, GError **error)
{
    static const guint8 bits[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x9E, 0xE7,
                                  0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00};
    return imp_dap_sequence(adi->dap, bits, sizeof bits * 8, error);
}

/* Line reset, DPIDR (the only register that may be read then), sticky flags cleared, the AP's bank 0. */
static gboolean wake_line(ImpAdi *adi, guint32 *out_dpidr, GError **error)
{
    guint8 dpidr[4];
    forget(adi);
    if (!select_swd(adi, error))
        return FALSE;
    imp_dap_read(adi->dap, IMP_DP_IDR, dpidr);
    imp_dap_write(adi->dap, IMP_DP_ABORT, ABORT_CLEAR_STICKY);
    imp_dap_write(adi->dap, IMP_DP_SELECT, SELECT_AP(adi->access_port));
    if (!imp_dap_flush(adi->dap, error))
        return FALSE;
    *out_dpidr = imp_le32(dpidr);
    return TRUE;
}

/* Only a chip that answered nothing at all is "no target"; anything else keeps its own error. */
static gboolean find_line(ImpAdi *adi, GError **error)
{
    for (guint i = 1;; i++) {
        g_autoptr(GError) why = NULL;
        if (wake_line(adi, &adi->dpidr, &why))
            return TRUE;
        gboolean link = why->code >= IMP_E_LINK_WAIT && why->code <= IMP_E_LINK_LOST;
        if (link && i < CONNECT_TRIES)
            continue;
        if (why->code == IMP_E_LINK_LOST)
            imp_error_set(error, IMP_E_NO_TARGET, "no chip answers on the debug wires (%s)", why->message);
        else
            g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
}

static gboolean power_up(ImpAdi *adi, GError **error)
{
    gint64 end = imp_clock_boot_us(adi->clock) + POWER_UP_LIMIT_US;
    imp_dap_write(adi->dap, IMP_DP_CTRL_STAT, CTRL_POWER_REQUEST);
    for (;;) {
        guint8 status[4];
        imp_dap_read(adi->dap, IMP_DP_CTRL_STAT, status);
        if (!imp_dap_flush(adi->dap, error))
            return FALSE;
        adi->powered = (imp_le32(status) & STAT_POWER_ACK) == STAT_POWER_ACK;
        if (adi->powered)
            return TRUE;
        if (imp_clock_boot_us(adi->clock) >= end) {
            imp_error_set(error, IMP_E_UNKNOWN_CORE,
                          "the chip (DPIDR 0x%08X) does not switch its debug power on (CTRL/STAT 0x%08X)",
                          adi->dpidr, imp_le32(status));
            return FALSE;
        }
        if (!imp_adi_check_cancel(adi, error))
            return FALSE;
        imp_clock_sleep_us(adi->clock, POWER_UP_POLL_US);
    }
}

gboolean imp_adi_identify(ImpAdi *adi, GError **error)
{
    guint8 idr[4], csw[4];
    imp_dap_write(adi->dap, IMP_DP_SELECT, SELECT_AP(adi->access_port) | SELECT_IDR_BANK);
    imp_dap_read(adi->dap, IMP_AP_IDR, idr);
    imp_dap_write(adi->dap, IMP_DP_SELECT, SELECT_AP(adi->access_port));
    imp_dap_read(adi->dap, IMP_AP_CSW, csw);
    if (!imp_dap_flush(adi->dap, error))
        return FALSE;
    adi->ap_idr = imp_le32(idr);
    adi->ap_enabled = (imp_le32(csw) & CSW_DEVICE_EN) != 0;
    if (IDR_CLASS(adi->ap_idr) == IDR_CLASS_MEM_AP)
        return TRUE;
    imp_error_set(error, IMP_E_UNKNOWN_CORE,
                  "access port %u of the chip (DPIDR 0x%08X) leads to no memory (IDR 0x%08X)",
                  adi->access_port, adi->dpidr, adi->ap_idr);
    return FALSE;
}

gboolean imp_adi_configure(ImpAdi *adi, GError **error)
{
    gint64 begin_us = imp_clock_boot_us(adi->clock);
    if (!imp_dap_configure(adi->dap, adi->swd_hz, error))
        return FALSE;
    adi->round_trip_us = (guint32)((imp_clock_boot_us(adi->clock) - begin_us) / IMP_DAP_CONFIGURE_ROUNDS);
    return TRUE;
}

gboolean imp_adi_open_port(ImpAdi *adi, GError **error)
{
    adi->tar_wrap = IMP_ADI_TAR_WRAP_MIN;
    adi->powered = FALSE;
    adi->recoveries = 0;
    return find_line(adi, error) && power_up(adi, error);
}

gboolean imp_adi_connect(ImpAdi *adi, GError **error)
{
    if (!imp_adi_configure(adi, error))
        return FALSE;
    gint64 from_us = imp_clock_boot_us(adi->clock);
    for (guint retries = 0;; retries++) {
        GError *why = NULL;
        if (imp_adi_open_port(adi, &why) && imp_adi_identify(adi, &why))
            return TRUE;
        if (!imp_adi_may_repeat(adi, why, retries, from_us)) {
            g_propagate_error(error, why);
            return FALSE;
        }
        g_error_free(why);
    }
}

/* Registers lie four by four in banks: SELECT has the port and the bank, the transfer A[3:2] (B2.2.9). */
static ImpDapRegister choose_ap(ImpAdi *adi, guint ap, guint8 reg)
{
    imp_dap_write(adi->dap, IMP_DP_SELECT, SELECT_AP(ap) | (reg & 0xF0u));
    return (ImpDapRegister)((reg & 0x0Cu) | AP_ACCESS);
}

gboolean imp_adi_read_ap(ImpAdi *adi, guint ap, guint8 reg, guint32 *out, GError **error)
{
    guint8 word[4];
    ImpDapRegister where = choose_ap(adi, ap, reg);
    imp_dap_read(adi->dap, where, word);
    imp_dap_write(adi->dap, IMP_DP_SELECT, SELECT_AP(adi->access_port));
    if (!imp_adi_flush(adi, error))
        return FALSE;
    *out = imp_le32(word);
    return TRUE;
}

gboolean imp_adi_write_ap(ImpAdi *adi, guint ap, guint8 reg, guint32 value, GError **error)
{
    ImpDapRegister where = choose_ap(adi, ap, reg);
    imp_dap_write(adi->dap, where, value);
    imp_dap_write(adi->dap, IMP_DP_SELECT, SELECT_AP(adi->access_port));
    return imp_adi_flush(adi, error);
}

gdouble imp_adi_read_us(const ImpAdi *adi, guint64 n_bytes)
{
    gdouble wire_us = (gdouble)n_bytes / 4 * READ_CLOCKS_PER_WORD * 1e6 / adi->swd_hz;
    gdouble rounds_us = (gdouble)n_bytes / (gdouble)imp_dap_flight_bytes(adi->dap) * adi->round_trip_us;
    return MAX(wire_us, rounds_us) + adi->round_trip_us;
}

void imp_adi_power_down(ImpAdi *adi)
{
    g_autoptr(GError) ignored = NULL;
    adi->powered = FALSE;
    imp_dap_write(adi->dap, IMP_DP_CTRL_STAT, 0);
    if (!imp_dap_flush(adi->dap, &ignored))
        g_debug("while detaching: %s", ignored->message);
}

static void set_address(ImpAdi *adi, guint32 address, guint32 size)
{
    guint32 csw = CSW_BASE | size;
    if (!adi->csw_known || adi->csw != csw) {
        imp_dap_write(adi->dap, IMP_AP_CSW, csw);
        adi->csw = csw;
        adi->csw_known = TRUE;
    }
    if (!adi->tar_known || adi->tar != address) {
        imp_dap_write(adi->dap, IMP_AP_TAR, address);
        adi->tar = address;
        adi->tar_known = TRUE;
    }
}

/* The register after n_bytes more; not known at a border where it may wrap. */
static void move_address(ImpAdi *adi, gsize n_bytes)
{
    adi->tar += (guint32)n_bytes;
    adi->tar_known = adi->tar % adi->tar_wrap != 0;
}

/* Words up to the next border of auto-increment. */
static gsize words_to_wrap(const ImpAdi *adi, guint32 address, gsize n_words)
{
    return MIN(n_words, (adi->tar_wrap - address % adi->tar_wrap) / 4);
}

void imp_adi_queue_write(ImpAdi *adi, guint32 address, const guint8 *bytes, gsize n_words)
{
    g_assert(address % 4 == 0);
    while (n_words > 0) {
        gsize now = words_to_wrap(adi, address, n_words);
        set_address(adi, address, CSW_SIZE32);
        imp_dap_write_words(adi->dap, IMP_AP_DRW, bytes, now);
        move_address(adi, now * 4);
        address += (guint32)now * 4;
        bytes += now * 4;
        n_words -= now;
    }
}

void imp_adi_queue_read(ImpAdi *adi, guint32 address, guint8 *out, gsize n_words)
{
    g_assert(address % 4 == 0);
    while (n_words > 0) {
        gsize now = words_to_wrap(adi, address, n_words);
        set_address(adi, address, CSW_SIZE32);
        imp_dap_read_words(adi->dap, IMP_AP_DRW, out, now);
        move_address(adi, now * 4);
        address += (guint32)now * 4;
        out += now * 4;
        n_words -= now;
    }
}

void imp_adi_queue_write32(ImpAdi *adi, guint32 address, guint32 value)
{
    guint8 word[4];
    imp_put_le32(word, value);
    imp_adi_queue_write(adi, address, word, 1);
}

void imp_adi_queue_read32(ImpAdi *adi, guint32 address, guint8 out[4])
{
    imp_adi_queue_read(adi, address, out, 1);
}

/* A debug port that forgot that its power was asked for has lost its supply, and all that is behind it too; or another
 * chip is there. Says so in place of what it was taken for. */
static gboolean check_powered(const ImpAdi *adi, guint32 status, GError **error)
{
    if (!adi->powered || (status & STAT_POWER_ACK) == STAT_POWER_ACK)
        return TRUE;
    g_autoptr(GError) old = *error;
    *error = NULL;
    imp_error_set(
        error, IMP_E_TARGET_POWER,
        "the chip lost its supply or was taken out: its debug port starts anew (CTRL/STAT 0x%08X; %s)",
        status, old->message);
    return FALSE;
}

/* FAULT: what do the sticky flags say? FALSE: the line itself does not work. */
static gboolean explain_fault(ImpAdi *adi, GError **error)
{
    guint8 status[4];
    imp_dap_read(adi->dap, IMP_DP_CTRL_STAT, status);
    imp_dap_write(adi->dap, IMP_DP_ABORT, ABORT_CLEAR_STICKY);
    if (!imp_dap_flush(adi->dap, NULL))
        return FALSE;
    guint32 flags = imp_le32(status);
    if (!check_powered(adi, flags, error))
        return TRUE;
    ImpErrorCode code = (flags & STAT_STICKYERR) != 0  ? IMP_E_BUS_FAULT
                        : (flags & STAT_WDATAERR) != 0 ? IMP_E_LINK_PARITY
                                                       : IMP_E_LINK_FAULT;
    g_autoptr(GError) old = *error;
    *error = NULL;
    imp_error_set(error, code, "%s (CTRL/STAT 0x%08X)", old->message, flags);
    return TRUE;
}

/* The line was disturbed: resets it, and looks whether the chip behind it is still the one that it was. */
static void reset_line(ImpAdi *adi, GError **error)
{
    guint32 dpidr;
    guint8 status[4];
    for (guint i = 0; i < CONNECT_TRIES && !imp_dap_is_broken(adi->dap); i++) {
        if (!wake_line(adi, &dpidr, NULL))
            continue;
        imp_dap_read(adi->dap, IMP_DP_CTRL_STAT, status);
        if (!imp_dap_flush(adi->dap, NULL))
            continue;
        adi->recoveries++;
        (void)check_powered(adi, imp_le32(status), error);
        return;
    }
    g_debug("the line stays dumb");
}

/* Brings the link back to a known state after a failed flush, so that the next access can work. */
static void recover(ImpAdi *adi, GError **error)
{
    forget(adi);
    if (imp_dap_is_broken(adi->dap) || (*error)->code == IMP_E_LINK_WAIT)
        return; /* WAIT: nothing is broken, the access was just not taken */
    if ((*error)->code != IMP_E_LINK_FAULT || !explain_fault(adi, error))
        reset_line(adi, error);
}

gboolean imp_adi_wait(ImpAdi *adi, guint64 ticket, GError **error)
{
    GError *why = NULL;
    if (imp_dap_wait(adi->dap, ticket, &why))
        return TRUE;
    recover(adi, &why);
    g_propagate_error(error, why);
    return FALSE;
}

gboolean imp_adi_flush(ImpAdi *adi, GError **error)
{
    return imp_adi_wait(adi, imp_dap_ticket(adi->dap), error);
}

/* Single bytes: they travel in the lane of their address (C2.2.6). */
static gboolean read_bytes(ImpAdi *adi, guint32 address, guint8 *out, gsize n_bytes, GError **error)
{
    guint8 words[4][4];
    g_assert(n_bytes <= G_N_ELEMENTS(words));
    for (gsize i = 0; i < n_bytes; i++) {
        adi->tar_known = FALSE;
        set_address(adi, address + (guint32)i, CSW_SIZE8);
        imp_dap_read(adi->dap, IMP_AP_DRW, words[i]);
        adi->tar_known = FALSE;
    }
    if (!imp_adi_flush(adi, error))
        return FALSE;
    for (gsize i = 0; i < n_bytes; i++)
        out[i] = words[i][(address + i) % 4];
    return TRUE;
}

static gboolean write_bytes(ImpAdi *adi, guint32 address, const guint8 *bytes, gsize n_bytes, GError **error)
{
    for (gsize i = 0; i < n_bytes; i++) {
        adi->tar_known = FALSE;
        set_address(adi, address + (guint32)i, CSW_SIZE8);
        imp_dap_write(adi->dap, IMP_AP_DRW, (guint32)bytes[i] << (8 * ((address + i) % 4)));
        adi->tar_known = FALSE;
    }
    return imp_adi_flush(adi, error);
}

/* One piece: up to three bytes, or aligned words. out or in is NULL. */
static gboolean access_once(ImpAdi *adi, guint32 address, guint8 *out, const guint8 *in, gsize n_bytes,
                            GError **error)
{
    if (address % 4 != 0 || n_bytes % 4 != 0)
        return out != NULL ? read_bytes(adi, address, out, n_bytes, error)
                           : write_bytes(adi, address, in, n_bytes, error);
    if (out != NULL)
        imp_adi_queue_read(adi, address, out, n_bytes / 4);
    else
        imp_adi_queue_write(adi, address, in, n_bytes / 4);
    return imp_adi_flush(adi, error);
}

gboolean imp_adi_may_repeat(ImpAdi *adi, const GError *why, guint retries, gint64 begin_us)
{
    if (!imp_adi_check_cancel(adi, NULL))
        return FALSE;
    gboolean again = FALSE;
    if (why->code == IMP_E_LINK_WAIT) {
        imp_clock_sleep_us(adi->clock, WAIT_PAUSE_US);
        again = imp_clock_boot_us(adi->clock) - begin_us < WAIT_LIMIT_US;
    } else {
        gboolean disturbed =
            why->code == IMP_E_LINK_PARITY || why->code == IMP_E_LINK_LOST || why->code == IMP_E_LINK_FAULT;
        again = retries < (disturbed ? IMP_TARGET_RETRIES_MAX : why->code == IMP_E_BUS_FAULT ? 1 : 0);
    }
    adi->health->retries += again;
    return again;
}

static gboolean access_piece(ImpAdi *adi, guint32 address, guint8 *out, const guint8 *in, gsize n_bytes,
                             GError **error)
{
    gint64 begin_us = imp_clock_boot_us(adi->clock);
    for (guint retries = 0;; retries++) {
        GError *why = NULL;
        if (access_once(adi, address, out, in, n_bytes, &why))
            return TRUE;
        if (imp_adi_may_repeat(adi, why, retries, begin_us)) {
            g_error_free(why);
            continue;
        }
        imp_error_set_place(&why, address);
        g_propagate_prefixed_error(
            error, why, "%s %zu bytes at 0x%08X: ", out != NULL ? "reading" : "writing", n_bytes, address);
        return FALSE;
    }
}

static gboolean access_any(ImpAdi *adi, guint64 address, guint8 *out, const guint8 *in, gsize n_bytes,
                           GError **error)
{
    if (n_bytes > IMP_TARGET_ACCESS_MAX || address > G_MAXUINT32 ||
        n_bytes > (guint64)G_MAXUINT32 + 1 - address) {
        imp_error_set(error, IMP_E_ARGUMENT,
                      "%zu bytes at 0x%" G_GINT64_MODIFIER "X do not lie in 32-bit memory", n_bytes, address);
        return FALSE;
    }
    while (n_bytes > 0) {
        gsize now = MIN(n_bytes, READ_CHUNK_BYTES);
        if (address % 4 != 0)
            now = MIN(now, 4 - address % 4);
        else if (now > 4)
            now -= now % 4;
        if (!imp_adi_check_cancel(adi, error) || !access_piece(adi, (guint32)address, out, in, now, error))
            return FALSE;
        address += now;
        n_bytes -= now;
        out = out != NULL ? out + now : NULL;
        in = in != NULL ? in + now : NULL;
    }
    return TRUE;
}

gboolean imp_adi_read(ImpAdi *adi, guint64 address, guint8 *out, gsize n_bytes, GError **error)
{
    return access_any(adi, address, out, NULL, n_bytes, error);
}

gboolean imp_adi_write(ImpAdi *adi, guint64 address, const guint8 *bytes, gsize n_bytes, GError **error)
{
    return access_any(adi, address, NULL, bytes, n_bytes, error);
}

gboolean imp_adi_read32(ImpAdi *adi, guint32 address, guint32 *out, GError **error)
{
    guint8 word[4];
    if (!imp_adi_read(adi, address, word, sizeof word, error))
        return FALSE;
    *out = imp_le32(word);
    return TRUE;
}

gboolean imp_adi_write32(ImpAdi *adi, guint32 address, guint32 value, GError **error)
{
    guint8 word[4];
    imp_put_le32(word, value);
    return imp_adi_write(adi, address, word, sizeof word, error);
}
