/* The JSON forms of wire.h (api/types.yaml), strict in both directions.
 *
 * Decoding refuses by name, with the place ("reports[3]: …"), what is missing, unknown, of the wrong type, out of its
 * limits, or of another protocol version (IMP_E_UNSUPPORTED). Integers are exact, from 0 to G_MAXINT64; bytes are
 * lower-case hexadecimal. What is zero, empty or FALSE is left out, except where types.yaml says that a member is there
 * always. Decoding what was encoded gives the same struct.
 *
 * Encoding fails only on what must not be sent (IMP_E_ARGUMENT: a text that is not UTF-8 or holds control characters, an
 * integer beyond G_MAXINT64; IMP_E_LIMIT: a message that is too long).
 *
 * Life cycle: none. Thread rule: no state, any thread. */
#pragma once

#include <jansson.h>

#include "wire/wire.h"

/* Text for the wire, NUL-terminated; free with g_free. */
char *imp_sync_request_encode(const ImpSyncRequest *request, GError **error) G_GNUC_WARN_UNUSED_RESULT;
char *imp_sync_response_encode(const ImpSyncResponse *response, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* At most IMP_WIRE_MESSAGE_MAX bytes (IMP_E_LIMIT). Free with imp_sync_request_free, imp_sync_response_free. */
ImpSyncRequest *imp_sync_request_decode(const char *text, gsize n_bytes,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
ImpSyncResponse *imp_sync_response_decode(const char *text, gsize n_bytes,
                                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One record, number, or answer as a part of a larger document (logs, launch events). encode gives a new reference. */
json_t *imp_report_encode(const ImpReport *report, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_report_decode(const json_t *value, const char *where, ImpReport *out_report,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
json_t *imp_number_encode(const ImpNumber *number, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_number_decode(const json_t *value, const char *where, ImpNumber *out_number,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
json_t *imp_answer_encode(const ImpAnswer *answer, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_answer_decode(const json_t *value, const char *where, ImpAnswer *out_answer,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "granted", "refused", "withdrawn", "ended", "fresh", "confirmed", "conflict", "identified" */
const char *imp_answer_kind_name(ImpAnswerKind kind);
/* "none", "yes", "blocked", "stale", "first" */
const char *imp_welcome_name(ImpWelcome welcome);
