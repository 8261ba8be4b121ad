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
    {"single", D("5", "5", "1", "true", "{\"decimal\":1}"), 5, "5", "35", 1, 1},
};

static void test_good(gconstpointer data)
{
    const Good *row = data;
    g_autoptr(GError) error = NULL;
    ImpPool pool;
    g_assert_true(imp_pool_parse(row->definition, &pool, &error));
    g_assert_no_error(error);
    ImpNumber number;
    imp_pool_format(&pool, row->number, &number);
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
    {"text-two", D("1", "9", "1", "true", "{\"text\":\"{n}{n}\"}"), IMP_E_SCHEMA, "one placeholder"},
    {"text-luhn", D("1", "9", "1", "true", "{\"text\":\"{luhn}{n}\"}"), IMP_E_SCHEMA, "{luhn}"},
    {"text-date", D("1", "9", "1", "true", "{\"text\":\"{date:yyww}{n}\"}"), IMP_E_SCHEMA, "{date:yyww}"},
    {"text-spaces", D("1", "9", "1", "true", "{\"text\":\"{n:6}\"}"), IMP_E_SCHEMA, "{n:6}"},
    {"text-width-0", D("1", "9", "1", "true", "{\"text\":\"{n:00}\"}"), IMP_E_SCHEMA, "{n:00}"},
    {"text-width-21", D("1", "9", "1", "true", "{\"text\":\"{n:021}\"}"), IMP_E_SCHEMA, "{n:021}"},
    {"text-unclosed", D("1", "9", "1", "true", "{\"text\":\"{n\"}"), IMP_E_SCHEMA, "{n}"},
    {"text-stray", D("1", "9", "1", "true", "{\"text\":\"}{n}\"}"), IMP_E_SCHEMA, "one placeholder"},
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
    return g_test_run();
}
