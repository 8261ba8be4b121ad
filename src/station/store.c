#include "station/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct ImpStore {
    char *folder;
    char *folders[2]; /* by source, see folder_of */
    guint images_max;
    guint64 bytes_max;
    GPtrArray *entries; /* ImpStoreEntry, in the order of loading */
};

static const char *const source_names[] = {[IMP_SOURCE_LOCAL] = "local", [IMP_SOURCE_CLOUD] = "cloud"};

const char *imp_source_name(ImpSource source)
{
    g_assert(source == IMP_SOURCE_LOCAL || source == IMP_SOURCE_CLOUD);
    return source_names[source];
}

static const char *folder_of(const ImpStore *store, ImpSource source)
{
    return store->folders[source - IMP_SOURCE_LOCAL];
}

static void entry_free(gpointer data)
{
    ImpStoreEntry *entry = data;
    if (entry == NULL)
        return;
    imp_clear_free(entry->clear);
    g_free(entry->path);
    g_free(entry);
}

static gboolean sync_folder(const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        int saved = errno;
        if (fd >= 0)
            close(fd);
        imp_error_set(error, IMP_E_IO, "%s: %s", path, g_strerror(saved));
        return FALSE;
    }
    close(fd);
    return TRUE;
}

static gboolean make_folder(const char *path, GError **error)
{
    if (g_mkdir_with_parents(path, 0700) == 0)
        return TRUE;
    imp_error_set(error, IMP_E_IO, "%s: %s", path, g_strerror(errno));
    return FALSE;
}

static gint by_loading(gconstpointer a, gconstpointer b)
{
    const ImpStoreEntry *x = *(ImpStoreEntry *const *)a, *y = *(ImpStoreEntry *const *)b;
    if (x->loaded_real_us != y->loaded_real_us)
        return x->loaded_real_us < y->loaded_real_us ? -1 : 1;
    return strcmp(x->path, y->path);
}

static gint64 changed_us(const struct stat *st)
{
    return (gint64)st->st_mtim.tv_sec * G_USEC_PER_SEC + st->st_mtim.tv_nsec / 1000;
}

/* Takes one file of the folder into the list, or sets it aside. */
static void scan_file(ImpStore *store, ImpSource source, const char *name)
{
    g_autofree char *path = g_build_filename(folder_of(store, source), name, NULL);
    g_autoptr(GError) error = NULL;
    struct stat st;
    if (stat(path, &st) != 0)
        return;
    g_autoptr(ImpClear) clear = imp_clear_read_file(path, &error);
    char text[IMP_ID_TEXT_SIZE];
    if (clear != NULL && !(strncmp(name, imp_id_text(&clear->id, text), 32) == 0))
        imp_error_set(&error, IMP_E_STORE_DIFFERS, "%s holds image %s", path, text);
    if (error != NULL) {
        g_autofree char *aside = g_strconcat(path, ".damaged", NULL);
        g_warning("image set aside: %s: %s", path, error->message);
        if (rename(path, aside) != 0)
            g_warning("%s: %s", aside, g_strerror(errno));
        return;
    }
    if (imp_store_find(store, &clear->id) != NULL) {
        g_warning("%s: this image is in the other folder, too; left alone", path);
        return;
    }
    ImpStoreEntry *entry = g_new0(ImpStoreEntry, 1);
    entry->clear = g_steal_pointer(&clear);
    entry->source = source;
    entry->loaded_real_us = changed_us(&st);
    entry->path = g_steal_pointer(&path);
    g_ptr_array_add(store->entries, entry);
}

static gboolean scan(ImpStore *store, ImpSource source, GError **error)
{
    g_autoptr(GError) own = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder_of(store, source), 0, &own);
    if (dir == NULL) {
        imp_error_set(error, IMP_E_IO, "%s", own->message);
        return FALSE;
    }
    for (const char *name; (name = g_dir_read_name(dir)) != NULL;)
        if (strlen(name) == 32 + strlen(".imp") && g_str_has_suffix(name, ".imp"))
            scan_file(store, source, name);
    return TRUE;
}

ImpStore *imp_store_open(const ImpStoreOptions *options, GError **error)
{
    g_autoptr(ImpStore) store = g_new0(ImpStore, 1);
    store->folder = g_strdup(options->folder);
    store->images_max = options->images_max > 0 ? options->images_max : IMP_STORE_IMAGES_MAX;
    store->bytes_max = options->bytes_max > 0 ? options->bytes_max : IMP_STORE_BYTES_MAX;
    store->entries = g_ptr_array_new_with_free_func(entry_free);
    for (ImpSource source = IMP_SOURCE_LOCAL; source <= IMP_SOURCE_CLOUD; source++) {
        store->folders[source - IMP_SOURCE_LOCAL] =
            g_build_filename(store->folder, source_names[source], NULL);
        if (!make_folder(folder_of(store, source), error) || !scan(store, source, error))
            return NULL;
    }
    g_ptr_array_sort(store->entries, by_loading);
    return g_steal_pointer(&store);
}

void imp_store_free(ImpStore *store)
{
    if (store == NULL)
        return;
    if (store->entries != NULL)
        g_ptr_array_unref(store->entries);
    g_free(store->folders[0]);
    g_free(store->folders[1]);
    g_free(store->folder);
    g_free(store);
}

int imp_store_temporary(const ImpStore *store, GError **error)
{
    int fd = open(store->folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0)
        imp_error_set(error, IMP_E_IO, "%s: no temporary file: %s", store->folder, g_strerror(errno));
    return fd;
}

/* Reads the file behind fd from its beginning: what is it, and is it whole? */
static ImpClear *read_clear(int fd, GError **error)
{
    g_autoptr(ImpClearReader) reader = imp_clear_reader_new();
    guint8 buf[65536];
    for (off_t at = 0;;) {
        ssize_t n = pread(fd, buf, sizeof buf, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            imp_error_set(error, IMP_E_IO, "image file: %s", g_strerror(errno));
            return NULL;
        }
        if (n == 0)
            return imp_clear_reader_final(reader, error);
        if (!imp_clear_reader_update(reader, buf, (gsize)n, error))
            return NULL;
        at += n;
    }
}

static gboolean check_space(const ImpStore *store, const ImpClear *clear, GError **error)
{
    guint64 bytes = clear->file_bytes;
    for (guint i = 0; i < store->entries->len; i++)
        bytes += imp_store_at(store, i)->clear->file_bytes;
    if (store->entries->len >= store->images_max) {
        imp_error_set(error, IMP_E_STORE_FULL, "the store holds its %u images; delete one first",
                      store->images_max);
        return FALSE;
    }
    if (bytes > store->bytes_max) {
        imp_error_set(error, IMP_E_STORE_FULL,
                      "with this image the store would hold %" G_GUINT64_FORMAT
                      " bytes, more than its %" G_GUINT64_FORMAT "; delete one first",
                      bytes, store->bytes_max);
        return FALSE;
    }
    return TRUE;
}

/* Gives the file behind fd its name: contents first, then the name, then the folder reach the disk. */
static gboolean link_file(const ImpStore *store, int fd, ImpSource source, const char *path, GError **error)
{
    g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", fd);
    if (fsync(fd) != 0 || linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) != 0) {
        imp_error_set(error, IMP_E_IO, "%s: %s", path, g_strerror(errno));
        return FALSE;
    }
    return sync_folder(folder_of(store, source), error);
}

gboolean imp_store_add(ImpStore *store, int fd, ImpSource source, const guint8 *cloud_ca_sha256,
                       const ImpStoreEntry **out_entry, gboolean *out_new, GError **error)
{
    g_autoptr(ImpClear) clear = read_clear(fd, error);
    if (clear == NULL || !imp_clear_check_station(clear, cloud_ca_sha256, source == IMP_SOURCE_CLOUD, error))
        return FALSE;
    char text[IMP_ID_TEXT_SIZE];
    imp_id_text(&clear->id, text);
    const ImpStoreEntry *known = imp_store_find(store, &clear->id);
    if (known != NULL) {
        if (memcmp(known->clear->file_sha256, clear->file_sha256, sizeof clear->file_sha256) != 0) {
            imp_error_set(error, IMP_E_STORE_DIFFERS, "image %s is here already with other bytes", text);
            return FALSE;
        }
        *out_entry = known;
        *out_new = FALSE;
        return TRUE;
    }
    if (!check_space(store, clear, error))
        return FALSE;

    g_autofree char *path = g_strdup_printf("%s/%s.imp", folder_of(store, source), text);
    struct stat st;
    if (!link_file(store, fd, source, path, error))
        return FALSE;
    ImpStoreEntry *entry = g_new0(ImpStoreEntry, 1);
    entry->clear = g_steal_pointer(&clear);
    entry->source = source;
    entry->loaded_real_us = fstat(fd, &st) == 0 ? changed_us(&st) : 0;
    entry->path = g_steal_pointer(&path);
    g_ptr_array_add(store->entries, entry);
    *out_entry = entry;
    *out_new = TRUE;
    return TRUE;
}

static ImpStoreEntry *find(const ImpStore *store, const ImpId *id, guint *out_index)
{
    for (guint i = 0; i < store->entries->len; i++) {
        ImpStoreEntry *entry = g_ptr_array_index(store->entries, i);
        if (!imp_id_equal(&entry->clear->id, id))
            continue;
        if (out_index != NULL)
            *out_index = i;
        return entry;
    }
    return NULL;
}

gboolean imp_store_remove(ImpStore *store, const ImpId *id, GError **error)
{
    char text[IMP_ID_TEXT_SIZE];
    guint index = 0;
    ImpStoreEntry *entry = find(store, id, &index);
    if (entry == NULL) {
        imp_error_set(error, IMP_E_NOT_FOUND, "there is no image %s in the store", imp_id_text(id, text));
        return FALSE;
    }
    if (entry->held > 0) {
        imp_error_set(error, IMP_E_IMAGE_IN_USE, "image %s (%s) is in use by %u launches",
                      imp_id_text(id, text), entry->clear->name, entry->held);
        return FALSE;
    }
    if (unlink(entry->path) != 0 && errno != ENOENT) {
        imp_error_set(error, IMP_E_IO, "%s: %s", entry->path, g_strerror(errno));
        return FALSE;
    }
    ImpSource source = entry->source;
    g_ptr_array_remove_index(store->entries, index);
    return sync_folder(folder_of(store, source), error);
}

/* A withdrawn image that nothing holds goes; one whose file cannot be removed stays listed as withdrawn. */
static gboolean remove_withdrawn(ImpStore *store, const ImpStoreEntry *entry)
{
    if (!entry->withdrawn || entry->held > 0)
        return FALSE;
    g_autoptr(GError) error = NULL;
    ImpId id = entry->clear->id;
    if (imp_store_remove(store, &id, &error))
        return TRUE;
    g_warning("withdrawn image: %s", error->message);
    return FALSE;
}

gboolean imp_store_withdraw(ImpStore *store, const ImpId *id)
{
    ImpStoreEntry *entry = find(store, id, NULL);
    if (entry == NULL)
        return FALSE;
    entry->withdrawn = TRUE;
    (void)remove_withdrawn(store, entry);
    return TRUE;
}

void imp_store_restore(ImpStore *store, const ImpId *id)
{
    ImpStoreEntry *entry = find(store, id, NULL);
    if (entry != NULL)
        entry->withdrawn = FALSE;
}

const ImpStoreEntry *imp_store_find(const ImpStore *store, const ImpId *id)
{
    return find(store, id, NULL);
}

const ImpStoreEntry *imp_store_resolve(const ImpStore *store, const char *id_or_name, GError **error)
{
    ImpId id;
    const ImpStoreEntry *found = NULL;
    if (imp_id_parse(id_or_name, &id))
        found = imp_store_find(store, &id);
    for (guint i = 0; found == NULL && i < store->entries->len; i++) {
        if (strcmp(imp_store_at(store, i)->clear->name, id_or_name) != 0)
            continue;
        found = imp_store_at(store, i);
        for (guint k = i + 1; k < store->entries->len; k++)
            if (strcmp(imp_store_at(store, k)->clear->name, id_or_name) == 0) {
                imp_error_set(error, IMP_E_ARGUMENT, "several images are called \"%s\"; give the image's ID",
                              id_or_name);
                return NULL;
            }
    }
    if (found == NULL)
        imp_error_set(error, IMP_E_NOT_FOUND, "there is no image \"%s\" in the store", id_or_name);
    return found;
}

guint imp_store_size(const ImpStore *store)
{
    return store->entries->len;
}

const ImpStoreEntry *imp_store_at(const ImpStore *store, guint index)
{
    g_assert(index < store->entries->len);
    return g_ptr_array_index(store->entries, index);
}

void imp_store_hold(ImpStore *store, const ImpId *id)
{
    ImpStoreEntry *entry = find(store, id, NULL);
    g_assert(entry != NULL);
    entry->held++;
}

gboolean imp_store_release(ImpStore *store, const ImpId *id)
{
    ImpStoreEntry *entry = find(store, id, NULL);
    g_assert(entry != NULL && entry->held > 0);
    entry->held--;
    return remove_withdrawn(store, entry);
}
