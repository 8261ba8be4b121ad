#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* G_DEFINE_EXTENDED_ERROR wants a type and three functions that are named after the domain. */
typedef ImpErrorDetail ImpErrorPrivate;

static void imp_error_private_init(ImpErrorPrivate *priv)
{
    memset(priv, 0, sizeof *priv);
}

static void imp_error_private_copy(const ImpErrorPrivate *from, ImpErrorPrivate *to)
{
    *to = *from;
}

static void imp_error_private_clear(ImpErrorPrivate *priv)
{
    (void)priv;
}

static ImpErrorPrivate *imp_error_get_private(const GError *error);
G_DEFINE_EXTENDED_ERROR(ImpError, imp_error)

const ImpErrorEntry *imp_error_entry(int code)
{
    for (gsize i = 0; i < imp_error_entry_count; i++)
        if (imp_error_entries[i].code == code)
            return &imp_error_entries[i];
    return NULL;
}

const char *imp_disposition_name(ImpDisposition disposition)
{
    switch (disposition) {
    case IMP_DISPOSITION_RETRY:
        return "retry";
    case IMP_DISPOSITION_OPERATOR:
        return "operator";
    case IMP_DISPOSITION_REJECT_UNIT:
        return "reject-unit";
    case IMP_DISPOSITION_STATION_DOWN:
        return "station-down";
    case IMP_DISPOSITION_REFUSE:
        return "refuse";
    case IMP_DISPOSITION_BUG:
        return "bug";
    }
    g_assert_not_reached();
}

static G_GNUC_PRINTF(3, 0) void set_valist(GError **error, ImpErrorCode code, const char *format,
                                           va_list args)
{
    if (error == NULL)
        return;
    g_assert(*error == NULL);
    *error = g_error_new_valist(IMP_ERROR, (gint)code, format, args);
}

void imp_error_set(GError **error, ImpErrorCode code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_valist(error, code, format, args);
    va_end(args);
}

static guint8 keep(guint8 *to, const guint8 *from, gsize n_bytes)
{
    if (from == NULL)
        return 0;
    gsize kept = MIN(n_bytes, (gsize)IMP_ERROR_BYTES_MAX);
    memcpy(to, from, kept);
    return (guint8)kept;
}

void imp_error_set_at(GError **error, ImpErrorCode code, guint64 address, const guint8 *expected,
                      const guint8 *found, gsize n_bytes, const char *format, ...)
{
    if (error == NULL)
        return;
    va_list args;
    va_start(args, format);
    set_valist(error, code, format, args);
    va_end(args);
    ImpErrorDetail *detail = imp_error_get_private(*error);
    detail->has_address = TRUE;
    detail->address = address;
    detail->expected_bytes = keep(detail->expected, expected, n_bytes);
    detail->found_bytes = keep(detail->found, found, n_bytes);
}

void imp_error_set_values(GError **error, ImpErrorCode code, const guint8 *expected, const guint8 *found,
                          gsize n_bytes, const char *format, ...)
{
    if (error == NULL)
        return;
    va_list args;
    va_start(args, format);
    set_valist(error, code, format, args);
    va_end(args);
    ImpErrorDetail *detail = imp_error_get_private(*error);
    detail->expected_bytes = keep(detail->expected, expected, n_bytes);
    detail->found_bytes = keep(detail->found, found, n_bytes);
}

void imp_error_set_step(GError **error, const char *step)
{
    if (error == NULL || *error == NULL || (*error)->domain != IMP_ERROR)
        return;
    ImpErrorDetail *detail = imp_error_get_private(*error);
    if (detail->step[0] == '\0')
        g_strlcpy(detail->step, step, sizeof detail->step);
}

void imp_error_set_place(GError **error, guint64 address)
{
    if (error == NULL || *error == NULL || (*error)->domain != IMP_ERROR)
        return;
    ImpErrorDetail *detail = imp_error_get_private(*error);
    if (detail->has_address)
        return;
    detail->has_address = TRUE;
    detail->address = address;
}

const ImpErrorDetail *imp_error_detail(const GError *error)
{
    if (error == NULL || error->domain != IMP_ERROR)
        return NULL;
    return imp_error_get_private(error);
}

ImpErrorCode imp_error_code_of_errno(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return IMP_E_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EISDIR:
    case EROFS:
        return IMP_E_NO_ACCESS;
    default:
        return IMP_E_IO;
    }
}

ImpErrorCode imp_error_code_of_file(const GError *error)
{
    static const struct {
        GFileError file;
        int number;
    } known[] = {
        {G_FILE_ERROR_NOENT, ENOENT},
        {G_FILE_ERROR_NOTDIR, ENOTDIR},
        {G_FILE_ERROR_NAMETOOLONG, ENAMETOOLONG},
        {G_FILE_ERROR_ACCES, EACCES},
        {G_FILE_ERROR_PERM, EPERM},
        {G_FILE_ERROR_ISDIR, EISDIR},
        {G_FILE_ERROR_ROFS, EROFS},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(known); i++)
        if (g_error_matches(error, G_FILE_ERROR, (int)known[i].file))
            return imp_error_code_of_errno(known[i].number);
    return IMP_E_IO;
}

int imp_error_code(const GError *error)
{
    return error != NULL && error->domain == IMP_ERROR ? error->code : IMP_E_BUG;
}
