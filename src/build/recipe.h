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
    const char
        *pool; /* IMP_VALUE_POOL, or the external pool of a label or given value: its ID; NULL = none */
    char *definition; /* canonical JSON: see ImpPoolUse; NULL: no pool, or because of a fault */
    const char *list_file; /* of a pool that is a list: as the recipe names it */
    char *list_sha256; /* of that file, in hexadecimal */
    guint32 max_bytes; /* of the longest value; 0 = unknown because of a fault */
    gboolean read_uid; /* IMP_VALUE_READ: the chip's unique ID, wherever that is */
    guint64 read_address;
    guint32 read_bytes;
    const char *rule; /* IMP_VALUE_BARCODE */
    guint32 size_min, size_max; /* IMP_VALUE_GIVEN */
    const char *block; /* IMP_VALUE_FROM_TEST */
    guint32 block_bytes;
    gboolean log, redact;
} ImpRecipeValue;

typedef struct {
    const ImpYamlNode *node;
    guint32 value_index;
    guint64 address;
    guint32 size_bytes; /* 0: as large as the chip's unique ID */
    gboolean has_pad;
    guint8 pad;
    gboolean reversed;
    int over; /* index of the data that it may lie over; -1 = none */
    gboolean after; /* written after everything else, by steps of its own */
} ImpRecipePlace;

typedef struct {
    const char *name;
    const ImpYamlNode *node; /* of the step */
    const ImpYamlNode *file_node;
    const char *file; /* NULL because of a fault */
} ImpRecipeTest;

/* Where the firmware's text comes from. */
typedef enum {
    IMP_SPEAKS_EITHER, /* the mailbox, if the data has one, else the serial line */
    IMP_SPEAKS_MAILBOX,
    IMP_SPEAKS_SERIAL,
} ImpRecipeSpeaks;

/* Sources: what steps program and verify. Data by its index, then places by theirs. */
typedef struct {
    const ImpYamlNode *node; /* NULL: a default step */
    ImpStep step; /* without ranges: those need the files */
    guint after_place; /* BLANK_CHECK of this place, counted from 1; 0: the step's own range counts */
    gboolean *sources; /* PROGRAM, VERIFY: which; NULL: everything but places that are written after */
    ImpRecipeSpeaks speaks; /* RUN */
    const ImpYamlNode *speaks_node;
} ImpRecipeStep;

typedef struct {
    const char *name, *version;
    const ImpYamlNode *device_node;
    const char *device;
    guint32 swd_hz;
    ImpAttachMode attach;
    ImpUnlock unlock;
    const ImpYamlNode *unlock_node; /* NULL: not said */
    ImpPowerSettings power;
    ImpReworkMode rework;
    const ImpYamlNode *rework_node; /* NULL: the recipe says nothing */
    GArray *data; /* of ImpRecipeData */
    GArray *values; /* of ImpRecipeValue */
    GArray *places; /* of ImpRecipePlace */
    GArray *tests; /* of ImpRecipeTest; steps have their index */
    GArray *steps; /* of ImpRecipeStep */
    GArray *finally; /* of ImpRecipeStep */
    GArray *releases; /* of ImpRelease */
} ImpRecipe;

/* folder is that of the recipe. Never NULL; faults are in yaml. */
ImpRecipe *imp_recipe_read(ImpYaml *yaml, const char *folder);
void imp_recipe_free(ImpRecipe *recipe);

/* The parts, each in its own file; they append to recipe. node may be NULL: the key is not there. */
void imp_recipe_read_values(ImpYaml *yaml, const ImpYamlNode *node, const char *folder, ImpRecipe *recipe);
void imp_recipe_read_places(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe);
void imp_recipe_read_log(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe);
void imp_recipe_read_steps(ImpYaml *yaml, const ImpYamlNode *root, const ImpYamlNode *node,
                           ImpRecipe *recipe);
void imp_recipe_read_finally(ImpYaml *yaml, const ImpYamlNode *node, ImpRecipe *recipe);
void imp_recipe_read_releases(ImpYaml *yaml, const ImpYamlNode *node, const char *folder, ImpRecipe *recipe);

/* A value from a pool; m is the value's mapping, pool its ID. A list's file is read here: the size of a place may depend on it. */
void imp_recipe_read_pool(ImpYamlMap *m, ImpYaml *yaml, const ImpYamlNode *pool, const char *folder,
                          const ImpRecipe *recipe, ImpRecipeValue *value);
/* The external pool beside a label or a given value. */
void imp_recipe_read_watched(ImpYaml *yaml, const ImpYamlNode *pool, const ImpRecipe *recipe,
                             ImpRecipeValue *value);
void imp_recipe_value_done(ImpRecipeValue *value);

/* The order of the steps: everything that is written is verified afterwards, nothing is erased that was programmed before,
 * values are known before they are programmed. node: the list of steps. */
void imp_recipe_check_order(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe);

gsize imp_recipe_n_sources(const ImpRecipe *recipe);
gboolean imp_recipe_step_has(const ImpRecipe *recipe, const ImpRecipeStep *step, gsize source);
/* "data 'app'" or "value 'serial'"; free with g_free. */
char *imp_recipe_source_text(const ImpRecipe *recipe, gsize source);
const ImpYamlNode *imp_recipe_source_node(const ImpRecipe *recipe, gsize source);

/* The index of the value that node names; -1 and a fault if there is none. */
int imp_recipe_find_value(ImpYaml *yaml, const ImpYamlNode *node, const ImpRecipe *recipe);

/* A duration in whole milliseconds. */
guint32 imp_recipe_ms(ImpYaml *yaml, const ImpYamlNode *node, guint32 min_ms, guint32 fallback_ms);

/* A key as a name: TRUE, or FALSE and a fault. what: "data", "value". */
gboolean imp_recipe_name_ok(ImpYaml *yaml, const ImpYamlNode *key, const char *what);

void imp_release_done(ImpRelease *release);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpRecipe, imp_recipe_free)
