#include "wire/codec.h"

#include <string.h>

#include "base/json.h"

static const char *const answer_kinds[] = {
    [IMP_ANSWER_GRANTED] = "granted",     [IMP_ANSWER_REFUSED] = "refused",
    [IMP_ANSWER_WITHDRAWN] = "withdrawn", [IMP_ANSWER_ENDED] = "ended",
    [IMP_ANSWER_FRESH] = "fresh",         [IMP_ANSWER_CONFIRMED] = "confirmed",
    [IMP_ANSWER_CONFLICT] = "conflict",   [IMP_ANSWER_IDENTIFIED] = "identified",
};

static const char *const welcomes[] = {
    [IMP_WELCOME_NONE] = "none",   [IMP_WELCOME_YES] = "yes",     [IMP_WELCOME_BLOCKED] = "blocked",
    [IMP_WELCOME_STALE] = "stale", [IMP_WELCOME_FIRST] = "first",
};

const char *imp_answer_kind_name(ImpAnswerKind kind)
{
    g_assert(kind < G_N_ELEMENTS(answer_kinds) && answer_kinds[kind] != NULL);
    return answer_kinds[kind];
}

const char *imp_welcome_name(ImpWelcome welcome)
{
    g_assert(welcome < G_N_ELEMENTS(welcomes) && welcomes[welcome] != NULL);
    return welcomes[welcome];
}

/* ---- writing ----
 *
 * Writer keeps the first fault, as ImpJson does when reading. */

typedef struct {
    GError *error;
} Writer;

static void put_text(Writer *w, json_t *object, const char *name, const char *text)
{
    if (text[0] == '\0')
        return;
    gboolean control = FALSE;
    for (const char *c = text; *c != '\0'; c++)
        control = control || (guchar)*c < 0x20 || *c == 0x7f;
    json_t *value = control ? NULL : json_string(text);
    if (value != NULL)
        json_object_set_new(object, name, value);
    else if (w->error == NULL)
        imp_error_set(&w->error, IMP_E_ARGUMENT, "'%s' holds control characters or is not UTF-8", name);
}

static void put_int(json_t *object, const char *name, gint64 value)
{
    json_object_set_new(object, name, json_integer(value));
}

/* Left out if zero. */
static void put_u64(Writer *w, json_t *object, const char *name, guint64 value)
{
    if (value > G_MAXINT64) {
        if (w->error == NULL)
            imp_error_set(&w->error, IMP_E_ARGUMENT, "'%s' is greater than %" G_GINT64_FORMAT, name,
                          G_MAXINT64);
    } else if (value != 0) {
        put_int(object, name, (gint64)value);
    }
}

static void put_hex(json_t *object, const char *name, const guint8 *bytes, gsize n_bytes)
{
    if (n_bytes == 0)
        return;
    g_autofree char *hex = imp_hex_encode(bytes, n_bytes);
    json_object_set_new(object, name, json_string(hex));
}

static void put_id(json_t *object, const char *name, const ImpId *id)
{
    char text[IMP_ID_TEXT_SIZE];
    if (!imp_id_is_zero(id))
        json_object_set_new(object, name, json_string(imp_id_text(id, text)));
}

static void put_word(json_t *object, const char *name, const char *word)
{
    json_object_set_new(object, name, json_string(word));
}

/* Left out if FALSE. */
static void put_true(json_t *object, const char *name, gboolean value)
{
    if (value)
        json_object_set_new(object, name, json_true());
}

/* Takes over part; left out if it is empty. */
static void put_part(json_t *object, const char *name, json_t *part)
{
    gboolean empty = json_is_array(part) ? json_array_size(part) == 0 : json_object_size(part) == 0;
    if (empty)
        json_decref(part);
    else
        json_object_set_new(object, name, part);
}

static json_t *write_number(Writer *w, const ImpNumber *number)
{
    json_t *object = json_object();
    put_text(w, object, "pool", number->pool);
    if (number->number > G_MAXINT64)
        put_u64(w, object, "number", number->number);
    else
        put_int(object, "number", (gint64)number->number);
    put_hex(object, "bytes", number->bytes, number->n_bytes);
    put_text(w, object, "text", number->text);
    return object;
}

static json_t *write_numbers(Writer *w, const ImpNumber *numbers, guint32 n_numbers)
{
    g_assert(n_numbers <= IMP_WIRE_NUMBERS_MAX);
    json_t *array = json_array();
    for (guint32 i = 0; i < n_numbers; i++)
        json_array_append_new(array, write_number(w, &numbers[i]));
    return array;
}

static json_t *write_reads(Writer *w, const ImpReport *report)
{
    g_assert(report->n_reads <= IMP_WIRE_READS_MAX);
    json_t *array = json_array();
    for (guint32 i = 0; i < report->n_reads; i++) {
        json_t *object = json_object();
        put_text(w, object, "name", report->reads[i].name);
        put_hex(object, "bytes", report->reads[i].bytes, report->reads[i].n_bytes);
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *write_detail(Writer *w, const ImpErrorDetail *detail)
{
    json_t *object = json_object();
    put_text(w, object, "step", detail->step);
    if (detail->has_address && detail->address > G_MAXINT64)
        put_u64(w, object, "address", detail->address);
    else if (detail->has_address)
        put_int(object, "address", (gint64)detail->address);
    put_hex(object, "expected", detail->expected, detail->expected_bytes);
    put_hex(object, "found", detail->found, detail->found_bytes);
    return object;
}

static json_t *write_link(const ImpReport *report)
{
    Writer none = {NULL}; /* 32 bits always fit */
    json_t *object = json_object();
    put_u64(&none, object, "waits", report->link_waits);
    put_u64(&none, object, "faults", report->link_faults);
    put_u64(&none, object, "errors", report->link_errors);
    put_u64(&none, object, "retries", report->link_retries);
    put_u64(&none, object, "hz", report->link_hz);
    put_u64(&none, object, "slowed_by", report->link_slowed_by);
    return object;
}

static json_t *write_report(Writer *w, const ImpReport *report)
{
    json_t *object = json_object();
    put_id(object, "launch", &report->launch);
    put_id(object, "image", &report->image);
    put_word(object, "result", imp_result_name(report->result));
    put_u64(w, object, "seq", report->seq);
    put_u64(w, object, "start_number", report->start_number);
    put_text(w, object, "port", report->port);
    put_text(w, object, "order", report->order);
    put_text(w, object, "person", report->person);
    if (report->began_real_us != 0)
        put_int(object, "began_real_us", report->began_real_us);
    put_u64(w, object, "duration_ms", report->duration_ms);
    if (report->code != 0)
        put_int(object, "code", report->code);
    put_part(object, "detail", write_detail(w, &report->detail));
    put_hex(object, "uid", report->uid, report->n_uid);
    put_part(object, "numbers", write_numbers(w, report->numbers, report->n_numbers));
    put_part(object, "reads", write_reads(w, report));
    put_part(object, "link", write_link(report));
    return object;
}

static json_t *write_answer(Writer *w, const ImpAnswer *answer)
{
    json_t *object = json_object();
    put_word(object, "kind", imp_answer_kind_name(answer->kind));
    put_id(object, "launch", &answer->launch);
    put_u64(w, object, "ask", answer->ask);
    if (answer->code != 0)
        put_int(object, "code", answer->code);
    if (answer->kind == IMP_ANSWER_ENDED)
        put_word(object, "result", imp_result_name(answer->result));
    put_part(object, "numbers", write_numbers(w, answer->numbers, answer->n_numbers));
    put_true(object, "identify", answer->identify);
    put_true(object, "kept", answer->kept);
    json_t *counts = json_object();
    if (answer->has_units && answer->units <= G_MAXINT64)
        put_int(counts, "units", (gint64)answer->units);
    else if (answer->has_units)
        put_u64(w, counts, "units", answer->units);
    put_u64(w, counts, "passed", answer->passed);
    put_u64(w, counts, "unknown", answer->unknown);
    put_u64(w, counts, "open", answer->open);
    put_u64(w, counts, "failures", answer->failures);
    put_part(object, "counts", counts);
    return object;
}

static json_t *write_want(Writer *w, const ImpWant *want)
{
    json_t *object = json_object();
    put_id(object, "launch", &want->launch);
    put_id(object, "image", &want->image);
    put_u64(w, object, "ask", want->ask);
    put_text(w, object, "port", want->port);
    put_text(w, object, "order", want->order);
    put_text(w, object, "person", want->person);
    g_assert(want->n_given <= IMP_WIRE_NUMBERS_MAX);
    json_t *given = json_array();
    for (guint32 i = 0; i < want->n_given; i++) {
        json_t *number = json_object();
        put_text(w, number, "pool", want->given[i].pool);
        put_hex(number, "bytes", want->given[i].bytes, want->given[i].n_bytes);
        json_array_append_new(given, number);
    }
    put_part(object, "given", given);
    return object;
}

static json_t *write_identify(Writer *w, const ImpIdentify *identify)
{
    json_t *object = json_object();
    put_id(object, "launch", &identify->launch);
    put_u64(w, object, "ask", identify->ask);
    put_hex(object, "uid", identify->uid, identify->n_uid);
    return object;
}

static json_t *write_request(Writer *w, const ImpSyncRequest *request)
{
    json_t *object = json_object();
    put_int(object, "protocol", request->protocol);
    put_u64(w, object, "start_number", request->start_number);
    if (request->has_hello) {
        json_t *hello = json_object();
        put_id(hello, "nonce", &request->hello.nonce);
        put_u64(w, hello, "journal_position", request->hello.journal_position);
        json_object_set_new(object, "hello", hello);
    }
    put_true(object, "want_open", request->want_open);
    json_t *reports = json_array(), *refreshes = json_array(), *identifies = json_array(),
           *wants = json_array();
    for (guint32 i = 0; i < request->n_reports; i++)
        json_array_append_new(reports, write_report(w, &request->reports[i]));
    for (guint32 i = 0; i < request->n_refreshes; i++) {
        json_t *refresh = json_object();
        put_id(refresh, "launch", &request->refreshes[i].launch);
        put_u64(w, refresh, "ask", request->refreshes[i].ask);
        json_array_append_new(refreshes, refresh);
    }
    for (guint32 i = 0; i < request->n_identifies; i++)
        json_array_append_new(identifies, write_identify(w, &request->identifies[i]));
    for (guint32 i = 0; i < request->n_wants; i++)
        json_array_append_new(wants, write_want(w, &request->wants[i]));
    put_part(object, "reports", reports);
    put_part(object, "refreshes", refreshes);
    put_part(object, "identifies", identifies);
    put_part(object, "wants", wants);
    return object;
}

static json_t *write_response(Writer *w, const ImpSyncResponse *response)
{
    json_t *object = json_object();
    put_int(object, "protocol", response->protocol);
    put_id(object, "epoch", &response->epoch);
    put_int(object, "real_us", response->real_us);
    put_word(object, "welcome", imp_welcome_name(response->welcome));
    if (response->code != 0)
        put_int(object, "code", response->code);
    if (response->has_open) {
        json_t *open = json_array();
        char text[IMP_ID_TEXT_SIZE];
        for (guint32 i = 0; i < response->n_open; i++)
            json_array_append_new(open, json_string(imp_id_text(&response->open[i], text)));
        json_object_set_new(object, "open", open);
    }
    json_t *answers = json_array();
    for (guint32 i = 0; i < response->n_answers; i++)
        json_array_append_new(answers, write_answer(w, &response->answers[i]));
    put_part(object, "answers", answers);
    return object;
}

/* The finished part, or NULL with *error. */
static json_t *finish(Writer *w, json_t *object, GError **error)
{
    if (w->error == NULL)
        return object;
    json_decref(object);
    g_propagate_error(error, g_steal_pointer(&w->error));
    return NULL;
}

static char *finish_text(Writer *w, json_t *object, GError **error)
{
    object = finish(w, object, error);
    if (object == NULL)
        return NULL;
    char *text = imp_json_text(object);
    json_decref(object);
    gsize n_bytes = strlen(text);
    if (n_bytes > IMP_WIRE_MESSAGE_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "the message has %" G_GSIZE_FORMAT " bytes, the limit is %d",
                      n_bytes, IMP_WIRE_MESSAGE_MAX);
        g_clear_pointer(&text, g_free);
    }
    return text;
}

char *imp_sync_request_encode(const ImpSyncRequest *request, GError **error)
{
    Writer w = {NULL};
    return finish_text(&w, write_request(&w, request), error);
}

char *imp_sync_response_encode(const ImpSyncResponse *response, GError **error)
{
    Writer w = {NULL};
    return finish_text(&w, write_response(&w, response), error);
}

json_t *imp_report_encode(const ImpReport *report, GError **error)
{
    Writer w = {NULL};
    return finish(&w, write_report(&w, report), error);
}

json_t *imp_number_encode(const ImpNumber *number, GError **error)
{
    Writer w = {NULL};
    return finish(&w, write_number(&w, number), error);
}

json_t *imp_answer_encode(const ImpAnswer *answer, GError **error)
{
    Writer w = {NULL};
    return finish(&w, write_answer(&w, answer), error);
}

/* ---- reading ---- */

static void begin(ImpJson *r, const json_t *object, const char *where)
{
    imp_json_begin(r, object, where, IMP_E_SCHEMA, IMP_E_SCHEMA);
}

static void get_text(ImpJson *r, const char *name, char *out, gsize size)
{
    if (imp_json_has(r, name))
        g_strlcpy(out, imp_json_string(r, name, 1, size - 1), size);
}

static guint64 get_u64(ImpJson *r, const char *name, guint64 max)
{
    return imp_json_has(r, name) ? imp_json_u64(r, name, 0, max) : 0;
}

/* Any number of bytes up to cap. */
static guint8 get_hex(ImpJson *r, const char *name, guint8 *out, gsize cap)
{
    if (!imp_json_has(r, name))
        return 0;
    gsize n_digits = strlen(imp_json_string(r, name, 2, 2 * cap));
    if (imp_json_ok(r) && n_digits % 2 != 0)
        imp_json_fault(r, "'%s' has an odd number of digits", name);
    imp_json_hex(r, name, out, n_digits / 2);
    return (guint8)(n_digits / 2);
}

static gboolean get_true(ImpJson *r, const char *name)
{
    return imp_json_has(r, name) && imp_json_bool(r, name);
}

static ImpId get_id(ImpJson *r, const char *name)
{
    if (!imp_json_has(r, name))
        return (ImpId){{0}};
    ImpId id = imp_json_id(r, name);
    if (imp_json_ok(r) && imp_id_is_zero(&id))
        imp_json_fault(r, "'%s' is zero", name);
    return id;
}

static ImpId need_id(ImpJson *r, const char *name)
{
    ImpId id = imp_json_id(r, name);
    if (imp_json_ok(r) && imp_id_is_zero(&id))
        imp_json_fault(r, "'%s' is zero", name);
    return id;
}

/* An object inside an object, or NULL. */
static const json_t *get_part(ImpJson *r, const char *name)
{
    return imp_json_has(r, name) ? imp_json_object(r, name) : NULL;
}

/* An array of at least one, or NULL. */
static const json_t *get_list(ImpJson *r, const char *name, gsize max)
{
    return imp_json_has(r, name) ? imp_json_array(r, name, 1, max) : NULL;
}

/* Ends inner, whose fault becomes outer's. */
static void end_inner(ImpJson *outer, ImpJson *inner)
{
    GError *fault = NULL;
    if (!imp_json_end(inner, &fault))
        imp_json_take(outer, fault);
}

static ImpResult get_result(ImpJson *r, const char *name)
{
    ImpResult result = IMP_RESULT_PASSED;
    const char *word = imp_json_string(r, name, 1, 16);
    if (imp_json_ok(r) && !imp_result_parse(word, &result))
        imp_json_fault(r, "'%s' is '%s', which is no result", name, word);
    return result;
}

gboolean imp_number_decode(const json_t *value, const char *where, ImpNumber *out_number, GError **error)
{
    ImpNumber number = {0};
    ImpJson r;
    begin(&r, value, where);
    g_strlcpy(number.pool, imp_json_string(&r, "pool", 1, sizeof number.pool - 1), sizeof number.pool);
    number.number = imp_json_u64(&r, "number", 0, G_MAXINT64);
    number.n_bytes = get_hex(&r, "bytes", number.bytes, sizeof number.bytes);
    get_text(&r, "text", number.text, sizeof number.text);
    if (!imp_json_end(&r, error))
        return FALSE;
    *out_number = number;
    return TRUE;
}

static void read_numbers(ImpJson *r, ImpNumber *numbers, guint32 *out_n)
{
    const json_t *list = get_list(r, "numbers", IMP_WIRE_NUMBERS_MAX);
    for (gsize i = 0; i < json_array_size(list); i++) {
        GError *fault = NULL;
        g_autofree char *where = g_strdup_printf("numbers[%" G_GSIZE_FORMAT "]", i);
        if (!imp_number_decode(json_array_get(list, i), where, &numbers[i], &fault))
            imp_json_take(r, fault);
    }
    *out_n = (guint32)json_array_size(list);
}

static void read_reads(ImpJson *r, ImpReport *report)
{
    const json_t *list = get_list(r, "reads", IMP_WIRE_READS_MAX);
    for (gsize i = 0; i < json_array_size(list); i++) {
        ImpReading *read = &report->reads[i];
        g_autofree char *where = g_strdup_printf("reads[%" G_GSIZE_FORMAT "]", i);
        ImpJson inner;
        begin(&inner, json_array_get(list, i), where);
        g_strlcpy(read->name, imp_json_string(&inner, "name", 1, sizeof read->name - 1), sizeof read->name);
        read->n_bytes = get_hex(&inner, "bytes", read->bytes, sizeof read->bytes);
        end_inner(r, &inner);
    }
    report->n_reads = (guint32)json_array_size(list);
}

static void read_detail(ImpJson *r, ImpErrorDetail *detail)
{
    const json_t *part = get_part(r, "detail");
    if (part == NULL)
        return;
    ImpJson inner;
    begin(&inner, part, "detail");
    get_text(&inner, "step", detail->step, sizeof detail->step);
    detail->has_address = imp_json_has(&inner, "address");
    if (detail->has_address)
        detail->address = imp_json_u64(&inner, "address", 0, G_MAXINT64);
    detail->expected_bytes = get_hex(&inner, "expected", detail->expected, sizeof detail->expected);
    detail->found_bytes = get_hex(&inner, "found", detail->found, sizeof detail->found);
    end_inner(r, &inner);
}

static void read_link(ImpJson *r, ImpReport *report)
{
    const json_t *part = get_part(r, "link");
    if (part == NULL)
        return;
    ImpJson inner;
    begin(&inner, part, "link");
    report->link_waits = (guint32)get_u64(&inner, "waits", G_MAXUINT32);
    report->link_faults = (guint32)get_u64(&inner, "faults", G_MAXUINT32);
    report->link_errors = (guint32)get_u64(&inner, "errors", G_MAXUINT32);
    report->link_retries = (guint32)get_u64(&inner, "retries", G_MAXUINT32);
    report->link_hz = (guint32)get_u64(&inner, "hz", G_MAXUINT32);
    report->link_slowed_by = (guint32)get_u64(&inner, "slowed_by", G_MAXUINT32);
    end_inner(r, &inner);
}

static void read_report(ImpJson *r, ImpReport *report)
{
    report->launch = need_id(r, "launch");
    report->image = get_id(r, "image");
    report->result = get_result(r, "result");
    report->seq = get_u64(r, "seq", G_MAXINT64);
    report->start_number = get_u64(r, "start_number", G_MAXINT64);
    get_text(r, "port", report->port, sizeof report->port);
    get_text(r, "order", report->order, sizeof report->order);
    get_text(r, "person", report->person, sizeof report->person);
    if (imp_json_has(r, "began_real_us"))
        report->began_real_us = imp_json_i64(r, "began_real_us", G_MININT64, G_MAXINT64);
    report->duration_ms = (guint32)get_u64(r, "duration_ms", G_MAXUINT32);
    report->code = (int)get_u64(r, "code", G_MAXINT);
    read_detail(r, &report->detail);
    report->n_uid = get_hex(r, "uid", report->uid, sizeof report->uid);
    read_numbers(r, report->numbers, &report->n_numbers);
    read_reads(r, report);
    read_link(r, report);
}

gboolean imp_report_decode(const json_t *value, const char *where, ImpReport *out_report, GError **error)
{
    g_autofree ImpReport *report = g_new0(ImpReport, 1);
    ImpJson r;
    begin(&r, value, where);
    read_report(&r, report);
    if (!imp_json_end(&r, error))
        return FALSE;
    *out_report = *report;
    return TRUE;
}

static void read_counts(ImpJson *r, ImpAnswer *answer)
{
    const json_t *part = get_part(r, "counts");
    if (part == NULL)
        return;
    ImpJson inner;
    begin(&inner, part, "counts");
    answer->has_units = imp_json_has(&inner, "units");
    if (answer->has_units)
        answer->units = imp_json_u64(&inner, "units", 0, G_MAXINT64);
    answer->passed = get_u64(&inner, "passed", G_MAXINT64);
    answer->unknown = get_u64(&inner, "unknown", G_MAXINT64);
    answer->open = get_u64(&inner, "open", G_MAXINT64);
    answer->failures = get_u64(&inner, "failures", G_MAXINT64);
    end_inner(r, &inner);
}

gboolean imp_answer_decode(const json_t *value, const char *where, ImpAnswer *out_answer, GError **error)
{
    g_autofree ImpAnswer *answer = g_new0(ImpAnswer, 1);
    ImpJson r;
    begin(&r, value, where);
    answer->kind = (ImpAnswerKind)imp_json_word(&r, "kind", answer_kinds, G_N_ELEMENTS(answer_kinds));
    answer->launch = need_id(&r, "launch");
    answer->ask = get_u64(&r, "ask", G_MAXINT64);
    answer->code = (int)get_u64(&r, "code", G_MAXINT);
    if (imp_json_ok(&r) && answer->kind == IMP_ANSWER_ENDED)
        answer->result = get_result(&r, "result");
    read_numbers(&r, answer->numbers, &answer->n_numbers);
    if (imp_json_ok(&r) && answer->n_numbers > 0 && answer->kind != IMP_ANSWER_GRANTED &&
        answer->kind != IMP_ANSWER_IDENTIFIED)
        imp_json_fault(&r, "'numbers' come with 'granted' and 'identified' only");
    answer->identify = get_true(&r, "identify");
    answer->kept = get_true(&r, "kept");
    read_counts(&r, answer);
    if (!imp_json_end(&r, error))
        return FALSE;
    *out_answer = *answer;
    return TRUE;
}

/* Each pool at most once: which of two would be the number? */
static void read_given(ImpJson *r, ImpWant *want)
{
    const json_t *list = get_list(r, "given", IMP_WIRE_NUMBERS_MAX);
    for (gsize i = 0; i < json_array_size(list); i++) {
        ImpGivenNumber *given = &want->given[i];
        g_autofree char *where = g_strdup_printf("given[%" G_GSIZE_FORMAT "]", i);
        ImpJson inner;
        begin(&inner, json_array_get(list, i), where);
        g_strlcpy(given->pool, imp_json_string(&inner, "pool", 1, sizeof given->pool - 1),
                  sizeof given->pool);
        given->n_bytes = get_hex(&inner, "bytes", given->bytes, sizeof given->bytes);
        if (imp_json_ok(&inner) && given->n_bytes == 0)
            imp_json_fault(&inner, "'bytes' is missing");
        for (gsize k = 0; k < i && imp_json_ok(&inner); k++)
            if (strcmp(want->given[k].pool, given->pool) == 0)
                imp_json_fault(&inner, "'pool' is '%s' a second time", given->pool);
        end_inner(r, &inner);
    }
    want->n_given = (guint32)json_array_size(list);
}

static void read_want(ImpJson *outer, const json_t *value, const char *where, ImpWant *want)
{
    ImpJson r;
    begin(&r, value, where);
    want->launch = need_id(&r, "launch");
    want->image = need_id(&r, "image");
    want->ask = get_u64(&r, "ask", G_MAXINT64);
    get_text(&r, "port", want->port, sizeof want->port);
    get_text(&r, "order", want->order, sizeof want->order);
    get_text(&r, "person", want->person, sizeof want->person);
    read_given(&r, want);
    end_inner(outer, &r);
}

static void read_identify(ImpJson *outer, const json_t *value, const char *where, ImpIdentify *identify)
{
    ImpJson r;
    begin(&r, value, where);
    identify->launch = need_id(&r, "launch");
    identify->ask = get_u64(&r, "ask", G_MAXINT64);
    identify->n_uid = get_hex(&r, "uid", identify->uid, sizeof identify->uid);
    if (imp_json_ok(&r) && identify->n_uid == 0)
        imp_json_fault(&r, "'uid' is missing");
    end_inner(outer, &r);
}

static void read_refresh(ImpJson *outer, const json_t *value, const char *where, ImpRefresh *refresh)
{
    ImpJson r;
    begin(&r, value, where);
    refresh->launch = need_id(&r, "launch");
    refresh->ask = get_u64(&r, "ask", G_MAXINT64);
    end_inner(outer, &r);
}

static void read_hello(ImpJson *outer, ImpSyncRequest *request)
{
    const json_t *part = get_part(outer, "hello");
    request->has_hello = part != NULL;
    if (part == NULL)
        return;
    ImpJson r;
    begin(&r, part, "hello");
    request->hello.nonce = need_id(&r, "nonce");
    request->hello.journal_position = get_u64(&r, "journal_position", G_MAXINT64);
    end_inner(outer, &r);
}

/* The four lists together have a limit; so each array is made only as long as what has come. */
static void read_items(ImpJson *r, ImpSyncRequest *request)
{
    const json_t *reports = get_list(r, "reports", IMP_WIRE_SYNC_ITEMS_MAX);
    const json_t *refreshes = get_list(r, "refreshes", IMP_WIRE_SYNC_ITEMS_MAX);
    const json_t *wants = get_list(r, "wants", IMP_WIRE_SYNC_ITEMS_MAX);
    const json_t *identifies = get_list(r, "identifies", IMP_WIRE_SYNC_ITEMS_MAX);
    gsize n_items = json_array_size(reports) + json_array_size(refreshes) + json_array_size(identifies) +
                    json_array_size(wants);
    if (n_items > IMP_WIRE_SYNC_ITEMS_MAX)
        imp_json_fault(r, "%" G_GSIZE_FORMAT " reports, refreshes, identifies and wants, the limit is %d",
                       n_items, IMP_WIRE_SYNC_ITEMS_MAX);
    if (!imp_json_ok(r))
        return;
    request->n_reports = (guint32)json_array_size(reports);
    request->n_refreshes = (guint32)json_array_size(refreshes);
    request->n_identifies = (guint32)json_array_size(identifies);
    request->n_wants = (guint32)json_array_size(wants);
    request->reports = g_new0(ImpReport, request->n_reports);
    request->refreshes = g_new0(ImpRefresh, request->n_refreshes);
    request->identifies = g_new0(ImpIdentify, request->n_identifies);
    request->wants = g_new0(ImpWant, request->n_wants);
    char where[32];
    for (guint32 i = 0; i < request->n_reports && imp_json_ok(r); i++) {
        GError *fault = NULL;
        g_snprintf(where, sizeof where, "reports[%u]", i);
        if (!imp_report_decode(json_array_get(reports, i), where, &request->reports[i], &fault))
            imp_json_take(r, fault);
    }
    for (guint32 i = 0; i < request->n_refreshes && imp_json_ok(r); i++) {
        g_snprintf(where, sizeof where, "refreshes[%u]", i);
        read_refresh(r, json_array_get(refreshes, i), where, &request->refreshes[i]);
    }
    for (guint32 i = 0; i < request->n_identifies && imp_json_ok(r); i++) {
        g_snprintf(where, sizeof where, "identifies[%u]", i);
        read_identify(r, json_array_get(identifies, i), where, &request->identifies[i]);
    }
    for (guint32 i = 0; i < request->n_wants && imp_json_ok(r); i++) {
        g_snprintf(where, sizeof where, "wants[%u]", i);
        read_want(r, json_array_get(wants, i), where, &request->wants[i]);
    }
}

/* The version is looked at first: of another one nothing else can be understood. */
static gboolean check_protocol(const json_t *document, const char *what, GError **error)
{
    const json_t *protocol = json_object_get((json_t *)document, "protocol");
    if (!json_is_integer(protocol) || json_integer_value(protocol) == IMP_WIRE_PROTOCOL)
        return TRUE; /* missing or wrong: said by whoever reads it */
    imp_error_set(error, IMP_E_UNSUPPORTED,
                  "%s: protocol version %" JSON_INTEGER_FORMAT ", this program knows %d", what,
                  json_integer_value(protocol), IMP_WIRE_PROTOCOL);
    return FALSE;
}

static json_t *parse(const char *text, gsize n_bytes, const char *what, GError **error)
{
    json_t *document = imp_json_parse(text, n_bytes, IMP_WIRE_MESSAGE_MAX, what, IMP_E_SYNTAX, error);
    if (document != NULL && !check_protocol(document, what, error))
        g_clear_pointer(&document, json_decref);
    return document;
}

ImpSyncRequest *imp_sync_request_decode(const char *text, gsize n_bytes, GError **error)
{
    json_t *document = parse(text, n_bytes, "sync request", error);
    if (document == NULL)
        return NULL;
    g_autoptr(ImpSyncRequest) request = g_new0(ImpSyncRequest, 1);
    ImpJson r;
    begin(&r, document, "sync request");
    request->protocol = (guint32)imp_json_u64(&r, "protocol", IMP_WIRE_PROTOCOL, IMP_WIRE_PROTOCOL);
    request->start_number = imp_json_u64(&r, "start_number", 1, G_MAXINT64);
    read_hello(&r, request);
    request->want_open = get_true(&r, "want_open");
    read_items(&r, request);
    gboolean ok = imp_json_end(&r, error);
    json_decref(document);
    return ok ? g_steal_pointer(&request) : NULL;
}

static void read_open(ImpJson *r, ImpSyncResponse *response)
{
    response->has_open = imp_json_has(r, "open");
    if (!response->has_open)
        return;
    const json_t *list = imp_json_array(r, "open", 0, IMP_WIRE_OPEN_MAX);
    if (list == NULL)
        return;
    response->n_open = (guint32)json_array_size(list);
    response->open = g_new0(ImpId, response->n_open);
    for (guint32 i = 0; i < response->n_open; i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item) || !imp_id_parse(json_string_value(item), &response->open[i]))
            imp_json_fault(r, "open[%u] must be an ID", i);
    }
}

static void read_answers(ImpJson *r, ImpSyncResponse *response)
{
    const json_t *list = get_list(r, "answers", IMP_WIRE_SYNC_ITEMS_MAX);
    response->n_answers = (guint32)json_array_size(list);
    response->answers = g_new0(ImpAnswer, response->n_answers);
    for (guint32 i = 0; i < response->n_answers && imp_json_ok(r); i++) {
        GError *fault = NULL;
        char where[32];
        g_snprintf(where, sizeof where, "answers[%u]", i);
        if (!imp_answer_decode(json_array_get(list, i), where, &response->answers[i], &fault))
            imp_json_take(r, fault);
    }
}

ImpSyncResponse *imp_sync_response_decode(const char *text, gsize n_bytes, GError **error)
{
    json_t *document = parse(text, n_bytes, "sync response", error);
    if (document == NULL)
        return NULL;
    g_autoptr(ImpSyncResponse) response = g_new0(ImpSyncResponse, 1);
    ImpJson r;
    begin(&r, document, "sync response");
    response->protocol = (guint32)imp_json_u64(&r, "protocol", IMP_WIRE_PROTOCOL, IMP_WIRE_PROTOCOL);
    response->epoch = need_id(&r, "epoch");
    response->real_us = imp_json_i64(&r, "real_us", G_MININT64, G_MAXINT64);
    response->welcome = (ImpWelcome)imp_json_word(&r, "welcome", welcomes, G_N_ELEMENTS(welcomes));
    response->code = (int)get_u64(&r, "code", G_MAXINT);
    read_open(&r, response);
    read_answers(&r, response);
    gboolean ok = imp_json_end(&r, error);
    json_decref(document);
    return ok ? g_steal_pointer(&response) : NULL;
}
