/* imprint trust …: the list of authors that an account's root key signs; imprint cloud root, trust: hands it to the cloud. */
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/print.h"
#include "cli/remote.h"
#include "image/trust.h"

#include <string.h>

static json_t *list_document(const ImpTrustList *list)
{
    char id[IMP_KEY_ID_TEXT_SIZE];
    json_t *authors = json_array();
    for (gsize i = 0; i < imp_keyring_size(list->authors); i++) {
        const char *name;
        const ImpKey *key = imp_keyring_at(list->authors, i, &name);
        json_array_append_new(
            authors, json_pack("{s:s, s:s}", "key", imp_key_id_text(imp_key_id(key), id), "name", name));
    }
    return json_pack("{s:o, s:I, s:s}", "authors", authors, "number", (json_int_t)list->number, "root",
                     imp_key_id_text(imp_key_id(list->root), id));
}

static void show(ImpCli *cli, const ImpTrustList *list)
{
    static const char *const columns[] = {"author", "key"};
    json_t *document = list_document(list);
    json_object_update(cli->result, document);
    if (!cli->json) {
        ImpTable table;
        gsize i;
        const json_t *author;
        fprintf(cli->env->out, "list %" G_GINT64_FORMAT " of root key %s\n",
                imp_answer_number(document, "number"), imp_answer_text(document, "root"));
        imp_table_init(&table, columns, G_N_ELEMENTS(columns));
        json_array_foreach(json_object_get(document, "authors"), i, author) imp_table_add(
            &table, (const char *[]){imp_answer_text(author, "name"), imp_answer_text(author, "key")});
        imp_table_print(&table, cli->env->out);
        imp_table_done(&table);
    }
    json_decref(document);
}

static ImpTrustList *read_list(const char *path, const ImpKeyId *root, GError **error)
{
    g_autoptr(GBytes) file = imp_file_read(path, IMP_TRUST_LIST_MAX, error);
    ImpTrustList *list = file != NULL ? imp_trust_list_verify(file, root, error) : NULL;
    if (file != NULL && list == NULL)
        g_prefix_error(error, "%s: ", path);
    return list;
}

/* One more than the list that is replaced has; 1 if there is none. A list of another root is not replaced. */
static gboolean next_number(const char *path, const ImpKey *root, guint64 *out_number, GError **error)
{
    *out_number = 1;
    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return TRUE;
    g_autoptr(ImpTrustList) old = read_list(path, imp_key_id(root), error);
    if (old == NULL)
        return FALSE;
    *out_number = old->number + 1;
    return TRUE;
}

gboolean imp_command_trust_sign(ImpCli *cli, GError **error)
{
    const char *root_path, *path = cli->arguments[0];
    if (!imp_cli_require(cli, IMP_OPTION_ROOT_KEY, &root_path, error))
        return FALSE;
    g_autoptr(ImpKey) root = imp_key_load(root_path, error);
    guint64 number;
    if (root == NULL || !imp_key_check_role(root, IMP_KEY_ROOT, "trust list", error) ||
        !next_number(path, root, &number, error))
        return FALSE;
    if (imp_cli_has(cli, IMP_OPTION_NUMBER) && !imp_cli_number(cli, IMP_OPTION_NUMBER, &number, error))
        return FALSE;
    g_autoptr(ImpKeyRing) authors = imp_keyring_new();
    for (guint i = 1; i < cli->n_arguments; i++) {
        g_autofree char *name = imp_file_stem(cli->arguments[i]);
        g_autoptr(ImpKey) key = imp_key_load(cli->arguments[i], error);
        if (key == NULL || !imp_key_check_role(key, IMP_KEY_AUTHOR, cli->arguments[i], error) ||
            !imp_keyring_add(authors, name, key, error))
            return FALSE;
    }
    g_autoptr(GBytes) file = imp_trust_list_sign(authors, number, root, error);
    g_autoptr(ImpTrustList) list = file != NULL ? imp_trust_list_verify(file, imp_key_id(root), error) : NULL;
    if (list == NULL ||
        !imp_file_write(path, g_bytes_get_data(file, NULL), g_bytes_get_size(file), 0644, error))
        return FALSE;
    show(cli, list);
    return TRUE;
}

gboolean imp_command_trust_list(ImpCli *cli, GError **error)
{
    const char *root_path = cli->values[IMP_OPTION_ROOT_KEY];
    g_autoptr(ImpKey) root = root_path != NULL ? imp_key_load(root_path, error) : NULL;
    if (root_path != NULL && root == NULL)
        return FALSE;
    g_autoptr(ImpTrustList) list =
        read_list(cli->arguments[0], root != NULL ? imp_key_id(root) : NULL, error);
    if (list == NULL)
        return FALSE;
    show(cli, list);
    return TRUE;
}

gboolean imp_command_cloud_root(ImpCli *cli, GError **error)
{
    g_autoptr(ImpKey) root = imp_key_load(cli->arguments[0], error);
    if (root == NULL || !imp_key_check_role(root, IMP_KEY_ROOT, "root", error))
        return FALSE;
    g_autoptr(ImpHttpClient) client = imp_remote_cloud(cli, error);
    if (client == NULL)
        return FALSE;
    g_autofree char *pem = imp_key_public_pem(root);
    json_t *body = json_pack("{s:s}", "public", pem);
    json_t *answer = imp_http_call_json(client, "POST", "/v1/root", body, error);
    json_decref(body);
    if (answer == NULL)
        return FALSE;
    json_object_update(cli->result, answer);
    json_decref(answer);
    if (!cli->json)
        fprintf(cli->env->out,
                "the account's root key is %s; stations that are enrolled from now on know it\n",
                imp_answer_text(cli->result, "root"));
    return TRUE;
}

gboolean imp_command_cloud_trust(ImpCli *cli, GError **error)
{
    g_autoptr(GBytes) file = imp_file_read(cli->arguments[0], IMP_TRUST_LIST_MAX, error);
    g_autoptr(ImpHttpClient) client = file != NULL ? imp_remote_cloud(cli, error) : NULL;
    json_t *answer = client != NULL ? imp_remote_send(client, "POST", "/v1/trust", file, error) : NULL;
    if (answer == NULL)
        return FALSE;
    json_object_update(cli->result, answer);
    json_decref(answer);
    if (!cli->json)
        fprintf(cli->env->out,
                "list %" G_GINT64_FORMAT " with %" G_GINT64_FORMAT " authors; the stations fetch it\n",
                imp_answer_number(cli->result, "number"), imp_answer_number(cli->result, "authors"));
    return TRUE;
}
