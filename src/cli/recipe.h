/* Recipes as the commands need them: built into an object, and the terms of a sealing, from a release or from options.
 *
 * Thread rule: one thread. */
#pragma once

#include "cli/cli.h"
#include "image/seal.h"

/* Builds the recipe with its inputs (paths relative to the recipe's folder) and the variables of -D; shows warnings on err. release and restrictions may be NULL: then no
 * release is looked at; with a release, *out_restrictions are its. Errors: those of the builder. */
ImpObject *imp_recipe_object(const ImpCli *cli, const char *path, const char *release,
                             ImpRestrictions *out_restrictions, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What an image is sealed with, beside keys' contents. */
typedef struct {
    ImpImageKind kind;
    gboolean has_kind;
    ImpRestrictions restrictions;
    char *encrypt_to; /* file of the public image key; NULL = not encrypted */
    gboolean has_release_by, by_cloud; /* by_cloud is the default of an encrypted JOB */
    char *factory; /* JOB */
    guint8 cloud_ca_sha256[IMP_SHA256_BYTES]; /* JOB */
} ImpSealTerms;

/* From --recipe and --release, then from --kind, --units, … which come first, for an object with this content. IMP_E_ARGUMENT:
 * something is missing. */
gboolean imp_seal_terms_read(const ImpCli *cli, const ImpContent *content, ImpSealTerms *terms,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_seal_terms_done(ImpSealTerms *terms);
