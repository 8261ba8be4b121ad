#include "target/power-drivers.h"

#include "base/error.h"

#include <math.h>
#include <string.h>

#define MEASURE_PAUSE_US (10 * 1000)
#define OFFSET_MV        100 /* a meter without load may show a little less than nothing */
#define NUMBER_MAX       32 /* bytes of a number */

static gboolean none_on(ImpPower *power, guint32 millivolts, GError **error)
{
    return TRUE;
}

static gboolean none_off(ImpPower *power, GError **error)
{
    imp_error_set(error, IMP_E_POWER_UNSUPPORTED,
                  "the board has its own supply (power: none), which cannot be switched off from here");
    return FALSE;
}

static gboolean none_measure(ImpPower *power, guint32 *out_millivolts, GError **error)
{
    imp_error_set(error, IMP_E_POWER_UNSUPPORTED,
                  "the board has its own supply (power: none), which cannot be measured from here");
    return FALSE;
}

static void none_close(ImpPower *power)
{
    g_free(power);
}

static ImpPower *none_new(void)
{
    static const ImpPowerOps ops = {none_on, none_off, none_measure, none_close};
    ImpPower *power = g_new0(ImpPower, 1);
    power->ops = &ops;
    g_strlcpy(power->name, "none", sizeof power->name);
    return power;
}

ImpPower *imp_power_open(const char *spec, const ImpClock *clock, GError **error)
{
    ImpPower *power = NULL;
    if (strcmp(spec, "none") == 0)
        return none_new();
    if (g_str_has_prefix(spec, "scpi:"))
        power = imp_power_scpi_open(spec + strlen("scpi:"), clock, error);
    else if (g_str_has_prefix(spec, "gpio:"))
        power = imp_power_gpio_open(spec + strlen("gpio:"), imp_gpio_os_system(), error);
    else if (g_str_has_prefix(spec, "command:"))
        power = imp_power_command_open(spec + strlen("command:"), clock, error);
    else
        imp_error_set(error, IMP_E_ARGUMENT,
                      "\"%s\" names no supply: write scpi:HOST:PORT, scpi:HOST:PORT/CHANNEL, gpio:CHIP/LINE, "
                      "command:PATH, or none",
                      spec);
    if (power != NULL)
        g_strlcpy(power->name, spec, sizeof power->name);
    return power;
}

void imp_power_close(ImpPower *power)
{
    if (power != NULL)
        power->ops->close(power);
}

gboolean imp_power_on(ImpPower *power, guint32 millivolts, GError **error)
{
    g_assert(millivolts <= IMP_POWER_MV_MAX);
    return power->ops->on(power, millivolts, error);
}

gboolean imp_power_off(ImpPower *power, GError **error)
{
    return power->ops->off(power, error);
}

gboolean imp_power_measure(ImpPower *power, guint32 *out_millivolts, GError **error)
{
    return power->ops->measure(power, out_millivolts, error);
}

static void fail_voltage(const ImpPower *power, const ImpPowerRange *range, guint32 found_mv, GError **error)
{
    guint32 min_mv = range->min_mv, max_mv = range->max_mv;
    guint32 limit_mv = found_mv < min_mv ? min_mv : max_mv;
    guint32 expected = GUINT32_TO_LE(limit_mv), found = GUINT32_TO_LE(found_mv);
    imp_error_set_values(error, IMP_E_POWER_VOLTAGE, (const guint8 *)&expected, (const guint8 *)&found,
                         sizeof found, "%s: the board has %u.%03u V, allowed are %u.%03u V to %u.%03u V",
                         power->name, found_mv / 1000, found_mv % 1000, min_mv / 1000, min_mv % 1000,
                         max_mv / 1000, max_mv % 1000);
}

gboolean imp_power_expect(ImpPower *power, const ImpPowerRange *range, guint32 *out_millivolts,
                          GError **error)
{
    gint64 end = imp_clock_boot_us(range->clock) + (gint64)range->limit_ms * 1000;
    for (;;) {
        guint32 found_mv = 0;
        if (!imp_power_measure(power, &found_mv, error))
            return FALSE;
        if (found_mv >= range->min_mv && found_mv <= range->max_mv) {
            *out_millivolts = found_mv;
            return TRUE;
        }
        if (range->cancel != NULL && g_atomic_int_get(range->cancel) != 0) {
            imp_error_set(error, IMP_E_CANCELLED, "%s: cancelled while waiting for the voltage", power->name);
            return FALSE;
        }
        if (imp_clock_boot_us(range->clock) >= end) {
            fail_voltage(power, range, found_mv, error);
            return FALSE;
        }
        imp_clock_sleep_us(range->clock, MEASURE_PAUSE_US);
    }
}

gboolean imp_power_parse_volts(const char *text, gsize n_bytes, guint32 *out_millivolts)
{
    char number[NUMBER_MAX + 1];
    while (n_bytes > 0 && g_ascii_isspace(text[0]))
        text++, n_bytes--;
    while (n_bytes > 0 && g_ascii_isspace(text[n_bytes - 1]))
        n_bytes--;
    if (n_bytes == 0 || n_bytes > NUMBER_MAX)
        return FALSE;
    memcpy(number, text, n_bytes);
    number[n_bytes] = '\0';
    /* strtod also knows hexadecimal, "inf" and "nan": no meter says these as a measurement. */
    if (strspn(number, "+-.0123456789eE") != n_bytes)
        return FALSE;
    char *end = NULL;
    double volts = g_ascii_strtod(number, &end);
    if (*end != '\0' || !isfinite(volts) || volts * 1000 < -OFFSET_MV || volts * 1000 > IMP_POWER_MV_MAX)
        return FALSE;
    *out_millivolts = volts <= 0 ? 0 : (guint32)(volts * 1000 + 0.5);
    return TRUE;
}
