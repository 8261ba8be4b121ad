/* A developer's tool: programs a binary file through a probe, to try the engine by hand.
 *
 *   flashcli PROBE DEVICE FILE.bin ADDRESS [SWD_HZ] [all|used|none]
 *
 * The product's command is imprint. */
#include "base/error.h"
#include "device/table.h"
#include "target/flash.h"

#include <stdio.h>
#include <stdlib.h>

static void show(gpointer user, ImpFlashPhase phase, guint64 done, guint64 total)
{
    static const char *const names[] = {[IMP_FLASH_PHASE_ERASE] = "erase",
                                        [IMP_FLASH_PHASE_PROGRAM] = "program",
                                        [IMP_FLASH_PHASE_VERIFY] = "verify"};
    printf("\r%-8s %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT "   ", names[phase], done, total);
    fflush(stdout);
}

static gboolean run(char **argv, guint32 hz, ImpFlashErase erase, GError **error)
{
    g_autoptr(ImpDevice) device = imp_device_lookup(argv[2], error);
    if (device == NULL)
        return FALSE;
    char *text;
    gsize n_bytes;
    if (!g_file_get_contents(argv[3], &text, &n_bytes, error))
        return FALSE;
    g_autoptr(GBytes) bytes = g_bytes_new_take(text, n_bytes);
    const ImpClock *clock = imp_clock_system();
    const ImpTargetOptions options = {.swd_hz = hz};
    gboolean gdb = g_str_has_prefix(argv[1], "gdb:");
    g_autoptr(ImpProbe) probe = gdb ? NULL : imp_probe_open(argv[1], clock, error);
    if (probe == NULL && !gdb)
        return FALSE;
    g_autoptr(ImpTarget) target = gdb ? imp_target_attach_gdb(argv[1] + 4, clock, &options, error)
                                      : imp_target_attach(probe, clock, &options, error);
    if (target == NULL || !imp_target_check(target, device, error))
        return FALSE;
    guint8 uid[IMP_UID_BYTES_MAX];
    gsize uid_bytes;
    if (!imp_target_read_uid(target, device, uid, &uid_bytes, error))
        return FALSE;
    printf("%s: DPIDR 0x%08X, UID ", gdb ? argv[1] : probe->name, imp_target_id(target)->dpidr);
    for (gsize i = 0; i < uid_bytes; i++)
        printf("%02x", uid[i]);
    printf("\n");
    const ImpFlashSegment segment = {g_ascii_strtoull(argv[4], NULL, 0), bytes};
    const ImpFlashJob job = {.erase = erase,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_FASTEST,
                             .segments = &segment,
                             .n_segments = 1,
                             .progress = show};
    ImpFlashResult result;
    ImpFlash *flash = imp_flash_open(target, device, error);
    gboolean good = flash != NULL && imp_flash_run(flash, &job, &result, error);
    imp_flash_close(flash);
    printf("\n");
    if (!good || !imp_target_reset_run(target, error))
        return FALSE;
    const ImpLinkHealth *health = imp_target_link_health(target);
    printf("work %.1f ms, verify %.1f ms, %" G_GUINT64_FORMAT " packets, %" G_GUINT64_FORMAT " transfers\n",
           (gdouble)(result.work_end_us - result.work_begin_us) / 1e3,
           (gdouble)(result.verify_end_us - result.work_end_us) / 1e3, health->packets, health->transfers);
    return TRUE;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: flashcli PROBE DEVICE FILE.bin ADDRESS [SWD_HZ] [all|used|none]\n");
        return 2;
    }
    g_autoptr(GError) error = NULL;
    guint32 hz = argc > 5 ? (guint32)strtoul(argv[5], NULL, 0) : 0;
    ImpFlashErase erase = argc > 6 && *argv[6] == 'a'   ? IMP_FLASH_ERASE_ALL
                          : argc > 6 && *argv[6] == 'n' ? IMP_FLASH_ERASE_NONE
                                                        : IMP_FLASH_ERASE_USED;
    if (run(argv, hz, erase, &error))
        return 0;
    const ImpErrorDetail *detail = imp_error_detail(error);
    fprintf(stderr, "E%d %s: %s\n", imp_error_code(error), detail != NULL ? detail->step : "",
            error->message);
    return 1;
}
