/* What the flash controllers share: an operation takes effect when it starts, keeps the flash busy until it ends, and leaves its
 * mark when power is cut meanwhile (docs/board.md: fault model). */
#include "board/machine.h"

#include <string.h>

static void begin(ImpBoard *b, uint64_t now_ns, uint64_t length_ns)
{
    b->ctl.busy_until_ns = now_ns + fault_flash_ns(b, length_ns);
    b->counters.has_flash_op = true;
    b->counters.last_flash_op_end_ns = b->ctl.busy_until_ns;
}

void flash_erase(ImpBoard *b, uint64_t now_ns, const struct mem_range *what, uint64_t length_ns)
{
    if (!b->counters.has_erase) {
        b->counters.has_erase = true;
        b->counters.first_erase_ns = now_ns;
    }
    b->ctl.op = *what;
    b->ctl.op_is_erase = true;
    memset(board_memory(b, what->base, what->size), 0xFF, what->size);
    fault_apply_cells(b, what->base, what->size);
    board_cpu_invalidate(b->cpu, what->base, what->size);
    begin(b, now_ns, length_ns);
}

bool flash_erase_page(ImpBoard *b, uint64_t now_ns, uint32_t addr)
{
    const struct chip *c = b->chip;
    const struct mem_range page = {addr & ~(c->page_bytes - 1), c->page_bytes};
    if (page.base < c->flash.base || page.base - c->flash.base >= c->flash.size)
        return false;
    flash_erase(b, now_ns, &page, c->times.erase_page_ns);
    b->counters.pages_erased++;
    return true;
}

void flash_erase_all(ImpBoard *b, uint64_t now_ns)
{
    flash_erase(b, now_ns, &b->chip->flash, b->chip->times.erase_all_ns);
    b->counters.mass_erases++;
}

void flash_program(ImpBoard *b, const struct bus_access *a, const uint8_t *value, unsigned size,
                   uint64_t length_ns)
{
    uint8_t *p = board_memory(b, a->addr, size);
    memcpy(b->ctl.op_old, p, size);
    for (unsigned i = 0; i < size; i++)
        p[i] &= value[i];
    fault_apply_cells(b, a->addr, size);
    if (a->master == MASTER_DEBUG)
        board_cpu_invalidate(b->cpu, a->addr, size);
    b->ctl.op = (struct mem_range){a->addr, size};
    b->ctl.op_is_erase = false;
    b->counters.words_programmed++;
    begin(b, a->now_ns, length_ns);
}

enum bus_result flash_take_key(uint32_t *state, const struct flash_keys *keys, bool open, uint32_t value,
                               bool *out_opens)
{
    enum { NONE, FIRST, DEAD };
    *out_opens = false;
    if (open)
        return BUS_OK;
    if (*state == NONE && value == keys->first) {
        *state = FIRST;
        return BUS_OK;
    }
    *out_opens = *state == FIRST && value == keys->second;
    *state = *out_opens ? NONE : DEAD;
    return *out_opens ? BUS_OK : BUS_FAULT;
}

void flash_cut(ImpBoard *b, uint64_t now_ns)
{
    struct flash_ctl *n = &b->ctl;
    if (now_ns < n->busy_until_ns) {
        uint64_t r = board_random(&b->next_seed);
        uint8_t *p = board_memory(b, n->op.base, n->op.size);
        if (n->op_is_erase)
            board_random_fill(r, p, n->op.size);
        else
            for (unsigned i = 0; i < n->op.size; i++) /* bits on their way from 1 to 0 */
                p[i] |= n->op_old[i] & (uint8_t)(r >> 8 * i);
    }
    memset(n, 0, sizeof *n);
}
