/* A chip that comes again (docs/ledger.md, section 8): the second item of a launch, answered inside the transaction that keeps
 * it. Nothing here frees or spends a number that another launch has. */
#include "ledger/core.h"

#include <string.h>

gboolean core_must_identify(const ImpLedgerImageStatus *image)
{
    return image->rework != IMP_LEDGER_REWORK_NEW || image->free_rework;
}

static void refuse(ImpAnswer *answer, int code)
{
    answer->kind = IMP_ANSWER_REFUSED;
    answer->code = code;
}

static void go_on(ImpAnswer *answer, const CoreLaunch *launch)
{
    answer->kind = IMP_ANSWER_IDENTIFIED;
    answer->kept = launch->kept;
    answer->n_numbers = launch->n_numbers;
    memcpy(answer->numbers, launch->numbers, sizeof answer->numbers);
}

#define OF_CHIP "l.image = ?1 AND l.uid = ?2 AND l.own = 1 AND NOT (l.id = ?3 AND l.station = ?4)"

/* Is there a launch of this chip and image in this state, beside launch? states: a condition on l. */
static gboolean other(ImpLedger *ledger, const char *text, const CoreLaunch *launch, const ImpIdentify *chip)
{
    return imp_sql_value(&ledger->sql, text, "dbdi", &launch->image, chip->uid, (gsize)chip->n_uid,
                         &launch->id, launch->station_ref) != 0;
}

static gboolean in_work(ImpLedger *ledger, const CoreLaunch *launch, const ImpIdentify *chip)
{
    return other(ledger,
                 "SELECT EXISTS (SELECT 1 FROM launch l WHERE " OF_CHIP " AND l.state = " SQL_OPEN
                 " AND l.settled = 0)",
                 launch, chip);
}

static gboolean has_passed(ImpLedger *ledger, const CoreLaunch *launch, const ImpIdentify *chip)
{
    G_STATIC_ASSERT(IMP_RESULT_PASSED == 2);
    return other(ledger, "SELECT EXISTS (SELECT 1 FROM launch l WHERE " OF_CHIP " AND l.state = 2)", launch,
                 chip);
}

/* Has this chip used up a unit of the count? */
static gboolean was_counted(ImpLedger *ledger, const ImpLedgerImageStatus *image, const CoreLaunch *launch,
                            const ImpIdentify *chip)
{
    G_STATIC_ASSERT(IMP_RESULT_SPENT == 4 && IMP_RESULT_UNKNOWN == 5);
    if (image->limits.count_on == IMP_LEDGER_COUNT_ON_WRITE)
        return other(ledger,
                     "SELECT EXISTS (SELECT 1 FROM launch l WHERE " OF_CHIP " AND l.state IN (2, 4, 5))",
                     launch, chip);
    return other(ledger, "SELECT EXISTS (SELECT 1 FROM launch l WHERE " OF_CHIP " AND l.state IN (2, 5))",
                 launch, chip);
}

/* The newest launch whose numbers this chip may bear: it passed, or was written and given up. Its launch ID says when. */
static gboolean find_bearer(ImpLedger *ledger, const CoreLaunch *launch, const ImpIdentify *chip,
                            CoreLaunch *out)
{
    g_auto(ImpRow) row = {0};
    if (!imp_sql_find(&ledger->sql, &row,
                      "SELECT " CORE_LAUNCH_COLUMNS " FROM launch l WHERE " OF_CHIP
                      " AND (l.state IN (2, 4, 5) OR (l.state = " SQL_OPEN " AND l.settled = 1)) "
                      "ORDER BY l.granted_us DESC, l.id DESC LIMIT 1",
                      "dbdi", &launch->image, chip->uid, (gsize)chip->n_uid, &launch->id,
                      launch->station_ref))
        return FALSE;
    core_launch_read(ledger, &row, out);
    return imp_sql_ok(&ledger->sql);
}

/* Does the label that was read belong to the numbers that the chip bears? Pools of other kinds always do. */
static gboolean same_label(ImpLedger *ledger, const char *account, const CoreLaunch *a, const CoreLaunch *b)
{
    for (guint32 i = 0; i < a->n_numbers; i++) {
        const ImpPool *pool = core_pool(ledger, core_pool_ref(ledger, account, a->numbers[i].pool));
        if (pool == NULL || pool->format != IMP_POOL_EXTERNAL)
            continue;
        gboolean same = FALSE;
        for (guint32 k = 0; k < b->n_numbers; k++)
            same = same || (strcmp(a->numbers[i].pool, b->numbers[k].pool) == 0 &&
                            a->numbers[i].number == b->numbers[k].number);
        if (!same)
            return FALSE;
    }
    return TRUE;
}

/* Sets launch to what it is from now on, or gives the code of a refusal; nothing is changed in the database yet. */
static int decide(ImpLedger *ledger, const ImpLedgerImageStatus *image, const ImpIdentify *chip,
                  CoreLaunch *launch)
{
    if (core_must_identify(image) && in_work(ledger, launch, chip))
        return IMP_E_UNIT_IN_WORK;
    if (image->rework == IMP_LEDGER_REWORK_REFUSE && has_passed(ledger, launch, chip))
        return IMP_E_UNIT_KNOWN;
    g_autofree CoreLaunch *bearer = g_new0(CoreLaunch, 1);
    gboolean known = image->rework == IMP_LEDGER_REWORK_KEEP && find_bearer(ledger, launch, chip, bearer) &&
                     bearer->n_numbers == launch->n_numbers;
    if (known && !same_label(ledger, image->account, launch, bearer))
        return IMP_E_NUMBER_USED;
    if (!known && !core_numbers_held(ledger, image->account, launch))
        return IMP_E_NUMBER_USED; /* another chip bears it */
    gboolean free_of_count = image->free_rework && was_counted(ledger, image, launch, chip);
    if (launch->uncounted && !free_of_count) {
        int code = core_has_room(image);
        if (code != 0)
            return code;
    }
    launch->uncounted = free_of_count;
    launch->kept = known;
    launch->n_uid = chip->n_uid;
    memcpy(launch->uid, chip->uid, chip->n_uid);
    if (known) {
        launch->n_numbers = bearer->n_numbers;
        memcpy(launch->numbers, bearer->numbers, sizeof launch->numbers);
    }
    return 0;
}

static void keep(ImpLedger *ledger, const ImpLedgerImageStatus *image, const CoreLaunch *was,
                 const CoreLaunch *now)
{
    if (now->kept) /* the fresh ones were not written: this life gives them back (rule 10) */
        core_numbers_set(ledger, image->account, was->station_ref, &was->id, was->numbers, was->n_numbers,
                         CORE_FREE);
    if (was->uncounted != now->uncounted)
        core_image_count(ledger, &image->id, now->uncounted ? 1 : -1, 0);
    gsize n_bytes;
    g_autofree guint8 *numbers = core_numbers_pack(now->numbers, now->n_numbers, &n_bytes);
    imp_sql_run(
        &ledger->sql,
        "UPDATE launch SET uid = ?1, kept = ?2, uncounted = ?3, numbers = ?4 WHERE id = ?5 AND station = ?6",
        "biibdi", now->uid, (gsize)now->n_uid, (gint64)now->kept, (gint64)now->uncounted, numbers, n_bytes,
        &now->id, now->station_ref);
}

static void identify_open(ImpLedger *ledger, const CoreAsker *asker, const ImpIdentify *chip,
                          const CoreLaunch *launch, ImpAnswer *answer)
{
    ImpLedgerImageStatus image;
    if (!core_image_read(ledger, &launch->image, &image)) {
        refuse(answer, IMP_E_IMAGE_UNKNOWN);
        return;
    }
    if (launch->n_uid > 0 &&
        (launch->n_uid != chip->n_uid || memcmp(launch->uid, chip->uid, chip->n_uid) != 0)) {
        refuse(answer, IMP_E_LAUNCH_DIFFERS);
        core_alarm(ledger, IMP_ALARM_LAUNCH_DIFFERS, &asker->id, &chip->launch, &launch->image,
                   "the launch is known with another chip");
        return;
    }
    if (launch->n_uid > 0) { /* told twice is told once */
        go_on(answer, launch);
        return;
    }
    g_autofree CoreLaunch *now = g_memdup2(launch, sizeof *launch);
    int code = decide(ledger, &image, chip, now);
    if (code != 0) {
        refuse(answer, code);
        return;
    }
    keep(ledger, &image, launch, now);
    go_on(answer, now);
}

void core_identify(ImpLedger *ledger, const CoreAsker *asker, const ImpIdentify *identify, ImpAnswer *answer)
{
    memset(answer, 0, sizeof *answer);
    answer->launch = identify->launch;
    answer->ask = identify->ask;
    CoreLaunch launch;
    if (!core_launch_find(ledger, asker->ref, &identify->launch, &launch) || !launch.own ||
        launch.state != CORE_OPEN)
        refuse(answer, IMP_E_LAUNCH_ENDED);
    else if (launch.settled || launch.start_number != asker->start_number)
        refuse(answer, IMP_E_WITHDRAWN);
    else
        identify_open(ledger, asker, identify, &launch, answer);
}
