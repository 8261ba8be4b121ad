/* Flash algorithm for the UICR of nRF51 chips. */
#include "uicr.h"

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
