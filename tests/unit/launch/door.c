/* A port's thread at a virtual board with a supply: power before connecting, protection that is proved, locked chips that are
 * opened by erasing them. */
#include "bad_line.h"
#include "board/server.h"
#include "device/table.h"
#include "launch/port.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATA_BYTES 2048u
#define WAIT_MS    120000

typedef struct {
    ImpBoard *board;
    ImpServer *server;
    pthread_t thread;
    int stop_fd, control_fd;
    ImpPort *port;
    ImpDevice *device;
    guint32 flash_at;
    ImpContent content;
    ImpSegment segment;
    ImpUnitSegment unit_segment;
    ImpUnitMap map;
    gboolean done;
    GError *error; /* of the last command */
    guint n_uid;
    guint32 link_hz, slowed_by;
    char *probe_spec;
    guint32 bears_hz; /* of the wires; 0: any clock */
    BadLine *line; /* the present connection's */
} Bench;

static void *serve(void *data)
{
    char why[IMP_SERVER_WHY_MAX];
    g_assert_cmpint(imp_server_run(((Bench *)data)->server, why), ==, 0);
    return NULL;
}

static void on_event(gpointer user, const ImpPortEvent *event)
{
    Bench *b = user;
    if (!event->done)
        return;
    b->done = TRUE;
    b->n_uid = event->n_uid;
    b->link_hz = event->link_hz;
    b->slowed_by = event->link_slowed_by;
    g_clear_error(&b->error);
    b->error = event->error != NULL ? g_error_copy(event->error) : NULL;
}

static void connect_control(Bench *b, const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((guint16)g_ascii_strtoull(strrchr(address, ':') + 1, NULL, 10));
    b->control_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(b->control_fd, (struct sockaddr *)&to, sizeof to), ==, 0);
}

/* The port's probe, behind wires that bear so much. On the port's thread, which has nothing to do while bears_hz is set. */
static ImpProbe *open_bad_line(gpointer user, GError **error)
{
    Bench *b = user;
    ImpProbe *inner = imp_probe_open(b->probe_spec, imp_clock_system(), error);
    if (inner == NULL)
        return NULL;
    b->line = bad_line_new(inner, b->bears_hz != 0 ? b->bears_hz : G_MAXUINT32, 1, 8 | 1);
    b->line->owns = TRUE;
    return &b->line->probe;
}

static void bench_open(Bench *b, const char *chip, const char *device, gboolean supply)
{
    char why[IMP_SERVER_WHY_MAX];
    struct imp_server_addrs addrs;
    g_autoptr(GError) error = NULL;
    *b = (Bench){.stop_fd = eventfd(0, EFD_CLOEXEC)};
    b->board = imp_board_new(chip, 1, NULL, NULL);
    g_assert_nonnull(b->board);
    const struct imp_server_options options = {.dap_addr = "127.0.0.1:0",
                                               .control_addr = "127.0.0.1:0",
                                               .power_addr = supply ? "127.0.0.1:0" : NULL,
                                               .stop_fd = b->stop_fd};
    b->server = imp_server_open(b->board, &options, why);
    g_assert_nonnull(b->server);
    imp_server_get_addrs(b->server, &addrs);
    g_assert_cmpint(pthread_create(&b->thread, NULL, serve, b), ==, 0);
    connect_control(b, addrs.control);
    b->probe_spec = g_strconcat("tcp:", addrs.dap, NULL);
    g_autofree char *power = supply ? g_strconcat("scpi:", addrs.power, NULL) : NULL;
    b->port = imp_port_thread_new(&(ImpPortThreadOptions){.probe_spec = b->probe_spec,
                                                          .power_spec = power,
                                                          .clock = imp_clock_system(),
                                                          .open_probe = open_bad_line,
                                                          .open_user = b});
    imp_port_set_handler(b->port, on_event, b);
    b->device = imp_device_lookup(device, &error);
    g_assert_no_error(error);
    guint8 *bytes = g_malloc(DATA_BYTES);
    for (guint32 i = 0; i < DATA_BYTES; i++)
        bytes[i] = (guint8)(i * 7 + (i >> 8));
    uint32_t size;
    imp_board_get_flash_range(b->board, &b->flash_at, &size);
    b->segment = (ImpSegment){(char *)"app", b->flash_at, g_bytes_new_take(bytes, DATA_BYTES)};
    b->unit_segment = (ImpUnitSegment){b->flash_at, b->segment.bytes};
    b->map = (ImpUnitMap){&b->unit_segment, 1};
    b->content = (ImpContent){.name = (char *)"T",
                              .device = b->device,
                              .swd_hz = 4000000,
                              .attach = IMP_ATTACH_NORMAL,
                              .segments = &b->segment,
                              .n_segments = 1};
}

static void bench_close(Bench *b)
{
    imp_port_free(b->port);
    close(b->control_fd);
    g_assert_cmpint(eventfd_write(b->stop_fd, 1), ==, 0);
    pthread_join(b->thread, NULL);
    imp_server_close(b->server);
    imp_board_free(b->board);
    close(b->stop_fd);
    imp_device_free(b->device);
    g_bytes_unref(b->segment.bytes);
    g_clear_error(&b->error);
    g_free(b->probe_spec);
}

/* A line of the control port's; free with g_free. */
static char *control(Bench *b, const char *line)
{
    char reply[1024];
    gsize n = 0;
    g_autofree char *text = g_strconcat(line, "\n", NULL);
    g_assert_cmpint(send(b->control_fd, text, strlen(text), MSG_NOSIGNAL), ==, (gssize)strlen(text));
    do {
        gssize got = recv(b->control_fd, reply + n, sizeof reply - 1 - n, 0);
        g_assert_cmpint(got, >, 0);
        n += (gsize)got;
    } while (reply[n - 1] != '\n');
    reply[n - 1] = '\0';
    g_assert_true(g_str_has_prefix(reply, "ok"));
    return g_strdup(reply);
}

static gboolean is_powered(Bench *b)
{
    g_autofree char *status = control(b, "status");
    return strstr(status, "powered=1") != NULL;
}

/* Carries a command out; what went wrong is in b->error. */
static gboolean carry_out(Bench *b, ImpCommand command)
{
    command.content = &b->content;
    b->done = FALSE;
    imp_port_submit(b->port, &command);
    while (!b->done) {
        struct pollfd fd = {.fd = imp_port_fd(b->port), .events = POLLIN};
        g_assert_cmpint(poll(&fd, 1, WAIT_MS), ==, 1);
        imp_port_dispatch(b->port);
    }
    if (b->error != NULL)
        g_test_message("%s", b->error->message);
    return b->error == NULL;
}

static gboolean attach(Bench *b, gboolean may_unlock)
{
    return carry_out(b, (ImpCommand){.kind = IMP_COMMAND_ATTACH, .may_unlock = may_unlock});
}

static void finish(Bench *b)
{
    g_assert_true(carry_out(b, (ImpCommand){.kind = IMP_COMMAND_FINISH}));
}

static gboolean flash(Bench *b, gboolean write)
{
    return carry_out(b, (ImpCommand){.kind = IMP_COMMAND_FLASH,
                                     .map = &b->map,
                                     .erase = write,
                                     .program = write,
                                     .verify = TRUE,
                                     .erase_mode = IMP_ERASE_USED,
                                     .verify_mode = IMP_VERIFY_READ_BACK});
}

static gboolean do_step(Bench *b, ImpCommandKind kind, ImpStep step)
{
    return carry_out(b, (ImpCommand){.kind = kind, .step = &step});
}

static gboolean protect(Bench *b, guint level)
{
    return do_step(b, IMP_COMMAND_PROTECT,
                   (ImpStep){.kind = IMP_STEP_PROTECT, .level = level, .prove = TRUE});
}

static gboolean power(Bench *b, ImpPowerAction action)
{
    return do_step(b, IMP_COMMAND_POWER, (ImpStep){.kind = IMP_STEP_POWER, .power = action});
}

static void assert_code(Bench *b, ImpErrorCode code)
{
    g_assert_error(b->error, IMP_ERROR, (gint)code);
}

/* ---- power ---- */

static void power_comes_first(void)
{
    Bench b;
    bench_open(&b, "nrf51822", "nRF51822", TRUE);
    b.content.power = (ImpPowerSettings){.has = TRUE,
                                         .millivolts = 3300,
                                         .min_mv = 3200,
                                         .max_mv = 3400,
                                         .on_delay_ms = 10,
                                         .off_delay_ms = 10,
                                         .off_at_end = TRUE};
    g_assert_false(is_powered(&b));
    g_assert_true(attach(&b, FALSE));
    g_assert_true(is_powered(&b));
    g_assert_true(flash(&b, TRUE));
    g_assert_true(power(&b, IMP_POWER_CYCLE));
    g_assert_true(flash(&b, FALSE)); /* found again by itself */
    g_assert_true(power(&b, IMP_POWER_OFF));
    g_assert_false(is_powered(&b));
    g_assert_false(flash(&b, FALSE));
    assert_code(&b, IMP_E_NO_TARGET);
    g_assert_true(power(&b, IMP_POWER_ON));
    g_assert_true(flash(&b, FALSE));
    finish(&b);
    g_assert_false(is_powered(&b));
    b.content.power.off_at_end = FALSE;
    g_assert_true(attach(&b, FALSE));
    finish(&b);
    g_assert_true(is_powered(&b));
    bench_close(&b);
}

/* Out of its limits the board is not even connected to; the supply goes off all the same. */
static void voltage_is_judged(void)
{
    Bench b;
    bench_open(&b, "nrf51822", "nRF51822", TRUE);
    b.content.power = (ImpPowerSettings){
        .has = TRUE, .millivolts = 3300, .min_mv = 3200, .max_mv = 3400, .off_at_end = TRUE};
    g_free(control(&b, "supply load 120")); /* of 100 mA: the voltage falls to 2.75 V */
    g_free(control(&b, "reset-counters"));
    g_assert_false(attach(&b, FALSE));
    assert_code(&b, IMP_E_POWER_VOLTAGE);
    g_assert_nonnull(strstr(b.error->message, "2.750 V, allowed are 3.200 V to 3.400 V"));
    g_autofree char *status = control(&b, "status");
    g_assert_nonnull(strstr(status, " swclk=0 "));
    finish(&b);
    g_assert_false(is_powered(&b));
    g_free(control(&b, "supply load 20"));
    g_free(control(&b, "supply error 101")); /* the meter's fault, not the board's */
    g_assert_false(attach(&b, FALSE));
    assert_code(&b, IMP_E_POWER_VOLTAGE);
    finish(&b);
    g_free(control(&b, "supply error 100"));
    g_assert_true(attach(&b, FALSE));
    finish(&b);
    bench_close(&b);
}

/* A capacitor needs its time, a regulator too. */
static void delays_are_kept(void)
{
    static const guint32 delays_ms[][2] = {
        {150, 1}, {1, 150}, {0, 0}}; /* on, off; 200 ms off where none is named */
    Bench b;
    bench_open(&b, "nrf51822", "nRF51822", TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS(delays_ms); i++) {
        b.content.power = (ImpPowerSettings){
            .has = TRUE, .millivolts = 3300, .on_delay_ms = delays_ms[i][0], .off_delay_ms = delays_ms[i][1]};
        g_assert_true(attach(&b, FALSE));
        gint64 begin_us = g_get_monotonic_time();
        g_assert_true(power(&b, IMP_POWER_CYCLE));
        g_assert_cmpint(g_get_monotonic_time() - begin_us, >=, 150 * 1000);
        finish(&b);
    }
    bench_close(&b);
}

/* What the image wants of a supply is not silently left out. */
static void missing_supply_is_said(void)
{
    ImpStep step = {.kind = IMP_STEP_POWER, .power = IMP_POWER_CYCLE};
    Bench b;
    bench_open(&b, "nrf51822", "nRF51822", FALSE);
    b.content.power = (ImpPowerSettings){.has = TRUE, .millivolts = 3300, .off_at_end = TRUE};
    g_assert_true(attach(&b, FALSE)); /* the board has its own */
    finish(&b);
    b.content.power.min_mv = b.content.power.max_mv = 3300;
    g_assert_false(attach(&b, FALSE));
    assert_code(&b, IMP_E_POWER_UNSUPPORTED);
    finish(&b);
    b.content.power = (ImpPowerSettings){0};
    b.content.attach = IMP_ATTACH_POWER_CYCLE;
    g_assert_false(attach(&b, FALSE));
    assert_code(&b, IMP_E_POWER_UNSUPPORTED);
    finish(&b);
    b.content.attach = IMP_ATTACH_NORMAL;
    b.content.finally = &step;
    b.content.n_finally = 1;
    g_assert_false(attach(&b, FALSE));
    assert_code(&b, IMP_E_POWER_UNSUPPORTED);
    finish(&b);
    bench_close(&b);
}

static void attaches_by_power_cycle(void)
{
    Bench b;
    bench_open(&b, "stm32f103cb", "STM32F103CB", TRUE);
    b.content.attach = IMP_ATTACH_POWER_CYCLE;
    b.content.power = (ImpPowerSettings){.has = TRUE, .min_mv = 3200, .max_mv = 3400, .off_delay_ms = 5};
    g_assert_true(attach(&b, FALSE));
    g_assert_true(flash(&b, TRUE));
    finish(&b);
    bench_close(&b);
}

/* ---- a slower clock ---- */

static void clock_steps_down_in_attach(void)
{
    Bench b;
    bench_open(&b, "nrf51822", "nRF51822", FALSE);
    b.bears_hz = 1000000;
    g_assert_true(attach(&b, FALSE));
    g_assert_cmpuint(b.link_hz, ==, 1000000);
    g_assert_cmpuint(b.slowed_by, ==, IMP_E_LINK_PARITY);
    g_assert_true(flash(&b, TRUE));
    finish(&b);
    g_assert_cmpuint(b.link_hz, ==, 1000000);
    b.bears_hz = 1000; /* nothing helps: the record tells how far it went */
    g_assert_false(attach(&b, FALSE));
    assert_code(&b, IMP_E_LINK_PARITY);
    g_assert_cmpuint(b.link_hz, ==, 250000);
    finish(&b);
    bench_close(&b);
}

/* The wires get worse while the chip is being programmed: the work is done again, slower; the launch stays slow. */
static void clock_steps_down_in_work(void)
{
    guint8 now[DATA_BYTES];
    Bench b;
    bench_open(&b, "nrf51822", "nRF51822", FALSE);
    g_assert_true(attach(&b, FALSE));
    g_assert_cmpuint(b.link_hz, ==, 4000000);
    g_assert_cmpuint(b.slowed_by, ==, 0);
    b.line->bears_hz = b.bears_hz = 1000000;
    g_assert_true(flash(&b, TRUE));
    g_assert_cmpuint(b.link_hz, ==, 1000000);
    g_assert_cmpuint(b.slowed_by, ==, IMP_E_LINK_PARITY);
    g_assert_true(imp_board_peek(b.board, b.flash_at, now, sizeof now));
    g_assert_cmpmem(now, sizeof now, g_bytes_get_data(b.segment.bytes, NULL), DATA_BYTES);
    g_assert_true(flash(&b, FALSE));
    finish(&b);
    g_assert_true(
        attach(&b, FALSE)); /* the next unit begins with the image's clock again, and finds the same */
    g_assert_cmpuint(b.link_hz, ==, 1000000);
    finish(&b);
    bench_close(&b);
}

/* ---- protection ---- */

typedef struct {
    const char *name, *chip, *device;
    gboolean supply;
} Door;

static const Door doors[] = {
    {"nrf51", "nrf51822", "nRF51822", FALSE},         {"nrf51-supply", "nrf51822", "nRF51822", TRUE},
    {"nrf52", "nrf52832", "nRF52832", FALSE},         {"nrf52-supply", "nrf52832", "nRF52832", TRUE},
    {"stm32f1", "stm32f103cb", "STM32F103CB", FALSE}, {"stm32f1-supply", "stm32f103cb", "STM32F103CB", TRUE},
    {"stm32g0", "stm32g071rb", "STM32G071CB", FALSE}, {"stm32g0-supply", "stm32g071rb", "STM32G071CB", TRUE},
};

static void locks_and_opens(gconstpointer data)
{
    const Door *door = data;
    guint8 now[DATA_BYTES];
    Bench b;
    bench_open(&b, door->chip, door->device, door->supply);
    g_assert_true(attach(&b, FALSE));
    g_assert_true(flash(&b, TRUE));
    g_assert_true(protect(&b, 1));
    finish(&b);
    /* From outside: the firmware is there, and nobody gets at it. */
    g_assert_true(imp_board_peek(b.board, b.flash_at, now, sizeof now));
    g_assert_cmpmem(now, sizeof now, g_bytes_get_data(b.segment.bytes, NULL), DATA_BYTES);
    g_assert_false(attach(&b, FALSE));
    assert_code(&b, IMP_E_LOCKED);
    finish(&b);
    g_assert_true(imp_board_peek(b.board, b.flash_at, now, sizeof now));
    g_assert_cmpmem(now, sizeof now, g_bytes_get_data(b.segment.bytes, NULL), DATA_BYTES);
    /* Where it is allowed, by erasing everything. */
    g_assert_true(attach(&b, TRUE));
    g_assert_cmpuint(b.n_uid, ==, b.device->uid_bytes);
    g_assert_true(imp_board_peek(b.board, b.flash_at, now, sizeof now));
    for (gsize i = 0; i < sizeof now; i++)
        g_assert_cmphex(now[i], ==, 0xFF);
    g_assert_true(flash(&b, TRUE));
    finish(&b);
    g_assert_true(attach(&b, FALSE)); /* and it stays open */
    finish(&b);
    bench_close(&b);
}

/* Words that are programmed well, and protect nothing. */
static void false_lock_is_found(void)
{
    Bench b;
    bench_open(&b, "nrf51822", "nRF51822", FALSE);
    memset(b.device->locks[0].bytes, 0xFF, sizeof b.device->locks[0].bytes);
    g_assert_true(attach(&b, FALSE));
    g_assert_true(flash(&b, TRUE));
    g_assert_false(protect(&b, 1));
    assert_code(&b, IMP_E_NOT_PROTECTED);
    const ImpErrorDetail *detail = imp_error_detail(b.error);
    g_assert_true(detail->has_address);
    g_assert_cmpmem(detail->found, detail->found_bytes, g_bytes_get_data(b.segment.bytes, NULL),
                    IMP_ERROR_BYTES_MAX);
    finish(&b);
    bench_close(&b);
}

/* Everything erased, and still locked: an unlock that does not do it. */
static void failed_unlock_is_said(void)
{
    Bench b;
    bench_open(&b, "nrf51822", "nRF51822", FALSE);
    g_assert_true(attach(&b, FALSE));
    g_assert_true(flash(&b, TRUE));
    g_assert_true(protect(&b, 1));
    finish(&b);
    b.device->n_unlock_writes = 0;
    g_assert_false(attach(&b, TRUE));
    assert_code(&b, IMP_E_NOT_UNLOCKED);
    finish(&b);
    bench_close(&b);
}

/* Another chip is never erased, whatever it says about its lock. */
static void wrong_chip_is_left_alone(void)
{
    Bench b;
    guint8 before[DATA_BYTES], after[DATA_BYTES];
    bench_open(&b, "nrf52832", "nRF52832", FALSE);
    g_assert_true(attach(&b, FALSE));
    g_assert_true(flash(&b, TRUE));
    g_assert_true(protect(&b, 1));
    finish(&b);
    g_assert_true(imp_board_peek(b.board, b.flash_at, before, sizeof before));
    b.device->dpidr ^= 0x10000000;
    g_assert_false(attach(&b, TRUE));
    assert_code(&b, IMP_E_WRONG_CHIP);
    finish(&b);
    b.device->dpidr ^= 0x10000000;
    b.device->ctrl_ap_index = 2;
    g_assert_false(attach(&b, TRUE));
    assert_code(&b, IMP_E_WRONG_CHIP);
    finish(&b);
    g_assert_true(imp_board_peek(b.board, b.flash_at, after, sizeof after));
    g_assert_cmpmem(before, sizeof before, after, sizeof after);
    bench_close(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/launch/door/power-comes-first", power_comes_first);
    g_test_add_func("/launch/door/voltage-is-judged", voltage_is_judged);
    g_test_add_func("/launch/door/delays-are-kept", delays_are_kept);
    g_test_add_func("/launch/door/missing-supply-is-said", missing_supply_is_said);
    g_test_add_func("/launch/door/attaches-by-power-cycle", attaches_by_power_cycle);
    g_test_add_func("/launch/door/clock-steps-down-in-attach", clock_steps_down_in_attach);
    g_test_add_func("/launch/door/clock-steps-down-in-work", clock_steps_down_in_work);
    for (gsize i = 0; i < G_N_ELEMENTS(doors); i++) {
        g_autofree char *path = g_strdup_printf("/launch/door/locks-and-opens/%s", doors[i].name);
        g_test_add_data_func(path, &doors[i], locks_and_opens);
    }
    g_test_add_func("/launch/door/false-lock-is-found", false_lock_is_found);
    g_test_add_func("/launch/door/failed-unlock-is-said", failed_unlock_is_said);
    g_test_add_func("/launch/door/wrong-chip-is-left-alone", wrong_chip_is_left_alone);
    return g_test_run();
}
