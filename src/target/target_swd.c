/* A Cortex-M behind SWD: ImpTarget by ADIv5 and the debug registers of the core. */
#include "target/target-internal.h"

#include "base/error.h"

#include <string.h>

/* System control space (ARM DDI 0419, B3.2 and C1.6) */
#define SCS_CPUID 0xE000ED00u
#define SCS_AIRCR 0xE000ED0Cu
#define SCS_DHCSR 0xE000EDF0u
#define SCS_DCRSR 0xE000EDF4u
#define SCS_DCRDR 0xE000EDF8u
#define SCS_DEMCR 0xE000EDFCu

#define AIRCR_SYSRESETREQ  0x05FA0004u
#define DHCSR_KEY          0xA05F0000u
#define DHCSR_C_DEBUGEN    0x00000001u
#define DHCSR_C_HALT       0x00000002u
#define DHCSR_S_REGRDY     0x00010000u
#define DCRSR_WRITE        0x00010000u
#define DEMCR_VC_CORERESET 0x00000001u
#define DEMCR_VC_HARDERR   0x00000400u

#define CPUID_IMPLEMENTER(id) ((id) >> 24)
#define CPUID_PART(id)        (((id) >> 4) & 0xFFFu)
#define IMPLEMENTER_ARM       0x41u
#define PART_CORTEX_M3        0xC23u
#define PART_CORTEX_M4        0xC24u
/* The AHB-AP of Cortex-M3 and M4 increments within 4 KiB (ARM DDI 0337, AHB-AP transfer address register). */
#define TAR_WRAP_M3_M4 4096

#define HALT_LIMIT_US     (500 * 1000)
#define REGISTER_LIMIT_US (100 * 1000)
#define POLL_US           1000
#define RESET_HOLD_US     (10 * 1000)
#define RESET_LIMIT_US    (200 * 1000)
#define RESET_TRIES       3

/* Cortex-M3 and M4 only wrap later; other cores keep the certain border. */
static void set_tar_wrap(ImpTarget *target)
{
    guint32 part = CPUID_PART(target->id.cpuid);
    gboolean arm = CPUID_IMPLEMENTER(target->id.cpuid) == IMPLEMENTER_ARM;
    if (arm && (part == PART_CORTEX_M3 || part == PART_CORTEX_M4))
        imp_swd(target)->adi.tar_wrap = TAR_WRAP_M3_M4;
}

gboolean imp_target_poll_core(ImpTarget *target, guint32 *out_dhcsr, GError **error)
{
    return imp_adi_read32(&imp_swd(target)->adi, SCS_DHCSR, out_dhcsr, error);
}

void imp_target_queue_poll_core(ImpTarget *target, guint8 out[4])
{
    imp_adi_queue_read32(&imp_swd(target)->adi, SCS_DHCSR, out);
}

/* Waits until (DHCSR & mask) == value. Around a reset the link itself may be down for a moment. */
static gboolean wait_core(ImpTarget *target, guint32 mask, guint32 value, gboolean link_may_fail,
                          const char *what, GError **error)
{
    gint64 end = imp_clock_boot_us(imp_swd(target)->adi.clock) + HALT_LIMIT_US;
    guint32 dhcsr = 0;
    for (;;) {
        g_autoptr(GError) why = NULL;
        if (imp_target_poll_core(target, &dhcsr, &why)) {
            if ((dhcsr & mask) == value)
                return TRUE;
        } else if (!link_may_fail || imp_dap_is_broken(imp_swd(target)->adi.dap) ||
                   why->code == IMP_E_CANCELLED || imp_clock_boot_us(imp_swd(target)->adi.clock) >= end) {
            g_propagate_error(error, g_steal_pointer(&why));
            return FALSE;
        }
        if (imp_clock_boot_us(imp_swd(target)->adi.clock) >= end) {
            imp_error_set(error, IMP_E_CORE_NOT_HALTED, "the core does not %s within %d ms (DHCSR 0x%08X)",
                          what, HALT_LIMIT_US / 1000, dhcsr);
            return FALSE;
        }
        if (!imp_adi_check_cancel(&imp_swd(target)->adi, error))
            return FALSE;
        imp_clock_sleep_us(imp_swd(target)->adi.clock, POLL_US);
    }
}

static gboolean swd_halt(ImpTarget *target, GError **error)
{
    return imp_adi_write32(&imp_swd(target)->adi, SCS_DHCSR, DHCSR_KEY | DHCSR_C_DEBUGEN | DHCSR_C_HALT,
                           error) &&
           wait_core(target, IMP_DHCSR_S_HALT, IMP_DHCSR_S_HALT, FALSE, "halt", error);
}

/* With C_DEBUGEN set the BKPT instruction itself halts the core (ARM DDI 0419, C1.5). */
static gboolean swd_break_at(ImpTarget *target, guint32 address, GError **error)
{
    return TRUE;
}

static gboolean swd_wait_halt(ImpTarget *target, guint limit_ms, gboolean *out_halted, GError **error)
{
    gint64 end = imp_clock_boot_us(target->clock) + (gint64)limit_ms * 1000;
    for (;;) {
        guint32 dhcsr = 0;
        if (!imp_target_poll_core(target, &dhcsr, error) ||
            !imp_adi_check_cancel(&imp_swd(target)->adi, error))
            return FALSE;
        *out_halted = (dhcsr & IMP_DHCSR_S_HALT) != 0;
        if (*out_halted || imp_clock_boot_us(target->clock) >= end)
            return TRUE;
        imp_clock_sleep_us(target->clock, POLL_US);
    }
}

static gboolean swd_resume(ImpTarget *target, GError **error)
{
    return imp_adi_write32(&imp_swd(target)->adi, SCS_DHCSR, DHCSR_KEY | DHCSR_C_DEBUGEN, error);
}

/* One reset request. TRUE and *out_done: was the reset seen, and does the core stand at its first instruction?
 * S_RESET_ST is cleared by the read that shows it, so an answer that gets lost may take it along: then *out_done is
 * FALSE. Around a reset the link itself may be down for a moment. */
static gboolean reset_once(ImpTarget *target, gboolean *out_done, GError **error)
{
    ImpAdi *adi = &imp_swd(target)->adi;
    guint8 ignored[4];
    imp_adi_queue_write32(adi, SCS_DHCSR, DHCSR_KEY | DHCSR_C_DEBUGEN | DHCSR_C_HALT);
    imp_adi_queue_write32(adi, SCS_DEMCR, DEMCR_VC_CORERESET | DEMCR_VC_HARDERR);
    imp_adi_queue_read32(adi, SCS_DHCSR, ignored); /* clears S_RESET_ST */
    imp_adi_queue_write32(adi, SCS_AIRCR, AIRCR_SYSRESETREQ);
    guint32 seen = 0, dhcsr = 0;
    gint64 end = imp_clock_boot_us(adi->clock) + RESET_LIMIT_US;
    GError *why = NULL;
    gboolean good = imp_adi_flush(adi, &why);
    for (;;) {
        if (imp_dap_is_broken(adi->dap) || (why != NULL && why->code == IMP_E_CANCELLED) ||
            (!good && imp_clock_boot_us(adi->clock) >= end)) {
            g_propagate_error(error, why);
            return FALSE;
        }
        g_clear_error(&why);
        good = imp_target_poll_core(target, &dhcsr, &why);
        if (!good)
            continue;
        seen |= dhcsr;
        *out_done = (seen & IMP_DHCSR_S_RESET_ST) != 0 && (dhcsr & IMP_DHCSR_S_HALT) != 0;
        if (*out_done || imp_clock_boot_us(adi->clock) >= end)
            return TRUE;
        imp_clock_sleep_us(adi->clock, POLL_US);
    }
}

static gboolean swd_reset_halt(ImpTarget *target, GError **error)
{
    for (guint i = 0; i < RESET_TRIES; i++) {
        gboolean done = FALSE;
        if (!reset_once(target, &done, error))
            return FALSE;
        if (done)
            return TRUE;
    }
    imp_error_set(error, IMP_E_CORE_NOT_HALTED, "the core does not halt after %d resets of %d ms",
                  RESET_TRIES, RESET_LIMIT_US / 1000);
    return FALSE;
}

/* Through a halt at the first instruction: S_HALT stays, so that a disturbed answer cannot hide whether the reset came. */
static gboolean swd_reset_run(ImpTarget *target, GError **error)
{
    if (!swd_reset_halt(target, error))
        return FALSE;
    imp_swd(target)->left = TRUE;
    return imp_adi_write32(&imp_swd(target)->adi, SCS_DEMCR, 0, error) &&
           imp_adi_write32(&imp_swd(target)->adi, SCS_DHCSR, DHCSR_KEY, error);
}

/* The core must not be caught by the debugger at its reset, for it might not be let go again: so it runs for the moment
 * between two writes. What comes back of the last write says nothing. */
static gboolean swd_reset_away(ImpTarget *target, GError **error)
{
    ImpAdi *adi = &imp_swd(target)->adi;
    if (!imp_adi_write32(adi, SCS_DEMCR, 0, error) || !imp_adi_write32(adi, SCS_DHCSR, DHCSR_KEY, error))
        return FALSE;
    imp_swd(target)->left = TRUE;
    imp_adi_queue_write32(adi, SCS_AIRCR, AIRCR_SYSRESETREQ);
    g_autoptr(GError) ignored = NULL;
    if (!imp_adi_flush(adi, &ignored))
        g_debug("after the reset: %s", ignored->message);
    return TRUE;
}

static gboolean read_core_id(ImpTarget *target, GError **error)
{
    if (!imp_adi_read32(&imp_swd(target)->adi, SCS_CPUID, &target->id.cpuid, error))
        return FALSE;
    target->id.dpidr = imp_swd(target)->adi.dpidr;
    target->id.ap_idr = imp_swd(target)->adi.ap_idr;
    if (CPUID_IMPLEMENTER(target->id.cpuid) == 0 || CPUID_IMPLEMENTER(target->id.cpuid) == 0xFF) {
        imp_error_set(error, IMP_E_UNKNOWN_CORE, "no Cortex-M core behind DPIDR 0x%08X (CPUID 0x%08X)",
                      target->id.dpidr, target->id.cpuid);
        return FALSE;
    }
    set_tar_wrap(target);
    return TRUE;
}

static gboolean swd_read(ImpTarget *target, guint64 address, void *out, gsize n_bytes, GError **error)
{
    return imp_adi_read(&imp_swd(target)->adi, address, out, n_bytes, error);
}

static gboolean swd_write(ImpTarget *target, guint64 address, const void *bytes, gsize n_bytes,
                          GError **error)
{
    return imp_adi_write(&imp_swd(target)->adi, address, bytes, n_bytes, error);
}

/* C1.6.3: after each request S_REGRDY tells when the value is there. */
static gboolean wait_register(ImpTarget *target, GError **error)
{
    gint64 end = imp_clock_boot_us(imp_swd(target)->adi.clock) + REGISTER_LIMIT_US;
    for (;;) {
        guint32 dhcsr;
        if (!imp_target_poll_core(target, &dhcsr, error))
            return FALSE;
        if ((dhcsr & DHCSR_S_REGRDY) != 0)
            return TRUE;
        if (imp_clock_boot_us(imp_swd(target)->adi.clock) >= end) {
            imp_error_set(error, IMP_E_CORE_NOT_HALTED,
                          "the core does not give access to its registers (DHCSR 0x%08X)", dhcsr);
            return FALSE;
        }
        imp_clock_sleep_us(imp_swd(target)->adi.clock, POLL_US);
    }
}

static gboolean swd_read_register(ImpTarget *target, guint number, guint32 *out_value, GError **error)
{
    return imp_adi_write32(&imp_swd(target)->adi, SCS_DCRSR, number, error) && wait_register(target, error) &&
           imp_adi_read32(&imp_swd(target)->adi, SCS_DCRDR, out_value, error);
}

static gboolean swd_write_register(ImpTarget *target, guint number, guint32 value, GError **error)
{
    return imp_adi_write32(&imp_swd(target)->adi, SCS_DCRDR, value, error) &&
           imp_adi_write32(&imp_swd(target)->adi, SCS_DCRSR, number | DCRSR_WRITE, error) &&
           wait_register(target, error);
}

/* S_REGRDY is asked for behind each one and looked at afterwards: a core that is slower than SWD costs one more round. */
static gboolean write_registers_once(ImpTarget *target, const ImpCoreRegister *registers, gsize n_registers,
                                     GError **error)
{
    guint8 ready[IMP_TARGET_REGISTERS_MAX][4];
    g_assert(n_registers <= IMP_TARGET_REGISTERS_MAX);
    for (gsize i = 0; i < n_registers; i++) {
        imp_adi_queue_write32(&imp_swd(target)->adi, SCS_DCRDR, registers[i].value);
        imp_adi_queue_write32(&imp_swd(target)->adi, SCS_DCRSR, registers[i].number | DCRSR_WRITE);
        imp_adi_queue_read32(&imp_swd(target)->adi, SCS_DHCSR, ready[i]);
    }
    if (!imp_adi_flush(&imp_swd(target)->adi, error))
        return FALSE;
    for (gsize i = 0; i < n_registers; i++)
        if ((imp_le32(ready[i]) & DHCSR_S_REGRDY) == 0 &&
            !swd_write_register(target, registers[i].number, registers[i].value, error))
            return FALSE;
    return TRUE;
}

/* The core stands, so writing its registers twice does no harm. */
static gboolean swd_write_registers(ImpTarget *target, const ImpCoreRegister *registers, gsize n_registers,
                                    GError **error)
{
    ImpAdi *adi = &imp_swd(target)->adi;
    gint64 begin_us = imp_clock_boot_us(adi->clock);
    for (guint retries = 0;; retries++) {
        GError *why = NULL;
        if (write_registers_once(target, registers, n_registers, &why))
            return TRUE;
        if (!imp_adi_may_repeat(adi, why, retries, begin_us)) {
            imp_error_set_place(&why, SCS_DCRDR);
            g_propagate_error(error, why);
            return FALSE;
        }
        g_error_free(why);
    }
}

static void swd_detach(ImpTarget *target)
{
    ImpAdi *adi = &imp_swd(target)->adi;
    adi->cancel = NULL; /* a cancelled job still has to let go of the chip */
    if (adi->dap != NULL && !imp_dap_is_broken(adi->dap) && adi->ap_idr != 0) {
        if (!imp_swd(target)->left) {
            imp_adi_queue_write32(adi, SCS_DEMCR, 0);
            imp_adi_queue_write32(adi, SCS_DHCSR, DHCSR_KEY);
            g_autoptr(GError) ignored = NULL;
            if (!imp_adi_flush(adi, &ignored))
                g_debug("while detaching: %s", ignored->message);
        }
        imp_adi_power_down(adi);
    }
    imp_dap_free(adi->dap);
    g_free(imp_swd(target));
}

/* ---- ways to connect ---- */

/* A chip that keeps its access port switched off says so; whether it really lets nothing through is tried. */
static gboolean refuse_closed(ImpAdi *adi, GError **error)
{
    guint32 cpuid;
    g_autoptr(GError) why = NULL;
    if (adi->ap_enabled || imp_adi_read32(adi, SCS_CPUID, &cpuid, &why))
        return TRUE;
    if (why->code != IMP_E_BUS_FAULT && why->code != IMP_E_LINK_FAULT) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    imp_error_set(error, IMP_E_LOCKED,
                  "the chip (DPIDR 0x%08X) is locked: its read protection has switched access port %u off",
                  adi->dpidr, adi->access_port);
    return FALSE;
}

static gboolean connect_open(ImpAdi *adi, GError **error)
{
    return imp_adi_connect(adi, error) && refuse_closed(adi, error);
}

/* Only looks: the core is never ours, detach leaves it as it is. */
static gboolean connect_look(ImpSwdTarget *self, GError **error)
{
    self->left = TRUE;
    return connect_open(&self->adi, error);
}

static gboolean connect_normal(ImpSwdTarget *self, GError **error)
{
    return connect_open(&self->adi, error) && swd_reset_halt(&self->target, error);
}

/* Holds nRESET while the line is connected, so that no firmware can get in the way. */
static gboolean connect_under_reset(ImpSwdTarget *self, GError **error)
{
    ImpAdi *adi = &self->adi;
    if (!imp_dap_pins(adi->dap, 0, IMP_DAP_PIN_RESET, error))
        return FALSE;
    imp_clock_sleep_us(adi->clock, RESET_HOLD_US);
    gboolean good = connect_open(adi, error);
    if (good) {
        good = imp_adi_write32(adi, SCS_DHCSR, DHCSR_KEY | DHCSR_C_DEBUGEN | DHCSR_C_HALT, error) &&
               imp_adi_write32(adi, SCS_DEMCR, DEMCR_VC_CORERESET | DEMCR_VC_HARDERR, error);
    }
    if (!imp_dap_pins(adi->dap, IMP_DAP_PIN_RESET, IMP_DAP_PIN_RESET, good ? error : NULL))
        return FALSE;
    return good &&
           wait_core(&self->target, IMP_DHCSR_S_HALT, IMP_DHCSR_S_HALT, TRUE, "halt after nRESET", error);
}

/* The core shall stand before its firmware gets to switching SWD off: no pause between two tries, and the halt first. */
static gboolean catch_core(ImpSwdTarget *self, GError **error)
{
    ImpAdi *adi = &self->adi;
    if (!imp_adi_open_port(adi, error))
        return FALSE;
    imp_adi_queue_write32(adi, SCS_DHCSR, DHCSR_KEY | DHCSR_C_DEBUGEN | DHCSR_C_HALT);
    return imp_adi_flush(adi, error);
}

/* The supply is off. Everything that does not need the chip is done before it comes. */
static gboolean connect_power_cycle(ImpSwdTarget *self, GError **error)
{
    ImpAdi *adi = &self->adi;
    if (!imp_adi_configure(adi, error) ||
        (self->power_on != NULL && !self->power_on(self->power_user, error)))
        return FALSE;
    self->power_on = NULL; /* when the clock steps down it stays on */
    gint64 end = imp_clock_boot_us(adi->clock) + (gint64)IMP_TARGET_CATCH_MS * 1000;
    for (;;) {
        GError *why = NULL;
        gint64 began = imp_clock_boot_us(adi->clock);
        if (imp_adi_check_cancel(adi, &why) && catch_core(self, &why))
            break;
        if (imp_dap_is_broken(adi->dap) || why->code == IMP_E_CANCELLED || began >= end) {
            g_propagate_prefixed_error(error, why, "after power-on: ");
            return FALSE;
        }
        g_error_free(why);
    }
    return imp_adi_identify(adi, error) && refuse_closed(adi, error) && swd_reset_halt(&self->target, error);
}

/* ---- the clock that the line bears ---- */

static gboolean is_of_link(const GError *why)
{
    return why->domain == IMP_ERROR && why->code >= IMP_E_NO_TARGET && why->code <= IMP_E_LINK_LOST;
}

/* After a power cycle a silent chip was waited for long enough. */
static gboolean may_be_clock(const ImpSwdTarget *self, const GError *why)
{
    return is_of_link(why) && (why->code != IMP_E_NO_TARGET || self->connect != connect_power_cycle);
}

static gboolean halve_clock(ImpSwdTarget *self, int because)
{
    ImpLinkHealth *health = &self->target.health;
    if (health->steps_down == IMP_SWD_STEPS_MAX || self->adi.swd_hz / 2 < IMP_SWD_HZ_MIN)
        return FALSE;
    self->adi.swd_hz /= 2;
    self->target.swd_hz = health->swd_hz = self->adi.swd_hz;
    health->steps_down++;
    health->slowed_by = because;
    return TRUE;
}

static gboolean connect_once(ImpSwdTarget *self, GError **error)
{
    return imp_adi_check_cancel(&self->adi, error) && self->connect(self, error) &&
           read_core_id(&self->target, error);
}

/* Nobody there at any clock: then the first try's answer stands, and the clock was not the reason. */
static gboolean connect_stepping(ImpSwdTarget *self, GError **error)
{
    ImpLinkHealth *health = &self->target.health;
    g_autoptr(GError) first = NULL;
    for (;;) {
        guint64 before = health->protocol_errors;
        GError *why = NULL;
        gboolean good = connect_once(self, &why);
        if (good && health->protocol_errors - before < IMP_SWD_DISTURBED)
            return TRUE;
        gboolean again = !imp_dap_is_broken(self->adi.dap) && (good || may_be_clock(self, why)) &&
                         halve_clock(self, good ? IMP_E_LINK_PARITY : why->code);
        if (again) {
            if (first == NULL)
                first = why;
            else
                g_clear_error(&why);
            continue;
        }
        if (good)
            return TRUE;
        if (first != NULL && is_of_link(why)) {
            g_error_free(why);
            why = g_steal_pointer(&first);
            g_prefix_error(&why, "(also at %u Hz) ", self->adi.swd_hz);
        }
        g_propagate_error(error, why);
        return FALSE;
    }
}

static gboolean swd_slow_down(ImpTarget *target, const GError *why, GError **error)
{
    ImpSwdTarget *self = imp_swd(target);
    if (imp_dap_is_broken(self->adi.dap) || !is_of_link(why) || !halve_clock(self, why->code)) {
        g_propagate_error(error, g_error_copy(why));
        return FALSE;
    }
    return connect_stepping(self, error);
}

static ImpTarget *open_target(ImpProbe *probe, const ImpClock *clock, const ImpTargetOptions *options,
                              gboolean (*connect)(ImpSwdTarget *self, GError **error), GError **error)
{
    static const ImpTargetOps ops = {swd_detach,    swd_read,          swd_write,           swd_halt,
                                     swd_resume,    swd_reset_halt,    swd_reset_run,       swd_break_at,
                                     swd_wait_halt, swd_read_register, swd_write_registers, swd_slow_down,
                                     swd_reset_away};
    g_autoptr(ImpTarget) target = (ImpTarget *)g_new0(ImpSwdTarget, 1);
    ImpSwdTarget *self = imp_swd(target);
    ImpAdi *adi = &self->adi;
    target->ops = &ops;
    target->clock = clock;
    target->cancel = options->cancel;
    target->runs_beside = TRUE;
    self->connect = connect;
    self->power_on = options->power_on;
    self->power_user = options->power_user;
    adi->clock = clock;
    adi->cancel = options->cancel;
    adi->health = &target->health;
    adi->swd_hz = options->swd_hz != 0 ? options->swd_hz : IMP_SWD_HZ_DEFAULT;
    adi->access_port = options->access_port;
    target->swd_hz = target->health.swd_hz = adi->swd_hz;
    adi->tar_wrap = IMP_ADI_TAR_WRAP_MIN;
    GError *why = NULL;
    gboolean good = imp_adi_check_cancel(adi, &why) &&
                    (adi->dap = imp_dap_open(probe, &target->health, &why)) != NULL &&
                    connect_stepping(self, &why);
    if (good) {
        if (connect == connect_power_cycle)
            self->connect = connect_normal; /* from now on the core stands still while it is ours */
        return g_steal_pointer(&target);
    }
    if (options->failed != NULL)
        *options->failed = target->health;
    imp_error_set_step(&why, "attach");
    g_propagate_error(error, why);
    return NULL;
}

ImpTarget *imp_target_attach(ImpProbe *probe, const ImpClock *clock, const ImpTargetOptions *options,
                             GError **error)
{
    return open_target(probe, clock, options,
                       options->mode == IMP_ATTACH_UNDER_RESET   ? connect_under_reset
                       : options->mode == IMP_ATTACH_POWER_CYCLE ? connect_power_cycle
                                                                 : connect_normal,
                       error);
}

ImpTarget *imp_target_look(ImpProbe *probe, const ImpClock *clock, const ImpTargetOptions *options,
                           GError **error)
{
    return open_target(probe, clock, options, connect_look, error);
}
