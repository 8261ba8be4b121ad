/* The ARM Debug Interface (ADIv5) over SWD: debug port, one MEM-AP, and the target's memory behind it. Internal to
 * target/.
 *
 * Queued accesses follow the rules of dap.h. The transfer address register is remembered, and written only where an
 * access does not go on where the last one ended.
 * Thread rule: the probe's. Source: ARM IHI 0031 (ADIv5.2), sections named at the constants. */
#pragma once

#include "target/dap.h"

/* B2.2: auto-increment is certain only inside of 1 KiB (C2.2.2). */
#define IMP_ADI_TAR_WRAP_MIN 1024

typedef struct {
    ImpDap *dap; /* owned by the target */
    const ImpClock *clock;
    const gint *cancel; /* may be NULL */
    ImpLinkHealth *health;
    guint32 swd_hz;
    guint32 round_trip_us; /* of a packet without SWD, measured while connecting */
    guint access_port; /* the MEM-AP that is used: APSEL */
    guint32 dpidr;
    guint32 ap_idr;
    gboolean ap_enabled; /* CSW.DeviceEn: the chip lets accesses through */
    guint32 tar_wrap; /* bytes */
    gboolean csw_known, tar_known;
    guint32 csw, tar;
    gboolean powered; /* debug power is on: the debug port remembers it as long as the chip has its supply */
    guint recoveries; /* links brought back after parity errors and lost acknowledges, since connecting */
} ImpAdi;

/* Switches from JTAG to SWD, reads DPIDR, powers the debug domain up, reads the AP's IDR.
 * Errors: IMP_E_NO_TARGET, IMP_E_UNKNOWN_CORE, IMP_E_LINK_*, IMP_E_PROBE_*. */
gboolean imp_adi_connect(ImpAdi *adi, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What imp_adi_connect does, in three parts: SWCLK and transfers (no edge on the wires yet); then DPIDR and debug power; then
 * which memory access port it is, and whether it is enabled. */
gboolean imp_adi_configure(ImpAdi *adi, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_adi_open_port(ImpAdi *adi, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_adi_identify(ImpAdi *adi, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One register of any access port (0 to 255), by its address in the port; waits for it. Needs the debug port only. */
gboolean imp_adi_read_ap(ImpAdi *adi, guint ap, guint8 reg, guint32 *out,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_adi_write_ap(ImpAdi *adi, guint ap, guint8 reg, guint32 value,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
#define IMP_ADI_AP_IDR 0xFC /* C1.2.3: the same in every access port */

/* Asks for debug power to go off; best effort. */
void imp_adi_power_down(ImpAdi *adi);

/* Queue accesses of whole, aligned words. */
void imp_adi_queue_write32(ImpAdi *adi, guint32 address, guint32 value);
void imp_adi_queue_read32(ImpAdi *adi, guint32 address, guint8 out[4]);
void imp_adi_queue_write(ImpAdi *adi, guint32 address, const guint8 *bytes, gsize n_words);
void imp_adi_queue_read(ImpAdi *adi, guint32 address, guint8 *out, gsize n_words);

/* imp_dap_flush and imp_dap_wait, and after a failure: finds out what it was, clears the sticky flags, resets the line if
 * it was disturbed. A refused memory access becomes IMP_E_BUS_FAULT; a debug port that forgot its power request becomes
 * IMP_E_TARGET_POWER, and the session is of no use any more: chip and RAM are not what they were. */
gboolean imp_adi_flush(ImpAdi *adi, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_adi_wait(ImpAdi *adi, guint64 ticket, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Any address and length; repeats disturbed transfers. */
gboolean imp_adi_read(ImpAdi *adi, guint64 address, guint8 *out, gsize n_bytes,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_adi_write(ImpAdi *adi, guint64 address, const guint8 *bytes, gsize n_bytes,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_adi_read32(ImpAdi *adi, guint32 address, guint32 *out, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_adi_write32(ImpAdi *adi, guint32 address, guint32 value,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* How long reading n_bytes in one go takes, as far as wire and probe are known. */
gdouble imp_adi_read_us(const ImpAdi *adi, guint64 n_bytes);

/* What may be done once more after it failed with why: an access that the chip did not take (WAIT) for half a second from
 * begin_us on, one that was disturbed IMP_TARGET_RETRIES_MAX times (retries: so often already), one that failed on the bus
 * once: it may have been a glitch. Counts it and waits a moment where that helps. Only for what does no harm when it is done twice. */
gboolean imp_adi_may_repeat(ImpAdi *adi, const GError *why, guint retries, gint64 begin_us);

/* FALSE and IMP_E_CANCELLED once the cancel flag is set. */
gboolean imp_adi_check_cancel(const ImpAdi *adi, GError **error) G_GNUC_WARN_UNUSED_RESULT;
