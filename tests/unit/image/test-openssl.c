/* The openssl program as judge: it opens and verifies our envelopes with the right keys and fails with wrong ones; and what
 * it makes by other rules than those of the two suites is refused here. */
#include <glib/gstdio.h>
#include <string.h>

#include "fixture.h"
#include "image/envelope.h"

typedef struct {
    Keys *keys, *others;
    ImpObject *object;
    char *folder;
} Fixture;

/* Runs a command in the fixture's folder; TRUE if it ends with 0. */
static gboolean run(const Fixture *f, const char *command)
{
    GError *error = NULL;
    g_auto(GStrv) argv = g_strsplit(command, " ", -1);
    g_autofree char *err = NULL;
    int status;
    gboolean spawned = g_spawn_sync(f->folder, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL,
                                    NULL, NULL, NULL, &err, &status, &error);
    if (!spawned)
        g_error("%s: %s (package openssl)", command, error->message);
    if (!g_spawn_check_wait_status(status, NULL))
        g_test_message("%s: %s", command, g_strstrip(err));
    return g_spawn_check_wait_status(status, NULL);
}

static void run_well(const Fixture *f, const char *command)
{
    if (!run(f, command))
        g_error("failed: %s", command);
}

static char *path_in(const Fixture *f, const char *name)
{
    return g_build_filename(f->folder, name, NULL);
}

static void put_file(const Fixture *f, const char *name, GBytes *bytes)
{
    g_autofree char *path = path_in(f, name);
    gsize n;
    const char *data = g_bytes_get_data(bytes, &n);
    g_assert_true(g_file_set_contents(path, data, (gssize)n, NULL));
}

static GBytes *get_file(const Fixture *f, const char *name)
{
    g_autofree char *path = path_in(f, name);
    char *data;
    gsize n;
    g_assert_true(g_file_get_contents(path, &data, &n, NULL));
    return g_bytes_new_take(data, n);
}

/* name.key, and name.crt around it: a certificate with the key's ID, as an auditor would make it. */
static void put_key(const Fixture *f, const char *name, const ImpKey *key)
{
    GError *error = NULL;
    char id[IMP_KEY_ID_TEXT_SIZE];
    g_autofree char *file = g_strconcat(name, ".key", NULL);
    g_autofree char *path = path_in(f, file);
    g_assert_true(imp_key_save_private(key, path, &error));
    g_autofree char *command = g_strdup_printf(
        "openssl req -x509 -new -key %s.key -subj /CN=%s -addext subjectKeyIdentifier=%s -out %s.crt", name,
        name, imp_key_id_text(imp_key_id(key), id), name);
    run_well(f, command);
}

static void set_up(Fixture *f, gconstpointer data)
{
    GError *error = NULL;
    f->keys = keys_share(((const Keys *const *)data)[0]);
    f->others = keys_share(((const Keys *const *)data)[1]);
    f->object = fixture_object(300);
    f->folder = g_dir_make_tmp("imprint-cms-XXXXXX", &error);
    g_assert_no_error(error);
    put_key(f, "author", f->keys->author);
    put_key(f, "image", f->keys->image_key);
    put_key(f, "other", f->others->image_key);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    GDir *dir = g_dir_open(f->folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = path_in(f, name);
        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_dir_close(dir);
    g_assert_cmpint(g_rmdir(f->folder), ==, 0);
    g_free(f->folder);
    imp_object_free(f->object);
    keys_free(f->keys);
    keys_free(f->others);
}

#define DECRYPT "openssl cms -decrypt -binary -inform DER -in envelope.der -out signed.der"
#define VERIFY  "openssl cms -verify -binary -inform DER -noverify -nointern -in signed.der -out manifest.json"

static void test_opens(Fixture *f, gconstpointer unused)
{
    g_autoptr(ImpSealed) sealed = fixture_seal(f->object, f->keys, FIXTURE_JOB_ENCRYPTED);
    g_autoptr(GBytes) envelope = fixture_envelope(sealed->file);
    put_file(f, "envelope.der", envelope);
    run_well(f, DECRYPT " -inkey image.key -recip image.crt");
    run_well(f, VERIFY " -certfile author.crt");
    g_autoptr(GBytes) manifest = get_file(f, "manifest.json");
    g_autofree char *expected = fixture_manifest(sealed->file, f->keys);
    g_assert_cmpmem(g_bytes_get_data(manifest, NULL), g_bytes_get_size(manifest), expected, strlen(expected));

    g_assert_false(run(f, VERIFY " -certfile other.crt"));
    g_assert_false(run(f, VERIFY));
    g_assert_false(run(f, DECRYPT " -inkey other.key -recip other.crt"));
    g_assert_false(run(f, DECRYPT " -inkey author.key -recip author.crt"));
}

/* A certificate that claims the author's ID around another key. */
static void test_wrong_key_right_id(Fixture *f, gconstpointer unused)
{
    g_autoptr(ImpSealed) sealed = fixture_seal(f->object, f->keys, FIXTURE_SAP);
    g_autoptr(GBytes) envelope = fixture_envelope(sealed->file);
    char id[IMP_KEY_ID_TEXT_SIZE];
    put_file(f, "signed.der", envelope);
    run_well(f, VERIFY " -certfile author.crt");
    g_autofree char *command = g_strdup_printf(
        "openssl req -x509 -new -key other.key -subj /CN=x -addext subjectKeyIdentifier=%s -out liar.crt",
        imp_key_id_text(imp_key_id(f->keys->author), id));
    run_well(f, command);
    g_assert_false(run(f, VERIFY " -certfile liar.crt"));
}

/* The registration statement and the key grant are of the same forms. */
static void test_statement_and_grant(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    g_autoptr(ImpSealed) sealed = fixture_seal(f->object, f->keys, FIXTURE_JOB_ENCRYPTED);
    put_file(f, "signed.der", sealed->statement);
    run_well(f, VERIFY " -certfile author.crt");
    g_assert_false(run(f, VERIFY " -certfile other.crt"));
    put_key(f, "station", f->keys->station);
    g_autoptr(GBytes) grant = imp_key_grant_seal(f->keys->image_key, f->keys->station, &error);
    g_assert_no_error(error);
    put_file(f, "envelope.der", grant);
    run_well(f, DECRYPT " -inkey station.key -recip station.crt");
    g_assert_false(run(f, DECRYPT " -inkey other.key -recip other.crt"));
}

/* No certificate and no name of one in what we make. */
static void test_no_certificates(Fixture *f, gconstpointer unused)
{
    g_autoptr(ImpSealed) sealed = fixture_seal(f->object, f->keys, FIXTURE_SAP);
    g_autoptr(GBytes) envelope = fixture_envelope(sealed->file);
    gsize n;
    const void *bytes = g_bytes_get_data(envelope, &n);
    g_assert_null(memmem(bytes, n, "\x55\x04\x03", 3)); /* id-at-commonName */
    g_assert_null(memmem(bytes, n, "\x55\x1d\x0e", 3)); /* id-ce-subjectKeyIdentifier */
}

typedef struct {
    const char *command;
    gboolean encrypted;
    ImpErrorCode code; /* 0: the form of the suite */
} Row;

/* What openssl makes of the same manifest with the same keys, in place of our envelope. */
static void test_other_forms(Fixture *f, gconstpointer unused)
{
#define SIGN                                                                                                 \
    "openssl cms -sign -binary -nodetach -md sha256 -signer author.crt -inkey author.key -in manifest.json "
#define ENCRYPT "openssl cms -encrypt -binary -in good.der -outform DER -out made.der -recip image.crt "
    static const Row p256_rows[] = {
        {ENCRYPT "-aes-256-gcm -keyid -keyopt ecdh_kdf_md:sha256", TRUE, 0},
        {ENCRYPT "-aes-256-cbc -keyid -keyopt ecdh_kdf_md:sha256", TRUE, IMP_E_ENVELOPE_CIPHER},
        {ENCRYPT "-aes-128-cbc -keyid", TRUE, IMP_E_ENVELOPE_CIPHER},
        {ENCRYPT "-aes-128-gcm -keyid -keyopt ecdh_kdf_md:sha256", TRUE, IMP_E_ENVELOPE_SHAPE},
        {ENCRYPT "-aes-256-gcm -keyid", TRUE, IMP_E_ENVELOPE_SHAPE}, /* SHA-1 in the KDF */
        {ENCRYPT "-aes-256-gcm -keyopt ecdh_kdf_md:sha256", TRUE, IMP_E_ENVELOPE_SHAPE}, /* by issuer */
        {SIGN "-noattr -nocerts -keyid -outform DER -out made.der", FALSE, 0},
        {SIGN "-noattr -keyid -outform DER -out made.der", FALSE,
         IMP_E_ENVELOPE_SHAPE}, /* with certificate */
        {SIGN "-nocerts -keyid -outform DER -out made.der", FALSE,
         IMP_E_ENVELOPE_SHAPE}, /* with attributes */
        {SIGN "-noattr -nocerts -outform DER -out made.der", FALSE, IMP_E_ENVELOPE_SHAPE}, /* by issuer */
        {SIGN "-noattr -nocerts -keyid -md sha512 -outform DER -out made.der", FALSE, IMP_E_ENVELOPE_SHAPE},
    };
#define OAEP " -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:"
#define PSS  "-keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:"
#define RAW  " -noattr -nocerts -keyid -outform DER -out made.der"
    static const Row rsa_rows[] = {
        {ENCRYPT "-aes-256-gcm -keyid" OAEP "sha256", TRUE, 0},
        {ENCRYPT "-aes-256-cbc -keyid" OAEP "sha256", TRUE, IMP_E_ENVELOPE_CIPHER},
        {ENCRYPT "-aes-128-gcm -keyid" OAEP "sha256", TRUE, IMP_E_ENVELOPE_CIPHER},
        {ENCRYPT "-aes-256-gcm -keyid" OAEP "sha1", TRUE, IMP_E_ENVELOPE_SHAPE},
        {ENCRYPT "-aes-256-gcm -keyid" OAEP "sha512", TRUE, IMP_E_ENVELOPE_SHAPE},
        {ENCRYPT "-aes-256-gcm -keyid", TRUE, IMP_E_ENVELOPE_SHAPE}, /* PKCS#1 v1.5 */
        {ENCRYPT "-aes-256-gcm" OAEP "sha256", TRUE, IMP_E_ENVELOPE_SHAPE}, /* by issuer */
        {SIGN PSS "32" RAW, FALSE, 0},
        {SIGN PSS "20" RAW, FALSE, IMP_E_ENVELOPE_SHAPE},
        {SIGN PSS "32 -keyopt rsa_mgf1_md:sha1" RAW, FALSE, IMP_E_ENVELOPE_SHAPE},
        {SIGN "-binary" RAW, FALSE, IMP_E_ENVELOPE_SHAPE}, /* PKCS#1 v1.5 */
        {SIGN PSS "32 -noattr -keyid -outform DER -out made.der", FALSE, IMP_E_ENVELOPE_SHAPE},
        {SIGN PSS "32 -nocerts -keyid -outform DER -out made.der", FALSE, IMP_E_ENVELOPE_SHAPE},
        {SIGN PSS "32 -md sha512" RAW, FALSE, IMP_E_ENVELOPE_SHAPE},
    };
    gboolean rsa = imp_key_suite(f->keys->author) == IMP_IMAGE_SUITE_RSA;
    const Row *rows = rsa ? rsa_rows : p256_rows;
    for (gsize i = 0; i < (rsa ? G_N_ELEMENTS(rsa_rows) : G_N_ELEMENTS(p256_rows)); i++) {
        GError *error = NULL;
        g_autoptr(ImpSealed) sealed =
            fixture_seal(f->object, f->keys, rows[i].encrypted ? FIXTURE_SAP_ENCRYPTED : FIXTURE_SAP);
        g_autofree char *manifest = fixture_manifest(sealed->file, f->keys);
        g_autoptr(GBytes) text = g_bytes_new(manifest, strlen(manifest));
        put_file(f, "manifest.json", text);
        g_autoptr(GBytes) good = imp_cms_sign(manifest, strlen(manifest), f->keys->author, &error);
        g_assert_no_error(error);
        put_file(f, "good.der", good);
        run_well(f, rows[i].command);
        g_autoptr(GBytes) made = get_file(f, "made.der");
        g_autoptr(GBytes) file = fixture_rebuild(sealed->file, NULL, made);
        g_autoptr(ImpImage) image = imp_image_open(file, f->keys->image_keys, f->keys->authors, &error);
        g_test_message("%s: %s", rows[i].command, error != NULL ? error->message : "opened");
        /* The right form is let in as far as its length, which is bound by the manifest, allows. */
        if (rows[i].code == 0 && image == NULL)
            g_assert_error(error, IMP_ERROR, IMP_E_MANIFEST_LENGTH);
        else if (rows[i].code != 0)
            g_assert_error(error, IMP_ERROR, (int)rows[i].code);
        g_clear_error(&error);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(Keys) p256 = keys_new();
    g_autoptr(Keys) p256_others = keys_new();
    g_autoptr(Keys) rsa = keys_new_of(IMP_IMAGE_SUITE_RSA);
    g_autoptr(Keys) rsa_others = keys_new_of(IMP_IMAGE_SUITE_RSA);
    const Keys *const suite_1[] = {p256, p256_others}, *const suite_2[] = {rsa, rsa_others};
#define ADD(name, function)                                                                                  \
    g_test_add(name, Fixture, suite_1, set_up, function, tear_down);                                         \
    g_test_add("/suite-2" name, Fixture, suite_2, set_up, function, tear_down)
    ADD("/openssl/opens", test_opens);
    ADD("/openssl/wrong-key-right-id", test_wrong_key_right_id);
    ADD("/openssl/statement-and-grant", test_statement_and_grant);
    ADD("/openssl/no-certificates", test_no_certificates);
    ADD("/openssl/other-forms", test_other_forms);
    return g_test_run();
}
