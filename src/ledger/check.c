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
    "sum(state = 7) AS returned, sum(settled) AS settled FROM launch WHERE own = 1 GROUP BY image) l "
    "ON l.image = i.id WHERE " COUNTED(open) " OR " COUNTED(passed) " OR " COUNTED(failed) " OR " COUNTED(
        spent) " OR " COUNTED(unknown) " OR " COUNTED(lost) " OR " COUNTED(returned) " OR " COUNTED(settled);
#undef COUNTED

static void check_counts(Check *check)
{
    none(check, "an image's counts differ from the rows of its launches", counts_differ);
    none(check, "an image has more launches than it allows (rule 1)",
         "SELECT hex(id) FROM image WHERE passed + unknown + open + iif(count_on = 3, spent, 0) > units + "
         "settled "
         "AND NOT EXISTS (SELECT 1 FROM alarm a WHERE a.image = image.id AND a.kind = 6)");
    G_STATIC_ASSERT(IMP_LEDGER_COUNT_ON_WRITE == 3 && IMP_ALARM_NOT_ASKED == 6);
}

static void check_rows(Check *check)
{
    static const struct {
        const char *wrong, *query;
    } rows[] = {
        {"a launch that has ended has no record",
         "SELECT hex(id) FROM launch l WHERE state <> 1 AND NOT EXISTS (SELECT 1 FROM record r WHERE "
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
         "n.state = 4 AND (l.state IS NULL OR l.state = 2 OR (l.state = 1 AND l.settled = 0))"},
        {"a pool's counts differ from its numbers",
         "SELECT p.id FROM pool p LEFT JOIN (SELECT pool, sum(state = 1) AS free, sum(state = 2) AS held, "
         "sum(state = 3) AS used, sum(state = 4) AS spent FROM number GROUP BY pool) n ON n.pool = p.ref "
         "WHERE p.free <> coalesce(n.free, 0) OR p.held <> coalesce(n.held, 0) OR "
         "p.used <> coalesce(n.used, 0) OR p.spent <> coalesce(n.spent, 0)"},
        {"a free number belongs to a launch",
         "SELECT number FROM number WHERE (state = 1) <> (launch IS NULL) OR state NOT BETWEEN 1 AND 4"},
        {"a number was given that the pool has yet to give",
         "SELECT p.id || ' ' || n.number FROM number n JOIN pool p ON p.ref = n.pool WHERE n.number >= "
         "p.next"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        none(check, rows[i].wrong, rows[i].query);
}

/* A number that a launch names: the pool's row must say what the launch's state says. */
static void check_number(Check *check, const char *launch, int state, gboolean settled,
                         const ImpNumber *number, gint64 holder_matches, gint64 number_state)
{
    gboolean ok;
    switch (state) {
    case CORE_OPEN:
        ok = holder_matches && number_state == (settled ? CORE_SPENT : CORE_TAKEN);
        break;
    case IMP_RESULT_PASSED:
        ok = holder_matches && number_state == CORE_USED;
        break;
    case IMP_RESULT_FAILED:
    case IMP_RESULT_RETURNED:
        ok = !holder_matches || number_state == CORE_SPENT; /* free, or given again */
        break;
    default:
        ok = holder_matches && number_state == CORE_SPENT;
    }
    if (!ok)
        g_ptr_array_add(check->wrongs,
                        g_strdup_printf("number %s of the launch %s: %s, state %d", number->text, launch,
                                        holder_matches ? "held by it" : "not held by it", (int)number_state));
}

static void check_launch_numbers(Check *check, const ImpRow *row)
{
    gsize n_bytes;
    const guint8 *bytes = imp_row_blob(row, 4, &n_bytes);
    ImpNumber numbers[IMP_WIRE_NUMBERS_MAX];
    guint32 n_numbers = 0;
    if (!core_numbers_unpack(bytes, n_bytes, numbers, &n_numbers))
        g_ptr_array_add(check->wrongs,
                        g_strdup_printf("the launch %s has damaged numbers", imp_row_text(row, 5)));
    ImpId id = imp_row_id(row, 0);
    for (guint32 i = 0; i < n_numbers; i++) {
        g_auto(ImpRow) found = {0};
        if (!imp_sql_find(
                &check->ledger->sql, &found,
                "SELECT n.state, n.launch IS ?3 AND n.station IS ?4, p.ref FROM pool p JOIN number n "
                "ON n.pool = p.ref WHERE p.id = ?1 AND n.number = ?2 AND p.account = ?5",
                "tibit", numbers[i].pool, (gint64)numbers[i].number, id.bytes, (gsize)IMP_ID_BYTES,
                imp_row_i64(row, 1), imp_row_text(row, 6))) {
            g_ptr_array_add(check->wrongs,
                            g_strdup_printf("number %s of the launch %s is not among its pool's",
                                            numbers[i].text, imp_row_text(row, 5)));
            continue;
        }
        check_number(check, imp_row_text(row, 5), (int)imp_row_i64(row, 2), imp_row_i64(row, 3) != 0,
                     &numbers[i], imp_row_i64(&found, 1), imp_row_i64(&found, 0));
    }
}

static void check_numbers(Check *check)
{
    g_auto(ImpRow) row = {0};
    for (gboolean more =
             imp_sql_find(&check->ledger->sql, &row,
                          "SELECT l.id, l.station, l.state, l.settled, l.numbers, hex(l.id), i.account "
                          "FROM launch l JOIN image i ON i.id = l.image "
                          "WHERE l.own = 1 AND l.numbers IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
                          "alarm a WHERE a.launch = l.id AND a.kind IN (6, 7))",
                          "");
         more; more = imp_sql_next(&row))
        check_launch_numbers(check, &row);
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
