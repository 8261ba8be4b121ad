#include "target/protect.h"

#include "base/error.h"
#include "target/runner.h"

#include <string.h>

/* Nordic's CTRL-AP (nRF52832 Product Specification 1.4, chapter 16.2.2) */
#define CTRL_RESET          0x00
#define CTRL_ERASEALL       0x04
#define CTRL_ERASEALLSTATUS 0x08
#define CTRL_IDR            0x02880000u

#define SCS_DEMCR 0xE000EDFCu /* ARM DDI 0419, C1.6.5: vector catch */

#define POLL_US       1000
#define RESET_HOLD_US (10 * 1000)

typedef gboolean (*ReadFn)(ImpAdi *adi, guint64 where, guint32 *out, GError **error);

typedef struct {
    ReadFn read;
    guint64 where;
    guint32 mask, value;
    guint ms;
} Wait;

/* Until (word & mask) == value. */
static gboolean wait_word(ImpAdi *adi, const Wait *wait, GError **error)
{
    gint64 end = imp_clock_boot_us(adi->clock) + (gint64)wait->ms * 1000;
    for (;;) {
        guint32 word = 0;
        if (!imp_adi_check_cancel(adi, error) || !wait->read(adi, wait->where, &word, error))
            return FALSE;
        if ((word & wait->mask) == wait->value)
            return TRUE;
        if (imp_clock_boot_us(adi->clock) >= end) {
            imp_error_set(error, IMP_E_NOT_UNLOCKED, "the erasure did not end within %u ms (0x%08X)",
                          wait->ms, word);
            return FALSE;
        }
        imp_clock_sleep_us(adi->clock, POLL_US);
    }
}

static gboolean read_memory(ImpAdi *adi, guint64 where, guint32 *out, GError **error)
{
    return imp_adi_read32(adi, (guint32)where, out, error);
}

/* ---- by writes of the debugger ---- */

static gboolean do_write(ImpAdi *adi, const ImpDeviceWrite *write, GError **error)
{
    const Wait wait = {read_memory, write->wait_address, write->wait_mask, write->wait_value, write->wait_ms};
    return imp_adi_write32(adi, (guint32)write->address, write->value, error) &&
           (write->wait_ms == 0 || wait_word(adi, &wait, error));
}

static gboolean unlock_by_writes(ImpProbe *probe, const ImpClock *clock, const ImpTargetOptions *options,
                                 const ImpDevice *device, GError **error)
{
    g_autoptr(ImpTarget) target = imp_target_attach(probe, clock, options, error);
    if (target == NULL || !imp_target_check(target, device, error))
        return FALSE;
    for (gsize i = 0; i < device->n_unlock_writes; i++)
        if (!do_write(&imp_swd(target)->adi, &device->unlock_writes[i], error))
            return FALSE;
    return imp_target_load_options(target, device, error);
}

/* ---- by an option bytes' algorithm in RAM ---- */

/* Nobody watches this erasure. */
static void ignore(gpointer user, guint64 bytes)
{
}

static gboolean erase_options(ImpTarget *target, const ImpDevice *device, GError **error)
{
    const ImpAlgorithm *const algorithms[] = {device->algorithms[device->unlock_algorithm]};
    const ImpRunnerEvents events = {ignore, ignore, ignore, NULL};
    ImpRunner *runner =
        imp_runner_start(target, device, algorithms, G_N_ELEMENTS(algorithms), &events, error);
    gboolean good =
        runner != NULL && imp_runner_erase_chip(runner, 0, error) && imp_runner_finish(runner, error);
    imp_runner_stop(runner);
    return good;
}

static gboolean unlock_by_algorithm(ImpProbe *probe, const ImpClock *clock, const ImpTargetOptions *options,
                                    const ImpDevice *device, GError **error)
{
    g_autoptr(ImpTarget) target = imp_target_attach(probe, clock, options, error);
    return target != NULL && imp_target_check(target, device, error) &&
           erase_options(target, device, error) && imp_target_load_options(target, device, error);
}

/* ---- by CTRL-AP ---- */

typedef struct {
    ImpAdi adi;
    ImpLinkHealth health;
} Door;

/* Nothing of the chip but its debug ports can be seen: these must be the device's. */
static gboolean check_ports(Door *door, const ImpDevice *device, GError **error)
{
    guint32 idr = 0, mine = CTRL_IDR;
    guint8 want[4], got[4];
    const char *what = "the control access port is Nordic's CTRL-AP";
    if (device->dpidr != 0 && door->adi.dpidr != device->dpidr) {
        idr = door->adi.dpidr;
        mine = device->dpidr;
        what = "DPIDR is the device's";
    } else if (!imp_adi_read_ap(&door->adi, device->ctrl_ap_index, IMP_ADI_AP_IDR, &idr, error)) {
        return FALSE;
    } else if (idr == CTRL_IDR) {
        return TRUE;
    }
    imp_put_le32(want, mine);
    imp_put_le32(got, idr);
    imp_error_set_values(
        error, IMP_E_WRONG_CHIP, want, got, sizeof got,
        "%s: another chip: not true that %s (expected 0x%08X, found 0x%08X); nothing was erased",
        device->name, what, mine, idr);
    return FALSE;
}

static gboolean read_status(ImpAdi *adi, guint64 where, guint32 *out, GError **error)
{
    return imp_adi_read_ap(adi, (guint)where, CTRL_ERASEALLSTATUS, out, error);
}

/* ERASEALL, wait, and a reset, which lets the chip look at its protection again (16.2.1). */
static gboolean erase_all(ImpAdi *adi, guint ap, GError **error)
{
    const Wait wait = {read_status, ap, G_MAXUINT32, 0, IMP_UNLOCK_MS_MAX};
    if (!imp_adi_write_ap(adi, ap, CTRL_ERASEALL, 1, error) || !wait_word(adi, &wait, error) ||
        !imp_adi_write_ap(adi, ap, CTRL_RESET, 1, error))
        return FALSE;
    imp_clock_sleep_us(adi->clock, RESET_HOLD_US);
    return imp_adi_write_ap(adi, ap, CTRL_RESET, 0, error) &&
           imp_adi_write_ap(adi, ap, CTRL_ERASEALL, 0, error);
}

static gboolean unlock_by_ctrl_ap(ImpProbe *probe, const ImpClock *clock, const ImpTargetOptions *options,
                                  const ImpDevice *device, GError **error)
{
    g_autofree Door *door = g_new0(Door, 1);
    door->adi.clock = clock;
    door->adi.cancel = options->cancel;
    door->adi.access_port = options->access_port;
    door->adi.health = &door->health;
    door->adi.swd_hz = options->swd_hz != 0 ? options->swd_hz : IMP_SWD_HZ_DEFAULT;
    g_autoptr(ImpDap) dap = imp_dap_open(probe, &door->health, error);
    if (dap == NULL)
        return FALSE;
    door->adi.dap = dap;
    gboolean good = imp_adi_configure(&door->adi, error) && imp_adi_open_port(&door->adi, error) &&
                    check_ports(door, device, error) && erase_all(&door->adi, device->ctrl_ap_index, error);
    if (good)
        imp_adi_power_down(&door->adi);
    return good;
}

gboolean imp_target_unlock(ImpProbe *probe, const ImpClock *clock, const ImpTargetOptions *options,
                           const ImpDevice *device, GError **error)
{
    GError *why = NULL;
    gboolean good = FALSE;
    switch (device->unlock) {
    case IMP_UNLOCK_BY_NONE:
        imp_error_set(&why, IMP_E_NOT_UNLOCKED, "no way to open a locked %s is known", device->name);
        break;
    case IMP_UNLOCK_BY_WRITES:
        good = unlock_by_writes(probe, clock, options, device, &why);
        break;
    case IMP_UNLOCK_BY_ALGORITHM:
        good = unlock_by_algorithm(probe, clock, options, device, &why);
        break;
    case IMP_UNLOCK_BY_CTRL_AP:
        good = unlock_by_ctrl_ap(probe, clock, options, device, &why);
        break;
    }
    if (good)
        return TRUE;
    imp_error_set_step(&why, "unlock");
    g_propagate_prefixed_error(error, why, "opening the locked chip: ");
    return FALSE;
}

gboolean imp_target_pulse_reset(ImpProbe *probe, const ImpClock *clock, GError **error)
{
    ImpLinkHealth health = {0};
    g_autoptr(ImpDap) dap = imp_dap_open(probe, &health, error);
    if (dap == NULL || !imp_dap_pins(dap, 0, IMP_DAP_PIN_RESET, error))
        return FALSE;
    imp_clock_sleep_us(clock, RESET_HOLD_US);
    return imp_dap_pins(dap, IMP_DAP_PIN_RESET, IMP_DAP_PIN_RESET, error);
}

gboolean imp_target_load_options(ImpTarget *target, const ImpDevice *device, GError **error)
{
    static const guint8 catch_nothing[4] = {0};
    if (device->n_launch_writes == 0)
        return imp_target_reset_away(target, error);
    if (!imp_target_write(target, SCS_DEMCR, catch_nothing, sizeof catch_nothing, error))
        return FALSE;
    for (gsize i = 0; i < device->n_launch_writes; i++) {
        const ImpDeviceWrite *write = &device->launch_writes[i];
        guint8 word[4];
        g_autoptr(GError) why = NULL;
        imp_put_le32(word, write->value);
        if (imp_target_write(target, write->address, word, sizeof word, &why))
            continue;
        /* The last one resets the chip, which may not get to answering. */
        if (i + 1 < device->n_launch_writes || why->code < IMP_E_NO_TARGET) {
            g_propagate_prefixed_error(error, g_steal_pointer(&why),
                                       "bringing the option bytes into force: ");
            return FALSE;
        }
    }
    return TRUE;
}

gboolean imp_target_is_telling(const guint8 *bytes, gsize n_bytes)
{
    for (gsize i = 1; i < n_bytes; i++)
        if (bytes[i] != bytes[0])
            return TRUE;
    return FALSE;
}

gboolean imp_target_prove_refusal(ImpTarget *target, guint64 address, const guint8 *expected, gsize n_bytes,
                                  GError **error)
{
    g_autofree guint8 *found = g_malloc0(n_bytes);
    GError *why = NULL;
    g_assert(imp_target_is_telling(expected, n_bytes));
    if (!imp_target_read(target, address, found, n_bytes, &why)) {
        if (why->code == IMP_E_BUS_FAULT || why->code == IMP_E_LOCKED) {
            g_error_free(why);
            return TRUE;
        }
        g_propagate_prefixed_error(error, why, "trying to read the protected chip: ");
        return FALSE;
    }
    if (!imp_target_is_telling(found, n_bytes))
        return TRUE;
    imp_error_set_at(error, IMP_E_NOT_PROTECTED, address, expected, found, MIN(n_bytes, IMP_ERROR_BYTES_MAX),
                     "the chip's memory can be read although it was protected");
    return FALSE;
}
