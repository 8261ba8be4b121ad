/* imprint target identify: which chip is behind a probe, without disturbing it. */
#include "base/id.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "device/table.h"
#include "target/target.h"

#include <string.h>

/* CPUID (ARM DDI 0419, B3.2.3; DDI 0403, B3.2.3): implementer 31:24, variant 23:20, part 15:4, revision 3:0. */
#define CPUID_IMPLEMENTER(id) ((id) >> 24)
#define CPUID_VARIANT(id)     (((id) >> 20) & 0xFu)
#define CPUID_PART(id)        (((id) >> 4) & 0xFFFu)
#define CPUID_REVISION(id)    ((id)&0xFu)
#define IMPLEMENTER_ARM       0x41u

/* "Cortex-M3 r1p1"; free with g_free. */
static char *core_text(guint32 cpuid)
{
    static const struct {
        guint part;
        const char *name;
    } cores[] = {{0xC20, "Cortex-M0"}, {0xC60, "Cortex-M0+"}, {0xC21, "Cortex-M1"},  {0xC23, "Cortex-M3"},
                 {0xC24, "Cortex-M4"}, {0xC27, "Cortex-M7"},  {0xD20, "Cortex-M23"}, {0xD21, "Cortex-M33"}};
    for (gsize i = 0; i < G_N_ELEMENTS(cores) && CPUID_IMPLEMENTER(cpuid) == IMPLEMENTER_ARM; i++)
        if (CPUID_PART(cpuid) == cores[i].part)
            return g_strdup_printf("%s r%up%u", cores[i].name, CPUID_VARIANT(cpuid), CPUID_REVISION(cpuid));
    return g_strdup_printf("of another kind (implementer 0x%02X, part 0x%03X)", CPUID_IMPLEMENTER(cpuid),
                           CPUID_PART(cpuid));
}

static json_t *hex32(guint32 word)
{
    g_autofree char *text = g_strdup_printf("0x%08X", word);
    return json_string(text);
}

/* Who made the chip: the designer in the ROM table of the core's debug space (ARM IHI 0031, D1: PIDR, CIDR). */
#define ROM_TABLES_COUNT 2
#define ROM_PIDR4        0xFD0u
#define ROM_PIDR0        0xFE0u
#define ROM_CIDR0        0xFF0u
#define DESIGNER_ARM     0x43Bu
static const guint32 rom_tables[ROM_TABLES_COUNT] = {0xE00FF000u, 0xF0000000u};

/* JEP106: continuation codes in the high byte. */
static const struct {
    guint code;
    const char *name;
} makers[] = {{0x00E, "Freescale"},          {0x015, "NXP"},
              {0x017, "Texas Instruments"},  {0x01F, "Microchip (Atmel)"},
              {0x020, "STMicroelectronics"}, {0x034, "Infineon (Cypress)"},
              {0x041, "Infineon"},           {0x244, "Nordic Semiconductor"},
              {0x913, "Raspberry Pi"},       {DESIGNER_ARM, "Arm"}};

/* The low bytes of n_words words; FALSE if they cannot be read: a place where there is nothing. */
static gboolean read_ids(ImpTarget *target, guint32 address, guint8 *out, gsize n_words)
{
    guint8 words[4 * 4];
    g_assert(n_words * 4 <= sizeof words);
    if (!imp_target_read(target, address, words, n_words * 4, NULL))
        return FALSE;
    for (gsize i = 0; i < n_words; i++)
        out[i] = words[4 * i];
    return TRUE;
}

/* What the first ROM table that is one says. FALSE: there is none, or it is the core's own. */
static gboolean read_maker(ImpTarget *target, guint *out_designer, guint *out_part)
{
    for (guint i = 0; i < ROM_TABLES_COUNT; i++) {
        guint8 p[4], c[4], more[1];
        if (!read_ids(target, rom_tables[i] + ROM_CIDR0, c, 4) || c[0] != 0x0D || c[1] != 0x10 ||
            c[2] != 0x05 || c[3] != 0xB1 || !read_ids(target, rom_tables[i] + ROM_PIDR0, p, 4) ||
            !read_ids(target, rom_tables[i] + ROM_PIDR4, more, 1) || (p[2] & 8) == 0)
            continue;
        *out_designer = (guint)(more[0] & 15) << 8 | (guint)(p[2] & 7) << 4 | p[1] >> 4;
        *out_part = (guint)(p[1] & 15) << 8 | p[0];
        if (*out_designer != DESIGNER_ARM)
            return TRUE;
    }
    return FALSE;
}

static void tell_maker(ImpCli *cli, ImpTarget *target)
{
    guint designer, part;
    if (!read_maker(target, &designer, &part))
        return;
    const char *name = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(makers); i++)
        if (makers[i].code == designer)
            name = makers[i].name;
    g_autofree char *text = name != NULL ? g_strdup(name) : g_strdup_printf("JEP106 0x%03X", designer);
    json_object_set_new(cli->result, "maker", json_string(text));
    json_object_set_new(cli->result, "maker_part", hex32(part));
    if (!cli->json)
        fprintf(cli->env->out, "maker    %s, part 0x%03X\n", text, part);
}

/* A failure that tells something about the chip, not about the way to it. */
static gboolean is_of_chip(const GError *error)
{
    return g_error_matches(error, IMP_ERROR, IMP_E_BUS_FAULT);
}

/* The unique ID as the records have it; *out_text is NULL if the chip does not give it. Free with g_free. */
static gboolean read_uid(ImpTarget *target, const ImpDevice *device, char **out_text, GError **error)
{
    guint8 uid[IMP_UID_BYTES_MAX];
    gsize n_bytes = 0;
    GError *why = NULL;
    *out_text = NULL;
    if (imp_target_read_uid(target, device, uid, &n_bytes, &why)) {
        *out_text = n_bytes > 0 ? imp_hex_encode(uid, n_bytes) : NULL;
        return TRUE;
    }
    if (is_of_chip(why)) {
        g_error_free(why);
        return TRUE;
    }
    g_propagate_error(error, why);
    return FALSE;
}

typedef enum { LOCK_UNKNOWN = 2, LOCK_OPEN, LOCK_LOCKED } Lock;

static gboolean read_lock(ImpTarget *target, const ImpDevice *device, Lock *out_lock, GError **error)
{
    const ImpDeviceCheck *open = device->open;
    guint8 bytes[4];
    GError *why = NULL;
    *out_lock = LOCK_UNKNOWN;
    if (open == NULL)
        return TRUE;
    if (!imp_target_read(target, open->address, bytes, sizeof bytes, &why)) {
        if (!is_of_chip(why)) {
            g_propagate_error(error, why);
            return FALSE;
        }
        g_error_free(why);
        return TRUE;
    }
    guint32 word =
        (guint32)bytes[0] | (guint32)bytes[1] << 8 | (guint32)bytes[2] << 16 | (guint32)bytes[3] << 24;
    *out_lock = (word & open->mask) == open->value ? LOCK_OPEN : LOCK_LOCKED;
    return TRUE;
}

static gboolean add_device(ImpCli *cli, ImpTarget *target, const ImpDevice *device, GError **error)
{
    g_autofree char *uid = NULL;
    Lock lock;
    if (!read_uid(target, device, &uid, error) || !read_lock(target, device, &lock, error))
        return FALSE;
    json_t *object = json_pack("{s:s}", "device", device->name);
    if (uid != NULL)
        json_object_set_new(object, "uid", json_string(uid));
    if (lock != LOCK_UNKNOWN)
        json_object_set_new(object, "locked", json_boolean(lock == LOCK_LOCKED));
    json_array_append_new(json_object_get(cli->result, "devices"), object);
    if (!cli->json)
        fprintf(cli->env->out, "device   %s\nuid      %s\nlocked   %s\n", device->name,
                uid != NULL              ? uid
                : device->uid_bytes == 0 ? "this chip has none"
                                         : "the chip does not give it",
                lock == LOCK_UNKNOWN  ? "not known"
                : lock == LOCK_LOCKED ? "yes: its memory cannot be read"
                                      : "no");
    return TRUE;
}

/* Holds the chip against one device of the table. FALSE only if the way to the chip failed. */
static gboolean try_device(ImpCli *cli, ImpTarget *target, const ImpDevice *device, GError **error)
{
    GError *why = NULL;
    if (imp_target_check(target, device, &why))
        return add_device(cli, target, device, error);
    if (!g_error_matches(why, IMP_ERROR, IMP_E_WRONG_CHIP)) {
        g_propagate_error(error, why);
        return FALSE;
    }
    if (device->dpidr == 0 || device->dpidr == imp_target_id(target)->dpidr) {
        g_autofree char *text = g_utf8_make_valid(why->message, -1);
        json_array_append_new(json_object_get(cli->result, "ruled_out"),
                              json_pack("{s:s, s:s}", "device", device->name, "why", text));
    }
    g_error_free(why);
    return TRUE;
}

/* Each device of the table once, whatever names it has. */
static gboolean try_all(ImpCli *cli, ImpTarget *target, GError **error)
{
    g_autoptr(GHashTable) tried = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (const char *const *name = imp_device_names(); *name != NULL; name++) {
        g_autoptr(ImpDevice) device = imp_device_lookup(*name, error);
        if (device == NULL)
            return FALSE;
        if (g_hash_table_add(tried, g_strdup(device->name)) && !try_device(cli, target, device, error))
            return FALSE;
    }
    return TRUE;
}

static void say_unknown(ImpCli *cli)
{
    FILE *out = cli->env->out;
    gsize i;
    const json_t *item;
    fputs("device   none that this version knows by itself\n", out);
    json_array_foreach(json_object_get(cli->result, "ruled_out"), i, item)
        fprintf(out, "not      %s\n", json_string_value(json_object_get(item, "why")));
    fputs("do       name it: imprint device list shows what is known, imprint device add FILE.pack adds what "
          "its vendor "
          "knows\n",
          out);
}

/* A chip whose protection has switched its access port off tells no more than that. */
static void say_locked(ImpCli *cli, const char *name, const GError *why)
{
    g_autofree char *text = g_utf8_make_valid(why->message, -1);
    json_object_set_new(cli->result, "probe", json_string(name));
    json_object_set_new(cli->result, "devices", json_array());
    json_object_set_new(cli->result, "locked", json_true());
    json_object_set_new(cli->result, "why", json_string(text));
    json_t *likely = json_array();
    json_object_set_new(cli->result, "likely", likely);
    if (!cli->json)
        fprintf(cli->env->out, "probe    %s\nlocked   yes: %s\n", name, text);
    for (const char *const *known = imp_device_names(); *known != NULL; known++) {
        g_autoptr(ImpDevice) device = imp_device_lookup(*known, NULL);
        if (device == NULL || device->unlock != IMP_UNLOCK_BY_CTRL_AP || strcmp(device->name, *known) != 0)
            continue;
        json_array_append_new(likely, json_string(device->name));
        if (!cli->json)
            fprintf(cli->env->out, "likely   %s: such chips lock themselves this way\n", device->name);
    }
    if (!cli->json)
        fputs("do       a recipe with connection: {unlock: erase} opens it, and erases everything in it\n",
              cli->env->out);
}

/* Borrowed by who identifies: closed together. */
typedef struct {
    ImpProbe *probe; /* NULL: by a GDB server */
    ImpTarget *target;
    const char *name;
} Way;

static void way_done(Way *way)
{
    imp_target_detach(way->target);
    imp_probe_close(way->probe);
}

static gboolean look(const ImpCli *cli, const char *spec, Way *way, GError **error)
{
    const ImpClock *clock = cli->env->clock;
    const ImpTargetOptions options = {0};
    way->name = spec;
    if (g_str_has_prefix(spec, IMP_TARGET_GDB_PREFIX)) {
        way->target = imp_target_look_gdb(spec + strlen(IMP_TARGET_GDB_PREFIX), clock, &options, error);
        return way->target != NULL;
    }
    way->probe = imp_probe_open(spec, clock, error);
    if (way->probe == NULL)
        return FALSE;
    way->name = way->probe->name;
    way->target = imp_target_look(way->probe, clock, &options, error);
    return way->target != NULL;
}

static gboolean identify(ImpCli *cli, const Way *way, GError **error)
{
    const ImpTargetId *id = imp_target_id(way->target);
    g_autofree char *core = core_text(id->cpuid);
    json_object_set_new(cli->result, "probe", json_string(way->name));
    if (way->probe != NULL) {
        json_object_set_new(cli->result, "dpidr", hex32(id->dpidr));
        json_object_set_new(cli->result, "ap_idr", hex32(id->ap_idr));
    }
    json_object_set_new(cli->result, "cpuid", hex32(id->cpuid));
    json_object_set_new(cli->result, "core", json_string(core));
    json_object_set_new(cli->result, "devices", json_array());
    json_object_set_new(cli->result, "ruled_out", json_array());
    FILE *out = cli->env->out;
    if (!cli->json)
        fprintf(out, "probe    %s\n", way->name);
    if (!cli->json && way->probe != NULL)
        fprintf(out, "port     DPIDR 0x%08X, AP IDR 0x%08X\n", id->dpidr, id->ap_idr);
    if (!cli->json)
        fprintf(out, "core     %s, CPUID 0x%08X\n", core, id->cpuid);
    tell_maker(cli, way->target);
    if (!try_all(cli, way->target, error))
        return FALSE;
    if (!cli->json && json_array_size(json_object_get(cli->result, "devices")) == 0)
        say_unknown(cli);
    return TRUE;
}

gboolean imp_command_target_identify(ImpCli *cli, GError **error)
{
    const char *spec;
    Way way = {0};
    GError *why = NULL;
    if (!imp_cli_one_probe(cli, &spec, error))
        return FALSE;
    gboolean good = look(cli, spec, &way, &why) && identify(cli, &way, &why);
    if (!good && g_error_matches(why, IMP_ERROR, IMP_E_LOCKED)) {
        say_locked(cli, way.name, why);
        g_clear_error(&why);
        good = TRUE;
    }
    way_done(&way);
    if (why != NULL)
        g_propagate_error(error, why);
    return good;
}
