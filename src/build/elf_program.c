#include "build/elf_program.h"

#include <gelf.h>
#include <libelf.h>
#include <string.h>

static gboolean refuse(const char *what, const char *why, GError **error)
{
    imp_error_set(error, IMP_E_DATA_FILE, "%s: %s", what, why);
    return FALSE;
}

/* The symbol, if this table has it. Names come from libelf, which keeps them inside of their string table. */
static gboolean search_table(Elf *elf, Elf_Scn *scn, const GElf_Shdr *section, const char *what,
                             ImpElfProgram *out, GError **error)
{
    Elf_Data *data = elf_getdata(scn, NULL);
    guint64 n = section->sh_entsize > 0 ? section->sh_size / section->sh_entsize : 0;
    if (data == NULL)
        return refuse(what, "the table of symbols cannot be read", error);
    if (n > IMP_ELF_SYMBOLS_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "%s: %" G_GUINT64_FORMAT " symbols, the limit is %d", what, n,
                      IMP_ELF_SYMBOLS_MAX);
        return FALSE;
    }
    for (int i = 0; i < (int)n; i++) {
        GElf_Sym symbol;
        if (gelf_getsym(data, i, &symbol) == NULL)
            return refuse(what, "a symbol cannot be read", error);
        const char *name = elf_strptr(elf, section->sh_link, symbol.st_name);
        if (name == NULL || strcmp(name, IMP_ELF_MAILBOX_SYMBOL) != 0 || symbol.st_shndx == SHN_UNDEF)
            continue;
        if (symbol.st_value > G_MAXUINT32 || symbol.st_value % 4 != 0)
            return refuse(what, "the symbol " IMP_ELF_MAILBOX_SYMBOL " has an impossible address", error);
        out->has_mailbox = TRUE;
        out->mailbox = (guint32)symbol.st_value;
    }
    return TRUE;
}

static gboolean search(Elf *elf, const char *what, ImpElfProgram *out, GError **error)
{
    GElf_Ehdr header;
    if (gelf_getehdr(elf, &header) == NULL || header.e_entry > G_MAXUINT32)
        return refuse(what, "its header cannot be read", error);
    out->entry = (guint32)header.e_entry;
    for (Elf_Scn *scn = elf_nextscn(elf, NULL); scn != NULL; scn = elf_nextscn(elf, scn)) {
        GElf_Shdr section;
        if (gelf_getshdr(scn, &section) == NULL)
            return refuse(what, "the header of a section cannot be read", error);
        if (section.sh_type == SHT_SYMTAB && !search_table(elf, scn, &section, what, out, error))
            return FALSE;
    }
    return TRUE;
}

gboolean imp_elf_program(const guint8 *file, gsize n_file, const char *what, ImpElfProgram *out,
                         GError **error)
{
    ImpElfProgram program = {0};
    elf_version(EV_CURRENT);
    /* libelf writes nothing into memory that it is told to read only; its prototype does not say so. */
    Elf *elf = elf_memory((char *)file, n_file);
    if (elf == NULL || elf_kind(elf) != ELF_K_ELF) {
        elf_end(elf);
        return refuse(what, "this is no ELF file", error);
    }
    gboolean good = search(elf, what, &program, error);
    elf_end(elf);
    if (good)
        *out = program;
    return good;
}
