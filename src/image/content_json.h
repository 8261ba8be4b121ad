/* Inside of image/ only: an ImpContent as JSON and sections, the same in objects and in manifests.
 *
 *     content  { "name" "version" "device": (device/device_json.h) "swd_hz" "attach": "normal"|"under-reset"
 *                "segments": [{ "data" "address" "bytes" }…]
 *                "pools": (image/policy_json.h)
 *                "values": [{ "name" "log" "kind": "pool" "pool" } | { "name" "log" "kind": "read" "address" "bytes" }…]
 *                "places": [{ "value" "address" "bytes" "pad" }…]
 *                "steps": [{ "step": "erase" "erase": "all"|"used" } | { "step": "verify" "verify": "checksum"|"read-back" }
 *                          | { "step": "program"|"read"|"reset" }…]
 *                "rework": "refuse"|"keep-values"|"new-values" }
 *
 * Section 0 holds the bytes of the segments, one after the other; section 1 + i the blob of algorithm i. */
#pragma once

#include "base/json.h"
#include "image/content.h"

#define IMP_CONTENT_SECTIONS_MAX (1 + IMP_DEVICE_ALGORITHMS_MAX)

/* Content that imp_content_check accepts. *out_sections: GPtrArray of GBytes. */
json_t *imp_content_encode(const ImpContent *content, GPtrArray **out_sections);

/* Segments and blobs refer to the sections' memory. Errors: wrong, unknown (for a member); E3030. */
ImpContent *imp_content_decode(const json_t *object, GBytes *const *sections, gsize n_sections,
                               ImpErrorCode wrong, ImpErrorCode unknown,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
