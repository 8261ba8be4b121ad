/* Key files, rings, trust lists, grants. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fixture.h"
#include "image/secret.h"

typedef struct {
    char *folder;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    f->folder = g_dir_make_tmp("imprint-keys-XXXXXX", NULL);
    g_assert_nonnull(f->folder);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    GDir *dir = g_dir_open(f->folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(f->folder, name, NULL);
        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_dir_close(dir);
    g_assert_cmpint(g_rmdir(f->folder), ==, 0);
    g_free(f->folder);
}

static char *path_in(const Fixture *f, const char *name)
{
    return g_build_filename(f->folder, name, NULL);
}

static guint mode_of(const char *path)
{
    struct stat info;
    g_assert_cmpint(stat(path, &info), ==, 0);
    return info.st_mode & 07777;
}

static void put(const char *path, const char *text, guint mode)
{
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(g_chmod(path, (int)mode), ==, 0);
}

static void test_files(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    g_autoptr(ImpKey) key = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_ANY, &error);
    g_assert_no_error(error);
    g_autofree char *private = path_in(f, "a.key");
    g_autofree char *public = path_in(f, "a.pub");
    g_assert_true(imp_key_save_private(key, private, &error));
    g_assert_true(imp_key_save_public(key, public, &error));
    g_assert_cmpuint(mode_of(private), ==, 0600);
    g_assert_cmpuint(mode_of(public), ==, 0644);
    g_autoptr(ImpKey) pair = imp_key_load(private, &error);
    g_assert_no_error(error);
    g_autoptr(ImpKey) half = imp_key_load(public, &error);
    g_assert_no_error(error);
    g_assert_true(imp_key_has_private(pair));
    g_assert_false(imp_key_has_private(half));
    g_assert_true(imp_key_id_equal(imp_key_id(pair), imp_key_id(key)));
    g_assert_true(imp_key_id_equal(imp_key_id(half), imp_key_id(key)));

    /* Nothing is overwritten; a public half has no private one. */
    g_assert_false(imp_key_save_private(key, private, &error));
    assert_refused(error, IMP_E_EXISTS);
    g_autofree char *other = path_in(f, "b.key");
    g_assert_false(imp_key_save_private(half, other, &error));
    assert_refused(error, IMP_E_KEY_PRIVATE_MISSING);
    g_assert_false(g_file_test(other, G_FILE_TEST_EXISTS));

    /* Others may read it: refused, until that is put right. */
    g_assert_cmpint(g_chmod(private, 0640), ==, 0);
    g_assert_null(imp_key_load(private, &error));
    assert_refused(error, IMP_E_KEY_MODE);
    g_assert_cmpint(g_chmod(private, 0400), ==, 0);
    g_autoptr(ImpKey) again = imp_key_load(private, &error);
    g_assert_no_error(error);
    g_autofree char *missing = path_in(f, "none");
    g_assert_null(imp_key_load(missing, &error));
    assert_refused(error, IMP_E_NOT_FOUND);
}

/* The ID is the digest of the SubjectPublicKeyInfo, and of nothing else. */
static void test_id(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    g_autoptr(ImpKey) key = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_ANY, &error);
    g_autoptr(GBytes) der = imp_key_public_der(key);
    g_assert_cmpuint(g_bytes_get_size(der), ==, 91); /* P-256, uncompressed point */
    g_autofree char *sum = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, der);
    char text[IMP_KEY_ID_TEXT_SIZE];
    g_assert_cmpstr(imp_key_id_text(imp_key_id(key), text), ==, sum);
    ImpKeyId id;
    g_assert_true(imp_key_id_parse(text, &id));
    g_assert_true(imp_key_id_equal(&id, imp_key_id(key)));
    g_autofree char *upper = g_ascii_strup(text, -1);
    g_assert_cmpint(imp_key_id_parse(upper, &id), ==, strcmp(upper, text) == 0);
    g_assert_false(imp_key_id_parse(text + 2, &id));
    g_autofree char *pem = imp_key_public_pem(key);
    g_autoptr(ImpKey) back = imp_key_from_public_pem(pem, &error);
    g_assert_no_error(error);
    g_assert_true(imp_key_id_equal(imp_key_id(back), imp_key_id(key)));
}

/* The file says what a pair is for; without that line it is for everything, as in version 0.1. */
static void test_roles(Fixture *f, gconstpointer unused)
{
    static const ImpKeyRole roles[] = {IMP_KEY_AUTHOR, IMP_KEY_IMAGE, IMP_KEY_STATION, IMP_KEY_ROOT};
    GError *error = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(roles); i++) {
        g_autoptr(ImpKey) key = imp_key_generate(IMP_IMAGE_SUITE_P256, roles[i], &error);
        g_assert_no_error(error);
        g_autofree char *secret = path_in(f, imp_key_role_name(roles[i]));
        g_autofree char *public = g_strconcat(secret, ".pub", NULL);
        g_assert_true(imp_key_save_private(key, secret, &error));
        g_assert_true(imp_key_save_public(key, public, &error));
        g_autoptr(ImpKey) pair = imp_key_load(secret, &error);
        g_assert_no_error(error);
        g_autoptr(ImpKey) half = imp_key_load(public, &error);
        g_assert_no_error(error);
        g_assert_cmpint(imp_key_role(pair), ==, roles[i]);
        g_assert_cmpint(imp_key_role(half), ==, roles[i]);
        for (gsize j = 0; j < G_N_ELEMENTS(roles); j++) {
            g_assert_cmpint(imp_key_check_role(half, roles[j], "key", &error), ==, i == j);
            if (i != j)
                assert_refused(error, IMP_E_KEY_ROLE);
        }
        /* Without its line: any. */
        g_autofree char *text = NULL;
        g_assert_true(g_file_get_contents(public, &text, NULL, NULL));
        g_autoptr(ImpKey) old = imp_key_from_public_pem(strstr(text, "-----BEGIN"), &error);
        g_assert_no_error(error);
        g_assert_cmpint(imp_key_role(old), ==, IMP_KEY_ANY);
        g_assert_true(imp_key_id_equal(imp_key_id(old), imp_key_id(key)));
        g_assert_true(imp_key_check_role(old, roles[i], "key", &error));
        g_autofree char *newer = g_strconcat("Imprint-Key: pet\n", strstr(text, "-----BEGIN"), NULL);
        g_assert_null(imp_key_from_public_pem(newer, &error));
        assert_refused(error, IMP_E_KEY_FILE);
    }
}

/* Nobody gets a key by mistake that is for something else. */
static void test_roles_kept(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    g_autoptr(Keys) keys = keys_new();
    g_assert_null(imp_key_grant_seal(keys->author, keys->station, &error));
    assert_refused(error, IMP_E_KEY_ROLE);
    g_assert_null(imp_key_grant_seal(keys->image_key, keys->image_key, &error));
    assert_refused(error, IMP_E_KEY_ROLE);
    g_autoptr(ImpObject) object = fixture_object(50);
    ImpSealOptions options = {.kind = IMP_IMAGE_SAP,
                              .restrictions = {.count_on = IMP_COUNT_ON_PASS,
                                               .has_numbers = TRUE,
                                               .first_number = 10,
                                               .last_number = 19},
                              .author = keys->image_key,
                              .random = imp_random_system()};
    g_assert_null(imp_image_seal(object, &options, &error));
    assert_refused(error, IMP_E_KEY_ROLE);
    options.author = keys->author;
    options.image_key = keys->station;
    g_assert_null(imp_image_seal(object, &options, &error));
    assert_refused(error, IMP_E_KEY_ROLE);
    /* Nor are two suites mixed. */
    g_autoptr(ImpKey) rsa = imp_key_generate(IMP_IMAGE_SUITE_RSA, IMP_KEY_IMAGE, &error);
    options.image_key = rsa;
    g_assert_null(imp_image_seal(object, &options, &error));
    assert_refused(error, IMP_E_ARGUMENT);
}

/* Image key and sealing key need not be of one suite. */
static void test_grant_suites(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    g_autoptr(Keys) p256 = keys_new();
    g_autoptr(Keys) rsa = keys_new_of(IMP_IMAGE_SUITE_RSA);
    const Keys *const both[] = {p256, rsa};
    for (gsize i = 0; i < 2; i++)
        for (gsize j = 0; j < 2; j++) {
            g_autoptr(GBytes) grant = imp_key_grant_seal(both[i]->image_key, both[j]->station, &error);
            g_assert_no_error(error);
            g_autoptr(ImpKey) key = imp_key_grant_open(grant, both[j]->station, &error);
            g_assert_no_error(error);
            g_assert_true(imp_key_id_equal(imp_key_id(key), imp_key_id(both[i]->image_key)));
            g_assert_cmpint(imp_key_role(key), ==, IMP_KEY_IMAGE);
            g_assert_null(imp_key_grant_open(grant, both[1 - j]->station, &error));
            g_assert_nonnull(error);
            g_clear_error(&error);
        }
}

/* RSA of another length, and EC on another curve. */
static void test_other_kinds(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    static const char *const commands[] = {
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out k.key",
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out k.key",
        "openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:3072 -out k.key",
    };
    g_autofree char *path = path_in(f, "k.key");
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_auto(GStrv) argv = g_strsplit(commands[i], " ", -1);
        int status;
        g_assert_true(
            g_spawn_sync(f->folder, argv, NULL,
                         G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                         NULL, NULL, NULL, &status, &error));
        g_assert_cmpint(status, ==, 0);
        g_assert_cmpint(g_chmod(path, 0600), ==, 0);
        g_assert_null(imp_key_load(path, &error));
        assert_refused(error, IMP_E_KEY_KIND);
    }
}

static void test_bad_files(Fixture *f, gconstpointer unused)
{
    static const struct {
        const char *text;
        ImpErrorCode code;
    } rows[] = {
        {"", IMP_E_KEY_FILE},
        {"hello", IMP_E_KEY_FILE},
        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", IMP_E_KEY_FILE},
        {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", IMP_E_KEY_FILE},
        /* An Ed25519 key (RFC 8410, section 10.1). */
        {"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
         "-----END PUBLIC KEY-----\n",
         IMP_E_KEY_KIND},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        GError *error = NULL;
        g_autofree char *path = path_in(f, "bad");
        put(path, rows[i].text, 0600);
        g_assert_null(imp_key_load(path, &error));
        assert_refused(error, rows[i].code);
    }
    GError *error = NULL;
    g_autofree char *path = path_in(f, "long");
    g_autofree char *text = g_strnfill(IMP_KEY_FILE_MAX + 1, 'x');
    put(path, text, 0600);
    g_assert_null(imp_key_load(path, &error));
    assert_refused(error, IMP_E_KEY_FILE);
    g_autoptr(ImpKey) key = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_ANY, &error);
    g_autoptr(GBytes) der = imp_key_public_der(key);
    for (gsize n = 0; n < g_bytes_get_size(der); n++) {
        g_autoptr(GBytes) cut = g_bytes_new_from_bytes(der, 0, n);
        g_assert_null(imp_key_from_public_der(cut, &error));
        assert_refused(error, IMP_E_KEY_FILE);
    }
}

static void test_ring(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    g_autoptr(ImpKeyRing) ring = imp_keyring_new();
    g_autoptr(ImpKey) a = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_ANY, &error);
    g_autoptr(ImpKey) b = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_ANY, &error);
    g_assert_true(imp_keyring_add(ring, "a", a, &error));
    g_assert_true(imp_keyring_add(ring, "b", b, &error));
    g_assert_true(imp_keyring_add(ring, "A", a, &error));
    g_assert_cmpuint(imp_keyring_size(ring), ==, 2);
    const char *name;
    g_assert_true(imp_keyring_at(ring, 0, &name) == a);
    g_assert_cmpstr(name, ==, "A");
    g_assert_true(imp_keyring_find(ring, imp_key_id(b)) == b);
    g_assert_true(imp_keyring_remove(ring, imp_key_id(b)));
    g_assert_false(imp_keyring_remove(ring, imp_key_id(b)));
    g_assert_null(imp_keyring_find(ring, imp_key_id(b)));
    g_autofree char *long_name = g_strnfill(IMP_KEYRING_NAME_MAX + 1, 'n');
    g_assert_false(imp_keyring_add(ring, long_name, b, &error));
    assert_refused(error, IMP_E_LIMIT);
}

static void test_trust(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    g_autoptr(Keys) keys = keys_new();
    g_autofree char *path = path_in(f, "trust.json");
    g_assert_true(imp_trust_save(keys->authors, path, &error));
    g_autoptr(ImpKeyRing) back = imp_trust_load(path, &error);
    g_assert_no_error(error);
    const char *name;
    const ImpKey *key = imp_keyring_at(back, 0, &name);
    g_assert_cmpstr(name, ==, "author");
    g_assert_true(imp_key_id_equal(imp_key_id(key), imp_key_id(keys->author)));
    g_assert_false(imp_key_has_private(key)); /* a pair in the ring: only its public half is written */

    g_autofree char *text = imp_trust_encode(keys->authors);
    char id[IMP_KEY_ID_TEXT_SIZE];
    imp_key_id_text(imp_key_id(keys->image_key), id);
    char *at = strstr(text, "\"key\":\"") + 7;
    g_autofree char *swapped = g_strdup_printf("%.*s%s%s", (int)(at - text), text, id, at + 64);
    g_autofree char *version = fixture_replace(text, "\"imprint-trust\":1", "\"imprint-trust\":2");
    g_autofree char *member = fixture_replace(text, "\"imprint-trust\":1", "\"imprint-trust\":1,\"root\":0");
    const char *const bad[] = {"", "[]", "{}", swapped, version, member};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_null(imp_trust_decode(bad[i], strlen(bad[i]), &error));
        assert_refused(error, IMP_E_TRUST_LIST);
    }
    g_autofree char *missing = path_in(f, "none");
    g_assert_null(imp_trust_load(missing, &error));
    assert_refused(error, IMP_E_NOT_FOUND);
}

static void test_grant(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    g_autoptr(Keys) keys = keys_new();
    g_autoptr(GBytes) station_der = imp_key_public_der(keys->station);
    g_autoptr(ImpKey) station_half = imp_key_from_public_der(station_der, &error);
    g_autoptr(GBytes) grant = imp_key_grant_seal(keys->image_key, station_half, &error);
    g_assert_no_error(error);
    g_autoptr(ImpKey) granted = imp_key_grant_open(grant, keys->station, &error);
    g_assert_no_error(error);
    g_assert_true(imp_key_has_private(granted));
    g_assert_true(imp_key_id_equal(imp_key_id(granted), imp_key_id(keys->image_key)));

    /* What was granted opens images. */
    g_autoptr(ImpObject) object = fixture_object(50);
    g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, FIXTURE_JOB_ENCRYPTED);
    g_autoptr(ImpKeyRing) ring = imp_keyring_new();
    g_assert_true(imp_keyring_add(ring, "granted", granted, &error));
    g_autoptr(ImpImage) image = imp_image_open(sealed->file, ring, keys->authors, &error);
    g_assert_no_error(error);

    g_assert_null(imp_key_grant_open(grant, keys->author, &error));
    assert_refused(error, IMP_E_GRANT_OPEN);
    g_assert_null(imp_key_grant_open(grant, station_half, &error));
    assert_refused(error, IMP_E_KEY_PRIVATE_MISSING);
    g_autoptr(GBytes) image_der = imp_key_public_der(keys->image_key);
    g_autoptr(ImpKey) image_half = imp_key_from_public_der(image_der, &error);
    g_assert_null(imp_key_grant_seal(image_half, keys->station, &error));
    assert_refused(error, IMP_E_KEY_PRIVATE_MISSING);

    gsize n;
    const guint8 *bytes = g_bytes_get_data(grant, &n);
    g_autofree guint8 *copy = g_memdup2(bytes, n);
    for (gsize i = 0; i < n; i++) {
        copy[i] ^= 1;
        g_autoptr(GBytes) changed = g_bytes_new_static(copy, n);
        g_assert_null(imp_key_grant_open(changed, keys->station, &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
        copy[i] ^= 1;
        g_autoptr(GBytes) cut = g_bytes_new_from_bytes(grant, 0, i);
        g_assert_null(imp_key_grant_open(cut, keys->station, &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
    }
    /* An image's own envelope is no grant, even to the same key. */
    g_autoptr(GBytes) envelope = fixture_envelope(sealed->file);
    g_assert_null(imp_key_grant_open(envelope, keys->image_key, &error));
    assert_refused(error, IMP_E_GRANT_OPEN);
}

static void test_secret(Fixture *f, gconstpointer unused)
{
    g_autoptr(ImpSecret) secret = imp_secret_new(5000);
    g_assert_nonnull(secret);
    for (gsize i = 0; i < 5000; i++)
        g_assert_cmpuint(secret->bytes[i], ==, 0);
    memset(secret->bytes, 0xa5, 5000);
    GBytes *bytes = imp_secret_to_bytes(g_steal_pointer(&secret));
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, 5000);
    g_bytes_unref(bytes);
    g_assert_null(imp_secret_new(G_MAXSIZE));
    g_assert_null(imp_secret_new(G_MAXSIZE / 2));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
    ADD("/keys/files", test_files);
    ADD("/keys/id", test_id);
    ADD("/keys/roles", test_roles);
    ADD("/keys/roles-kept", test_roles_kept);
    ADD("/keys/grant-suites", test_grant_suites);
    ADD("/keys/other-kinds", test_other_kinds);
    ADD("/keys/bad-files", test_bad_files);
    ADD("/keys/ring", test_ring);
    ADD("/keys/trust", test_trust);
    ADD("/keys/grant", test_grant);
    ADD("/keys/secret", test_secret);
    return g_test_run();
}
