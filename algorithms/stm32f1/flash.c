/* Flash algorithm for the main flash of STM32F10x medium-density chips with 128 KiB (STM32F103xB). EraseChip is the
 * controller's mass erase; it leaves the option bytes as they are. Sources: fpec.h; times: ST DS5319 (STM32F103x8/xB), section
 * 5.3.9, table "Flash memory characteristics". */
#include "../flm.h"
#include "fpec.h"

FLM_DEVICE_SECTION const struct FlashDevice FlashDevice = {
    .version = FLM_VERSION,
    .name = "stm32f103xb",
    .type = FLM_ON_CHIP,
    .start = 0x08000000,
    .size_bytes = 128 * 1024,
    .page_bytes = 2048, /* two of the controller's: less to say for the host, and RAM still holds eight */
    .erased_byte = 0xFF,
    .program_ms_max = 200, /* 1024 half-words of at most 70 us each, and room for a slow clock */
    .erase_ms_max = 500, /* at most 40 ms */
    .sectors = {{1024, 0}, {FLM_SECTOR_END, FLM_SECTOR_END}},
};

int Init(uint32_t adr, uint32_t clk, uint32_t fnc)
{
    fpec_unlock();
    return (FPEC_CR & FPEC_LOCK) != 0;
}

int UnInit(uint32_t fnc)
{
    fpec_wait();
    FPEC_CR = FPEC_LOCK;
    return 0;
}

int EraseChip(void)
{
    fpec_clear();
    return fpec_erase(FPEC_MER);
}

int EraseSector(uint32_t adr)
{
    fpec_clear();
    FPEC_CR = FPEC_PER; /* AR is taken while PER is set */
    FPEC_AR = adr;
    return fpec_erase(FPEC_PER);
}

/* Half-words that are blank are left out. An error stays in SR until it is cleared, so one look at the end is enough; the next
 * half-word is fetched while the flash is busy with this one. Fast code, for the sake of fast flash. */
__attribute__((optimize("O2"))) int ProgramPage(uint32_t adr, uint32_t sz, const uint8_t *buf)
{
    volatile const uint32_t *status = &FPEC_SR;
    const uint16_t *from = (const void *)buf, *end = (const void *)(buf + sz);
    volatile uint16_t *to = (volatile uint16_t *)adr;
    if (((adr | sz | (uint32_t)buf) & 3u) != 0)
        return 1;
    fpec_clear();
    FPEC_CR = FPEC_PG;
    while (from != end) {
        uint16_t half = *from++;
        if (half != 0xFFFF) {
            while (*status & FPEC_BSY)
                ;
            *to = half;
        }
        to++;
    }
    int result = fpec_result();
    FPEC_CR = 0;
    return result;
}
