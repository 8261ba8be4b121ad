#include "device/packs.h"

#include "base/error.h"
#include "base/nearest.h"
#include "device/flm.h"
#include "device/pack_device.h"
#include "device/table.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX    ".pack"
#define TEMPORARY ".new-XXXXXX"

/* ---- the folder ---- */

static void entry_free(gpointer data)
{
    ImpPackEntry *entry = data;
    g_free(entry->vendor);
    g_free(entry->name);
    g_free(entry->version);
    g_free(entry->path);
    g_free(entry);
}

static void take_pack(const ImpPdsc *pdsc, char **vendor, char **name, char **version)
{
    *vendor = g_strdup(imp_pdsc_vendor(pdsc));
    *name = g_strdup(imp_pdsc_name(pdsc));
    *version = g_strdup(imp_pdsc_version(pdsc));
}

/* Numbers by their value, the rest by its letters; "1.10" is newer than "1.9", "1.0" newer than "1.0-rc" (SemVer 2.0, 11). */
static int compare_versions(const char *a, const char *b)
{
    for (;;) {
        if (g_ascii_isdigit(*a) && g_ascii_isdigit(*b)) {
            char *after_a, *after_b;
            guint64 x = g_ascii_strtoull(a, &after_a, 10), y = g_ascii_strtoull(b, &after_b, 10);
            if (x != y)
                return x < y ? -1 : 1;
            a = after_a;
            b = after_b;
        } else if (*a != *b || *a == '\0') {
            if (*a == *b)
                return 0;
            if (*a == '-' || *b == '-')
                return *a == '-' ? -1 : 1;
            return *a < *b ? -1 : 1;
        } else {
            a++;
            b++;
        }
    }
}

static gint compare_entries(gconstpointer a, gconstpointer b)
{
    const ImpPackEntry *const *x = a, *const *y = b;
    int order = g_ascii_strcasecmp((*x)->vendor, (*y)->vendor);
    if (order == 0)
        order = g_ascii_strcasecmp((*x)->name, (*y)->name);
    return order != 0 ? order : compare_versions((*x)->version, (*y)->version);
}

static gboolean is_same_pack(const ImpPackEntry *a, const ImpPackEntry *b)
{
    return g_ascii_strcasecmp(a->vendor, b->vendor) == 0 && g_ascii_strcasecmp(a->name, b->name) == 0;
}

/* Opens a file of the folder; NULL with a sentence in bad. */
static ImpPack *open_entry(const char *path, GPtrArray *bad)
{
    g_autoptr(GError) why = NULL;
    ImpPack *pack = imp_pack_open(path, &why);
    if (pack == NULL && bad != NULL)
        g_ptr_array_add(bad, g_strdup(why->message));
    return pack;
}

static gboolean add_entry(GPtrArray *list, char *path, GPtrArray *bad, GError **error)
{
    g_autofree char *owned = path;
    g_autoptr(ImpPack) pack = open_entry(path, bad);
    if (pack == NULL)
        return TRUE;
    if (list->len >= IMP_PACKS_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "%s: more than %d packs; imprint device remove takes one away",
                      path, IMP_PACKS_MAX);
        return FALSE;
    }
    struct stat about = {0};
    ImpPackEntry *entry = g_new0(ImpPackEntry, 1);
    take_pack(imp_pack_pdsc(pack), &entry->vendor, &entry->name, &entry->version);
    entry->bytes = stat(path, &about) == 0 ? (guint64)about.st_size : 0;
    entry->path = g_steal_pointer(&owned);
    entry->newest = TRUE;
    g_ptr_array_add(list, entry);
    return TRUE;
}

GPtrArray *imp_packs_list(const char *dir, GPtrArray *out_bad, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(entry_free);
    g_autoptr(GError) why = NULL;
    g_autoptr(GDir) folder = g_dir_open(dir, 0, &why);
    if (folder == NULL && !g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        imp_error_set(error, IMP_E_IO, "%s", why->message);
        return NULL;
    }
    const char *name;
    while (folder != NULL && (name = g_dir_read_name(folder)) != NULL)
        if (name[0] != '.' && g_str_has_suffix(name, SUFFIX) &&
            !add_entry(list, g_build_filename(dir, name, NULL), out_bad, error))
            return NULL;
    g_ptr_array_sort(list, compare_entries);
    for (guint i = 0; i + 1 < list->len; i++)
        ((ImpPackEntry *)list->pdata[i])->newest = !is_same_pack(list->pdata[i], list->pdata[i + 1]);
    return g_steal_pointer(&list);
}

/* ---- add ---- */

void imp_packs_added_done(ImpPackAdded *added)
{
    g_clear_pointer(&added->vendor, g_free);
    g_clear_pointer(&added->name, g_free);
    g_clear_pointer(&added->version, g_free);
    g_clear_pointer(&added->notes, g_ptr_array_unref);
}

/* Every algorithm that some device names, each once; NULL-terminated after finish. Only those that can be read. */
static gboolean collect(ImpPack *pack, GPtrArray *paths, ImpPackAdded *added, GError **error)
{
    const ImpPdsc *pdsc = imp_pack_pdsc(pack);
    GError *first = NULL;
    added->n_devices = imp_pdsc_device_count(pdsc);
    g_autoptr(GPtrArray) named = imp_pdsc_algorithm_files(pdsc, error);
    if (named == NULL)
        return FALSE;
    for (guint i = 0; i < named->len; i++) {
        const char *path = named->pdata[i];
        GError *why = NULL;
        g_autoptr(GBytes) bytes = imp_pack_read(pack, path, &why);
        g_autoptr(ImpAlgorithm) algorithm = bytes != NULL ? imp_flm_parse(bytes, path, &why) : NULL;
        if (algorithm != NULL) {
            g_ptr_array_add(paths, g_strdup(path));
            continue;
        }
        g_ptr_array_add(added->notes, g_strdup(why->message));
        if (first == NULL)
            first = why;
        else
            g_error_free(why);
    }
    added->n_algorithms = paths->len;
    g_ptr_array_add(paths, NULL);
    if (added->n_algorithms > 0) {
        g_clear_error(&first);
        return TRUE;
    }
    if (first != NULL)
        g_propagate_error(error, first);
    else
        imp_error_set(error, IMP_E_PACK_FILE, "%s.%s has no flash algorithms that Imprint could use",
                      added->vendor, added->name);
    return FALSE;
}

static gboolean sync_path(const char *path, int flags, GError **error)
{
    int fd = open(path, flags | O_CLOEXEC);
    gboolean good = fd >= 0 && fsync(fd) == 0;
    int number = errno;
    if (fd >= 0)
        close(fd);
    if (!good)
        imp_error_set(error, IMP_E_IO, "%s: %s", path, g_strerror(number));
    return good;
}

/* Into a file of another name first, so that the pack appears whole or not at all. */
static gboolean store(ImpPack *pack, const char *dir, const char *const *paths, ImpPackAdded *added,
                      GError **error)
{
    g_autofree char *file = g_strdup_printf("%s.%s.%s" SUFFIX, added->vendor, added->name, added->version);
    g_autofree char *path = g_build_filename(dir, file, NULL);
    g_autofree char *temporary = g_build_filename(dir, TEMPORARY, NULL);
    int fd = g_mkdir_with_parents(dir, 0700) == 0 ? g_mkstemp_full(temporary, O_RDWR | O_CLOEXEC, 0600) : -1;
    if (fd < 0) {
        imp_error_set(error, IMP_E_IO, "%s: %s", dir, g_strerror(errno));
        return FALSE;
    }
    close(fd);
    added->replaced = g_file_test(path, G_FILE_TEST_EXISTS);
    gboolean good = imp_pack_write(pack, paths, temporary, error) && sync_path(temporary, O_RDONLY, error);
    if (good && g_rename(temporary, path) != 0) {
        imp_error_set(error, IMP_E_IO, "%s: %s", path, g_strerror(errno));
        good = FALSE;
    }
    if (!good)
        g_unlink(temporary);
    return good && sync_path(dir, O_RDONLY | O_DIRECTORY, error);
}

gboolean imp_packs_add(const char *dir, const char *path, ImpPackAdded *out_added, GError **error)
{
    g_autoptr(ImpPack) pack = imp_pack_open(path, error);
    if (pack == NULL)
        return FALSE;
    ImpPackAdded added = {.notes = g_ptr_array_new_with_free_func(g_free)};
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    take_pack(imp_pack_pdsc(pack), &added.vendor, &added.name, &added.version);
    if (!collect(pack, paths, &added, error) ||
        !store(pack, dir, (const char *const *)paths->pdata, &added, error)) {
        imp_packs_added_done(&added);
        return FALSE;
    }
    *out_added = added;
    return TRUE;
}

/* ---- remove ---- */

/* "VENDOR.NAME" or "VENDOR.NAME.VERSION" */
static gboolean is_named(const ImpPackEntry *entry, const char *words)
{
    g_autofree char *pack = g_strdup_printf("%s.%s", entry->vendor, entry->name);
    g_autofree char *release = g_strdup_printf("%s.%s", pack, entry->version);
    return g_ascii_strcasecmp(words, pack) == 0 || g_ascii_strcasecmp(words, release) == 0;
}

gboolean imp_packs_remove(const char *dir, const char *words, guint *out_removed, GError **error)
{
    g_autoptr(GPtrArray) list = imp_packs_list(dir, NULL, error);
    g_autoptr(GString) known = g_string_new("");
    guint removed = 0;
    for (guint i = 0; list != NULL && i < list->len; i++) {
        const ImpPackEntry *entry = list->pdata[i];
        g_string_append_printf(known, "%s%s.%s.%s", known->len > 0 ? ", " : "; there are: ", entry->vendor,
                               entry->name, entry->version);
        if (!is_named(entry, words))
            continue;
        if (g_unlink(entry->path) != 0) {
            imp_error_set(error, IMP_E_IO, "%s: %s", entry->path, g_strerror(errno));
            return FALSE;
        }
        removed++;
    }
    if (list == NULL)
        return FALSE;
    if (removed == 0) {
        imp_error_set(error, IMP_E_NOT_FOUND, "no pack '%s' was added%s", words, known->str);
        return FALSE;
    }
    *out_removed = removed;
    return sync_path(dir, O_RDONLY | O_DIRECTORY, error);
}

/* ---- devices ---- */

gboolean imp_packs_each(const char *dir, ImpPackDeviceFn each, gpointer user, GError **error)
{
    g_autoptr(GPtrArray) list = imp_packs_list(dir, NULL, error);
    for (guint i = 0; list != NULL && i < list->len; i++) {
        const ImpPackEntry *entry = list->pdata[i];
        g_autoptr(ImpPack) pack = entry->newest ? open_entry(entry->path, NULL) : NULL;
        const ImpPdsc *pdsc = pack != NULL ? imp_pack_pdsc(pack) : NULL;
        for (gsize k = 0; pdsc != NULL && k < imp_pdsc_device_count(pdsc); k++)
            each(user, entry, pdsc, k);
    }
    return list != NULL;
}

#define WITH " with "

/* "Keil::LPC4357:Cortex-M4 with LPC43xx_S25FL032" in its parts. */
typedef struct {
    char *qualifier, *name, *core; /* NULL where not given, but for name */
    char **wanted; /* flash algorithms; NULL: none */
} Words;

static void split(const char *text, Words *words)
{
    g_autofree char *device = g_strdup(text);
    char *with = strstr(device, WITH);
    words->wanted = NULL;
    if (with != NULL) {
        words->wanted = g_strsplit(with + strlen(WITH), ",", -1);
        for (char **name = words->wanted; *name != NULL; name++)
            g_strstrip(*name);
        *with = '\0';
    }
    g_strstrip(device);
    const char *colons = strstr(device, "::");
    const char *name = colons != NULL ? colons + 2 : device;
    const char *colon = strchr(name, ':');
    words->qualifier = colons != NULL ? g_strndup(device, (gsize)(colons - device)) : NULL;
    words->name = colon != NULL ? g_strndup(name, (gsize)(colon - name)) : g_strdup(name);
    words->core = colon != NULL ? g_strdup(colon + 1) : NULL;
}

static void words_done(Words *words)
{
    g_free(words->qualifier);
    g_free(words->name);
    g_free(words->core);
    g_strfreev(words->wanted);
}

void imp_device_origin_done(ImpDeviceOrigin *origin)
{
    g_clear_pointer(&origin->pack, g_free);
    g_clear_pointer(&origin->vendor, g_free);
    g_clear_pointer(&origin->family, g_free);
    g_clear_pointer(&origin->notes, g_ptr_array_unref);
}

typedef struct {
    const Words *words;
    ImpPack *pack; /* the match: owned */
    gsize index;
    GString *all; /* every match, as it can be written */
    guint matches;
    GPtrArray *names; /* every name, for the nearest one; owned */
} Search;

/* Whether a version that is not the newest is meant, by its whole name. */
static gboolean is_release(const ImpPackEntry *entry, const char *qualifier)
{
    g_autofree char *release = g_strdup_printf("%s.%s.%s", entry->vendor, entry->name, entry->version);
    return qualifier != NULL && g_ascii_strcasecmp(qualifier, release) == 0;
}

static gboolean is_meant(const Search *search, const ImpPackEntry *entry, const ImpPdsc *pdsc, gsize index)
{
    const char *qualifier = search->words->qualifier;
    if (g_ascii_strcasecmp(imp_pdsc_device_name(pdsc, index), search->words->name) != 0)
        return FALSE;
    return qualifier == NULL || g_ascii_strcasecmp(qualifier, entry->vendor) == 0 ||
           g_ascii_strcasecmp(qualifier, imp_pdsc_device_vendor(pdsc, index)) == 0 ||
           is_named(entry, qualifier);
}

static void search_pack(Search *search, const ImpPackEntry *entry)
{
    if (!entry->newest && !is_release(entry, search->words->qualifier))
        return;
    g_autoptr(ImpPack) pack = open_entry(entry->path, NULL);
    const ImpPdsc *pdsc = pack != NULL ? imp_pack_pdsc(pack) : NULL;
    gboolean found = FALSE;
    for (gsize i = 0; pdsc != NULL && i < imp_pdsc_device_count(pdsc); i++) {
        g_ptr_array_add(search->names, g_strdup(imp_pdsc_device_name(pdsc, i)));
        if (found || !is_meant(search, entry, pdsc, i)) /* twice in one pack: the first one */
            continue;
        found = TRUE;
        search->matches++;
        g_string_append_printf(search->all, "%s%s.%s::%s", search->all->len > 0 ? ", " : "", entry->vendor,
                               entry->name, imp_pdsc_device_name(pdsc, i));
        search->index = i;
    }
    if (!found)
        return;
    imp_pack_close(search->pack);
    search->pack = g_steal_pointer(&pack);
}

static gboolean is_own(const char *name)
{
    for (const char *const *own = imp_device_names(); *own != NULL; own++)
        if (g_ascii_strcasecmp(*own, name) == 0)
            return TRUE;
    return FALSE;
}

static void say_unknown(const Search *search, const char *words, GError **error)
{
    for (const char *const *own = imp_device_names(); *own != NULL; own++)
        g_ptr_array_add(search->names, g_strdup(*own));
    g_ptr_array_add(search->names, NULL);
    const char *nearest = imp_nearest(search->words->name, (const char *const *)search->names->pdata);
    if (nearest != NULL && g_ascii_strcasecmp(nearest, search->words->name) != 0)
        imp_error_set(error, IMP_E_DEVICE_UNKNOWN, "there is no device '%s'; did you mean '%s'?", words,
                      nearest);
    else
        imp_error_set(error, IMP_E_DEVICE_UNKNOWN, "there is no device '%s'", words);
}

static ImpDevice *make_found(Search *search, ImpDeviceOrigin *origin, GError **error)
{
    const ImpPdsc *pdsc = imp_pack_pdsc(search->pack);
    GPtrArray *notes = g_ptr_array_new_with_free_func(g_free);
    ImpDevice *device = imp_pack_device(search->pack, search->index, search->words->core,
                                        (const char *const *)search->words->wanted, notes, error);
    if (device != NULL && origin != NULL)
        *origin = (ImpDeviceOrigin){
            .pack = g_strdup_printf("%s.%s.%s", imp_pdsc_vendor(pdsc), imp_pdsc_name(pdsc),
                                    imp_pdsc_version(pdsc)),
            .vendor = g_strdup(imp_pdsc_device_vendor(pdsc, search->index)),
            .family = g_strdup(imp_pdsc_device_family(pdsc, search->index)),
            .notes = g_ptr_array_ref(notes),
        };
    g_ptr_array_unref(notes);
    return device;
}

static ImpDevice *lookup_in_packs(const char *dir, const char *text, const Words *words,
                                  ImpDeviceOrigin *origin, GError **error)
{
    g_autoptr(GPtrArray) list = imp_packs_list(dir, NULL, error);
    if (list == NULL)
        return NULL;
    Search search = {
        .words = words, .all = g_string_new(""), .names = g_ptr_array_new_with_free_func(g_free)};
    for (guint i = 0; i < list->len; i++)
        search_pack(&search, list->pdata[i]);
    ImpDevice *device = NULL;
    if (search.matches == 1)
        device = make_found(&search, origin, error);
    else if (search.matches == 0)
        say_unknown(&search, text, error);
    else
        imp_error_set(error, IMP_E_DEVICE_AMBIGUOUS, "'%s' is in %u packs: write one of %s", text,
                      search.matches, search.all->str);
    imp_pack_close(search.pack);
    g_string_free(search.all, TRUE);
    g_ptr_array_unref(search.names);
    return device;
}

ImpDevice *imp_packs_lookup(const char *dir, const char *text, ImpDeviceOrigin *out_origin, GError **error)
{
    Words words;
    split(text, &words);
    ImpDevice *device = NULL;
    if (dir != NULL &&
        (words.qualifier != NULL || words.core != NULL || words.wanted != NULL || !is_own(words.name))) {
        device = lookup_in_packs(dir, text, &words, out_origin, error);
    } else {
        device = imp_device_lookup(text, error);
        if (device != NULL && out_origin != NULL)
            *out_origin = (ImpDeviceOrigin){.notes = g_ptr_array_new_with_free_func(g_free)};
    }
    words_done(&words);
    return device;
}
