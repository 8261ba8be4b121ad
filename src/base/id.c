#include "base/id.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

ImpId imp_id_random(const ImpRandom *random)
{
    ImpId id;
    imp_random_fill(random, id.bytes, sizeof id.bytes);
    return id;
}

ImpId imp_id_ordered(const ImpClock *clock, const ImpRandom *random)
{
    ImpId id = imp_id_random(random);
    guint64 ms = (guint64)(imp_clock_real_us(clock) / 1000);
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (guint8)(ms >> (8 * (5 - i)));
    id.bytes[6] = (guint8)(0x70 | (id.bytes[6] & 0x0f)); /* version 7 */
    id.bytes[8] = (guint8)(0x80 | (id.bytes[8] & 0x3f)); /* variant */
    return id;
}

const char *imp_id_text(const ImpId *id, char text[IMP_ID_TEXT_SIZE])
{
    for (gsize i = 0; i < IMP_ID_BYTES; i++) {
        text[2 * i] = digits[id->bytes[i] >> 4];
        text[2 * i + 1] = digits[id->bytes[i] & 15];
    }
    text[2 * IMP_ID_BYTES] = '\0';
    return text;
}

gboolean imp_id_parse(const char *text, ImpId *out_id)
{
    ImpId id;
    for (const char *c = text; *c != '\0'; c++)
        if (g_ascii_isupper(*c))
            return FALSE;
    if (imp_hex_decode(text, id.bytes, sizeof id.bytes) != IMP_ID_BYTES)
        return FALSE;
    *out_id = id;
    return TRUE;
}

gboolean imp_id_equal(const ImpId *a, const ImpId *b)
{
    return memcmp(a->bytes, b->bytes, IMP_ID_BYTES) == 0;
}

gboolean imp_id_is_zero(const ImpId *id)
{
    static const ImpId zero;
    return imp_id_equal(id, &zero);
}

char *imp_hex_encode(const guint8 *bytes, gsize n_bytes)
{
    char *text = g_malloc(2 * n_bytes + 1);
    for (gsize i = 0; i < n_bytes; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * n_bytes] = '\0';
    return text;
}

gssize imp_hex_decode(const char *text, guint8 *out, gsize cap)
{
    gsize n_digits = strlen(text);
    if (n_digits % 2 != 0 || n_digits / 2 > cap)
        return -1;
    for (gsize i = 0; i < n_digits; i++)
        if (!g_ascii_isxdigit(text[i]))
            return -1;
    for (gsize i = 0; i < n_digits / 2; i++)
        out[i] = (guint8)(g_ascii_xdigit_value(text[2 * i]) << 4 | g_ascii_xdigit_value(text[2 * i + 1]));
    return (gssize)(n_digits / 2);
}
