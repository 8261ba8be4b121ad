#include <string.h>

#include "base/json.h"
#include "image/keys.h"

#define TRUST_VERSION 1
#define PUBLIC_MAX    1024 /* bytes of a public key in DER; RSA 3072 has 422 */

typedef struct {
    char *name;
    ImpKey *key;
} Entry;

struct ImpKeyRing {
    GPtrArray *entries; /* Entry, in the order of addition */
};

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
    return ring;
}

void imp_keyring_free(ImpKeyRing *ring)
{
    if (ring == NULL)
        return;
    g_ptr_array_unref(ring->entries);
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

/* --- trust list ----------------------------------------------------------------------------------------------------- */

char *imp_trust_encode(const ImpKeyRing *authors)
{
    json_auto_t *list = json_object();
    json_t *array = json_array();
    for (gsize i = 0; i < imp_keyring_size(authors); i++) {
        const char *name;
        const ImpKey *key = imp_keyring_at(authors, i, &name);
        g_autoptr(GBytes) der = imp_key_public_der(key);
        g_autofree char *hex = imp_hex_encode(g_bytes_get_data(der, NULL), g_bytes_get_size(der));
        char id[IMP_KEY_ID_TEXT_SIZE];
        json_t *author = json_object();
        json_object_set_new(author, "key", json_string(imp_key_id_text(imp_key_id(key), id)));
        json_object_set_new(author, "name", json_string(name));
        json_object_set_new(author, "public", json_string(hex));
        json_array_append_new(array, author);
    }
    json_object_set_new(list, "imprint-trust", json_integer(TRUST_VERSION));
    json_object_set_new(list, "authors", array);
    return imp_json_text(list);
}

static gboolean decode_author(const json_t *json, ImpKeyRing *ring, GError **error)
{
    ImpJson r;
    ImpKeyId id = {{0}};
    imp_json_begin(&r, json, "trust list: author", IMP_E_TRUST_LIST, IMP_E_TRUST_LIST);
    imp_json_hex(&r, "key", id.bytes, sizeof id.bytes);
    const char *name = imp_json_string(&r, "name", 0, IMP_KEYRING_NAME_MAX);
    const char *hex = imp_json_string(&r, "public", 2, 2 * PUBLIC_MAX);
    if (!imp_json_end(&r, error))
        return FALSE;
    guint8 bytes[PUBLIC_MAX];
    gssize n_bytes = imp_hex_decode(hex, bytes, sizeof bytes);
    g_autoptr(GBytes) der = n_bytes > 0 ? g_bytes_new(bytes, (gsize)n_bytes) : NULL;
    g_autoptr(ImpKey) key = der != NULL ? imp_key_from_public_der(der, NULL) : NULL;
    if (key == NULL || !imp_key_id_equal(imp_key_id(key), &id)) {
        imp_error_set(error, IMP_E_TRUST_LIST, "trust list: author '%s': %s", name,
                      key == NULL ? "'public' is no key of a suite" : "'key' is not the ID of 'public'");
        return FALSE;
    }
    return imp_keyring_add(ring, name, key, error);
}

ImpKeyRing *imp_trust_decode(const char *text, gsize n_bytes, GError **error)
{
    json_auto_t *list =
        imp_json_parse(text, n_bytes, IMP_KEYRING_FILE_MAX, "trust list", IMP_E_TRUST_LIST, error);
    if (list == NULL)
        return NULL;
    ImpJson r;
    imp_json_begin(&r, list, "trust list", IMP_E_TRUST_LIST, IMP_E_TRUST_LIST);
    imp_json_u64(&r, "imprint-trust", TRUST_VERSION, TRUST_VERSION);
    const json_t *array = imp_json_array(&r, "authors", 0, IMP_KEYRING_MAX);
    if (!imp_json_end(&r, error))
        return NULL;
    g_autoptr(ImpKeyRing) ring = imp_keyring_new();
    for (gsize i = 0; i < json_array_size(array); i++)
        if (!decode_author(json_array_get(array, i), ring, error))
            return NULL;
    return g_steal_pointer(&ring);
}

gboolean imp_trust_save(const ImpKeyRing *authors, const char *path, GError **error)
{
    g_autofree char *text = imp_trust_encode(authors);
    g_autoptr(GError) inner = NULL;
    if (g_file_set_contents_full(path, text, (gssize)strlen(text),
                                 G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0644, &inner))
        return TRUE;
    imp_error_set(error, imp_error_code_of_file(inner), "%s", inner->message);
    return FALSE;
}

ImpKeyRing *imp_trust_load(const char *path, GError **error)
{
    g_autoptr(GError) inner = NULL;
    g_autofree char *text = NULL;
    gsize n_bytes;
    if (!g_file_get_contents(path, &text, &n_bytes, &inner)) {
        imp_error_set(error, imp_error_code_of_file(inner), "%s", inner->message);
        return NULL;
    }
    ImpKeyRing *ring = imp_trust_decode(text, n_bytes, error);
    if (ring == NULL)
        g_prefix_error(error, "%s: ", path);
    return ring;
}
