#include "launch/given.h"

#include <string.h>

#include "base/nearest.h"

/* What a pattern from an image may cost; PCRE2 gives up behind it, and then the label does not match. */
#define MATCH_LIMIT "(*LIMIT_MATCH=100000)"

static gboolean is_given(ImpValueKind kind)
{
    return kind == IMP_VALUE_GIVEN || kind == IMP_VALUE_BARCODE;
}

GBytes *imp_given_find(const ImpContent *content, gsize value_index, const ImpGiven *given, gsize n_given)
{
    const ImpValue *value = &content->values[value_index];
    GBytes *label = NULL;
    for (gsize i = 0; is_given(value->kind) && i < n_given; i++) {
        if (given[i].name != NULL && strcmp(given[i].name, value->name) == 0)
            return given[i].bytes;
        if (given[i].name == NULL && value->kind == IMP_VALUE_BARCODE)
            label = given[i].bytes;
    }
    return label;
}

/* Every given value has one that it is for, and each is given once. */
static gboolean check_names(const ImpContent *content, const ImpGiven *given, gsize n_given, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    gboolean has_label = FALSE;
    for (gsize v = 0; v < content->n_values; v++) {
        if (is_given(content->values[v].kind))
            g_ptr_array_add(names, content->values[v].name);
        has_label = has_label || content->values[v].kind == IMP_VALUE_BARCODE;
    }
    g_ptr_array_add(names, NULL);
    for (gsize i = 0; i < n_given; i++) {
        const char *name = given[i].name != NULL ? given[i].name : "the barcode";
        if (given[i].name == NULL && !has_label) {
            imp_error_set(error, IMP_E_GIVEN_UNKNOWN, "'%s' has no value that is a label's barcode",
                          content->name);
            return FALSE;
        }
        if (given[i].name != NULL && !g_strv_contains((const char *const *)names->pdata, name)) {
            const char *nearest = imp_nearest(name, (const char *const *)names->pdata);
            imp_error_set(error, IMP_E_GIVEN_UNKNOWN,
                          "'%s' has no value '%s' that is given with a launch%s%s%s", content->name, name,
                          nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
            return FALSE;
        }
        for (gsize k = 0; k < i; k++)
            if (g_strcmp0(given[i].name, given[k].name) == 0) {
                imp_error_set(error, IMP_E_GIVEN_UNKNOWN, "%s is given twice", name);
                return FALSE;
            }
    }
    return TRUE;
}

static gboolean check_size(const ImpValue *value, gsize n_bytes, gsize min, gsize max, GError **error)
{
    if (n_bytes >= min && n_bytes <= max)
        return TRUE;
    imp_error_set(error, IMP_E_GIVEN_SIZE,
                  "value '%s' was given %" G_GSIZE_FORMAT " bytes; it has %" G_GSIZE_FORMAT
                  " to %" G_GSIZE_FORMAT,
                  value->name, n_bytes, min, max);
    return FALSE;
}

static gboolean check_label(const ImpValue *value, GBytes *bytes, GError **error)
{
    gsize n_bytes;
    const char *text = g_bytes_get_data(bytes, &n_bytes);
    g_autofree char *pattern = g_strdup_printf(MATCH_LIMIT "(?:%s)\\z", value->rule);
    g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_RAW | G_REGEX_ANCHORED, 0, NULL);
    if (!check_size(value, n_bytes, 1, IMP_CONTENT_VALUE_BYTES_MAX, error))
        return FALSE;
    if (regex != NULL && g_regex_match_full(regex, text, (gssize)n_bytes, 0, 0, NULL, NULL))
        return TRUE;
    imp_error_set(error, IMP_E_GIVEN_BARCODE, "the label for '%s' is none of this product: its rule is %s",
                  value->name, value->rule);
    return FALSE;
}

/* A value that is too long for one of its places would only be found out when the unit is at work. */
static gboolean check_places(const ImpContent *content, gsize value_index, gsize n_bytes, GError **error)
{
    for (gsize i = 0; i < content->n_places; i++)
        if (content->places[i].value_index == value_index &&
            !check_size(&content->values[value_index], n_bytes, 1, content->places[i].size_bytes, error)) {
            g_prefix_error(
                error, "the place at 0x%08" G_GINT64_MODIFIER "X is too small: ", content->places[i].address);
            return FALSE;
        }
    return TRUE;
}

gboolean imp_given_check(const ImpContent *content, const ImpGiven *given, gsize n_given, gboolean all,
                         GError **error)
{
    if (!check_names(content, given, n_given, error))
        return FALSE;
    for (gsize v = 0; v < content->n_values; v++) {
        const ImpValue *value = &content->values[v];
        GBytes *bytes = imp_given_find(content, v, given, n_given);
        if (!is_given(value->kind) || (bytes == NULL && !all))
            continue;
        if (bytes == NULL) {
            imp_error_set(error, IMP_E_GIVEN_MISSING, "'%s' needs value '%s' to be given with the launch%s",
                          content->name, value->name,
                          value->kind == IMP_VALUE_BARCODE ? ": the text of the unit's label" : "");
            return FALSE;
        }
        gboolean good =
            value->kind == IMP_VALUE_BARCODE
                ? check_label(value, bytes, error)
                : check_size(value, g_bytes_get_size(bytes), value->size_min, value->size_max, error);
        if (!good || !check_places(content, v, g_bytes_get_size(bytes), error))
            return FALSE;
    }
    return TRUE;
}

gboolean imp_given_check_units(const ImpContent *content, gsize n_units, GError **error)
{
    for (gsize v = 0; n_units > 1 && v < content->n_values; v++)
        if (content->values[v].kind == IMP_VALUE_BARCODE) {
            imp_error_set(error, IMP_E_GIVEN_BARCODE,
                          "'%s' wants the label of each unit: start one unit at a time", content->name);
            return FALSE;
        }
    return TRUE;
}
