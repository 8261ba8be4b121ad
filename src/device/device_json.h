/* The JSON form of an ImpDevice, as the manifest of an image carries it. The algorithms' blobs travel apart, as sections
 * of the image: "blob" is an index into them.
 *
 *     device     { "name" "core" "core_hz" "dpidr" "access_port"? "ram_start" "ram_bytes" "uid_address" "uid_bytes"
 *                  "checks": [check…] "algorithms": [algorithm…] "erase_all_algorithm"? "erase_all_ms_max"? "open"? "locks"? "unlock"? "launch"? }
 *     check      { "address" "mask" "value" "what" }
 *     algorithm  { "name" "blob" "static_base" "init" "uninit" "erase_chip"? "erase_sector" "program_page" "blank_check"?
 *                  "verify"? "start" "size_bytes" "page_bytes" "erased_byte" "program_ms_max" "erase_ms_max"
 *                  "sectors": [{ "start" "size_bytes" }…] "spared"? }
 *     open       a check; locks [{ "level" "address" "n_bytes" "bytes": hex }…]; launch [write…]
 *     unlock     { "by": "writes" "writes": [write…] } or { "by": "algorithm" "algorithm" } or { "by": "ctrl-ap" "ap" }
 *     write      { "address" "value" "wait"?: { "address" "mask" "value" "ms" } }
 *
 * Members with ? may be missing: there is no such thing. All numbers are integers, addresses too. Whoever gets a device
 * from imp_device_decode may rely on everything that device.h promises: what does not hold together is refused, because
 * images come from outside. Thread rule: none of its own. */
#pragma once

#include "base/json.h"
#include "device/device.h"

#define IMP_DEVICE_UID_MAX   64 /* bytes */
#define IMP_DEVICE_TEXT_MAX  128 /* bytes of a name or of a check's text */
#define IMP_DEVICE_SPACE_END (G_GUINT64_CONSTANT(1) << 32) /* cores are 32-bit: no range ends behind this */

/* New reference. *out_blobs (may be NULL) becomes a GPtrArray of GBytes, in the order of the indexes; the caller's. */
json_t *imp_device_encode(const ImpDevice *device, GPtrArray **out_blobs) G_GNUC_WARN_UNUSED_RESULT;

/* The device in object; blobs[] are referenced, not copied. Every blob must be used by exactly one algorithm. Errors:
 * wrong for a missing, malformed or contradictory member, unknown for one that this version does not know. */
ImpDevice *imp_device_decode(const json_t *object, GBytes *const *blobs, gsize n_blobs, ImpErrorCode wrong,
                             ImpErrorCode unknown, GError **error) G_GNUC_WARN_UNUSED_RESULT;
