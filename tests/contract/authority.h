/* What every ImpAuthority must do, whoever it is: the battery that the station's own ledger passes, and the cloud behind
 * sync has to pass as well.
 *
 * A test program gives a subject for each test: an authority with one active image of `units` units and one pool of numbers
 * (ID "sn", decimal, 6 digits, from 1, reuse: true), whose authority answers at once or when `wait` is called. */
#pragma once

#include "wire/authority.h"

typedef struct Subject Subject;
struct Subject {
    ImpAuthority *authority;
    ImpId image;
    ImpId keep, refuse; /* two more images of `units` units and the same pool, with these rules for rework */
    const ImpClock *clock;
    const ImpRandom *random;
    /* Lets everything that is under way happen. */
    void (*wait)(Subject *self);
    /* Pauses and resumes the image at the authority. */
    void (*set_paused)(Subject *self, gboolean paused);
    /* The counts as the authority has them. */
    void (*counts)(Subject *self, guint64 *out_open, guint64 *out_passed, guint64 *out_unknown,
                   guint64 *out_failures);
    /* Ends this life of the station without a word, and starts the next; authority is set anew. */
    void (*restart)(Subject *self);
    void (*free)(Subject *self);
};

typedef Subject *(*SubjectNew)(guint64 units);

/* Adds the battery's tests under /contract/authority/<name>. */
void authority_contract_add(const char *name, SubjectNew subject_new);
