/* For firmware and test programs that talk to the programmer over the debug wires: text, results, measured bytes, and
 * questions, through a mailbox in RAM. No pins, no UART, no interrupt, no C library.
 *
 * A *run test* is a program of its own that a station loads into RAM (`test:` in a recipe) before the final firmware:
 *
 *     int main(void)
 *     {
 *         uint16_t ppm = calibrate();
 *         imprint_text("crystal measured");
 *         imprint_block("rtc-trim", &ppm, sizeof ppm);
 *         imprint_verdict(ppm < 200 ? 0 : 17, "crystal out of range");
 *     }
 *
 * Compile it with imprint_test.c and runtest_start.c, link it with runtest.ld. Firmware that only says that it is alive (`run:` in a recipe) compiles
 * imprint_test.c in, calls imprint_mailbox_open once, then imprint_say.
 *
 * The station finds the mailbox by its symbol, imprint_mailbox, in the ELF file. Works on every little-endian Cortex-M.
 * One caller at a time: not from an interrupt while the main program may be in here.
 *
 * License: MIT, like the rest of Imprint; it may be linked into any product. */
#ifndef IMPRINT_TEST_H
#define IMPRINT_TEST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the longest message: a name with its closing NUL and a block, a text, an answer. At least 64, at most 4096. */
#ifndef IMPRINT_MAILBOX_BYTES
#define IMPRINT_MAILBOX_BYTES 128
#endif

#define IMPRINT_MAILBOX_MAGIC 0x31424D49u /* "IMB1": the mailbox is open, version 1 */

/* What a message is. */
enum imprint_kind {
    IMPRINT_TEXT = 1, /* data: text */
    IMPRINT_BLOCK = 2, /* data: name, NUL, bytes */
    IMPRINT_VERDICT = 3, /* data: code (4 bytes, 0 = good), text */
    IMPRINT_ASK_TIME = 4, /* answer: microseconds since 1970 UTC, 8 bytes */
    IMPRINT_ASK_VALUE = 5, /* data: name; answer: the value's bytes */
};

#define IMPRINT_NO_ANSWER 0xFFFFFFFFu /* n_bytes of an answer: the station does not have that */

/* Little-endian words. The program fills kind, n_bytes and data, then adds 1 to posted; the station takes the message,
 * puts an answer into n_bytes and data if one is asked for, then sets answered to posted. */
struct imprint_mailbox {
    uint32_t magic;
    uint32_t capacity; /* bytes of data */
    uint32_t posted;
    uint32_t answered;
    uint32_t kind;
    uint32_t n_bytes;
    uint8_t data[IMPRINT_MAILBOX_BYTES];
};

extern volatile struct imprint_mailbox imprint_mailbox;

/* Empties and opens the mailbox. First of all; the start code of run tests does it. */
void imprint_mailbox_open(void);

/* A line for the log. Waits until the station has taken the message before it. Cut to the mailbox's size. */
void imprint_text(const char *text);

/* The same without waiting: 0 if the message before has not been taken, and the text is lost. For firmware, which also
 * runs where nobody listens. */
int imprint_say(const char *text);

/* Bytes by name, for the log and for `from-test` values. Returns 0 if name and bytes do not fit. */
int imprint_block(const char *name, const void *bytes, size_t n_bytes);

/* Station's time in microseconds since 1970 UTC; 0 if it does not know. */
uint64_t imprint_time_us(void);

/* A value of this unit (the recipe's name for it: a serial number, a barcode). Returns its length, which may be more than cap; then
 * the first cap bytes are there. -1: there is no such value, or it is not known yet. */
int imprint_value(const char *name, void *out, size_t cap);

/* Ends the test: code 0 = good, else the unit fails with this code and text. Never returns. */
void imprint_verdict(uint32_t code, const char *text) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif
#endif
