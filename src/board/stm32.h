/* What the STM32 chips share: how a die says what it is, and the states of option bytes.
 *
 * Sources: ST RM0008 chapters 30 (device electronic signature) and 31.6 (DBGMCU_IDCODE); RM0444 chapters 38 and 40.9; RM0090, 38.6.1. */
#ifndef IMP_BOARD_STM32_H
#define IMP_BOARD_STM32_H

#include "board/machine.h"

enum { INFO_SYSTEM, INFO_OPTIONS }; /* places in chip->info: system memory, option bytes */

struct stm32_die {
    uint64_t salt; /* so that dies of one seed differ */
    uint32_t idcode_addr, idcode;
    uint32_t size_offset, uid_offset; /* in system memory: KiB of flash (16 bits), 96 bits of ID */
};

void stm32_identify(ImpBoard *b, uint64_t seed, const struct stm32_die *die);
uint32_t stm32_idcode(const ImpBoard *b, const struct stm32_die *die); /* of the die, or of a wrong chip */
/* Keys of KEYR of both families. */
extern const struct flash_keys stm32_keys;

#endif
