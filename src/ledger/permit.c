/* The authority's state table (docs/ledger.md, section 3): permit, refresh, report. Everything is read inside the
 * transaction that changes it; nothing is remembered between two calls. */
#include "ledger/core.h"

#include <string.h>

/* ---- guards ---- */

/* May the image run on this station now? 0, or the code that says why not. Asked for permits, for repeated ones, and for
 * refreshes. */
static int may_run(const CoreAsker *asker, const ImpLedgerImageStatus *image, gint64 now_us)
{
    if (asker->removed)
        return IMP_E_STATION_UNKNOWN;
    if (strcmp(asker->account, image->account) != 0 || strcmp(asker->scope, image->scope) != 0)
        return IMP_E_IMAGE_NOT_RELEASED;
    if (image->deleted || image->state == IMP_LEDGER_DISABLED)
        return IMP_E_IMAGE_DISABLED;
    if (image->state == IMP_LEDGER_PAUSED)
        return IMP_E_IMAGE_PAUSED;
    gint64 now_s = now_us / G_USEC_PER_SEC;
    if (image->limits.has_not_before && now_s < image->limits.not_before_s)
        return IMP_E_TOO_EARLY;
    if (image->limits.has_not_after && now_s > image->limits.not_after_s)
        return IMP_E_TOO_LATE;
    return 0;
}

/* Launches that have used up a unit for good. Rework that uses nothing up is among passed, unknown and spent, too. */
static guint64 used(const ImpLedgerImageStatus *image)
{
    guint64 spent = image->limits.count_on == IMP_LEDGER_COUNT_ON_WRITE ? image->spent : 0;
    return image->passed + image->unknown + spent - image->free_used;
}

static gboolean failures_used_up(const ImpLedgerImageStatus *image)
{
    return image->limits.has_max_failures &&
           image->spent + image->unknown >= image->limits.max_failures + image->more_failures;
}

int core_has_room(const ImpLedgerImageStatus *image)
{
    guint64 allowed = image->limits.units + image->settled;
    if (image->limits.has_units && used(image) >= allowed)
        return IMP_E_COUNT_USED_UP;
    if (image->limits.has_units && used(image) + image->open - image->free_open >= allowed)
        return IMP_E_COUNT_IN_WORK;
    return failures_used_up(image) ? IMP_E_FAILURES_USED_UP : 0;
}

static void set_counts(ImpAnswer *answer, const ImpLedgerImageStatus *image)
{
    answer->has_units = image->limits.has_units;
    answer->units = image->limits.has_units ? image->limits.units + image->settled : 0;
    answer->passed = image->passed;
    answer->unknown = image->unknown;
    answer->open = image->open;
    answer->failures = image->spent + image->unknown;
}

GError *imp_ledger_refusal(const ImpAnswer *answer)
{
    const ImpErrorEntry *entry = imp_error_entry(answer->code != 0 ? answer->code : IMP_E_WITHDRAWN);
    g_autoptr(GString) text = g_string_new(entry != NULL ? entry->meaning : "refused by a newer cloud");
    if (answer->code == IMP_E_COUNT_USED_UP || answer->code == IMP_E_COUNT_IN_WORK ||
        answer->code == IMP_E_FAILURES_USED_UP) {
        g_string_append_printf(text, ": %" G_GUINT64_FORMAT, answer->passed);
        if (answer->has_units)
            g_string_append_printf(text, " of %" G_GUINT64_FORMAT, answer->units);
        g_string_append_printf(text, " passed, %" G_GUINT64_FORMAT " in work", answer->open);
        if (answer->failures > 0)
            g_string_append_printf(text, ", %" G_GUINT64_FORMAT " failed when written or unknown",
                                   answer->failures);
    }
    GError *error = NULL;
    imp_error_set(&error, entry != NULL ? (ImpErrorCode)entry->code : IMP_E_UNSUPPORTED, "%s", text->str);
    return error;
}

/* ---- permit ---- */

static void refuse(ImpAnswer *answer, ImpAnswerKind kind, int code)
{
    answer->kind = kind;
    answer->code = code;
}

static gboolean same_want(const CoreLaunch *launch, const ImpWant *want)
{
    /* A lost launch that was reported before it was asked for has no image. */
    if (imp_id_is_zero(&launch->image))
        return TRUE;
    return launch->own && imp_id_equal(&launch->image, &want->image) &&
           strcmp(launch->port, want->port) == 0 && strcmp(launch->order, want->order) == 0 &&
           core_numbers_given(launch->numbers, launch->n_numbers, want);
}

/* Asking twice is asking once (rule 4). */
static void permit_again(ImpLedger *ledger, const CoreAsker *asker, const ImpWant *want,
                         const CoreLaunch *launch, ImpAnswer *answer)
{
    ImpLedgerImageStatus image = {0};
    if (core_image_read(ledger, &launch->image, &image))
        set_counts(answer, &image);
    if (!same_want(launch, want) || launch->state == CORE_COMPARING) {
        refuse(answer, IMP_ANSWER_REFUSED, IMP_E_LAUNCH_DIFFERS);
        core_alarm(ledger, IMP_ALARM_LAUNCH_DIFFERS, &asker->id, &want->launch, &want->image,
                   "the launch is known with another image, port, order or given number");
        return;
    }
    if (launch->state != CORE_OPEN) {
        refuse(answer, IMP_ANSWER_ENDED, IMP_E_LAUNCH_ENDED);
        answer->result = (ImpResult)launch->state;
        return;
    }
    int code = may_run(asker, &image, core_now(ledger));
    /* What an earlier life was given, this one must not use: it will find it in the list of open launches. */
    if (code == 0 && launch->start_number != asker->start_number)
        code = IMP_E_WITHDRAWN;
    if (code != 0) {
        refuse(answer, IMP_ANSWER_WITHDRAWN, code);
        return;
    }
    answer->kind = IMP_ANSWER_GRANTED;
    answer->identify = core_must_identify(&image);
    answer->n_numbers = launch->n_numbers;
    memcpy(answer->numbers, launch->numbers, sizeof answer->numbers);
}

static void add_launch(ImpLedger *ledger, const CoreAsker *asker, const ImpWant *want, int phase, guint64 seq,
                       gboolean uncounted, const ImpAnswer *answer)
{
    CoreLaunch launch = {.id = want->launch,
                         .station_ref = asker->ref,
                         .own = TRUE,
                         .image = want->image,
                         .state = CORE_OPEN,
                         .phase = phase,
                         .uncounted = uncounted,
                         .seq = seq,
                         .start_number = asker->start_number,
                         .granted_us = core_now(ledger),
                         .n_numbers = answer->n_numbers};
    memcpy(launch.port, want->port, sizeof launch.port);
    memcpy(launch.order, want->order, sizeof launch.order);
    memcpy(launch.person, want->person, sizeof launch.person);
    memcpy(launch.numbers, answer->numbers, sizeof launch.numbers);
    core_launch_insert(ledger, &launch);
    imp_sql_run(&ledger->sql, "UPDATE image SET open = open + 1 WHERE id = ?1", "d", &want->image);
    if (uncounted)
        core_image_count(ledger, &want->image, 1, 0);
}

static void permit_new(ImpLedger *ledger, const CoreAsker *asker, const ImpWant *want, int phase,
                       ImpAnswer *answer, gboolean *out_new)
{
    ImpLedgerImageStatus image;
    if (!core_image_read(ledger, &want->image, &image)) {
        refuse(answer, IMP_ANSWER_REFUSED, IMP_E_IMAGE_UNKNOWN);
        return;
    }
    int code = may_run(asker, &image, core_now(ledger));
    /* Another account's image does not exist for this station, and its counts are not told. */
    if (strcmp(asker->account, image.account) != 0) {
        refuse(answer, IMP_ANSWER_REFUSED, IMP_E_IMAGE_UNKNOWN);
        return;
    }
    gboolean uncounted = FALSE;
    if (code == 0)
        code = core_has_room(&image);
    /* Beyond the count a launch may still look whether its chip is one that needs no unit: core_identify decides before
     * anything is written. */
    if (image.free_rework && (code == IMP_E_COUNT_USED_UP || code == IMP_E_COUNT_IN_WORK)) {
        uncounted = TRUE;
        code = failures_used_up(&image) ? IMP_E_FAILURES_USED_UP : 0;
    }
    if (code == 0)
        code = core_numbers_take(ledger, asker->ref, want, image.rework == IMP_LEDGER_REWORK_KEEP,
                                 answer->numbers, &answer->n_numbers);
    if (code != 0) {
        set_counts(answer, &image);
        refuse(answer, IMP_ANSWER_REFUSED, code);
        return;
    }
    answer->kind = IMP_ANSWER_GRANTED;
    answer->identify = core_must_identify(&image);
    guint64 seq = phase == CORE_HELD ? 0 : core_next_seq(ledger, TRUE);
    add_launch(ledger, asker, want, phase, seq, uncounted, answer);
    image.open++;
    set_counts(answer, &image);
    *out_new = TRUE;
}

void core_permit(ImpLedger *ledger, const CoreAsker *asker, const ImpWant *want, int phase, ImpAnswer *answer,
                 gboolean *out_new)
{
    memset(answer, 0, sizeof *answer);
    answer->launch = want->launch;
    answer->ask = want->ask;
    gboolean is_new = FALSE;
    CoreLaunch launch;
    if (core_launch_find(ledger, asker->ref, &want->launch, &launch))
        permit_again(ledger, asker, want, &launch, answer);
    else
        permit_new(ledger, asker, want, phase, answer, &is_new);
    if (out_new != NULL)
        *out_new = is_new;
}

/* ---- refresh ---- */

void core_refresh(ImpLedger *ledger, const CoreAsker *asker, const ImpRefresh *refresh, ImpAnswer *answer)
{
    memset(answer, 0, sizeof *answer);
    answer->launch = refresh->launch;
    answer->ask = refresh->ask;
    CoreLaunch launch;
    if (!core_launch_find(ledger, asker->ref, &refresh->launch, &launch) || launch.state != CORE_OPEN) {
        refuse(answer, IMP_ANSWER_WITHDRAWN, IMP_E_LAUNCH_ENDED);
        return;
    }
    ImpLedgerImageStatus image;
    int code = core_image_read(ledger, &launch.image, &image) ? may_run(asker, &image, core_now(ledger))
                                                              : IMP_E_IMAGE_UNKNOWN;
    if (code == 0 && launch.start_number != asker->start_number)
        code = IMP_E_WITHDRAWN;
    if (code != 0)
        refuse(answer, IMP_ANSWER_WITHDRAWN, code);
    else
        answer->kind = IMP_ANSWER_FRESH;
}

/* ---- report ---- */

static void count_end(ImpLedger *ledger, const ImpId *image, gboolean was_open, ImpResult result)
{
    /* One row's arithmetic instead of six statements. */
    imp_sql_run(&ledger->sql,
                "UPDATE image SET open = open - ?1, passed = passed + (?2 = 2), failed = failed + (?2 = 3), "
                "spent = spent + (?2 = 4), unknown = unknown + (?2 = 5), lost = lost + (?2 = 6), "
                "returned = returned + (?2 = 7) WHERE id = ?3",
                "iid", (gint64)was_open, (gint64)result, image);
    G_STATIC_ASSERT(IMP_RESULT_PASSED == 2 && IMP_RESULT_FAILED == 3 && IMP_RESULT_SPENT == 4);
    G_STATIC_ASSERT(IMP_RESULT_UNKNOWN == 5 && IMP_RESULT_LOST == 6 && IMP_RESULT_RETURNED == 7);
}

static int number_state(ImpResult result, gboolean may_free)
{
    switch (result) {
    case IMP_RESULT_PASSED:
        return CORE_USED;
    case IMP_RESULT_FAILED:
    case IMP_RESULT_RETURNED:
        return may_free ? CORE_FREE : CORE_SPENT;
    case IMP_RESULT_SPENT:
    case IMP_RESULT_UNKNOWN:
    case IMP_RESULT_LOST:
        return CORE_SPENT;
    case IMP_RESULT_VERIFIED:
    case IMP_RESULT_UNVERIFIED:
        break; /* has no numbers */
    }
    g_assert_not_reached();
}

gboolean core_is_rework(ImpLedger *ledger, const ImpReport *report)
{
    return report->n_uid > 0 && imp_sql_value(&ledger->sql,
                                              "SELECT EXISTS (SELECT 1 FROM record WHERE image = ?1 "
                                              "AND uid = ?2 AND result = 2 AND conflict = 0)",
                                              "db", &report->image, report->uid, (gsize)report->n_uid) != 0;
}

static void keep_record(ImpLedger *ledger, const CoreAsker *asker, const ImpReport *report, CoreRecord record)
{
    record.station_ref = asker->ref;
    record.own = TRUE;
    record.rework = !imp_result_is_comparison(report->result) && core_is_rework(ledger, report);
    core_record_add(ledger, &record, report);
    /* What the hello of a later start is compared with. */
    if (asker->ref != 0)
        imp_sql_run(&ledger->sql, "UPDATE station SET max_seq = ?1 WHERE ref = ?2 AND max_seq < ?1", "ii",
                    (gint64)report->seq, asker->ref);
}

static gboolean numbers_differ(const CoreLaunch *launch, const ImpReport *report)
{
    if (report->result == IMP_RESULT_LOST || report->result == IMP_RESULT_RETURNED)
        return FALSE; /* it may not know them */
    if (launch->n_numbers != report->n_numbers)
        return TRUE;
    for (guint32 i = 0; i < report->n_numbers; i++)
        if (strcmp(launch->numbers[i].pool, report->numbers[i].pool) != 0 ||
            launch->numbers[i].number != report->numbers[i].number)
            return TRUE;
    return FALSE;
}

/* What a launch that its journal may not hold cannot know is taken from the permit. */
static void fill_report(ImpReport *report, const CoreLaunch *launch)
{
    if (report->result != IMP_RESULT_LOST && report->result != IMP_RESULT_RETURNED)
        return;
    g_strlcpy(report->port, launch->port, sizeof report->port);
    g_strlcpy(report->order, launch->order, sizeof report->order);
    if (report->person[0] == '\0')
        g_strlcpy(report->person, launch->person, sizeof report->person);
    report->n_numbers = launch->n_numbers;
    memcpy(report->numbers, launch->numbers, sizeof report->numbers);
}

/* Does a launch that ended so use up a unit? */
static gboolean uses_up(const ImpLedgerImageStatus *image, ImpResult result)
{
    return result == IMP_RESULT_PASSED || result == IMP_RESULT_UNKNOWN ||
           (result == IMP_RESULT_SPENT && image->limits.count_on == IMP_LEDGER_COUNT_ON_WRITE);
}

/* What was let in to look at its chip only must not have written. */
static gboolean wrote_unidentified(ImpLedger *ledger, const ImpLedgerImageStatus *image,
                                   const CoreLaunch *launch, ImpResult result)
{
    gboolean wrote =
        result == IMP_RESULT_PASSED || result == IMP_RESULT_SPENT || result == IMP_RESULT_UNKNOWN;
    return wrote && launch->n_uid == 0 && !launch->settled &&
           (launch->uncounted || !core_numbers_held(ledger, image->account, launch));
}

/* The counts and numbers of an open launch that ends. */
static void settle_up(ImpLedger *ledger, const CoreAsker *asker, const CoreLaunch *launch,
                      const ImpLedgerImageStatus *image, const ImpReport *report)
{
    gboolean uncounted = launch->uncounted;
    if (wrote_unidentified(ledger, image, launch, report->result)) {
        core_alarm(ledger, IMP_ALARM_NOT_ASKED, &asker->id, &report->launch, &launch->image,
                   "a launch wrote without having told its chip, though it had to");
        uncounted = FALSE;
    }
    imp_sql_run(&ledger->sql,
                "UPDATE launch SET state = ?1, uid = coalesce(uid, ?4), uncounted = ?5 WHERE id = ?2 AND "
                "station = ?3",
                "idibi", (gint64)report->result, &report->launch, asker->ref,
                report->n_uid > 0 ? report->uid : NULL, (gsize)report->n_uid, (gint64)uncounted);
    count_end(ledger, &launch->image, TRUE, report->result);
    if (launch->uncounted)
        core_image_count(ledger, &launch->image, -1, uncounted && uses_up(image, report->result));
    /* Rule 10: back only from the life that was given them; and never after the owner settled (rule 1). Numbers that are an
     * earlier launch's are not this one's to free or spend. */
    gboolean may_free = !launch->settled && report->start_number == launch->start_number;
    core_numbers_set(ledger, image->account, asker->ref, &report->launch, launch->numbers, launch->n_numbers,
                     number_state(report->result, may_free));
    if (launch->kept && report->result == IMP_RESULT_PASSED)
        core_numbers_move(ledger, image->account, launch);
}

/* The first report of an open launch. The image is the permit's. */
static void end_open(ImpLedger *ledger, const CoreAsker *asker, const CoreLaunch *launch,
                     const ImpReport *comes)
{
    g_autofree ImpReport *report = g_memdup2(comes, sizeof *comes);
    if (!imp_id_is_zero(&comes->image) && !imp_id_equal(&comes->image, &launch->image))
        core_alarm(ledger, IMP_ALARM_LAUNCH_DIFFERS, &asker->id, &comes->launch, &comes->image,
                   "the report names another image than the permit");
    report->image = launch->image;
    if (numbers_differ(launch, comes))
        core_alarm(ledger, IMP_ALARM_NUMBERS_DIFFER, &asker->id, &comes->launch, &launch->image,
                   "the report names other numbers than were given");
    fill_report(report, launch);
    ImpLedgerImageStatus image = {0};
    (void)core_image_read(ledger, &launch->image, &image);
    settle_up(ledger, asker, launch, &image, report);
    keep_record(ledger, asker, report, (CoreRecord){.after_settlement = launch->settled});
}

static void add_unknown(ImpLedger *ledger, const CoreAsker *asker, const ImpReport *report)
{
    CoreLaunch launch = {.id = report->launch,
                         .station_ref = asker->ref,
                         .own = TRUE,
                         .image = report->image,
                         .state = (int)report->result,
                         .phase = CORE_HELD,
                         .start_number = report->start_number,
                         .granted_us = core_now(ledger),
                         .n_uid = report->n_uid,
                         .n_numbers = report->n_numbers};
    memcpy(launch.port, report->port, sizeof launch.port);
    memcpy(launch.order, report->order, sizeof launch.order);
    memcpy(launch.person, report->person, sizeof launch.person);
    memcpy(launch.uid, report->uid, sizeof launch.uid);
    memcpy(launch.numbers, report->numbers, sizeof launch.numbers);
    core_launch_insert(ledger, &launch);
}

/* A launch that was never permitted here: given up before its request arrived; or the cloud was restored. It is ended all
 * the same, so that a request that comes later is not granted. */
static void end_unknown(ImpLedger *ledger, const CoreAsker *asker, const ImpReport *comes)
{
    g_autofree ImpReport *report = g_memdup2(comes, sizeof *comes);
    ImpLedgerImageStatus image;
    if (core_image_read(ledger, &comes->image, &image) && strcmp(image.account, asker->account) != 0)
        report->image = (ImpId){0}; /* neither counts nor log of another account */
    /* Its numbers, if it had any, are no longer free for others, whatever came of it. */
    int state = report->result == IMP_RESULT_PASSED ? CORE_USED : CORE_SPENT;
    if (!core_numbers_claim(ledger, asker->account, asker->ref, report, state))
        core_alarm(ledger, IMP_ALARM_NUMBERS_DIFFER, &asker->id, &report->launch, &comes->image,
                   "a launch that was never permitted names a number of another one");
    add_unknown(ledger, asker, report);
    count_end(ledger, &report->image, FALSE, report->result);
    if (report->result != IMP_RESULT_RETURNED && report->result != IMP_RESULT_LOST)
        core_alarm(ledger, IMP_ALARM_NOT_ASKED, &asker->id, &report->launch, &comes->image,
                   "a launch was reported that was never permitted");
    keep_record(ledger, asker, report, (CoreRecord){0});
}

/* A launch that only compared: a record, and nothing else. */
static void end_comparison(ImpLedger *ledger, const CoreAsker *asker, const ImpReport *comes)
{
    g_autofree ImpReport *report = g_memdup2(comes, sizeof *comes);
    ImpLedgerImageStatus image;
    if (core_image_read(ledger, &comes->image, &image) && strcmp(image.account, asker->account) != 0)
        report->image = (ImpId){0}; /* not the log of another account */
    report->n_numbers = 0;
    add_unknown(ledger, asker, report);
    keep_record(ledger, asker, report, (CoreRecord){0});
}

static void report_again(ImpLedger *ledger, const CoreAsker *asker, const ImpReport *report,
                         ImpAnswer *answer)
{
    if (core_record_same(ledger, asker->ref, report, FALSE)) {
        answer->kind = IMP_ANSWER_CONFIRMED;
        return;
    }
    answer->kind = IMP_ANSWER_CONFLICT;
    if (core_record_same(ledger, asker->ref, report, TRUE))
        return; /* kept before */
    core_alarm(ledger, IMP_ALARM_REPORT_CONFLICT, &asker->id, &report->launch, &report->image,
               "another report of this launch stands");
    keep_record(ledger, asker, report, (CoreRecord){.conflict = TRUE});
}

void core_report(ImpLedger *ledger, const CoreAsker *asker, const ImpReport *report, ImpAnswer *answer)
{
    memset(answer, 0, sizeof *answer);
    answer->kind = IMP_ANSWER_CONFIRMED;
    answer->launch = report->launch;
    CoreLaunch launch;
    gboolean known = core_launch_find(ledger, asker->ref, &report->launch, &launch);
    if (known && launch.state == CORE_OPEN && imp_result_is_comparison(report->result)) {
        /* It has a permit: it must end as a launch that may have written. */
        core_alarm(ledger, IMP_ALARM_LAUNCH_DIFFERS, &asker->id, &report->launch, &launch.image,
                   "a launch with a permit is reported as if it only compared");
        refuse(answer, IMP_ANSWER_REFUSED, IMP_E_LAUNCH_DIFFERS);
    } else if (known && launch.state == CORE_OPEN)
        end_open(ledger, asker, &launch, report);
    else if (known)
        report_again(ledger, asker, report, answer);
    else if (asker->removed)
        refuse(answer, IMP_ANSWER_REFUSED, IMP_E_STATION_UNKNOWN);
    else if (imp_result_is_comparison(report->result))
        end_comparison(ledger, asker, report);
    else
        end_unknown(ledger, asker, report);
}
