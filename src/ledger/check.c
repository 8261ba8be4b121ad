/* Says everything that is derived or kept twice a second time, from the rows, and compares. */
#include "ledger/core.h"

#include <string.h>

typedef struct {
    ImpLedger *ledger;
    GPtrArray *wrongs;
} Check;

/* A query whose every row is something wrong: a fixed text, and the row's first column to say which. */
static void none(Check *check, const char *wrong, const char *query)
{
    g_auto(ImpRow) row = {0};
    for (gboolean more = imp_sql_find(&check->ledger->sql, &row, query, ""); more; more = imp_sql_next(&row))
        g_ptr_array_add(check->wrongs, g_strdup_printf("%s: %s", wrong, imp_row_text(&row, 0)));
}

/* What an image's row counts, beside what its launches' rows say. */
#define COUNTED(column) "i." #column " <> coalesce(l." #column ", 0)"
static const char counts_differ[] =
    "SELECT hex(i.id) FROM image i LEFT JOIN (SELECT image, sum(state = 1) AS open, sum(state = 2) AS "
    "passed, "
    "sum(state = 3) AS failed, sum(state = 4) AS spent, sum(state = 5) AS unknown, sum(state = 6) AS lost, "
    "sum(state = 7) AS returned, sum(settled) AS settled, sum(uncounted AND state = 1) AS free_open, "
    "sum(uncounted AND state IN (2, 5)) AS free_passed, sum(uncounted AND state = 4) AS free_spent FROM "
    "launch WHERE own = 1 GROUP BY image) l "
    "ON l.image = i.id WHERE " COUNTED(open) " OR " COUNTED(passed) " OR " COUNTED(failed) " OR " COUNTED(spent) " OR " COUNTED(
        unknown) " OR " COUNTED(lost) " OR " COUNTED(returned) " OR " COUNTED(settled) " OR " COUNTED(free_open) " OR i.free_used <> "
                                                                                                                 "coalesce(l.free_"
                                                                                                                 "passed, 0) + "
                                                                                                                 "iif(i.count_on = "
                                                                                                                 "3, "
                                                                                                                 "coalesce(l.free_"
                                                                                                                 "spent, 0), 0)";
#undef COUNTED

static void check_counts(Check *check)
{
    none(check, "an image's counts differ from the rows of its launches", counts_differ);
    none(
        check, "an image has more launches than it allows (rule 1)",
        "SELECT hex(id) FROM image WHERE passed + unknown + open + iif(count_on = 3, spent, 0) - free_open - "
        "free_used > units + settled "
        "AND NOT EXISTS (SELECT 1 FROM alarm a WHERE a.image = image.id AND a.kind = 6)");
    G_STATIC_ASSERT(IMP_LEDGER_COUNT_ON_WRITE == 3 && IMP_ALARM_NOT_ASKED == 6);
}

static void check_rows(Check *check)
{
    static const struct {
        const char *wrong, *query;
    } rows[] = {
        {"a launch that has ended has no record",
         "SELECT hex(id) FROM launch l WHERE state NOT IN (1, 20) AND NOT EXISTS (SELECT 1 FROM record r "
         "WHERE "
         "r.launch = "
         "l.id AND r.station = l.station AND r.conflict = 0 AND r.result = l.state)"},
        {"a launch has more than one record that stands",
         "SELECT hex(launch) FROM record WHERE conflict = 0 GROUP BY launch, station HAVING count(*) > 1"},
        {"a record stands for a launch that has not ended so",
         "SELECT hex(launch) FROM record r WHERE conflict = 0 AND NOT EXISTS (SELECT 1 FROM launch l WHERE "
         "l.id = "
         "r.launch AND l.station = r.station AND l.state = r.result AND l.own = r.own)"},
        {"a launch is of a station that is not known",
         "SELECT hex(id) FROM launch WHERE station NOT IN (SELECT ref FROM station)"},
        {"an open launch is of an image that is not known",
         "SELECT hex(id) FROM launch WHERE state = 1 AND own = 1 AND image NOT IN (SELECT id FROM image)"},
        {"a station's newest seq is not that of its records",
         "SELECT hex(id) FROM station WHERE max_seq > (SELECT coalesce(max(seq), 0) FROM record r WHERE "
         "r.station "
         "= station.ref)"},
        {"two launches have the same place in the journal",
         "SELECT seq FROM launch WHERE station = 0 AND seq > 0 GROUP BY own, seq HAVING count(*) > 1"},
        {"a launch has a place in the journal that was not given yet",
         "SELECT seq FROM launch, ledger WHERE station = 0 AND seq > iif(own, own_seq, job_seq)"},
        {"a number is held by a launch that is not open",
         "SELECT n.number FROM number n LEFT JOIN launch l ON l.id = n.launch AND l.station = n.station "
         "WHERE "
         "n.state = 2 AND l.state IS NOT 1"},
        {"a number is used by a launch that has not passed",
         "SELECT n.number FROM number n LEFT JOIN launch l ON l.id = n.launch AND l.station = n.station "
         "WHERE "
         "n.state = 3 AND l.state IS NOT 2"},
        {"a number is spent by a launch that could have given it back or passed",
         "SELECT n.number FROM number n LEFT JOIN launch l ON l.id = n.launch AND l.station = n.station "
         "WHERE "
         "n.state = 4 AND (l.state IS NULL OR (l.kept = 0 AND (l.state = 2 OR (l.state = 1 AND l.settled = "
         "0))))"},
        {"a pool's counts differ from its numbers",
         "SELECT p.id FROM pool p LEFT JOIN (SELECT pool, sum(state = 1) AS free, sum(state = 2) AS held, "
         "sum(state = 3) AS used, sum(state = 4) AS spent FROM number GROUP BY pool) n ON n.pool = p.ref "
         "WHERE p.free <> coalesce(n.free, 0) OR p.held <> coalesce(n.held, 0) OR "
         "p.used <> coalesce(n.used, 0) OR p.spent <> coalesce(n.spent, 0)"},
        {"a free number belongs to a launch",
         "SELECT number FROM number WHERE (state = 1) <> (launch IS NULL) OR state NOT BETWEEN 1 AND 4"},
        {"two given numbers stand for the same bytes, or none for a number of an external pool",
         "SELECT g.pool || ' ' || g.number FROM given g LEFT JOIN number n ON n.pool = g.pool AND n.number = "
         "g.number "
         "WHERE n.number IS NULL OR EXISTS (SELECT 1 FROM given o WHERE o.pool = g.pool AND o.number = "
         "g.number AND "
         "o.bytes <> g.bytes)"},
        {"a number was given that the pool has yet to give",
         "SELECT p.id || ' ' || n.number FROM number n JOIN pool p ON p.ref = n.pool WHERE n.number >= "
         "p.next"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        none(check, rows[i].wrong, rows[i].query);
}

/* Who has a number that a launch names. */
typedef enum {
    HOLDER_OTHER = 2,
    HOLDER_LAUNCH,
    HOLDER_CHIP, /* another launch of the same chip, and one of the two was allowed to keep the other's */
} Holder;

/* The number's row must say what the state of the launch that names it says. */
static gboolean number_ok(const CoreLaunch *launch, Holder holder, gboolean external, int number_state)
{
    gboolean borne = number_state == CORE_USED || number_state == CORE_SPENT;
    if (launch->kept)
        return holder != HOLDER_OTHER && borne;
    /* A label that an ended launch has is named until the chip is known, and by what ended without one. */
    if (external && holder == HOLDER_OTHER && launch->n_uid == 0 && (borne || launch->state != CORE_OPEN))
        return TRUE;
    switch (launch->state) {
    case CORE_OPEN:
        if (!launch->settled)
            return holder == HOLDER_LAUNCH && number_state == CORE_TAKEN;
        break;
    case IMP_RESULT_PASSED:
        return (holder == HOLDER_LAUNCH || holder == HOLDER_CHIP) && number_state == CORE_USED;
    case IMP_RESULT_FAILED:
    case IMP_RESULT_RETURNED:
        return holder != HOLDER_LAUNCH || number_state == CORE_SPENT; /* free, or given again */
    default:
        break;
    }
    return (holder == HOLDER_LAUNCH && number_state == CORE_SPENT) || (holder == HOLDER_CHIP && borne);
}

static void check_number(Check *check, const char *account, const CoreLaunch *launch, const ImpNumber *number)
{
    char id[IMP_ID_TEXT_SIZE];
    imp_id_text(&launch->id, id);
    g_auto(ImpRow) found = {0};
    if (!imp_sql_find(
            &check->ledger->sql, &found,
            "SELECT n.state, n.launch IS ?3 AND n.station IS ?4, p.ref, EXISTS (SELECT 1 FROM launch o "
            "WHERE o.id = n.launch AND o.station = n.station AND o.uid = ?6 AND (o.kept OR ?7)) "
            "FROM pool p JOIN number n ON n.pool = p.ref WHERE p.id = ?1 AND n.number = ?2 AND p.account = "
            "?5",
            "tibitbi", number->pool, (gint64)number->number, launch->id.bytes, (gsize)IMP_ID_BYTES,
            launch->station_ref, account, launch->n_uid > 0 ? launch->uid : NULL, (gsize)launch->n_uid,
            (gint64)launch->kept)) {
        g_ptr_array_add(check->wrongs, g_strdup_printf("number %s of the launch %s is not among its pool's",
                                                       number->text, id));
        return;
    }
    Holder holder = imp_row_i64(&found, 1) != 0   ? HOLDER_LAUNCH
                    : imp_row_i64(&found, 3) != 0 ? HOLDER_CHIP
                                                  : HOLDER_OTHER;
    int state = (int)imp_row_i64(&found, 0);
    const ImpPool *pool = core_pool(check->ledger, imp_row_i64(&found, 2));
    if (pool != NULL && !number_ok(launch, holder, pool->format == IMP_POOL_EXTERNAL, state))
        g_ptr_array_add(check->wrongs,
                        g_strdup_printf("number %s of the launch %s: %s, state %d", number->text, id,
                                        holder == HOLDER_LAUNCH ? "held by it"
                                        : holder == HOLDER_CHIP ? "held by another launch of its chip"
                                                                : "not held by it",
                                        state));
}

/* FALSE: its numbers are damaged. */
static gboolean read_launch(Check *check, const ImpRow *row, CoreLaunch *launch)
{
    gboolean ok = imp_sql_ok(&check->ledger->sql);
    core_launch_read(check->ledger, row, launch);
    if (!ok || imp_sql_ok(&check->ledger->sql))
        return ok;
    (void)imp_sql_take(&check->ledger->sql, NULL);
    char id[IMP_ID_TEXT_SIZE];
    g_ptr_array_add(check->wrongs,
                    g_strdup_printf("the launch %s has damaged numbers", imp_id_text(&launch->id, id)));
    return FALSE;
}

static void check_numbers(Check *check)
{
    g_autofree CoreLaunch *launch = g_new(CoreLaunch, 1);
    g_auto(ImpRow) row = {0};
    for (gboolean more =
             imp_sql_find(&check->ledger->sql, &row,
                          "SELECT " CORE_LAUNCH_COLUMNS ", i.account "
                          "FROM launch l JOIN image i ON i.id = l.image "
                          "WHERE l.own = 1 AND l.numbers IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
                          "alarm a WHERE a.launch = l.id AND a.kind IN (6, 7))",
                          "");
         more; more = imp_sql_next(&row)) {
        if (!read_launch(check, &row, launch))
            continue;
        for (guint32 i = 0; i < launch->n_numbers; i++)
            check_number(check, imp_row_text(&row, CORE_LAUNCH_N_COLUMNS), launch, &launch->numbers[i]);
    }
    G_STATIC_ASSERT(IMP_ALARM_NUMBERS_DIFFER == 7);
}

static void check_pools(Check *check)
{
    g_auto(ImpRow) row = {0};
    for (gboolean more = imp_sql_find(&check->ledger->sql, &row, "SELECT pool, number FROM number", ""); more;
         more = imp_sql_next(&row)) {
        const ImpPool *pool = core_pool(check->ledger, imp_row_i64(&row, 0));
        if (pool != NULL && !imp_pool_contains(pool, (guint64)imp_row_i64(&row, 1)))
            g_ptr_array_add(check->wrongs,
                            g_strdup_printf("number %" G_GINT64_FORMAT " is not one of pool %s",
                                            imp_row_i64(&row, 1), pool->id));
    }
}

gboolean imp_ledger_check(ImpLedger *ledger, GPtrArray *out_wrongs, GError **error)
{
    Check check = {ledger, out_wrongs};
    {
        g_auto(ImpRow) row = {0};
        if (imp_sql_find(&ledger->sql, &row, "PRAGMA integrity_check(10)", "") &&
            strcmp(imp_row_text(&row, 0), "ok") != 0)
            g_ptr_array_add(out_wrongs, g_strdup(imp_row_text(&row, 0)));
    }
    check_counts(&check);
    check_rows(&check);
    check_numbers(&check);
    check_pools(&check);
    return imp_sql_take(&ledger->sql, error);
}
