/* Inside of build/ and its tests: the ELF file of a board test becomes a program for the target's RAM (algorithms/runtest).
 * No I/O. Thread rule: no state; any thread. */
#pragma once

#include "image/content.h"

/* file is the ELF file called what in messages, name the test's. It must lie in the device's RAM, below the stack that it gets at the RAM's end, and hold
 * a mailbox. On success *out owns its parts. Errors: IMP_E_DATA_FILE, IMP_E_LIMIT, IMP_E_OUTSIDE_MEMORY. */
gboolean imp_test_program_read(const guint8 *file, gsize n_file, const char *what, const char *name,
                               const ImpDevice *device, ImpTestProgram *out,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
