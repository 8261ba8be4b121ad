/* The one form in which errors cross HTTP, used by server and client:
 *
 *     {"error": {"code": 5003, "name": "image-paused", "text": "image 6f...: paused by its owner"}}
 *
 * code and name are those of api/errors.csv; text is for people and may change. An error that happened in a target has
 * a member more: "detail": {"step": "verify", "address": 41984, "expected": "47702000", "found": "47700000"}, each of them
 * optional.
 *
 * Thread rule: pure functions. */
#pragma once

#include <jansson.h>

#include "base/error.h"

#define IMP_HTTP_PROTOCOL_HEADER "Imprint-Protocol"
#define IMP_HTTP_PROTOCOL        "1"
#define IMP_HTTP_PROBLEM_MAX     8192 /* bytes of an error answer */

/* What stands under "error", for answers that speak of an error among other things; a new reference. Errors of foreign
 * domains become IMP_E_BUG. */
json_t *imp_http_problem_body(const GError *error);

/* Sets *error from such an object, detail included: the peer's own code when this program knows it, else
 * IMP_E_HTTP_ANSWER with what the peer said. Members that are missing or of another type are taken as empty. */
void imp_http_problem_read(const json_t *body, GError **error);

/* A new document; errors of foreign domains become IMP_E_BUG. */
json_t *imp_http_problem_encode(const GError *error);

/* Sets *error from an answer's body: the peer's own code when this program knows it, else IMP_E_HTTP_ANSWER with what the
 * peer said. status is said in the text when the body is not of the form above. */
void imp_http_problem_decode(const char *body, gsize n_bytes, int status, GError **error);

/* The HTTP status that goes with a code of the registry (RFC 9110, section 15): exact for the 71xx codes and a few more, by
 * disposition for the rest. */
int imp_http_status(int code);
