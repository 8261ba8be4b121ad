/* SCPI messages to the board's supply, and words of the control port's `supply` command. */
#include "board/supply.h"

#include <glib.h>
#include <string.h>

#define LINES_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ImpBoard *b = imp_board_new("nrf51822", 1, NULL, NULL);
    struct imp_supply supply;
    g_assert_nonnull(b);
    imp_supply_init(&supply, b);
    g_autofree char *text = g_strndup((const char *)data, size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", LINES_MAX);
    for (guint i = 0; lines[i]; i++) {
        char answer[IMP_SUPPLY_LINE_MAX];
        imp_supply_execute(&supply, lines[i], answer);
        g_assert_cmpuint(strlen(answer), <, sizeof answer);
        g_assert_null(strpbrk(answer, "\r\n"));
        g_assert_cmpuint(supply.set_mv, <=, IMP_SUPPLY_MV_MAX);
        g_assert_cmpuint(supply.error_count, <=, IMP_SUPPLY_ERRORS_MAX);
        if (g_str_has_prefix(lines[i], "supply"))
            imp_supply_control(&supply, lines[i] + strlen("supply"), answer);
        g_assert_cmpuint(strlen(answer), <, sizeof answer);
    }
    imp_board_free(b);
    return 0;
}
