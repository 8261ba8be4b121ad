/* Flash algorithm for the code flash of nRF51 chips with 256 KiB (nRF51822_xxAA). EraseChip is the controller's
 * ERASEALL: it erases UICR as well. Sources: nvmc.h; times: nRF51822 Product Specification v3.1. */
#include "../flm.h"
#include "nvmc.h"

FLM_DEVICE_SECTION const struct FlashDevice FlashDevice = {
    .version = FLM_VERSION,
    .name = "nrf51-code",
    .type = FLM_ON_CHIP,
    .start = 0x00000000,
    .size_bytes = 256 * 1024,
    .page_bytes = 1024,
    .erased_byte = 0xFF,
    .program_ms_max = 100, /* 256 words of less than 50 us each, and room for a slow clock */
    .erase_ms_max = 500, /* about 22 ms */
    .sectors = {{1024, 0}, {FLM_SECTOR_END, FLM_SECTOR_END}},
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
