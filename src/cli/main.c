/* imprint: what the machine gives, then src/cli. */
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "http/client/client.h"
#include "image/secret.h"

int main(int argc, char **argv)
{
    imp_secret_protect_process();
    imp_http_client_init();
    g_autofree char *data_dir = g_build_filename(g_get_user_data_dir(), "imprint", NULL);
    g_autofree char *config_dir = g_build_filename(g_get_user_config_dir(), "imprint", NULL);
    g_autofree char *packs_dir = g_build_filename(data_dir, "packs", NULL);
    const char *no_colour = getenv("NO_COLOR");
    ImpCliEnv env = {
        .in = stdin,
        .out = stdout,
        .err = stderr,
        .out_terminal = isatty(STDOUT_FILENO),
        .err_terminal = isatty(STDERR_FILENO),
        .no_colour = no_colour != NULL && no_colour[0] != '\0', /* no-color.org: set and not empty */
        .clock = imp_clock_system(),
        .random = imp_random_system(),
        .data_dir = data_dir,
        .packs_dir = packs_dir,
        .config_dir = config_dir,
    };
    return imp_cli_main(argc, argv, &env);
}
