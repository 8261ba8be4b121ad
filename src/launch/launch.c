#include "launch/launch.h"

#include "launch/able.h"

#include <string.h>

struct ImpLaunch {
    const ImpContent *content;
    ImpAuthority *authority;
    ImpPort *port;
    const ImpClock *clock;
    ImpLaunchFn changed;
    gpointer user;
    ImpWant want;
    ImpAnswer answer; /* what view.answer points to, once there is one */
    ImpReport report;
    ImpLaunchView view;
    GError *error; /* the first that happened; view.error points to it at the end */
    GError *given_error; /* what comes with the launch is not good: it is refused */
    GBytes **values; /* one for each of content->values; NULL = not known yet */
    ImpUnitMap *map; /* of the command at work */
    gsize step; /* next of content->steps; while finishing: of content->finally */
    gboolean started, cancelled, finished;
    gboolean attached;
    gboolean unlocking; /* the chip was locked: it may be erased to get in */
    gboolean told; /* the chip, where the image's rule for rework asks for it */
    gboolean finishing; /* the steps are over, one way or the other */
    gboolean compared; /* verify_only: the comparison has been submitted */
    gboolean reads_done; /* what no step names has been read before all steps */
    gboolean written; /* WRITING is durable: from now on a failure is spent */
    gint64 began_boot_us, phase_began_us;
};

static void tell(ImpLaunch *launch)
{
    launch->changed(launch->user, &launch->view);
}

static void finish(ImpLaunch *launch, ImpLaunchState state)
{
    launch->view.state = state;
    launch->view.error = launch->error;
    launch->finished = TRUE;
    tell(launch);
}

/* Keeps the first error: what comes after it is its consequence. Takes over error. */
static void keep_error(ImpLaunch *launch, GError *error)
{
    if (launch->error == NULL)
        launch->error = error;
    else
        g_error_free(error);
}

static void enter_phase(ImpLaunch *launch, ImpPhase phase, guint64 done_bytes, guint64 total_bytes)
{
    gint64 now = imp_clock_boot_us(launch->clock);
    launch->view.phase_us[launch->view.phase] += now - launch->phase_began_us;
    launch->phase_began_us = now;
    launch->view.phase = phase;
    launch->view.done_bytes = done_bytes;
    launch->view.total_bytes = total_bytes;
    tell(launch);
}

static void submit(ImpLaunch *launch, const ImpCommand *command, ImpPhase phase)
{
    enter_phase(launch, phase, 0, 0);
    imp_port_submit(launch->port, command);
}

static void submit_step(ImpLaunch *launch, ImpCommandKind kind, const ImpStep *step)
{
    ImpCommand command = {
        .kind = kind, .content = launch->content, .step = step, .values = launch->values, .map = launch->map};
    submit(launch, &command, imp_phase_of(kind));
}

/* The record: what happened, in codes and values. */
static void fill_report(ImpLaunch *launch)
{
    ImpReport *report = &launch->report;
    report->duration_ms = (guint32)((imp_clock_boot_us(launch->clock) - launch->began_boot_us) / 1000);
    gboolean compares = launch->view.verify_only;
    if (launch->error == NULL) {
        report->result = compares ? IMP_RESULT_VERIFIED : IMP_RESULT_PASSED;
        return;
    }
    report->result = compares          ? IMP_RESULT_UNVERIFIED
                     : launch->written ? IMP_RESULT_SPENT
                                       : IMP_RESULT_FAILED;
    report->code = imp_error_code(launch->error);
    const ImpErrorDetail *detail = imp_error_detail(launch->error);
    if (detail != NULL)
        report->detail = *detail;
}

/* The target has been let go: only the record is left to make. */
static void end(ImpLaunch *launch)
{
    GError *error = NULL;
    enter_phase(launch, launch->view.phase, launch->view.done_bytes, launch->view.total_bytes);
    fill_report(launch);
    if (!launch->authority->ops->end(launch->authority, &launch->report, &error)) {
        /* Not durable, so not passed, whatever the target says: the next start of the station finds out. */
        g_prefix_error(&error, "the result could not be recorded: ");
        if (launch->error == NULL)
            launch->report.code = imp_error_code(error);
        keep_error(launch, error);
    }
    finish(launch, launch->error == NULL ? IMP_LAUNCH_PASSED : IMP_LAUNCH_FAILED);
}

static void let_go(ImpLaunch *launch)
{
    ImpCommand command = {.kind = IMP_COMMAND_FINISH, .content = launch->content};
    submit(launch, &command, launch->view.phase);
}

/* ---- steps ---- */

/* Before the first erase or write: WRITING must be durable. FALSE: the launch has failed. */
static gboolean begin_writing(ImpLaunch *launch)
{
    GError *error = NULL;
    if (launch->written)
        return TRUE;
    if (!launch->authority->ops->writing(launch->authority, &launch->want.launch, &error)) {
        keep_error(launch, error);
        return FALSE;
    }
    launch->written = TRUE;
    return TRUE;
}

/* map is that of step, NULL for everything; without values it has addresses only. FALSE: the launch has failed. */
static gboolean make_map(ImpLaunch *launch, gboolean values, const ImpStep *step)
{
    GError *error = NULL;
    imp_unit_map_free(launch->map);
    launch->map = values ? imp_unit_map_new(launch->content, launch->values, step, &error)
                         : imp_unit_map_areas(launch->content);
    if (launch->map != NULL)
        return TRUE;
    keep_error(launch, error);
    return FALSE;
}

static gboolean same_ranges(const ImpStep *a, const ImpStep *b)
{
    return a->n_ranges == b->n_ranges &&
           (a->n_ranges == 0 || memcmp(a->ranges, b->ranges, a->n_ranges * sizeof *a->ranges) == 0);
}

/* Everything from here on that one FLASH command can do: erase, then program, then verify, each at most once and all for
 * the same bytes. Returns the step that says which; NULL: only erase. */
static const ImpStep *collect_flash(ImpLaunch *launch, ImpCommand *command)
{
    const ImpStep *chosen = NULL;
    for (; launch->step < launch->content->n_steps; launch->step++) {
        const ImpStep *step = &launch->content->steps[launch->step];
        /* An erase of what is used is for everything, so it goes together only with what is for everything. */
        gboolean fits = chosen != NULL
                            ? same_ranges(chosen, step)
                            : !command->erase || command->erase_mode != IMP_ERASE_USED || step->n_ranges == 0;
        if (step->kind == IMP_STEP_ERASE && !command->erase && chosen == NULL) {
            command->erase = TRUE;
            command->erase_mode = step->erase;
            command->erase_range = step->range;
        } else if (step->kind == IMP_STEP_PROGRAM && fits && !command->program && !command->verify) {
            command->program = TRUE;
            chosen = step;
        } else if (step->kind == IMP_STEP_VERIFY && fits && !command->verify) {
            command->verify = TRUE;
            command->verify_mode = step->verify;
            chosen = step;
        } else {
            break;
        }
    }
    return chosen;
}

static gboolean flash(ImpLaunch *launch)
{
    ImpCommand command = {.kind = IMP_COMMAND_FLASH, .content = launch->content};
    const ImpStep *chosen = collect_flash(launch, &command);
    if (!make_map(launch, chosen != NULL, chosen) ||
        ((command.erase || command.program) && !begin_writing(launch)))
        return FALSE;
    command.map = launch->map;
    submit(launch, &command,
           command.erase     ? IMP_PHASE_ERASE
           : command.program ? IMP_PHASE_PROGRAM
                             : IMP_PHASE_VERIFY);
    return TRUE;
}

/* Is there a value left to read that this step is for? */
static gboolean reads_pending(const ImpLaunch *launch, const ImpStep *step)
{
    const ImpContent *content = launch->content;
    for (gsize i = 0; step->n_values > 0 && i < step->n_values; i++)
        if (launch->values[step->values[i]] == NULL)
            return TRUE;
    for (gsize i = 0; step->n_values == 0 && i < content->n_values; i++)
        if (content->values[i].kind == IMP_VALUE_READ && launch->values[i] == NULL)
            return TRUE;
    return FALSE;
}

/* Without a read step in the recipe, values are read before anything is written. */
static gboolean has_read_step(const ImpContent *content)
{
    for (gsize i = 0; i < content->n_steps; i++)
        if (content->steps[i].kind == IMP_STEP_READ)
            return TRUE;
    return FALSE;
}

static ImpCommandKind command_of(ImpStepKind kind)
{
    static const ImpCommandKind kinds[] = {
        [IMP_STEP_READ] = IMP_COMMAND_READ,
        [IMP_STEP_RESET] = IMP_COMMAND_RESET,
        [IMP_STEP_BLANK_CHECK] = IMP_COMMAND_BLANK_CHECK,
        [IMP_STEP_WRITE] = IMP_COMMAND_WRITE,
        [IMP_STEP_EXPECT] = IMP_COMMAND_EXPECT,
        [IMP_STEP_PROTECT] = IMP_COMMAND_PROTECT,
        [IMP_STEP_RUN] = IMP_COMMAND_RUN,
        [IMP_STEP_DELAY] = IMP_COMMAND_DELAY,
        [IMP_STEP_POWER] = IMP_COMMAND_POWER,
        [IMP_STEP_TEST] = IMP_COMMAND_TEST,
    };
    g_assert(kind < G_N_ELEMENTS(kinds) && kinds[kind] != 0);
    return kinds[kind];
}

/* Submits a step that is a command by itself. FALSE: the launch has failed. */
static gboolean single_step(ImpLaunch *launch, const ImpStep *step)
{
    /* A test that may see the unit's numbers may also write them somewhere. */
    gboolean writes = step->kind == IMP_STEP_WRITE || step->kind == IMP_STEP_PROTECT ||
                      (step->kind == IMP_STEP_TEST && step->n_values > 0);
    if (writes && !begin_writing(launch))
        return FALSE;
    if (step->kind == IMP_STEP_BLANK_CHECK && !make_map(launch, FALSE, NULL))
        return FALSE;
    submit_step(launch, command_of(step->kind), step);
    return TRUE;
}

/* verify_only: reads, then compares by reading back, so that nothing of ours runs in the unit. */
static gboolean next_comparison(ImpLaunch *launch)
{
    ImpCommand command = {.content = launch->content, .values = launch->values};
    GError *error = NULL;
    if (!launch->reads_done) {
        launch->reads_done = command.places = TRUE;
        command.kind = IMP_COMMAND_READ;
        submit(launch, &command, IMP_PHASE_READ);
        return TRUE;
    }
    if (launch->compared)
        return FALSE;
    launch->compared = TRUE;
    launch->map = imp_unit_map_known(launch->content, launch->values, &error);
    if (launch->map != NULL && launch->map->n_segments == 0)
        imp_error_set(&error, IMP_E_UNIT_NOT_VERIFIED, "'%s' has nothing that a unit could be compared with",
                      launch->content->name);
    if (error != NULL) {
        keep_error(launch, error);
        return FALSE;
    }
    command.kind = IMP_COMMAND_FLASH;
    command.map = launch->map;
    command.verify = TRUE;
    command.verify_mode = IMP_VERIFY_READ_BACK;
    submit(launch, &command, IMP_PHASE_VERIFY);
    return TRUE;
}

/* Submits the next step, if there is one and the launch has not failed. */
static gboolean next_step(ImpLaunch *launch)
{
    static const ImpStep read_all = {.kind = IMP_STEP_READ};
    const ImpContent *content = launch->content;
    if (launch->error == NULL && launch->cancelled) {
        GError *error = NULL;
        imp_error_set(&error, IMP_E_CANCELLED, "the launch was cancelled");
        keep_error(launch, error);
    }
    if (launch->error != NULL)
        return FALSE;
    if (launch->view.verify_only)
        return next_comparison(launch);
    if (!launch->reads_done && !has_read_step(content) && reads_pending(launch, &read_all)) {
        launch->reads_done = TRUE;
        submit_step(launch, IMP_COMMAND_READ, &read_all);
        return TRUE;
    }
    while (launch->step < content->n_steps) {
        const ImpStep *step = &content->steps[launch->step];
        if (step->kind == IMP_STEP_ERASE || step->kind == IMP_STEP_PROGRAM || step->kind == IMP_STEP_VERIFY)
            return flash(launch);
        launch->step++;
        if (step->kind != IMP_STEP_READ || reads_pending(launch, step))
            return single_step(launch, step);
    }
    return FALSE;
}

/* Submits the next step of those that are done whatever happened. What they fail with never makes good what went before.
 * Without a target only the power can be seen to. */
static gboolean next_finally(ImpLaunch *launch)
{
    const ImpContent *content = launch->content;
    if (!launch->finishing) {
        launch->finishing = TRUE;
        launch->step = 0;
    }
    while (launch->step < content->n_finally) {
        const ImpStep *step = &content->finally[launch->step++];
        gboolean possible = launch->attached || step->kind == IMP_STEP_POWER || step->kind == IMP_STEP_DELAY;
        if (possible && single_step(launch, step))
            return TRUE;
    }
    return FALSE;
}

/* Whether chips can be told apart by this: a blank one has no ID. */
static gboolean is_unique(const guint8 *uid, gsize n_uid)
{
    for (gsize i = 1; i < n_uid; i++)
        if (uid[i] != uid[0])
            return TRUE;
    return n_uid > 0 && uid[0] != 0x00 && uid[0] != 0xff;
}

static void take_numbers(ImpLaunch *launch, const ImpAnswer *answer);
static void next(ImpLaunch *launch);

static void on_identified(gpointer user, const ImpAnswer *answer, const GError *error)
{
    ImpLaunch *launch = user;
    if (error != NULL) {
        keep_error(launch, g_error_copy(error));
    } else {
        launch->answer.kept = answer->kept;
        take_numbers(launch, answer);
    }
    next(launch);
}

/* Once, when the chip is known: the image's rule for a chip that comes again, before numbers are written. TRUE: it goes on
 * when the answer is there. */
static gboolean tell_chip(ImpLaunch *launch)
{
    const ImpReport *report = &launch->report;
    gboolean must = launch->answer.identify || launch->content->rework != IMP_REWORK_NEW_VALUES;
    /* A unit that is only compared is no launch of its own at the authority. */
    if (!must || launch->view.verify_only || launch->told || !launch->attached || launch->error != NULL ||
        launch->cancelled)
        return FALSE;
    launch->told = TRUE;
    if (!is_unique(report->uid, report->n_uid)) {
        imp_error_set(&launch->error, IMP_E_UNIT_NOT_IDENTIFIED,
                      "'%s' has a rule for chips that come again, and this one has no unique ID",
                      launch->content->name);
        return FALSE;
    }
    launch->authority->ops->identify(launch->authority, &launch->want.launch, report->uid, report->n_uid,
                                     on_identified, launch);
    return TRUE;
}

/* Submits the next command; nothing is at work. */
static void next(ImpLaunch *launch)
{
    if (tell_chip(launch))
        return;
    if (!launch->finishing && next_step(launch))
        return;
    if (launch->view.verify_only || !next_finally(launch))
        let_go(launch);
}

/* Into the record, as the image says: a value that is redacted without its bytes, one that is too long as its digest. */
static void log_value(ImpLaunch *launch, const ImpValue *value, GBytes *bytes)
{
    ImpReport *report = &launch->report;
    if (bytes == NULL || !value->log || report->n_reads >= IMP_WIRE_READS_MAX)
        return;
    gsize n_bytes;
    const guint8 *data = g_bytes_get_data(bytes, &n_bytes);
    ImpReading *reading = &report->reads[report->n_reads++];
    g_strlcpy(reading->name, value->name, sizeof reading->name);
    if (value->redact)
        return;
    if (n_bytes <= sizeof reading->bytes) {
        memcpy(reading->bytes, data, n_bytes);
        reading->n_bytes = (guint8)n_bytes;
        return;
    }
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize n_digest = sizeof reading->bytes;
    g_checksum_update(sum, data, (gssize)n_bytes);
    g_checksum_get_digest(sum, reading->bytes, &n_digest);
    reading->n_bytes = (guint8)n_digest;
    g_strlcat(reading->name, IMP_CONTENT_DIGEST_SUFFIX, sizeof reading->name);
}

/* What a read step read under the value's name, or a test delivered under its block's. */
static gboolean is_for(const ImpReading *reading, ImpCommandKind kind, const ImpValue *value)
{
    if (kind == IMP_COMMAND_READ)
        return value->kind == IMP_VALUE_READ && strcmp(value->name, reading->name) == 0;
    return value->kind == IMP_VALUE_FROM_TEST && strcmp(value->block, reading->name) == 0;
}

static void take_reading(ImpLaunch *launch, const ImpReading *reading, gsize index)
{
    const ImpValue *value = &launch->content->values[index];
    if (value->kind == IMP_VALUE_FROM_TEST && reading->n_bytes != value->block_bytes) {
        GError *error = NULL;
        imp_error_set(&error, IMP_E_TEST_MESSAGE,
                      "the test delivered %u bytes for the value '%s', which has %u", reading->n_bytes,
                      value->name, value->block_bytes);
        keep_error(launch, error);
        return;
    }
    launch->values[index] = g_bytes_new(reading->bytes, reading->n_bytes);
    log_value(launch, value, launch->values[index]);
}

/* verify_only: what lies in the place of a value that is not known, for the record. */
static void log_place(ImpLaunch *launch, const ImpReading *reading)
{
    for (gsize v = 0; v < launch->content->n_values; v++) {
        const ImpValue *value = &launch->content->values[v];
        if (value->kind == IMP_VALUE_READ || strcmp(value->name, reading->name) != 0)
            continue;
        g_autoptr(GBytes) bytes = g_bytes_new(reading->bytes, reading->n_bytes);
        log_value(launch, value, bytes);
    }
}

static void take_reads(ImpLaunch *launch, const ImpPortEvent *event)
{
    for (guint32 i = 0; i < event->n_reads; i++)
        for (gsize v = 0; v < launch->content->n_values; v++)
            if (launch->values[v] == NULL &&
                is_for(&event->reads[i], event->kind, &launch->content->values[v]))
                take_reading(launch, &event->reads[i], v);
    for (guint32 i = 0; launch->view.verify_only && i < event->n_reads; i++)
        log_place(launch, &event->reads[i]);
}

/* A locked chip that the recipe allows to be erased: attached to once more, which may write. FALSE: that is not it, or the
 * launch has failed. */
static gboolean attach_by_erasing(ImpLaunch *launch, const ImpPortEvent *event)
{
    if (launch->view.verify_only)
        return FALSE;
    if (event->kind != IMP_COMMAND_ATTACH || launch->unlocking || launch->cancelled ||
        launch->content->unlock != IMP_UNLOCK_ERASE ||
        !g_error_matches(event->error, IMP_ERROR, IMP_E_LOCKED) || !begin_writing(launch))
        return FALSE;
    launch->unlocking = TRUE;
    ImpCommand command = {.kind = IMP_COMMAND_ATTACH, .content = launch->content, .may_unlock = TRUE};
    submit(launch, &command, IMP_PHASE_ATTACH);
    return TRUE;
}

static void on_port_event(gpointer user, const ImpPortEvent *event)
{
    ImpLaunch *launch = user;
    ImpReport *report = &launch->report;
    report->link_waits = event->link_waits;
    report->link_faults = event->link_faults;
    report->link_errors = event->link_errors;
    report->link_retries = event->link_retries;
    report->link_hz = event->link_hz;
    report->link_slowed_by = event->link_slowed_by;
    if (!event->done) {
        enter_phase(launch, event->phase, event->done_bytes, event->total_bytes);
        return;
    }
    if (event->kind == IMP_COMMAND_ATTACH && event->error == NULL)
        launch->attached = TRUE;
    if (event->kind == IMP_COMMAND_ATTACH && event->n_uid > 0) {
        report->n_uid = event->n_uid;
        memcpy(report->uid, event->uid, event->n_uid);
    }
    if (event->error != NULL && attach_by_erasing(launch, event))
        return;
    if (event->error != NULL)
        keep_error(launch, g_error_copy(event->error));
    if (event->kind == IMP_COMMAND_FINISH) {
        imp_port_set_handler(launch->port, NULL, NULL);
        end(launch);
        return;
    }
    /* What a test measured before it failed is worth a place in the record. */
    if ((event->kind == IMP_COMMAND_READ && event->error == NULL) || event->kind == IMP_COMMAND_TEST)
        take_reads(launch, event);
    next(launch);
}

/* What was given becomes the values that it is for; what is wrong with it is told when the launch is started. */
static void take_given(ImpLaunch *launch, const ImpGiven *given, gsize n_given)
{
    if (!imp_given_check(launch->content, given, n_given, !launch->view.verify_only, &launch->given_error))
        return;
    for (gsize v = 0; v < launch->content->n_values; v++) {
        GBytes *bytes = imp_given_find(launch->content, v, given, n_given);
        if (bytes != NULL)
            launch->values[v] = g_bytes_ref(bytes);
    }
}

static void log_given(ImpLaunch *launch)
{
    for (gsize v = 0; v < launch->content->n_values; v++) {
        const ImpValue *value = &launch->content->values[v];
        if (value->kind == IMP_VALUE_BARCODE || value->kind == IMP_VALUE_GIVEN)
            log_value(launch, value, launch->values[v]);
    }
}

/* The permit's numbers become the values of their pools; those that the chip has already, in their place. */
static void take_numbers(ImpLaunch *launch, const ImpAnswer *answer)
{
    const ImpContent *content = launch->content;
    launch->report.n_numbers = MIN(answer->n_numbers, (guint32)IMP_WIRE_NUMBERS_MAX);
    memcpy(launch->report.numbers, answer->numbers, launch->report.n_numbers * sizeof *answer->numbers);
    for (gsize v = 0; v < content->n_values; v++) {
        if (content->values[v].kind != IMP_VALUE_POOL)
            continue;
        const char *pool = content->pools[content->values[v].pool_index].id;
        g_clear_pointer(&launch->values[v], g_bytes_unref);
        for (guint32 i = 0; i < launch->report.n_numbers && launch->values[v] == NULL; i++)
            if (strcmp(answer->numbers[i].pool, pool) == 0)
                launch->values[v] = g_bytes_new(answer->numbers[i].bytes, answer->numbers[i].n_bytes);
    }
}

/* It is journaled: now the target may be touched. */
static void begin_work(ImpLaunch *launch)
{
    launch->view.state = IMP_LAUNCH_WORKING;
    launch->view.report = &launch->report;
    launch->began_boot_us = launch->phase_began_us = imp_clock_boot_us(launch->clock);
    launch->report.began_real_us = imp_clock_real_us(launch->clock);
    log_given(launch);
    if (launch->cancelled) {
        imp_error_set(&launch->error, IMP_E_CANCELLED,
                      "the launch was cancelled before it touched the target");
        end(launch);
        return;
    }
    imp_port_set_handler(launch->port, on_port_event, launch);
    ImpCommand command = {
        .kind = IMP_COMMAND_ATTACH, .content = launch->content, .looks_only = launch->view.verify_only};
    submit(launch, &command, IMP_PHASE_ATTACH);
}

static void on_started(gpointer user, gboolean begun, const ImpAnswer *answer, const GError *error)
{
    ImpLaunch *launch = user;
    if (answer != NULL) {
        launch->answer = *answer;
        launch->view.answer = &launch->answer;
    }
    if (!begun) {
        g_assert(error != NULL);
        launch->error = g_error_copy(error);
        finish(launch, IMP_LAUNCH_REFUSED);
        return;
    }
    g_assert(answer != NULL);
    take_numbers(launch, answer);
    begin_work(launch);
}

/* Nobody is asked: nothing is made. But the journal has it before the target is touched. */
static void start_comparison(ImpLaunch *launch)
{
    launch->error = g_steal_pointer(&launch->given_error);
    if (launch->error == NULL &&
        launch->authority->ops->compare(launch->authority, &launch->want, &launch->error))
        begin_work(launch);
    else
        finish(launch, IMP_LAUNCH_REFUSED);
}

ImpLaunch *imp_launch_new(const ImpLaunchOptions *options)
{
    ImpLaunch *launch = g_new0(ImpLaunch, 1);
    launch->content = options->content;
    launch->authority = options->authority;
    launch->port = options->port;
    launch->clock = options->clock;
    launch->changed = options->changed;
    launch->user = options->user;
    launch->want.launch = imp_id_ordered(options->clock, options->random);
    launch->want.image = options->image;
    g_strlcpy(launch->want.port, options->port_name, sizeof launch->want.port);
    g_strlcpy(launch->want.order, options->order != NULL ? options->order : "", sizeof launch->want.order);
    launch->report.launch = launch->want.launch;
    launch->report.image = launch->want.image;
    g_strlcpy(launch->report.port, launch->want.port, sizeof launch->report.port);
    g_strlcpy(launch->report.order, launch->want.order, sizeof launch->report.order);
    g_strlcpy(launch->report.person, options->person != NULL ? options->person : "",
              sizeof launch->report.person);
    launch->values = g_new0(GBytes *, options->content->n_values + 1);
    launch->view.verify_only = options->verify_only;
    take_given(launch, options->given, options->n_given);
    launch->view.launch = launch->want.launch;
    launch->view.image = launch->want.image;
    launch->view.state = IMP_LAUNCH_ASKING;
    launch->view.phase = IMP_PHASE_ATTACH;
    return launch;
}

/* What came with the launch and is a number, for its pool. One that is too long is refused there, as if none was given. */
static void give_numbers(ImpLaunch *launch)
{
    const ImpContent *content = launch->content;
    for (gsize v = 0; v < content->n_values; v++) {
        gsize n_bytes = 0;
        const guint8 *bytes =
            launch->values[v] != NULL ? g_bytes_get_data(launch->values[v], &n_bytes) : NULL;
        ImpGivenNumber *given = &launch->want.given[launch->want.n_given];
        if (!content->values[v].has_pool || n_bytes == 0 || n_bytes > sizeof given->bytes ||
            launch->want.n_given == G_N_ELEMENTS(launch->want.given))
            continue;
        g_strlcpy(given->pool, content->pools[content->values[v].pool_index].id, sizeof given->pool);
        memcpy(given->bytes, bytes, n_bytes);
        given->n_bytes = (guint8)n_bytes;
        launch->want.n_given++;
    }
}

void imp_launch_start(ImpLaunch *launch)
{
    g_assert(!launch->started);
    launch->started = TRUE;
    guint64 address;
    if (launch->view.verify_only) {
        start_comparison(launch);
        return;
    }
    if (!imp_launch_able(launch->content, &launch->error)) {
        finish(launch, IMP_LAUNCH_REFUSED);
        return;
    }
    if (launch->given_error != NULL) {
        launch->error = g_steal_pointer(&launch->given_error);
        finish(launch, IMP_LAUNCH_REFUSED);
        return;
    }
    /* The builder refuses such recipes; images come from outside, so this holds here too. */
    if (!imp_content_verified(launch->content, &address)) {
        imp_error_set(&launch->error, IMP_E_UNIT_NOT_VERIFIED,
                      "'%s' erases or programs 0x%08" G_GINT64_MODIFIER
                      "X and does not verify it afterwards; such an image is never run",
                      launch->content->name, address);
        finish(launch, IMP_LAUNCH_REFUSED);
        return;
    }
    give_numbers(launch);
    launch->authority->ops->start(launch->authority, &launch->want, on_started, launch);
}

void imp_launch_cancel(ImpLaunch *launch)
{
    launch->cancelled = TRUE;
    if (launch->view.state == IMP_LAUNCH_WORKING)
        imp_port_cancel(launch->port);
}

const ImpLaunchView *imp_launch_view(const ImpLaunch *launch)
{
    return &launch->view;
}

gboolean imp_launch_finished(const ImpLaunch *launch)
{
    return launch->finished;
}

void imp_launch_free(ImpLaunch *launch)
{
    if (launch == NULL)
        return;
    g_assert(launch->finished || !launch->started);
    for (gsize i = 0; i < launch->content->n_values; i++)
        g_clear_pointer(&launch->values[i], g_bytes_unref);
    g_free(launch->values);
    imp_unit_map_free(launch->map);
    g_clear_error(&launch->error);
    g_clear_error(&launch->given_error);
    g_free(launch);
}
