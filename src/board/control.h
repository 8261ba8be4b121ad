/* The control port's commands: what a person, a station or a test does to a board from outside. Grammar: docs/board.md. */
#ifndef IMP_BOARD_CONTROL_H
#define IMP_BOARD_CONTROL_H

#include "board/board.h"

#define IMP_CONTROL_LINE_MAX  1024u /* bytes of a command or reply, with its end */
#define IMP_CONTROL_WORDS_MAX 8u

/* Executes one line (without its end) and writes one reply line (NUL-terminated, without line end) that starts with `ok` or
 * `error`. Returns false if the command asks the program to end. */
bool imp_control_execute(ImpBoard *board, const char *line, char reply[IMP_CONTROL_LINE_MAX]);

/* The fault switch that a text such as "stuck-bit 0x1234 5" names. false: reply holds `error ...`. */
bool imp_control_set_fault(ImpBoard *board, const char *text, char reply[IMP_CONTROL_LINE_MAX]);

#endif
