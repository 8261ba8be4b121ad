/* The thermostat's boot loader, as short as it can be: hands over to the application behind it. */
#include <stdint.h>

#define APP  0x08004000u /* as recipe.yaml and app.ld have it */
#define VTOR (*(volatile uint32_t *)0xE000ED08u) /* ARM DDI 0419, B3.2.5: where exceptions find their vectors */

extern uint32_t firmware_stack[];
void reset(void);

/* Cortex-M vector table: stack pointer, reset (ARM DDI 0419, B1.5.3). */
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {firmware_stack, (void *)reset};

void reset(void)
{
    const uint32_t *app = (const uint32_t *)APP;
    VTOR = APP;
    __asm__ volatile("msr msp, %0\n\tbx %1" : : "r"(app[0]), "r"(app[1]));
    __builtin_unreachable();
}
