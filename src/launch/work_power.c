/* The port's supply: before connecting, as a step, and at the end. */
#include "launch/port_thread.h"

#include "base/error.h"

#define OFF_MS_DEFAULT 200 /* capacitors need time, where the recipe names none */
#define SETTLE_MS      1000 /* for the measured voltage to come into its limits after the delay */

static gboolean has_limits(const ImpContent *content)
{
    return content->power.has && content->power.max_mv != 0;
}

static gboolean switches(const ImpThreadPort *port)
{
    return port->power != NULL && port->power->switches;
}

gboolean imp_thread_can_cycle(const ImpThreadPort *port)
{
    return switches(port);
}

/* Whatever the recipe wants of the supply is asked for before anything is done with the target. */
static const char *wanted(const ImpContent *content)
{
    if (content->attach == IMP_ATTACH_POWER_CYCLE)
        return "connecting by a power cycle";
    if (has_limits(content))
        return "a measured voltage";
    for (gsize i = 0; i < content->n_steps; i++)
        if (content->steps[i].kind == IMP_STEP_POWER)
            return "a step that switches the power";
    for (gsize i = 0; i < content->n_finally; i++)
        if (content->finally[i].kind == IMP_STEP_POWER)
            return "a step that switches the power";
    return NULL;
}

gboolean imp_thread_open_power(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    if (port->power == NULL && port->power_spec != NULL)
        port->power = imp_power_open(port->power_spec, port->clock, error);
    if (port->power == NULL && port->power_spec != NULL)
        return FALSE;
    const char *what = switches(port) ? NULL : wanted(content);
    if (what == NULL)
        return TRUE;
    imp_error_set(error, IMP_E_POWER_UNSUPPORTED,
                  "'%s' asks for %s, and this port has no supply that it can switch", content->name, what);
    return FALSE;
}

static gboolean check_voltage(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    const ImpPowerRange range = {content->power.min_mv, content->power.max_mv, SETTLE_MS, port->clock,
                                 &port->cancel};
    guint32 found_mv;
    return !has_limits(content) || imp_power_expect(port->power, &range, &found_mv, error);
}

gboolean imp_thread_power_on(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    if (!switches(port))
        return TRUE;
    guint32 on_delay_ms = content->power.has ? content->power.on_delay_ms : 0;
    return imp_power_on(port->power, content->power.has ? content->power.millivolts : 0, error) &&
           imp_thread_wait(port, on_delay_ms, error) && check_voltage(port, content, error);
}

gboolean imp_thread_power_off(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    guint32 off_delay_ms = content->power.has ? content->power.off_delay_ms : 0;
    imp_thread_lose(port);
    return imp_power_off(port->power, error) &&
           imp_thread_wait(port, off_delay_ms != 0 ? off_delay_ms : OFF_MS_DEFAULT, error);
}

void imp_thread_power_end(ImpThreadPort *port, const ImpContent *content)
{
    g_autoptr(GError) first = NULL, second = NULL;
    if (!switches(port) || !content->power.off_at_end || imp_power_off(port->power, &first))
        return;
    if (!imp_power_off(port->power, &second))
        g_warning("the target's supply could not be switched off: %s", second->message);
}

gboolean imp_work_power(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    const ImpContent *content = command->content;
    (void)event;
    if (!imp_thread_open_power(port, content, error))
        return FALSE;
    switch (command->step->power) {
    case IMP_POWER_ON:
        return imp_thread_power_on(port, content, error);
    case IMP_POWER_OFF:
        return imp_thread_power_off(port, content, error);
    case IMP_POWER_CYCLE:
        return imp_thread_power_off(port, content, error) && imp_thread_power_on(port, content, error);
    }
    g_assert_not_reached();
}
