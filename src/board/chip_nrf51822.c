/* nRF51822 QFAA, revision 3 (the micro:bit's): description, information words, protection. Information blocks and flash
 * controller: nrf5.h.
 *
 * Sources: those of nrf5.h; nRF51822 Product Specification 3.x, electrical specifications, "Non-volatile memory controller (NVMC)
 * specifications". Times used, typical values of that table: tERASEALL 22.3 ms, tPAGEERASE 22.3 ms, tWRITE 46.3 us (one word).
 *
 * - Read-back protection of all (UICR RBPCONF.PALL is not 0xFF at a reset): the debugger reads 0 from code flash, RAM and
 *   peripherals, and writes nothing there, except for the NVMC and POWER.RESET; core registers stay open. ERASEALL through the
 *   NVMC erases everything, RBPCONF included; a reset then opens the chip. That FICR and UICR can still be read, and that hidden memory reads 0
 *   and is no bus error, is not in the manual: users' reports say the second.
 * - Not modelled: code region 0 (CLENR0, PR0) and its protection, write cache of PPFC chips, radio, timers, GPIO and the other
 *   peripherals, which read 0 and ignore writes. */
#include "board/nrf5.h"

#define PAGE_SIZE  1024u
#define FLASH_SIZE (256u * 1024u)
#define RAM_SIZE   (16u * 1024u)
#define INFO_SIZE  0x400u
#define PALL_ADDR  (UICR_BASE + 0x005u) /* RBPCONF, bits 8 to 15 */

#define ERASE_PAGE_NS 22300000u
#define ERASE_ALL_NS  22300000u
#define WRITE_NS      46300u

#define POWER_RAMON  0x40000524u
#define POWER_RESET  0x40000544u
#define POWER_RAMONB 0x40000554u

/* FICR, chapter 7 */
enum { FICR_NUMRAMBLOCK = 0x034, FICR_SIZERAMBLOCK0 = 0x038 };

/* CONFIGID.HWID, nRF51 series compatibility matrix: QFAA H0, and QFAB (128 KiB) for the wrong variant. */
#define HWID_QFAA_H0 0x0072u
#define HWID_QFAB_B0 0x004Cu

static void identify(ImpBoard *b, uint64_t seed)
{
    bool other = b->chip_fault == IMP_BOARD_FAULT_WRONG_CHIP;
    bool half = b->chip_fault == IMP_BOARD_FAULT_WRONG_VARIANT;
    uint32_t page = other ? 4096 : PAGE_SIZE;
    const struct ficr_word words[] = {
        {FICR_CODEPAGESIZE, page},
        {FICR_CODESIZE, (half || other ? FLASH_SIZE / 2 : FLASH_SIZE) / page},
        {FICR_NUMRAMBLOCK, 2},
        {FICR_SIZERAMBLOCK0, RAM_SIZE / 2},
        {FICR_SIZERAMBLOCK0 + 4, RAM_SIZE / 2},
        {FICR_CONFIGID, other ? 0xFFFFFFFFu : 0xFFFF0000u | (half ? HWID_QFAB_B0 : HWID_QFAA_H0)}};
    nrf5_identify(b, seed, words, sizeof words / sizeof *words);
}

static void reset(ImpBoard *b)
{
    nrf5_reset(b, PALL_ADDR);
}

static bool blanks(const ImpBoard *b, uint32_t addr)
{
    bool open = addr - FICR_BASE < 0x2000 || addr >= 0xE0000000u || addr - NVMC_BASE < 0x1000 ||
                (addr & ~3u) == POWER_RESET;
    return nrf5_is_locked(b) && !open;
}

static const struct flash_ops ops = {.new_chip = nrf5_new_chip,
                                     .identify = identify,
                                     .reset = reset,
                                     .power_loss = flash_cut,
                                     .write = nrf5_write,
                                     .reg_read = nrf5_reg_read,
                                     .reg_write = nrf5_reg_write,
                                     .blanks = blanks,
                                     .status_addr = NRF5_STATUS_ADDR,
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
    .page_bytes = PAGE_SIZE,
    .info = {{FICR_BASE, INFO_SIZE}, {UICR_BASE, INFO_SIZE}},
    .regs = {{0x40000000, 0x80000}, {0x50000000, 0x1000}},
    .uarts = {{UART_NRF5, 0x40002000}},
    .plain = {{.addr = POWER_RAMON, .reset = 3, .writable = 0x30003},
              {.addr = POWER_RAMONB, .reset = 3, .writable = 0x30003}},
    .rom = rom,
    .ops = &ops,
};
