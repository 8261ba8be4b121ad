/* Runs flash algorithms in the target's RAM. Two kinds: the resident runner (runner_resident.c with algorithms/resident),
 * a program of ours beside the algorithms that takes commands from a ring of slots while the core runs; and the halted
 * one (runner_halted.c), which starts the core for each call, for targets whose memory cannot be reached while it runs.
 * Internal to target/.
 *
 * Commands are carried out in order while the host goes on; each takes the next slot and waits for a free one if need
 * be. What became of a command is told by a later call: any failure ends the runner.
 *
 * Life cycle: imp_runner_start, commands, imp_runner_stop. After a failure only imp_runner_stop.
 * Thread rule: the target's. */
#pragma once

#include "target/target-internal.h"

#define IMP_RUNNER_SLOTS_MAX 32
#define IMP_RUNNER_SLOTS_MIN 2
#define IMP_RUNNER_STACK     1024 /* bytes; flash algorithms expect 512 (probe-rs) or less */
/* Loaders of external flash are built on vendors' libraries, which take more; chips that have such a thing have RAM. */
#define IMP_RUNNER_STACK_LARGE 4096
#define IMP_RUNNER_RAM_LARGE   (64 * 1024)
#define IMP_RUNNER_GRACE_MS    3000 /* on top of an algorithm's own time limits: a host may stall */
#define IMP_RUNNER_CHUNK_MAX   (16 * 1024) /* bytes of one checksum command */

/* The stack that algorithms get on this device. */
static inline guint32 imp_runner_stack_bytes(const ImpDevice *device)
{
    return device->ram_bytes >= IMP_RUNNER_RAM_LARGE ? IMP_RUNNER_STACK_LARGE : IMP_RUNNER_STACK;
}

#define IMP_RUNNER_CHIP_MS_MAX (300 * 1000) /* of EraseChip, where the device does not say */

typedef struct ImpRunner ImpRunner;
typedef struct ImpRunnerCheck ImpRunnerCheck;

typedef struct {
    void (*stop)(ImpRunner *self);
    gboolean (*erase_chip)(ImpRunner *self, gsize algorithm, GError **error);
    gboolean (*erase)(ImpRunner *self, gsize algorithm, guint32 address, guint32 size_bytes,
                      guint32 sector_bytes, GError **error);
    gboolean (*program)(ImpRunner *self, gsize algorithm, guint32 address, const guint8 *page,
                        GError **error);
    gboolean (*finish)(ImpRunner *self, GError **error);
    gboolean (*check)(ImpRunner *self, ImpRunnerCheck *checks, gsize n_checks, GError **error);
} ImpRunnerOps;

/* A kind of runner puts this first into its own struct. */
struct ImpRunner {
    const ImpRunnerOps *ops;
};

/* What was finished since the last call; in bytes, a mass erase is 1. Called while waiting. */
typedef struct {
    void (*erased)(gpointer user, guint64 bytes);
    void (*programmed)(gpointer user, guint64 bytes);
    void (*checked)(gpointer user, guint64 bytes);
    gpointer user;
} ImpRunnerEvents;

/* How long EraseChip of the device's algorithm may take before it is given up, without IMP_RUNNER_GRACE_MS: as the device
 * says of its mass erase; else the sum of its sectors' limits, for there are algorithms that erase one after the other. */
guint32 imp_runner_chip_ms(const ImpDevice *device, const ImpAlgorithm *algorithm);

/* TRUE if the algorithms with the runner and two pages fit into the device's RAM. */
gboolean imp_runner_fits(const ImpDevice *device, const ImpAlgorithm *const *algorithms, gsize n_algorithms);

/* Loads everything, checks that the RAM holds it, starts the core. The algorithms are borrowed until stop; commands
 * name them by their index. The core is halted. Errors: IMP_E_RAM_TOO_SMALL, IMP_E_TARGET_RAM, IMP_E_LINK_*. */
ImpRunner *imp_runner_start(ImpTarget *target, const ImpDevice *device, const ImpAlgorithm *const *algorithms,
                            gsize n_algorithms, const ImpRunnerEvents *events,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Halts the core, whatever it does, and frees. NULL is allowed. */
void imp_runner_stop(ImpRunner *runner);

gboolean imp_runner_erase_chip(ImpRunner *runner, gsize algorithm, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_runner_erase(ImpRunner *runner, gsize algorithm, guint32 address, guint32 size_bytes,
                          guint32 sector_bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* page has the algorithm's page_bytes; it is copied. */
gboolean imp_runner_program(ImpRunner *runner, gsize algorithm, guint32 address, const guint8 *page,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Sends what is queued, lets the algorithm clean up (UnInit), waits until all is done, and looks at the stack. */
gboolean imp_runner_finish(ImpRunner *runner, GError **error) G_GNUC_WARN_UNUSED_RESULT;

struct ImpRunnerCheck {
    guint32 address;
    guint32 size_bytes; /* at most IMP_RUNNER_CHUNK_MAX */
    guint32 crc; /* filled in */
};

/* Computes CRC-32s, as many at a time as there are slots, and waits for them. Nothing else is queued. The halted
 * runner does not: IMP_E_PROBE_UNSUPPORTED. */
gboolean imp_runner_check(ImpRunner *runner, ImpRunnerCheck *checks, gsize n_checks,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* For choosing how to verify: cycles of the core for each byte of a checksum; what a look at one costs, in bytes read. */
#define IMP_RUNNER_CRC_CYCLES  8
#define IMP_RUNNER_CHECK_BYTES 64

/* Calls the algorithm's BlankCheck, which it must have, on a halted runner (imp_runner_halted_start). *out_blank: what it says.
 * size_bytes: at most IMP_RUNNER_CHUNK_MAX, with address a multiple of 4. */
gboolean imp_runner_halted_blank(ImpRunner *runner, gsize algorithm, guint32 address, guint32 size_bytes,
                                 gboolean *out_blank, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The two kinds, for imp_runner_start. */
ImpRunner *imp_runner_resident_start(ImpTarget *target, const ImpDevice *device,
                                     const ImpAlgorithm *const *algorithms, gsize n_algorithms,
                                     const ImpRunnerEvents *events, GError **error) G_GNUC_WARN_UNUSED_RESULT;
ImpRunner *imp_runner_halted_start(ImpTarget *target, const ImpDevice *device,
                                   const ImpAlgorithm *const *algorithms, gsize n_algorithms,
                                   const ImpRunnerEvents *events, GError **error) G_GNUC_WARN_UNUSED_RESULT;
