#include "target/probe-drivers.h"

#include "base/error.h"

ImpProbe *imp_probe_open(const char *spec, const ImpClock *clock, GError **error)
{
    if (g_str_has_prefix(spec, "tcp:"))
        return imp_probe_tcp_open(spec + 4, clock, error);
    if (g_str_has_prefix(spec, "usb:"))
        return imp_probe_usb_open(spec + 4, FALSE, clock, error);
    if (g_str_has_prefix(spec, "hid:"))
        return imp_probe_usb_open(spec + 4, TRUE, clock, error);
    imp_error_set(error, IMP_E_ARGUMENT,
                  "\"%s\" names no probe: write tcp:HOST:PORT, usb:SERIAL, or usb: for the only one on USB "
                  "(hid: in place of usb: to use CMSIS-DAP v1)",
                  spec);
    return NULL;
}

void imp_probe_close(ImpProbe *probe)
{
    if (probe != NULL)
        probe->ops->close(probe);
}
