#include <string.h>

#include "base/json.h"
#include "image/envelope.h"
#include "image/trust.h"

#define TRUST_VERSION 1
#define PUBLIC_MAX    1024 /* bytes of a public key in DER; RSA 3072 has 422 */

/* The authors as an array; a new reference. */
static json_t *encode_authors(const ImpKeyRing *authors)
{
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
    return array;
}

char *imp_trust_encode(const ImpKeyRing *authors)
{
    json_auto_t *list = json_object();
    json_object_set_new(list, "imprint-trust", json_integer(TRUST_VERSION));
    json_object_set_new(list, "authors", encode_authors(authors));
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

static ImpKeyRing *decode_authors(const json_t *array, GError **error)
{
    g_autoptr(ImpKeyRing) ring = imp_keyring_new();
    for (gsize i = 0; i < json_array_size(array); i++)
        if (!decode_author(json_array_get(array, i), ring, error))
            return NULL;
    return g_steal_pointer(&ring);
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
    return decode_authors(array, error);
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

/* --- signed by an account's root key -------------------------------------------------------------------------------- */

void imp_trust_list_free(ImpTrustList *list)
{
    if (list == NULL)
        return;
    imp_key_unref(list->root);
    imp_keyring_free(list->authors);
    g_free(list);
}

GBytes *imp_trust_list_sign(const ImpKeyRing *authors, guint64 number, const ImpKey *root, GError **error)
{
    if (!imp_key_check_role(root, IMP_KEY_ROOT, "trust list", error))
        return NULL;
    for (gsize i = 0; i < imp_keyring_size(authors); i++)
        if (!imp_key_check_role(imp_keyring_at(authors, i, NULL), IMP_KEY_AUTHOR, "trust list", error))
            return NULL;
    g_autoptr(GBytes) der = imp_key_public_der(root);
    g_autofree char *hex = imp_hex_encode(g_bytes_get_data(der, NULL), g_bytes_get_size(der));
    json_auto_t *json = json_object();
    json_object_set_new(json, "imprint-trust-list", json_integer(TRUST_VERSION));
    json_object_set_new(json, "authors", encode_authors(authors));
    json_object_set_new(json, "number", json_integer((json_int_t)number));
    json_object_set_new(json, "root", json_string(hex));
    g_autofree char *text = imp_json_text(json);
    GBytes *list = imp_cms_sign(text, strlen(text), root, error);
    if (list != NULL && g_bytes_get_size(list) > IMP_TRUST_LIST_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "the trust list has more than %d bytes", IMP_TRUST_LIST_MAX);
        g_clear_pointer(&list, g_bytes_unref);
    }
    return list;
}

static ImpTrustList *decode_list(const ImpCmsSigned *parsed, GError **error)
{
    json_auto_t *json = imp_json_parse((const char *)parsed->content, parsed->n_content, IMP_TRUST_LIST_MAX,
                                       "trust list", IMP_E_TRUST_LIST, error);
    if (json == NULL)
        return NULL;
    g_autofree char *canonical = imp_json_text(json);
    if (strlen(canonical) != parsed->n_content ||
        memcmp(canonical, parsed->content, parsed->n_content) != 0) {
        imp_error_set(error, IMP_E_TRUST_LIST, "trust list: it is not in canonical form");
        return NULL;
    }
    g_autoptr(ImpTrustList) list = g_new0(ImpTrustList, 1);
    ImpJson r;
    imp_json_begin(&r, json, "trust list", IMP_E_TRUST_LIST, IMP_E_TRUST_LIST);
    imp_json_u64(&r, "imprint-trust-list", TRUST_VERSION, TRUST_VERSION);
    list->number = imp_json_u64(&r, "number", 1, G_MAXINT64);
    const char *hex = imp_json_string(&r, "root", 2, 2 * PUBLIC_MAX);
    const json_t *authors = imp_json_array(&r, "authors", 0, IMP_KEYRING_MAX);
    guint8 bytes[PUBLIC_MAX];
    gssize n_bytes = imp_json_ok(&r) ? imp_hex_decode(hex, bytes, sizeof bytes) : 0;
    if (!imp_json_end(&r, error))
        return NULL;
    g_autoptr(GBytes) der = n_bytes > 0 ? g_bytes_new(bytes, (gsize)n_bytes) : NULL;
    list->root = der != NULL ? imp_key_from_public_der(der, NULL) : NULL;
    if (list->root == NULL || !imp_key_id_equal(imp_key_id(list->root), &parsed->signer)) {
        imp_error_set(error, IMP_E_TRUST_LIST, "trust list: its signer is not the root key that it names");
        return NULL;
    }
    list->authors = decode_authors(authors, error);
    return list->authors != NULL ? g_steal_pointer(&list) : NULL;
}

ImpTrustList *imp_trust_list_verify(GBytes *signed_list, const ImpKeyId *root, GError **error)
{
    gsize n_der;
    const guint8 *der = g_bytes_get_data(signed_list, &n_der);
    ImpCmsSigned parsed;
    if (n_der > IMP_TRUST_LIST_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "the trust list has %" G_GSIZE_FORMAT " bytes, the limit is %d",
                      n_der, IMP_TRUST_LIST_MAX);
        return NULL;
    }
    if (!imp_cms_parse_signed(der, n_der, 0, &parsed, error)) {
        g_prefix_error(error, "trust list: ");
        return NULL;
    }
    char id[IMP_KEY_ID_TEXT_SIZE];
    if (root != NULL && !imp_key_id_equal(root, &parsed.signer)) {
        imp_error_set(error, IMP_E_TRUST_ROOT,
                      "trust list: it is signed by %s, which is not the root key here",
                      imp_key_id_text(&parsed.signer, id));
        return NULL;
    }
    g_autoptr(ImpTrustList) list = decode_list(&parsed, error);
    if (list == NULL)
        return NULL;
    if (!imp_cms_verify(&parsed, list->root, error)) {
        g_prefix_error(error, "trust list: ");
        return NULL;
    }
    return g_steal_pointer(&list);
}
