/* The walker of yaml.h: loading files, reading mappings and values. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "base/yaml.h"

ImpYaml *imp_yaml_load(const char *path, GError **error)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        int reason = errno;
        imp_error_set(error, imp_error_code_of_errno(reason), "cannot read %s: %s", path, g_strerror(reason));
        return NULL;
    }
    /* One byte more than allowed, so that the parser sees that it is too long. */
    g_autofree char *text = g_malloc(IMP_YAML_BYTES_MAX + 1);
    gsize n_bytes = fread(text, 1, IMP_YAML_BYTES_MAX + 1, file);
    gboolean failed = ferror(file);
    int reason = errno;
    fclose(file);
    if (failed) {
        imp_error_set(error, imp_error_code_of_errno(reason), "cannot read %s: %s", path, g_strerror(reason));
        return NULL;
    }
    return imp_yaml_parse(text, n_bytes, path, error);
}

/* ---- mappings ---- */

static const char *kind_name(const ImpYamlNode *node)
{
    return node->kind == IMP_YAML_LIST  ? "a list"
           : node->kind == IMP_YAML_MAP ? "a mapping"
                                        : "a single value";
}

void imp_yaml_map_begin(ImpYamlMap *m, ImpYaml *yaml, const ImpYamlNode *node, const char *what)
{
    memset(m, 0, sizeof *m);
    m->yaml = yaml;
    m->what = what;
    m->node = node;
    if (node != NULL && node->kind != IMP_YAML_MAP) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "the %s must be a mapping (key: value), this is %s", what,
                       kind_name(node));
        m->node = NULL;
    }
}

const ImpYamlNode *imp_yaml_get(ImpYamlMap *m, const char *key)
{
    g_assert(m->n_asked < IMP_YAML_KEYS_MAX);
    m->asked[m->n_asked++] = key;
    if (m->node == NULL)
        return NULL;
    for (gsize i = 0; i < m->node->n_items; i++)
        if (strcmp(m->node->keys[i]->text, key) == 0)
            return m->node->items[i];
    return NULL;
}

const ImpYamlNode *imp_yaml_need(ImpYamlMap *m, const char *key)
{
    const ImpYamlNode *value = imp_yaml_get(m, key);
    if (value == NULL && m->node != NULL)
        imp_yaml_fault(m->yaml, m->node, IMP_E_SCHEMA, "key '%s' is missing in the %s", key, m->what);
    return value;
}

void imp_yaml_refuse(ImpYamlMap *m, const char *key, ImpErrorCode code)
{
    if (imp_yaml_get(m, key) == NULL)
        return;
    for (gsize i = 0; i < m->node->n_items; i++)
        if (strcmp(m->node->keys[i]->text, key) == 0)
            imp_yaml_fault(m->yaml, m->node->keys[i], code, "'%s' in the %s is not supported by this version",
                           key, m->what);
}

/* "a, b, c" of the words; free with g_free. */
static char *list_words(const char *const *words)
{
    return g_strjoinv(", ", (char **)words);
}

void imp_yaml_map_end(ImpYamlMap *m)
{
    if (m->node == NULL)
        return;
    for (gsize i = 0; i < m->node->n_items; i++) {
        const ImpYamlNode *key = m->node->keys[i];
        if (g_strv_contains(m->asked, key->text))
            continue;
        const char *nearest = imp_nearest(key->text, m->asked);
        if (nearest != NULL) {
            imp_yaml_fault(m->yaml, key, IMP_E_SCHEMA, "unknown key '%s' in the %s; did you mean '%s'?",
                           key->text, m->what, nearest);
        } else {
            g_autofree char *known = list_words(m->asked);
            imp_yaml_fault(m->yaml, key, IMP_E_SCHEMA, "unknown key '%s' in the %s; known are: %s", key->text,
                           m->what, known);
        }
    }
}

/* ---- values ---- */

/* A scalar's text; NULL and, if there is a node, a fault. */
static const char *scalar(ImpYaml *yaml, const ImpYamlNode *node, const char *expected)
{
    if (node == NULL)
        return NULL;
    if (node->kind == IMP_YAML_SCALAR)
        return node->text;
    imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected %s, this is %s", expected, kind_name(node));
    return NULL;
}

/* Likewise for what is never meant as text. */
static const char *plain(ImpYaml *yaml, const ImpYamlNode *node, const char *expected)
{
    const char *text = scalar(yaml, node, expected);
    if (text == NULL || !node->quoted)
        return text;
    imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected %s, without quotes", expected);
    return NULL;
}

const char *imp_yaml_string(ImpYaml *yaml, const ImpYamlNode *node, gsize min_bytes, gsize max_bytes,
                            const char *fallback)
{
    const char *text = scalar(yaml, node, "text");
    if (text == NULL)
        return fallback;
    gsize n_bytes = strlen(text);
    if (n_bytes < min_bytes && n_bytes == 0)
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected text, this is empty");
    else if (n_bytes < min_bytes || n_bytes > max_bytes)
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected text of %zu to %zu bytes, this has %zu", min_bytes,
                       max_bytes, n_bytes);
    else {
        for (const char *c = text; *c != '\0'; c++)
            if ((guchar)*c < 0x20 || *c == 0x7F) {
                imp_yaml_fault(yaml, node, IMP_E_SCHEMA,
                               "expected text in one line without control characters");
                return fallback;
            }
        return text;
    }
    return fallback;
}

guint64 imp_yaml_u64(ImpYaml *yaml, const ImpYamlNode *node, guint64 min, guint64 max, guint64 fallback)
{
    g_autofree char *expected =
        g_strdup_printf("a whole number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, min, max);
    const char *text = plain(yaml, node, expected);
    guint64 value;
    if (text == NULL)
        return fallback;
    if (!imp_number_parse(text, &value)) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected %s (decimal without leading zeroes, or 0x…)",
                       expected);
        return fallback;
    }
    if (value < min || value > max) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected %s", expected);
        return fallback;
    }
    return value;
}

gboolean imp_yaml_bool(ImpYaml *yaml, const ImpYamlNode *node, gboolean fallback)
{
    const char *text = plain(yaml, node, "true or false");
    if (text == NULL)
        return fallback;
    if (strcmp(text, "true") == 0)
        return TRUE;
    if (strcmp(text, "false") == 0)
        return FALSE;
    imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected true or false");
    return fallback;
}

int imp_yaml_word(ImpYaml *yaml, const ImpYamlNode *node, const char *const *words, int fallback)
{
    g_autofree char *known = list_words(words);
    g_autofree char *expected = g_strdup_printf("one of: %s", known);
    const char *text = scalar(yaml, node, expected);
    if (text == NULL)
        return fallback;
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    const char *nearest = imp_nearest(text, words);
    if (nearest != NULL)
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "unknown word '%s'; did you mean '%s'?", text, nearest);
    else
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "unknown word '%s'; expected %s", text, expected);
    return fallback;
}

guint64 imp_yaml_quantity(ImpYaml *yaml, const ImpYamlNode *node, ImpUnit unit, guint64 min, guint64 max,
                          guint64 fallback)
{
    const char *text = plain(yaml, node, imp_unit_expected(unit));
    guint64 value;
    if (text == NULL)
        return fallback;
    if (!imp_unit_parse(text, unit, &value)) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected %s", imp_unit_expected(unit));
        return fallback;
    }
    if (value < min || value > max) {
        g_autofree char *low = imp_unit_text(min, unit), *high = imp_unit_text(max, unit);
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected %s to %s", low, high);
        return fallback;
    }
    return value;
}

#define ADDRESS_EXPECTED "an address such as 0x0801F000"

guint64 imp_yaml_address(ImpYaml *yaml, const ImpYamlNode *node, guint64 fallback)
{
    const char *text = plain(yaml, node, ADDRESS_EXPECTED);
    guint64 value;
    if (text == NULL)
        return fallback;
    if (imp_address_parse(text, &value))
        return value;
    imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected " ADDRESS_EXPECTED);
    return fallback;
}

gboolean imp_yaml_address_range(ImpYaml *yaml, const ImpYamlNode *node, guint64 *out_first, guint64 *out_last)
{
    const char *expected = "a range of addresses such as 0x08000000 to 0x08003FFF";
    const char *text = plain(yaml, node, expected);
    g_autofree char *a = NULL, *b = NULL;
    guint64 first, last;
    if (text == NULL)
        return FALSE;
    if (!imp_range_split(text, &a, &b) || !imp_address_parse(a, &first) || !imp_address_parse(b, &last)) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected %s", expected);
        return FALSE;
    }
    if (first > last) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "the range ends before it begins");
        return FALSE;
    }
    *out_first = first;
    *out_last = last;
    return TRUE;
}

gboolean imp_yaml_number_range(ImpYaml *yaml, const ImpYamlNode *node, guint64 max, guint64 *out_first,
                               guint64 *out_last)
{
    const char *expected = "a range of whole numbers such as 1 to 5000";
    const char *text = plain(yaml, node, expected);
    g_autofree char *a = NULL, *b = NULL;
    guint64 first, last;
    if (text == NULL)
        return FALSE;
    if (!imp_range_split(text, &a, &b) || !imp_number_parse(a, &first) || !imp_number_parse(b, &last) ||
        first > max || last > max) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected %s", expected);
        return FALSE;
    }
    if (first > last) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "the range ends before it begins");
        return FALSE;
    }
    *out_first = first;
    *out_last = last;
    return TRUE;
}

gboolean imp_yaml_date_range(ImpYaml *yaml, const ImpYamlNode *node, gint64 *out_first_s, gint64 *out_last_s)
{
    const char *expected = "dates (UTC) such as 2026-12-01 to 2027-03-31";
    const char *text = plain(yaml, node, expected);
    g_autofree char *a = NULL, *b = NULL;
    gint64 first, last, unused;
    if (text == NULL)
        return FALSE;
    gboolean range = imp_range_split(text, &a, &b);
    if (!(range ? imp_date_parse(a, &first, &unused) && imp_date_parse(b, &unused, &last)
                : imp_date_parse(text, &first, &last))) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected %s", expected);
        return FALSE;
    }
    if (first > last) {
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "the range ends before it begins");
        return FALSE;
    }
    *out_first_s = first;
    *out_last_s = last;
    return TRUE;
}

const ImpYamlNode *imp_yaml_list(ImpYaml *yaml, const ImpYamlNode *node, gsize min_items, gsize max_items)
{
    if (node == NULL)
        return NULL;
    if (node->kind != IMP_YAML_LIST)
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected a list ([a, b], or lines with '- '), this is %s",
                       kind_name(node));
    else if (node->n_items < min_items || node->n_items > max_items)
        imp_yaml_fault(yaml, node, IMP_E_SCHEMA, "expected %zu to %zu items, these are %zu", min_items,
                       max_items, node->n_items);
    else
        return node;
    return NULL;
}

gsize imp_yaml_count(const ImpYamlNode *node)
{
    return node ? node->n_items : 0;
}
