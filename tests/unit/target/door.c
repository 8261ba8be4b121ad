/* Ways in and out: catching a chip after power-on, a clock that the line does not bear, locked chips. */
#include "bad_line.h"
#include "base/error.h"
#include "board_probe.h"
#include "device/table.h"
#include "target/flash.h"
#include "target/protect.h"

#include <string.h>

#define SEED 20261203

/* ---- fixture ---- */

typedef struct {
    ImpBoard *board;
    BoardProbe *probe;
    ImpDevice *device;
} Fixture;

static void set_up(Fixture *f, const char *chip, const char *device)
{
    g_autoptr(GError) error = NULL;
    f->board = imp_board_new(chip, SEED, NULL, NULL);
    g_assert_nonnull(f->board);
    f->probe = board_probe_new(f->board, 125000);
    f->device = imp_device_lookup(device, &error);
    g_assert_no_error(error);
}

static void tear_down(Fixture *f)
{
    imp_probe_close(&f->probe->probe);
    imp_device_free(f->device);
    imp_board_free(f->board);
}

static ImpTarget *attach(Fixture *f, ImpProbe *probe, const ImpTargetOptions *options, GError **error)
{
    return imp_target_attach(probe != NULL ? probe : &f->probe->probe, &f->probe->clock, options, error);
}

static void assert_error(GError **error, ImpErrorCode code)
{
    if (*error == NULL || !g_error_matches(*error, IMP_ERROR, (gint)code))
        g_error("E%d expected, got: %s", (int)code, *error != NULL ? (*error)->message : "success");
    g_clear_error(error);
}

/* ---- the clock ---- */

static void clock_steps_down(void)
{
    static const guint8 acks[] = {8 | 1, 7, 5}; /* wrong parity, nobody, none of SWD's */
    Fixture f;
    set_up(&f, "stm32f103cb", "STM32F103CB");
    for (gsize i = 0; i < G_N_ELEMENTS(acks); i++) {
        g_autoptr(GError) error = NULL;
        BadLine *line = bad_line_new(&f.probe->probe, 2500000, 3, acks[i]);
        ImpTarget *target = attach(&f, &line->probe, &(ImpTargetOptions){.swd_hz = 10000000}, &error);
        g_assert_no_error(error);
        const ImpLinkHealth *health = imp_target_link_health(target);
        g_assert_cmpuint(health->swd_hz, ==, 2500000);
        g_assert_cmpuint(line->hz, ==, 2500000);
        g_assert_cmpuint(health->steps_down, ==, 2);
        g_assert_cmpint(health->slowed_by, >=, IMP_E_NO_TARGET);
        g_assert_cmpint(health->slowed_by, <=, IMP_E_LINK_LOST);
        g_assert_true(imp_target_check(target, f.device, &error));
        imp_target_detach(target);
        imp_probe_close(&line->probe);
    }
    tear_down(&f);
}

/* One disturbance is not the clock's fault; a good line keeps it. */
static void clock_stays(void)
{
    g_autoptr(GError) error = NULL;
    Fixture f;
    set_up(&f, "nrf51822", "nRF51822");
    BadLine *line = bad_line_new(&f.probe->probe, 0, 8, 8 | 1);
    line->n = 0;
    line->every = 1000000;
    ImpTarget *target = attach(&f, &line->probe, &(ImpTargetOptions){.swd_hz = 10000000}, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(imp_target_link_health(target)->swd_hz, ==, 10000000);
    g_assert_cmpuint(imp_target_link_health(target)->steps_down, ==, 0);
    g_assert_cmpint(imp_target_link_health(target)->slowed_by, ==, 0);
    g_assert_cmpuint(imp_target_link_health(target)->retries, ==, 0);
    guint8 word[4];
    line->n = line->every - 1; /* the next one */
    g_assert_true(imp_target_read(target, 0x20000000, word, sizeof word, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(imp_target_link_health(target)->retries, ==, 1);
    imp_target_detach(target);
    line->every = 2; /* each second packet: attaching gets through by repeats, or not at all */
    target = attach(&f, &line->probe, &(ImpTargetOptions){.swd_hz = 150000}, &error);
    g_assert_null(target); /* no step left: below the least clock */
    g_assert_nonnull(error);
    g_assert_cmpint(imp_error_code(error), >=, IMP_E_NO_TARGET);
    g_clear_error(&error);
    imp_probe_close(&line->probe);
    tear_down(&f);
}

static void silent_line_ends(void)
{
    g_autoptr(GError) error = NULL;
    Fixture f;
    set_up(&f, "nrf51822", "nRF51822");
    imp_board_remove(f.board);
    g_assert_null(attach(&f, NULL, &(ImpTargetOptions){.swd_hz = 10000000}, &error));
    g_assert_nonnull(strstr(error->message, "also at 625000 Hz"));
    assert_error(&error, IMP_E_NO_TARGET);
    tear_down(&f);
}

/* In the middle of the work. */
static void clock_steps_down_later(void)
{
    g_autoptr(GError) error = NULL;
    guint8 ram[256] = {1, 2, 3};
    Fixture f;
    set_up(&f, "nrf51822", "nRF51822");
    BadLine *line = bad_line_new(&f.probe->probe, 10000000, 1, 8 | 1);
    ImpTarget *target = attach(&f, &line->probe, &(ImpTargetOptions){.swd_hz = 4000000}, &error);
    g_assert_no_error(error);
    line->bears_hz = 2000000; /* the cable was bent */
    g_assert_false(imp_target_write(target, 0x20000000, ram, sizeof ram, &error));
    g_assert_error(error, IMP_ERROR, IMP_E_LINK_PARITY);
    g_autoptr(GError) why = g_steal_pointer(&error);
    g_assert_true(imp_target_slow_down(target, why, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(imp_target_link_health(target)->swd_hz, ==, 2000000);
    g_assert_cmpint(imp_target_link_health(target)->slowed_by, ==, IMP_E_LINK_PARITY);
    g_assert_true(imp_target_write(target, 0x20000000, ram, sizeof ram, &error));
    g_autoptr(GError) other = g_error_new(IMP_ERROR, IMP_E_FLASH_MISMATCH, "another kind");
    g_assert_false(imp_target_slow_down(target, other, &error));
    assert_error(&error, IMP_E_FLASH_MISMATCH);
    imp_target_detach(target);
    imp_probe_close(&line->probe);
    tear_down(&f);
}

/* ---- power cycle ---- */

/* Vectors, then a loop of about loops * 3 cycles, then AFIO_MAPR.SWJ_CFG = 100: both debug ports off (RM0008, 9.4.2). */
static void load_shut_firmware(ImpBoard *board, guint32 loops)
{
    static const guint16 code[] = {
        0x4803, /* ldr r0, [pc, #12] loops */
        0x3801, /* subs r0, #1 */
        0xD1FD, /* bne .-2 */
        0x4903, /* ldr r1, [pc, #12] AFIO_MAPR */
        0x4A03, /* ldr r2, [pc, #12] SWJ_CFG */
        0x600A, /* str r2, [r1] */
        0xE7FE, /* b . */
        0xBF00, /* nop */
    };
    guint8 image[64];
    memset(image, 0xFF, sizeof image);
    const guint32 vectors[] = {0x20001000, 0x08000011, 0x08000011, 0x08000011};
    const guint32 literals[] = {loops, 0x40010004, 0x04000000};
    memcpy(image, vectors, sizeof vectors);
    memcpy(image + 0x10, code, sizeof code);
    memcpy(image + 0x20, literals, sizeof literals);
    g_assert_true(imp_board_poke(board, 0x08000000, image, sizeof image));
}

typedef struct {
    ImpBoard *board;
    guint n;
    gboolean fails;
} Supply;

static gboolean supply_on(gpointer user, GError **error)
{
    Supply *supply = user;
    supply->n++;
    if (supply->fails) {
        imp_error_set(error, IMP_E_POWER_REFUSED, "no");
        return FALSE;
    }
    imp_board_set_power(supply->board, true);
    return TRUE;
}

static void power_cycle_attaches(void)
{
    g_autoptr(GError) error = NULL;
    Fixture f;
    set_up(&f, "stm32f103cb", "STM32F103CB");
    imp_board_set_power(f.board, false);
    Supply supply = {f.board, 0, FALSE};
    ImpTargetOptions options = {
        .swd_hz = 4000000, .mode = IMP_ATTACH_POWER_CYCLE, .power_on = supply_on, .power_user = &supply};
    ImpTarget *target = attach(&f, NULL, &options, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(supply.n, ==, 1);
    g_assert_true(imp_target_check(target, f.device, &error));
    g_assert_no_error(error);
    imp_target_detach(target);
    tear_down(&f);
}

static void shut_chip_is_caught(void)
{
    g_autoptr(GError) error = NULL;
    Fixture f;
    set_up(&f, "stm32f103cb", "STM32F103CB");
    load_shut_firmware(f.board, 8000); /* 3 ms at 8 MHz */
    imp_board_set_power(f.board, false);
    imp_board_set_power(f.board, true);
    imp_board_advance_to_ns(f.board, imp_board_now_ns(f.board) + 50000000);
    f.probe->host_ns = imp_board_now_ns(f.board);
    g_assert_null(attach(&f, NULL, &(ImpTargetOptions){.swd_hz = 4000000}, &error));
    assert_error(&error, IMP_E_NO_TARGET); /* the firmware has shut the door */

    imp_board_set_power(f.board, false);
    Supply supply = {f.board, 0, FALSE};
    ImpTargetOptions options = {
        .swd_hz = 4000000, .mode = IMP_ATTACH_POWER_CYCLE, .power_on = supply_on, .power_user = &supply};
    ImpTarget *target = attach(&f, NULL, &options, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(supply.n, ==, 1);
    g_assert_true(imp_target_check(target, f.device, &error));
    g_assert_no_error(error);
    guint32 pc = 0;
    g_assert_true(imp_target_read_register(target, IMP_REGISTER_PC, &pc, &error));
    g_assert_cmphex(pc, ==, 0x08000010); /* before its first instruction */
    imp_target_detach(target);
    tear_down(&f);
}

static void power_cycle_fails(void)
{
    g_autoptr(GError) error = NULL;
    Fixture f;
    set_up(&f, "stm32f103cb", "STM32F103CB");
    imp_board_set_power(f.board, false);
    Supply supply = {f.board, 0, TRUE};
    ImpTargetOptions options = {
        .swd_hz = 4000000, .mode = IMP_ATTACH_POWER_CYCLE, .power_on = supply_on, .power_user = &supply};
    g_assert_null(attach(&f, NULL, &options, &error));
    assert_error(&error, IMP_E_POWER_REFUSED);
    imp_board_remove(f.board);
    supply.fails = FALSE;
    gint64 began = imp_clock_boot_us(&f.probe->clock);
    g_assert_null(attach(&f, NULL, &options, &error));
    assert_error(&error, IMP_E_NO_TARGET);
    g_assert_cmpint(imp_clock_boot_us(&f.probe->clock) - began, <, 2 * IMP_TARGET_CATCH_MS * 1000);
    tear_down(&f);
}

/* ---- locked chips ---- */

#define FLASH     0x08000000u
#define OPTIONS   0x1FFFF800u
#define RDP_KEY   0xA5
#define RDP_OTHER 0x00

static void lock_stm32f103(ImpBoard *board)
{
    const guint8 rdp[] = {RDP_OTHER, (guint8)~RDP_OTHER};
    g_assert_true(imp_board_poke(board, OPTIONS, rdp, sizeof rdp));
    imp_board_set_power(board, false);
    imp_board_set_power(board, true);
}

static void locked_chip_is_recognised(void)
{
    g_autoptr(GError) error = NULL;
    guint8 secret[64];
    Fixture f;
    set_up(&f, "stm32f103cb", "STM32F103CB");
    for (gsize i = 0; i < sizeof secret; i++)
        secret[i] = (guint8)(i * 7);
    g_assert_true(imp_board_poke(f.board, FLASH, secret, sizeof secret));
    ImpTarget *target = attach(&f, NULL, &(ImpTargetOptions){0}, &error);
    g_assert_no_error(error);
    g_assert_true(imp_target_check(target, f.device, &error));
    g_assert_true(imp_target_check_open(target, f.device, &error));
    g_assert_no_error(error);
    g_assert_false(imp_target_prove_refusal(target, FLASH, secret, sizeof secret, &error));
    assert_error(&error, IMP_E_NOT_PROTECTED);
    imp_target_detach(target);

    lock_stm32f103(f.board);
    target = attach(&f, NULL, &(ImpTargetOptions){0}, &error);
    g_assert_no_error(error);
    g_assert_true(imp_target_check(target, f.device, &error)); /* what it is can still be told */
    g_assert_no_error(error);
    g_assert_false(imp_target_check_open(target, f.device, &error));
    assert_error(&error, IMP_E_LOCKED);
    g_assert_true(imp_target_prove_refusal(target, FLASH, secret, sizeof secret, &error));
    g_assert_no_error(error);
    imp_target_detach(target);
    tear_down(&f);
}

/* A chip that is gone proves nothing. */
static void gone_chip_proves_nothing(void)
{
    static const guint8 secret[] = {1, 2, 3, 4};
    g_autoptr(GError) error = NULL;
    Fixture f;
    set_up(&f, "stm32f103cb", "STM32F103CB");
    ImpTarget *target = attach(&f, NULL, &(ImpTargetOptions){0}, &error);
    g_assert_no_error(error);
    imp_board_remove(f.board);
    g_assert_false(imp_target_prove_refusal(target, FLASH, secret, sizeof secret, &error));
    g_assert_false(g_error_matches(error, IMP_ERROR, IMP_E_NOT_PROTECTED));
    g_assert_nonnull(error);
    imp_target_detach(target);
    tear_down(&f);
}

static void no_way_is_said(void)
{
    g_autoptr(GError) error = NULL;
    Fixture f;
    set_up(&f, "stm32f103cb", "STM32F103CB");
    f.device->unlock = IMP_UNLOCK_BY_NONE;
    g_assert_false(
        imp_target_unlock(&f.probe->probe, &f.probe->clock, &(ImpTargetOptions){0}, f.device, &error));
    assert_error(&error, IMP_E_NOT_UNLOCKED);
    tear_down(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/door/clock/steps-down", clock_steps_down);
    g_test_add_func("/door/clock/stays", clock_stays);
    g_test_add_func("/door/clock/silent-line-ends", silent_line_ends);
    g_test_add_func("/door/clock/steps-down-later", clock_steps_down_later);
    g_test_add_func("/door/power/attaches", power_cycle_attaches);
    g_test_add_func("/door/power/shut-chip-is-caught", shut_chip_is_caught);
    g_test_add_func("/door/power/fails", power_cycle_fails);
    g_test_add_func("/door/lock/is-recognised", locked_chip_is_recognised);
    g_test_add_func("/door/lock/gone-chip-proves-nothing", gone_chip_proves_nothing);
    g_test_add_func("/door/lock/no-way-is-said", no_way_is_said);
    return g_test_run();
}
