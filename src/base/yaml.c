#include "base/yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/nearest.h"

/* The tree is built from libyaml's events, not from its documents: so anchors, tags and depth are refused where they
 * stand, before anything is built from them. */

#define EXCERPT_COLUMNS 100 /* longer lines are shown around the place only */
#define FILE_NAME_MAX   4096

typedef struct {
    guint line, column, order;
    ImpErrorCode code;
    GString *text;
} Fault;

struct ImpYaml {
    char *file;
    char *text; /* valid UTF-8, lines end with \n */
    GPtrArray *lines; /* starts of lines in text */
    ImpYamlNode *root;
    guint n_nodes;
    GPtrArray *warnings; /* of Fault, at most IMP_YAML_FAULTS_MAX */
    GPtrArray *faults;
    guint n_faults; /* those not kept included */
};

static void node_free(ImpYamlNode *node)
{
    if (node == NULL)
        return;
    for (gsize i = 0; i < node->n_items; i++) {
        node_free(node->items[i]);
        if (node->keys != NULL)
            node_free(node->keys[i]);
    }
    g_free(node->items);
    g_free(node->keys);
    g_free(node->text);
    g_free(node);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpYamlNode, node_free)

static void fault_free(gpointer data)
{
    Fault *fault = data;
    g_string_free(fault->text, TRUE);
    g_free(fault);
}

void imp_yaml_free(ImpYaml *yaml)
{
    if (yaml == NULL)
        return;
    node_free(yaml->root);
    g_ptr_array_unref(yaml->faults);
    g_ptr_array_unref(yaml->warnings);
    g_ptr_array_unref(yaml->lines);
    g_free(yaml->text);
    g_free(yaml->file);
    g_free(yaml);
}

const ImpYamlNode *imp_yaml_root(const ImpYaml *yaml)
{
    return yaml->root;
}

/* ---- showing places ---- */

/* The line with the columns from column on marked: two lines of text, each with a newline in front. */
static void append_excerpt(const ImpYaml *yaml, GString *out, guint line, guint column, guint width)
{
    if (line == 0 || line > yaml->lines->len)
        return;
    const char *start = yaml->lines->pdata[line - 1];
    const char *end = strchr(start, '\n');
    glong columns = g_utf8_strlen(start, end ? end - start : -1);
    glong from =
        column > EXCERPT_COLUMNS / 2 && columns > EXCERPT_COLUMNS ? (glong)column - EXCERPT_COLUMNS / 2 : 0;
    glong shown = CLAMP(columns - from, 0, EXCERPT_COLUMNS);
    from = MIN(from, columns);
    const char *first = g_utf8_offset_to_pointer(start, from);
    const char *last = g_utf8_offset_to_pointer(first, shown);
    g_autofree char *excerpt = g_strdelimit(g_strndup(first, (gsize)(last - first)), "\t", ' ');
    g_autofree char *number = g_strdup_printf("%5u", line);
    g_string_append_printf(out, "\n%s | %s%s\n%*s | %s", number, from > 0 ? "…" : "", excerpt,
                           (int)strlen(number), "", from > 0 ? " " : "");
    glong before = (glong)column - 1 - from;
    for (glong i = 0; i < before; i++)
        g_string_append_c(out, ' ');
    for (glong i = 0; i < (glong)MAX(width, 1) && (i == 0 || before + i < shown); i++)
        g_string_append_c(out, '^');
}

static void append_place(const ImpYaml *yaml, GString *out, guint line, guint column)
{
    g_string_append(out, yaml->file);
    if (line > 0)
        g_string_append_printf(out, ":%u:%u", line, column);
    g_string_append(out, ": ");
}

char *imp_yaml_place(const ImpYaml *yaml, const ImpYamlNode *node)
{
    return g_strdup_printf("%s:%u:%u", yaml->file, node->line, node->column);
}

/* "recipe.yaml:7:5: what is wrong" with the line. */
static Fault *make_fault(const ImpYaml *yaml, const ImpYamlNode *node, guint order, const char *prefix,
                         const char *text)
{
    Fault *fault = g_new0(Fault, 1);
    fault->order = order;
    fault->text = g_string_new(NULL);
    if (node != NULL) {
        fault->line = node->line;
        fault->column = node->column;
    }
    append_place(yaml, fault->text, fault->line, fault->column);
    g_string_append(fault->text, prefix);
    g_string_append(fault->text, text);
    if (node != NULL)
        append_excerpt(yaml, fault->text, node->line, node->column, node->width);
    return fault;
}

static void add_fault(ImpYaml *yaml, const ImpYamlNode *node, ImpErrorCode code, const char *text)
{
    yaml->n_faults++;
    if (yaml->faults->len == IMP_YAML_FAULTS_MAX)
        return;
    Fault *fault = make_fault(yaml, node, yaml->faults->len, "", text);
    fault->code = code;
    g_ptr_array_add(yaml->faults, fault);
}

void imp_yaml_fault(ImpYaml *yaml, const ImpYamlNode *node, ImpErrorCode code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    add_fault(yaml, node, code, text);
}

void imp_yaml_warn(ImpYaml *yaml, const ImpYamlNode *node, const char *format, ...)
{
    if (yaml->warnings->len == IMP_YAML_FAULTS_MAX)
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_ptr_array_add(yaml->warnings, make_fault(yaml, node, yaml->warnings->len, "warning: ", text));
}

void imp_yaml_note(ImpYaml *yaml, const ImpYamlNode *node, const char *format, ...)
{
    g_assert(yaml->n_faults > 0);
    if (yaml->n_faults > yaml->faults->len)
        return; /* the fault itself was not kept */
    GString *out = ((Fault *)yaml->faults->pdata[yaml->faults->len - 1])->text;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_string_append_c(out, '\n');
    append_place(yaml, out, node->line, node->column);
    g_string_append_printf(out, "note: %s", text);
    append_excerpt(yaml, out, node->line, node->column, node->width);
}

void imp_yaml_take(ImpYaml *yaml, const ImpYamlNode *node, GError *error)
{
    add_fault(yaml, node, (ImpErrorCode)imp_error_code(error), error->message);
    g_error_free(error);
}

gboolean imp_yaml_ok(const ImpYaml *yaml)
{
    return yaml->n_faults == 0;
}

static int by_place(gconstpointer a, gconstpointer b)
{
    const Fault *x = *(const Fault *const *)a, *y = *(const Fault *const *)b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

gboolean imp_yaml_end(ImpYaml *yaml, GError **error)
{
    if (yaml->n_faults == 0)
        return TRUE;
    g_ptr_array_sort(yaml->faults, by_place);
    g_autoptr(GString) all = g_string_new(NULL);
    for (guint i = 0; i < yaml->faults->len; i++)
        g_string_append_printf(all, "%s%s", i ? "\n" : "",
                               ((const Fault *)yaml->faults->pdata[i])->text->str);
    if (yaml->n_faults > yaml->faults->len)
        g_string_append_printf(all, "\n%s: and %u more", yaml->file, yaml->n_faults - yaml->faults->len);
    imp_error_set(error, ((const Fault *)yaml->faults->pdata[0])->code, "%s", all->str);
    return FALSE;
}

char **imp_yaml_warnings(const ImpYaml *yaml)
{
    char **all = g_new0(char *, yaml->warnings->len + 1);
    g_ptr_array_sort(yaml->warnings, by_place);
    for (guint i = 0; i < yaml->warnings->len; i++)
        all[i] = g_strdup(((const Fault *)yaml->warnings->pdata[i])->text->str);
    return all;
}

/* ---- variables ---- */

typedef struct {
    ImpYaml *yaml;
    GHashTable *values; /* name → value */
    GHashTable *used; /* names; borrowed from values */
} Variables;

/* The number of bytes of a name at the start of text; 0 if there is none. */
static gsize name_bytes(const char *text)
{
    gsize n = 0;
    if (!g_ascii_isalpha(text[0]) && text[0] != '_')
        return 0;
    while (g_ascii_isalnum(text[n]) || text[n] == '_')
        n++;
    return n;
}

static void unknown_variable(const Variables *v, const ImpYamlNode *node, const char *name)
{
    g_autofree const char **names = (const char **)g_hash_table_get_keys_as_array(v->values, NULL);
    const char *nearest = imp_nearest(name, names);
    if (nearest != NULL)
        imp_yaml_fault(v->yaml, node, IMP_E_SCHEMA, "there is no variable '%s'; did you mean '%s'?", name,
                       nearest);
    else
        imp_yaml_fault(v->yaml, node, IMP_E_SCHEMA, "there is no variable '%s': give it with -D %s=VALUE",
                       name, name);
}

/* Appends what text begins with, ${NAME}, and moves it on; FALSE and a fault if it cannot be. */
static gboolean put_variable(Variables *v, const ImpYamlNode *node, const char **text, GString *out)
{
    gsize n = name_bytes(*text + 2);
    if (n == 0 || (*text)[2 + n] != '}') {
        imp_yaml_fault(v->yaml, node, IMP_E_SCHEMA,
                       "a variable is written ${NAME}, with letters, digits and '_'; $${ stands for ${");
        return FALSE;
    }
    g_autofree char *name = g_strndup(*text + 2, n);
    gpointer key, value;
    if (!g_hash_table_lookup_extended(v->values, name, &key, &value)) {
        unknown_variable(v, node, name);
        return FALSE;
    }
    g_hash_table_add(v->used, key);
    g_string_append(out, value);
    *text += n + 3;
    return TRUE;
}

static void expand_scalar(Variables *v, ImpYamlNode *node)
{
    if (strstr(node->text, "${") == NULL)
        return;
    const char *text = node->text;
    gboolean alone = g_str_has_prefix(text, "${") && strchr(text, '}') == text + strlen(text) - 1;
    g_autoptr(GString) out = g_string_new(NULL);
    while (*text != '\0' && out->len <= IMP_YAML_VARIABLE_MAX) {
        if (g_str_has_prefix(text, "$${")) {
            g_string_append(out, "${");
            text += 3;
        } else if (g_str_has_prefix(text, "${")) {
            if (!put_variable(v, node, &text, out))
                return;
        } else {
            g_string_append_c(out, *text++);
        }
    }
    if (out->len > IMP_YAML_VARIABLE_MAX) {
        imp_yaml_fault(v->yaml, node, IMP_E_LIMIT, "with its variables this has more than %d bytes",
                       IMP_YAML_VARIABLE_MAX);
        return;
    }
    node->quoted = node->quoted && !alone;
    g_free(node->text);
    node->text = g_strdup(out->str);
}

static void expand(Variables *v, ImpYamlNode *node)
{
    if (node->kind == IMP_YAML_SCALAR)
        expand_scalar(v, node);
    for (gsize i = 0; i < node->n_items; i++)
        expand(v, node->items[i]);
}

void imp_yaml_define(ImpYaml *yaml, const char *const *definitions)
{
    g_autoptr(GHashTable) values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GHashTable) used = g_hash_table_new(g_str_hash, g_str_equal);
    Variables v = {.yaml = yaml, .values = values, .used = used};
    for (const char *const *d = definitions; d != NULL && *d != NULL; d++) {
        gsize n = name_bytes(*d);
        g_autofree char *name = g_strndup(*d, n);
        if (n == 0 || (*d)[n] != '=' || !g_utf8_validate(*d, -1, NULL))
            imp_yaml_fault(yaml, NULL, IMP_E_ARGUMENT,
                           "-D %s is not like NAME=VALUE, with a name of letters, digits "
                           "and '_'",
                           *d);
        else if (g_hash_table_contains(values, name))
            imp_yaml_fault(yaml, NULL, IMP_E_ARGUMENT, "variable '%s' is given twice", name);
        else
            g_hash_table_insert(values, g_steal_pointer(&name), g_strdup(*d + n + 1));
    }
    expand(&v, yaml->root);
    for (const char *const *d = definitions; d != NULL && *d != NULL; d++) {
        g_autofree char *name = g_strndup(*d, name_bytes(*d));
        if (g_hash_table_contains(values, name) && !g_hash_table_contains(used, name))
            imp_yaml_fault(yaml, NULL, IMP_E_ARGUMENT, "variable '%s' is given, but there is no ${%s}", name,
                           name);
    }
}

/* ---- parsing ---- */

/* A syntax fault at a mark of libyaml (which counts from 0). */
static gboolean syntax(const ImpYaml *yaml, yaml_mark_t mark, guint width, GError **error, const char *format,
                       ...) G_GNUC_PRINTF(5, 6);
static gboolean syntax(const ImpYaml *yaml, yaml_mark_t mark, guint width, GError **error, const char *format,
                       ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_autoptr(GString) text = g_string_new(NULL);
    append_place(yaml, text, (guint)mark.line + 1, (guint)mark.column + 1);
    g_string_append(text, what);
    append_excerpt(yaml, text, (guint)mark.line + 1, (guint)mark.column + 1, width);
    imp_error_set(error, IMP_E_SYNTAX, "%s", text->str);
    return FALSE;
}

/* The next event, to be deleted by the caller. */
static gboolean next_event(const ImpYaml *yaml, yaml_parser_t *parser, yaml_event_t *event, GError **error)
{
    if (yaml_parser_parse(parser, event))
        return TRUE;
    if (parser->error == YAML_MEMORY_ERROR) {
        imp_error_set(error, IMP_E_NO_MEMORY, "%s: no memory to parse it", yaml->file);
        return FALSE;
    }
    const char *problem = parser->problem ? parser->problem : "not YAML";
    if (parser->context == NULL)
        return syntax(yaml, parser->problem_mark, 1, error, "%s", problem);
    return syntax(yaml, parser->problem_mark, 1, error, "%s, %s (line %zu)", problem, parser->context,
                  parser->context_mark.line + 1);
}

static gboolean make_node(ImpYaml *yaml, const yaml_event_t *event, ImpYamlKind kind,
                          const yaml_char_t *anchor, const yaml_char_t *tag, ImpYamlNode **out_node,
                          GError **error)
{
    yaml_mark_t at = event->start_mark;
    if (anchor != NULL)
        return syntax(yaml, at, 1, error, "anchors (&%s) are not allowed here", (const char *)anchor);
    if (tag != NULL)
        return syntax(yaml, at, 1, error, "tags (%s) are not allowed here", (const char *)tag);
    if (yaml->n_nodes == IMP_YAML_NODES_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "%s:%zu:%zu: more than %d values", yaml->file, at.line + 1,
                      at.column + 1, IMP_YAML_NODES_MAX);
        return FALSE;
    }
    yaml->n_nodes++;
    ImpYamlNode *node = g_new0(ImpYamlNode, 1);
    node->kind = kind;
    node->line = (guint)at.line + 1;
    node->column = (guint)at.column + 1;
    node->width = 1;
    if (kind == IMP_YAML_SCALAR) {
        node->text = g_strndup((const char *)event->data.scalar.value, event->data.scalar.length);
        node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        if (event->end_mark.line == at.line && event->end_mark.column > at.column)
            node->width = (guint)(event->end_mark.column - at.column);
        if (strlen(node->text) != event->data.scalar.length) {
            node_free(node);
            return syntax(yaml, at, 1, error, "a NUL character is not allowed");
        }
    }
    *out_node = node;
    return TRUE;
}

static gboolean build(ImpYaml *yaml, yaml_parser_t *parser, const yaml_event_t *event, guint depth,
                      ImpYamlNode **out_node, GError **error);

/* Builds the next node; *out_ended instead if the event ends the collection. */
static gboolean build_next(ImpYaml *yaml, yaml_parser_t *parser, yaml_event_type_t end, guint depth,
                           ImpYamlNode **out_node, gboolean *out_ended, GError **error)
{
    yaml_event_t event;
    if (!next_event(yaml, parser, &event, error))
        return FALSE;
    *out_ended = event.type == end;
    gboolean ok = *out_ended || build(yaml, parser, &event, depth, out_node, error);
    yaml_event_delete(&event);
    return ok;
}

static gboolean build_list(ImpYaml *yaml, yaml_parser_t *parser, guint depth, ImpYamlNode *list,
                           GError **error)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new();
    gboolean ok, ended = FALSE;
    for (;;) {
        ImpYamlNode *item = NULL;
        ok = build_next(yaml, parser, YAML_SEQUENCE_END_EVENT, depth, &item, &ended, error);
        if (!ok || ended)
            break;
        g_ptr_array_add(items, item);
    }
    list->n_items = items->len;
    list->items = (ImpYamlNode **)g_ptr_array_free(g_steal_pointer(&items), FALSE);
    return ok;
}

static gboolean check_key(ImpYaml *yaml, GHashTable *seen, const ImpYamlNode *key, GError **error)
{
    yaml_mark_t at = {.line = key->line - 1, .column = key->column - 1};
    if (key->kind != IMP_YAML_SCALAR)
        return syntax(yaml, at, 1, error, "a key must be a word");
    const ImpYamlNode *first = g_hash_table_lookup(seen, key->text);
    if (first != NULL)
        return syntax(yaml, at, key->width, error, "key '%s' stands twice; the first is in line %u",
                      key->text, first->line);
    g_hash_table_insert(seen, key->text, (gpointer)key);
    return TRUE;
}

static gboolean build_map(ImpYaml *yaml, yaml_parser_t *parser, guint depth, ImpYamlNode *map, GError **error)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new(), values = g_ptr_array_new();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    gboolean ok, ended = FALSE;
    for (;;) {
        ImpYamlNode *key = NULL, *value = NULL;
        ok = build_next(yaml, parser, YAML_MAPPING_END_EVENT, depth, &key, &ended, error);
        if (!ok || ended)
            break;
        ok = check_key(yaml, seen, key, error) &&
             build_next(yaml, parser, YAML_NO_EVENT, depth, &value, &ended, error);
        if (!ok) {
            node_free(key);
            break;
        }
        g_ptr_array_add(keys, key);
        g_ptr_array_add(values, value);
    }
    map->n_items = keys->len;
    map->keys = (ImpYamlNode **)g_ptr_array_free(g_steal_pointer(&keys), FALSE);
    map->items = (ImpYamlNode **)g_ptr_array_free(g_steal_pointer(&values), FALSE);
    return ok;
}

static gboolean build(ImpYaml *yaml, yaml_parser_t *parser, const yaml_event_t *event, guint depth,
                      ImpYamlNode **out_node, GError **error)
{
    g_autoptr(ImpYamlNode) node = NULL;
    if (depth == IMP_YAML_DEPTH_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "%s:%zu:%zu: nested deeper than %d", yaml->file,
                      event->start_mark.line + 1, event->start_mark.column + 1, IMP_YAML_DEPTH_MAX);
        return FALSE;
    }
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return syntax(yaml, event->start_mark, 1, error, "aliases (*%s) are not allowed here",
                      (const char *)event->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        if (!make_node(yaml, event, IMP_YAML_SCALAR, event->data.scalar.anchor, event->data.scalar.tag, &node,
                       error))
            return FALSE;
        break;
    case YAML_SEQUENCE_START_EVENT:
        if (!make_node(yaml, event, IMP_YAML_LIST, event->data.sequence_start.anchor,
                       event->data.sequence_start.tag, &node, error) ||
            !build_list(yaml, parser, depth + 1, node, error))
            return FALSE;
        break;
    case YAML_MAPPING_START_EVENT:
        if (!make_node(yaml, event, IMP_YAML_MAP, event->data.mapping_start.anchor,
                       event->data.mapping_start.tag, &node, error) ||
            !build_map(yaml, parser, depth + 1, node, error))
            return FALSE;
        break;
    default:
        return syntax(yaml, event->start_mark, 1, error, "a value is missing");
    }
    *out_node = g_steal_pointer(&node);
    return TRUE;
}

/* Reads one event that must be of the given type. */
static gboolean expect(ImpYaml *yaml, yaml_parser_t *parser, yaml_event_type_t type, const char *otherwise,
                       GError **error)
{
    yaml_event_t event;
    if (!next_event(yaml, parser, &event, error))
        return FALSE;
    gboolean ok = event.type == type;
    if (!ok)
        syntax(yaml, event.start_mark, 1, error, "%s", otherwise);
    else if (type == YAML_DOCUMENT_START_EVENT &&
             event.data.document_start.tag_directives.start != event.data.document_start.tag_directives.end)
        ok = syntax(yaml, event.start_mark, 1, error, "%%TAG is not allowed here");
    yaml_event_delete(&event);
    return ok;
}

static gboolean parse(ImpYaml *yaml, yaml_parser_t *parser, GError **error)
{
    yaml_event_t event;
    if (!expect(yaml, parser, YAML_STREAM_START_EVENT, "not YAML", error) ||
        !expect(yaml, parser, YAML_DOCUMENT_START_EVENT, "the file is empty", error) ||
        !next_event(yaml, parser, &event, error))
        return FALSE;
    gboolean ok = build(yaml, parser, &event, 0, &yaml->root, error);
    yaml_event_delete(&event);
    return ok && expect(yaml, parser, YAML_DOCUMENT_END_EVENT, "one value too many", error) &&
           expect(yaml, parser, YAML_STREAM_END_EVENT, "a second document begins; one file holds one", error);
}

/* Checks the bytes, makes every line end a \n, notes where lines begin. */
static gboolean take_text(ImpYaml *yaml, const char *text, gsize n_bytes, GError **error)
{
    if (n_bytes > IMP_YAML_BYTES_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "%s: %zu bytes, the limit is %d", yaml->file, n_bytes,
                      IMP_YAML_BYTES_MAX);
        return FALSE;
    }
    if (n_bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3; /* the mark that some editors put in front of UTF-8 */
        n_bytes -= 3;
    }
    guint line = 1;
    const char *bad;
    GString *lines = g_string_sized_new(n_bytes + 1);
    gboolean valid = g_utf8_validate(text, (gssize)n_bytes, &bad);
    for (const char *p = text; p < bad; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (c == '\r' && p + 1 < bad && p[1] == '\n')
            continue;
        /* Line ends that YAML knows and editors do not show, and control characters. */
        if ((c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 ||
            c == 0xFEFF) {
            imp_error_set(error, IMP_E_SYNTAX, "%s:%u: character U+%04X is not allowed", yaml->file, line, c);
            g_string_free(lines, TRUE);
            return FALSE;
        }
        line += c == '\n';
        g_string_append_unichar(lines, c);
    }
    yaml->text = g_string_free(lines, FALSE);
    if (!valid) {
        imp_error_set(error, IMP_E_SYNTAX, "%s:%u: not UTF-8 text (byte 0x%02X)", yaml->file, line,
                      (guint8)*bad);
        return FALSE;
    }
    for (char *p = yaml->text; p != NULL; p = strchr(p, '\n')) {
        p += p != yaml->text || yaml->lines->len > 0;
        g_ptr_array_add(yaml->lines, p);
    }
    return TRUE;
}

ImpYaml *imp_yaml_parse(const char *text, gsize n_bytes, const char *file, GError **error)
{
    g_autoptr(ImpYaml) yaml = g_new0(ImpYaml, 1);
    yaml->file = g_strndup(file, FILE_NAME_MAX);
    yaml->lines = g_ptr_array_new();
    yaml->faults = g_ptr_array_new_with_free_func(fault_free);
    yaml->warnings = g_ptr_array_new_with_free_func(fault_free);
    if (!take_text(yaml, text, n_bytes, error))
        return NULL;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        imp_error_set(error, IMP_E_NO_MEMORY, "%s: no memory to parse it", file);
        return NULL;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml->text, strlen(yaml->text));
    gboolean ok = parse(yaml, &parser, error);
    yaml_parser_delete(&parser);
    return ok ? g_steal_pointer(&yaml) : NULL;
}
