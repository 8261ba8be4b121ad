#include "ledger/local.h"

#include <string.h>

#include "ledger/core.h"

typedef struct {
    ImpAuthority base;
    ImpLedger *ledger;
    guint64 ask;
    gboolean desk;
} Local;

static gboolean clock_ok(const Local *self, const ImpId *id, GError **error)
{
    ImpLedger *ledger = self->ledger;
    ImpLedgerImageStatus image;
    gboolean dated =
        core_image_read(ledger, id, &image) && (image.limits.has_not_before || image.limits.has_not_after ||
                                                (!self->desk && core_image_has_date(ledger, id)));
    if (!dated || core_clock_trusted(ledger))
        return TRUE;
    imp_error_set(
        error, IMP_E_CLOCK_UNTRUSTED,
        "the image %s has dates or writes them, and this station's clock is not synchronised or was set back",
        image.name);
    return FALSE;
}

/* Permit and BEGUN, inside one transaction. Gives why not, or NULL if it has begun; what it has written is to be kept in
 * both cases: a refusal may have raised an alarm. */
static GError *begin(Local *self, const ImpWant *want, ImpAnswer *answer)
{
    ImpLedger *ledger = self->ledger;
    g_assert(ledger->start_number > 0); /* imp_journal_start comes first */
    GError *refusal = NULL;
    if (!clock_ok(self, &want->image, &refusal))
        return refusal;
    ImpWant asked = *want;
    asked.ask = ++self->ask;
    CoreAsker station = core_self(ledger);
    gboolean is_new;
    core_permit(ledger, &station, &asked, CORE_BEGUN, answer, &is_new);
    if (answer->kind == IMP_ANSWER_GRANTED && is_new)
        core_touch_clock(ledger);
    else if (answer->kind == IMP_ANSWER_GRANTED)
        imp_error_set(&refusal, IMP_E_EXISTS, "this launch has begun already");
    else
        refusal = imp_ledger_refusal(answer);
    return refusal;
}

static void start(ImpAuthority *authority, const ImpWant *want, ImpStartFn done, gpointer user)
{
    Local *self = (Local *)authority;
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) refusal = NULL;
    g_autofree ImpAnswer *answer = g_new0(ImpAnswer, 1);
    if (core_enter(self->ledger, &error)) {
        refusal = begin(self, want, answer);
        if (!core_leave(self->ledger, TRUE, &error))
            g_clear_error(&refusal); /* what was decided is not kept */
    }
    const GError *why = error != NULL ? error : refusal;
    done(user, why == NULL, error == NULL && answer->kind != 0 ? answer : NULL, why);
}

static void identify(ImpAuthority *authority, const ImpId *launch, const guint8 *uid, gsize n_uid,
                     ImpIdentifyFn done, gpointer user)
{
    Local *self = (Local *)authority;
    g_autoptr(GError) error = NULL;
    g_autofree ImpAnswer *answer = g_new0(ImpAnswer, 1);
    ImpIdentify chip = {.launch = *launch, .n_uid = (guint8)n_uid};
    g_assert(n_uid >= 1 && n_uid <= sizeof chip.uid);
    memcpy(chip.uid, uid, n_uid);
    if (core_enter(self->ledger, &error)) {
        CoreAsker station = core_self(self->ledger);
        core_identify(self->ledger, &station, &chip, answer);
        /* A refusal is kept, too: it may have raised an alarm. */
        if (core_leave(self->ledger, TRUE, &error) && answer->kind != IMP_ANSWER_IDENTIFIED)
            error = imp_ledger_refusal(answer);
    }
    done(user, error == NULL ? answer : NULL, error);
}

static gboolean writing(ImpAuthority *authority, const ImpId *launch, GError **error)
{
    return imp_journal_writing(((Local *)authority)->ledger, launch, error);
}

static gboolean compare(ImpAuthority *authority, const ImpWant *want, GError **error)
{
    return imp_journal_comparing(((Local *)authority)->ledger, want, TRUE, error);
}

static gboolean end(ImpAuthority *authority, const ImpReport *report, GError **error)
{
    return imp_journal_ended(((Local *)authority)->ledger, report, error);
}

static const ImpAuthorityOps local_ops = {
    .start = start, .identify = identify, .writing = writing, .compare = compare, .end = end};

ImpAuthority *imp_authority_local_new(ImpLedger *ledger)
{
    Local *self = g_new0(Local, 1);
    self->base.ops = &local_ops;
    self->ledger = ledger;
    return &self->base;
}

void imp_authority_local_set_desk(ImpAuthority *authority)
{
    ((Local *)authority)->desk = TRUE;
}

void imp_authority_local_free(ImpAuthority *authority)
{
    g_free(authority);
}
