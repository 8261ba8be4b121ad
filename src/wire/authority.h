/* Whoever grants permits and keeps records, as a launch sees it. Two implementations: the station's own ledger
 * (ledger/local.c, for SAPs) and the cloud over sync (station/authority_cloud.c, for JOBs). Both journal into the same
 * database on the station, so that a launch can end only one way.
 *
 * A launch that only compares a unit with the image asks nobody: compare, then end.
 *
 * Order of calls for any other launch: start; then, if it was begun, identify at most once, and before a number is written
 * (where the answer to start says so it must come; before writing, unless a locked chip is erased to know it); writing at
 * most once; then end exactly once.
 * Thread rule: all calls and callbacks on the event loop's thread. */
#pragma once

#include "wire/wire.h"

typedef struct ImpAuthority ImpAuthority;

/* The answer to start. begun: the launch is journaled as BEGUN and answer->numbers are its numbers. Not begun: error says
 * why (a 50xx code, or that the authority could not be reached); answer holds the counts if there was one, else NULL.
 * Both are borrowed for the call. */
typedef void (*ImpStartFn)(gpointer user, gboolean begun, const ImpAnswer *answer, const GError *error);

/* The answer to identify. error NULL: go on, and answer->numbers (answer->kept: those that the chip has already) are the ones
 * to write. Else the launch must end unwritten, with this error. Both are borrowed for the call. */
typedef void (*ImpIdentifyFn)(gpointer user, const ImpAnswer *answer, const GError *error);

typedef struct {
    /* Asks for a permit and, when it is granted and fresh, journals BEGUN (durable before done is called). done is called
     * exactly once, perhaps before start returns. want->ask is set by the authority. */
    void (*start)(ImpAuthority *self, const ImpWant *want, ImpStartFn done, gpointer user);
    /* Tells the chip's unique ID (1 to IMP_WIRE_NUMBER_BYTES_MAX bytes), so that the image's rule for rework can be kept.
     * done is called exactly once, perhaps before identify returns; what it was told is durable then. Nothing may be
     * written, and end may not be called, between identify and done. */
    void (*identify)(ImpAuthority *self, const ImpId *launch, const guint8 *uid, gsize n_uid,
                     ImpIdentifyFn done, gpointer user);
    /* Journals WRITING, durable on return: call before the first erase or write. FALSE: do not touch the target. */
    gboolean (*writing)(ImpAuthority *self, const ImpId *launch, GError **error);
    /* Journals that a launch begins which only compares: nothing will be written, and neither counts nor numbers are
     * touched. Durable on return. FALSE: do not touch the target. */
    gboolean (*compare)(ImpAuthority *self, const ImpWant *want, GError **error);
    /* Journals how the launch ended (PASSED, FAILED or SPENT; after compare VERIFIED or UNVERIFIED), durable on return; seq, start_number and numbers are set by
     * the authority. Only after TRUE may the unit be shown as passed. */
    gboolean (*end)(ImpAuthority *self, const ImpReport *report, GError **error);
} ImpAuthorityOps;

/* First member of every implementation's own struct. */
struct ImpAuthority {
    const ImpAuthorityOps *ops;
};
