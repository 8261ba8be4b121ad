/* Packets of the GDB remote serial protocol: "$payload#checksum" with acknowledges, escapes and run lengths. Pure: bytes in,
 * events out, no memory of its own beyond the struct. Internal to target/.
 *
 * Source: GDB manual, appendix "GDB Remote Serial Protocol", "Overview". */
#pragma once

#include <glib.h>

#define IMP_GDB_PACKET_MAX 16384 /* payload, after undoing escapes and run lengths */

typedef enum {
    IMP_GDB_MORE = 2, /* go on */
    IMP_GDB_PACKET, /* payload[0..n_bytes-1] is a packet, with a NUL behind it; valid until the next byte */
    IMP_GDB_ACK,
    IMP_GDB_NAK,
    IMP_GDB_BAD, /* a packet with a wrong checksum, that is too long or makes no sense */
} ImpGdbEvent;

/* All zero at the beginning. */
typedef struct {
    guint8 payload[IMP_GDB_PACKET_MAX + 1];
    gsize n_bytes;
    guint8 state, sum, sum_told;
    gboolean is_notification, escaped, repeats, bad;
} ImpGdbDecoder;

ImpGdbEvent imp_gdb_take(ImpGdbDecoder *decoder, guint8 byte);

/* Appends "$payload#checksum". The payload is already escaped where it must be. */
void imp_gdb_frame(GByteArray *out, const guint8 *payload, gsize n_bytes);

/* 2 * n_bytes hexadecimal digits; FALSE if one is none. */
gboolean imp_gdb_unhex(const guint8 *digits, guint8 *out, gsize n_bytes);

/* TRUE for "E01" and "E.text": hexadecimal data has an even number of digits. */
gboolean imp_gdb_is_error(const ImpGdbDecoder *decoder);

/* The number of a register in a target description (target.xml); fallback if it is not there or has no number. */
guint imp_gdb_find_register(const char *xml, const char *name, guint fallback);
