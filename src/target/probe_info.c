#include "target/probe_info.h"

#include "base/error.h"

#include <string.h>

#define CMD_INFO 0x00
enum {
    INFO_VENDOR = 0x01,
    INFO_PRODUCT = 0x02,
    INFO_SERIAL = 0x03,
    INFO_PROTOCOL = 0x04,
    INFO_FIRMWARE = 0x09,
    INFO_CAPABILITIES = 0xF0,
    INFO_PACKET_COUNT = 0xFE,
    INFO_PACKET_BYTES = 0xFF,
};
#define CAPABILITY_SWD  0x01
#define CAPABILITY_JTAG 0x02
#define HEAD            2 /* command, length */

/* The bytes of one piece of information, at most 255. */
static gboolean ask(ImpProbe *probe, guint8 id, guint8 out[G_MAXUINT8], gsize *out_bytes, GError **error)
{
    guint8 response[IMP_PROBE_PACKET_BYTES_MAX];
    gsize n_bytes = 0;
    if (!imp_probe_submit(probe, (guint8[]){CMD_INFO, id}, 2, error) ||
        !imp_probe_collect(probe, response, sizeof response, &n_bytes, IMP_PROBE_TIMEOUT_MS, error))
        return FALSE;
    if (n_bytes < HEAD || response[0] != CMD_INFO || n_bytes < HEAD + (gsize)response[1]) {
        imp_error_set(error, IMP_E_PROBE_PROTOCOL,
                      "%s: information 0x%02X is malformed (%zu bytes, the first 0x%02X)", probe->name, id,
                      n_bytes, n_bytes > 0 ? response[0] : 0);
        return FALSE;
    }
    memcpy(out, response + HEAD, response[1]);
    *out_bytes = response[1];
    return TRUE;
}

/* The text may end with a 0 or with its length; what is longer than out is cut. */
static gboolean ask_text(ImpProbe *probe, guint8 id, char out[IMP_PROBE_INFO_SIZE], GError **error)
{
    guint8 bytes[G_MAXUINT8];
    gsize n_bytes = 0;
    if (!ask(probe, id, bytes, &n_bytes, error))
        return FALSE;
    g_autofree char *raw = g_strndup((const char *)bytes, MIN(n_bytes, IMP_PROBE_INFO_SIZE - 1));
    g_autofree char *valid = g_utf8_make_valid(raw, -1);
    if (strlen(valid) >= IMP_PROBE_INFO_SIZE) /* bytes that were none of UTF-8 have grown */
        *g_utf8_find_prev_char(valid, valid + IMP_PROBE_INFO_SIZE) = '\0';
    g_strlcpy(out, valid, IMP_PROBE_INFO_SIZE);
    return TRUE;
}

static gboolean ask_number(ImpProbe *probe, guint8 id, guint32 *out, GError **error)
{
    guint8 bytes[G_MAXUINT8];
    gsize n_bytes = 0;
    if (!ask(probe, id, bytes, &n_bytes, error))
        return FALSE;
    guint32 number = 0;
    for (gsize i = 0; i < MIN(n_bytes, sizeof number); i++)
        number |= (guint32)bytes[i] << (8 * i);
    *out = number;
    return TRUE;
}

gboolean imp_probe_ask_info(ImpProbe *probe, ImpProbeInfo *out_info, GError **error)
{
    ImpProbeInfo info = {0};
    guint32 capabilities = 0;
    if (!ask_text(probe, INFO_VENDOR, info.vendor, error) ||
        !ask_text(probe, INFO_PRODUCT, info.product, error) ||
        !ask_text(probe, INFO_SERIAL, info.serial, error) ||
        !ask_text(probe, INFO_PROTOCOL, info.protocol, error) ||
        !ask_text(probe, INFO_FIRMWARE, info.firmware, error) ||
        !ask_number(probe, INFO_CAPABILITIES, &capabilities, error) ||
        !ask_number(probe, INFO_PACKET_BYTES, &info.packet_bytes, error) ||
        !ask_number(probe, INFO_PACKET_COUNT, &info.packets, error))
        return FALSE;
    info.swd = (capabilities & CAPABILITY_SWD) != 0;
    info.jtag = (capabilities & CAPABILITY_JTAG) != 0;
    *out_info = info;
    return TRUE;
}
