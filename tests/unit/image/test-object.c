/* Objects, content rules, digests; clear headers as streams; statements. */
#include <string.h>

#include "fixture.h"
#include "image/envelope.h"

/* --- objects -------------------------------------------------------------------------------------------------------- */

static void test_round_trip(void)
{
    guint32 seed = g_test_rand_int() & 0x7fffffff;
    g_test_message("seed %u", seed);
    GRand *rand = g_rand_new_with_seed(seed);
    for (int i = 0; i < 60; i++) {
        GError *error = NULL;
        ImpInput inputs[] = {{.name = (char *)"z.hex", .sha256 = {9}},
                             {.name = (char *)"a.yaml", .sha256 = {8}}};
        g_autoptr(ImpObject) object = imp_object_new(fixture_random_content(rand), inputs, 2, &error);
        g_assert_no_error(error);
        g_autoptr(GBytes) file = imp_object_encode(object, &error);
        g_assert_no_error(error);
        g_autoptr(ImpObject) back = imp_object_decode(file, &error);
        g_assert_no_error(error);
        fixture_assert_same_content(object->content, back->content);
        g_assert_cmpmem(object->content_sha256, 32, back->content_sha256, 32);
        g_assert_cmpmem(object->provenance_sha256, 32, back->provenance_sha256, 32);
        g_assert_cmpstr(back->inputs[0].name, ==, "a.yaml"); /* sorted */
        g_autoptr(GBytes) again = imp_object_encode(back, &error);
        g_assert_true(g_bytes_equal(file, again));
    }
    g_rand_free(rand);
}

static void test_two_builds(void)
{
    GError *error = NULL;
    g_autoptr(ImpObject) a = fixture_object(777);
    g_autoptr(ImpObject) b = fixture_object(777);
    g_autoptr(GBytes) file_a = imp_object_encode(a, &error);
    g_autoptr(GBytes) file_b = imp_object_encode(b, &error);
    g_assert_true(g_bytes_equal(file_a, file_b));
}

/* Every byte and every length: an object is checked as an image is. */
static void test_damaged(void)
{
    GError *error = NULL;
    g_autoptr(ImpObject) object = fixture_object(20);
    g_autoptr(GBytes) file = imp_object_encode(object, &error);
    gsize n;
    const guint8 *bytes = g_bytes_get_data(file, &n);
    g_autofree guint8 *copy = g_memdup2(bytes, n);
    for (gsize i = 0; i < n; i++) {
        copy[i] ^= 1;
        g_autoptr(GBytes) changed = g_bytes_new_static(copy, n);
        g_assert_null(imp_object_decode(changed, &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
        copy[i] ^= 1;
        g_autoptr(GBytes) cut = g_bytes_new_from_bytes(file, 0, i);
        g_assert_null(imp_object_decode(cut, &error));
        assert_refused(error, IMP_E_OBJECT_FORMAT);
        /* with the digest made right */
        if (i < n - IMP_SHA256_BYTES) {
            copy[i] ^= 1;
            g_autoptr(GBytes) damaged = g_bytes_new_static(copy, n);
            g_autoptr(GBytes) forged = fixture_fix_trailer(damaged);
            g_autoptr(ImpObject) got = imp_object_decode(forged, &error);
            copy[i] ^= 1;
            if (got !=
                NULL) /* only the list of inputs and the recipe's name are outside of the content digest */
                g_assert_cmpmem(got->content_sha256, 32, object->content_sha256, 32);
            g_clear_error(&error);
        }
    }
    /* whatever is wrong with it: the digest at its end says so first */
    for (gsize i = IMP_OBJECT_FIXED_BYTES; i < n; i += 13) {
        copy[i] ^= 0x80;
        g_autoptr(GBytes) rotten = g_bytes_new_static(copy, n);
        g_assert_null(imp_object_decode(rotten, &error));
        assert_refused(error, IMP_E_OBJECT_DAMAGED);
        copy[i] ^= 0x80;
    }
    guint8 *longer = g_malloc0(n + 1);
    memcpy(longer, bytes, n);
    g_autoptr(GBytes) appended = g_bytes_new_take(longer, n + 1);
    g_assert_null(imp_object_decode(appended, &error));
    assert_refused(error, IMP_E_OBJECT_FORMAT);
}

/* --- content digest ------------------------------------------------------------------------------------------------- */

static void digest(ImpContent *content, guint8 out[IMP_SHA256_BYTES])
{
    GError *error = NULL;
    g_assert_true(imp_content_check(content, &error));
    g_assert_no_error(error);
    imp_content_digest(content, out);
}

/* The same bytes at the same addresses, cut in other pieces of other names, are the same content. */
static void test_digest_same(void)
{
    guint8 a[IMP_SHA256_BYTES], b[IMP_SHA256_BYTES];
    g_autoptr(ImpContent) one = fixture_content(1000);
    g_autoptr(ImpContent) two = fixture_content(1000);
    GBytes *all = two->segments[0].bytes;
    two->segments = g_renew(ImpSegment, two->segments, 3);
    two->n_segments = 3;
    two->segments[0].bytes = g_bytes_new_from_bytes(all, 0, 1);
    two->segments[1] = (ImpSegment){g_strdup("boot"), 0x401, g_bytes_new_from_bytes(all, 1, 500)};
    two->segments[2] = (ImpSegment){g_strdup("x"), 0x401 + 500, g_bytes_new_from_bytes(all, 501, 499)};
    g_bytes_unref(all);
    g_free(two->name);
    two->name = g_strdup("Other name");
    digest(one, a);
    digest(two, b);
    g_assert_cmpmem(a, sizeof a, b, sizeof b);
}

static void change_address(ImpContent *c)
{
    c->segments[0].address++;
}
static void change_data(ImpContent *c)
{
    g_bytes_unref(c->segments[0].bytes);
    c->segments[0].bytes = g_bytes_new("another", 7);
}
static void change_blob(ImpContent *c)
{
    GBytes **blob = &c->device->algorithms[0]->blob;
    g_bytes_unref(*blob);
    guint8 other[64] = {1};
    *blob = g_bytes_new(other, sizeof other);
}
static void change_limit(ImpContent *c)
{
    c->device->algorithms[0]->erase_ms_max++;
}
static void change_check(ImpContent *c)
{
    c->device->checks[0].value = 0xc400;
}
static void change_step(ImpContent *c)
{
    c->steps[0].erase = IMP_ERASE_USED;
}
static void change_steps(ImpContent *c)
{
    c->n_steps--;
}
static void change_place(ImpContent *c)
{
    c->places[0].pad = 0xff;
}
static void change_value(ImpContent *c)
{
    c->values[1].log = FALSE;
}
static void change_pool(ImpContent *c)
{
    g_free(c->pools[0].definition);
    c->pools[0].definition = g_strdup("{\"first\":2,\"last\":99}");
}
static void change_rework(ImpContent *c)
{
    c->rework = IMP_REWORK_KEEP_VALUES;
}
static void change_speed(ImpContent *c)
{
    c->swd_hz = 1000000;
}

static void test_digest_differs(void)
{
    static void (*const changes[])(ImpContent *) = {
        change_address, change_data,  change_blob,  change_limit, change_check,  change_step,
        change_steps,   change_place, change_value, change_pool,  change_rework, change_speed,
    };
    guint8 seen[G_N_ELEMENTS(changes) + 1][IMP_SHA256_BYTES];
    for (gsize i = 0; i <= G_N_ELEMENTS(changes); i++) {
        g_autoptr(ImpContent) content = fixture_content(100);
        if (i > 0)
            changes[i - 1](content);
        digest(content, seen[i]);
        for (gsize k = 0; k < i; k++)
            g_assert_true(memcmp(seen[i], seen[k], IMP_SHA256_BYTES) != 0);
    }
}

/* --- rules of the content ------------------------------------------------------------------------------------------- */

static void break_name(ImpContent *c)
{
    c->name[0] = '\0';
}
static void break_utf8(ImpContent *c)
{
    c->name[1] = '\xff';
}
static void break_control(ImpContent *c)
{
    c->values[0].name[1] = '\n';
}
static void break_outside(ImpContent *c)
{
    c->segments[0].address = 0x3ffff; /* and on, behind the end of flash */
}
static void break_overlap(ImpContent *c)
{
    c->places[0].address = c->segments[0].address + 99;
}
static void break_order(ImpContent *c)
{
    c->segments = g_renew(ImpSegment, c->segments, 2);
    c->segments[1] = (ImpSegment){g_strdup("b"), 0, g_bytes_new("x", 1)};
    c->n_segments = 2;
}
static void break_empty(ImpContent *c)
{
    g_bytes_unref(c->segments[0].bytes);
    c->segments[0].bytes = g_bytes_new(NULL, 0);
}
static void break_pool_index(ImpContent *c)
{
    c->values[0].pool_index = 1;
}
static void break_value_index(ImpContent *c)
{
    c->places[0].value_index = 2;
}
static void break_twins(ImpContent *c)
{
    g_free(c->values[1].name);
    c->values[1].name = g_strdup("serial");
}
static void break_step(ImpContent *c)
{
    c->steps[1].kind = 77;
}
static void break_erase(ImpContent *c)
{
    c->steps[0].erase = 0;
}
static void break_read(ImpContent *c)
{
    c->values[1].read_bytes = 65;
}
static void break_speed(ImpContent *c)
{
    c->swd_hz = 0;
}
static void break_wrap(ImpContent *c)
{
    c->places[0].address = G_MAXUINT64 - 3;
}

static void test_rules(void)
{
    static void (*const breaks[])(ImpContent *) = {
        break_name,  break_utf8,  break_control,    break_outside, break_overlap,
        break_order, break_empty, break_pool_index, break_twins,   break_value_index,
        break_step,  break_erase, break_read,       break_speed,   break_wrap,
    };
    for (gsize i = 0; i < G_N_ELEMENTS(breaks); i++) {
        GError *error = NULL;
        ImpContent *content = fixture_content(100);
        breaks[i](content);
        g_test_message("rule %" G_GSIZE_FORMAT, i);
        g_assert_null(imp_object_new(content, NULL, 0, &error)); /* takes it over all the same */
        assert_refused(error, IMP_E_CONTENT_INVALID);
    }
}

/* --- clear headers as streams --------------------------------------------------------------------------------------- */

static void test_stream(void)
{
    g_autoptr(Keys) keys = keys_new();
    g_autoptr(ImpObject) object = fixture_object(100);
    g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, FIXTURE_JOB_ENCRYPTED);
    gsize n;
    const guint8 *bytes = g_bytes_get_data(sealed->file, &n);
    static const gsize pieces[] = {1, 2, 7, 31, 32, 33, 1000, 1 << 20};
    for (gsize p = 0; p < G_N_ELEMENTS(pieces); p++) {
        GError *error = NULL;
        g_autoptr(ImpClearReader) reader = imp_clear_reader_new();
        for (gsize at = 0; at < n; at += pieces[p]) {
            g_assert_true(imp_clear_reader_update(reader, bytes + at, MIN(pieces[p], n - at), &error));
            gboolean complete = at + pieces[p] >= IMP_IMAGE_FIXED_BYTES + sealed->clear->clear_bytes;
            g_assert_cmpint(imp_clear_reader_header(reader) != NULL, ==, complete);
        }
        g_autoptr(ImpClear) clear = imp_clear_reader_final(reader, &error);
        g_assert_no_error(error);
        g_assert_true(imp_id_equal(&clear->id, &sealed->clear->id));
        g_assert_cmpint(clear->kind, ==, IMP_IMAGE_JOB);
        g_assert_cmpstr(clear->factory, ==, "Shenzhen");
        g_assert_cmpmem(clear->cloud_ca_sha256, 32, FIXTURE_CLOUD_CA, 32);
        g_assert_cmpmem(clear->file_sha256, 32, bytes + n - 32, 32);
        g_assert_cmpmem(clear->header_sha256, 32, sealed->clear->header_sha256, 32);
        g_assert_false(imp_clear_reader_update(reader, "x", 1, &error));
        assert_refused(error, IMP_E_IMAGE_TRAILING);
    }
}

/* --- statements ----------------------------------------------------------------------------------------------------- */

static void test_statement(void)
{
    GError *error = NULL;
    g_autoptr(Keys) keys = keys_new();
    g_autoptr(Keys) others = keys_new();
    g_autoptr(ImpObject) object = fixture_object(100);
    g_autoptr(ImpSealed) sealed = fixture_seal(object, keys, FIXTURE_JOB_ENCRYPTED);
    g_autoptr(ImpSealed) other = fixture_seal(object, keys, FIXTURE_JOB_ENCRYPTED);
    g_autoptr(ImpSealed) sap = fixture_seal(object, keys, FIXTURE_SAP_ENCRYPTED);
    g_autoptr(ImpStatement) statement = imp_statement_verify(sealed->statement, keys->authors, &error);
    g_assert_no_error(error);
    g_assert_true(imp_id_equal(&statement->id, &sealed->clear->id));
    g_assert_cmpstr(statement->name, ==, "Blinky");
    g_assert_cmpstr(statement->version, ==, "1.0");
    g_assert_cmpstr(statement->device, ==, "nRF51822_xxAA");
    g_assert_cmpstr(statement->factory, ==, "Shenzhen");
    g_assert_true(statement->encrypted);
    g_assert_cmpuint(statement->restrictions.units, ==, 6);
    g_assert_cmpuint(statement->n_pools, ==, 1);
    g_assert_cmpstr(statement->pools[0].id, ==, "sn");
    g_assert_cmpstr(statement->pools[0].definition, ==, "{\"first\":1,\"last\":99}");
    g_assert_cmpmem(statement->content_sha256, 32, object->content_sha256, 32);
    g_assert_true(imp_statement_check_clear(statement, sealed->clear, &error));
    g_assert_false(imp_statement_check_clear(statement, other->clear, &error));
    assert_refused(error, IMP_E_STATEMENT_INVALID);
    g_assert_false(imp_statement_check_clear(statement, sap->clear, &error));
    assert_refused(error, IMP_E_STATEMENT_INVALID);

    g_assert_null(imp_statement_verify(sealed->statement, others->authors, &error));
    assert_refused(error, IMP_E_AUTHOR_UNKNOWN);
    gsize n;
    const guint8 *bytes = g_bytes_get_data(sealed->statement, &n);
    /* No programming data in it. */
    g_autoptr(GBytes) data = g_bytes_ref(object->content->segments[0].bytes);
    g_assert_null(memmem(bytes, n, g_bytes_get_data(data, NULL), 16));
    g_autofree guint8 *copy = g_memdup2(bytes, n);
    for (gsize i = 0; i < n; i++) {
        copy[i] ^= 1;
        g_autoptr(GBytes) changed = g_bytes_new_static(copy, n);
        g_assert_null(imp_statement_verify(changed, keys->authors, &error));
        g_assert_nonnull(error);
        g_clear_error(&error);
        copy[i] ^= 1;
        g_autoptr(GBytes) cut = g_bytes_new_from_bytes(sealed->statement, 0, i);
        g_assert_null(imp_statement_verify(cut, keys->authors, &error));
        assert_refused(error, IMP_E_ENVELOPE_SHAPE);
    }
}

/* What the author signed for another purpose is no statement, and no manifest. */
static void test_statement_is_no_manifest(void)
{
    GError *error = NULL;
    g_autoptr(Keys) keys = keys_new();
    g_autoptr(ImpObject) object = fixture_object(100);
    g_autoptr(ImpSealed) sap = fixture_seal(object, keys, FIXTURE_SAP);
    g_autoptr(ImpSealed) job = fixture_seal(object, keys, FIXTURE_JOB_ENCRYPTED);
    g_autoptr(GBytes) manifest = fixture_envelope(sap->file);
    g_assert_null(imp_statement_verify(manifest, keys->authors, &error));
    assert_refused(error, IMP_E_STATEMENT_INVALID);
    g_autoptr(GBytes) file = fixture_rebuild(sap->file, NULL, job->statement);
    g_assert_null(imp_image_open(file, NULL, keys->authors, &error));
    assert_refused(error, IMP_E_MANIFEST_INVALID);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/object/round-trip", test_round_trip);
    g_test_add_func("/object/two-builds", test_two_builds);
    g_test_add_func("/object/damaged", test_damaged);
    g_test_add_func("/content/digest-same", test_digest_same);
    g_test_add_func("/content/digest-differs", test_digest_differs);
    g_test_add_func("/content/rules", test_rules);
    g_test_add_func("/clear/stream", test_stream);
    g_test_add_func("/statement/verify", test_statement);
    g_test_add_func("/statement/is-no-manifest", test_statement_is_no_manifest);
    return g_test_run();
}
