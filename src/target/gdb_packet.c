#include "target/gdb_packet.h"

#include <string.h>

#define ESCAPE     '}'
#define ESCAPE_XOR 0x20
#define RUN        '*'
#define RUN_BASE   29 /* the character behind '*' minus this is how often the one before it comes again */
#define NUMBER_MAX 4096

enum { STATE_IDLE = 0, STATE_PAYLOAD, STATE_SUM_HIGH, STATE_SUM_LOW };

static void put(ImpGdbDecoder *d, guint8 byte, gsize times)
{
    if (IMP_GDB_PACKET_MAX - d->n_bytes < times) {
        d->bad = TRUE;
        return;
    }
    memset(d->payload + d->n_bytes, byte, times);
    d->n_bytes += times;
}

static void take_payload(ImpGdbDecoder *d, guint8 byte)
{
    if (d->escaped) {
        d->escaped = FALSE;
        put(d, byte ^ ESCAPE_XOR, 1);
    } else if (d->repeats) {
        d->repeats = FALSE;
        if (byte <= RUN_BASE || d->n_bytes == 0)
            d->bad = TRUE;
        else
            put(d, d->payload[d->n_bytes - 1], byte - RUN_BASE);
    } else if (byte == ESCAPE) {
        d->escaped = TRUE;
    } else if (byte == RUN) {
        d->repeats = TRUE;
    } else {
        put(d, byte, 1);
    }
}

static ImpGdbEvent finish(ImpGdbDecoder *d)
{
    d->state = STATE_IDLE;
    if (d->bad || d->escaped || d->repeats || d->sum != d->sum_told)
        return d->is_notification ? IMP_GDB_MORE : IMP_GDB_BAD;
    d->payload[d->n_bytes] = '\0';
    return d->is_notification ? IMP_GDB_MORE : IMP_GDB_PACKET;
}

static void take_digit(ImpGdbDecoder *d, guint8 byte)
{
    int digit = g_ascii_xdigit_value((char)byte);
    d->bad = d->bad || digit < 0;
    d->sum_told = (guint8)(d->sum_told << 4 | (digit & 0xF));
}

ImpGdbEvent imp_gdb_take(ImpGdbDecoder *d, guint8 byte)
{
    switch (d->state) {
    case STATE_PAYLOAD:
        if (byte == '#') {
            d->state = STATE_SUM_HIGH;
        } else {
            d->sum += byte;
            take_payload(d, byte);
        }
        return IMP_GDB_MORE;
    case STATE_SUM_HIGH:
        take_digit(d, byte);
        d->state = STATE_SUM_LOW;
        return IMP_GDB_MORE;
    case STATE_SUM_LOW:
        take_digit(d, byte);
        return finish(d);
    default:
        break;
    }
    if (byte == '+')
        return IMP_GDB_ACK;
    if (byte == '-')
        return IMP_GDB_NAK;
    if (byte == '$' || byte == '%') {
        d->state = STATE_PAYLOAD;
        d->n_bytes = 0;
        d->sum = d->sum_told = 0;
        d->escaped = d->repeats = d->bad = FALSE;
        d->is_notification = byte == '%';
    }
    return IMP_GDB_MORE;
}

void imp_gdb_frame(GByteArray *out, const guint8 *payload, gsize n_bytes)
{
    static const char digits[] = "0123456789abcdef";
    guint8 sum = 0;
    for (gsize i = 0; i < n_bytes; i++)
        sum = (guint8)(sum + payload[i]);
    g_byte_array_append(out, (const guint8 *)"$", 1);
    g_byte_array_append(out, payload, (guint)n_bytes);
    g_byte_array_append(out, (guint8[]){'#', (guint8)digits[sum >> 4], (guint8)digits[sum & 0xF]}, 3);
}

gboolean imp_gdb_unhex(const guint8 *digits, guint8 *out, gsize n_bytes)
{
    for (gsize i = 0; i < n_bytes; i++) {
        int high = g_ascii_xdigit_value((char)digits[2 * i]),
            low = g_ascii_xdigit_value((char)digits[2 * i + 1]);
        if (high < 0 || low < 0)
            return FALSE;
        out[i] = (guint8)(high << 4 | low);
    }
    return TRUE;
}

gboolean imp_gdb_is_error(const ImpGdbDecoder *d)
{
    return d->n_bytes >= 2 && d->payload[0] == 'E' && (d->payload[1] == '.' || d->n_bytes == 3);
}

/* The value of an attribute of the tag from..to, without quotes; NULL if it has none. */
static char *attribute(const char *from, const char *to, const char *name)
{
    g_autofree char *pattern = g_strdup_printf(" %s=\"", name);
    const char *at = g_strstr_len(from, to - from, pattern);
    if (at == NULL)
        return NULL;
    at += strlen(pattern);
    const char *end = memchr(at, '"', (gsize)(to - at));
    return end != NULL ? g_strndup(at, (gsize)(end - at)) : NULL;
}

guint imp_gdb_find_register(const char *xml, const char *name, guint fallback)
{
    for (const char *tag = strstr(xml, "<reg "); tag != NULL; tag = strstr(tag + 1, "<reg ")) {
        const char *end = strchr(tag, '>');
        if (end == NULL)
            break;
        g_autofree char *its_name = attribute(tag, end, "name");
        g_autofree char *number = attribute(tag, end, "regnum");
        guint64 value;
        if (its_name != NULL && g_ascii_strcasecmp(its_name, name) == 0 && number != NULL &&
            g_ascii_string_to_unsigned(number, 10, 0, NUMBER_MAX, &value, NULL))
            return (guint)value;
    }
    return fallback;
}
