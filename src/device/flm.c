#include "device/flm.h"

#include <gelf.h>
#include <libelf.h>
#include <string.h>

#include "base/error.h"

/* struct FlashDevice, little-endian: Open-CMSIS-Pack, "Flash Programming", FlashOS.h. */
#define DEV_NAME_OFFSET    2
#define DEV_NAME_BYTES     128
#define DEV_START          132
#define DEV_SIZE           136
#define DEV_PAGE           140
#define DEV_ERASED         148
#define DEV_PROGRAM_MS     152
#define DEV_ERASE_MS       156
#define DEV_SECTORS        160
#define DEV_SECTOR_BYTES   8
#define DEV_VERSION_MAJOR  0x01 /* vers: 0x0100 + version of the algorithm */
#define DEV_SECTORS_END    0xFFFFFFFFu
#define ALGORITHM_ADDR_END (G_GUINT64_CONSTANT(1) << 32)
#define BLOB_ALIGN         16 /* of the address at which a blob is loaded */
/* Time limits of files that name none. */
#define PROGRAM_MS_DEFAULT 1000
#define ERASE_MS_DEFAULT   10000

/* A piece of the file that is loaded, or DevDscr. */
typedef struct {
    gsize index; /* ELF section index, 0 = not there */
    guint64 address;
    guint64 size;
    const guint8 *bytes; /* NULL: zeroes */
} Part;

typedef struct {
    const char *what;
    const guint8 *file;
    gsize file_bytes;
    Elf *elf;
    gboolean is_dynamic; /* ET_DYN: may have relocations that nobody applies */
    Part code, dscr;
    guint64 base; /* the address that becomes the blob's first byte */
    Part data[2]; /* PrgData: initialised, zeroed */
    gsize n_data;
    Elf_Scn *symbols;
} Flm;

static gboolean refuse(const Flm *flm, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static gboolean refuse(const Flm *flm, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    imp_error_set(error, IMP_E_ALGORITHM_FILE, "%s is not a usable flash algorithm: %s", flm->what, why);
    return FALSE;
}

static guint32 get_u32(const guint8 *p)
{
    return (guint32)p[0] | (guint32)p[1] << 8 | (guint32)p[2] << 16 | (guint32)p[3] << 24;
}

/* Sets *part from a section header whose bytes lie inside the file. */
static gboolean take_part(const Flm *flm, Elf_Scn *section, const GElf_Shdr *header, const char *name,
                          Part *part, GError **error)
{
    if (header->sh_size > IMP_ALGORITHM_CODE_MAX || header->sh_addr > G_MAXUINT32)
        return refuse(flm, error, "section %s is larger than the limit of %d bytes", name,
                      IMP_ALGORITHM_CODE_MAX);
    part->index = elf_ndxscn(section);
    part->address = header->sh_addr;
    part->size = header->sh_size;
    part->bytes = NULL;
    if (header->sh_type == SHT_NOBITS)
        return TRUE;
    if (header->sh_type != SHT_PROGBITS)
        return refuse(flm, error, "section %s is of ELF type %u", name, (unsigned)header->sh_type);
    if (header->sh_offset > flm->file_bytes || header->sh_size > flm->file_bytes - header->sh_offset)
        return refuse(flm, error, "section %s reaches past the end of the file", name);
    part->bytes = flm->file + header->sh_offset;
    return TRUE;
}

static gboolean take_section(Flm *flm, Elf_Scn *section, size_t names, GError **error)
{
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == NULL)
        return refuse(flm, error, "a section header cannot be read");
    if (header.sh_type == SHT_SYMTAB) {
        if (flm->symbols != NULL)
            return refuse(flm, error, "there are two symbol tables");
        flm->symbols = section;
        return TRUE;
    }
    if (flm->is_dynamic && (header.sh_type == SHT_REL || header.sh_type == SHT_RELA) && header.sh_size > 0 &&
        (header.sh_flags & SHF_ALLOC) != 0)
        return refuse(flm, error, "it has relocations, which no programmer applies");
    const char *name = elf_strptr(flm->elf, names, header.sh_name);
    if (name == NULL)
        return refuse(flm, error, "a section has no readable name");
    if (strcmp(name, "PrgCode") == 0) {
        if (flm->code.index != 0)
            return refuse(flm, error, "there are two sections PrgCode");
        return take_part(flm, section, &header, name, &flm->code, error);
    }
    if (strcmp(name, "DevDscr") == 0) {
        if (flm->dscr.index != 0)
            return refuse(flm, error, "there are two sections DevDscr");
        return take_part(flm, section, &header, name, &flm->dscr, error);
    }
    if (strcmp(name, "PrgData") == 0) {
        if (flm->n_data == G_N_ELEMENTS(flm->data))
            return refuse(flm, error, "there are more than two sections PrgData");
        return take_part(flm, section, &header, name, &flm->data[flm->n_data++], error);
    }
    if (strcmp(name, ".got") == 0 && header.sh_size != 0)
        return refuse(flm, error, "it has a global offset table, which no programmer sets up");
    return TRUE;
}

static gboolean take_sections(Flm *flm, GError **error)
{
    size_t names, count;
    if (elf_getshdrstrndx(flm->elf, &names) != 0 || elf_getshdrnum(flm->elf, &count) != 0)
        return refuse(flm, error, "its section table cannot be read");
    if (count > IMP_FLM_SECTIONS_MAX)
        return refuse(flm, error, "it has %zu sections, the limit is %d", count, IMP_FLM_SECTIONS_MAX);
    for (Elf_Scn *section = elf_nextscn(flm->elf, NULL); section; section = elf_nextscn(flm->elf, section))
        if (!take_section(flm, section, names, error))
            return FALSE;
    if (flm->code.index == 0 || flm->code.bytes == NULL || flm->code.size == 0)
        return refuse(flm, error, "it has no section PrgCode");
    if (flm->dscr.index == 0 || flm->dscr.bytes == NULL)
        return refuse(flm, error, "it has no section DevDscr");
    if (flm->symbols == NULL)
        return refuse(flm, error, "it has no symbol table");
    return TRUE;
}

static gboolean overlap(const Part *a, const Part *b)
{
    return a->size != 0 && b->size != 0 && a->address < b->address + b->size &&
           b->address < a->address + a->size;
}

/* PrgCode, PrgData and zeroes as they lie to each other: one blob. Wherever PrgCode was linked to, only the distances
 * count. */
static gboolean make_blob(Flm *flm, ImpAlgorithm *algorithm, GError **error)
{
    const Part *parts[] = {&flm->code, &flm->data[0], &flm->data[1]};
    guint64 first = flm->code.address, end = first + flm->code.size, data = G_MAXUINT64;
    if (overlap(parts[1], parts[2]))
        return refuse(flm, error, "its two sections PrgData overlap");
    for (gsize i = 1; i < G_N_ELEMENTS(parts); i++) {
        if (parts[i]->size == 0)
            continue;
        if (overlap(parts[0], parts[i]))
            return refuse(flm, error, "its sections PrgCode and PrgData overlap");
        first = MIN(first, parts[i]->address);
        end = MAX(end, parts[i]->address + parts[i]->size);
        data = MIN(data, parts[i]->address);
    }
    flm->base = first - first % BLOB_ALIGN;
    if (end - flm->base > IMP_ALGORITHM_CODE_MAX)
        return refuse(flm, error, "it needs %" G_GUINT64_FORMAT " bytes of RAM, the limit is %d",
                      end - flm->base, IMP_ALGORITHM_CODE_MAX);
    guint8 *blob = g_malloc0(end - flm->base);
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++)
        if (parts[i]->bytes != NULL && parts[i]->size != 0)
            memcpy(blob + (parts[i]->address - flm->base), parts[i]->bytes, parts[i]->size);
    algorithm->blob = g_bytes_new_take(blob, end - flm->base);
    algorithm->static_base = (guint32)((data == G_MAXUINT64 ? end : data) - flm->base);
    return TRUE;
}

static gboolean take_function(const Flm *flm, const char *name, const GElf_Sym *symbol, guint32 *out_entry,
                              GError **error)
{
    if (*out_entry != IMP_ENTRY_NONE)
        return refuse(flm, error, "function %s is defined twice", name);
    guint64 address = symbol->st_value & ~G_GUINT64_CONSTANT(1);
    if (symbol->st_shndx != flm->code.index || address < flm->code.address ||
        address - flm->code.address >= flm->code.size)
        return refuse(flm, error, "function %s lies outside PrgCode", name);
    if ((symbol->st_value & 1) == 0)
        return refuse(flm, error, "function %s is not Thumb code", name);
    *out_entry = (guint32)(address - flm->base);
    return TRUE;
}

/* Fills in the functions; *out_device is where FlashDevice begins in DevDscr. */
static gboolean take_symbols(const Flm *flm, ImpAlgorithm *algorithm, guint64 *out_device, GError **error)
{
    const struct {
        const char *name;
        guint32 *entry;
        gboolean needed;
    } functions[] = {
        {"Init", &algorithm->init, TRUE},
        {"UnInit", &algorithm->uninit, FALSE}, /* some have nothing to clean up */
        {"EraseSector", &algorithm->erase_sector, TRUE},
        {"ProgramPage", &algorithm->program_page, TRUE},
        {"EraseChip", &algorithm->erase_chip, FALSE},
        {"BlankCheck", &algorithm->blank_check, FALSE},
        {"Verify", &algorithm->verify, FALSE},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(functions); i++)
        *functions[i].entry = IMP_ENTRY_NONE;

    GElf_Shdr header;
    Elf_Data *data = elf_getdata(flm->symbols, NULL);
    if (gelf_getshdr(flm->symbols, &header) == NULL || data == NULL || data->d_buf == NULL ||
        header.sh_entsize != sizeof(Elf32_Sym))
        return refuse(flm, error, "its symbol table cannot be read");
    gsize count = data->d_size / sizeof(Elf32_Sym);
    if (count > IMP_FLM_SYMBOLS_MAX)
        return refuse(flm, error, "it has %zu symbols, the limit is %d", count, IMP_FLM_SYMBOLS_MAX);
    gboolean found = FALSE;
    for (gsize i = 1; i < count; i++) {
        GElf_Sym symbol;
        if (gelf_getsym(data, (int)i, &symbol) == NULL)
            return refuse(flm, error, "symbol %zu cannot be read", i);
        if (GELF_ST_BIND(symbol.st_info) == STB_LOCAL || symbol.st_shndx == SHN_UNDEF)
            continue;
        const char *name = elf_strptr(flm->elf, header.sh_link, symbol.st_name);
        if (name == NULL)
            return refuse(flm, error, "symbol %zu has no readable name", i);
        if (strcmp(name, "FlashDevice") == 0) {
            if (found)
                return refuse(flm, error, "FlashDevice is defined twice");
            if (symbol.st_shndx != flm->dscr.index || symbol.st_value < flm->dscr.address ||
                symbol.st_value - flm->dscr.address > flm->dscr.size)
                return refuse(flm, error, "FlashDevice lies outside DevDscr");
            *out_device = symbol.st_value - flm->dscr.address;
            found = TRUE;
            continue;
        }
        for (gsize f = 0; f < G_N_ELEMENTS(functions); f++)
            if (strcmp(name, functions[f].name) == 0 &&
                !take_function(flm, name, &symbol, functions[f].entry, error))
                return FALSE;
    }
    if (!found)
        return refuse(flm, error, "it does not define FlashDevice");
    for (gsize f = 0; f < G_N_ELEMENTS(functions); f++)
        if (functions[f].needed && *functions[f].entry == IMP_ENTRY_NONE)
            return refuse(flm, error, "it has no function %s", functions[f].name);
    return TRUE;
}

/* The list of sectors after FlashDevice; n bytes from p. */
static gboolean take_sectors(const Flm *flm, const guint8 *p, gsize n, ImpAlgorithm *algorithm,
                             GError **error)
{
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(ImpSectorRun));
    for (;; p += DEV_SECTOR_BYTES, n -= DEV_SECTOR_BYTES) {
        if (n < DEV_SECTOR_BYTES)
            return refuse(flm, error, "its list of sectors has no end");
        guint32 size = get_u32(p), offset = get_u32(p + 4);
        if (size == DEV_SECTORS_END && offset == DEV_SECTORS_END)
            break;
        if (runs->len == IMP_ALGORITHM_SECTORS_MAX)
            return refuse(flm, error, "its list of sectors is longer than %d", IMP_ALGORITHM_SECTORS_MAX);
        const ImpSectorRun *last = runs->len ? &g_array_index(runs, ImpSectorRun, runs->len - 1) : NULL;
        guint64 start = algorithm->start + offset;
        if (offset >= algorithm->size_bytes && runs->len > 0)
            break; /* of a larger chip of the family */
        if (size == 0 || offset >= algorithm->size_bytes)
            return refuse(flm, error, "sector entry %u is empty or outside the memory", runs->len);
        if (last == NULL ? offset != 0
                         : start <= last->start || (start - last->start) % last->size_bytes != 0)
            return refuse(flm, error, "sector entry %u leaves a gap or an overlap", runs->len);
        ImpSectorRun run = {.size_bytes = size, .start = start};
        g_array_append_val(runs, run);
    }
    if (runs->len == 0)
        return refuse(flm, error, "it has no sectors");
    const ImpSectorRun *last = &g_array_index(runs, ImpSectorRun, runs->len - 1);
    if ((algorithm->start + algorithm->size_bytes - last->start) % last->size_bytes != 0)
        return refuse(flm, error, "its last sector reaches past the end of the memory");
    algorithm->n_sectors = runs->len;
    algorithm->sectors = (ImpSectorRun *)(void *)g_array_free(g_steal_pointer(&runs), FALSE);
    return TRUE;
}

static gboolean take_device(const Flm *flm, guint64 offset, ImpAlgorithm *algorithm, GError **error)
{
    const guint8 *p = flm->dscr.bytes + offset;
    gsize n = flm->dscr.size - offset;
    if (n < DEV_SECTORS)
        return refuse(flm, error, "FlashDevice is cut off");
    if (p[1] != DEV_VERSION_MAJOR)
        return refuse(flm, error, "its interface version is %u.%02u, this program knows 1.xx", p[1], p[0]);
    const char *name = (const char *)p + DEV_NAME_OFFSET;
    gsize length = strnlen(name, DEV_NAME_BYTES);
    if (length == 0 || length == DEV_NAME_BYTES)
        return refuse(flm, error, "it has no name");
    for (gsize i = 0; i < length; i++)
        if (!g_ascii_isprint(name[i]))
            return refuse(flm, error, "its name has a byte 0x%02X", (guint8)name[i]);
    algorithm->name = g_strndup(name, length);
    algorithm->start = get_u32(p + DEV_START);
    algorithm->size_bytes = get_u32(p + DEV_SIZE);
    algorithm->page_bytes = get_u32(p + DEV_PAGE);
    algorithm->erased_byte = p[DEV_ERASED];
    algorithm->program_ms_max = get_u32(p + DEV_PROGRAM_MS);
    algorithm->erase_ms_max = get_u32(p + DEV_ERASE_MS);
    if (algorithm->size_bytes == 0 || algorithm->start + algorithm->size_bytes > ALGORITHM_ADDR_END)
        return refuse(flm, error, "its memory is empty or does not end below 4 GiB");
    if (algorithm->page_bytes == 0 || algorithm->page_bytes > IMP_ALGORITHM_PAGE_MAX ||
        algorithm->page_bytes % 4 != 0)
        return refuse(flm, error, "its page of %u bytes is not a multiple of 4 from 4 to %d",
                      algorithm->page_bytes, IMP_ALGORITHM_PAGE_MAX);
    if (algorithm->program_ms_max == 0)
        algorithm->program_ms_max = PROGRAM_MS_DEFAULT;
    if (algorithm->erase_ms_max == 0)
        algorithm->erase_ms_max = ERASE_MS_DEFAULT;
    algorithm->program_ms_max = MIN(algorithm->program_ms_max, IMP_ALGORITHM_TIMEOUT_MS_MAX);
    algorithm->erase_ms_max = MIN(algorithm->erase_ms_max, IMP_ALGORITHM_TIMEOUT_MS_MAX);
    return take_sectors(flm, p + DEV_SECTORS, n - DEV_SECTORS, algorithm, error);
}

/* A function that returns 0 (ARM DDI 0419, A6.7: MOVS r0, #0; BX lr), behind the rest of the blob. */
static gboolean add_uninit(const Flm *flm, ImpAlgorithm *algorithm, GError **error)
{
    static const guint8 returns_0[] = {0x00, 0x20, 0x70, 0x47};
    gsize n_bytes;
    const guint8 *old = g_bytes_get_data(algorithm->blob, &n_bytes);
    gsize at = (n_bytes + 3) & ~(gsize)3;
    if (at + sizeof returns_0 > IMP_ALGORITHM_CODE_MAX)
        return refuse(flm, error, "it has no function UnInit, and no room for one");
    guint8 *blob = g_malloc0(at + sizeof returns_0);
    memcpy(blob, old, n_bytes);
    memcpy(blob + at, returns_0, sizeof returns_0);
    g_bytes_unref(algorithm->blob);
    algorithm->blob = g_bytes_new_take(blob, at + sizeof returns_0);
    algorithm->uninit = (guint32)at;
    return TRUE;
}

static ImpAlgorithm *parse(Flm *flm, GError **error)
{
    GElf_Ehdr header;
    if (flm->elf == NULL || elf_kind(flm->elf) != ELF_K_ELF || gelf_getehdr(flm->elf, &header) == NULL) {
        refuse(flm, error, "it is not an ELF file");
        return NULL;
    }
    if (gelf_getclass(flm->elf) != ELFCLASS32 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_ARM || (header.e_type != ET_EXEC && header.e_type != ET_DYN)) {
        refuse(flm, error, "it is not a little-endian, linked ELF file for 32-bit ARM");
        return NULL;
    }
    g_autoptr(ImpAlgorithm) algorithm = g_new0(ImpAlgorithm, 1);
    guint64 device = 0;
    flm->is_dynamic = header.e_type == ET_DYN;
    if (!take_sections(flm, error) || !make_blob(flm, algorithm, error) ||
        !take_symbols(flm, algorithm, &device, error) || !take_device(flm, device, algorithm, error))
        return NULL;
    if (algorithm->uninit == IMP_ENTRY_NONE && !add_uninit(flm, algorithm, error))
        return NULL;
    return g_steal_pointer(&algorithm);
}

ImpAlgorithm *imp_flm_parse(GBytes *bytes, const char *what, GError **error)
{
    Flm flm = {.what = what};
    gsize n;
    const guint8 *file = g_bytes_get_data(bytes, &n);
    if (n > IMP_FLM_FILE_MAX || n < sizeof(Elf32_Ehdr)) {
        refuse(&flm, error, "it has %zu bytes, allowed are %zu to %u", n, sizeof(Elf32_Ehdr),
               IMP_FLM_FILE_MAX);
        return NULL;
    }
    g_assert(elf_version(EV_CURRENT) != EV_NONE);
    /* libelf wants memory that it may write to; g_memdup2 also aligns it. */
    g_autofree guint8 *copy = g_memdup2(file, n);
    flm.file = copy;
    flm.file_bytes = n;
    flm.elf = elf_memory((char *)copy, n);
    ImpAlgorithm *algorithm = parse(&flm, error);
    elf_end(flm.elf);
    return algorithm;
}
