#include "target/dap.h"

#include "base/error.h"

#include <string.h>

/* Commands: CMSIS-DAP 2.1, DAP.h */
enum {
    CMD_INFO = 0x00,
    CMD_CONNECT = 0x02,
    CMD_DISCONNECT = 0x03,
    CMD_TRANSFER_CONFIGURE = 0x04,
    CMD_TRANSFER = 0x05,
    CMD_TRANSFER_BLOCK = 0x06,
    CMD_SWJ_PINS = 0x10,
    CMD_SWJ_CLOCK = 0x11,
    CMD_SWJ_SEQUENCE = 0x12,
    CMD_SWD_CONFIGURE = 0x13,
};
enum { INFO_CAPABILITIES = 0xF0, INFO_PACKET_COUNT = 0xFE, INFO_PACKET_BYTES = 0xFF };
enum { CAPABILITY_SWD = 0x01 };
enum { PORT_SWD = 1 };
enum { ACK_OK = 1, ACK_WAIT = 2, ACK_FAULT = 4, ACK_NONE = 7, ACK_MASK = 7, ACK_PROTOCOL_ERROR = 8 };
enum { REQUEST_READ = 0x02 };

#define TRANSFERS_MAX  255 /* DAP_Transfer counts in one byte */
#define TRANSFER_HEAD  3 /* bytes before the transfers: command, index, count; the same in the response */
#define BLOCK_HEAD     5 /* command, index, count (2), request */
#define BLOCK_RESPONSE 4 /* command, count (2), ack */
#define WAIT_REPEATS   500 /* by the probe, 13 cycles each: 6.5 ms at 1 MHz */
#define PIN_WAIT_US    0
#define INFO_TEXT_MAX  64

typedef enum { PACKET_TRANSFER = 2, PACKET_BLOCK } PacketKind;

/* One packet in flight, or the one that is being filled. */
typedef struct {
    PacketKind kind;
    guint n_transfers;
    guint n_reads;
    guint8 *out[TRANSFERS_MAX]; /* where each word goes; a block uses the first for all */
} Packet;

struct ImpDap {
    ImpProbe *probe;
    ImpLinkHealth *health;
    gsize packet_bytes;
    guint packet_count;
    gboolean connected;
    GError *broken; /* what made the probe useless; NULL while it works */
    GError *failure; /* the first one since the last flush */

    guint8 request[IMP_PROBE_PACKET_BYTES_MAX]; /* the packet that is being filled */
    gsize request_bytes;
    gsize response_bytes; /* what its answer will be long */
    Packet filling;

    Packet flight[IMP_PROBE_PACKETS_MAX]; /* a ring: flight[collected % n] is the oldest */
    guint64 submitted;
    guint64 collected;
};

/* The probe itself failed: whatever is asked of it later fails for this reason too. Always FALSE. */
static gboolean set_broken(ImpDap *dap, const GError *why)
{
    if (dap->broken == NULL)
        dap->broken = g_error_copy(why);
    return FALSE;
}

static void fail(ImpDap *dap, GError *error)
{
    if (imp_error_code(error) < IMP_E_NO_TARGET || error->domain != IMP_ERROR)
        set_broken(dap, error);
    if (dap->failure == NULL)
        dap->failure = error;
    else
        g_error_free(error);
}

static void G_GNUC_PRINTF(3, 4) fail_with(ImpDap *dap, ImpErrorCode code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    GError *error = NULL;
    imp_error_set(&error, code, "%s: %s", dap->probe->name, text);
    fail(dap, error);
}

/* What an acknowledge other than OK means. */
static void fail_ack(ImpDap *dap, guint ack, guint done, guint asked)
{
    if ((ack & ACK_PROTOCOL_ERROR) != 0) {
        dap->health->protocol_errors++;
        fail_with(dap, IMP_E_LINK_PARITY, "wrong parity after %u of %u transfers", done, asked);
        return;
    }
    switch (ack & ACK_MASK) {
    case ACK_WAIT:
        dap->health->waits++;
        fail_with(dap, IMP_E_LINK_WAIT, "the chip answered WAIT %u times, after %u of %u transfers",
                  WAIT_REPEATS, done, asked);
        break;
    case ACK_FAULT:
        dap->health->faults++;
        fail_with(dap, IMP_E_LINK_FAULT, "the chip answered FAULT after %u of %u transfers", done, asked);
        break;
    case ACK_NONE:
    case 0:
        dap->health->no_acks++;
        fail_with(dap, IMP_E_LINK_LOST, "no answer from the chip after %u of %u transfers", done, asked);
        break;
    default:
        dap->health->protocol_errors++;
        fail_with(dap, IMP_E_LINK_PARITY,
                  "the chip's acknowledge %u is none of SWD's, after %u of %u transfers", ack, done, asked);
    }
}

static void check_transfer(ImpDap *dap, const Packet *packet, const guint8 *response, gsize n_bytes)
{
    gsize head = packet->kind == PACKET_BLOCK ? BLOCK_RESPONSE : TRANSFER_HEAD;
    guint command = packet->kind == PACKET_BLOCK ? CMD_TRANSFER_BLOCK : CMD_TRANSFER;
    if (n_bytes < head || response[0] != command) {
        fail_with(dap, IMP_E_PROBE_PROTOCOL, "answer to command 0x%02X has %zu bytes and begins with 0x%02X",
                  command, n_bytes, n_bytes > 0 ? response[0] : 0);
        return;
    }
    guint done = packet->kind == PACKET_BLOCK ? response[1] | response[2] << 8 : response[1];
    guint ack = packet->kind == PACKET_BLOCK ? response[3] : response[2];
    if (done > packet->n_transfers || (ack == ACK_OK && done != packet->n_transfers)) {
        fail_with(dap, IMP_E_PROBE_PROTOCOL, "answer tells of %u transfers, %u were asked for", done,
                  packet->n_transfers);
        return;
    }
    if (ack != ACK_OK) {
        fail_ack(dap, ack, done, packet->n_transfers);
        return;
    }
    gsize wanted = head + 4 * (gsize)packet->n_reads;
    if (n_bytes < wanted || (n_bytes > wanted && !dap->probe->padded)) {
        fail_with(dap, IMP_E_PROBE_PROTOCOL, "answer has %zu bytes in place of %zu", n_bytes, wanted);
        return;
    }
    if (packet->kind == PACKET_BLOCK) {
        if (packet->n_reads > 0)
            memcpy(packet->out[0], response + head, 4 * (gsize)packet->n_reads);
        return;
    }
    for (guint i = 0; i < packet->n_reads; i++)
        memcpy(packet->out[i], response + head + 4 * (gsize)i, 4);
}

/* Takes the answer of the oldest packet in flight. After a failure the answers still come and are thrown away. */
static void collect_one(ImpDap *dap)
{
    g_assert(dap->collected < dap->submitted);
    const Packet *packet = &dap->flight[dap->collected % IMP_PROBE_PACKETS_MAX];
    dap->collected++;
    if (dap->broken != NULL)
        return;
    guint8 response[IMP_PROBE_PACKET_BYTES_MAX];
    gsize n_bytes = 0;
    GError *error = NULL;
    if (!imp_probe_collect(dap->probe, response, sizeof response, &n_bytes, IMP_PROBE_TIMEOUT_MS, &error)) {
        fail(dap, error);
        return;
    }
    if (dap->failure == NULL)
        check_transfer(dap, packet, response, n_bytes);
}

static void begin_packet(ImpDap *dap)
{
    dap->request_bytes = 0;
    dap->filling.n_transfers = 0;
    dap->filling.n_reads = 0;
}

static void submit_filled(ImpDap *dap)
{
    if (dap->request_bytes == 0)
        return;
    if (dap->submitted - dap->collected >= dap->packet_count)
        collect_one(dap);
    if (dap->broken != NULL && dap->failure == NULL)
        dap->failure = g_error_copy(dap->broken);
    if (dap->failure != NULL) { /* the link is in doubt: nothing more is sent until the owner has looked */
        begin_packet(dap);
        return;
    }
    if (dap->filling.kind == PACKET_TRANSFER)
        dap->request[2] = (guint8)dap->filling.n_transfers;
    GError *error = NULL;
    if (!imp_probe_submit(dap->probe, dap->request, dap->request_bytes, &error)) {
        fail(dap, error);
        begin_packet(dap);
        return;
    }
    dap->health->packets++;
    dap->health->transfers += dap->filling.n_transfers;
    dap->flight[dap->submitted % IMP_PROBE_PACKETS_MAX] = dap->filling;
    dap->submitted++;
    begin_packet(dap);
}

void imp_dap_kick(ImpDap *dap)
{
    submit_filled(dap);
}

guint64 imp_dap_ticket(const ImpDap *dap)
{
    return dap->submitted + (dap->request_bytes > 0 ? 1 : 0);
}

gboolean imp_dap_is_done(const ImpDap *dap, guint64 ticket)
{
    return dap->failure == NULL && dap->collected >= ticket;
}

gboolean imp_dap_is_broken(const ImpDap *dap)
{
    return dap->broken != NULL;
}

/* After a failure: takes all answers that still come, forgets what was queued, hands the error over. */
static gboolean give_up(ImpDap *dap, GError **error)
{
    while (dap->collected < dap->submitted)
        collect_one(dap);
    begin_packet(dap);
    g_propagate_error(error, g_steal_pointer(&dap->failure));
    return FALSE;
}

gboolean imp_dap_wait(ImpDap *dap, guint64 ticket, GError **error)
{
    if (ticket > dap->submitted)
        submit_filled(dap);
    while (dap->failure == NULL && dap->collected < ticket && dap->collected < dap->submitted)
        collect_one(dap);
    return dap->failure == NULL ? TRUE : give_up(dap, error);
}

gboolean imp_dap_flush(ImpDap *dap, GError **error)
{
    return imp_dap_wait(dap, imp_dap_ticket(dap), error);
}

/* Makes room for one more transfer of request_bytes and response_bytes in a DAP_Transfer packet. */
static void make_room(ImpDap *dap, gsize request_bytes, gsize response_bytes)
{
    if (dap->request_bytes > 0 && (dap->request_bytes + request_bytes > dap->packet_bytes ||
                                   dap->response_bytes + response_bytes > dap->packet_bytes ||
                                   dap->filling.n_transfers == TRANSFERS_MAX))
        submit_filled(dap);
    if (dap->request_bytes == 0) {
        dap->filling.kind = PACKET_TRANSFER;
        memcpy(dap->request, (guint8[]){CMD_TRANSFER, 0, 0}, TRANSFER_HEAD);
        dap->request_bytes = TRANSFER_HEAD;
        dap->response_bytes = TRANSFER_HEAD;
    }
}

static void queue_write(ImpDap *dap, ImpDapRegister reg, const guint8 word[4])
{
    make_room(dap, 5, 0);
    dap->request[dap->request_bytes] = (guint8)reg;
    memcpy(dap->request + dap->request_bytes + 1, word, 4);
    dap->request_bytes += 5;
    dap->filling.n_transfers++;
}

void imp_dap_write(ImpDap *dap, ImpDapRegister reg, guint32 value)
{
    guint8 word[4];
    imp_put_le32(word, value);
    queue_write(dap, reg, word);
}

void imp_dap_read(ImpDap *dap, ImpDapRegister reg, guint8 out[4])
{
    make_room(dap, 1, 4);
    dap->request[dap->request_bytes++] = (guint8)(reg | REQUEST_READ);
    dap->response_bytes += 4;
    dap->filling.out[dap->filling.n_reads++] = out;
    dap->filling.n_transfers++;
}

/* A packet of its own: DAP_TransferBlock carries more words than DAP_Transfer, but nothing else. */
static void queue_block(ImpDap *dap, ImpDapRegister reg, gboolean is_read, guint8 *out, const guint8 *bytes,
                        gsize n_words)
{
    submit_filled(dap);
    guint8 request = (guint8)(reg | (is_read ? REQUEST_READ : 0));
    memcpy(dap->request, (guint8[]){CMD_TRANSFER_BLOCK, 0, (guint8)n_words, (guint8)(n_words >> 8), request},
           BLOCK_HEAD);
    if (!is_read)
        memcpy(dap->request + BLOCK_HEAD, bytes, n_words * 4);
    dap->request_bytes = BLOCK_HEAD + (is_read ? 0 : n_words * 4);
    dap->filling.kind = PACKET_BLOCK;
    dap->filling.n_transfers = (guint)n_words;
    dap->filling.n_reads = is_read ? (guint)n_words : 0;
    dap->filling.out[0] = out;
    submit_filled(dap);
}

/* The probe checks the last write of every packet with one more transfer, so full packets are the goal: a block where
 * it fills one and the present packet is empty, else single transfers behind what is already there. */
void imp_dap_write_words(ImpDap *dap, ImpDapRegister reg, const guint8 *bytes, gsize n_words)
{
    gsize block_words = (dap->packet_bytes - BLOCK_HEAD) / 4;
    gsize single_words = MIN((dap->packet_bytes - TRANSFER_HEAD) / 5, TRANSFERS_MAX);
    while (n_words > 0) {
        if (dap->request_bytes == 0 && n_words > single_words) {
            gsize now = MIN(n_words, block_words);
            queue_block(dap, reg, FALSE, NULL, bytes, now);
            bytes += now * 4;
            n_words -= now;
            continue;
        }
        queue_write(dap, reg, bytes);
        bytes += 4;
        n_words--;
        if (dap->request_bytes + 5 > dap->packet_bytes)
            submit_filled(dap);
    }
}

void imp_dap_read_words(ImpDap *dap, ImpDapRegister reg, guint8 *out, gsize n_words)
{
    gsize block_words = (dap->packet_bytes - BLOCK_RESPONSE) / 4;
    while (n_words > 0) {
        if (dap->request_bytes == 0 && n_words >= block_words) {
            queue_block(dap, reg, TRUE, out, NULL, block_words);
            out += block_words * 4;
            n_words -= block_words;
            continue;
        }
        imp_dap_read(dap, reg, out);
        out += 4;
        n_words--;
        if (dap->response_bytes + 4 > dap->packet_bytes)
            submit_filled(dap);
    }
}

/* One command that is no transfer, waited for. out_n may be NULL: then the answer must be exactly cap long. */
static gboolean command(ImpDap *dap, const guint8 *request, gsize n_bytes, guint8 *response, gsize cap,
                        gsize *out_n, GError **error)
{
    if (!imp_dap_flush(dap, error))
        return FALSE;
    guint8 packet[IMP_PROBE_PACKET_BYTES_MAX];
    gsize got = 0;
    GError *why = dap->broken != NULL ? g_error_copy(dap->broken) : NULL;
    dap->health->packets++;
    if (why == NULL && imp_probe_submit(dap->probe, request, n_bytes, &why) &&
        imp_probe_collect(dap->probe, packet, sizeof packet, &got, IMP_PROBE_TIMEOUT_MS, &why)) {
        gboolean longer = got > cap && !dap->probe->padded;
        if (got < 1 || packet[0] != request[0] || longer || (out_n == NULL && got < cap))
            imp_error_set(&why, IMP_E_PROBE_PROTOCOL,
                          "%s: answer to command 0x%02X has %zu bytes and begins with 0x%02X",
                          dap->probe->name, request[0], got, got > 0 ? packet[0] : 0);
    }
    if (why != NULL) {
        set_broken(dap, why);
        g_propagate_error(error, why);
        return FALSE;
    }
    memcpy(response, packet, MIN(got, cap));
    if (out_n != NULL)
        *out_n = MIN(got, cap);
    return TRUE;
}

/* A command whose answer is one status byte: 0 is good. */
static gboolean command_status(ImpDap *dap, const guint8 *request, gsize n_bytes, const char *what,
                               GError **error)
{
    guint8 response[2];
    if (!command(dap, request, n_bytes, response, sizeof response, NULL, error))
        return FALSE;
    if (response[1] == 0)
        return TRUE;
    imp_error_set(error, IMP_E_PROBE_UNSUPPORTED, "%s: the probe refuses to %s", dap->probe->name, what);
    return FALSE;
}

/* A number that the probe tells of itself; fallback if it does not know. */
static gboolean info_number(ImpDap *dap, guint8 id, guint fallback, guint *out, GError **error)
{
    guint8 response[2 + INFO_TEXT_MAX];
    gsize got = 0;
    if (!command(dap, (guint8[]){CMD_INFO, id}, 2, response, sizeof response, &got, error))
        return FALSE;
    guint length = got >= 2 ? response[1] : 255;
    if (length > 4 || got < 2 + (gsize)length || (got > 2 + (gsize)length && !dap->probe->padded)) {
        GError *why = NULL;
        imp_error_set(&why, IMP_E_PROBE_PROTOCOL, "%s: information 0x%02X is malformed", dap->probe->name,
                      id);
        set_broken(dap, why);
        g_propagate_error(error, why);
        return FALSE;
    }
    guint value = 0;
    for (guint i = 0; i < length; i++)
        value |= (guint)response[2 + i] << (8 * i);
    *out = length == 0 ? fallback : value;
    return TRUE;
}

static gboolean ask_and_connect(ImpDap *dap, GError **error)
{
    guint bytes, count, capabilities;
    if (!info_number(dap, INFO_PACKET_BYTES, IMP_PROBE_PACKET_BYTES_MIN, &bytes, error) ||
        !info_number(dap, INFO_PACKET_COUNT, 1, &count, error) ||
        !info_number(dap, INFO_CAPABILITIES, CAPABILITY_SWD, &capabilities, error))
        return FALSE;
    if ((capabilities & CAPABILITY_SWD) == 0) {
        imp_error_set(error, IMP_E_PROBE_UNSUPPORTED, "%s: the probe has no SWD", dap->probe->name);
        return FALSE;
    }
    if (bytes < IMP_PROBE_PACKET_BYTES_MIN || count < 1) {
        imp_error_set(error, IMP_E_PROBE_UNSUPPORTED,
                      "%s: the probe takes packets of %u bytes, %u at a time; at least %d bytes, 1 at a "
                      "time, are needed",
                      dap->probe->name, bytes, count, IMP_PROBE_PACKET_BYTES_MIN);
        return FALSE;
    }
    dap->packet_bytes = MIN(bytes, dap->probe->packet_bytes_max);
    dap->probe->packet_bytes = dap->packet_bytes;
    dap->packet_count = MIN(count, IMP_PROBE_PACKETS_MAX);
    guint8 response[2];
    if (!command(dap, (guint8[]){CMD_CONNECT, PORT_SWD}, 2, response, sizeof response, NULL, error))
        return FALSE;
    if (response[1] != PORT_SWD) {
        imp_error_set(error, IMP_E_PROBE_UNSUPPORTED, "%s: the probe does not connect to SWD",
                      dap->probe->name);
        return FALSE;
    }
    dap->connected = TRUE;
    return TRUE;
}

ImpDap *imp_dap_open(ImpProbe *probe, ImpLinkHealth *health, GError **error)
{
    g_assert(probe->packet_bytes_max >= IMP_PROBE_PACKET_BYTES_MIN &&
             probe->packet_bytes_max <= IMP_PROBE_PACKET_BYTES_MAX);
    g_autoptr(ImpDap) dap = g_new0(ImpDap, 1);
    dap->probe = probe;
    dap->health = health;
    dap->packet_bytes = IMP_PROBE_PACKET_BYTES_MIN;
    dap->packet_count = 1;
    return ask_and_connect(dap, error) ? g_steal_pointer(&dap) : NULL;
}

void imp_dap_free(ImpDap *dap)
{
    if (dap == NULL)
        return;
    g_autoptr(GError) ignored = NULL;
    if (!imp_dap_flush(dap, &ignored))
        g_debug("while closing: %s", ignored->message);
    g_autoptr(GError) refused = NULL;
    if (dap->connected && dap->broken == NULL &&
        !command_status(dap, (guint8[]){CMD_DISCONNECT}, 1, "disconnect", &refused))
        g_debug("while closing: %s", refused->message);
    g_clear_error(&dap->failure);
    g_clear_error(&dap->broken);
    g_free(dap);
}

gsize imp_dap_flight_bytes(const ImpDap *dap)
{
    return (dap->packet_bytes - BLOCK_RESPONSE) / 4 * 4 * dap->packet_count;
}

gboolean imp_dap_configure(ImpDap *dap, guint32 swd_hz, GError **error)
{
    guint8 clock[5] = {CMD_SWJ_CLOCK};
    imp_put_le32(clock + 1, swd_hz);
    const guint8 transfer[] = {CMD_TRANSFER_CONFIGURE, 0, WAIT_REPEATS & 0xFF, WAIT_REPEATS >> 8, 0, 0};
    g_autofree char *what = g_strdup_printf("set SWCLK to %u Hz", swd_hz);
    return command_status(dap, clock, sizeof clock, what, error) &&
           command_status(dap, transfer, sizeof transfer, "configure transfers", error) &&
           command_status(dap, (guint8[]){CMD_SWD_CONFIGURE, 0}, 2, "configure SWD", error);
}

gboolean imp_dap_sequence(ImpDap *dap, const guint8 *bits, guint n_bits, GError **error)
{
    g_assert(n_bits >= 1 && n_bits <= 256);
    guint8 request[2 + 32] = {CMD_SWJ_SEQUENCE, (guint8)n_bits}; /* 0 stands for 256 */
    gsize n_bytes = (n_bits + 7) / 8;
    memcpy(request + 2, bits, n_bytes);
    return command_status(dap, request, 2 + n_bytes, "send a sequence", error);
}

gboolean imp_dap_pins(ImpDap *dap, guint8 value, guint8 mask, GError **error)
{
    guint8 request[7] = {CMD_SWJ_PINS, value, mask};
    imp_put_le32(request + 3, PIN_WAIT_US);
    guint8 response[2]; /* the pins as they are now: an open-drain reset may rise late */
    return command(dap, request, sizeof request, response, sizeof response, NULL, error);
}
