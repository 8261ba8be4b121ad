/* A virtual board: one chip behind an SWD wire, and the CMSIS-DAP probe that drives the wire.
 *
 * Everything below runs in the caller's thread, does no I/O and asks no clock: time is virtual, 64-bit nanoseconds since the
 * board was made. It advances with each SWCLK edge, with DAP_Delay and pin waits, and with imp_board_advance_to_ns(). The
 * same seed and the same calls give the same counters and the same memory, on every machine (docs/board.md: time model, fault model).
 *
 * Life cycle: imp_board_new(), any number of calls, imp_board_free(). Any number of boards may live in one process.
 * Thread rule: one board belongs to one thread at a time; boards share nothing.
 * Needs libc and Unicorn alone. A program that also uses GLib must link GLib before Unicorn: use board_inproc_dep of meson.build. */
#ifndef IMP_BOARD_BOARD_H
#define IMP_BOARD_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ImpBoard ImpBoard;

#define IMP_BOARD_PACKET_SIZE_DEFAULT  512u
#define IMP_BOARD_PACKET_SIZE_MIN      64u
#define IMP_BOARD_PACKET_SIZE_MAX      1024u
#define IMP_BOARD_PACKET_COUNT_DEFAULT 4u
#define IMP_BOARD_PACKET_COUNT_MAX     255u
#define IMP_BOARD_SERIAL_MAX           63u /* bytes of the probe's serial number, without the NUL */

enum imp_board_fill {
    IMP_BOARD_FILL_BLANK = 0, /* code flash as it leaves the factory: erased */
    IMP_BOARD_FILL_RANDOM = 2, /* code flash full of seeded random words */
    IMP_BOARD_FILL_KEEP = 3 /* code flash as it was in the chip before */
};

/* docs/faults.md says what each is and does. */
enum imp_board_fault {
    IMP_BOARD_FAULT_NONE = 0,
    IMP_BOARD_FAULT_STUCK_BIT = 2, /* a flash bit that stays 1 whatever is programmed */
    IMP_BOARD_FAULT_WRONG_CHIP =
        3, /* another family sits in the socket: DPIDR, AP IDR, CPUID and info block are another's */
    IMP_BOARD_FAULT_WRONG_VARIANT = 4, /* same family, other member: half the flash, other part code */
    IMP_BOARD_FAULT_STUCK_ZERO, /* a flash bit that stays 0 */
    IMP_BOARD_FAULT_WEAK_BIT, /* a flash bit that reads 0 or 1 by lot */
    /* so many SWD requests */
    IMP_BOARD_FAULT_WAIT,
    IMP_BOARD_FAULT_FAULT,
    IMP_BOARD_FAULT_ACK,
    IMP_BOARD_FAULT_REQUEST,
    IMP_BOARD_FAULT_READ_PARITY,
    IMP_BOARD_FAULT_WRITE_PARITY,
    IMP_BOARD_FAULT_NOISE,
    /* a span */
    IMP_BOARD_FAULT_SWDIO_HIGH,
    IMP_BOARD_FAULT_SWDIO_LOW,
    IMP_BOARD_FAULT_SWCLK_DEAD,
    IMP_BOARD_FAULT_BROWN_OUT,
    /* an instant */
    IMP_BOARD_FAULT_SWAP,
    IMP_BOARD_FAULT_SLOW_FLASH,
    /* the probe: packets, and the connection */
    IMP_BOARD_FAULT_LATE,
    IMP_BOARD_FAULT_LOST,
    IMP_BOARD_FAULT_UNPLUG,
    IMP_BOARD_FAULT_KINDS
};

struct imp_board_options {
    enum imp_board_fill fill; /* of the first chip */
    const char *serial; /* probe's serial number; NULL: "IMPB" and eight hex digits of the seed */
    uint16_t packet_size; /* bytes of a DAP packet; 0: 512 */
    uint8_t packet_count; /* packets the probe can hold; 0: 4 */
};

/* Since imp_board_new() or imp_board_reset_counters(). Times are virtual nanoseconds of imp_board_now_ns(); valid when the flag says so. */
struct imp_board_counters {
    uint64_t swclk; /* SWCLK cycles (rising edges) */
    uint64_t packets; /* DAP packets answered */
    uint64_t transfers; /* SWD requests that the chip acknowledged OK */
    uint64_t dp_reads, dp_writes, ap_reads, ap_writes; /* of these */
    uint64_t waits, faults; /* acknowledged WAIT, FAULT */
    uint64_t no_acks; /* requests that nobody answered */
    uint64_t parity_errors; /* write data with wrong parity */
    uint64_t pages_erased; /* pages; a mass erase counts in mass_erases only */
    uint64_t mass_erases;
    uint64_t words_programmed; /* smallest program units */
    uint64_t instructions; /* that the chip's core executed */
    bool has_erase, has_flash_op;
    uint64_t first_erase_ns; /* when the first erase was commanded */
    uint64_t
        last_flash_op_end_ns; /* when the last erase or program operation finished (may lie in the future) */
};

/* Names of the chips that exist, NULL-terminated, static. */
const char *const *imp_board_chips(void);

/* A powered board with a new chip in its socket. options may be NULL. NULL: unknown chip, a bad option, or no memory; then *out_why
 * (if not NULL) is a static text. The caller frees it. */
ImpBoard *imp_board_new(const char *chip, uint64_t seed, const struct imp_board_options *options,
                        const char **out_why);
void imp_board_free(ImpBoard *board); /* NULL is fine */

/* One CMSIS-DAP request packet in, its response out (at most cap bytes; cap should be the packet size or more). Returns the
 * response's length; 0 for DAP_TransferAbort and an empty request, which have none. Unknown or cut-off commands are answered by a single 0xFF.
 * DAP_QueueCommands is executed at once, like DAP_ExecuteCommands: holding it back is the transport's task. */
size_t imp_board_dap(ImpBoard *board, const uint8_t *request, size_t request_size, uint8_t *response,
                     size_t cap);

/* Virtual time. advance: the wire idles, the chip goes on; never goes back (an earlier time changes nothing). */
uint64_t imp_board_now_ns(const ImpBoard *board);
void imp_board_advance_to_ns(ImpBoard *board, uint64_t ns);
/* The same, but after the first run_ns the core stands still: where it only waits, emulating it costs more than it tells. */
void imp_board_idle_to_ns(ImpBoard *board, uint64_t ns, uint64_t run_ns);

void imp_board_get_counters(const ImpBoard *board, struct imp_board_counters *out);
void imp_board_reset_counters(ImpBoard *board);

/* The chip from outside, without wire or time: bytes that lie in one memory (code flash, info blocks, RAM). false: outside of memory.
 * poke writes RAM or flash as it is, no erase or program rules: for start states of tests. */
bool imp_board_peek(const ImpBoard *board, uint32_t addr, void *out, size_t size);
bool imp_board_poke(ImpBoard *board, uint32_t addr, const void *data, size_t size);
void imp_board_get_flash_range(const ImpBoard *board, uint32_t *out_addr, uint32_t *out_size);

/* The chip's unique ID as its info block holds it, in hex, at least 17 bytes for nRF51. Returns out. */
#define IMP_BOARD_UID_TEXT_MAX 33u
const char *imp_board_get_uid(const ImpBoard *board, char out[IMP_BOARD_UID_TEXT_MAX]);

/* The socket. next: the chip is taken out and a new one put in, powered if power is on; UID and fill come from the seed. */
void imp_board_next(ImpBoard *board, uint64_t seed, enum imp_board_fill fill);
void imp_board_next_any(ImpBoard *board,
                        enum imp_board_fill fill); /* seed: next number of the board's own sequence */
void imp_board_remove(ImpBoard *board); /* socket empty: nobody drives the line */
void imp_board_insert(
    ImpBoard *board); /* the same chip back; a flash operation cut by remove left its mark */
void imp_board_set_power(ImpBoard *board, bool on);
bool imp_board_is_present(const ImpBoard *board);
bool imp_board_is_powered(const ImpBoard *board);

/* Faults stay until set_fault(NONE), until they have done what they were told, or free. Those of cells belong to the socket
 * position, so they also hit the next chip; the others belong to the wires and the probe. */
#define IMP_BOARD_STUCK_BITS_MAX 16u /* cells: stuck or weak */
#define IMP_BOARD_FAULTS_MAX     16u /* of the others, waiting or acting */
#define IMP_BOARD_FAULT_EVER     UINT64_MAX

struct imp_board_fault_options {
    uint32_t addr; /* cells: in flash */
    unsigned bit; /* 0 to 7 */
    uint64_t after_ns; /* the instant: so much virtual time from now */
    uint64_t count; /* requests or packets; 0: 1; IMP_BOARD_FAULT_EVER */
    uint64_t length_ns; /* a span, or how late; 0: for ever */
    uint64_t factor; /* SLOW_FLASH: 2 to IMP_BOARD_FAULT_FACTOR_MAX */
    uint64_t seed; /* for what is drawn by lot; SWAP: of the new chip */
    enum imp_board_fill fill; /* SWAP */
};
#define IMP_BOARD_FAULT_FACTOR_MAX 1000000u

/* false: the options make no sense (an address outside of flash, a bit above 7, a factor), or too many; *out_why (if not NULL)
 * is a static text. options may be NULL. */
bool imp_board_add_fault(ImpBoard *board, enum imp_board_fault fault,
                         const struct imp_board_fault_options *options, const char **out_why);
/* The same with the address and bit of a cell alone, for all else at its default. */
bool imp_board_set_fault(ImpBoard *board, enum imp_board_fault fault, uint32_t addr, unsigned bit);

/* "wait", "stuck-bit", ...; NULL for numbers that are none. */
const char *imp_board_fault_name(enum imp_board_fault fault);

/* For a transport, before each packet: what its connection does to it. */
enum imp_board_packet_fate {
    IMP_BOARD_PACKET_ARRIVES = 2, /* and is answered *out_late_ns later than else */
    IMP_BOARD_PACKET_REQUEST_LOST, /* never reaches the probe: no answer */
    IMP_BOARD_PACKET_ANSWER_LOST, /* is carried out: no answer */
    IMP_BOARD_PACKET_UNPLUGGED /* the connection ends here; none begins until it is otherwise */
};
enum imp_board_packet_fate imp_board_packet_fate(ImpBoard *board, uint64_t *out_late_ns);
/* Whether a new connection finds the probe. */
bool imp_board_is_unplugged(const ImpBoard *board);

/* Serial output of the firmware: bytes whose stop bit is out, oldest first, each read once. What nobody reads is kept up to 4 KiB.
 * is_sending: there are bytes, out already or on their way. */
size_t imp_board_uart_read(ImpBoard *board, uint8_t *out, size_t cap);
bool imp_board_uart_is_sending(const ImpBoard *board);

/* For a transport that wants idle time bounded: true while the core executes instructions (not halted, asleep, or locked up). */
bool imp_board_is_running(const ImpBoard *board);

uint16_t imp_board_get_packet_size(const ImpBoard *board);
uint8_t imp_board_get_packet_count(const ImpBoard *board);

#endif
