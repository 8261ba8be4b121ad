#include "target/probe-drivers.h"

#include "base/error.h"
#include "target/tcp.h"

gboolean imp_probe_check_spec(const char *spec, GError **error)
{
    if (g_str_has_prefix(spec, "tcp:"))
        return imp_tcp_check_address("tcp", spec + 4, error);
    if (g_str_has_prefix(spec, "usb:") || g_str_has_prefix(spec, "hid:"))
        return TRUE;
    imp_error_set(error, IMP_E_ARGUMENT,
                  "\"%s\" names no probe: write tcp:HOST:PORT, usb:SERIAL, usb:BUS-PORTS, or usb: for the "
                  "only one on USB "
                  "(hid: in place of usb: to use CMSIS-DAP v1)",
                  spec);
    return FALSE;
}

ImpProbe *imp_probe_open(const char *spec, const ImpClock *clock, GError **error)
{
    if (!imp_probe_check_spec(spec, error))
        return NULL;
    if (g_str_has_prefix(spec, "tcp:"))
        return imp_probe_tcp_open(spec + 4, clock, error);
    return imp_probe_usb_open(spec + 4, g_str_has_prefix(spec, "hid:"), clock, error);
}

void imp_probe_close(ImpProbe *probe)
{
    if (probe != NULL)
        probe->ops->close(probe);
}
