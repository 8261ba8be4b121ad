#include "wire/codec.h"

#include <string.h>

#include "base/json.h"

/* ---- random messages ----
 *
 * Every member is sometimes zero, sometimes at its limit. */

static guint64 some_u64(GRand *rand)
{
    switch (g_rand_int_range(rand, 0, 4)) {
    case 0:
        return 0;
    case 1:
        return G_MAXINT64;
    case 2:
        return (1u << 30) * (guint64)(1u << 23) + 1; /* 2^53 + 1: a double cannot hold it */
    default:
        return (((guint64)g_rand_int(rand) << 32) | g_rand_int(rand)) >> g_rand_int_range(rand, 1, 64);
    }
}

static guint32 some_u32(GRand *rand)
{
    return g_rand_boolean(rand) ? G_MAXUINT32 : (guint32)g_rand_int_range(rand, 0, 3);
}

static ImpId some_id(GRand *rand)
{
    ImpId id;
    for (gsize i = 0; i < sizeof id.bytes; i++)
        id.bytes[i] = (guint8)g_rand_int_range(rand, 1, 256);
    return id;
}

/* Of 0 (or min) to size - 1 bytes, with letters of one, two and four bytes and what JSON has to escape. */
static void some_text(GRand *rand, char *out, gsize size, gsize min)
{
    static const char *const letters[] = {"a", "Z", "0", " ", "\"", "\\", "/", "é", "€", "😀", "{"};
    gsize n = (gsize)g_rand_int_range(rand, (gint32)min, (gint32)size), used = 0;
    if (g_rand_int_range(rand, 0, 4) == 0)
        n = size - 1;
    while (used < n) {
        const char *letter = letters[g_rand_int_range(rand, 0, G_N_ELEMENTS(letters))];
        if (used + strlen(letter) > n)
            letter = "x";
        memcpy(out + used, letter, strlen(letter));
        used += strlen(letter);
    }
    out[used] = '\0';
}

static guint8 some_bytes(GRand *rand, guint8 *out, gsize cap)
{
    guint8 n = (guint8)(g_rand_boolean(rand) ? g_rand_int_range(rand, 0, (gint32)cap + 1) : (gint32)cap);
    for (guint8 i = 0; i < n; i++)
        out[i] = (guint8)g_rand_int_range(rand, 0, 256);
    return n;
}

static guint32 some_numbers(GRand *rand, ImpNumber *out)
{
    guint32 n = (guint32)g_rand_int_range(rand, 0, IMP_WIRE_NUMBERS_MAX + 1);
    for (guint32 i = 0; i < n; i++) {
        some_text(rand, out[i].pool, sizeof out[i].pool, 1);
        out[i].number = some_u64(rand);
        out[i].n_bytes = some_bytes(rand, out[i].bytes, sizeof out[i].bytes);
        some_text(rand, out[i].text, sizeof out[i].text, 0);
    }
    return n;
}

static void some_report(GRand *rand, ImpReport *out)
{
    out->launch = some_id(rand);
    if (g_rand_boolean(rand))
        out->image = some_id(rand);
    out->result = (ImpResult)g_rand_int_range(rand, IMP_RESULT_PASSED, IMP_RESULT_UNVERIFIED + 1);
    out->seq = some_u64(rand);
    out->start_number = some_u64(rand);
    some_text(rand, out->port, sizeof out->port, 0);
    some_text(rand, out->order, sizeof out->order, 0);
    some_text(rand, out->person, sizeof out->person, 0);
    out->began_real_us = (gint64)some_u64(rand);
    out->duration_ms = some_u32(rand);
    out->code = g_rand_boolean(rand) ? 0 : IMP_E_FLASH_MISMATCH;
    out->detail.has_address = g_rand_boolean(rand);
    if (out->detail.has_address)
        out->detail.address = some_u64(rand);
    out->detail.expected_bytes = some_bytes(rand, out->detail.expected, sizeof out->detail.expected);
    out->detail.found_bytes = some_bytes(rand, out->detail.found, sizeof out->detail.found);
    some_text(rand, out->detail.step, sizeof out->detail.step, 0);
    out->n_uid = some_bytes(rand, out->uid, sizeof out->uid);
    out->n_numbers = some_numbers(rand, out->numbers);
    out->n_reads = (guint32)g_rand_int_range(rand, 0, IMP_WIRE_READS_MAX + 1);
    for (guint32 i = 0; i < out->n_reads; i++) {
        some_text(rand, out->reads[i].name, sizeof out->reads[i].name, 1);
        out->reads[i].n_bytes = some_bytes(rand, out->reads[i].bytes, sizeof out->reads[i].bytes);
    }
    out->link_waits = some_u32(rand);
    out->link_faults = some_u32(rand);
    out->link_errors = some_u32(rand);
    out->link_retries = some_u32(rand);
    out->link_hz = some_u32(rand);
    out->link_slowed_by = some_u32(rand);
}

static ImpSyncRequest *some_request(GRand *rand)
{
    ImpSyncRequest *out = g_new0(ImpSyncRequest, 1);
    out->protocol = IMP_WIRE_PROTOCOL;
    out->start_number = some_u64(rand) | 1;
    out->has_hello = g_rand_boolean(rand);
    if (out->has_hello)
        out->hello = (ImpHello){some_id(rand), some_u64(rand)};
    out->want_open = g_rand_boolean(rand);
    out->n_reports = (guint32)g_rand_int_range(rand, 0, 6);
    out->n_refreshes = (guint32)g_rand_int_range(rand, 0, 6);
    out->n_wants = (guint32)g_rand_int_range(rand, 0, 6);
    out->reports = g_new0(ImpReport, out->n_reports);
    out->refreshes = g_new0(ImpRefresh, out->n_refreshes);
    out->wants = g_new0(ImpWant, out->n_wants);
    for (guint32 i = 0; i < out->n_reports; i++)
        some_report(rand, &out->reports[i]);
    for (guint32 i = 0; i < out->n_refreshes; i++)
        out->refreshes[i] = (ImpRefresh){some_id(rand), some_u64(rand)};
    for (guint32 i = 0; i < out->n_wants; i++) {
        ImpWant *want = &out->wants[i];
        want->launch = some_id(rand);
        want->image = some_id(rand);
        want->ask = some_u64(rand);
        some_text(rand, want->port, sizeof want->port, 0);
        some_text(rand, want->order, sizeof want->order, 0);
        some_text(rand, want->person, sizeof want->person, 0);
        want->n_given = (guint32)g_rand_int_range(rand, 0, IMP_WIRE_NUMBERS_MAX + 1);
        for (guint32 k = 0; k < want->n_given; k++) {
            ImpGivenNumber *given = &want->given[k];
            g_snprintf(given->pool, sizeof given->pool, "pool-%u", k);
            given->n_bytes = some_bytes(rand, given->bytes, sizeof given->bytes);
            if (given->n_bytes == 0)
                given->bytes[given->n_bytes++] = 0xa5;
        }
    }
    out->n_identifies = (guint32)g_rand_int_range(rand, 0, 6);
    out->identifies = g_new0(ImpIdentify, out->n_identifies);
    for (guint32 i = 0; i < out->n_identifies; i++) {
        ImpIdentify *identify = &out->identifies[i];
        identify->launch = some_id(rand);
        identify->ask = some_u64(rand);
        identify->n_uid = some_bytes(rand, identify->uid, sizeof identify->uid);
        if (identify->n_uid == 0)
            identify->uid[identify->n_uid++] = 0xa5;
    }
    return out;
}

static void some_answer(GRand *rand, ImpAnswer *out)
{
    out->kind = (ImpAnswerKind)g_rand_int_range(rand, IMP_ANSWER_GRANTED, IMP_ANSWER_IDENTIFIED + 1);
    out->launch = some_id(rand);
    out->ask = some_u64(rand);
    if (out->kind == IMP_ANSWER_REFUSED || out->kind == IMP_ANSWER_WITHDRAWN)
        out->code = IMP_E_IMAGE_PAUSED;
    if (out->kind == IMP_ANSWER_ENDED)
        out->result = (ImpResult)g_rand_int_range(rand, IMP_RESULT_PASSED, IMP_RESULT_UNVERIFIED + 1);
    if (out->kind == IMP_ANSWER_GRANTED || out->kind == IMP_ANSWER_IDENTIFIED)
        out->n_numbers = some_numbers(rand, out->numbers);
    out->identify = g_rand_boolean(rand);
    out->kept = g_rand_boolean(rand);
    out->has_units = g_rand_boolean(rand);
    if (out->has_units)
        out->units = some_u64(rand);
    out->passed = some_u64(rand);
    out->unknown = some_u64(rand);
    out->open = some_u64(rand);
    out->failures = some_u64(rand);
}

static ImpSyncResponse *some_response(GRand *rand)
{
    ImpSyncResponse *out = g_new0(ImpSyncResponse, 1);
    out->protocol = IMP_WIRE_PROTOCOL;
    out->epoch = some_id(rand);
    out->real_us = (gint64)some_u64(rand);
    out->welcome = (ImpWelcome)g_rand_int_range(rand, IMP_WELCOME_NONE, IMP_WELCOME_FIRST + 1);
    if (out->welcome == IMP_WELCOME_BLOCKED)
        out->code = IMP_E_STATION_BLOCKED;
    out->has_open = g_rand_boolean(rand);
    if (out->has_open)
        out->n_open = (guint32)g_rand_int_range(rand, 0, 20);
    out->open = g_new0(ImpId, out->n_open);
    for (guint32 i = 0; i < out->n_open; i++)
        out->open[i] = some_id(rand);
    out->n_answers = (guint32)g_rand_int_range(rand, 0, 8);
    out->answers = g_new0(ImpAnswer, out->n_answers);
    for (guint32 i = 0; i < out->n_answers; i++)
        some_answer(rand, &out->answers[i]);
    return out;
}

/* ---- equality, member by member ---- */

#define SAME(member)          g_assert_true(a->member == b->member)
#define SAME_ID(member)       g_assert_true(imp_id_equal(&a->member, &b->member))
#define SAME_TEXT(member)     g_assert_cmpstr(a->member, ==, b->member)
#define SAME_BYTES(member, n) g_assert_cmpmem(a->member, a->n, b->member, b->n)

static void same_numbers(const ImpNumber *x, guint32 n_x, const ImpNumber *y, guint32 n_y)
{
    g_assert_cmpuint(n_x, ==, n_y);
    for (guint32 i = 0; i < n_x; i++) {
        const ImpNumber *a = &x[i], *b = &y[i];
        SAME_TEXT(pool);
        SAME(number);
        SAME_BYTES(bytes, n_bytes);
        SAME_TEXT(text);
    }
}

static void same_report(const ImpReport *a, const ImpReport *b)
{
    SAME_ID(launch);
    SAME_ID(image);
    SAME(result);
    SAME(seq);
    SAME(start_number);
    SAME_TEXT(port);
    SAME_TEXT(order);
    SAME_TEXT(person);
    SAME(began_real_us);
    SAME(duration_ms);
    SAME(code);
    SAME(detail.has_address);
    SAME(detail.address);
    SAME_BYTES(detail.expected, detail.expected_bytes);
    SAME_BYTES(detail.found, detail.found_bytes);
    SAME_TEXT(detail.step);
    SAME_BYTES(uid, n_uid);
    same_numbers(a->numbers, a->n_numbers, b->numbers, b->n_numbers);
    SAME(n_reads);
    for (guint32 i = 0; i < a->n_reads; i++) {
        SAME_TEXT(reads[i].name);
        SAME_BYTES(reads[i].bytes, reads[i].n_bytes);
    }
    SAME(link_waits);
    SAME(link_faults);
    SAME(link_errors);
    SAME(link_retries);
    SAME(link_hz);
    SAME(link_slowed_by);
}

static void same_request(const ImpSyncRequest *a, const ImpSyncRequest *b)
{
    SAME(protocol);
    SAME(start_number);
    SAME(has_hello);
    SAME_ID(hello.nonce);
    SAME(hello.journal_position);
    SAME(want_open);
    SAME(n_reports);
    SAME(n_refreshes);
    SAME(n_wants);
    for (guint32 i = 0; i < a->n_reports; i++)
        same_report(&a->reports[i], &b->reports[i]);
    for (guint32 i = 0; i < a->n_refreshes; i++) {
        SAME_ID(refreshes[i].launch);
        SAME(refreshes[i].ask);
    }
    for (guint32 i = 0; i < a->n_wants; i++) {
        SAME_ID(wants[i].launch);
        SAME_ID(wants[i].image);
        SAME(wants[i].ask);
        SAME_TEXT(wants[i].port);
        SAME_TEXT(wants[i].order);
        SAME_TEXT(wants[i].person);
        SAME(wants[i].n_given);
        for (guint32 k = 0; k < a->wants[i].n_given; k++) {
            SAME_TEXT(wants[i].given[k].pool);
            g_assert_cmpmem(a->wants[i].given[k].bytes, a->wants[i].given[k].n_bytes,
                            b->wants[i].given[k].bytes, b->wants[i].given[k].n_bytes);
        }
    }
    SAME(n_identifies);
    for (guint32 i = 0; i < a->n_identifies; i++) {
        SAME_ID(identifies[i].launch);
        SAME(identifies[i].ask);
        g_assert_cmpmem(a->identifies[i].uid, a->identifies[i].n_uid, b->identifies[i].uid,
                        b->identifies[i].n_uid);
    }
}

static void same_response(const ImpSyncResponse *a, const ImpSyncResponse *b)
{
    SAME(protocol);
    SAME_ID(epoch);
    SAME(real_us);
    SAME(welcome);
    SAME(code);
    SAME(has_open);
    SAME(n_open);
    for (guint32 i = 0; i < a->n_open; i++)
        SAME_ID(open[i]);
    SAME(n_answers);
    for (guint32 i = 0; i < a->n_answers; i++) {
        SAME(answers[i].kind);
        SAME_ID(answers[i].launch);
        SAME(answers[i].ask);
        SAME(answers[i].code);
        SAME(answers[i].result);
        same_numbers(a->answers[i].numbers, a->answers[i].n_numbers, b->answers[i].numbers,
                     b->answers[i].n_numbers);
        SAME(answers[i].has_units);
        SAME(answers[i].units);
        SAME(answers[i].passed);
        SAME(answers[i].unknown);
        SAME(answers[i].open);
        SAME(answers[i].failures);
    }
}

/* ---- properties ---- */

#define ROUNDS 300

static void test_round_trip(void)
{
    guint32 seed = (guint32)g_test_rand_int();
    g_test_message("seed %u", seed);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    for (int i = 0; i < ROUNDS; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(ImpSyncRequest) request = some_request(rand);
        g_autofree char *text = imp_sync_request_encode(request, &error);
        g_assert_no_error(error);
        g_autoptr(ImpSyncRequest) request_back = imp_sync_request_decode(text, strlen(text), &error);
        g_assert_no_error(error);
        same_request(request, request_back);

        g_autoptr(ImpSyncResponse) response = some_response(rand);
        g_autofree char *text2 = imp_sync_response_encode(response, &error);
        g_assert_no_error(error);
        g_autoptr(ImpSyncResponse) response_back = imp_sync_response_decode(text2, strlen(text2), &error);
        g_assert_no_error(error);
        same_response(response, response_back);
    }
}

static void worst_text(char *out, gsize size)
{
    memset(out, '"', size - 1); /* two bytes on the wire */
}

static void worst_number(ImpNumber *number)
{
    worst_text(number->pool, sizeof number->pool);
    worst_text(number->text, sizeof number->text);
    number->number = G_MAXINT64;
    number->n_bytes = sizeof number->bytes;
}

static void worst_report(ImpReport *report)
{
    memset(report, 0xff, offsetof(ImpReport, result));
    report->result = IMP_RESULT_RETURNED;
    report->seq = report->start_number = G_MAXINT64;
    report->began_real_us = G_MININT64;
    worst_text(report->port, sizeof report->port);
    worst_text(report->order, sizeof report->order);
    worst_text(report->person, sizeof report->person);
    worst_text(report->detail.step, sizeof report->detail.step);
    report->detail.expected_bytes = report->detail.found_bytes = IMP_ERROR_BYTES_MAX;
    report->detail.has_address = TRUE;
    report->detail.address = G_MAXINT64;
    report->n_uid = sizeof report->uid;
    report->n_numbers = IMP_WIRE_NUMBERS_MAX;
    for (int i = 0; i < IMP_WIRE_NUMBERS_MAX; i++)
        worst_number(&report->numbers[i]);
    report->n_reads = IMP_WIRE_READS_MAX;
    for (int i = 0; i < IMP_WIRE_READS_MAX; i++) {
        worst_text(report->reads[i].name, sizeof report->reads[i].name);
        report->reads[i].n_bytes = sizeof report->reads[i].bytes;
    }
    report->code = G_MAXINT;
    report->duration_ms = report->link_waits = report->link_faults = G_MAXUINT32;
    report->link_errors = report->link_retries = G_MAXUINT32;
    report->link_hz = report->link_slowed_by = G_MAXUINT32;
}

/* As many of the longest reports, wants, refreshes and identifies as are promised to fit. */
static void test_largest(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpSyncRequest) request = g_new0(ImpSyncRequest, 1);
    request->protocol = IMP_WIRE_PROTOCOL;
    request->start_number = 1;
    request->n_reports = IMP_WIRE_SYNC_REPORTS_MAX;
    request->reports = g_new0(ImpReport, request->n_reports);
    for (guint32 i = 0; i < request->n_reports; i++)
        worst_report(&request->reports[i]);
    G_STATIC_ASSERT(4 * IMP_WIRE_SYNC_REPORTS_MAX == IMP_WIRE_SYNC_ITEMS_MAX);
    request->n_wants = request->n_refreshes = request->n_identifies = IMP_WIRE_SYNC_REPORTS_MAX;
    request->refreshes = g_new0(ImpRefresh, request->n_refreshes);
    request->identifies = g_new0(ImpIdentify, request->n_identifies);
    for (guint32 i = 0; i < request->n_identifies; i++) {
        memset(&request->refreshes[i].launch, 1, sizeof(ImpId));
        memset(&request->identifies[i], 0xff, sizeof(ImpIdentify));
        request->identifies[i].n_uid = sizeof request->identifies[i].uid;
        request->refreshes[i].ask = request->identifies[i].ask = G_MAXINT64;
    }
    request->wants = g_new0(ImpWant, request->n_wants);
    for (guint32 i = 0; i < request->n_wants; i++) {
        ImpWant *want = &request->wants[i];
        memset(&want->launch, 1, sizeof(ImpId));
        memset(&want->image, 2, sizeof(ImpId));
        want->ask = G_MAXINT64;
        worst_text(want->port, sizeof want->port);
        worst_text(want->order, sizeof want->order);
        worst_text(want->person, sizeof want->person);
        want->n_given = IMP_WIRE_NUMBERS_MAX;
        for (guint k = 0; k < want->n_given; k++) {
            worst_text(want->given[k].pool, sizeof want->given[k].pool);
            want->given[k].pool[0] = (char)('a' + k);
            want->given[k].n_bytes = sizeof want->given[k].bytes;
        }
    }
    g_autofree char *text = imp_sync_request_encode(request, &error);
    g_assert_no_error(error);
    g_test_message("%" G_GSIZE_FORMAT " bytes", strlen(text));
    g_autoptr(ImpSyncRequest) back = imp_sync_request_decode(text, strlen(text), &error);
    g_assert_no_error(error);
    same_request(request, back);
}

/* What is longer is refused, not cut. */
static void test_too_large(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpSyncRequest) request = g_new0(ImpSyncRequest, 1);
    request->protocol = IMP_WIRE_PROTOCOL;
    request->start_number = 1;
    request->n_reports = IMP_WIRE_SYNC_ITEMS_MAX;
    request->reports = g_new0(ImpReport, request->n_reports);
    for (guint32 i = 0; i < request->n_reports; i++)
        worst_report(&request->reports[i]);
    g_assert_null(imp_sync_request_encode(request, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_LIMIT);
}

/* The longest answers to as many wants as may be asked, with numbers as pools can format them. */
static void test_largest_response(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpSyncResponse) response = g_new0(ImpSyncResponse, 1);
    response->protocol = IMP_WIRE_PROTOCOL;
    memset(&response->epoch, 1, sizeof(ImpId));
    response->real_us = G_MININT64;
    response->welcome = IMP_WELCOME_YES;
    response->has_open = TRUE;
    response->n_open = IMP_WIRE_OPEN_MAX;
    response->open = g_new0(ImpId, response->n_open);
    response->n_answers = IMP_WIRE_SYNC_ITEMS_MAX;
    response->answers = g_new0(ImpAnswer, response->n_answers);
    for (guint32 i = 0; i < response->n_answers; i++) {
        ImpAnswer *answer = &response->answers[i];
        answer->kind = IMP_ANSWER_GRANTED;
        memset(&answer->launch, 0xff, sizeof(ImpId));
        answer->ask = answer->units = answer->passed = answer->unknown = G_MAXINT64;
        answer->open = answer->failures = G_MAXINT64;
        answer->has_units = TRUE;
        answer->n_numbers = IMP_WIRE_NUMBERS_MAX;
        for (int k = 0; k < IMP_WIRE_NUMBERS_MAX; k++) {
            worst_number(&answer->numbers[k]);
            memset(answer->numbers[k].pool, 'p', sizeof answer->numbers[k].pool - 1);
            answer->numbers[k].text[IMP_WIRE_NUMBER_BYTES_MAX] = '\0';
        }
    }
    g_autofree char *text = imp_sync_response_encode(response, &error);
    g_assert_no_error(error);
    g_test_message("%" G_GSIZE_FORMAT " bytes", strlen(text));
}

typedef struct {
    const char *name;
    gboolean response;
    const char *text;
    int code;
    const char *says;
} Bad;

#define ID_1          "\"11111111111111111111111111111111\""
#define ID_0          "\"00000000000000000000000000000000\""
#define REQUEST(rest) "{\"protocol\":1,\"start_number\":1" rest "}"
#define REPORT(rest)                                                                                         \
    REQUEST(",\"reports\":[{\"launch\":" ID_1 ",\"result\":\"passed\",\"start_number\":1" rest "}]")
#define RESPONSE(rest) "{\"protocol\":1,\"epoch\":" ID_1 ",\"real_us\":5,\"welcome\":\"none\"" rest "}"
#define ANSWER(rest)   RESPONSE(",\"answers\":[{\"launch\":" ID_1 ",\"kind\":" rest "}]")

static const Bad bad[] = {
    {"empty", FALSE, "", IMP_E_SYNTAX, "sync request"},
    {"not-json", FALSE, "{", IMP_E_SYNTAX, "line 1"},
    {"behind", FALSE, REQUEST("") "x", IMP_E_SYNTAX, "line 1"},
    {"array", FALSE, "[]", IMP_E_SCHEMA, "object"},
    {"duplicate", FALSE, "{\"protocol\":1,\"protocol\":1,\"start_number\":1}", IMP_E_SYNTAX, "duplicate"},
    {"protocol-2", FALSE, "{\"protocol\":2,\"news\":true}", IMP_E_UNSUPPORTED, "version 2"},
    {"protocol-text", FALSE, "{\"protocol\":\"1\",\"start_number\":1}", IMP_E_SCHEMA, "protocol"},
    {"protocol-missing", FALSE, "{\"start_number\":1}", IMP_E_SCHEMA, "'protocol' is missing"},
    {"start-0", FALSE, "{\"protocol\":1,\"start_number\":0}", IMP_E_SCHEMA, "start_number"},
    {"start-real", FALSE, "{\"protocol\":1,\"start_number\":1.0}", IMP_E_SCHEMA, "start_number"},
    {"start-negative", FALSE, "{\"protocol\":1,\"start_number\":-1}", IMP_E_SCHEMA, "start_number"},
    {"start-huge", FALSE, "{\"protocol\":1,\"start_number\":9223372036854775808}", IMP_E_SYNTAX, "big"},
    {"unknown", FALSE, REQUEST(",\"color\":1"), IMP_E_SCHEMA, "'color'"},
    {"want-open", FALSE, REQUEST(",\"want_open\":1"), IMP_E_SCHEMA, "want_open"},
    {"hello-nonce", FALSE, REQUEST(",\"hello\":{}"), IMP_E_SCHEMA, "nonce"},
    {"hello-nonce-0", FALSE, REQUEST(",\"hello\":{\"nonce\":" ID_0 "}"), IMP_E_SCHEMA, "zero"},
    {"hello-unknown", FALSE, REQUEST(",\"hello\":{\"nonce\":" ID_1 ",\"x\":1}"), IMP_E_SCHEMA, "'x'"},
    {"wants-empty", FALSE, REQUEST(",\"wants\":[]"), IMP_E_SCHEMA, "wants"},
    {"want-no-image", FALSE, REQUEST(",\"wants\":[{\"launch\":" ID_1 "}]"), IMP_E_SCHEMA, "wants[0]"},
    {"want-not-object", FALSE, REQUEST(",\"wants\":[1]"), IMP_E_SCHEMA, "wants[0]"},
    {"want-port-long", FALSE,
     REQUEST(",\"wants\":[{\"launch\":" ID_1 ",\"image\":" ID_1
             ",\"port\":\"01234567890123456789012345678901234567890123456789012345678901234\"}]"),
     IMP_E_SCHEMA, "65 bytes"},
    {"want-port-control", FALSE,
     REQUEST(",\"wants\":[{\"launch\":" ID_1 ",\"image\":" ID_1 ",\"port\":\"a\\u0007\"}]"), IMP_E_SCHEMA,
     "control"},
    {"want-port-nul", FALSE,
     REQUEST(",\"wants\":[{\"launch\":" ID_1 ",\"image\":" ID_1 ",\"port\":\"a\\u0000\"}]"), IMP_E_SYNTAX,
     "sync request"},
    {"given-twice", FALSE,
     REQUEST(",\"wants\":[{\"launch\":" ID_1 ",\"image\":" ID_1
             ",\"given\":[{\"pool\":\"a\",\"bytes\":\"41\"},{\"pool\":\"a\",\"bytes\":\"42\"}]}]"),
     IMP_E_SCHEMA, "second time"},
    {"given-empty", FALSE,
     REQUEST(",\"wants\":[{\"launch\":" ID_1 ",\"image\":" ID_1 ",\"given\":[{\"pool\":\"a\"}]}]"),
     IMP_E_SCHEMA, "given[0]"},
    {"given-unknown", FALSE,
     REQUEST(",\"wants\":[{\"launch\":" ID_1 ",\"image\":" ID_1
             ",\"given\":[{\"pool\":\"a\",\"bytes\":\"41\",\"text\":\"A\"}]}]"),
     IMP_E_SCHEMA, "text"},
    {"identify-no-uid", FALSE, REQUEST(",\"identifies\":[{\"launch\":" ID_1 ",\"ask\":1}]"), IMP_E_SCHEMA,
     "uid"},
    {"identify-long", FALSE,
     REQUEST(
         ",\"identifies\":[{\"launch\":" ID_1 ",\"uid\":"
         "\"00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000\"}]"),
     IMP_E_SCHEMA, "uid"},
    {"kept-number", TRUE, ANSWER("\"identified\",\"kept\":1"), IMP_E_SCHEMA, "kept"},
    {"refresh-upper", FALSE, REQUEST(",\"refreshes\":[{\"launch\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]"),
     IMP_E_SCHEMA, "lower-case"},
    {"refresh-short", FALSE, REQUEST(",\"refreshes\":[{\"launch\":\"11\"}]"), IMP_E_SCHEMA, "launch"},
    {"report-second", FALSE,
     REQUEST(",\"reports\":[{\"launch\":" ID_1 ",\"result\":\"lost\"},{\"launch\":" ID_1 "}]"), IMP_E_SCHEMA,
     "reports[1]"},
    {"report-result", FALSE, REQUEST(",\"reports\":[{\"launch\":" ID_1 ",\"result\":\"good\"}]"),
     IMP_E_SCHEMA, "good"},
    {"report-unknown", FALSE, REPORT(",\"prose\":\"it broke\""), IMP_E_SCHEMA, "'prose'"},
    {"report-uid-odd", FALSE, REPORT(",\"uid\":\"abc\""), IMP_E_SCHEMA, "uid"},
    {"report-uid-empty", FALSE, REPORT(",\"uid\":\"\""), IMP_E_SCHEMA, "uid"},
    {"report-duration", FALSE, REPORT(",\"duration_ms\":4294967296"), IMP_E_SCHEMA, "duration_ms"},
    {"report-code", FALSE, REPORT(",\"code\":2147483648"), IMP_E_SCHEMA, "code"},
    {"report-detail", FALSE, REPORT(",\"detail\":{\"adress\":1}"), IMP_E_SCHEMA, "'adress'"},
    {"report-detail-long", FALSE, REPORT(",\"detail\":{\"found\":\"0011223344556677889900112233445566\"}"),
     IMP_E_SCHEMA, "found"},
    {"report-number", FALSE, REPORT(",\"numbers\":[{\"pool\":\"p\"}]"), IMP_E_SCHEMA, "numbers[0]"},
    {"report-numbers", FALSE, REPORT(",\"numbers\":[1,2,3,4,5,6,7,8,9]"), IMP_E_SCHEMA, "9 items"},
    {"report-link", FALSE, REPORT(",\"link\":{\"waits\":4294967296}"), IMP_E_SCHEMA, "waits"},
    {"report-read", FALSE, REPORT(",\"reads\":[{\"bytes\":\"00\"}]"), IMP_E_SCHEMA, "reads[0]"},
    {"response-welcome", TRUE, "{\"protocol\":1,\"epoch\":" ID_1 ",\"real_us\":5,\"welcome\":\"maybe\"}",
     IMP_E_SCHEMA, "maybe"},
    {"response-epoch", TRUE, "{\"protocol\":1,\"real_us\":5,\"welcome\":\"none\"}", IMP_E_SCHEMA, "epoch"},
    {"response-open", TRUE, RESPONSE(",\"open\":[1]"), IMP_E_SCHEMA, "open[0]"},
    {"response-unknown", TRUE, RESPONSE(",\"x\":1"), IMP_E_SCHEMA, "'x'"},
    {"response-protocol", TRUE, "{\"protocol\":7}", IMP_E_UNSUPPORTED, "version 7"},
    {"answer-kind", TRUE, ANSWER("\"yes\""), IMP_E_SCHEMA, "yes"},
    {"answer-result", TRUE, ANSWER("\"fresh\",\"result\":\"passed\""), IMP_E_SCHEMA, "'result'"},
    {"answer-no-result", TRUE, ANSWER("\"ended\""), IMP_E_SCHEMA, "result"},
    {"answer-numbers", TRUE,
     ANSWER("\"refused\",\"numbers\":[{\"pool\":\"p\",\"number\":1,\"bytes\":\"31\",\"text\":\"1\"}]"),
     IMP_E_SCHEMA, "numbers"},
    {"answer-counts", TRUE, ANSWER("\"fresh\",\"counts\":{\"unit\":1}"), IMP_E_SCHEMA, "'unit'"},
};

static void test_bad(gconstpointer data)
{
    const Bad *row = data;
    g_autoptr(GError) error = NULL;
    if (row->response) {
        g_autoptr(ImpSyncResponse) response = imp_sync_response_decode(row->text, strlen(row->text), &error);
        g_assert_null(response);
    } else {
        g_autoptr(ImpSyncRequest) request = imp_sync_request_decode(row->text, strlen(row->text), &error);
        g_assert_null(request);
    }
    g_assert_error(error, IMP_ERROR, row->code);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, row->says));
}

/* The good neighbours of the rows above, so that these fail for the reason that they name. */
static void test_smallest(void)
{
    static const char *const requests[] = {REQUEST(""),
                                           REPORT(""),
                                           REQUEST(",\"hello\":{\"nonce\":" ID_1 "}"),
                                           REQUEST(",\"wants\":[{\"launch\":" ID_1 ",\"image\":" ID_1 "}]"),
                                           REQUEST(",\"wants\":[{\"launch\":" ID_1 ",\"image\":" ID_1
                                                   ",\"given\":[{\"pool\":\"a\",\"bytes\":\"41\"}]}]"),
                                           REQUEST(",\"identifies\":[{\"launch\":" ID_1 ",\"uid\":\"01\"}]")};
    for (gsize i = 0; i < G_N_ELEMENTS(requests); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(ImpSyncRequest) request = imp_sync_request_decode(requests[i], strlen(requests[i]), &error);
        g_assert_no_error(error);
        g_assert_nonnull(request);
    }
    static const char *const responses[] = {RESPONSE(""), ANSWER("\"fresh\""),
                                            ANSWER("\"identified\",\"kept\":true"), RESPONSE(",\"open\":[]")};
    for (gsize i = 0; i < G_N_ELEMENTS(responses); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(ImpSyncResponse) response =
            imp_sync_response_decode(responses[i], strlen(responses[i]), &error);
        g_assert_no_error(error);
        g_assert_nonnull(response);
    }
}

static void test_too_many(void)
{
    g_autoptr(GError) error = NULL;
    GString *text = g_string_new("{\"protocol\":1,\"start_number\":1,\"refreshes\":[");
    for (int i = 0; i < 200; i++)
        g_string_append_printf(text, "%s{\"launch\":" ID_1 "}", i == 0 ? "" : ",");
    g_string_append(text, "],\"wants\":[");
    for (int i = 0; i < 57; i++)
        g_string_append_printf(text, "%s{\"launch\":" ID_1 ",\"image\":" ID_1 "}", i == 0 ? "" : ",");
    g_string_append(text, "]}");
    g_autoptr(ImpSyncRequest) request = imp_sync_request_decode(text->str, text->len, &error);
    g_assert_null(request);
    g_assert_error(error, IMP_ERROR, IMP_E_SCHEMA);
    g_assert_nonnull(strstr(error->message, "257"));
    g_string_free(text, TRUE);
}

static void test_too_long(void)
{
    g_autoptr(GError) error = NULL;
    gsize n_bytes = IMP_WIRE_MESSAGE_MAX + 1;
    g_autofree char *text = g_malloc(n_bytes);
    memset(text, ' ', n_bytes);
    g_assert_null(imp_sync_request_decode(text, n_bytes, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_LIMIT);
}

/* What must not be sent is not sent. */
static void test_encode_refuses(void)
{
    static const char *const texts[] = {"\xff", "\xc3", "tab\there", "line\n", "\x7f"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(ImpSyncRequest) request = g_new0(ImpSyncRequest, 1);
        request->protocol = IMP_WIRE_PROTOCOL;
        request->start_number = 1;
        request->n_wants = 1;
        request->wants = g_new0(ImpWant, 1);
        g_strlcpy(request->wants[0].order, texts[i], sizeof request->wants[0].order);
        g_assert_null(imp_sync_request_encode(request, &error));
        g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
        g_assert_nonnull(strstr(error->message, "order"));
    }
    g_autoptr(GError) error = NULL;
    ImpNumber number = {.pool = "p", .number = (guint64)G_MAXINT64 + 1};
    g_assert_null(imp_number_encode(&number, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
}

/* The text itself, so that a change of the wire is seen. */
static void test_golden(void)
{
    g_autoptr(GError) error = NULL;
    ImpReport report = {
        .result = IMP_RESULT_SPENT,
        .seq = 12,
        .start_number = 3,
        .port = "A1",
        .began_real_us = 1790000000000000,
        .duration_ms = 4200,
        .code = IMP_E_FLASH_MISMATCH,
        .detail = {.has_address = TRUE,
                   .address = 0x0800a400,
                   .expected = {0x47, 0x70},
                   .found = {0x47, 0x00},
                   .expected_bytes = 2,
                   .found_bytes = 2,
                   .step = "verify"},
        .uid = {1, 2, 3},
        .n_uid = 3,
        .n_numbers = 1,
        .numbers = {{.pool = "sn", .number = 7, .bytes = "000007", .n_bytes = 6, .text = "000007"}},
        .n_reads = 1,
        .reads = {{.name = "trim", .bytes = {0xab}, .n_bytes = 1}},
        .link_retries = 2,
        .link_hz = 500000,
        .link_slowed_by = 2013};
    memset(&report.launch, 0x11, sizeof report.launch);
    memset(&report.image, 0x22, sizeof report.image);
    json_t *value = imp_report_encode(&report, &error);
    g_assert_no_error(error);
    g_autofree char *text = imp_json_text(value);
    json_decref(value);
    g_assert_cmpstr(
        text, ==,
        "{\"began_real_us\":1790000000000000,\"code\":2107,\"detail\":{\"address\":134259712,"
        "\"expected\":\"4770\",\"found\":\"4700\",\"step\":\"verify\"},\"duration_ms\":4200,"
        "\"image\":\"22222222222222222222222222222222\","
        "\"launch\":\"11111111111111111111111111111111\",\"link\":{\"hz\":500000,\"retries\":2,\"slowed_by\":"
        "2013},"
        "\"numbers\":[{\"bytes\":\"303030303037\",\"number\":7,\"pool\":\"sn\",\"text\":\"000007\"}],"
        "\"port\":\"A1\",\"reads\":[{\"bytes\":\"ab\",\"name\":\"trim\"}],\"result\":\"spent\","
        "\"seq\":12,\"start_number\":3,\"uid\":\"010203\"}");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/codec/golden", test_golden);
    g_test_add_func("/wire/codec/smallest", test_smallest);
    g_test_add_func("/wire/codec/round-trip", test_round_trip);
    g_test_add_func("/wire/codec/largest", test_largest);
    g_test_add_func("/wire/codec/too-large", test_too_large);
    g_test_add_func("/wire/codec/largest-response", test_largest_response);
    g_test_add_func("/wire/codec/too-many", test_too_many);
    g_test_add_func("/wire/codec/too-long", test_too_long);
    g_test_add_func("/wire/codec/encode-refuses", test_encode_refuses);
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path = g_strdup_printf("/wire/codec/bad/%s", bad[i].name);
        g_test_add_data_func(path, &bad[i], test_bad);
    }
    return g_test_run();
}
