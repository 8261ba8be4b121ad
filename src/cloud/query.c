#include "cloud/query.h"

#include <string.h>

static void fail(sqlite3 *db, int rc, GError **error)
{
    ImpErrorCode code = IMP_E_IO;
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
        code = IMP_E_EXISTS;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
        code = IMP_E_LEDGER_CORRUPT;
        break;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
        code = IMP_E_BUG;
        break;
    default:
        break;
    }
    if (code == IMP_E_EXISTS) /* SQLite's words name tables, which say nothing to who gave the name */
        imp_error_set(error, code, "there is one already");
    else
        imp_error_set(error, code, "database: %s", sqlite3_errmsg(db));
}

static ImpQuery *prepare(sqlite3 *db, GError **error, const char *text, const char *types, va_list args)
{
    g_autoptr(ImpQuery) sql = NULL;
    int rc = sqlite3_prepare_v2(db, text, -1, &sql, NULL);
    g_assert(rc != SQLITE_OK || (gsize)sqlite3_bind_parameter_count(sql) == strlen(types));
    for (int i = 1; rc == SQLITE_OK && *types != '\0'; i++, types++) {
        if (*types == 't') {
            rc = sqlite3_bind_text(sql, i, va_arg(args, const char *), -1, SQLITE_STATIC);
        } else if (*types == 'i') {
            rc = sqlite3_bind_int64(sql, i, va_arg(args, gint64));
        } else {
            g_assert(*types == 'b');
            const void *bytes = va_arg(args, const void *);
            gsize n_bytes = va_arg(args, gsize);
            rc = sqlite3_bind_blob64(sql, i, bytes, n_bytes, SQLITE_STATIC);
        }
    }
    if (rc != SQLITE_OK) {
        fail(db, rc, error);
        return NULL;
    }
    return g_steal_pointer(&sql);
}

ImpQuery *imp_query_prepare(sqlite3 *db, GError **error, const char *text, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    ImpQuery *sql = prepare(db, error, text, types, args);
    va_end(args);
    return sql;
}

int imp_query_step(ImpQuery *sql, GError **error)
{
    int rc = sqlite3_step(sql);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE)
        return 0;
    fail(sqlite3_db_handle(sql), rc, error);
    return -1;
}

gboolean imp_query_run(sqlite3 *db, int *out_changes, GError **error, const char *text, const char *types,
                       ...)
{
    va_list args;
    va_start(args, types);
    g_autoptr(ImpQuery) sql = prepare(db, error, text, types, args);
    va_end(args);
    int rc = sql != NULL ? 1 : -1;
    while (rc > 0)
        rc = imp_query_step(sql, error);
    if (rc == 0 && out_changes != NULL)
        *out_changes = sqlite3_changes(db);
    return rc == 0;
}

gboolean imp_query_script(sqlite3 *db, const char *script, GError **error)
{
    int rc = sqlite3_exec(db, script, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        fail(db, rc, error);
    return rc == SQLITE_OK;
}

const char *imp_query_text(ImpQuery *sql, int column)
{
    const char *text = (const char *)sqlite3_column_text(sql, column);
    return text != NULL ? text : "";
}

gint64 imp_query_int(ImpQuery *sql, int column)
{
    return sqlite3_column_int64(sql, column);
}

gboolean imp_query_is_null(ImpQuery *sql, int column)
{
    return sqlite3_column_type(sql, column) == SQLITE_NULL;
}

gboolean imp_query_bytes(ImpQuery *sql, int column, void *out, gsize n_bytes)
{
    const void *bytes = sqlite3_column_blob(sql, column);
    if (bytes == NULL || (gsize)sqlite3_column_bytes(sql, column) != n_bytes)
        return FALSE;
    memcpy(out, bytes, n_bytes);
    return TRUE;
}
