/* The part of an image that everyone may read: fixed header, clear header, and the digest at the end of the file. The
 * cloud links this alone (library imp_image_clear: no CMS, no decompression, no OpenSSL).
 *
 * What is said here is not yet *proved*: only the author's signature over the manifest binds it (image/image.h). Whoever
 * has no key knows that the file is whole and what it claims to be.
 *
 * Life cycle of a reader: new, update any number of times, header as soon as it is there, final once, free. After an
 * error a reader is good for nothing but free.
 * Thread rule: a reader belongs to one thread; an ImpClear is immutable once made. */
#pragma once

#include "base/error.h"
#include "base/id.h"
#include "image/key_id.h"
#include "image/sha256.h"

/* The file, all integers little-endian:
 *
 *     image    = fixed clear envelope payload trailer
 *     fixed    = magic(8) version(2) suite(2) clear-bytes(4) envelope-bytes(4) zero(4) payload-bytes(8)      32 bytes
 *     clear    = canonical JSON object (members sorted by name, no white space), see docs/formats/image.md
 *     envelope = DER of the suite's template (image/envelope.h)
 *     payload  = stored chunks of the sections, in order (image/section.h)
 *     trailer  = SHA-256 over everything before it                                                            32 bytes
 *
 * The magic begins with a byte that is no text and holds CR LF and ^Z, so that a transfer in text mode shows. */
#define IMP_IMAGE_MAGIC                                                                                      \
    "\x89"                                                                                                   \
    "IMP\r\n\x1a\n"
#define IMP_IMAGE_VERSION       1
#define IMP_IMAGE_FIXED_BYTES   32
#define IMP_IMAGE_TRAILER_BYTES 32
#define IMP_IMAGE_CLEAR_MAX     4096
#define IMP_IMAGE_ENVELOPE_MAX  (4u * 1024 * 1024)
#define IMP_IMAGE_PAYLOAD_MAX   (150u * 1024 * 1024)
#define IMP_IMAGE_FILE_MAX                                                                                   \
    (IMP_IMAGE_FIXED_BYTES + IMP_IMAGE_CLEAR_MAX + IMP_IMAGE_ENVELOPE_MAX + IMP_IMAGE_PAYLOAD_MAX +          \
     IMP_IMAGE_TRAILER_BYTES)

#define IMP_IMAGE_NAME_MAX    64 /* bytes of image, device and factory name */
#define IMP_IMAGE_VERSION_MAX 64 /* bytes of the recipe's version text */

typedef enum {
    IMP_IMAGE_SAP = 2, /* runs on the station's own authority */
    IMP_IMAGE_JOB, /* runs on the cloud's */
} ImpImageKind;

/* "sap", "job" */
const char *imp_image_kind_name(ImpImageKind kind);

typedef struct {
    ImpImageKind kind;
    ImpId id;
    char *name; /* never empty */
    char *version; /* "" = the recipe names none */
    char *device;
    ImpKeyId author;
    gboolean encrypted;
    ImpKeyId image_key; /* if encrypted */
    gboolean
        has_share; /* JOB, encrypted: the payload opens only with the cloud's share, too (image/share.h) */
    guint8 share_sha256[IMP_SHA256_BYTES]; /* of the share */
    guint8 cloud_ca_sha256[IMP_SHA256_BYTES]; /* JOB: SHA-256 of the SPKI of the cloud's CA */
    char *factory; /* JOB: the virtual factory it is sealed for; else "" */

    guint16 suite;
    guint32 clear_bytes, envelope_bytes;
    guint64 payload_bytes;
    guint64 file_bytes; /* of the whole file, trailer included */
    guint8 header_sha256[IMP_SHA256_BYTES]; /* over fixed and clear header: what a statement names */
    guint8 file_sha256[IMP_SHA256_BYTES]; /* the trailer; zeroes until final */
} ImpClear;

void imp_clear_free(ImpClear *clear);
ImpClear *imp_clear_copy(const ImpClear *clear);

typedef struct ImpClearReader ImpClearReader;
ImpClearReader *imp_clear_reader_new(void);
void imp_clear_reader_free(ImpClearReader *reader);

/* The next bytes of the file. Errors: E3001 to E3007, E1004, as soon as they can be seen. */
gboolean imp_clear_reader_update(ImpClearReader *reader, const void *bytes, gsize n_bytes,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Borrowed; NULL as long as the headers have not gone through. */
const ImpClear *imp_clear_reader_header(const ImpClearReader *reader);

/* After the last byte: is the file whole and its digest right? What it is, or NULL. Errors: E3004, E3006. */
ImpClear *imp_clear_reader_final(ImpClearReader *reader, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same for a file in memory or on disk (E1002). */
ImpClear *imp_clear_read(GBytes *file, GError **error) G_GNUC_WARN_UNUSED_RESULT;
ImpClear *imp_clear_read_file(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* All of a file, as long as it has at most max_bytes. Errors: E1002, E1004, E1009. */
GBytes *imp_image_read_file(const char *path, gsize max_bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What a station refuses by the header alone: a JOB of another cloud (E3008), any JOB where the station has no
 * cloud (E6008; cloud_ca_sha256 NULL), an unencrypted image that came from a cloud (E3009). */
gboolean imp_clear_check_station(const ImpClear *clear, const guint8 *cloud_ca_sha256,
                                 gboolean came_from_cloud, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpClear, imp_clear_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpClearReader, imp_clear_reader_free)
