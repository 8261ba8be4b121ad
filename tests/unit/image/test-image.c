/* Sealing and opening: what goes in comes out, and nothing else is let in. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

static const FixtureKind kinds[] = {FIXTURE_SAP, FIXTURE_SAP_ENCRYPTED, FIXTURE_JOB_ENCRYPTED};

static void test_round_trip(gconstpointer suite_keys)
{
    g_autoptr(Keys) keys = keys_share(suite_keys);
    g_autoptr(ImpObject) object = fixture_object(5000);
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        GError *error = NULL;
        g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, kinds[i]);
        g_autoptr(ImpImage) image = imp_image_open(sealed->file, keys->image_keys, keys->authors, &error);
        g_assert_no_error(error);
        fixture_assert_image_of(object, image);
        g_assert_cmpmem(image->provenance_sha256, 32, object->provenance_sha256, 32);
        g_assert_true(imp_id_equal(&image->clear->id, &sealed->clear->id));
        g_assert_cmpuint(image->restrictions.units, ==, 6);
        g_assert_true(image->restrictions.has_units);
        g_assert_false(image->restrictions.has_not_after);
        g_assert_cmpint(image->clear->encrypted, ==, kinds[i] != FIXTURE_SAP);
        g_assert_cmpint(sealed->statement != NULL, ==, kinds[i] == FIXTURE_JOB_ENCRYPTED);
    }
}

/* What sealing takes and refuses of numbers; what is sealed never differs from the object but by its pool. */
static void test_numbers(gconstpointer suite_keys)
{
    static const char long_id[] = "a-pool-whose-name-leaves-no-room-for-the-numbers-of-a-range";
    static const struct {
        const char *pool, *definition; /* NULL = none */
        FixtureKind kind;
        gboolean has_numbers;
        guint64 first, last;
        ImpErrorCode code;
        const char *own_id, *own_definition;
    } rows[] = {
        {"p", "{\"first\":1,\"last\":99}", FIXTURE_SAP, FALSE, 0, 0, IMP_E_SAP_NUMBERS_MISSING, NULL, NULL},
        {"p", "{\"first\":1,\"last\":99}", FIXTURE_SAP, TRUE, 0, 9, IMP_E_NUMBERS_OUTSIDE_POOL, NULL, NULL},
        {"p", "{\"first\":1,\"last\":99}", FIXTURE_SAP, TRUE, 9, 100, IMP_E_NUMBERS_OUTSIDE_POOL, NULL, NULL},
        {"p", "{\"first\":1,\"last\":99}", FIXTURE_SAP, TRUE, 9, 8, IMP_E_NUMBERS_OUTSIDE_POOL, NULL, NULL},
        {"p", "{\"first\":1,\"last\":99,\"step\":7}", FIXTURE_SAP, TRUE, 9, 15, IMP_E_NUMBERS_OUTSIDE_POOL,
         NULL, NULL},
        {"p", "{\"first\":1,\"last\":99,\"step\":7}", FIXTURE_SAP, TRUE, 8, 16, IMP_E_NUMBERS_OUTSIDE_POOL,
         NULL, NULL},
        {"p", "{\"first\":1}", FIXTURE_SAP, TRUE, 8, 16, IMP_E_CONTENT_INVALID, NULL, NULL},
        {"p", "{\"first\":1,\"last\":99,\"step\":0}", FIXTURE_SAP, TRUE, 8, 16, IMP_E_CONTENT_INVALID, NULL,
         NULL},
        {long_id, "{\"first\":1,\"last\":99}", FIXTURE_SAP, TRUE, 10, 99, IMP_E_LIMIT, NULL, NULL},
        {"p", "{\"first\":1,\"last\":99}", FIXTURE_JOB_ENCRYPTED, TRUE, 10, 99, IMP_E_ARGUMENT, NULL, NULL},
        {NULL, NULL, FIXTURE_SAP, TRUE, 10, 99, IMP_E_ARGUMENT, NULL, NULL},
        {NULL, NULL, FIXTURE_SAP, FALSE, 0, 0, 0, NULL, NULL},
        {"p", "{\"first\":1,\"last\":99}", FIXTURE_JOB_ENCRYPTED, FALSE, 0, 0, 0, "p",
         "{\"first\":1,\"last\":99}"},
        {"p", "{\"first\":1,\"id\":\"p\",\"last\":99}", FIXTURE_SAP_ENCRYPTED, TRUE, 1, 99, 0, "p.1-99",
         "{\"first\":1,\"id\":\"p.1-99\",\"last\":99}"},
        {"p", "{\"first\":1,\"id\":\"p\",\"last\":99,\"step\":7}", FIXTURE_SAP, TRUE, 8, 15, 0, "p.8-15",
         "{\"first\":8,\"id\":\"p.8-15\",\"last\":15,\"step\":7}"},
        {"p", "{\"first\":0,\"last\":9223372036854775807}", FIXTURE_SAP, TRUE, 9223372036854775807u,
         9223372036854775807u, 0, "p.9223372036854775807-9223372036854775807",
         "{\"first\":9223372036854775807,\"id\":\"p.9223372036854775807-9223372036854775807\","
         "\"last\":9223372036854775807}"},
    };
    g_autoptr(Keys) keys = keys_share(suite_keys);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("row %" G_GSIZE_FORMAT, i);
        GError *error = NULL;
        ImpContent *content = fixture_content(100);
        g_free(content->pools[0].id);
        g_free(content->pools[0].definition);
        content->pools[0] = (ImpPoolUse){g_strdup(rows[i].pool), g_strdup(rows[i].definition)};
        if (rows[i].pool == NULL) {
            content->n_pools = 0;
            content->values[0].kind = IMP_VALUE_READ;
            content->values[0].read_bytes = 4;
        }
        g_autoptr(ImpObject) object = imp_object_new(content, NULL, 0, &error);
        g_assert_no_error(error);
        gboolean job = rows[i].kind == FIXTURE_JOB_ENCRYPTED;
        ImpSealOptions options = {.kind = job ? IMP_IMAGE_JOB : IMP_IMAGE_SAP,
                                  .restrictions = {.count_on = IMP_COUNT_ON_PASS,
                                                   .n_numbers = rows[i].has_numbers ? 1 : 0,
                                                   .numbers = {{0, rows[i].first, rows[i].last}}},
                                  .author = keys->author,
                                  .image_key = rows[i].kind == FIXTURE_SAP ? NULL : keys->image_key,
                                  .cloud_ca_sha256 = job ? FIXTURE_CLOUD_CA : NULL,
                                  .factory = job ? "Shenzhen" : NULL,
                                  .random = imp_random_system()};
        g_autoptr(ImpSealed) sealed = imp_image_seal(object, &options, &error);
        if (rows[i].code != 0) {
            g_assert_error(error, IMP_ERROR, (int)rows[i].code);
            g_clear_error(&error);
            continue;
        }
        g_assert_no_error(error);
        g_autoptr(ImpImage) image = imp_image_open(sealed->file, keys->image_keys, keys->authors, &error);
        g_assert_no_error(error);
        g_assert_cmpmem(image->content_sha256, 32, object->content_sha256, 32);
        g_assert_cmpuint(image->content->n_pools, ==, rows[i].own_id != NULL);
        if (rows[i].own_id == NULL)
            continue;
        g_assert_cmpstr(image->content->pools[0].id, ==, rows[i].own_id);
        g_assert_cmpstr(image->content->pools[0].definition, ==, rows[i].own_definition);
        g_assert_cmpstr(object->content->pools[0].definition, ==, rows[i].definition);
    }
}

static void test_property(gconstpointer suite_keys)
{
    g_autoptr(Keys) keys = keys_share(suite_keys);
    guint32 seed = g_test_rand_int() & 0x7fffffff;
    g_test_message("seed %u", seed);
    GRand *rand = g_rand_new_with_seed(seed);
    for (int i = 0; i < 40; i++) {
        GError *error = NULL;
        g_autoptr(ImpObject) object = imp_object_new(fixture_random_content(rand), NULL, 0, &error);
        g_assert_no_error(error);
        g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, kinds[i % G_N_ELEMENTS(kinds)]);
        g_autoptr(ImpImage) image = imp_image_open(sealed->file, keys->image_keys, keys->authors, &error);
        g_assert_no_error(error);
        fixture_assert_image_of(object, image);
    }
    g_rand_free(rand);
}

/* An encrypted payload of several chunks shows nothing of what is in it. */
static void test_large(gconstpointer suite_keys)
{
    g_autoptr(Keys) keys = keys_share(suite_keys);
    GError *error = NULL;
    ImpContent *content = fixture_content(1);
    guint32 n_data = 250 * 1024;
    guint8 *data = g_malloc(n_data);
    GRand *rand = g_rand_new_with_seed(7);
    for (guint32 i = 0; i < n_data; i++)
        data[i] = (guint8)g_rand_int(rand);
    g_rand_free(rand);
    g_bytes_unref(content->segments[0].bytes);
    content->segments[0].bytes = g_bytes_new_take(data, n_data);
    g_autoptr(ImpObject) object = imp_object_new(content, NULL, 0, &error);
    g_assert_no_error(error);
    g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, FIXTURE_SAP_ENCRYPTED);
    gsize n_file;
    const void *file = g_bytes_get_data(sealed->file, &n_file);
    g_assert_null(memmem(file, n_file, data, 16));
    g_assert_null(memmem(file, n_file, "\"app\"", 5));
    g_autoptr(ImpImage) image = imp_image_open(sealed->file, keys->image_keys, keys->authors, &error);
    g_assert_no_error(error);
    fixture_assert_image_of(object, image);

    /* The data outlives the image that it came from. */
    g_autoptr(GBytes) kept = g_bytes_ref(image->content->segments[0].bytes);
    g_clear_pointer(&image, imp_image_free);
    g_assert_true(g_bytes_equal(kept, object->content->segments[0].bytes));
}

/* The flags of the memory mapping that holds an address: "rd wr … dd" (proc(5), smaps, VmFlags). */
static char *flags_of_mapping(const void *address)
{
    g_autofree char *maps = NULL;
    g_assert_true(g_file_get_contents("/proc/self/smaps", &maps, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(maps, "\n", -1);
    gboolean inside = FALSE;
    for (char **line = lines; *line != NULL; line++) {
        guint64 start, end;
        if (sscanf(*line, "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x ", &start, &end) == 2)
            inside = (guintptr)address >= start && (guintptr)address < end;
        else if (inside && g_str_has_prefix(*line, "VmFlags:"))
            return g_strdup(*line);
    }
    g_assert_not_reached();
}

/* Plaintext of an encrypted image is left out of core dumps: every segment and algorithm. */
static void test_memory(gconstpointer suite_keys)
{
    g_autoptr(Keys) keys = keys_share(suite_keys);
    g_autoptr(ImpObject) object = fixture_object(9000);
    g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, FIXTURE_SAP_ENCRYPTED);
    GError *error = NULL;
    g_autoptr(ImpImage) image = imp_image_open(sealed->file, keys->image_keys, keys->authors, &error);
    g_assert_no_error(error);
    const void *places[] = {g_bytes_get_data(image->content->segments[0].bytes, NULL),
                            g_bytes_get_data(image->content->device->algorithms[0]->blob, NULL)};
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *flags = flags_of_mapping(places[i]);
        g_assert_nonnull(strstr(flags, " dd"));
    }
}

/* Fresh ID and keys each time, the same content digest. */
static void test_two_sealings(gconstpointer suite_keys)
{
    g_autoptr(Keys) keys = keys_share(suite_keys);
    g_autoptr(ImpObject) object = fixture_object(300);
    g_autoptr(ImpSealed) a = fixture_seal(object, keys, FIXTURE_SAP_ENCRYPTED);
    g_autoptr(ImpSealed) b = fixture_seal(object, keys, FIXTURE_SAP_ENCRYPTED);
    GError *error = NULL;
    g_assert_false(imp_id_equal(&a->clear->id, &b->clear->id));
    gsize n_a = a->clear->payload_bytes;
    g_assert_cmpuint(n_a, ==, b->clear->payload_bytes);
    const guint8 *bytes_a = g_bytes_get_data(a->file, NULL), *bytes_b = g_bytes_get_data(b->file, NULL);
    bytes_a += IMP_IMAGE_FIXED_BYTES + a->clear->clear_bytes + a->clear->envelope_bytes;
    bytes_b += IMP_IMAGE_FIXED_BYTES + b->clear->clear_bytes + b->clear->envelope_bytes;
    g_assert_true(memcmp(bytes_a, bytes_b, n_a) != 0);
    g_autoptr(ImpImage) image_a = imp_image_open(a->file, keys->image_keys, keys->authors, &error);
    g_assert_no_error(error);
    g_autoptr(ImpImage) image_b = imp_image_open(b->file, keys->image_keys, keys->authors, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(image_a->content_sha256, 32, image_b->content_sha256, 32);
}

/* A reason is always given, and it is one of an image's. */
static void assert_any_refusal(GBytes *file, const Keys *keys, const char *what, gsize at)
{
    GError *error = NULL;
    ImpImage *image = imp_image_open(file, keys->image_keys, keys->authors, &error);
    if (image != NULL || error == NULL || error->domain != IMP_ERROR ||
        !((error->code >= 3001 && error->code <= 3030) || error->code == IMP_E_LIMIT))
        g_error("%s at %" G_GSIZE_FORMAT ": %s", what, at, error != NULL ? error->message : "accepted");
    g_clear_error(&error);

    ImpVerified verified;
    g_assert_false(imp_image_verify(file, NULL, keys->authors, &verified, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
}

static void test_every_byte(gconstpointer suite_keys)
{
    g_autoptr(Keys) keys = keys_share(suite_keys);
    g_autoptr(ImpObject) object = fixture_object(100);
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, kinds[k]);
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(sealed->file, &n_bytes);
        g_test_message("image of %" G_GSIZE_FORMAT " bytes", n_bytes);
        g_assert_cmpuint(n_bytes, <=, 5120);
        g_autofree guint8 *copy = g_memdup2(bytes, n_bytes);
        static const guint8 flips[] = {0x01, 0x80, 0xff};
        for (gsize i = 0; i < n_bytes; i++)
            for (gsize f = 0; f < G_N_ELEMENTS(flips); f++) {
                copy[i] ^= flips[f];
                g_autoptr(GBytes) file = g_bytes_new_static(copy, n_bytes);
                assert_any_refusal(file, keys, "flip", i);
                copy[i] ^= flips[f];
            }
        g_assert_cmpmem(copy, n_bytes, bytes, n_bytes);
    }
}

/* The same with the digest at the end made right again, as one would who changes an image on purpose. */
static void test_every_byte_forged(gconstpointer suite_keys)
{
    g_autoptr(Keys) keys = keys_share(suite_keys);
    g_autoptr(ImpObject) object = fixture_object(100);
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, kinds[k]);
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(sealed->file, &n_bytes);
        g_autofree guint8 *copy = g_memdup2(bytes, n_bytes);
        /* RSA takes its time: there, each of the three kinds has its third of the bytes. */
        gsize step = imp_key_suite(keys->author) == IMP_IMAGE_SUITE_RSA ? G_N_ELEMENTS(kinds) : 1;
        for (gsize i = k % step; i < n_bytes - IMP_IMAGE_TRAILER_BYTES; i += step) {
            GError *error = NULL;
            copy[i] ^= 0x01;
            g_autoptr(GBytes) changed = g_bytes_new_static(copy, n_bytes);
            g_autoptr(GBytes) file = fixture_fix_trailer(changed);
            ImpImage *image = imp_image_open(file, keys->image_keys, keys->authors, &error);
            if (image != NULL || error->domain != IMP_ERROR || error->code == IMP_E_IMAGE_DAMAGED)
                g_error("byte %" G_GSIZE_FORMAT ": %s", i, error != NULL ? error->message : "accepted");
            g_error_free(error);
            copy[i] ^= 0x01;
        }
    }
}

static void test_truncated(gconstpointer suite_keys)
{
    g_autoptr(Keys) keys = keys_share(suite_keys);
    g_autoptr(ImpObject) object = fixture_object(100);
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, kinds[k]);
        for (gsize n = 0; n < g_bytes_get_size(sealed->file); n++) {
            GError *error = NULL;
            g_autoptr(GBytes) file = g_bytes_new_from_bytes(sealed->file, 0, n);
            g_assert_null(imp_image_open(file, keys->image_keys, keys->authors, &error));
            assert_refused(error, IMP_E_IMAGE_TRUNCATED);
        }
    }
}

static void test_appended(gconstpointer suite_keys)
{
    g_autoptr(Keys) keys = keys_share(suite_keys);
    g_autoptr(ImpObject) object = fixture_object(100);
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, kinds[k]);
        for (gsize n = 1; n <= 64; n++) {
            GError *error = NULL;
            gsize n_file;
            const guint8 *bytes = g_bytes_get_data(sealed->file, &n_file);
            guint8 *longer = g_malloc0(n_file + n);
            memcpy(longer, bytes, n_file);
            g_autoptr(GBytes) file = g_bytes_new_take(longer, n_file + n);
            g_assert_null(imp_image_open(file, keys->image_keys, keys->authors, &error));
            assert_refused(error, IMP_E_IMAGE_TRAILING);
        }
    }
}

static void test_verify_and_inspect(gconstpointer suite_keys)
{
    g_autoptr(Keys) keys = keys_share(suite_keys);
    g_autoptr(ImpObject) object = fixture_object(100);
    g_autoptr(ImpKeyRing) none = imp_keyring_new();
    static const struct {
        FixtureKind kind;
        gboolean has_image_key, has_author;
        ImpVerified verified; /* 0 = refused */
        const char *signature;
    } rows[] = {
        {FIXTURE_SAP, FALSE, TRUE, IMP_VERIFIED_ALL, "good"},
        {FIXTURE_SAP, FALSE, FALSE, 0, "unchecked"},
        {FIXTURE_JOB_ENCRYPTED, TRUE, TRUE, IMP_VERIFIED_ALL, "good"},
        {FIXTURE_JOB_ENCRYPTED, TRUE, FALSE, 0, "unchecked"},
        {FIXTURE_JOB_ENCRYPTED, FALSE, TRUE, IMP_VERIFIED_SHAPE, "sealed"},
        {FIXTURE_JOB_ENCRYPTED, FALSE, FALSE, IMP_VERIFIED_SHAPE, "sealed"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        GError *error = NULL;
        g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, rows[i].kind);
        const ImpKeyRing *image_keys = rows[i].has_image_key ? keys->image_keys : none;
        const ImpKeyRing *authors = rows[i].has_author ? keys->authors : none;
        ImpVerified verified = 0;
        if (imp_image_verify(sealed->file, image_keys, authors, &verified, &error))
            g_assert_cmpint(verified, ==, rows[i].verified);
        else
            assert_refused(error, rows[i].verified == 0 ? IMP_E_AUTHOR_UNKNOWN : 0);
        GError *by_file = NULL;
        if (fixture_verify_file(sealed->file, image_keys, authors, &verified, &by_file))
            g_assert_cmpint(verified, ==, rows[i].verified);
        else
            assert_refused(by_file, rows[i].verified == 0 ? IMP_E_AUTHOR_UNKNOWN : 0);
        json_t *json = imp_image_inspect(sealed->file, image_keys, authors, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(json_string_value(json_object_get(json, "signature")), ==, rows[i].signature);
        g_autofree char *text = imp_image_inspect_text(json);
        g_assert_nonnull(strstr(text, "Blinky 1.0"));
        g_assert_nonnull(strstr(text, "nRF51822_xxAA"));
        gboolean readable = rows[i].kind == FIXTURE_SAP || rows[i].has_image_key;
        g_assert_cmpint(strstr(text, "app, 0x00000400 to 0x00000463, 100 bytes") != NULL, ==, readable);
        g_assert_cmpint(strstr(text, "units") != NULL, ==, readable);
        char *dump = json_dumps(json, 0);
        g_assert_null(strstr(dump, "\"key\""));
        free(dump);
        json_decref(json);
    }
}

static void test_seal_options(gconstpointer suite_keys)
{
    g_autoptr(Keys) keys = keys_share(suite_keys);
    g_autoptr(ImpObject) object = fixture_object(10);
    g_autoptr(GBytes) der = imp_key_public_der(keys->author);
    g_autoptr(ImpKey) public_author = imp_key_from_public_der(der, NULL);
    g_autoptr(ImpKey) both = imp_key_generate(imp_key_suite(keys->author), IMP_KEY_ANY, NULL);
    const ImpSealOptions good = {.kind = IMP_IMAGE_JOB,
                                 .restrictions = {.count_on = IMP_COUNT_ON_PASS},
                                 .author = keys->author,
                                 .image_key = keys->image_key,
                                 .cloud_ca_sha256 = FIXTURE_CLOUD_CA,
                                 .factory = "F",
                                 .random = imp_random_system()};
    struct {
        ImpSealOptions options;
        ImpErrorCode code;
    } rows[] = {
        {good, IMP_E_ARGUMENT}, {good, IMP_E_ARGUMENT},
        {good, IMP_E_ARGUMENT}, {good, IMP_E_KEY_PRIVATE_MISSING},
        {good, IMP_E_KEY_ROLE}, {good, IMP_E_ARGUMENT},
        {good, IMP_E_ARGUMENT},
    };
    rows[0].options.kind = 1;
    rows[1].options.cloud_ca_sha256 = NULL;
    rows[2].options.factory = "";
    rows[3].options.author = public_author;
    rows[4].options.image_key = keys->author;
    rows[5].options.restrictions.count_on = 0;
    rows[6].options.author = rows[6].options.image_key = both; /* a pair of version 0.1, for two purposes */
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        GError *error = NULL;
        g_assert_null(imp_image_seal(object, &rows[i].options, &error));
        assert_refused(error, rows[i].code);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(gconstpointer suite_keys);
        gboolean once; /* long, and no matter of suites */
    } tests[] = {
        {"/image/round-trip", test_round_trip},
        {"/image/numbers", test_numbers},
        {"/image/property", test_property, TRUE},
        {"/image/large", test_large, TRUE},
        {"/image/memory", test_memory, TRUE},
        {"/image/two-sealings", test_two_sealings},
        {"/image/every-byte", test_every_byte},
        {"/image/every-byte-forged", test_every_byte_forged},
        {"/image/truncated", test_truncated},
        {"/image/appended", test_appended},
        {"/image/verify-and-inspect", test_verify_and_inspect},
        {"/image/seal-options", test_seal_options},
    };
    g_test_init(&argc, &argv, NULL);
    g_autoptr(Keys) p256 = keys_new();
    g_autoptr(Keys) rsa = keys_new_of(IMP_IMAGE_SUITE_RSA);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *second = g_strconcat("/suite-2", tests[i].name, NULL);
        g_test_add_data_func(tests[i].name, p256, tests[i].run);
        if (!tests[i].once)
            g_test_add_data_func(second, rsa, tests[i].run);
    }
    return g_test_run();
}
