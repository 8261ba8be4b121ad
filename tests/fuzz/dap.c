/* A probe whose every answer is foreign: the input is a row of answers, each a length (16 bits, little-endian) and that many
 * bytes; the probe is lost where it ends. The engine attaches, checks, reads the UID, programs and verifies: any error is
 * fine, but no crash, no hang, no success that was not earned. The corpus is a recorded session with a virtual board;
 * past the loading of the resident runner it only fits the runner that it was recorded with. */
#include "base/error.h"
#include "device/device.h"
#include "target/flash.h"

#include <stdint.h>
#include <string.h>

typedef struct {
    ImpProbe probe;
    const guint8 *data;
    gsize n_bytes;
    gint64 now_us;
} FuzzProbe;

static gboolean fuzz_submit(ImpProbe *probe, const guint8 *request, gsize n_bytes, GError **error)
{
    return TRUE;
}

static gboolean fuzz_collect(ImpProbe *probe, guint8 *response, gsize cap, gsize *out_bytes, guint timeout_ms,
                             GError **error)
{
    FuzzProbe *self = (FuzzProbe *)probe;
    gsize n = self->n_bytes >= 2 ? self->data[0] | (gsize)self->data[1] << 8 : 0;
    self->now_us += 100;
    if (self->n_bytes < 2 || n > self->n_bytes - 2 || n > cap) {
        imp_error_set(error, IMP_E_PROBE_LOST, "the input ends");
        return FALSE;
    }
    memcpy(response, self->data + 2, n);
    self->data += 2 + n;
    self->n_bytes -= 2 + n;
    *out_bytes = n;
    return TRUE;
}

static void fuzz_close(ImpProbe *probe)
{
}

static gint64 now(void *self)
{
    return ((FuzzProbe *)self)->now_us;
}

static gboolean synchronised(void *self)
{
    return TRUE;
}

static void sleep_us(void *self, gint64 duration_us)
{
    ((FuzzProbe *)self)->now_us += MAX(duration_us, 0);
}

static void session(FuzzProbe *probe, const ImpDevice *device, const ImpClock *clock)
{
    static const guint8 data[2048] = {1, 2, 3};
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, sizeof data);
    const ImpFlashSegment segment = {0, bytes};
    const ImpTargetOptions options = {.swd_hz = 1000000};
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpTarget) target = imp_target_attach(&probe->probe, clock, &options, &error);
    guint8 uid[IMP_UID_BYTES_MAX];
    gsize uid_bytes;
    if (target == NULL || !imp_target_check(target, device, &error) ||
        !imp_target_read_uid(target, device, uid, &uid_bytes, &error)) {
        g_assert(error != NULL && error->domain == IMP_ERROR);
        return;
    }
    const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_USED,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_CHECKSUM,
                             .segments = &segment,
                             .n_segments = 1};
    ImpFlashResult result;
    ImpFlash *flash = imp_flash_open(target, device, &error);
    if (flash != NULL && imp_flash_run(flash, &job, &result, &error))
        g_assert(result.bytes_verified == sizeof data);
    else
        g_assert(error != NULL && error->domain == IMP_ERROR);
    imp_flash_close(flash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static const ImpProbeOps ops = {fuzz_submit, fuzz_collect, fuzz_close};
    /* four functions that return 0, as in the recorded session: movs r0, #0; bx lr */
    static const guint8 code[256] = {0x00, 0x20, 0x70, 0x47, 0x00, 0x20, 0x70, 0x47,
                                     0x00, 0x20, 0x70, 0x47, 0x00, 0x20, 0x70, 0x47};
    FuzzProbe probe = {.probe = {.ops = &ops, .name = "fuzz", .packet_bytes_max = IMP_PROBE_PACKET_BYTES_MAX},
                       .data = data,
                       .n_bytes = n_bytes};
    const ImpClock clock = {now, now, synchronised, sleep_us, &probe};
    g_autoptr(GBytes) blob = g_bytes_new_static(code, sizeof code);
    ImpSectorRun sectors = {1024, 0};
    ImpAlgorithm algorithm = {.name = (char *)"fuzz",
                              .blob = blob,
                              .uninit = 4,
                              .erase_chip = IMP_ENTRY_NONE,
                              .erase_sector = 8,
                              .program_page = 12,
                              .blank_check = IMP_ENTRY_NONE,
                              .verify = IMP_ENTRY_NONE,
                              .size_bytes = 256 * 1024,
                              .page_bytes = 1024,
                              .erased_byte = 0xFF,
                              .program_ms_max = 100,
                              .erase_ms_max = 100,
                              .sectors = &sectors,
                              .n_sectors = 1};
    ImpAlgorithm *algorithms[] = {&algorithm};
    ImpDeviceCheck check = {0x10000010, G_MAXUINT32, 1024, (char *)"the page size is 1024"};
    const ImpDevice device = {.name = (char *)"fuzz",
                              .core_hz = 16000000,
                              .dpidr = 0x0BB11477,
                              .ram_start = 0x20000000,
                              .ram_bytes = 16384,
                              .uid_address = 0x10000060,
                              .uid_bytes = 8,
                              .checks = &check,
                              .n_checks = 1,
                              .algorithms = algorithms,
                              .n_algorithms = 1,
                              .erase_all_algorithm = -1};
    session(&probe, &device, &clock);
    return 0;
}
