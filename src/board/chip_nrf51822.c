/* nRF51822 QFAA, revision 3 (the micro:bit's): description, info blocks, flash controller.
 *
 * Sources: nRF51 Series Reference Manual 3.0.1 (chapters 5 memory, 6 NVMC, 7 FICR, 8 UICR, 12 power and reset); nRF51822 Product
 * Specification 3.x, electrical specifications, "Non-volatile memory controller (NVMC) specifications".
 * Times used, typical values of that table: tERASEALL 22.3 ms, tPAGEERASE 22.3 ms, tWRITE 46.3 us (one word).
 *
 * What the model does:
 * - CONFIG.WEN = Wen lets aligned word writes into code flash and UICR program (bits go from 1 to 0 only: the word is ANDed);
 *   any other write into flash is a bus error. Een lets the ERASE registers work; without it they are ignored.
 * - While an operation runs READY reads 0, and whoever accesses flash or info blocks waits: the core is halted when it fetches
 *   or loads from flash, the debugger's access makes the AP busy. Code in RAM runs on and polls READY.
 *   Writes to CONFIG and to the ERASE registers while busy are ignored.
 * - ERASEALL erases code flash and UICR.
 * - Power cut during an operation: an erased page, or the whole flash, is left with seeded random content; of a word being
 *   programmed, each bit on its way to 0 may have arrived or not.
 * - Not modelled: code region 0 (CLENR0) and its protection, read-back protection (RBPCONF), write cache of PPFC chips,
 *   radio, timers, GPIO and the other peripherals, which read 0 and ignore writes. */
#include "board/machine.h"

#include <string.h>

#define PAGE_SIZE  1024u
#define FLASH_SIZE (256u * 1024u)
#define RAM_SIZE   (16u * 1024u)
#define FICR_BASE  0x10000000u
#define UICR_BASE  0x10001000u
#define INFO_SIZE  0x400u

#define ERASE_PAGE_NS 22300000u
#define ERASE_ALL_NS  22300000u
#define WRITE_NS      46300u

#define POWER_BASE 0x40000000u
#define NVMC_BASE  0x4001E000u
enum {
    POWER_RESETREAS = 0x400,
    POWER_RAMON = 0x524,
    POWER_RAMONB = 0x554,
    NVMC_READY = 0x400,
    NVMC_CONFIG = 0x504,
    NVMC_ERASEPAGE = 0x508, /* also ERASEPCR1 */
    NVMC_ERASEALL = 0x50C,
    NVMC_ERASEUICR = 0x514
};
enum { CONFIG_WEN = 1, CONFIG_EEN = 2 };
enum { REG_CONFIG, REG_RESETREAS, REG_RAMON, REG_RAMONB };
#define RESETREAS_SREQ (1u << 2)

/* FICR, chapter 7: word offsets */
enum {
    FICR_CODEPAGESIZE = 0x010,
    FICR_CODESIZE = 0x014,
    FICR_PPFC = 0x02C,
    FICR_NUMRAMBLOCK = 0x034,
    FICR_SIZERAMBLOCK0 = 0x038,
    FICR_CONFIGID = 0x05C,
    FICR_DEVICEID0 = 0x060,
    FICR_DEVICEID1 = 0x064,
    FICR_ER0 = 0x080,
    FICR_IR0 = 0x090,
    FICR_DEVICEADDRTYPE = 0x0A0,
    FICR_DEVICEADDR0 = 0x0A4,
    FICR_DEVICEADDR1 = 0x0A8
};

/* CONFIGID.HWID, nRF51 series compatibility matrix: QFAA H0, and QFAB (128 KiB) for the wrong variant. */
#define HWID_QFAA_H0 0x0072u
#define HWID_QFAB_B0 0x004Cu

static void put(ImpBoard *b, uint32_t offset, uint32_t value)
{
    memcpy(b->info[0] + offset, &value, 4);
}

static void identify(ImpBoard *b, uint64_t seed)
{
    bool other = b->chip_fault == IMP_BOARD_FAULT_WRONG_CHIP;
    bool half = b->chip_fault == IMP_BOARD_FAULT_WRONG_VARIANT;
    uint64_t s = seed ^ 0x0F1C40ull, id = board_random(&s), addr = board_random(&s);
    memset(b->info[0], 0xFF, INFO_SIZE);
    put(b, FICR_CODEPAGESIZE, other ? 4096 : PAGE_SIZE);
    put(b, FICR_CODESIZE, (half || other ? FLASH_SIZE / 2 : FLASH_SIZE) / (other ? 4096 : PAGE_SIZE));
    put(b, FICR_NUMRAMBLOCK, 2);
    for (unsigned i = 0; i < 2; i++)
        put(b, FICR_SIZERAMBLOCK0 + 4 * i, RAM_SIZE / 2);
    put(b, FICR_CONFIGID, other ? 0xFFFFFFFFu : 0xFFFF0000u | (half ? HWID_QFAB_B0 : HWID_QFAA_H0));
    put(b, FICR_DEVICEID0, (uint32_t)id);
    put(b, FICR_DEVICEID1, (uint32_t)(id >> 32));
    put(b, FICR_DEVICEADDRTYPE, 0xFFFFFFFFu); /* random address */
    put(b, FICR_DEVICEADDR0, (uint32_t)addr);
    put(b, FICR_DEVICEADDR1, 0xFFFF0000u | (uint32_t)(addr >> 32 & 0xFFFF));
    for (unsigned i = 0; i < 4; i++) {
        put(b, FICR_ER0 + 4 * i, (uint32_t)board_random(&s));
        put(b, FICR_IR0 + 4 * i, (uint32_t)board_random(&s));
    }
}

static void new_chip(ImpBoard *b, uint64_t seed)
{
    identify(b, seed);
    memset(b->info[1], 0xFF, INFO_SIZE);
    memset(&b->ctl, 0, sizeof b->ctl);
}

static void reset(ImpBoard *b)
{
    b->ctl.reg[REG_CONFIG] = 0;
    b->ctl.reg[REG_RAMON] = b->ctl.reg[REG_RAMONB] = 3;
    b->ctl.reg[REG_RESETREAS] |= RESETREAS_SREQ;
}

static void erase_page(ImpBoard *b, const struct bus_access *a, uint32_t addr)
{
    struct mem_range page = {addr & ~(PAGE_SIZE - 1), PAGE_SIZE};
    if (page.base >= FLASH_SIZE)
        return;
    flash_erase(b, a->now_ns, &page, b->chip->times.erase_page_ns);
    b->counters.pages_erased++;
}

static void erase_all(ImpBoard *b, const struct bus_access *a)
{
    struct mem_range uicr = {UICR_BASE, INFO_SIZE}, flash = {0, FLASH_SIZE};
    flash_erase(b, a->now_ns, &uicr, b->chip->times.erase_all_ns);
    flash_erase(b, a->now_ns, &flash, b->chip->times.erase_all_ns); /* a power cut damages this range */
    b->counters.mass_erases++;
}

static void erase_uicr(ImpBoard *b, const struct bus_access *a)
{
    struct mem_range uicr = {UICR_BASE, INFO_SIZE};
    flash_erase(b, a->now_ns, &uicr, b->chip->times.erase_page_ns);
    b->counters.pages_erased++;
}

static enum bus_result write_flash(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    bool ficr = a->addr - FICR_BASE < INFO_SIZE;
    if (b->ctl.reg[REG_CONFIG] != CONFIG_WEN || a->size != 4 || ficr || !board_memory(b, a->addr, 4))
        return BUS_FAULT;
    flash_program(b, a, (const uint8_t *)&value, 4, b->chip->times.program_ns);
    return BUS_OK;
}

static enum bus_result reg_read(ImpBoard *b, const struct bus_access *a, uint32_t *out)
{
    const struct flash_ctl *n = &b->ctl;
    *out = 0;
    if (a->size != 4)
        return BUS_OK;
    switch (a->addr) {
    case NVMC_BASE + NVMC_READY:
        *out = a->now_ns >= n->busy_until_ns;
        break;
    case NVMC_BASE + NVMC_CONFIG:
        *out = n->reg[REG_CONFIG];
        break;
    case POWER_BASE + POWER_RESETREAS:
        *out = n->reg[REG_RESETREAS];
        break;
    case POWER_BASE + POWER_RAMON:
        *out = n->reg[REG_RAMON];
        break;
    case POWER_BASE + POWER_RAMONB:
        *out = n->reg[REG_RAMONB];
        break;
    }
    return BUS_OK;
}

static void nvmc_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    struct flash_ctl *n = &b->ctl;
    if (a->now_ns < n->busy_until_ns)
        return;
    uint32_t offset = a->addr - NVMC_BASE;
    if (offset == NVMC_CONFIG) {
        n->reg[REG_CONFIG] = value & 3;
        return;
    }
    if (n->reg[REG_CONFIG] != CONFIG_EEN)
        return;
    switch (offset) {
    case NVMC_ERASEPAGE:
        erase_page(b, a, value);
        break;
    case NVMC_ERASEALL:
        if (value & 1)
            erase_all(b, a);
        break;
    case NVMC_ERASEUICR:
        if (value & 1)
            erase_uicr(b, a);
        break;
    }
}

static enum bus_result reg_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    if (a->size != 4)
        return BUS_OK;
    switch (a->addr) {
    case POWER_BASE + POWER_RESETREAS:
        b->ctl.reg[REG_RESETREAS] &= ~value;
        break;
    case POWER_BASE + POWER_RAMON:
        b->ctl.reg[REG_RAMON] = value & 0x30003;
        break;
    case POWER_BASE + POWER_RAMONB:
        b->ctl.reg[REG_RAMONB] = value & 0x30003;
        break;
    default:
        if (a->addr - NVMC_BASE < 0x1000)
            nvmc_write(b, a, value);
        break;
    }
    return BUS_OK;
}

static const struct flash_ops ops = {.new_chip = new_chip,
                                     .identify = identify,
                                     .reset = reset,
                                     .power_loss = flash_cut,
                                     .write = write_flash,
                                     .reg_read = reg_read,
                                     .reg_write = reg_write,
                                     .uid_addr = FICR_BASE + FICR_DEVICEID0,
                                     .uid_words = 2};

/* The chip's own table (designer 0x244, Nordic) points to the Cortex-M0's (part 0x471), which points to SCS, DWT and breakpoint
 * unit (ARM DDI 0432C, table 8-1). The DWT of this model has no comparators. */
static const struct rom_word rom[] = {
    {0xF0000000, 0xF00FF003}, /* 0xE00FF000 - 0xF0000000, present */
    {0xF0000FCC, 0x01}, /* system memory on this bus */
    {0xF0000FE0, 0x01},
    {0xF0000FE4, 0x40},
    {0xF0000FE8,
     0x7C}, /* revision 7: none of those that start-up code works around; not read from a real H0 */
    {0xF0000FD0, 0x02},
    CID(0xF0000000, 0x10),
    {0xE00FF000, 0xFFF0F003},
    {0xE00FF004, 0xFFF02003},
    {0xE00FF008, 0xFFF03003},
    {0xE00FFFCC, 0x01},
    PID_ARM(0xE00FF000, 0x471),
    CID(0xE00FF000, 0x10),
    PID_ARM(0xE000E000, 0x008),
    CID(0xE000E000, 0xE0),
    PID_ARM(0xE0001000, 0x00A),
    CID(0xE0001000, 0xE0),
    PID_ARM(0xE0002000, 0x00B),
    CID(0xE0002000, 0xE0),
    {0, 0}};

const struct chip board_chip_nrf51822 = {
    .name = "nrf51822",
    .identity = {.dpidr = 0x0BB11477, .ap_idr = 0x04770021, .cpuid = 0x410CC200},
    .ap_base = 0xF0000003,
    .tar_wrap = 1024,
    .packed = false,
    .core = CHIP_CORTEX_M0,
    .core_hz = 16000000,
    .breakpoints = 4,
    .times = {.program_ns = WRITE_NS, .erase_page_ns = ERASE_PAGE_NS, .erase_all_ns = ERASE_ALL_NS},
    .flash = {0x00000000, FLASH_SIZE},
    .ram = {0x20000000, RAM_SIZE},
    .info = {{FICR_BASE, INFO_SIZE}, {UICR_BASE, INFO_SIZE}},
    .regs = {{0x40000000, 0x80000}, {0x50000000, 0x1000}},
    .rom = rom,
    .ops = &ops,
};
