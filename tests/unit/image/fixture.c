#include "fixture.h"

#include <glib/gstdio.h>

#include <string.h>

#include "base/json.h"
#include "image/clear_codec.h"
#include "image/content_json.h"
#include "image/envelope.h"

static ImpKey *key_new(guint16 suite, ImpKeyRole role)
{
    GError *error = NULL;
    ImpKey *key = imp_key_generate(suite, role, &error);
    g_assert_no_error(error);
    return key;
}

static Keys *with_rings(ImpKey *author, ImpKey *image_key, ImpKey *station)
{
    GError *error = NULL;
    Keys *keys = g_new0(Keys, 1);
    *keys = (Keys){author, image_key, station, imp_keyring_new(), imp_keyring_new()};
    g_assert_true(imp_keyring_add(keys->authors, "author", keys->author, &error));
    g_assert_true(imp_keyring_add(keys->image_keys, "image key", keys->image_key, &error));
    return keys;
}

Keys *keys_new_of(guint16 suite)
{
    return with_rings(key_new(suite, IMP_KEY_AUTHOR), key_new(suite, IMP_KEY_IMAGE),
                      key_new(suite, IMP_KEY_STATION));
}

Keys *keys_new(void)
{
    return keys_new_of(IMP_IMAGE_SUITE_P256);
}

Keys *keys_share(const Keys *keys)
{
    return with_rings(imp_key_ref(keys->author), imp_key_ref(keys->image_key), imp_key_ref(keys->station));
}

void keys_free(Keys *keys)
{
    if (keys == NULL)
        return;
    imp_key_unref(keys->author);
    imp_key_unref(keys->image_key);
    imp_key_unref(keys->station);
    imp_keyring_free(keys->authors);
    imp_keyring_free(keys->image_keys);
    g_free(keys);
}

/* --- content -------------------------------------------------------------------------------------------------------- */

static ImpAlgorithm *make_algorithm(const char *name, guint64 start, guint32 sector_bytes, guint32 n_sectors,
                                    gsize blob_bytes, guint8 fill)
{
    ImpAlgorithm *algorithm = g_new0(ImpAlgorithm, 1);
    guint8 *blob = g_malloc(blob_bytes);
    memset(blob, fill, blob_bytes);
    algorithm->name = g_strdup(name);
    algorithm->blob = g_bytes_new_take(blob, blob_bytes);
    algorithm->static_base = (guint32)blob_bytes / 8 * 4;
    algorithm->erase_chip = 4;
    algorithm->uninit = 2;
    algorithm->erase_sector = 6;
    algorithm->program_page = 8;
    algorithm->blank_check = algorithm->verify = IMP_ENTRY_NONE;
    algorithm->start = start;
    algorithm->size_bytes = (guint64)sector_bytes * n_sectors;
    algorithm->page_bytes = 256;
    algorithm->erased_byte = 0xff;
    algorithm->program_ms_max = 100;
    algorithm->erase_ms_max = 1000;
    algorithm->sectors = g_new0(ImpSectorRun, 1);
    algorithm->sectors[0] = (ImpSectorRun){.size_bytes = sector_bytes, .start = start};
    algorithm->n_sectors = 1;
    return algorithm;
}

static ImpDevice *make_device(gsize n_algorithms, gsize blob_bytes)
{
    ImpDevice *device = g_new0(ImpDevice, 1);
    device->name = g_strdup("nRF51822_xxAA");
    device->core = g_strdup("cortex-m0");
    device->core_hz = 16000000;
    device->ram_start = 0x20000000;
    device->ram_bytes = 16384;
    device->uid_address = 0x10000060;
    device->uid_bytes = 8;
    device->checks = g_new0(ImpDeviceCheck, 1);
    device->checks[0] = (ImpDeviceCheck){0xe000ed00, 0xfff0, 0xc200, g_strdup("CPUID is a Cortex-M0")};
    device->n_checks = 1;
    device->algorithms = g_new0(ImpAlgorithm *, n_algorithms);
    device->n_algorithms = n_algorithms;
    device->algorithms[0] = make_algorithm("code", 0, 1024, 256, blob_bytes, 0xbe);
    if (n_algorithms > 1)
        device->algorithms[1] = make_algorithm("uicr", 0x10001000, 256, 1, blob_bytes, 0xbf);
    return device;
}

ImpContent *fixture_content(gsize n_data)
{
    ImpContent *content = g_new0(ImpContent, 1);
    guint8 *data = g_malloc(n_data);
    for (gsize i = 0; i < n_data; i++)
        data[i] = (guint8)(i * 7 + i / 251);
    content->name = g_strdup("Blinky");
    content->version = g_strdup("1.0");
    content->device = make_device(1, 64);
    content->swd_hz = 4000000;
    content->attach = IMP_ATTACH_NORMAL;
    content->segments = g_new0(ImpSegment, 1);
    content->segments[0] = (ImpSegment){g_strdup("app"), 0x400, g_bytes_new_take(data, n_data)};
    content->n_segments = 1;
    content->pools = g_new0(ImpPoolUse, 1);
    content->pools[0] = (ImpPoolUse){g_strdup("sn"), g_strdup("{\"first\":1,\"last\":99}")};
    content->n_pools = 1;
    content->values = g_new0(ImpValue, 2);
    content->values[0] = (ImpValue){.name = g_strdup("serial"), .kind = IMP_VALUE_POOL, .log = TRUE};
    content->values[1] = (ImpValue){.name = g_strdup("uid"),
                                    .kind = IMP_VALUE_READ,
                                    .read_address = 0x10000060,
                                    .read_bytes = 8,
                                    .log = TRUE};
    content->n_values = 2;
    content->places = g_new0(ImpPlace, 1);
    content->places[0] = (ImpPlace){.value_index = 0, .address = 0x3fc00, .size_bytes = 16, .pad = 0};
    content->n_places = 1;
    content->steps = g_new0(ImpStep, 3);
    content->steps[0] = (ImpStep){.kind = IMP_STEP_ERASE, .erase = IMP_ERASE_ALL};
    content->steps[1] = (ImpStep){.kind = IMP_STEP_PROGRAM};
    content->steps[2] = (ImpStep){.kind = IMP_STEP_VERIFY, .verify = IMP_VERIFY_CHECKSUM};
    content->n_steps = 3;
    content->rework = IMP_REWORK_REFUSE;
    return content;
}

ImpContent *fixture_everything(void)
{
    ImpContent *content = fixture_content(300);
    content->unlock = IMP_UNLOCK_ERASE;
    content->power = (ImpPowerSettings){.has = TRUE,
                                        .millivolts = 3300,
                                        .min_mv = 3150,
                                        .max_mv = 3450,
                                        .on_delay_ms = 20,
                                        .off_delay_ms = 30,
                                        .off_at_end = TRUE};
    static const ImpValue more[] = {
        {.name = (char *)"label", .kind = IMP_VALUE_BARCODE, .rule = (char *)"T2[0-9]{8}", .log = TRUE},
        {.name = (char *)"trim", .kind = IMP_VALUE_FROM_TEST, .block = (char *)"cal", .block_bytes = 4},
        {.name = (char *)"lot",
         .kind = IMP_VALUE_GIVEN,
         .size_min = 1,
         .size_max = 8,
         .log = TRUE,
         .redact = TRUE},
    };
    static const ImpPlace places[] = {
        {.value_index = 3, .address = 0x3fc10, .size_bytes = 4, .reversed = TRUE},
        {.value_index = 4, .address = 0x500, .size_bytes = 8, .over = TRUE},
    };
    content->values = g_renew(ImpValue, content->values, 5);
    for (gsize i = 0; i < 3; i++) {
        ImpValue *value = &content->values[content->n_values++];
        *value = more[i];
        value->name = g_strdup(value->name);
        value->rule = g_strdup(value->rule);
        value->block = g_strdup(value->block);
    }
    ImpPlace first = content->places[0];
    g_free(content->places);
    content->places = g_new0(ImpPlace, 3);
    content->places[0] = places[1];
    content->places[1] = first;
    content->places[2] = places[0];
    content->n_places = 3;
    content->n_tests = 1;
    content->tests = g_new0(ImpTestProgram, 1);
    content->tests[0] = (ImpTestProgram){.name = g_strdup("rtc"),
                                         .segments = g_new0(ImpSegment, 1),
                                         .n_segments = 1,
                                         .entry_pc = 0x20000400,
                                         .entry_sp = 0x20001000,
                                         .mailbox_address = 0x20000000};
    content->tests[0].segments[0] =
        (ImpSegment){g_strdup("rtc"), 0x20000400, g_bytes_new_static("\xfe\xe7\0\0", 4)};
    for (gsize i = 0; i < content->n_steps; i++)
        imp_step_done(&content->steps[i]);
    g_free(content->steps);
    static const ImpStepKind kinds[] = {
        IMP_STEP_TEST,    IMP_STEP_BLANK_CHECK, IMP_STEP_ERASE, IMP_STEP_WRITE, IMP_STEP_EXPECT,
        IMP_STEP_PROGRAM, IMP_STEP_VERIFY,      IMP_STEP_READ,  IMP_STEP_POWER, IMP_STEP_DELAY,
        IMP_STEP_RESET,   IMP_STEP_PROTECT,     IMP_STEP_RUN};
    content->n_steps = G_N_ELEMENTS(kinds);
    content->steps = g_new0(ImpStep, content->n_steps);
    for (gsize i = 0; i < content->n_steps; i++) {
        ImpStep *step = &content->steps[i];
        step->kind = kinds[i];
        step->erase = kinds[i] == IMP_STEP_ERASE ? IMP_ERASE_ALL : 0;
        step->blank = kinds[i] == IMP_STEP_BLANK_CHECK ? IMP_BLANK_USED : 0;
        step->verify = kinds[i] == IMP_STEP_VERIFY ? IMP_VERIFY_CHECKSUM : 0;
        step->power = kinds[i] == IMP_STEP_POWER ? IMP_POWER_CYCLE : 0;
        if (kinds[i] == IMP_STEP_TEST) {
            step->timeout_ms = 5000;
            step->values = g_new0(guint32, 1);
            step->values[0] = 0; /* the serial number, for the test to ask for */
            step->n_values = 1;
        }
        if (kinds[i] == IMP_STEP_WRITE || kinds[i] == IMP_STEP_EXPECT)
            step->address = 0x20000010;
        if (kinds[i] == IMP_STEP_WRITE)
            step->bytes = g_bytes_new_static("\x12\x34", 2);
        if (kinds[i] == IMP_STEP_EXPECT) {
            step->size_bytes = 2;
            step->mask = 0xff;
            step->low = 0x10;
            step->high = 0x20;
        }
        if (kinds[i] == IMP_STEP_DELAY)
            step->delay_ms = 7;
        if (kinds[i] == IMP_STEP_PROTECT)
            step->level = 1;
        if (kinds[i] == IMP_STEP_RUN) {
            step->text = g_strdup("ready");
            step->within_ms = 2000;
        }
    }
    content->n_finally = 1;
    content->finally = g_new0(ImpStep, 1);
    content->finally[0] = (ImpStep){.kind = IMP_STEP_POWER, .power = IMP_POWER_OFF};
    return content;
}

ImpObject *fixture_object(gsize n_data)
{
    GError *error = NULL;
    ImpInput inputs[] = {{.name = (char *)"recipe.yaml", .sha256 = {1}},
                         {.name = (char *)"app.hex", .sha256 = {2}}};
    ImpObject *object = imp_object_new(fixture_content(n_data), inputs, G_N_ELEMENTS(inputs), &error);
    g_assert_no_error(error);
    return object;
}

static guint32 below(GRand *rand, guint32 end)
{
    return (guint32)g_rand_int_range(rand, 0, (gint32)end);
}

static GBytes *random_bytes(GRand *rand, gsize n_bytes)
{
    guint8 *bytes = g_malloc(n_bytes);
    gboolean compressible = g_rand_boolean(rand);
    for (gsize i = 0; i < n_bytes; i++)
        bytes[i] = (guint8)(compressible ? i / 16 : g_rand_int(rand));
    return g_bytes_new_take(bytes, n_bytes);
}

/* Segments, some of which touch, and places between and behind them. */
static void add_memory(ImpContent *content, GRand *rand)
{
    guint64 at = below(rand, 4096);
    content->segments = g_new0(ImpSegment, 8);
    content->places = g_new0(ImpPlace, 8);
    guint wanted = below(rand, 9);
    while (content->n_segments < wanted && content->n_segments < 8) {
        gsize n_bytes = 1 + below(rand, 24000);
        content->segments[content->n_segments++] =
            (ImpSegment){g_strdup(g_rand_boolean(rand) ? "app" : "boot"), at, random_bytes(rand, n_bytes)};
        at += n_bytes;
        if (content->n_values > 0 && g_rand_boolean(rand)) {
            ImpPlace place = {.value_index = below(rand, (guint32)content->n_values),
                              .address = at + below(rand, 8),
                              .size_bytes = 1 + below(rand, 64),
                              .pad = (guint8)g_rand_int(rand)};
            at = place.address + place.size_bytes;
            content->places[content->n_places++] = place;
        }
        at += g_rand_boolean(rand) ? 0 : below(rand, 2000);
    }
}

static ImpValue random_value(GRand *rand, gsize index, gsize n_pools)
{
    ImpValue value = {.name = g_strdup_printf("v%" G_GSIZE_FORMAT, index),
                      .kind = IMP_VALUE_POOL + below(rand, 4),
                      .log = g_rand_boolean(rand)};
    if (value.kind == IMP_VALUE_POOL && n_pools == 0)
        value.kind = IMP_VALUE_READ;
    value.redact = value.kind != IMP_VALUE_POOL && g_rand_boolean(rand);
    if (value.kind == IMP_VALUE_READ) {
        value.read_address = g_rand_int(rand);
        value.read_bytes = 1 + below(rand, IMP_CONTENT_VALUE_BYTES_MAX);
    } else if (value.kind == IMP_VALUE_BARCODE) {
        value.rule = g_strdup("T2[0-9]{8}\\.\"ä");
    } else if (value.kind == IMP_VALUE_GIVEN) {
        value.size_min = 1 + below(rand, 100);
        value.size_max = value.size_min + below(rand, IMP_CONTENT_PLACE_BYTES_MAX - 100);
    }
    return value;
}

static guint64 random_word(GRand *rand)
{
    return (guint64)g_rand_int(rand) << 32 | g_rand_int(rand);
}

/* Some of the segments and places; each by itself. */
static void random_ranges(const ImpContent *content, GRand *rand, ImpStep *step)
{
    if (g_rand_boolean(rand) || content->n_segments == 0)
        return;
    step->ranges = g_new0(ImpRange, content->n_segments);
    for (gsize i = 0; i < content->n_segments; i++) {
        guint64 first = content->segments[i].address;
        guint64 last = first + g_bytes_get_size(content->segments[i].bytes) - 1;
        if (g_rand_boolean(rand) || (step->n_ranges == 0 && i + 1 == content->n_segments))
            step->ranges[step->n_ranges++] = (ImpRange){first, last};
    }
}

static void random_step(const ImpContent *content, GRand *rand, ImpStep *step, ImpStepKind kind)
{
    step->kind = kind;
    switch (kind) {
    case IMP_STEP_ERASE:
        step->erase = IMP_ERASE_ALL + below(rand, 3);
        step->range = (ImpRange){0, 0x3ff};
        break;
    case IMP_STEP_BLANK_CHECK:
        step->blank = IMP_BLANK_ALL + below(rand, 3);
        step->range = (ImpRange){below(rand, 0x100), 0x100 + below(rand, 0x1000)};
        break;
    case IMP_STEP_VERIFY:
        step->verify = IMP_VERIFY_CHECKSUM + below(rand, 2);
        random_ranges(content, rand, step);
        break;
    case IMP_STEP_PROGRAM:
        random_ranges(content, rand, step);
        break;
    case IMP_STEP_READ:
        for (guint32 i = 0; i < content->n_values; i++)
            if (content->values[i].kind == IMP_VALUE_READ && step->n_values == 0) {
                step->values = g_new0(guint32, 1);
                step->values[step->n_values++] = i;
            }
        break;
    case IMP_STEP_RESET:
        break;
    case IMP_STEP_WRITE:
        step->address = 0x20000000 + below(rand, 4096);
        step->bytes = random_bytes(rand, 1 + below(rand, IMP_CONTENT_WRITE_MAX));
        break;
    case IMP_STEP_EXPECT:
        step->address = g_rand_int(rand);
        step->size_bytes = 8;
        step->mask = random_word(rand);
        step->low = random_word(rand) >> 1;
        step->high = step->low + below(rand, 1000);
        step->within_ms = below(rand, 3);
        break;
    case IMP_STEP_PROTECT:
        step->level = 1 + below(rand, 2);
        step->prove = g_rand_boolean(rand);
        break;
    case IMP_STEP_RUN:
        step->text = g_strdup("T2 ready ä");
        step->within_ms = 1 + below(rand, 1000);
        break;
    case IMP_STEP_DELAY:
        step->delay_ms = 1 + below(rand, 1000);
        break;
    case IMP_STEP_POWER:
        step->power = IMP_POWER_ON + below(rand, 3);
        break;
    case IMP_STEP_TEST:
        step->test_index = 0;
        step->timeout_ms = 1 + below(rand, 1000);
        break;
    }
}

static void add_steps(ImpContent *content, GRand *rand)
{
    static const ImpStepKind last[] = {IMP_STEP_RESET, IMP_STEP_WRITE, IMP_STEP_DELAY, IMP_STEP_POWER};
    if (g_rand_boolean(rand)) {
        content->tests = g_new0(ImpTestProgram, 1);
        content->n_tests = 1;
        content->tests[0] = (ImpTestProgram){.name = g_strdup("boardtest"),
                                             .entry_pc = 0x20000100,
                                             .entry_sp = 0x20004000,
                                             .mailbox_address = 0x20000000 + below(rand, 64)};
        content->tests[0].segments = g_new0(ImpSegment, 2);
        content->tests[0].n_segments = 2;
        content->tests[0].segments[0] =
            (ImpSegment){g_strdup("boardtest"), 0x20000000, random_bytes(rand, 64)};
        content->tests[0].segments[1] =
            (ImpSegment){g_strdup("boardtest"), 0x20000100, random_bytes(rand, 640)};
    }
    content->n_steps = below(rand, 12);
    content->steps = g_new0(ImpStep, content->n_steps);
    for (gsize i = 0; i < content->n_steps; i++) {
        ImpStepKind kind = IMP_STEP_ERASE + below(rand, IMP_STEP_TEST - IMP_STEP_ERASE + 1);
        if (kind == IMP_STEP_TEST && content->n_tests == 0)
            kind = IMP_STEP_RESET;
        random_step(content, rand, &content->steps[i], kind);
    }
    content->n_finally = below(rand, 4);
    content->finally = g_new0(ImpStep, content->n_finally);
    for (gsize i = 0; i < content->n_finally; i++)
        random_step(content, rand, &content->finally[i], last[below(rand, G_N_ELEMENTS(last))]);
}

ImpContent *fixture_random_content(GRand *rand)
{
    ImpContent *content = g_new0(ImpContent, 1);
    content->name = g_strdup_printf("Gerät %u \"%c\"", g_rand_int(rand), 'a' + (char)below(rand, 26));
    content->version = g_strdup(g_rand_boolean(rand) ? "" : "2.4.1-rc1");
    content->device = make_device(1 + below(rand, 2), 16 + 4 * below(rand, 3000));
    content->device->erase_all_algorithm = g_rand_boolean(rand) ? -1 : 0;
    content->device->erase_all_ms_max =
        content->device->erase_all_algorithm < 0 ? 0 : (guint32)g_rand_int_range(rand, 0, 1000);
    content->swd_hz = 1 + below(rand, 50000000);
    content->attach = IMP_ATTACH_NORMAL + below(rand, 3);
    content->unlock = g_rand_boolean(rand) ? IMP_UNLOCK_NEVER : IMP_UNLOCK_ERASE;
    if (g_rand_boolean(rand))
        content->power = (ImpPowerSettings){.has = TRUE,
                                            .millivolts = below(rand, 5000),
                                            .min_mv = below(rand, 3000),
                                            .max_mv = 3000 + below(rand, 1000),
                                            .on_delay_ms = below(rand, 3),
                                            .off_delay_ms = below(rand, 3),
                                            .off_at_end = g_rand_boolean(rand)};
    content->rework = IMP_REWORK_REFUSE + below(rand, 3);
    content->n_pools = below(rand, 2);
    content->pools = g_new0(ImpPoolUse, content->n_pools);
    if (content->n_pools > 0)
        content->pools[0] = (ImpPoolUse){g_strdup("t2-serial"),
                                         g_strdup("{\"first\":1,\"last\":999999,\"text\":\"{n:06}\"}")};
    guint n_values = below(rand, 5);
    content->values = g_new0(ImpValue, n_values);
    for (; content->n_values < n_values; content->n_values++)
        content->values[content->n_values] = random_value(rand, content->n_values, content->n_pools);
    add_memory(content, rand);
    add_steps(content, rand);
    return content;
}

static void assert_same_device(const ImpDevice *a, const ImpDevice *b)
{
    g_assert_cmpstr(a->name, ==, b->name);
    g_assert_cmpint(a->erase_all_algorithm, ==, b->erase_all_algorithm);
    g_assert_cmpuint(a->erase_all_ms_max, ==, b->erase_all_ms_max);
    g_assert_cmpuint(a->n_algorithms, ==, b->n_algorithms);
    for (gsize i = 0; i < a->n_algorithms; i++) {
        g_assert_true(g_bytes_equal(a->algorithms[i]->blob, b->algorithms[i]->blob));
        g_assert_cmpuint(a->algorithms[i]->start, ==, b->algorithms[i]->start);
    }
}

static void assert_same_steps(const ImpStep *a, gsize n_a, const ImpStep *b, gsize n_b)
{
    g_assert_cmpuint(n_a, ==, n_b);
    for (gsize i = 0; i < n_a; i++) {
        g_assert_cmpint(a[i].kind, ==, b[i].kind);
        g_assert_cmpint(a[i].erase, ==, b[i].erase);
        g_assert_cmpint(a[i].verify, ==, b[i].verify);
        g_assert_cmpuint(a[i].mask, ==, b[i].mask);
        g_assert_cmpuint(a[i].low, ==, b[i].low);
        g_assert_cmpuint(a[i].high, ==, b[i].high);
        g_assert_cmpmem(a[i].ranges, a[i].n_ranges * sizeof *a->ranges, b[i].ranges,
                        b[i].n_ranges * sizeof *b->ranges);
        g_assert_cmpmem(a[i].values, a[i].n_values * sizeof *a->values, b[i].values,
                        b[i].n_values * sizeof *b->values);
        g_assert_cmpstr(a[i].text, ==, b[i].text);
        g_assert_true(a[i].bytes == NULL || g_bytes_equal(a[i].bytes, b[i].bytes));
    }
}

void fixture_assert_same_content(const ImpContent *a, const ImpContent *b)
{
    g_assert_cmpstr(a->name, ==, b->name);
    g_assert_cmpstr(a->version, ==, b->version);
    assert_same_device(a->device, b->device);
    g_assert_cmpuint(a->swd_hz, ==, b->swd_hz);
    g_assert_cmpint(a->attach, ==, b->attach);
    g_assert_cmpint(a->rework, ==, b->rework);
    g_assert_cmpuint(a->n_segments, ==, b->n_segments);
    for (gsize i = 0; i < a->n_segments; i++) {
        g_assert_cmpstr(a->segments[i].data, ==, b->segments[i].data);
        g_assert_cmpuint(a->segments[i].address, ==, b->segments[i].address);
        g_assert_true(g_bytes_equal(a->segments[i].bytes, b->segments[i].bytes));
    }
    g_assert_cmpuint(a->n_pools, ==, b->n_pools);
    for (gsize i = 0; i < a->n_pools; i++) {
        g_assert_cmpstr(a->pools[i].id, ==, b->pools[i].id);
        g_assert_cmpstr(a->pools[i].definition, ==, b->pools[i].definition);
    }
    g_assert_cmpuint(a->n_values, ==, b->n_values);
    for (gsize i = 0; i < a->n_values; i++) {
        g_assert_cmpstr(a->values[i].name, ==, b->values[i].name);
        g_assert_cmpint(a->values[i].kind, ==, b->values[i].kind);
        g_assert_cmpuint(a->values[i].pool_index, ==, b->values[i].pool_index);
        g_assert_cmpuint(a->values[i].read_address, ==, b->values[i].read_address);
        g_assert_cmpuint(a->values[i].read_bytes, ==, b->values[i].read_bytes);
        g_assert_cmpint(a->values[i].log, ==, b->values[i].log);
    }
    g_assert_cmpmem(a->places, a->n_places * sizeof *a->places, b->places, b->n_places * sizeof *b->places);
    assert_same_steps(a->steps, a->n_steps, b->steps, b->n_steps);
    assert_same_steps(a->finally, a->n_finally, b->finally, b->n_finally);
    g_assert_cmpmem(&a->power, sizeof a->power, &b->power, sizeof b->power);
    g_assert_cmpint(a->unlock, ==, b->unlock);
    g_assert_cmpuint(a->n_tests, ==, b->n_tests);
    for (gsize i = 0; i < a->n_tests; i++) {
        g_assert_cmpuint(a->tests[i].mailbox_address, ==, b->tests[i].mailbox_address);
        g_assert_true(g_bytes_equal(a->tests[i].segments[1].bytes, b->tests[i].segments[1].bytes));
    }
    /* And everything that is not named above. */
    g_autoptr(GPtrArray) sections_a = NULL, sections_b = NULL;
    json_auto_t *json_a = imp_content_encode(a, &sections_a), *json_b = imp_content_encode(b, &sections_b);
    g_assert_true(json_equal(json_a, json_b));
    g_assert_cmpuint(sections_a->len, ==, sections_b->len);
    for (guint i = 0; i < sections_a->len; i++)
        g_assert_true(g_bytes_equal(sections_a->pdata[i], sections_b->pdata[i]));
}

void fixture_assert_image_of(const ImpObject *object, const ImpImage *image)
{
    ImpContent *content = image->content;
    g_assert_cmpmem(image->content_sha256, 32, object->content_sha256, 32);
    if (image->restrictions.n_numbers == 0) {
        g_assert_true(image->clear->kind == IMP_IMAGE_JOB || content->n_pools == 0);
        fixture_assert_same_content(object->content, content);
        return;
    }
    g_assert_cmpuint(content->n_pools, ==, 1);
    const ImpPoolUse own = content->pools[0], *whole = &object->content->pools[0];
    g_autofree char *id = g_strconcat(whole->id, ".10-19", NULL);
    g_assert_cmpstr(own.id, ==, id);
    g_assert_nonnull(strstr(own.definition, "\"first\":10,"));
    g_assert_nonnull(strstr(own.definition, "\"last\":19"));
    content->pools[0] = *whole; /* all else is the object's */
    fixture_assert_same_content(object->content, content);
    content->pools[0] = own;
}

/* --- images --------------------------------------------------------------------------------------------------------- */

ImpSealed *fixture_seal(const ImpObject *object, const Keys *keys, FixtureKind kind)
{
    GError *error = NULL;
    gboolean job = kind == FIXTURE_JOB_ENCRYPTED || kind == FIXTURE_JOB_RELEASED;
    ImpSealOptions options = {
        .kind = job ? IMP_IMAGE_JOB : IMP_IMAGE_SAP,
        .restrictions = {.has_units = TRUE, .units = 6, .count_on = IMP_COUNT_ON_PASS},
        .author = keys->author,
        .image_key = kind == FIXTURE_SAP ? NULL : keys->image_key,
        .cloud_ca_sha256 = job ? FIXTURE_CLOUD_CA : NULL,
        .factory = job ? "Shenzhen" : NULL,
        .release_by_cloud = kind == FIXTURE_JOB_RELEASED,
        .random = imp_random_system(),
    };
    if (options.kind == IMP_IMAGE_SAP && object->content->n_pools > 0) {
        options.restrictions.n_numbers = 1;
        options.restrictions.numbers[0] = (ImpNumberRange){0, 10, 19};
    }
    ImpSealed *sealed = imp_image_seal(object, &options, &error);
    g_assert_no_error(error);
    return sealed;
}

static ImpClear *read_clear(GBytes *file)
{
    GError *error = NULL;
    ImpClear *clear = imp_clear_read(file, &error);
    g_assert_no_error(error);
    return clear;
}

GBytes *fixture_fix_trailer(GBytes *file)
{
    gsize n_bytes;
    const guint8 *bytes = g_bytes_get_data(file, &n_bytes);
    guint8 *copy = g_memdup2(bytes, n_bytes);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, copy, (gssize)(n_bytes - IMP_IMAGE_TRAILER_BYTES));
    gsize n_digest = IMP_SHA256_BYTES;
    g_checksum_get_digest(sum, copy + n_bytes - IMP_IMAGE_TRAILER_BYTES, &n_digest);
    return g_bytes_new_take(copy, n_bytes);
}

char *fixture_clear_text(GBytes *file)
{
    g_autoptr(ImpClear) clear = read_clear(file);
    return g_strndup((const char *)g_bytes_get_data(file, NULL) + IMP_IMAGE_FIXED_BYTES, clear->clear_bytes);
}

GBytes *fixture_envelope(GBytes *file)
{
    g_autoptr(ImpClear) clear = read_clear(file);
    return g_bytes_new_from_bytes(file, IMP_IMAGE_FIXED_BYTES + clear->clear_bytes, clear->envelope_bytes);
}

GBytes *fixture_rebuild(GBytes *file, const char *clear_text, GBytes *envelope)
{
    g_autoptr(ImpClear) clear = read_clear(file);
    g_autofree char *old_text = fixture_clear_text(file);
    g_autoptr(GBytes) old_envelope = fixture_envelope(file);
    const guint8 *payload = g_bytes_get_data(file, NULL);
    payload += IMP_IMAGE_FIXED_BYTES + clear->clear_bytes + clear->envelope_bytes;
    if (clear_text == NULL)
        clear_text = old_text;
    if (envelope == NULL)
        envelope = old_envelope;
    clear->clear_bytes = (guint32)strlen(clear_text);
    clear->envelope_bytes = (guint32)g_bytes_get_size(envelope);
    GByteArray *all = g_byte_array_new();
    guint8 fixed[IMP_IMAGE_FIXED_BYTES], zeroes[IMP_IMAGE_TRAILER_BYTES] = {0};
    imp_clear_encode_fixed(clear, fixed);
    g_byte_array_append(all, fixed, sizeof fixed);
    g_byte_array_append(all, (const guint8 *)clear_text, clear->clear_bytes);
    g_byte_array_append(all, g_bytes_get_data(envelope, NULL), clear->envelope_bytes);
    g_byte_array_append(all, payload, (guint)clear->payload_bytes);
    g_byte_array_append(all, zeroes, sizeof zeroes);
    g_autoptr(GBytes) joined = g_byte_array_free_to_bytes(all);
    return fixture_fix_trailer(joined);
}

char *fixture_manifest(GBytes *file, const Keys *keys)
{
    GError *error = NULL;
    g_autoptr(ImpClear) clear = read_clear(file);
    g_autoptr(GBytes) envelope = fixture_envelope(file);
    g_autoptr(ImpSecret) plain = NULL;
    gsize n_der;
    const guint8 *der = g_bytes_get_data(envelope, &n_der);
    if (clear->encrypted) {
        plain = imp_cms_open(der, n_der, keys->image_key, &error);
        g_assert_no_error(error);
        der = plain->bytes;
        n_der = plain->n_bytes;
    }
    ImpCmsSigned signed_data;
    g_assert_true(imp_cms_parse_signed(der, n_der, 0, &signed_data, &error));
    return g_strndup((const char *)signed_data.content, signed_data.n_content);
}

GBytes *fixture_with_manifest(GBytes *file, const char *manifest, const ImpKey *signer, const Keys *keys)
{
    GError *error = NULL;
    g_autoptr(ImpClear) clear = read_clear(file);
    g_autoptr(GBytes) envelope = imp_cms_sign(manifest, strlen(manifest), signer, &error);
    g_assert_no_error(error);
    if (clear->encrypted) {
        GBytes *sealed = imp_cms_seal(g_bytes_get_data(envelope, NULL), g_bytes_get_size(envelope),
                                      keys->image_key, &error);
        g_assert_no_error(error);
        g_bytes_unref(envelope);
        envelope = sealed;
    }
    return fixture_rebuild(file, NULL, envelope);
}

static void set_digest(json_t *object, const char *name, const guint8 *bytes, gsize n_bytes)
{
    g_autofree char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, n_bytes);
    json_object_set_new(object, name, json_string(sum));
}

GBytes *fixture_forge(GBytes *file, const char *manifest, const ImpKey *signer, const Keys *keys)
{
    json_auto_t *json = json_loads(manifest, JSON_REJECT_DUPLICATES, NULL);
    g_assert_nonnull(json);
    g_autoptr(GBytes) forged = g_bytes_ref(file);
    for (int i = 0; i < 200; i++) {
        g_autoptr(ImpClear) clear = read_clear(forged);
        const guint8 *head = g_bytes_get_data(forged, NULL);
        json_object_set_new(json, "file_bytes", json_integer((json_int_t)clear->file_bytes));
        set_digest(json, "fixed_sha256", head, IMP_IMAGE_FIXED_BYTES);
        set_digest(json, "clear_sha256", head + IMP_IMAGE_FIXED_BYTES, clear->clear_bytes);
        g_autofree char *text = imp_json_text(json);
        GBytes *next = fixture_with_manifest(file, text, signer, keys);
        gboolean fits = g_bytes_get_size(next) == clear->file_bytes;
        g_bytes_unref(forged);
        forged = next;
        if (fits)
            return g_steal_pointer(&forged);
    }
    g_assert_not_reached();
}

char *fixture_replace(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    g_assert_nonnull(at);
    g_assert_null(strstr(at + 1, from));
    return g_strdup_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

typedef gboolean (*FileFn)(const char *path, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                           ImpVerified *out_verified, GError **error);

static gboolean with_file(FileFn fn, GBytes *bytes, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                          ImpVerified *out_verified, GError **error)
{
    g_autofree char *path = NULL;
    GError *why = NULL;
    int fd = g_file_open_tmp("imprint-test-XXXXXX", &path, &why);
    g_assert_no_error(why);
    (void)g_close(fd, NULL);
    gsize n_bytes;
    const char *data = g_bytes_get_data(bytes, &n_bytes);
    (void)g_file_set_contents(path, data, (gssize)n_bytes, &why);
    g_assert_no_error(why);
    gboolean good = fn(path, image_keys, authors, out_verified, error);
    g_assert_cmpint(g_unlink(path), ==, 0);
    return good;
}

gboolean fixture_verify_file(GBytes *bytes, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                             ImpVerified *out_verified, GError **error)
{
    return with_file(imp_image_verify_file, bytes, image_keys, authors, out_verified, error);
}

gboolean fixture_check_file(GBytes *bytes, const ImpKeyRing *image_keys, const ImpKeyRing *authors,
                            ImpVerified *out_verified, GError **error)
{
    return with_file(imp_image_check_file, bytes, image_keys, authors, out_verified, error);
}
