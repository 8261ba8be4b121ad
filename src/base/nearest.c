#include "base/nearest.h"

#include <string.h>

/* Optimal string alignment distance, three rows kept. */
static guint distance(const char *a, gsize n_a, const char *b, gsize n_b)
{
    guint rows[3][IMP_NEAREST_BYTES_MAX + 1];
    guint *before = rows[0], *last = rows[1], *row = rows[2];
    for (gsize j = 0; j <= n_b; j++)
        last[j] = (guint)j;
    for (gsize i = 1; i <= n_a; i++) {
        row[0] = (guint)i;
        for (gsize j = 1; j <= n_b; j++) {
            char x = g_ascii_tolower(a[i - 1]), y = g_ascii_tolower(b[j - 1]);
            guint best = last[j - 1] + (x != y);
            best = MIN(best, last[j] + 1);
            best = MIN(best, row[j - 1] + 1);
            if (i > 1 && j > 1 && x == g_ascii_tolower(b[j - 2]) && g_ascii_tolower(a[i - 2]) == y)
                best = MIN(best, before[j - 2] + 1);
            row[j] = best;
        }
        guint *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[n_b];
}

const char *imp_nearest(const char *word, const char *const *known)
{
    gsize n_word = strlen(word);
    const char *best = NULL;
    guint best_distance = G_MAXUINT;
    if (n_word > IMP_NEAREST_BYTES_MAX)
        return NULL;
    for (; *known; known++) {
        gsize n = strlen(*known);
        if (n > IMP_NEAREST_BYTES_MAX)
            continue;
        guint d = distance(word, n_word, *known, n);
        guint allowed = (guint)MAX(MAX(n, n_word) / 3, 1);
        if (d <= allowed && d < best_distance) {
            best = *known;
            best_distance = d;
        }
    }
    return best;
}
