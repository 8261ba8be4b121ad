/* A bounded queue of pointers between two threads: the only thing that crosses threads in a station.
 *
 * The consumer may block in pop, or watch the descriptor in its event loop and call try_pop until it gives NULL.
 * Mutex and condition are pthread's, because ThreadSanitizer understands them. */
#pragma once

#include <glib.h>

typedef struct ImpQueue ImpQueue;

/* capacity items at most, more than 0. free_item frees what is left when the queue is freed; may be NULL. */
ImpQueue *imp_queue_new(gsize capacity, GDestroyNotify free_item);

/* Frees the queue and what is in it. No thread may be in a call. NULL is allowed. */
void imp_queue_free(ImpQueue *queue);

/* Takes over item and returns TRUE; FALSE (item stays the caller's) when the queue is full or closed. */
gboolean imp_queue_push(ImpQueue *queue, gpointer item) G_GNUC_WARN_UNUSED_RESULT;

/* Waits for an item; NULL once the queue is closed and empty. */
gpointer imp_queue_pop(ImpQueue *queue);

/* The next item, or NULL at once. */
gpointer imp_queue_try_pop(ImpQueue *queue);

/* No more pushes; waiting pops end when the queue is empty. */
void imp_queue_close(ImpQueue *queue);

/* An eventfd that is readable while items may be waiting; borrowed. try_pop resets it when the queue is empty. */
int imp_queue_fd(const ImpQueue *queue);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpQueue, imp_queue_free)
