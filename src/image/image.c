#include "image/image.h"

#include <string.h>

#include <openssl/crypto.h>

#include "image/envelope.h"
#include "image/manifest.h"
#include "image/numbers.h"
#include "image/opened.h"
#include "image/object.h"
#include "image/share.h"

void imp_opened_done(ImpOpened *opened)
{
    g_clear_pointer(&opened->clear, imp_clear_free);
    imp_manifest_done(&opened->manifest);
}

/* The SignedData of the image: inside the file, or decrypted into *out_plain. FALSE without an error: no image key. */
static gboolean unwrap(const ImpClear *clear, const guint8 *envelope, const ImpKeyRing *image_keys,
                       ImpSecret **out_plain, const guint8 **out_der, gsize *out_n_der, GError **error)
{
    if (!clear->encrypted) {
        *out_der = envelope;
        *out_n_der = clear->envelope_bytes;
        return TRUE;
    }
    ImpKeyId recipient;
    if (!imp_cms_parse_sealed(envelope, clear->envelope_bytes, clear->suite, &recipient, error))
        return FALSE;
    if (!imp_key_id_equal(&recipient, &clear->image_key)) {
        imp_error_set(error, IMP_E_ENVELOPE_SHAPE,
                      "envelope: it is sealed to another key than the clear header names");
        return FALSE;
    }
    const ImpKey *key = image_keys != NULL ? imp_keyring_find(image_keys, &recipient) : NULL;
    if (key == NULL || !imp_key_has_private(key))
        return FALSE;
    ImpSecret *plain = imp_cms_open(envelope, clear->envelope_bytes, key, error);
    if (plain == NULL)
        return FALSE;
    *out_plain = plain;
    *out_der = plain->bytes;
    *out_n_der = plain->n_bytes;
    return TRUE;
}

static void set_no_key(const ImpClear *clear, GError **error)
{
    char id[IMP_KEY_ID_TEXT_SIZE];
    imp_error_set(error, IMP_E_IMAGE_KEY_MISSING,
                  "image '%s' is encrypted with the image key %s, which is not here", clear->name,
                  imp_key_id_text(&clear->image_key, id));
}

/* Is it the author of the clear header, is the author trusted, is the signature right? */
static gboolean check_signature(const ImpClear *clear, const ImpCmsSigned *signed_data,
                                const ImpKeyRing *authors, gboolean need_author, gboolean *out_checked,
                                GError **error)
{
    if (!imp_key_id_equal(&signed_data->signer, &clear->author)) {
        imp_error_set(error, IMP_E_ENVELOPE_SHAPE,
                      "envelope: it is signed by another key than the clear header names");
        return FALSE;
    }
    const ImpKey *author = authors != NULL ? imp_keyring_find(authors, &signed_data->signer) : NULL;
    *out_checked = author != NULL;
    if (author != NULL)
        return imp_cms_verify(signed_data, author, error);
    char id[IMP_KEY_ID_TEXT_SIZE];
    if (need_author)
        imp_error_set(error, IMP_E_AUTHOR_UNKNOWN, "the author %s of image '%s' is not trusted here",
                      imp_key_id_text(&signed_data->signer, id), clear->name);
    return !need_author;
}

gboolean imp_opened_init_head(ImpOpened *opened, ImpClear *clear, const guint8 *head,
                              const ImpKeyRing *image_keys, const ImpKeyRing *authors, gboolean need_author,
                              GError **error)
{
    ImpOpened result = {.clear = clear, .image_keys = image_keys};
    const guint8 *envelope = head + IMP_IMAGE_FIXED_BYTES + result.clear->clear_bytes, *der;
    gsize n_der;
    g_autoptr(GError) inner = NULL;
    g_autoptr(ImpSecret) plain = NULL;
    ImpCmsSigned signed_data;
    gboolean good = FALSE;
    if (unwrap(result.clear, envelope, image_keys, &plain, &der, &n_der, &inner)) {
        good = imp_cms_parse_signed(der, n_der, result.clear->suite, &signed_data, error) &&
               check_signature(result.clear, &signed_data, authors, need_author, &result.signature_checked,
                               error) &&
               imp_manifest_decode(signed_data.content, signed_data.n_content, result.clear->encrypted,
                                   &result.manifest, error) &&
               imp_manifest_check(&result.manifest, result.clear, head, error);
        result.readable = TRUE;
    } else if (inner != NULL) {
        g_propagate_error(error, g_steal_pointer(&inner));
    } else {
        good = TRUE; /* as far as one can see without the key */
    }
    if (!good) {
        imp_opened_done(&result);
        return FALSE;
    }
    *opened = result;
    return TRUE;
}

gboolean imp_opened_init(ImpOpened *opened, GBytes *file, const ImpKeyRing *image_keys,
                         const ImpKeyRing *authors, gboolean need_author, GError **error)
{
    ImpClear *clear = imp_clear_read(file, error);
    if (clear == NULL || !imp_opened_init_head(opened, clear, g_bytes_get_data(file, NULL), image_keys,
                                               authors, need_author, error))
        return FALSE;
    opened->file = file;
    return TRUE;
}

gboolean imp_opened_judge(const ImpOpened *opened, ImpContent *content, const guint8 digest[IMP_SHA256_BYTES],
                          GError **error)
{
    const ImpClear *clear = opened->clear;
    const ImpManifest *manifest = &opened->manifest;
    if (digest != NULL && memcmp(digest, manifest->content_sha256, IMP_SHA256_BYTES) != 0) {
        imp_error_set(error, IMP_E_CONTENT_DIGEST,
                      "image '%s': its content is not that of its content digest", clear->name);
        return FALSE;
    }
    /* The digest is over the object's pool; what is carried out has the image's part of it. */
    if (manifest->restrictions.n_numbers > 0 && clear->kind == IMP_IMAGE_JOB) {
        imp_error_set(error, IMP_E_MANIFEST_INVALID, "image '%s': a JOB has no numbers of its own",
                      clear->name);
        return FALSE;
    }
    if (!imp_numbers_narrow(clear->kind, content, &manifest->restrictions, error)) {
        g_prefix_error(error, "image '%s': ", clear->name);
        return FALSE;
    }
    return TRUE;
}

static const guint8 *share_of(const ImpOpened *opened)
{
    return opened->image_keys != NULL
               ? imp_keyring_find_share(opened->image_keys, opened->clear->share_sha256)
               : NULL;
}

gboolean imp_opened_has_share(const ImpOpened *opened)
{
    return !opened->clear->has_share || share_of(opened) != NULL;
}

gboolean imp_opened_section(const ImpOpened *opened, guint32 index, ImpSection *out_section, GError **error)
{
    const ImpClear *clear = opened->clear;
    const guint8 *key = opened->manifest.sections[index].key;
    ImpSection section = opened->manifest.sections[index];
    gboolean good =
        !clear->has_share || imp_share_derive(share_of(opened), key, &clear->id, index, section.key, error);
    if (good)
        *out_section = section;
    OPENSSL_cleanse(section.key, sizeof section.key);
    return good;
}

static GBytes *read_section(const ImpOpened *opened, guint32 index, const guint8 *stored, GError **error)
{
    ImpSection section;
    guint64 max_bytes = index == 0 ? IMP_CONTENT_DATA_MAX : IMP_OPENED_SMALL_MAX;
    if (!imp_opened_section(opened, index, &section, error))
        return NULL;
    GBytes *bytes = imp_section_read(&section, index, &opened->clear->id, stored, max_bytes, error);
    OPENSSL_cleanse(section.key, sizeof section.key);
    return bytes;
}

/* Every chunk of every section, then the content by its rules and by its digest. */
ImpContent *imp_opened_content(const ImpOpened *opened, gboolean with_digest, GError **error)
{
    const ImpClear *clear = opened->clear;
    const ImpManifest *manifest = &opened->manifest;
    const guint8 *stored = g_bytes_get_data(opened->file, NULL);
    stored += IMP_IMAGE_FIXED_BYTES + clear->clear_bytes + clear->envelope_bytes;
    if (!imp_opened_has_share(opened)) {
        imp_error_set(error, IMP_E_SHARE_MISSING,
                      "image '%s' is released by its cloud, whose share is not here", clear->name);
        return NULL;
    }
    g_autoptr(GPtrArray) sections = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    for (guint32 i = 0; i < manifest->n_sections; i++) {
        GBytes *bytes = read_section(opened, i, stored, error);
        if (bytes == NULL)
            return NULL;
        g_ptr_array_add(sections, bytes);
        stored += manifest->sections[i].stored_bytes;
    }
    g_autoptr(ImpContent) content =
        imp_content_decode(manifest->content, (GBytes *const *)sections->pdata, sections->len,
                           IMP_E_MANIFEST_INVALID, IMP_E_MANIFEST_UNKNOWN_MEMBER, error);
    if (content == NULL)
        return NULL;
    guint8 digest[IMP_SHA256_BYTES];
    if (with_digest)
        imp_content_digest(content, digest);
    if (!imp_opened_judge(opened, content, with_digest ? digest : NULL, error))
        return NULL;
    return g_steal_pointer(&content);
}

void imp_image_free(ImpImage *image)
{
    if (image == NULL)
        return;
    imp_clear_free(image->clear);
    imp_content_free(image->content);
    g_free(image);
}

ImpImage *imp_image_open(GBytes *file, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                         GError **error)
{
    g_auto(ImpOpened) opened = {0};
    if (!imp_opened_init(&opened, file, image_keys, authors, TRUE, error))
        return NULL;
    if (!opened.readable) {
        set_no_key(opened.clear, error);
        return NULL;
    }
    ImpContent *content = imp_opened_content(&opened, FALSE, error);
    if (content == NULL)
        return NULL;
    ImpImage *image = g_new0(ImpImage, 1);
    image->clear = g_steal_pointer(&opened.clear);
    image->restrictions = opened.manifest.restrictions;
    image->content = content;
    memcpy(image->content_sha256, opened.manifest.content_sha256, IMP_SHA256_BYTES);
    memcpy(image->provenance_sha256, opened.manifest.provenance_sha256, IMP_SHA256_BYTES);
    return image;
}

ImpImage *imp_image_load(const char *path, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                         GError **error)
{
    g_autoptr(GBytes) file = imp_image_read_file(path, IMP_IMAGE_FILE_MAX, error);
    ImpImage *image = file != NULL ? imp_image_open(file, image_keys, authors, error) : NULL;
    if (file != NULL && image == NULL)
        g_prefix_error(error, "%s: ", path);
    return image;
}

gboolean imp_image_verify(GBytes *file, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                          ImpVerified *out_verified, GError **error)
{
    g_auto(ImpOpened) opened = {0};
    if (!imp_opened_init(&opened, file, image_keys, authors, TRUE, error))
        return FALSE;
    gboolean has_share = imp_opened_has_share(&opened);
    if (opened.readable && has_share) {
        g_autoptr(ImpContent) content = imp_opened_content(&opened, TRUE, error);
        if (content == NULL)
            return FALSE;
    }
    *out_verified = !opened.readable ? IMP_VERIFIED_SHAPE
                    : has_share      ? IMP_VERIFIED_ALL
                                     : IMP_VERIFIED_MANIFEST;
    return TRUE;
}
