/* What every chip of the virtual board and the flash algorithms of its device keep together, driven by the engine on virtual time:
 * what was asked for is in the chip, nothing else has changed, and a bit that will not program is never passed. */
#include "base/error.h"
#include "board_probe.h"
#include "device/table.h"
#include "fault_probe.h"
#include "target/flash.h"
#include "target/protect.h"

#include <string.h>

#define SEED 20261122u

typedef struct {
    const char *chip, *device;
    /* memory of a second algorithm: what is programmed there, and what lies around it afterwards */
    guint32 second;
    guint8 bytes[8];
    gboolean disturbed; /* through a probe that makes faults */
} Row;

static const Row rows[] = {
    {"nrf51822", "nRF51822", 0x10001080, {1, 2, 3, 4, 5, 6, 7, 8}}, /* UICR CUSTOMER */
    {"nrf52832", "nRF52832", 0x10001080, {1, 2, 3, 4, 5, 6, 7, 8}},
    {"stm32f103cb",
     "STM32F103CB",
     0x1FFFF802,
     {0xFE, 0x01, 0x12, 0xED, 0x34, 0xCB, 0xFF, 0x00}}, /* USER to WRP0 */
    {"fastflash", "STM32F103CB", 0x1FFFF804, {0x12, 0xED, 0x34, 0xCB, 0xFF, 0x00, 0xFF, 0x00}},
    {"stm32g071rb",
     "STM32G071RB",
     0x1FFF7808,
     {0x55, 0x01, 0xFF, 0xFF, 0xAA, 0xFE, 0x00, 0x00}}}; /* PCROP1A start */

typedef struct {
    ImpBoard *board;
    BoardProbe *probe;
    ImpProbe *wire; /* what the engine gets: the board's, or one around it that disturbs */
    ImpDevice *device;
    ImpTarget *target;
    const ImpAlgorithm *algorithm; /* of the main flash */
    guint32 base, size;
    guint8 *before, *after; /* the whole flash */
} Fixture;

static void attach(Fixture *f)
{
    const ImpTargetOptions target = {.swd_hz = 4000000};
    g_autoptr(GError) error = NULL;
    f->target = imp_target_attach(f->wire, &f->probe->clock, &target, &error);
    g_assert_no_error(error);
    gboolean good = imp_target_check(f->target, f->device, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

/* Single answers spoilt, here and there: what the engine must make good by itself. */
static ImpProbe *disturbing(ImpProbe *inner)
{
    static const FaultPlan plans[] = {{FAULT_WAIT, 57, 1}, {FAULT_NO_ACK, 83, 1}, {FAULT_BAD_ACK, 109, 2}};
    FaultProbe *probe = fault_probe_new(inner, FAULT_PARITY, 31, 1);
    for (guint i = 0; i < G_N_ELEMENTS(plans); i++)
        fault_probe_add(probe, plans[i].kind, plans[i].first, plans[i].count);
    return &probe->probe;
}

static void set_up(Fixture *f, const Row *row)
{
    const struct imp_board_options options = {.fill = IMP_BOARD_FILL_RANDOM};
    g_autoptr(GError) error = NULL;
    f->board = imp_board_new(row->chip, SEED, &options, NULL);
    g_assert_nonnull(f->board);
    f->probe = board_probe_new(f->board, 125000);
    f->wire = row->disturbed ? disturbing(&f->probe->probe) : &f->probe->probe;
    f->device = imp_device_lookup(row->device, &error);
    g_assert_no_error(error);
    imp_board_get_flash_range(f->board, &f->base, &f->size);
    f->algorithm = imp_device_algorithm_at(f->device, f->base, f->size);
    g_assert_nonnull(f->algorithm);
    f->before = g_malloc(f->size);
    f->after = g_malloc(f->size);
    g_assert_true(imp_board_peek(f->board, f->base, f->before, f->size));
    attach(f);
}

static void tear_down(Fixture *f)
{
    imp_target_detach(f->target);
    if (f->wire != &f->probe->probe)
        imp_probe_close(f->wire);
    imp_probe_close(&f->probe->probe);
    imp_device_free(f->device);
    imp_board_free(f->board);
    g_free(f->before);
    g_free(f->after);
}

/* Three pieces: the start; an odd piece that begins and ends within pages; the last bytes, half of them blank. */
static void make_segments(const Fixture *f, ImpFlashSegment out[3])
{
    const struct {
        guint32 offset, size;
    } pieces[] = {{0, 5000}, {f->size / 2 + 6, 3000}, {f->size - 2048, 2048}};
    g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);
    for (guint i = 0; i < G_N_ELEMENTS(pieces); i++) {
        guint8 *bytes = g_malloc(pieces[i].size);
        for (guint32 k = 0; k < pieces[i].size; k++)
            bytes[k] = i == 2 && k < 1024 ? 0xFF : (guint8)g_rand_int(rand);
        out[i] = (ImpFlashSegment){f->base + pieces[i].offset, g_bytes_new_take(bytes, pieces[i].size)};
    }
}

static void free_segments(ImpFlashSegment segments[3])
{
    for (guint i = 0; i < 3; i++)
        g_bytes_unref(segments[i].bytes);
}

/* before becomes what the flash must hold. */
static void expect(Fixture *f, const ImpFlashSegment segments[3], ImpFlashErase erase)
{
    if (erase == IMP_FLASH_ERASE_ALL)
        memset(f->before, 0xFF, f->size);
    for (guint i = 0; i < 3; i++) {
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(segments[i].bytes, &n_bytes);
        guint64 at = segments[i].address, sector;
        guint32 sector_bytes;
        for (; erase == IMP_FLASH_ERASE_USED && at < segments[i].address + n_bytes;
             at = sector + sector_bytes) {
            imp_algorithm_sector_at(f->algorithm, at, &sector, &sector_bytes);
            memset(f->before + (sector - f->base), 0xFF, sector_bytes);
        }
        memcpy(f->before + (segments[i].address - f->base), bytes, n_bytes);
    }
}

static gboolean run(Fixture *f, const ImpFlashJob *job, GError **error)
{
    ImpFlash *flash = imp_flash_open(f->target, f->device, error);
    gboolean good = flash != NULL && imp_flash_run(flash, job, NULL, error);
    imp_flash_close(flash);
    return good;
}

static void programs(gconstpointer data)
{
    static const ImpFlashErase erases[] = {IMP_FLASH_ERASE_ALL, IMP_FLASH_ERASE_USED};
    static const ImpFlashVerify verifies[] = {IMP_FLASH_VERIFY_CHECKSUM, IMP_FLASH_VERIFY_READ_BACK};
    for (guint i = 0; i < G_N_ELEMENTS(erases); i++) {
        Fixture f;
        ImpFlashSegment segments[3];
        g_autoptr(GError) error = NULL;
        set_up(&f, data);
        make_segments(&f, segments);
        const ImpFlashJob job = {.erase = erases[i],
                                 .program = TRUE,
                                 .verify = verifies[i],
                                 .segments = segments,
                                 .n_segments = G_N_ELEMENTS(segments)};
        gboolean good = run(&f, &job, &error);
        g_assert_no_error(error);
        g_assert_true(good);
        expect(&f, segments, erases[i]);
        g_assert_true(imp_board_peek(f.board, f.base, f.after, f.size));
        g_assert_cmpmem(f.before, f.size, f.after, f.size);
        struct imp_board_counters counters;
        imp_board_get_counters(f.board, &counters);
        g_assert_cmpuint(counters.mass_erases, ==, erases[i] == IMP_FLASH_ERASE_ALL ? 1 : 0);
        g_assert_cmpuint(counters.waits, ==, 0); /* the engine keeps off while the flash is busy */
        free_segments(segments);
        tear_down(&f);
    }
}

static void power_cycle(Fixture *f)
{
    imp_target_detach(f->target);
    f->target = NULL;
    imp_board_set_power(f->board, false);
    imp_board_set_power(f->board, true);
}

static void must_run(Fixture *f, const ImpFlashJob *job)
{
    g_autoptr(GError) error = NULL;
    gboolean good = run(f, job, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

static void check_memory(Fixture *f)
{
    g_assert_true(imp_board_peek(f->board, f->base, f->after, f->size));
    g_assert_cmpmem(f->before, f->size, f->after, f->size);
}

/* Main flash and a second memory (UICR, option bytes) in one launch; then the second alone, which changes nothing else. */
static void several_algorithms(gconstpointer data)
{
    static const ImpFlashErase erases[] = {IMP_FLASH_ERASE_ALL, IMP_FLASH_ERASE_USED};
    static const ImpFlashVerify verifies[] = {IMP_FLASH_VERIFY_CHECKSUM, IMP_FLASH_VERIFY_READ_BACK};
    const Row *row = data;
    for (guint i = 0; i < G_N_ELEMENTS(erases); i++) {
        Fixture f;
        ImpFlashSegment segments[4];
        guint8 found[sizeof row->bytes];
        set_up(&f, data);
        g_assert_true(imp_device_algorithm_at(f.device, row->second, sizeof row->bytes) ==
                      f.device->algorithms[1]);
        make_segments(&f, segments);
        segments[3] = (ImpFlashSegment){row->second, g_bytes_new_static(row->bytes, sizeof row->bytes)};
        ImpFlashJob job = {.erase = erases[i],
                           .program = TRUE,
                           .verify = verifies[i],
                           .segments = segments,
                           .n_segments = G_N_ELEMENTS(segments)};
        must_run(&f, &job);
        expect(&f, segments, erases[i]);
        for (guint again = 0; again < 2; again++) {
            check_memory(&f);
            g_assert_true(imp_board_peek(f.board, row->second, found, sizeof found));
            g_assert_cmpmem(found, sizeof found, row->bytes, sizeof row->bytes);
            power_cycle(&f); /* and the chip is still open */
            attach(&f);
            job.erase = IMP_FLASH_ERASE_NONE;
            job.segments = &segments[3];
            job.n_segments = 1;
            must_run(&f, &job);
        }
        g_bytes_unref(segments[3].bytes);
        free_segments(segments);
        tear_down(&f);
    }
}

/* TRUE if reading flash is refused: when attaching, or afterwards. */
static gboolean is_refused(Fixture *f)
{
    const ImpTargetOptions target = {.swd_hz = 4000000};
    const guint32 at = f->size / 2;
    g_autoptr(GError) error = NULL;
    g_assert_null(f->target);
    f->target = imp_target_attach(f->wire, &f->probe->clock, &target, &error);
    gboolean refused =
        f->target == NULL || imp_target_prove_refusal(f->target, f->base + at, f->before + at, 64, &error);
    if (f->target == NULL)
        g_assert_true(imp_error_code(error) == IMP_E_LOCKED || imp_error_code(error) == IMP_E_NO_TARGET);
    else if (!refused)
        g_assert_error(error, IMP_ERROR, IMP_E_NOT_PROTECTED);
    imp_target_detach(f->target);
    f->target = NULL;
    return refused;
}

/* The lock's bytes are programmed without an erase; load: they are brought into force at once, else by a power cycle. */
static void lock(Fixture *f, const ImpDeviceLock *lock, gboolean load)
{
    g_autoptr(GError) error = NULL;
    ImpFlashSegment segment = {lock->address, g_bytes_new_static(lock->bytes, lock->n_bytes)};
    const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_NONE,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_READ_BACK,
                             .segments = &segment,
                             .n_segments = 1};
    must_run(f, &job);
    g_bytes_unref(segment.bytes);
    if (!load) {
        power_cycle(f);
        return;
    }
    gboolean good = imp_target_load_options(f->target, f->device, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    imp_target_detach(f->target);
    f->target = NULL;
}

/* Each level of the device's table is in force afterwards, and from outside memory is as it was. What can be opened again opens, by
 * losing all; what cannot stays shut. */
static void locks(gconstpointer data)
{
    for (guint round = 0; round < 2; round++) {
        Fixture f;
        set_up(&f, data);
        g_assert_cmpuint(f.device->n_locks, >, 0);
        for (gsize i = 0; i < f.device->n_locks; i++) {
            const ImpTargetOptions options = {.swd_hz = 4000000};
            g_autoptr(GError) error = NULL;
            lock(&f, &f.device->locks[i], round != 0);
            g_assert_true(is_refused(&f));
            check_memory(&f);
            imp_board_reset_counters(f.board);
            gboolean opened = imp_target_unlock(&f.probe->probe, &f.probe->clock, &options, f.device, &error);
            if (f.device->locks[i].level == 1) {
                struct imp_board_counters counters;
                g_assert_no_error(error);
                imp_board_get_counters(f.board, &counters);
                g_assert_cmpuint(counters.mass_erases, ==, 1);
                memset(f.before, 0xFF, f.size);
            } else {
                g_assert_error(error, IMP_ERROR, IMP_E_NO_TARGET);
            }
            g_assert_true(opened == (f.device->locks[i].level == 1));
            check_memory(&f);
            power_cycle(&f);
            if (!opened)
                g_assert_true(is_refused(&f));
            /* an open one, and full, for what follows */
            imp_board_next(f.board, SEED, IMP_BOARD_FILL_RANDOM);
            g_assert_true(imp_board_peek(f.board, f.base, f.before, f.size));
            g_assert_false(is_refused(&f));
            attach(&f);
        }
        tear_down(&f);
    }
}

/* A locked chip that was opened can be programmed at once. */
static void opened_chip_programs(gconstpointer data)
{
    const ImpTargetOptions options = {.swd_hz = 4000000};
    Fixture f;
    ImpFlashSegment segments[3];
    g_autoptr(GError) error = NULL;
    set_up(&f, data);
    lock(&f, imp_device_lock_of(f.device, 1), TRUE);
    gboolean opened = imp_target_unlock(&f.probe->probe, &f.probe->clock, &options, f.device, &error);
    g_assert_no_error(error);
    g_assert_true(opened);
    attach(&f);
    make_segments(&f, segments);
    const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_NONE,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_CHECKSUM,
                             .segments = segments,
                             .n_segments = G_N_ELEMENTS(segments)};
    must_run(&f, &job);
    expect(&f, segments, IMP_FLASH_ERASE_ALL);
    check_memory(&f);
    free_segments(segments);
    tear_down(&f);
}

/* Option bytes with a wrong complement are refused before anything of them is erased. */
static void refuses_a_wrong_complement(gconstpointer data)
{
    const Row *row = data;
    Fixture f;
    guint8 before[8], after[8], bytes[8];
    g_autoptr(GError) error = NULL;
    set_up(&f, data);
    memcpy(bytes, row->bytes, sizeof bytes);
    bytes[5] ^= 0x10;
    ImpFlashSegment segment = {row->second, g_bytes_new_static(bytes, sizeof bytes)};
    const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_USED,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_READ_BACK,
                             .segments = &segment,
                             .n_segments = 1};
    g_assert_true(imp_board_peek(f.board, row->second, before, sizeof before));
    g_assert_false(run(&f, &job, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ALGORITHM_FAILED);
    g_assert_true(imp_board_peek(f.board, row->second, after, sizeof after));
    g_assert_cmpmem(before, sizeof before, after, sizeof after);
    g_bytes_unref(segment.bytes);
    tear_down(&f);
}

/* Without an erase: a chip that is not blank is found out, whatever its controller does about it. */
static void never_passes_over_old_content(gconstpointer data)
{
    Fixture f;
    ImpFlashSegment segments[3];
    g_autoptr(GError) error = NULL;
    set_up(&f, data);
    make_segments(&f, segments);
    const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_NONE,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_CHECKSUM,
                             .segments = segments,
                             .n_segments = G_N_ELEMENTS(segments)};
    g_assert_false(run(&f, &job, &error));
    g_assert_true(imp_error_code(error) == IMP_E_FLASH_MISMATCH ||
                  imp_error_code(error) == IMP_E_ALGORITHM_FAILED);
    free_segments(segments);
    tear_down(&f);
}

static void finds_a_stuck_bit(gconstpointer data)
{
    static const ImpFlashVerify verifies[] = {IMP_FLASH_VERIFY_CHECKSUM, IMP_FLASH_VERIFY_READ_BACK};
    for (guint i = 0; i < G_N_ELEMENTS(verifies); i++) {
        Fixture f;
        ImpFlashSegment segments[3];
        g_autoptr(GError) error = NULL;
        set_up(&f, data);
        make_segments(&f, segments);
        const guint8 *bytes = g_bytes_get_data(segments[1].bytes, NULL);
        guint32 k = 1001, bit = 0;
        while (bytes[k] == 0xFF)
            k++;
        while (bytes[k] >> bit & 1)
            bit++;
        g_assert_true(
            imp_board_set_fault(f.board, IMP_BOARD_FAULT_STUCK_BIT, (guint32)segments[1].address + k, bit));
        const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_USED,
                                 .program = TRUE,
                                 .verify = verifies[i],
                                 .segments = segments,
                                 .n_segments = G_N_ELEMENTS(segments)};
        g_assert_false(run(&f, &job, &error));
        g_assert_error(error, IMP_ERROR, IMP_E_FLASH_MISMATCH);
        free_segments(segments);
        tear_down(&f);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *what;
        GTestDataFunc run;
    } battery[] = {{"programs", programs},
                   {"several-algorithms", several_algorithms},
                   {"locks", locks},
                   {"opened-chip-programs", opened_chip_programs},
                   {"old-content", never_passes_over_old_content},
                   {"stuck-bit", finds_a_stuck_bit}};
    Row all[2 * G_N_ELEMENTS(rows)];
    g_test_init(&argc, &argv, NULL);
    for (guint r = 0; r < G_N_ELEMENTS(all); r++)
        for (guint i = 0; i < G_N_ELEMENTS(battery); i++) {
            all[r] = rows[r / 2];
            all[r].disturbed = r % 2;
            g_autofree char *path = g_strdup_printf("/contract/flash/%s%s/%s", all[r].chip,
                                                    all[r].disturbed ? "-disturbed" : "", battery[i].what);
            g_test_add_data_func(path, &all[r], battery[i].run);
        }
    for (guint r = 0; r < G_N_ELEMENTS(rows); r++) {
        g_autofree char *path = g_strdup_printf("/contract/flash/%s/wrong-complement", rows[r].chip);
        if (g_str_has_prefix(rows[r].device, "STM32")) /* UICR has no complements */
            g_test_add_data_func(path, &rows[r], refuses_a_wrong_complement);
    }
    return g_test_run();
}
