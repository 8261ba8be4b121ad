/* What the ledger's tests share: a clock that stands still, randomness from a seed, short ways to make things, and a
 * check of the whole ledger at each close. */
#pragma once

#include "ledger/journal.h"
#include "ledger/local.h"
#include "ledger/pool.h"

#define T0_US ((gint64)1790000000 * G_USEC_PER_SEC) /* 2026-09-21 */

typedef struct {
    gint64 boot_us, real_us;
    gboolean synchronised;
    ImpClock clock;
    guint64 random_state;
    ImpRandom random;
} World;

void world_init(World *world, guint64 seed);
void world_pass(World *world, gint64 duration_us); /* both clocks */
guint64 world_random(World *world, guint64 below);

/* A folder that is removed with everything in it by folder_remove. */
char *folder_make(void);
void folder_remove(char *folder);
/* Copies the files of a ledger (database and write-ahead log) as a power cut would leave them. */
void ledger_copy(const char *from_path, const char *to_path);

ImpLedger *ledger_open(World *world, const char *path, ImpLedgerRole role, ImpLedgerSafety safety);
/* Asserts that imp_ledger_check finds nothing. */
void ledger_check(ImpLedger *ledger);

ImpId id_of(guint32 n); /* a readable ID: …00000n */

typedef struct {
    guint32 id;
    gint64 units, max_failures; /* -1 = none */
    ImpLedgerCountOn count_on; /* 0 = pass */
    const char *scope; /* NULL = "" */
    const char *pool, *pool_2; /* definitions, NULL = none */
    ImpLedgerRework rework; /* 0 = new values */
    gboolean free_rework;
    gint64 not_before_s, not_after_s; /* 0 = none */
} ImageRow;

extern const ImpAct owner; /* with a reason */
gboolean image_add(ImpLedger *ledger, const ImageRow *row, GError **error);
void image_must_add(ImpLedger *ledger, const ImageRow *row);
ImpLedgerImageStatus image_get(ImpLedger *ledger, guint32 id);
void image_state(ImpLedger *ledger, guint32 id, ImpLedgerImageState state);
void station_add(ImpLedger *ledger, guint32 id, const char *scope);
ImpLedgerStation station_get(ImpLedger *ledger, guint32 id);

#define POOL_DECIMAL(id, first, last, reuse)                                                                 \
    "{\"first\":" #first ",\"format\":{\"decimal\":6},\"id\":\"" id "\",\"last\":" #last ",\"reuse\":" reuse \
    ",\"step\":1}"

ImpWant want_of(guint32 launch, guint32 image, guint64 ask);
ImpAnswer granted_of(const ImpWant *want, guint64 number); /* number 0 = none; pool "sn" */
ImpReport report_of(guint32 launch, guint32 image, ImpResult result);

/* One request with one thing in it. The response is asserted to be there. */
ImpSyncResponse *say_hello(ImpLedger *cloud, guint32 station, guint64 start_number, guint32 nonce,
                           guint64 position);
ImpAnswer say_want(ImpLedger *cloud, guint32 station, guint64 start_number, const ImpWant *want);
ImpAnswer say_refresh(ImpLedger *cloud, guint32 station, guint64 start_number, guint32 launch, guint64 ask);
ImpAnswer say_report(ImpLedger *cloud, guint32 station, guint64 start_number, const ImpReport *report);
ImpSyncResponse *say(ImpLedger *cloud, guint32 station, const ImpSyncRequest *request);

/* Alarms of this kind. */
guint alarms_of(ImpLedger *ledger, ImpAlarmKind kind);
