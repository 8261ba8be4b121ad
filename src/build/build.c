#include "build/build.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/nearest.h"
#include "build/advice.h"
#include "build/map.h"
#include "build/plan.h"
#include "build/elf_program.h"
#include "build/recipe.h"
#include "build/test_program.h"
#include "device/device_json.h"
#include "device/packs.h"

/* What the functions below share while one recipe is built. Sources of the map are the data (by index), then the places. */
typedef struct {
    const char *packs_dir;
    ImpYaml *yaml;
    char *folder;
    ImpRecipe *recipe;
    ImpDevice *device; /* NULL after a fault */
    ImpMap *map;
    GHashTable *inputs; /* name → lower-case hexadecimal SHA-256 */
    gsize n_bytes; /* of all data together */
    gboolean has_mailbox; /* the firmware's, if some data brings one */
    guint32 mailbox;
    ImpTestProgram *tests; /* one for each of the recipe's; zeroed after a fault */
} Builder;

void imp_built_free(ImpBuilt *built)
{
    if (built == NULL)
        return;
    imp_content_free(built->content);
    for (gsize i = 0; i < built->n_inputs; i++)
        g_free(built->inputs[i].name);
    g_free(built->inputs);
    for (gsize i = 0; i < built->n_releases; i++)
        imp_release_done(&built->releases[i]);
    g_free(built->releases);
    g_strfreev(built->warnings);
    g_free(built);
}

const ImpRelease *imp_built_release(const ImpBuilt *built, const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (gsize i = 0; i < built->n_releases; i++) {
        if (strcmp(built->releases[i].name, name) == 0)
            return &built->releases[i];
        g_ptr_array_add(names, built->releases[i].name);
    }
    g_ptr_array_add(names, NULL);
    const char *nearest = imp_nearest(name, (const char *const *)names->pdata);
    if (nearest != NULL)
        imp_error_set(error, IMP_E_NOT_FOUND, "the recipe has no release '%s'; did you mean '%s'?", name,
                      nearest);
    else if (built->n_releases == 0)
        imp_error_set(error, IMP_E_NOT_FOUND, "the recipe has no release '%s', nor any other", name);
    else {
        g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
        imp_error_set(error, IMP_E_NOT_FOUND, "the recipe has no release '%s'; there are: %s", name, all);
    }
    return NULL;
}

/* ---- inputs ---- */

static void add_input(Builder *b, const char *name, const void *bytes, gsize n_bytes)
{
    g_hash_table_replace(b->inputs, g_strdup(name),
                         g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, n_bytes));
}

/* The device as it goes into the content: its JSON form and the blobs of its algorithms. */
static void add_device_input(Builder *b)
{
    GPtrArray *blobs = NULL;
    json_t *json = imp_device_encode(b->device, &blobs);
    g_autofree char *text = imp_json_text(json);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, (const guchar *)text, (gssize)strlen(text));
    for (guint i = 0; i < blobs->len; i++) {
        gsize n;
        const guchar *bytes = g_bytes_get_data(blobs->pdata[i], &n);
        g_checksum_update(sum, bytes, (gssize)n);
    }
    g_hash_table_replace(b->inputs, g_strconcat("device ", b->device->name, NULL),
                         g_strdup(g_checksum_get_string(sum)));
    g_ptr_array_unref(blobs);
    json_decref(json);
}

/* The files of pools that are lists. */
static void add_lists(Builder *b)
{
    for (guint i = 0; i < b->recipe->values->len; i++) {
        const ImpRecipeValue *value = &g_array_index(b->recipe->values, ImpRecipeValue, i);
        if (value->list_file != NULL)
            g_hash_table_replace(b->inputs, g_strdup(value->list_file), g_strdup(value->list_sha256));
    }
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(((const ImpInput *)a)->name, ((const ImpInput *)b)->name);
}

static void take_inputs(Builder *b, ImpBuilt *built)
{
    GHashTableIter iter;
    gpointer name, sha256;
    built->inputs = g_new0(ImpInput, g_hash_table_size(b->inputs));
    g_hash_table_iter_init(&iter, b->inputs);
    while (g_hash_table_iter_next(&iter, &name, &sha256)) {
        ImpInput *input = &built->inputs[built->n_inputs++];
        input->name = g_strdup(name);
        gssize n = imp_hex_decode(sha256, input->sha256, sizeof input->sha256);
        g_assert(n == sizeof input->sha256);
    }
    qsort(built->inputs, built->n_inputs, sizeof *built->inputs, by_name);
}

/* ---- data ---- */

/* The bytes of a data file, given to the caller as malloc'ed text. */
static gboolean read_file(const Builder *b, const char *name, char **out_bytes, gsize *out_n, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(name, b->folder);
    GStatBuf info;
    if (g_stat(path, &info) != 0) {
        int reason = errno;
        imp_error_set(error, imp_error_code_of_errno(reason), "cannot read %s: %s", path, g_strerror(reason));
        return FALSE;
    }
    if (!S_ISREG(info.st_mode)) {
        imp_error_set(error, IMP_E_NO_ACCESS, "cannot read %s: it is no ordinary file", path);
        return FALSE;
    }
    if ((guint64)info.st_size > IMP_BUILD_FILE_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "%s has %" G_GUINT64_FORMAT " bytes, the limit is %u", path,
                      (guint64)info.st_size, IMP_BUILD_FILE_MAX);
        return FALSE;
    }
    g_autoptr(GError) io = NULL;
    if (!g_file_get_contents(path, out_bytes, out_n, &io)) {
        imp_error_set(error, imp_error_code_of_file(io), "cannot read %s: %s", path, io->message);
        return FALSE;
    }
    return TRUE;
}

/* Firmware that is linked with algorithms/runtest can be listened to. */
static gboolean find_mailbox(Builder *b, const guint8 *file, gsize n_file, const ImpRecipeData *data,
                             GError **error)
{
    ImpElfProgram program;
    if (imp_data_guess(file, n_file) != IMP_DATA_ELF ||
        (data->load.exact && data->load.format != IMP_DATA_ELF))
        return TRUE;
    if (!imp_elf_program(file, n_file, data->file, &program, error))
        return FALSE;
    if (program.has_mailbox) {
        b->has_mailbox = TRUE;
        b->mailbox = program.mailbox;
    }
    return TRUE;
}

static void add_test(Builder *b, guint index)
{
    const ImpRecipeTest *test = &g_array_index(b->recipe->tests, ImpRecipeTest, index);
    GError *error = NULL;
    g_autofree char *file = NULL;
    gsize n = 0;
    if (read_file(b, test->file, &file, &n, &error)) {
        add_input(b, test->file, file, n);
        if (b->device == NULL || imp_test_program_read((const guint8 *)file, n, test->file, test->name,
                                                       b->device, &b->tests[index], &error))
            return;
    }
    imp_yaml_take(b->yaml, test->file_node, error);
}

/* Where the text of each run step comes from, now that the data is known. */
static void choose_mailboxes(const Builder *b)
{
    gboolean locked = FALSE;
    for (guint i = 0; i < b->recipe->steps->len; i++) {
        ImpRecipeStep *step = &g_array_index(b->recipe->steps, ImpRecipeStep, i);
        locked = locked || step->step.kind == IMP_STEP_PROTECT;
        if (step->step.kind != IMP_STEP_RUN || step->speaks == IMP_SPEAKS_SERIAL)
            continue;
        if (locked && step->speaks == IMP_SPEAKS_EITHER)
            continue; /* nobody gets at the mailbox any more */
        if (locked)
            imp_yaml_fault(b->yaml, step->speaks_node, IMP_E_RECIPE,
                           "after 'protect' the mailbox cannot be reached; say 'on: serial'");
        else if (b->has_mailbox)
            step->step.address = b->mailbox;
        else if (step->speaks == IMP_SPEAKS_MAILBOX)
            imp_yaml_fault(b->yaml, step->speaks_node, IMP_E_RECIPE,
                           "no data is an ELF file with the symbol " IMP_ELF_MAILBOX_SYMBOL
                           "; link imprint_test.c into the firmware, and give its ELF file");
    }
}

static void add_data(Builder *b, guint source)
{
    const ImpRecipeData *data = &g_array_index(b->recipe->data, ImpRecipeData, source);
    GError *error = NULL;
    g_autofree char *file = NULL;
    g_autoptr(ImpPieces) all = NULL;
    gsize n = 0;
    if (data->file == NULL)
        return;
    if (read_file(b, data->file, &file, &n, &error)) {
        add_input(b, data->file, file, n);
        all = imp_load((const guint8 *)file, n, data->file, &data->load, &error);
    }
    gboolean ok = all != NULL && find_mailbox(b, (const guint8 *)file, n, data, &error);
    for (gsize i = 0; ok && i < all->n_pieces; i++) {
        g_autoptr(GBytes) bytes = g_bytes_new(all->bytes + all->pieces[i].offset, all->pieces[i].n_bytes);
        b->n_bytes += all->pieces[i].n_bytes;
        imp_map_add(b->map, source, all->pieces[i].address, bytes);
    }
    if (ok && b->n_bytes > IMP_CONTENT_DATA_MAX) {
        imp_error_set(&error, IMP_E_LIMIT, "all data together is larger than the limit of %u bytes",
                      IMP_CONTENT_DATA_MAX);
        ok = FALSE;
    }
    if (!ok)
        imp_yaml_take(b->yaml, data->file_node, error);
}

/* ---- checks against the chip ---- */

/* TRUE, or FALSE and the first address of the range that no algorithm programs. Ranges of algorithms may touch. */
static gboolean programmable(const ImpDevice *device, guint64 address, guint64 n_bytes, guint64 *out_address)
{
    while (n_bytes > 0) {
        const ImpAlgorithm *algorithm = imp_device_algorithm_at(device, address, 1);
        if (algorithm == NULL) {
            *out_address = address;
            return FALSE;
        }
        guint64 step = MIN(n_bytes, algorithm->start + algorithm->size_bytes - address);
        address += step;
        n_bytes -= step;
    }
    return TRUE;
}

/* "0x00000000 to 0x0003FFFF and 0x10001000 to 0x100010FF"; free with g_free. */
static char *memories_text(const ImpDevice *device)
{
    GString *text = g_string_new(NULL);
    for (gsize i = 0; i < device->n_algorithms; i++)
        g_string_append_printf(text, "%s0x%08" G_GINT64_MODIFIER "X to 0x%08" G_GINT64_MODIFIER "X",
                               i ? " and " : "", device->algorithms[i]->start,
                               device->algorithms[i]->start + device->algorithms[i]->size_bytes - 1);
    return g_string_free(text, FALSE);
}

static void check_range(Builder *b, guint source, guint64 address, guint64 n_bytes)
{
    guint64 outside;
    if (programmable(b->device, address, n_bytes, &outside))
        return;
    g_autofree char *what = imp_recipe_source_text(b->recipe, source), *memories = memories_text(b->device);
    imp_yaml_fault(b->yaml, imp_recipe_source_node(b->recipe, source), IMP_E_OUTSIDE_MEMORY,
                   "%s has bytes at 0x%08" G_GINT64_MODIFIER "X; what can be programmed on %s is %s", what,
                   outside, b->device->name, memories);
}

/* Each segment inside a memory, and where its source may be. One fault a source is enough. */
static void check_segments(Builder *b, const ImpSegment *segments, gsize n_segments)
{
    for (guint source = 0; source < b->recipe->data->len; source++) {
        const ImpRecipeData *data = &g_array_index(b->recipe->data, ImpRecipeData, source);
        gboolean range_said = FALSE, within_said = FALSE;
        for (gsize i = 0; i < n_segments; i++) {
            const ImpSegment *segment = &segments[i];
            guint64 n = g_bytes_get_size(segment->bytes), last = segment->address + n - 1, outside;
            if (strcmp(segment->data, data->name) != 0)
                continue;
            if (!range_said && b->device != NULL && !programmable(b->device, segment->address, n, &outside)) {
                check_range(b, source, segment->address, n);
                range_said = TRUE;
            }
            if (!within_said && data->within_node != NULL &&
                (segment->address < data->within_first || last > data->within_last)) {
                imp_yaml_fault(
                    b->yaml, data->within_node, IMP_E_OUTSIDE_MEMORY,
                    "data '%s' has bytes at 0x%08" G_GINT64_MODIFIER "X, outside this range", data->name,
                    segment->address < data->within_first ? segment->address
                                                          : MAX(segment->address, data->within_last + 1));
                within_said = TRUE;
            }
        }
    }
}

static void check_collision(Builder *b)
{
    ImpMapCollision collision;
    if (!imp_map_collision(b->map, &collision))
        return;
    g_autofree char *one = imp_recipe_source_text(b->recipe, collision.source),
                    *other = imp_recipe_source_text(b->recipe, collision.other);
    imp_yaml_fault(b->yaml, imp_recipe_source_node(b->recipe, collision.source), IMP_E_DATA_OVERLAP,
                   "%s lies over %s at 0x%08" G_GINT64_MODIFIER "X", one, other, collision.address);
    imp_yaml_note(b->yaml, imp_recipe_source_node(b->recipe, collision.other), "%s is here", other);
}

static void check_uid(Builder *b)
{
    for (guint i = 0; i < b->recipe->values->len; i++) {
        const ImpRecipeValue *value = &g_array_index(b->recipe->values, ImpRecipeValue, i);
        if (value->kind == IMP_VALUE_READ && value->read_uid && b->device->uid_bytes == 0)
            imp_yaml_fault(b->yaml, value->node, IMP_E_RECIPE, "%s has no unique ID", b->device->name);
    }
    if (b->recipe->rework != IMP_REWORK_NEW_VALUES && b->device->uid_bytes == 0)
        imp_yaml_fault(b->yaml, b->recipe->rework_node, IMP_E_RECIPE,
                       "%s has no unique ID by which a chip that comes again could be known",
                       b->device->name);
}

/* Claims what values will fill; those that lie over data are looked at in plan.c. */
static void add_places(Builder *b)
{
    const ImpRecipe *recipe = b->recipe;
    for (guint i = 0; i < recipe->places->len; i++) {
        ImpRecipePlace *place = &g_array_index(recipe->places, ImpRecipePlace, i);
        const ImpRecipeValue *value = &g_array_index(recipe->values, ImpRecipeValue, place->value_index);
        guint32 uid_bytes = value->read_uid && b->device != NULL ? b->device->uid_bytes : 0;
        if (place->size_bytes == 0)
            place->size_bytes = uid_bytes;
        if (place->size_bytes < uid_bytes)
            imp_yaml_fault(b->yaml, place->node, IMP_E_VALUE_TOO_LONG,
                           "value '%s' has %u bytes, its place has %u", value->name, uid_bytes,
                           place->size_bytes);
        for (guint k = 0; k < recipe->steps->len; k++) {
            ImpRecipeStep *step = &g_array_index(recipe->steps, ImpRecipeStep, k);
            if (step->after_place == i + 1)
                step->step.range =
                    (ImpRange){place->address, place->address + MAX(place->size_bytes, 1u) - 1};
        }
        if (place->size_bytes == 0)
            continue; /* the chip has no ID, or is not known: that is said elsewhere */
        if (place->over < 0)
            imp_map_claim(b->map, recipe->data->len + i, place->address, place->size_bytes);
        if (b->device != NULL)
            check_range(b, recipe->data->len + i, place->address, place->size_bytes);
    }
}

/* ---- content ---- */

static void take_values(const Builder *b, ImpContent *content)
{
    const GArray *values = b->recipe->values;
    content->values = g_new0(ImpValue, values->len);
    content->pools = g_new0(ImpPoolUse, IMP_CONTENT_POOLS_MAX);
    for (guint i = 0; i < values->len; i++) {
        const ImpRecipeValue *from = &g_array_index(values, ImpRecipeValue, i);
        ImpValue *to = &content->values[content->n_values++];
        to->name = g_strdup(from->name);
        to->kind = from->kind;
        to->log = from->log;
        to->has_pool = from->pool != NULL && from->kind != IMP_VALUE_POOL;
        if (from->pool != NULL) {
            g_assert(content->n_pools < IMP_CONTENT_POOLS_MAX);
            to->pool_index = (guint32)content->n_pools;
            content->pools[content->n_pools].id = g_strdup(from->pool);
            content->pools[content->n_pools++].definition = g_strdup(from->definition);
        }
        if (from->kind == IMP_VALUE_READ) {
            to->read_address = from->read_uid ? b->device->uid_address : from->read_address;
            to->read_bytes = from->read_uid ? b->device->uid_bytes : from->read_bytes;
        }
        to->redact = from->redact;
        to->rule = g_strdup(from->rule);
        to->size_min = from->size_min;
        to->size_max = from->size_max;
        to->block = g_strdup(from->block);
        to->block_bytes = from->block_bytes;
    }
}

static void take_places(const Builder *b, ImpContent *content)
{
    const GArray *places = b->recipe->places;
    content->places = g_new0(ImpPlace, places->len);
    for (guint i = 0; i < places->len; i++) {
        const ImpRecipePlace *from = &g_array_index(places, ImpRecipePlace, i);
        content->places[content->n_places++] = (ImpPlace){
            .value_index = from->value_index,
            .address = from->address,
            .size_bytes = from->size_bytes,
            .pad =
                from->has_pad ? from->pad : imp_device_algorithm_at(b->device, from->address, 1)->erased_byte,
            .reversed = from->reversed,
            .over = from->over >= 0,
        };
    }
}

static ImpContent *make_content(Builder *b, ImpSegment **segments, gsize n_segments)
{
    const ImpRecipe *recipe = b->recipe;
    ImpContent *content = g_new0(ImpContent, 1);
    content->name = g_strdup(recipe->name);
    content->version = g_strdup(recipe->version);
    content->swd_hz = recipe->swd_hz;
    content->attach = recipe->attach;
    content->unlock = recipe->unlock;
    content->power = recipe->power;
    content->rework = recipe->rework;
    content->segments = g_steal_pointer(segments);
    content->n_segments = n_segments;
    take_values(b, content);
    take_places(b, content);
    content->tests = g_steal_pointer(&b->tests);
    content->n_tests = recipe->tests->len;
    const ImpPlan plan = {b->yaml, b->recipe, b->device, content->segments, n_segments};
    imp_plan_take_steps(&plan, content);
    content->device = g_steal_pointer(&b->device);
    return content;
}

static void segments_free(ImpSegment *segments, gsize n_segments)
{
    for (gsize i = 0; segments != NULL && i < n_segments; i++) {
        g_free(segments[i].data);
        g_bytes_unref(segments[i].bytes);
    }
    g_free(segments);
}

/* Everything after the recipe's form: files, chip, checks. Faults go to yaml; NULL then. */
static ImpContent *build_content(Builder *b)
{
    GError *error = NULL;
    ImpRecipe *recipe = b->recipe;
    if (recipe->device != NULL) {
        b->device = imp_packs_lookup(b->packs_dir, recipe->device, NULL, &error);
        if (b->device == NULL)
            imp_yaml_take(b->yaml, recipe->device_node, error);
    }
    for (guint i = 0; i < recipe->data->len; i++)
        add_data(b, i);
    b->tests = g_new0(ImpTestProgram, recipe->tests->len);
    for (guint i = 0; i < recipe->tests->len; i++)
        add_test(b, i);
    choose_mailboxes(b);
    add_places(b);
    check_collision(b);
    g_autofree const char **names = g_new0(const char *, recipe->data->len + 1);
    for (guint i = 0; i < recipe->data->len; i++)
        names[i] = g_array_index(recipe->data, ImpRecipeData, i).name;
    gsize n_segments;
    ImpSegment *segments = imp_map_segments(b->map, names, &n_segments);
    check_segments(b, segments, n_segments);
    if (n_segments > IMP_CONTENT_SEGMENTS_MAX)
        imp_yaml_fault(b->yaml, NULL, IMP_E_LIMIT, "the data has %zu separate pieces, the limit is %d",
                       n_segments, IMP_CONTENT_SEGMENTS_MAX);
    if (b->device != NULL) {
        const ImpPlan plan = {b->yaml, recipe, b->device, segments, n_segments};
        check_uid(b);
        imp_plan_check(&plan);
    }
    ImpContent *content = NULL;
    if (imp_yaml_ok(b->yaml)) {
        imp_recipe_advise(b->yaml, recipe, b->device, segments, n_segments);
        add_device_input(b);
        add_lists(b);
        content = make_content(b, &segments, n_segments);
    }
    segments_free(segments, n_segments);
    return content;
}

ImpBuilt *imp_build_recipe(const char *path, const char *const *definitions, const char *packs_dir,
                           GError **error)
{
    g_autoptr(ImpYaml) yaml = imp_yaml_load(path, error);
    if (yaml == NULL)
        return NULL;
    imp_yaml_define(yaml, definitions);
    if (!imp_yaml_ok(yaml) && !imp_yaml_end(yaml, error))
        return NULL; /* faults of what stands where a value should be would say nothing new */
    g_autofree char *absolute = g_canonicalize_filename(path, NULL);
    g_autofree char *folder = g_path_get_dirname(absolute);
    g_autoptr(ImpRecipe) recipe = imp_recipe_read(yaml, folder);
    g_autoptr(ImpMap) map = imp_map_new();
    g_autoptr(GHashTable) inputs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    Builder b = {.packs_dir = packs_dir,
                 .yaml = yaml,
                 .folder = folder,
                 .recipe = recipe,
                 .map = map,
                 .inputs = inputs};
    ImpContent *content = build_content(&b);
    for (guint i = 0; b.tests != NULL && i < recipe->tests->len; i++)
        imp_test_program_done(&b.tests[i]);
    g_free(b.tests);
    imp_device_free(b.device);
    if (!imp_yaml_end(yaml, error))
        return NULL;
    ImpBuilt *built = g_new0(ImpBuilt, 1);
    built->content = content;
    built->warnings = imp_yaml_warnings(yaml);
    take_inputs(&b, built);
    built->n_releases = recipe->releases->len;
    built->releases = g_memdup2(recipe->releases->data, built->n_releases * sizeof *built->releases);
    g_array_set_clear_func(recipe->releases, NULL); /* what they point to has gone over to built */
    return built;
}
