/* What a station keeps on its disk: configuration, image store, keys and trust, membership; and the ring of events. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/share.h"
#include "fixture.h"
#include "station/config.h"
#include "station/events.h"
#include "station/membership.h"
#include "station/store.h"
#include "station/vault.h"

typedef struct {
    char *folder;
    Keys *keys;
    ImpObject *object;
} Fixture;

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir != NULL && (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        remove_tree(child);
    }
    (void)g_remove(path);
}

static void set_up(Fixture *f, gconstpointer data)
{
    GError *error = NULL;
    f->folder = g_dir_make_tmp("imprint-station-XXXXXX", &error);
    g_assert_no_error(error);
    f->keys = keys_new();
    f->object = fixture_object(1000);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    remove_tree(f->folder);
    g_free(f->folder);
    keys_free(f->keys);
    imp_object_free(f->object);
}

/* ---- store --------------------------------------------------------------------------------------------------------- */

static ImpStore *open_store(Fixture *f, guint images_max, guint64 bytes_max)
{
    GError *error = NULL;
    g_autofree char *folder = g_build_filename(f->folder, "images", NULL);
    ImpStore *store = imp_store_open(
        &(ImpStoreOptions){.folder = folder, .images_max = images_max, .bytes_max = bytes_max}, &error);
    g_assert_no_error(error);
    return store;
}

/* Adds bytes as an upload would; the code of the error, 0 if it was kept. */
static int add(ImpStore *store, GBytes *file, ImpSource source, const guint8 *ca,
               const ImpStoreEntry **out_entry, gboolean *out_new)
{
    g_autoptr(GError) error = NULL;
    int fd = imp_store_temporary(store, &error);
    g_assert_no_error(error);
    gsize n = 0;
    const char *bytes = g_bytes_get_data(file, &n);
    g_assert_cmpint(write(fd, bytes, n), ==, (gssize)n);
    gboolean ok = imp_store_add(store, fd, source, ca, out_entry, out_new, &error);
    close(fd);
    g_assert_true(ok == (error == NULL));
    return error != NULL ? error->code : 0;
}

static void test_store(Fixture *f, gconstpointer data)
{
    g_autoptr(ImpSealed) sap = fixture_seal(f->object, f->keys, FIXTURE_SAP_ENCRYPTED);
    g_autoptr(ImpSealed) job = fixture_seal(f->object, f->keys, FIXTURE_JOB_ENCRYPTED);
    g_autoptr(ImpSealed) open_sap = fixture_seal(f->object, f->keys, FIXTURE_SAP);
    g_autoptr(ImpStore) store = open_store(f, 0, 0);
    const ImpStoreEntry *entry = NULL;
    gboolean is_new = FALSE;
    guint8 other_cloud[32] = {1};

    g_assert_cmpint(add(store, sap->file, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, 0);
    g_assert_true(is_new);
    g_assert_true(imp_id_equal(&entry->clear->id, &sap->clear->id));
    g_assert_cmpint(add(store, sap->file, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, 0);
    g_assert_false(is_new);
    g_assert_cmpint(add(store, job->file, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, IMP_E_NOT_ENROLLED);
    g_assert_cmpint(add(store, job->file, IMP_SOURCE_LOCAL, other_cloud, &entry, &is_new), ==,
                    IMP_E_IMAGE_OTHER_CLOUD);
    g_assert_cmpint(add(store, job->file, IMP_SOURCE_CLOUD, FIXTURE_CLOUD_CA, &entry, &is_new), ==, 0);
    g_assert_cmpint(entry->source, ==, IMP_SOURCE_CLOUD);
    g_assert_cmpint(add(store, open_sap->file, IMP_SOURCE_CLOUD, FIXTURE_CLOUD_CA, &entry, &is_new), ==,
                    IMP_E_IMAGE_UNENCRYPTED);
    g_autoptr(GBytes) half = g_bytes_new_from_bytes(sap->file, 0, g_bytes_get_size(sap->file) / 2);
    g_assert_cmpint(add(store, half, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, IMP_E_IMAGE_TRUNCATED);
    g_assert_cmpuint(imp_store_size(store), ==, 2);

    /* The same folder again: the same images, from where they came. */
    g_clear_pointer(&store, imp_store_free);
    store = open_store(f, 0, 0);
    g_assert_cmpuint(imp_store_size(store), ==, 2);
    g_assert_cmpint(imp_store_find(store, &sap->clear->id)->source, ==, IMP_SOURCE_LOCAL);
    g_assert_cmpint(imp_store_find(store, &job->clear->id)->source, ==, IMP_SOURCE_CLOUD);
}

static void test_store_resolve(Fixture *f, gconstpointer data)
{
    g_autoptr(ImpSealed) one = fixture_seal(f->object, f->keys, FIXTURE_SAP_ENCRYPTED);
    g_autoptr(ImpSealed) two = fixture_seal(f->object, f->keys, FIXTURE_SAP_ENCRYPTED);
    g_autoptr(ImpStore) store = open_store(f, 0, 0);
    const ImpStoreEntry *entry = NULL;
    gboolean is_new = FALSE;
    g_autoptr(GError) error = NULL;
    char text[IMP_ID_TEXT_SIZE];
    g_assert_null(imp_store_resolve(store, "Blinky", &error));
    g_assert_error(error, IMP_ERROR, IMP_E_NOT_FOUND);
    g_clear_error(&error);
    g_assert_cmpint(add(store, one->file, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, 0);
    g_assert_true(imp_store_resolve(store, "Blinky", &error) == entry);
    g_assert_cmpint(add(store, two->file, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, 0);
    g_assert_null(imp_store_resolve(store, "Blinky", &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    g_clear_error(&error);
    g_assert_true(imp_store_resolve(store, imp_id_text(&two->clear->id, text), &error) == entry);
}

static void test_store_limits(Fixture *f, gconstpointer data)
{
    g_autoptr(ImpSealed) one = fixture_seal(f->object, f->keys, FIXTURE_SAP_ENCRYPTED);
    g_autoptr(ImpSealed) two = fixture_seal(f->object, f->keys, FIXTURE_SAP_ENCRYPTED);
    const ImpStoreEntry *entry = NULL;
    gboolean is_new = FALSE;
    ImpStore *store = open_store(f, 1, 0);
    g_assert_cmpint(add(store, one->file, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, 0);
    g_assert_cmpint(add(store, two->file, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, IMP_E_STORE_FULL);
    imp_store_free(store);
    store = open_store(f, 0, g_bytes_get_size(one->file) + g_bytes_get_size(two->file) - 1);
    g_assert_cmpint(add(store, two->file, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, IMP_E_STORE_FULL);
    imp_store_free(store);
    store = open_store(f, 0, g_bytes_get_size(one->file) + g_bytes_get_size(two->file));
    g_assert_cmpint(add(store, two->file, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, 0);
    imp_store_free(store);
}

static void test_store_hold(Fixture *f, gconstpointer data)
{
    g_autoptr(ImpSealed) job = fixture_seal(f->object, f->keys, FIXTURE_JOB_ENCRYPTED);
    g_autoptr(ImpStore) store = open_store(f, 0, 0);
    const ImpStoreEntry *entry = NULL;
    gboolean is_new = FALSE;
    g_autoptr(GError) error = NULL;
    const ImpId *id = &job->clear->id;
    g_assert_cmpint(add(store, job->file, IMP_SOURCE_CLOUD, FIXTURE_CLOUD_CA, &entry, &is_new), ==, 0);
    g_autofree char *path = g_strdup(entry->path);
    imp_store_hold(store, id);
    imp_store_hold(store, id);
    g_assert_false(imp_store_remove(store, id, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_IMAGE_IN_USE);
    g_clear_error(&error);
    g_assert_true(imp_store_withdraw(store, id));
    g_assert_true(imp_store_find(store, id)->withdrawn);
    g_assert_false(imp_store_release(store, id));
    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_true(imp_store_release(store, id)); /* the last one: it goes */
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_null(imp_store_find(store, id));
    g_assert_false(imp_store_withdraw(store, id));
    g_assert_false(imp_store_remove(store, id, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_NOT_FOUND);
}

static void test_store_damaged(Fixture *f, gconstpointer data)
{
    g_autoptr(ImpSealed) sap = fixture_seal(f->object, f->keys, FIXTURE_SAP_ENCRYPTED);
    ImpStore *store = open_store(f, 0, 0);
    const ImpStoreEntry *entry = NULL;
    gboolean is_new = FALSE;
    g_assert_cmpint(add(store, sap->file, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, 0);
    g_autofree char *path = g_strdup(entry->path);
    imp_store_free(store);
    g_assert_cmpint(truncate(path, 100), ==, 0);
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "image set aside*");
    store = open_store(f, 0, 0);
    g_test_assert_expected_messages();
    g_assert_cmpuint(imp_store_size(store), ==, 0);
    g_autofree char *aside = g_strconcat(path, ".damaged", NULL);
    g_assert_true(g_file_test(aside, G_FILE_TEST_EXISTS));
    g_assert_cmpint(add(store, sap->file, IMP_SOURCE_LOCAL, NULL, &entry, &is_new), ==, 0);
    imp_store_free(store);
}

/* ---- vault --------------------------------------------------------------------------------------------------------- */

static ImpVault *open_vault(Fixture *f)
{
    GError *error = NULL;
    g_autofree char *folder = g_build_filename(f->folder, "keys", NULL);
    ImpVault *vault = imp_vault_open(folder, NULL, &error);
    g_assert_no_error(error);
    return vault;
}

static void test_vault(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    ImpVault *vault = open_vault(f);
    ImpKeyId sealing = *imp_key_id(imp_vault_sealing_key(vault)), id;
    g_assert_false(imp_key_id_equal(&sealing, imp_key_id(imp_vault_tls_key(vault))));
    g_autoptr(GBytes) grant = imp_key_grant_seal(f->keys->image_key, imp_vault_sealing_key(vault), &error);
    g_assert_no_error(error);
    g_assert_true(imp_vault_grant(vault, grant, &id, &error));
    g_assert_true(imp_key_id_equal(&id, imp_key_id(f->keys->image_key)));
    g_assert_true(imp_vault_grant(vault, grant, &id, &error)); /* again: the same */
    g_assert_cmpuint(imp_keyring_size(imp_vault_image_keys(vault)), ==, 1);
    g_autofree char *pem = imp_key_public_pem(f->keys->author);
    ImpKeyId author;
    g_assert_true(imp_vault_trust(vault, "ann", pem, &author, &error));
    /* A grant for another station. */
    g_autoptr(GBytes) foreign = imp_key_grant_seal(f->keys->image_key, f->keys->station, &error);
    g_assert_false(imp_vault_grant(vault, foreign, &id, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_GRANT_OPEN);
    g_clear_error(&error);
    imp_vault_free(vault);

    vault = open_vault(f);
    g_assert_true(imp_key_id_equal(&sealing, imp_key_id(imp_vault_sealing_key(vault))));
    g_assert_true(imp_key_has_private(imp_keyring_find(imp_vault_image_keys(vault), &id)));
    g_assert_nonnull(imp_keyring_find(imp_vault_authors(vault), &author));
    g_assert_true(imp_vault_revoke(vault, &id, &error));
    g_assert_null(imp_keyring_find(imp_vault_image_keys(vault), &id));
    g_assert_false(imp_vault_revoke(vault, &id, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_NOT_FOUND);
    g_clear_error(&error);
    g_assert_true(imp_vault_distrust(vault, &author, &error));
    g_assert_false(imp_vault_distrust(vault, &author, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_NOT_FOUND);
    imp_vault_free(vault);

    vault = open_vault(f); /* and gone they stay */
    g_assert_cmpuint(imp_keyring_size(imp_vault_image_keys(vault)), ==, 0);
    g_assert_cmpuint(imp_keyring_size(imp_vault_authors(vault)), ==, 0);
    imp_vault_free(vault);
}

static gboolean trusts(const ImpVault *vault, const ImpKey *author)
{
    return imp_keyring_find(imp_vault_authors(vault), imp_key_id(author)) != NULL;
}

static GBytes *list_of(const ImpKey *root, guint64 number, const ImpKey *author)
{
    GError *error = NULL;
    g_autoptr(ImpKeyRing) authors = imp_keyring_new();
    g_assert_true(author == NULL || imp_keyring_add(authors, "anna", author, &error));
    GBytes *list = imp_trust_list_sign(authors, number, root, &error);
    g_assert_no_error(error);
    return list;
}

/* The account's list counts beside the station's own; only its root's, only newer ones. */
static void test_vault_list(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpKey) root = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_ROOT, NULL);
    g_autoptr(ImpKey) forger = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_ROOT, NULL);
    g_autoptr(ImpKey) anna = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_AUTHOR, NULL);
    g_autoptr(ImpKey) own = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_AUTHOR, NULL);
    g_autofree char *pem = imp_key_public_pem(own);
    ImpKeyId id;
    ImpVault *vault = open_vault(f);
    g_autoptr(GBytes) second = list_of(root, 2, anna);
    g_assert_false(imp_vault_take_list(vault, second, &error)); /* no root key is known */
    g_assert_error(error, IMP_ERROR, IMP_E_TRUST_ROOT);
    g_clear_error(&error);
    imp_vault_use_root(vault, imp_key_id(root));
    g_assert_true(imp_vault_trust(vault, "own", pem, &id, &error));
    g_autoptr(GBytes) forged = list_of(forger, 9, anna);
    g_assert_false(imp_vault_take_list(vault, forged, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_TRUST_ROOT);
    g_clear_error(&error);
    g_assert_false(trusts(vault, anna));
    g_assert_true(imp_vault_take_list(vault, second, &error));
    g_assert_true(trusts(vault, anna) && trusts(vault, own));
    g_assert_true(imp_vault_is_own_author(vault, imp_key_id(own)));
    g_assert_false(imp_vault_is_own_author(vault, imp_key_id(anna)));
    g_assert_false(
        imp_vault_distrust(vault, imp_key_id(anna), &error)); /* the root's word, not the station's */
    g_assert_error(error, IMP_ERROR, IMP_E_NOT_FOUND);
    g_clear_error(&error);
    imp_vault_free(vault);

    vault = open_vault(f);
    g_assert_false(trusts(vault, anna)); /* until it is known whose list it is */
    imp_vault_use_root(vault, imp_key_id(root));
    g_assert_cmpuint(imp_vault_list_number(vault), ==, 2);
    g_assert_true(trusts(vault, anna) && trusts(vault, own));
    g_autoptr(GBytes) first = list_of(root, 1, NULL);
    for (int i = 0; i < 2; i++) { /* an older one, and the same again */
        g_assert_false(imp_vault_take_list(vault, i == 0 ? first : second, &error));
        g_assert_error(error, IMP_ERROR, IMP_E_TRUST_OLD);
        g_clear_error(&error);
    }
    g_autoptr(GBytes) third = list_of(root, 3, NULL);
    g_assert_true(imp_vault_take_list(vault, third, &error));
    g_assert_true(!trusts(vault, anna) && trusts(vault, own)); /* removed: at once */
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "*not the root key here*");
    imp_vault_use_root(vault, imp_key_id(forger));
    g_test_assert_expected_messages();
    g_assert_cmpuint(imp_vault_list_number(vault), ==, 0);
    imp_vault_free(vault);
}

static void test_vault_shares(Fixture *f, gconstpointer data)
{
    guint8 shares[2 * IMP_SHARE_BYTES], digests[2][IMP_SHA256_BYTES];
    imp_random_fill(imp_random_system(), shares, sizeof shares);
    for (gsize i = 0; i < 2; i++)
        imp_share_digest(shares + i * IMP_SHARE_BYTES, digests[i]);
    ImpVault *vault = open_vault(f);
    g_assert_true(imp_vault_set_shares(vault, shares, 2));
    g_assert_false(imp_vault_set_shares(vault, shares, 2)); /* nothing new */
    const guint8 *found = imp_keyring_find_share(imp_vault_image_keys(vault), digests[1]);
    g_assert_cmpmem(found, IMP_SHARE_BYTES, shares + IMP_SHARE_BYTES, IMP_SHARE_BYTES);
    g_assert_true(imp_vault_set_shares(vault, shares, 1)); /* what is withheld goes */
    g_assert_nonnull(imp_keyring_find_share(imp_vault_image_keys(vault), digests[0]));
    g_assert_null(imp_keyring_find_share(imp_vault_image_keys(vault), digests[1]));
    imp_vault_free(vault);
    vault = open_vault(f); /* never on the disk */
    g_assert_null(imp_keyring_find_share(imp_vault_image_keys(vault), digests[0]));
    imp_vault_free(vault);
}

static void test_vault_modes(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    imp_vault_free(open_vault(f));
    struct stat st;
    g_autofree char *sealing = g_build_filename(f->folder, "keys", "sealing.key", NULL);
    g_autofree char *folder = g_build_filename(f->folder, "keys", NULL);
    g_assert_cmpint(stat(sealing, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
    g_assert_cmpint(stat(folder, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0700);
    g_assert_cmpint(chmod(sealing, 0644), ==, 0);
    g_assert_null(imp_vault_open(folder, NULL, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_KEY_MODE);
}

/* ---- configuration ------------------------------------------------------------------------------------------------- */

static void test_config(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(f->folder, IMP_STATION_FILE, NULL);
    const char *const probes[] = {"tcp:127.0.0.1:4441", "usb:E661\\4C\"77", NULL};
    g_assert_true(imp_station_config_init(f->folder, "line \"1\"", probes, &error));
    g_assert_no_error(error);
    g_assert_false(imp_station_config_init(f->folder, "again", probes, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_EXISTS);
    g_clear_error(&error);
    g_autoptr(ImpStationConfig) config = imp_station_config_load(path, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(config->name, ==, "line \"1\"");
    g_assert_cmpstr(config->data, ==, f->folder);
    g_assert_cmpuint(config->n_ports, ==, 2);
    g_assert_cmpstr(config->ports[1].name, ==, "2");
    g_assert_cmpstr(config->ports[1].probe, ==, probes[1]);
    g_assert_cmpuint(config->stop_limit_us, ==, 30 * G_TIME_SPAN_SECOND);
    g_autofree char *control = g_build_filename(f->folder, "control.sock", NULL);
    g_assert_cmpstr(config->control, ==, control);
}

static void test_membership(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(imp_membership_load(f->folder, &error));
    g_assert_no_error(error);
    g_autofree char *path = g_build_filename(f->folder, "cloud.json", NULL);
    g_assert_true(g_file_set_contents(path, "{\"station\":\"7\",\"url\":\"https://x:1\"}", -1, &error));
    g_assert_null(imp_membership_load(f->folder, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_SCHEMA);
}

/* ---- events -------------------------------------------------------------------------------------------------------- */

static void count(gpointer user)
{
    (*(guint *)user)++;
}

static void test_events(void)
{
    static const struct {
        guint64 after;
        guint limit, n_events;
        guint64 next, lost;
    } rows[] = {
        /* ten events in a ring of four: 7 to 10 are there */
        {10, 100, 0, 10, 0}, {9, 100, 1, 10, 0}, {6, 100, 4, 10, 0},  {5, 100, 4, 10, 1}, {0, 100, 4, 10, 6},
        {6, 2, 2, 8, 0},     {0, 1, 1, 7, 6},    {99, 100, 4, 10, 6}, /* of an earlier life */
    };
    guint told = 0;
    g_autoptr(ImpEvents) events = imp_events_new(4, imp_clock_system(), count, &told);
    json_t *empty = imp_events_read(events, 0, 10);
    g_assert_cmpint(json_integer_value(json_object_get(empty, "next")), ==, 0);
    json_decref(empty);
    for (guint i = 0; i < 10; i++)
        imp_events_add(events, "key", "key", json_object());
    g_assert_cmpuint(told, ==, 10);
    g_assert_cmpuint(imp_events_last(events), ==, 10);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *page = imp_events_read(events, rows[i].after, rows[i].limit);
        const json_t *list = json_object_get(page, "events");
        g_assert_cmpuint(json_array_size(list), ==, rows[i].n_events);
        g_assert_cmpint(json_integer_value(json_object_get(page, "next")), ==, (gint64)rows[i].next);
        g_assert_cmpint(json_integer_value(json_object_get(page, "lost")), ==, (gint64)rows[i].lost);
        for (gsize k = 1; k < json_array_size(list); k++)
            g_assert_cmpint(json_integer_value(json_object_get(json_array_get(list, k), "seq")), ==,
                            json_integer_value(json_object_get(json_array_get(list, k - 1), "seq")) + 1);
        json_decref(page);
    }
}

#define ADD(name, function) g_test_add("/station/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("store/add", test_store);
    ADD("store/resolve", test_store_resolve);
    ADD("store/limits", test_store_limits);
    ADD("store/hold", test_store_hold);
    ADD("store/damaged", test_store_damaged);
    ADD("vault/keys", test_vault);
    ADD("vault/list", test_vault_list);
    ADD("vault/shares", test_vault_shares);
    ADD("vault/modes", test_vault_modes);
    ADD("config/init", test_config);
    ADD("membership/load", test_membership);
    g_test_add_func("/station/events", test_events);
    return g_test_run();
}
