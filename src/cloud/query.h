/* The few lines between the cloud and SQLite. Every statement runs on the ledger's connection, inside the committer's
 * transaction.
 *
 * Life cycle: imp_query_prepare, imp_query_step until 0, sqlite3_finalize (g_autoptr does it).
 * Thread rule: the committer's thread. */
#pragma once

#include <sqlite3.h>

#include "base/error.h"
#include "base/id.h"

typedef sqlite3_stmt ImpQuery;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpQuery, sqlite3_finalize)

/* A statement with its parameters bound. types has one letter a parameter: t text (const char *, NULL is NULL), i integer
 * (gint64), b bytes (const void *, gsize; pointer NULL is NULL). Texts and bytes are borrowed until the statement is
 * finalized. NULL and IMP_E_IO or IMP_E_LEDGER_CORRUPT on failure. */
ImpQuery *imp_query_prepare(sqlite3 *db, GError **error, const char *sql, const char *types,
                            ...) G_GNUC_WARN_UNUSED_RESULT;

/* 1: there is a row; 0: done; -1 and *error. */
int imp_query_step(ImpQuery *sql, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Prepares, runs to the end, finalizes. *out_changes (may be NULL): rows changed. A violated uniqueness is IMP_E_EXISTS. */
gboolean imp_query_run(sqlite3 *db, int *out_changes, GError **error, const char *sql, const char *types,
                       ...) G_GNUC_WARN_UNUSED_RESULT;

/* Several statements without parameters. */
gboolean imp_query_script(sqlite3 *db, const char *script, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Columns of the present row; texts are borrowed until the next step. */
const char *imp_query_text(ImpQuery *sql, int column); /* "" for NULL */
gint64 imp_query_int(ImpQuery *sql, int column);
gboolean imp_query_is_null(ImpQuery *sql, int column);
/* TRUE and out filled if the column holds exactly n_bytes. */
gboolean imp_query_bytes(ImpQuery *sql, int column, void *out, gsize n_bytes);
