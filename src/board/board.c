/* The board around the chip: socket, power, time, counters. */
#include "board/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SWCLK_HZ_DEFAULT 1000000u

static const struct chip *const chips[] = {&board_chip_nrf51822, &board_chip_stm32f103cb,
                                           &board_chip_fastflash, &board_chip_stm32g071rb,
                                           &board_chip_nrf52832};
static const char *const chip_names[] = {"nrf51822",    "stm32f103cb", "fastflash",
                                         "stm32g071rb", "nrf52832",    NULL};
_Static_assert(sizeof chip_names / sizeof *chip_names == sizeof chips / sizeof *chips + 1, "a name for each");

const char *const *imp_board_chips(void)
{
    return chip_names;
}

uint64_t board_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

void board_random_fill(uint64_t seed, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t r = board_random(&seed);
        memcpy(out + i, &r, size - i < 8 ? size - i : 8);
    }
}

bool board_alive(const ImpBoard *b)
{
    return b->present && b->powered;
}

void board_move_to_ns(ImpBoard *b, uint64_t ns)
{
    while (b->fault_due_ns <= ns) {
        if (b->now_ns < b->fault_due_ns)
            b->now_ns = b->fault_due_ns;
        fault_tick(b);
    }
    b->now_ns = ns;
}

bool board_answers(const ImpBoard *b)
{
    const struct flash_ops *ops = b->chip->ops;
    return board_alive(b) && !(ops->silences_dp && ops->silences_dp(b));
}

void board_add_ns(ImpBoard *b, uint64_t ns)
{
    board_move_to_ns(b, b->now_ns + ns);
}

void board_sync(ImpBoard *b)
{
    if (!board_alive(b))
        return;
    while (b->ap.pending && b->ap.retry_ns <= b->now_ns) {
        core_advance(b, b->ap.retry_ns);
        ap_retry(b);
    }
    core_advance(b, b->now_ns);
    if (b->weak_count)
        fault_draw_weak(b);
}

static uint8_t *within(uint8_t *mem, const struct mem_range *r, uint32_t addr, size_t size)
{
    if (addr < r->base || addr - r->base >= r->size || size > r->size - (addr - r->base))
        return NULL;
    return mem + (addr - r->base);
}

uint8_t *board_memory(const ImpBoard *b, uint32_t addr, size_t size)
{
    uint8_t *p = within(b->flash, &b->chip->flash, addr, size);
    if (!p)
        p = within(b->ram, &b->chip->ram, addr, size);
    for (unsigned i = 0; i < INFO_BLOCKS_MAX && !p; i++)
        if (b->chip->info[i].size)
            p = within(b->info[i], &b->chip->info[i], addr, size);
    return p;
}

static void power_up(ImpBoard *b)
{
    board_random_fill(board_random(&b->next_seed), b->ram, b->chip->ram.size);
    board_cpu_invalidate(b->cpu, b->chip->ram.base, b->chip->ram.size);
    line_power_up(&b->line);
    dp_power_up(b);
    core_power_up(b);
}

static void power_down(ImpBoard *b)
{
    board_sync(b);
    b->chip->ops->power_loss(b, b->now_ns);
    uart_cut(b, b->now_ns);
    board_cpu_invalidate(b->cpu, b->chip->flash.base, b->chip->flash.size);
    line_power_up(&b->line); /* drives nothing */
}

static void set_state(ImpBoard *b, bool present, bool powered)
{
    bool was = board_alive(b), is = present && powered;
    if (was && !is)
        power_down(b);
    b->present = present;
    b->powered = powered;
    if (!was && is)
        power_up(b);
}

void imp_board_next(ImpBoard *b, uint64_t seed, enum imp_board_fill fill)
{
    set_state(b, false, b->powered);
    b->chip_seed = seed;
    if (fill == IMP_BOARD_FILL_RANDOM)
        board_random_fill(seed ^ 0xF1A5Fu, b->flash, b->chip->flash.size);
    else if (fill != IMP_BOARD_FILL_KEEP)
        memset(b->flash, 0xFF, b->chip->flash.size);
    b->chip->ops->new_chip(b, seed);
    fault_apply_cells(b, b->chip->flash.base, b->chip->flash.size);
    board_cpu_invalidate(b->cpu, b->chip->flash.base, b->chip->flash.size);
    set_state(b, true, b->powered);
}

void imp_board_next_any(ImpBoard *b, enum imp_board_fill fill)
{
    imp_board_next(b, board_random(&b->next_seed), fill);
}

void imp_board_remove(ImpBoard *b)
{
    set_state(b, false, b->powered);
}

void imp_board_insert(ImpBoard *b)
{
    set_state(b, true, b->powered);
}

void imp_board_set_power(ImpBoard *b, bool on)
{
    set_state(b, b->present, on);
}

bool imp_board_is_present(const ImpBoard *b)
{
    return b->present;
}

bool imp_board_is_powered(const ImpBoard *b)
{
    return b->powered;
}

bool imp_board_is_running(const ImpBoard *b)
{
    return board_alive(b) && b->core.state == CORE_RUNNING;
}

static const char *check_options(const struct imp_board_options *o)
{
    if (o->packet_size &&
        (o->packet_size < IMP_BOARD_PACKET_SIZE_MIN || o->packet_size > IMP_BOARD_PACKET_SIZE_MAX))
        return "packet size must be 64 to 1024 bytes";
    if (o->serial && (!o->serial[0] || strlen(o->serial) > IMP_BOARD_SERIAL_MAX))
        return "serial number must have 1 to 63 bytes";
    return NULL;
}

static bool allocate(ImpBoard *b)
{
    b->flash = malloc(b->chip->flash.size);
    b->ram = malloc(b->chip->ram.size);
    bool ok = b->flash && b->ram;
    for (unsigned i = 0; i < INFO_BLOCKS_MAX; i++) {
        b->info[i] = malloc(b->chip->info[i].size + 1);
        ok &= b->info[i] != NULL;
    }
    return ok;
}

ImpBoard *imp_board_new(const char *name, uint64_t seed, const struct imp_board_options *options,
                        const char **out_why)
{
    const struct imp_board_options none = {0}, *o = options ? options : &none;
    const char *dummy, **why = out_why ? out_why : &dummy;
    const struct chip *chip = NULL;
    for (size_t i = 0; i < sizeof chips / sizeof *chips; i++)
        if (name && strcmp(chips[i]->name, name) == 0)
            chip = chips[i];
    if (!chip) {
        *why = "no such chip";
        return NULL;
    }
    const char *bad = check_options(o);
    if (bad) {
        *why = bad;
        return NULL;
    }
    ImpBoard *b = calloc(1, sizeof *b);
    *why = "out of memory";
    if (!b)
        return NULL;
    b->chip = chip;
    b->identity = chip->identity;
    b->fault_due_ns = UINT64_MAX;
    b->swclk_hz = SWCLK_HZ_DEFAULT;
    b->next_seed = seed;
    b->packet_size = o->packet_size ? o->packet_size : IMP_BOARD_PACKET_SIZE_DEFAULT;
    b->packet_count = o->packet_count ? o->packet_count : IMP_BOARD_PACKET_COUNT_DEFAULT;
    if (o->serial)
        memcpy(b->serial, o->serial, strlen(o->serial) + 1);
    else
        snprintf(b->serial, sizeof b->serial, "IMPB%08X", (unsigned)seed);
    if (!allocate(b)) {
        imp_board_free(b);
        return NULL;
    }
    b->cpu = board_cpu_new(b);
    if (!b->cpu) {
        *why = "Unicorn cannot be started";
        imp_board_free(b);
        return NULL;
    }
    dap_power_up(b);
    b->powered = true;
    imp_board_next(b, seed, o->fill);
    return b;
}

void imp_board_free(ImpBoard *b)
{
    if (!b)
        return;
    board_cpu_free(b->cpu);
    free(b->flash);
    free(b->ram);
    for (unsigned i = 0; i < INFO_BLOCKS_MAX; i++)
        free(b->info[i]);
    free(b);
}

uint64_t imp_board_now_ns(const ImpBoard *b)
{
    return b->now_ns;
}

void imp_board_advance_to_ns(ImpBoard *b, uint64_t ns)
{
    if (ns <= b->now_ns)
        return;
    board_move_to_ns(b, ns);
    b->edge_rest = 0;
    board_sync(b);
}

void imp_board_idle_to_ns(ImpBoard *b, uint64_t ns, uint64_t run_ns)
{
    if (ns <= b->now_ns || ns - b->now_ns <= run_ns) {
        imp_board_advance_to_ns(b, ns);
        return;
    }
    imp_board_advance_to_ns(b, b->now_ns + run_ns);
    core_skip(b, ns);
    imp_board_advance_to_ns(b, ns);
}

void imp_board_get_counters(const ImpBoard *b, struct imp_board_counters *out)
{
    *out = b->counters;
}

void imp_board_reset_counters(ImpBoard *b)
{
    memset(&b->counters, 0, sizeof b->counters);
}

bool imp_board_peek(const ImpBoard *b, uint32_t addr, void *out, size_t size)
{
    const uint8_t *p = board_memory(b, addr, size);
    if (p)
        memcpy(out, p, size);
    return p != NULL;
}

bool imp_board_poke(ImpBoard *b, uint32_t addr, const void *data, size_t size)
{
    uint8_t *p = board_memory(b, addr, size);
    if (!p || size > UINT32_MAX)
        return false;
    memcpy(p, data, size);
    fault_apply_cells(b, addr, size);
    board_cpu_invalidate(b->cpu, addr, (uint32_t)size);
    return true;
}

void imp_board_get_flash_range(const ImpBoard *b, uint32_t *out_addr, uint32_t *out_size)
{
    *out_addr = b->chip->flash.base;
    *out_size = b->chip->flash.size;
}

const char *imp_board_get_uid(const ImpBoard *b, char out[IMP_BOARD_UID_TEXT_MAX])
{
    const struct flash_ops *ops = b->chip->ops;
    char *p = out;
    for (unsigned i = ops->uid_words; i-- > 0;) {
        uint32_t w = 0;
        (void)imp_board_peek(b, ops->uid_addr + 4 * i, &w, 4);
        p += snprintf(p, IMP_BOARD_UID_TEXT_MAX - (size_t)(p - out), "%08X", (unsigned)w);
    }
    return out;
}

uint16_t imp_board_get_packet_size(const ImpBoard *b)
{
    return b->packet_size;
}

uint8_t imp_board_get_packet_count(const ImpBoard *b)
{
    return b->packet_count;
}
