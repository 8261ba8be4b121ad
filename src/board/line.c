/* The SWD line as the chip sees it, one SWCLK cycle at a time (ADIv5.2, chapter B4).
 *
 * The chip samples on rising edges and changes its output right after them. In a packet, by edge:
 *   1..8 request, 9 turnaround, acknowledge visible after 9, 10, 11;
 *   read: data visible after 12..43, parity after 44, released at 45, 46 is turnaround;
 *   write: released after 12, 13 turnaround, data 14..45, parity 46.
 *   WAIT and FAULT without overrun detection: released after 12, 13 is turnaround, and idle again.
 * The line-reset detector runs beside the packet machine on every edge on which the chip does not drive: at least 50 ones, then at
 * least 2 zeros. An undriven line is pulled up and reads 1. */
#include "board/machine.h"

#define RESET_ONES  50u
#define RESET_ZEROS 2u

enum { EDGE_REQUEST_END = 8, EDGE_TRN = 9, EDGE_ACK_END = 12, EDGE_NO_DATA_END = 13, EDGE_LAST = 46 };

void line_power_up(struct line *l)
{
    *l = (struct line){.locked = true};
}

static void lock_out(struct line *l)
{
    l->locked = true;
    l->edge = 0;
    l->drives = false;
}

/* true: this edge completes a line reset */
static bool detect_reset(struct line *l, bool level)
{
    if (level) {
        l->zeros = 0; /* after one zero only: a select sequence, or a packet: no reset */
        l->ones++;
        l->reset_seen = l->ones >= RESET_ONES;
        return false;
    }
    l->ones = 0;
    if (!l->reset_seen)
        return false;
    if (++l->zeros < RESET_ZEROS)
        return false;
    l->reset_seen = false;
    l->zeros = 0;
    return true;
}

/* What WAIT may answer: accesses to the access port, and the results of them (ADIv5.2, B4.2.3). */
static bool may_wait(uint8_t req)
{
    return (req & REQ_AP) || req == (REQ_READ | REQ_A2 | REQ_A3);
}

/* The debug port's answer, with the faults of docs/faults.md around it. */
static void acknowledge(ImpBoard *b, uint8_t req)
{
    struct line *l = &b->line;
    uint64_t r;
    l->flips = 0;
    if ((req & REQ_AP) && fault_hits(b, IMP_BOARD_FAULT_FAULT, &r))
        dp_bus_error(b);
    l->ack =
        may_wait(req) && fault_hits(b, IMP_BOARD_FAULT_WAIT, &r) ? ACK_WAIT : dp_request(b, req, &l->data);
    l->seen_ack = l->ack;
    if (fault_hits(b, IMP_BOARD_FAULT_ACK, &r))
        l->seen_ack ^= (uint8_t)(1u << r % 3);
    if (l->ack == ACK_OK && fault_hits(b, IMP_BOARD_FAULT_NOISE, &r)) /* two bits: parity stays */
        l->flips = 1u << (r & 31) ^ 1u << ((r & 31) + 1 + (r >> 8) % 31) % 32;
    if (req & REQ_READ)
        l->data ^= l->flips;
    l->parity = __builtin_popcount(l->data) & 1;
    if (l->ack == ACK_OK && (req & REQ_READ) && fault_hits(b, IMP_BOARD_FAULT_READ_PARITY, &r))
        l->data ^= 1u << (r & 31);
    if (l->ack == ACK_OK && !(req & REQ_READ) && fault_hits(b, IMP_BOARD_FAULT_WRITE_PARITY, &r))
        l->flips ^= 1u << (r & 31);
}

static void end_of_request(ImpBoard *b)
{
    struct line *l = &b->line;
    uint64_t damage;
    unsigned r = l->request;
    if (fault_hits(b, IMP_BOARD_FAULT_REQUEST, &damage))
        r ^= 2u << damage % 5; /* one of APnDP to parity */
    bool odd = __builtin_popcount(r >> 1 & 0xF) & 1;
    uint8_t req = r >> 1 & 0xF;
    /* stop must be 0, park 1 (B4.1.1); after a reset only DPIDR may be read (B4.3.4) */
    if (odd != (r >> 5 & 1) || (r >> 6 & 1) || !(r >> 7 & 1) || (l->need_id && req != REQ_READ)) {
        lock_out(l);
        return;
    }
    l->need_id = false;
    l->data = 0;
    l->request = req;
    acknowledge(b, req);
    if (l->ack == ACK_OK)
        b->counters.transfers++;
    else if (l->ack == ACK_WAIT)
        b->counters.waits++;
    else
        b->counters.faults++;
    if (l->ack != ACK_OK && dp_overrun_detection(b))
        dp_overrun(b);
}

static void drive(struct line *l, bool level)
{
    l->drives = true;
    l->level = level;
}

static void write_phase(ImpBoard *b, unsigned e, bool level)
{
    struct line *l = &b->line;
    if (e >= 14 && e <= 45) {
        l->data |= (uint32_t)level << (e - 14);
    } else if (e == EDGE_LAST && l->ack == ACK_OK) {
        l->data ^= l->flips;
        if ((bool)(__builtin_popcount(l->data) & 1) != level)
            dp_parity_error(b);
        else
            dp_write(b, l->request, l->data);
    }
}

static void packet_edge(ImpBoard *b, bool level)
{
    struct line *l = &b->line;
    unsigned e = ++l->edge;
    if (e <= EDGE_REQUEST_END) {
        l->request |= (uint8_t)(level << (e - 1));
        if (e == EDGE_REQUEST_END)
            end_of_request(b);
        return;
    }
    if (e >= EDGE_TRN && e < EDGE_ACK_END) {
        drive(l, l->seen_ack >> (e - EDGE_TRN) & 1);
        return;
    }
    bool reading = l->request & REQ_READ;
    if (l->ack != ACK_OK && !dp_overrun_detection(b)) {
        l->drives = false;
        if (e == EDGE_NO_DATA_END)
            l->edge = 0;
        return;
    }
    if (reading && l->ack == ACK_OK) {
        if (e >= 12 && e <= 43)
            drive(l, l->data >> (e - 12) & 1);
        else if (e == 44)
            drive(l, l->parity);
        else
            l->drives = false;
    } else {
        l->drives = false;
        if (!reading)
            write_phase(b, e, level);
    }
    if (e == EDGE_LAST)
        l->edge = 0;
}

bool line_cycle(ImpBoard *b, bool host_drives, bool host_level)
{
    struct line *l = &b->line;
    /* Both drive: the host wins. It is a fault of the host; the model needs only some defined level. */
    bool level = host_drives ? host_level : l->drives ? l->level : true;
    b->counters.swclk++;
    b->edge_rest += 1000000000u;
    b->now_ns += b->edge_rest / b->swclk_hz;
    b->edge_rest %= b->swclk_hz;
    while (b->now_ns >= b->fault_due_ns)
        fault_tick(b);
    if (b->wires == WIRES_SWDIO_HIGH || b->wires == WIRES_SWDIO_LOW)
        level = b->wires == WIRES_SWDIO_HIGH;
    else if (b->wires == WIRES_SWCLK_DEAD)
        return host_drives ? host_level : true;
    if (!board_answers(b))
        return level;
    if (l->drives && !host_drives) {
        l->ones = l->zeros = 0;
        l->reset_seen = false;
    } else if (detect_reset(l, level)) {
        l->locked = false;
        l->need_id = true;
        l->edge = 0;
        l->drives = false;
        return level;
    }
    if (l->locked)
        return level;
    if (l->edge == 0) {
        if (level) { /* start bit */
            l->edge = 1;
            l->request = 1;
        }
        return level;
    }
    packet_edge(b, level);
    return level;
}
