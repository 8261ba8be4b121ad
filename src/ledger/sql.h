/* The few things that the ledger asks of a database, over SQLite: prepared statements, rows, one sticky error.
 *
 * The first fault is kept in the handle; later calls do nothing and give zeros, until imp_sql_take hands the error out. A
 * function may so make several calls and look once, as every change is inside a transaction that is rolled back then.
 * Statement texts must be string literals: the cache of prepared statements is keyed by their address.
 *
 * Types of arguments, a letter each, bound to ?1, ?2, …:
 *     i gint64    t const char * (NULL = SQL NULL)    d const ImpId *    b const void *, gsize (NULL pointer = SQL NULL)
 *     n gboolean, gint64: SQL NULL unless the first is TRUE
 *
 * Thread rule: one thread at a time. */
#pragma once

#include <sqlite3.h>

#include "base/error.h"
#include "base/id.h"

typedef struct {
    sqlite3 *db;
    GHashTable *statements; /* text → sqlite3_stmt */
    GError *error; /* the sticky one */
} ImpSql;

/* Opens or makes the file (mode 0600). FALSE: *error is set and sql is closed. */
gboolean imp_sql_open(ImpSql *sql, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* A closed or zeroed handle is allowed. */
void imp_sql_close(ImpSql *sql);

/* FALSE if there is a sticky error: it is moved to *error (which may be NULL). */
gboolean imp_sql_take(ImpSql *sql, GError **error);
gboolean imp_sql_ok(const ImpSql *sql);

/* Records what SQLite says about doing something as the sticky error. */
void imp_sql_fault(ImpSql *sql, const char *doing);

/* Runs any text of statements without arguments. */
void imp_sql_exec(ImpSql *sql, const char *text);

/* Runs one statement that gives no rows; the number of rows that it changed. */
gint64 imp_sql_run(ImpSql *sql, const char *text, const char *types, ...);

/* A statement that gives rows. Between find and done the same text may not be run again. */
typedef struct {
    ImpSql *sql;
    sqlite3_stmt *statement; /* NULL: no row any more */
} ImpRow;

/* TRUE if there is a first row. row is always initialised. */
gboolean imp_sql_find(ImpSql *sql, ImpRow *row, const char *text, const char *types, ...);
/* TRUE if there is one more row; else row is done. */
gboolean imp_sql_next(ImpRow *row);
/* Done twice is allowed. */
void imp_sql_done(ImpRow *row);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImpRow, imp_sql_done)

/* Columns from 0. Zero, "" or NULL without a row. Pointers are valid until the row moves on. */
gboolean imp_row_is_null(const ImpRow *row, int column);
gint64 imp_row_i64(const ImpRow *row, int column);
const char *imp_row_text(const ImpRow *row, int column);
const void *imp_row_blob(const ImpRow *row, int column, gsize *out_n_bytes);
/* All zero if the column does not hold 16 bytes. */
ImpId imp_row_id(const ImpRow *row, int column);
/* Copies what fits. */
void imp_row_copy(const ImpRow *row, int column, char *out, gsize size);

/* The one integer that a query gives; 0 if there is no row or it is NULL. */
gint64 imp_sql_value(ImpSql *sql, const char *text, const char *types, ...);
