/* The resident runner: loops in the target's RAM and calls a flash algorithm's functions, so that the core is never
 * halted between pages. layout.h says how the host talks to it.
 *
 * Position independent, no data, no BSS; runs with interrupts off on the stack that the host gives. R9 belongs to the
 * flash algorithms (-ffixed-r9). Flash algorithms: CMSIS-Pack, "Flash Programming", Algorithm Functions. */
#include "layout.h"

enum { FNC_NONE = 0, FNC_ERASE = 1, FNC_PROGRAM = 2 }; /* Init's and UnInit's function code */

/* Keeps the compiler from moving accesses; the core itself does not reorder them. */
#define BARRIER() __asm__ volatile("" ::: "memory")

#define CRC_POLYNOMIAL 0xEDB88320u /* IEEE 802.3, reflected */
#define CRC_REPORT     256u /* bytes between two updates of `at` */

/* What the runner keeps; lives on its stack. */
struct state {
    volatile struct resident_control *control;
    const struct resident_algorithm *active; /* initialised for fnc */
    uint32_t fnc;
    uint32_t has_table; /* control->crc_table is filled */
};

/* AAPCS call with the static base in R9; the Thumb bit is in function. */
static uint32_t call(uint32_t function, uint32_t static_base, uint32_t a, uint32_t b, uint32_t c)
{
    register uint32_t r0 __asm__("r0") = a;
    register uint32_t r1 __asm__("r1") = b;
    register uint32_t r2 __asm__("r2") = c;
    __asm__ volatile("mov r9, %3\n\tblx %4"
                     : "+r"(r0), "+r"(r1), "+r"(r2)
                     : "l"(static_base), "l"(function)
                     : "r3", "r12", "lr", "memory", "cc");
    return r0;
}

/* Calls one function and tells the host where it is; returns the function's result, 0 = good. */
static uint32_t enter(struct state *s, enum resident_function which, uint32_t function,
                      const struct resident_algorithm *algorithm, uint32_t a, uint32_t b, uint32_t c)
{
    s->control->function = which;
    s->control->at = a;
    uint32_t result = call(function, algorithm->static_base, a, b, c);
    s->control->result = result;
    if (result == 0)
        s->control->function = RESIDENT_IN_NOTHING;
    return result;
}

static uint32_t leave(struct state *s)
{
    const struct resident_algorithm *active = s->active;
    if (!active)
        return 0;
    s->active = 0;
    return enter(s, RESIDENT_IN_UNINIT, active->uninit, active, s->fnc, 0, 0);
}

/* Init and UnInit bracket every kind of work. */
static uint32_t prepare(struct state *s, const struct resident_algorithm *algorithm, uint32_t fnc)
{
    if (s->active == algorithm && s->fnc == fnc)
        return 0;
    uint32_t result = leave(s);
    if (result)
        return result;
    result =
        enter(s, RESIDENT_IN_INIT, algorithm->init, algorithm, algorithm->start, algorithm->clock_hz, fnc);
    if (result)
        return result;
    s->active = algorithm;
    s->fnc = fnc;
    return 0;
}

static uint32_t erase_sectors(struct state *s, const struct resident_algorithm *algorithm, uint32_t address,
                              uint32_t size, uint32_t sector)
{
    for (uint32_t offset = 0; offset < size; offset += sector) {
        uint32_t result =
            enter(s, RESIDENT_IN_ERASE_SECTOR, algorithm->erase_sector, algorithm, address + offset, 0, 0);
        if (result)
            return result;
    }
    return 0;
}

/* The remainders of the first `entries` numbers, a power of two: each is the sum of those of its bits. */
static void make_table(uint32_t *table, uint32_t entries)
{
    uint32_t remainder = 1;
    table[0] = 0;
    for (uint32_t bit = entries >> 1; bit > 0; bit >>= 1) {
        remainder = (remainder >> 1) ^ (CRC_POLYNOMIAL & -(remainder & 1));
        for (uint32_t i = 0; i < entries; i += 2 * bit)
            table[bit + i] = remainder ^ table[i];
    }
}

/* Four bits at a time, with a table of 16 words, for where RAM is short. */
static uint32_t crc_byte(const uint32_t *table, uint32_t crc, uint32_t byte)
{
    crc ^= byte;
    crc = (crc >> 4) ^ table[crc & 15];
    return (crc >> 4) ^ table[crc & 15];
}

/* A byte at a time, with a table of 256 words: 8 cycles for each on a Cortex-M0. n_words is not 0. */
static uint32_t crc_words(const uint32_t *table, uint32_t crc, const uint32_t *words, uint32_t n_words)
{
    const uint32_t *end = words + n_words;
    do {
        crc ^= *words++;
        crc = (crc >> 8) ^ table[crc & 255];
        crc = (crc >> 8) ^ table[crc & 255];
        crc = (crc >> 8) ^ table[crc & 255];
        crc = (crc >> 8) ^ table[crc & 255];
    } while (words != end);
    return crc;
}

static uint32_t crc32(struct state *s, uint32_t address, uint32_t size)
{
    uint32_t small[16];
    uint32_t *large = (uint32_t *)s->control->crc_table;
    make_table(small, 16);
    if (large && !s->has_table) {
        make_table(large, RESIDENT_CRC_ENTRIES);
        s->has_table = 1;
    }
    uint32_t crc = 0xFFFFFFFFu;
    s->control->function = RESIDENT_IN_CRC;
    s->control->at = address;
    while (size > 0) {
        uint32_t n = CRC_REPORT - (address & (CRC_REPORT - 1)); /* up to the next report */
        if (n > size)
            n = size;
        size -= n;
        uint32_t n_words = large && (address & 3) == 0 ? n / 4 : 0;
        if (n_words) {
            crc = crc_words(large, crc, (const uint32_t *)address, n_words);
            address += 4 * n_words;
            n -= 4 * n_words;
        }
        for (; n > 0; n--)
            crc = crc_byte(small, crc, *(const uint8_t *)address++);
        s->control->at = address;
    }
    s->control->function = RESIDENT_IN_NOTHING;
    return ~crc;
}

static uint32_t execute(struct state *s, uint32_t *data, const volatile struct resident_trailer *trailer)
{
    uint32_t address = trailer->address, size = trailer->size, op = trailer->op;
    const struct resident_algorithm *algorithm =
        (const struct resident_algorithm *)s->control->algorithms + (op >> 8);
    uint32_t result;
    switch (op & 0xFF) {
    case RESIDENT_ERASE_CHIP:
        result = prepare(s, algorithm, FNC_ERASE);
        return result ? result : enter(s, RESIDENT_IN_ERASE_CHIP, algorithm->erase_chip, algorithm, 0, 0, 0);
    case RESIDENT_ERASE_SECTORS:
        result = prepare(s, algorithm, FNC_ERASE);
        return result ? result : erase_sectors(s, algorithm, address, size, data[0]);
    case RESIDENT_PROGRAM:
        result = prepare(s, algorithm, FNC_PROGRAM);
        return result ? result
                      : enter(s, RESIDENT_IN_PROGRAM_PAGE, algorithm->program_page, algorithm, address, size,
                              (uint32_t)data);
    case RESIDENT_CRC:
        data[0] = crc32(s, address, size);
        return 0;
    default:
        return leave(s);
    }
}

__attribute__((noreturn, section(".text.entry"))) void resident_main(
    volatile struct resident_control *control)
{
    __asm__ volatile("cpsid i");
    struct state s = {control, 0, FNC_NONE, 0};
    uint32_t slot = 0;
    for (uint32_t sequence = 1;; sequence++) {
        uint32_t *data = (uint32_t *)(control->ring + slot * control->slot_bytes);
        volatile struct resident_trailer *trailer =
            (volatile struct resident_trailer *)((uint32_t)data + control->data_bytes);
        while (trailer->sequence != sequence)
            ;
        BARRIER(); /* what the host wrote before the sequence number is read after it */
        if (execute(&s, data, trailer)) {
            control->done = (sequence - 1) | RESIDENT_FAILED;
            for (;;)
                __asm__ volatile("bkpt 0");
        }
        BARRIER();
        control->done = sequence;
        slot = slot + 1 < control->slots ? slot + 1 : 0;
    }
}
