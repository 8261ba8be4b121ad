/* Runs flash algorithms one call at a time: registers, start, wait until the core stands at a breakpoint at the return
 * address. Slower than the resident runner, but all it needs is what every debugger can do.
 *
 * RAM from its start: return address (a BKPT), stack, one page, the algorithm. The space is what imp_runner_fits asks for,
 * which is more. Source of the calls: CMSIS-Pack, flash algorithm functions. */
#include "target/runner.h"

#include "base/error.h"

#define RETURN_BYTES  16
#define BKPT_BKPT     0xBE00BE00u
#define STACK_CANARY  0xC0DEFA11u
#define XPSR_THUMB    0x01000000u
#define CALL_LIMIT_MS 1000 /* Init, UnInit */
#define ALIGN16(n)    (((n) + 15u) & ~15u)

typedef enum { FUNCTION_NONE = 0, FUNCTION_ERASE = 1, FUNCTION_PROGRAM = 2 } Function; /* Init's fnc */

typedef struct {
    ImpRunner runner;
    ImpTarget *target;
    const ImpDevice *device;
    const ImpAlgorithm *const *algorithms;
    ImpRunnerEvents events;
    guint32 back, stack_bottom, stack_top, page, blob; /* addresses in the target */
    const ImpAlgorithm *loaded; /* NULL: none */
    Function function; /* what it was initialised for */
} Halted;

typedef struct {
    const char *name;
    guint32 entry;
    guint32 arguments[3];
    guint64 address; /* for messages */
    guint limit_ms;
} Call;

static gboolean fail_call(Halted *runner, const Call *call, int code, const char *why, GError **error)
{
    imp_error_set_at(error, code, call->address, NULL, NULL, 0,
                     "flash algorithm %s: %s for 0x%08" G_GINT64_MODIFIER "X %s", runner->loaded->name,
                     call->name, call->address, why);
    return FALSE;
}

/* One function from start to return. */
static gboolean run_to_return(Halted *runner, const Call *call, guint32 *out_result, GError **error)
{
    const ImpCoreRegister registers[] = {
        {0, call->arguments[0]},
        {1, call->arguments[1]},
        {2, call->arguments[2]},
        {9, runner->blob + runner->loaded->static_base},
        {IMP_REGISTER_SP, runner->stack_top},
        {IMP_REGISTER_LR, runner->back | 1},
        {IMP_REGISTER_XPSR, XPSR_THUMB},
        {IMP_REGISTER_PC, runner->blob + call->entry},
    };
    ImpTarget *target = runner->target;
    gboolean halted = FALSE;
    guint32 pc;
    if (!imp_target_write_registers(target, registers, G_N_ELEMENTS(registers), error) ||
        !imp_target_resume(target, error) || !imp_target_wait_halt(target, call->limit_ms, &halted, error))
        return FALSE;
    if (!halted)
        return fail_call(runner, call, IMP_E_ALGORITHM_TIMEOUT, "does not return", error);
    if (!imp_target_read_register(target, IMP_REGISTER_PC, &pc, error) ||
        !imp_target_read_register(target, 0, out_result, error))
        return FALSE;
    if ((pc & ~1u) != runner->back) {
        g_autofree char *where = g_strdup_printf("stopped the core at 0x%08X", pc);
        return fail_call(runner, call, IMP_E_ALGORITHM_CRASHED, where, error);
    }
    return TRUE;
}

/* The same; its result must be 0. */
static gboolean run(Halted *runner, const Call *call, GError **error)
{
    guint32 result;
    if (!run_to_return(runner, call, &result, error))
        return FALSE;
    if (result == 0)
        return TRUE;
    g_autofree char *what = g_strdup_printf("returned %u", result);
    return fail_call(runner, call, IMP_E_ALGORITHM_FAILED, what, error);
}

static gboolean write_checked(Halted *runner, guint32 address, const void *bytes, gsize n_bytes,
                              GError **error)
{
    g_autofree guint8 *seen = g_malloc(n_bytes);
    if (!imp_target_write(runner->target, address, bytes, n_bytes, error) ||
        !imp_target_read(runner->target, address, seen, n_bytes, error))
        return FALSE;
    for (gsize i = 0; i < n_bytes; i++) {
        if (seen[i] == ((const guint8 *)bytes)[i])
            continue;
        imp_error_set_at(error, IMP_E_TARGET_RAM, address + i, (const guint8 *)bytes + i, seen + i, 1,
                         "0x%08zX: the RAM does not hold what was written to it", address + i);
        return FALSE;
    }
    return TRUE;
}

/* Ends what the algorithm was initialised for. */
static gboolean leave(Halted *runner, GError **error)
{
    if (runner->function == FUNCTION_NONE)
        return TRUE;
    const Call call = {
        "UnInit", runner->loaded->uninit, {runner->function}, runner->loaded->start, CALL_LIMIT_MS};
    runner->function = FUNCTION_NONE;
    guint8 canary[4];
    if (!run(runner, &call, error) ||
        !imp_target_read(runner->target, runner->stack_bottom, canary, sizeof canary, error))
        return FALSE;
    if (imp_le32(canary) != STACK_CANARY)
        return fail_call(runner, &call, IMP_E_ALGORITHM_CRASHED, "found the stack overrun", error);
    return TRUE;
}

static gboolean enter(Halted *runner, gsize index, Function function, GError **error)
{
    const ImpAlgorithm *a = runner->algorithms[index];
    if (runner->loaded == a && runner->function == function)
        return TRUE;
    if (!leave(runner, error))
        return FALSE;
    if (runner->loaded != a) {
        gsize n_bytes;
        const void *bytes = g_bytes_get_data(a->blob, &n_bytes);
        if (!write_checked(runner, runner->blob, bytes, n_bytes, error))
            return FALSE;
        runner->loaded = a;
    }
    const Call call = {
        "Init", a->init, {(guint32)a->start, runner->device->core_hz, function}, a->start, CALL_LIMIT_MS};
    if (!run(runner, &call, error))
        return FALSE;
    runner->function = function;
    return TRUE;
}

static gboolean halted_erase_chip(ImpRunner *base, gsize algorithm, GError **error)
{
    Halted *runner = (Halted *)base;
    const ImpAlgorithm *a = runner->algorithms[algorithm];
    const Call call = {"EraseChip",
                       a->erase_chip,
                       {0},
                       a->start,
                       imp_runner_chip_ms(runner->device, a) + IMP_RUNNER_GRACE_MS};
    if (!enter(runner, algorithm, FUNCTION_ERASE, error) || !run(runner, &call, error))
        return FALSE;
    runner->events.erased(runner->events.user, 1);
    return TRUE;
}

static gboolean halted_erase(ImpRunner *base, gsize algorithm, guint32 address, guint32 size_bytes,
                             guint32 sector_bytes, GError **error)
{
    Halted *runner = (Halted *)base;
    const ImpAlgorithm *a = runner->algorithms[algorithm];
    if (!enter(runner, algorithm, FUNCTION_ERASE, error))
        return FALSE;
    for (guint32 done = 0; done < size_bytes; done += sector_bytes) {
        const Call call = {"EraseSector",
                           a->erase_sector,
                           {address + done},
                           address + done,
                           a->erase_ms_max + IMP_RUNNER_GRACE_MS};
        if (!run(runner, &call, error))
            return FALSE;
        runner->events.erased(runner->events.user, sector_bytes);
    }
    return TRUE;
}

static gboolean halted_program(ImpRunner *base, gsize algorithm, guint32 address, const guint8 *page,
                               GError **error)
{
    Halted *runner = (Halted *)base;
    const ImpAlgorithm *a = runner->algorithms[algorithm];
    const Call call = {"ProgramPage",
                       a->program_page,
                       {address, a->page_bytes, runner->page},
                       address,
                       a->program_ms_max + IMP_RUNNER_GRACE_MS};
    if (!enter(runner, algorithm, FUNCTION_PROGRAM, error) ||
        !imp_target_write(runner->target, runner->page, page, a->page_bytes, error) ||
        !run(runner, &call, error))
        return FALSE;
    runner->events.programmed(runner->events.user, a->page_bytes);
    return TRUE;
}

gboolean imp_runner_halted_blank(ImpRunner *base, gsize algorithm, guint32 address, guint32 size_bytes,
                                 gboolean *out_blank, GError **error)
{
    Halted *runner = (Halted *)base;
    const ImpAlgorithm *a = runner->algorithms[algorithm];
    const Call call = {"BlankCheck",
                       a->blank_check,
                       {address, size_bytes, a->erased_byte},
                       address,
                       a->erase_ms_max + IMP_RUNNER_GRACE_MS};
    guint32 result;
    g_assert(a->blank_check != IMP_ENTRY_NONE);
    if (!enter(runner, algorithm, FUNCTION_ERASE, error) || !run_to_return(runner, &call, &result, error))
        return FALSE;
    *out_blank = result == 0;
    return TRUE;
}

static gboolean halted_finish(ImpRunner *base, GError **error)
{
    return leave((Halted *)base, error);
}

static gboolean halted_check(ImpRunner *base, ImpRunnerCheck *checks, gsize n_checks, GError **error)
{
    imp_error_set(error, IMP_E_PROBE_UNSUPPORTED,
                  "no checksums by the target's core on this connection: verify by reading back");
    return FALSE;
}

static void halted_stop(ImpRunner *base)
{
    g_free(
        base); /* the core stands: between calls it always does, and after a failed one nobody starts it again */
}

ImpRunner *imp_runner_halted_start(ImpTarget *target, const ImpDevice *device,
                                   const ImpAlgorithm *const *algorithms, gsize n_algorithms,
                                   const ImpRunnerEvents *events, GError **error)
{
    static const ImpRunnerOps ops = {halted_stop,    halted_erase_chip, halted_erase,
                                     halted_program, halted_finish,     halted_check};
    guint32 page_bytes = 0, blob_bytes = 0;
    for (gsize i = 0; i < n_algorithms; i++) {
        page_bytes = MAX(page_bytes, algorithms[i]->page_bytes);
        blob_bytes = MAX(blob_bytes, (guint32)g_bytes_get_size(algorithms[i]->blob));
    }
    g_autofree Halted *runner = g_new0(Halted, 1);
    runner->runner.ops = &ops;
    runner->target = target;
    runner->device = device;
    runner->algorithms = algorithms;
    runner->events = *events;
    runner->back = ALIGN16((guint32)device->ram_start);
    runner->stack_bottom = runner->back + RETURN_BYTES;
    runner->stack_top = runner->stack_bottom + imp_runner_stack_bytes(device);
    runner->page = runner->stack_top;
    runner->blob = runner->page + ALIGN16(page_bytes);
    if ((guint64)runner->blob + blob_bytes > device->ram_start + device->ram_bytes) {
        imp_error_set(error, IMP_E_RAM_TOO_SMALL,
                      "%s: %u bytes of RAM do not hold the flash algorithm and a page", device->name,
                      device->ram_bytes);
        return NULL;
    }
    guint8 canary[4], stop[4];
    imp_put_le32(canary, STACK_CANARY);
    imp_put_le32(stop, BKPT_BKPT);
    if (!imp_target_halt(target, error) || !write_checked(runner, runner->back, stop, sizeof stop, error) ||
        !write_checked(runner, runner->stack_bottom, canary, sizeof canary, error) ||
        !imp_target_break_at(target, runner->back, error)) {
        g_prefix_error(error, "loading the flash algorithm: ");
        return NULL;
    }
    return &((Halted *)g_steal_pointer(&runner))->runner;
}
