/* The launch's state machine against a scripted authority and a scripted port: the order of what it does is the test. */
#include "launch/launch.h"

#include <string.h>

typedef struct {
    ImpAuthority authority; /* first: the ops get this struct's address */
    ImpPort port;
    GString *trace; /* what was called, in order */
    /* the script */
    gboolean refuse, fail_writing, fail_end, defer_start;
    gboolean show_map; /* the trace has the map's addresses */
    gboolean identify; /* the permit asks for it */
    gboolean known, refuse_chip, defer_chip; /* the answer to identify */
    const char *uid; /* two bytes */
    const char *number; /* that is expected in flash */
    ImpIdentifyFn chip_done;
    gpointer chip_user;
    ImpCommandKind fail_at; /* this command fails with E2107 */
    gboolean locked; /* ATTACH fails with E2115 unless it may unlock */
    ImpCommandKind fail_too; /* and this one with E2304 */
    /* kept for a deferred answer */
    ImpStartFn done;
    gpointer done_user;
    ImpReport report;
    GPtrArray *queue; /* commands to be answered by pump() */
    guint callbacks_after_end;
    gboolean ended;
    ImpLaunchState last;
    int last_code;
} World;

static World *world_of_port(ImpPort *port)
{
    return (World *)((char *)port - G_STRUCT_OFFSET(World, port));
}

static ImpAnswer grant(void)
{
    ImpAnswer answer = {.kind = IMP_ANSWER_GRANTED, .n_numbers = 1};
    g_strlcpy(answer.numbers[0].pool, "p", sizeof answer.numbers[0].pool);
    answer.numbers[0].number = 7;
    memcpy(answer.numbers[0].bytes, "MB-7", 4);
    answer.numbers[0].n_bytes = 4;
    return answer;
}

static void give_answer(World *world)
{
    ImpAnswer answer = grant();
    answer.identify = world->identify;
    if (world->refuse) {
        g_autoptr(GError) error = NULL;
        imp_error_set(&error, IMP_E_COUNT_USED_UP, "all made");
        answer.kind = IMP_ANSWER_REFUSED;
        world->done(world->done_user, FALSE, &answer, error);
    } else {
        world->done(world->done_user, TRUE, &answer, NULL);
    }
}

static void authority_start(ImpAuthority *self, const ImpWant *want, ImpStartFn done, gpointer user)
{
    World *world = (World *)self;
    g_string_append(world->trace, "start ");
    world->done = done;
    world->done_user = user;
    if (!world->defer_start)
        give_answer(world);
}

/* A known chip has MB-3 already. */
static void give_chip(World *world)
{
    g_autoptr(GError) error = NULL;
    ImpAnswer answer = grant();
    answer.kind = IMP_ANSWER_IDENTIFIED;
    answer.kept = world->known;
    if (world->known) {
        answer.numbers[0].number = 3;
        answer.numbers[0].bytes[3] = '3';
    }
    if (world->refuse_chip)
        imp_error_set(&error, IMP_E_UNIT_KNOWN, "it has passed");
    world->chip_done(world->chip_user, error == NULL ? &answer : NULL, error);
}

static void authority_identify(ImpAuthority *self, const ImpId *launch, const guint8 *uid, gsize n_uid,
                               ImpIdentifyFn done, gpointer user)
{
    World *world = (World *)self;
    g_string_append(world->trace, "identify ");
    g_assert_cmpmem(uid, n_uid, world->uid, 2);
    world->chip_done = done;
    world->chip_user = user;
    if (!world->defer_chip)
        give_chip(world);
}

static gboolean authority_writing(ImpAuthority *self, const ImpId *launch, GError **error)
{
    World *world = (World *)self;
    g_string_append(world->trace, "writing ");
    if (world->fail_writing)
        imp_error_set(error, IMP_E_IO, "disk full");
    return !world->fail_writing;
}

static gboolean authority_end(ImpAuthority *self, const ImpReport *report, GError **error)
{
    World *world = (World *)self;
    g_string_append_printf(world->trace, "end-%s ", imp_result_name(report->result));
    world->report = *report;
    if (world->fail_end)
        imp_error_set(error, IMP_E_IO, "disk full");
    return !world->fail_end;
}

static void port_submit(ImpPort *self, const ImpCommand *command)
{
    World *world = world_of_port(self);
    static const char *const names[] = {
        [IMP_COMMAND_ATTACH] = "attach", [IMP_COMMAND_FLASH] = "flash",
        [IMP_COMMAND_READ] = "read",     [IMP_COMMAND_RESET] = "reset",
        [IMP_COMMAND_FINISH] = "finish", [IMP_COMMAND_BLANK_CHECK] = "blank-check",
        [IMP_COMMAND_WRITE] = "write",   [IMP_COMMAND_EXPECT] = "expect",
        [IMP_COMMAND_DELAY] = "delay",
    };
    g_string_append(world->trace, names[command->kind]);
    if (command->may_unlock) {
        g_string_append(world->trace, "(unlock)");
        world->locked = FALSE;
    }
    if (command->kind == IMP_COMMAND_FLASH && world->show_map) {
        g_string_append_printf(world->trace, "(%s%s%s", command->erase ? "e" : "",
                               command->program ? "p" : "", command->verify ? "v" : "");
        for (gsize i = 0; i < command->map->n_segments; i++)
            g_string_append_printf(world->trace, " %" G_GINT64_MODIFIER "x",
                                   command->map->segments[i].address);
        g_string_append_c(world->trace, ')');
    } else if (command->kind == IMP_COMMAND_FLASH) {
        g_string_append_printf(world->trace, "(%s%s%s)", command->erase ? "e" : "",
                               command->program ? "p" : "", command->verify ? "v" : "");
        g_assert_cmpuint(command->map->n_segments, ==, 2);
        g_assert_cmpuint(command->map->segments[1].address, ==, 0x2000);
        g_assert_cmpmem(g_bytes_get_data(command->map->segments[1].bytes, NULL), 4, world->number, 4);
        g_assert_cmpmem((const guint8 *)g_bytes_get_data(command->map->segments[1].bytes, NULL) + 4, 2,
                        "\xff\xff", 2);
    }
    g_string_append_c(world->trace, ' ');
    g_ptr_array_add(world->queue, GUINT_TO_POINTER(command->kind));
}

static void port_cancel(ImpPort *self)
{
    g_string_append(world_of_port(self)->trace, "cancel ");
}

/* Answers every submitted command until there is none left. */
static void pump(World *world)
{
    while (world->queue->len > 0) {
        ImpPortEvent event = {.done = TRUE,
                              .kind = GPOINTER_TO_UINT(g_ptr_array_steal_index(world->queue, 0))};
        if (event.kind == IMP_COMMAND_ATTACH) {
            memcpy(event.uid, world->uid, 2);
            event.n_uid = 2;
        }
        if (event.kind == IMP_COMMAND_READ) {
            g_strlcpy(event.reads[0].name, "uid", sizeof event.reads[0].name);
            memcpy(event.reads[0].bytes, "\xab", 1);
            event.reads[0].n_bytes = 1;
            event.n_reads = 1;
        }
        if (event.kind == world->fail_at)
            imp_error_set_at(&event.error, IMP_E_FLASH_MISMATCH, 0x1234, (const guint8 *)"\xff",
                             (const guint8 *)"\x00", 1, "differs");
        if (event.kind == IMP_COMMAND_ATTACH && world->locked)
            imp_error_set(&event.error, IMP_E_LOCKED, "locked");
        if (event.kind == world->fail_too)
            imp_error_set(&event.error, IMP_E_POWER_PROTOCOL, "the supply says nothing");
        g_assert_nonnull(world->port.handler);
        world->port.handler(world->port.user, &event);
        g_clear_error(&event.error);
    }
}

static gboolean authority_compare(ImpAuthority *self, const ImpWant *want, GError **error)
{
    World *world = (World *)self;
    g_string_append(world->trace, "compare ");
    if (world->fail_writing)
        imp_error_set(error, IMP_E_IO, "disk full");
    return !world->fail_writing;
}

static const ImpAuthorityOps authority_ops = {.start = authority_start,
                                              .identify = authority_identify,
                                              .writing = authority_writing,
                                              .compare = authority_compare,
                                              .end = authority_end};
static const ImpPortOps port_ops = {.submit = port_submit, .cancel = port_cancel};

static void on_changed(gpointer user, const ImpLaunchView *view)
{
    World *world = user;
    g_assert_false(world->ended);
    world->ended = view->state >= IMP_LAUNCH_PASSED;
    world->last = view->state;
    world->last_code = view->error != NULL ? imp_error_code(view->error) : 0;
}

typedef struct {
    const char *name;
    ImpStepKind steps[8];
    gboolean read_value;
    gboolean refuse, fail_writing, fail_end, cancel_while_asking, cancel_while_working;
    gboolean locked, unlock;
    gboolean verify_only;
    ImpStepKind finally[3];
    ImpCommandKind fail_at, fail_too;
    ImpReworkMode rework; /* 0 = new values */
    gboolean identify, known, refuse_chip, defer_chip, cancel_while_telling;
    const char *uid; /* NULL = 01 02 */
    const char *trace;
    ImpLaunchState state;
    int code;
} Row;

static const Row rows[] = {
    {.name = "pass",
     .steps = {IMP_STEP_ERASE, IMP_STEP_PROGRAM, IMP_STEP_VERIFY, IMP_STEP_RESET},
     .read_value = TRUE,
     .trace = "start attach read writing flash(epv) reset finish end-passed ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "separate-verify-and-read-step",
     .steps = {IMP_STEP_ERASE, IMP_STEP_PROGRAM, IMP_STEP_READ, IMP_STEP_VERIFY},
     .read_value = TRUE,
     .trace = "start attach writing flash(ep) read flash(v) finish end-passed ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "refused",
     .steps = {IMP_STEP_VERIFY},
     .refuse = TRUE,
     .trace = "start ",
     .state = IMP_LAUNCH_REFUSED,
     .code = IMP_E_COUNT_USED_UP},
    {.name = "not-verified-never-starts",
     .steps = {IMP_STEP_VERIFY, IMP_STEP_PROGRAM},
     .trace = "",
     .state = IMP_LAUNCH_REFUSED,
     .code = IMP_E_UNIT_NOT_VERIFIED},
    {.name = "rework/a-new-chip",
     .steps = {IMP_STEP_ERASE, IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .read_value = TRUE,
     .rework = IMP_REWORK_KEEP_VALUES,
     .trace = "start attach identify read writing flash(epv) finish end-passed ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "rework/a-known-chip-gets-its-number",
     .steps = {IMP_STEP_ERASE, IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .rework = IMP_REWORK_KEEP_VALUES,
     .known = TRUE,
     .trace = "start attach identify writing flash(epv) finish end-passed ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "rework/answered-later",
     .steps = {IMP_STEP_ERASE, IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .rework = IMP_REWORK_KEEP_VALUES,
     .known = TRUE,
     .defer_chip = TRUE,
     .trace = "start attach identify writing flash(epv) finish end-passed ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "rework/refused-is-not-touched",
     .steps = {IMP_STEP_ERASE, IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .rework = IMP_REWORK_REFUSE,
     .refuse_chip = TRUE,
     .trace = "start attach identify finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_UNIT_KNOWN},
    {.name = "rework/asked-for-by-the-permit",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .identify = TRUE,
     .trace = "start attach identify writing flash(pv) finish end-passed ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "rework/known-once-it-is-erased-to-get-in",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .rework = IMP_REWORK_KEEP_VALUES,
     .known = TRUE,
     .locked = TRUE,
     .unlock = TRUE,
     .trace = "start attach writing attach(unlock) identify flash(pv) finish end-passed ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "rework/blank-id",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .rework = IMP_REWORK_KEEP_VALUES,
     .uid = "\xff\xff",
     .trace = "start attach finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_UNIT_NOT_IDENTIFIED},
    {.name = "rework/cancelled-while-it-waits",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .rework = IMP_REWORK_KEEP_VALUES,
     .defer_chip = TRUE,
     .cancel_while_telling = TRUE,
     .trace = "start attach identify cancel finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_CANCELLED},
    {.name = "rework/attach-fails-and-nothing-is-told",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .rework = IMP_REWORK_KEEP_VALUES,
     .fail_at = IMP_COMMAND_ATTACH,
     .trace = "start attach finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_FLASH_MISMATCH},
    {.name = "attach-fails-number-free",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .fail_at = IMP_COMMAND_ATTACH,
     .trace = "start attach finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_FLASH_MISMATCH},
    {.name = "locked-chip-is-left-alone",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .locked = TRUE,
     .trace = "start attach finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_LOCKED},
    {.name = "locked-chip-is-erased-after-the-journal-says-so",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .locked = TRUE,
     .unlock = TRUE,
     .trace = "start attach writing attach(unlock) flash(pv) finish end-passed ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "locked-chip-and-full-journal",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .locked = TRUE,
     .unlock = TRUE,
     .fail_writing = TRUE,
     .trace = "start attach writing finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_IO},
    {.name = "flash-fails-number-spent",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY, IMP_STEP_RESET},
     .fail_at = IMP_COMMAND_FLASH,
     .trace = "start attach writing flash(pv) finish end-spent ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_FLASH_MISMATCH},
    {.name = "verify-only-never-writes",
     .steps = {IMP_STEP_VERIFY},
     .fail_at = IMP_COMMAND_FLASH,
     .trace = "start attach flash(v) finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_FLASH_MISMATCH},
    {.name = "journal-full-before-write",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .fail_writing = TRUE,
     .trace = "start attach writing finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_IO},
    {.name = "journal-full-at-end-is-not-passed",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .fail_end = TRUE,
     .trace = "start attach writing flash(pv) finish end-passed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_IO},
    {.name = "cancelled-while-asking",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .cancel_while_asking = TRUE,
     .trace = "start end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_CANCELLED},
    {.name = "every-step-by-itself",
     .steps = {IMP_STEP_BLANK_CHECK, IMP_STEP_EXPECT, IMP_STEP_DELAY, IMP_STEP_PROGRAM, IMP_STEP_VERIFY,
               IMP_STEP_EXPECT, IMP_STEP_RESET},
     .trace = "start attach blank-check expect delay writing flash(pv) expect reset finish end-passed ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "write-is-journaled-first",
     .steps = {IMP_STEP_WRITE, IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .trace = "start attach writing write flash(pv) finish end-passed ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "blank-check-fails-number-free",
     .steps = {IMP_STEP_BLANK_CHECK, IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .fail_at = IMP_COMMAND_BLANK_CHECK,
     .trace = "start attach blank-check finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_FLASH_MISMATCH},
    {.name = "only-compares",
     .steps = {IMP_STEP_WRITE, IMP_STEP_ERASE, IMP_STEP_PROGRAM}, /* not even verified: none is carried out */
     .finally = {IMP_STEP_WRITE},
     .read_value = TRUE,
     .verify_only = TRUE,
     .trace = "compare attach read flash(v 1000) finish end-verified ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "only-compares-and-differs",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .verify_only = TRUE,
     .fail_at = IMP_COMMAND_FLASH,
     .trace = "compare attach read flash(v 1000) finish end-unverified ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_FLASH_MISMATCH},
    {.name = "only-compares-and-finds-it-locked",
     .verify_only = TRUE,
     .locked = TRUE,
     .unlock = TRUE,
     .trace = "compare attach finish end-unverified ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_LOCKED},
    {.name = "only-compares-but-not-unjournaled",
     .verify_only = TRUE,
     .fail_writing = TRUE,
     .trace = "compare ",
     .state = IMP_LAUNCH_REFUSED,
     .code = IMP_E_IO},
    {.name = "finally-after-success",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .finally = {IMP_STEP_RESET, IMP_STEP_DELAY},
     .trace = "start attach writing flash(pv) reset delay finish end-passed ",
     .state = IMP_LAUNCH_PASSED},
    {.name = "finally-after-failure",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY, IMP_STEP_RESET},
     .finally = {IMP_STEP_WRITE, IMP_STEP_DELAY},
     .fail_at = IMP_COMMAND_FLASH,
     .trace = "start attach writing flash(pv) write delay finish end-spent ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_FLASH_MISMATCH},
    {.name = "finally-without-target",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .finally = {IMP_STEP_RESET, IMP_STEP_DELAY, IMP_STEP_WRITE},
     .fail_at = IMP_COMMAND_ATTACH,
     .trace = "start attach delay finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_FLASH_MISMATCH},
    {.name = "finally-that-fails-after-success",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .finally = {IMP_STEP_DELAY, IMP_STEP_RESET},
     .fail_too = IMP_COMMAND_DELAY,
     .trace = "start attach writing flash(pv) delay reset finish end-spent ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_POWER_PROTOCOL},
    {.name = "finally-keeps-the-first-error",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .finally = {IMP_STEP_DELAY, IMP_STEP_RESET},
     .fail_at = IMP_COMMAND_FLASH,
     .fail_too = IMP_COMMAND_DELAY,
     .trace = "start attach writing flash(pv) delay reset finish end-spent ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_FLASH_MISMATCH},
    {.name = "cancelled-while-working",
     .steps = {IMP_STEP_PROGRAM, IMP_STEP_VERIFY},
     .cancel_while_working = TRUE,
     .trace = "start attach cancel finish end-failed ",
     .state = IMP_LAUNCH_FAILED,
     .code = IMP_E_CANCELLED},
};

static void test_row(gconstpointer data)
{
    const Row *row = data;
    World world = {.authority = {&authority_ops}, .port = {.ops = &port_ops}};
    world.trace = g_string_new("");
    world.queue = g_ptr_array_new();
    world.refuse = row->refuse;
    world.fail_writing = row->fail_writing;
    world.fail_end = row->fail_end;
    world.show_map = row->verify_only;
    world.fail_at = row->fail_at;
    world.locked = row->locked;
    world.fail_too = row->fail_too;
    world.defer_start = row->cancel_while_asking;
    world.identify = row->identify;
    world.known = row->known;
    world.refuse_chip = row->refuse_chip;
    world.defer_chip = row->defer_chip;
    world.uid = row->uid != NULL ? row->uid : "\x01\x02";
    world.number = row->known ? "MB-3" : "MB-7";

    ImpContent content = {.name = (char *)"test"};
    ImpSegment segment = {(char *)"app", 0x1000, g_bytes_new_static("abcd", 4)};
    ImpPoolUse pool = {(char *)"p", (char *)"{}"};
    ImpValue values[] = {{.name = (char *)"serial", .kind = IMP_VALUE_POOL},
                         {.name = (char *)"uid", .kind = IMP_VALUE_READ, .read_bytes = 1, .log = TRUE}};
    ImpPlace place = {.value_index = 0, .address = 0x2000, .size_bytes = 6, .pad = 0xff};
    ImpStep steps[8] = {0};
    while (content.n_steps < 8 && row->steps[content.n_steps] != 0) {
        steps[content.n_steps].kind = row->steps[content.n_steps];
        content.n_steps++;
    }
    ImpStep finally[3] = {0};
    while (content.n_finally < 3 && row->finally[content.n_finally] != 0) {
        finally[content.n_finally].kind = row->finally[content.n_finally];
        content.n_finally++;
    }
    content.finally = finally;
    content.segments = &segment;
    content.n_segments = 1;
    content.pools = &pool;
    content.n_pools = 1;
    content.values = values;
    content.n_values = row->read_value ? 2 : 1;
    content.places = &place;
    content.n_places = 1;
    content.steps = steps;
    content.unlock = row->unlock ? IMP_UNLOCK_ERASE : IMP_UNLOCK_NEVER;
    content.rework = row->rework != 0 ? row->rework : IMP_REWORK_NEW_VALUES;

    ImpLaunchOptions options = {.content = &content,
                                .authority = &world.authority,
                                .port = &world.port,
                                .clock = imp_clock_system(),
                                .random = imp_random_system(),
                                .port_name = "1",
                                .changed = on_changed,
                                .verify_only = row->verify_only,
                                .user = &world};
    g_autoptr(ImpLaunch) launch = imp_launch_new(&options);
    imp_launch_start(launch);
    if (row->cancel_while_asking) {
        imp_launch_cancel(launch);
        give_answer(&world);
    }
    if (row->cancel_while_working)
        imp_launch_cancel(launch);
    pump(&world);
    if (row->cancel_while_telling)
        imp_launch_cancel(launch);
    if (row->defer_chip) {
        g_assert_false(imp_launch_finished(launch));
        give_chip(&world);
        pump(&world);
    }
    g_assert_cmpstr(world.trace->str, ==, row->trace);
    g_assert_true(imp_launch_finished(launch));
    g_assert_cmpint(world.last, ==, row->state);
    g_assert_cmpint(world.last_code, ==, row->code);
    if (row->verify_only)
        g_assert_cmpuint(world.report.n_numbers, ==, 0);
    if (row->state == IMP_LAUNCH_PASSED) {
        g_assert_cmpuint(world.report.numbers[0].number, ==, row->verify_only ? 0 : row->known ? 3 : 7);
        g_assert_cmpmem(world.report.uid, world.report.n_uid, "\x01\x02", 2);
        g_assert_cmpuint(world.report.n_reads, ==, row->read_value ? 1 : 0);
    }
    if (row->code == IMP_E_FLASH_MISMATCH) {
        g_assert_cmpuint(world.report.detail.address, ==, 0x1234);
        g_assert_cmpint(world.report.code, ==, row->code);
    }
    g_bytes_unref(segment.bytes);
    g_string_free(world.trace, TRUE);
    g_ptr_array_unref(world.queue);
}

/* Several groups of steps, each for its own bytes: what goes together in one command, and what does not. */
static void test_groups(void)
{
    World world = {
        .authority = {&authority_ops}, .port = {.ops = &port_ops}, .show_map = TRUE, .uid = "\x01\x02"};
    world.trace = g_string_new("");
    world.queue = g_ptr_array_new();
    g_autoptr(GBytes) bytes = g_bytes_new_static("abcd", 4);
    ImpSegment segments[] = {{(char *)"boot", 0x1000, bytes}, {(char *)"app", 0x3000, bytes}};
    ImpValue value = {.name = (char *)"serial", .kind = IMP_VALUE_POOL};
    ImpPoolUse pool = {(char *)"p", (char *)"{}"};
    ImpPlace place = {.address = 0x2000, .size_bytes = 6};
    ImpRange boot[] = {{0x1000, 0x1003}}, rest[] = {{0x2000, 0x2005}, {0x3000, 0x3003}};
    ImpStep steps[] = {
        {.kind = IMP_STEP_ERASE, .erase = IMP_ERASE_USED}, /* of everything: not with what is only for boot */
        {.kind = IMP_STEP_PROGRAM, .ranges = boot, .n_ranges = 1},
        {.kind = IMP_STEP_VERIFY, .ranges = boot, .n_ranges = 1, .verify = IMP_VERIFY_CHECKSUM},
        {.kind = IMP_STEP_ERASE, .erase = IMP_ERASE_RANGE, .range = {0x2000, 0x3fff}},
        {.kind = IMP_STEP_PROGRAM, .ranges = rest, .n_ranges = 2},
        {.kind = IMP_STEP_VERIFY, .verify = IMP_VERIFY_READ_BACK}, /* of everything */
    };
    ImpContent content = {.name = (char *)"test",
                          .segments = segments,
                          .n_segments = 2,
                          .pools = &pool,
                          .n_pools = 1,
                          .values = &value,
                          .n_values = 1,
                          .places = &place,
                          .n_places = 1,
                          .steps = steps,
                          .n_steps = G_N_ELEMENTS(steps),
                          .rework = IMP_REWORK_NEW_VALUES};
    ImpLaunchOptions options = {.content = &content,
                                .authority = &world.authority,
                                .port = &world.port,
                                .clock = imp_clock_system(),
                                .random = imp_random_system(),
                                .port_name = "1",
                                .changed = on_changed,
                                .user = &world};
    g_autoptr(ImpLaunch) launch = imp_launch_new(&options);
    imp_launch_start(launch);
    pump(&world);
    g_assert_cmpstr(world.trace->str, ==,
                    "start attach writing flash(e 1000 2000 3000) flash(pv 1000) flash(ep 2000 3000) "
                    "flash(v 1000 2000 3000) finish end-passed ");
    /* The same without the last step never begins. */
    content.n_steps--;
    world.ended = FALSE;
    g_autoptr(ImpLaunch) unverified = imp_launch_new(&options);
    imp_launch_start(unverified);
    g_assert_cmpint(world.last, ==, IMP_LAUNCH_REFUSED);
    g_assert_cmpint(world.last_code, ==, IMP_E_UNIT_NOT_VERIFIED);
    g_string_free(world.trace, TRUE);
    g_ptr_array_unref(world.queue);
}

typedef struct {
    const char *name;
    guint64 place_at;
    gsize value_bytes; /* 0 = missing */
    int code;
} MapRow;

static const MapRow map_rows[] = {
    {"fits", 0x1010, 4, 0},
    {"missing", 0x1010, 0, IMP_E_UNIT_VALUE_MISSING},
    {"too-long", 0x1010, 9, IMP_E_UNIT_VALUE_TOO_LONG},
    {"over-data", 0x1003, 4, IMP_E_UNIT_VALUE_COLLIDES},
    {"data-over-it", 0xffa, 4, IMP_E_UNIT_VALUE_COLLIDES},
    {"touches", 0x1004, 4, 0},
};

static void test_map(gconstpointer data)
{
    const MapRow *row = data;
    g_autoptr(GBytes) code = g_bytes_new_static("abcd", 4);
    g_autoptr(GBytes) value = g_bytes_new_static("123456789", row->value_bytes);
    ImpSegment segment = {(char *)"app", 0x1000, code};
    ImpValue name = {.name = (char *)"serial", .kind = IMP_VALUE_POOL};
    ImpPlace place = {.address = row->place_at, .size_bytes = 8, .pad = 0};
    ImpContent content = {.segments = &segment,
                          .n_segments = 1,
                          .values = &name,
                          .n_values = 1,
                          .places = &place,
                          .n_places = 1};
    g_autoptr(GError) error = NULL;
    GBytes *values[] = {row->value_bytes > 0 ? value : NULL};
    g_autoptr(ImpUnitMap) map = imp_unit_map_new(&content, values, NULL, &error);
    if (row->code != 0) {
        g_assert_null(map);
        g_assert_error(error, IMP_ERROR, row->code);
        return;
    }
    g_assert_no_error(error);
    g_assert_cmpuint(map->n_segments, ==, 2);
    g_assert_cmpmem(g_bytes_get_data(map->segments[1].bytes, NULL), 8, "1234\0\0\0\0", 8);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/launch/%s", rows[i].name);
        g_test_add_data_func(path, &rows[i], test_row);
    }
    g_test_add_func("/launch/groups", test_groups);
    for (gsize i = 0; i < G_N_ELEMENTS(map_rows); i++) {
        g_autofree char *path = g_strdup_printf("/map/%s", map_rows[i].name);
        g_test_add_data_func(path, &map_rows[i], test_map);
    }
    return g_test_run();
}
