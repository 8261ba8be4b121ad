/* STM32G071xB (128 KiB, 2 KiB pages, Cortex-M0+): description, engineering bytes, flash controller.
 *
 * Sources: ST RM0444 chapters 3 (embedded flash memory), 38 (device electronic signature) and 40 (debug support, ROM table); ST DS12232
 * (STM32G071x8/xB), "Memory characteristics", table "Flash memory characteristics": 64-bit programming 85 us, page erase
 * 22.0 ms, mass erase 22.1 ms, all typical.
 *
 * What the model does:
 * - KEYR: as the STM32F103's. CR is also closed by LOCK.
 * - CR.PG lets two word stores, to a multiple of 8 and to the word behind it, program 64 bits; other sizes are refused with SIZERR,
 *   another order with PGAERR, a double word that is not erased with PROGERR (zero is always taken). Without PG, or with an
 *   error that is not cleared, PGSERR. None of these is a bus error.
 * - CR.STRT with PER and PNB, or MER1, erases. BSY1 until the end; EOP only with EOPIE. Whoever accesses flash meanwhile waits.
 * - Power cut: as the nRF51's.
 * - Not modelled: option bytes (OPTR and the protection registers read as the factory has them, OPTKEYR is ignored), so neither
 *   read nor write protection; fast programming; ECC; OTP (it cannot be written); boot loader, empty check, clocks (RCC's
 *   ready bits follow their enable bits, the core stays at 16 MHz), all other peripherals (they read 0 and ignore writes). */
#include "board/machine.h"

#include <string.h>

#define PAGE_SIZE   2048u
#define FLASH_BASE  0x08000000u
#define FLASH_SIZE  (128u * 1024u)
#define RAM_SIZE    (36u * 1024u)
#define SYSTEM_BASE 0x1FFF7000u /* OTP, engineering bytes */
#define SYSTEM_SIZE 0x800u
#define UID_OFFSET  0x590u /* RM0444, 38.1 */
#define SIZE_OFFSET 0x5E0u /* KiB: RM0444, 38.2 */

#define DBG_BASE 0x40015800u
#define RCC_CR   0x40021000u
#define RCC_CFGR 0x40021008u
#define CTL_BASE 0x40022000u
enum {
    FLASH_ACR = 0x00,
    FLASH_KEYR = 0x08,
    FLASH_SR = 0x10,
    FLASH_CR = 0x14,
    FLASH_OPTR = 0x20,
    FLASH_WRP1AR = 0x2C,
    FLASH_WRP1BR = 0x30
};

/* SR, RM0444 3.7.4; CR, 3.7.5 */
#define SR_EOP     (1u << 0)
#define SR_PROGERR (1u << 3)
#define SR_PGAERR  (1u << 5)
#define SR_SIZERR  (1u << 6)
#define SR_PGSERR  (1u << 7)
#define SR_ERRORS  (SR_PROGERR | SR_PGAERR | SR_SIZERR | SR_PGSERR)
#define SR_BSY1    (1u << 16)
#define CR_PG      (1u << 0)
#define CR_PER     (1u << 1)
#define CR_MER1    (1u << 2)
#define CR_PNB(cr) ((cr) >> 3 & 0x3F)
#define CR_STRT    (1u << 16)
#define CR_EOPIE   (1u << 24)
#define CR_OPTLOCK (1u << 30)
#define CR_LOCK    (1u << 31)
#define CR_KEPT    (CR_PG | CR_PER | CR_MER1 | 0x3Fu << 3 | 7u << 24)
#define OPTR       0xFFFFFEAAu /* read protection level 0 */
#define WRP_NONE   0x0000003Fu /* starts behind its end */

#define IDCODE       0x20006460u /* RM0444, 40.9.1: revision B */
#define IDCODE_OTHER 0x10016413u /* an STM32F40x: RM0090, 38.6.1 */

enum {
    REG_ACR,
    REG_SR,
    REG_CR,
    REG_KEY,
    REG_UNFINISHED,
    REG_HAS_FIRST,
    REG_FIRST_ADDR,
    REG_FIRST,
    REG_RCC_CR,
    REG_RCC_CFGR
};

static void identify(ImpBoard *b, uint64_t seed)
{
    uint64_t s = seed ^ 0x5732071ull;
    uint8_t *info = b->info[0];
    memset(info, 0xFF, SYSTEM_SIZE);
    uint16_t kib = FLASH_SIZE / 1024u / (b->chip_fault == IMP_BOARD_FAULT_WRONG_VARIANT ? 2 : 1);
    memcpy(info + SIZE_OFFSET, &kib, 2);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t word = (uint32_t)board_random(&s);
        memcpy(info + UID_OFFSET + 4 * i, &word, 4);
    }
}

static void new_chip(ImpBoard *b, uint64_t seed)
{
    identify(b, seed);
    memset(&b->ctl, 0, sizeof b->ctl);
}

static void reset(ImpBoard *b)
{
    uint32_t *r = b->ctl.reg;
    memset(r, 0, sizeof b->ctl.reg);
    r[REG_ACR] = 0x600;
    r[REG_CR] = CR_LOCK | CR_OPTLOCK;
    r[REG_RCC_CR] = 0x500; /* on the 16 MHz internal oscillator */
}

/* What the end of an operation changes. */
static void settle(ImpBoard *b, uint64_t now_ns)
{
    uint32_t *r = b->ctl.reg;
    if (!r[REG_UNFINISHED] || now_ns < b->ctl.busy_until_ns)
        return;
    r[REG_UNFINISHED] = 0;
    r[REG_SR] |= r[REG_CR] & CR_EOPIE ? SR_EOP : 0;
    r[REG_CR] &= ~CR_STRT;
}

static enum bus_result refuse(ImpBoard *b, uint32_t why)
{
    b->ctl.reg[REG_SR] |= why;
    b->ctl.reg[REG_CR] &= ~CR_STRT;
    b->ctl.reg[REG_HAS_FIRST] = 0;
    return BUS_OK;
}

static enum bus_result write_flash(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    uint32_t *r = b->ctl.reg;
    settle(b, a->now_ns);
    if (!(r[REG_CR] & CR_PG) || (r[REG_SR] & SR_ERRORS) || a->addr - FLASH_BASE >= FLASH_SIZE)
        return refuse(b, SR_PGSERR);
    if (a->size != 4)
        return refuse(b, SR_SIZERR);
    if (a->addr % 8 == 0 && !r[REG_HAS_FIRST]) {
        r[REG_HAS_FIRST] = 1;
        r[REG_FIRST_ADDR] = a->addr;
        r[REG_FIRST] = value;
        return BUS_OK;
    }
    if (!r[REG_HAS_FIRST] || a->addr != r[REG_FIRST_ADDR] + 4)
        return refuse(b, SR_PGAERR);
    static const uint8_t blank[8] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    const uint32_t both[2] = {r[REG_FIRST], value};
    struct bus_access unit = *a;
    unit.addr = r[REG_FIRST_ADDR];
    r[REG_HAS_FIRST] = 0;
    if (memcmp(board_memory(b, unit.addr, 8), blank, 8) != 0 && (both[0] != 0 || both[1] != 0))
        return refuse(b, SR_PROGERR);
    flash_program(b, &unit, (const uint8_t *)both, 8, b->chip->times.program_ns);
    r[REG_UNFINISHED] = 1;
    return BUS_OK;
}

static void start_erase(ImpBoard *b, uint64_t now_ns)
{
    uint32_t *r = b->ctl.reg;
    const struct chip_times *t = &b->chip->times;
    struct mem_range what = {FLASH_BASE + CR_PNB(r[REG_CR]) * PAGE_SIZE, PAGE_SIZE};
    if ((r[REG_SR] & SR_ERRORS) || !(r[REG_CR] & (CR_MER1 | CR_PER)) || (r[REG_CR] & CR_PG)) {
        refuse(b, SR_PGSERR);
        return;
    }
    r[REG_CR] |= CR_STRT;
    r[REG_UNFINISHED] = 1;
    if (r[REG_CR] & CR_MER1) {
        what = (struct mem_range){FLASH_BASE, FLASH_SIZE};
        flash_erase(b, now_ns, &what, t->erase_all_ns);
        b->counters.mass_erases++;
    } else {
        flash_erase(b, now_ns, &what, t->erase_page_ns);
        b->counters.pages_erased++;
    }
}

static enum bus_result ctl_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    uint32_t *r = b->ctl.reg;
    enum bus_result result = BUS_OK;
    bool opens;
    settle(b, a->now_ns);
    switch (a->addr - CTL_BASE) {
    case FLASH_ACR:
        r[REG_ACR] = value & 0x50707;
        break;
    case FLASH_KEYR:
        result = flash_take_key(&r[REG_KEY], &(struct flash_keys){0x45670123, 0xCDEF89AB},
                                !(r[REG_CR] & CR_LOCK), value, &opens);
        if (opens)
            r[REG_CR] &= ~CR_LOCK;
        break;
    case FLASH_SR:
        r[REG_SR] &= ~value;
        break;
    case FLASH_CR:
        if ((r[REG_CR] & CR_LOCK) || a->now_ns < b->ctl.busy_until_ns)
            break;
        r[REG_CR] = (value & (CR_KEPT | CR_LOCK)) | CR_OPTLOCK;
        r[REG_HAS_FIRST] = 0;
        if ((value & CR_STRT) && !(value & CR_LOCK))
            start_erase(b, a->now_ns);
        break;
    }
    return result;
}

static uint32_t ctl_read(ImpBoard *b, const struct bus_access *a)
{
    const uint32_t *r = b->ctl.reg;
    settle(b, a->now_ns);
    switch (a->addr - CTL_BASE) {
    case FLASH_ACR:
        return r[REG_ACR];
    case FLASH_SR:
        return r[REG_SR] | (a->now_ns < b->ctl.busy_until_ns ? SR_BSY1 : 0);
    case FLASH_CR:
        return r[REG_CR];
    case FLASH_OPTR:
        return OPTR;
    case FLASH_WRP1AR:
    case FLASH_WRP1BR:
        return WRP_NONE;
    default:
        return 0;
    }
}

static enum bus_result reg_read(ImpBoard *b, const struct bus_access *a, uint32_t *out)
{
    struct bus_access word = *a;
    uint32_t v = 0;
    word.addr &= ~3u;
    if (word.addr - CTL_BASE < 0x400)
        v = ctl_read(b, &word);
    else if (word.addr == RCC_CR)
        v = b->ctl.reg[REG_RCC_CR];
    else if (word.addr == RCC_CFGR)
        v = b->ctl.reg[REG_RCC_CFGR];
    else if (word.addr == DBG_BASE)
        v = b->chip_fault == IMP_BOARD_FAULT_WRONG_CHIP ? IDCODE_OTHER : IDCODE;
    v >>= 8 * (a->addr & 3);
    *out = a->size == 4 ? v : v & ((1u << 8 * a->size) - 1);
    return BUS_OK;
}

static enum bus_result reg_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    if (a->size != 4)
        return BUS_OK;
    if (a->addr - CTL_BASE < 0x400)
        return ctl_write(b, a, value);
    if (a->addr == RCC_CR) /* HSIRDY two bits above HSION; HSERDY and PLLRDY one above their enable bits */
        b->ctl.reg[REG_RCC_CR] = (value & 0x010D3B00) | (value & 0x100) << 2 | (value & 0x01010000) << 1;
    else if (a->addr == RCC_CFGR) /* SWS follows SW */
        b->ctl.reg[REG_RCC_CFGR] = (value & 0x77007F07) | (value & 7) << 3;
    return BUS_OK;
}

static const struct flash_ops ops = {.new_chip = new_chip,
                                     .identify = identify,
                                     .reset = reset,
                                     .power_loss = flash_cut,
                                     .write = write_flash,
                                     .reg_read = reg_read,
                                     .reg_write = reg_write,
                                     .uid_addr = SYSTEM_BASE + UID_OFFSET,
                                     .uid_words = 3};

/* RM0444, 40.6: ST's table (designer 0x20, part 0x460) points to the Cortex-M0+'s (part 0x4C0), which points to SCS, DWT and breakpoint
 * unit. The DWT of this model has no comparators. */
static const struct rom_word rom[] = {{0xF0000000, 0xF00FF003},
                                      {0xF0000FCC, 0x01},
                                      {0xF0000FE0, 0x60},
                                      {0xF0000FE4, 0x04},
                                      {0xF0000FE8, 0x0A},
                                      CID(0xF0000000, 0x10),
                                      {0xE00FF000, 0xFFF0F003},
                                      {0xE00FF004, 0xFFF02003},
                                      {0xE00FF008, 0xFFF03003},
                                      {0xE00FFFCC, 0x01},
                                      PID_ARM(0xE00FF000, 0x4C0),
                                      CID(0xE00FF000, 0x10),
                                      PID_ARM(0xE000E000, 0x008),
                                      CID(0xE000E000, 0xE0),
                                      PID_ARM(0xE0001000, 0x00A),
                                      CID(0xE0001000, 0xE0),
                                      PID_ARM(0xE0002000, 0x00B),
                                      CID(0xE0002000, 0xE0),
                                      {0, 0}};

const struct chip board_chip_stm32g071rb = {
    .name = "stm32g071rb",
    .identity = {.dpidr = 0x0BC11477, .ap_idr = 0x04770031, .cpuid = 0x410CC601},
    .ap_base = 0xF0000003,
    .tar_wrap = 1024,
    .core = CHIP_CORTEX_M0PLUS,
    .core_hz = 16000000, /* HSI16 */
    .breakpoints = 4,
    .times = {.program_ns = 85000, .erase_page_ns = 22000000, .erase_all_ns = 22100000},
    .flash = {FLASH_BASE, FLASH_SIZE},
    .flash_at_zero = true,
    .ram = {0x20000000, RAM_SIZE},
    .info = {{SYSTEM_BASE, SYSTEM_SIZE}},
    .regs = {{0x40000000, 0x30000}, {0x50000000, 0x2000}},
    .rom = rom,
    .ops = &ops,
};
