#include "image/object.h"

#include <string.h>

#include "base/json.h"
#include "image/content_json.h"

#define OBJECT_FILE_MAX                                                                                      \
    (IMP_OBJECT_FIXED_BYTES + IMP_OBJECT_JSON_MAX + IMP_CONTENT_DATA_MAX +                                   \
     IMP_DEVICE_ALGORITHMS_MAX * IMP_ALGORITHM_CODE_MAX + IMP_SHA256_BYTES)
#define OBJECT_DOCUMENT_VERSION 1

/* --- digests -------------------------------------------------------------------------------------------------------- */

static json_t *hex(const guint8 *bytes, gsize n_bytes)
{
    g_autofree char *text = imp_hex_encode(bytes, n_bytes);
    return json_string(text);
}

static json_t *sum_of_bytes(GBytes *bytes)
{
    guint8 digest[IMP_SHA256_BYTES];
    imp_sha256(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), digest);
    return hex(digest, sizeof digest);
}

struct ImpContentSum {
    const ImpContent *content;
    gsize segment, at; /* where the next bytes belong */
    guint64 start, end; /* of the run at work; equal before the first byte */
    ImpSha256 *run;
    json_t *memory;
};

ImpContentSum *imp_content_sum_new(const ImpContent *content)
{
    ImpContentSum *sum = g_new0(ImpContentSum, 1);
    sum->content = content;
    sum->memory = json_array();
    return sum;
}

void imp_content_sum_free(ImpContentSum *sum)
{
    if (sum == NULL)
        return;
    imp_sha256_free(sum->run);
    json_decref(sum->memory);
    g_free(sum);
}

static void end_run(ImpContentSum *sum)
{
    guint8 digest[IMP_SHA256_BYTES];
    if (sum->run == NULL)
        return;
    imp_sha256_final(sum->run, digest);
    g_clear_pointer(&sum->run, imp_sha256_free);
    json_t *run = json_object();
    json_object_set_new(run, "address", json_integer((json_int_t)sum->start));
    json_object_set_new(run, "bytes", json_integer((json_int_t)(sum->end - sum->start)));
    json_object_set_new(run, "sha256", hex(digest, sizeof digest));
    json_array_append_new(sum->memory, run);
}

void imp_content_sum_update(ImpContentSum *sum, const guint8 *bytes, gsize n_bytes)
{
    while (n_bytes > 0) {
        g_assert(sum->segment < sum->content->n_segments);
        const ImpSegment *segment = &sum->content->segments[sum->segment];
        if (sum->run == NULL || (sum->at == 0 && segment->address != sum->end)) {
            end_run(sum);
            sum->run = imp_sha256_new();
            sum->start = sum->end = segment->address;
        }
        gsize size = g_bytes_get_size(segment->bytes), now = MIN(n_bytes, size - sum->at);
        imp_sha256_update(sum->run, bytes, now);
        sum->end += now;
        sum->at += now;
        bytes += now;
        n_bytes -= now;
        if (sum->at == size) {
            sum->segment++;
            sum->at = 0;
        }
    }
}

void imp_content_sum_final(ImpContentSum *sum, guint8 out_sha256[IMP_SHA256_BYTES])
{
    g_autoptr(GPtrArray) sections = NULL;
    g_assert(sum->segment == sum->content->n_segments && sum->at == 0);
    end_run(sum);
    json_auto_t *json = imp_content_encode_around(sum->content, &sections);
    json_object_del(json, "name");
    json_object_del(json, "version");
    json_object_del(json, "segments");
    json_object_set(json, "memory", sum->memory);
    json_t *blobs = json_array();
    for (guint i = 0; i < sections->len; i++)
        json_array_append_new(blobs, sum_of_bytes(g_ptr_array_index(sections, i)));
    json_object_set_new(json, "blobs", blobs);
    g_autofree char *text = imp_json_text(json);
    imp_sha256(text, strlen(text), out_sha256);
}

void imp_content_digest(const ImpContent *content, guint8 out_sha256[IMP_SHA256_BYTES])
{
    g_autoptr(ImpContentSum) sum = imp_content_sum_new(content);
    for (gsize i = 0; i < content->n_segments; i++) {
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(content->segments[i].bytes, &n_bytes);
        imp_content_sum_update(sum, bytes, n_bytes);
    }
    imp_content_sum_final(sum, out_sha256);
}

static json_t *encode_inputs(const ImpObject *object)
{
    json_t *array = json_array();
    for (gsize i = 0; i < object->n_inputs; i++) {
        json_t *input = json_object();
        json_object_set_new(input, "name", json_string(object->inputs[i].name));
        json_object_set_new(input, "sha256", hex(object->inputs[i].sha256, IMP_SHA256_BYTES));
        json_array_append_new(array, input);
    }
    return array;
}

/* --- life cycle ----------------------------------------------------------------------------------------------------- */

void imp_object_free(ImpObject *object)
{
    if (object == NULL)
        return;
    imp_content_free(object->content);
    for (gsize i = 0; i < object->n_inputs; i++)
        g_free(object->inputs[i].name);
    g_free(object->inputs);
    g_free(object);
}

static int compare_inputs(const void *a, const void *b)
{
    const ImpInput *ia = a, *ib = b;
    int order = strcmp(ia->name, ib->name);
    return order != 0 ? order : memcmp(ia->sha256, ib->sha256, IMP_SHA256_BYTES);
}

static gboolean take_inputs(ImpObject *object, const ImpInput *inputs, gsize n_inputs, GError **error)
{
    if (n_inputs > IMP_OBJECT_INPUTS_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "there are %" G_GSIZE_FORMAT " inputs, the limit is %d", n_inputs,
                      IMP_OBJECT_INPUTS_MAX);
        return FALSE;
    }
    object->inputs = g_new0(ImpInput, n_inputs);
    object->n_inputs = n_inputs;
    for (gsize i = 0; i < n_inputs; i++) {
        object->inputs[i] = inputs[i];
        object->inputs[i].name = g_strdup(inputs[i].name);
    }
    for (gsize i = 0; i < n_inputs; i++)
        if (strlen(inputs[i].name) > IMP_INPUT_NAME_MAX || !g_utf8_validate(inputs[i].name, -1, NULL)) {
            imp_error_set(error, IMP_E_CONTENT_INVALID,
                          "the name of input %" G_GSIZE_FORMAT " is not UTF-8 or has more than %d bytes",
                          i + 1, IMP_INPUT_NAME_MAX);
            return FALSE;
        }
    if (n_inputs > 0)
        qsort(object->inputs, n_inputs, sizeof *object->inputs, compare_inputs);
    return TRUE;
}

ImpObject *imp_object_new(ImpContent *content, const ImpInput *inputs, gsize n_inputs, GError **error)
{
    g_autoptr(ImpObject) object = g_new0(ImpObject, 1);
    object->content = content;
    if (!imp_content_check(content, error) || !take_inputs(object, inputs, n_inputs, error))
        return NULL;
    imp_content_digest(content, object->content_sha256);
    json_auto_t *json = encode_inputs(object);
    g_autofree char *text = imp_json_text(json);
    imp_sha256(text, strlen(text), object->provenance_sha256);
    return g_steal_pointer(&object);
}

/* --- encode --------------------------------------------------------------------------------------------------------- */

static void put_le(GByteArray *to, guint n_bytes, guint64 value)
{
    for (guint i = 0; i < n_bytes; i++) {
        guint8 byte = (guint8)(value >> (8 * i));
        g_byte_array_append(to, &byte, 1);
    }
}

static guint64 get_le(const guint8 *bytes, guint n_bytes)
{
    guint64 value = 0;
    for (guint i = n_bytes; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

GBytes *imp_object_encode(const ImpObject *object, GError **error)
{
    g_autoptr(GPtrArray) sections = NULL;
    json_auto_t *json = json_object();
    json_object_set_new(json, "imprint-object", json_integer(OBJECT_DOCUMENT_VERSION));
    json_object_set_new(json, "content", imp_content_encode(object->content, &sections));
    json_object_set_new(json, "content_sha256", hex(object->content_sha256, IMP_SHA256_BYTES));
    json_object_set_new(json, "inputs", encode_inputs(object));
    json_t *lengths = json_array();
    guint64 payload_bytes = 0;
    for (guint i = 0; i < sections->len; i++) {
        gsize n_bytes = g_bytes_get_size(g_ptr_array_index(sections, i));
        json_array_append_new(lengths, json_integer((json_int_t)n_bytes));
        payload_bytes += n_bytes;
    }
    json_object_set_new(json, "sections", lengths);
    g_autofree char *text = imp_json_text(json);
    if (strlen(text) > IMP_OBJECT_JSON_MAX) {
        imp_error_set(error, IMP_E_LIMIT,
                      "the object's description has %" G_GSIZE_FORMAT " bytes, the limit is %u", strlen(text),
                      IMP_OBJECT_JSON_MAX);
        return NULL;
    }
    g_autoptr(GByteArray) file = g_byte_array_new();
    g_byte_array_append(file, (const guint8 *)IMP_OBJECT_MAGIC, 8);
    put_le(file, 2, IMP_OBJECT_VERSION);
    put_le(file, 2, 0);
    put_le(file, 4, strlen(text));
    put_le(file, 8, payload_bytes);
    g_byte_array_append(file, (const guint8 *)text, (guint)strlen(text));
    for (guint i = 0; i < sections->len; i++) {
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(g_ptr_array_index(sections, i), &n_bytes);
        g_byte_array_append(file, bytes, (guint)n_bytes);
    }
    guint8 digest[IMP_SHA256_BYTES];
    imp_sha256(file->data, file->len, digest);
    g_byte_array_append(file, digest, sizeof digest);
    return g_byte_array_free_to_bytes(g_steal_pointer(&file));
}

/* --- decode --------------------------------------------------------------------------------------------------------- */

static gboolean bad_format(GError **error, const char *why)
{
    imp_error_set(error, IMP_E_OBJECT_FORMAT, "object: %s", why);
    return FALSE;
}

/* Fixed header, lengths and digest at the end. */
static gboolean check_file(const guint8 *bytes, gsize n_bytes, gsize *out_json_bytes, GError **error)
{
    if (n_bytes >= 8 && memcmp(bytes, IMP_IMAGE_MAGIC, 8) == 0)
        return bad_format(error, "this is an image that is sealed already, not an object");
    if (n_bytes < IMP_OBJECT_FIXED_BYTES + IMP_SHA256_BYTES || memcmp(bytes, IMP_OBJECT_MAGIC, 8) != 0)
        return bad_format(error, "this is no Imprint object");
    if (get_le(bytes + 8, 2) != IMP_OBJECT_VERSION || get_le(bytes + 10, 2) != 0)
        return bad_format(error, "it is of a version that is unknown here");
    guint64 json_bytes = get_le(bytes + 12, 4), payload_bytes = get_le(bytes + 16, 8);
    if (n_bytes > OBJECT_FILE_MAX || json_bytes > IMP_OBJECT_JSON_MAX || payload_bytes > OBJECT_FILE_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "object: it is larger than an object may be");
        return FALSE;
    }
    if (IMP_OBJECT_FIXED_BYTES + json_bytes + payload_bytes + IMP_SHA256_BYTES != n_bytes)
        return bad_format(error,
                          "its length is not the one that its header says: it is cut off, or bytes follow");
    guint8 digest[IMP_SHA256_BYTES];
    imp_sha256(bytes, n_bytes - IMP_SHA256_BYTES, digest);
    if (memcmp(digest, bytes + n_bytes - IMP_SHA256_BYTES, IMP_SHA256_BYTES) != 0) {
        imp_error_set(error, IMP_E_OBJECT_DAMAGED, "object: the digest at its end does not match its bytes");
        return FALSE;
    }
    *out_json_bytes = (gsize)json_bytes;
    return TRUE;
}

/* The payload, cut as the list of lengths says. */
static GPtrArray *cut_sections(ImpJson *r, const json_t *lengths, GBytes *file, gsize at, gsize end)
{
    g_autoptr(GPtrArray) sections = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    for (gsize i = 0; i < json_array_size(lengths); i++) {
        const json_t *length = json_array_get(lengths, i);
        json_int_t n_bytes = json_is_integer(length) ? json_integer_value(length) : -1;
        if (n_bytes < 0 || (guint64)n_bytes > end - at) {
            imp_json_fault(r, "'sections' do not fit into the payload");
            return NULL;
        }
        g_ptr_array_add(sections, g_bytes_new_from_bytes(file, at, (gsize)n_bytes));
        at += (gsize)n_bytes;
    }
    if (at != end) {
        imp_json_fault(r, "'sections' do not fill the payload");
        return NULL;
    }
    return g_steal_pointer(&sections);
}

static ImpInput *decode_inputs(ImpJson *r, const json_t *array)
{
    gsize n_inputs = json_array_size(array);
    ImpInput *inputs = g_new0(ImpInput, n_inputs + 1);
    for (gsize i = 0; i < n_inputs && imp_json_ok(r); i++) {
        ImpJson s;
        GError *error = NULL;
        imp_json_begin(&s, json_array_get(array, i), "input", IMP_E_OBJECT_FORMAT, IMP_E_OBJECT_FORMAT);
        inputs[i].name = (char *)imp_json_string(&s, "name", 1, IMP_INPUT_NAME_MAX); /* borrowed */
        imp_json_hex(&s, "sha256", inputs[i].sha256, IMP_SHA256_BYTES);
        if (!imp_json_end(&s, &error))
            imp_json_take(r, error);
    }
    return inputs;
}

static ImpObject *decode_document(const json_t *json, GBytes *file, gsize json_bytes, GError **error)
{
    const ImpErrorCode code = IMP_E_OBJECT_FORMAT;
    guint8 content_sha256[IMP_SHA256_BYTES] = {0};
    ImpJson r;
    imp_json_begin(&r, json, "object", code, code);
    imp_json_u64(&r, "imprint-object", OBJECT_DOCUMENT_VERSION, OBJECT_DOCUMENT_VERSION);
    imp_json_hex(&r, "content_sha256", content_sha256, sizeof content_sha256);
    const json_t *content_json = imp_json_object(&r, "content");
    const json_t *lengths = imp_json_array(&r, "sections", 1, IMP_CONTENT_SECTIONS_MAX);
    const json_t *inputs_json = imp_json_array(&r, "inputs", 0, IMP_OBJECT_INPUTS_MAX);
    g_autofree ImpInput *inputs = decode_inputs(&r, inputs_json);
    g_autoptr(GPtrArray) sections = imp_json_ok(&r)
                                        ? cut_sections(&r, lengths, file, IMP_OBJECT_FIXED_BYTES + json_bytes,
                                                       g_bytes_get_size(file) - IMP_SHA256_BYTES)
                                        : NULL;
    if (!imp_json_end(&r, error))
        return NULL;
    ImpContent *content =
        imp_content_decode(content_json, (GBytes *const *)sections->pdata, sections->len, code, code, error);
    if (content == NULL)
        return NULL;
    g_autoptr(ImpObject) object = imp_object_new(content, inputs, json_array_size(inputs_json), error);
    if (object == NULL)
        return NULL;
    if (memcmp(object->content_sha256, content_sha256, IMP_SHA256_BYTES) != 0) {
        imp_error_set(error, IMP_E_CONTENT_DIGEST, "object: its content is not that of its content digest");
        return NULL;
    }
    return g_steal_pointer(&object);
}

ImpObject *imp_object_decode(GBytes *file, GError **error)
{
    gsize n_bytes, json_bytes;
    const guint8 *bytes = g_bytes_get_data(file, &n_bytes);
    if (!check_file(bytes, n_bytes, &json_bytes, error))
        return NULL;
    const char *text = (const char *)bytes + IMP_OBJECT_FIXED_BYTES;
    json_auto_t *json =
        imp_json_parse(text, json_bytes, IMP_OBJECT_JSON_MAX, "object", IMP_E_OBJECT_FORMAT, error);
    if (json == NULL)
        return NULL;
    g_autofree char *canonical = imp_json_text(json);
    if (strlen(canonical) != json_bytes || memcmp(canonical, text, json_bytes) != 0) {
        bad_format(error, "its description is not in canonical form");
        return NULL;
    }
    return decode_document(json, file, json_bytes, error);
}

/* --- files ---------------------------------------------------------------------------------------------------------- */

ImpObject *imp_object_load(const char *path, GError **error)
{
    g_autoptr(GBytes) file = imp_image_read_file(path, OBJECT_FILE_MAX, error);
    ImpObject *object = file != NULL ? imp_object_decode(file, error) : NULL;
    if (file != NULL && object == NULL)
        g_prefix_error(error, "%s: ", path);
    return object;
}
