/* The engine against a virtual board in this process, on virtual time: attach, program, verify, and each way to fail. */
#include "base/error.h"
#include "board_probe.h"
#include "device/table.h"
#include "target/blank.h"
#include "target/crc32.h"
#include "target/flash.h"

#include <string.h>

#define SEED        7
#define FLASH_BYTES (256 * 1024)
#define PAGE        1024
#define RAM         0x20000000u
#define UICR_USER   0x10001080u

typedef struct {
    ImpBoard *board;
    BoardProbe *probe;
    ImpDevice *device;
    ImpTarget *target;
} Fixture;

static void set_up_chip(Fixture *f, const char *chip, const char *device,
                        const struct imp_board_options *options)
{
    const char *why = NULL;
    GError *error = NULL;
    f->board = imp_board_new(chip, SEED, options, &why);
    g_assert_nonnull(f->board);
    f->probe = board_probe_new(f->board, 125000);
    f->device = imp_device_lookup(device, &error);
    g_assert_no_error(error);
    f->target = NULL;
}

static void set_up_packets(Fixture *f, enum imp_board_fill fill, guint16 packet_bytes, guint8 packet_count)
{
    const struct imp_board_options options = {
        .fill = fill, .packet_size = packet_bytes, .packet_count = packet_count};
    set_up_chip(f, "nrf51822", "nRF51822", &options);
}

static void set_up(Fixture *f, enum imp_board_fill fill)
{
    set_up_packets(f, fill, 0, 0);
}

static void tear_down(Fixture *f)
{
    imp_target_detach(f->target);
    imp_probe_close(&f->probe->probe);
    imp_device_free(f->device);
    imp_board_free(f->board);
}

static gboolean attach(Fixture *f, const gint *cancel, GError **error)
{
    const ImpTargetOptions options = {.swd_hz = 4000000, .cancel = cancel};
    f->target = imp_target_attach(&f->probe->probe, &f->probe->clock, &options, error);
    return f->target != NULL;
}

static void must_attach(Fixture *f)
{
    GError *error = NULL;
    g_assert_true(attach(f, NULL, &error) || error != NULL);
    g_assert_no_error(error);
    g_assert_true(imp_target_check(f->target, f->device, &error) || error != NULL);
    g_assert_no_error(error);
}

static void assert_code(const GError *error, int code)
{
    g_assert_nonnull(error);
    if (imp_error_code(error) != code)
        g_error("E%d in place of E%d: %s", imp_error_code(error), code, error->message);
}

/* Bytes that differ from place to place; two of every four KiB blank. */
static GBytes *pattern(gsize n_bytes)
{
    guint8 *bytes = g_malloc(n_bytes);
    guint32 state = 1;
    for (gsize i = 0; i < n_bytes; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = i / PAGE % 4 >= 2 ? 0xFF : (guint8)(state >> 24);
    }
    return g_bytes_new_take(bytes, n_bytes);
}

static gboolean run(Fixture *f, const ImpFlashJob *job, ImpFlashResult *result, GError **error)
{
    ImpFlash *flash = imp_flash_open(f->target, f->device, error);
    gboolean good = flash != NULL && imp_flash_run(flash, job, result, error);
    imp_flash_close(flash);
    return good;
}

static void test_identify(void)
{
    Fixture f;
    set_up(&f, IMP_BOARD_FILL_RANDOM);
    must_attach(&f);
    g_assert_cmphex(imp_target_id(f.target)->dpidr, ==, 0x0BB11477);
    g_assert_cmphex(imp_target_id(f.target)->cpuid & 0xFFF0, ==, 0xC200);
    guint8 uid[IMP_UID_BYTES_MAX], seen[8];
    gsize n_bytes;
    g_assert_true(imp_target_read_uid(f.target, f.device, uid, &n_bytes, NULL));
    g_assert_cmpuint(n_bytes, ==, 8);
    g_assert_true(imp_board_peek(f.board, 0x10000060, seen, 8));
    g_assert_cmpmem(uid, n_bytes, seen, 8);
    tear_down(&f);
}

static void test_memory(void)
{
    Fixture f;
    set_up(&f, IMP_BOARD_FILL_RANDOM);
    must_attach(&f);
    guint8 bytes[3000], seen[3000];
    for (guint i = 0; i < sizeof bytes; i++)
        bytes[i] = (guint8)(i * 7 + i / 256);
    static const struct {
        guint offset, size;
    } rows[] = {{0, 4},    {0, 1},    {1, 1},    {3, 2},    {2, 1021},
                {1020, 8}, {1023, 2}, {5, 3000}, {0, 3000}, {4, 0}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        GError *error = NULL;
        guint32 at = RAM + rows[i].offset;
        guint8 before[2], after[2];
        g_assert_true(imp_board_peek(f.board, at + rows[i].size, before, 2));
        g_assert_true(imp_target_write(f.target, at, bytes, rows[i].size, &error));
        g_assert_true(imp_board_peek(f.board, at, seen, rows[i].size));
        g_assert_cmpmem(seen, rows[i].size, bytes, rows[i].size);
        g_assert_true(imp_board_peek(f.board, at + rows[i].size, after, 2));
        g_assert_cmpmem(before, 2, after, 2);
        memset(seen, 0, sizeof seen);
        g_assert_true(imp_target_read(f.target, at, seen, rows[i].size, &error));
        g_assert_cmpmem(seen, rows[i].size, bytes, rows[i].size);
    }
    tear_down(&f);
}

/* An address that the chip refuses; afterwards the link works. */
static void test_bus_fault(void)
{
    Fixture f;
    set_up(&f, IMP_BOARD_FILL_RANDOM);
    must_attach(&f);
    g_autoptr(GError) error = NULL;
    guint8 bytes[8];
    g_assert_false(imp_target_read(f.target, 0x70000000, bytes, sizeof bytes, &error));
    assert_code(error, IMP_E_BUS_FAULT);
    g_assert_true(imp_error_detail(error)->has_address);
    g_assert_cmphex(imp_error_detail(error)->address, ==, 0x70000000);
    g_clear_error(&error);
    g_assert_false(imp_target_read(f.target, 0xFFFFFFFCull, bytes, sizeof bytes, &error));
    assert_code(error, IMP_E_ARGUMENT);
    g_assert_true(imp_target_read(f.target, RAM, bytes, sizeof bytes, NULL));
    g_assert_cmpuint(imp_target_link_health(f.target)->faults, >, 0);
    tear_down(&f);
}

static void test_registers(void)
{
    Fixture f;
    set_up(&f, IMP_BOARD_FILL_RANDOM);
    must_attach(&f);
    for (guint i = 0; i < 13; i++) {
        guint32 value;
        g_assert_true(imp_target_write_register(f.target, i, 0x1000 + i, NULL));
        g_assert_true(imp_target_read_register(f.target, i, &value, NULL));
        g_assert_cmphex(value, ==, 0x1000 + i);
    }
    tear_down(&f);
}

static void test_nobody(void)
{
    for (guint how = 0; how < 2; how++) {
        Fixture f;
        set_up(&f, IMP_BOARD_FILL_RANDOM);
        if (how == 0)
            imp_board_remove(f.board);
        else
            imp_board_set_power(f.board, false);
        g_autoptr(GError) error = NULL;
        g_assert_false(attach(&f, NULL, &error));
        assert_code(error, IMP_E_NO_TARGET);
        g_assert_cmpstr(imp_error_detail(error)->step, ==, "attach");
        tear_down(&f);
    }
}

static void test_wrong_chip(void)
{
    static const enum imp_board_fault rows[] = {IMP_BOARD_FAULT_WRONG_CHIP, IMP_BOARD_FAULT_WRONG_VARIANT};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Fixture f;
        set_up(&f, IMP_BOARD_FILL_RANDOM);
        g_assert_true(imp_board_set_fault(f.board, rows[i], 0, 0));
        GError *error = NULL;
        g_assert_true(attach(&f, NULL, &error));
        g_assert_false(imp_target_check(f.target, f.device, &error));
        assert_code(error, IMP_E_WRONG_CHIP);
        g_assert_cmpuint(imp_error_detail(error)->expected_bytes, ==, 4);
        g_clear_error(&error);
        struct imp_board_counters counters;
        imp_board_get_counters(f.board, &counters);
        g_assert_cmpuint(counters.pages_erased + counters.mass_erases + counters.words_programmed, ==, 0);
        tear_down(&f);
    }
    /* the debug port alone tells */
    Fixture f;
    set_up(&f, IMP_BOARD_FILL_RANDOM);
    GError *error = NULL;
    g_assert_true(attach(&f, NULL, &error));
    f.device->dpidr ^= 0x10000000;
    g_assert_false(imp_target_check(f.target, f.device, &error));
    assert_code(error, IMP_E_WRONG_CHIP);
    g_clear_error(&error);
    tear_down(&f);
}

typedef struct {
    ImpFlashPhase last;
    guint64 done[8], total[8];
} Progress;

static void on_progress(gpointer user, ImpFlashPhase phase, guint64 done, guint64 total)
{
    Progress *p = user;
    g_assert_cmpuint(done, <=, total);
    g_assert_cmpuint(done, >=, p->done[phase]);
    g_assert_cmpint(phase, >=, p->last);
    p->last = phase;
    p->done[phase] = done;
    p->total[phase] = total;
}

/* Every erase with every verify; the whole memory is compared. Segments begin and end within pages, and one is UICR. */
static void test_program(void)
{
    static const struct {
        ImpFlashErase erase;
        enum imp_board_fill fill;
        ImpFlashVerify verify;
    } rows[] = {
        {IMP_FLASH_ERASE_ALL, IMP_BOARD_FILL_RANDOM, IMP_FLASH_VERIFY_FASTEST},
        {IMP_FLASH_ERASE_USED, IMP_BOARD_FILL_RANDOM, IMP_FLASH_VERIFY_CHECKSUM},
        {IMP_FLASH_ERASE_USED, IMP_BOARD_FILL_RANDOM, IMP_FLASH_VERIFY_READ_BACK},
        {IMP_FLASH_ERASE_SECTORS, IMP_BOARD_FILL_RANDOM, IMP_FLASH_VERIFY_CHECKSUM},
        {IMP_FLASH_ERASE_NONE, IMP_BOARD_FILL_BLANK, IMP_FLASH_VERIFY_CHECKSUM},
    };
    g_autoptr(GBytes) a = pattern(21 * PAGE + 5), b = pattern(3), c = pattern(28);
    const ImpFlashSegment segments[] = {{0x402, a}, {0x3FFFD, b}, {UICR_USER, c}};
    guint64 sectors[26];
    for (guint i = 0; i < 24; i++)
        sectors[i] = (guint64)i * PAGE + 17;
    sectors[24] = 0x3FFFF;
    sectors[25] = UICR_USER;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Fixture f;
        set_up(&f, rows[i].fill);
        g_autofree guint8 *want = g_malloc(FLASH_BYTES), *seen = g_malloc(FLASH_BYTES);
        g_assert_true(imp_board_peek(f.board, 0, want, FLASH_BYTES));
        if (rows[i].erase == IMP_FLASH_ERASE_ALL)
            memset(want, 0xFF, FLASH_BYTES);
        else if (rows[i].erase == IMP_FLASH_ERASE_SECTORS)
            memset(want, 0xFF, 24 * PAGE);
        else if (rows[i].erase == IMP_FLASH_ERASE_USED)
            memset(want + PAGE, 0xFF, 22 * PAGE);
        if (rows[i].erase != IMP_FLASH_ERASE_NONE)
            memset(want + FLASH_BYTES - PAGE, 0xFF, PAGE);
        memcpy(want + 0x402, g_bytes_get_data(a, NULL), g_bytes_get_size(a));
        memcpy(want + 0x3FFFD, g_bytes_get_data(b, NULL), 3);
        must_attach(&f);
        GError *error = NULL;
        Progress progress = {0};
        const ImpFlashJob job = {.erase = rows[i].erase,
                                 .sectors = sectors,
                                 .n_sectors = G_N_ELEMENTS(sectors),
                                 .program = TRUE,
                                 .verify = rows[i].verify,
                                 .segments = segments,
                                 .n_segments = G_N_ELEMENTS(segments),
                                 .progress = on_progress,
                                 .progress_user = &progress};
        ImpFlashResult result;
        gboolean good = run(&f, &job, &result, &error);
        g_assert_no_error(error);
        g_assert_true(good);
        g_assert_true(imp_board_peek(f.board, 0, seen, FLASH_BYTES));
        g_assert_cmpmem(seen, FLASH_BYTES, want, FLASH_BYTES);
        g_assert_true(imp_board_peek(f.board, UICR_USER, seen, 28));
        g_assert_cmpmem(seen, 28, g_bytes_get_data(c, NULL), 28);
        g_assert_cmpuint(result.bytes_verified, ==, 21 * PAGE + 5 + 3 + 28);
        for (guint phase = IMP_FLASH_PHASE_PROGRAM; phase <= IMP_FLASH_PHASE_VERIFY; phase++)
            g_assert_cmpuint(progress.done[phase], ==, progress.total[phase]);
        g_assert_cmpuint(result.bytes_skipped > 0, ==, rows[i].erase != IMP_FLASH_ERASE_NONE);
        g_assert_cmpint(result.work_begin_us, <, result.work_end_us);
        g_assert_true(imp_target_reset_run(f.target, &error));
        tear_down(&f);
    }
}

/* Probes with small and large packets, one or many in flight. */
static void test_packets(void)
{
    static const struct {
        guint16 bytes;
        guint8 count;
    } rows[] = {{64, 1}, {64, 5}, {65, 2}, {512, 1}, {1024, 8}, {1024, 255}};
    static const ImpFlashVerify verifies[] = {IMP_FLASH_VERIFY_CHECKSUM, IMP_FLASH_VERIFY_READ_BACK};
    g_autoptr(GBytes) bytes = pattern(6 * PAGE + 36);
    const ImpFlashSegment segment = {0x1C00, bytes};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        for (guint k = 0; k < G_N_ELEMENTS(verifies); k++) {
            Fixture f;
            set_up_packets(&f, IMP_BOARD_FILL_RANDOM, rows[i].bytes, rows[i].count);
            must_attach(&f);
            const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_USED,
                                     .program = TRUE,
                                     .verify = verifies[k],
                                     .segments = &segment,
                                     .n_segments = 1};
            GError *error = NULL;
            gboolean good = run(&f, &job, NULL, &error);
            g_assert_no_error(error);
            g_assert_true(good);
            guint8 seen[6 * PAGE + 36];
            g_assert_true(imp_board_peek(f.board, 0x1C00, seen, sizeof seen));
            g_assert_cmpmem(seen, sizeof seen, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
            tear_down(&f);
        }
}

/* Erase, program and verify as three jobs of one flash object: the runner stays, blank pages are still known. */
static void test_three_jobs(void)
{
    Fixture f;
    set_up(&f, IMP_BOARD_FILL_RANDOM);
    must_attach(&f);
    g_autoptr(GBytes) bytes = pattern(9 * PAGE);
    const ImpFlashSegment segment = {0x2000, bytes};
    ImpFlashJob job = {.erase = IMP_FLASH_ERASE_ALL, .verify = IMP_FLASH_VERIFY_NONE};
    ImpFlashResult result;
    GError *error = NULL;
    ImpFlash *flash = imp_flash_open(f.target, f.device, &error);
    g_assert_true(imp_flash_run(flash, &job, &result, &error));
    g_assert_cmpint(result.verified_by, ==, IMP_FLASH_VERIFY_NONE);
    job = (ImpFlashJob){.erase = IMP_FLASH_ERASE_NONE,
                        .program = TRUE,
                        .verify = IMP_FLASH_VERIFY_NONE,
                        .segments = &segment,
                        .n_segments = 1};
    g_assert_true(imp_flash_run(flash, &job, &result, &error));
    g_assert_cmpuint(result.bytes_skipped, ==, 4 * PAGE);
    g_assert_cmpuint(result.bytes_programmed, ==, 5 * PAGE);
    job.program = FALSE;
    job.verify = IMP_FLASH_VERIFY_CHECKSUM;
    g_assert_true(imp_flash_run(flash, &job, &result, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(result.bytes_verified, ==, 9 * PAGE);
    imp_flash_close(flash);
    tear_down(&f);
}

/* A bit that will not program is found by either verify, with the place and both values. */
static void test_stuck_bit(void)
{
    static const ImpFlashVerify rows[] = {IMP_FLASH_VERIFY_CHECKSUM, IMP_FLASH_VERIFY_READ_BACK};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Fixture f;
        set_up(&f, IMP_BOARD_FILL_RANDOM);
        g_assert_true(imp_board_set_fault(f.board, IMP_BOARD_FAULT_STUCK_BIT, 0x2402, 5));
        must_attach(&f);
        guint8 zeros[4 * PAGE] = {0};
        g_autoptr(GBytes) bytes = g_bytes_new_static(zeros, sizeof zeros);
        const ImpFlashSegment segment = {0x2000, bytes};
        const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_USED,
                                 .program = TRUE,
                                 .verify = rows[i],
                                 .segments = &segment,
                                 .n_segments = 1};
        g_autoptr(GError) error = NULL;
        g_assert_false(run(&f, &job, NULL, &error));
        assert_code(error, IMP_E_FLASH_MISMATCH);
        const ImpErrorDetail *detail = imp_error_detail(error);
        g_assert_cmpstr(detail->step, ==, "verify");
        g_assert_cmphex(detail->address, ==, 0x2400);
        const guint8 expected[4] = {0}, found[4] = {0, 0, 0x20, 0};
        g_assert_cmpmem(detail->expected, detail->expected_bytes, expected, 4);
        g_assert_cmpmem(detail->found, detail->found_bytes, found, 4);
        tear_down(&f);
    }
}

static void test_not_erased(void)
{
    Fixture f;
    set_up(&f, IMP_BOARD_FILL_RANDOM);
    must_attach(&f);
    g_autoptr(GBytes) bytes = pattern(2 * PAGE);
    const ImpFlashSegment segment = {0, bytes};
    const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_NONE,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_CHECKSUM,
                             .segments = &segment,
                             .n_segments = 1};
    g_autoptr(GError) error = NULL;
    g_assert_false(run(&f, &job, NULL, &error));
    assert_code(error, IMP_E_FLASH_MISMATCH);
    g_assert_nonnull(strstr(error->message, "bits that should be 1 are 0"));
    tear_down(&f);
}

/* What the engine may find in a job before it touches the chip. */
static void test_bad_jobs(void)
{
    g_autoptr(GBytes) page = pattern(PAGE);
    const ImpFlashSegment outside[] = {{0x3FC00 + 4, page}}, overlap[] = {{0x400, page}, {0x7FF, page}},
                          reversed[] = {{0x800, page}, {0, page}};
    static const guint64 nowhere[] = {0x40000};
    const struct {
        ImpFlashJob job;
        int code;
    } rows[] = {
        {{.erase = IMP_FLASH_ERASE_USED, .program = TRUE, .segments = outside, .n_segments = 1},
         IMP_E_NO_ALGORITHM},
        {{.erase = IMP_FLASH_ERASE_USED, .program = TRUE, .segments = overlap, .n_segments = 2},
         IMP_E_ARGUMENT},
        {{.erase = IMP_FLASH_ERASE_USED, .program = TRUE, .segments = reversed, .n_segments = 2},
         IMP_E_ARGUMENT},
        {{.erase = IMP_FLASH_ERASE_SECTORS, .sectors = nowhere, .n_sectors = 1}, IMP_E_NO_ALGORITHM},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Fixture f;
        set_up(&f, IMP_BOARD_FILL_RANDOM);
        must_attach(&f);
        g_autoptr(GError) error = NULL;
        g_assert_false(run(&f, &rows[i].job, NULL, &error));
        assert_code(error, rows[i].code);
        struct imp_board_counters counters;
        imp_board_get_counters(f.board, &counters);
        g_assert_cmpuint(counters.pages_erased + counters.mass_erases + counters.words_programmed, ==, 0);
        tear_down(&f);
    }
}

static void test_small_ram(void)
{
    Fixture f;
    set_up(&f, IMP_BOARD_FILL_RANDOM);
    must_attach(&f);
    f.device->ram_bytes = 4 * 1024;
    g_autoptr(GError) error = NULL;
    g_assert_null(imp_flash_open(f.target, f.device, &error));
    assert_code(error, IMP_E_RAM_TOO_SMALL);
    tear_down(&f);
}

/* Puts code behind an algorithm's own; returns its offset. */
static guint32 append_code(ImpAlgorithm *algorithm, const guint16 *code, gsize n_halfwords)
{
    GByteArray *blob = g_bytes_unref_to_array(g_steal_pointer(&algorithm->blob));
    while (blob->len % 16 != 0)
        g_byte_array_append(blob, (const guint8 *)"", 1);
    guint32 offset = blob->len;
    for (gsize i = 0; i < n_halfwords; i++) {
        const guint8 bytes[2] = {(guint8)code[i], (guint8)(code[i] >> 8)};
        g_byte_array_append(blob, bytes, 2);
    }
    for (guint i = 0; i < 64; i++)
        g_byte_array_append(blob, (const guint8 *)"", 1);
    algorithm->blob = g_byte_array_free_to_bytes(blob);
    return offset;
}

static gboolean blank(Fixture *f, guint64 address, guint64 n_bytes, GError **error)
{
    const ImpBlankJob job = {.device = f->device, .address = address, .n_bytes = n_bytes};
    return imp_blank_check(f->target, &job, error);
}

/* By reading, and by an algorithm's BlankCheck: one that looks, one that always finds something, one that crashes. */
static void test_blank(void)
{
    static const guint16 looks[] = {
        0x2300, 0x43DB, /* movs r3, #0; mvns r3, r3 */
        0x2900, 0xD005, /* 0: cmp r1, #0; beq 1f */
        0x6802, 0x429A, 0xD104, /* ldr r2, [r0]; cmp r2, r3; bne 2f */
        0x3004, 0x3904, 0xE7F7, /* adds r0, #4; subs r1, #4; b 0b */
        0x2000, 0x4770, /* 1: movs r0, #0; bx lr */
        0x2001, 0x4770, /* 2: movs r0, #1; bx lr */
    };
    static const guint16 finds[] = {0x2001, 0x4770}; /* movs r0, #1; bx lr */
    static const guint16 crashes[] = {0xDE00}; /* udf #0 */
    static const struct {
        const guint16 *code;
        gsize n;
    } rows[] = {{NULL, 0},
                {looks, G_N_ELEMENTS(looks)},
                {finds, G_N_ELEMENTS(finds)},
                {crashes, G_N_ELEMENTS(crashes)}};
    for (gsize row = 0; row < G_N_ELEMENTS(rows); row++) {
        Fixture f;
        g_autoptr(GError) error = NULL;
        set_up(&f, IMP_BOARD_FILL_BLANK);
        for (gsize i = 0; rows[row].code != NULL && i < f.device->n_algorithms; i++)
            f.device->algorithms[i]->blank_check =
                append_code(f.device->algorithms[i], rows[row].code, rows[row].n);
        must_attach(&f);
        if (rows[row].code == crashes || rows[row].code == finds) {
            g_assert_false(blank(&f, 0x4000, 64, &error));
            assert_code(error, rows[row].code == finds ? IMP_E_NOT_BLANK : IMP_E_ALGORITHM_CRASHED);
            g_assert_cmpuint(imp_error_detail(error)->address, ==, 0x4000);
            g_assert_cmpuint(imp_error_detail(error)->found_bytes, ==, 0); /* it reads as erased */
            tear_down(&f);
            continue;
        }
        /* All of both memories, which do not touch each other. */
        g_assert_true(blank(&f, 0, FLASH_BYTES, &error));
        g_assert_true(blank(&f, 0x10001000, 0x100, &error));
        g_assert_false(blank(&f, FLASH_BYTES - 4, 8, &error));
        assert_code(error, IMP_E_NO_ALGORITHM);
        g_clear_error(&error);
        /* One bit in an odd place: found from wherever one looks, and by nobody who looks elsewhere. */
        const guint64 at = 0x12345;
        g_autoptr(GBytes) bytes = g_bytes_new_static("\xfe", 1);
        const ImpFlashSegment segment = {at, bytes};
        const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_NONE,
                                 .program = TRUE,
                                 .verify = IMP_FLASH_VERIFY_READ_BACK,
                                 .segments = &segment,
                                 .n_segments = 1};
        g_assert_true(run(&f, &job, NULL, &error));
        const struct {
            guint64 address, n_bytes;
            gboolean blank;
        } looks_at[] = {{0, FLASH_BYTES, FALSE}, {at, 1, FALSE},     {at - 3, 4, FALSE},
                        {at - 7, 64, FALSE},     {at, 16384, FALSE}, {at + 1, 64, TRUE},
                        {at - 9, 9, TRUE},       {0, at, TRUE},      {at + 1, FLASH_BYTES - at - 1, TRUE}};
        for (gsize i = 0; i < G_N_ELEMENTS(looks_at); i++) {
            g_assert_cmpint(blank(&f, looks_at[i].address, looks_at[i].n_bytes, &error), ==,
                            looks_at[i].blank);
            if (looks_at[i].blank)
                continue;
            assert_code(error, IMP_E_NOT_BLANK);
            g_assert_cmpuint(imp_error_detail(error)->address, ==, at);
            g_assert_cmpuint(imp_error_detail(error)->found[0], ==, 0xFE);
            g_clear_error(&error);
        }
        tear_down(&f);
    }
}

/* Algorithms that fail, hang, crash or eat their stack, in each of their functions. */
static void test_bad_algorithms(void)
{
    static const guint16 fails[] = {0x2007, 0x4770}; /* movs r0, #7; bx lr */
    static const guint16 hangs[] = {0xE7FE}; /* b . */
    static const guint16 crashes[] = {0xDE00}; /* udf #0 */
    static const guint16 jumps[] = {0x2000, 0x4700}; /* movs r0, #0; bx r0: no Thumb bit */
    static const guint16 breaks[] = {0xBE42}; /* bkpt #0x42 */
    /* movs r1, #224; 1: push {r0}; subs r1, #1; bne 1b; and back with pop {r2}; movs r0, #0; bx lr */
    static const guint16 digs[] = {0x21E0, 0xB401, 0x3901, 0xD1FC, 0x21E0,
                                   0xBC04, 0x3901, 0xD1FC, 0x2000, 0x4770};
    static const struct {
        const char *name;
        const guint16 *code;
        gsize n;
        int expected;
    } rows[] = {
        {"fails", fails, 2, IMP_E_ALGORITHM_FAILED},      {"hangs", hangs, 1, IMP_E_ALGORITHM_TIMEOUT},
        {"crashes", crashes, 1, IMP_E_ALGORITHM_CRASHED}, {"jumps", jumps, 2, IMP_E_ALGORITHM_CRASHED},
        {"breaks", breaks, 1, IMP_E_ALGORITHM_CRASHED},   {"digs", digs, 10, IMP_E_ALGORITHM_CRASHED},
    };
    g_autoptr(GBytes) bytes = pattern(3 * PAGE);
    const ImpFlashSegment segment = {0x1000, bytes};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        for (guint function = 0; function < 5; function++) {
            Fixture f;
            set_up(&f, IMP_BOARD_FILL_RANDOM);
            ImpAlgorithm *a = f.device->algorithms[0];
            a->erase_ms_max = 20;
            guint32 offset = append_code(a, rows[i].code, rows[i].n);
            guint32 *entries[] = {&a->init, &a->uninit, &a->erase_chip, &a->erase_sector, &a->program_page};
            *entries[function] = offset;
            must_attach(&f);
            const ImpFlashJob job = {.erase = function == 2 ? IMP_FLASH_ERASE_ALL : IMP_FLASH_ERASE_USED,
                                     .program = TRUE,
                                     .verify = IMP_FLASH_VERIFY_CHECKSUM,
                                     .segments = &segment,
                                     .n_segments = 1};
            g_autoptr(GError) error = NULL;
            gint64 begin = imp_clock_boot_us(&f.probe->clock);
            g_test_message("%s, function %u", rows[i].name, function);
            g_assert_false(run(&f, &job, NULL, &error));
            g_test_message("%s: %s", imp_error_detail(error)->step, error->message);
            assert_code(error, rows[i].expected);
            g_assert_cmpint(imp_clock_boot_us(&f.probe->clock) - begin, <,
                            6 * G_USEC_PER_SEC); /* a mass erase too: its own limit is known */
            guint8 word[4]; /* the link still works */
            g_assert_true(imp_target_read(f.target, RAM, word, 4, NULL));
            tear_down(&f);
        }
}

typedef struct {
    Fixture *f;
    guint64 at; /* bytes programmed */
    gint how;
    gint cancel;
} Disturbance;

enum { REMOVE, POWER_OFF, POWER_DIPS, SWAP, UNPLUG, CANCEL };

static void on_disturb(gpointer user, ImpFlashPhase phase, guint64 done, guint64 total)
{
    Disturbance *d = user;
    if (phase != IMP_FLASH_PHASE_PROGRAM || done < d->at)
        return;
    switch (d->how) {
    case REMOVE:
        imp_board_remove(d->f->board);
        break;
    case POWER_OFF:
        imp_board_set_power(d->f->board, false);
        break;
    case POWER_DIPS:
        imp_board_set_power(d->f->board, false);
        imp_board_set_power(d->f->board, true);
        break;
    case SWAP: /* for its twin */
        imp_board_next(d->f->board, SEED + 1, IMP_BOARD_FILL_KEEP);
        break;
    case UNPLUG:
        d->f->probe->unplugged = TRUE;
        break;
    case CANCEL:
        g_atomic_int_set(&d->cancel, 1);
        break;
    }
}

/* Board lifted, supply gone, probe unplugged, work cancelled, in the middle of programming: a clear error, no hang. */
static void test_disturbed(void)
{
    static const struct {
        gint how, code;
    } rows[] = {{REMOVE, IMP_E_LINK_LOST},  {POWER_OFF, IMP_E_LINK_LOST}, {POWER_DIPS, IMP_E_TARGET_POWER},
                {SWAP, IMP_E_TARGET_POWER}, {UNPLUG, IMP_E_PROBE_LOST},   {CANCEL, IMP_E_CANCELLED}};
    g_autoptr(GBytes) bytes = pattern(40 * PAGE);
    const ImpFlashSegment segment = {0, bytes};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        for (guint64 at = 0; at < 20 * PAGE; at += 9 * PAGE) {
            Fixture f;
            set_up(&f, IMP_BOARD_FILL_RANDOM);
            Disturbance d = {&f, at, rows[i].how, 0};
            GError *error = NULL;
            g_assert_true(attach(&f, &d.cancel, &error));
            const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_ALL,
                                     .program = TRUE,
                                     .verify = IMP_FLASH_VERIFY_CHECKSUM,
                                     .segments = &segment,
                                     .n_segments = 1,
                                     .progress = on_disturb,
                                     .progress_user = &d};
            g_assert_false(run(&f, &job, NULL, &error));
            assert_code(error, rows[i].code);
            g_clear_error(&error);
            tear_down(&f);
        }
}

/* The same board again after each kind of trouble: a later attach works. */
static void test_attach_again(void)
{
    Fixture f;
    set_up(&f, IMP_BOARD_FILL_RANDOM);
    for (guint i = 0; i < 4; i++) {
        must_attach(&f);
        if (i % 2 == 0)
            g_assert_true(imp_target_reset_run(f.target, NULL));
        imp_target_detach(g_steal_pointer(&f.target));
    }
    const ImpTargetOptions options = {.mode = IMP_ATTACH_UNDER_RESET};
    GError *error = NULL;
    f.target = imp_target_attach(&f.probe->probe, &f.probe->clock, &options, &error);
    g_assert_no_error(error);
    g_assert_nonnull(f.target);
    tear_down(&f);
}

/* Flash that is faster than the wire: pages come and go at the wire's pace, but the end of the last one is not waited for that
 * long; and a word costs little more than itself. */
static void test_fast_flash(void)
{
    Fixture f;
    GError *error = NULL;
    set_up_chip(&f, "fastflash", "STM32F103CB", NULL);
    const ImpTargetOptions options = {.swd_hz = 1000000};
    f.target = imp_target_attach(&f.probe->probe, &f.probe->clock, &options, &error);
    g_assert_no_error(error);
    enum { BYTES = 64 * 1024, CLOCKS_WORD = 46 };
    guint8 *bytes = g_malloc(BYTES);
    for (guint i = 0; i < BYTES; i++)
        bytes[i] = (guint8)(i * 7 + i / 256);
    const ImpFlashSegment segment = {0x08000000, g_bytes_new_take(bytes, BYTES)};
    const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_ALL,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_CHECKSUM,
                             .segments = &segment,
                             .n_segments = 1};
    ImpFlashResult result;
    gboolean good = run(&f, &job, &result, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    struct imp_board_counters counters;
    imp_board_get_counters(f.board, &counters);
    guint32 page = f.device->algorithms[0]->page_bytes;
    gint64 page_us = page / 4 * CLOCKS_WORD,
           late_us = result.work_end_us - (gint64)(counters.last_flash_op_end_ns / 1000);
    g_assert_cmpint(late_us, >=, 0);
    g_assert_cmpint(late_us, <, page_us * 2 / 3);
    guint64 swclk = board_probe_swclk(f.probe, result.work_begin_us, result.work_end_us);
    g_assert_cmpuint(swclk, <=, (guint64)BYTES / 4 * (CLOCKS_WORD + 1));
    g_bytes_unref(segment.bytes);
    tear_down(&f);
}

/* Where RAM is short the runner has no large table for checksums; they are the same, from any address on. */
static void test_checksum_tables(void)
{
    static const guint32 rows[] = {6 * 1024, 16 * 1024};
    g_autoptr(GBytes) a = pattern(2 * PAGE + 7), b = pattern(1), c = pattern(301);
    const ImpFlashSegment segments[] = {{0x3, a}, {0x1002, b}, {0x1201, c}};
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Fixture f;
        GError *error = NULL;
        set_up(&f, IMP_BOARD_FILL_RANDOM);
        must_attach(&f);
        f.device->ram_bytes = rows[i];
        const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_USED,
                                 .program = TRUE,
                                 .verify = IMP_FLASH_VERIFY_CHECKSUM,
                                 .segments = segments,
                                 .n_segments = G_N_ELEMENTS(segments)};
        ImpFlashResult result;
        gboolean good = run(&f, &job, &result, &error);
        g_assert_no_error(error);
        g_assert_true(good);
        g_assert_cmpint(result.verified_by, ==, IMP_FLASH_VERIFY_CHECKSUM);
        tear_down(&f);
    }
}

/* Every page of the chip in use: one mass erase does. One page less: page by page. */
static void test_erase_unit(void)
{
    enum { CHIP_BYTES = 128 * 1024, CHIP_PAGE = 1024 };
    for (guint less = 0; less < 2; less++) {
        Fixture f;
        GError *error = NULL;
        set_up_chip(&f, "fastflash", "STM32F103CB", NULL);
        const ImpTargetOptions options = {.swd_hz = 10000000};
        f.target = imp_target_attach(&f.probe->probe, &f.probe->clock, &options, &error);
        g_assert_no_error(error);
        g_autoptr(GBytes) bytes = pattern(CHIP_BYTES - less * CHIP_PAGE);
        const ImpFlashSegment segment = {0x08000000, bytes};
        const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_USED,
                                 .program = TRUE,
                                 .verify = IMP_FLASH_VERIFY_CHECKSUM,
                                 .segments = &segment,
                                 .n_segments = 1};
        ImpFlashResult result;
        gboolean good = run(&f, &job, &result, &error);
        g_assert_no_error(error);
        g_assert_true(good);
        struct imp_board_counters counters;
        imp_board_get_counters(f.board, &counters);
        g_assert_cmpuint(counters.mass_erases, ==, less == 0);
        g_assert_cmpuint(counters.pages_erased, ==, less == 0 ? 0 : CHIP_BYTES / CHIP_PAGE - 1);
        g_assert_cmpuint(result.bytes_erased, ==, CHIP_BYTES - less * CHIP_PAGE);
        tear_down(&f);
    }
}

/* Wire and flash work at the same time, erases included, and what is asked meanwhile costs the wire little. */
static void test_overlap(void)
{
    enum { PAGES = 16, WORDS = PAGES * PAGE / 4, ERASE_US = 22300, WORD_NS = 46300, CLOCKS_WORD = 46 };
    static const guint32 clocks[] = {250000, 10000000};
    for (guint i = 0; i < G_N_ELEMENTS(clocks); i++) {
        Fixture f;
        GError *error = NULL;
        set_up(&f, IMP_BOARD_FILL_RANDOM);
        const ImpTargetOptions options = {.swd_hz = clocks[i]};
        f.target = imp_target_attach(&f.probe->probe, &f.probe->clock, &options, &error);
        g_assert_no_error(error);
        guint8 *bytes = g_malloc(PAGES * PAGE);
        for (guint k = 0; k < PAGES * PAGE; k++)
            bytes[k] = (guint8)(k * 7 + k / 256);
        const ImpFlashSegment segment = {0, g_bytes_new_take(bytes, PAGES * PAGE)};
        const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_USED,
                                 .program = TRUE,
                                 .verify = IMP_FLASH_VERIFY_NONE,
                                 .segments = &segment,
                                 .n_segments = 1};
        ImpFlashResult result;
        gboolean good = run(&f, &job, &result, &error);
        g_assert_no_error(error);
        g_assert_true(good);
        gdouble flash_us = (gdouble)PAGES * ERASE_US + (gdouble)WORDS * WORD_NS / 1000;
        gdouble wire_us = (gdouble)WORDS * CLOCKS_WORD * 1e6 / clocks[i];
        gdouble work_us = (gdouble)(result.work_end_us - result.work_begin_us);
        g_test_message("%u Hz: %.0f us of work; flash %.0f, wire %.0f", clocks[i], work_us, flash_us,
                       wire_us);
        g_assert_cmpfloat(work_us, <, 1.1 * MAX(flash_us, wire_us));
        guint64 swclk = board_probe_swclk(f.probe, result.work_begin_us, result.work_end_us);
        g_assert_cmpuint(swclk, <, (guint64)WORDS * CLOCKS_WORD * 12 / 10);
        g_bytes_unref(segment.bytes);
        tear_down(&f);
    }
}

/* The way to verify that takes less time, as far as it depends on the wire, the probe and the core. */
static void test_fastest_verify(void)
{
    static const struct {
        guint32 hz, core_hz;
        guint round_trip_us;
        guint16 packet_bytes;
        ImpFlashVerify how;
    } rows[] = {
        {1000000, 16000000, 125, 512, IMP_FLASH_VERIFY_CHECKSUM},
        {50000000, 16000000, 125, 512, IMP_FLASH_VERIFY_READ_BACK},
        {50000000, 16000000, 4000, 64, IMP_FLASH_VERIFY_CHECKSUM}, /* the probe is slower than the wire */
        {10000000, 1000000, 125, 512, IMP_FLASH_VERIFY_READ_BACK},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Fixture f;
        GError *error = NULL;
        set_up_packets(&f, IMP_BOARD_FILL_RANDOM, rows[i].packet_bytes, 4);
        f.probe->round_trip_ns = rows[i].round_trip_us * 1000;
        f.device->core_hz = rows[i].core_hz;
        const ImpTargetOptions options = {.swd_hz = rows[i].hz};
        f.target = imp_target_attach(&f.probe->probe, &f.probe->clock, &options, &error);
        g_assert_no_error(error);
        g_autoptr(GBytes) bytes = pattern(32 * PAGE);
        const ImpFlashSegment segment = {0, bytes};
        const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_ALL,
                                 .program = TRUE,
                                 .verify = IMP_FLASH_VERIFY_FASTEST,
                                 .segments = &segment,
                                 .n_segments = 1};
        ImpFlashResult result;
        gboolean good = run(&f, &job, &result, &error);
        g_assert_no_error(error);
        g_assert_true(good);
        g_assert_cmpint(result.verified_by, ==, rows[i].how);
        tear_down(&f);
    }
}

static void test_crc(void)
{
    g_assert_cmphex(imp_crc32((const guint8 *)"123456789", 9), ==,
                    0xCBF43926); /* the check value of CRC-32 */
    g_assert_cmphex(imp_crc32(NULL, 0), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/target/crc", test_crc);
    g_test_add_func("/target/board/identify", test_identify);
    g_test_add_func("/target/board/memory", test_memory);
    g_test_add_func("/target/board/bus-fault", test_bus_fault);
    g_test_add_func("/target/board/registers", test_registers);
    g_test_add_func("/target/board/nobody", test_nobody);
    g_test_add_func("/target/board/wrong-chip", test_wrong_chip);
    g_test_add_func("/target/board/program", test_program);
    g_test_add_func("/target/board/packets", test_packets);
    g_test_add_func("/target/board/three-jobs", test_three_jobs);
    g_test_add_func("/target/board/stuck-bit", test_stuck_bit);
    g_test_add_func("/target/board/not-erased", test_not_erased);
    g_test_add_func("/target/board/bad-jobs", test_bad_jobs);
    g_test_add_func("/target/board/small-ram", test_small_ram);
    g_test_add_func("/target/blank", test_blank);
    g_test_add_func("/target/board/bad-algorithms", test_bad_algorithms);
    g_test_add_func("/target/board/disturbed", test_disturbed);
    g_test_add_func("/target/board/attach-again", test_attach_again);
    g_test_add_func("/target/board/fast-flash", test_fast_flash);
    g_test_add_func("/target/board/checksum-tables", test_checksum_tables);
    g_test_add_func("/target/board/erase-unit", test_erase_unit);
    g_test_add_func("/target/board/overlap", test_overlap);
    g_test_add_func("/target/board/fastest-verify", test_fastest_verify);
    return g_test_run();
}
