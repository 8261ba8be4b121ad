#include "base/error.h"
#include "device/table.h"

static void test_names(void)
{
    for (const char *const *name = imp_device_names(); *name; name++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(ImpDevice) device = imp_device_lookup(*name, &error);
        g_assert_no_error(error);
        g_assert_nonnull(device);
        if (name[1])
            g_assert_cmpstr(name[0], <, name[1]);
        /* What device.h promises. */
        for (gsize i = 1; i < device->n_algorithms; i++)
            g_assert_cmpuint(device->algorithms[i - 1]->start + device->algorithms[i - 1]->size_bytes, <=,
                             device->algorithms[i]->start);
        g_assert_cmpint(device->erase_all_algorithm, <, (int)device->n_algorithms);
        if (device->erase_all_algorithm >= 0)
            g_assert_cmpuint(device->algorithms[device->erase_all_algorithm]->erase_chip, !=, IMP_ENTRY_NONE);
        for (gsize i = 0; i < device->n_checks; i++)
            g_assert_cmpuint(device->checks[i].value & ~device->checks[i].mask, ==, 0);
        g_assert_nonnull(device->open);
        g_assert_nonnull(imp_device_lock_of(device, 1));
        for (gsize i = 0; i < device->n_locks; i++) {
            const ImpDeviceLock *lock = &device->locks[i];
            g_assert_nonnull(imp_device_algorithm_at(device, lock->address, lock->n_bytes));
        }
        g_assert_true((device->unlock == IMP_UNLOCK_BY_ALGORITHM) == (device->unlock_algorithm >= 0));
        if (device->unlock_algorithm >= 0)
            g_assert_cmpuint(device->algorithms[device->unlock_algorithm]->erase_chip, !=, IMP_ENTRY_NONE);
        g_assert_true((device->unlock == IMP_UNLOCK_BY_WRITES) == (device->n_unlock_writes > 0));
    }
}

static void test_nrf51822(void)
{
    g_autoptr(ImpDevice) device = imp_device_lookup("NRF51822_XXAA", NULL);
    g_assert_cmpstr(device->name, ==, "nRF51822_xxAA");
    g_assert_cmpuint(device->n_algorithms, ==, 2);
    g_assert_cmpuint(device->ram_start, ==, 0x20000000);
    g_assert_cmpuint(device->ram_bytes, ==, 16384);
    g_assert_cmpuint(device->uid_bytes, ==, 8);
    g_assert_true(imp_device_algorithm_at(device, 0x3FFFF, 1) == device->algorithms[0]);
    g_assert_null(imp_device_algorithm_at(device, 0x3FFFF, 2));
    g_assert_true(imp_device_algorithm_at(device, 0x100010C0, 28) == device->algorithms[1]);
    g_assert_null(imp_device_algorithm_at(device, 0x20000000, 4));
    guint64 start;
    guint32 bytes;
    imp_algorithm_sector_at(device->algorithms[0], 0x3BC04, &start, &bytes);
    g_assert_cmpuint(start, ==, 0x3BC00);
    g_assert_cmpuint(bytes, ==, 1024);
}

static void test_stm32f103(void)
{
    g_autoptr(ImpDevice) device = imp_device_lookup("stm32f103rb", NULL);
    g_assert_cmpstr(device->name, ==, "STM32F103xB");
    g_assert_cmpstr(device->core, ==, "cortex-m3");
    g_assert_cmpuint(device->n_algorithms, ==, 2); /* main flash and option bytes */
    g_assert_cmpuint(device->ram_bytes, ==, 20480);
    g_assert_cmpuint(device->uid_bytes, ==, 12);
    g_assert_true(imp_device_algorithm_at(device, 0x08000000, 128 * 1024) == device->algorithms[0]);
    g_assert_null(imp_device_algorithm_at(device, 0x08020000, 1));
    guint64 start;
    guint32 bytes;
    imp_algorithm_sector_at(device->algorithms[0], 0x0801FFFF, &start, &bytes);
    g_assert_cmpuint(start, ==, 0x0801FC00);
    g_assert_cmpuint(bytes, ==, 1024);
}

static void test_unknown(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(imp_device_lookup("nRF51282", &error));
    g_assert_error(error, IMP_ERROR, IMP_E_DEVICE_UNKNOWN);
    g_assert_cmpstr(error->message, ==, "there is no device 'nRF51282'; did you mean 'nRF51822'?");
    g_clear_error(&error);
    g_assert_null(imp_device_lookup("Z80", &error));
    g_assert_cmpstr(error->message, ==,
                    "there is no device 'Z80'; this version knows STM32F103CB, STM32F103RB, STM32F103TB, "
                    "STM32F103VB, STM32F103xB, "
                    "STM32G071CB, STM32G071EB, STM32G071GB, STM32G071KB, STM32G071RB, STM32G071xB, "
                    "nRF51822, nRF51822_xxAA, nRF52832, nRF52832_xxAA");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/device/table/names", test_names);
    g_test_add_func("/device/table/nrf51822", test_nrf51822);
    g_test_add_func("/device/table/stm32f103", test_stm32f103);
    g_test_add_func("/device/table/unknown", test_unknown);
    return g_test_run();
}
