#include "target/mailbox.h"

#include "base/error.h"
#include "target/target-internal.h"

#include <string.h>

/* algorithms/runtest/imprint_test.h: struct imprint_mailbox, enum imprint_kind */
#define MAGIC           0x31424D49u
#define OFFSET_ANSWERED 12
#define OFFSET_N_BYTES  20
#define OFFSET_DATA     24
#define NO_ANSWER       0xFFFFFFFFu

enum { KIND_TEXT = 1, KIND_BLOCK = 2, KIND_VERDICT = 3, KIND_ASK_TIME = 4, KIND_ASK_VALUE = 5 };

#define XPSR_THUMB      0x01000000u
#define REGISTER_MASKS  20 /* DCRSR: CONTROL, FAULTMASK, BASEPRI and PRIMASK in one (ARM DDI 0419, C1.6.4) */
#define PRIMASK_SET     0x00000001u
#define LOOK_US         1000 /* between two looks while the core runs */
#define LOOK_STOPPED_MS 50 /* the core runs so long between two stops to look */
#define LOAD_PIECE      1024 /* bytes that are read back and compared at once */

/* One conversation. */
typedef struct {
    ImpTarget *target;
    guint32 mailbox;
    const ImpMailboxBlock *values;
    gsize n_values;
    const char *expected; /* NULL: until the verdict */
    ImpMailboxResult *result;
    guint64 messages;
    gboolean done;
} Talk;

typedef struct {
    guint32 magic, capacity, posted, answered, kind, n_bytes;
} Header;

void imp_mailbox_result_init(ImpMailboxResult *result)
{
    memset(result, 0, sizeof *result);
    result->text = g_string_new(NULL);
}

void imp_mailbox_result_done(ImpMailboxResult *result)
{
    if (result->text != NULL)
        g_string_free(result->text, TRUE);
    memset(result, 0, sizeof *result);
}

static gboolean write32(ImpTarget *target, guint64 address, guint32 value, GError **error)
{
    guint8 word[4];
    imp_put_le32(word, value);
    return imp_target_write(target, address, word, sizeof word, error);
}

static gboolean fail_message(const Talk *talk, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static gboolean fail_message(const Talk *talk, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    imp_error_set_at(error, IMP_E_TEST_MESSAGE, talk->mailbox, NULL, NULL, 0, "the mailbox at 0x%08X: %s",
                     talk->mailbox, why);
    return FALSE;
}

static gboolean read_header(const Talk *talk, Header *out, GError **error)
{
    guint8 raw[OFFSET_DATA];
    if (!imp_target_read(talk->target, talk->mailbox, raw, sizeof raw, error))
        return FALSE;
    *out = (Header){imp_le32(raw),      imp_le32(raw + 4),  imp_le32(raw + 8),
                    imp_le32(raw + 12), imp_le32(raw + 16), imp_le32(raw + 20)};
    return TRUE;
}

/* What the target says becomes text that can be shown anywhere: what is no UTF-8 or a control character is replaced. */
static char *clean_text(const guint8 *bytes, gsize n_bytes)
{
    g_autofree char *text = g_strndup((const char *)bytes, n_bytes);
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *out = g_string_new(NULL);
    for (const char *c = valid; *c != 0; c = g_utf8_next_char(c)) {
        gunichar u = g_utf8_get_char(c);
        g_string_append_unichar(out, u == '\n' || u == '\t' || !g_unichar_iscntrl(u) ? u : '?');
    }
    while (out->len > 0 && out->str[out->len - 1] == '\n')
        g_string_truncate(out, out->len - 1);
    return g_string_free(out, FALSE);
}

static void take_text(Talk *talk, const guint8 *data, gsize n_bytes)
{
    g_autofree char *line = clean_text(data, n_bytes);
    gsize n = strlen(line) + 1;
    if (talk->result->text->len + n > IMP_MAILBOX_TEXT_MAX) {
        talk->result->text_lost += n;
    } else {
        g_string_append(talk->result->text, line);
        g_string_append_c(talk->result->text, '\n');
    }
    if (talk->expected != NULL && strstr(line, talk->expected) != NULL)
        talk->done = TRUE;
}

/* A name at the beginning of data, as the recipe may write it; NULL and an error if it is none. */
static char *take_name(const Talk *talk, const guint8 *data, gsize n_bytes, GError **error)
{
    if (n_bytes == 0 || n_bytes > IMP_MAILBOX_NAME_MAX) {
        fail_message(talk, error, "a name of %zu bytes; 1 to %d are allowed", n_bytes, IMP_MAILBOX_NAME_MAX);
        return NULL;
    }
    for (gsize i = 0; i < n_bytes; i++)
        if (!g_ascii_isalnum(data[i]) && data[i] != '-' && data[i] != '_' && data[i] != '.') {
            fail_message(talk, error, "byte 0x%02X in a name; letters, digits, '-', '_' and '.' are allowed",
                         data[i]);
            return NULL;
        }
    return g_strndup((const char *)data, n_bytes);
}

static gboolean take_block(Talk *talk, const guint8 *data, gsize n_bytes, GError **error)
{
    ImpMailboxResult *result = talk->result;
    const guint8 *end = memchr(data, 0, n_bytes);
    if (end == NULL)
        return fail_message(talk, error, "a block whose name has no end");
    g_autofree char *name = take_name(talk, data, (gsize)(end - data), error);
    if (name == NULL)
        return FALSE;
    gsize n = n_bytes - (gsize)(end - data) - 1;
    if (n > IMP_MAILBOX_BLOCK_MAX)
        return fail_message(talk, error, "the block '%s' has %zu bytes, the limit is %d", name, n,
                            IMP_MAILBOX_BLOCK_MAX);
    gsize at = 0;
    while (at < result->n_blocks && strcmp(result->blocks[at].name, name) != 0)
        at++;
    if (at == IMP_MAILBOX_BLOCKS_MAX)
        return fail_message(talk, error, "more than %d blocks", IMP_MAILBOX_BLOCKS_MAX);
    ImpMailboxBlock *block = &result->blocks[at];
    result->n_blocks = MAX(result->n_blocks, at + 1);
    g_strlcpy(block->name, name, sizeof block->name);
    memcpy(block->bytes, end + 1, n);
    block->n_bytes = n;
    return TRUE;
}

static gboolean take_verdict(Talk *talk, const guint8 *data, gsize n_bytes, GError **error)
{
    if (n_bytes < 4)
        return fail_message(talk, error, "a verdict of %zu bytes", n_bytes);
    talk->result->code = imp_le32(data);
    talk->done = TRUE;
    g_autofree char *text = clean_text(data + 4, n_bytes - 4);
    if (talk->result->code == 0)
        return TRUE;
    const guint8 good[4] = {0}; /* the record keeps the test's own code as what was found */
    imp_error_set_at(error, IMP_E_TEST_FAILED, talk->mailbox + OFFSET_DATA, good, data, sizeof good,
                     "the board test failed with its code %u: %s", talk->result->code,
                     text[0] != 0 ? text : "(it gave no text)");
    return FALSE;
}

static gboolean answer(const Talk *talk, const Header *header, const guint8 *bytes, gsize n_bytes,
                       GError **error)
{
    if (bytes == NULL || n_bytes > header->capacity)
        return write32(talk->target, talk->mailbox + OFFSET_N_BYTES, NO_ANSWER, error);
    return (n_bytes == 0 ||
            imp_target_write(talk->target, talk->mailbox + OFFSET_DATA, bytes, n_bytes, error)) &&
           write32(talk->target, talk->mailbox + OFFSET_N_BYTES, (guint32)n_bytes, error);
}

static gboolean answer_time(const Talk *talk, const Header *header, GError **error)
{
    guint8 bytes[8];
    guint64 now = (guint64)imp_clock_real_us(talk->target->clock);
    imp_put_le32(bytes, (guint32)now);
    imp_put_le32(bytes + 4, (guint32)(now >> 32));
    return answer(talk, header, bytes, sizeof bytes, error);
}

static gboolean answer_value(const Talk *talk, const Header *header, const guint8 *data, GError **error)
{
    g_autofree char *name = take_name(talk, data, header->n_bytes, error);
    if (name == NULL)
        return FALSE;
    for (gsize i = 0; i < talk->n_values; i++)
        if (strcmp(talk->values[i].name, name) == 0)
            return answer(talk, header, talk->values[i].bytes, talk->values[i].n_bytes, error);
    return answer(talk, header, NULL, 0, error);
}

static gboolean take_message(Talk *talk, const Header *header, GError **error)
{
    guint8 data[IMP_MAILBOX_DATA_MAX];
    if (header->n_bytes > header->capacity)
        return fail_message(talk, error, "a message of %u bytes in a mailbox of %u", header->n_bytes,
                            header->capacity);
    if (++talk->messages > IMP_MAILBOX_MESSAGES_MAX)
        return fail_message(talk, error, "more than %d messages", IMP_MAILBOX_MESSAGES_MAX);
    if (header->n_bytes > 0 &&
        !imp_target_read(talk->target, talk->mailbox + OFFSET_DATA, data, header->n_bytes, error))
        return FALSE;
    gboolean good = TRUE;
    switch (header->kind) {
    case KIND_TEXT:
        take_text(talk, data, header->n_bytes);
        break;
    case KIND_BLOCK:
        good = take_block(talk, data, header->n_bytes, error);
        break;
    case KIND_VERDICT:
        return take_verdict(talk, data, header->n_bytes, error);
    case KIND_ASK_TIME:
        good = answer_time(talk, header, error);
        break;
    case KIND_ASK_VALUE:
        good = answer_value(talk, header, data, error);
        break;
    default:
        return fail_message(talk, error, "a message of the unknown kind %u", header->kind);
    }
    return good && write32(talk->target, talk->mailbox + OFFSET_ANSWERED, header->posted, error);
}

/* Takes what is there. Before the magic word, nothing is. */
static gboolean look(Talk *talk, GError **error)
{
    Header header;
    if (!read_header(talk, &header, error))
        return FALSE;
    if (header.magic != MAGIC || header.posted == header.answered)
        return TRUE;
    if (header.capacity < IMP_MAILBOX_DATA_MIN || header.capacity > IMP_MAILBOX_DATA_MAX)
        return fail_message(talk, error, "it has room for %u bytes; %d to %d are allowed", header.capacity,
                            IMP_MAILBOX_DATA_MIN, IMP_MAILBOX_DATA_MAX);
    return take_message(talk, &header, error);
}

static gboolean fail_stopped(const Talk *talk, GError **error)
{
    guint32 pc = 0;
    if (!imp_target_read_register(talk->target, IMP_REGISTER_PC, &pc, error))
        return FALSE;
    imp_error_set_at(error, IMP_E_TEST_CRASHED, pc, NULL, NULL, 0,
                     "the core stopped at 0x%08X: a fault, or a breakpoint in the program", pc);
    return FALSE;
}

/* Where the debugger cannot read beside a running core, it lets it run for a while, and stops it to look. */
static gboolean run_for_a_while(const Talk *talk, GError **error)
{
    gboolean halted = FALSE;
    guint limit_ms = talk->target->runs_beside ? 0 : LOOK_STOPPED_MS;
    if (!imp_target_wait_halt(talk->target, limit_ms, &halted, error))
        return FALSE;
    if (halted)
        return fail_stopped(talk, error);
    if (!talk->target->runs_beside)
        return imp_target_halt(talk->target, error);
    return TRUE;
}

/* The core runs, and runs again at the end unless there is an error. */
static gboolean converse(Talk *talk, guint timeout_ms, ImpErrorCode late, const char *what, GError **error)
{
    gint64 end = imp_clock_boot_us(talk->target->clock) + (gint64)timeout_ms * 1000;
    for (;;) {
        guint64 before = talk->messages;
        if (!run_for_a_while(talk, error) || !look(talk, error))
            return FALSE;
        if (!talk->target->runs_beside && !imp_target_resume(talk->target, error))
            return FALSE;
        if (talk->done)
            return TRUE;
        if (imp_clock_boot_us(talk->target->clock) >= end) {
            imp_error_set(error, late, "%s did not come within %u ms%s%s", what, timeout_ms,
                          talk->result->text->len > 0 ? "; what came: " : "; no text came",
                          talk->result->text->len > 0 ? talk->result->text->str : "");
            return FALSE;
        }
        if (talk->target->runs_beside && talk->messages == before)
            imp_clock_sleep_us(talk->target->clock, LOOK_US);
    }
}

static gboolean load_piece(ImpTarget *target, guint64 address, const guint8 *bytes, gsize n_bytes,
                           GError **error)
{
    guint8 back[LOAD_PIECE];
    if (!imp_target_write(target, address, bytes, n_bytes, error) ||
        !imp_target_read(target, address, back, n_bytes, error))
        return FALSE;
    for (gsize i = 0; i < n_bytes; i++)
        if (back[i] != bytes[i]) {
            imp_error_set_at(error, IMP_E_TARGET_RAM, address + i, bytes + i, back + i, 1,
                             "0x%08" G_GINT64_MODIFIER "X does not hold the test program", address + i);
            return FALSE;
        }
    return TRUE;
}

static gboolean load(ImpTarget *target, const ImpBoardTest *test, GError **error)
{
    for (gsize i = 0; i < test->n_segments; i++) {
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(test->segments[i].bytes, &n_bytes);
        for (gsize at = 0; at < n_bytes; at += LOAD_PIECE)
            if (!load_piece(target, test->segments[i].address + at, bytes + at, MIN(LOAD_PIECE, n_bytes - at),
                            error))
                return FALSE;
    }
    return TRUE;
}

/* A mailbox of an earlier run may still be in RAM: a reset does not clear it. */
static gboolean close_mailbox(ImpTarget *target, guint32 mailbox, GError **error)
{
    return write32(target, mailbox, 0, error);
}

static gboolean run_test(ImpTarget *target, const ImpBoardTest *test, ImpMailboxResult *result,
                         GError **error)
{
    const ImpCoreRegister registers[] = {{IMP_REGISTER_SP, test->stack},
                                         {IMP_REGISTER_LR, G_MAXUINT32},
                                         {IMP_REGISTER_PC, test->entry & ~1u},
                                         {IMP_REGISTER_XPSR, XPSR_THUMB},
                                         {REGISTER_MASKS, PRIMASK_SET}};
    Talk talk = {.target = target,
                 .mailbox = test->mailbox,
                 .values = test->values,
                 .n_values = test->n_values,
                 .result = result};
    return imp_target_reset_halt(target, error) && close_mailbox(target, test->mailbox, error) &&
           load(target, test, error) &&
           imp_target_write_registers(target, registers, G_N_ELEMENTS(registers), error) &&
           imp_target_resume(target, error) &&
           converse(&talk, test->timeout_ms, IMP_E_TEST_TIMEOUT, "the board test's verdict", error);
}

static gboolean check_timeout(guint timeout_ms, GError **error)
{
    if (timeout_ms >= 1 && timeout_ms <= IMP_MAILBOX_TIMEOUT_MAX)
        return TRUE;
    imp_error_set(error, IMP_E_ARGUMENT, "a time limit of %u ms; 1 to %d are allowed", timeout_ms,
                  IMP_MAILBOX_TIMEOUT_MAX);
    return FALSE;
}

gboolean imp_board_test_run(ImpTarget *target, const ImpBoardTest *test, ImpMailboxResult *result,
                            GError **error)
{
    GError *why = NULL;
    if (!check_timeout(test->timeout_ms, error))
        return FALSE;
    gboolean good = run_test(target, test, result, &why);
    /* Whatever came of it: what follows finds a halted core, and peripherals as after power-up. */
    g_autoptr(GError) ignored = NULL;
    gboolean back = imp_target_halt(target, &ignored) && imp_target_reset_halt(target, good ? error : NULL);
    if (good && back)
        return TRUE;
    if (why != NULL)
        g_propagate_error(error, why);
    else if (ignored != NULL)
        g_propagate_error(error, g_steal_pointer(&ignored));
    return FALSE;
}

gboolean imp_firmware_listen(ImpTarget *target, guint32 mailbox, const char *expected, guint timeout_ms,
                             ImpMailboxResult *result, GError **error)
{
    Talk talk = {.target = target, .mailbox = mailbox, .expected = expected, .result = result};
    g_autofree char *what = g_strdup_printf("the firmware's text '%s'", expected);
    return check_timeout(timeout_ms, error) && imp_target_reset_halt(target, error) &&
           close_mailbox(target, mailbox, error) && imp_target_resume(target, error) &&
           converse(&talk, timeout_ms, IMP_E_TEXT_MISSING, what, error);
}
