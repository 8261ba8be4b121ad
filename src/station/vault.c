#include "station/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "image/share.h"

#define GRANT_MAX 65536

struct ImpVault {
    char *folder, *granted_folder, *authors_path, *list_path, *tls_path;
    ImpKey *tls, *sealing;
    ImpKeyRing *image_keys;
    ImpKeyRing *own_authors; /* authors.json */
    gboolean has_root;
    ImpKeyId root;
    ImpTrustList *list; /* account.trust; NULL = none, or not of this root */
    ImpKeyRing *authors; /* both */
};

/* What counts: the account's authors, then the station's own, whose names come first. */
static void join_authors(ImpVault *vault)
{
    g_autoptr(ImpKeyRing) all = imp_keyring_new();
    const ImpKeyRing *const rings[] = {vault->own_authors, vault->list != NULL ? vault->list->authors : NULL};
    for (guint r = 0; r < G_N_ELEMENTS(rings); r++)
        for (gsize i = 0; rings[r] != NULL && i < imp_keyring_size(rings[r]); i++) {
            const char *name = NULL;
            g_autoptr(GError) error = NULL;
            const ImpKey *key = imp_keyring_at(rings[r], i, &name);
            if (imp_keyring_find(all, imp_key_id(key)) == NULL && !imp_keyring_add(all, name, key, &error))
                g_warning("authors: %s", error->message);
        }
    imp_keyring_free(vault->authors);
    vault->authors = g_steal_pointer(&all);
}

/* The pair of that file, made if it is not there yet. */
static ImpKey *load_or_make(const char *path, ImpKeyRole role, GError **error)
{
    if (g_file_test(path, G_FILE_TEST_EXISTS))
        return imp_key_load(path, error);
    g_autoptr(ImpKey) key = imp_key_generate(IMP_IMAGE_SUITE_P256, role, error);
    if (key == NULL || !imp_key_save_private(key, path, error))
        return NULL;
    return g_steal_pointer(&key);
}

static gboolean make_folder(const char *path, GError **error)
{
    if (g_mkdir_with_parents(path, 0700) == 0)
        return TRUE;
    imp_error_set(error, IMP_E_IO, "%s: %s", path, g_strerror(errno));
    return FALSE;
}

static void load_grant(ImpVault *vault, const char *name)
{
    g_autofree char *path = g_build_filename(vault->granted_folder, name, NULL);
    g_autoptr(GError) error = NULL;
    char *bytes = NULL;
    gsize n_bytes = 0;
    if (!g_file_get_contents(path, &bytes, &n_bytes, &error)) {
        g_warning("granted key not read: %s", error->message);
        return;
    }
    g_autoptr(GBytes) grant = g_bytes_new_take(bytes, n_bytes);
    g_autoptr(ImpKey) key = imp_key_grant_open(grant, vault->sealing, &error);
    if (key == NULL || !imp_keyring_add(vault->image_keys, "granted", key, &error))
        g_warning("granted key not opened: %s: %s", path, error->message);
}

static gboolean load_grants(ImpVault *vault, GError **error)
{
    g_autoptr(GError) own = NULL;
    g_autoptr(GDir) dir = g_dir_open(vault->granted_folder, 0, &own);
    if (dir == NULL) {
        imp_error_set(error, IMP_E_IO, "%s", own->message);
        return FALSE;
    }
    for (const char *name; (name = g_dir_read_name(dir)) != NULL;)
        if (g_str_has_suffix(name, ".grant"))
            load_grant(vault, name);
    return TRUE;
}

/* Image keys that stay in their token. One that is not there now blocks its images, and nothing else. */
static void load_token_keys(ImpVault *vault, const char *const *uris)
{
    for (gsize i = 0; uris != NULL && uris[i] != NULL; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(ImpKey) key = imp_key_load(uris[i], &error);
        if (key == NULL || !imp_keyring_add(vault->image_keys, "token", key, &error))
            g_warning("image key of a token: %s", error->message);
    }
}

ImpVault *imp_vault_open(const char *folder, const ImpVaultOptions *options, GError **error)
{
    g_autoptr(ImpVault) vault = g_new0(ImpVault, 1);
    vault->folder = g_strdup(folder);
    vault->granted_folder = g_build_filename(folder, "granted", NULL);
    vault->authors_path = g_build_filename(folder, "authors.json", NULL);
    vault->list_path = g_build_filename(folder, "account.trust", NULL);
    vault->tls_path = g_build_filename(folder, "tls.key", NULL);
    g_autofree char *sealing_path = g_build_filename(folder, "sealing.key", NULL);
    vault->image_keys = imp_keyring_new();
    if (!make_folder(vault->granted_folder, error) ||
        (vault->tls = load_or_make(vault->tls_path, IMP_KEY_ANY, error)) == NULL ||
        (vault->sealing = options != NULL && options->sealing != NULL
                              ? imp_key_load(options->sealing, error)
                              : load_or_make(sealing_path, IMP_KEY_STATION, error)) == NULL ||
        !load_grants(vault, error))
        return NULL;
    if (options != NULL)
        load_token_keys(vault, options->image_keys);
    if (!g_file_test(vault->authors_path, G_FILE_TEST_EXISTS))
        vault->own_authors = imp_keyring_new();
    else if ((vault->own_authors = imp_trust_load(vault->authors_path, error)) == NULL)
        return NULL;
    join_authors(vault);
    return g_steal_pointer(&vault);
}

void imp_vault_free(ImpVault *vault)
{
    if (vault == NULL)
        return;
    if (vault->tls != NULL)
        imp_key_unref(vault->tls);
    if (vault->sealing != NULL)
        imp_key_unref(vault->sealing);
    if (vault->image_keys != NULL)
        imp_keyring_free(vault->image_keys);
    if (vault->authors != NULL)
        imp_keyring_free(vault->authors);
    if (vault->own_authors != NULL)
        imp_keyring_free(vault->own_authors);
    imp_trust_list_free(vault->list);
    g_free(vault->list_path);
    g_free(vault->folder);
    g_free(vault->granted_folder);
    g_free(vault->authors_path);
    g_free(vault->tls_path);
    g_free(vault);
}

const ImpKeyRing *imp_vault_image_keys(const ImpVault *vault)
{
    return vault->image_keys;
}

const ImpKeyRing *imp_vault_authors(const ImpVault *vault)
{
    return vault->authors;
}

const ImpKey *imp_vault_sealing_key(const ImpVault *vault)
{
    return vault->sealing;
}

const ImpKey *imp_vault_tls_key(const ImpVault *vault)
{
    return vault->tls;
}

const char *imp_vault_tls_key_path(const ImpVault *vault)
{
    return vault->tls_path;
}

static char *grant_path(const ImpVault *vault, const ImpKeyId *id)
{
    char text[IMP_KEY_ID_TEXT_SIZE];
    return g_strdup_printf("%s/%s.grant", vault->granted_folder, imp_key_id_text(id, text));
}

gboolean imp_vault_grant(ImpVault *vault, GBytes *grant, ImpKeyId *out_id, GError **error)
{
    if (g_bytes_get_size(grant) > GRANT_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "a granted key has at most %d bytes", GRANT_MAX);
        return FALSE;
    }
    g_autoptr(ImpKey) key = imp_key_grant_open(grant, vault->sealing, error);
    if (key == NULL)
        return FALSE;
    g_autofree char *path = grant_path(vault, imp_key_id(key));
    g_autoptr(GError) own = NULL;
    if (!g_file_set_contents_full(path, g_bytes_get_data(grant, NULL), (gssize)g_bytes_get_size(grant),
                                  G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, &own)) {
        imp_error_set(error, IMP_E_IO, "%s", own->message);
        return FALSE;
    }
    if (!imp_keyring_add(vault->image_keys, "granted", key, error))
        return FALSE;
    *out_id = *imp_key_id(key);
    return TRUE;
}

gboolean imp_vault_revoke(ImpVault *vault, const ImpKeyId *id, GError **error)
{
    g_autofree char *path = grant_path(vault, id);
    gboolean had_file = unlink(path) == 0;
    int saved = errno;
    const ImpKey *known = imp_keyring_find(vault->image_keys, id);
    gboolean in_token = known != NULL && !imp_key_can_leave(known);
    gboolean had_key = imp_keyring_remove(vault->image_keys, id);
    if (!had_file && saved != ENOENT) {
        imp_error_set(error, IMP_E_IO, "%s: %s: the key is gone from memory but not from the disk", path,
                      g_strerror(saved));
        return FALSE;
    }
    if (!had_file && !had_key) {
        char text[IMP_KEY_ID_TEXT_SIZE];
        imp_error_set(error, IMP_E_NOT_FOUND, "no image key %s was granted to this station",
                      imp_key_id_text(id, text));
        return FALSE;
    }
    if (in_token && !had_file) {
        imp_error_set(
            error, IMP_E_STATE,
            "the image key is gone from memory, and its images are blocked; but it is in a token that the "
            "configuration names: take it out there, or it is back at the next start");
        return FALSE;
    }
    int fd = open(vault->granted_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean durable = fd >= 0 && fsync(fd) == 0;
    saved = errno;
    if (fd >= 0)
        close(fd);
    if (!durable)
        imp_error_set(error, IMP_E_IO, "%s: %s", vault->granted_folder, g_strerror(saved));
    return durable;
}

gboolean imp_vault_is_own_author(const ImpVault *vault, const ImpKeyId *id)
{
    return imp_keyring_find(vault->own_authors, id) != NULL;
}

gboolean imp_vault_trust(ImpVault *vault, const char *name, const char *public_pem, ImpKeyId *out_id,
                         GError **error)
{
    g_autoptr(ImpKey) key = imp_key_from_public_pem(public_pem, error);
    if (key == NULL || !imp_key_check_role(key, IMP_KEY_AUTHOR, "trust", error) ||
        !imp_keyring_add(vault->own_authors, name, key, error))
        return FALSE;
    if (!imp_trust_save(vault->own_authors, vault->authors_path, error)) {
        (void)imp_keyring_remove(vault->own_authors, imp_key_id(key));
        return FALSE;
    }
    join_authors(vault);
    *out_id = *imp_key_id(key);
    return TRUE;
}

gboolean imp_vault_distrust(ImpVault *vault, const ImpKeyId *id, GError **error)
{
    char text[IMP_KEY_ID_TEXT_SIZE];
    if (!imp_keyring_remove(vault->own_authors, id)) {
        imp_error_set(error, IMP_E_NOT_FOUND,
                      imp_keyring_find(vault->authors, id) != NULL
                          ? "author %s is in the account's list, which only its root key changes"
                          : "no author %s is trusted by this station",
                      imp_key_id_text(id, text));
        return FALSE;
    }
    join_authors(vault);
    return imp_trust_save(vault->own_authors, vault->authors_path, error);
}

/* ---- the account's list -------------------------------------------------------------------------------------------- */

void imp_vault_use_root(ImpVault *vault, const ImpKeyId *root)
{
    g_clear_pointer(&vault->list, imp_trust_list_free);
    vault->has_root = root != NULL;
    if (root != NULL)
        vault->root = *root;
    g_autoptr(GError) error = NULL;
    char *bytes = NULL;
    gsize n_bytes = 0;
    if (root != NULL && g_file_get_contents(vault->list_path, &bytes, &n_bytes, NULL)) {
        g_autoptr(GBytes) file = g_bytes_new_take(bytes, n_bytes);
        vault->list = imp_trust_list_verify(file, root, &error);
        if (vault->list == NULL)
            g_warning("%s: %s", vault->list_path, error->message);
    }
    join_authors(vault);
}

guint64 imp_vault_list_number(const ImpVault *vault)
{
    return vault->list != NULL ? vault->list->number : 0;
}

gboolean imp_vault_take_list(ImpVault *vault, GBytes *bytes, GError **error)
{
    if (!vault->has_root) {
        imp_error_set(error, IMP_E_TRUST_ROOT, "this station knows no root key: its enrolment code had none");
        return FALSE;
    }
    g_autoptr(ImpTrustList) list = imp_trust_list_verify(bytes, &vault->root, error);
    if (list == NULL)
        return FALSE;
    if (list->number <= imp_vault_list_number(vault)) {
        imp_error_set(error, IMP_E_TRUST_OLD,
                      "the list has number %" G_GUINT64_FORMAT
                      ", the one that is here has %" G_GUINT64_FORMAT,
                      list->number, imp_vault_list_number(vault));
        return FALSE;
    }
    g_autoptr(GError) own = NULL;
    if (!g_file_set_contents_full(vault->list_path, g_bytes_get_data(bytes, NULL),
                                  (gssize)g_bytes_get_size(bytes),
                                  G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, &own)) {
        imp_error_set(error, IMP_E_IO, "%s", own->message);
        return FALSE;
    }
    imp_trust_list_free(vault->list);
    vault->list = g_steal_pointer(&list);
    join_authors(vault);
    return TRUE;
}

/* ---- shares -------------------------------------------------------------------------------------------------------- */

typedef struct {
    const guint8 *digests;
    gsize n;
    gsize n_dropped;
} Wanted;

static gboolean is_wanted(const guint8 sha256[32], gpointer user)
{
    Wanted *wanted = user;
    for (gsize i = 0; i < wanted->n; i++)
        if (memcmp(wanted->digests + i * IMP_SHA256_BYTES, sha256, IMP_SHA256_BYTES) == 0)
            return TRUE;
    wanted->n_dropped++;
    return FALSE;
}

gboolean imp_vault_set_shares(ImpVault *vault, const guint8 *shares, gsize n_shares)
{
    g_autofree guint8 *digests = g_malloc(n_shares * IMP_SHA256_BYTES + 1);
    for (gsize i = 0; i < n_shares; i++)
        imp_share_digest(shares + i * IMP_SHARE_BYTES, digests + i * IMP_SHA256_BYTES);
    Wanted wanted = {digests, n_shares, 0};
    imp_keyring_filter_shares(vault->image_keys, is_wanted, &wanted);
    gboolean different = wanted.n_dropped > 0;
    for (gsize i = 0; i < n_shares; i++) {
        g_autoptr(GError) error = NULL;
        const guint8 *digest = digests + i * IMP_SHA256_BYTES;
        different |= imp_keyring_find_share(vault->image_keys, digest) == NULL;
        if (!imp_keyring_add_share(vault->image_keys, digest, shares + i * IMP_SHARE_BYTES, &error))
            g_warning("a share is not kept: %s", error->message);
    }
    return different;
}
