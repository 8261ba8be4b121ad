/* Executes the core's instructions. One implementation: Unicorn (cpu_unicorn.c).
 *
 * The CPU has its own clock, in core cycles since power-up; board time runs ahead of it, and core.c lets it catch up.
 * Life cycle: board_cpu_new() with the chip's memories, board_cpu_free(). Thread rule: that of its board. */
#ifndef IMP_BOARD_CPU_H
#define IMP_BOARD_CPU_H

#include "board/board.h"

struct cpu;

enum cpu_stop {
    CPU_STOP_TIME, /* the clock has reached its limit */
    CPU_STOP_STEP, /* one instruction was executed */
    CPU_STOP_BREAKPOINT, /* a comparator matches the instruction at PC, which was not executed */
    CPU_STOP_BKPT, /* BKPT at PC */
    CPU_STOP_SLEEP, /* WFI was executed */
    CPU_STOP_FAULT, /* the instruction at PC cannot be executed: bus fault, undefined, SVC and other exceptions */
    CPU_STOP_REQUEST /* board_cpu_stop() */
};

/* Numbers of DCRSR.REGSEL (ARMv6-M, C1.6.3). */
enum { CPU_SP = 13, CPU_LR = 14, CPU_PC = 15, CPU_XPSR = 16, CPU_MSP = 17, CPU_PSP = 18, CPU_SPECIAL = 20 };

struct cpu *board_cpu_new(ImpBoard *board); /* NULL: Unicorn cannot be started */
void board_cpu_free(struct cpu *cpu);
/* All registers to reset values, SP and PC as given (bit 0 of pc is the Thumb bit). */
void board_cpu_reset(struct cpu *cpu, uint32_t sp, uint32_t pc);
uint32_t board_cpu_get_reg(struct cpu *cpu, unsigned reg);
void board_cpu_set_reg(struct cpu *cpu, unsigned reg, uint32_t value);
/* Execute until the clock shows until_cycle, or one instruction if step. */
enum cpu_stop board_cpu_run(struct cpu *cpu, uint64_t until_cycle, bool step);
void board_cpu_stop(struct cpu *cpu); /* from within a bus access of the core: stop after this instruction */
uint64_t board_cpu_get_cycle(const struct cpu *cpu);
void board_cpu_set_cycle(struct cpu *cpu, uint64_t cycle); /* time passes without instructions */
void board_cpu_invalidate(struct cpu *cpu, uint32_t addr,
                          uint32_t size); /* memory was changed from outside */
/* Read protection: loads of the core from flash fault, instruction fetches do not. */
void board_cpu_hide_flash(struct cpu *cpu, bool hide);
/* Enabled comparators: addresses of half-words, count of them. */
void board_cpu_set_breakpoints(struct cpu *cpu, const uint32_t *addrs, unsigned count);

#endif
