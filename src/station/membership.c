#include "station/membership.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "http/client/client.h"

#define FILE_MAX 65536

G_STATIC_ASSERT(IMP_CA_SHA256_BYTES == IMP_HTTP_KEY_DIGEST_BYTES);

void imp_membership_free(ImpMembership *membership)
{
    if (membership == NULL)
        return;
    g_free(membership->url);
    g_free(membership->ca_pem);
    g_free(membership->cert_pem);
    g_free(membership);
}

static char *read_file(const char *folder, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GError) own = NULL;
    char *text = NULL;
    if (g_file_get_contents(path, &text, NULL, &own))
        return text;
    imp_error_set(error, IMP_E_IO, "%s", own->message);
    return NULL;
}

static gboolean write_file(const char *folder, const char *name, const char *text, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GError) own = NULL;
    if (g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                 0600, &own))
        return TRUE;
    imp_error_set(error, IMP_E_IO, "%s", own->message);
    return FALSE;
}

static gboolean decode(ImpMembership *membership, const char *text, GError **error)
{
    json_t *document = imp_json_parse(text, strlen(text), FILE_MAX, "cloud.json", IMP_E_SYNTAX, error);
    if (document == NULL)
        return FALSE;
    ImpJson r;
    imp_json_begin(&r, document, "cloud.json", IMP_E_SCHEMA, IMP_E_SCHEMA);
    ImpId station = imp_json_id(&r, "station");
    imp_id_text(&station, membership->station);
    membership->url = g_strdup(imp_json_string(&r, "url", 1, 1024));
    membership->has_root = imp_json_has(&r, "root");
    if (membership->has_root)
        imp_json_hex(&r, "root", membership->root_sha256, sizeof membership->root_sha256);
    gboolean ok = imp_json_end(&r, error);
    json_decref(document);
    return ok;
}

ImpMembership *imp_membership_load(const char *folder, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "cloud.json", NULL);
    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return NULL;
    g_autoptr(ImpMembership) membership = g_new0(ImpMembership, 1);
    g_autofree char *text = read_file(folder, "cloud.json", error);
    if (text == NULL || !decode(membership, text, error) ||
        (membership->ca_pem = read_file(folder, "ca.pem", error)) == NULL ||
        (membership->cert_pem = read_file(folder, "cert.pem", error)) == NULL ||
        !imp_http_key_digest(membership->ca_pem, membership->ca_sha256, error))
        return NULL;
    return g_steal_pointer(&membership);
}

gboolean imp_membership_save(ImpMembership *membership, const char *folder, GError **error)
{
    if (!imp_http_key_digest(membership->ca_pem, membership->ca_sha256, error))
        return FALSE;
    if (g_mkdir_with_parents(folder, 0700) != 0) {
        imp_error_set(error, IMP_E_IO, "%s: %s", folder, g_strerror(errno));
        return FALSE;
    }
    json_t *document = json_object();
    json_object_set_new(document, "station", json_string(membership->station));
    json_object_set_new(document, "url", json_string(membership->url));
    g_autofree char *root = imp_hex_encode(membership->root_sha256, sizeof membership->root_sha256);
    if (membership->has_root)
        json_object_set_new(document, "root", json_string(root));
    g_autofree char *text = imp_json_text(document);
    json_decref(document);
    return write_file(folder, "ca.pem", membership->ca_pem, error) &&
           write_file(folder, "cert.pem", membership->cert_pem, error) &&
           write_file(folder, "cloud.json", text, error);
}
