/* The station's side: its journal, row by row of the station's table; its start; dates and clocks; the database itself. */
#include "fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    World world;
    char *folder, *path;
    ImpLedger *ledger;
    ImpLife life;
} Box;

static void box_start(Box *b)
{
    g_autoptr(GError) error = NULL;
    b->ledger = ledger_open(&b->world, b->path, IMP_LEDGER_STATION, IMP_LEDGER_DURABLE);
    g_assert_true(imp_journal_start(b->ledger, &b->life, &error));
    g_assert_no_error(error);
}

static void box_open(Box *b)
{
    world_init(&b->world, 9);
    b->folder = folder_make();
    b->path = g_build_filename(b->folder, "ledger.db", NULL);
    box_start(b);
}

static void box_restart(Box *b)
{
    ledger_check(b->ledger);
    imp_ledger_close(b->ledger);
    box_start(b);
}

static void box_close(Box *b)
{
    ledger_check(b->ledger);
    imp_ledger_close(b->ledger);
    folder_remove(b->folder);
    g_free(b->path);
}

/* ---- JOB launches ---- */

typedef enum {
    END = 0,
    BEGIN,
    WRITE,
    FAIL,
    SPEND,
    PASS,
    RETURN, /* held or asked, given back */
    RESTART,
    CONFIRM,
} Op;

typedef struct {
    const char *name;
    struct {
        Op op;
        int code; /* expected error */
    } ops[8];
    ImpResult result; /* of the record; 0 = none */
    gboolean unreported;
    guint64 seq, start_number;
} Story;

static const Story stories[] = {
    {"begun", {{BEGIN}}},
    {"failed", {{BEGIN}, {FAIL}}, IMP_RESULT_FAILED, TRUE, 1, 1},
    {"spent", {{BEGIN}, {WRITE}, {SPEND}}, IMP_RESULT_SPENT, TRUE, 1, 1},
    {"passed", {{BEGIN}, {WRITE}, {PASS}}, IMP_RESULT_PASSED, TRUE, 1, 1},
    {"returned", {{RETURN}}, IMP_RESULT_RETURNED, TRUE, 1, 1},
    {"lost", {{BEGIN}, {RESTART}}, IMP_RESULT_LOST, TRUE, 1, 1},
    {"unknown", {{BEGIN}, {WRITE}, {RESTART}}, IMP_RESULT_UNKNOWN, TRUE, 1, 1},
    {"passed-before-restart", {{BEGIN}, {WRITE}, {PASS}, {RESTART}}, IMP_RESULT_PASSED, TRUE, 1, 1},
    {"two-restarts", {{BEGIN}, {RESTART}, {RESTART}}, IMP_RESULT_LOST, TRUE, 1, 1},
    {"begun-in-the-second-life", {{RESTART}, {BEGIN}, {WRITE}, {RESTART}}, IMP_RESULT_UNKNOWN, TRUE, 1, 2},
    {"confirmed", {{BEGIN}, {WRITE}, {PASS}, {CONFIRM}}, IMP_RESULT_PASSED, FALSE, 1, 1},
    {"confirmed-twice", {{BEGIN}, {FAIL}, {CONFIRM}, {CONFIRM}, {RESTART}}, IMP_RESULT_FAILED, FALSE, 1, 1},
    /* What may not happen. */
    {"late-grant", {{BEGIN}, {WRITE}, {PASS}, {BEGIN, IMP_E_EXISTS}}, IMP_RESULT_PASSED, TRUE, 1, 1},
    {"late-grant-after-return", {{RETURN}, {BEGIN, IMP_E_EXISTS}}, IMP_RESULT_RETURNED, TRUE, 1, 1},
    {"return-after-begin", {{BEGIN}, {RETURN, IMP_E_EXISTS}, {FAIL}}, IMP_RESULT_FAILED, TRUE, 1, 1},
    {"write-unbegun", {{WRITE, IMP_E_STATE}}},
    {"write-twice", {{BEGIN}, {WRITE}, {WRITE, IMP_E_STATE}, {PASS}}, IMP_RESULT_PASSED, TRUE, 1, 1},
    {"pass-without-write",
     {{BEGIN}, {PASS, IMP_E_STATE}, {SPEND, IMP_E_STATE}, {FAIL}},
     IMP_RESULT_FAILED,
     TRUE,
     1,
     1},
    {"fail-after-write", {{BEGIN}, {WRITE}, {FAIL, IMP_E_STATE}, {SPEND}}, IMP_RESULT_SPENT, TRUE, 1, 1},
    {"pass-unbegun", {{PASS, IMP_E_STATE}}},
    {"pass-twice", {{BEGIN}, {WRITE}, {PASS}, {SPEND, IMP_E_STATE}}, IMP_RESULT_PASSED, TRUE, 1, 1},
    {"pass-after-restart",
     {{BEGIN}, {WRITE}, {RESTART}, {PASS, IMP_E_STATE}},
     IMP_RESULT_UNKNOWN,
     TRUE,
     1,
     1},
    {"write-after-restart", {{BEGIN}, {RESTART}, {WRITE, IMP_E_STATE}}, IMP_RESULT_LOST, TRUE, 1, 1},
};

static gboolean do_op(Box *b, Op op, GError **error)
{
    ImpWant want = want_of(1, 5, 1);
    ImpAnswer granted = granted_of(&want, 41);
    ImpReport report = report_of(1, 0, IMP_RESULT_FAILED);
    switch (op) {
    case BEGIN:
        return imp_journal_begun(b->ledger, &want, &granted, error);
    case WRITE:
        return imp_journal_writing(b->ledger, &want.launch, error);
    case FAIL:
        return imp_journal_ended(b->ledger, &report, error);
    case SPEND:
        report.result = IMP_RESULT_SPENT;
        return imp_journal_ended(b->ledger, &report, error);
    case PASS:
        report.result = IMP_RESULT_PASSED;
        report.code = 0;
        return imp_journal_ended(b->ledger, &report, error);
    case RETURN:
        return imp_journal_returned(b->ledger, &want, &granted, error);
    case CONFIRM:
        return imp_journal_confirmed(b->ledger, &want.launch, 1, error);
    case RESTART:
        box_restart(b);
        return TRUE;
    case END:
        break;
    }
    g_assert_not_reached();
}

static void check_record(Box *b, const Story *story)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) log = imp_ledger_log(b->ledger, &(ImpLedgerLogQuery){.limit = 9}, &error);
    g_assert_cmpuint(log->len, ==, story->result != 0);
    g_autoptr(GArray) unreported = imp_journal_unreported(b->ledger, 9, &error);
    g_assert_cmpuint(unreported->len, ==, story->unreported);
    if (log->len == 0)
        return;
    const ImpLedgerLogEntry *entry = &g_array_index(log, ImpLedgerLogEntry, 0);
    ImpId image = id_of(5);
    g_assert_false(entry->own);
    g_assert_cmpint(entry->confirmed, ==, !story->unreported);
    g_assert_cmpint(entry->report.result, ==, story->result);
    g_assert_cmpuint(entry->report.seq, ==, story->seq);
    g_assert_cmpuint(entry->report.start_number, ==, story->start_number);
    g_assert_true(imp_id_equal(&entry->report.image, &image));
    g_assert_cmpstr(entry->report.port, ==, "A1");
    g_assert_cmpstr(entry->report.order, ==, "order-7");
    g_assert_cmpstr(entry->report.person, ==, "operator");
    g_assert_cmpuint(entry->report.n_numbers, ==, 1);
    g_assert_cmpuint(entry->report.numbers[0].number, ==, 41);
    g_assert_cmpint(entry->report.code == 0, ==, story->result == IMP_RESULT_PASSED);
    if (story->result == IMP_RESULT_RETURNED)
        g_assert_cmpint(entry->report.code, ==, IMP_E_PERMIT_RETURNED);
}

static void test_story(gconstpointer data)
{
    const Story *story = data;
    Box b;
    box_open(&b);
    for (guint i = 0; i < G_N_ELEMENTS(story->ops) && story->ops[i].op != END; i++) {
        g_autoptr(GError) error = NULL;
        gboolean done = do_op(&b, story->ops[i].op, &error);
        g_assert_cmpint(done, ==, story->ops[i].code == 0);
        if (!done)
            g_assert_error(error, IMP_ERROR, story->ops[i].code);
        ledger_check(b.ledger);
    }
    check_record(&b, story);
    box_close(&b);
}

/* Starts are counted, each with a nonce of its own; the position counts JOB launches, whether SAPs run or not. */
static void test_start(void)
{
    Box b;
    g_autoptr(GError) error = NULL;
    box_open(&b);
    g_assert_cmpuint(b.life.start_number, ==, 1);
    g_assert_cmpuint(b.life.position, ==, 0);
    ImpId nonce = b.life.nonce;
    image_must_add(b.ledger, &(ImageRow){.id = 1, .units = -1});
    ImpAuthority *local = imp_authority_local_new(b.ledger);
    for (guint32 i = 1; i <= 5; i++) {
        ImpWant want = want_of(i, 5, i);
        ImpAnswer granted = granted_of(&want, i);
        if (i % 2)
            g_assert_true(imp_journal_begun(b.ledger, &want, &granted, &error));
        else
            g_assert_true(imp_journal_returned(b.ledger, &want, NULL, &error));
    }
    imp_authority_local_free(local);
    box_restart(&b);
    g_assert_cmpuint(b.life.start_number, ==, 2);
    g_assert_cmpuint(b.life.position, ==, 5);
    g_assert_cmpuint(b.life.n_lost, ==, 3);
    g_assert_false(imp_id_equal(&nonce, &b.life.nonce));
    /* The boot changed rows and inserted none: the next launch has the next place. */
    ImpWant want = want_of(6, 5, 6);
    ImpAnswer granted = granted_of(&want, 6);
    g_assert_true(imp_journal_begun(b.ledger, &want, &granted, &error));
    box_restart(&b);
    g_assert_cmpuint(b.life.position, ==, 6);
    g_autoptr(GArray) reports = imp_journal_unreported(b.ledger, 2, &error);
    g_assert_cmpuint(reports->len, ==, 2);
    guint64 n;
    g_assert_true(imp_journal_count_unreported(b.ledger, &n, &error));
    g_assert_cmpuint(n, ==, 6);
    box_close(&b);
}

/* JOB and SAP: a comparison that a life did not finish has a record, and is told to the cloud where it is the cloud's. */
static void test_comparison_cut_off(void)
{
    for (gint own = 0; own < 2; own++) {
        Box b;
        g_autoptr(GError) error = NULL;
        box_open(&b);
        ImpWant want = want_of(1, 5, 1);
        g_assert_true(imp_journal_comparing(b.ledger, &want, own, &error));
        ledger_check(b.ledger);
        box_restart(&b);
        g_assert_cmpuint(b.life.n_lost + b.life.n_unknown, ==, 0); /* no unit is missing */
        g_assert_cmpuint(b.life.position, ==, 0);
        g_autoptr(GArray) log = imp_ledger_log(b.ledger, &(ImpLedgerLogQuery){.limit = 9}, &error);
        g_assert_cmpuint(log->len, ==, 1);
        const ImpLedgerLogEntry *entry = &g_array_index(log, ImpLedgerLogEntry, 0);
        g_assert_cmpint(entry->report.result, ==, IMP_RESULT_UNVERIFIED);
        g_assert_cmpint(entry->report.code, ==, IMP_E_STOPPED_BEFORE_WRITE);
        g_assert_cmpint(entry->own, ==, own);
        g_assert_cmpstr(entry->report.order, ==, "order-7");
        g_autoptr(GArray) unreported = imp_journal_unreported(b.ledger, 9, &error);
        g_assert_cmpuint(unreported->len, ==, !own);
        box_close(&b);
    }
}

static void test_reconcile(void)
{
    Box b;
    g_autoptr(GError) error = NULL;
    box_open(&b);
    ImpWant at_work = want_of(1, 5, 1), ended = want_of(2, 5, 2);
    ImpAnswer granted = granted_of(&at_work, 1);
    g_assert_true(imp_journal_begun(b.ledger, &at_work, &granted, &error));
    g_assert_true(imp_journal_returned(b.ledger, &ended, NULL, &error));
    g_assert_true(imp_journal_confirmed(b.ledger, &ended.launch, 1, &error));
    const ImpId open[] = {at_work.launch, ended.launch, id_of(3)};
    g_autoptr(GArray) lost = imp_journal_reconcile(b.ledger, open, 3, &error);
    g_assert_cmpuint(lost->len, ==, 1);
    const ImpReport *report = &g_array_index(lost, ImpReport, 0);
    g_assert_true(imp_id_equal(&report->launch, &open[2]));
    g_assert_cmpint(report->result, ==, IMP_RESULT_LOST);
    g_assert_cmpuint(report->seq, ==, 0);
    /* The cloud says that the ended one is open: it is told again. */
    g_autoptr(GArray) again = imp_journal_unreported(b.ledger, 9, &error);
    g_assert_cmpuint(again->len, ==, 1);
    g_assert_true(imp_id_equal(&g_array_index(again, ImpReport, 0).launch, &ended.launch));
    gboolean known;
    g_assert_true(imp_journal_knows(b.ledger, &open[2], &known, &error));
    g_assert_false(known); /* nothing was inserted */
    box_close(&b);
}

static void test_epoch(void)
{
    Box b;
    g_autoptr(GError) error = NULL;
    box_open(&b);
    ImpId first = id_of(1), second = id_of(2);
    ImpWant want = want_of(1, 5, 1);
    gboolean again;
    g_assert_true(imp_journal_epoch(b.ledger, &first, &again, &error));
    g_assert_false(again);
    g_assert_true(imp_journal_returned(b.ledger, &want, NULL, &error));
    g_assert_true(imp_journal_confirmed(b.ledger, &want.launch, 1, &error));
    g_assert_true(imp_journal_epoch(b.ledger, &first, &again, &error));
    g_assert_false(again);
    guint64 n;
    g_assert_true(imp_journal_count_unreported(b.ledger, &n, &error));
    g_assert_cmpuint(n, ==, 0);
    box_restart(&b);
    g_assert_true(imp_journal_epoch(b.ledger, &second, &again, &error));
    g_assert_true(again);
    g_assert_true(imp_journal_count_unreported(b.ledger, &n, &error));
    g_assert_cmpuint(n, ==, 1);
    box_close(&b);
}

static void test_prune(void)
{
    Box b;
    g_autoptr(GError) error = NULL;
    box_open(&b);
    ImpWant confirmed = want_of(1, 5, 1), waiting = want_of(2, 5, 2);
    g_assert_true(imp_journal_returned(b.ledger, &confirmed, NULL, &error));
    g_assert_true(imp_journal_returned(b.ledger, &waiting, NULL, &error));
    g_assert_true(imp_journal_confirmed(b.ledger, &confirmed.launch, 1, &error));
    guint32 n;
    world_pass(&b.world, IMP_JOURNAL_KEEP_US);
    g_assert_true(imp_journal_prune(b.ledger, &n, &error));
    g_assert_cmpuint(n, ==, 0);
    world_pass(&b.world, 1);
    g_assert_true(imp_journal_prune(b.ledger, &n, &error));
    g_assert_cmpuint(n, ==, 1);
    box_restart(&b);
    g_assert_cmpuint(b.life.position, ==, 2); /* what was forgotten still counts */
    box_close(&b);
}

/* ---- SAPs ---- */

static void started(gpointer user, gboolean begun, const ImpAnswer *answer, const GError *error)
{
    *(int *)user = begun ? 0 : imp_error_code(error);
}

/* 0 if it has begun, else the code. */
static int sap_start(Box *b, guint32 launch, guint32 image)
{
    ImpAuthority *local = imp_authority_local_new(b->ledger);
    ImpWant want = want_of(launch, image, 0);
    int code = -1;
    local->ops->start(local, &want, started, &code);
    imp_authority_local_free(local);
    return code;
}

static void sap_pass(Box *b, guint32 launch, guint32 image)
{
    g_autoptr(GError) error = NULL;
    ImpReport report = report_of(launch, image, IMP_RESULT_PASSED);
    g_assert_cmpint(sap_start(b, launch, image), ==, 0);
    g_assert_true(imp_journal_writing(b->ledger, &report.launch, &error));
    g_assert_true(imp_journal_ended(b->ledger, &report, &error));
}

/* The unit after the last is refused; also after the image was deleted and loaded again, and after a restart. */
static void test_sap_count(void)
{
    static const ImageRow row = {.id = 1, .units = 2, .pool = POOL_DECIMAL("sn", 1, 999, "true")};
    Box b;
    g_autoptr(GError) error = NULL;
    ImpId image = id_of(1);
    box_open(&b);
    image_must_add(b.ledger, &row);
    sap_pass(&b, 1, 1);
    sap_pass(&b, 2, 1);
    g_assert_cmpint(sap_start(&b, 3, 1), ==, IMP_E_COUNT_USED_UP);
    g_assert_true(imp_ledger_image_delete(b.ledger, &image, &owner, NULL, &error));
    g_assert_cmpint(sap_start(&b, 3, 1), ==, IMP_E_IMAGE_DISABLED);
    image_must_add(b.ledger, &row);
    g_assert_cmpint(sap_start(&b, 3, 1), ==, IMP_E_COUNT_USED_UP);
    box_restart(&b);
    g_assert_cmpint(sap_start(&b, 3, 1), ==, IMP_E_COUNT_USED_UP);
    /* Its log is here, and nothing of it waits for a cloud. */
    g_autoptr(GArray) log = imp_ledger_log(b.ledger, &(ImpLedgerLogQuery){.limit = 9}, &error);
    g_assert_cmpuint(log->len, ==, 2);
    g_assert_true(g_array_index(log, ImpLedgerLogEntry, 1).own);
    g_assert_cmpuint(g_array_index(log, ImpLedgerLogEntry, 1).report.seq, ==, 2);
    g_assert_cmpuint(g_array_index(log, ImpLedgerLogEntry, 1).report.numbers[0].number, ==, 2);
    guint64 n;
    g_assert_true(imp_journal_count_unreported(b.ledger, &n, &error));
    g_assert_cmpuint(n, ==, 0);
    g_assert_cmpuint(b.life.position, ==, 0);
    box_close(&b);
}

/* Rule 9. */
static void test_sap_dates(void)
{
    gint64 t0_s = T0_US / G_USEC_PER_SEC;
    Box b;
    g_autoptr(GError) error = NULL;
    box_open(&b);
    image_must_add(b.ledger,
                   &(ImageRow){.id = 1, .units = -1, .not_before_s = t0_s, .not_after_s = t0_s + 86400});
    image_must_add(b.ledger, &(ImageRow){.id = 2, .units = -1});
    sap_pass(&b, 1, 1);
    world_pass(&b.world, (gint64)3600 * G_USEC_PER_SEC);
    sap_pass(&b, 2, 2);
    /* The clock is set back, though it says that it is synchronised. */
    b.world.real_us -= 60 * G_USEC_PER_SEC;
    g_assert_cmpint(sap_start(&b, 3, 1), ==, IMP_E_CLOCK_UNTRUSTED);
    box_restart(&b);
    g_assert_cmpint(sap_start(&b, 3, 1), ==, IMP_E_CLOCK_UNTRUSTED);
    sap_pass(&b, 4, 2); /* without dates it does not care */
    b.world.real_us += 60 * G_USEC_PER_SEC;
    sap_pass(&b, 5, 1);
    /* Not synchronised: refused, until an engineer says that it is right; a jump ends that. */
    b.world.synchronised = FALSE;
    g_assert_cmpint(sap_start(&b, 6, 1), ==, IMP_E_CLOCK_UNTRUSTED);
    g_assert_false(imp_journal_trust_clock(b.ledger, &(ImpAct){"engineer", NULL}, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    g_clear_error(&error);
    g_assert_true(imp_journal_trust_clock(b.ledger, &owner, &error));
    sap_pass(&b, 6, 1);
    b.world.real_us += 90 * G_USEC_PER_SEC;
    g_assert_cmpint(sap_start(&b, 7, 1), ==, IMP_E_CLOCK_UNTRUSTED);
    sap_pass(&b, 7, 2);
    /* A clock that was wrong in the future is set back by the engineer, with a record. */
    b.world.real_us = T0_US + 5;
    g_assert_true(imp_journal_trust_clock(b.ledger, &owner, &error));
    sap_pass(&b, 8, 1);
    b.world.synchronised = TRUE;
    world_pass(&b.world, (gint64)2 * 86400 * G_USEC_PER_SEC);
    g_assert_cmpint(sap_start(&b, 9, 1), ==, IMP_E_TOO_LATE);
    box_close(&b);
}

/* ---- a full disk ---- */

/* No file of this process takes another byte: every write fails as on a full disk. */
static void disk_full(gboolean full)
{
    struct rlimit limit;
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    limit.rlim_cur = full ? 0 : limit.rlim_max;
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}

typedef struct {
    const char *name;
    gboolean sap;
    Op full_at;
    ImpResult result; /* what the next life records; 0 = nothing */
} FullRow;

static const FullRow full_rows[] = {
    {"job-begin", FALSE, BEGIN, 0},
    {"job-write", FALSE, WRITE, IMP_RESULT_LOST},
    {"job-pass", FALSE, PASS, IMP_RESULT_UNKNOWN},
    {"sap-begin", TRUE, BEGIN, 0},
    {"sap-write", TRUE, WRITE, IMP_RESULT_LOST},
    {"sap-pass", TRUE, PASS, IMP_RESULT_UNKNOWN},
};

static ImpResult only_result(Box *b)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) log = imp_ledger_log(b->ledger, &(ImpLedgerLogQuery){.limit = 10}, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(log->len, <=, 1);
    return log->len == 0 ? 0 : g_array_index(log, ImpLedgerLogEntry, 0).report.result;
}

/* One step of launch 1, as the launch takes it; FALSE: the journal could not keep it. */
static gboolean full_step(Box *b, const FullRow *row, Op op, GError **error)
{
    ImpWant want = want_of(1, 1, 1);
    ImpReport report = report_of(1, 1, IMP_RESULT_PASSED);
    disk_full(op == row->full_at);
    gboolean kept = FALSE;
    if (op == WRITE) {
        kept = imp_journal_writing(b->ledger, &want.launch, error);
    } else if (op == PASS) {
        kept = imp_journal_ended(b->ledger, &report, error);
    } else if (row->sap) {
        int code = sap_start(b, 1, 1);
        kept = code == 0;
        if (!kept)
            imp_error_set(error, (ImpErrorCode)code, "refused");
    } else {
        ImpAnswer granted = granted_of(&want, 5);
        kept = imp_journal_begun(b->ledger, &want, &granted, error);
    }
    disk_full(FALSE);
    return kept;
}

/* What cannot be journaled has not happened: the step says so, and no life after it takes the launch for passed. */
static void test_disk_full(gconstpointer data)
{
    const FullRow *row = data;
    static const Op ops[] = {BEGIN, WRITE, PASS};
    Box b;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    box_open(&b);
    if (row->sap)
        image_must_add(b.ledger, &(ImageRow){.id = 1, .units = 1, .pool = POOL_DECIMAL("sn", 1, 99, "true")});
    for (gsize i = 0; i < G_N_ELEMENTS(ops); i++) {
        g_autoptr(GError) error = NULL;
        gboolean kept = full_step(&b, row, ops[i], &error);
        g_assert_cmpint(kept, ==, ops[i] != row->full_at);
        if (kept)
            continue;
        g_test_message("%s", error->message);
        g_assert_error(error, IMP_ERROR, IMP_E_IO);
        break;
    }
    g_assert_cmpint(only_result(&b), ==, 0);
    box_restart(&b);
    g_assert_cmpint(only_result(&b), ==, row->result);
    if (row->sap && row->result == IMP_RESULT_UNKNOWN) {
        g_assert_cmpint(sap_start(&b, 2, 1), ==, IMP_E_COUNT_USED_UP); /* it counts as used */
    } else if (row->sap) {
        g_assert_cmpint(sap_start(&b, 2, 1), ==, 0);
    }
    box_close(&b);
    signal(SIGXFSZ, before);
}

/* ---- the database ---- */

static ImpLedger *try_open(Box *b, ImpLedgerRole role, GError **error)
{
    return imp_ledger_open(&(ImpLedgerOptions){.path = b->path,
                                               .role = role,
                                               .safety = IMP_LEDGER_DURABLE,
                                               .clock = &b->world.clock,
                                               .random = &b->world.random},
                           error);
}

static void refused_open(Box *b, ImpLedgerRole role, int code, const char *says)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpLedger) ledger = try_open(b, role, &error);
    g_assert_null(ledger);
    g_assert_error(error, IMP_ERROR, code);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, says));
}

static void run_sql(const char *path, const char *text)
{
    sqlite3 *db;
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_exec(db, text, NULL, NULL, NULL), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_close(db), ==, SQLITE_OK);
}

static void test_open_twice(void)
{
    Box b;
    box_open(&b);
    refused_open(&b, IMP_LEDGER_STATION, IMP_E_STATE, "another program");
    box_close(&b);
}

static void test_open_role(void)
{
    Box b;
    box_open(&b);
    imp_ledger_close(b.ledger);
    refused_open(&b, IMP_LEDGER_CLOUD, IMP_E_STATE, "station");
    box_start(&b);
    box_close(&b);
}

static void test_open_newer(void)
{
    Box b;
    box_open(&b);
    imp_ledger_close(b.ledger);
    run_sql(b.path, "PRAGMA user_version = 99");
    refused_open(&b, IMP_LEDGER_STATION, IMP_E_LEDGER_CORRUPT, "version 99");
    run_sql(b.path, "PRAGMA user_version = 3");
    box_start(&b);
    box_close(&b);
}

static void test_open_foreign(void)
{
    Box b;
    box_open(&b);
    imp_ledger_close(b.ledger);
    g_assert_cmpint(g_unlink(b.path), ==, 0);
    run_sql(b.path, "CREATE TABLE other (x)");
    refused_open(&b, IMP_LEDGER_STATION, IMP_E_LEDGER_CORRUPT, "another program");
    g_assert_true(g_file_set_contents(b.path, "not a database, but long enough to be read as one", -1, NULL));
    refused_open(&b, IMP_LEDGER_STATION, IMP_E_LEDGER_CORRUPT, "not a database");
    g_assert_cmpint(g_unlink(b.path), ==, 0);
    box_start(&b);
    box_close(&b);
}

static void test_open_damaged(void)
{
    Box b;
    g_autoptr(GError) error = NULL;
    box_open(&b);
    for (guint32 i = 1; i <= 200; i++) {
        ImpWant want = want_of(i, 5, i);
        g_assert_true(imp_journal_returned(b.ledger, &want, NULL, &error));
    }
    imp_ledger_close(b.ledger);
    /* In the middle of each page but the first: whatever it holds. */
    int fd = open(b.path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    off_t size = lseek(fd, 0, SEEK_END);
    static const char junk[256] = {0x55};
    for (off_t at = 4096; at < size; at += 4096)
        g_assert_cmpint(pwrite(fd, junk, sizeof junk, at), ==, sizeof junk);
    close(fd);
    refused_open(&b, IMP_LEDGER_STATION, IMP_E_LEDGER_CORRUPT, b.path);
    folder_remove(b.folder);
    g_free(b.path);
}

static void test_open_mode(void)
{
    Box b;
    struct stat st;
    box_open(&b);
    g_assert_cmpint(stat(b.path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 0777, ==, 0600);
    g_autofree char *wal = g_strconcat(b.path, "-wal", NULL);
    g_assert_cmpint(stat(wal, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 0777, ==, 0600);
    box_close(&b);
}

static void begun_or_not(gpointer user, gboolean begun, const ImpAnswer *answer, const GError *error)
{
    *(gboolean *)user = begun;
}

/* A number that names its day needs a clock that says which. */
static void test_clock_of_a_text(void)
{
    Box b;
    box_open(&b);
    image_must_add(b.ledger,
                   &(ImageRow){.id = 1,
                               .units = 9,
                               .pool =
                                   "{\"first\":1,\"format\":{\"text\":\"{date:yymmdd}-{n}\"},\"id\":\"sn\","
                                   "\"last\":9,\"reuse\":true,\"step\":1}"});
    b.world.synchronised = FALSE;
    g_assert_cmpint(sap_start(&b, 1, 1), ==, IMP_E_CLOCK_UNTRUSTED);
    b.world.synchronised = TRUE;
    g_assert_cmpint(sap_start(&b, 2, 1), ==, 0);
    /* At a desk a person sees what is written. */
    b.world.synchronised = FALSE;
    ImpAuthority *desk = imp_authority_local_new(b.ledger);
    imp_authority_local_set_desk(desk);
    ImpWant want = want_of(3, 1, 0);
    gboolean begun = FALSE;
    desk->ops->start(desk, &want, begun_or_not, &begun);
    g_assert_true(begun);
    imp_authority_local_free(desk);
    box_close(&b);
}

/* The check finds what it is there to find. */
static void test_check_finds(void)
{
    static const char *const damages[] = {
        "UPDATE image SET passed = passed + 1",
        "UPDATE image SET open = open + 1",
        "UPDATE image SET settled = 1",
        "UPDATE image SET units = 1",
        "UPDATE image SET free_open = 1",
        "UPDATE image SET free_used = 1",
        "INSERT INTO given VALUES (1, x'41', 7)",
        "UPDATE number SET state = 2 WHERE state = 3",
        "UPDATE number SET state = 1, station = NULL, launch = NULL WHERE number = 1",
        "UPDATE number SET launch = x'00' WHERE number = 1",
        "DELETE FROM number WHERE number = 2",
        "DELETE FROM record WHERE rec = 1",
        "UPDATE record SET result = 4 WHERE rec = 1",
        "INSERT INTO record SELECT 99, station, launch, own, image, result, conflict, rework, "
        "after_settlement, "
        "received_us, confirmed_us, seq, start_number, port, work_order, person, began_us, duration_ms, "
        "code, step, "
        "address, expected, found, uid, numbers, reads, link_waits, link_faults, link_errors, link_retries, "
        "link_hz, link_slowed_by "
        "FROM record WHERE rec = 1",
        "UPDATE pool SET next = 2",
        "UPDATE pool SET used = used - 1",
        "UPDATE launch SET state = 4",
        "UPDATE launch SET seq = 1",
        "UPDATE launch SET seq = 50 WHERE seq = 2",
        "UPDATE launch SET numbers = x'05'",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(damages); i++) {
        Box b;
        g_autoptr(GError) error = NULL;
        box_open(&b);
        image_must_add(b.ledger,
                       &(ImageRow){.id = 1, .units = 2, .pool = POOL_DECIMAL("sn", 1, 999, "true")});
        sap_pass(&b, 1, 1);
        sap_pass(&b, 2, 1);
        ledger_check(b.ledger);
        imp_ledger_close(b.ledger);
        run_sql(b.path, damages[i]);
        box_start(&b);
        g_autoptr(GPtrArray) wrongs = g_ptr_array_new_with_free_func(g_free);
        g_assert_true(imp_ledger_check(b.ledger, wrongs, &error));
        g_test_message("%s: %u found", damages[i], wrongs->len);
        g_assert_cmpuint(wrongs->len, >, 0);
        imp_ledger_close(b.ledger);
        folder_remove(b.folder);
        g_free(b.path);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(stories); i++) {
        g_autofree char *path = g_strdup_printf("/ledger/journal/table/%s", stories[i].name);
        g_test_add_data_func(path, &stories[i], test_story);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(full_rows); i++) {
        g_autofree char *path = g_strdup_printf("/ledger/disk-full/%s", full_rows[i].name);
        g_test_add_data_func(path, &full_rows[i], test_disk_full);
    }
    g_test_add_func("/ledger/journal/start", test_start);
    g_test_add_func("/ledger/journal/comparison-cut-off", test_comparison_cut_off);
    g_test_add_func("/ledger/journal/reconcile", test_reconcile);
    g_test_add_func("/ledger/journal/epoch", test_epoch);
    g_test_add_func("/ledger/journal/prune", test_prune);
    g_test_add_func("/ledger/sap/count", test_sap_count);
    g_test_add_func("/ledger/sap/dates", test_sap_dates);
    g_test_add_func("/ledger/open/twice", test_open_twice);
    g_test_add_func("/ledger/open/role", test_open_role);
    g_test_add_func("/ledger/open/newer", test_open_newer);
    g_test_add_func("/ledger/open/foreign", test_open_foreign);
    g_test_add_func("/ledger/open/damaged", test_open_damaged);
    g_test_add_func("/ledger/open/mode", test_open_mode);
    g_test_add_func("/ledger/check-finds", test_check_finds);
    g_test_add_func("/ledger/clock/text", test_clock_of_a_text);
    return g_test_run();
}
