/* Bytes of a foreign supply: its answers to everything that a port asks of it. Whatever comes, each call ends, and what was
 * measured lies within its limits. */
#include "base/error.h"
#include "target/power-drivers.h"

#include <stdint.h>
#include <string.h>

typedef struct {
    const char *at;
    size_t left;
} Answers;

static gboolean fuzz_send(void *self, const char *line, GError **error)
{
    g_assert_true(g_str_has_suffix(line, "\n"));
    return TRUE;
}

static gboolean fuzz_receive(void *self, char answer[IMP_SCPI_ANSWER_MAX + 1], GError **error)
{
    Answers *answers = self;
    if (answers->left == 0) {
        imp_error_set(error, IMP_E_POWER_TIMEOUT, "no more");
        return FALSE;
    }
    const char *end = memchr(answers->at, '\n', answers->left);
    size_t n = end != NULL ? (size_t)(end - answers->at) : answers->left;
    size_t kept = MIN(n, IMP_SCPI_ANSWER_MAX);
    for (size_t i = 0; i < kept; i++)
        answer[i] = answers->at[i] != '\0' ? answers->at[i] : '?';
    answer[kept] = '\0';
    n += end != NULL ? 1 : 0;
    answers->at += n;
    answers->left -= n;
    return TRUE;
}

static void fuzz_drop(void *self)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ImpScpiLinkOps ops = {fuzz_send, fuzz_receive, fuzz_drop, fuzz_drop};
    Answers answers = {(const char *)data, size};
    g_autoptr(ImpPower) power = imp_power_scpi_new("scpi:fuzz", 1, &ops, &answers);
    while (answers.left > 0) {
        g_autoptr(GError) on = NULL, off = NULL, measure = NULL;
        guint32 mv = 0;
        g_assert_true(imp_power_on(power, 3300, &on) || on != NULL);
        g_assert_true(imp_power_measure(power, &mv, &measure) || measure != NULL);
        g_assert_cmpuint(mv, <=, IMP_POWER_MV_MAX);
        g_assert_true(imp_power_off(power, &off) || off != NULL);
    }
    return 0;
}
