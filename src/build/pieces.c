#include "build/pieces.h"

#include <string.h>

#define SPACE_END (G_GUINT64_CONSTANT(1) << 32)

/* What one unit gives. */
typedef struct {
    guint64 address;
    gsize offset; /* of its first byte in bytes */
    gsize n_bytes;
    gsize file_offset;
    guint32 number;
} Record;

void imp_pieces_free(ImpPieces *pieces)
{
    if (pieces == NULL)
        return;
    g_free(pieces->bytes);
    g_free(pieces->pieces);
    g_free(pieces);
}

void imp_reader_init(ImpReader *r, const char *what, const char *unit, gsize max_bytes)
{
    *r = (ImpReader){.what = what,
                     .unit = unit,
                     .max_bytes = MIN(max_bytes, (gsize)G_MAXUINT32 / 2),
                     .bytes = g_byte_array_new(),
                     .records = g_array_new(FALSE, FALSE, sizeof(Record))};
}

void imp_reader_done(ImpReader *r)
{
    g_clear_pointer(&r->bytes, g_byte_array_unref);
    g_clear_pointer(&r->records, g_array_unref);
}

/* "firmware.hex:12" or "firmware.uf2: block 3 (offset 0x600)"; free with g_free. */
static char *place(const ImpReader *r)
{
    if (strcmp(r->unit, "line") == 0)
        return g_strdup_printf("%s:%u", r->what, MAX(r->number, 1));
    return g_strdup_printf("%s: %s %u (offset 0x%zX)", r->what, r->unit, r->number, r->offset);
}

gboolean imp_reader_fault(const ImpReader *r, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *where = place(r);
    imp_error_set(error, IMP_E_DATA_FILE, "%s: %s", where, text);
    return FALSE;
}

gboolean imp_reader_add(ImpReader *r, guint64 address, const guint8 *bytes, gsize n_bytes, GError **error)
{
    if (n_bytes == 0)
        return TRUE;
    if (address >= SPACE_END || n_bytes > SPACE_END - address)
        return imp_reader_fault(r, error, "the %s reaches past the end of the 32-bit address space",
                                strcmp(r->unit, "line") == 0 ? "record" : r->unit);
    if (n_bytes > r->max_bytes - r->bytes->len || r->records->len == IMP_PIECES_RECORDS_MAX) {
        g_autofree char *where = place(r);
        imp_error_set(error, IMP_E_LIMIT, "%s: more than %zu bytes or %u records", where, r->max_bytes,
                      IMP_PIECES_RECORDS_MAX);
        return FALSE;
    }
    Record record = {.address = address,
                     .offset = r->bytes->len,
                     .n_bytes = n_bytes,
                     .file_offset = r->offset,
                     .number = r->number};
    g_array_append_val(r->records, record);
    g_byte_array_append(r->bytes, bytes, (guint)n_bytes);
    return TRUE;
}

gboolean imp_reader_line(ImpReader *r, const char **cursor, const char *end, const char **out_line,
                         gsize *out_n)
{
    const char *line = *cursor;
    if (line >= end)
        return FALSE;
    const char *stop = memchr(line, '\n', (gsize)(end - line));
    gsize n = (gsize)((stop ? stop : end) - line);
    if (n > 0 && line[n - 1] == '\r')
        n--;
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
        n--;
    r->number++;
    *cursor = stop ? stop + 1 : end;
    *out_line = line;
    *out_n = n;
    return TRUE;
}

gboolean imp_reader_digits(const ImpReader *r, const char *digits, gsize n, gsize column, guint8 *out_bytes,
                           GError **error)
{
    for (gsize i = 0; i < 2 * n; i++)
        if (!g_ascii_isxdigit(digits[i]))
            return imp_reader_fault(r, error, "column %zu is no hexadecimal digit", column + i);
    for (gsize i = 0; i < n; i++)
        out_bytes[i] =
            (guint8)(g_ascii_xdigit_value(digits[2 * i]) << 4 | g_ascii_xdigit_value(digits[2 * i + 1]));
    return TRUE;
}

static int by_address(gconstpointer a, gconstpointer b)
{
    const Record *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

ImpPieces *imp_reader_finish(ImpReader *r, GError **error)
{
    if (r->records->len == 0) {
        if (strcmp(r->unit, "line") == 0)
            imp_reader_fault(r, error, "there is no data in the file");
        else
            imp_error_set(error, IMP_E_DATA_FILE, "%s: there is no data in the file", r->what);
        return NULL;
    }
    g_autoptr(GArray) pieces = g_array_new(FALSE, FALSE, sizeof(ImpPiece));
    g_autofree guint8 *bytes = g_malloc(r->bytes->len + 1);
    gsize filled = 0;
    g_array_sort(r->records, by_address);
    for (guint i = 0; i < r->records->len; i++) {
        const Record *record = &g_array_index(r->records, Record, i);
        const Record *last = i > 0 ? &g_array_index(r->records, Record, i - 1) : NULL;
        if (last != NULL && record->address < last->address + last->n_bytes) {
            const Record *later = record->number > last->number ? record : last;
            r->number = later->number;
            r->offset = later->file_offset;
            imp_reader_fault(r, error, "address 0x%08" G_GINT64_MODIFIER "X is already given in %s %u",
                             record->address, r->unit, MIN(record->number, last->number));
            return NULL;
        }
        ImpPiece *piece = pieces->len ? &g_array_index(pieces, ImpPiece, pieces->len - 1) : NULL;
        memcpy(bytes + filled, r->bytes->data + record->offset, record->n_bytes);
        if (piece != NULL && piece->address + piece->n_bytes == record->address) {
            piece->n_bytes += record->n_bytes;
        } else {
            ImpPiece next = {.address = record->address, .offset = filled, .n_bytes = record->n_bytes};
            g_array_append_val(pieces, next);
        }
        filled += record->n_bytes;
    }
    ImpPieces *all = g_new0(ImpPieces, 1);
    all->bytes = g_steal_pointer(&bytes);
    all->n_pieces = pieces->len;
    all->pieces = (ImpPiece *)(void *)g_array_free(g_steal_pointer(&pieces), FALSE);
    return all;
}
