/* Memory for keys and plaintext: own pages, locked against swap where the system allows it (RLIMIT_MEMLOCK), left out of
 * core dumps, wiped when freed.
 *
 * Ownership: one owner, or handed over to a GBytes, which wipes when its last reference goes.
 * Thread rule: as any plain memory. */
#pragma once

#include <glib.h>

typedef struct {
    guint8 *bytes;
    gsize n_bytes;
    gsize mapped_bytes; /* whole pages */
} ImpSecret;

/* n_bytes of zeroes; NULL if the system has no memory (the only reason). */
ImpSecret *imp_secret_new(gsize n_bytes) G_GNUC_WARN_UNUSED_RESULT;

/* Wipes. NULL is allowed. */
void imp_secret_free(ImpSecret *secret);

/* Takes over secret: its bytes as GBytes. */
GBytes *imp_secret_to_bytes(ImpSecret *secret) G_GNUC_WARN_UNUSED_RESULT;

/* For main.c of a program that holds keys: no core dumps, no ptrace by others of the same user, and, where the limit
 * allows it, all memory locked. Best effort: the machine's owner decides. */
void imp_secret_protect_process(void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpSecret, imp_secret_free)
