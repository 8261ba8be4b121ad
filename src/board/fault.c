/* Faults by name and seed (docs/faults.md): worn cells, disturbed requests, stuck wires, brown-outs, and what the probe's connection
 * does to packets. Each layer asks here at one place; nothing happens here by itself but in fault_tick. */
#include "board/machine.h"

#include <string.h>

static const char *const names[IMP_BOARD_FAULT_KINDS] = {
    [IMP_BOARD_FAULT_NONE] = "none",
    [IMP_BOARD_FAULT_STUCK_BIT] = "stuck-bit",
    [IMP_BOARD_FAULT_WRONG_CHIP] = "wrong-chip",
    [IMP_BOARD_FAULT_WRONG_VARIANT] = "wrong-variant",
    [IMP_BOARD_FAULT_STUCK_ZERO] = "stuck-zero",
    [IMP_BOARD_FAULT_WEAK_BIT] = "weak-bit",
    [IMP_BOARD_FAULT_WAIT] = "wait",
    [IMP_BOARD_FAULT_FAULT] = "fault",
    [IMP_BOARD_FAULT_ACK] = "ack",
    [IMP_BOARD_FAULT_REQUEST] = "request",
    [IMP_BOARD_FAULT_READ_PARITY] = "read-parity",
    [IMP_BOARD_FAULT_WRITE_PARITY] = "write-parity",
    [IMP_BOARD_FAULT_NOISE] = "noise",
    [IMP_BOARD_FAULT_SWDIO_HIGH] = "swdio-high",
    [IMP_BOARD_FAULT_SWDIO_LOW] = "swdio-low",
    [IMP_BOARD_FAULT_SWCLK_DEAD] = "swclk-dead",
    [IMP_BOARD_FAULT_BROWN_OUT] = "brown-out",
    [IMP_BOARD_FAULT_SWAP] = "swap",
    [IMP_BOARD_FAULT_SLOW_FLASH] = "slow-flash",
    [IMP_BOARD_FAULT_LATE] = "late",
    [IMP_BOARD_FAULT_LOST] = "lost",
    [IMP_BOARD_FAULT_UNPLUG] = "unplug",
};

const char *imp_board_fault_name(enum imp_board_fault fault)
{
    return (unsigned)fault < IMP_BOARD_FAULT_KINDS ? names[fault] : NULL;
}

/* ---- cells ---- */

static void apply_cell(ImpBoard *b, struct bad_cell *cell)
{
    uint8_t *p = board_memory(b, cell->addr, 1), mask = (uint8_t)(1u << cell->bit);
    bool one = cell->kind == IMP_BOARD_FAULT_STUCK_BIT ||
               (cell->kind == IMP_BOARD_FAULT_WEAK_BIT && (board_random(&cell->random) & 1));
    if (one)
        *p |= mask;
    else
        *p &= (uint8_t)~mask;
}

void fault_apply_cells(ImpBoard *b, uint32_t addr, size_t size)
{
    for (unsigned i = 0; i < b->cell_count; i++)
        if (b->cells[i].addr >= addr && b->cells[i].addr - addr < size)
            apply_cell(b, &b->cells[i]);
}

void fault_draw_weak(ImpBoard *b)
{
    for (unsigned i = 0; i < b->cell_count; i++)
        if (b->cells[i].kind == IMP_BOARD_FAULT_WEAK_BIT)
            apply_cell(b, &b->cells[i]); /* instructions that the core has fetched stay as they were */
}

static const char *add_cell(ImpBoard *b, enum imp_board_fault kind, const struct imp_board_fault_options *o)
{
    const struct mem_range *flash = &b->chip->flash;
    if (o->bit > 7 || o->addr < flash->base || o->addr - flash->base >= flash->size)
        return "the address is not in flash, or the bit is above 7";
    if (b->cell_count == IMP_BOARD_STUCK_BITS_MAX)
        return "there are 16 stuck bits already";
    struct bad_cell *cell = &b->cells[b->cell_count++];
    *cell = (struct bad_cell){kind, o->addr, (uint8_t)o->bit, o->seed};
    b->weak_count += kind == IMP_BOARD_FAULT_WEAK_BIT;
    apply_cell(b, cell);
    board_cpu_invalidate(b->cpu, cell->addr, 1);
    return NULL;
}

/* ---- instants, spans and counts ---- */

/* What acts by itself when its time comes; the others are asked for. */
static bool acts_by_itself(enum imp_board_fault kind)
{
    return kind == IMP_BOARD_FAULT_SWDIO_HIGH || kind == IMP_BOARD_FAULT_SWDIO_LOW ||
           kind == IMP_BOARD_FAULT_SWCLK_DEAD || kind == IMP_BOARD_FAULT_BROWN_OUT ||
           kind == IMP_BOARD_FAULT_SWAP;
}

static void find_due(ImpBoard *b)
{
    b->fault_due_ns = UINT64_MAX;
    for (unsigned i = 0; i < b->fault_count; i++) {
        const struct fault *f = &b->faults[i];
        uint64_t next = f->begun ? f->end_ns : f->at_ns;
        if (acts_by_itself(f->kind) && next < b->fault_due_ns)
            b->fault_due_ns = next;
    }
}

static void take_out(ImpBoard *b, unsigned i)
{
    memmove(&b->faults[i], &b->faults[i + 1], (--b->fault_count - i) * sizeof *b->faults);
}

static void set_wires(ImpBoard *b)
{
    b->wires = WIRES_GOOD;
    for (unsigned i = 0; i < b->fault_count; i++) {
        const struct fault *f = &b->faults[i];
        if (!f->begun)
            continue;
        if (f->kind == IMP_BOARD_FAULT_SWDIO_HIGH)
            b->wires = WIRES_SWDIO_HIGH;
        else if (f->kind == IMP_BOARD_FAULT_SWDIO_LOW)
            b->wires = WIRES_SWDIO_LOW;
        else if (f->kind == IMP_BOARD_FAULT_SWCLK_DEAD)
            b->wires = WIRES_SWCLK_DEAD;
    }
}

void fault_tick(ImpBoard *b)
{
    for (unsigned i = 0; i < b->fault_count; i++) {
        struct fault *f = &b->faults[i], copy = *f;
        bool ends = f->begun && f->end_ns <= b->now_ns;
        if (!acts_by_itself(f->kind) || (f->begun ? !ends : f->at_ns > b->now_ns))
            continue;
        f->begun = true;
        if (ends || copy.kind == IMP_BOARD_FAULT_SWAP)
            take_out(b, i);
        find_due(b); /* before anything below looks at time */
        set_wires(b);
        if (copy.kind == IMP_BOARD_FAULT_BROWN_OUT)
            imp_board_set_power(b, ends);
        else if (copy.kind == IMP_BOARD_FAULT_SWAP)
            imp_board_next(b, copy.seed, copy.fill);
        return; /* the caller comes again while something is due */
    }
    find_due(b);
}

bool fault_hits(ImpBoard *b, enum imp_board_fault kind, uint64_t *out_random)
{
    for (unsigned i = 0; i < b->fault_count; i++) {
        struct fault *f = &b->faults[i];
        if (f->kind != kind || f->at_ns > b->now_ns)
            continue;
        *out_random = board_random(&f->random);
        if (f->left != IMP_BOARD_FAULT_EVER && --f->left == 0)
            take_out(b, i);
        return true;
    }
    return false;
}

static const struct fault *acting(const ImpBoard *b, enum imp_board_fault kind)
{
    for (unsigned i = 0; i < b->fault_count; i++)
        if (b->faults[i].kind == kind && b->faults[i].at_ns <= b->now_ns && b->now_ns < b->faults[i].end_ns)
            return &b->faults[i];
    return NULL;
}

uint64_t fault_flash_ns(const ImpBoard *b, uint64_t length_ns)
{
    const struct fault *slow = acting(b, IMP_BOARD_FAULT_SLOW_FLASH);
    return slow ? length_ns * slow->factor : length_ns;
}

bool imp_board_is_unplugged(const ImpBoard *b)
{
    return acting(b, IMP_BOARD_FAULT_UNPLUG) != NULL;
}

enum imp_board_packet_fate imp_board_packet_fate(ImpBoard *b, uint64_t *out_late_ns)
{
    uint64_t random;
    *out_late_ns = 0;
    if (!b->fault_count)
        return IMP_BOARD_PACKET_ARRIVES;
    if (imp_board_is_unplugged(b))
        return IMP_BOARD_PACKET_UNPLUGGED;
    if (fault_hits(b, IMP_BOARD_FAULT_LOST, &random))
        return random & 1 ? IMP_BOARD_PACKET_REQUEST_LOST : IMP_BOARD_PACKET_ANSWER_LOST;
    const struct fault *late = acting(b, IMP_BOARD_FAULT_LATE);
    uint64_t length = late ? late->length_ns : 0;
    if (late && fault_hits(b, IMP_BOARD_FAULT_LATE, &random))
        *out_late_ns = length;
    return IMP_BOARD_PACKET_ARRIVES;
}

static const char *add_timed(ImpBoard *b, enum imp_board_fault kind, const struct imp_board_fault_options *o)
{
    if (b->fault_count == IMP_BOARD_FAULTS_MAX)
        return "there are 16 faults already";
    if (kind == IMP_BOARD_FAULT_SLOW_FLASH && (o->factor < 2 || o->factor > IMP_BOARD_FAULT_FACTOR_MAX))
        return "the factor must be 2 to 1000000";
    if (o->after_ns > UINT64_MAX - b->now_ns)
        return "the instant is too late";
    uint64_t at = b->now_ns + o->after_ns;
    bool span = kind != IMP_BOARD_FAULT_LATE && o->length_ns && o->length_ns < UINT64_MAX - at;
    b->faults[b->fault_count++] = (struct fault){.kind = kind,
                                                 .at_ns = at,
                                                 .end_ns = span ? at + o->length_ns : UINT64_MAX,
                                                 .left = o->count ? o->count : 1,
                                                 .length_ns = o->length_ns,
                                                 .factor = o->factor,
                                                 .seed = o->seed,
                                                 .random = o->seed ^ (uint64_t)kind << 32,
                                                 .fill = o->fill};
    find_due(b);
    while (b->now_ns >= b->fault_due_ns)
        fault_tick(b);
    return NULL;
}

/* What another chip would say: a Cortex-M4 behind a DPv1 (ADIv5.2 B2.2.5, ARM DDI 0439), or where that is no other, a Cortex-M0. */
static const struct chip_identity *other_identity(const struct chip *chip)
{
    return chip->core == CHIP_CORTEX_M4 ? &board_chip_nrf51822.identity : &board_chip_nrf52832.identity;
}

static void identify(ImpBoard *b, enum imp_board_fault kind)
{
    b->chip_fault = kind;
    b->identity = kind == IMP_BOARD_FAULT_WRONG_CHIP ? *other_identity(b->chip) : b->chip->identity;
    b->chip->ops->identify(b, b->chip_seed); /* the info block says it too */
}

static void clear(ImpBoard *b)
{
    bool power_was_cut = false;
    for (unsigned i = 0; i < b->fault_count; i++)
        power_was_cut |= b->faults[i].kind == IMP_BOARD_FAULT_BROWN_OUT && b->faults[i].begun;
    b->cell_count = b->weak_count = b->fault_count = 0;
    find_due(b);
    set_wires(b);
    identify(b, IMP_BOARD_FAULT_NONE);
    if (power_was_cut)
        imp_board_set_power(b, true);
}

bool imp_board_add_fault(ImpBoard *b, enum imp_board_fault kind, const struct imp_board_fault_options *given,
                         const char **out_why)
{
    static const struct imp_board_fault_options none = {0};
    const struct imp_board_fault_options *o = given ? given : &none;
    const char *why = NULL;
    switch (kind) {
    case IMP_BOARD_FAULT_NONE:
        clear(b);
        break;
    case IMP_BOARD_FAULT_STUCK_BIT:
    case IMP_BOARD_FAULT_STUCK_ZERO:
    case IMP_BOARD_FAULT_WEAK_BIT:
        why = add_cell(b, kind, o);
        break;
    case IMP_BOARD_FAULT_WRONG_CHIP:
    case IMP_BOARD_FAULT_WRONG_VARIANT:
        identify(b, kind);
        break;
    default:
        why = imp_board_fault_name(kind) ? add_timed(b, kind, o) : "there is no such fault";
        break;
    }
    if (out_why)
        *out_why = why;
    return !why;
}

bool imp_board_set_fault(ImpBoard *b, enum imp_board_fault kind, uint32_t addr, unsigned bit)
{
    return imp_board_add_fault(b, kind, &(struct imp_board_fault_options){.addr = addr, .bit = bit}, NULL);
}
