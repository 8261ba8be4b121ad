/* A device as a CMSIS-Pack describes it, ready to be programmed: its core, the RAM for algorithms, and the flash algorithms
 * themselves, cut to what the device has.
 *
 * What a pack does not say: the clock after reset (IMP_PACK_CORE_HZ stands for it), the unique ID (there is none), and how one
 * chip is told from another: only its core is checked before anything is written. EraseChip of one of several algorithms
 * erases what that one programs, no more; algorithms that are not the pack's default (option bytes, external flash) are
 * left alone by `erase: all`. Belongs to the library imp_device_pack. Thread rule: the pack's. */
#pragma once

#include "device/device.h"
#include "device/pack.h"

/* Most cores start on an internal oscillator of 4 MHz or faster. Too slow a guess makes time limits longer and compares by
 * reading back where the core would be no faster. */
#define IMP_PACK_CORE_HZ 4000000u

/* index: of the pack's devices; pname: of the core, NULL = the only one. wanted: NULL-terminated, may be NULL: algorithms by their files' names
 * without folder and suffix, which go before all others. Where several that are not the default are for the same memory (loaders of external
 * flash, one for each board), none is used unless it is wanted. notes (of char *, may be NULL) gets a sentence for each algorithm
 * of the device that is not used. Free with imp_device_free. Errors: IMP_E_DEVICE_UNKNOWN (a wanted algorithm that is not there), those of imp_pdsc_resolve,
 * IMP_E_UNSUPPORTED (no Cortex-M, or not reached through the first debug port), IMP_E_PACK_FILE (no RAM, no algorithm),
 * IMP_E_ALGORITHM_FILE (none that can be used). */
ImpDevice *imp_pack_device(ImpPack *pack, gsize index, const char *pname, const char *const *wanted,
                           GPtrArray *notes, GError **error) G_GNUC_WARN_UNUSED_RESULT;
