/* The kinds of supplies, for power.c and tests. Internal to target/. Thread rule: power.h. */
#pragma once

#include "target/power.h"

/* "3.3" or "+3.29871E+00" volts as millivolts: a decimal number and nothing else but spaces around it, from 0 to
 * IMP_POWER_MV_MAX; a little below 0 (a meter's offset, to -100 mV) is 0. text need not end with NUL. */
gboolean imp_power_parse_volts(const char *text, gsize n_bytes,
                               guint32 *out_millivolts) G_GNUC_WARN_UNUSED_RESULT;

/* ---- SCPI ---- */

#define IMP_SCPI_PORT        5025 /* the port that instrument makers use for SCPI without framing; IANA: scpi-raw */
#define IMP_SCPI_ANSWER_MAX  256 /* bytes of one answer */
#define IMP_SCPI_ERRORS_MAX  32 /* answers to SYSTem:ERRor? until it must have said that there are no more */
#define IMP_SCPI_CHANNEL_MAX 64
#define IMP_SCPI_TIMEOUT_MS  3000 /* for one answer */

/* What carries the lines: a TCP connection; tests put something else here. */
typedef struct {
    /* Connects anew if it must. line ends with a line feed. */
    gboolean (*send)(void *self, const char *line, GError **error);
    /* The next answer without its line end, NUL-terminated. */
    gboolean (*receive)(void *self, char answer[IMP_SCPI_ANSWER_MAX + 1], GError **error);
    /* The conversation is out of step: the next send begins a new one. */
    void (*drop)(void *self);
    void (*free)(void *self);
} ImpScpiLinkOps;

/* Takes link over. channel 0: the supply has one output, or the one that is chosen at the supply. */
ImpPower *imp_power_scpi_new(const char *name, guint channel, const ImpScpiLinkOps *ops, void *link);
/* "HOST:PORT", "HOST:PORT/CH" */
ImpPower *imp_power_scpi_open(const char *address, const ImpClock *clock,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* An answer to SYSTem:ERRor?: a number, a comma and a text in double quotes (SCPI-1999, SYSTem subsystem). text is borrowed. */
gboolean imp_scpi_parse_error(const char *answer, gint *out_number, const char **out_text,
                              gsize *out_text_bytes) G_GNUC_WARN_UNUSED_RESULT;

/* ---- GPIO ---- */

#define IMP_GPIO_LINE_MAX 1023

/* The kernel's side; tests put something else here. As open(2), ioctl(2), close(2): -1 and errno. */
typedef struct {
    int (*open)(void *self, const char *path);
    int (*ioctl)(void *self, int fd, unsigned long request, void *argument);
    void (*close)(void *self, int fd);
    void *self;
} ImpGpioOs;

/* "CHIP/LINE", "CHIP/LINE:low"; os is borrowed. */
ImpPower *imp_power_gpio_open(const char *address, const ImpGpioOs *os,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
const ImpGpioOs *imp_gpio_os_system(void);

/* ---- command ---- */

#define IMP_POWER_COMMAND_MS     10000 /* time for one run of the program */
#define IMP_POWER_COMMAND_OUTPUT 1024 /* bytes of its output that are kept */

ImpPower *imp_power_command_open(const char *path, const ImpClock *clock,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
