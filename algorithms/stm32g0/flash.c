/* Flash algorithm for the main flash of STM32G07x/G08x chips with 128 KiB. EraseChip is the controller's mass erase; it leaves
 * the option bytes and OTP as they are.
 *
 * Sources: ST RM0444, chapter 3 (embedded flash memory: 3.3 operations, 3.7 registers); times: ST DS12232 (STM32G071x8/xB), table
 * "Flash memory characteristics". */
#include "../flm.h"

#define PAGE_BYTES 2048u
#define START      0x08000000u

#define CTL_REG(offset) (*(volatile uint32_t *)(0x40022000u + (offset)))
#define CTL_KEYR        CTL_REG(0x08)
#define CTL_SR          CTL_REG(0x10)
#define CTL_CR          CTL_REG(0x14)

#define KEY1    0x45670123u
#define KEY2    0xCDEF89ABu
#define ERRORS  0x0000C3FAu /* SR: OPERR, PROGERR to FASTERR, RDERR, OPTVERR */
#define EOP     0x00000001u
#define BUSY    0x00050000u /* BSY1, CFGBSY */
#define LOCK    0x80000000u /* CR */
#define STRT    0x00010000u
#define CR_PAGE 3 /* position of PNB */
enum { PG = 1 << 0, PER = 1 << 1, MER1 = 1 << 2 };

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

/* Without end on purpose: the host halts the core when its time limit is over. */
static void wait(void)
{
    while (CTL_SR & BUSY)
        ;
}

/* Errors of earlier work would refuse this one (PGSERR). */
static void clear(void)
{
    wait();
    CTL_SR = ERRORS | EOP; /* cleared by writing ones */
}

static int result(void)
{
    wait();
    int failed = (CTL_SR & ERRORS) != 0;
    CTL_CR = 0;
    return failed;
}

static int erase(uint32_t what)
{
    clear();
    CTL_CR = what;
    CTL_CR = what | STRT;
    return result();
}

/* The keys are given only while the controller is locked: a wrong sequence would lock it until the next reset. */
int Init(uint32_t adr, uint32_t clk, uint32_t fnc)
{
    wait();
    if (CTL_CR & LOCK) {
        CTL_KEYR = KEY1;
        CTL_KEYR = KEY2;
    }
    return (CTL_CR & LOCK) != 0;
}

int UnInit(uint32_t fnc)
{
    wait();
    CTL_CR = LOCK;
    return 0;
}

int EraseChip(void)
{
    return erase(MER1);
}

int EraseSector(uint32_t adr)
{
    return erase(PER | (adr - START) / PAGE_BYTES << CR_PAGE);
}

/* Double words; blank ones are left out. An error stays in SR and refuses what follows, so one look at the end is enough. The next double
 * word is fetched while the flash is busy with this one. */
int ProgramPage(uint32_t adr, uint32_t sz, const uint8_t *buf)
{
    const uint32_t *from = (const void *)buf, *end = (const void *)(buf + sz);
    volatile uint32_t *to = (volatile uint32_t *)adr;
    if (((adr | sz) & 7u) != 0 || ((uint32_t)buf & 3u) != 0)
        return 1;
    clear();
    CTL_CR = PG;
    for (; from != end; from += 2, to += 2) {
        uint32_t low = from[0], high = from[1];
        if ((low & high) == 0xFFFFFFFFu)
            continue;
        wait();
        to[0] = low;
        to[1] = high;
    }
    return result();
}
