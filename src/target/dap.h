/* CMSIS-DAP from the host's side: commands, and a queue of SWD transfers that are packed into as few packets as possible
 * and kept in flight up to what the probe can hold. Internal to target/.
 *
 * Queueing never fails; the first failure is kept and told by imp_dap_flush or imp_dap_wait, which then also have
 * emptied the queue: results of transfers queued after the failing one are not valid. Once the probe itself failed
 * (IMP_E_PROBE_*), nothing works any more.
 *
 * Life cycle: imp_dap_open, then anything, then imp_dap_free (which does not close the probe).
 * Thread rule: the probe's. Source: ARM CMSIS-DAP 2.1, DAP.h and DAP.c. */
#pragma once

#include "target/probe.h"
#include "target/target.h"

typedef struct ImpDap ImpDap;

/* SWD registers as DAP_Transfer's request byte has them: bit 0 access port, bit 1 read, bits 2 and 3 address. */
typedef enum {
    IMP_DP_ABORT = 0x00, /* write */
    IMP_DP_IDR = 0x00, /* read */
    IMP_DP_CTRL_STAT = 0x04,
    IMP_DP_SELECT = 0x08, /* write */
    IMP_DP_RDBUFF = 0x0C, /* read */
    IMP_AP_CSW = 0x01,
    IMP_AP_TAR = 0x05,
    IMP_AP_DRW = 0x0D,
    IMP_AP_IDR = 0x0D, /* in bank 0xF */
} ImpDapRegister;

#define IMP_DAP_PIN_RESET 0x80 /* SWJ_Pins: nRESET */

/* Asks the probe what it can do and connects it to SWD. health is borrowed and counted into.
 * Errors: IMP_E_PROBE_*. */
ImpDap *imp_dap_open(ImpProbe *probe, ImpLinkHealth *health, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Leaves SWD (if the probe still answers) and frees. NULL is allowed. */
void imp_dap_free(ImpDap *dap);

/* Bytes of read data that packets in flight can carry in one round trip. */
gsize imp_dap_flight_bytes(const ImpDap *dap);

#define IMP_DAP_CONFIGURE_ROUNDS 3 /* packets, each waited for, none with SWD transfers */

/* SWCLK, no idle cycles, the probe's repeats on WAIT, one turnaround cycle without data phase. */
gboolean imp_dap_configure(ImpDap *dap, guint32 swd_hz, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Sends up to 256 bits, least significant bit of bits[0] first. */
gboolean imp_dap_sequence(ImpDap *dap, const guint8 *bits, guint n_bits,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Sets the pins of mask to those of value. */
gboolean imp_dap_pins(ImpDap *dap, guint8 value, guint8 mask, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Queue transfers. Words are kept as the target's memory has them: least significant byte first. out is written when
 * the packet's response came, at the latest by flush, and must stay valid until then. */
void imp_dap_write(ImpDap *dap, ImpDapRegister reg, guint32 value);
void imp_dap_read(ImpDap *dap, ImpDapRegister reg, guint8 out[4]);
void imp_dap_write_words(ImpDap *dap, ImpDapRegister reg, const guint8 *bytes, gsize n_words);
void imp_dap_read_words(ImpDap *dap, ImpDapRegister reg, guint8 *out, gsize n_words);

/* Sends what is queued without waiting for it. */
void imp_dap_kick(ImpDap *dap);

/* Names the moment when all that is queued now has been answered. */
guint64 imp_dap_ticket(const ImpDap *dap);
gboolean imp_dap_is_done(const ImpDap *dap, guint64 ticket);

/* Waits for that moment. On failure the queue is empty as after imp_dap_flush.
 * Errors: IMP_E_LINK_*, IMP_E_PROBE_*. */
gboolean imp_dap_wait(ImpDap *dap, guint64 ticket, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Waits for all that is queued. */
gboolean imp_dap_flush(ImpDap *dap, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The probe itself failed; only imp_dap_free is of use. */
gboolean imp_dap_is_broken(const ImpDap *dap);

static inline guint32 imp_le32(const guint8 bytes[4])
{
    return (guint32)bytes[0] | (guint32)bytes[1] << 8 | (guint32)bytes[2] << 16 | (guint32)bytes[3] << 24;
}
static inline void imp_put_le32(guint8 bytes[4], guint32 value)
{
    for (guint i = 0; i < 4; i++)
        bytes[i] = (guint8)(value >> (8 * i));
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpDap, imp_dap_free)
