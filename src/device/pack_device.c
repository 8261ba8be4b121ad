#include "device/pack_device.h"

#include "base/error.h"
#include "device/flm.h"

#include <string.h>

#define SPACE_END (G_GUINT64_CONSTANT(1) << 32)
/* CPUID (ARM DDI 0403, B3.2.3; DDI 0553, CPUID): implementer and part; variant, architecture and revision are left open. */
#define CPUID_ADDRESS 0xE000ED00u
#define CPUID_MASK    0xFF00FFF0u
/* What a programmer puts into RAM beside algorithms and pages: runner, stack, tables; the stack is larger where RAM is. */
#define RUNNER_BYTES   (m->device->ram_bytes >= 64u * 1024 ? 7168u : 3072u)
#define PAGE_BYTES_MIN 64u

/* Core by its name in a description (PACK.xsd, DcoreEnum), and what CPUID says of it. */
static const struct {
    const char *name, *core;
    guint32 cpuid;
} cores[] = {
    {"Cortex-M0", "cortex-m0", 0x4100C200u},
    {"Cortex-M0+", "cortex-m0plus", 0x4100C600u},
    {"Cortex-M1", "cortex-m1", 0x4100C210u},
    {"Cortex-M3", "cortex-m3", 0x4100C230u},
    {"Cortex-M4", "cortex-m4", 0x4100C240u},
    {"Cortex-M7", "cortex-m7", 0x4100C270u},
    {"Cortex-M23", "cortex-m23", 0x4100D200u},
    {"Cortex-M33", "cortex-m33", 0x4100D210u},
    {"Cortex-M35P", "cortex-m35p", 0x4100D310u},
    {"Cortex-M52", "cortex-m52", 0x4100D240u},
    {"Cortex-M55", "cortex-m55", 0x4100D220u},
    {"Cortex-M85", "cortex-m85", 0x4100D230u},
    {"SC000", "sc000", 0},
    {"SC300", "sc300", 0},
    {"Star-MC1", "star-mc1", 0},
    {"Star-MC3", "star-mc3", 0},
};

typedef struct {
    ImpPack *pack;
    const ImpPdscDevice *from;
    GPtrArray *notes; /* may be NULL */
    ImpDevice *device;
    const char *const *wanted; /* may be NULL */
    GPtrArray *algorithms; /* of ImpAlgorithm, chosen so far */
    GPtrArray *sources; /* of ImpPdscAlgorithm: what each of them is made of; borrowed */
    GPtrArray *contested; /* of ImpAlgorithm: memories for which several are there, and none */
    GError *first; /* why the first algorithm that cannot be used cannot */
} Maker;

static void note(const Maker *m, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void note(const Maker *m, const char *format, ...)
{
    if (m->notes == NULL)
        return;
    va_list args;
    va_start(args, format);
    g_ptr_array_add(m->notes, g_strdup_vprintf(format, args));
    va_end(args);
}

static gboolean take_core(Maker *m, GError **error)
{
    const ImpPdscDevice *from = m->from;
    gsize i = 0;
    while (i < G_N_ELEMENTS(cores) && g_ascii_strcasecmp(from->core, cores[i].name) != 0)
        i++;
    if (i == G_N_ELEMENTS(cores)) {
        imp_error_set(error, IMP_E_UNSUPPORTED, "%s has a core %s; Imprint programs chips with a Cortex-M",
                      from->name, from->core);
        return FALSE;
    }
    if (from->debug_port != 0 || from->adiv6) {
        imp_error_set(error, IMP_E_UNSUPPORTED, "%s: its core is reached through %s, which Imprint cannot do",
                      from->name,
                      from->adiv6 ? "an access port of ADIv6" : "another debug port than the first");
        return FALSE;
    }
    if (from->access_port > IMP_DEVICE_AP_MAX) {
        imp_error_set(error, IMP_E_PACK_FILE, "%s: there is no access port %u", from->name,
                      from->access_port);
        return FALSE;
    }
    m->device->core = g_strdup(cores[i].core);
    m->device->access_port = from->access_port;
    if (cores[i].cpuid != 0) {
        m->device->checks = g_new0(ImpDeviceCheck, 1);
        m->device->n_checks = 1;
        m->device->checks[0] = (ImpDeviceCheck){CPUID_ADDRESS, CPUID_MASK, cores[i].cpuid,
                                                g_strdup_printf("CPUID is that of a %s", cores[i].name)};
    }
    return TRUE;
}

/* The largest RAM that an algorithm in use asks for: all of them may be loaded together. Where none asks, the first default memory
 * that can be written and executed (specification, "algorithm": RAMstart). */
static gboolean take_ram(Maker *m, GError **error)
{
    guint64 start = 0, size_bytes = 0;
    for (guint i = 0; i < m->sources->len; i++) {
        const ImpPdscAlgorithm *from = m->sources->pdata[i];
        if (from->has_ram && from->ram_bytes > size_bytes) {
            start = from->ram_start;
            size_bytes = from->ram_bytes;
        }
    }
    for (guint pass = 0; pass < 2 && size_bytes == 0; pass++)
        for (guint i = 0; i < m->from->memories->len && size_bytes == 0; i++) {
            const ImpPdscMemory *memory = &g_array_index(m->from->memories, ImpPdscMemory, i);
            if (memory->writable && memory->executable && (memory->is_default || pass == 1)) {
                start = memory->start;
                size_bytes = memory->size_bytes;
            }
        }
    if (size_bytes == 0 || start >= SPACE_END || size_bytes > SPACE_END - start) {
        imp_error_set(error, IMP_E_PACK_FILE,
                      "%s: the pack names no RAM in which a flash algorithm could run", m->from->name);
        return FALSE;
    }
    m->device->ram_start = start;
    m->device->ram_bytes = (guint32)MIN(size_bytes, G_MAXUINT32);
    return TRUE;
}

/* Where the memory that begins at start ends, neighbours that go on included; 0 if none begins there. */
static guint64 memory_end(const Maker *m, guint64 start)
{
    guint64 end = start;
    gboolean more = TRUE;
    while (more) {
        more = FALSE;
        for (guint i = 0; i < m->from->memories->len; i++) {
            const ImpPdscMemory *memory = &g_array_index(m->from->memories, ImpPdscMemory, i);
            if (memory->start == end && !memory->writable && memory->size_bytes > 0 &&
                memory->size_bytes <= SPACE_END - end) {
                end += memory->size_bytes;
                more = TRUE;
            }
        }
    }
    return end > start ? end : 0;
}

/* Cuts the algorithm to first..end, both on borders of sectors. */
static void cut(ImpAlgorithm *a, guint64 first, guint64 end)
{
    guint keep = 0;
    for (gsize i = 0; i < a->n_sectors; i++) {
        ImpSectorRun run = a->sectors[i];
        guint64 run_end = i + 1 < a->n_sectors ? a->sectors[i + 1].start : a->start + a->size_bytes;
        if (run_end <= first || run.start >= end)
            continue;
        run.start = MAX(run.start, first);
        a->sectors[keep++] = run;
    }
    a->n_sectors = keep;
    a->start = first;
    a->size_bytes = end - first;
}

/* The file says what it can program, the description what of it this device has: a family's file may be for its largest. A
 * sector that is only begun is there as a whole. FALSE: they have nothing in common. */
static gboolean fit_range(const Maker *m, const ImpPdscAlgorithm *from, ImpAlgorithm *a)
{
    guint64 first = a->start, end = a->start + a->size_bytes, sector;
    guint32 sector_bytes;
    if (from->has_range) {
        first = MAX(first, from->start);
        end = MIN(end, from->size_bytes <= SPACE_END - MIN(from->start, SPACE_END)
                           ? from->start + from->size_bytes
                           : SPACE_END);
    }
    guint64 memory = memory_end(m, first);
    if (memory != 0)
        end = MIN(end, memory);
    if (first >= end)
        return FALSE;
    imp_algorithm_sector_at(a, first, &sector, &sector_bytes);
    first = sector;
    imp_algorithm_sector_at(a, end - 1, &sector, &sector_bytes);
    cut(a, first, sector + sector_bytes);
    return TRUE;
}

/* ProgramPage takes less than a page; where RAM does not hold two, it gets halves. */
static void fit_page(const Maker *m, ImpAlgorithm *a)
{
    gsize blob_bytes = g_bytes_get_size(a->blob);
    while (a->page_bytes % 8 == 0 && a->page_bytes / 2 >= PAGE_BYTES_MIN &&
           blob_bytes + RUNNER_BYTES + 2 * (gsize)a->page_bytes > m->device->ram_bytes)
        a->page_bytes /= 2;
}

static gboolean do_overlap(const ImpAlgorithm *a, const ImpAlgorithm *b)
{
    return a->start < b->start + b->size_bytes && b->start < a->start + a->size_bytes;
}

/* "Flash/X.FLM" is called X. */
static gboolean is_called(const ImpPdscAlgorithm *from, const char *name)
{
    g_autofree char *base = g_path_get_basename(from->file);
    char *dot = strrchr(base, '.');
    if (dot != NULL)
        *dot = '\0';
    return g_ascii_strcasecmp(base, name) == 0;
}

static gboolean is_wanted(const Maker *m, const ImpPdscAlgorithm *from)
{
    for (const char *const *name = m->wanted; name != NULL && *name != NULL; name++)
        if (is_called(from, *name))
            return TRUE;
    return FALSE;
}

/* Which goes before which, where two are for the same memory. */
static int rank(const Maker *m, const ImpPdscAlgorithm *from)
{
    return is_wanted(m, from) ? 8 : from->is_default ? 4 : (int)from->level;
}

static gboolean check_wanted(const Maker *m, GError **error)
{
    for (const char *const *name = m->wanted; name != NULL && *name != NULL; name++) {
        gboolean found = FALSE;
        for (guint i = 0; i < m->from->algorithms->len; i++)
            found = found || is_called(&g_array_index(m->from->algorithms, ImpPdscAlgorithm, i), *name);
        if (found)
            continue;
        imp_error_set(error, IMP_E_DEVICE_UNKNOWN,
                      "%s has no flash algorithm '%s'; imprint device show %s names all", m->from->name,
                      *name, m->from->name);
        return FALSE;
    }
    return TRUE;
}

/* What stands in the way of a; NULL if nothing does. Two of one rank, neither the default nor wanted, put each other out. */
static gboolean makes_way(Maker *m, const ImpPdscAlgorithm *from, const ImpAlgorithm *a)
{
    for (guint i = 0; i < m->contested->len; i++)
        if (do_overlap(a, m->contested->pdata[i]) && rank(m, from) < 4) {
            note(m, "%s is not used: several are for the same memory; to use it, name it: %s with NAME",
                 from->file, m->from->name);
            return TRUE;
        }
    for (guint i = 0; i < m->algorithms->len; i++) {
        const ImpPdscAlgorithm *other = m->sources->pdata[i];
        if (!do_overlap(a, m->algorithms->pdata[i]))
            continue;
        if (rank(m, other) == rank(m, from) && rank(m, from) < 4) {
            note(m, "%s and %s are not used: both are for the same memory; to use one, name it: %s with NAME",
                 other->file, from->file, m->from->name);
            g_ptr_array_remove_index(m->sources, i);
            g_ptr_array_add(m->contested, g_ptr_array_steal_index(m->algorithms, i));
        } else {
            note(m, "%s is not used: %s is for the same memory", from->file, other->file);
        }
        return TRUE;
    }
    return FALSE;
}

static void leave_out(Maker *m, const ImpPdscAlgorithm *from, GError *why)
{
    note(m, "%s is not used: %s", from->file, why->message);
    if (m->first == NULL)
        m->first = why;
    else
        g_error_free(why);
}

static void take_algorithm(Maker *m, const ImpPdscAlgorithm *from)
{
    GError *why = NULL;
    g_autoptr(GBytes) file = imp_pack_read(m->pack, from->file, &why);
    g_autoptr(ImpAlgorithm) a = file != NULL ? imp_flm_parse(file, from->file, &why) : NULL;
    if (a == NULL) {
        leave_out(m, from, why);
        return;
    }
    if (!fit_range(m, from, a)) {
        imp_error_set(&why, IMP_E_ALGORITHM_FILE,
                      "it programs 0x%08" G_GINT64_MODIFIER "X to 0x%08" G_GINT64_MODIFIER
                      "X, of which the device has nothing",
                      a->start, a->start + a->size_bytes - 1);
        leave_out(m, from, why);
        return;
    }
    if (makes_way(m, from, a))
        return;
    if (m->algorithms->len >= IMP_DEVICE_ALGORITHMS_MAX) {
        note(m, "%s is not used: a device has at most %d algorithms", from->file, IMP_DEVICE_ALGORITHMS_MAX);
        return;
    }
    a->spared = !from->is_default;
    g_ptr_array_add(m->sources, (gpointer)from);
    g_ptr_array_add(m->algorithms, g_steal_pointer(&a));
}

/* What is wanted goes before the default, that before others, the inner level before the outer, the first before the second. */
static void rank_all(const Maker *m, GPtrArray *ranked)
{
    for (int wanted = 8; wanted >= 0; wanted--)
        for (guint i = 0; i < m->from->algorithms->len; i++) {
            ImpPdscAlgorithm *from = &g_array_index(m->from->algorithms, ImpPdscAlgorithm, i);
            if (rank(m, from) == wanted)
                g_ptr_array_add(ranked, from);
        }
}

static gint compare_start(gconstpointer a, gconstpointer b)
{
    const ImpAlgorithm *const *x = a, *const *y = b;
    return (*x)->start < (*y)->start ? -1 : (*x)->start > (*y)->start;
}

/* TRUE if the algorithm's memory begins in one that is the device's default (or in any, where that does not count). */
static gboolean is_of_memory(const Maker *m, const ImpAlgorithm *a, gboolean only_default)
{
    for (guint i = 0; i < m->from->memories->len; i++) {
        const ImpPdscMemory *memory = &g_array_index(m->from->memories, ImpPdscMemory, i);
        if (!memory->writable && (memory->is_default || !only_default) && a->start >= memory->start &&
            a->start - memory->start < memory->size_bytes)
            return TRUE;
    }
    return FALSE;
}

/* Which memories erasing everything means: those of default algorithms, or where there are none, those that the pack lists; of
 * these, where there are some, those in a default memory: one flash may be seen at several addresses (secure and not, by
 * another bus), each with an algorithm of its own. */
static void spare_others(Maker *m)
{
    gboolean some_default = FALSE, some_memory = FALSE;
    ImpAlgorithm **algorithms = (ImpAlgorithm **)m->algorithms->pdata;
    for (guint i = 0; i < m->algorithms->len; i++)
        some_default = some_default || !algorithms[i]->spared;
    for (guint i = 0; !some_default && i < m->algorithms->len; i++)
        algorithms[i]->spared = !is_of_memory(m, algorithms[i], FALSE);
    for (guint i = 0; i < m->algorithms->len; i++)
        some_memory = some_memory || (!algorithms[i]->spared && is_of_memory(m, algorithms[i], TRUE));
    for (guint i = 0; some_memory && i < m->algorithms->len; i++)
        algorithms[i]->spared = algorithms[i]->spared || !is_of_memory(m, algorithms[i], TRUE);
}

static gboolean take_algorithms(Maker *m, GError **error)
{
    if (!check_wanted(m, error))
        return FALSE;
    g_autoptr(GPtrArray) ranked = g_ptr_array_new();
    rank_all(m, ranked);
    for (guint i = 0; i < ranked->len; i++)
        take_algorithm(m, ranked->pdata[i]);
    if (m->algorithms->len == 0 && m->first != NULL) {
        g_propagate_prefixed_error(error, g_steal_pointer(&m->first), "%s: ", m->from->name);
        return FALSE;
    }
    if (m->algorithms->len == 0) {
        imp_error_set(error, IMP_E_PACK_FILE, "%s: the pack has no flash algorithm for it", m->from->name);
        return FALSE;
    }
    g_ptr_array_sort(m->algorithms, compare_start); /* sources are in their order no more */
    spare_others(m);
    return TRUE;
}

static void finish(Maker *m)
{
    ImpDevice *device = m->device;
    for (guint i = 0; i < m->algorithms->len; i++)
        fit_page(m, m->algorithms->pdata[i]);
    device->name = g_strdup(m->from->name);
    device->core_hz = IMP_PACK_CORE_HZ;
    device->n_algorithms = m->algorithms->len;
    device->algorithms = (ImpAlgorithm **)g_ptr_array_free(g_steal_pointer(&m->algorithms), FALSE);
    gboolean mass = device->n_algorithms == 1 && device->algorithms[0]->erase_chip != IMP_ENTRY_NONE;
    device->erase_all_algorithm = mass ? 0 : -1;
    device->unlock_algorithm = -1;
    if (mass)
        device->algorithms[0]->spared = FALSE;
}

ImpDevice *imp_pack_device(ImpPack *pack, gsize index, const char *pname, const char *const *wanted,
                           GPtrArray *notes, GError **error)
{
    g_autoptr(ImpPdscDevice) from = imp_pdsc_resolve(imp_pack_pdsc(pack), index, pname, error);
    if (from == NULL)
        return NULL;
    g_autoptr(ImpDevice) device = g_new0(ImpDevice, 1);
    g_autoptr(GPtrArray) sources = g_ptr_array_new();
    g_autoptr(GPtrArray) contested = g_ptr_array_new_with_free_func((GDestroyNotify)imp_algorithm_free);
    Maker m = {.pack = pack,
               .from = from,
               .wanted = wanted,
               .notes = notes,
               .device = device,
               .sources = sources,
               .contested = contested};
    m.algorithms = g_ptr_array_new_with_free_func((GDestroyNotify)imp_algorithm_free);
    gboolean good = take_core(&m, error) && take_algorithms(&m, error) && take_ram(&m, error);
    if (good)
        finish(&m);
    g_clear_error(&m.first);
    g_clear_pointer(&m.algorithms, g_ptr_array_unref);
    return good ? g_steal_pointer(&device) : NULL;
}
