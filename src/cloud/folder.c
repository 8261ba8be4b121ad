#include "cloud/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cloud/job.h"

char *folder_read(const char *folder, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GError) inner = NULL;
    struct stat info;
    char *text = NULL;
    if (stat(path, &info) != 0)
        imp_error_set(error, IMP_E_CLOUD_FOLDER, "%s: %s", path, g_strerror(errno));
    else if (info.st_size > FOLDER_FILE_MAX)
        imp_error_set(error, IMP_E_CLOUD_FOLDER, "%s: larger than %d bytes", path, FOLDER_FILE_MAX);
    else if (!g_file_get_contents(path, &text, NULL, &inner))
        imp_error_set(error, IMP_E_CLOUD_FOLDER, "%s", inner->message);
    return text;
}

static gboolean write_file(const char *folder, const char *name, const char *text, int mode, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GError) inner = NULL;
    if (g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                 mode, &inner))
        return TRUE;
    imp_error_set(error, IMP_E_IO, "%s", inner->message);
    return FALSE;
}

static gboolean is_empty_folder(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    return dir != NULL && g_dir_read_name(dir) == NULL;
}

static gboolean make_folder(const char *folder, GError **error)
{
    if (g_file_test(folder, G_FILE_TEST_EXISTS) && !is_empty_folder(folder)) {
        imp_error_set(error, IMP_E_EXISTS, "%s: exists and is not an empty folder; nothing was changed",
                      folder);
        return FALSE;
    }
    g_autofree char *content = g_build_filename(folder, FOLDER_CONTENT, NULL);
    if (g_mkdir_with_parents(folder, 0700) == 0 && chmod(folder, 0700) == 0 && g_mkdir(content, 0700) == 0)
        return TRUE;
    imp_error_set(error, IMP_E_IO, "%s: %s", folder, g_strerror(errno));
    return FALSE;
}

/* What this file made, and nothing else. */
static void remove_folder(const char *folder)
{
    static const char *const names[] = {FOLDER_CONFIG,          FOLDER_CA_CERT,         FOLDER_CA_KEY,
                                        FOLDER_TLS_CERT,        FOLDER_TLS_KEY,         FOLDER_DATABASE,
                                        FOLDER_DATABASE "-wal", FOLDER_DATABASE "-shm", FOLDER_CONTENT};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(folder, names[i], NULL);
        g_remove(path);
    }
    g_rmdir(folder);
}

static gboolean make_keys(const ImpCloudFolderOptions *options, const char *host, GError **error)
{
    g_autoptr(ImpCa) ca = imp_ca_new(options->account, options->clock, error);
    g_autofree char *cert = NULL;
    char *key = NULL;
    if (ca == NULL || !imp_ca_issue_server(ca, host, &cert, &key, error))
        return FALSE;
    char *ca_key = imp_ca_key_pem(ca);
    g_autofree char *chain = g_strconcat(cert, imp_ca_cert_pem(ca), NULL);
    gboolean good = write_file(options->folder, FOLDER_CA_CERT, imp_ca_cert_pem(ca), 0644, error) &&
                    write_file(options->folder, FOLDER_CA_KEY, ca_key, 0600, error) &&
                    write_file(options->folder, FOLDER_TLS_CERT, chain, 0644, error) &&
                    write_file(options->folder, FOLDER_TLS_KEY, key, 0600, error);
    wipe_free(key);
    wipe_free(ca_key);
    return good;
}

static ImpLedger *open_ledger(const char *folder, const ImpClock *clock, const ImpRandom *random,
                              GError **error)
{
    g_autofree char *path = g_build_filename(folder, FOLDER_DATABASE, NULL);
    return imp_ledger_open(&(ImpLedgerOptions){.path = path,
                                               .role = IMP_LEDGER_CLOUD,
                                               .safety = IMP_LEDGER_DURABLE,
                                               .clock = clock,
                                               .random = random},
                           error);
}

static gboolean fill_database(const ImpCloudFolderOptions *options, const char *hash, GError **error)
{
    g_autoptr(ImpLedger) ledger = open_ledger(options->folder, options->clock, options->random, error);
    if (ledger == NULL)
        return FALSE;
    sqlite3 *db = imp_ledger_database(ledger);
    gint64 now = imp_clock_real_us(options->clock);
    ImpAct act = {.person = options->owner};
    if (!schema_make(db, error) || !imp_ledger_begin(ledger, error))
        return FALSE;
    if (imp_query_run(db, NULL, error, "INSERT INTO cloud_account VALUES(?,NULL,?)", "ti", options->account,
                      now) &&
        imp_query_run(db, NULL, error, "INSERT INTO cloud_person VALUES(?,?,?,?,?)", "ttiti", options->owner,
                      options->account, (gint64)ROLE_OWNER, hash, now) &&
        imp_ledger_audit_add(ledger, "account-add", options->account, &act, error))
        return imp_ledger_commit(ledger, error);
    imp_ledger_rollback(ledger);
    return FALSE;
}

/* Splits "https://host:port". */
static gboolean parse_url(const char *url, char **out_host, char **out_listen, GError **error)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
    if (uri == NULL || strcmp(g_uri_get_scheme(uri), "https") != 0 || g_uri_get_host(uri) == NULL ||
        g_uri_get_host(uri)[0] == '\0' || g_uri_get_path(uri)[0] != '\0' || g_uri_get_query(uri) != NULL ||
        g_uri_get_userinfo(uri) != NULL || strlen(url) > 200) {
        imp_error_set(error, IMP_E_HTTP_URL, "'%s' is not of the form https://host:port", url);
        return FALSE;
    }
    const char *host = g_uri_get_host(uri);
    int port = g_uri_get_port(uri) >= 0 ? g_uri_get_port(uri) : 443;
    *out_host = g_strdup(host);
    *out_listen = !g_hostname_is_ip_address(host) ? NULL
                  : strchr(host, ':') != NULL     ? g_strdup_printf("[%s]:%d", host, port)
                                                  : g_strdup_printf("%s:%d", host, port);
    return TRUE;
}

static gboolean write_config(const ImpCloudFolderOptions *options, const char *listen, GError **error)
{
    /* A URL with port 0 is that of a test: the address that is chosen at each start is told. */
    gboolean fixed = !g_str_has_suffix(options->url, ":0");
    g_autofree char *url = fixed ? g_strdup_printf("url: %s\n", options->url) : g_strdup("");
    g_autofree char *text = g_strdup_printf("# Configuration of imprint-cloud; see docs/cloud.md\n"
                                            "cloud: 1\n"
                                            "data: .\n"
                                            "listen: \"%s\"\n"
                                            "%s",
                                            listen, url);
    return write_file(options->folder, FOLDER_CONFIG, text, 0644, error);
}

static gboolean check_words(const ImpCloudFolderOptions *options, GError **error)
{
    const char *at = strchr(options->owner, '@');
    if (!parse_name("account", options->account, error))
        return FALSE;
    for (const char *c = options->owner; *c != '\0'; c++)
        if (!g_ascii_isgraph(*c) || g_ascii_isupper(*c) || *c == '/')
            at = NULL;
    if (at == NULL || at == options->owner || at[1] == '\0' || strlen(options->owner) >= IMP_WIRE_NAME_SIZE) {
        imp_error_set(error, IMP_E_ARGUMENT, "the owner is an e-mail address in lower case, not '%s'",
                      options->owner);
        return FALSE;
    }
    return password_check(options->password, error);
}

gboolean imp_cloud_folder_make(const ImpCloudFolderOptions *options, GError **error)
{
    g_autofree char *host = NULL, *listen = NULL;
    if (!check_words(options, error) || !parse_url(options->url, &host, &listen, error))
        return FALSE;
    if (options->listen != NULL) {
        g_free(listen);
        listen = g_strdup(options->listen);
    }
    if (listen == NULL) {
        imp_error_set(error, IMP_E_ARGUMENT,
                      "--listen is needed: '%s' is a name, the server listens on a numeric address", host);
        return FALSE;
    }
    char *hash = password_hash(options->password, error);
    if (hash == NULL)
        return FALSE;
    gboolean good = make_folder(options->folder, error);
    if (good) {
        good = make_keys(options, host, error) && fill_database(options, hash, error) &&
               write_config(options, listen, error);
        if (!good)
            remove_folder(options->folder);
    }
    wipe_free(hash);
    return good;
}

GPtrArray *imp_cloud_folder_check(const char *folder, const ImpClock *clock, const ImpRandom *random,
                                  GError **error)
{
    g_autofree char *path = g_build_filename(folder, FOLDER_DATABASE, NULL);
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        imp_error_set(error, IMP_E_CLOUD_FOLDER, "%s: there is no database in this folder", path);
        return NULL;
    }
    g_autoptr(ImpLedger) ledger = open_ledger(folder, clock, random, error);
    g_autoptr(GPtrArray) wrongs = g_ptr_array_new_with_free_func(g_free);
    return ledger != NULL && imp_ledger_check(ledger, wrongs, error) ? g_steal_pointer(&wrongs) : NULL;
}
