/* Writes to memory and compares memory, over the bus; waits. */
#include "launch/port_thread.h"

#include <string.h>

#define LOOK_MS 2 /* between two looks at what is expected */

gboolean imp_work_write(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    (void)event;
    const ImpStep *step = command->step;
    /* The RAM may be the flash algorithms'; firmware that runs is not stopped. */
    g_clear_pointer(&port->flash, imp_flash_close);
    return imp_target_write(port->target, step->address, g_bytes_get_data(step->bytes, NULL),
                            g_bytes_get_size(step->bytes), error);
}

static void put_number(guint8 *out, guint64 number, gsize n_bytes)
{
    for (gsize i = 0; i < n_bytes; i++)
        out[i] = (guint8)(number >> (8 * i));
}

static void unexpected(const ImpStep *step, guint64 found, GError **error)
{
    guint8 expected_bytes[8], found_bytes[8];
    gsize n_shown = MIN((gsize)step->size_bytes, sizeof((ImpErrorDetail *)NULL)->found);
    g_autofree char *expected =
        step->low == step->high
            ? g_strdup_printf("0x%0*" G_GINT64_MODIFIER "X", (int)(2 * step->size_bytes), step->low)
            : g_strdup_printf("0x%0*" G_GINT64_MODIFIER "X to 0x%0*" G_GINT64_MODIFIER "X",
                              (int)(2 * step->size_bytes), step->low, (int)(2 * step->size_bytes),
                              step->high);
    put_number(expected_bytes, step->low, sizeof expected_bytes);
    put_number(found_bytes, found, sizeof found_bytes);
    imp_error_set_at(error, IMP_E_NOT_EXPECTED, step->address, expected_bytes, found_bytes, n_shown,
                     "0x%08" G_GINT64_MODIFIER "X holds 0x%0*" G_GINT64_MODIFIER
                     "X (with mask 0x%" G_GINT64_MODIFIER "X), the recipe expects %s",
                     step->address, (int)(2 * step->size_bytes), found, step->mask, expected);
}

gboolean imp_work_expect(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    (void)event;
    const ImpStep *step = command->step;
    gint64 end_us = imp_clock_boot_us(port->clock) + (gint64)step->within_ms * 1000;
    for (;;) {
        guint8 bytes[8] = {0};
        guint64 found = 0;
        gboolean late = imp_clock_boot_us(port->clock) >= end_us; /* before the look: the last one counts */
        if (!imp_target_read(port->target, step->address, bytes, step->size_bytes, error))
            return FALSE;
        for (gsize i = 0; i < step->size_bytes; i++)
            found |= (guint64)bytes[i] << (8 * i);
        found &= step->mask;
        if (found >= step->low && found <= step->high)
            return TRUE;
        if (late) {
            unexpected(step, found, error);
            return FALSE;
        }
        if (!imp_thread_wait(port, LOOK_MS, error))
            return FALSE;
    }
}

gboolean imp_work_delay(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    (void)event;
    return imp_thread_wait(port, command->step->delay_ms, error);
}
