/* "Did you mean …?": the known word that is nearest to a mistyped one. No state; any thread. */
#pragma once

#include <glib.h>

#define IMP_NEAREST_BYTES_MAX 64 /* longer words are not compared */

/* The word of known[] (NULL-terminated) with the smallest edit distance (insert, remove, change, swap of neighbours;
 * case counts for nothing) to word, if that is near enough to be a typing error: at most a third of the longer one's length, and at
 * least 1. NULL if none is. Borrowed from known. */
const char *imp_nearest(const char *word, const char *const *known);
