/* The inside of a board, for the files of this folder only (board.h is what others see).
 *
 * Layers, each calls only the next: dap.c (probe) -> line.c (SWD line) -> dp.c (debug port and MEM-AP) -> bus.c (memories,
 * debug registers, flash controller). core.c is the Cortex-M core's debug side; cpu.h executes its instructions.
 * Sources: ARM IHI 0031C (ADIv5.2), ARM DDI 0419C (ARMv6-M), CMSIS-DAP 2.1 specification. */
#ifndef IMP_BOARD_MACHINE_H
#define IMP_BOARD_MACHINE_H

#include "board/board.h"
#include "board/cpu.h"

/* ---- chip description: one table and one flash controller a chip ---- */

enum bus_result {
    BUS_OK,
    BUS_FAULT, /* the bus answers with an error */
    BUS_STALL, /* not now: repeat at flash_busy_until_ns() */
    BUS_ABSENT /* of the chip's files alone: no register of theirs */
};

enum bus_master { MASTER_DEBUG, MASTER_CORE };

struct bus_access {
    uint32_t addr;
    unsigned size; /* 1, 2 or 4; addr is a multiple */
    uint64_t now_ns; /* when, on the master's own clock */
    enum bus_master master;
};

#define INFO_BLOCKS_MAX 2u

struct flash_ops {
    void (*new_chip)(ImpBoard *b,
                     uint64_t seed); /* a new chip's info blocks and controller, UID from the seed */
    void (*identify)(ImpBoard *b, uint64_t seed); /* only the block that says what the chip is */
    void (*reset)(ImpBoard *b); /* registers to reset values; an operation under way goes on */
    void (*power_loss)(ImpBoard *b, uint64_t now_ns); /* an operation under way is cut */
    /* A write into flash or an info block. value: size bytes, right-aligned. */
    enum bus_result (*write)(ImpBoard *b, const struct bus_access *a, uint32_t value);
    /* Peripheral registers that do more than keep a value, the controller's own among them; whole words. BUS_ABSENT: none of them. */
    enum bus_result (*reg_read)(ImpBoard *b, const struct bus_access *a, uint32_t *out);
    enum bus_result (*reg_write)(ImpBoard *b, const struct bus_access *a, uint32_t value);
    /* Read protection, each as its family has it; NULL: it does not. */
    bool (*hides_flash)(const ImpBoard *b); /* with debug enabled, loads from flash fail */
    bool (*blanks)(const ImpBoard *b, uint32_t addr); /* the debugger reads 0 there, and writes nothing */
    bool (*closes_ap)(const ImpBoard *b); /* the MEM-AP refuses every access */
    bool (*silences_dp)(const ImpBoard *b); /* the chip drives nothing on the wire */
    /* Access ports beside the MEM-AP (which is number 0). NULL, or false: there is none of that number. */
    bool (*ap_read)(ImpBoard *b, unsigned ap, unsigned reg, uint32_t *out);
    bool (*ap_write)(ImpBoard *b, unsigned ap, unsigned reg, uint32_t value);
    /* A register that shows whether flash is busy, and changes only when that ends: a core that does nothing but read it need not be
     * emulated round by round. */
    uint32_t status_addr;
    uint32_t uid_addr; /* in an info block */
    unsigned uid_words; /* printed highest address first */
};

struct mem_range {
    uint32_t base, size;
};

enum chip_core { CHIP_CORTEX_M0, CHIP_CORTEX_M0PLUS, CHIP_CORTEX_M3, CHIP_CORTEX_M4 };

#define PLAIN_REGS_MAX 4u

/* A peripheral register that keeps what is written; up to two groups of its bits are echoed further up (a clock's ready bit). */
struct plain_reg {
    uint32_t addr, reset, writable;
    bool survives_reset; /* a system reset */
    struct {
        uint32_t mask;
        unsigned shift;
    } echo[2];
};

#define UARTS_MAX 2u

enum uart_kind { UART_NONE, UART_NRF5, UART_STM32F1, UART_STM32G0 };

/* Typical values of the chip's datasheet; the chip's file cites them. */
struct chip_times {
    uint32_t program_ns; /* one program unit */
    uint32_t erase_page_ns, erase_all_ns;
};

/* What a chip says it is. */
struct chip_identity {
    uint32_t dpidr, ap_idr, cpuid;
};

struct chip {
    const char *name;
    struct chip_identity identity;
    uint32_t ap_base; /* MEM-AP BASE register */
    uint32_t tar_wrap; /* bytes within which TAR auto-increments */
    bool packed; /* MEM-AP packed transfers */
    enum chip_core core;
    uint32_t core_hz; /* after reset; the model's core never changes its clock */
    unsigned breakpoints; /* instruction comparators of the breakpoint unit */
    unsigned literals; /* its literal comparators, which are kept and do nothing */
    struct chip_times times;
    struct mem_range flash, ram;
    uint32_t page_bytes; /* the smallest part of flash that can be erased */
    bool has_reset_pin; /* the probe's nRESET is wired to it */
    bool flash_at_zero; /* flash also answers at address 0, where the core takes its vectors from */
    struct mem_range info[INFO_BLOCKS_MAX];
    struct mem_range regs[4]; /* peripherals; size 0 ends */
    struct {
        enum uart_kind kind;
        uint32_t base;
    } uarts[UARTS_MAX]; /* what they send can be read outside */
    struct plain_reg plain[PLAIN_REGS_MAX]; /* addr 0 ends; any other register reads 0 and ignores writes */
    /* ROM tables: addr -> value pairs ending with addr 0; the rest of each 4 KiB page reads 0 */
    const struct rom_word {
        uint32_t addr, value;
    } * rom;
    const struct flash_ops *ops;
};

/* Words of ROM tables: component class (ADIv5.2, D1.2.2), and PIDR0..2 and 4 of an ARM part (designer 0x43B). */
#define CID(base, class)                                                                                     \
    {(base) + 0xFF0, 0x0D}, {(base) + 0xFF4, class}, {(base) + 0xFF8, 0x05},                                 \
    {                                                                                                        \
        (base) + 0xFFC, 0xB1                                                                                 \
    }
#define PID_ARM(base, part)                                                                                  \
    {(base) + 0xFE0, (part)&0xFF}, {(base) + 0xFE4, 0xB0 | (part) >> 8}, {(base) + 0xFE8, 0x0B},             \
    {                                                                                                        \
        (base) + 0xFD0, 0x04                                                                                 \
    }

extern const struct chip board_chip_nrf51822, board_chip_stm32f103cb, board_chip_fastflash,
    board_chip_stm32g071rb, board_chip_nrf52832;

/* ---- state ---- */

struct line {
    unsigned ones; /* consecutive 1 bits that the chip saw while it did not drive */
    unsigned zeros; /* zeros after at least 50 ones */
    bool reset_seen; /* at least 50 ones have passed, waiting for 2 zeros */
    bool locked; /* protocol error: silent until a line reset */
    bool need_id; /* just reset: only a DPIDR read is answered */
    bool drives, level;
    unsigned edge; /* within a packet; 0: idle */
    uint8_t request;
    uint8_t ack;
    uint32_t data;
    bool parity;
    uint32_t flips; /* bits of written data that arrive flipped */
    uint8_t seen_ack; /* what the host sees of ack */
};

struct dp {
    uint32_t select, ctrl; /* ctrl: the writable bits only */
    bool sticky_orun, sticky_err, wdata_err, read_ok;
    uint32_t read_buffer; /* result of the last AP read */
    uint32_t last_read; /* for RESEND */
};

struct mem_ap {
    uint32_t csw, tar;
    /* the access under way: one part, or several of a packed transfer */
    bool pending; /* the bus stalls it */
    bool write;
    uint32_t addr, value; /* value: data in byte lanes */
    unsigned size, part, parts;
    uint64_t retry_ns;
};

#define CORE_KEPT_MAX 8u

enum core_state { CORE_RUNNING, CORE_HALTED, CORE_LOCKUP, CORE_SLEEPING, CORE_HELD /* in reset */ };

struct core {
    enum core_state state;
    uint32_t dhcsr; /* C_ bits */
    bool reset_seen, retired; /* S_RESET_ST, S_RETIRE_ST */
    bool reset_request; /* the core itself has written SYSRESETREQ */
    uint32_t demcr, dfsr, dcrdr;
    uint32_t bp_ctrl, bp_comp[8];
    /* system control: kept as written, no interrupts are raised by this model */
    uint32_t scr, shpr2, shpr3, shcsr, nvic_enabled, nvic_ipr[8], syst_csr, syst_rvr;
    uint32_t kept[CORE_KEPT_MAX]; /* of ARMv7-M: core.c names them */
    bool cyccnt_on; /* the cycle counter of ARMv7-M's DWT */
    uint64_t cyccnt_base; /* the cycle on which it was 0 */
};

#define CTL_REGS_MAX   32u
#define FLASH_UNIT_MAX 8u /* bytes of the largest program unit */

/* The flash controller, and what the chip's file keeps beside it. */
struct flash_ctl {
    uint64_t busy_until_ns;
    /* the operation under way: what a power cut now would damage */
    struct mem_range op;
    bool op_is_erase;
    uint8_t op_old[FLASH_UNIT_MAX]; /* the unit before programming */
    uint32_t reg[CTL_REGS_MAX]; /* registers; their numbers are the chip file's own */
};

struct uart {
    uint32_t reg[6];
    uint64_t free_ns, idle_ns; /* when the data register takes a byte again, when the last stop bit is out */
    uint64_t ready_event_ns, end_event_ns; /* nRF5: when the event is there; 0: it is not */
};

#define UART_WIRE_MAX 4096u

/* Frames on the wire that nobody has read yet, and those whose end is still to come. */
struct uart_wire {
    struct {
        uint64_t end_ns;
        uint8_t byte;
    } frames[UART_WIRE_MAX];
    unsigned first, used;
};

struct dap {
    bool connected;
    unsigned idle_cycles, turnaround;
    uint16_t wait_retries, match_retries;
    uint32_t match_mask;
    bool data_phase;
    bool swclk, swdio, nreset; /* levels that the probe drives */
    uint8_t host_status;
};

struct bad_cell {
    enum imp_board_fault kind; /* STUCK_BIT, STUCK_ZERO, WEAK_BIT */
    uint32_t addr;
    uint8_t bit;
    uint64_t random;
};

/* A fault that waits for its instant, or acts. */
struct fault {
    enum imp_board_fault kind;
    uint64_t at_ns, end_ns; /* end_ns: UINT64_MAX for ever */
    uint64_t left; /* requests or packets; UINT64_MAX for ever */
    uint64_t length_ns, factor, seed, random;
    enum imp_board_fill fill;
    bool begun; /* BROWN_OUT: power is off */
};

enum wires { WIRES_GOOD = 0, WIRES_SWDIO_HIGH, WIRES_SWDIO_LOW, WIRES_SWCLK_DEAD };

struct ImpBoard {
    const struct chip *chip;
    struct chip_identity identity; /* what it says it is: the chip's own, or a fault's */
    bool present, powered;
    uint64_t now_ns;
    uint32_t swclk_hz;
    uint64_t edge_rest; /* fraction of a nanosecond, in 1 / swclk_hz */
    uint64_t next_seed; /* sequence for chips and garbage */
    uint16_t packet_size;
    uint8_t packet_count;
    char serial[IMP_BOARD_SERIAL_MAX + 1];
    struct imp_board_counters counters;
    uint64_t chip_seed;

    struct line line;
    struct dp dp;
    struct mem_ap ap;
    struct core core;
    struct flash_ctl ctl;
    uint32_t plain[PLAIN_REGS_MAX]; /* values of chip->plain */
    struct uart uarts[UARTS_MAX];
    struct uart_wire uart_wire;
    struct dap dap;
    struct cpu *cpu;
    uint8_t *flash, *ram, *info[INFO_BLOCKS_MAX];

    enum imp_board_fault chip_fault; /* NONE, WRONG_CHIP or WRONG_VARIANT */
    struct bad_cell cells[IMP_BOARD_STUCK_BITS_MAX];
    unsigned cell_count, weak_count;
    struct fault faults[IMP_BOARD_FAULTS_MAX];
    unsigned fault_count;
    uint64_t fault_due_ns; /* when the next of them begins or ends something by itself; UINT64_MAX: none */
    enum wires wires;
};

/* ---- board.c ---- */
uint64_t board_random(uint64_t *state); /* splitmix64: advances *state */
void board_random_fill(uint64_t seed, uint8_t *out, size_t size);
bool board_alive(const ImpBoard *b); /* present and powered */
bool board_answers(const ImpBoard *b); /* and its debug port has not been silenced for ever */
void board_sync(ImpBoard *b); /* bring the chip to now_ns: core and stalled AP access */
void board_add_ns(ImpBoard *b, uint64_t ns);
/* Memory that a range lies in, or NULL. */
uint8_t *board_memory(const ImpBoard *b, uint32_t addr, size_t size);
/* Moves time on to an instant that is not before now, and lets the faults on the way happen. */
void board_move_to_ns(ImpBoard *b, uint64_t ns);

/* ---- fault.c ---- */
/* Flash bytes changed: stuck bits stay stuck. */
void fault_apply_cells(ImpBoard *b, uint32_t addr, size_t size);
/* The debugger looks: weak bits are drawn anew. */
void fault_draw_weak(ImpBoard *b);
/* Time has come to fault_due_ns: power, wires and socket change. */
void fault_tick(ImpBoard *b);
/* Is this request (or packet) one that a fault of this kind hits? Then *out_random is drawn by its lot. Takes it off the count. */
bool fault_hits(ImpBoard *b, enum imp_board_fault kind, uint64_t *out_random);
/* How long a flash operation takes that should take so long. */
uint64_t fault_flash_ns(const ImpBoard *b, uint64_t length_ns);

/* ---- line.c ---- */
void line_power_up(struct line *l);
/* One SWCLK cycle: SWCLK low with the host's level (or undriven), sample, rising edge. Returns the level before the rising edge. */
bool line_cycle(ImpBoard *b, bool host_drives, bool host_level);

/* ---- dp.c ---- */
enum { ACK_OK = 1, ACK_WAIT = 2, ACK_FAULT = 4, ACK_NONE = 7 };
/* SWD request bits as CMSIS-DAP also numbers them. */
enum { REQ_AP = 1, REQ_READ = 2, REQ_A2 = 4, REQ_A3 = 8 };
void dp_power_up(ImpBoard *b);
/* The request has arrived with good parity: what is acknowledged, and for a read that is OK, the data. */
uint8_t dp_request(ImpBoard *b, uint8_t req, uint32_t *out_data);
/* The data phase of a write that was acknowledged OK. */
void dp_write(ImpBoard *b, uint8_t req, uint32_t data);
void dp_parity_error(ImpBoard *b);
void dp_bus_error(ImpBoard *b); /* an access has failed: STICKYERR */
void dp_overrun(ImpBoard *b);
bool dp_overrun_detection(const ImpBoard *b);
void ap_retry(ImpBoard *b); /* a stalled access: its time has come */

/* ---- bus.c ---- */
enum bus_result bus_read(ImpBoard *b, const struct bus_access *a, uint32_t *out);
enum bus_result bus_write(ImpBoard *b, const struct bus_access *a, uint32_t value);
uint64_t flash_busy_until_ns(const ImpBoard *b);
/* Where an address of the alias at 0 really lies. */
uint32_t bus_unalias(const ImpBoard *b, uint32_t addr);

/* ---- regs.c: peripheral registers ---- */
void regs_reset(ImpBoard *b, bool power_up);
/* A register of the chip's file, a plain one, or 0. */
enum bus_result regs_read(ImpBoard *b, const struct bus_access *a, uint32_t *out);
enum bus_result regs_write(ImpBoard *b, const struct bus_access *a, uint32_t value);
uint32_t regs_part(uint32_t word, const struct bus_access *a); /* what an access smaller than a word gets */

/* ---- uart.c ---- */
void uart_reset(ImpBoard *b);
void uart_cut(ImpBoard *b, uint64_t now_ns); /* power is gone: what is on its way is lost */
bool uart_reg_read(ImpBoard *b, const struct bus_access *a, uint32_t *out); /* false: no register of a UART */
bool uart_reg_write(ImpBoard *b, const struct bus_access *a, uint32_t value);

/* ---- flash.c: what the flash controllers share ---- */
/* The range is blank from now on, and the controller busy for length_ns. */
void flash_erase(ImpBoard *b, uint64_t now_ns, const struct mem_range *what, uint64_t length_ns);
/* One page (false: not in flash), or all of flash, in the time that the chip needs for it; counted. */
bool flash_erase_page(ImpBoard *b, uint64_t now_ns, uint32_t addr);
void flash_erase_all(ImpBoard *b, uint64_t now_ns);
/* Bits of size bytes (at most FLASH_UNIT_MAX) go from 1 to 0 where value says so; busy for length_ns. Counts one unit. */
void flash_program(ImpBoard *b, const struct bus_access *a, const uint8_t *value, unsigned size,
                   uint64_t length_ns);
/* The two keys of STM32 controllers, in order; a wrong one is a bus error and closes until *state is reset to 0. Keys while it is
 * open change nothing. *out_opens: the second key was right. */
struct flash_keys {
    uint32_t first, second;
};
enum bus_result flash_take_key(uint32_t *state, const struct flash_keys *keys, bool open, uint32_t value,
                               bool *out_opens);
/* Power is cut: an operation under way leaves its mark, and the controller forgets everything. */
void flash_cut(ImpBoard *b, uint64_t now_ns);

/* ---- dap.c ---- */
void dap_power_up(ImpBoard *b);

/* ---- core.c ---- */
void core_power_up(ImpBoard *b);
void core_reset(ImpBoard *b, uint64_t now_ns); /* system reset: SYSRESETREQ, pin */
/* The reset line (pin, CTRL-AP) is held or let go; debug registers answer meanwhile. */
void core_hold(ImpBoard *b, bool hold);
/* A register of the chip asks for a system reset, as SYSRESETREQ does. */
void core_request_reset(ImpBoard *b, const struct bus_access *a);
void core_advance(ImpBoard *b, uint64_t now_ns);
void core_skip(ImpBoard *b, uint64_t now_ns); /* to there without doing anything */
/* Debug and system control registers, 0xE0000000 .. 0xE00FFFFF. Words only. */
uint32_t core_reg_read(ImpBoard *b, const struct bus_access *a);
void core_reg_write(ImpBoard *b, const struct bus_access *a, uint32_t value);
uint64_t core_ns_to_cycles(const ImpBoard *b, uint64_t ns); /* rounds down */
uint64_t core_cycles_to_ns(const ImpBoard *b, uint64_t cycles); /* rounds up */
bool core_debug_enabled(const ImpBoard *b);
/* Read protection or debug enable have changed: what the core may load from flash. */
void core_update_protection(ImpBoard *b);

#endif
