#include "device/pack.h"

#include "base/error.h"
#include "device/flm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

/* End of central directory record: APPNOTE 4.3.16 */
#define END_BYTES          22u
#define END_COMMENT_MAX    65535u
#define END_ENTRIES        10u
#define END_DIRECTORY_SIZE 12u
#define READ_STEP          (64u * 1024)
#define DOS_1980           0x21 /* 1980-01-01: the oldest date that the format knows */

struct ImpPack {
    char *what;
    ImpPdsc *pdsc;
    char *pdsc_path; /* in the file, or on disk */
    GBytes *pdsc_bytes;
    zip_t *zip; /* NULL: unpacked */
    char *base; /* of the description in the file: "" or "folder/" */
    int folder; /* of the unpacked pack; -1 = none */
    guint64 taken; /* bytes */
};

static void refuse(const ImpPack *pack, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void refuse(const ImpPack *pack, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *valid = g_utf8_make_valid(why, -1);
    imp_error_set(error, IMP_E_PACK_FILE, "%s: %s", pack->what, valid);
}

static guint32 get_u16(const guint8 *p)
{
    return (guint32)p[0] | (guint32)p[1] << 8;
}

static guint32 get_u32(const guint8 *p)
{
    return get_u16(p) | get_u16(p + 2) << 16;
}

/* ---- before libzip sees it ---- */

/* libzip allocates what the end of the file announces, so everything there that looks like an end is looked at first; with
 * ZIP64 it would be somewhere else. */
static gboolean check_end(const ImpPack *pack, const guint8 *tail, gsize n_tail, GError **error)
{
    static const guint8 end_mark[] = {'P', 'K', 5, 6}, locator_mark[] = {'P', 'K', 6, 7};
    gboolean found = FALSE;
    for (gsize i = 0; n_tail >= END_BYTES && i <= n_tail - sizeof end_mark; i++) {
        if (memcmp(tail + i, locator_mark, sizeof locator_mark) == 0) {
            refuse(pack, error, "it is a ZIP64 file, which no pack needs to be");
            return FALSE;
        }
        if (memcmp(tail + i, end_mark, sizeof end_mark) != 0 || n_tail - i < END_BYTES)
            continue;
        found = TRUE;
        guint32 entries = get_u16(tail + i + END_ENTRIES), bytes = get_u32(tail + i + END_DIRECTORY_SIZE);
        if (entries > IMP_PACK_ENTRIES_MAX || bytes > IMP_PACK_DIRECTORY_MAX) {
            refuse(pack, error, "a list of %u entries in %u bytes; at most %u in %u", entries, bytes,
                   IMP_PACK_ENTRIES_MAX, IMP_PACK_DIRECTORY_MAX);
            return FALSE;
        }
    }
    if (!found)
        refuse(pack, error, "it is not a ZIP file, or cut off");
    return found;
}

static gboolean check_file(const ImpPack *pack, int fd, GError **error)
{
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        refuse(pack, error, "it is no file");
        return FALSE;
    }
    if ((guint64)about.st_size > IMP_PACK_BYTES_MAX) {
        refuse(pack, error, "it has %" G_GINT64_FORMAT " bytes; at most %" G_GUINT64_FORMAT,
               (gint64)about.st_size, IMP_PACK_BYTES_MAX);
        return FALSE;
    }
    gsize n_tail = (gsize)MIN((guint64)about.st_size, END_BYTES + END_COMMENT_MAX + END_BYTES);
    g_autofree guint8 *tail = g_malloc(n_tail + 1);
    if (pread(fd, tail, n_tail, about.st_size - (off_t)n_tail) != (gssize)n_tail) {
        imp_error_set(error, IMP_E_IO, "%s: %s", pack->what, g_strerror(errno));
        return FALSE;
    }
    return check_end(pack, tail, n_tail, error);
}

/* ---- the list of entries ---- */

/* An entry's path, taken as one of a file system: does it stay where it is? */
static gboolean stays_inside(const char *name)
{
    g_autofree char *slashes = g_strdelimit(g_strdup(name), "\\", '/');
    g_auto(GStrv) parts = g_strsplit(slashes, "/", -1);
    if (name[0] == '\0' || slashes[0] == '/' || (g_ascii_isalpha(name[0]) && name[1] == ':'))
        return FALSE;
    for (char **part = parts; *part != NULL; part++)
        if (strcmp(*part, "..") == 0)
            return FALSE;
    return TRUE;
}

static gboolean is_link(zip_t *zip, zip_uint64_t index)
{
    zip_uint8_t system = 0;
    zip_uint32_t attributes = 0;
    return zip_file_get_external_attributes(zip, index, 0, &system, &attributes) == 0 &&
           system == ZIP_OPSYS_UNIX && (attributes >> 16 & S_IFMT) == S_IFLNK;
}

/* "x.pdsc" in the base folder, or in one folder of it (specification, "Pack Conventions"). */
static gboolean is_description(const char *name)
{
    const char *slash = strchr(name, '/');
    return g_str_has_suffix(name, ".pdsc") && (slash == NULL || strchr(slash + 1, '/') == NULL);
}

static gboolean take_description(ImpPack *pack, const char *name, GError **error)
{
    guint old_depth = pack->pdsc_path != NULL && strchr(pack->pdsc_path, '/') != NULL;
    guint depth = strchr(name, '/') != NULL;
    if (pack->pdsc_path != NULL && old_depth == depth) {
        refuse(pack, error, "it has two descriptions, %s and %s", pack->pdsc_path, name);
        return FALSE;
    }
    if (pack->pdsc_path == NULL || depth < old_depth) {
        g_free(pack->pdsc_path);
        pack->pdsc_path = g_strdup(name);
    }
    return TRUE;
}

static gboolean check_entries(ImpPack *pack, GError **error)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    zip_int64_t n = zip_get_num_entries(pack->zip, 0);
    for (zip_int64_t i = 0; i < n; i++) {
        const char *name = zip_get_name(pack->zip, (zip_uint64_t)i, 0);
        if (name == NULL || !stays_inside(name)) {
            refuse(pack, error, "its entry '%s' leads out of the pack", name != NULL ? name : "");
            return FALSE;
        }
        if (!g_hash_table_add(names, (gpointer)name)) {
            refuse(pack, error, "it has the entry '%s' twice", name);
            return FALSE;
        }
        if (is_link(pack->zip, (zip_uint64_t)i)) {
            refuse(pack, error, "its entry '%s' is a symbolic link", name);
            return FALSE;
        }
        if (is_description(name) && !take_description(pack, name, error))
            return FALSE;
    }
    if (pack->pdsc_path == NULL)
        refuse(pack, error, "it has no description (.pdsc) in its base folder: not a CMSIS-Pack");
    return pack->pdsc_path != NULL;
}

/* ---- one entry ---- */

static gboolean check_sizes(const ImpPack *pack, const zip_stat_t *about, gsize max_bytes, GError **error)
{
    const zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE;
    if ((about->valid & needed) != needed || about->size > max_bytes) {
        refuse(pack, error, "%s has %" G_GUINT64_FORMAT " bytes; at most %zu", about->name,
               (guint64)about->size, max_bytes);
        return FALSE;
    }
    if (about->size > IMP_PACK_RATIO_FREE && about->size / IMP_PACK_RATIO_MAX > about->comp_size) {
        refuse(pack, error, "%s is packed more than %u times", about->name, IMP_PACK_RATIO_MAX);
        return FALSE;
    }
    if (pack->taken + about->size > IMP_PACK_TAKEN_MAX) {
        refuse(pack, error, "its algorithms have more than %u bytes together", IMP_PACK_TAKEN_MAX);
        return FALSE;
    }
    return TRUE;
}

/* Reads no more than the directory says, and insists on it. */
static GBytes *read_entry(ImpPack *pack, const zip_stat_t *about, GError **error)
{
    zip_file_t *file = zip_fopen_index(pack->zip, about->index, 0);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    zip_int64_t got = file != NULL ? 1 : -1;
    g_autofree guint8 *step = g_malloc(READ_STEP);
    while (got > 0) {
        got = zip_fread(file, step, READ_STEP);
        if (got > 0)
            g_byte_array_append(bytes, step, (guint)got);
        if (bytes->len > about->size)
            got = -1;
    }
    /* closing checks the CRC's result as well */
    int status = file != NULL ? zip_fclose(file) : -1;
    if (got != 0 || status != 0 || bytes->len != about->size) {
        refuse(pack, error, "%s cannot be unpacked: damaged, encrypted, or of another size than announced",
               about->name);
        return NULL;
    }
    pack->taken += bytes->len;
    return g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
}

static GBytes *read_zipped(ImpPack *pack, const char *name, gsize max_bytes, GError **error)
{
    zip_stat_t about;
    zip_stat_init(&about);
    zip_int64_t index = zip_name_locate(pack->zip, name, 0);
    if (index < 0)
        index = zip_name_locate(pack->zip, name, ZIP_FL_NOCASE);
    if (index < 0 || zip_stat_index(pack->zip, (zip_uint64_t)index, 0, &about) != 0) {
        imp_error_set(error, IMP_E_NOT_FOUND, "%s has no entry '%s'", pack->what, name);
        return NULL;
    }
    return check_sizes(pack, &about, max_bytes, error) ? read_entry(pack, &about, error) : NULL;
}

/* ---- an unpacked pack ---- */

/* Opens folder after folder, none through a symbolic link. -1 and errno. */
static int open_below(int folder, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    int fd = fcntl(folder, F_DUPFD_CLOEXEC, 0);
    for (char **part = parts; fd >= 0 && *part != NULL; part++) {
        int flags = part[1] != NULL ? O_RDONLY | O_DIRECTORY : O_RDONLY | O_NONBLOCK;
        int next = openat(fd, *part, flags | O_NOFOLLOW | O_CLOEXEC);
        int number = errno;
        close(fd);
        errno = number;
        fd = next;
    }
    return fd;
}

static GBytes *read_unpacked(ImpPack *pack, const char *path, gsize max_bytes, GError **error)
{
    struct stat about;
    int fd = stays_inside(path) ? open_below(pack->folder, path) : -1;
    if (fd < 0) {
        imp_error_set(error, IMP_E_NOT_FOUND, "%s: '%s' cannot be read beside it: %s", pack->what, path,
                      g_strerror(errno));
        return NULL;
    }
    g_autofree guint8 *bytes = NULL;
    gsize n_bytes = 0;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || (guint64)about.st_size > max_bytes ||
        pack->taken + (guint64)about.st_size > IMP_PACK_TAKEN_MAX) {
        refuse(pack, error, "'%s' is no file, or too large", path);
    } else {
        bytes = g_malloc((gsize)about.st_size + 1);
        gssize got = 1;
        while (got > 0 && n_bytes < (gsize)about.st_size) {
            got = read(fd, bytes + n_bytes, (gsize)about.st_size - n_bytes);
            n_bytes += got > 0 ? (gsize)got : 0;
        }
        if (n_bytes != (gsize)about.st_size) {
            imp_error_set(error, IMP_E_IO, "%s: '%s' cannot be read", pack->what, path);
            g_clear_pointer(&bytes, g_free);
        }
    }
    close(fd);
    pack->taken += n_bytes;
    return bytes != NULL ? g_bytes_new_take(g_steal_pointer(&bytes), n_bytes) : NULL;
}

/* ---- open ---- */

static ImpPack *new_pack(const char *what)
{
    ImpPack *pack = g_new0(ImpPack, 1);
    pack->what = g_strdup(what);
    pack->base = g_strdup("");
    pack->folder = -1;
    return pack;
}

void imp_pack_close(ImpPack *pack)
{
    if (pack == NULL)
        return;
    if (pack->zip != NULL)
        zip_discard(pack->zip);
    if (pack->folder >= 0)
        close(pack->folder);
    imp_pdsc_free(pack->pdsc);
    g_clear_pointer(&pack->pdsc_bytes, g_bytes_unref);
    g_free(pack->pdsc_path);
    g_free(pack->base);
    g_free(pack->what);
    g_free(pack);
}

/* Reads the description; the pack is complete then. */
static gboolean begin(ImpPack *pack, GError **error)
{
    g_autofree char *name = g_path_get_basename(pack->pdsc_path);
    g_autofree char *what =
        pack->zip != NULL ? g_strdup_printf("%s: %s", pack->what, name) : g_strdup(pack->what);
    pack->pdsc_bytes = pack->zip != NULL ? read_zipped(pack, pack->pdsc_path, IMP_PDSC_BYTES_MAX, error)
                                         : read_unpacked(pack, name, IMP_PDSC_BYTES_MAX, error);
    pack->pdsc = pack->pdsc_bytes != NULL ? imp_pdsc_parse(pack->pdsc_bytes, what, error) : NULL;
    return pack->pdsc != NULL;
}

/* Takes over zip. */
static gboolean begin_zip(ImpPack *pack, zip_t *zip, GError **error)
{
    pack->zip = zip;
    if (!check_entries(pack, error))
        return FALSE;
    const char *slash = strchr(pack->pdsc_path, '/');
    if (slash != NULL) {
        g_free(pack->base);
        pack->base = g_strndup(pack->pdsc_path, (gsize)(slash - pack->pdsc_path) + 1);
    }
    return begin(pack, error);
}

static void say_zip(const ImpPack *pack, int code, GError **error)
{
    zip_error_t why;
    zip_error_init_with_code(&why, code);
    refuse(pack, error, "it cannot be read as a ZIP file: %s", zip_error_strerror(&why));
    zip_error_fini(&why);
}

static ImpPack *open_zip(const char *path, GError **error)
{
    g_autoptr(ImpPack) pack = new_pack(path);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int code = 0;
    if (fd < 0) {
        imp_error_set(error, errno == ENOENT ? IMP_E_NOT_FOUND : IMP_E_IO, "%s: %s", path, g_strerror(errno));
        return NULL;
    }
    zip_t *zip = check_file(pack, fd, error) ? zip_fdopen(fd, 0, &code) : NULL;
    if (zip == NULL) {
        close(fd);
        if (code != 0)
            say_zip(pack, code, error);
        return NULL;
    }
    return begin_zip(pack, zip, error) ? g_steal_pointer(&pack) : NULL;
}

static ImpPack *open_unpacked(const char *path, GError **error)
{
    g_autoptr(ImpPack) pack = new_pack(path);
    g_autofree char *folder = g_path_get_dirname(path);
    pack->pdsc_path = g_strdup(path);
    pack->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pack->folder < 0) {
        imp_error_set(error, errno == ENOENT ? IMP_E_NOT_FOUND : IMP_E_IO, "%s: %s", folder,
                      g_strerror(errno));
        return NULL;
    }
    return begin(pack, error) ? g_steal_pointer(&pack) : NULL;
}

ImpPack *imp_pack_open(const char *path, GError **error)
{
    return g_str_has_suffix(path, ".pdsc") ? open_unpacked(path, error) : open_zip(path, error);
}

ImpPack *imp_pack_open_bytes(GBytes *bytes, const char *what, GError **error)
{
    g_autoptr(ImpPack) pack = new_pack(what);
    gsize n_bytes;
    const guint8 *data = g_bytes_get_data(bytes, &n_bytes);
    gsize n_tail = MIN(n_bytes, END_BYTES + END_COMMENT_MAX + END_BYTES);
    if (!check_end(pack, data + n_bytes - n_tail, n_tail, error))
        return NULL;
    zip_error_t why;
    zip_error_init(&why);
    zip_source_t *source = zip_source_buffer_create(data, n_bytes, 0, &why);
    zip_t *zip = source != NULL ? zip_open_from_source(source, ZIP_RDONLY, &why) : NULL;
    if (zip == NULL) {
        refuse(pack, error, "it cannot be read as a ZIP file: %s", zip_error_strerror(&why));
        zip_source_free(source);
    }
    zip_error_fini(&why);
    return zip != NULL && begin_zip(pack, zip, error) ? g_steal_pointer(&pack) : NULL;
}

const ImpPdsc *imp_pack_pdsc(const ImpPack *pack)
{
    return pack->pdsc;
}

GBytes *imp_pack_read(ImpPack *pack, const char *path, GError **error)
{
    if (pack->zip == NULL)
        return read_unpacked(pack, path, IMP_FLM_FILE_MAX, error);
    g_autofree char *name = g_strconcat(pack->base, path, NULL);
    return read_zipped(pack, name, IMP_FLM_FILE_MAX, error);
}

/* ---- write ---- */

/* FALSE: zip's error says why. The bytes stay the caller's, and must live until zip is closed. */
static gboolean add_entry(zip_t *zip, const char *name, GBytes *bytes)
{
    gsize n_bytes;
    const void *data = g_bytes_get_data(bytes, &n_bytes);
    zip_source_t *source = zip_source_buffer(zip, data, n_bytes, 0);
    zip_int64_t index = source != NULL ? zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
        zip_source_free(source);
        return FALSE;
    }
    return zip_file_set_dostime(zip, (zip_uint64_t)index, 0, DOS_1980, 0) == 0;
}

gboolean imp_pack_write(ImpPack *pack, const char *const *paths, const char *to, GError **error)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    for (const char *const *path = paths; *path != NULL; path++) {
        GBytes *bytes = imp_pack_read(pack, *path, error);
        if (bytes == NULL)
            return FALSE;
        g_ptr_array_add(files, bytes);
    }
    int code = 0;
    zip_t *zip = zip_open(to, ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (zip == NULL) {
        imp_error_set(error, IMP_E_IO, "%s: cannot be written", to);
        return FALSE;
    }
    g_autofree char *name = g_path_get_basename(pack->pdsc_path);
    gboolean good = add_entry(zip, name, pack->pdsc_bytes);
    for (guint i = 0; good && i < files->len; i++)
        good = add_entry(zip, paths[i], files->pdata[i]);
    if (good && zip_close(zip) == 0)
        return TRUE;
    imp_error_set(error, IMP_E_IO, "%s: %s", to, zip_strerror(zip));
    zip_discard(zip);
    return FALSE;
}
