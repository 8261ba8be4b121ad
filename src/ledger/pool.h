/* A serial number pool: bounds, step and format of a sequence, and how one number of it becomes bytes.
 *
 * The definition is part of the pool (docs/ledger.md, rule 2): images carry it, authorities compare its digest, and
 * another definition under the same ID is refused. So there is exactly one text for one definition, the canonical one:
 * JSON with every member present, sorted, no spaces, in ASCII, as json_dumps(JSON_COMPACT | JSON_SORT_KEYS) writes it:
 *
 *     definition = {"first":N,"format":FORMAT,"id":"ID","last":N,"reuse":true|false,"step":N}
 *     FORMAT     = {"decimal":DIGITS}                              "000042": padded with zeros, DIGITS 1 to 20
 *                | {"text":"LITERAL{n}LITERAL"}                    "MB-42"
 *                | {"text":"LITERAL{n:0WIDTH}LITERAL"}             "MB-000042": {n:06}, WIDTH 1 to 20
 *                | {"binary":BYTES,"order":"little"|"big"}         an unsigned integer of 1 to 8 bytes
 *     ID         = 1 to 64 of A-Z a-z 0-9 . _ -
 *     LITERAL    = any of the ASCII characters from space to ~, but { and }; may be empty
 *     N          = 0 to 9223372036854775807; step from 1
 *
 * The numbers of a pool are first, first + step, first + 2 step, … up to last (last itself need not be among them). Every
 * one must fit the format: the greatest has no more than DIGITS or WIDTH digits and fits BYTES; a formatted number has at
 * most IMP_WIRE_NUMBER_BYTES_MAX bytes. A text holds exactly one {n…}; another placeholder is refused by its name.
 * reuse: may a number that was given back unwritten be given again? (Lowest first, before new ones.)
 *
 * Life cycle: plain values. Thread rule: no state, any thread. */
#pragma once

#include "wire/wire.h"

#define IMP_POOL_DEFINITION_MAX 512 /* bytes of a definition's text */
#define IMP_POOL_DIGEST_BYTES   32
#define IMP_POOL_NUMBER_MAX     G_MAXINT64 /* what the database holds exactly */
#define IMP_POOL_WIDTH_MAX      20

typedef enum {
    IMP_POOL_DECIMAL = 2,
    IMP_POOL_TEXT,
    IMP_POOL_BINARY,
} ImpPoolFormatKind;

typedef struct {
    char id[IMP_WIRE_NAME_SIZE];
    guint64 first, last, step;
    gboolean reuse;
    ImpPoolFormatKind format;
    guint32 width; /* decimal: digits; text: WIDTH, 0 = {n}; binary: bytes */
    gboolean big_endian; /* binary */
    char before[IMP_WIRE_NUMBER_BYTES_MAX + 1]; /* text: the literals */
    char after[IMP_WIRE_NUMBER_BYTES_MAX + 1];
} ImpPool;

/* Reads a definition and checks all of the above, canonical form included. IMP_E_SYNTAX, IMP_E_SCHEMA or IMP_E_LIMIT
 * names what is wrong. */
gboolean imp_pool_parse(const char *definition, ImpPool *out_pool, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same checks on a definition whose text is valid in every way but its form (members in another order, spaces): gives
 * the canonical text, free with g_free. */
char *imp_pool_canonical(const char *definition, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* SHA-256 of the canonical text. */
void imp_pool_digest(const char *definition, guint8 out_digest[IMP_POOL_DIGEST_BYTES]);

/* TRUE if number is one of the pool's. */
gboolean imp_pool_contains(const ImpPool *pool, guint64 number);

/* How many numbers the pool has from next on; next may be past the last one. imp_pool_capacity(pool, pool->first) is all
 * of them. */
guint64 imp_pool_capacity(const ImpPool *pool, guint64 next);

/* Makes bytes and text of one number; it must be one of the pool's. */
void imp_pool_format(const ImpPool *pool, guint64 number, ImpNumber *out_number);

/* Bytes of the longest formatted number: what a place must hold at least. */
guint32 imp_pool_max_bytes(const ImpPool *pool);
