/* Flash algorithm for the option bytes of STM32F10x chips with one bank: eight bytes, each followed by its complement (ST PM0075,
 * 2.3.3). They come into force with the next system reset, RDP on some chips with the next power-on only.
 *
 * The bytes are programmed as one: what a page leaves out (0xFF with 0xFF for its complement) stays as it is; a complement may be left
 * out (0xFF), because the controller makes it. So EraseSector has nothing to do. EraseChip takes read protection away, and with
 * it, by hardware or else by a mass erase, everything in the main flash. */
#include "../flm.h"
#include "fpec.h"

#define START       0x1FFFF800u
#define N_OPTIONS   8u
#define RDP_OPEN    0xA5u
#define FPEC_OBR    FPEC_REG(0x1C)
#define FPEC_OPTKEY FPEC_REG(0x08)
enum { FPEC_OPTPG = 1 << 4, FPEC_OPTER = 1 << 5, FPEC_OPTWRE = 1 << 9 }; /* CR */
enum { FPEC_RDPRT = 1 << 1 }; /* OBR */

FLM_DEVICE_SECTION const struct FlashDevice FlashDevice = {
    .version = FLM_VERSION,
    .name = "stm32f1-options",
    .type = FLM_ON_CHIP,
    .start = START,
    .size_bytes = 2 * N_OPTIONS,
    .page_bytes = 2 * N_OPTIONS,
    .erased_byte = 0xFF,
    .program_ms_max = 500, /* an erase of them, and perhaps of the main flash: at most 40 ms each */
    .erase_ms_max = 500,
    .sectors = {{2 * N_OPTIONS, 0}, {FLM_SECTOR_END, FLM_SECTOR_END}},
};

int Init(uint32_t adr, uint32_t clk, uint32_t fnc)
{
    fpec_unlock();
    if (!(FPEC_CR & FPEC_OPTWRE)) {
        FPEC_OPTKEY = FPEC_KEY1;
        FPEC_OPTKEY = FPEC_KEY2;
    }
    return (FPEC_CR & (FPEC_LOCK | FPEC_OPTWRE)) != FPEC_OPTWRE;
}

int UnInit(uint32_t fnc)
{
    fpec_wait();
    FPEC_CR = FPEC_LOCK;
    return 0;
}

/* What is programmed now; a byte whose complement is wrong counts as 0xFF. */
static void read_options(uint8_t out[N_OPTIONS])
{
    for (uint32_t i = 0; i < N_OPTIONS; i++) {
        uint32_t pair = ((volatile const uint16_t *)START)[i];
        out[i] = ((pair ^ pair >> 8) & 0xFF) == 0xFF ? (uint8_t)pair : 0xFF;
    }
}

/* RDP first: until it is programmed the chip would be protected. */
static int write_options(const uint8_t want[N_OPTIONS])
{
    uint32_t same = 1;
    for (uint32_t i = 0; i < N_OPTIONS; i++)
        same &= ((volatile const uint16_t *)START)[i] == (want[i] | (~(uint32_t)want[i] & 0xFF) << 8);
    if (same)
        return 0;
    fpec_clear();
    FPEC_CR = FPEC_OPTWRE | FPEC_OPTER;
    FPEC_CR = FPEC_OPTWRE | FPEC_OPTER | FPEC_STRT;
    (void)FPEC_CR; /* BSY is there a cycle after STRT */
    if (fpec_result())
        return 1;
    FPEC_CR = FPEC_OPTWRE | FPEC_OPTPG;
    for (uint32_t i = 0; i < N_OPTIONS; i++) {
        ((volatile uint16_t *)START)[i] = want[i];
        fpec_wait();
    }
    FPEC_CR = FPEC_OPTWRE;
    return fpec_result();
}

int EraseChip(void)
{
    uint8_t want[N_OPTIONS];
    if (!(FPEC_OBR & FPEC_RDPRT)) {
        fpec_clear();
        FPEC_CR = FPEC_OPTWRE | FPEC_MER;
        FPEC_CR = FPEC_OPTWRE | FPEC_MER | FPEC_STRT;
        (void)FPEC_CR;
        if (fpec_result())
            return 1;
        FPEC_CR = FPEC_OPTWRE;
    }
    read_options(want);
    want[0] = RDP_OPEN;
    return write_options(want);
}

int EraseSector(uint32_t adr)
{
    return 0;
}

int ProgramPage(uint32_t adr, uint32_t sz, const uint8_t *buf)
{
    uint8_t want[N_OPTIONS];
    if (((adr | sz) & 1u) != 0)
        return 1;
    read_options(want);
    for (uint32_t i = 0; i < sz; i += 2) {
        uint32_t value = buf[i], complement = buf[i + 1];
        if (value == 0xFF && complement == 0xFF)
            continue;
        if (complement != 0xFF && complement != (value ^ 0xFF))
            return 1;
        want[(adr - START + i) / 2] = (uint8_t)value;
    }
    return write_options(want);
}
