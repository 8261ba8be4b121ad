/* Inside of image/ only: an ImpContent as JSON and sections, the same in objects and in manifests.
 *
 *     content  { "name" "version" "device": (device/device_json.h) "swd_hz"
 *                "attach": "normal"|"under-reset"|"power-cycle" "unlock"?: "erase"
 *                "power"?: { "millivolts"? "min_mv"? "max_mv"? "on_delay_ms"? "off_delay_ms"? "off_at_end"?: true }
 *                "segments": [{ "data" "address" "bytes" }…]
 *                "pools": (image/policy_json.h)
 *                "values": [VALUE…]
 *                "places": [{ "value" "address" "bytes" "pad" "reversed"?: true "over"?: true }…]
 *                "tests"?: [{ "name" "segments": (as above) "pc" "sp" "mailbox" }…]
 *                "steps": [STEP…] "finally"?: [STEP…]
 *                "rework": "refuse"|"keep-values"|"new-values" }
 *     VALUE    { "name" "log" "redact"?: true and
 *                "kind": "pool" "pool" | "kind": "read" "address" "bytes" | "kind": "barcode" "rule"
 *                | "kind": "given" "min" "max" | "kind": "from-test" "block" "bytes" }
 *     STEP     { "step": "erase" "erase": "all"|"used"|"range" "range"? }
 *              | { "step": "blank-check" "blank": "all"|"used"|"range" "range"? }
 *              | { "step": "program" "ranges"? } | { "step": "verify" "verify": "checksum"|"read-back" "ranges"? }
 *              | { "step": "read" "values"?: [index…] } | { "step": "reset" }
 *              | { "step": "write" "address" "bytes": hexadecimal }
 *              | { "step": "expect" "address" "bytes" "mask" "low" "high" "within_ms"? }     16 hexadecimal digits each
 *              | { "step": "protect" "level" "prove" } | { "step": "run" "text" "within_ms" "mailbox"? }
 *              | { "step": "delay" "delay_ms" } | { "step": "power" "power": "on"|"off"|"cycle" }
 *              | { "step": "test" "test" "timeout_ms" "values"?: [index…] }
 *     range    { "first" "last" }     ranges: [range…]
 *
 * Members with ? came after the first version: they are left out where they would say nothing, so that what was built before
 * keeps its digest, and zero is never written.
 *
 * Section 0 holds the bytes of the segments, one after the other; section 1 + i the blob of algorithm i; after them one
 * section for each test, with the bytes of its segments. */
#pragma once

#include "base/json.h"
#include "image/content.h"

#define IMP_CONTENT_SECTIONS_MAX (1 + IMP_DEVICE_ALGORITHMS_MAX + IMP_CONTENT_TESTS_MAX)

/* Content that imp_content_check accepts. *out_sections: GPtrArray of GBytes. */
json_t *imp_content_encode(const ImpContent *content, GPtrArray **out_sections);

/* The same without section 0: the segments' bytes are not looked at. */
json_t *imp_content_encode_around(const ImpContent *content, GPtrArray **out_sections);

/* Segments and blobs refer to the sections' memory. Errors: wrong, unknown (for a member); E3030. */
ImpContent *imp_content_decode(const json_t *object, GBytes *const *sections, gsize n_sections,
                               ImpErrorCode wrong, ImpErrorCode unknown,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
