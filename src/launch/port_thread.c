/* A port with a thread of its own, which carries out one command after the other with a probe, and posts events. */
#include "launch/port_thread.h"

#include <string.h>

#define COMMANDS_MAX 2 /* a launch submits one at a time */
#define EVENTS_MAX   64
#define PROGRESS_MAX 8 /* progress waiting in the queue; the rest of its places are for ends of commands */
#define PROGRESS_US  100000 /* between two of one phase: a screen shows no more, and each wakes the loop */
#define LOOK_US      10000 /* how often a wait looks whether it is cancelled */

/* Gives up nothing but progress: an end of a command always finds a place, for there is one command at a time. */
static void post(ImpThreadPort *port, ImpPortEvent *event)
{
    if (!event->done && g_atomic_int_get(&port->waiting) >= PROGRESS_MAX) {
        imp_port_event_free(event);
        return;
    }
    g_atomic_int_inc(&port->waiting);
    gboolean pushed = imp_queue_push(port->events, event);
    g_assert(pushed);
}

void imp_thread_progress(ImpThreadPort *port, ImpCommandKind kind, ImpPhase phase, guint64 done,
                         guint64 total)
{
    gint64 now_us = imp_clock_boot_us(port->clock);
    if (phase == port->told_phase && done < total && now_us - port->told_us < PROGRESS_US)
        return;
    port->told_phase = phase;
    port->told_us = now_us;
    ImpPortEvent *event = g_new0(ImpPortEvent, 1);
    event->kind = kind;
    event->phase = phase;
    event->done_bytes = done;
    event->total_bytes = total;
    post(port, event);
}

gboolean imp_thread_wait(ImpThreadPort *port, guint32 ms, GError **error)
{
    gint64 end_us = imp_clock_boot_us(port->clock) + (gint64)ms * 1000;
    for (;;) {
        gint64 left_us = end_us - imp_clock_boot_us(port->clock);
        if (g_atomic_int_get(&port->cancel) != 0) {
            imp_error_set(error, IMP_E_CANCELLED, "cancelled while waiting");
            return FALSE;
        }
        if (left_us <= 0)
            return TRUE;
        imp_clock_sleep_us(port->clock, MIN(left_us, LOOK_US));
    }
}

static void add_health(ImpLinkHealth *sum, const ImpLinkHealth *now)
{
    sum->waits += now->waits;
    sum->faults += now->faults;
    sum->protocol_errors += now->protocol_errors;
    sum->no_acks += now->no_acks;
    sum->retries += now->retries;
    sum->swd_hz = now->swd_hz;
    if (now->slowed_by != 0)
        sum->slowed_by = now->slowed_by;
}

static ImpLinkHealth link_health(const ImpThreadPort *port)
{
    ImpLinkHealth sum = port->before;
    if (port->target == NULL)
        return sum;
    add_health(&sum, imp_target_link_health(port->target));
    return sum;
}
/* What a connection that was never made has told of the link. */
static void add_failed(ImpThreadPort *port)
{
    if (port->failed.swd_hz != 0)
        add_health(&port->before, &port->failed);
    port->failed = (ImpLinkHealth){0};
}

void imp_thread_let_go(ImpThreadPort *port)
{
    port->before = link_health(port);
    add_failed(port);
    g_clear_pointer(&port->flash, imp_flash_close);
    g_clear_pointer(&port->target, imp_target_detach);
    g_clear_pointer(&port->probe, imp_probe_close);
    port->left = FALSE;
}

void imp_thread_lose(ImpThreadPort *port)
{
    imp_thread_let_go(port);
    port->left = TRUE;
}

static void fill_link_health(ImpThreadPort *port, ImpPortEvent *event)
{
    if (port->target == NULL)
        add_failed(port);
    ImpLinkHealth health = link_health(port);
    event->link_waits = (guint32)health.waits;
    event->link_faults = (guint32)health.faults;
    event->link_errors = (guint32)(health.protocol_errors + health.no_acks);
    event->link_retries = (guint32)health.retries;
    event->link_hz = health.swd_hz;
    event->link_slowed_by = (guint32)health.slowed_by;
}

static ImpWorkFn work_of(ImpCommandKind kind)
{
    static const ImpWorkFn works[] = {
        [IMP_COMMAND_ATTACH] = imp_work_attach,   [IMP_COMMAND_FLASH] = imp_work_flash,
        [IMP_COMMAND_READ] = imp_work_read,       [IMP_COMMAND_RESET] = imp_work_reset,
        [IMP_COMMAND_FINISH] = imp_work_finish,   [IMP_COMMAND_RUN] = imp_work_run,
        [IMP_COMMAND_TEST] = imp_work_test,       [IMP_COMMAND_POWER] = imp_work_power,
        [IMP_COMMAND_PROTECT] = imp_work_protect, [IMP_COMMAND_BLANK_CHECK] = imp_work_blank_check,
        [IMP_COMMAND_WRITE] = imp_work_write,     [IMP_COMMAND_EXPECT] = imp_work_expect,
        [IMP_COMMAND_DELAY] = imp_work_delay,
    };
    g_assert(kind < G_N_ELEMENTS(works) &&
             works[kind] != NULL); /* launch/able.c lets no other step through */
    return works[kind];
}

static gboolean needs_target(ImpCommandKind kind)
{
    return kind != IMP_COMMAND_ATTACH && kind != IMP_COMMAND_FINISH && kind != IMP_COMMAND_DELAY &&
           kind != IMP_COMMAND_POWER;
}

static void carry_out(ImpThreadPort *port, const ImpCommand *command)
{
    ImpPortEvent *event = g_new0(ImpPortEvent, 1);
    GError *error = NULL;
    event->done = TRUE;
    event->kind = command->kind;
    event->phase = imp_phase_of(command->kind);
    if (command->kind == IMP_COMMAND_ATTACH) {
        imp_thread_let_go(port);
        port->before = (ImpLinkHealth){0};
    }
    /* After the power was off the target is found again by the next command that needs it. */
    gboolean outside = port->locked && command->kind == IMP_COMMAND_RUN;
    if (outside || !needs_target(command->kind) || port->target != NULL ||
        imp_thread_hold(port, command->content, &error))
        (void)work_of(command->kind)(port, command, event, &error);
    fill_link_health(port, event);
    imp_error_set_step(&error, imp_phase_name(event->phase));
    event->error = error;
    post(port, event);
}

static void *thread_main(void *data)
{
    ImpThreadPort *port = data;
    ImpCommand *command;
    while ((command = imp_queue_pop(port->commands)) != NULL) {
        carry_out(port, command);
        g_free(command);
    }
    g_clear_pointer(&port->serial, imp_serial_close);
    imp_thread_let_go(port);
    g_clear_pointer(&port->power, imp_power_close);
    return NULL;
}

static void thread_submit(ImpPort *self, const ImpCommand *command)
{
    ImpThreadPort *port = (ImpThreadPort *)self;
    g_atomic_int_set(&port->cancel, 0);
    ImpCommand *copy = g_new(ImpCommand, 1);
    *copy = *command;
    gboolean pushed = imp_queue_push(port->commands, copy);
    g_assert(pushed);
}

static void thread_cancel(ImpPort *self)
{
    g_atomic_int_set(&((ImpThreadPort *)self)->cancel, 1);
}

static int thread_fd(ImpPort *self)
{
    return imp_queue_fd(((ImpThreadPort *)self)->events);
}

static void thread_dispatch(ImpPort *self)
{
    ImpThreadPort *port = (ImpThreadPort *)self;
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
    ImpThreadPort *port = (ImpThreadPort *)self;
    g_atomic_int_set(&port->cancel, 1);
    imp_queue_close(port->commands);
    pthread_join(port->thread, NULL);
    imp_queue_free(port->commands);
    imp_queue_free(port->events);
    g_free(port->probe_spec);
    g_free(port->power_spec);
    g_free(port->serial_spec);
    g_free(port);
}

static void free_event(gpointer event)
{
    imp_port_event_free(event);
}

ImpPort *imp_port_thread_new(const ImpPortThreadOptions *options)
{
    static const ImpPortOps ops = {thread_submit, thread_cancel, thread_fd, thread_dispatch, thread_free};
    ImpThreadPort *port = g_new0(ImpThreadPort, 1);
    port->port.ops = &ops;
    port->probe_spec = g_strdup(options->probe_spec);
    port->power_spec = g_strdup(options->power_spec);
    port->serial_spec = g_strdup(options->serial_spec);
    port->clock = options->clock;
    port->open_probe = options->open_probe;
    port->open_user = options->open_user;
    port->commands = imp_queue_new(COMMANDS_MAX, g_free);
    port->events = imp_queue_new(EVENTS_MAX, free_event);
    int failed = pthread_create(&port->thread, NULL, thread_main, port);
    if (failed != 0)
        g_error("pthread_create: %s", g_strerror(failed)); /* at start-up: nothing can run */
    return &port->port;
}
