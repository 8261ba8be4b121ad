/* The outside world as parameters: clocks and randomness. Ledger, station core, launch, engine and the cloud's handlers
 * get these from their main.c; tests and the simulation hand in their own, so that one seed decides everything.
 *
 * Life cycle: plain structs of functions and a self pointer; whoever made them keeps them alive longer than their users.
 * Thread rule: the system implementations may be called from any thread. */
#pragma once

#include <glib.h>

typedef struct {
    /* Microseconds since the machine started, time asleep included (CLOCK_BOOTTIME): never goes back. */
    gint64 (*boot_us)(void *self);
    /* Microseconds since 1970-01-01 UTC (CLOCK_REALTIME): may jump. */
    gint64 (*real_us)(void *self);
    /* TRUE if the real-time clock is synchronised with a time source (adjtimex). */
    gboolean (*synchronised)(void *self);
    /* Returns after at least this time; a simulated clock moves on instead. */
    void (*sleep_us)(void *self, gint64 duration_us);
    void *self;
} ImpClock;

typedef struct {
    /* Fills buf with bytes that nobody can guess (the simulation: with bytes of its seed). Cannot fail. */
    void (*fill)(void *self, void *buf, gsize n_bytes);
    void *self;
} ImpRandom;

/* The machine's own clocks and getrandom(). Constant. */
const ImpClock *imp_clock_system(void);
const ImpRandom *imp_random_system(void);

static inline gint64 imp_clock_boot_us(const ImpClock *clock)
{
    return clock->boot_us(clock->self);
}
static inline gint64 imp_clock_real_us(const ImpClock *clock)
{
    return clock->real_us(clock->self);
}
static inline void imp_clock_sleep_us(const ImpClock *clock, gint64 duration_us)
{
    clock->sleep_us(clock->self, duration_us);
}
static inline void imp_random_fill(const ImpRandom *random, void *buf, gsize n_bytes)
{
    random->fill(random->self, buf, n_bytes);
}
