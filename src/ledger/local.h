/* The authority of SAPs: the station's own ledger. A permit and its BEGUN are one transaction, so there is nothing to
 * refresh and nobody to say hello to. imp_journal_start must have been called on the ledger.
 *
 * Beside the codes of ledger.h's permits, start refuses with IMP_E_CLOCK_UNTRUSTED an image with dates, or with a pool that writes the day, while the station's
 * clock is not synchronised (or trusted: imp_journal_trust_clock) or stands before the latest time recorded.
 *
 * Thread rule: that of the ledger; the callback of start is called before start returns. */
#pragma once

#include "ledger/journal.h"
#include "wire/authority.h"

/* ledger is borrowed and must outlive the authority. Free with imp_authority_local_free. */
ImpAuthority *imp_authority_local_new(ImpLedger *ledger);
/* At a desk, where a person looks at what is written, the day in a number's text is this computer's, synchronised or not. Dates of
 * images are judged as ever. */
void imp_authority_local_set_desk(ImpAuthority *authority);
void imp_authority_local_free(ImpAuthority *authority); /* NULL is allowed */
