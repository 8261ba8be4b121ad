/* The target's serial line, for the text that its firmware says: a device of this machine or a terminal server.
 * 8 data bits, no parity, 1 stop bit; nothing is sent.
 *
 * Life cycle: imp_serial_open, any number of imp_serial_listen, imp_serial_close.
 * Thread rule: one thread at a time. */
#pragma once

#include "base/env.h"
#include "base/error.h"

#define IMP_SERIAL_BAUD       115200 /* if the specification names none */
#define IMP_SERIAL_TEXT_MAX   4096 /* bytes that are kept, the newest */
#define IMP_SERIAL_EXPECT_MAX 256

typedef struct ImpSerial ImpSerial;

/* spec: "serial:/dev/ttyACM0", "serial:/dev/ttyACM0:9600", "tcp:HOST:PORT".
 * Errors: IMP_E_ARGUMENT, IMP_E_NOT_FOUND, IMP_E_NO_ACCESS, IMP_E_IO, IMP_E_PROBE_NOT_FOUND (tcp). */
ImpSerial *imp_serial_open(const char *spec, const ImpClock *clock, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Waits until what came since open holds expected (1 to IMP_SERIAL_EXPECT_MAX bytes). *out_text is what came, made into valid
 * UTF-8, at most IMP_SERIAL_TEXT_MAX bytes before that, also on failure; free with g_free. cancel as in ImpTargetOptions.
 * Errors: IMP_E_TEXT_MISSING after timeout_ms, IMP_E_CANCELLED, IMP_E_IO or IMP_E_PROBE_LOST (the line is gone). */
gboolean imp_serial_listen(ImpSerial *serial, const char *expected, guint timeout_ms, const gint *cancel,
                           char **out_text, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Forgets what has come, also what the machine still holds: before a reset, so that text of an earlier run does not count. */
void imp_serial_forget(ImpSerial *serial);

void imp_serial_close(ImpSerial *serial); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpSerial, imp_serial_close)
