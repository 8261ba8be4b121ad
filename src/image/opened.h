/* Inside of image/ only: an image whose headers, envelope and manifest have been checked as far as the keys reach. */
#pragma once

#include "image/image.h"
#include "image/manifest.h"

/* Bytes of any section but the memory's, unpacked: the blob of an algorithm or a test program. */
#define IMP_OPENED_SMALL_MAX MAX(IMP_ALGORITHM_CODE_MAX, IMP_CONTENT_TEST_BYTES_MAX)

typedef struct {
    GBytes *file; /* borrowed; NULL after imp_opened_init_head */
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

/* The same for a file of which only the head is in memory: fixed header, clear header and envelope. Takes over clear, which
 * imp_clear_reader_final has let pass. */
gboolean imp_opened_init_head(ImpOpened *opened, ImpClear *clear, const guint8 *head,
                              const ImpKeyRing *image_keys, const ImpKeyRing *authors, gboolean need_author,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* FALSE: the cloud's share is needed for the payload, and not here. */
gboolean imp_opened_has_share(const ImpOpened *opened);

/* A section of the manifest with the key that its chunks are encrypted with; its digests are borrowed, and the caller wipes the key.
 * The share is here. */
gboolean imp_opened_section(const ImpOpened *opened, guint32 index, ImpSection *out_section,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Checks every chunk and the content; opened must be readable. with_digest: its content digest, too. E3110 without the share. */
ImpContent *imp_opened_content(const ImpOpened *opened, gboolean with_digest,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The last of it: is digest the manifest's (NULL: it was not computed), do the restrictions fit? Narrows the content's numbers. */
gboolean imp_opened_judge(const ImpOpened *opened, ImpContent *content, const guint8 digest[IMP_SHA256_BYTES],
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImpOpened, imp_opened_done)
