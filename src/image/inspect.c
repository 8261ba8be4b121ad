#include <string.h>

#include "base/json.h"
#include "image/clear_codec.h"
#include "image/content_json.h"
#include "image/describe.h"
#include "image/opened.h"
#include "image/policy_json.h"

/* --- as JSON -------------------------------------------------------------------------------------------------------- */

static json_t *hex(const guint8 *bytes, gsize n_bytes)
{
    g_autofree char *text = imp_hex_encode(bytes, n_bytes);
    return json_string(text);
}

/* No key, no digests of chunks: those are no use to a reader. */
static json_t *section_lengths(const ImpManifest *manifest)
{
    json_t *array = json_array();
    for (gsize i = 0; i < manifest->n_sections; i++) {
        const ImpSection *section = &manifest->sections[i];
        json_t *object = json_object();
        json_object_set_new(object, "plain_bytes", json_integer((json_int_t)section->plain_bytes));
        json_object_set_new(object, "packed_bytes", json_integer((json_int_t)section->packed_bytes));
        json_object_set_new(object, "stored_bytes", json_integer((json_int_t)section->stored_bytes));
        json_array_append_new(array, object);
    }
    return array;
}

json_t *imp_image_inspect(GBytes *file, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                          GError **error)
{
    g_auto(ImpOpened) opened = {0};
    if (!imp_opened_init(&opened, file, image_keys, authors, FALSE, error))
        return NULL;
    if (opened.readable && imp_opened_has_share(&opened)) {
        g_autoptr(ImpContent) content = imp_opened_content(&opened, TRUE, error);
        if (content == NULL)
            return NULL;
    }
    json_t *json = json_object();
    json_object_set_new(json, "header", imp_clear_to_json(opened.clear));
    json_object_set_new(json, "header_sha256", hex(opened.clear->header_sha256, IMP_SHA256_BYTES));
    json_object_set_new(json, "encrypted", json_boolean(opened.clear->encrypted));
    json_object_set_new(json, "suite", json_integer(opened.clear->suite));
    json_object_set_new(json, "file_bytes", json_integer((json_int_t)opened.clear->file_bytes));
    json_object_set_new(json, "file_sha256", hex(opened.clear->file_sha256, IMP_SHA256_BYTES));
    if (opened.clear->has_share)
        json_object_set_new(json, "share", json_boolean(opened.readable && imp_opened_has_share(&opened)));
    const char *signature = opened.signature_checked ? "good" : opened.readable ? "unchecked" : "sealed";
    json_object_set_new(json, "signature", json_string(signature));
    if (opened.readable) {
        const ImpManifest *manifest = &opened.manifest;
        json_object_set_new(json, "restrictions", imp_restrictions_encode(&manifest->restrictions));
        json_object_set(json, "content", manifest->content);
        json_object_set_new(json, "content_sha256", hex(manifest->content_sha256, IMP_SHA256_BYTES));
        json_object_set_new(json, "provenance_sha256", hex(manifest->provenance_sha256, IMP_SHA256_BYTES));
        json_object_set_new(json, "sections", section_lengths(manifest));
    }
    return json;
}

/* --- for people ----------------------------------------------------------------------------------------------------- */

static void line(GString *to, const char *name, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void line(GString *to, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_string_append_printf(to, "%-14s ", name);
    g_string_append_vprintf(to, format, args);
    g_string_append_c(to, '\n');
    va_end(args);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static gint64 number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void describe_header(GString *to, const json_t *inspected)
{
    const json_t *header = json_object_get(inspected, "header");
    g_autofree char *kind = g_ascii_strup(text_of(header, "kind"), -1);
    line(to, "kind", "%s", kind);
    line(to, "id", "%s", text_of(header, "id"));
    line(to, "suite", "%" G_GINT64_FORMAT, number_of(inspected, "suite"));
    if (json_object_get(inspected, "content") == NULL) {
        line(to, "name", "%s %s", text_of(header, "name"), text_of(header, "version"));
        line(to, "device", "%s", text_of(header, "device"));
    }
    line(to, "author", "%s", text_of(header, "author"));
    if (json_object_get(header, "image_key") != NULL)
        line(to, "image key", "%s", text_of(header, "image_key"));
    else
        line(to, "image key", "none: not encrypted, anyone can read the firmware");
    if (json_object_get(header, "share_sha256") != NULL)
        line(to, "released by", "its cloud, whose share is %s",
             json_is_true(json_object_get(inspected, "share")) ? "here"
                                                               : "not here: the payload is not opened");
    if (json_object_get(header, "cloud_ca") != NULL) {
        line(to, "cloud CA", "%s", text_of(header, "cloud_ca"));
        line(to, "factory", "%s", text_of(header, "factory"));
    }
    line(to, "file", "%" G_GINT64_FORMAT " bytes, SHA-256 %s", number_of(inspected, "file_bytes"),
         text_of(inspected, "file_sha256"));
    const char *signature = text_of(inspected, "signature");
    if (strcmp(signature, "good") == 0)
        line(to, "signature", "good");
    else if (strcmp(signature, "unchecked") == 0)
        line(to, "signature", "not checked: the author's key is not in the trust list");
    else
        line(to, "signature", "not visible: the image key is not here");
}

static void append_lines(GString *to, GPtrArray *lines)
{
    for (guint i = 0; i < lines->len; i++) {
        const ImpLine *said = lines->pdata[i];
        if (strcmp(said->name, IMP_LINE_CHIP) != 0)
            line(to, said->name, "%s", said->text);
    }
    g_ptr_array_unref(lines);
}

json_t *imp_content_inspect(const ImpContent *content)
{
    g_autoptr(GPtrArray) sections = NULL;
    return imp_content_encode(content, &sections);
}

char *imp_content_text(const json_t *content)
{
    GString *to = g_string_new(NULL);
    append_lines(to, imp_describe_content(content));
    return g_string_free(to, FALSE);
}

char *imp_image_inspect_text(const json_t *inspected)
{
    GString *to = g_string_new(NULL);
    describe_header(to, inspected);
    if (json_object_get(inspected, "content") != NULL) {
        append_lines(to, imp_describe_restrictions(json_object_get(inspected, "restrictions"),
                                                   json_object_get(inspected, "content")));
        append_lines(to, imp_describe_content(json_object_get(inspected, "content")));
        line(to, "content", "%s", text_of(inspected, "content_sha256"));
        line(to, "provenance", "%s", text_of(inspected, "provenance_sha256"));
    }
    return g_string_free(to, FALSE);
}
