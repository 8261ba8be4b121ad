/* imprint run --on-contact: a launch for every board that is put in, at each of the probes, until somebody ends it.
 *
 * Thread rule: one thread; runs the main context of its caller. */
#pragma once

#include "cli/cli.h"
#include "launch/launch.h"

/* specs: NULL-terminated. several: name the port in each line. options: of every launch, without port, port_name, changed
 * and user. Returns after SIGINT or SIGTERM (a second one cancels the launches at work), or when no more units may be made. Writes
 * a summary, sets cli->result and cli->told. FALSE: the error of the worst board. */
gboolean imp_cli_run_on_contact(ImpCli *cli, char *const *specs, gboolean several,
                                const ImpLaunchOptions *options, GError **error);
