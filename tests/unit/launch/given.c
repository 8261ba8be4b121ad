/* What comes with a launch: what is taken, what is refused, where it lies, what the record keeps of it. */
#include "launch/given.h"
#include "launch/launch.h"

#include <string.h>

#define ROOM 8

static ImpValue values[] = {
    {.name = (char *)"label", .kind = IMP_VALUE_BARCODE, .rule = (char *)"T2[0-9]{3}|X", .log = TRUE},
    {.name = (char *)"cal", .kind = IMP_VALUE_GIVEN, .size_min = 2, .size_max = 256, .log = TRUE},
    {.name = (char *)"key",
     .kind = IMP_VALUE_GIVEN,
     .size_min = 1,
     .size_max = 4,
     .log = TRUE,
     .redact = TRUE},
    {.name = (char *)"uid", .kind = IMP_VALUE_READ, .read_bytes = 1},
};

typedef struct {
    const char *name;
    /* NULL: not given */
    const char *label, *cal, *key, *other;
    gboolean twice;
    int code;
} Row;

static const Row rows[] = {
    {"good", .label = "T2123", .cal = "ab", .key = "k"},
    {"other-branch-of-the-rule", .label = "X", .cal = "ab", .key = "k"},
    {"rule-holds-for-the-whole", .label = "T21234", .cal = "ab", .key = "k", .code = IMP_E_GIVEN_BARCODE},
    {"rule-holds-for-the-beginning", .label = "aX", .cal = "ab", .key = "k", .code = IMP_E_GIVEN_BARCODE},
    {"newline-at-the-end", .label = "X\n", .cal = "ab", .key = "k", .code = IMP_E_GIVEN_BARCODE},
    {"no-label", .cal = "ab", .key = "k", .code = IMP_E_GIVEN_MISSING},
    {"no-data", .label = "X", .key = "k", .code = IMP_E_GIVEN_MISSING},
    {"too-short", .label = "X", .cal = "a", .key = "k", .code = IMP_E_GIVEN_SIZE},
    {"too-long", .label = "X", .cal = "ab", .key = "12345", .code = IMP_E_GIVEN_SIZE},
    {"too-long-for-its-place", .label = "X", .cal = "123456789", .key = "k", .code = IMP_E_GIVEN_SIZE},
    {"unknown", .label = "X", .cal = "ab", .key = "k", .other = "kay", .code = IMP_E_GIVEN_UNKNOWN},
    {"not-given-but-read", .label = "X", .cal = "ab", .key = "k", .other = "uid",
     .code = IMP_E_GIVEN_UNKNOWN},
    {"twice", .label = "X", .cal = "ab", .key = "k", .twice = TRUE, .code = IMP_E_GIVEN_UNKNOWN},
};

static ImpPlace place = {.value_index = 1, .address = 0x2000, .size_bytes = ROOM, .pad = 0xee};

static void content_init(ImpContent *content)
{
    *content = (ImpContent){.name = (char *)"T2",
                            .values = values,
                            .n_values = G_N_ELEMENTS(values),
                            .places = &place,
                            .n_places = 1,
                            .rework = IMP_REWORK_NEW_VALUES};
}

static void add(GArray *given, const char *name, const char *text)
{
    ImpGiven item = {name, g_bytes_new(text, strlen(text))};
    g_array_append_val(given, item);
}

static void given_done(gpointer item)
{
    g_bytes_unref(((ImpGiven *)item)->bytes);
}

static void test_row(gconstpointer data)
{
    const Row *row = data;
    ImpContent content;
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) given = g_array_new(FALSE, FALSE, sizeof(ImpGiven));
    g_array_set_clear_func(given, given_done);
    content_init(&content);
    if (row->label != NULL)
        add(given, NULL, row->label);
    if (row->cal != NULL)
        add(given, "cal", row->cal);
    if (row->key != NULL)
        add(given, "key", row->key);
    if (row->other != NULL)
        add(given, row->other, "x");
    if (row->twice)
        add(given, "key", "x");
    const ImpGiven *items = (const ImpGiven *)(gpointer)given->data;
    gboolean good = imp_given_check(&content, items, given->len, TRUE, &error);
    g_assert_cmpint(good ? 0 : imp_error_code(error), ==, row->code);
    if (row->code == 0) {
        g_assert_null(imp_given_find(&content, 3, items, given->len));
        g_assert_true(imp_given_find(&content, 2, items, given->len) == items[2].bytes);
        return;
    }
    /* The bytes may be secret. */
    g_assert_null(strstr(error->message, "12345"));
}

static void test_units(void)
{
    ImpContent content;
    g_autoptr(GError) error = NULL;
    content_init(&content);
    g_assert_true(imp_given_check_units(&content, 1, &error));
    g_assert_false(imp_given_check_units(&content, 2, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_GIVEN_BARCODE);
    content.values = values + 1;
    content.n_values = 1;
    g_assert_true(imp_given_check_units(&content, 2, NULL));
}

/* A pattern that tries for ever is given up, and the label with it. */
static void test_costly_rule(void)
{
    ImpValue value = {.name = (char *)"label", .kind = IMP_VALUE_BARCODE, .rule = (char *)"(a+)+(a+)+b"};
    ImpContent content = {.name = (char *)"T", .values = &value, .n_values = 1};
    g_autoptr(GBytes) text =
        g_bytes_new_static("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 64);
    ImpGiven given = {NULL, text};
    g_autoptr(GError) error = NULL;
    gint64 began_us = g_get_monotonic_time();
    g_assert_false(imp_given_check(&content, &given, 1, TRUE, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_GIVEN_BARCODE);
    g_assert_cmpint(g_get_monotonic_time() - began_us, <, 5 * G_USEC_PER_SEC); /* without a limit: years */
}

/* ---- in a launch ---- */

typedef struct {
    ImpAuthority authority; /* first */
    ImpReport report;
    guint n_started;
} Books;

static void books_start(ImpAuthority *self, const ImpWant *want, ImpStartFn done, gpointer user)
{
    static const ImpAnswer answer = {.kind = IMP_ANSWER_GRANTED};
    (void)want;
    ((Books *)self)->n_started++;
    done(user, TRUE, &answer, NULL);
}

static gboolean books_writing(ImpAuthority *self, const ImpId *launch, GError **error)
{
    (void)self;
    (void)launch;
    (void)error;
    return TRUE;
}

static gboolean books_end(ImpAuthority *self, const ImpReport *report, GError **error)
{
    (void)error;
    ((Books *)self)->report = *report;
    return TRUE;
}

typedef struct {
    ImpPort port; /* first */
    guint8 placed[ROOM];
    guint8 over[4];
} Bench;

/* Does what it is told at once. */
static void bench_submit(ImpPort *self, const ImpCommand *command)
{
    ImpPortEvent event = {.done = TRUE, .kind = command->kind};
    for (gsize i = 0; command->kind == IMP_COMMAND_FLASH && i < command->map->n_segments; i++) {
        const ImpUnitSegment *segment = &command->map->segments[i];
        gsize n_bytes;
        const void *bytes = g_bytes_get_data(segment->bytes, &n_bytes);
        if (segment->address == 0x2000)
            memcpy(((Bench *)self)->placed, bytes, ROOM);
        if (segment->address == 0x1002) {
            g_assert_cmpuint(n_bytes, ==, 4);
            memcpy(((Bench *)self)->over, bytes, 4);
        }
    }
    if (command->kind == IMP_COMMAND_READ) {
        g_strlcpy(event.reads[0].name, "uid", sizeof event.reads[0].name);
        event.reads[0].n_bytes = event.n_reads = 1;
    }
    self->handler(self->user, &event);
}

static void on_changed(gpointer user, const ImpLaunchView *view)
{
    *(ImpLaunchState *)user = view->state;
}

/* All 256 byte values, a window of them at a time, arrive where they belong; the record has what it may have. */
static void test_launch(void)
{
    static const ImpAuthorityOps ops = {.start = books_start, .writing = books_writing, .end = books_end};
    static const ImpPortOps port_ops = {.submit = bench_submit};
    ImpContent content;
    content_init(&content);
    g_autoptr(GBytes) data = g_bytes_new_static("ABCDEFGH", 8);
    ImpSegment segment = {(char *)"app", 0x1000, data};
    ImpPlace places[] = {
        place,
        {.value_index = 2, .address = 0x1002, .size_bytes = 4, .pad = 0x11, .over = TRUE, .reversed = TRUE}};
    ImpStep steps[] = {{.kind = IMP_STEP_PROGRAM}, {.kind = IMP_STEP_VERIFY, .verify = IMP_VERIFY_CHECKSUM}};
    content.segments = &segment;
    content.n_segments = 1;
    content.places = places;
    content.n_places = 2;
    content.steps = steps;
    content.n_steps = 2;
    for (guint first = 0; first < 256; first++) {
        guint8 cal[ROOM], key[3];
        for (guint i = 0; i < ROOM; i++)
            cal[i] = (guint8)(first + i);
        for (guint i = 0; i < 3; i++)
            key[i] = (guint8)(first * 3 + i);
        g_autoptr(GBytes) cal_bytes = g_bytes_new(cal, sizeof cal);
        g_autoptr(GBytes) key_bytes = g_bytes_new(key, sizeof key);
        g_autoptr(GBytes) label = g_bytes_new_static("T2007", 5);
        const ImpGiven given[] = {{"cal", cal_bytes}, {"key", key_bytes}, {NULL, label}};
        Books books = {.authority = {&ops}};
        Bench bench = {.port = {.ops = &port_ops}};
        ImpLaunchState state = 0;
        ImpLaunchOptions options = {.content = &content,
                                    .authority = &books.authority,
                                    .port = &bench.port,
                                    .clock = imp_clock_system(),
                                    .random = imp_random_system(),
                                    .port_name = "1",
                                    .given = given,
                                    .n_given = G_N_ELEMENTS(given),
                                    .changed = on_changed,
                                    .user = &state};
        g_autoptr(ImpLaunch) launch = imp_launch_new(&options);
        imp_launch_start(launch);
        g_assert_cmpint(state, ==, IMP_LAUNCH_PASSED);
        g_assert_cmpmem(bench.placed, ROOM, cal, ROOM);
        const guint8 reversed[] = {key[2], key[1], key[0], 0x11};
        g_assert_cmpmem(bench.over, 4, reversed, 4);
        g_assert_cmpuint(books.report.n_reads, ==, 3);
        g_assert_cmpstr(books.report.reads[0].name, ==, "label");
        g_assert_cmpmem(books.report.reads[0].bytes, books.report.reads[0].n_bytes, "T2007", 5);
        g_assert_cmpmem(books.report.reads[1].bytes, books.report.reads[1].n_bytes, cal, ROOM);
        g_assert_cmpstr(books.report.reads[2].name, ==, "key");
        g_assert_cmpuint(books.report.reads[2].n_bytes, ==, 0);
        const guint8 zero[IMP_WIRE_NUMBER_BYTES_MAX] = {0};
        g_assert_cmpmem(books.report.reads[2].bytes, sizeof zero, zero, sizeof zero);
    }
}

/* What is not good is refused before any authority hears of it; what is long is in the record by its digest. */
static void test_refused_and_long(void)
{
    static const ImpAuthorityOps ops = {.start = books_start, .writing = books_writing, .end = books_end};
    static const ImpPortOps port_ops = {.submit = bench_submit};
    ImpStep steps[] = {{.kind = IMP_STEP_READ}};
    ImpContent content = {.name = (char *)"T",
                          .values = values + 1,
                          .n_values = 1,
                          .steps = steps,
                          .n_steps = 1,
                          .rework = IMP_REWORK_NEW_VALUES};
    for (guint n_bytes = 64; n_bytes <= 257; n_bytes++) {
        guint8 bytes[257] = {1, 2, 3};
        g_autoptr(GBytes) data = g_bytes_new(bytes, n_bytes);
        const ImpGiven given = {"cal", data};
        Books books = {.authority = {&ops}};
        Bench bench = {.port = {.ops = &port_ops}};
        ImpLaunchState state = 0;
        ImpLaunchOptions options = {.content = &content,
                                    .authority = &books.authority,
                                    .port = &bench.port,
                                    .clock = imp_clock_system(),
                                    .random = imp_random_system(),
                                    .port_name = "1",
                                    .given = &given,
                                    .n_given = 1,
                                    .changed = on_changed,
                                    .user = &state};
        g_autoptr(ImpLaunch) launch = imp_launch_new(&options);
        imp_launch_start(launch);
        g_assert_cmpint(state, ==, n_bytes <= 256 ? IMP_LAUNCH_PASSED : IMP_LAUNCH_REFUSED);
        g_assert_cmpuint(books.n_started, ==, n_bytes <= 256 ? 1 : 0);
        if (state != IMP_LAUNCH_PASSED)
            continue;
        const ImpReading *reading = &books.report.reads[0];
        if (n_bytes == 64) {
            g_assert_cmpstr(reading->name, ==, "cal");
            g_assert_cmpmem(reading->bytes, reading->n_bytes, bytes, 64);
            continue;
        }
        g_autofree char *digest = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, data);
        g_autofree char *found = imp_hex_encode(reading->bytes, reading->n_bytes);
        g_assert_cmpstr(reading->name, ==, "cal.sha256");
        g_assert_cmpstr(found, ==, digest);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/given/%s", rows[i].name);
        g_test_add_data_func(path, &rows[i], test_row);
    }
    g_test_add_func("/given/units", test_units);
    g_test_add_func("/given/costly-rule", test_costly_rule);
    g_test_add_func("/given/launch", test_launch);
    g_test_add_func("/given/refused-and-long", test_refused_and_long);
    return g_test_run();
}
