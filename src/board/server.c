#include "board/server.h"
#include "board/control.h"
#include "board/supply.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* DAP header */
#define HEADER_BYTES  8u
#define TYPE_REQUEST  1u
#define TYPE_RESPONSE 2u
#define CMD_QUEUE     0x7Eu

#define IN_BYTES       (16u * (HEADER_BYTES + IMP_BOARD_PACKET_SIZE_MAX))
#define OUT_BYTES      (256u * 1024u) /* responses of one turn: whatever was read at once, and the held packets */
#define HELD_MAX       IMP_BOARD_PACKET_COUNT_MAX
#define CONTROLS_MAX   8u /* clients of the control and power ports together */
#define SEND_TIMEOUT_S 5 /* a client that does not read its answers is dropped */
#define BACKLOG        8
/* A longer gap of the wall clock is cut to this while the core runs: emulating what nobody looks at costs CPU, and the next
 * host waits for it (an emulated second is a tenth of one here, but many seconds under ThreadSanitizer). */
#define RUN_GAP_MAX_NS 100000000ull
#define UART_POLL_MS   10 /* while somebody listens to a running chip */

static const uint8_t signature[4] = {0x44, 0x41, 0x50, 0x00};

struct control_client {
    int fd;
    bool power; /* speaks SCPI with the supply */
    size_t used;
    char line[IMP_CONTROL_LINE_MAX];
};

struct held_packet { /* DAP_QueueCommands: waits for a packet of another kind */
    uint16_t size;
    uint8_t bytes[IMP_BOARD_PACKET_SIZE_MAX];
};

struct ImpServer {
    ImpBoard *board;
    struct imp_server_options options;
    int dap_listen, control_listen, power_listen, uart_listen;
    int dap_fd, uart_fd;
    size_t in_used, out_used;
    uint8_t in[IN_BYTES], out[OUT_BYTES];
    struct held_packet held[HELD_MAX];
    unsigned held_count;
    uint64_t late_until_ns; /* wall clock: a fault makes the next packet's answer wait until then; 0: no */
    struct control_client controls[CONTROLS_MAX];
    uint64_t wall_ns; /* when the last request had been answered */
    struct imp_supply supply;
    struct imp_server_addrs addrs;
    bool stop;
};

static uint64_t wall_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Behind sockets the chip also lives while nobody clocks the wire. */
static void follow_wall_clock(ImpServer *s)
{
    uint64_t now = wall_clock_ns(), gap = now - s->wall_ns;
    s->wall_ns = now;
    if (s->options.wire_time)
        return;
    if (gap > RUN_GAP_MAX_NS && imp_board_is_running(s->board))
        gap = RUN_GAP_MAX_NS;
    imp_board_advance_to_ns(s->board, imp_board_now_ns(s->board) + gap);
}

/* ---- sockets ---- */

static bool split_addr(const char *addr, char host[IMP_SERVER_ADDR_MAX], const char **port)
{
    const char *colon = strrchr(addr, ':');
    size_t n = colon ? (size_t)(colon - addr) : 0;
    if (!colon || !colon[1] || n == 0 || n >= IMP_SERVER_ADDR_MAX)
        return false;
    bool bracketed = addr[0] == '[' && n > 2 && addr[n - 1] == ']';
    snprintf(host, IMP_SERVER_ADDR_MAX, "%.*s", (int)(bracketed ? n - 2 : n), addr + bracketed);
    *port = colon + 1;
    return true;
}

static void name_of(int fd, char out[IMP_SERVER_ADDR_MAX])
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    char host[48], port[8];
    out[0] = 0;
    if (getsockname(fd, (struct sockaddr *)&a, &n) == 0 &&
        getnameinfo((struct sockaddr *)&a, n, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(out, IMP_SERVER_ADDR_MAX, a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static int open_listener(const char *addr, char out[IMP_SERVER_ADDR_MAX], char why[IMP_SERVER_WHY_MAX])
{
    char host[IMP_SERVER_ADDR_MAX];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    if (!split_addr(addr, host, &port)) {
        snprintf(why, IMP_SERVER_WHY_MAX, "%.64s: an address is HOST:PORT, such as 127.0.0.1:4441", addr);
        return -1;
    }
    int e = getaddrinfo(host, port, &hints, &found);
    if (e) {
        snprintf(why, IMP_SERVER_WHY_MAX, "%.64s: %s", addr, gai_strerror(e));
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        snprintf(why, IMP_SERVER_WHY_MAX, "cannot listen on %.64s: %s", addr, strerror(errno));
        if (fd >= 0)
            close(fd);
        fd = -1;
    } else {
        name_of(fd, out);
    }
    freeaddrinfo(found);
    return fd;
}

static int accept_client(int listener)
{
    struct timeval t = {.tv_sec = SEND_TIMEOUT_S};
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    return fd;
}

static bool send_all(int fd, const void *data, size_t size)
{
    const uint8_t *p = data;
    while (size) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- DAP ---- */

static void drop_dap(ImpServer *s)
{
    if (s->dap_fd >= 0)
        close(s->dap_fd);
    s->dap_fd = -1;
    s->in_used = s->out_used = 0;
    s->held_count = 0;
    s->late_until_ns = 0;
}

static bool flush_dap(ImpServer *s)
{
    bool ok = send_all(s->dap_fd, s->out, s->out_used);
    s->out_used = 0;
    return ok;
}

static bool answer(ImpServer *s, const uint8_t *request, size_t size)
{
    if (OUT_BYTES - s->out_used < HEADER_BYTES + IMP_BOARD_PACKET_SIZE_MAX && !flush_dap(s))
        return false;
    uint8_t *h = s->out + s->out_used;
    size_t n = imp_board_dap(s->board, request, size, h + HEADER_BYTES, IMP_BOARD_PACKET_SIZE_MAX);
    if (n == 0)
        return true; /* this command has no response */
    memcpy(h, signature, 4);
    h[4] = (uint8_t)n;
    h[5] = (uint8_t)(n >> 8);
    h[6] = TYPE_RESPONSE;
    h[7] = 0;
    s->out_used += HEADER_BYTES + n;
    return true;
}

static bool release_held(ImpServer *s)
{
    bool ok = true;
    for (unsigned i = 0; i < s->held_count && ok; i++)
        ok = answer(s, s->held[i].bytes, s->held[i].size);
    s->held_count = 0;
    return ok;
}

static bool take_packet(ImpServer *s, const uint8_t *request, size_t size)
{
    if (size && request[0] == CMD_QUEUE && s->held_count + 1 < imp_board_get_packet_count(s->board)) {
        struct held_packet *h = &s->held[s->held_count++];
        h->size = (uint16_t)size;
        memcpy(h->bytes, request, size);
        return true;
    }
    return release_held(s) && answer(s, request, size);
}

/* A packet, with what a fault of the connection does to it. *out_wait: not now. false: the connection ends. */
static bool meet_fate(ImpServer *s, const uint8_t *request, size_t size, bool *out_wait)
{
    uint64_t late_ns = 0;
    enum imp_board_packet_fate fate = IMP_BOARD_PACKET_ARRIVES;
    *out_wait = false;
    if (s->late_until_ns == 0)
        fate = imp_board_packet_fate(s->board, &late_ns);
    s->late_until_ns = late_ns ? wall_clock_ns() + late_ns : 0;
    switch (fate) {
    case IMP_BOARD_PACKET_UNPLUGGED:
        return false;
    case IMP_BOARD_PACKET_REQUEST_LOST:
        return true;
    case IMP_BOARD_PACKET_ANSWER_LOST:
        if (!flush_dap(s) || !take_packet(s, request, size))
            return false;
        s->out_used = 0;
        return true;
    case IMP_BOARD_PACKET_ARRIVES:
        break;
    }
    *out_wait = late_ns != 0;
    return *out_wait || take_packet(s, request, size);
}

/* false: the client broke the framing, or is gone */
static bool serve_input(ImpServer *s)
{
    size_t at = 0;
    bool wait = false;
    while (!wait && s->in_used - at >= HEADER_BYTES) {
        const uint8_t *h = s->in + at;
        size_t n = h[4] | (size_t)h[5] << 8;
        if (memcmp(h, signature, 4) != 0 || h[6] != TYPE_REQUEST || n > IMP_BOARD_PACKET_SIZE_MAX) {
            fprintf(stderr, "imprint-board: DAP client sent a bad header: connection closed\n");
            return false;
        }
        if (s->in_used - at < HEADER_BYTES + n)
            break;
        if (!meet_fate(s, h + HEADER_BYTES, n, &wait))
            return false;
        at += wait ? 0 : HEADER_BYTES + n;
    }
    memmove(s->in, s->in + at, s->in_used - at);
    s->in_used -= at;
    return flush_dap(s);
}

static void go_on(ImpServer *s)
{
    follow_wall_clock(s);
    if (!serve_input(s))
        drop_dap(s);
    s->wall_ns = wall_clock_ns();
}

static void read_dap(ImpServer *s)
{
    ssize_t n = recv(s->dap_fd, s->in + s->in_used, IN_BYTES - s->in_used, 0);
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        drop_dap(s);
        return;
    }
    s->in_used += (size_t)n;
    go_on(s);
}

static void accept_dap(ImpServer *s)
{
    int one = 1;
    s->dap_fd = accept_client(s->dap_listen);
    follow_wall_clock(s); /* a span of the fault model may be over */
    if (s->dap_fd >= 0 && imp_board_is_unplugged(s->board))
        drop_dap(s);
    if (s->dap_fd >= 0)
        (void)setsockopt(s->dap_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* ---- control ---- */

static void drop_control(struct control_client *c)
{
    close(c->fd);
    c->fd = -1;
    c->used = 0;
}

/* false: there is no answer */
static bool answer_line(ImpServer *s, bool power, char *line, char reply[IMP_CONTROL_LINE_MAX])
{
    static const char supply[] = "supply";
    if (power) {
        imp_supply_execute(&s->supply, line, reply);
        return reply[0] != 0;
    }
    if (s->power_listen >= 0 && strncmp(line, supply, sizeof supply - 1) == 0)
        imp_supply_control(&s->supply, line + sizeof supply - 1, reply);
    else if (!imp_control_execute(s->board, line, reply))
        s->stop = true;
    return true;
}

static bool execute_line(ImpServer *s, struct control_client *c, char *line)
{
    char reply[IMP_CONTROL_LINE_MAX + 1];
    _Static_assert(IMP_CONTROL_LINE_MAX >= IMP_SUPPLY_LINE_MAX, "answers of both ports fit");
    follow_wall_clock(s);
    bool ok = true;
    if (answer_line(s, c->power, line, reply)) {
        size_t n = strlen(reply);
        reply[n] = '\n';
        ok = send_all(c->fd, reply, n + 1);
    }
    s->wall_ns = wall_clock_ns();
    return ok;
}

static void read_control(ImpServer *s, struct control_client *c)
{
    ssize_t n = recv(c->fd, c->line + c->used, sizeof c->line - c->used, 0);
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        drop_control(c);
        return;
    }
    c->used += (size_t)n;
    char *nl;
    while ((nl = memchr(c->line, '\n', c->used)) != NULL) {
        size_t len = (size_t)(nl - c->line) + 1;
        *nl = 0;
        if (nl > c->line && nl[-1] == '\r')
            nl[-1] = 0;
        if (!execute_line(s, c, c->line)) {
            drop_control(c);
            return;
        }
        memmove(c->line, c->line + len, c->used - len);
        c->used -= len;
    }
    if (c->used == sizeof c->line) {
        static const char too_long[] = "error line too long\n";
        (void)send_all(c->fd, too_long, sizeof too_long - 1);
        drop_control(c);
    }
}

static void accept_control(ImpServer *s, bool power)
{
    int fd = accept_client(power ? s->power_listen : s->control_listen);
    for (unsigned i = 0; i < CONTROLS_MAX && fd >= 0; i++) {
        if (s->controls[i].fd < 0) {
            s->controls[i] = (struct control_client){.fd = fd, .power = power};
            return;
        }
    }
    if (fd >= 0) {
        static const char full[] = "error too many control connections\n";
        (void)send_all(fd, full, sizeof full - 1);
        close(fd);
    }
}

/* ---- UART ---- */

static void drop_uart(ImpServer *s)
{
    if (s->uart_fd >= 0)
        close(s->uart_fd);
    s->uart_fd = -1;
}

/* What the chip has sent goes to the client; without one it is lost. */
static void serve_uart(ImpServer *s)
{
    uint8_t bytes[256];
    size_t n;
    while ((n = imp_board_uart_read(s->board, bytes, sizeof bytes)) > 0)
        if (s->uart_fd >= 0 && !send_all(s->uart_fd, bytes, n))
            drop_uart(s);
}

static void accept_uart(ImpServer *s)
{
    serve_uart(s); /* what came before is not for this client */
    drop_uart(s);
    s->uart_fd = accept_client(s->uart_listen);
    s->wall_ns = wall_clock_ns(); /* it listens from now on */
}

/* Nothing is taken from the client: the chip's receiver is not there. */
static void read_uart(ImpServer *s)
{
    uint8_t bytes[256];
    ssize_t n = recv(s->uart_fd, bytes, sizeof bytes, 0);
    if (n == 0 || (n < 0 && errno != EINTR))
        drop_uart(s);
}

static bool uart_needs_time(const ImpServer *s)
{
    return s->uart_fd >= 0 && !s->options.wire_time &&
           (imp_board_is_running(s->board) || imp_board_uart_is_sending(s->board));
}

/* ---- the loop ---- */

ImpServer *imp_server_open(ImpBoard *board, const struct imp_server_options *options,
                           char why[IMP_SERVER_WHY_MAX])
{
    ImpServer *s = calloc(1, sizeof *s);
    if (!s) {
        snprintf(why, IMP_SERVER_WHY_MAX, "out of memory");
        return NULL;
    }
    s->board = board;
    s->options = *options;
    s->dap_fd = s->control_listen = s->power_listen = s->uart_listen = s->uart_fd = -1;
    for (unsigned i = 0; i < CONTROLS_MAX; i++)
        s->controls[i].fd = -1;
    s->dap_listen = open_listener(options->dap_addr, s->addrs.dap, why);
    if (s->dap_listen >= 0 && options->control_addr)
        s->control_listen = open_listener(options->control_addr, s->addrs.control, why);
    bool ok = s->dap_listen >= 0 && (!options->control_addr || s->control_listen >= 0);
    if (ok && options->power_addr) {
        s->power_listen = open_listener(options->power_addr, s->addrs.power, why);
        ok = s->power_listen >= 0;
        imp_supply_init(&s->supply, board);
    }
    if (ok && options->uart_addr) {
        s->uart_listen = open_listener(options->uart_addr, s->addrs.uart, why);
        ok = s->uart_listen >= 0;
    }
    if (!ok) {
        imp_server_close(s);
        return NULL;
    }
    s->wall_ns = wall_clock_ns();
    return s;
}

void imp_server_get_addrs(const ImpServer *s, struct imp_server_addrs *out)
{
    *out = s->addrs;
}

enum {
    P_STOP,
    P_DAP,
    P_CONTROL_LISTEN,
    P_POWER_LISTEN,
    P_UART_LISTEN,
    P_UART,
    P_CONTROL0,
    P_COUNT = P_CONTROL0 + CONTROLS_MAX
};

/* For poll: until the late answer is due, -1 if none is. */
static int late_ms(const ImpServer *s)
{
    uint64_t now = wall_clock_ns(), left_ms;
    if (s->late_until_ns == 0)
        return -1;
    left_ms = s->late_until_ns > now ? (s->late_until_ns - now) / 1000000 + 1 : 0;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

static int wait_ms(const ImpServer *s)
{
    int late = late_ms(s);
    return uart_needs_time(s) && (late < 0 || late > UART_POLL_MS) ? UART_POLL_MS : late;
}

int imp_server_run(ImpServer *s, char why[IMP_SERVER_WHY_MAX])
{
    while (!s->stop) {
        struct pollfd p[P_COUNT];
        p[P_STOP] = (struct pollfd){.fd = s->options.stop_fd, .events = POLLIN};
        /* the next DAP client waits in the listen queue while one is served */
        p[P_DAP] = (struct pollfd){.fd = s->late_until_ns ? -1
                                         : s->dap_fd >= 0 ? s->dap_fd
                                                          : s->dap_listen,
                                   .events = POLLIN};
        p[P_CONTROL_LISTEN] = (struct pollfd){.fd = s->control_listen, .events = POLLIN};
        p[P_POWER_LISTEN] = (struct pollfd){.fd = s->power_listen, .events = POLLIN};
        p[P_UART_LISTEN] = (struct pollfd){.fd = s->uart_listen, .events = POLLIN};
        p[P_UART] = (struct pollfd){.fd = s->uart_fd, .events = POLLIN};
        for (unsigned i = 0; i < CONTROLS_MAX; i++)
            p[P_CONTROL0 + i] = (struct pollfd){.fd = s->controls[i].fd, .events = POLLIN};
        if (poll(p, P_COUNT, wait_ms(s)) < 0) {
            if (errno == EINTR)
                continue;
            snprintf(why, IMP_SERVER_WHY_MAX, "poll: %s", strerror(errno));
            return -1;
        }
        if (p[P_STOP].revents)
            break;
        for (unsigned i = 0; i < CONTROLS_MAX; i++)
            if (p[P_CONTROL0 + i].revents)
                read_control(s, &s->controls[i]);
        if (p[P_CONTROL_LISTEN].revents)
            accept_control(s, false);
        if (p[P_POWER_LISTEN].revents)
            accept_control(s, true);
        if (s->late_until_ns && late_ms(s) == 0)
            go_on(s);
        if (p[P_DAP].revents) {
            if (s->dap_fd >= 0)
                read_dap(s);
            else
                accept_dap(s);
        }
        if (p[P_UART].revents)
            read_uart(s);
        if (p[P_UART_LISTEN].revents)
            accept_uart(s);
        if (uart_needs_time(s)) {
            follow_wall_clock(s);
            s->wall_ns = wall_clock_ns();
        }
        serve_uart(s);
    }
    return 0;
}

void imp_server_close(ImpServer *s)
{
    if (!s)
        return;
    drop_dap(s);
    for (unsigned i = 0; i < CONTROLS_MAX; i++)
        if (s->controls[i].fd >= 0)
            drop_control(&s->controls[i]);
    if (s->dap_listen >= 0)
        close(s->dap_listen);
    if (s->control_listen >= 0)
        close(s->control_listen);
    if (s->power_listen >= 0)
        close(s->power_listen);
    drop_uart(s);
    if (s->uart_listen >= 0)
        close(s->uart_listen);
    free(s);
}
