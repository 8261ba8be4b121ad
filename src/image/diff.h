/* What differs between two objects or images, in words: headers, restrictions, connection, data, values, steps, algorithms.
 *
 * Thread rule: none of its own. */
#pragma once

#include "image/image.h"

/* The lines that differ (char *; an empty array: nothing does), as far as both can be read: an encrypted image whose image key or
 * share is not in image_keys is compared by its clear header, and a line says so. IDs, digests and signatures of images do not
 * count as differences: each sealing has its own. Files are objects (.impo) or images (.imp), in any mix. authors may be NULL.
 * Free with g_ptr_array_unref. Errors: those of imp_object_decode and imp_image_inspect, with which file it is. */
GPtrArray *imp_diff(GBytes *a, GBytes *b, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
