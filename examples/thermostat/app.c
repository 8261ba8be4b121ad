/* The thermostat's application, as short as it can be: says on its serial line that it is up, if what belongs to this unit is
 * there: the line's test waits for that after the chip has been locked, when no debugger can look any more. */
#include <stdint.h>

/* STM32G0x1, ST RM0444: RCC (chapter 5), GPIO (chapter 6), USART (chapter 33). */
#define REG(address) (*(volatile uint32_t *)(address))
#define RCC_IOPENR   REG(0x40021034u)
#define RCC_APBENR1  REG(0x4002103Cu)
#define GPIOA_MODER  REG(0x50000000u)
#define GPIOA_AFRL   REG(0x50000020u)
#define USART2_CR1   REG(0x40004400u)
#define USART2_BRR   REG(0x4000440Cu)
#define USART2_ISR   REG(0x4000441Cu)
#define USART2_TDR   REG(0x40004428u)
#define IOPENR_GPIOA    (1u << 0)
#define APBENR1_USART2  (1u << 17)
#define CR1_UE_TE       (1u << 0 | 1u << 3)
#define ISR_TXE         (1u << 7)
#define CLOCK_HZ        16000000u /* HSI16, the clock after reset */
#define BAUD            115200u

/* As recipe.yaml places them. */
#define SERIAL ((const char *)0x0801F000u)
#define MAC    ((const uint8_t *)0x0801F010u)
#define TRIM   (*(const uint32_t *)0x0801F018u)

extern uint32_t firmware_stack[];
void reset(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {firmware_stack, (void *)reset};

static void say(const char *text)
{
    for (; *text != '\0'; text++) {
        while ((USART2_ISR & ISR_TXE) == 0)
            ;
        USART2_TDR = (uint8_t)*text;
    }
}

void reset(void)
{
    RCC_IOPENR |= IOPENR_GPIOA;
    RCC_APBENR1 |= APBENR1_USART2;
    GPIOA_MODER = (GPIOA_MODER & ~(3u << 4)) | 2u << 4; /* PA2: alternate function */
    GPIOA_AFRL = (GPIOA_AFRL & ~(15u << 8)) | 1u << 8; /* 1: USART2_TX */
    USART2_BRR = CLOCK_HZ / BAUD;
    USART2_CR1 = CR1_UE_TE;
    int whole = SERIAL[0] == 'T' && MAC[0] == 0x70 && TRIM != 0xFFFFFFFFu;
    say(whole ? "T2 ready\r\n" : "T2: something of this unit is missing\r\n");
    for (;;)
        ;
}
