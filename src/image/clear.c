#include "image/clear.h"

#include "image/object.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "image/clear_codec.h"

#define READ_BYTES 65536

const char *imp_key_id_text(const ImpKeyId *id, char text[IMP_KEY_ID_TEXT_SIZE])
{
    g_autofree char *hex = imp_hex_encode(id->bytes, sizeof id->bytes);
    memcpy(text, hex, IMP_KEY_ID_TEXT_SIZE);
    return text;
}

gboolean imp_key_id_parse(const char *text, ImpKeyId *out_id)
{
    ImpKeyId id;
    for (const char *c = text; *c != '\0'; c++)
        if (g_ascii_isupper(*c))
            return FALSE;
    if (imp_hex_decode(text, id.bytes, sizeof id.bytes) != IMP_KEY_ID_BYTES)
        return FALSE;
    *out_id = id;
    return TRUE;
}

gboolean imp_key_id_equal(const ImpKeyId *a, const ImpKeyId *b)
{
    return memcmp(a->bytes, b->bytes, IMP_KEY_ID_BYTES) == 0;
}

static const char *const kind_names[] = {[IMP_IMAGE_SAP] = "sap", [IMP_IMAGE_JOB] = "job"};

const char *imp_image_kind_name(ImpImageKind kind)
{
    g_assert(kind < G_N_ELEMENTS(kind_names) && kind_names[kind] != NULL);
    return kind_names[kind];
}

void imp_clear_free(ImpClear *clear)
{
    if (clear == NULL)
        return;
    g_free(clear->name);
    g_free(clear->version);
    g_free(clear->device);
    g_free(clear->factory);
    g_free(clear);
}

ImpClear *imp_clear_copy(const ImpClear *clear)
{
    ImpClear *copy = g_memdup2(clear, sizeof *clear);
    copy->name = g_strdup(clear->name);
    copy->version = g_strdup(clear->version);
    copy->device = g_strdup(clear->device);
    copy->factory = g_strdup(clear->factory);
    return copy;
}

/* --- fixed header --------------------------------------------------------------------------------------------------- */

static guint64 get_le(const guint8 *bytes, guint n_bytes)
{
    guint64 value = 0;
    for (guint i = n_bytes; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static void put_le(guint8 *bytes, guint n_bytes, guint64 value)
{
    for (guint i = 0; i < n_bytes; i++)
        bytes[i] = (guint8)(value >> (8 * i));
}

void imp_clear_encode_fixed(const ImpClear *clear, guint8 out[IMP_IMAGE_FIXED_BYTES])
{
    memset(out, 0, IMP_IMAGE_FIXED_BYTES);
    memcpy(out, IMP_IMAGE_MAGIC, 8);
    put_le(out + 8, 2, IMP_IMAGE_VERSION);
    put_le(out + 10, 2, clear->suite);
    put_le(out + 12, 4, clear->clear_bytes);
    put_le(out + 16, 4, clear->envelope_bytes);
    put_le(out + 24, 8, clear->payload_bytes);
}

static gboolean check_length(const char *what, guint64 value, guint64 max, GError **error)
{
    if (value >= 1 && value <= max)
        return TRUE;
    imp_error_set(error, IMP_E_LIMIT,
                  "image: the %s is said to have %" G_GUINT64_FORMAT
                  " bytes, it must have 1 to %" G_GUINT64_FORMAT,
                  what, value, max);
    return FALSE;
}

static gboolean decode_fixed(const guint8 *fixed, ImpClear *clear, GError **error)
{
    if (memcmp(fixed, IMP_IMAGE_MAGIC, 8) != 0) {
        gboolean object = memcmp(fixed, IMP_OBJECT_MAGIC, 8) == 0;
        imp_error_set(error, IMP_E_IMAGE_MAGIC, "%s",
                      object ? "this is an object, not an image: `imprint seal` makes an image of it"
                             : "this is not an Imprint image: its first bytes are others");
        return FALSE;
    }
    guint version = (guint)get_le(fixed + 8, 2);
    if (version != IMP_IMAGE_VERSION) {
        imp_error_set(error, IMP_E_IMAGE_VERSION, "image version %u is unknown here, known is %u", version,
                      IMP_IMAGE_VERSION);
        return FALSE;
    }
    clear->suite = (guint16)get_le(fixed + 10, 2);
    if (clear->suite != IMP_IMAGE_SUITE_P256 && clear->suite != IMP_IMAGE_SUITE_RSA) {
        imp_error_set(error, IMP_E_IMAGE_SUITE, "image suite %u is unknown here, known are %u and %u",
                      clear->suite, IMP_IMAGE_SUITE_P256, IMP_IMAGE_SUITE_RSA);
        return FALSE;
    }
    if (get_le(fixed + 20, 4) != 0) {
        imp_error_set(error, IMP_E_IMAGE_HEADER, "image: the fixed header's bytes 20 to 23 must be zero");
        return FALSE;
    }
    clear->clear_bytes = (guint32)get_le(fixed + 12, 4);
    clear->envelope_bytes = (guint32)get_le(fixed + 16, 4);
    clear->payload_bytes = get_le(fixed + 24, 8);
    if (!check_length("clear header", clear->clear_bytes, IMP_IMAGE_CLEAR_MAX, error) ||
        !check_length("envelope", clear->envelope_bytes, IMP_IMAGE_ENVELOPE_MAX, error) ||
        !check_length("payload", clear->payload_bytes, IMP_IMAGE_PAYLOAD_MAX, error))
        return FALSE;
    clear->file_bytes = IMP_IMAGE_FIXED_BYTES + clear->clear_bytes + clear->envelope_bytes +
                        clear->payload_bytes + IMP_IMAGE_TRAILER_BYTES;
    return TRUE;
}

/* --- clear header --------------------------------------------------------------------------------------------------- */

json_t *imp_clear_to_json(const ImpClear *clear)
{
    char id[IMP_ID_TEXT_SIZE], key[IMP_KEY_ID_TEXT_SIZE];
    json_t *json = json_object();
    json_object_set_new(json, "kind", json_string(imp_image_kind_name(clear->kind)));
    json_object_set_new(json, "id", json_string(imp_id_text(&clear->id, id)));
    json_object_set_new(json, "name", json_string(clear->name));
    json_object_set_new(json, "version", json_string(clear->version));
    json_object_set_new(json, "device", json_string(clear->device));
    json_object_set_new(json, "author", json_string(imp_key_id_text(&clear->author, key)));
    if (clear->encrypted)
        json_object_set_new(json, "image_key", json_string(imp_key_id_text(&clear->image_key, key)));
    if (clear->has_share) {
        g_autofree char *share = imp_hex_encode(clear->share_sha256, sizeof clear->share_sha256);
        json_object_set_new(json, "share_sha256", json_string(share));
    }
    if (clear->kind == IMP_IMAGE_JOB) {
        g_autofree char *ca = imp_hex_encode(clear->cloud_ca_sha256, sizeof clear->cloud_ca_sha256);
        json_object_set_new(json, "cloud_ca", json_string(ca));
        json_object_set_new(json, "factory", json_string(clear->factory));
    }
    return json;
}

gboolean imp_clear_from_json(const json_t *json, ImpClear *clear, GError **error)
{
    ImpJson r;
    imp_json_begin(&r, json, "image: clear header", IMP_E_IMAGE_HEADER, IMP_E_IMAGE_HEADER);
    clear->kind = imp_json_word(&r, "kind", kind_names, G_N_ELEMENTS(kind_names));
    clear->id = imp_json_id(&r, "id");
    clear->name = g_strdup(imp_json_string(&r, "name", 1, IMP_IMAGE_NAME_MAX));
    clear->version = g_strdup(imp_json_string(&r, "version", 0, IMP_IMAGE_VERSION_MAX));
    clear->device = g_strdup(imp_json_string(&r, "device", 1, IMP_IMAGE_NAME_MAX));
    imp_json_hex(&r, "author", clear->author.bytes, IMP_KEY_ID_BYTES);
    clear->encrypted = imp_json_has(&r, "image_key");
    if (clear->encrypted)
        imp_json_hex(&r, "image_key", clear->image_key.bytes, IMP_KEY_ID_BYTES);
    if (clear->kind == IMP_IMAGE_JOB) {
        imp_json_hex(&r, "cloud_ca", clear->cloud_ca_sha256, IMP_SHA256_BYTES);
        clear->factory = g_strdup(imp_json_string(&r, "factory", 1, IMP_IMAGE_NAME_MAX));
        clear->has_share = imp_json_has(&r, "share_sha256");
        if (clear->has_share)
            imp_json_hex(&r, "share_sha256", clear->share_sha256, IMP_SHA256_BYTES);
        if (clear->has_share && !clear->encrypted)
            imp_json_fault(&r, "'share_sha256' belongs to an encrypted image");
    } else {
        clear->factory = g_strdup("");
    }
    return imp_json_end(&r, error);
}

/* text must be the canonical form, so that there is one clear header for one meaning. */
static gboolean decode_clear(const char *text, ImpClear *clear, GError **error)
{
    g_autoptr(GError) inner = NULL;
    json_auto_t *json = imp_json_parse(text, clear->clear_bytes, IMP_IMAGE_CLEAR_MAX, "image: clear header",
                                       IMP_E_IMAGE_HEADER, error);
    if (json == NULL)
        return FALSE;
    g_autofree char *canonical = imp_json_text(json);
    if (strlen(canonical) != clear->clear_bytes || memcmp(canonical, text, clear->clear_bytes) != 0) {
        imp_error_set(error, IMP_E_IMAGE_HEADER, "image: the clear header is not in canonical form");
        return FALSE;
    }
    return imp_clear_from_json(json, clear, error);
}

/* --- reader --------------------------------------------------------------------------------------------------------- */

struct ImpClearReader {
    GByteArray *head; /* fixed and clear header, until they have been read */
    ImpSha256 *sum; /* over everything before the trailer */
    guint64 seen_bytes;
    guint8 trailer[IMP_IMAGE_TRAILER_BYTES];
    ImpClear *clear; /* lengths are right once the fixed header has gone through */
    gboolean has_fixed, has_clear;
};

ImpClearReader *imp_clear_reader_new(void)
{
    ImpClearReader *reader = g_new0(ImpClearReader, 1);
    reader->head = g_byte_array_new();
    reader->sum = imp_sha256_new();
    reader->clear = g_new0(ImpClear, 1);
    return reader;
}

void imp_clear_reader_free(ImpClearReader *reader)
{
    if (reader == NULL)
        return;
    g_byte_array_unref(reader->head);
    imp_sha256_free(reader->sum);
    imp_clear_free(reader->clear);
    g_free(reader);
}

/* Takes what is still missing of the two headers; returns how many of n_bytes that were, -1 on error. */
static gssize take_head(ImpClearReader *reader, const guint8 *bytes, gsize n_bytes, GError **error)
{
    gsize want = IMP_IMAGE_FIXED_BYTES;
    if (reader->has_fixed)
        want += reader->clear->clear_bytes;
    gsize taken = MIN(n_bytes, want - reader->head->len);
    g_byte_array_append(reader->head, bytes, (guint)taken);
    if (reader->head->len < want)
        return (gssize)taken;
    if (!reader->has_fixed) {
        if (!decode_fixed(reader->head->data, reader->clear, error))
            return -1;
        reader->has_fixed = TRUE;
        return (gssize)taken;
    }
    if (!decode_clear((const char *)reader->head->data + IMP_IMAGE_FIXED_BYTES, reader->clear, error))
        return -1;
    imp_sha256(reader->head->data, reader->head->len, reader->clear->header_sha256);
    reader->has_clear = TRUE;
    return (gssize)taken;
}

gboolean imp_clear_reader_update(ImpClearReader *reader, const void *data, gsize n_bytes, GError **error)
{
    const guint8 *bytes = data;
    gsize at = 0;
    while (!reader->has_clear && at < n_bytes) {
        gssize taken = take_head(reader, bytes + at, n_bytes - at, error);
        if (taken < 0)
            return FALSE;
        at += (gsize)taken;
    }
    if (reader->has_fixed && n_bytes > reader->clear->file_bytes - reader->seen_bytes) {
        imp_error_set(error, IMP_E_IMAGE_TRAILING,
                      "image: there are bytes after its end at %" G_GUINT64_FORMAT,
                      reader->clear->file_bytes);
        return FALSE;
    }
    guint64 body_bytes =
        reader->has_fixed ? reader->clear->file_bytes - IMP_IMAGE_TRAILER_BYTES : G_MAXUINT64;
    gsize n_body = (gsize)MIN((guint64)n_bytes, body_bytes - MIN(body_bytes, reader->seen_bytes));
    imp_sha256_update(reader->sum, bytes, n_body);
    reader->seen_bytes += n_body;
    for (gsize i = n_body; i < n_bytes; i++)
        reader->trailer[reader->seen_bytes++ - body_bytes] = bytes[i];
    return TRUE;
}

const ImpClear *imp_clear_reader_header(const ImpClearReader *reader)
{
    return reader->has_clear ? reader->clear : NULL;
}

ImpClear *imp_clear_reader_final(ImpClearReader *reader, GError **error)
{
    if (!reader->has_clear || reader->seen_bytes < reader->clear->file_bytes) {
        if (reader->has_fixed)
            imp_error_set(error, IMP_E_IMAGE_TRUNCATED,
                          "image: it ends after %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " bytes",
                          reader->seen_bytes, reader->clear->file_bytes);
        else
            imp_error_set(error, IMP_E_IMAGE_TRUNCATED, "image: it ends within its fixed header");
        return NULL;
    }
    imp_sha256_final(reader->sum, reader->clear->file_sha256);
    if (memcmp(reader->clear->file_sha256, reader->trailer, IMP_IMAGE_TRAILER_BYTES) != 0) {
        imp_error_set(error, IMP_E_IMAGE_DAMAGED, "image: the digest at its end does not match its bytes");
        return NULL;
    }
    return imp_clear_copy(reader->clear);
}

ImpClear *imp_clear_read(GBytes *file, GError **error)
{
    g_autoptr(ImpClearReader) reader = imp_clear_reader_new();
    gsize n_bytes;
    const void *bytes = g_bytes_get_data(file, &n_bytes);
    if (!imp_clear_reader_update(reader, bytes, n_bytes, error))
        return NULL;
    return imp_clear_reader_final(reader, error);
}

/* Opens path, and calls update with its bytes until it returns FALSE. */
typedef gboolean (*UpdateFn)(gpointer user, const guint8 *bytes, gsize n_bytes, GError **error);

static gboolean read_in_pieces(const char *path, UpdateFn update, gpointer user, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(READ_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    gssize got = fd < 0 ? -1 : 1;
    gboolean good = TRUE;
    while (good && got > 0) {
        got = read(fd, buffer, READ_BYTES);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            good = update(user, buffer, (gsize)got, error);
    }
    if (got < 0) {
        imp_error_set(error, imp_error_code_of_errno(errno), "%s: %s", path, g_strerror(errno));
        good = FALSE;
    } else if (!good) {
        g_prefix_error(error, "%s: ", path);
    }
    if (fd >= 0)
        close(fd);
    return good;
}

static gboolean update_reader(gpointer user, const guint8 *bytes, gsize n_bytes, GError **error)
{
    return imp_clear_reader_update(user, bytes, n_bytes, error);
}

ImpClear *imp_clear_read_file(const char *path, GError **error)
{
    g_autoptr(ImpClearReader) reader = imp_clear_reader_new();
    if (!read_in_pieces(path, update_reader, reader, error))
        return NULL;
    ImpClear *clear = imp_clear_reader_final(reader, error);
    if (clear == NULL)
        g_prefix_error(error, "%s: ", path);
    return clear;
}

typedef struct {
    GByteArray *bytes;
    gsize max_bytes;
} Collector;

static gboolean collect(gpointer user, const guint8 *bytes, gsize n_bytes, GError **error)
{
    Collector *collector = user;
    if (n_bytes > collector->max_bytes - collector->bytes->len) {
        imp_error_set(error, IMP_E_LIMIT, "it has more than %" G_GSIZE_FORMAT " bytes, that is the limit",
                      collector->max_bytes);
        return FALSE;
    }
    g_byte_array_append(collector->bytes, bytes, (guint)n_bytes);
    return TRUE;
}

GBytes *imp_image_read_file(const char *path, gsize max_bytes, GError **error)
{
    g_assert(max_bytes < G_MAXUINT / 2); /* what a GByteArray can hold */
    Collector collector = {.bytes = g_byte_array_new(), .max_bytes = max_bytes};
    if (read_in_pieces(path, collect, &collector, error))
        return g_byte_array_free_to_bytes(collector.bytes);
    g_byte_array_unref(collector.bytes);
    return NULL;
}

gboolean imp_clear_check_station(const ImpClear *clear, const guint8 *cloud_ca_sha256,
                                 gboolean came_from_cloud, GError **error)
{
    if (clear->kind == IMP_IMAGE_JOB && cloud_ca_sha256 == NULL) {
        imp_error_set(error, IMP_E_NOT_ENROLLED,
                      "image '%s' is a JOB, which needs its cloud's permit for each unit; this station "
                      "belongs to no cloud",
                      clear->name);
        return FALSE;
    }
    if (clear->kind == IMP_IMAGE_JOB &&
        memcmp(clear->cloud_ca_sha256, cloud_ca_sha256, IMP_SHA256_BYTES) != 0) {
        imp_error_set(error, IMP_E_IMAGE_OTHER_CLOUD,
                      "image '%s' is a JOB of another cloud than this station's", clear->name);
        return FALSE;
    }
    if (came_from_cloud && !clear->encrypted) {
        imp_error_set(error, IMP_E_IMAGE_UNENCRYPTED, "image '%s' came from the cloud and is not encrypted",
                      clear->name);
        return FALSE;
    }
    return TRUE;
}
