#include "base/env.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/timex.h>
#include <time.h>

static gint64 read_clock_us(clockid_t id)
{
    struct timespec now;
    g_assert(clock_gettime(id, &now) == 0);
    return (gint64)now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

static gint64 system_boot_us(void *self)
{
    return read_clock_us(CLOCK_BOOTTIME);
}

static gint64 system_real_us(void *self)
{
    return read_clock_us(CLOCK_REALTIME);
}

static gboolean system_synchronised(void *self)
{
    struct timex state = {0};
    return adjtimex(&state) != TIME_ERROR;
}

static void system_sleep_us(void *self, gint64 duration_us)
{
    if (duration_us > 0)
        g_usleep((gulong)duration_us);
}

static void system_fill(void *self, void *buf, gsize n_bytes)
{
    guint8 *to = buf;
    while (n_bytes > 0) {
        ssize_t got = getrandom(to, n_bytes, 0);
        if (got < 0) {
            g_assert(errno == EINTR); /* without flags nothing else can happen: getrandom(2) */
            continue;
        }
        to += got;
        n_bytes -= (gsize)got;
    }
}

const ImpClock *imp_clock_system(void)
{
    static const ImpClock clock = {system_boot_us, system_real_us, system_synchronised, system_sleep_us,
                                   NULL};
    return &clock;
}

const ImpRandom *imp_random_system(void)
{
    static const ImpRandom source = {system_fill, NULL};
    return &source;
}
