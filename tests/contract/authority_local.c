/* The station's own ledger passes the authority's contract. */
#include "authority.h"
#include "fixture.h"

typedef struct {
    Subject base;
    World world;
    char *folder, *path;
    ImpLedger *ledger;
} Local;

static void open_life(Local *self)
{
    self->ledger = ledger_open(&self->world, self->path, IMP_LEDGER_STATION, IMP_LEDGER_FORGETFUL);
    ImpLife life;
    g_autoptr(GError) error = NULL;
    g_assert_true(imp_journal_start(self->ledger, &life, &error));
    self->base.authority = imp_authority_local_new(self->ledger);
}

static void close_life(Local *self)
{
    ledger_check(self->ledger);
    imp_authority_local_free(self->base.authority);
    imp_ledger_close(self->ledger);
}

static void wait(Subject *s)
{
    /* It answers before start returns. */
}

static void set_paused(Subject *s, gboolean is_paused)
{
    image_state(((Local *)s)->ledger, 1, is_paused ? IMP_LEDGER_PAUSED : IMP_LEDGER_ACTIVE);
}

static void counts(Subject *s, guint64 *out_open, guint64 *out_passed, guint64 *out_unknown,
                   guint64 *out_failures)
{
    ImpLedgerImageStatus status = image_get(((Local *)s)->ledger, 1);
    *out_open = status.open;
    *out_passed = status.passed;
    *out_unknown = status.unknown;
    *out_failures = status.unknown + status.spent;
}

static void restart(Subject *s)
{
    close_life((Local *)s);
    open_life((Local *)s);
}

static void local_free(Subject *s)
{
    Local *self = (Local *)s;
    close_life(self);
    folder_remove(self->folder);
    g_free(self->path);
    g_free(self);
}

static Subject *local_new(guint64 units)
{
    Local *self = g_new0(Local, 1);
    world_init(&self->world, 1);
    self->folder = folder_make();
    self->path = g_build_filename(self->folder, "ledger.db", NULL);
    open_life(self);
    image_must_add(self->ledger,
                   &(ImageRow){.id = 1, .units = (gint64)units, .pool = POOL_DECIMAL("sn", 1, 999, "true")});
    image_must_add(self->ledger, &(ImageRow){.id = 2,
                                             .units = (gint64)units,
                                             .pool = POOL_DECIMAL("sn", 1, 999, "true"),
                                             .rework = IMP_LEDGER_REWORK_KEEP});
    image_must_add(self->ledger, &(ImageRow){.id = 3,
                                             .units = (gint64)units,
                                             .pool = POOL_DECIMAL("sn", 1, 999, "true"),
                                             .rework = IMP_LEDGER_REWORK_REFUSE});
    self->base.image = id_of(1);
    self->base.keep = id_of(2);
    self->base.refuse = id_of(3);
    self->base.clock = &self->world.clock;
    self->base.random = &self->world.random;
    self->base.wait = wait;
    self->base.set_paused = set_paused;
    self->base.counts = counts;
    self->base.restart = restart;
    self->base.free = local_free;
    return &self->base;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    authority_contract_add("local", local_new);
    return g_test_run();
}
