/* Verifies an image file in pieces: the memory's section goes by and is not kept. */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "image/content_json.h"
#include "image/object.h"
#include "image/opened.h"

#define PIECE_BYTES (64 * 1024)
#define PIECES      4 /* of plaintext, between unpacking and hashing */
#define HEAD_MAX    (IMP_IMAGE_FIXED_BYTES + IMP_IMAGE_CLEAR_MAX + IMP_IMAGE_ENVELOPE_MAX)

/* Hashes the plaintext on a thread of its own, for that takes as long as unpacking it. */
typedef struct {
    ImpContentSum *sum;
    ImpSecret *memory; /* PIECES of them */
    gsize sizes[PIECES];
    pthread_t thread;
    pthread_mutex_t lock; /* holds all below */
    pthread_cond_t changed;
    guint64 put, taken;
    gboolean ended;
} Hasher;

typedef struct {
    int fd;
    guint8 *buffer; /* grows to the largest piece that was asked for */
    gsize buffer_bytes;
    ImpSecret *plain; /* where plaintext goes by that nobody hashes */
    Hasher *hasher;
    gboolean with_digest;
} File;

static guint8 *piece_of(const Hasher *hasher, guint64 number)
{
    return hasher->memory->bytes + number % PIECES * IMP_SECTION_PIECE;
}

static void *hash(void *data)
{
    Hasher *hasher = data;
    pthread_mutex_lock(&hasher->lock);
    for (;;) {
        while (hasher->taken == hasher->put && !hasher->ended)
            pthread_cond_wait(&hasher->changed, &hasher->lock);
        if (hasher->taken == hasher->put)
            break;
        guint64 number = hasher->taken;
        pthread_mutex_unlock(&hasher->lock);
        imp_content_sum_update(hasher->sum, piece_of(hasher, number), hasher->sizes[number % PIECES]);
        pthread_mutex_lock(&hasher->lock);
        hasher->taken++;
        pthread_cond_signal(&hasher->changed);
    }
    pthread_mutex_unlock(&hasher->lock);
    return NULL;
}

static gboolean hasher_begin(Hasher *hasher, ImpContentSum *sum, GError **error)
{
    *hasher = (Hasher){.sum = sum, .memory = imp_secret_new(PIECES * IMP_SECTION_PIECE)};
    pthread_mutex_init(&hasher->lock, NULL);
    pthread_cond_init(&hasher->changed, NULL);
    if (hasher->memory != NULL && pthread_create(&hasher->thread, NULL, hash, hasher) == 0)
        return TRUE;
    imp_error_set(error, IMP_E_NO_MEMORY, "no memory to unpack a section");
    imp_secret_free(hasher->memory);
    return FALSE;
}

/* Waits until all of it has been hashed. */
static void hasher_end(Hasher *hasher)
{
    pthread_mutex_lock(&hasher->lock);
    hasher->ended = TRUE;
    pthread_cond_signal(&hasher->changed);
    pthread_mutex_unlock(&hasher->lock);
    pthread_join(hasher->thread, NULL);
    pthread_cond_destroy(&hasher->changed);
    pthread_mutex_destroy(&hasher->lock);
    imp_secret_free(hasher->memory);
}

static guint8 *give_same_room(gpointer user)
{
    return ((File *)user)->plain->bytes;
}

static void drop_plain(gpointer user, gsize n_bytes)
{
    (void)user;
    (void)n_bytes;
}

static guint8 *give_room(gpointer user)
{
    Hasher *hasher = ((File *)user)->hasher;
    pthread_mutex_lock(&hasher->lock);
    while (hasher->put - hasher->taken == PIECES)
        pthread_cond_wait(&hasher->changed, &hasher->lock);
    pthread_mutex_unlock(&hasher->lock);
    return piece_of(hasher, hasher->put);
}

static void take_plain(gpointer user, gsize n_bytes)
{
    Hasher *hasher = ((File *)user)->hasher;
    hasher->sizes[hasher->put % PIECES] = n_bytes;
    pthread_mutex_lock(&hasher->lock);
    hasher->put++;
    pthread_cond_signal(&hasher->changed);
    pthread_mutex_unlock(&hasher->lock);
}

static gboolean fail_read(const File *file, GError **error)
{
    imp_error_set(error, IMP_E_IO, "it cannot be read: %s", g_strerror(errno));
    return FALSE;
}

/* Up to n_bytes into to; *out_got is less only at the file's end. */
static gboolean read_some(const File *file, guint8 *to, gsize n_bytes, gsize *out_got, GError **error)
{
    gsize got = 0;
    while (got < n_bytes) {
        ssize_t n = read(file->fd, to + got, n_bytes - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_read(file, error);
        if (n == 0)
            break;
        got += (gsize)n;
    }
    *out_got = got;
    return TRUE;
}

/* The whole file once: is it whole, and is the digest at its end right? Keeps what comes before the payload. */
static ImpClear *read_head(const File *file, GByteArray *head, GError **error)
{
    g_autoptr(ImpClearReader) reader = imp_clear_reader_new();
    g_autofree guint8 *piece = g_malloc(PIECE_BYTES);
    gsize got;
    do {
        if (!read_some(file, piece, PIECE_BYTES, &got, error) ||
            !imp_clear_reader_update(reader, piece, got, error))
            return NULL;
        const ImpClear *clear = imp_clear_reader_header(reader);
        gsize wanted = clear == NULL
                           ? HEAD_MAX
                           : (gsize)IMP_IMAGE_FIXED_BYTES + clear->clear_bytes + clear->envelope_bytes;
        if (head->len < wanted)
            g_byte_array_append(head, piece, (guint)MIN(got, wanted - head->len));
    } while (got == PIECE_BYTES);
    return imp_clear_reader_final(reader, error);
}

static const guint8 *next_stored(gpointer user, gsize n_bytes, GError **error)
{
    File *file = user;
    gsize got;
    if (n_bytes > file->buffer_bytes) {
        file->buffer = g_realloc(file->buffer, n_bytes);
        file->buffer_bytes = n_bytes;
    }
    if (!read_some(file, file->buffer, n_bytes, &got, error))
        return NULL;
    if (got == n_bytes)
        return file->buffer;
    imp_error_set(error, IMP_E_IMAGE_TRUNCATED, "it has become shorter while it was read");
    return NULL;
}

static gboolean seek(const File *file, guint64 at, GError **error)
{
    return lseek(file->fd, (off_t)at, SEEK_SET) >= 0 || fail_read(file, error);
}

/* A section that is kept: the blob of an algorithm, a test program. */
static GBytes *read_small(File *file, const ImpOpened *opened, guint32 index, guint64 at, GError **error)
{
    const ImpId *image = &opened->clear->id;
    guint64 stored_bytes = opened->manifest.sections[index].stored_bytes;
    ImpSection section;
    if (stored_bytes > 2 * (guint64)IMP_OPENED_SMALL_MAX) { /* packing makes nothing twice as long */
        imp_error_set(error, IMP_E_LIMIT, "section %u is stored in %" G_GUINT64_FORMAT " bytes", index,
                      stored_bytes);
        return NULL;
    }
    const guint8 *stored = seek(file, at, error) ? next_stored(file, (gsize)stored_bytes, error) : NULL;
    if (stored == NULL || !imp_opened_section(opened, index, &section, error))
        return NULL;
    GBytes *bytes = imp_section_read(&section, index, image, stored, IMP_OPENED_SMALL_MAX, error);
    OPENSSL_cleanse(section.key, sizeof section.key);
    return bytes;
}

typedef struct {
    void *start;
    gsize n_bytes;
} Hole;

static void free_hole(gpointer data)
{
    Hole *hole = data;
    munmap(hole->start, hole->n_bytes);
    g_free(hole);
}

/* Stands for bytes of which only the number is known: addresses behind which there is no memory. Who reads them ends there. */
static GBytes *hole_new(gsize n_bytes, GError **error)
{
    if (n_bytes == 0)
        return g_bytes_new(NULL, 0);
    void *start = mmap(NULL, n_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        imp_error_set(error, IMP_E_NO_MEMORY, "no addresses for %" G_GSIZE_FORMAT " bytes", n_bytes);
        return NULL;
    }
    Hole *hole = g_new(Hole, 1);
    *hole = (Hole){start, n_bytes};
    return g_bytes_new_with_free_func(start, n_bytes, free_hole, hole);
}

/* The content, with a hole in place of the memory's bytes. */
static ImpContent *read_around(File *file, const ImpOpened *opened, guint64 payload_at, GError **error)
{
    const ImpManifest *manifest = &opened->manifest;
    g_autoptr(GPtrArray) sections = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    GBytes *memory = hole_new((gsize)manifest->sections[0].plain_bytes, error);
    if (memory == NULL)
        return NULL;
    g_ptr_array_add(sections, memory);
    guint64 at = payload_at + manifest->sections[0].stored_bytes;
    for (guint32 i = 1; i < manifest->n_sections; i++) {
        GBytes *bytes = read_small(file, opened, i, at, error);
        if (bytes == NULL)
            return NULL;
        g_ptr_array_add(sections, bytes);
        at += manifest->sections[i].stored_bytes;
    }
    return imp_content_decode(manifest->content, (GBytes *const *)sections->pdata, sections->len,
                              IMP_E_MANIFEST_INVALID, IMP_E_MANIFEST_UNKNOWN_MEMBER, error);
}

/* Every chunk of the memory's section; sum takes its plaintext in, NULL = nobody does. */
static gboolean stream_memory(File *file, const ImpOpened *opened, ImpContentSum *sum, GError **error)
{
    const ImpSectionStream hashed = {next_stored, give_room, take_plain, file};
    const ImpSectionStream dropped = {next_stored, give_same_room, drop_plain, file};
    Hasher hasher;
    ImpSection memory;
    if (!imp_opened_section(opened, 0, &memory, error))
        return FALSE;
    gboolean good;
    if (sum != NULL) {
        good = hasher_begin(&hasher, sum, error);
        if (good) {
            file->hasher = &hasher;
            good = imp_section_stream(&memory, 0, &opened->clear->id, &hashed, error);
            hasher_end(&hasher);
            file->hasher = NULL;
        }
    } else {
        file->plain = imp_secret_new(IMP_SECTION_PIECE);
        good = file->plain != NULL;
        if (!good)
            imp_error_set(error, IMP_E_NO_MEMORY, "no memory to unpack a section");
        good = good && imp_section_stream(&memory, 0, &opened->clear->id, &dropped, error);
        imp_secret_free(file->plain);
        file->plain = NULL;
    }
    OPENSSL_cleanse(memory.key, sizeof memory.key);
    return good;
}

static gboolean verify_content(File *file, const ImpOpened *opened, GError **error)
{
    const ImpClear *clear = opened->clear;
    guint64 payload_at = (guint64)IMP_IMAGE_FIXED_BYTES + clear->clear_bytes + clear->envelope_bytes;
    g_autoptr(GError) why = NULL;
    g_autoptr(ImpContent) content = read_around(file, opened, payload_at, &why);
    guint8 digest[IMP_SHA256_BYTES];
    g_autoptr(ImpContentSum) sum = content != NULL && file->with_digest ? imp_content_sum_new(content) : NULL;
    /* What is wrong with the memory's section comes before what is wrong behind it, as where an image is opened whole. */
    if (!seek(file, payload_at, error) || !stream_memory(file, opened, sum, error))
        return FALSE;
    if (content == NULL) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    if (sum != NULL)
        imp_content_sum_final(sum, digest);
    return imp_opened_judge(opened, content, sum != NULL ? digest : NULL, error);
}

static gboolean verify(File *file, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                       ImpVerified *out_verified, GError **error)
{
    g_autoptr(GByteArray) head = g_byte_array_new();
    g_auto(ImpOpened) opened = {0};
    ImpClear *clear = read_head(file, head, error);
    if (clear == NULL || !imp_opened_init_head(&opened, clear, head->data, image_keys, authors, TRUE, error))
        return FALSE;
    gboolean has_share = imp_opened_has_share(&opened);
    if (opened.readable && has_share && !verify_content(file, &opened, error))
        return FALSE;
    *out_verified = !opened.readable ? IMP_VERIFIED_SHAPE
                    : has_share      ? IMP_VERIFIED_ALL
                                     : IMP_VERIFIED_MANIFEST;
    return TRUE;
}

static gboolean verify_path(const char *path, gboolean with_digest, const ImpKeyRing *image_keys,
                            const ImpKeyRing *authors, ImpVerified *out_verified, GError **error)
{
    File file = {.fd = open(path, O_RDONLY | O_CLOEXEC), .with_digest = with_digest};
    if (file.fd < 0) {
        int why = errno;
        imp_error_set(error, why == ENOENT ? IMP_E_NOT_FOUND : IMP_E_IO, "it cannot be opened: %s",
                      g_strerror(why));
        return FALSE;
    }
    gboolean good = verify(&file, image_keys, authors, out_verified, error);
    close(file.fd);
    g_free(file.buffer);
    return good;
}

gboolean imp_image_verify_file(const char *path, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                               ImpVerified *out_verified, GError **error)
{
    return verify_path(path, TRUE, image_keys, authors, out_verified, error);
}

gboolean imp_image_check_file(const char *path, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                              ImpVerified *out_verified, GError **error)
{
    return verify_path(path, FALSE, image_keys, authors, out_verified, error);
}
