/* Reads the description of a CMSIS-Pack (.pdsc): which devices it has, and what it says of each, with everything that a
 * device inherits from its family and sub-family (Open-CMSIS-Pack specification 1.7, "/package/devices element").
 *
 *     g_autoptr(ImpPdsc) pdsc = imp_pdsc_parse(bytes, "Acme.X1_DFP.pdsc", &error);
 *     g_autoptr(ImpPdscDevice) device = imp_pdsc_resolve(pdsc, i, NULL, &error);
 *
 * Descriptions come from outside and are not trusted: size, depth, number of elements and of devices are limited, there is
 * no network, and a document type or an entity of its own makes a description unusable: memory is proportional to the
 * bytes read. No I/O. Debug sequences are not carried out: a device that needs one to be reached cannot be attached to.
 *
 * Belongs to the library imp_device_pack (libxml2): the builder uses it, the station does not.
 * Thread rule: any thread; a finished ImpPdsc is immutable. */
#pragma once

#include <glib.h>

#define IMP_PDSC_BYTES_MAX      (32u * 1024 * 1024)
#define IMP_PDSC_DEPTH_MAX      64
#define IMP_PDSC_NODES_MAX      4000000u /* elements, texts, ends of elements */
#define IMP_PDSC_DEVICES_MAX    20000u
#define IMP_PDSC_PROPERTIES_MAX 200000u /* processors, memories, algorithms and the like, in the whole file */
#define IMP_PDSC_TEXT_MAX       512 /* bytes of a name or path */
#define IMP_PDSC_NAME_MAX       64 /* bytes of a device's name: images take no longer ones */
#define IMP_PDSC_OF_DEVICE_MAX  64 /* of each kind of property that one device may have */

typedef struct ImpPdsc ImpPdsc;

/* The form must hold; nothing is said yet of whether its devices can be used. what names the file in messages.
 * Errors: IMP_E_PACK_FILE with the line. */
ImpPdsc *imp_pdsc_parse(GBytes *bytes, const char *what, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_pdsc_free(ImpPdsc *pdsc);

/* Borrowed. The pack's vendor and name; its version is that of the newest release (the first one of the file). Only
 * letters, digits, '-', '_', '.', '+' and '~' (specification, "Pack File Name"; SemVer 2.0): they may be part of a file's
 * name. */
const char *imp_pdsc_vendor(const ImpPdsc *pdsc);
const char *imp_pdsc_name(const ImpPdsc *pdsc);
const char *imp_pdsc_version(const ImpPdsc *pdsc);

/* Devices and their variants, in the order of the file. A device with variants counts too: both names are in use. */
gsize imp_pdsc_device_count(const ImpPdsc *pdsc);
const char *imp_pdsc_device_name(const ImpPdsc *pdsc, gsize index); /* borrowed */
const char *imp_pdsc_device_vendor(const ImpPdsc *pdsc,
                                   gsize index); /* Dvendor without its number; borrowed */
const char *imp_pdsc_device_family(const ImpPdsc *pdsc, gsize index); /* borrowed */

/* The files of all algorithms that are in the format of FLM files, each once, in the order of the file; elements are char *.
 * Errors: IMP_E_PACK_FILE (a path that leads out of the pack, or none). */
GPtrArray *imp_pdsc_algorithm_files(const ImpPdsc *pdsc, GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    guint64 start, size_bytes;
    char *name;
    gboolean readable, writable, executable;
    gboolean is_default; /* no special considerations: algorithms may run there if it can be written */
} ImpPdscMemory;

typedef struct {
    char *file; /* inside the pack, with '/'; never leads out of it */
    gboolean has_range;
    guint64 start, size_bytes; /* what it is used for here; has_range */
    gboolean has_ram;
    guint64 ram_start, ram_bytes; /* where it may run; has_ram */
    gboolean is_default;
    guint level; /* 0 family … 3 variant */
} ImpPdscAlgorithm;

/* One device as seen by one of its cores. */
typedef struct {
    char *name, *vendor, *family;
    char *core; /* "Cortex-M3", as the file writes it */
    char *pname; /* the core's name; NULL for the only one */
    guint64 clock_hz; /* the highest clock; 0 = not told */
    GArray *memories; /* of ImpPdscMemory */
    GArray *algorithms; /* of ImpPdscAlgorithm: those in the format of FLM files (styles Keil and CMSIS) */
    guint debug_port, access_port; /* "debug": __dp and __ap */
    gboolean adiv6; /* the access port has an address in place of a number */
} ImpPdscDevice;

/* What the file says of a device, by the rules of inheritance: attributes of processors add up, an inner memory of the same
 * name changes the outer one, an inner algorithm of the same range goes before the outer. pname picks a core; NULL: the
 * only one, or the only Cortex-M. Errors: IMP_E_DEVICE_AMBIGUOUS (several cores: names them), IMP_E_DEVICE_UNKNOWN (no such
 * core), IMP_E_PACK_FILE. */
ImpPdscDevice *imp_pdsc_resolve(const ImpPdsc *pdsc, gsize index, const char *pname,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_pdsc_device_free(ImpPdscDevice *device);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpPdsc, imp_pdsc_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpPdscDevice, imp_pdsc_device_free)
