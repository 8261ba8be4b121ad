/* The battery for ImpTarget (target/target.h): what every way to reach a chip must do. Passed by SWD on a board in this process,
 * for several chips; over TCP; through a probe that makes faults; and, started by tests/system with --gdb HOST:PORT or
 * --probe SPEC, through the GDB servers of OpenOCD and QEMU and by USB probes. */
#include "base/error.h"
#include "board/server.h"
#include "board_probe.h"
#include "device/table.h"
#include "fault_probe.h"
#include "target/target-internal.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SWD_HZ       4000000
#define BLOCK_BYTES  6000
#define NOWHERE      0x70000000u /* no chip of the battery has anything there */
#define RUN_LIMIT_MS 2000
#define SHORT_MS     50
#define XPSR_THUMB   0x01000000u

typedef enum { KIND_BOARD = 2, KIND_DISTURBED, KIND_TCP, KIND_SPEC, KIND_GDB } Kind;

typedef struct {
    const char *name;
    Kind kind;
    const char *chip, *device;
    const char *elsewhere; /* KIND_GDB: HOST:PORT; KIND_SPEC: the probe's specification */
} Row;

typedef struct {
    const Row *row;
    ImpDevice *device;
    guint32 ram;
    gint cancel;
    ImpTarget *target;
    const ImpClock *clock;
    /* by kind */
    ImpBoard *board;
    BoardProbe *inner;
    ImpProbe *probe;
    ImpServer *server;
    pthread_t thread;
    int stop_fd;
} Fixture;

/* ---- the kinds ---- */

static void *serve(void *data)
{
    char why[IMP_SERVER_WHY_MAX];
    g_assert_cmpint(imp_server_run(((Fixture *)data)->server, why), ==, 0);
    return NULL;
}

static void open_server(Fixture *f)
{
    char why[IMP_SERVER_WHY_MAX];
    struct imp_server_addrs addrs;
    g_autoptr(GError) error = NULL;
    f->stop_fd = eventfd(0, EFD_CLOEXEC);
    f->server = imp_server_open(
        f->board, &(struct imp_server_options){.dap_addr = "127.0.0.1:0", .stop_fd = f->stop_fd}, why);
    g_assert_nonnull(f->server);
    imp_server_get_addrs(f->server, &addrs);
    g_assert_cmpint(pthread_create(&f->thread, NULL, serve, f), ==, 0);
    g_autofree char *spec = g_strconcat("tcp:", addrs.dap, NULL);
    f->clock = imp_clock_system();
    f->probe = imp_probe_open(spec, f->clock, &error);
    g_assert_no_error(error);
}

static void open_board(Fixture *f)
{
    /* what an engine must make good by itself: single answers, and a burst */
    static const FaultPlan plans[] = {{FAULT_WAIT, 19, 1}, {FAULT_NO_ACK, 22, 1}, {FAULT_FAULT, 25, 2}};
    f->inner = board_probe_new(f->board, 125000);
    f->clock = &f->inner->clock;
    f->probe = &f->inner->probe;
    if (f->row->kind != KIND_DISTURBED)
        return;
    FaultProbe *wrapper = fault_probe_new(f->probe, FAULT_PARITY, 13, 2);
    for (guint i = 0; i < G_N_ELEMENTS(plans); i++)
        fault_probe_add(wrapper, plans[i].kind, plans[i].first, plans[i].count);
    f->probe = &wrapper->probe;
}

static void attach(Fixture *f)
{
    const ImpTargetOptions options = {.swd_hz = SWD_HZ, .cancel = &f->cancel};
    g_autoptr(GError) error = NULL;
    f->target = f->row->kind == KIND_GDB
                    ? imp_target_attach_gdb(f->row->elsewhere, f->clock, &options, &error)
                    : imp_target_attach(f->probe, f->clock, &options, &error);
    g_assert_no_error(error);
    g_assert_nonnull(f->target);
}

static void set_up(Fixture *f, const Row *row)
{
    g_autoptr(GError) error = NULL;
    const struct imp_board_options options = {.fill = IMP_BOARD_FILL_RANDOM};
    *f = (Fixture){.row = row, .clock = imp_clock_system()};
    f->device = imp_device_lookup(row->device, &error);
    g_assert_no_error(error);
    f->ram = (guint32)f->device->ram_start + 0x100;
    if (row->kind == KIND_SPEC) {
        f->probe = imp_probe_open(row->elsewhere, f->clock, &error);
        g_assert_no_error(error);
    } else if (row->kind != KIND_GDB) {
        f->board = imp_board_new(row->chip, 7, &options, NULL);
        g_assert_nonnull(f->board);
        (row->kind == KIND_TCP ? open_server : open_board)(f);
    }
    attach(f);
}

static void tear_down(Fixture *f)
{
    imp_target_detach(f->target);
    if (f->row->kind == KIND_DISTURBED)
        g_assert_cmpuint(((FaultProbe *)f->probe)->made, >=, 2);
    imp_probe_close(f->probe);
    if (f->inner != NULL && f->probe != &f->inner->probe)
        imp_probe_close(&f->inner->probe);
    if (f->server != NULL) {
        g_assert_cmpint(eventfd_write(f->stop_fd, 1), ==, 0);
        pthread_join(f->thread, NULL);
        imp_server_close(f->server);
        close(f->stop_fd);
    }
    imp_board_free(f->board);
    imp_device_free(f->device);
}

/* ---- what the cases share ---- */

static void must(gboolean good, GError **error)
{
    g_assert_no_error(*error);
    g_assert_true(good);
}

static void must_read(Fixture *f, guint32 address, void *out, gsize n_bytes)
{
    GError *error = NULL;
    must(imp_target_read(f->target, address, out, n_bytes, &error), &error);
}

static void must_write(Fixture *f, guint32 address, const void *bytes, gsize n_bytes)
{
    GError *error = NULL;
    must(imp_target_write(f->target, address, bytes, n_bytes, &error), &error);
}

static guint32 get_register(Fixture *f, guint number)
{
    GError *error = NULL;
    guint32 value = 0;
    must(imp_target_read_register(f->target, number, &value, &error), &error);
    return value;
}

/* Puts code into RAM and the core at its beginning. */
static void load(Fixture *f, const guint16 *code, gsize n_halfwords)
{
    GError *error = NULL;
    guint8 bytes[32] = {0};
    g_assert_cmpuint(2 * n_halfwords, <=, sizeof bytes);
    for (gsize i = 0; i < n_halfwords; i++) {
        bytes[2 * i] = (guint8)code[i];
        bytes[2 * i + 1] = (guint8)(code[i] >> 8);
    }
    must(imp_target_halt(f->target, &error), &error);
    must_write(f, f->ram, bytes, sizeof bytes);
    const ImpCoreRegister registers[] = {{0, 0},
                                         {IMP_REGISTER_SP, f->ram + 0x200},
                                         {IMP_REGISTER_XPSR, XPSR_THUMB},
                                         {IMP_REGISTER_PC, f->ram}};
    must(imp_target_write_registers(f->target, registers, G_N_ELEMENTS(registers), &error), &error);
}

static gboolean wait_halt(Fixture *f, guint limit_ms)
{
    GError *error = NULL;
    gboolean halted = FALSE;
    must(imp_target_wait_halt(f->target, limit_ms, &halted, &error), &error);
    return halted;
}

/* ---- the cases ---- */

static void identifies(gconstpointer data)
{
    Fixture f;
    GError *error = NULL;
    guint8 uid[IMP_UID_BYTES_MAX], seen[IMP_UID_BYTES_MAX];
    gsize n_bytes = 0;
    set_up(&f, data);
    g_assert_cmphex(imp_target_id(f.target)->cpuid >> 24, ==, 0x41);
    must(imp_target_check(f.target, f.device, &error), &error);
    must(imp_target_read_uid(f.target, f.device, uid, &n_bytes, &error), &error);
    g_assert_cmpuint(n_bytes, ==, f.device->uid_bytes);
    must_read(&f, (guint32)f.device->uid_address, seen, n_bytes);
    g_assert_cmpmem(uid, n_bytes, seen, n_bytes);
    f.device->checks[0].value ^= 0x10;
    g_assert_false(imp_target_check(f.target, f.device, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_WRONG_CHIP);
    g_assert_cmpuint(imp_error_detail(error)->expected_bytes, ==, 4);
    g_clear_error(&error);
    tear_down(&f);
}

/* Any address and any length, and not a byte beside it. */
static void reads_and_writes(gconstpointer data)
{
    static const struct {
        guint offset, size;
    } rows[] = {{0, 4},    {0, 1},    {1, 1},    {3, 2},           {2, 1021},
                {1020, 8}, {1023, 2}, {5, 3000}, {0, BLOCK_BYTES}, {4, 0}};
    Fixture f;
    set_up(&f, data);
    g_autofree guint8 *want = g_malloc(BLOCK_BYTES), *bytes = g_malloc(BLOCK_BYTES),
                      *seen = g_malloc(BLOCK_BYTES);
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    must_read(&f, f.ram, want, BLOCK_BYTES);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (guint k = 0; k < rows[i].size; k++)
            bytes[k] = (guint8)g_rand_int(rand);
        must_write(&f, f.ram + rows[i].offset, bytes, rows[i].size);
        memcpy(want + rows[i].offset, bytes, rows[i].size);
        must_read(&f, f.ram, seen, BLOCK_BYTES);
        g_assert_cmpmem(seen, BLOCK_BYTES, want, BLOCK_BYTES);
        must_read(&f, f.ram + rows[i].offset, seen, rows[i].size);
        g_assert_cmpmem(seen, rows[i].size, bytes, rows[i].size);
    }
    tear_down(&f);
}

/* What the chip refuses is told with its place; afterwards everything works. */
static void refuses(gconstpointer data)
{
    Fixture f;
    g_autoptr(GError) error = NULL;
    guint8 bytes[8] = {0};
    set_up(&f, data);
    g_assert_false(imp_target_read(f.target, NOWHERE, bytes, sizeof bytes, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_BUS_FAULT);
    g_assert_true(imp_error_detail(error)->has_address);
    g_assert_cmphex(imp_error_detail(error)->address, ==, NOWHERE);
    g_clear_error(&error);
    must_write(&f, f.ram, "abcdefg", 8);
    must_read(&f, f.ram, bytes, 8);
    g_assert_cmpmem(bytes, 8, "abcdefg", 8);
    g_assert_false(imp_target_read(f.target, 0xFFFFFFFCu, bytes, sizeof bytes, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    g_clear_error(&error);
    g_assert_false(imp_target_write(f.target, 0x100000000u, bytes, 1, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    tear_down(&f);
}

static void registers(gconstpointer data)
{
    Fixture f;
    GError *error = NULL;
    ImpCoreRegister several[13];
    set_up(&f, data);
    for (guint i = 0; i < G_N_ELEMENTS(several); i++)
        several[i] = (ImpCoreRegister){i, 0x1000u * i + 0x80000001u};
    must(imp_target_write_registers(f.target, several, G_N_ELEMENTS(several), &error), &error);
    must(imp_target_write_register(f.target, 5, 0xCAFE0001, &error), &error);
    for (guint i = 0; i < G_N_ELEMENTS(several); i++)
        g_assert_cmphex(get_register(&f, i), ==, i == 5 ? 0xCAFE0001 : several[i].value);
    tear_down(&f);
}

static void runs_and_halts(gconstpointer data)
{
    static const guint16 counts[] = {0x3001, 0xE7FD}; /* 1: adds r0, #1; b 1b */
    Fixture f;
    GError *error = NULL;
    set_up(&f, data);
    load(&f, counts, G_N_ELEMENTS(counts));
    must(imp_target_resume(f.target, &error), &error);
    g_assert_false(wait_halt(&f, SHORT_MS));
    must(imp_target_halt(f.target, &error), &error);
    guint32 first = get_register(&f, 0), pc = get_register(&f, IMP_REGISTER_PC);
    g_assert_cmpuint(first, >, 100);
    g_assert_true(pc == f.ram || pc == f.ram + 2);
    g_assert_cmpuint(get_register(&f, 0), ==, first); /* it stands */
    must(imp_target_halt(f.target, &error), &error); /* again is fine */
    must(imp_target_resume(f.target, &error), &error);
    g_assert_false(wait_halt(&f, SHORT_MS));
    must(imp_target_halt(f.target, &error), &error);
    g_assert_cmpuint(get_register(&f, 0), >, first);
    tear_down(&f);
}

static void stops_at_bkpt(gconstpointer data)
{
    static const guint16 answer[] = {0x202A, 0xBE00, 0x2000,
                                     0xBE00}; /* movs r0, #42; bkpt; movs r0, #0; bkpt */
    Fixture f;
    GError *error = NULL;
    set_up(&f, data);
    for (guint again = 0; again < 2; again++) {
        load(&f, answer, G_N_ELEMENTS(answer));
        must(imp_target_break_at(f.target, f.ram + 2, &error), &error);
        must(imp_target_resume(f.target, &error), &error);
        g_assert_true(wait_halt(&f, RUN_LIMIT_MS));
        g_assert_cmphex(get_register(&f, IMP_REGISTER_PC), ==, f.ram + 2);
        g_assert_cmpuint(get_register(&f, 0), ==, 42);
    }
    tear_down(&f);
}

/* From whatever it does the core is brought to its beginning, and what is in RAM stays. */
static void resets(gconstpointer data)
{
    static const guint16 hangs[] = {0xE7FE}; /* b . */
    Fixture f;
    GError *error = NULL;
    guint8 seen[8];
    set_up(&f, data);
    load(&f, hangs, G_N_ELEMENTS(hangs));
    must_write(&f, f.ram + 64, "remains", 8);
    must(imp_target_resume(f.target, &error), &error);
    must(imp_target_reset_halt(f.target, &error), &error);
    g_assert_true(wait_halt(&f, RUN_LIMIT_MS));
    g_assert_cmphex(get_register(&f, IMP_REGISTER_PC), !=, f.ram);
    must_read(&f, f.ram + 64, seen, 8);
    g_assert_cmpmem(seen, 8, "remains", 8);
    must(imp_target_reset_run(f.target, &error), &error);
    imp_target_detach(g_steal_pointer(&f.target));
    attach(&f); /* and everything works again */
    must(imp_target_check(f.target, f.device, &error), &error);
    tear_down(&f);
}

static void cancels(gconstpointer data)
{
    Fixture f;
    g_autoptr(GError) error = NULL;
    set_up(&f, data);
    g_autofree guint8 *bytes = g_malloc(BLOCK_BYTES);
    g_atomic_int_set(&f.cancel, 1);
    g_assert_false(imp_target_read(f.target, f.ram, bytes, BLOCK_BYTES, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_CANCELLED);
    imp_target_detach(g_steal_pointer(&f.target)); /* lets go all the same */
    f.cancel = 0;
    attach(&f);
    must_read(&f, f.ram, bytes, BLOCK_BYTES);
    tear_down(&f);
}

static void run_battery(const Row *row)
{
    static const struct {
        const char *what;
        GTestDataFunc run;
    } battery[] = {{"identifies", identifies}, {"memory", reads_and_writes}, {"refuses", refuses},
                   {"registers", registers},   {"runs", runs_and_halts},     {"bkpt", stops_at_bkpt},
                   {"resets", resets},         {"cancels", cancels}};
    for (guint i = 0; i < G_N_ELEMENTS(battery); i++) {
        g_autofree char *path = g_strdup_printf("/contract/target/%s/%s", row->name, battery[i].what);
        g_test_add_data_func(path, row, battery[i].run);
    }
}

int main(int argc, char **argv)
{
    static const Row rows[] = {{"nrf51822", KIND_BOARD, "nrf51822", "nRF51822", NULL},
                               {"nrf52832", KIND_BOARD, "nrf52832", "nRF52832", NULL},
                               {"stm32f103", KIND_BOARD, "stm32f103cb", "STM32F103CB", NULL},
                               {"stm32g071", KIND_BOARD, "stm32g071rb", "STM32G071RB", NULL},
                               {"disturbed", KIND_DISTURBED, "nrf51822", "nRF51822", NULL},
                               {"disturbed-stm32f103", KIND_DISTURBED, "stm32f103cb", "STM32F103CB", NULL},
                               {"tcp", KIND_TCP, "nrf51822", "nRF51822", NULL}};
    static Row one = {"elsewhere", KIND_GDB, NULL, "nRF51822", NULL};
    gboolean elsewhere = argc >= 3 && (strcmp(argv[1], "--gdb") == 0 || strcmp(argv[1], "--probe") == 0);
    if (elsewhere) {
        one.kind = strcmp(argv[1], "--gdb") == 0 ? KIND_GDB : KIND_SPEC;
        one.elsewhere = argv[2];
        argv[2] = argv[0];
        argc -= 2;
        argv += 2;
    }
    g_test_init(&argc, &argv, NULL);
    if (elsewhere)
        run_battery(&one);
    for (guint i = 0; !elsewhere && i < G_N_ELEMENTS(rows); i++)
        run_battery(&rows[i]);
    return g_test_run();
}
