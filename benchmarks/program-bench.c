/* benchmarks/program: how near to the physical limit the engine programs a chip, on the board's virtual time.
 * What is measured, and the frozen chip times: docs/benchmarks.md. Prints "name value" lines; exit status 1 if any row's
 * outside check failed (that row is not printed).
 *
 *   program-bench [FIRMWARE.hex] */
#include "base/error.h"
#include "board_probe.h"
#include "build/hex.h"
#include "device/table.h"
#include "target/flash.h"

#include <stdio.h>
#include <string.h>

#define SEED         20261122u
#define CLOCKS_WORD  46 /* SWCLK of one transfer */
#define FLASH_BYTES  (256 * 1024)
#define UICR_START   0x10001000u
#define UICR_BYTES   0x100u
#define UICR_USER    0x80u /* customer words begin here: those before it would lock or divide the chip */
#define PAGE_BYTES   1024
#define DATA_64K     (64 * 1024)
#define FIRMWARE_HEX "/usr/share/firmware-microbit-micropython/firmware.hex"

/* Frozen: docs/benchmarks.md. */
#define ERASE_PAGE_US 22300.0
#define ERASE_ALL_US  22300.0
#define PROGRAM_US    46.3

typedef struct {
    const char *name;
    ImpFlashSegment *segments;
    gsize n_segments;
} Data;

typedef struct {
    const Data *data;
    gboolean mass;
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

static Data random_64k(void)
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
    add_segment(segments, 0, bytes, DATA_64K);
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
    g_autoptr(ImpPieces) hex = imp_hex_parse(text, n_text, FLASH_BYTES + UICR_BYTES, path, &error);
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
    guint8 flash[FLASH_BYTES];
    guint8 uicr[UICR_BYTES];
} Memory;

static void look(const ImpBoard *board, Memory *memory)
{
    g_assert_true(imp_board_peek(board, 0, memory->flash, FLASH_BYTES));
    g_assert_true(imp_board_peek(board, UICR_START, memory->uicr, UICR_BYTES));
}

/* What the memory must be afterwards; and the parts of the limit: words that hold a non-blank byte, erases. */
static void expect(const Row *row, Memory *memory, guint64 *out_words, guint64 *out_erases)
{
    g_autofree guint8 *touched = g_malloc0(FLASH_BYTES / PAGE_BYTES + 1);
    gsize uicr = FLASH_BYTES / PAGE_BYTES;
    for (gsize i = 0; i < row->data->n_segments; i++) {
        guint64 at = row->data->segments[i].address,
                end = at + g_bytes_get_size(row->data->segments[i].bytes);
        for (; at < end; at++)
            touched[at < FLASH_BYTES ? at / PAGE_BYTES : uicr] = 1;
    }
    *out_erases = row->mass ? 1 : 0;
    for (gsize i = 0; i <= uicr; i++) {
        if (!row->mass && !touched[i])
            continue;
        if (i == uicr)
            memset(memory->uicr, 0xFF, UICR_BYTES);
        else
            memset(memory->flash + i * PAGE_BYTES, 0xFF, PAGE_BYTES);
        *out_erases += row->mass ? 0 : 1;
    }
    *out_words = 0;
    for (gsize i = 0; i < row->data->n_segments; i++) {
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(row->data->segments[i].bytes, &n_bytes);
        guint64 at = row->data->segments[i].address;
        for (gsize k = 0; k < n_bytes; k++, at++) {
            guint8 *place = at < FLASH_BYTES ? &memory->flash[at] : &memory->uicr[at - UICR_START];
            *place = bytes[k];
        }
    }
    guint32 word;
    for (gsize i = 0; i < row->data->n_segments; i++) {
        guint64 at = row->data->segments[i].address,
                end = at + g_bytes_get_size(row->data->segments[i].bytes);
        g_assert(at % 4 == 0 && end % 4 == 0);
        for (; at < end; at += 4) {
            memcpy(&word, at < FLASH_BYTES ? &memory->flash[at] : &memory->uicr[at - UICR_START], 4);
            *out_words += word != 0xFFFFFFFFu;
        }
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

static void print_row(const Row *row, const Windows *w, const struct imp_board_counters *counters,
                      guint64 words, guint64 erases)
{
    g_autofree char *name = g_strdup_printf("nrf51822.%ukhz.%uus.%s.%s", row->hz / 1000, row->round_trip_us,
                                            row->data->name, row->mass ? "mass" : "page");
    gdouble wire = (gdouble)CLOCKS_WORD * (gdouble)words * 1e6 / row->hz;
    gdouble flash =
        (gdouble)erases * (row->mass ? ERASE_ALL_US : ERASE_PAGE_US) + (gdouble)words * PROGRAM_US;
    gdouble limit = MAX(wire, flash);
    gdouble work = (gdouble)(w->worked - w->attached), verify = (gdouble)(w->verified - w->worked);
    printf("%s.attach_us %" G_GINT64_FORMAT "\n", name, w->attached - w->begin);
    printf("%s.work_us %.0f\n%s.verify_us %.0f\n", name, work, name, verify);
    printf("%s.end_us %" G_GINT64_FORMAT "\n", name, w->end - w->verified);
    printf("%s.time_us %" G_GINT64_FORMAT "\n", name, w->end - w->begin);
    printf("%s.limit_us %.0f\n%s.bound %s\n", name, limit, name, wire > flash ? "wire" : "flash");
    printf("%s.ratio_to_limit %.4f\n%s.verify_ratio %.4f\n", name, work / limit, name, verify / wire);
    printf("%s.swclk %" G_GUINT64_FORMAT "\n%s.packets %" G_GUINT64_FORMAT "\n", name, counters->swclk, name,
           counters->packets);
}

static gboolean run_row(const Row *row, const ImpDevice *device)
{
    const struct imp_board_options options = {
        .fill = IMP_BOARD_FILL_RANDOM, .packet_size = 512, .packet_count = 4};
    const char *why = NULL;
    ImpBoard *board = imp_board_new("nrf51822", SEED, &options, &why);
    if (board == NULL)
        g_error("no board: %s", why);
    guint64 state = SEED + 1;
    for (guint32 at = UICR_USER; at < UICR_BYTES; at += 4) {
        guint32 word = (guint32)next_random(&state);
        g_assert_true(imp_board_poke(board, UICR_START + at, &word, 4));
    }
    g_autofree Memory *wanted = g_new0(Memory, 1), *seen = g_new0(Memory, 1);
    look(board, wanted);
    guint64 words, erases;
    expect(row, wanted, &words, &erases);
    BoardProbe *probe = board_probe_new(board, (guint64)row->round_trip_us * 1000);
    g_autoptr(GError) error = NULL;
    Windows windows;
    gboolean good = program(probe, device, row, &windows, &error);
    if (!good)
        fprintf(stderr, "program: %s %s: E%d %s\n", row->data->name, row->mass ? "mass" : "page",
                imp_error_code(error), error->message);
    look(board, seen);
    if (good && memcmp(wanted, seen, sizeof *wanted) != 0) {
        fprintf(stderr, "program: %s %s: the chip's memory is not what it must be\n", row->data->name,
                row->mass ? "mass" : "page");
        good = FALSE;
    }
    if (good) {
        struct imp_board_counters counters;
        imp_board_get_counters(board, &counters);
        print_row(row, &windows, &counters, words, erases);
    }
    imp_probe_close(&probe->probe);
    imp_board_free(board);
    return good;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpDevice) device = imp_device_lookup("nRF51822", &error);
    if (device == NULL)
        g_error("%s", error->message);
    const Data data[] = {random_64k(), read_hex(argc > 1 ? argv[1] : FIRMWARE_HEX)};
    static const guint32 clocks[] = {1000000, 4000000};
    static const guint round_trips[] = {125, 1000};
    gboolean good = TRUE;
    for (guint d = 0; d < G_N_ELEMENTS(data); d++)
        for (guint mass = 0; mass < 2; mass++)
            for (guint c = 0; c < G_N_ELEMENTS(clocks); c++)
                for (guint r = 0; r < G_N_ELEMENTS(round_trips); r++) {
                    const Row row = {&data[d], mass != 0, clocks[c], round_trips[r]};
                    good = run_row(&row, device) && good;
                }
    for (guint d = 0; d < G_N_ELEMENTS(data); d++) {
        for (gsize i = 0; i < data[d].n_segments; i++)
            g_bytes_unref(data[d].segments[i].bytes);
        g_free(data[d].segments);
    }
    return good ? 0 : 1;
}
