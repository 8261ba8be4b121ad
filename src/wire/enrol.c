#include "wire/enrol.h"

#include <string.h>

#include "base/id.h"

#define PREFIX  "imprint-enrol-1"
#define N_PARTS 5

char *imp_enrol_code_encode(const ImpEnrolCode *code)
{
    g_autofree char *secret = imp_hex_encode(code->secret, sizeof code->secret);
    g_autofree char *ca = imp_hex_encode(code->ca_sha256, sizeof code->ca_sha256);
    g_autofree char *root =
        code->has_root ? imp_hex_encode(code->root_sha256, sizeof code->root_sha256) : g_strdup("-");
    char *text = g_strjoin(".", PREFIX, secret, ca, root, code->url, NULL);
    explicit_bzero(secret, strlen(secret));
    return text;
}

/* Exactly n_bytes of hexadecimal. */
static gboolean decode_hex(const char *text, guint8 *out, gsize n_bytes)
{
    return strlen(text) == 2 * n_bytes && imp_hex_decode(text, out, n_bytes) == (gssize)n_bytes;
}

static gboolean decode_parts(char **parts, ImpEnrolCode *out)
{
    if (g_strv_length(parts) != N_PARTS || strcmp(parts[0], PREFIX) != 0)
        return FALSE;
    out->has_root = strcmp(parts[3], "-") != 0;
    g_strlcpy(out->url, parts[4], sizeof out->url);
    return decode_hex(parts[1], out->secret, sizeof out->secret) &&
           decode_hex(parts[2], out->ca_sha256, sizeof out->ca_sha256) &&
           (!out->has_root || decode_hex(parts[3], out->root_sha256, sizeof out->root_sha256)) &&
           g_str_has_prefix(parts[4], "https://") && strlen(parts[4]) > strlen("https://") &&
           strlen(parts[4]) <= IMP_ENROL_URL_MAX;
}

gboolean imp_enrol_code_decode(const char *text, ImpEnrolCode *out_code, GError **error)
{
    ImpEnrolCode code = {0};
    gboolean good = FALSE;
    if (strlen(text) <= IMP_ENROL_CODE_MAX) {
        g_autofree char *line = g_strstrip(g_strdup(text));
        char **parts = g_strsplit(line, ".", N_PARTS); /* the URL, last, has dots of its own */
        good = decode_parts(parts, &code);
        g_strfreev(parts);
    }
    if (good)
        *out_code = code;
    else
        imp_error_set(error, IMP_E_ARGUMENT,
                      "this is no enrolment code, or not the whole of it: it begins with " PREFIX
                      " and ends with the cloud's address");
    explicit_bzero(&code, sizeof code);
    return good;
}
