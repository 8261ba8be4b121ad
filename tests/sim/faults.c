/* Launches with faults at random instants (docs/faults.md): the real launch, port thread, engine and ledger on a board in this
 * process, in virtual time. The judge looks at the chip's memory from inside the board: a unit that is recorded passed holds what
 * was to be written; no run hangs; every failure says code, step, and place where there is one.
 *
 *   sim-faults --part I/N     the seeds of this part, out of IMPRINT_FAULT_RUNS (2000) in all
 *   sim-faults --seed N       one run, told in detail */
#include "faults.h"

#include "base/error.h"
#include "device/table.h"
#include "fixture.h"
#include "launch/launch.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS_DEFAULT 2000
#define VIRTUAL_MAX_NS                                                                                       \
    (180 * 1000ull * 1000 * 1000) /* of a launch that takes a third of a second; each packet may be late */
#define WALL_MAX_S  60 /* of a launch that takes some hundredths of a second */
#define IDLE_RUN_NS (10 * 1000 * 1000) /* emulating a core that waits costs time and tells nothing */
#define IMAGE       1
#define POOL                                                                                                 \
    "{\"first\":1,\"format\":{\"decimal\":6},\"id\":\"sn\",\"last\":999999,\"reuse\":false,\"step\":1}"

/* One board with what it takes to begin a run on it. */
typedef struct {
    ImpBoard *board;
    ImpDevice *device;
    guint32 base, size;
    struct {
        guint64 work_ns, packets;
    } healthy[SIM_SPEEDS][SIM_ROUND_TRIPS]
             [2]; /* a launch without faults, by SWCLK, round trip, and whether it erases all */
    guint8 *unit; /* as large as its flash */
} Bench;

typedef struct {
    World world;
    ImpLedger *ledger;
    ImpAuthority *authority;
    Bench benches[8][2]; /* chip, small packets */
    gboolean tells;
    guint64 n_passed, n_failed, n_disturbed, n_untouched;
    guint64 kinds[SIM_KINDS];
    GHashTable *codes; /* int to count */
} Sim;

typedef struct {
    Sim *sim;
    const SimPlan *plan;
    Bench *bench;
    BoardProbe *probe;
    char uid[IMP_BOARD_UID_TEXT_MAX]; /* of the chip that was there at the beginning */
    guint8 *unit; /* its flash when it was last seen: it may have been taken out since */
    gboolean finished;
    ImpLaunchState state;
    ImpReport report;
    int code;
    char *message;
} Run;

static guint64 watched_seed; /* for the watchdog's last words; a test program has one run at a time */
static const char *program_name;

static void on_alarm(int number)
{
    char text[200];
    int n =
        g_snprintf(text, sizeof text, "Bail out! a run hangs: replay with %s --seed %" G_GUINT64_FORMAT "\n",
                   program_name, watched_seed);
    (void)!write(STDOUT_FILENO, text, (size_t)n);
    abort();
}

static void G_GNUC_PRINTF(2, 3) G_GNUC_NORETURN wrong(const SimPlan *plan, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    sim_print(plan);
    g_print("Bail out! %s\n# replay with %s --seed %" G_GUINT64_FORMAT "\n", text, program_name, plan->seed);
    abort();
}

/* ---- boards ---- */

static Bench *bench_of(Sim *sim, guint chip, gboolean small_packets)
{
    Bench *bench = &sim->benches[chip][small_packets != 0];
    if (bench->board != NULL)
        return bench;
    const struct imp_board_options options = {.packet_size = small_packets ? 64 : 512,
                                              .packet_count = small_packets ? 1 : 4};
    g_autoptr(GError) error = NULL;
    bench->board = imp_board_new(sim_chips[chip].chip, 1, &options, NULL);
    g_assert_nonnull(bench->board);
    bench->device = imp_device_lookup(sim_chips[chip].device, &error);
    g_assert_no_error(error);
    imp_board_get_flash_range(bench->board, &bench->base, &bench->size);
    bench->unit = g_malloc(bench->size);
    return bench;
}

static void bench_done(Bench *bench)
{
    imp_board_free(bench->board);
    imp_device_free(bench->device);
    g_free(bench->unit);
}

/* ---- one launch ---- */

/* The bytes of the unit that the judge looks at. */
static void look(gpointer user)
{
    Run *run = user;
    const SimPlan *plan = run->plan;
    char uid[IMP_BOARD_UID_TEXT_MAX];
    if (strcmp(imp_board_get_uid(run->bench->board, uid), run->uid) != 0)
        return;
    for (guint i = 0; i < 2; i++)
        g_assert_true(imp_board_peek(run->bench->board, run->bench->base + plan->offsets[i],
                                     run->unit + plan->offsets[i], plan->sizes[i]));
    g_assert_true(imp_board_peek(run->bench->board, run->bench->base + plan->serial_offset,
                                 run->unit + plan->serial_offset, SIM_SERIAL_BYTES));
}

static ImpProbe *open_probe(gpointer user, GError **error)
{
    Run *run = user;
    if (imp_board_is_unplugged(run->bench->board)) {
        imp_error_set(error, IMP_E_PROBE_NOT_FOUND, "the board's probe is unplugged");
        return NULL;
    }
    run->probe->collected = run->probe->submitted; /* what nobody fetched is thrown away */
    FaultProbe *wrapper = fault_probe_new(&run->probe->probe, FAULT_LATE, G_MAXUINT64, 0);
    for (guint i = 0; i < run->plan->n_faults; i++) {
        const SimFault *f = &run->plan->faults[i];
        if (f->kind >= IMP_BOARD_FAULT_KINDS)
            fault_probe_add(wrapper, (FaultKind)(f->kind - IMP_BOARD_FAULT_KINDS), f->first, f->count);
    }
    return &wrapper->probe;
}

static void on_changed(gpointer user, const ImpLaunchView *view)
{
    Run *run = user;
    if (view->state < IMP_LAUNCH_PASSED)
        return;
    run->finished = TRUE;
    run->state = view->state;
    if (view->report != NULL)
        run->report = *view->report;
    if (view->error != NULL) {
        run->code = imp_error_code(view->error);
        run->message = g_strdup(view->error->message);
    }
}

/* Bytes of a seed's image. */
static GBytes *make_bytes(guint64 seed, guint32 n_bytes)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)(seed ^ seed >> 32));
    guint8 *bytes = g_malloc(n_bytes);
    for (guint32 i = 0; i < n_bytes; i++)
        bytes[i] = i / 300 % 4 == 3 ? 0xFF : (guint8)g_rand_int(rand);
    return g_bytes_new_take(bytes, n_bytes);
}

static void wait_for_end(Run *run, ImpPort *port)
{
    while (!run->finished) {
        struct pollfd wanted = {.fd = imp_port_fd(port), .events = POLLIN};
        if (poll(&wanted, 1, -1) == 1)
            imp_port_dispatch(port);
    }
}

/* From START to the record. */
static void carry_out(Run *run)
{
    const SimPlan *plan = run->plan;
    g_autoptr(GBytes) first = make_bytes(plan->seed, plan->sizes[0]);
    g_autoptr(GBytes) second = make_bytes(plan->seed + 1, plan->sizes[1]);
    guint32 base = run->bench->base;
    ImpSegment segments[] = {{(char *)"app", base + plan->offsets[0], first},
                             {(char *)"more", base + plan->offsets[1], second}};
    ImpPoolUse pool = {(char *)"sn", (char *)POOL};
    ImpValue value = {.name = (char *)"serial", .kind = IMP_VALUE_POOL};
    ImpPlace place = {.address = base + plan->serial_offset, .size_bytes = SIM_SERIAL_BYTES, .pad = 0};
    ImpStep steps[SIM_STEPS] = {{.kind = IMP_STEP_ERASE, .erase = plan->erase}, {.kind = IMP_STEP_PROGRAM}};
    gsize n_steps = 2;
    if (plan->resets_between)
        steps[n_steps++] = (ImpStep){.kind = IMP_STEP_RESET};
    steps[n_steps++] = (ImpStep){.kind = IMP_STEP_VERIFY, .verify = plan->verify};
    if (plan->resets)
        steps[n_steps++] = (ImpStep){.kind = IMP_STEP_RESET};
    ImpContent content = {.name = (char *)"faults",
                          .version = (char *)"",
                          .device = run->bench->device,
                          .swd_hz = sim_speeds[plan->speed],
                          .attach = IMP_ATTACH_NORMAL,
                          .segments = segments,
                          .n_segments = G_N_ELEMENTS(segments),
                          .pools = &pool,
                          .n_pools = 1,
                          .values = &value,
                          .n_values = 1,
                          .places = &place,
                          .n_places = 1,
                          .steps = steps,
                          .n_steps = n_steps,
                          .rework = IMP_REWORK_NEW_VALUES};
    const ImpPortThreadOptions port_options = {
        .probe_spec = "in process", .clock = &run->probe->clock, .open_probe = open_probe, .open_user = run};
    g_autoptr(ImpPort) port = imp_port_thread_new(&port_options);
    const ImpLaunchOptions options = {.content = &content,
                                      .image = id_of(IMAGE),
                                      .authority = run->sim->authority,
                                      .port = port,
                                      .clock = &run->sim->world.clock,
                                      .random = &run->sim->world.random,
                                      .port_name = "1",
                                      .changed = on_changed,
                                      .user = run};
    g_autoptr(ImpLaunch) launch = imp_launch_new(&options);
    imp_launch_start(launch);
    wait_for_end(run, port);
}

/* ---- the judge ---- */

/* Draws the bits of weak cells alike on both sides: what they are at the moment says nothing. */
static void forget_weak(const Run *run, guint32 address, guint8 *want, guint8 *seen, guint32 n_bytes)
{
    for (guint i = 0; i < run->plan->n_faults; i++) {
        const SimFault *f = &run->plan->faults[i];
        if (f->kind != IMP_BOARD_FAULT_WEAK_BIT || f->board.addr < address ||
            f->board.addr - address >= n_bytes)
            continue;
        want[f->board.addr - address] |= (guint8)(1u << f->board.bit);
        seen[f->board.addr - address] |= (guint8)(1u << f->board.bit);
    }
}

static void judge_bytes(const Run *run, guint32 offset, const guint8 *bytes, guint32 n_bytes)
{
    guint32 address = run->bench->base + offset;
    g_autofree guint8 *want = g_memdup2(bytes, n_bytes), *seen = g_memdup2(run->unit + offset, n_bytes);
    forget_weak(run, address, want, seen, n_bytes);
    for (guint32 i = 0; i < n_bytes; i++)
        if (want[i] != seen[i])
            wrong(run->plan, "recorded passed, but 0x%08X holds %02X in place of %02X", address + i, seen[i],
                  want[i]);
}

/* Recorded passed: the chip of the record holds what was to be written. */
static void judge_passed(Run *run)
{
    const SimPlan *plan = run->plan;
    char now[IMP_BOARD_UID_TEXT_MAX];
    g_autoptr(GString) recorded = g_string_new("");
    for (guint i = run->report.n_uid; i-- > 0;)
        g_string_append_printf(recorded, "%02X", run->report.uid[i]);
    if (strcmp(imp_board_get_uid(run->bench->board, now), recorded->str) == 0)
        memcpy(run->uid, now, sizeof now); /* if it was changed, then before the launch looked */
    if (strcmp(run->uid, recorded->str) != 0)
        wrong(plan, "recorded passed for the chip %s, but %s was there", recorded->str, run->uid);
    look(run);
    for (guint i = 0; i < 2; i++) {
        g_autoptr(GBytes) bytes = make_bytes(plan->seed + i, plan->sizes[i]);
        judge_bytes(run, plan->offsets[i], g_bytes_get_data(bytes, NULL), plan->sizes[i]);
    }
    guint8 serial[SIM_SERIAL_BYTES] = {0};
    if (run->report.n_numbers != 1)
        wrong(plan, "recorded passed with %u numbers", run->report.n_numbers);
    memcpy(serial, run->report.numbers[0].bytes, run->report.numbers[0].n_bytes);
    judge_bytes(run, plan->serial_offset, serial, sizeof serial);
}

static gboolean needs_place(int code)
{
    switch (code) {
    case IMP_E_FLASH_MISMATCH:
    case IMP_E_ALGORITHM_FAILED:
    case IMP_E_ALGORITHM_TIMEOUT:
    case IMP_E_TARGET_RAM:
    case IMP_E_BUS_FAULT:
    case IMP_E_WRONG_CHIP:
        return TRUE;
    default:
        return FALSE;
    }
}

static gboolean needs_bytes(int code)
{
    return code == IMP_E_WRONG_CHIP || code == IMP_E_TARGET_RAM;
}

/* Recorded failed: why, where in the work, where in the chip. */
static void judge_failed(Run *run)
{
    const ImpReport *report = &run->report;
    const ImpErrorEntry *entry = imp_error_entry(report->code);
    if (entry == NULL || report->code < 2001 || report->code > 2199)
        wrong(run->plan, "failed with E%d: %s", report->code, run->message);
    if (report->detail.step[0] == '\0')
        wrong(run->plan, "E%d names no step: %s", report->code, run->message);
    if (needs_place(report->code) && !report->detail.has_address)
        wrong(run->plan, "E%d names no address: %s", report->code, run->message);
    if (needs_bytes(report->code) && report->detail.expected_bytes == 0)
        wrong(run->plan, "E%d does not say what was expected and found: %s", report->code, run->message);
    if (entry->likely[0] == '\0' || entry->action[0] == '\0')
        wrong(run->plan, "E%d names no likely cause", report->code);
    struct imp_board_counters counters;
    imp_board_get_counters(run->bench->board, &counters);
    gboolean touched = counters.pages_erased + counters.mass_erases + counters.words_programmed > 0;
    if (report->result == IMP_RESULT_FAILED && touched)
        wrong(run->plan, "recorded as failed before anything was written, but flash was written: E%d %s",
              report->code, run->message);
    run->sim->n_untouched += !touched;
}

/* What the ledger keeps is what was told. */
static void judge_record(Run *run)
{
    g_autoptr(GError) error = NULL;
    const ImpLedgerLogQuery query = {.newest_first = TRUE, .limit = 1};
    g_autoptr(GArray) log = imp_ledger_log(run->sim->ledger, &query, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(log->len, ==, 1);
    const ImpReport *record = &g_array_index(log, ImpLedgerLogEntry, 0).report;
    if (memcmp(&record->launch, &run->report.launch, sizeof record->launch) != 0 ||
        record->result != run->report.result || record->code != run->report.code)
        wrong(run->plan, "the ledger's record differs from what was told");
}

static void judge(Run *run)
{
    Sim *sim = run->sim;
    if (run->state == IMP_LAUNCH_PASSED)
        judge_passed(run);
    else if (run->state == IMP_LAUNCH_FAILED)
        judge_failed(run);
    else
        wrong(run->plan, "refused: %s", run->message);
    if ((run->state == IMP_LAUNCH_PASSED) != (run->report.result == IMP_RESULT_PASSED))
        wrong(run->plan, "told and recorded differ");
    judge_record(run);
    gpointer key = GINT_TO_POINTER(run->report.code);
    g_hash_table_insert(sim->codes, key,
                        GUINT_TO_POINTER(GPOINTER_TO_UINT(g_hash_table_lookup(sim->codes, key)) + 1));
    if (run->state == IMP_LAUNCH_PASSED)
        sim->n_passed++;
    else
        sim->n_failed++;
    sim->n_disturbed += run->state == IMP_LAUNCH_PASSED && run->report.link_retries > 0;
}

/* ---- runs ---- */

static void add_board_faults(const Run *run)
{
    for (guint i = 0; i < run->plan->n_faults; i++) {
        const SimFault *f = &run->plan->faults[i];
        const char *why = NULL;
        run->sim->kinds[f->kind]++;
        if (f->kind < IMP_BOARD_FAULT_KINDS &&
            !imp_board_add_fault(run->bench->board, (enum imp_board_fault)f->kind, &f->board, &why))
            wrong(run->plan, "the board refuses a fault: %s", why);
    }
}

static void run_plan(Sim *sim, const SimPlan *plan, guint64 *out_work_ns, guint64 *out_packets)
{
    Bench *bench = bench_of(sim, plan->chip, plan->small_packets);
    Run run = {.sim = sim, .plan = plan, .bench = bench};
    watched_seed = plan->seed;
    alarm(WALL_MAX_S);
    g_assert_true(imp_board_set_fault(bench->board, IMP_BOARD_FAULT_NONE, 0, 0));
    imp_board_set_power(bench->board, true);
    imp_board_next(bench->board, plan->seed, plan->fill);
    imp_board_reset_counters(bench->board);
    run.probe = board_probe_new(bench->board, sim_round_trips[plan->round_trip]);
    run.probe->idle_run_ns = IDLE_RUN_NS;
    run.probe->look = look;
    run.probe->look_user = &run;
    imp_board_get_uid(bench->board, run.uid);
    run.unit = bench->unit;
    guint64 begin_ns = run.probe->host_ns;
    add_board_faults(&run);
    carry_out(&run);
    guint64 took_ns = run.probe->host_ns - begin_ns;
    if (sim->tells)
        g_print("# %s after %" G_GUINT64_FORMAT " us and %" G_GUINT64_FORMAT
                " packets: E%d %s, step '%s', 0x%08" G_GINT64_MODIFIER "X\n",
                run.state == IMP_LAUNCH_PASSED ? "passed" : "failed", took_ns / 1000, run.probe->submitted,
                run.code, run.message != NULL ? run.message : "", run.report.detail.step,
                run.report.detail.address);
    if (took_ns > VIRTUAL_MAX_NS)
        wrong(plan, "took %" G_GUINT64_FORMAT " s of virtual time: E%d %s", took_ns / 1000000000, run.code,
              run.message);
    judge(&run);
    if (plan->n_faults == 0) {
        if (run.state != IMP_LAUNCH_PASSED)
            wrong(plan, "without a fault: E%d %s", run.code, run.message);
        *out_work_ns = took_ns;
        *out_packets = run.probe->submitted;
    }
    imp_probe_close(&run.probe->probe);
    g_free(run.message);
    alarm(0);
}

/* A launch without faults is the measure for their instants; the first of its kind is run for it. */
static void run_seed(Sim *sim, guint64 seed)
{
    SimPlan plan;
    sim_draw(&plan, seed);
    Bench *bench = bench_of(sim, plan.chip, plan.small_packets);
    sim_draw_layout(&plan, bench->size);
    guint64 *work_ns = &bench->healthy[plan.speed][plan.round_trip][plan.erase == IMP_ERASE_ALL].work_ns;
    guint64 *packets = &bench->healthy[plan.speed][plan.round_trip][plan.erase == IMP_ERASE_ALL].packets;
    if (*work_ns == 0)
        run_plan(sim, &plan, work_ns, packets);
    sim_draw_faults(&plan, *work_ns, *packets, bench->base);
    if (sim->tells)
        sim_print(&plan);
    run_plan(sim, &plan, work_ns, packets);
}

static void sim_init(Sim *sim)
{
    world_init(&sim->world, 1);
    sim->ledger = ledger_open(&sim->world, ":memory:", IMP_LEDGER_STATION, IMP_LEDGER_FORGETFUL);
    ImpLife life;
    g_autoptr(GError) error = NULL;
    g_assert_true(imp_journal_start(sim->ledger, &life, &error));
    image_must_add(sim->ledger, &(ImageRow){.id = IMAGE, .units = -1, .pool = POOL});
    sim->authority = imp_authority_local_new(sim->ledger);
    sim->codes = g_hash_table_new(NULL, NULL);
}

static void sim_done(Sim *sim)
{
    ledger_check(sim->ledger);
    imp_authority_local_free(sim->authority);
    imp_ledger_close(sim->ledger);
    for (guint i = 0; i < G_N_ELEMENTS(sim->benches); i++)
        for (guint k = 0; k < 2; k++)
            bench_done(&sim->benches[i][k]);
    g_hash_table_unref(sim->codes);
}

/* What was seen: a test in which nothing failed, or everything, would say nothing. */
static void judge_sum(const Sim *sim, guint64 runs)
{
    GHashTableIter iter;
    gpointer code, count;
    g_hash_table_iter_init(&iter, sim->codes);
    while (g_hash_table_iter_next(&iter, &code, &count))
        g_print("# E%d %s: %u\n", GPOINTER_TO_INT(code),
                GPOINTER_TO_INT(code) != 0 ? imp_error_entry(GPOINTER_TO_INT(code))->name : "passed",
                GPOINTER_TO_UINT(count));
    g_print("# %" G_GUINT64_FORMAT " runs: %" G_GUINT64_FORMAT " passed (%" G_GUINT64_FORMAT
            " with repeats on the link), %" G_GUINT64_FORMAT " failed (%" G_GUINT64_FORMAT " untouched)\n",
            runs, sim->n_passed, sim->n_disturbed, sim->n_failed, sim->n_untouched);
    if (runs < 200)
        return;
    g_assert_cmpuint(sim->n_failed, >, runs / 5);
    g_assert_cmpuint(sim->n_passed, >, runs / 5);
    g_assert_cmpuint(sim->n_disturbed, >, runs / 50);
    for (guint kind = IMP_BOARD_FAULT_STUCK_BIT; kind < SIM_KINDS; kind++) {
        g_autofree char *name = sim_kind_name(kind);
        if (name != NULL && kind != IMP_BOARD_FAULT_KINDS)
            g_assert_cmpuint(sim->kinds[kind], >, 0);
    }
}

static guint64 number_of(const char *text)
{
    guint64 value = 0;
    if (text == NULL || !g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &value, NULL)) {
        g_printerr("usage: sim-faults --part I/N | --seed N\n");
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static Sim sim;
    guint64 part = 0, parts = 1;
    g_autofree char *runs_text = g_strdup(g_getenv("IMPRINT_FAULT_RUNS"));
    guint64 total = runs_text != NULL ? number_of(runs_text) : RUNS_DEFAULT, runs = 0;
    gboolean one = argc == 3 && strcmp(argv[1], "--seed") == 0;
    program_name = argv[0];
    signal(SIGALRM, on_alarm);
    sim_init(&sim);
    g_print("1..1\n");
    if (one) {
        sim.tells = TRUE;
        run_seed(&sim, number_of(argv[2]));
        runs = 1;
    } else if (argc == 3 && strcmp(argv[1], "--part") == 0) {
        g_auto(GStrv) words = g_strsplit(argv[2], "/", 2);
        part = number_of(words[0]);
        parts = MAX(1, number_of(words[1]));
    }
    for (guint64 seed = part; !one && seed < total; seed += parts, runs++)
        run_seed(&sim, seed);
    judge_sum(&sim, runs);
    sim_done(&sim);
    g_print("ok 1 /sim/faults\n");
    return 0;
}
