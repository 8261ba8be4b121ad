/* The enrolment code: one line of text that a person carries from the cloud to a station, once.
 *
 *     code   = "imprint-enrol-1." secret "." ca "." root "." url
 *     secret = 32 lower-case hexadecimal digits
 *     ca     = 64: SHA-256 of the SubjectPublicKeyInfo of the cloud's CA; the station checks it before it sends anything
 *     root   = 64: the same of the account's root key; or "-" when the account has none
 *     url    = "https://host:port", at most 200 bytes
 *
 * Life cycle: plain values. Thread rule: no state, any thread. */
#pragma once

#include "base/error.h"

#define IMP_ENROL_SECRET_BYTES 16
#define IMP_ENROL_DIGEST_BYTES 32
#define IMP_ENROL_URL_MAX      200
#define IMP_ENROL_CODE_MAX     400 /* bytes of a code */

typedef struct {
    guint8 secret[IMP_ENROL_SECRET_BYTES];
    guint8 ca_sha256[IMP_ENROL_DIGEST_BYTES];
    gboolean has_root;
    guint8 root_sha256[IMP_ENROL_DIGEST_BYTES];
    char url[IMP_ENROL_URL_MAX + 1];
} ImpEnrolCode;

/* Free with g_free, after wiping what is secret in it. */
char *imp_enrol_code_encode(const ImpEnrolCode *code) G_GNUC_WARN_UNUSED_RESULT;

/* White space around text is passed over. IMP_E_ARGUMENT: not a code, or one that was copied in part. */
gboolean imp_enrol_code_decode(const char *text, ImpEnrolCode *out_code,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
