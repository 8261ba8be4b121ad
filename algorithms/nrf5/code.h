/* The functions of a flash algorithm for the code flash of nRF51 and nRF52 chips; whoever includes this has the FlashDevice. EraseChip
 * is the controller's ERASEALL: it erases UICR as well. Sources: nvmc.h. */
#pragma once

#include "../flm.h"
#include "nvmc.h"

int Init(uint32_t adr, uint32_t clk, uint32_t fnc)
{
    nvmc_mode(NVMC_READ);
    return 0;
}

int UnInit(uint32_t fnc)
{
    nvmc_mode(NVMC_READ);
    return 0;
}

int EraseChip(void)
{
    nvmc_mode(NVMC_ERASE);
    NVMC_ERASEALL = 1;
    nvmc_mode(NVMC_READ);
    return 0;
}

int EraseSector(uint32_t adr)
{
    nvmc_mode(NVMC_ERASE);
    NVMC_ERASEPAGE = adr;
    nvmc_mode(NVMC_READ);
    return 0;
}

int ProgramPage(uint32_t adr, uint32_t sz, const uint8_t *buf)
{
    return nvmc_program(adr, sz, buf);
}
