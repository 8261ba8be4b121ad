#include "target/serial.h"

#include "target/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define DEVICE_PREFIX "serial:"
#define TCP_PREFIX    "tcp:"
#define TCP_PORT      2217 /* of ser2net's usual set-up */
#define LOOK_MS       50 /* how often a wait looks whether it is cancelled */
#define READ_BYTES    512
#define FORGET_MAX    (1024 * 1024) /* bytes thrown away at once: a line that never stops must not hold us */

struct ImpSerial {
    const ImpClock *clock;
    char *spec;
    ImpTcp tcp; /* its descriptor also stands for a device */
    GString *text; /* newest bytes, as they came */
};

static const struct {
    guint64 baud;
    speed_t speed;
} speeds[] = {{1200, B1200},     {2400, B2400},     {4800, B4800},     {9600, B9600},
              {19200, B19200},   {38400, B38400},   {57600, B57600},   {115200, B115200},
              {230400, B230400}, {460800, B460800}, {921600, B921600}, {1000000, B1000000}};

static gboolean find_speed(guint64 baud, speed_t *out)
{
    for (gsize i = 0; i < G_N_ELEMENTS(speeds); i++)
        if (speeds[i].baud == baud) {
            *out = speeds[i].speed;
            return TRUE;
        }
    return FALSE;
}

static gboolean set_line(int fd, const char *path, speed_t speed, GError **error)
{
    struct termios line;
    if (tcgetattr(fd, &line) != 0) {
        imp_error_set(error, IMP_E_ARGUMENT, "%s is no serial line: %s", path, g_strerror(errno));
        return FALSE;
    }
    cfmakeraw(&line);
    line.c_cflag |= CLOCAL | CREAD;
    line.c_cflag &= (tcflag_t) ~(CSTOPB | CRTSCTS);
    if (cfsetspeed(&line, speed) != 0 || tcsetattr(fd, TCSANOW, &line) != 0) {
        imp_error_set(error, IMP_E_IO, "%s does not take the speed: %s", path, g_strerror(errno));
        return FALSE;
    }
    return TRUE;
}

/* "/dev/ttyACM0:9600" */
static gboolean open_device(ImpSerial *serial, const char *address, GError **error)
{
    const char *colon = strrchr(address, ':');
    guint64 baud = IMP_SERIAL_BAUD;
    speed_t speed;
    if ((colon != NULL && !g_ascii_string_to_unsigned(colon + 1, 10, 1, G_MAXUINT32, &baud, NULL)) ||
        address[0] != '/' || !find_speed(baud, &speed)) {
        imp_error_set(
            error, IMP_E_ARGUMENT,
            "\"%s\": write serial:/dev/DEVICE or serial:/dev/DEVICE:BAUD with a usual speed, 1200 to "
            "1000000",
            serial->spec);
        return FALSE;
    }
    g_autofree char *path = colon != NULL ? g_strndup(address, (gsize)(colon - address)) : g_strdup(address);
    serial->tcp.fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (serial->tcp.fd < 0) {
        int number = errno;
        imp_error_set(error, imp_error_code_of_errno(number), "%s: %s", path, g_strerror(number));
        return FALSE;
    }
    return set_line(serial->tcp.fd, path, speed, error);
}

static gboolean set_nonblocking(int fd, const char *spec, GError **error)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
        return TRUE;
    imp_error_set(error, IMP_E_IO, "%s: %s", spec, g_strerror(errno));
    return FALSE;
}

ImpSerial *imp_serial_open(const char *spec, const ImpClock *clock, GError **error)
{
    g_autoptr(ImpSerial) serial = g_new0(ImpSerial, 1);
    serial->clock = clock;
    serial->spec = g_strdup(spec);
    serial->text = g_string_new(NULL);
    serial->tcp = (ImpTcp){.fd = -1, .clock = clock, .name = serial->spec};
    gboolean good;
    if (g_str_has_prefix(spec, DEVICE_PREFIX)) {
        good = open_device(serial, spec + strlen(DEVICE_PREFIX), error);
    } else if (g_str_has_prefix(spec, TCP_PREFIX)) {
        /* Reads take what is there: waiting is done with a limit, beside looking whether one is cancelled. */
        good = imp_tcp_open(&serial->tcp, "tcp", spec + strlen(TCP_PREFIX), TCP_PORT, clock, error) &&
               set_nonblocking(serial->tcp.fd, spec, error);
    } else {
        imp_error_set(error, IMP_E_ARGUMENT,
                      "\"%s\": a serial line is serial:/dev/DEVICE, serial:/dev/DEVICE:BAUD or tcp:HOST:PORT",
                      spec);
        good = FALSE;
    }
    return good ? g_steal_pointer(&serial) : NULL;
}

void imp_serial_close(ImpSerial *serial)
{
    if (serial == NULL)
        return;
    imp_tcp_close(&serial->tcp);
    g_string_free(serial->text, TRUE);
    g_free(serial->spec);
    g_free(serial);
}

/* What is there now, at most READ_BYTES. 0: nothing yet; -1: an error, or the line is gone. */
static gssize take(ImpSerial *serial, guint8 *bytes)
{
    ssize_t got = recv(serial->tcp.fd, bytes, READ_BYTES, MSG_DONTWAIT); /* connections of tcp.h may wait */
    if (got < 0 && errno == ENOTSOCK)
        got = read(serial->tcp.fd, bytes, READ_BYTES);
    if (got > 0)
        return got;
    if (got == 0)
        errno = EPIPE;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

void imp_serial_forget(ImpSerial *serial)
{
    guint8 bytes[READ_BYTES];
    gssize got;
    for (gsize n = 0; n < FORGET_MAX && (got = take(serial, bytes)) > 0; n += (gsize)got)
        ;
    g_string_truncate(serial->text, 0);
}

/* NUL is no text: it would end the string. */
static void keep(ImpSerial *serial, const guint8 *bytes, gsize n_bytes)
{
    for (gsize i = 0; i < n_bytes; i++)
        g_string_append_c(serial->text, bytes[i] != 0 ? (char)bytes[i] : '?');
    if (serial->text->len > IMP_SERIAL_TEXT_MAX)
        g_string_erase(serial->text, 0, (gssize)(serial->text->len - IMP_SERIAL_TEXT_MAX));
}

static char *shown(const ImpSerial *serial)
{
    return g_utf8_make_valid(serial->text->str, (gssize)serial->text->len);
}

static gboolean wait_text(ImpSerial *serial, const char *expected, gint64 end_us, const gint *cancel,
                          GError **error)
{
    guint8 bytes[READ_BYTES];
    while (strstr(serial->text->str, expected) == NULL) {
        if (cancel != NULL && g_atomic_int_get(cancel) != 0) {
            imp_error_set(error, IMP_E_CANCELLED, "cancelled while waiting for the firmware's text");
            return FALSE;
        }
        gssize got = take(serial, bytes);
        if (got < 0) {
            imp_error_set(error, IMP_E_IO, "%s: %s", serial->spec, g_strerror(errno));
            return FALSE;
        }
        if (got > 0) {
            keep(serial, bytes, (gsize)got);
            continue;
        }
        gint64 left_ms = (end_us - imp_clock_boot_us(serial->clock) + 999) / 1000;
        if (left_ms <= 0) {
            g_autofree char *text = shown(serial);
            imp_error_set(error, IMP_E_TEXT_MISSING, "the firmware's text '%s' did not come on %s%s%s",
                          expected, serial->spec, text[0] != 0 ? "; what came: " : "; nothing came", text);
            return FALSE;
        }
        struct pollfd wanted = {.fd = serial->tcp.fd, .events = POLLIN};
        (void)poll(&wanted, 1, (int)MIN(left_ms, LOOK_MS));
    }
    return TRUE;
}

gboolean imp_serial_listen(ImpSerial *serial, const char *expected, guint timeout_ms, const gint *cancel,
                           char **out_text, GError **error)
{
    g_assert(expected[0] != 0 && strlen(expected) <= IMP_SERIAL_EXPECT_MAX);
    gboolean good = wait_text(serial, expected, imp_clock_boot_us(serial->clock) + (gint64)timeout_ms * 1000,
                              cancel, error);
    *out_text = shown(serial);
    return good;
}
