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
    g_free(event->text);
    g_free(event);
}

const char *imp_phase_name(ImpPhase phase)
{
    static const char *const names[] = {
        [IMP_PHASE_ATTACH] = "attach",
        [IMP_PHASE_ERASE] = "erase",
        [IMP_PHASE_PROGRAM] = "program",
        [IMP_PHASE_VERIFY] = "verify",
        [IMP_PHASE_READ] = "read",
        [IMP_PHASE_RESET] = "reset",
        [IMP_PHASE_BLANK_CHECK] = "blank-check",
        [IMP_PHASE_WRITE] = "write",
        [IMP_PHASE_EXPECT] = "expect",
        [IMP_PHASE_PROTECT] = "protect",
        [IMP_PHASE_RUN] = "run",
        [IMP_PHASE_DELAY] = "delay",
        [IMP_PHASE_POWER] = "power",
        [IMP_PHASE_TEST] = "test",
    };
    g_assert(phase < G_N_ELEMENTS(names) && names[phase] != NULL);
    return names[phase];
}

ImpPhase imp_phase_of(ImpCommandKind kind)
{
    static const ImpPhase phases[] = {
        [IMP_COMMAND_ATTACH] = IMP_PHASE_ATTACH,   [IMP_COMMAND_FLASH] = IMP_PHASE_PROGRAM,
        [IMP_COMMAND_READ] = IMP_PHASE_READ,       [IMP_COMMAND_RESET] = IMP_PHASE_RESET,
        [IMP_COMMAND_FINISH] = IMP_PHASE_RESET,    [IMP_COMMAND_BLANK_CHECK] = IMP_PHASE_BLANK_CHECK,
        [IMP_COMMAND_WRITE] = IMP_PHASE_WRITE,     [IMP_COMMAND_EXPECT] = IMP_PHASE_EXPECT,
        [IMP_COMMAND_PROTECT] = IMP_PHASE_PROTECT, [IMP_COMMAND_RUN] = IMP_PHASE_RUN,
        [IMP_COMMAND_DELAY] = IMP_PHASE_DELAY,     [IMP_COMMAND_POWER] = IMP_PHASE_POWER,
        [IMP_COMMAND_TEST] = IMP_PHASE_TEST,
    };
    g_assert(kind < G_N_ELEMENTS(phases) && phases[kind] != 0);
    return phases[kind];
}
