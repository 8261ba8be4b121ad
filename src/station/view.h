/* What a station shows of itself, as JSON of api/station.yaml. Every function gives a new reference.
 *
 * Thread rule: none of its own; what is borrowed belongs to the event loop's thread. */
#pragma once

#include <jansson.h>

#include "image/image.h"
#include "launch/launch.h"
#include "ledger/ledger.h"
#include "station/authority_cloud.h"
#include "station/store.h"

typedef struct {
    const ImpLaunchView *view;
    const char *port, *order, *person; /* order, person: "" = none */
    const char *image_name;
    ImpImageKind kind;
} ImpViewLaunch;
json_t *imp_view_launch(const ImpViewLaunch *launch);

typedef struct {
    const ImpStoreEntry *entry;
    const char *author_name; /* NULL = not trusted */
    const GError *reason; /* why it is not usable; NULL = it is */
    const ImpLedgerImageStatus *counts; /* SAP known to the ledger, else NULL */
    const ImpAnswer *answer; /* JOB: the cloud's last answer about it, else NULL */
    gint64 answer_real_us;
} ImpViewImage;
json_t *imp_view_image(const ImpViewImage *image);

/* Adds member "content" to an image's document. */
void imp_view_add_content(json_t *document, const ImpImage *image);

/* One line of the log. kind and name: NULL = not known. */
json_t *imp_view_record(const ImpLedgerLogEntry *entry, const char *kind, const char *name);

/* The same as a line of CSV (RFC 4180), and its header line. */
void imp_view_csv_header(GString *text);
void imp_view_csv(GString *text, const ImpLedgerLogEntry *entry, const char *kind, const char *name);

typedef struct {
    const ImpCloudView *view; /* NULL: not enrolled */
    const char *url, *station, *ca;
} ImpViewCloud;
json_t *imp_view_cloud(const ImpViewCloud *cloud);
