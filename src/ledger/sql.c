#include "ledger/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void imp_sql_fault(ImpSql *sql, const char *doing)
{
    if (sql->error != NULL)
        return;
    int code = sqlite3_errcode(sql->db);
    ImpErrorCode ours = IMP_E_IO;
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        ours = IMP_E_LEDGER_CORRUPT;
    else if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
        ours = IMP_E_STATE;
    else if (code == SQLITE_ERROR || code == SQLITE_CONSTRAINT || code == SQLITE_MISUSE ||
             code == SQLITE_RANGE || code == SQLITE_MISMATCH)
        ours = IMP_E_BUG;
    const char *file = sqlite3_db_filename(sql->db, "main");
    imp_error_set(&sql->error, ours, "ledger %s: %s: %s%s", file != NULL && *file != '\0' ? file : "(memory)",
                  doing, sqlite3_errmsg(sql->db),
                  ours == IMP_E_STATE ? "; another program has it open: stop that one first" : "");
}

static gboolean make_file(const char *path, GError **error)
{
    /* SQLite would make it with the umask's mode; its journal files take over the mode of the file. */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        imp_error_set(error, IMP_E_IO, "ledger %s: %s", path, g_strerror(errno));
        return FALSE;
    }
    close(fd);
    return TRUE;
}

gboolean imp_sql_open(ImpSql *sql, const char *path, GError **error)
{
    memset(sql, 0, sizeof *sql);
    if (strcmp(path, ":memory:") != 0 && !make_file(path, error))
        return FALSE;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &sql->db, flags, NULL) != SQLITE_OK) {
        imp_sql_fault(sql, "open");
        imp_sql_take(sql, error);
        imp_sql_close(sql);
        return FALSE;
    }
    sql->statements = g_hash_table_new(g_direct_hash, g_direct_equal);
    return TRUE;
}

void imp_sql_close(ImpSql *sql)
{
    if (sql->statements != NULL) {
        GHashTableIter iter;
        gpointer statement;
        g_hash_table_iter_init(&iter, sql->statements);
        while (g_hash_table_iter_next(&iter, NULL, &statement))
            sqlite3_finalize(statement);
        g_hash_table_unref(sql->statements);
    }
    g_clear_error(&sql->error);
    int code = sqlite3_close(sql->db);
    g_assert(code == SQLITE_OK); /* a statement was left open */
    memset(sql, 0, sizeof *sql);
}

gboolean imp_sql_take(ImpSql *sql, GError **error)
{
    if (sql->error == NULL)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&sql->error));
    return FALSE;
}

gboolean imp_sql_ok(const ImpSql *sql)
{
    return sql->error == NULL;
}

void imp_sql_exec(ImpSql *sql, const char *text)
{
    if (sql->error == NULL && sqlite3_exec(sql->db, text, NULL, NULL, NULL) != SQLITE_OK)
        imp_sql_fault(sql, text);
}

static void bind_blob(sqlite3_stmt *statement, int at, const void *bytes, gsize n_bytes)
{
    int code = bytes == NULL
                   ? sqlite3_bind_null(statement, at)
                   : sqlite3_bind_blob64(statement, at, bytes, (sqlite3_uint64)n_bytes, SQLITE_STATIC);
    g_assert(code == SQLITE_OK);
}

static void bind(sqlite3_stmt *statement, const char *types, va_list args)
{
    g_assert((int)strlen(types) == sqlite3_bind_parameter_count(statement));
    for (int at = 1; types[at - 1] != '\0'; at++) {
        int code = SQLITE_OK;
        switch (types[at - 1]) {
        case 'i':
            code = sqlite3_bind_int64(statement, at, va_arg(args, gint64));
            break;
        case 'n': {
            gboolean there = va_arg(args, gboolean);
            gint64 value = va_arg(args, gint64);
            code = there ? sqlite3_bind_int64(statement, at, value) : sqlite3_bind_null(statement, at);
            break;
        }
        case 't':
            code = sqlite3_bind_text(statement, at, va_arg(args, const char *), -1, SQLITE_STATIC);
            break;
        case 'd':
            bind_blob(statement, at, va_arg(args, const ImpId *)->bytes, IMP_ID_BYTES);
            break;
        case 'b': {
            const void *bytes = va_arg(args, const void *);
            bind_blob(statement, at, bytes, va_arg(args, gsize));
            break;
        }
        default:
            g_assert_not_reached();
        }
        g_assert(code == SQLITE_OK);
    }
}

/* The prepared statement of text with its arguments bound; NULL after a fault. */
static sqlite3_stmt *prepare(ImpSql *sql, const char *text, const char *types, va_list args)
{
    if (sql->error != NULL)
        return NULL;
    sqlite3_stmt *statement = g_hash_table_lookup(sql->statements, text);
    if (statement == NULL) {
        if (sqlite3_prepare_v3(sql->db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK) {
            imp_sql_fault(sql, text);
            return NULL;
        }
        g_hash_table_insert(sql->statements, (gpointer)text, statement);
    }
    g_assert(!sqlite3_stmt_busy(statement));
    bind(statement, types, args);
    return statement;
}

static void reset(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

gint64 imp_sql_run(ImpSql *sql, const char *text, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    sqlite3_stmt *statement = prepare(sql, text, types, args);
    va_end(args);
    if (statement == NULL)
        return 0;
    gint64 n_changed = 0;
    if (sqlite3_step(statement) == SQLITE_DONE)
        n_changed = sqlite3_changes64(sql->db);
    else
        imp_sql_fault(sql, text);
    reset(statement);
    return n_changed;
}

gboolean imp_sql_next(ImpRow *row)
{
    if (row->statement == NULL)
        return FALSE;
    int code = sqlite3_step(row->statement);
    if (code == SQLITE_ROW)
        return TRUE;
    if (code != SQLITE_DONE)
        imp_sql_fault(row->sql, sqlite3_sql(row->statement));
    imp_sql_done(row);
    return FALSE;
}

static gboolean find(ImpSql *sql, ImpRow *row, const char *text, const char *types, va_list args)
{
    row->sql = sql;
    row->statement = prepare(sql, text, types, args);
    return imp_sql_next(row);
}

gboolean imp_sql_find(ImpSql *sql, ImpRow *row, const char *text, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    gboolean found = find(sql, row, text, types, args);
    va_end(args);
    return found;
}

void imp_sql_done(ImpRow *row)
{
    if (row->statement != NULL)
        reset(row->statement);
    row->statement = NULL;
}

gboolean imp_row_is_null(const ImpRow *row, int column)
{
    return row->statement == NULL || sqlite3_column_type(row->statement, column) == SQLITE_NULL;
}

gint64 imp_row_i64(const ImpRow *row, int column)
{
    return row->statement != NULL ? sqlite3_column_int64(row->statement, column) : 0;
}

const char *imp_row_text(const ImpRow *row, int column)
{
    const char *text =
        row->statement != NULL ? (const char *)sqlite3_column_text(row->statement, column) : NULL;
    return text != NULL ? text : "";
}

const void *imp_row_blob(const ImpRow *row, int column, gsize *out_n_bytes)
{
    *out_n_bytes = 0;
    if (row->statement == NULL)
        return NULL;
    const void *bytes = sqlite3_column_blob(row->statement, column);
    *out_n_bytes = (gsize)sqlite3_column_bytes(row->statement, column);
    return bytes;
}

ImpId imp_row_id(const ImpRow *row, int column)
{
    ImpId id = {0};
    gsize n_bytes;
    const void *bytes = imp_row_blob(row, column, &n_bytes);
    if (bytes != NULL && n_bytes == IMP_ID_BYTES)
        memcpy(id.bytes, bytes, IMP_ID_BYTES);
    return id;
}

void imp_row_copy(const ImpRow *row, int column, char *out, gsize size)
{
    g_strlcpy(out, imp_row_text(row, column), size);
}

gint64 imp_sql_value(ImpSql *sql, const char *text, const char *types, ...)
{
    g_auto(ImpRow) row = {0};
    va_list args;
    va_start(args, types);
    find(sql, &row, text, types, args);
    va_end(args);
    return imp_row_i64(&row, 0);
}
