/* STM32G071xB (128 KiB, 2 KiB pages, Cortex-M0+): description, engineering bytes, option bytes, flash controller.
 *
 * Sources: ST RM0444 chapters 3 (embedded flash memory: 3.3 operations, 3.4 option bytes, 3.5 protection, 3.7 registers), 38 (device electronic
 * signature) and 40 (debug support, ROM table); ST DS12232 (STM32G071x8/xB), "Memory characteristics", table "Flash memory
 * characteristics": 64-bit programming 85 us, page erase 22.0 ms, mass erase 22.1 ms, all typical.
 *
 * What the model does:
 * - KEYR: as the STM32F103's. CR is also closed by LOCK. OPTKEYR opens the option registers until OPTLOCK is set again.
 * - CR.PG lets two word stores, to a multiple of 8 and to the word behind it, program 64 bits; other sizes are refused with SIZERR,
 *   another order with PGAERR, a double word that is not erased with PROGERR (zero is always taken). Without PG, or with an
 *   error that is not cleared, PGSERR. None of these is a bus error.
 * - CR.STRT with PER and PNB, or MER1, erases. BSY1 until the end; EOP only with EOPIE. Whoever accesses flash meanwhile waits.
 * - Option bytes: what is written into OPTR, PCROP1xR, WRP1xR, SECR is programmed by OPTSTRT, each with its complement, and comes into
 *   force when it is loaded: at power-on, or by OBL_LAUNCH, which also resets. A word whose complement is wrong is loaded as all
 *   ones (which is level 1) and shown by OPTVERR. The registers show what was written into them last.
 * - Read protection, by the level loaded: at level 1 the debugger, and the core while C_DEBUGEN is set, get a bus error for loads from
 *   main flash, and every erase and program operation on it is refused with WRPERR. OPTSTRT with level 0 erases the main flash first. At level 2 the debug port is
 *   dead and OPTSTRT does nothing, for ever. Level 1 on real chips begins with any access of the debug port, not with C_DEBUGEN.
 * - WRP1AR, WRP1BR protect pages from erasing and programming; a mass erase is refused while any page is.
 * - Power cut: as the nRF51's. Option bytes that are cut hold garbage, which reads as level 1.
 * - Not modelled: PCROP, the securable area and boot configuration (kept, without effect), fast programming; ECC; OTP (it cannot be
 *   written); boot loader, empty check, clocks (RCC's ready bits follow their enable bits, the core stays at 16 MHz), all
 *   other peripherals (they read 0 and ignore writes). */
#include "board/stm32.h"

#include <string.h>

#define PAGE_SIZE   2048u
#define FLASH_BASE  0x08000000u
#define FLASH_SIZE  (128u * 1024u)
#define RAM_SIZE    (36u * 1024u)
#define SYSTEM_BASE 0x1FFF7000u /* OTP, engineering bytes */
#define SYSTEM_SIZE 0x800u
#define OPTION_BASE 0x1FFF7800u
#define OPTION_SIZE 0x80u
#define UID_OFFSET  0x590u /* RM0444, 38.1 */

#define DBG_BASE 0x40015800u
#define RCC_CR   0x40021000u
#define RCC_CFGR 0x40021008u
#define CTL_BASE 0x40022000u
enum {
    FLASH_ACR = 0x00,
    FLASH_KEYR = 0x08,
    FLASH_OPTKEYR = 0x0C,
    FLASH_SR = 0x10,
    FLASH_CR = 0x14,
    FLASH_OPTR = 0x20
};

/* SR, RM0444 3.7.4; CR, 3.7.5 */
#define SR_EOP       (1u << 0)
#define SR_PROGERR   (1u << 3)
#define SR_WRPERR    (1u << 4)
#define SR_PGAERR    (1u << 5)
#define SR_SIZERR    (1u << 6)
#define SR_PGSERR    (1u << 7)
#define SR_OPTVERR   (1u << 15)
#define SR_ERRORS    (SR_PROGERR | SR_WRPERR | SR_PGAERR | SR_SIZERR | SR_PGSERR)
#define SR_BSY1      (1u << 16)
#define CR_PG        (1u << 0)
#define CR_PER       (1u << 1)
#define CR_MER1      (1u << 2)
#define CR_PNB(cr)   ((cr) >> 3 & 0x3F)
#define CR_STRT      (1u << 16)
#define CR_OPTSTRT   (1u << 17)
#define CR_EOPIE     (1u << 24)
#define CR_OBL       (1u << 27)
#define CR_OPTLOCK   (1u << 30)
#define CR_LOCK      (1u << 31)
#define CR_KEPT      (CR_PG | CR_PER | CR_MER1 | 0x3Fu << 3 | 7u << 24)
#define RDP_LEVEL0   0xAAu
#define RDP_LEVEL2   0xCCu
#define WRP_FIRST(r) ((r)&0x3F)
#define WRP_LAST(r)  ((r) >> 16 & 0x3F)

static const struct flash_keys option_keys = {0x08192A3Bu, 0x4C5D6E7Fu};

/* The option words: RM0444, table "Organization of the option bytes"; each is followed by its complement. */
enum { OPT_OPTR, OPT_WRP1A = 3, OPT_WRP1B = 4, OPTIONS = 8 };
static const struct {
    uint16_t offset, reg; /* in the option bytes, of the controller */
    uint32_t factory;
} options[OPTIONS] = {{0x00, 0x20, 0xFFFFFEAA}, {0x08, 0x24, 0xFFFFFFFF}, {0x10, 0x28, 0x00000000},
                      {0x18, 0x2C, 0x0000003F}, {0x20, 0x30, 0x0000003F}, {0x28, 0x34, 0xFFFFFFFF},
                      {0x30, 0x38, 0x00000000}, {0x70, 0x80, 0x00000000}};

enum {
    REG_ACR,
    REG_SR,
    REG_CR,
    REG_KEY,
    REG_OPTKEY,
    REG_UNFINISHED,
    REG_HAS_FIRST,
    REG_FIRST_ADDR,
    REG_FIRST,
    REG_OF_RESET, /* from here on a system reset changes nothing */
    REG_LOADED = REG_OF_RESET, /* option bytes have been loaded since power-on */
    REG_OPTVERR,
    REG_RDP, /* as loaded */
    REG_WRP, /* 2 words, as loaded */
    REG_OPTIONS = REG_WRP + 2 /* as written */
};
_Static_assert(REG_OPTIONS + OPTIONS <= CTL_REGS_MAX, "room for the option registers");

static const struct stm32_die die = {.salt = 0x5732071ull,
                                     .idcode_addr = DBG_BASE,
                                     .idcode = 0x20006460u, /* RM0444, 40.9.1: revision B */
                                     .size_offset = 0x5E0u, /* RM0444, 38.2 */
                                     .uid_offset = UID_OFFSET};

static void identify(ImpBoard *b, uint64_t seed)
{
    stm32_identify(b, seed, &die);
}

static void put_option(ImpBoard *b, unsigned i, uint32_t value)
{
    const uint32_t pair[2] = {value, ~value};
    memcpy(b->info[INFO_OPTIONS] + options[i].offset, pair, 8);
}

static void new_chip(ImpBoard *b, uint64_t seed)
{
    identify(b, seed);
    memset(b->info[INFO_OPTIONS], 0xFF, OPTION_SIZE);
    for (unsigned i = 0; i < OPTIONS; i++)
        put_option(b, i, options[i].factory);
    memset(&b->ctl, 0, sizeof b->ctl);
}

static void load_options(ImpBoard *b)
{
    uint32_t *r = b->ctl.reg;
    r[REG_OPTVERR] = 0;
    for (unsigned i = 0; i < OPTIONS; i++) {
        uint32_t pair[2];
        memcpy(pair, b->info[INFO_OPTIONS] + options[i].offset, 8);
        bool good = pair[0] == ~pair[1];
        r[REG_OPTIONS + i] = good ? pair[0] : 0xFFFFFFFFu;
        r[REG_OPTVERR] |= good ? 0 : SR_OPTVERR;
    }
    r[REG_RDP] = r[REG_OPTIONS + OPT_OPTR] & 0xFF;
    r[REG_WRP] = r[REG_OPTIONS + OPT_WRP1A];
    r[REG_WRP + 1] = r[REG_OPTIONS + OPT_WRP1B];
    r[REG_LOADED] = 1;
}

static bool hides_flash(const ImpBoard *b)
{
    return b->ctl.reg[REG_RDP] != RDP_LEVEL0;
}

static bool silences_dp(const ImpBoard *b)
{
    return b->ctl.reg[REG_RDP] == RDP_LEVEL2;
}

static void reset(ImpBoard *b)
{
    uint32_t *r = b->ctl.reg;
    memset(r, 0, REG_OF_RESET * sizeof *r);
    r[REG_ACR] = 0x600;
    r[REG_CR] = CR_LOCK | CR_OPTLOCK;
    if (!r[REG_LOADED])
        load_options(b);
    r[REG_SR] = r[REG_OPTVERR];
}

/* What the end of an operation changes. */
static void settle(ImpBoard *b, uint64_t now_ns)
{
    uint32_t *r = b->ctl.reg;
    if (!r[REG_UNFINISHED] || now_ns < b->ctl.busy_until_ns)
        return;
    r[REG_UNFINISHED] = 0;
    r[REG_SR] |= r[REG_CR] & CR_EOPIE ? SR_EOP : 0;
    r[REG_CR] &= ~(CR_STRT | CR_OPTSTRT);
}

static enum bus_result refuse(ImpBoard *b, uint32_t why)
{
    b->ctl.reg[REG_SR] |= why;
    b->ctl.reg[REG_CR] &= ~CR_STRT;
    b->ctl.reg[REG_HAS_FIRST] = 0;
    return BUS_OK;
}

/* Read protection as this access meets it. */
static bool locked_for(const ImpBoard *b, const struct bus_access *a)
{
    return hides_flash(b) && (a->master == MASTER_DEBUG || core_debug_enabled(b));
}

static bool any_write_protection(const ImpBoard *b, uint32_t first_page, uint32_t last_page)
{
    for (unsigned i = 0; i < 2; i++) {
        uint32_t w = b->ctl.reg[REG_WRP + i];
        if (WRP_FIRST(w) <= WRP_LAST(w) && first_page <= WRP_LAST(w) && last_page >= WRP_FIRST(w))
            return true;
    }
    return false;
}

static enum bus_result write_flash(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    uint32_t *r = b->ctl.reg;
    settle(b, a->now_ns);
    if (!(r[REG_CR] & CR_PG) || (r[REG_SR] & SR_ERRORS) || a->addr - FLASH_BASE >= FLASH_SIZE)
        return refuse(b, SR_PGSERR);
    uint32_t page = (a->addr - FLASH_BASE) / PAGE_SIZE;
    if (locked_for(b, a) || any_write_protection(b, page, page))
        return refuse(b, SR_WRPERR);
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

static void start_erase(ImpBoard *b, const struct bus_access *a)
{
    uint32_t *r = b->ctl.reg, page = CR_PNB(r[REG_CR]);
    bool all = r[REG_CR] & CR_MER1;
    if ((r[REG_SR] & SR_ERRORS) || !(r[REG_CR] & (CR_MER1 | CR_PER)) || (r[REG_CR] & CR_PG)) {
        refuse(b, SR_PGSERR);
        return;
    }
    if (locked_for(b, a) ||
        any_write_protection(b, all ? 0 : page, all ? FLASH_SIZE / PAGE_SIZE - 1 : page)) {
        refuse(b, SR_WRPERR);
        return;
    }
    r[REG_CR] |= CR_STRT;
    r[REG_UNFINISHED] = 1;
    if (all)
        flash_erase_all(b, a->now_ns);
    else
        (void)flash_erase_page(b, a->now_ns, FLASH_BASE + page * PAGE_SIZE);
}

/* All option bytes anew, from their registers. */
static void start_options(ImpBoard *b, uint64_t now_ns)
{
    uint32_t *r = b->ctl.reg;
    const struct chip_times *t = &b->chip->times;
    bool opens = hides_flash(b) && (r[REG_OPTIONS + OPT_OPTR] & 0xFF) == RDP_LEVEL0;
    uint64_t length_ns = t->erase_page_ns + (uint64_t)OPTIONS * t->program_ns;
    if (silences_dp(b) || (r[REG_SR] & SR_ERRORS))
        return;
    if (opens) {
        flash_erase_all(b, now_ns);
        length_ns += t->erase_all_ns;
    }
    flash_erase(b, now_ns, &b->chip->info[INFO_OPTIONS], length_ns); /* a power cut damages this range */
    for (unsigned i = 0; i < OPTIONS; i++)
        put_option(b, i, r[REG_OPTIONS + i]);
    r[REG_CR] |= CR_OPTSTRT;
    r[REG_UNFINISHED] = 1;
}

static void write_cr(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    uint32_t *r = b->ctl.reg;
    bool options_open = !(r[REG_CR] & CR_OPTLOCK);
    if ((r[REG_CR] & CR_LOCK) || a->now_ns < b->ctl.busy_until_ns)
        return;
    /* OPTLOCK can only be set here */
    r[REG_CR] = (value & (CR_KEPT | CR_LOCK)) | ((value | r[REG_CR]) & CR_OPTLOCK);
    r[REG_HAS_FIRST] = 0;
    if (value & CR_LOCK)
        return;
    if (options_open && (value & CR_OBL)) {
        r[REG_LOADED] = 0;
        core_request_reset(b, a);
    } else if (options_open && (value & CR_OPTSTRT)) {
        start_options(b, a->now_ns);
    } else if (value & CR_STRT) {
        start_erase(b, a);
    }
}

static void write_option(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    uint32_t *r = b->ctl.reg;
    if ((r[REG_CR] & CR_OPTLOCK) || a->now_ns < b->ctl.busy_until_ns)
        return;
    for (unsigned i = 0; i < OPTIONS; i++)
        if (options[i].reg == a->addr - CTL_BASE)
            r[REG_OPTIONS + i] = value;
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
        result = flash_take_key(&r[REG_KEY], &stm32_keys, !(r[REG_CR] & CR_LOCK), value, &opens);
        if (opens)
            r[REG_CR] &= ~CR_LOCK;
        break;
    case FLASH_OPTKEYR: /* LOCK must be open first */
        result = flash_take_key(&r[REG_OPTKEY], &option_keys, !(r[REG_CR] & CR_OPTLOCK), value, &opens);
        if (opens && !(r[REG_CR] & CR_LOCK))
            r[REG_CR] &= ~CR_OPTLOCK;
        break;
    case FLASH_SR:
        r[REG_SR] &= ~value;
        break;
    case FLASH_CR:
        write_cr(b, a, value);
        break;
    default:
        write_option(b, a, value);
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
    default:
        for (unsigned i = 0; i < OPTIONS; i++)
            if (options[i].reg == a->addr - CTL_BASE)
                return r[REG_OPTIONS + i];
        return 0;
    }
}

static enum bus_result reg_read(ImpBoard *b, const struct bus_access *a, uint32_t *out)
{
    if (a->addr == die.idcode_addr)
        *out = stm32_idcode(b, &die);
    else if (a->addr - CTL_BASE < 0x400)
        *out = ctl_read(b, a);
    else
        return BUS_ABSENT;
    return BUS_OK;
}

static enum bus_result reg_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    return a->addr - CTL_BASE < 0x400 ? ctl_write(b, a, value) : BUS_ABSENT;
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
                                     .status_addr = CTL_BASE + FLASH_SR,
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
    .page_bytes = PAGE_SIZE,
    .has_reset_pin = true,
    .info = {{SYSTEM_BASE, SYSTEM_SIZE}, {OPTION_BASE, OPTION_SIZE}},
    .regs = {{0x40000000, 0x30000}, {0x50000000, 0x2000}},
    .uarts = {{UART_STM32G0, 0x40013800}, {UART_STM32G0, 0x40004400}}, /* USART1, USART2 */
    /* HSIRDY two bits above HSION; HSERDY and PLLRDY one above their enable bits; SWS follows SW */
    .plain = {{.addr = RCC_CR,
               .reset = 0x500, /* on the 16 MHz internal oscillator */
               .writable = 0x010D3B00,
               .echo = {{0x100, 2}, {0x01010000, 1}}},
              {.addr = RCC_CFGR, .writable = 0x77007F07, .echo = {{7, 3}}}},
    .rom = rom,
    .ops = &ops,
};
