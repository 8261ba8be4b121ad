/* imprint key …: pairs in files, and image keys at stations. */
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/print.h"
#include "cli/remote.h"
#include "image/keys.h"

#include <glib/gstdio.h>
#include <string.h>

#define LIST_MAX 1000 /* key files of a folder that are shown */

static const char *option(const ImpCli *cli, ImpOption which)
{
    return cli->values[which];
}

static void set_text(ImpCli *cli, const char *name, const char *text)
{
    json_object_set_new(cli->result, name, json_string(text));
}

/* ---- new, show, list ------------------------------------------------------------------------------------------------ */

static const char *suite_name(const ImpKey *key)
{
    return imp_key_suite(key) == IMP_IMAGE_SUITE_RSA ? "2 (RSA 3072)" : "1 (EC P-256)";
}

/* What a key may be used for; long enough to be understood alone. */
static const char *use_of(const ImpKey *key)
{
    switch (imp_key_role(key)) {
    case IMP_KEY_AUTHOR:
        return "author key: signs images";
    case IMP_KEY_IMAGE:
        return "image key: encrypts images";
    case IMP_KEY_STATION:
        return "a station's sealing key: receives image keys";
    case IMP_KEY_ROOT:
        return "root key: signs the account's list of authors";
    case IMP_KEY_ANY:
        break;
    }
    return "not said (a file of version 0.1, or a token): taken as author, image, station and root key; use "
           "it for one";
}

static gboolean read_suite(const ImpCli *cli, guint16 *out_suite, GError **error)
{
    const char *text = option(cli, IMP_OPTION_SUITE);
    if (text == NULL || strcmp(text, "1") == 0)
        *out_suite = IMP_IMAGE_SUITE_P256;
    else if (strcmp(text, "2") == 0)
        *out_suite = IMP_IMAGE_SUITE_RSA;
    else
        imp_error_set(error, IMP_E_ARGUMENT, "--suite is 1 (EC P-256) or 2 (RSA 3072), not '%s'", text);
    return text == NULL || strcmp(text, "1") == 0 || strcmp(text, "2") == 0;
}

static void tell_new(ImpCli *cli, ImpKeyRole role, const char *id, const char *secret, const char *public)
{
    static const struct {
        const char *danger, *give;
    } words[] = {
        [IMP_KEY_AUTHOR] = {"whoever has it makes images in your name",
                            "the stations that shall run your images"},
        [IMP_KEY_IMAGE] = {"whoever has it reads the firmware", "whoever seals images"},
        [IMP_KEY_ROOT] = {"whoever has it says whose images all your stations run",
                          "your cloud: imprint cloud root"},
    };
    if (!cli->json)
        fprintf(cli->env->out, "%s key %s\n  %s  keep it secret: %s\n  %s  give it to %s\n",
                imp_key_role_name(role), id, secret, words[role].danger, public, words[role].give);
}

gboolean imp_command_key_new(ImpCli *cli, GError **error)
{
    const char *purpose = cli->arguments[0], *name = cli->arguments[1];
    ImpKeyRole role;
    guint16 suite = 0;
    if (!imp_key_role_parse(purpose, &role) || role == IMP_KEY_STATION) {
        imp_error_set(error, IMP_E_ARGUMENT,
                      "a key is made for an author, for an image or as an account's root, not for '%s'",
                      purpose);
        return FALSE;
    }
    if (!read_suite(cli, &suite, error))
        return FALSE;
    const char *dir = imp_cli_has(cli, IMP_OPTION_DIR) ? option(cli, IMP_OPTION_DIR) : ".";
    g_autofree char *secret_name = g_strdup_printf("%s.key", name);
    g_autofree char *public_name = g_strdup_printf("%s.pub", name);
    g_autofree char *secret = g_build_filename(dir, secret_name, NULL);
    g_autofree char *public = g_build_filename(dir, public_name, NULL);
    g_autoptr(ImpKey) key = imp_key_generate(suite, role, error);
    if (key == NULL || !imp_key_save_private(key, secret, error))
        return FALSE;
    if (!imp_key_save_public(key, public, error)) {
        (void)g_unlink(secret); /* half a pair helps nobody; the file was made just now */
        return FALSE;
    }
    char id[IMP_KEY_ID_TEXT_SIZE];
    imp_key_id_text(imp_key_id(key), id);
    set_text(cli, "id", id);
    set_text(cli, "role", imp_key_role_name(role));
    json_object_set_new(cli->result, "suite", json_integer(suite));
    set_text(cli, "private", secret);
    set_text(cli, "public", public);
    tell_new(cli, role, id, secret, public);
    return TRUE;
}

/* {"id", "private", "role"?, "suite"}; a new reference. */
static json_t *key_document(const ImpKey *key)
{
    char id[IMP_KEY_ID_TEXT_SIZE];
    json_t *document = json_pack("{s:s, s:b, s:i}", "id", imp_key_id_text(imp_key_id(key), id), "private",
                                 imp_key_has_private(key), "suite", (int)imp_key_suite(key));
    const char *role = imp_key_role_name(imp_key_role(key));
    if (role != NULL)
        json_object_set_new(document, "role", json_string(role));
    return document;
}

static const char *half_of(const ImpKey *key)
{
    return !imp_key_has_private(key) ? "public half"
           : imp_key_can_leave(key)  ? "private and public half"
                                     : "private half in a token";
}

gboolean imp_command_key_show(ImpCli *cli, GError **error)
{
    g_autoptr(ImpKey) key = imp_key_load(cli->arguments[0], error);
    if (key == NULL)
        return FALSE;
    json_t *document = key_document(key);
    g_autofree char *pem = imp_key_public_pem(key);
    json_object_update(cli->result, document);
    set_text(cli, "public_key", pem);
    if (!cli->json)
        fprintf(cli->env->out, "%s  %s\nuse    %s\nsuite  %s\n%s", imp_answer_text(document, "id"),
                half_of(key), use_of(key), suite_name(key), pem);
    json_decref(document);
    return TRUE;
}

static void list_file(const char *folder, const char *name, json_t *list, ImpTable *table)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpKey) key = imp_key_load(path, &error);
    if (key == NULL) {
        g_autofree char *reason = g_strdup_printf("not read: E%d", imp_error_code(error));
        imp_table_add(table, (const char *[]){name, reason, "", "", ""});
        json_array_append_new(list,
                              json_pack("{s:s, s:i}", "file", name, "error", (int)imp_error_code(error)));
        return;
    }
    json_t *document = key_document(key);
    json_object_set_new(document, "file", json_string(name));
    json_array_append_new(list, document);
    const char *role = imp_key_role_name(imp_key_role(key));
    imp_table_add(table, (const char *[]){name, role != NULL ? role : "not said", half_of(key),
                                          suite_name(key), imp_answer_text(document, "id")});
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

gboolean imp_command_key_list(ImpCli *cli, GError **error)
{
    static const char *const columns[] = {"file", "for", "what", "suite", "fingerprint"};
    const char *folder = imp_cli_has(cli, IMP_OPTION_DIR) ? option(cli, IMP_OPTION_DIR) : ".";
    g_autoptr(GError) own = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &own);
    if (dir == NULL) {
        imp_error_set(error, imp_error_code_of_file(own), "%s", own->message);
        return FALSE;
    }
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (const char *name; (name = g_dir_read_name(dir)) != NULL && names->len < LIST_MAX;)
        if (g_str_has_suffix(name, ".key") || g_str_has_suffix(name, ".pub"))
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, by_name);
    json_t *list = json_array();
    ImpTable table;
    imp_table_init(&table, columns, G_N_ELEMENTS(columns));
    for (guint i = 0; i < names->len; i++)
        list_file(folder, names->pdata[i], list, &table);
    json_object_set_new(cli->result, "keys", list);
    if (!cli->json)
        imp_table_print(&table, cli->env->out);
    imp_table_done(&table);
    return TRUE;
}

/* ---- at stations ----------------------------------------------------------------------------------------------------- */

/* The station's sealing key: from --to, or from the station itself. */
static ImpKey *sealing_key(ImpCli *cli, ImpHttpClient *client, GError **error)
{
    if (client == NULL)
        return imp_key_load(option(cli, IMP_OPTION_TO), error);
    json_t *keys = imp_http_call_json(client, "GET", "/v1/keys", NULL, error);
    if (keys == NULL)
        return NULL;
    const char *pem = json_string_value(json_object_get(json_object_get(keys, "sealing"), "public_key"));
    ImpKey *key = imp_key_from_public_pem(pem != NULL ? pem : "", error);
    json_decref(keys);
    return key;
}

/* A person compares the fingerprints, or --fingerprint does. */
static gboolean confirm_station(ImpCli *cli, const char *found, GError **error)
{
    const char *expected = option(cli, IMP_OPTION_FINGERPRINT);
    if (expected != NULL && g_ascii_strcasecmp(expected, found) != 0) {
        imp_error_set(error, IMP_E_ARGUMENT,
                      "the station's sealing key is another one\n  expected %s\n  found    %s", expected,
                      found);
        return FALSE;
    }
    if (expected != NULL)
        return TRUE;
    g_autofree char *question = g_strdup_printf(
        "Sealing key of the station: %s\nDoes the station itself show the same (imprint station keys)?",
        found);
    if (imp_cli_confirm(cli, question))
        return TRUE;
    imp_error_set(error, IMP_E_CANCELLED, "not granted: the fingerprint was not confirmed");
    return FALSE;
}

/* Grants to the station behind client, or, with client NULL, into the file of -o. */
static gboolean grant(ImpCli *cli, ImpHttpClient *client, const ImpKey *image_key, GError **error)
{
    g_autoptr(ImpKey) station = sealing_key(cli, client, error);
    if (station == NULL)
        return FALSE;
    char fingerprint[IMP_KEY_ID_TEXT_SIZE], id[IMP_KEY_ID_TEXT_SIZE];
    imp_key_id_text(imp_key_id(station), fingerprint);
    if (!imp_key_check_role(image_key, IMP_KEY_IMAGE, "grant", error) ||
        !confirm_station(cli, fingerprint, error))
        return FALSE;
    g_autoptr(GBytes) sealed = imp_key_grant_seal(image_key, station, error);
    if (sealed == NULL)
        return FALSE;
    gsize n_bytes;
    const void *bytes = g_bytes_get_data(sealed, &n_bytes);
    if (client != NULL) {
        json_t *answer = imp_remote_send(client, "POST", "/v1/keys", sealed, error);
        if (answer == NULL)
            return FALSE;
        json_decref(answer);
    } else if (!imp_file_write(option(cli, IMP_OPTION_OUTPUT), bytes, n_bytes, 0644, error)) {
        return FALSE;
    }
    set_text(cli, "image_key", imp_key_id_text(imp_key_id(image_key), id));
    set_text(cli, "station_key", fingerprint);
    if (!cli->json)
        fprintf(cli->env->out, "image key %s granted to the station with sealing key %s%s%s\n", id,
                fingerprint, client != NULL ? "" : "\n  load it there: imprint station keys add ",
                client != NULL ? "" : option(cli, IMP_OPTION_OUTPUT));
    return TRUE;
}

gboolean imp_command_key_grant(ImpCli *cli, GError **error)
{
    gboolean direct = imp_cli_has(cli, IMP_OPTION_SOCKET);
    if (direct == imp_cli_has(cli, IMP_OPTION_TO) || direct == imp_cli_has(cli, IMP_OPTION_OUTPUT)) {
        imp_error_set(error, IMP_E_ARGUMENT, "say either --to FILE -o GRANT, or --socket PATH");
        return FALSE;
    }
    g_autoptr(ImpKey) image_key = imp_key_load(cli->arguments[0], error);
    if (image_key == NULL)
        return FALSE;
    g_autoptr(ImpHttpClient) client = direct ? imp_remote_station(cli, error) : NULL;
    return (!direct || client != NULL) && grant(cli, client, image_key, error);
}

/* A key's ID, from its 64 digits or from a file with either half. */
static gboolean id_of(const char *words, char id[IMP_KEY_ID_TEXT_SIZE], GError **error)
{
    ImpKeyId parsed;
    if (imp_key_id_parse(words, &parsed)) {
        imp_key_id_text(&parsed, id);
        return TRUE;
    }
    g_autoptr(ImpKey) key = imp_key_load(words, error);
    if (key == NULL)
        return FALSE;
    imp_key_id_text(imp_key_id(key), id);
    return TRUE;
}

/* How many images of the station are encrypted with this key; *out_granted FALSE: it does not have the key. */
static gboolean images_with(ImpHttpClient *client, const char *id, gboolean *out_granted, gint64 *out_images,
                            GError **error)
{
    json_t *keys = imp_http_call_json(client, "GET", "/v1/keys", NULL, error);
    if (keys == NULL)
        return FALSE;
    gsize i;
    const json_t *item;
    *out_granted = FALSE;
    *out_images = 0;
    json_array_foreach(json_object_get(keys, "granted"), i, item)
    {
        if (strcmp(imp_answer_text(item, "id"), id) != 0)
            continue;
        *out_granted = TRUE;
        *out_images = imp_answer_number(item, "images");
    }
    json_decref(keys);
    return TRUE;
}

static gboolean revoke_at(ImpCli *cli, ImpHttpClient *client, const char *id, GError **error)
{
    json_t *answer = imp_remote_json(client, "DELETE", NULL, error, "/v1/keys/%s", id);
    if (answer == NULL)
        return FALSE;
    json_decref(answer);
    set_text(cli, "revoked", id);
    return TRUE;
}

static const char *plural(gint64 n)
{
    return n == 1 ? "" : "s";
}

gboolean imp_command_key_revoke(ImpCli *cli, GError **error)
{
    char id[IMP_KEY_ID_TEXT_SIZE];
    gboolean granted;
    gint64 images;
    if (!id_of(cli->arguments[0], id, error))
        return FALSE;
    g_autoptr(ImpHttpClient) client = imp_remote_station(cli, error);
    if (client == NULL || !images_with(client, id, &granted, &images, error) ||
        !revoke_at(cli, client, id, error))
        return FALSE;
    json_object_set_new(cli->result, "images", json_integer(images));
    if (!cli->json)
        fprintf(cli->env->out, "image key %s is deleted there; %" G_GINT64_FORMAT " image%s blocked\n", id,
                images, plural(images));
    return TRUE;
}

/* The end of a change-over: the old key goes when the new one is there and no image needs the old one any more. */
static gboolean finish_rotation(ImpCli *cli, ImpHttpClient *client, const char *old_id, const char *new_id,
                                GError **error)
{
    gboolean has_old, has_new;
    gint64 old_images, new_images;
    if (!images_with(client, new_id, &has_new, &new_images, error) ||
        !images_with(client, old_id, &has_old, &old_images, error))
        return FALSE;
    if (!has_new) {
        imp_error_set(error, IMP_E_STATE,
                      "the station does not have the new key: run this without --finish first");
        return FALSE;
    }
    if (old_images > 0) {
        imp_error_set(error, IMP_E_STATE,
                      "%" G_GINT64_FORMAT
                      " image%s of the station still need%s the old key: seal them again for "
                      "the new one, load them, and delete the old images",
                      old_images, plural(old_images), old_images == 1 ? "s" : "");
        return FALSE;
    }
    if (!revoke_at(cli, client, old_id, error))
        return FALSE;
    json_object_set_new(cli->result, "images", json_integer(new_images));
    if (!cli->json)
        fprintf(cli->env->out,
                "old image key %s is deleted there; %" G_GINT64_FORMAT " image%s with the new one\n", old_id,
                new_images, plural(new_images));
    return TRUE;
}

gboolean imp_command_key_rotate(ImpCli *cli, GError **error)
{
    char old_id[IMP_KEY_ID_TEXT_SIZE], new_id[IMP_KEY_ID_TEXT_SIZE];
    if (!id_of(cli->arguments[0], old_id, error) || !id_of(cli->arguments[1], new_id, error))
        return FALSE;
    if (strcmp(old_id, new_id) == 0) {
        imp_error_set(error, IMP_E_ARGUMENT, "the old and the new key are the same one");
        return FALSE;
    }
    g_autoptr(ImpHttpClient) client = imp_remote_station(cli, error);
    if (client == NULL)
        return FALSE;
    if (imp_cli_has(cli, IMP_OPTION_FINISH))
        return finish_rotation(cli, client, old_id, new_id, error);
    gboolean has_old;
    gint64 old_images;
    g_autoptr(ImpKey) new_key = imp_key_load(cli->arguments[1], error);
    if (new_key == NULL || !images_with(client, old_id, &has_old, &old_images, error) ||
        !grant(cli, client, new_key, error))
        return FALSE;
    set_text(cli, "old_key", old_id);
    json_object_set_new(cli->result, "images", json_integer(old_images));
    if (!cli->json)
        fprintf(
            cli->env->out,
            "  %" G_GINT64_FORMAT " image%s there with the old key, which stays valid\n"
            "  now seal for the new key, load, delete the old images; then the same command with --finish\n",
            old_images, plural(old_images));
    return TRUE;
}
