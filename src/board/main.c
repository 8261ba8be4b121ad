/* imprint-board: one virtual board behind TCP. */
#include "board/board.h"
#include "board/control.h"
#include "board/server.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define FAULTS_MAX 16u
enum { EXIT_USAGE = 2 };

static const char usage[] =
    "Usage: imprint-board [OPTION...]\n"
    "One virtual board: a chip, its probe (CMSIS-DAP over TCP) and a control port.\n"
    "\n"
    "  --chip NAME            chip in the socket (default nrf51822)\n"
    "  --listen HOST:PORT     CMSIS-DAP port; port 0: any (default 127.0.0.1:4441)\n"
    "  --control HOST:PORT    control port; none without this option\n"
    "  --power-port HOST:PORT SCPI port of the supply that feeds the board; the board is off until it is "
    "switched on\n"
    "  --uart-port HOST:PORT  what the chip sends on its UARTs, as raw bytes\n"
    "  --seed N               seed of chip IDs, random contents, and the probe's serial number (default 1)\n"
    "  --serial TEXT          serial number of the probe\n"
    "  --fill blank|random    code flash of the first chip (default blank)\n"
    "  --load FILE[@ADDR]     binary contents of the first chip's memory from ADDR (default: flash) on\n"
    "  --packet-size N        bytes of a DAP packet, 64 to 1024 (default 512)\n"
    "  --packet-count N       packets the probe can hold, 1 to 255 (default 4)\n"
    "  --fault TEXT           a fault of docs/faults.md, such as `stuck-bit ADDR BIT`; may be given again\n"
    "  --empty                start with an empty socket\n"
    "  --wire-time            virtual time follows the wire alone, not the wall clock\n"
    "  --port-file FILE       write the addresses to FILE, in the form of the ready line\n"
    "  --help, --version\n"
    "\n"
    "When ready it prints one line: ready dap=HOST:PORT control=HOST:PORT power=HOST:PORT uart=HOST:PORT\n"
    "It ends on SIGTERM, SIGINT, or `quit` on the control port. Commands and the models of time and faults: "
    "docs/board.md.\n";

struct arguments {
    const char *chip, *port_file, *load;
    const char *faults[FAULTS_MAX];
    unsigned fault_count;
    uint64_t seed;
    bool empty;
    struct imp_board_options board;
    struct imp_server_options server;
};

enum {
    O_CHIP = 256,
    O_LISTEN,
    O_CONTROL,
    O_POWER,
    O_UART,
    O_SEED,
    O_SERIAL,
    O_FILL,
    O_LOAD,
    O_SIZE,
    O_COUNT,
    O_FAULT,
    O_EMPTY,
    O_WIRE,
    O_FILE,
    O_HELP,
    O_VERSION
};

static const struct option options[] = {
    {"chip", 1, 0, O_CHIP},        {"listen", 1, 0, O_LISTEN},      {"control", 1, 0, O_CONTROL},
    {"power-port", 1, 0, O_POWER}, {"uart-port", 1, 0, O_UART},     {"seed", 1, 0, O_SEED},
    {"serial", 1, 0, O_SERIAL},    {"fill", 1, 0, O_FILL},          {"load", 1, 0, O_LOAD},
    {"packet-size", 1, 0, O_SIZE}, {"packet-count", 1, 0, O_COUNT}, {"fault", 1, 0, O_FAULT},
    {"empty", 0, 0, O_EMPTY},      {"wire-time", 0, 0, O_WIRE},     {"port-file", 1, 0, O_FILE},
    {"help", 0, 0, O_HELP},        {"version", 0, 0, O_VERSION},    {0}};

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    if (errno || *end || v < min || v > max)
        return false;
    *out = v;
    return true;
}

static int bad_argument(const char *option, const char *value, const char *want)
{
    fprintf(stderr, "imprint-board: --%s %s: %s\n", option, value, want);
    return EXIT_USAGE;
}

/* -1: go on; otherwise the exit status */
static int take_option(struct arguments *a, int o)
{
    uint64_t n = 0;
    switch (o) {
    case O_CHIP:
        a->chip = optarg;
        break;
    case O_LISTEN:
        a->server.dap_addr = optarg;
        break;
    case O_CONTROL:
        a->server.control_addr = optarg;
        break;
    case O_POWER:
        a->server.power_addr = optarg;
        break;
    case O_UART:
        a->server.uart_addr = optarg;
        break;
    case O_SEED:
        if (!number(optarg, 0, UINT64_MAX, &a->seed))
            return bad_argument("seed", optarg, "must be a number");
        break;
    case O_SERIAL:
        a->board.serial = optarg;
        break;
    case O_FILL:
        if (strcmp(optarg, "blank") != 0 && strcmp(optarg, "random") != 0)
            return bad_argument("fill", optarg, "must be `blank` or `random`");
        a->board.fill = optarg[0] == 'r' ? IMP_BOARD_FILL_RANDOM : IMP_BOARD_FILL_BLANK;
        break;
    case O_LOAD:
        a->load = optarg;
        break;
    case O_SIZE:
        if (!number(optarg, IMP_BOARD_PACKET_SIZE_MIN, IMP_BOARD_PACKET_SIZE_MAX, &n))
            return bad_argument("packet-size", optarg, "must be 64 to 1024");
        a->board.packet_size = (uint16_t)n;
        break;
    case O_COUNT:
        if (!number(optarg, 1, IMP_BOARD_PACKET_COUNT_MAX, &n))
            return bad_argument("packet-count", optarg, "must be 1 to 255");
        a->board.packet_count = (uint8_t)n;
        break;
    case O_FAULT:
        if (a->fault_count == FAULTS_MAX)
            return bad_argument("fault", optarg, "is one too many");
        a->faults[a->fault_count++] = optarg;
        break;
    case O_EMPTY:
        a->empty = true;
        break;
    case O_WIRE:
        a->server.wire_time = true;
        break;
    case O_FILE:
        a->port_file = optarg;
        break;
    case O_HELP:
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    case O_VERSION:
        puts("imprint-board " IMP_VERSION);
        return EXIT_SUCCESS;
    default: /* getopt has said what is wrong */
        fputs("imprint-board: --help lists the options\n", stderr);
        return EXIT_USAGE;
    }
    return -1;
}

static int parse(struct arguments *a, int argc, char **argv)
{
    int o;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        int r = take_option(a, o);
        if (r >= 0)
            return r;
    }
    if (optind < argc) {
        fprintf(stderr, "imprint-board: what is `%s`? --help lists the options\n", argv[optind]);
        return EXIT_USAGE;
    }
    return -1;
}

/* FILE or FILE@ADDR, as a control command */
static bool load_file(ImpBoard *b, const char *what, char reply[IMP_CONTROL_LINE_MAX])
{
    char line[IMP_CONTROL_LINE_MAX];
    const char *at = strrchr(what, '@');
    size_t n = at ? (size_t)(at - what) : strlen(what);
    int len = snprintf(line, sizeof line, "load \"%.*s\" %s", (int)n, what, at ? at + 1 : "");
    if (len < 0 || (size_t)len >= sizeof line) {
        snprintf(reply, IMP_CONTROL_LINE_MAX, "error name too long");
        return false;
    }
    (void)imp_control_execute(b, line, reply);
    return strncmp(reply, "ok", 2) == 0;
}

static ImpBoard *make_board(const struct arguments *a)
{
    const char *why = NULL;
    char reply[IMP_CONTROL_LINE_MAX];
    ImpBoard *b = imp_board_new(a->chip, a->seed, &a->board, &why);
    if (!b) {
        fprintf(stderr, "imprint-board: chip %s: %s; known:", a->chip, why);
        for (const char *const *n = imp_board_chips(); *n; n++)
            fprintf(stderr, " %s", *n);
        fputc('\n', stderr);
        return NULL;
    }
    for (unsigned i = 0; i < a->fault_count; i++) {
        if (!imp_control_set_fault(b, a->faults[i], reply)) {
            fprintf(stderr, "imprint-board: --fault \"%s\": %s\n", a->faults[i], reply + strlen("error "));
            imp_board_free(b);
            return NULL;
        }
    }
    if (a->load && !load_file(b, a->load, reply)) {
        fprintf(stderr, "imprint-board: --load %s: %s\n", a->load, reply + strlen("error "));
        imp_board_free(b);
        return NULL;
    }
    if (a->load) { /* the chip was powered up with what it holds now */
        imp_board_set_power(b, false);
        imp_board_set_power(b, true);
    }
    if (a->empty)
        imp_board_remove(b);
    return b;
}

static bool write_port_file(const char *path, const char *text)
{
    char tmp[4096];
    int n = snprintf(tmp, sizeof tmp, "%s.new", path);
    FILE *f = n > 0 && (size_t)n < sizeof tmp ? fopen(tmp, "we") : NULL;
    bool ok = f && fputs(text, f) >= 0;
    if (f && fclose(f) != 0)
        ok = false;
    return ok && rename(tmp, path) == 0; /* whoever waits for the file sees it whole */
}

static int serve(const struct arguments *a, ImpBoard *b)
{
    char why[IMP_SERVER_WHY_MAX] = "";
    char ready[sizeof(struct imp_server_addrs) + 40];
    struct imp_server_addrs addrs;
    ImpServer *s = imp_server_open(b, &a->server, why);
    if (!s) {
        fprintf(stderr, "imprint-board: %s\n", why);
        return EXIT_FAILURE;
    }
    imp_server_get_addrs(s, &addrs);
    snprintf(ready, sizeof ready, "ready dap=%s%s%s%s%s%s%s\n", addrs.dap,
             addrs.control[0] ? " control=" : "", addrs.control, addrs.power[0] ? " power=" : "", addrs.power,
             addrs.uart[0] ? " uart=" : "", addrs.uart);
    int status = EXIT_SUCCESS;
    if (a->port_file && !write_port_file(a->port_file, ready)) {
        fprintf(stderr, "imprint-board: cannot write %s: %s\n", a->port_file, strerror(errno));
        status = EXIT_FAILURE;
    } else {
        fputs(ready, stdout);
        fflush(stdout);
        if (imp_server_run(s, why) < 0) {
            fprintf(stderr, "imprint-board: %s\n", why);
            status = EXIT_FAILURE;
        }
    }
    imp_server_close(s);
    return status;
}

int main(int argc, char **argv)
{
    struct arguments a = {.chip = "nrf51822", .seed = 1};
    a.server.dap_addr = "127.0.0.1:4441";
    int r = parse(&a, argc, argv);
    if (r >= 0)
        return r;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    a.server.stop_fd = signalfd(-1, &set, SFD_CLOEXEC);
    ImpBoard *b = make_board(&a);
    if (!b)
        return EXIT_USAGE;
    r = serve(&a, b);
    imp_board_free(b);
    close(a.server.stop_fd);
    return r;
}
