/* The connection to the cloud: a thread that carries out one HTTP call after the other, for the event loop.
 *
 * Life cycle: new, calls, free (cancels the call at work and waits for the thread; its outcome and those of waiting
 * calls are not told any more).
 * Thread rule: everything here on the event loop's thread, where the outcomes are told, too. */
#pragma once

#include "http/client/client.h"

#define IMP_LINK_CALLS_MAX 4

typedef struct ImpLink ImpLink;

/* What came of a call; exactly one of answer and error is there, both are borrowed. */
typedef void (*ImpLinkFn)(gpointer user, guint64 ticket, const ImpHttpAnswer *answer, const GError *error);

/* options are copied. done is called on the default main context. Errors: those of imp_http_client_new. */
ImpLink *imp_link_new(const ImpHttpClientOptions *options, ImpLinkFn done, gpointer user,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_link_free(ImpLink *link); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpLink, imp_link_free)

/* Copies what call points to; a descriptor in it must stay open until the outcome. FALSE when IMP_LINK_CALLS_MAX calls wait
 * already: there will be no outcome. */
gboolean imp_link_call(ImpLink *link, guint64 ticket, const ImpHttpCall *call) G_GNUC_WARN_UNUSED_RESULT;
