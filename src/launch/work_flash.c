/* Erases, programs and verifies flash. */
#include "launch/port_thread.h"

static void on_progress(gpointer user, ImpFlashPhase phase, guint64 done, guint64 total)
{
    imp_thread_progress(user, IMP_COMMAND_FLASH,
                        phase == IMP_FLASH_PHASE_ERASE     ? IMP_PHASE_ERASE
                        : phase == IMP_FLASH_PHASE_PROGRAM ? IMP_PHASE_PROGRAM
                                                           : IMP_PHASE_VERIFY,
                        done, total);
}

static ImpFlashErase erase_of(const ImpCommand *command)
{
    if (!command->erase)
        return IMP_FLASH_ERASE_NONE;
    switch (command->erase_mode) {
    case IMP_ERASE_ALL:
        return IMP_FLASH_ERASE_ALL;
    case IMP_ERASE_USED:
        return IMP_FLASH_ERASE_USED;
    case IMP_ERASE_RANGE:
        return IMP_FLASH_ERASE_SECTORS;
    }
    g_assert_not_reached();
}

static ImpFlashVerify verify_of(const ImpCommand *command)
{
    if (!command->verify)
        return IMP_FLASH_VERIFY_NONE;
    return command->verify_mode == IMP_VERIFY_READ_BACK ? IMP_FLASH_VERIFY_READ_BACK
                                                        : IMP_FLASH_VERIFY_FASTEST;
}

/* An address in each sector of the range, which imp_content_check has seen to be made of whole sectors. */
static GArray *sectors_of(const ImpCommand *command)
{
    GArray *sectors = g_array_new(FALSE, FALSE, sizeof(guint64));
    if (!command->erase || command->erase_mode != IMP_ERASE_RANGE)
        return sectors;
    for (guint64 at = command->erase_range.first; at <= command->erase_range.last;) {
        guint64 start;
        guint32 size_bytes;
        imp_algorithm_sector_at(imp_device_algorithm_at(command->content->device, at, 1), at, &start,
                                &size_bytes);
        g_array_append_val(sectors, start);
        at = start + size_bytes;
    }
    return sectors;
}

/* The engine has repeated what was disturbed; where that did not help, the whole work is begun anew at half the clock. Only
 * what is erased first may be programmed twice. */
static gboolean run_slower(ImpThreadPort *port, const ImpCommand *command, const ImpFlashJob *job,
                           GError **error)
{
    for (;;) {
        GError *why = NULL;
        if (imp_flash_run(port->flash, job, NULL, &why))
            return TRUE;
        if (command->program && (!command->erase || command->erase_mode == IMP_ERASE_RANGE)) {
            g_propagate_error(error, why);
            return FALSE;
        }
        g_clear_pointer(&port->flash, imp_flash_close);
        gboolean again = imp_target_slow_down(port->target, why, error);
        g_error_free(why);
        if (!again)
            return FALSE;
        port->flash = imp_flash_open(port->target, command->content->device, error);
        if (port->flash == NULL)
            return FALSE;
    }
}

gboolean imp_work_flash(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    (void)event;
    if (port->left && !imp_thread_hold(port, command->content, error))
        return FALSE;
    if (port->flash == NULL) {
        port->flash = imp_flash_open(port->target, command->content->device, error);
        if (port->flash == NULL)
            return FALSE;
    }
    g_autofree ImpFlashSegment *segments = g_new0(ImpFlashSegment, command->map->n_segments + 1);
    for (gsize i = 0; i < command->map->n_segments; i++)
        segments[i] = (ImpFlashSegment){command->map->segments[i].address, command->map->segments[i].bytes};
    g_autoptr(GArray) sectors = sectors_of(command);
    ImpFlashJob job = {
        .erase = erase_of(command),
        .sectors = (const guint64 *)sectors->data,
        .n_sectors = sectors->len,
        .program = command->program,
        .verify = verify_of(command),
        .segments = segments,
        .n_segments = command->map->n_segments,
        .progress = on_progress,
        .progress_user = port,
    };
    if (!run_slower(port, command, &job, error))
        return FALSE;
    if (imp_thread_check_unit(port, command->content, error))
        return TRUE;
    imp_thread_let_go(port); /* another unit: no later step touches it unseen */
    return FALSE;
}
