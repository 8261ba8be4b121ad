/* What people see: errors with their place and what to do, tables, live lines, sizes and times.
 *
 * Life cycle: plain functions; ImpLive belongs to who shows it. Thread rule: one thread for each FILE. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "base/error.h"
#include "wire/wire.h"

typedef enum {
    IMP_COLOUR_NONE = 2,
    IMP_COLOUR_GOOD,
    IMP_COLOUR_BAD,
    IMP_COLOUR_NOTE,
} ImpColour;

/* Writes text in a colour, if coloured. */
void imp_print_coloured(FILE *out, gboolean coloured, ImpColour colour, const char *text);

/* Shows an error: headline ("imprint build", "port A3  FAILED in verify after 4.2 s") with the code at the right, then
 * the message, where in the target and which bytes, likely cause, and what to do. */
void imp_print_error(FILE *out, gboolean coloured, const char *headline, const GError *error);

/* The same as an object for --json: code, name, disposition, message, step, address, expected, found, likely, do. A new
 * reference. */
json_t *imp_print_error_json(const GError *error);

/* The registry's page of one code. */
void imp_print_explanation(FILE *out, const ImpErrorEntry *entry);

/* Which bits differ and how, or "" if there is nothing to say: "(bits that should be 1 are 0)". */
const char *imp_print_bit_hint(const guint8 *expected, const guint8 *found, gsize n_bytes);

/* "47 70 20 00"; free with g_free. */
char *imp_print_bytes(const guint8 *bytes, gsize n_bytes);

/* "0 B", "640 B", "12.5 kB", "1.2 MB" (decimal units); free with g_free. */
char *imp_print_size(guint64 size_bytes);

/* "0.35 s", "4.2 s", "3 min 05 s"; free with g_free. */
char *imp_print_duration(gint64 duration_us);

/* "2026-11-22 16:40:08", local time of tz (borrowed; NULL = the machine's); 0 (no such moment) gives "". Free with g_free. */
char *imp_print_time(gint64 real_us, GTimeZone *tz);

/* The same for programs: "2026-11-22T16:40:08Z", and seconds with three decimals; free with g_free. */
char *imp_print_time_utc(gint64 real_us);
char *imp_print_seconds(gint64 duration_us);

/* A table: a heading and rows of the same number of columns. A column whose name begins with '>' is aligned right (the
 * mark is not printed). */
typedef struct {
    const char *const *columns; /* borrowed */
    guint n_columns;
    GPtrArray *rows; /* of char **, owned */
} ImpTable;

void imp_table_init(ImpTable *table, const char *const *columns, guint n_columns);
/* Takes n_columns strings, copies them; NULL is shown as nothing. */
void imp_table_add(ImpTable *table, const char *const *cells);
/* Aligned by columns; bytes that are not printable are shown as '?'. */
void imp_table_print(const ImpTable *table, FILE *out);
/* RFC 4180: comma, CRLF, quotes where needed. A cell that a spreadsheet would take for a formula gets a ' in front. */
void imp_table_print_csv(const ImpTable *table, FILE *out);
void imp_table_done(ImpTable *table);

/* "[#####.....]"; total 0 gives an empty bar. At most 64 wide. */
void imp_print_bar(char *text, gsize text_size, guint64 done, guint64 total, guint width);

/* How wide the terminal behind out is, 0 if it is none or does not say; *out_rows (may be NULL): how high. */
guint imp_print_columns(FILE *out, guint *out_rows);

/* Live lines at the bottom of a terminal: drawn again in place. Where out is no terminal, nothing is drawn; what is
 *X. */
typedef struct {
    FILE *out;
    gboolean terminal;
    guint n_drawn; /* lines on the screen now */
} ImpLive;

void imp_live_init(ImpLive *live, FILE *out, gboolean terminal);
/* Draws these lines in place of the ones before. */
void imp_live_draw(ImpLive *live, const char *const *lines, guint n_lines);
/* Takes the live lines away, so that ordinary output can follow. */
void imp_live_clear(ImpLive *live);
