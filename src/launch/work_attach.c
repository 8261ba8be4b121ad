/* Connects to the target and lets it go. */
#include "launch/port_thread.h"

#include "base/error.h"
#include "target/protect.h"

#include <string.h>

/* The probe is ready, the supply off: on, and nothing else before the first edge. */
static gboolean on_probe_ready(gpointer user, GError **error)
{
    ImpThreadPort *port = user;
    return imp_power_on(port->power, port->power_mv, error);
}

static ImpTargetOptions make_options(ImpThreadPort *port, const ImpContent *content)
{
    port->power_mv = content->power.has ? content->power.millivolts : 0;
    /* A line that was too fast once in this launch stays slow. */
    return (ImpTargetOptions){.swd_hz = port->before.slowed_by != 0 ? port->before.swd_hz : content->swd_hz,
                              .failed = &port->failed,
                              .mode = content->attach,
                              .power_on = on_probe_ready,
                              .power_user = port,
                              .access_port = content->device->access_port,
                              .cancel = &port->cancel};
}

static gboolean is_gdb(const ImpThreadPort *port)
{
    return g_str_has_prefix(port->probe_spec, IMP_TARGET_GDB_PREFIX);
}

ImpProbe *imp_thread_open_probe(ImpThreadPort *port, GError **error)
{
    return port->open_probe != NULL ? port->open_probe(port->open_user, error)
                                    : imp_probe_open(port->probe_spec, port->clock, error);
}

gboolean imp_thread_connect(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    imp_thread_let_go(port);
    ImpTargetOptions options = make_options(port, content);
    if (content->attach == IMP_ATTACH_POWER_CYCLE && !imp_thread_power_off(port, content, error))
        return FALSE;
    port->left = FALSE;
    if (is_gdb(port)) {
        port->target = imp_target_attach_gdb(port->probe_spec + strlen(IMP_TARGET_GDB_PREFIX), port->clock,
                                             &options, error);
    } else {
        port->probe = imp_thread_open_probe(port, error);
        if (port->probe == NULL)
            return FALSE;
        port->target = imp_target_attach(port->probe, port->clock, &options, error);
    }
    return port->target != NULL && imp_target_check(port->target, content->device, error);
}

/* Connects to a chip whose memory can be reached. */
static gboolean connect_open(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    return imp_thread_connect(port, content, error) &&
           imp_target_check_open(port->target, content->device, error);
}

/* The chip is locked, and may be erased to get in. */
static gboolean unlock(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    imp_thread_let_go(port);
    ImpTargetOptions options = make_options(port, content);
    if (is_gdb(port)) {
        imp_error_set(error, IMP_E_NOT_UNLOCKED, "a locked chip cannot be opened through a GDB server");
        return FALSE;
    }
    if (content->attach == IMP_ATTACH_POWER_CYCLE && !imp_thread_power_off(port, content, error))
        return FALSE;
    port->probe = imp_thread_open_probe(port, error);
    if (port->probe == NULL || !imp_target_unlock(port->probe, port->clock, &options, content->device, error))
        return FALSE;
    imp_thread_let_go(port);
    return !imp_thread_can_cycle(port) ||
           (imp_thread_power_off(port, content, error) && imp_thread_power_on(port, content, error));
}

static gboolean connect_or_unlock(ImpThreadPort *port, const ImpCommand *command, GError **error)
{
    GError *why = NULL;
    if (connect_open(port, command->content, &why))
        return TRUE;
    if (!command->may_unlock || !g_error_matches(why, IMP_ERROR, IMP_E_LOCKED)) {
        g_propagate_error(error, why);
        return FALSE;
    }
    g_clear_error(&why);
    if (!unlock(port, command->content, error))
        return FALSE;
    if (connect_open(port, command->content, &why))
        return TRUE;
    if (g_error_matches(why, IMP_ERROR, IMP_E_LOCKED)) {
        imp_error_set(error, IMP_E_NOT_UNLOCKED, "after it was erased: %s", why->message);
        g_error_free(why);
    } else {
        g_propagate_error(error, why);
    }
    return FALSE;
}

gboolean imp_work_attach(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    G_STATIC_ASSERT(IMP_UID_BYTES_MAX <= IMP_WIRE_NUMBER_BYTES_MAX);
    port->n_uid = 0;
    port->locked = FALSE;
    if ((!command->looks_only && !imp_thread_open_serial(port, command->content, error)) ||
        !imp_thread_open_power(port, command->content, error) ||
        !imp_thread_power_on(port, command->content, error) || !connect_or_unlock(port, command, error) ||
        !imp_target_read_uid(port->target, command->content->device, port->uid, &port->n_uid, error))
        return FALSE;
    memcpy(event->uid, port->uid, port->n_uid);
    event->n_uid = (guint8)port->n_uid;
    return TRUE;
}

gboolean imp_thread_check_unit(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    guint8 uid[IMP_UID_BYTES_MAX];
    gsize n_uid = 0;
    if (!imp_target_read_uid(port->target, content->device, uid, &n_uid, error))
        return FALSE;
    if (n_uid == port->n_uid && memcmp(uid, port->uid, n_uid) == 0)
        return TRUE;
    imp_error_set_at(
        error, IMP_E_UNIT_CHANGED, content->device->uid_address, port->uid, uid, n_uid,
        "another chip is connected than the one that the launch began with: its unique ID differs");
    return FALSE;
}

gboolean imp_thread_hold(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    if (port->left || port->target == NULL) {
        if (connect_open(port, content, error) && imp_thread_check_unit(port, content, error))
            return TRUE;
        imp_thread_let_go(port); /* what is there may be another unit: no later step touches it unseen */
        return FALSE;
    }
    g_clear_pointer(&port->flash, imp_flash_close);
    return TRUE;
}

gboolean imp_work_reset(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    (void)command;
    (void)event;
    g_clear_pointer(&port->flash, imp_flash_close);
    port->left = TRUE;
    return imp_target_reset_run(port->target, error);
}

gboolean imp_work_finish(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    (void)event;
    (void)error;
    g_clear_pointer(&port->serial, imp_serial_close);
    imp_thread_let_go(port);
    imp_thread_power_end(port, command->content);
    return TRUE;
}
