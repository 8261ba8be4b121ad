/* A port: one place to put a target, seen from the event loop. A launch submits commands, one at a time; the port carries
 * them out (imp_port_thread_new: on a thread of its own, with a probe; in the simulation: a model) and posts events.
 *
 * Thread rule: everything here is called on the event loop's thread; events are delivered there by imp_port_dispatch,
 * which the loop calls when imp_port_fd is readable. */
#pragma once

#include "image/content.h"
#include "wire/wire.h"

#define IMP_PORT_TEXT_MAX 4096 /* bytes of an event's text, closing NUL included */

typedef struct ImpPort ImpPort;

/* The work with one target. All but DELAY and POWER need ATTACH before them. */
typedef enum {
    /* switch the power on and measure it, open the probe, connect, halt, check that it is the right chip, read its UID;
     * writes nothing unless may_unlock */
    IMP_COMMAND_ATTACH = 2,
    IMP_COMMAND_FLASH, /* erase, program and verify as far as the flags say */
    IMP_COMMAND_READ, /* read the content's IMP_VALUE_READ values, all or those of the step */
    IMP_COMMAND_RESET, /* reset the target and let it run */
    IMP_COMMAND_FINISH, /* let go of target and probe, switch the power off; always the last, never fails */
    IMP_COMMAND_BLANK_CHECK, /* this and the next carry out the step */
    IMP_COMMAND_WRITE,
    IMP_COMMAND_EXPECT,
    IMP_COMMAND_PROTECT,
    IMP_COMMAND_RUN,
    IMP_COMMAND_DELAY, /* ends early when cancelled */
    IMP_COMMAND_POWER,
    IMP_COMMAND_TEST,
} ImpCommandKind;

/* What lies in flash when the unit is done: the content's segments with this unit's values laid over them. */
typedef struct {
    guint64 address;
    GBytes *bytes;
} ImpUnitSegment;

typedef struct {
    ImpUnitSegment *segments; /* sorted by address, not overlapping; two may touch or share a flash page */
    gsize n_segments;
} ImpUnitMap;

void imp_unit_map_free(ImpUnitMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpUnitMap, imp_unit_map_free)

/* Lays the values over the content's data: what a PROGRAM or VERIFY step is for; step NULL = everything. bytes[i] is the
 * value of content->values[i] (NULL where there is none yet). A place whose value is missing or too long is an error, and
 * so is one that lies over data without being allowed to. */
ImpUnitMap *imp_unit_map_new(const ImpContent *content, GBytes *const *bytes, const ImpStep *step,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Everything that is known of the unit: places of values that are not there yet are left out, and cut out of the data that
 * they lie over. */
ImpUnitMap *imp_unit_map_known(const ImpContent *content, GBytes *const *bytes,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same memory, but with the pad where values go: for work that looks at addresses only. */
ImpUnitMap *imp_unit_map_areas(const ImpContent *content);

typedef struct {
    ImpCommandKind kind;
    const ImpContent *content; /* borrowed until the command's end */
    const ImpStep *step; /* of the kinds that carry one out; borrowed likewise; READ: may be NULL */
    GBytes *const *values; /* TEST: one for each of the content's, NULL = not known yet; borrowed likewise */
    const ImpUnitMap *map; /* FLASH, BLANK_CHECK: the bytes that it is for; borrowed likewise */
    /* FLASH: which of the three; the modes and the range count only with their flag */
    gboolean erase, program, verify;
    ImpEraseMode erase_mode;
    ImpRange erase_range;
    ImpVerifyMode verify_mode;
    gboolean places; /* READ: also what lies in the first place of each value that values[] does not have */
    gboolean
        looks_only; /* ATTACH: the steps will not be carried out, so what they need beside the target need not be there */
    gboolean may_unlock; /* ATTACH: a locked chip is erased to get in; WRITING is durable */
} ImpCommand;

typedef enum {
    IMP_PHASE_ATTACH = 2,
    IMP_PHASE_ERASE,
    IMP_PHASE_PROGRAM,
    IMP_PHASE_VERIFY,
    IMP_PHASE_READ,
    IMP_PHASE_RESET,
    IMP_PHASE_BLANK_CHECK,
    IMP_PHASE_WRITE,
    IMP_PHASE_EXPECT,
    IMP_PHASE_PROTECT,
    IMP_PHASE_RUN,
    IMP_PHASE_DELAY,
    IMP_PHASE_POWER,
    IMP_PHASE_TEST,
} ImpPhase;

#define IMP_PHASE_LAST IMP_PHASE_TEST

/* "attach", "erase", "blank-check", …: the step's name in records and on screens; the verbs of recipes */
const char *imp_phase_name(ImpPhase phase);

/* The phase in which a command begins. */
ImpPhase imp_phase_of(ImpCommandKind kind);

typedef struct {
    gboolean done; /* FALSE: progress only */
    ImpCommandKind kind;
    ImpPhase phase; /* progress */
    guint64 done_bytes, total_bytes; /* progress within the phase */
    GError *error; /* done: NULL if it worked; its detail names the step */
    guint8 uid[IMP_WIRE_NUMBER_BYTES_MAX]; /* ATTACH */
    guint8 n_uid;
    ImpReading reads[IMP_WIRE_READS_MAX]; /* READ; TEST: the blocks that it delivered */
    guint32 n_reads;
    char *text; /* TEST, RUN: what was said, at most IMP_PORT_TEXT_MAX; NULL = nothing */
    guint32 link_waits, link_faults, link_errors, link_retries; /* since ATTACH */
    guint32 link_hz, link_slowed_by; /* as the report has them */
} ImpPortEvent;

void imp_port_event_free(ImpPortEvent *event);

/* Called with each event, in order; the event is borrowed. */
typedef void (*ImpPortFn)(gpointer user, const ImpPortEvent *event);

typedef struct {
    /* Starts a command; the one before must have ended. Never fails: what goes wrong comes as an event. */
    void (*submit)(ImpPort *self, const ImpCommand *command);
    /* Makes the command at work end soon with E1010 cancelled, unless it is past that. */
    void (*cancel)(ImpPort *self);
    int (*fd)(ImpPort *self);
    void (*dispatch)(ImpPort *self);
    /* Ends after the command at work; waits for it. */
    void (*free)(ImpPort *self);
} ImpPortOps;

/* First member of every implementation's own struct. */
struct ImpPort {
    const ImpPortOps *ops;
    ImpPortFn handler; /* set by imp_port_set_handler */
    gpointer user;
};

typedef struct ImpProbe ImpProbe; /* target/probe.h */

typedef struct {
    /* How the chip is reached: a probe (target/probe.h: "tcp:HOST:PORT", "usb:SERIAL", "hid:SERIAL") or a GDB server
     * (target/target.h: "gdb:HOST:PORT"). */
    const char *probe_spec;
    const char *power_spec; /* what switches the supply; NULL = nothing does */
    const char *serial_spec; /* the target's serial line; NULL = not connected */
    const ImpClock *clock; /* used on the port's thread */
    /* NULL, or what opens the probe in place of its specification: for a probe that is in this process. Called on the port's
     * thread, at each ATTACH. */
    ImpProbe *(*open_probe)(gpointer user, GError **error);
    gpointer open_user;
} ImpPortThreadOptions;

/* A port with a thread of its own. It opens the probe at each ATTACH and lets it go at FINISH. The texts are copied. */
ImpPort *imp_port_thread_new(const ImpPortThreadOptions *options);

void imp_port_set_handler(ImpPort *port, ImpPortFn handler, gpointer user);
void imp_port_submit(ImpPort *port, const ImpCommand *command);
void imp_port_cancel(ImpPort *port);
int imp_port_fd(ImpPort *port);
void imp_port_dispatch(ImpPort *port);
void imp_port_free(ImpPort *port); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpPort, imp_port_free)
