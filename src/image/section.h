/* Inside of image/ only: one section of the payload, as stored.
 *
 *     section  = chunk…                  the packed section, cut every chunk-bytes; the last chunk may be shorter
 *     packed   = one zstd frame (RFC 8878) that says its content size
 *     chunk    = packed bytes            image not encrypted
 *              | ciphertext tag(16)      AES-256-GCM under the section's key
 *     nonce    = section(4) chunk(8)                                                      big-endian, as below
 *     AAD      = image ID(16) section(4) chunk(4) last(1) plain-bytes-of-the-chunk(4)
 *
 * A section's key is fresh for every section and sealing, so no nonce is ever used twice under one key. */
#pragma once

#include "base/error.h"
#include "base/id.h"
#include "image/clear.h"

#define IMP_SECTION_KEY_BYTES  32
#define IMP_SECTION_TAG_BYTES  16
#define IMP_SECTION_CHUNK      65536 /* of what is sealed here */
#define IMP_SECTION_CHUNK_MIN  4096 /* of what is read: a power of two */
#define IMP_SECTION_CHUNK_MAX  (1024 * 1024)
#define IMP_SECTION_CHUNKS_MAX 32768

typedef struct {
    guint64 plain_bytes; /* unpacked */
    guint64 packed_bytes;
    guint64 stored_bytes; /* in the file */
    guint32 chunk_bytes;
    guint32 n_chunks;
    guint8 *chunk_sha256; /* n_chunks digests of the stored chunks */
    gboolean encrypted;
    guint8 key[IMP_SECTION_KEY_BYTES]; /* if encrypted */
} ImpSection;

/* Wipes the key and frees what is inside. */
void imp_section_done(ImpSection *section);

/* n_chunks and stored_bytes from packed_bytes, chunk_bytes and encrypted. FALSE if a limit is broken. */
gboolean imp_section_measure(ImpSection *section) G_GNUC_WARN_UNUSED_RESULT;

/* Appends the section to payload and fills *out_section (key: NULL = not encrypted). Errors: E1004, E3107. */
gboolean imp_section_write(GByteArray *payload, guint32 index, const ImpId *image, GBytes *plain,
                           const guint8 *key, ImpSection *out_section,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Checks and unpacks; the result lies in locked memory. stored has section->stored_bytes. max_bytes bounds plain_bytes.
 * Errors: E3026, E3027, E3028, E1003, E1004. */
GBytes *imp_section_read(const ImpSection *section, guint32 index, const ImpId *image, const guint8 *stored,
                         guint64 max_bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A section in pieces, in bounded memory. stored gives its next n_bytes (at most chunk_bytes and a tag), which stay until the next
 * call, or NULL and an error. room gives IMP_SECTION_PIECE bytes of room for what is inside, plain takes what has been put
 * there, before the section's end has been seen: nothing may be done with it that cannot be undone. */
#define IMP_SECTION_PIECE (128 * 1024)
typedef struct {
    const guint8 *(*stored)(gpointer user, gsize n_bytes, GError **error);
    guint8 *(*room)(gpointer user);
    void (*plain)(gpointer user, gsize n_bytes);
    gpointer user;
} ImpSectionStream;

/* Errors: E3026, E3027, E3028, E1003; those of stored. */
gboolean imp_section_stream(const ImpSection *section, guint32 index, const ImpId *image,
                            const ImpSectionStream *stream, GError **error) G_GNUC_WARN_UNUSED_RESULT;
