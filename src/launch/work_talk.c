/* Programs of the unit that talk: board tests in RAM, and firmware that says when it is up. */
#include "launch/port_thread.h"
#include "target/mailbox.h"
#include "target/serial.h"

#include <string.h>

/* A test may ask for what is known of the unit; for numbers of pools only if the step names them, because then they count as
 * written. */
static gboolean may_ask(const ImpCommand *command, guint32 index)
{
    const ImpStep *step = command->step;
    if (command->values[index] == NULL || g_bytes_get_size(command->values[index]) > IMP_MAILBOX_BLOCK_MAX)
        return FALSE;
    if (command->content->values[index].kind != IMP_VALUE_POOL)
        return TRUE;
    for (gsize i = 0; i < step->n_values; i++)
        if (step->values[i] == index)
            return TRUE;
    return FALSE;
}

static gsize gather_values(const ImpCommand *command, ImpMailboxBlock values[IMP_CONTENT_VALUES_MAX])
{
    gsize n = 0;
    for (guint32 i = 0; i < command->content->n_values; i++) {
        if (!may_ask(command, i))
            continue;
        ImpMailboxBlock *to = &values[n++];
        const void *bytes = g_bytes_get_data(command->values[i], &to->n_bytes);
        g_strlcpy(to->name, command->content->values[i].name, sizeof to->name);
        memcpy(to->bytes, bytes, to->n_bytes);
    }
    return n;
}

static void take_result(const ImpMailboxResult *result, ImpPortEvent *event)
{
    event->text = result->text->len > 0 ? g_strndup(result->text->str, IMP_PORT_TEXT_MAX - 1) : NULL;
    for (gsize i = 0; i < result->n_blocks && event->n_reads < IMP_WIRE_READS_MAX; i++) {
        ImpReading *reading = &event->reads[event->n_reads++];
        g_strlcpy(reading->name, result->blocks[i].name, sizeof reading->name);
        memcpy(reading->bytes, result->blocks[i].bytes, result->blocks[i].n_bytes);
        reading->n_bytes = (guint8)result->blocks[i].n_bytes;
    }
}

gboolean imp_work_test(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    G_STATIC_ASSERT(IMP_MAILBOX_BLOCK_MAX <= IMP_WIRE_NUMBER_BYTES_MAX);
    G_STATIC_ASSERT(IMP_MAILBOX_BLOCKS_MAX <= IMP_WIRE_READS_MAX);
    const ImpTestProgram *program = &command->content->tests[command->step->test_index];
    ImpMailboxBlock values[IMP_CONTENT_VALUES_MAX];
    g_autofree ImpProgramSegment *segments = g_new0(ImpProgramSegment, program->n_segments);
    for (gsize i = 0; i < program->n_segments; i++)
        segments[i] = (ImpProgramSegment){program->segments[i].address, program->segments[i].bytes};
    const ImpBoardTest test = {.segments = segments,
                               .n_segments = program->n_segments,
                               .entry = program->entry_pc,
                               .stack = program->entry_sp,
                               .mailbox = program->mailbox_address,
                               .timeout_ms = command->step->timeout_ms,
                               .values = values,
                               .n_values = gather_values(command, values)};
    g_auto(ImpMailboxResult) result = {0};
    imp_mailbox_result_init(&result);
    gboolean good = imp_thread_hold(port, command->content, error) &&
                    imp_board_test_run(port->target, &test, &result, error);
    take_result(&result, event);
    if (!good)
        g_prefix_error(error, "test '%s': ", program->name);
    return good;
}

static gboolean needs_serial(const ImpContent *content)
{
    for (gsize i = 0; i < content->n_steps; i++)
        if (content->steps[i].kind == IMP_STEP_RUN && content->steps[i].address == 0)
            return TRUE;
    return FALSE;
}

gboolean imp_thread_open_serial(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    if (port->serial != NULL || !needs_serial(content))
        return TRUE;
    if (port->serial_spec == NULL) {
        imp_error_set(
            error, IMP_E_ARGUMENT,
            "the recipe waits for a text on the unit's serial line, and this port has none: name it with "
            "--serial, or in the port's configuration");
        return FALSE;
    }
    port->serial = imp_serial_open(port->serial_spec, port->clock, error);
    return port->serial != NULL;
}

static gboolean listen_serial(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event,
                              GError **error)
{
    const ImpStep *step = command->step;
    imp_serial_forget(port->serial);
    if (!imp_thread_restart(port, command->content, error))
        return FALSE;
    g_autofree char *text = NULL;
    gboolean good = imp_serial_listen(port->serial, step->text, step->within_ms, &port->cancel, &text, error);
    event->text = text[0] != 0 ? g_strndup(text, IMP_PORT_TEXT_MAX - 1) : NULL;
    return good;
}

static gboolean listen_mailbox(ImpThreadPort *port, const ImpStep *step, ImpPortEvent *event, GError **error)
{
    g_auto(ImpMailboxResult) result = {0};
    imp_mailbox_result_init(&result);
    gboolean good = imp_firmware_listen(port->target, (guint32)step->address, step->text, step->within_ms,
                                        &result, error);
    port->left = TRUE;
    take_result(&result, event);
    event->n_reads = 0; /* firmware delivers nothing for the log */
    return good;
}

gboolean imp_work_run(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    if (port->locked && command->step->address != 0) {
        imp_error_set(error, IMP_E_LOCKED,
                      "the chip is locked: the mailbox of its firmware cannot be reached");
        return FALSE;
    }
    if (!port->locked && !imp_thread_hold(port, command->content, error))
        return FALSE;
    return command->step->address != 0 ? listen_mailbox(port, command->step, event, error)
                                       : listen_serial(port, command, event, error);
}
