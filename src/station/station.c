#include "station/core.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "station/delivery.h"
#include "station/view.h"

#define LEDGER_FILE "ledger.db"

const char *const imp_station_points[] = {"permit", "access", "program", "verified", "report", NULL};

void imp_station_point(ImpStation *station, const char *name)
{
    if (station->kill_at != NULL && strcmp(station->kill_at, name) == 0)
        raise(SIGKILL);
}

/* ---- documents ----------------------------------------------------------------------------------------------------- */

static const char *author_name(ImpStation *station, const ImpKeyId *id)
{
    const ImpKeyRing *authors = imp_vault_authors(station->vault);
    for (gsize i = 0; i < imp_keyring_size(authors); i++) {
        const char *name = NULL;
        if (imp_key_id_equal(imp_key_id(imp_keyring_at(authors, i, &name)), id))
            return name;
    }
    return NULL;
}

static json_t *image_document(ImpStation *station, const ImpStoreEntry *entry, const GError *reason)
{
    char text[IMP_ID_TEXT_SIZE];
    ImpLedgerImageStatus counts;
    LastAnswer *last = g_hash_table_lookup(station->answers, imp_id_text(&entry->clear->id, text));
    gboolean has_counts = entry->clear->kind == IMP_IMAGE_SAP &&
                          imp_ledger_image_get(station->ledger, &entry->clear->id, &counts, NULL);
    return imp_view_image(&(ImpViewImage){
        .entry = entry,
        .author_name = author_name(station, &entry->clear->author),
        .reason = reason,
        .counts = has_counts ? &counts : NULL,
        .answer = last != NULL ? &last->answer : NULL,
        .answer_real_us = last != NULL ? last->real_us : 0,
    });
}

json_t *imp_station_image(ImpStation *station, const ImpStoreEntry *entry)
{
    g_autoptr(GError) reason = NULL;
    (void)imp_launches_usable(station, entry, &reason);
    return image_document(station, entry, reason);
}

json_t *imp_station_inspect(ImpStation *station, const ImpStoreEntry *entry)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(ImpImage) image = imp_launches_open(station, entry, &reason);
    json_t *document = image_document(station, entry, reason);
    if (image != NULL)
        imp_view_add_content(document, image);
    return document;
}

json_t *imp_station_images(ImpStation *station)
{
    json_t *list = json_array();
    for (guint i = 0; i < imp_store_size(station->store); i++)
        json_array_append_new(list, imp_station_image(station, imp_store_at(station->store, i)));
    return list;
}

static json_t *ports_of(ImpStation *station)
{
    json_t *list = json_array();
    for (gsize i = 0; i < station->n_ports; i++) {
        const StationPort *port = &station->ports[i];
        json_t *item = json_object();
        json_object_set_new(item, "name", json_string(port->config->name));
        if (port->config->position[0] != '\0')
            json_object_set_new(item, "position", json_string(port->config->position));
        json_object_set_new(item, "probe", json_string(port->config->probe));
        json_object_set_new(item, "state", json_string(port->work != NULL ? "busy" : "idle"));
        if (port->last != NULL && port->work == NULL)
            json_object_set(item, "launch", port->last);
        json_array_append_new(list, item);
    }
    json_t *launches = imp_station_launches(station);
    for (gsize i = 0; i < json_array_size(launches); i++) {
        json_t *launch = json_array_get(launches, i);
        for (gsize p = 0; p < station->n_ports; p++)
            if (strcmp(station->ports[p].config->name, json_string_value(json_object_get(launch, "port"))) ==
                0)
                json_object_set(json_array_get(list, p), "launch", launch);
    }
    json_decref(launches);
    return list;
}

json_t *imp_station_status(ImpStation *station)
{
    json_t *document = json_object();
    gint64 boot_ms = (imp_clock_boot_us(station->clock) - station->began_boot_us) / 1000;
    json_object_set_new(document, "name", json_string(station->config->name));
    json_object_set_new(document, "version", json_string(station->version));
    json_object_set_new(document, "start", json_integer((json_int_t)station->life.start_number));
    json_object_set_new(document, "real_us", json_integer(imp_clock_real_us(station->clock)));
    json_object_set_new(document, "boot_ms", json_integer(boot_ms));
    json_object_set_new(document, "clock_synchronised",
                        json_boolean(station->clock->synchronised(station->clock->self)));
    json_object_set_new(document, "stopping", json_boolean(station->stopping));
    json_object_set_new(document, "ports", ports_of(station));
    json_object_set_new(document, "images", imp_station_images(station));
    json_object_set_new(document, "cloud", imp_station_cloud(station));
    json_object_set_new(document, "events_next", json_integer((json_int_t)imp_events_last(station->events)));
    return document;
}

void imp_station_image_event(ImpStation *station, const ImpStoreEntry *entry)
{
    imp_events_add(station->events, "image", "image", imp_station_image(station, entry));
}

/* ---- images, keys, trust ------------------------------------------------------------------------------------------- */

gboolean imp_station_load(ImpStation *station, int fd, ImpSource source, const ImpStoreEntry **out_entry,
                          gboolean *out_new, GError **error)
{
    if (!imp_store_add(station->store, fd, source, imp_cloud_ca(station), out_entry, out_new, error))
        return FALSE;
    if (*out_new)
        imp_station_image_event(station, *out_entry);
    return TRUE;
}

static void gone(ImpStation *station, const ImpId *id)
{
    char text[IMP_ID_TEXT_SIZE];
    json_t *body = json_object();
    json_object_set_new(body, "id", json_string(imp_id_text(id, text)));
    imp_events_add(station->events, "image-gone", "image", body);
}

gboolean imp_station_delete(ImpStation *station, const ImpId *image, GError **error)
{
    ImpId id = *image;
    if (!imp_store_remove(station->store, &id, error))
        return FALSE;
    gone(station, &id);
    return TRUE;
}

void imp_station_withdraw(ImpStation *station, const ImpId *image)
{
    ImpId id = *image;
    if (!imp_store_withdraw(station->store, &id))
        return;
    const ImpStoreEntry *entry = imp_store_find(station->store, &id);
    if (entry == NULL)
        gone(station, &id);
    else
        imp_station_image_event(station, entry);
}

/* Keys and authors decide which images are usable: who watches is told to look again. */
static void key_event(ImpStation *station, const char *type, const ImpKeyId *id)
{
    char text[IMP_KEY_ID_TEXT_SIZE];
    json_t *body = json_object();
    json_object_set_new(body, "id", json_string(imp_key_id_text(id, text)));
    imp_events_add(station->events, type, type, body);
}

void imp_station_keys_changed(ImpStation *station)
{
    for (guint i = 0; i < imp_store_size(station->store); i++)
        imp_station_image_event(station, imp_store_at(station->store, i));
}

gboolean imp_station_grant(ImpStation *station, GBytes *grant, ImpKeyId *out_id, GError **error)
{
    if (!imp_vault_grant(station->vault, grant, out_id, error))
        return FALSE;
    key_event(station, "key", out_id);
    return TRUE;
}

gboolean imp_station_revoke(ImpStation *station, const ImpKeyId *id, GError **error)
{
    if (!imp_vault_revoke(station->vault, id, error))
        return FALSE;
    key_event(station, "key", id);
    return TRUE;
}

gboolean imp_station_trust(ImpStation *station, const char *name, const char *pem, ImpKeyId *out_id,
                           GError **error)
{
    if (!imp_vault_trust(station->vault, name, pem, out_id, error))
        return FALSE;
    key_event(station, "trust", out_id);
    return TRUE;
}

gboolean imp_station_distrust(ImpStation *station, const ImpKeyId *id, GError **error)
{
    if (!imp_vault_distrust(station->vault, id, error))
        return FALSE;
    key_event(station, "trust", id);
    return TRUE;
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static gboolean lock_data(ImpStation *station, GError **error)
{
    g_autofree char *path = g_build_filename(station->config->data, "lock", NULL);
    if (g_mkdir_with_parents(station->config->data, 0700) != 0) {
        imp_error_set(error, IMP_E_IO, "%s: %s", station->config->data, g_strerror(errno));
        return FALSE;
    }
    station->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (station->lock_fd < 0) {
        imp_error_set(error, IMP_E_IO, "%s: %s", path, g_strerror(errno));
        return FALSE;
    }
    if (flock(station->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return TRUE;
    imp_error_set(error, IMP_E_DATA_IN_USE, "another station runs on %s", station->config->data);
    return FALSE;
}

static gboolean open_folder(ImpStation *station, GError **error)
{
    const char *data = station->config->data;
    g_autofree char *images = g_build_filename(data, "images", NULL);
    g_autofree char *keys = g_build_filename(data, "keys", NULL);
    g_autofree char *ledger = g_build_filename(data, LEDGER_FILE, NULL);
    station->store = imp_store_open(&(ImpStoreOptions){.folder = images,
                                                       .images_max = station->config->images_max,
                                                       .bytes_max = station->config->images_bytes_max},
                                    error);
    ImpVaultOptions options = {.sealing = station->config->sealing_key,
                               .image_keys = (const char *const *)station->config->image_keys};
    if (station->store == NULL || (station->vault = imp_vault_open(keys, &options, error)) == NULL)
        return FALSE;
    station->ledger = imp_ledger_open(&(ImpLedgerOptions){.path = ledger,
                                                          .role = IMP_LEDGER_STATION,
                                                          .safety = IMP_LEDGER_DURABLE,
                                                          .clock = station->clock,
                                                          .random = station->random},
                                      error);
    if (station->ledger == NULL || !imp_journal_start(station->ledger, &station->life, error) ||
        !imp_journal_prune(station->ledger, NULL, error))
        return FALSE;
    if (station->life.n_lost + station->life.n_unknown > 0)
        g_message("the life before left %u launches that had not written and %u that had",
                  station->life.n_lost, station->life.n_unknown);
    station->local = imp_authority_local_new(station->ledger);
    return TRUE;
}

static gboolean on_port(gint fd, GIOCondition condition, gpointer user)
{
    imp_port_dispatch(((StationPort *)user)->port);
    return G_SOURCE_CONTINUE;
}

static void open_ports(ImpStation *station)
{
    station->n_ports = station->config->n_ports;
    station->ports = g_new0(StationPort, station->n_ports);
    for (gsize i = 0; i < station->n_ports; i++) {
        StationPort *port = &station->ports[i];
        port->config = &station->config->ports[i];
        port->port = imp_port_thread_new(&(ImpPortThreadOptions){.probe_spec = port->config->probe,
                                                                 .power_spec = port->config->power,
                                                                 .serial_spec = port->config->serial,
                                                                 .clock = station->clock});
        port->source = g_unix_fd_add(imp_port_fd(port->port), G_IO_IN, on_port, port);
    }
}

ImpStation *imp_station_new(const ImpStationOptions *options, GError **error)
{
    g_autoptr(ImpStation) station = g_new0(ImpStation, 1);
    station->config = options->config;
    station->clock = options->clock;
    station->random = options->random;
    station->version = options->version;
    station->kill_at = options->kill_at;
    station->lock_fd = -1;
    station->began_boot_us = imp_clock_boot_us(options->clock);
    station->events = imp_events_new(0, options->clock, options->event, options->user);
    imp_launches_init(station);
    if (!lock_data(station, error) || !open_folder(station, error))
        return NULL;
    open_ports(station);
    if (!imp_cloud_init(station, error))
        return NULL;
    return g_steal_pointer(&station);
}

void imp_station_free(ImpStation *station)
{
    if (station == NULL)
        return;
    if (station->stop_source != 0)
        g_source_remove(station->stop_source);
    imp_launches_done(station);
    imp_cloud_done(station);
    for (gsize i = 0; i < station->n_ports; i++) {
        g_source_remove(station->ports[i].source);
        imp_port_free(station->ports[i].port);
        json_decref(station->ports[i].last);
    }
    g_free(station->ports);
    imp_authority_local_free(station->local);
    imp_ledger_close(station->ledger);
    imp_vault_free(station->vault);
    imp_store_free(station->store);
    imp_events_free(station->events);
    if (station->lock_fd >= 0)
        close(station->lock_fd);
    g_free(station);
}

void imp_station_check_stopped(ImpStation *station)
{
    if (station->stopped == NULL || g_hash_table_size(station->works) > 0 || station->enrolment != NULL)
        return;
    void (*stopped)(gpointer) = g_steal_pointer(&station->stopped);
    stopped(station->stopped_user);
}

static gboolean on_stop_limit(gpointer user)
{
    ImpStation *station = user;
    station->stop_source = 0;
    g_message("the stop's limit is over: launches are cancelled");
    imp_launches_cancel_all(station);
    return G_SOURCE_REMOVE;
}

void imp_station_stop(ImpStation *station, void (*stopped)(gpointer user), gpointer user)
{
    if (station->stopping)
        return;
    station->stopping = TRUE;
    station->stopped = stopped;
    station->stopped_user = user;
    station->stop_source =
        g_timeout_add((guint)(station->config->stop_limit_us / 1000), on_stop_limit, station);
    imp_station_check_stopped(station);
}

gboolean imp_station_stopping(const ImpStation *station)
{
    return station->stopping;
}

ImpStore *imp_station_store(ImpStation *station)
{
    return station->store;
}

ImpVault *imp_station_vault(ImpStation *station)
{
    return station->vault;
}

ImpEvents *imp_station_events(ImpStation *station)
{
    return station->events;
}

guint64 imp_station_start(const ImpStation *station)
{
    return station->life.start_number;
}
