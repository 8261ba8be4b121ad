#include "ledger/core.h"

#include <string.h>

/* ---- pools ---- */

const ImpPool *core_pool(ImpLedger *ledger, gint64 pool_ref)
{
    const ImpPool *known = g_hash_table_lookup(ledger->pools, &pool_ref);
    if (known != NULL)
        return known;
    g_auto(ImpRow) row = {0};
    if (!imp_sql_find(&ledger->sql, &row, "SELECT definition FROM pool WHERE ref = ?1", "i", pool_ref))
        return NULL;
    ImpPool pool;
    GError *fault = NULL;
    if (!imp_pool_parse(imp_row_text(&row, 0), &pool, &fault)) {
        imp_error_set(&ledger->sql.error, IMP_E_LEDGER_CORRUPT, "ledger: pool %" G_GINT64_FORMAT ": %s",
                      pool_ref, fault->message);
        g_error_free(fault);
        return NULL;
    }
    ImpPool *copy = g_new(ImpPool, 1);
    *copy = pool;
    gint64 *key = g_new(gint64, 1);
    *key = pool_ref;
    g_hash_table_insert(ledger->pools, key, copy);
    return copy;
}

gint64 core_pool_ref(ImpLedger *ledger, const char *account, const char *id)
{
    return imp_sql_value(&ledger->sql, "SELECT ref FROM pool WHERE account = ?1 AND id = ?2", "tt", account,
                         id);
}

gint64 core_pool_add(ImpLedger *ledger, const char *account, const char *definition, GError **error)
{
    ImpPool pool;
    if (!imp_pool_parse(definition, &pool, error))
        return 0;
    g_auto(ImpRow) row = {0};
    if (imp_sql_find(&ledger->sql, &row, "SELECT ref, definition FROM pool WHERE account = ?1 AND id = ?2",
                     "tt", account, pool.id)) {
        if (strcmp(imp_row_text(&row, 1), definition) == 0)
            return imp_row_i64(&row, 0);
        imp_error_set(error, IMP_E_POOL_DIFFERS, "the pool %s is known as %s, this one is %s", pool.id,
                      imp_row_text(&row, 1), definition);
        return 0;
    }
    imp_sql_run(&ledger->sql, "INSERT INTO pool (account, id, definition, next) VALUES (?1, ?2, ?3, ?4)",
                "ttti", account, pool.id, definition, (gint64)pool.first);
    if (!imp_sql_ok(&ledger->sql)) {
        (void)imp_sql_take(&ledger->sql, error);
        return 0;
    }
    return sqlite3_last_insert_rowid(ledger->sql.db);
}

/* The number after number, or -1. */
static gint64 after(const ImpPool *pool, guint64 number)
{
    return pool->last - number >= pool->step ? (gint64)(number + pool->step) : -1;
}

/* Counts a number that goes from one state to another; from 0: it is new. */
static void count(ImpLedger *ledger, gint64 ref, int from, int to)
{
    imp_sql_run(&ledger->sql,
                "UPDATE pool SET free = free - (?1 = 1) + (?2 = 1), held = held - (?1 = 2) + (?2 = 2), "
                "used = used - (?1 = 3) + (?2 = 3), spent = spent - (?1 = 4) + (?2 = 4) WHERE ref = ?3",
                "iii", (gint64)from, (gint64)to, ref);
    G_STATIC_ASSERT(CORE_FREE == 1 && CORE_TAKEN == 2 && CORE_USED == 3 && CORE_SPENT == 4);
}

/* ---- taking ---- */

typedef struct {
    gint64 ref;
    const ImpPool *pool;
    gint64 number;
    gboolean again; /* a returned one */
} Choice;

/* What would be taken from a pool; FALSE if it has none left. */
static gboolean choose(ImpLedger *ledger, Choice *choice)
{
    choice->pool = core_pool(ledger, choice->ref);
    if (choice->pool == NULL)
        return FALSE;
    g_auto(ImpRow) row = {0};
    /* The planner would rather walk over all numbers of the pool. */
    choice->again =
        imp_sql_find(&ledger->sql, &row,
                     "SELECT number FROM number INDEXED BY number_free WHERE pool = ?1 AND state = " SQL_FREE
                     " ORDER BY number LIMIT 1",
                     "i", choice->ref);
    if (!choice->again &&
        (!imp_sql_find(&ledger->sql, &row, "SELECT next FROM pool WHERE ref = ?1", "i", choice->ref) ||
         imp_row_is_null(&row, 0)))
        return FALSE;
    choice->number = imp_row_i64(&row, 0);
    return TRUE;
}

static void take(ImpLedger *ledger, const Choice *choice, gint64 station_ref, const ImpId *launch)
{
    if (choice->again) {
        imp_sql_run(&ledger->sql,
                    "UPDATE number SET state = ?1, station = ?2, launch = ?3 WHERE pool = ?4 AND number = ?5",
                    "iidii", (gint64)CORE_TAKEN, station_ref, launch, choice->ref, choice->number);
        count(ledger, choice->ref, CORE_FREE, CORE_TAKEN);
        return;
    }
    imp_sql_run(&ledger->sql,
                "INSERT INTO number (pool, number, state, station, launch) VALUES (?1, ?2, ?3, ?4, ?5)",
                "iiiid", choice->ref, choice->number, (gint64)CORE_TAKEN, station_ref, launch);
    gint64 next = after(choice->pool, (guint64)choice->number);
    imp_sql_run(&ledger->sql, "UPDATE pool SET next = ?1, held = held + 1 WHERE ref = ?2", "ni", next >= 0,
                next, choice->ref);
}

int core_numbers_take(ImpLedger *ledger, const ImpId *image, gint64 station_ref, const ImpId *launch,
                      ImpNumber *out_numbers, guint32 *out_n_numbers)
{
    Choice choices[IMP_WIRE_NUMBERS_MAX];
    guint32 n = 0;
    g_auto(ImpRow) row = {0};
    for (gboolean more = imp_sql_find(
             &ledger->sql, &row, "SELECT pool FROM image_pool WHERE image = ?1 ORDER BY place", "d", image);
         more && n < IMP_WIRE_NUMBERS_MAX; more = imp_sql_next(&row))
        choices[n++].ref = imp_row_i64(&row, 0);
    for (guint32 i = 0; i < n; i++)
        if (!choose(ledger, &choices[i]))
            return IMP_E_POOL_EXHAUSTED;
    for (guint32 i = 0; i < n; i++) {
        take(ledger, &choices[i], station_ref, launch);
        imp_pool_format(choices[i].pool, (guint64)choices[i].number, &out_numbers[i]);
    }
    *out_n_numbers = n;
    return 0;
}

/* ---- giving back ---- */

/* The state of a number, if it is this launch's; else 0: whose number it no longer is does not touch it. */
static int state_of(ImpLedger *ledger, gint64 ref, gint64 number, gint64 station_ref, const ImpId *launch)
{
    return (int)imp_sql_value(&ledger->sql,
                              "SELECT state FROM number WHERE pool = ?1 AND number = ?2 AND launch = ?3 "
                              "AND station = ?4",
                              "iidi", ref, number, launch, station_ref);
}

void core_numbers_set(ImpLedger *ledger, const char *account, gint64 station_ref, const ImpId *launch,
                      const ImpNumber *numbers, guint32 n_numbers, int state)
{
    for (guint32 i = 0; i < n_numbers; i++) {
        gint64 ref = core_pool_ref(ledger, account, numbers[i].pool), number = (gint64)numbers[i].number;
        const ImpPool *pool = core_pool(ledger, ref);
        if (pool == NULL)
            continue; /* a fault, or a report after a restore: no such pool here */
        int becomes = state == CORE_FREE && !pool->reuse ? CORE_SPENT : state;
        int was = state_of(ledger, ref, number, station_ref, launch);
        if (was == 0 || was == becomes)
            continue;
        if (becomes == CORE_FREE)
            imp_sql_run(&ledger->sql,
                        "UPDATE number SET state = " SQL_FREE ", station = NULL, launch = NULL "
                        "WHERE pool = ?1 AND number = ?2",
                        "ii", ref, number);
        else
            imp_sql_run(&ledger->sql, "UPDATE number SET state = ?1 WHERE pool = ?2 AND number = ?3", "iii",
                        (gint64)becomes, ref, number);
        count(ledger, ref, was, becomes);
    }
}

/* Marks one number; FALSE if another launch has it. */
static gboolean claim(ImpLedger *ledger, gint64 ref, gint64 number, gint64 station_ref, const ImpId *launch,
                      int state)
{
    int was = (int)imp_sql_value(&ledger->sql, "SELECT state FROM number WHERE pool = ?1 AND number = ?2",
                                 "ii", ref, number);
    if (was != 0 && was != CORE_FREE)
        return FALSE;
    imp_sql_run(&ledger->sql,
                "INSERT OR REPLACE INTO number (pool, number, state, station, launch) "
                "VALUES (?1, ?2, ?3, ?4, ?5)",
                "iiiid", ref, number, (gint64)state, station_ref, launch);
    count(ledger, ref, was, state);
    return TRUE;
}

gboolean core_numbers_claim(ImpLedger *ledger, const char *account, gint64 station_ref, const ImpId *launch,
                            const ImpNumber *numbers, guint32 n_numbers, int state)
{
    gboolean all = TRUE;
    for (guint32 i = 0; i < n_numbers; i++) {
        gint64 ref = core_pool_ref(ledger, account, numbers[i].pool);
        const ImpPool *pool = core_pool(ledger, ref);
        if (pool == NULL || !imp_pool_contains(pool, numbers[i].number))
            continue;
        gint64 number = (gint64)numbers[i].number;
        if (!claim(ledger, ref, number, station_ref, launch, state))
            all = FALSE;
        gint64 next = after(pool, numbers[i].number);
        imp_sql_run(&ledger->sql, "UPDATE pool SET next = ?1 WHERE ref = ?2 AND next <= ?3", "nii", next >= 0,
                    next, ref, number);
    }
    return all;
}

/* ---- numbers in a column ----
 *
 * numbers = number*
 * number  = u8 length, pool's ID; u64 little-endian, the number; u8 length, bytes; u8 length, text */

static void put(GByteArray *out, const void *bytes, gsize n_bytes)
{
    guint8 length = (guint8)n_bytes;
    g_assert(n_bytes <= G_MAXUINT8);
    g_byte_array_append(out, &length, 1);
    g_byte_array_append(out, bytes, (guint)n_bytes);
}

guint8 *core_numbers_pack(const ImpNumber *numbers, guint32 n_numbers, gsize *out_n_bytes)
{
    if (n_numbers == 0) {
        *out_n_bytes = 0;
        return NULL;
    }
    GByteArray *out = g_byte_array_sized_new(n_numbers * 64);
    for (guint32 i = 0; i < n_numbers; i++) {
        guint64 number = GUINT64_TO_LE(numbers[i].number);
        put(out, numbers[i].pool, strlen(numbers[i].pool));
        g_byte_array_append(out, (const guint8 *)&number, sizeof number);
        put(out, numbers[i].bytes, numbers[i].n_bytes);
        put(out, numbers[i].text, strlen(numbers[i].text));
    }
    *out_n_bytes = out->len;
    return g_byte_array_free(out, FALSE);
}

typedef struct {
    const guint8 *bytes;
    gsize left;
} Reader;

static gboolean get(Reader *in, void *out, gsize n_bytes)
{
    if (in->left < n_bytes)
        return FALSE;
    memcpy(out, in->bytes, n_bytes);
    in->bytes += n_bytes;
    in->left -= n_bytes;
    return TRUE;
}

static gboolean get_counted(Reader *in, void *out, gsize cap, guint8 *out_n)
{
    return get(in, out_n, 1) && *out_n <= cap && get(in, out, *out_n);
}

gboolean core_numbers_unpack(const guint8 *bytes, gsize n_bytes, ImpNumber *out_numbers,
                             guint32 *out_n_numbers)
{
    Reader in = {bytes, n_bytes};
    guint32 n = 0;
    while (in.left > 0) {
        ImpNumber number = {0};
        guint8 length;
        if (n == IMP_WIRE_NUMBERS_MAX || !get_counted(&in, number.pool, sizeof number.pool - 1, &length) ||
            !get(&in, &number.number, sizeof number.number) ||
            !get_counted(&in, number.bytes, sizeof number.bytes, &number.n_bytes) ||
            !get_counted(&in, number.text, sizeof number.text - 1, &length))
            return FALSE;
        number.number = GUINT64_FROM_LE(number.number);
        out_numbers[n++] = number;
    }
    *out_n_numbers = n;
    return TRUE;
}
