/* Board tests and firmware that talks, on virtual boards: the program is compiled for the chip and runs on its core. */
#include "target/mailbox.h"

#include "base/error.h"
#include "board_probe.h"
#include "build/elf_file.h"
#include "build/elf_program.h"
#include "device/table.h"

#include <string.h>

#define SEED 11

typedef struct {
    ImpBoard *board;
    BoardProbe *probe;
    ImpDevice *device;
    ImpTarget *target;
    ImpPieces *pieces;
    ImpProgramSegment segments[8];
    ImpElfProgram program;
    ImpMailboxBlock values[8];
    gsize n_values;
    ImpMailboxResult result;
} Fixture;

static const char *const *program_paths; /* of this process's arguments */

static void set_up(Fixture *f, const char *chip, const char *device, const char *path)
{
    const char *why = NULL;
    GError *error = NULL;
    memset(f, 0, sizeof *f);
    f->board = imp_board_new(chip, SEED, &(struct imp_board_options){0}, &why);
    g_assert_nonnull(f->board);
    f->probe = board_probe_new(f->board, 125000);
    f->device = imp_device_lookup(device, &error);
    g_assert_no_error(error);
    f->target =
        imp_target_attach(&f->probe->probe, &f->probe->clock, &(ImpTargetOptions){.swd_hz = 4000000}, &error);
    g_assert_no_error(error);
    g_autofree char *file = NULL;
    gsize n_file;
    g_assert_true(g_file_get_contents(path, &file, &n_file, &error));
    f->pieces = imp_elf_parse((guint8 *)file, n_file, 65536, path, &error);
    g_assert_no_error(error);
    g_assert_true(imp_elf_program((guint8 *)file, n_file, path, &f->program, &error));
    g_assert_true(f->program.has_mailbox);
    g_assert_cmpuint(f->pieces->n_pieces, <=, G_N_ELEMENTS(f->segments));
    for (gsize i = 0; i < f->pieces->n_pieces; i++) {
        const ImpPiece *piece = &f->pieces->pieces[i];
        f->segments[i] = (ImpProgramSegment){
            piece->address, g_bytes_new_static(f->pieces->bytes + piece->offset, piece->n_bytes)};
    }
    imp_mailbox_result_init(&f->result);
}

static void tear_down(Fixture *f)
{
    imp_mailbox_result_done(&f->result);
    for (gsize i = 0; i < f->pieces->n_pieces; i++)
        g_bytes_unref(f->segments[i].bytes);
    imp_pieces_free(f->pieces);
    imp_target_detach(f->target);
    imp_probe_close(&f->probe->probe);
    imp_device_free(f->device);
    imp_board_free(f->board);
}

static void give(Fixture *f, const char *name, const void *bytes, gsize n_bytes)
{
    ImpMailboxBlock *value = &f->values[f->n_values++];
    g_strlcpy(value->name, name, sizeof value->name);
    memcpy(value->bytes, bytes, n_bytes);
    value->n_bytes = n_bytes;
}

static gboolean run(Fixture *f, guint timeout_ms, GError **error)
{
    const ImpBoardTest test = {.segments = f->segments,
                               .n_segments = f->pieces->n_pieces,
                               .entry = f->program.entry,
                               .stack = (guint32)f->device->ram_start + f->device->ram_bytes,
                               .mailbox = f->program.mailbox,
                               .timeout_ms = timeout_ms,
                               .values = f->values,
                               .n_values = f->n_values};
    return imp_board_test_run(f->target, &test, &f->result, error);
}

static const ImpMailboxBlock *block_of(const Fixture *f, const char *name)
{
    for (gsize i = 0; i < f->result.n_blocks; i++)
        if (strcmp(f->result.blocks[i].name, name) == 0)
            return &f->result.blocks[i];
    g_error("no block '%s'", name);
}

typedef struct {
    const char *plan;
    int code; /* 0 = passes */
    const char *words; /* in the error's text, or in the result's text */
} PlanRow;

static const PlanRow plan_rows[] = {
    {"", 0, NULL},
    {"tt", 0, "hello ? \xC3\xA4 \xEF\xBF\xBD\nhello ? \xC3\xA4 \xEF\xBF\xBD\n"},
    {"m", 0, NULL},
    {"T", 0, "0123456789"},
    {"tf", IMP_E_TEST_FAILED, "its code 17: crystal out of range"},
    {"th", IMP_E_TEST_TIMEOUT, "within 200 ms; what came: hello"},
    {"h", IMP_E_TEST_TIMEOUT, "within 200 ms; no text came"},
    {"x", IMP_E_TEST_CRASHED, "the core stopped at 0x"},
    {"n", IMP_E_TEST_MESSAGE, "byte 0x20 in a name"},
    {"o", IMP_E_TEST_MESSAGE, "a message of 5000 bytes in a mailbox of 128"},
    {"k", IMP_E_TEST_MESSAGE, "unknown kind 77"},
    {"B", IMP_E_TEST_MESSAGE, "more than 16 blocks"},
};

static void test_plan(gconstpointer data)
{
    const PlanRow *row = data;
    Fixture f;
    GError *error = NULL;
    set_up(&f, "nrf51822", "nRF51822", program_paths[1]);
    give(&f, "plan", row->plan, strlen(row->plan));
    gboolean good = run(&f, 200, &error);
    if (row->code == 0) {
        g_assert_no_error(error);
        g_assert_true(good);
        if (row->words != NULL)
            g_assert_nonnull(strstr(f.result.text->str, row->words));
    } else {
        g_assert_false(good);
        g_assert_cmpint(imp_error_code(error), ==, row->code);
        if (strstr(error->message, row->words) == NULL)
            g_error("'%s' is not in: %s", row->words, error->message);
        g_clear_error(&error);
    }
    /* Whatever came of it, the core stands at its first instruction again, and the next test finds its way. */
    if (row->code != 0) {
        f.n_values = 0;
        give(&f, "plan", "t", 1);
        good = run(&f, 200, &error);
        g_assert_no_error(error);
        g_assert_true(good);
    }
    tear_down(&f);
}

static void test_all_bytes(void)
{
    Fixture f;
    GError *error = NULL;
    set_up(&f, "stm32f103cb", "STM32F103xB", program_paths[1]);
    for (guint first = 0; first < 256; first += IMP_MAILBOX_BLOCK_MAX) {
        guint8 bytes[IMP_MAILBOX_BLOCK_MAX];
        for (guint i = 0; i < sizeof bytes; i++)
            bytes[i] = (guint8)(first + i);
        f.n_values = 0;
        give(&f, "plan", "b", 1);
        give(&f, "payload", bytes, sizeof bytes);
        gboolean good = run(&f, 500, &error);
        g_assert_no_error(error);
        g_assert_true(good);
        const ImpMailboxBlock *block = block_of(&f, "payload");
        g_assert_cmpmem(block->bytes, block->n_bytes, bytes, sizeof bytes);
    }
    g_assert_cmpuint(f.result.n_blocks, ==, 1);
    tear_down(&f);
}

static void test_time(void)
{
    Fixture f;
    GError *error = NULL;
    set_up(&f, "nrf51822", "nRF51822", program_paths[1]);
    gint64 before = imp_clock_real_us(&f.probe->clock);
    give(&f, "plan", "c", 1);
    gboolean good = run(&f, 500, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    const ImpMailboxBlock *block = block_of(&f, "time");
    g_assert_cmpuint(block->n_bytes, ==, 8);
    guint64 told;
    memcpy(&told, block->bytes, sizeof told);
    told = GUINT64_FROM_LE(told);
    g_assert_cmpuint(told, >=, before);
    g_assert_cmpuint(told, <=, imp_clock_real_us(&f.probe->clock));
    tear_down(&f);
}

/* The text of the last row comes after a reset of the core, out of flash in real life; here out of RAM, which keeps an old
 * mailbox over the reset: it must not count. */
static void test_old_mailbox(void)
{
    Fixture f;
    GError *error = NULL;
    set_up(&f, "nrf51822", "nRF51822", program_paths[1]);
    give(&f, "plan", "s", 1);
    gboolean good = run(&f, 500, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    g_assert_cmpstr(f.result.text->str, ==, "up and running\n");
    imp_mailbox_result_done(&f.result);
    imp_mailbox_result_init(&f.result);
    good = imp_firmware_listen(f.target, f.program.mailbox, "up and running", 50, &f.result, &error);
    g_assert_false(good);
    /* The chip is blank: its core goes into a fault at once, or nothing is said. */
    int code = imp_error_code(error);
    g_assert_true(code == IMP_E_TEXT_MISSING || code == IMP_E_TEST_CRASHED);
    g_clear_error(&error);
    tear_down(&f);
}

static void test_arguments(void)
{
    Fixture f;
    GError *error = NULL;
    set_up(&f, "nrf51822", "nRF51822", program_paths[1]);
    g_assert_false(run(&f, 0, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    g_clear_error(&error);
    g_assert_false(run(&f, IMP_MAILBOX_TIMEOUT_MAX + 1, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_ARGUMENT);
    g_clear_error(&error);
    tear_down(&f);
}

static void test_example(void)
{
    Fixture f;
    GError *error = NULL;
    set_up(&f, "stm32g071rb", "STM32G071xB", program_paths[2]);
    guint8 uid[IMP_UID_BYTES_MAX];
    gsize n_uid;
    g_assert_true(imp_target_read_uid(f.target, f.device, uid, &n_uid, &error));
    give(&f, "uid", uid, n_uid);
    gboolean good = run(&f, 500, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    guint32 sum = 2166136261u;
    for (gsize i = 0; i < n_uid; i++)
        sum = (sum ^ uid[i]) * 16777619u;
    const guint32 sum_le = GUINT32_TO_LE(sum);
    const ImpMailboxBlock *block = block_of(&f, "trim");
    g_assert_cmpmem(block->bytes, block->n_bytes, &sum_le, 4);
    g_assert_cmpstr(f.result.text->str, ==, "board test 1.0\n");
    tear_down(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(argc, ==, 3);
    program_paths = (const char *const *)argv;
    for (gsize i = 0; i < G_N_ELEMENTS(plan_rows); i++) {
        g_autofree char *path = g_strdup_printf("/mailbox/plan/%zu-%s", i, plan_rows[i].plan);
        g_test_add_data_func(path, &plan_rows[i], test_plan);
    }
    g_test_add_func("/mailbox/all-bytes", test_all_bytes);
    g_test_add_func("/mailbox/time", test_time);
    g_test_add_func("/mailbox/old-mailbox", test_old_mailbox);
    g_test_add_func("/mailbox/arguments", test_arguments);
    g_test_add_func("/mailbox/example", test_example);
    return g_test_run();
}
