/* A GPIO line that switches the supply (a relay, a load switch).
 *
 * By the kernel's character device, not by libgpiod: it takes two requests of a stable interface (Linux 5.10 and later,
 * include/uapi/linux/gpio.h), where the library's two versions have nothing in common but the name. The line stays taken
 * until close; what it shows afterwards is the driver's affair. */
#include "target/power-drivers.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CONSUMER "imprint power"

typedef struct {
    ImpPower power;
    const ImpGpioOs *os;
    char *path; /* of the chip */
    guint line;
    gboolean active_low;
    int fd; /* of the line; -1: not taken yet */
} GpioPower;

static int system_open(void *self, const char *path)
{
    return open(path, O_RDWR | O_CLOEXEC);
}

static int system_ioctl(void *self, int fd, unsigned long request, void *argument)
{
    return ioctl(fd, request, argument);
}

static void system_close(void *self, int fd)
{
    close(fd);
}

const ImpGpioOs *imp_gpio_os_system(void)
{
    static const ImpGpioOs os = {system_open, system_ioctl, system_close, NULL};
    return &os;
}

static gboolean fail_errno(const GpioPower *self, ImpErrorCode code, const char *what, int number,
                           GError **error)
{
    imp_error_set(error, code, "%s: %s %s, line %u: %s", self->power.name, what, self->path, self->line,
                  number == ENOTTY  ? "not a GPIO chip"
                  : number == EBUSY ? "the line is used by another program or driver (gpioinfo tells which)"
                                    : g_strerror(number));
    return FALSE;
}

/* Takes the line as an output that shows value from its first moment on. */
static gboolean take_line(GpioPower *self, gboolean value, GError **error)
{
    int chip = self->os->open(self->os->self, self->path);
    if (chip < 0)
        return fail_errno(self, IMP_E_POWER_NOT_FOUND, "opening", errno, error);
    struct gpio_v2_line_request request = {.num_lines = 1};
    request.offsets[0] = self->line;
    g_strlcpy(request.consumer, CONSUMER, sizeof request.consumer);
    request.config.flags =
        GPIO_V2_LINE_FLAG_OUTPUT | (self->active_low ? (guint64)GPIO_V2_LINE_FLAG_ACTIVE_LOW : 0);
    request.config.num_attrs = 1;
    request.config.attrs[0].mask = 1;
    request.config.attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES;
    request.config.attrs[0].attr.values = value ? 1 : 0;
    int got = self->os->ioctl(self->os->self, chip, GPIO_V2_GET_LINE_IOCTL, &request);
    int number = errno;
    self->os->close(self->os->self, chip);
    if (got != 0)
        return fail_errno(self, IMP_E_POWER_NOT_FOUND, "taking a line of", number, error);
    self->fd = request.fd;
    return TRUE;
}

static gboolean set(GpioPower *self, gboolean value, GError **error)
{
    if (self->fd < 0)
        return take_line(self, value, error);
    struct gpio_v2_line_values values = {.bits = value ? 1 : 0, .mask = 1};
    if (self->os->ioctl(self->os->self, self->fd, GPIO_V2_LINE_SET_VALUES_IOCTL, &values) == 0)
        return TRUE;
    int number = errno;
    self->os->close(self->os->self, self->fd); /* the chip was unplugged: the next try takes it anew */
    self->fd = -1;
    return fail_errno(self, IMP_E_POWER_LOST, "setting a line of", number, error);
}

static gboolean gpio_on(ImpPower *power, guint32 millivolts, GError **error)
{
    return set((GpioPower *)power, TRUE, error);
}

static gboolean gpio_off(ImpPower *power, GError **error)
{
    return set((GpioPower *)power, FALSE, error);
}

static gboolean gpio_measure(ImpPower *power, guint32 *out_millivolts, GError **error)
{
    imp_error_set(error, IMP_E_POWER_UNSUPPORTED, "%s: a GPIO line switches, it cannot measure a voltage",
                  power->name);
    return FALSE;
}

static void gpio_close(ImpPower *power)
{
    GpioPower *self = (GpioPower *)power;
    if (self->fd >= 0)
        self->os->close(self->os->self, self->fd);
    g_free(self->path);
    g_free(self);
}

ImpPower *imp_power_gpio_open(const char *address, const ImpGpioOs *os, GError **error)
{
    static const ImpPowerOps ops = {gpio_on, gpio_off, gpio_measure, gpio_close};
    g_autofree char *rest = g_strdup(address);
    gboolean active_low = g_str_has_suffix(rest, ":low");
    if (active_low)
        rest[strlen(rest) - strlen(":low")] = '\0';
    char *slash = strrchr(rest, '/');
    guint64 line = 0;
    if (slash == NULL || slash == rest ||
        !g_ascii_string_to_unsigned(slash + 1, 10, 0, IMP_GPIO_LINE_MAX, &line, NULL)) {
        imp_error_set(
            error, IMP_E_ARGUMENT,
            "\"gpio:%s\": write gpio:CHIP/LINE or gpio:CHIP/LINE:low, such as gpio:gpiochip0/17, with a "
            "line from 0 to %d",
            address, IMP_GPIO_LINE_MAX);
        return NULL;
    }
    *slash = '\0';
    GpioPower *self = g_new0(GpioPower, 1);
    self->power.ops = &ops;
    self->power.switches = TRUE;
    g_snprintf(self->power.name, sizeof self->power.name, "gpio:%s", address);
    self->os = os;
    self->path = rest[0] == '/' ? g_strdup(rest) : g_strconcat("/dev/", rest, NULL);
    self->line = (guint)line;
    self->active_low = active_low;
    self->fd = -1;
    return &self->power;
}
