/* Inside of launch/ only: a port with a thread of its own, and the functions that carry out its commands there. One file a
 * kind of command: work_*.c; port_thread.c calls them by a table.
 *
 * Thread rule: the functions below run on the port's thread only. */
#pragma once

#include "base/queue.h"
#include "launch/port.h"
#include "target/flash.h"
#include "target/serial.h"
#include "target/power.h"

#include <pthread.h>

typedef struct {
    ImpPort port; /* first */
    char *probe_spec, *power_spec, *serial_spec;
    ImpProbe *(*open_probe)(gpointer user, GError **error); /* NULL: by probe_spec */
    gpointer open_user;
    const ImpClock *clock;
    pthread_t thread;
    ImpQueue *commands; /* ImpCommand *, loop to thread */
    ImpQueue *events; /* ImpPortEvent *, thread to loop */
    gint waiting; /* atomic: events in the queue */
    gint cancel; /* atomic: other than 0 ends the command at work; the engine looks at it too */
    /* the thread's own */
    ImpProbe *probe;
    ImpTarget *target; /* NULL: not attached */
    ImpPower *power; /* NULL: not opened yet, or there is none */
    guint32 power_mv; /* for switching on while connecting */
    ImpSerial *serial; /* the unit's serial line, from ATTACH to FINISH, if a step listens to it */
    ImpFlash *flash; /* NULL: the core is not the flash algorithms' */
    ImpPhase told_phase; /* of the last progress */
    gint64 told_us;
    ImpLinkHealth before; /* of targets of this launch that were let go */
    ImpLinkHealth failed; /* of a connection that failed; clock 0: none did */
    guint8 uid[IMP_UID_BYTES_MAX]; /* of the unit that the launch began with */
    gsize n_uid; /* 0: not known, or the chip has none */
    gboolean locked; /* protected in this launch: nobody gets in */
    gboolean
        left; /* the firmware has been let run, or the target let go: to be attached again before it is worked on */
} ImpThreadPort;

/* Carries out one command. event is filled with what it found; its error and link health are not its business. */
typedef gboolean (*ImpWorkFn)(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event,
                              GError **error);

gboolean imp_work_attach(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error);
gboolean imp_work_finish(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error);
gboolean imp_work_flash(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error);
gboolean imp_work_read(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error);
gboolean imp_work_run(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error);
gboolean imp_work_test(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error);
gboolean imp_work_blank_check(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event,
                              GError **error);
gboolean imp_work_write(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error);
gboolean imp_work_expect(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error);
gboolean imp_work_delay(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error);
gboolean imp_work_reset(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error);

gboolean imp_work_power(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error);
gboolean imp_work_protect(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event,
                          GError **error);

/* Lets go of flash, target and probe, whatever is there. */
void imp_thread_let_go(ImpThreadPort *port);

/* The same in the middle of a launch: the next command that needs the target connects again. */
void imp_thread_lose(ImpThreadPort *port);

/* The port's probe; the caller's. */
ImpProbe *imp_thread_open_probe(ImpThreadPort *port, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Connects as the content says, and sees that it is the right chip; not whether its memory is open. */
gboolean imp_thread_connect(ImpThreadPort *port, const ImpContent *content,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Opens the port's supply if it has one. IMP_E_POWER_UNSUPPORTED: the content wants more of it than it can do. */
gboolean imp_thread_open_power(ImpThreadPort *port, const ImpContent *content,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_thread_can_cycle(const ImpThreadPort *port);

/* On: sets the voltage, waits, measures against the limits. Off: lets go of the target, waits. On does nothing where the board
 * has its own supply; off needs imp_thread_can_cycle. */
gboolean imp_thread_power_on(ImpThreadPort *port, const ImpContent *content,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_thread_power_off(ImpThreadPort *port, const ImpContent *content,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Lets the firmware begin anew. A locked chip is restarted by its supply, or where there is none to switch by nRESET. */
gboolean imp_thread_restart(ImpThreadPort *port, const ImpContent *content,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Off, if the content wants that at its end. What goes wrong is only logged: the launch has its result. */
void imp_thread_power_end(ImpThreadPort *port, const ImpContent *content);

/* The core halted, with nothing of ours at work in it; attaches again if the firmware was let run. */
gboolean imp_thread_hold(ImpThreadPort *port, const ImpContent *content,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Is it still the unit that ATTACH found? E2113. A chip without a unique ID cannot be told from its like. */
gboolean imp_thread_check_unit(ImpThreadPort *port, const ImpContent *content,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Opens the serial line if a step listens to it: before anything is written, so that a line that is not there costs no
 * unit. */
gboolean imp_thread_open_serial(ImpThreadPort *port, const ImpContent *content,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Tells the loop how far a command is; may be dropped. */
void imp_thread_progress(ImpThreadPort *port, ImpCommandKind kind, ImpPhase phase, guint64 done,
                         guint64 total);

/* Waits; FALSE and IMP_E_CANCELLED as soon as the command is cancelled. */
gboolean imp_thread_wait(ImpThreadPort *port, guint32 ms, GError **error) G_GNUC_WARN_UNUSED_RESULT;
