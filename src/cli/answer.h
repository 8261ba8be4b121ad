/* Members of a station's or cloud's answer, taken leniently: what is not there is "" or 0, because a peer of another version
 * may leave it out. (What must be right is read with base/json.h.)
 *
 * Thread rule: pure functions. */
#pragma once

#include <jansson.h>

#include <glib.h>

/* Borrowed from object. */
static inline const char *imp_answer_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static inline gint64 imp_answer_number(const json_t *object, const char *name)
{
    return (gint64)json_integer_value(json_object_get(object, name));
}

static inline gboolean imp_answer_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}
