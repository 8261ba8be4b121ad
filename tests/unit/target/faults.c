/* Every packet of a whole job answered wrongly, in every way, once and for ever: the engine ends with a code that fits, or
 * with success and the right memory; it never hangs, and the next job on the same board works. */
#include "base/error.h"
#include "board_probe.h"
#include "device/table.h"
#include "fault_probe.h"
#include "target/flash.h"

#include <string.h>

#define SEED          11
#define BASE          0x3400u
#define DATA_BYTES    3000
#define EVER          G_MAXUINT64
#define ERASE_EVERY   4 /* runs begin with an erase: it takes the most time */
#define EVER_STEP     9 /* between two packets from which on faults go on */
#define BROKEN_STEP   3 /* between packets whose fault ends the probe's use anyway */
#define HEALTHY_EVERY 5 /* runs, then one without a fault */
#define TIME_MAX_S    60 /* of virtual time, for a job that takes a tenth of a second */

typedef struct {
    ImpBoard *board;
    BoardProbe *inner;
    ImpDevice *device;
    GBytes *bytes;
    guint64 done_at; /* the packets that the last good job took; detaching comes after them */
} Fixture;

static void set_up(Fixture *f)
{
    const char *why = NULL;
    GError *error = NULL;
    f->board = imp_board_new("nrf51822", SEED, NULL, &why);
    g_assert_nonnull(f->board);
    f->inner = board_probe_new(f->board, 125000);
    f->device = imp_device_lookup("nRF51822", &error);
    g_assert_no_error(error);
    guint8 *bytes = g_malloc(DATA_BYTES);
    for (guint i = 0; i < DATA_BYTES; i++)
        bytes[i] = (guint8)(i * 13 + i / 256 * 7);
    f->bytes = g_bytes_new_take(bytes, DATA_BYTES);
}

static void tear_down(Fixture *f)
{
    g_bytes_unref(f->bytes);
    imp_device_free(f->device);
    imp_probe_close(&f->inner->probe);
    imp_board_free(f->board);
}

/* Everything that a launch does with a chip. */
static gboolean whole_job(Fixture *f, ImpProbe *probe, gboolean erase, GError **error)
{
    const ImpTargetOptions options = {.swd_hz = 4000000};
    g_autoptr(ImpTarget) target = imp_target_attach(probe, &f->inner->clock, &options, error);
    guint8 uid[IMP_UID_BYTES_MAX];
    gsize uid_bytes;
    if (target == NULL || !imp_target_check(target, f->device, error) ||
        !imp_target_read_uid(target, f->device, uid, &uid_bytes, error))
        return FALSE;
    const ImpFlashSegment segment = {BASE, f->bytes};
    const ImpFlashJob job = {.erase = erase ? IMP_FLASH_ERASE_USED : IMP_FLASH_ERASE_NONE,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_FASTEST,
                             .segments = &segment,
                             .n_segments = 1};
    ImpFlash *flash = imp_flash_open(target, f->device, error);
    gboolean good = flash != NULL && imp_flash_run(flash, &job, NULL, error);
    imp_flash_close(flash);
    if (!good || !imp_target_reset_run(target, error))
        return FALSE;
    f->done_at = f->inner->submitted;
    return TRUE;
}

static void assert_memory(Fixture *f)
{
    guint8 seen[DATA_BYTES];
    g_assert_true(imp_board_peek(f->board, BASE, seen, DATA_BYTES));
    g_assert_cmpmem(seen, DATA_BYTES, g_bytes_get_data(f->bytes, NULL), DATA_BYTES);
}

/* Codes that a fault of this kind may end in. */
static gboolean fits(FaultKind kind, int code)
{
    switch (kind) {
    case FAULT_LATE:
        return code == IMP_E_PROBE_TIMEOUT;
    case FAULT_LOST_REQUEST:
    case FAULT_LOST_ANSWER:
        return code == IMP_E_PROBE_LOST;
    case FAULT_COUNT:
    case FAULT_SHORT:
    case FAULT_LONG:
    case FAULT_EMPTY:
    case FAULT_GARBLED:
        return code == IMP_E_PROBE_PROTOCOL;
    case FAULT_DOUBLED: /* answers of the same shape are taken for each other: whatever they then seem to say */
        return code >= IMP_E_PROBE_PROTOCOL && code <= IMP_E_UNIT_CHANGED;
    case FAULT_WAIT:
        return code == IMP_E_LINK_WAIT;
    case FAULT_FAULT:
        return code == IMP_E_LINK_FAULT;
    case FAULT_PARITY:
    case FAULT_BAD_ACK:
        return code == IMP_E_LINK_PARITY;
    case FAULT_NO_ACK:
        return code == IMP_E_LINK_LOST || code == IMP_E_NO_TARGET;
    case FAULT_KINDS:
        break;
    }
    return FALSE;
}

static guint64 run_with(Fixture *f, FaultKind kind, guint64 first, guint64 count)
{
    gboolean erase = first % ERASE_EVERY == 0;
    imp_board_next(f->board, SEED + first, erase ? IMP_BOARD_FILL_RANDOM : IMP_BOARD_FILL_BLANK);
    FaultProbe *probe = fault_probe_new(&f->inner->probe, kind, first, count);
    g_autoptr(GError) error = NULL;
    gint64 begin = imp_clock_boot_us(&f->inner->clock);
    guint64 packets = f->inner->submitted;
    gboolean good = whole_job(f, &probe->probe, erase, &error);
    guint64 made = probe->made;
    g_assert_cmpint(imp_clock_boot_us(&f->inner->clock) - begin, <, TIME_MAX_S * G_USEC_PER_SEC);
    if (good)
        assert_memory(f);
    else if (count == 1 && kind <= FAULT_BAD_ACK) /* one disturbed packet is repeated */
        g_error("fault %d at packet %" G_GUINT64_FORMAT ": E%d %s", kind, first, imp_error_code(error),
                error->message);
    else if (!fits(kind, imp_error_code(error)) || made == 0)
        g_error("fault %d at packet %" G_GUINT64_FORMAT ", made %" G_GUINT64_FORMAT ": E%d %s", kind, first,
                made, imp_error_code(error), error->message);
    if (good && count == EVER && made > 0) /* only letting go may fail and nobody mind */
        g_assert_cmpuint(first, >=, f->done_at - packets);
    imp_probe_close(&probe->probe);
    f->inner->collected =
        f->inner->submitted; /* what nobody fetched is thrown away, as opening a probe does */
    return made;
}

static void test_sweep(gconstpointer data)
{
    FaultKind kind = (FaultKind)GPOINTER_TO_INT(data);
    static const guint64 counts[] = {1, EVER};
    Fixture f;
    set_up(&f);
    for (guint c = 0; c < G_N_ELEMENTS(counts); c++) {
        guint64 first = 0, made, runs = 0;
        do {
            made = run_with(&f, kind, first, counts[c]);
            first += counts[c] == EVER ? EVER_STEP : kind >= FAULT_COUNT ? BROKEN_STEP : 1;
            runs += made > 0;
            if (runs % HEALTHY_EVERY != 0)
                continue;
            g_autoptr(GError) error = NULL;
            g_assert_true(whole_job(&f, &f.inner->probe, TRUE, &error) || error != NULL);
            g_assert_no_error(error);
            assert_memory(&f);
        } while (made > 0 ||
                 first < 20); /* acknowledges come only after the probe has been asked and set up */
        g_assert_cmpuint(runs, >, 8);
    }
    tear_down(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gint kind = FAULT_WAIT; kind < FAULT_KINDS; kind++) {
        g_autofree char *path = g_strdup_printf("/target/faults/%s", fault_probe_kind_name((FaultKind)kind));
        g_test_add_data_func(path, GINT_TO_POINTER(kind), test_sweep);
    }
    return g_test_run();
}
