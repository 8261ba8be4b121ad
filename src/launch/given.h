/* What comes with a launch from outside: the label that was scanned, dynamic data. Whoever starts launches checks with
 * imp_given_check first, so that a mistake is told at once and nothing has begun; a launch checks again.
 *
 * Thread rule: no state; any thread. */
#pragma once

#include "image/content.h"

#define IMP_GIVEN_MAX IMP_CONTENT_VALUES_MAX

typedef struct {
    const char *name; /* of a value; NULL: the scanned label, for every value of kind barcode */
    GBytes *bytes;
} ImpGiven;

/* Is each given value one that is given, once, and of the right form and size; with all, is each that is needed given? What is wrong is
 * told by name and size, never by the bytes: they may be secret.
 * Errors: IMP_E_GIVEN_UNKNOWN, IMP_E_GIVEN_SIZE, IMP_E_GIVEN_BARCODE, IMP_E_GIVEN_MISSING. */
gboolean imp_given_check(const ImpContent *content, const ImpGiven *given, gsize n_given, gboolean all,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A label belongs to one unit: IMP_E_GIVEN_BARCODE if several are to be started with it. */
gboolean imp_given_check_units(const ImpContent *content, gsize n_units,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The bytes given for a value of the content, borrowed; NULL if there are none. */
GBytes *imp_given_find(const ImpContent *content, gsize value_index, const ImpGiven *given, gsize n_given);
