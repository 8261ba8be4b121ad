/* Inside of image/ only: an image whose headers, envelope and manifest have been checked as far as the keys reach. */
#pragma once

#include "image/image.h"
#include "image/manifest.h"

typedef struct {
    GBytes *file; /* borrowed */
    const ImpKeyRing *image_keys; /* borrowed: it may hold the share */
    ImpClear *clear;
    gboolean readable; /* not encrypted, or its image key is here: manifest is filled */
    gboolean signature_checked; /* the author's key is here, and the signature right */
    ImpManifest manifest;
} ImpOpened;

/* need_author: an author who is not in authors is an error, else the signature stays unchecked. *opened is untouched on
 * failure. Errors: as imp_image_open without those of chunks and content; never E3015: see readable. */
gboolean imp_opened_init(ImpOpened *opened, GBytes *file, const ImpKeyRing *image_keys,
                         const ImpKeyRing *authors, gboolean need_author,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_opened_done(ImpOpened *opened);

/* FALSE: the cloud's share is needed for the payload, and not here. */
gboolean imp_opened_has_share(const ImpOpened *opened);

/* Checks every chunk and the content; opened must be readable. E3110 without the share. */
ImpContent *imp_opened_content(const ImpOpened *opened, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImpOpened, imp_opened_done)
