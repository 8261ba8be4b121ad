/* The images that a station has, as files of its data folder:
 *
 *     images/local/ID.imp     loaded by a person
 *     images/cloud/ID.imp     delivered by the cloud
 *     images/cloud/ID.part    being delivered (resumed after a restart)
 *     *.damaged               set aside at start: its digest was wrong
 *
 * A file appears under its name only when it is whole, checked and durable; the folder says where it came from. The store
 * never opens an image: it knows the clear header and the digest of the file.
 *
 * Life cycle: imp_store_open scans the folder; entries live until they are removed. A launch holds its image
 * (imp_store_hold), and an image that is held is not removed.
 * Thread rule: the event loop's thread, but for imp_store_temporary. */
#pragma once

#include "image/clear.h"

#define IMP_STORE_IMAGES_MAX 1000
#define IMP_STORE_BYTES_MAX  (G_GUINT64_CONSTANT(8) * 1024 * 1024 * 1024) /* default of the configuration */

typedef struct ImpStore ImpStore;

typedef enum {
    IMP_SOURCE_LOCAL = 2,
    IMP_SOURCE_CLOUD,
} ImpSource;

/* "local", "cloud" */
const char *imp_source_name(ImpSource source);

/* Borrowed from the store until the entry is removed. */
typedef struct {
    ImpClear *clear;
    ImpSource source;
    gint64 loaded_real_us;
    guint held; /* by launches */
    gboolean withdrawn; /* the cloud has taken it back: goes as soon as nothing holds it */
    char *path;
} ImpStoreEntry;

typedef struct {
    const char *folder; /* is made with mode 0700 if it is not there */
    guint images_max; /* 0: IMP_STORE_IMAGES_MAX */
    guint64 bytes_max; /* 0: IMP_STORE_BYTES_MAX */
} ImpStoreOptions;

/* Errors: E1002. Damaged files are set aside with a warning. */
ImpStore *imp_store_open(const ImpStoreOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_store_free(ImpStore *store); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpStore, imp_store_free)

/* An unnamed file in the store's file system, for an upload; -1 and E1002. Any thread. */
int imp_store_temporary(const ImpStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Checks the file behind fd whole and keeps it, durable on return; cloud_ca_sha256 as in imp_clear_check_station (a JOB of
 * another cloud and an unencrypted image from a cloud are refused). The descriptor stays the caller's and must be of a
 * file in the store's file system. An image that is there already: *out_new FALSE, and nothing changes; the same ID with
 * other bytes is E6004. An image that was delivered and is now loaded by a person stays the cloud's.
 * Errors: E3001 to E3009, E6008, E1002, E6003 (limits), E6004. */
gboolean imp_store_add(ImpStore *store, int fd, ImpSource source, const guint8 *cloud_ca_sha256,
                       const ImpStoreEntry **out_entry, gboolean *out_new,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Errors: E1009; E6005 while a launch holds it. Durable on return. */
gboolean imp_store_remove(ImpStore *store, const ImpId *id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Marks an image as taken back by the cloud; it is removed at once or when the last launch lets it go. FALSE if there is
 * none of that ID. */
gboolean imp_store_withdraw(ImpStore *store, const ImpId *id);

/* Takes the mark away again: the cloud offers the image anew. */
void imp_store_restore(ImpStore *store, const ImpId *id);

/* NULL if it is not there. */
const ImpStoreEntry *imp_store_find(const ImpStore *store, const ImpId *id);
/* By ID, or by name if exactly one has it. Errors: E1009, E1001 (several have that name). */
const ImpStoreEntry *imp_store_resolve(const ImpStore *store, const char *id_or_name,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
guint imp_store_size(const ImpStore *store);
/* In the order of loading. */
const ImpStoreEntry *imp_store_at(const ImpStore *store, guint index);

void imp_store_hold(ImpStore *store, const ImpId *id);
/* TRUE if it was withdrawn meanwhile and is gone now. */
gboolean imp_store_release(ImpStore *store, const ImpId *id);
