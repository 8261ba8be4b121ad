/* One chip behind a probe: attach, identify, read and write its memory, halt and start its core.
 *
 * Life cycle: imp_target_attach leaves the core reset and halted before its first instruction; then any calls;
 * imp_target_reset_run starts the firmware; imp_target_detach ends the session (and is always safe, also after errors).
 * The probe is the caller's and must live longer.
 * Thread rule: one thread at a time uses a target. No call waits without a limit.
 *
 * Sources: ARM IHI 0031 (ADIv5.2), ARM DDI 0419 (ARMv6-M) chapter C1, ARM DDI 0403 (ARMv7-M) chapter C1. */
#pragma once

#include "device/device.h"
#include "target/probe.h"

#define IMP_SWD_HZ_DEFAULT 1000000
/* A disturbed line is tried again at half the clock, so many times at most and not below this. */
#define IMP_SWD_STEPS_MAX 4
#define IMP_SWD_HZ_MIN    100000
#define IMP_SWD_DISTURBED                                                                                    \
    2 /* parity errors while connecting that were repeated with success, and still ask for it */
#define IMP_TARGET_CATCH_MS                                                                                  \
    2000 /* IMP_ATTACH_POWER_CYCLE: how long a chip may need to answer after power-on */
#define IMP_UID_BYTES_MAX      32
#define IMP_TARGET_ACCESS_MAX  (64 * 1024 * 1024) /* bytes in one read or write */
#define IMP_TARGET_RETRIES_MAX 3 /* repeats of a read or write after a disturbed transfer */

typedef struct ImpTarget ImpTarget;

/* How good the connection is; counted from attach on. */
typedef struct {
    guint64 packets; /* CMSIS-DAP packets */
    guint64 transfers; /* SWD transfers that were asked for */
    guint64 waits; /* packets that ended in WAIT after all of the probe's own repeats */
    guint64 faults; /* packets that ended in FAULT */
    guint64 protocol_errors; /* parity errors */
    guint64 no_acks; /* nobody answered */
    guint64 retries; /* accesses repeated because of one of the above */
    guint32 swd_hz; /* the clock as it is now; 0: not known (GDB) */
    guint32 steps_down; /* how often it was halved */
    int slowed_by; /* error code of what halved it last, 0: nothing did */
} ImpLinkHealth;

/* Switches the chip's supply on. Called on the target's thread. */
typedef gboolean (*ImpPowerOnFn)(gpointer user, GError **error);

typedef struct {
    guint32 swd_hz; /* SWCLK; 0 = IMP_SWD_HZ_DEFAULT */
    ImpAttachMode mode; /* 0 = IMP_ATTACH_NORMAL */
    guint access_port; /* behind which the core is (ImpDevice.access_port); a GDB server knows it by itself */
    /* IMP_ATTACH_POWER_CYCLE: called while the supply is off and the probe is ready for the first edge. */
    ImpPowerOnFn power_on;
    gpointer power_user;
    ImpLinkHealth *failed; /* filled in where the connection fails; may be NULL */
    const gint *
        cancel; /* read with g_atomic_int_get: other than 0 ends long work with IMP_E_CANCELLED; may be NULL */
} ImpTargetOptions;

typedef struct {
    guint32 dpidr;
    guint32 ap_idr;
    guint32 cpuid;
} ImpTargetId;

/* Connects by SWD, identifies debug port, access port and core, resets the core and halts it before its first
 * instruction. A line that is disturbed, or silent, is tried again at half the clock; the health says so.
 * Errors: IMP_E_NO_TARGET, IMP_E_PROBE_*, IMP_E_LINK_*, IMP_E_CORE_NOT_HALTED, IMP_E_UNKNOWN_CORE, IMP_E_CANCELLED,
 * IMP_E_LOCKED (the chip's protection has switched its access port off; other protections: imp_target_check_open). */
ImpTarget *imp_target_attach(ImpProbe *probe, const ImpClock *clock, const ImpTargetOptions *options,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same, but only looks: nothing is reset, halted or written but the debug port and the access port themselves; what the
 * core was doing it goes on doing, also after detach. Only for reading (imp_target_id, _check, _read, _read_uid).
 * options->mode does not count. Errors: as above, but for IMP_E_CORE_NOT_HALTED. */
ImpTarget *imp_target_look(ImpProbe *probe, const ImpClock *clock, const ImpTargetOptions *options,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TRUE if spec names a way to a target: that of a probe (imp_probe_check_spec), or "gdb:HOST:PORT". Opens nothing.
 * Errors: IMP_E_ARGUMENT. */
gboolean imp_target_check_spec(const char *spec, GError **error) G_GNUC_WARN_UNUSED_RESULT;

#define IMP_TARGET_GDB_PREFIX "gdb:"
#define IMP_TARGET_GDB_PORT   3333 /* OpenOCD's default */

/* The same through a GDB server: address is HOST:PORT or HOST, as behind "gdb:". The server has its own connection and
 * speed; flash algorithms run with the core halted between calls, and DPIDR is not known (0).
 * Errors: IMP_E_ARGUMENT, IMP_E_PROBE_*, IMP_E_CORE_NOT_HALTED, IMP_E_UNKNOWN_CORE, IMP_E_BUS_FAULT, IMP_E_CANCELLED. */
ImpTarget *imp_target_attach_gdb(const char *address, const ImpClock *clock, const ImpTargetOptions *options,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same, but only looks, as far as a GDB server can: the core is halted while it is asked, and runs on after detach. Nothing is
 * reset or written. */
ImpTarget *imp_target_look_gdb(const char *address, const ImpClock *clock, const ImpTargetOptions *options,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Lets the core run without debugger, switches the debug port off, frees the target. NULL is allowed. Errors on the
 * way are ignored: nothing can be done about them any more. */
void imp_target_detach(ImpTarget *target);

/* Borrowed; constant after attach. */
const ImpTargetId *imp_target_id(const ImpTarget *target);

/* Compares DPIDR and the device's check words with the chip. Writes nothing.
 * Errors: IMP_E_WRONG_CHIP with address, expected and found; IMP_E_LINK_*. */
gboolean imp_target_check(ImpTarget *target, const ImpDevice *device,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Is the memory of this chip, which imp_target_check has found to be the device, open? What the device does not say cannot be
 * told, and counts as open. Errors: IMP_E_LOCKED; IMP_E_LINK_*. */
gboolean imp_target_check_open(ImpTarget *target, const ImpDevice *device,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* After a link error that would not go away: halves SWCLK, connects anew, resets the core and halts it. FALSE with a copy of
 * why where that does not help: another kind of error, the lowest clock, a GDB server; else with what went wrong. */
gboolean imp_target_slow_down(ImpTarget *target, const GError *why, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Reads device->uid_bytes (at most IMP_UID_BYTES_MAX) from device->uid_address; 0 bytes for a chip without an ID. */
gboolean imp_target_read_uid(ImpTarget *target, const ImpDevice *device, guint8 out_uid[IMP_UID_BYTES_MAX],
                             gsize *out_bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Any address and length up to IMP_TARGET_ACCESS_MAX; words where aligned, bytes at the ends.
 * Errors: IMP_E_BUS_FAULT (the chip refuses the address), IMP_E_LINK_*, IMP_E_PROBE_*, IMP_E_CANCELLED. */
gboolean imp_target_read(ImpTarget *target, guint64 address, void *out, gsize n_bytes,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_target_write(ImpTarget *target, guint64 address, const void *bytes, gsize n_bytes,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean imp_target_halt(ImpTarget *target, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_target_resume(ImpTarget *target, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Resets the core and halts it before its first instruction. */
gboolean imp_target_reset_halt(ImpTarget *target, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Resets the chip and lets its firmware run, without debugger. The target can only be detached afterwards. */
gboolean imp_target_reset_run(ImpTarget *target, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Core registers by their number in DCRSR: 0-15 = R0-R15, 16 = xPSR, 20 = CONTROL and PRIMASK. The core is halted. */
#define IMP_REGISTER_SP   13
#define IMP_REGISTER_LR   14
#define IMP_REGISTER_PC   15
#define IMP_REGISTER_XPSR 16
gboolean imp_target_read_register(ImpTarget *target, guint number, guint32 *out_value,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_target_write_register(ImpTarget *target, guint number, guint32 value,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Borrowed; the counters move on with each call. */
const ImpLinkHealth *imp_target_link_health(const ImpTarget *target);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpTarget, imp_target_detach)
