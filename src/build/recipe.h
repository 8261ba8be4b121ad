/* Inside of build/ only: a recipe as its author wrote it, checked for form, with the places for later messages. Files are not
 * opened and the chip is not looked up here.
 *
 * Every fault goes to the ImpYaml, and reading goes on; what has a fault is left out or has a harmless value. The recipe
 * borrows nodes and texts from the ImpYaml, which must live longer. Thread rule: one thread. */
#pragma once

#include "base/yaml.h"
#include "build/build.h"
#include "build/load.h"

#define IMP_RECIPE_VERSION   1
#define IMP_RECIPE_PLACE_MAX 4096 /* bytes of one place */
#define IMP_RECIPE_SWD_HZ                                                                                    \
    1000000 /* if the recipe names no frequency: every probe and every chip can do that */

typedef struct {
    const char *name;
    const ImpYamlNode *node; /* the key */
    const ImpYamlNode *file_node;
    const char *file; /* NULL because of a fault */
    ImpLoadOptions load;
    const ImpYamlNode *within_node; /* NULL: anywhere */
    guint64 within_first, within_last;
} ImpRecipeData;

typedef struct {
    const char *name;
    const ImpYamlNode *node; /* the key */
    ImpValueKind kind;
    const char *pool; /* IMP_VALUE_POOL: its ID */
    char *definition; /* canonical JSON: see ImpPoolUse */
    guint32 max_bytes; /* of the longest value; 0 = unknown because of a fault */
    gboolean read_uid; /* IMP_VALUE_READ: the chip's unique ID, wherever that is */
    guint64 read_address;
    guint32 read_bytes;
    gboolean log;
} ImpRecipeValue;

typedef struct {
    const ImpYamlNode *node;
    guint32 value_index;
    guint64 address;
    guint32 size_bytes;
    gboolean has_pad;
    guint8 pad;
} ImpRecipePlace;

typedef struct {
    const ImpYamlNode *node; /* NULL: a default step */
    ImpStep step;
} ImpRecipeStep;

typedef struct {
    const char *name, *version;
    const ImpYamlNode *device_node;
    const char *device;
    guint32 swd_hz;
    ImpAttachMode attach;
    ImpReworkMode rework;
    GArray *data; /* of ImpRecipeData */
    GArray *values; /* of ImpRecipeValue */
    GArray *places; /* of ImpRecipePlace */
    GArray *steps; /* of ImpRecipeStep */
    GArray *releases; /* of ImpRelease */
} ImpRecipe;

/* folder is that of the recipe. Never NULL; faults are in yaml. */
ImpRecipe *imp_recipe_read(ImpYaml *yaml, const char *folder);
void imp_recipe_free(ImpRecipe *recipe);

/* The parts, each in its own file; they append to recipe. node may be NULL: the key is not there. */
void imp_recipe_read_values(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe);
void imp_recipe_read_places(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe);
void imp_recipe_read_log(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe);
void imp_recipe_read_steps(ImpYaml *yaml, const ImpYamlNode *root, const ImpYamlNode *node,
                           ImpRecipe *recipe);
void imp_recipe_read_releases(ImpYaml *yaml, const ImpYamlNode *node, const char *folder, ImpRecipe *recipe);

/* A key as a name: TRUE, or FALSE and a fault. what: "data", "value". */
gboolean imp_recipe_name_ok(ImpYaml *yaml, const ImpYamlNode *key, const char *what);

void imp_release_done(ImpRelease *release);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpRecipe, imp_recipe_free)
