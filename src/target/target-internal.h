/* What the flash runner needs of a target beyond target.h. Internal to target/. Thread rule: the target's. */
#pragma once

#include "target/adi.h"

/* DHCSR (ARM DDI 0419, C1.6.3) */
#define IMP_DHCSR_S_HALT     0x00020000u
#define IMP_DHCSR_S_LOCKUP   0x00080000u
#define IMP_DHCSR_S_RESET_ST 0x02000000u

typedef struct {
    guint number;
    guint32 value;
} ImpCoreRegister;

#define IMP_TARGET_REGISTERS_MAX 16

/* A way to reach a chip. Contracts: target.h, and below. */
typedef struct {
    void (*detach)(ImpTarget *self);
    gboolean (*read)(ImpTarget *self, guint64 address, void *out, gsize n_bytes, GError **error);
    gboolean (*write)(ImpTarget *self, guint64 address, const void *bytes, gsize n_bytes, GError **error);
    gboolean (*halt)(ImpTarget *self, GError **error);
    gboolean (*resume)(ImpTarget *self, GError **error);
    gboolean (*reset_halt)(ImpTarget *self, GError **error);
    gboolean (*reset_run)(ImpTarget *self, GError **error);
    gboolean (*break_at)(ImpTarget *self, guint32 address, GError **error);
    gboolean (*wait_halt)(ImpTarget *self, guint limit_ms, gboolean *out_halted, GError **error);
    gboolean (*read_register)(ImpTarget *self, guint number, guint32 *out_value, GError **error);
    gboolean (*write_registers)(ImpTarget *self, const ImpCoreRegister *registers, gsize n_registers,
                                GError **error);
    gboolean (*slow_down)(ImpTarget *self, const GError *why, GError **error);
    gboolean (*reset_away)(ImpTarget *self, GError **error);
} ImpTargetOps;

/* An implementation puts this first into its own struct. */
struct ImpTarget {
    const ImpTargetOps *ops;
    const ImpClock *clock;
    const gint *cancel; /* may be NULL */
    guint32 swd_hz; /* 0: not known */
    gboolean runs_beside; /* memory can be read and written while the core runs */
    ImpTargetId id;
    ImpLinkHealth health;
};

/* Waits until the core has halted by itself; *out_halted is FALSE if it has not within limit_ms. */
gboolean imp_target_wait_halt(ImpTarget *target, guint limit_ms, gboolean *out_halted,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Makes the core halt before the BKPT instruction at this address in RAM, which the caller has put there. A debugger that
 * shows BKPT as a halt needs nothing more. Stays until detach. */
gboolean imp_target_break_at(ImpTarget *target, guint32 address, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Writes several core registers in one go. The core is halted. */
gboolean imp_target_write_registers(ImpTarget *target, const ImpCoreRegister *registers, gsize n_registers,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Lets the core run and resets the chip, which may let nobody in afterwards: nothing is looked at. The target can only be
 * detached then. */
gboolean imp_target_reset_away(ImpTarget *target, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- by SWD (target_swd.c) ---- */

typedef struct ImpSwdTarget ImpSwdTarget;

struct ImpSwdTarget {
    ImpTarget target;
    ImpAdi adi;
    gboolean (*connect)(ImpSwdTarget *self, GError **error); /* as the attach mode says */
    ImpPowerOnFn power_on; /* IMP_ATTACH_POWER_CYCLE */
    gpointer power_user;
    gboolean left; /* reset_run: the core belongs to its firmware again */
};

static inline ImpSwdTarget *imp_swd(ImpTarget *target)
{
    return (ImpSwdTarget *)target;
}

gboolean imp_target_poll_core(ImpTarget *target, guint32 *out_dhcsr,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Queues a read of DHCSR. */
void imp_target_queue_poll_core(ImpTarget *target, guint8 out[4]);
