#include "build/elf_file.h"

#include <gelf.h>
#include <libelf.h>
#include <string.h>

typedef struct {
    ImpReader *in;
    const guint8 *file;
    gsize n_file;
    Elf *elf;
    GArray *segments; /* of GElf_Phdr: those that are loaded and have bytes */
} Reader;

static gboolean refuse(const Reader *r, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static gboolean refuse(const Reader *r, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    imp_error_set(error, IMP_E_DATA_FILE, "%s: %s", r->in->what, why);
    return FALSE;
}

/* What kind of file it is; from its first bytes, before libelf sees them. */
static gboolean check_kind(const Reader *r, GError **error)
{
    const guint8 *id = r->file;
    if (r->n_file < sizeof(Elf32_Ehdr) || memcmp(id, ELFMAG, SELFMAG) != 0)
        return refuse(r, error, "this is no ELF file");
    if (id[EI_CLASS] != ELFCLASS32 || id[EI_DATA] != ELFDATA2LSB)
        return refuse(r, error, "this ELF file is not for a 32-bit little-endian machine");
    guint type = id[16] | (guint)id[17] << 8, machine = id[18] | (guint)id[19] << 8;
    if (machine != EM_ARM)
        return refuse(r, error, "this ELF file is not for Arm (machine %u)", machine);
    if (type == ET_REL)
        return refuse(r, error, "this ELF file is not linked yet: it has no addresses");
    if (type != ET_EXEC)
        return refuse(r, error, "this ELF file is no program with fixed addresses (type %u)", type);
    return TRUE;
}

static gboolean take_segments(Reader *r, GError **error)
{
    size_t n;
    if (elf_getphdrnum(r->elf, &n) != 0)
        return refuse(r, error, "the table of segments cannot be read");
    if (n > IMP_ELF_SEGMENTS_MAX)
        return refuse(r, error, "it has %zu segments, the limit is %d", n, IMP_ELF_SEGMENTS_MAX);
    for (size_t i = 0; i < n; i++) {
        GElf_Phdr segment;
        if (gelf_getphdr(r->elf, (int)i, &segment) == NULL)
            return refuse(r, error, "the header of segment %zu cannot be read", i);
        if (segment.p_type != PT_LOAD || segment.p_filesz == 0)
            continue;
        r->in->unit = "segment";
        r->in->number = (guint32)i;
        r->in->offset = segment.p_offset;
        if (segment.p_offset > r->n_file || segment.p_filesz > r->n_file - segment.p_offset)
            return imp_reader_fault(r->in, error, "it reaches past the end of the file");
        if (segment.p_filesz > segment.p_memsz)
            return imp_reader_fault(r->in, error, "it has more bytes in the file than in memory");
        g_array_append_val(r->segments, segment);
    }
    return TRUE;
}

/* The segment that loads the section; NULL if none does. */
static const GElf_Phdr *segment_of(const Reader *r, const GElf_Shdr *section)
{
    for (guint i = 0; i < r->segments->len; i++) {
        const GElf_Phdr *segment = &g_array_index(r->segments, GElf_Phdr, i);
        guint64 inside = section->sh_offset - segment->p_offset;
        if (section->sh_offset >= segment->p_offset && inside <= segment->p_filesz &&
            section->sh_size <= segment->p_filesz - inside && section->sh_addr == segment->p_vaddr + inside)
            return segment;
    }
    return NULL;
}

static gboolean take_section(Reader *r, const GElf_Shdr *section, gsize index, GError **error)
{
    if ((section->sh_flags & SHF_ALLOC) == 0 || section->sh_type == SHT_NOBITS || section->sh_size == 0)
        return TRUE;
    r->in->unit = "section";
    r->in->number = (guint32)index;
    r->in->offset = section->sh_offset;
    if (section->sh_offset > r->n_file || section->sh_size > r->n_file - section->sh_offset)
        return imp_reader_fault(r->in, error, "it reaches past the end of the file");
    const GElf_Phdr *segment = segment_of(r, section);
    if (segment == NULL)
        return imp_reader_fault(r->in, error, "no segment loads it");
    return imp_reader_add(r->in, segment->p_paddr + (section->sh_offset - segment->p_offset),
                          r->file + section->sh_offset, section->sh_size, error);
}

static gboolean take_sections(Reader *r, size_t n, GError **error)
{
    if (n > IMP_ELF_SECTIONS_MAX)
        return refuse(r, error, "it has %zu sections, the limit is %d", n, IMP_ELF_SECTIONS_MAX);
    for (size_t i = 1; i < n; i++) {
        GElf_Shdr section;
        Elf_Scn *scn = elf_getscn(r->elf, i);
        if (scn == NULL || gelf_getshdr(scn, &section) == NULL)
            return refuse(r, error, "the header of section %zu cannot be read", i);
        if (!take_section(r, &section, i, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean take_whole_segments(Reader *r, GError **error)
{
    r->in->unit = "segment";
    for (guint i = 0; i < r->segments->len; i++) {
        const GElf_Phdr *segment = &g_array_index(r->segments, GElf_Phdr, i);
        r->in->number = i;
        r->in->offset = segment->p_offset;
        if (!imp_reader_add(r->in, segment->p_paddr, r->file + segment->p_offset, segment->p_filesz, error))
            return FALSE;
    }
    return TRUE;
}

ImpPieces *imp_elf_parse(const guint8 *file, gsize n_file, gsize max_bytes, const char *what, GError **error)
{
    g_auto(ImpReader) in = {0};
    imp_reader_init(&in, what, "section", max_bytes);
    g_autoptr(GArray) segments = g_array_new(FALSE, FALSE, sizeof(GElf_Phdr));
    Reader r = {.in = &in, .file = file, .n_file = n_file, .segments = segments};
    if (!check_kind(&r, error))
        return NULL;
    elf_version(EV_CURRENT);
    /* libelf writes nothing into memory that it is told to read only; its prototype does not say so. */
    r.elf = elf_memory((char *)file, n_file);
    if (r.elf == NULL) {
        refuse(&r, error, "it cannot be read: %s", elf_errmsg(-1));
        return NULL;
    }
    size_t n_sections = 0;
    gboolean ok = take_segments(&r, error);
    if (ok && elf_getshdrnum(r.elf, &n_sections) != 0)
        ok = refuse(&r, error, "the table of sections cannot be read");
    if (ok)
        ok = n_sections > 0 ? take_sections(&r, n_sections, error) : take_whole_segments(&r, error);
    elf_end(r.elf);
    return ok ? imp_reader_finish(&in, error) : NULL;
}
