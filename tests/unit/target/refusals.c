/* What a chip or a probe that cannot be used is told by: its code, and a text that says what, where and, with the registry, what to
 * do. A probe stands between the engine and a virtual board that changes words on their way to the chip, or what the probe says of
 * itself. */
#include "base/error.h"
#include "board_probe.h"
#include "device/table.h"
#include "target/flash.h"
#include "target/mailbox.h"
#include "target/probe.h"

#include <string.h>

#define SEED      7
#define RAM_START 0x20000000u

/* CMSIS-DAP 2.1: commands, and what DAP_Info is asked for */
enum { DAP_INFO = 0x00, DAP_CONNECT = 0x02, DAP_SWJ_CLOCK = 0x11 };
enum { INFO_CAPABILITIES = 0xF0, INFO_PACKET_COUNT = 0xFE, INFO_PACKET_BYTES = 0xFF };
#define ANY 0x100 /* of a request's second byte */

typedef struct {
    guint command,
        second; /* of the requests whose answer is replaced; 0, 0 is an information that nobody asks for */
    guint8 answer[8];
    gsize n_answer;
} Lie;

typedef struct {
    guint32 from, to;
} Word;

typedef struct {
    ImpProbe probe;
    ImpProbe *inner;
    const Lie *lie; /* or NULL */
    Word words[3];
    guint n_words;
    guint8 asked[IMP_PROBE_PACKETS_MAX][2];
    guint64 submitted, collected;
} Twisted;

static guint32 word_at(const guint8 *bytes)
{
    return bytes[0] | (guint32)bytes[1] << 8 | (guint32)bytes[2] << 16 | (guint32)bytes[3] << 24;
}

static gboolean twisted_submit(ImpProbe *probe, const guint8 *request, gsize n_bytes, GError **error)
{
    Twisted *self = (Twisted *)probe;
    guint8 sent[IMP_PROBE_PACKET_BYTES_MAX];
    memcpy(sent, request, n_bytes);
    for (guint i = 0; i < self->n_words; i++)
        for (gsize at = 0; at + 4 <= n_bytes; at++)
            if (word_at(request + at) == self->words[i].from)
                for (guint k = 0; k < 4; k++)
                    sent[at + k] = (guint8)(self->words[i].to >> (8 * k));
    memcpy(self->asked[self->submitted++ % IMP_PROBE_PACKETS_MAX], request, MIN(n_bytes, 2));
    return imp_probe_submit(self->inner, sent, n_bytes, error);
}

static gboolean twisted_collect(ImpProbe *probe, guint8 *response, gsize cap, gsize *out_bytes,
                                guint timeout_ms, GError **error)
{
    Twisted *self = (Twisted *)probe;
    const guint8 *asked = self->asked[self->collected++ % IMP_PROBE_PACKETS_MAX];
    if (!imp_probe_collect(self->inner, response, cap, out_bytes, timeout_ms, error))
        return FALSE;
    if (self->lie != NULL && self->lie->command == asked[0] &&
        (self->lie->second == ANY || self->lie->second == asked[1])) {
        memcpy(response, self->lie->answer, self->lie->n_answer);
        *out_bytes = self->lie->n_answer;
    }
    return TRUE;
}

static void twisted_close(ImpProbe *probe)
{
}

typedef struct {
    ImpBoard *board;
    BoardProbe *inner;
    Twisted probe;
} Rig;

static void set_up(Rig *rig, const char *chip)
{
    static const ImpProbeOps ops = {twisted_submit, twisted_collect, twisted_close};
    const char *why = NULL;
    memset(rig, 0, sizeof *rig);
    rig->board = imp_board_new(chip, SEED, NULL, &why);
    g_assert_nonnull(rig->board);
    rig->inner = board_probe_new(rig->board, 125000);
    rig->probe =
        (Twisted){.probe = {.ops = &ops, .name = "probe", .packet_bytes_max = IMP_PROBE_PACKET_BYTES_MAX},
                  .inner = &rig->inner->probe};
}

static void tear_down(Rig *rig)
{
    imp_probe_close(&rig->inner->probe);
    imp_board_free(rig->board);
}

/* Neither attaching nor looking gets in; both say so with this code and these words. */
static void assert_no_way_in(Rig *rig, guint access_port, int code, const char *words)
{
    const ImpTargetOptions options = {.swd_hz = 1000000, .access_port = access_port};
    g_autoptr(GError) error = NULL;
    g_assert_null(imp_target_attach(&rig->probe.probe, &rig->inner->clock, &options, &error));
    g_assert_error(error, IMP_ERROR, code);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, words));
}

/* ---- probes ---- */

static const struct {
    const char *name;
    Lie lie;
    const char *words;
} probe_rows[] = {
    {"no-swd", {DAP_INFO, INFO_CAPABILITIES, {DAP_INFO, 1, 0x02}, 3}, "no SWD"},
    {"packets-too-small",
     {DAP_INFO, INFO_PACKET_BYTES, {DAP_INFO, 2, 8, 0}, 4},
     "packets of 8 bytes, 4 at a time; at least 64 bytes"},
    {"no-packets", {DAP_INFO, INFO_PACKET_COUNT, {DAP_INFO, 1, 0}, 3}, "0 at a time"},
    {"jtag-only", {DAP_CONNECT, ANY, {DAP_CONNECT, 2}, 2}, "does not connect to SWD"},
    {"no-such-clock", {DAP_SWJ_CLOCK, ANY, {DAP_SWJ_CLOCK, 0xFF}, 2}, "SWCLK to 1000000 Hz"},
};

static void test_probe(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    Rig rig;
    set_up(&rig, "nrf51822");
    rig.probe.lie = &probe_rows[i].lie;
    assert_no_way_in(&rig, 0, IMP_E_PROBE_UNSUPPORTED, probe_rows[i].words);
    tear_down(&rig);
}

/* ---- cores ---- */

/* nRF52832: access port 1 is the CTRL-AP (nRF52832 PS 1.4, 16.3). */
static void test_no_memory_behind_it(void)
{
    Rig rig;
    set_up(&rig, "nrf52832");
    assert_no_way_in(&rig, 1, IMP_E_UNKNOWN_CORE, "access port 1 ");
    tear_down(&rig);
}

/* The word where a Cortex-M has its CPUID is read from elsewhere: there is 0. */
static void test_no_core(void)
{
    Rig rig;
    set_up(&rig, "nrf51822");
    const guint8 nothing[4] = {0};
    g_assert_true(imp_board_poke(rig.board, RAM_START, nothing, sizeof nothing));
    rig.probe.words[rig.probe.n_words++] = (Word){0xE000ED00, RAM_START};
    assert_no_way_in(&rig, 0, IMP_E_UNKNOWN_CORE, "CPUID 0x00000000");
    tear_down(&rig);
}

/* Requests to halt arrive without the bit that asks for it (ARM DDI 0419, C1.6.2), and reset is not caught (C1.6.5). */
static void test_runs_on(void)
{
    Rig rig;
    set_up(&rig, "nrf51822");
    rig.probe.words[rig.probe.n_words++] = (Word){0xA05F0003, 0xA05F0001};
    rig.probe.words[rig.probe.n_words++] = (Word){0x01000401, 0x01000000};
    rig.probe.words[rig.probe.n_words++] = (Word){0x00000401, 0x00000000};
    gint64 begin = imp_clock_boot_us(&rig.inner->clock);
    assert_no_way_in(&rig, 0, IMP_E_CORE_NOT_HALTED, "the core does not ");
    g_assert_cmpint(imp_clock_boot_us(&rig.inner->clock) - begin, <, 60 * G_USEC_PER_SEC);
    tear_down(&rig);
}

/* ---- memory ---- */

#define STUCK_BIT 0x04

typedef struct {
    ImpBoard *board;
    guint32 address;
} Stuck;

/* A cell of RAM that always reads 1: as if it were written after each access. */
static void stick(gpointer user)
{
    const Stuck *stuck = user;
    guint8 byte;
    g_assert_true(imp_board_peek(stuck->board, stuck->address, &byte, 1));
    byte |= STUCK_BIT;
    g_assert_true(imp_board_poke(stuck->board, stuck->address, &byte, 1));
}

static void assert_ram(const GError *error, guint32 from, guint32 n_bytes)
{
    g_assert_error(error, IMP_ERROR, IMP_E_TARGET_RAM);
    g_test_message("%s", error->message);
    const ImpErrorDetail *detail = imp_error_detail(error);
    g_assert_true(detail->has_address);
    g_assert_cmpuint(detail->address, >=, from);
    g_assert_cmpuint(detail->address, <, from + n_bytes);
    g_assert_cmpuint(detail->expected_bytes, >, 0);
    g_assert_cmpuint(memcmp(detail->expected, detail->found, detail->expected_bytes), !=, 0);
}

/* The flash algorithm's place: nothing is erased by code that is not what was loaded. */
static void test_ram_of_the_algorithm(void)
{
    Rig rig;
    set_up(&rig, "nrf51822");
    g_autoptr(GError) error = NULL;
    ImpDevice *device = imp_device_lookup("nRF51822", &error);
    g_assert_no_error(error);
    ImpTarget *target = imp_target_attach(&rig.inner->probe, &rig.inner->clock,
                                          &(ImpTargetOptions){.swd_hz = 4000000}, &error);
    g_assert_no_error(error);
    static const guint8 bytes[64] = {1, 2, 3};
    g_autoptr(GBytes) content = g_bytes_new_static(bytes, sizeof bytes);
    const ImpFlashSegment segment = {0x3400, content};
    const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_USED,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_FASTEST,
                             .segments = &segment,
                             .n_segments = 1};
    /* Somewhere in it there are bytes whose bit is 0: one of these addresses is met. */
    guint n_met = 0;
    for (guint at = 0; at < 512 && n_met == 0; at += 61) {
        Stuck stuck = {rig.board, (guint32)device->ram_start + at};
        rig.inner->look = stick;
        rig.inner->look_user = &stuck;
        g_autoptr(GError) why = NULL;
        ImpFlash *flash = imp_flash_open(target, device, &why);
        if (flash == NULL || !imp_flash_run(flash, &job, NULL, &why)) {
            assert_ram(why, (guint32)device->ram_start, device->ram_bytes);
            n_met++;
        }
        imp_flash_close(flash);
        rig.inner->look = NULL;
    }
    g_assert_cmpuint(n_met, ==, 1);
    struct imp_board_counters counters;
    imp_board_get_counters(rig.board, &counters);
    imp_target_detach(target);
    imp_device_free(device);
    tear_down(&rig);
}

/* A board test's place. */
static void test_ram_of_a_test(void)
{
    Rig rig;
    set_up(&rig, "nrf51822");
    g_autoptr(GError) error = NULL;
    ImpTarget *target = imp_target_attach(&rig.inner->probe, &rig.inner->clock,
                                          &(ImpTargetOptions){.swd_hz = 4000000}, &error);
    g_assert_no_error(error);
    static const guint8 program[256] = {0};
    ImpProgramSegment segment = {RAM_START, g_bytes_new_static(program, sizeof program)};
    const ImpBoardTest test = {.segments = &segment,
                               .n_segments = 1,
                               .entry = RAM_START,
                               .stack = RAM_START + 0x2000,
                               .mailbox = RAM_START + 0x400,
                               .timeout_ms = 100};
    Stuck stuck = {rig.board, RAM_START + 77};
    rig.inner->look = stick;
    rig.inner->look_user = &stuck;
    ImpMailboxResult result;
    imp_mailbox_result_init(&result);
    g_assert_false(imp_board_test_run(target, &test, &result, &error));
    assert_ram(error, stuck.address, 1);
    g_assert_cmpuint(imp_error_detail(error)->found[0], ==, STUCK_BIT);
    imp_mailbox_result_done(&result);
    g_bytes_unref(segment.bytes);
    imp_target_detach(target);
    tear_down(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(probe_rows); i++) {
        g_autofree char *path = g_strconcat("/target/refusals/probe/", probe_rows[i].name, NULL);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_probe);
    }
    g_test_add_func("/target/refusals/core/no-memory-behind-it", test_no_memory_behind_it);
    g_test_add_func("/target/refusals/core/none", test_no_core);
    g_test_add_func("/target/refusals/core/runs-on", test_runs_on);
    g_test_add_func("/target/refusals/ram/algorithm", test_ram_of_the_algorithm);
    g_test_add_func("/target/refusals/ram/test", test_ram_of_a_test);
    return g_test_run();
}
