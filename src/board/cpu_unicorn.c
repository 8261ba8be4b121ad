/* The core's instructions, executed by Unicorn (QEMU's ARM translator as a library).
 *
 * What Unicorn 2.0 needs, found by trying:
 * - Thumb mode and an explicit CPU model; its M-class mode forces a Cortex-M33 whatever model is asked for.
 * - A store into read-only memory that the hook allows is also made raw, after the hook: the right word is put back
 *   before the next instruction.
 * - Translated code is not noticed when memory changes from outside: board_cpu_invalidate().
 * - PC is exact at a memory fault only when a code hook is installed; ours counts cycles anyway.
 *
 * - Where emulation stops within an IT block, the rest of the block loses its condition: time never stops it there.
 *
 * Cycles per instruction: Cortex-M0 Technical Reference Manual (ARM DDI 0432C) table 3-1, zero wait states, 1-cycle multiplier;
 * Cortex-M0+ (ARM DDI 0484C) table 3-1: the same, its pipeline refills one cycle sooner; Cortex-M3 Technical Reference Manual (ARM DDI 0337E) table 18-1, zero wait states, a pipeline refill (its P) of 2
 * cycles. A Cortex-M4 is counted as a Cortex-M3: its own manual (ARM DDI 0439D, table 3-1) differs in multiplications alone. */
#include "board/machine.h"

#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

/* LeakSanitizer asks for this. Unicorn 2.0.1 loses a bitmap for each page of translated code that is written to
 * (tb_invalidate_phys_page_fast); it is not ours to mend. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libunicorn";
}

#define BREAKPOINTS_MAX  16u
#define FIXES_MAX        16u /* words that one instruction (STM, PUSH) can store */
#define REGIONS_MMIO_MAX 8u
#define INTR_BKPT        7u /* EXCP_BKPT of QEMU's ARM target */
#define NEVER            0xFFFFFFFEull /* no instruction is there */
#define POLL_REGS        16u /* r0 to r12, SP, LR, xPSR */
#define POLL_MISSES_MAX  4u

struct mmio_region {
    ImpBoard *board;
    uint32_t base, last;
};

/* A loop that waits for the flash controller: it reads the status register, and comes back to that read with the same registers and
 * without having stored anything. As long as the status cannot change, each round is like the last one: rounds are counted,
 * not executed, and neither cycles nor instructions nor memory differ. */
struct poll {
    uint64_t busy_until_ns; /* of the operation that is waited for */
    uint32_t pc; /* of the read */
    bool armed; /* the read was executed while flash was busy */
    bool has; /* what follows was taken when it was executed last */
    unsigned misses;
    uint32_t regs[POLL_REGS];
    uint64_t cycle;
    unsigned executed;
};

struct cpu {
    ImpBoard *board;
    uc_engine *uc;
    uc_hook hooks[6];
    struct mmio_region regions[REGIONS_MMIO_MAX];
    unsigned region_count;
    bool thumb;
    uint64_t cycle, until;
    bool step;
    bool stopped, faulted; /* within one run */
    enum cpu_stop why;
    unsigned executed;
    /* the instruction under way, to be charged when the next one starts */
    bool running_one;
    uint32_t last_pc, last_size;
    uint16_t last_op, last_op2; /* op2: the second half of a 32-bit instruction */
    unsigned it_left; /* instructions of an IT block that are still to come */
    bool flash_hidden;
    struct poll poll;
    uint32_t breakpoints[BREAKPOINTS_MAX];
    unsigned breakpoint_count;
    struct {
        uint32_t addr, value;
    } fixes[FIXES_MAX];
    unsigned fix_count;
    uint32_t dirty_lo, dirty_hi; /* changed from outside since the last run; hi exclusive */
    bool dirty;
};

static unsigned bit_count(unsigned v)
{
    return (unsigned)__builtin_popcount(v);
}

/* table 3-1; taken: the next instruction is not the following one */
static unsigned cycles_of(uint16_t op, unsigned size, bool taken)
{
    if (size == 4)
        return 4; /* BL; MRS, MSR and barriers also cost 4 */
    switch (op >> 12) {
    case 0x4:
        if ((op & 0xFC00) == 0x4400)
            return taken ? 3 : 1; /* BX, BLX, ADD PC, MOV PC; high register ADD, CMP, MOV */
        return (op & 0xF800) == 0x4800 ? 2 : 1; /* LDR literal; ALU */
    case 0x5:
    case 0x6:
    case 0x7:
    case 0x8:
    case 0x9:
        return 2; /* loads and stores */
    case 0xB:
        if ((op & 0xFE00) == 0xB400)
            return 1 + bit_count(op & 0x1FF); /* PUSH */
        if ((op & 0xFF00) == 0xBD00)
            return 4 + bit_count(op & 0xFF); /* POP with PC */
        if ((op & 0xFF00) == 0xBC00)
            return 1 + bit_count(op & 0xFF); /* POP */
        return (op & 0xFFDF) == 0xBF10 ? 2 : 1; /* WFE and WFI: 2; the rest 1 */
    case 0xC:
        return 1 + bit_count(op & 0xFF); /* LDM, STM */
    case 0xD:
    case 0xE:
        return taken ? 3 : 1; /* B */
    default:
        return 1;
    }
}

/* Cortex-M3: DDI 0337E, table 18-1. Loads after loads are pipelined there; here each costs its 2. */
static unsigned cycles_of_m3(const struct cpu *c, bool taken)
{
    enum { REFILL = 2, DIVIDE = 7 }; /* a division takes 2 to 12 */
    uint16_t op = c->last_op, op2 = c->last_op2;
    unsigned jump = taken ? REFILL : 0;
    if (c->last_size == 2) {
        if ((op & 0xF500) == 0xB100)
            return 1 + jump; /* CBZ, CBNZ */
        if ((op & 0xFE00) == 0xB400 || (op & 0xFE00) == 0xBC00)
            return 1 + bit_count(op & 0x1FF) + jump; /* PUSH, POP */
        if ((op & 0xF000) == 0xC000)
            return 1 + bit_count(op & 0xFF); /* LDM, STM */
        if (op >> 12 >= 5 && op >> 12 <= 9)
            return (op & 0xF800) == 0x6000 || (op & 0xF800) == 0x7000 || (op & 0xF800) == 0x8000 ||
                           (op & 0xF800) == 0x9000
                       ? 1 /* a store with an immediate offset goes through the write buffer */
                       : 2;
        return ((op & 0xF800) == 0x4800 ? 2 : 1) + jump; /* LDR literal; ALU and branches */
    }
    if ((op & 0xFE40) == 0xE800)
        return 1 + bit_count(op2) + jump; /* LDM.W, STM.W */
    if ((op & 0xFE40) == 0xE840)
        return 3 + jump; /* LDRD, STRD; exclusive accesses; table branches */
    if ((op & 0xFE00) == 0xF800)
        return 2 + jump;
    if ((op & 0xFF80) == 0xFB80)
        return (op & 0xFFD0) == 0xFB90 ? DIVIDE : 4; /* 64-bit products take 3 to 5 */
    if ((op & 0xFF80) == 0xFB00)
        return (op2 & 0xF000) == 0xF000 ? 1 : 2; /* MUL; MLA, MLS */
    return 1 + jump;
}

static void halt_run(struct cpu *c, enum cpu_stop why)
{
    if (!c->stopped) {
        c->stopped = true;
        c->why = why;
    }
    uc_emu_stop(c->uc);
}

static void put_fixes_back(struct cpu *c)
{
    for (unsigned i = 0; i < c->fix_count; i++) {
        uint8_t *p = board_memory(c->board, c->fixes[i].addr, 4);
        if (p)
            memcpy(p, &c->fixes[i].value, 4);
    }
    c->fix_count = 0;
}

static void charge_last(struct cpu *c, uint32_t next_pc)
{
    if (!c->running_one)
        return;
    bool taken = next_pc != c->last_pc + c->last_size;
    enum chip_core core = c->board->chip->core;
    c->cycle += core == CHIP_CORTEX_M3 || core == CHIP_CORTEX_M4 ? cycles_of_m3(c, taken)
                                                                 : cycles_of(c->last_op, c->last_size, taken);
    if (core == CHIP_CORTEX_M0PLUS && taken)
        c->cycle--;
    c->running_one = false;
    c->executed++;
    c->board->counters.instructions++;
}

static void wait_for_flash(struct cpu *c)
{
    uint64_t ready = core_ns_to_cycles(c->board, flash_busy_until_ns(c->board)) + 1;
    if (ready > c->cycle)
        c->cycle = ready;
}

static bool flash_is_busy(const struct cpu *c)
{
    return flash_busy_until_ns(c->board) > core_cycles_to_ns(c->board, c->cycle);
}

static bool in_flash(const struct cpu *c, uint64_t addr)
{
    const struct mem_range *f = &c->board->chip->flash;
    uint32_t real = bus_unalias(c->board, (uint32_t)addr);
    return real >= f->base && real - f->base < f->size;
}

static bool may_store(uint16_t op, unsigned size)
{
    unsigned high = op >> 8;
    return size == 4 || (high >= 0x50 && high <= 0x55) || (high & 0xF8) == 0x60 || (high & 0xF8) == 0x70 ||
           (high & 0xF8) == 0x80 || (high & 0xF8) == 0x90 || (high & 0xFE) == 0xB4 || (high & 0xF8) == 0xC0;
}

static void read_poll_regs(struct cpu *c, uint32_t out[POLL_REGS])
{
    static const int regs[POLL_REGS] = {UC_ARM_REG_R0,  UC_ARM_REG_R1, UC_ARM_REG_R2,  UC_ARM_REG_R3,
                                        UC_ARM_REG_R4,  UC_ARM_REG_R5, UC_ARM_REG_R6,  UC_ARM_REG_R7,
                                        UC_ARM_REG_R8,  UC_ARM_REG_R9, UC_ARM_REG_R10, UC_ARM_REG_R11,
                                        UC_ARM_REG_R12, UC_ARM_REG_SP, UC_ARM_REG_LR,  UC_ARM_REG_XPSR};
    for (unsigned i = 0; i < POLL_REGS; i++)
        uc_reg_read(c->uc, regs[i], &out[i]);
}

/* The read of the status is about to be executed again. */
static void skip_rounds(struct cpu *c)
{
    struct poll *p = &c->poll;
    uint32_t regs[POLL_REGS];
    uint64_t busy_until_ns = flash_busy_until_ns(c->board);
    if (!p->armed || busy_until_ns != p->busy_until_ns || p->misses > POLL_MISSES_MAX)
        return;
    read_poll_regs(c, regs);
    if (p->has && memcmp(regs, p->regs, sizeof regs) == 0) {
        uint64_t round = c->cycle - p->cycle, last = core_ns_to_cycles(c->board, busy_until_ns);
        uint64_t limit = c->until < last ? c->until : last; /* the read before it still finds flash busy */
        uint64_t rounds = round && limit > c->cycle + 1 ? (limit - 1 - c->cycle) / round : 0;
        unsigned instructions = c->executed - p->executed;
        c->cycle += rounds * round;
        c->executed += (unsigned)(rounds * instructions);
        c->board->counters.instructions += rounds * instructions;
    } else if (p->has) {
        p->misses++;
    }
    memcpy(p->regs, regs, sizeof regs);
    p->has = true;
    p->cycle = c->cycle;
    p->executed = c->executed;
}

/* The core has read a register at its present instruction. */
static void note_read(struct cpu *c, const struct bus_access *a)
{
    struct poll *p = &c->poll;
    uint64_t busy_until_ns = flash_busy_until_ns(c->board);
    if (a->addr != c->board->chip->ops->status_addr || a->now_ns >= busy_until_ns) {
        p->armed = p->has = false;
    } else if (!p->armed || p->pc != c->last_pc || p->busy_until_ns != busy_until_ns) {
        *p = (struct poll){.busy_until_ns = busy_until_ns, .pc = c->last_pc, .armed = true};
    }
}

static void on_code(uc_engine *uc, uint64_t addr, uint32_t size, void *user)
{
    (void)uc;
    struct cpu *c = user;
    uint32_t pc = (uint32_t)addr;
    if (c->fix_count)
        put_fixes_back(c);
    charge_last(c, pc);
    if (c->stopped || c->faulted) {
        uc_emu_stop(c->uc);
        return;
    }
    if (c->step && c->executed == 1) {
        halt_run(c, CPU_STOP_STEP);
        return;
    }
    bool in_it = c->it_left > 0;
    c->it_left -= in_it;
    if (c->cycle >= c->until && !in_it) {
        halt_run(c, CPU_STOP_TIME);
        return;
    }
    for (unsigned i = 0; i < c->breakpoint_count; i++) {
        if (c->breakpoints[i] == pc) {
            halt_run(c, CPU_STOP_BREAKPOINT);
            return;
        }
    }
    /* The array has one port: fetching from flash waits for the controller (the CPU is halted). */
    if (in_flash(c, addr) && flash_is_busy(c)) {
        wait_for_flash(c);
        if (c->cycle >= c->until && !in_it) {
            halt_run(c, CPU_STOP_TIME);
            return;
        }
    }
    if (pc == c->poll.pc && !c->step && !in_it)
        skip_rounds(c);
    c->last_size = size == 4 ? 4 : 2;
    const uint8_t *p = board_memory(c->board, bus_unalias(c->board, pc), c->last_size);
    c->last_op = p ? (uint16_t)(p[0] | p[1] << 8) : 0;
    c->last_op2 = p && size == 4 ? (uint16_t)(p[2] | p[3] << 8) : 0;
    c->last_pc = pc;
    if (may_store(c->last_op, c->last_size))
        c->poll.has = false;
    if ((c->last_op & 0xFF00) == 0xBF00 && (c->last_op & 0xF) != 0) /* IT: the lowest 1 of the mask ends it */
        c->it_left = 4 - (unsigned)__builtin_ctz(c->last_op & 0xF);
    c->running_one = true;
}

static void on_flash_read(uc_engine *uc, uc_mem_type type, uint64_t addr, int size, int64_t value, void *user)
{
    (void)uc, (void)type, (void)addr, (void)size, (void)value;
    struct cpu *c = user;
    if (flash_is_busy(c))
        wait_for_flash(c);
}

static enum bus_result core_write(struct cpu *c, uint32_t addr, unsigned size, uint32_t value)
{
    struct bus_access a = {.addr = addr, .size = size, .master = MASTER_CORE};
    a.now_ns = core_cycles_to_ns(c->board, c->cycle);
    if (addr % size != 0)
        return BUS_FAULT;
    enum bus_result r = bus_write(c->board, &a, value);
    if (r == BUS_STALL) {
        wait_for_flash(c);
        a.now_ns = core_cycles_to_ns(c->board, c->cycle);
        r = bus_write(c->board, &a, value);
    }
    return r;
}

/* A store into flash: the controller decides what becomes of the word. */
static bool on_flash_write(uc_engine *uc, uc_mem_type type, uint64_t addr, int size, int64_t value,
                           void *user)
{
    (void)uc, (void)type;
    struct cpu *c = user;
    uint32_t word = bus_unalias(c->board, (uint32_t)addr) & ~3u;
    if (c->fix_count == FIXES_MAX || core_write(c, (uint32_t)addr, (unsigned)size, (uint32_t)value) != BUS_OK)
        return false; /* ends the run with an error: a bus fault */
    const uint8_t *p = board_memory(c->board, word, 4);
    if (!p)
        return false;
    c->fixes[c->fix_count].addr = word;
    memcpy(&c->fixes[c->fix_count].value, p, 4);
    c->fix_count++;
    return true;
}

static uint64_t on_mmio_read(uc_engine *uc, uint64_t offset, unsigned size, void *user)
{
    (void)uc;
    const struct mmio_region *m = user;
    struct cpu *c = m->board->cpu;
    struct bus_access a = {.addr = m->base + (uint32_t)offset, .size = size, .master = MASTER_CORE};
    uint32_t v = 0;
    a.now_ns = core_cycles_to_ns(m->board, c->cycle);
    enum bus_result r = a.addr % size ? BUS_FAULT : bus_read(m->board, &a, &v);
    if (r == BUS_STALL) {
        wait_for_flash(c);
        a.now_ns = core_cycles_to_ns(m->board, c->cycle);
        r = bus_read(m->board, &a, &v);
    }
    note_read(c, &a);
    if (r != BUS_OK) {
        c->faulted = true;
        uc_emu_stop(c->uc);
    }
    return v;
}

static void on_mmio_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *user)
{
    (void)uc;
    const struct mmio_region *m = user;
    struct cpu *c = m->board->cpu;
    if (core_write(c, m->base + (uint32_t)offset, size, (uint32_t)value) != BUS_OK) {
        c->faulted = true;
        uc_emu_stop(c->uc);
    }
}

static void on_interrupt(uc_engine *uc, uint32_t number, void *user)
{
    (void)uc;
    struct cpu *c = user;
    halt_run(c, number == INTR_BKPT ? CPU_STOP_BKPT : CPU_STOP_FAULT);
}

/* Whole pages; what is mapped already stays: the bus tells apart what lies within. */
static bool map_mmio(struct cpu *c, uint32_t base, uint32_t size)
{
    uint32_t first = base & ~0xFFFu, last = base + (size - 1);
    for (unsigned i = 0; i < c->region_count; i++)
        if (first >= c->regions[i].base && last <= c->regions[i].last)
            return true;
    if (c->region_count == REGIONS_MMIO_MAX)
        return false;
    struct mmio_region *m = &c->regions[c->region_count++];
    *m = (struct mmio_region){c->board, first, last | 0xFFFu};
    return uc_mmio_map(c->uc, first, (size_t)(m->last - first) + 1, on_mmio_read, m, on_mmio_write, m) ==
           UC_ERR_OK;
}

static bool map_flash(struct cpu *c, uint32_t base)
{
    return uc_mem_map_ptr(c->uc, base, c->board->chip->flash.size, UC_PROT_READ | UC_PROT_EXEC,
                          c->board->flash) == UC_ERR_OK;
}

static bool map_all(struct cpu *c)
{
    const struct chip *chip = c->board->chip;
    if (!map_flash(c, chip->flash.base) || (chip->flash_at_zero && !map_flash(c, 0)) ||
        uc_mem_map_ptr(c->uc, chip->ram.base, chip->ram.size, UC_PROT_ALL, c->board->ram) != UC_ERR_OK)
        return false;
    /* start-up code of some chips looks at the ROM table to learn the silicon's revision */
    if (!map_mmio(c, 0xE0000000u, 0x100000u) || !map_mmio(c, chip->ap_base & ~0xFFFu, 0x1000u))
        return false;
    for (unsigned i = 0; i < INFO_BLOCKS_MAX; i++)
        if (chip->info[i].size && !map_mmio(c, chip->info[i].base, chip->info[i].size))
            return false;
    for (unsigned i = 0; i < 4 && chip->regs[i].size; i++)
        if (!map_mmio(c, chip->regs[i].base, chip->regs[i].size))
            return false;
    return true;
}

static bool add_flash_hooks(struct cpu *c, uc_hook hooks[2], uint32_t base)
{
    uint64_t lo = base, hi = lo + c->board->chip->flash.size - 1;
    return uc_hook_add(c->uc, &hooks[0], UC_HOOK_MEM_READ, (void *)on_flash_read, c, lo, hi) == UC_ERR_OK &&
           uc_hook_add(c->uc, &hooks[1], UC_HOOK_MEM_WRITE_PROT, (void *)on_flash_write, c, lo, hi) ==
               UC_ERR_OK;
}

static bool add_hooks(struct cpu *c)
{
    const struct chip *chip = c->board->chip;
    return uc_hook_add(c->uc, &c->hooks[0], UC_HOOK_CODE, (void *)on_code, c, 1, 0) == UC_ERR_OK &&
           uc_hook_add(c->uc, &c->hooks[1], UC_HOOK_INTR, (void *)on_interrupt, c, 1, 0) == UC_ERR_OK &&
           add_flash_hooks(c, &c->hooks[2], chip->flash.base) &&
           (!chip->flash_at_zero || add_flash_hooks(c, &c->hooks[4], 0));
}

struct cpu *board_cpu_new(ImpBoard *board)
{
    struct cpu *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->board = board;
    if (uc_open(UC_ARCH_ARM, UC_MODE_THUMB, &c->uc) != UC_ERR_OK) {
        free(c);
        return NULL;
    }
    static const int models[] = {[CHIP_CORTEX_M0] = UC_CPU_ARM_CORTEX_M0,
                                 [CHIP_CORTEX_M0PLUS] = UC_CPU_ARM_CORTEX_M0,
                                 [CHIP_CORTEX_M3] = UC_CPU_ARM_CORTEX_M3,
                                 [CHIP_CORTEX_M4] = UC_CPU_ARM_CORTEX_M4};
    int model = models[board->chip->core];
    if (uc_ctl_set_cpu_model(c->uc, model) != UC_ERR_OK || !map_all(c) || !add_hooks(c)) {
        board_cpu_free(c);
        return NULL;
    }
    return c;
}

void board_cpu_free(struct cpu *c)
{
    if (!c)
        return;
    uc_close(c->uc);
    free(c);
}

static int uc_reg(unsigned reg)
{
    static const int map[] = {UC_ARM_REG_R0,  UC_ARM_REG_R1,  UC_ARM_REG_R2, UC_ARM_REG_R3, UC_ARM_REG_R4,
                              UC_ARM_REG_R5,  UC_ARM_REG_R6,  UC_ARM_REG_R7, UC_ARM_REG_R8, UC_ARM_REG_R9,
                              UC_ARM_REG_R10, UC_ARM_REG_R11, UC_ARM_REG_R12};
    switch (reg) {
    case CPU_SP:
        return UC_ARM_REG_SP;
    case CPU_LR:
        return UC_ARM_REG_LR;
    case CPU_PC:
        return UC_ARM_REG_PC;
    case CPU_XPSR:
        return UC_ARM_REG_XPSR;
    case CPU_MSP:
        return UC_ARM_REG_MSP;
    case CPU_PSP:
        return UC_ARM_REG_PSP;
    default:
        return reg <= 12 ? map[reg] : UC_ARM_REG_INVALID;
    }
}

/* DCRSR, selector 0b10100: CONTROL in the top byte, PRIMASK in the lowest. FAULTMASK and BASEPRI of ARMv7-M read 0: Unicorn gives no
 * access to them, and there are no interrupts that they could hold back. */
static uint32_t get_special(struct cpu *c)
{
    uint32_t control = 0, primask = 0;
    uc_reg_read(c->uc, UC_ARM_REG_CONTROL, &control);
    uc_reg_read(c->uc, UC_ARM_REG_PRIMASK, &primask);
    return (control & 3) << 24 | (primask & 1);
}

static void set_special(struct cpu *c, uint32_t value)
{
    uint32_t control = value >> 24 & 3, primask = value & 1;
    uc_reg_write(c->uc, UC_ARM_REG_CONTROL, &control);
    uc_reg_write(c->uc, UC_ARM_REG_PRIMASK, &primask);
}

uint32_t board_cpu_get_reg(struct cpu *c, unsigned reg)
{
    uint32_t v = 0;
    if (reg == CPU_SPECIAL)
        return get_special(c);
    if (uc_reg(reg) == UC_ARM_REG_INVALID)
        return 0;
    uc_reg_read(c->uc, uc_reg(reg), &v);
    if (reg == CPU_XPSR)
        v = (v & 0xF0000000u) | (c->thumb ? 1u << 24 : 0);
    if (reg == CPU_PC)
        v &= ~1u;
    return v;
}

void board_cpu_set_reg(struct cpu *c, unsigned reg, uint32_t value)
{
    if (reg == CPU_SPECIAL) {
        set_special(c, value);
        return;
    }
    if (uc_reg(reg) == UC_ARM_REG_INVALID)
        return;
    if (reg == CPU_XPSR) {
        c->thumb = value >> 24 & 1;
        value = (value & 0xF0000000u) | 1u << 24;
    }
    if (reg == CPU_PC)
        value |= 1; /* Unicorn takes bit 0 as Thumb */
    if (reg == CPU_SP || reg == CPU_MSP || reg == CPU_PSP)
        value &= ~3u;
    uc_reg_write(c->uc, uc_reg(reg), &value);
}

void board_cpu_reset(struct cpu *c, uint32_t sp, uint32_t pc)
{
    for (unsigned i = 0; i <= 12; i++)
        board_cpu_set_reg(c, i, 0);
    board_cpu_set_reg(c, CPU_SPECIAL, 0);
    board_cpu_set_reg(c, CPU_PSP, 0);
    board_cpu_set_reg(c, CPU_MSP, sp);
    board_cpu_set_reg(c, CPU_SP, sp);
    board_cpu_set_reg(c, CPU_LR, 0xFFFFFFFFu);
    board_cpu_set_reg(c, CPU_XPSR, 1u << 24);
    board_cpu_set_reg(c, CPU_PC, pc);
    c->thumb = pc & 1;
    c->running_one = false;
}

enum cpu_stop board_cpu_run(struct cpu *c, uint64_t until_cycle, bool step)
{
    if (c->cycle >= until_cycle && !step)
        return CPU_STOP_TIME;
    if (!c->thumb)
        return CPU_STOP_FAULT;
    if (c->dirty) {
        uc_ctl_remove_cache(c->uc, c->dirty_lo, c->dirty_hi);
        const struct chip *chip = c->board->chip;
        if (chip->flash_at_zero && c->dirty_lo < chip->flash.base + chip->flash.size &&
            c->dirty_hi > chip->flash.base)
            uc_ctl_remove_cache(c->uc, 0, chip->flash.size);
        c->dirty = false;
    }
    c->until = step ? UINT64_MAX : until_cycle;
    c->step = step;
    c->stopped = c->faulted = false;
    c->executed = 0;
    c->poll.armed = c->poll.has = false; /* memory and registers may have been changed from outside */
    c->running_one = false;
    c->it_left = 0;
    uc_err err = uc_emu_start(c->uc, board_cpu_get_reg(c, CPU_PC) | 1, NEVER, 0, 0);
    if (c->fix_count)
        put_fixes_back(c);
    uint32_t pc = board_cpu_get_reg(c, CPU_PC);
    if (err != UC_ERR_OK || c->faulted)
        return CPU_STOP_FAULT;
    if (c->stopped) {
        if (c->why == CPU_STOP_REQUEST)
            charge_last(c, pc);
        return c->why;
    }
    /* It ended by itself: WFI, or a branch to nowhere. */
    charge_last(c, pc);
    return (c->last_op & 0xFFDF) == 0xBF10 ? CPU_STOP_SLEEP : CPU_STOP_FAULT;
}

void board_cpu_stop(struct cpu *c)
{
    halt_run(c, CPU_STOP_REQUEST);
}

uint64_t board_cpu_get_cycle(const struct cpu *c)
{
    return c->cycle;
}

void board_cpu_set_cycle(struct cpu *c, uint64_t cycle)
{
    c->cycle = cycle;
}

void board_cpu_invalidate(struct cpu *c, uint32_t addr, uint32_t size)
{
    uint32_t end = addr + size < addr ? UINT32_MAX : addr + size;
    if (!c->dirty || addr < c->dirty_lo)
        c->dirty_lo = addr;
    if (!c->dirty || end > c->dirty_hi)
        c->dirty_hi = end;
    c->dirty = true;
}

void board_cpu_hide_flash(struct cpu *c, bool hide)
{
    const struct chip *chip = c->board->chip;
    uint32_t prot = hide ? UC_PROT_EXEC : UC_PROT_READ | UC_PROT_EXEC;
    if (hide == c->flash_hidden)
        return;
    c->flash_hidden = hide;
    uc_mem_protect(c->uc, chip->flash.base, chip->flash.size, prot);
    if (chip->flash_at_zero)
        uc_mem_protect(c->uc, 0, chip->flash.size, prot);
}

void board_cpu_set_breakpoints(struct cpu *c, const uint32_t *addrs, unsigned count)
{
    c->breakpoint_count = count < BREAKPOINTS_MAX ? count : BREAKPOINTS_MAX;
    memcpy(c->breakpoints, addrs, c->breakpoint_count * sizeof *addrs);
}
