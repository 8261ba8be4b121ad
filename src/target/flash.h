/* Erases, programs and verifies flash with any flash algorithm (ImpAlgorithm), so that wire and flash work at the same
 * time: a small runner of ours loops in the target's RAM and calls the algorithm's functions, while the host fills a
 * ring of page buffers. The core is never halted between pages.
 *
 * Life cycle: imp_flash_open on an attached and checked target, any number of imp_flash_run, imp_flash_close. From the
 * first run until close the core and the device's algorithm RAM belong to the flash object: reading memory is allowed,
 * halting, resetting or writing RAM is not. After a failed run only close is allowed.
 * Thread rule: the target's. */
#pragma once

#include "target/target.h"

#define IMP_FLASH_SEGMENTS_MAX 4096
#define IMP_FLASH_BYTES_MAX    (128 * 1024 * 1024) /* sum of all segments */

typedef struct ImpFlash ImpFlash;

typedef enum {
    IMP_FLASH_ERASE_NONE = 2,
    IMP_FLASH_ERASE_ALL, /* mass erase: EraseChip of device->erase_all_algorithm; where there is none, every algorithm's
                            memory but those that are spared, by EraseChip or sector by sector */
    IMP_FLASH_ERASE_USED, /* the sectors that the segments touch; one mass erase if that is all there are */
    IMP_FLASH_ERASE_SECTORS, /* the listed sectors */
} ImpFlashErase;

typedef enum {
    IMP_FLASH_VERIFY_NONE = 2,
    IMP_FLASH_VERIFY_FASTEST, /* whichever of the next two is faster here */
    IMP_FLASH_VERIFY_CHECKSUM, /* CRC-32 computed by the core; read back only to find a difference, and over a
                                  GDB server, which has none */
    IMP_FLASH_VERIFY_READ_BACK,
} ImpFlashVerify;

typedef enum {
    IMP_FLASH_PHASE_ERASE = 2,
    IMP_FLASH_PHASE_PROGRAM,
    IMP_FLASH_PHASE_VERIFY,
} ImpFlashPhase;

/* done and total in bytes of the phase (a mass erase: 0 or 1 of 1). Called on the calling thread; must not call the
 * engine. */
typedef void (*ImpFlashProgress)(gpointer user, ImpFlashPhase phase, guint64 done, guint64 total);

/* Bytes at an address; at most IMP_FLASH_BYTES_MAX in sum. */
typedef struct {
    guint64 address;
    GBytes *bytes;
} ImpFlashSegment;

typedef struct {
    ImpFlashErase erase;
    const guint64 *sectors; /* ERASE_SECTORS: any address inside of each; each sector is erased once */
    gsize n_sectors;
    gboolean program; /* write the segments */
    ImpFlashVerify verify; /* of every byte of the segments */
    const ImpFlashSegment *segments; /* sorted by address, without overlap */
    gsize n_segments;
    ImpFlashProgress progress; /* may be NULL */
    gpointer progress_user;
} ImpFlashJob;

typedef struct {
    guint64 sectors_erased; /* 0 for ERASE_ALL */
    guint64 bytes_erased; /* of sectors */
    guint64 bytes_programmed; /* of pages sent to the chip */
    guint64 bytes_skipped; /* of pages that are blank after an erase */
    guint64 bytes_verified;
    ImpFlashVerify verified_by; /* CHECKSUM or READ_BACK; VERIFY_NONE if nothing was verified */
    gint64 work_begin_us; /* boot_us of the target's clock: just before the first erase or program command */
    gint64 work_end_us; /* the last one is known to be finished; verify begins */
    gint64 verify_end_us;
} ImpFlashResult;

/* device is borrowed until close. Sends nothing yet. Errors: IMP_E_RAM_TOO_SMALL. */
ImpFlash *imp_flash_open(ImpTarget *target, const ImpDevice *device,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Stops the runner if it can be stopped and frees. The core stays halted. NULL is allowed. */
void imp_flash_close(ImpFlash *flash);

/* Erases, programs and verifies, as the job says, as one pipelined piece of work. out_result may be NULL.
 * Errors carry the step ("erase", "program", "verify") and the address:
 * IMP_E_NO_ALGORITHM, IMP_E_RAM_TOO_SMALL, IMP_E_TARGET_RAM, IMP_E_ALGORITHM_FAILED, IMP_E_ALGORITHM_TIMEOUT,
 * IMP_E_ALGORITHM_CRASHED, IMP_E_FLASH_MISMATCH (address, expected, found), IMP_E_BUS_FAULT, IMP_E_LINK_*,
 * IMP_E_PROBE_*, IMP_E_CANCELLED, IMP_E_ARGUMENT. */
gboolean imp_flash_run(ImpFlash *flash, const ImpFlashJob *job, ImpFlashResult *out_result,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpFlash, imp_flash_close)
