/* To which cloud a station belongs: what enrolment left in the folder cloud/ of its data folder.
 *
 *     cloud.json    {"root"?: key ID, "station": ID, "url": "https://…"}     written last: there is a membership if it is there
 *     ca.pem        the cloud's CA; its key's digest was in the enrolment code
 *     cert.pem      this station's certificate, for the key keys/tls.key
 *
 * Ownership: imp_membership_free frees all. Immutable once made: any thread. */
#pragma once

#include "base/error.h"
#include "base/id.h"

#define IMP_CA_SHA256_BYTES 32

typedef struct {
    char *url;
    char *ca_pem, *cert_pem;
    char station[IMP_ID_TEXT_SIZE]; /* this station's ID at the cloud */
    gboolean has_root; /* the enrolment code named the account's root key */
    guint8 root_sha256[IMP_CA_SHA256_BYTES]; /* its ID */
    guint8 ca_sha256[IMP_CA_SHA256_BYTES]; /* of the CA's SubjectPublicKeyInfo: what JOBs name */
} ImpMembership;

void imp_membership_free(ImpMembership *membership); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpMembership, imp_membership_free)

/* NULL without error: the station belongs to no cloud. Errors: E1002, E1006, E71xx. */
ImpMembership *imp_membership_load(const char *folder, GError **error);

/* ca_sha256 is computed. Durable on return. Errors: E1002, E71xx. */
gboolean imp_membership_save(ImpMembership *membership, const char *folder,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
