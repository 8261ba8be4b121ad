/* What comes with a launch, as a request has it:
 *
 *     "set"?: { NAME: DATA … }    "barcode"?: DATA    DATA = { "text": … } or { "hex": … }
 *
 * Thread rule: none of its own. */
#pragma once

#include "base/json.h"
#include "launch/given.h"

typedef struct {
    ImpGiven items[IMP_GIVEN_MAX + 1]; /* names are borrowed from the request */
    gsize n_items;
} ImpStationGiven;

/* Faults go to r. To be freed with imp_station_given_done. */
void imp_station_given_read(ImpJson *r, ImpStationGiven *out_given);
void imp_station_given_done(ImpStationGiven *given);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImpStationGiven, imp_station_given_done)
