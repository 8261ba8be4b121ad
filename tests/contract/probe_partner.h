/* The other end of a probe's connection, for the battery of ImpProbe: a thread that serves a virtual board in the framing of
 * CMSIS-DAP over TCP, and fails when a request asks for it (the specification leaves commands 0x80 to 0x9F to vendors).
 *
 * Life cycle: partner_new, connections one after the other, partner_free. Thread rule: partner_new and partner_free in one
 * thread; the board belongs to the partner's thread. */
#pragma once

#include <glib.h>

#define PARTNER_PACKET_BYTES 512
#define PARTNER_PACKETS      4

typedef enum {
    PARTNER_IS_SILENT = 0x90, /* reads on, answers no more */
    PARTNER_IS_GONE = 0x91, /* closes the connection */
    PARTNER_IS_GONE_MID = 0x92, /* closes it within an answer */
    PARTNER_TOO_LONG = 0x93, /* one answer of more than a packet */
    PARTNER_TWICE_MORE = 0x94, /* the right answer, and two more that nobody asked for */
} PartnerFault;

typedef struct Partner Partner;

Partner *partner_new(void);
const char *partner_address(const Partner *partner); /* "127.0.0.1:PORT" */
void partner_free(Partner *partner);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Partner, partner_free)
