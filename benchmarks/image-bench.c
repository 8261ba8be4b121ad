/* benchmarks/image: what sealing and opening an image cost, against compressing, hashing and encrypting alone (docs/benchmarks.md).
 *
 *   image-bench [FIRMWARE.hex]            prints "name value" lines
 *   image-bench open|raw|raw-whole FOLDER one opening in a process of its own: prints its seconds and its largest resident MiB */
#include "base/env.h"
#include "base/error.h"
#include "build/hex.h"
#include "device/table.h"
#include "image/image.h"
#include "image/object.h"
#include "image/seal.h"
#include "image/section.h"

#include <glib/gstdio.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#define DATA_BYTES   100000000u
#define BLOCK_BYTES  65536u /* every second one is blank */
#define COUNTER_STEP 64u
#define PAIRS        5
#define CHUNK        IMP_SECTION_CHUNK
#define TAG_BYTES    16
#define KEY          "thirty-two bytes that are no key"
#define LEVEL        3
#define OUT_BYTES    (128 * 1024)
#define FIRMWARE_HEX "/usr/share/firmware-microbit-micropython/firmware.hex"

static void must(gboolean good, const GError *error)
{
    if (!good)
        g_error("%s", error != NULL ? error->message : "failed");
}

static gdouble now_s(void)
{
    return (gdouble)imp_clock_boot_us(imp_clock_system()) / 1e6;
}

/* ---- raw: one thread, the same chunks, nothing around them ---- */

static void raw_cipher(gboolean encrypt, guint64 number, const guint8 *from, gsize n_bytes, guint8 *to,
                       guint8 tag[TAG_BYTES])
{
    guint8 nonce[12] = {0};
    int n;
    memcpy(nonce, &number, sizeof number);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    gboolean good =
        EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), (const guint8 *)KEY, nonce, encrypt, NULL) == 1 &&
        EVP_CipherUpdate(ctx, to, &n, from, (int)n_bytes) == 1;
    if (!encrypt)
        good = good && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1;
    good = good && EVP_CipherFinal_ex(ctx, to + n, &n) == 1;
    if (encrypt)
        good = good && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1;
    EVP_CIPHER_CTX_free(ctx);
    must(good, NULL);
}

/* Packed chunks: digest(32) size(4) ciphertext tag(16) */
static void raw_put(GByteArray *to, guint64 number, const guint8 *packed, guint32 n_bytes)
{
    guint8 digest[IMP_SHA256_BYTES];
    guint at = to->len;
    g_byte_array_set_size(to, at + IMP_SHA256_BYTES + 4 + n_bytes + TAG_BYTES);
    guint8 *place = to->data + at, *body = place + IMP_SHA256_BYTES + 4;
    memcpy(place + IMP_SHA256_BYTES, &n_bytes, 4);
    raw_cipher(TRUE, number, packed, n_bytes, body, body + n_bytes);
    imp_sha256(body, n_bytes + TAG_BYTES, digest);
    memcpy(place, digest, sizeof digest);
}

static GBytes *raw_seal(GBytes *data)
{
    gsize n_data, left;
    const void *bytes = g_bytes_get_data(data, &n_data);
    GByteArray *file = g_byte_array_new();
    g_autofree guint8 *chunk = g_malloc(CHUNK);
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_inBuffer in = {bytes, n_data, 0};
    ZSTD_outBuffer out = {chunk, CHUNK, 0};
    guint64 number = 0;
    do {
        left = ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_end);
        must(!ZSTD_isError(left), NULL);
        if (left == 0 || out.pos == out.size) {
            raw_put(file, number++, chunk, (guint32)out.pos);
            out.pos = 0;
        }
    } while (left != 0);
    ZSTD_freeCCtx(zstd);
    return g_byte_array_free_to_bytes(file);
}

/* whole: hashes what comes out too, as a content digest needs it. */
static guint64 raw_open(FILE *file, gboolean whole)
{
    struct {
        guint8 digest[IMP_SHA256_BYTES];
        guint32 n_bytes;
    } head;
    g_autofree guint8 *stored = g_malloc(CHUNK + TAG_BYTES), *packed = g_malloc(CHUNK),
                      *plain = g_malloc(OUT_BYTES);
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    g_autoptr(ImpSha256) content = imp_sha256_new();
    guint64 sum = 0;
    for (guint64 number = 0; fread(&head, sizeof head, 1, file) == 1; number++) {
        guint8 digest[IMP_SHA256_BYTES];
        must(head.n_bytes <= CHUNK && fread(stored, head.n_bytes + TAG_BYTES, 1, file) == 1, NULL);
        imp_sha256(stored, head.n_bytes + TAG_BYTES, digest);
        must(memcmp(digest, head.digest, sizeof digest) == 0, NULL);
        raw_cipher(FALSE, number, stored, head.n_bytes, packed, stored + head.n_bytes);
        ZSTD_inBuffer in = {packed, head.n_bytes, 0};
        ZSTD_outBuffer out;
        do {
            out = (ZSTD_outBuffer){plain, OUT_BYTES, 0};
            must(!ZSTD_isError(ZSTD_decompressStream(zstd, &out, &in)), NULL);
            sum += out.pos;
            if (whole)
                imp_sha256_update(content, plain, out.pos);
        } while (in.pos < in.size || out.pos == out.size);
    }
    ZSTD_freeDCtx(zstd);
    return sum;
}

/* ---- one opening in a process of its own ---- */

static gdouble resident_mib(void)
{
    g_autofree char *text = NULL;
    must(g_file_get_contents("/proc/self/status", &text, NULL, NULL), NULL);
    return (gdouble)g_ascii_strtoull(strstr(text, "VmHWM:") + 6, NULL, 10) / 1024;
}

static int open_once(const char *what, const char *folder)
{
    gboolean raw = g_str_has_prefix(what, "raw");
    GError *error = NULL;
    g_autofree char *image = g_build_filename(folder, raw ? "raw" : "image.imp", NULL);
    gdouble begin, seconds;
    if (raw) {
        FILE *file = fopen(image, "rbe");
        must(file != NULL, NULL);
        begin = now_s();
        must(raw_open(file, strcmp(what, "raw-whole") == 0) == DATA_BYTES, NULL);
        seconds = now_s() - begin;
        fclose(file);
    } else {
        g_autofree char *author_path = g_build_filename(folder, "author.pub", NULL),
                        *key_path = g_build_filename(folder, "image.key", NULL);
        g_autoptr(ImpKey) author = imp_key_load(author_path, &error);
        must(author != NULL, error);
        g_autoptr(ImpKey) key = imp_key_load(key_path, &error);
        must(key != NULL, error);
        g_autoptr(ImpKeyRing) authors = imp_keyring_new();
        g_autoptr(ImpKeyRing) keys = imp_keyring_new();
        must(imp_keyring_add(authors, "author", author, &error) &&
                 imp_keyring_add(keys, "image", key, &error),
             error);
        ImpVerified verified;
        begin = now_s();
        gboolean good = strcmp(what, "open") == 0
                            ? imp_image_check_file(image, keys, authors, &verified, &error)
                            : imp_image_verify_file(image, keys, authors, &verified, &error);
        must(good && verified == IMP_VERIFIED_ALL, error);
        seconds = now_s() - begin;
    }
    printf("%.6f %.1f\n", seconds, resident_mib());
    return 0;
}

/* ---- the whole ---- */

static GBytes *make_data(const char *path)
{
    GError *error = NULL;
    g_autofree char *text = NULL;
    gsize n_text, n = 0;
    must(g_file_get_contents(path, &text, &n_text, &error), error);
    g_autoptr(ImpPieces) hex = imp_hex_parse(text, n_text, 1024 * 1024, path, &error);
    must(hex != NULL, error);
    const guint8 *firmware = hex->bytes + hex->pieces[0].offset;
    gsize n_firmware = hex->pieces[0].n_bytes;
    guint8 *data = g_malloc(DATA_BYTES);
    for (gsize i = 0; i < DATA_BYTES; i++) {
        if (i / BLOCK_BYTES % 2 == 1)
            data[i] = 0xFF;
        else
            data[i] = i % COUNTER_STEP == 0 ? (guint8)n++ : firmware[i % n_firmware];
    }
    return g_bytes_new_take(data, DATA_BYTES);
}

static ImpObject *make_object(GBytes *data)
{
    GError *error = NULL;
    ImpContent *content = g_new0(ImpContent, 1);
    content->name = g_strdup("Bench");
    content->version = g_strdup("1");
    content->device = imp_device_lookup("nRF51822", &error);
    must(content->device != NULL, error);
    ImpAlgorithm *flash = content->device->algorithms[0]; /* a chip with room for it */
    flash->size_bytes = 128u * 1024 * 1024;
    content->swd_hz = 1000000;
    content->attach = IMP_ATTACH_NORMAL;
    content->segments = g_new0(ImpSegment, 1);
    content->n_segments = 1;
    content->segments[0] = (ImpSegment){.data = g_strdup("app"), .address = 0, .bytes = g_bytes_ref(data)};
    content->steps = g_new0(ImpStep, 3);
    content->steps[content->n_steps++] = (ImpStep){.kind = IMP_STEP_ERASE, .erase = IMP_ERASE_ALL};
    content->steps[content->n_steps++] = (ImpStep){.kind = IMP_STEP_PROGRAM};
    content->steps[content->n_steps++] = (ImpStep){.kind = IMP_STEP_VERIFY, .verify = IMP_VERIFY_CHECKSUM};
    content->rework = IMP_REWORK_REFUSE;
    const ImpInput input = {.name = (char *)"app.bin", .sha256 = {1}};
    ImpObject *object = imp_object_new(content, &input, 1, &error);
    must(object != NULL, error);
    return object;
}

static void write_file(const char *folder, const char *name, GBytes *bytes)
{
    GError *error = NULL;
    gsize n_bytes;
    const char *data = g_bytes_get_data(bytes, &n_bytes);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    must(g_file_set_contents(path, data, (gssize)n_bytes, &error), error);
}

/* Calls this program for one opening. */
static gdouble child(const char *program, const char *what, const char *folder, gdouble *out_rss_mib)
{
    GError *error = NULL;
    g_autofree char *said = NULL;
    char *argv[] = {(char *)program, (char *)what, (char *)folder, NULL};
    int status;
    must(g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &said, NULL, &status, &error) &&
             g_spawn_check_wait_status(status, &error),
         error);
    char *end;
    gdouble seconds = g_ascii_strtod(said, &end);
    *out_rss_mib = g_ascii_strtod(end, NULL);
    return seconds;
}

static gint compare(gconstpointer a, gconstpointer b)
{
    gdouble x = *(const gdouble *)a, y = *(const gdouble *)b;
    return x < y ? -1 : x > y;
}

static gdouble median(gdouble *values)
{
    qsort(values, PAIRS, sizeof *values, compare);
    return values[PAIRS / 2];
}

static void measure_seal(const char *folder, GBytes *data, const ImpObject *object,
                         const ImpSealOptions *options)
{
    gdouble ratios[PAIRS], seconds[PAIRS];
    for (guint i = 0; i < PAIRS; i++) {
        GError *error = NULL;
        gdouble begin = now_s();
        GBytes *raw = raw_seal(data);
        gdouble raw_s = now_s() - begin;
        begin = now_s();
        ImpSealed *sealed = imp_image_seal(object, options, &error);
        must(sealed != NULL, error);
        seconds[i] = now_s() - begin;
        ratios[i] = seconds[i] / raw_s;
        if (i == 0) {
            write_file(folder, "raw", raw);
            write_file(folder, "image.imp", sealed->file);
        }
        g_bytes_unref(raw);
        imp_sealed_free(sealed);
    }
    printf("seal.ratio_to_raw %.3f\nseal.s %.3f\n", median(ratios), median(seconds));
    fflush(stdout);
}

static void measure_open(const char *program, const char *folder)
{
    gdouble ratios[PAIRS], whole_ratios[PAIRS], seconds[PAIRS], largest_mib = 0, mib;
    for (guint i = 0; i < PAIRS; i++) {
        gdouble raw_s = child(program, "raw", folder, &mib),
                whole_s = child(program, "raw-whole", folder, &mib);
        seconds[i] = child(program, "open", folder, &mib);
        largest_mib = MAX(largest_mib, mib);
        ratios[i] = seconds[i] / raw_s;
        whole_ratios[i] = child(program, "verify", folder, &mib) / whole_s;
        largest_mib = MAX(largest_mib, mib);
    }
    printf("open.ratio_to_raw %.3f\nopen.s %.3f\nopen.rss_mib %.1f\n", median(ratios), median(seconds),
           largest_mib);
    printf("verify.ratio_to_raw_and_hash %.3f\n", median(whole_ratios));
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return open_once(argv[1], argv[2]);
    GError *error = NULL;
    g_autofree char *folder = g_dir_make_tmp("imprint-bench-XXXXXX", &error);
    must(folder != NULL, error);
    g_autoptr(GBytes) data = make_data(argc == 2 ? argv[1] : FIRMWARE_HEX);
    g_autoptr(ImpObject) object = make_object(data);
    g_autoptr(ImpKey) author = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_AUTHOR, &error);
    must(author != NULL, error);
    g_autoptr(ImpKey) key = imp_key_generate(IMP_IMAGE_SUITE_P256, IMP_KEY_IMAGE, &error);
    must(key != NULL, error);
    const ImpSealOptions options = {.kind = IMP_IMAGE_SAP,
                                    .restrictions.count_on = IMP_COUNT_ON_PASS,
                                    .author = author,
                                    .image_key = key,
                                    .random = imp_random_system()};
    const char *const names[] = {"author.pub", "image.key", "image.imp", "raw"};
    g_autofree char *author_path = g_build_filename(folder, names[0], NULL),
                    *key_path = g_build_filename(folder, names[1], NULL);
    must(imp_key_save_public(author, author_path, &error) && imp_key_save_private(key, key_path, &error),
         error);
    measure_seal(folder, data, object, &options);
    measure_open(argv[0], folder);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(folder, names[i], NULL);
        (void)g_unlink(path);
    }
    (void)g_rmdir(folder);
    return 0;
}
