/* Looks whether flash is erased. */
#include "launch/port_thread.h"
#include "target/blank.h"

typedef struct {
    ImpThreadPort *port;
    guint64 before, total; /* bytes of all pieces */
} Progress;

static void on_progress(gpointer user, guint64 done, guint64 total)
{
    const Progress *progress = user;
    (void)total;
    imp_thread_progress(progress->port, IMP_COMMAND_BLANK_CHECK, IMP_PHASE_BLANK_CHECK,
                        progress->before + done, progress->total);
}

/* What the step is for: pieces of memory. */
static GArray *pieces_of(const ImpCommand *command)
{
    GArray *pieces = g_array_new(FALSE, FALSE, sizeof(ImpRange));
    const ImpDevice *device = command->content->device;
    switch (command->step->blank) {
    case IMP_BLANK_ALL:
        for (gsize i = 0; i < device->n_algorithms; i++) {
            const ImpAlgorithm *algorithm = device->algorithms[i];
            ImpRange range = {algorithm->start, algorithm->start + algorithm->size_bytes - 1};
            g_array_append_val(pieces, range);
        }
        break;
    case IMP_BLANK_USED:
        for (gsize i = 0; i < command->map->n_segments; i++) {
            const ImpUnitSegment *segment = &command->map->segments[i];
            ImpRange range = {segment->address, segment->address + g_bytes_get_size(segment->bytes) - 1};
            g_array_append_val(pieces, range);
        }
        break;
    case IMP_BLANK_RANGE:
        g_array_append_val(pieces, command->step->range);
        break;
    }
    return pieces;
}

gboolean imp_work_blank_check(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event,
                              GError **error)
{
    (void)event;
    g_autoptr(GArray) pieces = pieces_of(command);
    Progress progress = {.port = port};
    for (guint i = 0; i < pieces->len; i++) {
        const ImpRange *range = &g_array_index(pieces, ImpRange, i);
        progress.total += range->last - range->first + 1;
    }
    if (!imp_thread_hold(port, command->content, error))
        return FALSE;
    for (guint i = 0; i < pieces->len; i++) {
        const ImpRange *range = &g_array_index(pieces, ImpRange, i);
        const ImpBlankJob job = {.device = command->content->device,
                                 .address = range->first,
                                 .n_bytes = range->last - range->first + 1,
                                 .progress = on_progress,
                                 .progress_user = &progress};
        if (!imp_blank_check(port->target, &job, error))
            return FALSE;
        progress.before += job.n_bytes;
    }
    return TRUE;
}
