/* Fetches the JOB images that the cloud has released for this station, and takes away those that it has taken back.
 *
 * Every few seconds the list is asked for. An image that is not here is downloaded, one at a time, into images/cloud/ID.part
 * and from there, whole and checked, into the store; a download that was cut off goes on where it ended, also after a
 * restart. With the list come the shares of images that the cloud releases, which are kept in memory (vault.h), and the number of
 * the account's list of authors, which is fetched when it is newer than the one that is here. An image that came from the cloud and is in the list no more, or is disabled there, is withdrawn.
 *
 * Thread rule: the event loop's thread; the calls are a thread's (link.h). */
#pragma once

#include "http/client/client.h"
#include "station/station.h"

#define IMP_DELIVERY_LIST_MAX 1000 /* images of one list */

typedef struct ImpDelivery ImpDelivery;

/* Asks for the list at once. Errors: those of imp_http_client_new. */
ImpDelivery *imp_delivery_new(ImpStation *station, const ImpHttpClientOptions *options,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Asks for it again now, unless it is being asked for. */
void imp_delivery_ask(ImpDelivery *delivery);
void imp_delivery_free(ImpDelivery *delivery); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpDelivery, imp_delivery_free)
