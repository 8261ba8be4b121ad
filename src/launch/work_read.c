/* Reads values from the target. */
#include "launch/port_thread.h"

#include <string.h>

static gboolean is_named(const ImpStep *step, guint32 index)
{
    for (gsize i = 0; step != NULL && i < step->n_values; i++)
        if (step->values[i] == index)
            return TRUE;
    return step == NULL || step->n_values == 0;
}

/* Every unit that was made with this image has a number there, so a blank place is a unit that was not finished, or not made with it. */
static gboolean check_number(const ImpContent *content, const ImpValue *value, const ImpPlace *place,
                             const ImpReading *reading, GError **error)
{
    const ImpAlgorithm *memory = imp_device_algorithm_at(content->device, place->address, 1);
    gboolean blank = value->kind == IMP_VALUE_POOL && memory != NULL;
    for (guint8 i = 0; blank && i < reading->n_bytes; i++)
        blank = reading->bytes[i] == memory->erased_byte;
    if (blank)
        imp_error_set_at(error, IMP_E_FLASH_MISMATCH, place->address, NULL, reading->bytes, reading->n_bytes,
                         "there is no number at 0x%08" G_GINT64_MODIFIER
                         "X, where value '%s' goes: the memory is blank",
                         place->address, value->name);
    return !blank;
}

/* For the record of a unit that is only compared: what it has where values go. */
static gboolean read_places(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event,
                            GError **error)
{
    const ImpContent *content = command->content;
    for (guint32 v = 0; v < content->n_values; v++) {
        const ImpPlace *place = NULL;
        for (gsize i = content->n_places; i > 0; i--)
            place = content->places[i - 1].value_index == v ? &content->places[i - 1] : place;
        if (place == NULL || command->values[v] != NULL || content->values[v].kind == IMP_VALUE_READ ||
            (event->n_reads == IMP_WIRE_READS_MAX && content->values[v].kind != IMP_VALUE_POOL))
            continue;
        ImpReading beyond; /* a number is looked at also where the record has no room for it */
        ImpReading *reading = event->n_reads < IMP_WIRE_READS_MAX ? &event->reads[event->n_reads++] : &beyond;
        g_strlcpy(reading->name, content->values[v].name, sizeof reading->name);
        reading->n_bytes = (guint8)MIN(place->size_bytes, (guint32)sizeof reading->bytes);
        if (!imp_target_read(port->target, place->address, reading->bytes, reading->n_bytes, error)) {
            g_prefix_error(error, "reading the place of value '%s': ", content->values[v].name);
            return FALSE;
        }
        if (!check_number(content, &content->values[v], place, reading, error))
            return FALSE;
    }
    return TRUE;
}

gboolean imp_work_read(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    const ImpContent *content = command->content;
    for (guint32 i = 0; i < content->n_values && event->n_reads < IMP_WIRE_READS_MAX; i++) {
        const ImpValue *value = &content->values[i];
        if (value->kind != IMP_VALUE_READ || !is_named(command->step, i))
            continue;
        ImpReading *reading = &event->reads[event->n_reads++];
        g_strlcpy(reading->name, value->name, sizeof reading->name);
        reading->n_bytes = (guint8)MIN(value->read_bytes, (guint32)sizeof reading->bytes);
        if (!imp_target_read(port->target, value->read_address, reading->bytes, reading->n_bytes, error)) {
            g_prefix_error(error, "reading the value '%s': ", value->name);
            return FALSE;
        }
    }
    return !command->places || read_places(port, command, event, error);
}
