/* Replays the inputs of a fuzz target as a TAP test: replay FOLDER. Each file is one test point: as it is, cut short at
 * up to CUTS_MAX lengths, and with single bits flipped. The changes come from a fixed seed, so a failure happens again.
 * Passing means: no crash, no sanitizer report, no assertion. */
#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CUTS_MAX  64
#define FLIPS_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An exact-sized heap copy, so that AddressSanitizer sees a read past the end. */
static void feed(const guint8 *bytes, gsize n)
{
    g_autofree guint8 *copy = g_memdup2(bytes, n);
    LLVMFuzzerTestOneInput(copy ? copy : (const guint8 *)"", n);
}

static void replay(guint8 *bytes, gsize n, GRand *rand)
{
    feed(bytes, n);
    gsize step = n / CUTS_MAX + 1;
    for (gsize cut = 0; cut < n; cut += step)
        feed(bytes, cut);
    for (guint i = 0; n > 0 && i < FLIPS_MAX; i++) {
        gsize at = (gsize)g_rand_int_range(rand, 0, (gint32)n);
        guint8 bit = (guint8)(1u << g_rand_int_range(rand, 0, 8));
        bytes[at] ^= bit;
        feed(bytes, n);
        bytes[at] ^= bit;
    }
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    GDir *folder = argc == 2 ? g_dir_open(argv[1], 0, &error) : NULL;
    if (folder == NULL) {
        fprintf(stderr, "usage: replay FOLDER; %s\n", error ? error->message : "no folder given");
        return 2;
    }
    for (const char *name = g_dir_read_name(folder); name; name = g_dir_read_name(folder))
        g_ptr_array_add(names, g_strdup(name));
    g_dir_close(folder);
    g_ptr_array_sort(names, by_name);
    printf("1..%u\n", names->len);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path = g_build_filename(argv[1], names->pdata[i], NULL);
        g_autofree char *bytes = NULL;
        gsize n;
        g_autoptr(GRand) rand = g_rand_new_with_seed(1);
        gboolean read = g_file_get_contents(path, &bytes, &n, NULL);
        if (read)
            replay((guint8 *)bytes, n, rand);
        printf("%s %u - %s\n", read ? "ok" : "not ok", i + 1, (char *)names->pdata[i]);
        fflush(stdout);
    }
    return names->len == 0; /* a target without inputs tests nothing */
}
