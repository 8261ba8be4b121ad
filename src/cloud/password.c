#include <sodium.h>
#include <string.h>

#include "cloud/job.h"

gboolean password_check(const char *password, GError **error)
{
    if (g_utf8_validate(password, -1, NULL) && g_utf8_strlen(password, -1) >= IMP_CLOUD_PASSWORD_MIN &&
        strlen(password) <= IMP_CLOUD_PASSWORD_MAX)
        return TRUE;
    imp_error_set(error, IMP_E_PASSWORD_WEAK, "a password has at least %d characters and at most %d bytes",
                  IMP_CLOUD_PASSWORD_MIN, IMP_CLOUD_PASSWORD_MAX);
    return FALSE;
}

char *password_hash(const char *password, GError **error)
{
    char *hash = g_malloc0(crypto_pwhash_STRBYTES);
    if (sodium_init() >= 0 &&
        crypto_pwhash_str_alg(hash, password, strlen(password), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                              crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13) == 0)
        return hash;
    g_free(hash);
    imp_error_set(error, IMP_E_NO_MEMORY, "no memory to hash a password, which needs %d MiB",
                  (int)(crypto_pwhash_MEMLIMIT_INTERACTIVE / 1024 / 1024));
    return NULL;
}

gboolean password_verify(const char *hash, const char *password)
{
    return sodium_init() >= 0 && strlen(password) <= IMP_CLOUD_PASSWORD_MAX &&
           crypto_pwhash_str_verify(hash, password, strlen(password)) == 0;
}

const char *password_dummy(void)
{
    /* Of a random text that was thrown away; the limits are those of password_hash. */
    return "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$"
           "Zm9yIG5vYm9keSwgYW5kIG5vdGhpbmcgZml0cyBpdCE";
}
