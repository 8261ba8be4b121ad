/* Flash algorithm for the UICR of nRF52832 chips. */
#include "uicr.h"

#define UICR_BYTES 0x210 /* up to NFCPINS at 0x20C: product specification v1.4, chapter UICR, registers */

FLM_DEVICE_SECTION const struct FlashDevice FlashDevice = {
    .version = FLM_VERSION,
    .name = "nrf52-uicr",
    .type = FLM_ON_CHIP,
    .start = 0x10001000,
    .size_bytes = UICR_BYTES,
    .page_bytes = UICR_BYTES,
    .erased_byte = 0xFF,
    .program_ms_max = 200, /* 132 words of at most 338 us each */
    .erase_ms_max = 500,
    .sectors = {{UICR_BYTES, 0}, {FLM_SECTOR_END, FLM_SECTOR_END}},
};
