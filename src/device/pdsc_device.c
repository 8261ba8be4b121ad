/* Inheritance: what a description says of one device (specification, "/package/devices element"). */
#include "device/pdsc-internal.h"

#include <string.h>

#define LEVELS_MAX 4

typedef struct {
    const ImpPdsc *pdsc;
    const PdscLevel *chain[LEVELS_MAX]; /* outermost first */
    guint n_levels;
    const char *name; /* the device's, for messages */
} Resolver;

/* A processor as its attributes have added up. */
typedef struct {
    const char *pname, *core, *clock; /* borrowed; NULL = not told */
} Processor;

static gboolean refuse(const Resolver *r, GError **error, guint line, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
static gboolean refuse(const Resolver *r, GError **error, guint line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    imp_error_set(error, IMP_E_PACK_FILE, "%s:%u: %s: %s", r->pdsc->what, line, r->name, why);
    return FALSE;
}

static gboolean same(const char *a, const char *b)
{
    return a != NULL && b != NULL ? g_ascii_strcasecmp(a, b) == 0 : a == b;
}

static gboolean is_true(const char *text)
{
    return text != NULL && (strcmp(text, "1") == 0 || g_ascii_strcasecmp(text, "true") == 0);
}

static void add_up(Processor *processor, const PdscProperty *property)
{
    if (property->text[PDSC_CORE] != NULL)
        processor->core = property->text[PDSC_CORE];
    if (property->text[PDSC_CLOCK] != NULL)
        processor->clock = property->text[PDSC_CLOCK];
}

/* One processor element: without a name it speaks of all that there are. */
static void take_processor(GArray *processors, const PdscProperty *property)
{
    const char *pname = property->text[PDSC_PNAME];
    Processor fresh = {.pname = pname};
    gboolean found = FALSE;
    for (guint i = 0; i < processors->len; i++) {
        Processor *processor = &g_array_index(processors, Processor, i);
        if (processor->pname == NULL && pname != NULL)
            fresh = (Processor){pname, processor->core, processor->clock};
        if (pname == NULL || same(processor->pname, pname)) {
            add_up(processor, property);
            found = TRUE;
        }
    }
    if (found || processors->len >= IMP_PDSC_OF_DEVICE_MAX)
        return;
    add_up(&fresh, property);
    g_array_append_val(processors, fresh);
}

static GArray *list_processors(const Resolver *r)
{
    GArray *processors = g_array_new(FALSE, TRUE, sizeof(Processor));
    gboolean named = FALSE;
    for (guint i = 0; i < r->n_levels; i++)
        for (guint k = 0; k < r->chain[i]->properties->len; k++) {
            const PdscProperty *property = r->chain[i]->properties->pdata[k];
            if (property->kind == PDSC_PROCESSOR)
                take_processor(processors, property);
        }
    for (guint i = 0; i < processors->len; i++)
        named = named || g_array_index(processors, Processor, i).pname != NULL;
    for (guint i = processors->len; named && i > 0; i--) /* it only stood for those with a name */
        if (g_array_index(processors, Processor, i - 1).pname == NULL)
            g_array_remove_index(processors, i - 1);
    return processors;
}

static gboolean is_m_profile(const Processor *processor)
{
    return processor->core != NULL && (g_ascii_strncasecmp(processor->core, "Cortex-M", 8) == 0 ||
                                       g_ascii_strncasecmp(processor->core, "SC", 2) == 0 ||
                                       g_ascii_strncasecmp(processor->core, "Star-MC", 7) == 0);
}

static char *core_names(const GArray *processors)
{
    GString *names = g_string_new("");
    for (guint i = 0; i < processors->len; i++) {
        const Processor *processor = &g_array_index(processors, Processor, i);
        g_string_append_printf(names, "%s%s",
                               i == 0                     ? ""
                               : i + 1 == processors->len ? " and "
                                                          : ", ",
                               processor->pname != NULL ? processor->pname : "(without name)");
    }
    return g_string_free(names, FALSE);
}

static gboolean choose_core(const Resolver *r, const GArray *processors, const char *pname, Processor *out,
                            GError **error)
{
    const Processor *chosen = NULL;
    guint matches = 0;
    for (guint i = 0; i < processors->len; i++) {
        const Processor *processor = &g_array_index(processors, Processor, i);
        if (pname != NULL ? same(processor->pname, pname) : processors->len == 1 || is_m_profile(processor)) {
            chosen = processor;
            matches++;
        }
    }
    if (matches == 1 && chosen->core != NULL) {
        *out = *chosen;
        return TRUE;
    }
    g_autofree char *names = core_names(processors);
    if (processors->len == 0 || (matches == 1 && chosen->core == NULL))
        return refuse(r, error, 1, "the pack does not say which core it has");
    if (matches == 0)
        imp_error_set(error, IMP_E_DEVICE_UNKNOWN, "%s has no core '%s'; it has %s", r->name,
                      pname != NULL ? pname : "Cortex-M", names);
    else
        imp_error_set(error, IMP_E_DEVICE_AMBIGUOUS, "%s has the cores %s: write %s:%s, for one of them",
                      r->name, names, r->name, chosen->pname != NULL ? chosen->pname : "CORE");
    return FALSE;
}

/* TRUE if the element speaks of this core. */
static gboolean concerns(const PdscProperty *property, const char *pname)
{
    return property->text[PDSC_PNAME] == NULL || same(property->text[PDSC_PNAME], pname);
}

static gboolean number(const Resolver *r, const PdscProperty *property, PdscAttribute which, guint64 *out,
                       GError **error)
{
    return imp_pdsc_number(property->text[which], out) ||
           refuse(r, error, property->line, "'%s' is not a number", property->text[which]);
}

/* access since 1.4; before, the kind of memory was its id: IRAM, IROM, RAM, ROM with a number. */
static void take_access(ImpPdscMemory *memory, const PdscProperty *property)
{
    const char *access = property->text[PDSC_ACCESS], *id = property->text[PDSC_ID];
    if (access != NULL) {
        memory->readable = strchr(access, 'r') != NULL;
        memory->writable = strchr(access, 'w') != NULL;
        memory->executable = strchr(access, 'x') != NULL;
    } else if (id != NULL) {
        memory->readable = memory->executable = TRUE;
        memory->writable = strstr(id, "RAM") != NULL;
    }
}

static gboolean take_memory(const Resolver *r, ImpPdscDevice *device, const PdscProperty *property,
                            GError **error)
{
    const char *name =
        property->text[PDSC_NAME] != NULL ? property->text[PDSC_NAME] : property->text[PDSC_ID];
    ImpPdscMemory *memory = NULL;
    for (guint i = 0; name != NULL && i < device->memories->len; i++)
        if (same(g_array_index(device->memories, ImpPdscMemory, i).name, name))
            memory = &g_array_index(device->memories, ImpPdscMemory, i);
    if (memory == NULL) {
        if (device->memories->len >= IMP_PDSC_OF_DEVICE_MAX)
            return refuse(r, error, property->line, "more than %d memories", IMP_PDSC_OF_DEVICE_MAX);
        ImpPdscMemory fresh = {.name = g_strdup(name != NULL ? name : "")};
        g_array_append_val(device->memories, fresh);
        memory = &g_array_index(device->memories, ImpPdscMemory, device->memories->len - 1);
    }
    take_access(memory, property);
    if (property->text[PDSC_DEFAULT] != NULL)
        memory->is_default = is_true(property->text[PDSC_DEFAULT]);
    return (property->text[PDSC_START] == NULL || number(r, property, PDSC_START, &memory->start, error)) &&
           (property->text[PDSC_SIZE] == NULL || number(r, property, PDSC_SIZE, &memory->size_bytes, error));
}

/* "Flash\x.FLM" as "Flash/x.FLM"; NULL if the path is absolute or leads out of the pack. Free with g_free. */
static char *inner_path(const char *path)
{
    g_autofree char *slashes = g_strdelimit(g_strdup(path), "\\", '/');
    g_auto(GStrv) parts = g_strsplit(slashes, "/", -1);
    g_autoptr(GString) clean = g_string_new("");
    for (char **part = parts; *part != NULL; part++) {
        if (strcmp(*part, "..") == 0 || strchr(*part, ':') != NULL || (part == parts && **part == '\0'))
            return NULL;
        if (**part == '\0' || strcmp(*part, ".") == 0)
            continue;
        g_string_append_printf(clean, "%s%s", clean->len > 0 ? "/" : "", *part);
    }
    for (const char *c = clean->str; *c != '\0'; c++)
        if (g_ascii_iscntrl(*c))
            return NULL;
    return clean->len > 0 ? g_strdup(clean->str) : NULL;
}

/* Styles other than these are files that only their own tools can read. */
static gboolean is_usable(const PdscProperty *property)
{
    const char *style = property->text[PDSC_STYLE], *endian = property->text[PDSC_ENDIAN];
    return (style == NULL || same(style, "Keil") || same(style, "CMSIS")) &&
           (endian == NULL || !same(endian, "Big-endian"));
}

static gboolean read_algorithm(const Resolver *r, const PdscProperty *property, guint level,
                               ImpPdscAlgorithm *out, GError **error)
{
    char *const *text = property->text;
    if (text[PDSC_NAME] == NULL)
        return refuse(r, error, property->line, "an algorithm has no name");
    ImpPdscAlgorithm a = {.is_default = is_true(text[PDSC_DEFAULT]), .level = level};
    a.has_range = text[PDSC_START] != NULL && text[PDSC_SIZE] != NULL;
    a.has_ram = text[PDSC_RAM_START] != NULL && text[PDSC_RAM_SIZE] != NULL;
    if (a.has_range && (!number(r, property, PDSC_START, &a.start, error) ||
                        !number(r, property, PDSC_SIZE, &a.size_bytes, error)))
        return FALSE;
    if (a.has_ram && (!number(r, property, PDSC_RAM_START, &a.ram_start, error) ||
                      !number(r, property, PDSC_RAM_SIZE, &a.ram_bytes, error)))
        return FALSE;
    a.has_range = a.has_range && a.size_bytes > 0;
    a.has_ram = a.has_ram && a.ram_bytes > 0;
    a.file = inner_path(text[PDSC_NAME]);
    if (a.file == NULL)
        return refuse(r, error, property->line, "the algorithm '%s' would lie outside the pack",
                      text[PDSC_NAME]);
    *out = a;
    return TRUE;
}

static void clear_algorithm(gpointer data)
{
    g_free(((ImpPdscAlgorithm *)data)->file);
}

static void clear_memory(gpointer data)
{
    g_free(((ImpPdscMemory *)data)->name);
}

/* The lower level goes before a higher one with the same range, and with the same file. */
static gboolean take_algorithm(const Resolver *r, ImpPdscDevice *device, const PdscProperty *property,
                               guint level, GError **error)
{
    ImpPdscAlgorithm fresh;
    if (!is_usable(property))
        return TRUE;
    if (!read_algorithm(r, property, level, &fresh, error))
        return FALSE;
    for (guint i = 0; i < device->algorithms->len; i++) {
        ImpPdscAlgorithm *old = &g_array_index(device->algorithms, ImpPdscAlgorithm, i);
        gboolean same_range = old->has_range && fresh.has_range && old->start == fresh.start &&
                              old->size_bytes == fresh.size_bytes;
        gboolean same_place =
            same(old->file, fresh.file) && (!old->has_range || !fresh.has_range || old->start == fresh.start);
        if ((same_range && old->level < level) || same_place) {
            g_free(old->file);
            *old = fresh;
            return TRUE;
        }
    }
    if (device->algorithms->len >= IMP_PDSC_OF_DEVICE_MAX) {
        g_free(fresh.file);
        return refuse(r, error, property->line, "more than %d algorithms", IMP_PDSC_OF_DEVICE_MAX);
    }
    g_array_append_val(device->algorithms, fresh);
    return TRUE;
}

/* __apid names an accessportV1 or V2 element by its __apid. */
static gboolean take_access_port(const Resolver *r, ImpPdscDevice *device, const char *apid, GError **error)
{
    for (guint i = 0; i < r->n_levels; i++)
        for (guint k = 0; k < r->chain[i]->properties->len; k++) {
            const PdscProperty *port = r->chain[i]->properties->pdata[k];
            guint64 index = 0, dp = 0;
            if (port->kind != PDSC_ACCESS_PORT || !same(port->text[PDSC_APID], apid))
                continue;
            device->adiv6 = port->text[PDSC_ADDRESS] != NULL;
            if ((port->text[PDSC_INDEX] != NULL && !number(r, port, PDSC_INDEX, &index, error)) ||
                (port->text[PDSC_DP] != NULL && !number(r, port, PDSC_DP, &dp, error)))
                return FALSE;
            device->access_port = (guint)MIN(index, G_MAXUINT);
            device->debug_port = (guint)MIN(dp, G_MAXUINT);
        }
    return TRUE;
}

static gboolean take_debug(const Resolver *r, ImpPdscDevice *device, const PdscProperty *property,
                           GError **error)
{
    guint64 value = 0;
    if (property->text[PDSC_DP] != NULL) {
        if (!number(r, property, PDSC_DP, &value, error))
            return FALSE;
        device->debug_port = (guint)MIN(value, G_MAXUINT);
    }
    if (property->text[PDSC_AP] != NULL) {
        if (!number(r, property, PDSC_AP, &value, error))
            return FALSE;
        device->access_port = (guint)MIN(value, G_MAXUINT);
    }
    return property->text[PDSC_APID] == NULL || take_access_port(r, device, property->text[PDSC_APID], error);
}

static gboolean take_properties(const Resolver *r, ImpPdscDevice *device, GError **error)
{
    for (guint i = 0; i < r->n_levels; i++)
        for (guint k = 0; k < r->chain[i]->properties->len; k++) {
            const PdscProperty *property = r->chain[i]->properties->pdata[k];
            gboolean good = TRUE;
            if (!concerns(property, device->pname))
                continue;
            if (property->kind == PDSC_MEMORY)
                good = take_memory(r, device, property, error);
            else if (property->kind == PDSC_ALGORITHM)
                good = take_algorithm(r, device, property, r->chain[i]->depth, error);
            else if (property->kind == PDSC_DEBUG)
                good = take_debug(r, device, property, error);
            if (!good)
                return FALSE;
        }
    return TRUE;
}

ImpPdscDevice *imp_pdsc_resolve(const ImpPdsc *pdsc, gsize index, const char *pname, GError **error)
{
    Resolver r = {.pdsc = pdsc, .name = imp_pdsc_device_name(pdsc, index)};
    for (const PdscLevel *level = pdsc->devices->pdata[index]; level != NULL; level = level->parent)
        r.n_levels++;
    guint at = r.n_levels;
    g_assert(at <= LEVELS_MAX);
    for (const PdscLevel *level = pdsc->devices->pdata[index]; level != NULL; level = level->parent)
        r.chain[--at] = level;
    g_autoptr(GArray) processors = list_processors(&r);
    Processor core = {0};
    if (!choose_core(&r, processors, pname, &core, error))
        return NULL;
    g_autoptr(ImpPdscDevice) device = g_new0(ImpPdscDevice, 1);
    device->name = g_strdup(r.name);
    device->vendor = g_strdup(imp_pdsc_device_vendor(pdsc, index));
    device->family = g_strdup(imp_pdsc_device_family(pdsc, index));
    device->core = g_strdup(core.core);
    device->pname = g_strdup(core.pname);
    if (core.clock != NULL && !imp_pdsc_number(core.clock, &device->clock_hz))
        device->clock_hz = 0;
    device->memories = g_array_new(FALSE, TRUE, sizeof(ImpPdscMemory));
    g_array_set_clear_func(device->memories, clear_memory);
    device->algorithms = g_array_new(FALSE, TRUE, sizeof(ImpPdscAlgorithm));
    g_array_set_clear_func(device->algorithms, clear_algorithm);
    return take_properties(&r, device, error) ? g_steal_pointer(&device) : NULL;
}

void imp_pdsc_device_free(ImpPdscDevice *device)
{
    if (device == NULL)
        return;
    g_free(device->name);
    g_free(device->vendor);
    g_free(device->family);
    g_free(device->core);
    g_free(device->pname);
    g_clear_pointer(&device->memories, g_array_unref);
    g_clear_pointer(&device->algorithms, g_array_unref);
    g_free(device);
}

GPtrArray *imp_pdsc_algorithm_files(const ImpPdsc *pdsc, GError **error)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < pdsc->levels->len; i++) {
        const PdscLevel *level = pdsc->levels->pdata[i];
        const Resolver r = {.pdsc = pdsc, .name = level->name};
        for (guint k = 0; k < level->properties->len; k++) {
            const PdscProperty *property = level->properties->pdata[k];
            ImpPdscAlgorithm algorithm;
            if (property->kind != PDSC_ALGORITHM || !is_usable(property))
                continue;
            if (!read_algorithm(&r, property, level->depth, &algorithm, error))
                return NULL;
            if (g_hash_table_contains(seen, algorithm.file)) {
                g_free(algorithm.file);
                continue;
            }
            g_hash_table_add(seen, algorithm.file);
            g_ptr_array_add(files, algorithm.file);
        }
    }
    return g_steal_pointer(&files);
}
