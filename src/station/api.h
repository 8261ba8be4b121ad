/* The control interface of a station (api/station.yaml): HTTP on a Unix socket.
 *
 * How it works. The server's thread takes a request in, copies what it needs of it, and puts it into a bounded queue; the
 * event loop carries it out and replies. GET /v1/events is kept until there is an event or its time is over.
 *
 * Life cycle: new starts to listen; free answers what waits, then stops listening.
 * Thread rule: the event loop's thread; what runs on the server's thread is marked in api.c. */
#pragma once

#include "station/station.h"

typedef struct ImpApi ImpApi;

#define IMP_API_WAITING_MAX 256 /* requests that the loop has not looked at */
#define IMP_API_POLLS_MAX   64 /* GET /v1/events that wait */

/* station is borrowed and must outlive the api. Errors: those of imp_http_server_start. */
ImpApi *imp_api_new(ImpStation *station, const char *socket_path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_api_free(ImpApi *api); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpApi, imp_api_free)

/* For ImpStationOptions.event: somebody may wait for it. */
void imp_api_on_event(ImpApi *api);
