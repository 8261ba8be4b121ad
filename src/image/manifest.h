/* Inside of image/ only: the manifest, canonical JSON, which the author signs. It binds everything else of the file.
 *
 *     manifest  { "imprint-manifest": 1
 *                 "fixed_sha256" "clear_sha256"      digests of fixed and clear header
 *                 "kind" "id"                        once more, in words
 *                 "file_bytes"                       exact length of the file, trailer included
 *                 "restrictions": (image/policy_json.h)
 *                 "content": (image/content_json.h)
 *                 "content_sha256" "provenance_sha256"
 *                 "sections": [section…] }           0: memory, then the blobs of the algorithms, then tests
 *     section   { "name": "memory"|"algorithm-0"…|"test-0"… "plain_bytes" "packed_bytes" "stored_bytes" "chunk_bytes"
 *                 "chunks": [SHA-256 of each stored chunk…] "key"? }      key: 32 bytes, if and only if encrypted */
#pragma once

#include <jansson.h>

#include "image/clear.h"
#include "image/content_json.h"
#include "image/secret.h"
#include "image/section.h"

#define IMP_MANIFEST_VERSION 1
#define IMP_MANIFEST_MAX     (3u * 1024 * 1024)

typedef struct {
    guint8 fixed_sha256[IMP_SHA256_BYTES];
    guint8 clear_sha256[IMP_SHA256_BYTES];
    ImpImageKind kind;
    ImpId id;
    guint64 file_bytes;
    ImpRestrictions restrictions;
    json_t *content;
    guint8 content_sha256[IMP_SHA256_BYTES];
    guint8 provenance_sha256[IMP_SHA256_BYTES];
    ImpSection sections[IMP_CONTENT_SECTIONS_MAX];
    gsize n_sections;
} ImpManifest;

/* Wipes the keys and frees what is inside. */
void imp_manifest_done(ImpManifest *manifest);

/* Canonical text, wiped when freed. Errors: E1004. */
ImpSecret *imp_manifest_encode(const ImpManifest *manifest, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Form and limits; nothing is compared with the rest of the file. encrypted: every section must have a key, else none may.
 * Errors: E3020 to E3023, E1004. */
gboolean imp_manifest_decode(const guint8 *text, gsize n_bytes, gboolean encrypted, ImpManifest *out_manifest,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Compares it with the headers (head: both, as in the file). Errors: E3024, E3025. */
gboolean imp_manifest_check(const ImpManifest *manifest, const ImpClear *clear, const guint8 *head,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
