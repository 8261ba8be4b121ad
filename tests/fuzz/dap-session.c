/* A whole job over answers that a probe has changed: the engine attaches, checks, reads the UID, erases, programs and verifies on a
 * board in this process, and the input says what becomes of the answers on the way. It is a row of changes, each five bytes:
 *
 *     packet (u16, little-endian: so many answers after the one changed last), what (u8, modulo CHANGES), where (u8), by (u8)
 *
 * Whatever is changed: no crash, no hang in virtual time, every failure has a code, and success means that the chip's memory is
 * right. So the fuzzer reaches past any point where a recorded session would not fit any more. */
#include "base/error.h"
#include "board_probe.h"
#include "device/table.h"
#include "target/flash.h"

#include <stdint.h>
#include <string.h>

#define CHANGE_BYTES   5
#define DATA_BYTES     700
#define DATA_AT        0x08000400u
#define VIRTUAL_MAX_US (300 * G_USEC_PER_SEC)
#define IDLE_RUN_NS    (5 * 1000 * 1000)

enum { FLIP, SET, CUT, GROW, REPLACE, LOSE, CHANGES };

typedef struct {
    ImpProbe probe;
    BoardProbe *inner;
    const guint8 *changes;
    gsize n_bytes;
    guint wait; /* answers until the next change */
} FuzzProbe;

static gboolean fuzz_submit(ImpProbe *probe, const guint8 *request, gsize n_bytes, GError **error)
{
    BoardProbe *inner = ((FuzzProbe *)probe)->inner;
    if (n_bytes > imp_board_get_packet_size(inner->board) ||
        inner->submitted - inner->collected >= imp_board_get_packet_count(inner->board)) {
        imp_error_set(error, IMP_E_PROBE_LOST, "%s: more than it said that it takes", probe->name);
        return FALSE;
    }
    return imp_probe_submit(&inner->probe, request, n_bytes, error);
}

static void begin_change(FuzzProbe *self)
{
    self->wait = self->n_bytes >= CHANGE_BYTES ? self->changes[0] | (guint)self->changes[1] << 8 : G_MAXUINT;
}

/* FALSE: the answer does not come. */
static gboolean change(FuzzProbe *self, guint8 *response, gsize cap, gsize *n_bytes)
{
    guint8 what = self->changes[2] % CHANGES, where = self->changes[3], by = self->changes[4];
    self->changes += CHANGE_BYTES;
    self->n_bytes -= CHANGE_BYTES;
    begin_change(self);
    gsize at = *n_bytes > 0 ? where % *n_bytes : 0;
    switch (what) {
    case FLIP:
        response[at] ^= by;
        break;
    case SET:
        response[at] = by;
        break;
    case CUT:
        *n_bytes = at;
        break;
    case GROW:
        while (*n_bytes < cap && by-- > 0)
            response[(*n_bytes)++] = where;
        break;
    case REPLACE:
        memset(response + at, by, *n_bytes - at);
        break;
    case LOSE:
        return FALSE;
    }
    return TRUE;
}

static gboolean fuzz_collect(ImpProbe *probe, guint8 *response, gsize cap, gsize *out_bytes, guint timeout_ms,
                             GError **error)
{
    FuzzProbe *self = (FuzzProbe *)probe;
    gsize n_bytes = 0;
    if (!imp_probe_collect(&self->inner->probe, response, cap, &n_bytes, timeout_ms, error))
        return FALSE;
    if (self->wait != G_MAXUINT && self->wait-- == 0 && !change(self, response, cap, &n_bytes)) {
        imp_error_set(error, IMP_E_PROBE_TIMEOUT, "%s: no answer", probe->name);
        return FALSE;
    }
    *out_bytes = n_bytes;
    return TRUE;
}

static void fuzz_close(ImpProbe *probe)
{
}

static gboolean job(FuzzProbe *probe, const ImpDevice *device, GBytes *bytes, GError **error)
{
    const ImpFlashSegment segment = {DATA_AT, bytes};
    const ImpTargetOptions options = {.swd_hz = 10000000};
    guint8 uid[IMP_UID_BYTES_MAX];
    gsize n_uid;
    g_autoptr(ImpTarget) target = imp_target_attach(&probe->probe, &probe->inner->clock, &options, error);
    if (target == NULL || !imp_target_check(target, device, error) ||
        !imp_target_read_uid(target, device, uid, &n_uid, error))
        return FALSE;
    const ImpFlashJob work = {.erase = IMP_FLASH_ERASE_USED,
                              .program = TRUE,
                              .verify = IMP_FLASH_VERIFY_CHECKSUM,
                              .segments = &segment,
                              .n_segments = 1};
    ImpFlash *flash = imp_flash_open(target, device, error);
    gboolean good = flash != NULL && imp_flash_run(flash, &work, NULL, error);
    imp_flash_close(flash);
    return good && imp_target_reset_run(target, error);
}

/* Made once: a board costs more than a job on it. */
typedef struct {
    ImpBoard *board;
    ImpDevice *device;
    GBytes *bytes;
} Bench;

static const Bench *bench_of(void)
{
    static Bench bench;
    if (bench.board != NULL)
        return &bench;
    guint8 *bytes = g_malloc(DATA_BYTES);
    for (guint i = 0; i < DATA_BYTES; i++)
        bytes[i] = (guint8)(i * 31 + i / 256);
    bench.bytes = g_bytes_new_take(bytes, DATA_BYTES);
    bench.board = imp_board_new("fastflash", 1, NULL, NULL);
    bench.device = imp_device_lookup("STM32F103CB", NULL);
    g_assert_true(bench.board != NULL && bench.device != NULL);
    return &bench;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static const ImpProbeOps ops = {fuzz_submit, fuzz_collect, fuzz_close};
    const Bench *bench = bench_of();
    g_autoptr(GError) error = NULL;
    imp_board_next(bench->board, 1, IMP_BOARD_FILL_RANDOM);
    FuzzProbe probe = {.inner = board_probe_new(bench->board, 125000), .changes = data, .n_bytes = n_bytes};
    probe.inner->idle_run_ns = IDLE_RUN_NS;
    probe.probe = probe.inner->probe;
    probe.probe.ops = &ops;
    begin_change(&probe);
    gint64 begin_us = imp_clock_boot_us(&probe.inner->clock);
    if (job(&probe, bench->device, bench->bytes, &error)) {
        guint8 seen[DATA_BYTES];
        g_assert_true(imp_board_peek(bench->board, DATA_AT, seen, sizeof seen));
        g_assert_cmpmem(seen, sizeof seen, g_bytes_get_data(bench->bytes, NULL), DATA_BYTES);
    } else {
        g_assert_cmpuint(n_bytes, >=, CHANGE_BYTES); /* unchanged answers: all the way to the end */
        g_assert_true(error != NULL && error->domain == IMP_ERROR);
        g_assert_nonnull(imp_error_entry(error->code));
    }
    g_assert_cmpint(imp_clock_boot_us(&probe.inner->clock) - begin_us, <, VIRTUAL_MAX_US);
    imp_probe_close(&probe.inner->probe);
    return 0;
}
