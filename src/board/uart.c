/* Serial output: what the firmware sends on its UARTs, byte by byte, each out when its stop bit is. Sending only; one wire for all UARTs of
 * a chip.
 *
 * Sources: nRF51 Series Reference Manual 3.0.1, chapter UART; nRF52832 Product Specification 1.4, chapters UART and UARTE; ST RM0008,
 * chapter 27 (USART); RM0444, chapter 33. A frame is taken for 10 bits whatever is set up; parity, flow control, interrupts
 * and pins are not looked at. */
#include "board/machine.h"

#include <string.h>

#define FRAME_BITS 10u

/* nRF5: word offsets. The UARTE of the nRF52832 answers at the same base; ENABLE tells them apart. */
enum {
    NRF5_STARTTX = 0x008,
    NRF5_STOPTX = 0x00C,
    NRF5_EV_TXDRDY = 0x11C,
    NRF5_EV_ENDTX = 0x120,
    NRF5_ENABLE = 0x500,
    NRF5_TXD = 0x51C,
    NRF5_BAUDRATE = 0x524,
    NRF5_TXD_PTR = 0x544,
    NRF5_TXD_MAXCNT = 0x548,
    NRF5_TXD_AMOUNT = 0x54C
};
enum { NRF5_UART = 4, NRF5_UARTE = 8 };
#define NRF5_BAUD_RESET 0x04000000u /* 250 kbaud */
#define NRF5_BAUD_HZ    16000000u /* baud = BAUDRATE * 16 MHz / 2^32 */

/* STM32: the two families have the same bits in registers at other places. */
enum { USART_TXE = 1 << 7, USART_TC = 1 << 6, USART_TE = 1 << 3 };
struct usart_map {
    uint16_t status, data, brr, cr1;
    uint32_t enable; /* UE, of CR1 */
    uint32_t teack; /* of the status: TE has been taken */
};
static const struct usart_map usart_f1 = {0x00, 0x04, 0x08, 0x0C, 1u << 13, 0};
static const struct usart_map usart_g0 = {0x1C, 0x28, 0x0C, 0x00, 1u << 0, 1u << 21};

enum { R_ENABLE, R_BAUD, R_STARTED, R_PTR, R_MAXCNT, R_AMOUNT }; /* nRF5 */
enum { R_CR1, R_BRR }; /* STM32 */

/* ---- the wire ---- */

static void send_byte(ImpBoard *b, struct uart *u, uint64_t now_ns, uint64_t frame_ns, uint8_t byte)
{
    struct uart_wire *w = &b->uart_wire;
    u->free_ns = now_ns > u->idle_ns ? now_ns : u->idle_ns;
    u->idle_ns = u->free_ns + frame_ns;
    if (w->used == UART_WIRE_MAX) { /* nobody reads: the oldest is lost */
        w->first = (w->first + 1) % UART_WIRE_MAX;
        w->used--;
    }
    unsigned at = (w->first + w->used++) % UART_WIRE_MAX;
    w->frames[at].byte = byte;
    w->frames[at].end_ns = u->idle_ns;
}

void uart_reset(ImpBoard *b)
{
    memset(b->uarts, 0, sizeof b->uarts);
    for (unsigned i = 0; i < UARTS_MAX; i++)
        if (b->chip->uarts[i].kind == UART_NRF5)
            b->uarts[i].reg[R_BAUD] = NRF5_BAUD_RESET;
}

void uart_cut(ImpBoard *b, uint64_t now_ns)
{
    struct uart_wire *w = &b->uart_wire;
    while (w->used && w->frames[(w->first + w->used - 1) % UART_WIRE_MAX].end_ns > now_ns)
        w->used--;
}

size_t imp_board_uart_read(ImpBoard *b, uint8_t *out, size_t cap)
{
    struct uart_wire *w = &b->uart_wire;
    size_t n = 0;
    while (n < cap && w->used && w->frames[w->first].end_ns <= b->now_ns) {
        out[n++] = w->frames[w->first].byte;
        w->first = (w->first + 1) % UART_WIRE_MAX;
        w->used--;
    }
    return n;
}

bool imp_board_uart_is_sending(const ImpBoard *b)
{
    return b->uart_wire.used > 0;
}

/* ---- nRF5 ---- */

static uint64_t nrf5_frame_ns(const struct uart *u)
{
    uint64_t step = u->reg[R_BAUD] ? u->reg[R_BAUD] : NRF5_BAUD_RESET;
    return ((uint64_t)FRAME_BITS << 32) * 1000u / (step * (NRF5_BAUD_HZ / 1000000u));
}

/* EasyDMA: the whole buffer; it lies in RAM, or nothing is sent. */
static void nrf5_start(ImpBoard *b, struct uart *u, uint64_t now_ns)
{
    u->reg[R_STARTED] = 1;
    if (u->reg[R_ENABLE] != NRF5_UARTE)
        return;
    const struct mem_range *ram = &b->chip->ram;
    uint32_t count = u->reg[R_MAXCNT];
    const uint8_t *p = u->reg[R_PTR] - ram->base < ram->size ? board_memory(b, u->reg[R_PTR], count) : NULL;
    u->reg[R_AMOUNT] = p ? count : 0;
    for (uint32_t i = 0; i < u->reg[R_AMOUNT]; i++)
        send_byte(b, u, now_ns, nrf5_frame_ns(u), p[i]);
    u->end_event_ns = u->idle_ns > now_ns ? u->idle_ns : now_ns;
}

static bool event(uint64_t due_ns, uint64_t now_ns)
{
    return due_ns && now_ns >= due_ns;
}

static bool nrf5_write(ImpBoard *b, struct uart *u, uint32_t offset, uint64_t now_ns, uint32_t value)
{
    switch (offset) {
    case NRF5_STARTTX:
        if (value & 1)
            nrf5_start(b, u, now_ns);
        return true;
    case NRF5_STOPTX:
        u->reg[R_STARTED] = 0;
        return true;
    case NRF5_EV_TXDRDY:
        u->ready_event_ns = value & 1 ? now_ns : 0;
        return true;
    case NRF5_EV_ENDTX:
        u->end_event_ns = value & 1 ? now_ns : 0;
        return true;
    case NRF5_ENABLE:
        u->reg[R_ENABLE] = value & 0xF;
        return true;
    case NRF5_TXD:
        if (u->reg[R_ENABLE] == NRF5_UART && u->reg[R_STARTED]) {
            send_byte(b, u, now_ns, nrf5_frame_ns(u), (uint8_t)value);
            u->ready_event_ns = u->idle_ns;
        }
        return true;
    case NRF5_BAUDRATE:
        u->reg[R_BAUD] = value;
        return true;
    case NRF5_TXD_PTR:
        u->reg[R_PTR] = value;
        return true;
    case NRF5_TXD_MAXCNT:
        u->reg[R_MAXCNT] = value & 0xFF;
        return true;
    default:
        return false;
    }
}

static bool nrf5_read(const struct uart *u, uint32_t offset, uint64_t now_ns, uint32_t *out)
{
    switch (offset) {
    case NRF5_EV_TXDRDY:
        *out = event(u->ready_event_ns, now_ns);
        return true;
    case NRF5_EV_ENDTX:
        *out = event(u->end_event_ns, now_ns);
        return true;
    case NRF5_ENABLE:
        *out = u->reg[R_ENABLE];
        return true;
    case NRF5_BAUDRATE:
        *out = u->reg[R_BAUD];
        return true;
    case NRF5_TXD_PTR:
        *out = u->reg[R_PTR];
        return true;
    case NRF5_TXD_MAXCNT:
        *out = u->reg[R_MAXCNT];
        return true;
    case NRF5_TXD_AMOUNT:
        *out = u->reg[R_AMOUNT];
        return true;
    default:
        return false;
    }
}

/* ---- STM32 ---- */

static bool usart_write(ImpBoard *b, struct uart *u, const struct usart_map *m, uint32_t offset,
                        uint64_t now_ns, uint32_t value)
{
    bool on = (u->reg[R_CR1] & m->enable) && (u->reg[R_CR1] & USART_TE) && u->reg[R_BRR];
    if (offset == m->cr1)
        u->reg[R_CR1] = value;
    else if (offset == m->brr)
        u->reg[R_BRR] = value & 0xFFFF;
    else if (offset != m->data)
        return offset == m->status;
    else if (on && now_ns >= u->free_ns) /* a byte for a full register is lost */
        send_byte(b, u, now_ns, (uint64_t)FRAME_BITS * u->reg[R_BRR] * 1000000000u / b->chip->core_hz,
                  (uint8_t)value);
    return true;
}

static bool usart_read(const struct uart *u, const struct usart_map *m, uint32_t offset, uint64_t now_ns,
                       uint32_t *out)
{
    if (offset == m->cr1)
        *out = u->reg[R_CR1];
    else if (offset == m->brr)
        *out = u->reg[R_BRR];
    else if (offset == m->status)
        *out = (now_ns >= u->free_ns ? USART_TXE : 0u) | (now_ns >= u->idle_ns ? USART_TC : 0u) |
               (u->reg[R_CR1] & USART_TE ? m->teack : 0u);
    else
        return false;
    return true;
}

/* ---- both ---- */

static unsigned find(const ImpBoard *b, uint32_t addr)
{
    unsigned i = 0;
    while (i < UARTS_MAX && (b->chip->uarts[i].kind == UART_NONE || addr - b->chip->uarts[i].base >= 0x1000))
        i++;
    return i;
}

bool uart_reg_read(ImpBoard *b, const struct bus_access *a, uint32_t *out)
{
    unsigned i = find(b, a->addr);
    if (i == UARTS_MAX)
        return false;
    uint32_t offset = a->addr - b->chip->uarts[i].base;
    switch (b->chip->uarts[i].kind) {
    case UART_NRF5:
        return nrf5_read(&b->uarts[i], offset, a->now_ns, out);
    case UART_STM32F1:
        return usart_read(&b->uarts[i], &usart_f1, offset, a->now_ns, out);
    case UART_STM32G0:
        return usart_read(&b->uarts[i], &usart_g0, offset, a->now_ns, out);
    default:
        return false;
    }
}

bool uart_reg_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    unsigned i = find(b, a->addr);
    if (i == UARTS_MAX)
        return false;
    uint32_t offset = a->addr - b->chip->uarts[i].base;
    switch (b->chip->uarts[i].kind) {
    case UART_NRF5:
        return nrf5_write(b, &b->uarts[i], offset, a->now_ns, value);
    case UART_STM32F1:
        return usart_write(b, &b->uarts[i], &usart_f1, offset, a->now_ns, value);
    case UART_STM32G0:
        return usart_write(b, &b->uarts[i], &usart_g0, offset, a->now_ns, value);
    default:
        return false;
    }
}
