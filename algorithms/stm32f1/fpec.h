/* The flash program and erase controller (FPEC) of STM32F10x chips with one bank.
 *
 * Source: ST PM0075, STM32F10xxx Flash memory microcontrollers: chapters 2.3 (unlocking, programming, erasing) and 3 (registers).
 * The core may go on while the flash is busy as long as it runs from RAM, as a flash algorithm does. */
#pragma once

#include <stdint.h>

#define FPEC_REG(offset) (*(volatile uint32_t *)(0x40022000u + (offset)))

#define FPEC_KEYR FPEC_REG(0x04)
#define FPEC_SR   FPEC_REG(0x0C)
#define FPEC_CR   FPEC_REG(0x10)
#define FPEC_AR   FPEC_REG(0x14)

enum {
    FPEC_KEY1 = 0x45670123,
    FPEC_BSY = 1 << 0,
    FPEC_PGERR = 1 << 2,
    FPEC_WRPRTERR = 1 << 4,
    FPEC_EOP = 1 << 5
};
#define FPEC_KEY2   0xCDEF89ABu
#define FPEC_ERRORS (FPEC_PGERR | FPEC_WRPRTERR)
enum {
    FPEC_PG = 1 << 0,
    FPEC_PER = 1 << 1,
    FPEC_MER = 1 << 2,
    FPEC_STRT = 1 << 6,
    FPEC_LOCK = 1 << 7
}; /* CR */

/* The oscillator that the controller works with (PM0075, 2.3.2): firmware may have switched it off. */
#define RCC_CR (*(volatile uint32_t *)0x40021000u)
enum { RCC_HSION = 1 << 0, RCC_HSIRDY = 1 << 1 };

/* Without end on purpose: the host halts the core when its time limit is over. */
static inline void fpec_wait(void)
{
    while (FPEC_SR & FPEC_BSY)
        ;
}

/* Waits, and tells whether anything was refused since the errors were cleared. */
static inline int fpec_result(void)
{
    fpec_wait();
    return (FPEC_SR & FPEC_ERRORS) != 0;
}

/* The keys are given only while the controller is locked: a wrong sequence would lock it until the next reset. */
static inline void fpec_unlock(void)
{
    RCC_CR |= RCC_HSION;
    while (!(RCC_CR & RCC_HSIRDY))
        ;
    fpec_wait();
    if (FPEC_CR & FPEC_LOCK) {
        FPEC_KEYR = FPEC_KEY1;
        FPEC_KEYR = FPEC_KEY2;
    }
}

static inline void fpec_clear(void)
{
    fpec_wait();
    FPEC_SR = FPEC_ERRORS | FPEC_EOP; /* cleared by writing ones */
}

static inline int fpec_erase(uint32_t what)
{
    FPEC_CR = what | FPEC_STRT;
    (void)FPEC_CR; /* BSY is there a cycle after STRT */
    int result = fpec_result();
    FPEC_CR = 0;
    return result;
}
