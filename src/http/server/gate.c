/* The one place that decides whether a caller may use a route. */
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#include "http/server/internal.h"

/* The only common name of the peer's certificate. */
static gboolean common_name(gnutls_session_t session, char out[IMP_HTTP_ID_SIZE])
{
    unsigned n_certs = 0;
    const gnutls_datum_t *certs = gnutls_certificate_get_peers(session, &n_certs);
    gnutls_x509_crt_t cert;
    if (certs == NULL || n_certs == 0 || gnutls_x509_crt_init(&cert) < 0)
        return FALSE;
    char name[IMP_HTTP_ID_SIZE], second[IMP_HTTP_ID_SIZE];
    size_t n_bytes = sizeof name, n_second = sizeof second;
    gboolean good =
        gnutls_x509_crt_import(cert, &certs[0], GNUTLS_X509_FMT_DER) >= 0 &&
        gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &n_bytes) >= 0 &&
        n_bytes > 0 && strlen(name) == n_bytes &&
        gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 1, 0, second, &n_second) ==
            GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    gnutls_x509_crt_deinit(cert);
    if (good)
        g_strlcpy(out, name, IMP_HTTP_ID_SIZE);
    return good;
}

/* TLS asked for a certificate, but did not insist and did not look at it: without this check a route would be open to
 * everybody (measured: without a certificate the handler runs, and verify_peers gives -49). The answer holds as long as the
 * connection; whether a station has been removed is for the application to see with every request. */
static CertState check_certificate(ImpHttpRequest *request)
{
    Connection *connection = request->connection;
    if (connection->cert != CERT_UNCHECKED)
        return connection->cert;
    connection->cert = CERT_NONE;
    if (!request->server->tls)
        return CERT_NONE;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info == NULL || info->tls_session == NULL)
        return CERT_NONE;
    gnutls_session_t session = info->tls_session;
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
    unsigned status = ~0u;
    int rc = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
    if (rc == GNUTLS_E_SUCCESS && status == 0 && common_name(session, connection->station))
        connection->cert = CERT_GOOD;
    return connection->cert;
}

static gboolean check_person(ImpHttpRequest *request, GError **error)
{
    const ImpHttpServerOptions *options = &request->server->options;
    const char *header = MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, "Authorization");
    if (header == NULL || g_ascii_strncasecmp(header, "Bearer ", 7) != 0 || header[7] == '\0' ||
        strlen(header + 7) > IMP_HTTP_TOKEN_MAX) {
        imp_error_set(error, IMP_E_HTTP_UNAUTHENTICATED, "%s needs a token: sign in first", request->path);
        return FALSE;
    }
    if (!options->authorise(header + 7, options->user, &request->person, error))
        return FALSE;
    if ((request->person.roles & request->route->roles) == 0) {
        imp_error_set(error, IMP_E_HTTP_FORBIDDEN, "%s %s is not allowed with this role", request->method,
                      request->path);
        return FALSE;
    }
    request->token = g_strdup(header + 7);
    return TRUE;
}

gboolean imp_http_gate(ImpHttpRequest *request, GError **error)
{
    guint32 who = request->route->who;
    if (who & IMP_HTTP_PUBLIC) {
        request->who = IMP_HTTP_PUBLIC;
        return TRUE;
    }
    if ((who & IMP_HTTP_LOCAL) && request->server->unix_path != NULL) {
        request->who = IMP_HTTP_LOCAL;
        return TRUE;
    }
    if ((who & IMP_HTTP_STATION) && check_certificate(request) == CERT_GOOD) {
        request->who = IMP_HTTP_STATION;
        return TRUE;
    }
    if (who & IMP_HTTP_PERSON) {
        if (!check_person(request, error))
            return FALSE;
        request->who = IMP_HTTP_PERSON;
        return TRUE;
    }
    if (who & IMP_HTTP_STATION)
        imp_error_set(error, IMP_E_HTTP_UNAUTHENTICATED, "%s needs a station's certificate of this cloud",
                      request->path);
    else
        imp_error_set(error, IMP_E_HTTP_FORBIDDEN, "%s is served on the local socket only", request->path);
    return FALSE;
}
