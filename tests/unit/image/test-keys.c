/* Key files, rings, trust lists, grants. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/evp.h>

#include "base/json.h"
#include "fixture.h"
#include "image/trust.h"
#include "image/envelope.h"
#include "image/secret.h"
#include "image/share.h"

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
    ImpSealOptions options = {
        .kind = IMP_IMAGE_SAP,
        .restrictions = {.count_on = IMP_COUNT_ON_PASS, .n_numbers = 1, .numbers = {{0, 10, 19}}},
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

static GBytes *sign_text(const char *text, const ImpKey *key)
{
    GError *error = NULL;
    GBytes *list = imp_cms_sign(text, strlen(text), key, &error);
    g_assert_no_error(error);
    return list;
}

/* The list that a root key signs: by whom, unchanged, of the one form. */
static void test_trust_list(Fixture *f, gconstpointer unused)
{
    static const guint16 suites[] = {IMP_IMAGE_SUITE_P256, IMP_IMAGE_SUITE_RSA};
    GError *error = NULL;
    g_autoptr(Keys) keys = keys_new();
    for (gsize s = 0; s < G_N_ELEMENTS(suites); s++) {
        g_autoptr(ImpKey) root = imp_key_generate(suites[s], IMP_KEY_ROOT, &error);
        g_autoptr(ImpKey) other = imp_key_generate(suites[s], IMP_KEY_ROOT, &error);
        g_autoptr(GBytes) file = imp_trust_list_sign(keys->authors, 7, root, &error);
        g_assert_no_error(error);
        g_autoptr(ImpTrustList) list = imp_trust_list_verify(file, imp_key_id(root), &error);
        g_assert_no_error(error);
        g_assert_cmpuint(list->number, ==, 7);
        g_assert_nonnull(imp_keyring_find(list->authors, imp_key_id(keys->author)));
        g_assert_false(imp_key_has_private(imp_keyring_at(list->authors, 0, NULL)));
        g_assert_null(imp_trust_list_verify(file, imp_key_id(other), &error));
        assert_refused(error, IMP_E_TRUST_ROOT);
        g_assert_null(imp_trust_list_sign(keys->authors, 8, keys->author, &error));
        assert_refused(error, IMP_E_KEY_ROLE);
        g_assert_null(imp_trust_list_sign(keys->image_keys, 8, root, &error));
        assert_refused(error, IMP_E_KEY_ROLE);

        gsize n;
        const guint8 *bytes = g_bytes_get_data(file, &n);
        g_autofree guint8 *copy = g_memdup2(bytes, n);
        for (gsize i = 0; i < n; i++) {
            copy[i] ^= 1;
            g_autoptr(GBytes) changed = g_bytes_new_static(copy, n);
            g_assert_null(imp_trust_list_verify(changed, imp_key_id(root), &error));
            g_clear_error(&error);
            copy[i] ^= 1;
            g_autoptr(GBytes) cut = g_bytes_new_from_bytes(file, 0, i);
            g_assert_null(imp_trust_list_verify(cut, imp_key_id(root), &error));
            g_clear_error(&error);
        }
        /* Another key behind the root's name; another document under the root's signature. */
        ImpCmsSigned parsed;
        g_assert_true(imp_cms_parse_signed(bytes, n, 0, &parsed, &error));
        g_autofree char *text = g_strndup((const char *)parsed.content, parsed.n_content);
        g_autoptr(GBytes) forged = sign_text(text, other);
        g_assert_null(imp_trust_list_verify(forged, NULL, &error));
        assert_refused(error, IMP_E_TRUST_LIST);
        g_autofree char *local = imp_trust_encode(keys->authors);
        g_autofree char *version =
            fixture_replace(text, "\"imprint-trust-list\":1", "\"imprint-trust-list\":2");
        g_autofree char *zero = fixture_replace(text, "\"number\":7", "\"number\":0");
        g_autofree char *space = fixture_replace(text, "\"number\":7", "\"number\": 7");
        g_autofree char *member = fixture_replace(text, "\"number\":7", "\"number\":7,\"pet\":1");
        const char *const bad[] = {local, version, zero, space, member, "{}"};
        for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
            g_autoptr(GBytes) wrong = sign_text(bad[i], root);
            g_assert_null(imp_trust_list_verify(wrong, imp_key_id(root), &error));
            assert_refused(error, IMP_E_TRUST_LIST);
        }
    }
}

static gboolean keep_none(const guint8 sha256[32], gpointer user)
{
    return FALSE;
}

/* Released by its cloud: neither image key nor share opens it alone, nor do those of another sealing. */
static void test_share(Fixture *f, gconstpointer unused)
{
    static const guint16 suites[] = {IMP_IMAGE_SUITE_P256, IMP_IMAGE_SUITE_RSA};
    for (gsize s = 0; s < G_N_ELEMENTS(suites); s++) {
        GError *error = NULL;
        g_autoptr(Keys) keys = keys_new_of(suites[s]);
        g_autoptr(ImpObject) object = fixture_object(500);
        g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, FIXTURE_JOB_RELEASED);
        g_autoptr(ImpSealed) other = fixture_seal(object, keys, FIXTURE_JOB_RELEASED);
        g_assert_true(sealed->clear->has_share);
        ImpVerified verified;
        g_assert_null(imp_image_open(sealed->file, keys->image_keys, keys->authors, &error));
        assert_refused(error, IMP_E_SHARE_MISSING);
        g_assert_true(imp_image_verify(sealed->file, keys->image_keys, keys->authors, &verified, &error));
        g_assert_cmpint(verified, ==, IMP_VERIFIED_MANIFEST);
        g_assert_true(fixture_verify_file(sealed->file, keys->image_keys, keys->authors, &verified, &error));
        g_assert_cmpint(verified, ==, IMP_VERIFIED_MANIFEST);
        g_assert_true(
            imp_keyring_add_share(keys->image_keys, other->clear->share_sha256, other->share->bytes, &error));
        g_assert_null(imp_image_open(sealed->file, keys->image_keys, keys->authors, &error));
        assert_refused(error, IMP_E_SHARE_MISSING);
        /* The share alone. */
        g_autoptr(ImpKeyRing) share_only = imp_keyring_new();
        g_assert_true(
            imp_keyring_add_share(share_only, sealed->clear->share_sha256, sealed->share->bytes, &error));
        g_assert_null(imp_image_open(sealed->file, share_only, keys->authors, &error));
        assert_refused(error, IMP_E_IMAGE_KEY_MISSING);
        /* Another one under its name: the payload does not open. */
        g_autoptr(ImpKeyRing) liar = imp_keyring_new();
        g_assert_true(imp_keyring_add(liar, "", keys->image_key, &error));
        g_assert_true(imp_keyring_add_share(liar, sealed->clear->share_sha256, other->share->bytes, &error));
        g_assert_null(imp_image_open(sealed->file, liar, keys->authors, &error));
        assert_refused(error, IMP_E_CHUNK_OPEN);
        g_assert_false(fixture_verify_file(sealed->file, liar, keys->authors, &verified, &error));
        assert_refused(error, IMP_E_CHUNK_OPEN);
        /* Both. */
        g_assert_true(imp_keyring_add_share(keys->image_keys, sealed->clear->share_sha256,
                                            sealed->share->bytes, &error));
        g_autoptr(ImpImage) image = imp_image_open(sealed->file, keys->image_keys, keys->authors, &error);
        g_assert_no_error(error);
        g_assert_true(fixture_verify_file(sealed->file, keys->image_keys, keys->authors, &verified, &error));
        g_assert_cmpint(verified, ==, IMP_VERIFIED_ALL);
        fixture_assert_image_of(object, image);
        g_assert_true(imp_image_verify(sealed->file, keys->image_keys, keys->authors, &verified, &error));
        g_assert_cmpint(verified, ==, IMP_VERIFIED_ALL);
        imp_keyring_filter_shares(keys->image_keys, keep_none, NULL);
        g_assert_null(imp_image_open(sealed->file, keys->image_keys, keys->authors, &error));
        assert_refused(error, IMP_E_SHARE_MISSING);
        /* The statement names it, so that the cloud takes no other. */
        g_autoptr(ImpStatement) statement = imp_statement_verify(sealed->statement, keys->authors, &error);
        g_assert_no_error(error);
        g_assert_true(statement->has_share);
        g_assert_cmpint(statement->rework, ==, object->content->rework);
        g_assert_cmpmem(statement->share_sha256, 32, sealed->clear->share_sha256, 32);
        g_assert_true(imp_statement_check_clear(statement, sealed->clear, &error));
        /* A SAP, or who has no image key, cannot be released so. */
        ImpSealOptions options = {
            .kind = IMP_IMAGE_SAP,
            .restrictions = {.count_on = IMP_COUNT_ON_PASS, .n_numbers = 1, .numbers = {{0, 10, 19}}},
            .author = keys->author,
            .image_key = keys->image_key,
            .release_by_cloud = TRUE,
            .random = imp_random_system()};
        g_assert_null(imp_image_seal(object, &options, &error));
        assert_refused(error, IMP_E_ARGUMENT);
    }
}

/* RFC 5869 by another hand: the openssl program derives the same payload key. */
static void test_share_derivation(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    guint8 share[32], key[32], derived[32], parsed[32];
    ImpId image = imp_id_random(imp_random_system());
    imp_random_fill(imp_random_system(), share, sizeof share);
    imp_random_fill(imp_random_system(), key, sizeof key);
    g_assert_true(imp_share_derive(share, key, &image, 0x01020304, derived, &error));
    char id[IMP_ID_TEXT_SIZE];
    g_autofree char *key_hex = imp_hex_encode(key, sizeof key);
    g_autofree char *share_hex = imp_hex_encode(share, sizeof share);
    g_autofree char *label_hex = imp_hex_encode((const guint8 *)"imprint-share-1\n", 16);
    g_autofree char *command = g_strdup_printf(
        "openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:%s -kdfopt hexsalt:%s -kdfopt "
        "hexinfo:%s%s01020304 HKDF",
        key_hex, share_hex, label_hex, imp_id_text(&image, id));
    g_autofree char *out = NULL;
    int status;
    g_assert_true(g_spawn_command_line_sync(command, &out, NULL, &status, &error));
    g_assert_cmpint(status, ==, 0);
    g_auto(GStrv) parts = g_strsplit(g_strstrip(out), ":", -1);
    g_autofree char *hex = g_strjoinv("", parts);
    g_assert_cmpint(imp_hex_decode(hex, parsed, sizeof parsed), ==, 32);
    g_assert_cmpmem(parsed, 32, derived, 32);
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

/* A cryptography library that can do nothing: told as what it is, nowhere taken for success. */
static void test_library(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    g_autoptr(Keys) keys = keys_new();
    guint8 share[32] = {1}, key[32] = {2}, derived[32];
    ImpId image = imp_id_random(imp_random_system());
    g_assert_cmpint(EVP_set_default_properties(NULL, "provider=nobody"), ==, 1);
    g_assert_false(imp_share_derive(share, key, &image, 0, derived, &error));
    assert_refused(error, IMP_E_CRYPTO);
    g_assert_null(imp_cms_sign("text", 4, keys->author, &error));
    assert_refused(error, IMP_E_CRYPTO);
    g_assert_cmpint(EVP_set_default_properties(NULL, ""), ==, 1);
    g_assert_true(imp_share_derive(share, key, &image, 0, derived, &error));
    g_assert_no_error(error);
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
    ADD("/keys/trust-list", test_trust_list);
    ADD("/keys/share", test_share);
    ADD("/keys/share-derivation", test_share_derivation);
    ADD("/keys/grant", test_grant);
    ADD("/keys/library", test_library);
    ADD("/keys/secret", test_secret);
    return g_test_run();
}
