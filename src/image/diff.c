#include "image/diff.h"

#include <string.h>

#include "image/content_json.h"
#include "image/describe.h"
#include "image/object.h"
#include "image/opened.h"
#include "image/policy_json.h"

#define HEX        "0x%08" G_GINT64_MODIFIER "X"
#define RANGES_MAX 32 /* of memory that differs: told one by one */
#define SHOWN_MAX  8 /* bytes of each side */

/* One of the two files, as far as it can be read. */
typedef struct {
    ImpClear *clear; /* NULL: an object */
    json_t *restrictions; /* NULL: an object, or not visible */
    json_t *content; /* NULL: not visible */
    ImpContent *memory; /* NULL: not visible */
} Side;

static void side_done(Side *side)
{
    imp_clear_free(side->clear);
    json_decref(side->restrictions);
    json_decref(side->content);
    imp_content_free(side->memory);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Side, side_done)

static gboolean read_object(Side *side, GBytes *file, GError **error)
{
    g_autoptr(ImpObject) object = imp_object_decode(file, error);
    if (object == NULL)
        return FALSE;
    g_autoptr(GPtrArray) sections = NULL;
    side->memory = g_steal_pointer(&object->content);
    side->content = imp_content_encode(side->memory, &sections);
    return TRUE;
}

static gboolean read_image(Side *side, GBytes *file, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                           GError **error)
{
    g_auto(ImpOpened) opened = {0};
    if (!imp_opened_init(&opened, file, image_keys, authors, FALSE, error))
        return FALSE;
    side->clear = imp_clear_copy(opened.clear);
    if (!opened.readable)
        return TRUE;
    side->restrictions = imp_restrictions_encode(&opened.manifest.restrictions);
    side->content = json_incref(opened.manifest.content);
    if (!imp_opened_has_share(&opened))
        return TRUE;
    side->memory = imp_opened_content(&opened, TRUE, error);
    return side->memory != NULL;
}

static gboolean read_side(Side *side, GBytes *file, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                          const char *which, GError **error)
{
    gsize n_bytes;
    const void *bytes = g_bytes_get_data(file, &n_bytes);
    gboolean object = n_bytes >= 8 && memcmp(bytes, IMP_OBJECT_MAGIC, 8) == 0;
    gboolean good =
        object ? read_object(side, file, error) : read_image(side, file, image_keys, authors, error);
    if (!good)
        g_prefix_error(error, "%s: ", which);
    return good;
}

static void tell(GPtrArray *to, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void tell(GPtrArray *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_ptr_array_add(to, g_strdup_vprintf(format, args));
    va_end(args);
}

static void tell_changed(GPtrArray *to, const char *name, const char *a, const char *b)
{
    if (strcmp(a, b) != 0)
        tell(to, "%s: was %s, is %s", name, a[0] != '\0' ? a : "none", b[0] != '\0' ? b : "none");
}

/* --- headers -------------------------------------------------------------------------------------------------------- */

static void diff_keys(GPtrArray *to, const char *name, gboolean has_a, const ImpKeyId *a, gboolean has_b,
                      const ImpKeyId *b)
{
    char text_a[IMP_KEY_ID_TEXT_SIZE], text_b[IMP_KEY_ID_TEXT_SIZE];
    tell_changed(to, name, has_a ? imp_key_id_text(a, text_a) : "none",
                 has_b ? imp_key_id_text(b, text_b) : "none");
}

static void diff_clear(GPtrArray *to, const ImpClear *a, const ImpClear *b)
{
    if ((a == NULL) != (b == NULL))
        tell(to, "the first is %s, the second %s", a == NULL ? "an object" : "an image",
             b == NULL ? "an object" : "an image");
    if (a == NULL || b == NULL)
        return;
    tell_changed(to, "kind", imp_image_kind_name(a->kind), imp_image_kind_name(b->kind));
    if (a->suite != b->suite)
        tell(to, "suite: was %u, is %u", a->suite, b->suite);
    diff_keys(to, "author", TRUE, &a->author, TRUE, &b->author);
    diff_keys(to, "image key", a->encrypted, &a->image_key, b->encrypted, &b->image_key);
    tell_changed(to, "released by", a->has_share ? "its cloud" : "its key",
                 b->has_share ? "its cloud" : "its key");
    tell_changed(to, "factory", a->factory, b->factory);
    if (memcmp(a->cloud_ca_sha256, b->cloud_ca_sha256, IMP_SHA256_BYTES) != 0)
        tell(to, "cloud: another one");
}

/* Without content: what the clear headers say of it. */
static void diff_names(GPtrArray *to, const ImpClear *a, const ImpClear *b)
{
    tell_changed(to, "name", a->name, b->name);
    tell_changed(to, "version", a->version, b->version);
    tell_changed(to, "device", a->device, b->device);
}

/* --- lines ---------------------------------------------------------------------------------------------------------- */

static const ImpLine *find_line(const GPtrArray *lines, const ImpLine *like)
{
    for (guint i = 0; i < lines->len; i++) {
        const ImpLine *line = lines->pdata[i];
        if (strcmp(line->name, like->name) == 0 && strcmp(line->key, like->key) == 0)
            return line;
    }
    return NULL;
}

static gboolean is_step(const ImpLine *line)
{
    return strcmp(line->name, "step") == 0 || strcmp(line->name, "finally") == 0;
}

/* Lines that are known by name and key. */
static void diff_named(GPtrArray *to, const GPtrArray *a, const GPtrArray *b)
{
    for (guint i = 0; i < a->len; i++) {
        const ImpLine *line = a->pdata[i], *other = find_line(b, line);
        if (is_step(line) || line->name[0] == '\0')
            continue; /* compared as a sequence; a remark */
        if (other == NULL)
            tell(to, "%s: only the first has %s", line->name, line->text);
        else
            tell_changed(to, line->name, line->text, other->text);
    }
    for (guint i = 0; i < b->len; i++) {
        const ImpLine *line = b->pdata[i];
        if (!is_step(line) && line->name[0] != '\0' && find_line(a, line) == NULL)
            tell(to, "%s: only the second has %s", line->name, line->text);
    }
}

/* The texts of the lines of this name, in order; borrowed. */
static GPtrArray *sequence(const GPtrArray *lines, const char *name)
{
    GPtrArray *texts = g_ptr_array_new();
    for (guint i = 0; i < lines->len; i++) {
        const ImpLine *line = lines->pdata[i];
        if (strcmp(line->name, name) == 0)
            g_ptr_array_add(texts, line->text);
    }
    return texts;
}

/* Steps are compared as a sequence: the longest one that both have stays untold (at most 256 by 256). */
static void diff_steps(GPtrArray *to, const char *name, const GPtrArray *lines_a, const GPtrArray *lines_b)
{
    g_autoptr(GPtrArray) a = sequence(lines_a, name);
    g_autoptr(GPtrArray) b = sequence(lines_b, name);
    gsize width = b->len + 1;
    g_autofree guint16 *common = g_new0(guint16, (a->len + 1) * width); /* of what follows i and k */
    for (guint i = a->len; i-- > 0;)
        for (guint k = b->len; k-- > 0;)
            common[i * width + k] = strcmp(a->pdata[i], b->pdata[k]) == 0
                                        ? common[(i + 1) * width + k + 1] + 1
                                        : MAX(common[(i + 1) * width + k], common[i * width + k + 1]);
    for (guint i = 0, k = 0; i < a->len || k < b->len;) {
        if (i < a->len && k < b->len && strcmp(a->pdata[i], b->pdata[k]) == 0) {
            i++;
            k++;
        } else if (k == b->len || (i < a->len && common[(i + 1) * width + k] >= common[i * width + k + 1])) {
            tell(to, "%s %u: only the first has '%s'", name, i + 1, (const char *)a->pdata[i]);
            i++;
        } else {
            tell(to, "%s %u: only the second has '%s'", name, k + 1, (const char *)b->pdata[k]);
            k++;
        }
    }
}

static void diff_lines(GPtrArray *to, GPtrArray *a, GPtrArray *b)
{
    diff_named(to, a, b);
    diff_steps(to, "step", a, b);
    diff_steps(to, "finally", a, b);
    g_ptr_array_unref(a);
    g_ptr_array_unref(b);
}

/* --- bytes ---------------------------------------------------------------------------------------------------------- */

/* The bytes from address on, or NULL in a gap; *out_end: where the segment, or the gap, ends (exclusive). */
static const guint8 *piece_at(const ImpContent *content, guint64 address, guint64 *out_end)
{
    *out_end = G_MAXUINT64;
    for (gsize i = 0; i < content->n_segments; i++) {
        const ImpSegment *segment = &content->segments[i];
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(segment->bytes, &n_bytes);
        if (address < segment->address) {
            *out_end = segment->address;
            return NULL;
        }
        if (address < segment->address + n_bytes) {
            *out_end = segment->address + n_bytes;
            return bytes + (address - segment->address);
        }
    }
    return NULL;
}

static char *bytes_text(const ImpContent *content, guint64 first, guint64 last)
{
    GString *text = g_string_new(NULL);
    guint64 end;
    for (guint64 at = first; at <= last && at < first + SHOWN_MAX; at++)
        g_string_append_printf(text, "%s%02X", at > first ? " " : "", *piece_at(content, at, &end));
    if (last - first >= SHOWN_MAX)
        g_string_append(text, "...");
    return g_string_free(text, FALSE);
}

typedef enum { SAME, OTHER, ONLY_A, ONLY_B } Kind;

/* A range that is being walked through, and how many have been told. */
typedef struct {
    GPtrArray *to;
    const ImpContent *a, *b;
    Kind kind;
    guint64 first;
    guint n_ranges;
} Walk;

static void tell_range(const Walk *walk, guint64 last)
{
    guint64 first = walk->first, n_bytes = last - first + 1;
    if (walk->kind != OTHER) {
        tell(walk->to, "memory: only the %s has " HEX " to " HEX ", %" G_GUINT64_FORMAT " bytes",
             walk->kind == ONLY_A ? "first" : "second", first, last, n_bytes);
        return;
    }
    g_autofree char *text_a = bytes_text(walk->a, first, last);
    g_autofree char *text_b = bytes_text(walk->b, first, last);
    tell(walk->to, "memory: " HEX " to " HEX ", %" G_GUINT64_FORMAT " bytes: was %s, is %s", first, last,
         n_bytes, text_a, text_b);
}

/* From address on it is of this kind. */
static void walk_on(Walk *walk, guint64 address, Kind kind)
{
    if (kind == walk->kind)
        return;
    if (walk->kind != SAME && ++walk->n_ranges <= RANGES_MAX)
        tell_range(walk, address - 1);
    walk->kind = kind;
    walk->first = address;
}

/* Both memory maps from the lowest to the highest address, piece by piece. */
static void diff_memory(GPtrArray *to, const ImpContent *a, const ImpContent *b)
{
    Walk walk = {.to = to, .a = a, .b = b, .kind = SAME};
    for (guint64 at = 0, end = 0; at != G_MAXUINT64; at = end) {
        guint64 end_a, end_b;
        const guint8 *bytes_a = piece_at(a, at, &end_a), *bytes_b = piece_at(b, at, &end_b);
        end = MIN(end_a, end_b);
        if (bytes_a == NULL || bytes_b == NULL)
            walk_on(&walk, at, bytes_a != NULL ? ONLY_A : bytes_b != NULL ? ONLY_B : SAME);
        else if (memcmp(bytes_a, bytes_b, (gsize)(end - at)) == 0)
            walk_on(&walk, at, SAME);
        else
            for (guint64 i = at; i < end; i++)
                walk_on(&walk, i, bytes_a[i - at] == bytes_b[i - at] ? SAME : OTHER);
    }
    if (walk.n_ranges > RANGES_MAX)
        tell(to, "memory: and %u ranges more", walk.n_ranges - RANGES_MAX);
}

static void diff_tests(GPtrArray *to, const ImpContent *a, const ImpContent *b)
{
    for (gsize i = 0; i < a->n_tests; i++)
        for (gsize k = 0; k < b->n_tests; k++) {
            const ImpTestProgram *ta = &a->tests[i], *tb = &b->tests[k];
            gboolean same = ta->n_segments == tb->n_segments;
            if (strcmp(ta->name, tb->name) != 0)
                continue;
            for (gsize s = 0; same && s < ta->n_segments; s++)
                same = g_bytes_equal(ta->segments[s].bytes, tb->segments[s].bytes);
            if (!same)
                tell(to, "test %s: another program", ta->name);
        }
}

static void diff_algorithms(GPtrArray *to, const ImpDevice *a, const ImpDevice *b)
{
    for (gsize i = 0; i < MIN(a->n_algorithms, b->n_algorithms); i++)
        if (!g_bytes_equal(a->algorithms[i]->blob, b->algorithms[i]->blob))
            tell(to, "algorithm %s: other code", a->algorithms[i]->name);
}

GPtrArray *imp_diff(GBytes *file_a, GBytes *file_b, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                    GError **error)
{
    g_auto(Side) a = {0};
    g_auto(Side) b = {0};
    if (!read_side(&a, file_a, image_keys, authors, "the first file", error) ||
        !read_side(&b, file_b, image_keys, authors, "the second file", error))
        return NULL;
    GPtrArray *to = g_ptr_array_new_with_free_func(g_free);
    diff_clear(to, a.clear, b.clear);
    if (a.restrictions != NULL && b.restrictions != NULL)
        diff_lines(to, imp_describe_restrictions(a.restrictions, a.content),
                   imp_describe_restrictions(b.restrictions, b.content));
    if (a.content != NULL && b.content != NULL)
        diff_lines(to, imp_describe_content(a.content), imp_describe_content(b.content));
    else if (a.clear != NULL && b.clear != NULL)
        diff_names(to, a.clear, b.clear);
    if (a.memory != NULL && b.memory != NULL) {
        diff_memory(to, a.memory, b.memory);
        diff_tests(to, a.memory, b.memory);
        diff_algorithms(to, a.memory->device, b.memory->device);
    } else {
        const Side *side = a.memory == NULL ? &a : &b;
        tell(to, "the %s is encrypted, and %s is not here: %s", side == &a ? "first" : "second",
             side->content == NULL ? "its image key" : "its cloud's share",
             side->content == NULL ? "its content is not compared" : "its bytes are not compared");
    }
    return to;
}
