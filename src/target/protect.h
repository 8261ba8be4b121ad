/* Read protection of a chip: opening a locked one by erasing it, bringing option bytes into force, and finding out whether
 * reading is refused. How a chip is locked and opened is in its ImpDevice.
 *
 * Thread rule: the target's. */
#pragma once

#include "target/target.h"

#define IMP_UNLOCK_MS_MAX 10000 /* CTRL-AP: the longest ERASEALL that is waited for */

/* Erases everything in a locked chip, so that it opens. Connects by itself and lets go of the chip: attach anew afterwards, where
 * there is one after a power cycle. Whether the chip is the device is looked at as far as a locked one lets that be seen;
 * another one is not touched.
 * Errors: IMP_E_WRONG_CHIP, IMP_E_NOT_UNLOCKED (also: the device has no way), IMP_E_ALGORITHM_*, and those of attach. */
gboolean imp_target_unlock(ImpProbe *probe, const ImpClock *clock, const ImpTargetOptions *options,
                           const ImpDevice *device, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Resets a chip that lets nobody in, by the wire nRESET. Errors: IMP_E_PROBE_*. */
gboolean imp_target_pulse_reset(ImpProbe *probe, const ImpClock *clock,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Brings the option bytes that were programmed into force: the device's launch writes, or a reset. The target can only be
 * detached afterwards: the chip may let nobody in any more. */
gboolean imp_target_load_options(ImpTarget *target, const ImpDevice *device,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Tries to read n_bytes that hold expected. TRUE: reading is refused, or nothing of the bytes is shown (some chips answer with
 * one and the same byte). Errors: IMP_E_NOT_PROTECTED with what was found; IMP_E_LINK_* and others that say nothing about
 * protection. expected must not itself be one and the same byte. */
gboolean imp_target_prove_refusal(ImpTarget *target, guint64 address, const guint8 *expected, gsize n_bytes,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Bytes that tell one content from another: not all the same. */
gboolean imp_target_is_telling(const guint8 *bytes, gsize n_bytes);
