/* Opening a sealed image: everything is checked before anything of its content is returned, in this order: fixed header,
 * lengths, clear header, digest at the end; envelope against its suite's template, before any CMS code sees it; image key,
 * author, signature; manifest member by member, against both headers; every stored chunk's digest, every chunk's
 * decryption, unpacked lengths; rules of the content. All of that is bound by the author's signature.
 *
 * The content digest says what the content is, not whether it is whole: it costs a hash over all plaintext, and only an author who
 * lies about an own image could make it differ. So opening for a launch leaves it out; verify, inspect and diff check it.
 *
 * The content of an encrypted image lies in locked memory that is wiped when the image is freed; GBytes taken out of it
 * keep that memory alive. Plaintext never goes to a file.
 *
 * Ownership: imp_image_free frees all. Immutable once opened: any thread. */
#pragma once

#include <jansson.h>

#include "image/clear.h"
#include "image/content.h"
#include "image/keys.h"

typedef struct {
    ImpClear *clear;
    ImpRestrictions restrictions;
    ImpContent *content;
    guint8 content_sha256[IMP_SHA256_BYTES]; /* of the object: the same in every sealing */
    guint8 provenance_sha256[IMP_SHA256_BYTES];
} ImpImage;

void imp_image_free(ImpImage *image);

/* Opens an image in memory. image_keys: private halves and clouds' shares that are here (NULL = none); authors: who is trusted; both are only
 * read. Errors: every E30xx, each by its own code; E3110 (the cloud's share is missing); E1004. */
ImpImage *imp_image_open(GBytes *file, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same with a file (E1002, E1009). */
ImpImage *imp_image_load(const char *path, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef enum {
    IMP_VERIFIED_SHAPE =
        2, /* file is whole, headers and envelope have the right form; signature unseen (no image key) */
    IMP_VERIFIED_MANIFEST, /* signature and manifest; the payload opens with the cloud's share only, which is not here */
    IMP_VERIFIED_ALL, /* signature, manifest and every chunk */
} ImpVerified;

/* Checks as far as the keys reach: without the private image key of an encrypted image (image_keys NULL or without it)
 * that is IMP_VERIFIED_SHAPE. authors as in open. */
gboolean imp_image_verify(GBytes *file, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                          ImpVerified *out_verified, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same with a file, by two threads, in bounded memory (some 12 MiB, and up to 16 MiB of test programs), however large it is. Errors: also
 * E1002, E1009, E1003. */
gboolean imp_image_verify_file(const char *path, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                               ImpVerified *out_verified, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same without the content digest: what opening checks before a launch. One thread. */
gboolean imp_image_check_file(const char *path, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                              ImpVerified *out_verified, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What can be said of an image, as JSON: the clear metadata, and everything but the bytes themselves if it is not encrypted
 * or its image key is here. authors may be NULL or lack the author: then "signature" says "unchecked". A wrong signature
 * or a damaged file is an error. Free with json_decref. */
json_t *imp_image_inspect(GBytes *file, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A content as an image's "content" shows it: everything but the bytes. Free with json_decref. */
json_t *imp_content_inspect(const ImpContent *content);

/* A content (of an object or image) for people, lines of "name  value"; free with g_free. */
char *imp_content_text(const json_t *content);

/* What was inspected, for people; free with g_free. */
char *imp_image_inspect_text(const json_t *inspected);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpImage, imp_image_free)
