/* Builds a recipe with all its inputs.
 *
 *     g_autoptr(ImpBuilt) built = imp_build_recipe("recipe.yaml", NULL, NULL, &error);
 *     g_autoptr(ImpObject) object = imp_object_new(g_steal_pointer(&built->content), built->inputs, built->n_inputs, &error);
 *     const ImpRelease *release = imp_built_release(built, "shenzhen", &error);
 *
 * The language is described in docs/recipe.md. The result depends on nothing but the recipe and the files that it names
 * (paths are relative to the recipe's folder), and releases stay outside content and inputs.
 *
 * Thread rule: no state; any thread. */
#pragma once

#include "base/error.h"
#include "image/clear.h"
#include "image/object.h"

#define IMP_BUILD_FILE_MAX                                                                                   \
    (256u * 1024 * 1024) /* bytes of one data file; HEX is text, three times as long as its bytes */
#define IMP_BUILD_DATA_MAX     64 /* data sources of a recipe */
#define IMP_BUILD_RELEASES_MAX 64

/* A named block of the recipe: for one place, what may be done there. NULL texts are not given; options of the command line
 * may fill them in. */
typedef struct {
    char *name;
    ImpImageKind kind;
    char *cloud; /* JOB: URL of the cloud */
    char *factory; /* JOB: the virtual factory */
    char *
        encrypt_to; /* file of the public image key; relative paths are joined to the recipe's folder; or a pkcs11: URI */
    gboolean has_release_by,
        by_cloud; /* JOB: released by the cloud's share (image/share.h), or by the key alone */
    ImpRestrictions restrictions;
} ImpRelease;

typedef struct {
    ImpContent *content; /* may be taken out: set to NULL */
    ImpInput *inputs; /* data files as the recipe names them, and "device NAME"; sorted by name */
    gsize n_inputs;
    ImpRelease *releases; /* in the recipe's order */
    gsize n_releases;
    char **warnings; /* each with its place, in the order of the file; NULL-terminated */
} ImpBuilt;

/* definitions: "NAME=VALUE" for ${NAME} in the recipe, NULL-terminated; NULL = none. Each must be used.
 * packs_dir: the folder of vendors' packs (device/packs.h); NULL = only our own chips.
 * Errors: one message with every fault that was found, each with its place (base/yaml.h); code of the first: E1005, E1006,
 * E4001 to E4010, E1002 or E1009 for a file. A recipe that writes anything that it does not verify afterwards is not built. */
ImpBuilt *imp_build_recipe(const char *path, const char *const *definitions, const char *packs_dir,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_built_free(ImpBuilt *built);

/* The release of that name, borrowed. IMP_E_NOT_FOUND names the nearest known name. */
const ImpRelease *imp_built_release(const ImpBuilt *built, const char *name,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpBuilt, imp_built_free)
