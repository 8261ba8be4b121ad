/* The cloud behind sync passes the authority's contract: the station's authority of JOBs, a cloud's ledger, and a network that
 * delivers everything (unit/station/world.h). */
#include "authority.h"
#include "world.h"

typedef struct {
    Subject base;
    World *world;
} Remote;

/* What is decided by then is decided; reports travel within it, and so does the list of open launches after a start. */
#define WAIT_US (3 * (gint64)G_USEC_PER_SEC)

static void wait(Subject *s)
{
    world_run(((Remote *)s)->world, WAIT_US);
}

static void set_paused(Subject *s, gboolean is_paused)
{
    world_set_paused(((Remote *)s)->world, is_paused);
}

static void counts(Subject *s, guint64 *out_open, guint64 *out_passed, guint64 *out_unknown,
                   guint64 *out_failures)
{
    ImpLedgerImageStatus status = world_counts(((Remote *)s)->world);
    *out_open = status.open;
    *out_passed = status.passed;
    *out_unknown = status.unknown;
    *out_failures = status.unknown + status.spent;
}

static void restart(Subject *s)
{
    Remote *self = (Remote *)s;
    world_restart(self->world);
    s->authority = self->world->authority;
    wait(s);
}

static void remote_free(Subject *s)
{
    Remote *self = (Remote *)s;
    world_check(self->world);
    world_free(self->world);
    g_free(self);
}

static Subject *remote_new(guint64 units)
{
    Remote *self = g_new0(Remote, 1);
    self->world = world_new(1, units);
    self->base.authority = self->world->authority;
    self->base.image = self->world->image;
    self->base.keep = self->world->keep;
    self->base.refuse = self->world->refuse;
    self->base.clock = &self->world->clock;
    self->base.random = &self->world->random;
    self->base.wait = wait;
    self->base.set_paused = set_paused;
    self->base.counts = counts;
    self->base.restart = restart;
    self->base.free = remote_free;
    return &self->base;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    authority_contract_add("cloud", remote_new);
    return g_test_run();
}
