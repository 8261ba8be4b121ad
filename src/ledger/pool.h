/* A serial number pool: bounds, step and format of a sequence, and how one number of it becomes bytes.
 *
 * The definition is part of the pool (docs/ledger.md, rule 2): images carry it, authorities compare its digest, and
 * another definition under the same ID is refused. So there is exactly one text for one definition, the canonical one:
 * JSON with every member present, sorted, no spaces, in ASCII, as json_dumps(JSON_COMPACT | JSON_SORT_KEYS) writes it:
 *
 *     definition = {"first":N,"format":FORMAT,"id":"ID","last":N,"reuse":true|false,"step":N}
 *     FORMAT     = {"decimal":DIGITS}                      "000042": padded with zeros, DIGITS 1 to 20
 *                | {"digits":DIGITS,"hex":"upper"|"lower"} "00002A", DIGITS 1 to 16
 *                | {"text":"TEMPLATE"}                     "MB-2647-000042-7": below
 *                | {"binary":BYTES,ORDER}                  an unsigned integer of 1 to 8 bytes
 *                | {"bcd":BYTES,ORDER}                     packed decimal, two digits a byte, 1 to 10 bytes
 *                | {"bytes":"LOHILOHI…",ORDER}             1 to 16 bytes, each with its own bounds in hexadecimal: they
 *                                                          count like an odometer, the last one first, number 0 is all LO
 *                | {"eui48":"BASE",ORDER}                  the address BASE + number, 12 hexadecimal digits
 *                | {"eui64":"BASE",ORDER}                  likewise, 16
 *                | {"as":"text"|"hex","list":["…",…]}      the entry of that index; hex: bytes in hexadecimal
 *                | {"external":BYTES}                      given with the launch (from a label): 1 to BYTES, at most 64
 *     ORDER      = "order":"big"|"little"                  big: as people write it; little: the bytes turned round
 *     ID         = 1 to 64 of A-Z a-z 0-9 . _ -
 *     TEMPLATE   = ASCII characters from space to ~, but { and }, and of these placeholders exactly one {n…}:
 *                  {n} {n:06}          the number in decimal, WIDTH 1 to 20
 *                  {n:04x} {n:04X}     in hexadecimal, WIDTH 1 to 16
 *                  {date:yyww}         the day of the grant, UTC by the authority's clock: yyyy yy mm dd ddd (day of the
 *                                      year) ww (ISO week; yy and yyyy are then the week's year)
 *                  {luhn} {mod97}      behind the number, at most one: a digit so that all decimal digits up to it pass
 *                                      Luhn's check (ISO/IEC 7812-1, annex B); two digits so that letters and digits up to
 *                                      them pass ISO/IEC 7064 MOD 97-10
 *     N          = 0 to 9223372036854775807; step from 1
 *
 * The numbers of a pool are first, first + step, first + 2 step, … up to last (last itself need not be among them). Every
 * one must fit the format: digits, bytes, bounds, addresses (not a group's), entries; a formatted number has at most
 * IMP_WIRE_NUMBER_BYTES_MAX bytes. Of different numbers the bytes differ, whatever the dates: date and check digits have a
 * fixed width. A list's entries differ from each other and are 1 to 64 bytes, of printable ASCII if they are text.
 * An external pool numbers what it is given in the order in which it comes: first 0, last the greatest, step 1.
 * reuse: may a number that was given back unwritten be given again? (Lowest first, before new ones.)
 *
 * The list is a part of the definition, so of the image, and its digest of the pool's: who runs the image needs nothing else,
 * and nobody can add to a list under the same ID.
 *
 * Life cycle: imp_pool_parse fills a value, imp_pool_done frees what it holds. Thread rule: no state, any thread.
 * Library imp_pool: it links neither SQL nor anything with input and output; the builder uses it, too. */
#pragma once

#include "wire/wire.h"

#define IMP_POOL_DEFINITION_MAX (256 * 1024) /* bytes of a definition's text */
#define IMP_POOL_PLAIN_MAX      512 /* of one without a list */
#define IMP_POOL_LIST_MAX       16384 /* entries */
#define IMP_POOL_TEMPLATE_MAX   128
#define IMP_POOL_DIGEST_BYTES   32
#define IMP_POOL_NUMBER_MAX     G_MAXINT64 /* what the database holds exactly */
#define IMP_POOL_WIDTH_MAX      20
#define IMP_POOL_BYTES_MAX      16 /* of an odometer */
#define IMP_POOL_BCD_MAX        10

typedef enum {
    IMP_POOL_DECIMAL = 2,
    IMP_POOL_TEXT,
    IMP_POOL_BINARY,
    IMP_POOL_HEX,
    IMP_POOL_BCD,
    IMP_POOL_BYTES,
    IMP_POOL_EUI48,
    IMP_POOL_EUI64,
    IMP_POOL_LIST,
    IMP_POOL_EXTERNAL,
} ImpPoolFormatKind;

typedef struct {
    char id[IMP_WIRE_NAME_SIZE];
    guint64 first, last, step;
    gboolean reuse;
    ImpPoolFormatKind format;
    guint32 width; /* decimal, hex: digits; binary, bcd, bytes, eui: bytes; external: the most bytes */
    gboolean big_endian; /* binary, bcd, bytes, eui */
    gboolean upper; /* hex */
    char text[IMP_POOL_TEMPLATE_MAX + 1]; /* text: the template */
    guint8 low[IMP_POOL_BYTES_MAX], high[IMP_POOL_BYTES_MAX]; /* bytes */
    guint64 base; /* eui */
    gboolean as_hex; /* list */
    char **list; /* list: n_list entries, NULL behind them; owned */
    guint32 n_list;
} ImpPool;

/* Frees what a parsed pool holds. A zeroed one is allowed. */
void imp_pool_done(ImpPool *pool);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImpPool, imp_pool_done)

/* Reads a definition and checks all of the above, canonical form included. IMP_E_SYNTAX, IMP_E_SCHEMA or IMP_E_LIMIT
 * names what is wrong. imp_pool_done frees. */
gboolean imp_pool_parse(const char *definition, ImpPool *out_pool, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same checks on a definition whose text is valid in every way but its form (members in another order, spaces): gives
 * the canonical text, free with g_free. */
char *imp_pool_canonical(const char *definition, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* SHA-256 of the canonical text. */
void imp_pool_digest(const char *definition, guint8 out_digest[IMP_POOL_DIGEST_BYTES]);

/* The definition for people and lists of pools: the canonical text, but of a list only how many entries it has and the SHA-256
 * of the definition: {"as":"text","entries":5000,"sha256":"…"}. definition must be canonical. Free with g_free. */
char *imp_pool_short(const char *definition);

/* TRUE if number is one of the pool's. */
gboolean imp_pool_contains(const ImpPool *pool, guint64 number);

/* How many numbers the pool has from next on; next may be past the last one. imp_pool_capacity(pool, pool->first) is all
 * of them. */
guint64 imp_pool_capacity(const ImpPool *pool, guint64 next);

/* The greatest number that the format can write, whatever the pool's last is. */
guint64 imp_pool_format_last(const ImpPool *pool);

/* Makes bytes and text of one number; it must be one of the pool's, and the pool not external. real_us: the authority's
 * clock, for the date in a text. */
void imp_pool_format(const ImpPool *pool, guint64 number, gint64 real_us, ImpNumber *out_number);

/* Makes a number of what was given with the launch. IMP_E_ARGUMENT: it is empty, too long, or not printable ASCII. */
gboolean imp_pool_take_given(const ImpPool *pool, const guint8 *bytes, gsize n_bytes, ImpNumber *out_number,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Bytes of the longest formatted number: what a place must hold at least. */
guint32 imp_pool_max_bytes(const ImpPool *pool);

/* Does a formatted number name the day of its grant? */
gboolean imp_pool_has_date(const ImpPool *pool);

/* Inside of the pool's code: the template of a text. NULL if it is well formed, else what is wrong (free with g_free).
 * *out_digits (may be NULL): how many digits the number may have, 0 = any; *out_hexadecimal (may be NULL). */
char *imp_pool_template_fault(const char *text, guint32 *out_digits, gboolean *out_hexadecimal);
