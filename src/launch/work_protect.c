/* Locks the chip, and proves it by trying to read. */
#include "launch/port_thread.h"

#include "base/error.h"
#include "target/protect.h"

#include <string.h>

#define PROOF_BYTES 64

/* Programmed bytes that could be told from a blank or hidden memory. out_n 0: the image has none. */
static const guint8 *find_proof(const ImpContent *content, guint64 *out_address, gsize *out_n)
{
    *out_n = 0;
    for (gsize s = 0; s < content->n_segments; s++) {
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(content->segments[s].bytes, &n_bytes);
        for (gsize at = 0; at < n_bytes; at += PROOF_BYTES) {
            gsize n = MIN(PROOF_BYTES, n_bytes - at);
            if (!imp_target_is_telling(bytes + at, n))
                continue;
            *out_address = content->segments[s].address + at;
            *out_n = n;
            return bytes + at;
        }
    }
    return NULL;
}

static gboolean program_lock(ImpThreadPort *port, const ImpDevice *device, const ImpDeviceLock *lock,
                             GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(lock->bytes, lock->n_bytes);
    const ImpFlashSegment segment = {lock->address, bytes};
    const ImpFlashJob job = {.erase = IMP_FLASH_ERASE_NONE,
                             .program = TRUE,
                             .verify = IMP_FLASH_VERIFY_READ_BACK,
                             .segments = &segment,
                             .n_segments = 1};
    if (port->flash == NULL)
        port->flash = imp_flash_open(port->target, device, error);
    gboolean good = port->flash != NULL && imp_flash_run(port->flash, &job, NULL, error);
    g_clear_pointer(&port->flash, imp_flash_close);
    return good;
}

static gboolean power_cycle(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    return !imp_thread_can_cycle(port) ||
           (imp_thread_power_off(port, content, error) && imp_thread_power_on(port, content, error));
}

/* From here on the chip is locked. Where the supply can be switched it is, for some chips look at their lock only then. */
static gboolean bring_into_force(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    if (!imp_target_load_options(port->target, content->device, error))
        return FALSE;
    imp_thread_lose(port);
    return !imp_thread_can_cycle(port) ||
           (imp_thread_power_off(port, content, error) && imp_thread_power_on(port, content, error));
}

/* A chip that lets nobody in at all is proof only where that is what the level does. */
static gboolean judge_silence(const GError *why, guint level, GError **error)
{
    gboolean closed = g_error_matches(why, IMP_ERROR, IMP_E_LOCKED);
    gboolean silent = g_error_matches(why, IMP_ERROR, IMP_E_NO_TARGET) && level >= IMP_DEVICE_LEVEL_FOR_EVER;
    if (closed || silent)
        return TRUE;
    g_propagate_prefixed_error(error, g_error_copy(why), "proving the protection: ");
    return FALSE;
}

static gboolean prove(ImpThreadPort *port, const ImpContent *content, guint level, GError **error)
{
    g_autoptr(GError) why = NULL;
    guint64 address = 0;
    gsize n_bytes = 0;
    const guint8 *expected = find_proof(content, &address, &n_bytes);
    if (expected == NULL) {
        imp_error_set(error, IMP_E_NOT_PROTECTED,
                      "the protection cannot be proved: the image holds no two bytes that differ");
        return FALSE;
    }
    if (!imp_thread_connect(port, content, &why))
        return judge_silence(why, level, error);
    /* Another chip that refuses would prove nothing; where the unique ID can still be read, it tells. */
    if (!imp_thread_check_unit(port, content, &why) && !g_error_matches(why, IMP_ERROR, IMP_E_BUS_FAULT)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    gboolean refused = imp_target_prove_refusal(port->target, address, expected, n_bytes, error);
    imp_thread_lose(port);
    /* Some protected chips that a debugger has touched do not run before the next power-on. */
    return refused && power_cycle(port, content, error);
}

gboolean imp_thread_restart(ImpThreadPort *port, const ImpContent *content, GError **error)
{
    if (!port->locked) {
        port->left = TRUE;
        return imp_target_reset_run(port->target, error);
    }
    imp_thread_lose(port);
    if (imp_thread_can_cycle(port))
        return power_cycle(port, content, error);
    port->probe = imp_thread_open_probe(port, error);
    gboolean good = port->probe != NULL && imp_target_pulse_reset(port->probe, port->clock, error);
    imp_thread_lose(port);
    return good;
}

gboolean imp_work_protect(ImpThreadPort *port, const ImpCommand *command, ImpPortEvent *event, GError **error)
{
    const ImpContent *content = command->content;
    const ImpDeviceLock *lock = imp_device_lock_of(content->device, command->step->level);
    (void)event;
    g_assert(lock != NULL); /* launch/able.c lets no other level through */
    if (!imp_thread_hold(port, content, error) || !program_lock(port, content->device, lock, error))
        return FALSE;
    port->locked = TRUE;
    return bring_into_force(port, content, error) &&
           (!command->step->prove || prove(port, content, lock->level, error));
}
