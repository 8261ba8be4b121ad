#include "target/blank.h"

#include "base/error.h"
#include "target/runner.h"

#include <string.h>

#define WORD       4u /* BlankCheck looks at whole words */
#define SHOWN      4 /* bytes of a difference */
#define READ_CHUNK (16u * 1024)

typedef struct {
    ImpTarget *target;
    const ImpBlankJob *job;
    const ImpAlgorithm *algorithm; /* of the piece at work */
    ImpRunner *runner; /* NULL: not needed yet */
    guint64 done;
} Check;

static void not_blank(const Check *check, guint64 address, const guint8 *found, gsize n_found, GError **error)
{
    guint8 expected[SHOWN];
    memset(expected, check->algorithm->erased_byte, sizeof expected);
    if (n_found > 0)
        imp_error_set_at(error, IMP_E_NOT_BLANK, address, expected, found, n_found,
                         "0x%08" G_GINT64_MODIFIER "X is not erased", address);
    else
        imp_error_set_at(error, IMP_E_NOT_BLANK, address, NULL, NULL, 0,
                         "flash algorithm %s finds memory from 0x%08" G_GINT64_MODIFIER
                         "X on not erased, though it reads as if it were",
                         check->algorithm->name, address);
}

/* TRUE if all bytes read as erased. FALSE with an error otherwise. */
static gboolean read_piece(Check *check, guint64 address, gsize n_bytes, GError **error)
{
    guint8 bytes[READ_CHUNK];
    g_assert(n_bytes <= sizeof bytes);
    if (!imp_target_read(check->target, address, bytes, n_bytes, error))
        return FALSE;
    for (gsize i = 0; i < n_bytes; i++)
        if (bytes[i] != check->algorithm->erased_byte) {
            not_blank(check, address + i, bytes + i, MIN(n_bytes - i, (gsize)SHOWN), error);
            return FALSE;
        }
    return TRUE;
}

static gboolean ask_piece(Check *check, guint64 address, gsize n_bytes, GError **error)
{
    static const ImpRunnerEvents none = {0};
    gboolean blank = FALSE;
    if (check->runner == NULL) {
        check->runner =
            imp_runner_halted_start(check->target, check->job->device, &check->algorithm, 1, &none, error);
        if (check->runner == NULL)
            return FALSE;
    }
    if (!imp_runner_halted_blank(check->runner, 0, (guint32)address, (guint32)n_bytes, &blank, error))
        return FALSE;
    if (blank)
        return TRUE;
    if (read_piece(check, address, n_bytes, error))
        not_blank(check, address, NULL, 0, error);
    return FALSE;
}

static gboolean check_piece(Check *check, guint64 address, gsize n_bytes, GError **error)
{
    gboolean ask =
        check->algorithm->blank_check != IMP_ENTRY_NONE && address % WORD == 0 && n_bytes % WORD == 0;
    if (!(ask ? ask_piece : read_piece)(check, address, n_bytes, error))
        return FALSE;
    check->done += n_bytes;
    if (check->job->progress != NULL)
        check->job->progress(check->job->progress_user, check->done, check->job->n_bytes);
    return TRUE;
}

/* What lies in one algorithm's memory: whole words in large pieces, what is left at the ends by itself. */
static gboolean check_memory(Check *check, guint64 address, guint64 end, GError **error)
{
    while (address < end) {
        guint64 n_bytes = MIN(end - address, (guint64)READ_CHUNK);
        if (address % WORD != 0)
            n_bytes = MIN(n_bytes, WORD - address % WORD);
        else if (n_bytes >= WORD)
            n_bytes -= n_bytes % WORD;
        if (!check_piece(check, address, (gsize)n_bytes, error))
            return FALSE;
        address += n_bytes;
    }
    return check->runner == NULL || imp_runner_finish(check->runner, error);
}

gboolean imp_blank_check(ImpTarget *target, const ImpBlankJob *job, GError **error)
{
    G_STATIC_ASSERT(READ_CHUNK <= IMP_RUNNER_CHUNK_MAX);
    Check check = {.target = target, .job = job};
    guint64 address = job->address, end = job->address + job->n_bytes;
    while (address < end) {
        check.algorithm = imp_device_algorithm_at(job->device, address, 1);
        if (check.algorithm == NULL) {
            imp_error_set_at(error, IMP_E_NO_ALGORITHM, address, NULL, NULL, 0,
                             "%s: no flash algorithm covers 0x%08" G_GINT64_MODIFIER "X", job->device->name,
                             address);
            return FALSE;
        }
        guint64 here = MIN(end, check.algorithm->start + check.algorithm->size_bytes);
        gboolean ok = check_memory(&check, address, here, error);
        imp_runner_stop(check.runner);
        check.runner = NULL;
        if (!ok)
            return FALSE;
        address = here;
    }
    return TRUE;
}
