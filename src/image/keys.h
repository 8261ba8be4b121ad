/* Key files: EC P-256 pairs for authors (sign images), image keys (encrypt images) and a station's sealing key (receives
 * image keys). One form for the three: PEM, PKCS#8 for private (mode 0600), SubjectPublicKeyInfo for public halves.
 *
 * A key says by its ID which one it is (image/key_id.h), and nothing says what it is for: use a pair for one purpose.
 *
 * Ownership: keys are counted references, immutable: any thread. A ring belongs to one thread (or is left unchanged). */
#pragma once

#include "base/error.h"
#include "image/key_id.h"

#define IMP_KEY_FILE_MAX     16384 /* bytes of a PEM file */
#define IMP_KEYRING_MAX      1024 /* keys of one ring */
#define IMP_KEYRING_FILE_MAX (1024 * 1024)
#define IMP_KEYRING_NAME_MAX 64

typedef struct ImpKey ImpKey;

/* A fresh pair from OpenSSL's generator. Errors: E3107. */
ImpKey *imp_key_generate(GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Reads a PEM file, private or public (asks for no passphrase). A private key file that others may read is refused (E3104).
 * Errors: E1002, E1009, E3101, E3102, E3104. */
ImpKey *imp_key_load(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Writes the private (mode 0600) or the public half (0644), durably. A file of that name stays as it is: E1008.
 * Errors: E1002, E1008, E3103. */
gboolean imp_key_save_private(const ImpKey *key, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_key_save_public(const ImpKey *key, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The public half as DER of a SubjectPublicKeyInfo, and back (E3101, E3102): for databases, requests, trust lists. */
GBytes *imp_key_public_der(const ImpKey *key);
ImpKey *imp_key_from_public_der(GBytes *der, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The public half as PEM text, and back. */
char *imp_key_public_pem(const ImpKey *key);
ImpKey *imp_key_from_public_pem(const char *pem, GError **error) G_GNUC_WARN_UNUSED_RESULT;

const ImpKeyId *imp_key_id(const ImpKey *key);
gboolean imp_key_has_private(const ImpKey *key);
ImpKey *imp_key_ref(const ImpKey *key);
void imp_key_unref(ImpKey *key);

/* A set of keys by ID: the authors that are trusted, or the image keys that are here. */
typedef struct ImpKeyRing ImpKeyRing;
ImpKeyRing *imp_keyring_new(void);
void imp_keyring_free(ImpKeyRing *ring);

/* Adds a reference to key. One that is there already is replaced (so a pair may replace its public half).
 * name is for people, at most IMP_KEYRING_NAME_MAX bytes. Errors: E1004. */
gboolean imp_keyring_add(ImpKeyRing *ring, const char *name, const ImpKey *key,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* TRUE if it was there. */
gboolean imp_keyring_remove(ImpKeyRing *ring, const ImpKeyId *id);
/* Borrowed; NULL if it is not there. */
const ImpKey *imp_keyring_find(const ImpKeyRing *ring, const ImpKeyId *id);
gsize imp_keyring_size(const ImpKeyRing *ring);
/* The index-th in the order of addition; borrowed. out_name may be NULL. */
const ImpKey *imp_keyring_at(const ImpKeyRing *ring, gsize index, const char **out_name);

/* The trust list: public halves only, as canonical JSON text, {"authors":[{"key":ID,"name":…,"public":DER in
 * hexadecimal}],"imprint-trust":1}. Errors: E3106; of the file E1002. load: a missing file is E1009. */
char *imp_trust_encode(const ImpKeyRing *authors);
ImpKeyRing *imp_trust_decode(const char *text, gsize n_bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_trust_save(const ImpKeyRing *authors, const char *path,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
ImpKeyRing *imp_trust_load(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Key grant: the private image key, sealed to a station's sealing key as CMS AuthEnvelopedData of the same template as an
 * image's envelope. Only that station's private sealing key opens it. Implemented in library imp_image.
 * seal: image_key must have its private half (E3103), station_key needs its public half only. */
GBytes *imp_key_grant_seal(const ImpKey *image_key, const ImpKey *station_key,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Errors: E3105 (of another station, changed), E3010 to E3013 (not of the template), E3103. */
ImpKey *imp_key_grant_open(GBytes *grant, const ImpKey *station_key,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpKey, imp_key_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpKeyRing, imp_keyring_free)
