/* A hostile program on the target: the bytes are what each read of its RAM shows, one after the other. Whatever it shows, what is kept of
 * it stays within its limits, and the conversation ends. */
#include "target/mailbox.h"

#include <stdint.h>
#include <string.h>

#include "target/target-internal.h"

typedef struct {
    ImpTarget target;
    const uint8_t *data;
    size_t left;
    gint64 now_us;
    ImpClock clock;
} Fake;

static gboolean fake_read(ImpTarget *target, guint64 address, void *out, gsize n_bytes, GError **error)
{
    Fake *fake = (Fake *)target;
    gsize n = MIN(n_bytes, fake->left);
    memset(out, 0, n_bytes);
    memcpy(out, fake->data, n);
    fake->data += n;
    fake->left -= n;
    return TRUE;
}

static gboolean fake_write(ImpTarget *target, guint64 address, const void *bytes, gsize n_bytes,
                           GError **error)
{
    return TRUE;
}

static gboolean fake_do(ImpTarget *target, GError **error)
{
    return TRUE;
}

static gboolean fake_wait_halt(ImpTarget *target, guint limit_ms, gboolean *out_halted, GError **error)
{
    ((Fake *)target)->now_us += 1000;
    *out_halted = FALSE;
    return TRUE;
}

static gboolean fake_write_registers(ImpTarget *target, const ImpCoreRegister *registers, gsize n_registers,
                                     GError **error)
{
    return TRUE;
}

static gint64 fake_now(void *user)
{
    return ((Fake *)user)->now_us;
}

static void fake_sleep(void *user, gint64 us)
{
    ((Fake *)user)->now_us += us;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ImpTargetOps ops = {.read = fake_read,
                                     .write = fake_write,
                                     .halt = fake_do,
                                     .resume = fake_do,
                                     .reset_halt = fake_do,
                                     .wait_halt = fake_wait_halt,
                                     .write_registers = fake_write_registers};
    Fake fake = {.target = {.ops = &ops, .runs_beside = TRUE}, .data = data, .left = size};
    fake.clock = (ImpClock){.boot_us = fake_now, .real_us = fake_now, .sleep_us = fake_sleep, .self = &fake};
    fake.target.clock = &fake.clock;
    const ImpMailboxBlock value = {.name = "serial", .bytes = {1, 2, 3}, .n_bytes = 3};
    const ImpBoardTest test = {
        .mailbox = 0x20000000, .timeout_ms = 100, .values = &value, .n_values = 1, .entry = 0x20000100};
    g_auto(ImpMailboxResult) result = {0};
    g_autoptr(GError) error = NULL;
    imp_mailbox_result_init(&result);
    gboolean good = size % 2 == 0
                        ? imp_board_test_run(&fake.target, &test, &result, &error)
                        : imp_firmware_listen(&fake.target, test.mailbox, "ready", 100, &result, &error);
    g_assert(good == (error == NULL));
    g_assert_cmpuint(result.text->len, <=, IMP_MAILBOX_TEXT_MAX);
    g_assert_true(g_utf8_validate(result.text->str, (gssize)result.text->len, NULL));
    g_assert_cmpuint(result.n_blocks, <=, IMP_MAILBOX_BLOCKS_MAX);
    for (gsize i = 0; i < result.n_blocks; i++)
        g_assert_cmpuint(result.blocks[i].n_bytes, <=, IMP_MAILBOX_BLOCK_MAX);
    return 0;
}
