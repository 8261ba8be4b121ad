/* SHA-256 (FIPS 180-4) by libcrypto, which uses what the processor has for it. Cannot fail but for want of memory.
 * Thread rule: a sum belongs to one thread at a time. */
#pragma once

#include <glib.h>

#define IMP_SHA256_BYTES 32

void imp_sha256(const void *bytes, gsize n_bytes, guint8 out[IMP_SHA256_BYTES]);

/* The same in pieces: new, update as often as needed, final once, free. */
typedef struct ImpSha256 ImpSha256;

ImpSha256 *imp_sha256_new(void);
void imp_sha256_free(ImpSha256 *sum); /* NULL is allowed */
void imp_sha256_update(ImpSha256 *sum, const void *bytes, gsize n_bytes);
void imp_sha256_final(ImpSha256 *sum, guint8 out[IMP_SHA256_BYTES]);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpSha256, imp_sha256_free)
