#include "build/load.h"

#include <string.h>

#include "build/elf_file.h"
#include "build/hex.h"
#include "build/srec.h"
#include "build/uf2.h"

static const char uf2_magic[8] = {0x55, 0x46, 0x32, 0x0A, 0x57, 0x51, (char)0x5D, (char)0x9E};

const char *imp_data_format_text(ImpDataFormat format)
{
    static const char *const texts[] = {
        [IMP_DATA_UNKNOWN] = "an unknown", [IMP_DATA_HEX] = "a HEX",  [IMP_DATA_BINARY] = "a binary",
        [IMP_DATA_SREC] = "an S-record",   [IMP_DATA_ELF] = "an ELF", [IMP_DATA_UF2] = "a UF2",
    };
    return texts[format];
}

ImpDataFormat imp_data_guess(const guint8 *file, gsize n_file)
{
    if (n_file >= 4 && memcmp(file,
                              "\x7F"
                              "ELF",
                              4) == 0)
        return IMP_DATA_ELF;
    if (n_file >= sizeof uf2_magic && memcmp(file, uf2_magic, sizeof uf2_magic) == 0)
        return IMP_DATA_UF2;
    gsize i = 0;
    while (i < n_file && memchr(" \t\r\n", file[i], 4) != NULL)
        i++;
    if (n_file - i < 2)
        return IMP_DATA_UNKNOWN;
    if (file[i] == ':' && g_ascii_isxdigit((char)file[i + 1]))
        return IMP_DATA_HEX;
    if (file[i] == 'S' && g_ascii_isdigit((char)file[i + 1]))
        return IMP_DATA_SREC;
    return IMP_DATA_UNKNOWN;
}

static ImpPieces *load_binary(const guint8 *file, gsize n, gsize max_bytes, const char *what, guint64 at,
                              GError **error)
{
    if (n == 0) {
        imp_error_set(error, IMP_E_DATA_FILE, "%s is empty", what);
        return NULL;
    }
    if (at > G_MAXUINT32 || n - 1 > G_MAXUINT32 - at) {
        imp_error_set(error, IMP_E_OUTSIDE_MEMORY, "%s reaches behind the 32-bit address space", what);
        return NULL;
    }
    if (n > max_bytes) {
        imp_error_set(error, IMP_E_LIMIT, "%s has %zu bytes, the limit is %zu", what, n, max_bytes);
        return NULL;
    }
    ImpPieces *all = g_new0(ImpPieces, 1);
    all->bytes = g_memdup2(file, n);
    all->pieces = g_new0(ImpPiece, 1);
    all->pieces[0] = (ImpPiece){.address = at, .n_bytes = n};
    all->n_pieces = 1;
    return all;
}

/* FALSE if the format stays unknown, or is not what it was said to be. */
static gboolean choose(const guint8 *file, gsize n, const char *what, const ImpLoadOptions *options,
                       ImpDataFormat *out_format, GError **error)
{
    ImpDataFormat guess = imp_data_guess(file, n);
    *out_format = options->format;
    if (options->exact)
        return TRUE;
    if (options->format == IMP_DATA_BINARY) {
        if (guess != IMP_DATA_ELF && guess != IMP_DATA_UF2)
            return TRUE;
        imp_error_set(
            error, IMP_E_DATA_FILE,
            "%s is %s file, not a binary: say 'format: %s', or 'format: binary' if its bytes are meant as "
            "they are",
            what, imp_data_format_text(guess), guess == IMP_DATA_ELF ? "elf" : "uf2");
        return FALSE;
    }
    if (guess != IMP_DATA_UNKNOWN)
        *out_format = guess;
    if (*out_format != IMP_DATA_UNKNOWN)
        return TRUE;
    imp_error_set(error, IMP_E_DATA_FILE,
                  "%s is neither HEX, S-record, ELF nor UF2; of a binary file say where it begins (at: 0x…)",
                  what);
    return FALSE;
}

/* The bytes of first to last that all has, and filler for the rest of them if it is wanted. */
static ImpPieces *cut(const ImpPieces *all, const char *what, const ImpLoadOptions *o, GError **error)
{
    g_auto(ImpReader) in = {0};
    imp_reader_init(&in, what, "piece", o->max_bytes);
    guint64 next = o->range_first; /* that nothing has been given for */
    gboolean any = FALSE;
    g_autofree guint8 *filler = NULL;
    gsize n_filler = o->has_fill ? (gsize)(o->range_last - o->range_first + 1) : 0;
    if (n_filler > o->max_bytes) {
        imp_error_set(error, IMP_E_LIMIT, "%s: the range to fill has %zu bytes, the limit is %zu", what,
                      n_filler, o->max_bytes);
        return NULL;
    }
    if (o->has_fill)
        filler = memset(g_malloc(n_filler), o->fill, n_filler);
    for (gsize i = 0; i < all->n_pieces; i++) {
        const ImpPiece *piece = &all->pieces[i];
        guint64 first = MAX(piece->address, o->range_first);
        guint64 last = MIN(piece->address + piece->n_bytes - 1, o->range_last);
        if (first > last)
            continue;
        if (o->has_fill && !imp_reader_add(&in, next, filler, (gsize)(first - next), error))
            return NULL;
        if (!imp_reader_add(&in, first, all->bytes + piece->offset + (first - piece->address),
                            (gsize)(last - first + 1), error))
            return NULL;
        next = last + 1;
        any = TRUE;
    }
    if (!any) {
        imp_error_set(error, IMP_E_DATA_FILE, "%s has no bytes in the range", what);
        return NULL;
    }
    if (o->has_fill && !imp_reader_add(&in, next, filler, (gsize)(o->range_last + 1 - next), error))
        return NULL;
    return imp_reader_finish(&in, error);
}

ImpPieces *imp_load(const guint8 *file, gsize n_file, const char *what, const ImpLoadOptions *options,
                    GError **error)
{
    g_autoptr(ImpPieces) all = NULL;
    ImpDataFormat format;
    gsize max = options->has_range ? G_MAXUINT32 : options->max_bytes; /* cut obeys it */
    if (!choose(file, n_file, what, options, &format, error))
        return NULL;
    switch (format) {
    case IMP_DATA_HEX:
        all = imp_hex_parse((const char *)file, n_file, max, what, error);
        break;
    case IMP_DATA_SREC:
        all = imp_srec_parse((const char *)file, n_file, max, what, error);
        break;
    case IMP_DATA_ELF:
        all = imp_elf_parse(file, n_file, max, what, error);
        break;
    case IMP_DATA_UF2:
        all = imp_uf2_parse(file, n_file, options->has_family ? &options->family : NULL, max, what, error);
        break;
    default:
        all = load_binary(file, n_file, max, what, options->at, error);
        break;
    }
    if (all == NULL || !options->has_range)
        return g_steal_pointer(&all);
    return cut(all, what, options, error);
}
