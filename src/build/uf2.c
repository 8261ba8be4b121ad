#include "build/uf2.h"

#define MAGIC_0          0x0A324655u
#define MAGIC_1          0x9E5D5157u
#define MAGIC_END        0x0AB16F30u
#define FLAG_NOT_MAIN    0x00000001u
#define FLAG_CONTAINER   0x00001000u
#define FLAG_FAMILY      0x00002000u
#define FLAG_MD5         0x00004000u
#define DATA_OFFSET      32
#define DATA_BYTES_MAX   476
#define MD5_BYTES        24 /* of the data area, at its end: address, length, digest */
#define MAGIC_END_OFFSET 508

typedef struct {
    guint32 flags, address, n_bytes, number, n_blocks, family;
    const guint8 *data;
} Block;

typedef struct {
    ImpReader *in;
    const guint32 *wanted; /* NULL: any, but one only */
    gboolean any; /* first_* are those of the first block that was taken */
    gboolean first_has_family;
    guint32 first_family, n_blocks, n_taken;
    GByteArray *seen; /* by number of the block: 1 */
    GHashTable *families; /* of all blocks; GUINT_TO_POINTER */
} Reader;

static guint32 get_u32(const guint8 *p)
{
    return (guint32)p[0] | (guint32)p[1] << 8 | (guint32)p[2] << 16 | (guint32)p[3] << 24;
}

static gboolean decode(const Reader *r, const guint8 *bytes, Block *out, GError **error)
{
    if (get_u32(bytes) != MAGIC_0 || get_u32(bytes + 4) != MAGIC_1)
        return imp_reader_fault(r->in, error, "it does not begin with the magic numbers of UF2");
    if (get_u32(bytes + MAGIC_END_OFFSET) != MAGIC_END)
        return imp_reader_fault(r->in, error, "it does not end with the magic number of UF2");
    *out = (Block){.flags = get_u32(bytes + 8),
                   .address = get_u32(bytes + 12),
                   .n_bytes = get_u32(bytes + 16),
                   .number = get_u32(bytes + 20),
                   .n_blocks = get_u32(bytes + 24),
                   .family = get_u32(bytes + 28),
                   .data = bytes + DATA_OFFSET};
    guint32 max = out->flags & FLAG_MD5 ? DATA_BYTES_MAX - MD5_BYTES : DATA_BYTES_MAX;
    if (out->n_bytes > max)
        return imp_reader_fault(r->in, error, "it says that it has %u bytes of data, there is room for %u",
                                out->n_bytes, max);
    if (out->flags & FLAG_CONTAINER)
        return imp_reader_fault(r->in, error, "it holds files for a file system, not what a flash holds");
    if ((out->flags & FLAG_FAMILY) == 0)
        out->family = 0;
    return TRUE;
}

/* The block's number: within the total, and new. */
static gboolean count(Reader *r, const Block *block, GError **error)
{
    if (r->n_taken == 0) {
        if (block->n_blocks == 0 || block->n_blocks > IMP_UF2_BLOCKS_MAX)
            return imp_reader_fault(r->in, error, "it says that there are %u blocks; possible are 1 to %u",
                                    block->n_blocks, IMP_UF2_BLOCKS_MAX);
        r->n_blocks = block->n_blocks;
        g_byte_array_set_size(r->seen, r->n_blocks);
        for (guint32 i = 0; i < r->n_blocks; i++)
            r->seen->data[i] = 0;
    }
    if (block->n_blocks != r->n_blocks)
        return imp_reader_fault(r->in, error, "it says that there are %u blocks, the blocks before it say %u",
                                block->n_blocks, r->n_blocks);
    if (block->number >= r->n_blocks)
        return imp_reader_fault(r->in, error, "its number is %u, but there are %u blocks, counted from 0",
                                block->number, r->n_blocks);
    if (r->seen->data[block->number])
        return imp_reader_fault(r->in, error, "its number is %u, which another block has", block->number);
    r->seen->data[block->number] = 1;
    r->n_taken++;
    return TRUE;
}

static gboolean take_block(Reader *r, const guint8 *bytes, GError **error)
{
    Block block = {0};
    if (!decode(r, bytes, &block, error))
        return FALSE;
    gboolean has_family = (block.flags & FLAG_FAMILY) != 0;
    if (has_family)
        g_hash_table_add(r->families, GUINT_TO_POINTER(block.family));
    if (r->wanted != NULL && (!has_family || block.family != *r->wanted))
        return TRUE;
    if (!r->any) {
        r->any = TRUE;
        r->first_has_family = has_family;
        r->first_family = block.family;
    } else if (has_family != r->first_has_family || block.family != r->first_family) {
        if (has_family && r->first_has_family)
            return imp_reader_fault(
                r->in, error,
                "the file holds programs for several families of chips (0x%08X and 0x%08X): "
                "say which one is meant (family: 0x%08X)",
                r->first_family, block.family, r->first_family);
        return imp_reader_fault(r->in, error,
                                "some blocks of the file name a family of chips, others do not");
    }
    if (!count(r, &block, error))
        return FALSE;
    return (block.flags & FLAG_NOT_MAIN) ||
           imp_reader_add(r->in, block.address, block.data, block.n_bytes, error);
}

/* Nothing was taken, so the file has nothing for the family that was asked for. */
static void refuse_family(const Reader *r, GError **error)
{
    GHashTableIter iter;
    gpointer family;
    g_autoptr(GString) there = g_string_new(NULL);
    g_hash_table_iter_init(&iter, r->families);
    for (guint i = 0; i < 4 && g_hash_table_iter_next(&iter, &family, NULL); i++)
        g_string_append_printf(there, "%s0x%08X", i ? ", " : "; it has: ", GPOINTER_TO_UINT(family));
    imp_error_set(error, IMP_E_DATA_FILE, "%s: there is nothing for the family 0x%08X%s", r->in->what,
                  *r->wanted, there->len ? there->str : "; it names no family");
}

static gboolean complete(const Reader *r, GError **error)
{
    for (guint32 i = 0; i < r->n_blocks; i++)
        if (!r->seen->data[i]) {
            imp_error_set(error, IMP_E_DATA_FILE, "%s: block number %u of %u is missing: the file is cut off",
                          r->in->what, i, r->n_blocks);
            return FALSE;
        }
    return TRUE;
}

ImpPieces *imp_uf2_parse(const guint8 *file, gsize n_file, const guint32 *family, gsize max_bytes,
                         const char *what, GError **error)
{
    g_auto(ImpReader) in = {0};
    imp_reader_init(&in, what, "block", max_bytes);
    g_autoptr(GByteArray) seen = g_byte_array_new();
    g_autoptr(GHashTable) families = g_hash_table_new(NULL, NULL);
    Reader r = {.in = &in, .wanted = family, .seen = seen, .families = families};
    if (n_file == 0 || n_file % IMP_UF2_BLOCK_BYTES != 0) {
        imp_error_set(error, IMP_E_DATA_FILE, "%s: %zu bytes are no whole number of blocks of %d bytes", what,
                      n_file, IMP_UF2_BLOCK_BYTES);
        return NULL;
    }
    for (gsize at = 0; at < n_file; at += IMP_UF2_BLOCK_BYTES) {
        in.number = (guint32)(at / IMP_UF2_BLOCK_BYTES);
        in.offset = at;
        if (!take_block(&r, file + at, error))
            return NULL;
    }
    if (!r.any) {
        refuse_family(&r, error);
        return NULL;
    }
    return complete(&r, error) ? imp_reader_finish(&in, error) : NULL;
}
