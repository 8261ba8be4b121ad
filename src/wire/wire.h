/* What crosses a process border about launches: want, answer, report, and the one request (sync) that carries them.
 * Plain structs; the JSON forms are in wire/codec.h and api/types.yaml. No I/O here.
 *
 * Words: a *permit* is the permission for one launch; an *authority* grants it (the station's own ledger for a SAP, the
 * cloud for a JOB); a *report* says what came of it. See docs/ledger.md for the rules and states.
 *
 * Ownership: the fixed parts are values and may be copied; what is allocated is said at each struct. Immutable once
 * made: may be handed to another thread whole. */
#pragma once

#include "base/error.h"
#include "base/id.h"

#define IMP_WIRE_PROTOCOL         1
#define IMP_WIRE_NAME_SIZE        65 /* names (port, order, pool, operator), closing NUL included */
#define IMP_WIRE_NUMBER_BYTES_MAX 64 /* of one formatted number or value read from the target */
#define IMP_WIRE_TEXT_SIZE        129
#define IMP_WIRE_NUMBERS_MAX      8 /* numbers of one launch */
#define IMP_WIRE_READS_MAX        16 /* values of one launch for the log */
#define IMP_WIRE_SYNC_ITEMS_MAX   256 /* reports, refreshes, identifies and wants in one request */
#define IMP_WIRE_SYNC_REPORTS_MAX                                                                            \
    64 /* so many reports, refreshes, identifies and wants always fit into one request, however long they are */
#define IMP_WIRE_OPEN_MAX    1024 /* open launches in one welcome */
#define IMP_WIRE_MESSAGE_MAX (1024 * 1024) /* bytes of one sync request or response */

/* How a launch ended. The states of LEDGER's table, the same words on the wire. */
typedef enum {
    IMP_RESULT_PASSED = 2, /* everything written was verified */
    IMP_RESULT_FAILED, /* failed, nothing was written, same life: number and count are free again */
    IMP_RESULT_SPENT, /* failed after the first write: the number is spent */
    IMP_RESULT_UNKNOWN, /* the station's life ended after the first write */
    IMP_RESULT_LOST, /* the station's life ended before the first write, or its journal has not begun it */
    IMP_RESULT_RETURNED, /* never begun, given back in the same life */
    /* Of a launch that only compares: nothing is written, no count or number is touched. */
    IMP_RESULT_VERIFIED, /* the unit holds what the image says */
    IMP_RESULT_UNVERIFIED, /* it differs, or could not be compared: the code says which */
} ImpResult;

/* TRUE for VERIFIED and UNVERIFIED. */
gboolean imp_result_is_comparison(ImpResult result);

/* "passed", "failed", "spent", "unknown", "lost", "returned", "verified", "unverified" */
const char *imp_result_name(ImpResult result);
gboolean imp_result_parse(const char *name, ImpResult *out_result);

/* A number from a pool, formatted by the authority: bytes are what is written, text is what people see. */
typedef struct {
    char pool[IMP_WIRE_NAME_SIZE];
    guint64 number;
    guint8 bytes[IMP_WIRE_NUMBER_BYTES_MAX];
    guint8 n_bytes;
    char text[IMP_WIRE_TEXT_SIZE];
} ImpNumber;

/* A number that comes with the launch, from a label: for an external pool. */
typedef struct {
    char pool[IMP_WIRE_NAME_SIZE];
    guint8 bytes[IMP_WIRE_NUMBER_BYTES_MAX];
    guint8 n_bytes;
} ImpGivenNumber;

/* Asks an authority for the permission to launch. Asking again with the same launch ID is the same want. */
typedef struct {
    ImpId launch;
    ImpId image;
    guint64 ask; /* a number of this station that no earlier request carried; the answer echoes it */
    char port[IMP_WIRE_NAME_SIZE];
    char order[IMP_WIRE_NAME_SIZE]; /* "" = none */
    char person
        [IMP_WIRE_NAME_SIZE]; /* who starts it, "" = nobody signed in: the record after a power cut names them */
    guint32 n_given; /* at most one for each pool */
    ImpGivenNumber given[IMP_WIRE_NUMBERS_MAX];
} ImpWant;

typedef enum {
    IMP_ANSWER_GRANTED = 2,
    IMP_ANSWER_REFUSED, /* code says why; nothing is stored */
    IMP_ANSWER_WITHDRAWN, /* the image or station may not run now; the launch is still counted as open */
    IMP_ANSWER_ENDED, /* the launch has ended with result */
    IMP_ANSWER_FRESH, /* to a refresh */
    IMP_ANSWER_CONFIRMED, /* to a report: stored, now or before */
    IMP_ANSWER_CONFLICT, /* to a report: another one stands; kept beside it, alarm raised */
    IMP_ANSWER_IDENTIFIED, /* to an identify: go on; numbers are those to write now */
} ImpAnswerKind;

typedef struct {
    ImpAnswerKind kind;
    ImpId launch;
    guint64 ask; /* echo of the want, refresh or identify; 0 to a report */
    int code; /* IMP_E_… of the 50xx range when refused or withdrawn; else 0 */
    ImpResult result; /* when ended */
    guint32 n_numbers; /* when granted or identified */
    ImpNumber numbers[IMP_WIRE_NUMBERS_MAX];
    gboolean identify; /* granted: the chip's ID must be told (ImpIdentify) before anything is written */
    gboolean
        kept; /* identified: the numbers are those that this chip has already; the permit's are given back */
    /* The image's counts as the decision saw them (rule 1), for the person who reads a refusal. */
    gboolean has_units;
    guint64 units; /* what the image allows, settled launches included */
    guint64 passed, unknown, open, failures;
} ImpAnswer;

#define IMP_WIRE_REDACTED "(redacted)" /* what people see of a value without bytes */

/* A value of the unit that is no number of a pool: read from the target, given with the launch, measured by a test. */
typedef struct {
    char name[IMP_WIRE_NAME_SIZE];
    guint8 bytes[IMP_WIRE_NUMBER_BYTES_MAX];
    guint8 n_bytes; /* 0: it was there, but its image keeps the bytes out of records */
} ImpReading;

/* What came of one launch: the record. Codes and values, never prose. */
typedef struct {
    ImpId launch;
    ImpId image;
    ImpResult result;
    guint64
        seq; /* place of this launch among the journal's launches of this authority, from 1; 0 = not in the journal (lost) */
    guint64 start_number; /* the life of the station that began it */
    char port[IMP_WIRE_NAME_SIZE];
    char order[IMP_WIRE_NAME_SIZE];
    char person[IMP_WIRE_NAME_SIZE]; /* who started it, "" = nobody signed in */
    gint64 began_real_us; /* station's clock; 0 = never begun */
    guint32 duration_ms;
    int code; /* 0 when passed; else the error's code */
    ImpErrorDetail detail; /* of the error */
    guint8 uid[IMP_WIRE_NUMBER_BYTES_MAX]; /* the chip's unique ID */
    guint8 n_uid; /* 0 = not read */
    guint32 n_numbers;
    ImpNumber numbers[IMP_WIRE_NUMBERS_MAX];
    guint32 n_reads;
    ImpReading reads[IMP_WIRE_READS_MAX];
    /* SWD link health */
    guint32 link_waits, link_faults, link_errors, link_retries;
    guint32 link_hz; /* the clock at the end; 0 = not known */
    guint32 link_slowed_by; /* the error code that made it lower than the image says; 0 = nothing did */
} ImpReport;

/* Keeps a held permit usable. */
typedef struct {
    ImpId launch;
    guint64 ask;
} ImpRefresh;

/* The second item of a launch whose image says what happens with a chip that comes again: told when the chip's unique ID is
 * known, answered before anything is written. Telling twice is telling once. */
typedef struct {
    ImpId launch;
    guint64 ask;
    guint8 uid[IMP_WIRE_NUMBER_BYTES_MAX];
    guint8 n_uid;
} ImpIdentify;

/* First message of each life of a station (LEDGER section 2, "Life of a station"). */
typedef struct {
    ImpId nonce; /* made anew at each start */
    guint64 journal_position; /* seq of the newest launch of this authority in the journal */
} ImpHello;

/* Station to cloud. A station is known by its certificate, not by what it says. */
typedef struct {
    guint32 protocol;
    guint64 start_number;
    gboolean has_hello;
    ImpHello hello;
    gboolean want_open; /* asks for the list of open launches again */
    guint32 n_reports, n_refreshes, n_identifies, n_wants;
    ImpReport *reports; /* owned arrays */
    ImpRefresh *refreshes;
    ImpIdentify *identifies;
    ImpWant *wants;
} ImpSyncRequest;

typedef enum {
    IMP_WELCOME_NONE = 2, /* no hello was sent */
    IMP_WELCOME_YES,
    IMP_WELCOME_BLOCKED, /* code says why; a person must look */
    IMP_WELCOME_STALE, /* a later start has been seen: this life must stop */
    IMP_WELCOME_FIRST, /* no hello of this start has been seen: send one (reports were taken all the same) */
} ImpWelcome;

typedef struct {
    guint32 protocol;
    ImpId epoch; /* of the cloud's database; a new one after a restore */
    gint64 real_us; /* the cloud's clock */
    ImpWelcome welcome;
    int code; /* when blocked or stale */
    gboolean has_open;
    guint32 n_open;
    ImpId *open; /* owned; the station's open launches, when welcomed or asked for */
    guint32 n_answers;
    ImpAnswer
        *answers; /* owned; one for each item: reports, refreshes, identifies, wants, each in its order */
} ImpSyncResponse;

void imp_sync_request_free(ImpSyncRequest *request);
void imp_sync_response_free(ImpSyncResponse *response);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpSyncRequest, imp_sync_request_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpSyncResponse, imp_sync_response_free)
