/* OpenSSL 3 calls engines deprecated; Debian 12 has no PKCS#11 provider. All of it is in this file. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "image/key_store.h"

#include <string.h>

#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/ui.h>

#include "image/keys_openssl.h"

#define ENGINE_NAME "pkcs11"
#define PACKAGE     "libengine-pkcs11-openssl"

gboolean imp_key_store_is_uri(const char *path)
{
    return g_str_has_prefix(path, IMP_KEY_URI_PREFIX);
}

/* What the URI says, for the engine: its own attributes without module-path, which is taken out. */
typedef struct {
    char *uri, *module_path; /* module_path NULL: the engine's default */
} Uri;

static void uri_done(Uri *uri)
{
    g_free(uri->uri);
    g_free(uri->module_path);
}

static gboolean uri_parse(const char *text, Uri *out, GError **error)
{
    if (strlen(text) > IMP_KEY_URI_MAX || strstr(text, "pin-value=") != NULL) {
        imp_error_set(error, IMP_E_ARGUMENT, "%s",
                      strlen(text) > IMP_KEY_URI_MAX
                          ? "the key's URI is too long"
                          : "a PIN does not belong into a URI, where others read it: name a file with "
                            "pin-source=file:PATH");
        return FALSE;
    }
    const char *query = strchr(text, '?');
    GString *uri = g_string_new_len(text, query != NULL ? query - text : (gssize)strlen(text));
    g_auto(GStrv) parts = g_strsplit(query != NULL ? query + 1 : "", "&", -1);
    char *module_path = NULL;
    char separator = '?';
    for (char **part = parts; *part != NULL; part++) {
        if (module_path == NULL && g_str_has_prefix(*part, "module-path=")) {
            module_path = g_uri_unescape_string(*part + strlen("module-path="), NULL);
            continue;
        }
        g_string_append_c(uri, separator);
        g_string_append(uri, *part);
        separator = '&';
    }
    *out = (Uri){g_string_free(uri, FALSE), module_path};
    return TRUE;
}

/* What the user sees of a URI: never its query, which may name the place of a PIN. */
static void token_error(GError **error, const char *uri, const char *what)
{
    g_autofree char *shown = g_strndup(uri, strcspn(uri, "?"));
    g_autofree char *text = g_strdup_printf("%s: %s", shown, what);
    imp_openssl_error_set(error, IMP_E_KEY_TOKEN, text);
}

/* The engine stays in OpenSSL's list, so that a module is loaded once in a process. */
static ENGINE *open_engine(const Uri *uri, GError **error)
{
    ENGINE_load_dynamic();
    ENGINE *engine = ENGINE_by_id(ENGINE_NAME);
    if (engine == NULL) {
        token_error(error, uri->uri, "OpenSSL has no engine for tokens: install " PACKAGE);
        return NULL;
    }
    /* It would write its own words to stderr, beside the error that is given here. */
    (void)ENGINE_ctrl_cmd_string(engine, "QUIET", NULL, 0);
    if ((uri->module_path == NULL ||
         ENGINE_ctrl_cmd_string(engine, "MODULE_PATH", uri->module_path, 0) == 1) &&
        ENGINE_init(engine) == 1)
        return engine;
    token_error(error, uri->uri, "the token's library cannot be loaded");
    ENGINE_free(engine);
    return NULL;
}

ImpKey *imp_key_store_load(const char *text, GError **error)
{
    Uri uri;
    if (!uri_parse(text, &uri, error))
        return NULL;
    ImpKey *key = NULL;
    ENGINE *engine = open_engine(&uri, error);
    if (engine != NULL) {
        /* UI_null: nobody is asked for a PIN on a terminal that a daemon does not have. */
        EVP_PKEY *pkey = ENGINE_load_private_key(engine, uri.uri, (UI_METHOD *)UI_null(), NULL);
        gboolean private = pkey != NULL;
        if (!private)
            pkey = ENGINE_load_public_key(engine, uri.uri, (UI_METHOD *)UI_null(), NULL);
        if (pkey == NULL) {
            token_error(error, uri.uri,
                        "the token is not there, its PIN (pin-source=file:PATH) is wrong, or it has no such "
                        "key");
        } else {
            ERR_clear_error();
            key = imp_key_take_pkey(
                pkey, (ImpKeyTraits){.has_private = private, .role = IMP_KEY_ANY, .in_token = TRUE}, error);
        }
        ENGINE_finish(engine);
        ENGINE_free(engine);
    }
    uri_done(&uri);
    return key;
}
