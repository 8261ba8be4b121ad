/* imprint build, seal, inspect, diff, verify, explain: what authors do, with files only. */
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/print.h"
#include "cli/recipe.h"
#include "cli/remote.h"
#include "image/diff.h"
#include "image/image.h"
#include "image/numbers.h"
#include "image/seal.h"
#include "image/share.h"

#include <string.h>

static const char *option(const ImpCli *cli, ImpOption which)
{
    return cli->values[which];
}

static void set_text(ImpCli *cli, const char *name, const char *text)
{
    json_object_set_new(cli->result, name, json_string(text));
}

gboolean imp_command_build(ImpCli *cli, GError **error)
{
    const char *path;
    if (!imp_cli_require(cli, IMP_OPTION_OUTPUT, &path, error))
        return FALSE;
    g_autoptr(ImpObject) object = imp_recipe_object(cli, cli->arguments[0], NULL, NULL, error);
    g_autoptr(GBytes) file = object != NULL ? imp_object_encode(object, error) : NULL;
    if (file == NULL ||
        !imp_file_write(path, g_bytes_get_data(file, NULL), g_bytes_get_size(file), 0644, error))
        return FALSE;
    const ImpContent *content = object->content;
    guint64 size_bytes = 0;
    for (gsize i = 0; i < content->n_segments; i++)
        size_bytes += g_bytes_get_size(content->segments[i].bytes);
    g_autofree char *digest = imp_hex_encode(object->content_sha256, IMP_SHA256_BYTES);
    g_autofree char *provenance = imp_hex_encode(object->provenance_sha256, IMP_SHA256_BYTES);
    g_autofree char *size = imp_print_size(size_bytes);
    set_text(cli, "object", path);
    set_text(cli, "name", content->name);
    set_text(cli, "version", content->version);
    set_text(cli, "device", content->device->name);
    set_text(cli, "content_sha256", digest);
    set_text(cli, "provenance_sha256", provenance);
    json_object_set_new(cli->result, "bytes", json_integer((json_int_t)size_bytes));
    if (!cli->json)
        fprintf(cli->env->out, "%s: %s%s%s for %s, %s in %" G_GSIZE_FORMAT " segments\n  content  %s\n", path,
                content->name, content->version[0] != '\0' ? " " : "", content->version,
                content->device->name, size, content->n_segments, digest);
    return TRUE;
}

/* Everything that sealing needs; done frees it. */
typedef struct {
    ImpKey *author, *image_key;
    ImpSealTerms terms;
} Seal;

static void seal_done(Seal *seal)
{
    imp_key_unref(seal->author);
    imp_key_unref(seal->image_key);
    imp_seal_terms_done(&seal->terms);
}

static gboolean load_keys(ImpCli *cli, Seal *seal, GError **error)
{
    const char *author;
    if (!imp_cli_require(cli, IMP_OPTION_AUTHOR_KEY, &author, error))
        return FALSE;
    seal->author = imp_key_load(author, error);
    if (seal->author == NULL)
        return FALSE;
    if (seal->terms.encrypt_to == NULL)
        return TRUE;
    seal->image_key = imp_key_load(seal->terms.encrypt_to, error);
    return seal->image_key != NULL;
}

/* The SAP's own numbers, and what follows from them. */
static void tell_numbers(ImpCli *cli, const ImpObject *object, const ImpRestrictions *restrictions)
{
    if (restrictions->n_numbers == 0)
        return;
    json_t *list = json_array();
    for (guint32 i = 0; i < restrictions->n_numbers; i++) {
        const ImpNumberRange *range = &restrictions->numbers[i];
        const char *pool = object->content->pools[range->pool_index].id;
        g_autofree char *text = imp_numbers_text(pool, range->first, range->last);
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "pool", pool, "first",
                                              (json_int_t)range->first, "last", (json_int_t)range->last));
        if (!cli->json)
            fprintf(cli->env->out, "  numbers %s\n", text);
    }
    json_object_set_new(cli->result, "numbers", list);
    if (!cli->json)
        fprintf(cli->env->out, "  %s\n", IMP_NUMBERS_WARNING);
}

static void tell_sealed(ImpCli *cli, const char *path, const char *statement_path, const ImpSealed *sealed)
{
    const ImpClear *clear = sealed->clear;
    char id[IMP_ID_TEXT_SIZE];
    imp_id_text(&clear->id, id);
    set_text(cli, "image", path);
    set_text(cli, "id", id);
    set_text(cli, "kind", imp_image_kind_name(clear->kind));
    json_object_set_new(cli->result, "encrypted", json_boolean(clear->encrypted));
    json_object_set_new(cli->result, "bytes", json_integer((json_int_t)clear->file_bytes));
    if (statement_path != NULL)
        set_text(cli, "statement", statement_path);
    if (cli->json)
        return;
    g_autofree char *size = imp_print_size(clear->file_bytes);
    fprintf(cli->env->out, "%s: %s %s, %s, %s\n", path, clear->kind == IMP_IMAGE_JOB ? "JOB" : "SAP", id,
            size, clear->encrypted ? "encrypted" : "not encrypted: an ordinary file that anyone can read");
    if (statement_path != NULL)
        fprintf(cli->env->out, "%s: its statement, for the cloud\n", statement_path);
}

/* The share as text, mode 0600: a secret on its way to the cloud. */
static gboolean write_share(ImpCli *cli, const char *path, const ImpSealed *sealed, GError **error)
{
    char text[IMP_SHARE_TEXT + 1];
    char *hex = imp_hex_encode(sealed->share->bytes, IMP_SHARE_BYTES);
    g_snprintf(text, sizeof text, "%s\n", hex);
    imp_file_free_secret(hex);
    gboolean done = imp_file_write(path, text, strlen(text), 0600, error);
    explicit_bzero(text, sizeof text);
    if (!done)
        return FALSE;
    set_text(cli, "share", path);
    if (!cli->json)
        fprintf(cli->env->out,
                "%s: the cloud's share of its key, a secret: registering hands it to the cloud\n", path);
    return TRUE;
}

static gboolean seal_with(ImpCli *cli, Seal *seal, const char *path, GError **error)
{
    g_autoptr(ImpObject) object = imp_object_load(cli->arguments[0], error);
    if (object == NULL || !imp_seal_terms_read(cli, object->content, &seal->terms, error) ||
        !load_keys(cli, seal, error))
        return FALSE;
    ImpSealOptions options = {.kind = seal->terms.kind,
                              .restrictions = seal->terms.restrictions,
                              .author = seal->author,
                              .image_key = seal->image_key,
                              .cloud_ca_sha256 =
                                  seal->terms.kind == IMP_IMAGE_JOB ? seal->terms.cloud_ca_sha256 : NULL,
                              .factory = seal->terms.kind == IMP_IMAGE_JOB ? seal->terms.factory : NULL,
                              .release_by_cloud = seal->terms.by_cloud,
                              .random = cli->env->random};
    g_autoptr(ImpSealed) sealed = imp_image_seal(object, &options, error);
    if (sealed == NULL)
        return FALSE;
    gsize n_bytes;
    const void *bytes = g_bytes_get_data(sealed->file, &n_bytes);
    if (!imp_file_write(path, bytes, n_bytes, 0644, error))
        return FALSE;
    g_autofree char *statement =
        sealed->statement != NULL ? imp_file_beside(path, ".imp", ".statement") : NULL;
    g_autofree char *share = sealed->share != NULL ? imp_file_beside(path, ".imp", ".share") : NULL;
    if (statement != NULL) {
        bytes = g_bytes_get_data(sealed->statement, &n_bytes);
        if (!imp_file_write(statement, bytes, n_bytes, 0644, error))
            return FALSE;
    }
    tell_sealed(cli, path, statement, sealed);
    if (share != NULL && !write_share(cli, share, sealed, error))
        return FALSE;
    tell_numbers(cli, object, &options.restrictions);
    return TRUE;
}

gboolean imp_command_seal(ImpCli *cli, GError **error)
{
    const char *path;
    if (!imp_cli_require(cli, IMP_OPTION_OUTPUT, &path, error))
        return FALSE;
    Seal seal = {0};
    gboolean done = seal_with(cli, &seal, path, error);
    seal_done(&seal);
    return done;
}

static gboolean load_share(ImpCli *cli, ImpKeyRing **inout_ring, GError **error)
{
    guint8 share[IMP_SHARE_BYTES], digest[IMP_SHA256_BYTES];
    if (!imp_file_read_share(option(cli, IMP_OPTION_SHARE), share, error))
        return FALSE;
    if (*inout_ring == NULL)
        *inout_ring = imp_keyring_new();
    imp_share_digest(share, digest);
    gboolean done = imp_keyring_add_share(*inout_ring, digest, share, error);
    explicit_bzero(share, sizeof share);
    return done;
}

/* The keys that --image-key and --author-key name, as rings; NULL where none was given. */
static gboolean load_rings(ImpCli *cli, ImpKeyRing **out_image_keys, ImpKeyRing **out_authors, GError **error)
{
    static const ImpOption options[2] = {IMP_OPTION_IMAGE_KEY, IMP_OPTION_AUTHOR_KEY};
    ImpKeyRing *rings[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        const char *path = option(cli, options[i]);
        if (path == NULL)
            continue;
        rings[i] = imp_keyring_new();
        g_autoptr(ImpKey) key = imp_key_load(path, error);
        if (key == NULL || !imp_keyring_add(rings[i], "", key, error)) {
            imp_keyring_free(rings[0]);
            imp_keyring_free(rings[1]);
            return FALSE;
        }
    }
    if (imp_cli_has(cli, IMP_OPTION_SHARE) && !load_share(cli, &rings[0], error)) {
        imp_keyring_free(rings[0]);
        imp_keyring_free(rings[1]);
        return FALSE;
    }
    *out_image_keys = rings[0];
    *out_authors = rings[1];
    return TRUE;
}

static gboolean is_object(GBytes *file)
{
    gsize n_bytes;
    const void *bytes = g_bytes_get_data(file, &n_bytes);
    return n_bytes >= 8 && memcmp(bytes, IMP_OBJECT_MAGIC, 8) == 0;
}

static gboolean inspect_object(ImpCli *cli, GBytes *file, GError **error)
{
    g_autoptr(ImpObject) object = imp_object_decode(file, error);
    if (object == NULL)
        return FALSE;
    const ImpContent *content = object->content;
    g_autofree char *digest = imp_hex_encode(object->content_sha256, IMP_SHA256_BYTES);
    g_autofree char *provenance = imp_hex_encode(object->provenance_sha256, IMP_SHA256_BYTES);
    set_text(cli, "kind", "object");
    set_text(cli, "name", content->name);
    set_text(cli, "version", content->version);
    set_text(cli, "device", content->device->name);
    set_text(cli, "content_sha256", digest);
    set_text(cli, "provenance_sha256", provenance);
    json_t *described = imp_content_inspect(content);
    json_object_set_new(cli->result, "content", described);
    json_object_set(cli->result, "segments", json_object_get(described, "segments"));
    if (cli->json)
        return TRUE;
    FILE *out = cli->env->out;
    g_autofree char *text = imp_content_text(described);
    fprintf(out, "%-14s object, built and not sealed\n%s%-14s %s\n%-14s %s\n", "kind", text, "content",
            digest, "provenance", provenance);
    for (gsize i = 0; i < object->n_inputs; i++) {
        g_autofree char *sum = imp_hex_encode(object->inputs[i].sha256, IMP_SHA256_BYTES);
        fprintf(out, "%-14s %s  %s\n", "input", sum, object->inputs[i].name);
    }
    return TRUE;
}

static gboolean inspect_image(ImpCli *cli, GBytes *file, GError **error)
{
    g_autoptr(ImpKeyRing) image_keys = NULL;
    g_autoptr(ImpKeyRing) authors = NULL;
    if (!load_rings(cli, &image_keys, &authors, error))
        return FALSE;
    json_t *inspected = imp_image_inspect(file, image_keys, authors, error);
    if (inspected == NULL)
        return FALSE;
    json_object_update(cli->result, inspected);
    if (!cli->json) {
        g_autofree char *text = imp_image_inspect_text(inspected);
        fputs(text, cli->env->out);
    }
    json_decref(inspected);
    return TRUE;
}

gboolean imp_command_inspect(ImpCli *cli, GError **error)
{
    g_autoptr(GBytes) file = imp_file_read(cli->arguments[0], IMP_IMAGE_FILE_MAX, error);
    if (file == NULL)
        return FALSE;
    gboolean done = is_object(file) ? inspect_object(cli, file, error) : inspect_image(cli, file, error);
    if (!done)
        g_prefix_error(error, "%s: ", cli->arguments[0]);
    return done;
}

gboolean imp_command_diff(ImpCli *cli, GError **error)
{
    g_autoptr(GBytes) a = imp_file_read(cli->arguments[0], IMP_IMAGE_FILE_MAX, error);
    g_autoptr(GBytes) b = a != NULL ? imp_file_read(cli->arguments[1], IMP_IMAGE_FILE_MAX, error) : NULL;
    g_autoptr(ImpKeyRing) image_keys = NULL;
    g_autoptr(ImpKeyRing) authors = NULL;
    if (b == NULL || !load_rings(cli, &image_keys, &authors, error))
        return FALSE;
    g_autoptr(GPtrArray) lines = imp_diff(a, b, image_keys, authors, error);
    if (lines == NULL)
        return FALSE;
    json_t *list = json_array();
    for (guint i = 0; i < lines->len; i++) {
        json_array_append_new(list, json_string(lines->pdata[i]));
        if (!cli->json)
            fprintf(cli->env->out, "%s\n", (const char *)lines->pdata[i]);
    }
    json_object_set_new(cli->result, "same", json_boolean(lines->len == 0));
    json_object_set_new(cli->result, "differences", list);
    if (!cli->json && lines->len == 0)
        fputs("no difference\n", cli->env->out);
    return TRUE;
}

/* By its first bytes; what cannot be read is told by whoever reads it next. */
static gboolean is_object_file(const char *path)
{
    char magic[8] = {0};
    FILE *file = fopen(path, "re");
    gsize n_bytes = file != NULL ? fread(magic, 1, sizeof magic, file) : 0;
    if (file != NULL)
        fclose(file);
    return n_bytes == sizeof magic && memcmp(magic, IMP_OBJECT_MAGIC, sizeof magic) == 0;
}

static gboolean verify_object(ImpCli *cli, GError **error)
{
    g_autoptr(ImpObject) object = imp_object_load(cli->arguments[0], error);
    if (object == NULL)
        return FALSE;
    set_text(cli, "verified", "object");
    if (!cli->json)
        fprintf(cli->env->out, "%s: an object, whole and true to its content digest; nobody signs objects\n",
                cli->arguments[0]);
    return TRUE;
}

gboolean imp_command_verify(ImpCli *cli, GError **error)
{
    if (is_object_file(cli->arguments[0]))
        return verify_object(cli, error);
    g_autoptr(ImpKeyRing) image_keys = NULL;
    g_autoptr(ImpKeyRing) authors = NULL;
    if (!load_rings(cli, &image_keys, &authors, error))
        return FALSE;
    ImpVerified verified;
    if (!imp_image_verify_file(cli->arguments[0], image_keys, authors, &verified, error)) {
        g_prefix_error(error, "%s: ", cli->arguments[0]);
        return FALSE;
    }
    static const char *const words[] = {
        [IMP_VERIFIED_SHAPE] = "shape", [IMP_VERIFIED_MANIFEST] = "manifest", [IMP_VERIFIED_ALL] = "all"};
    static const char *const texts[] = {
        [IMP_VERIFIED_SHAPE] =
            "the file is whole and of the right form; its signature cannot be seen without the "
            "private image key (--image-key)",
        [IMP_VERIFIED_MANIFEST] =
            "signature and manifest are right; the payload opens only with the cloud's share "
            "(--share)",
        [IMP_VERIFIED_ALL] = "signature, manifest and every chunk are right",
    };
    set_text(cli, "verified", words[verified]);
    if (!cli->json)
        fprintf(cli->env->out, "%s: %s\n", cli->arguments[0], texts[verified]);
    return TRUE;
}

gboolean imp_command_explain(ImpCli *cli, GError **error)
{
    const char *text = cli->arguments[0];
    guint64 code = 0;
    const ImpErrorEntry *entry = NULL;
    if (g_ascii_string_to_unsigned(text + (text[0] == 'E' || text[0] == 'e'), 10, 1, 99999, &code, NULL))
        entry = imp_error_entry((int)code);
    for (gsize i = 0; entry == NULL && i < imp_error_entry_count; i++)
        if (strcmp(imp_error_entries[i].name, text) == 0)
            entry = &imp_error_entries[i];
    if (entry == NULL) {
        imp_error_set(error, IMP_E_NOT_FOUND, "there is no error %s; they look like E2107 or flash-mismatch",
                      text);
        return FALSE;
    }
    json_object_set_new(cli->result, "code", json_integer(entry->code));
    set_text(cli, "name", entry->name);
    set_text(cli, "disposition", imp_disposition_name(entry->disposition));
    set_text(cli, "meaning", entry->meaning);
    set_text(cli, "likely", entry->likely);
    set_text(cli, "do", entry->action);
    if (!cli->json)
        imp_print_explanation(cli->env->out, entry);
    return TRUE;
}
