/* The calls of runner.h go to the runner that fits the target. */
#include "target/runner.h"

guint32 imp_runner_chip_ms(const ImpDevice *device, const ImpAlgorithm *algorithm)
{
    gboolean is_mass =
        device->erase_all_algorithm >= 0 && device->algorithms[device->erase_all_algorithm] == algorithm;
    if (is_mass && device->erase_all_ms_max != 0)
        return device->erase_all_ms_max;
    guint64 smallest = algorithm->size_bytes;
    for (gsize i = 0; i < algorithm->n_sectors; i++)
        smallest = MIN(smallest, algorithm->sectors[i].size_bytes);
    guint64 sum = smallest > 0 ? algorithm->size_bytes / smallest * algorithm->erase_ms_max : 0;
    return (guint32)(smallest > 0 ? MIN(sum, IMP_RUNNER_CHIP_MS_MAX) : IMP_RUNNER_CHIP_MS_MAX);
}

ImpRunner *imp_runner_start(ImpTarget *target, const ImpDevice *device, const ImpAlgorithm *const *algorithms,
                            gsize n_algorithms, const ImpRunnerEvents *events, GError **error)
{
    return (target->runs_beside ? imp_runner_resident_start : imp_runner_halted_start)(
        target, device, algorithms, n_algorithms, events, error);
}

void imp_runner_stop(ImpRunner *runner)
{
    if (runner != NULL)
        runner->ops->stop(runner);
}

gboolean imp_runner_erase_chip(ImpRunner *runner, gsize algorithm, GError **error)
{
    return runner->ops->erase_chip(runner, algorithm, error);
}

gboolean imp_runner_erase(ImpRunner *runner, gsize algorithm, guint32 address, guint32 size_bytes,
                          guint32 sector_bytes, GError **error)
{
    return runner->ops->erase(runner, algorithm, address, size_bytes, sector_bytes, error);
}

gboolean imp_runner_program(ImpRunner *runner, gsize algorithm, guint32 address, const guint8 *page,
                            GError **error)
{
    return runner->ops->program(runner, algorithm, address, page, error);
}

gboolean imp_runner_finish(ImpRunner *runner, GError **error)
{
    return runner->ops->finish(runner, error);
}

gboolean imp_runner_check(ImpRunner *runner, ImpRunnerCheck *checks, gsize n_checks, GError **error)
{
    return runner->ops->check(runner, checks, n_checks, error);
}
