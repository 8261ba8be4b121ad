#include "wire/enrol.h"

#include <string.h>

#define SECRET "000102030405060708090a0b0c0d0e0f"
#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void test_round_trip(void)
{
    ImpEnrolCode code = {.url = "https://127.0.0.1:8443"}, back;
    memset(code.secret, 0x5a, sizeof code.secret);
    memset(code.ca_sha256, 0xa5, sizeof code.ca_sha256);
    for (int root = 0; root < 2; root++) {
        code.has_root = root == 1;
        memset(code.root_sha256, root == 1 ? 0x11 : 0, sizeof code.root_sha256);
        g_autofree char *text = imp_enrol_code_encode(&code);
        g_autofree char *padded = g_strdup_printf(" %s\n", text);
        g_autoptr(GError) error = NULL;
        g_assert_true(imp_enrol_code_decode(padded, &back, &error));
        g_assert_no_error(error);
        g_assert_cmpmem(&back, sizeof back, &code, sizeof code);
    }
}

static void test_refused(void)
{
    const char *const rows[] = {
        "",
        "imprint-enrol-1",
        "imprint-enrol-2." SECRET "." DIGEST ".-.https://a",
        "imprint-enrol-1." SECRET "." DIGEST ".-.http://a",
        "imprint-enrol-1." SECRET "." DIGEST ".-.https://",
        "imprint-enrol-1." SECRET "." DIGEST ".-",
        "imprint-enrol-1." SECRET "." DIGEST "..https://a",
        "imprint-enrol-1." SECRET "0." DIGEST ".-.https://a",
        "imprint-enrol-1." SECRET ".0" DIGEST ".-.https://a",
        "imprint-enrol-1.x00102030405060708090a0b0c0d0e0f." DIGEST ".-.https://a",
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        ImpEnrolCode code = {0}, before = {0};
        g_autoptr(GError) error = NULL;
        g_assert_false(imp_enrol_code_decode(rows[i], &code, &error));
        g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
        g_assert_cmpmem(&code, sizeof code, &before, sizeof before);
    }
    g_autofree char *long_url = g_strnfill(IMP_ENROL_URL_MAX, 'a');
    g_autofree char *text = g_strdup_printf("imprint-enrol-1." SECRET "." DIGEST ".-.https://%s", long_url);
    ImpEnrolCode code;
    g_autoptr(GError) error = NULL;
    g_assert_false(imp_enrol_code_decode(text, &code, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/enrol/round-trip", test_round_trip);
    g_test_add_func("/wire/enrol/refused", test_refused);
    return g_test_run();
}
