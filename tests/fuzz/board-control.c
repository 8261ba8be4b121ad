/* Lines of the control port. Those that would touch files are left out. */
#include "board/board.h"
#include "board/control.h"

#include <glib.h>
#include <string.h>

#define LINES_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ImpBoard *b = imp_board_new("nrf51822", 1, NULL, NULL);
    g_assert_nonnull(b);
    g_autofree char *text = g_strndup((const char *)data, size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", LINES_MAX);
    for (guint i = 0; lines[i]; i++) {
        char reply[IMP_CONTROL_LINE_MAX];
        const char *word = lines[i] + strspn(lines[i], " \t\"");
        if (g_str_has_prefix(word, "dump") || g_str_has_prefix(word, "load"))
            continue;
        bool go_on = imp_control_execute(b, lines[i], reply);
        g_assert_true(g_str_has_prefix(reply, "ok") || g_str_has_prefix(reply, "error "));
        g_assert_null(strpbrk(reply, "\r\n"));
        if (!go_on)
            break;
    }
    imp_board_free(b);
    return 0;
}
