/* Strict JSON: each fault has its code and names its member. */
#include <string.h>

#include "base/json.h"

static json_t *parse(const char *text)
{
    return imp_json_parse(text, strlen(text), 1000, "test", IMP_E_SYNTAX, NULL);
}

static void test_parse(void)
{
    static const struct {
        const char *text;
        int code; /* 0 = good */
    } rows[] = {
        {"{}", 0},
        {"{\"a\":1}\n", 0},
        {"", IMP_E_SYNTAX},
        {"{\"a\":1,\"a\":2}", IMP_E_SYNTAX},
        {"{} {}", IMP_E_SYNTAX},
        {"{\"a\":\"\\u0000\"}", IMP_E_SYNTAX},
        {"{\"a\":\"\xff\"}", IMP_E_SYNTAX},
        {"{\"a\":9223372036854775808}", IMP_E_SYNTAX},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        GError *error = NULL;
        json_t *json = imp_json_parse(rows[i].text, strlen(rows[i].text), 1000, "test", IMP_E_SYNTAX, &error);
        g_assert_cmpint(json != NULL, ==, rows[i].code == 0);
        if (error != NULL)
            g_assert_error(error, IMP_ERROR, rows[i].code);
        g_clear_error(&error);
        json_decref(json);
    }
    GError *error = NULL;
    g_assert_null(imp_json_parse("{}    ", 6, 5, "test", IMP_E_SYNTAX, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_LIMIT);
    g_clear_error(&error);
}

static void test_text(void)
{
    json_auto_t *json = parse("{ \"b\": [1, 2], \"a\": {\"y\": \"\\u00e9\", \"x\": null} }");
    g_autofree char *text = imp_json_text(json);
    g_assert_cmpstr(text, ==, "{\"a\":{\"x\":null,\"y\":\"\xc3\xa9\"},\"b\":[1,2]}");
}

static void test_members(void)
{
    static const char *const words[] = {NULL, NULL, "red", "blue"};
    GError *error = NULL;
    guint8 bytes[2] = {0};
    json_auto_t *json =
        parse("{\"n\":7,\"i\":-3,\"t\":true,\"s\":\"hi\",\"w\":\"blue\",\"h\":\"0aff\",\"l\":[1],\"o\":{},"
              "\"max\":9223372036854775807}");
    ImpJson r;
    imp_json_begin(&r, json, "test", IMP_E_SCHEMA, IMP_E_UNSUPPORTED);
    g_assert_cmpuint(imp_json_u64(&r, "n", 7, 7), ==, 7);
    g_assert_cmpint(imp_json_i64(&r, "i", -3, 0), ==, -3);
    g_assert_true(imp_json_bool(&r, "t"));
    g_assert_cmpstr(imp_json_string(&r, "s", 2, 2), ==, "hi");
    g_assert_cmpuint(imp_json_word(&r, "w", words, G_N_ELEMENTS(words)), ==, 3);
    imp_json_hex(&r, "h", bytes, sizeof bytes);
    g_assert_cmpuint(bytes[0] << 8 | bytes[1], ==, 0x0aff);
    g_assert_cmpuint(json_array_size(imp_json_array(&r, "l", 1, 1)), ==, 1);
    g_assert_nonnull(imp_json_object(&r, "o"));
    g_assert_cmpuint(imp_json_u64(&r, "max", 0, G_MAXUINT64), ==, G_MAXINT64);
    g_assert_false(imp_json_has(&r, "missing"));
    g_assert_true(imp_json_end(&r, &error));
    g_assert_no_error(error);
}

typedef void (*Ask)(ImpJson *r);
static void ask_missing(ImpJson *r)
{
    imp_json_u64(r, "b", 0, 9);
}
static void ask_small(ImpJson *r)
{
    imp_json_u64(r, "a", 8, 9);
}
static void ask_large(ImpJson *r)
{
    imp_json_u64(r, "a", 0, 6);
}
static void ask_string(ImpJson *r)
{
    imp_json_string(r, "a", 0, 9);
}
static void ask_bool(ImpJson *r)
{
    imp_json_bool(r, "a");
}
static void ask_array(ImpJson *r)
{
    imp_json_array(r, "a", 0, 9);
}
static void ask_nothing(ImpJson *r)
{
    (void)r;
}
static void ask_control(ImpJson *r)
{
    imp_json_u64(r, "a", 0, 9);
    imp_json_string(r, "c", 0, 9);
}
static void ask_hex(ImpJson *r)
{
    guint8 byte;
    imp_json_u64(r, "a", 0, 9);
    imp_json_hex(r, "h", &byte, 1);
}
static void ask_fault(ImpJson *r)
{
    imp_json_u64(r, "a", 0, 9);
    imp_json_fault(r, "first");
    imp_json_fault(r, "second");
}

static void test_faults(void)
{
    static const struct {
        const char *text;
        Ask ask;
        int code;
        const char *says;
    } rows[] = {
        {"{\"a\":7}", ask_missing, IMP_E_SCHEMA, "'b'"},
        {"{\"a\":7}", ask_small, IMP_E_SCHEMA, "'a'"},
        {"{\"a\":7}", ask_large, IMP_E_SCHEMA, "'a'"},
        {"{\"a\":7}", ask_string, IMP_E_SCHEMA, "'a'"},
        {"{\"a\":7}", ask_bool, IMP_E_SCHEMA, "'a'"},
        {"{\"a\":7}", ask_array, IMP_E_SCHEMA, "'a'"},
        {"{\"a\":7.0}", ask_large, IMP_E_SCHEMA, "'a'"},
        {"{\"a\":7}", ask_nothing, IMP_E_UNSUPPORTED, "'a'"},
        {"[]", ask_nothing, IMP_E_SCHEMA, "object"},
        {"{\"a\":7,\"c\":\"x\\ny\"}", ask_control, IMP_E_SCHEMA, "'c'"},
        {"{\"a\":7,\"h\":\"AB\"}", ask_hex, IMP_E_SCHEMA, "'h'"},
        {"{\"a\":7,\"h\":\"abc\"}", ask_hex, IMP_E_SCHEMA, "'h'"},
        {"{\"a\":7}", ask_fault, IMP_E_SCHEMA, "first"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        GError *error = NULL;
        json_auto_t *json = parse(rows[i].text);
        ImpJson r;
        imp_json_begin(&r, json, "test", IMP_E_SCHEMA, IMP_E_UNSUPPORTED);
        rows[i].ask(&r);
        g_assert_false(imp_json_end(&r, &error));
        g_assert_error(error, IMP_ERROR, rows[i].code);
        g_assert_nonnull(strstr(error->message, rows[i].says));
        g_error_free(error);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json/parse", test_parse);
    g_test_add_func("/json/text", test_text);
    g_test_add_func("/json/members", test_members);
    g_test_add_func("/json/faults", test_faults);
    return g_test_run();
}
