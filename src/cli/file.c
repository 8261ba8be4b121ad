#include "cli/file.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>

GBytes *imp_file_read(const char *path, gsize max_bytes, GError **error)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        imp_error_set(error, imp_error_code_of_errno(errno), "%s: %s", path, g_strerror(errno));
        return NULL;
    }
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    guint8 chunk[16384];
    gsize n;
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0 && bytes->len + n <= max_bytes)
        g_byte_array_append(bytes, chunk, (guint)n);
    gboolean failed = ferror(file) != 0;
    int number = errno;
    fclose(file);
    if (failed) {
        imp_error_set(error, imp_error_code_of_errno(number), "%s: %s", path, g_strerror(number));
        return NULL;
    }
    if (n > 0) {
        imp_error_set(error, IMP_E_LIMIT, "%s: larger than %" G_GSIZE_FORMAT " bytes", path, max_bytes);
        return NULL;
    }
    return g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
}

/* A device or a pipe is written into: a new file in its place would take it away from everybody. */
static gboolean write_into(const char *path, const void *bytes, gsize n_bytes, GError **error)
{
    FILE *file = fopen(path, "we");
    gboolean written = file != NULL && fwrite(bytes, 1, n_bytes, file) == n_bytes && fflush(file) == 0;
    int number = errno;
    if (file != NULL)
        fclose(file);
    if (!written)
        imp_error_set(error, imp_error_code_of_errno(number), "%s: %s", path, g_strerror(number));
    return written;
}

gboolean imp_file_write(const char *path, const void *bytes, gsize n_bytes, int mode, GError **error)
{
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
        return write_into(path, bytes, n_bytes, error);
    g_autoptr(GError) failed = NULL;
    if (g_file_set_contents_full(path, bytes, (gssize)n_bytes,
                                 G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, mode, &failed))
        return TRUE;
    imp_error_set(error, imp_error_code_of_file(failed), "%s", failed->message);
    return FALSE;
}

gboolean imp_file_print_table(const ImpCli *cli, const ImpTable *table, GError **error)
{
    const char *path = cli->values[IMP_OPTION_CSV];
    if (path == NULL) {
        if (!cli->json)
            imp_table_print(table, cli->env->out);
        return TRUE;
    }
    if (strcmp(path, "-") == 0) {
        if (!cli->json) {
            imp_table_print_csv(table, cli->env->out);
            return TRUE;
        }
        imp_error_set(error, IMP_E_ARGUMENT, "--json and --csv - both want standard output: choose one");
        return FALSE;
    }
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        imp_error_set(error, imp_error_code_of_errno(errno), "%s: %s", path, g_strerror(errno));
        return FALSE;
    }
    imp_table_print_csv(table, file);
    gboolean written = fflush(file) == 0 && !ferror(file);
    written = fclose(file) == 0 && written;
    if (!written)
        imp_error_set(error, IMP_E_IO, "%s: %s", path, g_strerror(errno));
    else if (!cli->json)
        fprintf(cli->env->out, "%u lines written to %s\n", table->rows->len, path);
    return written;
}

void imp_file_free_secret(char *secret)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, strlen(secret));
    g_free(secret);
}

static char *read_line(FILE *in, const char *what, GError **error)
{
    char line[IMP_CLI_SECRET_MAX];
    if (fgets(line, sizeof line, in) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    char *secret = g_strdup(line);
    explicit_bzero(line, sizeof line);
    if (secret[0] != '\0')
        return secret;
    imp_file_free_secret(secret);
    imp_error_set(error, IMP_E_ARGUMENT, "%s: the first line is empty", what);
    return NULL;
}

char *imp_file_read_secret(FILE *in, const char *path, GError **error)
{
    if (strcmp(path, "-") == 0)
        return read_line(in, "standard input", error);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        imp_error_set(error, imp_error_code_of_errno(errno), "%s: %s", path, g_strerror(errno));
        return NULL;
    }
    char *secret = read_line(file, path, error);
    fclose(file);
    return secret;
}

char *imp_file_ask_secret(const ImpCliEnv *env, const char *question, GError **error)
{
    struct termios before;
    gboolean terminal = tcgetattr(fileno(env->in), &before) == 0;
    if (terminal) {
        struct termios silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(fileno(env->in), TCSAFLUSH, &silent);
    }
    fprintf(env->err, "%s: ", question);
    fflush(env->err);
    char *secret = read_line(env->in, question, error);
    if (terminal) {
        tcsetattr(fileno(env->in), TCSAFLUSH, &before);
        fputc('\n', env->err);
    }
    return secret;
}

char *imp_file_stem(const char *path)
{
    char *name = g_path_get_basename(path);
    char *dot = strrchr(name, '.');
    if (dot != NULL && dot != name)
        *dot = '\0';
    return name;
}

gboolean imp_file_read_share(const char *path, guint8 out_share[32], GError **error)
{
    char *text = imp_file_read_secret(NULL, path, error);
    if (text == NULL)
        return FALSE;
    gboolean good = imp_hex_decode(text, out_share, 32) == 32;
    if (!good)
        imp_error_set(error, IMP_E_ARGUMENT, "%s: a share is 64 hexadecimal digits", path);
    imp_file_free_secret(text);
    return good;
}

char *imp_file_beside(const char *path, const char *ending, const char *other)
{
    gsize n = strlen(path);
    if (g_str_has_suffix(path, ending))
        n -= strlen(ending);
    return g_strdup_printf("%.*s%s", (int)n, path, other);
}
