/* Whole recipes against what is said about them, word for word: bad-recipes.txt and good-recipes.txt in the folder RECIPES.
 * (FOLDER stands for the folder of the recipe.) A block of these files is
 *
 *     === name
 *     recipe
 *     --- code of the error (bad ones), nothing (good ones)
 *     the message, or what was built
 *
 * A recipe may begin with variables in a comment: # -D A=1 -D B=2. The recipes stand in a folder with app.hex (16 bytes at 0, 4 bytes at 0x100), more.hex (4 bytes at 0x10001080), ram.hex (4 bytes at
 * 0x20000000), broken.hex, blob.bin (8 bytes), empty.bin, app.s19 (as app.hex), named.bin (begins like ELF), plain.dat (8 bytes), and lists of
 * numbers: serials.txt, macs.txt (hexadecimal), twice.txt, gap.txt, binary.txt. With REGENERATE set the program prints the files anew: look at every
 * difference. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "build/build.h"
#include "ledger/pool.h"

static const struct {
    const char *name, *text;
} files[] = {
    {"app.hex", ":10000000000102030405060708090A0B0C0D0E0F78\n:0401000000112233"
                "95"
                "\n:00000001FF\n"},
    {"more.hex", ":020000041000EA\n:04108000AABBCCDD5E\n:00000001FF\n"},
    {"ram.hex", ":020000042000DA\n:0400000001020304F2\n:00000001FF\n"},
    {"broken.hex", ":0400000001020304F2\n:0400040001020304EF\n:00000001FF\n"},
    {"blob.bin", "12345678"},
    {"empty.bin", ""},
    {"app.s19", "S1130000000102030405060708090A0B0C0D0E0F74\nS10701000011223391\nS9030000FC\n"},
    {"named.bin", "\x7F"
                  "ELF"},
    {"plain.dat", "12345678"},
    {"serials.txt", "K-70\nK-8\nK-1234567\n"},
    {"macs.txt", "70B3D51A2000\r\n70b3d51a2007"},
    {"twice.txt", "A\nB\nA\n"},
    {"gap.txt", "A\n\nB\n"},
    {"binary.txt", "A\xff\n"},
};

typedef struct {
    char *name, *recipe, *code, *expected;
} Block;

static void block_free(gpointer data)
{
    Block *block = data;
    g_free(block->name);
    g_free(block->recipe);
    g_free(block->code);
    g_free(block->expected);
    g_free(block);
}

static GPtrArray *read_blocks(const char *file)
{
    g_autofree char *path = g_build_filename(g_getenv("RECIPES"), file, NULL), *text = NULL;
    g_autoptr(GError) error = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, &error));
    g_auto(GStrv) parts = g_strsplit(text, "=== ", -1);
    GPtrArray *blocks = g_ptr_array_new_with_free_func(block_free);
    for (char **part = parts + 1; *part; part++) {
        Block *block = g_new0(Block, 1);
        g_auto(GStrv) halves = g_strsplit(*part, "--- ", 2);
        g_assert_cmpuint(g_strv_length(halves), ==, 2);
        char *recipe = strchr(halves[0], '\n'), *expected = strchr(halves[1], '\n');
        block->name = g_strndup(halves[0], (gsize)(recipe - halves[0]));
        block->recipe = g_strdup(recipe + 1);
        block->code = g_strndup(halves[1], (gsize)(expected - halves[1]));
        block->expected = g_strchomp(g_strdup(expected + 1));
        g_ptr_array_add(blocks, block);
    }
    return blocks;
}

static void describe_values(GString *out, const ImpContent *c)
{
    for (gsize i = 0; i < c->n_pools; i++)
        g_string_append_printf(out, "pool %s %s\n", c->pools[i].id, c->pools[i].definition);
    for (gsize i = 0; i < c->n_values; i++) {
        const ImpValue *v = &c->values[i];
        g_string_append_printf(out, "value %s ", v->name);
        if (v->kind == IMP_VALUE_POOL)
            g_string_append_printf(out, "pool %u", v->pool_index);
        else if (v->kind == IMP_VALUE_READ)
            g_string_append_printf(out, "read 0x%08" G_GINT64_MODIFIER "X %u", v->read_address,
                                   v->read_bytes);
        else if (v->kind == IMP_VALUE_BARCODE)
            g_string_append_printf(out, "barcode %s", v->rule);
        else if (v->kind == IMP_VALUE_GIVEN)
            g_string_append_printf(out, "given %u to %u", v->size_min, v->size_max);
        else
            g_string_append_printf(out, "from-test %s %u", v->block, v->block_bytes);
        if (v->has_pool)
            g_string_append_printf(out, " pool %u", v->pool_index);
        g_string_append_printf(out, "%s%s\n", v->log ? " log" : "", v->redact ? " redact" : "");
    }
    for (gsize i = 0; i < c->n_places; i++)
        g_string_append_printf(out, "place %s 0x%08" G_GINT64_MODIFIER "X %u pad %02X%s%s\n",
                               c->values[c->places[i].value_index].name, c->places[i].address,
                               c->places[i].size_bytes, c->places[i].pad,
                               c->places[i].reversed ? " reversed" : "", c->places[i].over ? " over" : "");
}

static void describe_range(GString *out, const ImpRange *range)
{
    g_string_append_printf(out, " 0x%08" G_GINT64_MODIFIER "X-0x%08" G_GINT64_MODIFIER "X", range->first,
                           range->last);
}

static void describe_step(GString *out, const char *what, const ImpStep *s)
{
    static const char *const kinds[] = {
        [IMP_STEP_ERASE] = "erase", [IMP_STEP_PROGRAM] = "program", [IMP_STEP_VERIFY] = "verify",
        [IMP_STEP_READ] = "read",   [IMP_STEP_RESET] = "reset",     [IMP_STEP_BLANK_CHECK] = "blank-check",
        [IMP_STEP_WRITE] = "write", [IMP_STEP_EXPECT] = "expect",   [IMP_STEP_PROTECT] = "protect",
        [IMP_STEP_RUN] = "run",     [IMP_STEP_DELAY] = "delay",     [IMP_STEP_POWER] = "power",
        [IMP_STEP_TEST] = "test",
    };
    static const char *const areas[] = {"", "", " all", " used", " range"};
    static const char *const powers[] = {"", "", " on", " off", " cycle"};
    g_string_append_printf(out, "%s %s%s%s%s%s", what, kinds[s->kind], areas[s->erase], areas[s->blank],
                           s->verify == IMP_VERIFY_CHECKSUM    ? " checksum"
                           : s->verify == IMP_VERIFY_READ_BACK ? " read-back"
                                                               : "",
                           powers[s->power]);
    if (s->erase == IMP_ERASE_RANGE || s->blank == IMP_BLANK_RANGE)
        describe_range(out, &s->range);
    for (gsize i = 0; i < s->n_ranges; i++)
        describe_range(out, &s->ranges[i]);
    for (gsize i = 0; i < s->n_values; i++)
        g_string_append_printf(out, " value %u", s->values[i]);
    if (s->kind == IMP_STEP_WRITE) {
        g_autofree char *hex = imp_hex_encode(g_bytes_get_data(s->bytes, NULL), g_bytes_get_size(s->bytes));
        g_string_append_printf(out, " 0x%08" G_GINT64_MODIFIER "X %s", s->address, hex);
    }
    if (s->kind == IMP_STEP_EXPECT)
        g_string_append_printf(out,
                               " 0x%08" G_GINT64_MODIFIER "X %u mask 0x%" G_GINT64_MODIFIER
                               "X from 0x%" G_GINT64_MODIFIER "X to 0x%" G_GINT64_MODIFIER "X",
                               s->address, s->size_bytes, s->mask, s->low, s->high);
    if (s->kind == IMP_STEP_PROTECT)
        g_string_append_printf(out, " level %u%s", s->level, s->prove ? " prove" : "");
    if (s->kind == IMP_STEP_RUN)
        g_string_append_printf(out, " '%s'", s->text);
    if (s->kind == IMP_STEP_TEST)
        g_string_append_printf(out, " %u", s->test_index);
    if (s->within_ms + s->delay_ms + s->timeout_ms > 0)
        g_string_append_printf(out, " %u ms", s->within_ms + s->delay_ms + s->timeout_ms);
    g_string_append_c(out, '\n');
}

static void describe_power(GString *out, const ImpContent *c)
{
    const ImpPowerSettings *p = &c->power;
    if (c->unlock == IMP_UNLOCK_ERASE)
        g_string_append(out, "unlock erase\n");
    if (p->has)
        g_string_append_printf(out, "power %u mV, %u to %u mV, on %u ms, off %u ms%s\n", p->millivolts,
                               p->min_mv, p->max_mv, p->on_delay_ms, p->off_delay_ms,
                               p->off_at_end ? ", off at end" : "");
}

static void describe_releases(GString *out, const ImpBuilt *built)
{
    for (gsize i = 0; i < built->n_releases; i++) {
        const ImpRelease *r = &built->releases[i];
        const ImpRestrictions *s = &r->restrictions;
        g_autofree char *key = r->encrypt_to ? g_path_get_basename(r->encrypt_to) : NULL;
        g_string_append_printf(out, "release %s %s cloud %s factory %s key %s", r->name,
                               imp_image_kind_name(r->kind), r->cloud ? r->cloud : "-",
                               r->factory ? r->factory : "-", key ? key : "-");
        if (s->has_units)
            g_string_append_printf(out, " units %" G_GUINT64_FORMAT, s->units);
        if (s->has_max_failures)
            g_string_append_printf(out, " max-failures %" G_GUINT64_FORMAT, s->max_failures);
        if (s->has_not_before && s->has_not_after)
            g_string_append_printf(out, " dates %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, s->not_before_s,
                                   s->not_after_s);
        for (guint32 k = 0; k < s->n_numbers; k++)
            g_string_append_printf(out, " numbers%s%s %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                                   s->n_numbers > 1 ? " " : "",
                                   s->n_numbers > 1 ? built->content->pools[s->numbers[k].pool_index].id : "",
                                   s->numbers[k].first, s->numbers[k].last);
        if (s->free_rework)
            g_string_append(out, " rework-is-free");
        g_string_append_printf(out, " count-on %s\n", s->count_on == IMP_COUNT_ON_PASS ? "pass" : "write");
    }
}

/* What was built, in words; free with g_free. */
static char *describe(const ImpBuilt *built)
{
    static const char *const attach[] = {[IMP_ATTACH_NORMAL] = "normal",
                                         [IMP_ATTACH_UNDER_RESET] = "under-reset",
                                         [IMP_ATTACH_POWER_CYCLE] = "power-cycle"};
    const ImpContent *c = built->content;
    GString *out = g_string_new(NULL);
    g_string_append_printf(out, "name %s version '%s' device %s swd %u attach %s rework %s\n", c->name,
                           c->version, c->device->name, c->swd_hz, attach[c->attach],
                           c->rework == IMP_REWORK_REFUSE        ? "refuse"
                           : c->rework == IMP_REWORK_KEEP_VALUES ? "keep-values"
                                                                 : "new-values");
    describe_power(out, c);
    for (gsize i = 0; i < c->n_segments; i++) {
        gsize n;
        const guint8 *bytes = g_bytes_get_data(c->segments[i].bytes, &n);
        g_autofree char *hex = imp_hex_encode(bytes, n);
        g_string_append_printf(out, "segment %s 0x%08" G_GINT64_MODIFIER "X %s\n", c->segments[i].data,
                               c->segments[i].address, hex);
    }
    describe_values(out, c);
    for (gsize i = 0; i < c->n_steps; i++)
        describe_step(out, "step", &c->steps[i]);
    for (gsize i = 0; i < c->n_finally; i++)
        describe_step(out, "finally", &c->finally[i]);
    describe_releases(out, built);
    for (gsize i = 0; i < built->n_inputs;
         i++) /* not the device: its digest changes with the compiler of the algorithms */
        if (!g_str_has_prefix(built->inputs[i].name, "device ")) {
            g_autofree char *hex = imp_hex_encode(built->inputs[i].sha256, 4);
            g_string_append_printf(out, "input %s %s…\n", built->inputs[i].name, hex);
        }
    for (char **warning = built->warnings; *warning != NULL; warning++)
        g_string_append_printf(out, "%s\n", *warning);
    return g_strchomp(g_string_free(out, FALSE));
}

/* What the ledger wants of a pool, and what it says about the longest number. */
static void check_pools(const ImpContent *c)
{
    for (gsize i = 0; i < c->n_pools; i++) {
        g_autoptr(GError) error = NULL;
        g_auto(ImpPool) pool = {0};
        gboolean ok = imp_pool_parse(c->pools[i].definition, &pool, &error);
        g_assert_no_error(error);
        g_assert_true(ok);
        g_assert_cmpstr(pool.id, ==, c->pools[i].id);
        for (gsize p = 0; p < c->n_places; p++)
            if (c->values[c->places[p].value_index].kind == IMP_VALUE_POOL &&
                c->values[c->places[p].value_index].pool_index == i)
                g_assert_cmpuint(c->places[p].size_bytes, >=, imp_pool_max_bytes(&pool));
    }
}

/* The object of what was built; its content digest as text in *out_digest. Free with g_bytes_unref. */
static GBytes *object_of(ImpBuilt *built, char **out_digest)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpObject) object =
        imp_object_new(g_steal_pointer(&built->content), built->inputs, built->n_inputs, &error);
    g_assert_no_error(error);
    *out_digest = imp_hex_encode(object->content_sha256, sizeof object->content_sha256);
    GBytes *bytes = imp_object_encode(object, &error);
    g_assert_no_error(error);
    return bytes;
}

static void run_block(gconstpointer data)
{
    const Block *block = data;
    g_autoptr(GError) error = NULL;
    g_assert_true(g_file_set_contents("r.yaml", block->recipe, -1, NULL));
    g_autofree char *first_line = g_strndup(block->recipe, strcspn(block->recipe, "\n"));
    g_auto(GStrv) words =
        g_str_has_prefix(first_line, "# -D ") ? g_strsplit(first_line + 5, " -D ", -1) : NULL;
    g_autoptr(ImpBuilt) built = imp_build_recipe("r.yaml", (const char *const *)words, NULL, &error);
    g_assert_true((built == NULL) == (error != NULL));
    if (built)
        check_pools(built->content);
    g_autofree char *found = built ? describe(built) : g_strdup(error->message);
    if (built) {
        g_autofree char *digest = NULL;
        g_autoptr(GBytes) object = object_of(built, &digest);
    }
    g_autofree char *here = g_get_current_dir();
    g_auto(GStrv) parts = g_strsplit(found, here, -1);
    g_free(found);
    found = g_strjoinv("FOLDER", parts);
    const char *code = built != NULL ? "built" : imp_error_entry(imp_error_code(error))->name;
    if (g_getenv("REGENERATE")) {
        printf("=== %s\n%s--- %s\n%s\n", block->name, block->recipe, code, found);
        return;
    }
    g_assert_cmpstr(found, ==, block->expected);
    g_assert_cmpstr(code, ==, block->code);
}

/* The same from another folder, under another time stamp: the same content and inputs. */
static void test_reproducible(void)
{
    const char *recipe =
        "imprint: 1\nname: T\ndevice: nRF51822\ndata: {a: {file: app.hex}, b: {file: blob.bin, at: 0x400}}\n";
    g_autoptr(GError) error = NULL;
    g_autofree char *other = g_dir_make_tmp("imprint-recipe-XXXXXX", NULL),
                    *path = g_build_filename(other, "x.yaml", NULL);
    g_autofree char *app = g_build_filename(other, "app.hex", NULL),
                    *blob = g_build_filename(other, "blob.bin", NULL);
    g_assert_true(g_file_set_contents("r.yaml", recipe, -1, NULL) &&
                  g_file_set_contents(path, recipe, -1, NULL));
    g_assert_true(g_file_set_contents(app, files[0].text, -1, NULL) &&
                  g_file_set_contents(blob, files[4].text, -1, NULL));
    g_autoptr(ImpBuilt) one = imp_build_recipe("r.yaml", NULL, NULL, &error),
                        two = imp_build_recipe(path, NULL, NULL, &error);
    g_assert_no_error(error);
    g_autofree char *a = describe(one), *b = describe(two);
    g_assert_cmpstr(a, ==, b);
    g_assert_cmpuint(one->n_inputs, ==, 3);
    for (gsize i = 0; i < one->n_inputs; i++) {
        g_assert_cmpstr(one->inputs[i].name, ==, two->inputs[i].name);
        g_assert_cmpmem(one->inputs[i].sha256, 32, two->inputs[i].sha256, 32);
    }
    g_assert_cmpstr(one->inputs[2].name, ==, "device nRF51822_xxAA");
    g_autofree char *digest_a = NULL, *digest_b = NULL;
    g_autoptr(GBytes) object_a = object_of(one, &digest_a), object_b = object_of(two, &digest_b);
    g_assert_true(g_bytes_equal(object_a, object_b));
    for (const char *const *file = (const char *const[]){path, app, blob, NULL}; *file; file++)
        g_unlink(*file);
    g_rmdir(other);
}

/* HEX and binary of the same bytes: the same content, other inputs. Another version: the same content. Another byte: not. */
static void test_content_digest(void)
{
    static const struct {
        const char *recipe;
        gboolean same;
    } rows[] = {
        {"imprint: 1\nname: T\ndevice: nRF51822\ndata: {a: {file: app.hex}}\n", TRUE},
        {"imprint: 1\nname: T\nversion: 2\ndevice: nRF51822_xxAA\ndata:\n  x: {file: low.bin, at: 0x0}\n"
         "  y: {file: high.bin, at: 0x100}\nreleases: {r: {kind: sap}}\n",
         TRUE},
        {"imprint: 1\nname: T\ndevice: nRF51822\ndata: {a: {file: high.bin, at: 0x0}}\n", FALSE},
        {"imprint: 1\nname: T\ndevice: nRF51822\nconnection: {swd: 2 MHz}\ndata: {a: {file: app.hex}}\n",
         FALSE},
    };
    guint8 low[16];
    for (guint8 i = 0; i < sizeof low; i++)
        low[i] = i;
    g_assert_true(g_file_set_contents("low.bin", (const char *)low, sizeof low, NULL));
    g_assert_true(g_file_set_contents("high.bin", "\x00\x11\x22\x33", 4, NULL));
    g_autofree char *first = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *digest = NULL;
        g_assert_true(g_file_set_contents("r.yaml", rows[i].recipe, -1, NULL));
        g_autoptr(ImpBuilt) built = imp_build_recipe("r.yaml", NULL, NULL, &error);
        g_assert_no_error(error);
        g_autoptr(GBytes) object = object_of(built, &digest);
        if (i == 0)
            first = g_strdup(digest);
        g_assert_cmpint(strcmp(digest, first) == 0, ==, rows[i].same);
    }
    g_unlink("low.bin");
    g_unlink("high.bin");
}

static void test_release(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(g_file_set_contents("r.yaml",
                                      "imprint: 1\nname: T\ndevice: nRF51822\ndata: {a: {file: app.hex}}\n"
                                      "releases:\n  bench: {kind: sap}\n",
                                      -1, NULL));
    g_autoptr(ImpBuilt) built = imp_build_recipe("r.yaml", NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_nonnull(imp_built_release(built, "bench", &error));
    g_assert_null(imp_built_release(built, "bensh", &error));
    g_assert_error(error, IMP_ERROR, IMP_E_NOT_FOUND);
    g_assert_cmpstr(error->message, ==, "the recipe has no release 'bensh'; did you mean 'bench'?");
    g_clear_error(&error);
    g_assert_null(imp_built_release(built, "shenzhen", &error));
    g_assert_cmpstr(error->message, ==, "the recipe has no release 'shenzhen'; there are: bench");
}

/* The recipe of the examples, with Debian's firmware. */
static void test_example(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(g_getenv("EXAMPLES"), "microbit.yaml", NULL);
    g_autoptr(ImpBuilt) built = imp_build_recipe(path, NULL, NULL, &error);
    g_assert_no_error(error);
    const ImpContent *c = built->content;
    check_pools(c);
    g_assert_cmpuint(c->n_segments, ==, 2);
    g_assert_cmpuint(c->segments[0].address, ==, 0);
    guint64 end = g_bytes_get_size(c->segments[0].bytes);
    g_assert_cmpuint(c->segments[1].address, ==, 0x100010C0);
    g_assert_cmpuint(c->n_places, ==, 1);
    g_assert_cmpuint(c->places[0].address, >=, end);
    g_assert_cmpuint(c->places[0].address + c->places[0].size_bytes, <=, 0x3C000);
    const ImpRelease *job = imp_built_release(built, "shenzhen", &error),
                     *sap = imp_built_release(built, "bench", &error);
    g_assert_no_error(error);
    g_assert_cmpint(job->kind, ==, IMP_IMAGE_JOB);
    g_assert_cmpuint(job->restrictions.units, ==, 6);
    g_assert_cmpint(sap->kind, ==, IMP_IMAGE_SAP);
}

static void test_no_file(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(imp_build_recipe("nothing.yaml", NULL, NULL, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_NOT_FOUND);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GPtrArray) bad = read_blocks("bad-recipes.txt"), good = read_blocks("good-recipes.txt");
    g_autofree char *folder = g_dir_make_tmp("imprint-recipe-XXXXXX", NULL);
    g_assert_true(folder != NULL && g_chdir(folder) == 0);
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++)
        g_assert_true(g_file_set_contents(files[i].name, files[i].text, -1, NULL));
    for (guint i = 0; i < bad->len; i++) {
        g_autofree char *path = g_strdup_printf("/build/recipe/bad/%s", ((const Block *)bad->pdata[i])->name);
        g_test_add_data_func(path, bad->pdata[i], run_block);
    }
    for (guint i = 0; i < good->len; i++) {
        g_autofree char *path =
            g_strdup_printf("/build/recipe/good/%s", ((const Block *)good->pdata[i])->name);
        g_test_add_data_func(path, good->pdata[i], run_block);
    }
    g_test_add_func("/build/recipe/reproducible", test_reproducible);
    g_test_add_func("/build/recipe/content-digest", test_content_digest);
    g_test_add_func("/build/recipe/release", test_release);
    g_test_add_func("/build/recipe/example", test_example);
    g_test_add_func("/build/recipe/no-file", test_no_file);
    int status = g_test_run();
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++)
        g_unlink(files[i].name);
    g_unlink("r.yaml");
    return g_chdir("/") != 0 || g_rmdir(folder) != 0 ? 1 : status;
}
