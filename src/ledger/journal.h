/* The station's journal: what has happened to each launch, durable on return of every function here. It is the launch's row
 * in the station's ledger; there is no second store. For a SAP the same row is the authority's (local.h uses these
 * functions inside its own transactions); for a JOB it is what the cloud is told from.
 *
 * States of a launch (docs/ledger.md): BEGUN → WRITING → ended with a result; or ended at once, as RETURNED. At a start of
 * the station BEGUN becomes LOST and WRITING becomes UNKNOWN.
 *
 * Life cycle: imp_journal_start once, right after imp_ledger_open, before anything is sent or launched; then the rest.
 * Thread rule: that of the ledger. */
#pragma once

#include "ledger/ledger.h"

#define IMP_JOURNAL_KEEP_US (90 * 24 * G_TIME_SPAN_HOUR) /* an ended JOB launch, after it was confirmed */

/* What hello says of this life of the station. */
typedef struct {
    guint64 start_number; /* counts the starts; committed before this function returned */
    ImpId nonce;
    guint64 position; /* greatest seq of a JOB launch in the journal: ImpHello.journal_position */
    guint32 n_lost, n_unknown; /* launches that this start had to end, SAPs and JOBs */
} ImpLife;

/* Counts the start and ends what the life before left open, in one transaction. */
gboolean imp_journal_start(ImpLedger *ledger, ImpLife *out_life, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* JOB: journals BEGUN, before the first access to the target. granted is the answer that permitted it. IMP_E_EXISTS: the
 * launch is in the journal already (a late grant: ignore it). */
gboolean imp_journal_begun(ImpLedger *ledger, const ImpWant *want, const ImpAnswer *granted,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* JOB: journals what the cloud answered when it was told the launch's chip: its ID, and the numbers that are written now.
 * Before WRITING, or after it if the chip could only be known by erasing it. IMP_E_STATE: the launch is not at work. */
gboolean imp_journal_identified(ImpLedger *ledger, const ImpIdentify *told, const ImpAnswer *answer,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* SAP (own) and JOB: journals that a launch begins which only compares a unit with the image, before the first access to the
 * target. It needs no permit, is counted nowhere, and ends as VERIFIED or UNVERIFIED; at a start of the station, as
 * UNVERIFIED. IMP_E_EXISTS: the launch is in the journal already. */
gboolean imp_journal_comparing(ImpLedger *ledger, const ImpWant *want, gboolean own,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Journals WRITING, before the first erase or write. IMP_E_STATE: it is not begun. SAP and JOB. */
gboolean imp_journal_writing(ImpLedger *ledger, const ImpId *launch,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Journals how a launch ended: FAILED if it was begun, SPENT or PASSED if it was writing, VERIFIED or UNVERIFIED if it was
 * comparing (another combination is
 * IMP_E_STATE, and so is a launch that is not begun). image, port, order, seq, start_number, numbers and began_real_us of
 * the record are the journal's own, the rest is the report's. A JOB is now unreported; a SAP is counted in the same
 * transaction. */
gboolean imp_journal_ended(ImpLedger *ledger, const ImpReport *report,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* JOB: journals RETURNED: a want that was sent, was perhaps granted (granted NULL: not known), and will never begin. It is
 * now unreported. IMP_E_EXISTS: the launch is in the journal already. */
gboolean imp_journal_returned(ImpLedger *ledger, const ImpWant *want, const ImpAnswer *granted,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TRUE in *out_known if the launch is in the journal, in whatever state. */
gboolean imp_journal_knows(ImpLedger *ledger, const ImpId *launch, gboolean *out_known,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The oldest JOB reports that the cloud has not confirmed: array of ImpReport, at most limit. */
GArray *imp_journal_unreported(ImpLedger *ledger, guint32 limit, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* How many there are. */
gboolean imp_journal_count_unreported(ImpLedger *ledger, guint64 *out_count,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The cloud has answered these reports (CONFIRMED, CONFLICT or REFUSED): stop sending them. Launches that are not in the
 * journal are passed over (lost ones of the welcome's list). */
gboolean imp_journal_confirmed(ImpLedger *ledger, const ImpId *launches, guint32 n_launches,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Compares the cloud's list of this station's open launches with the journal. A launch that has ended here is unreported
 * again; one that is at work is left alone; for one that is not in the journal the array gets a report LOST (seq 0). The
 * caller leaves out of the list what it has asked for in this life and still waits for or holds. Array of ImpReport. */
GArray *imp_journal_reconcile(ImpLedger *ledger, const ImpId *open, guint32 n_open,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The cloud's epoch as its last response said. Another one than before: the cloud's database was restored, so every JOB
 * launch that is still kept is unreported again; *out_again (may be NULL) says so. */
gboolean imp_journal_epoch(ImpLedger *ledger, const ImpId *epoch, gboolean *out_again,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Forgets JOB launches that were confirmed more than IMP_JOURNAL_KEEP_US ago, at most IMP_LEDGER_LIST_MAX in one call;
 * *out_n (may be NULL) says how many. SAP launches are kept for ever. */
gboolean imp_journal_prune(ImpLedger *ledger, guint32 *out_n, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Rule 9: an engineer has set or checked the station's clock. From now to the end of this process, or until the clock jumps
 * by more than a minute, it is trusted though it is not synchronised, and the latest time recorded is set to it.
 * act->reason is needed. */
gboolean imp_journal_trust_clock(ImpLedger *ledger, const ImpAct *act,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
