/* Probes as commands show them: on USB by what the kernel knows, and by what a probe says of itself.
 *
 * Thread rule: one thread. */
#pragma once

#include "cli/cli.h"
#include "target/probe_info.h"
#include "target/probe_list.h"

#define IMP_CLI_RULES_FILE "/etc/udev/rules.d/70-imprint-probes.rules"
#define IMP_CLI_DESK_PORT  "desk" /* the port's name in the record, when one chip is on the desk */

/* What --probe takes for it: "usb:SERIAL", or "usb:PATH" for one without a serial number of its own among those of list; free
 * with g_free. */
char *imp_cli_probe_spec(const GPtrArray *list, const ImpProbeSeen *seen);

/* "CMSIS-DAP v2", "CMSIS-DAP v1", "CMSIS-DAP v2 and v1". Constant. */
const char *imp_cli_probe_kind(const ImpProbeSeen *seen);

/* Writes what to do about each probe of list (ImpProbeSeen) that may not be opened; nothing if there is none. indent
 * stands in front of each line. */
void imp_cli_probe_say_access(FILE *out, const char *indent, const GPtrArray *list);

/* The probes that a command with several --probe means, NULL-terminated, at least one, none twice; free with g_strfreev.
 * "all" is every probe on USB, also those that will fail. *out_several: whether several were asked for, be it one that
 * there is. Errors: IMP_E_ARGUMENT (one twice, more than IMP_PROBE_USB_LIST_MAX, "all" beside others),
 * malformed), IMP_E_PROBE_NOT_FOUND (all, and there is none). */
char **imp_cli_probe_specs(const ImpCli *cli, gboolean *out_several,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "tcp:127.0.0.1:4441": "127.0.0.1:4441", "usb:0815": "0815". Borrowed from spec. */
const char *imp_cli_probe_label(const char *spec);

/* Opens the probe, asks, closes. Errors: those of imp_probe_open, IMP_E_PROBE_*. */
gboolean imp_cli_probe_ask(const ImpCli *cli, const char *spec, ImpProbeInfo *out_info,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
