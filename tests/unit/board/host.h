/* A minimal SWD host for the board's tests: CMSIS-DAP packets made by hand, each failure an assertion. Not the engine: the
 * board must not be tested by the code that it tests. */
#ifndef TESTS_UNIT_BOARD_HOST_H
#define TESTS_UNIT_BOARD_HOST_H

#include "board/board.h"

#include <glib.h>

/* Request bits of DAP_Transfer. */
enum { AP = 1, RD = 2, A4 = 4, A8 = 8, AC = 12, MATCH_VALUE = 16, MATCH_MASK = 32 };
enum {
    DP_ABORT = 0,
    DP_CTRL = A4,
    DP_SELECT = A8,
    DP_RDBUFF = AC,
    AP_CSW = AP,
    AP_TAR = AP | A4,
    AP_DRW = AP | AC
};
enum { OK = 1, WAIT = 2, FAULT = 4, NONE = 7 };

#define DHCSR        0xE000EDF0u
#define DCRSR        0xE000EDF4u
#define DCRDR        0xE000EDF8u
#define DEMCR        0xE000EDFCu
#define DFSR         0xE000ED30u
#define AIRCR        0xE000ED0Cu
#define NVMC(offset) (0x4001E000u + (offset))

#define RAM 0x20000000u

/* CSW: size of an access, with increment */
enum { CSW_8 = 0x23000010, CSW_16 = 0x23000011, CSW_32 = 0x23000012, CSW_16_PACKED = 0x23000021 };

ImpBoard *host_board_of(const char *chip, guint64 seed); /* blank */
ImpBoard *host_board(guint64 seed); /* a blank nrf51822 */
gsize host_packet(ImpBoard *b, const guint8 *req, gsize n, guint8 *resp); /* resp: 1024 bytes */
/* One transfer; returns the acknowledge. */
guint8 host_try(ImpBoard *b, guint8 req, guint32 *data);
guint32 host_read(ImpBoard *b, guint8 req);
void host_write(ImpBoard *b, guint8 req, guint32 value);
void host_line_reset(ImpBoard *b);
void host_clock(ImpBoard *b, guint32 hz);
void host_connect(ImpBoard *b); /* line reset, DPIDR, power-up, word accesses with increment */
guint32 host_read32(ImpBoard *b, guint32 addr);
void host_write32(ImpBoard *b, guint32 addr, guint32 value);
guint8 host_try_write32(ImpBoard *b, guint32 addr, guint32 value); /* acknowledge after the access */
/* An access that the bus may refuse: TRUE if it took it. Sticky errors are cleared. */
gboolean host_load_word(ImpBoard *b, guint32 addr, guint32 *out);
gboolean host_store(ImpBoard *b, guint32 csw, guint32 addr, guint32 value);
guint32 host_peek(ImpBoard *b, guint32 addr); /* from outside */
/* The status register at addr once its busy bits are gone; written back, so that errors are cleared. */
guint32 host_wait_status(ImpBoard *b, guint32 addr, guint32 busy);
/* UID as three words of the chip, highest first, against imp_board_get_uid(). */
void host_check_uid(ImpBoard *b, guint32 addr, guint n_words);
void host_halt(ImpBoard *b);
guint32 host_get_reg(ImpBoard *b, guint reg);
void host_set_reg(ImpBoard *b, guint reg, guint32 value);
void host_load(ImpBoard *b, guint32 addr, const guint16 *code, gsize n); /* half-words */
void host_run(ImpBoard *b, guint32 pc);
guint32 host_wait_halt(ImpBoard *b); /* DHCSR; polls at most 100000 times */

/* Raw wire: DAP_SWD_Sequence. out: count bits driven, LSB first; in: count bits with the line undriven. At most 64. */
void host_out(ImpBoard *b, guint64 bits, guint count);
guint64 host_in(ImpBoard *b, guint count);
guint8 host_header(guint8 req); /* the 8 bits of a request: start, APnDP, RnW, A2, A3, parity, stop, park */
guint8 host_raw_read(ImpBoard *b, guint8 req,
                     guint32 *out); /* 46 or 13 clocks by hand; returns the acknowledge */
guint8 host_raw_write(ImpBoard *b, guint8 req, guint32 value, gboolean good_parity);
guint64 host_swclk(ImpBoard *b);

#endif
