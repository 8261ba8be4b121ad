/* What a station is told by its configuration file, station.yaml (docs/station.md).
 *
 *     name: line-1
 *     ports:
 *       - {name: "1", position: A1, probe: "tcp:127.0.0.1:4441"}
 *       - {name: "2", probe: "usb:E6614C775B4E6F2A", power: "scpi:10.0.0.7:5025/2", serial: "serial:/dev/ttyUSB0"}
 *     data: /var/lib/imprint     # default: the folder of this file
 *     control: control.sock      # default; relative to data
 *     stop-limit: 30 s           # default; how long a stop waits for running launches before it cancels them
 *     cloud-poll: 5 s            # default; how often the cloud is asked for images
 *     images: {count: 1000, space: 8 GiB}    # default
 *     keys:                      # keys in PKCS#11 tokens (docs/keys.md); default: files in the folder data
 *       sealing: "pkcs11:token=line-1;object=sealing?pin-source=file:/etc/imprint/pin"
 *       image: ["pkcs11:token=line-1;object=acme-2026?pin-source=file:/etc/imprint/pin"]
 *
 * Ownership: imp_station_config_free frees all. Immutable once read. */
#pragma once

#include "base/error.h"

#define IMP_STATION_PORTS_MAX 64
#define IMP_STATION_FILE      "station.yaml"

typedef struct {
    char *name; /* unique; at most 64 bytes */
    char *position; /* "" = not said */
    char *probe;
    char *power; /* target/power.h; NULL = the board has its own */
    char *serial; /* the unit's serial line; NULL = not connected */
} ImpPortConfig;

typedef struct {
    char *name;
    char *data; /* absolute */
    char *control; /* absolute path of the socket */
    ImpPortConfig *ports;
    gsize n_ports;
    guint64 stop_limit_us, cloud_poll_us;
    char *sealing_key; /* NULL: a file of the station's own */
    char **image_keys; /* NULL-terminated; never NULL */
    guint images_max;
    guint64 images_bytes_max;
} ImpStationConfig;

/* Errors: those of base/yaml.h, with file, line and column; E6010 where a value does not make sense. */
ImpStationConfig *imp_station_config_load(const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void imp_station_config_free(ImpStationConfig *config); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImpStationConfig, imp_station_config_free)

/* Makes folder data and a configuration in it with these probes ("tcp:HOST:PORT", "usb:SERIAL"), ports named 1, 2, ….
 * Errors: E1008 if there is a configuration already, E1002, and what load says of the result. */
gboolean imp_station_config_init(const char *data, const char *name, const char *const *probes,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
