#include <string.h>

#include "base/json.h"
#include "image/clear_codec.h"
#include "image/numbers.h"
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
        g_autoptr(ImpContent) content = imp_opened_content(&opened, error);
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
    line(to, "name", "%s %s", text_of(header, "name"), text_of(header, "version"));
    line(to, "device", "%s", text_of(header, "device"));
    line(to, "author", "%s", text_of(header, "author"));
    if (json_object_get(header, "image_key") != NULL)
        line(to, "image key", "%s", text_of(header, "image_key"));
    else
        line(to, "image key", "none: not encrypted, anyone can read the firmware");
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

static void describe_date(GString *to, const char *name, const json_t *restrictions, const char *member)
{
    if (json_object_get(restrictions, member) == NULL)
        return;
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(number_of(restrictions, member));
    g_autofree char *text = time != NULL ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S UTC") : NULL;
    line(to, name, "%s", text != NULL ? text : "?");
}

static void describe_restrictions(GString *to, const json_t *restrictions)
{
    if (json_object_get(restrictions, "units") != NULL)
        line(to, "units", "%" G_GINT64_FORMAT ", counted on %s", number_of(restrictions, "units"),
             text_of(restrictions, "count_on"));
    else
        line(to, "units", "no limit");
    if (json_object_get(restrictions, "max_failures") != NULL)
        line(to, "max failures", "%" G_GINT64_FORMAT, number_of(restrictions, "max_failures"));
    describe_date(to, "not before", restrictions, "not_before_s");
    describe_date(to, "not after", restrictions, "not_after_s");
}

static void describe_numbers(GString *to, const json_t *restrictions, const json_t *content)
{
    const json_t *numbers = json_object_get(restrictions, "numbers");
    if (numbers == NULL)
        return;
    const json_t *pool = json_array_get(json_object_get(content, "pools"), 0);
    g_autofree char *text = imp_numbers_text(text_of(pool, "id"), (guint64)number_of(numbers, "first"),
                                             (guint64)number_of(numbers, "last"));
    line(to, "numbers", "%s", text);
    line(to, "", "%s", IMP_NUMBERS_WARNING);
}

static void describe_content(GString *to, const json_t *content)
{
    gsize i;
    json_t *item;
    json_array_foreach(json_object_get(content, "segments"), i, item)
    {
        gint64 address = number_of(item, "address"), n_bytes = number_of(item, "bytes");
        line(to, "data",
             "%s, 0x%08" G_GINT64_MODIFIER "X to 0x%08" G_GINT64_MODIFIER "X, %" G_GINT64_FORMAT " bytes",
             text_of(item, "data"), (guint64)address, (guint64)(address + n_bytes - 1), n_bytes);
    }
    json_array_foreach(json_object_get(content, "pools"), i, item)
    {
        line(to, "pool", "%s, %s", text_of(item, "id"), text_of(item, "definition"));
    }
    const json_t *values = json_object_get(content, "values");
    json_array_foreach(values, i, item)
    {
        line(to, "value", "%s, %s%s", text_of(item, "name"), text_of(item, "kind"),
             json_is_true(json_object_get(item, "log")) ? ", logged" : "");
    }
    json_array_foreach(json_object_get(content, "places"), i, item)
    {
        const json_t *value = json_array_get(values, (gsize)number_of(item, "value"));
        line(to, "place", "%s, 0x%08" G_GINT64_MODIFIER "X, %" G_GINT64_FORMAT " bytes",
             text_of(value, "name"), (guint64)number_of(item, "address"), number_of(item, "bytes"));
    }
    json_array_foreach(json_object_get(content, "steps"), i, item)
    {
        const char *step = text_of(item, "step");
        line(to, "step", "%s %s", step, text_of(item, step));
    }
    line(to, "rework", "%s", text_of(content, "rework"));
}

char *imp_image_inspect_text(const json_t *inspected)
{
    GString *to = g_string_new(NULL);
    describe_header(to, inspected);
    if (json_object_get(inspected, "content") != NULL) {
        describe_restrictions(to, json_object_get(inspected, "restrictions"));
        describe_numbers(to, json_object_get(inspected, "restrictions"),
                         json_object_get(inspected, "content"));
        describe_content(to, json_object_get(inspected, "content"));
        line(to, "content", "%s", text_of(inspected, "content_sha256"));
        line(to, "provenance", "%s", text_of(inspected, "provenance_sha256"));
    }
    return g_string_free(to, FALSE);
}
