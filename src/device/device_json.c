#include "device/device_json.h"

#include "base/id.h"

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
    if (algorithm->spared)
        json_object_set_new(object, "spared", json_true());
    return object;
}

static json_t *encode_check(const ImpDeviceCheck *check)
{
    json_t *object = json_object();
    put_uint(object, "address", check->address);
    put_uint(object, "mask", check->mask);
    put_uint(object, "value", check->value);
    json_object_set_new(object, "what", json_string(check->what));
    return object;
}

static json_t *encode_writes(const ImpDeviceWrite *writes, gsize n_writes)
{
    json_t *list = json_array();
    for (gsize i = 0; i < n_writes; i++) {
        json_t *object = json_object();
        put_uint(object, "address", writes[i].address);
        put_uint(object, "value", writes[i].value);
        if (writes[i].wait_ms > 0) {
            json_t *wait = json_object();
            put_uint(wait, "address", writes[i].wait_address);
            put_uint(wait, "mask", writes[i].wait_mask);
            put_uint(wait, "value", writes[i].wait_value);
            put_uint(wait, "ms", writes[i].wait_ms);
            json_object_set_new(object, "wait", wait);
        }
        json_array_append_new(list, object);
    }
    return list;
}

static const char *const unlock_words[] = {"writes", "algorithm",
                                           "ctrl-ap"}; /* from IMP_UNLOCK_BY_WRITES on */

static json_t *encode_unlock(const ImpDevice *device)
{
    json_t *object = json_object();
    json_object_set_new(object, "by", json_string(unlock_words[device->unlock - IMP_UNLOCK_BY_WRITES]));
    if (device->unlock == IMP_UNLOCK_BY_WRITES)
        json_object_set_new(object, "writes", encode_writes(device->unlock_writes, device->n_unlock_writes));
    else if (device->unlock == IMP_UNLOCK_BY_ALGORITHM)
        put_uint(object, "algorithm", (guint64)device->unlock_algorithm);
    else
        put_uint(object, "ap", device->ctrl_ap_index);
    return object;
}

/* Members that a device without read protection does not have at all. */
static void encode_protection(const ImpDevice *device, json_t *object)
{
    if (device->open != NULL)
        json_object_set_new(object, "open", encode_check(device->open));
    json_t *locks = json_array();
    for (gsize i = 0; i < device->n_locks; i++) {
        const ImpDeviceLock *lock = &device->locks[i];
        json_t *item = json_object();
        g_autofree char *hex = imp_hex_encode(lock->bytes, lock->n_bytes);
        put_uint(item, "level", lock->level);
        put_uint(item, "address", lock->address);
        put_uint(item, "n_bytes", lock->n_bytes);
        json_object_set_new(item, "bytes", json_string(hex));
        json_array_append_new(locks, item);
    }
    if (device->n_locks > 0)
        json_object_set(object, "locks", locks);
    json_decref(locks);
    if (device->unlock != IMP_UNLOCK_BY_NONE)
        json_object_set_new(object, "unlock", encode_unlock(device));
    if (device->n_launch_writes > 0)
        json_object_set_new(object, "launch", encode_writes(device->launch_writes, device->n_launch_writes));
}

json_t *imp_device_encode(const ImpDevice *device, GPtrArray **out_blobs)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(device->name));
    json_object_set_new(object, "core", json_string(device->core));
    put_uint(object, "core_hz", device->core_hz);
    put_uint(object, "dpidr", device->dpidr);
    if (device->access_port != 0)
        put_uint(object, "access_port", device->access_port);
    put_uint(object, "ram_start", device->ram_start);
    put_uint(object, "ram_bytes", device->ram_bytes);
    put_uint(object, "uid_address", device->uid_address);
    put_uint(object, "uid_bytes", device->uid_bytes);
    json_t *checks = json_array();
    for (gsize i = 0; i < device->n_checks; i++)
        json_array_append_new(checks, encode_check(&device->checks[i]));
    json_object_set_new(object, "checks", checks);
    json_t *algorithms = json_array();
    for (gsize i = 0; i < device->n_algorithms; i++)
        json_array_append_new(algorithms, encode_algorithm(device->algorithms[i], i));
    json_object_set_new(object, "algorithms", algorithms);
    if (device->erase_all_algorithm >= 0)
        put_uint(object, "erase_all_algorithm", (guint64)device->erase_all_algorithm);
    if (device->erase_all_ms_max != 0)
        put_uint(object, "erase_all_ms_max", device->erase_all_ms_max);
    encode_protection(device, object);
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
    algorithm->spared = imp_json_has(&r, "spared");
    if (algorithm->spared && !imp_json_bool(&r, "spared"))
        imp_json_fault(&r, "'spared' is left out where it is false");
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

static void read_check(ImpJson *r, ImpDeviceCheck *check)
{
    check->address = imp_json_u64(r, "address", 0, IMP_DEVICE_SPACE_END - 4);
    check->mask = (guint32)imp_json_u64(r, "mask", 0, G_MAXUINT32);
    check->value = (guint32)imp_json_u64(r, "value", 0, G_MAXUINT32);
    if (check->address % 4 != 0 || (check->value & ~check->mask) != 0)
        imp_json_fault(r, "the address is odd, or the value has bits outside the mask");
    check->what = g_strdup(imp_json_string(r, "what", 1, IMP_DEVICE_TEXT_MAX));
}

static void read_checks(ImpJson *r, ImpDevice *device, const Decoder *decoder)
{
    const json_t *list = imp_json_array(r, "checks", 0, IMP_DEVICE_CHECKS_MAX);
    gsize n = list ? json_array_size(list) : 0;
    device->checks = g_new0(ImpDeviceCheck, n);
    for (gsize i = 0; i < n; i++) {
        GError *error = NULL;
        ImpJson c;
        imp_json_begin(&c, json_array_get(list, i), "check", decoder->wrong, decoder->unknown);
        device->n_checks = i + 1;
        read_check(&c, &device->checks[i]);
        if (!imp_json_end(&c, &error)) {
            imp_json_take(r, error);
            return;
        }
    }
}

static gboolean read_write(const json_t *object, ImpDeviceWrite *write, const Decoder *decoder,
                           GError **error)
{
    ImpJson r, w;
    GError *why = NULL;
    imp_json_begin(&r, object, "write", decoder->wrong, decoder->unknown);
    write->address = imp_json_u64(&r, "address", 0, IMP_DEVICE_SPACE_END - 4);
    write->value = (guint32)imp_json_u64(&r, "value", 0, G_MAXUINT32);
    const json_t *wait = imp_json_has(&r, "wait") ? imp_json_object(&r, "wait") : NULL;
    if (wait != NULL) {
        imp_json_begin(&w, wait, "wait", decoder->wrong, decoder->unknown);
        write->wait_address = imp_json_u64(&w, "address", 0, IMP_DEVICE_SPACE_END - 4);
        write->wait_mask = (guint32)imp_json_u64(&w, "mask", 0, G_MAXUINT32);
        write->wait_value = (guint32)imp_json_u64(&w, "value", 0, G_MAXUINT32);
        write->wait_ms = (guint32)imp_json_u64(&w, "ms", 1, IMP_DEVICE_WAIT_MS_MAX);
        if (!imp_json_end(&w, &why))
            imp_json_take(&r, why);
    }
    if (write->address % 4 != 0 || write->wait_address % 4 != 0 ||
        (write->wait_value & ~write->wait_mask) != 0)
        imp_json_fault(&r, "an address is odd, or the value waited for has bits outside the mask");
    return imp_json_end(&r, error);
}

static ImpDeviceWrite *read_writes(ImpJson *r, const char *name, gsize *out_n, const Decoder *decoder)
{
    const json_t *list = imp_json_array(r, name, 1, IMP_DEVICE_WRITES_MAX);
    gsize n = list ? json_array_size(list) : 0;
    ImpDeviceWrite *writes = g_new0(ImpDeviceWrite, n);
    for (gsize i = 0; i < n; i++) {
        GError *error = NULL;
        if (!read_write(json_array_get(list, i), &writes[i], decoder, &error)) {
            imp_json_take(r, error);
            break;
        }
    }
    *out_n = n;
    return writes;
}

static void read_unlock(ImpJson *r, ImpDevice *device, const Decoder *decoder)
{
    const json_t *object = imp_json_object(r, "unlock");
    GError *error = NULL;
    ImpJson u;
    if (object == NULL)
        return;
    imp_json_begin(&u, object, "unlock", decoder->wrong, decoder->unknown);
    device->unlock = IMP_UNLOCK_BY_WRITES + imp_json_word(&u, "by", unlock_words, G_N_ELEMENTS(unlock_words));
    if (!imp_json_ok(&u)) {
        device->unlock = IMP_UNLOCK_BY_NONE;
    } else if (device->unlock == IMP_UNLOCK_BY_WRITES) {
        device->unlock_writes = read_writes(&u, "writes", &device->n_unlock_writes, decoder);
    } else if (device->unlock == IMP_UNLOCK_BY_ALGORITHM) {
        gsize n = device->n_algorithms;
        guint64 index = imp_json_u64(&u, "algorithm", 0, n > 0 ? n - 1 : 0);
        if (imp_json_ok(&u) && (n == 0 || device->algorithms[index]->erase_chip == IMP_ENTRY_NONE))
            imp_json_fault(&u, "'algorithm' cannot erase the chip");
        device->unlock_algorithm = (int)index;
    } else {
        device->ctrl_ap_index = (guint)imp_json_u64(&u, "ap", 0, IMP_DEVICE_AP_MAX);
    }
    if (!imp_json_end(&u, &error))
        imp_json_take(r, error);
}

/* Locks name memory that an algorithm programs; their levels rise. */
static void read_lock(ImpJson *r, ImpDevice *device, const json_t *object, const Decoder *decoder)
{
    ImpDeviceLock *lock = &device->locks[device->n_locks];
    GError *error = NULL;
    ImpJson l;
    imp_json_begin(&l, object, "lock", decoder->wrong, decoder->unknown);
    lock->level = (guint)imp_json_u64(&l, "level", 1, IMP_DEVICE_LOCKS_MAX);
    lock->address = imp_json_u64(&l, "address", 0, IMP_DEVICE_SPACE_END - 1);
    lock->n_bytes = (guint)imp_json_u64(&l, "n_bytes", 1, IMP_DEVICE_LOCK_BYTES_MAX);
    imp_json_hex(&l, "bytes", lock->bytes, lock->n_bytes);
    if (imp_json_ok(&l) && imp_device_algorithm_at(device, lock->address, lock->n_bytes) == NULL)
        imp_json_fault(&l, "no algorithm programs its bytes");
    if (imp_json_ok(&l) && device->n_locks > 0 && lock->level <= lock[-1].level)
        imp_json_fault(&l, "the levels do not rise");
    if (!imp_json_end(&l, &error))
        imp_json_take(r, error);
    else
        device->n_locks++;
}

static void read_protection(ImpJson *r, ImpDevice *device, const Decoder *decoder)
{
    const json_t *list =
        imp_json_has(r, "locks") ? imp_json_array(r, "locks", 1, IMP_DEVICE_LOCKS_MAX) : NULL;
    const json_t *object = imp_json_has(r, "open") ? imp_json_object(r, "open") : NULL;
    GError *error = NULL;
    ImpJson c;
    device->unlock_algorithm = -1;
    if (object != NULL) {
        device->open = g_new0(ImpDeviceCheck, 1);
        imp_json_begin(&c, object, "open", decoder->wrong, decoder->unknown);
        read_check(&c, device->open);
        if (!imp_json_end(&c, &error))
            imp_json_take(r, error);
    }
    gsize n = list ? json_array_size(list) : 0;
    device->locks = n > 0 ? g_new0(ImpDeviceLock, n) : NULL;
    for (gsize i = 0; i < n && imp_json_ok(r); i++)
        read_lock(r, device, json_array_get(list, i), decoder);
    if (imp_json_has(r, "unlock"))
        read_unlock(r, device, decoder);
    if (imp_json_has(r, "launch"))
        device->launch_writes = read_writes(r, "launch", &device->n_launch_writes, decoder);
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
    if (imp_json_has(r, "erase_all_ms_max"))
        device->erase_all_ms_max =
            (guint32)imp_json_u64(r, "erase_all_ms_max", 1, IMP_ALGORITHM_TIMEOUT_MS_MAX);
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
    if (imp_json_has(&r, "access_port"))
        device->access_port = (guint)imp_json_u64(&r, "access_port", 1, IMP_DEVICE_AP_MAX);
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
    read_protection(&r, device, &decoder);
    return imp_json_end(&r, error) ? g_steal_pointer(&device) : NULL;
}
