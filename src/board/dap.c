/* The probe: a CMSIS-DAP v2 command processor that clocks the SWD line (CMSIS-DAP 2.1 specification, "Commands").
 *
 * Requests come from anywhere and may be anything: a command that is unknown, cut off, or whose response cannot fit is answered
 * by a single 0xFF. Every loop is bounded by counts of the request. */
#include "board/machine.h"

#include <string.h>

#define INVALID      0xFFu
#define DAP_OK       0x00u
#define DAP_ERROR    0xFFu
#define SWCLK_HZ_MIN 1000u
#define SWCLK_HZ_MAX 100000000u
#define PIN_WAIT_MAX 3000000u /* us */

#define VENDOR   "Imprint"
#define PRODUCT  "Imprint Virtual Board CMSIS-DAP"
#define PROTOCOL "2.1.0"
#define FIRMWARE "0.1.0"

enum {
    CMD_INFO = 0x00,
    CMD_HOST_STATUS = 0x01,
    CMD_CONNECT = 0x02,
    CMD_DISCONNECT = 0x03,
    CMD_TRANSFER_CONFIGURE = 0x04,
    CMD_TRANSFER = 0x05,
    CMD_TRANSFER_BLOCK = 0x06,
    CMD_TRANSFER_ABORT = 0x07,
    CMD_WRITE_ABORT = 0x08,
    CMD_DELAY = 0x09,
    CMD_RESET_TARGET = 0x0A,
    CMD_SWJ_PINS = 0x10,
    CMD_SWJ_CLOCK = 0x11,
    CMD_SWJ_SEQUENCE = 0x12,
    CMD_SWD_CONFIGURE = 0x13,
    CMD_SWD_SEQUENCE = 0x1D,
    CMD_QUEUE = 0x7E,
    CMD_EXECUTE = 0x7F
};
enum {
    INFO_VENDOR = 1,
    INFO_PRODUCT,
    INFO_SERIAL,
    INFO_PROTOCOL,
    INFO_FIRMWARE = 9,
    INFO_CAPS = 0xF0,
    INFO_COUNT = 0xFE,
    INFO_SIZE = 0xFF
};
enum { CAP_SWD = 1 << 0, CAP_ATOMIC = 1 << 4 };
enum { PIN_SWCLK = 1 << 0, PIN_SWDIO = 1 << 1, PIN_NRESET = 1 << 7 };
enum { T_MATCH_VALUE = 1 << 4, T_MATCH_MASK = 1 << 5, T_TIMESTAMP = 1 << 7 };
enum { RESP_PROTOCOL_ERROR = 1 << 3, RESP_MISMATCH = 1 << 4 };
enum { RDBUFF = REQ_READ | REQ_A2 | REQ_A3 };

/* A request being read, a response being written. */
struct io {
    const uint8_t *in;
    size_t in_left;
    uint8_t *out;
    size_t out_size, out_cap;
    bool bad; /* ran out of request, or out of room for the response */
};

static uint32_t take(struct io *io, size_t bytes)
{
    uint32_t v = 0;
    if (io->in_left < bytes) {
        io->bad = true;
        io->in_left = 0;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        v |= (uint32_t)io->in[i] << 8 * i;
    io->in += bytes;
    io->in_left -= bytes;
    return v;
}

static void give(struct io *io, uint32_t v, size_t bytes)
{
    if (io->out_cap - io->out_size < bytes) {
        io->bad = true;
        return;
    }
    for (size_t i = 0; i < bytes; i++)
        io->out[io->out_size++] = (uint8_t)(v >> 8 * i);
}

void dap_power_up(ImpBoard *b)
{
    b->dap = (struct dap){.turnaround = 1, .wait_retries = 100, .swclk = true, .swdio = true, .nreset = true};
}

/* ---- SWD ---- */

static void put_bits(ImpBoard *b, uint64_t bits, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        line_cycle(b, true, bits >> i & 1);
}

static uint64_t get_bits(ImpBoard *b, unsigned count)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < count; i++)
        v |= (uint64_t)line_cycle(b, false, true) << i;
    return v;
}

/* One SWD packet. Returns the acknowledge, or RESP_PROTOCOL_ERROR for bad parity of read data. */
static uint8_t swd_once(ImpBoard *b, uint8_t req, uint32_t *data)
{
    const struct dap *d = &b->dap;
    unsigned parity = (unsigned)__builtin_popcount(req & 0xF) & 1;
    bool read = req & REQ_READ;
    put_bits(b, 1u | (req & 0xFu) << 1 | parity << 5 | 1u << 7, 8);
    (void)get_bits(b, d->turnaround);
    uint8_t ack = (uint8_t)get_bits(b, 3);
    if (ack == ACK_OK) {
        if (read) {
            uint64_t v = get_bits(b, 33);
            (void)get_bits(b, d->turnaround);
            *data = (uint32_t)v;
            if ((unsigned)(v >> 32) != ((unsigned)__builtin_popcount((uint32_t)v) & 1))
                ack = RESP_PROTOCOL_ERROR;
        } else {
            (void)get_bits(b, d->turnaround);
            put_bits(b, *data | (uint64_t)(__builtin_popcount(*data) & 1) << 32, 33);
        }
        put_bits(b, 0, d->idle_cycles);
    } else if (ack == ACK_WAIT || ack == ACK_FAULT) {
        if (d->data_phase && read)
            (void)get_bits(b, 33);
        (void)get_bits(b, d->turnaround);
        if (d->data_phase && !read)
            put_bits(b, 0, 33);
    } else { /* nobody, or noise: let a data phase pass */
        b->counters.no_acks++;
        (void)get_bits(b, d->turnaround + 33);
        ack = ACK_NONE;
    }
    return ack;
}

/* With the configured retries on WAIT. */
static uint8_t swd(ImpBoard *b, uint8_t req, uint32_t *data)
{
    uint8_t ack = swd_once(b, req, data);
    for (unsigned n = 0; ack == ACK_WAIT && n < b->dap.wait_retries; n++)
        ack = swd_once(b, req, data);
    return ack;
}

/* ---- DAP_Transfer ---- */

/* A read with value match: repeated until (value & mask) == match, at most match_retries more times. */
static uint8_t read_match(ImpBoard *b, uint8_t req, uint32_t match)
{
    uint32_t v = 0;
    uint8_t ack;
    if (req & REQ_AP) { /* posted: the first read only starts it */
        ack = swd(b, req, &v);
        if (ack != ACK_OK)
            return ack;
    }
    for (unsigned n = 0;; n++) {
        ack = swd(b, req, &v);
        if (ack != ACK_OK)
            return ack;
        if ((v & b->dap.match_mask) == match)
            return ack;
        if (n == b->dap.match_retries)
            return ack | RESP_MISMATCH;
    }
}

struct transfer {
    bool posted; /* an AP read has been started whose result is not fetched yet */
    bool check_write; /* the last write must be confirmed by a read of RDBUFF */
    uint8_t ack;
};

/* Fetch the result of a posted read. */
static void finish_posted(ImpBoard *b, struct io *io, struct transfer *t)
{
    uint32_t v = 0;
    t->posted = false;
    t->ack = swd(b, RDBUFF, &v);
    if (t->ack == ACK_OK)
        give(io, v, 4);
}

static void transfer_read(ImpBoard *b, struct io *io, uint8_t req, struct transfer *t)
{
    uint32_t v = 0;
    if (!(req & REQ_AP)) {
        t->ack = swd(b, req & 0xF, &v);
        if (t->ack == ACK_OK)
            give(io, v, 4);
        return;
    }
    t->ack = swd(b, req & 0xF, &v);
    if (t->ack == ACK_OK && t->posted)
        give(io, v, 4); /* the result of the one before */
    t->posted = t->ack == ACK_OK;
}

/* One entry of the list; its data has been taken. Returns true if the entry counts as executed. */
static bool transfer_one(ImpBoard *b, struct io *io, uint8_t req, uint32_t data, struct transfer *t)
{
    bool plain_ap_read = (req & (REQ_AP | REQ_READ | T_MATCH_VALUE)) == (REQ_AP | REQ_READ);
    if (t->posted && !plain_ap_read) {
        finish_posted(b, io, t);
        if (t->ack != ACK_OK)
            return false;
    }
    if (req & T_TIMESTAMP) { /* no timer: not among the capabilities */
        t->ack = RESP_PROTOCOL_ERROR;
        return false;
    }
    if (req & REQ_READ) {
        t->check_write = false;
        if (req & T_MATCH_VALUE)
            t->ack = read_match(b, req & 0xF, data);
        else
            transfer_read(b, io, req, t);
    } else if (req & T_MATCH_MASK) {
        b->dap.match_mask = data;
        t->ack = ACK_OK;
    } else {
        t->ack = swd(b, req & 0xF, &data);
        t->check_write = true;
    }
    return t->ack == ACK_OK;
}

static void cmd_transfer(ImpBoard *b, struct io *io)
{
    struct transfer t = {.ack = 0};
    unsigned executed = 0;
    (void)take(io, 1); /* DAP index: JTAG only */
    unsigned count = take(io, 1);
    size_t head = io->out_size;
    give(io, 0, 2);
    bool go = b->dap.connected;
    for (unsigned i = 0; i < count && !io->bad; i++) {
        uint8_t req = (uint8_t)take(io, 1);
        bool has_data = !(req & REQ_READ) || (req & T_MATCH_VALUE);
        uint32_t data = has_data ? take(io, 4) : 0;
        if (io->bad || !go)
            continue; /* the rest is only parsed */
        /* room for this result and one that is still posted */
        if (io->out_cap - io->out_size < (t.posted ? 8 : 4) && (req & REQ_READ)) {
            io->bad = true;
            break;
        }
        go = transfer_one(b, io, req, data, &t);
        executed += go;
    }
    if (io->bad)
        return;
    if (go && t.posted) {
        finish_posted(b, io, &t);
    } else if (go && t.check_write) {
        uint32_t v;
        t.ack = swd(b, RDBUFF, &v);
    }
    if (!io->bad) {
        io->out[head] = (uint8_t)executed;
        io->out[head + 1] = t.ack;
    }
}

static uint8_t block_read(ImpBoard *b, struct io *io, uint8_t req, unsigned count, unsigned *done)
{
    uint32_t v = 0;
    uint8_t ack = ACK_OK;
    if (req & REQ_AP)
        ack = swd(b, req, &v); /* posted */
    for (unsigned i = 0; i < count && ack == ACK_OK; i++) {
        bool last_ap = (req & REQ_AP) && i + 1 == count;
        ack = swd(b, last_ap ? (uint8_t)RDBUFF : req, &v);
        if (ack != ACK_OK)
            break;
        give(io, v, 4);
        ++*done;
    }
    return ack;
}

static void cmd_transfer_block(ImpBoard *b, struct io *io)
{
    (void)take(io, 1);
    unsigned count = take(io, 2);
    uint8_t req = (uint8_t)take(io, 1) & 0xF, ack = 0;
    bool read = req & REQ_READ;
    unsigned done = 0;
    size_t head = io->out_size;
    give(io, 0, 3);
    if (io->bad || (read && (io->out_cap - io->out_size) / 4 < count) || (!read && io->in_left / 4 < count)) {
        io->bad = true;
        return;
    }
    if (!b->dap.connected) {
        if (!read)
            io->in += 4 * count, io->in_left -= 4 * count;
        count = 0;
    } else if (read) {
        ack = count ? block_read(b, io, req, count, &done) : 0;
    } else {
        for (unsigned i = 0; i < count; i++) {
            uint32_t v = take(io, 4);
            if (i != done)
                continue; /* after a failure: only parsed */
            ack = swd(b, req, &v);
            done += ack == ACK_OK;
        }
        uint32_t v;
        if (count && ack == ACK_OK)
            ack = swd(b, RDBUFF, &v);
    }
    io->out[head] = (uint8_t)done;
    io->out[head + 1] = (uint8_t)(done >> 8);
    io->out[head + 2] = ack;
}

/* ---- the other commands ---- */

static void give_text(struct io *io, const char *text)
{
    size_t n = strlen(text) + 1;
    give(io, (uint32_t)n, 1);
    for (size_t i = 0; i < n; i++)
        give(io, (uint8_t)text[i], 1);
}

static void cmd_info(ImpBoard *b, struct io *io)
{
    switch (take(io, 1)) {
    case INFO_VENDOR:
        give_text(io, VENDOR);
        break;
    case INFO_PRODUCT:
        give_text(io, PRODUCT);
        break;
    case INFO_SERIAL:
        give_text(io, b->serial);
        break;
    case INFO_PROTOCOL:
        give_text(io, PROTOCOL);
        break;
    case INFO_FIRMWARE:
        give_text(io, FIRMWARE);
        break;
    case INFO_CAPS:
        give(io, 1, 1);
        give(io, CAP_SWD | CAP_ATOMIC, 1);
        break;
    case INFO_COUNT:
        give(io, 1, 1);
        give(io, b->packet_count, 1);
        break;
    case INFO_SIZE:
        give(io, 2, 1);
        give(io, b->packet_size, 2);
        break;
    default:
        give(io, 0, 1);
        break;
    }
}

/* Not wired to an nRF51, whose reset shares the SWDIO pin. */
static void set_nreset(ImpBoard *b, bool level)
{
    b->dap.nreset = level;
    if (b->chip->has_reset_pin && board_alive(b))
        core_hold(b, !level);
}

static void cmd_connect(ImpBoard *b, struct io *io)
{
    unsigned port = take(io, 1);
    bool ok = !io->bad && port <= 1; /* 0: default, which is SWD */
    if (ok) {
        b->dap.connected = b->dap.swclk = b->dap.swdio = true;
        set_nreset(b, true);
    }
    give(io, ok ? 1 : 0, 1);
}

static void cmd_pins(ImpBoard *b, struct io *io)
{
    struct dap *d = &b->dap;
    unsigned value = take(io, 1), select = take(io, 1);
    uint64_t wait = take(io, 4);
    if (io->bad)
        return;
    if (select & PIN_SWDIO)
        d->swdio = value & PIN_SWDIO;
    if (select & PIN_SWCLK) {
        bool rise = !d->swclk && (value & PIN_SWCLK);
        d->swclk = value & PIN_SWCLK;
        if (rise)
            line_cycle(b, true, d->swdio);
    }
    if (select & PIN_NRESET)
        set_nreset(b, value & PIN_NRESET);
    unsigned now = (d->swclk ? PIN_SWCLK : 0u) | (d->swdio ? PIN_SWDIO : 0u) | (d->nreset ? PIN_NRESET : 0u);
    if ((now ^ value) & select & (PIN_SWCLK | PIN_SWDIO | PIN_NRESET))
        board_add_ns(b, 1000 * (wait < PIN_WAIT_MAX ? wait : PIN_WAIT_MAX));
    give(io, now, 1);
}

static void cmd_clock(ImpBoard *b, struct io *io)
{
    uint32_t hz = take(io, 4);
    if (io->bad)
        return;
    if (hz) {
        b->swclk_hz = hz < SWCLK_HZ_MIN ? SWCLK_HZ_MIN : hz > SWCLK_HZ_MAX ? SWCLK_HZ_MAX : hz;
        b->edge_rest = 0;
    }
    give(io, hz ? DAP_OK : DAP_ERROR, 1);
}

static void cmd_swj_sequence(ImpBoard *b, struct io *io)
{
    unsigned bits = take(io, 1);
    bits = bits ? bits : 256;
    if (io->in_left < (bits + 7) / 8) {
        io->bad = true;
        return;
    }
    while (bits) {
        unsigned n = bits < 8 ? bits : 8;
        put_bits(b, take(io, 1), n);
        bits -= n;
    }
    give(io, DAP_OK, 1);
}

static void cmd_swd_sequence(ImpBoard *b, struct io *io)
{
    unsigned count = take(io, 1);
    give(io, DAP_OK, 1);
    for (unsigned i = 0; i < count && !io->bad; i++) {
        unsigned info = take(io, 1), bits = info & 0x3F ? info & 0x3F : 64;
        for (unsigned left = bits; left && !io->bad;) {
            unsigned n = left < 8 ? left : 8;
            if (info & 0x80) {
                give(io, (uint32_t)get_bits(b, n), 1);
            } else {
                uint32_t v = take(io, 1);
                if (!io->bad)
                    put_bits(b, v, n);
            }
            left -= n;
        }
    }
}

static void cmd_write_abort(ImpBoard *b, struct io *io)
{
    (void)take(io, 1);
    uint32_t v = take(io, 4);
    if (io->bad)
        return;
    if (b->dap.connected)
        (void)swd(b, 0, &v);
    give(io, b->dap.connected ? DAP_OK : DAP_ERROR, 1);
}

static void run_command(ImpBoard *b, struct io *io);

static void run_list(ImpBoard *b, struct io *io)
{
    unsigned count = take(io, 1);
    give(io, count, 1);
    for (unsigned i = 0; i < count && !io->bad; i++) {
        if (io->in_left &&
            (io->in[0] == CMD_QUEUE || io->in[0] == CMD_EXECUTE || io->in[0] == CMD_TRANSFER_ABORT))
            io->bad = true; /* lists do not nest */
        else
            run_command(b, io);
    }
}

static void simple_command(ImpBoard *b, struct io *io, unsigned id)
{
    struct dap *d = &b->dap;
    switch (id) {
    case CMD_HOST_STATUS:
        d->host_status = (uint8_t)take(io, 2);
        give(io, DAP_OK, 1);
        break;
    case CMD_DISCONNECT:
        d->connected = false;
        give(io, DAP_OK, 1);
        break;
    case CMD_TRANSFER_CONFIGURE:
        d->idle_cycles = take(io, 1);
        d->wait_retries = (uint16_t)take(io, 2);
        d->match_retries = (uint16_t)take(io, 2);
        give(io, DAP_OK, 1);
        break;
    case CMD_DELAY:
        board_add_ns(b, 1000ull * take(io, 2));
        give(io, DAP_OK, 1);
        break;
    case CMD_RESET_TARGET: /* no device specific sequence */
        give(io, DAP_OK, 1);
        give(io, 0, 1);
        break;
    case CMD_SWD_CONFIGURE: {
        unsigned v = take(io, 1);
        d->turnaround = (v & 3) + 1;
        d->data_phase = v & 4;
        give(io, DAP_OK, 1);
        break;
    }
    default:
        io->bad = true;
        break;
    }
}

static void run_command(ImpBoard *b, struct io *io)
{
    unsigned id = take(io, 1);
    if (io->bad)
        return;
    give(io, id == CMD_QUEUE ? CMD_EXECUTE : id, 1);
    switch (id) {
    case CMD_INFO:
        cmd_info(b, io);
        break;
    case CMD_CONNECT:
        cmd_connect(b, io);
        break;
    case CMD_TRANSFER:
        cmd_transfer(b, io);
        break;
    case CMD_TRANSFER_BLOCK:
        cmd_transfer_block(b, io);
        break;
    case CMD_WRITE_ABORT:
        cmd_write_abort(b, io);
        break;
    case CMD_SWJ_PINS:
        cmd_pins(b, io);
        break;
    case CMD_SWJ_CLOCK:
        cmd_clock(b, io);
        break;
    case CMD_SWJ_SEQUENCE:
        cmd_swj_sequence(b, io);
        break;
    case CMD_SWD_SEQUENCE:
        cmd_swd_sequence(b, io);
        break;
    case CMD_QUEUE:
    case CMD_EXECUTE:
        run_list(b, io);
        break;
    default:
        simple_command(b, io, id);
        break;
    }
}

size_t imp_board_dap(ImpBoard *b, const uint8_t *request, size_t size, uint8_t *response, size_t cap)
{
    struct io io = {.in = request, .in_left = size, .out = response, .out_cap = cap};
    if (io.out_cap > b->packet_size)
        io.out_cap = b->packet_size;
    if (size == 0 || cap == 0 || request[0] == CMD_TRANSFER_ABORT)
        return 0; /* an abort finds nothing to abort: commands run to their end within this call */
    b->counters.packets++;
    run_command(b, &io);
    if (io.bad) {
        response[0] = INVALID;
        return 1;
    }
    return io.out_size;
}
