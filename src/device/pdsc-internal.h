/* The description as it stands in the file, before inheritance. Internal to pdsc.c and pdsc_device.c. */
#pragma once

#include "base/error.h"
#include "device/pdsc.h"

typedef enum {
    PDSC_PROCESSOR = 0,
    PDSC_MEMORY,
    PDSC_ALGORITHM,
    PDSC_DEBUG,
    PDSC_ACCESS_PORT,
    PDSC_KINDS,
} PdscKind;

/* An attribute that counts. A name of none of the others' kinds may stand in any element. */
typedef enum {
    PDSC_PNAME = 0,
    PDSC_CORE, /* Dcore */
    PDSC_CLOCK, /* Dclock */
    PDSC_NAME, /* of memory and algorithm */
    PDSC_ID, /* of a memory, before 1.4 */
    PDSC_ACCESS,
    PDSC_START,
    PDSC_SIZE,
    PDSC_DEFAULT,
    PDSC_RAM_START,
    PDSC_RAM_SIZE,
    PDSC_STYLE,
    PDSC_ENDIAN,
    PDSC_DP, /* __dp */
    PDSC_AP, /* __ap */
    PDSC_APID, /* __apid */
    PDSC_INDEX, /* of accessportV1 */
    PDSC_ADDRESS, /* of accessportV2 */
    PDSC_ATTRIBUTES,
} PdscAttribute;

/* One element: its attributes as written, NULL where missing. */
typedef struct {
    PdscKind kind;
    guint line;
    char *text[PDSC_ATTRIBUTES];
} PdscProperty;

/* A family, sub-family, device or variant. */
typedef struct PdscLevel PdscLevel;
struct PdscLevel {
    const PdscLevel *parent; /* NULL for a family */
    guint depth; /* 0 family, 1 sub-family, 2 device, 3 variant */
    char *name;
    char *vendor; /* "" except for a family */
    GPtrArray *properties; /* of PdscProperty; in the order of the file */
};

struct ImpPdsc {
    char *what;
    char *vendor, *name, *version;
    GPtrArray *levels; /* all of them, owned */
    GPtrArray *devices; /* those of depth 2 and 3, borrowed */
};

/* The number of an attribute: decimal or hexadecimal with 0x (PACK.xsd, NonNegativeInteger). */
gboolean imp_pdsc_number(const char *text, guint64 *out_number);
