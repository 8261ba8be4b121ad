/* The unit's serial line: what a specification may be, and text that comes in pieces, through a pseudo terminal. */
#include "target/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>

static const struct {
    const char *spec;
    int code;
} bad_rows[] = {
    {"", IMP_E_ARGUMENT},
    {"/dev/ttyS0", IMP_E_ARGUMENT},
    {"serial:ttyS0", IMP_E_ARGUMENT},
    {"serial:/dev/tty:fast", IMP_E_ARGUMENT},
    {"serial:/dev/tty:12345", IMP_E_ARGUMENT},
    {"serial:/dev/no-such-line", IMP_E_NOT_FOUND},
    {"serial:/dev/null", IMP_E_ARGUMENT}, /* no serial line */
    {"tcp:127.0.0.1:1", IMP_E_PROBE_NOT_FOUND},
    {"tcp:127.0.0.1:70000", IMP_E_ARGUMENT},
};

static void test_specifications(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad_rows); i++) {
        g_autoptr(GError) error = NULL;
        ImpSerial *serial = imp_serial_open(bad_rows[i].spec, imp_clock_system(), &error);
        g_assert_null(serial);
        if (imp_error_code(error) != bad_rows[i].code)
            g_error("'%s': E%d in place of E%d: %s", bad_rows[i].spec, imp_error_code(error),
                    bad_rows[i].code, error->message);
    }
}

/* Both ends of a pseudo terminal. */
static ImpSerial *open_pair(int *out_unit)
{
    g_autoptr(GError) error = NULL;
    *out_unit = posix_openpt(O_RDWR | O_NOCTTY);
    g_assert_cmpint(*out_unit, >=, 0);
    g_assert_true(grantpt(*out_unit) == 0 && unlockpt(*out_unit) == 0);
    g_autofree char *spec = g_strdup_printf("serial:%s:9600", ptsname(*out_unit));
    ImpSerial *serial = imp_serial_open(spec, imp_clock_system(), &error);
    g_assert_no_error(error);
    return serial;
}

static void say(int unit, const char *text, gsize n_bytes)
{
    g_assert_cmpint(write(unit, text, n_bytes), ==, (gssize)n_bytes);
}

/* A line on which nobody says anything holds nobody up: not when it is emptied, and not longer than is waited. */
static void test_silent_tcp(void)
{
    g_autoptr(GError) error = NULL;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(listener, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(listener, 1), ==, 0);
    g_assert_cmpint(getsockname(listener, (struct sockaddr *)&address, &size), ==, 0);
    g_autofree char *spec = g_strdup_printf("tcp:127.0.0.1:%u", ntohs(address.sin_port));
    g_autofree char *text = NULL, *second = NULL;
    g_autoptr(ImpSerial) serial = imp_serial_open(spec, imp_clock_system(), &error);
    g_assert_no_error(error);
    int unit = accept(listener, NULL, NULL);
    g_assert_cmpint(unit, >=, 0);
    imp_serial_forget(serial);
    g_assert_false(imp_serial_listen(serial, "up", 20, NULL, &text, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_TEXT_MISSING);
    g_clear_error(&error);
    say(unit, "I am up", 7);
    g_assert_true(imp_serial_listen(serial, "am up", 60000, NULL, &second, &error));
    g_assert_cmpstr(second, ==, "I am up");
    close(unit);
    close(listener);
}

static void test_text(void)
{
    int unit;
    g_autoptr(ImpSerial) serial = open_pair(&unit);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL, *second = NULL, *third = NULL;
    say(unit, "ready of an earlier run", 23);
    imp_serial_forget(serial);
    g_assert_false(imp_serial_listen(serial, "ready", 20, NULL, &text, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_TEXT_MISSING);
    g_assert_cmpstr(text, ==, "");
    g_clear_error(&error);
    say(unit, "\xff\0re", 4);
    g_assert_false(imp_serial_listen(serial, "ready", 20, NULL, &second, &error));
    g_clear_error(&error);
    say(unit, "ady\r\nmore", 9);
    g_assert_true(imp_serial_listen(serial, "ready", 1000, NULL, &third, &error));
    g_assert_no_error(error);
    g_assert_nonnull(strstr(third, "?ready\r\n"));
    g_assert_true(g_utf8_validate(third, -1, NULL));
    close(unit);
}

static void test_endless(void)
{
    int unit;
    g_autoptr(ImpSerial) serial = open_pair(&unit);
    g_autoptr(GError) error = NULL;
    for (int i = 0; i < 20; i++) { /* more than is kept */
        g_autofree char *text = NULL;
        char bytes[600];
        memset(bytes, 'a' + i, sizeof bytes);
        say(unit, bytes, sizeof bytes);
        g_assert_false(imp_serial_listen(serial, "zzz", 5, NULL, &text, &error));
        g_assert_cmpuint(strlen(text), <=, IMP_SERIAL_TEXT_MAX);
        g_clear_error(&error);
    }
    close(unit);
}

static void test_cancel_and_loss(void)
{
    int unit;
    g_autoptr(ImpSerial) serial = open_pair(&unit);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL, *second = NULL;
    gint cancel = 1;
    g_assert_false(imp_serial_listen(serial, "ready", 60000, &cancel, &text, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_CANCELLED);
    g_clear_error(&error);
    close(unit);
    g_assert_false(imp_serial_listen(serial, "ready", 60000, NULL, &second, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_IO);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/serial/specifications", test_specifications);
    g_test_add_func("/serial/silent-tcp", test_silent_tcp);
    g_test_add_func("/serial/text", test_text);
    g_test_add_func("/serial/endless", test_endless);
    g_test_add_func("/serial/cancel-and-loss", test_cancel_and_loss);
    return g_test_run();
}
