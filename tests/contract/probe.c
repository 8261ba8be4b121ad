/* The battery for ImpProbe (target/probe.h): what every probe driver must do, whatever is below it. Passed by TCP, by USB,
 * by the board in this process, and by the wrapper that makes faults, while it makes none.
 *
 * A USB probe is seen only below usb-proxy: for each case this program starts itself there again, with --spec usb:; the
 * partner stays in the first process and is told by requests what to do. */
#include "probe_partner.h"

#include "base/error.h"
#include "board_probe.h"
#include "fault_probe.h"

#include <stdlib.h>
#include <string.h>

#define SEED          20261201
#define PATIENCE_MS   20000 /* for answers that do come: the machine may be busy */
#define SILENCE_MS    50
#define ROUNDS        300
#define CLOSE_MS_MAX  (IMP_PROBE_TIMEOUT_MS + 5000)
#define ANSWER_CANARY 77777

typedef struct Fixture Fixture;

/* One kind of probe. */
typedef struct {
    const char *name;
    ImpProbe *(*open)(Fixture *f);
    void (*close)(Fixture *f);
} Kind;

struct Fixture {
    const Kind *kind;
    const char *spec; /* what imp_probe_open gets; the partner behind it is elsewhere if partner is NULL */
    const char *shape; /* what is told of the USB probe, see check_usb; NULL: it is none */
    char *spec_text;
    Partner *partner;
    ImpBoard *board;
    ImpProbe *inner;
    ImpProbe *probe;
    gsize packet_bytes;
    guint packets;
};

/* ---- the kinds ---- */

static ImpProbe *open_spec(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    if (f->spec == NULL) {
        f->partner = partner_new();
        f->spec_text = g_strconcat("tcp:", partner_address(f->partner), NULL);
        f->spec = f->spec_text;
    }
    ImpProbe *probe = imp_probe_open(f->spec, imp_clock_system(), &error);
    g_assert_no_error(error);
    return probe;
}

static void close_probe(Fixture *f)
{
    g_clear_pointer(&f->probe, imp_probe_close);
}

static ImpProbe *open_wrapped(Fixture *f)
{
    f->inner = open_spec(f);
    return &fault_probe_new(f->inner, FAULT_LOST_ANSWER, G_MAXUINT64, 0)->probe;
}

static void close_wrapped(Fixture *f)
{
    close_probe(f);
    g_clear_pointer(&f->inner, imp_probe_close);
}

static ImpProbe *open_board(Fixture *f)
{
    if (f->board == NULL) {
        const struct imp_board_options options = {.packet_size = PARTNER_PACKET_BYTES,
                                                  .packet_count = PARTNER_PACKETS};
        f->board = imp_board_new("nrf51822", 1, &options, NULL);
    }
    return &board_probe_new(f->board, 125000)->probe;
}

static const Kind kind_tcp = {"tcp", open_spec, close_probe},
                  kind_wrapper = {"wrapper", open_wrapped, close_wrapped},
                  kind_board = {"board", open_board, close_probe},
                  kind_spec = {"spec", open_spec, close_probe};

/* ---- what the cases share ---- */

static gsize ask(Fixture *f, const guint8 *request, gsize n_bytes,
                 guint8 response[IMP_PROBE_PACKET_BYTES_MAX])
{
    g_autoptr(GError) error = NULL;
    gsize got = 0;
    if (imp_probe_submit(f->probe, request, n_bytes, &error))
        imp_probe_collect(f->probe, response, IMP_PROBE_PACKET_BYTES_MAX, &got, PATIENCE_MS, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(got, >=, 1);
    g_assert_cmpuint(got, <=, f->probe->packet_bytes_max);
    return got;
}

static guint ask_number(Fixture *f, guint8 id, guint8 n_bytes)
{
    guint8 response[IMP_PROBE_PACKET_BYTES_MAX];
    gsize got = ask(f, (guint8[]){0x00, id}, 2, response);
    g_assert_cmpuint(got, >=, 2 + n_bytes);
    g_assert_true(got == 2u + n_bytes || f->probe->padded);
    g_assert_cmpmem(response, 2, ((guint8[]){0x00, n_bytes}), 2);
    return n_bytes == 1 ? response[2] : response[2] | (guint)response[3] << 8;
}

/* Does what the owner of a new probe does: asks for the limits and keeps them. */
static void begin(Fixture *f)
{
    f->probe = f->kind->open(f);
    g_assert_cmpuint(f->probe->packet_bytes_max, >=, IMP_PROBE_PACKET_BYTES_MIN);
    g_assert_cmpuint(f->probe->packet_bytes_max, <=, IMP_PROBE_PACKET_BYTES_MAX);
    g_assert_cmpstr(f->probe->name, !=, "");
    f->packet_bytes = MIN(ask_number(f, 0xFF, 2), f->probe->packet_bytes_max);
    f->probe->packet_bytes = f->packet_bytes;
    f->packets = MIN(ask_number(f, 0xFE, 1), IMP_PROBE_PACKETS_MAX);
    g_assert_cmpuint(f->packets, ==, PARTNER_PACKETS);
}

static void end(Fixture *f)
{
    gint64 from = g_get_monotonic_time();
    f->kind->close(f);
    g_assert_cmpint((g_get_monotonic_time() - from) / 1000, <, CLOSE_MS_MAX);
}

/* Leaves a request in flight that the partner treats so. */
static void provoke(Fixture *f, PartnerFault fault)
{
    g_autoptr(GError) error = NULL;
    if (f->board != NULL) { /* in this process: the wire itself is cut, after the request has gone */
        BoardProbe *board = (BoardProbe *)f->probe;
        g_assert_true(imp_probe_submit(f->probe, (guint8[]){0x00, 0xFF}, 2, &error));
        board->silent = fault == PARTNER_IS_SILENT;
        board->unplugged = fault == PARTNER_IS_GONE || fault == PARTNER_IS_GONE_MID;
    } else {
        g_assert_true(imp_probe_submit(f->probe, (guint8[]){(guint8)fault}, 1, &error));
    }
    g_assert_no_error(error);
}

static void expect_failure(Fixture *f, gsize cap, guint timeout_ms, int code)
{
    guint8 response[IMP_PROBE_PACKET_BYTES_MAX];
    gsize got = ANSWER_CANARY;
    g_autoptr(GError) error = NULL;
    g_assert_false(imp_probe_collect(f->probe, response, cap, &got, timeout_ms, &error));
    g_assert_nonnull(error);
    g_test_message("%s", error->message);
    g_assert_cmpint(imp_error_code(error), ==, code);
    g_assert_cmpuint(got, ==, ANSWER_CANARY);
    g_assert_nonnull(strstr(error->message, f->probe->name));
}

/* ---- the cases ---- */

/* The list has this one probe, and the way to it is the one that is meant. shape: "v2", "v1" or "both" are offered, then
 * the bytes of a report, or 0 where v2 is used. */
static void check_usb(Fixture *f)
{
    g_auto(GStrv) words = g_strsplit(f->shape, " ", 2);
    guint64 report_bytes = g_ascii_strtoull(words[1], NULL, 10);
    g_assert_cmpint(f->probe->padded, ==, report_bytes > 0);
    g_assert_cmpuint(f->probe->packet_bytes_max, ==,
                     report_bytes > 0 ? report_bytes : IMP_PROBE_PACKET_BYTES_MAX);
    g_assert_true(g_str_has_prefix(f->probe->name, report_bytes > 0 ? "hid:USBPROXY1 (" : "usb:USBPROXY1 ("));
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) list = imp_probe_list_usb(&error);
    g_assert_no_error(error);
    g_assert_cmpuint(list->len, ==, 1);
    const ImpProbeUsb *entry = list->pdata[0];
    g_assert_cmpstr(entry->serial, ==, "USBPROXY1");
    g_assert_cmpuint(entry->vendor_id, ==, 0x1209);
    g_assert_cmpint(entry->has_bulk, ==, strcmp(words[0], "v1") != 0);
    g_assert_cmpint(entry->has_hid, ==, strcmp(words[0], "v2") != 0);
}

static void test_info(Fixture *f)
{
    begin(f);
    if (f->shape != NULL)
        check_usb(f);
    g_assert_cmpuint(f->packet_bytes, ==, MIN(PARTNER_PACKET_BYTES, f->probe->packet_bytes_max));
    g_assert_cmpuint(ask_number(f, 0xF0, 1) & 1, ==, 1); /* SWD */
    guint8 response[IMP_PROBE_PACKET_BYTES_MAX];
    gsize got = ask(f, (guint8[]){0x00, 0x55}, 2, response); /* an identifier that does not exist: no bytes */
    g_assert_cmpuint(got, >=, 2);
    g_assert_cmpmem(response, 2, ((guint8[]){0x00, 0x00}), 2);
    got = ask(f, (guint8[]){0x9E}, 1, response); /* a command that does not exist */
    g_assert_true(got == 1 || f->probe->padded);
    g_assert_cmpuint(response[0], ==, 0xFF);
    end(f);
}

typedef struct {
    guint8 request[8];
    gsize n_request;
    guint8 response[IMP_PROBE_PACKET_BYTES_MAX];
    gsize n_response;
} Exchange;

/* As many packets in flight as the probe takes, filled and emptied at random: each answer belongs to its request. */
static void test_order(Fixture *f)
{
    Exchange known[] = {
        {.request = {0x00, 0xFF}, .n_request = 2},
        {.request = {0x00, 0xFE}, .n_request = 2},
        {.request = {0x00, 0x04}, .n_request = 2},
        {.request = {0x00, 0x02}, .n_request = 2},
        {.request = {0x01, 0x00, 0x01}, .n_request = 3},
        {.request = {0x04, 0, 100, 0, 0, 0}, .n_request = 6},
        {.request = {0x13, 0x00}, .n_request = 2},
        {.request = {0x11, 0x40, 0x42, 0x0F, 0x00}, .n_request = 5},
        {.request = {0x12, 0x08, 0xFF}, .n_request = 3},
        {.request = {0x9E}, .n_request = 1},
    };
    g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);
    const Exchange *flight[IMP_PROBE_PACKETS_MAX];
    guint submitted = 0, collected = 0, most = 0;
    begin(f);
    for (gsize i = 0; i < G_N_ELEMENTS(known); i++)
        known[i].n_response = ask(f, known[i].request, known[i].n_request, known[i].response);
    g_test_message("seed %u", SEED);
    while (collected < ROUNDS) {
        g_autoptr(GError) error = NULL;
        guint waiting = submitted - collected;
        most = MAX(most, waiting);
        if (submitted < ROUNDS && waiting < f->packets &&
            (waiting == 0 || g_rand_int_range(rand, 0, 3) > 0)) {
            const Exchange *e = &known[g_rand_int_range(rand, 0, G_N_ELEMENTS(known))];
            flight[submitted++ % IMP_PROBE_PACKETS_MAX] = e;
            g_assert_true(imp_probe_submit(f->probe, e->request, e->n_request, &error));
        } else {
            const Exchange *e = flight[collected++ % IMP_PROBE_PACKETS_MAX];
            guint8 response[IMP_PROBE_PACKET_BYTES_MAX];
            gsize got;
            imp_probe_collect(f->probe, response, sizeof response, &got, PATIENCE_MS, &error);
            g_assert_no_error(error);
            g_assert_cmpmem(response, got, e->response, e->n_response);
        }
    }
    g_assert_cmpuint(most, ==, f->packets);
    end(f);
}

/* The longest request, and the longest answer: as many DPIDRs as fit into a packet. */
static void test_full_packets(Fixture *f)
{
    begin(f);
    guint8 request[IMP_PROBE_PACKET_BYTES_MAX] = {0x9E}, response[IMP_PROBE_PACKET_BYTES_MAX];
    memset(request + 1, 0xA5, sizeof request - 1);
    ask(f, request, f->packet_bytes, response);
    g_assert_cmpuint(response[0], ==, 0xFF);
    static const guint8 set_up[][20] = {
        {2, 0x02, 0x01}, /* DAP_Connect to SWD; then line reset, JTAG to SWD, line reset, idle */
        {19,   0x12, 136,  0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
         0x9E, 0xE7, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(set_up); i++)
        ask(f, set_up[i] + 1, set_up[i][0], response);
    guint n_reads = (guint)MIN((f->packet_bytes - 3) / 4, 255);
    memset(request, 0x02, sizeof request);
    memcpy(request, (guint8[]){0x05, 0x00, (guint8)n_reads}, 3);
    gsize got = ask(f, request, 3 + n_reads, response);
    g_assert_true(got == 3 + 4 * n_reads || f->probe->padded);
    g_assert_cmpmem(response, 3, ((guint8[]){0x05, (guint8)n_reads, 0x01}), 3);
    for (guint i = 0; i < n_reads; i++)
        g_assert_cmpmem(response + 3 + 4 * i, 4, ((guint8[]){0x77, 0x14, 0xB1, 0x0B}), 4);
    end(f);
}

static void test_too_long_for_the_caller(Fixture *f)
{
    begin(f);
    g_assert_true(imp_probe_submit(f->probe, (guint8[]){0x00, 0xFF}, 2, NULL));
    expect_failure(f, 3, PATIENCE_MS, IMP_E_PROBE_PROTOCOL);
    end(f);
}

static void test_too_long_for_a_packet(Fixture *f)
{
    if (f->kind == &kind_board) {
        g_test_skip("the board's answers are never too long");
        return;
    }
    begin(f);
    if (f->probe->padded) {
        g_test_skip("a report cannot be too long");
    } else {
        provoke(f, PARTNER_TOO_LONG);
        expect_failure(f, f->packet_bytes, PATIENCE_MS, IMP_E_PROBE_PROTOCOL);
    }
    end(f);
}

static void test_timeout(Fixture *f)
{
    begin(f);
    provoke(f, PARTNER_IS_SILENT);
    gint64 from = g_get_monotonic_time();
    expect_failure(f, IMP_PROBE_PACKET_BYTES_MAX, SILENCE_MS, IMP_E_PROBE_TIMEOUT);
    if (f->board == NULL)
        g_assert_cmpint(g_get_monotonic_time() - from, >=, SILENCE_MS * 1000);
    end(f);
}

/* The same with every place in flight taken: the answers that will not come do not keep close from ending. */
static void test_timeout_of_many(Fixture *f)
{
    begin(f);
    for (guint i = 1; i < f->packets; i++)
        provoke(f, PARTNER_IS_SILENT);
    provoke(f, PARTNER_IS_SILENT);
    expect_failure(f, IMP_PROBE_PACKET_BYTES_MAX, SILENCE_MS, IMP_E_PROBE_TIMEOUT);
    end(f);
}

static void test_gone(Fixture *f)
{
    begin(f);
    provoke(f, PARTNER_IS_GONE);
    expect_failure(f, IMP_PROBE_PACKET_BYTES_MAX, PATIENCE_MS, IMP_E_PROBE_LOST);
    end(f);
}

static void test_gone_within_an_answer(Fixture *f)
{
    begin(f);
    provoke(f, PARTNER_IS_GONE_MID);
    expect_failure(f, IMP_PROBE_PACKET_BYTES_MAX, PATIENCE_MS, IMP_E_PROBE_LOST);
    end(f);
}

/* Nobody waits for what is in flight: allowed, and the next owner finds requests and answers in step. */
static void test_close_in_flight(Fixture *f)
{
    for (guint i = 0; i < 3; i++) {
        begin(f);
        if (f->board == NULL) {
            guint8 response[IMP_PROBE_PACKET_BYTES_MAX];
            ask(f, (guint8[]){PARTNER_TWICE_MORE}, 1, response);
            g_assert_cmpuint(response[0], ==, PARTNER_TWICE_MORE);
        } else {
            g_assert_true(imp_probe_submit(f->probe, (guint8[]){0x00, 0x04}, 2, NULL));
        }
        end(f);
    }
    begin(f);
    end(f);
}

static void test_close_at_once(Fixture *f)
{
    for (guint i = 0; i < 3; i++) {
        f->probe = f->kind->open(f);
        end(f);
    }
    imp_probe_close(NULL);
}

static const struct {
    const char *name;
    void (*run)(Fixture *f);
} cases[] = {
    {"info", test_info},
    {"order", test_order},
    {"full-packets", test_full_packets},
    {"too-long-for-the-caller", test_too_long_for_the_caller},
    {"too-long-for-a-packet", test_too_long_for_a_packet},
    {"timeout", test_timeout},
    {"timeout-of-many", test_timeout_of_many},
    {"gone", test_gone},
    {"gone-within-an-answer", test_gone_within_an_answer},
    {"close-in-flight", test_close_in_flight},
    {"close-at-once", test_close_at_once},
};

/* ---- running them ---- */

typedef struct {
    const Kind *kind; /* NULL: below usb-proxy, with these options */
    const char *options[3];
    const char *spec, *shape;
    gsize number;
} Run;

static const char *own_path;

static void run_here(gconstpointer data)
{
    const Run *run = data;
    Fixture f = {.kind = run->kind, .spec = run->spec, .shape = run->shape};
    cases[run->number].run(&f);
    if (f.partner != NULL)
        partner_free(f.partner);
    imp_board_free(f.board);
    g_free(f.spec_text);
}

/* The sanitizer library that this program runs with: it must come first in the child's LD_PRELOAD. */
static char *sanitizer(void)
{
    g_autofree char *maps = NULL;
    g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(maps, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++)
        if (strstr(lines[i], "/libasan.so") != NULL || strstr(lines[i], "/libtsan.so") != NULL)
            return g_strdup(strchr(lines[i], '/'));
    return NULL;
}

static void run_below_proxy(gconstpointer data)
{
    const Run *run = data;
    g_autoptr(Partner) partner = partner_new();
    g_autofree char *path = g_strconcat("/probe/spec/", cases[run->number].name, NULL);
    g_autofree char *library = sanitizer(), *out = NULL;
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    g_ptr_array_add(args, (gpointer)g_getenv("USB_PROXY"));
    for (gsize i = 0; i < G_N_ELEMENTS(run->options) && run->options[i] != NULL; i++)
        g_ptr_array_add(args, (gpointer)run->options[i]);
    const char *const rest[] = {
        "--board", partner_address(partner), "--", own_path, "--spec", run->spec, run->shape, "-p", path,
        NULL};
    for (gsize i = 0; i < G_N_ELEMENTS(rest); i++)
        g_ptr_array_add(args, (gpointer)rest[i]);
    g_auto(GStrv) environment = g_get_environ();
    if (library != NULL)
        environment = g_environ_setenv(environment, "LD_PRELOAD", library, TRUE);
    g_autoptr(GError) error = NULL;
    int status = 0;
    g_spawn_sync(NULL, (char **)args->pdata, environment, G_SPAWN_DEFAULT, NULL, NULL, &out, NULL, &status,
                 &error);
    g_assert_no_error(error);
    g_test_message("%s", out);
    g_autofree char *good = g_strdup_printf("ok 1 %s", path);
    g_assert_true(g_spawn_check_wait_status(status, &error));
    g_assert_nonnull(strstr(out, good));
    if (strstr(out, "# SKIP") != NULL)
        g_test_skip("skipped below usb-proxy");
}

static void add(const char *name, Run run)
{
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/probe/%s/%s", name, cases[i].name);
        run.number = i;
        g_test_add_data_func_full(path, g_memdup2(&run, sizeof run),
                                  run.kind != NULL ? run_here : run_below_proxy, g_free);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    own_path = argv[0];
    if (argc == 4 && strcmp(argv[1], "--spec") == 0) {
        add("spec", (Run){.kind = &kind_spec, .spec = argv[2], .shape = argv[3]});
        return g_test_run();
    }
    add("tcp", (Run){.kind = &kind_tcp});
    add("wrapper", (Run){.kind = &kind_wrapper});
    add("board", (Run){.kind = &kind_board});
    if (g_getenv("USB_PROXY") != NULL) {
        add("usb-v2", (Run){.spec = "usb:", .shape = "v2 0"});
        add("usb-v2-of-both", (Run){.spec = "usb:", .shape = "both 0", .options = {"--both"}});
        add("usb-v1", (Run){.spec = "usb:", .shape = "v1 64", .options = {"--v1"}});
        add("hid-of-both",
            (Run){.spec = "hid:", .shape = "both 512", .options = {"--both", "--report-bytes=512"}});
        add("hid-set-report",
            (Run){.spec = "hid:USBPROXY1", .shape = "v1 64", .options = {"--v1", "--set-report"}});
    }
    return g_test_run();
}
