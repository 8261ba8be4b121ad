/* The Cortex-M core's debug side and system control (ARMv6-M: ARM DDI 0419C, chapters B3 and C1; ARMv7-M: ARM DDI 0403E, the
 * same chapters).
 *
 * Not modelled: exceptions. Nothing here raises interrupts, and a fault, an SVC, or a BKPT without a debugger locks the core
 * up, as a fault within a HardFault handler would. */
#include "board/machine.h"

#include <string.h>

#define PPB(offset) (0xE0000000u + (offset))

enum {
    DWT_CTRL = 0x1000,
    DWT_CYCCNT = 0x1004,
    DWT_PCSR = 0x101C,
    BP_CTRL = 0x2000,
    FP_REMAP = 0x2004,
    BP_COMP0 = 0x2008,
    SYST_CSR = 0xE010,
    SYST_RVR = 0xE014,
    SYST_CALIB = 0xE01C,
    NVIC_ISER = 0xE100,
    NVIC_ICER = 0xE180,
    NVIC_IPR0 = 0xE400,
    NVIC_IPR7 = 0xE41C,
    SCB_CPUID = 0xED00,
    SCB_VTOR = 0xED08,
    SCB_AIRCR = 0xED0C,
    SCB_SCR = 0xED10,
    SCB_CCR = 0xED14,
    SCB_SHPR1 = 0xED18,
    SCB_SHPR2 = 0xED1C,
    SCB_SHPR3 = 0xED20,
    SCB_SHCSR = 0xED24,
    SCB_DFSR = 0xED30,
    DCB_DHCSR = 0xEDF0,
    DCB_DCRSR = 0xEDF4,
    DCB_DCRDR = 0xEDF8,
    DCB_DEMCR = 0xEDFC
};

/* DHCSR, C1.6.3 */
#define C_DEBUGEN   (1u << 0)
#define C_HALT      (1u << 1)
#define C_STEP      (1u << 2)
#define C_MASKINTS  (1u << 3)
#define C_ALL       (C_DEBUGEN | C_HALT | C_STEP | C_MASKINTS)
#define S_REGRDY    (1u << 16)
#define S_HALT      (1u << 17)
#define S_SLEEP     (1u << 18)
#define S_LOCKUP    (1u << 19)
#define S_RETIRE_ST (1u << 24)
#define S_RESET_ST  (1u << 25)
#define DBGKEY      0xA05Fu
#define DCRSR_WRITE (1u << 16)
#define DCRSR_SEL   0x1Fu

/* DFSR, C1.6.1; DEMCR, C1.6.6 */
#define DFSR_HALTED  (1u << 0)
#define DFSR_BKPT    (1u << 1)
#define DFSR_VCATCH  (1u << 3)
#define DFSR_ALL     0x1Fu
#define VC_CORERESET (1u << 0)
#define VC_HARDERR   (1u << 10)
#define DWTENA       (1u << 24) /* TRCENA of ARMv7-M */
#define DEMCR_V6     (VC_CORERESET | VC_HARDERR | DWTENA)
#define DEMCR_V7     (DEMCR_V6 | 0x000F03F0u) /* further catches and the debug monitor: kept, without effect */

#define AIRCR_KEY   0x05FAu
#define AIRCR_STAT  0xFA050000u
#define AIRCR_RESET (1u << 2)
#define CCR_RESET   0x208u /* STKALIGN and UNALIGN_TRP, always set */
/* DWT_CTRL of ARMv7-M (DDI 0403E, C1.8.7): this model has no comparators, no trace, no profiling counters */
#define DWT_CTRL_V7  0x0D000000u
#define CYCCNTENA    (1u << 0)
#define LOCKUP_PC    0xFFFFFFFEu
#define BP_KEY       (1u << 1)
#define BP_COMP_MASK 0xDFFFFFFDu

/* Registers of ARMv7-M (Cortex-M0+: VTOR alone) that keep what is written and change nothing here. */
static const struct {
    uint16_t offset;
    bool survives_reset; /* a system reset */
    uint32_t mask;
} kept[] = {{FP_REMAP, true, 0x1FFFFFE0},   {SCB_VTOR, false, 0x3FFFFF80},  {SCB_CCR, false, 0x0000031B},
            {SCB_SHPR1, false, 0x00FFFFFF}, {SCB_SHPR2, false, 0xFF000000}, {SCB_SHPR3, false, 0xFFFF00FF},
            {SCB_SHCSR, false, 0x0007FD8B}};
_Static_assert(sizeof kept / sizeof *kept <= CORE_KEPT_MAX, "room for what is kept");

static bool is_v7(const ImpBoard *b)
{
    return b->chip->core == CHIP_CORTEX_M3 || b->chip->core == CHIP_CORTEX_M4;
}

/* Its place in core.kept, or -1. */
static int kept_index(const ImpBoard *b, uint32_t offset)
{
    if (!is_v7(b) && !(b->chip->core == CHIP_CORTEX_M0PLUS && offset == SCB_VTOR))
        return -1;
    for (unsigned i = 0; i < sizeof kept / sizeof *kept; i++)
        if (kept[i].offset == offset)
            return (int)i;
    return -1;
}

bool core_debug_enabled(const ImpBoard *b)
{
    return b->core.dhcsr & C_DEBUGEN;
}

void core_update_protection(ImpBoard *b)
{
    const struct flash_ops *ops = b->chip->ops;
    board_cpu_hide_flash(b->cpu, ops->hides_flash && ops->hides_flash(b) && core_debug_enabled(b));
}

uint64_t core_ns_to_cycles(const ImpBoard *b, uint64_t ns)
{
    return (uint64_t)((unsigned __int128)ns * b->chip->core_hz / 1000000000u);
}

uint64_t core_cycles_to_ns(const ImpBoard *b, uint64_t cycles)
{
    return (uint64_t)(((unsigned __int128)cycles * 1000000000u + b->chip->core_hz - 1) / b->chip->core_hz);
}

static void update_breakpoints(ImpBoard *b)
{
    const struct core *c = &b->core;
    uint32_t addrs[16]; /* two a comparator */
    unsigned n = 0;
    for (unsigned i = 0; i < b->chip->breakpoints; i++) {
        uint32_t comp = c->bp_comp[i];
        if (!(c->bp_ctrl & 1) || !(c->dhcsr & C_DEBUGEN) || !(comp & 1))
            continue;
        if (comp >> 30 & 1)
            addrs[n++] = comp & 0x1FFFFFFCu;
        if (comp >> 30 & 2)
            addrs[n++] = (comp & 0x1FFFFFFCu) + 2;
    }
    board_cpu_set_breakpoints(b->cpu, addrs, n);
}

/* Hardware sets C_HALT on every debug entry: hosts that read, modify and write DHCSR rely on it. */
static void enter_debug(ImpBoard *b, uint32_t reason)
{
    if (b->core.state == CORE_LOCKUP)
        board_cpu_set_reg(b->cpu, CPU_PC, LOCKUP_PC);
    b->core.state = CORE_HALTED;
    b->core.dhcsr |= C_HALT;
    b->core.dfsr |= reason;
}

static void lock_up(ImpBoard *b)
{
    if ((b->core.demcr & VC_HARDERR) && (b->core.dhcsr & C_DEBUGEN))
        enter_debug(b, DFSR_VCATCH);
    else
        b->core.state = CORE_LOCKUP;
}

void core_reset(ImpBoard *b, uint64_t now_ns)
{
    struct core *c = &b->core;
    uint32_t sp, pc;
    memcpy(&sp, b->flash,
           4); /* the vector table stands at address 0, which is where flash answers after a reset */
    memcpy(&pc, b->flash + 4, 4);
    uint64_t cycle = core_ns_to_cycles(b, now_ns);
    if (board_cpu_get_cycle(b->cpu) < cycle)
        board_cpu_set_cycle(b->cpu, cycle);
    board_cpu_reset(b->cpu, sp & ~3u, pc);
    regs_reset(b, false);
    b->chip->ops->reset(b);
    /* C_DEBUGEN, DEMCR and the breakpoint unit survive; C_HALT and C_STEP do not */
    c->dhcsr &= C_DEBUGEN | C_MASKINTS;
    c->scr = c->shpr2 = c->shpr3 = c->shcsr = c->nvic_enabled = c->syst_csr = c->syst_rvr = 0;
    memset(c->nvic_ipr, 0, sizeof c->nvic_ipr);
    for (unsigned i = 0; i < sizeof kept / sizeof *kept; i++)
        if (!kept[i].survives_reset)
            c->kept[i] = 0;
    core_update_protection(b);
    c->reset_seen = true;
    c->reset_request = false;
    c->state = CORE_RUNNING;
    if ((c->demcr & VC_CORERESET) && (c->dhcsr & C_DEBUGEN))
        enter_debug(b, DFSR_VCATCH);
}

void core_hold(ImpBoard *b, bool hold)
{
    bool held = b->core.state == CORE_HELD;
    if (hold == held)
        return;
    board_sync(b);
    core_reset(b, b->now_ns); /* a reset is one from its beginning on; vectors are fetched at its end */
    if (hold)
        b->core.state = CORE_HELD;
}

void core_power_up(ImpBoard *b)
{
    memset(&b->core, 0, sizeof b->core);
    update_breakpoints(b);
    regs_reset(b, true);
    core_reset(b, b->now_ns);
    b->core.reset_seen = true;
    if (b->chip->has_reset_pin && !b->dap.nreset)
        core_hold(b, true);
}

static void after_stop(ImpBoard *b, enum cpu_stop why)
{
    struct core *c = &b->core;
    switch (why) {
    case CPU_STOP_TIME:
        break;
    case CPU_STOP_STEP:
        enter_debug(b, DFSR_HALTED);
        break;
    case CPU_STOP_BREAKPOINT:
        enter_debug(b, DFSR_BKPT);
        break;
    case CPU_STOP_BKPT:
        if (c->dhcsr & C_DEBUGEN)
            enter_debug(b, DFSR_BKPT);
        else
            lock_up(b);
        break;
    case CPU_STOP_SLEEP:
        c->state = CORE_SLEEPING;
        break;
    case CPU_STOP_FAULT:
        lock_up(b);
        break;
    case CPU_STOP_REQUEST:
        if (c->reset_request)
            core_reset(b, core_cycles_to_ns(b, board_cpu_get_cycle(b->cpu)));
        break;
    }
}

void core_advance(ImpBoard *b, uint64_t now_ns)
{
    uint64_t limit = core_ns_to_cycles(b, now_ns);
    while (b->core.state == CORE_RUNNING && board_cpu_get_cycle(b->cpu) < limit) {
        uint64_t before = b->counters.instructions;
        enum cpu_stop why = board_cpu_run(b->cpu, limit, false);
        b->core.retired |= b->counters.instructions != before;
        after_stop(b, why);
    }
    if (board_cpu_get_cycle(b->cpu) < limit)
        board_cpu_set_cycle(b->cpu, limit);
}

void core_skip(ImpBoard *b, uint64_t now_ns)
{
    uint64_t limit = core_ns_to_cycles(b, now_ns);
    if (board_cpu_get_cycle(b->cpu) < limit)
        board_cpu_set_cycle(b->cpu, limit);
}

static void write_dhcsr(ImpBoard *b, uint32_t value)
{
    struct core *c = &b->core;
    if (value >> 16 != DBGKEY)
        return;
    bool was_enabled = c->dhcsr & C_DEBUGEN;
    c->dhcsr = value & C_ALL;
    if (!(value & C_DEBUGEN))
        c->dhcsr = 0;
    if (was_enabled != (bool)(value & C_DEBUGEN)) {
        update_breakpoints(b);
        core_update_protection(b);
    }
    if (c->state == CORE_HELD)
        return;
    if (c->dhcsr & C_HALT) {
        if (c->state != CORE_HALTED)
            enter_debug(b, DFSR_HALTED);
        return;
    }
    if (c->state != CORE_HALTED)
        return;
    c->state = CORE_RUNNING;
    if (c->dhcsr & C_STEP) {
        uint64_t before = b->counters.instructions;
        enum cpu_stop why = board_cpu_run(b->cpu, 0, true);
        c->retired |= b->counters.instructions != before;
        after_stop(b, why);
        if (c->state != CORE_HALTED) /* asleep, reset or locked up by the one instruction */
            enter_debug(b, DFSR_HALTED);
    }
}

static uint32_t read_dhcsr(ImpBoard *b)
{
    struct core *c = &b->core;
    uint32_t v = c->dhcsr | S_REGRDY;
    v |= c->state == CORE_HALTED ? S_HALT : 0;
    v |= c->state == CORE_SLEEPING ? S_SLEEP : 0;
    v |= c->state == CORE_LOCKUP ? S_LOCKUP : 0;
    v |= c->retired ? S_RETIRE_ST : 0;
    v |= c->reset_seen || c->state == CORE_HELD ? S_RESET_ST : 0;
    c->retired = c->reset_seen = false;
    return v;
}

static void write_dcrsr(ImpBoard *b, uint32_t value)
{
    if (b->core.state != CORE_HALTED)
        return;
    if (value & DCRSR_WRITE)
        board_cpu_set_reg(b->cpu, value & DCRSR_SEL, b->core.dcrdr);
    else
        b->core.dcrdr = board_cpu_get_reg(b->cpu, value & DCRSR_SEL);
}

/* Registers that the debugger sees and the core does not. */
static uint32_t read_debug(ImpBoard *b, uint32_t offset)
{
    const struct core *c = &b->core;
    switch (offset) {
    case DCB_DHCSR:
        return read_dhcsr(b);
    case DCB_DCRDR:
        return c->dcrdr;
    case DCB_DEMCR:
        return c->demcr;
    case SCB_DFSR:
        return c->dfsr;
    case DWT_PCSR:
        return c->state == CORE_RUNNING ? board_cpu_get_reg(b->cpu, CPU_PC) : 0xFFFFFFFFu;
    case BP_CTRL:
        return b->chip->literals << 8 | b->chip->breakpoints << 4 | c->bp_ctrl;
    default:
        if (offset >= BP_COMP0 && offset < BP_COMP0 + 4 * (b->chip->breakpoints + b->chip->literals))
            return c->bp_comp[(offset - BP_COMP0) / 4];
        return 0;
    }
}

/* The cycle counter, as far as the core has come. */
static uint32_t read_dwt(const ImpBoard *b, uint32_t offset)
{
    const struct core *c = &b->core;
    if (offset == DWT_CTRL)
        return DWT_CTRL_V7 | (c->cyccnt_on ? CYCCNTENA : 0);
    return (uint32_t)(c->cyccnt_on ? board_cpu_get_cycle(b->cpu) - c->cyccnt_base : c->cyccnt_base);
}

static void write_dwt(ImpBoard *b, uint32_t offset, uint32_t value)
{
    struct core *c = &b->core;
    uint32_t count = offset == DWT_CYCCNT ? value : read_dwt(b, DWT_CYCCNT);
    if (offset == DWT_CTRL)
        c->cyccnt_on = value & CYCCNTENA;
    c->cyccnt_base = c->cyccnt_on ? board_cpu_get_cycle(b->cpu) - count : count;
}

uint32_t core_reg_read(ImpBoard *b, const struct bus_access *a)
{
    const struct core *c = &b->core;
    uint32_t offset = a->addr - PPB(0);
    int k = kept_index(b, offset);
    if (k >= 0)
        return c->kept[k];
    if (is_v7(b) && (offset == DWT_CTRL || offset == DWT_CYCCNT))
        return read_dwt(b, offset);
    switch (offset) {
    case SYST_CSR:
        return c->syst_csr;
    case SYST_RVR:
        return c->syst_rvr;
    case SYST_CALIB:
        return 1u << 31; /* no reference clock */
    case NVIC_ISER:
    case NVIC_ICER:
        return c->nvic_enabled;
    case SCB_CPUID:
        return b->identity.cpuid;
    case SCB_AIRCR:
        return AIRCR_STAT;
    case SCB_SCR:
        return c->scr;
    case SCB_CCR:
        return CCR_RESET;
    case SCB_SHPR2:
        return c->shpr2;
    case SCB_SHPR3:
        return c->shpr3;
    case SCB_SHCSR:
        return c->shcsr;
    default:
        if (offset >= NVIC_IPR0 && offset <= NVIC_IPR7)
            return c->nvic_ipr[(offset - NVIC_IPR0) / 4];
        return a->master == MASTER_DEBUG ? read_debug(b, offset) : 0;
    }
}

static void write_debug(ImpBoard *b, uint32_t offset, uint32_t value)
{
    struct core *c = &b->core;
    switch (offset) {
    case DCB_DHCSR:
        write_dhcsr(b, value);
        break;
    case DCB_DCRSR:
        write_dcrsr(b, value);
        break;
    case DCB_DCRDR:
        c->dcrdr = value;
        break;
    case DCB_DEMCR:
        c->demcr = value & (is_v7(b) ? DEMCR_V7 : DEMCR_V6);
        break;
    case SCB_DFSR:
        c->dfsr &= ~(value & DFSR_ALL);
        break;
    case BP_CTRL:
        if (value & BP_KEY)
            c->bp_ctrl = value & 1;
        update_breakpoints(b);
        break;
    default:
        if (offset >= BP_COMP0 && offset < BP_COMP0 + 4 * (b->chip->breakpoints + b->chip->literals)) {
            c->bp_comp[(offset - BP_COMP0) / 4] = value & BP_COMP_MASK;
            update_breakpoints(b);
        }
        break;
    }
}

void core_request_reset(ImpBoard *b, const struct bus_access *a)
{
    if (b->core.state == CORE_HELD)
        return;
    if (a->master == MASTER_DEBUG) {
        core_reset(b, a->now_ns);
        return;
    }
    b->core.reset_request = true;
    board_cpu_stop(b->cpu);
}

void core_reg_write(ImpBoard *b, const struct bus_access *a, uint32_t value)
{
    struct core *c = &b->core;
    uint32_t offset = a->addr - PPB(0);
    int k = kept_index(b, offset);
    if (k >= 0) {
        c->kept[k] = value & kept[k].mask;
        return;
    }
    if (is_v7(b) && (offset == DWT_CTRL || offset == DWT_CYCCNT)) {
        write_dwt(b, offset, value);
        return;
    }
    switch (offset) {
    case SYST_CSR:
        c->syst_csr = value & 7;
        break;
    case SYST_RVR:
        c->syst_rvr = value & 0xFFFFFF;
        break;
    case NVIC_ISER:
        c->nvic_enabled |= value;
        break;
    case NVIC_ICER:
        c->nvic_enabled &= ~value;
        break;
    case SCB_AIRCR:
        if (value >> 16 == AIRCR_KEY && (value & AIRCR_RESET))
            core_request_reset(b, a);
        break;
    case SCB_SCR:
        c->scr = value & 0x16;
        break;
    case SCB_SHPR2:
        c->shpr2 = value & 0xC0000000u;
        break;
    case SCB_SHPR3:
        c->shpr3 = value & 0xC0C00000u;
        break;
    case SCB_SHCSR:
        c->shcsr = value & 0x8000;
        break;
    default:
        if (offset >= NVIC_IPR0 && offset <= NVIC_IPR7)
            c->nvic_ipr[(offset - NVIC_IPR0) / 4] = value & 0xC0C0C0C0u;
        else if (a->master == MASTER_DEBUG)
            write_debug(b, offset, value);
        break;
    }
}
