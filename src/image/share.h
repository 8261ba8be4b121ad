/* The cloud's share: the second secret of a JOB that is released by its cloud (release: cloud). Sealing makes 32 random bytes;
 * the author hands them to the cloud at registration, the cloud hands them to the stations that may run the image, which keep
 * them in RAM alone. The keys in the manifest are then not the payload's, but what those are derived from (RFC 5869):
 *
 *     payload key = HKDF-SHA256(key in the manifest, salt = share, info = "imprint-share-1\n" image-ID(16) section(4))
 *
 * with the section's number big-endian, 32 bytes. Neither the image key nor the share alone opens the payload. The clear header
 * names the share by its SHA-256.
 *
 * Thread rule: pure functions. */
#pragma once

#include "image/clear.h"

#define IMP_SHARE_BYTES 32
#define IMP_SHARE_TEXT  65 /* 64 digits and a newline: a .share file */

void imp_share_digest(const guint8 share[IMP_SHARE_BYTES], guint8 out_sha256[IMP_SHA256_BYTES]);

/* The payload key of a section. Errors: E3107. */
gboolean imp_share_derive(const guint8 share[IMP_SHARE_BYTES], const guint8 manifest_key[32],
                          const ImpId *image, guint32 section, guint8 out_key[32],
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
