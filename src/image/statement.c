#include "image/statement.h"

#include <string.h>

#include "base/json.h"
#include "image/envelope.h"
#include "image/policy_json.h"

#define STATEMENT_VERSION 1

/* New values, as before there were others, are not written down. */
static const char *const rework_names[] = {
    [IMP_REWORK_REFUSE] = "refuse", [IMP_REWORK_KEEP_VALUES] = "keep-values"};

void imp_statement_free(ImpStatement *statement)
{
    if (statement == NULL)
        return;
    g_free(statement->name);
    g_free(statement->version);
    g_free(statement->device);
    g_free(statement->factory);
    imp_pools_free(statement->pools, statement->n_pools);
    g_free(statement);
}

ImpStatement *imp_statement_new(const ImpClear *clear, const guint8 *content_sha256,
                                const ImpRestrictions *restrictions, const ImpContent *content)
{
    g_assert(clear->kind == IMP_IMAGE_JOB);
    ImpStatement *statement = g_new0(ImpStatement, 1);
    statement->id = clear->id;
    memcpy(statement->header_sha256, clear->header_sha256, IMP_SHA256_BYTES);
    memcpy(statement->content_sha256, content_sha256, IMP_SHA256_BYTES);
    statement->name = g_strdup(clear->name);
    statement->version = g_strdup(clear->version);
    statement->device = g_strdup(clear->device);
    statement->factory = g_strdup(clear->factory);
    memcpy(statement->cloud_ca_sha256, clear->cloud_ca_sha256, IMP_SHA256_BYTES);
    statement->author = clear->author;
    statement->encrypted = clear->encrypted;
    statement->has_share = clear->has_share;
    memcpy(statement->share_sha256, clear->share_sha256, IMP_SHA256_BYTES);
    statement->restrictions = *restrictions;
    statement->rework = content->rework;
    statement->pools = g_new0(ImpPoolUse, content->n_pools);
    statement->n_pools = content->n_pools;
    for (gsize i = 0; i < content->n_pools; i++) {
        statement->pools[i].id = g_strdup(content->pools[i].id);
        statement->pools[i].definition = g_strdup(content->pools[i].definition);
    }
    return statement;
}

static void set_hex(json_t *object, const char *name, const guint8 *bytes, gsize n_bytes)
{
    g_autofree char *hex = imp_hex_encode(bytes, n_bytes);
    json_object_set_new(object, name, json_string(hex));
}

GBytes *imp_statement_encode(const ImpStatement *statement, const ImpKey *author, GError **error)
{
    g_assert(imp_key_id_equal(&statement->author, imp_key_id(author)));
    json_auto_t *json = json_object();
    json_object_set_new(json, "imprint-statement", json_integer(STATEMENT_VERSION));
    set_hex(json, "id", statement->id.bytes, IMP_ID_BYTES);
    set_hex(json, "header_sha256", statement->header_sha256, IMP_SHA256_BYTES);
    set_hex(json, "content_sha256", statement->content_sha256, IMP_SHA256_BYTES);
    set_hex(json, "cloud_ca", statement->cloud_ca_sha256, IMP_SHA256_BYTES);
    set_hex(json, "author", statement->author.bytes, IMP_KEY_ID_BYTES);
    if (statement->has_share)
        set_hex(json, "share_sha256", statement->share_sha256, IMP_SHA256_BYTES);
    json_object_set_new(json, "name", json_string(statement->name));
    json_object_set_new(json, "version", json_string(statement->version));
    json_object_set_new(json, "device", json_string(statement->device));
    json_object_set_new(json, "factory", json_string(statement->factory));
    json_object_set_new(json, "encrypted", json_boolean(statement->encrypted));
    json_object_set_new(json, "restrictions", imp_restrictions_encode(&statement->restrictions));
    json_object_set_new(json, "pools", imp_pools_encode(statement->pools, statement->n_pools));
    if (statement->rework != IMP_REWORK_NEW_VALUES)
        json_object_set_new(json, "rework", json_string(rework_names[statement->rework]));
    g_autofree char *text = imp_json_text(json);
    g_autoptr(GBytes) der = imp_cms_sign(text, strlen(text), author, error);
    if (der != NULL && g_bytes_get_size(der) > IMP_STATEMENT_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "the statement has %" G_GSIZE_FORMAT " bytes, the limit is %d",
                      g_bytes_get_size(der), IMP_STATEMENT_MAX);
        return NULL;
    }
    return g_steal_pointer(&der);
}

static ImpStatement *decode(const char *text, gsize n_text, GError **error)
{
    const ImpErrorCode code = IMP_E_STATEMENT_INVALID;
    json_auto_t *json = imp_json_parse(text, n_text, IMP_STATEMENT_MAX, "statement", code, error);
    if (json == NULL)
        return NULL;
    g_autoptr(ImpStatement) statement = g_new0(ImpStatement, 1);
    ImpJson r;
    GError *inner = NULL;
    imp_json_begin(&r, json, "statement", code, code);
    imp_json_u64(&r, "imprint-statement", STATEMENT_VERSION, STATEMENT_VERSION);
    statement->id = imp_json_id(&r, "id");
    imp_json_hex(&r, "header_sha256", statement->header_sha256, IMP_SHA256_BYTES);
    imp_json_hex(&r, "content_sha256", statement->content_sha256, IMP_SHA256_BYTES);
    imp_json_hex(&r, "cloud_ca", statement->cloud_ca_sha256, IMP_SHA256_BYTES);
    imp_json_hex(&r, "author", statement->author.bytes, IMP_KEY_ID_BYTES);
    statement->name = g_strdup(imp_json_string(&r, "name", 1, IMP_IMAGE_NAME_MAX));
    statement->version = g_strdup(imp_json_string(&r, "version", 0, IMP_IMAGE_VERSION_MAX));
    statement->device = g_strdup(imp_json_string(&r, "device", 1, IMP_IMAGE_NAME_MAX));
    statement->factory = g_strdup(imp_json_string(&r, "factory", 1, IMP_IMAGE_NAME_MAX));
    statement->encrypted = imp_json_bool(&r, "encrypted");
    statement->has_share = imp_json_has(&r, "share_sha256");
    if (statement->has_share)
        imp_json_hex(&r, "share_sha256", statement->share_sha256, IMP_SHA256_BYTES);
    const json_t *restrictions = imp_json_object(&r, "restrictions");
    if (restrictions != NULL &&
        !imp_restrictions_decode(restrictions, code, code, &statement->restrictions, &inner))
        imp_json_take(&r, g_steal_pointer(&inner));
    if (statement->restrictions.n_numbers > 0)
        imp_json_fault(&r, "'numbers' belongs to a SAP; the numbers of a JOB come from its cloud");
    statement->rework = imp_json_has(&r, "rework") ? (ImpReworkMode)imp_json_word(&r, "rework", rework_names,
                                                                                  G_N_ELEMENTS(rework_names))
                                                   : IMP_REWORK_NEW_VALUES;
    const json_t *pools = imp_json_array(&r, "pools", 0, IMP_CONTENT_POOLS_MAX);
    if (pools != NULL && !imp_pools_decode(pools, code, code, &statement->pools, &statement->n_pools, &inner))
        imp_json_take(&r, inner);
    return imp_json_end(&r, error) ? g_steal_pointer(&statement) : NULL;
}

ImpStatement *imp_statement_verify(GBytes *signed_statement, const ImpKeyRing *authors, GError **error)
{
    gsize n_der;
    const guint8 *der = g_bytes_get_data(signed_statement, &n_der);
    if (n_der > IMP_STATEMENT_MAX) {
        imp_error_set(error, IMP_E_LIMIT, "the statement has %" G_GSIZE_FORMAT " bytes, the limit is %d",
                      n_der, IMP_STATEMENT_MAX);
        return NULL;
    }
    ImpCmsSigned parsed;
    if (!imp_cms_parse_signed(der, n_der, 0, &parsed, error)) {
        g_prefix_error(error, "statement: ");
        return NULL;
    }
    const ImpKey *author = imp_keyring_find(authors, &parsed.signer);
    char id[IMP_KEY_ID_TEXT_SIZE];
    if (author == NULL) {
        imp_error_set(error, IMP_E_AUTHOR_UNKNOWN, "statement: its author %s is not trusted here",
                      imp_key_id_text(&parsed.signer, id));
        return NULL;
    }
    if (!imp_cms_verify(&parsed, author, error)) {
        g_prefix_error(error, "statement: ");
        return NULL;
    }
    g_autoptr(ImpStatement) statement = decode((const char *)parsed.content, parsed.n_content, error);
    if (statement != NULL && !imp_key_id_equal(&statement->author, &parsed.signer)) {
        imp_error_set(error, IMP_E_STATEMENT_INVALID, "statement: it names another author than its signer");
        return NULL;
    }
    return g_steal_pointer(&statement);
}

gboolean imp_statement_check_clear(const ImpStatement *statement, const ImpClear *clear, GError **error)
{
    /* The digest covers every member; the others are compared for the sake of a better word. */
    const char *differs = NULL;
    if (clear->kind != IMP_IMAGE_JOB)
        differs = "kind";
    else if (!imp_id_equal(&statement->id, &clear->id))
        differs = "ID";
    else if (!imp_key_id_equal(&statement->author, &clear->author))
        differs = "author";
    else if (memcmp(statement->cloud_ca_sha256, clear->cloud_ca_sha256, IMP_SHA256_BYTES) != 0)
        differs = "cloud";
    else if (statement->encrypted != clear->encrypted)
        differs = "encryption";
    else if (statement->has_share != clear->has_share ||
             memcmp(statement->share_sha256, clear->share_sha256, IMP_SHA256_BYTES) != 0)
        differs = "share";
    else if (memcmp(statement->header_sha256, clear->header_sha256, IMP_SHA256_BYTES) != 0)
        differs = "header";
    if (differs == NULL)
        return TRUE;
    imp_error_set(error, IMP_E_STATEMENT_INVALID, "the statement is not of this image: another %s", differs);
    return FALSE;
}
