/* Whoever grants permits and keeps records, as a launch sees it. Two implementations: the station's own ledger
 * (ledger/local.c, for SAPs) and the cloud over sync (station/authority_cloud.c, for JOBs). Both journal into the same
 * database on the station, so that a launch can end only one way.
 *
 * Order of calls for one launch: start; then, if it was begun, writing at most once; then end exactly once.
 * Thread rule: all calls and callbacks on the event loop's thread. */
#pragma once

#include "wire/wire.h"

typedef struct ImpAuthority ImpAuthority;

/* The answer to start. begun: the launch is journaled as BEGUN and answer->numbers are its numbers. Not begun: error says
 * why (a 50xx code, or that the authority could not be reached); answer holds the counts if there was one, else NULL.
 * Both are borrowed for the call. */
typedef void (*ImpStartFn)(gpointer user, gboolean begun, const ImpAnswer *answer, const GError *error);

typedef struct {
    /* Asks for a permit and, when it is granted and fresh, journals BEGUN (durable before done is called). done is called
     * exactly once, perhaps before start returns. want->ask is set by the authority. */
    void (*start)(ImpAuthority *self, const ImpWant *want, ImpStartFn done, gpointer user);
    /* Journals WRITING, durable on return: call before the first erase or write. FALSE: do not touch the target. */
    gboolean (*writing)(ImpAuthority *self, const ImpId *launch, GError **error);
    /* Journals how the launch ended (PASSED, FAILED or SPENT), durable on return; seq and start_number are set by the
     * authority. Only after TRUE may the unit be shown as passed. */
    gboolean (*end)(ImpAuthority *self, const ImpReport *report, GError **error);
} ImpAuthorityOps;

/* First member of every implementation's own struct. */
struct ImpAuthority {
    const ImpAuthorityOps *ops;
};
