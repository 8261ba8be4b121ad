/* Launches of a station: from a request to the end of each unit. */
#include "station/core.h"

#include <string.h>

#include "image/numbers.h"
#include "station/view.h"

#define PROGRESS_EVENT_US (G_USEC_PER_SEC / 20) /* progress is told at most this often for each port */

/* An opened image, kept only while launches use it. */
typedef struct {
    guint refs;
    ImpImage *image;
} Opened;

struct Work {
    ImpStation *station;
    StationPort *port;
    Opened *opened;
    ImpLaunch *launch;
    ImpAuthority *test_authority; /* stands before the real one when a test asked for it */
    char id[IMP_ID_TEXT_SIZE];
    char order[IMP_WIRE_NAME_SIZE], person[IMP_WIRE_NAME_SIZE];
    ImpLaunchState told_state;
    ImpPhase told_phase;
    gint64 told_boot_us;
    guint cleanup;
};

static void opened_unref(Opened *opened)
{
    if (opened == NULL || --opened->refs > 0)
        return;
    imp_image_free(opened->image);
    g_free(opened);
}

static json_t *document_of(const Work *work)
{
    return imp_view_launch(&(ImpViewLaunch){
        .view = imp_launch_view(work->launch),
        .port = work->port->config->name,
        .order = work->order,
        .person = work->person,
        .image_name = work->opened->image->clear->name,
        .kind = work->opened->image->clear->kind,
    });
}

/* ---- the end of a launch ------------------------------------------------------------------------------------------- */

static void keep(ImpStation *station, const char *id, json_t *document)
{
    char *key = g_strdup(id);
    g_hash_table_insert(station->kept, key, document);
    g_queue_push_tail(&station->kept_order, key);
    if (g_queue_get_length(&station->kept_order) > IMP_STATION_KEPT_MAX)
        g_hash_table_remove(station->kept, g_queue_pop_head(&station->kept_order));
}

static void work_free(gpointer data)
{
    Work *work = data;
    imp_launch_free(work->launch);
    opened_unref(work->opened);
    g_free(work->test_authority);
    g_free(work);
}

/* On a turn of its own: a launch may not be freed inside its own callback. */
static gboolean clean_up(gpointer user)
{
    Work *work = user;
    ImpStation *station = work->station;
    ImpId image = work->opened->image->clear->id;
    work->port->work = NULL;
    g_hash_table_remove(station->works, work->id); /* frees work */
    if (imp_store_release(station->store, &image)) {
        char text[IMP_ID_TEXT_SIZE];
        imp_events_add(station->events, "image-gone", "image",
                       json_pack("{s:s}", "id", imp_id_text(&image, text)));
    }
    imp_station_check_stopped(station);
    return G_SOURCE_REMOVE;
}

static void remember_answer(ImpStation *station, const ImpLaunchView *view)
{
    if (view->answer == NULL || !view->answer->has_units)
        return;
    char text[IMP_ID_TEXT_SIZE];
    LastAnswer *last = g_new0(LastAnswer, 1);
    last->answer = *view->answer;
    last->real_us = imp_clock_real_us(station->clock);
    g_hash_table_replace(station->answers, g_strdup(imp_id_text(&view->image, text)), last);
}

static void ended(Work *work, const ImpLaunchView *view)
{
    ImpStation *station = work->station;
    json_t *document = document_of(work);
    keep(station, work->id, json_incref(document));
    json_decref(work->port->last);
    work->port->last = json_incref(document);
    if (work->opened->image->clear->kind == IMP_IMAGE_JOB)
        remember_answer(station, view);
    imp_events_add(station->events, "launch", "launch", document);
    /* Before anything that comes in later, so that the port is idle for whoever reads the event. */
    work->cleanup = g_idle_add_full(G_PRIORITY_HIGH, clean_up, work, NULL);
}

static gboolean kill_soon(gpointer user)
{
    imp_station_point(user, "access");
    return G_SOURCE_REMOVE;
}

static void on_changed(gpointer user, const ImpLaunchView *view)
{
    Work *work = user;
    gint64 now = imp_clock_boot_us(work->station->clock);
    if (view->state == IMP_LAUNCH_PASSED || view->state == IMP_LAUNCH_FAILED ||
        view->state == IMP_LAUNCH_REFUSED) {
        ended(work, view);
        return;
    }
    gboolean news = view->state != work->told_state || view->phase != work->told_phase;
    if (view->state == IMP_LAUNCH_WORKING && work->station->kill_at != NULL) {
        if (work->told_state != IMP_LAUNCH_WORKING)
            g_idle_add_full(G_PRIORITY_HIGH, kill_soon, work->station, NULL);
        if (view->phase == IMP_PHASE_PROGRAM)
            imp_station_point(work->station, "program");
    }
    if (!news && now - work->told_boot_us < PROGRESS_EVENT_US)
        return;
    work->told_state = view->state;
    work->told_phase = view->phase;
    work->told_boot_us = now;
    imp_events_add(work->station->events, "launch", "launch", document_of(work));
}

/* ---- an authority for tests: ends the process at named points -------------------------------------------------------- */

typedef struct {
    ImpAuthority base;
    ImpStation *station;
    ImpAuthority *inner;
} TestAuthority;

static void test_start(ImpAuthority *self, const ImpWant *want, ImpStartFn done, gpointer user)
{
    ImpAuthority *inner = ((TestAuthority *)self)->inner;
    inner->ops->start(inner, want, done, user);
}

static void test_identify(ImpAuthority *self, const ImpId *launch, const guint8 *uid, gsize n_uid,
                          ImpIdentifyFn done, gpointer user)
{
    ImpAuthority *inner = ((TestAuthority *)self)->inner;
    inner->ops->identify(inner, launch, uid, n_uid, done, user);
}

static gboolean test_writing(ImpAuthority *self, const ImpId *launch, GError **error)
{
    ImpAuthority *inner = ((TestAuthority *)self)->inner;
    return inner->ops->writing(inner, launch, error);
}

static gboolean test_compare(ImpAuthority *self, const ImpWant *want, GError **error)
{
    ImpAuthority *inner = ((TestAuthority *)self)->inner;
    return inner->ops->compare(inner, want, error);
}

static gboolean test_end(ImpAuthority *self, const ImpReport *report, GError **error)
{
    TestAuthority *test = (TestAuthority *)self;
    if (report->result == IMP_RESULT_PASSED)
        imp_station_point(test->station, "verified");
    gboolean ok = test->inner->ops->end(test->inner, report, error);
    if (ok && report->result == IMP_RESULT_PASSED)
        imp_station_point(test->station, "report");
    return ok;
}

static const ImpAuthorityOps test_ops = {.start = test_start,
                                         .identify = test_identify,
                                         .writing = test_writing,
                                         .compare = test_compare,
                                         .end = test_end};

static ImpAuthority *test_authority_new(ImpStation *station, ImpAuthority *inner)
{
    TestAuthority *test = g_new0(TestAuthority, 1);
    test->base.ops = &test_ops;
    test->station = station;
    test->inner = inner;
    return &test->base;
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

gboolean imp_launches_usable(ImpStation *station, const ImpStoreEntry *entry, GError **error)
{
    const ImpClear *clear = entry->clear;
    char key[IMP_KEY_ID_TEXT_SIZE];
    if (entry->withdrawn) {
        imp_error_set(error, IMP_E_IMAGE_WITHDRAWN, "image %s has been withdrawn by the cloud", clear->name);
        return FALSE;
    }
    if (!imp_clear_check_station(clear, imp_cloud_ca(station), entry->source == IMP_SOURCE_CLOUD, error))
        return FALSE;
    if (imp_keyring_find(imp_vault_authors(station->vault), &clear->author) == NULL) {
        imp_error_set(error, IMP_E_AUTHOR_UNKNOWN, "image %s: its author %s is not trusted by this station",
                      clear->name, imp_key_id_text(&clear->author, key));
        return FALSE;
    }
    if (clear->encrypted &&
        imp_keyring_find(imp_vault_image_keys(station->vault), &clear->image_key) == NULL) {
        imp_error_set(error, IMP_E_IMAGE_KEY_MISSING,
                      "image %s: image key %s was not granted to this station", clear->name,
                      imp_key_id_text(&clear->image_key, key));
        return FALSE;
    }
    if (clear->has_share &&
        imp_keyring_find_share(imp_vault_image_keys(station->vault), clear->share_sha256) == NULL) {
        imp_error_set(error, IMP_E_SHARE_MISSING,
                      "image %s: its cloud has not released it to this station, or not since its start",
                      clear->name);
        return FALSE;
    }
    return TRUE;
}

ImpImage *imp_launches_open(ImpStation *station, const ImpStoreEntry *entry, GError **error)
{
    if (!imp_launches_usable(station, entry, error))
        return NULL;
    g_autoptr(ImpImage) image = imp_image_load(entry->path, imp_vault_image_keys(station->vault),
                                               imp_vault_authors(station->vault), error);
    if (image == NULL)
        return NULL;
    if (memcmp(image->clear->header_sha256, entry->clear->header_sha256, IMP_SHA256_BYTES) != 0) {
        imp_error_set(error, IMP_E_STORE_DIFFERS, "%s is not the image that was loaded", entry->path);
        return NULL;
    }
    /* Whoever sealed it: this station gives numbers only where it is their authority. */
    if (!imp_numbers_complete(image->clear->kind, image->content, &image->restrictions, error)) {
        g_prefix_error(error, "image %s: ", image->clear->name);
        return NULL;
    }
    return g_steal_pointer(&image);
}

G_STATIC_ASSERT((int)IMP_LEDGER_REWORK_REFUSE == (int)IMP_REWORK_REFUSE);
G_STATIC_ASSERT((int)IMP_LEDGER_REWORK_KEEP == (int)IMP_REWORK_KEEP_VALUES);
G_STATIC_ASSERT((int)IMP_LEDGER_REWORK_NEW == (int)IMP_REWORK_NEW_VALUES);

/* Tells the station's ledger, the authority of SAPs, what this image may. Known already: nothing changes. */
static gboolean register_sap(ImpStation *station, const ImpImage *image, GError **error)
{
    const ImpContent *content = image->content;
    const ImpRestrictions *limits = &image->restrictions;
    ImpLedgerImage row = {
        .id = image->clear->id,
        .limits =
            {
                .has_units = limits->has_units,
                .has_max_failures = limits->has_max_failures,
                .has_not_before = limits->has_not_before,
                .has_not_after = limits->has_not_after,
                .units = limits->units,
                .max_failures = limits->max_failures,
                .not_before_s = limits->not_before_s,
                .not_after_s = limits->not_after_s,
                .count_on = limits->count_on == IMP_COUNT_ON_WRITE ? IMP_LEDGER_COUNT_ON_WRITE
                                                                   : IMP_LEDGER_COUNT_ON_PASS,
            },
        .rework = (ImpLedgerRework)content->rework,
        .free_rework = limits->free_rework,
        .n_pools = (guint32)content->n_pools,
    };
    g_strlcpy(row.name, image->clear->name, sizeof row.name);
    for (gsize i = 0; i < content->n_pools; i++)
        row.pools[i] = content->pools[i].definition;
    ImpAct act = {.person = "station"};
    return imp_ledger_image_add(station->ledger, &row, &act, error);
}

/* ---- starting ------------------------------------------------------------------------------------------------------ */

static gboolean named(const ImpStationLaunch *request, const char *port)
{
    for (guint i = 0; request->ports != NULL && request->ports[i] != NULL; i++)
        if (strcmp(request->ports[i], port) == 0)
            return TRUE;
    return request->ports == NULL;
}

/* The ports that are asked for, all of them idle. */
static GPtrArray *choose_ports(ImpStation *station, const ImpStationLaunch *request, GError **error)
{
    g_autoptr(GPtrArray) chosen = g_ptr_array_new();
    for (gsize i = 0; i < station->n_ports; i++) {
        StationPort *port = &station->ports[i];
        if (!named(request, port->config->name))
            continue;
        if (port->work != NULL) {
            imp_error_set(error, IMP_E_PORT_BUSY, "port %s is busy", port->config->name);
            return NULL;
        }
        g_ptr_array_add(chosen, port);
    }
    for (guint i = 0; request->ports != NULL && request->ports[i] != NULL; i++) {
        gboolean found = FALSE;
        for (guint k = 0; k < chosen->len; k++)
            found |= strcmp(((StationPort *)chosen->pdata[k])->config->name, request->ports[i]) == 0;
        if (!found) {
            imp_error_set(error, IMP_E_PORT_UNKNOWN, "there is no port \"%s\"", request->ports[i]);
            return NULL;
        }
    }
    return g_steal_pointer(&chosen);
}

static Work *work_new(ImpStation *station, StationPort *port, Opened *opened, const ImpStationLaunch *request)
{
    gboolean job = opened->image->clear->kind == IMP_IMAGE_JOB;
    Work *work = g_new0(Work, 1);
    work->station = station;
    work->port = port;
    work->opened = opened;
    opened->refs++;
    g_strlcpy(work->order, request->order, sizeof work->order);
    g_strlcpy(work->person, request->person, sizeof work->person);
    ImpAuthority *authority = job ? station->cloud : station->local;
    if (station->kill_at != NULL)
        authority = work->test_authority = test_authority_new(station, authority);
    work->launch = imp_launch_new(&(ImpLaunchOptions){
        .content = opened->image->content,
        .image = opened->image->clear->id,
        .authority = authority,
        .port = port->port,
        .clock = station->clock,
        .random = station->random,
        .port_name = port->config->name,
        .order = work->order,
        .person = work->person,
        .given = request->given,
        .n_given = request->n_given,
        .verify_only = request->verify_only,
        .changed = on_changed,
        .user = work,
    });
    imp_id_text(&imp_launch_view(work->launch)->launch, work->id);
    return work;
}

gboolean imp_station_launch(ImpStation *station, const ImpStationLaunch *request, json_t **out_launches,
                            GError **error)
{
    if (station->stopping) {
        imp_error_set(error, IMP_E_STATION_STOPPING, "the station is stopping");
        return FALSE;
    }
    const ImpStoreEntry *entry = imp_store_resolve(station->store, request->image, error);
    if (entry == NULL)
        return FALSE;
    g_autoptr(GPtrArray) ports = choose_ports(station, request, error);
    if (ports == NULL)
        return FALSE;
    g_autoptr(ImpImage) image = imp_launches_open(station, entry, error);
    if (image == NULL ||
        !imp_given_check(image->content, request->given, request->n_given, !request->verify_only, error) ||
        !imp_given_check_units(image->content, ports->len, error))
        return FALSE;
    if (!request->verify_only && image->clear->kind == IMP_IMAGE_SAP && !register_sap(station, image, error))
        return FALSE;

    Opened *opened = g_new0(Opened, 1);
    opened->refs = 1;
    opened->image = g_steal_pointer(&image);
    g_autoptr(GPtrArray) works = g_ptr_array_new();
    for (guint i = 0; i < ports->len; i++) {
        StationPort *port = ports->pdata[i];
        port->work = work_new(station, port, opened, request);
        g_hash_table_insert(station->works, port->work->id, port->work);
        imp_store_hold(station->store, &opened->image->clear->id);
        g_ptr_array_add(works, port->work);
    }
    json_t *list = json_array();
    for (guint i = 0; i < works->len; i++) {
        Work *work = works->pdata[i];
        imp_launch_start(work->launch);
        json_array_append_new(list, document_of(work));
    }
    opened_unref(opened);
    *out_launches = list;
    return TRUE;
}

/* ---- the rest ------------------------------------------------------------------------------------------------------ */

static void cancel(Work *work)
{
    ImpId launch = imp_launch_view(work->launch)->launch;
    imp_launch_cancel(work->launch);
    if (work->station->cloud != NULL && imp_launch_view(work->launch)->state == IMP_LAUNCH_ASKING)
        imp_authority_cloud_cancel(work->station->cloud, &launch);
}

gboolean imp_station_cancel(ImpStation *station, const char *launch, GError **error)
{
    Work *work = g_hash_table_lookup(station->works, launch);
    if (work != NULL && !imp_launch_finished(work->launch)) {
        cancel(work);
        return TRUE;
    }
    if (work != NULL || g_hash_table_contains(station->kept, launch))
        imp_error_set(error, IMP_E_STATE, "launch %s has ended", launch);
    else
        imp_error_set(error, IMP_E_NOT_FOUND, "there is no launch %s", launch);
    return FALSE;
}

void imp_launches_cancel_all(ImpStation *station)
{
    for (gsize i = 0; i < station->n_ports; i++) {
        Work *work = station->ports[i].work;
        if (work != NULL && !imp_launch_finished(work->launch))
            cancel(work);
    }
}

json_t *imp_station_launch_view(ImpStation *station, const char *launch, GError **error)
{
    json_t *kept = g_hash_table_lookup(station->kept, launch);
    if (kept != NULL)
        return json_incref(kept);
    Work *work = g_hash_table_lookup(station->works, launch);
    if (work != NULL)
        return document_of(work);
    imp_error_set(error, IMP_E_NOT_FOUND,
                  "there is no launch %s in this life of the station; look into the log", launch);
    return NULL;
}

json_t *imp_station_launches(ImpStation *station)
{
    json_t *list = json_array();
    for (gsize i = 0; i < station->n_ports; i++) {
        StationPort *port = &station->ports[i];
        if (port->work != NULL && !imp_launch_finished(port->work->launch))
            json_array_append_new(list, document_of(port->work));
        else if (port->last != NULL)
            json_array_append(list, port->last);
    }
    return list;
}

static void document_free(gpointer document)
{
    json_decref(document);
}

void imp_launches_init(ImpStation *station)
{
    station->works = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, work_free);
    station->kept = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, document_free);
    station->answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_queue_init(&station->kept_order);
}

void imp_launches_done(ImpStation *station)
{
    if (station->works == NULL)
        return;
    g_assert(g_hash_table_size(station->works) == 0);
    g_hash_table_unref(station->works);
    g_hash_table_unref(station->kept);
    g_hash_table_unref(station->answers);
    g_queue_clear(&station->kept_order);
}
