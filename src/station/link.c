#include "station/link.h"

#include <glib-unix.h>
#include <pthread.h>

#include "base/queue.h"

/* Goes to the thread as a question and comes back with its outcome. */
typedef struct {
    guint64 ticket;
    ImpHttpCall call; /* its pointers are owned by this struct */
    ImpHttpAnswer *answer;
    GError *error;
} Call;

struct ImpLink {
    ImpHttpClient *client;
    ImpQueue *calls; /* Call, to the thread */
    ImpQueue *outcomes; /* Call, back */
    pthread_t thread;
    guint source;
    guint waiting; /* calls whose outcome was not told yet: bounds both queues */
    ImpLinkFn done;
    gpointer user;
};

static void call_free(gpointer data)
{
    Call *call = data;
    if (call == NULL)
        return;
    g_free((char *)call->call.method);
    g_free((char *)call->call.path);
    g_free((char *)call->call.content_type);
    g_free((char *)call->call.etag);
    if (call->call.body != NULL)
        g_bytes_unref(call->call.body);
    imp_http_answer_free(call->answer);
    g_clear_error(&call->error);
    g_free(call);
}

static void *run(void *data)
{
    ImpLink *link = data;
    for (Call *call; (call = imp_queue_pop(link->calls)) != NULL;) {
        if (!imp_http_call(link->client, &call->call, &call->answer, &call->error))
            call->answer = NULL;
        /* Both queues have room for all calls that are waiting, so this fails only when the link is being freed. */
        if (!imp_queue_push(link->outcomes, call))
            call_free(call);
    }
    return NULL;
}

static gboolean on_outcome(gint fd, GIOCondition condition, gpointer user)
{
    ImpLink *link = user;
    Call *call = imp_queue_try_pop(link->outcomes);
    if (call != NULL) {
        link->waiting--;
        link->done(link->user, call->ticket, call->answer, call->error);
        call_free(call);
    }
    return G_SOURCE_CONTINUE;
}

ImpLink *imp_link_new(const ImpHttpClientOptions *options, ImpLinkFn done, gpointer user, GError **error)
{
    ImpHttpClient *client = imp_http_client_new(options, error);
    if (client == NULL)
        return NULL;
    ImpLink *link = g_new0(ImpLink, 1);
    link->client = client;
    link->done = done;
    link->user = user;
    link->calls = imp_queue_new(IMP_LINK_CALLS_MAX, call_free);
    link->outcomes = imp_queue_new(IMP_LINK_CALLS_MAX, call_free);
    link->source = g_unix_fd_add(imp_queue_fd(link->outcomes), G_IO_IN, on_outcome, link);
    int failure = pthread_create(&link->thread, NULL, run, link);
    if (failure != 0)
        g_error("pthread_create: %s", g_strerror(failure)); /* at start-up: nothing can run */
    return link;
}

void imp_link_free(ImpLink *link)
{
    if (link == NULL)
        return;
    g_source_remove(link->source);
    imp_queue_close(link->calls);
    imp_queue_close(link->outcomes);
    imp_http_client_cancel(link->client);
    pthread_join(link->thread, NULL);
    imp_queue_free(link->calls);
    imp_queue_free(link->outcomes);
    imp_http_client_free(link->client);
    g_free(link);
}

gboolean imp_link_call(ImpLink *link, guint64 ticket, const ImpHttpCall *call)
{
    if (link->waiting >= IMP_LINK_CALLS_MAX)
        return FALSE;
    Call *copy = g_new0(Call, 1);
    copy->ticket = ticket;
    copy->call = *call;
    copy->call.method = g_strdup(call->method);
    copy->call.path = g_strdup(call->path);
    copy->call.content_type = g_strdup(call->content_type);
    copy->call.etag = g_strdup(call->etag);
    if (call->body != NULL)
        g_bytes_ref(call->body);
    gboolean pushed = imp_queue_push(link->calls, copy);
    g_assert(pushed); /* no more than waiting, so there is room */
    link->waiting++;
    return TRUE;
}
