/* S-record, ELF, UF2, and the choice between the formats: good and bad files, word for word. */
#include <elf.h>
#include <string.h>

#include "build/elf_file.h"
#include "build/load.h"
#include "build/srec.h"
#include "build/uf2.h"

/* "address+length ...", free with g_free; the bytes lie one after the other. */
static char *pieces_text(const ImpPieces *all)
{
    GString *text = g_string_new(NULL);
    gsize filled = 0;
    for (gsize i = 0; i < all->n_pieces; i++) {
        g_string_append_printf(text, "%s%" G_GINT64_MODIFIER "x+%zu", i ? " " : "", all->pieces[i].address,
                               all->pieces[i].n_bytes);
        g_assert_cmpuint(all->pieces[i].offset, ==, filled);
        filled += all->pieces[i].n_bytes;
    }
    return g_string_free(text, FALSE);
}

/* What came of a file: its pieces if expected is "address+length ...", else the message. */
static void check(ImpPieces *taken, GError *taken_error, const char *expected)
{
    g_autoptr(ImpPieces) all = taken;
    g_autoptr(GError) error = taken_error;
    g_assert_true((all == NULL) == (error != NULL));
    g_autofree char *found = all ? pieces_text(all) : g_strdup(error->message);
    g_assert_cmpstr(found, ==, expected);
    if (error != NULL)
        g_assert_true(imp_error_code(error) == IMP_E_DATA_FILE || imp_error_code(error) == IMP_E_LIMIT);
}

/* ---- S-record ---- */

static const struct {
    const char *name, *text, *expected;
} srec_rows[] = {
    {"s1-s9", "S107000001020304EE\nS9030000FC\n", "0+4"},
    {"s2-s8", "S20801000001020304EC\nS804000000FB\n", "10000+4"},
    {"s3-s7", "S30908000000AABBCCDDE0\nS70508000001F1\n", "8000000+4"},
    {"header", "S00600004844521B\nS107000001020304EE\nS9030000FC\n", "0+4"},
    {"crlf-blank", "\r\nS107000001020304EE  \r\n\r\nS9030000FC", "0+4"},
    {"lower-case", "S1070000abcdefabe6\nS9030000FC\n", "0+4"},
    {"joined-backwards", "S1040001AA50\nS104000055A6\nS9030000FC\n", "0+2"},
    {"gap", "S104000055A6\nS1040002AA4F\nS9030000FC\n", "0+1 2+1"},
    {"empty-record", "S1030000FC\nS104000055A6\nS9030000FC\n", "0+1"},
    {"count-only", "S104000055A6\nS5030001FB\n", "0+1"},
    {"count-24", "S104000055A6\nS604000001FA\nS9030000FC\n", "0+1"},
    {"end-of-16", "S104FFFF55A8\nS9030000FC\n", "ffff+1"},
    {"end-of-space", "S306FFFFFFFF55A8\nS70500000000FA\n", "ffffffff+1"},
    {"mixed-sizes", "S104000055A6\nS20501000055A4\nS9030000FC\n", "0+1 10000+1"},

    {"empty", "",
     "f.s19:1: there is neither an end record (S7, S8 or S9) nor a count (S5, S6): the file is cut off"},
    {"no-end", "S104000055A6\n",
     "f.s19:1: there is neither an end record (S7, S8 or S9) nor a count (S5, S6): the file is cut off"},
    {"no-data", "S00600004844521B\nS9030000FC\n", "f.s19:2: there is no data in the file"},
    {"after-end", "S104000055A6\nS9030000FC\nS1040001AA50\n",
     "f.s19:3: there is something after the end record"},
    {"no-s", "104000055A6\n", "f.s19:1: a line begins with 'S', this one with byte 0x31"},
    {"small-s", "s104000055A6\n", "f.s19:1: a line begins with 'S', this one with byte 0x73"},
    {"s4", "S404000055A6\n", "f.s19:1: this is no record type of S-records (S0 to S3, S5 to S9)"},
    {"sx", "SX04000055A6\n", "f.s19:1: this is no record type of S-records (S0 to S3, S5 to S9)"},
    {"s-alone", "S", "f.s19:1: this is no record type of S-records (S0 to S3, S5 to S9)"},
    {"checksum", "\nS104000055A7\n", "f.s19:2: the checksum is A7, it should be A6"},
    {"flipped-address", "S104000155A6\n", "f.s19:1: the checksum is A6, it should be A5"},
    {"odd-digits", "S104000055A\n", "f.s19:1: 9 hexadecimal digits are no record S1"},
    {"short", "S1020000\n", "f.s19:1: 6 hexadecimal digits are no record S1"},
    {"short-s3", "S30408000001\n", "f.s19:1: 10 hexadecimal digits are no record S3"},
    {"not-hex", "S1040000G5A6\n", "f.s19:1: column 9 is no hexadecimal digit"},
    {"not-hex-low", "S10400005GA6\n", "f.s19:1: column 10 is no hexadecimal digit"},
    {"length-long", "S105000055A6\n", "f.s19:1: the record says 5 bytes, the line has 4"},
    {"length-short", "S103000055A6\n", "f.s19:1: the record says 3 bytes, the line has 4"},
    {"count-wrong", "S104000055A6\nS5030002FA\n",
     "f.s19:2: the file says that it has 2 data records; there are 1 before this"},
    {"data-after-count", "S104000055A6\nS5030001FB\nS1040001AA50\n",
     "f.s19:3: only an end record may come after the count of the records"},
    {"end-with-data", "S104000055A6\nS9040000AA51\n",
     "f.s19:2: a record S9 has no data, this one has 1 bytes"},
    {"overlap", "S105000055AAFB\nS104000155A5\nS9030000FC\n",
     "f.s19:2: address 0x00000001 is already given in line 1"},
    {"overlap-equal", "S104000055A6\nS104000055A6\nS9030000FC\n",
     "f.s19:2: address 0x00000000 is already given in line 1"},
    {"crosses-16", "S105FFFF0102F9\nS9030000FC\n", "ffff+2"},
    {"crosses-24", "S206FFFFFF0102F9\nS9030000FC\n", "ffffff+2"},
    {"wraps-32", "S307FFFFFFFF0102F9\n",
     "f.s19:1: the record reaches past the end of the 32-bit address space"},
};

static void test_srec(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    GError *error = NULL;
    ImpPieces *all = imp_srec_parse(srec_rows[i].text, strlen(srec_rows[i].text), 1 << 16, "f.s19", &error);
    check(all, error, srec_rows[i].expected);
}

/* ---- ELF ---- */

/* One program: 16 bytes of code whose load address is not where it runs, 8 zeroed bytes behind them in the same segment. Rows change
 * one thing of it. */
#define CODE_AT   0x200
#define CODE_SIZE 16

typedef struct {
    Elf32_Ehdr header;
    Elf32_Phdr segments[2];
    Elf32_Shdr sections[4];
    guint8 rest[CODE_AT + CODE_SIZE - sizeof(Elf32_Ehdr) - 2 * sizeof(Elf32_Phdr) - 4 * sizeof(Elf32_Shdr)];
} Program;

static Program program(void)
{
    Program p = {
        .header = {.e_ident = {0x7F, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_EXEC,
                   .e_machine = EM_ARM,
                   .e_version = EV_CURRENT,
                   .e_phoff = G_STRUCT_OFFSET(Program, segments),
                   .e_shoff = G_STRUCT_OFFSET(Program, sections),
                   .e_ehsize = sizeof(Elf32_Ehdr),
                   .e_phentsize = sizeof(Elf32_Phdr),
                   .e_phnum = 2,
                   .e_shentsize = sizeof(Elf32_Shdr),
                   .e_shnum = 4},
        .segments = {{.p_type = PT_LOAD,
                      .p_offset = CODE_AT - 16,
                      .p_vaddr = 0x20000000 - 16,
                      .p_paddr = 0x08000000 - 16,
                      .p_filesz = CODE_SIZE + 16,
                      .p_memsz = CODE_SIZE + 24},
                     {.p_type = PT_LOAD, .p_offset = CODE_AT, .p_vaddr = 0x20001000, .p_memsz = 64}},
        .sections = {{.sh_type = SHT_NULL},
                     {.sh_type = SHT_PROGBITS,
                      .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                      .sh_addr = 0x20000000,
                      .sh_offset = CODE_AT,
                      .sh_size = CODE_SIZE},
                     {.sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC, .sh_addr = 0x20000010, .sh_size = 8},
                     {.sh_type = SHT_PROGBITS, .sh_offset = CODE_AT, .sh_size = 4}}, /* debug information */
    };
    G_STATIC_ASSERT(sizeof(Program) == CODE_AT + CODE_SIZE);
    return p;
}

static const struct {
    const char *name, *expected;
    guint16 offset, value; /* halfword that is changed; offset 0: none */
    guint16 cut; /* bytes of the file; 0: all */
} elf_rows[] = {
    {"good", "8000000+16"},
    {"no-sections", "7fffff0+32", G_STRUCT_OFFSET(Program, header.e_shoff), 0},
    {"short", "f.elf: this is no ELF file", .cut = 51},
    {"magic", "f.elf: this is no ELF file", 2, 0x4645},
    {"64-bit", "f.elf: this ELF file is not for a 32-bit little-endian machine", 4, 0x0102},
    {"big-endian", "f.elf: this ELF file is not for a 32-bit little-endian machine", 4, 0x0201},
    {"x86", "f.elf: this ELF file is not for Arm (machine 3)", 18, EM_386},
    {"object", "f.elf: this ELF file is not linked yet: it has no addresses", 16, ET_REL},
    {"shared", "f.elf: this ELF file is no program with fixed addresses (type 3)", 16, ET_DYN},
    {"cut", "f.elf: segment 0 (offset 0x1F0): it reaches past the end of the file", .cut = CODE_AT + 8},
    {"segment-outside", "f.elf: segment 0 (offset 0xFFFF01F0): it reaches past the end of the file",
     G_STRUCT_OFFSET(Program, segments[0].p_offset) + 2, 0xFFFF},
    {"segment-huge", "f.elf: segment 0 (offset 0x1F0): it reaches past the end of the file",
     G_STRUCT_OFFSET(Program, segments[0].p_filesz) + 2, 0xFFFF},
    {"segment-sizes", "f.elf: segment 0 (offset 0x1F0): it has more bytes in the file than in memory",
     G_STRUCT_OFFSET(Program, segments[0].p_memsz), 4},
    {"section-outside", "f.elf: section 1 (offset 0xFFFF0200): it reaches past the end of the file",
     G_STRUCT_OFFSET(Program, sections[1].sh_offset) + 2, 0xFFFF},
    {"section-huge", "f.elf: section 1 (offset 0x200): it reaches past the end of the file",
     G_STRUCT_OFFSET(Program, sections[1].sh_size) + 2, 0x7FFF},
    {"section-elsewhere", "f.elf: section 1 (offset 0x200): no segment loads it",
     G_STRUCT_OFFSET(Program, sections[1].sh_addr), 0x100},
    {"section-twice", "f.elf: section 3 (offset 0x200): address 0x08000000 is already given in section 1",
     G_STRUCT_OFFSET(Program, sections[3].sh_flags), SHF_ALLOC},
    {"space-wraps",
     "f.elf: section 1 (offset 0x200): the section reaches past the end of the 32-bit address space",
     G_STRUCT_OFFSET(Program, segments[0].p_paddr) + 2, 0xFFFF},
    {"nothing", "f.elf: there is no data in the file", G_STRUCT_OFFSET(Program, sections[1].sh_flags), 0},
    {"no-segments", "f.elf: section 1 (offset 0x200): no segment loads it",
     G_STRUCT_OFFSET(Program, header.e_phnum), 0},
};

static void test_elf(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    Program p = program();
    if (elf_rows[i].offset != 0)
        memcpy((guint8 *)&p + elf_rows[i].offset, &elf_rows[i].value, 2);
    if (strcmp(elf_rows[i].name, "no-sections") == 0)
        p.header.e_shnum = 0;
    if (strcmp(elf_rows[i].name, "section-elsewhere") == 0)
        p.sections[3].sh_flags = SHF_ALLOC; /* says nothing before the first fault */
    if (strcmp(elf_rows[i].name, "section-twice") == 0)
        p.sections[3].sh_addr = 0x20000000;
    if (strcmp(elf_rows[i].name, "space-wraps") == 0)
        p.segments[0].p_paddr = 0xFFFFFFF0 - 8;
    GError *error = NULL;
    g_autofree guint8 *file = g_memdup2(&p, sizeof p); /* of its own, so that ASan sees its end */
    gsize n = elf_rows[i].cut ? elf_rows[i].cut : sizeof p;
    ImpPieces *all = imp_elf_parse(file, n, 1 << 16, "f.elf", &error);
    check(all, error, elf_rows[i].expected);
}

/* ---- UF2 ---- */

#define FLAG_FAMILY 0x2000u

typedef struct {
    guint32 address, number, n_blocks;
    guint32 flags, family;
    guint32 n_bytes; /* 0: 4 */
    guint32 magic_0, magic_end; /* 0: the right one */
} Uf2Block;

static void put_u32(guint8 *at, guint32 value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (guint8)(value >> (8 * i));
}

static void put_block(guint8 *at, const Uf2Block *b)
{
    put_u32(at, b->magic_0 ? b->magic_0 : 0x0A324655);
    put_u32(at + 4, 0x9E5D5157);
    put_u32(at + 8, b->flags);
    put_u32(at + 12, b->address);
    put_u32(at + 16, b->n_bytes ? b->n_bytes : 4);
    put_u32(at + 20, b->number);
    put_u32(at + 24, b->n_blocks);
    put_u32(at + 28, b->family);
    put_u32(at + 508, b->magic_end ? b->magic_end : 0x0AB16F30);
}

static const struct {
    const char *name, *expected;
    Uf2Block blocks[4]; /* up to the first with n_blocks 0 */
    guint32 family; /* 0: none is asked for */
    gsize more_bytes;
} uf2_rows[] = {
    {"one", "100+4", {{0x100, 0, 1}}},
    {"two", "100+8", {{0x100, 0, 2}, {0x104, 1, 2}}},
    {"any-order", "0+4 100+4", {{0x100, 1, 2}, {0, 0, 2}}},
    {"family", "100+4", {{0x100, 0, 1, FLAG_FAMILY, 7}}},
    {"file-size-is-no-family", "100+4 200+4", {{0x100, 0, 2, 0, 9}, {0x200, 1, 2, 0, 8}}},
    {"chosen-family", "200+4", {{0x100, 0, 1, FLAG_FAMILY, 7}, {0x200, 0, 1, FLAG_FAMILY, 8}}, 8},
    {"not-main-flash", "100+4", {{0x100, 0, 2}, {0x900, 1, 2, 1}}},
    {"largest", "100+476", {{0x100, 0, 1, .n_bytes = 476}}},
    {"end-of-space", "fffffffc+4", {{0xFFFFFFFC, 0, 1}}},

    {"empty", "f.uf2: 0 bytes are no whole number of blocks of 512 bytes"},
    {"cut", "f.uf2: 513 bytes are no whole number of blocks of 512 bytes", {{0x100, 0, 1}}, .more_bytes = 1},
    {"magic",
     "f.uf2: block 1 (offset 0x200): it does not begin with the magic numbers of UF2",
     {{0x100, 0, 2}, {0x200, 1, 2, .magic_0 = 1}}},
    {"magic-end",
     "f.uf2: block 0 (offset 0x0): it does not end with the magic number of UF2",
     {{0x100, 0, 1, .magic_end = 1}}},
    {"too-much",
     "f.uf2: block 0 (offset 0x0): it says that it has 477 bytes of data, there is room for 476",
     {{0x100, 0, 1, .n_bytes = 477}}},
    {"too-much-md5",
     "f.uf2: block 0 (offset 0x0): it says that it has 453 bytes of data, there is room for 452",
     {{0x100, 0, 1, .flags = 0x4000, .n_bytes = 453}}},
    {"container",
     "f.uf2: block 0 (offset 0x0): it holds files for a file system, not what a flash holds",
     {{0x100, 0, 1, 0x1000}}},
    {"families",
     "f.uf2: block 1 (offset 0x200): the file holds programs for several families of chips (0x00000007 and "
     "0x00000008): say which one is meant (family: 0x00000007)",
     {{0x100, 0, 1, FLAG_FAMILY, 7}, {0x200, 0, 1, FLAG_FAMILY, 8}}},
    {"family-and-none",
     "f.uf2: block 1 (offset 0x200): some blocks of the file name a family of chips, others do not",
     {{0x100, 0, 2, FLAG_FAMILY, 7}, {0x200, 1, 2}}},
    {"no-such-family",
     "f.uf2: there is nothing for the family 0x00000009; it has: 0x00000007",
     {{0x100, 0, 1, FLAG_FAMILY, 7}},
     9},
    {"names-no-family",
     "f.uf2: there is nothing for the family 0x00000009; it names no family",
     {{0x100, 0, 1}},
     9},
    {"missing", "f.uf2: block number 1 of 3 is missing: the file is cut off", {{0x100, 0, 3}, {0x200, 2, 3}}},
    {"missing-end",
     "f.uf2: block number 2 of 3 is missing: the file is cut off",
     {{0x100, 0, 3}, {0x200, 1, 3}}},
    {"twice",
     "f.uf2: block 1 (offset 0x200): its number is 0, which another block has",
     {{0x100, 0, 2}, {0x200, 0, 2}}},
    {"number",
     "f.uf2: block 0 (offset 0x0): its number is 2, but there are 2 blocks, counted from 0",
     {{0x100, 2, 2}}},
    {"total",
     "f.uf2: block 1 (offset 0x200): it says that there are 3 blocks, the blocks before it say 2",
     {{0x100, 0, 2}, {0x200, 1, 3}}},
    {"total-huge",
     "f.uf2: block 0 (offset 0x0): it says that there are 4294967295 blocks; possible are 1 to 1048576",
     {{0x100, 0, 0xFFFFFFFF}}},
    {"overlap",
     "f.uf2: block 1 (offset 0x200): address 0x00000102 is already given in block 0",
     {{0x100, 0, 2}, {0x102, 1, 2}}},
    {"wraps",
     "f.uf2: block 0 (offset 0x0): the block reaches past the end of the 32-bit address space",
     {{0xFFFFFFFD, 0, 1}}},
    {"nothing", "f.uf2: there is no data in the file", {{0x100, 0, 1, 1}}},
};

static void test_uf2(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data), n = 0;
    while (n < G_N_ELEMENTS(uf2_rows[i].blocks) && uf2_rows[i].blocks[n].n_blocks != 0)
        n++;
    gsize n_file = n * IMP_UF2_BLOCK_BYTES + uf2_rows[i].more_bytes;
    g_autofree guint8 *file = g_malloc0(n_file);
    for (gsize b = 0; b < n; b++)
        put_block(file + b * IMP_UF2_BLOCK_BYTES, &uf2_rows[i].blocks[b]);
    GError *error = NULL;
    ImpPieces *all = imp_uf2_parse(file, n_file, uf2_rows[i].family ? &uf2_rows[i].family : NULL, 1 << 16,
                                   "f.uf2", &error);
    check(all, error, uf2_rows[i].expected);
}

/* ---- which format ---- */

#define HEX  ":0200000055AAFF\n:0100040055A6\n:00000001FF\n" /* 0+2 4+1 */
#define SREC "S105000055AAFB\nS104000455A2\nS9030000FC\n" /* the same */

static const struct {
    const char *name, *text, *expected;
    ImpLoadOptions options;
} load_rows[] = {
    {"hex", HEX, "0+2 4+1", {IMP_DATA_HEX}},
    {"srec", SREC, "0+2 4+1", {IMP_DATA_SREC}},
    {"content-before-name", SREC, "0+2 4+1", {IMP_DATA_HEX}},
    {"no-name", "\n" HEX, "0+2 4+1", {0}},
    {"said", SREC, "f:1: a line begins with ':', this one with byte 0x53", {IMP_DATA_HEX, .exact = TRUE}},
    {"name-tells-what-is-wrong",
     "hello",
     "f:1: a line begins with 'S', this one with byte 0x68",
     {IMP_DATA_SREC}},
    {"unknown",
     "hello",
     "f is neither HEX, S-record, ELF nor UF2; of a binary file say where it begins (at: 0x…)",
     {0}},
    {"binary", "hello", "100+5", {IMP_DATA_BINARY, .at = 0x100}},
    {"binary-like-hex", HEX, "0+42", {IMP_DATA_BINARY}},
    {"binary-elf",
     "\x7F"
     "ELF",
     "f is an ELF file, not a binary: say 'format: elf', or 'format: binary' if its bytes are meant as they "
     "are",
     {IMP_DATA_BINARY}},
    {"binary-uf2",
     "UF2\nWQ]\x9E",
     "f is a UF2 file, not a binary: say 'format: uf2', or 'format: binary' if its bytes are meant as they "
     "are",
     {IMP_DATA_BINARY}},
    {"binary-elf-meant",
     "\x7F"
     "ELF",
     "0+4",
     {IMP_DATA_BINARY, .exact = TRUE}},
    {"range", HEX, "1+1", {IMP_DATA_HEX, .has_range = TRUE, .range_first = 1, .range_last = 3}},
    {"range-of-two", HEX, "1+1 4+1", {IMP_DATA_HEX, .has_range = TRUE, .range_first = 1, .range_last = 9}},
    {"range-binary",
     "hello",
     "102+2",
     {IMP_DATA_BINARY, .at = 0x100, .has_range = TRUE, .range_first = 0x102, .range_last = 0x103}},
    {"range-empty",
     HEX,
     "f has no bytes in the range",
     {IMP_DATA_HEX, .has_range = TRUE, .range_first = 2, .range_last = 3}},
    {"fill", HEX, "0+8", {IMP_DATA_HEX, .has_range = TRUE, .range_last = 7, .has_fill = TRUE, .fill = 0xEE}},
    {"fill-nothing",
     HEX,
     "f has no bytes in the range",
     {IMP_DATA_HEX, .has_range = TRUE, .range_first = 16, .range_last = 31, .has_fill = TRUE}},
    {"fill-huge",
     HEX,
     "f: the range to fill has 4294967296 bytes, the limit is 65536",
     {IMP_DATA_HEX, .has_range = TRUE, .range_last = G_MAXUINT32, .has_fill = TRUE}},
};

static void test_load(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    ImpLoadOptions options = load_rows[i].options;
    options.max_bytes = 1 << 16;
    GError *error = NULL;
    gsize n = strlen(load_rows[i].text);
    g_autofree guint8 *file = g_memdup2(load_rows[i].text, n);
    ImpPieces *all = imp_load(file, n, "f", &options, &error);
    check(all, error, load_rows[i].expected);
}

static void test_fill_bytes(void)
{
    static const guint8 expected[] = {0xAA, 0xEE, 0xEE, 0x55, 0xEE};
    ImpLoadOptions options = {.has_range = TRUE,
                              .range_first = 1,
                              .range_last = 5,
                              .has_fill = TRUE,
                              .fill = 0xEE,
                              .max_bytes = 16};
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpPieces) all = imp_load((const guint8 *)HEX, strlen(HEX), "f", &options, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(all->n_pieces, ==, 1);
    g_assert_cmpmem(all->bytes, all->pieces[0].n_bytes, expected, sizeof expected);
}

#define ADD(rows, folder, function)                                                                          \
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {                                                         \
        g_autofree char *path = g_strdup_printf("/build/" folder "/%s", rows[i].name);                       \
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), function);                                           \
    }

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(srec_rows, "srec", test_srec)
    ADD(elf_rows, "elf", test_elf)
    ADD(uf2_rows, "uf2", test_uf2)
    ADD(load_rows, "load", test_load)
    g_test_add_func("/build/load/fill-bytes", test_fill_bytes);
    return g_test_run();
}
