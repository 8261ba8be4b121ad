/* Our own FLM files are read right; damaged ones are refused with the reason. */
#include <elf.h>
#include <string.h>

#include "base/error.h"
#include "device/flm.h"

extern const guint8 flm_nrf51_code[];
extern const gsize flm_nrf51_code_bytes;
extern const guint8 flm_nrf51_uicr[];
extern const gsize flm_nrf51_uicr_bytes;

static void test_code(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = g_bytes_new_static(flm_nrf51_code, flm_nrf51_code_bytes);
    g_autoptr(ImpAlgorithm) a = imp_flm_parse(bytes, "code.flm", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(a->name, ==, "nrf51-code");
    g_assert_cmpuint(a->init, ==, 0); /* Init first */
    g_assert_cmpuint(a->start, ==, 0);
    g_assert_cmpuint(a->size_bytes, ==, 256 * 1024);
    g_assert_cmpuint(a->page_bytes, ==, 1024);
    g_assert_cmpuint(a->erased_byte, ==, 0xFF);
    g_assert_cmpuint(a->n_sectors, ==, 1);
    g_assert_cmpuint(a->sectors[0].size_bytes, ==, 1024);
    g_assert_cmpuint(a->sectors[0].start, ==, 0);
    g_assert_cmpuint(a->erase_chip, !=, IMP_ENTRY_NONE);
    g_assert_cmpuint(a->blank_check, ==, IMP_ENTRY_NONE);
    g_assert_cmpuint(a->verify, ==, IMP_ENTRY_NONE);
    g_assert_cmpuint(a->static_base, ==, g_bytes_get_size(a->blob)); /* no data at all */
    g_assert_cmpuint(g_bytes_get_size(a->blob) % 4, ==, 0);
}

static void test_uicr(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = g_bytes_new_static(flm_nrf51_uicr, flm_nrf51_uicr_bytes);
    g_autoptr(ImpAlgorithm) a = imp_flm_parse(bytes, "uicr.flm", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(a->start, ==, 0x10001000);
    g_assert_cmpuint(a->size_bytes, ==, 0x100);
    g_assert_cmpuint(a->erase_chip, ==, IMP_ENTRY_NONE);
}

static Elf32_Shdr *section(guint8 *file, const char *name)
{
    Elf32_Ehdr *header = (Elf32_Ehdr *)(void *)file;
    Elf32_Shdr *sections = (Elf32_Shdr *)(void *)(file + header->e_shoff);
    const char *names = (const char *)file + sections[header->e_shstrndx].sh_offset;
    for (gsize i = 0; i < header->e_shnum; i++)
        if (strcmp(names + sections[i].sh_name, name) == 0)
            return &sections[i];
    g_assert_not_reached();
}

static Elf32_Sym *symbol(guint8 *file, const char *name)
{
    Elf32_Shdr *table = section(file, ".symtab");
    const char *names = (const char *)file + section(file, ".strtab")->sh_offset;
    Elf32_Sym *symbols = (Elf32_Sym *)(void *)(file + table->sh_offset);
    for (gsize i = 0; i < table->sh_size / sizeof *symbols; i++)
        if (strcmp(names + symbols[i].st_name, name) == 0)
            return &symbols[i];
    g_assert_not_reached();
}

/* Byte n of FlashDevice. */
static guint8 *dev(guint8 *file, gsize n)
{
    return file + section(file, "DevDscr")->sh_offset + n;
}

static void put_u32(guint8 *p, guint32 value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (guint8)(value >> (8 * i));
}

static void wrong_machine(guint8 *file)
{
    ((Elf32_Ehdr *)(void *)file)->e_machine = EM_386;
}
static void no_magic(guint8 *file)
{
    file[0] = 0;
}
static void code_elsewhere(guint8 *file)
{
    section(file, "PrgCode")->sh_addr = 4;
}
static void code_past_end(guint8 *file)
{
    section(file, "PrgCode")->sh_offset = 0x7FFFFFFF;
}
static void code_huge(guint8 *file)
{
    section(file, "PrgCode")->sh_size = 0x40000000;
}
static void data_over_code(guint8 *file)
{
    section(file, "PrgData")->sh_addr = 4;
    section(file, "PrgData")->sh_size = 4;
}
static void no_init(guint8 *file)
{
    symbol(file, "Init")->st_shndx = SHN_UNDEF;
}
static void init_outside(guint8 *file)
{
    symbol(file, "Init")->st_value = 0x10001;
}
static void init_arm(guint8 *file)
{
    symbol(file, "Init")->st_value = 0;
}
static void no_device(guint8 *file)
{
    symbol(file, "FlashDevice")->st_shndx = SHN_UNDEF;
}
static void device_cut(guint8 *file)
{
    symbol(file, "FlashDevice")->st_value += 100;
}
static void other_version(guint8 *file)
{
    *dev(file, 1) = 2;
}
static void name_control(guint8 *file)
{
    *dev(file, 3) = 7;
}
static void name_endless(guint8 *file)
{
    memset(dev(file, 2), 'x', 128);
}
static void page_odd(guint8 *file)
{
    put_u32(dev(file, 140), 1023);
}
static void size_past_4g(guint8 *file)
{
    put_u32(dev(file, 132), 0xFFFFF000);
}
static void sector_zero(guint8 *file)
{
    put_u32(dev(file, 160), 0);
}
static void sectors_endless(guint8 *file)
{
    section(file, "DevDscr")->sh_size = 164;
}
static void sector_uneven(guint8 *file)
{
    put_u32(dev(file, 160), 3000);
}
static void sectors_none(guint8 *file)
{
    memset(dev(file, 160), 0xFF, 8);
}

static const struct {
    const char *name;
    void (*damage)(guint8 *file);
    const char *reason;
} bad[] = {
    {"wrong-machine", wrong_machine, "it is not a little-endian, linked ELF file for 32-bit ARM"},
    {"no-magic", no_magic, "it is not an ELF file"},
    {"code-elsewhere", code_elsewhere, "function Init lies outside PrgCode"},
    {"code-past-end", code_past_end, "section PrgCode reaches past the end of the file"},
    {"code-huge", code_huge, "section PrgCode is larger than the limit of 262144 bytes"},
    {"data-over-code", data_over_code, "its sections PrgCode and PrgData overlap"},
    {"no-init", no_init, "it has no function Init"},
    {"init-outside", init_outside, "function Init lies outside PrgCode"},
    {"init-arm", init_arm, "function Init is not Thumb code"},
    {"no-device", no_device, "it does not define FlashDevice"},
    {"device-cut", device_cut, "FlashDevice is cut off"},
    {"other-version", other_version, "its interface version is 2.01, this program knows 1.xx"},
    {"name-control", name_control, "its name has a byte 0x07"},
    {"name-endless", name_endless, "it has no name"},
    {"page-odd", page_odd, "its page of 1023 bytes is not a multiple of 4 from 4 to 65536"},
    {"size-past-4g", size_past_4g, "its memory is empty or does not end below 4 GiB"},
    {"sector-zero", sector_zero, "sector entry 0 is empty or outside the memory"},
    {"sectors-endless", sectors_endless, "its list of sectors has no end"},
    {"sector-uneven", sector_uneven, "its last sector reaches past the end of the memory"},
    {"sectors-none", sectors_none, "it has no sectors"},
};

static void test_bad(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    guint8 *file = g_memdup2(flm_nrf51_code, flm_nrf51_code_bytes);
    bad[i].damage(file);
    g_autoptr(GBytes) bytes = g_bytes_new_take(file, flm_nrf51_code_bytes);
    g_autoptr(GError) error = NULL;
    g_assert_null(imp_flm_parse(bytes, "bad.flm", &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ALGORITHM_FILE);
    g_autofree char *text = g_strdup_printf("bad.flm is not a usable flash algorithm: %s", bad[i].reason);
    g_assert_cmpstr(error->message, ==, text);
}

/* The file with one habit of the field, and what comes of it. */
static ImpAlgorithm *with(void (*change)(guint8 *file))
{
    guint8 *file = g_memdup2(flm_nrf51_code, flm_nrf51_code_bytes);
    change(file);
    g_autoptr(GBytes) bytes = g_bytes_new_take(file, flm_nrf51_code_bytes);
    g_autoptr(GError) error = NULL;
    ImpAlgorithm *a = imp_flm_parse(bytes, "habit.flm", &error);
    g_assert_no_error(error);
    return a;
}

static void no_uninit(guint8 *file)
{
    symbol(file, "UnInit")->st_shndx = SHN_UNDEF;
}
static void no_times(guint8 *file)
{
    put_u32(dev(file, 152), 0);
    put_u32(dev(file, 156), 0);
}
static void endless_times(guint8 *file)
{
    put_u32(dev(file, 152), G_MAXUINT32);
    put_u32(dev(file, 156), G_MAXUINT32);
}
/* All that is linked to 0 is linked to 0x20000104. */
static void linked_elsewhere(guint8 *file)
{
    static const char *const functions[] = {"Init", "UnInit", "EraseSector", "ProgramPage", "EraseChip"};
    section(file, "PrgCode")->sh_addr += 0x20000104;
    section(file, "PrgData")->sh_addr += 0x20000104;
    for (gsize i = 0; i < G_N_ELEMENTS(functions); i++)
        symbol(file, functions[i])->st_value += 0x20000104;
}
static void dynamic(guint8 *file)
{
    ((Elf32_Ehdr *)(void *)file)->e_type = ET_DYN;
}

static void test_habits(void)
{
    static const guint8 returns_0[] = {0x00, 0x20, 0x70, 0x47};
    g_autoptr(ImpAlgorithm) plain = with(dynamic), silent = with(no_uninit), timeless = with(no_times),
                            endless = with(endless_times), elsewhere = with(linked_elsewhere);
    gsize n_bytes;
    const guint8 *blob = g_bytes_get_data(silent->blob, &n_bytes);
    g_assert_cmpuint(silent->uninit + sizeof returns_0, ==, n_bytes);
    g_assert_cmpmem(blob + silent->uninit, sizeof returns_0, returns_0, sizeof returns_0);
    g_assert_cmpuint(plain->uninit, <, silent->uninit);
    g_assert_true(timeless->program_ms_max == 1000 && timeless->erase_ms_max == 10000);
    g_assert_true(endless->program_ms_max == IMP_ALGORITHM_TIMEOUT_MS_MAX &&
                  endless->erase_ms_max == IMP_ALGORITHM_TIMEOUT_MS_MAX);
    /* 4 bytes behind a multiple of 16: distances stay, and so does the alignment of words */
    g_assert_cmpuint(elsewhere->init, ==, plain->init + 4);
    g_assert_cmpuint(elsewhere->static_base, ==, plain->static_base + 4);
    const guint8 *moved = g_bytes_get_data(elsewhere->blob, NULL);
    g_assert_cmpmem(moved + 4, plain->uninit, g_bytes_get_data(plain->blob, NULL), plain->uninit);
}

/* Cut anywhere: refused, and nothing outside the bytes is read (AddressSanitizer looks). */
static void test_truncated(void)
{
    for (gsize n = 0; n < flm_nrf51_code_bytes; n++) {
        guint8 *file = g_memdup2(flm_nrf51_code, n);
        g_autoptr(GBytes) bytes = g_bytes_new_take(file, n);
        g_autoptr(GError) error = NULL;
        g_assert_null(imp_flm_parse(bytes, "cut.flm", &error));
        g_assert_error(error, IMP_ERROR, IMP_E_ALGORITHM_FILE);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/device/flm/nrf51-code", test_code);
    g_test_add_func("/device/flm/nrf51-uicr", test_uicr);
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path = g_strdup_printf("/device/flm/bad/%s", bad[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad);
    }
    g_test_add_func("/device/flm/habits", test_habits);
    g_test_add_func("/device/flm/truncated", test_truncated);
    return g_test_run();
}
