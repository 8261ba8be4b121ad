/* Images that somebody made on purpose: each is refused with the code that says what is wrong. The digest at the end is
 * always right, so that nothing is caught by that alone. */
#include <string.h>

#include "fixture.h"
#include "image/envelope.h"

typedef struct {
    Keys *keys;
    ImpObject *object;
    ImpSealed *plain, *sealed, *job;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->keys = keys_share(data);
    f->object = fixture_object(100);
    f->plain = fixture_seal(f->object, f->keys, FIXTURE_SAP);
    f->sealed = fixture_seal(f->object, f->keys, FIXTURE_SAP_ENCRYPTED);
    f->job = fixture_seal(f->object, f->keys, FIXTURE_JOB_ENCRYPTED);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    imp_sealed_free(f->plain);
    imp_sealed_free(f->sealed);
    imp_sealed_free(f->job);
    imp_object_free(f->object);
    keys_free(f->keys);
}

/* Whoever opens it refuses it, and so does who verifies the file in pieces. Only a lie about the content digest is left to
 * verifying. */
static void assert_open_refuses(const Fixture *f, GBytes *file, ImpErrorCode code)
{
    GError *error = NULL;
    ImpVerified verified;
    if (code == IMP_E_CONTENT_DIGEST) {
        if (imp_image_verify(file, f->keys->image_keys, f->keys->authors, &verified, &error))
            g_error("verified what must be refused with %d", code);
    } else {
        ImpImage *image = imp_image_open(file, f->keys->image_keys, f->keys->authors, &error);
        if (image != NULL)
            g_error("accepted what must be refused with %d", code);
    }
    assert_refused(error, code);
    if (code != IMP_E_CONTENT_DIGEST) {
        if (fixture_check_file(file, f->keys->image_keys, f->keys->authors, &verified, &error))
            g_error("checked what must be refused with %d", code);
        assert_refused(error, code);
    }
    if (fixture_verify_file(file, f->keys->image_keys, f->keys->authors, &verified, &error))
        g_error("verified what must be refused with %d", code);
    assert_refused(error, code);
}

/* --- fixed header --------------------------------------------------------------------------------------------------- */

static void test_fixed_header(Fixture *f, gconstpointer unused)
{
    static const struct {
        gsize at;
        guint8 byte;
        ImpErrorCode code;
    } rows[] = {
        {0, 'I', IMP_E_IMAGE_MAGIC},
        {8, 2, IMP_E_IMAGE_VERSION},
        {9, 1, IMP_E_IMAGE_VERSION},
        {10, 3, IMP_E_IMAGE_SUITE},
        {11, 1, IMP_E_IMAGE_SUITE},
        {10, 0, IMP_E_IMAGE_SUITE},
        {20, 1, IMP_E_IMAGE_HEADER},
        {14, 1, IMP_E_LIMIT},
        {19, 1, IMP_E_LIMIT},
        {31, 1, IMP_E_LIMIT},
        {25, 0xff, IMP_E_IMAGE_TRUNCATED},
        {24, 1, IMP_E_IMAGE_TRAILING},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(f->sealed->file, &n_bytes);
        guint8 *copy = g_memdup2(bytes, n_bytes);
        copy[rows[i].at] = rows[i].byte;
        g_autoptr(GBytes) changed = g_bytes_new_take(copy, n_bytes);
        g_autoptr(GBytes) file = fixture_fix_trailer(changed);
        assert_open_refuses(f, file, rows[i].code);
    }
    g_autoptr(GBytes) nothing = g_bytes_new_static("", 0);
    assert_open_refuses(f, nothing, IMP_E_IMAGE_TRUNCATED);
}

/* --- clear header --------------------------------------------------------------------------------------------------- */

static void test_clear_header(Fixture *f, gconstpointer unused)
{
    static const struct {
        const char *from, *to;
        ImpErrorCode code;
    } rows[] = {
        {"\"name\":\"Blinky\"", "\"name\":\"Blinkx\"", IMP_E_MANIFEST_HEADER},
        {"\"version\":\"1.0\"", "\"version\":\"1.1\"", IMP_E_MANIFEST_HEADER},
        {"nRF51822_xxAA", "nRF51822_xxAB", IMP_E_MANIFEST_HEADER},
        {"\"kind\":\"job\"", "\"kind\":\"sap\"", IMP_E_IMAGE_HEADER}, /* and then it may have no factory */
        {"\"kind\":\"job\"", "\"kind\":\"tap\"", IMP_E_IMAGE_HEADER},
        {"Shenzhen", "Shenzhem", IMP_E_MANIFEST_HEADER},
        {"\"cloud_ca\":\"30", "\"cloud_ca\":\"31", IMP_E_MANIFEST_HEADER},
        {"\"factory\":", "\"factorx\":", IMP_E_IMAGE_HEADER},
        {"\"factory\":", "\"extra\":1,\"factory\":", IMP_E_IMAGE_HEADER},
        {"\"factory\":", " \"factory\":", IMP_E_IMAGE_HEADER},
        {"\"factory\":\"Shenzhen\",", "", IMP_E_IMAGE_HEADER},
        {"\"version\":\"1.0\"", "\"version\":1", IMP_E_IMAGE_HEADER},
    };
    g_autofree char *text = fixture_clear_text(f->job->file);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *changed = fixture_replace(text, rows[i].from, rows[i].to);
        g_autoptr(GBytes) file = fixture_rebuild(f->job->file, changed, NULL);
        assert_open_refuses(f, file, rows[i].code);
    }
}

/* Another ID, author or image key in the clear. */
static void test_clear_header_keys(Fixture *f, gconstpointer unused)
{
    static const struct {
        const char *member;
        ImpErrorCode code;
    } rows[] = {
        {"\"id\":\"", IMP_E_MANIFEST_HEADER},
        {"\"author\":\"", IMP_E_ENVELOPE_SHAPE},
        {"\"image_key\":\"", IMP_E_ENVELOPE_SHAPE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = fixture_clear_text(f->job->file);
        char *digit = strstr(text, rows[i].member) + strlen(rows[i].member);
        *digit = *digit == '0' ? '1' : '0';
        g_autoptr(GBytes) file = fixture_rebuild(f->job->file, text, NULL);
        assert_open_refuses(f, file, rows[i].code);
    }
}

/* A header that hides that the image is encrypted, and one that claims it. */
static void test_claims_of_encryption(Fixture *f, gconstpointer unused)
{
    char id[IMP_KEY_ID_TEXT_SIZE];
    imp_key_id_text(imp_key_id(f->keys->image_key), id);
    g_autofree char *member = g_strdup_printf("\"image_key\":\"%s\",", id);
    g_autofree char *text = fixture_clear_text(f->sealed->file);
    g_autofree char *hidden = fixture_replace(text, member, "");
    g_autoptr(GBytes) without = fixture_rebuild(f->sealed->file, hidden, NULL);
    assert_open_refuses(f, without, IMP_E_ENVELOPE_SHAPE);

    g_autofree char *plain_text = fixture_clear_text(f->plain->file);
    g_autofree char *from = g_strdup("\"kind\":");
    g_autofree char *to = g_strdup_printf("%s\"kind\":", member);
    g_autofree char *claimed = fixture_replace(plain_text, from, to);
    g_autoptr(GBytes) with = fixture_rebuild(f->plain->file, claimed, NULL);
    assert_open_refuses(f, with, IMP_E_ENVELOPE_CIPHER);
}

/* --- keys ----------------------------------------------------------------------------------------------------------- */

static void test_keys(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    g_autoptr(Keys) others = keys_new_of(imp_key_suite(f->keys->author));
    g_assert_null(imp_image_open(f->sealed->file, NULL, f->keys->authors, &error));
    assert_refused(error, IMP_E_IMAGE_KEY_MISSING);
    g_assert_null(imp_image_open(f->sealed->file, others->image_keys, f->keys->authors, &error));
    assert_refused(error, IMP_E_IMAGE_KEY_MISSING);
    g_assert_null(imp_image_open(f->sealed->file, f->keys->image_keys, others->authors, &error));
    assert_refused(error, IMP_E_AUTHOR_UNKNOWN);
    g_assert_null(imp_image_open(f->plain->file, NULL, others->authors, &error));
    assert_refused(error, IMP_E_AUTHOR_UNKNOWN);
    g_assert_null(imp_image_open(f->plain->file, NULL, NULL, &error));
    assert_refused(error, IMP_E_AUTHOR_UNKNOWN);

    /* The public half of the image key opens nothing. */
    g_autoptr(GBytes) der = imp_key_public_der(f->keys->image_key);
    g_autoptr(ImpKey) half = imp_key_from_public_der(der, &error);
    g_autoptr(ImpKeyRing) ring = imp_keyring_new();
    g_assert_true(imp_keyring_add(ring, "", half, &error));
    g_assert_null(imp_image_open(f->sealed->file, ring, f->keys->authors, &error));
    assert_refused(error, IMP_E_IMAGE_KEY_MISSING);

    /* Deleting the key from a ring blocks its images at once. */
    g_assert_true(imp_keyring_remove(f->keys->image_keys, imp_key_id(f->keys->image_key)));
    g_assert_null(imp_image_open(f->job->file, f->keys->image_keys, f->keys->authors, &error));
    assert_refused(error, IMP_E_IMAGE_KEY_MISSING);
}

static void test_station(Fixture *f, gconstpointer unused)
{
    GError *error = NULL;
    guint8 other[IMP_SHA256_BYTES] = {1};
    g_assert_true(imp_clear_check_station(f->job->clear, FIXTURE_CLOUD_CA, TRUE, &error));
    g_assert_true(imp_clear_check_station(f->sealed->clear, NULL, FALSE, &error));
    g_assert_true(imp_clear_check_station(f->plain->clear, NULL, FALSE, &error));
    g_assert_false(imp_clear_check_station(f->job->clear, other, TRUE, &error));
    assert_refused(error, IMP_E_IMAGE_OTHER_CLOUD);
    g_assert_false(imp_clear_check_station(f->job->clear, NULL, FALSE, &error));
    assert_refused(error, IMP_E_NOT_ENROLLED);
    g_assert_false(imp_clear_check_station(f->plain->clear, other, TRUE, &error));
    assert_refused(error, IMP_E_IMAGE_UNENCRYPTED);
}

/* --- envelope ------------------------------------------------------------------------------------------------------- */

/* An element: tag, length in the fewest bytes, content. */
static void put_element(GByteArray *to, guint8 tag, const guint8 *content, gsize n_bytes)
{
    g_byte_array_append(to, &tag, 1);
    guint8 length[5];
    guint n_length = 0;
    if (n_bytes < 0x80) {
        length[n_length++] = (guint8)n_bytes;
    } else {
        guint n = n_bytes > 0xffff ? 3 : n_bytes > 0xff ? 2 : 1;
        length[n_length++] = (guint8)(0x80 | n);
        while (n-- > 0)
            length[n_length++] = (guint8)(n_bytes >> (8 * n));
    }
    g_byte_array_append(to, length, n_length);
    g_byte_array_append(to, content, (guint)n_bytes);
}

/* The content of an element that is said to be there. */
static const guint8 *enter(const guint8 *at, guint8 tag, gsize *out_bytes)
{
    g_assert_cmpuint(at[0], ==, tag);
    gsize n = at[1], n_head = 2;
    if (n >= 0x80) {
        n_head += n & 0x7f;
        n = 0;
        for (gsize i = 2; i < n_head; i++)
            n = n << 8 | at[i];
    }
    *out_bytes = n;
    return at + n_head;
}

/* An AuthEnvelopedData with another body, which changes by edit(). */
static GBytes *with_body(GBytes *envelope, void (*edit)(GByteArray *body))
{
    gsize n;
    const guint8 *at = enter(g_bytes_get_data(envelope, NULL), 0x30, &n);
    const guint8 *type = at;
    gsize n_type = 2 + (gsize)at[1];
    at = enter(at + n_type, 0xa0, &n);
    at = enter(at, 0x30, &n);
    g_autoptr(GByteArray) body = g_byte_array_new();
    g_byte_array_append(body, at, (guint)n);
    edit(body);
    g_autoptr(GByteArray) inner = g_byte_array_new();
    put_element(inner, 0x30, body->data, body->len);
    g_autoptr(GByteArray) outer = g_byte_array_new();
    g_byte_array_append(outer, type, (guint)n_type);
    put_element(outer, 0xa0, inner->data, inner->len);
    GByteArray *all = g_byte_array_new();
    put_element(all, 0x30, outer->data, outer->len);
    return g_byte_array_free_to_bytes(all);
}

static void cut_tag(GByteArray *body)
{
    g_byte_array_set_size(body, body->len - 12); /* the tag is the last element */
    body->data[body->len - 5] = 4;
}

/* What OpenSSL accepts: a short tag whose parameters say so. */
static void cut_tag_and_say_so(GByteArray *body)
{
    cut_tag(body);
    for (guint i = 0; i + 3 < body->len; i++)
        if (memcmp(body->data + i, "\x02\x01\x10\x80", 4) == 0 ||
            memcmp(body->data + i, "\x02\x01\x10", 3) == 0) {
            body->data[i + 2] = 4;
            return;
        }
    g_assert_not_reached();
}

static void say_short_tag(GByteArray *body)
{
    for (guint i = 0; i + 3 < body->len; i++)
        if (memcmp(body->data + i, "\x02\x01\x10", 3) == 0) {
            body->data[i + 2] = 12;
            return;
        }
    g_assert_not_reached();
}

static void add_attributes(GByteArray *body)
{
    static const guint8 empty_set[] = {0xa2, 0x00}; /* unauthAttrs [2] */
    g_byte_array_append(body, empty_set, sizeof empty_set);
}

static void drop_last_byte(GByteArray *body)
{
    g_byte_array_set_size(body, body->len - 1);
}

static void test_envelope_edits(Fixture *f, gconstpointer unused)
{
    static const struct {
        void (*edit)(GByteArray *body);
        ImpErrorCode code;
    } rows[] = {
        {cut_tag, IMP_E_ENVELOPE_TAG},        {cut_tag_and_say_so, IMP_E_ENVELOPE_TAG},
        {say_short_tag, IMP_E_ENVELOPE_TAG},  {add_attributes, IMP_E_ENVELOPE_SHAPE},
        {drop_last_byte, IMP_E_ENVELOPE_TAG},
    };
    g_autoptr(GBytes) envelope = fixture_envelope(f->sealed->file);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GBytes) changed = with_body(envelope, rows[i].edit);
        g_autoptr(GBytes) file = fixture_rebuild(f->sealed->file, NULL, changed);
        assert_open_refuses(f, file, rows[i].code);
    }
}

/* Bytes after the CMS structure, with all lengths of the file right: OpenSSL would not notice. */
static void test_envelope_trailing(Fixture *f, gconstpointer unused)
{
    ImpSealed *const images[] = {f->plain, f->sealed};
    for (gsize i = 0; i < G_N_ELEMENTS(images); i++) {
        g_autoptr(GBytes) envelope = fixture_envelope(images[i]->file);
        gsize n;
        const guint8 *bytes = g_bytes_get_data(envelope, &n);
        guint8 *longer = g_malloc0(n + 5);
        memcpy(longer, bytes, n);
        g_autoptr(GBytes) changed = g_bytes_new_take(longer, n + 5);
        g_autoptr(GBytes) file = fixture_rebuild(images[i]->file, NULL, changed);
        assert_open_refuses(f, file, IMP_E_ENVELOPE_TRAILING);
    }
}

/* A long form of a length that fits into the short form: BER, not DER. */
static void test_envelope_ber(Fixture *f, gconstpointer unused)
{
    g_autoptr(GBytes) envelope = fixture_envelope(f->plain->file);
    gsize n;
    const guint8 *bytes = g_bytes_get_data(envelope, &n);
    g_assert_cmpuint(bytes[1], ==, 0x82);
    GByteArray *longer = g_byte_array_new();
    g_byte_array_append(longer, (const guint8 *)"\x30\x83\x00", 3);
    g_byte_array_append(longer, bytes + 2, (guint)n - 2);
    g_autoptr(GBytes) changed = g_byte_array_free_to_bytes(longer);
    g_autoptr(GBytes) file = fixture_rebuild(f->plain->file, NULL, changed);
    assert_open_refuses(f, file, IMP_E_ENVELOPE_SHAPE);
}

/* Sealed again, rightly, to the right key, but not by the author. */
static void test_signature(Fixture *f, gconstpointer unused)
{
    g_autoptr(Keys) others = keys_new_of(imp_key_suite(f->keys->author));
    g_autofree char *manifest = fixture_manifest(f->sealed->file, f->keys);
    g_autoptr(GBytes) other = fixture_with_manifest(f->sealed->file, manifest, others->author, f->keys);
    assert_open_refuses(f, other, IMP_E_ENVELOPE_SHAPE);

    /* The author's signature under another manifest. */
    g_autoptr(GBytes) envelope = fixture_envelope(f->plain->file);
    gsize n_bytes;
    const guint8 *bytes = g_bytes_get_data(envelope, &n_bytes);
    guint8 *copy = g_memdup2(bytes, n_bytes);
    char *units = memmem(copy, n_bytes, "\"units\":6", 9);
    g_assert_nonnull(units);
    units[8] = '9';
    g_autoptr(GBytes) edited = g_bytes_new_take(copy, n_bytes);
    g_autoptr(GBytes) file = fixture_rebuild(f->plain->file, NULL, edited);
    assert_open_refuses(f, file, IMP_E_SIGNATURE_WRONG);
}

/* The header of one suite over the envelope of the other: neither a weaker nor a stronger one can be claimed. */
static void test_other_suite(Fixture *f, gconstpointer unused)
{
    ImpSealed *const images[] = {f->plain, f->sealed, f->job};
    for (gsize i = 0; i < G_N_ELEMENTS(images); i++) {
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(images[i]->file, &n_bytes);
        guint8 *copy = g_memdup2(bytes, n_bytes);
        copy[10] = (guint8)(IMP_IMAGE_SUITE_P256 + IMP_IMAGE_SUITE_RSA - copy[10]);
        g_autoptr(GBytes) changed = g_bytes_new_take(copy, n_bytes);
        g_autoptr(GBytes) file = fixture_fix_trailer(changed);
        assert_open_refuses(f, file, IMP_E_ENVELOPE_SHAPE);
    }
}

/* The manifest, signed and sealed by all rules of the other suite, under a header that says so: the author who signed is not the
 * one of the clear header, and one who is trusted in the other suite cannot stand in. */
static void test_downgrade(Fixture *f, gconstpointer unused)
{
    guint16 own = imp_key_suite(f->keys->author);
    guint16 other = (guint16)(IMP_IMAGE_SUITE_P256 + IMP_IMAGE_SUITE_RSA - own);
    g_autoptr(Keys) others = keys_new_of(other);
    GError *error = NULL;
    g_assert_true(imp_keyring_add(f->keys->authors, "other", others->author, &error));
    g_assert_true(imp_keyring_add(f->keys->image_keys, "other", others->image_key, &error));
    g_autofree char *manifest = fixture_manifest(f->sealed->file, f->keys);
    /* Signed in the other suite, sealed in the image's: the inner template must be the header's, too. */
    g_autoptr(GBytes) inner = fixture_with_manifest(f->sealed->file, manifest, others->author, f->keys);
    assert_open_refuses(f, inner, IMP_E_ENVELOPE_SHAPE);
    /* Both in the other suite, the header with it. */
    g_autoptr(GBytes) outer = fixture_with_manifest(f->sealed->file, manifest, others->author, others);
    assert_open_refuses(f, outer, IMP_E_ENVELOPE_SHAPE);
    gsize n_bytes;
    const guint8 *bytes = g_bytes_get_data(outer, &n_bytes);
    guint8 *copy = g_memdup2(bytes, n_bytes);
    copy[10] = (guint8)other;
    g_autoptr(GBytes) changed = g_bytes_new_take(copy, n_bytes);
    g_autoptr(GBytes) file = fixture_fix_trailer(changed);
    assert_open_refuses(f, file, IMP_E_ENVELOPE_SHAPE);
}

/* Two rightful images of one author and key: parts of one do not fit into the other. */
static void test_swapped_parts(Fixture *f, gconstpointer unused)
{
    g_autoptr(ImpSealed) other = fixture_seal(f->object, f->keys, FIXTURE_SAP_ENCRYPTED);
    g_autoptr(GBytes) envelope = fixture_envelope(other->file);
    g_autoptr(GBytes) file = fixture_rebuild(f->sealed->file, NULL, envelope);
    GError *error = NULL;
    g_assert_null(imp_image_open(file, f->keys->image_keys, f->keys->authors, &error));
    g_assert_true(error->code == IMP_E_MANIFEST_HEADER || error->code == IMP_E_MANIFEST_LENGTH);
    g_clear_error(&error);

    /* The other's payload behind the own manifest. */
    const ImpClear *a = f->sealed->clear, *b = other->clear;
    gsize n_a;
    const guint8 *bytes_a = g_bytes_get_data(f->sealed->file, &n_a),
                 *bytes_b = g_bytes_get_data(other->file, NULL);
    guint8 *copy = g_memdup2(bytes_a, n_a);
    memcpy(copy + IMP_IMAGE_FIXED_BYTES + a->clear_bytes + a->envelope_bytes,
           bytes_b + IMP_IMAGE_FIXED_BYTES + b->clear_bytes + b->envelope_bytes, a->payload_bytes);
    g_autoptr(GBytes) mixed = g_bytes_new_take(copy, n_a);
    g_autoptr(GBytes) mixed_file = fixture_fix_trailer(mixed);
    assert_open_refuses(f, mixed_file, IMP_E_CHUNK_DIGEST);
}

/* --- manifest ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *from, *to;
    ImpErrorCode code;
} Edit;

/* Not even JSON of the one form. */
static void test_manifest_syntax(Fixture *f, gconstpointer unused)
{
    static const Edit rows[] = {
        {"\"kind\":\"sap\"", "\"kinds\":1,\"kind\":\"sap\"", IMP_E_MANIFEST_SYNTAX}, /* not sorted */
        {"\"units\":6", "\"units\": 6", IMP_E_MANIFEST_SYNTAX},
        {"\"units\":6", "\"units\":6,\"units\":6", IMP_E_MANIFEST_SYNTAX},
        {"{\"clear_sha256\"", "[{\"clear_sha256\"", IMP_E_MANIFEST_SYNTAX},
        {"\"name\":\"Blinky\"", "\"name\":\"Blink\\u0079\"", IMP_E_MANIFEST_SYNTAX},
    };
    g_autofree char *manifest = fixture_manifest(f->plain->file, f->keys);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *changed = fixture_replace(manifest, rows[i].from, rows[i].to);
        g_autoptr(GBytes) file = fixture_with_manifest(f->plain->file, changed, f->keys->author, f->keys);
        assert_open_refuses(f, file, rows[i].code);
    }
}

/* Signed by the author, with all lengths and digests right: what a defect of a builder, or a builder of another version,
 * would make. */
static void test_manifest(Fixture *f, gconstpointer unused)
{
    static const Edit rows[] = {
        {"\"imprint-manifest\":1", "\"imprint-manifest\":2", IMP_E_MANIFEST_VERSION},
        {"\"imprint-manifest\":1", "\"imprint-manifest\":\"1\"", IMP_E_MANIFEST_INVALID},
        {"\"imprint-manifest\":1,", "", IMP_E_MANIFEST_INVALID},
        {"\"kind\":\"sap\"", "\"kind\":\"sap\",\"kinds\":1", IMP_E_MANIFEST_UNKNOWN_MEMBER},
        {"\"rework\":\"refuse\"", "\"rework\":\"refuse\",\"s\":1", IMP_E_MANIFEST_UNKNOWN_MEMBER},
        {"\"core\":", "\"cora\":1,\"core\":", IMP_E_MANIFEST_UNKNOWN_MEMBER},
        {"\"step\":\"program\"", "\"step\":\"program\",\"wipe\":1", IMP_E_MANIFEST_UNKNOWN_MEMBER},
        {"\"units\":6", "\"units\":6,\"unitt\":6", IMP_E_MANIFEST_UNKNOWN_MEMBER},
        {"\"units\":6", "\"units\":-6", IMP_E_MANIFEST_INVALID},
        {"\"units\":6", "\"units\":6.0", IMP_E_MANIFEST_INVALID},
        {"\"units\":6", "\"units\":true", IMP_E_MANIFEST_INVALID},
        {"\"units\":6", "\"not_before_s\":9,\"not_after_s\":8", IMP_E_MANIFEST_INVALID},
        {"\"kind\":\"sap\",", "", IMP_E_MANIFEST_INVALID},
        {"\"kind\":\"sap\"", "\"kind\":\"job\"", IMP_E_MANIFEST_HEADER},
        {"\"name\":\"Blinky\"", "\"name\":\"Blinkx\"", IMP_E_MANIFEST_HEADER},
        {"\"version\":\"1.0\"", "\"version\":\"1.00\"", IMP_E_MANIFEST_HEADER},
        {"nRF51822_xxAA", "nRF51822_xxAB", IMP_E_MANIFEST_HEADER},
        {"\"step\":\"program\"", "\"step\":\"explode\"", IMP_E_MANIFEST_INVALID},
        {"\"name\":\"memory\"", "\"name\":\"mammary\"", IMP_E_MANIFEST_INVALID},
        {"\"name\":\"memory\"", "\"key\":\"00\",\"name\":\"memory\"", IMP_E_MANIFEST_INVALID},
        {"\"bytes\":100", "\"bytes\":99", IMP_E_MANIFEST_INVALID},
        {"\"bytes\":100", "\"bytes\":101", IMP_E_MANIFEST_INVALID},
        {"\"plain_bytes\":100", "\"plain_bytes\":101", IMP_E_SECTION_UNPACK},
        {"\"address\":1024,\"bytes\":100", "\"address\":1073741824,\"bytes\":100", IMP_E_CONTENT_INVALID},
        {"\"address\":261120", "\"address\":1030", IMP_E_CONTENT_INVALID}, /* the place over the data */
        {"\"rework\":\"refuse\"", "\"rework\":\"keep-values\"", IMP_E_CONTENT_DIGEST},
        {"\"address\":1024,\"bytes\":100", "\"address\":2048,\"bytes\":100", IMP_E_CONTENT_DIGEST},
        {"\"erase\":\"all\"", "\"erase\":\"used\"", IMP_E_CONTENT_DIGEST},
        {"\"numbers\":{\"first\":10,\"last\":19}", "\"numbers\":{\"first\":10,\"last\":100}",
         IMP_E_NUMBERS_OUTSIDE_POOL},
        {"\"numbers\":{\"first\":10,\"last\":19}", "\"numbers\":{\"first\":20,\"last\":19}",
         IMP_E_MANIFEST_INVALID},
        {"\"numbers\":{\"first\":10,\"last\":19}", "\"numbers\":{\"first\":10}", IMP_E_MANIFEST_INVALID},
        {"\"last\":19}", "\"last\":19,\"step\":2}", IMP_E_MANIFEST_UNKNOWN_MEMBER},
        {"{\\\"first\\\":1,", "{\\\"first\\\":0,",
         IMP_E_MANIFEST_INVALID}, /* another definition, the old digest */
    };
    g_autofree char *manifest = fixture_manifest(f->plain->file, f->keys);
    g_autoptr(GBytes) same = fixture_forge(f->plain->file, manifest, f->keys->author, f->keys);
    GError *error = NULL;
    g_autoptr(ImpImage) image = imp_image_open(same, NULL, f->keys->authors, &error);
    g_assert_no_error(error); /* the forger's hand alone spoils nothing */
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s -> %s", rows[i].from, rows[i].to);
        g_autofree char *changed = fixture_replace(manifest, rows[i].from, rows[i].to);
        g_autoptr(GBytes) file = fixture_forge(f->plain->file, changed, f->keys->author, f->keys);
        assert_open_refuses(f, file, rows[i].code);
    }
    g_autofree char *longer = fixture_replace(manifest, "\"file_bytes\":", "\"file_bytes\":1");
    g_autoptr(GBytes) file = fixture_with_manifest(f->plain->file, longer, f->keys->author, f->keys);
    assert_open_refuses(f, file, IMP_E_MANIFEST_LENGTH);
}

/* The digit after a word, changed: digests and keys. */
static char *change_digit_after(const char *text, const char *word)
{
    char *copy = g_strdup(text);
    char *at = strstr(copy, word);
    g_assert_nonnull(at);
    at += strlen(word);
    *at = *at == '0' ? '1' : '0';
    return copy;
}

static void test_manifest_digests(Fixture *f, gconstpointer unused)
{
    static const struct {
        const char *word;
        ImpErrorCode code;
    } rows[] = {
        {"\"chunks\":[\"", IMP_E_CHUNK_DIGEST},
        {"\"key\":\"", IMP_E_CHUNK_OPEN},
        {"\"content_sha256\":\"", IMP_E_CONTENT_DIGEST},
    };
    g_autofree char *manifest = fixture_manifest(f->sealed->file, f->keys);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *changed = change_digit_after(manifest, rows[i].word);
        g_autoptr(GBytes) file = fixture_forge(f->sealed->file, changed, f->keys->author, f->keys);
        assert_open_refuses(f, file, rows[i].code);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(Keys) p256 = keys_new();
    g_autoptr(Keys) rsa = keys_new_of(IMP_IMAGE_SUITE_RSA);
#define ADD(name, function)                                                                                  \
    g_test_add(name, Fixture, p256, set_up, function, tear_down);                                            \
    g_test_add("/suite-2" name, Fixture, rsa, set_up, function, tear_down)
    ADD("/refusals/fixed-header", test_fixed_header);
    ADD("/refusals/clear-header", test_clear_header);
    ADD("/refusals/clear-header-keys", test_clear_header_keys);
    ADD("/refusals/claims-of-encryption", test_claims_of_encryption);
    ADD("/refusals/keys", test_keys);
    ADD("/refusals/station", test_station);
    ADD("/refusals/envelope-edits", test_envelope_edits);
    ADD("/refusals/envelope-trailing", test_envelope_trailing);
    ADD("/refusals/envelope-ber", test_envelope_ber);
    ADD("/refusals/signature", test_signature);
    ADD("/refusals/other-suite", test_other_suite);
    ADD("/refusals/downgrade", test_downgrade);
    ADD("/refusals/swapped-parts", test_swapped_parts);
    ADD("/refusals/manifest-syntax", test_manifest_syntax);
    ADD("/refusals/manifest", test_manifest);
    ADD("/refusals/manifest-digests", test_manifest_digests);
    return g_test_run();
}
