#include "launch/port.h"

void imp_port_set_handler(ImpPort *port, ImpPortFn handler, gpointer user)
{
    port->handler = handler;
    port->user = user;
}

void imp_port_submit(ImpPort *port, const ImpCommand *command)
{
    port->ops->submit(port, command);
}

void imp_port_cancel(ImpPort *port)
{
    port->ops->cancel(port);
}

int imp_port_fd(ImpPort *port)
{
    return port->ops->fd(port);
}

void imp_port_dispatch(ImpPort *port)
{
    port->ops->dispatch(port);
}

void imp_port_free(ImpPort *port)
{
    if (port != NULL)
        port->ops->free(port);
}

void imp_port_event_free(ImpPortEvent *event)
{
    if (event == NULL)
        return;
    g_clear_error(&event->error);
    g_free(event);
}

const char *imp_phase_name(ImpPhase phase)
{
    switch (phase) {
    case IMP_PHASE_ATTACH:
        return "attach";
    case IMP_PHASE_ERASE:
        return "erase";
    case IMP_PHASE_PROGRAM:
        return "program";
    case IMP_PHASE_VERIFY:
        return "verify";
    case IMP_PHASE_READ:
        return "read";
    case IMP_PHASE_RESET:
        return "reset";
    }
    g_assert_not_reached();
}
