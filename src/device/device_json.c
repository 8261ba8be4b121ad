#include "device/device_json.h"

static void put_uint(json_t *object, const char *name, guint64 value)
{
    g_assert(value <= G_MAXINT64);
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void put_entry(json_t *object, const char *name, guint32 entry)
{
    if (entry != IMP_ENTRY_NONE)
        put_uint(object, name, entry);
}

static json_t *encode_algorithm(const ImpAlgorithm *algorithm, gsize blob)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(algorithm->name));
    put_uint(object, "blob", blob);
    put_uint(object, "static_base", algorithm->static_base);
    put_entry(object, "init", algorithm->init);
    put_entry(object, "uninit", algorithm->uninit);
    put_entry(object, "erase_chip", algorithm->erase_chip);
    put_entry(object, "erase_sector", algorithm->erase_sector);
    put_entry(object, "program_page", algorithm->program_page);
    put_entry(object, "blank_check", algorithm->blank_check);
    put_entry(object, "verify", algorithm->verify);
    put_uint(object, "start", algorithm->start);
    put_uint(object, "size_bytes", algorithm->size_bytes);
    put_uint(object, "page_bytes", algorithm->page_bytes);
    put_uint(object, "erased_byte", algorithm->erased_byte);
    put_uint(object, "program_ms_max", algorithm->program_ms_max);
    put_uint(object, "erase_ms_max", algorithm->erase_ms_max);
    json_t *sectors = json_array();
    for (gsize i = 0; i < algorithm->n_sectors; i++) {
        json_t *run = json_object();
        put_uint(run, "start", algorithm->sectors[i].start);
        put_uint(run, "size_bytes", algorithm->sectors[i].size_bytes);
        json_array_append_new(sectors, run);
    }
    json_object_set_new(object, "sectors", sectors);
    return object;
}

json_t *imp_device_encode(const ImpDevice *device, GPtrArray **out_blobs)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(device->name));
    json_object_set_new(object, "core", json_string(device->core));
    put_uint(object, "core_hz", device->core_hz);
    put_uint(object, "dpidr", device->dpidr);
    put_uint(object, "ram_start", device->ram_start);
    put_uint(object, "ram_bytes", device->ram_bytes);
    put_uint(object, "uid_address", device->uid_address);
    put_uint(object, "uid_bytes", device->uid_bytes);
    json_t *checks = json_array();
    for (gsize i = 0; i < device->n_checks; i++) {
        json_t *check = json_object();
        put_uint(check, "address", device->checks[i].address);
        put_uint(check, "mask", device->checks[i].mask);
        put_uint(check, "value", device->checks[i].value);
        json_object_set_new(check, "what", json_string(device->checks[i].what));
        json_array_append_new(checks, check);
    }
    json_object_set_new(object, "checks", checks);
    json_t *algorithms = json_array();
    for (gsize i = 0; i < device->n_algorithms; i++)
        json_array_append_new(algorithms, encode_algorithm(device->algorithms[i], i));
    json_object_set_new(object, "algorithms", algorithms);
    if (device->erase_all_algorithm >= 0)
        put_uint(object, "erase_all_algorithm", (guint64)device->erase_all_algorithm);
    if (out_blobs != NULL) {
        *out_blobs = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
        for (gsize i = 0; i < device->n_algorithms; i++)
            g_ptr_array_add(*out_blobs, g_bytes_ref(device->algorithms[i]->blob));
    }
    return object;
}

/* What the nested readers share. */
typedef struct {
    GBytes *const *blobs;
    gsize n_blobs;
    gboolean used[IMP_DEVICE_ALGORITHMS_MAX];
    ImpErrorCode wrong, unknown;
} Decoder;

/* A function's offset: even and inside the blob. */
static guint32 read_entry(ImpJson *r, const char *name, gboolean needed, gsize blob_bytes)
{
    if (!needed && !imp_json_has(r, name))
        return IMP_ENTRY_NONE;
    guint32 entry = (guint32)imp_json_u64(r, name, 0, blob_bytes ? blob_bytes - 1 : 0);
    if (entry % 2 != 0)
        imp_json_fault(r, "'%s' is odd", name);
    return entry;
}

static void read_sectors(ImpJson *r, ImpAlgorithm *algorithm, const Decoder *decoder)
{
    const json_t *list = imp_json_array(r, "sectors", 1, IMP_ALGORITHM_SECTORS_MAX);
    if (list == NULL)
        return;
    gsize n = json_array_size(list);
    algorithm->sectors = g_new0(ImpSectorRun, n);
    for (gsize i = 0; i < n && imp_json_ok(r); i++) {
        ImpSectorRun *run = &algorithm->sectors[i];
        GError *error = NULL;
        ImpJson s;
        imp_json_begin(&s, json_array_get(list, i), "sectors", decoder->wrong, decoder->unknown);
        run->start = imp_json_u64(&s, "start", 0, IMP_DEVICE_SPACE_END - 1);
        run->size_bytes = (guint32)imp_json_u64(&s, "size_bytes", 1, G_MAXUINT32);
        if (!imp_json_end(&s, &error)) {
            imp_json_take(r, error);
            return;
        }
        const ImpSectorRun *last = i > 0 ? &algorithm->sectors[i - 1] : NULL;
        if (last == NULL ? run->start != algorithm->start
                         : run->start <= last->start || (run->start - last->start) % last->size_bytes != 0)
            imp_json_fault(r, "'sectors' have a gap or an overlap");
        algorithm->n_sectors = i + 1;
    }
    if (!imp_json_ok(r))
        return;
    const ImpSectorRun *last = &algorithm->sectors[n - 1];
    guint64 end = algorithm->start + algorithm->size_bytes;
    if (last->start >= end || (end - last->start) % last->size_bytes != 0)
        imp_json_fault(r, "'sectors' do not end where the memory ends");
}

static ImpAlgorithm *decode_algorithm(const json_t *object, Decoder *decoder, GError **error)
{
    g_autoptr(ImpAlgorithm) algorithm = g_new0(ImpAlgorithm, 1);
    ImpJson r;
    imp_json_begin(&r, object, "algorithm", decoder->wrong, decoder->unknown);
    algorithm->name = g_strdup(imp_json_string(&r, "name", 1, IMP_DEVICE_TEXT_MAX));
    guint64 blob = imp_json_u64(&r, "blob", 0, decoder->n_blobs ? decoder->n_blobs - 1 : 0);
    gsize bytes = 0;
    if (decoder->n_blobs == 0 || decoder->used[blob]) {
        imp_json_fault(&r, "'blob' %" G_GUINT64_FORMAT " is not there or used twice", blob);
    } else if (imp_json_ok(&r)) {
        decoder->used[blob] = TRUE;
        algorithm->blob = g_bytes_ref(decoder->blobs[blob]);
        bytes = g_bytes_get_size(algorithm->blob);
        if (bytes == 0 || bytes > IMP_ALGORITHM_CODE_MAX)
            imp_json_fault(&r, "its blob has %zu bytes, allowed are 1 to %d", bytes, IMP_ALGORITHM_CODE_MAX);
    }
    algorithm->static_base = (guint32)imp_json_u64(&r, "static_base", 0, bytes);
    algorithm->init = read_entry(&r, "init", TRUE, bytes);
    algorithm->uninit = read_entry(&r, "uninit", TRUE, bytes);
    algorithm->erase_chip = read_entry(&r, "erase_chip", FALSE, bytes);
    algorithm->erase_sector = read_entry(&r, "erase_sector", TRUE, bytes);
    algorithm->program_page = read_entry(&r, "program_page", TRUE, bytes);
    algorithm->blank_check = read_entry(&r, "blank_check", FALSE, bytes);
    algorithm->verify = read_entry(&r, "verify", FALSE, bytes);
    algorithm->start = imp_json_u64(&r, "start", 0, IMP_DEVICE_SPACE_END - 1);
    algorithm->size_bytes = imp_json_u64(&r, "size_bytes", 1, IMP_DEVICE_SPACE_END - algorithm->start);
    algorithm->page_bytes = (guint32)imp_json_u64(&r, "page_bytes", 4, IMP_ALGORITHM_PAGE_MAX);
    if (algorithm->page_bytes % 4 != 0)
        imp_json_fault(&r, "'page_bytes' is not a multiple of 4");
    algorithm->erased_byte = (guint8)imp_json_u64(&r, "erased_byte", 0, G_MAXUINT8);
    algorithm->program_ms_max = (guint32)imp_json_u64(&r, "program_ms_max", 1, IMP_ALGORITHM_TIMEOUT_MS_MAX);
    algorithm->erase_ms_max = (guint32)imp_json_u64(&r, "erase_ms_max", 1, IMP_ALGORITHM_TIMEOUT_MS_MAX);
    read_sectors(&r, algorithm, decoder);
    return imp_json_end(&r, error) ? g_steal_pointer(&algorithm) : NULL;
}

static void read_algorithms(ImpJson *r, ImpDevice *device, Decoder *decoder)
{
    const json_t *list = imp_json_array(r, "algorithms", 1, IMP_DEVICE_ALGORITHMS_MAX);
    if (list == NULL)
        return;
    gsize n = json_array_size(list);
    if (n != decoder->n_blobs) {
        imp_json_fault(r, "%zu algorithms, but %zu blobs", n, decoder->n_blobs);
        return;
    }
    device->algorithms = g_new0(ImpAlgorithm *, n);
    for (gsize i = 0; i < n; i++) {
        GError *error = NULL;
        ImpAlgorithm *algorithm = decode_algorithm(json_array_get(list, i), decoder, &error);
        if (algorithm == NULL) {
            imp_json_take(r, error);
            return;
        }
        device->algorithms[device->n_algorithms++] = algorithm;
        const ImpAlgorithm *last = i > 0 ? device->algorithms[i - 1] : NULL;
        if (last != NULL && algorithm->start < last->start + last->size_bytes) {
            imp_json_fault(r, "the memories of '%s' and '%s' overlap or are not sorted", last->name,
                           algorithm->name);
            return;
        }
    }
}

static void read_checks(ImpJson *r, ImpDevice *device, const Decoder *decoder)
{
    const json_t *list = imp_json_array(r, "checks", 0, IMP_DEVICE_CHECKS_MAX);
    gsize n = list ? json_array_size(list) : 0;
    device->checks = g_new0(ImpDeviceCheck, n);
    for (gsize i = 0; i < n; i++) {
        ImpDeviceCheck *check = &device->checks[i];
        GError *error = NULL;
        ImpJson c;
        imp_json_begin(&c, json_array_get(list, i), "check", decoder->wrong, decoder->unknown);
        check->address = imp_json_u64(&c, "address", 0, IMP_DEVICE_SPACE_END - 4);
        check->mask = (guint32)imp_json_u64(&c, "mask", 0, G_MAXUINT32);
        check->value = (guint32)imp_json_u64(&c, "value", 0, G_MAXUINT32);
        if (check->address % 4 != 0 || (check->value & ~check->mask) != 0)
            imp_json_fault(&c, "the address is odd, or the value has bits outside the mask");
        check->what = g_strdup(imp_json_string(&c, "what", 1, IMP_DEVICE_TEXT_MAX));
        device->n_checks = i + 1;
        if (!imp_json_end(&c, &error)) {
            imp_json_take(r, error);
            return;
        }
    }
}

static void read_erase_all(ImpJson *r, ImpDevice *device)
{
    device->erase_all_algorithm = -1;
    if (!imp_json_has(r, "erase_all_algorithm") || device->n_algorithms == 0)
        return;
    guint64 index = imp_json_u64(r, "erase_all_algorithm", 0, device->n_algorithms - 1);
    if (!imp_json_ok(r))
        return;
    if (device->algorithms[index]->erase_chip == IMP_ENTRY_NONE)
        imp_json_fault(r, "'erase_all_algorithm' names '%s', which cannot erase the chip",
                       device->algorithms[index]->name);
    device->erase_all_algorithm = (int)index;
}

ImpDevice *imp_device_decode(const json_t *object, GBytes *const *blobs, gsize n_blobs, ImpErrorCode wrong,
                             ImpErrorCode unknown, GError **error)
{
    Decoder decoder = {.blobs = blobs, .n_blobs = n_blobs, .wrong = wrong, .unknown = unknown};
    g_autoptr(ImpDevice) device = g_new0(ImpDevice, 1);
    ImpJson r;
    imp_json_begin(&r, object, "device", wrong, unknown);
    device->name = g_strdup(imp_json_string(&r, "name", 1, IMP_DEVICE_TEXT_MAX));
    device->core = g_strdup(imp_json_string(&r, "core", 1, IMP_DEVICE_TEXT_MAX));
    device->core_hz = (guint32)imp_json_u64(&r, "core_hz", 1, G_MAXUINT32);
    device->dpidr = (guint32)imp_json_u64(&r, "dpidr", 0, G_MAXUINT32);
    device->ram_start = imp_json_u64(&r, "ram_start", 0, IMP_DEVICE_SPACE_END - 1);
    device->ram_bytes = (guint32)imp_json_u64(&r, "ram_bytes", 1, G_MAXUINT32);
    device->uid_address = imp_json_u64(&r, "uid_address", 0, IMP_DEVICE_SPACE_END - 1);
    device->uid_bytes = (guint32)imp_json_u64(&r, "uid_bytes", 0, IMP_DEVICE_UID_MAX);
    if (device->ram_bytes > IMP_DEVICE_SPACE_END - device->ram_start ||
        device->uid_bytes > IMP_DEVICE_SPACE_END - device->uid_address)
        imp_json_fault(&r, "its RAM or unique ID reaches behind the address space");
    read_checks(&r, device, &decoder);
    read_algorithms(&r, device, &decoder);
    read_erase_all(&r, device);
    return imp_json_end(&r, error) ? g_steal_pointer(&device) : NULL;
}
