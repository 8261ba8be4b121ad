/* The chips that this version of Imprint knows by itself, with flash algorithms of our own (algorithms/).
 * Belongs to the library imp_device_flm: the builder uses it, the station does not. Thread rule: any thread. */
#pragma once

#include "device/device.h"

/* A complete copy of the device of that name (case counts for nothing: order codes are written in many ways); free with imp_device_free.
 * Errors: IMP_E_DEVICE_UNKNOWN, which names the nearest known name. */
ImpDevice *imp_device_lookup(const char *name, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Every name that imp_device_lookup takes, NULL-terminated, sorted; constant. */
const char *const *imp_device_names(void);
