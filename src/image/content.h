/* What an object or an image says is to be done with a unit: chip, data, values, steps. The builder makes it from a
 * recipe, an image carries it (codec: image/content_json.h and the payload's sections), a launch carries it out.
 *
 * Ownership: every pointer inside belongs to the struct; imp_content_free frees all. Immutable once made: may be read
 * from any thread. */
#pragma once

#include "base/error.h"
#include "device/device.h"

#define IMP_CONTENT_SEGMENTS_MAX    4096
#define IMP_CONTENT_VALUES_MAX      64
#define IMP_CONTENT_POOLS_MAX       1 /* one pool a launch, in this version */
#define IMP_CONTENT_STEPS_MAX       256
#define IMP_CONTENT_PLACES_MAX      256
#define IMP_CONTENT_NAME_MAX        64 /* bytes of any name */
#define IMP_CONTENT_VALUE_BYTES_MAX 64 /* of one value that is read or given */
#define IMP_CONTENT_PLACE_BYTES_MAX 4096
#define IMP_CONTENT_DATA_MAX        (64u * 1024 * 1024) /* all segments together */

/* Consecutive bytes of the merged memory map. Segments are sorted by address and neither overlap nor touch, except
 * where two data sources meet: each segment belongs to one. */
typedef struct {
    char *data; /* the recipe's name for the source: "app" */
    guint64 address;
    GBytes *bytes;
} ImpSegment;

/* A serial number pool that a launch takes a number from. The definition is canonical JSON (sorted members, no spaces)
 * in the form that ledger/pool.h specifies: bounds, step, format. Its SHA-256 is what authorities compare. */
typedef struct {
    char *id; /* "t2-serial" */
    char *definition;
} ImpPoolUse;

typedef enum {
    IMP_VALUE_POOL = 2, /* bytes come with the permit */
    IMP_VALUE_READ, /* bytes are read from the target, for the log */
} ImpValueKind;

typedef struct {
    char *name;
    ImpValueKind kind;
    guint32 pool_index; /* IMP_VALUE_POOL: in pools[] */
    guint64 read_address; /* IMP_VALUE_READ */
    guint32 read_bytes;
    gboolean log; /* the record keeps it */
} ImpValue;

/* Where a value's bytes are written. */
typedef struct {
    guint32 value_index;
    guint64 address;
    guint32 size_bytes; /* a value longer than this is refused */
    guint8 pad; /* fills what a shorter value leaves */
} ImpPlace;

typedef enum {
    IMP_STEP_ERASE = 2,
    IMP_STEP_PROGRAM,
    IMP_STEP_VERIFY,
    IMP_STEP_READ, /* reads every IMP_VALUE_READ value that has not been read yet */
    IMP_STEP_RESET, /* resets the target and lets it run */
} ImpStepKind;

typedef enum {
    IMP_ERASE_ALL = 2, /* the chip's mass erase */
    IMP_ERASE_USED, /* the sectors that data and places touch */
} ImpEraseMode;

typedef enum {
    IMP_VERIFY_CHECKSUM = 2, /* on the target where that is faster, CRC-32 or stronger */
    IMP_VERIFY_READ_BACK,
} ImpVerifyMode;

typedef struct {
    ImpStepKind kind;
    ImpEraseMode erase; /* IMP_STEP_ERASE */
    ImpVerifyMode verify; /* IMP_STEP_VERIFY */
} ImpStep;

typedef enum {
    IMP_REWORK_REFUSE = 2, /* a unit that passed before is refused */
    IMP_REWORK_KEEP_VALUES, /* the same chip gets its old numbers again */
    IMP_REWORK_NEW_VALUES, /* the same chip gets new numbers */
} ImpReworkMode;

typedef struct {
    char *name; /* never empty */
    char *version; /* "" if the recipe names none */
    ImpDevice *device;
    guint32 swd_hz;
    ImpAttachMode attach;
    ImpSegment *segments;
    gsize n_segments;
    ImpPoolUse *pools;
    gsize n_pools;
    ImpValue *values;
    gsize n_values;
    ImpPlace *places;
    gsize n_places;
    ImpStep *steps;
    gsize n_steps;
    ImpReworkMode rework;
} ImpContent;

void imp_content_free(ImpContent *content);

/* Does it keep the rules that everyone below relies on? Limits above; names are UTF-8 without control characters, those of
 * values differ; segments and places are not empty, lie in the memories of the algorithms and apart from each other, the
 * segments sorted; values, places and pools refer to what exists; enums are in range. Errors: E3030, E1004. */
gboolean imp_content_check(const ImpContent *content, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpContent, imp_content_free)

/* What a release restricts (DESIGN: restrictions). Part of an image, not of an object. */
typedef enum {
    IMP_COUNT_ON_PASS = 2,
    IMP_COUNT_ON_WRITE,
} ImpCountOn;

typedef struct {
    gboolean has_units;
    guint64 units; /* launches that may pass (or write: count_on) */
    gboolean has_max_failures;
    guint64 max_failures; /* launches that wrote and failed; at this number no new one begins */
    gboolean has_not_before, has_not_after;
    gint64 not_before_s, not_after_s; /* seconds since 1970 UTC, both inclusive */
    gboolean has_numbers; /* SAP: its part of the pool (image/numbers.h) */
    guint64 first_number, last_number; /* both inclusive, at most G_MAXINT64 */
    ImpCountOn count_on;
} ImpRestrictions;
