/* Writes the files of tests/fixtures/v1-full anew, into the folder of its argument. Not a test: run by hand when a version gets
 * files of its own; those that are there stay as they are for ever. */
#include <string.h>

#include "base/json.h"
#include "fixture.h"
#include "image/share.h"
#include "image/trust.h"

static const char *folder;

static char *path_of(const char *suite, const char *name)
{
    return g_strdup_printf("%s/%s%s%s", folder, suite, suite[0] != '\0' ? "-" : "", name);
}

static void put(const char *suite, const char *name, GBytes *bytes)
{
    GError *error = NULL;
    g_autofree char *path = path_of(suite, name);
    gsize n;
    const char *data = g_bytes_get_data(bytes, &n);
    if (!g_file_set_contents(path, data, (gssize)n, &error))
        g_error("%s", error->message);
}

static void put_key(const char *suite, const char *name, const ImpKey *key)
{
    GError *error = NULL;
    g_autofree char *path = path_of(suite, name);
    if (!imp_key_save_private(key, path, &error))
        g_error("%s", error->message);
}

static void put_text(const char *suite, const char *name, const char *text)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    put(suite, name, bytes);
}

static void put_image(const char *suite, const char *name, const ImpObject *object, const Keys *keys,
                      FixtureKind kind)
{
    g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, kind);
    g_autofree char *file = g_strconcat(name, ".imp", NULL);
    g_autofree char *statement = g_strconcat(name, ".statement", NULL);
    g_autofree char *share = g_strconcat(name, ".share", NULL);
    put(suite, file, sealed->file);
    if (sealed->statement != NULL)
        put(suite, statement, sealed->statement);
    if (sealed->share != NULL) {
        g_autofree char *hex = imp_hex_encode(sealed->share->bytes, IMP_SHARE_BYTES);
        put_text(suite, share, hex);
    }
}

static void put_suite(const char *suite, guint16 number, const ImpObject *object)
{
    GError *error = NULL;
    g_autoptr(Keys) keys = keys_new_of(number);
    g_autoptr(ImpKey) root = imp_key_generate(number, IMP_KEY_ROOT, &error);
    put_key(suite, "author.key", keys->author);
    put_key(suite, "image.key", keys->image_key);
    put_key(suite, "station.key", keys->station);
    put_key(suite, "root.key", root);
    put_image(suite, "sap", object, keys, FIXTURE_SAP);
    put_image(suite, "sap-encrypted", object, keys, FIXTURE_SAP_ENCRYPTED);
    put_image(suite, "job", object, keys, FIXTURE_JOB_ENCRYPTED);
    put_image(suite, "job-released", object, keys, FIXTURE_JOB_RELEASED);
    g_autoptr(GBytes) grant = imp_key_grant_seal(keys->image_key, keys->station, &error);
    g_autoptr(GBytes) list = imp_trust_list_sign(keys->authors, 3, root, &error);
    g_assert_no_error(error);
    put(suite, "image.grant", grant);
    put(suite, "account.trust", list);
    g_autofree char *trust = imp_trust_encode(keys->authors);
    put_text(suite, "authors.json", trust);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        g_error("usage: make-fixtures FOLDER");
    folder = argv[1];
    GError *error = NULL;
    g_autoptr(ImpObject) object = imp_object_new(fixture_everything(), NULL, 0, &error);
    g_assert_no_error(error);
    g_autoptr(GBytes) file = imp_object_encode(object, &error);
    put("", "object.impo", file);
    put_suite("p256", IMP_IMAGE_SUITE_P256, object);
    put_suite("rsa", IMP_IMAGE_SUITE_RSA, object);
    return 0;
}
