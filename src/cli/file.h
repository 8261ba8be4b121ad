/* Files that the user names: read whole with a limit, written whole. "-" is standard input where it is said. */
#pragma once

#include "cli/cli.h"
#include "cli/print.h"

#define IMP_CLI_SECRET_MAX 4096 /* bytes of a password, token or code file */
#define IMP_CLI_CA_MAX     65536 /* bytes of a CA's certificate */

/* Reads a file of at most max_bytes. Errors: IMP_E_NOT_FOUND, IMP_E_IO, IMP_E_LIMIT. */
GBytes *imp_file_read(const char *path, gsize max_bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Replaces the file, durably; mode 0600 or 0644. Errors: IMP_E_IO. */
gboolean imp_file_write(const char *path, const void *bytes, gsize n_bytes, int mode,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Where a command's table goes: on out; with --csv into that file instead (- is out). With --json only a file is written.
 * Errors: IMP_E_IO; IMP_E_ARGUMENT for --json with --csv -. */
gboolean imp_file_print_table(const ImpCli *cli, const ImpTable *table,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The first line of a file or, for "-", of in, without its newline; at least one character. Free with
 * imp_file_free_secret. Errors: as above, IMP_E_ARGUMENT if it is empty. */
char *imp_file_read_secret(FILE *in, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Asks on err for a password; the terminal does not show it. Where in is no terminal, reads a line all the same. Free with
 * imp_file_free_secret. */
char *imp_file_ask_secret(const ImpCliEnv *env, const char *question,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Wipes and frees; NULL is allowed. */
void imp_file_free_secret(char *secret);

/* The share of a .share file: 64 hexadecimal digits. Errors: as above, IMP_E_ARGUMENT. */
gboolean imp_file_read_share(const char *path, guint8 out_share[32],
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "x.imp", ".imp", ".share": "x.share"; free with g_free. */
char *imp_file_beside(const char *path, const char *ending, const char *other);

/* "keys/acme-author.pub": "acme-author"; free with g_free. */
char *imp_file_stem(const char *path);
