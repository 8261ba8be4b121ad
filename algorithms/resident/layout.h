/* What the resident runner and the host agree on: the control block, the table of algorithms, and the ring of slots.
 * Included by target code and by src/target/runner.c; all fields are 32-bit little-endian words.
 *
 * The host writes commands into slots, one after the other round the ring. A slot is its data area followed by four
 * trailer words; the last of them, the sequence number, is written last and makes the command valid. Commands are
 * numbered from 1; number n lies in slot (n - 1) % slots. The runner carries them out in order and counts them in
 * `done`. Trailers lie at fixed places and are cleared before the start, so that nothing else is ever taken for a
 * sequence number. */
#ifndef RESIDENT_LAYOUT_H
#define RESIDENT_LAYOUT_H

#include <stdint.h>

/* Trailer: at the end of each slot. */
struct resident_trailer {
    uint32_t address;
    uint32_t size;
    uint32_t op; /* RESIDENT_OP_..., and the index of the algorithm << 8 */
    uint32_t sequence;
};

enum resident_op {
    RESIDENT_ERASE_CHIP = 1,
    RESIDENT_ERASE_SECTORS = 2, /* size bytes from address on, in sectors of data[0] bytes */
    RESIDENT_PROGRAM = 3, /* size bytes of the data area to address */
    RESIDENT_CRC = 4, /* CRC-32 (IEEE 802.3) of size bytes at address, into data[0] */
    RESIDENT_IDLE = 5, /* UnInit whatever is initialised */
};

/* Which of the algorithm's functions is running, or failed. */
enum resident_function {
    RESIDENT_IN_NOTHING = 0,
    RESIDENT_IN_INIT = 1,
    RESIDENT_IN_UNINIT = 2,
    RESIDENT_IN_ERASE_CHIP = 3,
    RESIDENT_IN_ERASE_SECTOR = 4,
    RESIDENT_IN_PROGRAM_PAGE = 5,
    RESIDENT_IN_CRC = 6,
};

#define RESIDENT_FAILED                                                                                      \
    0x80000000u /* in `done`: the command after the counted ones failed, the core is halted */

/* One algorithm; functions with the Thumb bit, 0 where missing. */
struct resident_algorithm {
    uint32_t init, uninit, erase_chip, erase_sector, program_page;
    uint32_t static_base; /* R9 */
    uint32_t start; /* Init's first argument */
    uint32_t clock_hz; /* Init's second argument */
};

/* R0 points here at the start. */
struct resident_control {
    /* written by the runner; read by the host in one go */
    uint32_t done;
    uint32_t at; /* the address being worked on */
    uint32_t function; /* enum resident_function */
    uint32_t result; /* what the function returned when it failed */
    /* written by the host before the start */
    uint32_t ring; /* first slot */
    uint32_t slot_bytes; /* data area and trailer */
    uint32_t data_bytes;
    uint32_t slots;
    uint32_t algorithms; /* struct resident_algorithm[] */
    uint32_t crc_table; /* room for RESIDENT_CRC_ENTRIES words, or 0: the runner does with a smaller table */
};

#define RESIDENT_CRC_ENTRIES 256

#endif
