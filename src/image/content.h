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
#define IMP_CONTENT_POOLS_MAX       8
#define IMP_CONTENT_STEPS_MAX       256
#define IMP_CONTENT_FINALLY_MAX     16
#define IMP_CONTENT_PLACES_MAX      256
#define IMP_CONTENT_RANGES_MAX      256 /* of one step */
#define IMP_CONTENT_TESTS_MAX       16
#define IMP_CONTENT_TEST_SEGMENTS   64 /* of one test program */
#define IMP_CONTENT_TEST_BYTES_MAX  (1024u * 1024) /* likewise */
#define IMP_CONTENT_NAME_MAX        64 /* bytes of any name */
#define IMP_CONTENT_VALUE_BYTES_MAX 64 /* of one value that is read, scanned or measured by a test */
#define IMP_CONTENT_PLACE_BYTES_MAX 4096 /* also of one given value */
#define IMP_CONTENT_LOGGED_MAX                                                                               \
    16 /* values that are no numbers of pools, in one record; also of all that are read */
#define IMP_CONTENT_DIGEST_SUFFIX                                                                            \
    ".sha256" /* of the name under which a long given value stands in a record */
#define IMP_CONTENT_WRITE_MAX   64 /* bytes of one write step */
#define IMP_CONTENT_TEXT_MAX    256 /* bytes of an expected text, or of a label's rule */
#define IMP_CONTENT_WAIT_MS_MAX (10 * 60 * 1000) /* of a delay or a limit of time */
#define IMP_CONTENT_MV_MAX      60000
#define IMP_CONTENT_DATA_MAX    (128u * 1024 * 1024) /* all segments together */

/* Consecutive bytes of the merged memory map. Segments are sorted by address and neither overlap nor touch, except
 * where two data sources meet: each segment belongs to one. */
typedef struct {
    char *data; /* the recipe's name for the source: "app" */
    guint64 address;
    GBytes *bytes;
} ImpSegment;

/* Addresses, both inclusive. */
typedef struct {
    guint64 first, last;
} ImpRange;

/* A serial number pool that a launch takes a number from. The definition is canonical JSON (sorted members, no spaces)
 * in the form that ledger/pool.h specifies: bounds, step, format. Its SHA-256 is what authorities compare. */
typedef struct {
    char *id; /* "t2-serial" */
    char *definition;
} ImpPoolUse;

typedef enum {
    IMP_VALUE_POOL = 2, /* bytes come with the permit */
    IMP_VALUE_READ, /* bytes are read from the target, for the log */
    IMP_VALUE_BARCODE, /* bytes of the label that was scanned for this unit */
    IMP_VALUE_GIVEN, /* bytes come with the launch: dynamic data */
    IMP_VALUE_FROM_TEST, /* bytes of a block that a test program delivers */
} ImpValueKind;

typedef struct {
    char *name;
    ImpValueKind kind;
    guint32 pool_index; /* IMP_VALUE_POOL, and those with has_pool: in pools[] */
    gboolean has_pool; /* BARCODE, GIVEN: an external pool sees to it that it is used for one unit only */
    guint64 read_address; /* IMP_VALUE_READ */
    guint32 read_bytes;
    char *rule; /* IMP_VALUE_BARCODE: a regular expression (PCRE) that the whole label must match */
    guint32 size_min, size_max; /* IMP_VALUE_GIVEN: bytes, both inclusive */
    char *block; /* IMP_VALUE_FROM_TEST: its name */
    guint32 block_bytes; /* IMP_VALUE_FROM_TEST: exactly so many */
    gboolean log; /* the record keeps it */
    gboolean redact; /* the record keeps only that it was there, and its size; not for pools */
} ImpValue;

/* Where a value's bytes are written. */
typedef struct {
    guint32 value_index;
    guint64 address;
    guint32 size_bytes; /* a value longer than this is refused */
    guint8 pad; /* fills what a shorter value leaves */
    gboolean reversed; /* the value's last byte comes first; the pad stays behind it */
    gboolean over; /* it lies inside one segment, whose bytes it replaces; else apart from all segments */
} ImpPlace;

/* A program that runs in the target's RAM before the final programming, and speaks through a mailbox there. */
typedef struct {
    char *name;
    ImpSegment *segments; /* in RAM; their data name is the test's */
    gsize n_segments;
    guint32 entry_pc; /* without the Thumb bit */
    guint32 entry_sp;
    guint32 mailbox_address;
} ImpTestProgram;

typedef enum {
    IMP_STEP_ERASE = 2,
    IMP_STEP_PROGRAM,
    IMP_STEP_VERIFY,
    IMP_STEP_READ, /* reads IMP_VALUE_READ values that have not been read yet: all, or those that it names */
    IMP_STEP_RESET, /* resets the target and lets it run */
    IMP_STEP_BLANK_CHECK, /* fails unless the flash is erased */
    IMP_STEP_WRITE, /* writes bytes over the bus: RAM or a register */
    IMP_STEP_EXPECT, /* fails unless memory holds what it says */
    IMP_STEP_PROTECT, /* locks the chip */
    IMP_STEP_RUN, /* resets the target and waits for a text of its firmware */
    IMP_STEP_DELAY,
    IMP_STEP_POWER, /* switches the target's supply */
    IMP_STEP_TEST, /* runs a test program */
} ImpStepKind;

typedef enum {
    IMP_ERASE_ALL = 2, /* the chip's mass erase */
    IMP_ERASE_USED, /* the sectors that data and places touch */
    IMP_ERASE_RANGE, /* the sectors of a range, which are all wholly inside it */
} ImpEraseMode;

typedef enum {
    IMP_BLANK_ALL = 2, /* every memory that has an algorithm */
    IMP_BLANK_USED, /* the bytes of data and places */
    IMP_BLANK_RANGE,
} ImpBlankMode;

typedef enum {
    IMP_POWER_ON = 2,
    IMP_POWER_OFF,
    IMP_POWER_CYCLE, /* off, off_delay_ms, on, on_delay_ms */
} ImpPowerAction;

typedef enum {
    IMP_VERIFY_CHECKSUM = 2, /* on the target where that is faster, CRC-32 or stronger */
    IMP_VERIFY_READ_BACK,
} ImpVerifyMode;

/* Only the members of its kind count, the others are 0. */
typedef struct {
    ImpStepKind kind;
    ImpEraseMode erase; /* ERASE */
    ImpBlankMode blank; /* BLANK_CHECK */
    ImpRange range; /* IMP_ERASE_RANGE, IMP_BLANK_RANGE */
    ImpVerifyMode verify; /* VERIFY */
    ImpRange *ranges; /* PROGRAM, VERIFY: the segments and places inside these, sorted; none: everything */
    gsize n_ranges;
    /* READ: indexes in values[], rising; none: all. TEST: likewise, the numbers of pools that the program may ask for;
     * from then on they count as spent if the launch fails */
    guint32 *values;
    gsize n_values;
    guint64
        address; /* WRITE, EXPECT; RUN: the mailbox of the firmware, 0 = the text comes over the serial line */
    GBytes *bytes; /* WRITE */
    guint32 size_bytes; /* EXPECT: 1, 2, 4 or 8, one little-endian number */
    guint64 mask, low, high; /* EXPECT: low <= (number & mask) <= high */
    guint32 within_ms; /* EXPECT: it may take so long, 0 = at once; RUN: the text must come within this */
    guint32 level; /* PROTECT: 1 is the weakest */
    gboolean prove; /* PROTECT: connects again and passes only if reading is refused */
    char *text; /* RUN: what the firmware must say */
    guint32 delay_ms; /* DELAY */
    ImpPowerAction power; /* POWER */
    guint32 test_index; /* TEST: in tests[] */
    guint32 timeout_ms; /* TEST */
} ImpStep;

typedef enum {
    IMP_REWORK_REFUSE = 2, /* a unit that passed before is refused */
    IMP_REWORK_KEEP_VALUES, /* the same chip gets its old numbers again */
    IMP_REWORK_NEW_VALUES, /* the same chip gets new numbers */
} ImpReworkMode;

typedef enum {
    IMP_UNLOCK_NEVER = 0,
    IMP_UNLOCK_ERASE, /* a locked chip may be mass-erased to get in; counts as writing */
} ImpUnlock;

/* The target's supply, where the port has one that can be switched. */
typedef struct {
    gboolean has; /* the recipe says something about it */
    guint32 millivolts; /* 0 = as the supply is set */
    guint32 min_mv, max_mv; /* measured before connecting; 0, 0 = no limits */
    guint32 on_delay_ms, off_delay_ms;
    gboolean off_at_end;
} ImpPowerSettings;

typedef struct {
    char *name; /* never empty */
    char *version; /* "" if the recipe names none */
    ImpDevice *device;
    guint32 swd_hz;
    ImpAttachMode attach;
    ImpUnlock unlock;
    ImpPowerSettings power;
    ImpSegment *segments;
    gsize n_segments;
    ImpPoolUse *pools;
    gsize n_pools;
    ImpValue *values;
    gsize n_values;
    ImpPlace *places;
    gsize n_places;
    ImpTestProgram *tests;
    gsize n_tests;
    ImpStep *steps;
    gsize n_steps;
    ImpStep *finally; /* done after the others, also after a failure; only reset, write, delay and power */
    gsize n_finally;
    ImpReworkMode rework;
} ImpContent;

void imp_content_free(ImpContent *content);
void imp_step_done(ImpStep *step); /* frees what it points to */
void imp_test_program_done(ImpTestProgram *test); /* likewise */

/* Of a PROGRAM or VERIFY step: the first range that does not end before address; NULL if there is none. */
const ImpRange *imp_step_range_at(const ImpStep *step, guint64 address);

/* TRUE if a PROGRAM or VERIFY step is for these bytes, a whole segment or place. */
gboolean imp_step_selects(const ImpStep *step, guint64 address, guint64 n_bytes);

/* Is everything that the steps write verified afterwards? FALSE and the lowest address of a segment or place that is
 * programmed, or erased again, without a verify step for it that follows. Content that imp_content_check accepts. */
gboolean imp_content_verified(const ImpContent *content, guint64 *out_address);

/* Does it keep the rules that everyone below relies on? Limits above; names are UTF-8 without control characters, those of
 * values differ; segments and places are not empty, lie in the memories of the algorithms and apart from each other (but
 * for places that may lie over data), the segments sorted; values, places, pools and tests refer to what exists; what a
 * test delivers is known before it is programmed; ranges of steps cut no segment, place or sector; enums are in range.
 * Errors: E3030, E1004. */
gboolean imp_content_check(const ImpContent *content, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpContent, imp_content_free)

/* What a release restricts (DESIGN: restrictions). Part of an image, not of an object. */
typedef enum {
    IMP_COUNT_ON_PASS = 2,
    IMP_COUNT_ON_WRITE,
} ImpCountOn;

typedef struct {
    guint32 pool_index; /* in the content's pools[] */
    guint64 first, last; /* both inclusive, at most G_MAXINT64 */
} ImpNumberRange;

typedef struct {
    gboolean has_units;
    guint64 units; /* launches that may pass (or write: count_on) */
    gboolean has_max_failures;
    guint64 max_failures; /* launches that wrote and failed; at this number no new one begins */
    gboolean has_not_before, has_not_after;
    gint64 not_before_s, not_after_s; /* seconds since 1970 UTC, both inclusive */
    guint32 n_numbers; /* SAP: its parts of the pools (image/numbers.h) */
    ImpNumberRange numbers[IMP_CONTENT_POOLS_MAX]; /* by rising pool_index */
    ImpCountOn count_on;
    gboolean free_rework; /* a chip that has used up a unit uses up no second one */
} ImpRestrictions;
