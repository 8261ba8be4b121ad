/* The flash controller of STM32G0x1 chips with one bank: ST RM0444, chapter 3 (3.3 operations, 3.4 option bytes, 3.7 registers). */
#pragma once

#include <stdint.h>

#define CTL_REG(offset) (*(volatile uint32_t *)(0x40022000u + (offset)))
#define CTL_KEYR        CTL_REG(0x08)
#define CTL_OPTKEYR     CTL_REG(0x0C)
#define CTL_SR          CTL_REG(0x10)
#define CTL_CR          CTL_REG(0x14)

#define CTL_KEY1    0x45670123u
#define CTL_KEY2    0xCDEF89ABu
#define CTL_OPTKEY1 0x08192A3Bu
#define CTL_OPTKEY2 0x4C5D6E7Fu
#define CTL_ERRORS  0x0000C3FAu /* SR: OPERR, PROGERR to FASTERR, RDERR, OPTVERR */
#define CTL_EOP     0x00000001u
#define CTL_BUSY    0x00050000u /* BSY1, CFGBSY */
#define CTL_LOCK    0x80000000u /* CR */
#define CTL_OPTLOCK 0x40000000u
#define CTL_STRT    0x00010000u
#define CTL_OPTSTRT 0x00020000u
enum { CTL_PG = 1 << 0, CTL_PER = 1 << 1, CTL_MER1 = 1 << 2 };

/* Without end on purpose: the host halts the core when its time limit is over. */
static inline void ctl_wait(void)
{
    while (CTL_SR & CTL_BUSY)
        ;
}

/* Errors of earlier work would refuse this one (PGSERR). */
static inline void ctl_clear(void)
{
    ctl_wait();
    CTL_SR = CTL_ERRORS | CTL_EOP; /* cleared by writing ones */
}

/* Waits, and tells whether anything was refused since the errors were cleared. */
static inline int ctl_result(void)
{
    ctl_wait();
    int failed = (CTL_SR & CTL_ERRORS) != 0;
    CTL_CR = 0;
    return failed;
}

static inline int ctl_erase(uint32_t what)
{
    ctl_clear();
    CTL_CR = what;
    CTL_CR = what | CTL_STRT;
    return ctl_result();
}

/* The keys are given only while the controller is locked: a wrong sequence would lock it until the next reset. */
static inline int ctl_unlock(void)
{
    ctl_wait();
    if (CTL_CR & CTL_LOCK) {
        CTL_KEYR = CTL_KEY1;
        CTL_KEYR = CTL_KEY2;
    }
    return (CTL_CR & CTL_LOCK) != 0;
}
