/* Intel HEX: good and bad files, and random memory maps held against GNU objcopy. */
#include <glib/gstdio.h>
#include <string.h>

#include "build/hex.h"

#define END ":00000001FF\n"

static ImpPieces *parse(const char *text, GError **error)
{
    return imp_hex_parse(text, strlen(text), 1 << 20, "f.hex", error);
}

static const struct {
    const char *name, *text;
    const char *pieces; /* "address+length ..." */
} good[] = {
    {"one", ":0400000001020304F2\n" END, "0+4"},
    {"crlf", ":0400000001020304F2\r\n:00000001FF\r\n", "0+4"},
    {"no-last-newline", ":0400000001020304F2\n:00000001FF", "0+4"},
    {"blank-lines", "\n:0400000001020304F2 \n\n" END "\n \n", "0+4"},
    {"lower-case", ":04000000abcdefabea\n" END, "0+4"},
    {"linear", ":020000040800F2\n:04001000AABBCCDDDE\n" END, "8000010+4"},
    {"segment", ":020000021000EC\n:04001000AABBCCDDDE\n" END, "10010+4"},
    {"starts-ignored", ":0400000300003800C1\n:040000050000010DE9\n:0100000055AA\n" END, "0+1"},
    {"joined-backwards", ":01000100AA54\n:0100000055AA\n" END, "0+2"},
    {"gap", ":0100000055AA\n:0100020055A8\n" END, "0+1 2+1"},
    {"empty-record", ":0000000000\n:0100000055AA\n" END, "0+1"},
    {"linear-crosses-64k", ":02FFFF000102FD\n" END, "ffff+2"},
    {"end-of-space", ":02000004FFFFFC\n:01FFFF0055AC\n" END, "ffffffff+1"},
};

static void test_good(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpPieces) hex = parse(good[i].text, &error);
    g_assert_no_error(error);
    g_autoptr(GString) pieces = g_string_new(NULL);
    gsize filled = 0;
    for (gsize p = 0; p < hex->n_pieces; p++) {
        g_string_append_printf(pieces, "%s%" G_GINT64_MODIFIER "x+%zu", p ? " " : "", hex->pieces[p].address,
                               hex->pieces[p].n_bytes);
        g_assert_cmpuint(hex->pieces[p].offset, ==, filled);
        filled += hex->pieces[p].n_bytes;
    }
    g_assert_cmpstr(pieces->str, ==, good[i].pieces);
}

static const struct {
    const char *name, *text, *message;
} bad[] = {
    {"empty", "", "f.hex:1: there is no end record (:00000001FF): the file is cut off"},
    {"no-end", ":0100000055AA\n", "f.hex:1: there is no end record (:00000001FF): the file is cut off"},
    {"no-data", END, "f.hex:1: there is no data in the file"},
    {"after-end", ":0100000055AA\n" END ":0100010055A9\n",
     "f.hex:3: there is something after the end record"},
    {"no-colon", "0100000055AA\n" END, "f.hex:1: a line begins with ':', this one with byte 0x30"},
    {"checksum", "\n:0100000055AB\n" END, "f.hex:2: the checksum is AB, it should be AA"},
    {"flipped-data", ":0100000054AA\n" END, "f.hex:1: the checksum is AA, it should be AB"},
    {"odd-digits", ":0100000055A\n" END, "f.hex:1: 11 hexadecimal digits are no record"},
    {"short", ":01000000\n" END, "f.hex:1: 8 hexadecimal digits are no record"},
    {"not-hex", ":01000000G5AA\n" END, "f.hex:1: column 10 is no hexadecimal digit"},
    {"not-hex-low", ":010000005GAA\n" END, "f.hex:1: column 11 is no hexadecimal digit"},
    {"length-long", ":0200000055A9\n" END, "f.hex:1: the record says 2 bytes of data, the line has 1"},
    {"length-short", ":000000005555\n" END, "f.hex:1: the record says 0 bytes of data, the line has 1"},
    {"type", ":0100000A55A0\n" END, "f.hex:1: record type 0A is not one of Intel HEX (00 to 05)"},
    {"linear-size", ":0100000408F3\n" END,
     "f.hex:1: a record of type 04 has 2 bytes of data, this one has 1"},
    {"end-size", ":0100000100FE\n", "f.hex:1: a record of type 01 has 0 bytes of data, this one has 1"},
    {"overlap", ":0200000055AAFF\n:0100010055A9\n" END,
     "f.hex:2: address 0x00000001 is already given in line 1"},
    {"overlap-equal", ":0100000055AA\n\n:0100000055AA\n" END,
     "f.hex:3: address 0x00000000 is already given in line 1"},
    {"overlap-earlier", ":0100010055A9\n:0200000055AAFF\n" END,
     "f.hex:2: address 0x00000001 is already given in line 1"},
    {"segment-wraps", ":020000021000EC\n:02FFFF000102FD\n" END,
     "f.hex:2: the record reaches past the end of its 64 KiB segment"},
    {"space-wraps", ":02000004FFFFFC\n:02FFFF000102FD\n" END,
     "f.hex:2: the record reaches past the end of the 32-bit address space"},
};

static void test_bad(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_assert_null(parse(bad[i].text, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_DATA_FILE);
    g_assert_cmpstr(error->message, ==, bad[i].message);
}

static void test_limit(void)
{
    g_autoptr(GError) error = NULL;
    const char *text = ":0400000001020304F2\n" END;
    g_autoptr(ImpPieces) hex = imp_hex_parse(text, strlen(text), 4, "f.hex", &error);
    g_assert_no_error(error);
    g_assert_null(imp_hex_parse(text, strlen(text), 3, "f.hex", &error));
    g_assert_error(error, IMP_ERROR, IMP_E_LIMIT);
}

/* ---- against objcopy ---- */

#define SPAN 0x30000 /* of a random memory map: three 64 KiB banks */

static void objcopy(const char *const *arguments)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    int status;
    g_ptr_array_add(argv, (gpointer)g_getenv("OBJCOPY"));
    for (; *arguments; arguments++)
        g_ptr_array_add(argv, (gpointer)*arguments);
    g_ptr_array_add(argv, NULL);
    g_assert_true(g_spawn_sync(NULL, (char **)argv->pdata, NULL, 0, NULL, NULL, NULL, NULL, &status, &error));
    g_assert_no_error(error);
    g_assert_true(g_spawn_check_wait_status(status, &error));
}

static void append_record(GString *out, guint8 type, guint16 offset, const guint8 *data, guint8 n)
{
    guint8 sum = (guint8)(n + (offset >> 8) + (offset & 0xFF) + type);
    g_string_append_printf(out, ":%02X%04X%02X", n, offset, type);
    for (guint8 i = 0; i < n; i++) {
        g_string_append_printf(out, "%02X", data[i]);
        sum = (guint8)(sum + data[i]);
    }
    g_string_append_printf(out, "%02X\n", (guint8)-sum);
}

/* Random pieces, as a HEX file with records of random length; image gets the bytes, 0xFF between. */
static char *random_hex(GRand *rand, guint32 base, gboolean segments, guint8 *image)
{
    GString *out = g_string_new(NULL);
    guint32 at = 0;
    int bank = -1;
    memset(image, 0xFF, SPAN);
    for (;;) {
        if (at == 0 || g_rand_int_range(rand, 0, 3) == 0) /* else it touches the last record */
            at += (guint32)g_rand_int_range(rand, at == 0 ? 0 : 1, 9000);
        guint32 n = (guint32)g_rand_int_range(rand, 1, 256);
        n = MIN(n, 0x10000 - at % 0x10000); /* no record across banks: objcopy would wrap it in a segment */
        if (at + n > SPAN)
            break;
        if (bank != (int)(at >> 16)) {
            bank = (int)(at >> 16);
            guint32 upper = segments ? (guint32)bank << 12 : (base >> 16) + (guint32)bank;
            guint8 bytes[2] = {(guint8)(upper >> 8), (guint8)upper};
            append_record(out, segments ? 2 : 4, 0, bytes, 2);
        }
        for (guint32 i = 0; i < n; i++)
            image[at + i] = (guint8)g_rand_int(rand);
        append_record(out, 0, (guint16)at, image + at, (guint8)n);
        at += n;
    }
    append_record(out, 1, 0, NULL, 0);
    return g_string_free(out, FALSE);
}

static void test_objcopy_reads(void)
{
    g_autofree char *folder = g_dir_make_tmp("imprint-hex-XXXXXX", NULL);
    g_autofree char *hex_path = g_build_filename(folder, "a.hex", NULL),
                    *bin_path = g_build_filename(folder, "a.bin", NULL);
    g_autofree guint8 *image = g_malloc(SPAN), *mine = g_malloc(SPAN);
    for (guint round = 0; round < 30; round++) {
        gboolean segments = round % 2;
        guint32 base = segments ? 0 : 0x08000000;
        g_autoptr(GRand) rand = g_rand_new_with_seed(round);
        g_autoptr(GError) error = NULL;
        g_autofree char *text = random_hex(rand, base, segments, image), *theirs = NULL;
        gsize n_theirs;
        g_autoptr(ImpPieces) hex = parse(text, &error);
        g_assert_no_error(error);
        g_assert_true(g_file_set_contents(hex_path, text, -1, NULL));
        objcopy(
            (const char *const[]){"-I", "ihex", "-O", "binary", "--gap-fill=0xFF", hex_path, bin_path, NULL});
        g_assert_true(g_file_get_contents(bin_path, &theirs, &n_theirs, NULL));
        memset(mine, 0xFF, SPAN);
        for (gsize i = 0; i < hex->n_pieces; i++)
            memcpy(mine + (hex->pieces[i].address - base), hex->bytes + hex->pieces[i].offset,
                   hex->pieces[i].n_bytes);
        g_assert_cmpmem(mine, SPAN, image, SPAN);
        /* objcopy's binary begins at the first byte that there is. */
        g_assert_cmpmem(mine + (hex->pieces[0].address - base), n_theirs, theirs, n_theirs);
        const ImpPiece *last = &hex->pieces[hex->n_pieces - 1];
        g_assert_cmpuint(last->address + last->n_bytes - hex->pieces[0].address, ==, n_theirs);
    }
    g_unlink(hex_path);
    g_unlink(bin_path);
    g_rmdir(folder);
}

static void test_objcopy_writes(void)
{
    g_autofree char *folder = g_dir_make_tmp("imprint-hex-XXXXXX", NULL);
    g_autofree char *hex_path = g_build_filename(folder, "a.hex", NULL),
                    *bin_path = g_build_filename(folder, "a.bin", NULL);
    static const guint32 bases[] = {0, 0xFFF0, 0x08000003, 0x10001000, 0xFFFE0000};
    for (gsize b = 0; b < G_N_ELEMENTS(bases); b++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)b);
        g_autoptr(GError) error = NULL;
        gsize n = (gsize)g_rand_int_range(rand, 1, 0x20000);
        g_autofree guint8 *bytes = g_malloc(n);
        for (gsize i = 0; i < n; i++)
            bytes[i] = (guint8)g_rand_int(rand);
        g_assert_true(g_file_set_contents(bin_path, (const char *)bytes, (gssize)n, NULL));
        g_autofree char *shift = g_strdup_printf("--change-addresses=0x%X", bases[b]), *text = NULL;
        objcopy((const char *const[]){"-I", "binary", "-O", "ihex", shift, bin_path, hex_path, NULL});
        g_assert_true(g_file_get_contents(hex_path, &text, NULL, NULL));
        g_autoptr(ImpPieces) hex = parse(text, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(hex->n_pieces, ==, 1);
        g_assert_cmpuint(hex->pieces[0].address, ==, bases[b]);
        g_assert_cmpmem(hex->bytes, hex->pieces[0].n_bytes, bytes, n);
    }
    g_unlink(hex_path);
    g_unlink(bin_path);
    g_rmdir(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autofree char *path = g_strdup_printf("/build/hex/good/%s", good[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_good);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path = g_strdup_printf("/build/hex/bad/%s", bad[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad);
    }
    g_test_add_func("/build/hex/limit", test_limit);
    g_test_add_func("/build/hex/objcopy-reads", test_objcopy_reads);
    g_test_add_func("/build/hex/objcopy-writes", test_objcopy_writes);
    return g_test_run();
}
