#include "station/given.h"

#include <string.h>

#define DATA_MAX IMP_CONTENT_PLACE_BYTES_MAX

/* NULL and a fault. */
static GBytes *read_data(ImpJson *r, const char *name, const json_t *data)
{
    GBytes *bytes = NULL;
    ImpJson s;
    GError *error = NULL;
    imp_json_begin(&s, data, name, r->wrong, r->unknown);
    if (imp_json_has(&s, "text")) {
        const char *text = imp_json_string(&s, "text", 0, DATA_MAX);
        bytes = g_bytes_new(text, strlen(text));
    } else {
        const char *hex = imp_json_string(&s, "hex", 0, 2 * DATA_MAX);
        g_autofree guint8 *out = g_malloc(DATA_MAX + 1);
        gssize n_bytes = imp_hex_decode(hex, out, DATA_MAX);
        if (imp_json_ok(&s) && n_bytes < 0)
            imp_json_fault(&s, "'hex' must be hexadecimal digits, two for each byte");
        else
            bytes = g_bytes_new(out, (gsize)MAX(n_bytes, 0));
    }
    if (imp_json_end(&s, &error))
        return bytes;
    imp_json_take(r, error);
    g_clear_pointer(&bytes, g_bytes_unref);
    return NULL;
}

static void add(ImpJson *r, ImpStationGiven *given, const char *name, const json_t *data)
{
    GBytes *bytes = read_data(r, name != NULL ? name : "barcode", data);
    if (bytes != NULL)
        given->items[given->n_items++] = (ImpGiven){name, bytes};
}

void imp_station_given_read(ImpJson *r, ImpStationGiven *out_given)
{
    out_given->n_items = 0;
    if (imp_json_has(r, "set")) {
        json_t *sets = (json_t *)imp_json_object(r, "set");
        const char *name;
        json_t *data;
        if (json_object_size(sets) > IMP_GIVEN_MAX)
            imp_json_fault(r, "'set' has more than %d values", IMP_GIVEN_MAX);
        else
            json_object_foreach(sets, name, data) add(r, out_given, name, data);
    }
    if (imp_json_has(r, "barcode"))
        add(r, out_given, NULL, imp_json_object(r, "barcode"));
}

void imp_station_given_done(ImpStationGiven *given)
{
    for (gsize i = 0; i < given->n_items; i++)
        g_bytes_unref(given->items[i].bytes);
    given->n_items = 0;
}
