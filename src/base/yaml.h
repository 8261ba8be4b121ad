/* YAML for recipes and configurations: a tree in which every node knows its place, and a walker that reads it strictly.
 *
 * The tree: one document, UTF-8, without anchors, aliases, tags or duplicate keys; bytes, depth and nodes are limited.
 * Scalars stay text: nothing becomes a number, a date or a boolean by guessing.
 *
 * The walker: what a document may hold is asked for by name; everything else is a fault with its place, the line itself, and
 * the nearest known word. Faults are collected, and reading goes on, so that one run shows all of them:
 *
 *     g_autoptr(ImpYaml) yaml = imp_yaml_load(path, error);
 *     if (yaml == NULL)
 *         return FALSE;
 *     ImpYamlMap m;
 *     imp_yaml_map_begin(&m, yaml, imp_yaml_root(yaml), "station configuration");
 *     config->name = g_strdup(imp_yaml_string(yaml, imp_yaml_need(&m, "name"), 1, 64, ""));
 *     config->http_port = (guint16)imp_yaml_u64(yaml, imp_yaml_get(&m, "http-port"), 1, 65535, 8443);
 *     config->retry_us = imp_yaml_quantity(yaml, imp_yaml_get(&m, "retry"), IMP_UNIT_US, 1, G_MAXINT64, 5000000);
 *     const ImpYamlNode *ports = imp_yaml_list(yaml, imp_yaml_need(&m, "ports"), 1, 64);
 *     for (gsize i = 0; i < imp_yaml_count(ports); i++)
 *         read_port(yaml, ports->items[i], &config->ports[i]);
 *     imp_yaml_map_end(&m);
 *     return imp_yaml_end(yaml, error);
 *
 * Getters take the node that get or need gave. A NULL node (the key is missing) or a node with a fault gives the last argument,
 * fallback: whether a NULL node is a fault, need or get has decided. Nothing that was read may be used before
 * imp_yaml_end has said TRUE. One fault looks like this:
 *
 *     station.yaml:7:3: unknown key 'http-prot' in the station configuration; did you mean 'http-port'?
 *         7 |   http-prot: 80
 *           |   ^^^^^^^^^
 *
 * Ownership: nodes and their texts belong to the ImpYaml and live as long as it does.
 * Thread rule: an ImpYaml belongs to one thread at a time. */
#pragma once

#include "base/error.h"
#include "base/units.h"

#define IMP_YAML_BYTES_MAX    (256 * 1024)
#define IMP_YAML_DEPTH_MAX    16
#define IMP_YAML_NODES_MAX    20000
#define IMP_YAML_FAULTS_MAX   20 /* more are counted, not shown */
#define IMP_YAML_VARIABLE_MAX 4096 /* bytes of a scalar with variables */
#define IMP_YAML_KEYS_MAX     48 /* that the walker asks for in one mapping */

typedef enum {
    IMP_YAML_SCALAR = 2,
    IMP_YAML_LIST,
    IMP_YAML_MAP,
} ImpYamlKind;

typedef struct ImpYamlNode ImpYamlNode;
struct ImpYamlNode {
    ImpYamlKind kind;
    guint line, column; /* where it begins, from 1; columns count characters */
    guint width; /* columns that it takes in that line; at least 1 */
    gboolean quoted; /* scalar: in quotes or a block, so it is meant as text */
    char *text; /* scalar: never NULL, UTF-8 without NUL; else NULL */
    gsize n_items;
    ImpYamlNode **items; /* list: items; mapping: values */
    ImpYamlNode **keys; /* mapping: scalars; else NULL */
};

typedef struct ImpYaml ImpYaml;

/* Parses text of n_bytes; file is the name for messages. Errors: IMP_E_SYNTAX with the place, IMP_E_LIMIT. */
ImpYaml *imp_yaml_parse(const char *text, gsize n_bytes, const char *file,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same with the bytes of a file. Also IMP_E_NOT_FOUND, IMP_E_IO. */
ImpYaml *imp_yaml_load(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

void imp_yaml_free(ImpYaml *yaml);
const ImpYamlNode *imp_yaml_root(const ImpYaml *yaml);

/* Records a fault at node (NULL: the document as a whole). code is IMP_E_SCHEMA for what has the wrong form. */
void imp_yaml_fault(ImpYaml *yaml, const ImpYamlNode *node, ImpErrorCode code, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* Records a warning at node: what is allowed, but perhaps not meant. It makes nothing fail; see imp_yaml_warnings. */
void imp_yaml_warn(ImpYaml *yaml, const ImpYamlNode *node, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* All warnings in the order of the file, each with its place; NULL-terminated, free with g_strfreev. */
char **imp_yaml_warnings(const ImpYaml *yaml);

/* Puts values in place of ${NAME} in scalars that are no keys; definitions are "NAME=VALUE", NULL-terminated, NULL = none. $${ stands for
 * ${. A scalar that is nothing but one "${NAME}" counts as not quoted, whatever it is written in. Faults: a variable that is not
 * defined, a definition that is not used or has another form, a scalar that becomes longer than IMP_YAML_VARIABLE_MAX. To be called
 * before anything is read. */
void imp_yaml_define(ImpYaml *yaml, const char *const *definitions);

/* Adds a second place to the fault recorded last: "note: the other one is here". */
void imp_yaml_note(ImpYaml *yaml, const ImpYamlNode *node, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Takes over an error from below (not NULL) as a fault at node, with its code. */
void imp_yaml_take(ImpYaml *yaml, const ImpYamlNode *node, GError *error);

/* TRUE while no fault has been recorded. */
gboolean imp_yaml_ok(const ImpYaml *yaml);

/* FALSE and one error that shows all faults in the order of the file, with the code of the first of them. */
gboolean imp_yaml_end(ImpYaml *yaml, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "recipe.yaml:5:9" for use inside messages; free with g_free. */
char *imp_yaml_place(const ImpYaml *yaml, const ImpYamlNode *node);

/* Reading a mapping. what ("step", "port 3") is said in faults and is borrowed until the end. */
typedef struct {
    ImpYaml *yaml;
    const ImpYamlNode *node; /* NULL: nothing to read, not a fault of this mapping */
    const char *what;
    const char *asked[IMP_YAML_KEYS_MAX + 1];
    guint n_asked;
} ImpYamlMap;

/* node may be NULL: every get gives NULL, and need is silent. A node that is no mapping is a fault. */
void imp_yaml_map_begin(ImpYamlMap *m, ImpYaml *yaml, const ImpYamlNode *node, const char *what);

/* The value of an optional key; NULL if it is not there. key is a constant. */
const ImpYamlNode *imp_yaml_get(ImpYamlMap *m, const char *key);

/* The value of a key that must be there; NULL and a fault if it is not. */
const ImpYamlNode *imp_yaml_need(ImpYamlMap *m, const char *key);

/* A key that is known, but not supported by this version: a fault with code IMP_E_UNSUPPORTED or one of the caller's, if
 * it is there. */
void imp_yaml_refuse(ImpYamlMap *m, const char *key, ImpErrorCode code);

/* Every key that was not asked for becomes a fault. */
void imp_yaml_map_end(ImpYamlMap *m);

/* Getters: see above for NULL nodes and fallback. Bounds are inclusive. */

/* A scalar's text, of min to max bytes without control characters (a newline counts as one). */
const char *imp_yaml_string(ImpYaml *yaml, const ImpYamlNode *node, gsize min_bytes, gsize max_bytes,
                            const char *fallback);
/* A whole number, written in decimal or as 0x…, not in quotes. */
guint64 imp_yaml_u64(ImpYaml *yaml, const ImpYamlNode *node, guint64 min, guint64 max, guint64 fallback);
/* true or false, nothing else. */
gboolean imp_yaml_bool(ImpYaml *yaml, const ImpYamlNode *node, gboolean fallback);
/* One of words (NULL-terminated); its index. */
int imp_yaml_word(ImpYaml *yaml, const ImpYamlNode *node, const char *const *words, int fallback);
/* Base/units.h; value in the base unit. */
guint64 imp_yaml_quantity(ImpYaml *yaml, const ImpYamlNode *node, ImpUnit unit, guint64 min, guint64 max,
                          guint64 fallback);
guint64 imp_yaml_address(ImpYaml *yaml, const ImpYamlNode *node, guint64 fallback);
/* "A to B": FALSE (and *out untouched) if node is NULL or has a fault. */
gboolean imp_yaml_address_range(ImpYaml *yaml, const ImpYamlNode *node, guint64 *out_first,
                                guint64 *out_last);
/* "A to B", whole numbers up to max: FALSE (and *out untouched) if node is NULL or has a fault. */
gboolean imp_yaml_number_range(ImpYaml *yaml, const ImpYamlNode *node, guint64 max, guint64 *out_first,
                               guint64 *out_last);
/* "D to D", or one date: from its first to the last one's last second. */
gboolean imp_yaml_date_range(ImpYaml *yaml, const ImpYamlNode *node, gint64 *out_first_s, gint64 *out_last_s);
/* node itself if it is a list of min to max items; NULL otherwise. */
const ImpYamlNode *imp_yaml_list(ImpYaml *yaml, const ImpYamlNode *node, gsize min_items, gsize max_items);
/* Items of a list or pairs of a mapping; 0 for NULL. */
gsize imp_yaml_count(const ImpYamlNode *node);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpYaml, imp_yaml_free)
