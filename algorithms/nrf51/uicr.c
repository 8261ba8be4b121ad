/* Flash algorithm for the UICR (user information configuration registers) of nRF51 chips: one sector, erased as a
 * whole by ERASEUICR. It has no EraseChip: that belongs to the code flash's algorithm. Sources: nvmc.h. */
#include "../flm.h"
#include "nvmc.h"

#define UICR_BYTES 0x100 /* up to CUSTOMER[31] at 0x0FC: reference manual, chapter UICR, registers */

FLM_DEVICE_SECTION const struct FlashDevice FlashDevice = {
    .version = FLM_VERSION,
    .name = "nrf51-uicr",
    .type = FLM_ON_CHIP,
    .start = 0x10001000,
    .size_bytes = UICR_BYTES,
    .page_bytes = UICR_BYTES,
    .erased_byte = 0xFF,
    .program_ms_max = 100,
    .erase_ms_max = 500,
    .sectors = {{UICR_BYTES, 0}, {FLM_SECTOR_END, FLM_SECTOR_END}},
};

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
