#include "cli/given.h"

#include <string.h>

#include "cli/file.h"

#define DATA_MAX IMP_CONTENT_PLACE_BYTES_MAX

static GBytes *from_hex(const char *name, const char *digits, GError **error)
{
    gsize n_digits = strlen(digits);
    g_autofree guint8 *bytes = g_malloc(n_digits / 2 + 1);
    gssize n_bytes = imp_hex_decode(digits, bytes, n_digits / 2 + 1);
    if (n_bytes >= 0)
        return g_bytes_new(bytes, (gsize)n_bytes);
    imp_error_set(error, IMP_E_ARGUMENT, "--set %s: these are no hexadecimal digits, two for each byte",
                  name);
    return NULL;
}

/* What stands behind NAME=. */
static GBytes *read_data(const char *name, const char *data, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    if (g_str_has_prefix(data, "hex:"))
        bytes = from_hex(name, data + 4, error);
    else if (g_str_has_prefix(data, "file:"))
        bytes = imp_file_read(data + 5, DATA_MAX, error);
    else if (g_str_has_prefix(data, "text:"))
        bytes = g_bytes_new(data + 5, strlen(data + 5));
    else
        bytes = g_bytes_new(data, strlen(data));
    if (bytes != NULL && g_bytes_get_size(bytes) > DATA_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "--set %s: %" G_GSIZE_FORMAT " bytes; at most %d", name,
                      g_bytes_get_size(bytes), DATA_MAX);
        return NULL;
    }
    return g_steal_pointer(&bytes);
}

static gboolean add_set(ImpCliGiven *given, const char *text, GError **error)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        imp_error_set(error, IMP_E_ARGUMENT, "--set %s: write NAME=DATA", text);
        return FALSE;
    }
    g_autofree char *name = g_strndup(text, (gsize)(equals - text));
    gboolean twice = FALSE;
    for (gsize i = 0; i < given->n_items; i++)
        twice = twice || strcmp(given->items[i].name, name) == 0;
    if (twice || !g_utf8_validate(name, -1, NULL)) {
        imp_error_set(error, IMP_E_ARGUMENT, "--set %s: %s", twice ? name : "",
                      twice ? "is given twice" : "the name is not UTF-8");
        return FALSE;
    }
    GBytes *bytes = read_data(name, equals + 1, error);
    if (bytes == NULL)
        return FALSE;
    given->items[given->n_items++] = (ImpGiven){g_steal_pointer(&name), bytes};
    return TRUE;
}

gboolean imp_cli_given_init(const ImpCli *cli, ImpCliGiven *out_given, GError **error)
{
    g_auto(ImpCliGiven) given = {.n_items = 0};
    if (cli->n_sets > IMP_GIVEN_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "%u times --set; at most %d", cli->n_sets, IMP_GIVEN_MAX);
        return FALSE;
    }
    for (guint i = 0; i < cli->n_sets; i++)
        if (!add_set(&given, cli->sets[i], error))
            return FALSE;
    const char *label = cli->values[IMP_OPTION_BARCODE];
    if (label != NULL)
        given.items[given.n_items++] = (ImpGiven){NULL, g_bytes_new(label, strlen(label))};
    *out_given = given;
    given.n_items = 0;
    return TRUE;
}

void imp_cli_given_done(ImpCliGiven *given)
{
    for (gsize i = 0; i < given->n_items; i++) {
        g_free((char *)given->items[i].name);
        g_bytes_unref(given->items[i].bytes);
    }
    given->n_items = 0;
}

static json_t *bytes_json(GBytes *bytes)
{
    gsize n_bytes;
    const guint8 *data = g_bytes_get_data(bytes, &n_bytes);
    g_autofree char *hex = imp_hex_encode(data, n_bytes);
    return json_pack("{s:s}", "hex", hex);
}

void imp_cli_given_json(const ImpCliGiven *given, json_t *body)
{
    json_t *sets = json_object();
    for (gsize i = 0; i < given->n_items; i++)
        if (given->items[i].name != NULL)
            json_object_set_new(sets, given->items[i].name, bytes_json(given->items[i].bytes));
        else
            json_object_set_new(body, "barcode", bytes_json(given->items[i].bytes));
    if (json_object_size(sets) > 0)
        json_object_set_new(body, "set", sets);
    else
        json_decref(sets);
}
