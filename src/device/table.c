#include "device/table.h"

#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "device/flm.h"

/* Made from algorithms/ by algorithms/embed.py. */
extern const guint8 flm_nrf51_code[];
extern const gsize flm_nrf51_code_bytes;
extern const guint8 flm_nrf51_uicr[];
extern const gsize flm_nrf51_uicr_bytes;
extern const guint8 flm_nrf52_code[];
extern const gsize flm_nrf52_code_bytes;
extern const guint8 flm_nrf52_uicr[];
extern const gsize flm_nrf52_uicr_bytes;
extern const guint8 flm_stm32f1_flash[];
extern const gsize flm_stm32f1_flash_bytes;
extern const guint8 flm_stm32f1_options[];
extern const gsize flm_stm32f1_options_bytes;
extern const guint8 flm_stm32g0_flash[];
extern const gsize flm_stm32g0_flash_bytes;
extern const guint8 flm_stm32g0_options[];
extern const gsize flm_stm32g0_options_bytes;

/* CPUID: ARMv6-M Architecture Reference Manual, B3.2.3. Variant and revision are left open. */
#define CPUID_ADDRESS       0xE000ED00u
#define CPUID_MASK          0xFF0FFFF0u
#define CPUID_CORTEX_M0     0x410CC200u
#define CPUID_CORTEX_M3     0x410FC230u
#define CPUID_CORTEX_M0PLUS 0x410CC600u
#define CPUID_CORTEX_M4     0x410FC240u

/* FICR: nRF51 Series Reference Manual v3.0, chapter 7; nRF52832 Product Specification v1.4, chapter 13. */
#define NRF5_FICR_CODEPAGESIZE 0x10000010u
#define NRF5_FICR_CODESIZE     0x10000014u
#define NRF5_FICR_DEVICEID     0x10000060u
#define NRF52_FICR_PART        0x10000100u

/* NVMC: the same manual, chapter 6. */
#define NRF5_NVMC_READY    0x4001E400u
#define NRF5_NVMC_CONFIG   0x4001E504u
#define NRF5_NVMC_ERASEALL 0x4001E50Cu
#define NRF5_NVMC_EEN      2u

/* STM32F10x: RM0008, 31.6.1 (DBGMCU_IDCODE) and 30 (device electronic signature). */
#define STM32F1_IDCODE      0xE0042000u
#define STM32_DEV_ID        0x00000FFFu
#define STM32F1_MEDIUM      0x410u
#define STM32F1_F_SIZE      0x1FFFF7E0u
#define STM32F1_F_SIZE_MASK 0x0000FFFFu
#define STM32F1_U_ID        0x1FFFF7E8u

/* STM32G0: RM0444, 40.6 (ROM table) and 38 (device electronic signature). DBG_IDCODE needs a clock that may be off; the ROM
 * table, which has the same number, always answers. */
#define STM32G0_PIDR0       0xF0000FE0u
#define STM32G0_PIDR1       0xF0000FE4u
#define STM32G0_F_SIZE      0x1FFF75E0u
#define STM32G0_F_SIZE_MASK 0x0000FFFFu
#define STM32G0_U_ID        0x1FFF7590u

typedef struct {
    const guint8 *bytes;
    const gsize *n_bytes;
    const char *what;
} EmbeddedFlm;

typedef struct {
    const char *const *names; /* the first is the device's own */
    ImpDevice device; /* without checks and algorithms; names of constant text */
    const ImpDeviceCheck *checks;
    gsize n_checks;
    const ImpDeviceCheck *open; /* NULL = not known */
    const ImpDeviceLock *locks; /* by rising level */
    gsize n_locks;
    const ImpDeviceWrite *unlock_writes;
    gsize n_unlock_writes;
    const ImpDeviceWrite *launch_writes;
    gsize n_launch_writes;
    const EmbeddedFlm *algorithms; /* sorted by start */
    gsize n_algorithms;
} TableEntry;

static const char *const nrf51822_names[] = {"nRF51822_xxAA", "nRF51822", NULL};

/* The FICR words tell the nRF51 with 256 KiB from those with 128 KiB (xxAB); the addresses answer on no other
 * Cortex-M0 that we know with these two values. */
static const ImpDeviceCheck nrf51822_checks[] = {
    {CPUID_ADDRESS, CPUID_MASK, CPUID_CORTEX_M0, (char *)"CPUID is that of a Cortex-M0"},
    {NRF5_FICR_CODEPAGESIZE, G_MAXUINT32, 1024, (char *)"FICR CODEPAGESIZE is 1024 bytes"},
    {NRF5_FICR_CODESIZE, G_MAXUINT32, 256, (char *)"FICR CODESIZE is 256 pages"},
};
/* UICR.RBPCONF: reference manual, chapter 8. Protected, the debugger reaches the NVMC and nothing of RAM. */
static const ImpDeviceCheck nrf51822_open = {0x10001004u, 0x0000FF00u, 0x0000FF00u,
                                             (char *)"UICR RBPCONF.PALL protects nothing"};
static const ImpDeviceLock nrf51822_locks[] = {{1, 0x10001004u, {0xFF, 0x00, 0xFF, 0xFF}, 4}};
static const ImpDeviceWrite nrf51822_unlock[] = {
    {NRF5_NVMC_CONFIG, NRF5_NVMC_EEN, 100, NRF5_NVMC_READY, 1, 1},
    {NRF5_NVMC_ERASEALL, 1, 500, NRF5_NVMC_READY, 1, 1},
    {NRF5_NVMC_CONFIG, 0, 100, NRF5_NVMC_READY, 1, 1},
};
static const EmbeddedFlm nrf51822_algorithms[] = {
    {flm_nrf51_code, &flm_nrf51_code_bytes, "nrf51-code.flm"},
    {flm_nrf51_uicr, &flm_nrf51_uicr_bytes, "nrf51-uicr.flm"},
};

static const char *const nrf52832_names[] = {"nRF52832_xxAA", "nRF52832", NULL};

static const ImpDeviceCheck nrf52832_checks[] = {
    {CPUID_ADDRESS, CPUID_MASK, CPUID_CORTEX_M4, (char *)"CPUID is that of a Cortex-M4"},
    {NRF52_FICR_PART, G_MAXUINT32, 0x52832, (char *)"FICR INFO.PART is nRF52832"},
    {NRF5_FICR_CODEPAGESIZE, G_MAXUINT32, 4096, (char *)"FICR CODEPAGESIZE is 4096 bytes"},
    {NRF5_FICR_CODESIZE, G_MAXUINT32, 128, (char *)"FICR CODESIZE is 128 pages"},
};
/* UICR.APPROTECT: product specification v1.4, chapter 14. Protected, only CTRL-AP (chapter 16.2) answers: this word can then not be read either. */
static const ImpDeviceCheck nrf52832_open = {0x10001208u, 0x000000FFu, 0x000000FFu,
                                             (char *)"UICR APPROTECT protects nothing"};
static const ImpDeviceLock nrf52832_locks[] = {{1, 0x10001208u, {0x00, 0xFF, 0xFF, 0xFF}, 4}};
static const EmbeddedFlm nrf52832_algorithms[] = {
    {flm_nrf52_code, &flm_nrf52_code_bytes, "nrf52-code.flm"},
    {flm_nrf52_uicr, &flm_nrf52_uicr_bytes, "nrf52-uicr.flm"},
};

static const char *const stm32f103xb_names[] = {"STM32F103xB", "STM32F103CB", "STM32F103RB",
                                                "STM32F103TB", "STM32F103VB", NULL};

/* One die in four packages. The device ID tells the density, F_SIZE those with 128 KiB from those with 64 (x8). */
static const ImpDeviceCheck stm32f103xb_checks[] = {
    {CPUID_ADDRESS, CPUID_MASK, CPUID_CORTEX_M3, (char *)"CPUID is that of a Cortex-M3"},
    {STM32F1_IDCODE, STM32_DEV_ID, STM32F1_MEDIUM,
     (char *)"DBGMCU_IDCODE is that of a medium-density STM32F10x"},
    {STM32F1_F_SIZE, STM32F1_F_SIZE_MASK, 128, (char *)"F_SIZE is 128 KiB"},
};
/* FLASH_OBR: PM0075, 3.7. */
static const ImpDeviceCheck stm32f103xb_open = {0x4002201Cu, 0x00000002u, 0,
                                                (char *)"FLASH_OBR.RDPRT is not set"};
/* Option byte RDP and its complement: PM0075, 2.4.1. */
static const ImpDeviceLock stm32f103xb_locks[] = {{1, 0x1FFFF800u, {0x00, 0xFF}, 2}};
static const EmbeddedFlm stm32f103xb_algorithms[] = {
    {flm_stm32f1_flash, &flm_stm32f1_flash_bytes, "stm32f1-flash.flm"},
    {flm_stm32f1_options, &flm_stm32f1_options_bytes, "stm32f1-options.flm"},
};

static const char *const stm32g071xb_names[] = {"STM32G071xB", "STM32G071CB", "STM32G071EB", "STM32G071GB",
                                                "STM32G071KB", "STM32G071RB", NULL};

static const ImpDeviceCheck stm32g071xb_checks[] = {
    {CPUID_ADDRESS, CPUID_MASK, CPUID_CORTEX_M0PLUS, (char *)"CPUID is that of a Cortex-M0+"},
    {STM32G0_PIDR0, 0xFF, 0x60, (char *)"the ROM table's part number is 0x460 (PIDR0)"},
    {STM32G0_PIDR1, 0x0F, 0x04, (char *)"the ROM table's part number is 0x460 (PIDR1)"},
    {STM32G0_F_SIZE, STM32G0_F_SIZE_MASK, 128, (char *)"F_SIZE is 128 KiB"},
};
/* FLASH_OPTR.RDP, and the option byte that it is loaded from: RM0444, 3.5.1. */
static const ImpDeviceCheck stm32g071xb_open = {0x40022020u, 0x000000FFu, 0x000000AAu,
                                                (char *)"FLASH_OPTR.RDP is level 0"};
static const ImpDeviceLock stm32g071xb_locks[] = {{1, 0x1FFF7800u, {0xBB}, 1}, {2, 0x1FFF7800u, {0xCC}, 1}};
/* Keys of FLASH_KEYR and FLASH_OPTKEYR, then FLASH_CR.OBL_LAUNCH: RM0444, 3.3.6, 3.4.2. */
static const ImpDeviceWrite stm32g071xb_launch[] = {{.address = 0x40022008u, .value = 0x45670123u},
                                                    {.address = 0x40022008u, .value = 0xCDEF89ABu},
                                                    {.address = 0x4002200Cu, .value = 0x08192A3Bu},
                                                    {.address = 0x4002200Cu, .value = 0x4C5D6E7Fu},
                                                    {.address = 0x40022014u, .value = 1u << 27}};
static const EmbeddedFlm stm32g071xb_algorithms[] = {
    {flm_stm32g0_flash, &flm_stm32g0_flash_bytes, "stm32g0-flash.flm"},
    {flm_stm32g0_options, &flm_stm32g0_options_bytes, "stm32g0-options.flm"},
};

static const TableEntry table[] = {
    {
        .names = nrf51822_names,
        .device =
            {
                .core = (char *)"cortex-m0",
                .core_hz =
                    16000000, /* HFCLK starts on the 16 MHz RC oscillator: reference manual, chapter CLOCK */
                .dpidr = 0x0BB11477, /* Cortex-M0 DAP */
                .ram_start = 0x20000000,
                .ram_bytes = 16 * 1024,
                .uid_address = NRF5_FICR_DEVICEID,
                .uid_bytes = 8,
                .erase_all_algorithm = 0, /* ERASEALL: code flash and UICR */
                .erase_all_ms_max = 1000, /* 22.3 ms by the product specification, which gives no maximum */
                .unlock = IMP_UNLOCK_BY_WRITES,
                .unlock_algorithm = -1,
            },
        .checks = nrf51822_checks,
        .n_checks = G_N_ELEMENTS(nrf51822_checks),
        .open = &nrf51822_open,
        .locks = nrf51822_locks,
        .n_locks = G_N_ELEMENTS(nrf51822_locks),
        .unlock_writes = nrf51822_unlock,
        .n_unlock_writes = G_N_ELEMENTS(nrf51822_unlock),
        .algorithms = nrf51822_algorithms,
        .n_algorithms = G_N_ELEMENTS(nrf51822_algorithms),
    },
    {
        .names = nrf52832_names,
        .device =
            {
                .core = (char *)"cortex-m4",
                .core_hz = 64000000, /* HFINT: product specification v1.4, chapter CLOCK */
                .dpidr = 0x2BA01477, /* Cortex-M4 DAP */
                .ram_start = 0x20000000,
                .ram_bytes = 64 * 1024,
                .uid_address = NRF5_FICR_DEVICEID,
                .uid_bytes = 8,
                .erase_all_algorithm = 0, /* ERASEALL: code flash and UICR */
                .erase_all_ms_max = 2000, /* tERASEALL: product specification v1.4, chapter NVMC: 295.3 ms */
                .unlock = IMP_UNLOCK_BY_CTRL_AP,
                .unlock_algorithm = -1,
                .ctrl_ap_index = 1,
            },
        .checks = nrf52832_checks,
        .n_checks = G_N_ELEMENTS(nrf52832_checks),
        .open = &nrf52832_open,
        .locks = nrf52832_locks,
        .n_locks = G_N_ELEMENTS(nrf52832_locks),
        .algorithms = nrf52832_algorithms,
        .n_algorithms = G_N_ELEMENTS(nrf52832_algorithms),
    },
    {
        .names = stm32f103xb_names,
        .device =
            {
                .core = (char *)"cortex-m3",
                .core_hz = 8000000, /* HSI, chosen by every reset: RM0008, 7.2 */
                .dpidr = 0x1BA01477, /* RM0008, 31.8.3 */
                .ram_start = 0x20000000,
                .ram_bytes = 20 * 1024,
                .uid_address = STM32F1_U_ID,
                .uid_bytes = 12,
                .erase_all_algorithm = 0, /* mass erase of the main flash */
                .erase_all_ms_max = 1000, /* tME: 40 ms at most by the data sheet */
                .unlock = IMP_UNLOCK_BY_ALGORITHM,
                .unlock_algorithm = 1,
            },
        .checks = stm32f103xb_checks,
        .n_checks = G_N_ELEMENTS(stm32f103xb_checks),
        .open = &stm32f103xb_open,
        .locks = stm32f103xb_locks,
        .n_locks = G_N_ELEMENTS(stm32f103xb_locks),
        .algorithms = stm32f103xb_algorithms,
        .n_algorithms = G_N_ELEMENTS(stm32f103xb_algorithms),
    },
    {
        .names = stm32g071xb_names,
        .device =
            {
                .core = (char *)"cortex-m0plus",
                .core_hz = 16000000, /* HSI16, chosen by every reset: RM0444, 5.2 */
                .dpidr = 0x0BC11477, /* RM0444, 40.4 */
                .ram_start = 0x20000000,
                .ram_bytes = 32 * 1024, /* what is there whether or not parity is checked */
                .uid_address = STM32G0_U_ID,
                .uid_bytes = 12,
                .erase_all_algorithm = 0, /* mass erase of the main flash */
                .erase_all_ms_max = 1000, /* tME: 40 ms at most by the data sheet */
                .unlock = IMP_UNLOCK_BY_ALGORITHM,
                .unlock_algorithm = 1,
            },
        .checks = stm32g071xb_checks,
        .n_checks = G_N_ELEMENTS(stm32g071xb_checks),
        .open = &stm32g071xb_open,
        .locks = stm32g071xb_locks,
        .n_locks = G_N_ELEMENTS(stm32g071xb_locks),
        .launch_writes = stm32g071xb_launch,
        .n_launch_writes = G_N_ELEMENTS(stm32g071xb_launch),
        .algorithms = stm32g071xb_algorithms,
        .n_algorithms = G_N_ELEMENTS(stm32g071xb_algorithms),
    },
};

static void copy_protection(const TableEntry *entry, ImpDevice *device)
{
    if (entry->open != NULL) {
        device->open = g_memdup2(entry->open, sizeof *entry->open);
        device->open->what = g_strdup(entry->open->what);
    }
    device->locks = g_memdup2(entry->locks, entry->n_locks * sizeof *entry->locks);
    device->n_locks = entry->n_locks;
    device->unlock_writes =
        g_memdup2(entry->unlock_writes, entry->n_unlock_writes * sizeof *entry->unlock_writes);
    device->n_unlock_writes = entry->n_unlock_writes;
    device->launch_writes =
        g_memdup2(entry->launch_writes, entry->n_launch_writes * sizeof *entry->launch_writes);
    device->n_launch_writes = entry->n_launch_writes;
}

static ImpDevice *make_device(const TableEntry *entry, GError **error)
{
    g_autoptr(ImpDevice) device = g_memdup2(&entry->device, sizeof *device);
    device->name = g_strdup(entry->names[0]);
    device->core = g_strdup(entry->device.core);
    device->checks = g_memdup2(entry->checks, entry->n_checks * sizeof *entry->checks);
    device->n_checks = entry->n_checks;
    for (gsize i = 0; i < device->n_checks; i++)
        device->checks[i].what = g_strdup(device->checks[i].what);
    copy_protection(entry, device);
    device->algorithms = g_new0(ImpAlgorithm *, entry->n_algorithms);
    for (gsize i = 0; i < entry->n_algorithms; i++) {
        const EmbeddedFlm *flm = &entry->algorithms[i];
        g_autoptr(GBytes) bytes = g_bytes_new_static(flm->bytes, *flm->n_bytes);
        device->algorithms[i] = imp_flm_parse(bytes, flm->what, error);
        if (device->algorithms[i] == NULL)
            return NULL;
        device->n_algorithms++;
    }
    return g_steal_pointer(&device);
}

ImpDevice *imp_device_lookup(const char *name, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
        for (const char *const *known = table[i].names; *known; known++)
            if (g_ascii_strcasecmp(name, *known) == 0)
                return make_device(&table[i], error);
    const char *nearest = imp_nearest(name, imp_device_names());
    if (nearest != NULL) {
        imp_error_set(error, IMP_E_DEVICE_UNKNOWN, "there is no device '%s'; did you mean '%s'?", name,
                      nearest);
    } else {
        g_autofree char *all = g_strjoinv(", ", (char **)imp_device_names());
        imp_error_set(error, IMP_E_DEVICE_UNKNOWN, "there is no device '%s'; this version knows %s", name,
                      all);
    }
    return NULL;
}

const char *const *imp_device_names(void)
{
    static const char *const names[] = {"STM32F103CB",   "STM32F103RB", "STM32F103TB",   "STM32F103VB",
                                        "STM32F103xB",   "STM32G071CB", "STM32G071EB",   "STM32G071GB",
                                        "STM32G071KB",   "STM32G071RB", "STM32G071xB",   "nRF51822",
                                        "nRF51822_xxAA", "nRF52832",    "nRF52832_xxAA", NULL};
    return names;
}
