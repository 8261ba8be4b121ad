/* The board's laboratory supply: one output that feeds the board, spoken to in SCPI over TCP (docs/board.md: supply).
 *
 * What it does: below IMP_SUPPLY_CHIP_MV at the output, or with the output off, the board has no power: nobody answers on SWD,
 * RAM is lost, a flash operation is cut. The board draws load_ma; more than limit_ma makes the voltage fall in proportion
 * (constant current). What is measured is off by error_mv. Switching takes no time.
 *
 * Life cycle: plain struct; imp_supply_init switches the board off. Borrows the board. Thread rule: the board's. */
#ifndef IMP_BOARD_SUPPLY_H
#define IMP_BOARD_SUPPLY_H

#include "board/board.h"

#define IMP_SUPPLY_LINE_MAX   256u /* bytes of a message or an answer, with its end */
#define IMP_SUPPLY_ERRORS_MAX 10u /* of the error queue */
#define IMP_SUPPLY_MV_MAX     6000u
#define IMP_SUPPLY_MA_MAX     3000u
#define IMP_SUPPLY_CHIP_MV    1800u /* nRF51822 PS 3.x: 1.8 V to 3.6 V; the STM32 chips: 1.7 V or 2.0 V */

struct imp_supply {
    ImpBoard *board;
    bool output;
    uint32_t set_mv, limit_ma;
    uint32_t load_ma; /* what the board draws */
    int32_t error_mv; /* measured minus real */
    int errors[IMP_SUPPLY_ERRORS_MAX]; /* oldest first */
    unsigned error_count;
};

void imp_supply_init(struct imp_supply *supply, ImpBoard *board);

/* One SCPI message (without its line end), one or several commands with semicolons between them. answer: the answers to its
 * queries with semicolons between them, "" if it has none; NUL-terminated, without line end. */
void imp_supply_execute(struct imp_supply *supply, const char *message, char answer[IMP_SUPPLY_LINE_MAX]);

/* The control port's `supply` command: what a SCPI client cannot change. words: the line behind `supply`. reply starts with
 * `ok` or `error`. */
void imp_supply_control(struct imp_supply *supply, const char *words, char reply[IMP_SUPPLY_LINE_MAX]);

#endif
