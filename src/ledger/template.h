/* Inside of the pool's code: text templates (ledger/pool.h has their grammar, and imp_pool_template_fault). */
#pragma once

#include "ledger/pool.h"

/* text must be without fault in both. template_text: free with g_free. */
char *template_text(const char *text, guint64 number, gint64 real_us);
gboolean template_has_date(const char *text);
