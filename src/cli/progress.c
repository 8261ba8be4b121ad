#include "cli/progress.h"

#include "cli/answer.h"
#include "http/problem.h"

#include <string.h>

#define DRAW_US_MIN     50000 /* a terminal is not drawn more often */
#define BAR_COLUMNS     30
#define BAR_COLUMNS_MIN 5
#define PHASES_COUNT    (IMP_PHASE_LAST + 1)

const char *imp_progress_state_name(ImpLaunchState state)
{
    switch (state) {
    case IMP_LAUNCH_ASKING:
        return "asking";
    case IMP_LAUNCH_WORKING:
        return "working";
    case IMP_LAUNCH_PASSED:
        return "passed";
    case IMP_LAUNCH_FAILED:
        return "failed";
    case IMP_LAUNCH_REFUSED:
        return "refused";
    }
    g_assert_not_reached();
}

static json_t *counts_json(const ImpAnswer *answer)
{
    json_t *counts = json_object();
    if (answer->has_units)
        json_object_set_new(counts, "units", json_integer((json_int_t)answer->units));
    json_object_set_new(counts, "passed", json_integer((json_int_t)answer->passed));
    json_object_set_new(counts, "unknown", json_integer((json_int_t)answer->unknown));
    json_object_set_new(counts, "open", json_integer((json_int_t)answer->open));
    json_object_set_new(counts, "failures", json_integer((json_int_t)answer->failures));
    return counts;
}

static void add_report(json_t *object, const ImpReport *report)
{
    json_object_set_new(object, "began_real_us", json_integer(report->began_real_us));
    json_object_set_new(object, "duration_ms", json_integer(report->duration_ms));
    if (report->n_uid > 0) {
        g_autofree char *uid = imp_hex_encode(report->uid, report->n_uid);
        json_object_set_new(object, "uid", json_string(uid));
    }
    json_t *numbers = json_array(), *reads = json_array();
    for (guint32 i = 0; i < report->n_numbers; i++) {
        const ImpNumber *number = &report->numbers[i];
        g_autofree char *bytes = imp_hex_encode(number->bytes, number->n_bytes);
        json_array_append_new(numbers,
                              json_pack("{s:s, s:I, s:s, s:s}", "pool", number->pool, "number",
                                        (json_int_t)number->number, "text", number->text, "bytes", bytes));
    }
    for (guint32 i = 0; i < report->n_reads; i++) {
        g_autofree char *bytes = imp_hex_encode(report->reads[i].bytes, report->reads[i].n_bytes);
        json_t *reading = json_pack("{s:s, s:s}", "name", report->reads[i].name, "bytes", bytes);
        if (report->reads[i].n_bytes == 0)
            json_object_set_new(reading, "redacted", json_true());
        json_array_append_new(reads, reading);
    }
    json_object_set_new(object, "numbers", numbers);
    json_object_set_new(object, "reads", reads);
    json_object_set_new(object, "link",
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "waits", (json_int_t)report->link_waits,
                                  "faults", (json_int_t)report->link_faults, "errors",
                                  (json_int_t)report->link_errors, "retries",
                                  (json_int_t)report->link_retries, "hz", (json_int_t)report->link_hz,
                                  "slowed_by", (json_int_t)report->link_slowed_by));
}

json_t *imp_progress_launch_json(const ImpLaunchView *view, const char *port)
{
    char launch[IMP_ID_TEXT_SIZE], image[IMP_ID_TEXT_SIZE];
    json_t *object = json_pack("{s:s, s:s, s:s, s:s}", "launch", imp_id_text(&view->launch, launch), "image",
                               imp_id_text(&view->image, image), "port", port, "state",
                               imp_progress_state_name(view->state));
    if (view->state == IMP_LAUNCH_WORKING) {
        json_object_set_new(object, "phase", json_string(imp_phase_name(view->phase)));
        json_object_set_new(object, "done_bytes", json_integer((json_int_t)view->done_bytes));
        json_object_set_new(object, "total_bytes", json_integer((json_int_t)view->total_bytes));
    }
    if (view->verify_only)
        json_object_set_new(object, "verify_only", json_true());
    json_t *phases = json_object();
    for (int phase = IMP_PHASE_ATTACH; phase < PHASES_COUNT; phase++)
        if (view->phase_us[phase] > 0)
            json_object_set_new(phases, imp_phase_name((ImpPhase)phase),
                                json_integer((view->phase_us[phase] + 500) / 1000));
    json_object_set_new(object, "phase_ms", phases);
    if (view->report != NULL)
        add_report(object, view->report);
    if (view->report != NULL && (view->state == IMP_LAUNCH_PASSED || view->state == IMP_LAUNCH_FAILED))
        json_object_set_new(object, "result", json_string(imp_result_name(view->report->result)));
    if (view->error != NULL)
        json_object_set_new(object, "error", imp_http_problem_body(view->error));
    if (view->answer != NULL)
        json_object_set_new(object, "counts", counts_json(view->answer));
    if (view->answer != NULL && view->answer->kept)
        json_object_set_new(object, "kept", json_true());
    return object;
}

GError *imp_progress_error(const json_t *body)
{
    if (body == NULL)
        return NULL;
    GError *error = NULL;
    int code = (int)imp_answer_number(body, "code");
    if (imp_error_entry(code) == NULL)
        imp_error_set(&error, IMP_E_UNSUPPORTED, "E%d %s, a code of a newer version: %s", code,
                      imp_answer_text(body, "name"), imp_answer_text(body, "text"));
    else
        imp_http_problem_read(body, &error);
    return error;
}

char *imp_progress_counts(const json_t *counts)
{
    if (counts == NULL)
        return g_strdup("");
    GString *text = g_string_new("");
    if (json_object_get(counts, "units") != NULL)
        g_string_append_printf(text, "%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " passed",
                               imp_answer_number(counts, "passed"), imp_answer_number(counts, "units"));
    else
        g_string_append_printf(text, "%" G_GINT64_FORMAT " passed", imp_answer_number(counts, "passed"));
    if (imp_answer_number(counts, "unknown") > 0)
        g_string_append_printf(text, ", %" G_GINT64_FORMAT " unknown", imp_answer_number(counts, "unknown"));
    g_string_append_printf(text, ", %" G_GINT64_FORMAT " in work", imp_answer_number(counts, "open"));
    return g_string_free(text, FALSE);
}

gboolean imp_progress_is_returned(const json_t *record)
{
    return strcmp(imp_answer_text(record, "result"), imp_result_name(IMP_RESULT_RETURNED)) == 0;
}

static gboolean ended(const json_t *launch)
{
    const char *state = imp_answer_text(launch, "state");
    return strcmp(state, "passed") == 0 || strcmp(state, "failed") == 0 || strcmp(state, "refused") == 0;
}

void imp_progress_init(ImpProgress *progress, FILE *out, gboolean terminal, gboolean coloured, gboolean ports,
                       const ImpClock *clock)
{
    *progress = (ImpProgress){.coloured = coloured, .ports = ports, .clock = clock};
    imp_live_init(&progress->live, out, terminal);
    progress->launches = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    progress->phases_said = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void imp_progress_done(ImpProgress *progress)
{
    if (progress->launches == NULL)
        return;
    imp_live_clear(&progress->live);
    g_clear_pointer(&progress->launches, g_ptr_array_unref);
    g_clear_pointer(&progress->phases_said, g_hash_table_unref);
}

/* "port 3  program [#####.....]  61 %  148.0 kB of 243.8 kB"; columns: of the terminal, 0 = unknown. A narrow one costs the
 * sizes first, then a part of the bar. */
static char *live_line(const ImpProgress *progress, const json_t *launch, guint columns)
{
    GString *line = g_string_new("");
    if (progress->ports)
        g_string_append_printf(line, "port %-3s  ", imp_answer_text(launch, "port"));
    const char *phase = imp_answer_text(launch, "phase");
    g_string_append_printf(line, "%-8s", phase[0] != '\0' ? phase : "asks");
    gint64 done = imp_answer_number(launch, "done_bytes"), total = imp_answer_number(launch, "total_bytes");
    if (total <= 0)
        return g_string_free(line, FALSE);
    g_autofree char *done_text = imp_print_size((guint64)done);
    g_autofree char *total_text = imp_print_size((guint64)total);
    g_autofree char *percent = g_strdup_printf(" %3d %%", (int)(done * 100 / total));
    /* a mass erase is 0 or 1 of 1: no bytes to speak of */
    g_autofree char *sizes = total > 1 ? g_strdup_printf("  %s of %s", done_text, total_text) : g_strdup("");
    glong room = columns == 0 ? G_MAXINT : (glong)columns - 1 - g_utf8_strlen(line->str, -1);
    room -= (glong)strlen("[]") + (glong)strlen(percent);
    guint width = (guint)CLAMP(room, BAR_COLUMNS_MIN, BAR_COLUMNS);
    char bar[BAR_COLUMNS + 3];
    imp_print_bar(bar, sizeof bar, (guint64)done, (guint64)total, width);
    gboolean fits = room - (glong)width >= (glong)strlen(sizes);
    g_string_append_printf(line, "%s%s%s", bar, percent, fits ? sizes : "");
    return g_string_free(line, FALSE);
}

static void draw(ImpProgress *progress)
{
    gint64 now_us = imp_clock_boot_us(progress->clock);
    if (!progress->live.terminal || (progress->live.n_drawn > 0 && now_us - progress->drawn_us < DRAW_US_MIN))
        return;
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    guint columns = imp_print_columns(progress->live.out, NULL);
    for (guint i = 0; i < progress->launches->len; i++) {
        const json_t *launch = g_ptr_array_index(progress->launches, i);
        if (!ended(launch))
            g_ptr_array_add(lines, live_line(progress, launch, columns));
    }
    imp_live_draw(&progress->live, (const char *const *)lines->pdata, lines->len);
    progress->drawn_us = now_us;
}

/* Where nothing is drawn, each phase gets one line when it begins. */
static void say_phase(ImpProgress *progress, const json_t *launch)
{
    const char *phase = imp_answer_text(launch, "phase");
    if (progress->live.terminal || phase[0] == '\0')
        return;
    char *key = g_strdup_printf("%s/%s", imp_answer_text(launch, "launch"), phase);
    if (!g_hash_table_add(progress->phases_said, key))
        return;
    if (progress->ports)
        fprintf(progress->live.out, "port %-3s  ", imp_answer_text(launch, "port"));
    fprintf(progress->live.out, "%s\n", phase);
    fflush(progress->live.out);
}

/* "attach 0.02 s, erase 0.05 s, program 4.1 s, …" */
static char *times_text(const json_t *launch)
{
    GString *text = g_string_new("");
    const json_t *phases = json_object_get(launch, "phase_ms");
    for (int phase = IMP_PHASE_ATTACH; phase < PHASES_COUNT; phase++) {
        const char *name = imp_phase_name((ImpPhase)phase);
        if (json_object_get(phases, name) == NULL)
            continue;
        g_autofree char *time = imp_print_duration(imp_answer_number(phases, name) * 1000);
        g_string_append_printf(text, "%s%s %s", text->len > 0 ? ", " : "", name, time);
    }
    return g_string_free(text, FALSE);
}

/* What became of the numbers of a unit that did not pass (docs/ledger.md, section 3). */
static const char *fate(const json_t *launch)
{
    const char *result = imp_answer_text(launch, "result");
    if (imp_answer_true(launch, "kept"))
        return "  (rework: this chip had the number already)";
    if (strcmp(result, "failed") == 0)
        return "  (nothing was written: the number is free again)";
    if (strcmp(result, "spent") == 0)
        return "  (something was written: the number is spent)";
    return "";
}

static void print_value(FILE *out, gsize width, const char *name, const char *text, const char *note)
{
    if (text[0] != '\0')
        fprintf(out, "  %-*s %s%s\n", (int)width, name, text, note);
}

/* Only where the wires did not bear the clock that was asked for. */
static char *link_text(const json_t *launch)
{
    const json_t *link = json_object_get(launch, "link");
    const ImpErrorEntry *reason = imp_error_entry((int)imp_answer_number(link, "slowed_by"));
    if (reason == NULL)
        return g_strdup("");
    return g_strdup_printf("SWCLK was lowered to %g kHz because of E%d %s",
                           (gdouble)imp_answer_number(link, "hz") / 1000, reason->code, reason->name);
}

static void print_values(FILE *out, const json_t *launch)
{
    const json_t *numbers = json_object_get(launch, "numbers"), *reads = json_object_get(launch, "reads");
    gsize i, width = strlen("likely  ");
    const json_t *item;
    json_array_foreach(numbers, i, item) width = MAX(width, strlen(imp_answer_text(item, "pool")));
    json_array_foreach(reads, i, item) width = MAX(width, strlen(imp_answer_text(item, "name")));
    json_array_foreach(numbers, i, item)
        print_value(out, width, imp_answer_text(item, "pool"), imp_answer_text(item, "text"), fate(launch));
    print_value(out, width, "uid", imp_answer_text(launch, "uid"), "");
    /* a value called uid is the same bytes once more */
    json_array_foreach(reads, i, item) if (strcmp(imp_answer_text(item, "name"), "uid") != 0) print_value(
        out, width, imp_answer_text(item, "name"),
        json_is_true(json_object_get(item, "redacted")) ? IMP_WIRE_REDACTED : imp_answer_text(item, "bytes"),
        "");
    g_autofree char *times = times_text(launch);
    print_value(out, width, "times", times, "");
    g_autofree char *link = link_text(launch);
    print_value(out, width, "link", link, "");
}

void imp_progress_print_ended(FILE *out, gboolean coloured, gboolean port, const json_t *launch)
{
    g_autofree char *duration = imp_print_duration(imp_answer_number(launch, "duration_ms") * 1000);
    g_autofree char *where =
        port ? g_strdup_printf("port %-3s  ", imp_answer_text(launch, "port")) : g_strdup("");
    const char *state = imp_answer_text(launch, "state");
    if (strcmp(state, "passed") == 0) {
        fputs(where, out);
        imp_print_coloured(out, coloured, IMP_COLOUR_GOOD,
                           json_is_true(json_object_get(launch, "verify_only")) ? "VERIFIED" : "PASSED");
        fprintf(out, " in %s\n", duration);
        print_values(out, launch);
        return;
    }
    g_autoptr(GError) error = imp_progress_error(json_object_get(launch, "error"));
    if (error == NULL)
        imp_error_set(&error, IMP_E_BUG, "the launch ended as %s without saying why", state);
    const ImpErrorDetail *detail = imp_error_detail(error);
    g_autofree char *headline =
        strcmp(state, "refused") == 0
            ? g_strdup_printf("%sREFUSED at START", where)
            : g_strdup_printf("%sFAILED%s%s after %s", where, detail->step[0] != '\0' ? " in " : "",
                              detail->step, duration);
    imp_print_error(out, coloured, headline, error);
    g_autofree char *counts = imp_progress_counts(json_object_get(launch, "counts"));
    if (strcmp(state, "refused") == 0 && counts[0] != '\0')
        fprintf(out, "  count    %s\n", counts);
    print_values(out, launch);
}

void imp_progress_update(ImpProgress *progress, json_t *launch)
{
    guint i = 0;
    const char *id = imp_answer_text(launch, "launch");
    while (i < progress->launches->len &&
           strcmp(imp_answer_text(g_ptr_array_index(progress->launches, i), "launch"), id) != 0)
        i++;
    if (i == progress->launches->len) {
        if (i == IMP_PROGRESS_LAUNCHES_MAX)
            return;
        g_ptr_array_add(progress->launches, json_incref(launch));
    } else {
        if (ended(g_ptr_array_index(progress->launches, i)))
            return;
        json_decref(g_ptr_array_index(progress->launches, i));
        g_ptr_array_index(progress->launches, i) = json_incref(launch);
    }
    if (progress->quiet)
        return;
    if (ended(launch)) {
        imp_live_clear(&progress->live);
        imp_progress_print_ended(progress->live.out, progress->coloured, progress->ports, launch);
        fflush(progress->live.out);
    } else {
        say_phase(progress, launch);
    }
    draw(progress);
}

void imp_progress_forget(ImpProgress *progress, const json_t *launch)
{
    const char *id = imp_answer_text(launch, "launch");
    for (guint i = 0; i < progress->launches->len; i++)
        if (strcmp(imp_answer_text(g_ptr_array_index(progress->launches, i), "launch"), id) == 0) {
            g_ptr_array_remove_index(progress->launches, i);
            break;
        }
    g_autofree char *prefix = g_strdup_printf("%s/", id);
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, progress->phases_said);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        if (g_str_has_prefix(key, prefix))
            g_hash_table_iter_remove(&iter);
}

gboolean imp_progress_all_ended(const ImpProgress *progress)
{
    for (guint i = 0; i < progress->launches->len; i++)
        if (!ended(g_ptr_array_index(progress->launches, i)))
            return FALSE;
    return TRUE;
}

/* "PASSED in 4.2 s  W-00001", "E2010 no-target in attach" */
static void print_summary_line(const ImpProgress *progress, const json_t *launch, gsize width)
{
    FILE *out = progress->live.out;
    gboolean passed = strcmp(imp_answer_text(launch, "state"), "passed") == 0;
    const json_t *error = json_object_get(launch, "error"), *number;
    fprintf(out, "  %-*s  ", (int)width, imp_answer_text(launch, "port"));
    imp_print_coloured(out, progress->coloured, passed ? IMP_COLOUR_GOOD : IMP_COLOUR_BAD,
                       passed                                                     ? "PASSED "
                       : strcmp(imp_answer_text(launch, "state"), "refused") == 0 ? "REFUSED"
                                                                                  : "FAILED ");
    if (passed) {
        g_autofree char *duration = imp_print_duration(imp_answer_number(launch, "duration_ms") * 1000);
        fprintf(out, "  in %s", duration);
        gsize i;
        json_array_foreach(json_object_get(launch, "numbers"), i, number)
            fprintf(out, "  %s", imp_answer_text(number, "text"));
    } else {
        const char *step = imp_answer_text(json_object_get(error, "detail"), "step");
        fprintf(out, "  E%d %s%s%s", (int)imp_answer_number(error, "code"), imp_answer_text(error, "name"),
                step[0] != '\0' ? " in " : "", step);
    }
    fputc('\n', out);
}

void imp_progress_print_summary(const ImpProgress *progress)
{
    gsize width = 0;
    guint passed = 0;
    fputs("\nsummary\n", progress->live.out);
    for (guint i = 0; i < progress->launches->len; i++) {
        const json_t *launch = g_ptr_array_index(progress->launches, i);
        width = MAX(width, strlen(imp_answer_text(launch, "port")));
        passed += strcmp(imp_answer_text(launch, "state"), "passed") == 0;
    }
    for (guint i = 0; i < progress->launches->len; i++)
        print_summary_line(progress, g_ptr_array_index(progress->launches, i), width);
    fprintf(progress->live.out, "%u of %u passed\n", passed, progress->launches->len);
}

/* The greater, the worse. */
static int badness(const GError *error)
{
    switch (imp_error_entry(imp_error_code(error))->disposition) {
    case IMP_DISPOSITION_BUG:
        return 6;
    case IMP_DISPOSITION_STATION_DOWN:
        return 5;
    case IMP_DISPOSITION_REJECT_UNIT:
        return 4;
    case IMP_DISPOSITION_REFUSE:
        return 3;
    case IMP_DISPOSITION_OPERATOR:
        return 2;
    case IMP_DISPOSITION_RETRY:
        return 1;
    }
    g_assert_not_reached();
}

void imp_progress_keep_worst(GError **worst, GError *error)
{
    if (*worst == NULL || badness(error) > badness(*worst)) {
        g_clear_error(worst);
        *worst = error;
    } else {
        g_error_free(error);
    }
}

GError *imp_progress_verdict(const ImpProgress *progress)
{
    GError *worst = NULL;
    for (guint i = 0; i < progress->launches->len; i++) {
        const json_t *launch = g_ptr_array_index(progress->launches, i);
        if (strcmp(imp_answer_text(launch, "state"), "passed") == 0)
            continue;
        GError *error = imp_progress_error(json_object_get(launch, "error"));
        if (error == NULL)
            imp_error_set(&error, IMP_E_BUG, "a launch has not ended");
        imp_progress_keep_worst(&worst, error);
    }
    return worst;
}
