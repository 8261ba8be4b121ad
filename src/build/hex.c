#include "build/hex.h"

#define RECORD_BYTES_MAX (1 + 2 + 1 + 255 + 1) /* LL AAAA TT data CC */
#define SEGMENT_BYTES    0x10000u

enum {
    TYPE_DATA = 0,
    TYPE_END = 1,
    TYPE_SEGMENT = 2,
    TYPE_START_SEGMENT = 3,
    TYPE_LINEAR = 4,
    TYPE_START_LINEAR = 5,
};

typedef struct {
    ImpReader *in;
    guint64 base; /* of the data records that follow */
    gboolean linear; /* base comes from a record 04 (or none came) */
    gboolean ended;
} Reader;

static gboolean take_data(Reader *r, guint32 offset, const guint8 *data, guint8 n, GError **error)
{
    if (!r->linear && offset + n > SEGMENT_BYTES)
        return imp_reader_fault(r->in, error, "the record reaches past the end of its 64 KiB segment");
    return imp_reader_add(r->in, r->base + offset, data, n, error);
}

/* The bytes of one line, checksum already taken off. */
static gboolean take_record(Reader *r, const guint8 *bytes, GError **error)
{
    guint8 n = bytes[0], type = bytes[3];
    guint32 offset = (guint32)bytes[1] << 8 | bytes[2];
    const guint8 *data = bytes + 4;
    static const guint8 sizes[] = {[TYPE_END] = 0,
                                   [TYPE_SEGMENT] = 2,
                                   [TYPE_START_SEGMENT] = 4,
                                   [TYPE_LINEAR] = 2,
                                   [TYPE_START_LINEAR] = 4};
    if (type > TYPE_START_LINEAR)
        return imp_reader_fault(r->in, error, "record type %02X is not one of Intel HEX (00 to 05)", type);
    if (type != TYPE_DATA && n != sizes[type])
        return imp_reader_fault(r->in, error, "a record of type %02X has %u bytes of data, this one has %u",
                                type, sizes[type], n);
    switch (type) {
    case TYPE_DATA:
        return take_data(r, offset, data, n, error);
    case TYPE_END:
        r->ended = TRUE;
        break;
    case TYPE_SEGMENT:
        r->base = ((guint64)data[0] << 8 | data[1]) << 4;
        r->linear = FALSE;
        break;
    case TYPE_LINEAR:
        r->base = ((guint64)data[0] << 8 | data[1]) << 16;
        r->linear = TRUE;
        break;
    default:
        break; /* where a program would start: of no meaning here */
    }
    return TRUE;
}

/* One line without its end. */
static gboolean take_line(Reader *r, const char *line, gsize n, GError **error)
{
    guint8 bytes[RECORD_BYTES_MAX];
    if (n == 0)
        return TRUE;
    if (r->ended)
        return imp_reader_fault(r->in, error, "there is something after the end record");
    if (line[0] != ':')
        return imp_reader_fault(r->in, error, "a line begins with ':', this one with byte 0x%02X",
                                (guint8)line[0]);
    line++;
    n--;
    if (n % 2 != 0 || n / 2 < 5 || n / 2 > sizeof bytes)
        return imp_reader_fault(r->in, error, "%zu hexadecimal digits are no record", n);
    guint8 sum = 0;
    if (!imp_reader_digits(r->in, line, n / 2, 2, bytes, error))
        return FALSE;
    for (gsize i = 0; i < n / 2; i++)
        sum = (guint8)(sum + bytes[i]);
    if (n / 2 != (gsize)bytes[0] + 5)
        return imp_reader_fault(r->in, error, "the record says %u bytes of data, the line has %zu", bytes[0],
                                n / 2 - 5);
    if (sum != 0) {
        guint8 is = bytes[n / 2 - 1];
        return imp_reader_fault(r->in, error, "the checksum is %02X, it should be %02X", is,
                                (guint8)(is - sum));
    }
    return take_record(r, bytes, error);
}

ImpPieces *imp_hex_parse(const char *text, gsize n_text, gsize max_bytes, const char *what, GError **error)
{
    g_auto(ImpReader) in = {0};
    imp_reader_init(&in, what, "line", max_bytes);
    Reader r = {.in = &in, .linear = TRUE};
    const char *cursor = text, *line;
    gsize n;
    while (imp_reader_line(&in, &cursor, text + n_text, &line, &n))
        if (!take_line(&r, line, n, error))
            return NULL;
    if (!r.ended) {
        imp_reader_fault(&in, error, "there is no end record (:00000001FF): the file is cut off");
        return NULL;
    }
    return imp_reader_finish(&in, error);
}
