#include "device/device.h"

void imp_algorithm_free(ImpAlgorithm *algorithm)
{
    if (algorithm == NULL)
        return;
    g_free(algorithm->name);
    g_clear_pointer(&algorithm->blob, g_bytes_unref);
    g_free(algorithm->sectors);
    g_free(algorithm);
}

void imp_device_free(ImpDevice *device)
{
    if (device == NULL)
        return;
    g_free(device->name);
    g_free(device->core);
    for (gsize i = 0; i < device->n_checks; i++)
        g_free(device->checks[i].what);
    g_free(device->checks);
    for (gsize i = 0; i < device->n_algorithms; i++)
        imp_algorithm_free(device->algorithms[i]);
    g_free(device->algorithms);
    if (device->open != NULL)
        g_free(device->open->what);
    g_free(device->open);
    g_free(device->locks);
    g_free(device->unlock_writes);
    g_free(device->launch_writes);
    g_free(device);
}

const ImpDeviceLock *imp_device_lock_of(const ImpDevice *device, guint level)
{
    for (gsize i = 0; i < device->n_locks; i++)
        if (device->locks[i].level == level)
            return &device->locks[i];
    return NULL;
}

gboolean imp_device_can_erase_all(const ImpDevice *device)
{
    if (device->erase_all_algorithm >= 0)
        return (gsize)device->erase_all_algorithm < device->n_algorithms &&
               device->algorithms[device->erase_all_algorithm]->erase_chip != IMP_ENTRY_NONE;
    for (gsize i = 0; i < device->n_algorithms; i++)
        if ((int)i != device->unlock_algorithm && !device->algorithms[i]->spared)
            return TRUE;
    return FALSE;
}

const ImpAlgorithm *imp_device_algorithm_at(const ImpDevice *device, guint64 address, guint64 size_bytes)
{
    for (gsize i = 0; i < device->n_algorithms; i++) {
        const ImpAlgorithm *algorithm = device->algorithms[i];
        if (address >= algorithm->start && address - algorithm->start < algorithm->size_bytes &&
            size_bytes <= algorithm->size_bytes - (address - algorithm->start))
            return algorithm;
    }
    return NULL;
}

void imp_algorithm_sector_at(const ImpAlgorithm *algorithm, guint64 address, guint64 *out_start,
                             guint32 *out_bytes)
{
    g_assert(algorithm->n_sectors > 0 && address >= algorithm->sectors[0].start);
    gsize run = algorithm->n_sectors - 1;
    while (algorithm->sectors[run].start > address)
        run--;
    guint32 size = algorithm->sectors[run].size_bytes;
    *out_start = address - (address - algorithm->sectors[run].start) % size;
    *out_bytes = size;
}

gboolean imp_device_sectors_whole(const ImpDevice *device, guint64 first, guint64 last)
{
    guint64 at = first;
    while (at <= last) {
        const ImpAlgorithm *algorithm = imp_device_algorithm_at(device, at, 1);
        guint64 start;
        guint32 size_bytes;
        if (algorithm == NULL)
            return FALSE;
        imp_algorithm_sector_at(algorithm, at, &start, &size_bytes);
        if (start != at || size_bytes - 1 > last - at)
            return FALSE;
        at += size_bytes;
    }
    return first <= last;
}
