/* Programs that we did not write say what is in a file: srec_cat, GNU objcopy, as and ld turn random memory maps and Debian's MicroPython into
 * every format. Each gives the same map, and an object of the same content. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/id.h"
#include "build/build.h"
#include "build/hex.h"
#include "build/load.h"

#define FLASH      0x40000 /* of the nRF51822, to which all maps belong */
#define PIECES_MAX 12
#define PIECE_MAX  9000
#define ROUNDS     6
#define DATA_MAX   (1u << 20)
#define FIRMWARE   "/usr/share/firmware-microbit-micropython/firmware.hex"

/* Runs a program named in the environment. */
static void tool(const char *variable, const char *first, ...) G_GNUC_NULL_TERMINATED;
static void tool(const char *variable, const char *first, ...)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *complaint = NULL;
    int status;
    g_ptr_array_add(argv, (gpointer)g_getenv(variable));
    va_list args;
    va_start(args, first);
    for (const char *argument = first; argument != NULL; argument = va_arg(args, const char *))
        g_ptr_array_add(argv, (gpointer)argument);
    va_end(args);
    g_ptr_array_add(argv, NULL);
    g_assert_true(
        g_spawn_sync(NULL, (char **)argv->pdata, NULL, 0, NULL, NULL, NULL, &complaint, &status, &error));
    g_assert_no_error(error);
    if (!g_spawn_check_wait_status(status, &error))
        g_error("%s: %s\n%s", (const char *)argv->pdata[0], error->message, complaint);
}

static gboolean have_srec_cat(void)
{
    return g_getenv("SREC_CAT")[0] != '\0';
}

static ImpPieces *load(const char *file, ImpDataFormat format, guint64 at)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *bytes = NULL;
    gsize n;
    ImpLoadOptions options = {.format = format, .at = at, .max_bytes = DATA_MAX};
    g_assert_true(g_file_get_contents(file, &bytes, &n, NULL));
    ImpPieces *all = imp_load((const guint8 *)bytes, n, file, &options, &error);
    g_assert_no_error(error);
    return all;
}

static void same(const ImpPieces *expected, const ImpPieces *found)
{
    gsize n = 0;
    g_assert_cmpuint(found->n_pieces, ==, expected->n_pieces);
    for (gsize i = 0; i < found->n_pieces; i++) {
        g_assert_cmphex(found->pieces[i].address, ==, expected->pieces[i].address);
        g_assert_cmpuint(found->pieces[i].n_bytes, ==, expected->pieces[i].n_bytes);
        n += found->pieces[i].n_bytes;
    }
    g_assert_true(memcmp(found->bytes, expected->bytes, n) == 0);
}

/* The content digest of a recipe with this data; free with g_free. */
static char *digest_of(const char *data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *recipe = g_strdup_printf("imprint: 1\nname: T\ndevice: nRF51822\ndata:\n%s", data);
    g_assert_true(g_file_set_contents("r.yaml", recipe, -1, NULL));
    g_autoptr(ImpBuilt) built = imp_build_recipe("r.yaml", NULL, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(ImpObject) object =
        imp_object_new(g_steal_pointer(&built->content), built->inputs, built->n_inputs, &error);
    g_assert_no_error(error);
    return imp_hex_encode(object->content_sha256, sizeof object->content_sha256);
}

static void same_digest(const char *expected, const char *file)
{
    g_autofree char *data = g_strdup_printf("  app: {file: %s}\n", file), *digest = digest_of(data);
    g_assert_cmpstr(digest, ==, expected);
    g_test_message("%-14s %s", file, digest);
}

/* ---- what the judges are given ---- */

/* Random pieces of the flash and one of the UICR; neighbours do not touch. */
static ImpPieces *random_map(GRand *rand)
{
    g_auto(ImpReader) in = {0};
    g_autoptr(GError) error = NULL;
    guint64 at = (guint64)g_rand_int_range(rand, 0, 3) * 4;
    imp_reader_init(&in, "map", "piece", DATA_MAX);
    for (int left = g_rand_int_range(rand, 1, PIECES_MAX); left > 0; left--) {
        guint8 bytes[PIECE_MAX];
        gsize n = (gsize)g_rand_int_range(rand, 1, PIECE_MAX);
        for (gsize i = 0; i < n; i++)
            bytes[i] = (guint8)g_rand_int(rand);
        gboolean ok = imp_reader_add(&in, at, bytes, n, &error);
        g_assert_true(ok);
        at += n + (guint64)g_rand_int_range(rand, 1, 9000);
    }
    g_assert_cmpuint(at, <, FLASH);
    if (g_rand_boolean(rand)) {
        gboolean ok = imp_reader_add(&in, 0x10001080, (const guint8 *)"12345678", 8, &error);
        g_assert_true(ok);
    }
    ImpPieces *all = imp_reader_finish(&in, &error);
    g_assert_no_error(error);
    return all;
}

/* A linked program with each piece in a section of its own that lies there, but runs elsewhere. */
static void write_elf(const ImpPieces *map, GRand *rand)
{
    g_autoptr(GString) source = g_string_new(NULL);
    g_autoptr(GString) script = g_string_new("SECTIONS {\n");
    gsize n = map->pieces[map->n_pieces - 1].offset + map->pieces[map->n_pieces - 1].n_bytes;
    g_assert_true(g_file_set_contents("all.raw", (const char *)map->bytes, (gssize)n, NULL));
    guint32 runs_at = 0x20000000;
    for (gsize i = 0; i < map->n_pieces; i++) {
        const ImpPiece *p = &map->pieces[i];
        gboolean moved = g_rand_boolean(rand);
        guint64 vma = moved ? runs_at : p->address;
        g_string_append_printf(source, ".section .p%zu,\"a%s\",%%progbits\n.incbin \"all.raw\",%zu,%zu\n", i,
                               g_rand_boolean(rand) ? "w" : "x", p->offset, p->n_bytes);
        g_string_append_printf(
            script, ".p%zu 0x%" G_GINT64_MODIFIER "x : AT(0x%" G_GINT64_MODIFIER "x) { *(.p%zu) }\n", i, vma,
            p->address, i);
        runs_at += 0x10000;
    }
    g_string_append(source, ".section .zeroed,\"aw\",%nobits\n.space 4096\n");
    g_string_append(script, ".zeroed 0x30000000 (NOLOAD) : { *(.zeroed) }\n}\n");
    g_assert_true(g_file_set_contents("a.s", source->str, -1, NULL));
    g_assert_true(g_file_set_contents("a.ld", script->str, -1, NULL));
    tool("ARM_AS", "-mcpu=cortex-m0", "-o", "a.o", "a.s", NULL);
    tool("ARM_LD", "-T", "a.ld", "-e", "0", "--no-check-sections", "--no-warn-rwx-segments", "-o", "a.elf",
         "a.o", NULL);
}

static void put_u32(guint8 *at, guint32 value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (guint8)(value >> (8 * i));
}

/* No tool of Debian writes UF2, so this one does, from the format's description. */
static void write_uf2(const ImpPieces *map)
{
    g_autoptr(GByteArray) file = g_byte_array_new();
    guint32 n_blocks = 0;
    for (int pass = 0; pass < 2; pass++) {
        guint32 number = 0;
        for (gsize i = 0; i < map->n_pieces; i++)
            for (gsize at = 0; at < map->pieces[i].n_bytes; at += 256, number++) {
                guint8 block[512] = {0};
                gsize n = MIN(256, map->pieces[i].n_bytes - at);
                const guint32 words[] = {
                    0x0A324655, 0x9E5D5157, 0x2000,   (guint32)(map->pieces[i].address + at),
                    (guint32)n, number,     n_blocks, 0x1B57745F};
                for (gsize w = 0; w < G_N_ELEMENTS(words); w++)
                    put_u32(block + 4 * w, words[w]);
                memcpy(block + 32, map->bytes + map->pieces[i].offset + at, n);
                put_u32(block + 508, 0x0AB16F30);
                if (pass == 1)
                    g_byte_array_append(file, block, sizeof block);
            }
        n_blocks = number;
    }
    g_assert_true(g_file_set_contents("a.uf2", (const char *)file->data, (gssize)file->len, NULL));
}

/* One binary file for each piece; the recipe's data. Free with g_free. */
static char *write_binaries(const ImpPieces *map)
{
    GString *data = g_string_new(NULL);
    for (gsize i = 0; i < map->n_pieces; i++) {
        g_autofree char *name = g_strdup_printf("p%zu.bin", i);
        g_assert_true(g_file_set_contents(name, (const char *)map->bytes + map->pieces[i].offset,
                                          (gssize)map->pieces[i].n_bytes, NULL));
        g_string_append_printf(data, "  p%zu: {file: %s, at: 0x%" G_GINT64_MODIFIER "X}\n", i, name,
                               map->pieces[i].address);
    }
    return g_string_free(data, FALSE);
}

static void remove_all(void)
{
    g_autoptr(GDir) folder = g_dir_open(".", 0, NULL);
    for (const char *name = g_dir_read_name(folder); name != NULL; name = g_dir_read_name(folder))
        g_unlink(name);
}

/* What every judge makes of a.elf, a linked program with this map. */
static void judge(const ImpPieces *map)
{
    static const char *const files[] = {"a.elf", "objcopy.hex", "objcopy.s19", "objcopy3.s37", "a.uf2"};
    static const char *const srec_cat_files[] = {"cat.s19", "cat3.srec", "cat4.mot", "cat.hex"};
    g_autofree char *binaries = write_binaries(map), *digest = digest_of(binaries);
    tool("OBJCOPY", "-O", "ihex", "a.elf", "objcopy.hex", NULL);
    tool("OBJCOPY", "-O", "srec", "a.elf", "objcopy.s19", NULL);
    tool("OBJCOPY", "-O", "srec", "--srec-forceS3", "--srec-len=200", "a.elf", "objcopy3.s37", NULL);
    write_uf2(map);
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(ImpPieces) found = load(files[i], IMP_DATA_UNKNOWN, 0);
        same(map, found);
        same_digest(digest, files[i]);
    }
    if (!have_srec_cat()) {
        g_test_message("srec_cat is not installed: not asked");
        return;
    }
    tool("SREC_CAT", "objcopy.hex", "-Intel", "-o", "cat.s19", "-Motorola", NULL);
    tool("SREC_CAT", "objcopy.hex", "-Intel", "-o", "cat3.srec", "-Motorola", "-Address_Length=3",
         "-Line_Length=200", NULL);
    tool("SREC_CAT", "objcopy3.s37", "-Motorola", "-o", "cat4.mot", "-Motorola", "-Address_Length=4", NULL);
    tool("SREC_CAT", "objcopy.s19", "-Motorola", "-o", "cat.hex", "-Intel", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(srec_cat_files); i++) {
        g_autoptr(ImpPieces) found = load(srec_cat_files[i], IMP_DATA_UNKNOWN, 0);
        same(map, found);
        same_digest(digest, srec_cat_files[i]);
    }
}

static void judge_random(guint32 seed)
{
    g_test_message("seed %u", seed);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autoptr(ImpPieces) map = random_map(rand);
    write_elf(map, rand);
    judge(map);
    remove_all();
}

static void test_random(void)
{
    guint32 seed = (guint32)g_test_rand_int_range(0, G_MAXINT32 - ROUNDS);
    for (guint32 round = 0; round < ROUNDS; round++)
        judge_random(seed + round);
}

/* Here srec_cat writes a record S1 that begins below 0x10000 and ends above. */
static void test_record_past_16_bits(void)
{
    judge_random(635770750);
}

static void test_firmware(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    g_autoptr(ImpPieces) map = load(FIRMWARE, IMP_DATA_HEX, 0);
    write_elf(map, rand);
    judge(map);
    g_autofree char *digest = digest_of("  app: {file: " FIRMWARE "}\n");
    same_digest(digest, "a.elf");
    remove_all();
}

/* A linker may put its own headers into the first segment, below the program: they are not to be programmed. */
static void test_headers_in_segment(void)
{
    g_assert_true(g_file_set_contents("a.s", ".section .text\n.word 1, 2, 3, 4\n", -1, NULL));
    g_assert_true(g_file_set_contents(
        "a.ld", "PHDRS { code PT_LOAD FILEHDR PHDRS; }\nSECTIONS { .text 0x4100 : { *(.text) } :code }\n", -1,
        NULL));
    tool("ARM_AS", "-mcpu=cortex-m0", "-o", "a.o", "a.s", NULL);
    tool("ARM_LD", "-T", "a.ld", "-e", "0", "--no-warn-rwx-segments", "-o", "a.elf", "a.o", NULL);
    tool("OBJCOPY", "-O", "ihex", "a.elf", "objcopy.hex", NULL);
    g_autoptr(ImpPieces) hex = load("objcopy.hex", IMP_DATA_HEX, 0), elf = load("a.elf", IMP_DATA_ELF, 0);
    g_assert_cmphex(hex->pieces[0].address, ==, 0x4100);
    same(hex, elf);
    remove_all();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autofree char *folder = g_dir_make_tmp("imprint-judges-XXXXXX", NULL);
    g_assert_true(folder != NULL && g_chdir(folder) == 0);
    g_test_add_func("/build/judges/random", test_random);
    g_test_add_func("/build/judges/record-past-16-bits", test_record_past_16_bits);
    g_test_add_func("/build/judges/firmware", test_firmware);
    g_test_add_func("/build/judges/headers-in-segment", test_headers_in_segment);
    int status = g_test_run();
    return g_chdir("/") != 0 || g_rmdir(folder) != 0 ? 1 : status;
}
