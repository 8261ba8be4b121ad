/* Whose images run: a station's own list of authors, and the list that an account's root key has signed.
 *
 * The signed list is CMS SignedData of the same template as an image's unencrypted envelope, by the root key, over canonical
 * JSON {"authors":[…],"imprint-trust-list":1,"number":N,"root":DER of the root's public key in hexadecimal}. Whoever knows the
 * root key by its ID, which enrolment codes carry, needs nothing else to check it. Its number goes up with each list: an older
 * one never replaces a newer.
 *
 * Library imp_image_sign. Ownership: imp_trust_list_free frees all. Thread rule: none of its own. */
#pragma once

#include "image/keys.h"

#define IMP_TRUST_LIST_MAX (384 * 1024) /* bytes of a signed list */

/* The trust list: public halves only, as canonical JSON text, {"authors":[{"key":ID,"name":…,"public":DER in
 * hexadecimal}],"imprint-trust":1}. Errors: E3106; of the file E1002. load: a missing file is E1009. */
char *imp_trust_encode(const ImpKeyRing *authors);
ImpKeyRing *imp_trust_decode(const char *text, gsize n_bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_trust_save(const ImpKeyRing *authors, const char *path,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
ImpKeyRing *imp_trust_load(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    ImpKey *root; /* public half */
    guint64 number; /* from 1 */
    ImpKeyRing *authors; /* public halves */
} ImpTrustList;

void imp_trust_list_free(ImpTrustList *list); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpTrustList, imp_trust_list_free)

/* number: 1 to G_MAXINT64. Errors: E3103, E3109 (a key that is no root's or no author's), E1004. */
GBytes *imp_trust_list_sign(const ImpKeyRing *authors, guint64 number, const ImpKey *root,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Form, signer and signature. root NULL: whoever signed it, for who only shows it.
 * Errors: E3010, E3013, E3106, E3111 (another root), E3017, E1004. */
ImpTrustList *imp_trust_list_verify(GBytes *signed_list, const ImpKeyId *root,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
