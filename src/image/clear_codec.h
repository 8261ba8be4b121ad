/* Inside of image/ only: the two headers as bytes, for who seals and for who compares them with the manifest. */
#pragma once

#include <jansson.h>

#include "image/clear.h"

/* Writes the fixed header from suite and lengths. */
void imp_clear_encode_fixed(const ImpClear *clear, guint8 out[IMP_IMAGE_FIXED_BYTES]);

/* The members of the clear header; imp_json_text of it is the header itself. */
json_t *imp_clear_to_json(const ImpClear *clear);

/* Fills the clear header's members of clear, which is zero before (to be freed also after an error). E3007. */
gboolean imp_clear_from_json(const json_t *json, ImpClear *clear, GError **error) G_GNUC_WARN_UNUSED_RESULT;
