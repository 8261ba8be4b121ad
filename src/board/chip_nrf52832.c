/* nRF52832 QFAA, revision 2 (build code E0): description, information words, access port protection and CTRL-AP. Information
 * blocks and flash controller: nrf5.h.
 *
 * Sources: nRF52832 Product Specification 1.4, chapters 4 (CPU), 8 (memory), 11 (NVMC), 13 (FICR), 14 (UICR), 16 (debug and trace:
 * 16.2 CTRL-AP, 16.2.1 access port protection).
 * Times: the specification gives no typical values, only least and greatest ones. Used are the greatest page erase, 89.7 ms (also in
 * Zephyr's soc/arm/nordic_nrf/nrf52/soc.h, by Nordic, as FLASH_PAGE_ERASE_MAX_TIME_US), and from memory of the same table, not
 * looked up again, the greatest erase all, 295.3 ms, and the least word write, 67.5 us.
 *
 * - Protection (UICR APPROTECT is not 0xFF at a reset; on this revision any other value protects): the MEM-AP refuses every
 *   access with an error, its CSW shows that it is disabled; its own registers and CTRL-AP go on answering.
 * - CTRL-AP, access port 1. RESET holds the reset line. ERASEALL erases code flash, UICR and RAM whatever is protected and whatever
 *   the NVMC's CONFIG says; a reset after it opens the chip. ERASEALLSTATUS is 1 until it is over.
 * - Not modelled: BPROT (nothing is protected), the instruction cache (always off), code RAM at 0x00800000, pin reset (P0.21 must be
 *   set up in UICR for it), the floating-point unit, clocks (the core runs at 64 MHz), radio and all other peripherals. */
#include "board/nrf5.h"

#include <string.h>

#define PAGE_SIZE      4096u
#define FLASH_SIZE     (512u * 1024u)
#define RAM_SIZE       (64u * 1024u)
#define INFO_SIZE      0x1000u
#define APPROTECT_ADDR (UICR_BASE + 0x208u)

#define BPROT_DISABLEINDEBUG 0x40000608u
#define NVMC_ICACHECNF       (NVMC_BASE + 0x540u)

/* FICR.INFO, chapter 13 */
enum {
    FICR_PART = 0x100,
    FICR_VARIANT = 0x104,
    FICR_PACKAGE = 0x108,
    FICR_RAM = 0x10C, /* KiB */
    FICR_FLASH = 0x110 /* KiB */
};
#define HWID_QFAA_E0 0x0139u /* nRF52832 compatibility matrix */
#define PACKAGE_QF   0x2000u

/* CTRL-AP, 16.2.2 */
#define CTRL_AP 1u
enum {
    CTRL_RESET = 0x00,
    CTRL_ERASEALL = 0x04,
    CTRL_ERASEALLSTATUS = 0x08,
    CTRL_APPROTECTSTATUS = 0x0C, /* 0: protected */
    CTRL_IDR = 0xFC
};
#define CTRL_IDR_VALUE 0x02880000u

static uint32_t four_letters(const char *text) /* the first is the highest byte */
{
    return (uint32_t)text[0] << 24 | (uint32_t)text[1] << 16 | (uint32_t)text[2] << 8 | (uint32_t)text[3];
}

static void identify(ImpBoard *b, uint64_t seed)
{
    bool other = b->chip_fault == IMP_BOARD_FAULT_WRONG_CHIP; /* an nRF52840 */
    bool half = b->chip_fault == IMP_BOARD_FAULT_WRONG_VARIANT; /* xxAB: 256 KiB, 32 KiB of RAM */
    uint32_t flash = other ? 2 * FLASH_SIZE : half ? FLASH_SIZE / 2 : FLASH_SIZE;
    const struct ficr_word words[] = {{FICR_CODEPAGESIZE, PAGE_SIZE},
                                      {FICR_CODESIZE, flash / PAGE_SIZE},
                                      {FICR_CONFIGID, 0xFFFF0000u | (other || half ? 0xFFFFu : HWID_QFAA_E0)},
                                      {FICR_PART, other ? 0x52840 : 0x52832},
                                      {FICR_VARIANT, four_letters(other  ? "AAC0"
                                                                  : half ? "ABB0"
                                                                         : "AAE0")},
                                      {FICR_PACKAGE, other ? 0x2004 : PACKAGE_QF},
                                      {FICR_RAM, other  ? 256
                                                 : half ? 32
                                                        : RAM_SIZE / 1024},
                                      {FICR_FLASH, flash / 1024}};
    nrf5_identify(b, seed, words, sizeof words / sizeof *words);
}

static void reset(ImpBoard *b)
{
    nrf5_reset(b, APPROTECT_ADDR);
}

static bool ap_read(ImpBoard *b, unsigned ap, unsigned reg, uint32_t *out)
{
    if (ap != CTRL_AP)
        return false;
    switch (reg) {
    case CTRL_RESET:
        *out = b->core.state == CORE_HELD;
        break;
    case CTRL_ERASEALLSTATUS:
        *out = b->now_ns < flash_busy_until_ns(b);
        break;
    case CTRL_APPROTECTSTATUS:
        *out = !nrf5_is_locked(b);
        break;
    case CTRL_IDR:
        *out = CTRL_IDR_VALUE;
        break;
    default:
        *out = 0;
        break;
    }
    return true;
}

static bool ap_write(ImpBoard *b, unsigned ap, unsigned reg, uint32_t value)
{
    if (ap != CTRL_AP)
        return false;
    if (reg == CTRL_RESET) {
        core_hold(b, value & 1);
    } else if (reg == CTRL_ERASEALL && (value & 1) && b->now_ns >= flash_busy_until_ns(b)) {
        nrf5_erase_all(b, b->now_ns);
        memset(b->ram, 0, b->chip->ram.size);
        board_cpu_invalidate(b->cpu, b->chip->ram.base, b->chip->ram.size);
    }
    return true;
}

static const struct flash_ops ops = {.new_chip = nrf5_new_chip,
                                     .identify = identify,
                                     .reset = reset,
                                     .power_loss = flash_cut,
                                     .write = nrf5_write,
                                     .reg_read = nrf5_reg_read,
                                     .reg_write = nrf5_reg_write,
                                     .closes_ap = nrf5_is_locked,
                                     .ap_read = ap_read,
                                     .ap_write = ap_write,
                                     .status_addr = NRF5_STATUS_ADDR,
                                     .uid_addr = FICR_BASE + FICR_DEVICEID0,
                                     .uid_words = 2};

/* ARM DDI 0439D, 2.2: one table, Nordic's (designer 0x244, part 0x006), with the core's parts. TPIU and ETM of the real chip are not
 * there: their entries say so. */
static const struct rom_word rom[] = {
    {0xE00FF000, 0xFFF0F003},   {0xE00FF004, 0xFFF02003},   {0xE00FF008, 0xFFF03003},
    {0xE00FF00C, 0xFFF01003},   {0xE00FF010, 0xFFF41002},   {0xE00FF014, 0xFFF42002},
    {0xE00FFFCC, 0x01},         {0xE00FFFE0, 0x06},         {0xE00FFFE4, 0x40},
    {0xE00FFFE8, 0x0C},         {0xE00FFFD0, 0x02},         CID(0xE00FF000, 0x10),
    PID_ARM(0xE000E000, 0x00C), CID(0xE000E000, 0xE0),      PID_ARM(0xE0001000, 0x002),
    CID(0xE0001000, 0xE0),      PID_ARM(0xE0002000, 0x003), CID(0xE0002000, 0xE0),
    PID_ARM(0xE0000000, 0x001), CID(0xE0000000, 0xE0),      {0, 0}};

const struct chip board_chip_nrf52832 = {
    .name = "nrf52832",
    .identity = {.dpidr = 0x2BA01477, .ap_idr = 0x24770011, .cpuid = 0x410FC241},
    .ap_base = 0xE00FF003,
    .tar_wrap = 4096,
    .packed = true,
    .core = CHIP_CORTEX_M4,
    .core_hz = 64000000,
    .breakpoints = 6,
    .literals = 2,
    .times = {.program_ns = 67500, .erase_page_ns = 89700000, .erase_all_ns = 295300000},
    .flash = {0x00000000, FLASH_SIZE},
    .ram = {0x20000000, RAM_SIZE},
    .page_bytes = PAGE_SIZE,
    .info = {{FICR_BASE, INFO_SIZE}, {UICR_BASE, INFO_SIZE}},
    .regs = {{0x40000000, 0x80000}, {0x50000000, 0x1000}},
    .uarts = {{UART_NRF5, 0x40002000}},
    .plain = {{.addr = BPROT_DISABLEINDEBUG, .reset = 1, .writable = 1},
              {.addr = NVMC_ICACHECNF, .reset = 0, .writable = 0x101}},
    .rom = rom,
    .ops = &ops,
};
