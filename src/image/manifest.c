#include "image/manifest.h"

#include <string.h>

#include <openssl/crypto.h>

#include "base/json.h"
#include "image/policy_json.h"

static const char *const kind_names[] = {[IMP_IMAGE_SAP] = "sap", [IMP_IMAGE_JOB] = "job"};

void imp_manifest_done(ImpManifest *manifest)
{
    for (gsize i = 0; i < manifest->n_sections; i++)
        imp_section_done(&manifest->sections[i]);
    json_decref(manifest->content);
    memset(manifest, 0, sizeof *manifest);
}

/* After the blobs of the algorithms, which the content counts, come the tests. */
static void section_name(const json_t *content, gsize index, char name[32])
{
    gsize n_algorithms = json_array_size(json_object_get(json_object_get(content, "device"), "algorithms"));
    if (index == 0)
        g_strlcpy(name, "memory", 32);
    else if (index <= n_algorithms)
        g_snprintf(name, 32, "algorithm-%" G_GSIZE_FORMAT, index - 1);
    else
        g_snprintf(name, 32, "test-%" G_GSIZE_FORMAT, index - 1 - n_algorithms);
}

/* --- encode --------------------------------------------------------------------------------------------------------- */

static json_t *hex(const guint8 *bytes, gsize n_bytes)
{
    char *text = imp_hex_encode(bytes, n_bytes);
    json_t *string = json_string(text);
    OPENSSL_cleanse(text, 2 * n_bytes);
    g_free(text);
    return string;
}

static json_t *number(guint64 value)
{
    return json_integer((json_int_t)value);
}

static json_t *encode_section(const json_t *content, const ImpSection *section, gsize index)
{
    char name[32];
    section_name(content, index, name);
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(name));
    json_object_set_new(object, "plain_bytes", number(section->plain_bytes));
    json_object_set_new(object, "packed_bytes", number(section->packed_bytes));
    json_object_set_new(object, "stored_bytes", number(section->stored_bytes));
    json_object_set_new(object, "chunk_bytes", number(section->chunk_bytes));
    json_t *chunks = json_array();
    for (gsize i = 0; i < section->n_chunks; i++)
        json_array_append_new(chunks, hex(section->chunk_sha256 + i * IMP_SHA256_BYTES, IMP_SHA256_BYTES));
    json_object_set_new(object, "chunks", chunks);
    if (section->encrypted)
        json_object_set_new(object, "key", hex(section->key, sizeof section->key));
    return object;
}

/* Overwrites the keys in a document that is about to be freed: jansson frees strings as they are. */
static void wipe_keys(json_t *document)
{
    const json_t *sections = json_object_get(document, "sections");
    for (gsize i = 0; i < json_array_size(sections); i++) {
        const json_t *key = json_object_get(json_array_get(sections, i), "key");
        if (json_is_string(key))
            OPENSSL_cleanse((char *)json_string_value(key), json_string_length(key));
    }
}

/* The canonical text of a document in memory that is wiped; NULL if it is larger than a manifest may be. */
static ImpSecret *canonical_text(const json_t *document)
{
    gsize n_bytes = json_dumpb(document, NULL, 0, JSON_COMPACT | JSON_SORT_KEYS);
    ImpSecret *text = n_bytes <= IMP_MANIFEST_MAX ? imp_secret_new(n_bytes) : NULL;
    if (text == NULL)
        return NULL;
    gsize written = json_dumpb(document, (char *)text->bytes, n_bytes, JSON_COMPACT | JSON_SORT_KEYS);
    g_assert(written == n_bytes);
    return text;
}

ImpSecret *imp_manifest_encode(const ImpManifest *manifest, GError **error)
{
    json_t *json = json_object();
    json_object_set_new(json, "imprint-manifest", json_integer(IMP_MANIFEST_VERSION));
    json_object_set_new(json, "fixed_sha256", hex(manifest->fixed_sha256, IMP_SHA256_BYTES));
    json_object_set_new(json, "clear_sha256", hex(manifest->clear_sha256, IMP_SHA256_BYTES));
    json_object_set_new(json, "kind", json_string(kind_names[manifest->kind]));
    json_object_set_new(json, "id", hex(manifest->id.bytes, IMP_ID_BYTES));
    json_object_set_new(json, "file_bytes", number(manifest->file_bytes));
    json_object_set_new(json, "restrictions", imp_restrictions_encode(&manifest->restrictions));
    json_object_set(json, "content", manifest->content);
    json_object_set_new(json, "content_sha256", hex(manifest->content_sha256, IMP_SHA256_BYTES));
    json_object_set_new(json, "provenance_sha256", hex(manifest->provenance_sha256, IMP_SHA256_BYTES));
    json_t *sections = json_array();
    for (gsize i = 0; i < manifest->n_sections; i++)
        json_array_append_new(sections, encode_section(manifest->content, &manifest->sections[i], i));
    json_object_set_new(json, "sections", sections);
    ImpSecret *text = canonical_text(json);
    wipe_keys(json);
    json_decref(json);
    if (text == NULL)
        imp_error_set(error, IMP_E_LIMIT, "the manifest has more than %u bytes", IMP_MANIFEST_MAX);
    return text;
}

/* --- decode --------------------------------------------------------------------------------------------------------- */

static void decode_chunks(ImpJson *r, ImpSection *section)
{
    const json_t *chunks = imp_json_array(r, "chunks", section->n_chunks, section->n_chunks);
    if (chunks == NULL)
        return;
    section->chunk_sha256 = g_malloc0((gsize)section->n_chunks * IMP_SHA256_BYTES);
    for (gsize i = 0; i < section->n_chunks; i++) {
        const char *text = json_string_value(json_array_get(chunks, i));
        guint8 *digest = section->chunk_sha256 + i * IMP_SHA256_BYTES;
        /* Lower case only: one text for one meaning. */
        if (text == NULL || strspn(text, "0123456789abcdef") != strlen(text) ||
            imp_hex_decode(text, digest, IMP_SHA256_BYTES) != IMP_SHA256_BYTES) {
            imp_json_fault(r, "'chunks' must hold digests");
            return;
        }
    }
}

static void decode_section(ImpJson *r, const ImpManifest *manifest, ImpSection *section, gsize index,
                           gboolean encrypted)
{
    char name[32];
    section_name(manifest->content, index, name);
    if (strcmp(imp_json_string(r, "name", 1, sizeof name), name) != 0)
        imp_json_fault(r, "the section's name must be '%s'", name);
    section->plain_bytes = imp_json_u64(r, "plain_bytes", 0, IMP_CONTENT_DATA_MAX);
    section->packed_bytes = imp_json_u64(r, "packed_bytes", 1, IMP_IMAGE_PAYLOAD_MAX);
    section->chunk_bytes =
        (guint32)imp_json_u64(r, "chunk_bytes", IMP_SECTION_CHUNK_MIN, IMP_SECTION_CHUNK_MAX);
    section->encrypted = encrypted;
    guint64 stored_bytes = imp_json_u64(r, "stored_bytes", 1, IMP_IMAGE_PAYLOAD_MAX);
    if (imp_json_ok(r) && (!imp_section_measure(section) || section->stored_bytes != stored_bytes))
        imp_json_fault(r, "the lengths of section '%s' do not go together", name);
    if (imp_json_ok(r))
        decode_chunks(r, section);
    if (encrypted)
        imp_json_hex(r, "key", section->key, sizeof section->key);
    else if (imp_json_has(r, "key"))
        imp_json_fault(r, "section '%s' has a key, but the image is not encrypted", name);
}

static void decode_sections(ImpJson *r, ImpManifest *manifest, gboolean encrypted)
{
    const json_t *sections = imp_json_array(r, "sections", 1, IMP_CONTENT_SECTIONS_MAX);
    for (gsize i = 0; i < json_array_size(sections) && imp_json_ok(r); i++) {
        ImpJson s;
        GError *error = NULL;
        imp_json_begin(&s, json_array_get(sections, i), "section", IMP_E_MANIFEST_INVALID,
                       IMP_E_MANIFEST_UNKNOWN_MEMBER);
        manifest->n_sections = i + 1;
        decode_section(&s, manifest, &manifest->sections[i], i, encrypted);
        if (!imp_json_end(&s, &error))
            imp_json_take(r, error);
    }
}

static gboolean decode_document(const json_t *json, gboolean encrypted, ImpManifest *manifest, GError **error)
{
    const ImpErrorCode wrong = IMP_E_MANIFEST_INVALID, unknown = IMP_E_MANIFEST_UNKNOWN_MEMBER;
    GError *inner = NULL;
    ImpJson r;
    imp_json_begin(&r, json, "manifest", wrong, unknown);
    imp_json_u64(&r, "imprint-manifest", IMP_MANIFEST_VERSION, IMP_MANIFEST_VERSION);
    imp_json_hex(&r, "fixed_sha256", manifest->fixed_sha256, IMP_SHA256_BYTES);
    imp_json_hex(&r, "clear_sha256", manifest->clear_sha256, IMP_SHA256_BYTES);
    manifest->kind = imp_json_word(&r, "kind", kind_names, G_N_ELEMENTS(kind_names));
    manifest->id = imp_json_id(&r, "id");
    manifest->file_bytes = imp_json_u64(&r, "file_bytes", 1, IMP_IMAGE_FILE_MAX);
    const json_t *restrictions = imp_json_object(&r, "restrictions");
    if (restrictions != NULL &&
        !imp_restrictions_decode(restrictions, wrong, unknown, &manifest->restrictions, &inner))
        imp_json_take(&r, inner);
    manifest->content = json_incref((json_t *)imp_json_object(&r, "content"));
    imp_json_hex(&r, "content_sha256", manifest->content_sha256, IMP_SHA256_BYTES);
    imp_json_hex(&r, "provenance_sha256", manifest->provenance_sha256, IMP_SHA256_BYTES);
    decode_sections(&r, manifest, encrypted);
    return imp_json_end(&r, error);
}

/* Another version may have any other member: this must be asked first. */
static gboolean check_version(const json_t *json, GError **error)
{
    const json_t *version = json_object_get(json, "imprint-manifest");
    if (!json_is_integer(version) || json_integer_value(version) == IMP_MANIFEST_VERSION)
        return TRUE;
    imp_error_set(error, IMP_E_MANIFEST_VERSION,
                  "manifest version %" JSON_INTEGER_FORMAT " is unknown here, known is %d",
                  json_integer_value(version), IMP_MANIFEST_VERSION);
    return FALSE;
}

gboolean imp_manifest_decode(const guint8 *text, gsize n_bytes, gboolean encrypted, ImpManifest *out_manifest,
                             GError **error)
{
    json_t *json = imp_json_parse((const char *)text, n_bytes, IMP_MANIFEST_MAX, "manifest",
                                  IMP_E_MANIFEST_SYNTAX, error);
    if (json == NULL)
        return FALSE;
    g_autoptr(ImpSecret) canonical = canonical_text(json);
    ImpManifest manifest = {0};
    gboolean good = FALSE;
    if (canonical == NULL || canonical->n_bytes != n_bytes || memcmp(canonical->bytes, text, n_bytes) != 0)
        imp_error_set(error, IMP_E_MANIFEST_SYNTAX, "manifest: it is not in canonical form");
    else
        good = check_version(json, error) && decode_document(json, encrypted, &manifest, error);
    wipe_keys(json);
    json_decref(json);
    if (!good) {
        imp_manifest_done(&manifest);
        return FALSE;
    }
    *out_manifest = manifest;
    OPENSSL_cleanse(&manifest, sizeof manifest);
    return TRUE;
}

/* --- against the headers -------------------------------------------------------------------------------------------- */

static gboolean digest_matches(const guint8 *bytes, gsize n_bytes, const guint8 expected[IMP_SHA256_BYTES])
{
    guint8 digest[IMP_SHA256_BYTES];
    imp_sha256(bytes, n_bytes, digest);
    return memcmp(digest, expected, sizeof digest) == 0;
}

/* What content says under another name than the clear header; NULL if they agree. */
static const char *content_differs(const json_t *content, const ImpClear *clear)
{
    const char *name = json_string_value(json_object_get(content, "name"));
    const char *version = json_string_value(json_object_get(content, "version"));
    const char *device = json_string_value(json_object_get(json_object_get(content, "device"), "name"));
    if (g_strcmp0(name, clear->name) != 0)
        return "name";
    if (g_strcmp0(version, clear->version) != 0)
        return "version";
    return g_strcmp0(device, clear->device) != 0 ? "device" : NULL;
}

gboolean imp_manifest_check(const ImpManifest *manifest, const ImpClear *clear, const guint8 *head,
                            GError **error)
{
    const char *differs = NULL;
    if (manifest->file_bytes != clear->file_bytes) {
        imp_error_set(error, IMP_E_MANIFEST_LENGTH,
                      "the manifest is of a file of %" G_GUINT64_FORMAT
                      " bytes, this one has %" G_GUINT64_FORMAT,
                      manifest->file_bytes, clear->file_bytes);
        return FALSE;
    }
    if (manifest->kind != clear->kind)
        differs = "kind";
    else if (!imp_id_equal(&manifest->id, &clear->id))
        differs = "ID";
    else
        differs = content_differs(manifest->content, clear);
    if (differs == NULL && !digest_matches(head, IMP_IMAGE_FIXED_BYTES, manifest->fixed_sha256))
        differs = "fixed header";
    if (differs == NULL &&
        !digest_matches(head + IMP_IMAGE_FIXED_BYTES, clear->clear_bytes, manifest->clear_sha256))
        differs = "clear header";
    if (differs != NULL) {
        imp_error_set(error, IMP_E_MANIFEST_HEADER, "the author signed another %s than stands in the clear",
                      differs);
        return FALSE;
    }
    guint64 payload_bytes = 0;
    for (gsize i = 0; i < manifest->n_sections; i++)
        payload_bytes += manifest->sections[i].stored_bytes;
    if (payload_bytes != clear->payload_bytes) {
        imp_error_set(error, IMP_E_MANIFEST_LENGTH,
                      "the sections have %" G_GUINT64_FORMAT " bytes, the payload has %" G_GUINT64_FORMAT,
                      payload_bytes, clear->payload_bytes);
        return FALSE;
    }
    return TRUE;
}
