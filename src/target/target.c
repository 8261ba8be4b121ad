/* What is the same for every target: the calls go to its table of functions, and what a chip is like is judged by what is
 * read of it. */
#include "target/target-internal.h"

#include "base/error.h"
#include "target/tcp.h"

#include <string.h>

void imp_target_detach(ImpTarget *target)
{
    if (target != NULL)
        target->ops->detach(target);
}

gboolean imp_target_check_spec(const char *spec, GError **error)
{
    if (g_str_has_prefix(spec, IMP_TARGET_GDB_PREFIX))
        return imp_tcp_check_address("gdb", spec + strlen(IMP_TARGET_GDB_PREFIX), error);
    return imp_probe_check_spec(spec, error);
}

const ImpTargetId *imp_target_id(const ImpTarget *target)
{
    return &target->id;
}

const ImpLinkHealth *imp_target_link_health(const ImpTarget *target)
{
    return &target->health;
}

gboolean imp_target_read(ImpTarget *target, guint64 address, void *out, gsize n_bytes, GError **error)
{
    return target->ops->read(target, address, out, n_bytes, error);
}

gboolean imp_target_write(ImpTarget *target, guint64 address, const void *bytes, gsize n_bytes,
                          GError **error)
{
    return target->ops->write(target, address, bytes, n_bytes, error);
}

gboolean imp_target_halt(ImpTarget *target, GError **error)
{
    return target->ops->halt(target, error);
}

gboolean imp_target_resume(ImpTarget *target, GError **error)
{
    return target->ops->resume(target, error);
}

gboolean imp_target_reset_halt(ImpTarget *target, GError **error)
{
    return target->ops->reset_halt(target, error);
}

gboolean imp_target_reset_run(ImpTarget *target, GError **error)
{
    return target->ops->reset_run(target, error);
}

gboolean imp_target_reset_away(ImpTarget *target, GError **error)
{
    return target->ops->reset_away(target, error);
}

gboolean imp_target_break_at(ImpTarget *target, guint32 address, GError **error)
{
    return target->ops->break_at(target, address, error);
}

gboolean imp_target_wait_halt(ImpTarget *target, guint limit_ms, gboolean *out_halted, GError **error)
{
    return target->ops->wait_halt(target, limit_ms, out_halted, error);
}

gboolean imp_target_read_register(ImpTarget *target, guint number, guint32 *out_value, GError **error)
{
    return target->ops->read_register(target, number, out_value, error);
}

gboolean imp_target_write_registers(ImpTarget *target, const ImpCoreRegister *registers, gsize n_registers,
                                    GError **error)
{
    return target->ops->write_registers(target, registers, n_registers, error);
}

gboolean imp_target_write_register(ImpTarget *target, guint number, guint32 value, GError **error)
{
    const ImpCoreRegister one = {number, value};
    return imp_target_write_registers(target, &one, 1, error);
}

static gboolean check_word(guint64 address, guint32 expected, guint32 found, const char *what, GError **error)
{
    if (found == expected)
        return TRUE;
    guint8 want[4], got[4];
    imp_put_le32(want, expected);
    imp_put_le32(got, found);
    imp_error_set_at(error, IMP_E_WRONG_CHIP, address, want, got, 4,
                     "another chip: not true that %s (expected 0x%08X, found 0x%08X)", what, expected, found);
    return FALSE;
}

gboolean imp_target_check(ImpTarget *target, const ImpDevice *device, GError **error)
{
    /* A GDB server does not tell the debug port's ID. */
    if (device->dpidr != 0 && target->id.dpidr != 0 &&
        !check_word(0, device->dpidr, target->id.dpidr, "DPIDR is the device's", error)) {
        g_prefix_error(error, "%s: ", device->name);
        return FALSE;
    }
    for (gsize i = 0; i < device->n_checks; i++) {
        const ImpDeviceCheck *check = &device->checks[i];
        guint8 word[4];
        GError *why = NULL;
        if (imp_target_read(target, check->address, word, sizeof word, &why) &&
            check_word(check->address, check->value, imp_le32(word) & check->mask, check->what, &why))
            continue;
        if (why->code == IMP_E_BUS_FAULT) { /* the place does not even exist: another chip */
            g_autoptr(GError) old = why;
            guint8 want[4];
            why = NULL;
            imp_put_le32(want, check->value);
            imp_error_set_at(&why, IMP_E_WRONG_CHIP, check->address, want, NULL, 4, "another chip: %s (%s)",
                             check->what, old->message);
        }
        g_propagate_prefixed_error(error, why, "%s: ", device->name);
        return FALSE;
    }
    return TRUE;
}

gboolean imp_target_check_open(ImpTarget *target, const ImpDevice *device, GError **error)
{
    const ImpDeviceCheck *open = device->open;
    guint8 word[4] = {0}, want[4];
    GError *why = NULL;
    if (open == NULL)
        return TRUE;
    gboolean read = imp_target_read(target, open->address, word, sizeof word, &why);
    if (read && (imp_le32(word) & open->mask) == open->value)
        return TRUE;
    if (!read && why->code != IMP_E_BUS_FAULT) {
        g_propagate_prefixed_error(error, why, "read protection: ");
        return FALSE;
    }
    imp_put_le32(want, open->value);
    imp_put_le32(word, imp_le32(word) & open->mask);
    imp_error_set_at(error, IMP_E_LOCKED, open->address, read ? want : NULL, read ? word : NULL, sizeof word,
                     "%s is locked: not true that %s%s%s", device->name, open->what, read ? "" : ": ",
                     read ? "" : why->message);
    g_clear_error(&why);
    return FALSE;
}

gboolean imp_target_slow_down(ImpTarget *target, const GError *why, GError **error)
{
    return target->ops->slow_down(target, why, error);
}

gboolean imp_target_read_uid(ImpTarget *target, const ImpDevice *device, guint8 out_uid[IMP_UID_BYTES_MAX],
                             gsize *out_bytes, GError **error)
{
    guint8 uid[IMP_UID_BYTES_MAX];
    if (device->uid_bytes > sizeof uid) {
        imp_error_set(error, IMP_E_LIMIT, "%s: a unique ID of %u bytes; at most %zu", device->name,
                      device->uid_bytes, sizeof uid);
        return FALSE;
    }
    if (!imp_target_read(target, device->uid_address, uid, device->uid_bytes, error)) {
        g_prefix_error(error, "unique ID: ");
        return FALSE;
    }
    memcpy(out_uid, uid, device->uid_bytes);
    *out_bytes = device->uid_bytes;
    return TRUE;
}
