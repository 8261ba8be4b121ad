/* Flash algorithm for the code flash of nRF52832 chips with 512 KiB (nRF52832_xxAA). Times: nRF52832 Product Specification v1.4, chapter
 * NVMC, electrical specification. */
#include "code.h"

FLM_DEVICE_SECTION const struct FlashDevice FlashDevice = {
    .version = FLM_VERSION,
    .name = "nrf52-code",
    .type = FLM_ON_CHIP,
    .start = 0x00000000,
    .size_bytes = 512 * 1024,
    .page_bytes = 4096,
    .erased_byte = 0xFF,
    .program_ms_max = 1000, /* 1024 words of at most 338 us each, and room for a slow clock */
    .erase_ms_max = 500, /* at most 90 ms; all of it at most 300 ms */
    .sectors = {{4096, 0}, {FLM_SECTOR_END, FLM_SECTOR_END}},
};
