/* What a chip is, as far as programming it goes: how it is told from others, its memories, and the flash algorithms that
 * program them. Plain data: made by the builder from the device table, a vendor's pack and FLM files; carried in images;
 * read by the engine. No I/O, no parser here (those are device/table.c and device/flm.c).
 *
 * Ownership: every pointer inside belongs to the struct; imp_device_free frees all. Immutable once made: may be read from
 * any thread. */
#pragma once

#include <glib.h>

#define IMP_ALGORITHM_SECTORS_MAX    512 /* CMSIS-Pack, flash algorithms: FlashDevice.sectors */
#define IMP_ALGORITHM_PAGE_MAX       65536 /* the same, PAGE_MAX */
#define IMP_ALGORITHM_CODE_MAX       (256 * 1024)
#define IMP_ALGORITHM_TIMEOUT_MS_MAX (10 * 60 * 1000) /* program_ms_max, erase_ms_max */
#define IMP_DEVICE_ALGORITHMS_MAX    16
#define IMP_DEVICE_CHECKS_MAX        8
#define IMP_DEVICE_LOCKS_MAX         4
#define IMP_DEVICE_LOCK_BYTES_MAX    16
#define IMP_DEVICE_LEVEL_FOR_EVER    2 /* this level and above cannot be opened again */
#define IMP_DEVICE_WRITES_MAX        8
#define IMP_DEVICE_WAIT_MS_MAX       60000
#define IMP_DEVICE_AP_MAX            255 /* ADIv5: SELECT.APSEL */
#define IMP_ENTRY_NONE               G_MAXUINT32 /* an optional function that the algorithm does not have */

/* How to connect. */
typedef enum {
    IMP_ATTACH_NORMAL = 2, /* halt the running core, then reset it */
    IMP_ATTACH_UNDER_RESET, /* hold nRESET while connecting: for firmware that switches SWD off */
    IMP_ATTACH_POWER_CYCLE, /* switch the supply off and on, and connect before the firmware gets far */
} ImpAttachMode;

/* Equal sectors from start up to the next entry or the end of the algorithm's range. */
typedef struct {
    guint32 size_bytes;
    guint64 start; /* absolute address */
} ImpSectorRun;

/* One flash algorithm, ready to be loaded at any 16-byte aligned RAM address (CMSIS-Pack FLM after parsing).
 * The blob is PrgCode and PrgData as they were linked to each other, zeroes for the ZI part. */
typedef struct {
    char *name; /* "nrf51-code" */
    GBytes *blob;
    guint32 static_base; /* offset of PrgData in the blob: R9 at run time */
    /* Offsets of the functions in the blob, without the Thumb bit; IMP_ENTRY_NONE where missing. */
    guint32 init, uninit, erase_chip, erase_sector, program_page, blank_check, verify;
    guint64 start; /* the memory it programs */
    guint64 size_bytes;
    guint32 page_bytes;
    guint8 erased_byte; /* what an erased cell reads as */
    guint32 program_ms_max; /* time limit for one page */
    guint32 erase_ms_max; /* time limit for one sector */
    ImpSectorRun *sectors;
    gsize n_sectors;
    gboolean spared; /* erasing everything leaves its memory alone: option bytes, external flash */
} ImpAlgorithm;

/* A word that the chip must show before anything is written: (word & mask) == value. */
typedef struct {
    guint64 address;
    guint32 mask;
    guint32 value;
    char *what; /* "CPUID is a Cortex-M0", said when it does not match */
} ImpDeviceCheck;

/* How a chip whose memory is protected is opened again. Each way erases everything in it, and is over after a reset. */
typedef enum {
    IMP_UNLOCK_BY_NONE = 0,
    IMP_UNLOCK_BY_WRITES =
        2, /* unlock_writes: the debugger may still reach the flash controller, but no RAM (nRF51) */
    IMP_UNLOCK_BY_ALGORITHM, /* EraseChip of unlock_algorithm, which runs in RAM that can be reached (STM32) */
    IMP_UNLOCK_BY_CTRL_AP, /* ERASEALL of Nordic's CTRL-AP at ctrl_ap_index: nothing else answers (nRF52) */
} ImpUnlockBy;

/* A word that the debugger writes; then, with wait_ms > 0, it reads wait_address until (word & wait_mask) == wait_value, for at
 * most wait_ms. */
typedef struct {
    guint64 address;
    guint32 value;
    guint32 wait_ms;
    guint64 wait_address;
    guint32 wait_mask, wait_value;
} ImpDeviceWrite;

/* One level of read protection: the bytes are programmed, not erased before, by the algorithm whose memory holds them. 1 can be
 * opened again, 2 never. */
typedef struct {
    guint level;
    guint64 address;
    guint8 bytes[IMP_DEVICE_LOCK_BYTES_MAX];
    guint n_bytes;
} ImpDeviceLock;

typedef struct {
    char *name; /* "nRF51822_xxAA" */
    char *core; /* "cortex-m0" */
    guint32 core_hz; /* the core's clock after reset, for time limits and Init's clk */
    guint32 dpidr; /* expected DPIDR, 0 = any */
    guint access_port; /* the MEM-AP behind which the core is: ADIv5, SELECT.APSEL; up to IMP_DEVICE_AP_MAX */
    guint64 ram_start; /* RAM that algorithms may use */
    guint32 ram_bytes;
    guint64 uid_address; /* the chip's unique ID */
    guint32 uid_bytes; /* 0 = the chip has none */
    ImpDeviceCheck *checks;
    gsize n_checks;
    ImpAlgorithm **algorithms; /* non-overlapping ranges, sorted by start */
    gsize n_algorithms;
    int erase_all_algorithm; /* index of the algorithm whose EraseChip is the mass erase: every range but those that are spared; -1 = none: each on its own */
    guint32
        erase_all_ms_max; /* how long that EraseChip may take; 0 = not known: the sum of its sectors' limits */
    /* Read protection, as far as it is known. A lock is in force after launch_writes or a power cycle. */
    ImpDeviceCheck
        *open; /* the word that says that memory is not protected, read where it can be; NULL = not known */
    ImpDeviceLock *locks; /* by rising level */
    gsize n_locks;
    ImpUnlockBy unlock;
    int unlock_algorithm; /* index of the option bytes' algorithm; -1 = none */
    guint ctrl_ap_index;
    ImpDeviceWrite *unlock_writes;
    gsize n_unlock_writes;
    /* What brings option bytes into force. The last of them resets the chip, so nobody answers it. None: any reset does. */
    ImpDeviceWrite *launch_writes;
    gsize n_launch_writes;
} ImpDevice;

void imp_algorithm_free(ImpAlgorithm *algorithm);
void imp_device_free(ImpDevice *device);

/* The lock of that level; NULL if the device has none. Borrowed. */
const ImpDeviceLock *imp_device_lock_of(const ImpDevice *device, guint level);

/* FALSE if there is nothing that erasing everything could erase. */
gboolean imp_device_can_erase_all(const ImpDevice *device);

/* The algorithm whose range holds all of address..address+size_bytes-1; NULL if none does. Borrowed. */
const ImpAlgorithm *imp_device_algorithm_at(const ImpDevice *device, guint64 address, guint64 size_bytes);

/* The sector that holds address, which lies in the algorithm's range. */
void imp_algorithm_sector_at(const ImpAlgorithm *algorithm, guint64 address, guint64 *out_start,
                             guint32 *out_bytes);

/* TRUE if first to last is made of whole sectors of one or more algorithms. */
gboolean imp_device_sectors_whole(const ImpDevice *device, guint64 first, guint64 last);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpAlgorithm, imp_algorithm_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpDevice, imp_device_free)
