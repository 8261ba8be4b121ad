/* The registration statement of a JOB: what the cloud learns when an image is built, signed by its author. Metadata only,
 * never programming data. CMS SignedData of the same template as an image's unencrypted envelope, over canonical JSON.
 *
 * Library imp_image_sign: it links no decryption and no decompression.
 * Ownership: imp_statement_free frees all. Immutable once made. */
#pragma once

#include "image/clear.h"
#include "image/content.h"
#include "image/keys.h"

#define IMP_STATEMENT_MAX (512 * 1024) /* bytes of the signed statement */

typedef struct {
    ImpId id; /* of the image */
    guint8 header_sha256[IMP_SHA256_BYTES]; /* ImpClear.header_sha256 of the image */
    guint8 content_sha256[IMP_SHA256_BYTES];
    char *name, *version, *device, *factory;
    guint8 cloud_ca_sha256[IMP_SHA256_BYTES];
    ImpKeyId author;
    gboolean has_share; /* released by the cloud: the share comes with the registration */
    guint8 share_sha256[IMP_SHA256_BYTES];
    gboolean encrypted; /* only an encrypted image may be delivered by the cloud */
    ImpRestrictions restrictions;
    ImpReworkMode rework;
    ImpPoolUse *pools;
    gsize n_pools;
} ImpStatement;

void imp_statement_free(ImpStatement *statement);

/* clear must be of a JOB; pools are content->pools. Copies all. */
ImpStatement *imp_statement_new(const ImpClear *clear, const guint8 *content_sha256,
                                const ImpRestrictions *restrictions, const ImpContent *content);

/* Signs with the author's pair, whose ID must be statement->author (E3103, E1004). imp_image_seal gives a JOB's statement
 * ready made. */
GBytes *imp_statement_encode(const ImpStatement *statement, const ImpKey *author,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Checks form, author (must be in authors) and signature. Errors: E3010, E3013, E3016, E3017, E3040, E1004. */
ImpStatement *imp_statement_verify(GBytes *signed_statement, const ImpKeyRing *authors,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Does the image with this header belong to the statement? E3040 says what differs. */
gboolean imp_statement_check_clear(const ImpStatement *statement, const ImpClear *clear,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpStatement, imp_statement_free)
