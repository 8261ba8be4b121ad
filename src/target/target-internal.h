/* What the flash runner needs of a target beyond target.h. Internal to target/. Thread rule: the target's. */
#pragma once

#include "target/adi.h"

/* DHCSR (ARM DDI 0419, C1.6.3) */
#define IMP_DHCSR_S_HALT     0x00020000u
#define IMP_DHCSR_S_LOCKUP   0x00080000u
#define IMP_DHCSR_S_RESET_ST 0x02000000u

struct ImpTarget {
    ImpAdi adi;
    ImpTargetId id;
    ImpLinkHealth health;
    gboolean left; /* reset_run: the core belongs to its firmware again */
};

gboolean imp_target_poll_core(ImpTarget *target, guint32 *out_dhcsr,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Queues a read of DHCSR. */
void imp_target_queue_poll_core(ImpTarget *target, guint8 out[4]);

typedef struct {
    guint number;
    guint32 value;
} ImpCoreRegister;

#define IMP_TARGET_REGISTERS_MAX 16

/* Writes several core registers in one go. The core is halted. */
gboolean imp_target_write_registers(ImpTarget *target, const ImpCoreRegister *registers, gsize n_registers,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
