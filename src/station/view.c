#include "station/view.h"

#include <string.h>

#include "http/problem.h"

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text != NULL && text[0] != '\0')
        json_object_set_new(object, name, json_string(text));
}

static void set_u64(json_t *object, const char *name, guint64 value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void set_hex(json_t *object, const char *name, const guint8 *bytes, gsize n_bytes)
{
    g_autofree char *hex = imp_hex_encode(bytes, n_bytes);
    json_object_set_new(object, name, json_string(hex));
}

static void set_id(json_t *object, const char *name, const ImpId *id)
{
    char text[IMP_ID_TEXT_SIZE];
    json_object_set_new(object, name, json_string(imp_id_text(id, text)));
}

static void set_detail(json_t *object, const ImpErrorDetail *detail)
{
    json_t *d = json_object();
    set_text(d, "step", detail->step);
    if (detail->has_address)
        set_u64(d, "address", detail->address);
    if (detail->expected_bytes > 0)
        set_hex(d, "expected", detail->expected, detail->expected_bytes);
    if (detail->found_bytes > 0)
        set_hex(d, "found", detail->found, detail->found_bytes);
    if (json_object_size(d) > 0)
        json_object_set_new(object, "detail", d);
    else
        json_decref(d);
}

static json_t *numbers_of(const ImpReport *report)
{
    json_t *list = json_array();
    for (guint32 i = 0; i < report->n_numbers; i++) {
        const ImpNumber *number = &report->numbers[i];
        json_t *item = json_object();
        set_text(item, "pool", number->pool);
        set_u64(item, "number", number->number);
        json_object_set_new(item, "text", json_string(number->text));
        set_hex(item, "bytes", number->bytes, number->n_bytes);
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *reads_of(const ImpReport *report)
{
    json_t *list = json_array();
    for (guint32 i = 0; i < report->n_reads; i++) {
        json_t *item = json_object();
        set_text(item, "name", report->reads[i].name);
        set_hex(item, "bytes", report->reads[i].bytes, report->reads[i].n_bytes);
        if (report->reads[i].n_bytes == 0)
            json_object_set_new(item, "redacted", json_true());
        json_array_append_new(list, item);
    }
    return list;
}

/* What the station knows of the unit. */
static void add_unit(json_t *document, const ImpReport *report)
{
    if (report->began_real_us != 0)
        json_object_set_new(document, "began_real_us", json_integer(report->began_real_us));
    if (report->n_uid > 0)
        set_hex(document, "uid", report->uid, report->n_uid);
    json_object_set_new(document, "numbers", numbers_of(report));
    json_object_set_new(document, "reads", reads_of(report));
    json_t *link = json_object();
    set_u64(link, "waits", report->link_waits);
    set_u64(link, "faults", report->link_faults);
    set_u64(link, "errors", report->link_errors);
    set_u64(link, "retries", report->link_retries);
    set_u64(link, "hz", report->link_hz);
    set_u64(link, "slowed_by", report->link_slowed_by);
    json_object_set_new(document, "link", link);
}

static json_t *counts_of_answer(const ImpAnswer *answer)
{
    json_t *counts = json_object();
    set_u64(counts, "units", answer->units);
    set_u64(counts, "passed", answer->passed);
    set_u64(counts, "unknown", answer->unknown);
    set_u64(counts, "open", answer->open);
    set_u64(counts, "failures", answer->failures);
    return counts;
}

static const char *state_name(ImpLaunchState state)
{
    static const char *const names[] = {
        [IMP_LAUNCH_ASKING] = "asking", [IMP_LAUNCH_WORKING] = "working", [IMP_LAUNCH_PASSED] = "passed",
        [IMP_LAUNCH_FAILED] = "failed", [IMP_LAUNCH_REFUSED] = "refused",
    };
    return names[state];
}

json_t *imp_view_launch(const ImpViewLaunch *launch)
{
    const ImpLaunchView *view = launch->view;
    json_t *document = json_object();
    set_id(document, "launch", &view->launch);
    set_id(document, "image", &view->image);
    set_text(document, "image_name", launch->image_name);
    set_text(document, "kind", imp_image_kind_name(launch->kind));
    set_text(document, "port", launch->port);
    set_text(document, "order", launch->order);
    set_text(document, "person", launch->person);
    set_text(document, "state", state_name(view->state));
    gboolean finished = view->state == IMP_LAUNCH_PASSED || view->state == IMP_LAUNCH_FAILED;
    if (view->state == IMP_LAUNCH_WORKING) {
        set_text(document, "phase", imp_phase_name(view->phase));
        set_u64(document, "done_bytes", view->done_bytes);
        set_u64(document, "total_bytes", view->total_bytes);
    }
    if (view->verify_only)
        json_object_set_new(document, "verify_only", json_true());
    json_t *phases = json_object();
    for (ImpPhase phase = IMP_PHASE_ATTACH; phase <= IMP_PHASE_LAST; phase++)
        if (view->phase_us[phase] > 0)
            set_u64(phases, imp_phase_name(phase), (guint64)view->phase_us[phase] / 1000);
    json_object_set_new(document, "phase_ms", phases);
    if (view->report != NULL)
        add_unit(document, view->report);
    if (view->answer != NULL && view->answer->kept)
        json_object_set_new(document, "kept", json_true());
    if (finished && view->report != NULL) {
        set_u64(document, "duration_ms", view->report->duration_ms);
        set_text(document, "result", imp_result_name(view->report->result));
    }
    if (view->error != NULL)
        json_object_set_new(document, "error", imp_http_problem_body(view->error));
    if (view->answer != NULL && view->answer->has_units)
        json_object_set_new(document, "counts", counts_of_answer(view->answer));
    return document;
}

static void add_counts(json_t *document, const ImpViewImage *image)
{
    if (image->counts != NULL) {
        json_t *counts = json_object();
        if (image->counts->limits.has_units)
            set_u64(counts, "units", image->counts->limits.units + image->counts->settled);
        set_u64(counts, "passed", image->counts->passed);
        set_u64(counts, "unknown", image->counts->unknown);
        set_u64(counts, "open", image->counts->open);
        set_u64(counts, "failures", image->counts->spent + image->counts->unknown);
        json_object_set_new(document, "counts", counts);
    } else if (image->answer != NULL && image->answer->has_units) {
        json_t *counts = counts_of_answer(image->answer);
        json_object_set_new(counts, "as_of_real_us", json_integer(image->answer_real_us));
        json_object_set_new(document, "counts", counts);
    }
}

json_t *imp_view_image(const ImpViewImage *image)
{
    const ImpClear *clear = image->entry->clear;
    char key[IMP_KEY_ID_TEXT_SIZE];
    json_t *document = json_object();
    set_id(document, "id", &clear->id);
    set_text(document, "kind", imp_image_kind_name(clear->kind));
    set_text(document, "name", clear->name);
    set_text(document, "version", clear->version);
    set_text(document, "device", clear->device);
    json_object_set_new(document, "encrypted", json_boolean(clear->encrypted));
    set_text(document, "author", imp_key_id_text(&clear->author, key));
    set_text(document, "author_name", image->author_name);
    if (clear->encrypted)
        set_text(document, "image_key", imp_key_id_text(&clear->image_key, key));
    if (clear->kind == IMP_IMAGE_JOB) {
        set_hex(document, "cloud", clear->cloud_ca_sha256, sizeof clear->cloud_ca_sha256);
        set_text(document, "factory", clear->factory);
    }
    set_u64(document, "bytes", clear->file_bytes);
    set_text(document, "source", imp_source_name(image->entry->source));
    json_object_set_new(document, "loaded_real_us", json_integer(image->entry->loaded_real_us));
    set_u64(document, "in_use", image->entry->held);
    json_object_set_new(document, "usable", json_boolean(image->reason == NULL));
    if (image->reason != NULL)
        json_object_set_new(document, "reason", imp_http_problem_body(image->reason));
    add_counts(document, image);
    return document;
}

static const char *step_name(ImpStepKind kind)
{
    static const char *const names[] = {
        [IMP_STEP_ERASE] = "erase", [IMP_STEP_PROGRAM] = "program", [IMP_STEP_VERIFY] = "verify",
        [IMP_STEP_READ] = "read",   [IMP_STEP_RESET] = "reset",
    };
    return names[kind];
}

static json_t *restrictions_of(const ImpContent *content, const ImpRestrictions *limits)
{
    json_t *document = json_object();
    if (limits->has_units)
        set_u64(document, "units", limits->units);
    if (limits->has_max_failures)
        set_u64(document, "max_failures", limits->max_failures);
    if (limits->has_not_before)
        json_object_set_new(document, "not_before_s", json_integer(limits->not_before_s));
    if (limits->has_not_after)
        json_object_set_new(document, "not_after_s", json_integer(limits->not_after_s));
    if (limits->free_rework)
        json_object_set_new(document, "free_rework", json_true());
    json_t *numbers = json_array();
    for (guint32 i = 0; i < limits->n_numbers; i++) {
        const ImpNumberRange *range = &limits->numbers[i];
        json_array_append_new(numbers,
                              json_pack("{s:s, s:I, s:I}", "pool", content->pools[range->pool_index].id,
                                        "first", (json_int_t)range->first, "last", (json_int_t)range->last));
    }
    if (limits->n_numbers > 0)
        json_object_set_new(document, "numbers", numbers);
    else
        json_decref(numbers);
    return document;
}

void imp_view_add_content(json_t *document, const ImpImage *image)
{
    const ImpContent *content = image->content;
    json_t *out = json_object(), *segments = json_array(), *steps = json_array();
    json_t *values = json_array(), *pools = json_array();
    for (gsize i = 0; i < content->n_segments; i++) {
        json_t *segment = json_object();
        set_text(segment, "data", content->segments[i].data);
        set_u64(segment, "address", content->segments[i].address);
        set_u64(segment, "bytes", g_bytes_get_size(content->segments[i].bytes));
        json_array_append_new(segments, segment);
    }
    for (gsize i = 0; i < content->n_steps; i++)
        json_array_append_new(steps, json_string(step_name(content->steps[i].kind)));
    for (gsize i = 0; i < content->n_values; i++)
        json_array_append_new(values, json_string(content->values[i].name));
    for (gsize i = 0; i < content->n_pools; i++)
        json_array_append_new(pools, json_string(content->pools[i].id));
    json_object_set_new(out, "segments", segments);
    json_object_set_new(out, "steps", steps);
    json_object_set_new(out, "values", values);
    json_object_set_new(out, "pools", pools);
    json_object_set_new(out, "restrictions", restrictions_of(content, &image->restrictions));
    json_object_set_new(document, "content", out);
}

json_t *imp_view_record(const ImpLedgerLogEntry *entry, const char *kind, const char *name)
{
    const ImpReport *report = &entry->report;
    json_t *document = json_object();
    set_u64(document, "cursor", entry->record);
    set_id(document, "launch", &report->launch);
    set_id(document, "image", &report->image);
    set_text(document, "image_name", name);
    set_text(document, "kind", kind);
    set_text(document, "result", imp_result_name(report->result));
    if (!entry->own)
        json_object_set_new(document, "confirmed", json_boolean(entry->confirmed));
    if (entry->rework)
        json_object_set_new(document, "rework", json_true());
    if (entry->conflict)
        json_object_set_new(document, "conflict", json_true());
    set_u64(document, "seq", report->seq);
    set_u64(document, "start_number", report->start_number);
    set_text(document, "port", report->port);
    set_text(document, "order", report->order);
    set_text(document, "person", report->person);
    set_u64(document, "duration_ms", report->duration_ms);
    set_u64(document, "code", (guint64)report->code);
    set_detail(document, &report->detail);
    add_unit(document, report);
    return document;
}

/* RFC 4180, section 2. A value that a spreadsheet would take for a formula gets an apostrophe in front. */
static void csv_text(GString *line, const char *text)
{
    gboolean formula = text[0] != '\0' && strchr("=+-@\t", text[0]) != NULL;
    gboolean quote = formula || strpbrk(text, "\",\r\n") != NULL;
    if (line->len > 0 && line->str[line->len - 1] != '\n')
        g_string_append_c(line, ',');
    if (quote)
        g_string_append_c(line, '"');
    if (formula)
        g_string_append_c(line, '\'');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"')
            g_string_append_c(line, '"');
        g_string_append_c(line, *p);
    }
    if (quote)
        g_string_append_c(line, '"');
}

static void csv_u64(GString *line, guint64 value)
{
    if (line->len > 0 && line->str[line->len - 1] != '\n')
        g_string_append_c(line, ',');
    g_string_append_printf(line, "%" G_GUINT64_FORMAT, value);
}

static void csv_hex(GString *line, const guint8 *bytes, gsize n_bytes)
{
    g_autofree char *hex = imp_hex_encode(bytes, n_bytes);
    csv_text(line, hex);
}

void imp_view_csv_header(GString *text)
{
    g_string_append(text,
                    "cursor,launch,image,image_name,kind,result,confirmed,seq,start_number,port,order,"
                    "person,began_real_us,duration_ms,code,step,address,expected,found,uid,numbers,reads,"
                    "link_waits,link_faults,link_errors,link_retries,link_hz,link_slowed_by,rework\r\n");
}

void imp_view_csv(GString *text, const ImpLedgerLogEntry *entry, const char *kind, const char *name)
{
    const ImpReport *report = &entry->report;
    char id[IMP_ID_TEXT_SIZE], address[19] = "";
    csv_u64(text, entry->record);
    csv_text(text, imp_id_text(&report->launch, id));
    csv_text(text, imp_id_text(&report->image, id));
    csv_text(text, name != NULL ? name : "");
    csv_text(text, kind != NULL ? kind : "");
    csv_text(text, imp_result_name(report->result));
    csv_text(text, entry->own ? "" : entry->confirmed ? "yes" : "no");
    csv_u64(text, report->seq);
    csv_u64(text, report->start_number);
    csv_text(text, report->port);
    csv_text(text, report->order);
    csv_text(text, report->person);
    csv_u64(text, (guint64)report->began_real_us);
    csv_u64(text, report->duration_ms);
    csv_u64(text, (guint64)report->code);
    csv_text(text, report->detail.step);
    if (report->detail.has_address)
        g_snprintf(address, sizeof address, "0x%08" G_GINT64_MODIFIER "x", report->detail.address);
    csv_text(text, address);
    csv_hex(text, report->detail.expected, report->detail.expected_bytes);
    csv_hex(text, report->detail.found, report->detail.found_bytes);
    csv_hex(text, report->uid, report->n_uid);
    g_autoptr(GString) numbers = g_string_new(NULL);
    for (guint32 i = 0; i < report->n_numbers; i++)
        g_string_append_printf(numbers, "%s%s", i > 0 ? " " : "", report->numbers[i].text);
    csv_text(text, numbers->str);
    g_autoptr(GString) reads = g_string_new(NULL);
    for (guint32 i = 0; i < report->n_reads; i++) {
        g_autofree char *hex = imp_hex_encode(report->reads[i].bytes, report->reads[i].n_bytes);
        g_string_append_printf(reads, "%s%s=%s", i > 0 ? " " : "", report->reads[i].name,
                               report->reads[i].n_bytes > 0 ? hex : IMP_WIRE_REDACTED);
    }
    csv_text(text, reads->str);
    csv_u64(text, report->link_waits);
    csv_u64(text, report->link_faults);
    csv_u64(text, report->link_errors);
    csv_u64(text, report->link_retries);
    csv_u64(text, report->link_hz);
    csv_u64(text, report->link_slowed_by);
    csv_text(text, entry->rework ? "yes" : "");
    g_string_append(text, "\r\n");
}

json_t *imp_view_cloud(const ImpViewCloud *cloud)
{
    static const char *const names[] = {
        [IMP_CLOUD_GREETING] = "greeting",
        [IMP_CLOUD_WELCOMED] = "welcomed",
        [IMP_CLOUD_BLOCKED] = "blocked",
        [IMP_CLOUD_STALE] = "stale",
    };
    json_t *document = json_object();
    if (cloud->view == NULL) {
        set_text(document, "state", "none");
        return document;
    }
    gboolean decided = cloud->view->state == IMP_CLOUD_BLOCKED || cloud->view->state == IMP_CLOUD_STALE;
    set_text(document, "state",
             cloud->view->unreachable && !decided ? "unreachable" : names[cloud->view->state]);
    set_text(document, "url", cloud->url);
    set_text(document, "station", cloud->station);
    set_text(document, "ca", cloud->ca);
    if (cloud->view->error != NULL)
        json_object_set_new(document, "error", imp_http_problem_body(cloud->view->error));
    set_u64(document, "reports_waiting", cloud->view->reports_waiting);
    if (cloud->view->answered_real_us != 0)
        json_object_set_new(document, "last_answer_real_us", json_integer(cloud->view->answered_real_us));
    return document;
}
