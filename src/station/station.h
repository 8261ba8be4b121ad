/* A station: its data folder, its ports, its launches, and what it says to its cloud.
 *
 * Life cycle: imp_station_new opens the data folder (one station at a time: a lock), counts the start, and ends in the
 * journal what an earlier life left open. Then it lives on the default main context: ports, cloud and timers are sources
 * there. imp_station_stop lets running launches end, cancels them when the configured time is over, and tells when nothing
 * is at work any more. imp_station_free after that.
 *
 * Thread rule: the event loop's thread, which is the one that runs the default main context. */
#pragma once

#include <jansson.h>

#include "base/env.h"
#include "launch/given.h"
#include "station/config.h"
#include "station/events.h"
#include "station/store.h"
#include "station/vault.h"

typedef struct ImpStation ImpStation;

typedef struct {
    const ImpStationConfig *config; /* borrowed until the station is freed */
    const ImpClock *clock; /* likewise */
    const ImpRandom *random; /* likewise */
    const char *version; /* of the program; a constant */
    /* Tests only: the process ends itself with SIGKILL at this point of its first launch that gets there; NULL = never.
     * See imp_station_points. */
    const char *kill_at;
    void (*event)(gpointer user); /* after each new event; may be NULL */
    gpointer user;
} ImpStationOptions;

/* NULL-terminated: "permit" (granted and fresh, BEGUN not journaled; JOB only), "access" (BEGUN journaled, the target is
 * being accessed), "program" (WRITING journaled, programming goes on), "verified" (everything verified, not journaled), "report"
 * (PASSED journaled, not reported). */
extern const char *const imp_station_points[];

/* Errors: E6009 (another one runs), E1002, E5021, E31xx. */
ImpStation *imp_station_new(const ImpStationOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_station_free(ImpStation *station); /* NULL is allowed; no launch may be at work */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpStation, imp_station_free)

/* Nothing new begins from now on; stopped is called once, perhaps before this returns, when no launch is at work. */
void imp_station_stop(ImpStation *station, void (*stopped)(gpointer user), gpointer user);
/* The number of this life. */
guint64 imp_station_start(const ImpStation *station);
gboolean imp_station_stopping(const ImpStation *station);

/* Borrowed. */
ImpStore *imp_station_store(ImpStation *station);
ImpVault *imp_station_vault(ImpStation *station);
ImpEvents *imp_station_events(ImpStation *station);

/* Documents of api/station.yaml; new references. */
json_t *imp_station_status(ImpStation *station);
json_t *imp_station_cloud(ImpStation *station);
json_t *imp_station_statistics(ImpStation *station, GError **error) G_GNUC_WARN_UNUSED_RESULT;
json_t *imp_station_pools(ImpStation *station, GError **error) G_GNUC_WARN_UNUSED_RESULT;
json_t *imp_station_images(ImpStation *station);
json_t *imp_station_image(ImpStation *station, const ImpStoreEntry *entry);
/* The same with its content, as far as it can be opened. */
json_t *imp_station_inspect(ImpStation *station, const ImpStoreEntry *entry);

/* ---- images, keys and trust: as store.h and vault.h, with events ---- */

gboolean imp_station_load(ImpStation *station, int fd, ImpSource source, const ImpStoreEntry **out_entry,
                          gboolean *out_new, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_station_delete(ImpStation *station, const ImpId *image,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The image with this ID is the cloud's no longer. */
void imp_station_withdraw(ImpStation *station, const ImpId *image);
gboolean imp_station_grant(ImpStation *station, GBytes *grant, ImpKeyId *out_id,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_station_revoke(ImpStation *station, const ImpKeyId *id,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_station_trust(ImpStation *station, const char *name, const char *pem, ImpKeyId *out_id,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean imp_station_distrust(ImpStation *station, const ImpKeyId *id,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean imp_station_has_cloud(const ImpStation *station);
/* Asks the cloud for its list of images and shares now, not at the next time. What comes is told as events. The station has a
 * cloud. */
void imp_station_ask_cloud(ImpStation *station);

/* ---- launches ---- */

#define IMP_STATION_KEPT_MAX 1024 /* ended launches that GET /v1/launches/{id} still knows */

typedef struct {
    const char *image; /* ID or name */
    const char *const *ports; /* NULL-terminated names; NULL = all */
    const char *order, *person; /* "" = none */
    const ImpGiven *given; /* launch/given.h */
    gsize n_given;
    gboolean verify_only; /* compares, writes nothing, uses nothing up */
} ImpStationLaunch;

/* Starts one launch on each port, all or none; *out_launches is a new array of documents. Errors: E6001, E6002, E6006, E1009,
 * E6011, what opening the image says, E5009, E2205 to E2208. */
gboolean imp_station_launch(ImpStation *station, const ImpStationLaunch *request, json_t **out_launches,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Errors: E1009; E1007: it has ended. */
gboolean imp_station_cancel(ImpStation *station, const char *launch,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* One launch, or NULL and E1009; and all that GET /v1/launches shows. */
json_t *imp_station_launch_view(ImpStation *station, const char *launch,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
json_t *imp_station_launches(ImpStation *station);

/* ---- log ---- */

typedef struct {
    gboolean csv;
    guint64 after;
    guint limit;
    const char *image, *port, *order, *result; /* NULL = any */
} ImpStationLog;

/* Lines, and the cursor after the last of them. */
GString *imp_station_log(ImpStation *station, const ImpStationLog *query, guint64 *out_next,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- cloud ---- */

/* Enrols at a cloud; done is called once, with NULL when it worked. Errors: E6007, E700x, E71xx. */
void imp_station_enrol(ImpStation *station, const char *code, const char *url, const char *name,
                       void (*done)(gpointer user, const GError *error), gpointer user);
