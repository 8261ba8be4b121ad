/* Files that were written once must stay readable, and objects must come out as the same bytes. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/json.h"
#include "fixture.h"
#include "image/diff.h"
#include "image/share.h"
#include "image/trust.h"

/* "v1-first/v1-job.imp" */
static char *golden(const char *name)
{
    return g_test_build_filename(G_TEST_DIST, "..", "..", "fixtures", name, NULL);
}

static GBytes *read_golden(const char *name)
{
    GError *error = NULL;
    g_autofree char *path = golden(name);
    GBytes *bytes = imp_image_read_file(path, 1 << 20, &error);
    g_assert_no_error(error);
    return bytes;
}

/* A checkout gives files to everyone; key files must be private: a private copy. */
static ImpKey *read_key(const char *name)
{
    GError *error = NULL;
    g_autoptr(GBytes) pem = read_golden(name);
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("imprint-golden-XXXXXX", &path, &error); /* mode 0600 */
    g_assert_no_error(error);
    g_close(fd, NULL);
    gsize n;
    const char *data = g_bytes_get_data(pem, &n);
    g_assert_true(g_file_set_contents_full(path, data, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600, &error));
    ImpKey *key = imp_key_load(path, &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_unlink(path), ==, 0);
    return key;
}

static void test_version_1(void)
{
    GError *error = NULL;
    g_autofree char *trust_path = golden("v1-first/v1-trust.json");
    g_autoptr(ImpKeyRing) authors = imp_trust_load(trust_path, &error);
    g_assert_no_error(error);
    g_autoptr(ImpObject) expected = fixture_object(300);

    /* The grant gives the image key, which is also there by itself. */
    g_autoptr(ImpKey) image_key = read_key("v1-first/image.key");
    g_autoptr(ImpKey) station = read_key("v1-first/station.key");
    g_autoptr(GBytes) grant = read_golden("v1-first/v1.grant");
    g_autoptr(ImpKey) granted = imp_key_grant_open(grant, station, &error);
    g_assert_no_error(error);
    g_assert_true(imp_key_id_equal(imp_key_id(granted), imp_key_id(image_key)));
    g_autoptr(ImpKeyRing) image_keys = imp_keyring_new();
    g_assert_true(imp_keyring_add(image_keys, "granted", granted, &error));

    static const char *const images[] = {"v1-first/v1-sap.imp", "v1-first/v1-job.imp"};
    for (gsize i = 0; i < G_N_ELEMENTS(images); i++) {
        g_autofree char *path = golden(images[i]);
        g_autoptr(ImpImage) image = imp_image_load(path, image_keys, authors, &error);
        g_assert_no_error(error);
        fixture_assert_same_content(expected->content, image->content);
        g_assert_cmpmem(image->content_sha256, 32, expected->content_sha256, 32);
        g_autoptr(ImpClear) clear = imp_clear_read_file(path, &error);
        g_assert_no_error(error);
        g_assert_true(imp_id_equal(&clear->id, &image->clear->id));
        if (clear->kind == IMP_IMAGE_JOB) {
            g_autoptr(GBytes) signed_statement = read_golden("v1-first/v1-job.statement");
            g_autoptr(ImpStatement) statement = imp_statement_verify(signed_statement, authors, &error);
            g_assert_no_error(error);
            g_assert_true(imp_statement_check_clear(statement, clear, &error));
        }
    }
    g_autoptr(GBytes) object = read_golden("v1-first/v1.impo");
    g_autoptr(GBytes) built = imp_object_encode(expected, &error);
    g_assert_true(g_bytes_equal(object, built));
}

/* ---- v1-full: both suites, one of everything ------------------------------------------------------------------------ */

static char *full(const char *suite, const char *name)
{
    return g_strdup_printf("v1-full/%s-%s", suite, name);
}

static GBytes *read_full(const char *suite, const char *name)
{
    g_autofree char *path = full(suite, name);
    return read_golden(path);
}

static ImpKey *key_full(const char *suite, const char *name)
{
    g_autofree char *path = full(suite, name);
    return read_key(path);
}

static void check_image(const char *suite, const char *name, const ImpObject *object,
                        const ImpKeyRing *image_keys, const ImpKeyRing *authors)
{
    GError *error = NULL;
    g_autofree char *file_name = g_strconcat(name, ".imp", NULL);
    g_autoptr(GBytes) file = read_full(suite, file_name);
    g_autoptr(ImpImage) image = imp_image_open(file, image_keys, authors, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(image->content_sha256, 32, object->content_sha256, 32);
    g_assert_true(image->restrictions.has_units);
    g_assert_cmpuint(image->restrictions.units, ==, 6);
    g_autoptr(GBytes) object_file = read_golden("v1-full/object.impo");
    g_autoptr(GPtrArray) lines = imp_diff(object_file, file, image_keys, authors, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(lines->len, ==, 1); /* one is an object, the other an image */
    if (image->clear->kind == IMP_IMAGE_SAP)
        return;
    g_autofree char *statement_name = g_strconcat(name, ".statement", NULL);
    g_autoptr(GBytes) signed_statement = read_full(suite, statement_name);
    g_autoptr(ImpStatement) statement = imp_statement_verify(signed_statement, authors, &error);
    g_assert_no_error(error);
    g_assert_true(imp_statement_check_clear(statement, image->clear, &error));
}

static void test_full(gconstpointer data)
{
    const char *suite = data;
    GError *error = NULL;
    g_autoptr(GBytes) object_file = read_golden("v1-full/object.impo");
    g_autoptr(ImpObject) object = imp_object_decode(object_file, &error);
    g_assert_no_error(error);
    /* The same bytes again. */
    g_autoptr(GBytes) again = imp_object_encode(object, &error);
    g_assert_true(g_bytes_equal(object_file, again));
    g_autoptr(ImpKey) author = key_full(suite, "author.key");
    g_autoptr(ImpKey) image_key = key_full(suite, "image.key");
    g_autoptr(ImpKey) station = key_full(suite, "station.key");
    g_autoptr(ImpKey) root = key_full(suite, "root.key");
    g_assert_cmpint(imp_key_role(author), ==, IMP_KEY_AUTHOR);
    g_assert_cmpint(imp_key_role(image_key), ==, IMP_KEY_IMAGE);
    g_assert_cmpint(imp_key_role(station), ==, IMP_KEY_STATION);
    g_assert_cmpint(imp_key_role(root), ==, IMP_KEY_ROOT);
    g_autoptr(GBytes) grant = read_full(suite, "image.grant");
    g_autoptr(ImpKey) granted = imp_key_grant_open(grant, station, &error);
    g_assert_no_error(error);
    g_assert_true(imp_key_id_equal(imp_key_id(granted), imp_key_id(image_key)));
    g_autoptr(GBytes) list_file = read_full(suite, "account.trust");
    g_autoptr(ImpTrustList) list = imp_trust_list_verify(list_file, imp_key_id(root), &error);
    g_assert_no_error(error);
    g_assert_cmpuint(list->number, ==, 3);
    g_autofree char *trust_name = full(suite, "authors.json");
    g_autofree char *trust_path = golden(trust_name);
    g_autoptr(ImpKeyRing) authors = imp_trust_load(trust_path, &error);
    g_assert_no_error(error);
    g_assert_nonnull(imp_keyring_find(authors, imp_key_id(author)));
    g_assert_nonnull(imp_keyring_find(list->authors, imp_key_id(author)));

    g_autoptr(ImpKeyRing) image_keys = imp_keyring_new();
    g_assert_true(imp_keyring_add(image_keys, "granted", granted, &error));
    guint8 share[IMP_SHARE_BYTES], digest[IMP_SHA256_BYTES];
    g_autoptr(GBytes) hex = read_full(suite, "job-released.share");
    g_autofree char *digits = g_strndup(g_bytes_get_data(hex, NULL), g_bytes_get_size(hex));
    g_assert_cmpint(imp_hex_decode(digits, share, sizeof share), ==, IMP_SHARE_BYTES);
    imp_share_digest(share, digest);
    g_assert_true(imp_keyring_add_share(image_keys, digest, share, &error));
    static const char *const images[] = {"sap", "sap-encrypted", "job", "job-released"};
    for (gsize i = 0; i < G_N_ELEMENTS(images); i++)
        check_image(suite, images[i], object, image_keys, authors);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/golden/version-1", test_version_1);
    g_test_add_data_func("/golden/full/p256", "p256", test_full);
    g_test_add_data_func("/golden/full/rsa", "rsa", test_full);
    return g_test_run();
}
