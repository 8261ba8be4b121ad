/* A board behind TCP ports: CMSIS-DAP packets on one, the control line protocol on another, and SCPI of the supply that feeds it
 * on a third, and what the chip sends on its UARTs on a fourth (docs/board.md).
 *
 * DAP port: an 8-byte header (44 41 50 00, u16 length, type 1 request or 2 response, 0; little-endian) and one packet; one
 * client at a time, the next is served when the present one goes. Control port: one command a line, one reply a line. Power port:
 * SCPI messages, one a line; with it the board has no power until its supply is switched on. UART port: raw bytes to one client, the latest; what is sent while there is none is lost.
 * Life cycle: imp_server_open(), imp_server_run() until stop or `quit`, imp_server_close(). One thread, poll(). */
#ifndef IMP_BOARD_SERVER_H
#define IMP_BOARD_SERVER_H

#include "board/board.h"

typedef struct ImpServer ImpServer;

struct imp_server_options {
    const char *dap_addr; /* HOST:PORT, port 0: any */
    const char *control_addr; /* NULL: no control port */
    const char *power_addr; /* NULL: no power port, the board is powered from the start */
    const char *uart_addr; /* NULL: no UART port */
    int stop_fd; /* becomes readable when the server must stop; -1: none */
    bool wire_time; /* do not add the wall clock's gaps to virtual time */
};

#define IMP_SERVER_WHY_MAX  200u
#define IMP_SERVER_ADDR_MAX 64u

/* The server borrows the board. NULL: why says which address and what is wrong. */
ImpServer *imp_server_open(ImpBoard *board, const struct imp_server_options *options,
                           char why[IMP_SERVER_WHY_MAX]);
/* The addresses in use, HOST:PORT; empty when there is no such port. */
struct imp_server_addrs {
    char dap[IMP_SERVER_ADDR_MAX], control[IMP_SERVER_ADDR_MAX], power[IMP_SERVER_ADDR_MAX],
        uart[IMP_SERVER_ADDR_MAX];
};
void imp_server_get_addrs(const ImpServer *server, struct imp_server_addrs *out);
/* Serves until stop_fd or `quit`. 0, or -1 with why. */
int imp_server_run(ImpServer *server, char why[IMP_SERVER_WHY_MAX]);
void imp_server_close(ImpServer *server);

#endif
