/* The memory map: sorting, joining, collisions. */
#include <string.h>

#include "build/map.h"

static const char *const names[] = {"a", "b", "c", NULL};

static void add(ImpMap *map, guint source, guint64 address, const char *bytes)
{
    g_autoptr(GBytes) all = g_bytes_new(bytes, strlen(bytes));
    imp_map_add(map, source, address, all);
}

/* "a@0:xyz b@3:..." ; free with g_free. */
static char *text(ImpMap *map)
{
    gsize n;
    ImpSegment *segments = imp_map_segments(map, names, &n);
    GString *out = g_string_new(NULL);
    for (gsize i = 0; i < n; i++) {
        gsize n_bytes;
        const char *bytes = g_bytes_get_data(segments[i].bytes, &n_bytes);
        g_string_append_printf(out, "%s%s@%" G_GINT64_MODIFIER "x:%.*s", i ? " " : "", segments[i].data,
                               segments[i].address, (int)n_bytes, bytes);
        g_free(segments[i].data);
        g_bytes_unref(segments[i].bytes);
    }
    g_free(segments);
    return g_string_free(out, FALSE);
}

static void test_segments(void)
{
    g_autoptr(ImpMap) map = imp_map_new();
    ImpMapCollision collision;
    add(map, 0, 0x20, "late");
    add(map, 0, 0x04, "efgh");
    add(map, 0, 0x00, "abcd");
    add(map, 1, 0x08, "next"); /* touches, but is another source */
    add(map, 0, 0x0C, "");
    imp_map_claim(map, 2, 0x0C, 4);
    add(map, 0, G_MAXUINT64 - 4, "end!");
    g_assert_false(imp_map_collision(map, &collision));
    g_autofree char *all = text(map);
    g_assert_cmpstr(all, ==, "a@0:abcdefgh b@8:next a@20:late a@fffffffffffffffb:end!");
}

static const struct {
    const char *name;
    guint64 first[2], second[2]; /* address, length; in the order of adding */
    gboolean hit;
    guint64 address;
} rows[] = {
    {"apart", {0, 4}, {8, 4}, FALSE, 0},           {"touching", {0, 4}, {4, 4}, FALSE, 0},
    {"touching-before", {4, 4}, {0, 4}, FALSE, 0}, {"one-byte", {0, 5}, {4, 4}, TRUE, 4},
    {"one-byte-before", {4, 4}, {0, 5}, TRUE, 4},  {"same", {8, 4}, {8, 4}, TRUE, 8},
    {"inside", {0, 100}, {50, 1}, TRUE, 50},       {"around", {50, 1}, {0, 100}, TRUE, 50},
};

static void test_collision(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autoptr(ImpMap) map = imp_map_new();
    ImpMapCollision collision;
    g_autofree char *bytes = g_strnfill(rows[i].first[1], 'x');
    add(map, 1, 1000, "far");
    add(map, 0, rows[i].first[0], bytes);
    imp_map_claim(map, 2, rows[i].second[0], rows[i].second[1]);
    g_assert_cmpint(imp_map_collision(map, &collision), ==, rows[i].hit);
    if (rows[i].hit) {
        g_assert_cmpuint(collision.source, ==, 2);
        g_assert_cmpuint(collision.other, ==, 0);
        g_assert_cmpuint(collision.address, ==, rows[i].address);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/build/map/segments", test_segments);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/build/map/collision/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_collision);
    }
    return g_test_run();
}
