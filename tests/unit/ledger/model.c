/* A random model of one cloud and three stations around the real ledgers, journals and codec: what a station does by
 * docs/ledger.md's table, in a few lines, over a network that loses, repeats and reorders, with processes that are killed
 * at any point and station disks that are put back to earlier points.
 *
 * After every step the cloud's whole ledger is checked, and the world, which sees what really happened to the units, holds
 * the rules against it:
 *   1  passed and perhaps passed units never exceed count and settled launches (worlds without restored disks)
 *   2  a number is written to the unit of one launch only, and to the same chip again where it is kept (all worlds); a chip that
 *      bears a number gets that one, where the image keeps values (worlds without restored disks)
 *   5  nothing begins later than five seconds after a pause was committed
 * At the end everything heals, and
 *   3  every launch that began has exactly one record, with the result that really came of it (worlds without restored
 *      disks); no permit is open any more (all worlds).
 *
 * Faults: requests and answers lost, repeated, late, out of order; stations killed and started again; the cloud killed
 * before a commit, and after it but before the answers; a station's database files replaced by an earlier copy. Not
 * modelled: torn writes below SQLite, clocks that jump, leases. */
#include "fixture.h"

#include <string.h>

#include "wire/codec.h"

#define N_STATIONS  3
#define N_IMAGES    2
#define N_COPIES    4
#define SENT_MAX    4096
#define NUMBERS_MAX 4096
#define N_POOLS     2
#define N_CHIPS     5
#define STEPS       400
#define RUNS        24
#define USABLE_US   (5 * G_USEC_PER_SEC)

/* ---- the world ---- */

typedef enum {
    ASKED = 1,
    HELD,
    BEGUN,
    WRITING,
} Stage;

/* A launch in a station's memory. */
typedef struct {
    ImpWant want;
    Stage stage;
    gint64 fresh_until_us;
    ImpAnswer granted;
    guint chip; /* from BEGUN on */
    gboolean telling, told, refused; /* BEGUN, where the image keeps values */
} Work;

typedef struct {
    guint32 id;
    char *path, *copies[N_COPIES];
    guint n_copies;
    ImpLedger *ledger;
    ImpLife life;
    guint64 process; /* answers find only the process that asked */
    gboolean welcomed, stopped, tainted; /* tainted: its disk was put back */
    GArray *works; /* Work */
    GArray *lost; /* ImpReport, of the open list */
    guint64 next_ask;
    gint64 sent_us[SENT_MAX]; /* by ask */
} Station;

typedef struct {
    guint station;
    guint64 process;
    gboolean response;
    char *text;
} Message;

/* What really happened to the unit of a launch. */
typedef struct {
    ImpId launch;
    guint station, image;
    ImpResult result; /* 0 = at work */
    gboolean wrote;
    guint chip;
} Truth;

/* Who wrote a number to a unit. */
typedef struct {
    ImpId launch;
    guint chip;
} Writer;

typedef struct {
    World world;
    char *folder, *cloud_path;
    ImpLedger *cloud;
    Station stations[N_STATIONS];
    GPtrArray *network; /* Message */
    GArray *truths;
    Writer writer[N_POOLS][NUMBERS_MAX];
    guint64 borne[N_IMAGES]
                 [N_CHIPS]; /* the first pool's number that the chip bears of this image; 0 = none */
    gboolean keep[N_IMAGES], free_rework[N_IMAGES], counted[N_IMAGES][N_CHIPS];
    gint64 paused_us[N_IMAGES]; /* 0 = active */
    guint64 units[N_IMAGES], settled[N_IMAGES], good[N_IMAGES]; /* good: passed or perhaps so */
    gboolean restores, any_tainted;
    guint64 n_begun, n_passed, n_lost_messages, n_kills, n_blocked, n_kept;
} Model;

static guint64 rnd(Model *m, guint64 below)
{
    return world_random(&m->world, below);
}

static void message_free(gpointer message)
{
    g_free(((Message *)message)->text);
    g_free(message);
}

static void send(Model *m, guint station, guint64 process, gboolean response, char *text)
{
    Message *message = g_new(Message, 1);
    *message = (Message){station, process, response, text};
    g_ptr_array_add(m->network, message);
}

static Truth *truth_of(Model *m, const ImpId *launch)
{
    for (guint i = 0; i < m->truths->len; i++) {
        Truth *truth = &g_array_index(m->truths, Truth, i);
        if (imp_id_equal(&truth->launch, launch))
            return truth;
    }
    return NULL;
}

/* The unit is good, or perhaps so; where rework is free, a chip counts once. */
static void count_good(Model *m, const Truth *truth)
{
    if (m->free_rework[truth->image] && m->counted[truth->image][truth->chip])
        return;
    m->counted[truth->image][truth->chip] = TRUE;
    m->good[truth->image]++;
}

/* ---- a station ---- */

static void station_start(Model *m, Station *s)
{
    g_autoptr(GError) error = NULL;
    s->ledger = ledger_open(&m->world, s->path, IMP_LEDGER_STATION, IMP_LEDGER_FORGETFUL);
    g_assert_true(imp_journal_start(s->ledger, &s->life, &error));
    g_assert_no_error(error);
    s->process++;
    s->welcomed = s->stopped = FALSE;
}

/* Memory is gone; the unit under way is what it is. */
static void station_kill(Model *m, Station *s)
{
    for (guint i = 0; i < s->works->len; i++) {
        const Work *work = &g_array_index(s->works, Work, i);
        Truth *truth = truth_of(m, &work->want.launch);
        if (truth == NULL || truth->result != 0)
            continue;
        truth->result = truth->wrote ? IMP_RESULT_UNKNOWN : IMP_RESULT_LOST;
        if (truth->wrote)
            count_good(m, truth);
    }
    g_array_set_size(s->works, 0);
    g_array_set_size(s->lost, 0);
    imp_ledger_close(s->ledger);
    s->ledger = NULL;
    m->n_kills++;
}

static Work *work_of(Station *s, const ImpId *launch)
{
    for (guint i = 0; i < s->works->len; i++) {
        Work *work = &g_array_index(s->works, Work, i);
        if (imp_id_equal(&work->want.launch, launch))
            return work;
    }
    return NULL;
}

static void forget(Station *s, Work *work)
{
    g_array_remove_index_fast(s->works, (guint)(work - (Work *)(gpointer)s->works->data));
}

static void give_back(Station *s, Work *work)
{
    g_autoptr(GError) error = NULL;
    gboolean done =
        imp_journal_returned(s->ledger, &work->want, work->stage == HELD ? &work->granted : NULL, &error);
    g_assert_no_error(error);
    g_assert_true(done);
    forget(s, work);
}

static guint64 next_ask(Model *m, Station *s)
{
    guint64 ask = ++s->next_ask;
    g_assert_cmpuint(ask, <, SENT_MAX);
    s->sent_us[ask] = m->world.boot_us;
    return ask;
}

static void station_sync(Model *m, Station *s)
{
    g_autoptr(GError) error = NULL;
    ImpSyncRequest request = {.protocol = IMP_WIRE_PROTOCOL, .start_number = s->life.start_number};
    g_autoptr(GArray) reports = imp_journal_unreported(s->ledger, 3, &error);
    g_assert_no_error(error);
    if (!s->welcomed) {
        request.has_hello = TRUE;
        request.hello = (ImpHello){s->life.nonce, s->life.position};
        g_array_set_size(reports, rnd(m, 2) ? reports->len : 0);
    }
    g_array_append_vals(reports, s->lost->data, s->lost->len);
    request.want_open = s->welcomed && rnd(m, 4) == 0;
    request.n_reports = reports->len;
    request.reports = (ImpReport *)(gpointer)reports->data;
    g_autofree ImpWant *wants = g_new0(ImpWant, s->works->len + 1);
    g_autofree ImpRefresh *refreshes = g_new0(ImpRefresh, s->works->len + 1);
    g_autofree ImpIdentify *identifies = g_new0(ImpIdentify, s->works->len + 1);
    request.wants = wants;
    request.refreshes = refreshes;
    request.identifies = identifies;
    for (guint i = 0; i < s->works->len && s->welcomed; i++) {
        Work *work = &g_array_index(s->works, Work, i);
        if (work->stage == ASKED) {
            work->want.ask = next_ask(m, s);
            wants[request.n_wants++] = work->want;
        } else if (work->stage == HELD) {
            refreshes[request.n_refreshes++] = (ImpRefresh){work->want.launch, next_ask(m, s)};
        } else if (work->stage == BEGUN && work->telling && !work->told && !work->refused) {
            identifies[request.n_identifies++] = (ImpIdentify){.launch = work->want.launch,
                                                               .ask = next_ask(m, s),
                                                               .uid = {(guint8)(work->chip + 1)},
                                                               .n_uid = 1};
        }
    }
    char *text = imp_sync_request_encode(&request, &error);
    g_assert_no_error(error);
    send(m, (guint)(s - m->stations), s->process, FALSE, text);
}

static void take_list(Station *s, const ImpSyncResponse *response)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) open = g_array_new(FALSE, FALSE, sizeof(ImpId));
    for (guint32 i = 0; i < response->n_open; i++)
        if (work_of(s, &response->open[i]) == NULL)
            g_array_append_val(open, response->open[i]);
    g_autoptr(GArray) lost =
        imp_journal_reconcile(s->ledger, (const ImpId *)(gpointer)open->data, open->len, &error);
    g_assert_no_error(error);
    g_array_set_size(s->lost, 0);
    g_array_append_vals(s->lost, lost->data, lost->len);
}

/* What the cloud says of a chip; it is journaled before anything is written. */
static void take_told(Station *s, Work *work, const ImpAnswer *answer)
{
    g_autoptr(GError) error = NULL;
    if (answer->kind == IMP_ANSWER_REFUSED)
        work->refused = TRUE;
    if (answer->kind != IMP_ANSWER_IDENTIFIED)
        return; /* of its want, late */
    ImpIdentify told = {.launch = work->want.launch, .uid = {(guint8)(work->chip + 1)}, .n_uid = 1};
    g_assert_true(imp_journal_identified(s->ledger, &told, answer, &error));
    work->told = TRUE;
    work->granted.kept = answer->kept;
    work->granted.n_numbers = answer->n_numbers;
    memcpy(work->granted.numbers, answer->numbers, sizeof answer->numbers);
}

static void take_answer(Station *s, const ImpAnswer *answer)
{
    g_autoptr(GError) error = NULL;
    if (answer->ask == 0) { /* to a report */
        g_assert_true(imp_journal_confirmed(s->ledger, &answer->launch, 1, &error));
        return;
    }
    Work *work = work_of(s, &answer->launch);
    if (work != NULL && work->stage == BEGUN && work->telling && !work->told) {
        take_told(s, work, answer);
        return;
    }
    if (work == NULL || work->stage > HELD)
        return; /* late: in the journal, or not asked */
    gint64 fresh_until = s->sent_us[answer->ask] + USABLE_US;
    switch (answer->kind) {
    case IMP_ANSWER_GRANTED:
        if (work->stage == ASKED) {
            work->stage = HELD;
            work->granted = *answer;
        }
        work->fresh_until_us = MAX(work->fresh_until_us, fresh_until);
        break;
    case IMP_ANSWER_FRESH:
        work->fresh_until_us = MAX(work->fresh_until_us, fresh_until);
        break;
    case IMP_ANSWER_WITHDRAWN:
        give_back(s, work);
        break;
    case IMP_ANSWER_REFUSED:
        if (work->stage == ASKED)
            forget(s, work); /* if a repeated request is granted later, the open list will say so */
        break;
    case IMP_ANSWER_ENDED:
        g_assert_not_reached(); /* it would have to be in the journal */
    case IMP_ANSWER_CONFIRMED:
    case IMP_ANSWER_CONFLICT:
    case IMP_ANSWER_IDENTIFIED:
        break;
    }
}

static void station_take(Model *m, Station *s, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ImpSyncResponse) response = imp_sync_response_decode(text, strlen(text), &error);
    g_assert_no_error(error);
    g_assert_true(imp_journal_epoch(s->ledger, &response->epoch, NULL, &error));
    if (response->welcome == IMP_WELCOME_YES)
        s->welcomed = TRUE;
    if (response->welcome == IMP_WELCOME_BLOCKED || response->welcome == IMP_WELCOME_STALE)
        s->stopped = TRUE;
    for (guint32 i = 0; i < response->n_answers; i++)
        take_answer(s, &response->answers[i]);
    if (response->has_open)
        take_list(s, response);
}

/* A chip that lies at no port, most times one that this image was on; N_CHIPS: none does. */
static guint take_chip(Model *m, guint image)
{
    gboolean taken[N_CHIPS] = {FALSE};
    for (guint i = 0; i < N_STATIONS; i++)
        for (guint k = 0; k < m->stations[i].works->len; k++) {
            const Work *work = &g_array_index(m->stations[i].works, Work, k);
            if (work->stage >= BEGUN)
                taken[work->chip] = TRUE;
        }
    guint first = (guint)rnd(m, N_CHIPS);
    for (guint i = 0; i < N_CHIPS && rnd(m, 4); i++)
        if (!taken[(first + i) % N_CHIPS] && m->borne[image][(first + i) % N_CHIPS] != 0)
            return (first + i) % N_CHIPS;
    for (guint i = 0; i < N_CHIPS; i++)
        if (!taken[(first + i) % N_CHIPS])
            return (first + i) % N_CHIPS;
    return N_CHIPS;
}

/* START of a held permit. */
static void begin(Model *m, Station *s, Work *work)
{
    guint image = work->want.image.bytes[IMP_ID_BYTES - 1] - 1u;
    guint chip = take_chip(m, image);
    if (m->world.boot_us > work->fresh_until_us || chip == N_CHIPS)
        return;
    if (m->paused_us[image] != 0)
        g_assert_cmpint(m->world.real_us, <=, m->paused_us[image] + USABLE_US); /* rule 5 */
    g_autoptr(GError) error = NULL;
    g_assert_true(imp_journal_begun(s->ledger, &work->want, &work->granted, &error));
    work->stage = BEGUN;
    work->chip = chip;
    g_assert_cmpint(work->granted.identify, ==, m->keep[image] || m->free_rework[image]);
    Truth truth = {
        .launch = work->want.launch, .station = (guint)(s - m->stations), .image = image, .chip = chip};
    g_array_append_val(m->truths, truth);
    m->n_begun++;
}

static void write_number(Model *m, const Work *work, guint pool, guint64 number)
{
    g_assert_cmpuint(number, <, NUMBERS_MAX);
    Writer *writer = &m->writer[pool][number];
    if (!imp_id_is_zero(&writer->launch)) { /* rule 2 */
        g_assert_true(work->granted.kept);
        g_assert_cmpuint(writer->chip, ==, work->chip);
    }
    *writer = (Writer){work->want.launch, work->chip};
}

static void write_unit(Model *m, Station *s, Work *work)
{
    g_autoptr(GError) error = NULL;
    Truth *truth = truth_of(m, &work->want.launch);
    g_assert_true(imp_journal_writing(s->ledger, &work->want.launch, &error));
    work->stage = WRITING;
    truth->wrote = TRUE;
    g_assert_cmpuint(work->granted.n_numbers, ==, m->keep[truth->image] ? N_POOLS : 1);
    for (guint32 i = 0; i < work->granted.n_numbers; i++)
        write_number(m, work, i, work->granted.numbers[i].number);
    guint64 *borne = &m->borne[truth->image][work->chip];
    if (m->keep[truth->image] && *borne != 0 && !m->any_tainted)
        g_assert_cmpuint(work->granted.numbers[0].number, ==, *borne);
    *borne = work->granted.numbers[0].number;
    m->n_kept += work->granted.kept;
}

static void end(Model *m, Station *s, Work *work)
{
    g_autoptr(GError) error = NULL;
    Truth *truth = truth_of(m, &work->want.launch);
    ImpReport report = {
        .launch = work->want.launch, .result = IMP_RESULT_FAILED, .code = IMP_E_FLASH_MISMATCH};
    report.uid[0] = (guint8)(work->chip + 1);
    report.n_uid = 1;
    if (work->stage == WRITING)
        report.result = rnd(m, 4) ? IMP_RESULT_PASSED : IMP_RESULT_SPENT;
    if (report.result == IMP_RESULT_PASSED)
        report.code = 0;
    g_assert_true(imp_journal_ended(s->ledger, &report, &error));
    truth->result = report.result;
    if (report.result == IMP_RESULT_PASSED)
        count_good(m, truth);
    m->n_passed += report.result == IMP_RESULT_PASSED;
    forget(s, work);
}

static void station_work(Model *m, Station *s)
{
    if (s->works->len == 0)
        return;
    Work *work = &g_array_index(s->works, Work, rnd(m, s->works->len));
    gboolean leave = rnd(m, 8) == 0;
    if (work->stage <= HELD && leave)
        give_back(s, work);
    else if (work->stage == HELD)
        begin(m, s, work);
    else if (work->stage == BEGUN && !leave && !work->refused && work->granted.identify && !work->told)
        work->telling = TRUE;
    else if (work->stage == BEGUN && !leave && !work->refused)
        write_unit(m, s, work);
    else if (work->stage >= BEGUN)
        end(m, s, work);
}

static void station_want(Model *m, Station *s)
{
    if (s->works->len >= 4 || s->stopped)
        return;
    Work work = {.stage = ASKED};
    work.want.launch = imp_id_ordered(&m->world.clock, &m->world.random);
    work.want.image = id_of(1 + (guint32)rnd(m, N_IMAGES));
    g_strlcpy(work.want.port, "A1", sizeof work.want.port);
    g_array_append_val(s->works, work);
}

static void station_copy(Model *m, Station *s)
{
    guint at = s->n_copies < N_COPIES ? s->n_copies++ : (guint)rnd(m, N_COPIES);
    ledger_copy(s->path, s->copies[at]);
}

static void station_restore(Model *m, Station *s)
{
    if (s->n_copies == 0)
        return;
    station_kill(m, s);
    ledger_copy(s->copies[rnd(m, s->n_copies)], s->path);
    s->tainted = m->any_tainted = TRUE;
    station_start(m, s);
}

/* ---- the cloud ---- */

static void cloud_open(Model *m)
{
    m->cloud = ledger_open(&m->world, m->cloud_path, IMP_LEDGER_CLOUD, IMP_LEDGER_FORGETFUL);
}

/* Carries out some requests in one transaction, and is perhaps killed before the commit, or before the answers. */
static void cloud_take(Model *m, GPtrArray *requests, gboolean may_die)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) responses = g_ptr_array_new_with_free_func((GDestroyNotify)imp_sync_response_free);
    g_assert_true(imp_ledger_begin(m->cloud, &error));
    for (guint i = 0; i < requests->len; i++) {
        const Message *message = g_ptr_array_index(requests, i);
        g_autoptr(ImpSyncRequest) request =
            imp_sync_request_decode(message->text, strlen(message->text), &error);
        g_assert_no_error(error);
        g_ptr_array_add(responses, say(m->cloud, m->stations[message->station].id, request));
    }
    guint64 fate = may_die ? rnd(m, 12) : 12;
    if (fate == 0)
        imp_ledger_rollback(m->cloud);
    else
        g_assert_true(imp_ledger_commit(m->cloud, &error));
    if (fate <= 1) {
        imp_ledger_close(m->cloud);
        cloud_open(m);
        return;
    }
    for (guint i = 0; i < requests->len; i++) {
        const Message *message = g_ptr_array_index(requests, i);
        char *text = imp_sync_response_encode(g_ptr_array_index(responses, i), &error);
        g_assert_no_error(error);
        send(m, message->station, message->process, TRUE, text);
    }
}

static void owner_acts(Model *m)
{
    g_autoptr(GError) error = NULL;
    guint image = (guint)rnd(m, N_IMAGES);
    switch (rnd(m, 6)) {
    case 0:
    case 4:
    case 5:
        image_state(m->cloud, image + 1, m->paused_us[image] != 0 ? IMP_LEDGER_ACTIVE : IMP_LEDGER_PAUSED);
        m->paused_us[image] = m->paused_us[image] != 0 ? 0 : m->world.real_us;
        break;
    case 1: {
        g_autoptr(GArray) open = imp_ledger_open_launches(m->cloud, NULL, &error);
        if (open->len == 0)
            break;
        const ImpLedgerOpen *launch = &g_array_index(open, ImpLedgerOpen, rnd(m, open->len));
        if (imp_ledger_settle(m->cloud, &launch->station, &launch->launch, &owner, &error))
            m->settled[launch->image.bytes[IMP_ID_BYTES - 1] - 1u]++;
        break;
    }
    case 2: {
        ImpLedgerPoolStatus pool;
        g_assert_true(imp_ledger_pool_get(m->cloud, "", "sn", &pool, &error));
        g_assert_true(imp_ledger_pool_set_next(m->cloud, "", "sn", pool.next + rnd(m, 3), &owner, &error));
        break;
    }
    default: {
        Station *s = &m->stations[rnd(m, N_STATIONS)];
        ImpId id = id_of(s->id);
        if (station_get(m->cloud, s->id).blocked) {
            m->n_blocked++;
            g_assert_true(imp_ledger_station_admit(m->cloud, &id, &owner, &error));
            s->stopped = s->welcomed = FALSE;
        }
    }
    }
}

/* ---- steps ---- */

static void deliver(Model *m, gboolean may_die)
{
    if (m->network->len == 0)
        return;
    g_autoptr(GPtrArray) batch = g_ptr_array_new_with_free_func(message_free);
    Message *first = g_ptr_array_steal_index(m->network, (guint)rnd(m, m->network->len));
    g_ptr_array_add(batch, first);
    if (first->response) {
        Station *s = &m->stations[first->station];
        if (s->process == first->process)
            station_take(m, s, first->text);
        return;
    }
    for (guint i = 0; i < m->network->len && batch->len < 4;)
        if (!((Message *)g_ptr_array_index(m->network, i))->response && rnd(m, 2))
            g_ptr_array_add(batch, g_ptr_array_steal_index(m->network, i));
        else
            i++;
    cloud_take(m, batch, may_die);
}

static void disturb(Model *m)
{
    if (m->network->len == 0)
        return;
    guint at = (guint)rnd(m, m->network->len);
    const Message *message = g_ptr_array_index(m->network, at);
    /* An answer belongs to one exchange: it may be lost, but not repeated; the request may be both. */
    if (!message->response && rnd(m, 2)) {
        send(m, message->station, message->process, FALSE, g_strdup(message->text));
    } else {
        g_ptr_array_remove_index(m->network, at);
        m->n_lost_messages++;
    }
}

static void step(Model *m)
{
    Station *s = &m->stations[rnd(m, N_STATIONS)];
    /* A burst of work moves the world on, the rest disturbs it. */
    guint64 choice = rnd(m, 1000);
    if (choice < 120)
        station_want(m, s);
    else if (choice < 300)
        station_sync(m, s);
    else if (choice < 640)
        deliver(m, TRUE);
    else if (choice < 670)
        disturb(m);
    else if (choice < 920)
        station_work(m, s);
    else if (choice < 950)
        world_pass(&m->world, (gint64)rnd(m, rnd(m, 3) ? 1000000 : rnd(m, 4) ? 8000000 : 90000000));
    else if (choice < 970)
        owner_acts(m);
    else if (choice < 980) {
        station_kill(m, s);
        station_start(m, s);
    } else if (m->restores && choice < 984) {
        station_restore(m, s);
    } else if (m->restores) {
        station_copy(m, s);
    }
}

static void check(Model *m)
{
    ledger_check(m->cloud);
    for (guint i = 0; i < N_IMAGES && !m->any_tainted; i++)
        g_assert_cmpuint(m->good[i], <=, m->units[i] + m->settled[i]); /* rule 1 */
}

/* ---- healing ---- */

static void heal_station(Model *m, Station *s)
{
    g_autoptr(GError) error = NULL;
    ImpId id = id_of(s->id);
    if (station_get(m->cloud, s->id).blocked)
        g_assert_true(imp_ledger_station_admit(m->cloud, &id, &owner, &error));
    while (s->works->len > 0) {
        Work *work = &g_array_index(s->works, Work, 0);
        if (work->stage <= HELD)
            give_back(s, work);
        else
            end(m, s, work);
    }
    station_kill(m, s);
    station_start(m, s);
    /* A restored disk may count its starts from far behind: it is started until it is known as the newest. */
    for (int i = 0; i < 200; i++) {
        guint64 unreported;
        g_assert_true(imp_journal_count_unreported(s->ledger, &unreported, &error));
        g_autoptr(GArray) open = imp_ledger_open_launches(m->cloud, NULL, &error);
        guint own_open = 0;
        for (guint k = 0; k < open->len; k++)
            own_open += imp_id_equal(&g_array_index(open, ImpLedgerOpen, k).station, &id);
        if (s->welcomed && unreported == 0 && own_open == 0)
            return;
        if (s->stopped && station_get(m->cloud, s->id).blocked) {
            g_assert_true(imp_ledger_station_admit(m->cloud, &id, &owner, &error));
        } else if (s->stopped) {
            station_kill(m, s);
            station_start(m, s);
        }
        s->stopped = s->welcomed = FALSE;
        station_sync(m, s);
        while (m->network->len > 0)
            deliver(m, FALSE);
    }
    g_assert_not_reached();
}

static void check_truths(Model *m)
{
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < m->truths->len; i++) {
        const Truth *truth = &g_array_index(m->truths, Truth, i);
        if (m->stations[truth->station].tainted)
            continue;
        ImpLedgerLogQuery query = {.has_launch = TRUE, .launch = truth->launch, .limit = 5};
        g_autoptr(GArray) log = imp_ledger_log(m->cloud, &query, &error);
        g_assert_cmpuint(log->len, ==, 1);
        g_assert_cmpint(g_array_index(log, ImpLedgerLogEntry, 0).report.result, ==, truth->result);
    }
}

static void heal(Model *m)
{
    g_ptr_array_set_size(m->network, 0);
    for (guint i = 0; i < N_STATIONS; i++)
        heal_station(m, &m->stations[i]);
    check(m);
    check_truths(m);
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) open = imp_ledger_open_launches(m->cloud, NULL, &error);
    g_assert_cmpuint(open->len, ==, 0);
    for (guint i = 0; i < N_STATIONS; i++)
        ledger_check(m->stations[i].ledger);
}

/* ---- a run ---- */

static void model_init(Model *m, guint64 seed)
{
    world_init(&m->world, seed);
    m->restores = seed % 2 == 0;
    m->folder = folder_make();
    m->cloud_path = g_build_filename(m->folder, "cloud", NULL);
    m->network = g_ptr_array_new_with_free_func(message_free);
    m->truths = g_array_new(FALSE, TRUE, sizeof(Truth));
    cloud_open(m);
    gboolean reuse = rnd(m, 4) != 0;
    for (guint i = 0; i < N_IMAGES; i++) {
        m->units[i] = 2 + rnd(m, i == 1 ? 12 : 6);
        m->keep[i] = i == 1; /* of two pools, the first of them shared */
        m->free_rework[i] = m->keep[i] && rnd(m, 2);
        image_must_add(m->cloud,
                       &(ImageRow){.id = i + 1,
                                   .rework = m->keep[i] ? IMP_LEDGER_REWORK_KEEP : IMP_LEDGER_REWORK_NEW,
                                   .free_rework = m->free_rework[i],
                                   .pool_2 = m->keep[i] ? POOL_DECIMAL("mac", 1, 4000, "true") : NULL,
                                   .units = (gint64)m->units[i],
                                   .max_failures = rnd(m, 4) ? -1 : 3,
                                   .pool = reuse ? POOL_DECIMAL("sn", 1, 4000, "true")
                                                 : POOL_DECIMAL("sn", 1, 4000, "false")});
    }
    for (guint i = 0; i < N_STATIONS; i++) {
        Station *s = &m->stations[i];
        s->id = 70 + i;
        s->path = g_strdup_printf("%s/station-%u", m->folder, i);
        for (guint k = 0; k < N_COPIES; k++)
            s->copies[k] = g_strdup_printf("%s/copy-%u-%u", m->folder, i, k);
        s->works = g_array_new(FALSE, TRUE, sizeof(Work));
        s->lost = g_array_new(FALSE, TRUE, sizeof(ImpReport));
        station_add(m->cloud, s->id, "");
        station_start(m, s);
    }
}

static void model_done(Model *m)
{
    imp_ledger_close(m->cloud);
    for (guint i = 0; i < N_STATIONS; i++) {
        Station *s = &m->stations[i];
        imp_ledger_close(s->ledger);
        g_free(s->path);
        for (guint k = 0; k < N_COPIES; k++)
            g_free(s->copies[k]);
        g_array_unref(s->works);
        g_array_unref(s->lost);
    }
    g_ptr_array_unref(m->network);
    g_array_unref(m->truths);
    g_free(m->cloud_path);
    folder_remove(m->folder);
}

static void test_model(void)
{
    /* IMP_MODEL_SEED runs one world again, IMP_MODEL_RUNS as many as one likes. */
    const char *one = g_getenv("IMP_MODEL_SEED"), *many = g_getenv("IMP_MODEL_RUNS");
    guint64 n_runs = one != NULL ? 1 : many != NULL ? g_ascii_strtoull(many, NULL, 10) : RUNS;
    guint64 begun = 0, passed = 0, kills = 0, losses = 0, blocked = 0, kept = 0;
    for (guint64 run = 0; run < n_runs; run++) {
        guint64 seed = one != NULL ? g_ascii_strtoull(one, NULL, 10) : (guint32)g_test_rand_int();
        g_printerr("# IMP_MODEL_SEED=%" G_GUINT64_FORMAT "\n", seed);
        Model *m = g_new0(Model, 1);
        model_init(m, seed);
        for (int i = 0; i < STEPS; i++) {
            step(m);
            check(m);
        }
        heal(m);
        begun += m->n_begun;
        passed += m->n_passed;
        kills += m->n_kills;
        losses += m->n_lost_messages;
        blocked += m->n_blocked;
        kept += m->n_kept;
        model_done(m);
        g_free(m);
    }
    g_printerr("# launches begun %" G_GUINT64_FORMAT ", passed %" G_GUINT64_FORMAT
               ", kills %" G_GUINT64_FORMAT ", messages lost %" G_GUINT64_FORMAT
               ", stations blocked %" G_GUINT64_FORMAT ", numbers kept %" G_GUINT64_FORMAT "\n",
               begun, passed, kills, losses, blocked, kept);
    /* A model in which nothing happens finds nothing. */
    if (one == NULL) {
        g_assert_cmpuint(begun, >, 4 * n_runs);
        g_assert_cmpuint(passed, >, n_runs);
        g_assert_cmpuint(losses, >, n_runs);
        g_assert_true(n_runs < RUNS || kept > 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ledger/model", test_model);
    return g_test_run();
}
