/* What people write in recipes and configurations: quantities with units, addresses, ranges, dates; as exact integers.
 *
 *     quantity   number [" "] unit       "4 MHz"  "1.5 s"  "3.3 V"  "16 KiB": the unit is never left out
 *     number     "0" | 1-9 digits, then at most one "." and digits; no sign, no exponent, no "_", no leading zero
 *     address    "0x" and 1 to 16 hexadecimal digits
 *     range      A " to " B              both ends belong to it, A is not greater than B
 *     date       "2026-12-01" (a whole day, UTC) or "2026-12-01T06:00:00Z"
 *
 * A value that is not a whole number of the base unit ("1.5 us") is refused, never rounded. No state; any thread. */
#pragma once

#include <glib.h>

typedef enum {
    IMP_UNIT_HZ = 2, /* Hz, kHz, MHz               in hertz */
    IMP_UNIT_US, /* us, ms, s, min, h, d       in microseconds */
    IMP_UNIT_MV, /* mV, V                      in millivolts */
    IMP_UNIT_BYTES, /* B, KiB, MiB, GiB           in bytes; the one unit that may be left out */
} ImpUnit;

/* What the functions below want to see, for messages: "a frequency such as '4 MHz'". Constant. */
const char *imp_unit_expected(ImpUnit unit);

/* TRUE and *out_value in the base unit if text is a quantity of that kind. */
gboolean imp_unit_parse(const char *text, ImpUnit unit, guint64 *out_value);

/* A value in the base unit, as one would write it: "4 MHz"; free with g_free. */
char *imp_unit_text(guint64 value, ImpUnit unit);

/* A whole number: decimal without leading zeroes, or 0x and hexadecimal digits. */
gboolean imp_number_parse(const char *text, guint64 *out_value);

gboolean imp_address_parse(const char *text, guint64 *out_address);

/* Splits "A to B" at the word "to"; free both with g_free. FALSE if the text is not of that form. */
gboolean imp_range_split(const char *text, char **out_first, char **out_last);

/* The first and the last second that the date covers, since 1970-01-01 UTC: a day's 86400 seconds, or the same second twice. */
gboolean imp_date_parse(const char *text, gint64 *out_first_s, gint64 *out_last_s);
