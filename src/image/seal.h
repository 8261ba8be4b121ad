/* Sealing: object + kind + restrictions + keys → image. Each sealing has a fresh 128-bit ID and fresh keys; counts belong
 * to the ID. Builders need the author's pair and only the public half of the image key.
 *
 * The image is of the suite of its keys, which must be of one (E1001) and of the right roles (E3109).
 * Thread rule: none of its own. */
#pragma once

#include "image/keys.h"
#include "image/object.h"
#include "image/secret.h"

typedef struct {
    ImpImageKind kind;
    ImpRestrictions restrictions; /* count_on must be set */
    const ImpKey *author; /* with its private half */
    const ImpKey *image_key; /* NULL = not encrypted: an ordinary file that anyone can read */
    const guint8 *cloud_ca_sha256; /* JOB: 32 bytes, SHA-256 of the SPKI of the cloud's CA */
    const char *factory; /* JOB */
    gboolean release_by_cloud; /* JOB, encrypted: the cloud's share is needed, too (image/share.h) */
    const ImpRandom *random; /* for ID and section keys: imp_random_system() outside tests */
} ImpSealOptions;

typedef struct {
    GBytes *file;
    ImpClear *clear;
    ImpSecret *share; /* release_by_cloud: for the cloud, with the statement; else NULL */
    GBytes *statement; /* JOB: signed registration statement (image/statement.h); SAP: NULL */
} ImpSealed;

void imp_sealed_free(ImpSealed *sealed);

/* Errors: E1001 (options that do not go together), E1004, E3030, E3103, E4012 and E4013 (the numbers of a SAP). */
ImpSealed *imp_image_seal(const ImpObject *object, const ImpSealOptions *options,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpSealed, imp_sealed_free)
