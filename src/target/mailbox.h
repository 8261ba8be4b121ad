/* Talks with a program on the target through a mailbox in its RAM (algorithms/runtest/imprint_test.h says how): board
 * tests, which are loaded into RAM and end with a verdict, and firmware that says a text when it is up.
 *
 * What comes from the target is foreign: every number is checked, and everything has a limit. A target that can be read while its
 * core runs is not disturbed; over a GDB server the core is stopped for a moment at each look.
 * Thread rule: the target's. */
#pragma once

#include "target/target.h"

#define IMP_MAILBOX_DATA_MIN     64 /* bytes of a mailbox's messages */
#define IMP_MAILBOX_DATA_MAX     4096
#define IMP_MAILBOX_TEXT_MAX     4096 /* bytes of all text that is kept, newest last; more is counted only */
#define IMP_MAILBOX_NAME_MAX     64
#define IMP_MAILBOX_BLOCK_MAX    64 /* bytes of one block */
#define IMP_MAILBOX_BLOCKS_MAX   16
#define IMP_MAILBOX_MESSAGES_MAX 100000 /* of one run */
#define IMP_MAILBOX_TIMEOUT_MAX  (10 * 60 * 1000) /* ms */

/* Bytes by name: what the program measured, or what it may ask for. */
typedef struct {
    char name[IMP_MAILBOX_NAME_MAX + 1];
    guint8 bytes[IMP_MAILBOX_BLOCK_MAX];
    gsize n_bytes;
} ImpMailboxBlock;

typedef struct {
    GString *text; /* lines, each with its newline; valid UTF-8 */
    guint64 text_lost; /* bytes of text that found no place */
    ImpMailboxBlock blocks[IMP_MAILBOX_BLOCKS_MAX]; /* names differ: a later one replaces an earlier one */
    gsize n_blocks;
    guint32 code; /* of the verdict; 0 = good */
} ImpMailboxResult;

void imp_mailbox_result_init(ImpMailboxResult *result);
void imp_mailbox_result_done(ImpMailboxResult *result);

/* A program in RAM. */
typedef struct {
    guint64 address;
    GBytes *bytes;
} ImpProgramSegment;

typedef struct {
    const ImpProgramSegment *segments;
    gsize n_segments;
    guint32 entry; /* the first instruction's address; the Thumb bit does not count */
    guint32 stack; /* initial stack pointer: the byte after the RAM it may use */
    guint32 mailbox; /* address of imprint_mailbox */
    guint timeout_ms; /* 1 to IMP_MAILBOX_TIMEOUT_MAX */
    const ImpMailboxBlock *values; /* what it may ask for */
    gsize n_values;
} ImpBoardTest;

/* Resets and halts the core, loads the program, lets it run with interrupts off until its verdict, then resets and halts
 * again. result (made with imp_mailbox_result_init) holds what came, also when it fails.
 * Errors: IMP_E_TEST_FAILED (the verdict: not 0), IMP_E_TEST_TIMEOUT, IMP_E_TEST_CRASHED (the address is the core's), IMP_E_TEST_MESSAGE,
 * IMP_E_TARGET_RAM (the RAM does not hold the program), IMP_E_ARGUMENT, and those of imp_target_read and imp_target_write. */
gboolean imp_board_test_run(ImpTarget *target, const ImpBoardTest *test, ImpMailboxResult *result,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Resets the chip and lets its firmware run until its text holds expected; the core goes on running, with the debugger attached.
 * Errors: IMP_E_TEXT_MISSING after timeout_ms, IMP_E_TEST_CRASHED, IMP_E_TEST_MESSAGE, and those of imp_target_read and _write. */
gboolean imp_firmware_listen(ImpTarget *target, guint32 mailbox, const char *expected, guint timeout_ms,
                             ImpMailboxResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImpMailboxResult, imp_mailbox_result_done)
