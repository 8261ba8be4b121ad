#include <stdint.h>
#include <string.h>

#include "ledger/pool.h"

/* A definition that is taken is the canonical one, and its first and last numbers can be formatted. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strndup((const char *)data, size);
    g_auto(ImpPool) pool = {0};
    if (!imp_pool_parse(text, &pool, &error)) {
        g_assert(error != NULL);
        return 0;
    }
    g_autofree char *canonical = imp_pool_canonical(text, &error);
    g_assert_no_error(error);
    g_assert(strcmp(canonical, text) == 0);
    ImpNumber number;
    if (pool.format == IMP_POOL_EXTERNAL)
        return 0;
    imp_pool_format(&pool, pool.first, 0, &number);
    guint64 last = pool.first + (imp_pool_capacity(&pool, pool.first) - 1) * pool.step;
    imp_pool_format(&pool, last, G_MAXINT64, &number);
    g_assert(number.n_bytes <= imp_pool_max_bytes(&pool));
    g_autofree char *brief = imp_pool_short(text);
    g_assert(strlen(brief) <= IMP_POOL_PLAIN_MAX);
    return 0;
}
