/* A port's supply: switches the board on and off, and measures its voltage.
 *
 * A specification names it:
 *   scpi:HOST:PORT   scpi:HOST:PORT/CH   a laboratory supply over TCP, and which of its outputs (power_scpi.c)
 *   gpio:CHIP/LINE   gpio:CHIP/LINE:low  a line of a GPIO chip that switches the supply; low: on is 0 (power_gpio.c)
 *   command:PATH                         a program of yours (power_command.c)
 *   none                                 the board has its own supply
 *
 * Life cycle: imp_power_open touches nothing outside but for what is written at each kind; on, off and measure in any order;
 * imp_power_close leaves the supply as it is. A supply that failed may be asked again: SCPI connects anew.
 * Thread rule: one thread at a time uses a supply. No call waits without a limit. */
#pragma once

#include "base/env.h"

#define IMP_POWER_NAME_MAX 128
#define IMP_POWER_MV_MAX   60000 /* more is a mistake: nothing that is programmed here wants it */

typedef struct ImpPower ImpPower;

typedef struct {
    /* millivolts 0: as the supply is set. */
    gboolean (*on)(ImpPower *self, guint32 millivolts, GError **error);
    gboolean (*off)(ImpPower *self, GError **error);
    gboolean (*measure)(ImpPower *self, guint32 *out_millivolts, GError **error);
    void (*close)(ImpPower *self);
} ImpPowerOps;

/* A kind of supply puts this first into its own struct. */
struct ImpPower {
    const ImpPowerOps *ops;
    char name[IMP_POWER_NAME_MAX]; /* the specification, for messages */
    gboolean switches; /* on and off do something; FALSE: none */
};

/* Errors: IMP_E_ARGUMENT (the specification), IMP_E_POWER_NOT_FOUND (a GPIO chip or line, a program). */
ImpPower *imp_power_open(const char *spec, const ImpClock *clock, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* NULL is allowed. */
void imp_power_close(ImpPower *power);

/* Sets the voltage where the supply can and millivolts is not 0, then switches on. A supply that only switches ignores
 * millivolts: what it gives is the fixture's affair, and measuring tells. With `none` nothing happens.
 * Errors: IMP_E_POWER_NOT_FOUND, IMP_E_POWER_LOST, IMP_E_POWER_TIMEOUT, IMP_E_POWER_PROTOCOL, IMP_E_POWER_REFUSED. */
gboolean imp_power_on(ImpPower *power, guint32 millivolts, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Errors: as on; IMP_E_POWER_UNSUPPORTED with `none`. */
gboolean imp_power_off(ImpPower *power, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The voltage at the output, now. Errors: as on; IMP_E_POWER_UNSUPPORTED where it cannot be measured. */
gboolean imp_power_measure(ImpPower *power, guint32 *out_millivolts,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What the board must have before anything else is done with it. */
typedef struct {
    guint32 min_mv, max_mv; /* inclusive */
    guint limit_ms; /* a supply may need time to come up */
    const ImpClock *clock;
    const gint *cancel; /* g_atomic_int_get: other than 0 ends the waiting; may be NULL */
} ImpPowerRange;

/* Measures until the voltage lies within the range, or the time is up.
 * Errors: IMP_E_POWER_VOLTAGE (its detail has expected and found in millivolts, 4 bytes each, little-endian; expected is the
 * limit that is violated); as measure. */
gboolean imp_power_expect(ImpPower *power, const ImpPowerRange *range, guint32 *out_millivolts,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpPower, imp_power_close)
