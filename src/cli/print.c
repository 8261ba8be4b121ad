#include "cli/print.h"

#include <string.h>
#include <sys/ioctl.h>

#define HEADLINE_COLUMNS 100 /* where the code of an error ends */
#define BAR_WIDTH_MAX    64
#define ROWS_DEFAULT     24 /* of a terminal that does not say */

void imp_print_coloured(FILE *out, gboolean coloured, ImpColour colour, const char *text)
{
    /* ECMA-48, 8.3.117 SGR: 32 green, 31 red, 1 bold, 0 default */
    const char *on = colour == IMP_COLOUR_GOOD  ? "\033[32m"
                     : colour == IMP_COLOUR_BAD ? "\033[31m"
                                                : "\033[1m";
    if (coloured && colour != IMP_COLOUR_NONE)
        fprintf(out, "%s%s\033[0m", on, text);
    else
        fputs(text, out);
}

const char *imp_print_bit_hint(const guint8 *expected, const guint8 *found, gsize n_bytes)
{
    guint8 missing = 0, extra = 0;
    for (gsize i = 0; i < n_bytes; i++) {
        missing |= (guint8)(expected[i] & ~found[i]);
        extra |= (guint8)(found[i] & ~expected[i]);
    }
    if (missing != 0 && extra == 0)
        return "(bits that should be 1 are 0)";
    if (extra != 0 && missing == 0)
        return "(bits that should be 0 are 1)";
    return "";
}

char *imp_print_bytes(const guint8 *bytes, gsize n_bytes)
{
    GString *text = g_string_new("");
    for (gsize i = 0; i < n_bytes; i++)
        g_string_append_printf(text, "%s%02x", i > 0 ? " " : "", bytes[i]);
    return g_string_free(text, FALSE);
}

/* Each line of text behind two spaces. */
static void print_indented(FILE *out, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++)
        if (lines[i][0] != '\0' || lines[i + 1] != NULL)
            fprintf(out, "  %s\n", lines[i]);
}

static void print_detail(FILE *out, const ImpErrorDetail *detail)
{
    if (!detail->has_address)
        return;
    fprintf(out, "  0x%08" G_GINT64_MODIFIER "X", detail->address);
    if (detail->expected_bytes > 0 && detail->found_bytes > 0) {
        g_autofree char *expected = imp_print_bytes(detail->expected, detail->expected_bytes);
        g_autofree char *found = imp_print_bytes(detail->found, detail->found_bytes);
        const char *hint = detail->expected_bytes == detail->found_bytes
                               ? imp_print_bit_hint(detail->expected, detail->found, detail->found_bytes)
                               : "";
        fprintf(out, ": expected %s, found %s%s%s", expected, found, hint[0] != '\0' ? "   " : "", hint);
    }
    fputc('\n', out);
}

void imp_print_error(FILE *out, gboolean coloured, const char *headline, const GError *error)
{
    const ImpErrorEntry *entry = imp_error_entry(imp_error_code(error));
    g_autofree char *code = g_strdup_printf("E%04d %s", imp_error_code(error), entry->name);
    gsize used = (gsize)g_utf8_strlen(headline, -1) + strlen(code), width = HEADLINE_COLUMNS;
    guint columns = imp_print_columns(out, NULL);
    if (columns > 0)
        width = MIN(width, columns);
    imp_print_coloured(out, coloured, IMP_COLOUR_BAD, headline);
    fprintf(out, "%*s", used + 2 < width ? (int)(width - used) : 2, "");
    imp_print_coloured(out, coloured, IMP_COLOUR_NOTE, code);
    fputc('\n', out);
    print_indented(out, error->message);
    const ImpErrorDetail *detail = imp_error_detail(error);
    /* a message that says what was expected needs no second line */
    if (detail != NULL && strstr(error->message, "expected") == NULL)
        print_detail(out, detail);
    fprintf(out, "  likely   %s\n  do       %s\n", entry->likely, entry->action);
}

json_t *imp_print_error_json(const GError *error)
{
    const ImpErrorEntry *entry = imp_error_entry(imp_error_code(error));
    json_t *object = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "code", imp_error_code(error), "name",
                               entry->name, "disposition", imp_disposition_name(entry->disposition),
                               "message", error->message, "likely", entry->likely, "do", entry->action);
    /* a message with bytes that are not UTF-8 (a file's name) must not cost the whole result */
    if (object == NULL)
        object = json_pack("{s:i, s:s, s:s}", "code", imp_error_code(error), "name", entry->name,
                           "disposition", imp_disposition_name(entry->disposition));
    const ImpErrorDetail *detail = imp_error_detail(error);
    if (detail == NULL)
        return object;
    if (detail->step[0] != '\0')
        json_object_set_new(object, "step", json_string(detail->step));
    if (detail->has_address) {
        g_autofree char *address = g_strdup_printf("0x%08" G_GINT64_MODIFIER "X", detail->address);
        g_autofree char *expected = imp_hex_encode(detail->expected, detail->expected_bytes);
        g_autofree char *found = imp_hex_encode(detail->found, detail->found_bytes);
        json_object_set_new(object, "address", json_string(address));
        json_object_set_new(object, "expected", json_string(expected));
        json_object_set_new(object, "found", json_string(found));
    }
    return object;
}

void imp_print_explanation(FILE *out, const ImpErrorEntry *entry)
{
    fprintf(out, "E%04d %s (%s)\n  meaning  %s\n  likely   %s\n  do       %s\n", entry->code, entry->name,
            imp_disposition_name(entry->disposition), entry->meaning, entry->likely, entry->action);
}

char *imp_print_size(guint64 size_bytes)
{
    if (size_bytes < 1000)
        return g_strdup_printf("%u B", (guint)size_bytes);
    if (size_bytes < 1000 * 1000)
        return g_strdup_printf("%.1f kB", (double)size_bytes / 1e3);
    return g_strdup_printf("%.1f MB", (double)size_bytes / 1e6);
}

char *imp_print_duration(gint64 duration_us)
{
    if (duration_us < 0)
        duration_us = 0;
    if (duration_us < 1000 * 1000)
        return g_strdup_printf("%.2f s", (double)duration_us / 1e6);
    if (duration_us < 60 * 1000 * 1000)
        return g_strdup_printf("%.1f s", (double)duration_us / 1e6);
    gint64 seconds = duration_us / 1000000;
    return g_strdup_printf("%" G_GINT64_FORMAT " min %02d s", seconds / 60, (int)(seconds % 60));
}

char *imp_print_time(gint64 real_us, GTimeZone *tz)
{
    g_autoptr(GDateTime) utc = real_us > 0 ? g_date_time_new_from_unix_utc(real_us / 1000000) : NULL;
    if (utc == NULL)
        return g_strdup("");
    g_autoptr(GDateTime) local = tz != NULL ? g_date_time_to_timezone(utc, tz) : g_date_time_to_local(utc);
    return g_date_time_format(local, "%Y-%m-%d %H:%M:%S");
}

char *imp_print_time_utc(gint64 real_us)
{
    g_autoptr(GDateTime) utc = real_us > 0 ? g_date_time_new_from_unix_utc(real_us / 1000000) : NULL;
    return utc != NULL ? g_date_time_format(utc, "%Y-%m-%dT%H:%M:%SZ") : g_strdup("");
}

char *imp_print_seconds(gint64 duration_us)
{
    gint64 ms = MAX(duration_us, 0) / 1000;
    return g_strdup_printf("%" G_GINT64_FORMAT ".%03d", ms / 1000, (int)(ms % 1000));
}

void imp_table_init(ImpTable *table, const char *const *columns, guint n_columns)
{
    table->columns = columns;
    table->n_columns = n_columns;
    table->rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
}

/* What comes from records is shown, never obeyed: no control character reaches the terminal. */
static char *printable(const char *text)
{
    char *copy = g_utf8_make_valid(text != NULL ? text : "", -1);
    for (char *c = copy; *c != '\0'; c++)
        if ((guchar)*c < 0x20 || *c == 0x7f)
            *c = '?';
    return copy;
}

void imp_table_add(ImpTable *table, const char *const *cells)
{
    char **row = g_new0(char *, table->n_columns + 1);
    for (guint i = 0; i < table->n_columns; i++)
        row[i] = printable(cells[i]);
    g_ptr_array_add(table->rows, row);
}

static void print_cell(FILE *out, const char *text, gsize width, gboolean right, gboolean last)
{
    gsize used = (gsize)g_utf8_strlen(text, -1);
    int pad = (int)(width - used);
    if (right)
        fprintf(out, "%*s%s", pad, "", text);
    else
        fprintf(out, "%s%*s", text, last ? 0 : pad, "");
    fputs(last ? "\n" : "  ", out);
}

void imp_table_print(const ImpTable *table, FILE *out)
{
    g_autofree gsize *widths = g_new0(gsize, table->n_columns);
    for (guint i = 0; i < table->n_columns; i++) {
        widths[i] = strlen(table->columns[i]) - (table->columns[i][0] == '>');
        for (guint r = 0; r < table->rows->len; r++) {
            char **row = g_ptr_array_index(table->rows, r);
            widths[i] = MAX(widths[i], (gsize)g_utf8_strlen(row[i], -1));
        }
    }
    for (guint i = 0; i < table->n_columns; i++) {
        gboolean right = table->columns[i][0] == '>';
        print_cell(out, table->columns[i] + right, widths[i], right, i + 1 == table->n_columns);
    }
    for (guint r = 0; r < table->rows->len; r++) {
        char **row = g_ptr_array_index(table->rows, r);
        for (guint i = 0; i < table->n_columns; i++)
            print_cell(out, row[i], widths[i], table->columns[i][0] == '>', i + 1 == table->n_columns);
    }
}

static void print_csv_cell(FILE *out, const char *text)
{
    /* Spreadsheets take = + - @ at the beginning for a formula (OWASP, CSV injection). */
    gboolean formula = text[0] != '\0' && strchr("=+-@", text[0]) != NULL;
    if (!formula && strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, out);
        return;
    }
    fputs(formula ? "\"'" : "\"", out);
    for (const char *c = text; *c != '\0'; c++)
        fputs(*c == '"' ? "\"\"" : (char[]){*c, '\0'}, out);
    fputc('"', out);
}

void imp_table_print_csv(const ImpTable *table, FILE *out)
{
    for (guint i = 0; i < table->n_columns; i++) {
        print_csv_cell(out, table->columns[i] + (table->columns[i][0] == '>'));
        fputs(i + 1 == table->n_columns ? "\r\n" : ",", out);
    }
    for (guint r = 0; r < table->rows->len; r++) {
        char **row = g_ptr_array_index(table->rows, r);
        for (guint i = 0; i < table->n_columns; i++) {
            print_csv_cell(out, row[i]);
            fputs(i + 1 == table->n_columns ? "\r\n" : ",", out);
        }
    }
}

void imp_table_done(ImpTable *table)
{
    g_clear_pointer(&table->rows, g_ptr_array_unref);
}

void imp_print_bar(char *text, gsize text_size, guint64 done, guint64 total, guint width)
{
    width = MIN(width, (guint)BAR_WIDTH_MAX);
    g_assert(text_size >= width + 3);
    guint filled = total == 0 ? 0 : (guint)((double)MIN(done, total) / (double)total * width);
    text[0] = '[';
    memset(text + 1, '#', filled);
    memset(text + 1 + filled, '.', width - filled);
    memcpy(text + 1 + width, "]", 2);
}

guint imp_print_columns(FILE *out, guint *out_rows)
{
    struct winsize size = {0};
    int fd = fileno(out);
    gboolean known = fd >= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    if (out_rows != NULL)
        *out_rows = known && size.ws_row > 0 ? size.ws_row : ROWS_DEFAULT;
    return known ? size.ws_col : 0;
}

void imp_live_init(ImpLive *live, FILE *out, gboolean terminal)
{
    *live = (ImpLive){.out = out, .terminal = terminal};
}

void imp_live_clear(ImpLive *live)
{
    /* ECMA-48: CUU (cursor up), ED (erase to the end of the screen) */
    if (live->n_drawn > 0)
        /* the carriage return because the terminal echoes what is typed, a ^C for one, where the cursor stands */
        fprintf(live->out, "\r\033[%uA\033[J", live->n_drawn);
    live->n_drawn = 0;
}

void imp_live_draw(ImpLive *live, const char *const *lines, guint n_lines)
{
    if (!live->terminal)
        return;
    imp_live_clear(live);
    /* A line that wraps, or lines that scroll, could not be taken back. */
    guint rows, columns = imp_print_columns(live->out, &rows);
    guint shown = n_lines < rows ? n_lines : rows - 2;
    for (guint i = 0; i < shown; i++) {
        const char *end = columns == 0 || g_utf8_strlen(lines[i], -1) < (glong)columns
                              ? lines[i] + strlen(lines[i])
                              : g_utf8_offset_to_pointer(lines[i], columns - 1);
        fprintf(live->out, "%.*s\n", (int)(end - lines[i]), lines[i]);
    }
    if (shown < n_lines)
        fprintf(live->out, "and %u more\n", n_lines - shown);
    live->n_drawn = shown + (shown < n_lines);
    fflush(live->out);
}
