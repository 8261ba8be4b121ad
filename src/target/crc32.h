/* CRC-32 of IEEE 802.3 (as in zlib), the host's side of the resident runner's checksum. Pure; any thread. */
#pragma once

#include <glib.h>

guint32 imp_crc32(const guint8 *bytes, gsize n_bytes);
