/* What every chip of the virtual board keeps, whatever its family: run for each name of imp_board_chips(). */
#include "board/board.h"

#include <glib.h>
#include <string.h>

enum { OK = 1, NONE = 7 };

static guint8 transfer(ImpBoard *b, guint8 req, guint32 *value)
{
    guint8 q[8] = {0x05, 0, 1, req}, r[IMP_BOARD_PACKET_SIZE_MAX];
    memcpy(q + 4, value, 4);
    gsize n = imp_board_dap(b, q, req & 2 ? 4 : 8, r, sizeof r);
    g_assert_cmpuint(n, >=, 3);
    if (n == 7)
        memcpy(value, r + 3, 4);
    return r[2];
}

static guint8 attach(ImpBoard *b, guint32 *dpidr)
{
    static const guint8 packets[][11] = {{2, 0x02, 1}, {10, 0x12, 64, 255, 255, 255, 255, 255, 255, 255, 0}};
    guint8 r[IMP_BOARD_PACKET_SIZE_MAX];
    for (guint i = 0; i < G_N_ELEMENTS(packets); i++)
        g_assert_cmpuint(imp_board_dap(b, packets[i] + 1, packets[i][0], r, sizeof r), ==, 2);
    return transfer(b, 0x02, dpidr);
}

static void identifies(gconstpointer name)
{
    ImpBoard *b = imp_board_new(name, 1, NULL, NULL);
    guint32 id = 0, v = 0x50000000;
    g_assert_nonnull(b);
    g_assert_cmpuint(attach(b, &id), ==, OK);
    g_assert_cmpuint(id & 1, ==, 1); /* always 1 in a DPIDR */
    g_assert_cmpuint(id >> 1 & 0x7FF, ==, 0x23B); /* designed by ARM */
    g_assert_cmpuint(transfer(b, 0x04, &v), ==, OK); /* power up */
    g_assert_cmpuint(transfer(b, 0x06, &v), ==, OK);
    g_assert_cmphex(v >> 28, ==, 0xF);
    imp_board_free(b);
}

static void new_chips_differ(gconstpointer name)
{
    ImpBoard *b = imp_board_new(name, 1, NULL, NULL);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < 200; i++) {
        char uid[IMP_BOARD_UID_TEXT_MAX];
        g_assert_cmpuint(strlen(imp_board_get_uid(b, uid)), >=, 8);
        g_assert_true(g_hash_table_add(seen, g_strdup(uid)));
        imp_board_next_any(b, IMP_BOARD_FILL_BLANK);
    }
    imp_board_free(b);
}

static void memory_from_outside(gconstpointer name)
{
    ImpBoard *b = imp_board_new(name, 1, NULL, NULL);
    guint32 base, size;
    imp_board_get_flash_range(b, &base, &size);
    g_autofree guint8 *all = g_malloc(size), *back = g_malloc(size);
    g_assert_true(imp_board_peek(b, base, all, size));
    for (guint32 i = 0; i < size; i++) {
        g_assert_cmphex(all[i], ==, 0xFF); /* blank */
        all[i] = (guint8)(i * 13 + (i >> 8));
    }
    g_assert_true(imp_board_poke(b, base, all, size));
    g_assert_true(imp_board_peek(b, base, back, size));
    g_assert_cmpmem(all, size, back, size);
    g_assert_false(imp_board_peek(b, base, back, (gsize)size + 1));
    g_assert_false(imp_board_poke(b, base + size, all, 1));
    /* flash survives power, a new chip does not inherit it */
    imp_board_set_power(b, false);
    imp_board_set_power(b, true);
    g_assert_true(imp_board_peek(b, base, back, size));
    g_assert_cmpmem(all, size, back, size);
    imp_board_next(b, 5, IMP_BOARD_FILL_BLANK);
    g_assert_true(imp_board_peek(b, base, back, 1));
    g_assert_cmphex(back[0], ==, 0xFF);
    imp_board_free(b);
}

static void nobody_answers_from_an_empty_socket(gconstpointer name)
{
    ImpBoard *b = imp_board_new(name, 1, NULL, NULL);
    guint32 id = 0, again = 0;
    g_assert_cmpuint(attach(b, &id), ==, OK);
    imp_board_remove(b);
    g_assert_cmpuint(attach(b, &again), ==, NONE);
    imp_board_insert(b);
    g_assert_cmpuint(attach(b, &again), ==, OK);
    g_assert_cmphex(again, ==, id);
    g_assert_true(imp_board_set_fault(b, IMP_BOARD_FAULT_WRONG_CHIP, 0, 0));
    g_assert_cmpuint(attach(b, &again), ==, OK);
    g_assert_cmphex(again, !=, id);
    imp_board_free(b);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *what;
        GTestDataFunc run;
    } battery[] = {{"identifies", identifies},
                   {"new-chips-differ", new_chips_differ},
                   {"memory", memory_from_outside},
                   {"empty-socket", nobody_answers_from_an_empty_socket}};
    g_test_init(&argc, &argv, NULL);
    for (const char *const *chip = imp_board_chips(); *chip; chip++) {
        for (guint i = 0; i < G_N_ELEMENTS(battery); i++) {
            g_autofree char *path = g_strdup_printf("/contract/board/%s/%s", *chip, battery[i].what);
            g_test_add_data_func(path, *chip, battery[i].run);
        }
    }
    return g_test_run();
}
