#include <string.h>

#include "image/keys.h"
#include "image/secret.h"

typedef struct {
    char *name;
    ImpKey *key;
} Entry;

struct ImpKeyRing {
    GPtrArray *entries; /* Entry, in the order of addition */
    GPtrArray *shares; /* ImpSecret: digest, then share */
};

#define DIGEST_BYTES 32

static void share_free(gpointer share)
{
    imp_secret_free(share);
}

static void entry_free(gpointer data)
{
    Entry *entry = data;
    g_free(entry->name);
    imp_key_unref(entry->key);
    g_free(entry);
}

ImpKeyRing *imp_keyring_new(void)
{
    ImpKeyRing *ring = g_new0(ImpKeyRing, 1);
    ring->entries = g_ptr_array_new_with_free_func(entry_free);
    ring->shares = g_ptr_array_new_with_free_func(share_free);
    return ring;
}

void imp_keyring_free(ImpKeyRing *ring)
{
    if (ring == NULL)
        return;
    g_ptr_array_unref(ring->entries);
    g_ptr_array_unref(ring->shares);
    g_free(ring);
}

/* The place of a key, or the size of the ring. */
static guint place_of(const ImpKeyRing *ring, const ImpKeyId *id)
{
    guint at = 0;
    while (at < ring->entries->len) {
        const Entry *entry = g_ptr_array_index(ring->entries, at);
        if (imp_key_id_equal(imp_key_id(entry->key), id))
            break;
        at++;
    }
    return at;
}

gboolean imp_keyring_add(ImpKeyRing *ring, const char *name, const ImpKey *key, GError **error)
{
    if (strlen(name) > IMP_KEYRING_NAME_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "the key's name has %" G_GSIZE_FORMAT " bytes, the limit is %d",
                      strlen(name), IMP_KEYRING_NAME_MAX);
        return FALSE;
    }
    guint at = place_of(ring, imp_key_id(key));
    if (at >= IMP_KEYRING_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "there are %d keys already, that is the limit", IMP_KEYRING_MAX);
        return FALSE;
    }
    Entry *entry = g_new(Entry, 1);
    *entry = (Entry){.name = g_strdup(name), .key = imp_key_ref(key)};
    if (at < ring->entries->len)
        g_ptr_array_remove_index(ring->entries, at);
    g_ptr_array_insert(ring->entries, (gint)at, entry);
    return TRUE;
}

gboolean imp_keyring_remove(ImpKeyRing *ring, const ImpKeyId *id)
{
    guint at = place_of(ring, id);
    if (at == ring->entries->len)
        return FALSE;
    g_ptr_array_remove_index(ring->entries, at);
    return TRUE;
}

const ImpKey *imp_keyring_find(const ImpKeyRing *ring, const ImpKeyId *id)
{
    guint at = place_of(ring, id);
    return at < ring->entries->len ? ((const Entry *)g_ptr_array_index(ring->entries, at))->key : NULL;
}

gsize imp_keyring_size(const ImpKeyRing *ring)
{
    return ring->entries->len;
}

const ImpKey *imp_keyring_at(const ImpKeyRing *ring, gsize index, const char **out_name)
{
    g_assert(index < ring->entries->len);
    const Entry *entry = g_ptr_array_index(ring->entries, index);
    if (out_name != NULL)
        *out_name = entry->name;
    return entry->key;
}

/* --- shares --------------------------------------------------------------------------------------------------------- */

const guint8 *imp_keyring_find_share(const ImpKeyRing *ring, const guint8 sha256[32])
{
    for (guint i = 0; i < ring->shares->len; i++) {
        const ImpSecret *share = ring->shares->pdata[i];
        if (memcmp(share->bytes, sha256, DIGEST_BYTES) == 0)
            return share->bytes + DIGEST_BYTES;
    }
    return NULL;
}

gboolean imp_keyring_add_share(ImpKeyRing *ring, const guint8 sha256[32],
                               const guint8 share[IMP_KEYRING_SHARE_BYTES], GError **error)
{
    if (imp_keyring_find_share(ring, sha256) != NULL)
        return TRUE;
    if (ring->shares->len >= IMP_KEYRING_SHARES_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "there are %d shares already, that is the limit",
                      IMP_KEYRING_SHARES_MAX);
        return FALSE;
    }
    ImpSecret *secret = imp_secret_new(DIGEST_BYTES + IMP_KEYRING_SHARE_BYTES);
    if (secret == NULL) {
        imp_error_set(error, IMP_E_NO_MEMORY, "no memory for a share");
        return FALSE;
    }
    memcpy(secret->bytes, sha256, DIGEST_BYTES);
    memcpy(secret->bytes + DIGEST_BYTES, share, IMP_KEYRING_SHARE_BYTES);
    g_ptr_array_add(ring->shares, secret);
    return TRUE;
}

void imp_keyring_filter_shares(ImpKeyRing *ring, gboolean (*keep)(const guint8 sha256[32], gpointer user),
                               gpointer user)
{
    for (guint i = ring->shares->len; i-- > 0;)
        if (!keep(((const ImpSecret *)ring->shares->pdata[i])->bytes, user))
            g_ptr_array_remove_index(ring->shares, i);
}
