/* What nRF51 and nRF52832 share: information blocks and the non-volatile memory controller (NVMC).
 *
 * Sources: nRF51 Series Reference Manual 3.0.1 (chapters 5 memory, 6 NVMC, 7 FICR, 8 UICR, 12 power and reset); nRF52832 Product
 * Specification 1.4 (chapters NVMC, FICR, UICR).
 *
 * - CONFIG.WEN = Wen lets aligned word writes into code flash and UICR program (bits go from 1 to 0 only: the word is ANDed);
 *   any other write into flash is a bus error. Een lets the ERASE registers work; without it they are ignored.
 * - While an operation runs READY reads 0, and whoever accesses flash or info blocks waits: the core is halted when it fetches
 *   or loads from flash, the debugger's access makes the AP busy. Code in RAM runs on and polls READY.
 *   Writes to CONFIG and to the ERASE registers while busy are ignored.
 * - ERASEALL erases code flash and UICR.
 * - Protection: a byte of UICR that is not 0xFF at a reset protects until the next one.
 * - Power cut during an operation: an erased page, or the whole flash, is left with seeded random content; of a word being
 *   programmed, each bit on its way to 0 may have arrived or not. */
#ifndef IMP_BOARD_NRF5_H
#define IMP_BOARD_NRF5_H

#include "board/machine.h"

#define FICR_BASE 0x10000000u
#define UICR_BASE 0x10001000u
enum { INFO_FICR, INFO_UICR }; /* places in chip->info */

/* FICR words that both families have: word offsets */
enum {
    FICR_CODEPAGESIZE = 0x010,
    FICR_CODESIZE = 0x014,
    FICR_CONFIGID =
        0x05C, /* HWID in the lower half; the nRF52832's specification does not name it, tools read it */
    FICR_DEVICEID0 = 0x060,
    FICR_ER0 = 0x080,
    FICR_IR0 = 0x090,
    FICR_DEVICEADDRTYPE = 0x0A0,
    FICR_DEVICEADDR0 = 0x0A4
};

#define NVMC_BASE        0x4001E000u
#define NRF5_STATUS_ADDR (NVMC_BASE + 0x400u) /* READY */

/* UID, keys and addresses from the seed, and the words that say what the chip is. */
struct ficr_word {
    uint32_t offset, value;
};
void nrf5_identify(ImpBoard *b, uint64_t seed, const struct ficr_word *words, unsigned count);
void nrf5_new_chip(ImpBoard *b, uint64_t seed);
/* lock_addr: the byte of UICR that protects */
void nrf5_reset(ImpBoard *b, uint32_t lock_addr);
bool nrf5_is_locked(const ImpBoard *b);
void nrf5_erase_all(ImpBoard *b, uint64_t now_ns);
enum bus_result nrf5_write(ImpBoard *b, const struct bus_access *a, uint32_t value);
enum bus_result nrf5_reg_read(ImpBoard *b, const struct bus_access *a, uint32_t *out);
enum bus_result nrf5_reg_write(ImpBoard *b, const struct bus_access *a, uint32_t value);

#endif
