/* Flash algorithm for the code flash of nRF51 chips with 256 KiB (nRF51822_xxAA). Times: nRF51822 Product Specification v3.1. */
#include "code.h"

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
