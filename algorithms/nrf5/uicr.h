/* The functions of a flash algorithm for the UICR (user information configuration registers) of nRF51 and nRF52 chips: one sector, erased
 * as a whole by ERASEUICR; whoever includes this has the FlashDevice. There is no EraseChip: that belongs to the code flash's
 * algorithm. Sources: nvmc.h. */
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

int EraseSector(uint32_t adr)
{
    nvmc_mode(NVMC_ERASE);
    NVMC_ERASEUICR = 1;
    nvmc_mode(NVMC_READ);
    return 0;
}

int ProgramPage(uint32_t adr, uint32_t sz, const uint8_t *buf)
{
    return nvmc_program(adr, sz, buf);
}
