/* The non-volatile memory controller of nRF51 chips and of the nRF52832.
 *
 * Source: Nordic Semiconductor, nRF51 Series Reference Manual v3.0: chapters "Non-Volatile Memory Controller (NVMC)" (functional
 * description and registers) and "User Information Configuration Registers (UICR)"; nRF52832 Product Specification v1.4, the same chapters: what
 * is used here is the same.
 * The core may go on while the flash is busy as long as it runs from RAM, as a flash algorithm does. */
#pragma once

#include <stdint.h>

#define NVMC_BASE        0x4001E000u
#define NVMC_REG(offset) (*(volatile uint32_t *)(NVMC_BASE + (offset)))

#define NVMC_READY     NVMC_REG(0x400) /* bit 0: 1 = ready for the next operation */
#define NVMC_CONFIG    NVMC_REG(0x504)
#define NVMC_ERASEPAGE NVMC_REG(0x508) /* ERASEPCR1: the address of a page's first byte */
#define NVMC_ERASEALL  NVMC_REG(0x50C) /* 1: erases code flash and UICR */
#define NVMC_ERASEUICR NVMC_REG(0x514) /* 1: erases UICR */

enum { NVMC_READ = 0, NVMC_WRITE = 1, NVMC_ERASE = 2 }; /* NVMC_CONFIG */

/* Without end on purpose: the host halts the core when its time limit is over. */
static inline void nvmc_wait(void)
{
    while (NVMC_READY == 0) /* the other bits read as 0 */
        ;
}

/* CONFIG must not change while an operation is going on. */
static inline void nvmc_mode(uint32_t mode)
{
    nvmc_wait();
    NVMC_CONFIG = mode;
}

/* Writes whole words. Words that are blank are left out: a write of all ones costs as much time as any other and
 * changes nothing. The next word is fetched while the flash is busy with this one. */
static inline int nvmc_program(uint32_t adr, uint32_t sz, const uint8_t *buf)
{
    volatile const uint32_t *ready = &NVMC_READY;
    if (((adr | sz | (uint32_t)buf) & 3u) != 0)
        return 1;
    nvmc_mode(NVMC_WRITE);
    for (uint32_t i = 0; i < sz; i += 4) {
        uint32_t word = *(const uint32_t *)(const void *)(buf + i);
        if (word == 0xFFFFFFFFu)
            continue;
        while (*ready == 0)
            ;
        *(volatile uint32_t *)(adr + i) = word;
    }
    nvmc_mode(NVMC_READ);
    return 0;
}
