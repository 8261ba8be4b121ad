/* The YAML tree and its walker: what is read, and the exact words about what is refused. */
#include <string.h>

#include "base/yaml.h"

static ImpYaml *parse(const char *text, GError **error)
{
    return imp_yaml_parse(text, strlen(text), "t.yaml", error);
}

static void test_tree(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpYaml) yaml = parse("\xEF\xBB\xBF# remark\r\nname: Blinky\r\n"
                                    "list: [1, 'two', {a: b}]\n"
                                    "text: \"\\u00E4 b\"\nblock: |\n  one\n  two\nempty:\n",
                                    &error);
    g_assert_no_error(error);
    const ImpYamlNode *root = imp_yaml_root(yaml);
    g_assert_cmpint(root->kind, ==, IMP_YAML_MAP);
    g_assert_cmpuint(root->n_items, ==, 5);
    g_assert_cmpstr(root->keys[0]->text, ==, "name");
    g_assert_cmpuint(root->keys[0]->line, ==, 2);
    g_assert_cmpuint(root->items[0]->column, ==, 7);
    g_assert_cmpuint(root->items[0]->width, ==, 6);
    g_assert_false(root->items[0]->quoted);
    const ImpYamlNode *list = root->items[1];
    g_assert_cmpint(list->kind, ==, IMP_YAML_LIST);
    g_assert_true(list->items[1]->quoted);
    g_assert_cmpstr(list->items[2]->items[0]->text, ==, "b");
    g_assert_cmpstr(root->items[2]->text, ==, "\xC3\xA4 b");
    g_assert_cmpstr(root->items[3]->text, ==, "one\ntwo\n");
    g_assert_cmpstr(root->items[4]->text, ==, "");
}

/* Texts that are no tree. */
static const struct {
    const char *name, *text, *message;
    ImpErrorCode code;
} bad_syntax[] = {
    {"empty", "", "t.yaml:1:1: the file is empty\n    1 | \n      | ^", IMP_E_SYNTAX},
    {"two-documents", "a: 1\n---\nb: 2\n",
     "t.yaml:2:1: a second document begins; one file holds one\n    2 | ---\n      | ^", IMP_E_SYNTAX},
    {"anchor", "a: &x 1\n", "t.yaml:1:4: anchors (&x) are not allowed here\n    1 | a: &x 1\n      |    ^",
     IMP_E_SYNTAX},
    {"alias", "a: *x\n", "t.yaml:1:4: aliases (*x) are not allowed here\n    1 | a: *x\n      |    ^",
     IMP_E_SYNTAX},
    {"tag", "a: !!int 1\n",
     "t.yaml:1:4: tags (tag:yaml.org,2002:int) are not allowed here\n    1 | a: !!int 1\n      |    ^",
     IMP_E_SYNTAX},
    {"tag-directive", "%TAG ! tag:x,2000:\n---\na: 1\n",
     "t.yaml:1:1: %TAG is not allowed here\n    1 | %TAG ! tag:x,2000:\n      | ^", IMP_E_SYNTAX},
    {"duplicate", "a: 1\nbb: 2\na: 3\n",
     "t.yaml:3:1: key 'a' stands twice; the first is in line 1\n    3 | a: 3\n      | ^", IMP_E_SYNTAX},
    {"key-list", "[a, b]: 1\n", "t.yaml:1:1: a key must be a word\n    1 | [a, b]: 1\n      | ^",
     IMP_E_SYNTAX},
    {"bracket", "a: [1, 2\nb: 3\n",
     "t.yaml:2:2: did not find expected ',' or ']', while parsing a flow sequence (line 1)\n    2 | b: 3\n   "
     "   |  ^",
     IMP_E_SYNTAX},
    {"tab", "a:\n\tb: 1\n",
     "t.yaml:2:1: found character that cannot start any token, while scanning for the next token (line 2)\n"
     "    2 |  b: 1\n      | ^",
     IMP_E_SYNTAX},
    {"control", "a: b\x07\n", "t.yaml:1: character U+0007 is not allowed", IMP_E_SYNTAX},
    {"lone-return", "a: b\n\rc: d\n", "t.yaml:2: character U+000D is not allowed", IMP_E_SYNTAX},
    {"not-utf8", "a: b\nc: \xE4\n", "t.yaml:2: not UTF-8 text (byte 0xE4)", IMP_E_SYNTAX},
    {"nul-escape", "a: \"\\0\"\n",
     "t.yaml:1:4: a NUL character is not allowed\n    1 | a: \"\\0\"\n      |    ^", IMP_E_SYNTAX},
    {"deep", "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "t.yaml:1:17: nested deeper than 16", IMP_E_LIMIT},
};

static void test_bad_syntax(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_assert_null(parse(bad_syntax[i].text, &error));
    g_assert_cmpstr(error->message, ==, bad_syntax[i].message);
    g_assert_error(error, IMP_ERROR, (int)bad_syntax[i].code);
}

static void test_limits(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *large = g_strnfill(IMP_YAML_BYTES_MAX + 1, 'a');
    g_assert_null(imp_yaml_parse(large, IMP_YAML_BYTES_MAX + 1, "t.yaml", &error));
    g_assert_error(error, IMP_ERROR, IMP_E_LIMIT);
    g_clear_error(&error);
    g_autoptr(GString) many = g_string_new("[");
    for (int i = 0; i < IMP_YAML_NODES_MAX; i++)
        g_string_append(many, "1,");
    g_string_append(many, "]");
    g_assert_null(parse(many->str, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_LIMIT);
}

/* A reader of everything that the walker offers. */
static gboolean read_all(ImpYaml *yaml, GError **error)
{
    static const char *const words[] = {"checksum", "read-back", NULL};
    guint64 a, b;
    gint64 s, t;
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, imp_yaml_root(yaml), "test");
    imp_yaml_string(yaml, imp_yaml_need(&m, "name"), 1, 8, "");
    imp_yaml_u64(yaml, imp_yaml_get(&m, "port"), 1, 65535, 0);
    imp_yaml_bool(yaml, imp_yaml_get(&m, "on"), FALSE);
    imp_yaml_word(yaml, imp_yaml_get(&m, "verify"), words, 0);
    imp_yaml_quantity(yaml, imp_yaml_get(&m, "swd"), IMP_UNIT_HZ, 1000, 50000000, 0);
    imp_yaml_address(yaml, imp_yaml_get(&m, "at"), 0);
    (void)imp_yaml_address_range(yaml, imp_yaml_get(&m, "within"), &a, &b);
    (void)imp_yaml_date_range(yaml, imp_yaml_get(&m, "dates"), &s, &t);
    imp_yaml_list(yaml, imp_yaml_get(&m, "items"), 1, 2);
    imp_yaml_refuse(&m, "power", IMP_E_UNSUPPORTED);
    imp_yaml_map_end(&m);
    return imp_yaml_end(yaml, error);
}

/* Second line of the document (the first is "name: x") and what is said about it. */
static const struct {
    const char *name, *line, *message;
} bad_schema[] = {
    {"unknown-near", "prot: 80",
     "t.yaml:2:1: unknown key 'prot' in the test; did you mean 'port'?\n    2 | prot: 80\n      | ^^^^"},
    {"unknown-far", "colour: red",
     "t.yaml:2:1: unknown key 'colour' in the test; known are: name, port, on, verify, swd, at, within, "
     "dates, items, "
     "power\n    2 | colour: red\n      | ^^^^^^"},
    {"unsupported", "power: {}",
     "t.yaml:2:1: 'power' in the test is not supported by this version\n    2 | power: {}\n      | ^^^^^"},
    {"number-octal", "port: 010",
     "t.yaml:2:7: expected a whole number from 1 to 65535 (decimal without leading zeroes, or 0x…)\n"
     "    2 | port: 010\n      |       ^^^"},
    {"number-underscore", "port: 1_000",
     "t.yaml:2:7: expected a whole number from 1 to 65535 (decimal without leading zeroes, or 0x…)\n"
     "    2 | port: 1_000\n      |       ^^^^^"},
    {"number-negative", "port: -1",
     "t.yaml:2:7: expected a whole number from 1 to 65535 (decimal without leading zeroes, or 0x…)\n"
     "    2 | port: -1\n      |       ^^"},
    {"number-range", "port: 65536",
     "t.yaml:2:7: expected a whole number from 1 to 65535\n    2 | port: 65536\n      |       ^^^^^"},
    {"number-quoted", "port: '80'",
     "t.yaml:2:7: expected a whole number from 1 to 65535, without quotes\n    2 | port: '80'\n      |       "
     "^^^^"},
    {"number-list", "port: [80]",
     "t.yaml:2:7: expected a whole number from 1 to 65535, this is a list\n    2 | port: [80]\n      |       "
     "^"},
    {"bool", "on: yes", "t.yaml:2:5: expected true or false\n    2 | on: yes\n      |     ^^^"},
    {"word-near", "verify: cheksum",
     "t.yaml:2:9: unknown word 'cheksum'; did you mean 'checksum'?\n    2 | verify: cheksum\n      |         "
     "^^^^^^^"},
    {"word-far", "verify: maybe",
     "t.yaml:2:9: unknown word 'maybe'; expected one of: checksum, read-back\n    2 | verify: maybe\n"
     "      |         ^^^^^"},
    {"unit-missing", "swd: 4",
     "t.yaml:2:6: expected a frequency such as '4 MHz' or '500 kHz'\n    2 | swd: 4\n      |      ^"},
    {"unit-range", "swd: 100 MHz",
     "t.yaml:2:6: expected 1 kHz to 50 MHz\n    2 | swd: 100 MHz\n      |      ^^^^^^^"},
    {"address", "at: 4096",
     "t.yaml:2:5: expected an address such as 0x0801F000\n    2 | at: 4096\n      |     ^^^^"},
    {"range-form", "within: 0x0-0x10",
     "t.yaml:2:9: expected a range of addresses such as 0x08000000 to 0x08003FFF\n    2 | within: 0x0-0x10\n"
     "      |         ^^^^^^^^"},
    {"range-order", "within: 0x20 to 0x10",
     "t.yaml:2:9: the range ends before it begins\n    2 | within: 0x20 to 0x10\n      |         "
     "^^^^^^^^^^^^"},
    {"dates", "dates: tomorrow",
     "t.yaml:2:8: expected dates (UTC) such as 2026-12-01 to 2027-03-31\n    2 | dates: tomorrow\n"
     "      |        ^^^^^^^^"},
    {"list-scalar", "items: 1",
     "t.yaml:2:8: expected a list ([a, b], or lines with '- '), this is a single value\n    2 | items: 1\n"
     "      |        ^"},
    {"list-long", "items: [1, 2, 3]",
     "t.yaml:2:8: expected 1 to 2 items, these are 3\n    2 | items: [1, 2, 3]\n      |        ^"},
    {"umlauts-before", "\"\xC3\xA4\xC3\xB6\": 1",
     "t.yaml:2:1: unknown key '\xC3\xA4\xC3\xB6' in the test; known are: name, port, on, verify, swd, at, "
     "within, "
     "dates, items, power\n    2 | \"\xC3\xA4\xC3\xB6\": 1\n      | ^^^^"},
};

static void test_bad_schema(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strdup_printf("name: x\n%s\n", bad_schema[i].line);
    g_autoptr(ImpYaml) yaml = parse(text, &error);
    g_assert_no_error(error);
    g_assert_false(read_all(yaml, &error));
    g_assert_cmpstr(error->message, ==, bad_schema[i].message);
}

static void test_several(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpYaml) yaml = parse("items: 3\non: maybe\nprot: 1\n", &error);
    g_assert_false(read_all(yaml, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_SCHEMA);
    g_assert_cmpstr(error->message, ==,
                    "t.yaml:1:1: key 'name' is missing in the test\n    1 | items: 3\n      | ^\n"
                    "t.yaml:1:8: expected a list ([a, b], or lines with '- '), this is a single value\n"
                    "    1 | items: 3\n      |        ^\n"
                    "t.yaml:2:5: expected true or false\n    2 | on: maybe\n      |     ^^^^^\n"
                    "t.yaml:3:1: unknown key 'prot' in the test; did you mean 'port'?\n"
                    "    3 | prot: 1\n      | ^^^^");
}

static void test_many(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) text = g_string_new("name: x\n");
    for (int i = 0; i < IMP_YAML_FAULTS_MAX + 3; i++)
        g_string_append_printf(text, "key-number-%d: 1\n", i);
    g_autoptr(ImpYaml) yaml = parse(text->str, &error);
    g_assert_false(read_all(yaml, &error));
    g_assert_true(g_str_has_suffix(error->message, "\nt.yaml: and 3 more"));
}

static void test_not_a_map(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpYaml) yaml = parse("- 1\n", &error);
    g_assert_false(read_all(yaml, &error));
    g_assert_cmpstr(
        error->message, ==,
        "t.yaml:1:1: the test must be a mapping (key: value), this is a list\n    1 | - 1\n      | ^");
}

/* A long line is shown around the place, and the mark stands under it. */
static void test_long_line(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *fill = g_strnfill(300, 'x');
    g_autofree char *text = g_strdup_printf("{name: a, port: \"%s\", on: maybe}\n", fill);
    g_autoptr(ImpYaml) yaml = parse(text, &error);
    g_assert_false(read_all(yaml, &error));
    g_auto(GStrv) lines = g_strsplit(error->message, "\n", -1);
    guint last = g_strv_length(lines) - 1;
    const char *mark = strchr(lines[last], '^');
    glong column = mark - lines[last];
    g_assert_cmpuint(strlen(lines[last]), <, 120);
    g_assert_true(g_str_has_prefix(g_utf8_offset_to_pointer(lines[last - 1], column), "maybe"));
}

static void test_note(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpYaml) yaml = parse("a: 1\nb: 2\n", &error);
    const ImpYamlNode *root = imp_yaml_root(yaml);
    imp_yaml_fault(yaml, root->items[1], IMP_E_DATA_OVERLAP, "this is taken");
    imp_yaml_note(yaml, root->items[0], "by this");
    g_assert_false(imp_yaml_end(yaml, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_DATA_OVERLAP);
    g_assert_cmpstr(error->message, ==,
                    "t.yaml:2:4: this is taken\n    2 | b: 2\n      |    ^\n"
                    "t.yaml:1:4: note: by this\n    1 | a: 1\n      |    ^");
}

static void test_good(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpYaml) yaml = parse("name: x\nport: 0x50\non: true\nverify: read-back\nswd: 4 MHz\nat: 0x10\n"
                                    "within: 0x0 to 0xFF\ndates: 2026-12-01 to 2027-03-31\nitems: [1]\n",
                                    &error);
    g_assert_true(read_all(yaml, &error));
    g_assert_no_error(error);
    ImpYamlMap m;
    gint64 first, last;
    imp_yaml_map_begin(&m, yaml, imp_yaml_root(yaml), "test");
    g_assert_cmpuint(imp_yaml_u64(yaml, imp_yaml_get(&m, "port"), 1, 100, 0), ==, 80);
    g_assert_cmpuint(imp_yaml_quantity(yaml, imp_yaml_get(&m, "swd"), IMP_UNIT_HZ, 0, 5000000, 0), ==,
                     4000000);
    g_assert_true(imp_yaml_date_range(yaml, imp_yaml_get(&m, "dates"), &first, &last));
    g_assert_cmpint((last + 1 - first) % 86400, ==, 0);
    g_assert_cmpint((last + 1 - first) / 86400, ==, 121); /* both ends belong to it */
    g_assert_cmpuint(imp_yaml_u64(yaml, imp_yaml_get(&m, "not-there"), 1, 100, 7), ==, 7);
}

/* What variables make of the value of a, or the faults. */
static const struct {
    const char *name, *text, *definitions, *expected;
} variables[] = {
    {"none", "a: $x {y} $", "", "$x {y} $"},
    {"one", "a: ${X}", "X=1", "1"},
    {"quoted-alone", "a: \"${X}\"", "X=1", "1"},
    {"quoted-in-text", "a: \"v${X}\"", "X=1", "v1 quoted"},
    {"two", "a: ${X}-${Y_2}.", "X=1 Y_2=b=c", "1-b=c."},
    {"empty", "a: <${X}>", "X=", "<>"},
    {"escape", "a: $${X} ${X}", "X=1", "${X} 1"},
    {"once-only", "a: ${X}", "X=${X}", "${X}"},
    {"in-a-list", "b: [\"${X}\"]\na: 7", "X=1", "7"},
    {"not-in-keys", "a: 7\n\"${X}\": 1", "", "7"},
    {"unknown", "a: ${X}", "",
     "t.yaml:1:4: there is no variable 'X': give it with -D X=VALUE\n    1 | a: ${X}\n      |    ^^^^"},
    {"near", "a: ${VERSOIN}${VERSION}", "VERSION=1",
     "t.yaml: variable 'VERSION' is given, but there is no ${VERSION}\n"
     "t.yaml:1:4: there is no variable 'VERSOIN'; did you mean 'VERSION'?\n    1 | a: ${VERSOIN}${VERSION}\n"
     "      |    ^^^^^^^^^^^^^^^^^^^^"},
    {"open", "a: ${X", "",
     "t.yaml:1:4: a variable is written ${NAME}, with letters, digits and '_'; $${ stands for ${\n"
     "    1 | a: ${X\n      |    ^^^"},
    {"no-name", "a: ${}", "",
     "t.yaml:1:4: a variable is written ${NAME}, with letters, digits and '_'; $${ stands for ${\n"
     "    1 | a: ${}\n      |    ^^^"},
    {"unused", "a: 1", "X=1", "t.yaml: variable 'X' is given, but there is no ${X}"},
    {"twice", "a: ${X}", "X=1 X=2", "t.yaml: variable 'X' is given twice"},
    {"no-value", "a: 1", "X", "t.yaml: -D X is not like NAME=VALUE, with a name of letters, digits and '_'"},
    {"bad-name", "a: 1", "1X=1",
     "t.yaml: -D 1X=1 is not like NAME=VALUE, with a name of letters, digits and '_'"},
};

static void test_variables(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpYaml) yaml = parse(variables[i].text, &error);
    g_assert_no_error(error);
    g_auto(GStrv) definitions = g_strsplit(variables[i].definitions, " ", -1);
    imp_yaml_define(yaml, (const char *const *)definitions);
    ImpYamlMap m;
    imp_yaml_map_begin(&m, yaml, imp_yaml_root(yaml), "test");
    const ImpYamlNode *a = imp_yaml_get(&m, "a");
    g_autofree char *found = imp_yaml_end(yaml, &error)
                                 ? g_strconcat(a->text, a->quoted ? " quoted" : "", NULL)
                                 : g_strdup(error->message);
    g_assert_cmpstr(found, ==, variables[i].expected);
}

static void test_variable_long(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpYaml) yaml = parse("a: ${X}${X}\n", &error);
    g_autofree char *fill = g_strnfill(IMP_YAML_VARIABLE_MAX / 2 + 1, 'x'),
                    *definition = g_strconcat("X=", fill, NULL);
    imp_yaml_define(yaml, (const char *const[]){definition, NULL});
    g_assert_false(imp_yaml_end(yaml, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_LIMIT);
}

static void test_warnings(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpYaml) yaml = parse("a: 1\nb: 2\n", &error);
    const ImpYamlNode *root = imp_yaml_root(yaml);
    imp_yaml_warn(yaml, root->items[1], "is it %d?", 2);
    imp_yaml_warn(yaml, root->items[0], "is it 1?");
    g_assert_true(imp_yaml_ok(yaml));
    g_assert_true(imp_yaml_end(yaml, &error));
    g_auto(GStrv) all = imp_yaml_warnings(yaml);
    g_assert_cmpuint(g_strv_length(all), ==, 2);
    g_assert_cmpstr(all[0], ==, "t.yaml:1:4: warning: is it 1?\n    1 | a: 1\n      |    ^");
    g_assert_cmpstr(all[1], ==, "t.yaml:2:4: warning: is it 2?\n    2 | b: 2\n      |    ^");
}

static void test_load(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(imp_yaml_load("/nonexistent/x.yaml", &error));
    g_assert_error(error, IMP_ERROR, IMP_E_NOT_FOUND);
    g_clear_error(&error);
    g_assert_null(imp_yaml_load("/", &error)); /* a folder */
    g_assert_error(error, IMP_ERROR, IMP_E_NO_ACCESS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/yaml/tree", test_tree);
    g_test_add_func("/base/yaml/limits", test_limits);
    for (gsize i = 0; i < G_N_ELEMENTS(bad_syntax); i++) {
        g_autofree char *path = g_strdup_printf("/base/yaml/syntax/%s", bad_syntax[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad_syntax);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad_schema); i++) {
        g_autofree char *path = g_strdup_printf("/base/yaml/schema/%s", bad_schema[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad_schema);
    }
    g_test_add_func("/base/yaml/several", test_several);
    g_test_add_func("/base/yaml/many", test_many);
    g_test_add_func("/base/yaml/not-a-map", test_not_a_map);
    g_test_add_func("/base/yaml/long-line", test_long_line);
    g_test_add_func("/base/yaml/note", test_note);
    g_test_add_func("/base/yaml/good", test_good);
    g_test_add_func("/base/yaml/load", test_load);
    for (gsize i = 0; i < G_N_ELEMENTS(variables); i++) {
        g_autofree char *path = g_strdup_printf("/base/yaml/variables/%s", variables[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_variables);
    }
    g_test_add_func("/base/yaml/variable-long", test_variable_long);
    g_test_add_func("/base/yaml/warnings", test_warnings);
    return g_test_run();
}
