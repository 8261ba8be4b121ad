/* The cloud's tables beside the ledger's, in the same file and the same transactions. */
#include "cloud/job.h"

#define VERSION 1

static const char script[] =
    "CREATE TABLE IF NOT EXISTS cloud_meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
    "INSERT OR IGNORE INTO cloud_meta VALUES('version', 1);"
    "CREATE TABLE IF NOT EXISTS cloud_account("
    " name TEXT PRIMARY KEY, root_sha256 BLOB, made_us INTEGER NOT NULL) STRICT;"
    /* role: one bit of job.h; password: Argon2id in libsodium's text form */
    "CREATE TABLE IF NOT EXISTS cloud_person("
    " email TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES cloud_account(name), role INTEGER NOT NULL,"
    " password TEXT NOT NULL, added_us INTEGER NOT NULL) STRICT;"
    /* hash: SHA-256 of the token, which has 256 random bits, so that it needs no salt */
    "CREATE TABLE IF NOT EXISTS cloud_token("
    " hash BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, email TEXT NOT NULL, name TEXT NOT NULL,"
    " role INTEGER NOT NULL, made_us INTEGER NOT NULL, expires_us INTEGER NOT NULL) STRICT;"
    "CREATE INDEX IF NOT EXISTS cloud_token_email ON cloud_token(email);"
    "CREATE TABLE IF NOT EXISTS cloud_factory("
    " account TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY(account, name)) STRICT;"
    "CREATE TABLE IF NOT EXISTS cloud_group("
    " account TEXT NOT NULL, factory TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY(account, factory, name)) "
    "STRICT;"
    /* station NULL: not used yet */
    "CREATE TABLE IF NOT EXISTS cloud_code("
    " hash BLOB PRIMARY KEY, account TEXT NOT NULL, factory TEXT NOT NULL, grp TEXT NOT NULL,"
    " made_by TEXT NOT NULL, made_us INTEGER NOT NULL, expires_us INTEGER NOT NULL, station BLOB) STRICT;"
    "CREATE TABLE IF NOT EXISTS cloud_station("
    " id BLOB PRIMARY KEY, account TEXT NOT NULL, name TEXT NOT NULL, factory TEXT NOT NULL, grp TEXT NOT "
    "NULL,"
    " tls_key BLOB NOT NULL, sealing_key BLOB NOT NULL, certificate TEXT NOT NULL, UNIQUE(account, name)) "
    "STRICT;"
    "CREATE TABLE IF NOT EXISTS cloud_author("
    " account TEXT NOT NULL, key_id BLOB NOT NULL, name TEXT NOT NULL, public BLOB NOT NULL, added_us "
    "INTEGER NOT NULL,"
    " PRIMARY KEY(account, key_id)) STRICT;"
    /* file_sha256 NULL: the content has not been uploaded */
    "CREATE TABLE IF NOT EXISTS cloud_image("
    " id BLOB PRIMARY KEY, account TEXT NOT NULL, statement BLOB NOT NULL, header_sha256 BLOB NOT NULL,"
    " name TEXT NOT NULL, version TEXT NOT NULL, device TEXT NOT NULL, factory TEXT NOT NULL, author BLOB "
    "NOT NULL,"
    " file_bytes INTEGER, file_sha256 BLOB) STRICT;"
    /* share NULL: the author has registered an image that needs one, and not handed it over yet */
    "CREATE TABLE IF NOT EXISTS cloud_share("
    " image BLOB PRIMARY KEY, sha256 BLOB NOT NULL, share BLOB) STRICT;"
    /* the newest list of authors that the account's root key has signed, as it was signed */
    "CREATE TABLE IF NOT EXISTS cloud_trust("
    " account TEXT PRIMARY KEY, number INTEGER NOT NULL, list BLOB NOT NULL) STRICT;";

gboolean schema_make(sqlite3 *db, GError **error)
{
    if (!imp_query_script(db, script, error))
        return FALSE;
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(db, error, "SELECT value FROM cloud_meta WHERE name = 'version'", "");
    if (sql == NULL || imp_query_step(sql, error) < 0)
        return FALSE;
    if (imp_query_int(sql, 0) != VERSION) {
        imp_error_set(error, IMP_E_LEDGER_CORRUPT,
                      "the cloud's tables are of version %" G_GINT64_FORMAT ", this program knows %d",
                      imp_query_int(sql, 0), VERSION);
        return FALSE;
    }
    return TRUE;
}
