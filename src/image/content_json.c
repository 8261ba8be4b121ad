#include "image/content_json.h"

#include <string.h>

#include "device/device_json.h"
#include "image/policy_json.h"
#include "image/secret.h"

#define CORE_ADDRESS_END (G_GUINT64_CONSTANT(1) << 32) /* every core of this version has 32-bit addresses */

static const char *const attach_names[] = {
    [IMP_ATTACH_NORMAL] = "normal",
    [IMP_ATTACH_UNDER_RESET] = "under-reset",
};
static const char *const value_names[] = {[IMP_VALUE_POOL] = "pool", [IMP_VALUE_READ] = "read"};
static const char *const step_names[] = {
    [IMP_STEP_ERASE] = "erase", [IMP_STEP_PROGRAM] = "program", [IMP_STEP_VERIFY] = "verify",
    [IMP_STEP_READ] = "read",   [IMP_STEP_RESET] = "reset",
};
static const char *const erase_names[] = {[IMP_ERASE_ALL] = "all", [IMP_ERASE_USED] = "used"};
static const char *const verify_names[] = {
    [IMP_VERIFY_CHECKSUM] = "checksum",
    [IMP_VERIFY_READ_BACK] = "read-back",
};
static const char *const rework_names[] = {
    [IMP_REWORK_REFUSE] = "refuse",
    [IMP_REWORK_KEEP_VALUES] = "keep-values",
    [IMP_REWORK_NEW_VALUES] = "new-values",
};

/* --- encode --------------------------------------------------------------------------------------------------------- */

static void set_text(json_t *object, const char *name, const char *text)
{
    json_t *string = json_string(text);
    g_assert(string != NULL); /* imp_content_check has seen that it is UTF-8 */
    json_object_set_new(object, name, string);
}

static void set_number(json_t *object, const char *name, guint64 value)
{
    g_assert(value <= G_MAXINT64);
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

/* The bytes of all segments, one after the other. Plain text of the owner's: memory that is wiped. */
static GBytes *join_segments(const ImpContent *content)
{
    gsize n_bytes = 0;
    for (gsize i = 0; i < content->n_segments; i++)
        n_bytes += g_bytes_get_size(content->segments[i].bytes);
    ImpSecret *memory = imp_secret_new(n_bytes);
    g_assert(memory != NULL); /* no more than what is held already; GLib, too, ends here */
    guint8 *at = memory->bytes;
    for (gsize i = 0; i < content->n_segments; i++) {
        gsize n;
        const void *from = g_bytes_get_data(content->segments[i].bytes, &n);
        memcpy(at, from, n);
        at += n;
    }
    return imp_secret_to_bytes(memory);
}

static json_t *encode_segments(const ImpContent *content)
{
    json_t *array = json_array();
    for (gsize i = 0; i < content->n_segments; i++) {
        const ImpSegment *segment = &content->segments[i];
        json_t *object = json_object();
        set_text(object, "data", segment->data);
        set_number(object, "address", segment->address);
        set_number(object, "bytes", g_bytes_get_size(segment->bytes));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *encode_values(const ImpContent *content)
{
    json_t *array = json_array();
    for (gsize i = 0; i < content->n_values; i++) {
        const ImpValue *value = &content->values[i];
        json_t *object = json_object();
        set_text(object, "name", value->name);
        set_text(object, "kind", value_names[value->kind]);
        json_object_set_new(object, "log", json_boolean(value->log));
        if (value->kind == IMP_VALUE_POOL) {
            set_number(object, "pool", value->pool_index);
        } else {
            set_number(object, "address", value->read_address);
            set_number(object, "bytes", value->read_bytes);
        }
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *encode_places(const ImpContent *content)
{
    json_t *array = json_array();
    for (gsize i = 0; i < content->n_places; i++) {
        const ImpPlace *place = &content->places[i];
        json_t *object = json_object();
        set_number(object, "value", place->value_index);
        set_number(object, "address", place->address);
        set_number(object, "bytes", place->size_bytes);
        set_number(object, "pad", place->pad);
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *encode_steps(const ImpContent *content)
{
    json_t *array = json_array();
    for (gsize i = 0; i < content->n_steps; i++) {
        const ImpStep *step = &content->steps[i];
        json_t *object = json_object();
        set_text(object, "step", step_names[step->kind]);
        if (step->kind == IMP_STEP_ERASE)
            set_text(object, "erase", erase_names[step->erase]);
        if (step->kind == IMP_STEP_VERIFY)
            set_text(object, "verify", verify_names[step->verify]);
        json_array_append_new(array, object);
    }
    return array;
}

json_t *imp_content_encode(const ImpContent *content, GPtrArray **out_sections)
{
    g_autoptr(GPtrArray) blobs = NULL;
    json_t *object = json_object();
    set_text(object, "name", content->name);
    set_text(object, "version", content->version);
    json_object_set_new(object, "device", imp_device_encode(content->device, &blobs));
    set_number(object, "swd_hz", content->swd_hz);
    set_text(object, "attach", attach_names[content->attach]);
    json_object_set_new(object, "segments", encode_segments(content));
    json_object_set_new(object, "pools", imp_pools_encode(content->pools, content->n_pools));
    json_object_set_new(object, "values", encode_values(content));
    json_object_set_new(object, "places", encode_places(content));
    json_object_set_new(object, "steps", encode_steps(content));
    set_text(object, "rework", rework_names[content->rework]);
    GPtrArray *sections = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_ptr_array_add(sections, join_segments(content));
    for (guint i = 0; i < blobs->len; i++)
        g_ptr_array_add(sections, g_bytes_ref(g_ptr_array_index(blobs, i)));
    *out_sections = sections;
    return object;
}

/* --- decode --------------------------------------------------------------------------------------------------------- */

typedef struct {
    ImpContent *content;
    GBytes *memory; /* section 0 */
    gsize used_bytes; /* of it, by the segments so far */
    ImpErrorCode wrong, unknown;
} Decoder;

typedef void (*ItemFn)(ImpJson *r, Decoder *decoder, gsize index);

/* Reads each item of an array, which has been measured and for which the caller has made room, with a reader of its own. */
static void decode_items(ImpJson *r, Decoder *decoder, const char *name, const json_t *array, ItemFn item)
{
    for (gsize i = 0; i < json_array_size(array) && imp_json_ok(r); i++) {
        ImpJson s;
        GError *error = NULL;
        imp_json_begin(&s, json_array_get(array, i), name, decoder->wrong, decoder->unknown);
        item(&s, decoder, i);
        if (!imp_json_end(&s, &error))
            imp_json_take(r, error);
    }
}

static void decode_segment(ImpJson *r, Decoder *decoder, gsize index)
{
    ImpSegment *segment = &decoder->content->segments[index];
    segment->data = g_strdup(imp_json_string(r, "data", 1, IMP_CONTENT_NAME_MAX));
    segment->address = imp_json_u64(r, "address", 0, CORE_ADDRESS_END - 1);
    gsize n_bytes = (gsize)imp_json_u64(r, "bytes", 1, IMP_CONTENT_DATA_MAX);
    if (n_bytes > g_bytes_get_size(decoder->memory) - decoder->used_bytes)
        imp_json_fault(r, "'bytes' reaches behind the end of the memory section");
    if (!imp_json_ok(r))
        return;
    segment->bytes = g_bytes_new_from_bytes(decoder->memory, decoder->used_bytes, n_bytes);
    decoder->used_bytes += n_bytes;
}

static void decode_value(ImpJson *r, Decoder *decoder, gsize index)
{
    ImpValue *value = &decoder->content->values[index];
    value->name = g_strdup(imp_json_string(r, "name", 1, IMP_CONTENT_NAME_MAX));
    value->kind = imp_json_word(r, "kind", value_names, G_N_ELEMENTS(value_names));
    value->log = imp_json_bool(r, "log");
    if (value->kind == IMP_VALUE_POOL) {
        value->pool_index = (guint32)imp_json_u64(r, "pool", 0, IMP_CONTENT_POOLS_MAX - 1);
    } else {
        value->read_address = imp_json_u64(r, "address", 0, CORE_ADDRESS_END - 1);
        value->read_bytes = (guint32)imp_json_u64(r, "bytes", 1, IMP_CONTENT_VALUE_BYTES_MAX);
    }
}

static void decode_place(ImpJson *r, Decoder *decoder, gsize index)
{
    ImpPlace *place = &decoder->content->places[index];
    place->value_index = (guint32)imp_json_u64(r, "value", 0, IMP_CONTENT_VALUES_MAX - 1);
    place->address = imp_json_u64(r, "address", 0, CORE_ADDRESS_END - 1);
    place->size_bytes = (guint32)imp_json_u64(r, "bytes", 1, IMP_CONTENT_PLACE_BYTES_MAX);
    place->pad = (guint8)imp_json_u64(r, "pad", 0, G_MAXUINT8);
}

static void decode_step(ImpJson *r, Decoder *decoder, gsize index)
{
    ImpStep *step = &decoder->content->steps[index];
    step->kind = imp_json_word(r, "step", step_names, G_N_ELEMENTS(step_names));
    if (step->kind == IMP_STEP_ERASE)
        step->erase = imp_json_word(r, "erase", erase_names, G_N_ELEMENTS(erase_names));
    if (step->kind == IMP_STEP_VERIFY)
        step->verify = imp_json_word(r, "verify", verify_names, G_N_ELEMENTS(verify_names));
}

/* Makes room before it reads, so that a half-read content can be freed. */
static void decode_lists(ImpJson *r, Decoder *decoder)
{
    ImpContent *content = decoder->content;
    const json_t *segments = imp_json_array(r, "segments", 0, IMP_CONTENT_SEGMENTS_MAX);
    content->n_segments = json_array_size(segments);
    content->segments = g_new0(ImpSegment, content->n_segments);
    decode_items(r, decoder, "segment", segments, decode_segment);
    if (decoder->used_bytes != g_bytes_get_size(decoder->memory))
        imp_json_fault(r, "the segments do not fill the memory section");

    const json_t *values = imp_json_array(r, "values", 0, IMP_CONTENT_VALUES_MAX);
    content->n_values = json_array_size(values);
    content->values = g_new0(ImpValue, content->n_values);
    decode_items(r, decoder, "value", values, decode_value);

    const json_t *places = imp_json_array(r, "places", 0, IMP_CONTENT_PLACES_MAX);
    content->n_places = json_array_size(places);
    content->places = g_new0(ImpPlace, content->n_places);
    decode_items(r, decoder, "place", places, decode_place);

    const json_t *steps = imp_json_array(r, "steps", 0, IMP_CONTENT_STEPS_MAX);
    content->n_steps = json_array_size(steps);
    content->steps = g_new0(ImpStep, content->n_steps);
    decode_items(r, decoder, "step", steps, decode_step);
}

ImpContent *imp_content_decode(const json_t *object, GBytes *const *sections, gsize n_sections,
                               ImpErrorCode wrong, ImpErrorCode unknown, GError **error)
{
    g_assert(n_sections >= 1);
    g_autoptr(ImpContent) content = g_new0(ImpContent, 1);
    Decoder decoder = {.content = content, .memory = sections[0], .wrong = wrong, .unknown = unknown};
    GError *inner = NULL;
    ImpJson r;
    imp_json_begin(&r, object, "content", wrong, unknown);
    content->name = g_strdup(imp_json_string(&r, "name", 1, IMP_CONTENT_NAME_MAX));
    content->version = g_strdup(imp_json_string(&r, "version", 0, IMP_CONTENT_NAME_MAX));
    const json_t *device = imp_json_object(&r, "device");
    if (device != NULL) {
        content->device = imp_device_decode(device, sections + 1, n_sections - 1, wrong, unknown, &inner);
        imp_json_take(&r, g_steal_pointer(&inner));
    }
    content->swd_hz = (guint32)imp_json_u64(&r, "swd_hz", 1, G_MAXUINT32);
    content->attach = imp_json_word(&r, "attach", attach_names, G_N_ELEMENTS(attach_names));
    const json_t *pools = imp_json_array(&r, "pools", 0, IMP_CONTENT_POOLS_MAX);
    if (pools != NULL && !imp_pools_decode(pools, wrong, unknown, &content->pools, &content->n_pools, &inner))
        imp_json_take(&r, g_steal_pointer(&inner));
    decode_lists(&r, &decoder);
    content->rework = imp_json_word(&r, "rework", rework_names, G_N_ELEMENTS(rework_names));
    if (!imp_json_end(&r, error) || !imp_content_check(content, error))
        return NULL;
    return g_steal_pointer(&content);
}
