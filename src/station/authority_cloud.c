#include "station/authority_cloud.h"

#include <string.h>

#include "wire/codec.h"

/* While somebody waits at a port, the network is tried more often than otherwise. */
#define RETRY_WAITING_US (G_USEC_PER_SEC / 2)
/* Ask numbers count from 0 in each life; the life's number stands above them. */
#define ASK_LIFE_SHIFT 32

typedef struct {
    guint64 ask;
    gint64 boot_us, real_us; /* when the request that carried it was sent */
} Ask;

/* A start that waits for its permit, or for its permit to be fresh. */
typedef struct {
    ImpWant want;
    ImpStartFn done;
    gpointer user;
    gint64 deadline_us;
    gboolean sent; /* at least once: the cloud may have granted it */
    gboolean due; /* travels with the next request */
    Ask asks[IMP_CLOUD_ASKS_MAX]; /* that no answer has echoed yet, oldest first */
    guint n_asks;
    gboolean held; /* grant and fresh are valid */
    ImpAnswer grant;
    Ask fresh; /* the newest one that was echoed */
} Start;

/* A begun launch that has told its chip and waits for what the cloud says of it. */
typedef struct {
    ImpIdentify told;
    guint64 first_ask; /* answers to what was sent before it are of its want; 0 = not sent yet */
    ImpIdentifyFn done;
    gpointer user;
    gint64 deadline_us;
    gboolean due;
} Tell;

typedef struct {
    ImpAuthority base;
    ImpLedger *ledger;
    ImpLife life;
    const ImpClock *clock;
    ImpCloudTransport transport;
    void (*wake)(gpointer user);
    void (*changed)(gpointer user);
    void (*point)(gpointer user, const char *name);
    gpointer user;

    GPtrArray *starts; /* Start */
    GPtrArray *tells; /* Tell */
    GArray *lost; /* ImpReport: launches that only the cloud knows, until it has confirmed their end */
    guint64 last_ask;
    gboolean resend; /* the cloud was restored: all reports first, then wants */

    gboolean in_flight;
    guint64 ticket; /* of the newest request */
    gint64 sent_boot_us;
    gboolean reports_sent; /* with the newest request */
    guint failures; /* requests in a row that had no answer */
    gint64 retry_us; /* nothing is sent before */
    gint64 report_due_us; /* G_MAXINT64: no report waits */
    gint64 list_due_us;
    gint64 hello_due_us; /* blocked: when to ask again */

    ImpCloudView view;
    GError *error; /* what view.error points to */
} Cloud;

static Cloud *cloud_of(ImpAuthority *authority)
{
    return (Cloud *)authority;
}

static gint64 now_us(const Cloud *cloud)
{
    return imp_clock_boot_us(cloud->clock);
}

static void tell(Cloud *cloud)
{
    if (cloud->changed != NULL)
        cloud->changed(cloud->user);
}

/* Takes over error (NULL = all is well). */
static void set_state(Cloud *cloud, ImpCloudState state, gboolean unreachable, GError *error)
{
    gboolean same = state == cloud->view.state && unreachable == cloud->view.unreachable &&
                    (error == NULL) == (cloud->error == NULL) &&
                    (error == NULL || error->code == cloud->error->code);
    g_clear_error(&cloud->error);
    cloud->error = error;
    cloud->view.error = error;
    cloud->view.state = state;
    cloud->view.unreachable = unreachable;
    if (!same)
        tell(cloud);
}

/* ---- starts -------------------------------------------------------------------------------------------------------- */

static Start *find_start(const Cloud *cloud, const ImpId *launch)
{
    for (guint i = 0; i < cloud->starts->len; i++) {
        Start *start = g_ptr_array_index(cloud->starts, i);
        if (imp_id_equal(&start->want.launch, launch))
            return start;
    }
    return NULL;
}

/* Before its callback, which may start the next one; start is then the caller's. */
static void take_out(Cloud *cloud, Start *start)
{
    guint index = 0;
    gboolean found = g_ptr_array_find(cloud->starts, start, &index);
    g_assert(found);
    g_ptr_array_steal_index(cloud->starts, index);
}

/* Ends a start that has not begun. Takes over error; start is gone afterwards. */
static void refuse(Cloud *cloud, Start *start, const ImpAnswer *answer, GError *error)
{
    take_out(cloud, start);
    start->done(start->user, FALSE, answer, error);
    g_error_free(error);
    g_free(start);
}

static void report_soon(Cloud *cloud, gint64 due_us)
{
    cloud->report_due_us = MIN(cloud->report_due_us, due_us);
}

/* The cloud may hold a permit for this launch and must hear that it will never begin. If even the journal fails, the
 * next life reports the launch lost, from the cloud's list. */
static void give_back(Cloud *cloud, const Start *start)
{
    g_autoptr(GError) error = NULL;
    if (!start->sent)
        return;
    if (!imp_journal_returned(cloud->ledger, &start->want, start->held ? &start->grant : NULL, &error))
        g_warning("a permit could not be journaled as returned: %s", error->message);
    report_soon(cloud, now_us(cloud));
}

static gboolean is_fresh(const Cloud *cloud, const Ask *ask)
{
    gint64 boot = imp_clock_boot_us(cloud->clock) - ask->boot_us;
    gint64 real = imp_clock_real_us(cloud->clock) - ask->real_us;
    return boot >= 0 && boot < IMP_LEDGER_USABLE_US && real >= 0 && real < IMP_LEDGER_USABLE_US;
}

/* For an answer that leaves things as they were: the same question at once would get the same answer. */
static void again_later(Cloud *cloud)
{
    cloud->retry_us = MAX(cloud->retry_us, now_us(cloud) + IMP_CLOUD_RETRY_MIN_US);
}

static void begin_or_refresh(Cloud *cloud, Start *start)
{
    if (!is_fresh(cloud, &start->fresh)) {
        start->due = TRUE;
        again_later(cloud);
        return;
    }
    if (cloud->point != NULL)
        cloud->point(cloud->user, "permit");
    GError *error = NULL;
    if (!imp_journal_begun(cloud->ledger, &start->want, &start->grant, &error)) {
        refuse(cloud, start, &start->grant, error);
        return;
    }
    take_out(cloud, start);
    start->done(start->user, TRUE, &start->grant, NULL);
    g_free(start);
}

/* Why a start could not be decided in its time. */
static GError *late(const Cloud *cloud, const Start *start)
{
    GError *error = NULL;
    if (start->held)
        imp_error_set(&error, IMP_E_PERMIT_STALE, "the permit could not be made fresh within %d s",
                      (int)(IMP_CLOUD_START_US / G_USEC_PER_SEC));
    else if (cloud->view.unreachable || start->sent || cloud->view.answered_real_us == 0)
        imp_error_set(&error, IMP_E_CLOUD_UNREACHABLE, "the cloud did not answer within %d s%s%s",
                      (int)(IMP_CLOUD_START_US / G_USEC_PER_SEC), cloud->error != NULL ? ": " : "",
                      cloud->error != NULL ? cloud->error->message : "");
    else
        imp_error_set(&error, IMP_E_NOT_WELCOMED, "the cloud has not welcomed this station yet");
    return error;
}

/* Ends a tell; before its callback, which may do anything. */
static void end_tell(Cloud *cloud, Tell *tell, const ImpAnswer *answer, const GError *error)
{
    gboolean found = g_ptr_array_remove(cloud->tells, tell);
    g_assert(found);
    tell->done(tell->user, error == NULL ? answer : NULL, error);
    g_free(tell);
}

static void end_late_tells(Cloud *cloud)
{
    for (guint i = 0; i < cloud->tells->len;) {
        Tell *tell = g_ptr_array_index(cloud->tells, i);
        if (now_us(cloud) < tell->deadline_us) {
            i++;
            continue;
        }
        g_autoptr(GError) error = NULL;
        imp_error_set(&error, IMP_E_CLOUD_UNREACHABLE,
                      "the cloud did not say within %d s what is to happen with this chip",
                      (int)(IMP_CLOUD_START_US / G_USEC_PER_SEC));
        end_tell(cloud, tell, NULL, error);
        i = 0; /* the callback may have changed the list */
    }
}

static void end_all_tells(Cloud *cloud, ImpErrorCode code, const char *text)
{
    while (cloud->tells->len > 0) {
        g_autoptr(GError) error = NULL;
        imp_error_set(&error, code, "%s", text);
        end_tell(cloud, g_ptr_array_index(cloud->tells, 0), NULL, error);
    }
}

static void end_late_starts(Cloud *cloud)
{
    gint64 now = now_us(cloud);
    for (guint i = 0; i < cloud->starts->len;) {
        Start *start = g_ptr_array_index(cloud->starts, i);
        if (now < start->deadline_us) {
            i++;
            continue;
        }
        give_back(cloud, start);
        refuse(cloud, start, NULL, late(cloud, start));
        i = 0; /* the callback may have changed the list */
    }
}

/* Blocked or stale: nothing begins any more, and nothing that has not written yet goes on. */
static void end_all_starts(Cloud *cloud, ImpErrorCode code, const char *text)
{
    end_all_tells(cloud, code, text);
    while (cloud->starts->len > 0) {
        Start *start = g_ptr_array_index(cloud->starts, 0);
        GError *error = NULL;
        imp_error_set(&error, code, "%s", text);
        give_back(cloud, start);
        refuse(cloud, start, NULL, error);
    }
}

static void authority_start(ImpAuthority *authority, const ImpWant *want, ImpStartFn done, gpointer user)
{
    Cloud *cloud = cloud_of(authority);
    g_autoptr(GError) error = NULL;
    if (cloud->view.state == IMP_CLOUD_BLOCKED || cloud->view.state == IMP_CLOUD_STALE)
        error = g_error_copy(cloud->error);
    else if (cloud->starts->len >= IMP_CLOUD_STARTS_MAX)
        imp_error_set(&error, IMP_E_TOO_MANY_WAITING, "%d launches wait for the cloud already",
                      IMP_CLOUD_STARTS_MAX);
    if (error != NULL) {
        done(user, FALSE, NULL, error);
        return;
    }
    Start *start = g_new0(Start, 1);
    start->want = *want;
    start->done = done;
    start->user = user;
    start->due = TRUE;
    start->deadline_us = now_us(cloud) + IMP_CLOUD_START_US;
    g_ptr_array_add(cloud->starts, start);
    cloud->retry_us = MIN(cloud->retry_us, cloud->sent_boot_us + IMP_CLOUD_RETRY_MIN_US);
    cloud->wake(cloud->user);
}

void imp_authority_cloud_cancel(ImpAuthority *authority, const ImpId *launch)
{
    Cloud *cloud = cloud_of(authority);
    Start *start = find_start(cloud, launch);
    if (start == NULL)
        return;
    GError *error = NULL;
    imp_error_set(&error, IMP_E_CANCELLED, "the launch was cancelled before it began");
    give_back(cloud, start);
    refuse(cloud, start, NULL, error);
    cloud->wake(cloud->user);
}

static void authority_identify(ImpAuthority *authority, const ImpId *launch, const guint8 *uid, gsize n_uid,
                               ImpIdentifyFn done, gpointer user)
{
    Cloud *cloud = cloud_of(authority);
    g_autoptr(GError) error = NULL;
    g_assert(n_uid >= 1 && n_uid <= IMP_WIRE_NUMBER_BYTES_MAX);
    if (cloud->view.state == IMP_CLOUD_BLOCKED || cloud->view.state == IMP_CLOUD_STALE)
        error = g_error_copy(cloud->error);
    else if (cloud->tells->len >= IMP_CLOUD_TELLS_MAX)
        imp_error_set(&error, IMP_E_TOO_MANY_WAITING, "%d launches wait for the cloud already",
                      IMP_CLOUD_TELLS_MAX);
    if (error != NULL) {
        done(user, NULL, error);
        return;
    }
    Tell *tell = g_new0(Tell, 1);
    tell->told.launch = *launch;
    tell->told.n_uid = (guint8)n_uid;
    memcpy(tell->told.uid, uid, n_uid);
    tell->done = done;
    tell->user = user;
    tell->due = TRUE;
    tell->deadline_us = now_us(cloud) + IMP_CLOUD_START_US;
    g_ptr_array_add(cloud->tells, tell);
    cloud->retry_us = MIN(cloud->retry_us, cloud->sent_boot_us + IMP_CLOUD_RETRY_MIN_US);
    cloud->wake(cloud->user);
}

static gboolean authority_writing(ImpAuthority *authority, const ImpId *launch, GError **error)
{
    return imp_journal_writing(cloud_of(authority)->ledger, launch, error);
}

/* No permit is asked for: nothing is made. The cloud hears of it by the report. */
static gboolean authority_compare(ImpAuthority *authority, const ImpWant *want, GError **error)
{
    return imp_journal_comparing(cloud_of(authority)->ledger, want, FALSE, error);
}

static gboolean authority_end(ImpAuthority *authority, const ImpReport *report, GError **error)
{
    Cloud *cloud = cloud_of(authority);
    if (!imp_journal_ended(cloud->ledger, report, error))
        return FALSE;
    report_soon(cloud, now_us(cloud) + IMP_CLOUD_REPORT_WAIT_US);
    cloud->wake(cloud->user);
    return TRUE;
}

/* ---- the next request ---------------------------------------------------------------------------------------------- */

static ImpSyncRequest *new_request(const Cloud *cloud)
{
    ImpSyncRequest *request = g_new0(ImpSyncRequest, 1);
    request->protocol = IMP_WIRE_PROTOCOL;
    request->start_number = cloud->life.start_number;
    return request;
}

/* Reports that wait: what only the cloud knew of first, then the journal's, oldest first. */
static gboolean add_reports(Cloud *cloud, ImpSyncRequest *request, GError **error)
{
    guint n_lost = MIN(cloud->lost->len, IMP_CLOUD_REPORTS_MAX);
    g_autoptr(GArray) journal = imp_journal_unreported(cloud->ledger, IMP_CLOUD_REPORTS_MAX, error);
    if (journal == NULL)
        return FALSE;
    guint n_journal = MIN(journal->len, IMP_CLOUD_REPORTS_MAX - n_lost);
    request->n_reports = n_lost + n_journal;
    request->reports = g_new0(ImpReport, request->n_reports);
    for (guint i = 0; i < n_lost; i++)
        request->reports[i] = g_array_index(cloud->lost, ImpReport, i);
    for (guint i = 0; i < n_journal; i++)
        request->reports[n_lost + i] = g_array_index(journal, ImpReport, i);
    if (request->n_reports == 0) {
        cloud->report_due_us = G_MAXINT64;
        cloud->resend = FALSE;
    }
    return TRUE;
}

/* A number that no earlier request carried. */
static guint64 new_ask(Cloud *cloud)
{
    return (cloud->life.start_number << ASK_LIFE_SHIFT) | ++cloud->last_ask;
}

/* … remembered with the time of this one. */
static guint64 next_ask(Cloud *cloud, Start *start)
{
    if (start->n_asks == IMP_CLOUD_ASKS_MAX)
        memmove(start->asks, start->asks + 1, --start->n_asks * sizeof start->asks[0]);
    Ask *ask = &start->asks[start->n_asks++];
    ask->ask = new_ask(cloud);
    ask->boot_us = imp_clock_boot_us(cloud->clock);
    ask->real_us = imp_clock_real_us(cloud->clock);
    start->due = FALSE;
    start->sent = TRUE;
    return ask->ask;
}

static void add_wants(Cloud *cloud, ImpSyncRequest *request)
{
    request->wants = g_new0(ImpWant, cloud->starts->len);
    request->refreshes = g_new0(ImpRefresh, cloud->starts->len);
    for (guint i = 0; i < cloud->starts->len; i++) {
        Start *start = g_ptr_array_index(cloud->starts, i);
        if (!start->due)
            continue;
        guint64 ask = next_ask(cloud, start);
        if (start->held) {
            request->refreshes[request->n_refreshes++] = (ImpRefresh){start->want.launch, ask};
        } else {
            start->want.ask = ask;
            request->wants[request->n_wants++] = start->want;
        }
    }
    request->identifies = g_new0(ImpIdentify, cloud->tells->len);
    for (guint i = 0; i < cloud->tells->len; i++) {
        Tell *tell = g_ptr_array_index(cloud->tells, i);
        if (!tell->due)
            continue;
        tell->due = FALSE;
        tell->told.ask = new_ask(cloud);
        if (tell->first_ask == 0)
            tell->first_ask = tell->told.ask;
        request->identifies[request->n_identifies++] = tell->told;
    }
}

static gboolean wants_due(const Cloud *cloud)
{
    for (guint i = 0; i < cloud->starts->len; i++)
        if (((const Start *)g_ptr_array_index(cloud->starts, i))->due)
            return TRUE;
    for (guint i = 0; i < cloud->tells->len; i++)
        if (((const Tell *)g_ptr_array_index(cloud->tells, i))->due)
            return TRUE;
    return FALSE;
}

/* What is to be sent now; NULL without error: nothing. */
static ImpSyncRequest *compose(Cloud *cloud, GError **error)
{
    gint64 now = now_us(cloud);
    g_autoptr(ImpSyncRequest) request = new_request(cloud);
    gboolean blocked = cloud->view.state == IMP_CLOUD_BLOCKED;
    if (cloud->view.state == IMP_CLOUD_GREETING || (blocked && now >= cloud->hello_due_us)) {
        request->has_hello = TRUE;
        request->hello.nonce = cloud->life.nonce;
        request->hello.journal_position = cloud->life.position;
        cloud->hello_due_us = now + IMP_CLOUD_RETRY_MAX_US;
        return g_steal_pointer(&request);
    }
    gboolean welcomed = cloud->view.state == IMP_CLOUD_WELCOMED;
    gboolean list = welcomed && now >= cloud->list_due_us;
    if (!list && !(welcomed && wants_due(cloud)) && now < cloud->report_due_us)
        return NULL;
    if (!add_reports(cloud, request, error))
        return NULL;
    if (welcomed && !cloud->resend)
        add_wants(cloud, request);
    if (list) {
        request->want_open = TRUE;
        cloud->list_due_us = now + IMP_CLOUD_IDLE_US;
    }
    if (!list && request->n_reports + request->n_wants + request->n_refreshes + request->n_identifies == 0)
        return NULL;
    return g_steal_pointer(&request);
}

/* What was sent and not answered travels again. */
static void mark_due(Cloud *cloud)
{
    for (guint i = 0; i < cloud->starts->len; i++)
        ((Start *)g_ptr_array_index(cloud->starts, i))->due = TRUE;
    for (guint i = 0; i < cloud->tells->len; i++)
        ((Tell *)g_ptr_array_index(cloud->tells, i))->due = TRUE;
}

/* A request without an answer. Takes over error. */
static void failed(Cloud *cloud, GError *error)
{
    gint64 wait = IMP_CLOUD_RETRY_MIN_US << MIN(cloud->failures, 10);
    cloud->in_flight = FALSE;
    cloud->failures++;
    cloud->retry_us =
        now_us(cloud) +
        MIN(wait, cloud->starts->len + cloud->tells->len > 0 ? RETRY_WAITING_US : IMP_CLOUD_RETRY_MAX_US);
    mark_due(cloud);
    if (cloud->view.state == IMP_CLOUD_BLOCKED || cloud->view.state == IMP_CLOUD_STALE)
        g_error_free(error); /* the reason for the state says more */
    else
        set_state(cloud, cloud->view.state, TRUE, error);
}

static void send_request(Cloud *cloud, const ImpSyncRequest *request)
{
    GError *error = NULL;
    char *text = imp_sync_request_encode(request, &error);
    if (text == NULL) {
        failed(cloud, error);
        return;
    }
    g_autoptr(GBytes) bytes = g_bytes_new_take(text, strlen(text));
    cloud->in_flight = TRUE;
    cloud->reports_sent = request->n_reports > 0;
    cloud->ticket++;
    cloud->sent_boot_us = now_us(cloud);
    cloud->transport.send(cloud->transport.self, cloud->ticket, bytes);
}

/* The next time at which something is due, if no answer comes before. */
static gint64 next_step_us(const Cloud *cloud)
{
    gint64 next = cloud->in_flight ? cloud->sent_boot_us + IMP_CLOUD_REQUEST_US : G_MAXINT64;
    for (guint i = 0; i < cloud->starts->len; i++)
        next = MIN(next, ((const Start *)g_ptr_array_index(cloud->starts, i))->deadline_us);
    for (guint i = 0; i < cloud->tells->len; i++)
        next = MIN(next, ((const Tell *)g_ptr_array_index(cloud->tells, i))->deadline_us);
    if (cloud->in_flight)
        return next;
    gint64 due = cloud->report_due_us;
    switch (cloud->view.state) {
    case IMP_CLOUD_GREETING:
        due = 0;
        break;
    case IMP_CLOUD_WELCOMED:
        due = wants_due(cloud) ? 0 : MIN(due, cloud->list_due_us);
        break;
    case IMP_CLOUD_BLOCKED:
        due = MIN(due, cloud->hello_due_us);
        break;
    case IMP_CLOUD_STALE:
        break;
    }
    return MIN(next, MAX(due, cloud->retry_us));
}

gint64 imp_authority_cloud_step(ImpAuthority *authority)
{
    Cloud *cloud = cloud_of(authority);
    gint64 now = now_us(cloud);
    if (cloud->in_flight && now >= cloud->sent_boot_us + IMP_CLOUD_REQUEST_US) {
        GError *error = NULL;
        imp_error_set(&error, IMP_E_TIMEOUT, "no answer within %d s",
                      (int)(IMP_CLOUD_REQUEST_US / G_USEC_PER_SEC));
        failed(cloud, error);
    }
    end_late_starts(cloud);
    end_late_tells(cloud);
    if (!cloud->in_flight && now >= cloud->retry_us) {
        GError *error = NULL;
        g_autoptr(ImpSyncRequest) request = compose(cloud, &error);
        if (error != NULL)
            failed(cloud, error);
        else if (request != NULL)
            send_request(cloud, request);
    }
    return next_step_us(cloud);
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

/* Takes the ask number out of those that wait; FALSE if it was echoed before, or never sent. */
static gboolean take_ask(Start *start, guint64 number, Ask *out_ask)
{
    for (guint i = 0; i < start->n_asks; i++) {
        if (start->asks[i].ask != number)
            continue;
        *out_ask = start->asks[i];
        start->n_asks--;
        memmove(&start->asks[i], &start->asks[i + 1], (start->n_asks - i) * sizeof start->asks[0]);
        return TRUE;
    }
    return FALSE;
}

static void answer_want(Cloud *cloud, const ImpAnswer *answer)
{
    Start *start = find_start(cloud, &answer->launch);
    Ask ask;
    if (start == NULL || !take_ask(start, answer->ask, &ask))
        return; /* late, repeated or never asked: refreshes nothing and grants nothing */
    switch (answer->kind) {
    case IMP_ANSWER_GRANTED:
        if (!start->held)
            start->grant = *answer;
        start->held = TRUE;
        if (ask.boot_us > start->fresh.boot_us)
            start->fresh = ask;
        begin_or_refresh(cloud, start);
        break;
    case IMP_ANSWER_FRESH:
        if (!start->held)
            break;
        if (ask.boot_us > start->fresh.boot_us)
            start->fresh = ask;
        begin_or_refresh(cloud, start);
        break;
    case IMP_ANSWER_REFUSED:
        if (answer->code == IMP_E_NOT_WELCOMED) {
            start->due = TRUE; /* hello first, then again */
            again_later(cloud);
            break;
        }
        /* An earlier request may still be on its way and be granted: then the launch must be ended over there. */
        if (start->held || start->n_asks > 0)
            give_back(cloud, start);
        refuse(cloud, start, answer, imp_ledger_refusal(answer));
        break;
    case IMP_ANSWER_WITHDRAWN:
        give_back(cloud, start);
        refuse(cloud, start, answer, imp_ledger_refusal(answer));
        break;
    case IMP_ANSWER_ENDED: {
        GError *error = NULL;
        imp_error_set(&error, IMP_E_LAUNCH_ENDED, "the cloud has this launch as %s already",
                      imp_result_name(answer->result));
        refuse(cloud, start, answer, error);
        break;
    }
    case IMP_ANSWER_CONFIRMED:
    case IMP_ANSWER_CONFLICT:
        break; /* of reports; they carry no ask number */
    case IMP_ANSWER_IDENTIFIED:
        break; /* answer_tell */
    }
}

/* Each answer to an identify is as good as any other: told twice is told once. */
static void answer_tell(Cloud *cloud, Tell *tell, const ImpAnswer *answer)
{
    g_autoptr(GError) error = NULL;
    if (answer->kind == IMP_ANSWER_REFUSED && answer->code == IMP_E_NOT_WELCOMED) {
        tell->due = TRUE; /* hello first, then again */
        again_later(cloud);
        return;
    }
    if (answer->kind == IMP_ANSWER_IDENTIFIED) {
        if (cloud->point != NULL)
            cloud->point(cloud->user, "identified");
        /* Without it the record would name other numbers than the unit bears: what is not journaled is not written. */
        if (imp_journal_identified(cloud->ledger, &tell->told, answer, &error)) {
            end_tell(cloud, tell, answer, NULL);
            return;
        }
    } else {
        error = imp_ledger_refusal(answer);
    }
    end_tell(cloud, tell, NULL, error);
}

/* The tell that this is the answer to, if it still waits. */
static Tell *find_tell(const Cloud *cloud, const ImpAnswer *answer)
{
    for (guint i = 0; i < cloud->tells->len; i++) {
        Tell *tell = g_ptr_array_index(cloud->tells, i);
        if (imp_id_equal(&tell->told.launch, &answer->launch) && tell->first_ask != 0 &&
            answer->ask >= tell->first_ask)
            return tell;
    }
    return NULL;
}

static void remove_lost(Cloud *cloud, const ImpId *launch)
{
    for (guint i = 0; i < cloud->lost->len; i++)
        if (imp_id_equal(&g_array_index(cloud->lost, ImpReport, i).launch, launch)) {
            g_array_remove_index(cloud->lost, i);
            return;
        }
}

static void take_answers(Cloud *cloud, const ImpSyncResponse *response)
{
    g_autofree ImpId *confirmed = g_new0(ImpId, response->n_answers);
    guint32 n_confirmed = 0;
    for (guint32 i = 0; i < response->n_answers; i++) {
        const ImpAnswer *answer = &response->answers[i];
        if (answer->ask != 0) {
            Tell *tell = find_tell(cloud, answer);
            if (tell != NULL)
                answer_tell(cloud, tell, answer);
            else
                answer_want(cloud, answer);
            continue;
        }
        char text[IMP_ID_TEXT_SIZE];
        if (answer->kind == IMP_ANSWER_CONFLICT || answer->kind == IMP_ANSWER_REFUSED)
            g_warning("the cloud did not take the report of launch %s as it is: %s, E%d",
                      imp_id_text(&answer->launch, text), imp_answer_kind_name(answer->kind), answer->code);
        remove_lost(cloud, &answer->launch);
        confirmed[n_confirmed++] = answer->launch;
    }
    g_autoptr(GError) error = NULL;
    if (n_confirmed > 0 && !imp_journal_confirmed(cloud->ledger, confirmed, n_confirmed, &error))
        g_warning("confirmed reports will be sent again: %s", error->message);
    if (cloud->reports_sent && (n_confirmed == 0 || error != NULL))
        again_later(cloud);
}

/* The cloud's list of our open launches: what neither waits here nor is in the journal is reported lost. */
static void take_open(Cloud *cloud, const ImpSyncResponse *response)
{
    g_autofree ImpId *unknown = g_new0(ImpId, response->n_open);
    guint32 n_unknown = 0;
    for (guint32 i = 0; i < response->n_open; i++)
        if (find_start(cloud, &response->open[i]) == NULL)
            unknown[n_unknown++] = response->open[i];
    if (n_unknown == 0)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) lost = imp_journal_reconcile(cloud->ledger, unknown, n_unknown, &error);
    if (lost == NULL) {
        g_warning("open launches could not be compared with the journal: %s", error->message);
        return;
    }
    for (guint i = 0; i < lost->len; i++) {
        const ImpReport *report = &g_array_index(lost, ImpReport, i);
        remove_lost(cloud, &report->launch);
        g_array_append_val(cloud->lost, *report);
    }
    report_soon(cloud, now_us(cloud)); /* reconcile may have put journal reports back, too */
}

static void take_epoch(Cloud *cloud, const ImpSyncResponse *response)
{
    g_autoptr(GError) error = NULL;
    gboolean again = FALSE;
    if (!imp_journal_epoch(cloud->ledger, &response->epoch, &again, &error))
        g_warning("the cloud's epoch could not be kept: %s", error->message);
    if (again) {
        cloud->resend = TRUE;
        report_soon(cloud, now_us(cloud));
    }
}

static void take_welcome(Cloud *cloud, const ImpSyncResponse *response)
{
    GError *error = NULL;
    const ImpErrorEntry *entry = imp_error_entry(response->code);
    switch (response->welcome) {
    case IMP_WELCOME_YES:
        cloud->list_due_us = now_us(cloud) + IMP_CLOUD_IDLE_US;
        report_soon(cloud, now_us(cloud));
        set_state(cloud, IMP_CLOUD_WELCOMED, FALSE, NULL);
        break;
    case IMP_WELCOME_NONE:
        if (cloud->view.state == IMP_CLOUD_WELCOMED)
            set_state(cloud, IMP_CLOUD_WELCOMED, FALSE, NULL);
        else if (cloud->view.state == IMP_CLOUD_GREETING)
            again_later(cloud);
        break; /* blocked, stale: only reports were sent; the reason stands */
    case IMP_WELCOME_FIRST:
        cloud->list_due_us = G_MAXINT64;
        again_later(cloud);
        set_state(cloud, IMP_CLOUD_GREETING, FALSE, NULL);
        break;
    case IMP_WELCOME_BLOCKED:
        imp_error_set(&error, entry != NULL ? (ImpErrorCode)response->code : IMP_E_STATION_BLOCKED, "%s",
                      entry != NULL ? entry->meaning : "the cloud has blocked this station");
        report_soon(cloud, now_us(cloud));
        set_state(cloud, IMP_CLOUD_BLOCKED, FALSE, error);
        end_all_starts(cloud, (ImpErrorCode)error->code, error->message);
        break;
    case IMP_WELCOME_STALE:
        imp_error_set(&error, IMP_E_STATION_STALE,
                      "the cloud has seen a later life of this station; this one launches no JOB any more");
        report_soon(cloud, now_us(cloud));
        set_state(cloud, IMP_CLOUD_STALE, FALSE, error);
        end_all_starts(cloud, IMP_E_STATION_STALE, error->message);
        break;
    }
}

void imp_authority_cloud_answer(ImpAuthority *authority, guint64 ticket, GBytes *response,
                                const GError *error)
{
    Cloud *cloud = cloud_of(authority);
    gboolean current = cloud->in_flight && ticket == cloud->ticket;
    if (response == NULL) {
        if (current)
            failed(cloud, g_error_copy(error));
        cloud->wake(cloud->user);
        return;
    }
    gsize n_bytes = 0;
    const char *text = g_bytes_get_data(response, &n_bytes);
    GError *own = NULL;
    g_autoptr(ImpSyncResponse) decoded = imp_sync_response_decode(text, n_bytes, &own);
    if (decoded == NULL) {
        g_prefix_error(&own, "the cloud's answer: ");
        if (current)
            failed(cloud, own);
        else
            g_error_free(own);
        cloud->wake(cloud->user);
        return;
    }
    if (current) {
        cloud->in_flight = FALSE;
        cloud->failures = 0;
        cloud->retry_us = 0;
        cloud->view.answered_real_us = imp_clock_real_us(cloud->clock);
        take_epoch(cloud, decoded);
        take_welcome(cloud, decoded);
        if (decoded->has_open)
            take_open(cloud, decoded);
    }
    /* Answers count whenever they come: each says for itself what it is the answer to. */
    take_answers(cloud, decoded);
    cloud->wake(cloud->user);
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

const ImpCloudView *imp_authority_cloud_view(ImpAuthority *authority)
{
    Cloud *cloud = cloud_of(authority);
    g_autoptr(GError) error = NULL;
    guint64 waiting = 0;
    if (!imp_journal_count_unreported(cloud->ledger, &waiting, &error))
        g_warning("reports could not be counted: %s", error->message);
    cloud->view.reports_waiting = waiting + cloud->lost->len;
    return &cloud->view;
}

static const ImpAuthorityOps cloud_ops = {
    .start = authority_start,
    .identify = authority_identify,
    .writing = authority_writing,
    .compare = authority_compare,
    .end = authority_end,
};

ImpAuthority *imp_authority_cloud_new(const ImpAuthorityCloudOptions *options)
{
    Cloud *cloud = g_new0(Cloud, 1);
    cloud->base.ops = &cloud_ops;
    cloud->ledger = options->ledger;
    cloud->life = options->life;
    cloud->clock = options->clock;
    cloud->transport = options->transport;
    cloud->wake = options->wake;
    cloud->changed = options->changed;
    cloud->point = options->point;
    cloud->user = options->user;
    cloud->starts = g_ptr_array_new_with_free_func(g_free);
    cloud->tells = g_ptr_array_new();
    cloud->lost = g_array_new(FALSE, FALSE, sizeof(ImpReport));
    cloud->report_due_us = G_MAXINT64;
    cloud->list_due_us = G_MAXINT64;
    cloud->view.state = IMP_CLOUD_GREETING;
    return &cloud->base;
}

void imp_authority_cloud_free(ImpAuthority *authority)
{
    if (authority == NULL)
        return;
    Cloud *cloud = cloud_of(authority);
    while (cloud->starts->len > 0) {
        /* Nothing is journaled here: what the cloud may have granted is reported lost by the next life. */
        GError *error = NULL;
        imp_error_set(&error, IMP_E_CANCELLED, "the station is stopping");
        refuse(cloud, g_ptr_array_index(cloud->starts, 0), NULL, error);
    }
    end_all_tells(cloud, IMP_E_CANCELLED, "the station is stopping");
    g_ptr_array_unref(cloud->tells);
    g_ptr_array_unref(cloud->starts);
    g_array_unref(cloud->lost);
    g_clear_error(&cloud->error);
    g_free(cloud);
}
