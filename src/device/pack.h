/* A CMSIS-Pack: its description and the flash algorithms that it names, taken out of the file in memory; nothing is ever
 * unpacked into a folder. Also an unpacked one, from its .pdsc beside the files.
 *
 * Packs come from outside and are not trusted. Refused: what is no ZIP file or has more entries or a larger directory than
 * the limits, an entry that leads out of the pack, a symbolic link, two entries of one name, an entry that grows beyond
 * its limit or its ratio, more than one description. Memory is bounded by the limits below, whatever the file says.
 *
 * Life cycle: open, read, close. Belongs to the library imp_device_pack (libzip): the builder uses it, the station does not.
 * Thread rule: one thread at a time uses a pack.
 * Source: Open-CMSIS-Pack specification 1.7, "Pack Conventions"; PKWARE APPNOTE 6.3.10, 4.3.16 and 4.4 (ZIP). */
#pragma once

#include "device/pdsc.h"

#define IMP_PACK_BYTES_MAX     G_GUINT64_CONSTANT(0x80000000) /* 2 GiB; the largest of vendors have some 100 MB */
#define IMP_PACK_ENTRIES_MAX   65534u /* what a ZIP file without ZIP64 may have */
#define IMP_PACK_DIRECTORY_MAX (16u * 1024 * 1024) /* bytes of the list of entries */
#define IMP_PACK_TAKEN_MAX     (128u * 1024 * 1024) /* bytes taken out in sum */
#define IMP_PACK_RATIO_MAX     200u /* of an entry larger than IMP_PACK_RATIO_FREE */
#define IMP_PACK_RATIO_FREE    (1u * 1024 * 1024)

typedef struct ImpPack ImpPack;

/* path ends in ".pdsc" (of an unpacked pack), or is a pack, whatever it ends in.
 * Errors: IMP_E_NOT_FOUND, IMP_E_IO, IMP_E_PACK_FILE. */
ImpPack *imp_pack_open(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same from bytes, which may be changed no more; what names them in messages. Errors: IMP_E_PACK_FILE. */
ImpPack *imp_pack_open_bytes(GBytes *bytes, const char *what, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* NULL is allowed. */
void imp_pack_close(ImpPack *pack);

/* Borrowed. */
const ImpPdsc *imp_pack_pdsc(const ImpPack *pack);

/* One file of the pack, by its path from the folder of the description. Case counts, unless nothing else is there: vendors'
 * tools run where it does not. Errors: IMP_E_NOT_FOUND, IMP_E_PACK_FILE, IMP_E_IO. */
GBytes *imp_pack_read(ImpPack *pack, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Writes a pack of the description and these files (paths, NULL-terminated; each once) to a file that is there already and
 * is empty. The same content gives the same bytes. Errors: those of imp_pack_read, IMP_E_IO. */
gboolean imp_pack_write(ImpPack *pack, const char *const *paths, const char *to,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpPack, imp_pack_close)
