/* The interface of a flash algorithm (FLM), as Open-CMSIS-Pack defines it: "Flash Programming", sections "Algorithm
 * Functions" and "FlashDevice Structure".
 *
 * Life cycle: the host loads PrgCode and PrgData anywhere in RAM, calls Init with a function code before each kind of
 * work and UnInit after it. Every function returns 0 if it succeeded, 1 if not. One core, one call at a time.
 * No pointer may be stored in constant data: its value would be the link-time address. */
#pragma once

#include <stdint.h>

enum { FLM_ERASE = 1, FLM_PROGRAM = 2, FLM_VERIFY = 3 }; /* fnc of Init and UnInit */

#define FLM_VERSION        0x0101 /* interface version 1.00, algorithm version 1 */
#define FLM_ON_CHIP        1 /* devType */
#define FLM_SECTOR_END     0xFFFFFFFFu
#define FLM_SECTORS_MAX    4 /* of our own algorithms; the format allows 512 */
#define FLM_DEVICE_SECTION __attribute__((section("DevDscr"), used))

struct FlashSectors {
    uint32_t size_bytes;
    uint32_t offset; /* relative to devAdr */
};

struct FlashDevice {
    uint16_t version;
    char name[128];
    uint16_t type;
    uint32_t start;
    uint32_t size_bytes;
    uint32_t page_bytes;
    uint32_t reserved;
    uint8_t erased_byte;
    uint32_t program_ms_max; /* one page */
    uint32_t erase_ms_max; /* one sector */
    struct FlashSectors sectors[FLM_SECTORS_MAX];
};

extern const struct FlashDevice FlashDevice;

/* adr: start of the memory, clk: core clock in Hz, fnc: what is going to be done. */
int Init(uint32_t adr, uint32_t clk, uint32_t fnc);
int UnInit(uint32_t fnc);
/* Erases everything that the memory controller can erase at once; optional. */
int EraseChip(void);
/* Erases the sector that starts at adr. */
int EraseSector(uint32_t adr);
/* Programs sz bytes of buf at adr; adr..adr+sz-1 lies in one page, adr and buf are aligned to a word. */
int ProgramPage(uint32_t adr, uint32_t sz, const uint8_t *buf);
