/* Flash algorithm for the main flash of STM32G07x/G08x chips with 128 KiB. EraseChip is the controller's mass erase; it leaves
 * the option bytes and OTP as they are.
 *
 * Sources: ctl.h; times: ST DS12232 (STM32G071x8/xB), table "Flash memory characteristics". */
#include "../flm.h"
#include "ctl.h"

#define PAGE_BYTES 2048u
#define START      0x08000000u

#define CR_PAGE 3 /* position of PNB in CR */

FLM_DEVICE_SECTION const struct FlashDevice FlashDevice = {
    .version = FLM_VERSION,
    .name = "stm32g071xb",
    .type = FLM_ON_CHIP,
    .start = START,
    .size_bytes = 128 * 1024,
    .page_bytes = PAGE_BYTES,
    .erased_byte = 0xFF,
    .program_ms_max = 150, /* 256 double words of at most 125 us, and room for a slow clock */
    .erase_ms_max = 500, /* at most 40 ms */
    .sectors = {{PAGE_BYTES, 0}, {FLM_SECTOR_END, FLM_SECTOR_END}},
};

int Init(uint32_t adr, uint32_t clk, uint32_t fnc)
{
    return ctl_unlock();
}

int UnInit(uint32_t fnc)
{
    ctl_wait();
    CTL_CR = CTL_LOCK;
    return 0;
}

int EraseChip(void)
{
    return ctl_erase(CTL_MER1);
}

int EraseSector(uint32_t adr)
{
    return ctl_erase(CTL_PER | (adr - START) / PAGE_BYTES << CR_PAGE);
}

/* Double words; blank ones are left out. An error stays in SR and refuses what follows, so one look at the end is enough. The next double
 * word is fetched while the flash is busy with this one. */
int ProgramPage(uint32_t adr, uint32_t sz, const uint8_t *buf)
{
    const uint32_t *from = (const void *)buf, *end = (const void *)(buf + sz);
    volatile uint32_t *to = (volatile uint32_t *)adr;
    if (((adr | sz) & 7u) != 0 || ((uint32_t)buf & 3u) != 0)
        return 1;
    ctl_clear();
    CTL_CR = CTL_PG;
    for (; from != end; from += 2, to += 2) {
        uint32_t low = from[0], high = from[1];
        if ((low & high) == 0xFFFFFFFFu)
            continue;
        ctl_wait();
        to[0] = low;
        to[1] = high;
    }
    return ctl_result();
}
