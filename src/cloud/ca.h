/* The cloud's own certificate authority: one EC P-256 pair, self-signed; it issues the server's certificate and the
 * stations'. Whoever holds its key can be any station and the cloud itself: mode 0600, in the data folder alone.
 *
 * Subject of a station's certificate: CN = station ID (32 hexadecimal digits), OU = "station". What a certificate allows is
 * not in it: revocation is the station's row in the database. Validity is 30 years for that reason.
 *
 * Ownership: all texts are PEM, free with g_free. Thread rule: immutable once made or loaded; any thread. */
#pragma once

#include "base/env.h"
#include "base/error.h"
#include "base/id.h"

#define IMP_CA_DIGEST_BYTES 32
#define IMP_CA_CSR_MAX      8192 /* bytes of a request in PEM */

typedef struct ImpCa ImpCa;

/* Makes a new authority in the account's name. */
ImpCa *imp_ca_new(const char *account, const ImpClock *clock, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* From its two PEM texts. IMP_E_CLOUD_FOLDER if they do not belong together. */
ImpCa *imp_ca_load(const char *cert_pem, const char *key_pem, const ImpClock *clock,
                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_ca_free(ImpCa *ca);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpCa, imp_ca_free)

const char *imp_ca_cert_pem(const ImpCa *ca); /* borrowed */
char *imp_ca_key_pem(const ImpCa *ca); /* secret */
/* SHA-256 over the DER of the CA key's SubjectPublicKeyInfo: the cloud's identity. */
const guint8 *imp_ca_digest(const ImpCa *ca); /* IMP_CA_DIGEST_BYTES, borrowed */

/* A fresh key and a certificate for the TLS server at host (a name or a numeric address). */
gboolean imp_ca_issue_server(const ImpCa *ca, const char *host, char **out_cert, char **out_key,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A station's request, checked: PKCS#10, EC P-256, self-signature right. IMP_E_ENROL_REQUEST otherwise. */
typedef struct ImpCsr ImpCsr;
ImpCsr *imp_csr_parse(const char *pem, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_csr_free(ImpCsr *csr);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpCsr, imp_csr_free)
/* DER SubjectPublicKeyInfo of the key in the request. */
GBytes *imp_csr_key(const ImpCsr *csr);

/* The station's certificate. */
char *imp_ca_issue_station(const ImpCa *ca, const ImpCsr *csr, const ImpId *station,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
