#include "base/nearest.h"
#include "base/units.h"

#define BAD G_MAXUINT64

static const struct {
    const char *text;
    ImpUnit unit;
    guint64 value; /* BAD: refused */
} quantities[] = {
    {"4 MHz", IMP_UNIT_HZ, 4000000},
    {"4MHz", IMP_UNIT_HZ, 4000000},
    {"1.8 MHz", IMP_UNIT_HZ, 1800000},
    {"0.5 kHz", IMP_UNIT_HZ, 500},
    {"0 Hz", IMP_UNIT_HZ, 0},
    {"20 ms", IMP_UNIT_US, 20000},
    {"1.5 s", IMP_UNIT_US, 1500000},
    {"2 d", IMP_UNIT_US, G_GUINT64_CONSTANT(172800000000)},
    {"3.3 V", IMP_UNIT_MV, 3300},
    {"3.300000000 V", IMP_UNIT_MV, 3300},
    {"1.5 KiB", IMP_UNIT_BYTES, 1536},
    {"16", IMP_UNIT_BYTES, 16},
    {"0x400", IMP_UNIT_BYTES, 1024},
    {"4", IMP_UNIT_HZ, BAD}, /* no unit */
    {"4 mhz", IMP_UNIT_HZ, BAD},
    {"4  MHz", IMP_UNIT_HZ, BAD},
    {"4 MHz ", IMP_UNIT_HZ, BAD},
    {"-4 MHz", IMP_UNIT_HZ, BAD},
    {"04 MHz", IMP_UNIT_HZ, BAD},
    {"4. MHz", IMP_UNIT_HZ, BAD},
    {".5 MHz", IMP_UNIT_HZ, BAD},
    {"1.5 Hz", IMP_UNIT_HZ, BAD}, /* not whole */
    {"0.0001 mV", IMP_UNIT_MV, BAD},
    {"3.3005 V", IMP_UNIT_MV, BAD},
    {"0.3 KiB", IMP_UNIT_BYTES, BAD},
    {"0x10 KiB", IMP_UNIT_BYTES, BAD},
    {"1.0000000000 s", IMP_UNIT_US, BAD}, /* ten digits */
    {"18446744073709551616 B", IMP_UNIT_BYTES, BAD},
    {"18446744073709551615 KiB", IMP_UNIT_BYTES, BAD},
    {"", IMP_UNIT_BYTES, BAD},
    {"4 ms", IMP_UNIT_HZ, BAD},
};

static void test_quantities(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(quantities); i++) {
        guint64 value = BAD;
        gboolean ok = imp_unit_parse(quantities[i].text, quantities[i].unit, &value);
        if (value != quantities[i].value || ok != (quantities[i].value != BAD))
            g_error("'%s': %d, %" G_GUINT64_FORMAT, quantities[i].text, ok, value);
    }
}

static void test_text(void)
{
    g_autofree char *a = imp_unit_text(4000000, IMP_UNIT_HZ), *b = imp_unit_text(0, IMP_UNIT_US),
                    *c = imp_unit_text(1500, IMP_UNIT_US), *d = imp_unit_text(3300, IMP_UNIT_MV);
    g_assert_cmpstr(a, ==, "4 MHz");
    g_assert_cmpstr(b, ==, "0 us");
    g_assert_cmpstr(c, ==, "1500 us");
    g_assert_cmpstr(d, ==, "3300 mV");
}

static void test_numbers(void)
{
    static const struct {
        const char *text;
        guint64 value;
    } rows[] = {
        {"0", 0},
        {"18446744073709551614", 18446744073709551614u},
        {"0x10", 16},
        {"0xfF", 255},
        {"010", BAD},
        {"1_000", BAD},
        {"-1", BAD},
        {"+1", BAD},
        {" 1", BAD},
        {"1 ", BAD},
        {"0x", BAD},
        {"0X10", BAD},
        {"0x10000000000000000", BAD},
        {"1e3", BAD},
        {"", BAD},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint64 value = BAD;
        gboolean ok = imp_number_parse(rows[i].text, &value);
        if (value != rows[i].value || ok != (rows[i].value != BAD))
            g_error("'%s': %d, %" G_GUINT64_FORMAT, rows[i].text, ok, value);
    }
    guint64 address;
    g_assert_true(imp_address_parse("0x0801F000", &address));
    g_assert_cmpuint(address, ==, 0x0801F000);
    g_assert_false(imp_address_parse("134344704", &address));
}

static void test_ranges(void)
{
    g_autofree char *a = NULL, *b = NULL;
    g_assert_true(imp_range_split("0x10 to  0x20", &a, &b));
    g_assert_cmpstr(a, ==, "0x10");
    g_assert_cmpstr(b, ==, "0x20");
    for (const char *const *bad =
             (const char *const[]){"0x10", "0x10-0x20", " to 1", "1 to ", "1 to 2 to 3", NULL};
         *bad; bad++)
        g_assert_false(imp_range_split(*bad, &a, &b));
}

static void test_dates(void)
{
    gint64 first, last;
    g_assert_true(imp_date_parse("1970-01-02", &first, &last));
    g_assert_cmpint(first, ==, 86400);
    g_assert_cmpint(last, ==, 2 * 86400 - 1);
    g_assert_true(imp_date_parse("2026-12-01T06:00:01Z", &first, &last));
    g_assert_cmpint(first, ==, 1796104801);
    g_assert_cmpint(last, ==, first);
    g_assert_true(imp_date_parse("2028-02-29", &first, &last));
    for (const char *const *bad =
             (const char *const[]){"2026-02-29", "2026-13-01", "2026-12-32", "26-12-01", "2026/12/01",
                                   "2026-12-01T06:00:00", "2026-12-01 06:00:00Z", "2026-12-01T24:00:00Z",
                                   "1969-01-01", "", NULL};
         *bad; bad++)
        if (imp_date_parse(*bad, &first, &last))
            g_error("'%s' was taken", *bad);
}

static void test_nearest(void)
{
    static const char *const known[] = {"verify", "erase", "program", "at", NULL};
    static const struct {
        const char *word, *nearest;
    } rows[] = {{"verfy", "verify"}, {"Erase", "erase"}, {"progarm", "program"},
                {"ta", "at"},        {"eraes", "erase"}, {"something", NULL},
                {"", NULL},          {"xy", NULL}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_cmpstr(imp_nearest(rows[i].word, known), ==, rows[i].nearest);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/units/quantities", test_quantities);
    g_test_add_func("/base/units/text", test_text);
    g_test_add_func("/base/units/numbers", test_numbers);
    g_test_add_func("/base/units/ranges", test_ranges);
    g_test_add_func("/base/units/dates", test_dates);
    g_test_add_func("/base/units/nearest", test_nearest);
    return g_test_run();
}
