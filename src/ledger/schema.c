#include "ledger/schema.h"

/* Keys are time-ordered IDs or counters, so that new rows go to the right end of each tree. What is counted stands on the
 * image's row and is changed in the transaction of the launch; check.c compares it with the rows. The primary key of
 * number is rule 2: one number, one launch. */
static const char version_1[] =
    "CREATE TABLE ledger ("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  role INTEGER NOT NULL," /* ImpLedgerRole */
    "  epoch BLOB NOT NULL,"
    "  start_number INTEGER NOT NULL DEFAULT 0," /* station: starts counted */
    "  own_seq INTEGER NOT NULL DEFAULT 0," /* station: seq of the newest SAP launch */
    "  job_seq INTEGER NOT NULL DEFAULT 0," /* station: of the newest JOB launch in the journal */
    "  cloud_epoch BLOB," /* station: epoch that the cloud said last */
    "  latest_us INTEGER NOT NULL DEFAULT 0" /* station: latest time recorded by a trusted clock */
    ");"
    "CREATE TABLE station ("
    "  ref INTEGER PRIMARY KEY," /* 0 = this station itself */
    "  id BLOB NOT NULL UNIQUE,"
    "  account TEXT NOT NULL,"
    "  scope TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  removed INTEGER NOT NULL DEFAULT 0,"
    "  blocked_why TEXT," /* NULL = not blocked */
    "  start_number INTEGER NOT NULL DEFAULT 0,"
    "  nonce BLOB,"
    "  max_seq INTEGER NOT NULL DEFAULT 0,"
    "  heard_us INTEGER NOT NULL DEFAULT 0,"
    "  added_us INTEGER NOT NULL"
    ");"
    "CREATE TABLE image ("
    "  id BLOB PRIMARY KEY,"
    "  account TEXT NOT NULL,"
    "  scope TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  units INTEGER,"
    "  max_failures INTEGER,"
    "  not_before_s INTEGER,"
    "  not_after_s INTEGER,"
    "  count_on INTEGER NOT NULL," /* ImpLedgerCountOn */
    "  refuse_rework INTEGER NOT NULL,"
    "  state INTEGER NOT NULL," /* ImpLedgerImageState */
    "  deleted INTEGER NOT NULL DEFAULT 0,"
    "  added_us INTEGER NOT NULL,"
    "  settled INTEGER NOT NULL DEFAULT 0,"
    "  more_failures INTEGER NOT NULL DEFAULT 0,"
    "  open INTEGER NOT NULL DEFAULT 0," /* launches by state */
    "  passed INTEGER NOT NULL DEFAULT 0,"
    "  failed INTEGER NOT NULL DEFAULT 0,"
    "  spent INTEGER NOT NULL DEFAULT 0,"
    "  unknown INTEGER NOT NULL DEFAULT 0,"
    "  lost INTEGER NOT NULL DEFAULT 0,"
    "  returned INTEGER NOT NULL DEFAULT 0"
    ") WITHOUT ROWID;"
    "CREATE TABLE pool ("
    "  ref INTEGER PRIMARY KEY,"
    "  account TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  definition TEXT NOT NULL,"
    "  next INTEGER," /* NULL = all have been given */
    "  free INTEGER NOT NULL DEFAULT 0," /* numbers that were given, by state */
    "  held INTEGER NOT NULL DEFAULT 0,"
    "  used INTEGER NOT NULL DEFAULT 0,"
    "  spent INTEGER NOT NULL DEFAULT 0,"
    "  UNIQUE (account, id)"
    ");"
    "CREATE TABLE image_pool ("
    "  image BLOB NOT NULL,"
    "  place INTEGER NOT NULL,"
    "  pool INTEGER NOT NULL,"
    "  PRIMARY KEY (image, place)"
    ") WITHOUT ROWID;"
    "CREATE TABLE number ("
    "  pool INTEGER NOT NULL,"
    "  number INTEGER NOT NULL,"
    "  state INTEGER NOT NULL," /* CORE_FREE, … */
    "  station INTEGER," /* who has it; NULL = free */
    "  launch BLOB,"
    "  PRIMARY KEY (pool, number)"
    ") WITHOUT ROWID;"
    "CREATE INDEX number_free ON number (pool, number) WHERE state = 1;"
    "CREATE TABLE launch ("
    "  id BLOB NOT NULL,"
    "  station INTEGER NOT NULL,"
    "  own INTEGER NOT NULL," /* 1 = this ledger is the authority; 0 = a JOB in a station's journal */
    "  image BLOB NOT NULL,"
    "  state INTEGER NOT NULL," /* CORE_OPEN or ImpResult */
    "  phase INTEGER NOT NULL," /* CORE_HELD, … */
    "  settled INTEGER NOT NULL DEFAULT 0,"
    "  seq INTEGER NOT NULL," /* station: place in the journal of this authority */
    "  start_number INTEGER NOT NULL," /* life that it was granted to */
    "  granted_us INTEGER NOT NULL,"
    "  port TEXT NOT NULL,"
    "  work_order TEXT NOT NULL,"
    "  person TEXT NOT NULL,"
    "  numbers BLOB," /* given to it: core_numbers_pack */
    "  PRIMARY KEY (id, station)"
    ") WITHOUT ROWID;"
    "CREATE INDEX launch_open ON launch (station, id) WHERE state = 1;"
    "CREATE TABLE record ("
    "  rec INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  station INTEGER NOT NULL,"
    "  launch BLOB NOT NULL,"
    "  own INTEGER NOT NULL,"
    "  image BLOB NOT NULL,"
    "  result INTEGER NOT NULL,"
    "  conflict INTEGER NOT NULL," /* 1 = not the first report of its launch */
    "  rework INTEGER NOT NULL,"
    "  after_settlement INTEGER NOT NULL,"
    "  received_us INTEGER NOT NULL,"
    "  confirmed_us INTEGER," /* station, own = 0: when the cloud had it */
    "  seq INTEGER NOT NULL,"
    "  start_number INTEGER NOT NULL,"
    "  port TEXT NOT NULL,"
    "  work_order TEXT NOT NULL,"
    "  person TEXT NOT NULL,"
    "  began_us INTEGER NOT NULL,"
    "  duration_ms INTEGER NOT NULL,"
    "  code INTEGER NOT NULL,"
    "  step TEXT NOT NULL,"
    "  address INTEGER," /* the bits of an unsigned integer */
    "  expected BLOB,"
    "  found BLOB,"
    "  uid BLOB,"
    "  numbers BLOB,"
    "  reads BLOB,"
    "  link_waits INTEGER NOT NULL,"
    "  link_faults INTEGER NOT NULL,"
    "  link_errors INTEGER NOT NULL,"
    "  link_retries INTEGER NOT NULL"
    ");"
    "CREATE INDEX record_launch ON record (launch, station);"
    "CREATE INDEX record_image ON record (image);"
    "CREATE INDEX record_station ON record (station);"
    "CREATE INDEX record_received ON record (received_us);"
    "CREATE INDEX record_unit ON record (image, uid) WHERE result = 2 AND conflict = 0 AND uid IS NOT NULL;"
    "CREATE INDEX record_unreported ON record (own) WHERE own = 0 AND confirmed_us IS NULL;"
    "CREATE TABLE alarm ("
    "  alarm INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  real_us INTEGER NOT NULL,"
    "  kind INTEGER NOT NULL," /* ImpAlarmKind */
    "  station BLOB NOT NULL,"
    "  launch BLOB NOT NULL,"
    "  image BLOB NOT NULL,"
    "  text TEXT NOT NULL"
    ");"
    "CREATE INDEX alarm_launch ON alarm (launch);"
    "CREATE TABLE audit ("
    "  row INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  real_us INTEGER NOT NULL,"
    "  person TEXT NOT NULL,"
    "  action TEXT NOT NULL,"
    "  subject TEXT NOT NULL,"
    "  reason TEXT NOT NULL"
    ");";

/* Rework: what a chip is known by, what becomes of it, and numbers that were given with a launch. */
static const char version_2[] =
    "ALTER TABLE image ADD COLUMN rework INTEGER NOT NULL DEFAULT 4;" /* ImpLedgerRework */
    "UPDATE image SET rework = 2 WHERE refuse_rework <> 0;"
    "ALTER TABLE image DROP COLUMN refuse_rework;"
    "ALTER TABLE image ADD COLUMN free_rework INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE image ADD COLUMN free_open INTEGER NOT NULL DEFAULT 0;" /* uncounted launches, open */
    "ALTER TABLE image ADD COLUMN free_used INTEGER NOT NULL DEFAULT 0;" /* … that would have used the count */
    "ALTER TABLE launch ADD COLUMN uid BLOB;" /* of its chip, once that is known */
    "ALTER TABLE launch ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;" /* 1 = its numbers are an earlier launch's */
    "ALTER TABLE launch ADD COLUMN uncounted INTEGER NOT NULL DEFAULT 0;" /* 1 = it does not use the count up */
    "UPDATE launch SET uid = (SELECT r.uid FROM record r WHERE r.launch = launch.id "
    "  AND r.station = launch.station AND r.conflict = 0);"
    "CREATE INDEX launch_unit ON launch (image, uid) WHERE uid IS NOT NULL;"
    "CREATE TABLE given (" /* external pools: which number stands for what was given */
    "  pool INTEGER NOT NULL,"
    "  bytes BLOB NOT NULL,"
    "  number INTEGER NOT NULL,"
    "  PRIMARY KEY (pool, bytes)"
    ") WITHOUT ROWID;";

/* The clock at which a unit was done, and the error that lowered it. */
static const char version_3[] = "ALTER TABLE record ADD COLUMN link_hz INTEGER NOT NULL DEFAULT 0;"
                                "ALTER TABLE record ADD COLUMN link_slowed_by INTEGER NOT NULL DEFAULT 0;";

const char *const ledger_schema[LEDGER_VERSION] = {version_1, version_2, version_3};
