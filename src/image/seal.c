#include "image/seal.h"

#include <string.h>

#include <openssl/crypto.h>

#include "base/json.h"
#include "image/clear_codec.h"
#include "image/content_json.h"
#include "image/envelope.h"
#include "image/manifest.h"
#include "image/numbers.h"
#include "image/share.h"
#include "image/statement.h"

/* The manifest says the exact length of a file that holds its own signature, whose length varies by a byte or two from
 * one signing to the next: sign again until it is as long as it was thought to be. The most frequent length comes up
 * every other time; this many misses in a row do not happen. */
#define SIGNINGS_MAX 200

void imp_sealed_free(ImpSealed *sealed)
{
    if (sealed == NULL)
        return;
    g_clear_pointer(&sealed->file, g_bytes_unref);
    g_clear_pointer(&sealed->statement, g_bytes_unref);
    imp_clear_free(sealed->clear);
    imp_secret_free(sealed->share);
    g_free(sealed);
}

static gboolean bad_option(GError **error, const char *why)
{
    imp_error_set(error, IMP_E_ARGUMENT, "sealing: %s", why);
    return FALSE;
}

static gboolean check_options(const ImpSealOptions *options, GError **error)
{
    const ImpRestrictions *r = &options->restrictions;
    gboolean job = options->kind == IMP_IMAGE_JOB;
    if (!job && options->kind != IMP_IMAGE_SAP)
        return bad_option(error, "the kind must be SAP or JOB");
    if (options->author == NULL || !imp_key_has_private(options->author)) {
        imp_error_set(error, IMP_E_KEY_PRIVATE_MISSING, "sealing needs the author's private key");
        return FALSE;
    }
    if (!imp_key_check_role(options->author, IMP_KEY_AUTHOR, "sealing: the author's key", error) ||
        (options->image_key != NULL &&
         !imp_key_check_role(options->image_key, IMP_KEY_IMAGE, "sealing: the image key", error)))
        return FALSE;
    if (options->image_key != NULL && imp_key_suite(options->image_key) != imp_key_suite(options->author))
        return bad_option(error, "author key and image key must be of one suite: both EC P-256, or both RSA");
    if (options->image_key != NULL &&
        imp_key_id_equal(imp_key_id(options->image_key), imp_key_id(options->author)))
        return bad_option(error, "one key must not be author key and image key");
    if (job && (options->cloud_ca_sha256 == NULL || options->factory == NULL || options->factory[0] == '\0'))
        return bad_option(error, "a JOB needs its cloud and its factory");
    if (!job && (options->cloud_ca_sha256 != NULL || options->factory != NULL))
        return bad_option(error, "a SAP has neither cloud nor factory");
    if (options->release_by_cloud && (!job || options->image_key == NULL))
        return bad_option(error, "only an encrypted JOB is released by its cloud");
    if (job &&
        (strlen(options->factory) > IMP_IMAGE_NAME_MAX || !g_utf8_validate(options->factory, -1, NULL)))
        return bad_option(error, "the factory's name is not UTF-8 or longer than 64 bytes");
    if (r->count_on != IMP_COUNT_ON_PASS && r->count_on != IMP_COUNT_ON_WRITE)
        return bad_option(error, "it must be said what is counted");
    if (r->has_not_before && r->has_not_after && r->not_before_s > r->not_after_s)
        return bad_option(error, "the first date is later than the last");
    if ((r->has_units && r->units > G_MAXINT64) || (r->has_max_failures && r->max_failures > G_MAXINT64) ||
        (r->has_not_before && r->not_before_s < 0) || (r->has_not_after && r->not_after_s < 0))
        return bad_option(error, "a count or date is out of range");
    return TRUE;
}

static ImpClear *make_clear(const ImpContent *content, const ImpSealOptions *options)
{
    ImpClear *clear = g_new0(ImpClear, 1);
    clear->kind = options->kind;
    clear->id = imp_id_random(options->random);
    clear->name = g_strdup(content->name);
    clear->version = g_strdup(content->version);
    clear->device = g_strdup(content->device->name);
    clear->author = *imp_key_id(options->author);
    clear->encrypted = options->image_key != NULL;
    if (clear->encrypted)
        clear->image_key = *imp_key_id(options->image_key);
    if (clear->kind == IMP_IMAGE_JOB)
        memcpy(clear->cloud_ca_sha256, options->cloud_ca_sha256, IMP_SHA256_BYTES);
    clear->factory = g_strdup(clear->kind == IMP_IMAGE_JOB ? options->factory : "");
    clear->suite = imp_key_suite(options->author);
    return clear;
}

/* Packs, encrypts and appends each section; fills the manifest's list. share NULL: not released by the cloud. */
static gboolean write_sections(GByteArray *payload, GPtrArray *sections, const ImpSealOptions *options,
                               const ImpId *image, const ImpSecret *share, ImpManifest *manifest,
                               GError **error)
{
    for (guint i = 0; i < sections->len; i++) {
        guint8 key[IMP_SECTION_KEY_BYTES], derived[IMP_SECTION_KEY_BYTES];
        imp_random_fill(options->random, key, sizeof key);
        gboolean good = share == NULL || imp_share_derive(share->bytes, key, image, i, derived, error);
        const guint8 *payload_key = options->image_key == NULL ? NULL : share != NULL ? derived : key;
        good = good && imp_section_write(payload, i, image, g_ptr_array_index(sections, i), payload_key,
                                         &manifest->sections[i], error);
        if (good && share != NULL)
            memcpy(manifest->sections[i].key, key, sizeof key); /* what the payload's is derived from */
        OPENSSL_cleanse(key, sizeof key);
        OPENSSL_cleanse(derived, sizeof derived);
        if (!good)
            return FALSE;
        manifest->n_sections = i + 1;
    }
    return TRUE;
}

/* Sets all lengths for an envelope of envelope_bytes, and the digests that follow from them. */
static void bind_headers(ImpClear *clear, const char *clear_text, gsize envelope_bytes, ImpManifest *manifest)
{
    guint8 fixed[IMP_IMAGE_FIXED_BYTES];
    clear->envelope_bytes = (guint32)envelope_bytes;
    clear->file_bytes = IMP_IMAGE_FIXED_BYTES + clear->clear_bytes + clear->envelope_bytes +
                        clear->payload_bytes + IMP_IMAGE_TRAILER_BYTES;
    imp_clear_encode_fixed(clear, fixed);
    imp_sha256(fixed, sizeof fixed, manifest->fixed_sha256);
    imp_sha256(clear_text, clear->clear_bytes, manifest->clear_sha256);
    manifest->file_bytes = clear->file_bytes;
}

/* The envelope around the manifest as it stands. */
static GBytes *make_envelope(const ImpManifest *manifest, const ImpSealOptions *options, GError **error)
{
    g_autoptr(ImpSecret) text = imp_manifest_encode(manifest, error);
    if (text == NULL)
        return NULL;
    GBytes *signed_data = imp_cms_sign(text->bytes, text->n_bytes, options->author, error);
    if (signed_data == NULL || options->image_key == NULL)
        return signed_data;
    gsize n_signed;
    const void *bytes = g_bytes_get_data(signed_data, &n_signed);
    GBytes *sealed = imp_cms_seal(bytes, n_signed, options->image_key, error);
    OPENSSL_cleanse((void *)bytes, n_signed); /* it holds the section keys; nobody else has seen it */
    g_bytes_unref(signed_data);
    return sealed;
}

static GBytes *fit_envelope(ImpClear *clear, const char *clear_text, ImpManifest *manifest,
                            const ImpSealOptions *options, GError **error)
{
    gsize thought_bytes = 0;
    for (int i = 0; i < SIGNINGS_MAX; i++) {
        bind_headers(clear, clear_text, thought_bytes, manifest);
        g_autoptr(GBytes) envelope = make_envelope(manifest, options, error);
        if (envelope == NULL)
            return NULL;
        gsize n_envelope = g_bytes_get_size(envelope);
        if (n_envelope == thought_bytes)
            return g_steal_pointer(&envelope);
        if (n_envelope > IMP_IMAGE_ENVELOPE_MAX) {
            imp_error_set(error, IMP_E_LIMIT, "the envelope is larger than %u bytes", IMP_IMAGE_ENVELOPE_MAX);
            return NULL;
        }
        thought_bytes = n_envelope;
    }
    imp_error_set(error, IMP_E_CRYPTO, "no two signatures in a row were of one length in %d signings",
                  SIGNINGS_MAX);
    return NULL;
}

static GBytes *join(const ImpClear *clear, const char *clear_text, GBytes *envelope,
                    const GByteArray *payload)
{
    guint8 fixed[IMP_IMAGE_FIXED_BYTES], digest[IMP_SHA256_BYTES];
    GByteArray *file = g_byte_array_sized_new((guint)clear->file_bytes);
    imp_clear_encode_fixed(clear, fixed);
    g_byte_array_append(file, fixed, sizeof fixed);
    g_byte_array_append(file, (const guint8 *)clear_text, clear->clear_bytes);
    g_byte_array_append(file, g_bytes_get_data(envelope, NULL), (guint)g_bytes_get_size(envelope));
    g_byte_array_append(file, payload->data, payload->len);
    imp_sha256(file->data, file->len, digest);
    g_byte_array_append(file, digest, sizeof digest);
    g_assert(file->len == clear->file_bytes);
    return g_byte_array_free_to_bytes(file);
}

static GBytes *make_file(const ImpObject *object, const ImpSealOptions *options, const ImpSecret *share,
                         ImpClear *clear, ImpManifest *manifest, GError **error)
{
    g_autoptr(GPtrArray) sections = NULL;
    g_autoptr(GByteArray) payload = g_byte_array_new();
    json_auto_t *clear_json = imp_clear_to_json(clear);
    g_autofree char *clear_text = imp_json_text(clear_json);
    clear->clear_bytes = (guint32)strlen(clear_text);
    manifest->kind = clear->kind;
    manifest->id = clear->id;
    manifest->restrictions = options->restrictions;
    manifest->content = imp_content_encode(object->content, &sections);
    memcpy(manifest->content_sha256, object->content_sha256, IMP_SHA256_BYTES);
    memcpy(manifest->provenance_sha256, object->provenance_sha256, IMP_SHA256_BYTES);
    if (!write_sections(payload, sections, options, &clear->id, share, manifest, error))
        return NULL;
    clear->payload_bytes = payload->len;
    g_autoptr(GBytes) envelope = fit_envelope(clear, clear_text, manifest, options, error);
    return envelope != NULL ? join(clear, clear_text, envelope, payload) : NULL;
}

ImpSealed *imp_image_seal(const ImpObject *object, const ImpSealOptions *options, GError **error)
{
    if (!check_options(options, error) ||
        !imp_numbers_check(options->kind, object->content, &options->restrictions, error))
        return NULL;
    g_autoptr(ImpSealed) sealed = g_new0(ImpSealed, 1);
    g_autoptr(ImpClear) clear = make_clear(object->content, options);
    ImpManifest manifest = {0};
    if (options->release_by_cloud) {
        sealed->share = imp_secret_new(IMP_SHARE_BYTES);
        if (sealed->share == NULL) {
            imp_error_set(error, IMP_E_NO_MEMORY, "no memory for a share");
            return NULL;
        }
        imp_random_fill(options->random, sealed->share->bytes, IMP_SHARE_BYTES);
        clear->has_share = TRUE;
        imp_share_digest(sealed->share->bytes, clear->share_sha256);
    }
    sealed->file = make_file(object, options, sealed->share, clear, &manifest, error);
    imp_manifest_done(&manifest);
    if (sealed->file == NULL)
        return NULL;
    /* Read back what was written: what leaves here is what everyone else will see. */
    sealed->clear = imp_clear_read(sealed->file, error);
    if (sealed->clear == NULL)
        return NULL;
    if (options->kind == IMP_IMAGE_JOB) {
        g_autoptr(ImpStatement) statement =
            imp_statement_new(sealed->clear, object->content_sha256, &options->restrictions, object->content);
        sealed->statement = imp_statement_encode(statement, options->author, error);
        if (sealed->statement == NULL)
            return NULL;
    }
    return g_steal_pointer(&sealed);
}
