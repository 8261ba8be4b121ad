/* What people see: errors, tables, CSV, sizes, times, bars, launches. */
#include "cli/print.h"
#include "cli/progress.h"

#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    FILE *file;
    char *text;
    gsize n_text;
} Sink;

static void sink_open(Sink *sink)
{
    *sink = (Sink){0};
    sink->file = open_memstream(&sink->text, &sink->n_text);
}

/* What was written; free with free(). */
static char *sink_close(Sink *sink)
{
    fclose(sink->file);
    return sink->text;
}

static void test_error(void)
{
    g_autoptr(GError) error = NULL;
    imp_error_set_at(&error, IMP_E_FLASH_MISMATCH, 0x0800A400, (const guint8 *)"\x47\x70\x20\x00",
                     (const guint8 *)"\x47\x70\x00\x00", 4, "memory differs");
    imp_error_set_step(&error, "verify");
    Sink sink;
    sink_open(&sink);
    imp_print_error(sink.file, FALSE, "port 3 (A3)  FAILED in verify after 4.2 s", error);
    char *text = sink_close(&sink);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_assert_true(g_str_has_prefix(lines[0], "port 3 (A3)  FAILED in verify after 4.2 s  "));
    g_assert_true(g_str_has_suffix(lines[0], "  E2107 flash-mismatch"));
    g_assert_cmpuint(strlen(lines[0]), ==, 100);
    g_assert_cmpstr(lines[1], ==, "  memory differs");
    g_assert_cmpstr(lines[2], ==,
                    "  0x0800A400: expected 47 70 20 00, found 47 70 00 00   (bits that should be 1 are 0)");
    g_assert_true(g_str_has_prefix(lines[3], "  likely   "));
    g_assert_true(g_str_has_prefix(lines[4], "  do       "));
    g_assert_null(strchr(text, '\033'));
    free(text);
}

/* A terminal of 40 columns and 4 rows: no live line wraps or scrolls, and a key's echo does not shift what is taken back. */
static void test_live_fits(void)
{
    int master, slave;
    struct winsize size = {.ws_row = 4, .ws_col = 40};
    g_assert_cmpint(openpty(&master, &slave, NULL, NULL, &size), ==, 0);
    FILE *out = fdopen(slave, "w");
    ImpProgress progress;
    imp_progress_init(&progress, out, TRUE, FALSE, TRUE, imp_clock_system());
    const char *const lines[] = {"port 1    program [##########....................]  33 %", "port 2",
                                 "port 3", "port 4", "port 5"};
    imp_live_draw(&progress.live, lines, G_N_ELEMENTS(lines));
    imp_live_clear(&progress.live);
    fflush(out);
    char text[1000] = "";
    for (gsize n = 0; strstr(text, "\033[J") == NULL;) { /* a terminal gives it in pieces */
        gssize got = read(master, text + n, sizeof text - 1 - n);
        g_assert_cmpint(got, >, 0);
        n += (gsize)got;
        text[n] = '\0';
    }
    g_assert_nonnull(strstr(text, "port 1    program [##########..........\r\n"));
    g_assert_nonnull(strstr(text, "port 2\r\nand 3 more\r\n\r\033[3A\033[J"));
    g_assert_null(strstr(text, "port 3"));
    imp_progress_done(&progress);
    fclose(out);
    close(master);
}

/* An error crosses JSON as the station sends it and comes back the same. */
static void test_error_round_trip(void)
{
    ImpLaunchView view = {.state = IMP_LAUNCH_FAILED};
    GError *error = NULL;
    imp_error_set_at(&error, IMP_E_FLASH_MISMATCH, 0x400, (const guint8 *)"\xff", (const guint8 *)"\x7f", 1,
                     "x");
    imp_error_set_step(&error, "verify");
    ImpReport report = {.result = IMP_RESULT_SPENT, .duration_ms = 1500};
    view.error = error;
    view.report = &report;
    json_t *launch = imp_progress_launch_json(&view, "3");
    g_autoptr(GError) back = imp_progress_error(json_object_get(launch, "error"));
    g_assert_error(back, IMP_ERROR, IMP_E_FLASH_MISMATCH);
    const ImpErrorDetail *detail = imp_error_detail(back);
    g_assert_cmpstr(detail->step, ==, "verify");
    g_assert_cmphex(detail->address, ==, 0x400);
    g_assert_cmpmem(detail->found, detail->found_bytes, "\x7f", 1);
    Sink sink;
    sink_open(&sink);
    imp_progress_print_ended(sink.file, TRUE, TRUE, launch);
    char *text = sink_close(&sink);
    g_assert_nonnull(strstr(text, "port 3    FAILED in verify after 1.5 s"));
    g_assert_nonnull(strstr(text, "\033[31m"));
    free(text);
    json_decref(launch);
    g_error_free(error);
    /* a code of a newer station still says what it is */
    json_t *unknown = json_pack("{s:i, s:s, s:s}", "code", 9999, "name", "new-thing", "text", "hm");
    g_autoptr(GError) newer = imp_progress_error(unknown);
    g_assert_error(newer, IMP_ERROR, IMP_E_UNSUPPORTED);
    g_assert_nonnull(strstr(newer->message, "E9999 new-thing"));
    json_decref(unknown);
}

static void test_bit_hint(void)
{
    static const struct {
        guint8 expected, found;
        const char *hint;
    } rows[] = {
        {0xff, 0xfe, "(bits that should be 1 are 0)"},
        {0x00, 0x80, "(bits that should be 0 are 1)"},
        {0x0f, 0xf0, ""},
        {0x55, 0x55, ""},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_cmpstr(imp_print_bit_hint(&rows[i].expected, &rows[i].found, 1), ==, rows[i].hint);
}

static void test_table(void)
{
    static const char *const columns[] = {">unit", "serial", "note"};
    ImpTable table;
    imp_table_init(&table, columns, 3);
    imp_table_add(&table, (const char *[]){"9", "MB-1", NULL});
    imp_table_add(&table, (const char *[]){"10", "=1+1", "a \"b\", c\033[2J"});
    Sink sink;
    sink_open(&sink);
    imp_table_print(&table, sink.file);
    char *text = sink_close(&sink);
    g_assert_cmpstr(text, ==,
                    "unit  serial  note\n"
                    "   9  MB-1    \n"
                    "  10  =1+1    a \"b\", c?[2J\n");
    free(text);
    sink_open(&sink);
    imp_table_print_csv(&table, sink.file);
    text = sink_close(&sink);
    g_assert_cmpstr(text, ==, "unit,serial,note\r\n9,MB-1,\r\n10,\"'=1+1\",\"a \"\"b\"\", c?[2J\"\r\n");
    free(text);
    imp_table_done(&table);
}

static void test_units(void)
{
    static const struct {
        guint64 bytes;
        const char *text;
    } sizes[] = {{0, "0 B"}, {999, "999 B"}, {1000, "1.0 kB"}, {243852, "243.9 kB"}, {2500000, "2.5 MB"}};
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *text = imp_print_size(sizes[i].bytes);
        g_assert_cmpstr(text, ==, sizes[i].text);
    }
    static const struct {
        gint64 us;
        const char *text;
    } times[] = {{-5, "0.00 s"}, {20000, "0.02 s"}, {4200000, "4.2 s"}, {185000000, "3 min 05 s"}};
    for (gsize i = 0; i < G_N_ELEMENTS(times); i++) {
        g_autofree char *text = imp_print_duration(times[i].us);
        g_assert_cmpstr(text, ==, times[i].text);
    }
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autofree char *time = imp_print_time(1764518400 * G_GINT64_CONSTANT(1000000), utc);
    g_assert_cmpstr(time, ==, "2025-11-30 16:00:00");
    g_autofree char *never = imp_print_time(0, utc);
    g_assert_cmpstr(never, ==, "");
    g_autofree char *iso = imp_print_time_utc(1764518400 * G_GINT64_CONSTANT(1000000));
    g_assert_cmpstr(iso, ==, "2025-11-30T16:00:00Z");
    g_autofree char *seconds = imp_print_seconds(4200700);
    g_assert_cmpstr(seconds, ==, "4.200");
}

static void test_bar(void)
{
    static const struct {
        guint64 done, total;
        const char *bar;
    } rows[] = {
        {0, 0, "[..........]"}, {0, 7, "[..........]"}, {5, 10, "[#####.....]"},
        {7, 7, "[##########]"}, {9, 7, "[##########]"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        char bar[13];
        imp_print_bar(bar, sizeof bar, rows[i].done, rows[i].total, 10);
        g_assert_cmpstr(bar, ==, rows[i].bar);
    }
}

static void show(ImpProgress *progress, const char *text)
{
    json_t *launch = json_loads(text, 0, NULL);
    g_assert_nonnull(launch);
    imp_progress_update(progress, launch);
    json_decref(launch);
}

/* Plain output: a line as each phase begins, the end in full, and the worst end as the verdict. */
static void test_progress(void)
{
    Sink sink;
    sink_open(&sink);
    ImpProgress progress;
    imp_progress_init(&progress, sink.file, FALSE, FALSE, TRUE, imp_clock_system());
    show(&progress, "{\"launch\":\"a\",\"port\":\"1\",\"state\":\"asking\"}");
    show(&progress, "{\"launch\":\"b\",\"port\":\"2\",\"state\":\"asking\"}");
    for (int i = 0; i < 3; i++)
        show(&progress, "{\"launch\":\"a\",\"port\":\"1\",\"state\":\"working\",\"phase\":\"erase\","
                        "\"done_bytes\":1,\"total_bytes\":2}");
    g_assert_false(imp_progress_all_ended(&progress));
    show(&progress,
         "{\"launch\":\"b\",\"port\":\"2\",\"state\":\"refused\",\"counts\":{\"units\":6,\"passed\":5,"
         "\"unknown\":0,\"open\":1},\"error\":{\"code\":5002,\"name\":\"count-in-work\","
         "\"disposition\":\"retry\",\"text\":\"all in work\"}}");
    for (int i = 0; i < 2; i++)
        show(&progress,
             "{\"launch\":\"a\",\"port\":\"1\",\"state\":\"passed\",\"duration_ms\":1200,\"uid\":\"00ff\","
             "\"numbers\":[{\"pool\":\"serial\",\"number\":7,\"text\":\"MB-7\",\"bytes\":\"00\"}]}");
    g_assert_true(imp_progress_all_ended(&progress));
    g_autoptr(GError) verdict = imp_progress_verdict(&progress);
    g_assert_error(verdict, IMP_ERROR, IMP_E_COUNT_IN_WORK);
    imp_progress_done(&progress);
    char *text = sink_close(&sink);
    g_test_message("%s", text);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_assert_cmpstr(lines[0], ==, "port 1    erase");
    g_assert_true(g_str_has_prefix(lines[1], "port 2    REFUSED at START"));
    g_assert_nonnull(strstr(text, "\n  all in work\n"));
    g_assert_nonnull(strstr(text, "  count    5 of 6 passed, 1 in work\n"));
    g_assert_nonnull(strstr(text, "port 1    PASSED in 1.2 s\n  serial   MB-7\n  uid      00ff\n"));
    g_assert_null(strchr(text, '\033'));
    free(text);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/print/error", test_error);
    g_test_add_func("/cli/print/live-fits", test_live_fits);
    g_test_add_func("/cli/print/error-round-trip", test_error_round_trip);
    g_test_add_func("/cli/print/bit-hint", test_bit_hint);
    g_test_add_func("/cli/print/table", test_table);
    g_test_add_func("/cli/print/units", test_units);
    g_test_add_func("/cli/print/bar", test_bar);
    g_test_add_func("/cli/print/progress", test_progress);
    return g_test_run();
}
