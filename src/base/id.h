/* 128-bit identifiers, written as 32 lower-case hexadecimal digits.
 *
 * Image IDs are random. Launch IDs (and whatever becomes a database key in bulk) are time-ordered as in RFC 9562,
 * section 5.7 (UUID version 7): 48 bits of milliseconds, then random bits; random keys cost the database a page each. */
#pragma once

#include "base/env.h"

#define IMP_ID_BYTES     16
#define IMP_ID_TEXT_SIZE 33 /* with the closing NUL */

typedef struct {
    guint8 bytes[IMP_ID_BYTES];
} ImpId;

/* A fresh random ID. */
ImpId imp_id_random(const ImpRandom *random);

/* A fresh time-ordered ID. */
ImpId imp_id_ordered(const ImpClock *clock, const ImpRandom *random);

/* Writes the text form and returns text. */
const char *imp_id_text(const ImpId *id, char text[IMP_ID_TEXT_SIZE]);

/* TRUE and *out_id if text is exactly 32 lower-case hexadecimal digits. */
gboolean imp_id_parse(const char *text, ImpId *out_id);

gboolean imp_id_equal(const ImpId *a, const ImpId *b);
gboolean imp_id_is_zero(const ImpId *id);

/* Lower-case hexadecimal of any bytes; free with g_free. */
char *imp_hex_encode(const guint8 *bytes, gsize n_bytes);

/* Decodes an even number of hexadecimal digits of either case into at most cap bytes; -1 if text is anything else or
 * does not fit, else the number of bytes. */
gssize imp_hex_decode(const char *text, guint8 *out, gsize cap);
