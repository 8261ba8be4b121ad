/* benchmarks/program: how near to the physical limit the engine programs a chip, on the board's virtual time, and how it compares
 * with OpenOCD there. What is measured, and the frozen chip times: docs/benchmarks.md. Prints "name value" lines; exit status 1 if any
 * row's outside check failed (that row is not printed).
 *
 *   program-bench [--chip NAME] [--part limit|openocd] [FIRMWARE.hex] */
#include "base/error.h"
#include "board_probe.h"
#include "build/hex.h"
#include "device/table.h"
#include "program-openocd.h"
#include "target/flash.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

#define SEED         20261122u
#define CLOCKS_WORD  46 /* SWCLK of one transfer */
#define DATA_64K     (64 * 1024)
#define OPENOCD_RUNS 3
#define FIRMWARE_HEX "/usr/share/firmware-microbit-micropython/firmware.hex"

/* A chip of the board; its times are frozen in docs/benchmarks.md. */
typedef struct {
    const char *name, *device;
    const char *openocd; /* its target file; NULL: not compared with */
    guint32 flash_start, flash_bytes, page_bytes;
    guint32 unit_bytes; /* the smallest that can be programmed */
    /* other non-volatile memory, a page of its own: full of random words from user on, which a mass erase may take away */
    guint32 other_start, other_bytes, other_user;
    gboolean other_mass_erased;
    gdouble erase_page_us, erase_all_us, program_us;
} Chip;

static const Chip chips[] = {
    {.name = "nrf51822",
     .device = "nRF51822",
     .openocd = "nrf51",
     .flash_bytes = 256 * 1024,
     .page_bytes = 1024,
     .unit_bytes = 4,
     .other_start = 0x10001000, /* UICR */
     .other_bytes = 0x100,
     .other_user = 0x80, /* customer words begin here: those before it would lock or divide the chip */
     .other_mass_erased = TRUE,
     .erase_page_us = 22300,
     .erase_all_us = 22300,
     .program_us = 46.3},
    {.name = "nrf52832",
     .device = "nRF52832",
     .flash_bytes = 512 * 1024,
     .page_bytes = 4096,
     .unit_bytes = 4,
     .other_start = 0x10001000, /* UICR, without APPROTECT */
     .other_bytes = 0x100,
     .other_user = 0x80,
     .other_mass_erased = TRUE,
     .erase_page_us = 89700,
     .erase_all_us = 295300,
     .program_us = 67.5},
    {.name = "stm32f103cb",
     .device = "STM32F103CB",
     .openocd = "stm32f1x",
     .flash_start = 0x08000000,
     .flash_bytes = 128 * 1024,
     .page_bytes = 1024,
     .unit_bytes = 2,
     .other_start = 0x1FFFF800, /* option bytes: as the factory has them */
     .other_bytes = 16,
     .other_user = 16,
     .erase_page_us = 20000,
     .erase_all_us = 20000,
     .program_us = 52.5},
    {.name = "fastflash",
     .device = "STM32F103CB",
     .flash_start = 0x08000000,
     .flash_bytes = 128 * 1024,
     .page_bytes = 1024,
     .unit_bytes = 2,
     .other_start = 0x1FFFF800,
     .other_bytes = 16,
     .other_user = 16,
     .erase_page_us = 100,
     .erase_all_us = 100,
     .program_us = 1},
    {.name = "stm32g071rb",
     .device = "STM32G071RB",
     .flash_start = 0x08000000,
     .flash_bytes = 128 * 1024,
     .page_bytes = 2048,
     .unit_bytes = 8,
     .other_start = 0x1FFF7800, /* option bytes: as the factory has them */
     .other_bytes = 0x80,
     .other_user = 0x80,
     .erase_page_us = 22000,
     .erase_all_us = 22100,
     .program_us = 85},
};

#define FLASH_BYTES_MAX (512 * 1024)
#define OTHER_BYTES_MAX 0x100

typedef struct {
    const char *name;
    ImpFlashSegment *segments;
    gsize n_segments;
} Data;

typedef struct {
    const Chip *chip;
    const Data *data;
    gboolean mass;
    guint16 packet_bytes;
    guint32 hz;
    guint round_trip_us;
} Row;

/* SplitMix64 (public domain, S. Vigna): the same bytes on every machine. */
static guint64 next_random(guint64 *state)
{
    guint64 z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void add_segment(GArray *segments, guint64 address, const guint8 *bytes, gsize n_bytes)
{
    const ImpFlashSegment segment = {address, g_bytes_new(bytes, n_bytes)};
    g_array_append_val(segments, segment);
}

static Data random_64k(guint32 start)
{
    GArray *segments = g_array_new(FALSE, FALSE, sizeof(ImpFlashSegment));
    g_autofree guint8 *bytes = g_malloc(DATA_64K);
    guint64 state = SEED;
    for (gsize i = 0; i < DATA_64K; i += 4) {
        guint32 word = (guint32)next_random(&state);
        while (word == 0xFFFFFFFFu)
            word = (guint32)next_random(&state);
        memcpy(bytes + i, &word, 4);
    }
    add_segment(segments, start, bytes, DATA_64K);
    gsize n = segments->len;
    return (Data){"64k", (ImpFlashSegment *)g_array_free(segments, FALSE), n};
}

static Data read_hex(const char *path)
{
    g_autofree char *text = NULL;
    gsize n_text;
    g_autoptr(GError) error = NULL;
    if (!g_file_get_contents(path, &text, &n_text, &error))
        g_error("%s", error->message);
    g_autoptr(ImpPieces) hex = imp_hex_parse(text, n_text, FLASH_BYTES_MAX + OTHER_BYTES_MAX, path, &error);
    if (hex == NULL)
        g_error("%s", error->message);
    GArray *segments = g_array_new(FALSE, FALSE, sizeof(ImpFlashSegment));
    for (gsize i = 0; i < hex->n_pieces; i++)
        add_segment(segments, hex->pieces[i].address, hex->bytes + hex->pieces[i].offset,
                    hex->pieces[i].n_bytes);
    gsize n = segments->len;
    return (Data){"micropython", (ImpFlashSegment *)g_array_free(segments, FALSE), n};
}

/* The chip's memory as it is, or must be. */
typedef struct {
    guint8 flash[FLASH_BYTES_MAX];
    guint8 other[OTHER_BYTES_MAX];
} Memory;

static void look(const ImpBoard *board, const Chip *chip, Memory *memory)
{
    g_assert_true(imp_board_peek(board, chip->flash_start, memory->flash, chip->flash_bytes));
    g_assert_true(imp_board_peek(board, chip->other_start, memory->other, chip->other_bytes));
}

static guint8 *place(const Chip *chip, Memory *memory, guint64 address)
{
    if (address >= chip->flash_start && address - chip->flash_start < chip->flash_bytes)
        return &memory->flash[address - chip->flash_start];
    g_assert(address >= chip->other_start && address - chip->other_start < chip->other_bytes);
    return &memory->other[address - chip->other_start];
}

/* Blanks the pages that the erase takes; returns how many erases that are. */
static guint64 expect_erase(const Row *row, Memory *memory)
{
    const Chip *chip = row->chip;
    if (row->mass) {
        memset(memory->flash, 0xFF, chip->flash_bytes);
        if (chip->other_mass_erased)
            memset(memory->other, 0xFF, chip->other_bytes);
        return 1;
    }
    guint64 erases = 0;
    const guint8 *last = NULL;
    for (gsize i = 0; i < row->data->n_segments; i++) {
        guint64 at = row->data->segments[i].address,
                end = at + g_bytes_get_size(row->data->segments[i].bytes);
        for (; at < end; at++) {
            guint8 *byte = place(chip, memory, at), *page = memory->other;
            gsize page_bytes = chip->other_bytes;
            if (byte < memory->other) {
                page = byte - (gsize)(byte - memory->flash) % chip->page_bytes;
                page_bytes = chip->page_bytes;
            }
            if (page == last)
                continue;
            memset(page, 0xFF, page_bytes);
            last = page;
            erases++;
        }
    }
    return erases;
}

/* What limits the speed: erases, program units that hold a non-blank byte, and the 32-bit words that bring them. */
typedef struct {
    guint64 erases, units, words;
} Work;

static gboolean is_blank(const guint8 *bytes, gsize n_bytes)
{
    for (gsize i = 0; i < n_bytes; i++)
        if (bytes[i] != 0xFF)
            return FALSE;
    return TRUE;
}

/* What the memory must be afterwards. */
static void expect(const Row *row, Memory *memory, Work *out)
{
    const Chip *chip = row->chip;
    gsize wide = MAX(chip->unit_bytes, 4);
    *out = (Work){.erases = expect_erase(row, memory)};
    for (gsize i = 0; i < row->data->n_segments; i++) {
        gsize n_bytes;
        guint64 at = row->data->segments[i].address;
        const guint8 *bytes = g_bytes_get_data(row->data->segments[i].bytes, &n_bytes);
        g_assert(at % wide == 0 && n_bytes % wide == 0);
        memcpy(place(chip, memory, at), bytes, n_bytes);
        for (gsize k = 0; k < n_bytes; k += chip->unit_bytes)
            out->units += !is_blank(bytes + k, chip->unit_bytes);
        for (gsize k = 0; k < n_bytes; k += wide)
            out->words += is_blank(bytes + k, wide) ? 0 : wide / 4;
    }
}

/* Attaches, programs, verifies, starts the chip; the ends of the windows in microseconds of virtual time. */
typedef struct {
    gint64 begin, attached, worked, verified, end;
} Windows;

static gboolean program(BoardProbe *probe, const ImpDevice *device, const Row *row, Windows *out,
                        GError **error)
{
    const ImpTargetOptions options = {.swd_hz = row->hz};
    g_autoptr(ImpTarget) target = imp_target_attach(&probe->probe, &probe->clock, &options, error);
    if (target == NULL || !imp_target_check(target, device, error))
        return FALSE;
    const ImpFlashJob job = {.erase = row->mass ? IMP_FLASH_ERASE_ALL : IMP_FLASH_ERASE_USED,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_FASTEST,
                             .segments = row->data->segments,
                             .n_segments = row->data->n_segments};
    ImpFlashResult result;
    ImpFlash *flash = imp_flash_open(target, device, error);
    gboolean good = flash != NULL && imp_flash_run(flash, &job, &result, error);
    imp_flash_close(flash);
    if (!good || !imp_target_reset_run(target, error))
        return FALSE;
    imp_target_detach(g_steal_pointer(&target));
    out->begin = (gint64)(probe->first_edge_ns / 1000);
    out->attached = result.work_begin_us;
    out->worked = result.work_end_us;
    out->verified = result.verify_end_us;
    out->end = imp_clock_boot_us(&probe->clock);
    return TRUE;
}

static void print_row(const Row *row, const Windows *w, const BoardProbe *probe, const Work *part)
{
    const Chip *chip = row->chip;
    struct imp_board_counters counters;
    imp_board_get_counters(probe->board, &counters);
    g_autofree char *name =
        g_strdup_printf("%s.%ukhz.%uus.%s.%s%s", chip->name, row->hz / 1000, row->round_trip_us,
                        row->data->name, row->mass ? "mass" : "page", row->packet_bytes == 512 ? "" : ".64b");
    gdouble wire = (gdouble)CLOCKS_WORD * (gdouble)part->words * 1e6 / row->hz;
    gdouble flash = (gdouble)part->erases * (row->mass ? chip->erase_all_us : chip->erase_page_us) +
                    (gdouble)part->units * chip->program_us;
    gdouble limit = MAX(wire, flash);
    gdouble work = (gdouble)(w->worked - w->attached), verify = (gdouble)(w->verified - w->worked);
    printf("%s.attach_us %" G_GINT64_FORMAT "\n", name, w->attached - w->begin);
    printf("%s.work_us %.0f\n%s.verify_us %.0f\n", name, work, name, verify);
    printf("%s.end_us %" G_GINT64_FORMAT "\n", name, w->end - w->verified);
    printf("%s.time_us %" G_GINT64_FORMAT "\n", name, w->end - w->begin);
    printf("%s.limit_us %.0f\n%s.bound %s\n", name, limit, name, wire > flash ? "wire" : "flash");
    printf("%s.ratio_to_limit %.4f\n%s.verify_ratio %.4f\n", name, work / limit, name, verify / wire);
    printf("%s.swclk %" G_GUINT64_FORMAT "\n%s.packets %" G_GUINT64_FORMAT "\n", name, counters.swclk, name,
           counters.packets);
    printf("%s.swclk_per_word %.3f\n", name,
           (gdouble)board_probe_swclk(probe, w->attached, w->worked) / (gdouble)part->words);
}

/* A row's board in its start state, what its memory must be in the end, and what bounds the work. */
typedef struct {
    ImpBoard *board;
    BoardProbe *probe;
    Memory wanted;
    Work part;
} Bench;

static Bench *bench_new(const Row *row)
{
    const Chip *chip = row->chip;
    const struct imp_board_options options = {
        .fill = IMP_BOARD_FILL_RANDOM, .packet_size = row->packet_bytes, .packet_count = 4};
    const char *why = NULL;
    Bench *bench = g_new0(Bench, 1);
    bench->board = imp_board_new(chip->name, SEED, &options, &why);
    if (bench->board == NULL)
        g_error("%s: %s", chip->name, why);
    guint64 state = SEED + 1;
    for (guint32 at = chip->other_user; at < chip->other_bytes; at += 4) {
        guint32 word = (guint32)next_random(&state);
        g_assert_true(imp_board_poke(bench->board, chip->other_start + at, &word, 4));
    }
    look(bench->board, chip, &bench->wanted);
    expect(row, &bench->wanted, &bench->part);
    bench->probe = board_probe_new(bench->board, (guint64)row->round_trip_us * 1000);
    return bench;
}

static void bench_free(Bench *bench)
{
    imp_probe_close(&bench->probe->probe);
    imp_board_free(bench->board);
    g_free(bench);
}

/* The outside check. */
static gboolean bench_is_good(const Bench *bench, const Row *row, const char *who)
{
    g_autofree Memory *seen = g_new0(Memory, 1);
    look(bench->board, row->chip, seen);
    if (memcmp(&bench->wanted, seen, sizeof *seen) == 0)
        return TRUE;
    fprintf(stderr, "program: %s %s %s by %s: the chip's memory is not what it must be\n", row->chip->name,
            row->data->name, row->mass ? "mass" : "page", who);
    return FALSE;
}

/* What a whole programming took. */
typedef struct {
    gint64 time_us;
    guint64 packets;
} Took;

static gboolean run_row(const Row *row, gboolean print, Took *out_took)
{
    const Chip *chip = row->chip;
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpDevice) device = imp_device_lookup(chip->device, &error);
    if (device == NULL)
        g_error("%s: %s", chip->name, error->message);
    Bench *bench = bench_new(row);
    Windows windows;
    gboolean good = program(bench->probe, device, row, &windows, &error);
    if (!good)
        fprintf(stderr, "program: %s %s %s: E%d %s\n", chip->name, row->data->name,
                row->mass ? "mass" : "page", imp_error_code(error), error->message);
    good = good && bench_is_good(bench, row, "the engine");
    if (good && print)
        print_row(row, &windows, bench->probe, &bench->part);
    if (good) {
        struct imp_board_counters counters;
        imp_board_get_counters(bench->board, &counters);
        *out_took = (Took){windows.end - windows.begin, counters.packets};
    }
    bench_free(bench);
    return good;
}

static gint compare_results(gconstpointer a, gconstpointer b)
{
    gint64 x = ((const OpenocdResult *)a)->time_us, y = ((const OpenocdResult *)b)->time_us;
    return x < y ? -1 : x > y;
}

/* The median of OPENOCD_RUNS runs of OpenOCD on this row. */
static gboolean run_openocd(const Row *row, OpenocdResult *out)
{
    OpenocdResult results[OPENOCD_RUNS];
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    int fd = g_file_open_tmp("imprint-bench-XXXXXX", &path, &error);
    if (fd < 0)
        g_error("%s", error->message);
    (void)g_close(fd, NULL);
    gsize n_bytes;
    const char *bytes = g_bytes_get_data(row->data->segments[0].bytes, &n_bytes);
    gboolean good = g_file_set_contents(path, bytes, (gssize)n_bytes, NULL);
    for (guint i = 0; good && i < OPENOCD_RUNS; i++) {
        Bench *bench = bench_new(row);
        good = openocd_program(bench->probe, row->chip->openocd, row->hz / 1000, path,
                               (guint32)row->data->segments[0].address, &results[i]) &&
               bench_is_good(bench, row, "OpenOCD");
        bench_free(bench);
    }
    (void)g_unlink(path);
    if (!good)
        return FALSE;
    qsort(results, OPENOCD_RUNS, sizeof *results, compare_results);
    *out = results[OPENOCD_RUNS / 2];
    return TRUE;
}

/* The rows against OpenOCD of one chip. */
static gboolean compare_with_openocd(const Chip *chip, const Data *data)
{
    static const struct {
        guint32 hz;
        guint round_trip_us;
    } rows[] = {{1000000, 1000}, {4000000, 125}};
    gboolean good = TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const Row row = {chip, data, FALSE, 512, rows[i].hz, rows[i].round_trip_us};
        Took ours;
        OpenocdResult theirs;
        if (!run_row(&row, FALSE, &ours) || !run_openocd(&row, &theirs)) {
            good = FALSE;
            continue;
        }
        g_autofree char *name = g_strdup_printf("%s.%ukhz.%uus.%s.page", chip->name, row.hz / 1000,
                                                row.round_trip_us, data->name);
        printf("%s.openocd_time_us %" G_GINT64_FORMAT "\n%s.openocd_gaps_us %" G_GINT64_FORMAT "\n", name,
               theirs.time_us, name, theirs.gaps_us);
        printf("%s.openocd_packets %" G_GUINT64_FORMAT "\n", name, theirs.packets);
        printf("%s.ratio_to_openocd %.4f\n", name, (gdouble)ours.time_us / (gdouble)theirs.time_us);
        printf("%s.packets_ratio_to_openocd %.4f\n", name, (gdouble)ours.packets / (gdouble)theirs.packets);
        fflush(stdout);
    }
    return good;
}

/* All rows of one chip with one kind of data. */
static gboolean run_rows(const Chip *chip, const Data *data)
{
    static const guint32 clocks[] = {1000000, 4000000, 10000000};
    static const guint round_trips[] = {125, 1000};
    static const guint16 packets[] = {512, 64};
    gboolean good = TRUE;
    guint n_packets = strcmp(chip->name, "fastflash") == 0 ? 2 : 1;
    for (guint p = 0; p < n_packets; p++)
        for (guint mass = 0; mass < 2; mass++)
            for (guint c = 0; c < G_N_ELEMENTS(clocks); c++)
                for (guint r = 0; r < G_N_ELEMENTS(round_trips); r++) {
                    const Row row = {chip, data, mass != 0, packets[p], clocks[c], round_trips[r]};
                    Took took;
                    good = run_row(&row, TRUE, &took) && good;
                }
    return good;
}

static void free_data(Data *data)
{
    for (gsize i = 0; i < data->n_segments; i++)
        g_bytes_unref(data->segments[i].bytes);
    g_free(data->segments);
}

int main(int argc, char **argv)
{
    const char *only = NULL, *part = NULL, *firmware = FIRMWARE_HEX;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--chip") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "--part") == 0 && i + 1 < argc)
            part = argv[++i];
        else
            firmware = argv[i];
    gboolean limit = part == NULL || strcmp(part, "limit") == 0,
             openocd = part == NULL || strcmp(part, "openocd") == 0, good = TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(chips); i++) {
        if (only != NULL && strcmp(only, chips[i].name) != 0)
            continue;
        Data data = random_64k(chips[i].flash_start);
        good = (!limit || run_rows(&chips[i], &data)) && good;
        good = (!openocd || chips[i].openocd == NULL || compare_with_openocd(&chips[i], &data)) && good;
        free_data(&data);
        if (i != 0 || !limit)
            continue;
        data = read_hex(firmware);
        good = run_rows(&chips[i], &data) && good;
        free_data(&data);
    }
    return good ? 0 : 1;
}
