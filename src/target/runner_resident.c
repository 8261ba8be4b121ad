/* Runs flash algorithms by a small program of ours in the target's RAM, while the host fills its ring of slots. */
#include "target/runner.h"

#include "base/error.h"
#include "resident/layout.h"

#include <string.h>

/* Made from algorithms/resident/resident.c. */
extern const guint8 resident_code[];
extern const gsize resident_code_bytes;

#define ALIGN16(n)         (((n) + 15u) & ~15u)
#define TRAILER_BYTES      ((guint32)sizeof(struct resident_trailer))
#define CRC_TABLE_BYTES    (RESIDENT_CRC_ENTRIES * 4)
#define SLOTS_BEFORE_TABLE 4 /* the ring has these before there is a large table for checksums */
#define STACK_CANARY       0xC0DEFA11u
#define STATUS_BYTES       8 /* done, at */
#define XPSR_THUMB         0x01000000u
#define LR_NOWHERE         0xFFFFFFFFu
#define POLL_MIN_US        200
#define POLL_MAX_US        (50 * 1000)
#define IDLE_LIMIT_MS      1000
#define DONE_MASK          0x7FFFFFFFu
#define RECOVERIES_MAX     8 /* in a row without progress */
#define NEAR_THE_END       2 /* commands: the last page and the clean-up behind it */

G_STATIC_ASSERT(sizeof(struct resident_trailer) == 16);
G_STATIC_ASSERT(sizeof(struct resident_algorithm) == 32);
G_STATIC_ASSERT(sizeof(struct resident_control) == 40);

/* A command that the runner may not have finished yet. */
typedef struct {
    enum resident_op op;
    gsize algorithm;
    guint32 address, size_bytes, sector_bytes;
    guint32 reported; /* bytes of it that were told to the caller */
    guint32 data_bytes; /* of its slot's data area that the host wrote */
} Command;

/* How fast one kind of work goes: measured from its first to its latest progress. */
typedef struct {
    gboolean begun;
    gint64 first_us, latest_us;
    guint64 units, first_units, latest_units;
} Pace;

enum { PACE_ERASE, PACE_PROGRAM, PACE_CHECK, PACES };

typedef struct {
    ImpRunner runner;
    ImpTarget *target;
    ImpAdi *adi; /* the target's */
    const ImpDevice *device;
    const ImpAlgorithm *const *algorithms;
    gsize n_algorithms;
    ImpRunnerEvents events;

    guint32 control, stack_bottom, stack_top, entry; /* addresses in the target */
    guint32 crc_table; /* 0: the RAM is needed for the ring */
    guint32 ring, data_bytes, slot_bytes, slots;

    guint64 queued, done; /* commands */
    guint32 at; /* the address that the runner said last */
    Command commands[IMP_RUNNER_SLOTS_MAX]; /* number n is at (n - 1) % slots */
    guint8 *copy; /* of the ring, as the host wrote it */
    guint8 *image; /* what was loaded before the stack */
    guint32 image_bytes;
    guint recoveries; /* of the link, since the last progress */
    gint64 last_change_us; /* when progress was last seen */
    Pace paces[PACES];
    gboolean ending; /* the last commands are on their way: looks include the stack's last word */
    guint32 canary; /* that word */

    gboolean asked; /* a look at the status travels behind other packets */
    guint64 asked_ticket;
    guint8 asked_done[4];
} Resident;

static gint64 now_us(const Resident *runner)
{
    return imp_clock_boot_us(runner->adi->clock);
}

static guint32 slot_address(const Resident *runner, guint64 number)
{
    return runner->ring + (guint32)((number - 1) % runner->slots) * runner->slot_bytes;
}

static Command *command_of(Resident *runner, guint64 number)
{
    return &runner->commands[(number - 1) % runner->slots];
}

/* Places control block, table, code, algorithms, stack and ring; FALSE if fewer than two slots are left. */
static gboolean plan(const ImpDevice *device, const ImpAlgorithm *const *algorithms, gsize n, Resident *out,
                     guint32 *out_image_bytes)
{
    guint64 at = ALIGN16(sizeof(struct resident_control)) + n * sizeof(struct resident_algorithm);
    at = ALIGN16(at);
    guint32 page_bytes = 16;
    guint64 base = ALIGN16(device->ram_start);
    out->control = (guint32)base;
    out->entry = (guint32)(base + at);
    at += ALIGN16(resident_code_bytes);
    for (gsize i = 0; i < n; i++) {
        at += ALIGN16(g_bytes_get_size(algorithms[i]->blob));
        page_bytes = MAX(page_bytes, algorithms[i]->page_bytes);
    }
    *out_image_bytes = (guint32)at;
    out->stack_bottom = (guint32)(base + at);
    at += imp_runner_stack_bytes(device);
    out->stack_top = (guint32)(base + at);
    out->data_bytes = ALIGN16(page_bytes);
    out->slot_bytes = out->data_bytes + TRAILER_BYTES;
    guint64 end = device->ram_start + device->ram_bytes;
    if (base + at >= end || end > G_MAXUINT32)
        return FALSE;
    out->crc_table = 0;
    if (base + at + CRC_TABLE_BYTES + (guint64)SLOTS_BEFORE_TABLE * out->slot_bytes <= end) {
        out->crc_table = (guint32)(base + at);
        at += CRC_TABLE_BYTES;
    }
    out->ring = (guint32)(base + at);
    out->slots = (guint32)MIN((end - base - at) / out->slot_bytes, IMP_RUNNER_SLOTS_MAX);
    return out->slots >= IMP_RUNNER_SLOTS_MIN;
}

gboolean imp_runner_fits(const ImpDevice *device, const ImpAlgorithm *const *algorithms, gsize n_algorithms)
{
    Resident layout;
    guint32 image_bytes;
    return plan(device, algorithms, n_algorithms, &layout, &image_bytes);
}

static void put_words(guint8 *at, const guint32 *words, gsize n_words)
{
    for (gsize i = 0; i < n_words; i++)
        imp_put_le32(at + 4 * i, words[i]);
}

static guint32 function_address(guint32 blob, guint32 offset)
{
    return offset == IMP_ENTRY_NONE ? 0 : (blob + offset) | 1;
}

/* What lies in RAM before the stack. */
static guint8 *make_image(const Resident *runner, guint32 image_bytes)
{
    guint8 *image = g_malloc0(image_bytes);
    guint32 table = ALIGN16(sizeof(struct resident_control));
    guint32 at = runner->entry - runner->control;
    const guint32 control[] = {0,
                               0,
                               0,
                               0,
                               runner->ring,
                               runner->slot_bytes,
                               runner->data_bytes,
                               runner->slots,
                               runner->control + table,
                               runner->crc_table};
    G_STATIC_ASSERT(sizeof control == sizeof(struct resident_control));
    put_words(image, control, G_N_ELEMENTS(control));
    memcpy(image + at, resident_code, resident_code_bytes);
    at += ALIGN16(resident_code_bytes);
    for (gsize i = 0; i < runner->n_algorithms; i++) {
        const ImpAlgorithm *a = runner->algorithms[i];
        guint32 blob = runner->control + at;
        const guint32 entry[] = {function_address(blob, a->init),
                                 function_address(blob, a->uninit),
                                 function_address(blob, a->erase_chip),
                                 function_address(blob, a->erase_sector),
                                 function_address(blob, a->program_page),
                                 blob + a->static_base,
                                 (guint32)a->start,
                                 runner->device->core_hz};
        G_STATIC_ASSERT(sizeof entry == sizeof(struct resident_algorithm));
        put_words(image + table + i * sizeof(struct resident_algorithm), entry, G_N_ELEMENTS(entry));
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(a->blob, &n_bytes);
        memcpy(image + at, bytes, n_bytes);
        at += ALIGN16(n_bytes);
    }
    return image;
}

/* Compares a part of the image with what was read of it. */
static gboolean compare_image(const Resident *runner, const guint8 *seen, guint32 from, guint32 to,
                              GError **error)
{
    for (guint32 i = from; i + 4 <= to; i += 4) {
        const guint8 *want = runner->image + i;
        if (memcmp(want, seen + i, 4) == 0)
            continue;
        imp_error_set_at(error, IMP_E_TARGET_RAM, runner->control + i, want, seen + i, 4,
                         "RAM at 0x%08X: wrote 0x%08X, reads 0x%08X", runner->control + i, imp_le32(want),
                         imp_le32(seen + i));
        return FALSE;
    }
    return TRUE;
}

/* Is what the core runs, and what it never changes, still what was loaded? */
static gboolean check_image(const Resident *runner, GError **error)
{
    g_autofree guint8 *seen = g_malloc(runner->image_bytes);
    guint32 at = runner->entry - runner->control + ALIGN16(resident_code_bytes);
    if (!imp_adi_read(runner->adi, runner->control, seen, runner->image_bytes, error) ||
        !compare_image(runner, seen, G_STRUCT_OFFSET(struct resident_control, ring), at, error))
        return FALSE;
    for (gsize i = 0; i < runner->n_algorithms; i++) {
        const ImpAlgorithm *a = runner->algorithms[i];
        if (!compare_image(runner, seen, at, at + a->static_base, error))
            return FALSE;
        at += (guint32)ALIGN16(g_bytes_get_size(a->blob));
    }
    return TRUE;
}

/* So that no old word is taken for a sequence number. */
static gboolean clear_sequences(Resident *runner, GError **error)
{
    gint64 begin_us = now_us(runner);
    for (guint retries = 0;; retries++) {
        GError *why = NULL;
        for (guint32 i = 0; i < runner->slots; i++)
            imp_adi_queue_write32(runner->adi, runner->ring + (i + 1) * runner->slot_bytes - 4, 0);
        if (imp_adi_flush(runner->adi, &why))
            return TRUE;
        if (!imp_adi_may_repeat(runner->adi, why, retries, begin_us)) {
            imp_error_set_place(&why, runner->ring);
            g_propagate_error(error, why);
            return FALSE;
        }
        g_error_free(why);
    }
}

/* Writes the image, looks whether the RAM holds it, and clears every trailer. */
static gboolean load(Resident *runner, GError **error)
{
    ImpAdi *adi = runner->adi;
    g_autofree guint8 *seen = g_malloc(runner->image_bytes);
    return imp_adi_write(adi, runner->control, runner->image, runner->image_bytes, error) &&
           imp_adi_read(adi, runner->control, seen, runner->image_bytes, error) &&
           compare_image(runner, seen, 0, runner->image_bytes, error) &&
           imp_adi_write32(adi, runner->stack_bottom, STACK_CANARY, error) && clear_sequences(runner, error);
}

static gboolean start_core(Resident *runner, GError **error)
{
    const ImpCoreRegister registers[] = {
        {0, runner->control},
        {IMP_REGISTER_SP, runner->stack_top},
        {IMP_REGISTER_LR, LR_NOWHERE},
        {IMP_REGISTER_PC, runner->entry},
        {IMP_REGISTER_XPSR, XPSR_THUMB},
    };
    return imp_target_write_registers(runner->target, registers, G_N_ELEMENTS(registers), error) &&
           imp_target_resume(runner->target, error);
}

static void free_runner(Resident *runner)
{
    g_free(runner->copy);
    g_free(runner->image);
    g_free(runner);
}

static void resident_stop(ImpRunner *base)
{
    Resident *runner = (Resident *)base;
    g_autoptr(GError) ignored = NULL;
    const gint *cancel = runner->adi->cancel;
    runner->adi->cancel = NULL; /* a cancelled job still has to stop the core */
    if (!imp_target_halt(runner->target, &ignored))
        g_debug("while stopping the runner: %s", ignored->message);
    runner->adi->cancel = cancel;
    free_runner(runner);
}

static const char *function_name(guint32 function)
{
    static const char *const names[] = {"nothing",     "Init",        "UnInit",  "EraseChip",
                                        "EraseSector", "ProgramPage", "checksum"};
    return function < G_N_ELEMENTS(names) ? names[function] : "unknown code";
}

/* The command that the runner works on, or that would be next. */
static const Command *current(Resident *runner)
{
    static const Command none = {.op = RESIDENT_IDLE};
    return runner->done < runner->queued ? command_of(runner, runner->done + 1) : &none;
}

static void name_step(Resident *runner, GError **error)
{
    switch (current(runner)->op) {
    case RESIDENT_ERASE_CHIP:
    case RESIDENT_ERASE_SECTORS:
        imp_error_set_step(error, "erase");
        break;
    case RESIDENT_PROGRAM:
        imp_error_set_step(error, "program");
        break;
    case RESIDENT_CRC:
        imp_error_set_step(error, "verify");
        break;
    case RESIDENT_IDLE:
        break;
    }
}

/* The core stopped, or did not get on in its time: finds out where. Always FALSE. */
static gboolean explain(Resident *runner, gint64 waited_us, GError **error)
{
    ImpTarget *target = runner->target;
    guint8 words[16];
    guint32 pc = 0, xpsr = 0;
    gboolean timed_out = waited_us > 0;
    if (!imp_target_halt(target, error) ||
        !imp_adi_read(runner->adi, runner->control, words, sizeof words, error) ||
        !imp_target_read_register(target, IMP_REGISTER_PC, &pc, error) ||
        !imp_target_read_register(target, IMP_REGISTER_XPSR, &xpsr, error))
        return FALSE;
    guint32 done = imp_le32(words), at = imp_le32(words + 4), function = imp_le32(words + 8),
            result = imp_le32(words + 12);
    const Command *command = current(runner);
    const char *name = command->algorithm < runner->n_algorithms
                           ? runner->algorithms[command->algorithm]->name
                           : "algorithm";
    if ((done & RESIDENT_FAILED) != 0)
        imp_error_set_at(error, IMP_E_ALGORITHM_FAILED, at, NULL, NULL, 0, "%s of %s at 0x%08X returned %u",
                         function_name(function), name, at, result);
    else if (timed_out)
        imp_error_set_at(error, IMP_E_ALGORITHM_TIMEOUT, at, NULL, NULL, 0,
                         "%s of %s at 0x%08X did not finish within %" G_GINT64_FORMAT " ms (pc 0x%08X)",
                         function_name(function), name, at, waited_us / 1000, pc);
    else
        imp_error_set_at(error, IMP_E_ALGORITHM_CRASHED, at, NULL, NULL, 0,
                         "the core stopped in %s of %s at 0x%08X (pc 0x%08X, exception %u)",
                         function_name(function), name, at, pc, xpsr & 0x3F);
    return FALSE;
}

/* The command's own time limit, for the part of it that shows no progress. */
static gint64 limit_us(Resident *runner, const Command *command)
{
    const ImpAlgorithm *a = runner->algorithms[command->algorithm];
    gint64 ms = IDLE_LIMIT_MS;
    switch (command->op) {
    case RESIDENT_ERASE_CHIP:
        ms = imp_runner_chip_ms(runner->device, a);
        break;
    case RESIDENT_ERASE_SECTORS:
        ms = a->erase_ms_max;
        break;
    case RESIDENT_PROGRAM:
        ms = a->program_ms_max;
        break;
    case RESIDENT_CRC:
        ms = (gint64)command->size_bytes * IMP_RUNNER_CRC_CYCLES * 4 / (runner->device->core_hz / 1000 + 1);
        break;
    case RESIDENT_IDLE:
        break;
    }
    return (ms + IMP_RUNNER_GRACE_MS) * 1000;
}

static Pace *pace_of(Resident *runner, enum resident_op op)
{
    switch (op) {
    case RESIDENT_ERASE_SECTORS:
        return &runner->paces[PACE_ERASE];
    case RESIDENT_PROGRAM:
        return &runner->paces[PACE_PROGRAM];
    case RESIDENT_CRC:
        return &runner->paces[PACE_CHECK];
    case RESIDENT_ERASE_CHIP:
    case RESIDENT_IDLE:
        break;
    }
    return NULL;
}

/* Tells the caller of bytes that are finished, and learns from it how fast the work goes. */
static void report(Resident *runner, Command *command, guint32 finished)
{
    if (finished <= command->reported)
        return;
    guint32 bytes = finished - command->reported;
    command->reported = finished;
    Pace *pace = pace_of(runner, command->op);
    if (pace != NULL) {
        pace->units += bytes;
        pace->latest_us = now_us(runner);
        pace->latest_units = pace->units;
        if (!pace->begun) {
            pace->begun = TRUE;
            pace->first_us = pace->latest_us;
            pace->first_units = pace->units;
        }
    }
    gpointer user = runner->events.user;
    if (command->op == RESIDENT_ERASE_SECTORS)
        runner->events.erased(user, bytes);
    else if (command->op == RESIDENT_ERASE_CHIP)
        runner->events.erased(user, 1);
    else if (command->op == RESIDENT_PROGRAM)
        runner->events.programmed(user, bytes);
    else if (command->op == RESIDENT_CRC)
        runner->events.checked(user, bytes);
}

/* Takes in what the runner wrote into its control block. */
static gboolean take_status(Resident *runner, guint32 word, guint32 at, GError **error)
{
    guint32 behind = (word & DONE_MASK) - (guint32)(runner->done & DONE_MASK);
    if (behind > runner->queued - runner->done) {
        imp_error_set(error, IMP_E_ALGORITHM_CRASHED,
                      "the runner's count is 0x%08X in place of %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                      ": something overwrote its memory",
                      word, runner->done, runner->queued);
        return FALSE;
    }
    if (behind > 0 || at != runner->at)
        runner->last_change_us = now_us(runner);
    if (behind > 0)
        runner->recoveries = 0;
    for (; behind > 0; behind--) {
        Command *command = command_of(runner, runner->done + 1);
        report(runner, command, command->size_bytes);
        runner->done++;
    }
    runner->at = at;
    if ((word & RESIDENT_FAILED) != 0)
        return explain(runner, 0, error);
    if (runner->done < runner->queued) { /* sectors, and words of a checksum, before `at` are finished */
        Command *command = command_of(runner, runner->done + 1);
        guint32 step = command->op == RESIDENT_ERASE_SECTORS ? command->sector_bytes
                       : command->op == RESIDENT_CRC         ? 4
                                                             : 0;
        guint32 offset = at - command->address;
        if (step != 0 && at > command->address && offset < command->size_bytes)
            report(runner, command, offset - offset % step);
    }
    return TRUE;
}

/* Names the step and the place that an error belongs to. */
static gboolean in_step(Resident *runner, gboolean good, GError *why, GError **error)
{
    if (good)
        return TRUE;
    name_step(runner, &why);
    const Command *command = current(runner);
    if (command->op != RESIDENT_IDLE)
        imp_error_set_place(&why, MAX(runner->at, command->address));
    g_propagate_error(error, why);
    return FALSE;
}

/* Sends one command: its data, and then the trailer with the sequence number last. */
static void send_command(Resident *runner, guint64 number)
{
    const Command *command = command_of(runner, number);
    guint32 slot = slot_address(runner, number);
    const guint8 *copy = runner->copy + (slot - runner->ring);
    guint32 n_bytes = command->data_bytes;
    if (n_bytes == runner->data_bytes) {
        imp_adi_queue_write(runner->adi, slot, copy, runner->slot_bytes / 4);
        return;
    }
    imp_adi_queue_write(runner->adi, slot, copy, n_bytes / 4);
    imp_adi_queue_write(runner->adi, slot + runner->data_bytes, copy + runner->data_bytes, TRAILER_BYTES / 4);
}

/* Everything again that the runner may not have got. Writing a slot twice is harmless, also while the core works on it: its
 * content is the same, and a command is carried out once, when its number's turn comes. */
static gboolean send_unfinished(Resident *runner, GError **error)
{
    gint64 begin_us = now_us(runner);
    for (guint retries = 0;; retries++) {
        GError *why = NULL;
        for (guint64 number = runner->done + 1; number <= runner->queued; number++)
            send_command(runner, number);
        if (imp_adi_flush(runner->adi, &why))
            return TRUE;
        if (!imp_adi_may_repeat(runner->adi, why, retries, begin_us)) {
            imp_error_set_place(&why, runner->ring);
            g_propagate_error(error, why);
            return FALSE;
        }
        g_error_free(why);
    }
}

static gboolean is_disturbance(const GError *why)
{
    return why->code == IMP_E_LINK_WAIT || why->code == IMP_E_LINK_FAULT || why->code == IMP_E_LINK_PARITY ||
           why->code == IMP_E_LINK_LOST || why->code == IMP_E_BUS_FAULT;
}

/* After a disturbance, with packets in flight behind it: they may have gone to wrong places of the RAM (docs/faults.md,
 * "Repeating what was disturbed"). TRUE: *why is cleared, and the runner has all that it had to have. */
static gboolean recover(Resident *runner, GError **why)
{
    ImpAdi *adi = runner->adi;
    guint8 status[STATUS_BYTES];
    guint32 dhcsr;
    runner->asked = FALSE;
    if (!is_disturbance(*why) || runner->recoveries == RECOVERIES_MAX)
        return FALSE;
    runner->recoveries++;
    adi->health->retries++;
    g_debug("the runner's link is brought back: %s", (*why)->message);
    g_clear_error(why);
    if (!imp_target_poll_core(runner->target, &dhcsr, why) ||
        !imp_adi_read(adi, runner->control, status, sizeof status, why))
        return FALSE;
    if ((dhcsr & (IMP_DHCSR_S_HALT | IMP_DHCSR_S_LOCKUP)) != 0)
        return explain(runner, 0, why);
    return check_image(runner, why) && clear_sequences(runner, why) &&
           take_status(runner, imp_le32(status), imp_le32(status + 4), why) && send_unfinished(runner, why);
}

/* The look that travelled behind other packets. After a disturbance there is nothing new to be known yet. */
static gboolean take_answer(Resident *runner, GError **error)
{
    GError *why = NULL;
    gboolean good = imp_adi_wait(runner->adi, runner->asked_ticket, &why);
    runner->asked = FALSE;
    if (good)
        good = take_status(runner, imp_le32(runner->asked_done), runner->at, &why);
    else
        good = recover(runner, &why);
    return in_step(runner, good, why, error);
}

/* Asks for the status and waits for the answer. In the end the stack's last word is read behind it, which saves a round. */
static gboolean poll(Resident *runner, GError **error)
{
    guint8 status[STATUS_BYTES], core[4], canary[4];
    GError *why = NULL;
    ImpAdi *adi = runner->adi;
    gboolean good;
    do {
        imp_adi_queue_read(adi, runner->control, status, STATUS_BYTES / 4);
        imp_target_queue_poll_core(runner->target, core);
        if (runner->ending)
            imp_adi_queue_read32(adi, runner->stack_bottom, canary);
        good = imp_adi_flush(adi, &why);
        runner->asked = FALSE; /* answered as well, and older */
    } while (!good && recover(runner, &why));
    if (good && runner->ending)
        runner->canary = imp_le32(canary);
    good = good && take_status(runner, imp_le32(status), imp_le32(status + 4), &why);
    if (good && (imp_le32(core) & (IMP_DHCSR_S_HALT | IMP_DHCSR_S_LOCKUP)) != 0)
        good = explain(runner, 0, &why);
    return in_step(runner, good, why, error);
}

/* Time from the last progress until command number `last` is finished, as far as it is known: up to the first command
 * of a kind that was never seen; -1 if nothing is known. */
static gint64 expect_us(Resident *runner, guint64 last)
{
    gdouble sum = 0;
    for (guint64 n = runner->done + 1; n <= last; n++) {
        const Command *command = command_of(runner, n);
        guint32 left = command->size_bytes - command->reported;
        if (command->op == RESIDENT_IDLE)
            continue;
        const Pace *pace = pace_of(runner, command->op);
        if (pace != NULL && pace->begun && pace->latest_units > pace->first_units)
            sum += (gdouble)left * (gdouble)(pace->latest_us - pace->first_us) /
                   (gdouble)(pace->latest_units - pace->first_units);
        else if (command->op == RESIDENT_CRC && runner->device->core_hz > 0)
            sum += (gdouble)left * IMP_RUNNER_CRC_CYCLES * 1e6 / runner->device->core_hz;
        else
            return sum > 0 ? (gint64)sum : -1;
    }
    return (gint64)sum;
}

/* Waits until command number `last` is finished: sleeps as long as the work is expected to take, then looks. */
static gboolean wait_for(Resident *runner, guint64 last, GError **error)
{
    imp_dap_kick(runner->adi->dap);
    while (runner->done < last) {
        if (!imp_adi_check_cancel(runner->adi, error))
            return FALSE;
        gint64 since = now_us(runner) - runner->last_change_us;
        gint64 expected = expect_us(runner, last);
        gint64 wait = expected < 0 ? since / 8 : since < expected ? expected - since : (since - expected) / 4;
        /* Where the wire is slower than the flash, the pace is the wire's, which has nothing more to carry now: the last page
         * takes less. */
        if (since < expected && runner->queued - runner->done <= NEAR_THE_END &&
            current(runner)->op == RESIDENT_PROGRAM)
            wait /= 2;
        imp_clock_sleep_us(runner->adi->clock, CLAMP(wait, POLL_MIN_US, POLL_MAX_US));
        if (!poll(runner, error))
            return FALSE;
        gint64 stuck = now_us(runner) - runner->last_change_us;
        if (runner->done < last && stuck > limit_us(runner, current(runner))) {
            GError *why = NULL;
            gboolean good = explain(runner, stuck, &why);
            return in_step(runner, good, why, error);
        }
    }
    return TRUE;
}

/* Makes sure that the next command has a slot. A quarter of the ring at a time keeps looks rare. */
static gboolean wait_for_slot(Resident *runner, GError **error)
{
    if (runner->asked && imp_dap_is_done(runner->adi->dap, runner->asked_ticket) &&
        !take_answer(runner, error))
        return FALSE;
    if (runner->queued - runner->done < runner->slots)
        return TRUE;
    if (runner->asked && !take_answer(runner, error))
        return FALSE;
    if (runner->queued - runner->done < runner->slots)
        return TRUE;
    return wait_for(runner, runner->queued - runner->slots + MAX(1, runner->slots / 4), error);
}

/* Queues one command; data (n_data words) may be empty. The sequence number goes last. */
static gboolean put(Resident *runner, const Command *command, const guint8 *data, gsize n_data_bytes,
                    GError **error)
{
    ImpAdi *adi = runner->adi;
    if (!imp_adi_check_cancel(adi, error) || !wait_for_slot(runner, error))
        return FALSE;
    if (runner->queued == runner->done) { /* idle until now: time does not count from the last work */
        runner->last_change_us = now_us(runner);
        for (guint i = 0; i < PACES; i++)
            runner->paces[i].begun = FALSE;
    }
    guint64 number = ++runner->queued;
    *command_of(runner, number) = *command;
    command_of(runner, number)->data_bytes = (guint32)n_data_bytes;
    guint8 *copy = runner->copy + (slot_address(runner, number) - runner->ring);
    const guint32 words[] = {command->address, command->size_bytes,
                             (guint32)command->op | (guint32)command->algorithm << 8, (guint32)number};
    put_words(copy + runner->data_bytes, words, G_N_ELEMENTS(words));
    if (n_data_bytes > 0)
        memcpy(copy, data, n_data_bytes);
    send_command(runner, number);
    if (!runner->asked && runner->queued - runner->done >= MAX(1, runner->slots * 7 / 8)) {
        imp_adi_queue_read(adi, runner->control, runner->asked_done, 1);
        runner->asked = TRUE;
        runner->asked_ticket = imp_dap_ticket(adi->dap);
    }
    return TRUE;
}

static gboolean resident_erase_chip(ImpRunner *base, gsize algorithm, GError **error)
{
    Resident *runner = (Resident *)base;
    const Command command = {.op = RESIDENT_ERASE_CHIP, .algorithm = algorithm, .size_bytes = 1};
    if (!put(runner, &command, NULL, 0, error))
        return FALSE;
    imp_dap_kick(runner->adi->dap); /* erases begin at once; what follows travels meanwhile */
    return TRUE;
}

static gboolean resident_erase(ImpRunner *base, gsize algorithm, guint32 address, guint32 size_bytes,
                               guint32 sector_bytes, GError **error)
{
    Resident *runner = (Resident *)base;
    const Command command = {.op = RESIDENT_ERASE_SECTORS,
                             .algorithm = algorithm,
                             .address = address,
                             .size_bytes = size_bytes,
                             .sector_bytes = sector_bytes};
    guint8 word[4];
    imp_put_le32(word, sector_bytes);
    if (!put(runner, &command, word, sizeof word, error))
        return FALSE;
    imp_dap_kick(runner->adi->dap);
    return TRUE;
}

static gboolean resident_program(ImpRunner *base, gsize algorithm, guint32 address, const guint8 *page,
                                 GError **error)
{
    Resident *runner = (Resident *)base;
    guint32 page_bytes = runner->algorithms[algorithm]->page_bytes;
    const Command command = {
        .op = RESIDENT_PROGRAM, .algorithm = algorithm, .address = address, .size_bytes = page_bytes};
    if (page_bytes % 4 == 0)
        return put(runner, &command, page, page_bytes, error);
    g_autofree guint8 *padded = g_malloc0(page_bytes + 3);
    memcpy(padded, page, page_bytes);
    return put(runner, &command, padded, (page_bytes + 3) & ~3u, error);
}

static gboolean resident_finish(ImpRunner *base, GError **error)
{
    Resident *runner = (Resident *)base;
    const Command command = {.op = RESIDENT_IDLE};
    runner->ending = TRUE;
    gboolean good = put(runner, &command, NULL, 0, error) && poll(runner, error) &&
                    wait_for(runner, runner->queued, error);
    runner->ending = FALSE;
    if (!good)
        return FALSE;
    if (runner->canary == STACK_CANARY)
        return TRUE;
    imp_error_set_at(error, IMP_E_ALGORITHM_CRASHED, runner->stack_bottom, NULL, NULL, 0,
                     "the flash algorithm used more than %u bytes of stack",
                     imp_runner_stack_bytes(runner->device));
    return FALSE;
}

static gboolean resident_check(ImpRunner *base, ImpRunnerCheck *checks, gsize n_checks, GError **error)
{
    Resident *runner = (Resident *)base;
    ImpAdi *adi = runner->adi;
    guint8 results[IMP_RUNNER_SLOTS_MAX][4];
    for (gsize i = 0; i < n_checks;) {
        gsize now = MIN(n_checks - i, runner->slots);
        guint64 first = runner->queued + 1;
        for (gsize k = 0; k < now; k++) {
            const Command command = {
                .op = RESIDENT_CRC, .address = checks[i + k].address, .size_bytes = checks[i + k].size_bytes};
            if (!put(runner, &command, NULL, 0, error))
                return FALSE;
        }
        if (!wait_for(runner, runner->queued, error))
            return FALSE;
        for (gsize k = 0; k < now; k++)
            imp_adi_queue_read32(adi, slot_address(runner, first + k), results[k]);
        if (!imp_adi_flush(adi, NULL)) /* one by one, with repeats */
            for (gsize k = 0; k < now; k++)
                if (!imp_adi_read(adi, slot_address(runner, first + k), results[k], 4, error))
                    return FALSE;
        for (gsize k = 0; k < now; k++)
            checks[i + k].crc = imp_le32(results[k]);
        i += now;
    }
    return TRUE;
}

ImpRunner *imp_runner_resident_start(ImpTarget *target, const ImpDevice *device,
                                     const ImpAlgorithm *const *algorithms, gsize n_algorithms,
                                     const ImpRunnerEvents *events, GError **error)
{
    static const ImpRunnerOps ops = {resident_stop,    resident_erase_chip, resident_erase,
                                     resident_program, resident_finish,     resident_check};
    Resident *runner = g_new0(Resident, 1);
    guint32 image_bytes;
    if (!plan(device, algorithms, n_algorithms, runner, &image_bytes)) {
        imp_error_set(error, IMP_E_RAM_TOO_SMALL,
                      "%s: %u bytes of RAM do not hold the flash algorithm and two pages", device->name,
                      device->ram_bytes);
        g_free(runner);
        return NULL;
    }
    runner->runner.ops = &ops;
    runner->target = target;
    runner->adi = &imp_swd(target)->adi;
    runner->device = device;
    runner->algorithms = algorithms;
    runner->n_algorithms = n_algorithms;
    runner->events = *events;
    runner->copy = g_malloc0((gsize)runner->slots * runner->slot_bytes);
    runner->image = make_image(runner, image_bytes);
    runner->image_bytes = image_bytes;
    if (load(runner, error) && start_core(runner, error))
        return &runner->runner;
    g_prefix_error(error, "loading the flash algorithm: ");
    free_runner(runner);
    return NULL;
}
