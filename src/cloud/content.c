/* Image files. They are opaque to the cloud: it reads the clear header and the digest, and can open nothing. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cloud/job.h"

#define READ_BYTES (256 * 1024)

int content_open_upload(ImpHttpRequest *request, gpointer user, GError **error)
{
    const ImpCloud *cloud = user;
    int fd = open(cloud->content_folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        imp_error_set(error, IMP_E_IO, "%s: %s", cloud->content_folder, g_strerror(errno));
    return fd;
}

ImpClear *content_inspect(int fd, GError **error)
{
    g_autoptr(ImpClearReader) reader = imp_clear_reader_new();
    g_autofree char *buffer = g_malloc(READ_BYTES);
    off_t at = 0;
    for (;;) {
        gssize n = pread(fd, buffer, READ_BYTES, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            imp_error_set(error, IMP_E_IO, "the upload cannot be read again: %s", g_strerror(errno));
            return NULL;
        }
        if (n == 0)
            break;
        if (!imp_clear_reader_update(reader, buffer, (gsize)n, error))
            return NULL;
        at += n;
    }
    return imp_clear_reader_final(reader, error);
}

char *content_path(const ImpCloud *cloud, const ImpId *image, const guint8 sha256[IMP_SHA256_BYTES])
{
    char id[IMP_ID_TEXT_SIZE];
    g_autofree char *digest = imp_hex_encode(sha256, IMP_SHA256_BYTES);
    g_autofree char *name = g_strdup_printf("%s-%s.imp", imp_id_text(image, id), digest);
    return g_build_filename(cloud->content_folder, name, NULL);
}

static gboolean sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

gboolean content_keep(ImpCloud *cloud, int fd, const ImpClear *clear, GError **error)
{
    g_autofree char *path = content_path(cloud, &clear->id, clear->file_sha256);
    char source[32];
    g_snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    if (fsync(fd) == 0 &&
        (linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 || errno == EEXIST) &&
        sync_folder(cloud->content_folder))
        return TRUE;
    imp_error_set(error, IMP_E_IO, "%s: %s", path, g_strerror(errno));
    return FALSE;
}
