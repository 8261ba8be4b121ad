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
    g_autofree ImpPool *pool = g_new0(ImpPool, 1);
    GError *fault = NULL;
    if (!imp_pool_parse(imp_row_text(&row, 0), pool, &fault)) {
        imp_error_set(&ledger->sql.error, IMP_E_LEDGER_CORRUPT, "ledger: pool %" G_GINT64_FORMAT ": %s",
                      pool_ref, fault->message);
        g_error_free(fault);
        return NULL;
    }
    gint64 *key = g_new(gint64, 1);
    *key = pool_ref;
    known = pool;
    g_hash_table_insert(ledger->pools, key, g_steal_pointer(&pool));
    return known;
}

gint64 core_pool_ref(ImpLedger *ledger, const char *account, const char *id)
{
    return imp_sql_value(&ledger->sql, "SELECT ref FROM pool WHERE account = ?1 AND id = ?2", "tt", account,
                         id);
}

gint64 core_pool_add(ImpLedger *ledger, const char *account, const char *definition, GError **error)
{
    g_auto(ImpPool) pool = {0};
    if (!imp_pool_parse(definition, &pool, error))
        return 0;
    g_auto(ImpRow) row = {0};
    if (imp_sql_find(&ledger->sql, &row, "SELECT ref, definition FROM pool WHERE account = ?1 AND id = ?2",
                     "tt", account, pool.id)) {
        if (strcmp(imp_row_text(&row, 1), definition) == 0)
            return imp_row_i64(&row, 0);
        g_autofree char *known = imp_pool_short(imp_row_text(&row, 1));
        g_autofree char *this = imp_pool_short(definition);
        imp_error_set(error, IMP_E_POOL_DIFFERS, "the pool %s is known as %s, this one is %s", pool.id, known,
                      this);
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
    gboolean named; /* one of an ended launch: it is not taken */
    const ImpGivenNumber *given; /* external */
    gboolean is_new; /* external: never given before */
} Choice;

static const ImpGivenNumber *find_given(const ImpWant *want, const char *pool)
{
    for (guint32 i = 0; i < want->n_given; i++)
        if (strcmp(want->given[i].pool, pool) == 0)
            return &want->given[i];
    return NULL;
}

/* The number that stands for bytes in an external pool; -1 = none yet. */
static gint64 given_number(ImpLedger *ledger, gint64 ref, const guint8 *bytes, gsize n_bytes)
{
    g_auto(ImpRow) row = {0};
    return imp_sql_find(&ledger->sql, &row, "SELECT number FROM given WHERE pool = ?1 AND bytes = ?2", "ib",
                        ref, bytes, n_bytes)
               ? imp_row_i64(&row, 0)
               : -1;
}

/* The next new number of a pool; -1 = it has none left. */
static gint64 next_number(ImpLedger *ledger, gint64 ref)
{
    g_auto(ImpRow) row = {0};
    if (!imp_sql_find(&ledger->sql, &row, "SELECT next FROM pool WHERE ref = ?1", "i", ref) ||
        imp_row_is_null(&row, 0))
        return -1;
    return imp_row_i64(&row, 0);
}

static int choose_given(ImpLedger *ledger, const ImpWant *want, gboolean keep, Choice *choice)
{
    choice->given = find_given(want, choice->pool->id);
    ImpNumber unused;
    if (choice->given == NULL ||
        !imp_pool_take_given(choice->pool, choice->given->bytes, choice->given->n_bytes, &unused, NULL))
        return IMP_E_NUMBER_NOT_GIVEN;
    choice->number = given_number(ledger, choice->ref, choice->given->bytes, choice->given->n_bytes);
    if (choice->number < 0) {
        choice->is_new = TRUE;
        choice->number = next_number(ledger, choice->ref);
        return choice->number >= 0 ? 0 : IMP_E_POOL_EXHAUSTED;
    }
    int state = (int)imp_sql_value(&ledger->sql, "SELECT state FROM number WHERE pool = ?1 AND number = ?2",
                                   "ii", choice->ref, choice->number);
    choice->again = state == CORE_FREE;
    choice->named = keep && (state == CORE_USED || state == CORE_SPENT);
    return choice->again || choice->named ? 0 : IMP_E_NUMBER_USED;
}

/* What would be taken from a pool: 0, or the code of a refusal. */
static int choose(ImpLedger *ledger, const ImpWant *want, gboolean keep, Choice *choice)
{
    choice->pool = core_pool(ledger, choice->ref);
    if (choice->pool == NULL)
        return IMP_E_POOL_EXHAUSTED;
    if (choice->pool->format == IMP_POOL_EXTERNAL)
        return choose_given(ledger, want, keep, choice);
    g_auto(ImpRow) row = {0};
    /* The planner would rather walk over all numbers of the pool. */
    choice->again =
        imp_sql_find(&ledger->sql, &row,
                     "SELECT number FROM number INDEXED BY number_free WHERE pool = ?1 AND state = " SQL_FREE
                     " ORDER BY number LIMIT 1",
                     "i", choice->ref);
    choice->number = choice->again ? imp_row_i64(&row, 0) : next_number(ledger, choice->ref);
    return choice->number >= 0 ? 0 : IMP_E_POOL_EXHAUSTED;
}

static void take(ImpLedger *ledger, const Choice *choice, gint64 station_ref, const ImpId *launch)
{
    if (choice->named)
        return;
    if (choice->again) {
        imp_sql_run(&ledger->sql,
                    "UPDATE number SET state = ?1, station = ?2, launch = ?3 WHERE pool = ?4 AND number = ?5",
                    "iidii", (gint64)CORE_TAKEN, station_ref, launch, choice->ref, choice->number);
        count(ledger, choice->ref, CORE_FREE, CORE_TAKEN);
        return;
    }
    if (choice->is_new)
        imp_sql_run(&ledger->sql, "INSERT INTO given (pool, bytes, number) VALUES (?1, ?2, ?3)", "ibi",
                    choice->ref, choice->given->bytes, (gsize)choice->given->n_bytes, choice->number);
    imp_sql_run(&ledger->sql,
                "INSERT INTO number (pool, number, state, station, launch) VALUES (?1, ?2, ?3, ?4, ?5)",
                "iiiid", choice->ref, choice->number, (gint64)CORE_TAKEN, station_ref, launch);
    gint64 next = after(choice->pool, (guint64)choice->number);
    imp_sql_run(&ledger->sql, "UPDATE pool SET next = ?1, held = held + 1 WHERE ref = ?2", "ni", next >= 0,
                next, choice->ref);
}

static void write_choice(const Choice *choice, gint64 now_us, ImpNumber *out)
{
    if (choice->given == NULL) {
        imp_pool_format(choice->pool, (guint64)choice->number, now_us, out);
        return;
    }
    gboolean ok = imp_pool_take_given(choice->pool, choice->given->bytes, choice->given->n_bytes, out, NULL);
    g_assert(ok); /* choose has looked */
    out->number = (guint64)choice->number;
}

int core_numbers_take(ImpLedger *ledger, gint64 station_ref, const ImpWant *want, gboolean keep,
                      ImpNumber *out_numbers, guint32 *out_n_numbers)
{
    Choice choices[IMP_WIRE_NUMBERS_MAX] = {{0}};
    guint32 n = 0;
    g_auto(ImpRow) row = {0};
    for (gboolean more =
             imp_sql_find(&ledger->sql, &row, "SELECT pool FROM image_pool WHERE image = ?1 ORDER BY place",
                          "d", &want->image);
         more && n < IMP_WIRE_NUMBERS_MAX; more = imp_sql_next(&row))
        choices[n++].ref = imp_row_i64(&row, 0);
    for (guint32 i = 0; i < n; i++) {
        int code = choose(ledger, want, keep, &choices[i]);
        if (code != 0)
            return code;
    }
    for (guint32 i = 0; i < n; i++) {
        take(ledger, &choices[i], station_ref, &want->launch);
        write_choice(&choices[i], core_now(ledger), &out_numbers[i]);
    }
    *out_n_numbers = n;
    return 0;
}

gboolean core_numbers_given(const ImpNumber *numbers, guint32 n_numbers, const ImpWant *want)
{
    for (guint32 i = 0; i < n_numbers; i++) {
        const ImpGivenNumber *given = find_given(want, numbers[i].pool);
        if (given != NULL && (given->n_bytes != numbers[i].n_bytes ||
                              memcmp(given->bytes, numbers[i].bytes, given->n_bytes) != 0))
            return FALSE;
    }
    return TRUE;
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

gboolean core_numbers_held(ImpLedger *ledger, const char *account, const CoreLaunch *launch)
{
    for (guint32 i = 0; i < launch->n_numbers; i++)
        if (state_of(ledger, core_pool_ref(ledger, account, launch->numbers[i].pool),
                     (gint64)launch->numbers[i].number, launch->station_ref, &launch->id) == 0)
            return FALSE;
    return TRUE;
}

void core_numbers_move(ImpLedger *ledger, const char *account, const CoreLaunch *launch)
{
    for (guint32 i = 0; i < launch->n_numbers; i++) {
        gint64 ref = core_pool_ref(ledger, account, launch->numbers[i].pool);
        gint64 number = (gint64)launch->numbers[i].number;
        int was = (int)imp_sql_value(&ledger->sql, "SELECT state FROM number WHERE pool = ?1 AND number = ?2",
                                     "ii", ref, number);
        imp_sql_run(&ledger->sql,
                    "UPDATE number SET state = ?1, station = ?2, launch = ?3 WHERE pool = ?4 AND number = ?5",
                    "iidii", (gint64)CORE_USED, launch->station_ref, &launch->id, ref, number);
        if (was != CORE_USED)
            count(ledger, ref, was, CORE_USED);
    }
}

/* Is the number that of another launch of the same chip? */
static gboolean same_chip(ImpLedger *ledger, gint64 ref, gint64 number, const ImpReport *report)
{
    return report->n_uid > 0 &&
           imp_sql_value(&ledger->sql,
                         "SELECT EXISTS (SELECT 1 FROM number n JOIN launch l ON l.id = n.launch AND "
                         "l.station = n.station WHERE n.pool = ?1 AND n.number = ?2 AND l.uid = ?3)",
                         "iib", ref, number, report->uid, (gsize)report->n_uid) != 0;
}

/* Marks one number; FALSE if another launch has it. */
static gboolean claim(ImpLedger *ledger, gint64 ref, gint64 number, gint64 station_ref,
                      const ImpReport *report, int state)
{
    int was = (int)imp_sql_value(&ledger->sql, "SELECT state FROM number WHERE pool = ?1 AND number = ?2",
                                 "ii", ref, number);
    if (was != 0 && was != CORE_FREE)
        return same_chip(ledger, ref, number, report);
    imp_sql_run(&ledger->sql,
                "INSERT OR REPLACE INTO number (pool, number, state, station, launch) "
                "VALUES (?1, ?2, ?3, ?4, ?5)",
                "iiiid", ref, number, (gint64)state, station_ref, &report->launch);
    count(ledger, ref, was, state);
    return TRUE;
}

/* What stands for the bytes of a given number here: the number in the report is another ledger's, or an earlier one's. */
static void claim_given(ImpLedger *ledger, gint64 ref, ImpNumber *number)
{
    gint64 known = given_number(ledger, ref, number->bytes, number->n_bytes);
    if (known < 0) {
        known = next_number(ledger, ref);
        imp_sql_run(&ledger->sql, "INSERT INTO given (pool, bytes, number) VALUES (?1, ?2, ?3)", "ibi", ref,
                    number->bytes, (gsize)number->n_bytes, known);
    }
    number->number = (guint64)known;
}

gboolean core_numbers_claim(ImpLedger *ledger, const char *account, gint64 station_ref, ImpReport *report,
                            int state)
{
    gboolean all = TRUE;
    for (guint32 i = 0; i < report->n_numbers; i++) {
        gint64 ref = core_pool_ref(ledger, account, report->numbers[i].pool);
        const ImpPool *pool = core_pool(ledger, ref);
        if (pool != NULL && pool->format == IMP_POOL_EXTERNAL && report->numbers[i].n_bytes > 0)
            claim_given(ledger, ref, &report->numbers[i]);
        if (pool == NULL || !imp_pool_contains(pool, report->numbers[i].number))
            continue;
        gint64 number = (gint64)report->numbers[i].number;
        if (!claim(ledger, ref, number, station_ref, report, state))
            all = FALSE;
        gint64 next = after(pool, report->numbers[i].number);
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
