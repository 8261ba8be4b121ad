/* What the tests of image/ share: keys, small and random content, and hands that take images apart. */
#pragma once

#include "base/env.h"
#include "image/image.h"
#include "image/object.h"
#include "image/seal.h"
#include "image/statement.h"

#define FIXTURE_CLOUD_CA ((const guint8 *)"0123456789abcdef0123456789abcdef")

/* One author, one image key, one station's sealing key, and rings with what a good station has. */
typedef struct {
    ImpKey *author, *image_key, *station;
    ImpKeyRing *authors, *image_keys;
} Keys;

Keys *keys_new(void); /* suite 1 */
Keys *keys_new_of(guint16 suite);
Keys *keys_share(const Keys *keys); /* the same keys in rings of their own */
void keys_free(Keys *keys);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Keys, keys_free)

/* The smallest content that has one of everything; n_data bytes of firmware. */
ImpContent *fixture_content(gsize n_data);
ImpObject *fixture_object(gsize n_data);
/* One with every kind of value, place, step and setting. */
ImpContent *fixture_everything(void);

/* Any content that keeps the rules, from a seed. */
ImpContent *fixture_random_content(GRand *rand);

void fixture_assert_same_content(const ImpContent *a, const ImpContent *b);

/* Is the image the object, its pool narrowed to the numbers 10 to 19 if it is a SAP's? */
void fixture_assert_image_of(const ImpObject *object, const ImpImage *image);

typedef enum {
    FIXTURE_SAP = 2,
    FIXTURE_SAP_ENCRYPTED,
    FIXTURE_JOB_ENCRYPTED,
    FIXTURE_JOB_RELEASED, /* by its cloud: with a share */
} FixtureKind;
ImpSealed *fixture_seal(const ImpObject *object, const Keys *keys, FixtureKind kind);

/* The file again with another clear header or envelope (NULL: the same), lengths and digest at the end made right. */
GBytes *fixture_rebuild(GBytes *file, const char *clear_text, GBytes *envelope);
/* The file with another last digest: right for the bytes before it. */
GBytes *fixture_fix_trailer(GBytes *file);
/* Copies of parts. */
char *fixture_clear_text(GBytes *file);
GBytes *fixture_envelope(GBytes *file);

/* The manifest's text; keys are needed if the image is encrypted. */
char *fixture_manifest(GBytes *file, const Keys *keys);
/* The file with this manifest, signed by signer and sealed as the file was. */
GBytes *fixture_with_manifest(GBytes *file, const char *manifest, const ImpKey *signer, const Keys *keys);
/* The same by a forger with the author's key: lengths and digests of the headers in the manifest are made right. */
GBytes *fixture_forge(GBytes *file, const char *manifest, const ImpKey *signer, const Keys *keys);

/* The one place in text where from stands, replaced. */
char *fixture_replace(const char *text, const char *from, const char *to);

/* The error's code is code, and it says something. Clears it. */
#define assert_refused(error, expected)                                                                      \
    do {                                                                                                     \
        g_assert_nonnull(error);                                                                             \
        g_assert_true((error)->domain == IMP_ERROR);                                                         \
        if ((error)->code != (int)(expected))                                                                \
            g_test_message("%s", (error)->message);                                                          \
        g_assert_cmpint((error)->code, ==, (int)(expected));                                                 \
        g_assert_cmpuint(strlen((error)->message), >, 10);                                                   \
        g_clear_error(&(error));                                                                             \
    } while (0)

/* imp_image_verify_file of a file with these bytes. */
gboolean fixture_verify_file(GBytes *bytes, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                             ImpVerified *out_verified, GError **error);

/* imp_image_check_file, likewise. */
gboolean fixture_check_file(GBytes *bytes, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                            ImpVerified *out_verified, GError **error);
