/* Flash algorithm for the option bytes of STM32G07x/G08x chips: double words of a word and its complement (ST RM0444, 3.4.1). They come
 * into force with the next power-on, or when OBL_LAUNCH loads them, which resets the chip and is left to the host.
 *
 * The bytes are programmed as one: what a page leaves out (0xFF with 0xFF for its complement) stays as it is; a complement may be left
 * out (0xFF), because the controller makes it. So EraseSector has nothing to do. EraseChip takes read protection away, and with
 * it, by hardware or else by a mass erase, everything in the main flash. */
#include "../flm.h"
#include "ctl.h"

#define START      0x1FFF7800u
#define SIZE       0x80u
#define N_WORDS    (SIZE / 8)
#define RDP        0x000000FFu /* of the first word */
#define RDP_LEVEL0 0x000000AAu

FLM_DEVICE_SECTION const struct FlashDevice FlashDevice = {
    .version = FLM_VERSION,
    .name = "stm32g0-options",
    .type = FLM_ON_CHIP,
    .start = START,
    .size_bytes = SIZE,
    .page_bytes = SIZE,
    .erased_byte = 0xFF,
    .program_ms_max = 500, /* an erase of them, and perhaps of the main flash: at most 40 ms each */
    .erase_ms_max = 500,
    .sectors = {{SIZE, 0}, {FLM_SECTOR_END, FLM_SECTOR_END}},
};

/* Where a double word is written: OPTR to PCROP1BER, and SECR; 0: it holds no option. */
static uint32_t register_of(uint32_t index)
{
    if (index < 7)
        return 0x20 + 4 * index;
    return index == 14 ? 0x80 : 0;
}

/* What is programmed now; where its complement is wrong, what is in force. */
static uint32_t option(uint32_t index)
{
    const volatile uint32_t *pair = (const volatile uint32_t *)START + 2 * index;
    uint32_t value = pair[0];
    return value == ~pair[1] ? value : CTL_REG(register_of(index));
}

int Init(uint32_t adr, uint32_t clk, uint32_t fnc)
{
    if (ctl_unlock())
        return 1;
    if (CTL_CR & CTL_OPTLOCK) {
        CTL_OPTKEYR = CTL_OPTKEY1;
        CTL_OPTKEYR = CTL_OPTKEY2;
    }
    return (CTL_CR & CTL_OPTLOCK) != 0;
}

int UnInit(uint32_t fnc)
{
    ctl_wait();
    CTL_CR = CTL_LOCK | CTL_OPTLOCK;
    return 0;
}

/* The register of a double word gets what is programmed, with the bits of mask from value. Returns the bits that change. */
static uint32_t set_option(uint32_t index, uint32_t mask, uint32_t value)
{
    uint32_t now = option(index), want = (now & ~mask) | value;
    CTL_REG(register_of(index)) = want;
    return now ^ want;
}

static int start(void)
{
    ctl_clear();
    CTL_CR = CTL_OPTSTRT;
    return ctl_result();
}

int EraseChip(void)
{
    uint32_t changed = 0;
    if (ctl_erase(CTL_MER1) && (option(0) & RDP) == RDP_LEVEL0)
        return 1; /* refused by write protection */
    for (uint32_t i = 0; i < N_WORDS; i++)
        if (register_of(i) != 0)
            changed |= i == 0 ? set_option(0, RDP, RDP_LEVEL0) : set_option(i, 0, 0);
    return changed != 0 ? start() : 0;
}

int EraseSector(uint32_t adr)
{
    return 0;
}

/* A double word of the page: which bytes of the value are given. Returns 1 if a complement is wrong. */
static int read_page(const uint8_t *pair, uint32_t *out_mask, uint32_t *out_value)
{
    *out_mask = *out_value = 0;
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t value = pair[i], complement = pair[i + 4];
        if (value == 0xFF && complement == 0xFF)
            continue;
        if (complement != 0xFF && complement != (value ^ 0xFF))
            return 1;
        *out_mask |= 0xFFu << 8 * i;
        *out_value |= value << 8 * i;
    }
    return 0;
}

int ProgramPage(uint32_t adr, uint32_t sz, const uint8_t *buf)
{
    uint32_t changed = 0, mask, value;
    if (((adr | sz) & 7u) != 0)
        return 1;
    for (uint32_t i = 0; i < N_WORDS; i++) { /* all of them are programmed anew */
        uint32_t at = START + 8 * i - adr;
        mask = value = 0;
        if (at < sz && read_page(buf + at, &mask, &value))
            return 1;
        if (register_of(i) != 0)
            changed |= set_option(i, mask, value);
        else if (mask != 0)
            return 1;
    }
    return changed != 0 ? start() : 0;
}
