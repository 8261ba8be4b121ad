#include "ledger/pool.h"

#include <string.h>

#define D(first, last, step, reuse, format)                                                                  \
    "{\"first\":" first ",\"format\":" format ",\"id\":\"t2\",\"last\":" last ",\"reuse\":" reuse            \
    ",\"step\":" step "}"

typedef struct {
    const char *name;
    const char *definition;
    guint64 number;
    const char *text; /* of number */
    const char *bytes; /* in hexadecimal */
    guint32 max_bytes;
    guint64 capacity;
    gint64 real_us;
} Good;

static const Good good[] = {
    {"decimal", D("1", "99", "1", "true", "{\"decimal\":4}"), 42, "0042", "30303432", 4, 99},
    {"decimal-one", D("0", "9", "1", "true", "{\"decimal\":1}"), 0, "0", "30", 1, 10},
    {"decimal-widest", D("1", "9223372036854775807", "1", "true", "{\"decimal\":20}"), 9223372036854775807u,
     "09223372036854775807", "3039323233333732303336383534373735383037", 20, 9223372036854775807u},
    {"text", D("1", "1000", "1", "true", "{\"text\":\"MB-{n}\"}"), 7, "MB-7", "4d422d37", 7, 1000},
    {"text-width", D("1", "1000", "1", "false", "{\"text\":\"MB-{n:06}/x\"}"), 7, "MB-000007/x",
     "4d422d3030303030372f78", 11, 1000},
    {"text-quotes", D("1", "9", "1", "true", "{\"text\":\"\\\"{n}\\\\\"}"), 5, "\"5\\", "22355c", 3, 9},
    {"little", D("258", "65535", "1", "true", "{\"binary\":3,\"order\":\"little\"}"), 258, "258", "020100", 3,
     65278},
    {"big", D("258", "65535", "1", "true", "{\"binary\":3,\"order\":\"big\"}"), 258, "258", "000102", 3,
     65278},
    {"eight-bytes", D("0", "9223372036854775807", "1", "true", "{\"binary\":8,\"order\":\"big\"}"),
     0x0102030405060708, "72623859790382856", "0102030405060708", 8, 9223372036854775808u},
    /* last is not one of the numbers: 10, 17, 24, 31, …, 94 */
    {"step", D("10", "100", "7", "true", "{\"decimal\":2}"), 94, "94", "3934", 2, 13},
    {"hex", D("0", "65535", "1", "true", "{\"digits\":6,\"hex\":\"upper\"}"), 48879, "00BEEF", "303042454546",
     6, 65536},
    {"hex-lower", D("0", "9223372036854775807", "1", "true", "{\"digits\":16,\"hex\":\"lower\"}"), 3735928559,
     "00000000deadbeef", "30303030303030306465616462656566", 16, 9223372036854775808u},
    /* printf of each digit pair: 12 34 56 */
    {"bcd", D("1", "999999", "1", "true", "{\"bcd\":3,\"order\":\"big\"}"), 123456, "123456", "123456", 3,
     999999},
    {"bcd-little", D("1", "999999", "1", "true", "{\"bcd\":3,\"order\":\"little\"}"), 123456, "123456",
     "563412", 3, 999999},
    {"bcd-odd", D("1", "99999", "1", "true", "{\"bcd\":4,\"order\":\"big\"}"), 12345, "00012345", "00012345",
     4, 99999},
    {"bcd-widest", D("0", "9223372036854775807", "1", "true", "{\"bcd\":10,\"order\":\"big\"}"),
     9223372036854775807u, "09223372036854775807", "09223372036854775807", 10, 9223372036854775808u},
    /* Three capital letters, "-P&E-" and four digits: 26^3 * 10^4 numbers. 703 * 10^4 + 42: "BBB" is 26^2 + 26 + 1. */
    {"bytes",
     D("0", "175759999", "1", "true",
       "{\"bytes\":\"415a415a415a2d2d5050262645452d2d3039303930393039\",\"order\":\"big\"}"),
     7030042, "BBB-P&E-0042", "4242422d5026452d30303432", 12, 175760000},
    {"bytes-last",
     D("0", "175759999", "1", "true",
       "{\"bytes\":\"415a415a415a2d2d5050262645452d2d3039303930393039\",\"order\":\"big\"}"),
     175759999, "ZZZ-P&E-9999", "5a5a5a2d5026452d39393939", 12, 175760000},
    {"bytes-little", D("0", "65535", "1", "true", "{\"bytes\":\"00ff00ffa5a5\",\"order\":\"little\"}"), 258,
     "0102a5", "a50201", 3, 65536},
    {"bytes-sixteen",
     D("0", "9223372036854775807", "1", "true",
       "{\"bytes\":\"00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff\",\"order\":\"big\"}"),
     9223372036854775807u, "00000000000000007fffffffffffffff", "00000000000000007fffffffffffffff", 16,
     9223372036854775808u},
    {"bytes-step", D("0", "99", "25", "true", "{\"bytes\":\"30393039\",\"order\":\"big\"}"), 75, "75", "3735",
     2, 4},
    {"eui48", D("0", "4095", "1", "true", "{\"eui48\":\"70b3d51a2000\",\"order\":\"big\"}"), 4095,
     "70-B3-D5-1A-2F-FF", "70b3d51a2fff", 6, 4096},
    {"eui48-little", D("0", "4095", "1", "true", "{\"eui48\":\"70b3d51a2000\",\"order\":\"little\"}"), 256,
     "70-B3-D5-1A-21-00", "00211ad5b370", 6, 4096},
    {"eui64", D("0", "255", "1", "true", "{\"eui64\":\"fcb3d5fffe1a2000\",\"order\":\"big\"}"), 1,
     "FC-B3-D5-FF-FE-1A-20-01", "fcb3d5fffe1a2001", 8, 256},
    {"list", D("0", "2", "1", "true", "{\"as\":\"text\",\"list\":[\"K-9\",\"K-70\",\"K-8\"]}"), 1, "K-70",
     "4b2d3730", 4, 3},
    {"list-hex", D("1", "2", "1", "true", "{\"as\":\"hex\",\"list\":[\"00\",\"deadbeef\",\"01\"]}"), 1,
     "deadbeef", "deadbeef", 4, 2},
    {"text-hex", D("0", "4095", "1", "true", "{\"text\":\"X{n:04X}x\"}"), 4011, "X0FABx", "583046414278", 6,
     4096},
    {"text-hex-lower", D("0", "4095", "1", "true", "{\"text\":\"{n:03x}\"}"), 4011, "fab", "666162", 3, 4096},
    /* 79927398713 is the example of ISO/IEC 7812-1. */
    {"luhn", D("1", "9999999999", "1", "true", "{\"text\":\"{n}{luhn}\"}"), 7992739871, "79927398713",
     "3739393237333938373133", 11, 9999999999u},
    {"luhn-zero", D("1", "99", "1", "true", "{\"text\":\"{n:02}/{luhn}\"}"), 0 + 26, "26/5", "32362f35", 4,
     99},
    /* ISO/IEC 7064's own example for MOD 97-10: 794, check digits 44. */
    {"mod97", D("1", "999", "1", "true", "{\"text\":\"{n:03}{mod97}\"}"), 794, "79444", "3739343434", 5, 999},
    /* As in an account number: letters count 10 to 35. python3: 98 - int("1510" + "26" + "00") % 97 for "FA26" */
    {"mod97-letters", D("1", "99", "1", "true", "{\"text\":\"FA{n}{mod97}\"}"), 26, "FA2610", "464132363130",
     6, 99},
    /* date -u -d @1790000000: 2026-09-21, a Monday of week 39, day 264 */
    {"date", D("1", "999999", "1", "true", "{\"text\":\"T2-{date:yyww}-{n:06}{luhn}\"}"), 42,
     "T2-2639-0000421", "54322d323633392d30303030343231", 15, 999999, .real_us = 1790000000000000},
    {"date-all", D("1", "9", "1", "true", "{\"text\":\"{n}{date:yyyymmdd}{date:ddd}\"}"), 5, "520260921264",
     "353230323630393231323634", 12, 9, .real_us = 1790000000000000},
    /* date -u -d 2027-01-01 +%G-%V: 2026-53 */
    {"date-new-year", D("1", "9", "1", "true", "{\"text\":\"{n}-{date:yyyyww}\"}"), 5, "5-202653",
     "352d323032363533", 8, 9, .real_us = 1798761600000000},
    {"single", D("5", "5", "1", "true", "{\"decimal\":1}"), 5, "5", "35", 1, 1},
};

static void test_good(gconstpointer data)
{
    const Good *row = data;
    g_autoptr(GError) error = NULL;
    g_auto(ImpPool) pool = {0};
    g_assert_true(imp_pool_parse(row->definition, &pool, &error));
    g_assert_no_error(error);
    ImpNumber number;
    imp_pool_format(&pool, row->number, row->real_us, &number);
    g_autofree char *bytes = imp_hex_encode(number.bytes, number.n_bytes);
    g_assert_cmpstr(number.pool, ==, "t2");
    g_assert_cmpuint(number.number, ==, row->number);
    g_assert_cmpstr(number.text, ==, row->text);
    g_assert_cmpstr(bytes, ==, row->bytes);
    g_assert_cmpuint(imp_pool_max_bytes(&pool), ==, row->max_bytes);
    g_assert_cmpuint(imp_pool_capacity(&pool, pool.first), ==, row->capacity);
    g_assert_cmpuint(imp_pool_capacity(&pool, pool.last + 1), ==, 0);
    g_assert_false(imp_pool_contains(&pool, pool.last + 1));
    g_autofree char *canonical = imp_pool_canonical(row->definition, &error);
    g_assert_cmpstr(canonical, ==, row->definition);
}

typedef struct {
    const char *name;
    const char *definition;
    int code;
    const char *says;
} Bad;

static const Bad bad[] = {
    {"empty", "", IMP_E_SYNTAX, "pool"},
    {"array", "[]", IMP_E_SCHEMA, "object"},
    {"unknown-member",
     "{\"color\":1,\"first\":1,\"format\":{\"decimal\":1},\"id\":\"x\",\"last\":9,\"reuse\":true,\"step\":1}",
     IMP_E_SCHEMA, "color"},
    {"missing-step", "{\"first\":1,\"format\":{\"decimal\":1},\"id\":\"x\",\"last\":9,\"reuse\":true}",
     IMP_E_SCHEMA, "step"},
    {"duplicate",
     "{\"first\":1,\"first\":2,\"format\":{\"decimal\":1},\"id\":\"x\",\"last\":9,\"reuse\":true,\"step\":1}",
     IMP_E_SYNTAX, "duplicate"},
    {"not-canonical",
     "{\"id\":\"x\",\"first\":1,\"format\":{\"decimal\":1},\"last\":9,\"reuse\":true,\"step\":1}",
     IMP_E_SCHEMA, "canonical"},
    {"id", "{\"first\":1,\"format\":{\"decimal\":1},\"id\":\"a b\",\"last\":9,\"reuse\":true,\"step\":1}",
     IMP_E_SCHEMA, "id"},
    {"backwards", D("10", "9", "1", "true", "{\"decimal\":4}"), IMP_E_SCHEMA, "first"},
    {"step-zero", D("1", "9", "0", "true", "{\"decimal\":4}"), IMP_E_SCHEMA, "step"},
    {"negative", D("-1", "9", "1", "true", "{\"decimal\":4}"), IMP_E_SCHEMA, "first"},
    {"too-great", D("1", "9223372036854775808", "1", "true", "{\"decimal\":20}"), IMP_E_SYNTAX, "pool"},
    {"real", D("1.5", "9", "1", "true", "{\"decimal\":4}"), IMP_E_SCHEMA, "first"},
    {"decimal-overflow", D("1", "10000", "1", "true", "{\"decimal\":4}"), IMP_E_SCHEMA, "digits"},
    {"decimal-wide", D("1", "9", "1", "true", "{\"decimal\":21}"), IMP_E_SCHEMA, "decimal"},
    {"text-overflow", D("1", "1000", "1", "true", "{\"text\":\"{n:03}\"}"), IMP_E_SCHEMA, "digits"},
    {"text-no-number", D("1", "9", "1", "true", "{\"text\":\"MB\"}"), IMP_E_SCHEMA, "{n}"},
    {"text-two", D("1", "9", "1", "true", "{\"text\":\"{n}{n}\"}"), IMP_E_SCHEMA, "exactly one"},
    {"text-luhn-first", D("1", "9", "1", "true", "{\"text\":\"{luhn}{n}\"}"), IMP_E_SCHEMA,
     "behind the number"},
    {"text-luhn-hex", D("1", "9", "1", "true", "{\"text\":\"{n:02X}{luhn}\"}"), IMP_E_SCHEMA, "{mod97}"},
    {"text-two-checks", D("1", "9", "1", "true", "{\"text\":\"{n}{luhn}{mod97}\"}"), IMP_E_SCHEMA,
     "one {luhn}"},
    {"text-date-mixed", D("1", "9", "1", "true", "{\"text\":\"{date:yymmww}{n}\"}"), IMP_E_SCHEMA,
     "{date:yymmww}"},
    {"text-date-empty", D("1", "9", "1", "true", "{\"text\":\"{date:}{n}\"}"), IMP_E_SCHEMA, "{date:}"},
    {"text-date-word", D("1", "9", "1", "true", "{\"text\":\"{date:yyhh}{n}\"}"), IMP_E_SCHEMA,
     "{date:yyhh}"},
    {"text-hex-wide", D("1", "9", "1", "true", "{\"text\":\"{n:017x}\"}"), IMP_E_SCHEMA, "{n:017x}"},
    {"text-hex-overflow", D("1", "256", "1", "true", "{\"text\":\"{n:02x}\"}"), IMP_E_SCHEMA, "digits"},
    {"hex-overflow", D("1", "256", "1", "true", "{\"digits\":2,\"hex\":\"upper\"}"), IMP_E_SCHEMA, "digits"},
    {"hex-case", D("1", "9", "1", "true", "{\"digits\":2,\"hex\":\"mixed\"}"), IMP_E_SCHEMA, "hex"},
    {"bcd-overflow", D("1", "10000", "1", "true", "{\"bcd\":2,\"order\":\"big\"}"), IMP_E_SCHEMA, "digits"},
    {"bcd-eleven", D("1", "9", "1", "true", "{\"bcd\":11,\"order\":\"big\"}"), IMP_E_SCHEMA, "bcd"},
    {"bytes-overflow", D("0", "260", "1", "true", "{\"bytes\":\"415a3039\",\"order\":\"big\"}"), IMP_E_SCHEMA,
     "260"},
    {"bytes-backwards", D("0", "1", "1", "true", "{\"bytes\":\"5a41\",\"order\":\"big\"}"), IMP_E_SCHEMA,
     "byte 0"},
    {"bytes-half", D("0", "1", "1", "true", "{\"bytes\":\"415a30\",\"order\":\"big\"}"), IMP_E_SCHEMA,
     "pairs"},
    {"bytes-seventeen",
     D("0", "1", "1", "true",
       "{\"bytes\":\"00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff\",\"order\":"
       "\"big\"}"),
     IMP_E_SCHEMA, "bytes"},
    {"eui48-group", D("0", "1", "1", "true", "{\"eui48\":\"71b3d51a2000\",\"order\":\"big\"}"), IMP_E_SCHEMA,
     "group"},
    {"eui48-into-group",
     D("0", "9223372036854775807", "1099511627776", "true", "{\"eui48\":\"70b3d51a2000\",\"order\":\"big\"}"),
     IMP_E_SCHEMA, "end before"},
    {"eui48-next-group",
     D("0", "1099511627776", "1", "true", "{\"eui48\":\"70b3d51a2000\",\"order\":\"big\"}"), IMP_E_SCHEMA,
     "groups"},
    {"eui48-short", D("0", "1", "1", "true", "{\"eui48\":\"70b3d5\",\"order\":\"big\"}"), IMP_E_SCHEMA,
     "eui48"},
    {"eui64-overflow", D("0", "4096", "1", "true", "{\"eui64\":\"fefffffffffff001\",\"order\":\"big\"}"),
     IMP_E_SCHEMA, "groups"},
    {"list-twice", D("0", "1", "1", "true", "{\"as\":\"text\",\"list\":[\"A\",\"A\"]}"), IMP_E_SCHEMA,
     "twice"},
    {"list-last", D("0", "2", "1", "true", "{\"as\":\"text\",\"list\":[\"A\",\"B\"]}"), IMP_E_SCHEMA,
     "number 1"},
    {"list-empty-entry", D("0", "0", "1", "true", "{\"as\":\"text\",\"list\":[\"\"]}"), IMP_E_SCHEMA,
     "entry 0"},
    {"list-number", D("0", "0", "1", "true", "{\"as\":\"text\",\"list\":[5]}"), IMP_E_SCHEMA, "entry 0"},
    {"list-hex-capital", D("0", "0", "1", "true", "{\"as\":\"hex\",\"list\":[\"AB\"]}"), IMP_E_SCHEMA,
     "lower-case"},
    {"list-hex-odd", D("0", "0", "1", "true", "{\"as\":\"hex\",\"list\":[\"abc\"]}"), IMP_E_SCHEMA,
     "entry 0"},
    {"list-empty", D("0", "0", "1", "true", "{\"as\":\"text\",\"list\":[]}"), IMP_E_SCHEMA, "list"},
    {"external-bounds", D("1", "9", "1", "true", "{\"external\":32}"), IMP_E_SCHEMA, "external pool"},
    {"external-65", D("0", "9223372036854775807", "1", "true", "{\"external\":65}"), IMP_E_SCHEMA,
     "external"},
    {"text-spaces", D("1", "9", "1", "true", "{\"text\":\"{n:6}\"}"), IMP_E_SCHEMA, "{n:6}"},
    {"text-width-0", D("1", "9", "1", "true", "{\"text\":\"{n:00}\"}"), IMP_E_SCHEMA, "{n:00}"},
    {"text-width-21", D("1", "9", "1", "true", "{\"text\":\"{n:021}\"}"), IMP_E_SCHEMA, "{n:021}"},
    {"text-unclosed", D("1", "9", "1", "true", "{\"text\":\"{n\"}"), IMP_E_SCHEMA, "pairs"},
    {"text-stray", D("1", "9", "1", "true", "{\"text\":\"}{n}\"}"), IMP_E_SCHEMA, "pairs"},
    {"text-utf8", D("1", "9", "1", "true", "{\"text\":\"\xc3\xa9{n}\"}"), IMP_E_SCHEMA, "ASCII"},
    {"text-long",
     D("1", "9", "1", "true",
       "{\"text\":\"0123456789012345678901234567890123456789012345678901234567890123{n}\"}"),
     IMP_E_SCHEMA, "65 bytes"},
    {"binary-overflow", D("1", "65536", "1", "true", "{\"binary\":2,\"order\":\"big\"}"), IMP_E_SCHEMA,
     "2 bytes"},
    {"binary-nine", D("1", "9", "1", "true", "{\"binary\":9,\"order\":\"big\"}"), IMP_E_SCHEMA, "binary"},
    {"binary-order", D("1", "9", "1", "true", "{\"binary\":2,\"order\":\"middle\"}"), IMP_E_SCHEMA, "order"},
    {"binary-no-order", D("1", "9", "1", "true", "{\"binary\":2}"), IMP_E_SCHEMA, "order"},
    {"two-formats", D("1", "9", "1", "true", "{\"binary\":2,\"decimal\":2,\"order\":\"big\"}"), IMP_E_SCHEMA,
     "binary"},
    {"no-format", D("1", "9", "1", "true", "{}"), IMP_E_SCHEMA, "decimal"},
};

static void test_bad(gconstpointer data)
{
    const Bad *row = data;
    g_autoptr(GError) error = NULL;
    ImpPool pool;
    memset(&pool, 0x5a, sizeof pool);
    const ImpPool before = pool;
    g_assert_false(imp_pool_parse(row->definition, &pool, &error));
    g_assert_error(error, IMP_ERROR, row->code);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, row->says));
    g_assert_cmpmem(&pool, sizeof pool, &before, sizeof before);
}

static void test_digest(void)
{
    guint8 a[IMP_POOL_DIGEST_BYTES], b[IMP_POOL_DIGEST_BYTES];
    imp_pool_digest(good[0].definition, a);
    imp_pool_digest(good[1].definition, b);
    g_assert_cmpint(memcmp(a, b, sizeof a), !=, 0);
    /* printf abc | sha256sum */
    imp_pool_digest("abc", a);
    g_autofree char *hex = imp_hex_encode(a, sizeof a);
    g_assert_cmpstr(hex, ==, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_capacity(void)
{
    ImpPool pool;
    g_autoptr(GError) error = NULL;
    g_assert_true(imp_pool_parse(D("10", "100", "7", "true", "{\"decimal\":2}"), &pool, &error));
    g_assert_cmpuint(imp_pool_capacity(&pool, 0), ==, 13);
    g_assert_cmpuint(imp_pool_capacity(&pool, 94), ==, 1);
    g_assert_cmpuint(imp_pool_capacity(&pool, 101), ==, 0);
    g_assert_true(imp_pool_contains(&pool, 17));
    g_assert_false(imp_pool_contains(&pool, 18));
    g_assert_false(imp_pool_contains(&pool, 3));
}

/* Every number of a pool has other bytes, also over the turn of a year. */
static void test_distinct(void)
{
    static const char *const definitions[] = {
        D("0", "999", "1", "true", "{\"text\":\"{date:yyww}{n}{luhn}\"}"),
        D("0", "999", "1", "true", "{\"bcd\":2,\"order\":\"little\"}"),
        D("0", "999", "1", "true", "{\"bytes\":\"010a020b030c\",\"order\":\"big\"}"),
        D("0", "999", "1", "true", "{\"eui48\":\"70b3d51afe00\",\"order\":\"big\"}"),
    };
    for (gsize i = 0; i < G_N_ELEMENTS(definitions); i++) {
        g_autoptr(GError) error = NULL;
        g_auto(ImpPool) pool = {0};
        g_assert_true(imp_pool_parse(definitions[i], &pool, &error));
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        for (guint64 n = pool.first; n <= pool.last; n++) {
            ImpNumber number;
            imp_pool_format(&pool, n, (gint64)1798500000 * G_USEC_PER_SEC + (gint64)n * 1000 * G_USEC_PER_SEC,
                            &number);
            g_assert_true(g_hash_table_add(seen, imp_hex_encode(number.bytes, number.n_bytes)));
            g_assert_cmpuint(number.n_bytes, <=, imp_pool_max_bytes(&pool));
        }
    }
}

static void test_list(void)
{
    g_autoptr(GError) error = NULL;
    g_auto(ImpPool) pool = {0};
    g_autoptr(GString) text = g_string_new("{\"first\":0,\"format\":{\"as\":\"text\",\"list\":[");
    for (guint i = 0; i < IMP_POOL_LIST_MAX; i++)
        g_string_append_printf(text, "%s\"N%05u\"", i > 0 ? "," : "", i);
    g_string_append(text, "]},\"id\":\"codes\",\"last\":16383,\"reuse\":true,\"step\":1}");
    g_assert_true(imp_pool_parse(text->str, &pool, &error));
    g_assert_no_error(error);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text->str, -1);
    g_autofree char *brief = imp_pool_short(text->str);
    g_autofree char *expected = g_strdup_printf(
        "{\"first\":0,\"format\":{\"as\":\"text\",\"entries\":16384,\"sha256\":\"%s\"},\"id\":\"codes\","
        "\"last\":16383,\"reuse\":true,\"step\":1}",
        sum);
    g_assert_cmpstr(brief, ==, expected);
    g_assert_cmpuint(strlen(brief), <=, IMP_POOL_PLAIN_MAX);
    imp_pool_done(&pool);
    /* One entry too many. */
    g_string_replace(text, "[", "[\"one more\",", 1);
    g_assert_false(imp_pool_parse(text->str, &pool, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_SCHEMA);
}

static void test_external(void)
{
    g_autoptr(GError) error = NULL;
    g_auto(ImpPool) pool = {0};
    g_assert_true(
        imp_pool_parse(D("0", "9223372036854775807", "1", "true", "{\"external\":10}"), &pool, &error));
    g_assert_cmpuint(imp_pool_max_bytes(&pool), ==, 10);
    ImpNumber number;
    g_assert_true(imp_pool_take_given(&pool, (const guint8 *)"T200000042", 10, &number, &error));
    g_assert_cmpmem(number.bytes, number.n_bytes, "T200000042", 10);
    g_assert_cmpstr(number.text, ==, "T200000042");
    g_assert_cmpstr(number.pool, ==, "t2");
    static const char *const wrong[] = {"", "T2000000421", "T2\n", "T2\xc3\xa9"};
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_clear_error(&error);
        g_assert_false(
            imp_pool_take_given(&pool, (const guint8 *)wrong[i], strlen(wrong[i]), &number, &error));
        g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    }
}

static void test_dates(void)
{
    static const struct {
        const char *format;
        gboolean has;
    } rows[] = {{"{\"text\":\"{date:yy}{n}\"}", TRUE},
                {"{\"text\":\"date:{n}\"}", FALSE},
                {"{\"decimal\":4}", FALSE}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(ImpPool) pool = {0};
        g_autofree char *definition = g_strdup_printf(
            "{\"first\":1,\"format\":%s,\"id\":\"x\",\"last\":9,\"reuse\":true,\"step\":1}", rows[i].format);
        g_assert_true(imp_pool_parse(definition, &pool, NULL));
        g_assert_cmpint(imp_pool_has_date(&pool), ==, rows[i].has);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autofree char *path = g_strdup_printf("/ledger/pool/good/%s", good[i].name);
        g_test_add_data_func(path, &good[i], test_good);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path = g_strdup_printf("/ledger/pool/bad/%s", bad[i].name);
        g_test_add_data_func(path, &bad[i], test_bad);
    }
    g_test_add_func("/ledger/pool/digest", test_digest);
    g_test_add_func("/ledger/pool/capacity", test_capacity);
    g_test_add_func("/ledger/pool/distinct", test_distinct);
    g_test_add_func("/ledger/pool/list", test_list);
    g_test_add_func("/ledger/pool/external", test_external);
    g_test_add_func("/ledger/pool/dates", test_dates);
    return g_test_run();
}
