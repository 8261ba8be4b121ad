/* The battery for ImpPower (target/power.h): what every kind of supply must do. SCPI against the virtual board's supply over
 * TCP, a GPIO line on a kernel of ours, a program, and none. Behind it, what each kind does with a bad partner. */
#include "base/error.h"
#include "board/server.h"
#include "board/supply.h"
#include "target/power-drivers.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <linux/gpio.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct Fixture Fixture;

typedef struct {
    const char *name;
    gboolean switches, sets_volts, measures;
    void (*open)(Fixture *f);
    void (*close)(Fixture *f);
    gboolean (*is_on)(Fixture *f); /* looked at from outside */
} Kind;

struct Fixture {
    const Kind *kind;
    ImpPower *power;
    /* scpi */
    ImpBoard *board;
    ImpServer *server;
    pthread_t thread;
    int stop_fd;
    /* gpio */
    ImpGpioOs os;
    gboolean level, taken;
    int fail_ioctl; /* errno of the next ioctl */
    guint opened, closed;
    /* command */
    char *folder;
};

/* ---- scpi ---- */

static void *serve(void *data)
{
    char why[IMP_SERVER_WHY_MAX];
    g_assert_cmpint(imp_server_run(((Fixture *)data)->server, why), ==, 0);
    return NULL;
}

static void scpi_begin(Fixture *f, const char *suffix)
{
    char why[IMP_SERVER_WHY_MAX];
    struct imp_server_addrs addrs;
    g_autoptr(GError) error = NULL;
    f->stop_fd = eventfd(0, EFD_CLOEXEC);
    f->board = imp_board_new("nrf51822", 1, NULL, NULL);
    g_assert_nonnull(f->board);
    const struct imp_server_options options = {
        .dap_addr = "127.0.0.1:0", .power_addr = "127.0.0.1:0", .stop_fd = f->stop_fd};
    f->server = imp_server_open(f->board, &options, why);
    g_assert_nonnull(f->server);
    imp_server_get_addrs(f->server, &addrs);
    g_assert_false(imp_board_is_powered(f->board));
    g_assert_cmpint(pthread_create(&f->thread, NULL, serve, f), ==, 0);
    g_autofree char *spec = g_strconcat("scpi:", addrs.power, suffix, NULL);
    f->power = imp_power_open(spec, imp_clock_system(), &error);
    g_assert_no_error(error);
}

static void scpi_open(Fixture *f)
{
    scpi_begin(f, "/1");
}

static void scpi_stop(Fixture *f)
{
    g_assert_cmpint(eventfd_write(f->stop_fd, 1), ==, 0);
    pthread_join(f->thread, NULL);
    imp_server_close(f->server);
    f->server = NULL;
}

static void scpi_close(Fixture *f)
{
    if (f->server != NULL)
        scpi_stop(f);
    imp_board_free(f->board);
    close(f->stop_fd);
}

static gboolean scpi_is_on(Fixture *f)
{
    return imp_board_is_powered(f->board); /* between two requests: the server only waits */
}

/* ---- gpio ---- */

#define CHIP_FD 1001
#define LINE_FD 1002

static int fake_open(void *self, const char *path)
{
    Fixture *f = self;
    if (strcmp(path, "/dev/gpiochip7") == 0) {
        f->opened++;
        return CHIP_FD;
    }
    errno = ENOENT;
    return -1;
}

static int fake_ioctl(void *self, int fd, unsigned long request, void *argument)
{
    Fixture *f = self;
    if (f->fail_ioctl != 0) {
        errno = f->fail_ioctl;
        f->fail_ioctl = 0;
        return -1;
    }
    if (request == GPIO_V2_GET_LINE_IOCTL) {
        struct gpio_v2_line_request *line = argument;
        g_assert_cmpint(fd, ==, CHIP_FD);
        g_assert_cmpuint(line->num_lines, ==, 1);
        g_assert_cmpuint(line->offsets[0], ==, 17);
        g_assert_cmpuint(line->config.flags, ==,
                         GPIO_V2_LINE_FLAG_OUTPUT | (guint64)GPIO_V2_LINE_FLAG_ACTIVE_LOW);
        g_assert_cmpuint(line->config.num_attrs, ==, 1);
        g_assert_cmpuint(line->config.attrs[0].attr.id, ==, GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES);
        g_assert_false(f->taken);
        f->taken = TRUE;
        f->level = (line->config.attrs[0].attr.values & 1) == 0; /* active low */
        f->opened++;
        line->fd = LINE_FD;
        return 0;
    }
    const struct gpio_v2_line_values *values = argument;
    g_assert_cmpuint(request, ==, GPIO_V2_LINE_SET_VALUES_IOCTL);
    g_assert_cmpint(fd, ==, LINE_FD);
    g_assert_cmpuint(values->mask, ==, 1);
    f->level = (values->bits & 1) == 0;
    return 0;
}

static void fake_close(void *self, int fd)
{
    Fixture *f = self;
    f->closed++;
    if (fd == LINE_FD)
        f->taken = FALSE;
}

static void gpio_open(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    f->os = (ImpGpioOs){fake_open, fake_ioctl, fake_close, f};
    f->level = TRUE;
    f->power = imp_power_gpio_open("gpiochip7/17:low", &f->os, &error);
    g_assert_no_error(error);
}

static void gpio_close(Fixture *f)
{
    g_assert_cmpuint(f->opened, ==, f->closed);
}

static gboolean gpio_is_on(Fixture *f)
{
    return !f->level;
}

/* ---- command ---- */

/* What the program does is written by each test. */
static void command_write(Fixture *f, const char *text)
{
    g_autofree char *path = g_build_filename(f->folder, "supply", NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(g_chmod(path, 0755), ==, 0);
}

static char *command_file(Fixture *f, const char *name)
{
    g_autofree char *path = g_build_filename(f->folder, name, NULL);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

static void command_open(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    f->folder = g_dir_make_tmp("imprint-power-XXXXXX", NULL);
    command_write(f, "#!/bin/sh\n"
                     "cd \"$(dirname \"$0\")\" || exit 9\n"
                     "case \"$1\" in\n"
                     "on) echo \"$2\" >volts; echo on >state ;;\n"
                     "off) echo off >state; echo 0 >volts ;;\n"
                     "measure) echo \"$(cat volts)e-3\" ;;\n"
                     "*) exit 3 ;;\n"
                     "esac\n");
    g_autofree char *spec = g_strdup_printf("command:%s/supply", f->folder);
    f->power = imp_power_open(spec, imp_clock_system(), &error);
    g_assert_no_error(error);
}

static void command_close(Fixture *f)
{
    static const char *const names[] = {"supply", "state", "volts", "pid"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(f->folder, names[i], NULL);
        (void)g_unlink(path);
    }
    g_assert_cmpint(g_rmdir(f->folder), ==, 0);
    g_free(f->folder);
}

static gboolean command_is_on(Fixture *f)
{
    g_autofree char *state = command_file(f, "state");
    return strcmp(state, "on\n") == 0;
}

/* ---- none ---- */

static void none_open(Fixture *f)
{
    f->power = imp_power_open("none", imp_clock_system(), NULL);
    g_assert_nonnull(f->power);
}

static void none_close(Fixture *f)
{
}

static gboolean none_is_on(Fixture *f)
{
    return TRUE;
}

static const Kind kinds[] = {
    {"scpi", TRUE, TRUE, TRUE, scpi_open, scpi_close, scpi_is_on},
    {"gpio", TRUE, FALSE, FALSE, gpio_open, gpio_close, gpio_is_on},
    {"command", TRUE, TRUE, TRUE, command_open, command_close, command_is_on},
    {"none", FALSE, FALSE, FALSE, none_open, none_close, none_is_on},
};

static void begin(Fixture *f, const Kind *kind)
{
    *f = (Fixture){.kind = kind};
    kind->open(f);
}

static void end(Fixture *f)
{
    g_clear_pointer(&f->power, imp_power_close);
    f->kind->close(f);
}

static void assert_error(GError **error, ImpErrorCode code)
{
    g_assert_error(*error, IMP_ERROR, (gint)code);
    g_assert_nonnull(imp_error_entry((*error)->code));
    g_clear_error(error);
}

/* ---- the battery ---- */

static void says_what_it_is(gconstpointer data)
{
    Fixture f;
    begin(&f, data);
    g_assert_true(g_str_has_prefix(f.power->name, f.kind->name));
    g_assert_cmpint(f.power->switches, ==, f.kind->switches);
    end(&f); /* never switched: closing is all */
}

static void switches(gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    Fixture f;
    begin(&f, data);
    for (guint i = 0; i < 3; i++) {
        g_assert_true(imp_power_on(f.power, i == 1 ? 0 : 3300, &error));
        g_assert_no_error(error);
        g_assert_true(f.kind->is_on(&f));
        g_assert_true(imp_power_on(f.power, 3300, &error)); /* again: it stays on */
        g_assert_true(f.kind->is_on(&f));
        if (!f.kind->switches) {
            g_assert_false(imp_power_off(f.power, &error));
            assert_error(&error, IMP_E_POWER_UNSUPPORTED);
            continue;
        }
        g_assert_true(imp_power_off(f.power, &error));
        g_assert_false(f.kind->is_on(&f));
        g_assert_true(imp_power_off(f.power, &error)); /* off is off */
        g_assert_no_error(error);
    }
    end(&f);
}

static void off_comes_first(gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    Fixture f;
    begin(&f, data);
    if (f.kind->switches) {
        g_assert_true(imp_power_off(f.power, &error));
        g_assert_no_error(error);
        g_assert_false(f.kind->is_on(&f));
    }
    end(&f);
}

static void measures(gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    guint32 found = 77;
    Fixture f;
    begin(&f, data);
    g_assert_true(imp_power_on(f.power, 2875, &error));
    g_assert_no_error(error);
    if (!f.kind->measures) {
        g_assert_false(imp_power_measure(f.power, &found, &error));
        assert_error(&error, IMP_E_POWER_UNSUPPORTED);
        g_assert_cmpuint(found, ==, 77); /* untouched */
        end(&f);
        return;
    }
    g_assert_true(imp_power_measure(f.power, &found, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(found, ==, 2875);
    g_assert_true(imp_power_off(f.power, &error));
    g_assert_true(imp_power_measure(f.power, &found, &error));
    g_assert_cmpuint(found, ==, 0);
    end(&f);
}

static void keeps_limits(gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    guint32 found = 0;
    gint cancel = 0;
    ImpPowerRange range = {2800, 2900, 50, imp_clock_system(), &cancel};
    Fixture f;
    begin(&f, data);
    g_assert_true(imp_power_on(f.power, 2900, &error));
    if (f.kind->measures) {
        g_assert_true(imp_power_expect(f.power, &range, &found, &error)); /* the limit itself is good */
        g_assert_no_error(error);
        g_assert_cmpuint(found, ==, 2900);
        range.max_mv = 2899;
        g_assert_false(imp_power_expect(f.power, &range, &found, &error));
        g_assert_error(error, IMP_ERROR, IMP_E_POWER_VOLTAGE);
        const ImpErrorDetail *detail = imp_error_detail(error);
        g_assert_cmpmem(detail->expected, detail->expected_bytes, "\x53\x0B\0\0", 4); /* 2899 */
        g_assert_cmpmem(detail->found, detail->found_bytes, "\x54\x0B\0\0", 4); /* 2900 */
        g_assert_false(detail->has_address);
        g_clear_error(&error);
        range.min_mv = 2901, range.max_mv = 3000;
        g_assert_false(imp_power_expect(f.power, &range, &found, &error));
        detail = imp_error_detail(error);
        g_assert_cmpmem(detail->expected, detail->expected_bytes, "\x55\x0B\0\0", 4);
        g_clear_error(&error);
        range.limit_ms = 3600000; /* nobody waits for it */
        cancel = 1;
        g_assert_false(imp_power_expect(f.power, &range, &found, &error));
        assert_error(&error, IMP_E_CANCELLED);
    } else {
        g_assert_false(imp_power_expect(f.power, &range, &found, &error));
        assert_error(&error, IMP_E_POWER_UNSUPPORTED);
    }
    end(&f);
}

/* ---- specifications and numbers ---- */

static void specs_are_refused(void)
{
    static const char *const bad[] = {"",
                                      "usb:",
                                      "scpi:",
                                      "scpi:/1",
                                      "scpi:host:5025/0",
                                      "scpi:host:5025/65",
                                      "scpi:host:5025/x",
                                      "gpio:gpiochip0",
                                      "gpio:/17",
                                      "gpio:gpiochip0/1024",
                                      "gpio:gpiochip0/-1",
                                      "gpio:gpiochip0/1:high",
                                      "command:",
                                      "command:relay"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_test_message("%s", bad[i]);
        g_assert_null(imp_power_open(bad[i], imp_clock_system(), &error));
        g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    }
    g_autoptr(GError) error = NULL;
    g_assert_null(imp_power_open("command:/nowhere/relay", imp_clock_system(), &error));
    assert_error(&error, IMP_E_POWER_NOT_FOUND);
    imp_power_close(NULL);
}

static void volts_are_read(void)
{
    static const struct {
        const char *text;
        gint mv; /* -1: refused */
    } rows[] = {{"3.3", 3300},
                {"+3.29871E+00", 3299},
                {" 3.3\r\n", 3300},
                {"0", 0},
                {"-0.012", 0},
                {"-0.2", -1},
                {"60", 60000},
                {"60.1", -1},
                {"", -1},
                {" ", -1},
                {"3,3", -1},
                {"3.3 V", -1},
                {"nan", -1},
                {"inf", -1},
                {"0x3", -1},
                {"+9.91E+37", -1},
                {"1e999", -1},
                {"--3", -1},
                {"3.3;1", -1},
                {"e", -1},
                {"1234567890123456789012345678901234", -1},
                {".5", 500},
                {"3.2996e0", 3300}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint32 mv = 99;
        g_test_message("%s", rows[i].text);
        gboolean good = imp_power_parse_volts(rows[i].text, strlen(rows[i].text), &mv);
        g_assert_cmpint(good, ==, rows[i].mv >= 0);
        g_assert_cmpuint(mv, ==, good ? (guint32)rows[i].mv : 99);
    }
}

static void scpi_errors_are_read(void)
{
    const char *text;
    gsize n;
    gint number;
    g_assert_true(imp_scpi_parse_error("+0,\"No error\"", &number, &text, &n));
    g_assert_cmpint(number, ==, 0);
    g_assert_true(imp_scpi_parse_error("-222,\"Data out of range\"", &number, &text, &n));
    g_assert_cmpint(number, ==, -222);
    g_assert_cmpmem(text, n, "Data out of range", 17);
    g_assert_true(imp_scpi_parse_error("0", &number, &text, &n));
    g_assert_cmpuint(n, ==, 0);
    static const char *const bad[] = {"", "No error", "-", "99999,\"x\"", "1 2", " 0", "0x1"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(imp_scpi_parse_error(bad[i], &number, &text, &n));
}

/* ---- a SCPI partner of ours ---- */

typedef struct {
    const char *const *answers; /* NULL ends: then nothing more comes */
    GString *sent;
    guint dropped;
} Script;

static gboolean script_send(void *self, const char *line, GError **error)
{
    g_string_append(((Script *)self)->sent, line);
    return TRUE;
}

static gboolean script_receive(void *self, char answer[IMP_SCPI_ANSWER_MAX + 1], GError **error)
{
    Script *s = self;
    if (*s->answers == NULL) {
        imp_error_set(error, IMP_E_POWER_TIMEOUT, "script: nothing more");
        return FALSE;
    }
    g_strlcpy(answer, *s->answers++, IMP_SCPI_ANSWER_MAX + 1);
    return TRUE;
}

static void script_drop(void *self)
{
    ((Script *)self)->dropped++;
}

static void script_free(void *self)
{
}

static const ImpScpiLinkOps script_ops = {script_send, script_receive, script_drop, script_free};

static ImpPower *script_open(Script *s, guint channel, const char *const *answers)
{
    *s = (Script){.answers = answers, .sent = g_string_new(NULL)};
    return imp_power_scpi_new("scpi:script", channel, &script_ops, s);
}

static void scpi_says_lines(void)
{
    static const char *const answers[] = {"+0,\"No error\"", "+3.30012E+00", "+0,\"No error\"",
                                          "+0,\"No error\"", NULL};
    g_autoptr(GError) error = NULL;
    guint32 mv = 0;
    Script s;
    g_autoptr(ImpPower) power = script_open(&s, 2, answers);
    g_assert_true(imp_power_on(power, 3305, &error));
    g_assert_true(imp_power_measure(power, &mv, &error));
    g_assert_cmpuint(mv, ==, 3300);
    g_assert_true(imp_power_off(power, &error));
    g_assert_true(imp_power_on(power, 0, &error));
    g_assert_cmpstr(s.sent->str, ==,
                    "*CLS\nINST:NSEL 2;:VOLT 3.305;:OUTP ON\nSYST:ERR?\nINST:NSEL 2;:MEAS:VOLT?\n"
                    "INST:NSEL 2;:OUTP OFF\nSYST:ERR?\nINST:NSEL 2;:OUTP ON\nSYST:ERR?\n");
    g_string_free(s.sent, TRUE);
}

static void scpi_tells_refusals(void)
{
    static const char *const answers[] = {"-222,\"Data out of range\"", "-100,\"Command error\"",
                                          "+0,\"No error\"", "+0,\"No error\"", NULL};
    g_autoptr(GError) error = NULL;
    Script s;
    g_autoptr(ImpPower) power = script_open(&s, 0, answers);
    g_assert_false(imp_power_on(power, 3300, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_POWER_REFUSED);
    g_assert_nonnull(strstr(error->message, "-222 \"Data out of range\" to VOLT 3.300;:OUTP ON"));
    g_clear_error(&error);
    g_assert_true(imp_power_off(power, &error)); /* the queue is empty again */
    g_string_free(s.sent, TRUE);
}

static void scpi_survives_nonsense(void)
{
    static const char *const endless[] = {"1,x", "1,x", "1,x", "1,x", "1,x", "1,x", "1,x", "1,x", "1,x",
                                          "1,x", "1,x", "1,x", "1,x", "1,x", "1,x", "1,x", "1,x", "1,x",
                                          "1,x", "1,x", "1,x", "1,x", "1,x", "1,x", "1,x", "1,x", "1,x",
                                          "1,x", "1,x", "1,x", "1,x", "1,x", "1,x", NULL};
    static const char *const garbage[] = {"HTTP/1.1 400 Bad Request", "volts", "\x01\x02", NULL};
    g_autoptr(GError) error = NULL;
    guint32 mv = 5;
    Script s;
    ImpPower *power = script_open(&s, 0, endless);
    g_assert_false(imp_power_on(power, 3300, &error));
    assert_error(&error, IMP_E_POWER_PROTOCOL);
    imp_power_close(power);
    g_string_free(s.sent, TRUE);
    power = script_open(&s, 0, garbage);
    g_assert_false(imp_power_off(power, &error));
    assert_error(&error, IMP_E_POWER_PROTOCOL);
    g_assert_cmpuint(s.dropped, ==, 1);
    g_assert_false(imp_power_measure(power, &mv, &error));
    assert_error(&error, IMP_E_POWER_PROTOCOL);
    g_assert_cmpuint(s.dropped, ==, 2);
    g_assert_cmpuint(mv, ==, 5);
    g_assert_false(imp_power_measure(power, &mv, &error));
    assert_error(&error, IMP_E_POWER_PROTOCOL);
    g_assert_false(imp_power_measure(power, &mv, &error));
    assert_error(&error, IMP_E_POWER_TIMEOUT);
    imp_power_close(power);
    g_string_free(s.sent, TRUE);
}

/* The virtual supply ends and comes back at another port; a channel that it does not have. */
static void scpi_over_tcp(void)
{
    static const Kind kind = {"scpi", TRUE, TRUE, TRUE, scpi_open, scpi_close, scpi_is_on};
    g_autoptr(GError) error = NULL;
    guint32 mv = 0;
    Fixture f = {.kind = &kind};
    scpi_begin(&f, "/2");
    g_assert_false(imp_power_on(f.power, 3300, &error));
    assert_error(&error, IMP_E_POWER_REFUSED);
    g_clear_pointer(&f.power, imp_power_close);
    scpi_close(&f);

    f = (Fixture){.kind = &kind};
    scpi_begin(&f, "");
    g_assert_false(imp_power_on(f.power, 7000, &error)); /* it goes up to 6 V */
    assert_error(&error, IMP_E_POWER_REFUSED);
    g_assert_true(imp_power_on(f.power, 1700, &error)); /* too little for the chip */
    g_assert_false(imp_board_is_powered(f.board));
    g_assert_true(imp_power_on(f.power, 1800, &error));
    g_assert_true(imp_board_is_powered(f.board));
    scpi_stop(&f);
    g_assert_false(imp_power_measure(f.power, &mv, &error));
    assert_error(&error, IMP_E_POWER_LOST);
    g_assert_false(imp_power_off(f.power, &error)); /* it tries to connect anew */
    assert_error(&error, IMP_E_POWER_NOT_FOUND);
    end(&f);
}

static void *silent_partner(void *data)
{
    GSocketListener *listener = data;
    g_autoptr(GSocketConnection) one = g_socket_listener_accept(listener, NULL, NULL, NULL);
    char buffer[256];
    GInputStream *in = g_io_stream_get_input_stream(G_IO_STREAM(one));
    while (g_input_stream_read(in, buffer, sizeof buffer, NULL, NULL) > 0)
        ;
    return NULL;
}

static void *flooding_partner(void *data)
{
    GSocketListener *listener = data;
    g_autoptr(GSocketConnection) one = g_socket_listener_accept(listener, NULL, NULL, NULL);
    GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(one));
    char buffer[1024];
    memset(buffer, '7', sizeof buffer);
    while (g_output_stream_write_all(out, buffer, sizeof buffer, NULL, NULL, NULL))
        ;
    return NULL;
}

static void with_partner(void *(*partner)(void *), ImpErrorCode expected)
{
    g_autoptr(GSocketListener) listener = g_socket_listener_new();
    g_autoptr(GError) error = NULL;
    pthread_t thread;
    guint32 mv = 0;
    guint16 port = g_socket_listener_add_any_inet_port(listener, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(pthread_create(&thread, NULL, partner, listener), ==, 0);
    g_autofree char *spec = g_strdup_printf("scpi:127.0.0.1:%u", port);
    ImpPower *power = imp_power_open(spec, imp_clock_system(), &error);
    g_assert_nonnull(power);
    g_assert_false(imp_power_measure(power, &mv, &error));
    assert_error(&error, expected);
    imp_power_close(power);
    pthread_join(thread, NULL);
}

static void scpi_partner_is_silent(void)
{
    with_partner(silent_partner, IMP_E_POWER_TIMEOUT);
}

static void scpi_partner_floods(void)
{
    with_partner(flooding_partner, IMP_E_POWER_PROTOCOL);
}

/* ---- GPIO errors ---- */

static void gpio_tells_errors(void)
{
    g_autoptr(GError) error = NULL;
    Fixture f;
    begin(&f, &kinds[1]);
    f.fail_ioctl = EBUSY;
    g_assert_false(imp_power_on(f.power, 0, &error));
    g_assert_nonnull(strstr(error->message, "/dev/gpiochip7, line 17"));
    assert_error(&error, IMP_E_POWER_NOT_FOUND);
    g_assert_true(imp_power_on(f.power, 0, &error));
    f.fail_ioctl = ENODEV; /* unplugged */
    g_assert_false(imp_power_off(f.power, &error));
    assert_error(&error, IMP_E_POWER_LOST);
    g_assert_true(imp_power_off(f.power, &error)); /* taken anew */
    g_assert_false(gpio_is_on(&f));
    end(&f);
    ImpPower *power = imp_power_gpio_open("gpiochip8/1", &f.os, &error);
    g_assert_false(imp_power_on(power, 0, &error));
    assert_error(&error, IMP_E_POWER_NOT_FOUND);
    imp_power_close(power);
    /* The real kernel, with something that is no GPIO chip. */
    power = imp_power_open("gpio:/dev/null/3", imp_clock_system(), &error);
    g_assert_no_error(error);
    g_assert_false(imp_power_on(power, 0, &error));
    g_assert_nonnull(strstr(error->message, "not a GPIO chip"));
    assert_error(&error, IMP_E_POWER_NOT_FOUND);
    imp_power_close(power);
}

/* ---- programs that go wrong ---- */

static void command_tells_errors(void)
{
    g_autoptr(GError) error = NULL;
    guint32 mv = 5;
    Fixture f;
    begin(&f, &kinds[2]);
    command_write(&f, "#!/bin/sh\necho 'relay 3 does not answer' >&2\necho more >&2\nexit 7\n");
    g_assert_false(imp_power_on(f.power, 3300, &error));
    g_assert_nonnull(strstr(error->message, "status 7: relay 3 does not answer"));
    assert_error(&error, IMP_E_POWER_REFUSED);
    command_write(&f, "#!/bin/sh\nkill -TERM $$\n");
    g_assert_false(imp_power_off(f.power, &error));
    assert_error(&error, IMP_E_POWER_REFUSED);
    command_write(&f, "#!/bin/sh\nexit 3\n");
    g_assert_false(imp_power_measure(f.power, &mv, &error));
    assert_error(&error, IMP_E_POWER_UNSUPPORTED);
    command_write(&f, "#!/bin/sh\necho about 3\n");
    g_assert_false(imp_power_measure(f.power, &mv, &error));
    assert_error(&error, IMP_E_POWER_PROTOCOL);
    g_assert_cmpuint(mv, ==, 5);
    command_write(&f, "not a program\n");
    g_assert_false(imp_power_on(f.power, 3300, &error));
    assert_error(&error, IMP_E_POWER_NOT_FOUND);
    end(&f);
}

/* More output than is kept, a child that keeps the pipes open, and arguments that a shell would understand. */
static void command_is_kept_apart(void)
{
    g_autoptr(GError) error = NULL;
    guint32 mv = 0;
    Fixture f;
    begin(&f, &kinds[2]);
    command_write(&f, "#!/bin/sh\necho 3.25\nhead -c 1000000 /dev/zero\n");
    g_assert_true(imp_power_measure(f.power, &mv, &error));
    g_assert_cmpuint(mv, ==, 3250);
    command_write(
        &f, "#!/bin/sh\n(trap '' TERM; exec sleep 30) &\necho $! >\"$(dirname \"$0\")/pid\"\necho 3.0\n");
    gint64 began = g_get_monotonic_time();
    g_assert_true(imp_power_measure(f.power, &mv, &error));
    g_assert_cmpuint(mv, ==, 3000);
    g_assert_cmpint(g_get_monotonic_time() - began, <, 20 * G_USEC_PER_SEC);
    g_autofree char *pid = command_file(&f, "pid");
    g_assert_cmpint(kill((pid_t)g_ascii_strtoll(pid, NULL, 10), SIGKILL), ==, 0);
    end(&f);
}

/* A clock that hurries: the time is up at the second look. */
typedef struct {
    ImpClock clock;
    gint64 now_us;
} FastClock;

static gint64 fast_boot_us(void *self)
{
    FastClock *c = self;
    c->now_us += 11 * G_USEC_PER_SEC;
    return c->now_us;
}

static void command_is_killed(void)
{
    FastClock fast = {.clock = {fast_boot_us, NULL, NULL, NULL, &fast}};
    g_autoptr(GError) error = NULL;
    Fixture f;
    begin(&f, &kinds[2]);
    command_write(&f, "#!/bin/sh\nsleep 3600 & sleep 3600\n");
    g_clear_pointer(&f.power, imp_power_close);
    g_autofree char *path = g_build_filename(f.folder, "supply", NULL);
    f.power = imp_power_command_open(path, &fast.clock, &error);
    g_assert_no_error(error);
    g_assert_false(imp_power_on(f.power, 3300, &error));
    assert_error(&error, IMP_E_POWER_TIMEOUT);
    end(&f);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        GTestDataFunc run;
    } battery[] = {{"says-what-it-is", says_what_it_is},
                   {"switches", switches},
                   {"off-comes-first", off_comes_first},
                   {"measures", measures},
                   {"keeps-limits", keeps_limits}};
    g_test_init(&argc, &argv, NULL);
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
        for (gsize i = 0; i < G_N_ELEMENTS(battery); i++) {
            g_autofree char *path = g_strdup_printf("/power/%s/%s", kinds[k].name, battery[i].name);
            g_test_add_data_func(path, &kinds[k], battery[i].run);
        }
    }
    g_test_add_func("/power/specs-are-refused", specs_are_refused);
    g_test_add_func("/power/volts-are-read", volts_are_read);
    g_test_add_func("/power/scpi/errors-are-read", scpi_errors_are_read);
    g_test_add_func("/power/scpi/says-lines", scpi_says_lines);
    g_test_add_func("/power/scpi/tells-refusals", scpi_tells_refusals);
    g_test_add_func("/power/scpi/survives-nonsense", scpi_survives_nonsense);
    g_test_add_func("/power/scpi/over-tcp", scpi_over_tcp);
    g_test_add_func("/power/scpi/partner-is-silent", scpi_partner_is_silent);
    g_test_add_func("/power/scpi/partner-floods", scpi_partner_floods);
    g_test_add_func("/power/gpio/tells-errors", gpio_tells_errors);
    g_test_add_func("/power/command/tells-errors", command_tells_errors);
    g_test_add_func("/power/command/is-kept-apart", command_is_kept_apart);
    g_test_add_func("/power/command/is-killed", command_is_killed);
    return g_test_run();
}
