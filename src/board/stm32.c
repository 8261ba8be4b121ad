#include "board/stm32.h"

#include <string.h>

#define IDCODE_OTHER 0x10016413u /* an STM32F40x: RM0090, 38.6.1 */

const struct flash_keys stm32_keys = {0x45670123u, 0xCDEF89ABu};

void stm32_identify(ImpBoard *b, uint64_t seed, const struct stm32_die *die)
{
    uint64_t s = seed ^ die->salt;
    uint8_t *info = b->info[INFO_SYSTEM];
    memset(info, 0xFF, b->chip->info[INFO_SYSTEM].size);
    uint32_t kib = b->chip->flash.size / 1024u / (b->chip_fault == IMP_BOARD_FAULT_WRONG_VARIANT ? 2 : 1);
    memcpy(info + die->size_offset, &(uint16_t){(uint16_t)kib}, 2);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t word = (uint32_t)board_random(&s);
        memcpy(info + die->uid_offset + 4 * i, &word, 4);
    }
}

uint32_t stm32_idcode(const ImpBoard *b, const struct stm32_die *die)
{
    return b->chip_fault == IMP_BOARD_FAULT_WRONG_CHIP ? IDCODE_OTHER : die->idcode;
}
