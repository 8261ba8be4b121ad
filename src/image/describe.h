/* Inside of image/ only: content (image/content_json.h) as lines for people, complete and always in the same words, so that they
 * can be compared: for inspect and diff.
 *
 * Thread rule: pure functions. */
#pragma once

#include <jansson.h>

#include "base/error.h"

#define IMP_LINE_CHIP                                                                                        \
    "chip" /* lines of this name repeat the device's members as they are: for comparing, not for reading */

typedef struct {
    char *name; /* "data", "step" */
    char *
        key; /* which of that name: "app 0x08000000"; "" = the only one, or one of a sequence whose order counts */
    char *text;
} ImpLine;

/* Everything that the members say but the bytes of data and algorithms: ImpLine, freed with the array. content is one that
 * imp_content_decode accepts. */
GPtrArray *imp_describe_content(const json_t *content);

/* Restrictions as image/policy_json.h has them; "pools" of the content name what the numbers are of. */
GPtrArray *imp_describe_restrictions(const json_t *restrictions, const json_t *content);
