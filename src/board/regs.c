/* Peripheral registers: those of the chip's file first, then those of its UARTs, then plain ones. */
#include "board/machine.h"

static unsigned plain_index(const ImpBoard *b, uint32_t addr)
{
    unsigned i = 0;
    while (i < PLAIN_REGS_MAX && b->chip->plain[i].addr && b->chip->plain[i].addr != addr)
        i++;
    return i < PLAIN_REGS_MAX && b->chip->plain[i].addr ? i : PLAIN_REGS_MAX;
}

uint32_t regs_part(uint32_t word, const struct bus_access *a)
{
    uint32_t v = word >> 8 * (a->addr & 3);
    return a->size == 4 ? v : v & ((1u << 8 * a->size) - 1);
}

void regs_reset(ImpBoard *b, bool power_up)
{
    uart_reset(b);
    for (unsigned i = 0; i < PLAIN_REGS_MAX; i++)
        if (power_up || !b->chip->plain[i].survives_reset)
            b->plain[i] = b->chip->plain[i].reset;
}

enum bus_result regs_read(ImpBoard *b, const struct bus_access *a, uint32_t *out)
{
    struct bus_access word = *a;
    uint32_t v = 0;
    word.addr &= ~3u;
    enum bus_result r = b->chip->ops->reg_read(b, &word, &v);
    if (r == BUS_ABSENT && uart_reg_read(b, &word, &v))
        r = BUS_OK;
    if (r == BUS_ABSENT) {
        unsigned i = plain_index(b, word.addr);
        v = i < PLAIN_REGS_MAX ? b->plain[i] : 0;
        r = BUS_OK;
    }
    *out = regs_part(v, a);
    return r;
}

enum bus_result regs_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    if (a->size != 4)
        return BUS_OK;
    enum bus_result r = b->chip->ops->reg_write(b, a, value);
    if (r != BUS_ABSENT)
        return r;
    if (uart_reg_write(b, a, value))
        return BUS_OK;
    unsigned i = plain_index(b, a->addr);
    if (i < PLAIN_REGS_MAX) {
        const struct plain_reg *p = &b->chip->plain[i];
        b->plain[i] = value & p->writable;
        for (unsigned k = 0; k < 2; k++)
            b->plain[i] |= (value & p->echo[k].mask) << p->echo[k].shift;
    }
    return BUS_OK;
}
