#include "board/nrf5.h"

#include <string.h>

#define POWER_RESETREAS 0x40000400u
#define RESETREAS_SREQ  (1u << 2)

enum {
    NVMC_CONFIG = 0x504,
    NVMC_ERASEPAGE = 0x508, /* also ERASEPCR1 */
    NVMC_ERASEALL = 0x50C,
    NVMC_ERASEUICR = 0x514
};
enum { CONFIG_WEN = 1, CONFIG_EEN = 2 };
enum { REG_CONFIG, REG_RESETREAS, REG_LOCKED };

static void put(ImpBoard *b, uint32_t offset, uint32_t value)
{
    memcpy(b->info[INFO_FICR] + offset, &value, 4);
}

void nrf5_identify(ImpBoard *b, uint64_t seed, const struct ficr_word *words, unsigned count)
{
    uint64_t s = seed ^ 0x0F1C40ull, id = board_random(&s), addr = board_random(&s);
    memset(b->info[INFO_FICR], 0xFF, b->chip->info[INFO_FICR].size);
    put(b, FICR_DEVICEID0, (uint32_t)id);
    put(b, FICR_DEVICEID0 + 4, (uint32_t)(id >> 32));
    put(b, FICR_DEVICEADDRTYPE, 0xFFFFFFFFu); /* random address */
    put(b, FICR_DEVICEADDR0, (uint32_t)addr);
    put(b, FICR_DEVICEADDR0 + 4, 0xFFFF0000u | (uint32_t)(addr >> 32 & 0xFFFF));
    for (unsigned i = 0; i < 4; i++) {
        put(b, FICR_ER0 + 4 * i, (uint32_t)board_random(&s));
        put(b, FICR_IR0 + 4 * i, (uint32_t)board_random(&s));
    }
    for (unsigned i = 0; i < count; i++)
        put(b, words[i].offset, words[i].value);
}

void nrf5_new_chip(ImpBoard *b, uint64_t seed)
{
    b->chip->ops->identify(b, seed);
    memset(b->info[INFO_UICR], 0xFF, b->chip->info[INFO_UICR].size);
    memset(&b->ctl, 0, sizeof b->ctl);
}

void nrf5_reset(ImpBoard *b, uint32_t lock_addr)
{
    b->ctl.reg[REG_CONFIG] = 0;
    b->ctl.reg[REG_RESETREAS] |= RESETREAS_SREQ;
    b->ctl.reg[REG_LOCKED] = *board_memory(b, lock_addr, 1) != 0xFF;
}

bool nrf5_is_locked(const ImpBoard *b)
{
    return b->ctl.reg[REG_LOCKED];
}

void nrf5_erase_all(ImpBoard *b, uint64_t now_ns)
{
    flash_erase(b, now_ns, &b->chip->info[INFO_UICR], b->chip->times.erase_all_ns);
    flash_erase_all(b, now_ns); /* a power cut damages this range */
}

static void erase_uicr(ImpBoard *b, uint64_t now_ns)
{
    flash_erase(b, now_ns, &b->chip->info[INFO_UICR], b->chip->times.erase_page_ns);
    b->counters.pages_erased++;
}

enum bus_result nrf5_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    bool ficr = a->addr - FICR_BASE < b->chip->info[INFO_FICR].size;
    if (b->ctl.reg[REG_CONFIG] != CONFIG_WEN || a->size != 4 || ficr || !board_memory(b, a->addr, 4))
        return BUS_FAULT;
    flash_program(b, a, (const uint8_t *)&value, 4, b->chip->times.program_ns);
    return BUS_OK;
}

enum bus_result nrf5_reg_read(ImpBoard *b, const struct bus_access *a, uint32_t *out)
{
    switch (a->addr) {
    case NRF5_STATUS_ADDR:
        *out = a->now_ns >= b->ctl.busy_until_ns;
        return BUS_OK;
    case NVMC_BASE + NVMC_CONFIG:
        *out = b->ctl.reg[REG_CONFIG];
        return BUS_OK;
    case POWER_RESETREAS:
        *out = b->ctl.reg[REG_RESETREAS];
        return BUS_OK;
    default:
        return BUS_ABSENT;
    }
}

/* Registers that only work with Een. */
static void nvmc_erase(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    if (a->now_ns < b->ctl.busy_until_ns || b->ctl.reg[REG_CONFIG] != CONFIG_EEN)
        return;
    if (a->addr == NVMC_BASE + NVMC_ERASEPAGE)
        (void)flash_erase_page(b, a->now_ns, value);
    else if (!(value & 1))
        return;
    else if (a->addr == NVMC_BASE + NVMC_ERASEALL)
        nrf5_erase_all(b, a->now_ns);
    else
        erase_uicr(b, a->now_ns);
}

enum bus_result nrf5_reg_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    switch (a->addr) {
    case POWER_RESETREAS:
        b->ctl.reg[REG_RESETREAS] &= ~value;
        return BUS_OK;
    case NVMC_BASE + NVMC_CONFIG:
        if (a->now_ns >= b->ctl.busy_until_ns)
            b->ctl.reg[REG_CONFIG] = value & 3;
        return BUS_OK;
    case NVMC_BASE + NVMC_ERASEPAGE:
    case NVMC_BASE + NVMC_ERASEALL:
    case NVMC_BASE + NVMC_ERASEUICR:
        nvmc_erase(b, a, value);
        return BUS_OK;
    default:
        return BUS_ABSENT;
    }
}
