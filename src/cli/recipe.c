#include "cli/recipe.h"

#include "base/units.h"
#include "build/build.h"
#include "cli/file.h"
#include "cli/remote.h"
#include "image/numbers.h"

#include <string.h>

ImpObject *imp_recipe_object(const ImpCli *cli, const char *path, const char *release,
                             ImpRestrictions *out_restrictions, GError **error)
{
    g_autoptr(ImpBuilt) built = imp_build_recipe(path, cli->definitions, cli->env->packs_dir, error);
    if (built == NULL)
        return NULL;
    for (char **warning = built->warnings; *warning != NULL; warning++)
        fprintf(cli->env->err, "%s\n", *warning);
    const ImpRelease *found = release != NULL ? imp_built_release(built, release, error) : NULL;
    if (release != NULL && found == NULL)
        return NULL;
    ImpObject *object =
        imp_object_new(g_steal_pointer(&built->content), built->inputs, built->n_inputs, error);
    if (object != NULL && found != NULL && out_restrictions != NULL)
        *out_restrictions = found->restrictions;
    return object;
}

static gboolean terms_of_release(const ImpCli *cli, ImpSealTerms *terms, char **out_cloud, GError **error)
{
    const char *recipe = cli->values[IMP_OPTION_RECIPE], *name = cli->values[IMP_OPTION_RELEASE];
    if ((recipe == NULL) != (name == NULL)) {
        imp_error_set(error, IMP_E_ARGUMENT, "--recipe FILE and --release NAME go together");
        return FALSE;
    }
    if (recipe == NULL && imp_cli_has(cli, IMP_OPTION_DEFINE)) {
        imp_error_set(error, IMP_E_ARGUMENT, "-D belongs to a recipe: --recipe FILE");
        return FALSE;
    }
    if (recipe == NULL)
        return TRUE;
    g_autoptr(ImpBuilt) built = imp_build_recipe(recipe, cli->definitions, cli->env->packs_dir, error);
    const ImpRelease *release = built != NULL ? imp_built_release(built, name, error) : NULL;
    if (release == NULL)
        return FALSE;
    terms->kind = release->kind;
    terms->has_kind = TRUE;
    terms->restrictions = release->restrictions;
    terms->encrypt_to = g_strdup(release->encrypt_to);
    terms->has_release_by = release->has_release_by;
    terms->by_cloud = release->by_cloud;
    terms->factory = g_strdup(release->factory);
    *out_cloud = g_strdup(release->cloud);
    return TRUE;
}

static gboolean take_kind(const ImpCli *cli, ImpSealTerms *terms, GError **error)
{
    const char *kind = cli->values[IMP_OPTION_KIND];
    if (kind == NULL && !terms->has_kind) {
        imp_error_set(error, IMP_E_ARGUMENT,
                      "say which kind of image: --kind sap or --kind job, or a release of the recipe");
        return FALSE;
    }
    if (kind == NULL)
        return TRUE;
    if (strcmp(kind, "sap") != 0 && strcmp(kind, "job") != 0) {
        imp_error_set(error, IMP_E_ARGUMENT, "--kind is sap or job, not '%s'", kind);
        return FALSE;
    }
    terms->kind = kind[0] == 's' ? IMP_IMAGE_SAP : IMP_IMAGE_JOB;
    terms->has_kind = TRUE;
    return TRUE;
}

static gboolean take_dates(const char *text, ImpRestrictions *restrictions, GError **error)
{
    g_autofree char *first = NULL;
    g_autofree char *last = NULL;
    gint64 from_s, to_s, unused_s;
    if (!imp_range_split(text, &first, &last) || !imp_date_parse(first, &from_s, &unused_s) ||
        !imp_date_parse(last, &unused_s, &to_s) || from_s > to_s) {
        imp_error_set(error, IMP_E_ARGUMENT, "--dates: '%s' is not like '2026-12-01 to 2027-03-31'", text);
        return FALSE;
    }
    restrictions->has_not_before = restrictions->has_not_after = TRUE;
    restrictions->not_before_s = from_s;
    restrictions->not_after_s = to_s;
    return TRUE;
}

/* "900001-900999", or as in a recipe: "900001 to 900999". */
static gboolean take_range(const char *pool, const char *text, const ImpContent *content,
                           ImpRestrictions *restrictions, GError **error)
{
    g_autofree char *first = NULL;
    g_autofree char *last = NULL;
    guint64 a, b;
    const char *dash = strchr(text, '-');
    if (dash != NULL) {
        first = g_strndup(text, (gsize)(dash - text));
        last = g_strdup(dash + 1);
    } else if (!imp_range_split(text, &first, &last)) {
        first = g_strdup("");
        last = g_strdup("");
    }
    if (!imp_number_parse(first, &a) || !imp_number_parse(last, &b) || a > b || b > G_MAXINT64) {
        imp_error_set(error, IMP_E_ARGUMENT, "--numbers: '%s' is not like '900001-900999'", text);
        return FALSE;
    }
    return imp_numbers_add(content->pools, content->n_pools, pool, a, b, restrictions, error);
}

/* One range, or POOL=A-B for each pool, with commas between; they come before those of the release. */
static gboolean take_numbers(const char *text, const ImpContent *content, ImpRestrictions *restrictions,
                             GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", IMP_CONTENT_POOLS_MAX + 1);
    restrictions->n_numbers = 0;
    for (char **part = parts; *part != NULL; part++) {
        char *equals = strchr(*part, '=');
        if (equals != NULL)
            *equals = '\0';
        if (!take_range(equals != NULL ? *part : NULL, equals != NULL ? equals + 1 : *part, content,
                        restrictions, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean take_options(const ImpCli *cli, const ImpContent *content, ImpSealTerms *terms,
                             GError **error)
{
    ImpRestrictions *restrictions = &terms->restrictions;
    if (!take_kind(cli, terms, error))
        return FALSE;
    if (imp_cli_has(cli, IMP_OPTION_UNITS)) {
        if (!imp_cli_number(cli, IMP_OPTION_UNITS, &restrictions->units, error))
            return FALSE;
        restrictions->has_units = TRUE;
    }
    if (imp_cli_has(cli, IMP_OPTION_MAX_FAILURES)) {
        if (!imp_cli_number(cli, IMP_OPTION_MAX_FAILURES, &restrictions->max_failures, error))
            return FALSE;
        restrictions->has_max_failures = TRUE;
    }
    if (imp_cli_has(cli, IMP_OPTION_DATES) && !take_dates(cli->values[IMP_OPTION_DATES], restrictions, error))
        return FALSE;
    if (imp_cli_has(cli, IMP_OPTION_NUMBERS) &&
        !take_numbers(cli->values[IMP_OPTION_NUMBERS], content, restrictions, error))
        return FALSE;
    if (imp_cli_has(cli, IMP_OPTION_ENCRYPT_TO)) {
        g_free(terms->encrypt_to);
        terms->encrypt_to = g_strdup(cli->values[IMP_OPTION_ENCRYPT_TO]);
    }
    const char *by = cli->values[IMP_OPTION_RELEASE_BY];
    if (by != NULL && strcmp(by, "cloud") != 0 && strcmp(by, "key") != 0) {
        imp_error_set(error, IMP_E_ARGUMENT, "--release-by is cloud or key, not '%s'", by);
        return FALSE;
    }
    if (by != NULL)
        terms->by_cloud = by[0] == 'c';
    else if (!terms->has_release_by)
        terms->by_cloud = terms->kind == IMP_IMAGE_JOB && terms->encrypt_to != NULL;
    if (imp_cli_has(cli, IMP_OPTION_FACTORY)) {
        g_free(terms->factory);
        terms->factory = g_strdup(cli->values[IMP_OPTION_FACTORY]);
    }
    return TRUE;
}

/* A JOB runs at one cloud only, the one whose CA it names. */
static gboolean take_cloud(const ImpCli *cli, ImpSealTerms *terms, const char *url, GError **error)
{
    if (terms->kind != IMP_IMAGE_JOB)
        return TRUE;
    if (terms->factory == NULL) {
        imp_error_set(error, IMP_E_ARGUMENT, "a JOB is sealed for a factory: --factory NAME");
        return FALSE;
    }
    g_autofree char *ca = NULL;
    if (imp_cli_has(cli, IMP_OPTION_CA)) {
        g_autoptr(GBytes) file = imp_file_read(cli->values[IMP_OPTION_CA], IMP_CLI_CA_MAX, error);
        if (file == NULL)
            return FALSE;
        ca = g_strndup(g_bytes_get_data(file, NULL), g_bytes_get_size(file));
    } else {
        ca = imp_remote_cloud_ca(cli, url, error);
        if (ca == NULL)
            return FALSE;
    }
    return imp_http_key_digest(ca, terms->cloud_ca_sha256, error);
}

gboolean imp_seal_terms_read(const ImpCli *cli, const ImpContent *content, ImpSealTerms *terms,
                             GError **error)
{
    g_autofree char *cloud = NULL;
    terms->restrictions.count_on = IMP_COUNT_ON_PASS;
    return terms_of_release(cli, terms, &cloud, error) && take_options(cli, content, terms, error) &&
           take_cloud(cli, terms, cloud, error);
}

void imp_seal_terms_done(ImpSealTerms *terms)
{
    g_clear_pointer(&terms->encrypt_to, g_free);
    g_clear_pointer(&terms->factory, g_free);
}
