/* Connects to the target and lets it go. */
#include "launch/port_thread.h"

#include <string.h>

static gboolean connect_target(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    ImpTargetOptions options = {.swd_hz = content->swd_hz,
                                .mode = content->attach,
                                .access_port = content->device->access_port,
                                .cancel = &port->cancel};
    imp_thread_let_go(port);
    if (g_str_has_prefix(port->probe_spec, IMP_TARGET_GDB_PREFIX)) {
        port->target = imp_target_attach_gdb(port->probe_spec + strlen(IMP_TARGET_GDB_PREFIX), port->clock,
                                             &options, error);
    } else {
        port->probe = imp_probe_open(port->probe_spec, port->clock, error);
        if (port->probe == NULL)
            return FALSE;
        port->target = imp_target_attach(port->probe, port->clock, &options, error);
    }
    return port->target != NULL && imp_target_check(port->target, content->device, error);
}

gboolean imp_work_attach(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    G_STATIC_ASSERT(IMP_UID_BYTES_MAX <= IMP_WIRE_NUMBER_BYTES_MAX);
    gsize n_uid = 0;
    if (!connect_target(port, command->content, error) ||
        !imp_target_read_uid(port->target, command->content->device, event->uid, &n_uid, error))
        return FALSE;
    event->n_uid = (guint8)n_uid;
    return TRUE;
}

gboolean imp_thread_hold(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    if (port->left)
        return connect_target(port, content, error);
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
    (void)command;
    (void)event;
    (void)error;
    imp_thread_let_go(port);
    return TRUE;
}
