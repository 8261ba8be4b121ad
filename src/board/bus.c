/* The bus matrix: which memory or register answers at an address. */
#include "board/machine.h"

#include <string.h>

#define PPB_BASE 0xE0000000u
#define PPB_SIZE 0x00100000u
#define ROM_PAGE 0x1000u

static bool in(const struct mem_range *r, uint32_t addr)
{
    return addr - r->base < r->size && addr >= r->base;
}

static const struct mem_range *find(const struct mem_range *r, unsigned count, uint32_t addr)
{
    for (unsigned i = 0; i < count; i++)
        if (in(&r[i], addr))
            return &r[i];
    return NULL;
}

uint64_t flash_busy_until_ns(const ImpBoard *b)
{
    return b->ctl.busy_until_ns;
}

uint32_t bus_unalias(const ImpBoard *b, uint32_t addr)
{
    const struct chip *c = b->chip;
    return c->flash_at_zero && addr < c->flash.size ? addr + c->flash.base : addr;
}

static uint32_t load(const uint8_t *p, unsigned size)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint32_t)p[i] << 8 * i;
    return v;
}

/* ROM tables: the words that the chip's table names, 0 elsewhere in their pages. */
static bool read_rom(const ImpBoard *b, uint32_t addr, uint32_t *out)
{
    bool page = false;
    for (const struct rom_word *w = b->chip->rom; w->addr; w++) {
        if (w->addr == addr) {
            *out = w->value;
            return true;
        }
        page |= w->addr / ROM_PAGE == addr / ROM_PAGE;
    }
    *out = 0;
    return page;
}

/* Flash that read protection hides: from the debugger, and from the core while debug is enabled. */
static bool hidden(const ImpBoard *b, const struct bus_access *a)
{
    const struct flash_ops *ops = b->chip->ops;
    return ops->hides_flash && ops->hides_flash(b) && (a->master == MASTER_DEBUG || core_debug_enabled(b));
}

static bool blanked(const ImpBoard *b, const struct bus_access *a)
{
    return a->master == MASTER_DEBUG && b->chip->ops->blanks && b->chip->ops->blanks(b, a->addr);
}

enum bus_result bus_read(ImpBoard *b, const struct bus_access *given, uint32_t *out)
{
    const struct chip *c = b->chip;
    struct bus_access copy = *given, *a = &copy;
    a->addr = bus_unalias(b, a->addr);
    if (blanked(b, a)) {
        *out = 0;
        return BUS_OK;
    }
    if (in(&c->ram, a->addr)) {
        *out = load(b->ram + (a->addr - c->ram.base), a->size);
        return BUS_OK;
    }
    if (in(&c->flash, a->addr)) {
        if (hidden(b, a))
            return BUS_FAULT;
        if (a->now_ns < flash_busy_until_ns(b))
            return BUS_STALL;
        *out = load(b->flash + (a->addr - c->flash.base), a->size);
        return BUS_OK;
    }
    const struct mem_range *info = find(c->info, INFO_BLOCKS_MAX, a->addr);
    if (info) {
        if (a->now_ns < flash_busy_until_ns(b))
            return BUS_STALL;
        *out = load(b->info[info - c->info] + (a->addr - info->base), a->size);
        return BUS_OK;
    }
    if (find(c->regs, 4, a->addr))
        return regs_read(b, a, out);
    struct bus_access word = *a;
    word.addr &= ~3u;
    uint32_t v = 0;
    if (read_rom(b, word.addr, &v) && v) {
        *out = regs_part(v, a);
        return BUS_OK;
    }
    if (a->addr - PPB_BASE < PPB_SIZE) {
        *out = regs_part(core_reg_read(b, &word), a);
        return BUS_OK;
    }
    if (read_rom(b, word.addr, &v)) {
        *out = 0;
        return BUS_OK;
    }
    return BUS_FAULT;
}

enum bus_result bus_write(ImpBoard *b, const struct bus_access *given, uint32_t value)
{
    const struct chip *c = b->chip;
    struct bus_access copy = *given, *a = &copy;
    a->addr = bus_unalias(b, a->addr);
    if (blanked(b, a))
        return BUS_OK;
    if (in(&c->ram, a->addr)) {
        uint8_t *p = b->ram + (a->addr - c->ram.base);
        for (unsigned i = 0; i < a->size; i++)
            p[i] = (uint8_t)(value >> 8 * i);
        if (a->master == MASTER_DEBUG)
            board_cpu_invalidate(b->cpu, a->addr, a->size);
        return BUS_OK;
    }
    if (in(&c->flash, a->addr) || find(c->info, INFO_BLOCKS_MAX, a->addr)) {
        if (a->now_ns < flash_busy_until_ns(b))
            return BUS_STALL;
        return c->ops->write(b, a, value);
    }
    if (find(c->regs, 4, a->addr))
        return regs_write(b, a, value);
    if (a->addr - PPB_BASE < PPB_SIZE) {
        if (a->size == 4)
            core_reg_write(b, a, value);
        return BUS_OK;
    }
    uint32_t dummy;
    return read_rom(b, a->addr & ~3u, &dummy) ? BUS_OK : BUS_FAULT; /* ROM tables ignore writes */
}
