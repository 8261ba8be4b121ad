#include "image/secret.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

ImpSecret *imp_secret_new(gsize n_bytes)
{
    gsize page = (gsize)sysconf(_SC_PAGESIZE);
    if (n_bytes > G_MAXSIZE - page)
        return NULL;
    gsize mapped_bytes = (MAX(n_bytes, 1) + page - 1) / page * page;
    void *bytes = mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return NULL;
    /* Both are best effort: an ordinary user may lock little, and a desk without swap needs it not. */
    (void)mlock(bytes, mapped_bytes);
    (void)madvise(bytes, mapped_bytes, MADV_DONTDUMP);
    ImpSecret *secret = g_new(ImpSecret, 1);
    *secret = (ImpSecret){.bytes = bytes, .n_bytes = n_bytes, .mapped_bytes = mapped_bytes};
    return secret;
}

void imp_secret_free(ImpSecret *secret)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret->bytes, secret->mapped_bytes);
    munmap(secret->bytes, secret->mapped_bytes);
    g_free(secret);
}

static void free_secret(gpointer secret)
{
    imp_secret_free(secret);
}

GBytes *imp_secret_to_bytes(ImpSecret *secret)
{
    return g_bytes_new_with_free_func(secret->bytes, secret->n_bytes, free_secret, secret);
}

void imp_secret_protect_process(void)
{
    struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* the leak check attaches to its own process, which this forbids to all but root */
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
    struct rlimit lock;
    /* With a finite limit, locking all would make later allocations fail; then only the secrets' own pages are locked. */
    if (getrlimit(RLIMIT_MEMLOCK, &lock) == 0 && lock.rlim_cur == RLIM_INFINITY)
        (void)mlockall(MCL_CURRENT | MCL_FUTURE);
}
