/* Keys: pairs for authors (sign images), images (encrypt them), a station's sealing (receives image keys) and an account's
 * root (signs the list of authors). Two kinds, by suite: EC P-256 and RSA 3072. They lie in files (PEM: PKCS#8 for private
 * halves, mode 0600; SubjectPublicKeyInfo for public ones) or in a PKCS#11 token (image/key_store.h).
 *
 * A key says by its ID which one it is (image/key_id.h), and its file says what it is for: a line before the PEM block. That
 * line keeps people from mistakes, and no more: an author's key is not granted as an image key. Keys of tokens and of files
 * without that line may be used for everything; use a pair for one purpose all the same.
 *
 * Ownership: keys are counted references, immutable: any thread. A ring belongs to one thread (or is left unchanged). */
#pragma once

#include "base/error.h"
#include "image/key_id.h"

#define IMP_KEY_FILE_MAX     16384 /* bytes of a PEM file */
#define IMP_KEYRING_MAX      1024 /* keys of one ring */
#define IMP_KEYRING_FILE_MAX (1024 * 1024)
#define IMP_KEYRING_NAME_MAX 64
#define IMP_KEY_RSA_BITS     3072

typedef struct ImpKey ImpKey;

typedef enum {
    IMP_KEY_ANY = 2, /* not said: a file of version 0.1, or a token */
    IMP_KEY_AUTHOR, /* signs images and statements */
    IMP_KEY_IMAGE, /* encrypts images */
    IMP_KEY_STATION, /* a station's sealing key: receives image keys */
    IMP_KEY_ROOT, /* signs an account's list of authors */
} ImpKeyRole;

/* "author", "image", "station", "root"; NULL for IMP_KEY_ANY. */
const char *imp_key_role_name(ImpKeyRole role);
/* FALSE: no such role. */
gboolean imp_key_role_parse(const char *name, ImpKeyRole *out_role);

/* A fresh pair from OpenSSL's generator, for this suite (IMP_IMAGE_SUITE_…). Errors: E3107. */
ImpKey *imp_key_generate(guint16 suite, ImpKeyRole role, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Reads a PEM file, private or public (asks for no passphrase), or opens a key of a token if path is a pkcs11: URI. A
 * private key file that others may read is refused (E3104).
 * Errors: E1002, E1009, E3101, E3102, E3104; of tokens E3108, E1001. */
ImpKey *imp_key_load(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Writes the private (mode 0600) or the public half (0644), durably, with its role. A file of that name stays as it is:
 * E1008. Errors: E1002, E1008, E3103 (also when the private half is in a token). */
gboolean imp_key_save_private(const ImpKey *key, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_key_save_public(const ImpKey *key, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The public half as DER of a SubjectPublicKeyInfo, and back (E3101, E3102): for databases, requests, trust lists. */
GBytes *imp_key_public_der(const ImpKey *key);
ImpKey *imp_key_from_public_der(GBytes *der, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The public half as PEM text with its role, and back. */
char *imp_key_public_pem(const ImpKey *key);
ImpKey *imp_key_from_public_pem(const char *pem, GError **error) G_GNUC_WARN_UNUSED_RESULT;

const ImpKeyId *imp_key_id(const ImpKey *key);
gboolean imp_key_has_private(const ImpKey *key);
/* TRUE if the private half can be written down: not one of a token. */
gboolean imp_key_can_leave(const ImpKey *key);
/* IMP_IMAGE_SUITE_… that it belongs to. */
guint16 imp_key_suite(const ImpKey *key);
ImpKeyRole imp_key_role(const ImpKey *key);
/* E3109 unless the key is for role, or does not say. what names it in the error: "the image key". */
gboolean imp_key_check_role(const ImpKey *key, ImpKeyRole role, const char *what,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
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

/* The shares that clouds have handed out (image/share.h), beside the image keys: in locked memory, by their SHA-256. */
#define IMP_KEYRING_SHARES_MAX  4096
#define IMP_KEYRING_SHARE_BYTES 32
/* Copies it; one that is there already is kept. Errors: E1004, E1003. */
gboolean imp_keyring_add_share(ImpKeyRing *ring, const guint8 sha256[32],
                               const guint8 share[IMP_KEYRING_SHARE_BYTES],
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Borrowed; NULL if it is not there. */
const guint8 *imp_keyring_find_share(const ImpKeyRing *ring, const guint8 sha256[32]);
/* Wipes all that keep does not want. */
void imp_keyring_filter_shares(ImpKeyRing *ring, gboolean (*keep)(const guint8 sha256[32], gpointer user),
                               gpointer user);

/* Key grant: the private image key, sealed to a station's sealing key as CMS AuthEnvelopedData of the same template as an
 * image's envelope. Only that station's private sealing key opens it. Implemented in library imp_image.
 * seal: image_key must have its private half (E3103; also when it cannot leave its token), station_key needs its public
 * half only; both must be for that (E3109). */
GBytes *imp_key_grant_seal(const ImpKey *image_key, const ImpKey *station_key,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Errors: E3105 (of another station, changed), E3010 to E3013 (not of the template), E3103. */
ImpKey *imp_key_grant_open(GBytes *grant, const ImpKey *station_key,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpKey, imp_key_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpKeyRing, imp_keyring_free)
