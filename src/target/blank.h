/* Is flash erased? Asked of the algorithm's own BlankCheck where it has one (an erased cell may read as anything where the
 * memory has error correction), else the memory is read. Writes nothing but the algorithm's RAM.
 *
 * The core is halted and nothing is at work in it (no ImpFlash). Thread rule: the target's. */
#pragma once

#include "target/target.h"

/* done and total in bytes. Called on the calling thread; must not call the engine. */
typedef void (*ImpBlankProgress)(gpointer user, guint64 done, guint64 total);

typedef struct {
    const ImpDevice *device;
    guint64 address;
    guint64 n_bytes; /* algorithms cover all of it */
    ImpBlankProgress progress; /* may be NULL */
    gpointer progress_user;
} ImpBlankJob;

/* Errors: IMP_E_NOT_BLANK with the first address, expected and found where reading shows it; IMP_E_NO_ALGORITHM,
 * IMP_E_RAM_TOO_SMALL, IMP_E_TARGET_RAM, IMP_E_ALGORITHM_*, and those of imp_target_read. */
gboolean imp_blank_check(ImpTarget *target, const ImpBlankJob *job, GError **error) G_GNUC_WARN_UNUSED_RESULT;
