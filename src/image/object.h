/* The object (.impo): a recipe built with all its inputs; without key, restrictions or kind, so it cannot run. Building
 * the same inputs gives the same bytes: nothing in it depends on time, place or the version of a compressor.
 *
 * Two digests: *content* says what is done to a unit, however the inputs were written down (HEX, ELF, binary: the same);
 * *provenance* says from which input files it was made.
 *
 * Ownership: imp_object_free frees all. Immutable once made: any thread. */
#pragma once

#include "base/error.h"
#include "image/clear.h"
#include "image/content.h"

/*     object   = magic(8) version(2) zero(2) json-bytes(4) payload-bytes(8) json payload trailer     integers little-endian
 *     json     = canonical JSON: content (image/content_json.h), content digest, inputs
 *     payload  = section "memory" (bytes of the segments, in order), then the blob of each algorithm, in order; as they are
 *     trailer  = SHA-256 over everything before it */
#define IMP_OBJECT_MAGIC                                                                                     \
    "\x89"                                                                                                   \
    "IMO\r\n\x1a\n"
#define IMP_OBJECT_VERSION     1
#define IMP_OBJECT_FIXED_BYTES 24
#define IMP_OBJECT_JSON_MAX    (2u * 1024 * 1024)
#define IMP_OBJECT_INPUTS_MAX  256
#define IMP_INPUT_NAME_MAX     255

typedef struct {
    char *name; /* as the recipe names it: relative path or "device nRF51822_xxAA" */
    guint8 sha256[IMP_SHA256_BYTES];
} ImpInput;

typedef struct {
    ImpContent *content;
    guint8 content_sha256[IMP_SHA256_BYTES];
    ImpInput *inputs; /* sorted by name */
    gsize n_inputs;
    guint8 provenance_sha256[IMP_SHA256_BYTES]; /* over the canonical JSON of the inputs */
} ImpObject;

/* Takes over content also when it fails; copies inputs and sorts them by name. Checks the content (imp_content_check) and
 * computes the digests. Errors: E3030, E1004. */
ImpObject *imp_object_new(ImpContent *content, const ImpInput *inputs, gsize n_inputs,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_object_free(ImpObject *object);

GBytes *imp_object_encode(const ImpObject *object, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Errors: E3029 to E3032, E1004. */
ImpObject *imp_object_decode(GBytes *file, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same with a file (E1002, E1009, E1013). */
ImpObject *imp_object_load(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The content digest: SHA-256 over canonical JSON of device, algorithms, connection, merged memory map, values, places,
 * pools, steps and rework; names of the recipe, of its data sources and its version do not count. Content that
 * imp_content_check accepts. */
void imp_content_digest(const ImpContent *content, guint8 out_sha256[IMP_SHA256_BYTES]);

/* The same while the bytes of the segments go by, one segment after the other; those of content are not looked at, only their
 * sizes. content is borrowed until free; pieces that touch on the chip are one, whichever source they came from. */
typedef struct ImpContentSum ImpContentSum;

ImpContentSum *imp_content_sum_new(const ImpContent *content);
void imp_content_sum_free(ImpContentSum *sum); /* NULL is allowed */
void imp_content_sum_update(ImpContentSum *sum, const guint8 *bytes, gsize n_bytes);
void imp_content_sum_final(ImpContentSum *sum, guint8 out_sha256[IMP_SHA256_BYTES]); /* after all of them */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpContentSum, imp_content_sum_free)

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpObject, imp_object_free)
