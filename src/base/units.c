#include "base/units.h"

#include <string.h>

#define FRACTION_DIGITS_MAX 9

typedef struct {
    const char *name;
    guint64 factor; /* base units in one of it */
} UnitName;

/* Falling: imp_unit_text takes the first that divides. */
static const UnitName hz_names[] = {{"MHz", 1000000}, {"kHz", 1000}, {"Hz", 1}, {NULL, 0}};
static const UnitName us_names[] = {{"d", G_GUINT64_CONSTANT(86400000000)},
                                    {"h", G_GUINT64_CONSTANT(3600000000)},
                                    {"min", 60000000},
                                    {"s", 1000000},
                                    {"ms", 1000},
                                    {"us", 1},
                                    {NULL, 0}};
static const UnitName mv_names[] = {{"V", 1000}, {"mV", 1}, {NULL, 0}};
static const UnitName byte_names[] = {
    {"GiB", 1024 * 1024 * 1024}, {"MiB", 1024 * 1024}, {"KiB", 1024}, {"B", 1}, {NULL, 0}};

static const UnitName *names_of(ImpUnit unit)
{
    switch (unit) {
    case IMP_UNIT_HZ:
        return hz_names;
    case IMP_UNIT_US:
        return us_names;
    case IMP_UNIT_MV:
        return mv_names;
    case IMP_UNIT_BYTES:
        return byte_names;
    }
    g_assert_not_reached();
}

const char *imp_unit_expected(ImpUnit unit)
{
    switch (unit) {
    case IMP_UNIT_HZ:
        return "a frequency such as '4 MHz' or '500 kHz'";
    case IMP_UNIT_US:
        return "a time such as '20 ms' or '5 s'";
    case IMP_UNIT_MV:
        return "a voltage such as '3.3 V'";
    case IMP_UNIT_BYTES:
        return "a size such as '16', '0x400' or '4 KiB'";
    }
    g_assert_not_reached();
}

/* Digits at *text without a leading zero (unless it is the only one); FALSE if there are none or too many. */
static gboolean take_decimal(const char **text, guint64 *out_value)
{
    const char *p = *text;
    guint64 value = 0;
    if (!g_ascii_isdigit(*p) || (p[0] == '0' && g_ascii_isdigit(p[1])))
        return FALSE;
    for (; g_ascii_isdigit(*p); p++)
        if (!g_uint64_checked_mul(&value, value, 10) ||
            !g_uint64_checked_add(&value, value, (guint64)(*p - '0')))
            return FALSE;
    *text = p;
    *out_value = value;
    return TRUE;
}

static gboolean take_hexadecimal(const char *text, guint64 *out_value)
{
    gsize n = strlen(text);
    guint64 value = 0;
    if (n < 3 || n > 18 || text[0] != '0' || text[1] != 'x')
        return FALSE;
    for (gsize i = 2; i < n; i++) {
        if (!g_ascii_isxdigit(text[i]))
            return FALSE;
        value = value << 4 | (guint64)g_ascii_xdigit_value(text[i]);
    }
    *out_value = value;
    return TRUE;
}

gboolean imp_number_parse(const char *text, guint64 *out_value)
{
    guint64 value;
    if (g_str_has_prefix(text, "0x"))
        return take_hexadecimal(text, out_value);
    if (!take_decimal(&text, &value) || *text != '\0')
        return FALSE;
    *out_value = value;
    return TRUE;
}

gboolean imp_address_parse(const char *text, guint64 *out_address)
{
    return take_hexadecimal(text, out_address);
}

gboolean imp_unit_parse(const char *text, ImpUnit unit, guint64 *out_value)
{
    guint64 whole;
    if (unit == IMP_UNIT_BYTES && imp_number_parse(text, out_value))
        return TRUE;
    if (!take_decimal(&text, &whole))
        return FALSE;
    const char *digits = NULL;
    gsize n_digits = 0;
    if (*text == '.') {
        digits = ++text;
        while (g_ascii_isdigit(*text))
            text++;
        n_digits = (gsize)(text - digits);
        if (n_digits == 0 || n_digits > FRACTION_DIGITS_MAX)
            return FALSE;
    }
    if (*text == ' ')
        text++;
    const UnitName *name = names_of(unit);
    while (name->name != NULL && strcmp(name->name, text) != 0)
        name++;
    guint64 value;
    if (name->name == NULL || !g_uint64_checked_mul(&value, whole, name->factor))
        return FALSE;
    /* 0.d1d2… of the unit must be a whole number of base units. */
    guint64 part = 0, tenths = 1;
    for (gsize i = 0; i < n_digits; i++) {
        part = part * 10 + (guint64)(digits[i] - '0');
        tenths *= 10;
    }
    guint64 product;
    if (!g_uint64_checked_mul(&product, part, name->factor) || product % tenths != 0 ||
        !g_uint64_checked_add(&value, value, product / tenths))
        return FALSE;
    *out_value = value;
    return TRUE;
}

char *imp_unit_text(guint64 value, ImpUnit unit)
{
    const UnitName *name = names_of(unit);
    while (name->factor > 1 && (value == 0 || value % name->factor != 0))
        name++;
    return g_strdup_printf("%" G_GUINT64_FORMAT " %s", value / name->factor, name->name);
}

gboolean imp_range_split(const char *text, char **out_first, char **out_last)
{
    const char *to = strstr(text, " to ");
    if (to == NULL || strstr(to + 4, " to ") != NULL)
        return FALSE;
    char *first = g_strstrip(g_strndup(text, (gsize)(to - text)));
    char *last = g_strstrip(g_strdup(to + 4));
    if (*first == '\0' || *last == '\0') {
        g_free(first);
        g_free(last);
        return FALSE;
    }
    *out_first = first;
    *out_last = last;
    return TRUE;
}

/* Exactly n digits; -1 otherwise. */
static int digits_at(const char *text, gsize n)
{
    int value = 0;
    for (gsize i = 0; i < n; i++) {
        if (!g_ascii_isdigit(text[i]))
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

gboolean imp_date_parse(const char *text, gint64 *out_first_s, gint64 *out_last_s)
{
    gsize n = strlen(text);
    gboolean day_only = n == strlen("2026-12-01");
    if (!day_only && n != strlen("2026-12-01T06:00:00Z"))
        return FALSE;
    int year = digits_at(text, 4), month = digits_at(text + 5, 2), day = digits_at(text + 8, 2);
    int hour = 0, minute = 0, second = 0;
    if (text[4] != '-' || text[7] != '-' || year < 1970 || month < 0 || day < 0)
        return FALSE;
    if (!day_only) {
        hour = digits_at(text + 11, 2);
        minute = digits_at(text + 14, 2);
        second = digits_at(text + 17, 2);
        if (text[10] != 'T' || text[13] != ':' || text[16] != ':' || text[19] != 'Z' || hour < 0 ||
            minute < 0 || second < 0)
            return FALSE;
    }
    /* NULL for a day that the calendar does not have. */
    g_autoptr(GDateTime) time = g_date_time_new_utc(year, month, day, hour, minute, second);
    if (time == NULL)
        return FALSE;
    *out_first_s = g_date_time_to_unix(time);
    *out_last_s = *out_first_s + (day_only ? 86400 - 1 : 0);
    return TRUE;
}
