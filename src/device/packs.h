/* All chips that can be named: those that this version knows by itself (table.h), and those of the packs that were added to
 * a folder, one file each, reduced to description and flash algorithms: VENDOR.NAME.VERSION.pack.
 *
 * A device is named
 *     NAME             our own of that name; else that of the packs
 *     NAME:CORE        one of its cores
 *     NAME with A, B   with these flash algorithms of the pack, by their files' names without suffix (pack_device.h)
 *     QUALIFIER::NAME  of a pack: its vendor, the device's vendor, VENDOR.NAME or VENDOR.NAME.VERSION of the pack
 * Case counts for nothing. Of several versions of a pack the newest counts, unless the qualifier names another. Adding a pack
 * never changes what the name of one of our own chips means.
 *
 * Thread rule: functions of the file system; any thread. Files appear and disappear whole, so that several processes may work
 * on one folder. Belongs to the library imp_device_pack. */
#pragma once

#include "device/device.h"
#include "device/pdsc.h"

#define IMP_PACKS_MAX 256 /* packs in a folder */

typedef struct {
    char *vendor, *name, *version; /* of the pack */
    char *path;
    gboolean newest; /* no newer version of it is there */
    guint64 bytes; /* of the file */
} ImpPackEntry;

/* The packs of a folder, sorted by vendor, name and version; elements are ImpPackEntry. A folder that does not exist has none;
 * a file that cannot be read is passed over, and *out_bad (of char *, may be NULL) says why.
 * Errors: IMP_E_IO, IMP_E_LIMIT (more than IMP_PACKS_MAX). */
GPtrArray *imp_packs_list(const char *dir, GPtrArray *out_bad, GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    char *vendor, *name, *version;
    gsize n_devices; /* names that can be used now */
    gsize n_algorithms; /* files that were taken over */
    gboolean replaced; /* this very version was there */
    GPtrArray *notes; /* of char *: algorithms that cannot be used, and why */
} ImpPackAdded;

/* Adds the pack, or the unpacked one with this .pdsc, to the folder, which is made if need be. Durable when it returns.
 * Errors: those of imp_pack_open, IMP_E_ALGORITHM_FILE (not one algorithm can be used), IMP_E_IO. */
gboolean imp_packs_add(const char *dir, const char *path, ImpPackAdded *out_added,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_packs_added_done(ImpPackAdded *added);

/* Removes VENDOR.NAME in all versions, or VENDOR.NAME.VERSION; *out_removed: how many. Errors: IMP_E_NOT_FOUND, IMP_E_IO. */
gboolean imp_packs_remove(const char *dir, const char *words, guint *out_removed,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Device number index of a pack; borrowed during the call. */
typedef void (*ImpPackDeviceFn)(gpointer user, const ImpPackEntry *entry, const ImpPdsc *pdsc, gsize index);

/* Calls each with every device of the newest versions. Errors: those of imp_packs_list. */
gboolean imp_packs_each(const char *dir, ImpPackDeviceFn each, gpointer user,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Where a device comes from. */
typedef struct {
    char *pack; /* "VENDOR.NAME.VERSION"; NULL: one of our own */
    char *vendor, *family; /* of the device; NULL: one of our own */
    GPtrArray *notes; /* of char *: algorithms of it that are not used, and why */
} ImpDeviceOrigin;
void imp_device_origin_done(ImpDeviceOrigin *origin);

/* The device of these words. dir NULL: only our own. out_origin may be NULL. Free with imp_device_free.
 * Errors: IMP_E_DEVICE_UNKNOWN (names the nearest), IMP_E_DEVICE_AMBIGUOUS (names all that are meant, as they can be
 * written), those of imp_pack_device. */
ImpDevice *imp_packs_lookup(const char *dir, const char *words, ImpDeviceOrigin *out_origin,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
