/* The inside of a station, for the files of this folder that make it up: station.c (life, documents), launches.c, log.c,
 * cloud.c (membership, sync), delivery.c. Nobody else includes this. */
#pragma once

#include "image/image.h"
#include "launch/launch.h"
#include "ledger/journal.h"
#include "ledger/local.h"
#include "station/authority_cloud.h"
#include "station/link.h"
#include "station/membership.h"
#include "station/station.h"

typedef struct Work Work; /* launches.c: a launch at work */
typedef struct ImpDelivery ImpDelivery; /* delivery.h */
typedef struct Enrolment Enrolment; /* cloud.c: an enrolment under way */

typedef struct {
    const ImpPortConfig *config;
    ImpPort *port;
    guint source;
    Work *work; /* NULL = idle */
    json_t *last; /* document of the last launch, NULL = none in this life */
} StationPort;

struct ImpStation {
    const ImpStationConfig *config;
    const ImpClock *clock;
    const ImpRandom *random;
    const char *version;
    const char *kill_at;
    int lock_fd;
    gint64 began_boot_us;

    ImpStore *store;
    ImpVault *vault;
    ImpLedger *ledger;
    ImpLife life;
    ImpEvents *events;
    ImpAuthority *local;

    ImpMembership *membership; /* NULL: not enrolled, and so are the next */
    ImpAuthority *cloud;
    ImpLink *sync_link;
    ImpDelivery *delivery;
    guint step_source;
    Enrolment *enrolment;

    StationPort *ports;
    gsize n_ports;
    GHashTable *works; /* launch ID text → Work, at work */
    GHashTable *kept; /* launch ID text → document, ended */
    GQueue kept_order; /* texts owned by kept */
    GHashTable *answers; /* image ID text → LastAnswer of the cloud */

    gboolean stopping;
    guint stop_source;
    void (*stopped)(gpointer user);
    gpointer stopped_user;
};

/* What the cloud last said about an image. */
typedef struct {
    ImpAnswer answer;
    gint64 real_us;
} LastAnswer;

/* launches.c */
void imp_launches_init(ImpStation *station);
void imp_launches_done(ImpStation *station);
void imp_launches_cancel_all(ImpStation *station);
/* E6011, E3008, E6008, E3015, E3016, …: why an image cannot be launched, by what is known without opening it. */
gboolean imp_launches_usable(ImpStation *station, const ImpStoreEntry *entry, GError **error);
ImpImage *imp_launches_open(ImpStation *station, const ImpStoreEntry *entry, GError **error);

/* station.c */
/* Ends the process if kill_at says so (tests). */
void imp_station_point(ImpStation *station, const char *name);
/* After a launch has ended: is this the end of a stop? */
void imp_station_check_stopped(ImpStation *station);
void imp_station_image_event(ImpStation *station, const ImpStoreEntry *entry);

/* After keys, authors or shares have changed without a person at this station: every image is told of anew. */
void imp_station_keys_changed(ImpStation *station);

/* cloud.c */
gboolean imp_cloud_init(ImpStation *station, GError **error);
void imp_cloud_done(ImpStation *station);
/* NULL when the station belongs to no cloud. */
const guint8 *imp_cloud_ca(const ImpStation *station);
