/* Files that were written once must stay readable, and objects must come out as the same bytes. */
#include <glib/gstdio.h>
#include <string.h>

#include "fixture.h"
#include "image/trust.h"

static char *golden(const char *name)
{
    return g_test_build_filename(G_TEST_DIST, "golden", name, NULL);
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
    g_autofree char *trust_path = golden("v1-trust.json");
    g_autoptr(ImpKeyRing) authors = imp_trust_load(trust_path, &error);
    g_assert_no_error(error);
    g_autoptr(ImpObject) expected = fixture_object(300);

    /* The grant gives the image key, which is also there by itself. */
    g_autoptr(ImpKey) image_key = read_key("image.key");
    g_autoptr(ImpKey) station = read_key("station.key");
    g_autoptr(GBytes) grant = read_golden("v1.grant");
    g_autoptr(ImpKey) granted = imp_key_grant_open(grant, station, &error);
    g_assert_no_error(error);
    g_assert_true(imp_key_id_equal(imp_key_id(granted), imp_key_id(image_key)));
    g_autoptr(ImpKeyRing) image_keys = imp_keyring_new();
    g_assert_true(imp_keyring_add(image_keys, "granted", granted, &error));

    static const char *const images[] = {"v1-sap.imp", "v1-job.imp"};
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
            g_autoptr(GBytes) signed_statement = read_golden("v1-job.statement");
            g_autoptr(ImpStatement) statement = imp_statement_verify(signed_statement, authors, &error);
            g_assert_no_error(error);
            g_assert_true(imp_statement_check_clear(statement, clear, &error));
        }
    }
    g_autoptr(GBytes) object = read_golden("v1.impo");
    g_autoptr(GBytes) built = imp_object_encode(expected, &error);
    g_assert_true(g_bytes_equal(object, built));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/golden/version-1", test_version_1);
    return g_test_run();
}
