/* A port: one place to put a target, seen from the event loop. A launch submits commands, one at a time; the port carries
 * them out (imp_port_thread_new: on a thread of its own, with a probe; in the simulation: a model) and posts events.
 *
 * Thread rule: everything here is called on the event loop's thread; events are delivered there by imp_port_dispatch,
 * which the loop calls when imp_port_fd is readable. */
#pragma once

#include "image/content.h"
#include "wire/wire.h"

typedef struct ImpPort ImpPort;

/* The work with one target, in the order in which a launch may ask for it. */
typedef enum {
    IMP_COMMAND_ATTACH =
        2, /* open the probe, connect, halt, check that it is the right chip, read its UID; writes nothing */
    IMP_COMMAND_FLASH, /* erase, program and verify as far as the flags say; needs ATTACH */
    IMP_COMMAND_READ, /* read the content's IMP_VALUE_READ values; needs ATTACH */
    IMP_COMMAND_RESET, /* reset the target and let it run; needs ATTACH */
    IMP_COMMAND_FINISH, /* let go of target and probe; always the last, never fails */
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

/* Lays each place's value over the content's data. bytes[i] is the value of content->values[i] (NULL where there is none
 * yet). A place whose value is missing or too long is an error, and so is one that lies over data. */
ImpUnitMap *imp_unit_map_new(const ImpContent *content, GBytes *const *bytes,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    ImpCommandKind kind;
    const ImpContent *content; /* borrowed until the command's end */
    const ImpUnitMap *map; /* IMP_COMMAND_FLASH; borrowed likewise */
    /* IMP_COMMAND_FLASH: which of the three; erase_mode and verify_mode count only with their flag */
    gboolean erase, program, verify;
    ImpEraseMode erase_mode;
    ImpVerifyMode verify_mode;
} ImpCommand;

typedef enum {
    IMP_PHASE_ATTACH = 2,
    IMP_PHASE_ERASE,
    IMP_PHASE_PROGRAM,
    IMP_PHASE_VERIFY,
    IMP_PHASE_READ,
    IMP_PHASE_RESET,
} ImpPhase;

/* "attach", "erase", "program", "verify", "read", "reset": the step's name in records and on screens */
const char *imp_phase_name(ImpPhase phase);

typedef struct {
    gboolean done; /* FALSE: progress only */
    ImpCommandKind kind;
    ImpPhase phase; /* progress */
    guint64 done_bytes, total_bytes; /* progress within the phase */
    GError *error; /* done: NULL if it worked; its detail names the step */
    guint8 uid[IMP_WIRE_NUMBER_BYTES_MAX]; /* ATTACH */
    guint8 n_uid;
    ImpReading reads[IMP_WIRE_READS_MAX]; /* READ */
    guint32 n_reads;
    guint32 link_waits, link_faults, link_errors, link_retries; /* since ATTACH */
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

/* A port with a thread of its own that reaches its chip by the probe of this specification (target/probe.h:
 * "tcp:HOST:PORT", "usb:SERIAL", "hid:SERIAL") or through this GDB server (target/target.h: "gdb:HOST:PORT"). It opens it
 * at each ATTACH and lets it go at FINISH. clock is used on the port's thread. */
ImpPort *imp_port_thread_new(const char *probe_spec, const ImpClock *clock);

void imp_port_set_handler(ImpPort *port, ImpPortFn handler, gpointer user);
void imp_port_submit(ImpPort *port, const ImpCommand *command);
void imp_port_cancel(ImpPort *port);
int imp_port_fd(ImpPort *port);
void imp_port_dispatch(ImpPort *port);
void imp_port_free(ImpPort *port); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpPort, imp_port_free)
