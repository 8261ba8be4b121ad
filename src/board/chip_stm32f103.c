/* STM32F103xB (128 KiB, 1 KiB pages, Cortex-M3 r1p1): description, system memory and option bytes, flash controller (FPEC). And
 * `fastflash`: the same with a flash that is as fast as the wire, for measuring what the wire can carry.
 *
 * Sources: ST PM0075 (STM32F10xxx Flash memory microcontrollers), chapters 2.3 (reading, programming, option bytes), 2.4 (protections), 3
 * (registers); ST RM0008 chapters 30 (device electronic signature) and 31.6 (DBGMCU_IDCODE); ST DS5319 (STM32F103x8/xB),
 * section 5.3.9, table "Flash memory characteristics": 16-bit programming 52.5 us typical; page erase and mass erase 20 ms, the value
 * that the table begins with (it has no typical one).
 *
 * What the model does:
 * - KEYR: KEY1 then KEY2 opens CR; anything else is a bus error and closes CR until the next reset. Keys while CR is open change
 *   nothing (the manual does not speak of it). OPTKEYR sets OPTWRE in the same way.
 * - CR.PG lets half-word stores into main flash program; any other store is a bus error. A half-word that is not erased is
 *   refused with PGERR (0x0000 is always taken), a write-protected page with WRPRTERR.
 * - CR.STRT with PER, MER or OPTER erases. BSY until the end, then EOP. CR ignores writes while BSY or locked. Whoever
 *   accesses flash meanwhile waits: the core stands still, the debugger's access is answered WAIT.
 * - Option bytes: OPTPG with OPTWRE; the controller makes the complement. They take effect at the next system reset (OBR, WRPR).
 * - Read protection (RDP is not 0xA5): the debugger, and the core while C_DEBUGEN is set, get a bus error for loads from main
 *   flash; stores and page erases are refused with WRPRTERR, a mass erase is not. Pages 0 to 3 are write-protected for
 *   everybody. Programming 0xA5 into RDP erases the main flash first. Real chips tell "debug" by a latch that only power-on clears.
 * - Power cut: as the nRF51's. Option bytes that are cut while being erased hold garbage, which reads as protected.
 * - Not modelled: the boot loader (system memory reads 0xFF beside size and UID), boot pins (flash is at 0), clocks
 *   (RCC's ready bits follow their enable bits, the core stays at 8 MHz), all other peripherals (they read 0 and ignore writes). */
#include "board/stm32.h"

#include <string.h>

#define PAGE_SIZE     1024u
#define FLASH_BASE    0x08000000u
#define FLASH_SIZE    (128u * 1024u)
#define RAM_SIZE      (20u * 1024u)
#define SYSTEM_BASE   0x1FFFF000u
#define SYSTEM_SIZE   0x800u
#define OPTION_BASE   0x1FFFF800u
#define OPTION_SIZE   16u
#define WRP_PAGES     4u /* pages of a write protection bit, medium density */
#define WRP_UNDER_RDP 1u /* its bit for pages 0 to 3 */

#define RCC_CR      0x40021000u
#define RCC_CFGR    0x40021004u
#define AFIO_MAPR   0x40010004u /* RM0008, 9.4.2 */
#define FPEC_BASE   0x40022000u
#define DBGMCU_BASE 0xE0042000u
enum {
    FLASH_ACR = 0x00,
    FLASH_KEYR = 0x04,
    FLASH_OPTKEYR = 0x08,
    FLASH_SR = 0x0C,
    FLASH_CR = 0x10,
    FLASH_AR = 0x14,
    FLASH_OBR = 0x1C,
    FLASH_WRPR = 0x20
};

/* SR, PM0075 3.4; CR, 3.5; OBR, 3.7 */
#define SR_BSY       (1u << 0)
#define SR_PGERR     (1u << 2)
#define SR_WRPRTERR  (1u << 4)
#define SR_EOP       (1u << 5)
#define CR_PG        (1u << 0)
#define CR_PER       (1u << 1)
#define CR_MER       (1u << 2)
#define CR_OPTPG     (1u << 4)
#define CR_OPTER     (1u << 5)
#define CR_STRT      (1u << 6)
#define CR_LOCK      (1u << 7)
#define CR_OPTWRE    (1u << 9)
#define CR_WRITABLE  (CR_PG | CR_PER | CR_MER | CR_OPTPG | CR_OPTER | 0x1400u)
#define OBR_OPTERR   (1u << 0)
#define OBR_RDPRT    (1u << 1)
#define RDP_OPEN     0xA5u
#define MAPR_SWJ_CFG (7u << 24)
#define MAPR_SWJ_OFF (4u << 24) /* neither JTAG nor SWD */

static const struct stm32_die die = {.salt = 0x5732F103ull,
                                     .idcode_addr = DBGMCU_BASE,
                                     .idcode = 0x20036410u, /* medium density, revision X: RM0008, 31.6.1 */
                                     .size_offset = 0x7E0u, /* F_SIZE: RM0008, 30.1 */
                                     .uid_offset = 0x7E8u}; /* U_ID: RM0008, 30.2 */

enum {
    REG_ACR,
    REG_SR,
    REG_CR,
    REG_AR,
    REG_OBR,
    REG_WRPR,
    REG_KEY, /* progress of flash_take_key() for CR */
    REG_OPTKEY, /* for OPTWRE */
    REG_UNFINISHED, /* an operation has not said EOP yet */
    REG_MAPR
};

static void identify(ImpBoard *b, uint64_t seed)
{
    stm32_identify(b, seed, &die);
}

static void new_chip(ImpBoard *b, uint64_t seed)
{
    static const uint8_t factory[OPTION_SIZE] = {
        RDP_OPEN, 0xFF ^ RDP_OPEN, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0};
    identify(b, seed);
    memcpy(b->info[INFO_OPTIONS], factory, OPTION_SIZE);
    memset(&b->ctl, 0, sizeof b->ctl);
}

/* An option byte whose complement is wrong counts as 0xFF. */
static uint8_t option(const ImpBoard *b, unsigned index, uint32_t *io_obr)
{
    const uint8_t *p = b->info[INFO_OPTIONS] + 2 * index;
    if ((p[0] ^ p[1]) == 0xFF)
        return p[0];
    *io_obr |= OBR_OPTERR;
    return 0xFF;
}

static void load_options(ImpBoard *b)
{
    uint32_t obr = 0, wrpr = 0;
    uint8_t rdp = option(b, 0, &obr);
    for (unsigned i = 0; i < 3; i++) /* USER, Data0, Data1 */
        obr |= (uint32_t)option(b, 1 + i, &obr) << (2 + 8 * i);
    for (unsigned i = 0; i < 4; i++)
        wrpr |= (uint32_t)option(b, 4 + i, &obr) << 8 * i;
    b->ctl.reg[REG_OBR] = obr | (rdp == RDP_OPEN ? 0 : OBR_RDPRT);
    b->ctl.reg[REG_WRPR] = wrpr;
}

static bool hides_flash(const ImpBoard *b)
{
    return b->ctl.reg[REG_OBR] & OBR_RDPRT;
}

static void reset(ImpBoard *b)
{
    uint32_t *r = b->ctl.reg;
    r[REG_ACR] = 0x30;
    r[REG_SR] = r[REG_AR] = 0;
    r[REG_CR] = CR_LOCK;
    r[REG_KEY] = r[REG_OPTKEY] = 0;
    r[REG_UNFINISHED] = r[REG_MAPR] = 0;
    load_options(b);
}

/* What the end of an operation changes. */
static void settle(ImpBoard *b, uint64_t now_ns)
{
    uint32_t *r = b->ctl.reg;
    if (!r[REG_UNFINISHED] || now_ns < b->ctl.busy_until_ns)
        return;
    r[REG_UNFINISHED] = 0;
    r[REG_SR] |= SR_EOP;
    r[REG_CR] &= ~CR_STRT;
}

static bool protected_page(const ImpBoard *b, const struct bus_access *a, uint32_t addr)
{
    uint32_t bit = 1u << (addr - FLASH_BASE) / (PAGE_SIZE * WRP_PAGES);
    uint32_t open = b->ctl.reg[REG_WRPR];
    if (hides_flash(b)) {
        if (a->master == MASTER_DEBUG || core_debug_enabled(b))
            return true;
        open &= ~WRP_UNDER_RDP;
    }
    return !(open & bit);
}

static void refuse(ImpBoard *b, uint32_t why)
{
    b->ctl.reg[REG_SR] |= why;
    b->ctl.reg[REG_CR] &= ~CR_STRT;
}

static enum bus_result program_option(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    uint32_t *r = b->ctl.reg;
    if (!(r[REG_CR] & CR_OPTPG) || !(r[REG_CR] & CR_OPTWRE) || a->size != 2)
        return BUS_FAULT;
    const uint8_t pair[2] = {(uint8_t)value, (uint8_t)~value}, *now = board_memory(b, a->addr, 2);
    if (now[0] != 0xFF || now[1] != 0xFF) {
        refuse(b, SR_PGERR);
        return BUS_OK;
    }
    const struct chip_times *t = &b->chip->times;
    flash_program(b, a, pair, 2, t->program_ns);
    if (a->addr == OPTION_BASE && pair[0] == RDP_OPEN && hides_flash(b)) {
        const struct mem_range flash = {FLASH_BASE, FLASH_SIZE};
        flash_erase(b, a->now_ns, &flash, (uint64_t)t->erase_all_ns + t->program_ns);
        b->counters.mass_erases++;
    }
    r[REG_UNFINISHED] = 1;
    return BUS_OK;
}

static enum bus_result write_flash(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    uint32_t *r = b->ctl.reg;
    settle(b, a->now_ns);
    if (r[REG_CR] & CR_LOCK)
        return BUS_FAULT;
    if (a->addr >= OPTION_BASE && a->addr - OPTION_BASE < OPTION_SIZE)
        return program_option(b, a, value);
    if (!(r[REG_CR] & CR_PG) || a->size != 2 || a->addr - FLASH_BASE >= FLASH_SIZE)
        return BUS_FAULT;
    const uint8_t half[2] = {(uint8_t)value, (uint8_t)(value >> 8)}, *now = board_memory(b, a->addr, 2);
    if (protected_page(b, a, a->addr)) {
        refuse(b, SR_WRPRTERR);
    } else if ((now[0] != 0xFF || now[1] != 0xFF) && value != 0) {
        refuse(b, SR_PGERR);
    } else {
        flash_program(b, a, half, 2, b->chip->times.program_ns);
        r[REG_UNFINISHED] = 1;
    }
    return BUS_OK;
}

static void start_erase(ImpBoard *b, const struct bus_access *a)
{
    uint32_t *r = b->ctl.reg;
    r[REG_CR] |= CR_STRT;
    if (r[REG_CR] & CR_OPTER) {
        if (!(r[REG_CR] & CR_OPTWRE)) {
            r[REG_CR] &= ~CR_STRT;
            return;
        }
        flash_erase(b, a->now_ns, &b->chip->info[INFO_OPTIONS], b->chip->times.erase_page_ns);
        b->counters.pages_erased++;
    } else if (r[REG_CR] & CR_MER) {
        if (r[REG_WRPR] != 0xFFFFFFFFu) {
            refuse(b, SR_WRPRTERR);
            return;
        }
        flash_erase_all(b, a->now_ns);
    } else if ((r[REG_CR] & CR_PER) && r[REG_AR] - FLASH_BASE < FLASH_SIZE) {
        if (protected_page(b, a, r[REG_AR])) {
            refuse(b, SR_WRPRTERR);
            return;
        }
        (void)flash_erase_page(b, a->now_ns, r[REG_AR]);
    } else { /* nothing was asked for */
        r[REG_CR] &= ~CR_STRT;
        return;
    }
    r[REG_UNFINISHED] = 1;
}

static void write_cr(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    uint32_t *r = b->ctl.reg;
    if ((r[REG_CR] & CR_LOCK) || a->now_ns < b->ctl.busy_until_ns)
        return;
    /* OPTWRE can only be cleared here */
    r[REG_CR] = (value & CR_WRITABLE) | (r[REG_CR] & value & CR_OPTWRE) | (value & CR_LOCK);
    if ((value & CR_STRT) && !(value & CR_LOCK))
        start_erase(b, a);
}

static enum bus_result fpec_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    uint32_t *r = b->ctl.reg;
    enum bus_result result = BUS_OK;
    bool done;
    settle(b, a->now_ns);
    switch (a->addr - FPEC_BASE) {
    case FLASH_ACR:
        r[REG_ACR] = (value & 0x1F) | (value & 0x10) << 1;
        break;
    case FLASH_KEYR:
        result = flash_take_key(&r[REG_KEY], &stm32_keys, !(r[REG_CR] & CR_LOCK), value, &done);
        if (done)
            r[REG_CR] &= ~CR_LOCK;
        break;
    case FLASH_OPTKEYR:
        result = flash_take_key(&r[REG_OPTKEY], &stm32_keys, r[REG_CR] & CR_OPTWRE, value, &done);
        if (done)
            r[REG_CR] |= CR_OPTWRE;
        break;
    case FLASH_SR:
        r[REG_SR] &= ~(value & (SR_PGERR | SR_WRPRTERR | SR_EOP));
        break;
    case FLASH_CR:
        write_cr(b, a, value);
        break;
    case FLASH_AR:
        if (a->now_ns >= b->ctl.busy_until_ns)
            r[REG_AR] = value;
        break;
    }
    return result;
}

static uint32_t fpec_read(ImpBoard *b, const struct bus_access *a)
{
    const uint32_t *r = b->ctl.reg;
    settle(b, a->now_ns);
    switch (a->addr - FPEC_BASE) {
    case FLASH_ACR:
        return r[REG_ACR];
    case FLASH_SR:
        return r[REG_SR] | (a->now_ns < b->ctl.busy_until_ns ? SR_BSY : 0);
    case FLASH_CR:
        return r[REG_CR];
    case FLASH_OBR:
        return r[REG_OBR];
    case FLASH_WRPR:
        return r[REG_WRPR];
    default: /* the key registers and AR are written only */
        return 0;
    }
}

static enum bus_result reg_read(ImpBoard *b, const struct bus_access *a, uint32_t *out)
{
    if (a->addr == die.idcode_addr)
        *out = stm32_idcode(b, &die);
    else if (a->addr - FPEC_BASE < 0x400)
        *out = fpec_read(b, a);
    else
        return BUS_ABSENT;
    return BUS_OK;
}

/* Firmware may take the debug pins for itself, until the next reset. */
static bool silences_dp(const ImpBoard *b)
{
    return (b->ctl.reg[REG_MAPR] & MAPR_SWJ_CFG) == MAPR_SWJ_OFF;
}

static enum bus_result reg_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    if (a->addr == AFIO_MAPR) { /* SWJ_CFG is write-only */
        b->ctl.reg[REG_MAPR] = value & MAPR_SWJ_CFG;
        return BUS_OK;
    }
    return a->addr - FPEC_BASE < 0x400 ? fpec_write(b, a, value) : BUS_ABSENT;
}

static const struct flash_ops ops = {.new_chip = new_chip,
                                     .identify = identify,
                                     .reset = reset,
                                     .power_loss = flash_cut,
                                     .write = write_flash,
                                     .reg_read = reg_read,
                                     .reg_write = reg_write,
                                     .hides_flash = hides_flash,
                                     .silences_dp = silences_dp,
                                     .status_addr = FPEC_BASE + FLASH_SR,
                                     .uid_addr = SYSTEM_BASE + 0x7E8u,
                                     .uid_words = 3};

/* RM0008, 31.7.1 and ARM DDI 0337E, 4.3: one table, ST's (designer 0x20, part 0x410), with the core's parts. TPIU and ETM of the
 * real chip are not there: their entries say so. */
static const struct rom_word rom[] = {{0xE00FF000, 0xFFF0F003}, {0xE00FF004, 0xFFF02003},
                                      {0xE00FF008, 0xFFF03003}, {0xE00FF00C, 0xFFF01003},
                                      {0xE00FF010, 0xFFF41002}, {0xE00FF014, 0xFFF42002},
                                      {0xE00FFFCC, 0x01},       {0xE00FFFE0, 0x10},
                                      {0xE00FFFE4, 0x04},       {0xE00FFFE8, 0x0A},
                                      CID(0xE00FF000, 0x10),    PID_ARM(0xE000E000, 0x000),
                                      CID(0xE000E000, 0xE0),    PID_ARM(0xE0001000, 0x002),
                                      CID(0xE0001000, 0xE0),    PID_ARM(0xE0002000, 0x003),
                                      CID(0xE0002000, 0xE0),    PID_ARM(0xE0000000, 0x001),
                                      CID(0xE0000000, 0xE0),    {0, 0}};

/* clang-format off */
#define STM32F103XB(the_name, program, page, all)                                   \
    {                                                                               \
        .name = the_name,                                                           \
        .identity = {.dpidr = 0x1BA01477, .ap_idr = 0x14770011, .cpuid = 0x411FC231}, \
        .ap_base = 0xE00FF003,                                                      \
        .tar_wrap = 4096,                                                           \
        .packed = true,                                                             \
        .core = CHIP_CORTEX_M3,                                                     \
        .core_hz = 8000000, /* HSI */                                               \
        .breakpoints = 6,                                                           \
        .literals = 2,                                                              \
        .times = {.program_ns = program, .erase_page_ns = page, .erase_all_ns = all}, \
        .flash = {FLASH_BASE, FLASH_SIZE},                                          \
        .flash_at_zero = true,                                                      \
        .ram = {0x20000000, RAM_SIZE},                                              \
        .page_bytes = PAGE_SIZE,                                                    \
        .has_reset_pin = true,                                                      \
        .info = {{SYSTEM_BASE, SYSTEM_SIZE}, {OPTION_BASE, OPTION_SIZE}},           \
        .regs = {{0x40000000, 0x30000}, {DBGMCU_BASE, 0x400}},                      \
        .uarts = {{UART_STM32F1, 0x40013800}, {UART_STM32F1, 0x40004400}}, /* USART1, USART2 */ \
        /* HSIRDY, HSERDY, PLLRDY: the bit above each enable bit; SWS follows SW */ \
        .plain = {{.addr = RCC_CR, .reset = 0x83, .writable = 0x010D00F9, .echo = {{0x01010001, 1}}}, \
                  {.addr = RCC_CFGR, .writable = 0x077FFFF3, .echo = {{3, 2}}},     \
                  {.addr = DBGMCU_BASE + 4, .writable = 0xFFFFFFFF, .survives_reset = true}}, \
        .rom = rom,                                                                 \
        .ops = &ops,                                                                \
    }
/* clang-format on */

const struct chip board_chip_stm32f103cb = STM32F103XB("stm32f103cb", 52500, 20000000, 20000000);
/* 8 cycles a half-word and 0.1 ms an erase: no chip is like this. */
const struct chip board_chip_fastflash = STM32F103XB("fastflash", 1000, 100000, 100000);
