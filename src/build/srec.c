#include "build/srec.h"

#define RECORD_BYTES_MAX (1 + 255) /* LL, then what it counts */

typedef struct {
    ImpReader *in;
    guint32 n_data; /* data records so far */
    gboolean counted, ended;
} Reader;

/* Bytes of address by type; 0: there is no such type. */
static const guint8 address_bytes[10] = {2, 2, 3, 4, 0, 2, 3, 4, 3, 2};

/* A record may begin within 16 or 24 bits and end behind them: srec_cat writes such records, and their bytes go on in
 * sequence. */
static gboolean take_data(Reader *r, guint64 address, const guint8 *data, gsize n, GError **error)
{
    r->n_data++;
    return imp_reader_add(r->in, address, data, n, error);
}

static gboolean take_count(Reader *r, guint64 count, GError **error)
{
    if (count != r->n_data)
        return imp_reader_fault(r->in, error,
                                "the file says that it has %" G_GUINT64_FORMAT
                                " data records; there are %u before this",
                                count, r->n_data);
    r->counted = TRUE;
    return TRUE;
}

/* bytes: LL, address, data, checksum; LL is right. */
static gboolean take_record(Reader *r, guint type, const guint8 *bytes, GError **error)
{
    guint n_address = address_bytes[type];
    gsize n = bytes[0] - n_address - 1u;
    guint64 address = 0;
    for (guint i = 0; i < n_address; i++)
        address = address << 8 | bytes[1 + i];
    const guint8 *data = bytes + 1 + n_address;
    if (type >= 5 && n != 0)
        return imp_reader_fault(r->in, error, "a record S%u has no data, this one has %zu bytes", type, n);
    if (r->counted && type < 7)
        return imp_reader_fault(r->in, error, "only an end record may come after the count of the records");
    switch (type) {
    case 0:
        return TRUE;
    case 1:
    case 2:
    case 3:
        return take_data(r, address, data, n, error);
    case 5:
    case 6:
        return take_count(r, address, error);
    default:
        r->ended = TRUE;
        return TRUE;
    }
}

/* One line without its end. */
static gboolean take_line(Reader *r, const char *line, gsize n, GError **error)
{
    guint8 bytes[RECORD_BYTES_MAX];
    if (n == 0)
        return TRUE;
    if (r->ended)
        return imp_reader_fault(r->in, error, "there is something after the end record");
    if (line[0] != 'S')
        return imp_reader_fault(r->in, error, "a line begins with 'S', this one with byte 0x%02X",
                                (guint8)line[0]);
    if (n < 2 || !g_ascii_isdigit(line[1]) || address_bytes[line[1] - '0'] == 0)
        return imp_reader_fault(r->in, error, "this is no record type of S-records (S0 to S3, S5 to S9)");
    guint type = (guint)(line[1] - '0');
    line += 2;
    n -= 2;
    if (n % 2 != 0 || n / 2 < 2u + address_bytes[type] || n / 2 > sizeof bytes)
        return imp_reader_fault(r->in, error, "%zu hexadecimal digits are no record S%u", n, type);
    if (!imp_reader_digits(r->in, line, n / 2, 3, bytes, error))
        return FALSE;
    if (n / 2 != (gsize)bytes[0] + 1)
        return imp_reader_fault(r->in, error, "the record says %u bytes, the line has %zu", bytes[0],
                                n / 2 - 1);
    guint8 sum = 0;
    for (gsize i = 0; i < n / 2; i++)
        sum = (guint8)(sum + bytes[i]);
    if (sum != 0xFF) {
        guint8 is = bytes[n / 2 - 1];
        return imp_reader_fault(r->in, error, "the checksum is %02X, it should be %02X", is,
                                (guint8)(is - sum - 1));
    }
    return take_record(r, type, bytes, error);
}

ImpPieces *imp_srec_parse(const char *text, gsize n_text, gsize max_bytes, const char *what, GError **error)
{
    g_auto(ImpReader) in = {0};
    imp_reader_init(&in, what, "line", max_bytes);
    Reader r = {.in = &in};
    const char *cursor = text, *line;
    gsize n;
    while (imp_reader_line(&in, &cursor, text + n_text, &line, &n))
        if (!take_line(&r, line, n, error))
            return NULL;
    if (!r.ended && !r.counted) {
        imp_reader_fault(
            &in, error,
            "there is neither an end record (S7, S8 or S9) nor a count (S5, S6): the file is cut off");
        return NULL;
    }
    return imp_reader_finish(&in, error);
}
