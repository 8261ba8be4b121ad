/* A port with a thread of its own, which carries out one command after the other with a probe, and posts events. */
#include "launch/port.h"

#include "base/queue.h"
#include "target/flash.h"

#include <pthread.h>
#include <string.h>

#define COMMANDS_MAX 2 /* a launch submits one at a time */
#define EVENTS_MAX   64
#define GDB_PREFIX   "gdb:"
#define PROGRESS_MAX 32 /* progress waiting in the queue; the rest of its places are for ends of commands */

typedef struct {
    ImpPort port; /* first */
    char *probe_spec;
    const ImpClock *clock;
    pthread_t thread;
    ImpQueue *commands; /* ImpCommand *, loop to thread */
    ImpQueue *events; /* ImpPortEvent *, thread to loop */
    gint waiting; /* atomic: events in the queue */
    gint cancel; /* atomic */
    /* the thread's own */
    ImpProbe *probe;
    ImpTarget *target;
    ImpFlash *flash;
} ThreadPort;

/* Gives up nothing but progress: an end of a command always finds a place, for there is one command at a time. */
static void post(ThreadPort *port, ImpPortEvent *event)
{
    if (!event->done && g_atomic_int_get(&port->waiting) >= PROGRESS_MAX) {
        imp_port_event_free(event);
        return;
    }
    g_atomic_int_inc(&port->waiting);
    gboolean pushed = imp_queue_push(port->events, event);
    g_assert(pushed);
}

static void on_flash_progress(gpointer user, ImpFlashPhase phase, guint64 done, guint64 total)
{
    ThreadPort *port = user;
    ImpPortEvent *event = g_new0(ImpPortEvent, 1);
    event->kind = IMP_COMMAND_FLASH;
    event->phase = phase == IMP_FLASH_PHASE_ERASE     ? IMP_PHASE_ERASE
                   : phase == IMP_FLASH_PHASE_PROGRAM ? IMP_PHASE_PROGRAM
                                                      : IMP_PHASE_VERIFY;
    event->done_bytes = done;
    event->total_bytes = total;
    post(port, event);
}

static void let_go(ThreadPort *port)
{
    g_clear_pointer(&port->flash, imp_flash_close);
    g_clear_pointer(&port->target, imp_target_detach);
    g_clear_pointer(&port->probe, imp_probe_close);
}

static gboolean attach(ThreadPort *port, const ImpContent *content, ImpPortEvent *event, GError **error)
{
    G_STATIC_ASSERT(IMP_UID_BYTES_MAX <= IMP_WIRE_NUMBER_BYTES_MAX);
    let_go(port);
    ImpTargetOptions options = {.swd_hz = content->swd_hz, .mode = content->attach, .cancel = &port->cancel};
    if (g_str_has_prefix(port->probe_spec, GDB_PREFIX)) {
        port->target =
            imp_target_attach_gdb(port->probe_spec + strlen(GDB_PREFIX), port->clock, &options, error);
    } else {
        port->probe = imp_probe_open(port->probe_spec, port->clock, error);
        if (port->probe == NULL)
            return FALSE;
        port->target = imp_target_attach(port->probe, port->clock, &options, error);
    }
    if (port->target == NULL || !imp_target_check(port->target, content->device, error))
        return FALSE;
    gsize n_uid = 0;
    if (!imp_target_read_uid(port->target, content->device, event->uid, &n_uid, error))
        return FALSE;
    event->n_uid = (guint8)n_uid;
    return TRUE;
}

static gboolean flash(ThreadPort *port, const ImpCommand *command, GError **error)
{
    if (port->flash == NULL) {
        port->flash = imp_flash_open(port->target, command->content->device, error);
        if (port->flash == NULL)
            return FALSE;
    }
    g_autofree ImpFlashSegment *segments = g_new0(ImpFlashSegment, command->map->n_segments + 1);
    for (gsize i = 0; i < command->map->n_segments; i++)
        segments[i] = (ImpFlashSegment){command->map->segments[i].address, command->map->segments[i].bytes};
    ImpFlashJob job = {
        .erase = !command->erase                        ? IMP_FLASH_ERASE_NONE
                 : command->erase_mode == IMP_ERASE_ALL ? IMP_FLASH_ERASE_ALL
                                                        : IMP_FLASH_ERASE_USED,
        .program = command->program,
        .verify = !command->verify                               ? IMP_FLASH_VERIFY_NONE
                  : command->verify_mode == IMP_VERIFY_READ_BACK ? IMP_FLASH_VERIFY_READ_BACK
                                                                 : IMP_FLASH_VERIFY_FASTEST,
        .segments = segments,
        .n_segments = command->map->n_segments,
        .progress = on_flash_progress,
        .progress_user = port,
    };
    return imp_flash_run(port->flash, &job, NULL, error);
}

static gboolean read_values(ThreadPort *port, const ImpContent *content, ImpPortEvent *event, GError **error)
{
    for (gsize i = 0; i < content->n_values && event->n_reads < IMP_WIRE_READS_MAX; i++) {
        const ImpValue *value = &content->values[i];
        if (value->kind != IMP_VALUE_READ)
            continue;
        ImpReading *reading = &event->reads[event->n_reads++];
        g_strlcpy(reading->name, value->name, sizeof reading->name);
        reading->n_bytes = (guint8)MIN(value->read_bytes, (guint32)sizeof reading->bytes);
        if (!imp_target_read(port->target, value->read_address, reading->bytes, reading->n_bytes, error)) {
            g_prefix_error(error, "reading the value '%s': ", value->name);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean reset(ThreadPort *port, GError **error)
{
    g_clear_pointer(&port->flash, imp_flash_close);
    return imp_target_reset_run(port->target, error);
}

static ImpPhase phase_of(ImpCommandKind kind)
{
    switch (kind) {
    case IMP_COMMAND_ATTACH:
        return IMP_PHASE_ATTACH;
    case IMP_COMMAND_FLASH:
        return IMP_PHASE_PROGRAM;
    case IMP_COMMAND_READ:
        return IMP_PHASE_READ;
    case IMP_COMMAND_RESET:
    case IMP_COMMAND_FINISH:
        return IMP_PHASE_RESET;
    }
    g_assert_not_reached();
}

static void fill_link_health(ThreadPort *port, ImpPortEvent *event)
{
    if (port->target == NULL)
        return;
    const ImpLinkHealth *health = imp_target_link_health(port->target);
    event->link_waits = (guint32)health->waits;
    event->link_faults = (guint32)health->faults;
    event->link_errors = (guint32)(health->protocol_errors + health->no_acks);
    event->link_retries = (guint32)health->retries;
}

static void carry_out(ThreadPort *port, const ImpCommand *command)
{
    ImpPortEvent *event = g_new0(ImpPortEvent, 1);
    GError *error = NULL;
    event->done = TRUE;
    event->kind = command->kind;
    event->phase = phase_of(command->kind);
    g_assert(port->target != NULL || command->kind == IMP_COMMAND_ATTACH ||
             command->kind == IMP_COMMAND_FINISH);
    switch (command->kind) {
    case IMP_COMMAND_ATTACH:
        (void)attach(port, command->content, event, &error);
        break;
    case IMP_COMMAND_FLASH:
        (void)flash(port, command, &error);
        break;
    case IMP_COMMAND_READ:
        (void)read_values(port, command->content, event, &error);
        break;
    case IMP_COMMAND_RESET:
        (void)reset(port, &error);
        break;
    case IMP_COMMAND_FINISH:
        break;
    }
    imp_error_set_step(&error, imp_phase_name(event->phase));
    fill_link_health(port, event);
    if (command->kind == IMP_COMMAND_FINISH)
        let_go(port);
    event->error = error;
    post(port, event);
}

static void *thread_main(void *data)
{
    ThreadPort *port = data;
    ImpCommand *command;
    while ((command = imp_queue_pop(port->commands)) != NULL) {
        carry_out(port, command);
        g_free(command);
    }
    let_go(port);
    return NULL;
}

static void thread_submit(ImpPort *self, const ImpCommand *command)
{
    ThreadPort *port = (ThreadPort *)self;
    g_atomic_int_set(&port->cancel, 0);
    ImpCommand *copy = g_new(ImpCommand, 1);
    *copy = *command;
    gboolean pushed = imp_queue_push(port->commands, copy);
    g_assert(pushed);
}

static void thread_cancel(ImpPort *self)
{
    g_atomic_int_set(&((ThreadPort *)self)->cancel, 1);
}

static int thread_fd(ImpPort *self)
{
    return imp_queue_fd(((ThreadPort *)self)->events);
}

static void thread_dispatch(ImpPort *self)
{
    ThreadPort *port = (ThreadPort *)self;
    ImpPortEvent *event;
    while ((event = imp_queue_try_pop(port->events)) != NULL) {
        (void)g_atomic_int_dec_and_test(&port->waiting);
        if (self->handler != NULL)
            self->handler(self->user, event);
        imp_port_event_free(event);
    }
}

static void thread_free(ImpPort *self)
{
    ThreadPort *port = (ThreadPort *)self;
    g_atomic_int_set(&port->cancel, 1);
    imp_queue_close(port->commands);
    pthread_join(port->thread, NULL);
    imp_queue_free(port->commands);
    imp_queue_free(port->events);
    g_free(port->probe_spec);
    g_free(port);
}

static void free_event(gpointer event)
{
    imp_port_event_free(event);
}

ImpPort *imp_port_thread_new(const char *probe_spec, const ImpClock *clock)
{
    static const ImpPortOps ops = {thread_submit, thread_cancel, thread_fd, thread_dispatch, thread_free};
    ThreadPort *port = g_new0(ThreadPort, 1);
    port->port.ops = &ops;
    port->probe_spec = g_strdup(probe_spec);
    port->clock = clock;
    port->commands = imp_queue_new(COMMANDS_MAX, g_free);
    port->events = imp_queue_new(EVENTS_MAX, free_event);
    int failed = pthread_create(&port->thread, NULL, thread_main, port);
    if (failed != 0)
        g_error("pthread_create: %s", g_strerror(failed)); /* at start-up: nothing can run */
    return &port->port;
}
