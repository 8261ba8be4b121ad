/* Not position independent on purpose: test-flm-relocations.py must find it. */
#include "../../../algorithms/flm.h"

FLM_DEVICE_SECTION const struct FlashDevice FlashDevice = {.version = FLM_VERSION};

static int one(void)
{
    return 1;
}
static int two(void)
{
    return 2;
}
static int (*const table[])(void) = {one, two};

int Init(uint32_t adr, uint32_t clk, uint32_t fnc)
{
    return table[fnc & 1]();
}
