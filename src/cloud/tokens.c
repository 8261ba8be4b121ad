#include <openssl/evp.h>
#include <string.h>

#include "cloud/job.h"

typedef struct {
    guint8 hash[TOKEN_HASH_BYTES]; /* the key; first */
    char email[IMP_HTTP_ID_SIZE];
    guint32 role;
    gint64 expires_us;
} Entry;

struct Tokens {
    pthread_mutex_t mutex;
    GHashTable *entries; /* Entry by its own hash */
    const ImpClock *clock;
};

static guint entry_hash(gconstpointer key)
{
    guint value;
    memcpy(&value, key, sizeof value); /* it is a hash already */
    return value;
}

static gboolean entry_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, TOKEN_HASH_BYTES) == 0;
}

Tokens *tokens_new(const ImpClock *clock)
{
    Tokens *tokens = g_new0(Tokens, 1);
    g_assert(pthread_mutex_init(&tokens->mutex, NULL) == 0);
    tokens->entries = g_hash_table_new_full(entry_hash, entry_equal, NULL, g_free);
    tokens->clock = clock;
    return tokens;
}

void tokens_free(Tokens *tokens)
{
    if (tokens == NULL)
        return;
    g_hash_table_destroy(tokens->entries);
    pthread_mutex_destroy(&tokens->mutex);
    g_free(tokens);
}

gboolean tokens_load(Tokens *tokens, sqlite3 *db, GError **error)
{
    g_autoptr(GHashTable) fresh = g_hash_table_new_full(entry_hash, entry_equal, NULL, g_free);
    /* A token can do no more than its person. */
    g_autoptr(ImpQuery) sql =
        imp_query_prepare(db, error,
                          "SELECT t.hash, t.email, t.role, p.role, t.expires_us FROM cloud_token t "
                          "JOIN cloud_person p ON p.email = t.email WHERE t.expires_us > ?",
                          "i", imp_clock_real_us(tokens->clock));
    int more = sql != NULL ? 1 : -1;
    while (more > 0 && (more = imp_query_step(sql, error)) > 0) {
        Entry *entry = g_new0(Entry, 1);
        if (!imp_query_bytes(sql, 0, entry->hash, sizeof entry->hash)) {
            g_free(entry);
            continue;
        }
        g_strlcpy(entry->email, imp_query_text(sql, 1), sizeof entry->email);
        entry->role = (guint32)imp_query_int(sql, 2) & role_covers((guint32)imp_query_int(sql, 3));
        entry->expires_us = imp_query_int(sql, 4);
        g_hash_table_replace(fresh, entry, entry);
    }
    if (more < 0)
        return FALSE;
    pthread_mutex_lock(&tokens->mutex);
    GHashTable *old = tokens->entries;
    tokens->entries = g_steal_pointer(&fresh);
    pthread_mutex_unlock(&tokens->mutex);
    g_hash_table_destroy(old);
    return TRUE;
}

gboolean tokens_find(Tokens *tokens, const guint8 hash[TOKEN_HASH_BYTES], char out_email[IMP_HTTP_ID_SIZE],
                     guint32 *out_role)
{
    pthread_mutex_lock(&tokens->mutex);
    const Entry *entry = g_hash_table_lookup(tokens->entries, hash);
    gboolean found = entry != NULL && entry->expires_us > imp_clock_real_us(tokens->clock);
    if (found) {
        g_strlcpy(out_email, entry->email, IMP_HTTP_ID_SIZE);
        *out_role = entry->role;
    }
    pthread_mutex_unlock(&tokens->mutex);
    return found;
}

void token_hash(const char *token, guint8 out[TOKEN_HASH_BYTES])
{
    if (EVP_Digest(token, strlen(token), out, NULL, EVP_sha256(), NULL) != 1)
        g_error("out of memory for a digest");
}

char *token_make(const ImpRandom *random)
{
    guint8 bytes[TOKEN_BYTES];
    imp_random_fill(random, bytes, sizeof bytes);
    char *hex = imp_hex_encode(bytes, sizeof bytes);
    char *token = g_strconcat(TOKEN_PREFIX, hex, NULL);
    wipe_free(hex);
    explicit_bzero(bytes, sizeof bytes);
    return token;
}

static const struct {
    guint32 role;
    const char *name;
    guint32 covers; /* roles that tokens of such a person may have */
} roles[] = {
    {ROLE_OWNER, "owner", ROLE_ANY},
    {ROLE_ENGINEER, "engineer", ROLE_ENGINEER | ROLE_OPERATOR},
    {ROLE_OPERATOR, "operator", ROLE_OPERATOR},
    {ROLE_AUDITOR, "auditor", ROLE_AUDITOR},
};

const char *role_name(guint32 role)
{
    for (guint i = 0; i < G_N_ELEMENTS(roles); i++)
        if (roles[i].role == role)
            return roles[i].name;
    return "none";
}

guint32 role_parse(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(roles); i++)
        if (strcmp(roles[i].name, name) == 0)
            return roles[i].role;
    return 0;
}

guint32 role_covers(guint32 role)
{
    for (guint i = 0; i < G_N_ELEMENTS(roles); i++)
        if (roles[i].role == role)
            return roles[i].covers;
    return 0;
}

void wipe_free(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    g_free(text);
}
