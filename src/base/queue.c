#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ImpQueue {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    GDestroyNotify free_item;
    gpointer *items; /* ring of capacity places */
    gsize capacity, head, count;
    gboolean closed;
    int fd;
};

ImpQueue *imp_queue_new(gsize capacity, GDestroyNotify free_item)
{
    g_assert(capacity > 0);
    ImpQueue *queue = g_new0(ImpQueue, 1);
    g_assert(pthread_mutex_init(&queue->mutex, NULL) == 0);
    g_assert(pthread_cond_init(&queue->filled, NULL) == 0);
    queue->items = g_new0(gpointer, capacity);
    queue->capacity = capacity;
    queue->free_item = free_item;
    queue->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->fd < 0)
        g_error("eventfd: %s", g_strerror(errno)); /* out of descriptors at start-up: nothing can run */
    return queue;
}

void imp_queue_free(ImpQueue *queue)
{
    if (queue == NULL)
        return;
    for (gsize i = 0; i < queue->count; i++)
        if (queue->free_item != NULL)
            queue->free_item(queue->items[(queue->head + i) % queue->capacity]);
    close(queue->fd);
    pthread_cond_destroy(&queue->filled);
    pthread_mutex_destroy(&queue->mutex);
    g_free(queue->items);
    g_free(queue);
}

gboolean imp_queue_push(ImpQueue *queue, gpointer item)
{
    g_assert(item != NULL);
    pthread_mutex_lock(&queue->mutex);
    gboolean fits = !queue->closed && queue->count < queue->capacity;
    if (fits) {
        queue->items[(queue->head + queue->count++) % queue->capacity] = item;
        uint64_t one = 1;
        (void)!write(queue->fd, &one, sizeof one); /* fails only when it is readable already */
        pthread_cond_signal(&queue->filled);
    }
    pthread_mutex_unlock(&queue->mutex);
    return fits;
}

/* With the mutex held. */
static gpointer take(ImpQueue *queue)
{
    if (queue->count == 0)
        return NULL;
    gpointer item = queue->items[queue->head];
    queue->head = (queue->head + 1) % queue->capacity;
    queue->count--;
    if (queue->count == 0 && !queue->closed) {
        uint64_t sum;
        (void)!read(queue->fd, &sum, sizeof sum);
    }
    return item;
}

gpointer imp_queue_pop(ImpQueue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    while (queue->count == 0 && !queue->closed)
        pthread_cond_wait(&queue->filled, &queue->mutex);
    gpointer item = take(queue);
    pthread_mutex_unlock(&queue->mutex);
    return item;
}

gpointer imp_queue_try_pop(ImpQueue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    gpointer item = take(queue);
    pthread_mutex_unlock(&queue->mutex);
    return item;
}

void imp_queue_close(ImpQueue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->closed = TRUE;
    uint64_t one = 1;
    (void)!write(queue->fd, &one, sizeof one);
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->mutex);
}

int imp_queue_fd(const ImpQueue *queue)
{
    return queue->fd;
}
