/* A laboratory supply over TCP, in the words that makers share.
 *
 * Sources: SCPI-1999 volume 2, subsystems INSTrument (NSELect), SOURce (VOLTage), OUTPut, MEASure and SYSTem (ERRor?);
 * IEEE 488.2 (*CLS, and compound messages: "a;:b" is one message). Lines end with a line feed; nothing frames them (the
 * raw socket of LXI instruments).
 *
 * The output is chosen in the same message that acts on it: another port may have another output of the same supply. */
#include "target/power-drivers.h"

#include "base/error.h"
#include "target/tcp.h"

#include <string.h>

#define LINE_MAX_BYTES 128
#define SELECT_MAX     32

typedef struct {
    ImpPower power;
    guint channel; /* 0: none is chosen */
    const ImpScpiLinkOps *ops;
    void *link;
    gboolean cleared; /* the supply's old errors are gone: those that come now are ours */
} ScpiPower;

gboolean imp_scpi_parse_error(const char *answer, gint *out_number, const char **out_text,
                              gsize *out_text_bytes)
{
    char *end = NULL;
    if (*answer != '+' && *answer != '-' && !g_ascii_isdigit(*answer))
        return FALSE;
    gint64 number = g_ascii_strtoll(answer, &end, 10);
    if (end == answer || number < -32768 || number > 32767 || (*end != ',' && *end != '\0'))
        return FALSE;
    const char *text = "";
    gsize n_bytes = 0;
    if (*end == ',') { /* the text is for people: quotes are taken off where they are */
        text = end + 1 + strspn(end + 1, " \"");
        n_bytes = strlen(text);
        while (n_bytes > 0 && (text[n_bytes - 1] == '"' || text[n_bytes - 1] == ' '))
            n_bytes--;
    }
    *out_number = (gint)number;
    *out_text = text;
    *out_text_bytes = n_bytes;
    return TRUE;
}

static gboolean ask(ScpiPower *self, const char *line, char answer[IMP_SCPI_ANSWER_MAX + 1], GError **error)
{
    if (self->ops->send(self->link, line, error) && self->ops->receive(self->link, answer, error))
        return TRUE;
    self->cleared = FALSE;
    g_prefix_error(error, "%.*s: ", (int)strcspn(line, "\n"), line);
    return FALSE;
}

static gboolean fail_answer(ScpiPower *self, const char *line, const char *answer, GError **error)
{
    self->ops->drop(self->link);
    self->cleared = FALSE;
    g_autofree char *printable = g_strescape(answer, NULL);
    imp_error_set(error, IMP_E_POWER_PROTOCOL, "%s: answer \"%s\" to %.*s: not what SCPI says",
                  self->power.name, printable, (int)strcspn(line, "\n"), line);
    return FALSE;
}

/* Empties the supply's error queue; what is in it belongs to line. */
static gboolean check_errors(ScpiPower *self, const char *line, GError **error)
{
    static const char query[] = "SYST:ERR?\n";
    gint first = 0;
    g_autofree char *why = NULL;
    for (guint i = 0; i < IMP_SCPI_ERRORS_MAX; i++) {
        char answer[IMP_SCPI_ANSWER_MAX + 1];
        const char *text;
        gsize n_bytes;
        gint number;
        if (!ask(self, query, answer, error))
            return FALSE;
        if (!imp_scpi_parse_error(answer, &number, &text, &n_bytes))
            return fail_answer(self, query, answer, error);
        if (number == 0 && first == 0)
            return TRUE;
        if (number == 0) {
            imp_error_set(error, IMP_E_POWER_REFUSED, "%s: the supply says %d \"%s\" to %.*s",
                          self->power.name, first, why, (int)strcspn(line, "\n"), line);
            return FALSE;
        }
        if (first == 0) {
            g_autofree char *copy = g_strndup(text, n_bytes);
            first = number;
            why = g_strescape(copy, NULL);
        }
    }
    imp_error_set(error, IMP_E_POWER_PROTOCOL, "%s: more than %d errors in the supply's queue",
                  self->power.name, IMP_SCPI_ERRORS_MAX);
    return FALSE;
}

/* A new conversation begins: errors of others are not ours. */
static gboolean clear_errors(ScpiPower *self, GError **error)
{
    if (self->cleared)
        return TRUE;
    if (!self->ops->send(self->link, "*CLS\n", error))
        return FALSE;
    self->cleared = TRUE;
    return TRUE;
}

static void say_select(const ScpiPower *self, char text[SELECT_MAX])
{
    text[0] = '\0';
    if (self->channel != 0)
        g_snprintf(text, SELECT_MAX, "INST:NSEL %u;:", self->channel);
}

static gboolean tell(ScpiPower *self, const char *line, GError **error)
{
    if (!clear_errors(self, error))
        return FALSE;
    if (!self->ops->send(self->link, line, error)) {
        self->cleared = FALSE;
        return FALSE;
    }
    return check_errors(self, line, error);
}

static gboolean scpi_on(ImpPower *power, guint32 millivolts, GError **error)
{
    ScpiPower *self = (ScpiPower *)power;
    char line[LINE_MAX_BYTES], select[SELECT_MAX];
    say_select(self, select);
    if (millivolts != 0)
        g_snprintf(line, sizeof line, "%sVOLT %u.%03u;:OUTP ON\n", select, millivolts / 1000,
                   millivolts % 1000);
    else
        g_snprintf(line, sizeof line, "%sOUTP ON\n", select);
    return tell(self, line, error);
}

static gboolean scpi_off(ImpPower *power, GError **error)
{
    ScpiPower *self = (ScpiPower *)power;
    char line[LINE_MAX_BYTES], select[SELECT_MAX];
    say_select(self, select);
    g_snprintf(line, sizeof line, "%sOUTP OFF\n", select);
    return tell(self, line, error);
}

static gboolean scpi_measure(ImpPower *power, guint32 *out_millivolts, GError **error)
{
    ScpiPower *self = (ScpiPower *)power;
    char line[LINE_MAX_BYTES], select[SELECT_MAX], answer[IMP_SCPI_ANSWER_MAX + 1];
    say_select(self, select);
    g_snprintf(line, sizeof line, "%sMEAS:VOLT?\n", select);
    if (!clear_errors(self, error) || !ask(self, line, answer, error))
        return FALSE;
    if (!imp_power_parse_volts(answer, strlen(answer), out_millivolts))
        return fail_answer(self, line, answer, error);
    return TRUE;
}

static void scpi_close(ImpPower *power)
{
    ScpiPower *self = (ScpiPower *)power;
    self->ops->free(self->link);
    g_free(self);
}

ImpPower *imp_power_scpi_new(const char *name, guint channel, const ImpScpiLinkOps *ops, void *link)
{
    static const ImpPowerOps power_ops = {scpi_on, scpi_off, scpi_measure, scpi_close};
    ScpiPower *self = g_new0(ScpiPower, 1);
    self->power.ops = &power_ops;
    self->power.switches = TRUE;
    g_strlcpy(self->power.name, name, sizeof self->power.name);
    self->channel = channel;
    self->ops = ops;
    self->link = link;
    return &self->power;
}

/* ---- over TCP ---- */

typedef struct {
    ImpTcp tcp;
    const ImpClock *clock;
    char *address;
    char name[IMP_POWER_NAME_MAX];
    char waiting[IMP_SCPI_ANSWER_MAX]; /* bytes behind the last answer */
    gsize n_waiting;
} TcpLink;

/* The connection's errors speak of a probe; here it is a supply. */
static void translate(GError **error, GError *why)
{
    ImpErrorCode code = why->code == IMP_E_PROBE_NOT_FOUND ? IMP_E_POWER_NOT_FOUND
                        : why->code == IMP_E_PROBE_TIMEOUT ? IMP_E_POWER_TIMEOUT
                        : why->code == IMP_E_PROBE_LOST    ? IMP_E_POWER_LOST
                                                           : (ImpErrorCode)imp_error_code(why);
    imp_error_set(error, code, "%s", why->message);
    g_error_free(why);
}

static void link_drop(void *link)
{
    TcpLink *self = link;
    imp_tcp_close(&self->tcp);
    self->n_waiting = 0;
}

static gboolean link_send(void *link, const char *line, GError **error)
{
    TcpLink *self = link;
    GError *why = NULL;
    if (self->tcp.fd < 0) {
        if (!imp_tcp_open(&self->tcp, "scpi", self->address, IMP_SCPI_PORT, self->clock, &why)) {
            translate(error, why);
            return FALSE;
        }
        self->tcp.name = self->name;
    }
    if (imp_tcp_send(&self->tcp, (const guint8 *)line, strlen(line),
                     imp_tcp_deadline_us(&self->tcp, IMP_SCPI_TIMEOUT_MS), &why))
        return TRUE;
    link_drop(self);
    translate(error, why);
    return FALSE;
}

/* Cuts the first line off what has come; FALSE: it is not complete yet. */
static gboolean cut_line(TcpLink *self, char answer[IMP_SCPI_ANSWER_MAX + 1])
{
    const char *end = memchr(self->waiting, '\n', self->n_waiting);
    if (end == NULL)
        return FALSE;
    gsize n_bytes = (gsize)(end - self->waiting), taken = n_bytes + 1;
    if (n_bytes > 0 && self->waiting[n_bytes - 1] == '\r')
        n_bytes--;
    for (gsize i = 0; i < n_bytes; i++)
        answer[i] = self->waiting[i] != '\0' ? self->waiting[i] : '?';
    answer[n_bytes] = '\0';
    self->n_waiting -= taken;
    memmove(self->waiting, self->waiting + taken, self->n_waiting);
    return TRUE;
}

static gboolean link_receive(void *link, char answer[IMP_SCPI_ANSWER_MAX + 1], GError **error)
{
    TcpLink *self = link;
    gint64 deadline_us = imp_tcp_deadline_us(&self->tcp, IMP_SCPI_TIMEOUT_MS);
    while (!cut_line(self, answer)) {
        GError *why = NULL;
        if (self->n_waiting == sizeof self->waiting) {
            link_drop(self);
            imp_error_set(error, IMP_E_POWER_PROTOCOL, "%s: an answer of more than %d bytes", self->name,
                          IMP_SCPI_ANSWER_MAX);
            return FALSE;
        }
        gsize got = imp_tcp_receive(&self->tcp, (guint8 *)self->waiting + self->n_waiting,
                                    sizeof self->waiting - self->n_waiting, deadline_us, &why);
        if (got == 0) {
            link_drop(self);
            translate(error, why);
            return FALSE;
        }
        self->n_waiting += got;
    }
    return TRUE;
}

static void link_free(void *link)
{
    TcpLink *self = link;
    link_drop(self);
    g_free(self->address);
    g_free(self);
}

ImpPower *imp_power_scpi_open(const char *address, const ImpClock *clock, GError **error)
{
    static const ImpScpiLinkOps ops = {link_send, link_receive, link_drop, link_free};
    const char *slash = strchr(address, '/');
    guint64 channel = 0;
    if (*address == '\0' || slash == address ||
        (slash != NULL &&
         !g_ascii_string_to_unsigned(slash + 1, 10, 1, IMP_SCPI_CHANNEL_MAX, &channel, NULL))) {
        imp_error_set(
            error, IMP_E_ARGUMENT,
            "\"scpi:%s\": write scpi:HOST:PORT, or scpi:HOST:PORT/CHANNEL with a channel from 1 to %d",
            address, IMP_SCPI_CHANNEL_MAX);
        return NULL;
    }
    TcpLink *link = g_new0(TcpLink, 1);
    link->tcp.fd = -1;
    link->clock = clock;
    link->address = slash != NULL ? g_strndup(address, (gsize)(slash - address)) : g_strdup(address);
    g_snprintf(link->name, sizeof link->name, "scpi:%s", link->address);
    g_autofree char *name = g_strconcat("scpi:", address, NULL);
    return imp_power_scpi_new(name, (guint)channel, &ops, link);
}
