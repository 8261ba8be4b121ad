/* Where a run test begins: the station has loaded the program into RAM, set the stack pointer and jumped here; interrupts are off. */
#include "imprint_test.h"

extern uint32_t runtest_bss_start[], runtest_bss_end[];
int main(void);

__attribute__((section(".text.start"), used, noreturn)) void runtest_start(void)
{
    for (volatile uint32_t *word = runtest_bss_start; word < runtest_bss_end; word++)
        *word = 0;
    imprint_mailbox_open();
    int code = main();
    imprint_verdict((uint32_t)code, "main returned");
}

/* Compilers call these by themselves (GCC manual, "Language Standards Supported by GCC", freestanding). A program that is linked with
 * a C library has its own, which win. */
#define OWN __attribute__((weak, used, optimize("no-tree-loop-distribute-patterns")))

OWN void *memcpy(void *to, const void *from, size_t n)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    while (n-- > 0)
        *t++ = *f++;
    return to;
}

OWN void *memset(void *to, int value, size_t n)
{
    uint8_t *t = to;
    while (n-- > 0)
        *t++ = (uint8_t)value;
    return to;
}
