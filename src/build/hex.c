#include "build/hex.h"

#include <string.h>

#define RECORD_BYTES_MAX (1 + 2 + 1 + 255 + 1) /* LL AAAA TT data CC */
#define SPACE_END        (G_GUINT64_CONSTANT(1) << 32)
#define SEGMENT_BYTES    0x10000u

enum {
    TYPE_DATA = 0,
    TYPE_END = 1,
    TYPE_SEGMENT = 2,
    TYPE_START_SEGMENT = 3,
    TYPE_LINEAR = 4,
    TYPE_START_LINEAR = 5,
};

/* A data record as it stands in the file. */
typedef struct {
    guint64 address;
    gsize offset; /* of its first byte in bytes */
    guint32 line;
    guint8 n_bytes;
} Record;

typedef struct {
    const char *what;
    gsize max_bytes;
    guint32 line;
    guint64 base; /* of the data records that follow */
    gboolean linear; /* base comes from a record 04 (or none came) */
    gboolean ended;
    GByteArray *bytes;
    GArray *records;
} Reader;

static gboolean fault(const Reader *r, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static gboolean fault(const Reader *r, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    imp_error_set(error, IMP_E_DATA_FILE, "%s:%u: %s", r->what, r->line, text);
    return FALSE;
}

void imp_hex_free(ImpHex *hex)
{
    if (hex == NULL)
        return;
    g_free(hex->bytes);
    g_free(hex->pieces);
    g_free(hex);
}

static gboolean take_data(Reader *r, guint32 offset, const guint8 *data, guint8 n, GError **error)
{
    if (n == 0)
        return TRUE;
    if (!r->linear && offset + n > SEGMENT_BYTES)
        return fault(r, error, "the record reaches past the end of its 64 KiB segment");
    if (r->base + offset + n > SPACE_END)
        return fault(r, error, "the record reaches past the end of the 32-bit address space");
    if (r->bytes->len + n > r->max_bytes || r->records->len == IMP_HEX_RECORDS_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "%s:%u: more than %zu bytes or %u records", r->what, r->line,
                      r->max_bytes, IMP_HEX_RECORDS_MAX);
        return FALSE;
    }
    Record record = {.address = r->base + offset, .offset = r->bytes->len, .line = r->line, .n_bytes = n};
    g_array_append_val(r->records, record);
    g_byte_array_append(r->bytes, data, n);
    return TRUE;
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
        return fault(r, error, "record type %02X is not one of Intel HEX (00 to 05)", type);
    if (type != TYPE_DATA && n != sizes[type])
        return fault(r, error, "a record of type %02X has %u bytes of data, this one has %u", type,
                     sizes[type], n);
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
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
        n--;
    if (n == 0)
        return TRUE;
    if (r->ended)
        return fault(r, error, "there is something after the end record");
    if (line[0] != ':')
        return fault(r, error, "a line begins with ':', this one with byte 0x%02X", (guint8)line[0]);
    line++;
    n--;
    if (n % 2 != 0 || n / 2 < 5 || n / 2 > sizeof bytes)
        return fault(r, error, "%zu hexadecimal digits are no record", n);
    guint8 sum = 0;
    for (gsize i = 0; i < n / 2; i++) {
        if (!g_ascii_isxdigit(line[2 * i]) || !g_ascii_isxdigit(line[2 * i + 1]))
            return fault(r, error, "column %zu is no hexadecimal digit",
                         2 * i + 2 + g_ascii_isxdigit(line[2 * i]));
        bytes[i] = (guint8)(g_ascii_xdigit_value(line[2 * i]) << 4 | g_ascii_xdigit_value(line[2 * i + 1]));
        sum = (guint8)(sum + bytes[i]);
    }
    if (n / 2 != (gsize)bytes[0] + 5)
        return fault(r, error, "the record says %u bytes of data, the line has %zu", bytes[0], n / 2 - 5);
    if (sum != 0) {
        guint8 is = bytes[n / 2 - 1];
        return fault(r, error, "the checksum is %02X, it should be %02X", is, (guint8)(is - sum));
    }
    return take_record(r, bytes, error);
}

static int by_address(gconstpointer a, gconstpointer b)
{
    const Record *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* Sorts the records, refuses overlaps, joins what touches. */
static ImpHex *join(Reader *r, GError **error)
{
    g_autoptr(GArray) pieces = g_array_new(FALSE, FALSE, sizeof(ImpHexPiece));
    g_autofree guint8 *bytes = g_malloc(r->bytes->len + 1);
    gsize filled = 0;
    g_array_sort(r->records, by_address);
    for (guint i = 0; i < r->records->len; i++) {
        const Record *record = &g_array_index(r->records, Record, i);
        const Record *last = i > 0 ? &g_array_index(r->records, Record, i - 1) : NULL;
        if (last != NULL && record->address < last->address + last->n_bytes) {
            r->line = MAX(record->line, last->line);
            fault(r, error, "address 0x%08" G_GINT64_MODIFIER "X is already given in line %u",
                  record->address, MIN(record->line, last->line));
            return NULL;
        }
        ImpHexPiece *piece = pieces->len ? &g_array_index(pieces, ImpHexPiece, pieces->len - 1) : NULL;
        memcpy(bytes + filled, r->bytes->data + record->offset, record->n_bytes);
        if (piece != NULL && piece->address + piece->n_bytes == record->address) {
            piece->n_bytes += record->n_bytes;
        } else {
            ImpHexPiece next = {.address = record->address, .offset = filled, .n_bytes = record->n_bytes};
            g_array_append_val(pieces, next);
        }
        filled += record->n_bytes;
    }
    ImpHex *hex = g_new0(ImpHex, 1);
    hex->bytes = g_steal_pointer(&bytes);
    hex->n_pieces = pieces->len;
    hex->pieces = (ImpHexPiece *)(void *)g_array_free(g_steal_pointer(&pieces), FALSE);
    return hex;
}

ImpHex *imp_hex_parse(const char *text, gsize n_text, gsize max_bytes, const char *what, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autoptr(GArray) records = g_array_new(FALSE, FALSE, sizeof(Record));
    Reader r = {.what = what,
                .max_bytes = MIN(max_bytes, (gsize)G_MAXUINT32 / 2),
                .linear = TRUE,
                .bytes = bytes,
                .records = records};
    const char *end = text + n_text;
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (gsize)(end - line));
        const char *next = stop ? stop + 1 : end;
        gsize n = (gsize)((stop ? stop : end) - line);
        if (n > 0 && line[n - 1] == '\r')
            n--;
        r.line++;
        if (!take_line(&r, line, n, error))
            return NULL;
        line = next;
    }
    if (!r.ended) {
        r.line = MAX(r.line, 1);
        fault(&r, error, "there is no end record (:00000001FF): the file is cut off");
        return NULL;
    }
    if (records->len == 0) {
        fault(&r, error, "there is no data in the file");
        return NULL;
    }
    return join(&r, error);
}
