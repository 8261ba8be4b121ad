/* A Cortex-M behind a GDB server (OpenOCD, J-Link, pyOCD, Black Magic Probe, QEMU): ImpTarget by the GDB remote serial
 * protocol in all-stop mode.
 *
 * Source: GDB manual, appendix "GDB Remote Serial Protocol": "Packets", "Stop Reply Packets", "General Query Packets". */
#include "target/target-internal.h"

#include "base/error.h"
#include "target/gdb_packet.h"
#include "target/tcp.h"

#include <string.h>

#define SCS_CPUID         0xE000ED00u /* ARM DDI 0419, B3.2 */
#define ANSWER_MS         5000
#define RESET_MS          15000
#define STOP_MS           3000
#define REOPEN_MS         2000 /* a server that still lets its last client go refuses the next one */
#define REOPEN_PAUSE_MS   50
#define SLICE_MS          100 /* how late a cancel may be seen */
#define RESENDS_MAX       3
#define PAYLOAD_MIN       128
#define PAYLOAD_DEFAULT   400 /* of servers that do not tell: what every GDB stub takes */
#define HEAD_MAX          32 /* "X20000000,400:" and the frame */
#define XML_MAX           (64 * 1024)
#define XML_FILES_MAX     8
#define REGISTER_XPSR_GDB 25 /* where descriptions without numbers have it */
#define PACKET_IS_MORE    'm'
#define CONTROL_C         0x03

typedef struct {
    ImpTarget target;
    char name[IMP_PROBE_NAME_MAX];
    ImpTcp tcp;
    ImpGdbDecoder decoder;
    guint8 input[4096];
    gsize input_at, input_bytes;
    GByteArray *sent; /* the last frame, to send it again */
    gsize payload_max; /* characters that the server takes and sends */
    gboolean has_x, running, left, is_qemu, heard;
    guint xpsr; /* its register number */
    char break_kind; /* '0', '1': Z packet that set the breakpoint; 0: none */
    guint32 break_at;
    gboolean looks; /* nothing is reset */
} GdbTarget;

static gboolean fail_protocol(GdbTarget *self, const char *asked, GError **error)
{
    g_autofree char *got = g_strndup((const char *)self->decoder.payload, MIN(self->decoder.n_bytes, 40));
    g_autofree char *shown = g_strescape(got, NULL);
    imp_error_set(error, IMP_E_PROBE_PROTOCOL, "%s: the GDB server answers \"%s\" to \"%s\"", self->name,
                  shown, asked);
    return FALSE;
}

static gboolean fail_late(GdbTarget *self, GError **error)
{
    imp_error_set(error, IMP_E_PROBE_TIMEOUT, "%s: the GDB server does not answer", self->name);
    return FALSE;
}

static gboolean send_bytes(GdbTarget *self, const void *bytes, gsize n_bytes, GError **error)
{
    return imp_tcp_send(&self->tcp, bytes, n_bytes, imp_tcp_deadline_us(&self->tcp, ANSWER_MS), error);
}

/* Waits for the next packet; it is in the decoder then. */
static gboolean next_packet(GdbTarget *self, gint64 deadline_us, GError **error)
{
    gboolean waited = FALSE;
    for (guint bad = 0; bad <= RESENDS_MAX;) {
        if (self->input_at == self->input_bytes) {
            /* a server that talks on and on without a packet */
            if (waited && imp_clock_boot_us(self->tcp.clock) >= deadline_us)
                return fail_late(self, error);
            waited = TRUE;
            self->input_at = 0;
            self->input_bytes =
                imp_tcp_receive(&self->tcp, self->input, sizeof self->input, deadline_us, error);
            if (self->input_bytes == 0)
                return FALSE;
            self->heard = TRUE;
        }
        switch (imp_gdb_take(&self->decoder, self->input[self->input_at++])) {
        case IMP_GDB_PACKET:
            return send_bytes(self, "+", 1, error);
        case IMP_GDB_BAD:
            bad++;
            if (!send_bytes(self, "-", 1, error))
                return FALSE;
            break;
        case IMP_GDB_NAK:
            bad++;
            if (!send_bytes(self, self->sent->data, self->sent->len, error))
                return FALSE;
            break;
        case IMP_GDB_ACK:
        case IMP_GDB_MORE:
            break;
        }
    }
    imp_error_set(error, IMP_E_PROBE_PROTOCOL, "%s: packets of the GDB server are damaged again and again",
                  self->name);
    return FALSE;
}

static gboolean send_packet(GdbTarget *self, const guint8 *payload, gsize n_bytes, GError **error)
{
    g_byte_array_set_size(self->sent, 0);
    imp_gdb_frame(self->sent, payload, n_bytes);
    self->target.health.packets++;
    return send_bytes(self, self->sent->data, self->sent->len, error);
}

static gboolean check_cancel(const GdbTarget *self, GError **error)
{
    if (self->target.cancel == NULL || g_atomic_int_get(self->target.cancel) == 0)
        return TRUE;
    imp_error_set(error, IMP_E_CANCELLED, "cancelled");
    return FALSE;
}

/* One request and its answer. */
static gboolean ask_bytes(GdbTarget *self, const guint8 *payload, gsize n_bytes, GError **error)
{
    return send_packet(self, payload, n_bytes, error) &&
           next_packet(self, imp_tcp_deadline_us(&self->tcp, ANSWER_MS), error);
}

G_GNUC_PRINTF(3, 4)
static gboolean ask(GdbTarget *self, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return ask_bytes(self, (const guint8 *)text, strlen(text), error);
}

static gboolean is_answer(const GdbTarget *self, const char *text)
{
    return self->decoder.n_bytes == strlen(text) &&
           memcmp(self->decoder.payload, text, self->decoder.n_bytes) == 0;
}

/* ---- memory ---- */

static gboolean fail_memory(GdbTarget *self, guint64 address, const char *what, GError **error)
{
    if (!imp_gdb_is_error(&self->decoder))
        return fail_protocol(self, what, error);
    imp_error_set_at(error, IMP_E_BUS_FAULT, address, NULL, NULL, 0,
                     "%s: the GDB server cannot %s memory at 0x%08" G_GINT64_MODIFIER "X (%s)", self->name,
                     what, address, (const char *)self->decoder.payload);
    return FALSE;
}

static gboolean check_range(guint64 address, gsize n_bytes, GError **error)
{
    if (n_bytes <= IMP_TARGET_ACCESS_MAX && address <= G_MAXUINT32 && n_bytes <= 0x100000000u - address)
        return TRUE;
    imp_error_set(error, IMP_E_ARGUMENT, "%zu bytes at 0x%" G_GINT64_MODIFIER "X: no place in the target",
                  n_bytes, address);
    return FALSE;
}

static gboolean gdb_read(ImpTarget *target, guint64 address, void *out, gsize n_bytes, GError **error)
{
    GdbTarget *self = (GdbTarget *)target;
    guint8 *to = out;
    g_autofree guint8 *part = g_malloc(IMP_GDB_PACKET_MAX);
    if (!check_range(address, n_bytes, error))
        return FALSE;
    for (gsize done = 0; done < n_bytes;) {
        gsize now = MIN(n_bytes - done, (self->payload_max - HEAD_MAX) / 2);
        if (!check_cancel(self, error) ||
            !ask(self, error, "m%" G_GINT64_MODIFIER "x,%zx", address + done, now))
            return FALSE;
        gsize got = self->decoder.n_bytes / 2; /* may be less than asked for */
        if (self->decoder.n_bytes % 2 != 0 || got == 0 || got > now || imp_gdb_is_error(&self->decoder) ||
            !imp_gdb_unhex(self->decoder.payload, part, got))
            return fail_memory(self, address + done, "read", error);
        memcpy(to + done, part, got);
        done += got;
    }
    return TRUE;
}

/* X carries bytes, with an escape before those that mean something in a packet; M carries two digits for each. */
static void append_bytes(GByteArray *to, gboolean binary, const guint8 *bytes, gsize n_bytes)
{
    for (gsize i = 0; i < n_bytes; i++) {
        guint8 byte = bytes[i];
        if (!binary) {
            char digits[3];
            g_snprintf(digits, sizeof digits, "%02x", byte);
            g_byte_array_append(to, (const guint8 *)digits, 2);
        } else if (byte == '}' || byte == '#' || byte == '$' || byte == '*') {
            g_byte_array_append(to, (guint8[]){'}', byte ^ 0x20}, 2);
        } else {
            g_byte_array_append(to, &byte, 1);
        }
    }
}

static gboolean gdb_write(ImpTarget *target, guint64 address, const void *bytes, gsize n_bytes,
                          GError **error)
{
    GdbTarget *self = (GdbTarget *)target;
    g_autoptr(GByteArray) packet = g_byte_array_new();
    if (!check_range(address, n_bytes, error))
        return FALSE;
    for (gsize done = 0; done < n_bytes;) {
        gsize now = MIN(n_bytes - done, (self->payload_max - HEAD_MAX) / 2);
        char head[HEAD_MAX];
        g_snprintf(head, sizeof head, "%c%" G_GINT64_MODIFIER "x,%zx:", self->has_x ? 'X' : 'M',
                   address + done, now);
        g_byte_array_set_size(packet, 0);
        g_byte_array_append(packet, (const guint8 *)head, (guint)strlen(head));
        append_bytes(packet, self->has_x, (const guint8 *)bytes + done, now);
        if (!check_cancel(self, error) || !ask_bytes(self, packet->data, packet->len, error))
            return FALSE;
        if (!is_answer(self, "OK"))
            return fail_memory(self, address + done, "write", error);
        done += now;
    }
    return TRUE;
}

/* ---- core ---- */

/* Waits for the report that the core stands; *out_halted is FALSE if it does not come until then. */
static gboolean wait_stop(GdbTarget *self, guint limit_ms, gboolean *out_halted, GError **error)
{
    gint64 end = imp_tcp_deadline_us(&self->tcp, limit_ms);
    *out_halted = FALSE;
    for (;;) {
        GError *why = NULL;
        gint64 slice = MIN(end, imp_tcp_deadline_us(&self->tcp, SLICE_MS));
        if (!check_cancel(self, error))
            return FALSE;
        if (!next_packet(self, slice, &why)) {
            if (why->code != IMP_E_PROBE_TIMEOUT) {
                g_propagate_error(error, why);
                return FALSE;
            }
            g_error_free(why);
            if (imp_clock_boot_us(self->tcp.clock) >= end)
                return TRUE;
            continue;
        }
        switch (self->decoder.payload[0]) {
        case 'T':
        case 'S':
            self->running = FALSE;
            *out_halted = TRUE;
            return TRUE;
        case 'O': /* output of the server or of the firmware */
            if (imp_clock_boot_us(self->tcp.clock) >= end)
                return TRUE;
            break;
        default:
            return fail_protocol(self, "c", error);
        }
    }
}

static gboolean gdb_wait_halt(ImpTarget *target, guint limit_ms, gboolean *out_halted, GError **error)
{
    GdbTarget *self = (GdbTarget *)target;
    if (self->running)
        return wait_stop(self, limit_ms, out_halted, error);
    *out_halted = TRUE;
    return TRUE;
}

static gboolean gdb_halt(ImpTarget *target, GError **error)
{
    GdbTarget *self = (GdbTarget *)target;
    gboolean halted = TRUE;
    if (!self->running)
        return TRUE;
    if (!send_bytes(self, (guint8[]){CONTROL_C}, 1, error) || !wait_stop(self, STOP_MS, &halted, error))
        return FALSE;
    if (!halted)
        imp_error_set(error, IMP_E_CORE_NOT_HALTED, "%s: the core does not halt within %d ms", self->name,
                      STOP_MS);
    return halted;
}

static gboolean gdb_resume(ImpTarget *target, GError **error)
{
    GdbTarget *self = (GdbTarget *)target;
    if (!send_packet(self, (const guint8 *)"c", 1, error))
        return FALSE;
    self->running = TRUE;
    return TRUE;
}

/* A command of the server's own. Its output is thrown away. */
static gboolean monitor(GdbTarget *self, const char *command, GError **error)
{
    g_autoptr(GByteArray) packet = g_byte_array_new();
    g_byte_array_append(packet, (const guint8 *)"qRcmd,", 6);
    append_bytes(packet, FALSE, (const guint8 *)command, strlen(command));
    gint64 end = imp_tcp_deadline_us(&self->tcp, RESET_MS);
    if (!send_packet(self, packet->data, packet->len, error))
        return FALSE;
    do {
        if (imp_clock_boot_us(self->tcp.clock) >= end)
            return fail_late(self, error);
        if (!next_packet(self, end, error))
            return FALSE;
    } while (self->decoder.payload[0] == 'O' && !is_answer(self, "OK"));
    return is_answer(self, "OK") || fail_protocol(self, command, error);
}

/* QEMU has another word for it, and leaves the machine as it was: stopped. */
static gboolean gdb_reset_halt(ImpTarget *target, GError **error)
{
    GdbTarget *self = (GdbTarget *)target;
    return gdb_halt(target, error) && monitor(self, self->is_qemu ? "system_reset" : "reset halt", error);
}

static gboolean remove_break(GdbTarget *self, GError **error)
{
    if (self->break_kind == 0)
        return TRUE;
    char kind = self->break_kind;
    self->break_kind = 0;
    return ask(self, error, "z%c,%x,2", kind, self->break_at);
}

static gboolean detach(GdbTarget *self, GError **error)
{
    if (!remove_break(self, error) || !ask(self, error, "D"))
        return FALSE;
    self->left = TRUE;
    return is_answer(self, "OK") || fail_protocol(self, "D", error);
}

static gboolean gdb_reset_run(ImpTarget *target, GError **error)
{
    GdbTarget *self = (GdbTarget *)target;
    return gdb_reset_halt(target, error) && detach(self, error);
}

static gboolean gdb_break_at(ImpTarget *target, guint32 address, GError **error)
{
    GdbTarget *self = (GdbTarget *)target;
    if (!remove_break(self, error))
        return FALSE;
    self->break_at = address;
    for (char kind = '0'; kind <= '1' && self->break_kind == 0; kind++) {
        if (!ask(self, error, "Z%c,%x,2", kind, address))
            return FALSE;
        if (is_answer(self, "OK"))
            self->break_kind = kind;
    }
    return TRUE; /* a server that knows neither shows the BKPT that is there */
}

static guint register_number(const GdbTarget *self, guint number)
{
    return number == IMP_REGISTER_XPSR ? self->xpsr : number;
}

static gboolean gdb_read_register(ImpTarget *target, guint number, guint32 *out_value, GError **error)
{
    GdbTarget *self = (GdbTarget *)target;
    guint8 bytes[4];
    if (!ask(self, error, "p%x", register_number(self, number)))
        return FALSE;
    if (self->decoder.n_bytes != 8 || !imp_gdb_unhex(self->decoder.payload, bytes, sizeof bytes))
        return fail_protocol(self, "p", error);
    *out_value = imp_le32(bytes);
    return TRUE;
}

static gboolean gdb_write_registers(ImpTarget *target, const ImpCoreRegister *registers, gsize n_registers,
                                    GError **error)
{
    GdbTarget *self = (GdbTarget *)target;
    for (gsize i = 0; i < n_registers; i++) {
        if (!ask(self, error, "P%x=%08x", register_number(self, registers[i].number),
                 GUINT32_SWAP_LE_BE(registers[i].value)))
            return FALSE;
        if (!is_answer(self, "OK"))
            return fail_protocol(self, "P", error);
    }
    return TRUE;
}

/* ---- begin and end ---- */

static void gdb_detach(ImpTarget *target)
{
    GdbTarget *self = (GdbTarget *)target;
    g_autoptr(GError) ignored = NULL;
    target->cancel = NULL; /* a cancelled job still has to let go of the chip */
    if (self->tcp.fd >= 0 && !self->left && (!gdb_halt(target, &ignored) || !detach(self, &ignored)))
        g_debug("while detaching: %s", ignored->message);
    imp_tcp_close(&self->tcp);
    g_byte_array_unref(self->sent);
    g_free(self);
}

/* What the server takes. Lines are "PacketSize=1000;qXfer:features:read+;...". */
static gboolean ask_features(GdbTarget *self, GError **error)
{
    if (!ask(self, error, "qSupported:xmlRegisters=arm"))
        return FALSE;
    self->payload_max = PAYLOAD_DEFAULT;
    const char *size = strstr((const char *)self->decoder.payload, "PacketSize=");
    if (size != NULL)
        self->payload_max = (gsize)CLAMP(g_ascii_strtoull(size + strlen("PacketSize="), NULL, 16),
                                         PAYLOAD_MIN, IMP_GDB_PACKET_MAX);
    return TRUE;
}

/* Appends one file of the target description; a server without one answers nothing. */
static gboolean append_xml(GdbTarget *self, GString *xml, const char *name, GError **error)
{
    for (gsize offset = 0; xml->len < XML_MAX;) {
        if (!ask(self, error, "qXfer:features:read:%s:%zx,%zx", name, offset, self->payload_max - HEAD_MAX))
            return FALSE;
        if (self->decoder.n_bytes < 2 || strchr("ml", self->decoder.payload[0]) == NULL)
            return TRUE;
        g_string_append_len(xml, (const char *)self->decoder.payload + 1, (gssize)self->decoder.n_bytes - 1);
        offset += self->decoder.n_bytes - 1;
        if (self->decoder.payload[0] != PACKET_IS_MORE)
            return TRUE;
    }
    return TRUE;
}

/* QEMU gives access to single registers only after its description was read. */
static gboolean read_description(GdbTarget *self, GError **error)
{
    static const char include[] = "href=\"";
    g_autoptr(GString) xml = g_string_new("");
    if (!append_xml(self, xml, "target.xml", error))
        return FALSE;
    gsize own = xml->len, at = 0;
    for (guint i = 0; i < XML_FILES_MAX; i++) {
        const char *found = at < own ? g_strstr_len(xml->str + at, (gssize)(own - at), include) : NULL;
        if (found == NULL)
            break;
        found += strlen(include);
        at = (gsize)(found - xml->str);
        g_autofree char *name = g_strndup(found, strcspn(found, "\"<>#$*}:"));
        if (!append_xml(self, xml, name, error))
            return FALSE;
    }
    self->xpsr = imp_gdb_find_register(xml->str, "xpsr", REGISTER_XPSR_GDB);
    return TRUE;
}

static gboolean begin(GdbTarget *self, GError **error)
{
    if (!ask_features(self, error) || !read_description(self, error) || !ask(self, error, "?"))
        return FALSE;
    self->running = self->decoder.payload[0] != 'T' && self->decoder.payload[0] != 'S';
    if (!gdb_halt(&self->target, error) || !ask(self, error, "qqemu.PhyMemMode"))
        return FALSE;
    self->is_qemu = self->decoder.n_bytes == 1;
    return self->looks || gdb_reset_halt(&self->target, error);
}

static gboolean identify(GdbTarget *self, GError **error)
{
    guint8 word[4];
    if (!gdb_read(&self->target, SCS_CPUID, word, sizeof word, error))
        return FALSE;
    self->target.id.cpuid = imp_le32(word);
    guint implementer = self->target.id.cpuid >> 24;
    if (implementer != 0 && implementer != 0xFF)
        return TRUE;
    imp_error_set(error, IMP_E_UNKNOWN_CORE, "%s: no Cortex-M core (CPUID 0x%08X)", self->name,
                  self->target.id.cpuid);
    return FALSE;
}

/* X is the faster one; an empty write tells whether the server knows it. */
static gboolean ask_for_x(GdbTarget *self, GError **error)
{
    if (!ask(self, error, "X0,0:"))
        return FALSE;
    self->has_x = is_answer(self, "OK");
    return TRUE;
}

/* The clock is the server's affair. */
static gboolean gdb_slow_down(ImpTarget *target, const GError *why, GError **error)
{
    g_propagate_error(error, g_error_copy(why));
    return FALSE;
}

/* Connects and begins. Servers serve one client at a time, and some need a moment until they have seen the last one go: who is
 * closed out before the first word tries again for a while. */
static gboolean open_server(GdbTarget *self, const char *address, GError **error)
{
    const ImpClock *clock = self->target.clock;
    gint64 end_us = imp_clock_boot_us(clock) + REOPEN_MS * 1000;
    for (;;) {
        GError *why = NULL;
        if (imp_tcp_open(&self->tcp, "gdb", address, IMP_TARGET_GDB_PORT, clock, &why) && begin(self, &why))
            return TRUE;
        if (why->code != IMP_E_PROBE_LOST || self->heard || imp_clock_boot_us(clock) >= end_us ||
            !check_cancel(self, NULL)) {
            g_propagate_error(error, why);
            return FALSE;
        }
        g_error_free(why);
        imp_tcp_close(&self->tcp);
        imp_clock_sleep_us(clock, REOPEN_PAUSE_MS * 1000);
    }
}

static ImpTarget *open_target(const char *address, const ImpClock *clock, const ImpTargetOptions *options,
                              gboolean looks, GError **error)
{
    static const ImpTargetOps ops = {gdb_detach,    gdb_read,          gdb_write,           gdb_halt,
                                     gdb_resume,    gdb_reset_halt,    gdb_reset_run,       gdb_break_at,
                                     gdb_wait_halt, gdb_read_register, gdb_write_registers, gdb_slow_down,
                                     gdb_reset_run};
    GdbTarget *self = g_new0(GdbTarget, 1);
    self->target.ops = &ops;
    self->looks = looks;
    self->target.clock = clock;
    self->target.cancel = options->cancel;
    g_snprintf(self->name, sizeof self->name, "gdb:%s", address);
    self->tcp.name = self->name;
    self->sent = g_byte_array_new();
    GError *why = NULL;
    if (open_server(self, address, &why) && identify(self, &why) && ask_for_x(self, &why))
        return &self->target;
    imp_target_detach(&self->target);
    imp_error_set_step(&why, "attach");
    g_propagate_error(error, why);
    return NULL;
}

ImpTarget *imp_target_attach_gdb(const char *address, const ImpClock *clock, const ImpTargetOptions *options,
                                 GError **error)
{
    return open_target(address, clock, options, FALSE, error);
}

ImpTarget *imp_target_look_gdb(const char *address, const ImpClock *clock, const ImpTargetOptions *options,
                               GError **error)
{
    return open_target(address, clock, options, TRUE, error);
}
